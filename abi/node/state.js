// SPDX-License-Identifier: MIT
// What the parts of one loaded copy of this package share. A reload loads another copy, with a state of
// its own; the one thing both must know of is in globalThis, see account.js.

export const state = {
  runtime: null, // the gateway's services
  account: null, // the running account, see account.js
  gatewayEvents: null, // emits to the gateway's clients while the service runs
  workflow: null, // api.session.workflow: what is put before a session's next turn
};

/*
 * A run of the agent loads the plugins it needs once more: a tool of such a copy finds the running account here,
 * whichever copy started it.
 */
const RUNNING = Symbol.for("openclaw-voice.account");

/** The account that runs in this process, or null. */
export const runningAccount = () => globalThis[RUNNING] ?? null;

export function setRunning(account) {
  state.account = account;
  globalThis[RUNNING] = account;
}

/** The account has ended; one that runs by now stays known. */
export function clearRunning(account) {
  if (state.account === account) state.account = null;
  if (globalThis[RUNNING] === account) globalThis[RUNNING] = null;
}
