/* SPDX-License-Identifier: MIT */
// Recordings, from the words about them to the file, and to its end here and at the carrier. t-limit: 300
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { waitFor } from '../lib/util.mjs';
import { BOB, CAROL, OWN, lineRig } from './line-kit.mjs';
import { logLines } from './native-kit.mjs';

const NOTICE = 'This call is being recorded.';
const CARD = '4111 1111 1111 1111';
const DAY_MS = 86400000;
const talks = { answers: 500, script: [{ wait: 'greeting' }, { caller: 'Good evening, this is Bob.' },
  { wait: 'assistant' }, { caller: 'Fine, see you.' }, { silence: 300 }, { hangup: true }], hangsUpMs: 600000 };
const people = { [BOB]: talks };

/** A configuration that records all calls. */
const recorded = (recording = {}) => ({ channels: { voice: { call: { record_calls: true }, recording } } });

function ask(made, id, { method = 'GET', headers = {} } = {}) {
  return fetch(`${made.host.url}/calls/${id}/recording`,
    { method, headers: { authorization: `Bearer ${made.host.token}`, ...headers } });
}

/** Asks for the recording until the answer has that status. */
function answered(made, id, status = 200, timeoutMs = 20000) {
  return waitFor(async () => {
    const res = await ask(made, id);
    const body = Buffer.from(await res.arrayBuffer());
    return res.status === status ? { res, body } : null;
  }, { timeoutMs, what: `${status} for the recording of ${id}` }).catch((error) => {
    throw made.host.fail(error.message);
  });
}

const folder = (made) => path.join(made.hosts[0].stateDir, 'recordings');
const files = (made) => fs.readdirSync(folder(made));
const asked = (made, op) => made.twilio.requests.filter((r) => r.op === op);
const gone = (made, rec) => waitFor(() => files(made).length === 0 && rec.deleted
  && made.rows('SELECT count(*) AS n FROM recording_owed')[0].n === 0, { what: 'the end of the recording' })
  .catch((error) => { throw made.host.fail(error.message); });

function only(made) {
  assert.equal(made.twilio.recordings.size, 1, 'one recording at the carrier');
  return [...made.twilio.recordings.values()][0];
}

/** Waits until the recording is at the carrier. */
const begun = (made) => waitFor(() => made.twilio.recordings.size > 0, { what: 'a recording' })
  .catch((error) => { throw made.host.fail(error.message); });

/** When the words about recording were heard to their end in a simulated call, for the nth time. */
function heardAt(call, nth = 0) {
  const said = call.turns.filter((turn) => turn.who === 'assistant' && turn.text.includes(NOTICE))[nth];
  const done = call.serverEvents.find((e) => e.type === 'response.done'
    && e.event.response.output.some((item) => item.id === said?.item_id));
  return call.serverEvents.find((e) => e.type === 'output_audio_buffer.stopped'
    && e.event.response_id === done?.event.response.id)?.t;
}

const toolsOf = (call) => call.session.tools.map((tool) => tool.name);
const model = (made) => [...made.openai.calls.values()][0];

async function clean(made) {
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
}

/** A call from its beginning to the stored file. */
async function record(made, body = {}) {
  const id = await made.dial({ purpose: 'test', ...body });
  await made.over(id);
  return { id, ...await answered(made, id) };
}

/* ---- What is recorded, and after which words ---- */

test('the notice first, then the recording, then the file, whole and in ranges, then its end', async (t) => {
  const made = await lineRig(t, { people, changes: recorded() });
  const { id, res, body } = await record(made);
  const rec = only(made);
  const whole = rec.file(2);
  const sum = createHash('sha256').update(whole).digest('hex');
  assert.ok(rec.createdAt >= heardAt(model(made)), 'nothing is captured before the words were heard');
  assert.deepEqual(body, whole, 'what the carrier served');
  assert.equal(res.headers.get('content-type'), 'audio/x-wav');
  assert.equal(res.headers.get('etag'), `"${sum}"`);
  assert.deepEqual([asked(made, 'calls.recordings.create')[0].params.RecordingChannels,
    asked(made, 'recordings.media').length], ['dual', 1]);
  assert.ok(toolsOf(model(made)).includes('pause_recording'));
  assert.equal((await made.event(id, 'call.recording', (e) => e.recording === 'stored')).bytes, whole.length);
  assert.equal((await made.state(id)).recording, 'stored');
  assert.deepEqual(files(made), [`${id}.wav`]);
  assert.equal(fs.statSync(path.join(folder(made), `${id}.wav`)).mode & 0o777, 0o600);

  const part = await ask(made, id, { headers: { range: 'bytes=100-299' } });
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), whole.subarray(100, 300));
  assert.equal((await ask(made, id, { headers: { range: `bytes=${whole.length}-` } })).status, 416);
  const head = await ask(made, id, { method: 'HEAD' });
  assert.deepEqual([head.status, Number(head.headers.get('content-length')), (await head.text())],
    [200, whole.length, '']);
  assert.equal((await ask(made, id, { headers: { 'if-none-match': `"${sum}"` } })).status, 304);
  assert.equal((await ask(made, id, { headers: { authorization: 'Bearer wrong' } })).status, 401);
  assert.equal((await ask(made, 'call_unknown')).status, 404);
  assert.equal((await ask(made, id, { method: 'PUT' })).status, 405);

  assert.equal((await ask(made, id, { method: 'DELETE' })).status, 200);
  await gone(made, rec);
  assert.equal(asked(made, 'recordings.delete').length, 1);
  const after = await ask(made, id);
  assert.deepEqual([after.status, (await after.json()).error], [404, 'the recording was deleted']);
  assert.equal((await ask(made, id, { method: 'DELETE' })).status, 200, 'deleted is what was asked for');
  assert.equal((await made.state(id)).recording, 'deleted');
  await clean(made);
});

test('nothing is asked to be recorded: nothing is, and its tools are not declared', async (t) => {
  const made = await lineRig(t, { people });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn', (e) => e.who === 'assistant');
  assert.ok(!toolsOf(model(made)).includes('pause_recording'));
  const pause = await made.host.api(`/calls/${id}/recording/pause`, { method: 'POST', body: {} });
  assert.deepEqual([pause.status, pause.json], [409, { error: 'unsupported', capability: 'record' }]);
  await made.over(id);
  assert.equal((await answered(made, id, 404)).res.status, 404);
  assert.equal(made.twilio.recordings.size, 0);
  await clean(made);
});

test('record: false beats record_calls, and record: true where it is off', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: [talks, talks] }, changes: recorded() });
  const not = await made.dial({ purpose: 'test', record: false });
  assert.ok(!(await made.over(not)).recording);
  assert.equal(made.twilio.recordings.size, 0);
  await answered(made, not, 404);
  await made.host.stop();
  await made.start({ changes: { channels: { voice: { call: { record_calls: false } } } } });
  await record(made, { record: true });
  await clean(made);
});

test('a call that comes in is recorded, on one channel', async (t) => {
  const made = await lineRig(t, { changes: { ...recorded({ channels: 'mono' }),
    security: { voice: { unknown_caller_policy: 'allow' } } } });
  made.twilio.dialIn({ from: BOB, to: OWN, script: talks.script });
  const { call } = await made.host.waitEvent('call.incoming');
  assert.equal((await made.over(call)).outcome, 'answered');
  const { body } = await answered(made, call);
  assert.deepEqual(body, only(made).file(1));
  assert.ok(only(made).createdAt >= heardAt(model(made)));
  await clean(made);
});

test('consent none: recorded from the first word on, without words about it', async (t) => {
  const made = await lineRig(t, { people, changes: recorded({ consent: 'none' }) });
  await record(made);
  assert.ok(!model(made).turns.some((turn) => turn.text.includes(NOTICE)));
  await clean(made);
});

for (const granted of [true, false]) {
  test(`consent is asked for and ${granted ? 'given' : 'refused'}`, async (t) => {
    const brain = (ctx) => (ctx.trigger === 'speech' && ctx.callerText?.includes('Bob')
      && ctx.tools.includes('record_consent')
      ? { items: [{ say: 'Thank you.' }, { call: 'record_consent', args: { granted } }] } : null);
    const made = await lineRig(t, { people, twilio: { modelOptions: { brain } },
      changes: recorded({ consent: { '+1555': 'ask', '*': 'none' } }) });
    const id = await made.dial({ purpose: 'test' });
    await made.over(id);
    if (granted) {
      const { body } = await answered(made, id);
      assert.deepEqual(body, only(made).file(2));
      const answer = model(made).turns.find((turn) => turn.who === 'caller' && turn.text.includes('Bob'));
      const said = model(made).serverEvents.find((e) => e.type === 'input_audio_buffer.committed'
        && e.event.item_id === answer.item_id);
      assert.ok(only(made).createdAt >= said.t, 'nothing before the answer');
    } else {
      assert.equal(made.twilio.recordings.size, 0, 'nothing is captured');
      assert.equal((await (await ask(made, id)).json()).error, 'nothing was recorded');
    }
    await clean(made);
  });
}

test('the words are cut off twice: nothing is captured', async (t) => {
  let asks = 0;
  const brain = (ctx) => {
    if (!ctx.instructions?.includes(NOTICE))
      return null;
    asks += 1;
    return { items: [{ say: `${'Now listen to this, it takes some time. '.repeat(6)}${NOTICE}` }] };
  };
  const asking = (n) => ({ do: () => waitFor(() => asks === n, { what: `the words, time ${n}` }) });
  const cuts = { answers: 500, hangsUpMs: 600000, script: [asking(1),
    { caller: 'Stop that.', bargeIn: true, afterMs: 500 }, asking(2),
    { caller: 'I said no.', bargeIn: true, afterMs: 500 }, { wait: 'assistant' }, { silence: 300 }, { hangup: true }] };
  const made = await lineRig(t, { people: { [BOB]: cuts }, twilio: { modelOptions: { brain } }, changes: recorded() });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  const { hops } = await made.get(`/calls/${id}/why`);
  assert.deepEqual(hops.map((h) => h.hop).filter((h) => h.startsWith('notice')),
    ['notice_asked', 'notice_asked', 'notice_not_heard']);
  assert.equal(made.twilio.recordings.size, 0);
  await answered(made, id, 404);
  await clean(made);
});

/* ---- Pausing ---- */

/** Nothing below the folder holds these words, and no event. */
function assertNowhere(made, words) {
  const holds = (where) => fs.readdirSync(where, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
    .map((e) => path.join(e.parentPath, e.name)).filter((file) => fs.readFileSync(file).includes(words));
  assert.deepEqual(holds(made.hosts[0].dir), [], `files with "${words}"`);
  assert.ok(!JSON.stringify(made.host.events).includes(words), 'an event');
  assert.ok(!made.host.stderr.text.includes(words), 'the log');
}

test('pause and resume by the API: neither sound nor words of it are kept', async (t) => {
  let made = null;
  let id = null;
  const script = [{ wait: 'greeting' }, { do: () => begun(made) }, { caller: 'Hello, it is me.' },
    { wait: 'assistant' },
    { do: async () => assert.equal((await made.act(id, 'recording/pause')).state, 'done') },
    { caller: `My card is ${CARD}` }, { wait: 'assistant' },
    { do: async () => assert.equal((await made.act(id, 'recording/resume')).state, 'done') },
    { caller: 'Now it goes on.' }, { wait: 'assistant' }, { hangup: true }];
  const changes = { ...recorded(), openclaw: undefined };
  made = await lineRig(t, { people: { [BOB]: { answers: 500, script, hangsUpMs: 600000 } }, changes });
  id = await made.dial({ purpose: 'test' });
  await made.over(id);
  const { body } = await answered(made, id);
  const rec = only(made);
  assert.deepEqual(body, rec.file(2));
  assert.equal(rec.pauses.length, 1);
  assert.deepEqual(asked(made, 'calls.recordings.update').map((r) => r.params.Status), ['paused', 'in-progress']);
  const { turns } = await made.get(`/calls/${id}/transcript`);
  const hidden = turns.filter((turn) => turn.text === '[not recorded]');
  assert.deepEqual(hidden.map((turn) => turn.who), ['caller', 'assistant'], JSON.stringify(turns));
  for (const words of ['it is me', 'goes on'])
    assert.ok(turns.some((turn) => turn.text.includes(words)), words);
  assertNowhere(made, CARD);
  await clean(made);
});

test('kill -9 while it is paused: the next run keeps no words either', async (t) => {
  let made = null;
  let id = null;
  const script = [{ wait: 'greeting' }, { do: () => begun(made) }, { caller: 'Hello, it is me.' },
    { wait: 'assistant' },
    { do: async () => assert.equal((await made.act(id, 'recording/pause')).state, 'done') },
    { do: () => made.restart() }, { do: () => made.host.waitEvent('call.live') },
    { caller: `My card is ${CARD}` }, { wait: 'assistant' },
    { do: async () => assert.equal((await made.act(id, 'recording/resume')).state, 'done') },
    { caller: 'Now it goes on.' }, { wait: 'assistant' }, { hangup: true }];
  made = await lineRig(t, { people: { [BOB]: { answers: 500, script, hangsUpMs: 600000 } }, changes: recorded() });
  id = await made.dial({ purpose: 'test' });
  await made.over(id, 30000);
  const { body } = await answered(made, id);
  assert.deepEqual(body, only(made).file(2));
  assert.equal(only(made).pauses.length, 1);
  const { turns } = await made.get(`/calls/${id}/transcript`);
  assert.equal(turns.filter((turn) => turn.text === '[not recorded]').length, 2, JSON.stringify(turns));
  assert.ok(turns.some((turn) => turn.text.includes('goes on')));
  assertNowhere(made, CARD);
  await clean(made);
});

test('the model pauses the recording and goes on', async (t) => {
  let made = null;
  const brain = (ctx) => {
    if (ctx.trigger !== 'speech')
      return null;
    if (ctx.callerText?.includes('card') && !ctx.callerText.includes(CARD))
      return { items: [{ say: 'One moment.' }, { call: 'pause_recording', args: {} }] };
    return ctx.callerText?.includes(CARD) ? { items: [{ say: 'Thank you.' }, { call: 'resume_recording', args: {} }] }
      : null;
  };
  const paused = (yes) => waitFor(() => (made.twilio.recordings.values().next().value?.status === 'paused') === yes);
  const script = [{ wait: 'greeting' }, { do: () => begun(made) }, { caller: 'I pay by card now.' },
    { do: () => paused(true) }, { wait: 'assistant' }, { caller: `It is ${CARD}` }, { do: () => paused(false) },
    { caller: 'That was it.' }, { wait: 'assistant' }, { hangup: true }];
  made = await lineRig(t, { people: { [BOB]: { answers: 500, script, hangsUpMs: 600000 } }, changes: recorded(),
    twilio: { modelOptions: { brain } } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  await answered(made, id);
  assert.equal(only(made).pauses.length, 1);
  assertNowhere(made, CARD);
  await clean(made);
});

test('somebody who joins hears the words, and it pauses meanwhile', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 500, script: [{ wait: 'greeting' }, { waitEnd: true }] },
    [CAROL]: { answers: 500, script: [{ hears: NOTICE }, { waitEnd: true }] } }, changes: recorded() });
  const id = await made.dial({ purpose: 'test' });
  await begun(made);
  assert.equal((await made.act(id, 'invite', { to: 'Carol' })).state, 'done');
  const rec = only(made);
  await waitFor(() => rec.pauses.length === 1 && rec.status === 'in-progress', { what: 'the pause' });
  const updates = asked(made, 'calls.recordings.update');
  assert.deepEqual(updates.map((r) => r.params.Status), ['paused', 'in-progress']);
  assert.ok(updates[1].t >= heardAt(model(made), 1), 'it goes on when they were heard');
  await made.host.api(`/call/${id}`, { method: 'DELETE' });
  await made.over(id);
  await answered(made, id);
  assert.ok(!(await made.get(`/calls/${id}/transcript`)).turns.some((turn) => turn.text === '[not recorded]'));
  await clean(made);
});

/* ---- On its way here ---- */

test('429, 503, a lost answer and not yet there: tried again, and told meanwhile', async (t) => {
  const faults = { 'recordings.media': [{ status: 429 }, { status: 503 }, { reset: true }, { status: 404 }] };
  const made = await lineRig(t, { people, changes: recorded(), twilio: { faults } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  const { body } = await answered(made, id, 202);
  assert.equal(JSON.parse(body.toString()).state, 'fetching');
  await waitFor(() => made.rows('SELECT error FROM recording')[0].error.includes('HTTP 503'), { what: 'the reason' });
  assert.deepEqual((await answered(made, id, 200, 40000)).body, only(made).file(2));
  assert.deepEqual(asked(made, 'recordings.media').map((r) => r.status), [429, 503, null, 404, 200]);
  assert.deepEqual(files(made), [`${id}.wav`]);
  await clean(made);
});

test('a recording that is larger than the limit', async (t) => {
  const made = await lineRig(t, { people, changes: recorded({ max_mb: 1 }), twilio: { recordingS: 90 } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  const end = await made.event(id, 'call.recording', (e) => e.recording === 'failed');
  assert.match(end.error, /max_mb/);
  const res = await ask(made, id);
  assert.deepEqual([res.status, (await res.json()).detail], [404, end.error]);
  assert.deepEqual(files(made), []);
  assert.equal(asked(made, 'recordings.media').length, 1, 'it would be as large another time');
  await waitFor(() => logLines(made.host, /max_mb/).length === 1, { what: 'a line in the log' });
  await clean(made);
});

test('no room on the disk: told, tried again, and fetched when there is', async (t) => {
  const made = await lineRig(t, { people, changes: recorded(), twilio: { recordingS: 160 } });
  const room = (bytes) => execFileSync('prlimit', ['--pid', String(made.host.pid), `--fsize=${bytes}:`]);
  room(4 << 20);
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  await waitFor(() => made.rows('SELECT error FROM recording')[0]?.error.includes('too large'),
    { what: 'the reason' }).catch((error) => { throw made.host.fail(error.message); });
  assert.equal((await ask(made, id)).status, 202);
  await waitFor(() => logLines(made.host, /cannot be stored/).length > 0, { what: 'a line in the log' });
  room(2 ** 40);
  assert.deepEqual((await answered(made, id, 200, 40000)).body, only(made).file(2));
  assert.deepEqual(files(made), [`${id}.wav`]);
  await clean(made);
});

test('a recording that is larger than what waits for the disk', async (t) => {
  const made = await lineRig(t, { people, changes: recorded({ encryption_key: '12'.repeat(32) }),
    twilio: { recordingS: 600 } });
  const { body } = await record(made);
  assert.ok(body.equals(only(made).file(2)) && body.length > 16 << 20);
  assert.equal(asked(made, 'recordings.media').length, 1);
  await clean(made);
});

test('kill -9 while it is fetched: fetched by the next run, once', async (t) => {
  const faults = { 'recordings.media': { afterMs: 20000 } };
  const made = await lineRig(t, { people, changes: recorded(), twilio: { faults } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  await waitFor(() => asked(made, 'recordings.media').length === 1, { what: 'the fetch' });
  await made.restart();
  assert.deepEqual((await answered(made, id)).body, only(made).file(2));
  assert.equal(asked(made, 'recordings.media').length, 2);
  assert.deepEqual(files(made), [`${id}.wav`]);
  assert.equal(made.hosts.flatMap((h) => h.events).filter((e) => e.recording === 'stored').length, 1);
  await clean(made);
});

test('an orderly end while it is fetched', async (t) => {
  const faults = { 'recordings.media': { afterMs: 20000 } };
  const made = await lineRig(t, { people, changes: recorded(), twilio: { faults } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  await waitFor(() => asked(made, 'recordings.media').length === 1, { what: 'the fetch' });
  await made.host.stop();
  await made.start();
  assert.deepEqual((await answered(made, id)).body, only(made).file(2));
  assert.deepEqual(files(made), [`${id}.wav`]);
  await clean(made);
});

describe('the carrier\'s word that it is ready', { concurrency: true }, () => {
  test('is lost: the line asks at its end', async (t) => {
    const made = await lineRig(t, { people, changes: recorded(),
      twilio: { callbackFaults: [{ kind: 'recording', event: 'completed', action: 'drop' }] } });
    const id = await made.dial({ purpose: 'test' });
    assert.equal((await made.over(id)).status, 'completed');
    assert.equal((await ask(made, id)).status, 409, 'not yet');
    assert.deepEqual((await answered(made, id, 200, 60000)).body, only(made).file(2));
    assert.equal(made.rows('SELECT phase, machine FROM line')[0].machine, '');
    await clean(made);
  });

  test('is lost, and kill -9 while the line waits for it', async (t) => {
    const made = await lineRig(t, { people, changes: recorded(),
      twilio: { callbackFaults: [{ kind: 'recording', event: 'completed', action: 'drop' }] } });
    const id = await made.dial({ purpose: 'test' });
    await made.over(id);
    await made.restart();
    assert.deepEqual((await answered(made, id, 200, 60000)).body, only(made).file(2));
    assert.deepEqual({ ...made.rows('SELECT phase, machine FROM line')[0] }, { phase: 'completed', machine: '' });
    await clean(made);
  });

  test('comes after a kill -9: the next run takes it', async (t) => {
    const made = await lineRig(t, { people, changes: recorded(), twilio: { recordingMs: 6000 } });
    const id = await made.dial({ purpose: 'test' });
    await made.over(id);
    await made.restart();
    assert.deepEqual((await answered(made, id)).body, only(made).file(2));
    await clean(made);
  });

  test('comes twice, and a stranger\'s with a wrong signature', async (t) => {
    const made = await lineRig(t, { people, changes: recorded(),
      twilio: { callbackFaults: [{ kind: 'recording', event: 'completed', action: 'duplicate' }] } });
    const { id } = await record(made);
    const forged = await fetch(`${made.host.url}/twilio/recording`, { method: 'POST', body:
      `RecordingSid=RE${'0'.repeat(32)}&RecordingStatus=completed&CallSid=${only(made).leg.sid}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-twilio-signature': 'bm8=' } });
    assert.equal(forged.status, 401);
    assert.equal(asked(made, 'recordings.media').length, 1);
    assert.equal((await made.state(id)).recording, 'stored');
    await clean(made);
  });
});

/* ---- At rest, and its end ---- */

test('with a key it is sealed at rest, and read back whole and in ranges', async (t) => {
  const key = 'ab'.repeat(32);
  const made = await lineRig(t, { people, changes: recorded({ encryption_key: key }) });
  const { id, body } = await record(made);
  const whole = only(made).file(2);
  const disk = fs.readFileSync(path.join(folder(made), `${id}.wav`));
  assert.deepEqual(body, whole);
  assert.ok(!disk.includes('RIFF') && !disk.includes(whole.subarray(2000, 2016)), 'nothing of it is plain');
  const part = await ask(made, id, { headers: { range: 'bytes=70000-70999' } });
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), whole.subarray(70000, 71000));
  await made.host.stop();
  await made.start({ changes: { channels: { voice: { recording: { encryption_key: undefined } } } } });
  const without = await ask(made, id);
  assert.equal(without.status, 500);
  assert.match(await without.text(), /encryption_key/);
  await clean(made);
});

test('DELETE while it is fetched, and again at a carrier that refuses at first', async (t) => {
  const faults = { 'recordings.media': { afterMs: 1500 }, 'recordings.delete': [{ status: 503 }, { status: 429 }] };
  const made = await lineRig(t, { people, changes: recorded(), twilio: { faults } });
  const id = await made.dial({ purpose: 'test' });
  await made.over(id);
  await waitFor(() => asked(made, 'recordings.media').length === 1, { what: 'the fetch' });
  assert.equal((await ask(made, id, { method: 'DELETE' })).status, 200);
  await gone(made, only(made));
  assert.equal(asked(made, 'recordings.delete').length, 3);
  await waitFor(() => asked(made, 'recordings.media')[0].status !== null, { what: 'the late answer' });
  assert.equal((await ask(made, id)).status, 404);
  assert.deepEqual(files(made), []);
  await clean(made);
});

test('retention: what is older goes, here and at the carrier', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: [talks, talks] }, changes: recorded({ retention_days: 2 }) });
  const old = await record(made);
  const young = await record(made);
  await made.host.stop();
  const db = new DatabaseSync(path.join(made.host.stateDir, 'voice.db'));
  db.prepare('UPDATE recording SET at = ? WHERE call = ?').run(Date.now() - 2.1 * DAY_MS, old.id);
  db.close();
  await made.start();
  await answered(made, old.id, 404);
  await waitFor(() => files(made).length === 1 && asked(made, 'recordings.delete').length === 1, { what: 'its end' });
  assert.deepEqual(files(made), [`${young.id}.wav`]);
  assert.deepEqual([...made.twilio.recordings.values()].map((rec) => rec.deleted), [true, false]);
  await clean(made);
});

test('a caller who is forgotten: their recordings go, here and at the carrier', async (t) => {
  const made = await lineRig(t, { people, changes: recorded() });
  const { id } = await record(made);
  const res = await made.host.api(`/callers/${encodeURIComponent(BOB)}`, { method: 'DELETE' });
  assert.equal(res.status, 200, res.text);
  assert.equal(res.json.erased.recording, 1);
  await gone(made, only(made));
  assert.equal((await ask(made, id)).status, 404);
  assert.equal(made.rows('SELECT count(*) AS n FROM recording')[0].n, 0);
  await clean(made);
});

test('forgotten while the carrier is away: owed over a restart', async (t) => {
  const faults = { 'recordings.delete': { reset: true, times: 2 } };
  const made = await lineRig(t, { people, changes: recorded(), twilio: { faults } });
  await record(made);
  await made.host.api(`/callers/${encodeURIComponent(BOB)}`, { method: 'DELETE' });
  await waitFor(() => asked(made, 'recordings.delete').length > 0, { what: 'the first try' });
  await made.restart();
  await gone(made, only(made));
  await clean(made);
});
