// SPDX-License-Identifier: MIT
// Turns of a call go into the agent's session, where its next turn in any channel finds them.
import { OC, RequestError } from "./native.js";
import { agentOf, ensureSession, routeOf, sessionOf } from "./sessions.js";

const TURNS_MAX = 2000;
const TEXT_MAX = 16000;
const ENTRY_ID = /^[\x21-\x7e]{1,200}$/;
const FUTURE_MS = 60000;

const USAGE = {
  input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0,
  cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 },
};

/*
 * How the gateway marks what was spoken in its own realtime calls, so it is "talk" here, too: a turn that
 * the agent is just preparing in that session lets such entries pass, where any other would break it.
 */
const SPOKEN = { kind: "realtime_voice", sourceChannel: "talk" };

function checked(turns) {
  if (!Array.isArray(turns) || turns.length > TURNS_MAX) throw new RequestError(OC.EINVAL, "turns: a list");
  for (const turn of turns) {
    if (!ENTRY_ID.test(turn?.entry_id ?? "")) throw new RequestError(OC.EINVAL, "a turn without an entry_id");
    if (typeof turn.text !== "string") throw new RequestError(OC.EINVAL, "a turn without text");
  }
  return turns.filter((turn) => turn.text.trim());
}

/*
 * The model of a later turn must know that these words were spoken on the phone, and the key makes
 * the gateway's store take them once.
 */
function messageOf({ entry_id, who, text, at }, model) {
  const now = Date.now();
  const timestamp = Number.isFinite(at) && at > 0 && at <= now + FUTURE_MS ? Math.round(at) : now;
  const idempotencyKey = `voice:${entry_id}`;
  const spoken = text.trim().slice(0, TEXT_MAX);
  if (who === "caller") {
    return { role: "user", content: `[phone call] ${spoken}`, timestamp, provenance: SPOKEN, idempotencyKey };
  }
  return {
    role: "assistant", content: [{ type: "text", text: spoken }], api: "openai-completions", ...model,
    stopReason: "stop", usage: USAGE, timestamp, provenance: SPOKEN, idempotencyKey,
  };
}

/** One message; false when the session was replaced meanwhile. */
async function append(sdk, where, message) {
  const result = await sdk.appendSessionTranscriptMessageByIdentityStrict({
    ...where, message, now: message.timestamp, updateMode: "inline",
    /* With it the key alone decides: other words under a known key change and break nothing. */
    prepareMessageAfterIdempotencyCheck: (prepared) => prepared,
  });
  return result.kind !== "rejected";
}

/** transcript.append */
export async function appendTranscript({ runtime, request, signal }) {
  const turns = checked(request.turns);
  if (!request.session_key && !request.level) throw new RequestError(OC.EINVAL, "no session_key");
  const sdk = await import("openclaw/plugin-sdk/session-transcript-runtime");
  const cfg = runtime.config.current();
  /* This thread was too busy during the whole call to name the session: it is named now. */
  const sessionKey = request.session_key || (await sessionOf(runtime, cfg, request)).sessionKey;
  const agentId = agentOf(sessionKey, routeOf(runtime, cfg, ""));
  const model = runtime.modelConfig.resolveDefaultModelForAgent({ cfg, agentId });
  const identity = async () => {
    const { entry, storePath } = await ensureSession(runtime, cfg, agentId, sessionKey);
    return { agentId, sessionKey, sessionId: entry.sessionId, storePath, config: cfg };
  };
  let where = await identity();
  for (const turn of turns) {
    signal.throwIfAborted();
    const message = messageOf(turn, { provider: model.provider, model: model.model });
    if (await append(sdk, where, message)) continue;
    where = await identity(); /* /new in between: the rest goes on in the new one */
    if (!(await append(sdk, where, message))) throw new RequestError(OC.EBUSY, "the session is being replaced");
  }
  return {};
}
