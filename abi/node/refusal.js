// SPDX-License-Identifier: MIT
// What the HTTP API answers when it does not do something, for people.

/** One sentence of why an answer of the HTTP API is a refusal. */
export function refusalOf({ status, body }) {
  const said = [body?.error?.message ?? body?.error, body?.detail ?? body?.capability];
  return [...new Set(said)].filter((x) => typeof x === "string" && x).join(": ") || `the API answered ${status}`;
}
