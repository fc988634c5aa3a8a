/* SPDX-License-Identifier: MIT */
// Hold, mute and keys of calls over the carrier: what the model hears, says and is told meanwhile.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { sleep, waitFor } from '../lib/util.mjs';
import { BOB, CAROL, OWN, lineRig } from './line-kit.mjs';
import { creates, pinHash } from './native-kit.mjs';

const stays = { answers: 300, script: [{ wait: 'greeting' }, { waitEnd: true }] };
const calls = (made) => [...made.openai.calls.values()];
const end = async (made, id) => {
  await made.host.api(`/call/${id}`, { method: 'DELETE' });
  const call = await made.over(id);
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
  return call;
};

describe('a call over the carrier', { concurrency: 4 }, () => {
  test('on hold nobody speaks, no filler comes, and a result waits until the caller is back', async (t) => {
    let answer;
    const made = await lineRig(t, { gateway: { rules: [{ match: () => true, reply: 'The parcel arrives on Friday.', delayMs: 900 }] },
      people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' }, { caller: 'Where is my parcel?' }, { waitEnd: true }] } },
      changes: { channels: { voice: { call: { filler_after_ms: 700, progress_every_ms: 1000, silence_timeout_seconds: 5 } } },
        security: { voice: { whitelist: [BOB], tools: { known: 'full' } } } } });
    const id = await made.dial({ purpose: 'test' });
    await waitFor(() => (answer = calls(made)[0]?.toolCalls.size), { what: 'the question to the agent' });
    assert.ok(answer);
    assert.equal((await made.act(id, 'hold')).state, 'done');
    const [call] = calls(made);
    await sleep(200); // what was being said ends
    const before = creates(call).length;
    await sleep(2500); // the filler's time, the progress's, and the result's
    assert.equal(creates(call).length, before, 'the model is not asked to speak');
    assert.equal((await made.state(id)).state, 'live');
    assert.equal((await made.act(id, 'resume')).state, 'done');
    await waitFor(() => call.turns.some((turn) => /Friday/.test(turn.text)), { what: 'the result' });
    assert.equal([...call.toolCalls.values()][0].outputs.length, 1);
    assert.equal((await end(made, id)).outcome, 'answered');
  });

  test('on hold silence is not taken for an absent caller, but the longest duration runs on', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: stays }, changes: { channels: { voice: { call: {
      silence_timeout_seconds: 5 } } } } });
    const id = await made.dial({ purpose: 'test', max_minutes: 20 });
    await made.event(id, 'turn');
    const [{ params }] = made.twilio.requests.filter((r) => r.op === 'participants.create');
    assert.equal(params.TimeLimit, '1200', 'the carrier keeps the limit, too');
    await made.act(id, 'hold');
    await sleep(7000);
    assert.equal((await made.state(id)).state, 'live');
    await end(made, id);
  });

  test('on hold the model\'s leg is dropped after its time, and comes back with its context and no second greeting', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, script: [{ wait: 'greeting' },
      { caller: 'My number is forty-two.' }, { wait: 'assistant' }, { waitEnd: true }] } },
    changes: { channels: { voice: { outbound: { hold_drop_after_seconds: 1 } } } } });
    const id = await made.dial({ purpose: 'test' });
    await waitFor(async () => (await made.get(`/calls/${id}/transcript`)).turns.length >= 3, { what: 'the talk' });
    await made.act(id, 'hold');
    await waitFor(() => calls(made)[0].over, { what: 'the end of the model\'s leg' });
    const held = await made.state(id);
    assert.equal(held.status, 'answered');
    assert.ok(held.parties.find((one) => one.party === 'caller').held);
    await made.act(id, 'resume');
    await waitFor(() => calls(made).length === 2 && calls(made)[1].state === 'live', { what: 'the next leg' });
    const [, next] = calls(made);
    await waitFor(() => next.turns.length > 0, { what: 'its first words' });
    assert.match(next.session.instructions, /forty-two/, 'what was said goes with it');
    const { hops } = await made.get(`/calls/${id}/why`);
    assert.equal(hops.filter((hop) => hop.hop === 'greeting_asked').length, 1);
    assert.match(JSON.stringify(next.events), /do not greet again/);
    assert.equal((await made.state(calls(made)[0].callId)).call, id, 'each id of a leg leads to the call');
    assert.equal((await made.state(next.callId)).call, id);
    for (const leg of made.twilio.allLegs.values())
      assert.equal((await made.state(leg.sid)).call, id, 'and each of the carrier\'s');
    const bySid = [...made.twilio.allLegs.values()].at(-1).sid;
    assert.equal((await made.host.api(`/calls/${bySid}/mute`, { method: 'POST', body: {} })).status, 202);
    assert.equal((await made.host.api(`/calls/${next.callId}/unmute`, { method: 'POST', body: {} })).status, 202);
    assert.equal((await made.host.api(`/call/${bySid}`, { method: 'DELETE' })).json.status, 'ending');
    const call = await end(made, id);
    assert.equal(call.outcome, 'answered');
    assert.equal(made.host.events.filter((e) => e.event === 'call.ended').length, 1);
  });

  test('keys of a PIN go to the plugin alone', async (t) => {
    const PIN = '90817263';
    const made = await lineRig(t, { people: { [BOB]: { answers: 300, digits: `${PIN}#`, script: [{ wait: 'greeting' },
      { caller: 'I prove it.', plan: { items: [{ call: 'verify_identity', args: { by_keypad: true } }] } }, { wait: 'tool' },
      { wait: 'assistant' }, { waitEnd: true }] } },
    changes: { security: { voice: { tools: { pin_hash: pinHash(PIN) } } }, logging: { voice: { level: 'debug' } } } });
    const id = await made.dial({ purpose: 'test' });
    await waitFor(async () => (await made.state(id)).level === 'proven', { what: 'the proof' })
      .catch((e) => { throw made.host.fail(e.message); });
    await end(made, id);
    const { stateDir } = made.host;
    const places = { log: made.host.stderr.text, events: JSON.stringify(made.host.events),
      model: JSON.stringify(calls(made).flatMap((call) => call.events)),
      transcript: JSON.stringify(await made.get(`/calls/${id}/transcript`)),
      database: fs.readdirSync(stateDir).filter((name) => name.startsWith('voice.db'))
        .map((name) => fs.readFileSync(path.join(stateDir, name), 'latin1')).join('') };
    for (const [name, text] of Object.entries(places))
      assert.ok(!text.includes(PIN), `the PIN stands in: ${name}`);
  });

  test('keys that are collected are told to the model; those that are sent are sent once', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { ...stays, digits: '4711#' } },
      changes: { channels: { voice: { twilio: { say_voice: 'Polly.Vicki', say_language: 'de-DE' } } } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    assert.equal((await made.act(id, 'collect', { text: 'Your number, please.' })).state, 'done');
    const [call] = calls(made);
    await waitFor(() => JSON.stringify(call.events).includes('4711'), { what: 'the keys' });
    assert.ok(made.twilio.person(BOB).texts('say').includes('Your number, please.'));
    assert.match(made.twilio.requests.find((r) => r.params.Twiml).params.Twiml,
      /<Say voice="Polly\.Vicki" language="de-DE">Your number, please\.<\/Say>/);
    made.twilio.faults = { 'participants.update': { apply: true, reset: true } };
    assert.equal((await made.act(id, 'dtmf', { digits: '1w2#' })).state, 'done', 'its answer was lost, their end was told');
    await sleep(1500);
    assert.deepEqual(made.twilio.person(BOB).texts('digits'), ['12#']);
    await end(made, id);
  });

  test('a key of an action stands for one action; another body with it is refused', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { ...stays, hangsUpMs: 120000 }, [CAROL]: { answers: 300 } } });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    const bodies = { mute: {}, unmute: {}, hold: {}, resume: {}, dtmf: { digits: '5' }, say: { text: 'One moment.' },
      announce: { text: 'A word.' }, collect: {}, transfer: { to: 'Carol' } };
    for (const [verb, body] of Object.entries(bodies)) {
      const ask = (b) => made.host.api(`/calls/${id}/${verb}`, { method: 'POST', body: b,
        headers: { 'idempotency-key': `key of ${verb}` } });
      const [one, two] = [await ask(body), await ask(body)];
      assert.equal(one.status, 202, `${verb}: ${one.text}`);
      assert.deepEqual([two.status, two.json.id], [202, one.json.id], verb);
      if ('text' in body || 'digits' in body)
        assert.equal((await ask({ ...body, ...'text' in body ? { text: 'other' } : { digits: '6' } })).status, 409, verb);
    }
    await made.over(id);
    const { actions } = await made.get(`/calls/${id}/actions`);
    assert.ok(actions.every((one) => ['done', 'failed', 'uncertain'].includes(one.state)), JSON.stringify(actions));
    assert.equal(new Set(actions.map((one) => one.id)).size, actions.length);
    const { hops } = await made.get(`/calls/${id}/why`);
    for (const verb of Object.keys(bodies))
      assert.ok(hops.some((hop) => hop.hop === 'action' && hop.detail.startsWith(`${verb} `)), `${verb} in the flight record`);
    await made.twilio.idle();
  });

  test('a call that comes in is held and steered like one that was placed', async (t) => {
    const made = await lineRig(t, { changes: { security: { voice: { unknown_caller_policy: 'allow' } } } });
    made.twilio.dialIn({ from: BOB, to: OWN, script: [{ wait: 'greeting' }, { wait: 'held' }, { wait: 'resumed' },
      { waitEnd: true }] });
    const id = (await waitFor(() => made.host.events.find((e) => e.event === 'call.incoming'), { what: 'the call' })).call;
    await made.event(id, 'turn');
    const call = await made.state(id);
    assert.deepEqual([call.direction, call.carrier, call.status], ['inbound', 'twilio', 'answered']);
    for (const one of ['hold', 'mute', 'dtmf', 'transfer', 'warm_transfer', 'invite', 'announce', 'hangup'])
      assert.ok(call.capabilities.includes(one), `${one} in ${call.capabilities}`);
    assert.deepEqual(call.parties.map((one) => one.party).sort(), ['caller', 'model']);
    for (const verb of ['hold', 'resume', 'mute', 'unmute'])
      assert.equal((await made.act(id, verb)).state, 'done', verb);
    await end(made, id);
  });
});
