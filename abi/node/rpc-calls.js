// SPDX-License-Identifier: MIT
// Gateway methods that place and steer calls; all need the scope operator.write. {id} is a call's, ours or OpenAI's;
// a change answers { id, state, error? } of the action, with wait_ms after its outcome.
//   voice.dial {to, purpose?, message?, context?, caller_id?, max_minutes?, record?, session?, report?, idempotency_key?}
//   voice.hangup {id}
//   voice.hold, voice.resume {id}          voice.mute, voice.unmute {id, party?}
//   voice.dtmf {id, digits, party?}        voice.collect {id, text?}
//   voice.transfer {id, to, mode?, summary?}   voice.invite {id, to}   voice.remove {id, party}
//   voice.say {id, text}                   voice.announce {id, text, party?}
//   voice.recording.pause, voice.recording.resume {id}
import { endCall, placeCall, Refusal, removeParty, steerCall, WAIT_MAX_MS } from "./dial.js";

const VERBS = {
  hold: "hold", resume: "resume", mute: "mute", unmute: "unmute", dtmf: "dtmf", collect: "collect", transfer: "transfer",
  invite: "invite", say: "say", announce: "announce", "recording.pause": "recording/pause",
  "recording.resume": "recording/resume",
};

function waitOf(value = 0) {
  if (Number.isInteger(value) && value >= 0 && value <= WAIT_MAX_MS) return value;
  throw new Refusal(`wait_ms: 0 to ${WAIT_MAX_MS}`);
}

export const CALL_METHODS = {
  "voice.dial": (account, params) => placeCall(account, params),
  "voice.hangup": (account, { id }) => endCall(account, id),
  "voice.remove": (account, { id, party, wait_ms: wait }) => removeParty(account, id, party, { waitMs: waitOf(wait) }),
  ...Object.fromEntries(Object.entries(VERBS).map(([name, verb]) => [
    `voice.${name}`,
    (account, { id, wait_ms: wait, ...body }) => steerCall(account, id, verb, { ...body, waitMs: waitOf(wait) }),
  ])),
};
