// SPDX-License-Identifier: MIT
// Messages to people on the gateway's other channels, and where a conversation goes on.
import { OC, RequestError } from "./native.js";
import { CHANNEL } from "./section.js";
import { agentOf, ensureSession, routeOf } from "./sessions.js";

const TEXT_MAX = 3500;
const ID = /^[\x21-\x7e]{1,200}$/;

/* Sends of ours are remembered by the gateway's queue, so that a repeat after a crash sends nothing twice. */
const PREFIX = "voice-send:";
const REMEMBERED = { idPrefix: PREFIX, maxAgeMs: 72 * 3600 * 1000, maxEntries: 2000 };

const NO_CHANNEL = /outbound not configured for channel|unknown channel|unsupported channel|plugin .*not (?:found|available)/i;
const NOT_SET_UP = /not configured|bot token (?:is )?missing|missing (?:bot )?token|no .*token|not enabled|is disabled|account .* (?:disabled|not found)/i;
const REFUSED = new RegExp(["chat not found", "user not found", "blocked by the user", "bot was kicked",
  "user is deactivated", "have no rights", "can't initiate conversation", "cannot send messages to this user",
  "unknown (?:user|channel|recipient)", "missing access", "missing permissions", "recipient is (?:not a valid|required|ambiguous)",
  "invalid .*(?:target|recipient|chat)", "chat_id", "peer_id_invalid", "forbidden"].join("|"), "i");
const NOT_READY = /not started|not running|starting up|queue is full|admission closed|shutting down|draining|too many requests|rate limit|\b429\b/i;

const causes = (error) => {
  const all = [];
  for (let at = error; at && all.length < 8; at = at.cause) all.push(at);
  return all;
};

/** What a failed send means for whoever asked: never, not yet, or not known. */
export function failureOf(error) {
  const all = causes(error);
  const text = all.map((e) => e?.message ?? String(e)).join(": ").slice(0, 500);
  const reached = all.some((e) => e?.sentBeforeError === true);
  if (NO_CHANNEL.test(text)) return new RequestError(OC.ENOTSUP, text);
  const unsent = reached ? undefined : all.find((e) => e?.code === "OPENCLAW_PLATFORM_MESSAGE_NOT_DISPATCHED");
  if (unsent) return new RequestError(unsent.retryable === false ? OC.EINVAL : OC.EBUSY, text);
  if (!reached && NOT_READY.test(text)) return new RequestError(OC.EBUSY, text);
  if (!reached && REFUSED.test(text)) return new RequestError(OC.EINVAL, text);
  if (!reached && NOT_SET_UP.test(text)) return new RequestError(OC.ENOTSUP, text);
  return new RequestError(OC.EFAIL, text);
}

function messageIdOf(result) {
  const ids = [result.receipt?.primaryPlatformMessageId, ...(result.receipt?.platformMessageIds ?? []),
    ...(result.results ?? []).map((r) => r?.messageId)];
  return String(ids.find((id) => id !== undefined && id !== null && id !== "") ?? "");
}

/** Sends through the gateway's durable queue. Resolves with { message_id }, rejects with a code. */
export async function deliver({ runtime, channel, account, to, text, sessionKey, agentId, id }) {
  const { sendDurableMessageBatch } = await import("openclaw/plugin-sdk/channel-outbound");
  const result = await sendDurableMessageBatch({
    cfg: runtime.config.current(), channel, to, accountId: account || undefined, payloads: [{ text }],
    ...(sessionKey ? { session: { key: sessionKey, agentId } } : {}),
    ...(id ? { deliveryIntentId: `${PREFIX}${id}`, completionRetention: REMEMBERED, reusePendingDeliveryIntent: true } : {}),
  });
  if (result.status === "sent" || result.status === "partial_failed") return { message_id: messageIdOf(result) };
  if (result.status === "suppressed") {
    /* Nothing was decided about a payload: the queue knows this id, and did or will send it. */
    if (id && !result.payloadOutcomes?.length) return { message_id: "", repeated: true };
    if (result.reason === "adapter_returned_no_identity") return { message_id: "" };
    throw new RequestError(OC.EINVAL, `not sent: ${result.reason}`);
  }
  /* The gateway's queue holds it and tries again by itself: two who retry would send it twice. */
  if (causes(result.error).some((e) => e?.queueCustody === "held")) return { message_id: "", queued: true };
  throw failureOf(result.error);
}

/** Whether the gateway has that channel and its configuration names it. */
async function known(runtime, cfg, channel) {
  const section = cfg.channels?.[channel];
  if (!section || section.enabled === false) return false;
  return Boolean(await runtime.channel.outbound.loadAdapter(channel));
}

/** From now on the session's answers go there. */
async function routeTo({ runtime, cfg, agentId, sessionKey, channel, to, account }) {
  const { storePath } = await ensureSession(runtime, cfg, agentId, sessionKey);
  const where = { channel, to, ...(account ? { accountId: account } : {}) };
  await runtime.channel.session.updateLastRoute({ storePath, sessionKey, deliveryContext: where, ...where });
}

/** message.send */
export async function sendMessage({ runtime, log, request }) {
  const { id, to, text, account, session_key: sessionKey } = request;
  const channel = String(request.channel ?? "").trim().toLowerCase();
  if (!ID.test(id ?? "")) throw new RequestError(OC.EINVAL, "no id");
  if (typeof to !== "string" || !to.trim()) throw new RequestError(OC.EINVAL, "no recipient");
  if (typeof text !== "string" || !text.trim() || text.length > TEXT_MAX) {
    throw new RequestError(OC.EINVAL, `text: 1 to ${TEXT_MAX} characters`);
  }
  const cfg = runtime.config.current();
  if (channel === CHANNEL || !(await known(runtime, cfg, channel))) {
    throw new RequestError(OC.ENOTSUP, `the gateway has no channel ${channel || "without a name"}`);
  }
  const agentId = agentOf(sessionKey, routeOf(runtime, cfg, ""));
  const sent = await deliver({ runtime, channel, account, to: to.trim(), text, sessionKey, agentId, id });
  if (sessionKey) {
    await routeTo({ runtime, cfg, agentId, sessionKey, channel, to: to.trim(), account }).catch((error) => {
      log?.warn?.(`the session ${sessionKey} could not be moved to ${channel}: ${error?.message ?? error}`);
    });
  }
  return sent;
}
