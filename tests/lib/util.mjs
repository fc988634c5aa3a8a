/* SPDX-License-Identifier: MIT */
// Small helpers of the integration tests: folders, ports, waiting, children that must not outlive us.
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder. */
export const projectDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/** The folder of the build under test. Environment: OCV_BUILDDIR. */
export const buildDir = path.resolve(projectDir, process.env.OCV_BUILDDIR ?? 'build');

/** How many times longer things may take in this build: a limit is times this. Environment: OCV_BUILD. */
export const slower = { asan: 4, tsan: 8 }[process.env.OCV_BUILD] ?? 1;

/** `ms` of wall time. */
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** A port on 127.0.0.1 that was free just now. Prefer port 0 wherever it is possible. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * Calls check() until it gives something true; resolves with that. An error of check() counts as
 * "not yet" and is told when time is up: after timeoutMs, times `slower`.
 */
export async function waitFor(check, { timeoutMs = 10000, everyMs = 20, what = 'condition' } = {}) {
  const limitMs = timeoutMs * slower;
  const end = Date.now() + limitMs;
  let last = null;
  for (;;) {
    try {
      const value = await check();
      if (value)
        return value;
      last = null;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      throw new Error(`${what} did not come in ${limitMs} ms${last ? `: ${last.message}` : ''}`);
    }
    await sleep(everyMs);
  }
}

const children = new Set();
const folders = new Set();

/* Children's children: /proc knows who started whom. */
function descendants(pid) {
  const parents = new Map();
  for (const name of fs.readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // gone in between
    }
  }
  const found = [pid];
  for (const parent of found)
    parents.forEach((ppid, child) => ppid === parent && found.push(child));
  return found.slice(1);
}

/** Kills a child of ours and all that it started, at once. */
export function killTree(pid) {
  for (const each of [pid, ...descendants(pid)]) {
    try {
      process.kill(each, 'SIGKILL');
    } catch {
      // gone with its parent
    }
  }
}

function cleanUp() {
  for (const child of children) {
    if (child.exitCode === null && child.signalCode === null)
      killTree(child.pid);
  }
  for (const dir of process.env.OCV_KEEP ? [] : folders) {
    try {
      fs.rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
    } catch (error) {
      process.stderr.write(`${dir} stays: ${error.message}\n`);
    }
  }
}

process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    cleanUp();
    process.kill(process.pid, signal);
  });
}

/** Makes sure that this child does not outlive us. Returns it. */
export function track(child) {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** A fresh folder, removed at exit unless OCV_KEEP is set. */
export function tmpdir(name = 'ocv') {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), `${name}-`));
  folders.add(dir);
  return dir;
}

/** Keeps the tail of a stream as text. */
export class Tail {
  constructor(stream, max = 256 * 1024) {
    this.text = '';
    stream.setEncoding('utf8');
    stream.on('data', (part) => {
      this.text += part;
      if (this.text.length > 2 * max)
        this.text = this.text.slice(-max);
    });
  }

  /** The last `lines` lines. */
  last(lines = 40) {
    return this.text.split('\n').slice(-lines - 1).join('\n');
  }
}

/** Threads and open files of a process, for leak checks. */
export function processUse(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  const number = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  return { threads: number('Threads'), rssKiB: number('VmRSS'),
    files: fs.readdirSync(`/proc/${pid}/fd`).length };
}

/* The sockets of a process's network by inode, each as the kind of socket that it is. */
function socketKinds(pid) {
  const rows = (kind) => fs.readFileSync(`/proc/${pid}/net/${kind}`, 'utf8').split('\n').slice(1)
    .map((line) => line.trim().split(/\s+/)).filter((f) => f.length > 6);
  const tcp = [...rows('tcp'), ...rows('tcp6')];
  const portOf = (address) => Number.parseInt(address.split(':')[1], 16);
  const doors = new Set(tcp.filter((f) => f[3] === '0A').map((f) => portOf(f[1])));
  const kind = ([, here, there, state]) => {
    if (state === '0A')
      return `listening on ${portOf(here)}`;
    return doors.has(portOf(there)) ? `connected to ${portOf(there)}` : `accepted on ${portOf(here)}`;
  };
  return new Map([...tcp.map((f) => [f[9], kind(f)]), ...rows('unix').map((f) => [f[6], 'unix socket'])]);
}

/** How many of each kind of file and socket a process has open, and its threads. */
export function openOf(pid) {
  const sockets = socketKinds(pid);
  const open = { threads: fs.readdirSync(`/proc/${pid}/task`).length };
  for (const fd of fs.readdirSync(`/proc/${pid}/fd`)) {
    let link;
    try {
      link = fs.readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      continue; // closed in between
    }
    const inode = /^socket:\[(\d+)\]/.exec(link)?.[1];
    const kind = inode ? sockets.get(inode) ?? 'other socket' : link.replace(/[0-9a-z_-]{20,}|:\[\d+\]$/g, '*');
    open[kind] = (open[kind] ?? 0) + 1;
  }
  return open;
}

/* mulberry32: 32 bits at a time that are the same for the same seed, so that a failure comes again. */
function bitsOf(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let x = Math.imul(a ^ (a >>> 15), a | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  };
}

/** Numbers in [0, 1) of a seed. */
export function randomOf(seed) {
  const bits = bitsOf(seed);
  return () => bits() / 4294967296;
}

/** Whole numbers below n of a seed. */
export function belowOf(seed) {
  const bits = bitsOf(seed);
  return (n) => bits() % n;
}
