// SPDX-License-Identifier: MIT
// Entry of the package. Importing and registering start nothing; startAccount does (account.js).
//
// The gateway loads a copy of this package to look at it, one to run it, and more for runs of its agent, and keeps them
// all: what is imported here is in memory as often. The rest is loaded where it is registered or first used.
import { createRequire } from "node:module";
import { defineChannelPluginEntry } from "openclaw/plugin-sdk/channel-core";
import { registerCallTool } from "./call-tool.js";
import { plugin } from "./channel.js";
import { state } from "./state.js";
import { guardTool } from "./tools.js";

const COMMAND = {
  name: "voice", hasSubcommands: true,
  description: "Phone calls: place them, steer them, list them, read a transcript, see why a call ended",
};

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
  registerCliMetadata: (api) => api.registerCli(async (context) => {
    const { registerCommands } = await import("./cli.js");
    registerCommands(context, COMMAND);
  }, { descriptors: [COMMAND] }),
  registerFull: (api) => {
    registerCallTool(api); /* also where tools are only looked for, as agent runs do */
    if (api.registrationMode !== "full") return;
    /* Not by import(): the gateway takes what is registered before this returns. */
    createRequire(import.meta.url)("./full.js").registerGateway(api);
  },
});
