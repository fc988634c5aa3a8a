/* SPDX-License-Identifier: MIT */
/* t-limit: 900 */
/*
 * What a webhook costs the server: HTTP, signature, JSON and the durable claim with the call's row, at 256
 * connections, beside plain libuv + llhttp and beside what others would write. The calls are left unaccepted.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { buildDir, tmpdir } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const CONNECTIONS = 256;
const ROUNDS = 5;
const peers = path.join(import.meta.dirname, 'peers');
const program = (name) => path.join(buildDir, 'tests/bench', name);
const secret = { env: { ...process.env, WEBHOOK_SECRET: kit.secret } };

/** A server: {name, pid, port, next: the first call id that it has not seen}, or null if it cannot start here. */
async function serve(name, args) {
  try {
    const { child, first } = await kit.helper(args, secret);
    kit.pin(child.pid, true);
    child.removeAllListeners('exit');
    return { name, child, pid: child.pid, port: first.port, next: 1 };
  } catch (e) {
    process.stdout.write(`... left out: ${name} (${e.message})\n`);
    return null;
  }
}

/** Ends it; {commits, operations} of its database. */
function end(server) {
  return new Promise((resolve) => {
    let text = '';
    server.child.stdout.on('data', (d) => (text += d)).once('end', () => resolve(JSON.parse(text)));
    server.child.kill('SIGTERM');
  });
}

/** One run: {cpu: microseconds of the server a request, rate, busy, p99, generator: share of its core}. */
function flood(server, kind, seconds, most) {
  const cpu = kit.cpuSeconds(server.pid);
  const out = JSON.parse(execFileSync('taskset', ['-c', kit.loadCores, program('load_webhooks'), server.port,
    CONNECTIONS, seconds, kind, server.next, Math.ceil(most * seconds)].map(String), secret).toString());
  const used = kit.cpuSeconds(server.pid) - cpu;
  if (out.bad > 0)
    throw new Error(`${server.name}: ${out.bad} of ${out.requests} were not answered 200`);
  server.next = out.next;
  return { cpu: used / out.requests * 1e6, rate: out.requests / out.seconds, busy: used / out.seconds,
    p50: out.p50_ms, p99: out.p99_ms, load: out.cpu_s / out.seconds };
}

async function servers() {
  const durable = path.join(tmpdir('ocv-bench'), 'peer.db');
  const list = {
    plain: await serve('libuv + llhttp, nothing else', [program('peer_plain')]),
    ours: await serve('ours', [program('serve_claims'), kit.stateFolder('disk')]),
    memory: await serve('ours, state in memory', [program('serve_claims'), kit.stateFolder('memory')]),
    node: await serve('node:http, in memory', [process.execPath, path.join(peers, 'peer_node.mjs'), '-', '', kit.secret]),
    sqlite: await serve('node:http, durable', [process.execPath, path.join(peers, 'peer_node.mjs'), '-', '', kit.secret,
      '--db', durable]),
    fastify: await serve('fastify + standardwebhooks, in memory', [process.execPath, path.join(peers, 'peer_fastify.mjs')]),
    fastapi: await serve('uvicorn + fastapi, in memory', ['/usr/bin/python3', path.join(peers, 'peer_fastapi.py')]),
  };
  return Object.fromEntries(Object.entries(list).filter(([, s]) => s !== null));
}

async function main() {
  const s = await servers();
  const long = 10 * kit.scale;
  const short = 3 * kit.scale;
  const runs = {};
  const run = (name, ...args) => (runs[name] ??= []).push(flood(...args));
  for (let i = 0; i < ROUNDS; i += 1) {
    kit.progress(`webhooks at ${CONNECTIONS} connections, round ${i + 1} of ${ROUNDS}`);
    run('plain', s.plain, 'fresh', short, 200000);
    run('fresh', s.ours, 'fresh', long, 60000);
    run('again', s.ours, 'again', long, 1);
    run('other', s.ours, 'other', short, 120000);
    run('memory', s.memory, 'fresh', short, 60000);
    for (const name of ['node', 'sqlite', 'fastify', 'fastapi'])
      if (s[name])
        run(name, s[name], 'fresh', short, 60000);
  }
  const of = (name, what) => runs[name].map((r) => r[what]);
  const base = kit.median(of('plain', 'cpu'));
  const beside = ['node', 'sqlite', 'fastify', 'fastapi'].filter((name) => runs[name]).map((name) => ({
    name: s[name].name, value: kit.median(of(name, 'cpu')) / base, rate: Math.round(kit.median(of(name, 'rate'))) }));
  const say = (name, text, most) => {
    const value = kit.median(of(name, 'cpu')) / base;
    kit.row({ row: `webhook, server CPU: ${text}`, aim: most ? `<= ${most} x plain` : null, value, unit: 'x plain',
      runs: runs[name].map((r, i) => r.cpu / runs.plain[i].cpu), floor: 1, met: most ? value <= most : null, peer: beside,
      note: `${kit.median(of(name, 'cpu')).toFixed(1)} us each, plain ${base.toFixed(1)} us; ${Math.round(kit.median(
        of(name, 'rate')))}/s, plain ${Math.round(kit.median(of('plain', 'rate')))}/s; server busy ${(100 * kit.median(
        of(name, 'busy'))).toFixed(0)} %, generator ${(100 * kit.median(of(name, 'load'))).toFixed(0)} % of a core` });
  };
  say('fresh', 'fresh ids, durable claim, state on disk', 1.7);
  say('again', 'repeats of the last 1,000 calls', 1.2);
  say('memory', 'fresh ids, state in memory (tmpfs)', null);
  say('other', 'an event of another kind', null);
  const p99 = kit.median(of('fresh', 'p99'));
  kit.row({ row: `webhook, p99 at ${CONNECTIONS} connections in flight`, aim: '< 10 ms', value: p99, unit: 'ms',
    runs: of('fresh', 'p99'), met: p99 < 10, peer: ['node', 'sqlite', 'fastify', 'fastapi'].filter((n) => runs[n])
      .map((n) => ({ name: s[n].name, value: kit.median(of(n, 'p99')) })), floor: kit.median(of('plain', 'p99')),
    note: 'every connection asks again as soon as it is answered: the server is always full' });
  for (const [name, text] of [['ours', 'state on disk'], ['memory', 'state in memory (tmpfs)']]) {
    const { commits, operations } = await end(s[name]);
    kit.row({ row: `webhook, claims that share a commit, ${text}`, value: operations / commits, unit: 'claims',
      note: `${operations} claims in ${commits} commits` });
  }
  Object.values(s).forEach((one) => one.child.kill('SIGTERM'));
}

process.stdout.write(`machine: ${kit.machine()}\n`);
await main();
kit.table();
process.exit(0);
