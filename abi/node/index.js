// SPDX-License-Identifier: MIT
// Entry of the package. Importing and registering start nothing; startAccount does (account.js).
import { defineChannelPluginEntry } from "openclaw/plugin-sdk/channel-core";
import { runs } from "./account.js";
import { plugin } from "./channel.js";
import { descriptors, registerCommands } from "./cli.js";
import { registerMethods } from "./rpc.js";
import { state } from "./state.js";
import { toolGuard } from "./tools.js";

export default defineChannelPluginEntry({
  id: "voice",
  name: "Voice",
  description: "The telephone as a channel: calls over OpenAI's Realtime API and SIP.",
  plugin,
  setRuntime: (runtime) => {
    state.runtime = runtime;
  },
  registerCliMetadata: (api) => api.registerCli(registerCommands, { descriptors }),
  registerFull: (api) => {
    if (api.registrationMode !== "full") return;
    registerMethods(api);
    /* First of all hooks: what may not run need not be asked about. */
    api.on("before_tool_call", toolGuard(runs), { priority: 1000 });
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
