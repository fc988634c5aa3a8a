/* SPDX-License-Identifier: MIT */
// The carrier's webhooks: who may send them, and what they may bring about, in whatever order they come.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { sleep, waitFor } from '../lib/util.mjs';
import { BOB, OWN, PUBLIC, lineRig } from './line-kit.mjs';
import { logLines } from './native-kit.mjs';

const sid = (kind = 'CA') => kind + randomBytes(16).toString('hex');
const talk = [{ wait: 'greeting' }, { waitEnd: true }];
const open = { security: { voice: { unknown_caller_policy: 'allow' } } };

/* Sends a webhook, signed with `token`; its entry in the simulator's log. */
async function hook(made, path, params, { token = made.twilio.authToken, method = 'POST' } = {}) {
  const { twilio } = made;
  const before = twilio.signingToken;
  twilio.signingToken = token;
  try {
    return await twilio.callbacks.deliver('test', `${PUBLIC}${path}`, method, { AccountSid: twilio.accountSid,
      ApiVersion: '2010-04-01', ...params });
  } finally {
    twilio.signingToken = before;
  }
}

const callerLeg = (made) => [...made.twilio.allLegs.values()].find((leg) => leg.participant?.label === 'caller')
  ?? [...made.twilio.allLegs.values()].find((leg) => leg.to === BOB);
const creates = (made) => made.twilio.requests.filter((r) => r.op === 'participants.create');

test('both tokens are good while they are exchanged, and no other', async (t) => {
  const made = await lineRig(t, { changes: { ...open } });
  await made.host.stop();
  await made.start({ changes: { channels: { voice: { twilio: { auth_token: [made.twilio.authToken, 'new-token-0123456789'] } } } } });
  const said = { CallSid: sid(), CallStatus: 'ringing', SequenceNumber: '1' };
  for (const token of [made.twilio.authToken, 'new-token-0123456789'])
    assert.equal((await hook(made, '/twilio/status', said, { token })).status, 200, token);
  assert.equal((await hook(made, '/twilio/status', said, { token: 'older' })).status, 401);
  assert.equal((await hook(made, '/twilio/status?ref=x', said, { token: 'older' })).status, 401);
  const res = await fetch(`${made.host.url}/twilio/voice`, { method: 'POST', body: new URLSearchParams({ CallSid: sid(),
    From: BOB, To: OWN }) });
  assert.equal(res.status, 401, 'without a signature');
  assert.equal(made.rows('SELECT count(*) AS n FROM call')[0].n, 0);
  await waitFor(() => logLines(made.host, /auth_token/).length >= 3, { what: 'the log to say what to look at' });
});

test('calls that nobody knows: an empty document, a hang-up where one is due, and new parameters are passed over', async (t) => {
  const made = await lineRig(t);
  const ref = randomBytes(16).toString('hex');
  const odd = { CallSid: sid(), Brand: 'new', Digits2: '<&>', NewIn2027: '{"a":1}', SipHeader_X: 'y' };
  const empty = /<Response\s*\/>$/;
  const end = /^<\?xml[^>]*><Response><Hangup\/><\/Response>$/;
  const rows = [
    ['/twilio/status', { ...odd, CallStatus: 'in-progress', SequenceNumber: '7' }, empty],
    [`/twilio/status?ref=${ref}&party=caller`, { ...odd, CallStatus: 'completed', SequenceNumber: '9' }, empty],
    [`/twilio/conference?ref=${ref}`, { ...odd, ConferenceSid: sid('CF'), StatusCallbackEvent: 'participant-join' }, empty],
    [`/twilio/conference?ref=${ref}`, { ...odd, ConferenceSid: sid('CF'), StatusCallbackEvent: 'participant-dance' }, empty],
    [`/twilio/amd?ref=${ref}`, { ...odd, AnsweredBy: 'machine_end_beep' }, empty],
    [`/twilio/recording?ref=${ref}`, { ...odd, RecordingSid: sid('RE'), RecordingStatus: 'completed' }, empty],
    [`/twilio/announce?ref=${ref}&token=act_x`, odd, empty],
    [`/twilio/gather?ref=${ref}&party=caller&token=act_x`, { ...odd, Digits: '1' }, end],
    [`/twilio/after?ref=${ref}&party=caller`, { ...odd, DialCallStatus: 'completed' }, end],
  ];
  for (const [path, params, body] of rows) {
    const entry = await hook(made, path, params);
    assert.equal(entry.status, 200, `${path}: ${entry.body}`);
    assert.match(entry.body, body, path);
  }
  for (const [path, status] of [['/twilio/unknown', 404], ['/twilio/voice', 400]])
    assert.equal((await hook(made, path, { CallSid: 'CAx' })).status, status, path);
  await sleep(100);
  assert.deepEqual(made.twilio.requests.filter((r) => r.method !== 'GET'), [], 'nothing was done to anybody');
  assert.equal(made.rows('SELECT count(*) AS n FROM call')[0].n, 0);
});

test('a call that comes in is one call however often its webhook comes; the document names one room', async (t) => {
  const made = await lineRig(t, { changes: open });
  made.twilio.callbackFaults = [{ kind: 'voice', action: 'duplicate' }];
  made.twilio.dialIn({ from: BOB, to: OWN, script: [{ wait: 'greeting' }, { hangup: true }] });
  const id = (await waitFor(() => made.host.events.find((e) => e.event === 'call.incoming'), { what: 'the call' })).call;
  await made.over(id);
  const documents = made.twilio.callbacks.log.filter((entry) => entry.kind === 'voice').map((entry) => entry.body);
  assert.equal(documents.length, 2);
  assert.equal(documents[0], documents[1]);
  assert.equal(made.rows('SELECT count(*) AS n FROM call')[0].n, 1);
  assert.equal(made.openai.calls.size, 1, 'one leg of the model');
  await made.twilio.idle();
  made.twilio.assertClean();
});

test('a number whose webhook is a GET: signed over its query, taken like a POST', async (t) => {
  const made = await lineRig(t, { changes: open, twilio: { numbers: { [OWN]: { voiceUrl: `${PUBLIC}/twilio/voice`, voiceMethod: 'GET' } } } });
  made.twilio.dialIn({ from: BOB, to: OWN, script: [{ wait: 'greeting' }, { hangup: true }] });
  const id = (await waitFor(() => made.host.events.find((e) => e.event === 'call.incoming'), { what: 'the call' })).call;
  assert.equal((await made.over(id)).outcome, 'answered');
  const { url } = made.twilio.callbacks.log.find((entry) => entry.kind === 'voice');
  const forged = await fetch(url.replace(PUBLIC, made.host.url).replace(encodeURIComponent(BOB), encodeURIComponent('+15550009999')), {
    headers: made.twilio.callbacks.log.find((entry) => entry.kind === 'voice').headers });
  assert.equal(forged.status, 401, 'another caller under the same signature');
  await made.twilio.idle();
});

test('callbacks twice and in another order: the status never moves back, the model comes once', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 1000, script: talk } }, twilio: { callbackFaults: [
    { kind: 'status', event: 'initiated', action: 'swap' }, { kind: 'status', event: 'ringing', action: 'duplicate' },
    { kind: 'status', event: 'in-progress', action: 'duplicate', times: 2 },
    { kind: 'conference', action: 'duplicate', times: 6 }, { kind: 'status', event: 'completed', action: 'duplicate',
      times: 2 }] } });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn');
  const leg = callerLeg(made);
  const status = (CallStatus, SequenceNumber) => hook(made,
    `/twilio/status?ref=${leg.participant.conference.friendlyName}&party=caller`, { CallSid: leg.sid, CallStatus, SequenceNumber });
  for (const [word, seq] of [['ringing', '1'], ['initiated', '0'], ['ringing', '90'], ['busy', '0'], ['failed', '1']])
    assert.equal((await status(word, seq)).status, 200);
  assert.equal((await made.state(id)).status, 'answered', 'what is older than the answer is not heard');
  await made.host.api(`/call/${id}`, { method: 'DELETE' });
  await made.over(id);
  const seen = made.host.events.filter((e) => e.call === id && /^call\.(initiated|ringing|answered|ended)$/.test(e.event))
    .map((e) => e.event);
  assert.deepEqual(seen, ['call.initiated', 'call.ringing', 'call.answered', 'call.ended']);
  assert.equal(creates(made).length, 2);
  made.twilio.assertRangOnce(BOB);
  await made.twilio.idle();
  made.twilio.assertClean();
});

test('an answer that is told after the end starts nothing', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 500, hangsUpMs: 100 } }, twilio: { callbackFaults: [
    { kind: 'status', event: 'in-progress', match: (p) => p.To === BOB, action: 'delay', ms: 1500 }] } });
  const id = await made.dial({ purpose: 'test' });
  const call = await made.over(id);
  assert.equal(call.outcome, 'failed', JSON.stringify(call));
  assert.match(call.detail, /before we heard of the answer/);
  await waitFor(() => made.twilio.callbacks.log.some((e) => e.params.CallStatus === 'in-progress'), { what: 'the late answer' });
  await sleep(100);
  assert.equal(creates(made).length, 1, 'no leg of the model');
  assert.equal(made.openai.calls.size, 0);
  assert.equal((await made.state(id)).status, 'completed');
  assert.deepEqual(made.host.events.filter((e) => e.event === 'call.answered'), []);
});

test('a leg that lives though its call is over is hung up, one that nobody asked for is not touched', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { rejects: 300 } } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  const room = creates(made)[0].ids[0];
  const stray = sid();
  await hook(made, `/twilio/status?ref=${room}&party=caller`, { CallSid: stray, CallStatus: 'in-progress', SequenceNumber: '2' });
  await waitFor(() => made.twilio.requests.some((r) => r.op === 'calls.update' && r.ids[0] === stray
    && r.params.Status === 'completed'), { what: 'the hang-up' });
  const other = sid();
  await hook(made, `/twilio/status?ref=${randomBytes(16).toString('hex')}&party=caller`, { CallSid: other,
    CallStatus: 'in-progress', SequenceNumber: '2' });
  await hook(made, '/twilio/status', { CallSid: other, CallStatus: 'in-progress', SequenceNumber: '2' });
  await sleep(100);
  assert.ok(!made.twilio.requests.some((r) => r.ids.includes(other)));
  made.twilio.assertRangOnce(BOB);
});

test('a join and the start of a conference are no answer', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 80000 } },
    changes: { channels: { voice: { outbound: { ring_timeout_seconds: 200 } } } } });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'call.ringing');
  const [{ ids: [ref] }] = creates(made);
  const leg = callerLeg(made);
  for (const StatusCallbackEvent of ['participant-join', 'conference-start'])
    await hook(made, `/twilio/conference?ref=${ref}`, { ConferenceSid: leg.participant.conference.sid, CallSid: leg.sid,
      ParticipantLabel: 'caller', StatusCallbackEvent, SequenceNumber: '1' });
  await sleep(200);
  assert.equal((await made.state(id)).status, 'ringing');
  assert.equal(creates(made).length, 1);
  await made.event(id, 'call.answered');
  await waitFor(() => creates(made).length === 2, { what: 'the model, by the answer' });
  await made.host.api(`/call/${id}`, { method: 'DELETE' });
  await made.over(id);
  await made.twilio.idle();
});
