// SPDX-License-Identifier: MIT
// Gateway methods: voice.status, voice.calls, voice.call {id}, voice.transcript {id}, voice.why {id},
// voice.actions {id}, the whole HTTP API as voice.http {method?, path, body?}, and what places and steers calls
// (rpc-calls.js). voice.check is the dry run; voice.drain {seconds?, cancel?} takes no new calls before a stop, which the
// gateway gives a channel 5 s for, or takes them again.
import { checkRunning } from "./check.js";
import { actionsOf, CALL_ID, Refusal } from "./dial.js";
import { CALL_METHODS } from "./rpc-calls.js";
import { state } from "./state.js";

const invalid = (message) => ({ code: "INVALID_REQUEST", message });
const unavailable = (message) => ({ code: "UNAVAILABLE", message });

/** Answers with what `read` finds in the running account, or says why there is nothing. */
function method(read) {
  return async ({ params, respond, client }) => {
    if (!state.account) {
      respond(false, undefined, unavailable("voice is not running; see `openclaw channels status`"));
      return;
    }
    try {
      respond(true, await read(state.account, params ?? {}, client));
    } catch (error) {
      const refused = error instanceof Refusal ? invalid(error.message) : null;
      respond(false, undefined, refused ?? unavailable(`voice: ${error?.message ?? error}`));
    }
  };
}

async function get(account, apiPath) {
  const { status, body } = await account.get(apiPath);
  if (status === 200) return typeof body === "string" ? JSON.parse(body) : body;
  throw new Refusal(status === 404 ? "no such call" : `the API answered ${status}`);
}

const ofCall = (tail) => method((account, { id }) => {
  if (typeof id !== "string" || !CALL_ID.test(id)) throw new Refusal("id: the id of a call, ours or OpenAI's");
  return get(account, `/calls/${id}${tail}`);
});

const PATH = /^\/[\x21-\x7e]{0,2000}$/;
const HTTP_METHODS = new Set(["GET", "POST", "PUT", "DELETE"]);
const WRITERS = new Set(["operator.write", "operator.admin"]);

/** { status, body } as the HTTP API answers, errors too. Whoever may only read may only GET. */
function http(account, { method: verb = "GET", path, body }, client) {
  if (!HTTP_METHODS.has(verb)) throw new Refusal("method: GET, POST, PUT or DELETE");
  if (typeof path !== "string" || !PATH.test(path)) throw new Refusal("path: of the HTTP API, beginning with /");
  if (verb !== "GET" && !client?.connect?.scopes?.some((scope) => WRITERS.has(scope))) {
    throw new Refusal(`${verb} needs the scope operator.write`);
  }
  return account.http(verb, path, body);
}

const METHODS = {
  "voice.status": method((account) => account.status()),
  "voice.calls": method((account) => get(account, "/calls")),
  "voice.call": ofCall(""),
  "voice.transcript": ofCall("/transcript"),
  "voice.why": ofCall("/why"),
  "voice.actions": method((account, { id }) => actionsOf(account, id)),
  "voice.http": method(http),
};

async function drain(account, { seconds, cancel = false }) {
  const { status, body } = await account.http(cancel ? "DELETE" : "POST", "/drain", seconds === undefined ? undefined : { seconds });
  if (status < 300) return body;
  throw new Refusal(body.error);
}

const CHANGES = { ...CALL_METHODS, "voice.drain": drain, "voice.check": (account) => checkRunning(state.runtime, account) };

export function registerMethods(api) {
  for (const [name, handler] of Object.entries(METHODS)) {
    api.registerGatewayMethod(name, handler, { scope: "operator.read" });
  }
  for (const [name, change] of Object.entries(CHANGES)) {
    api.registerGatewayMethod(name, method(change), { scope: "operator.write" });
  }
}
