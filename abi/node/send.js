// SPDX-License-Identifier: MIT
// Messages to people on the gateway's other channels, and where a conversation goes on.
import { createHash } from "node:crypto";
import { OC, RequestError } from "./native.js";
import { CHANNEL } from "./section.js";
import { agentOf, ensureSession, routeOf } from "./sessions.js";

const TEXT_MAX = 3500;
const ID = /^[\x21-\x7e]{1,200}$/;

/*
 * Sends of ours are remembered by the gateway's queue, so that the same text under the same id is sent once,
 * whoever died in between. A repeat that says of itself that it may be one has another text.
 */
const PREFIX = "voice-send:";
const REMEMBERED = { idPrefix: PREFIX, maxAgeMs: 72 * 3600 * 1000, maxEntries: 2000 };

const NO_CHANNEL = /outbound not configured for channel|unknown channel|unsupported channel|plugin .*not (?:found|available)/i;
const NOT_SET_UP = /not configured|bot token (?:is )?missing|missing (?:bot )?token|no .*token|not enabled|is disabled|account .* (?:disabled|not found)/i;
const REFUSED = new RegExp(["chat not found", "user not found", "blocked by the user", "bot was kicked",
  "user is deactivated", "have no rights", "can't initiate conversation", "cannot send messages to this user",
  "unknown (?:user|channel|recipient)", "missing access", "missing permissions", "recipient is (?:not a valid|required|ambiguous)",
  "blocks dms", "privacy settings disallow",
  "invalid .*(?:target|recipient|chat)", "chat_id", "peer_id_invalid", "forbidden"].join("|"), "i");
/* All of these come before the queue has a row of it, so that the same id may be used again. */
const NOT_READY = /not started|not running|starting up|queue is full|admission closed|shutting down|draining/i;

const NOT_DISPATCHED = "OPENCLAW_PLATFORM_MESSAGE_NOT_DISPATCHED";
const UNSENT = new Set([NOT_DISPATCHED, "ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH",
  "UND_ERR_CONNECT_TIMEOUT"]);

const causes = (error) => {
  const all = [];
  for (let at = error; at && all.length < 8; at = at.cause) all.push(at);
  return all;
};

/** What a failed send of which no part arrived means for whoever asked: never, not yet, or not known. */
export function failureOf(error) {
  const all = causes(error);
  const text = [...new Set(all.map((e) => e?.message ?? String(e)))].join(": ").slice(0, 500);
  const rc = NO_CHANNEL.test(text) ? OC.ENOTSUP
    : REFUSED.test(text) || all.some((e) => e?.code === NOT_DISPATCHED && e.retryable === false) ? OC.EINVAL
      : all.some((e) => UNSENT.has(e?.code)) || NOT_READY.test(text) ? OC.EBUSY
        : NOT_SET_UP.test(text) ? OC.ENOTSUP : OC.EFAIL;
  return new RequestError(rc, text);
}

/** The gateway's queue took the message and will send it itself; it does so only with what surely was not sent. */
const isQueued = (error, failure) =>
  failure.rc === OC.EBUSY && causes(error).some((e) => e?.queueCustody === "held");

const intentOf = (id, text) => `${PREFIX}${id}:${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;

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
    ...(id ? { deliveryIntentId: intentOf(id, text), completionRetention: REMEMBERED, reusePendingDeliveryIntent: true } : {}),
  });
  if (result.status === "sent" || result.status === "partial_failed") return { message_id: messageIdOf(result) };
  if (result.status === "suppressed") {
    /* Nothing was decided about a payload: the queue knows this id, and did or will send it. */
    if (id && !result.payloadOutcomes?.length) return { message_id: "", repeated: true };
    if (result.reason === "adapter_returned_no_identity") return { message_id: "" };
    throw new RequestError(OC.EINVAL, `not sent: ${result.reason}`);
  }
  const failure = failureOf(result.error);
  if (isQueued(result.error, failure)) return { message_id: "", queued: true };
  throw failure;
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
