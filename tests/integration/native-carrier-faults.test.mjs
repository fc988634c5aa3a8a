/* SPDX-License-Identifier: MIT */
// A carrier whose answers and callbacks are lost, late or refusals: nobody rings twice, and the call has its true end.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sleep, waitFor } from '../lib/util.mjs';
import { BOB, PUBLIC, lineRig } from './line-kit.mjs';

const talk = { answers: 500, script: [{ wait: 'greeting' }, { hangup: true }] };
const dials = (made) => made.twilio.requests.filter((r) => r.op === 'participants.create' && r.params.To === BOB);

async function whole(made, id, outcome = 'answered') {
  const call = await made.over(id, 40000);
  assert.equal(call.outcome, outcome, JSON.stringify(call));
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
  return call;
}

describe('a dial', { concurrency: 4 }, () => {
  for (const [name, fault] of [['is cut', { apply: true, reset: true }], ['stops half-way', { apply: true, cut: true }],
    ['says 503 though it was done', { apply: true, status: 503 }]]) {
    test(`whose answer ${name} is looked up by its room, and not repeated`, async (t) => {
      const made = await lineRig(t, { people: { [BOB]: { ...talk, answers: 30000 } }, twilio: { callbackFaults: [
        { kind: 'status', event: 'initiated', action: 'drop' }, { kind: 'status', event: 'ringing', action: 'drop' }] },
      changes: { channels: { voice: { outbound: { ring_timeout_seconds: 120 } } } } });
      made.twilio.faults = { 'participants.create': fault };
      const id = await made.dial({ purpose: 'test' });
      await waitFor(() => made.twilio.requests.some((r) => r.method === 'GET'), { what: 'a look', timeoutMs: 15000 });
      await whole(made, id);
      assert.equal(dials(made).length, 1);
      made.twilio.assertRangOnce(BOB);
    });
  }

  test('that is put off by 429, and then by nobody who listens, comes later and rings once', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: talk } });
    made.twilio.faults = { 'participants.create': { status: 429, code: 20429, times: 2 } };
    const id = await made.dial({ purpose: 'test' });
    await waitFor(() => dials(made).length === 2, { what: 'the second refusal', timeoutMs: 15000 });
    await made.twilio.refuseConnections();
    await sleep(2500);
    await made.twilio.listenAgain();
    const call = await whole(made, id);
    assert.equal(call.attempts, 1, 'a dial that did not happen is no attempt');
    assert.equal(dials(made).length, 3);
    made.twilio.assertRangOnce(BOB);
  });

  test('whose callbacks are all lost is found to be answered by looking', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, script: [{ wait: 'greeting', ms: 30000 }, { hangup: true }] } },
      twilio: { callbackFaults: [{ kind: 'status', match: (p) => p.To === BOB, action: 'drop', times: 99 }] } });
    const id = await made.dial({ purpose: 'test' });
    await whole(made, id);
    const names = made.host.events.filter((e) => e.call === id).map((e) => e.event);
    assert.ok(names.includes('call.answered') && !names.includes('call.ringing'), `lost steps are not invented: ${names}`);
    made.twilio.assertRangOnce(BOB);
  });

  for (const [name, lost] of [['its end', [{ kind: 'status', event: 'completed', action: 'drop', times: 99 }]],
    ['its end and the room\'s', [{ kind: 'status', event: 'completed', action: 'drop', times: 99 },
      { kind: 'conference', action: 'drop', times: 99 }]]]) {
    test(`that was talked on, and no callback tells ${name}: it is seen all the same`, async (t) => {
      const made = await lineRig(t, { people: { [BOB]: talk }, twilio: { callbackFaults: lost } });
      const began = Date.now();
      await whole(made, await made.dial({ purpose: 'test' }));
      assert.ok(Date.now() - began < 30000, 'soon');
    });
  }

  test('whose answer is an error is not repeated: its own callback tells what became of it', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: talk } });
    made.twilio.faults = { 'participants.create': { status: 500 } }; // nothing was done, but who can tell
    const id = await made.dial({ purpose: 'test' });
    await waitFor(() => made.rows('SELECT machine FROM line WHERE call=?', id)[0]?.machine.includes('"legs"')
      && made.twilio.requests.some((r) => r.method === 'GET'), { what: 'a look' });
    assert.equal((await made.state(id)).outcome, '', 'still looked for');
    await sleep(1000);
    assert.equal(dials(made).length, 1);
    const room = dials(made)[0].ids[0];
    const CallSid = `CA${'0'.repeat(31)}1`;
    const entry = await made.twilio.callbacks.deliver('status', `${PUBLIC}/twilio/status?ref=${room}&party=caller`, 'POST',
      { CallSid, AccountSid: made.twilio.accountSid, CallStatus: 'no-answer', SequenceNumber: '3' });
    assert.equal(entry.status, 200);
    const call = await made.over(id);
    assert.equal(call.outcome, 'no_answer', 'its own callback tells what became of it');
    assert.equal(made.twilio.ringsOf(BOB), 0);
  });
});

const ends = [['a number that was never given', { sip: 404 }, 'invalid', 'SIP 404'], ['a telephone that is off', { sip: 480 }, 'no_answer', ''],
  ['a network that is down', { sip: 503 }, 'unreachable', 'SIP 503'], ['a filter', { sip: 608 }, 'rejected', 'SIP 608'],
  ['an error on the way', { sip: 500 }, 'failed', 'SIP 500'], ['a number that does not exist', { refused: 21217 }, 'invalid', '21217'],
  ['our number not verified', { refused: 21210 }, 'refused', '21210'], ['a trial account', { refused: 21219 }, 'refused', '21219'],
  ['a refusal that nobody knows', { refused: 29999 }, 'failed', '29999']];

describe('the end of a dial', { concurrency: 4 }, () => {
  for (const [name, person, outcome, code] of ends) {
    test(`${name}: ${outcome}`, async (t) => {
      const made = await lineRig(t, { people: { [BOB]: person } });
      const call = await whole(made, await made.dial({ purpose: 'test' }), outcome);
      if (code)
        assert.equal(call.carrier_code, code);
      assert.match(call.detail, /^[a-z].{10,}/, 'a sentence says why');
      assert.equal(call.status, 'completed');
    });
  }

  test('wrong credentials: refused, and it says what to look at', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: talk }, changes: { channels: { voice: { twilio: { auth_token: 'another' } } } } });
    const call = await made.over(await made.dial({ purpose: 'test' }));
    assert.deepEqual([call.outcome, call.carrier_code], ['refused', '20003']);
    assert.match(call.detail, /credentials/);
  });

  test('no public URL: the host starts and says so, no call can be placed, nothing is taken', async (t) => {
    const made = await lineRig(t, { changes: { channels: { voice: { webhook: { base_url: undefined } } } } });
    assert.match(made.host.stderr.text, /without webhook\.base_url/);
    const res = await made.host.api('/call', { method: 'POST', body: { to: BOB } });
    assert.equal(res.status, 409);
    assert.match(res.text, /webhook\.base_url/);
    assert.equal((await fetch(`${made.host.url}/twilio/voice`, { method: 'POST' })).status, 404);
  });
});
