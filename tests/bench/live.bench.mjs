/* SPDX-License-Identifier: MIT */
/* t-limit: 300 */
/* Memory of a live call with its TLS sideband, re-attaching 1,000 calls after a kill. */
import path from 'node:path';
import { waitFor } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const CALLS = 1000;

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
await liveCalls();
kit.table();
process.exit(0);
