/* SPDX-License-Identifier: MIT */
// The carrier simulator's own tests: a small "our side" that checks every signature by npm twilio.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import { after, describe, test } from 'node:test';
import webhooks from 'twilio/lib/webhooks/webhooks.js';
import { startOpenAI } from '../index.mjs';
import { readBody } from '../server.mjs';
import { twilioSchemas } from './check.mjs';
import { createTwilio } from './index.mjs';
import { wav } from './recording.mjs';
import { readForm } from './rest.mjs';
import { BadTwiml, parseXml, twimlFaults } from './twiml.mjs';
import { makeCerts } from '../../lib/certs.mjs';
import { startClient } from '../../lib/client.mjs';
import { waitFor } from '../../lib/util.mjs';

const PUBLIC = 'https://voice.example.com/base';
const OWN = '+15550001000';
const BOB = '+15551230001';
const CAROL = '+15551230002';
const REF = '0123456789abcdef0123456789abcdef';
const MODEL = `sip:proj_test@sip.api.openai.com;transport=tls;secure=true?X-Call-Ref=${REF}`;
const closing = new Set();
after(() => Promise.all([...closing].map((thing) => thing.close())));

/* Answers what the carrier asks: `pages` by path, a text of TwiML or a function of the parameters. */
async function ourSide(token, pages = {}) {
  const self = { got: [], pages };
  const server = http.createServer(async (req, res) => {
    const form = (await readBody(req)).toString('utf8');
    const url = PUBLIC + req.url;
    const params = req.method === 'GET' ? {} : readForm(form);
    const valid = webhooks.validateRequest(token, req.headers['x-twilio-signature'] ?? '', url, params);
    const path = req.url.split('?')[0];
    self.got.push({ path, params, valid, method: req.method });
    const page = self.pages[path];
    const reply = typeof page === 'function' ? page(params) : page;
    res.writeHead(typeof reply === 'number' ? reply : 200, { 'content-type': 'text/xml' });
    res.end(typeof reply === 'string' ? `<?xml version="1.0"?><Response>${reply}</Response>` : '');
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  self.url = `http://127.0.0.1:${server.address().port}`;
  self.of = (path) => self.got.filter((g) => g.path === path).map((g) => g.params);
  self.close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  closing.add(self);
  return self;
}

async function set(opts = {}, pages = {}) {
  const openai = await startOpenAI({ speed: 40 });
  const client = await startClient(openai, { answer: () => 'It is forty-two.' });
  openai.webhookUrl = client.url;
  const authToken = 'test-token';
  const ours = await ourSide(authToken, pages);
  const twilio = await createTwilio({ openai, authToken, publicUrl: PUBLIC, target: ours.url,
    numbers: { [OWN]: { voiceUrl: `${PUBLIC}/voice` } }, ...opts });
  [openai, client, twilio].forEach((thing) => closing.add(thing));
  const api = async (method, path, params = {}, { auth = `${twilio.accountSid}:${authToken}` } = {}) => {
    const query = new URLSearchParams();
    Object.entries(params).forEach(([k, v]) => [v].flat().forEach((one) => query.append(k, one)));
    const post = method === 'POST';
    const res = await fetch(`${twilio.url}/2010-04-01/Accounts/${twilio.accountSid}${path}${
      post || !query.size ? '' : `?${query}`}`, { method, body: post ? query : undefined,
      headers: { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } });
    const raw = Buffer.from(await res.arrayBuffer());
    const isJson = /json/.test(res.headers.get('content-type') ?? '');
    return { status: res.status, json: isJson ? JSON.parse(raw) : null, raw };
  };
  return { openai, client, ours, twilio, api };
}

const allEvents = ['initiated', 'ringing', 'answered', 'completed'];
const roomEvents = 'start end join leave mute hold modify announcement';

function partyParams(to, label, more = {}) {
  return { From: OWN, To: to, Label: label, Beep: 'false', EarlyMedia: 'false', StatusCallback: `${PUBLIC}/status`,
    StatusCallbackEvent: allEvents, ConferenceStatusCallback: `${PUBLIC}/conference`,
    ConferenceStatusCallbackEvent: roomEvents, ...more };
}

const addParty = (s, room, to, label, more) =>
  s.api('POST', `/Conferences/${room}/Participants.json`, partyParams(to, label, more));

/* A human in conference `room` and the model, both answered. */
async function bridged(s, room, how, more = {}) {
  const bob = s.twilio.person(BOB, { answers: 300, ...how });
  const human = await addParty(s, room, BOB, 'caller', more);
  assert.equal(human.status, 201);
  await waitFor(() => s.ours.of('/status').some((p) => p.CallStatus === 'in-progress'));
  const model = await addParty(s, room, MODEL, 'model', { Timeout: '10' });
  assert.equal(model.status, 201);
  const conference = s.twilio.roomNamed(room, false);
  await waitFor(() => conference.status === 'in-progress' && conference.find('model')?.status === 'connected');
  return { bob, conference, human: human.json.call_sid, model: model.json.call_sid };
}

async function finish(s) {
  await s.twilio.idle();
  s.twilio.assertClean();
  assert.ok(s.ours.got.every((g) => g.valid), 'a signature is wrong');
}

describe('an outbound call through a conference', () => {
  test('goes from the dial to the hang-up, the person talks to the model', async () => {
    const s = await set();
    const { bob, human, model } = await bridged(s, 'ref-1', { script: [{ wait: 'greeting' },
      { caller: 'What is the answer?' }, { wait: 'tool' }, { wait: 'assistant' }, { hangup: true }] });
    const call = [...s.openai.calls.values()][0];
    const header = (name) => call.sipHeaders.find((h) => h.name === name)?.value;
    assert.equal(header('X-Call-Ref'), REF);
    assert.match(header('To'), /^<sip:proj_test@sip\.api\.openai\.com;transport=tls>$/);
    assert.match(header('From'), /sip:\+15550001000@/);
    assert.ok(header('Call-ID'));
    await waitFor(() => s.twilio.allLegs.get(human).over);
    // The person is gone; the model's leg is not ended by that.
    assert.deepEqual(s.twilio.legs().map((l) => l.label), ['model']);
    await s.api('POST', `/Conferences/${s.twilio.conferences[0].sid}.json`, { Status: 'completed' });
    await finish(s);
    assert.equal(bob.scriptError, null);
    assert.deepEqual(bob.texts('model').at(-1), 'It is forty-two.');
    assert.equal((await call.done).reason, 'caller_hangup');
    assert.deepEqual(s.ours.of('/status').filter((p) => p.CallSid === human)
      .map((p) => [p.SequenceNumber, p.CallStatus]),
    [['0', 'initiated'], ['1', 'ringing'], ['2', 'in-progress'], ['3', 'completed']]);
    const last = s.ours.of('/status').findLast((p) => p.CallSid === human);
    assert.equal(last.SipResponseCode, '200');
    assert.ok(Number(last.CallDuration) > 0 && Number(last.Duration) > 0);
    assert.deepEqual(s.ours.of('/conference').map((p) => p.StatusCallbackEvent), ['participant-join',
      'participant-join', 'conference-start', 'participant-leave', 'participant-leave', 'conference-end']);
    s.twilio.assertRangOnce(BOB);
    assert.deepEqual(s.twilio.numbersSeen(), [BOB]);
    assert.equal((await s.api('GET', `/Calls/${model}.json`)).json.status, 'completed');
  });

  test('is listed while it rings; a lost answer is found by the name', async () => {
    const s = await set({ speed: 1 });
    s.twilio.person(BOB, { answers: false });
    s.twilio.faults = { 'participants.create': { apply: true, reset: true } };
    await assert.rejects(addParty(s, 'ref-2', BOB, 'caller'));
    const list = (await s.api('GET', '/Conferences.json', { FriendlyName: 'ref-2' })).json;
    assert.equal(list.conferences.length, 1);
    assert.equal(list.conferences[0].status, 'init');
    const parties = `/Conferences/${list.conferences[0].sid}/Participants`;
    const { participants } = (await s.api('GET', `${parties}.json`)).json;
    assert.equal(participants[0].label, 'caller');
    assert.match(participants[0].status, /queued|ringing/);
    assert.equal((await addParty(s, 'ref-2', BOB, 'caller')).json.code, 16026);
    assert.equal((await s.api('DELETE', `${parties}/caller.json`)).status, 204);
    assert.equal(s.twilio.allLegs.get(participants[0].call_sid).status, 'canceled');
    await finish(s);
    assert.ok(s.twilio.ringsOf(BOB) <= 1);
  });

  for (const [how, status, sip] of [[{ busy: true }, 'busy', '486'], [{ rejects: 100 }, 'busy', '603'],
    [{ answers: false }, 'no-answer', '480'], [{ sip: 404 }, 'failed', '404']]) {
    test(`ends ${status} (${sip})`, async () => {
      const s = await set();
      s.twilio.person(BOB, how);
      await addParty(s, 'ref-3', BOB, 'caller', { Timeout: '5' });
      await finish(s);
      const last = s.ours.of('/status').at(-1);
      assert.deepEqual([last.CallStatus, last.SipResponseCode, last.CallDuration], [status, sip, '0']);
    });
  }

  test('with early media joins while it rings; the first one fixes the callback', async () => {
    const s = await set();
    s.twilio.person(BOB, { rejects: 500 });
    await addParty(s, 'early', BOB, 'caller', { EarlyMedia: 'true' });
    const path = `/Conferences/${s.twilio.conferences[0].sid}`;
    await finish(s);
    assert.deepEqual(s.ours.of('/conference').map((p) => [p.StatusCallbackEvent, p.ReasonParticipantLeft]),
      [['participant-join', undefined], ['participant-leave', 'participant_add_failed'],
        ['conference-end', undefined]]);
    assert.equal((await s.api('GET', `${path}.json`)).json.reason_conference_ended, 'last-participant-left');
    assert.deepEqual((await s.api('GET', `${path}/Participants.json`)).json.participants, []);
    s.twilio.person(BOB, { answers: false });
    await addParty(s, 'late', BOB, 'caller');
    const late = s.twilio.roomNamed('late', false);
    await waitFor(() => s.twilio.legs()[0].status === 'ringing');
    await s.api('POST', `/Conferences/${late.sid}.json`, { Status: 'completed' });
    assert.throws(() => s.twilio.assertNoLegs(), /ringing/, 'who has not joined rings on');
    await s.api('POST', `/Calls/${s.twilio.legs()[0].sid}.json`, { Status: 'canceled' });
    await finish(s);
  });

  test('is refused by the API for numbers and senders', async () => {
    const s = await set({ people: { [BOB]: { refused: 21215 } } });
    assert.equal((await addParty(s, 'r', BOB, 'caller')).json.code, 21215);
    assert.equal((await addParty(s, 'r', '0123', 'caller')).json.code, 21211);
    assert.equal((await addParty(s, 'r', CAROL, 'caller', { From: '+15559999999' })).json.code, 21210);
    assert.equal((await addParty(s, 'r', `${MODEL}&Bad-Header=1`, 'model')).json.code, 13252);
    const auth = `${s.twilio.accountSid}:wrong`;
    assert.equal((await s.api('GET', '/Calls.json', {}, { auth })).json.code, 20003);
    assert.equal((await s.api('GET', '/Calls/CA00000000000000000000000000000000.json')).json.code, 20404);
    assert.equal(s.twilio.allLegs.size, 0);
    assert.equal(s.twilio.conferences.length, 0);
    s.twilio.assertClean();
    if (twilioSchemas()) {
      assert.equal((await addParty(s, 'r', BOB, 'x', { Lable: 'x' })).status, 400);
      assert.throws(() => s.twilio.assertClean(), /Lable/);
    }
    assert.equal((await addParty(s, 'r', BOB, 'x', { Beep: 'no' })).status, 400);
    assert.throws(() => s.twilio.assertClean(), /Beep=no/);
  });

  test('has its leg to the model rejected, or ended by the model', async () => {
    const s = await set();
    s.twilio.faults = { sip: { status: 486 } };
    s.twilio.person(BOB, {});
    await addParty(s, 'ref-4', MODEL, 'model');
    await waitFor(() => s.ours.of('/status').some((p) => p.CallStatus === 'busy'));
    const { human } = await bridged(s, 'ref-5', {}, { EndConferenceOnExit: 'true' });
    const call = [...s.openai.calls.values()].at(-1);
    call.end('hangup', 'client');
    await waitFor(() => s.twilio.legs().length === 1);
    assert.equal(s.twilio.legs()[0].sid, human);
    await s.api('POST', `/Calls/${human}.json`, { Status: 'completed' });
    assert.equal((await s.api('POST', `/Calls/${human}.json`, { Status: 'completed' })).json.code, 21220);
    await finish(s);
  });
});

describe('steering', () => {
  test('hold and mute: what is said meanwhile is not heard', async () => {
    const s = await set({}, { '/hold': '<Play>https://voice.example.com/music.wav</Play>' });
    const { bob, conference } = await bridged(s, 'ref-6', { script: [{ wait: 'greeting' }, { wait: 'held' },
      { caller: 'nobody hears this', anyway: true }, { wait: 'resumed' }, { caller: 'back again' },
      { wait: 'assistant' }, { hears: 'back again' }, { hangup: true }] });
    const path = `/Conferences/${conference.sid}/Participants/caller.json`;
    await waitFor(() => bob.texts('model').length > 0);
    const held = await s.api('POST', path, { Hold: 'true', HoldUrl: `${PUBLIC}/hold` });
    assert.equal(held.json.hold, true);
    await waitFor(() => bob.unheard.length === 1 && bob.texts('play').length === 1);
    await s.api('POST', path, { Muted: 'true' });
    await s.api('POST', path, { Hold: 'false' });
    await s.api('POST', path, { Muted: 'false' });
    await waitFor(() => bob.line.leg.over);
    await s.api('POST', `/Conferences/${conference.sid}.json`, { Status: 'completed' });
    await finish(s);
    assert.equal(bob.scriptError, null);
    const call = [...s.openai.calls.values()][0];
    assert.ok(call.turns.every((t) => !t.text.includes('nobody')));
    assert.ok(call.turns.some((t) => t.who === 'caller' && t.text === 'back again'));
    const kinds = s.ours.of('/conference').map((p) => p.StatusCallbackEvent);
    ['hold', 'unhold', 'mute', 'unmute'].forEach((k) => assert.ok(kinds.includes(`participant-${k}`), k));
  });

  test('digits are collected by a redirect and played by an announcement', async () => {
    const s = await set({}, { '/gathered': (p) => `<Say>You pressed ${p.Digits}</Say><Dial><Conference `
      + 'participantLabel="caller" beep="false">ref-7</Conference></Dial>', '/digits': '<Play digits="5w#"/>' });
    const { bob, conference, human } = await bridged(s, 'ref-7', { digits: '1234' });
    await s.api('POST', `/Calls/${human}.json`, { Twiml: `<Response><Gather numDigits="4" action="${
      PUBLIC}/gathered"><Say>Please enter your code</Say></Gather></Response>` });
    await waitFor(() => conference.find('caller')?.joined);
    assert.deepEqual(bob.texts('say').slice(-1), ['You pressed 1234']);
    await s.api('POST', `/Conferences/${conference.sid}/Participants/caller.json`,
      { AnnounceUrl: `${PUBLIC}/digits` });
    await waitFor(() => bob.texts('digits')[0] === '5#');
    bob.press('7');
    assert.equal(bob.lostDigits, '7');
    await s.api('POST', `/Conferences/${conference.sid}.json`, { Status: 'completed' });
    await finish(s);
    assert.equal(s.ours.of('/gathered')[0].Digits, '1234');
    const leave = s.ours.of('/conference').find((p) => p.StatusCallbackEvent === 'participant-leave');
    assert.equal(leave.ReasonParticipantLeft, 'participant_updated_via_api');
  });

  test('a third party joins when it accepts with 1', async () => {
    const s = await set({}, { '/accepted': '<Dial><Conference participantLabel="target" beep="false">ref-8'
      + '</Conference></Dial>' });
    const { bob, conference } = await bridged(s, 'ref-8', {});
    const carol = s.twilio.person(CAROL, { accepts: true });
    await s.api('POST', '/Calls.json', { From: OWN, To: CAROL, Timeout: '20', Twiml: `<Response><Gather numDigits="1" `
      + `action="${PUBLIC}/accepted"><Say>Bob calls. Press 1.</Say></Gather></Response>` });
    await waitFor(() => conference.find('target')?.joined);
    await s.api('DELETE', `/Conferences/${conference.sid}/Participants/model.json`);
    await waitFor(() => s.twilio.legs().length === 2);
    assert.ok(await carol.say('Hello Bob'));
    assert.ok(bob.texts('voice').includes('Hello Bob'));
    await s.api('POST', `/Conferences/${conference.sid}.json`, { Status: 'completed' });
    await finish(s);
  });

  test('a recording is paused, stopped, fetched and deleted', async () => {
    const s = await set();
    const { human } = await bridged(s, 'ref-9', {});
    const path = `/Calls/${human}/Recordings`;
    const made = await s.api('POST', `${path}.json`, { RecordingChannels: 'dual', Trim: 'do-not-trim',
      RecordingStatusCallback: `${PUBLIC}/recording`, RecordingStatusCallbackEvent: 'in-progress completed' });
    assert.equal(made.status, 201);
    const current = `${path}/Twilio.CURRENT.json`;
    assert.equal((await s.api('POST', current, { Status: 'paused' })).json.status, 'paused');
    assert.equal((await s.api('POST', current, { Status: 'in-progress' })).json.status, 'in-progress');
    assert.equal((await s.api('POST', current, { Status: 'stopped' })).json.status, 'processing');
    await waitFor(() => s.ours.of('/recording').some((p) => p.RecordingStatus === 'completed'));
    const { sid } = made.json;
    assert.equal((await s.api('GET', '/Recordings.json', { CallSid: human })).json.recordings[0].sid, sid);
    const file = await s.api('GET', `/Recordings/${sid}.wav`, { RequestedChannels: '2' });
    assert.equal(file.raw.toString('latin1', 0, 4), 'RIFF');
    assert.equal(file.raw.readUInt16LE(22), 2);
    assert.equal(file.raw.length, 44 + file.raw.readUInt32LE(40));
    assert.equal((await s.api('DELETE', `/Recordings/${sid}.json`)).status, 204);
    assert.equal((await s.api('GET', `/Recordings/${sid}.wav`)).status, 404);
    await s.api('POST', `/Calls/${human}.json`, { Status: 'completed' });
    await s.api('POST', `/Conferences/${s.twilio.conferences[0].sid}.json`, { Status: 'completed' });
    await finish(s);
    const quiet = wav(2, 1, (at) => at < 1);
    assert.ok(quiet.subarray(44, 16044).every((b) => b === 0) && quiet.subarray(16044).some((b) => b !== 0));
  });

  test('voicemail is reported later, and takes a message', async () => {
    const s = await set();
    const bob = s.twilio.person(BOB, { voicemail: { greeting: 'This is Bob.' } });
    await addParty(s, 'ref-10', BOB, 'caller', { MachineDetection: 'DetectMessageEnd',
      AmdStatusCallback: `${PUBLIC}/amd`, EndConferenceOnExit: 'true' });
    await waitFor(() => s.ours.of('/amd').length === 1);
    assert.equal(s.ours.of('/amd')[0].AnsweredBy, 'machine_end_beep');
    await s.api('POST', `/Calls/${bob.line.leg.sid}.json`, { Twiml: '<Response><Say>Call me &amp; Carol back.'
      + '</Say></Response>' });
    await finish(s);
    assert.deepEqual(bob.messages, ['Call me & Carol back.']);
  });
});

describe('an inbound call', () => {
  test('joins a conference by TwiML, and the action follows', async () => {
    const s = await set({}, { '/voice': '<Dial action="/base/after"><Conference participantLabel="caller" '
      + `beep="false" waitUrl="" statusCallback="${PUBLIC}/conference" statusCallbackEvent="start end join `
      + 'leave">in-1</Conference></Dial>', '/after': '<Hangup/>' });
    const line = s.twilio.dialIn({ from: BOB, script: [{ wait: 'greeting' }, { caller: 'Goodbye' },
      { waitEnd: true }] });
    await waitFor(() => s.twilio.roomNamed('in-1', false)?.find('caller'));
    await addParty(s, 'in-1', MODEL, 'model', { EndConferenceOnExit: 'true' });
    await finish(s);
    assert.equal(line.person.scriptError, null);
    const [first] = s.ours.of('/voice');
    assert.deepEqual([first.From, first.To, first.CallStatus, first.Direction], [BOB, OWN, 'ringing', 'inbound']);
    assert.equal(s.ours.of('/after')[0].DialCallStatus, 'completed');
    assert.equal(s.twilio.rings.length, 0);
  });

  test('is bridged to the model by <Dial><Sip>, with keys', async () => {
    const s = await set({}, { '/voice': `<Dial answerOnBridge="true" action="${PUBLIC}/after"><Sip statusCallback="${
      PUBLIC}/status" statusCallbackEvent="initiated ringing answered completed">${MODEL}</Sip></Dial>`,
    '/after': '<Say>Bye</Say>' });
    const line = s.twilio.dialIn({ from: BOB, script: [{ wait: 'greeting' }, { dtmf: '5#' },
      { caller: 'Goodbye' }, { hears: 'Bye' }, { waitEnd: true }] });
    await finish(s);
    assert.equal(line.person.scriptError, null);
    const call = [...s.openai.calls.values()][0];
    assert.deepEqual(call.serverEvents.filter((e) => /dtmf/.test(e.type)).map((e) => e.event.event), ['5', '#']);
    const [action] = s.ours.of('/after');
    assert.deepEqual([action.DialCallStatus, action.DialSipResponseCode], ['completed', '200']);
    assert.ok(s.ours.of('/status').every((p) => p.ParentCallSid === line.leg.sid));
  });

  test('is rejected, given up, or meets a server that is down', async () => {
    const s = await set({}, { '/voice': '<Reject reason="busy"/>' });
    assert.equal(await s.twilio.dialIn({ from: BOB }).leg.done().then(() => 'over'), 'over');
    s.ours.pages['/voice'] = '<Pause length="60"/>';
    const line = s.twilio.dialIn({ from: BOB, ringHangupMs: 1000 });
    await line.leg.done();
    assert.equal(line.leg.status, 'no-answer');
    s.ours.pages['/voice'] = '<Dial action="/base/after"><Conference>alone</Conference></Dial>';
    await s.twilio.dialIn({ from: BOB, hangsUpMs: 500 }).leg.done();
    await waitFor(() => s.ours.of('/after').length === 1);
    assert.equal(s.ours.of('/after')[0].CallStatus, 'completed');
    s.ours.pages['/voice'] = 503;
    const lost = s.twilio.dialIn({ from: BOB });
    await lost.leg.done();
    assert.match(lost.heard[0].text, /application error/);
    assert.equal(s.twilio.alerts[0].code, 11200);
    await finish(s);
  });
});

describe('faults', () => {
  test('of callbacks: lost, twice, swapped, late, wrongly signed', async () => {
    const s = await set();
    s.twilio.callbackFaults = [{ event: 'ringing', action: 'drop' }, { event: 'in-progress', action: 'swap' },
      { event: 'completed', action: 'duplicate' }];
    s.twilio.person(BOB, { hangsUpMs: 500 });
    await addParty(s, 'f-1', BOB, 'caller', { ConferenceStatusCallback: '' });
    await finish(s);
    assert.deepEqual(s.ours.of('/status').map((p) => p.CallStatus),
      ['initiated', 'completed', 'completed', 'in-progress']);
    s.twilio.callbackFaults = [{ event: 'ringing', action: 'delay', ms: 100 }];
    await addParty(s, 'f-2', BOB, 'caller', { StatusCallbackMethod: 'GET', StatusCallback: `${PUBLIC}/get?a=%20b` });
    await finish(s);
    await waitFor(() => s.twilio.callbacks.log.at(-1).params.CallStatus === 'ringing');
    assert.ok(s.ours.got.filter((g) => g.path === '/get').every((g) => g.method === 'GET' && g.valid));
    s.twilio.callbackFaults = [{ event: 'initiated', action: 'badSignature' }];
    await addParty(s, 'f-3', BOB, 'caller');
    await s.twilio.idle();
    assert.deepEqual(s.ours.got.filter((g) => !g.valid).map((g) => g.params.CallStatus), ['initiated']);
  });

  test('of a server that never answers: the next callback comes all the same', async () => {
    const s = await set({ callbackTimeoutMs: 200, orderMs: 20 });
    const { got } = s.ours;
    const silent = http.createServer((req) => got.push(req.headers['i-twilio-idempotency-token']));
    await new Promise((resolve) => { silent.listen(0, '127.0.0.1', resolve); });
    s.twilio.route(PUBLIC, `http://127.0.0.1:${silent.address().port}`);
    s.twilio.person(BOB, { busy: true });
    await addParty(s, 'f-4', BOB, 'caller', { StatusCallback: `${PUBLIC}/status#rc=1` });
    await s.twilio.idle();
    assert.deepEqual(s.twilio.callbacks.log.map((c) => [c.params.CallStatus, c.attempt, c.error]).sort(), [
      ['busy', 1, 'timeout'], ['busy', 2, 'timeout'], ['initiated', 1, 'timeout'], ['initiated', 2, 'timeout']]);
    assert.equal(new Set(got).size, 2, 'the same token on a retry');
    assert.equal(s.twilio.alerts[0].code, 11205);
    silent.closeAllConnections();
    await new Promise((resolve) => { silent.close(resolve); });
  });

  test('of requests: 429, 500, slow, connections refused', async () => {
    const s = await set();
    s.twilio.faults = { 'calls.list': [{ status: 429 }, { status: 500 }, { afterMs: 50 }] };
    assert.equal((await s.api('GET', '/Calls.json')).json.code, 20429);
    assert.equal((await s.api('GET', '/Calls.json')).json.code, 20500);
    assert.equal((await s.api('GET', '/Calls.json')).status, 200);
    await s.twilio.refuseConnections();
    await assert.rejects(s.api('GET', '/Calls.json'));
    await s.twilio.listenAgain();
    assert.equal((await s.api('GET', '.json')).json.status, 'active');
    const [own] = (await s.api('GET', '/IncomingPhoneNumbers.json')).json.incoming_phone_numbers;
    await s.api('POST', `/IncomingPhoneNumbers/${own.sid}.json`, { VoiceUrl: `${PUBLIC}/other` });
    assert.equal(s.twilio.numbers.get(OWN).voiceUrl, `${PUBLIC}/other`);
    s.twilio.assertClean();
  });

  test('calls above the limit wait; TLS and an API key work', async () => {
    const certs = makeCerts();
    const key = { sid: 'SKkey', secret: 'shh' };
    const s = await set({ callsPerSecond: 2, tls: certs.server, apiKey: key });
    s.twilio.person(BOB, { busy: true });
    const answer = await new Promise((resolve, reject) => {
      https.get(`${s.twilio.url}/2010-04-01/Accounts/${s.twilio.accountSid}.json`, { ca: certs.ca,
        auth: `${key.sid}:${key.secret}` }, (res) => resolve(res.resume().statusCode)).on('error', reject);
    });
    assert.equal(answer, 200);
    const dial = () => s.twilio.originate({ to: BOB, from: OWN, direction: 'outbound-api' });
    const legs = [dial(), dial(), dial()];
    await s.twilio.idle();
    assert.ok(legs[2].queuedMs > legs[1].queuedMs && legs[2].endedAt - legs[0].endedAt > 700);
    s.twilio.assertClean();
  });

  test('a number that nobody has is a violation, and so is bad TwiML', async () => {
    const s = await set();
    await s.api('POST', '/Calls.json', { From: OWN, To: '+15557770000', Timeout: '5',
      Twiml: '<Response><Hangup/></Response>' });
    assert.throws(() => s.twilio.assertClean(), /nobody has/);
    assert.throws(() => s.twilio.assertNoLegs(), /still up/);
    await s.twilio.idle();
    assert.deepEqual(s.twilio.numbersSeen(), ['+15557770000']);
    const faults = (xml) => twimlFaults(parseXml(xml));
    assert.deepEqual(faults('<Response><Say voice="a">x &amp; y</Say><Pause/></Response>'), []);
    assert.match(faults('<Response><Shout/></Response>')[0], /<Shout>/);
    assert.match(faults('<Response><Dial><Conference startOnEnter="true">x</Conference></Dial></Response>')[0],
      /no attribute startOnEnter/);
    for (const bad of ['<Response>', '<Response/><Response/>', '<Response a="1" a="2"/>', '<Response>&nbsp;</Response>',
      '<Response><Sip>a?b&c=d</Sip></Response>', '<Response><Say>x</Response></Say>', 'hello'])
      assert.throws(() => parseXml(bad), BadTwiml, bad);
  });
});

test('a signature is the one of the known vectors', () => {
  assert.equal(webhooks.getExpectedTwilioSignature('12345', 'https://mycompany.com/myapp.php?foo=1&bar=2', {
    CallSid: 'CA1234567890ABCDE', Caller: '+14158675309', Digits: '1234', From: '+14158675309',
    To: '+18005551212' }), 'RSOYDt4T1cUTdK1PDd93/VVr8B8=');
});
