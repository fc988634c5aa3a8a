/* SPDX-License-Identifier: MIT */
// Calls that came straight to the speech API: what can be done to them is a refer, words and an end, and of the
// refer nobody says whether it worked. t-limit: 300
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sleep, slower, waitFor } from '../lib/util.mjs';
import { KNOWN, STRANGER, actionOver, outputsOf, putAction, requestsOf, rig } from './native-kit.mjs';

const CAROL = '+15551230002';
const changes = { security: { voice: { destinations: { allow: ['+1555'], deny: ['+15559', '+15559000000'] },
  transfer_targets: { Carol: CAROL, Premium: '+15559000000' } } } };
const listen = [{ wait: 'greeting' }, { waitEnd: true }];

/* A call that is live, its id, and how to steer it. */
async function live(t, { opts = {}, sim } = {}) {
  const made = await rig(t, { changes, sim });
  const call = made.call({ from: KNOWN, script: listen, ...opts });
  await made.host.waitEvent('turn', (e) => e.who === 'assistant', 30000);
  const id = made.idOf(call);
  const post = (verb, body = {}, headers) => made.host.api(`/calls/${id}/${verb}`, { method: 'POST', body, headers });
  const act = async (verb, body) => {
    const res = await post(verb, body);
    assert.equal(res.status, 202, res.text);
    return res.json.id;
  };
  return { made, call, id, post, act, ended: () => made.ended(call, 30000) };
}

const refers = (call) => requestsOf(call, 'refer');

/* The call was handed over, as far as anybody knows: so say the action, the call, its events and its record. */
async function assertHandedOver(rigged, action) {
  const { made, call, id } = rigged;
  const over = await actionOver(made, id, action, 30000);
  assert.equal(over.state, 'handed_over', JSON.stringify(over));
  assert.match(over.error, /unconfirmed/);
  assert.equal((await rigged.ended()).reason, 'transferred');
  const told = await waitFor(async () => {
    const now = await made.get(`/calls/${id}`);
    return now.outcome ? now : null;
  }, { what: 'the outcome' });
  assert.deepEqual([told.state, told.status, told.carrier, told.outcome], ['over', 'ended', 'sip', 'transferred']);
  assert.match(told.detail, /does not say whether it was taken/);
  assert.equal(refers(call).length, 1, 'one refer');
  assert.ok(made.eventsOf(call).some((e) => e.event === 'call.transferred'));
  assert.match((await made.host.api(`/calls/${id}/why`)).text, /handed over/);
}

describe('refer', { concurrency: 6 }, () => {
  test('what such a call can do is said, and the rest refused at once', async (t) => {
    const { made, call, id, post, act, ended } = await live(t);
    const told = await made.get(`/calls/${id}`);
    assert.deepEqual([told.carrier, told.capabilities.sort()], ['sip', ['hangup', 'refer', 'say']]);
    assert.deepEqual(told.parties.map((p) => `${p.party} ${p.state}`), ['caller up', 'model up']);
    for (const [verb, body, capability] of [['hold', {}, 'hold'], ['resume', {}, 'hold'], ['mute', {}, 'mute'],
      ['unmute', {}, 'mute'], ['dtmf', { digits: '1' }, 'dtmf'], ['collect', {}, 'collect'],
      ['invite', { to: 'Carol' }, 'invite'], ['announce', { text: 'x' }, 'announce'],
      ['transfer', { to: 'Carol', mode: 'warm' }, 'warm_transfer'], ['recording/pause', {}, 'record']]) {
      const res = await post(verb, body);
      assert.deepEqual([res.status, res.json], [409, { error: 'unsupported', capability }], verb);
    }
    const removed = await made.host.api(`/calls/${id}/parties/caller`, { method: 'DELETE' });
    assert.deepEqual([removed.status, removed.json.capability], [409, 'invite']);
    assert.equal(made.rows('SELECT count(*) AS n FROM line')[0].n, 0);
    const said = await act('say', { text: 'Please hold the line.' });
    assert.equal((await actionOver(made, id, said)).state, 'done');
    assert.equal(made.rows('SELECT count(*) AS n FROM line')[0].n, 1, 'steered: it has a line');
    await waitFor(() => call.turns.some((turn) => /Please hold the line/.test(turn.text)), { what: 'the words' });
    const began = Date.now();
    const byTheirs = await made.host.api(`/calls/${call.callId}/hangup`, { method: 'POST', body: {} });
    assert.equal(byTheirs.status, 202, byTheirs.text);
    assert.equal((await actionOver(made, id, byTheirs.json.id)).state, 'done');
    assert.ok(Date.now() - began < 6000 * slower, 'done as soon as the call is over, and not when it is asked again');
    assert.equal((await ended()).reason, 'operator');
    assert.equal(requestsOf(call, 'hangup').length, 1);
    assert.equal((await post('say', { text: 'x' })).status, 404);
    assert.equal(refers(call).length, 0);
  });

  test('a call that is never steered has no line', async (t) => {
    const { made, call, id, ended } = await live(t);
    assert.equal((await made.host.api(`/call/${id}`, { method: 'DELETE' })).status, 200);
    assert.equal((await ended()).reason, 'operator');
    assert.equal((await made.get(`/calls/${call.callId}`)).capabilities, undefined);
    assert.equal(made.rows('SELECT count(*) AS n FROM line')[0].n, 0);
  });

  test('the provider closes the call: handed over, unconfirmed', async (t) => {
    const rigged = await live(t, { opts: { referMs: 1500 } });
    const body = { to: 'carol' };
    const first = await rigged.post('transfer', body, { 'idempotency-key': 'k' });
    assert.equal(first.status, 202, first.text);
    await waitFor(() => rigged.call.refers.length > 0, { what: 'the refer' });
    assert.deepEqual((await rigged.post('transfer', body, { 'idempotency-key': 'k' })).json.id, first.json.id);
    await assertHandedOver(rigged, first.json.id);
    assert.deepEqual(rigged.call.refers, [`tel:${CAROL}`]);
    const again = await rigged.post('transfer', body, { 'idempotency-key': 'k' });
    assert.equal(again.status, 404, 'over');
  });

  test('200, and the call is still here after 10 s: failed, and it goes on', async (t) => {
    const { made, call, id, act, ended } = await live(t, { opts: { referOutcome: 'nothing' } });
    const began = Date.now();
    const action = await act('transfer', { to: 'Carol', mode: 'blind' });
    const over = await actionOver(made, id, action, 30000);
    assert.ok(Date.now() - began > 9500, 'not before its time');
    assert.deepEqual([over.state, over.error], ['failed', 'the provider agreed, but the call is still here']);
    assert.equal((await made.get(`/calls/${id}`)).state, 'live');
    await call.say('Are you still there, or not.');
    await call.waitEvent('response.done', { since: call.serverEvents.length, timeoutMs: 8000 });
    call.hangup();
    assert.equal((await ended()).reason, 'caller_hung_up', 'no refer is under way any more');
    await waitFor(async () => (await made.get(`/calls/${id}`)).outcome === 'answered', { what: 'the outcome' });
    assert.equal(refers(call).length, 1);
  });

  for (const [name, fault, state, why, n] of [
    ['404', { status: 404 }, 'failed', /refused it \(HTTP 404\)/, 1],
    ['400', { status: 400 }, 'failed', /refused it \(HTTP 400\)/, 1],
    ['500', { status: 500 }, 'uncertain', /not known/, 1],
    ['an answer that is lost', { reset: true, apply: true }, 'uncertain', /not known/, 1],
    ['429, three times', { status: 429, times: 3 }, 'failed', /still here/, 4],
  ]) {
    test(`the provider answers ${name}: ${state}`, async (t) => {
      const { made, call, id, act, ended } = await live(t,
        { opts: { referOutcome: 'nothing', faults: { refer: fault } } });
      const over = await actionOver(made, id, await act('transfer', { to: 'Carol' }), 40000);
      assert.equal(over.state, state, JSON.stringify(over));
      assert.match(over.error, why);
      assert.equal(refers(call).length, n);
      call.hangup();
      assert.equal((await ended()).reason, 'caller_hung_up');
    });
  }

  test('an answer that is lost, and the call ends: handed over', async (t) => {
    const rigged = await live(t, { opts: { referMs: 1000, faults: { refer: { reset: true, apply: true } } } });
    await assertHandedOver(rigged, await rigged.act('transfer', { to: 'Carol' }));
  });

  test('the control channel breaks while it is waited for: what is then there says it', async (t) => {
    const { made, call, id, act } = await live(t, { opts: { referOutcome: 'nothing' } });
    const action = await act('transfer', { to: 'Carol' });
    await sleep(2000);
    call.dropSideband({ reset: true });
    await made.host.waitEvent('call.live', (e) => e.reattached === true, 10000);
    const over = await actionOver(made, id, action, 30000);
    assert.deepEqual([over.state, refers(call).length], ['failed', 1], JSON.stringify(over));
    call.hangup();
  });

  test('the control channel is gone when the time is up, and so is the call then: handed over', async (t) => {
    const rigged = await live(t, { opts: { referOutcome: 'nothing' } });
    const { call } = rigged;
    const action = await rigged.act('transfer', { to: 'Carol' });
    await sleep(7500);
    call.faults.handshake = { status: 503, times: Infinity };
    call.dropSideband({ reset: true });
    await sleep(5000);
    assert.equal((await rigged.made.get(`/calls/${rigged.id}/actions`)).actions[0].state, 'doing', 'nobody can know');
    call.end('referred', 'client');
    delete call.faults.handshake;
    await assertHandedOver(rigged, action);
  });

  test('we end the call while it is waited for: nobody knows', async (t) => {
    const { made, call, id, act, ended } = await live(t, { opts: { referOutcome: 'nothing' } });
    const action = await act('transfer', { to: 'Carol' });
    await waitFor(() => call.refers.length === 1, { what: 'the refer' });
    await call.say('goodbye');
    assert.equal((await actionOver(made, id, action)).state, 'uncertain');
    assert.equal((await ended()).reason, 'assistant_ended');
    await waitFor(async () => (await made.get(`/calls/${id}`)).outcome === 'answered', { what: 'the outcome' });
  });

  test('a body holds what its action takes, and nothing else', async (t) => {
    const { made, call, id, post } = await live(t);
    for (const [verb, body, why] of [['transfer', { to: 'Carol', mode: 'sideways' }, /mode is blind or warm/],
      ['transfer', { to: 'Carol', number: CAROL }, /does not take/], ['transfer', { to: 5 }, /does not take/],
      ['say', {}, /text is missing/], ['say', { text: ['x'] }, /does not take/], ['hangup', { now: 'yes' }, /does not take/],
      ['say', '[]', /no JSON object/], ['say', '{', /no JSON object/]]) {
      const res = await post(verb, body);
      assert.equal(res.status, 400, `${verb} ${JSON.stringify(body)}: ${res.status} ${res.text}`);
      assert.match(res.json.error, why);
    }
    assert.equal((await made.host.api(`/calls/${id}/say`)).status, 405);
    assert.equal(made.rows('SELECT count(*) AS n FROM action')[0].n, 0);
    call.hangup();
  });

  test('whom it may lead to is decided here, and nothing else is sent', async (t) => {
    const { made, call, post } = await live(t);
    for (const [to, error] of [['Mallory', 'no_target'], ['Premium', 'denied'], ['+15559000001', 'denied'],
      ['+4930123456', 'not_allowed'], ['+1911', 'no_target'], ['+19005551234', 'premium'], ['sip:mallory@example.com', 'no_target'],
      ['tel:+15551230009', 'no_target'], ['', 'no_target']]) {
      const res = await post('transfer', { to });
      assert.equal(res.status, 403, `${to}: ${res.status} ${res.text}`);
      assert.equal(res.json.error, error, `${to}: ${res.text}`);
    }
    assert.equal(refers(call).length, 0);
    assert.equal(made.rows('SELECT count(*) AS n FROM action')[0].n, 0);
    call.hangup();
  });
});

describe('the model refers', { concurrency: 4 }, () => {
  /* A model that calls the tool with these arguments when the caller asks, and says what came of it. */
  const asks = (args) => (ctx) => (ctx.callerText && !ctx.outputs.length && /carol/i.test(ctx.callerText)
    && !ctx.call.toolCalls.size ? { items: [{ say: 'I connect you. Goodbye.' }, { call: 'transfer_call', args }] } : null);
  const caller = (args) => ({ brain: asks(args), script: [{ wait: 'greeting' }, { caller: 'Give me Carol.' },
    { waitEnd: true }] });

  test('to a name of the list', async (t) => {
    const rigged = await live(t, { opts: { ...caller({ to: 'Carol' }), referMs: 1000 } });
    await waitFor(() => rigged.call.refers.length === 1, { what: 'the refer', timeoutMs: 10000 * slower });
    assert.deepEqual(rigged.call.refers, [`tel:${CAROL}`]);
    const accepted = requestsOf(rigged.call, 'accept').at(-1).body;
    const tool = accepted.tools.find((each) => each.name === 'transfer_call');
    assert.deepEqual(Object.keys(tool.parameters.properties), ['to'], 'nobody can be asked first');
    assert.equal(accepted.tools.some((each) => ['hold', 'invite', 'send_dtmf'].includes(each.name)), false);
    const { actions } = await rigged.made.get(`/calls/${rigged.id}/actions`);
    await assertHandedOver(rigged, actions[0].id);
  });

  for (const [name, args, words] of [
    ['warm', { to: 'Carol', warm: true }, /asked first/], ['a number', { to: '+15551230002' }, /did not work/],
    ['an address', { to: 'sip:mallory@evil.example' }, /did not work/],
    ['a name that is denied', { to: 'Premium' }, /did not work/],
  ]) {
    test(`not ${name}`, async (t) => {
      const { made, call, id } = await live(t, { opts: caller(args) });
      await waitFor(() => outputsOf(call).length === 1, { what: 'the output', timeoutMs: 10000 * slower });
      assert.match(outputsOf(call)[0].output, words);
      assert.equal(refers(call).length, 0);
      assert.equal((await made.get(`/calls/${id}`)).state, 'live');
      call.hangup();
    });
  }

  test('a stranger has no such tool, and gets nowhere by its name', async (t) => {
    const made = await rig(t, { changes: { security: { voice: { ...changes.security.voice,
      unknown_caller_policy: 'allow' } } } });
    const call = made.call({ from: STRANGER, ...caller({ to: 'Carol' }) });
    await waitFor(() => outputsOf(call).length === 1, { what: 'the output', timeoutMs: 10000 * slower });
    const accepted = requestsOf(call, 'accept').at(-1).body;
    assert.equal(accepted.tools.some((tool) => tool.name === 'transfer_call'), false);
    assert.equal(refers(call).length, 0);
    call.hangup();
  });
});

describe('a restart between the refer and its end', { concurrency: 5 }, () => {
  /* Asks for a transfer, dies when the provider has it, and lives again. */
  async function die(t, opts, { pauseMs = 0, between = () => {} } = {}) {
    const rigged = await live(t, { opts });
    const action = await rigged.act('transfer', { to: 'Carol' });
    await waitFor(() => rigged.call.refers.length === 1, { what: 'the refer' });
    await sleep(pauseMs);
    await rigged.made.host.kill();
    await between(rigged);
    await rigged.made.start();
    return { ...rigged, action };
  }

  test('the call is closed after it', async (t) => {
    const rigged = await die(t, { referMs: 3000 }, { pauseMs: 300 });
    await assertHandedOver(rigged, rigged.action);
  });

  test('the call is closed while we are down', async (t) => {
    const rigged = await die(t, { referMs: 300 }, { pauseMs: 100, between: ({ call }) => call.done });
    await assertHandedOver(rigged, rigged.action);
  });

  test('the call stays: failed', async (t) => {
    const { made, call, id, action } = await die(t, { referOutcome: 'nothing' }, { pauseMs: 500 });
    const over = await actionOver(made, id, action, 30000);
    assert.deepEqual([over.state, over.error], ['failed', 'the provider agreed, but the call is still here']);
    assert.equal(refers(call).length, 1);
    call.hangup();
  });

  test('the answer never came and the call stays: uncertain', async (t) => {
    const { made, call, id, action } = await die(t,
      { referOutcome: 'nothing', faults: { refer: { afterMs: 3000, apply: true } } });
    const over = await actionOver(made, id, action, 30000);
    assert.equal(over.state, 'uncertain', JSON.stringify(over));
    assert.equal(refers(call).length, 1);
    call.hangup();
    assert.equal((await made.ended(call)).reason, 'caller_hung_up');
  });

  test('asked for and not begun: it is done by the next instance, once', async (t) => {
    const rigged = await live(t, { opts: { referMs: 800 } });
    const said = await rigged.act('say', { text: 'A moment.' }); // it has a line
    await actionOver(rigged.made, rigged.id, said);
    await rigged.made.host.kill();
    putAction(rigged.made, rigged.id, 'act_transfer', 'transfer', { to: CAROL, party: 'Carol', mode: 'blind' });
    putAction(rigged.made, rigged.id, 'act_changed', 'transfer', { to: '+15551239999', party: 'Carol', mode: 'blind' });
    await rigged.made.start();
    const changed = await actionOver(rigged.made, rigged.id, 'act_changed');
    assert.deepEqual([changed.state, changed.error],
      ['failed', 'the configuration does not allow this number any more']);
    await assertHandedOver(rigged, 'act_transfer');
  });
});
