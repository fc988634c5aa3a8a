/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy on loopback: a bad network between a client and a server. It keeps order and loses no byte of a
 * connection that lives; what it does to one is told by the pipes of each way, `up` (to the server) and `down`:
 *
 *   delayMs, jitterMs   each piece comes this late, and by chance up to jitterMs later
 *   trickle             {bytes, everyMs}: no more than so many bytes at once
 *   stalled             nothing goes on, for as long as it is set; TCP stays open
 *   cutAfter(n, how)    n bytes more, then the connection is cut; how: 'fin' or 'rst'
 *
 * Defaults for new connections stand in proxy.up and proxy.down, set() changes those of the open ones as well;
 * proxy.onConnection(connection) does more. mirror: the client's bytes go to the server a second time, over another
 * connection, whose answers nobody reads.
 */
import net from 'node:net';
import { resetSocket } from '../sim/server.mjs';

const WINDOW_BYTES = 256 * 1024; // that may wait in a pipe, as in a network

class Pipe {
  constructor(connection, from, to, defaults) {
    Object.assign(this, { delayMs: 0, jitterMs: 0, trickle: null, stalled: false }, defaults, { connection, from, to });
    this.queue = []; // {due, data}
    this.waiting = 0;
    this.passed = 0; // bytes
    this.last = 0;
    this.cutAt = Infinity;
    from.on('data', (data) => this.take(data));
    from.on('end', () => this.take(null));
  }

  take(data) {
    const due = performance.now() + this.delayMs + Math.random() * this.jitterMs;
    this.last = Math.max(this.last, due); // nothing overtakes
    this.queue.push({ due: this.last, data });
    this.waiting += data?.length ?? 0;
    if (this.waiting > WINDOW_BYTES)
      this.from.pause();
    this.pump();
  }

  /** What is behind the first `most` bytes of the queue's head waits. */
  next(most) {
    const [head] = this.queue;
    if (head.data === null || head.data.length <= most)
      return this.queue.shift().data;
    const part = head.data.subarray(0, most);
    head.data = head.data.subarray(most);
    return part;
  }

  pump() {
    clearTimeout(this.timer);
    while (this.queue.length > 0 && !this.stalled && !this.connection.closed) {
      const now = performance.now();
      const at = Math.max(this.queue[0].due, this.trickle ? this.free ?? 0 : 0);
      if (at > now) {
        this.timer = setTimeout(() => this.pump(), at - now);
        return;
      }
      const data = this.next(Math.min(this.trickle?.bytes ?? Infinity, Math.max(1, this.cutAt - this.passed)));
      this.free = now + (this.trickle?.everyMs ?? 0);
      if (data === null)
        this.to.end();
      else
        this.pass(data);
    }
  }

  pass(data) {
    this.waiting -= data.length;
    this.passed += data.length;
    if (this.passed >= this.cutAt) { // the last bytes reach the kernel before the cut does
      const cut = this.cutHow;
      this.to.write(data, () => this.connection.cut(cut));
      return;
    }
    this.to.write(data);
    if (this === this.connection.up)
      this.connection.twin?.write(data);
    if (this.waiting <= WINDOW_BYTES)
      this.from.resume();
  }

  /** Cuts the connection when `bytes` more have passed (0: with the next one). */
  cutAfter(bytes, how = 'rst') {
    this.cutAt = this.passed + Math.max(1, bytes);
    this.cutHow = how;
  }
}

class Connection {
  constructor(proxy, client) {
    this.proxy = proxy;
    this.client = client;
    this.closed = false;
    this.openedAt = Date.now();
    this.server = net.connect({ port: proxy.to, host: '127.0.0.1', allowHalfOpen: true });
    this.twin = proxy.mirror ? net.connect(proxy.to, '127.0.0.1') : null;
    this.twin?.on('error', () => {}).resume();
    this.up = new Pipe(this, client, this.server, proxy.up);
    this.down = new Pipe(this, this.server, client, proxy.down);
    for (const socket of [client, this.server]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.cut('rst'));
      socket.on('close', () => this.ended());
    }
  }

  /* Both ways have come to their ends, or one socket is gone. */
  ended() {
    if (this.closed || (this.client.destroyed && this.server.destroyed))
      this.cut('fin');
    else if ((this.client.destroyed || this.server.destroyed) && !this.up.stalled && !this.down.stalled)
      setTimeout(() => this.cut('fin'), 1000).unref(); // what is under way arrives
  }

  /** The server's end as the server sees it: the port of its peer. */
  get serverPort() {
    return this.server.localPort;
  }

  /** Ends both sides at once. how: 'fin', 'rst', or 'gone' (neither side is told: all that comes is lost). */
  cut(how = 'rst') {
    if (how === 'gone') {
      this.up.stalled = true;
      this.down.stalled = true;
      return;
    }
    this.closed = true;
    this.proxy.connections.delete(this);
    this.twin?.destroy();
    for (const socket of [this.client, this.server]) {
      if (how === 'rst')
        resetSocket(socket);
      else
        socket.destroy();
    }
  }
}

class Proxy {
  constructor(to, { up = {}, down = {}, mirror = false }) {
    Object.assign(this, { to, up, down, mirror, onConnection: null, connections: new Set(), opened: 0, refusing: false });
    this.server = net.createServer({ allowHalfOpen: true }, (client) => {
      this.opened += 1;
      if (this.refusing) {
        client.on('error', () => {});
        resetSocket(client);
        return;
      }
      const connection = new Connection(this, client);
      this.connections.add(connection);
      this.onConnection?.(connection);
    });
  }

  /** Changes both ways of all connections, open and new. */
  set({ up = {}, down = {} }) {
    Object.assign(this.up, up);
    Object.assign(this.down, down);
    for (const connection of this.connections) {
      Object.assign(connection.up, up).pump();
      Object.assign(connection.down, down).pump();
    }
  }

  /** Cuts all that is open. */
  cut(how) {
    [...this.connections].forEach((connection) => connection.cut(how));
  }

  /** The connection that the server sees come from this port. */
  of(port) {
    return [...this.connections].find((connection) => connection.serverPort === port);
  }

  /** A URL of the server as it is reached through here. */
  through(url) {
    const made = new URL(url);
    made.port = String(this.port);
    return made.href.replace(/\/$/, '');
  }

  close() {
    this.cut('rst');
    return new Promise((resolve) => { this.server.close(resolve); });
  }
}

/**
 * Starts a proxy before a port on 127.0.0.1, closed when the test is over.
 * @param {object} t the test's context
 * @param {number} to the server's port
 * @param {object} [opts] up, down, mirror
 * @returns {Promise<Proxy>} with port, connections, opened
 */
export async function startProxy(t, to, opts = {}) {
  const proxy = new Proxy(to, opts);
  await new Promise((resolve, reject) => {
    proxy.server.once('error', reject);
    proxy.server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, resolve);
  });
  proxy.port = proxy.server.address().port;
  t.after(() => proxy.close());
  return proxy;
}
