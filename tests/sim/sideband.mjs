/* SPDX-License-Identifier: MIT */
/*
 * The control channel of a call: one WebSocket. Beside what the service does it can misbehave:
 * fragments, sudden ends, and three kinds of peers that are gone without saying so:
 *   silent      does not read any more, answers nothing; TCP stays open, our side's buffers fill
 *   halfopen    reads and throws away, answers nothing, not even pings
 *   halfclosed  sent FIN without a close frame and reads on
 */
import { WebSocketServer } from 'ws';
import { newId } from './ids.mjs';
import { authorized, envelope, notFound } from './rest.mjs';
import { resetSocket, sleep } from './server.mjs';
import { takeFault } from './faults.mjs';

const statusText = { 400: 'Bad Request', 401: 'Unauthorized', 404: 'Not Found', 408: 'Timeout',
  429: 'Too Many Requests', 500: 'Internal Server Error', 502: 'Bad Gateway',
  503: 'Service Unavailable', 504: 'Gateway Timeout' };

function refuse(socket, { status, body }) {
  const text = JSON.stringify(body);
  socket.end(`HTTP/1.1 ${status} ${statusText[status] ?? 'Error'}\r\n`
    + `content-type: application/json\r\nx-request-id: ${newId('req')}\r\n`
    + `content-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`);
}

/* Random cuts of a buffer: at most `most` pieces. */
function cuts(buffer, most) {
  const points = new Set([0, buffer.length]);
  for (let i = 1; i < most; i += 1)
    points.add(Math.floor(Math.random() * (buffer.length + 1)));
  const sorted = [...points].sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => buffer.subarray(sorted[i], end));
}

/* Makes the socket write its bytes in random small pieces, each in a turn of its own. */
function chopWrites(socket) {
  const write = socket.write.bind(socket);
  const end = socket.end.bind(socket);
  const queue = [];
  let busy = false;
  const pump = () => {
    const job = queue.shift();
    busy = job !== undefined;
    if (!busy || socket.destroyed)
      return;
    job();
    setImmediate(pump);
  };
  const push = (...jobs) => {
    queue.push(...jobs);
    if (!busy)
      pump();
  };
  socket.cork = () => {};
  socket.uncork = () => {};
  socket.write = (chunk, encoding, cb) => {
    const callback = typeof encoding === 'function' ? encoding : cb;
    const buffer = Buffer.isBuffer(chunk) ? Buffer.from(chunk) : Buffer.from(chunk, encoding);
    const parts = cuts(buffer, 2 + Math.min(64, Math.floor(buffer.length / 700)));
    push(...parts.map((part) => () => write(part)));
    if (callback)
      push(() => callback());
    return true;
  };
  socket.end = (...args) => {
    push(() => end(...args));
    return socket;
  };
}

export class Sideband {
  constructor(call, ws, number) {
    this.call = call;
    this.ws = ws;
    this.number = number;
    this.sent = 0;
    this.pings = 0;
    this.pongs = 0;
    this.muted = null;
    this.dropRule = null;
    this.openedAt = Date.now();
    ws.on('message', (data, binary) => this.onMessage(data, binary));
    ws.on('ping', (data) => this.onPing(data));
    ws.on('pong', () => { this.pongs += 1; });
    ws.on('error', () => {});
    ws.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason), at: Date.now() };
      clearInterval(this.pinger);
      call.detach(this);
    });
  }

  onMessage(data, binary) {
    if (this.muted)
      return;
    if (binary)
      this.call.sim.violation(this.call, 'received a binary frame');
    this.call.wire.receive(data.toString('utf8'), this);
  }

  onPing(data) {
    this.pings += 1;
    if (!this.muted && this.ws.readyState === this.ws.OPEN)
      this.ws.pong(data);
  }

  /** Applies the call's sideband faults. */
  prepare(faults) {
    if (!faults)
      return;
    if (faults.pingMs) {
      this.pinger = setInterval(() => {
        if (!this.muted && this.ws.readyState === this.ws.OPEN)
          this.ws.ping();
      }, faults.pingMs);
    }
    this.fragment = faults.fragment === true;
    if (this.fragment)
      chopWrites(this.ws._socket);
    faults.dropLeft ??= faults.times ?? 1;
    if (faults.dropAfterEvents !== undefined && faults.dropLeft > 0) {
      faults.dropLeft -= 1;
      this.dropRule = faults;
    }
  }

  get open() {
    return !this.muted && this.ws.readyState === this.ws.OPEN;
  }

  send(text) {
    if (!this.open)
      return;
    if (this.dropRule && this.sent >= this.dropRule.dropAfterEvents) {
      this.drop(this.dropRule.dropReset ? 'reset' : this.dropRule.dropCode ?? 1011);
      return;
    }
    this.sent += 1;
    this.sendRaw(text, {});
  }

  sendRaw(data, { binary = false }) {
    if (!this.open)
      return;
    if (!this.fragment) {
      this.ws.send(data, { binary });
      return;
    }
    const parts = cuts(Buffer.from(data), 1 + Math.floor(Math.random() * 6));
    parts.forEach((part, i) => {
      this.ws.send(part, { binary, fin: i === parts.length - 1 });
      if (i < parts.length - 1 && Math.random() < 0.2)
        this.ws.ping(); // control frames may stand between fragments
    });
  }

  /** Ends the connection: a close code, or 'reset'. */
  drop(how) {
    this.call.detach(this);
    if (how === 'reset')
      resetSocket(this.ws._socket);
    else
      this.close(how, '');
  }

  close(code, reason) {
    if (this.muted)
      return;
    this.ws.close(code, reason);
    setTimeout(() => this.ws.terminate(), 2000).unref();
  }

  /** The peer is gone, without saying so. */
  mute(how) {
    this.muted = how;
    if (how === 'silent')
      this.ws.pause();
    else if (how === 'halfclosed')
      this.ws._socket.end();
  }
}

/* Why the handshake must be refused, or null. */
function handshakeFault(sim, req, url, call) {
  if (!authorized(sim, req))
    return envelope(401, 'Incorrect API key provided.', 'invalid_api_key');
  if (req.headers['openai-beta'] !== undefined) {
    sim.violation(call, 'handshake with an OpenAI-Beta header');
    return envelope(400, 'The beta protocol is gone.', 'invalid_beta');
  }
  if (url.searchParams.has('model') || url.searchParams.has('intent')) {
    sim.violation(call, `handshake with ${url.search}`);
    return envelope(400, 'Give exactly one of model, call_id, intent.', 'invalid_parameter');
  }
  if (url.pathname !== '/v1/realtime' || !url.searchParams.has('call_id'))
    return envelope(404, `Invalid URL (GET ${url.pathname})`);
  return call && call.state === 'live' ? null : notFound();
}

async function refuseByRule(rule, socket) {
  if (rule.afterMs)
    await sleep(rule.afterMs);
  if (rule.never)
    return true;
  if (rule.reset) {
    resetSocket(socket);
    return true;
  }
  if (rule.badAccept) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n'
      + 'connection: upgrade\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n');
    return true;
  }
  if (rule.status === undefined)
    return false;
  refuse(socket, rule.status === 404 ? notFound()
    : envelope(rule.status, rule.message ?? 'Simulated fault', rule.code ?? null));
  return true;
}

/** The upgrade handler of a simulator. */
export function sidebandServer(sim) {
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, autoPong: false,
    maxPayload: 64 * 1024 * 1024, clientTracking: false });
  return async (req, socket, head) => {
    const url = new URL(req.url, 'http://sim');
    const call = sim.calls.get(url.searchParams.get('call_id') ?? '') ?? null;
    const entry = { t: Date.now(), method: 'WS', path: req.url, headers: req.headers,
      action: 'sideband', callId: call?.callId ?? null, status: null };
    sim.requests.push(entry);
    call?.requests.push(entry);
    socket.on('error', () => {});
    const rule = takeFault('handshake', call?.faults, sim.faults);
    if (rule && await refuseByRule(rule, socket)) {
      entry.status = rule.status ?? 0;
      return;
    }
    const fault = handshakeFault(sim, req, url, call);
    if (fault) {
      entry.status = fault.status;
      if (fault.status === 404)
        await sleep(sim.timing.notFoundMs);
      refuse(socket, fault);
      return;
    }
    wss.handleUpgrade(req, socket, head, (ws) => {
      entry.status = 101;
      sim.sidebands += 1;
      const sideband = new Sideband(call, ws, sim.sidebands);
      sideband.prepare(call.faults.sideband ?? sim.faults.sideband);
      call.attach(sideband);
    });
  };
}
