// SPDX-License-Identifier: MIT
// What the parts of one loaded copy of this package share. A reload loads another copy, with a state of
// its own; the one thing both must know of is in globalThis, see account.js.

export const state = {
  runtime: null, // the gateway's services
  account: null, // the running account, see account.js
  gatewayEvents: null, // emits to the gateway's clients while the service runs
  workflow: null, // api.session.workflow: what is put before a session's next turn
};
