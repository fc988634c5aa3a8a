// SPDX-License-Identifier: MIT
// Entry of the package. Importing and registering start nothing; startAccount does (account.js).
import { defineChannelPluginEntry } from "openclaw/plugin-sdk/channel-core";
import { plugin } from "./channel.js";
import { registerChatHooks } from "./chats.js";
import { registerCallTool } from "./call-tool.js";
import { descriptors, registerCommands } from "./cli.js";
import { registerMethods } from "./rpc.js";
import { state } from "./state.js";
import { guardTool } from "./tools.js";

export default defineChannelPluginEntry({
  id: "voice",
  name: "Voice",
  description: "The telephone as a channel: calls over OpenAI's Realtime API and SIP.",
  plugin,
  setRuntime: (runtime) => {
    state.runtime = runtime;
  },
  /*
   * In every mode: agent runs load their plugins by themselves, without registerFull. First of all
   * hooks, since what may not run need not be asked about.
   */
  registerCapabilities: (api) => api.on("before_tool_call", guardTool, { priority: 1000 }),
  registerCliMetadata: (api) => api.registerCli(registerCommands, { descriptors }),
  registerFull: (api) => {
    registerCallTool(api); /* also where tools are only looked for, as agent runs do */
    if (api.registrationMode !== "full") return;
    state.workflow = api.session?.workflow ?? null;
    registerMethods(api);
    registerChatHooks(api);
    api.registerService({
      id: "voice-events",
      start: (ctx) => {
        state.gatewayEvents = ctx.gatewayEvents ?? null;
      },
      stop: () => {
        state.gatewayEvents = null;
      },
    });
  },
});
