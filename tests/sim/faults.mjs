/* SPDX-License-Identifier: MIT */
/*
 * Faults that a test asks for. A call has its own (`sim.call({faults})`), the simulator has global
 * ones (`sim.faults`); the call's are taken first. All members are optional:
 *
 *   accept, reject, refer, hangup, handshake: one rule or an array of them, used up in order
 *     times      how many requests it meets (default 1; Infinity = all)
 *     status     answer this status instead of doing it (any headers in `headers`)
 *     code, message  of the error envelope
 *     afterMs    wait before answering (alone: a slow success)
 *     reset      reset the connection instead of answering
 *     never      never answer
 *     apply      do what was asked all the same (the answer alone is lost or wrong)
 *     cut        send half of the answer, then reset
 *   webhook
 *     delayMs    the first delivery comes this late
 *     copies     deliver the same event this many times more, each copyAfterMs after the last
 *     live       'before' | 'after': also announce the call as live.transport.incoming
 *     liveGapMs  between the two announcements (default 20)
 *     badSignature  the first deliveries carry a wrong signature (a number of times)
 *     staleSeconds  the timestamp is this old (negative: in the future)
 *     noRetry    give up after the first failure
 *   sideband
 *     sessionCreated  false: never sent; a number: sent this many ms after the connection
 *     dropAfterEvents, dropCode, dropReset, times   close (or reset) after N events were sent
 *     fragment   true: messages in random fragments, bytes in random pieces
 *     pingMs     the server pings this often
 *   events: array of {type | match(event), action, ms, times}
 *     action: 'drop' | 'delay' (by ms) | 'duplicate' | 'swap' (sent after the event that follows)
 *   nulls        true: optional fields of server events that are absent are sent as null
 *   truncatedLate true: conversation.item.truncated comes after response.done
 */

/** Takes the next rule for `name`, of the first holder that has one, or null. */
export function takeFault(name, ...holders) {
  for (const holder of holders) {
    const rules = holder?.[name];
    if (!rules)
      continue;
    const list = Array.isArray(rules) ? rules : [rules];
    for (const rule of list) {
      rule.left ??= rule.times ?? 1;
      if (rule.left > 0) {
        rule.left -= 1;
        return rule;
      }
    }
  }
  return null;
}

/** Takes the next event rule that matches `event`, or null. */
export function takeEventFault(event, ...holders) {
  for (const holder of holders) {
    for (const rule of holder?.events ?? []) {
      rule.left ??= rule.times ?? 1;
      const match = rule.match ? rule.match(event) : rule.type === event.type;
      if (rule.left > 0 && match) {
        rule.left -= 1;
        return rule;
      }
    }
  }
  return null;
}

const optional = {
  response: ['status_details', 'usage', 'metadata', 'audio', 'conversation_id',
    'output_modalities', 'max_output_tokens'],
  item: ['object', 'status'],
  session: ['instructions', 'tools', 'tool_choice', 'max_output_tokens', 'tracing', 'prompt',
    'include', 'output_modalities', 'truncation', 'expires_at'],
  error: ['code', 'param', 'event_id'],
};

/** A copy of a server event in which optional fields that are absent stand as null. */
export function withNulls(event) {
  const copy = structuredClone(event);
  for (const [name, fields] of Object.entries(optional)) {
    for (const field of copy[name] ? fields : [])
      copy[name][field] ??= null;
  }
  if (copy.response?.output)
    copy.response.output.forEach((item) => optional.item.forEach((f) => { item[f] ??= null; }));
  if (/^conversation\.item\.(added|done|created)$|committed$/.test(copy.type))
    copy.previous_item_id ??= null;
  if (/input_audio_transcription\.(completed|delta)$/.test(copy.type))
    copy.logprobs ??= null;
  return copy;
}
