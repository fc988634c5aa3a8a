/* SPDX-License-Identifier: MIT */
// t-limit: 480
// Calls that the agent places, through the real gateway: asked for on Telegram, decided natively, steered by commands
// and methods of the gateway, told of in the chat and the session that asked.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import { after, before, test as nodeTest } from 'node:test';
import { gatewaySkip, startGateway } from '../lib/gateway.mjs';
import { waitFor } from '../lib/util.mjs';
import { startModel, startOpenAI, startTelegram } from '../sim/index.mjs';
import { createTwilio } from '../sim/twilio/index.mjs';

const OWN = '+15550001000';
const BOB = '+15551230001';
const CAROL = '+15551230002'; // a transfer target
const MACHINE = '+15551230003';
const DAN = '+15551230004';
const EVE = '+15551230005';
const ADA = '+15550003333'; // linked with telegram:777
const test = (name, run) => nodeTest(name, { skip: gatewaySkip }, run);

/* The model asks its owner what the person on the telephone wants to know of them. */
const brain = (ctx) => (ctx.trigger === 'speech' && ctx.callerText === 'Window or aisle' && ctx.tools.includes('ask_owner')
  ? { items: [{ say: 'I am asking.' }, { call: 'ask_owner', args: { question: 'Window or aisle?' } }] } : null);

let PUBLIC; // the public address: leads to the plugin's port
let front;
let gateway;
let model;
let openai;
let telegram;
let twilio;

/* What stands where the world asks, as a tunnel would. */
async function openFront() {
  front = net.createServer((socket) => {
    const inner = net.connect(gateway.voicePort, '127.0.0.1');
    socket.on('error', () => inner.destroy());
    inner.on('error', () => socket.destroy());
    socket.pipe(inner).pipe(socket);
  });
  await new Promise((resolve) => { front.listen(0, '127.0.0.1', resolve); });
  PUBLIC = `http://127.0.0.1:${front.address().port}`;
}

before(async () => {
  if (gatewaySkip)
    return;
  await openFront();
  [openai, model, telegram] = await Promise.all([startOpenAI({ speed: 20, brain }),
    startModel({ rules: [{ match: /./s, reply: 'Noted.' }] }), startTelegram({})]);
  twilio = await createTwilio({ openai, numbers: { [OWN]: { voiceUrl: `${PUBLIC}/twilio/voice` } } });
  gateway = await startGateway({ openai, model, telegram, voice: { dmPolicy: 'open', allowFrom: ['*'] },
    config: { channels: { telegram: { allowFrom: ['777', '888'] } },
      session: { dmScope: 'per-peer', identityLinks: { ada: ['telegram:777', `voice:${ADA}`] } } },
    yaml: { channels: { voice: { openai: { project_id: 'proj_test' }, webhook: { base_url: PUBLIC },
      twilio: { account_sid: twilio.accountSid, auth_token: twilio.authToken, phone_number: OWN, base_url: twilio.url },
      outbound: { calls_per_second: 20, default_country: 'US', voicemail: 'hangup' } } },
    security: { voice: { destinations: { allow: ['+1555'] }, transfer_targets: { Carol: CAROL } } } } });
  openai.webhookUrl = gateway.webhookUrl;
  twilio.route(PUBLIC, gateway.voiceUrl);
});

after(async () => {
  if (gatewaySkip)
    return;
  await twilio?.idle();
  await gateway?.stop();
  twilio?.assertNoLegs();
  twilio?.assertClean();
  front?.close();
  await Promise.all([twilio, openai, model, telegram].map((sim) => sim?.close()));
});

/* Somebody writes to the agent, whose model uses the tool for it. Resolves with what the tool answered. */
async function askAgent(args, { chatId = 777 } = {}) {
  const words = `Please phone, errand ${randomInt(1e9)}.`;
  let result = null;
  model.rules.unshift({ match: words, tool: { name: 'voice_call', args },
    reply: ({ toolResult }) => {
      result = toolResult;
      return 'It is in hand.';
    } });
  telegram.inject({ text: words, chatId });
  await waitFor(() => result !== null, { what: 'the answer of the tool', timeoutMs: 60000 });
  return result;
}

const idIn = (text) => /call_0[a-z0-9]+/.exec(text)?.[0];
const state = async (id) => (await gateway.api(`/calls/${id}`)).json;
const told = (number, how) => telegram.waitMessage((m) => m.text.startsWith(`The call to ${number} ${how}`), 60000);

async function saidOf(id, words) {
  await waitFor(async () => {
    const { json } = await gateway.api(`/calls/${id}/transcript`);
    return json?.turns?.some((turn) => turn.text.includes(words));
  }, { what: `"${words}" in the transcript of ${id}`, timeoutMs: 30000 });
}

const table = `table ${randomInt(1e6)}`; // said on the phone
const purpose = 'Ask whether the table is free';

test('asked for on Telegram: answered, held by a command and back, handed to a human, told in the chat', async () => {
  twilio.person(BOB, { answers: 500, hangsUpMs: 2e6, script: [{ wait: 'greeting' },
    { caller: `Yes, ${table} is free at eight.` }, { wait: 'held', ms: 2e6 }, { wait: 'resumed', ms: 2e6 },
    { wait: 'human', ms: 2e6 }, { waitEnd: true, ms: 2e6 }] });
  twilio.person(CAROL, { answers: 500, hangsUpMs: 20000, script: [{ waitEnd: true }] });
  const answer = await askAgent({ to: '(555) 123-0001', purpose }); // as one writes it in outbound.default_country
  const id = idIn(answer);
  assert.ok(id && answer.includes('initiated') && answer.includes(BOB), answer);
  await saidOf(id, table);
  const held = await gateway.cli(['voice', 'hold', id]);
  assert.equal(held.code, 0, held.stderr);
  assert.match(held.stdout, /act_\S+ {2}on hold/);
  const resumed = await gateway.rpc('voice.resume', { id, wait_ms: 20000 });
  assert.equal(resumed.state, 'done', JSON.stringify(resumed));
  const moved = await gateway.rpc('voice.transfer', { id, to: 'Carol', wait_ms: 20000 });
  assert.equal(moved.state, 'done', JSON.stringify(moved));
  const message = await told(BOB, 'was answered and handed over');
  assert.equal(message.chatId, 777);
  assert.ok(message.text.includes(purpose) && message.text.includes(`They: Yes, ${table}`), message.text);
  assert.equal((await state(id)).outcome, 'transferred');
  assert.equal(telegram.messages.filter((m) => m.text.startsWith(`The call to ${BOB}`)).length, 1);
  twilio.assertRangOnce(BOB);
});

test('"call me" from a linked chat rings the linked number; another chat is told how to link one', async () => {
  const tea = `tea ${randomInt(1e6)}`;
  twilio.person(ADA, { answers: 500, script: [{ wait: 'greeting' }, { caller: `Remember that I like ${tea}.` },
    { wait: 'assistant' }, { hangup: true }] });
  const seen = model.chats.length;
  const answer = await askAgent({ to: 'me', purpose: 'Talk about the day' });
  assert.ok(answer.includes(ADA), answer);
  const turn = JSON.stringify(model.chats.slice(seen).map((c) => c.body.messages));
  assert.ok(turn.includes('asked for in this session is over') && turn.includes(table), 'the session knows how it ended');
  const message = await told(ADA, 'was answered');
  assert.ok(message.text.includes(tea), message.text);
  assert.equal((await state(idIn(answer))).level, 'linked');
  twilio.assertRangOnce(ADA);
  assert.match(await askAgent({ purpose: 'Talk' }, { chatId: 888 }), /No call was made: .*link phone/);
});

test('the owner is asked on Telegram in mid-call: their answer goes into the call and to no agent, once', async () => {
  const seat = `seat ${randomInt(1e6)}`;
  twilio.person(EVE, { answers: 500, hangsUpMs: 4e6, script: [{ wait: 'greeting' },
    { caller: 'Window or aisle' }, { hears: seat, ms: 4e6 }, { hangup: true }] });
  const answer = await askAgent({ to: EVE, purpose: 'Book a seat' });
  const question = await telegram.waitMessage((m) => m.text.startsWith(`A question from your call with ${EVE}`), 60000);
  assert.equal(question.chatId, 777);
  assert.ok(question.text.includes('Book a seat') && question.text.includes('Window or aisle?'), question.text);
  const asked = model.chats.length;
  telegram.inject({ text: `Take ${seat}.` });
  await telegram.waitMessage((m) => /I pass it on in the call/.test(m.text), 20000);
  await saidOf(idIn(answer), seat);
  const message = await told(EVE, 'was answered');
  assert.ok(message.text.includes(`You answered: Take ${seat}.\n`), message.text);
  const turns = model.chats.slice(asked).map((c) => c.body.messages.filter((m) => m.role === 'user').at(-1));
  assert.ok(!turns.some((turn) => JSON.stringify(turn ?? '').includes(`"Take ${seat}.`)), 'the agent ran for the answer');
  assert.equal(telegram.messages.filter((m) => m.text.startsWith('A question')).length, 1);
});

test('a voicemail is told as one; a closed number is refused with the reason and never rings', async () => {
  twilio.person(MACHINE, { answers: 500, voicemail: true });
  const answer = await askAgent({ to: MACHINE, purpose: 'Say hello' });
  await told(MACHINE, 'reached a voicemail');
  assert.equal((await state(idIn(answer))).outcome, 'voicemail');
  const rings = twilio.rings.length;
  assert.match(await askAgent({ to: '+4930901820', purpose: 'Say hello' }),
    /No call was made: not_allowed: .*security\.voice\.destinations\.allow/);
  assert.match(await askAgent({ to: '911', purpose: 'Say hello' }), /No call was made: .*no telephone number in US/);
  assert.equal(twilio.rings.length, rings);
});

test('commands and methods: a call that nobody answers, what is refused, and who may change something', async () => {
  twilio.person(DAN, { busy: true });
  const [placed, refused] = await Promise.all([
    gateway.cli(['voice', 'call', '555-123-0004', '--purpose', 'Test', '--report', 'telegram:777', '--key', 'k1', '--json']),
    gateway.cli(['voice', 'call', '+1 900 555 0100'])]);
  const { call_id: id, to } = JSON.parse(placed.stdout);
  assert.equal(to, DAN);
  await told(DAN, 'did not get through: busy');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /Reason: \w+: \+19005550100 /);
  const again = await gateway.rpc('voice.dial', { to: DAN, purpose: 'Test', idempotency_key: 'k1',
    report: { channel: 'telegram', to: '777' } });
  assert.equal(again.call_id, id, 'the same key, the same call');
  assert.equal((await gateway.rpc('voice.hangup', { id })).status, 'completed');
  await assert.rejects(gateway.rpc('voice.hold', { id }), /no such live call/);
  await assert.rejects(gateway.rpc('voice.hold', { id: '../people' }), /the id of a call/);
  await assert.rejects(gateway.rpc('voice.dial', { to: DAN, coffee: true }), /coffee is not known/);
  await assert.rejects(gateway.rpc('voice.dial', { to: DAN, report: { channel: 'telegram' } }), /report names a chat/);
  gateway.scopes = ['operator.read'];
  gateway.closeRpc();
  await assert.rejects(gateway.rpc('voice.dial', { to: DAN }), /operator\.write/);
  gateway.scopes = undefined;
  gateway.closeRpc();
  assert.equal([...twilio.allLegs.values()].filter((leg) => leg.to === DAN).length, 1);
});

/* A person who says hello, hears an answer and goes. */
const polite = { answers: 1000, script: [{ wait: 'greeting' }, { caller: 'Hello?' }, { wait: 'assistant' },
  { hangup: true }] };

test('setup looks at everything and calls nobody; smoke calls and tells each hop', async () => {
  const before = twilio.rings.length;
  const setup = await gateway.cli(['voice', 'setup']);
  assert.equal(setup.code, 0, setup.stdout + setup.stderr);
  for (const name of ['gateway.channel', 'gateway.agent', 'gateway.handoff', 'openai.key', 'openai.session',
    'webhook.reach', 'webhook.signed', 'webhook.carrier', 'twilio.auth_token', 'twilio.number', 'numbers.targets'])
    assert.match(setup.stdout, new RegExp(`^ok +${name.replace('.', '\\.')} `, 'm'), setup.stdout);
  assert.match(setup.stdout, /^warn +gateway\.callers +everybody may call\n +-> Set dmPolicy/m);
  assert.match(setup.stdout, new RegExp(`HTTP POST\\): ${PUBLIC}/twilio/voice$`, 'm'));
  assert.match(setup.stdout, /sip:proj_test@sip\.api\.openai\.com;transport=tls$/m);
  const dry = await gateway.cli(['voice', 'smoke', '--to', DAN, '--json']);
  assert.equal(dry.code, 0, dry.stdout + dry.stderr);
  assert.deepEqual([JSON.parse(dry.stdout).ok, JSON.parse(dry.stdout).call], [true, undefined]);
  assert.equal(twilio.rings.length, before, 'nobody was called');

  twilio.person(DAN, polite);
  const smoke = await gateway.cli(['voice', 'smoke', '--to', '(555) 123-0004', '--yes'], { timeoutMs: 120000 });
  assert.equal(smoke.code, 0, smoke.stdout + smoke.stderr);
  const hops = smoke.stdout.match(/^ +\d+ ms {2}.*$/gm);
  for (const hop of [/We asked the carrier to dial/, /The model's leg came in/, /OpenAI accepted the call/,
    /began to hear the assistant/, /The call was over/])
    assert.ok(hops.some((line) => hop.test(line)), `${hop} in\n${smoke.stdout}`);
  assert.match(smoke.stdout, /^answered: The caller hung up\.$/m);
  assert.equal(twilio.rings.length, before + 1);
});

test('setup works without the gateway, and tells faults of the configuration', async () => {
  await twilio.idle();
  await gateway.stop();
  const alone = await gateway.cli(['voice', 'setup']);
  assert.equal(alone.code, 1, 'the gateway is to be started');
  assert.match(alone.stdout, /^fail +gateway\.running +the gateway does not answer.*\n +-> Start it/m);
  assert.match(alone.stdout, /^ok +webhook\.reach .*leads here/m);
  assert.match(alone.stdout, /^ok +twilio\.number /m);
  assert.match(alone.stdout, /, 1 to fix, /);
  fs.appendFileSync(gateway.yamlFile, '\nsecurity_voice: {}\n');
  const faulty = await gateway.cli(['voice', 'setup', '--json']);
  assert.equal(faulty.code, 1);
  const { checks } = JSON.parse(faulty.stdout);
  assert.match(checks.find((c) => c.check === 'config').detail, /security_voice: no such key/);
});
