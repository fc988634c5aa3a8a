/* SPDX-License-Identifier: MIT */
// What was asked for and acknowledged, when the process died before its line knew of it: the next one does it.
import assert from 'node:assert/strict';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { sleep, waitFor } from '../lib/util.mjs';
import { BOB, CAROL, lineRig } from './line-kit.mjs';
import { actionOver as outcome, putAction as ask } from './native-kit.mjs';

const BERLIN = '+493012345678';
const waiting = { [BOB]: { answers: 500, script: [{ wait: 'greeting' }, { waitEnd: true }], hangsUpMs: 60000 },
  [CAROL]: { answers: 500, script: [{ waitEnd: true }], hangsUpMs: 30000 } };

/* Two hours around the present one, by the clock of Berlin. */
function nowIsQuiet() {
  const hour = Number(new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', hour: '2-digit', hourCycle: 'h23' })
    .format(new Date()));
  const text = (h) => `${String((h + 24) % 24).padStart(2, '0')}:00`;
  return `${text(hour - 1)}-${text(hour + 3)}`;
}

test('the end of a call that waits: it never rings', async (t) => {
  const made = await lineRig(t, { people: { [BERLIN]: { answers: 300 } }, changes: {
    security: { voice: { destinations: { allow: ['+49'] } } },
    channels: { voice: { outbound: { quiet_hours: nowIsQuiet() } } } } });
  const id = await made.dial({ to: BERLIN, purpose: 'test' });
  await waitFor(() => made.rows('SELECT machine FROM line WHERE call = ?', id)[0]?.machine, { what: 'the saved line' });
  await made.host.kill();
  ask(made, id, 'act_end', 'hangup');
  await made.start({ changes: { channels: { voice: { outbound: { quiet_hours: undefined } } } } });
  const call = await made.over(id);
  assert.equal(call.outcome, 'canceled', JSON.stringify(call));
  assert.equal((await outcome(made, id, 'act_end')).state, 'done');
  assert.equal(made.twilio.rings.length, 0);
});

test('a call that was to be dialled at once is not, when its end was asked for', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 300 } },
    changes: { channels: { voice: { call: { max_concurrent: 1 } } } } });
  const first = await made.dial({ purpose: 'the one that talks' });
  await made.event(first, 'call.live');
  const second = await made.dial({ to: CAROL, purpose: 'waits until the first is over' });
  await waitFor(() => made.rows('SELECT machine FROM line WHERE call = ?', second)[0]?.machine,
    { what: 'the saved line' });
  await made.host.kill();
  ask(made, first, 'act_first', 'hangup');
  ask(made, second, 'act_second', 'hangup');
  await made.start({ changes: { channels: { voice: { call: { max_concurrent: 5 } } } } });
  assert.equal((await made.over(second)).outcome, 'canceled');
  assert.equal((await made.over(first)).outcome, 'answered');
  assert.equal(made.twilio.rings.filter((r) => r.number === CAROL).length, 0);
  await made.twilio.idle();
});

test('what was asked of a live call is done once; what is too late or secret is told to have failed', async (t) => {
  const made = await lineRig(t, { people: waiting });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn', (e) => e.who === 'assistant');
  const mute = await made.act(id, 'mute');
  await made.host.kill();
  ask(made, id, 'act_a_hold', 'hold');
  ask(made, id, 'act_b_collect', 'collect', { secret: true });
  ask(made, id, 'act_c_dtmf', 'dtmf', { text: '12#' }, 120000);
  ask(made, id, 'act_d_unmute', 'unmute', { party: 'caller' });
  ask(made, id, 'act_e_invite', 'invite', { to: CAROL, party: 'Carol' });
  await made.start();
  assert.equal((await outcome(made, id, 'act_a_hold')).state, 'done');
  await made.event(id, 'call.held');
  const pin = await outcome(made, id, 'act_b_collect');
  assert.deepEqual([pin.state, pin.error], ['failed', 'interrupted by a restart']);
  const late = await outcome(made, id, 'act_c_dtmf');
  assert.deepEqual([late.state, late.error], ['failed', 'its time was over when we came back']);
  assert.equal((await outcome(made, id, 'act_d_unmute')).state, 'done');
  assert.equal((await outcome(made, id, 'act_e_invite')).state, 'done');
  assert.equal((await made.state(id)).parties.find((p) => p.party === 'caller').muted, false);
  assert.equal(made.twilio.rings.filter((r) => r.number === CAROL).length, 1);
  assert.equal((await outcome(made, id, mute.id)).state, 'done', 'one that was over stays so');
  assert.equal((await made.act(id, 'hangup')).state, 'done');
  await made.over(id);
  await made.twilio.idle();
  made.twilio.assertRangOnce(BOB);
});

test('what was sent before the death is not sent again, whatever is handed in beside it', async (t) => {
  const made = await lineRig(t, { people: waiting });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn', (e) => e.who === 'assistant');
  const sent = () => made.twilio.requests.filter((r) => r.params.AnnounceUrl).length;
  made.twilio.faults = { '*': { match: (entry) => entry.params.AnnounceUrl, never: true, apply: true } };
  const keys = await made.host.api(`/calls/${id}/dtmf`, { method: 'POST', body: { digits: '12#' } });
  assert.equal(keys.status, 202, keys.text);
  await waitFor(() => sent() === 1, { what: 'the keys' });
  await made.host.kill();
  made.twilio.faults = {};
  ask(made, id, 'act_before', 'mute', {}, 5000); // asked for earlier, so it is handed in first
  ask(made, id, 'act_behind', 'unmute');
  await made.start();
  const known = await outcome(made, id, keys.json.id);
  assert.deepEqual([known.state, sent()], ['uncertain', 1], JSON.stringify(known));
  assert.equal((await outcome(made, id, 'act_before')).state, 'done');
  assert.equal((await outcome(made, id, 'act_behind')).state, 'done');
  assert.equal(sent(), 1);
  await made.act(id, 'hangup');
  await made.over(id);
});

test('a call whose line was over, when the process died before its row said so: how it ended is kept', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { rejects: 300 } } });
  const id = await made.dial({ purpose: 'test' });
  const before = await made.over(id);
  assert.equal(before.outcome, 'rejected', JSON.stringify(before));
  await made.host.kill();
  const db = new DatabaseSync(path.join(made.hosts[0].stateDir, 'voice.db'));
  db.prepare('UPDATE call SET state = \'waiting\', reason = \'\', detail = \'\', ended_at = 0 WHERE id = ?').run(id);
  db.close();
  await made.start();
  const call = await made.over(id);
  assert.deepEqual([call.outcome, call.reason, call.detail], ['rejected', before.reason, before.detail]);
  const end = await made.event(id, 'call.ended', () => made.host.events.some((e) => e.event === 'call.ended' && e.call === id));
  assert.equal(end.outcome, 'rejected');
  assert.equal(made.twilio.ringsOf(BOB), 1);
});

test('the same where the line still waits for its recording: the call is over before that is there', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { waitEnd: true }],
    hangsUpMs: 60000 } }, twilio: { recordingMs: 5000 }, changes: { channels: { voice: { call: { record_calls: true } } } } });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'call.recording', (e) => e.recording === 'on');
  assert.equal((await made.act(id, 'hangup')).state, 'done');
  const before = await made.over(id);
  await made.host.kill();
  assert.equal(made.rows('SELECT count(*) AS n FROM recording')[0].n, 0, 'the recording is not there yet');
  const db = new DatabaseSync(path.join(made.hosts[0].stateDir, 'voice.db'));
  db.prepare('UPDATE call SET state = \'leaving\', reason = \'\', detail = \'\', ended_at = 0 WHERE id = ?').run(id);
  db.close();
  await made.start();
  const call = await made.over(id);
  assert.equal(call.outcome, before.outcome);
  await made.event(id, 'call.recording', (e) => e.recording === 'stored');
});

test('a call that does not get through says how, whoever dies at its end', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { busy: true } } });
  for (let i = 0; i < 15; i += 1) {
    const gone = new Promise((resolve) => { made.twilio.once('over', resolve); });
    const id = await made.dial({ purpose: `death ${i}` });
    await gone;
    await sleep(i * 1.5);
    await made.host.kill();
    await made.start();
    const call = await made.over(id);
    assert.deepEqual([call.outcome, call.reason], ['busy', 'not_connected'], `death ${i}: ${JSON.stringify(call)}`);
  }
});

test('the end that is asked for while its line is being read back is the end of the line, too', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { answers: 16000, hangsUpMs: 60000 } } });
  for (let i = 0; i < 6; i += 1) {
    const rang = new Promise((resolve) => { made.twilio.once('ring', resolve); });
    const id = await made.dial({ purpose: `restart ${i}` });
    await rang;
    await made.host.kill();
    await made.start();
    const { status } = await waitFor(async () => {
      const res = await made.host.api(`/call/${id}`, { method: 'DELETE' });
      return res.status === 503 ? null : res; // its line is being read back
    }, { what: 'an answer', everyMs: 1 });
    assert.equal(status, 200);
    const call = await made.over(id);
    assert.ok(['canceled', 'answered'].includes(call.outcome), `restart ${i}: ${JSON.stringify(call)}`);
    await made.twilio.idle();
  }
});

test('what a call that is over left open is closed, and a key tells what became of its action', async (t) => {
  const made = await lineRig(t, { people: waiting });
  const id = await made.dial({ purpose: 'test' });
  await made.event(id, 'turn', (e) => e.who === 'assistant');
  const headers = { 'idempotency-key': 'one' };
  const asked = await made.host.api(`/calls/${id}/hold`, { method: 'POST', body: {}, headers });
  assert.equal(asked.status, 202);
  assert.equal((await outcome(made, id, asked.json.id)).state, 'done');
  const again = await made.host.api(`/calls/${id}/hold`, { method: 'POST', body: {}, headers });
  assert.deepEqual([again.status, again.json], [202, { id: asked.json.id, state: 'done' }]);
  assert.equal((await made.host.api(`/calls/${id}/mute`, { method: 'POST', body: {}, headers })).status, 409);
  await made.act(id, 'hangup');
  await made.over(id);
  await made.host.kill();
  ask(made, id, 'act_end', 'hangup');
  ask(made, id, 'act_hold', 'hold');
  await made.start();
  assert.equal((await outcome(made, id, 'act_end')).state, 'done');
  const hold = await outcome(made, id, 'act_hold');
  assert.deepEqual([hold.state, hold.error], ['failed', 'the call ended']);
});
