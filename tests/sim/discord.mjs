/* SPDX-License-Identifier: MIT */
/*
 * Discord's REST API on loopback, as a proxy: the address of the real one is fixed in the gateway's
 * channel, but it goes through a proxy, and here the proxy answers in Discord's name. The gateway must
 * trust the authority of makeCerts(). Discord's WebSocket is refused: nothing comes in.
 */
import { EventEmitter } from 'node:events';
import http from 'node:http';
import https from 'node:https';

const bot = { id: '424242424242424242', username: 'sim', discriminator: '0001', bot: true };

class DiscordSim extends EventEmitter {
  constructor({ cert, key, refuse }) {
    super();
    this.refuse = refuse ?? {}; // {channel id: Discord's error code}
    this.botToken = `${Buffer.from(bot.id).toString('base64url')}.GSim01.${'s'.repeat(27)}`;
    this.requests = []; // {method, path, headers, body}
    this.messages = []; // {channelId, body, headers}
    this.messageId = 900000000000000000n;
    this.inner = https.createServer({ cert, key }, (req, res) => { this.read(req, res); });
    this.inner.on('upgrade', (req, socket) => socket.destroy());
    this.server = http.createServer((req, res) => { res.writeHead(405).end(); });
    this.sockets = new Set();
    this.server.on('connect', (req, socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket)).on('error', () => {});
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      this.inner.emit('connection', socket);
    });
  }

  read(req, res) {
    const parts = [];
    req.on('data', (part) => parts.push(part));
    req.on('end', () => {
      const raw = Buffer.concat(parts).toString('utf8');
      let body = null;
      try {
        body = raw ? JSON.parse(raw) : null;
      } catch {
        body = raw;
      }
      const entry = { method: req.method, path: req.url, headers: req.headers, body };
      this.requests.push(entry);
      const [status, answer] = this.answer(entry);
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  }

  answer({ method, path, headers, body }) {
    const where = path.replace(/^\/api\/v10/, '').replace(/\?.*/, '');
    if (headers.authorization !== `Bot ${this.botToken}`)
      return [401, { message: '401: Unauthorized', code: 0 }];
    if (where === '/users/@me')
      return [200, bot];
    if (where === '/users/@me/channels' && method === 'POST')
      return [200, { id: `7${body.recipient_id}`, type: 1, recipients: [{ id: body.recipient_id, username: 'alice' }] }];
    if (where === '/gateway/bot') {
      return [200, { url: 'wss://gateway.discord.gg', shards: 1,
        session_start_limit: { total: 1000, remaining: 1000, reset_after: 0, max_concurrency: 1 } }];
    }
    const [, channelId, rest] = /^\/channels\/([0-9]+)(\/messages)?$/.exec(where) ?? [];
    if (!channelId)
      return method === 'GET' ? [200, []] : [404, { message: '404: Not Found', code: 0 }];
    if (this.refuse[channelId])
      return [403, { message: 'Cannot send messages to this user', code: this.refuse[channelId] }];
    if (!rest)
      return [200, { id: channelId, type: 1, recipients: [{ id: channelId.slice(1), username: 'alice' }] }];
    if (method !== 'POST')
      return [200, []];
    this.messageId += 1n;
    this.messages.push({ channelId, body, headers });
    return [200, { id: String(this.messageId), channel_id: channelId, content: body.content ?? '',
      author: bot, timestamp: new Date().toISOString(), type: 0, attachments: [], embeds: [] }];
  }

  async close() {
    this.sockets.forEach((socket) => socket.destroy());
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

/**
 * Starts Discord.
 * @param {object} opts cert, key (makeCerts().discord), refuse
 * @returns {Promise<DiscordSim>} with url (goes into channels.discord.proxy), botToken, messages, requests,
 *   close()
 */
export async function startDiscord(opts) {
  const sim = new DiscordSim(opts);
  await new Promise((resolve) => { sim.server.listen(0, '127.0.0.1', resolve); });
  sim.url = `http://127.0.0.1:${sim.server.address().port}`;
  return sim;
}
