// SPDX-License-Identifier: MIT
// The agent session a caller talks to. The gateway decides which one it is.
import { randomUUID } from "node:crypto";
import { ACCOUNT, CHANNEL } from "./section.js";

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

/** session.prepare: while the phone rings. */
export async function prepareSession(runtime, { from }) {
  const cfg = runtime.config.current();
  const route = routeOf(runtime, cfg, from);
  await ensureSession(runtime, cfg, route.agentId, route.sessionKey);
  return { session_key: route.sessionKey, agent_id: route.agentId };
}

/** Removes a session that was made for a moment. */
export async function removeSession(agentId, storePath, sessionKey) {
  const { deleteSessionEntry } = await import("openclaw/plugin-sdk/session-store-runtime");
  await deleteSessionEntry({ agentId, storePath, sessionKey });
}
