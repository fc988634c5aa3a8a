/* SPDX-License-Identifier: MIT */
// t-limit: 300
// One conversation on the telephone and on Telegram, through the real gateway with the real plugin: what the
// model knows when a linked caller calls, what Telegram knows afterwards, and a handoff in mid-call.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { gatewaySkip, startGateway } from '../lib/gateway.mjs';
import { waitFor } from '../lib/util.mjs';
import { startModel, startOpenAI, startTelegram } from '../sim/index.mjs';
import { defaultBrain } from '../sim/brain.mjs';

const ADA = '+15550003333'; // linked with telegram:777
const STRANGER = '+15550009999';
const BERTA = '+15550004444'; // known; telegram:888 is hers, as she will prove
const CARL = '+15550005555'; // known; telegram:889 is his
const test = (name, run) => nodeTest(name, { skip: gatewaySkip }, run);
const dog = `Rex${randomInt(1000, 9999)}`; // said on Telegram
const plumber = `plumber${randomInt(1000, 9999)}`; // in a memory file
const tea = `tea${randomInt(1000, 9999)}`; // said on the phone

let gateway;
let model;
let openai;
let telegram;

before(async () => {
  if (gatewaySkip)
    return;
  [openai, model, telegram] = await Promise.all([startOpenAI({}),
    startModel({ rules: [{ match: /./s, reply: 'Noted.' }] }), startTelegram({})]);
  gateway = await startGateway({ openai, model, telegram, voice: { dmPolicy: 'open', allowFrom: ['*', BERTA, CARL] },
    config: { channels: { telegram: { allowFrom: ['777', '888', '889'] } }, session: { dmScope: 'per-peer', identityLinks: { ada: ['telegram:777', `voice:${ADA}`] } } } });
  fs.mkdirSync(path.join(gateway.workspace, 'memory'), { recursive: true });
  fs.writeFileSync(path.join(gateway.workspace, 'MEMORY.md'), `# Memory\n\n- The ${plumber} comes on Friday.\n`);
});

after(async () => {
  if (gatewaySkip)
    return;
  await gateway?.stop();
  await Promise.all([openai, model, telegram].map((sim) => sim?.close()));
  openai?.assertClean();
});

const bodyOf = (made) => made.requests.find((r) => r.action === 'accept')?.body;
const knows = (made, word) => JSON.stringify([bodyOf(made)?.instructions, made.events]).includes(word);
const asked = () => JSON.stringify(model.requests.map((r) => r.body));

async function over(made) {
  await made.done;
  return waitFor(async () => {
    const { json } = await gateway.api(`/calls/${made.callId}`);
    return json?.state === 'over' && json;
  }, { what: 'the end of the call' });
}

test('a linked caller is known: the morning on Telegram and the memory file are in the accept', async () => {
  telegram.inject({ text: `My dog is called ${dog}.` });
  await telegram.waitMessage((m) => /Noted/.test(m.text), 30000);
  await waitFor(async () => JSON.stringify((await gateway.api(`/callers/telegram:777/export`)).json ?? {}).includes(dog),
    { what: 'the message in the plugin', timeoutMs: 10000 });
  const made = openai.call({ from: ADA, webhookUrl: gateway.webhookUrl, script: [{ wait: 'greeting', ms: 10000 },
    { caller: `I like ${tea}.` }, { wait: 'assistant', ms: 10000 }, { caller: 'goodbye' }, { waitEnd: true }] });
  const shown = await over(made);
  assert.equal(shown.level, 'linked');
  assert.ok(knows(made, dog), `Telegram is not in: ${bodyOf(made)?.instructions}`);
  assert.ok(knows(made, plumber), `MEMORY.md is not in: ${bodyOf(made)?.instructions}`);
});

test('what was said on the phone is in the next Telegram turn', async () => {
  await waitFor(async () => {
    const before = model.requests.length;
    telegram.inject({ text: 'What do I like?' });
    await waitFor(() => model.requests.length > before, { what: 'a model request', timeoutMs: 15000 });
    return asked().includes(tea);
  }, { what: 'the call in the session', timeoutMs: 40000, everyMs: 1000 });
});

test('a summary stands in the day\'s memory file, once', async () => {
  const text = await waitFor(() => {
    const files = fs.readdirSync(path.join(gateway.workspace, 'memory')).filter((f) => /^\d{4}-/.test(f));
    const all = files.map((f) => fs.readFileSync(path.join(gateway.workspace, 'memory', f), 'utf8')).join('');
    return /## Call call_/.test(all) && all;
  }, { what: 'the section', timeoutMs: 30000 });
  assert.equal(text.match(/## Call call_/g).length, 1);
});

test('"send me that on Telegram" arrives there in mid-call', async () => {
  const made = openai.call({ from: ADA, webhookUrl: gateway.webhookUrl,
    brain: (ctx) => (ctx.callerText?.includes('Telegram') && ctx.trigger === 'speech'
      ? { items: [{ say: 'I am sending it.' }, { call: 'handoff', args: { channel: 'telegram', reason: `the address is ${tea} lane` } }] }
      : defaultBrain(ctx)) });
  await made.waitEvent('output_audio_buffer.stopped');
  await made.say('Send me that on Telegram');
  const message = await telegram.waitMessage((m) => m.text.includes(`${tea} lane`), 20000);
  assert.equal(made.state === 'over', false, 'the call was over before');
  assert.ok(message.text.length <= 3500);
  await made.hangup();
  await over(made);
  await waitFor(async () => (await gateway.api('/handoffs')).json.handoffs.some((h) => h.state === 'delivered'),
    { what: 'the handoff delivered', timeoutMs: 10000 });
  assert.equal(telegram.messages.filter((m) => m.text.includes(`${tea} lane`)).length, 1);
});

test('what is typed in the chat during a call enters the call', async () => {
  const made = openai.call({ from: ADA, webhookUrl: gateway.webhookUrl });
  await made.waitEvent('output_audio_buffer.stopped');
  telegram.inject({ text: 'The door code is blue-7.' });
  await waitFor(() => JSON.stringify(made.events).includes('blue-7'), { what: 'the message in the call', timeoutMs: 20000 });
  await made.hangup();
  await over(made);
});

test('an answer in the chat proves who is on the phone', async () => {
  const made = openai.call({ from: ADA, webhookUrl: gateway.webhookUrl,
    brain: (ctx) => (ctx.callerText?.includes('really me') && ctx.trigger === 'speech'
      ? { items: [{ call: 'verify_identity', args: {} }] } : defaultBrain(ctx)) });
  await made.waitEvent('output_audio_buffer.stopped');
  await made.say('It is really me');
  const question = await telegram.waitMessage((m) => m.text.includes(`telephone from ${ADA}`), 20000);
  assert.match(question.text, /code on the phone: \d{3} \d{3}\./);
  const before = model.requests.length;
  telegram.inject({ text: 'Yes' });
  await waitFor(() => JSON.stringify(made.events).includes('approved in their own chat'),
    { what: 'the approval in the call', timeoutMs: 20000 });
  await telegram.waitMessage((m) => m.text.includes('you are verified'), 20000);
  await made.hangup();
  assert.equal((await over(made)).level, 'proven');
  const code = /\d{3} \d{3}/.exec(question.text)[0];
  assert.ok(!JSON.stringify(model.requests.slice(before).map((r) => r.body)).includes(code), 'the agent knows the code');
});

test('a call that did not get through becomes a message', async () => {
  const made = openai.call({ from: ADA, webhookUrl: gateway.webhookUrl, faults: { accept: { status: 404, times: Infinity } } });
  await telegram.waitMessage((m) => m.text.includes('did not get through'), 20000);
  const { json } = await gateway.api('/missed-calls');
  assert.ok(json.missed.some((m) => m.from === ADA), JSON.stringify(json));
  await made.hangup();
});

/* ---- Links by code ---- */

/* What link_chat answers when the model uses it in a call of that number. */
async function linkOnPhone(from, args) {
  const made = openai.call({ from, webhookUrl: gateway.webhookUrl,
    brain: (ctx) => (ctx.callerText === 'Link my chat.' && ctx.trigger === 'speech'
      ? { items: [{ call: 'link_chat', args }] } : defaultBrain(ctx)) });
  await made.waitEvent('output_audio_buffer.stopped');
  await made.say('Link my chat.');
  const output = await waitFor(() => [...made.toolCalls.values()].find((c) => c.name === 'link_chat')?.outputs[0],
    { what: 'the answer of link_chat' });
  return { made, output };
}

async function levelOf(from) {
  const made = openai.call({ from, webhookUrl: gateway.webhookUrl });
  await made.waitEvent('output_audio_buffer.stopped');
  await made.hangup();
  return (await over(made)).level;
}

const identitiesOf = async (from) => (await gateway.api(`/callers/${encodeURIComponent(from)}`)).json.identities
  .map((i) => i.identity).sort();
const toChat = (chatId, text) => telegram.messages.filter((m) => m.chatId === chatId && text.test(m.text));

test('a code that is spoken on the phone and typed in the chat links both', async () => {
  assert.equal(await levelOf(BERTA), 'known');
  const { made, output } = await linkOnPhone(BERTA, {});
  const code = /The code is ([\d, ]+)\./.exec(output)?.[1].replace(/\D/g, '');
  assert.match(code ?? '', /^\d{6}$/, output);
  telegram.inject({ chatId: 888, name: 'Berta', text: `${code.slice(0, 3)} ${code.slice(3)}` });
  await telegram.waitMessage((m) => m.chatId === 888 && /belong together/.test(m.text), 20000);
  await waitFor(() => /code was typed in the chat/.test(JSON.stringify(made.events)), { what: 'the call told' });
  await waitFor(async () => (await gateway.api(`/calls/${made.callId}`)).json.level === 'linked', { what: 'the level' });
  await made.hangup();
  await over(made);
  assert.deepEqual(await identitiesOf(BERTA), ['telegram:888', `voice:${BERTA}`]);
  assert.equal(await levelOf(BERTA), 'linked');
  await waitFor(() => toChat(888, /./).length === 1, { what: 'one answer in the chat' });
  assert.equal(asked().includes(`${code.slice(0, 3)} ${code.slice(3)}`), false, 'the agent was asked about the code');
});

test('a code that is shown in the chat and spoken on the phone links both', async () => {
  telegram.inject({ chatId: 889, name: 'Carl', text: 'Link phone' });
  const shown = await telegram.waitMessage((m) => m.chatId === 889 && /the code is \d{3} \d{3}/.test(m.text), 20000);
  const code = /the code is (\d{3}) (\d{3})/.exec(shown.text).slice(1).join('');
  assert.equal(asked().includes('Link phone'), false, 'the agent was asked about it');
  const wrong = await linkOnPhone(CARL, { code: code === '000000' ? '000001' : '000000' });
  assert.match(wrong.output, /wrong or too old/);
  await wrong.made.hangup();
  await over(wrong.made);
  assert.equal(await levelOf(CARL), 'known');
  const right = await linkOnPhone(CARL, { code });
  assert.match(right.output, /^Linked/);
  await right.made.hangup();
  await over(right.made);
  assert.deepEqual(await identitiesOf(CARL), ['telegram:889', `voice:${CARL}`]);
  assert.equal(await levelOf(CARL), 'linked');
  assert.equal(toChat(889, /./).length, 1, 'one answer in the chat');
});

test('an unknown caller hears nothing private', async () => {
  const made = openai.call({ from: STRANGER, webhookUrl: gateway.webhookUrl });
  await made.waitEvent('output_audio_buffer.stopped');
  assert.equal(knows(made, dog) || knows(made, plumber), false);
  assert.deepEqual(bodyOf(made).tools.map((t) => t.name), ['end_call']);
  await made.hangup();
  await over(made);
});
