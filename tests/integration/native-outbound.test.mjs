/* SPDX-License-Identifier: MIT */
// Calls that we place, and what is done to them, against the carrier's simulator.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../lib/util.mjs';
import { BOB, CAROL, OWN, lineRig } from './line-kit.mjs';

const talk = [{ wait: 'greeting' }, { caller: 'Hello, who is there?' }, { wait: 'assistant' }, { hangup: true }];

test('a call is placed, answered, talked through and reported', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 1500, script: talk } } });
  const id = await made.dial({ purpose: 'Ask whether the table is free', message: 'Good evening, this is a test.' });
  const call = await made.over(id);
  assert.equal(call.direction, 'outbound');
  assert.equal(call.outcome, 'answered');
  await made.event(id, 'call.ended');
  const names = made.host.events.filter((e) => e.call === id).map((e) => e.event);
  for (const name of ['call.initiated', 'call.ringing', 'call.answered', 'call.live', 'call.ended'])
    assert.ok(names.includes(name), `${name} in ${names}`);
  const { turns } = await made.get(`/calls/${id}/transcript`);
  assert.ok(turns.some((turn) => turn.who === 'caller' && /who is there/.test(turn.text)));
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertRangOnce(BOB);
  made.twilio.assertClean();
});

const ends = [
  ['busy', { busy: true }, 'busy'],
  ['nobody answers', { answers: false }, 'no_answer'],
  ['declined', { rejects: 300 }, 'rejected'],
  ['no such number', { refused: 21211 }, 'invalid'],
  ['unreachable', { refused: 21214 }, 'unreachable'],
  ['country not open', { refused: 21215 }, 'geo_blocked'],
  ['forbidden', { refused: 21216 }, 'refused'],
  ['a machine', { voicemail: { greeting: 'Leave a message.' } }, 'voicemail'],
];

for (const [name, person, outcome] of ends) {
  test(`outcome: ${name}`, async (t) => {
    const made = await lineRig(t, { people: { [BOB]: person },
      changes: { channels: { voice: { outbound: { ring_timeout_seconds: 5, voicemail: 'hangup' } } } } });
    const id = await made.dial({ purpose: 'test' });
    const call = await made.over(id);
    assert.equal(call.outcome, outcome, JSON.stringify(call));
    assert.ok(call.detail.length > 0 || outcome === 'voicemail', 'a sentence says why');
    await made.twilio.idle();
    made.twilio.assertNoLegs();
    made.twilio.assertClean();
  });
}

test('hold and resume, digits, mute, and the end by API', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 500, script: [{ wait: 'greeting' },
    { wait: 'held' }, { wait: 'resumed' }, { waitEnd: true }] } } });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn', (e) => e.who === 'assistant');
  assert.equal((await made.act(id, 'hold')).state, 'done');
  await made.event(id, 'call.held');
  assert.equal((await made.act(id, 'resume')).state, 'done');
  await made.event(id, 'call.resumed');
  assert.equal((await made.act(id, 'dtmf', { digits: '12#' })).state, 'done');
  assert.equal((await made.act(id, 'mute')).state, 'done');
  assert.equal((await made.act(id, 'unmute')).state, 'done');
  const end = await made.host.api(`/call/${id}`, { method: 'DELETE' });
  assert.equal(end.status, 200);
  const call = await made.over(id);
  assert.equal(call.outcome, 'answered', JSON.stringify(call));
  assert.equal((await made.host.api(`/call/${id}`, { method: 'DELETE' })).status, 200, 'over stays so');
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
});

for (const mode of ['blind', 'warm']) {
  test(`a ${mode} transfer by name`, async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, script: [{ wait: 'greeting' },
      { wait: 'human', ms: 60000 }, { waitEnd: true }], hangsUpMs: 40000 },
    [CAROL]: { answers: 800, accepts: true, script: [{ waitEnd: true }] } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn', (e) => e.who === 'assistant');
    assert.equal((await made.act(id, 'transfer', { to: 'Carol', mode })).state, 'done');
    const call = await made.over(id);
    assert.equal(call.outcome, 'transferred', JSON.stringify(call));
    await made.twilio.idle();
    made.twilio.assertNoLegs();
    made.twilio.assertRangOnce(CAROL);
    made.twilio.assertClean();
  });
}

test('a target who does not take it: the caller comes back', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 500, script: [{ wait: 'greeting' }, { waitEnd: true }] },
    [CAROL]: { answers: 500, accepts: false } } });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn', (e) => e.who === 'assistant');
  assert.equal((await made.act(id, 'transfer', { to: 'Carol', mode: 'warm' })).state, 'failed');
  assert.equal((await made.state(id)).state, 'live');
  await made.host.api(`/call/${id}`, { method: 'DELETE' });
  await made.over(id);
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
});

test('a call comes in over the carrier', async (t) => {
  const made = await lineRig(t, { changes: { security: { voice: { unknown_caller_policy: 'allow' } } } });
  const line = made.twilio.dialIn({ from: BOB, to: '+15550001000', script: talk });
  const id = (await waitFor(() => made.host.events.find((e) => e.event === 'call.incoming'), { what: 'the call' })).call;
  const call = await made.over(id);
  assert.equal(call.direction, 'inbound');
  assert.equal(call.outcome, 'answered', JSON.stringify(call));
  assert.ok(line);
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
});

test('the same key makes one call, another body is refused, and closed numbers never leave', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: false } } });
  const one = await made.dial({ purpose: 'a', idempotency_key: 'k1' });
  assert.equal(await made.dial({ purpose: 'a', idempotency_key: 'k1' }), one);
  await made.dial({ purpose: 'b', idempotency_key: 'k1' }, 409);
  for (const to of ['+4915112345678', '+1911', '112', '+15550001000', 'Carol; +49', '+1555123 0001', '+1900'])
    assert.ok([400, 403].includes((await made.host.api('/call', { method: 'POST', body: { to } })).status), to);
  await made.host.api(`/call/${one}`, { method: 'DELETE' });
  const call = await made.over(one);
  assert.equal(call.outcome, 'canceled', JSON.stringify(call));
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  assert.ok(made.twilio.numbersSeen().every((n) => (n.number ?? n).startsWith('+1555')));
  made.twilio.assertClean();
});

test('a leg that comes to light when its call is over and forgotten is hung up', async (t) => {
  const DAN = '+15551230077';
  const made = await lineRig(t, { people: { [BOB]: { answers: 500, script: talk },
    [DAN]: { answers: 200, hangsUpMs: 120000 } } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  await made.twilio.idle();
  const { params } = made.twilio.requests.find((r) => r.op === 'participants.create' && r.params.Label === 'caller');
  const leg = made.twilio.originate({ to: DAN, from: OWN, direction: 'outbound-api', callback: {
    url: params.StatusCallback, method: 'POST', events: ['initiated', 'ringing', 'answered', 'completed'] } });
  await waitFor(() => leg.over, { what: 'the end of the leg', timeoutMs: 5000 });
  assert.ok(made.twilio.requests.some((r) => r.op === 'calls.update' && r.ids[0] === leg.sid), 'by us');
});

test('who was handed over talks on, whatever is told of their legs later', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 500, script: [{ wait: 'greeting' }, { waitEnd: true }] },
    [CAROL]: { answers: 500, script: [{ waitEnd: true }] } } });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn', (e) => e.who === 'assistant');
  assert.equal((await made.act(id, 'transfer', { to: 'Carol' })).state, 'done');
  assert.equal((await made.over(id)).outcome, 'transferred');
  await made.restart();
  const bob = [...made.twilio.allLegs.values()].find((leg) => leg.to === BOB);
  bob.tell('answered'); // once more
  await made.twilio.callbacks.settled();
  await made.get('/status');
  assert.equal(made.twilio.legs().length, 2, JSON.stringify(made.twilio.legs()));
  bob.end('completed');
  await made.twilio.idle();
});
