/* SPDX-License-Identifier: MIT */
// What the measurements share: rows, quantiles, what a process uses, signed webhooks, a warm TLS peer.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { WebSocketServer } from 'ws';
import { makeCerts } from '../lib/certs.mjs';
import { mergeConfig, startHost } from '../lib/host.mjs';
import { buildDir, sleep, tmpdir } from '../lib/util.mjs';

/** Time given to a row, as OCV_BENCH_SCALE says: 1 is what `make bench` takes. */
export const scale = Number(process.env.OCV_BENCH_SCALE ?? 1);

const cores = os.availableParallelism();
/** The server's core; the load is on the others. */
export const serverCore = cores > 1 ? cores - 1 : null;

/** The others, as taskset wants them. */
export const loadCores = serverCore === null ? '0' : `0-${serverCore - 1}`;

/** Keeps a process (0: ourselves) on the server's core or off it. */
export function pin(pid, onServerCore) {
  if (serverCore === null)
    return;
  execFileSync('taskset', ['-a', '-p', '-c', onServerCore ? String(serverCore) : loadCores, String(pid || process.pid)], { stdio: 'ignore' });
}

export const progress = (text) => process.stdout.write(`... ${text}\n`);

process.setMaxListeners(0);

export { row, table } from './rows.mjs';

/** The q-quantile (nearest rank) of numbers. */
export function quantile(numbers, q) {
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
}

export const median = (numbers) => quantile(numbers, 0.5);

/** The q-quantile of each fifth of what was measured one after the other: the runs of a row whose value is that of all. */
export const fifths = (numbers, q) => Array.from({ length: 5 }, (_, i) => numbers.slice(Math.floor(i * numbers.length / 5),
  Math.floor((i + 1) * numbers.length / 5))).filter((part) => part.length > 0).map((part) => quantile(part, q));

/** CPU seconds of all threads of a process so far. */
export function cpuSeconds(pid) {
  let ns = 0;
  for (const task of fs.readdirSync(`/proc/${pid}/task`))
    ns += Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  return ns / 1e9;
}

/** What was just built or written goes to the disk: until then its pages count as dirty memory of whoever maps them. */
export const settleFiles = () => execFileSync('sync', ['-f', buildDir]);

/** {rss, dirty} of a process in KiB. */
export function memoryOf(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)[1]);
  return { rss: kib('Rss'), dirty: kib('Private_Dirty') };
}

const secretBytes = randomBytes(24);
export const secret = `whsec_${secretBytes.toString('base64')}`;

let made = 0;

/** A fresh call id. */
export const freshId = () => `rtc_bench_${process.pid}_${(made += 1)}`;

/** The event that announces a call, with more SIP headers. */
export const incoming = (callId, type = 'realtime.call.incoming', more = []) => JSON.stringify({
  id: `evt_${callId}`, object: 'event', created_at: Math.floor(Date.now() / 1000), type,
  data: { call_id: callId, sip_headers: [
    { name: 'Via', value: 'SIP/2.0/TLS 203.0.113.7:5061;branch=z9hG4bK0123456789ab' },
    { name: 'From', value: '"A Caller" <sip:+15551234567@203.0.113.7:5060>;tag=9fd2' },
    { name: 'To', value: '<sip:proj_bench@sip.api.openai.com;transport=tls>' },
    { name: 'Call-ID', value: `sip-${callId}@203.0.113.7` },
    { name: 'CSeq', value: '851287 INVITE' }, ...more], sip_media_security: 'srtp' } });

/** A whole signed request as bytes. */
export function signed(callId, type, more) {
  const body = incoming(callId, type, more);
  const at = Math.floor(Date.now() / 1000);
  const mac = createHmac('sha256', secretBytes).update(`wh_${callId}.${at}.${body}`).digest('base64');
  return Buffer.from('POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
    + `User-Agent: OpenAI/1.0\r\nwebhook-id: wh_${callId}\r\nwebhook-timestamp: ${at}\r\n`
    + `webhook-signature: v1,${mac}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

/** A connection that sends a request when told and resolves with the status; keep-alive. */
export async function client(port) {
  const socket = net.connect(port, '127.0.0.1');
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.setNoDelay(true);
  const waiting = [];
  let rest = '';
  socket.on('data', (data) => {
    rest += data.toString('latin1');
    for (;;) {
      const head = rest.indexOf('\r\n\r\n');
      if (head < 0)
        return;
      const length = Number(/content-length: (\d+)/i.exec(rest.slice(0, head))?.[1] ?? 0);
      if (rest.length < head + 4 + length)
        return;
      const status = Number(rest.slice(9, 12));
      rest = rest.slice(head + 4 + length);
      waiting.shift()?.resolve(status);
    }
  });
  const fail = () => waiting.splice(0).forEach((w) => w.reject(new Error('connection closed')));
  socket.on('close', fail).on('error', () => {});
  return { post: (bytes) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    socket.write(bytes);
  }), close: () => socket.destroy() };
}

/**
 * OpenAI for measurements: accepts every call at once, opens every sideband and says session.created,
 * checks and simulates nothing. `accepted` (call id -> moment), `attached` counts sidebands, onAccept(id, moment),
 * onBody(id or undefined, text) of each request, onAttach(id, moment, socket).
 */
export async function fastOpenAI() {
  const { server: cert, caFile } = makeCerts();
  const peer = { caFile, apiKey: 'sk-bench', accepted: new Map(), attached: 0, live: new Set(),
    onAccept: null, onBody: null, onAttach: null, sideband: true };
  const server = https.createServer({ cert: cert.cert, key: cert.key, keepAliveTimeout: 120000 },
    (req, res) => {
      const now = performance.now();
      const id = /^\/v1\/realtime\/calls\/([^/]+)\/accept$/.exec(req.url)?.[1];
      if (id) {
        peer.accepted.set(id, now);
        peer.onAccept?.(id, now);
      }
      const parts = [];
      req.on('data', (part) => peer.onBody && parts.push(part));
      req.on('end', () => {
        peer.onBody?.(id, Buffer.concat(parts).toString());
        const body = req.url.startsWith('/v1/models') ? '{"object":"list","data":[]}' : '';
        res.writeHead(200, { 'content-length': body.length });
        res.end(body);
      });
    });
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });
  server.on('upgrade', (req, socket, head) => {
    socket.on('error', () => {});
    const id = new URL(req.url, 'http://x').searchParams.get('call_id');
    if (!peer.sideband) {
      socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      return;
    }
    wss.handleUpgrade(req, socket, head, (ws) => {
      peer.live.add(ws);
      ws.on('error', () => {});
      ws.on('close', () => peer.live.delete(ws));
      ws.send(JSON.stringify({ type: 'session.created', event_id: `ev_${peer.attached}`,
        session: { type: 'realtime', object: 'realtime.session', id: `sess_${id}` } }));
      peer.attached += 1;
      peer.onAttach?.(id, performance.now(), ws);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', 2048, resolve));
  peer.url = `https://127.0.0.1:${server.address().port}/v1`;
  peer.close = () => {
    peer.live.forEach((ws) => ws.terminate());
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return peer;
}

/**
 * OpenAI for measurements in C (load_service.c): {url, apiKey, caFile, agent (port of an agent), ask(command)}, one command at a time. Without
 * TLS it is reached by plain TCP.
 */
export async function loadService({ tls = true } = {}) {
  const { server: cert, caFile } = makeCerts();
  const child = spawn('taskset', ['-c', loadCores, path.join(buildDir, 'tests/bench/load_service'),
    ...(tls ? [cert.certFile, cert.keyFile] : [])],
  { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, WEBHOOK_SECRET: secret } });
  process.on('exit', () => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done)
      throw new Error('the load ended');
    return JSON.parse(value);
  };
  const { port, agent } = await next();
  return { port, agent, apiKey: 'sk-bench', caFile: tls ? caFile : undefined, url: `http${tls ? 's' : ''}://127.0.0.1:${port}/v1`,
    ask: (command) => {
      child.stdin.write(`${command}\n`);
      return next();
    },
    close: () => child.kill('SIGKILL') };
}

/** TLS handshakes a second that this machine does alone, the client on the server's core as our host is. */
export function handshakes(port, seconds) {
  const out = spawnSync('taskset', ['-c', String(serverCore ?? 0), 'openssl', 's_time', '-connect', `127.0.0.1:${port}`, '-new',
    '-time', String(seconds)], { encoding: 'utf8' });
  const [, n, took] = /([\d.]+) connections in (\d+) real seconds/.exec(out.stdout) ?? [];
  return Number(n) / Number(took);
}

/** Starts the native host against that peer, on its own core. More: {stateDir, dir}, changes of the configuration. */
export async function benchHost(openai, { voice = {}, security = {}, stateDir = undefined, changes = {}, ...more } = {}) {
  const begun = performance.now();
  const host = await startHost({ ...more, stateDir, config: mergeConfig({
    channels: { voice: { enabled: true, ...(stateDir ? { state_dir: stateDir } : {}),
      openai: { api_key: openai.apiKey, project_id: 'proj_bench', base_url: openai.url,
        ...(openai.caFile ? { ca_file: openai.caFile } : {}) },
      webhook: { port: 0, secret }, call: { max_concurrent: 10000, max_per_caller_hour: 0, auto_end_on_silence: false,
        max_call_duration_minutes: 60 }, ...voice } },
    security: { voice: { ...security } }, logging: { voice: { level: 'warn' } } }, changes) });
  host.startMs = performance.now() - begun;
  host.port = host.ready.port;
  pin(host.pid, true);
  return host;
}

/** A folder for a state directory: on the disk of the temporary folder, or in memory (tmpfs). */
export function stateFolder(where) {
  if (where !== 'memory')
    return tmpdir('ocv-bench');
  const dir = fs.mkdtempSync('/dev/shm/ocv-bench-');
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/**
 * Milliseconds of each of n bare SQLite commits (WAL, synchronous FULL, one row) in this folder, one every
 * `everyMs`: a disk that is left alone between them is slower than one that is kept busy.
 */
export async function bareCommits(dir, n, everyMs = 10) {
  const db = new DatabaseSync(path.join(dir, 'floor.db'));
  db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; '
    + 'CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)');
  const insert = db.prepare('INSERT INTO t (b) VALUES (?)');
  const took = [];
  for (let i = 0; i < n; i += 1) {
    const t = performance.now();
    insert.run('x'.repeat(300));
    took.push(performance.now() - t);
    await sleep(Math.max(0, everyMs - (performance.now() - t)));
  }
  db.close();
  return took;
}

/** Starts a program of this folder under node and resolves with it and the JSON of its first line. */
export function helper(args, options = {}) {
  const child = spawn(args[0], args.slice(1), { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  process.on('exit', () => child.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    let text = '';
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${args[0]} ended with ${code}`)));
    child.stdout.on('data', (d) => {
      text += d;
      if (text.includes('\n'))
        resolve({ child, first: JSON.parse(text.slice(0, text.indexOf('\n'))) });
    });
  });
}

export { sleep };

/** The machine in a line. */
export function machine() {
  const stat = fs.statfsSync(os.tmpdir());
  const fsName = { 0xef53: 'ext4', 0x01021994: 'tmpfs', 0x58465342: 'xfs', 0x9123683e: 'btrfs' }[stat.type]
    ?? `file system ${stat.type.toString(16)}`;
  return `${os.cpus()[0].model.trim()}, ${cores} cores, Linux ${os.release()}, Node ${process.version}, `
    + `${os.tmpdir()} on ${fsName}, load ${os.loadavg()[0].toFixed(1)}`;
}
