// SPDX-License-Identifier: MIT
// What the HTTP API answers when it does not do something, for people.

/** One sentence of why an answer of the HTTP API is a refusal. */
export function refusalOf({ status, body }) {
  if (status === 409 && body?.capability) {
    return `this call cannot do that now (capability ${body.capability}); openclaw voice show <call> lists what it can. `
      + "That is little before it is answered, and for one that came straight to OpenAI";
  }
  if (status === 404 && /\bcall\b/.test(body?.error)) return `${body.error}: openclaw voice calls lists the calls, and which are live`;
  const said = [body?.error?.message ?? body?.error, body?.detail ?? body?.capability];
  return [...new Set(said)].filter((x) => typeof x === "string" && x).join(": ") || `the API answered ${status}`;
}
