/* SPDX-License-Identifier: MIT */
// t-limit: 900
/*
 * The real gateway under load: its channel stopped and started again, reloaded and configured anew, while calls come at
 * a steady rate and others are live. `make test-long` stops it 20 times.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { test } from 'node:test';
import { openOf, processUse, sleep, waitFor } from '../lib/util.mjs';
import { REFUSED, accepts, exchange, number, rigFor, skip } from './gateway-load-kit.mjs';
import { LONG, requestsOf } from './native-kit.mjs';

const STOPS = LONG ? 20 : 3;
const PUT_OFF_MS = 240000; // the gateway reloads nothing while its agent works: it summarises the calls before
const RELOADS = LONG ? 4 : 1;

const rig = rigFor({});
const attached = (made) => made.sidebands.size === 1;

/* One request over a connection of its own: its status, or the code of what went wrong. */
function ask(where) {
  return new Promise((resolve) => {
    const req = http.get(`${rig.gateway.voiceUrl}${where}`, { agent: false,
      headers: { authorization: `Bearer ${rig.gateway.apiToken}` } }, (res) => {
      res.resume();
      res.on('end', () => resolve(res.statusCode));
      res.on('error', (error) => resolve(`cut: ${error.code}`));
    });
    req.setTimeout(10000, () => { req.destroy(); resolve('no answer'); });
    req.on('error', (error) => resolve(error.code));
  });
}

const upFor = async () => (await rig.gateway.rpc('voice.status').catch(() => null))?.uptime_ms ?? Infinity;

/* Ways to begin a new instance. */
const again = {
  stop: async () => {
    assert.equal((await rig.gateway.rpc('channels.stop', { channel: 'voice' }, { timeoutMs: 60000 })).stopped, true);
    await sleep(100);
    await waitFor(async () => (await rig.gateway.rpc('channels.start', { channel: 'voice' }, { timeoutMs: 60000 })).started,
      { timeoutMs: 30000, everyMs: 200, what: 'the start' });
  },
  reload: () => waitFor(() => rig.gateway.rpc('plugins.reload', { plugins: [{ pluginId: 'voice' }] }, { timeoutMs: 60000 }),
    { timeoutMs: PUT_OFF_MS, everyMs: 500, what: 'the reload' }),
  configure: async () => {
    const before = Date.now();
    const config = JSON.parse(fs.readFileSync(rig.gateway.configFile, 'utf8'));
    config.channels.voice.call = { silence_timeout_seconds: 300 + (config.channels.voice.call?.silence_timeout_seconds ?? 300) % 7 + 1 };
    fs.writeFileSync(rig.gateway.configFile, JSON.stringify(config, null, 2));
    await waitFor(async () => {
      const askedAt = Date.now();
      return await upFor() < askedAt - before; // begun since
    }, { timeoutMs: PUT_OFF_MS, everyMs: 100, what: 'the new configuration' });
  },
};

/* What is open now and was not at `first`, but for the gateway's own: its agent's connections and databases. */
function grown(first) {
  const agents = [rig.model, rig.telegram].map((sim) => `connected to ${sim.server.port}`);
  return Object.entries(openOf(rig.gateway.pid)).filter(([kind, n]) => !agents.includes(kind)
    && !kind.startsWith(rig.gateway.stateDir) && n > (first[kind] ?? 0) + (kind.startsWith('listening') ? 0 : 3))
    .map(([kind, n]) => `${kind}: ${first[kind] ?? 0}, now ${n}`);
}

const brief = [{ wait: 'greeting', ms: 60000 }, { caller: 'I say one thing.', ms: 60000 }, { silence: 300 }, { hangup: true }];

test('stopped, started, configured and reloaded under load: nothing is lost, nothing stays behind', { skip }, async (t) => {
  const live = await Promise.all(Array.from({ length: 8 }, (_, n) => rig.greeted({ from: number(n), idleMs: 300000 })));
  const settled = () => waitFor(() => live.every(attached), { timeoutMs: 30000, what: 'all sidebands' });
  await again.stop(); // what only the first one opens is open
  await settled();
  const first = openOf(rig.gateway.pid);
  const memory = [processUse(rig.gateway.pid).rssKiB];
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
  const took = []; // ms from the order to all sidebands
  const calls = [];
  for (const [how, times] of [['stop', STOPS], ['configure', 1], ['reload', RELOADS]]) {
    /* The gateway puts off reloads while its agent works, so there calls come that leave it nothing to do. */
    const stop = rig.steady(t, 4, how === 'stop' ? { script: brief } : { from: REFUSED });
    for (let i = 0; i < times; i += 1) {
      const attachments = live.map((made) => made.attachments);
      const began = Date.now();
      await again[how]();
      await waitFor(() => live.every((made, n) => made.attachments > attachments[n] && attached(made)),
        { timeoutMs: 30000, what: `all sidebands after ${how} ${i + 1}` });
      took.push(Date.now() - began);
      await exchange(live[i % live.length], `Said after ${how} ${i + 1}.`);
    }
    calls.push(...stop());
    memory.push(processUse(rig.gateway.pid).rssKiB);
  }
  await Promise.all(calls.map((made) => made.done));
  asking = false;
  await asks;
  t.diagnostic(`${calls.length} calls; from each order to all ${live.length} sidebands ${took.join(', ')} ms; answers ${
    JSON.stringify(answers)}; RSS ${memory.map((kib) => Math.round(kib / 1024)).join(', ')} MiB`);
  for (const made of calls) {
    const shown = await rig.over(made);
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
  assert.ok((answers.ECONNRESET ?? 0) <= took.length, `${answers.ECONNRESET} connections were reset in ${took.length} stops`);
  for (const made of live) { // one after the other: connections of the test's own would count, too
    assert.equal(made.over, false, 'no call was dropped');
    assert.equal(accepts(made), 1);
    made.hangup();
    assert.equal((await rig.over(made)).reason, 'caller_hung_up');
  }
  await waitFor(() => grown(first).length === 0, { timeoutMs: 20000, what: 'no more than before' }).catch((error) => {
    throw new Error(`${error.message}: ${grown(first).join('; ')}`);
  });
  assert.ok(memory[1] - memory[0] < 4096 * STOPS + 65536, `RSS grew by ${memory[1] - memory[0]} KiB in ${STOPS} stops`);
});
