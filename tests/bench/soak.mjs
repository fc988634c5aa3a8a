/* SPDX-License-Identifier: MIT */
/*
 * A long run on one host: SOAK_CALLS calls (1,000,000) of half a second with a turn on either side, SOAK_RATE a second
 * (500), retention on. After each fiftieth of them its wall clock goes forward by six hours: twelve days in all, in
 * which ended calls are kept for an hour and claims for three days. Then SOAK_LIVE live calls (10,000) for SOAK_HOLD
 * seconds (3,540; 600 is the short form) with SOAK_EVENTS (20) events a second in a tenth of them.
 *
 * It passes when, from the 100,000th call on, the upper end of the 95 % interval of the slope of the heap in use is below
 * a byte a call; when descriptors and threads are as many at the end as then; when the database stops growing; when all
 * live calls are held and the p99 of their events is below 5 ms. Exits 1 when not. Below 200,000 calls the slope is only
 * told, from their half on: caches are full after some 60,000. What was measured stands in bench/soak.jsonl in the build
 * folder as it comes; a run that is interrupted sums up what it has, and fails. SOAK_STATE=memory keeps the state in
 * memory: beside others who wait for the disk. Memory files are off: they grow with what is said.
 */
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { buildDir } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const CALLS = Number(process.env.SOAK_CALLS ?? 1000000);
const RATE = Number(process.env.SOAK_RATE ?? 500);
const HOLD = Number(process.env.SOAK_HOLD ?? 3540); // with the time in which they come an hour, after which a call ends
const EVENTS = Number(process.env.SOAK_EVENTS ?? 20);
const LIVE = Math.min(10000, Number(process.env.SOAK_LIVE ?? 10000));
const STEPS = 50;
const STEP = Math.ceil(CALLS / STEPS);
const SIGNED = 5000; // calls under one timestamp of their webhooks, which may be 300 s old
const WARM = Math.min(100000, CALLS / 2);
const LATER_S = 6 * 3600;
const QUIET_MS = 70000; // idle connections are closed by then

const watched = kit.stateFolder('memory');
const heapFile = path.join(watched, 'heap');
const laterFile = path.join(watched, 'later');
const log = path.join(buildDir, 'bench', 'soak.jsonl');
fs.writeFileSync(laterFile, Buffer.alloc(8));
fs.mkdirSync(path.dirname(log), { recursive: true });
fs.writeFileSync(log, '');

const service = await kit.loadService();
const stateDir = path.join(kit.stateFolder(process.env.SOAK_STATE ?? 'disk'), 'state');
const host = await kit.benchHost(service, { stateDir,
  env: { LD_PRELOAD: path.join(buildDir, 'tests/bench/so_heap.so'), OCV_HEAP_FILE: heapFile, OCV_LATER_FILE: laterFile },
  changes: { memory: { voice: { persist_call_summaries: false, persist_caller_updates: false } },
    sessions: { voice: { persist_ended_sessions: false, session_cleanup_hours: 1 } },
    agent: { main_session: { memory: { include_voice_calls: false, voice_summary_in_daily: false } } } } });

const heap = () => Number(fs.readFileSync(heapFile, 'utf8'));
const count = (what) => fs.readdirSync(`/proc/${host.pid}/${what}`).length;
const KiB = (bytes) => Math.round(bytes / 1024);

const note = (entry) => {
  fs.appendFileSync(log, `${JSON.stringify(entry)}\n`);
  host.events.length = 0; // a host tells of every call
};

/* Bytes of the state folder's files. */
function disk() {
  return fs.readdirSync(stateDir).reduce((sum, name) => sum + (fs.statSync(path.join(stateDir, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

function rowsOf(...tables) {
  const db = new DatabaseSync(path.join(stateDir, 'voice.db'), { readOnly: true });
  try {
    return tables.map((name) => db.prepare(`SELECT count(*) AS n FROM ${name}`).get().n);
  } finally {
    db.close();
  }
}

/* What is held when all calls are over and nothing is under way: of the heap the least of some looks. */
async function sample(calls) {
  let least = Infinity;
  for (let i = 0; i < 5; i += 1) {
    await kit.sleep(500);
    least = Math.min(least, heap());
  }
  const [kept, claims] = rowsOf('call', 'claim');
  return { calls, heap: least, rss: kit.memoryOf(host.pid).rss, disk: disk(), kept, claims };
}

async function handles() {
  kit.progress(`quiet for ${QUIET_MS / 1000} s, to count descriptors and threads`);
  await kit.sleep(QUIET_MS);
  const now = { fds: count('fd'), threads: count('task') };
  note(now);
  return now;
}

/* Slope of the heap over the calls and the upper end of its 95 % interval (least squares, Student's t). */
function slope(samples) {
  const n = samples.length;
  const mean = (of) => samples.reduce((sum, x) => sum + of(x), 0) / n;
  const [mx, my] = [mean((x) => x.calls), mean((x) => x.heap)];
  const sxx = samples.reduce((sum, x) => sum + (x.calls - mx) ** 2, 0);
  const b = samples.reduce((sum, x) => sum + (x.calls - mx) * (x.heap - my), 0) / sxx;
  const rest = samples.reduce((sum, x) => sum + (x.heap - my - b * (x.calls - mx)) ** 2, 0);
  const t = 1.96 + 2.37 / (n - 2) + 2.8 / (n - 2) ** 2; // 0.975 quantile, good to 0.01 from 5 degrees of freedom on
  return { b, upper: b + t * Math.sqrt(rest / (n - 2) / sxx) };
}

const samples = [];
const faults = [];
const worst = [];
let before = null;
let after = null;
let refused = 0;
let again = 0;

const judge = (good, what) => {
  if (!good)
    faults.push(what);
  return good;
};

async function manyCalls() {
  const begun = Date.now();
  for (let made = 0; made < CALLS; made += STEP) {
    let p99 = 0;
    for (let part = 0; part < STEP; part += SIGNED) {
      const out = await service.ask(`churn ${host.port} ${made + part + 1} ${Math.min(SIGNED, STEP - part)} ${RATE} 500`);
      p99 = Math.max(p99, out.p99_ms);
      refused += out.bad;
    }
    const last = await sample(made + STEP);
    samples.push(last);
    note(last);
    kit.progress(`${last.calls} calls, ${((Date.now() - begun) / 60000).toFixed(1)} min: heap ${KiB(last.heap)} KiB, RSS ${last.rss} KiB, `
      + `${KiB(last.disk)} KiB on disk, ${last.kept} calls and ${last.claims} claims kept, accept p99 ${p99} ms, ${refused} refused`);
    if (last.calls >= WARM)
      before ??= await handles();
    const later = Buffer.alloc(8);
    later.writeBigInt64LE(BigInt(LATER_S * samples.length));
    fs.writeFileSync(laterFile, later, { flag: 'r+' });
    await service.ask(`later ${LATER_S * samples.length}`);
  }
  after = await handles();
}

function sumUpCalls() {
  const steady = samples.filter((x) => x.calls >= WARM);
  if (!judge(steady.length >= 7 && after !== null, 'not all calls were made'))
    return;
  const { b, upper } = slope(steady);
  const [first, last] = [steady[0], steady.at(-1)];
  const judged = CALLS >= 200000;
  kit.row({ row: `heap in use, slope from ${first.calls} to ${last.calls} calls`, aim: judged ? '< 1 byte a call' : null, value: upper,
    unit: 'bytes a call', runs: [upper], met: judged ? judge(upper < 1, 'the heap grows') : null,
    note: `upper end of the 95 % interval; the slope itself ${b.toFixed(3)}, heap ${KiB(first.heap)} and ${KiB(last.heap)} KiB; ${refused} calls were refused (503); RSS ${first.rss} `
      + `and ${last.rss} KiB` });
  kit.row({ row: 'descriptors and threads', aim: 'equal', value: after.fds, unit: 'descriptors', runs: [before.fds, after.fds],
    met: judge(after.fds === before.fds && after.threads === before.threads, 'descriptors or threads are left over'),
    note: `${before.threads} and ${after.threads} threads` });
  const most = (from, to) => Math.max(...samples.slice(from, to).map((x) => x.disk));
  const third = Math.floor(samples.length / 3);
  const [middle, end] = [most(third, 2 * third), most(2 * third)];
  kit.row({ row: 'files of the state folder, the most in the last third', aim: '<= 1.1 x that of the second', value: end / 2 ** 20,
    unit: 'MiB', runs: samples.map((x) => x.disk / 2 ** 20), met: judge(end <= 1.1 * middle, 'the database grows'),
    note: `the second third ${(middle / 2 ** 20).toFixed(1)} MiB; at the end ${last.kept} of ${last.calls} calls and ${last.claims} `
      + 'claims were kept' });
}

async function held() {
  kit.progress(`${LIVE} live calls come`);
  await service.ask(`calls ${host.port} ${CALLS + 1000} ${LIVE} ${RATE}`);
  for (let left = HOLD; left > 0; left -= 60) {
    const out = await service.ask(`events ${LIVE / 10} ${EVENTS} ${Math.min(60, left)}`);
    const now = { live: out.open, p50_ms: out.p50_ms, p99_ms: out.p99_ms, heap: heap(), rss: kit.memoryOf(host.pid).rss,
      fds: count('fd'), threads: count('task') };
    worst.push(now);
    note(now);
    kit.progress(`${now.live} calls live, ${HOLD - Math.max(0, left - 60)} of ${HOLD} s: p50 ${now.p50_ms} ms, p99 ${now.p99_ms} ms, `
      + `heap ${KiB(now.heap)} KiB, RSS ${now.rss} KiB, ${now.fds} descriptors`);
    if (out.open < LIVE) { /* sidebands that were lost, say because we were too slow to pong, are opened again */
      again += LIVE - out.open;
      await service.ask(`attach ${LIVE}`);
    }
  }
}

function sumUpHeld() {
  const last = worst.at(-1);
  if (!judge(worst.length === Math.ceil(HOLD / 60), 'not all live calls were held'))
    return;
  const p99 = kit.median(worst.map((x) => x.p99_ms));
  kit.row({ row: `${LIVE} live calls for ${HOLD} s, ${EVENTS} events/s in a tenth: event handled, p99 of a minute`, aim: '< 5 ms', value: p99, unit: 'ms',
    runs: worst.map((x) => x.p99_ms), met: judge(p99 < 5, 'p99 of events'), note: `${again} sidebands were lost and opened `
      + `again; RSS ${worst[0].rss} KiB after the first minute, ${last.rss} KiB after the last; heap ${KiB(worst[0].heap)} and ${KiB(last.heap)} KiB` });
}

function finish(why) {
  if (why)
    faults.push(why);
  if (CALLS > 0)
    sumUpCalls();
  if (HOLD > 0)
    sumUpHeld();
  kit.table();
  process.stdout.write(`soak: ${faults.length === 0 ? 'passed' : `FAILED: ${faults.join('; ')}`}\n`);
  process.exit(faults.length === 0 ? 0 : 1);
}

for (const name of ['SIGINT', 'SIGTERM'])
  process.on(name, () => finish('interrupted'));
host.exited.then(() => finish('the host ended'));
process.stdout.write(`machine: ${kit.machine()}\n`);
try {
  if (CALLS > 0)
    await manyCalls();
  if (HOLD > 0)
    await held();
} catch (e) {
  finish(e.message);
}
finish(null);
