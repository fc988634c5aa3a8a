/* SPDX-License-Identifier: MIT */
/* t-limit: 600 */
/*
 * What the plugin adds to an idle gateway, in the gateway's own process: what it maps, how often its threads wake, and
 * what the JavaScript of a channel leaves there, before and after the agent's first turn in a chat. The native host,
 * which holds nothing else, is measured in spine.bench.mjs.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gatewaySkip, pluginDir, startGateway } from '../lib/gateway.mjs';
import { projectDir, waitFor } from '../lib/util.mjs';
import { startModel, startTelegram } from '../sim/index.mjs';
import * as kit from './kit.mjs';

const OURS = /openclaw_voice(_node)?\.(so|node)$|o200k\.bin$|\/voice\//;
const BROUGHT = /lib(cjson|wslay|yaml|sqlite3|llhttp)[.-]/;
const LIBRARY = /\.(so|node)[.0-9]*$/;
const SETTLE_S = 15; // what a gateway does after its start

const tasks = (pid) => fs.readdirSync(`/proc/${pid}/task`).map((tid) => {
  const read = (file) => fs.readFileSync(`/proc/${pid}/task/${tid}/${file}`, 'utf8');
  return { name: read('comm').trim(), stack: Number(read('syscall').split(' ').at(-2)),
    wakeups: Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(read('status'))[1]) };
});
const isOurs = (task) => task.name.startsWith('oc-');

/**
 * [{from, to, path, dirty (KiB)}]. Of a file that is mapped for reading, or privately, only what was written to counts:
 * pages that the disk does not have yet are called dirty, too, and are the file's.
 */
function mappings(pid) {
  const found = [];
  for (const line of fs.readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line);
    if (head)
      found.push({ from: parseInt(head[1], 16), to: parseInt(head[2], 16), path: head[4],
        own: head[4] === '' || /^.w.s/.test(head[3]) ? 'Private_Dirty:' : 'Anonymous:', dirty: 0 });
    else if (line.startsWith(found.at(-1)?.own))
      found.at(-1).dirty = Number(line.split(/\s+/)[1]);
  }
  return found;
}

/* KiB that a library has in memory beyond its file. */
function zeroedOf(file) {
  if (!LIBRARY.test(file))
    return 0;
  const loads = execFileSync('readelf', ['-lW', file], { encoding: 'utf8' }).matchAll(
    /^ +LOAD +\S+ +\S+ +\S+ +(0x[0-9a-f]+) +(0x[0-9a-f]+)/gm);
  return Math.max(0, ...[...loads].map(([, inFile, inMemory]) => Math.ceil((inMemory - inFile) / 4096) * 4));
}

/* With the .bss, the head of the anonymous mapping that follows a library: others may be joined to it. */
function dirtyOf(maps, pattern) {
  let kib = 0;
  maps.forEach((map, i) => {
    const next = maps[i + 1];
    if (!pattern.test(map.path))
      return;
    kib += map.dirty;
    if (next && next.path === '' && next.from === map.to)
      kib += Math.min(next.dirty, zeroedOf(map.path));
  });
  return kib;
}

/* The heap is of the gateway's main thread, after collections; the process has others, and what they leave. */
async function heapOf(gateway) {
  const heap = await gateway.rpc('blocker.heap', { match: 'node_modules/openclaw-voice/' }, { timeoutMs: 60000 });
  return { ...heap, whole: kit.memoryOf(gateway.pid).rss };
}

/* One turn of the agent, as of a chat. */
async function turn(gateway) {
  const res = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', signal: AbortSignal.timeout(120000),
    headers: { authorization: `Bearer ${gateway.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'openclaw', messages: [{ role: 'user', content: 'Hello.' }] }) });
  if (res.status !== 200)
    throw new Error(`the agent's turn: ${res.status} ${await res.text()}`);
  await res.text();
  await kit.sleep(5000);
}

/* The agent's code and threads are loaded ahead of the first call. */
const warm = (gateway) => waitFor(async () => (await gateway.rpc('voice.check')).checks
  .some((c) => c.check === 'gateway.agent' && c.result !== 'skip'), { timeoutMs: 120000, everyMs: 500, what: 'the agent' });

async function idle(model, { plugin = pluginDir, ...more }) {
  const config = { plugins: { allow: ['telegram', 'memory-core', 'blocker', ...(plugin ? ['voice'] : [])],
    load: { paths: [path.join(projectDir, 'tests/lib/blocker-plugin'), ...(plugin ? [plugin] : [])] },
    entries: { blocker: { enabled: true } } } };
  const gateway = await startGateway({ model, plugin, config, ...more });
  if (plugin)
    await warm(gateway);
  await kit.sleep(SETTLE_S * 1000);
  const { pid } = gateway;
  const seconds = Math.max(10, 30 * kit.scale);
  const before = tasks(pid);
  await kit.sleep(seconds * 1000);
  const after = tasks(pid);
  const wakeups = (list, ours) => list.filter((t) => isOurs(t) === ours).reduce((sum, t) => sum + t.wakeups, 0);
  const maps = mappings(pid);
  const stacks = after.filter(isOurs).map((t) => maps.find((m) => t.stack >= m.from && t.stack < m.to));
  const seen = { seconds, threads: after.filter(isOurs).map((t) => t.name), whole: kit.memoryOf(pid).dirty,
    ours: (wakeups(after, true) - wakeups(before, true)) / seconds,
    others: (wakeups(after, false) - wakeups(before, false)) / seconds,
    mapped: dirtyOf(maps, OURS), brought: dirtyOf(maps, BROUGHT),
    stacks: [...new Set(stacks)].reduce((sum, m) => sum + (m?.dirty ?? 0), 0), idle: await heapOf(gateway) };
  await turn(gateway);
  seen.used = await heapOf(gateway);
  await gateway.stop();
  return seen;
}

if (gatewaySkip) {
  process.stdout.write(`... left out: ${gatewaySkip}\n`);
  process.exit(0);
}
process.stdout.write(`machine: ${kit.machine()}\n`);
kit.settleFiles();
const model = await startModel();
kit.progress('an idle gateway with the plugin');
const with_ = await idle(model, { yaml: { channels: { voice: { openai: { api_key: 'sk-bench', project_id: 'proj_bench',
  base_url: 'http://127.0.0.1:9/v1' }, webhook: { secret: kit.secret } } } } });
kit.progress('an idle gateway without it');
const without = await idle(model, { plugin: null });
kit.progress('an idle gateway with Telegram instead');
const telegram = await startTelegram({});
const instead = await idle(model, { plugin: null, telegram });
await Promise.all([model, telegram].map((sim) => sim.close()));
if (with_.threads.length < 2)
  throw new Error(`the plugin does not run: threads ${with_.threads.join(', ')}`);
const kib = with_.mapped + with_.brought + with_.stacks;
kit.row({ row: 'idle gateway, mappings of ours, private dirty', aim: '<= 3 MB', value: kib * 1.024 / 1000, unit: 'MB',
  met: kib * 1.024 <= 3000, note: `.so, .node and files of ours ${with_.mapped} KiB, libraries that come along ${with_.brought} KiB, `
    + `stacks of our threads ${with_.stacks} KiB; what they allocate cannot be told from the gateway's (see the native host); the whole `
    + `process ${(with_.whole / 1024).toFixed(0)} MiB, without the plugin and its JavaScript ${(without.whole / 1024).toFixed(0)} MiB` });
kit.row({ row: 'idle gateway, wakeups of our threads', aim: '<= 0.2 /s', value: with_.ours, unit: '/s', met: with_.ours <= 0.2,
  peer: [{ name: 'the gateway\'s own threads', value: with_.others }, { name: 'the same without the plugin', value: without.others }],
  note: `voluntary context switches of ${with_.threads.join(', ')} in ${with_.seconds} s, ${SETTLE_S} s after the start` });
const heapMore = (seen, when) => (seen[when].bytes - without[when].bytes) / 2 ** 20;
const wholeMore = (seen, when) => ((seen[when].whole - without[when].whole) / 1024).toFixed(0);
for (const [when, name] of [['idle', 'idle gateway, heap of its main thread that a channel adds'],
  ['used', 'the same after one turn of the agent in a chat']])
  kit.row({ row: name, value: heapMore(with_, when), unit: 'MiB',
    peer: [{ name: 'the gateway\'s Telegram channel in its place', value: heapMore(instead, when) }],
    note: `after collections, in one run each; without any channel ${(without[when].bytes / 2 ** 20).toFixed(0)} MiB. The whole process, RSS: `
      + `${wholeMore(with_, when)} MiB more than without, Telegram ${wholeMore(instead, when)} MiB more` });
kit.row({ row: 'source of ours on the gateway\'s main thread, all copies of the package', value: with_.used.ourSource / 1024, unit: 'KiB',
  note: `${with_.used.ours} of ${with_.used.scripts} scripts, after one turn; ${with_.idle.ours} before it` });
kit.table();
process.exit(0);
