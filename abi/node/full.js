// SPDX-License-Identifier: MIT
// What the gateway itself needs of this package, and none of the copies that look at it or run an agent.
import { registerChatHooks } from "./chats.js";
import { registerMethods } from "./rpc.js";
import { state } from "./state.js";

export function registerGateway(api) {
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
}
