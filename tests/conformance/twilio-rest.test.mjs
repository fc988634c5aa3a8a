/* SPDX-License-Identifier: MIT */
/*
 * Every command over real sockets against the simulated carrier, which checks each request by the public schemas and
 * signs each callback by npm `twilio`. All callbacks go through our verifier and reader; what they say is answered
 * here with steps of ours, which our renderer writes.
 */
import { after, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import http from 'node:http';
import path from 'node:path';
import readline from 'node:readline';
import { startOpenAI } from '../sim/index.mjs';
import { readBody } from '../sim/server.mjs';
import { createTwilio } from '../sim/twilio/index.mjs';
import { startClient } from '../lib/client.mjs';
import { buildDir, waitFor } from '../lib/util.mjs';

const PUBLIC = 'https://voice.example.com/base';
const OWN = '+15550001000';
const BOB = '+15551230001';
const CAROL = '+15551230002';
const REF = '0123456789abcdef0123456789abcdef';
const MODEL_REF = 'fedcba9876543210fedcba9876543210';
const MODEL_URI = 'sip:proj_test@sip.api.openai.com;transport=tls';
const [CALLER, MODEL, OTHER] = [0, 1, 2]; // roles
const CMD = { CREATE: 1, LOOK_UP: 2, END_ROOM: 3, END_LEG: 4, HOLD: 5, UNHOLD: 6, MUTE: 7, UNMUTE: 8, STAY: 9,
  PLAY_DIGITS: 10, ANNOUNCE: 11, COLLECT: 12, OFFER: 13, APOLOGISE: 14, RECORD: 15, RECORD_PAUSE: 16,
  RECORD_RESUME: 17, RECORD_STOP: 18 };
const STEP = { JOIN: 0, SAY: 1, PAUSE: 2, DIGITS: 3, HANG_UP: 6 };
const SAID = { NOTHING: 0, INCOMING: 1, STATUS: 2, ROOM: 3, MACHINE: 4, DIGITS: 5, RECORDING: 6, NEEDS_WORDS: 7,
  DIAL_ENDED: 8 };
const LEG = { QUEUED: 0, RINGING: 1, IN_PROGRESS: 2, COMPLETED: 3, BUSY: 4, NO_ANSWER: 5, CANCELED: 6, FAILED: 7 };
const closing = new Set();
after(() => Promise.all([...closing].map((thing) => thing.close())));

/** The program with our carrier in it: ask(question) gives its answer. */
class Carrier {
  constructor(args) {
    this.child = spawn(path.join(buildDir, 'tests', 'conformance', 'carrier_cli'), args,
      { stdio: ['pipe', 'pipe', 'pipe'] });
    this.waiting = new Map();
    this.next = 1;
    this.log = '';
    this.ended = null;
    this.child.stderr.on('data', (data) => { this.log += data; });
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line);
      if ('end' in answer)
        this.ended = answer;
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
    this.exited = new Promise((resolve) => { this.child.on('exit', resolve); });
  }

  ask(question) {
    const id = this.next++;
    this.child.stdin.write(`${JSON.stringify({ id, ...question })}\n`);
    return new Promise((resolve) => { this.waiting.set(id, resolve); });
  }

  async close() {
    this.child.stdin.end();
    await this.exited;
  }
}

/** The simulators, our carrier and a server for its callbacks; `steps(event)` decides what comes next. */
async function set({ steps = () => [], people = {}, key = false, ...opts } = {}) {
  const openai = await startOpenAI({ speed: 40 });
  const client = await startClient(openai, { answer: () => 'It is forty-two.' });
  openai.webhookUrl = client.url;
  const hooks = [];
  const s = { openai, hooks, steps };
  const server = http.createServer(async (req, res) => {
    const [where, query = ''] = req.url.split('?');
    const event = await s.carrier.ask({ hook: { method: req.method, path: where, query,
      body: (await readBody(req)).toString('utf8'), type: req.headers['content-type'] ?? '',
      signature: req.headers['x-twilio-signature'] ?? '' } });
    hooks.push({ path: where, ...event });
    const page = await s.carrier.ask({ twiml: { public: PUBLIC, steps: s.steps(event) } });
    res.writeHead(200, { 'content-type': 'text/xml; charset=utf-8' });
    res.end(page.text);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  s.twilio = await createTwilio({ openai, authToken: 'test-token', publicUrl: PUBLIC, people,
    target: `http://127.0.0.1:${server.address().port}`, numbers: { [OWN]: { voiceUrl: `${PUBLIC}/twilio/voice` } },
    ...(key ? { apiKey: { sid: 'SK1', secret: 'a secret' } } : {}), ...opts });
  s.carrier = new Carrier([s.twilio.url, s.twilio.accountSid, 'test-token', PUBLIC,
    ...(key ? ['SK1', 'a secret'] : [])]);
  s.line = { ref: REF, room: '', own: OWN, model_uri: MODEL_URI, max_ms: 600000,
    legs: [{ label: 'caller', role: CALLER, to: BOB }, { label: 'model', role: MODEL, ref: MODEL_REF },
      { label: 'boss', role: OTHER, to: CAROL }] };
  s.order = (what, leg = -1, more = {}) => s.carrier.ask({ order: { what, leg, line: s.line, ...more } });
  s.said = (said, where = {}) => hooks.filter((h) => h.said === said
    && Object.entries(where).every(([name, value]) => h[name] === value));
  [openai, client, s.twilio, s.carrier, { close: () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }) }].forEach((thing) => closing.add(thing));
  return s;
}

const word = (token, text) => (e) => (e.said === SAID.NEEDS_WORDS && e.token === token ? [{ kind: STEP.SAY, text }] : null);
const good = (answer) => assert.ok(answer.http_status === 200 || answer.http_status === 201, JSON.stringify(answer));

async function finish(s) {
  await s.twilio.idle();
  s.twilio.assertClean();
  for (const h of s.hooks)
    assert.deepEqual([h.verify, h.read], ['ok', 'ok'], JSON.stringify(h));
  await s.carrier.close();
  assert.deepEqual(s.carrier.ended, { end: 0, open: 0 });
  for (const hidden of [BOB, CAROL, 'test-token', 'secret'])
    assert.ok(!s.carrier.log.includes(hidden), s.carrier.log);
}

/* The caller is dialled and answers, then the model is. */
async function bridged(s, how = {}) {
  const bob = s.twilio.person(BOB, { answers: 300, ...how });
  const caller = await s.order(CMD.CREATE, 0);
  good(caller);
  s.line.legs[0].sid = caller.sid;
  s.line.room = caller.room;
  await waitFor(() => s.said(SAID.STATUS, { label: 'caller', status: LEG.IN_PROGRESS }).length === 1);
  const model = await s.order(CMD.CREATE, 1);
  good(model);
  s.line.legs[1].sid = model.sid;
  const room = s.twilio.roomNamed(REF, false);
  await waitFor(() => room.find('model')?.status === 'connected' && room.find('caller')?.joined);
  return { bob, room };
}

describe('every command once, the schemas on', () => {
  test('a caller and the model in a room: status, machine detection, looking around, the end', async () => {
    const s = await set();
    s.line.detect_machine = true;
    const { room } = await bridged(s);
    assert.equal(s.line.room, room.sid);
    await waitFor(() => s.said(SAID.MACHINE).length === 1);
    assert.deepEqual(s.said(SAID.STATUS, { label: 'caller' }).map((h) => [h.seq, h.status, h.ref, h.leg]),
      [LEG.QUEUED, LEG.RINGING, LEG.IN_PROGRESS].map((status, seq) => [seq, status, REF, s.line.legs[0].sid]));
    const call = [...s.openai.calls.values()][0];
    assert.equal(call.sipHeaders.find((h) => h.name === 'X-Call-Ref')?.value, MODEL_REF);
    s.line.room = '';
    const seen = await s.order(CMD.LOOK_UP);
    assert.deepEqual([seen.http_status, seen.room, seen.room_live], [200, room.sid, true]);
    assert.deepEqual(seen.legs.map((l) => [l.label, l.sid, l.status, l.in_room]), s.line.legs.slice(0, 2)
      .map((l) => [l.label, l.sid, LEG.IN_PROGRESS, true]));
    assert.ok(seen.legs.every((l) => l.up_s >= 0 && l.up_s < 60), JSON.stringify(seen));
    good(await s.order(CMD.END_ROOM));
    await waitFor(() => s.twilio.legs().length === 0);
    assert.equal((await s.order(CMD.END_LEG, 0)).http_status, 404);
    const over = await s.order(CMD.LOOK_UP);
    assert.deepEqual([over.http_status, over.room_live], [200, false]);
    assert.deepEqual(over.legs.map((l) => [l.status, l.in_room]), [[LEG.COMPLETED, false], [LEG.COMPLETED, false]]);
    assert.equal((await s.order(CMD.END_ROOM)).http_status, 404);
    await finish(s);
    const what = s.said(SAID.ROOM, { ref: REF }).map((h) => h.what);
    assert.deepEqual([what[0], what.includes(0), what.at(-1)], [2, true, 1], 'join, start, end');
    s.twilio.assertRangOnce(BOB);
    assert.deepEqual(s.twilio.numbersSeen(), [BOB]);
  });

  test('hold, mute and who ends the room', async () => {
    const s = await set({ key: true });
    const { room } = await bridged(s);
    const caller = room.find('caller');
    const told = (what) => waitFor(() => s.said(SAID.ROOM, { what, party: 'caller' }).length > 0);
    good(await s.order(CMD.HOLD, 0));
    assert.equal(caller.hold, true);
    await told(4);
    good(await s.order(CMD.UNHOLD, 0));
    assert.equal(caller.hold, false);
    await told(5);
    good(await s.order(CMD.MUTE, 0));
    assert.equal(caller.muted, true);
    good(await s.order(CMD.UNMUTE, 0));
    assert.equal(caller.muted, false);
    good(await s.order(CMD.HOLD, 1));
    await waitFor(() => s.said(SAID.NEEDS_WORDS, { token: 'silence' }).length > 0);
    good(await s.order(CMD.UNHOLD, 1));
    good(await s.order(CMD.STAY, 0));
    assert.equal(caller.endOnExit, false);
    good(await s.order(CMD.STAY, 0, { text: 'end' }));
    assert.equal(caller.endOnExit, true);
    // By its label, where the leg is not known, and by the room's name.
    const line = structuredClone(s.line);
    s.line.legs[1].sid = '';
    s.line.room = '';
    good(await s.order(CMD.END_LEG, 1));
    await waitFor(() => s.twilio.legs().length === 1);
    s.line = line;
    good(await s.order(CMD.END_LEG, 0));
    await finish(s);
  });

  test('announcements, digits both ways', async () => {
    const s = await set({ steps: (e) => word('one', 'For you.')(e) ?? word('all', 'For all.')(e)
      ?? (e.token === 'keys' ? [{ kind: STEP.DIGITS, text: '5w#' }] : null)
      ?? (e.said === SAID.DIGITS ? [{ kind: STEP.SAY, text: `You pressed ${e.digits}.` },
        { kind: STEP.JOIN, ref: REF, label: e.label, ends_room: true }] : []) });
    const { bob, room } = await bridged(s, { digits: '1234#' });
    good(await s.order(CMD.ANNOUNCE, 0, { text: 'For you.', token: 'one' }));
    await waitFor(() => bob.texts('say').includes('For you.'));
    await waitFor(() => s.said(SAID.ROOM, { what: 6 }).length > 0);
    good(await s.order(CMD.ANNOUNCE, -1, { text: 'For all.', token: 'all' }));
    await waitFor(() => bob.texts('say').includes('For all.'));
    good(await s.order(CMD.PLAY_DIGITS, 0, { text: '5w#', token: 'keys' }));
    await waitFor(() => bob.texts('digits')[0] === '5#');
    good(await s.order(CMD.STAY, 0));
    good(await s.order(CMD.COLLECT, 0, { text: 'Your code, please.', token: 'act_pin' }));
    await waitFor(() => s.said(SAID.DIGITS).length === 1);
    const [digits] = s.said(SAID.DIGITS);
    assert.deepEqual([digits.digits, digits.token, digits.label, digits.ref], ['1234', 'act_pin', 'caller', REF]);
    await waitFor(() => room.find('caller')?.joined && bob.texts('say').includes('You pressed 1234.'));
    assert.ok(!room.over, 'the room went on meanwhile');
    good(await s.order(CMD.END_ROOM));
    await finish(s);
  });

  test('an offer that is accepted, one that is not', async () => {
    const s = await set({ steps: (e) => (e.said !== SAID.DIGITS ? []
      : e.digits === '1' ? [{ kind: STEP.JOIN, ref: REF, label: e.label }] : [{ kind: STEP.HANG_UP }]) });
    const { room } = await bridged(s);
    const carol = s.twilio.person(CAROL, { answers: 200, accepts: true }, { answers: 200, accepts: false });
    const offer = () => s.order(CMD.OFFER, 2, { text: 'Bob calls. Press 1.', token: 'act_2' });
    const first = await offer();
    good(first);
    await waitFor(() => room.find('boss')?.joined);
    assert.deepEqual(carol.texts('say'), ['Bob calls. Press 1.']);
    s.line.legs[2].sid = first.sid;
    good(await s.order(CMD.END_LEG, 2));
    await waitFor(() => !room.find('boss'));
    const second = await offer();
    good(second);
    await waitFor(() => s.said(SAID.STATUS, { leg: second.sid, status: LEG.COMPLETED }).length === 1);
    assert.deepEqual(s.said(SAID.DIGITS).map((h) => [h.digits, h.label, h.token]),
      [['1', 'boss', 'act_2'], ['', 'boss', 'act_2']]);
    good(await s.order(CMD.END_ROOM));
    await finish(s);
  });

  test('a recording: paused, stopped, found, fetched, erased', async () => {
    const s = await set({ recordingS: 2 });
    s.line.record = true;
    await bridged(s);
    const begun = await s.order(CMD.RECORD, 0);
    good(begun);
    assert.match(begun.sid, /^RE[0-9a-f]{32}$/);
    assert.equal((await s.order(CMD.LOOK_UP)).recording, begun.sid);
    const recording = s.twilio.recordings.get(begun.sid);
    good(await s.order(CMD.RECORD_PAUSE, 0)); // the current one
    assert.equal(recording.status, 'paused');
    s.line.recording = begun.sid;
    good(await s.order(CMD.RECORD_RESUME, 0));
    assert.equal(recording.status, 'in-progress');
    good(await s.order(CMD.RECORD_STOP, 0));
    await waitFor(() => s.said(SAID.RECORDING, { what: 1 }).length === 1);
    assert.deepEqual(s.said(SAID.RECORDING).map((h) => [h.what, h.recording]), [[0, begun.sid], [1, begun.sid]]);
    const fetched = await s.carrier.ask({ fetch: { sid: begun.sid, channels: 2 } });
    const file = recording.file(2);
    assert.deepEqual([fetched.status, fetched.bytes, fetched.sha256],
      [200, file.length, createHash('sha256').update(file).digest('hex')]);
    const much = await s.carrier.ask({ fetch: { sid: begun.sid, channels: 2, max_bytes: 1000 } });
    assert.deepEqual([much.status, much.text], [0, 'larger than the limit']);
    assert.equal((await s.carrier.ask({ erase: { sid: begun.sid } })).status, 204);
    assert.equal((await s.carrier.ask({ fetch: { sid: begun.sid, channels: 1 } })).status, 404);
    assert.equal((await s.carrier.ask({ erase: { sid: begun.sid } })).status, 404);
    good(await s.order(CMD.END_ROOM));
    await finish(s);
  });

  test('a call that comes in joins, and hears that we are sorry', async () => {
    const s = await set({ steps: (e) => (e.said === SAID.INCOMING
      ? [{ kind: STEP.JOIN, ref: REF, label: 'caller', ends_room: true, seconds: 600 }] : []) });
    const line = s.twilio.dialIn({ from: BOB, to: OWN, stirVerstat: 'TN-Validation-Passed-B' });
    await waitFor(() => s.twilio.roomNamed(REF, false)?.find('caller')?.joined);
    const [incoming] = s.said(SAID.INCOMING);
    assert.deepEqual([incoming.from, incoming.to, incoming.attestation, incoming.sid],
      [BOB, OWN, 'TN-Validation-Passed-B', line.leg.sid]);
    s.line.legs[0].sid = incoming.sid;
    const seen = await s.order(CMD.LOOK_UP);
    assert.deepEqual(seen.legs.map((l) => [l.label, l.sid, l.status, l.in_room]),
      [['caller', incoming.sid, LEG.IN_PROGRESS, true]]);
    good(await s.order(CMD.APOLOGISE, 0, { text: 'Sorry, please call again.' }));
    await waitFor(() => line.leg.over);
    assert.ok(line.person.texts('say').includes('Sorry, please call again.'));
    await finish(s);
  });

  test('a refused call, and one that leaves the room by itself', async () => {
    const s = await set({ steps: (e) => (e.said === SAID.INCOMING && e.from === CAROL
      ? [{ kind: 5, busy: true }] : e.said === SAID.INCOMING
        ? [{ kind: STEP.JOIN, ref: REF, label: 'caller' }] : e.said === SAID.DIAL_ENDED
          ? [{ kind: STEP.SAY, text: 'Goodbye.' }, { kind: STEP.HANG_UP }] : []) });
    const refused = s.twilio.dialIn({ from: CAROL, to: OWN });
    await waitFor(() => refused.leg.over);
    assert.equal(refused.leg.status, 'busy');
    const line = s.twilio.dialIn({ from: BOB, to: OWN });
    await waitFor(() => s.twilio.roomNamed(REF, false)?.find('caller')?.joined);
    good(await s.order(CMD.END_ROOM));
    await waitFor(() => line.leg.over);
    assert.deepEqual(s.said(SAID.DIAL_ENDED).map((h) => [h.ref, h.label, h.sid]), [[REF, 'caller', line.leg.sid]]);
    assert.ok(line.person.texts('say').includes('Goodbye.'));
    await finish(s);
  });
});

describe('what goes wrong', () => {
  for (const [how, status, sip] of [[{ busy: true }, LEG.BUSY, 486], [{ rejects: 100 }, LEG.BUSY, 603],
    [{ answers: false }, LEG.NO_ANSWER, 480], [{ sip: 404 }, LEG.FAILED, 404]]) {
    test(`nobody is reached: ${JSON.stringify(how)}`, async () => {
      const s = await set({ people: { [BOB]: how } });
      s.line.ring_ms = 5000;
      good(await s.order(CMD.CREATE, 0));
      await finish(s);
      const last = s.said(SAID.STATUS).at(-1);
      assert.deepEqual([last.status, last.sip], [status, sip]);
    });
  }

  test('the carrier says no: the code is told', async () => {
    const s = await set({ people: { [BOB]: { refused: 21215 } } });
    const answer = await s.order(CMD.CREATE, 0);
    assert.deepEqual([answer.http_status, answer.code, answer.maybe_sent, answer.busy], [400, '21215', false, false]);
    assert.equal(s.twilio.allLegs.size, 0);
    await finish(s);
  });

  for (const [name, fault] of Object.entries({ 'cut off': { apply: true, reset: true }, 'half sent': { apply: true, cut: true },
    'an error after it was done': { apply: true, status: 500 } })) {
    test(`an answer that was lost (${name}) is in doubt, and the leg is found by its label`, async () => {
      const s = await set();
      s.twilio.person(BOB, { answers: 300 });
      s.twilio.faults = { 'participants.create': fault };
      const answer = await s.order(CMD.CREATE, 0);
      assert.deepEqual([answer.sid, answer.maybe_sent], ['', true], JSON.stringify(answer));
      const seen = await s.order(CMD.LOOK_UP);
      assert.equal(seen.http_status, 200);
      assert.deepEqual(seen.legs.map((l) => l.label), ['caller']);
      assert.equal(s.twilio.requests.filter((r) => r.op === 'participants.create').length, 1, 'asked for once');
      good(await s.order(CMD.END_ROOM));
      await finish(s);
    });
  }

  test('too many requests, and a carrier that is not there, did nothing', async () => {
    const s = await set({ people: { [BOB]: {} } });
    s.twilio.faults = { 'participants.create': { status: 429 } };
    const busy = await s.order(CMD.CREATE, 0);
    assert.deepEqual([busy.http_status, busy.busy, busy.maybe_sent, busy.code], [429, true, false, '20429']);
    assert.ok(busy.retry_after_ms > 0);
    await s.twilio.refuseConnections();
    const gone = await s.order(CMD.CREATE, 0);
    assert.deepEqual([gone.http_status, gone.maybe_sent], [0, false], JSON.stringify(gone));
    assert.equal((await s.order(CMD.LOOK_UP)).http_status, 0);
    assert.equal(s.twilio.allLegs.size, 0);
    await finish(s);
  });

  test('looking around that fails halfway says so', async () => {
    const s = await set();
    await bridged(s);
    for (const op of ['conferences.list', 'participants.list', 'calls.fetch']) {
      s.twilio.faults = { [op]: { status: 503 } };
      const seen = await s.order(CMD.LOOK_UP);
      assert.deepEqual([seen.http_status, seen.legs], [503, []], op);
    }
    good(await s.order(CMD.END_ROOM));
    await finish(s);
  });

  test('a second leg of the model beside the first one that is still there', async () => {
    const s = await set();
    const { room } = await bridged(s);
    s.line.legs.push({ label: 'model', role: MODEL, ref: 'aaaaaaaabbbbbbbbccccccccdddddddd' });
    const second = await s.order(CMD.CREATE, 3);
    good(second);
    await waitFor(() => s.said(SAID.ROOM, { what: 2, party: 'model', leg: second.sid }).length === 1);
    const seen = await s.order(CMD.LOOK_UP);
    assert.deepEqual(seen.legs.filter((l) => l.label === 'model').map((l) => l.sid), [s.line.legs[1].sid, second.sid]);
    assert.equal(room.participants.length, 3);
    good(await s.order(CMD.END_ROOM));
    await finish(s);
  });

  test('callbacks that nobody signed so are refused', async () => {
    const s = await set();
    s.twilio.callbackFaults = [{ kind: 'status', event: 'ringing', action: 'badSignature' }];
    await bridged(s);
    const bad = s.hooks.filter((h) => h.verify !== 'ok');
    assert.deepEqual(bad.map((h) => [h.path, h.verify]), [['/twilio/status', 'denied']]);
    good(await s.order(CMD.END_ROOM));
    await s.twilio.idle();
  });
});
