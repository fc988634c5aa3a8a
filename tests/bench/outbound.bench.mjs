/* SPDX-License-Identifier: MIT */
/* t-limit: 300 */
/*
 * A call that we place, one at a time: from the carrier's callback that it was answered to our first request for the
 * model's leg, and from the model's session.created to our response.create. State on disk, where the floor is a bare
 * commit, and in memory.
 */
import http from 'node:http';
import { randomBytes } from 'node:crypto';
import twilioHooks from 'twilio/lib/webhooks/webhooks.js';
import { waitFor } from '../lib/util.mjs';
import * as kit from './kit.mjs';

const CALLS = Math.max(10, Math.round(200 * kit.scale));
const AIM_MS = 50;
const PUBLIC = 'https://voice.example.com';
const OWN = '+15550001000';
const CALLEE = '+15551230001';
const token = randomBytes(16).toString('hex');
const account = `AC${randomBytes(16).toString('hex')}`;
const sid = (kind) => kind + randomBytes(16).toString('hex');

/* The carrier for measurements: every request works at once. onCreate(params, sid, moment) of a participant. */
async function fastCarrier() {
  const peer = { onCreate: null };
  const room = sid('CF');
  const server = http.createServer({ keepAliveTimeout: 120000 }, (req, res) => {
    const now = performance.now();
    let text = '';
    req.on('data', (piece) => { text += piece; });
    req.on('end', () => {
      const made = req.method === 'POST' && /\/Participants\.json$/.test(req.url);
      const call = sid('CA');
      const body = JSON.stringify(made ? { call_sid: call, conference_sid: room, status: 'queued' }
        : req.method === 'GET' ? { conferences: [], participants: [], calls: [] } : { sid: call });
      res.writeHead(made ? 201 : 200, { 'content-type': 'application/json', 'content-length': body.length });
      res.end(body);
      if (made)
        peer.onCreate?.(new URLSearchParams(text), call, now);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  peer.url = `http://127.0.0.1:${server.address().port}`;
  peer.close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return peer;
}

/* A signed status callback as bytes. */
function statusOf(url, CallSid, CallStatus, SequenceNumber) {
  const params = { CallSid, AccountSid: account, CallStatus, SequenceNumber: String(SequenceNumber) };
  const body = new URLSearchParams(params).toString();
  return Buffer.from(`POST ${url.slice(PUBLIC.length)} HTTP/1.1\r\nHost: voice.example.com\r\n`
    + 'Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: '
    + `${twilioHooks.getExpectedTwilioSignature(token, url, params)}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
}

/* Places one call and ends it; {answered, spoke} in ms. */
async function place(host, openai, carrier, conn) {
  const took = {};
  const legs = new Map(); // sid -> URL of its callbacks
  const hear = (call, status, seq) => conn.post(statusOf(legs.get(call), call, status, seq));
  const talks = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no call in 10 s')), 10000);
    let answeredAt;
    const rtc = kit.freshId();
    carrier.onCreate = (params, call, now) => {
      legs.set(call, params.get('StatusCallback'));
      if (params.get('Label') === 'caller') {
        const bytes = statusOf(legs.get(call), call, 'in-progress', 2); // made before its time begins
        setTimeout(() => {
          answeredAt = performance.now();
          conn.post(bytes);
        }, 20);
        return;
      }
      took.answered = now - answeredAt;
      const [, ref] = /X-Call-Ref=([0-9a-f]{32})/.exec(params.get('To'));
      conn.post(kit.signed(rtc, undefined, [{ name: 'X-Call-Ref', value: ref }]));
    };
    openai.onAttach = (id, created, ws) => ws.on('message', (data) => {
      if (took.spoke !== undefined || !data.includes('"response.create"'))
        return;
      took.spoke = performance.now() - created;
      clearTimeout(timer);
      resolve();
    });
  });
  const res = await host.api('/call', { method: 'POST', body: { to: CALLEE, purpose: 'Ask whether the table is free.' } });
  await talks;
  await host.api(`/call/${res.json.call_id}`, { method: 'DELETE' });
  for (const call of legs.keys())
    await hear(call, 'completed', 9);
  await waitFor(async () => (await host.api(`/calls/${res.json.call_id}`)).json?.state === 'over', { what: 'the end of the call' });
  return took;
}

async function measure(where) {
  const openai = await kit.fastOpenAI();
  const carrier = await fastCarrier();
  const stateDir = kit.stateFolder(where);
  const host = await kit.benchHost(openai, { stateDir, voice: { webhook: { port: 0, secret: kit.secret, base_url: PUBLIC },
    twilio: { account_sid: account, auth_token: token, phone_number: OWN, base_url: carrier.url },
    outbound: { calls_per_second: 100 } }, security: { destinations: { allow: ['+1555'] } } });
  const conn = await kit.client(host.port);
  const all = [];
  for (let i = 0; i < CALLS + 5; i += 1) {
    const took = await place(host, openai, carrier, conn);
    if (i >= 5) // the first ones open connections
      all.push(took);
  }
  const floor = kit.median(await kit.bareCommits(stateDir, 100));
  for (const [name, key] of [['answered callback to the request for the model\'s leg', 'answered'],
    ['session.created to response.create', 'spoke']]) {
    const values = all.map((took) => took[key]);
    for (const q of [0.5, 0.99]) {
      const value = kit.quantile(values, q);
      kit.row({ row: `${name}, state ${where === 'memory' ? 'in memory' : 'on disk'}, p${q * 100}`, aim: `< ${AIM_MS} ms`,
        value, unit: 'ms', runs: kit.fifths(values, q), floor: where === 'memory' ? null : floor, met: value < AIM_MS });
    }
  }
  conn.close();
  await host.stop();
  await carrier.close();
  await openai.close();
}

kit.progress(kit.machine());
kit.pin(0, false);
for (const where of ['disk', 'memory'])
  await measure(where);
kit.table();
