/* SPDX-License-Identifier: MIT */
// A Telegram Bot API on loopback: what a gateway's Telegram channel needs, and no more.
import { EventEmitter } from 'node:events';
import { listen, readBody, sendJson } from './server.mjs';
import { takeFault } from './faults.mjs';

const bot = { id: 424242, is_bot: true, first_name: 'SimBot', username: 'sim_oc_bot',
  can_join_groups: true, can_read_all_group_messages: false, supports_inline_queries: false };

const sends = /^(sendMessage|sendPhoto|sendVoice|sendDocument|sendAudio|editMessageText|sendMessageDraft)$/;

function parseParams(headers, raw) {
  const type = headers['content-type'] ?? '';
  const text = raw.toString('utf8');
  if (type.includes('json')) {
    try {
      return JSON.parse(text || '{}');
    } catch {
      return {};
    }
  }
  if (type.includes('urlencoded'))
    return Object.fromEntries(new URLSearchParams(text));
  const out = {};
  const boundary = /boundary="?([^";]+)/.exec(type)?.[1];
  for (const part of boundary ? text.split(`--${boundary}`) : []) {
    const name = /name="([^"]+)"/.exec(part)?.[1];
    const at = part.indexOf('\r\n\r\n');
    if (name && at > 0)
      out[name] = part.slice(at + 4).replace(/\r\n$/, '');
  }
  return out;
}

class TelegramSim extends EventEmitter {
  constructor(opts) {
    super();
    this.setMaxListeners(0);
    this.faults = opts.faults ?? {}; // {sendMessage: rules as in faults.mjs, ...}
    this.botToken = opts.botToken ?? '424242:SIM';
    this.requests = []; // all but getUpdates: {t, method, params}
    this.messages = []; // what the bot sent: {t, method, chatId, text, params}
    this.updates = [];
    this.updateId = 1000;
    this.messageId = 500;
    this.pollers = new Set();
    this.polls = 0;
  }

  /** Somebody writes to the bot. */
  inject({ chatId = 777, text, name = 'Alice' }) {
    this.messageId += 1;
    this.updateId += 1;
    const from = { id: chatId, is_bot: false, first_name: name, username: name.toLowerCase() };
    this.updates.push({ update_id: this.updateId, message: { message_id: this.messageId,
      date: Math.floor(Date.now() / 1000), text, from,
      chat: { id: chatId, type: 'private', first_name: name, username: from.username } } });
    [...this.pollers].forEach((wake) => wake());
  }

  /** Resolves with the first message of the bot that matches, also one of the past. */
  waitMessage(match = () => true, timeoutMs = 10000) {
    const found = this.messages.find(match);
    if (found)
      return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const look = (message) => {
        if (match(message)) {
          clearTimeout(timer);
          this.off('message', look);
          resolve(message);
        }
      };
      const timer = setTimeout(() => {
        this.off('message', look);
        reject(new Error(`no matching Telegram message in ${timeoutMs} ms; sent: ${
          JSON.stringify(this.messages.map((m) => m.text))}`));
      }, timeoutMs);
      this.on('message', look);
    });
  }

  async handle(req, res) {
    const raw = await readBody(req);
    if (raw === null)
      return;
    const [, token, method] = /^\/bot([^/]+)\/(\w+)/.exec(req.url) ?? [];
    const query = Object.fromEntries(new URL(req.url, 'http://sim').searchParams);
    const params = { ...query, ...parseParams(req.headers, raw) };
    if (token !== this.botToken) {
      sendJson(res, 401, { ok: false, error_code: 401, description: 'Unauthorized' });
      return;
    }
    if (method === 'getUpdates') {
      this.poll(res, params);
      return;
    }
    this.requests.push({ t: Date.now(), method, params });
    const rule = takeFault(method, this.faults);
    if (rule?.apply)
      this.result(method, params);
    if (rule?.never)
      return;
    if (rule?.reset) {
      res.socket.destroy();
      return;
    }
    if (rule?.status) {
      sendJson(res, rule.status, { ok: false, error_code: rule.status,
        description: rule.message ?? 'Simulated fault', ...rule.body });
      return;
    }
    sendJson(res, 200, { ok: true, result: this.result(method, params) });
  }

  result(method, params) {
    const chat = { id: Number(params.chat_id) || 777, type: 'private', first_name: 'Alice',
      username: 'alice' };
    if (sends.test(method)) {
      this.messageId += 1;
      const message = { t: Date.now(), method, chatId: chat.id, params,
        text: params.text ?? params.caption ?? '' };
      this.messages.push(message);
      setImmediate(() => this.emit('message', message));
      return { message_id: this.messageId, date: Math.floor(Date.now() / 1000), chat, from: bot,
        text: message.text };
    }
    if (method === 'getMe')
      return bot;
    if (method === 'getChat')
      return chat;
    if (method === 'getMyCommands')
      return [];
    if (method === 'getWebhookInfo')
      return { url: '', has_custom_certificate: false, pending_update_count: 0 };
    return true;
  }

  poll(res, params) {
    this.polls += 1;
    const offset = Number(params.offset) || 0;
    this.updates = this.updates.filter((u) => u.update_id >= offset);
    const reply = () => {
      clearTimeout(timer);
      this.pollers.delete(reply);
      if (!res.destroyed)
        sendJson(res, 200, { ok: true, result: this.updates.slice(0, Number(params.limit) || 100) });
    };
    const seconds = Math.min(Number(params.timeout) || 0, 25);
    const timer = setTimeout(reply, this.updates.length ? 0 : seconds * 1000);
    this.pollers.add(reply);
    res.on('close', () => {
      clearTimeout(timer);
      this.pollers.delete(reply);
    });
  }

  async close() {
    await this.server.close();
  }
}

/**
 * Starts the Bot API.
 * @param {object} [opts] port (0 = any), botToken, faults
 * @returns {Promise<TelegramSim>} with url (goes into channels.telegram.apiRoot), botToken, messages,
 *   requests, inject(), waitMessage(), close()
 */
export async function startTelegram(opts = {}) {
  const sim = new TelegramSim(opts);
  sim.server = await listen({ port: opts.port ?? 0,
    onRequest: (req, res) => { sim.handle(req, res).catch(() => res.destroy()); } });
  sim.port = sim.server.port;
  sim.url = sim.server.origin;
  return sim;
}
