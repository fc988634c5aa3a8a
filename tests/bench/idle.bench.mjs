/* SPDX-License-Identifier: MIT */
/* t-limit: 600 */
/*
 * What the plugin adds to an idle gateway, in the gateway's own process: what it maps and how often its threads wake.
 * The native host, which holds nothing else, is measured in spine.bench.mjs.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { gatewaySkip, startGateway } from '../lib/gateway.mjs';
import { startModel } from '../sim/index.mjs';
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

async function idle(model, more) {
  const gateway = await startGateway({ model, ...more });
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
    stacks: [...new Set(stacks)].reduce((sum, m) => sum + (m?.dirty ?? 0), 0) };
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
await model.close();
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
kit.table();
process.exit(0);
