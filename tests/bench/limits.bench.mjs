/* SPDX-License-Identifier: MIT */
/*
 * What this machine does of one thing alone, so that our figures can be held against it (limits.mjs says which against
 * which): parser, signature, JSON, commits, syncs, TLS handshakes, round trips. Five rounds of each in turn.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buildDir } from '../lib/util.mjs';
import * as kit from './kit.mjs';
import { keepLimits } from './limits.mjs';

const ROUNDS = 5;
const CONNECTIONS = 256;
const program = path.join(buildDir, 'tests/bench/limit_alone');
const env = { ...process.env, WEBHOOK_SECRET: kit.secret };
const folders = { disk: kit.stateFolder('disk'), memory: kit.stateFolder('memory') };
const serverCore = String(kit.serverCore ?? 0);

/* One part on one core: what it did a second of the clock, and of CPU. */
function alone(what, seconds, args = [], core = serverCore) {
  const out = JSON.parse(execFileSync('taskset', ['-c', core, program, what, seconds, ...args].map(String), { env }).toString());
  return { rate: out.done / out.seconds, perCpu: out.done / out.cpu_s, us: out.cpu_s / out.done * 1e6, done: out.done };
}

let files = 0;

function commits(where, rows, seconds) {
  const file = path.join(folders[where], `${files += 1}.db`);
  const out = alone('commit', seconds, [file, rows]);
  for (const end of ['', '-wal', '-shm'])
    fs.rmSync(file + end, { force: true });
  return out;
}

function roundTrips(server, seconds) {
  const cpu = kit.cpuSeconds(server.pid);
  const out = alone('ping', seconds, [server.port, CONNECTIONS], kit.loadCores);
  const used = kit.cpuSeconds(server.pid) - cpu;
  return { rate: out.rate, perCpu: out.done / used, us: used / out.done * 1e6 };
}

const { child, first } = await kit.helper([program, 'echo']);
child.removeAllListeners('exit');
kit.pin(child.pid, true);
const server = { pid: child.pid, port: first.port };
const service = await kit.loadService();

const [brief, long] = [0.5 * kit.scale, kit.scale];
const parts = {
  llhttp: { row: 'llhttp alone: the request of the webhook rows', take: () => alone('llhttp', brief) },
  hmac: { row: 'HMAC-SHA256 alone, of that request', take: () => alone('hmac', brief) },
  strict: { row: 'strict check of its JSON alone', take: () => alone('strict', brief) },
  cjson: { row: 'cJSON alone: its tree, made and freed', take: () => alone('cjson', brief) },
  echo: { row: 'libuv alone: an echo of its bytes at 256 connections', take: () => roundTrips(server, long) },
  handshakes: { row: 'TLS handshakes alone (openssl s_time, full)', clock: true,
    take: () => ({ rate: kit.handshakes(service.port, Math.max(1, Math.round(2 * kit.scale))) }) },
  sync: { row: 'fdatasync alone, 4 KiB each', clock: true, take: () => alone('fdatasync', long, [path.join(folders.disk, 'sync')]) },
  commit: { row: 'SQLite alone: commits of one row, on disk', clock: true, take: () => commits('disk', 1, long) },
  commits: { row: 'SQLite alone: commits of 25 rows, on disk', clock: true, take: () => commits('disk', 25, long) },
  commitMemory: { row: 'SQLite alone: commits of one row, in memory (tmpfs)', clock: true, take: () => commits('memory', 1, long) },
  commitsMemory: { row: 'SQLite alone: commits of 25 rows, in memory', clock: true, take: () => commits('memory', 25, long) },
};

process.stdout.write(`machine: ${kit.machine()}\n`);
kit.pin(0, false);
const runs = Object.fromEntries(Object.keys(parts).map((name) => [name, []]));
for (let i = 0; i < ROUNDS; i += 1) {
  kit.progress(`limits, round ${i + 1} of ${ROUNDS}`);
  for (const [name, part] of Object.entries(parts))
    runs[name].push(part.take());
}
service.close();
child.kill('SIGTERM');
const median = (name, what) => kit.median(runs[name].map((r) => r[what]));
const us = (name) => median(name, 'us');
keepLimits({ llhttp_us: us('llhttp'), hmac_us: us('hmac'), strict_us: us('strict'), cjson_us: us('cjson'), echo_us: us('echo'),
  echo_s: median('echo', 'rate'), handshakes_s: median('handshakes', 'rate'), syncs_s: median('sync', 'rate'),
  commits_s: median('commit', 'rate'), rows_disk_s: 25 * median('commits', 'rate'), row_disk_us: us('commits') / 25,
  row_memory_us: us('commitsMemory') / 25 });
for (const [name, part] of Object.entries(parts)) {
  const what = part.clock ? 'rate' : 'perCpu';
  kit.row({ row: part.row, value: median(name, what), unit: part.clock ? '/s' : 'a CPU-second', runs: runs[name].map((r) => r[what]),
    note: runs[name][0].us === undefined ? 'client and server on a core each' : `${us(name).toFixed(2)} us of CPU each${name === 'echo'
      ? `, ${Math.round(median(name, 'rate'))}/s` : ''}` });
}
kit.table();
process.exit(0);
