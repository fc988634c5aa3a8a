/* SPDX-License-Identifier: MIT */
// kill -9 in every state of a call, sidebands that break, and what the next start makes of it.
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startHost } from '../lib/host.mjs';
import { slower, waitFor } from '../lib/util.mjs';
import { KNOWN, assertStory, creates, onlyLong, outputsOf, requestsOf, rig } from './native-kit.mjs';

const GREETING = 'Hello, this is your assistant.';
const callKeys = (call) => ({ channels: { voice: { call } } });

/* Greetings that the model began, heard or not. */
const greetings = (call) => call.turns.filter((turn) => turn.text.startsWith(GREETING)).length;

/* Starts the next host; it must have the call again within 3 s. */
async function resume(made, call, opts) {
  const began = Date.now();
  const host = await made.start(opts);
  const live = await host.waitEvent('call.live', (e) => e.openai_call_id === call.callId, 8000);
  assert.ok(Date.now() - began < 3000 * slower, `attached ${Date.now() - began} ms after the start`);
  return live;
}

/* The call goes on as if nothing had been: one more exchange, a goodbye, the end. */
async function goOn(made, call, reason = 'assistant_ended') {
  await waitFor(() => call.idle, { what: 'quiet', timeoutMs: 8000 });
  const done = call.serverEvents.length;
  await call.say('And one thing more.');
  await call.waitEvent('output_audio_buffer.stopped', { since: done, timeoutMs: 6000 });
  await call.say('goodbye');
  const result = await call.done;
  assert.equal(result.reason, 'hangup');
  assert.equal((await made.ended(call)).reason, reason);
  assert.equal(requestsOf(call, 'hangup').length, 1, 'one hang-up');
  assert.ok(requestsOf(call, 'accept').filter((r) => r.status === 200).length <= 1, 'one accept got through');
  for (const tool of call.toolCalls.values()) {
    if (tool.name !== 'end_call')
      assert.equal(tool.outputs.length, 1, `outputs of ${tool.name}`);
  }
  assert.equal(call.activeResponseErrors, 0);
}

/* Announces a call once more; it must be acknowledged and nothing else. */
async function announceAgain(made, call) {
  const before = requestsOf(call, 'accept').length;
  const { sim } = call;
  const again = await import('../sim/index.mjs').then((m) => m.incomingEvent(call));
  const body = JSON.stringify(again);
  const answer = await sim.webhooks.post(made.host.webhookUrl, sim.webhooks.headers('wh_again', body), body);
  assert.equal(answer.status, 200);
  await sleep(80);
  assert.equal(requestsOf(call, 'accept').length, before, 'announced again, not accepted again');
}

describe('kill -9', { concurrency: 5 }, () => {
  test('claimed, but no accept could be sent', async (t) => {
    const made = await rig(t, { start: false });
    const hole = net.createServer(() => {}).listen(0, '127.0.0.1');
    t.after(() => hole.close());
    await new Promise((resolve) => { hole.once('listening', resolve); });
    hole.on('connection', (socket) => socket.on('error', () => {}));
    await made.start({ changes: { channels: { voice: { openai: {
      base_url: `http://127.0.0.1:${hole.address().port}/v1` } } } } });
    const call = made.call();
    await call.announced;
    assert.equal(call.deliveries[0].status, 200);
    await made.host.kill();
    await resume(made, call);
    assert.equal(requestsOf(call, 'accept').length, 1);
    await announceAgain(made, call);
    await goOn(made, call);
    assert.equal(greetings(call), 1);
    await assertStory(made, call);
  });

  for (const apply of [false, true]) {
    test(`an accept in flight that ${apply ? 'got through' : 'was lost'}`, async (t) => {
      const made = await rig(t);
      const call = made.call({ faults: { accept: { never: true, apply } } });
      await waitFor(() => requestsOf(call, 'accept').length === 1);
      await sleep(30);
      await made.host.kill();
      await resume(made, call);
      assert.equal(requestsOf(call, 'accept').length, 2);
      await announceAgain(made, call);
      await goOn(made, call);
      assert.equal(greetings(call), 1);
      await assertStory(made, call);
    });
  }

  test('attached, before the session spoke', async (t) => {
    const made = await rig(t);
    const call = made.call({ faults: { sideband: { sessionCreated: 2000 } } });
    await new Promise((resolve) => { call.once('attached', resolve); });
    await made.host.kill();
    await resume(made, call);
    await waitFor(() => greetings(call) === 1, { what: 'the greeting' }); // a caller who speaks first gets none
    await goOn(made, call);
    assert.equal(greetings(call), 1);
    await assertStory(made, call);
  });

  test('the session spoke, a greeting is about to be asked for', async (t) => {
    const made = await rig(t, { changes: callKeys({ filler_after_ms: 1000 }) });
    const call = made.call();
    await call.waitEvent('session.created');
    await made.host.kill();
    await resume(made, call);
    await waitFor(() => greetings(call) > 0, { what: 'a greeting' });
    await goOn(made, call);
    assert.equal(greetings(call), 1);
  });

  test('in the middle of the greeting', async (t) => {
    const made = await rig(t, { sim: { speed: 5 }, changes: callKeys({ filler_after_ms: 1000 }) });
    const call = made.call();
    await call.waitEvent('output_audio_buffer.started');
    await made.host.kill();
    await resume(made, call);
    await goOn(made, call);
    assert.equal(greetings(call), 1);
  });

  test('live, with turns on both sides', async (t) => {
    const made = await rig(t);
    const call = made.call({ script: [{ wait: 'greeting' }, { caller: 'First.' }, { wait: 'assistant' }] });
    await waitFor(() => call.turns.length === 3 && call.idle);
    await sleep(100);
    const asked = creates(call).length;
    await made.host.kill();
    const live = await resume(made, call);
    assert.equal(live.reattached, true);
    await announceAgain(made, call);
    await sleep(3500);
    assert.equal(creates(call).length, asked, 'nobody spoke unasked');
    await goOn(made, call);
    assert.equal(greetings(call), 1);
    const story = await assertStory(made, call);
    assert.ok(story.why.hops.some((h) => h.hop === 'restored'));
    assert.equal(requestsOf(call, 'accept').length, 1);
  });

  test('three times in one call', async (t) => {
    const made = await rig(t);
    const call = made.call({ script: [{ wait: 'greeting' }] });
    await waitFor(() => call.turns.length === 1 && call.idle);
    for (let i = 0; i < 3; i += 1) {
      await sleep(100);
      await made.host.kill();
      await resume(made, call);
      const since = call.serverEvents.length;
      await call.say(`Turn number ${i}.`);
      await call.waitEvent('output_audio_buffer.stopped', { since });
    }
    await goOn(made, call);
    assert.equal(greetings(call), 1);
    await assertStory(made, call);
  });

  const askNow = [{ wait: 'greeting' }, { caller: 'What is the answer?' }];

  test('the agent works and has not begun: it is asked again', async (t) => {
    const made = await rig(t, { rules: [{ delayMs: 1200, reply: 'It is forty-two.' }] });
    const call = made.call({ from: KNOWN, script: askNow });
    await made.gateway.waitChat();
    await sleep(200);
    await made.host.kill();
    await resume(made, call);
    await waitFor(() => outputsOf(call).length === 1, { what: 'the output' });
    assert.equal(made.gateway.chats.length, 2);
    assert.equal(outputsOf(call)[0].output, 'It is forty-two.');
    await goOn(made, call);
    assert.ok((await assertStory(made, call)).why.hops.some((h) => h.hop === 'tool_asked_again'));
  });

  test('the agent has begun: never asked again, and told honestly', async (t) => {
    const made = await rig(t, { rules: [{ chunks: ['I ', 'am ', 'at ', 'it.'], chunkMs: 800 }] });
    const call = made.call({ from: KNOWN, script: askNow });
    await waitFor(() => made.eventsOf(call).some((e) => e.phase === 'acting'));
    await sleep(150);
    await made.host.kill();
    await resume(made, call);
    await waitFor(() => outputsOf(call).length === 1, { what: 'the output' });
    assert.match(outputsOf(call)[0].output, /^Interrupted/);
    assert.match(outputsOf(call)[0].output, /honest/);
    await goOn(made, call);
    assert.equal(made.gateway.chats.length, 1);
    await assertStory(made, call);
  });

  test('the agent answered while the sideband was away: the output is carried over', async (t) => {
    const made = await rig(t, { rules: [{ delayMs: 700, reply: 'It is forty-two.' }] });
    const call = made.call({ from: KNOWN, script: askNow });
    await made.gateway.waitChat();
    await waitFor(() => call.idle);
    call.faults.handshake = { status: 503, times: Infinity };
    call.dropSideband({ reset: true });
    await waitFor(() => made.eventsOf(call).some((e) => e.phase === 'done'));
    await sleep(150);
    await made.host.kill();
    delete call.faults.handshake;
    await resume(made, call);
    await waitFor(() => outputsOf(call).length === 1, { what: 'the output' });
    assert.equal(outputsOf(call)[0].output, 'It is forty-two.');
    await waitFor(() => call.turns.some((turn) => turn.text === 'It is forty-two.'), { what: 'the answer spoken' });
    assert.equal(made.gateway.chats.length, 1);
    await goOn(made, call);
    await assertStory(made, call);
  });

  test('the output was sent into a dead line: it is sent again', async (t) => {
    const made = await rig(t, { rules: [{ delayMs: 700, reply: 'It is forty-two.' }] });
    const call = made.call({ from: KNOWN, script: askNow });
    await made.gateway.waitChat();
    await waitFor(() => call.idle);
    call.muteSideband('halfopen');
    await waitFor(() => made.eventsOf(call).some((e) => e.phase === 'done'));
    await sleep(150);
    await made.host.kill();
    await resume(made, call);
    await waitFor(() => call.turns.some((turn) => turn.text === 'It is forty-two.'), { what: 'the answer spoken' });
    assert.equal(made.gateway.chats.length, 1);
    await goOn(made, call);
  });

  test('the output has just arrived: it is not sent again, and its answer is spoken', async (t) => {
    const made = await rig(t, { rules: [{ delayMs: 300, reply: 'It is forty-two.' }],
      changes: callKeys({ filler_after_ms: 1000 }) });
    const call = made.call({ from: KNOWN, script: askNow });
    const killed = new Promise((resolve) => {
      call.once('output', () => {
        made.host.child.kill('SIGKILL');
        resolve();
      });
    });
    await killed;
    await made.host.exited;
    await resume(made, call);
    await waitFor(() => call.turns.some((turn) => turn.text === 'It is forty-two.'), { what: 'the answer spoken' });
    await goOn(made, call);
    assert.equal(made.gateway.chats.length, 1);
    assert.equal(call.turns.filter((turn) => turn.text === 'It is forty-two.').length, 1, 'once');
  });

  test('a goodbye is being heard: the hang-up is carried out once', async (t) => {
    const made = await rig(t, { sim: { speed: 5, timing: { generationRatio: 50 } } });
    const call = made.call({ script: [{ wait: 'greeting' }, { caller: 'goodbye' }, { waitEnd: true }] });
    await call.waitEvent((e) => e.type === 'response.done'
      && e.response.output.some((item) => item.name === 'end_call'));
    await sleep(100);
    assert.equal(call.over, false);
    await made.host.kill();
    await made.start();
    const result = await call.done;
    assert.equal(result.reason, 'hangup');
    assert.equal((await made.ended(call)).reason, 'assistant_ended');
    assert.equal(requestsOf(call, 'hangup').length, 1);
    // The next instance hangs up at once; that the end of the goodbye was cut nobody tells it.
    const { transcript } = await made.story(call);
    assert.match(transcript.turns.at(-1).text, /^Goodbye/);
  });

  for (const apply of [false, true]) {
    test(`a hang-up in flight that ${apply ? 'got through' : 'was lost'}`, async (t) => {
      const made = await rig(t);
      const call = made.call({ faults: { hangup: { never: true, apply } }, script: [{ wait: 'greeting' },
        { caller: 'goodbye' }, { waitEnd: true }] });
      await waitFor(() => requestsOf(call, 'hangup').length === 1);
      await sleep(80);
      await made.host.kill();
      await made.start();
      const result = await call.done;
      assert.equal(result.reason, 'hangup');
      assert.equal((await made.ended(call)).reason, 'assistant_ended');
      assert.equal(requestsOf(call, 'hangup').length, 2, 'the lost one and ours');
      const { call: row } = await made.story(call);
      assert.equal(row.state, 'over');
    });
  }

  test('a reject that was owed', async (t) => {
    const made = await rig(t, { changes: { security: { voice: { unknown_caller_policy: 'deny' } } } });
    const call = made.call({ from: '+15559990000', faults: { reject: { never: true } } });
    await waitFor(() => requestsOf(call, 'reject').length === 1);
    await sleep(50);
    await made.host.kill();
    await made.start();
    const result = await call.done;
    assert.deepEqual([result.reason, result.sipCode], ['rejected', 603]);
    assert.equal((await made.ended(call)).reason, 'refused_policy');
    assert.equal(requestsOf(call, 'accept').length, 0);
  });

  test('the caller hung up meanwhile', async (t) => {
    const made = await rig(t);
    const call = made.call({ script: [{ wait: 'greeting' }] });
    await waitFor(() => call.turns.length === 1 && call.idle);
    await sleep(100);
    await made.host.kill();
    call.hangup();
    await made.start();
    const end = await made.ended(call);
    assert.equal(end.reason, 'ended_while_down');
    const story = await made.story(call);
    assert.equal(story.call.state, 'over');
    assert.match(story.why.summary, /while the plugin was not running/);
    assert.equal(story.transcript.turns.length, 1);
    await announceAgain(made, call);
  });
});

describe('SIGTERM', { concurrency: 3 }, () => {
  test('leaves calls to OpenAI, and the next start takes them up', async (t) => {
    const made = await rig(t, { rules: [{ match: 'answer', delayMs: 1500, reply: 'It is forty-two.' }] });
    const plain = made.call({ script: [{ wait: 'greeting' }] });
    const asking = made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { caller: 'What is the answer?' }] });
    await made.gateway.waitChat();
    await waitFor(() => plain.turns.length === 1 && plain.idle && asking.idle);
    const began = Date.now();
    await made.host.stop();
    assert.ok(Date.now() - began < 5000 * slower);
    assert.equal(plain.over || asking.over, false, 'both go on');
    assert.equal(made.host.events.some((e) => e.event === 'call.ended'), false);
    await resume(made, plain);
    await made.host.waitEvent('call.live', (e) => e.openai_call_id === asking.callId);
    await waitFor(() => outputsOf(asking).length === 1, { what: 'the output' });
    await goOn(made, plain);
    await goOn(made, asking);
    await assertStory(made, plain);
    await assertStory(made, asking);
  });
});

describe('the sideband breaks', { concurrency: 8 }, () => {
  const drops = {
    'a close': (call) => call.dropSideband({ code: 1011 }),
    'a close that says going away': (call) => call.dropSideband({ code: 1001 }),
    'a normal close though the call goes on': (call) => call.dropSideband({ code: 1000 }),
    'a reset': (call) => call.dropSideband({ reset: true }),
    'a FIN without a close': (call) => call.muteSideband('halfclosed'),
  };
  for (const [name, drop] of Object.entries(drops)) {
    test(`${name}: attached again`, async (t) => {
      const made = await rig(t);
      const call = made.call({ script: [{ wait: 'greeting' }] });
      await waitFor(() => call.turns.length === 1 && call.idle);
      const began = Date.now();
      drop(call);
      await waitFor(() => call.attachments === 2, { timeoutMs: 4000, what: 'the second sideband' });
      assert.ok(Date.now() - began < 3000 * slower);
      await goOn(made, call);
      assert.equal(greetings(call), 1);
      const story = await assertStory(made, call);
      assert.ok(story.why.hops.some((h) => h.hop === 'sideband_lost')
        && story.why.hops.some((h) => h.hop === 'reattached'));
      const lives = made.eventsOf(call).filter((e) => e.event === 'call.live');
      assert.deepEqual(lives.map((e) => e.reattached), [false, true]);
    });
  }

  test('again and again, with handshakes refused in between', async (t) => {
    const made = await rig(t);
    const call = made.call({ script: [{ wait: 'greeting' }] });
    await waitFor(() => call.turns.length === 1 && call.idle);
    for (let i = 0; i < 3; i += 1) {
      const at = call.attachments;
      call.faults.handshake = [{ status: 503 }, { reset: true }].slice(0, i);
      call.dropSideband({ reset: i % 2 === 0 });
      // The pauses grow with each try while no sideband holds for 5 s.
      await waitFor(() => call.attachments === at + 1, { timeoutMs: 15000, what: `attached again (${i})` });
    }
    await goOn(made, call);
    await assertStory(made, call);
  });

  for (const how of ['silent', 'halfopen']) {
    test(`a peer that is gone without saying so (${how}) is noticed within 30 s`, async (t) => {
      const made = await rig(t);
      const call = made.call({ script: [{ wait: 'greeting' }] });
      await waitFor(() => call.turns.length === 1 && call.idle);
      const began = Date.now();
      call.muteSideband(how);
      await waitFor(() => call.attachments === 2, { timeoutMs: 31000, what: 'the second sideband' });
      assert.ok(Date.now() - began < 30500, `noticed after ${Date.now() - began} ms`);
      await goOn(made, call);
    });
  }

  test('it can never be had again: hung up within 45 s', onlyLong('45 s'), async (t) => {
    const made = await rig(t);
    const call = made.call({ idleMs: 200000, script: [{ wait: 'greeting' }] });
    await waitFor(() => call.turns.length === 1 && call.idle);
    call.faults.handshake = { status: 503, times: Infinity };
    const began = Date.now();
    call.dropSideband({ reset: true });
    const result = await call.done;
    assert.equal(result.reason, 'hangup');
    assert.ok(Date.now() - began < 45500, `after ${Date.now() - began} ms`);
    assert.equal((await made.ended(call)).reason, 'control_lost');
  });

  test('the session never speaks: lost after 20 s, hung up within 45 s', onlyLong('45 s'), async (t) => {
    const made = await rig(t);
    const began = Date.now();
    const call = made.call({ idleMs: 200000, faults: { sideband: { sessionCreated: false } } });
    await waitFor(() => call.attachments === 2, { timeoutMs: 25000, what: 'a second try' });
    assert.ok(Date.now() - began > 19000);
    const result = await call.done;
    assert.equal(result.reason, 'hangup');
    assert.ok(Date.now() - began < 45500, `after ${Date.now() - began} ms`);
    const end = await made.ended(call);
    assert.equal(end.reason, 'attach_failed');
    assert.equal((await made.story(call)).why.went_wrong, true);
  });

  for (const status of [401, 403]) {
    test(`a sideband refused with ${status} is given up at once`, async (t) => {
      const made = await rig(t);
      const call = made.call({ faults: { handshake: { status, times: Infinity } } });
      const result = await call.done;
      assert.equal(result.reason, 'hangup');
      assert.equal((await made.ended(call)).reason, 'attach_failed');
    });
  }

  test('a sideband that comes too early is tried again', async (t) => {
    const made = await rig(t);
    const call = made.call({ faults: { handshake: [{ status: 404 }, { status: 404 }] } });
    await call.waitEvent('response.done');
    await goOn(made, call);
    assert.equal(greetings(call), 1);
  });
});

describe('two instances on one database', { concurrency: 2 }, () => {
  test('never drive one call, and one takes over from the other', async (t) => {
    const made = await rig(t);
    let most = 0;
    const make = (host, n) => Array.from({ length: n }, () => {
      const call = made.openai.call({ webhookUrl: host.webhookUrl });
      call.on('attached', () => { most = Math.max(most, call.sidebands.size); });
      return call;
    });
    const first = make(made.host, 4);
    await Promise.all(first.map((call) => call.waitEvent('response.done')));
    const other = await startHost({ config: made.config(), stateDir: made.host.stateDir });
    t.after(async () => { if (!other.exit) await other.stop(); });
    made.hosts.push(other);
    const second = make(other, 4);
    const calls = [...first, ...second];
    await Promise.all(second.map((call) => call.waitEvent('output_audio_buffer.stopped')));
    await sleep(2500);
    assert.ok(calls.every((call) => call.attachments === 1), 'each has one sideband');
    await made.hosts[0].kill();
    made.host = other;
    await waitFor(() => first.every((call) => call.attachments === 2), { timeoutMs: 6000,
      what: 'the calls of the dead one' });
    assert.ok(second.every((call) => call.attachments === 1), 'the others were left alone');
    assert.equal(most, 1);
    for (const call of calls) {
      await goOn(made, call);
      assert.equal(greetings(call), 1);
    }
  });

  /* One waits beside the other; what the other held when it died goes on within seconds. */
  for (const first of ['the one that waits', 'the one that dies']) {
    test(`${first} was there first`, async (t) => {
      const made = await rig(t, { start: false });
      let waiting = first === 'the one that waits' ? await made.start() : null;
      const dying = await made.start();
      waiting ??= await made.start();
      made.host = dying;
      const call = made.call({ script: [{ wait: 'greeting' }] });
      await waitFor(() => call.turns.length === 1 && call.idle);
      await dying.kill();
      made.host = waiting;
      await waiting.waitEvent('call.live', (e) => e.openai_call_id === call.callId, 25000);
      assert.equal(greetings(call), 1);
      await goOn(made, call);
    });
  }
});
