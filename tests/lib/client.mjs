/* SPDX-License-Identifier: MIT */
/*
 * The simplest client of the speech service, on npm ws: it accepts every call that is announced,
 * attaches, greets, answers tools and hangs up. The simulators are tested with it, and benchmarks
 * compare with it.
 */
import http from 'node:http';
import OpenAI from 'openai';
import WebSocket from 'ws';

/** A session as a plugin would accept a call with. */
export const exampleSession = {
  type: 'realtime', model: 'gpt-realtime-2.1', instructions: 'Be brief.',
  audio: { input: { transcription: { model: 'gpt-transcribe' } }, output: { voice: 'marin' } },
  tools: [
    { type: 'function', name: 'ask_openclaw', description: 'Asks the agent.',
      parameters: { type: 'object', properties: { request: { type: 'string' } },
        required: ['request'] } },
    { type: 'function', name: 'end_call', description: 'Hangs up.',
      parameters: { type: 'object', properties: {} } },
  ],
};

/** POST /realtime/calls/{id}/{action}; resolves with {status, json}. */
export async function rest(sim, callId, action, body, { key = sim.apiKey } = {}) {
  const res = await fetch(`${sim.url}/realtime/calls/${callId}/${action}`, { method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await res.text();
  return { status: res.status, json: text ? JSON.parse(text) : null };
}

/** One sideband. `events` holds what came; waitEvent() looks at the past, too. */
export class SidebandClient {
  constructor(sim, callId, { query = `call_id=${callId}`, headers = {}, ca, onEvent } = {}) {
    this.events = [];
    this.closed = null;
    this.waiters = new Set();
    this.onEvent = onEvent;
    this.ws = new WebSocket(`${sim.url.replace('http', 'ws')}/realtime?${query}`, { ca,
      perMessageDeflate: false, headers: { authorization: `Bearer ${sim.apiKey}`, ...headers } });
    this.opened = new Promise((resolve, reject) => {
      this.ws.on('open', resolve);
      this.ws.on('error', reject);
      this.ws.on('unexpected-response', (_req, res) => {
        reject(Object.assign(new Error(`handshake ${res.statusCode}`), { status: res.statusCode }));
        res.resume();
      });
    });
    this.opened.catch(() => {});
    this.ended = new Promise((resolve) => {
      this.ws.on('close', (code) => {
        this.closed = code;
        resolve(code);
      });
    });
    this.ws.on('message', (data, binary) => this.onMessage(data, binary));
  }

  onMessage(data, binary) {
    let event = { type: 'binary', data };
    if (!binary) {
      try {
        event = JSON.parse(data);
      } catch {
        event = { type: 'no-json', data: String(data) };
      }
    }
    this.events.push(event);
    this.onEvent?.(event, this);
    this.waiters.forEach((look) => look(event));
  }

  send(event) {
    this.ws.send(JSON.stringify(event));
  }

  get types() {
    return this.events.map((e) => e.type);
  }

  /** The first event (from index `since` on) that matches a type or a predicate. */
  waitEvent(what, { timeoutMs = 5000, since = 0 } = {}) {
    const match = typeof what === 'function' ? what : (e) => e.type === what;
    const found = this.events.slice(since).find(match);
    if (found)
      return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const look = (event) => {
        if (match(event)) {
          clearTimeout(timer);
          this.waiters.delete(look);
          resolve(event);
        }
      };
      const timer = setTimeout(() => {
        this.waiters.delete(look);
        reject(new Error(`${what} did not come; came: ${this.types.join(' ')}`));
      }, timeoutMs);
      this.waiters.add(look);
    });
  }

  close() {
    this.ws.terminate();
  }
}

/** Accepts and attaches; resolves with the sideband once the session was created. */
export async function acceptAndAttach(sim, call, { session = exampleSession, ...opts } = {}) {
  const accepted = await rest(sim, call.callId, 'accept', session);
  if (accepted.status !== 200)
    throw new Error(`accept: ${accepted.status} ${JSON.stringify(accepted.json)}`);
  const client = new SidebandClient(sim, call.callId, opts);
  await client.opened;
  await client.waitEvent('session.created');
  return client;
}

function onServerEvent(sim, callId, answer, event, client) {
  if (event.type === 'session.created')
    client.send({ type: 'response.create' });
  if (event.type === 'output_audio_buffer.stopped' && client.leaving)
    rest(sim, callId, 'hangup');
  if (event.type !== 'response.done' || event.response.status !== 'completed')
    return;
  const tools = event.response.output.filter((item) => item.type === 'function_call');
  const asked = tools.filter((item) => item.name !== 'end_call');
  client.leaving ||= tools.length > asked.length;
  for (const item of asked) {
    client.send({ type: 'conversation.item.create', item: { type: 'function_call_output',
      call_id: item.call_id, output: answer(item) } });
  }
  if (asked.length > 0)
    client.send({ type: 'response.create' });
}

/**
 * Starts a webhook server that serves every call.
 * @param {object} sim
 * @param {object} [opts] answer(item) -> output of a tool call, status (of the webhook's answer)
 * @returns {Promise<{url, received, close}>}
 */
export async function startClient(sim, { answer = (item) => `Answer to ${item.arguments}`,
  status = 200 } = {}) {
  const verifier = new OpenAI({ apiKey: 'unused' });
  const self = { received: [], clients: [] };
  const serve = async (callId) => {
    const accepted = await rest(sim, callId, 'accept', exampleSession);
    if (accepted.status === 200) {
      self.clients.push(new SidebandClient(sim, callId, {
        onEvent: (event, client) => onServerEvent(sim, callId, answer, event, client) }));
    }
  };
  const server = http.createServer((req, res) => {
    const chunks = [];
    req.on('data', (d) => chunks.push(d));
    req.on('end', async () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const entry = { headers: req.headers, body, event: JSON.parse(body), valid: true };
      try {
        await verifier.webhooks.verifySignature(body, req.headers, [sim.webhookSecret].flat()[0]);
      } catch {
        entry.valid = false;
      }
      const known = self.received.some((r) => r.event.data.call_id === entry.event.data.call_id
        && r.valid);
      self.received.push(entry);
      const code = entry.valid ? (typeof status === 'function' ? status(entry) : status) : 401;
      res.writeHead(code).end();
      if (code === 200 && !known && entry.event.type === 'realtime.call.incoming')
        serve(entry.event.data.call_id);
    });
  });
  await new Promise((resolve) => { server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 },
    resolve); });
  self.url = `http://127.0.0.1:${server.address().port}/webhook`;
  self.close = () => new Promise((resolve) => {
    self.clients.forEach((client) => client.close());
    server.close(() => resolve());
    server.closeAllConnections();
  });
  return self;
}
