/* SPDX-License-Identifier: MIT */
// t-limit: 900
/*
 * The real gateway under load: its thread blocked for long, its channel drained, stopped and started again, reloaded and
 * configured anew, while calls come at a steady rate and others are live. `make test-long` blocks it for 60 s and stops
 * it 20 times.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { gatewaySkip, pluginDir, startGateway } from '../lib/gateway.mjs';
import { openOf, processUse, projectDir, sleep, slower, waitFor } from '../lib/util.mjs';
import { startModel, startOpenAI, startTelegram } from '../sim/index.mjs';
import { LONG, heard, outputsOf, requestsOf } from './native-kit.mjs';

const BLOCK_MS = LONG ? 60000 : 10000;
const RATE = 8; // new calls a second
const FILLER_MS = 2000;
const PROGRESS_MS = 5000;
const TOOL_MS = LONG ? 45000 : 6000; // less than the block: all answers are late ones
const STOPS = LONG ? 20 : 3;
const PUT_OFF_MS = 240000; // the gateway reloads nothing while its agent works: it summarises the calls before
const RELOADS = LONG ? 4 : 1;
const number = (n) => `+155500020${String(n).padStart(2, '0')}`;
const REFUSED = number(98);
const KNOWN = Array.from({ length: 30 }, (_, n) => number(n));
const skip = gatewaySkip || (process.env.OCV_PRELOAD && 'load beside a sanitizer says nothing');
const test = (name, run) => nodeTest(name, { skip }, run);

let gateway;
let model;
let openai;
let telegram;

before(async () => {
  if (skip)
    return;
  [openai, model, telegram] = await Promise.all([startOpenAI({ validate: 0.1, timing: { ringMs: 60000 },
    retryMs: Array(60).fill(300) }), startModel({}), startTelegram({})]);
  model.rules.unshift({ match: /number of (\d+)\?/, reply: ({ match }) => `It is ${match[1]} hundred.` });
  gateway = await startGateway({ openai, model, telegram, voice: { dmPolicy: 'open', allowFrom: ['*'] },
    yaml: { channels: { voice: { call: { filler_after_ms: FILLER_MS, progress_every_ms: PROGRESS_MS, tool_timeout_ms: TOOL_MS,
      max_concurrent: 1000 }, integration: { sync_memory: false } } },
    agent: { main_session: { memory: { include_voice_calls: false } } }, security: { voice: { whitelist: KNOWN, blacklist: [REFUSED], tools: { known: 'full' } } } },
    config: { plugins: { allow: ['telegram', 'memory-core', 'voice', 'blocker'],
      load: { paths: [pluginDir, path.join(projectDir, 'tests/lib/blocker-plugin')] },
      entries: { blocker: { enabled: true } } } } });
});

after(async () => {
  if (skip)
    return;
  const how = await gateway?.stop({ timeoutMs: 150000 }); // it waits for runs of its agent: summaries
  await Promise.all([openai, model, telegram].map((sim) => sim?.close()));
  openai?.assertClean();
  assert.equal(how?.code, 0, `the gateway ended with ${JSON.stringify(how)}`);
});

const call = (opts = {}) => openai.call({ from: number(99), webhookUrl: gateway.webhookUrl, ...opts });
const attached = (made) => made.sidebands.size === 1;
const accepts = (made) => requestsOf(made, 'accept').filter((r) => r.status === 200).length;

/* A call that has been greeted and is quiet. */
async function greeted(opts) {
  const made = call(opts);
  await waitFor(() => made.turns.length > 0 && made.idle, { timeoutMs: 40000, what: 'the greeting' }).catch(async (error) => {
    throw new Error(`${error.message}; webhooks ${JSON.stringify(made.deliveries.map((d) => [d.status, d.error]))}\n${await whyOf(made)}`);
  });
  return made;
}

async function exchange(made, text) {
  await waitFor(() => made.idle, { timeoutMs: 20000, what: 'silence to speak in' });
  const since = made.serverEvents.length;
  await made.say(text);
  await made.waitEvent('output_audio_buffer.stopped', { since, timeoutMs: 20000 });
}

async function over(made) {
  await made.done;
  return waitFor(async () => {
    const { json } = await gateway.api(`/calls/${made.callId}`);
    return json?.state === 'over' && json;
  }, { timeoutMs: 20000, what: `the end of ${made.callId}` });
}

/* What happened to a call, for people. */
async function whyOf(made) {
  const { json } = await gateway.api(`/calls/${made.callId}/why`);
  return [...(json?.hops ?? []).map((hop) => `${hop.after_ms} ms ${hop.hop} ${hop.detail ?? ''}`), gateway.output(30)].join('\n');
}

/* Calls at a steady rate until the returned function is called, which returns them. */
function steady(t, perSecond, opts) {
  const calls = [];
  const timer = setInterval(() => calls.push(call(opts)), 1000 / perSecond);
  t.after(() => clearInterval(timer));
  return () => {
    clearInterval(timer);
    return calls;
  };
}

const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];
const gatewayAnswers = () => fetch(`${gateway.url}/startupz`, { signal: AbortSignal.timeout(1000) }).then(() => true, () => false);

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
  const live = await Promise.all(Array.from({ length: 14 }, (_, n) => greeted({ from: number(n) })));
  const asking = live.slice(0, ASKING);
  const spans = asking.map(heard);
  await gateway.rpc('blocker.block', { ms: BLOCK_MS });
  const began = Date.now();
  await waitFor(async () => !await gatewayAnswers(), { what: 'the block' });
  const asked = await Promise.all(asking.map(async (made, n) => {
    await made.say(`What is the number of ${n + 1}?`);
    await waitFor(() => made.toolCalls.size === 1, { what: 'the question' });
    return Date.now();
  }));

  const stop = steady(t, RATE, { script: [{ wait: 'greeting', ms: 60000 }, { caller: 'goodbye', ms: 60000 }, { waitEnd: true, ms: 60000 }] });
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
    const shown = await over(made);
    assert.equal(made.result.scriptError, null);
    assert.equal(shown.reason, 'assistant_ended');
    assert.deepEqual(made.deliveries.map((d) => d.status), [200], 'taken at once');
    assert.equal(requestsOf(made, 'accept').length, 1);
  }
  for (const [n, made] of asking.entries()) {
    const answer = `${n + 1} hundred`;
    const told = () => made.turns.filter((turn) => turn.who === 'assistant' && turn.text.includes(answer));
    await waitFor(() => told().length > 0, { timeoutMs: 60000, what: `the late answer of call ${n}` });
    await sleep(500);
    assert.equal(told().length, 1, 'told once');
    assert.equal(outputsOf(made).length, 1, 'one output');
    assert.doesNotMatch(outputsOf(made)[0].output, new RegExp(answer), 'it said honestly that it is not finished');
    const why = (await gateway.api(`/calls/${made.callId}/why`)).json.hops.map((hop) => hop.hop);
    assert.ok(why.includes('tool_timeout') && why.filter((hop) => hop === 'tool_late').length === 1, why.join(' '));
  }
  for (const made of live) {
    assert.equal(made.attachments, 1, `no sideband was lost:\n${await whyOf(made)}`);
    made.hangup();
    assert.equal((await over(made)).reason, 'caller_hung_up');
  }
});

test('draining in the gateway: new calls are refused, live ones go on, and it is taken back', async () => {
  const live = await greeted({ from: number(0) });
  const begun = await gateway.rpc('voice.drain', { seconds: 60 });
  assert.deepEqual([begun.status, begun.draining.live], ['draining', 1]);
  await assert.rejects(gateway.rpc('voice.drain', { seconds: 5000 }), /seconds/);
  const refused = Array.from({ length: 5 }, () => call());
  for (const made of refused) {
    assert.deepEqual([(await made.done).reason, made.result.sipCode], ['rejected', 480]);
    assert.equal((await over(made)).reason, 'refused_draining');
  }
  assert.equal((await gateway.api('/ready', { token: null })).status, 503);
  assert.equal((await gateway.rpc('voice.status')).status, 'draining');
  await exchange(live, 'Do you hear me.');
  assert.deepEqual(await gateway.rpc('voice.drain', { cancel: true }), { status: 'ok' });
  assert.equal((await gateway.api('/ready', { token: null })).status, 200);
  const next = await greeted();
  [live, next].forEach((made) => made.hangup());
  await Promise.all([over(live), over(next)]);
});

/* One request over a connection of its own: its status, or the code of what went wrong. */
function ask(where) {
  return new Promise((resolve) => {
    const req = http.get(`${gateway.voiceUrl}${where}`, { agent: false,
      headers: { authorization: `Bearer ${gateway.apiToken}` } }, (res) => {
      res.resume();
      res.on('end', () => resolve(res.statusCode));
      res.on('error', (error) => resolve(`cut: ${error.code}`));
    });
    req.setTimeout(10000, () => { req.destroy(); resolve('no answer'); });
    req.on('error', (error) => resolve(error.code));
  });
}

const upFor = async () => (await gateway.rpc('voice.status').catch(() => null))?.uptime_ms ?? Infinity;

/* Ways to begin a new instance. */
const again = {
  stop: async () => {
    assert.equal((await gateway.rpc('channels.stop', { channel: 'voice' }, { timeoutMs: 60000 })).stopped, true);
    await sleep(100);
    await waitFor(async () => (await gateway.rpc('channels.start', { channel: 'voice' }, { timeoutMs: 60000 })).started,
      { timeoutMs: 30000, everyMs: 200, what: 'the start' });
  },
  reload: () => waitFor(() => gateway.rpc('plugins.reload', { plugins: [{ pluginId: 'voice' }] }, { timeoutMs: 60000 }),
    { timeoutMs: PUT_OFF_MS, everyMs: 500, what: 'the reload' }),
  configure: async () => {
    const before = Date.now();
    const config = JSON.parse(fs.readFileSync(gateway.configFile, 'utf8'));
    config.channels.voice.call = { silence_timeout_seconds: 300 + (config.channels.voice.call?.silence_timeout_seconds ?? 300) % 7 + 1 };
    fs.writeFileSync(gateway.configFile, JSON.stringify(config, null, 2));
    await waitFor(async () => {
      const askedAt = Date.now();
      return await upFor() < askedAt - before; // begun since
    }, { timeoutMs: PUT_OFF_MS, everyMs: 100, what: 'the new configuration' });
  },
};

/* What is open now and was not at `first`, but for the gateway's own: its agent's connections and databases. */
function grown(first) {
  const agents = [model, telegram].map((sim) => `connected to ${sim.server.port}`);
  return Object.entries(openOf(gateway.pid)).filter(([kind, n]) => !agents.includes(kind)
    && !kind.startsWith(gateway.stateDir) && n > (first[kind] ?? 0) + (kind.startsWith('listening') ? 0 : 3))
    .map(([kind, n]) => `${kind}: ${first[kind] ?? 0}, now ${n}`);
}

const brief = [{ wait: 'greeting', ms: 60000 }, { caller: 'I say one thing.', ms: 60000 }, { silence: 300 }, { hangup: true }];

test(`${STOPS} stops and starts, a new configuration and ${RELOADS} reloads, under load: nothing is lost, nothing stays behind`, async (t) => {
  const live = await Promise.all(Array.from({ length: 8 }, (_, n) => greeted({ from: number(n), idleMs: 300000 })));
  const settled = () => waitFor(() => live.every(attached), { timeoutMs: 30000, what: 'all sidebands' });
  await again.stop(); // what only the first one opens is open
  await settled();
  const first = openOf(gateway.pid);
  const memory = [processUse(gateway.pid).rssKiB];
  const answers = {};
  let asking = true;
  t.after(() => { asking = false; });
  const asks = (async () => {
    while (asking) {
      const what = await ask('/calls?limit=5');
      answers[what] = (answers[what] ?? 0) + 1;
      await sleep(10);
    }
  })();
  const alone = [];
  const calls = [];
  for (const [how, times] of [['stop', STOPS], ['configure', 1], ['reload', RELOADS]]) {
    /* The gateway puts off reloads while its agent works, so there calls come that leave it nothing to do. */
    const stop = steady(t, 4, how === 'stop' ? { script: brief } : { from: REFUSED });
    for (let i = 0; i < times; i += 1) {
      const attachments = live.map((made) => made.attachments);
      const began = Date.now();
      await again[how]();
      await waitFor(() => live.every((made, n) => made.attachments > attachments[n] && attached(made)),
        { timeoutMs: 30000, what: `all sidebands after ${how} ${i + 1}` });
      alone.push(Date.now() - began);
      await exchange(live[i % live.length], `Said after ${how} ${i + 1}.`);
    }
    calls.push(...stop());
    memory.push(processUse(gateway.pid).rssKiB);
  }
  await Promise.all(calls.map((made) => made.done));
  asking = false;
  await asks;
  t.diagnostic(`${calls.length} calls; from the order to all ${live.length} sidebands at most ${Math.max(...alone)} ms; answers ${
    JSON.stringify(answers)}; RSS ${memory.map((kib) => Math.round(kib / 1024)).join(', ')} MiB`);
  for (const made of calls) {
    const shown = await over(made);
    const refused = made.from === REFUSED;
    assert.equal(made.result.scriptError, null);
    assert.equal(accepts(made), refused ? 0 : 1, 'accepted once');
    assert.equal(requestsOf(made, 'reject').filter((r) => r.status === 200).length, refused ? 1 : 0, 'refused once');
    assert.equal(made.deliveries.at(-1).status, 200, 'acknowledged in the end');
    assert.ok(made.deliveries.every((d) => [0, 200, 503].includes(d.status)), 'or put off');
    assert.match(shown.reason, refused ? /^refused_policy$/ : /^(caller_hung_up|ended_while_down)$/);
  }
  /* Nobody listens between two instances; but whoever was listened to is answered. */
  assert.deepEqual(Object.keys(answers).filter((what) => !['200', '503', 'ECONNREFUSED', 'ECONNRESET'].includes(what)), []);
  assert.ok((answers.ECONNRESET ?? 0) <= alone.length, `${answers.ECONNRESET} connections were reset in ${alone.length} stops`);
  for (const made of live) {
    assert.equal(made.over, false, 'no call was dropped');
    assert.equal(accepts(made), 1);
    made.hangup();
    assert.equal((await over(made)).reason, 'caller_hung_up');
  }
  await waitFor(() => grown(first).length === 0, { timeoutMs: 20000, what: 'no more than before' }).catch((error) => {
    throw new Error(`${error.message}: ${grown(first).join('; ')}`);
  });
  assert.ok(memory[1] - memory[0] < 4096 * STOPS + 65536, `RSS grew by ${memory[1] - memory[0]} KiB in ${STOPS} stops`);
});
