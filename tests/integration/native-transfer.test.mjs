/* SPDX-License-Identifier: MIT */
// Handing a call to another human, asking one in and out: who hears what, and what is left when it fails.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { waitFor } from '../lib/util.mjs';
import { BOB, CAROL, lineRig } from './line-kit.mjs';

const waits = { answers: 300, script: [{ wait: 'greeting' }, { waitEnd: true }] };
const calls = (made) => [...made.openai.calls.values()];
const told = (made) => JSON.stringify(calls(made).flatMap((call) => call.events.filter((e) => e.event.item?.role === 'system')));

async function settled(made, id, timeoutMs) {
  const call = await made.over(id, timeoutMs);
  await made.event(id, 'call.ended');
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
  assert.equal(made.host.events.filter((e) => e.event === 'call.ended' && e.call === id).length, 1);
  return call;
}

const drop = async (made, id) => {
  await made.host.api(`/call/${id}`, { method: 'DELETE' });
  return settled(made, id);
};

describe('a transfer', { concurrency: 4 }, () => {
  test('asked for by the model: the target hears what it is about, accepts with 1, and the humans are alone', async (t) => {
    const made = await lineRig(t, { people: {
      [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { caller: 'Let me talk to Carol.', plan: { items: [{ say: 'A moment.' },
        { call: 'transfer_call', args: { to: 'carol', warm: true, summary: 'Bob asks about <the> table & chairs.' } }] } },
      { wait: 'human' }, { caller: 'Is that you, Carol?' }, { hears: 'It is me' }, { hangup: true }] },
      [CAROL]: { answers: 500, accepts: true, digitsMs: 6000, script: [{ wait: 'human' }, { hears: 'Is that you' },
        { caller: 'It is me.' }, { waitEnd: true }] } },
    changes: { security: { voice: { whitelist: [BOB] } } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'call.held');
    await waitFor(() => made.twilio.person(CAROL).texts('say').some((text) => text.includes('<the> table & chairs')),
      { what: 'the words for the target' });
    assert.match(made.twilio.person(CAROL).texts('say')[0], /^A call is handed over to you\. Press 1 to take it\. Bob asks/);
    assert.ok(!made.host.events.some((e) => e.event === 'call.transferred'), 'not before 1');
    const call = await settled(made, id);
    assert.equal(call.outcome, 'transferred', JSON.stringify(call));
    assert.match(call.detail, /Carol/);
    assert.deepEqual(made.twilio.scriptErrors, []);
    assert.ok(calls(made).every((one) => one.over), 'the model has left');
    assert.equal(made.host.events.filter((e) => e.event === 'call.transferred').length, 1);
    const owed = made.rows('SELECT kind, count(*) AS n FROM outbox WHERE call=? GROUP BY kind', id);
    assert.ok(owed.length > 0 && owed.every((row) => row.n === 1), `reported once: ${JSON.stringify(owed)}`);
    made.twilio.assertRangOnce(CAROL);
  });

  const declines = [
    ['presses another key', { answers: 300, digits: '2' }], ['presses nothing', { answers: 300 }],
    ['is engaged', { busy: true }], ['does not answer', { answers: false }], ['declines', { rejects: 300 }],
    ['hangs up while being asked', { answers: 300, hangsUpMs: 1000 }], ['may not be called', { refused: 21216 }],
  ];
  for (const mode of ['warm', 'blind']) {
    for (const [name, carol] of mode === 'warm' ? declines : declines.slice(2, 5)) {
      test(`${mode}, and the target ${name}: the caller talks to the model again`, async (t) => {
        const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' },
          { until: () => made.failed, ms: 30000 }, { caller: 'So nobody is there.' }, { wait: 'assistant' }, { waitEnd: true }] },
        [CAROL]: carol }, changes: { channels: { voice: { outbound: { ring_timeout_seconds: 5 } } } } });
        const id = await made.dial({ purpose: 'test' });
        await made.event(id, 'turn');
        const action = await made.act(id, 'transfer', { to: 'Carol', mode, summary: 'Bob asks.' });
        assert.equal(action.state, 'failed');
        assert.ok(action.error.length > 0);
        made.failed = true;
        made.twilio.emit('change');
        await waitFor(() => /Carol could not be brought into the call/.test(told(made)), { what: 'the model to be told' });
        await waitFor(() => calls(made)[0].turns.some((turn) => /So nobody/.test(turn.text)), { what: 'the talk' });
        if (mode === 'warm' && name !== 'may not be called')
          await made.event(id, 'call.resumed');
        assert.equal((await made.state(id)).state, 'live');
        assert.equal((await drop(made, id)).outcome, 'answered');
        assert.ok(made.twilio.ringsOf(CAROL) <= 1, 'nobody rings twice');
      });
    }
  }

  for (const [name, carol, when] of [['rings', { answers: false }, 'ring'], ['is being asked', { answers: 300 }, 'answer']]) {
    test(`and the caller hangs up while the target ${name}: nobody is left`, async (t) => {
      const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' },
        { until: () => made.gone, ms: 30000 }, { hangup: true }] }, [CAROL]: carol } });
      const id = await made.dial({ purpose: 'test' });
      await made.event(id, 'turn');
      const res = await made.host.api(`/calls/${id}/transfer`, { method: 'POST', body: { to: 'Carol', mode: 'warm' } });
      const leg = await waitFor(() => [...made.twilio.allLegs.values()].find((one) => one.to === CAROL
        && (when === 'ring' ? one.ringingAt : one.up)), { what: 'her telephone' });
      made.gone = true;
      made.twilio.emit('change');
      await waitFor(() => leg.over, { what: 'the end of her leg', timeoutMs: 5000 });
      const call = await settled(made, id);
      assert.equal(call.outcome, 'answered');
      const end = await made.event(id, 'call.action', (e) => e.id === res.json.id && /done|failed|uncertain/.test(e.state));
      assert.equal(end.state, 'failed');
    });
  }

  test('and we die and the caller hangs up while the target rings: after the restart nobody is left', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { waitEnd: true }] },
      [CAROL]: { answers: false } }, changes: { channels: { voice: { outbound: { ring_timeout_seconds: 600 } } } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    await made.host.api(`/calls/${id}/transfer`, { method: 'POST', body: { to: 'Carol', mode: 'warm' } });
    const leg = await waitFor(() => [...made.twilio.allLegs.values()].find((one) => one.to === CAROL && one.ringingAt),
      { what: 'her telephone' });
    await made.host.kill();
    made.twilio.person(BOB).hangup();
    assert.ok(!leg.over);
    await made.start();
    await waitFor(() => leg.over, { what: 'the end of her leg' });
    assert.equal((await settled(made, id)).outcome, 'answered');
    made.twilio.assertRangOnce(CAROL);
  });

  test('is over for both when one of them leaves', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { ...waits, hangsUpMs: 400000 }, [CAROL]: { answers: 300, hangsUpMs: 4000 } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    assert.equal((await made.act(id, 'transfer', { to: 'Carol', mode: 'blind' })).state, 'done');
    assert.equal((await settled(made, id)).outcome, 'transferred');
  });
});

describe('a third person', { concurrency: true }, () => {
  test('is asked in and taken out, the model is told, the call goes on', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: waits, [CAROL]: { answers: 300, script: [{ waitEnd: true }] } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    assert.equal((await made.act(id, 'invite', { to: 'CAROL' })).state, 'done');
    await waitFor(() => /Carol has joined the call/.test(told(made)), { what: 'the model to be told' });
    assert.deepEqual((await made.state(id)).parties.map((one) => one.party), ['caller', 'model', 'Carol']);
    assert.equal((await made.act(id, 'invite', { to: 'carol' })).state, 'failed', 'is there already');
    const muted = await made.act(id, 'mute', { party: 'Carol' });
    assert.equal(muted.state, 'done');
    const res = await made.host.api(`/calls/${id}/parties/${encodeURIComponent('Carol')}`, { method: 'DELETE' });
    assert.equal(res.status, 202, res.text);
    await made.event(id, 'call.action', (e) => e.id === res.json.id && e.state === 'done');
    await waitFor(() => made.twilio.legs().length === 2, { what: 'her to be out' });
    assert.equal((await made.state(id)).state, 'live');
    assert.equal((await drop(made, id)).outcome, 'answered');
    made.twilio.assertRangOnce(CAROL);
  });

  test('stays with the caller while the model is taken out; alone again, the caller gets it back', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: waits, [CAROL]: { answers: 300, script: [
      { until: () => made.gone, ms: 20000 }, { hangup: true }] } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    const out = () => made.host.api(`/calls/${id}/parties/model`, { method: 'DELETE' });
    const alone = await out();
    assert.equal((await made.event(id, 'call.action', (e) => e.id === alone.json.id && /done|failed/.test(e.state))).state,
      'failed', 'nobody would be left to talk to');
    assert.equal((await made.act(id, 'invite', { to: 'Carol' })).state, 'done');
    const res = await out();
    await made.event(id, 'call.action', (e) => e.id === res.json.id && e.state === 'done');
    await waitFor(() => calls(made)[0].over, { what: 'the model to be out' });
    made.gone = true;
    made.twilio.emit('change');
    await waitFor(() => calls(made)[1]?.state === 'live', { what: 'the model to be back' });
    assert.equal((await drop(made, id)).outcome, 'answered');
  });

  test('ends nothing by leaving, and nothing is left when the caller hangs up', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' },
      { until: () => made.gone, ms: 20000 }, { hangup: true }] }, [CAROL]: { answers: 300 } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    assert.equal((await made.act(id, 'invite', { to: 'Carol' })).state, 'done');
    const began = Date.now();
    made.gone = true;
    made.twilio.emit('change');
    const call = await settled(made, id);
    assert.equal(call.outcome, 'answered');
    assert.ok(Date.now() - began < 15000);
  });
});
