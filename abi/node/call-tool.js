// SPDX-License-Identifier: MIT
// The agent's tool voice_call. Who may be called is decided by the plugin, not here; it counts as acting, and in a
// run of somebody on the telephone it needs that they are proven (tools.js).
import { createHash } from "node:crypto";
import { placeCall, Refusal } from "./dial.js";
import { normalizeNumber } from "./numbers.js";
import { CHANNEL } from "./section.js";
import { runningAccount } from "./state.js";
import { CALL_TOOL } from "./tools.js";

const text = (description, maxLength) => ({ type: "string", description, maxLength });

const PARAMETERS = {
  type: "object",
  additionalProperties: false,
  required: ["purpose"],
  properties: {
    to: text("The number to call, as +15551234567 or as it is written in the owner's country; \"me\", or nothing, "
      + "for the person who writes to you", 60),
    purpose: text("What the call is for: what is to be said, found out or settled", 3000),
    message: text("The first words, when the person answers", 1500),
    context: text("All that the voice assistant must know for it; it knows nothing else of this conversation", 12000),
    max_minutes: { type: "integer", minimum: 1, description: "The longest the call may take" },
    record: { type: "boolean", description: "Whether the call is recorded, after the notice that the operator wants" },
  },
};

const UNLINKED = "it is not known which telephone number belongs to whoever asks. Ask them for the number, or let them "
  + "link it: they write \"link phone\" in their own chat, call, and say the code.";

/** The number of whoever asks, by their identity on the channel where they ask: never by what they say. */
async function numberOfSender(account, { messageChannel, requesterSenderId: sender }) {
  if (!messageChannel || !sender) throw new Refusal(UNLINKED);
  if (messageChannel === CHANNEL && normalizeNumber(sender)) return normalizeNumber(sender);
  const bare = String(sender).replace(new RegExp(`^${messageChannel}:`, "i"), "");
  const identity = `${messageChannel}:${bare}`.toLowerCase();
  const { status, body } = await account.get(`/callers/${encodeURIComponent(identity)}`);
  if (status !== 200 && status !== 404) throw new Refusal("the numbers of people cannot be read now; try again.");
  const identities = (status === 200 && body.identities) || [];
  const numbers = identities.map((i) => i.identity).filter((i) => i.startsWith(`${CHANNEL}:`)).map(normalizeNumber)
    .filter(Boolean);
  if (!numbers.length) throw new Refusal(UNLINKED);
  if (numbers.length > 1) throw new Refusal(`they have several numbers, ask which one: ${numbers.join(", ")}`);
  return numbers[0];
}

/** Where it is told how the call ended: the chat in which it was asked for, and that session. */
function reportOf({ sessionKey, deliveryContext: where, getRuntimeConfig, config }) {
  const channel = where?.channel;
  const chat = channel && channel !== CHANNEL && where.to && (getRuntimeConfig?.() ?? config)?.channels?.[channel];
  const report = {
    ...(sessionKey ? { session: sessionKey } : {}),
    ...(chat ? { channel, to: String(where.to), ...(where.accountId ? { account: where.accountId } : {}) } : {}),
  };
  return Object.keys(report).length ? report : undefined;
}

/** Who is asked in mid-call what only they can decide: whoever asks for the call, in their own chat. */
function ownerOf({ messageChannel, requesterSenderId: sender }) {
  if (!messageChannel || !sender) return undefined;
  if (messageChannel === CHANNEL) return normalizeNumber(sender) ?? undefined;
  const owner = `${messageChannel}:${String(sender).replace(new RegExp(`^${messageChannel}:`, "i"), "")}`;
  return owner.length < 224 ? owner : undefined;
}

/** A turn that is run again has the same ids, and makes no second call. Some models number their calls anew. */
function keyOf({ sessionKey, sessionId }, toolCallId, params) {
  const hash = createHash("sha256").update(JSON.stringify([sessionKey, sessionId, toolCallId, params])).digest("hex");
  return `tool:${hash.slice(0, 32)}`;
}

const answer = (details) => ({ content: [{ type: "text", text: JSON.stringify(details) }], details });

async function callFor(context, toolCallId, params) {
  const { to, ...rest } = params;
  const account = runningAccount();
  try {
    if (!account) throw new Refusal("the voice channel is not running.");
    const own = !to?.trim() || /^me$/i.test(to.trim());
    const number = own ? await numberOfSender(account, context) : to;
    const placed = await placeCall(account, {
      ...rest, to: number, report: reportOf(context), owner: ownerOf(context), idempotency_key: keyOf(context, toolCallId, params),
    });
    return answer({
      ...placed,
      note: `The call is on its way; how it ends is not known yet, and will be told in this chat.${placed.due_at
        ? ` It begins at ${new Date(placed.due_at).toISOString()}, after the quiet hours of that number.` : ""}`,
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return answer({ status: "refused", error: `No call was made: ${error.message}` });
  }
}

export function registerCallTool(api) {
  api.registerTool((context) => ({
    name: CALL_TOOL,
    label: "Voice call",
    description: "Places a telephone call: a voice assistant speaks with the person on the owner's behalf. Use it when "
      + "somebody is to be phoned, also for \"call me\". Answers at once with the call's id, or with why the call is "
      + "refused; it does not wait for the conversation, whose outcome comes to this chat by itself.",
    parameters: PARAMETERS,
    execute: (toolCallId, params) => callFor(context, toolCallId, params ?? {}),
  }), { name: CALL_TOOL });
}
