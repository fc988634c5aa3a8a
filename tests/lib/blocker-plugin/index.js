// SPDX-License-Identifier: MIT
// A plugin of the tests: blocks the gateway's JavaScript thread, as a plugin that computes for long does, and says what
// that thread's heap holds.
import { Session } from "node:inspector";
import { setTimeout as delay } from "node:timers/promises";
import v8 from "node:v8";
import vm from "node:vm";

/** blocker.block {ms}: answers, and then nothing runs on this thread for `ms`. */
function block({ params, respond }) {
  const ms = Math.min(Number(params?.ms) || 0, 60000);
  respond(true, { ms });
  setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms), 100);
}

/** [{ url, length }] of every script that is compiled on this thread. */
function scriptsNow() {
  const scripts = [];
  const session = new Session();
  session.connect();
  session.on("Debugger.scriptParsed", ({ params: { url, length } }) => scripts.push({ url, length }));
  session.post("Debugger.enable"); /* on one's own thread it reports before it returns */
  session.post("Debugger.disable");
  session.disconnect();
  return scripts;
}

/** blocker.heap {match}: bytes in use on this thread after collections, and how many scripts there are of that URL. */
async function heap({ params, respond }) {
  v8.setFlagsFromString("--expose-gc");
  const collect = vm.runInNewContext("gc");
  for (let i = 0; i < 4; i++) { /* code that nobody ran for some collections goes, too */
    collect();
    await delay(50);
  }
  const scripts = scriptsNow();
  const ours = scripts.filter(({ url }) => url.includes(params.match));
  respond(true, {
    bytes: v8.getHeapStatistics().used_heap_size, scripts: scripts.length, ours: ours.length,
    ourSource: ours.reduce((sum, { length }) => sum + length, 0),
  });
}

const METHODS = { "blocker.block": block, "blocker.heap": heap };

export default {
  id: "blocker",
  name: "Blocker",
  description: "Blocks the gateway's JavaScript thread when a test asks for it, and tells what its heap holds.",
  register: (api) => {
    for (const [name, method] of Object.entries(METHODS)) api.registerGatewayMethod(name, method, { scope: "operator.admin" });
  },
};
