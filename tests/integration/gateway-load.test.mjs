/* SPDX-License-Identifier: MIT */
// t-limit: 600
/*
 * The real gateway under load: its thread blocked for long, and its channel drained, while calls come at a steady rate and
 * others are live. `make test-long` blocks it for 60 s.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test as nodeTest } from 'node:test';
import { pluginDir } from '../lib/gateway.mjs';
import { projectDir, sleep, slower, waitFor } from '../lib/util.mjs';
import { exchange, number, rigFor, skip } from './gateway-load-kit.mjs';
import { LONG, heard, outputsOf, requestsOf } from './native-kit.mjs';

const BLOCK_MS = LONG ? 60000 : 10000;
const RATE = 8; // new calls a second
const FILLER_MS = 2000;
const PROGRESS_MS = 5000;
const TOOL_MS = LONG ? 45000 : 6000; // less than the block: all answers are late ones
const test = (name, run) => nodeTest(name, { skip }, run);

const rig = rigFor({
  call: { filler_after_ms: FILLER_MS, progress_every_ms: PROGRESS_MS, tool_timeout_ms: TOOL_MS },
  config: { plugins: { allow: ['telegram', 'memory-core', 'voice', 'blocker'], entries: { blocker: { enabled: true } },
    load: { paths: [pluginDir, path.join(projectDir, 'tests/lib/blocker-plugin')] } } },
});

const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];
const gatewayAnswers = () => fetch(`${rig.gateway.url}/startupz`, { signal: AbortSignal.timeout(1000) }).then(() => true, () => false);

/* The longest time in which the caller heard nothing, between two moments. */
function longestSilence(spans, from, to) {
  let [quiet, longest] = [from, 0];
  for (const { started, stopped } of spans.filter((s) => (s.stopped ?? Infinity) > from && s.started < to)) {
    longest = Math.max(longest, started - quiet);
    quiet = Math.max(quiet, stopped ?? to);
  }
  return Math.max(longest, to - quiet);
}

test(`a gateway whose thread is blocked for ${BLOCK_MS / 1000} s, under load`, async (t) => {
  const ASKING = 6;
  rig.model.rules.unshift({ match: /number of (\d+)\?/, reply: ({ match }) => `It is ${match[1]} hundred.` });
  const live = await Promise.all(Array.from({ length: 14 }, (_, n) => rig.greeted({ from: number(n) })));
  const asking = live.slice(0, ASKING);
  const spans = asking.map(heard);
  await rig.gateway.rpc('blocker.block', { ms: BLOCK_MS });
  const began = Date.now();
  await waitFor(async () => !await gatewayAnswers(), { what: 'the block' });
  const asked = await Promise.all(asking.map(async (made, n) => {
    await made.say(`What is the number of ${n + 1}?`);
    await waitFor(() => made.toolCalls.size === 1, { what: 'the question' });
    return Date.now();
  }));

  const stop = rig.steady(t, RATE, { script: [{ wait: 'greeting', ms: 60000 }, { caller: 'goodbye', ms: 60000 }, { waitEnd: true, ms: 60000 }] });
  let spoken = 0;
  while (Date.now() - began < BLOCK_MS - 1500) { // those that are live are served on
    await Promise.all(live.slice(ASKING).map((made) => exchange(made, 'Are you listening.')));
    spoken += 1;
  }
  const calls = stop();
  assert.equal(await gatewayAnswers(), false, 'it was blocked all the time');
  const first = calls.map((made) => made.deliveries[0]).filter((d) => d?.status !== undefined);
  t.diagnostic(`${first.length} webhooks, p50 ${quantile(first.map((d) => d.ms), 0.5).toFixed(1)} ms, p99 ${
    quantile(first.map((d) => d.ms), 0.99).toFixed(1)} ms; each of ${live.length - ASKING} live calls answered ${spoken} times`);
  assert.ok(calls.length >= RATE * (BLOCK_MS / 1000 - 4) * 0.7, `${calls.length} calls`);
  assert.ok(spoken >= 2);
  assert.ok(quantile(first.map((d) => d.ms), 0.99) < 2000 * slower);
  const silent = spans.map((each, n) => longestSilence(each, asked[n], Math.min(asked[n] + TOOL_MS, Date.now())));
  t.diagnostic(`longest silence of callers who wait for the agent: ${Math.max(...silent)} ms`);
  assert.ok(Math.max(...silent) < PROGRESS_MS + 2500 * slower, `silent for ${silent} ms`);

  await waitFor(gatewayAnswers, { timeoutMs: BLOCK_MS, what: 'the end of the block' });
  t.diagnostic(`it answers again after ${Date.now() - began} ms`);
  for (const made of calls) {
    const shown = await rig.over(made);
    assert.equal(made.result.scriptError, null);
    assert.equal(shown.reason, 'assistant_ended');
    assert.deepEqual(made.deliveries.map((d) => d.status), [200], 'taken at once');
    assert.equal(requestsOf(made, 'accept').length, 1);
  }
  await Promise.all(asking.map(async (made, n) => {
    const answer = `${n + 1} hundred`;
    const told = () => made.turns.filter((turn) => turn.who === 'assistant' && turn.text.includes(answer));
    await waitFor(() => told().length > 0, { timeoutMs: 60000, what: `the late answer of call ${n}` });
    await sleep(500);
    assert.equal(told().length, 1, 'told once');
    assert.equal(outputsOf(made).length, 1, 'one output');
    assert.doesNotMatch(outputsOf(made)[0].output, new RegExp(answer), 'it said honestly that it is not finished');
    const why = (await rig.gateway.api(`/calls/${made.callId}/why`)).json.hops.map((hop) => hop.hop);
    assert.ok(why.includes('tool_timeout') && why.filter((hop) => hop === 'tool_late').length === 1, why.join(' '));
  }));
  await Promise.all(live.map(async (made) => {
    assert.equal(made.attachments, 1, `no sideband was lost:\n${await rig.whyOf(made)}`);
    made.hangup();
    assert.equal((await rig.over(made)).reason, 'caller_hung_up');
  }));
});

test('draining in the gateway: new calls are refused, live ones go on, and it is taken back', async () => {
  const live = await rig.greeted({ from: number(0) });
  const begun = await rig.gateway.rpc('voice.drain', { seconds: 60 });
  assert.deepEqual([begun.status, begun.draining.live], ['draining', 1]);
  await assert.rejects(rig.gateway.rpc('voice.drain', { seconds: 5000 }), /seconds/);
  const refused = Array.from({ length: 5 }, () => rig.call());
  for (const made of refused) {
    assert.deepEqual([(await made.done).reason, made.result.sipCode], ['rejected', 480]);
    assert.equal((await rig.over(made)).reason, 'refused_draining');
  }
  assert.equal((await rig.gateway.api('/ready', { token: null })).status, 503);
  assert.equal((await rig.gateway.rpc('voice.status')).status, 'draining');
  await exchange(live, 'Do you hear me.');
  assert.deepEqual(await rig.gateway.rpc('voice.drain', { cancel: true }), { status: 'ok' });
  assert.equal((await rig.gateway.api('/ready', { token: null })).status, 200);
  const next = await rig.greeted();
  [live, next].forEach((made) => made.hangup());
  await Promise.all([rig.over(live), rig.over(next)]);
});
