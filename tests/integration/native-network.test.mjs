/* SPDX-License-Identifier: MIT */
// t-limit: 400
/*
 * A bad network, by a proxy (lib/proxy.mjs): between the host and OpenAI (REST and sidebands, over TLS), between OpenAI's
 * webhooks and the host, between the host and the carrier. And tc netem in a network namespace, where the kernel has it.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeCerts } from '../lib/certs.mjs';
import { mergeConfig } from '../lib/host.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { sleep, slower, track, waitFor } from '../lib/util.mjs';
import { BOB, PUBLIC, lineRig } from './line-kit.mjs';
import { KNOWN, LONG, assertStory, assertTold, logLines, onlyLong, outputsOf, requestsOf, rig } from './native-kit.mjs';

const WAIT = { ms: 90000 };
const GREETING = 'Hello, this is your assistant.';
const answers = [{ match: /number/, delayMs: 100, reply: 'It is forty-two.', chunks: 2, chunkMs: 30 }];
const talk = [{ wait: 'greeting', ...WAIT }, { caller: 'What is the number?', ...WAIT }, { wait: 'tool', ...WAIT },
  { wait: 'assistant', ...WAIT }, { caller: 'goodbye', ...WAIT }, { waitEnd: true, ...WAIT }];

/* A host whose way to OpenAI, over TLS, leads through made.net. */
async function netRig(t, { sim = {}, changes = {}, up, down, before, ...more } = {}) {
  const certs = makeCerts();
  const made = await rig(t, { sim: { tls: certs.server, timing: { ringMs: 90000 }, ...sim }, rules: answers, start: false, ...more });
  made.net = await startProxy(t, made.openai.port, { up, down });
  before?.(made.net);
  made.changes = mergeConfig(mergeConfig(made.changes, { channels: { voice: {
    openai: { base_url: made.net.through(made.openai.url), ca_file: certs.caFile } } } }), changes);
  await made.start();
  return made;
}

const acceptsOf = (call) => requestsOf(call, 'accept').filter((r) => r.status === 200).length;
const greetings = (call) => call.turns.filter((turn) => turn.text.startsWith(GREETING)).length;

/* Nothing was done twice. */
function assertOnce(call) {
  assert.ok(acceptsOf(call) <= 1, 'accepted once');
  assert.equal(greetings(call), 1, 'greeted once');
  assert.equal(requestsOf(call, 'hangup').filter((r) => r.status === 200).length, 1, 'hung up once');
  for (const tool of call.toolCalls.values())
    assert.ok(tool.name === 'end_call' || tool.outputs.length === 1, `${tool.name}: ${tool.outputs.length} outputs`);
}

/* Calls that go their whole way, each with its question answered and its story told by all alike. */
async function wholeCalls(made, n, opts = {}) {
  const calls = Array.from({ length: n }, () => made.call({ from: KNOWN, script: talk, ringMs: 90000, ...opts }));
  for (const call of calls) {
    const result = await call.done;
    assert.equal(result.scriptError, null);
    assert.equal((await made.ended(call)).reason, 'assistant_ended');
    assertOnce(call);
    await assertStory(made, call);
  }
  return calls;
}

/* A call that has been greeted and is quiet. */
async function greeted(made, opts = {}) {
  const call = made.call({ from: KNOWN, ringMs: 90000, idleMs: 200000, ...opts });
  await waitFor(() => greetings(call) === 1 && call.idle, { timeoutMs: 30000, what: 'the greeting' });
  return call;
}

/* One more exchange, a goodbye, the end. */
async function goOn(made, call) {
  await waitFor(() => call.idle, { timeoutMs: 40000, what: 'quiet' });
  const since = call.serverEvents.length;
  await call.say('And one thing more.');
  await call.waitEvent('output_audio_buffer.stopped', { since, timeoutMs: 20000 });
  await waitFor(() => call.idle, { what: 'quiet' });
  await call.say('goodbye');
  assert.equal((await call.done).reason, 'hangup');
  assert.equal((await made.ended(call)).reason, 'assistant_ended');
  assertOnce(call);
}

/* The connection of the sideband that is open. */
const sidebandOf = (made, call) => made.net.of([...call.sidebands].at(-1).ws._socket.remotePort);

const attachedAgain = (call, timeoutMs = 6000) => waitFor(() => call.attachments === 2 && call.sidebands.size === 1,
  { timeoutMs, what: 'the second sideband' });

describe('the way to OpenAI', { concurrency: 6 }, () => {
  const ways = { '100 ms each way and up to 80 ms more': { delayMs: 100, jitterMs: 80 },
    [`${LONG ? 2000 : 500} ms each way`]: { delayMs: LONG ? 2000 : 500 } };
  for (const [name, way] of Object.entries(ways)) {
    test(name, async (t) => {
      const made = await netRig(t, { up: way, down: way });
      for (const call of await wholeCalls(made, 8))
        assert.equal(call.attachments, 1, 'no timer fired early');
      assert.deepEqual(logLines(made.host, / (error|warning): /), []);
    });
  }

  test('a stall of 5 s, in the middle of a frame: nobody is given up', async (t) => {
    const made = await netRig(t);
    const call = await greeted(made);
    const way = sidebandOf(made, call);
    call.emitServer('rate_limits.updated', { rate_limits: [] });
    way.down.trickle = { bytes: 7, everyMs: 0 };
    way.down.stalled = true;
    await call.say('Are you there?');
    await sleep(5000);
    way.down.stalled = false;
    way.down.pump();
    await goOn(made, call);
    assert.equal(call.attachments, 1);
    await assertStory(made, call);
  });

  test('a stall that does not end: noticed by the pings within 25 s, attached again', onlyLong('half a minute'), async (t) => {
    const made = await netRig(t);
    const call = await greeted(made);
    const began = Date.now();
    const way = sidebandOf(made, call);
    way.cut('gone');
    await waitFor(() => call.attachments === 2, { timeoutMs: 32000, what: 'the second sideband' });
    const took = Date.now() - began;
    way.cut('rst'); // the service notices, too
    assert.ok(took > 20000 && took < 30000 * slower, `attached again after ${took} ms`);
    await goOn(made, call);
    const { why } = await assertStory(made, call);
    assert.ok(why.hops.some((h) => h.hop === 'sideband_lost' && /answer|ping|silent|bytes|time/i.test(h.detail ?? '')),
      JSON.stringify(why.hops));
  });

  test('one byte each 50 ms, for 4 s: late, but whole', async (t) => {
    const made = await netRig(t);
    const call = await greeted(made);
    const way = sidebandOf(made, call);
    way.down.trickle = { bytes: 1, everyMs: 50 };
    await call.say('Are you there?');
    await sleep(4000);
    assert.ok(way.down.queue.length > 0, 'much waits');
    way.down.trickle = null;
    way.down.pump();
    await goOn(made, call);
    assert.equal(call.attachments, 1);
    await assertStory(made, call);
  });

  test('one byte each 50 ms from the first on: the call has its end in time, and a cause', onlyLong('a minute'), async (t) => {
    const slow = { trickle: { bytes: 1, everyMs: 50 } };
    const made = await netRig(t, { down: slow });
    const began = Date.now();
    const call = made.call({ from: KNOWN, ringMs: 90000, idleMs: 90000 });
    const end = await made.ended(call, 75000);
    assert.ok(Date.now() - began < 70000 * slower, `after ${Date.now() - began} ms`);
    assert.match(end.reason, /^(accept_failed|attach_failed)$/);
    const { why } = await made.story(call);
    assert.ok(why.cause && why.cure, JSON.stringify(why));
    call.hangup();
  });

  for (const how of ['fin', 'rst']) {
    test(`a cut in the middle of TLS handshakes (${how})`, async (t) => {
      const made = await netRig(t);
      const call = made.call({ from: KNOWN });
      let cuts = 3;
      made.net.onConnection = (connection) => {
        if (cuts > 0)
          connection.down.cutAfter(200, how);
        cuts -= 1;
      };
      await waitFor(() => greetings(call) === 1, { timeoutMs: 15000, what: 'the greeting' });
      assert.ok(cuts < 0, 'all of them were met');
      await goOn(made, call);
      await assertStory(made, call);
    });

    test(`a cut in the middle of a frame while the assistant speaks (${how})`, async (t) => {
      const made = await netRig(t, { sim: { speed: 4 } });
      const call = await greeted(made);
      const since = call.serverEvents.length;
      await call.say('Tell me all that there is to be told about the weather of this week, one day after another.');
      await call.waitEvent('response.output_audio_transcript.delta', { since });
      const cut = { from: Date.now() - 300, to: 0 };
      sidebandOf(made, call).down.cutAfter(11, how);
      await attachedAgain(call);
      cut.to = Date.now() + 100;
      assert.ok(cut.to - cut.from < 4000 * slower, `attached again after ${cut.to - cut.from} ms`);
      await goOn(made, call);
      const { transcript } = await made.story(call);
      assertTold(call, transcript, (at) => at > cut.from && at < cut.to);
      assert.ok(transcript.turns.some((turn) => turn.text.startsWith('You said: Tell me')), 'the turn that was cut into stands, too');
    });
  }

  for (const bytes of [1, 40]) {
    test(`an accept whose answer is cut after ${bytes} bytes: never accepted twice`, async (t) => {
      const made = await netRig(t);
      const cutOnce = (entry) => {
        if (entry.action !== 'accept')
          return;
        made.openai.off('request', cutOnce);
        made.net.of(entry.port).down.cutAfter(bytes);
      };
      made.openai.on('request', cutOnce);
      const call = await greeted(made);
      assert.equal(acceptsOf(call), 1);
      assert.ok(requestsOf(call, 'accept').length <= 2, 'asked again once at most');
      await goOn(made, call);
      await assertStory(made, call);
    });
  }

  test('a hang-up whose answer is lost: the call is over, and so recorded', async (t) => {
    const made = await netRig(t);
    const call = await greeted(made);
    made.openai.on('request', (entry) => entry.action === 'hangup' && entry.callId === call.callId
      && made.net.of(entry.port).down.cutAfter(3));
    await call.say('goodbye');
    await call.done;
    assert.equal((await made.ended(call, 30000)).reason, 'assistant_ended');
    assert.equal((await made.story(call)).call.state, 'over');
  });

  test('a tool\'s output that arrived when the line was cut is not sent again', async (t) => {
    const made = await netRig(t);
    const call = await greeted(made);
    call.once('output', () => sidebandOf(made, call).cut('rst'));
    await call.say('What is the number?');
    await attachedAgain(call, 15000);
    await waitFor(() => call.turns.some((turn) => turn.text.includes('forty-two')), { timeoutMs: 20000, what: 'the answer, spoken' });
    await goOn(made, call);
    assert.deepEqual(outputsOf(call).filter((o) => o.output.includes('forty-two')).length, 1);
    assert.equal(call.turns.filter((turn) => turn.who === 'assistant' && turn.text.includes('forty-two')).length, 1);
  });

  test('a tool\'s output that was on its way when the line was cut is sent again, once', async (t) => {
    const made = await netRig(t);
    const call = await greeted(made);
    call.once('tool', () => { sidebandOf(made, call).up.stalled = true; });
    await call.say('What is the number?');
    await waitFor(() => made.gateway.requests.some((r) => r.answer), { what: 'the agent\'s answer' });
    const way = sidebandOf(made, call);
    await waitFor(() => way.up.waiting > 100, { what: 'an output that is stuck' });
    way.cut('rst');
    await attachedAgain(call, 15000);
    await waitFor(() => call.turns.some((turn) => turn.text.includes('forty-two')), { timeoutMs: 20000, what: 'the answer, spoken' });
    await goOn(made, call);
    assert.equal(call.turns.filter((turn) => turn.who === 'assistant' && turn.text.includes('forty-two')).length, 1);
  });

  test('no connection at all for 3 s: calls that are live come back, those that ring get an honest end', async (t) => {
    const made = await netRig(t);
    const calls = await Promise.all(Array.from({ length: 10 }, () => greeted(made)));
    made.net.refusing = true;
    made.net.cut('rst');
    const rings = made.call({ from: KNOWN, idleMs: 60000 });
    await sleep(3000);
    made.net.refusing = false;
    for (const call of calls)
      await attachedAgain(call, 12000);
    for (const call of calls) {
      await goOn(made, call);
      await assertStory(made, call);
    }
    await waitFor(() => rings.state === 'live' || made.eventsOf(rings).some((e) => e.event === 'call.ended'),
      { timeoutMs: 30000, what: 'what became of it' });
    if (rings.state !== 'live') {
      assert.equal((await made.ended(rings)).reason, 'accept_failed');
      assert.match(JSON.stringify(await made.story(rings)), /reset|refused|closed|connection/i);
    }
    rings.hangup();
  });
});

describe('the way of webhooks', { concurrency: 4 }, () => {
  const CALLS = 24;
  /* Each call must be taken once, whatever its webhook goes through, and all of them at a steady rate. */
  const delivered = async (t, opts, spoil) => {
    const made = await rig(t, { rules: answers, sim: { timing: { ringMs: 60000 } },
      changes: { channels: { voice: { call: { max_concurrent: 500 } } } } });
    const web = await startProxy(t, Number(new URL(made.host.url).port), opts);
    let n = 0;
    web.onConnection = (connection) => spoil?.(connection, n++);
    const calls = [];
    for (let i = 0; i < CALLS; i += 1) {
      calls.push(made.call({ from: KNOWN, script: talk, webhookUrl: web.through(made.host.webhookUrl) }));
      await sleep(40);
    }
    for (const call of calls) {
      assert.equal((await call.done).scriptError, null);
      assert.equal((await made.ended(call)).reason, 'assistant_ended');
      assert.equal(requestsOf(call, 'accept').length, 1, 'one accept');
      assertOnce(call);
    }
    assert.equal(made.rows('SELECT count(*) AS n FROM call')[0].n, CALLS);
    return { made, calls, web };
  };

  test('300 ms each way, and more by chance', async (t) => {
    const { calls } = await delivered(t, { up: { delayMs: 300, jitterMs: 300 }, down: { delayMs: 300, jitterMs: 300 } });
    assert.ok(calls.every((call) => call.deliveries.length === 1), 'none came twice');
  });

  test('requests and answers are cut, ended and reset: it comes again, and once is enough', async (t) => {
    const { calls } = await delivered(t, {}, (connection, n) => {
      const faults = [() => connection.up.cutAfter(150, 'fin'), () => connection.up.cutAfter(400, 'rst'),
        () => connection.down.cutAfter(1, 'rst'), () => connection.down.cutAfter(30, 'fin'), () => connection.cut('rst')];
      if (n < 40)
        faults[n % faults.length]();
    });
    assert.ok(calls.some((call) => call.deliveries.length > 1), 'some came again');
  });

  test('each connection is doubled on its way', async (t) => {
    const { made } = await delivered(t, { mirror: true });
    assert.ok(logLines(made.host, /is decided already/).length > 0, 'repeats were told apart');
  });

  test('one byte each 10 ms: slow ones are taken, and hold up nobody', async (t) => {
    const { calls } = await delivered(t, {}, (connection, n) => {
      if (n % 8 === 0)
        connection.up.trickle = { bytes: LONG ? 1 : 4, everyMs: LONG ? 50 : 10 };
    });
    const quick = calls.filter((call) => call.deliveries[0].ms < 2000);
    assert.ok(quick.length >= CALLS / 2, `${quick.length} of ${CALLS} at once`);
  });
});

describe('the way to the carrier and back', { concurrency: 2 }, () => {
  const carried = async (t, way, spoil) => {
    const made = await lineRig(t, { start: false, people: { [BOB]: { answers: 300, script: [{ wait: 'greeting', ms: 40000 }, { hangup: true }] } } });
    const out = await startProxy(t, made.twilio.server.port, way);
    out.onConnection = spoil;
    made.changes = mergeConfig(made.changes, { channels: { voice: { twilio: { base_url: out.through(made.twilio.url) } } } });
    await made.start();
    const hooks = await startProxy(t, Number(new URL(made.host.url).port), way);
    made.twilio.route(PUBLIC, hooks.through(made.host.url));
    const id = await made.dial({ purpose: 'test' });
    const call = await made.over(id, 60000);
    assert.equal(call.outcome, 'answered', JSON.stringify(call));
    await made.twilio.idle();
    made.twilio.assertNoLegs();
    made.twilio.assertRangOnce(BOB);
    made.twilio.assertClean();
  };

  test('80 ms each way, and more by chance: answered, talked, ended', (t) => carried(t, {
    up: { delayMs: 80, jitterMs: 80 }, down: { delayMs: 80, jitterMs: 80 } }));

  test('the first answers of the carrier are cut in the middle: nobody rings twice', (t) => {
    let cuts = 2;
    return carried(t, {}, (connection) => {
      if (cuts-- > 0)
        connection.down.cutAfter(20, 'rst');
    });
  });
});

/* Whether this kernel and user can spoil a network of their own; else why not. */
function netemMissing() {
  if (process.env.OCV_IN_NETEM)
    return false;
  const name = `ocv-probe-${process.pid}`;
  try {
    execFileSync('ip', ['netns', 'add', name], { stdio: 'pipe' });
  } catch {
    return 'no network namespace can be made here';
  }
  const probe = spawnSync('ip', ['netns', 'exec', name, 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms']);
  execFileSync('ip', ['netns', 'del', name], { stdio: 'pipe' });
  return probe.status === 0 ? false : `this kernel has no netem: ${String(probe.stderr).trim()}`;
}

/* Runs inside of the namespace: packets late, lost and doubled below TCP. */
test('calls where packets are late, lost and doubled', { skip: !process.env.OCV_IN_NETEM && 'it runs in a namespace' }, async (t) => {
  const made = await netRig(t);
  await wholeCalls(made, 8);
});

test('tc netem: 50 ms, 20 ms more by chance, 2 % lost, 1 % doubled', { skip: netemMissing() || Boolean(process.env.OCV_IN_NETEM) }, async (t) => {
  const name = `ocv-netem-${process.pid}`;
  execFileSync('ip', ['netns', 'add', name]);
  t.after(() => execFileSync('ip', ['netns', 'del', name]));
  const inside = (...args) => ['netns', 'exec', name, ...args];
  execFileSync('ip', inside('ip', 'link', 'set', 'lo', 'up'));
  execFileSync('ip', inside('tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '50ms', '20ms', 'loss', '2%', 'duplicate', '1%'));
  const child = track(spawn('ip', inside(process.execPath, '--test', '--test-name-pattern', '^calls where packets', fileURLToPath(import.meta.url)),
    { env: { ...process.env, OCV_IN_NETEM: '1', NODE_TEST_CONTEXT: undefined }, stdio: 'pipe' }));
  let text = '';
  child.stdout.on('data', (part) => { text += part; });
  const code = await new Promise((resolve) => { child.once('close', resolve); });
  assert.equal(code, 0, text);
  assert.match(text, /pass 1$/m);
});
