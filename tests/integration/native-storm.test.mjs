/* SPDX-License-Identifier: MIT */
// 60 calls while the host is killed again and again, at random moments that OCV_SEED repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, randomOf, waitFor } from '../lib/util.mjs';
import { KNOWN, assertTold, requestsOf, rig } from './native-kit.mjs';

const CALLS = 60;
const KILLS = 8;
const SETTLE_MS = 150; // what was told so shortly before a kill may not be durable yet

/* A caller who is patient: a line that was away loses answers, and then nobody may wait for them. */
async function converse(call, next) {
  await call.waitEvent('output_audio_buffer.stopped', { timeoutMs: 30000 });
  const turns = 1 + Math.floor(next() * 3);
  for (let i = 0; i < turns; i += 1) {
    await call.sleep(100 + next() * 400);
    await waitFor(() => call.idle || call.over, { timeoutMs: 30000, what: 'quiet' });
    const words = next() < 0.4 ? `What is the answer to number ${i}?` : `I say number ${i}.`;
    const since = call.serverEvents.length;
    await call.say(words);
    await call.waitEvent('output_audio_buffer.stopped', { since, timeoutMs: 30000 });
  }
}

test(`${CALLS} calls and ${KILLS} kills`, async (t) => {
  const seed = Number(process.env.OCV_SEED ?? Date.now() % 1000000);
  t.diagnostic(`OCV_SEED=${seed}`);
  const next = randomOf(seed);
  const made = await rig(t, { sim: { speed: 20, validate: 0.2, timing: { ringMs: 60000 },
    retryMs: Array(60).fill(300) },
  rules: [{ match: /number/, delayMs: 400, reply: 'It is forty-two.', chunks: 3, chunkMs: 60 }],
  changes: { channels: { voice: { webhook: { port: await freePort() },
    call: { max_concurrent: 500, filler_after_ms: 1500 } } } } });
  const kills = [];
  const calls = [];
  const work = [];
  const begin = async (n) => {
    await sleep((n / CALLS) * 9000 * (0.7 + 0.3 * next()));
    const call = made.call({ from: KNOWN });
    calls.push(call);
    let most = 0;
    call.on('attached', () => {
      most = Math.max(most, call.sidebands.size);
      call.most = most;
    });
    await call.announced;
    await converse(call, next);
    if (next() < 0.3) {
      call.hangup();
    } else {
      await waitFor(() => call.idle || call.over, { timeoutMs: 30000, what: 'quiet' });
      // A goodbye whose end was lost with the host is said again, as people do.
      for (let i = 0; i < 5 && !call.over; i += 1) {
        await call.say('goodbye');
        await waitFor(() => call.over, { timeoutMs: 5000 }).catch(() => null);
      }
    }
    await call.done;
  };
  for (let n = 0; n < CALLS; n += 1)
    work.push(begin(n).catch((error) => { throw new Error(`call ${n}: ${error.stack}`); }));
  const all = Promise.allSettled(work);
  for (let i = 0; i < KILLS; i += 1) {
    await sleep(300 + next() * 1500);
    const from = Date.now();
    await made.host.kill();
    kills.push({ from, to: Date.now() + 20 });
    await sleep(next() * 400);
    await made.start({ readyMs: 15000 });
  }
  const broken = (await all).filter((r) => r.status === 'rejected').map((r) => r.reason.message);
  assert.deepEqual(broken, []);

  // Whatever is still owed is done by now: one more start finds nothing.
  await waitFor(async () => (await made.get('/calls?state=live&limit=1000')).calls.length === 0,
    { timeoutMs: 10000, what: 'the end of all calls' });
  const nearKill = (at) => kills.some((kill) => at > kill.from - SETTLE_MS && at < kill.to);
  for (const call of calls) {
    const name = `call ${calls.indexOf(call)}`;
    assert.ok(call.acceptedAt, `${name} was accepted`);
    assert.ok(requestsOf(call, 'accept').filter((r) => r.status === 200).length <= 1, `${name}: one accept`);
    assert.ok(call.most <= 1, `${name}: one sideband at a time`);
    const greetings = call.turns.filter((turn) => turn.text.startsWith('Hello, this is your assistant.'));
    assert.equal(greetings.length, 1, `${name}: one greeting`);
    for (const tool of call.toolCalls.values())
      assert.ok(tool.outputs.length <= 1, `${name}: ${tool.name} ${tool.outputs.join(' | ')}`);
    // Only one that began while nobody was attached can be run into.
    assert.ok(call.activeResponseErrors < call.attachments, `${name}: never two responses at once`);
    const { transcript, call: row } = await made.story(call);
    assert.equal(row.state, 'over');
    assert.notEqual(row.reason, '');
    assertTold(call, transcript, nearKill, name);
  }
  assert.equal(made.rows('PRAGMA integrity_check')[0].integrity_check, 'ok');
});
