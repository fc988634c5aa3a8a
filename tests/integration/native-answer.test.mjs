/* SPDX-License-Identifier: MIT */
// What follows an answer when the model does not come, when we were away, when the carrier is slow: the human is told.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sleep, waitFor } from '../lib/util.mjs';
import { BOB, OWN, PUBLIC, lineRig } from './line-kit.mjs';

const sorry = /We are sorry/;
const stays = { answers: 300, script: [{ waitEnd: true, ms: 90000 }] };
const calls = (made) => [...made.openai.calls.values()];
const models = (made) => made.twilio.requests.filter((r) => r.op === 'participants.create' && /^sip:/.test(r.params.To));

async function settled(made, id, timeoutMs = 30000) {
  const call = await made.over(id, timeoutMs);
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
  return call;
}

describe('after the answer', { concurrency: 4 }, () => {
  test('we were away for longer than 15 s: the apology, and interrupted', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: stays }, clean: false });
    const id = await made.dial({ purpose: 'test' });
    await waitFor(() => made.twilio.rings.length > 0, { what: 'the ring' });
    await made.host.kill();
    await waitFor(() => [...made.twilio.allLegs.values()].some((leg) => leg.up), { what: 'the answer' });
    await sleep(15500);
    await made.start();
    const call = await settled(made, id);
    assert.equal(call.outcome, 'interrupted', JSON.stringify(call));
    assert.ok(made.twilio.person(BOB).texts('say').some((text) => sorry.test(text)));
    made.twilio.assertRangOnce(BOB);
  });

  test('the model\'s leg rings and rings: one more try, a spoken apology after 8 s, a hang-up, failed', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: stays }, twilio: { modelOptions: { announce: false } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'call.answered');
    const began = Date.now();
    await waitFor(() => made.twilio.person(BOB).texts('say').some((text) => sorry.test(text)), { timeoutMs: 25000, what: 'the apology' });
    assert.ok(Date.now() - began > 6000, 'it was waited for');
    const call = await settled(made, id);
    assert.equal(call.outcome, 'failed', JSON.stringify(call));
    assert.ok(call.detail.length > 0);
    assert.equal(models(made).length, 2, 'one try more');
    assert.equal(new Set(models(made).map((r) => r.params.To)).size, 2, 'each leg has a reference of its own');
  });

  test('the speech service refuses twice: the apology comes at once', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: stays } });
    made.twilio.faults = { sip: { times: 2, status: 503 } };
    const id = await made.dial({ purpose: 'test' });
    const call = await settled(made, id);
    assert.equal(call.outcome, 'failed');
    assert.match(call.detail, /could not be reached/);
    assert.ok(made.twilio.person(BOB).texts('say').some((text) => sorry.test(text)));
  });

  test('it refuses once: nobody hears of it', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { hangup: true }] } } });
    made.twilio.faults = { sip: { times: 1, status: 500 } };
    const call = await settled(made, await made.dial({ purpose: 'test' }));
    assert.equal(call.outcome, 'answered');
    assert.deepEqual(made.twilio.person(BOB).texts('say'), []);
  });

  test('an incoming call gets the apology, too', async (t) => {
    const made = await lineRig(t, { changes: { security: { voice: { unknown_caller_policy: 'allow' } } } });
    made.twilio.faults = { sip: { times: 2, status: 503 } };
    made.twilio.dialIn({ from: BOB, to: OWN, script: [{ waitEnd: true }] });
    const id = (await waitFor(() => made.host.events.find((e) => e.event === 'call.incoming'), { what: 'the call' })).call;
    assert.equal((await settled(made, id)).outcome, 'failed');
    assert.ok(made.twilio.person(BOB).texts('say').some((text) => sorry.test(text)));
  });

  test('we were away for less: the model comes', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting', ms: 30000 }, { hangup: true }] } } });
    const id = await made.dial({ purpose: 'test' });
    await waitFor(() => made.twilio.rings.length > 0, { what: 'the ring' });
    await made.host.kill();
    await waitFor(() => [...made.twilio.allLegs.values()].some((leg) => leg.up), { what: 'the answer' });
    await made.start();
    const call = await settled(made, id);
    assert.equal(call.outcome, 'answered', JSON.stringify(call));
    made.twilio.assertRangOnce(BOB);
    assert.ok(calls(made).some((one) => one.turns.length > 0));
  });

  test('a model that is lost in mid-call comes back and does not greet again', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' },
      { caller: 'My name is Bob.' }, { wait: 'assistant' }, { waitEnd: true }] } } });
    const id = await made.dial({ purpose: 'test' });
    await waitFor(async () => (await made.get(`/calls/${id}/transcript`)).turns.length >= 3, { what: 'the talk' });
    calls(made)[0].end('service_failed', 'service');
    await waitFor(() => calls(made)[1]?.turns.length > 0, { what: 'the next leg' });
    assert.match(calls(made)[1].session.instructions, /My name is Bob/);
    const { hops } = await made.get(`/calls/${id}/why`);
    assert.equal(hops.filter((hop) => hop.hop === 'greeting_asked').length, 1);
    await made.host.api(`/call/${id}`, { method: 'DELETE' });
    assert.equal((await settled(made, id)).outcome, 'answered');
  });

  test('a leg with a reference that was used is rejected, and is no call', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { waitEnd: true }] } },
      changes: { security: { voice: { unknown_caller_policy: 'deny' } } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    const ref = /X-Call-Ref=([0-9a-f]{32})$/.exec(models(made)[0].params.To)[1];
    const second = made.call({ from: OWN, extraHeaders: { 'X-Call-Ref': ref } });
    const result = await second.done;
    assert.deepEqual([result.reason, result.sipCode], ['rejected', 603]);
    assert.equal(made.rows('SELECT count(*) AS n FROM call')[0].n, 1);
    assert.equal((await made.state(id)).state, 'live');
    // The model's own leg was not screened: nobody on no list passes where policy refuses.
    const stranger = made.call({ from: OWN });
    assert.equal((await stranger.done).reason, 'rejected');
    await made.host.api(`/call/${id}`, { method: 'DELETE' });
    await settled(made, id);
  });

  test('every answer of the carrier is slow: it is answered all the same, and rings once', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { hangup: true }] } } });
    made.twilio.faults = { '*': { times: 3, afterMs: 1500 } };
    const id = await made.dial({ purpose: 'test' });
    assert.ok(made.twilio.requests.every((r) => r.status === null), 'we answer when the row is there, not the carrier');
    const call = await settled(made, id);
    assert.equal(call.outcome, 'answered');
    made.twilio.assertRangOnce(BOB);
  });
});

/* What the figures are is measured by tests/bench/outbound.bench.mjs; here that nothing waits that need not. */
test('the model is asked for and speaks at once', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { hangup: true }] } } });
  const took = { model: [], words: [] };
  for (let i = 0; i < 4; i += 1) {
    await settled(made, await made.dial({ purpose: 'test', idempotency_key: `call ${i}` }));
    const leg = [...made.twilio.allLegs.values()].filter((one) => one.to === BOB).at(-1);
    took.model.push(models(made)[i].t - leg.answeredAt);
    const call = calls(made)[i];
    took.words.push(call.events.find((e) => e.type === 'response.create').t
      - call.serverEvents.find((e) => e.type === 'session.created').t);
  }
  for (const [name, ms] of Object.entries(took))
    assert.ok(Math.min(...ms) < 1000, `${name}: ${ms} ms`);
});

test('the first document of an incoming call needs nothing of us later', async (t) => {
  const made = await lineRig(t, { changes: { security: { voice: { unknown_caller_policy: 'allow' } } } });
  const line = made.twilio.dialIn({ from: BOB, to: OWN, script: [{ wait: 'greeting' }, { waitEnd: true, ms: 30000 }] });
  const id = (await waitFor(() => made.host.events.find((e) => e.event === 'call.incoming'), { what: 'the call' })).call;
  await made.event(id, 'turn');
  await made.host.kill();
  await sleep(1000);
  assert.ok(line.leg.up, 'the call goes on while we are away');
  await made.start();
  await waitFor(async () => (await made.state(id)).state === 'live', { what: 'the call to be taken up' });
  line.hangup();
  assert.equal((await made.over(id)).outcome, 'answered');
  assert.ok(made.twilio.callbacks.log.every((entry) => !entry.url.startsWith(`${PUBLIC}/twilio/voice`) || entry.attempt === 1));
});
