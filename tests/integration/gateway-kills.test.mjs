/* SPDX-License-Identifier: MIT */
// t-limit: 360
// kill -9 of the real gateway with the real plugin, at random points around the end of calls and in the middle of a
// handoff: each call's summary stands in the day's memory file once, and Telegram hears of a handoff once, or once
// more with a mark. serving-handoff.test.mjs meets more points, with a host of its own.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { gatewaySkip, startGateway } from '../lib/gateway.mjs';
import { belowOf, sleep, waitFor } from '../lib/util.mjs';
import { startModel, startOpenAI, startTelegram } from '../sim/index.mjs';

const ADA = '+15550003333'; // linked with telegram:777
/* The gateway starts no channel by itself after three of them within five minutes (its crash-loop breaker). */
const KILLS = 2;
const CALLS = 4; // that end around each
const skip = gatewaySkip || (process.env.OCV_PRELOAD && 'it has nothing for a sanitizer that others have not');
const test = (name, run) => nodeTest(name, { skip }, run);
const seed = Number(process.env.OCV_SEED ?? 5);
const below = belowOf(seed);

let gateway;
let model;
let openai;
let telegram;

before(async () => {
  if (skip)
    return;
  [openai, model, telegram] = await Promise.all([startOpenAI({ speed: 20 }),
    startModel({ rules: [{ match: /./s, reply: 'Noted.', delayMs: 600 }] }), startTelegram({})]);
});

after(async () => {
  await gateway?.stop();
  await Promise.all([openai, model, telegram].map((sim) => sim?.close()));
});

/* A gateway that nobody has killed yet. */
async function start() {
  await gateway?.stop();
  gateway = await startGateway({ openai, model, telegram, voice: { dmPolicy: 'open', allowFrom: ['*'] },
    config: { session: { identityLinks: { ada: ['telegram:777', `voice:${ADA}`] } } } });
}

/* Somebody says something and hangs up; our id of the call. */
async function speak(text) {
  const made = openai.call({ from: ADA, webhookUrl: gateway.webhookUrl, script: [{ wait: 'greeting', ms: 10000 },
    { caller: text }, { wait: 'assistant', ms: 10000 }, { hangup: true }] });
  assert.equal((await made.done).scriptError, null);
  return waitFor(async () => (await gateway.api(`/calls/${made.callId}`)).json?.call, { what: 'our id' });
}

const over = (id) => waitFor(async () => (await gateway.api(`/calls/${id}`)).json?.state === 'over',
  { timeoutMs: 60000, what: `the end of ${id}` });

function memory() {
  const dir = path.join(gateway.workspace, 'memory');
  const names = fs.existsSync(dir) ? fs.readdirSync(dir).filter((f) => /^\d{4}-\d\d-\d\d\.md$/.test(f)) : [];
  return names.map((f) => fs.readFileSync(path.join(dir, f), 'utf8')).join('\n');
}

const times = (text, what) => text.split(what).length - 1;

test(`a summary stands in the day's file once over ${KILLS} kills`, async (t) => {
  const ids = [];
  await start();
  for (let i = 0; i < KILLS; i += 1) {
    for (let k = 1; k < CALLS; k += 1) {
      ids.push(await speak(`The password of the day is kiwi${i}${k}.`));
      await sleep(below(150));
    }
    ids.push(await speak(`The last word is mango${i}.`));
    const ms = i === 0 ? 0 : below(700); // a summary takes the model 600 ms
    await sleep(ms);
    const whole = ids.filter((id) => memory().includes(`<!-- voice:call ${id} end`)).length;
    t.diagnostic(`kill ${i + 1}: ${ms} ms after the last call, ${whole} of ${ids.length} sections stood`);
    await gateway.restart({ hard: true });
    assert.ok(i > 0 || whole < ids.length, 'nothing was left to be done');
  }
  for (const id of ids)
    await over(id);
  await waitFor(() => ids.every((id) => memory().includes(`<!-- voice:call ${id} end`)),
    { timeoutMs: 120000, everyMs: 500, what: `seed ${seed}: all sections` });
  await sleep(3000); // whoever would write one twice does it now
  const text = memory();
  for (const id of ids) {
    assert.equal(times(text, `## Call ${id} `), 1, `seed ${seed}: ${id}\n${text}`);
    assert.equal(times(text, `<!-- voice:call ${id} end`), 1, `seed ${seed}: ${id}\n${text}`);
  }
});

test('a handoff that Telegram took when the gateway died comes once more at most, and says so', async () => {
  await start();
  const id = await speak('Send me the recipe of the borscht.');
  await over(id);
  telegram.faults.sendMessage = [{ apply: true, never: true, times: 1 }];
  const hand = await gateway.api(`/calls/${id}/handoff`, { method: 'POST',
    body: { channel: 'telegram', reason: 'the recipe of the borscht' } });
  assert.equal(hand.status, 202, hand.text);
  const ours = () => telegram.messages.filter((m) => m.text.includes('From your telephone call'));
  await waitFor(() => ours().length === 1, { timeoutMs: 20000, what: 'the message' });
  await gateway.restart({ hard: true });
  const state = await waitFor(async () => {
    const found = (await gateway.api('/handoffs')).json.handoffs.find((h) => h.id === hand.json.id);
    return ['delivered', 'uncertain'].includes(found.state) && found.state;
  }, { timeoutMs: 90000, everyMs: 200, what: 'what became of it' });
  await sleep(2000);
  const texts = ours().map((m) => m.text);
  assert.ok(texts.length <= 2, texts.join('\n---\n'));
  assert.ok(!texts[0].startsWith('(may be a repeat)'));
  if (texts.length === 2)
    assert.equal(texts[1], `(may be a repeat)\n${texts[0]}`);
  assert.ok(state === 'uncertain' || texts.length === 2, `${state} after ${texts.length} messages`);
});
