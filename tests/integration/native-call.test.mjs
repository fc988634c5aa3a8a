/* SPDX-License-Identifier: MIT */
// A telephone call through the native host: what is said, in whatever order it is told, and how it ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KNOWN, assertStory, creates, heard, onlyLong, outputsOf, requestsOf, rig } from './native-kit.mjs';

const chat = [{ wait: 'greeting' }, { caller: 'The first thing I say.' }, { wait: 'assistant' },
  { caller: 'The second thing I say.' }, { wait: 'assistant' }, { caller: 'goodbye' },
  { waitEnd: true }];

/* Runs a call to its end and returns it. */
async function run(made, opts) {
  const call = made.call(opts);
  const result = await call.done;
  assert.equal(result.scriptError, null);
  await made.ended(call);
  return call;
}

const hops = (story) => story.why.hops.map((h) => h.hop);

test('a call from webhook to end', async (t) => {
  const made = await rig(t, { rules: [{ match: /answer/, reply: 'It is forty-two.' }] });
  const before = Date.now();
  const call = await run(made, { from: KNOWN, script: [{ wait: 'greeting' },
    { caller: 'What is the answer?' }, { wait: 'tool' }, { wait: 'assistant' },
    { caller: 'goodbye' }, { waitEnd: true }] });
  const story = await assertStory(made, call);
  const id = story.call.call;
  assert.match(id, /^call_[0-9a-z]{26}$/);

  await t.test('events stand in order and carry their fields', () => {
    assert.equal(made.host.events[0].event, 'ready');
    assert.match(made.host.events[0].url, /^http:\/\/127\.0\.0\.1:[0-9]+$/);
    const events = made.eventsOf(call);
    const names = events.map((e) => e.event);
    assert.deepEqual(names.slice(0, 3), ['call.incoming', 'call.accepted', 'call.live']);
    assert.equal(names.at(-1), 'call.ended');
    assert.equal(names.filter((n) => n === 'call.ended').length, 1);
    assert.deepEqual([...new Set(names.slice(3, -1))].sort(), ['tool', 'turn']);
    for (const event of events) {
      assert.equal(event.call, id);
      assert.ok(event.at >= before && event.at <= Date.now(), 'a time in ms');
    }
    const [incoming, accepted, live] = events;
    assert.deepEqual([incoming.openai_call_id, incoming.from, incoming.level, incoming.direction],
      [call.callId, KNOWN, 'known', 'inbound']);
    assert.equal(accepted.model, 'gpt-realtime-2.1');
    assert.equal(live.reattached, false);
    const end = events.at(-1);
    assert.deepEqual([end.reason, end.openai_call_id, end.turns], ['assistant_ended', call.callId, 6]);
    assert.ok(end.duration_ms > 0);
    const phases = events.filter((e) => e.event === 'tool' && e.tool === 'ask_openclaw')
      .map((e) => e.phase);
    assert.deepEqual(phases, ['asked', 'acting', 'done']);
    assert.ok(names.indexOf('tool') > names.indexOf('turn'), 'says that it checks before it asks');
  });
  await t.test('by our id and by OpenAI\'s the API tells the same', async () => {
    for (const tail of ['', '/transcript', '/why'])
      assert.deepEqual(await made.get(`/calls/${id}${tail}`), await made.get(`/calls/${call.callId}${tail}`));
    const list = (await made.get('/calls')).calls;
    assert.equal(list.length, 1);
    assert.equal(list[0].call, id);
    assert.equal((await made.get('/calls?state=live')).calls.length, 0);
    assert.equal((await made.get('/calls?state=over')).calls.length, 1);
    assert.deepEqual([story.call.state, story.call.reason, story.call.level],
      ['over', 'assistant_ended', 'known']);
    assert.deepEqual(Object.keys(story.transcript).sort(), ['call', 'turns']);
    for (const turn of story.transcript.turns)
      assert.deepEqual(Object.keys(turn).sort(), ['at', 'interrupted', 'item_id', 'text', 'who']);
  });
  await t.test('why tells it hop by hop with times', () => {
    const names = hops(story);
    const order = ['webhook', 'accept_sent', 'accepted', 'sideband_open', 'greeting_asked', 'first_audio',
      'tool_done', 'goodbye', 'goodbye_heard', 'hangup_sent', 'over'];
    assert.deepEqual(names.filter((n) => order.includes(n)), order);
    let last = 0;
    for (const hop of story.why.hops) {
      assert.ok(hop.at >= last && hop.text !== '' && hop.after_ms >= 0, JSON.stringify(hop));
      last = hop.at;
    }
    assert.equal(story.why.went_wrong, false);
    assert.match(story.why.summary, /goodbye/);
  });
  await t.test('usage is the sum of what the service told', () => {
    const sum = { responses: 0, input: 0, output: 0, audio: 0, text: 0, cached: 0, asr: 0 };
    for (const { event } of call.serverEvents) {
      const u = event.type === 'response.done' ? event.response.usage : null;
      if (u) {
        sum.responses += 1;
        sum.input += u.input_tokens;
        sum.output += u.output_tokens;
        sum.audio += u.output_token_details.audio_tokens;
        sum.text += u.output_token_details.text_tokens;
        sum.cached += u.input_token_details.cached_tokens;
      }
      if (/transcription.completed$/.test(event.type))
        sum.asr += event.usage.total_tokens;
    }
    const { usage } = story.call;
    assert.deepEqual({ responses: usage.responses, input: usage.input_tokens,
      output: usage.output_tokens, audio: usage.output_audio_tokens, text: usage.output_text_tokens,
      cached: usage.cached_tokens, asr: usage.transcription_tokens }, sum);
    assert.equal(sum.responses, 4);
  });
  await t.test('one accept, one sideband, one hang-up, one greeting', () => {
    for (const action of ['accept', 'sideband', 'hangup'])
      assert.equal(requestsOf(call, action).length, 1, action);
    assert.equal(call.activeResponseErrors, 0);
    assert.equal(creates(call).length, 2, 'greeting and answer');
  });
});

for (const late of [false, true]) {
  test(`an interruption, told ${late ? 'after' : 'before'} the response's end`, async (t) => {
    const made = await rig(t, { sim: { speed: 10, faults: { truncatedLate: late } } });
    const long = 'This is a rather long explanation, which goes on for quite a while, and which nobody '
      + 'wants to hear to its very end, because it has so many words in it that mean nothing.';
    const call = await run(made, { script: [{ wait: 'greeting' },
      { caller: 'Please explain.', plan: { items: [{ say: long }] } },
      { caller: 'Stop, that is enough.', bargeIn: true, afterMs: 4000 }, { wait: 'assistant' },
      { caller: 'Once more.', plan: { items: [{ say: long }, { say: 'And this is a second message.' }] } },
      { caller: 'Stop it again.', bargeIn: true, afterMs: 1500 }, { wait: 'assistant' },
      { caller: 'goodbye' }, { waitEnd: true }] });
    const story = await assertStory(made, call);
    const cut = story.transcript.turns.filter((turn) => turn.interrupted);
    assert.ok(cut.length >= 2, 'both explanations were cut');
    assert.ok(cut[0].text.length > 20 && cut[0].text.length < long.length, cut[0].text);
    assert.equal(story.why.turns.interrupted, cut.length);
  });
}

test('an interruption when all was generated but not all was heard', async (t) => {
  const made = await rig(t, { sim: { speed: 10, timing: { generationRatio: 50 } } });
  const long = 'One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen '
    + 'sixteen seventeen eighteen nineteen twenty.';
  const call = await run(made, { script: [{ wait: 'greeting' },
    { caller: 'Count.', plan: { items: [{ say: long }] } },
    { caller: 'Enough.', bargeIn: true, afterMs: 4000 }, { wait: 'assistant' }, { hangup: true }] });
  const { transcript } = await assertStory(made, call);
  const counted = transcript.turns.find((turn) => turn.text.startsWith('One two'));
  assert.equal(counted.interrupted, true);
  assert.ok(counted.text.length < long.length, counted.text);
  const first = made.eventsOf(call).find((e) => e.event === 'turn' && e.item_id === counted.item_id);
  assert.equal(first.text, long, 'first told whole, at response.done');
});

test('a turn is durable at response.done, not when it was heard', async (t) => {
  const made = await rig(t, { sim: { speed: 2, timing: { generationRatio: 100 } } });
  const call = made.call({ script: [{ waitEnd: true }] });
  await call.waitEvent('response.done');
  await sleep(150);
  assert.equal(call.playback.playing, true, 'still being heard');
  const turns = made.rows('SELECT text FROM turn');
  assert.equal(turns.length, 1);
  call.hangup();
  await made.ended(call);
});

const disorders = {
  duplicates: ['response.done', 'response.created', 'input_audio_buffer.committed', 'conversation.item.added',
    'conversation.item.done', 'conversation.item.input_audio_transcription.completed',
    'output_audio_buffer.started', 'output_audio_buffer.stopped', 'session.created',
    'response.function_call_arguments.done', 'response.output_item.done']
    .map((type) => ({ type, action: 'duplicate', times: Infinity })),
  reordered: ['conversation.item.added', 'conversation.item.done', 'response.output_item.done',
    'input_audio_buffer.committed', 'output_audio_buffer.started', 'rate_limits.updated']
    .map((type) => ({ type, action: 'swap', times: Infinity })),
  // But for the last one: what comes after the hang-up is lost.
  'late transcriptions': [{ match: (e) => /transcription\.completed$/.test(e.type)
    && e.transcript !== 'goodbye', action: 'delay', ms: 400, times: Infinity }],
  'late ends of responses': [{ type: 'response.done', action: 'delay', ms: 150, times: Infinity }],
  'late positions': [{ type: 'conversation.item.added', action: 'delay', ms: 120, times: Infinity },
    { type: 'input_audio_buffer.committed', action: 'delay', ms: 60, times: Infinity }],
};

for (const [name, events] of Object.entries(disorders)) {
  test(`disorder of events: ${name}`, async (t) => {
    const made = await rig(t, { rules: [{ reply: 'It is forty-two.' }] });
    const call = await run(made, { from: KNOWN, faults: { events: events.map((e) => ({ ...e })) },
      script: [...chat.slice(0, 3), { caller: 'What is the answer?' }, { wait: 'tool' },
        { wait: 'assistant' }, ...chat.slice(3, -2), { silence: 500 }, ...chat.slice(-2)] });
    const story = await made.story(call);
    const told = story.transcript.turns;
    await assertStory(made, call).catch((error) => {
      error.message += `\n${told.map((x) => `${x.who}: ${x.text}`).join('\n')}`;
      throw error;
    });
    for (const tool of call.toolCalls.values())
      assert.equal(tool.outputs.length, 1, `${tool.name} got one output`);
    assert.equal(requestsOf(call, 'hangup').length, 1);
    assert.equal(story.call.reason, 'assistant_ended');
  });
}

test('a transcription that fails leaves an empty turn in its place', async (t) => {
  const made = await rig(t);
  const call = await run(made, { script: [{ wait: 'greeting' },
    { caller: 'mumble', transcriptFails: true }, { wait: 'assistant' },
    { caller: 'Clear words.' }, { wait: 'assistant' }, { caller: 'goodbye' }, { waitEnd: true }] });
  const { transcript } = await made.story(call);
  const caller = transcript.turns.filter((turn) => turn.who === 'caller');
  assert.deepEqual(caller.map((turn) => turn.text), ['', 'Clear words.', 'goodbye']);
  assert.equal(transcript.turns[1].who, 'caller', 'behind the greeting');
});

test('a transcription that differs from what was said, and one in another script', async (t) => {
  const made = await rig(t);
  const call = await run(made, { script: [{ wait: 'greeting' },
    { caller: 'one', transcript: '  Füße, 東京, \u{1F600} "quoted" \\ back\nslash  ' },
    { wait: 'assistant' }, { hangup: true }] });
  const { transcript } = await made.story(call);
  assert.equal(transcript.turns[1].text, 'Füße, 東京, \u{1F600} "quoted" \\ back\nslash');
});

test('nulls, unknown events and errors harm nothing', async (t) => {
  const made = await rig(t, { clean: false });
  const odd = [{ type: 'response.new_thing.delta', a: [1, { b: null }] }, { type: 'error', error: {
    type: 'server_error', code: null, message: 'something passing', param: null, event_id: null } },
  { type: 'response.done', response: null }, { type: 'response.done' }, { type: 'session.created' },
  { type: 'conversation.item.added', item: null, previous_item_id: null }, { type: null },
  { type: 'conversation.item.truncated', item_id: null, audio_end_ms: -5 }, { nothing: 1 },
  { type: 'output_audio_buffer.stopped' }, { type: 'response.created', response: { id: null } },
  { type: 'error', error: { type: 'invalid_request_error', code: 'response_cancel_not_active',
    message: 'Cancellation failed: no active response found', param: null, event_id: null } }];
  const call = await run(made, { faults: { nulls: true }, script: [{ wait: 'greeting' },
    { do: (c) => {
      odd.forEach((event) => c.inject(event));
      for (const raw of ['no json', '{"type":', '[]', '42', '""', '{}', '{"type":"\\ud800"}'])
        c.sendRaw(raw);
    } }, { silence: 200 }, ...chat.slice(1)] });
  const story = await assertStory(made, call);
  assert.equal(story.call.reason, 'assistant_ended');
  assert.equal(requestsOf(call, 'sideband').length, 1, 'the sideband stayed');
});

test('frames of a mebibyte, fragments and single bytes', async (t) => {
  const made = await rig(t);
  const call = await run(made, { faults: { sideband: { fragment: true, pingMs: 50 } }, script: [
    { wait: 'greeting' },
    { do: (c) => {
      for (let i = 0; i < 4; i += 1) {
        c.sendRaw(JSON.stringify({ type: 'response.output_audio.delta', event_id: `e${i}`,
          response_id: 'resp_x', item_id: 'item_x', output_index: 0, content_index: 0,
          delta: 'A'.repeat(1 << 20) }));
      }
    } }, { silence: 100 }, ...chat.slice(1)] });
  const story = await assertStory(made, call);
  assert.equal(story.call.reason, 'assistant_ended');
  assert.equal(requestsOf(call, 'sideband').length, 1, 'the sideband stayed');
});

test('a binary frame does not end the call', async (t) => {
  const made = await rig(t);
  const call = await run(made, { script: [{ wait: 'greeting' },
    { do: (c) => c.sendRaw(Buffer.from([0, 1, 2, 255]), { binary: true }) }, { silence: 600 },
    ...chat.slice(1)] });
  const story = await made.story(call);
  assert.equal(story.call.reason, 'assistant_ended');
  assert.ok(story.transcript.turns.length >= 6);
});

test('a goodbye is heard to its end before the hang-up', async (t) => {
  const made = await rig(t, { sim: { speed: 4, timing: { generationRatio: 40 } } });
  const words = 'Goodbye then, it was very nice to talk to you, have a wonderful day, and call again '
    + 'whenever you need anything at all.';
  const call = made.call({ script: [{ wait: 'greeting' },
    { caller: 'bye', plan: { items: [{ say: words }, { call: 'end_call', args: {} }] } },
    { waitEnd: true }] });
  const spans = heard(call);
  const result = await call.done;
  await made.ended(call);
  assert.equal(result.reason, 'hangup');
  const [hangup] = requestsOf(call, 'hangup');
  const done = call.serverEvents.filter((e) => e.type === 'response.done').at(-1);
  assert.ok(hangup.t - done.t > 800, 'the end of generation is not the end of hearing');
  assert.ok(spans.at(-1).stopped !== null && hangup.t >= spans.at(-1).stopped,
    'the hang-up comes after the last word was heard');
  assert.ok(hangup.t - spans.at(-1).stopped < 500, 'and soon after it');
  const goodbye = (await assertStory(made, call)).transcript.turns.at(-1);
  assert.deepEqual([goodbye.text, goodbye.interrupted], [words, false]);
  assert.equal(creates(call).length, 1, 'no response was asked for after the goodbye');
});

test('a hang-up comes also when the end of the goodbye is never told', async (t) => {
  const made = await rig(t);
  const call = made.call({ faults: { events: [{ match: (e) => e.type === 'output_audio_buffer.stopped'
    && call.turns.length > 2, action: 'drop', times: Infinity }] },
  script: [{ wait: 'greeting' }, { caller: 'goodbye' }, { waitEnd: true }] });
  const result = await call.done;
  assert.equal(result.reason, 'hangup');
  const done = call.serverEvents.filter((e) => e.type === 'response.done').at(-1);
  const [hangup] = requestsOf(call, 'hangup');
  assert.ok(hangup.t - done.t <= 12500, `after ${hangup.t - done.t} ms`);
  assert.equal((await made.ended(call)).reason, 'assistant_ended');
});

test('end_call without words still says goodbye', async (t) => {
  const made = await rig(t);
  const call = await run(made, { script: [{ wait: 'greeting' },
    { caller: 'go away', plan: { items: [{ call: 'end_call', args: '' }] } }, { waitEnd: true }] });
  const story = await assertStory(made, call);
  assert.equal(story.call.reason, 'assistant_ended');
  assert.equal(story.transcript.turns.at(-1).who, 'assistant');
  assert.equal(creates(call).length, 2, 'greeting and goodbye');
  const last = call.serverEvents.filter((e) => e.type === 'output_audio_buffer.stopped').at(-1);
  assert.ok(requestsOf(call, 'hangup')[0].t >= last.t);
  assert.equal(outputsOf(call).length <= 1, true);
});

test('a caller who speaks into the goodbye is hung up on all the same', async (t) => {
  const made = await rig(t, { sim: { speed: 10, timing: { generationRatio: 50 } } });
  const call = await run(made, { script: [{ wait: 'greeting' }, { caller: 'goodbye',
    plan: { items: [{ say: 'Goodbye then, and have a very nice day with much sunshine, you and yours.' },
      { call: 'end_call', args: {} }] } },
  { caller: 'Wait', bargeIn: true, afterMs: 2000 }, { waitEnd: true, ms: 8000 }] });
  const story = await made.story(call);
  assert.equal(story.call.reason, 'assistant_ended');
  const goodbye = story.transcript.turns.find((turn) => turn.text.startsWith('Goodbye'));
  assert.equal(goodbye.interrupted, true);
});

test('a goodbye that is interrupted before the model asked to hang up ends nothing', async (t) => {
  const made = await rig(t, { sim: { speed: 10 } });
  const call = await run(made, { script: [{ wait: 'greeting' }, { caller: 'goodbye' },
    { caller: 'Wait', bargeIn: true, afterMs: 200 }, { wait: 'assistant' }, { silence: 300 },
    { hangup: true }] });
  const story = await assertStory(made, call);
  assert.equal(story.call.reason, 'caller_hung_up');
  assert.equal(requestsOf(call, 'hangup').length, 0);
});

test('silence ends a call after a goodbye', async (t) => {
  const made = await rig(t, { changes: { channels: { voice: { call: { silence_timeout_seconds: 1 } } } } });
  const call = made.call({ script: [{ wait: 'greeting' }, { caller: 'One thing.' },
    { wait: 'assistant' }, { waitEnd: true }] });
  const spans = heard(call);
  const result = await call.done;
  assert.equal(result.reason, 'hangup');
  const end = await made.ended(call);
  assert.equal(end.reason, 'silence');
  const quiet = spans.at(-1).started - spans.at(-2).stopped;
  assert.ok(quiet >= 950 && quiet < 2200, `it was quiet for ${quiet} ms before the goodbye`);
  const story = await assertStory(made, call);
  assert.match(story.why.summary, /Nobody spoke/);
  assert.match(story.why.cure, /silence_timeout|auto_end_on_silence|Raise/);
});

test('silence ends nothing when that is off', async (t) => {
  const made = await rig(t, { changes: { channels: { voice: { call: { silence_timeout_seconds: 1,
    auto_end_on_silence: false } } } } });
  const call = await run(made, { script: [{ wait: 'greeting' }, { silence: 2500 }, { hangup: true }] });
  assert.equal((await made.ended(call)).reason, 'caller_hung_up');
});

test('the service\'s own limit: a warning, then a goodbye before it comes', async (t) => {
  const made = await rig(t);
  const call = made.call({ sessionMs: 19000, script: [{ wait: 'greeting' }, { waitEnd: true }] });
  const result = await call.done;
  assert.equal(result.reason, 'hangup', 'ours came first');
  const end = await made.ended(call);
  assert.equal(end.reason, 'session_expired');
  const told = creates(call).map((e) => e.event.response?.instructions ?? '');
  assert.equal(told.filter((words) => /must end soon/.test(words)).length, 1, 'one warning');
  assert.match(told.at(-1), /time of this call is up/);
  await assertStory(made, call);
});

test('the longest duration: a spoken warning, then a goodbye', onlyLong('a minute'), async (t) => {
  const made = await rig(t, { changes: { channels: { voice: {
    call: { max_call_duration_minutes: 1 } } } } });
  const call = made.call({ idleMs: 200000, script: [{ wait: 'greeting' }, { waitEnd: true, ms: 90000 }] });
  const result = await call.done;
  assert.equal(result.reason, 'hangup');
  assert.ok(Math.abs(result.durationMs - 60000) < 3000, `${result.durationMs} ms`);
  assert.equal((await made.ended(call)).reason, 'max_duration');
  const told = creates(call).map((e) => e.event.response?.instructions ?? '');
  assert.equal(told.filter((words) => /must end soon/.test(words)).length, 1, 'one warning');
  await assertStory(made, call);
});

for (const [when, script] of Object.entries({
  'after a conversation': chat.slice(0, 3).concat({ hangup: true }),
  'in the middle of the greeting': [{ do: (c) => c.waitEvent('output_audio_buffer.started') }, { hangup: true }],
  'before anything was said': [{ do: (c) => c.waitEvent('session.created') }, { hangup: true }] })) {
  test(`the caller hangs up ${when}`, async (t) => {
    const made = await rig(t, { sim: { speed: 10 } });
    const call = made.call({ script });
    await call.done;
    const end = await made.ended(call);
    assert.equal(end.reason, 'caller_hung_up');
    const story = await made.story(call);
    assert.ok(Math.abs(story.call.ended_at - call.endedAt) < 250,
      `ended_at is ${story.call.ended_at - call.endedAt} ms off`);
    assert.equal(requestsOf(call, 'hangup').length, 0, 'nothing to hang up');
    assert.equal(story.why.reason, 'caller_hung_up');
  });
}

test('what was about to be transcribed when the caller hung up is not invented', async (t) => {
  const made = await rig(t);
  const call = await run(made, { script: [{ wait: 'greeting' },
    { caller: 'Last words', transcriptMs: 5000 }, { hangup: true }] });
  const { transcript } = await made.story(call);
  assert.deepEqual(transcript.turns.map((turn) => turn.who).filter((who) => who === 'caller'), []);
});
