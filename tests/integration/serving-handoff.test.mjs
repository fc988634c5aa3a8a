/* SPDX-License-Identifier: MIT */
// Handoffs to other channels and what can go wrong with them: kill -9 at any point, channels that are busy,
// refuse or leave it open whether they took a message. The host is the test's own, so that each point can be
// met; gateway-linked.test.mjs shows the same through the real gateway. t-limit: 240
import assert from 'node:assert/strict';
import { test as nodeTest } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { belowOf, slower, tmpdir, waitFor } from '../lib/util.mjs';
import { RC, servingSkip, startServing } from '../lib/serving.mjs';
import { KNOWN, rig } from './native-kit.mjs';

const test = (name, run) => nodeTest(name, { skip: servingSkip }, run);
const REPEAT = '(may be a repeat)\n';
const never = () => new Promise(() => {});

/* A host with one call behind it, and a chat that keeps what it is sent. */
async function desk(t, { voice = {} } = {}) {
  const serving = await startServing();
  const made = await rig(t, { host: serving.host, sim: { speed: 60 },
    changes: { openclaw: { workspace: tmpdir('ocv-ws') }, channels: { voice } } });
  t.after(() => serving.close());
  const chat = [];
  const took = (request) => chat.push(request);
  serving.answers['message.send'] = (request) => took(request) && { rc: RC.OK, reply: { message_id: '1' } };
  const call = made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { caller: 'Write me the recipe of the borscht.' },
    { wait: 'assistant' }, { caller: 'goodbye' }, { waitEnd: true }] });
  assert.equal((await call.done).scriptError, null);
  await made.ended(call);
  const id = made.idOf(call);
  const ask = (more = {}) => made.host.api(`/calls/${id}/handoff`, { method: 'POST',
    body: { channel: 'telegram', to: '777', reason: 'the recipe', ...more }, ...(voice.api ? { token: voice.api.token } : {}) });
  const row = async (hof) => made.rows('SELECT state, error, sent_at FROM handoff WHERE id = ?', hof)[0];
  const until = (hof, ...states) => waitFor(async () => {
    const found = await row(hof);
    return states.includes(found?.state) && found;
  }, { timeoutMs: 30000, what: `${hof} ${states.join(' or ')}` });
  const of = (hof) => chat.filter((m) => m.id === hof);
  return { made, serving, chat, took, id, ask, row, until, of, restart: () => made.restart(serving.host) };
}

test('what a message holds', async (t) => {
  const d = await desk(t);
  const { status, json } = await d.ask();
  assert.deepEqual([status, json.state], [202, 'asked']);
  const row = await d.until(json.id, 'delivered');
  assert.ok(row.sent_at > 0 && row.error === '', JSON.stringify(row));
  const [message] = d.of(json.id);
  assert.deepEqual([message.channel, message.to, message.session_key], ['telegram', '777', 'agent:main:direct:test']);
  assert.match(message.text, /^From your telephone call: the recipe\nAssistant: .*\nYou: .*borscht/s);
  assert.ok(message.text.endsWith(`(call ${d.id})`), message.text);
  assert.doesNotMatch(message.text, /https?:/, 'no link unless there is a place for it');
  assert.equal(d.of(json.id).length, 1);
});

test('a link where the configuration has a place for it, never a token; never too long', async (t) => {
  const place = `https://voice.example.com/${'x'.repeat(250)}`;
  const d = await desk(t, { voice: { api: { public_url: `${place}/`, token: 'a-token-of-this-test-only' } } });
  const { json } = await d.ask({ reason: `${'ü'.repeat(390)}` });
  await d.until(json.id, 'delivered');
  const [{ text }] = d.of(json.id);
  assert.ok(text.endsWith(`(call ${d.id})\n${place}/calls/${d.id}`), text);
  assert.equal(text.includes('a-token-of-this-test-only'), false);
  assert.ok(Buffer.byteLength(text) <= 3500);
});

test('kill -9 while it is being sent: one repeat, which says so; then nothing more', async (t) => {
  const d = await desk(t);
  d.serving.answers['message.send'] = (request) => d.took(request) && never();
  const { json } = await d.ask();
  await waitFor(() => d.of(json.id).length === 1, { what: 'the message' });
  await d.restart();
  await waitFor(() => d.of(json.id).length === 2, { what: 'the repeat' });
  const [first, second] = d.of(json.id).map((m) => m.text);
  assert.equal(second, `${REPEAT}${first}`);
  await d.restart();
  const row = await d.until(json.id, 'uncertain');
  assert.match(row.error, /not known whether/);
  await sleep(500);
  assert.equal(d.of(json.id).length, 2);
});

test('kill -9 at random points between asked and delivered', async (t) => {
  const d = await desk(t);
  const seed = Number(process.env.OCV_SEED ?? 11);
  const random = belowOf(seed);
  d.serving.answers['message.send'] = async (request) => {
    d.took(request);
    await sleep(random(15));
    return { rc: RC.OK, reply: { message_id: '1' } };
  };
  const ids = [];
  for (let i = 0; i < 15; i += 1) {
    const asked = d.ask().then(({ json }) => json.id, () => null);
    await sleep(random(120 * slower));
    await d.restart();
    const id = await asked;
    if (id)
      ids.push(id);
  }
  const all = await waitFor(async () => {
    const { handoffs } = await d.made.get('/handoffs');
    return handoffs.every((h) => ['delivered', 'uncertain'].includes(h.state)) && handoffs;
  }, { timeoutMs: 40000, what: 'the end of all' });
  for (const id of ids)
    assert.ok(all.some((h) => h.id === id), `seed ${seed}: ${id} was acknowledged and is lost`);
  for (const { id, state } of all) {
    const texts = d.of(id).map((m) => m.text);
    const plain = texts.filter((text) => !text.startsWith(REPEAT)).length;
    assert.ok(plain <= 1 && texts.length - plain <= 1, `seed ${seed}: ${id} ${state}: ${texts.length} messages`);
    /* Two deaths between a row and its message leave nothing, and say that they do not know. */
    assert.ok(texts.length > 0 || state === 'uncertain', `seed ${seed}: ${id} is ${state} and was never sent`);
  }
  await d.until((await d.ask()).json.id, 'delivered');
  assert.ok(ids.length >= 3, `${ids.length} were acknowledged before the kill`);
  t.diagnostic(`${all.length} handoffs, ${ids.length} acknowledged, ${d.chat.length} messages`);
});

test('a busy channel is asked again, without a mark; one that refuses is not', async (t) => {
  const d = await desk(t);
  d.serving.answers['message.send'] = (request, n) => (n <= 2 ? { rc: RC.EBUSY } : d.took(request) && { rc: RC.OK });
  const busy = (await d.ask()).json.id;
  await d.until(busy, 'delivered');
  assert.deepEqual(d.of(busy).map((m) => m.text.startsWith(REPEAT)), [false]);
  for (const rc of [RC.EINVAL, RC.ENOTSUP]) {
    d.serving.answers['message.send'] = () => ({ rc });
    const id = (await d.ask()).json.id;
    const row = await d.until(id, 'failed');
    assert.match(row.error, /cannot deliver/);
    assert.equal(row.sent_at, 0);
    assert.equal(d.serving.asked.filter((a) => a.request.id === id).length, 1, `rc ${rc}`);
  }
});

test('a busy channel over a restart is asked again, without a mark', async (t) => {
  const d = await desk(t);
  d.serving.answers['message.send'] = () => ({ rc: RC.EBUSY });
  const { json } = await d.ask();
  await waitFor(async () => /busy/.test((await d.row(json.id)).error), { what: 'the channel busy' });
  assert.equal((await d.row(json.id)).state, 'asked');
  d.serving.answers['message.send'] = (request) => d.took(request) && { rc: RC.OK };
  await d.restart();
  await d.until(json.id, 'delivered');
  assert.deepEqual(d.of(json.id).map((m) => m.text.startsWith(REPEAT)), [false]);
});

test('an outcome that is not known allows one repeat', async (t) => {
  const d = await desk(t);
  for (const [second, state] of [[RC.OK, 'delivered'], [RC.EFAIL, 'uncertain'], [RC.EINVAL, 'failed']]) {
    const begun = d.serving.asked.filter((a) => a.name === 'message.send').length;
    d.serving.answers['message.send'] = (request, n) => d.took(request)
      && { rc: n - begun === 1 ? RC.EFAIL : second };
    const { json } = await d.ask();
    await d.until(json.id, state);
    assert.deepEqual(d.of(json.id).map((m) => m.text.startsWith(REPEAT)), [false, true], state);
  }
});

test('a busy channel after an unknown outcome still gets one repeat at most, marked', async (t) => {
  const d = await desk(t);
  d.serving.answers['message.send'] = (request, n) => (n === 2 ? { rc: RC.EBUSY }
    : d.took(request) && { rc: n === 1 ? RC.EFAIL : RC.OK });
  const { json } = await d.ask();
  await d.until(json.id, 'delivered');
  assert.deepEqual(d.of(json.id).map((m) => m.text.startsWith(REPEAT)), [false, true]);
});
