/* SPDX-License-Identifier: MIT */
/*
 * Accept, sideband, hang-up and transcript over real sockets, against the simulated service and its
 * faults. What was said is known there, and must be what is written down here.
 */
import { after, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { startOpenAI } from '../sim/index.mjs';
import { makeCerts } from '../lib/certs.mjs';
import { run } from './cli.mjs';

const open = [];
after(() => Promise.all(open.map((sim) => sim.close())));

const talk = [{ wait: 'greeting' }, { caller: 'What time is it? And where am I?' },
  { wait: 'assistant' }, { caller: 'Thank you.' }, { wait: 'assistant' }, { dtmf: '#' },
  { waitEnd: true }];
const brain = (ctx) => ({ items: [{ say: ctx.first ? 'Good morning, who is calling, please?'
  : `It is nine o'clock in the morning, and you asked: ${ctx.callerText}` }] });

/** One call by rt_net_cli: {sim, call, lines, one, accepts}; one(name) is the line that has it. */
async function callWith({ simOpts = {}, callOpts = {}, args = [] }) {
  const sim = await startOpenAI({ brain, ...simOpts });
  open.push(sim);
  const call = sim.call({ announce: false, ...callOpts });
  const lines = await run('rt_net_cli', [sim.url, sim.apiKey, call.callId, ...args]);
  const one = (name) => lines.find((line) => name in line);
  assert.deepEqual(one('end'), { end: 0 }, 'the loop closed with nothing left open');
  assert.equal(one('timeout'), undefined);
  const accepts = call.requests.filter((r) => /accept$/.test(r.path ?? r.url));
  return { sim, call, lines, one, accepts };
}

function assertTold(call, turns) {
  assert.deepEqual(call.scriptError, null);
  assert.deepEqual(turns.map((t) => [t.item_id, t.who]), call.turns.map((t) => [t.item_id, t.who]));
  call.turns.forEach((t, i) => {
    assert.equal(turns[i].interrupted, t.interrupted, t.text);
    if (!t.interrupted) {
      assert.equal(turns[i].text, t.text);
      return;
    }
    const { text } = turns[i];
    assert.ok(t.text.startsWith(text) && text.length < t.text.length, `"${text}" of "${t.text}"`);
    const rest = t.text.slice(text.length);
    assert.ok(text === '' || /^[\s.,?!]/.test(rest), `"${text}": no word ends there`);
    assert.ok(Math.abs(text.length - t.heard.length) <= 20, `"${text}" is far from "${t.heard}"`);
  });
}

describe('a call', () => {
  const variants = {
    'plain': {},
    'in fragments, with nulls': {
      faults: { sideband: { fragment: true, pingMs: 20 }, nulls: true } },
    'with events told twice': { faults: { events: [
      { type: 'conversation.item.input_audio_transcription.completed', action: 'duplicate',
        times: 9 },
      { type: 'response.done', action: 'duplicate', times: 9 },
      { type: 'input_audio_buffer.committed', action: 'duplicate', times: 9 }] } },
    'with transcriptions before their items': { faults: { events: [
      { type: 'conversation.item.added', action: 'swap', times: 9 }] } },
  };
  for (const [name, callOpts] of Object.entries(variants))
    test(`is written down: ${name}`, async () => {
      const { sim, call, lines, one } = await callWith({ callOpts: { script: talk, ...callOpts } });
      assert.equal(one('accept').accept, 200);
      assert.equal(one('hangup').hangup, 200);
      assert.equal(one('lost').ws_code, 1000);
      assertTold(call, one('turns').turns);
      assert.ok(one('turns').turns.length >= 5, JSON.stringify(lines));
      sim.assertClean();
    });

  for (const truncatedLate of [false, true])
    test(`is cut where the caller breaks in, ${truncatedLate ? 'late' : 'early'}`, async () => {
      const script = [{ wait: 'greeting' }, { caller: 'Tell me all.' },
        { caller: 'Stop, that is enough.', bargeIn: true, afterMs: 1500 }, { wait: 'assistant' },
        { dtmf: '#' }, { waitEnd: true }];
      const { call, one } = await callWith({ callOpts: { script, faults: { truncatedLate } } });
      const { turns } = one('turns');
      assertTold(call, turns);
      assert.equal(turns.filter((t) => t.interrupted).length, 1, JSON.stringify(turns));
    });

  test('goes over TLS', async () => {
    const { server, caFile } = makeCerts();
    const { call, one } = await callWith({ simOpts: { tls: server }, callOpts: { script: talk },
      args: [caFile] });
    assert.equal(one('accept').accept, 200);
    assertTold(call, one('turns').turns);
  });

  for (const name of ['expired', 'wrongHost', 'unknownCa'])
    test(`is not accepted under a bad certificate: ${name}`, async () => {
      const certs = makeCerts();
      const { call, one } = await callWith({ simOpts: { tls: certs[name] }, args: [certs.caFile] });
      const { accept, err, maybe_sent: maybeSent, detail } = one('accept');
      assert.equal(accept, 0);
      assert.ok(err < 0);
      assert.equal(maybeSent, false);
      assert.notEqual(detail, '');
      assert.equal(call.state, 'pending');
    });
});

describe('an accept', () => {
  const cases = [
    { name: 'a 503 is tried again', accept: { status: 503 }, status: 200, tries: 2 },
    { name: 'a 429 is tried again', accept: { status: 429, headers: { 'retry-after': '1' } },
      status: 200, tries: 2 },
    { name: 'a 404 is tried again', accept: { status: 404, afterMs: 300 }, status: 200, tries: 2 },
    { name: 'a reset is tried again', accept: { reset: true }, status: 200, tries: 2 },
    { name: 'a second 404 is told', accept: { status: 404, times: Infinity }, status: 404,
      tries: 2 },
    { name: 'a second 500 is told', accept: { status: 500, times: Infinity }, status: 500,
      tries: 2, tryIt: true },
    { name: 'a 401 is told', accept: { status: 401 }, status: 401, tries: 1 },
    { name: 'a 400 is told', accept: { status: 400 }, status: 400, tries: 1 },
    { name: 'an answer that was lost leaves a doubt', accept: { reset: true, apply: true },
      tries: 2, tryIt: true },
  ];
  for (const c of cases)
    test(c.name, async () => {
      const callOpts = { script: talk, faults: { accept: c.accept } };
      const { call, one, accepts } = await callWith({ callOpts });
      const answer = one('accept');
      if (c.status !== undefined)
        assert.equal(answer.accept, c.status, JSON.stringify(answer));
      assert.equal(answer.maybe_sent, c.status === 200 || c.tryIt === true, JSON.stringify(answer));
      assert.equal(accepts.length, c.tries);
      if (c.status === 200 || c.accept.apply)
        assertTold(call, one('turns').turns);
    });
});

describe('a sideband', () => {
  test('tells the status of a refused handshake', async () => {
    const { one } = await callWith({ callOpts: { faults: { handshake: { status: 404 } } } });
    assert.equal(one('lost').http_status, 404);
  });
  test('tells a close code', async () => {
    const faults = { sideband: { dropAfterEvents: 3, dropCode: 1011 } };
    const { one } = await callWith({ callOpts: { faults } });
    assert.equal(one('lost').ws_code, 1011);
  });
  test('tells a reset', async () => {
    const faults = { sideband: { dropAfterEvents: 3, dropReset: true } };
    const { one } = await callWith({ callOpts: { faults } });
    assert.ok(one('lost').err < 0, JSON.stringify(one('lost')));
  });
});
