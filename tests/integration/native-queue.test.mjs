/* SPDX-License-Identifier: MIT */
// Calls that wait: for the carrier's rate, for room, for the end of quiet hours, for another attempt; and what is told
// of a call at each point.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { sleep, tmpdir, waitFor } from '../lib/util.mjs';
import { BOB, CAROL, OWN, lineRig } from './line-kit.mjs';
import { KNOWN } from './native-kit.mjs';

const DAVE = '+15551230003';
const talk = { answers: 300, script: [{ wait: 'greeting' }, { hangup: true }] };
const outbound = (fields) => ({ channels: { voice: { outbound: fields } } });
const creates = (made) => made.twilio.requests.filter((r) => r.op === 'participants.create');
const toHumans = (made) => creates(made).filter((r) => !/^sip:/.test(r.params.To));

const BERLIN = '+493012345678';

/* An hour before and behind now, on the clocks there. */
function quietIn(timeZone) {
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  return `${clock.format(Date.now() - 3600000)}-${clock.format(Date.now() + 3600000)}`;
}

/* As if time had passed while we were away: what the line's record says is changed. */
async function meanwhile(made, ids, change) {
  await made.host.kill();
  const db = new DatabaseSync(path.join(made.hosts[0].stateDir, 'voice.db'));
  for (const id of ids) {
    const machine = JSON.parse(db.prepare('SELECT machine FROM line WHERE call=?').get(id).machine);
    change(machine);
    db.prepare('UPDATE line SET machine=?, due_at=? WHERE call=?').run(JSON.stringify(machine), machine.due_wall_ms, id);
  }
  db.close();
  await made.start();
}

describe('a call that waits', { concurrency: 4 }, () => {
  test('one a second: the model of a call that was answered goes before the next dial', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: talk, [CAROL]: talk, [DAVE]: talk }, changes: outbound({ calls_per_second: 1 }),
      twilio: { callsPerSecond: 1 } });
    const ids = [];
    for (const to of [BOB, CAROL, DAVE])
      ids.push(await made.dial({ to, purpose: 'test' }));
    assert.equal((await made.state(ids[2])).phase, 'queued');
    assert.equal((await made.state(ids[2])).status, 'initiated');
    for (const id of ids)
      assert.equal((await made.over(id, 30000)).outcome, 'answered');
    for (const dial of toHumans(made)) {
      const { sid } = [...made.twilio.allLegs.values()].find((leg) => leg.to === dial.params.To);
      const heard = made.twilio.callbacks.log.find((e) => e.params.CallSid === sid && e.params.CallStatus === 'in-progress').t;
      const model = creates(made).find((r) => r.ids[0] === dial.ids[0] && r !== dial);
      const before = toHumans(made).filter((r) => r.t > heard + 1500 && r.t < model.t);
      assert.deepEqual(before.map((r) => r.params.To), [], `dialled before the model of ${dial.params.To}`);
    }
    const at = toHumans(made).map((r) => r.t);
    assert.ok(at[2] - at[0] > 3000, `a dial reserves its model's slot: ${at}`);
    await made.twilio.idle();
    made.twilio.assertClean();
  });

  test('for room: one more than may be is not dialled until there is; an incoming one is told that we are busy', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { until: () => made.free, ms: 30000 },
      { hangup: true }] }, [CAROL]: talk }, changes: { channels: { voice: { call: { max_concurrent: 1 } } },
      security: { voice: { unknown_caller_policy: 'allow' } } } });
    const one = await made.dial({ purpose: 'test' });
    await made.event(one, 'turn');
    const two = await made.dial({ to: CAROL, purpose: 'test' });
    const line = made.twilio.dialIn({ from: DAVE, to: OWN });
    await waitFor(() => line.leg.over, { what: 'the refusal' });
    assert.equal(line.leg.status, 'busy');
    await sleep(300);
    assert.equal(made.twilio.ringsOf(CAROL), 0);
    made.free = true;
    made.twilio.emit('change');
    assert.equal((await made.over(one)).outcome, 'answered');
    assert.equal((await made.over(two)).outcome, 'answered');
    await made.twilio.idle();
  });

  test('too long is expired, and never rings', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: talk, [CAROL]: { answers: 300, script: [{ waitEnd: true }] } },
      changes: { channels: { voice: { call: { max_concurrent: 1 }, outbound: { queue_max_minutes: 5 } } } } });
    const first = await made.dial({ to: CAROL, purpose: 'test' });
    await made.event(first, 'turn');
    const id = await made.dial({ purpose: 'test' });
    await waitFor(() => made.rows('SELECT machine FROM line WHERE call=?', id)[0]?.machine, { what: 'its record' });
    await meanwhile(made, [id], (m) => { m.due_wall_ms -= 301000; m.made_wall_ms -= 301000; });
    const call = await made.over(id);
    assert.equal(call.outcome, 'expired', JSON.stringify(call));
    assert.match(call.detail, /could not be dialled/);
    assert.equal(made.twilio.ringsOf(BOB), 0);
    assert.equal((await made.state(first)).state, 'live', 'the other call goes on');
    await made.host.api(`/call/${first}`, { method: 'DELETE' });
    await made.over(first);
  });

  test('that is ended never rings, and its key still stands for it', async (t) => {
    const made = await lineRig(t, { changes: { ...outbound({ quiet_hours: quietIn('Europe/Berlin') }),
      security: { voice: { destinations: { allow: ['+4930'] } } } } });
    const ask = () => made.host.api('/call', { method: 'POST', body: { to: BERLIN, purpose: 'a' }, headers: { 'idempotency-key': 'k' } });
    const res = await ask();
    assert.equal(res.status, 200, res.text);
    const { call_id: id } = res.json;
    assert.equal((await made.host.api(`/call/${id}`, { method: 'DELETE' })).status, 200);
    const call = await made.over(id);
    assert.deepEqual([call.outcome, call.status, call.attempts], ['canceled', 'completed', 0]);
    assert.equal((await ask()).json.call_id, id);
    await sleep(300);
    assert.deepEqual(creates(made), []);
  });

  test('in the callee\'s quiet hours, told by their number, not ours', async (t) => {
    // Now in Berlin is no time of Honolulu's, twelve hours away.
    const now = Date.now();
    const honolulu = '+18085550123';
    const made = await lineRig(t, { people: { [BERLIN]: talk, [honolulu]: talk }, changes: { channels: { voice: { outbound: {
      quiet_hours: quietIn('Europe/Berlin') } } }, security: { voice: { destinations: { allow: ['+4930', '+1808'] } } } } });
    const waits = await made.host.api('/call', { method: 'POST', body: { to: BERLIN, purpose: 'test' } });
    assert.equal(waits.status, 200, waits.text);
    assert.ok(waits.json.due_at > now + 3400000 && waits.json.due_at < now + 3700000, JSON.stringify(waits.json));
    const id = await made.dial({ to: honolulu, purpose: 'test' });
    assert.equal((await made.over(id)).outcome, 'answered');
    assert.equal(made.twilio.ringsOf(BERLIN), 0);
    assert.equal((await made.state(waits.json.call_id)).due_at, waits.json.due_at);
    await meanwhile(made, [waits.json.call_id], (m) => { m.due_wall_ms = Date.now(); });
    assert.equal((await made.over(waits.json.call_id)).outcome, 'answered', 'and is placed when they are over');
  });

  test('takes no place of those that are talked in, and there is a bound to how many do', async (t) => {
    const made = await lineRig(t, { changes: { channels: { voice: { outbound: {
      quiet_hours: quietIn('Europe/Berlin') }, call: { max_concurrent: 2 }, api: { requests_per_minute: 0 } } },
    security: { voice: { destinations: { allow: ['+4930'] } } } } });
    let asked = 0;
    const refused = [];
    const ask = async () => {
      while (asked < 1010) {
        asked++;
        const res = await made.host.api('/call', { method: 'POST', body: { to: BERLIN, purpose: 'x' } });
        if (res.status !== 200) refused.push([res.status, res.json.error]);
      }
    };
    await Promise.all(Array.from({ length: 16 }, ask));
    assert.deepEqual(refused, Array(10).fill([503, 'queue_full']));
    assert.equal(made.rows("SELECT count(*) AS n FROM line WHERE phase='queued'")[0].n, 1000);
    const call = made.call({ script: [{ wait: 'greeting' }, { hangup: true }] });
    assert.equal((await call.done).scriptError, null, 'somebody who calls is not told that all lines are busy');
    const [{ call: one }] = made.rows("SELECT call FROM line WHERE phase='queued' LIMIT 1");
    assert.equal((await made.host.api(`/call/${one}`, { method: 'DELETE' })).status, 200);
    await made.over(one);
    assert.ok(await made.dial({ to: BERLIN, purpose: 'x' }), 'one that has ended makes room');
  });

  test('for another attempt: after busy, not after an error', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: [{ busy: true }, talk], [CAROL]: { sip: 500 }, [DAVE]: [{ answers: false },
      { busy: true }, talk] }, changes: outbound({ retries: 1, ring_timeout_seconds: 5 }) });
    const bob = await made.dial({ purpose: 'test' });
    const carol = await made.dial({ to: CAROL, purpose: 'test' });
    const dave = await made.dial({ to: DAVE, purpose: 'test' });
    assert.deepEqual([(await made.over(carol)).outcome, made.rows('SELECT attempts FROM line WHERE call=?', carol)[0].attempts],
      ['failed', 1]);
    for (const id of [bob, dave])
      await waitFor(async () => (await made.state(id)).due_at > Date.now() + 30000, { what: 'the next attempt to be due' });
    assert.equal(toHumans(made).length, 3, 'not at once');
    await meanwhile(made, [bob, dave], (m) => {
      m.due_wall_ms = Date.now();
      m.legs[0].not_before_wall_ms = Date.now();
    });
    const [one, two] = [await made.over(bob), await made.over(dave)];
    assert.deepEqual([one.outcome, one.attempts], ['answered', 2]);
    assert.deepEqual([two.outcome, two.attempts], ['busy', 2], 'no third one');
    assert.equal(toHumans(made).length, 5);
  });
});

describe('what is known of a call', { concurrency: 4 }, () => {
  test('a stranger\'s model knows purpose and context, no memory, and has no tool but hold, keys and the end', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: talk, [KNOWN]: talk }, start: true });
    fs.writeFileSync(path.join(made.host.dir, 'workspace', 'MEMORY.md'), '# Memory\n\nThe safe code of the owner is tangerine.\n');
    await sleep(300);
    const id = await made.dial({ purpose: 'Ask whether the table is free', context: 'We are four people.', message: 'Good evening from Ada.' });
    await made.over(id);
    const [model] = [...made.openai.calls.values()];
    assert.deepEqual(model.session.tools.map((tool) => tool.name).sort(), ['end_call', 'hold', 'send_dtmf']);
    const all = JSON.stringify([model.session, model.events]);
    assert.match(model.session.instructions, /Ask whether the table is free/);
    assert.match(model.session.instructions, /We are four people/);
    assert.ok(!/tangerine/.test(all) && !all.includes(CAROL));
    const first = model.events.find((e) => e.type === 'response.create');
    assert.match(first.event.response.instructions, /Good evening from Ada\./, 'the message stands in the first response');
    const known = await made.dial({ to: KNOWN, purpose: 'test' });
    await made.over(known);
    const tools = [...made.openai.calls.values()].at(-1).session.tools.map((tool) => tool.name);
    assert.ok(tools.includes('transfer_call') && !tools.includes('invite') && !tools.includes('voice_call'), `${tools}`);
    assert.equal((await made.state(known)).level, 'known', 'a callee is a caller from that number');
  });

  test('voice and personality of the agent are those of a call that comes in', async (t) => {
    const file = path.join(tmpdir('ocv-agent'), 'agent.json');
    fs.writeFileSync(file, JSON.stringify({ name: 'Ada', instructions: 'Speak like Ada.', voice: 'cedar' }));
    const made = await lineRig(t, { people: { [BOB]: talk }, changes: { channels: { voice: { agent_file: file } } } });
    await made.over(await made.dial({ purpose: 'Ask whether the table is free' }));
    const [{ session }] = [...made.openai.calls.values()];
    assert.equal(session.audio.output.voice, 'cedar');
    assert.match(session.instructions, /Speak like Ada\.[\s\S]*Your name is Ada/);
    assert.match(session.instructions, /Ask whether the table is free/);
  });

  test('the fields of the API, the events of the host and of the stream: the same JSON', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 60000, script: [{ wait: 'greeting' }, { waitEnd: true }] },
      [CAROL]: { answers: 300, hangsUpMs: 5000 } }, twilio: { numbers: { [OWN]: {}, '+15550001001': {} } },
    changes: { channels: { voice: { outbound: { ring_timeout_seconds: 200 }, twilio: { phone_number: [OWN, '+15550001001'] } } } } });
    const stream = new AbortController();
    const events = await fetch(`${made.host.url}/events`, { headers: { authorization: `Bearer ${made.host.token}` }, signal: stream.signal });
    let text = '';
    const reading = (async () => {
      for await (const piece of events.body)
        text += Buffer.from(piece).toString();
    })().catch(() => {});
    const id = await made.dial({ purpose: 'test', caller_id: '+15550001001' });
    assert.equal((await made.host.api('/call', { method: 'POST', body: { to: BOB, caller_id: CAROL } })).status, 400);
    await made.event(id, 'call.ringing');
    const ringing = await made.state(id);
    assert.deepEqual([ringing.direction, ringing.carrier, ringing.status, ringing.attempts], ['outbound', 'twilio', 'ringing', 1]);
    await made.event(id, 'turn');
    await made.act(id, 'hold');
    await made.act(id, 'resume');
    const live = await made.state(id);
    assert.ok(Array.isArray(live.capabilities) && live.parties.length === 2, JSON.stringify(live));
    await made.act(id, 'transfer', { to: 'Carol', mode: 'blind' });
    const call = await made.over(id);
    await made.event(id, 'call.ended');
    assert.deepEqual([call.status, call.outcome, call.attempts], ['completed', 'transferred', 1]);
    assert.equal(toHumans(made)[0].params.From, '+15550001001');
    const { calls } = await made.get('/calls');
    for (const field of ['direction', 'carrier', 'status', 'outcome', 'attempts', 'carrier_code', 'detail'])
      assert.ok(field in calls[0], `${field} in the list`);
    const host = made.host.events.filter((e) => e.call === id && e.event.startsWith('call.'));
    for (const name of ['initiated', 'ringing', 'answered', 'held', 'resumed', 'action', 'transferred', 'ended'])
      assert.ok(host.some((e) => e.event === `call.${name}`), name);
    assert.equal(host.find((e) => e.event === 'call.ended').outcome, 'transferred');
    await waitFor(() => /event: call\.ended/.test(text), { what: 'the stream' });
    stream.abort();
    await reading;
    const streamed = [...text.matchAll(/^data: (.*)$/gm)].map((m) => JSON.parse(m[1])).filter((e) => e.call === id
      && e.event.startsWith('call.'));
    assert.deepEqual(streamed, host);
  });
});
