/* SPDX-License-Identifier: MIT */
// Connections without end, and requests that come byte by byte: calls are answered all the while.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { processUse, slower, track, waitFor } from '../lib/util.mjs';
import { KNOWN, LONG, STRANGER, rig } from './native-kit.mjs';

const brief = [{ wait: 'greeting' }, { caller: 'goodbye' }, { waitEnd: true }];

/** Raw connections to a host; `begin` is sent at once, `drip` again and again. */
class Crowd {
  constructor(host, { begin = '', drip = null, everyMs = 100 } = {}) {
    Object.assign(this, { port: Number(new URL(host.url).port), begin, sockets: new Set(), closed: 0, opened: 0 });
    this.timer = drip === null ? null : setInterval(() => this.sockets.forEach((s) => s.write(drip)), everyMs);
  }

  add(n) {
    for (let i = 0; i < n; i += 1) {
      const socket = net.connect(this.port, '127.0.0.1');
      this.sockets.add(socket);
      this.opened += 1;
      socket.on('connect', () => this.begin && socket.write(this.begin));
      socket.on('error', () => {});
      socket.on('data', () => {});
      socket.on('close', () => { this.sockets.delete(socket); this.closed += 1; });
    }
  }

  end() {
    clearInterval(this.timer);
    clearInterval(this.flood);
    this.sockets.forEach((socket) => socket.destroy());
  }
}

/* Calls one after another; each must be answered and end as it should. */
async function callsAreUnaffected(made, { n = 5, again = false } = {}) {
  for (let i = 0; i < n; i += 1) {
    const call = made.call({ from: i % 2 ? KNOWN : STRANGER, script: brief });
    const result = await call.done;
    assert.equal(result.answered, true, JSON.stringify(result));
    assert.ok(again || call.deliveries.length === 1, 'its webhook was taken at once');
    assert.equal((await made.ended(call)).reason, 'assistant_ended');
  }
}

describe('calls are unaffected by', () => {
  const kinds = {
    'headers that drip in': { begin: 'POST /webhook HTTP/1.1\r\nHost: x\r\n', drip: 'X-A: b\r\n' },
    'a body that drips in': { begin: 'POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n', drip: 'x' },
    'connections that say nothing': {},
    'answers that nobody reads': { begin: 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(16) },
  };
  for (const [what, how] of Object.entries(kinds)) {
    test(what, async (t) => {
      const made = await rig(t);
      const crowd = new Crowd(made.host, how);
      t.after(() => crowd.end());
      crowd.add(400); // more than one address may have
      await waitFor(async () => (await made.get('/status')).http.shed_connections > 100, { what: 'a full house' });
      await callsAreUnaffected(made);
      const { http } = await made.get('/status');
      assert.ok(http.connections <= 256, JSON.stringify(http));
      crowd.end();
      await waitFor(async () => (await made.get('/status')).http.connections < 10, { what: 'an empty house' });
    });
  }

  test('a flood of new connections', async (t) => {
    const made = await rig(t);
    const crowd = new Crowd(made.host, { begin: 'GET / HTTP/1.1\r\n' });
    t.after(() => crowd.end());
    crowd.flood = setInterval(() => crowd.sockets.size < 1000 && crowd.add(20), 10);
    await waitFor(() => crowd.opened > 1000, { what: 'the flood' });
    await callsAreUnaffected(made, { again: true }); // one that meets the flood itself is delivered again
    assert.ok(crowd.opened > 1500, `${crowd.opened} connections`);
  });
});

test('a request that does not end is ended', async (t) => {
  const made = await rig(t);
  const begun = Date.now();
  const crowd = new Crowd(made.host, { begin: 'GET /health HTTP/1.1\r\n', drip: 'X-A: b\r\n', everyMs: 500 });
  t.after(() => crowd.end());
  crowd.add(1);
  const [socket] = crowd.sockets;
  let answer = '';
  socket.on('data', (part) => { answer += part; });
  await once(socket, 'close');
  assert.match(answer, /^HTTP\/1\.1 408 /);
  const took = Date.now() - begun;
  assert.ok(took > 10000 && took < 30000 * slower, `${took} ms`);
});

/* Another's tool, 1,000 connections of a kind for 30 s each. */
describe('slowhttptest', { skip: !LONG ? 'minutes: only with OCV_LONG=1'
  : spawnSync('slowhttptest', ['-h']).error ? 'it is not installed (scripts/setup.sh --long)' : false }, () => {
  const kinds = { 'slow headers': ['-H', '-i', '1'], 'slow bodies': ['-B', '-i', '1', '-s', '60000', '-t', 'POST'],
    'slow reading': ['-X', '-w', '1', '-y', '16', '-n', '1', '-z', '8', '-k', '8'], 'ranges': ['-R', '-t', 'HEAD', '-a', '10', '-b', '3000'] };
  for (const [what, flags] of Object.entries(kinds)) {
    test(what, async (t) => {
      const made = await rig(t);
      const idle = processUse(made.host.pid);
      const child = track(spawn('slowhttptest', ['-c', '1000', '-r', '200', '-l', '30', '-p', '3', ...flags, '-u', `${made.host.url}/${
        what === 'slow bodies' ? 'webhook' : 'health'}`], { stdio: ['ignore', 'pipe', 'pipe'] }));
      let text = '';
      child.stdout.on('data', (part) => { text += part; });
      const ended = once(child, 'close');
      t.after(() => child.kill());
      await waitFor(async () => child.exitCode !== null || (await made.get('/status')).http.connections > 100,
        { timeoutMs: 20000, what: 'the flood' });
      await callsAreUnaffected(made, { n: 10, again: true });
      const { http } = await made.get('/status');
      assert.ok(http.connections <= 1024, JSON.stringify(http));
      await ended;
      assert.equal(child.exitCode, 0, text.slice(-2000));
      await callsAreUnaffected(made);
      const grew = processUse(made.host.pid).rssKiB - idle.rssKiB;
      t.diagnostic(`RSS ${grew} KiB over idle, ${JSON.stringify((await made.get('/status')).http)}`);
      assert.ok(grew < 64 * 1024, `${grew} KiB`);
    });
  }
});
