/* SPDX-License-Identifier: MIT */
// Connections without end, and requests that come byte by byte: calls are answered all the while.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { slower, waitFor } from '../lib/util.mjs';
import { KNOWN, STRANGER, rig } from './native-kit.mjs';

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
