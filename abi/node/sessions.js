// SPDX-License-Identifier: MIT
// The agent session a caller talks to. The gateway decides which one it is.
import { randomUUID } from "node:crypto";
import { identitiesOf } from "./links.js";
import { normalizeNumber } from "./numbers.js";
import { readPaired } from "./policy.js";
import { ACCOUNT, CHANNEL } from "./section.js";
import { dateIn, timezoneOf } from "./zone.js";

/** A withheld number is a peer of its own. */
const peerOf = (number) => ({ kind: "direct", id: number || "withheld" });

export function routeOf(runtime, cfg, number) {
  return runtime.channel.routing.resolveAgentRoute({
    cfg, channel: CHANNEL, accountId: ACCOUNT, peer: peerOf(number),
  });
}

/** The agent a session key names, or that of the route. */
export function agentOf(sessionKey, route) {
  return /^agent:([^:]+):/.exec(sessionKey ?? "")?.[1] ?? route.agentId;
}

/** The session's entry, made when it is missing. */
export async function ensureSession(runtime, cfg, agentId, sessionKey) {
  const { session } = runtime.agent;
  const storePath = session.resolveStorePath(cfg.session?.store, { agentId });
  const where = { agentId, storePath, sessionKey };
  let entry = session.getSessionEntry(where);
  if (!entry?.sessionId) {
    const now = Date.now();
    entry = await session.patchSessionEntry({
      ...where,
      fallbackEntry: { sessionId: "", updatedAt: now },
      update: (found) => (found.sessionId?.trim() ? { updatedAt: now } : { sessionId: randomUUID(), updatedAt: now }),
    });
  }
  if (!entry?.sessionId) throw new Error(`the session ${sessionKey} could not be made`);
  return { entry, storePath };
}

/** The number's own session: of nobody else, in no other channel. A withheld number has one a call. */
function ownKey(agentId, from, call) {
  const who = normalizeNumber(from) ?? `call-${call || "none"}`;
  return `agent:${agentId}:${CHANNEL}:caller:${who}`.toLowerCase();
}

/** Whether the gateway itself holds this number for a person: in identityLinks, or paired. */
async function isLinked(runtime, cfg, from) {
  const number = normalizeNumber(from);
  if (!number) return false;
  if (identitiesOf(cfg, number).length) return true;
  return (await readPaired(runtime)).some((entry) => normalizeNumber(entry) === number);
}

/**
 * The session of a caller. Linked callers have the gateway's; below that the number's own, since the
 * default dmScope would put every caller into the owner's main session. Who proved themselves by PIN has
 * more tools, but not for that a share in the owner's session.
 */
export async function sessionOf(runtime, cfg, { from, level, call }) {
  const { agentId, sessionKey } = routeOf(runtime, cfg, from);
  const shared = level === "linked" || (level === "proven" && (await isLinked(runtime, cfg, from)));
  return { agentId, sessionKey: shared ? sessionKey : ownKey(agentId, from, call) };
}

/** session.prepare: while the phone rings. */
export async function prepareSession(runtime, request) {
  const cfg = runtime.config.current();
  const { agentId, sessionKey } = await sessionOf(runtime, cfg, request);
  await ensureSession(runtime, cfg, agentId, sessionKey);
  const timezone = timezoneOf(cfg);
  return {
    session_key: sessionKey, agent_id: agentId, identities: identitiesOf(cfg, normalizeNumber(request.from)),
    date: dateIn(timezone), timezone,
  };
}

/** Removes a session that was made for a moment. */
export async function removeSession(agentId, storePath, sessionKey) {
  const { deleteSessionEntry } = await import("openclaw/plugin-sdk/session-store-runtime");
  await deleteSessionEntry({ agentId, storePath, sessionKey });
}
