/* SPDX-License-Identifier: MIT */
// t-limit: 600
// Telephone calls through the real gateway with the real plugin: from webhook to end, while the gateway's
// thread is blocked, over reloads and restarts, and killed in the middle. The agent's model, the speech
// service and Telegram are simulated; one gateway serves the whole file.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { gatewaySkip, pluginDir, startGateway } from '../lib/gateway.mjs';
import { openOf, projectDir, sleep, slower, waitFor } from '../lib/util.mjs';
import { startModel, startOpenAI, startTelegram } from '../sim/index.mjs';
import { assertTurns, creates, outputsOf, requestsOf } from './native-kit.mjs';

const LISTED = '+15550001111'; // in allowFrom
const BLOCKED = '+15550006666'; // in allowFrom and on the blacklist
const PAIRED = '+15550003333'; // once pairing was approved
const UNPAIRED = '+15550004444';
const FILLER_MS = 2000;
const PROGRESS_MS = 5000;
const BLOCK_MS = 30000;

let gateway;
let model;
let openai;
let telegram;

const test = (name, run) => nodeTest(name, { skip: gatewaySkip }, run);

before(async () => {
  if (gatewaySkip)
    return;
  [openai, model, telegram] = await Promise.all([startOpenAI({}), startModel({}), startTelegram({})]);
  gateway = await startGateway({ openai, model, telegram,
    voice: { dmPolicy: 'pairing', allowFrom: [LISTED, BLOCKED] },
    yaml: { channels: { voice: { call: { filler_after_ms: FILLER_MS, progress_every_ms: PROGRESS_MS } } },
      security: { voice: { blacklist: [BLOCKED], tools: { known: 'full' } } } },
    // Without an owner the first approval makes one, and that change restarts all channels.
    config: { commands: { ownerAllowFrom: ['telegram:777'] }, plugins: {
      allow: ['telegram', 'memory-core', 'voice', 'blocker'],
      load: { paths: [pluginDir, path.join(projectDir, 'tests/lib/blocker-plugin')] },
      entries: { blocker: { enabled: true } } } } });
});

after(async () => {
  if (gatewaySkip)
    return;
  const how = await gateway?.stop();
  await Promise.all([openai, model, telegram].map((sim) => sim?.close()));
  openai?.assertClean();
  model?.assertClean();
  assert.equal(how?.code, 0, `the gateway ended with ${JSON.stringify(how)}`);
});

const call = (opts = {}) => openai.call({ from: LISTED, webhookUrl: gateway.webhookUrl, ...opts });

async function get(where) {
  const { status, json, text } = await gateway.api(where);
  assert.equal(status, 200, `GET ${where}: ${status} ${text}`);
  return json;
}

/* The call over the plugin's API once it is over there, too. */
async function over(made) {
  await made.done;
  return waitFor(async () => {
    const shown = await get(`/calls/${made.callId}`);
    return shown.state === 'over' && shown;
  }, { what: `the end of ${made.callId}` });
}

/* What happened to a call, as the simulator and the plugin saw it, to be read by a person. */
async function accountOf(made) {
  const { json } = await gateway.api(`/calls/${made.callId}/why`);
  return ['what was said:', ...made.turns.map((turn) => JSON.stringify(turn)), 'requests:',
    ...made.requests.map((r) => `${r.t - made.createdAt} ms ${r.action} ${r.status}`), 'events:',
    ...made.serverEvents.map((e) => `${e.t - made.createdAt} ms ${e.type} ${e.sent ? '' : 'to nobody'} ${
      e.event.item_id ?? e.event.item?.id ?? ''}`), 'why:',
    ...(json?.hops ?? []).map((h) => `${h.after_ms} ms ${h.hop} ${h.detail ?? ''}`)].join('\n');
}

/* All that was said stands in the transcript, over the API and over the gateway. */
async function assertTranscript(made) {
  const transcript = await get(`/calls/${made.callId}/transcript`);
  try {
    assertTurns(transcript.turns, made);
  } catch (error) {
    error.message += `\n${await accountOf(made)}\n${JSON.stringify(transcript.turns, null, 1)}`;
    throw error;
  }
  assert.deepEqual(await gateway.rpc('voice.transcript', { id: made.callId }), transcript);
  return transcript.turns;
}

const GREETING = 'Hello, this is your assistant.';
const greetings = (made) => made.turns.filter((turn) => turn.text.startsWith(GREETING)).length;
const words = (made) => made.turns.map((turn) => turn.text).join('\n');
const hopsOf = (why) => why.hops.map((h) => h.hop);

/* A call that has been greeted and is quiet. */
async function greeted(opts) {
  const made = call(opts);
  await waitFor(() => greetings(made) === 1 && made.idle, { what: 'the greeting' }).catch(async (error) => {
    throw new Error(`${error.message}\n${await accountOf(made)}\n${gateway.output()}`);
  });
  return made;
}

/* Says something and waits for the end of what is answered. */
async function exchange(made, text) {
  await waitFor(() => made.idle, { what: 'silence to speak in' });
  const since = made.serverEvents.length;
  await made.say(text);
  await made.waitEvent('output_audio_buffer.stopped', { since });
}

/* One more exchange, a goodbye, and the end; nothing was done twice on the way. */
async function goOn(made) {
  await exchange(made, 'And one thing more.');
  await waitFor(() => made.idle, { what: 'silence to say goodbye in' });
  await made.say('goodbye');
  const shown = await over(made);
  assert.equal(shown.reason, 'assistant_ended');
  assert.equal(made.result.reason, 'hangup');
  assert.equal(requestsOf(made, 'accept').length, 1, 'one accept');
  assert.equal(requestsOf(made, 'hangup').length, 1, 'one hang-up');
  assert.equal(greetings(made), 1, 'one greeting');
  assert.equal(made.activeResponseErrors, 0, 'never two responses at once');
  for (const tool of made.toolCalls.values()) {
    if (tool.name !== 'end_call')
      assert.equal(tool.outputs.length, 1, `outputs of ${tool.name} ${tool.call_id}`);
  }
  await assertTranscript(made);
  return shown;
}

const timeOf = (made, type, nth = 0) => made.serverEvents.filter((e) => e.type === type)[nth]?.t;

/* When the plugin's port takes connections. */
async function listeningSince() {
  const connects = () => new Promise((resolve) => {
    const socket = net.connect(gateway.voicePort, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => resolve(false));
  });
  await waitFor(connects, { timeoutMs: 90000, everyMs: 10, what: 'the port of the plugin' });
  return Date.now();
}

/* Starts the gateway again; each call must be attached within 3 s of the plugin's start. */
async function resume(t, calls) {
  const before = calls.map((made) => made.attachments);
  const started = gateway.start();
  const ready = await Promise.race([listeningSince(), started.then(() => Date.now())]);
  const attached = () => calls.every((made, i) => made.attachments > before[i]
    && made.serverEvents.filter((e) => e.type === 'session.created').length > before[i]);
  await waitFor(attached, { timeoutMs: 8000, what: 'the sidebands' });
  const took = calls.map((made, i) => timeOf(made, 'session.created', before[i]) - ready);
  t.diagnostic(`attached ${took.join(', ')} ms after the plugin listens`);
  assert.ok(Math.max(...took) < 3000 * slower, `attached ${took} ms after the start`);
  await started;
}

/* ---- One call ---- */

test('a call from webhook to end, its question answered by the agent', async (t) => {
  const number = String(randomInt(1e9, 1e10));
  const asked = model.chats.length;
  model.rules.unshift({ match: 'number of the day', reply: `The number of the day is ${number}.` });
  const made = call({ script: [{ wait: 'greeting' }, { caller: 'What is the number of the day?' },
    { wait: 'tool' }, { wait: 'assistant' }, { caller: 'Thanks. That is all.' }, { wait: 'assistant' },
    { caller: 'goodbye' }, { waitEnd: true }] });
  const shownWhile = gateway.cli(['channels', 'status']);
  const shown = await over(made);
  assert.equal(made.result.scriptError, null);
  assert.equal(made.result.reason, 'hangup');

  await t.test('the agent\'s own answer reaches the caller', () => {
    assert.deepEqual(outputsOf(made).filter((o) => o.output.includes(number)).length, 1);
    assert.equal(made.turns.filter((turn) => turn.who === 'assistant' && turn.text.includes(number)).length, 1);
    const chats = model.chats.slice(asked).filter((c) => c.words.includes('number of the day'));
    assert.equal(chats.length, 1);
    const body = JSON.stringify(chats[0].body);
    assert.match(body, /live phone call/);
    assert.match(body, /channel=voice|"?channel"?: ?\\?"?voice/);
  });
  await t.test('the session is the caller\'s own, in the gateway', async () => {
    const { sessions } = await gateway.rpc('sessions.list', {});
    const own = sessions.filter((s) => /^agent:main:/.test(s.key) && s.key.endsWith(`:${LISTED}`));
    assert.equal(own.length, 1, JSON.stringify(sessions.map((s) => s.key)));
  });
  await t.test('transcript, reason and why agree with what happened', async () => {
    const turns = await assertTranscript(made);
    assert.ok(turns[0].text.startsWith(GREETING));
    assert.equal(turns.at(-1).text, 'Goodbye, and thank you for calling.');
    assert.deepEqual([shown.state, shown.reason, shown.level, shown.from],
      ['over', 'assistant_ended', 'known', LISTED]);
    const why = await get(`/calls/${made.callId}/why`);
    assert.deepEqual(await gateway.rpc('voice.why', { id: shown.call }), why);
    const order = ['webhook', 'accept_sent', 'accepted', 'sideband_open', 'greeting_asked', 'first_audio',
      'tool_done', 'goodbye', 'goodbye_heard', 'hangup_sent', 'over'];
    assert.deepEqual(hopsOf(why).filter((n) => order.includes(n)), order);
    assert.equal(why.went_wrong, false);
    assert.match(why.summary, /goodbye/);
    assert.equal(why.tools.find((each) => each.name === 'ask_openclaw').state, 'closed');
  });
  await t.test('one accept, one sideband, one hang-up, one output for the question', () => {
    for (const action of ['accept', 'sideband', 'hangup'])
      assert.equal(requestsOf(made, action).length, 1, action);
    assert.equal(greetings(made), 1);
    const asks = [...made.toolCalls.values()].filter((tool) => tool.name === 'ask_openclaw');
    assert.deepEqual(asks.map((tool) => tool.outputs.length), [1]);
    assert.equal(made.activeResponseErrors, 0);
  });
  await t.test('the gateway shows the channel enabled, configured and running', async () => {
    const { stdout, code } = await shownWhile;
    assert.equal(code, 0);
    assert.match(stdout, /Voice default: enabled, configured, running/);
  });
});

test('pairing: refused until it is approved, then answered', async () => {
  const refused = call({ from: PAIRED });
  const { reason, sipCode } = await refused.done;
  assert.deepEqual([reason, sipCode], ['rejected', 603]);
  assert.equal((await over(refused)).reason, 'refused_policy');
  assert.equal(requestsOf(refused, 'accept').length, 0);

  const request = await waitFor(async () => {
    const { stdout } = await gateway.cli(['pairing', 'list', 'voice', '--json']);
    return JSON.parse(stdout).requests.find((r) => r.id === PAIRED);
  }, { timeoutMs: 30000, what: 'the pairing request' });
  assert.equal((await call({ from: PAIRED }).done).sipCode, 603, 'asking is not being let in');
  assert.equal((await gateway.cli(['pairing', 'approve', 'voice', request.code])).code, 0);

  const number = String(randomInt(1e9, 1e10));
  model.rules.unshift({ match: 'paired number', reply: `It is ${number}.` });
  let admitted = null;
  await waitFor(async () => { // the approval is seen within seconds
    const made = call({ from: PAIRED, script: [{ wait: 'greeting' }, { caller: 'What is the paired number?' },
      { wait: 'tool' }, { wait: 'assistant' }, { caller: 'goodbye' }, { waitEnd: true }] });
    await Promise.race([new Promise((resolve) => { made.once('accepted', resolve); }), made.done]);
    admitted = made.state === 'live' ? made : null;
    return admitted;
  }, { timeoutMs: 5000, everyMs: 500, what: 'the admission' });
  const shown = await over(admitted);
  assert.equal(admitted.result.scriptError, null);
  assert.deepEqual([shown.reason, shown.level], ['assistant_ended', 'linked']);
  assert.ok(words(admitted).includes(number));
  await assertTranscript(admitted);
});

/* ---- Never stalled ---- */

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const ms = (list) => `p50 ${median(list).toFixed(1)} max ${Math.max(...list).toFixed(1)} ms`;

/* Calls in, one after another; how long until the webhook was answered and the accept arrived. */
async function arrivals(n) {
  const answered = [];
  const accepted = [];
  for (let i = 0; i < n; i += 1) {
    const made = call();
    await made.waitEvent('session.created', { timeoutMs: 8000 });
    const [delivery] = made.deliveries;
    assert.equal(made.deliveries.length, 1, 'announced once');
    assert.equal(delivery.status, 200);
    answered.push(delivery.ms);
    accepted.push(requestsOf(made, 'accept')[0].hr - delivery.hr);
    assert.deepEqual(made.session.tools.map((tool) => tool.name).includes('ask_openclaw'), true);
    made.hangup();
    await sleep(50);
  }
  return { answered, accepted };
}

const gatewayAnswers = () => fetch(`${gateway.url}/startupz`, { signal: AbortSignal.timeout(1000) })
  .then(() => true, () => false);

test('a gateway whose thread is blocked for 30 s stalls no call', async (t) => {
  const number = String(randomInt(1e9, 1e10));
  model.rules.unshift({ match: 'blocked number', reply: `It is ${number}.` });
  const usual = await arrivals(8);
  const live = await greeted({ faults: { sideband: { pingMs: 1000 } } });
  const [asking, silent, cut] = await Promise.all([greeted(), greeted(), greeted()]);
  const [sideband] = live.sidebands;
  const [silentLine] = silent.sidebands;
  const pongs = sideband.pongs;

  await gateway.rpc('blocker.block', { ms: BLOCK_MS });
  const began = Date.now();
  const left = () => began + BLOCK_MS - Date.now();
  await sleep(500);
  assert.equal(await gatewayAnswers(), false, 'the thread is blocked');

  // A tool that is asked for now is asked of a gateway that cannot hear.
  const asked = model.chats.length;
  await asking.say('What is the blocked number?');
  await waitFor(() => asking.toolCalls.size === 1, { what: 'the question' });
  const askedAt = Date.now();
  const before = creates(asking).length;

  const busy = await arrivals(8);
  t.diagnostic(`webhook to 200: ${ms(usual.answered)}; blocked: ${ms(busy.answered)}`);
  t.diagnostic(`webhook to accept: ${ms(usual.accepted)}; blocked: ${ms(busy.accepted)}`);
  for (const what of ['answered', 'accepted']) {
    const both = `${what}: ${ms(busy[what])}, usual ${ms(usual[what])}`;
    assert.ok(median(busy[what]) < 2 * median(usual[what]) + 15, both);
    assert.ok(Math.max(...busy[what]) < Math.max(...usual[what]) + 250, both);
  }

  for (const from of [BLOCKED, UNPAIRED, null]) {
    const { reason, sipCode } = await call({ from }).done;
    assert.deepEqual([reason, sipCode], ['rejected', 603], `${from}`);
  }
  const paired = await greeted({ from: PAIRED });
  assert.ok(paired.session.tools.some((tool) => tool.name === 'ask_openclaw'));
  paired.hangup();
  cut.dropSideband({ reset: true });
  await waitFor(() => cut.attachments === 2, { timeoutMs: 3000, what: 'the sideband that broke' });
  await exchange(cut, 'Are you back.');

  await exchange(live, 'Are you listening.');
  assert.ok(left() > 10000, 'all of that was quick');
  assert.equal(await gatewayAnswers(), false, 'the thread is still blocked');
  const slowest = [];
  while (left() > 2500) {
    const asks = Date.now();
    const { calls } = await get('/calls?state=live');
    slowest.push(Date.now() - asks);
    const shown = calls.map((each) => each.openai_call_id);
    assert.ok([live, asking].every((made) => shown.includes(made.callId)), JSON.stringify(calls));
    await sleep(1000);
  }
  t.diagnostic(`GET /calls, blocked: ${ms(slowest)}`);
  assert.ok(Math.max(...slowest) < 1000, ms(slowest));
  assert.equal(await gatewayAnswers(), false, 'the thread was blocked all the time');
  assert.ok(left() > 0);

  assert.equal(sideband.pongs - pongs >= 25, true, `${sideband.pongs - pongs} pongs to 1 ping a second`);
  assert.ok(silentLine.pings >= 2, `the plugin pinged its silent line ${silentLine.pings} times`);
  const kept = [live, asking, silent];
  assert.ok(kept.every((made) => made.attachments === 1 && made.sidebands.size === 1), 'no sideband was lost');

  assert.equal(model.chats.length, asked, 'the agent could not work');
  const fillers = creates(asking).slice(before);
  const gaps = fillers.map((e, i) => e.t - (i ? fillers[i - 1].t : askedAt));
  t.diagnostic(`fillers after ${gaps.join(', ')} ms`);
  for (const { event } of fillers)
    assert.match(event.response.instructions, /still/);
  const due = 1 + Math.floor((Date.now() - askedAt - FILLER_MS) / (PROGRESS_MS + 1500));
  assert.ok(fillers.length >= due && due >= 4, `${fillers.length} fillers, at least ${due} are due`);
  assert.ok(gaps[0] > FILLER_MS - 100 && gaps[0] < FILLER_MS + 1500, `the first after ${gaps[0]} ms`);
  for (const gap of gaps.slice(1))
    assert.ok(gap > PROGRESS_MS - 100 && gap < PROGRESS_MS + 1500, `fillers after ${gaps} ms`);

  await waitFor(gatewayAnswers, { timeoutMs: 10000, what: 'the end of the block' });
  assert.ok(Date.now() - began >= BLOCK_MS - 200);
  await waitFor(() => words(asking).includes(number), { timeoutMs: 15000, what: 'the answer' });
  assert.equal([...asking.toolCalls.values()][0].outputs.length, 1);
  const [{ stdout }] = await Promise.all([gateway.cli(['pairing', 'list', 'voice', '--json']),
    ...[...kept, cut].map((made) => goOn(made))]);
  assert.ok(JSON.parse(stdout).requests.some((r) => r.id === UNPAIRED), 'the pairing request of the block');
});

/* ---- Reloads and restarts ---- */

/* Returns how long the call was alone. The gateway refuses while a turn of its agent is under way. */
async function reload(made) {
  const before = made.attachments;
  let left = null;
  made.once('detached', () => { left = Date.now(); });
  await waitFor(() => gateway.rpc('plugins.reload', { plugins: [{ pluginId: 'voice' }] }, { timeoutMs: 60000 }),
    { timeoutMs: 20000, everyMs: 500, what: 'the reload' });
  await waitFor(() => made.attachments > before && made.sidebands.size === 1, { what: 'the sideband' });
  return made.serverEvents.findLast((e) => e.type === 'session.created').t - left;
}

test('reloads in mid-call attach it again, and leak nothing', async (t) => {
  const made = await greeted();
  await reload(made);
  await exchange(made, 'Said after one reload.');
  await sleep(1500);
  const first = openOf(gateway.pid);
  const took = [];
  for (let i = 0; i < 3; i += 1) {
    took.push(await reload(made));
    await exchange(made, `Said after reload ${i + 2}.`);
  }
  t.diagnostic(`the call was alone for ${took.join(', ')} ms`);
  assert.ok(Math.max(...took) < 3000 * slower);
  // Whatever stays behind each time is there three times by now.
  const grown = () => {
    const now = openOf(gateway.pid);
    return Object.entries(now).filter(([kind, n]) => n > (first[kind] ?? 0) + (kind.startsWith('listening') ? 0 : 2))
      .map(([kind, n]) => `${kind}: ${first[kind] ?? 0}, now ${n}`);
  };
  await waitFor(() => grown().length === 0, { what: 'no more than before' }).catch((error) => {
    throw new Error(`${error.message}: ${grown().join('; ')}`);
  });
  const total = (open) => Object.values(open).reduce((a, b) => a + b, 0) - open.threads;
  const last = openOf(gateway.pid);
  t.diagnostic(`threads ${first.threads}, files ${total(first)}; after three reloads ${last.threads}, ${total(last)}`);
  await goOn(made);
  const why = await get(`/calls/${made.callId}/why`);
  assert.equal(hopsOf(why).filter((h) => h === 'restored').length, 4);
});

test('SIGTERM leaves the call to the service, and the next start takes it up', async (t) => {
  const made = await greeted();
  await exchange(made, 'Said before the stop.');
  const how = await gateway.stop();
  assert.equal(how.code, 0, JSON.stringify(how));
  assert.equal(made.over, false);
  assert.equal(made.sidebands.size, 0);
  assert.equal(requestsOf(made, 'hangup').length, 0);
  await resume(t, [made]);
  await exchange(made, 'Said after the start.');
  await goOn(made);
});

/* ---- kill -9 ---- */

test('kill -9 in mid-call: three calls are found again, each in its own state', async (t) => {
  const number = String(randomInt(1e9, 1e10));
  const mark = path.join(gateway.workspace, `note-${number}`);
  const [ask, order] = ['What is the slow number?', 'Ask them to write a note.'];
  const is = (text) => (heard) => heard.endsWith(text); // a summary holds them, too, but goes on
  const said = (text) => model.chats.filter((c) => is(text)(c.words)).length;
  const write = { match: is(order), tool: { name: 'write', args: { path: mark, content: number } } };
  model.rules.unshift({ match: is(ask), times: 1, delayMs: 15000, reply: 'Of a life that is over.' },
    { match: is(ask), reply: `It is ${number}.` }, { ...write, times: 1 },
    { match: is(order), times: 1, delayMs: 15000, reply: 'Never told.' }, write);

  const quiet = await greeted();
  await exchange(quiet, 'Said before the end.');
  const begun = await greeted({ from: PAIRED });
  const acted = await greeted();
  // One after another: turns of one session wait for each other.
  await acted.say(order);
  await waitFor(() => said(order) === 2, { timeoutMs: 60000, what: 'the agent after its tool' });
  await begun.say(ask);
  await waitFor(() => said(ask) === 1, { timeoutMs: 60000, what: 'the agent before its answer' });
  assert.equal(fs.readFileSync(mark, 'utf8'), number, 'it acted');
  fs.rmSync(mark);
  const calls = [quiet, begun, acted];
  assert.ok(calls.every((made) => made.attachments === 1));

  await gateway.kill();
  assert.ok(calls.every((made) => !made.over), 'they go on');
  await resume(t, calls);

  await waitFor(() => outputsOf(acted).length === 1, { what: 'the output of what had acted' });
  assert.match(outputsOf(acted)[0].output, /^Interrupted/);
  assert.match(outputsOf(acted)[0].output, /honest/);
  await waitFor(() => words(begun).includes(number), { timeoutMs: 30000, what: 'the answer to what was asked again' });
  assert.equal(said(ask), 2, 'asked again once');
  assert.equal(said(order), 2, 'not asked again');
  assert.equal(fs.existsSync(mark), false, 'not done again');
  assert.equal(outputsOf(begun).length, 1);

  await exchange(quiet, 'Said after the start.');
  for (const made of calls) {
    await goOn(made);
    const hops = hopsOf(await get(`/calls/${made.callId}/why`));
    assert.equal(hops.filter((h) => h === 'restored').length, 1);
    assert.equal(hops.includes('tool_asked_again'), made === begun);
    assert.equal(hops.includes('tool_interrupted'), made === acted);
  }
  assert.deepEqual([said(ask), said(order), fs.existsSync(mark)], [2, 2, false], 'nor later');
});
