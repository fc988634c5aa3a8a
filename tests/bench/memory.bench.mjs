/* SPDX-License-Identifier: MIT */
/* t-limit: 300 */
/*
 * What a call knows and finds: how soon after the claim its context is ready with 1,000 memory files, and how long
 * memory_search and memory_get take, from the model's arguments to their output, with 10,000 files of 4 KB.
 */
import fs from 'node:fs';
import path from 'node:path';
import { belowOf, tmpdir, waitFor } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const CALLER = '+15551234567'; // of kit.incoming()
const dayMs = 86400000;
const vocabulary = Array.from({ length: 5000 }, (_, i) => `w${(i * 7919 % 5000).toString(36)}`);
const common = 'the meeting about with project plan and call note garden house budget of from week friend train'.split(' ');

const random = belowOf(7); // so that each run reads the same files
const words = (bytes) => {
  let text = '';
  while (text.length < bytes)
    text += `${random(2) ? common[random(common.length)] : vocabulary[random(5000)]}${random(12) ? ' ' : '. '}`;
  return text.slice(0, bytes);
};

/* n files of `bytes`, of which `daily` are notes of the last days; MEMORY.md and USER.md too. */
function workspace(n, bytes, daily) {
  const dir = tmpdir('ocv-bench-ws');
  const put = (name, text) => {
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    fs.writeFileSync(path.join(dir, name), text);
  };
  put('MEMORY.md', `# Memory\n\n${words(8000)}\n`);
  put('USER.md', `# User\n\n${words(2000)}\n`);
  for (let i = 0; i < n - 2; i += 1) {
    const day = new Date(Date.now() - (i % 2) * dayMs).toISOString().slice(0, 10);
    put(i < daily ? `memory/${day}-${i}.md` : `memory/${i % 20}/n${i}.md`, `# Note ${i}\n\nonly${i}\n\n${words(bytes - 30)}`);
  }
  return dir;
}

async function startOn(openai, dir, files) {
  const host = await kit.benchHost(openai, { stateDir: kit.stateFolder('disk'),
    security: { whitelist: [CALLER], memory_access_filtering: false },
    changes: { openclaw: { workspace: dir },
      logging: { voice: { level: 'info', include_context_injection: true, call_events: false } } } });
  kit.progress(`${files} files are read for the first time`);
  return host;
}

/* Rings once; resolves with {accept: body, ms: from the webhook to the accept, ws}. */
async function ring(openai, conn) {
  const id = kit.freshId();
  const begun = performance.now();
  const made = { id };
  const done = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no call ${id} in 10 s`)), 10000);
    openai.onBody = (of, text) => { if (of === id) made.accept = text; };
    openai.onAccept = (of, at) => { if (of === id) made.ms = at - begun; };
    openai.onAttach = (of, at, ws) => {
      if (of !== id)
        return;
      clearTimeout(timer);
      resolve({ ...made, ws });
    };
  });
  if (await conn.post(kit.signed(id)) !== 200)
    throw new Error('refused');
  return done;
}

/* ---- The context ---- */

async function contextReady() {
  const files = 1000;
  const n = Math.ceil(200 * kit.scale);
  const dir = workspace(files, 4096, 60);
  const openai = await kit.fastOpenAI();
  const host = await startOn(openai, dir, files);
  const conn = await kit.client(host.port);
  const ready = () => host.stderr.text.split('\n').map((l) => /context: (\d+) tokens .* (\d+) us after .* (\d+) us of/.exec(l))
    .filter(Boolean).map(([, tokens, us, write]) => ({ tokens: Number(tokens), ms: us / 1000, write: write / 1000 }));
  await waitFor(async () => {
    await ring(openai, conn);
    return ready().at(-1)?.tokens > 500;
  }, { timeoutMs: 60000, everyMs: 200, what: 'a context' });
  await kit.sleep(1000);
  const before = ready().length;
  const cpu = kit.cpuSeconds(host.pid);
  const calls = [];
  kit.progress(`${n} calls with a context of ${files} files`);
  for (let i = 0; i < n; i += 1) {
    calls.push(await ring(openai, conn));
    await kit.sleep(15);
  }
  const used = (kit.cpuSeconds(host.pid) - cpu) / n * 1000;
  const seen = ready().slice(before);
  if (seen.length < n)
    throw new Error(`${seen.length} contexts of ${n} calls`);
  const inTime = calls.filter((c) => c.accept.includes('# What you know before the call')).length;
  const took = seen.map((s) => s.ms);
  const p99 = kit.quantile(took, 0.99);
  const note = `${seen[0].tokens} tokens; to write it p50 ${kit.median(seen.map((s) => s.write)).toFixed(1)} ms; `
    + `${used.toFixed(1)} ms of CPU a call, everything included`;
  kit.row({ row: 'context ready after the claim, 1,000 memory files, p50', aim: '< 50 ms', value: kit.median(took),
    unit: 'ms', runs: kit.fifths(took, 0.5), met: kit.median(took) < 50, note });
  kit.row({ row: 'context ready after the claim, 1,000 memory files, p99', aim: '< 50 ms', value: p99, unit: 'ms',
    runs: kit.fifths(took, 0.99), met: p99 < 50, note });
  kit.row({ row: 'accepts that hold the context', aim: '>= 99 %', value: inTime, unit: `of ${n}`, met: inTime >= 0.99 * n,
    note: `webhook to accept with it: p50 ${kit.median(calls.map((c) => c.ms)).toFixed(1)} ms` });
  conn.close();
  await host.stop();
  await openai.close();
}

/* ---- The tools ---- */

/* As the model says it: a response that is a function call, and nothing but what is needed of it. */
function useTool(ws, n, name, args) {
  const callId = `call_bench_${n}`;
  const item = { id: `item_${n}`, object: 'realtime.item', type: 'function_call', status: 'completed', name,
    call_id: callId, arguments: JSON.stringify(args) };
  const response = { id: `resp_${n}`, object: 'realtime.response', status: 'in_progress', output: [] };
  const send = (event) => ws.send(JSON.stringify({ event_id: `ev_${n}_${event.type}`, ...event }));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no output of ${name} in 10 s`)), 10000);
    let begun = 0;
    const look = (data) => {
      const now = performance.now();
      const event = JSON.parse(data);
      if (event.type !== 'conversation.item.create' || event.item.call_id !== callId)
        return;
      clearTimeout(timer);
      ws.off('message', look);
      resolve({ ms: now - begun, output: event.item.output, item: event.item });
    };
    ws.on('message', look);
    send({ type: 'response.created', response });
    begun = performance.now();
    send({ type: 'response.done', response: { ...response, status: 'completed', output: [item] } });
  }).then((answer) => {
    send({ type: 'conversation.item.added', previous_item_id: null, item: answer.item });
    send({ type: 'conversation.item.done', previous_item_id: null, item: answer.item });
    return answer;
  });
}

const queries = [
  () => `when is the ${common[random(17)]} with ${vocabulary[random(5000)]} about the ${common[random(17)]}`,
  () => `only${random(9000)}`,
  () => `${common[random(17)]} ${common[random(17)]} of the ${common[random(17)]}`,
  () => `${vocabulary[random(5000)]} ${vocabulary[random(5000)]} unheard`,
];

async function tools() {
  const files = 10000;
  const n = Math.ceil(400 * kit.scale);
  const dir = workspace(files, 4096, 0);
  const openai = await kit.fastOpenAI();
  const host = await startOn(openai, dir, files);
  const conn = await kit.client(host.port);
  const { ws } = await ring(openai, conn);
  let made = 0;
  const ask = (name, args) => { made += 1; return useTool(ws, made, name, args); };
  await waitFor(async () => (await ask('memory_search', { query: `only${files - 3}` })).output.includes('"path"'),
    { timeoutMs: 120000, everyMs: 500, what: 'all files in the index' });
  await kit.sleep(3000);
  const asks = { memory_search: () => ({ query: queries[made % 4](), limit: 5 }),
    memory_get: () => ({ path: `memory/${made % 20}/n${20 * random(490) + made % 20}.md`, from: 1, lines: 50 }) };
  for (const [name, args] of Object.entries(asks)) {
    for (let i = 0; i < n / 10; i += 1)
      await ask(name, args());
    kit.progress(`${n} times ${name} over ${files} files`);
    const took = [];
    const cpu = [];
    for (let i = 0; i < n; i += 1) {
      const request = args();
      const before = kit.cpuSeconds(host.pid);
      const { ms, output } = await ask(name, request);
      if (!/"(hits|text)"/.test(output))
        throw new Error(output);
      took.push(ms);
      cpu.push((kit.cpuSeconds(host.pid) - before) * 1000);
      await kit.sleep(5);
    }
    const note = `CPU of the host p50 ${kit.median(cpu).toFixed(2)}, p99 ${kit.quantile(cpu, 0.99).toFixed(2)} ms, `
      + 'TLS, JSON and the rows of the call included; the wall time has the event loop of the sender in it';
    kit.row({ row: `${name}, arguments to output, 10,000 files, p50`, value: kit.median(took), unit: 'ms',
      runs: kit.fifths(took, 0.5), note });
    kit.row({ row: `${name}, arguments to output, 10,000 files, p99`, aim: '< 20 ms', value: kit.quantile(took, 0.99), unit: 'ms',
      runs: kit.fifths(took, 0.99), met: kit.quantile(took, 0.99) < 20, note });
  }
  conn.close();
  await host.stop();
  await openai.close();
}

process.stdout.write(`machine: ${kit.machine()}\n`);
kit.pin(0, false);
await contextReady();
await tools();
kit.table();
process.exit(0);
