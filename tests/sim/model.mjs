/* SPDX-License-Identifier: MIT */
// The agent's side: a provider of models for a real gateway, and a gateway's endpoint for the host.
import { EventEmitter } from 'node:events';
import { listen, readBody, resetSocket, sendJson, sleep } from './server.mjs';
import { answerChat, logEntry } from './chat.mjs';
import { takeFault } from './faults.mjs';

class ChatServer extends EventEmitter {
  constructor(opts) {
    super();
    this.setMaxListeners(0);
    this.rules = opts.rules ?? [];
    this.token = opts.token ?? null;
    this.requests = [];
    this.violations = [];
    this.faults = opts.faults ?? {};
  }

  /** Requests of chat completions alone. */
  get chats() {
    return this.requests.filter((r) => r.path.endsWith('/chat/completions') && r.body);
  }

  /** Resolves with the first chat request that matches, also one of the past. */
  waitChat(match = () => true, timeoutMs = 10000) {
    const found = this.chats.find(match);
    if (found)
      return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const look = (entry) => {
        if (match(entry)) {
          clearTimeout(timer);
          this.off('chat', look);
          resolve(entry);
        }
      };
      const timer = setTimeout(() => {
        this.off('chat', look);
        reject(new Error(`no matching chat request in ${timeoutMs} ms; words seen: ${
          this.chats.map((c) => c.words).join(' | ')}`));
      }, timeoutMs);
      this.on('chat', look);
    });
  }

  violation(text) {
    this.violations.push({ t: Date.now(), text });
  }

  /** Fails with all that should not have been asked for. */
  assertClean() {
    if (this.violations.length > 0)
      throw new Error(this.violations.map((v) => v.text).join('\n'));
  }

  async close() {
    await this.server.close();
  }

  unauthorized(entry) {
    return this.token !== null && entry.headers.authorization !== `Bearer ${this.token}`;
  }

  async handle(req, res) {
    const entry = logEntry(req);
    this.requests.push(entry);
    const raw = await readBody(req, 20 * 1024 * 1024);
    if (raw === null)
      return;
    try {
      entry.body = raw.length ? JSON.parse(raw.toString('utf8')) : {};
    } catch {
      this.violation('body is no JSON');
      sendJson(res, 400, { error: { message: 'no JSON', type: 'invalid_request_error' } });
      return;
    }
    if (this.unauthorized(entry)) {
      sendJson(res, 401, { error: { message: 'unauthorized', type: 'authentication_error' } });
    } else if (req.url.endsWith('/models')) {
      sendJson(res, 200, { object: 'list', data: [{ id: 'fake-1', object: 'model' }] });
    } else if (req.method !== 'POST' || !req.url.endsWith('/chat/completions')) {
      sendJson(res, 404, { error: { message: 'not found', type: 'invalid_request_error' } });
    } else {
      await this.chat(res, entry);
    }
  }

  async chat(res, entry) {
    const rule = takeFault('chat', this.faults);
    if (rule?.afterMs)
      await sleep(rule.afterMs);
    if (rule?.never)
      return;
    if (rule?.reset) {
      resetSocket(res.socket);
      return;
    }
    if (rule?.status) {
      sendJson(res, rule.status, { error: { message: rule.message ?? 'Simulated fault',
        type: 'server_error' } }, rule.headers);
      return;
    }
    setImmediate(() => this.emit('chat', entry));
    await answerChat(this.rules, res, entry);
  }
}

async function start(sim, opts) {
  sim.server = await listen({ port: opts.port ?? 0, tls: opts.tls ?? false,
    onRequest: (req, res) => {
      sim.handle(req, res).catch((error) => {
        sim.violation(`simulator failed: ${error.stack}`);
        res.destroy();
      });
    } });
  sim.port = sim.server.port;
  sim.origin = sim.server.origin;
  return sim;
}

/**
 * Starts the agent's model.
 * @param {object} [opts] port (0 = any), rules (see chat.mjs; sim.rules may be changed at any time),
 *   token (asked for when given), tls, faults ({chat: rules as in faults.mjs})
 * @returns {Promise<ChatServer>} with url (ends in /v1), requests, chats
 */
export async function startModel(opts = {}) {
  const sim = await start(new ChatServer(opts), opts);
  sim.url = `${sim.origin}/v1`;
  return sim;
}

class GatewayEndpoint extends ChatServer {
  async chat(res, entry) {
    const key = entry.headers['x-openclaw-session-key'];
    if (!key) {
      this.violation('chat request without x-openclaw-session-key');
    } else if (/(^|:)(subagent|cron|acp):/.test(key)) {
      this.violation(`reserved session key ${key}`);
      sendJson(res, 400, { error: { message: 'reserved session key',
        type: 'invalid_request_error' } });
      return;
    }
    entry.sessionKey = key ?? null;
    await super.chat(res, entry);
  }
}

/**
 * Starts what the native host sees of a gateway: POST /v1/chat/completions with SSE. It asks for the
 * Bearer token and x-openclaw-session-key.
 * @param {object} [opts] as startModel(); token defaults to 'sim-gateway-token'
 * @returns {Promise<GatewayEndpoint>} with url (no path)
 */
export async function startGatewayEndpoint(opts = {}) {
  const sim = await start(new GatewayEndpoint({ token: 'sim-gateway-token', ...opts }), opts);
  sim.url = sim.origin;
  return sim;
}
