// SPDX-License-Identifier: MIT
// Placing and steering calls, for the agent's tool, the gateway's methods and the commands: national numbers become
// E.164 here; whether it may be done is decided by the plugin.
import { setTimeout as delay } from "node:timers/promises";
import { dialable, looksLikeNumber } from "./numbers.js";
import { refusalOf } from "./refusal.js";

const OVER = new Set(["done", "failed", "uncertain", "handed_over"]);
const POLL_MS = 200;
export const WAIT_MAX_MS = 30000;

/** What the plugin refused, or could not be asked: a sentence. */
export class Refusal extends Error {}

export const CALL_ID = /^[A-Za-z0-9_.-]{1,200}$/;

function pathOf(call, tail) {
  if (typeof call !== "string" || !CALL_ID.test(call)) throw new Refusal("the id of a call is call_..., or OpenAI's");
  return `/calls/${call}${tail}`;
}

async function numberOf(account, text) {
  try {
    return await dialable(text, account.country);
  } catch (error) {
    throw new Refusal(error.message, { cause: error });
  }
}

/** The body of an answer that is a success. */
async function asked(account, method, path, body) {
  const answer = await account.http(method, path, body);
  if (answer.status >= 200 && answer.status < 300) return answer.body;
  throw new Refusal(refusalOf(answer));
}

/** POST /call, with a number as people write it. Resolves with { status, call_id, to, due_at? }. */
export async function placeCall(account, { to, ...rest }) {
  const number = await numberOf(account, to);
  const body = Object.fromEntries(Object.entries({ to: number, ...rest }).filter(([, value]) => value !== undefined));
  return { ...(await asked(account, "POST", "/call", body)), to: number };
}

/** In every state of the call; one that waits never rings. */
export const endCall = (account, call) => asked(account, "DELETE", pathOf(call, "").replace("/calls/", "/call/"));

/** What was done to a call, and what became of it. */
export const actionsOf = (account, call) => asked(account, "GET", pathOf(call, "/actions"));

async function outcomeOf(account, call, action, waitMs) {
  for (const end = Date.now() + Math.min(waitMs, WAIT_MAX_MS); ; await delay(POLL_MS)) {
    const { actions = [] } = await actionsOf(account, call);
    const found = actions.find((a) => a.id === action.id);
    const state = { ...action, state: found?.state ?? action.state, ...(found?.error ? { error: found.error } : {}) };
    if (OVER.has(state.state) || Date.now() >= end) return state;
  }
}

/**
 * POST /calls/{id}/{verb}. A target (to) may be a name of the configuration or a number as people write it. Resolves
 * with { id, state, error? }: as soon as it is durable, or after its outcome or waitMs.
 */
export async function steerCall(account, call, verb, { waitMs = 0, ...body } = {}) {
  const path = pathOf(call, `/${verb}`);
  if (looksLikeNumber(body.to)) body.to = await numberOf(account, body.to);
  const action = await asked(account, "POST", path, body);
  return waitMs > 0 ? outcomeOf(account, call, action, waitMs) : action;
}

/** DELETE /calls/{id}/parties/{party} */
export async function removeParty(account, call, party, { waitMs = 0 } = {}) {
  if (typeof party !== "string" || !party || party.length > 60) throw new Refusal("party: caller, model or a label of the call");
  const action = await asked(account, "DELETE", pathOf(call, `/parties/${encodeURIComponent(party)}`));
  return waitMs > 0 ? outcomeOf(account, call, action, waitMs) : action;
}
