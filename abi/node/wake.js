// SPDX-License-Identifier: MIT
// Waking the agent after a call.
//
// A run that the gateway starts by itself has all of the agent's tools. It is started only for a call
// whose caller had them too (tools "full"). For others the news waits in the session, durable, and is
// put before the next turn that somebody with rights of their own begins there.
import { OC, RequestError } from "./native.js";
import { agentOf, ensureSession, routeOf } from "./sessions.js";
import { state } from "./state.js";

const TEXT_MAX = 8192;
const KEPT_MS = 7 * 24 * 3600 * 1000;

/** session.wake */
export async function wakeAgent({ runtime, request }) {
  const { call, session_key: sessionKey, tools } = request;
  const text = String(request.text ?? "").trim().slice(0, TEXT_MAX);
  if (!sessionKey || !text || !call) throw new RequestError(OC.EINVAL, "call, session_key and text are needed");
  const cfg = runtime.config.current();
  const agentId = agentOf(sessionKey, routeOf(runtime, cfg, ""));
  await ensureSession(runtime, cfg, agentId, sessionKey);
  if (tools === "full") {
    runtime.system.enqueueSystemEvent(text, { sessionKey, contextKey: `voice:${call}` });
    /* As the gateway's own wake hooks: it works also where the agent has no regular heartbeat. */
    runtime.system.requestHeartbeat({
      source: "hook", intent: "immediate", reason: "hook:voice", agentId, sessionKey, heartbeat: { target: "last" },
    });
    return { queued: "run" };
  }
  const injected = await state.workflow?.enqueueNextTurnInjection({
    sessionKey, agentId, text, placement: "prepend_context", idempotencyKey: `voice:${call}`, ttlMs: KEPT_MS,
  });
  if (injected?.enqueued) return { queued: "turn" };
  /* Full, forbidden by the operator, or there already: an event lasts until the gateway ends. */
  runtime.system.enqueueSystemEvent(text, { sessionKey, contextKey: `voice:${call}` });
  return { queued: "event" };
}
