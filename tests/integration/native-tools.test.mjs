/* SPDX-License-Identifier: MIT */
// ask_openclaw and its sisters through the native host and a gateway's endpoint.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor, tmpdir } from '../lib/util.mjs';
import { KNOWN, STRANGER, assertStory, creates, heard, logLines, outputsOf, rig, pinHash } from './native-kit.mjs';

const ask = [{ wait: 'greeting' }, { caller: 'What is the answer?' }, { wait: 'tool' },
  { wait: 'assistant' }];
const bye = [{ caller: 'goodbye' }, { waitEnd: true }];
const callKeys = (call) => ({ channels: { voice: { call } } });

/* Runs a call to its end and returns it. */
async function run(made, opts) {
  const call = made.call({ from: KNOWN, ...opts });
  const result = await call.done;
  assert.equal(result.scriptError, null);
  await made.ended(call);
  return call;
}

const phases = (made, call, tool = 'ask_openclaw') => made.eventsOf(call)
  .filter((e) => e.event === 'tool' && e.tool === tool).map((e) => e.phase);
const toolNames = (session) => session.tools.map((tool) => tool.name);

/* Each output was given once, and each batch of outputs was followed by one response. */
function assertOnce(call) {
  for (const tool of call.toolCalls.values()) {
    if (tool.name !== 'end_call')
      assert.equal(tool.outputs.length, 1, `outputs of ${tool.name} ${tool.call_id}`);
  }
  assert.equal(call.activeResponseErrors, 0, 'never two responses at once');
}

test('a streamed answer is spoken', async (t) => {
  const made = await rig(t, { rules: [{ match: 'answer', reply: 'Well, it is forty-two.',
    chunks: ['Well, ', 'it is ', 'forty-', 'two.'], chunkMs: 60 }] });
  const call = await run(made, { script: [...ask, ...bye] });
  assertOnce(call);
  const [chat] = made.gateway.chats;
  assert.equal(chat.body.stream, true);
  assert.equal(chat.words, 'What is the answer?');
  assert.equal(chat.sessionKey, `agent:main:voice:caller:${KNOWN}`);
  assert.equal(chat.headers['x-openclaw-message-channel'], 'voice');
  assert.equal(chat.headers.authorization, `Bearer ${made.gateway.token}`);
  assert.equal(outputsOf(call)[0].output, 'Well, it is forty-two.');
  assert.deepEqual(phases(made, call), ['asked', 'acting', 'done']);
  const { transcript, why } = await assertStory(made, call);
  assert.ok(transcript.turns.some((turn) => turn.text === 'Well, it is forty-two.'));
  assert.match(call.session.instructions, /ask_openclaw.*before you call it/s);
  assert.equal(why.tools[0].state, 'closed');
  assert.equal(why.tools[0].output, 'Well, it is forty-two.');
});

test('an answer in odd letters and of odd length comes through whole', async (t) => {
  const text = `${'Größe 東京 \u{1F600} "so" \\ '.repeat(30)}end.`;
  const made = await rig(t, { rules: [{ reply: text, chunks: [...text].map((c) => c).slice(0, 400)
    .concat([...text].slice(400).join('')), chunkMs: 0 }] });
  const call = await run(made, { script: [...ask, { hangup: true }] });
  assert.equal(outputsOf(call)[0].output, text);
});

const faults = {
  401: { rule: { status: 401 }, log: /401.*gateway_token/ },
  404: { rule: { status: 404 }, log: /404.*chatCompletions/ },
  500: { rule: { status: 500 }, log: /500/ },
  'a stream that breaks off': { rule: { reply: 'never whole', chunks: ['one ', 'two ', 'three'], cutAfter: 2 },
    log: /agent run failed/ },
  'an empty answer': { rule: { reply: '', chunks: [''] }, log: /empty/ },
  'an error in the stream': { rule: { status: 200, body: { error: { message: 'x' } } }, log: /agent run failed/ },
};

describe('the gateway fails', { concurrency: 4 }, () => {
  for (const [name, { rule, log }] of Object.entries(faults)) {
    test(name, async (t) => {
      const made = await rig(t, { rules: [{ ...rule }] });
      const call = await run(made, { script: [...ask,
        { caller: 'And now?', plan: { items: [{ say: 'Fine.' }] } }, { wait: 'assistant' }, ...bye] });
      assertOnce(call);
      const [output] = outputsOf(call);
      assert.match(output.output, /could not answer/);
      assert.match(output.output, /honest/);
      assert.deepEqual(phases(made, call).at(-1), 'failed');
      assert.equal(logLines(made.host, log).length >= 1, true, made.host.stderr.text);
      assert.ok(!made.host.stderr.text.includes(made.gateway.token), 'no token in the log');
      const { why } = await assertStory(made, call);
      assert.ok(why.hops.some((h) => h.hop === 'tool_failed'));
    });
  }
});

test('the gateway is down', async (t) => {
  const made = await rig(t, { rules: [] });
  await made.gateway.server.close();
  const call = await run(made, { script: [...ask, ...bye] });
  assertOnce(call);
  assert.match(outputsOf(call)[0].output, /could not answer/);
  assert.ok((await made.story(call)).why.hops.some((h) => h.hop === 'tool_failed'));
});

test('no silence while the agent works, and the late result is spoken', async (t) => {
  const made = await rig(t, { changes: callKeys({ filler_after_ms: 700, progress_every_ms: 1500,
    tool_timeout_ms: 5000 }), rules: [{ delayMs: 7000, reply: 'At last: forty-two.' }] });
  const call = made.call({ from: KNOWN, script: [...ask, { do: (c) => c.waitEvent((e) => e.type
    === 'response.done' && JSON.stringify(e).includes('At last'), { timeoutMs: 8000 }) },
  { silence: 1500 }, { hangup: true }] });
  const spans = heard(call);
  const result = await call.done;
  assert.equal(result.scriptError, null);
  await made.ended(call);
  assertOnce(call);
  const [output] = outputsOf(call);
  assert.match(output.output, /Not finished/i);
  assert.match(output.output, /honest/);
  const fillers = creates(call).filter((e) => /still/.test(e.event.response?.instructions ?? ''));
  assert.ok(fillers.length >= 3 && fillers.length <= 4, `${fillers.length} fillers in 5 s`);
  for (const filler of fillers) {
    assert.equal(filler.event.response.tool_choice, 'none', 'a filler asks for no tools');
    assert.ok(!filler.event.response.conversation, 'it is heard in the conversation');
  }
  // From the first word to the timeout nobody waited longer than was configured, but for speaking.
  const asked = made.eventsOf(call).find((e) => e.event === 'tool' && e.phase === 'asked').at;
  const timeout = made.eventsOf(call).find((e) => e.event === 'tool' && e.phase === 'timeout').at;
  assert.ok(Math.abs(timeout - asked - 5000) < 400, `the honest answer came after ${timeout - asked} ms`);
  const after = spans.filter((s) => s.stopped > asked && s.started < timeout + 1000);
  const gaps = after.slice(1).map((s, i) => s.started - after[i].stopped);
  assert.ok(gaps[0] >= 600 && gaps[0] < 1300, `the first filler after ${gaps[0]} ms of silence`);
  for (const gap of gaps.slice(1))
    assert.ok(gap < 1900, `silence of ${gap} ms (all: ${gaps.join(' ')})`);
  const { transcript, why } = await assertStory(made, call);
  assert.ok(transcript.turns.some((turn) => /At last: forty-two/.test(turn.text)), 'the late result');
  assert.deepEqual(phases(made, call).filter((p) => p !== 'filler'), ['asked', 'timeout', 'acting', 'late']);
  const news = call.events.filter((e) => e.type === 'conversation.item.create'
    && e.event.item.type === 'message');
  assert.equal(news.length, 1);
  assert.equal(news[0].event.item.role, 'system');
  assert.ok(why.hops.some((h) => h.hop === 'tool_timeout') && why.hops.some((h) => h.hop === 'tool_late'));
});

test('a tool does not count as silence', async (t) => {
  const made = await rig(t, { changes: callKeys({ silence_timeout_seconds: 1, filler_after_ms: 10000,
    tool_timeout_ms: 30000 }), rules: [{ delayMs: 3000, reply: 'Forty-two.' }] });
  const call = await run(made, { script: [...ask, { hangup: true }] });
  assert.equal((await made.ended(call)).reason, 'caller_hung_up');
  assert.equal(outputsOf(call)[0].output, 'Forty-two.');
});

test('a caller who talks meanwhile gets answers, never two at once', async (t) => {
  const made = await rig(t, { sim: { speed: 10 }, changes: callKeys({ filler_after_ms: 500, progress_every_ms: 1000 }),
    rules: [{ delayMs: 2500, reply: 'It is forty-two, and here are a few more words about it.' }] });
  const call = await run(made, { script: [...ask.slice(0, 2), { do: (c) => c.waitEvent((e) => e.type
    === 'response.done' && e.response.output.some((o) => o.type === 'function_call')) },
  { caller: 'By the way, it rains.' }, { wait: 'assistant' }, { caller: 'Really a lot.' },
  { wait: 'assistant' }, { caller: 'Are you there yet, my friend.', bargeIn: false }, { wait: 'tool' }, { wait: 'assistant' },
  { silence: 800 }, { hangup: true }] });
  assertOnce(call);
  const { transcript } = await assertStory(made, call);
  assert.ok(transcript.turns.some((turn) => turn.text.startsWith('It is forty-two')), 'the answer was spoken');
});

test('hanging up cancels what has not begun, and not what has', async (t) => {
  const made = await rig(t, { rules: [{ match: 'slow', delayMs: 20000, reply: 'too late' },
    { match: 'begun', chunks: ['I have ', 'done ', 'it.'], chunkMs: 700 }] });
  const toTool = (words) => [{ wait: 'greeting' }, { caller: words },
    { do: () => made.gateway.waitChat((c) => c.words === words) }];
  const slow = await run(made, { script: [...toTool('A slow one?'), { hangup: true }] });
  const chat = await made.gateway.waitChat((c) => c.words === 'A slow one?');
  await waitFor(() => chat.aborted, { timeoutMs: 3000, what: 'abort at the endpoint' });
  assert.equal(chat.chunksSent, 0);
  assert.deepEqual(phases(made, slow), ['asked', 'cancelled']);
  const begun = await run(made, { script: [...toTool('One that has begun?'),
    { do: (c) => waitFor(() => made.eventsOf(c).some((e) => e.phase === 'acting')) }, { hangup: true }] });
  const second = await made.gateway.waitChat((c) => c.words === 'One that has begun?');
  await waitFor(() => second.finishedAt, { timeoutMs: 5000, what: 'the end of the stream' });
  assert.equal(second.aborted, false, 'left to its end');
  assert.deepEqual(phases(made, begun), ['asked', 'acting']);
});

test('several calls in one response: all outputs, then one response', async (t) => {
  const made = await rig(t, { rules: [{ match: 'first', delayMs: 300, reply: 'One.' },
    { match: 'second', delayMs: 900, reply: 'Two.' }] });
  const call = await run(made, { script: [{ wait: 'greeting' }, { caller: 'Both of them?', plan: { items: [
    { say: 'Let me check both.' }, { call: 'ask_openclaw', args: { request: 'the first' } },
    { call: 'ask_openclaw', args: { request: 'the second' } },
    { call: 'ask_openclaw', args: { wrong: 1 } }] } },
  { wait: 'tool' }, { wait: 'tool' }, { wait: 'tool' }, { wait: 'assistant' }, { silence: 300 },
  ...bye] });
  assertOnce(call);
  const log = call.events.map((e) => (e.type === 'conversation.item.create' ? e.event.item.type
    : e.type));
  const at = log.indexOf('function_call_output');
  assert.deepEqual(log.slice(at, at + 4), ['function_call_output', 'function_call_output',
    'function_call_output', 'response.create']);
  assert.equal(creates(call).length, 2, 'the greeting and one for all outputs');
  await assertStory(made, call);
});

test('a response that was cancelled, failed or is incomplete runs nothing', async (t) => {
  const made = await rig(t, { rules: [{ reply: 'must not be asked' }] });
  const items = [{ say: 'Let me check that.' }, { call: 'ask_openclaw', args: { request: 'x' } }];
  const call = await run(made, { script: [{ wait: 'greeting' },
    { caller: 'cancelled', plan: { items, status: 'cancelled', reason: 'client_cancelled' } }, { silence: 400 },
    { caller: 'incomplete', plan: { items, status: 'incomplete', reason: 'max_output_tokens' } }, { silence: 400 },
    { caller: 'half', plan: { items: [{ call: 'ask_openclaw', args: { request: `Tell me ${'a'.repeat(400)}` } }] } },
    { caller: 'goodbye' }, { waitEnd: true }] });
  const tools = [...call.toolCalls.values()];
  const ran = tools.filter((tool) => tool.status === 'completed' && tool.name === 'ask_openclaw');
  assert.equal(made.gateway.chats.length, ran.length);
  assert.ok(tools.length >= 2);
  for (const tool of tools.filter((x) => x.status !== 'completed'))
    assert.equal(tool.outputs.length, 0);
});

test('arguments that are wrong, and tools that do not exist, get an answer', async (t) => {
  const made = await rig(t, { rules: [{ reply: 'must not be asked' }] });
  const wrong = ['{"request":', '[]', '{"request":""}', '{"request":42}', '{"request":null}', 'null', ''];
  const call = await run(made, { script: [{ wait: 'greeting' },
    ...wrong.flatMap((args) => [{ caller: 'try', plan: { items: [{ call: 'ask_openclaw', args }] } },
      { wait: 'tool' }, { wait: 'assistant' }]),
    { caller: 'other', plan: { items: [{ call: 'rm_rf', args: {} }] } }, { wait: 'tool' },
    { wait: 'assistant' }, ...bye] });
  assertOnce(call);
  const outputs = outputsOf(call).map((o) => o.output);
  for (const output of outputs.slice(0, wrong.length))
    assert.match(output, /arguments were not understood/);
  assert.match(outputs[wrong.length], /no such tool/);
  assert.equal(made.gateway.chats.length, 0);
});

/* What the plugin answers itself: reads of the caller's own history, in every level but none. */
const OWN = ['memory_search', 'remember_caller'];
const levels = [
  // tools.known, caller, whether the agent is offered and works, what else is there
  [undefined, KNOWN, false, OWN], ['none', KNOWN, false, []], ['safe', KNOWN, false, OWN], ['full', KNOWN, true, OWN],
  ['full', STRANGER, false, []], ['full', null, false, []]];

describe('what a level opens', { concurrency: 4 }, () => {
  for (const [known, from, works, own] of levels) {
    test(`tools.known ${known ?? 'by default'}, ${from === KNOWN ? 'a known caller' : from === null
      ? 'a withheld number' : 'a stranger'}: ${works ? 'tools' : 'no tools'}`, async (t) => {
      const made = await rig(t, { rules: [{ reply: 'Forty-two.' }],
        changes: { security: { voice: { tools: { known } } } } });
      const call = await run(made, { from, script: [{ wait: 'greeting' }, { caller: 'Tell.', plan: { items: [
        { call: 'ask_openclaw', args: { request: 'the answer' } }] } }, { wait: 'tool' },
      { wait: 'assistant' }, ...bye] });
      assertOnce(call);
      assert.deepEqual(toolNames(call.session), [...(works ? ['ask_openclaw'] : []), 'end_call', ...own]);
      assert.equal(made.gateway.chats.length, works ? 1 : 0);
      assert.match(outputsOf(call)[0].output, works ? /^Forty-two\.$/ : /^Refused/);
      if (!works)
        assert.deepEqual(phases(made, call), ['refused']);
      assert.equal(/not known to the user/.test(call.session.instructions), from !== KNOWN);
      assert.match(call.session.instructions, from === null ? /withheld/ : /can be forged/);
    });
  }
});

test('no gateway configured: no agent is offered', async (t) => {
  const made = await rig(t);
  const call = await run(made, { script: [{ wait: 'greeting' }, ...bye] });
  assert.deepEqual(toolNames(call.session), ['end_call', ...OWN]);
});

const pinCall = (pin) => ({ caller: 'My secret number.', plan: { items: [{ call: 'verify_identity',
  args: { pin } }] } });

test('the PIN opens the tools in the middle of the call', async (t) => {
  const made = await rig(t, { rules: [{ reply: 'Forty-two.' }],
    changes: { security: { voice: { tools: { pin_hash: pinHash('90817263') } } },
      logging: { voice: { level: 'debug', include_transcripts: false } } } });
  const call = await run(made, { from: STRANGER, script: [{ wait: 'greeting' },
    pinCall('1234'), { wait: 'tool' }, { wait: 'assistant' },
    { caller: 'Tell.', plan: { items: [{ call: 'ask_openclaw', args: { request: 'too early' } }] } },
    { wait: 'tool' }, { wait: 'assistant' },
    pinCall('90817263'), { wait: 'tool' }, { wait: 'assistant' },
    { caller: 'What is the answer?' }, { wait: 'tool' }, { wait: 'assistant' }, ...bye] });
  assertOnce(call);
  const outputs = outputsOf(call).map((o) => o.output);
  assert.match(outputs[0], /wrong/);
  assert.match(outputs[1], /^Refused/);
  assert.match(outputs[2], /^Verified/);
  assert.equal(outputs[3], 'Forty-two.');
  assert.deepEqual(made.gateway.chats.map((c) => c.words), ['What is the answer?']);
  const update = call.events.find((e) => e.type === 'session.update');
  assert.ok(update, 'the session was told');
  assert.deepEqual(toolNames(update.event.session), ['ask_openclaw', 'end_call']);
  const story = await made.story(call);
  assert.equal(story.call.level, 'proven');
  const everywhere = JSON.stringify([story, made.host.events, made.rows('SELECT * FROM tool_run'),
    made.rows('SELECT * FROM hop')]) + made.host.stderr.text;
  assert.ok(!everywhere.includes('90817263'), 'the PIN stands nowhere');
  // Caller ID is no proof: the next call from there begins anew.
  const next = await run(made, { from: STRANGER, script: [{ wait: 'greeting' }, { hangup: true }] });
  assert.ok(!toolNames(next.session).includes('ask_openclaw'));
});

test('after three wrong PINs the right one is not looked at', async (t) => {
  const made = await rig(t, { rules: [{ reply: 'Forty-two.' }],
    changes: { security: { voice: { tools: { pin_hash: pinHash('90817263') } } } } });
  const call = await run(made, { from: STRANGER, script: [{ wait: 'greeting' },
    ...['1', '22', ''.padEnd(500, '3'), '90817263'].flatMap((pin) => [pinCall(pin), { wait: 'tool' },
      { wait: 'assistant' }]), ...bye] });
  const outputs = outputsOf(call).map((o) => o.output);
  assert.match(outputs[2], /wrong/);
  assert.match(outputs[3], /Too many attempts/);
  assert.equal(call.events.some((e) => e.type === 'session.update'), false);
  assert.equal((await made.story(call)).call.level, 'unknown');
});

test('a personality with tools of its own, read again for each call', async (t) => {
  const file = path.join(tmpdir('ocv-agent'), 'agent.json');
  const write = (value) => fs.writeFileSync(file, JSON.stringify(value));
  write({ name: 'Ada', instructions: 'Speak like Ada.', voice: 'cedar', greeting: 'Ada here.', tools: [
    { type: 'function', function: { name: 'lights', description: 'Switches lights.', parameters: { type: 'object',
      properties: { on: { type: 'boolean' } } } } }] });
  const made = await rig(t, { rules: [{ reply: 'The lights are on.' }],
    changes: { channels: { voice: { agent_file: file } } } });
  const first = await run(made, { script: [{ wait: 'greeting' }, { caller: 'Light, please.',
    plan: { items: [{ say: 'A moment.' }, { call: 'lights', args: { on: true } }] } }, { wait: 'tool' },
  { wait: 'assistant' }, ...bye] });
  assertOnce(first);
  assert.deepEqual(toolNames(first.session), ['ask_openclaw', 'end_call', ...OWN, 'lights']);
  assert.equal(first.session.audio.output.voice, 'cedar');
  assert.match(first.session.instructions, /^Speak like Ada\.[\s\S]*Your name is Ada[\s\S]*"Ada here\."/);
  assert.match(made.gateway.chats[0].words, /"lights".*\{"on":true\}/);
  assert.equal(outputsOf(first)[0].output, 'The lights are on.');

  write({ name: 'Bob', instructions: 'Speak like Bob.' });
  const second = await run(made, { script: [{ wait: 'greeting' }, ...bye] });
  assert.match(second.session.instructions, /^Speak like Bob\./);
  assert.deepEqual(toolNames(second.session), ['ask_openclaw', 'end_call', ...OWN]);
  assert.equal(second.session.audio.output.voice, 'marin');

  fs.writeFileSync(file, '{"name": 5,');
  const third = await run(made, { script: [{ wait: 'greeting' }, ...bye] });
  assert.ok(!/Bob/.test(third.session.instructions), 'a broken file costs the personality, not the call');
  assert.equal(logLines(made.host, /agent file/).length, 1);
  // A stranger gets none of the tools that stand for the agent.
  write({ tools: [{ type: 'function', name: 'lights' }] });
  const stranger = await run(made, { from: STRANGER, script: [{ wait: 'greeting' }, { caller: 'Light.',
    plan: { items: [{ call: 'lights', args: {} }] } }, { wait: 'tool' }, { wait: 'assistant' }, ...bye] });
  assert.deepEqual(toolNames(stranger.session), ['end_call']);
  assert.match(outputsOf(stranger)[0].output, /^Refused/);
  await sleep(50);
  assert.equal(made.gateway.chats.length, 1);
});
