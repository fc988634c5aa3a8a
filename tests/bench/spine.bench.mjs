/* SPDX-License-Identifier: MIT */
/* t-limit: 300 */
/*
 * The numbers of the call's spine, on the native host: how soon it listens, how long from a signed webhook to
 * the accept request, what it adds to an idle machine, 500 calls at once.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { startOpenAI } from '../sim/index.mjs';
import { buildDir, tmpdir, waitFor } from '../lib/util.mjs';
import { startHost, voiceConfig } from '../lib/host.mjs';
import * as kit from './kit.mjs';

/* ---- dlopen to listening ---- */

async function startTime() {
  kit.progress('dlopen to listening');
  const openai = await kit.fastOpenAI();
  const runs = [];
  const processes = [];
  for (let i = 0; i < 5; i += 1) {
    const { first, child } = await kit.helper([path.join(buildDir, 'tests/bench/load_start'),
      path.join(buildDir, 'openclaw_voice.so'), configFile(openai)]);
    runs.push(first.ms);
    child.removeAllListeners('exit');
    if (child.exitCode === null)
      await new Promise((resolve) => { child.once('exit', resolve); });
    const host = await kit.benchHost(openai);
    processes.push(host.startMs);
    await host.stop();
  }
  await openai.close();
  const value = kit.median(runs);
  kit.row({ row: 'dlopen to listening', aim: '< 100 ms', value, unit: 'ms', runs, met: value < 100,
    peer: [{ name: 'host: exec to ready line read', value: kit.median(processes) }],
    note: 'fresh state directory on disk each time: makes the database; to the done of start()' });
}

function configFile(openai) {
  const dir = tmpdir('ocv-bench');
  const file = path.join(dir, 'create.json');
  fs.writeFileSync(file, JSON.stringify({ host: 'native', state_dir: path.join(dir, 'state'), workspace: dir,
    section_name: 'bench', section: { enabled: true, openai: { api_key: openai.apiKey,
      base_url: openai.url, ca_file: openai.caFile }, webhook: { port: 0, secret: kit.secret },
    call: { max_per_caller_hour: 0 } } }));
  return file;
}

/* ---- webhook to accept ---- */

/* n calls, one every `everyMs`; milliseconds from the write of the webhook to the accept's headers. */
async function latencies(openai, port, n, everyMs) {
  const conn = await kit.client(port);
  const took = [];
  for (let i = 0; i < n; i += 1) {
    const id = kit.freshId();
    const bytes = kit.signed(id);
    const begun = performance.now();
    const seen = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no accept of ${id} in 5 s`)), 5000);
      openai.onAccept = (which, at) => {
        if (which !== id)
          return;
        clearTimeout(timer);
        resolve(at - begun);
      };
    });
    const status = conn.post(bytes);
    const ms = await seen;
    if (await status !== 200)
      throw new Error('a webhook was not answered 200');
    if (i >= 20) // the first ones warm code and connections
      took.push(ms);
    await kit.sleep(Math.max(0, everyMs - (performance.now() - begun)));
  }
  openai.onAccept = null;
  conn.close();
  return took;
}

async function startPeer(openai, folder) {
  const { child, first } = await kit.helper([process.execPath,
    path.join(import.meta.dirname, 'peers/peer_node.mjs'), openai.url, openai.caFile, kit.secret,
    ...(folder ? ['--db', path.join(folder, 'peer.db')] : [])]);
  kit.pin(child.pid, true);
  child.removeAllListeners('exit');
  return { child, port: first.port };
}

/* In each of five rounds all take their turn, so that what else the machine does meets them alike. */
async function webhookToAccept(where) {
  const n = Math.ceil(100 * kit.scale) + 20;
  const folder = kit.stateFolder(where);
  const openai = await kit.fastOpenAI();
  const host = await kit.benchHost(openai, { stateDir: path.join(folder, 'state') });
  const durable = await startPeer(openai, folder);
  const quick = await startPeer(openai, null);
  const rounds = [];
  await kit.sleep(300); // the pool warms
  for (let i = 0; i < 5; i += 1) {
    kit.progress(`webhook to accept, state on ${where}, round ${i + 1} of 5`);
    rounds.push({ floor: await kit.bareCommits(folder, 100), ours: await latencies(openai, host.port, n, 10),
      durable: await latencies(openai, durable.port, n, 10),
      quick: await latencies(openai, quick.port, n, 10) });
  }
  durable.child.kill('SIGKILL');
  quick.child.kill('SIGKILL');
  await host.stop();
  await openai.close();
  for (const [q, aim] of [[0.5, 1], [0.99, 5]]) {
    const of = (name) => rounds.map((r) => kit.quantile(r[name], q));
    const value = kit.median(of('ours'));
    kit.row({ row: `webhook to accept p${q * 100}, state on ${where}`, aim: `< ${aim} ms`, value, unit: 'ms',
      runs: of('ours'), met: value < aim, floor: kit.median(of('floor')),
      peer: [{ name: 'node, durable', value: kit.median(of('durable')) },
        { name: 'node, in memory', value: kit.median(of('quick')) }],
      note: `median of five rounds of ${n - 20} calls, one every 10 ms; from the write of the webhook to the `
        + 'accept request’s head, both in one Node process, whose own TLS and HTTP are in it, as are the '
        + 'sidebands of earlier calls (the peers open none). Floor: a bare commit in the same folder' });
  }
}

/* ---- what it adds to an idle machine ---- */

async function idleMemory() {
  kit.settleFiles();
  const openai = await kit.fastOpenAI();
  const empty = spawn('sleep', ['600'], { stdio: 'ignore' });
  process.on('exit', () => empty.kill('SIGKILL'));
  const runs = [];
  const seconds = 5 * kit.scale;
  for (let i = 0; i < 5; i += 1) {
    kit.progress(`memory of an idle host, round ${i + 1} of 5`);
    const host = await kit.benchHost(openai);
    await kit.sleep(3000);
    const ours = kit.memoryOf(host.pid);
    const base = kit.memoryOf(empty.pid);
    const switches = () => fs.readdirSync(`/proc/${host.pid}/task`).map((t) => Number(
      /^voluntary_ctxt_switches:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${host.pid}/task/${t}/status`,
        'utf8'))[1])).reduce((a, b) => a + b, 0);
    const before = switches();
    await kit.sleep(seconds * 1000);
    runs.push({ rss: (ours.rss - base.rss) / 1024, dirty: (ours.dirty - base.dirty) / 1024, wakeups: (switches() - before) / seconds });
    await host.stop();
  }
  empty.kill('SIGKILL');
  await openai.close();
  const of = (what) => runs.map((r) => r[what]);
  const rss = kit.median(of('rss'));
  kit.row({ row: 'idle host, RSS added', aim: '< 10 MB', value: rss, unit: 'MiB', runs: of('rss'),
    met: rss * 1.048576 < 10, note: 'native host with plugin minus sleep(1); shared library pages count too' });
  const dirty = kit.median(of('dirty'));
  kit.row({ row: 'idle host, private dirty', aim: '<= 3 MB', value: dirty, unit: 'MiB', runs: of('dirty'),
    met: dirty * 1.048576 <= 3 });
  const wakeups = of('wakeups').reduce((a, b) => a + b, 0) / runs.length;
  kit.row({ row: 'idle host, wakeups', aim: '<= 0.2 /s', value: wakeups, unit: '/s', runs: of('wakeups'),
    met: wakeups <= 0.2, note: `voluntary context switches of all threads, in five times ${seconds} s` });
}

/* ---- 500 calls at once ---- */

const talk = [{ wait: 'greeting' }, { caller: 'The first thing I say.' }, { wait: 'assistant' },
  { caller: 'goodbye' }, { waitEnd: true }];

async function manyCalls() {
  const n = 500;
  kit.progress(`${n} calls at once through the simulator`);
  const sim = await startOpenAI({ speed: 5, validate: 0.02 });
  const host = await startHost({ config: voiceConfig({ openai: sim,
    changes: { channels: { voice: { call: { max_concurrent: 1000 } } } } }) });
  kit.pin(host.pid, true);
  const begun = performance.now();
  const calls = Array.from({ length: n }, () => sim.call({ webhookUrl: host.webhookUrl, script: talk }));
  const results = await Promise.all(calls.map((call) => call.done));
  const ids = new Map(host.events.filter((e) => e.openai_call_id).map((e) => [e.openai_call_id, e.call]));
  await waitFor(() => host.events.filter((e) => e.event === 'call.ended').length >= n, { timeoutMs: 60000,
    what: 'the end of all calls' });
  const seconds = (performance.now() - begun) / 1000;
  let turns = 0;
  let lost = 0;
  for (const call of calls) {
    const res = await host.api(`/calls/${ids.get(call.callId)}/transcript`);
    const kept = new Set((res.json?.turns ?? []).map((t) => t.item_id));
    const said = call.turns.filter((t) => t.text !== '');
    turns += said.length;
    lost += said.filter((t) => !kept.has(t.item_id)).length;
  }
  const failed = results.filter((r) => r.scriptError).length;
  await host.stop();
  await sim.close();
  kit.row({ row: '500 calls at once, turns lost', aim: '0', value: lost, unit: `of ${turns}`, runs: [lost],
    met: lost === 0 && failed === 0 && turns > 2 * n,
    note: `${failed} conversations failed; wall time in the next row` });
  kit.row({ row: '500 calls at once, all ended after', value: seconds, unit: 's', runs: [seconds],
    note: 'the simulator, one JavaScript process, is the limit' });
}

process.stdout.write(`machine: ${kit.machine()}\n`);
kit.pin(0, false);
await startTime();
await webhookToAccept('disk');
await webhookToAccept('memory');
await idleMemory();
await manyCalls();
kit.table();
process.exit(0);
