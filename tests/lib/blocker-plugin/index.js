// SPDX-License-Identifier: MIT
// A plugin of the tests: blocks the gateway's JavaScript thread, as a plugin that computes for long does.

/** blocker.block {ms}: answers, and then nothing runs on this thread for `ms`. */
function block({ params, respond }) {
  const ms = Math.min(Number(params?.ms) || 0, 60000);
  respond(true, { ms });
  setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms), 100);
}

export default {
  id: "blocker",
  name: "Blocker",
  description: "Blocks the gateway's JavaScript thread when a test asks for it.",
  register: (api) => api.registerGatewayMethod("blocker.block", block, { scope: "operator.admin" }),
};
