/* SPDX-License-Identifier: MIT */
/* t-limit: 300 */
/*
 * A first look at what is proven under load later: server CPU of a webhook beside a plain HTTP server, memory
 * of a live call with its TLS sideband, re-attaching 1,000 calls after a kill.
 */
import path from 'node:path';
import { buildDir, waitFor } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const CALLS = 1000;

/* ---- CPU of a webhook ---- */

/* Posts from 256 connections, one request in flight on each. {rate, cpu: seconds per 1,000, p99} */
async function flood(server, port, requests) {
  const conns = await Promise.all(Array.from({ length: 256 }, () => kit.client(port)));
  const took = [];
  let next = 0;
  let bad = 0;
  const cpu = kit.cpuSeconds(server);
  const begun = performance.now();
  await Promise.all(conns.map(async (conn) => {
    while (next < requests.length) {
      const bytes = requests[next];
      next += 1;
      const t = performance.now();
      if (await conn.post(bytes) !== 200)
        bad += 1;
      took.push(performance.now() - t);
    }
  }));
  const seconds = (performance.now() - begun) / 1000;
  const used = kit.cpuSeconds(server) - cpu;
  conns.forEach((conn) => conn.close());
  if (bad > 0)
    throw new Error(`${bad} of ${requests.length} were not answered 200`);
  return { rate: requests.length / seconds, cpu: used / requests.length * 1e6, busy: used / seconds,
    p99: kit.quantile(took, 0.99) };
}

const batch = (n, type) => Array.from({ length: n }, () => kit.signed(kit.freshId(), type));

async function webhookCpu() {
  const n = Math.ceil(20000 * kit.scale);
  // Nobody listens there: no call gets beyond its claim, and a refused call's reject fails at once.
  const nowhere = { apiKey: 'sk-bench', url: 'http://127.0.0.1:1/v1' };
  const host = await kit.benchHost(nowhere, { security: { unknown_caller_policy: 'reject' },
    stateDir: kit.stateFolder('disk') });
  const plain = await kit.helper([path.join(buildDir, 'tests/bench/peer_plain')]);
  const node = await kit.helper([process.execPath, path.join(import.meta.dirname, 'peer-node.mjs'), '-', '',
    kit.secret]);
  kit.pin(plain.child.pid, true);
  kit.pin(node.child.pid, true);
  const runs = { plain: [], ignored: [], fresh: [], again: [], old: [], node: [] };
  for (let i = 0; i < 3; i += 1) {
    kit.progress(`${n} webhooks at 256 connections, run ${i + 1} of 3`);
    const fresh = batch(n);
    runs.plain.push(await flood(plain.child.pid, plain.first.port, fresh));
    runs.node.push(await flood(node.child.pid, node.first.port, fresh));
    runs.ignored.push(await flood(host.pid, host.port, batch(n, 'response.completed')));
    runs.fresh.push(await flood(host.pid, host.port, fresh));
    await kit.sleep(1000);
    const late = fresh.slice(-1000);
    runs.again.push(await flood(host.pid, host.port, fresh.map((_, k) => late[k % late.length])));
    runs.old.push(await flood(host.pid, host.port, fresh.slice(0, n / 2)));
  }
  plain.child.removeAllListeners('exit');
  node.child.removeAllListeners('exit');
  plain.child.kill('SIGKILL');
  node.child.kill('SIGKILL');
  await host.stop();
  const of = (name, what) => runs[name].map((r) => r[what]);
  const base = kit.median(of('plain', 'cpu'));
  const say = (name, text, most) => {
    const value = kit.median(of(name, 'cpu')) / base;
    kit.row({ row: `webhook CPU, ${text}`, aim: most ? `<= ${most} x plain` : null, value, unit: 'x plain',
      runs: of(name, 'cpu').map((c) => c / base), floor: 1, met: most ? value <= most : null,
      peer: [{ name: 'node, in memory', value: kit.median(of('node', 'cpu')) / base }],
      note: `${kit.median(of(name, 'cpu')).toFixed(1)} us of CPU each, plain ${base.toFixed(1)} us; `
        + `${Math.round(kit.median(of(name, 'rate')))}/s (the JavaScript load is the limit below a busy `
        + `server: ${(100 * kit.median(of(name, 'busy'))).toFixed(0)} % of a core), p99 ${kit.median(
          of(name, 'p99')).toFixed(1)} ms` });
  };
  say('ignored', 'another event: HTTP, signature, JSON', null);
  say('fresh', 'fresh ids, durable claim, and all of a refusal', null);
  say('again', 'duplicates of the last 1,000 calls', 1.2);
  say('old', 'duplicates of older calls', null);
}

/* ---- 1,000 live calls ---- */

async function callAll(host, openai, n) {
  const conns = await Promise.all(Array.from({ length: 16 }, () => kit.client(host.port)));
  let next = 0;
  const wanted = openai.attached + n;
  await Promise.all(conns.map(async (conn) => {
    while (next < n) {
      next += 1;
      if (await conn.post(kit.signed(kit.freshId())) !== 200)
        throw new Error('a webhook was not answered 200');
    }
  }));
  await waitFor(() => openai.attached >= wanted, { timeoutMs: 30000, what: `${n} sidebands` });
  conns.forEach((conn) => conn.close());
}

async function liveCalls() {
  const openai = await kit.fastOpenAI();
  const folder = kit.stateFolder('disk');
  const host = await kit.benchHost(openai, { stateDir: path.join(folder, 'state') });
  await callAll(host, openai, 100);
  await kit.sleep(2000);
  const first = kit.memoryOf(host.pid);
  kit.progress(`${CALLS} live calls with TLS sidebands`);
  const cpu = kit.cpuSeconds(host.pid);
  const begun = performance.now();
  await callAll(host, openai, CALLS);
  const seconds = (performance.now() - begun) / 1000;
  const used = kit.cpuSeconds(host.pid) - cpu;
  await kit.sleep(3000);
  const last = kit.memoryOf(host.pid);
  const each = (last.rss - first.rss) / CALLS;
  kit.row({ row: 'memory of a live call with TLS sideband', aim: '<= 40 KB', value: each, unit: 'KiB RSS',
    runs: [each], met: each * 1.024 <= 40, floor: 28,
    note: `from 100 to ${CALLS + 100} calls; floor: what OpenSSL alone is known to take` });
  kit.row({ row: 'calls taken with sidebands', value: CALLS / seconds, unit: '/s', runs: [CALLS / seconds],
    note: `${(used / CALLS * 1e6).toFixed(0)} us of CPU each (two TLS ends: ours), the JavaScript service is `
      + 'the limit' });
  await reattach(openai, host, CALLS + 100);
  await openai.close();
}

async function reattach(openai, host, n) {
  const runs = [];
  const ours = []; // CPU seconds
  const load = [];
  let now = host;
  for (let i = 0; i < 3; i += 1) {
    kit.progress(`kill -9 with ${n} live calls, run ${i + 1} of 3`);
    await now.kill();
    await waitFor(() => openai.live.size === 0, { timeoutMs: 10000, what: 'the end of the sidebands' });
    await kit.sleep(500);
    const wanted = openai.attached + n;
    let last = 0;
    openai.onAttach = (_id, at) => { last = at; };
    const own = process.cpuUsage();
    const begun = performance.now();
    now = await kit.benchHost(openai, { stateDir: host.stateDir, dir: host.dir });
    await waitFor(() => openai.attached >= wanted, { timeoutMs: 30000, what: `${n} re-attached calls` });
    runs.push((last - begun) / 1000);
    ours.push(kit.cpuSeconds(now.pid));
    load.push(process.cpuUsage(own).user / 1e6 + process.cpuUsage(own).system / 1e6);
    await kit.sleep(500);
    if (openai.attached !== wanted)
      throw new Error(`${openai.attached - wanted} calls were attached twice`);
  }
  await now.kill();
  const value = kit.median(runs);
  kit.row({ row: `kill -9 with ${n} live calls to the last session.created`, aim: '< 2 s', value, unit: 's', runs,
    met: value < 2, note: `from the exec of the host; CPU of it ${kit.median(ours).toFixed(2)} s, of the JavaScript `
      + `service, which does as many TLS handshakes on a core of its own, ${kit.median(load).toFixed(2)} s` });
}

process.stdout.write(`machine: ${kit.machine()}\n`);
kit.pin(0, false);
await webhookCpu();
await liveCalls();
kit.table();
process.exit(0);
