/* SPDX-License-Identifier: MIT */
/*
 * A long run on one host: SOAK_CALLS calls (1,000,000) of half a second with a turn on either side, SOAK_RATE a second
 * (500); then 10,000 live calls for SOAK_HOLD seconds (3,600) with 20 events a second in a tenth of them. Heap in use,
 * descriptors and threads must stay what they were after the first tenth of the calls: the upper 95 % bound of the
 * heap's slope is below a byte a call (caches are full after some 10,000). Exits 1 when not. Memory files are off: they grow with what is said.
 */
import fs from 'node:fs';
import path from 'node:path';
import { buildDir } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const CALLS = Number(process.env.SOAK_CALLS ?? 1000000);
const RATE = Number(process.env.SOAK_RATE ?? 500);
const HOLD = Number(process.env.SOAK_HOLD ?? 3600);
const LIVE = Math.min(10000, Number(process.env.SOAK_LIVE ?? 10000));
const STEPS = 50;
const QUIET_MS = 70000; // idle connections are closed by then

const heapFile = path.join(kit.stateFolder('memory'), 'heap');
const service = await kit.loadService();
const dir = kit.stateFolder('disk');
const host = await kit.benchHost(service, { stateDir: path.join(dir, 'state'),
  env: { LD_PRELOAD: path.join(buildDir, 'tests/bench/so_heap.so'), OCV_HEAP_FILE: heapFile },
  changes: { memory: { voice: { persist_call_summaries: false, persist_caller_updates: false } },
    agent: { main_session: { memory: { include_voice_calls: false, voice_summary_in_daily: false } } } } });

const heap = () => Number(fs.readFileSync(heapFile, 'utf8'));
const count = (what) => fs.readdirSync(`/proc/${host.pid}/${what}`).length;

/* What the heap holds when all calls are over and nothing is under way: the least of some looks. */
async function sample(calls) {
  let least = Infinity;
  for (let i = 0; i < 5; i += 1) {
    await kit.sleep(500);
    least = Math.min(least, heap());
  }
  return { calls, heap: least, rss: kit.memoryOf(host.pid).rss };
}

async function handles() {
  kit.progress(`quiet for ${QUIET_MS / 1000} s, to count descriptors and threads`);
  await kit.sleep(QUIET_MS);
  return { fds: count('fd'), threads: count('task') };
}

/* Slope of the heap over the calls and the upper end of its 95 % interval (least squares). */
function slope(samples) {
  const n = samples.length;
  const mean = (of) => samples.reduce((sum, x) => sum + of(x), 0) / n;
  const [mx, my] = [mean((x) => x.calls), mean((x) => x.heap)];
  const sxx = samples.reduce((sum, x) => sum + (x.calls - mx) ** 2, 0);
  const b = samples.reduce((sum, x) => sum + (x.calls - mx) * (x.heap - my), 0) / sxx;
  const rest = samples.reduce((sum, x) => sum + (x.heap - my - b * (x.calls - mx)) ** 2, 0);
  return { b, upper: b + 1.99 * Math.sqrt(rest / (n - 2) / sxx) };
}

async function manyCalls() {
  const samples = [];
  let before = null;
  const step = Math.ceil(CALLS / STEPS);
  const begun = Date.now();
  for (let made = 0; made < CALLS; made += step) {
    const out = await service.ask(`churn ${host.port} ${made + 1} ${step} ${RATE} 500`);
    samples.push(await sample(made + step));
    if (samples.length === STEPS / 10)
      before = await handles();
    const last = samples.at(-1);
    kit.progress(`${last.calls} calls, ${((Date.now() - begun) / 60000).toFixed(1)} min: heap ${(last.heap / 1024).toFixed(0)} KiB, `
      + `RSS ${last.rss} KiB, accept p99 ${out.p99_ms} ms, ${out.bad} refused`);
  }
  const steady = samples.slice(Math.ceil(STEPS / 10) - 1);
  const { b, upper } = slope(steady);
  const after = await handles();
  const same = after.fds === before.fds && after.threads === before.threads;
  kit.row({ row: `heap in use, slope from ${steady[0].calls} to ${steady.at(-1).calls} calls`, aim: '< 1 byte a call', value: upper,
    unit: 'bytes a call', runs: [steady[0].heap, steady.at(-1).heap], met: upper < 1,
    note: `upper end of the 95 % interval; the slope itself ${b.toFixed(3)}` });
  kit.row({ row: 'descriptors and threads', aim: 'equal', value: after.fds, unit: 'descriptors',
    runs: [before.fds, after.fds], met: same, note: `${before.threads} and ${after.threads} threads` });
  return upper < 1 && same;
}

async function held() {
  if (HOLD === 0)
    return true;
  kit.progress(`${LIVE} live calls`);
  await service.ask(`calls ${host.port} ${CALLS + 1000} ${LIVE} 500`);
  const worst = [];
  for (let left = HOLD; left > 0; left -= 60) {
    const out = await service.ask(`events ${LIVE / 10} 20 ${Math.min(60, left)}`);
    worst.push(out.p99_ms);
    kit.progress(`${out.open} calls live, ${HOLD - left} of ${HOLD} s: p99 ${out.p99_ms} ms, heap ${(heap() / 1024).toFixed(0)} KiB`);
    if (out.open !== LIVE)
      throw new Error(`${out.open} of ${LIVE} calls are left`);
  }
  const p99 = kit.median(worst);
  kit.row({ row: `${LIVE} live calls for ${HOLD} s: event handled, p99 of a minute`, aim: '< 5 ms', value: p99, unit: 'ms',
    runs: worst, met: p99 < 5 });
  return p99 < 5;
}

process.stdout.write(`machine: ${kit.machine()}\n`);
const good = [await manyCalls(), await held()].every(Boolean);
kit.table();
await host.stop();
service.close();
process.exit(good ? 0 : 1);
