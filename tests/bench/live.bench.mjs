/* SPDX-License-Identifier: MIT */
/* t-limit: 1200 */
/*
 * Live calls: how soon a new one is accepted, how many a second, what their events and their memory cost from 1 to
 * 10,000 of them, and how soon all are there again after kill -9. The load is load_service.c. OCV_BENCH_HOLD: seconds
 * for which 10,000 calls are held (30).
 */
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buildDir } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const ROUNDS = 5;
const MANY = 10000;
const peers = path.join(import.meta.dirname, 'peers');
const ms = (x) => `${x.toFixed(2)} ms`;
const nowUs = () => Number(process.hrtime.bigint() / 1000n);

/** A host and its load; `next`: the number of the first call that was not made yet. */
async function pair({ tls = true, where = 'disk', more: settings = () => ({}) } = {}) {
  const service = await kit.loadService({ tls });
  const dir = kit.stateFolder(where);
  const start = (more) => kit.benchHost(service, { stateDir: path.join(dir, 'state'), ...settings(service), ...more });
  const p = { service, dir, start, host: await start(), next: 1 };
  p.calls = async (n, rate) => {
    const out = await service.ask(`calls ${p.host.port} ${p.next} ${n} ${rate}`);
    p.next += n;
    if (out.bad > 0)
      throw new Error(`${out.bad} of ${n} webhooks were not answered 200`);
    return out;
  };
  p.end = async () => {
    await p.host.kill();
    service.close();
  };
  await kit.sleep(500); // its pool warms
  return p;
}

/* ---- New calls ---- */

async function newCalls() {
  const p = await pair();
  const n = Math.ceil(500 * kit.scale);
  const ours = [];
  const floor = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    kit.progress(`${n} new calls at 50 a second, round ${i + 1} of ${ROUNDS}`);
    floor.push(await kit.bareCommits(p.dir, 200, 20));
    ours.push(await p.calls(n, 50));
  }
  await p.end();
  for (const [q, name, more] of [[0.5, 'p50_ms', 0.3], [0.99, 'p99_ms', 2]]) {
    const bare = floor.map((f) => kit.quantile(f, q));
    const value = kit.median(ours.map((o) => o[name]));
    kit.row({ row: `new call: webhook in to accept out, p${q * 100}, 50 calls/s`, aim: `<= bare commit + ${more} ms`, value,
      unit: 'ms', runs: ours.map((o) => o[name]), floor: kit.median(bare), met: value <= kit.median(bare) + more,
      note: `claim durable, context loaded, warm TLS; from the webhook's write to the read of the accept's head in one `
        + `program; ${ms(value - kit.median(bare))} above the bare commit` });
  }
}

async function sustained() {
  const runs = { bare: [], with: [], hands: [], cpu: [] };
  const n = Math.ceil(4000 * kit.scale);
  for (let i = 0; i < ROUNDS; i += 1) {
    kit.progress(`${n} calls as fast as they come, round ${i + 1} of ${ROUNDS}`);
    const p = await pair();
    runs.hands.push(kit.handshakes(p.service.port, 2));
    const cpu = kit.cpuSeconds(p.host.pid);
    const out = await p.calls(n, 1e6);
    runs.with.push(n / out.seconds);
    runs.cpu.push((kit.cpuSeconds(p.host.pid) - cpu) / n * 1e6);
    await p.end();
    const q = await pair();
    await q.service.ask('deaf');
    runs.bare.push(n / (await q.calls(n, 1e6)).seconds);
    await q.end();
  }
  kit.row({ row: 'calls a second, without sidebands', aim: '>= 2000 /s', value: kit.median(runs.bare), unit: '/s',
    runs: runs.bare, met: kit.median(runs.bare) >= 2000, note: 'webhook to accept, durable; the sidebands wait '
      + 'for a service that takes no connection' });
  const share = kit.median(runs.with) / kit.median(runs.hands);
  kit.row({ row: 'calls a second, with sidebands', aim: '>= 60 % of the TLS handshakes alone', value: kit.median(runs.with),
    unit: '/s', runs: runs.with, floor: kit.median(runs.hands), met: share >= 0.6, note: `${(100 * share).toFixed(0)} % `
      + `of ${Math.round(kit.median(runs.hands))} handshakes a second (openssl s_time); ${kit.median(runs.cpu).toFixed(0)} us `
      + 'of the host a call, from webhook to session.created handled' });
}

/* ---- Events ---- */

const FLOOD_CONNS = 50;

/* Microseconds of CPU an event of the process that reads them. */
async function flood(service, pid, kind) {
  const count = Math.ceil(200000 * kit.scale);
  const cpu = kit.cpuSeconds(pid);
  const out = await service.ask(`flood ${FLOOD_CONNS} ${count} ${kind}`);
  return { cpu: (kit.cpuSeconds(pid) - cpu) / count * 1e6, rate: count / out.seconds, load: out.cpu_s / out.seconds };
}

/* A client of the service that is none of ours, attached. */
async function reader(tls, args, n = FLOOD_CONNS) {
  try {
    const service = await kit.loadService({ tls });
    const made = kit.helper(args(service, n, tls ? 'tls' : 'plain'));
    made.catch(() => {});
    const attached = await Promise.race([service.ask(`attach ${n}`), made.then(() => kit.sleep(5000))]);
    if (!attached)
      throw new Error('it did not attach');
    const { child } = await made;
    child.removeAllListeners('exit');
    kit.pin(child.pid, true);
    return { service, pid: child.pid, end: () => { child.kill('SIGKILL'); service.close(); } };
  } catch (e) {
    process.stdout.write(`... left out: ${e.message}\n`);
    return null;
  }
}

/* SSL_read and cJSON, and nothing else. */
const alone = (n, tls = true) => reader(tls, (s, m, kind) => [path.join(buildDir, 'tests/bench/peer_sideband'), String(s.port),
  String(m), kind], n);

async function events(tls) {
  const how = tls ? 'TLS' : 'plain TCP';
  const p = await pair({ tls });
  await p.calls(FLOOD_CONNS, 100);
  const all = { ours: { service: p.service, pid: p.host.pid },
    floor: await alone(FLOOD_CONNS, tls),
    ws: await reader(tls, (s, n, kind) => [process.execPath, path.join(peers, 'sideband_ws.mjs'), String(s.port), String(n), kind]),
    python: await reader(tls, (s, n, kind) => ['/usr/bin/python3', path.join(peers, 'sideband_websockets.py'), String(s.port),
      String(n), kind]) };
  const runs = {};
  for (let i = 0; i < ROUNDS; i += 1) {
    kit.progress(`events over ${how}, round ${i + 1} of ${ROUNDS}`);
    for (const [name, one] of Object.entries(all).filter(([, o]) => o))
      for (const kind of name === 'python' || name === 'ws' ? ['heard'] : ['heard', 'handled'])
        (runs[`${name} ${kind}`] ??= []).push(await flood(one.service, one.pid, kind));
  }
  all.floor?.end();
  all.ws?.end();
  all.python?.end();
  await p.end();
  const cpu = (name) => kit.median(runs[name].map((r) => r.cpu));
  for (const kind of ['heard', 'handled']) {
    const share = cpu(`floor ${kind}`) / cpu(`ours ${kind}`);
    kit.row({ row: `sideband events in over ${how}: ${kind === 'heard' ? 'pieces of transcript' : 'the caller begins to speak'}`,
      aim: '>= 60 % of SSL_read + cJSON alone', value: share * 100, unit: '% of the floor', met: share >= 0.6,
      runs: runs[`ours ${kind}`].map((r, i) => 100 * runs[`floor ${kind}`][i].cpu / r.cpu), floor: 100,
      peer: ['ws', 'python'].filter((n) => runs[`${n} heard`]).map((n) => ({ name: n === 'ws' ? 'npm ws + JSON.parse'
        : 'python websockets + json', value: 100 * cpu('floor heard') / cpu(`${n} heard`) })),
      note: `330 bytes each; ours ${cpu(`ours ${kind}`).toFixed(1)} us of CPU an event, ${Math.round(1e6 / cpu(
        `ours ${kind}`))} per CPU-second, the floor ${cpu(`floor ${kind}`).toFixed(1)} us; what means nothing to a call is `
        + 'told by its type alone, the floor parses every event' });
  }
}

/* ---- From 1 to 10,000 calls ---- */

async function manyCalls() {
  const p = await pair();
  const points = [];
  for (const n of [1, 10, 100, 1000, MANY]) {
    kit.progress(`${n} live calls`);
    const before = points.at(-1);
    if (n > (before?.n ?? 0))
      await p.calls(n - (before?.n ?? 0), 500);
    await kit.sleep(2000);
    const speaking = Math.max(1, n / 10);
    const seconds = n === MANY ? Number(process.env.OCV_BENCH_HOLD ?? 30 * kit.scale) : 5 * kit.scale;
    const idle = kit.cpuSeconds(p.host.pid);
    await kit.sleep(2000);
    const base = (kit.cpuSeconds(p.host.pid) - idle) / 2;
    const floor = n >= 100 ? await alone(n) : null;
    const each = n === MANY ? seconds / ROUNDS : seconds;
    const rounds = [];
    const below = []; // in turn with ours: both meet the same machine
    for (let i = 0; i < (n === MANY ? ROUNDS : 1); i += 1) {
      const cpu = kit.cpuSeconds(p.host.pid);
      const out = await p.service.ask(`events ${speaking} 20 ${each}`);
      if (out.open !== n)
        throw new Error(`${out.open} of ${n} sidebands are open`);
      rounds.push({ ...out, cpu: (kit.cpuSeconds(p.host.pid) - cpu - base * out.seconds) / out.events * 1e6 });
      if (floor)
        below.push(await floor.service.ask(`events ${speaking} 20 ${Math.min(3, each)}`));
    }
    floor?.end();
    const of = (what) => kit.median(rounds.map((r) => r[what]));
    points.push({ n, rounds, rss: kit.memoryOf(p.host.pid).rss, p50: of('p50_ms'), p99: of('p99_ms'), cpu: of('cpu'), idle: base,
      seconds, load: kit.median(rounds.map((r) => r.cpu_s / r.seconds)),
      floor: floor ? kit.median(below.map((r) => r.p99_ms)) : null });
  }
  await p.end();
  const [at100, at10k] = [points[2], points[4]];
  const memory = (from, to) => (to.rss - from.rss) / (to.n - from.n);
  const each = memory(points[3], at10k);
  kit.row({ row: `${MANY} live calls, 20 events/s in a tenth of them: event handled, p99`, aim: '< 5 ms', value: at10k.p99,
    unit: 'ms', runs: at10k.rounds.map((x) => x.p99_ms), floor: at10k.floor, met: at10k.p99 < 5, note: `from the event's write to the `
      + `pong behind it, held for ${at10k.seconds.toFixed(0)} s, p50 ${ms(at10k.p50)}; floor: SSL_read + cJSON alone on as many `
      + `connections, in turn with ours; ${points.slice(0, -1).map((x) => `at ${x.n} ${ms(x.p99)}${x.floor === null ? ''
        : ` (floor ${ms(x.floor)})`}`).join(', ')}; load's share of its core ${(100 * at10k.load).toFixed(0)} %` });
  kit.row({ row: `CPU of an event at ${MANY} calls`, aim: '<= 1.3 x that at 100', value: at10k.cpu / at100.cpu, unit: 'x',
    runs: at10k.rounds.map((x) => x.cpu / at100.cpu), met: at10k.cpu <= 1.3 * at100.cpu, note: `${at10k.cpu.toFixed(1)} us with its `
      + `ping and pong, ${points.slice(0, -1).map((x) => `at ${x.n} ${x.cpu.toFixed(1)} us`).join(', ')}; the calls themselves, idle: ${(at10k.idle * 100).toFixed(1)} % of a core` });
  kit.row({ row: 'memory of a live call with TLS sideband', aim: '<= 40 KB RSS', value: each * 1.024, unit: 'KB',
    runs: points.slice(2).map((x, i) => memory(points[i + 1], x) * 1.024), met: each * 1.024 <= 40, floor: 24,
    note: `from 1,000 to ${MANY}; at 100 to 1,000 ${(memory(at100, points[3]) * 1.024).toFixed(1)} KB; floor: what OpenSSL `
      + 'alone takes with a socket' });
  plot(points);
}

function plot(points) {
  const dir = path.join(buildDir, 'bench');
  fs.mkdirSync(dir, { recursive: true });
  const data = path.join(dir, 'cost.dat');
  fs.writeFileSync(data, points.map((x) => [x.n, x.cpu, x.p99 * 1000, x.rss / x.n].join(' ')).join('\n'));
  const script = `set terminal png size 900,600; set output '${path.join(dir, 'cost.png')}'; set logscale xy; set grid;
    set xlabel 'live calls'; set ylabel 'microseconds, KiB'; set key left top; plot '${data}' using 1:2 with linespoints title
    'CPU an event (us)', '' using 1:3 with linespoints title 'p99 of an event (us)', '' using 1:4 with linespoints title
    'RSS a call (KiB, the host included)'`.replace(/\n\s*/g, ' ');
  try {
    execFileSync('gnuplot', ['-e', script], { stdio: 'pipe' });
    process.stdout.write('... drawn: bench/cost.png in the build folder\n');
  } catch (e) {
    process.stdout.write(`... not drawn: ${e.message.split('\n')[0]}\n`);
  }
}

/* ---- Beside a program that wants the whole core ---- */

async function beside() {
  const n = 1000;
  const p = await pair();
  await p.calls(n, 500);
  const floor = await alone(n);
  const busy = spawn('/bin/sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' });
  process.on('exit', () => busy.kill('SIGKILL'));
  kit.pin(busy.pid, true);
  const runs = { ours: [], floor: [] };
  for (let i = 0; i < ROUNDS; i += 1) {
    kit.progress(`${n} live calls beside a busy program, round ${i + 1} of ${ROUNDS}`);
    runs.ours.push(await p.service.ask(`events ${n / 10} 20 ${3 * kit.scale}`));
    if (floor)
      runs.floor.push(await floor.service.ask(`events ${n / 10} 20 ${3 * kit.scale}`));
  }
  busy.kill('SIGKILL');
  floor?.end();
  await p.end();
  const of = (name, what) => runs[name].map((r) => r[what]);
  const value = kit.median(of('ours', 'p99_ms'));
  kit.row({ row: `${n} live calls beside a program that keeps the core busy: event handled, p99`, aim: '< 5 ms', value, unit: 'ms',
    runs: of('ours', 'p99_ms'), met: value < 5, peer: floor ? [{ name: 'SSL_read + cJSON alone, with ordinary turns on the core',
      value: kit.median(of('floor', 'p99_ms')) }] : [], note: `20 events/s in a tenth of them; p50 ${ms(kit.median(of('ours', 'p50_ms')))}` });
}

/* ---- Tools ---- */

async function tools() {
  const count = Math.ceil(300 * kit.scale);
  const p = await pair({ more: (service) => ({ security: { whitelist: ['+15551234567'], tools: { known: 'full' } },
    changes: { openclaw: { gateway_url: `http://127.0.0.1:${service.agent}`, gateway_token: 'bench' } } }) });
  await p.calls(100, 100);
  await kit.sleep(1000);
  const runs = [];
  const floor = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    kit.progress(`${count} answers of the agent, round ${i + 1} of ${ROUNDS}`);
    runs.push(await p.service.ask(`tools 50 ${count} 10`));
    floor.push(await p.service.ask(`events 10 10 ${count / 100}`));
  }
  await p.end();
  const of = (list, what) => kit.median(list.map((r) => r[what]));
  const own = of(runs, 'p99_ms') - of(floor, 'p99_ms');
  kit.row({ row: 'tool result ready to function_call_output and response.create, p99', aim: 'an event and its pong + 1 ms',
    value: of(runs, 'p99_ms'), unit: 'ms', runs: runs.map((r) => r.p99_ms), floor: of(floor, 'p99_ms'), met: own < 1,
    note: `from the write of the agent's answer to the read of response.create in one program, 100 live calls, one answer every 10 ms; `
      + `p50 ${ms(of(runs, 'p50_ms'))}, the output alone ${ms(of(runs, 'output_p50_ms'))}; floor: an event and the pong behind it on the `
      + `same way, p50 ${ms(of(floor, 'p50_ms'))}` });
}

/* ---- kill -9 ---- */

async function reattach() {
  const n = 1000;
  const p = await pair();
  await p.calls(n, 500);
  const runs = [];
  const cpu = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    kit.progress(`kill -9 with ${n} live calls, round ${i + 1} of ${ROUNDS}`);
    await p.host.kill();
    await kit.sleep(500);
    const begun = nowUs();
    p.host = await p.start({ dir: p.host.dir });
    const { last_us: last, open } = await p.service.ask(`attach ${n}`);
    runs.push((last - begun) / 1e6);
    cpu.push(kit.cpuSeconds(p.host.pid));
    await kit.sleep(1000);
    if (open !== n || (await p.service.ask('attach 0')).open !== n)
      throw new Error('a call was attached twice');
  }
  await p.end();
  const value = kit.median(runs);
  kit.row({ row: `kill -9 with ${n} live calls to the last session.created`, aim: '< 2 s', value, unit: 's', runs,
    met: value < 2, note: `from the exec of the host, which uses ${kit.median(cpu).toFixed(2)} s of CPU for it` });
}

process.stdout.write(`machine: ${kit.machine()}\n`);
kit.pin(0, false);
await newCalls();
await sustained();
await events(true);
await events(false);
await manyCalls();
await beside();
await tools();
await reattach();
kit.table();
process.exit(0);
