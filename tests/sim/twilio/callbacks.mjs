/* SPDX-License-Identifier: MIT */
/*
 * Requests to our side: signed by npm twilio for the public URL as it was given, sent over HTTP to where
 * that URL is routed. Callbacks of one leg (or conference) follow each other as long as they are answered
 * within orderMs. Faults (sim.callbackFaults, an array, used up in order):
 *   { kind, event, match(params), times = 1, action, ms }
 *   kind    'status' | 'conference' | 'amd' | 'recording' | 'voice' (TwiML of a call) | 'action' |
 *           'announce' | 'wait' | 'hold'
 *   event   CallStatus, StatusCallbackEvent, RecordingStatus or AnsweredBy
 *   action  'drop' (never sent) | 'delay' (by ms) | 'duplicate' | 'swap' (sent after the one that
 *           follows it) | 'badSignature'
 */
import { randomUUID } from 'node:crypto';
import webhooks from 'twilio/lib/webhooks/webhooks.js';
import { WebhookSender } from '../webhook.mjs';
import { sleep } from '../server.mjs';

const SWAP_LIMIT_MS = 1000;

function encode(params) {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params))
    [value].flat().forEach((v) => out.append(name, v));
  return out.toString();
}

/* What the fragment of a callback's URL asks for: {url, retries, readMs}. */
function overrides(text, timeoutMs) {
  const [url, fragment = ''] = text.split('#');
  const asked = new URLSearchParams(fragment);
  return { url, retries: Math.min(5, Number(asked.get('rc') ?? 0)),
    timeoutMs: Number(asked.get('rt') ?? timeoutMs) };
}

export class Callbacks {
  constructor(sim, { ca, timeoutMs, orderMs }) {
    this.sim = sim;
    this.orderMs = orderMs;
    this.timeoutMs = timeoutMs;
    this.ca = ca;
    this.senders = new Map();
    this.chains = new Map();
    this.held = new Map();
    this.log = []; // {t, kind, url, params, status, body, error, ms, attempt, fault}
    this.underWay = new Set();
    this.closed = false;
  }

  sender(timeoutMs) {
    if (!this.senders.has(timeoutMs))
      this.senders.set(timeoutMs, new WebhookSender({ secret: '', retryMs: [], timeoutMs, ca: this.ca }));
    return this.senders.get(timeoutMs);
  }

  close() {
    this.closed = true;
    this.senders.forEach((sender) => sender.close());
  }

  takeFault(kind, params) {
    const event = [params.StatusCallbackEvent, params.CallStatus, params.RecordingStatus, params.AnsweredBy];
    for (const rule of this.sim.callbackFaults) {
      rule.left ??= rule.times ?? 1;
      const fits = (!rule.kind || rule.kind === kind) && (!rule.event || event.includes(rule.event))
        && (!rule.match || rule.match(params));
      if (rule.left > 0 && fits) {
        rule.left -= 1;
        return rule;
      }
    }
    return null;
  }

  /** Tells something, in the order of `key`; nobody waits for it. */
  send(kind, url, method, params, key) {
    if (this.closed)
      return;
    const rule = this.takeFault(kind, params);
    const job = async () => {
      const { status } = await this.deliver(kind, url, method, params, rule);
      if (status < 200 || status > 299)
        this.sim.alert(status === 0 ? 11205 : 11200, `${kind} callback to ${url}: ${status}`);
    };
    if (rule?.action === 'drop') {
      this.record({ kind, url, params, status: 0, error: 'lost', fault: 'drop' });
    } else if (rule?.action === 'delay') {
      this.sim.task.after(rule.ms, () => this.track(job()));
    } else if (rule?.action === 'swap') {
      this.held.set(key, job);
      this.sim.task.after(SWAP_LIMIT_MS, () => this.release(key));
    } else {
      this.queue(key, job);
      if (rule?.action === 'duplicate')
        this.queue(key, job);
      this.release(key);
    }
  }

  release(key) {
    const job = this.held.get(key);
    this.held.delete(key);
    if (job)
      this.queue(key, job);
  }

  queue(key, job) {
    const before = this.chains.get(key) ?? Promise.resolve();
    const sent = before.then(() => Promise.race([this.track(job()), sleep(this.orderMs)]));
    this.chains.set(key, sent);
    this.track(sent);
  }

  track(promise) {
    this.underWay.add(promise);
    return promise.finally(() => this.underWay.delete(promise));
  }

  record(entry) {
    const full = { t: Date.now(), ...entry };
    if (this.log.length < 100000)
      this.log.push(full);
    this.sim.emit('callback', full);
    return full;
  }

  /* Where a public URL leads on this machine, or null. */
  route(url) {
    const found = [...this.sim.routes].filter(([from]) => url === from || url.startsWith(`${from}/`)
      || url.startsWith(`${from}?`)).sort((a, b) => b[0].length - a[0].length)[0];
    if (!found) {
      this.sim.violation(`callback to ${url}, which leads nowhere`);
      return null;
    }
    return found[1] + url.slice(found[0].length);
  }

  /** Signs and sends one request, with the retries that its URL asks for. Resolves with the log's entry. */
  async deliver(kind, address, method, params, rule = null) {
    const given = Object.fromEntries(Object.entries(params)
      .filter(([, value]) => value !== undefined && value !== null));
    const { url, retries, timeoutMs } = overrides(address, this.timeoutMs);
    if (this.closed)
      return { status: 0, error: 'closed', body: '', contentType: '' };
    const full = method === 'GET' ? `${url}${url.includes('?') ? '&' : '?'}${encode(given)}` : url;
    const local = this.route(full);
    if (local === null)
      return this.record({ kind, url, params: given, status: 0, error: 'no route', body: '', contentType: '' });
    const token = rule?.action === 'badSignature' ? 'wrong' : this.sim.signingToken;
    const body = method === 'GET' ? '' : encode(given);
    const headers = { 'user-agent': 'TwilioProxy/1.1', host: new URL(url).host,
      'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      'i-twilio-idempotency-token': randomUUID(), accept: '*/*',
      'x-twilio-signature': webhooks.getExpectedTwilioSignature(token, full,
        method === 'GET' ? {} : given) };
    let entry = null;
    for (let n = 0; n <= retries; n += 1) {
      const result = await this.sender(timeoutMs).post(local, headers, body, method);
      entry = this.record({ kind, method, url: full, params: given, attempt: n + 1, headers, ...result,
        fault: rule?.action ?? null });
      if (result.status !== 0 && result.status < 500)
        break;
    }
    return entry;
  }

  /** As deliver(), for a request whose answer counts: with the faults that it meets. */
  async ask(kind, url, method, params) {
    const rule = this.takeFault(kind, params);
    if (rule?.action === 'drop')
      return this.record({ kind, url, params, status: 0, error: 'lost', fault: 'drop', body: '', contentType: '' });
    if (rule?.action === 'delay')
      await this.sim.task.sleep(rule.ms);
    if (rule?.action === 'duplicate')
      await this.track(this.deliver(kind, url, method, params));
    return this.track(this.deliver(kind, url, method, params, rule));
  }

  /** Resolves when nothing is on its way. */
  async settled() {
    while (this.underWay.size > 0)
      await Promise.all([...this.underWay]);
  }
}
