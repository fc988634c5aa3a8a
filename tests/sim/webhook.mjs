/* SPDX-License-Identifier: MIT */
/*
 * Sends webhooks as the service does: Standard Webhooks signature, the same webhook-id on every
 * attempt, a fresh timestamp on each, retries with growing pauses until a 2xx comes.
 */
import http from 'node:http';
import https from 'node:https';
import { performance } from 'node:perf_hooks';
import { Webhook } from 'standardwebhooks';
import { newId } from './ids.mjs';
import { webhookFaults } from './schema.mjs';
import { sleep } from './server.mjs';

/** The signature header of a body: one entry for each secret. */
export function signWebhook(secrets, id, date, body) {
  return [secrets].flat().map((secret) => {
    const signer = secret.startsWith('whsec_') ? new Webhook(secret)
      : new Webhook(secret, { format: 'raw' });
    return signer.sign(id, date, body);
  }).join(' ');
}

function fromHeader(call) {
  const { rawFrom, displayName } = call.opts;
  if (rawFrom !== undefined)
    return rawFrom;
  const tag = newId('tag', 6);
  if (call.from === null || call.from === 'anonymous')
    return `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=${tag}`;
  const name = displayName === undefined ? '' : `"${displayName}" `;
  return `${name}<sip:${call.from}@203.0.113.7:5060>;tag=${tag}`;
}

/** The INVITE's headers, as the webhook shows them. */
export function sipHeaders(call) {
  const to = call.opts.to ?? 'sip:proj_simulated@sip.api.openai.com;transport=tls';
  const extra = call.opts.extraHeaders ?? [];
  const list = Array.isArray(extra) ? extra
    : Object.entries(extra).map(([name, value]) => ({ name, value }));
  return [
    { name: 'Via', value: `SIP/2.0/TLS 203.0.113.7:5061;branch=z9hG4bK${newId('b', 6)}` },
    { name: 'Max-Forwards', value: '63' },
    { name: 'From', value: fromHeader(call) },
    { name: 'To', value: `<${to}>` },
    { name: 'Call-ID', value: call.sipCallId },
    { name: 'CSeq', value: '851287 INVITE' },
    { name: 'Contact', value: '<sip:203.0.113.7:5061;transport=tls>' },
    { name: 'Content-Type', value: 'application/sdp' },
    ...list,
  ];
}

/** The event that announces a call. */
export function incomingEvent(call, live = false) {
  const headers = call.sipHeaders ??= sipHeaders(call);
  const data = live ? { type: 'sip', session_id: call.liveId } : { call_id: call.callId };
  return { id: newId('evt'), object: 'event', created_at: Math.floor(Date.now() / 1000),
    type: live ? 'live.transport.incoming' : 'realtime.call.incoming',
    data: { ...data, sip_headers: headers, sip_media_security: 'srtp' } };
}

export class WebhookSender {
  /** @param {object} opts secret(s), retryMs (pauses), timeoutMs, ca */
  constructor({ secret, retryMs, timeoutMs, ca }) {
    this.secret = secret;
    this.retryMs = retryMs;
    this.timeoutMs = timeoutMs;
    const agent = { keepAlive: true, maxSockets: 128, maxFreeSockets: 128 };
    this.agents = { 'http:': new http.Agent(agent), 'https:': new https.Agent({ ...agent, ca }) };
    this.closed = false;
  }

  close() {
    this.closed = true;
    Object.values(this.agents).forEach((agent) => agent.destroy());
  }

  /**
   * Posts bytes once with these headers (or sends them with another method).
   * @returns {Promise<{status, ms, hr, body, contentType, error}>} status 0 when no answer came
   */
  post(url, headers, body, method = 'POST') {
    const target = new URL(url);
    const lib = target.protocol === 'https:' ? https : http;
    const hr = performance.now();
    return new Promise((resolve) => {
      const finish = (status, text, error = null, contentType = '') => resolve({ status,
        ms: performance.now() - hr, hr, body: text, contentType, error });
      const req = lib.request(target, { method, agent: this.agents[target.protocol],
        timeout: this.timeoutMs, headers: { 'content-type': 'application/json',
          'user-agent': 'OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)',
          'content-length': Buffer.byteLength(body), ...headers } }, (res) => {
        let text = '';
        res.setEncoding('utf8');
        res.on('data', (d) => { text += d; });
        res.on('end', () => finish(res.statusCode, text, null,
          res.headers['content-type'] ?? ''));
        res.on('error', (e) => finish(0, '', e.message));
      });
      req.on('timeout', () => req.destroy(new Error('timeout')));
      req.on('error', (e) => finish(0, '', e.message));
      req.end(body);
    });
  }

  /** Headers of one attempt. faults: badSignature, staleSeconds. */
  headers(id, body, { badSignature = false, staleSeconds = 0, secret = this.secret } = {}) {
    const date = new Date(Date.now() - staleSeconds * 1000);
    let signature = signWebhook(secret, id, date, body);
    if (badSignature)
      signature = signWebhook('whsec_d3JvbmcgcmFuZG9tIHNlY3JldCBvZiB0aGUgdGVzdA==', id, date, body);
    return { 'webhook-id': id, 'webhook-timestamp': String(Math.floor(date.getTime() / 1000)),
      'webhook-signature': signature };
  }

  /**
   * Delivers an event until it is acknowledged.
   * @param {string} url
   * @param {object} event
   * @param {object} [opts] id, log (array that takes each attempt), faults (see faults.mjs)
   * @returns {Promise<object>} the last attempt
   */
  async deliver(url, event, { id = newId('wh'), log = [], faults = {} } = {}) {
    const body = JSON.stringify(event);
    const pauses = faults.noRetry ? [] : this.retryMs;
    let attempt = null;
    for (let n = 0; n <= pauses.length && !this.closed; n += 1) {
      const headers = this.headers(id, body, { staleSeconds: faults.staleSeconds,
        badSignature: n < Number(faults.badSignature ?? 0) });
      const result = await this.post(url, headers, body);
      attempt = { t: Date.now(), type: event.type, webhookId: id, attempt: n + 1, ...result };
      log.push(attempt);
      if (attempt.status >= 200 && attempt.status < 300)
        break;
      if (n < pauses.length)
        await sleep(pauses[n]);
    }
    return attempt;
  }
}

/** Announces a call, with the faults that it asks for. Resolves when all deliveries are over. */
export async function announceCall(sim, call) {
  const faults = { ...sim.faults.webhook, ...call.faults.webhook };
  const url = call.opts.webhookUrl ?? sim.webhookUrl;
  const event = incomingEvent(call);
  const wrong = call.checked ? webhookFaults(event) : [];
  if (wrong.length > 0)
    sim.violation(call, `sent webhook: ${wrong.join('; ')}`, event);
  const send = (what, opts) => sim.webhooks.deliver(url, what, { log: call.deliveries, faults,
    ...opts });
  const gap = faults.liveGapMs ?? 20;
  if (faults.delayMs)
    await sleep(faults.delayMs);
  const jobs = [];
  if (faults.live === 'before') {
    jobs.push(send(incomingEvent(call, true)));
    await sleep(gap);
  }
  const id = newId('wh');
  jobs.push(send(event, { id }));
  if (faults.live === 'after') {
    await sleep(gap);
    jobs.push(send(incomingEvent(call, true)));
  }
  for (let n = 0; n < (faults.copies ?? 0); n += 1) {
    await sleep(faults.copyAfterMs ?? 0);
    jobs.push(send(event, { id: faults.copyNewId ? newId('wh') : id }));
  }
  await Promise.all(jobs);
}
