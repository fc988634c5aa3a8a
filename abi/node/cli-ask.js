// SPDX-License-Identifier: MIT
// What the commands of `openclaw voice` share: asking the running gateway, and printing.
import { refusalOf } from "./refusal.js";

export const time = (ms) => (ms ? new Date(ms).toISOString().replace("T", " ").slice(0, 19) : "-");
export const seconds = (ms) => (ms >= 0 ? `${Math.round(ms / 1000)} s` : "-");
export const line = (...cells) => console.log(cells.filter((x) => x !== undefined && x !== null && x !== "").join("  "));

/** Asks a method of the gateway. `change`: it needs the scope operator.write. */
export async function callGateway(method, params, options, { change = false } = {}) {
  const { callGatewayFromCli } = await import("openclaw/plugin-sdk/gateway-runtime");
  const scopes = change ? { scopes: ["operator.write"] } : {};
  return callGatewayFromCli(method, { timeout: "15000", ...options }, params, { progress: false, ...scopes });
}

/**
 * Asks a method of the gateway and prints what it answers, as JSON where that is wanted. An answer of the HTTP
 * API (voice.http) that is a refusal is thrown as one sentence.
 */
export async function ask(method, params, options, print, how) {
  let answer = await callGateway(method, params, options, how);
  if (method === "voice.http") {
    if (!(answer.status >= 200 && answer.status < 300)) throw new Error(refusalOf(answer));
    answer = answer.body;
  }
  /* Not by console.log, which the gateway's command line sends to stderr when JSON is asked for. */
  if (options.json) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
  else print(answer);
}
