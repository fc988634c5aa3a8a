/* SPDX-License-Identifier: MIT */
// What calls cost, and what limits do: counted once whatever happens, warned of, ended, refused.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { runHost } from '../lib/host.mjs';
import { waitFor } from '../lib/util.mjs';
import { BOB, OWN, lineRig } from './line-kit.mjs';
import { KNOWN, STRANGER, creates, requestsOf, rig } from './native-kit.mjs';

/* USD for a token, as OpenAI publishes it for gpt-realtime-2.1, and for a minute of gpt-transcribe. */
const M = 1e-6;
const MINUTE = 0.0045;

const usdOf = (u) => {
  const input = u.input_token_details;
  const cached = input.cached_tokens_details;
  return ((input.text_tokens - cached.text_tokens) * 4 + cached.text_tokens * 0.4
    + (input.audio_tokens - cached.audio_tokens) * 32 + cached.audio_tokens * 0.4
    + u.output_token_details.text_tokens * 24 + u.output_token_details.audio_tokens * 64) * M;
};

const spoken = (call) => call.serverEvents.map(({ event }) => event)
  .filter((event) => event.type === 'response.done' && event.response.usage)
  .map((event) => usdOf(event.response.usage));

const heard = (call) => call.serverEvents.map(({ event }) => event)
  .filter((event) => /transcription.completed$/.test(event.type))
  .map((event) => event.usage.total_tokens / 600 * MINUTE);

const sum = (list) => list.reduce((a, b) => a + b, 0);
const costOf = (call) => sum(spoken(call)) + sum(heard(call));

const near = (got, want, what) => assert.ok(Math.abs(got - want) < 1e-6, `${what}: ${got}, not ${want}`);

const limits = (costs, more = {}) => ({ costs: { voice: costs }, ...more });

/* The caller talks on and on. */
const chat = (n = 40) => [{ wait: 'greeting' },
  ...Array.from({ length: n }, (_, i) => [{ caller: `And then there is point ${i} of my long list.` },
    { wait: 'assistant' }]).flat(), { waitEnd: true }];

const bye = [{ caller: 'goodbye' }, { waitEnd: true }];
const brief = [{ wait: 'greeting' }, ...bye];

describe('what a call costs', () => {
  test('is told by call, list, status and why as the tokens say', async (t) => {
    const made = await rig(t, { changes: limits({ per_day_usd: 100 }) });
    const call = made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { caller: 'Hello you.' },
      { wait: 'assistant' }, ...bye] });
    await call.done;
    await made.ended(call);
    const { call: row, why } = await made.story(call);
    assert.ok(costOf(call) > 0.001);
    near(row.cost_usd, costOf(call), 'cost_usd');
    near(why.cost_usd, costOf(call), 'in why');
    near((await made.get('/calls')).calls[0].cost_usd, costOf(call), 'in the list');
    const { costs } = await made.get('/status');
    near(costs.spent_usd, costOf(call), 'spent today');
    assert.deepEqual([costs.per_call_usd, costs.per_caller_day_usd, costs.per_day_usd], [null, null, 100]);
    assert.match(costs.day, /^20\d\d-\d\d-\d\d$/);
  });

  test('counts each response once over kill -9 in mid-call', async (t) => {
    const made = await rig(t, { changes: limits({ per_day_usd: 100 }) });
    const call = made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { caller: 'Hello you.' },
      { wait: 'assistant' }, { do: crash }, { caller: 'Still there?' }, { wait: 'assistant' }, ...bye] });
    /* What was told is durable, and nothing is told to nobody. */
    async function crash() {
      await waitFor(() => Math.abs(made.rows('SELECT sum(nano) AS n FROM charge')[0].n / 1e9 - costOf(call)) < 1e-6
        && heard(call).length === 1, { what: 'rows of all that was told' });
      await made.restart();
      await made.host.waitEvent('call.live', (event) => event.reattached);
    }
    const result = await call.done;
    assert.equal(result.scriptError, null);
    assert.equal(spoken(call).length, 4);
    await made.ended(call);
    const { call: row } = await made.story(call);
    near(row.cost_usd, costOf(call), 'over both runs');
    assert.equal(row.usage.responses, spoken(call).length);
    near((await made.get('/status')).costs.spent_usd, costOf(call), 'today');
    await made.restart();
    await waitFor(async () => Math.abs((await made.get('/status')).costs.spent_usd - costOf(call)) < 1e-6,
      { what: 'today, after another restart' });
  });

  test('is not known without a price, and then not limited', async (t) => {
    const made = await rig(t, { changes: { channels: { voice: { openai: { model: 'gpt-realtime-9' } } } } });
    const call = made.call({ from: KNOWN, script: brief });
    await call.done;
    await made.ended(call);
    assert.equal((await made.story(call)).call.cost_usd, null);
  });

  test('follows prices of the configuration', async (t) => {
    const prices = { 'gpt-realtime-2.1': '0/0/0 0/0/1000', 'gpt-transcribe': '0.000001/min' };
    const made = await rig(t, { changes: limits({ prices }) });
    const call = made.call({ from: KNOWN, script: brief });
    await call.done;
    await made.ended(call);
    const tokens = sum(call.serverEvents.map(({ event }) => event).filter((event) => event.type === 'response.done'
      && event.response.usage).map((event) => event.response.usage.output_token_details.audio_tokens));
    near((await made.story(call)).call.cost_usd, tokens * 0.001, 'cost_usd');
  });
});

describe('a limit', () => {
  test('for one call: a warning, one goodbye, the end', async (t) => {
    const cap = 0.05;
    const made = await rig(t, { changes: limits({ per_call_usd: cap }) });
    const call = made.call({ from: KNOWN, script: chat() });
    await call.done;
    const end = await made.ended(call, 60000);
    assert.equal(end.reason, 'cost_limit');
    assert.match(end.detail, /per_call_usd/);
    const said = creates(call).map((e) => e.event.response?.instructions ?? '');
    assert.equal(said.filter((text) => /nearly used up/.test(text)).length, 1, 'one warning');
    assert.equal(said.filter((text) => /used up\. In the language/.test(text)).length, 1, 'one goodbye');
    assert.match(said.at(-1), /used up\. In the language/, 'nothing is asked for after the goodbye');
    const { call: row, why } = await made.story(call);
    const paid = spoken(call);
    const over = paid.filter((_, i) => sum(paid.slice(0, i + 1)) + sum(heard(call)) > cap);
    assert.ok(over.length <= 2, `one may cross the limit, and the goodbye: ${paid}`);
    assert.ok(row.cost_usd > cap - 2 * Math.max(...paid), `${row.cost_usd} is much less than ${cap}`);
    near(row.cost_usd, costOf(call), 'cost_usd');
    const hops = why.hops.map((hop) => hop.hop);
    assert.ok(hops.indexOf('cost_warning') > 0 && hops.indexOf('cost_warning') < hops.indexOf('goodbye'), hops.join(' '));
    assert.match(why.summary, /limit/);
    assert.ok(why.cause && why.cure);
    assert.equal(requestsOf(call, 'hangup').length, 1);
  });

  test('for a day: live calls all end, later ones are busy, a restart changes nothing', async (t) => {
    const cap = 0.08;
    const made = await rig(t, { changes: limits({ per_day_usd: cap }) });
    const calls = [made.call({ from: KNOWN, script: chat() }), made.call({ from: STRANGER, script: chat() }),
      made.call({ from: '+15550001111', script: [{ wait: 'greeting' }, { waitEnd: true }] })];
    for (const call of calls) {
      await call.done;
      assert.deepEqual((await made.ended(call, 60000)).reason, 'cost_limit');
    }
    const spent = sum(calls.map(costOf));
    const dearest = sum(calls.map((call) => Math.max(...spoken(call))));
    assert.ok(spent <= cap + dearest, `${spent} of ${cap}: at most a response a call over it`);
    const refused = async () => {
      const call = made.call({ from: KNOWN, script: brief });
      const result = await call.done;
      assert.deepEqual([result.reason, result.sipCode], ['rejected', 486]);
      assert.equal(requestsOf(call, 'accept').length, 0);
      assert.equal((await made.ended(call)).reason, 'refused_cost');
      const { why } = await made.story(call);
      assert.match(why.detail, /per_day_usd/);
      assert.ok(why.cause && why.cure);
    };
    if (spent < cap)
      return t.diagnostic('the limit was kept with room to spare');
    await refused();
    await made.restart();
    return refused();
  });

  test('for one number leaves others alone', async (t) => {
    const made = await rig(t, { changes: limits({ per_caller_day_usd: 0.001 }) });
    const first = made.call({ from: KNOWN, script: brief });
    await first.done;
    await made.ended(first);
    const again = made.call({ from: KNOWN, script: brief });
    assert.equal((await again.done).sipCode, 486);
    assert.match((await made.ended(again)).detail, /per_caller_day_usd/);
    const other = made.call({ from: STRANGER, script: brief });
    assert.equal((await other.done).answered, true);
    await made.ended(other);
    assert.equal(made.rows('SELECT count(DISTINCT number) AS n FROM charge')[0].n, 2);
  });

  test('of a day ends at midnight where the configuration says', async (t) => {
    /* Of these two one has another date than the other at any hour, and the second is always a day or two behind. */
    const [east, west] = ['Pacific/Kiritimati', 'Etc/GMT+12'];
    const day = (zone) => new Intl.DateTimeFormat('en-CA', { timeZone: zone }).format(new Date());
    const of = (zone) => ({ changes: limits({ per_day_usd: 0.001, time_zone: zone }) });
    const made = await rig(t, of(east));
    const first = made.call({ from: KNOWN, script: brief });
    await first.done;
    await made.ended(first);
    assert.equal((await made.get('/status')).costs.day, day(east));
    const over = made.call({ from: KNOWN, script: brief });
    assert.equal((await over.done).sipCode, 486);
    await made.ended(over);
    await made.restart(of(west));
    const { costs } = await made.get('/status');
    assert.equal(costs.day, day(west));
    assert.equal(costs.spent_usd, 0, 'another day');
    const next = made.call({ from: KNOWN, script: brief });
    assert.equal((await next.done).answered, true);
    await made.ended(next);
    await made.restart(of(east));
    await waitFor(async () => (await made.get('/status')).costs.spent_usd > 0, { what: 'the first day\'s rows' });
    near((await made.get('/status')).costs.spent_usd, costOf(first), 'what that day cost');
  });

  test('with a model of unknown price is a fault of the configuration', async (t) => {
    const made = await rig(t, { start: false });
    const config = made.config(limits({ per_day_usd: 5 }, { channels: { voice: { openai: {
      model: 'gpt-realtime-9', transcription_model: 'gpt-writer-9' } } } }));
    const refused = await runHost({ config });
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /costs\.voice\.per_day_usd: the price of .?gpt-realtime-9.? .*costs\.voice\.prices/);
    const nonsense = await runHost({ config: made.config(limits({ per_call_usd: '-3', time_zone: 'Mars/Base',
      prices: { x: 'cheap' } })) });
    for (const key of ['per_call_usd', 'time_zone', 'prices'])
      assert.match(nonsense.stderr, new RegExp(`costs\\.voice\\.${key}: `));
  });

  test('with such a model in the personality file refuses the call, and says why', async (t) => {
    const made = await rig(t, { changes: limits({ per_day_usd: 5 }) });
    fs.writeFileSync(path.join(made.host.dir, 'agent.json'), JSON.stringify({ name: 'Ada', model: 'gpt-realtime-9' }));
    const call = made.call({ from: KNOWN, script: brief });
    assert.equal((await call.done).sipCode, 486);
    const end = await made.ended(call);
    assert.equal(end.reason, 'refused_cost');
    assert.match(end.detail, /costs\.voice\.prices/);
  });
});

describe('calls from one number', () => {
  test('are limited, and each delivery is answered 200', async (t) => {
    const made = await rig(t, { changes: { channels: { voice: { call: { max_per_caller_hour: 2 } } } } });
    for (let i = 0; i < 2; i += 1) {
      const call = made.call({ from: STRANGER, script: brief });
      assert.equal((await call.done).answered, true);
      await made.ended(call);
    }
    const third = made.call({ from: STRANGER, script: brief });
    const result = await third.done;
    assert.deepEqual([result.reason, result.sipCode], ['rejected', 486]);
    const end = await made.ended(third);
    assert.equal(end.reason, 'refused_rate');
    assert.match(end.detail, /max_per_caller_hour/);
    const { why } = await made.story(third);
    assert.ok(why.cause && why.cure);
    const other = made.call({ from: KNOWN, script: brief });
    assert.equal((await other.done).answered, true);
    for (let i = 0; i < 3; i += 1) {
      const withheld = made.call({ from: null, script: brief });
      assert.equal((await withheld.done).answered, i < 2, 'callers without a number count as one');
    }
  });
});

test('many calls at once from one number: no more are taken than one after another', async (t) => {
  const made = await rig(t, { changes: { channels: { voice: { call: { max_per_caller_hour: 3 } } } } });
  const calls = Array.from({ length: 12 }, () => made.call({ from: STRANGER, script: brief }));
  const results = await Promise.all(calls.map((call) => call.done));
  assert.equal(results.filter((result) => result.answered).length, 3);
  await Promise.all(calls.map((call) => made.ended(call)));
});

test('limits hold over a carrier, too: calls that are placed and calls that it brings', async (t) => {
  const made = await lineRig(t, { people: { [BOB]: { script: brief } },
    changes: limits({ per_day_usd: 0.001 }, { security: { voice: { unknown_caller_policy: 'allow' } } }) });
  const call = await made.over(await made.dial({ purpose: 'Say hello' }));
  assert.ok(call.cost_usd > 0.001, JSON.stringify(call));
  const refused = await made.host.api('/call', { method: 'POST', body: { to: BOB } });
  assert.deepEqual([refused.status, refused.json.error], [409, 'cost_limit']);
  assert.match(refused.json.detail, /per_day_usd/);
  made.twilio.dialIn({ from: '+15551237777', to: OWN, script: brief });
  const end = await waitFor(() => made.host.events.find((e) => e.event === 'call.ended' && e.reason === 'refused_cost'),
    { what: 'the refusal' });
  assert.match(end.detail, /per_day_usd/);
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertClean();
});
