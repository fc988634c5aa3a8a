/* SPDX-License-Identifier: MIT */
/*
 * An orderly stop with call.drain_seconds, and draining by the API: new calls are refused politely and stand in the
 * database, live ones finish or are left to the next instance, and who watches is told all the time.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sleep, slower, waitFor } from '../lib/util.mjs';
import { BOB, OWN, lineRig } from './line-kit.mjs';
import { KNOWN, STRANGER, assertStory, logLines, requestsOf, rig } from './native-kit.mjs';

const draining = (seconds, more = {}) => ({ channels: { voice: { call: { drain_seconds: seconds, max_concurrent: 500, ...more } } } });
const open = (made, where) => made.host.api(where, { token: null });
const bye = [{ caller: 'goodbye', ms: 30000 }, { waitEnd: true, ms: 30000 }];

/* A call that has been greeted and is quiet. */
async function greeted(made, opts = {}) {
  const call = made.call({ script: [{ wait: 'greeting' }], ...opts });
  await waitFor(() => call.turns.length === 1 && call.idle, { what: 'the greeting' });
  return call;
}

/* Says goodbye; the assistant ends the call. */
async function partFrom(made, call) {
  await waitFor(() => call.idle, { what: 'quiet' });
  await call.say('goodbye');
  assert.equal((await call.done).reason, 'hangup');
  assert.equal((await made.ended(call)).reason, 'assistant_ended');
}

/* Somebody calls while it drains. */
async function refused(made, from = STRANGER) {
  const call = made.call({ from, script: bye });
  await waitFor(() => requestsOf(call, 'reject').length > 0, { what: 'the reject' });
  const [reject] = requestsOf(call, 'reject');
  assert.equal(reject.body.status_code, 480, 'SIP: temporarily unavailable');
  assert.equal(call.deliveries.at(-1).status, 200, 'it is told no more than once');
  assert.equal((await made.ended(call)).reason, 'refused_draining');
  return call;
}

describe('SIGTERM with call.drain_seconds', { concurrency: 3 }, () => {
  const CALLS = 40;

  test(`under load: ${CALLS} live calls finish, new ones are refused, then it ends`, async (t) => {
    const made = await rig(t, { changes: draining(25) });
    const script = (n) => [{ wait: 'greeting', ms: 30000 }, { silence: 2000 + 40 * n }, { caller: `This is call ${n}.`, ms: 30000 },
      { wait: 'assistant', ms: 30000 }, ...bye];
    const calls = Array.from({ length: CALLS }, (_, n) => made.call({ from: KNOWN, script: script(n) }));
    await waitFor(() => calls.every((call) => call.turns.length > 0), { timeoutMs: 20000, what: 'the greetings' });
    assert.equal((await open(made, '/ready')).status, 200);
    const { host } = made;
    host.child.kill('SIGTERM');
    await waitFor(() => logLines(host, /draining: 40 calls live, at most 25 s$/).length === 1, { what: 'the first line' });
    const seen = { ready: await open(made, '/ready'), health: await open(made, '/health'), status: await made.get('/status') };
    assert.equal(seen.ready.status, 503);
    assert.deepEqual([seen.ready.json.status, seen.health.status, seen.health.json.status], ['draining', 200, 'draining']);
    assert.ok(seen.status.draining.live > 0 && seen.status.draining.left_ms <= 25000, JSON.stringify(seen.status.draining));
    const late = [];
    for (let i = 0; i < 10; i += 1) { // a steady rate
      late.push(refused(made));
      await sleep(100);
    }
    const rejected = await Promise.all(late);
    assert.equal(rejected.filter((call) => requestsOf(call, 'accept').length > 0).length, 0);
    const how = await host.exited;
    assert.equal(how.code, 0, JSON.stringify(how));
    for (const call of calls) {
      assert.equal(call.result?.scriptError, null, `call ${calls.indexOf(call)}`);
      assert.equal(call.result.reason, 'hangup');
      assert.equal(call.attachments, 1);
    }
    assert.equal(logLines(host, /drained: no call is live$/).length, 1);
    const told = host.events.filter((e) => e.event === 'draining').map((e) => e.live);
    assert.deepEqual(told, [...told].sort((a, b) => b - a), 'the number only sinks');
    assert.deepEqual([told[0], told.at(-1)], [CALLS, 0]);
    const rows = made.rows('SELECT reason, count(*) AS n FROM call WHERE state = \'over\' GROUP BY reason ORDER BY reason');
    assert.deepEqual(rows.map((row) => ({ ...row })), [{ reason: 'assistant_ended', n: CALLS }, { reason: 'refused_draining', n: 10 }]);
  });

  test('when the time is up, what is live is left to the next start', async (t) => {
    const made = await rig(t, { changes: draining(2) });
    const call = await greeted(made);
    const began = Date.now();
    made.host.child.kill('SIGTERM');
    const { code } = await made.host.exited;
    assert.equal(code, 0);
    assert.ok(Date.now() - began >= 1900, `after ${Date.now() - began} ms`);
    assert.equal(logLines(made.host, /drained: the time is up; 1 call is left to the next instance/).length, 1);
    assert.equal(call.over, false, 'the caller is still there');
    await made.start();
    await waitFor(() => call.attachments === 2, { what: 'the sideband' });
    await partFrom(made, call);
    await assertStory(made, call);
    assert.equal(requestsOf(call, 'accept').length, 1);
  });

  test('a second signal stops without waiting, and nothing is lost', async (t) => {
    const made = await rig(t, { changes: draining(600) });
    const call = await greeted(made);
    made.host.child.kill('SIGTERM');
    await waitFor(() => logLines(made.host, /draining: 1 call live, at most 600 s/).length === 1, { what: 'the line' });
    await call.say('Are you still there?'); // a live call is served on
    await waitFor(() => call.turns.length === 3 && call.idle, { what: 'an answer' });
    const began = Date.now();
    made.host.child.kill('SIGTERM');
    assert.equal((await made.host.exited).code, 0);
    assert.ok(Date.now() - began < 5000 * slower, `${Date.now() - began} ms`);
    await made.start();
    await waitFor(() => call.attachments === 2, { what: 'the sideband' });
    await partFrom(made, call);
    await assertStory(made, call);
  });
});

test('by default a stop waits for nobody', async (t) => {
  const made = await rig(t);
  const call = await greeted(made);
  const began = Date.now();
  await made.host.stop();
  assert.ok(Date.now() - began < 4000 * slower, `${Date.now() - began} ms`);
  await made.start();
  await waitFor(() => call.attachments === 2, { what: 'the sideband' });
  await partFrom(made, call);
});

describe('POST /drain', { concurrency: 2 }, () => {
  test('refuses new calls until it is taken back', async (t) => {
    const made = await rig(t);
    const call = await greeted(made);
    for (const body of ['[]', '{"seconds":-1}', '{"seconds":3601}', '{"seconds":"5"}', '{"second":5}', '5'])
      assert.equal((await made.host.api('/drain', { method: 'POST', body, headers: { 'content-type': 'application/json' } })).status, 400, body);
    assert.equal((await made.host.api('/drain')).status, 405);
    assert.equal((await open(made, '/ready')).status, 200, 'nothing has begun');
    const asked = await made.host.api('/drain', { method: 'POST', body: { seconds: 1 } });
    assert.deepEqual([asked.status, asked.json.status, asked.json.draining.live], [202, 'draining', 1]);
    await refused(made, KNOWN);
    await waitFor(() => logLines(made.host, /drained: the time is up/).length === 1, { what: 'its end' });
    await refused(made);
    assert.equal((await open(made, '/ready')).status, 503, 'it stays so');
    const back = await made.host.api('/drain', { method: 'DELETE' });
    assert.deepEqual([back.status, back.json], [200, { status: 'ok' }]);
    assert.equal((await open(made, '/ready')).status, 200);
    await partFrom(made, await greeted(made));
    await partFrom(made, call);
  });

  test('dials nobody; what waits in the queue is dialled by the next start', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { hangup: true }] } },
      changes: { channels: { voice: { call: { max_concurrent: 1 } } } } });
    const live = await greeted(made, { from: KNOWN });
    const waits = await made.dial({ purpose: 'test' });
    assert.equal((await made.state(waits)).phase, 'queued');
    assert.equal((await made.host.api('/drain', { method: 'POST', body: { seconds: 30 } })).status, 202);
    const no = await made.host.api('/call', { method: 'POST', body: { to: BOB, purpose: 'another' } });
    assert.deepEqual([no.status, no.json.error], [503, 'draining']);
    const line = made.twilio.dialIn({ from: STRANGER, to: OWN });
    await waitFor(() => line.leg.over, { what: 'the refusal' });
    assert.equal(line.leg.status, 'busy');
    await partFrom(made, live);
    await waitFor(() => logLines(made.host, /drained: no call is live/).length === 1,
      { what: 'the end, for which the queue does not count' });
    await sleep(700); // the queue is looked at each half second
    assert.equal(made.twilio.ringsOf(BOB), 0);
    await made.host.stop();
    await made.start();
    assert.equal((await made.over(waits, 30000)).outcome, 'answered');
    assert.equal(made.twilio.ringsOf(BOB), 1);
    await made.twilio.idle();
    made.twilio.assertClean();
  });
});
