// SPDX-License-Identifier: MIT
// Gateway methods: voice.status, voice.calls, voice.call {id}, voice.transcript {id}, voice.why {id}.
import { state } from "./state.js";

const ID = /^[A-Za-z0-9_.-]{1,200}$/;

const invalid = (message) => ({ code: "INVALID_REQUEST", message });
const unavailable = (message) => ({ code: "UNAVAILABLE", message });

/** Answers with what `read` finds in the running account, or says why there is nothing. */
function method(read) {
  return async ({ params, respond }) => {
    if (!state.account) {
      respond(false, undefined, unavailable("voice is not running; see `openclaw channels status`"));
      return;
    }
    try {
      respond(true, await read(state.account, params ?? {}));
    } catch (error) {
      respond(false, undefined, error.shape ?? unavailable(`voice: ${error?.message ?? error}`));
    }
  };
}

async function get(account, apiPath) {
  const { status, body } = await account.get(apiPath);
  if (status === 200) return typeof body === "string" ? JSON.parse(body) : body;
  const text = status === 404 ? "no such call" : `the API answered ${status}`;
  throw Object.assign(new Error(text), { shape: invalid(text) });
}

const ofCall = (tail) => method((account, { id }) => {
  if (typeof id !== "string" || !ID.test(id)) {
    throw Object.assign(new Error("id"), { shape: invalid("id: the id of a call, ours or OpenAI's") });
  }
  return get(account, `/calls/${id}${tail}`);
});

const METHODS = {
  "voice.status": method((account) => account.status()),
  "voice.calls": method((account) => get(account, "/calls")),
  "voice.call": ofCall(""),
  "voice.transcript": ofCall("/transcript"),
  "voice.why": ofCall("/why"),
};

export function registerMethods(api) {
  for (const [name, handler] of Object.entries(METHODS)) {
    api.registerGatewayMethod(name, handler, { scope: "operator.read" });
  }
}
