/* SPDX-License-Identifier: MIT */
// 500 calls at once through one host: all that was said is stored, and no call disturbs another.
// t-limit: 400 t-alone
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processUse, slower, waitFor } from '../lib/util.mjs';
import { KNOWN, assertTurns, requestsOf, rig } from './native-kit.mjs';

const CALLS = 500;

/* Each call says things that no other says. */
function script(n) {
  const turns = [{ wait: 'greeting', ms: 50000 }];
  for (let i = 0; i < 1 + (n % 3); i += 1)
    turns.push({ caller: `Call ${n} says number ${i}.`, ms: 50000 }, { wait: 'assistant', ms: 50000 });
  if (n % 4 === 0)
    turns.push({ caller: `What is the answer for ${n}?`, ms: 50000 }, { wait: 'tool', ms: 50000 },
      { wait: 'assistant', ms: 50000 });
  if (n % 5 === 0)
    return [...turns, { silence: 500 }, { hangup: true }];
  return [...turns, { caller: 'goodbye', ms: 50000 }, { waitEnd: true, ms: 50000 }];
}

test(`${CALLS} calls at once, every turn stored and none lost`, async (t) => {
  const made = await rig(t, { sim: { speed: 10, validate: 0.05 }, rules: [{ match: /for (\d+)/,
    reply: ({ match }) => `It is ${match[1]} times two.` }],
  changes: { channels: { voice: { call: { max_concurrent: CALLS } } }, logging: { voice: { level: 'warn' } } } });
  const idle = processUse(made.host.pid);
  const began = Date.now();
  const calls = Array.from({ length: CALLS }, (_, n) => made.call({ from: KNOWN, script: script(n),
    ringMs: 60000 }));
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, calls.filter((call) => call.state === 'live').length);
  }, 20);
  await Promise.all(calls.map((call) => call.done));
  clearInterval(watch);
  const tookMs = Date.now() - began;
  const over = () => made.host.events.filter((e) => e.event === 'call.ended').length;
  await waitFor(() => over() >= CALLS, { timeoutMs: 10000, what: `${CALLS} ends (${over()})` });
  assert.equal(over(), CALLS);
  // Where all is slower, the first are over before the last are live.
  assert.ok(most > CALLS * (slower > 1 ? 0.1 : 0.9), `${most} of them at one time`);
  assert.ok(tookMs < 55000 * slower, `took ${tookMs} ms`);

  for (const call of calls) {
    assert.equal(call.scriptError, null, `call ${calls.indexOf(call)}`);
    assert.equal(requestsOf(call, 'accept').length, 1);
    // So many handshakes at once may exceed the sideband's own limit where all is slower; then it tries again.
    assert.ok(call.attachments === 1 || (slower > 1 && call.attachments <= 4),
      `${call.attachments} sidebands of ${calls.indexOf(call)}`);
    assert.equal(call.activeResponseErrors, 0);
  }
  const rows = made.rows('SELECT c.openai_call_id AS id, t.item_id, t.who, t.text, t.interrupted FROM turn t '
    + 'JOIN call c ON c.id = t.call ORDER BY t.call, t.pos, t.n');
  const stored = Map.groupBy(rows, (row) => row.id);
  let turns = 0;
  for (const call of calls) {
    const got = (stored.get(call.callId) ?? []).map((row) => ({ ...row, interrupted: row.interrupted === 1 }));
    assertTurns(got, call);
    turns += got.length;
  }
  assert.equal(turns, calls.reduce((sum, call) => sum + call.turns.length, 0));
  assert.equal(rows.length, turns, 'and nothing else');

  // The API tells what the database has, for a few of them.
  for (const call of [calls[0], calls[123], calls[499]]) {
    const { transcript, call: row } = await made.story(call);
    assertTurns(transcript.turns, call);
    assert.equal(row.state, 'over');
  }
  assert.equal((await made.get('/calls?limit=1000')).calls.length, CALLS);
  // What is kept warm: 128 connections to OpenAI, 32 to the gateway, and 128 from the webhooks' sender.
  await waitFor(() => processUse(made.host.pid).files <= idle.files + 300, { timeoutMs: 5000,
    what: 'closed connections' });
  assert.equal(processUse(made.host.pid).threads, idle.threads, 'no thread more');
  t.diagnostic(`${turns} turns in ${tookMs} ms, ${most} calls at one time, RSS ${
    Math.round((processUse(made.host.pid).rssKiB - idle.rssKiB) / 1024)} MiB over idle`);
});
