/* SPDX-License-Identifier: MIT */
// The door: webhooks over real sockets, one decision per call, the API, who may call, and the accept.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { incomingEvent, signWebhook } from '../sim/index.mjs';
import { makeCerts } from '../lib/certs.mjs';
import { startHost } from '../lib/host.mjs';
import { slower, tmpdir, waitFor } from '../lib/util.mjs';
import { KNOWN, STRANGER, logLines, onlyLong, requestsOf, rig } from './native-kit.mjs';

const newSecret = () => `whsec_${randomBytes(24).toString('base64')}`;
const brief = [{ wait: 'greeting' }, { hangup: true }];

/* A webhook of a call that nobody announced yet. */
function webhookOf(made, opts = {}) {
  const call = made.openai.call({ announce: false, ...opts });
  return { call, body: JSON.stringify(incomingEvent(call)) };
}

function signed(body, { secret, id = `wh_${randomBytes(8).toString('hex')}`, age = 0, time } = {}) {
  const date = new Date(Date.now() - age * 1000);
  return { 'webhook-id': id, 'webhook-timestamp': time ?? String(Math.floor(date / 1000)),
    'webhook-signature': signWebhook(secret, id, date, body) };
}

/* Signs also what the library would not: any id and timestamp text. */
function signedRaw(body, { secret, id, time }) {
  const mac = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'));
  return { 'webhook-id': id, 'webhook-timestamp': time,
    'webhook-signature': `v1,${mac.update(`${id}.${time}.`).update(body).digest('base64')}` };
}

const post = (made, headers, body, where = made.host.webhookUrl) =>
  made.openai.webhooks.post(where, headers, body);

describe('signatures', () => {
  test('the table of good and bad ones', async (t) => {
    const old = newSecret();
    const fresh = newSecret();
    const wrong = newSecret();
    const made = await rig(t, { sim: { webhookSecret: fresh },
      changes: { channels: { voice: { webhook: { secret: [old, fresh] } } },
        logging: { voice: { level: 'debug' } } } });
    const now = () => Math.floor(Date.now() / 1000);
    const without = (headers, name) => Object.fromEntries(Object.entries(headers)
      .filter(([key]) => key !== name));
    const big = (n) => `{"type":"other.event","pad":"${'x'.repeat(n)}"}`;
    const cases = [
      // name, expected status, headers of a body, body (default: a call), pattern of the log line
      ['good', 200, (b) => signed(b, { secret: fresh })],
      ['the older secret', 200, (b) => signed(b, { secret: old })],
      ['both signatures', 200, (b) => signed(b, { secret: [old, fresh] })],
      ['a good one behind a wrong one', 200, (b) => signed(b, { secret: [wrong, fresh] })],
      ['a good one among other versions', 200, (b) => {
        const h = signed(b, { secret: fresh });
        return { ...h, 'webhook-signature': `v2,AAAA v1a,BBBB ${h['webhook-signature']} v1,CCCC` };
      }],
      ['299 s old', 200, (b) => signed(b, { secret: fresh, age: 298 })],
      ['298 s ahead', 200, (b) => signed(b, { secret: fresh, age: -298 })],
      ['a wrong secret', 401, (b) => signed(b, { secret: wrong }), null, /no signature fits/],
      ['302 s old', 401, (b) => signed(b, { secret: fresh, age: 302 }), null, /300 s off/],
      ['303 s ahead', 401, (b) => signed(b, { secret: fresh, age: -303 }), null, /300 s off/],
      ['another body', 401, (b) => signed(`${b} `, { secret: fresh }), null, /no signature fits/],
      ['without v1,', 401, (b) => {
        const h = signed(b, { secret: fresh });
        return { ...h, 'webhook-signature': h['webhook-signature'].slice(3) };
      }, null, /no signature fits/],
      ['v2 alone', 401, (b) => {
        const h = signed(b, { secret: fresh });
        return { ...h, 'webhook-signature': h['webhook-signature'].replace('v1,', 'v2,') };
      }, null, /no signature fits/],
      ['no id', 400, (b) => without(signed(b, { secret: fresh }), 'webhook-id'), null, /webhook-id/],
      ['an empty id', 400, (b) => signedRaw(b, { secret: fresh, id: '', time: String(now()) }), null,
        /webhook-id/],
      ['no timestamp', 400, (b) => without(signed(b, { secret: fresh }), 'webhook-timestamp'), null,
        /webhook-timestamp/],
      ['no signature', 400, (b) => without(signed(b, { secret: fresh }), 'webhook-signature'), null,
        /webhook-signature/],
      ['a timestamp with letters', 400, (b) => signedRaw(b, { secret: fresh, id: 'wh_1', time: `${now()}abc` }),
        null, /not a number/],
      ['a timestamp with a sign', 400, (b) => signedRaw(b, { secret: fresh, id: 'wh_1', time: `+${now()}` }),
        null, /not a number/],
      ['a timestamp with a point', 400, (b) => signedRaw(b, { secret: fresh, id: 'wh_1', time: `${now()}.0` }),
        null, /not a number/],
      ['no JSON', 400, (b) => signed(b, { secret: fresh }), '{"type":', /refused with 400/],
      ['JSON that is no object', 400, (b) => signed(b, { secret: fresh }), '[1]', /no JSON object/],
      ['no type', 400, (b) => signed(b, { secret: fresh }), '{"data":{}}', /no type/],
      ['no call_id', 400, (b) => signed(b, { secret: fresh }),
        '{"type":"realtime.call.incoming","data":{}}', /call_id/],
      ['a call_id that is a number', 400, (b) => signed(b, { secret: fresh }),
        '{"type":"realtime.call.incoming","data":{"call_id":5}}', /call_id/],
      ['no data', 400, (b) => signed(b, { secret: fresh }), '{"type":"realtime.call.incoming"}', /call_id/],
      ['an unknown type', 200, (b) => signed(b, { secret: fresh }), '{"type":"batch.completed","data":null}'],
      ['64 KiB less a little', 200, (b) => signed(b, { secret: fresh }), big(65536 - 40)],
      ['over 64 KiB', 413, (b) => signed(b, { secret: fresh }), big(65536), /413|too (big|long|large)/],
    ];
    let accepts = 0;
    for (const [name, status, headers, given, line] of cases) {
      const { call, body } = given ? { call: null, body: given } : webhookOf(made);
      const before = made.host.stderr.text.length;
      const res = await post(made, headers(body), body);
      assert.equal(res.status, status, `${name}: ${res.status} ${res.error ?? ''} ${res.body}`);
      if (status === 200 && call) {
        await call.waitEvent('response.created');
        accepts += 1;
      } else if (call) {
        await sleep(20);
        assert.equal(requestsOf(call, 'accept').length, 0, name);
      }
      if (line) {
        const lines = () => made.host.stderr.text.slice(before).split('\n')
          .filter((l) => /warning|error/.test(l));
        await waitFor(() => lines().length > 0, { timeoutMs: 2000, what: `a log line for: ${name}` });
        assert.equal(lines().length, 1, `${name}: ${lines().join('\n')}`);
        assert.match(lines()[0], line, name);
      }
      call?.hangup();
    }
    assert.equal(accepts, 7);
    for (const secret of [old, fresh, wrong]) {
      assert.ok(!made.host.stderr.text.includes(secret));
      assert.ok(!made.host.stderr.text.includes(secret.slice(6)));
    }
    assert.ok(!/v1,[A-Za-z0-9+/]{20}/.test(made.host.stderr.text), 'no signature in the log');
    assert.ok(!made.host.stderr.text.includes(made.openai.apiKey), 'no key in the log');
  });

  test('bad signatures first, then a good one: the retry is taken', async (t) => {
    const made = await rig(t);
    const call = made.call({ faults: { webhook: { badSignature: 2 } }, script: brief });
    await call.done;
    assert.deepEqual(call.deliveries.map((d) => d.status), [401, 401, 200]);
    assert.equal(requestsOf(call, 'accept').length, 1);
  });

  test('a stale webhook is never taken', async (t) => {
    const made = await rig(t);
    const call = made.call({ faults: { webhook: { staleSeconds: 400, noRetry: true } } });
    await call.announced;
    assert.equal(call.deliveries[0].status, 401);
    assert.equal(requestsOf(call, 'accept').length, 0);
  });
});

describe('one decision per call', () => {
  const one = (call, made) => {
    assert.equal(requestsOf(call, 'accept').length, 1, 'one accept');
    assert.equal(requestsOf(call, 'sideband').length, 1, 'one sideband');
    assert.equal(made.host.events.filter((e) => e.event === 'call.incoming'
      && e.openai_call_id === call.callId).length, 1, 'one event');
  };

  test('duplicates in sequence, with the same and with new webhook ids', async (t) => {
    const made = await rig(t);
    for (const copyNewId of [false, true]) {
      const call = made.call({ script: [...brief.slice(0, 1), { silence: 400 }, { hangup: true }],
        faults: { webhook: { copies: 8, copyAfterMs: 30, copyNewId } } });
      await call.done;
      await call.announced;
      assert.deepEqual(call.deliveries.map((d) => d.status), Array(9).fill(200));
      one(call, made);
    }
  });

  test('50 at once', async (t) => {
    const made = await rig(t);
    const { call, body } = webhookOf(made);
    const secret = made.openai.webhookSecret;
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(made, signed(body, { secret }), body)));
    assert.deepEqual(answers.map((a) => a.status), Array(50).fill(200));
    await call.waitEvent('response.done');
    one(call, made);
    call.hangup();
    await made.ended(call);
    const late = await post(made, signed(body, { secret }), body);
    assert.equal(late.status, 200, 'also after the end');
    await sleep(100);
    assert.equal(requestsOf(call, 'accept').length, 1);
  });

  for (const live of ['before', 'after']) {
    test(`live.transport.incoming ${live} it uses nothing up`, async (t) => {
      const made = await rig(t);
      const call = made.call({ faults: { webhook: { live, liveGapMs: 60 } }, script: [...brief.slice(0, 1),
        { silence: 200 }, { hangup: true }] });
      await call.done;
      await call.announced;
      assert.deepEqual(call.deliveries.map((d) => [d.type, d.status]).sort(),
        [['live.transport.incoming', 200], ['realtime.call.incoming', 200]]);
      one(call, made);
      const requests = made.openai.requests.filter((r) => r.path.includes(call.liveId));
      assert.equal(requests.length, 0, 'nothing is asked about the other id');
    });
  }

  test('the same SIP Call-ID with another id is the same call', async (t) => {
    const made = await rig(t);
    const first = made.call({ sipCallId: 'same@192.0.2.1', script: [{ wait: 'greeting' }, { waitEnd: true }] });
    await first.waitEvent('response.done');
    const second = made.call({ sipCallId: 'same@192.0.2.1' });
    await second.announced;
    assert.equal(second.deliveries[0].status, 200);
    await sleep(100);
    assert.equal(requestsOf(second, 'accept').length, 0);
    assert.equal(requestsOf(first, 'accept').length, 1);
    first.hangup();
    second.hangup();
    await made.ended(first);
  });

  test('a restart, then the same call announced again', async (t) => {
    const made = await rig(t);
    const { call, body } = webhookOf(made);
    const secret = made.openai.webhookSecret;
    assert.equal((await post(made, signed(body, { secret }), body)).status, 200);
    await call.waitEvent('response.done');
    await made.restart();
    const again = await Promise.all([1, 2, 3].map(() => post(made, signed(body, { secret }), body)));
    assert.deepEqual(again.map((a) => a.status), [200, 200, 200]);
    await made.host.waitEvent('call.live', (e) => e.openai_call_id === call.callId);
    assert.equal(requestsOf(call, 'accept').length, 1);
    call.hangup();
    await made.ended(call);
  });

  test('two hosts on one database, each call announced to both', async (t) => {
    const made = await rig(t);
    const other = await startHost({ config: made.config(), stateDir: made.host.stateDir });
    t.after(() => other.stop());
    const secret = made.openai.webhookSecret;
    const calls = await Promise.all(Array.from({ length: 20 }, async () => {
      const { call, body } = webhookOf(made);
      const answers = await Promise.all([made.host, other, made.host, other].map((host) =>
        post(made, signed(body, { secret }), body, host.webhookUrl)));
      assert.deepEqual(answers.map((a) => a.status), [200, 200, 200, 200]);
      return call;
    }));
    await Promise.all(calls.map((call) => call.waitEvent('response.done')));
    await sleep(2500); // the hosts look at each other's calls meanwhile
    for (const call of calls) {
      assert.equal(requestsOf(call, 'accept').length, 1);
      assert.equal(requestsOf(call, 'sideband').length, 1);
      assert.equal(call.sidebands.size, 1);
      call.hangup();
    }
    const ends = () => [...made.host.events, ...other.events].filter((e) => e.event === 'call.ended');
    await waitFor(() => ends().length >= 20, { what: '20 ends' });
    assert.equal(new Set(ends().map((e) => e.openai_call_id)).size, 20);
    assert.equal(ends().length, 20);
  });
});

describe('HTTP', { concurrency: 8 }, () => {
  /* Sends text on a socket of its own; resolves with all that came until it closed or `ms` passed. */
  function raw(host, text, ms = 1500) {
    const { port } = new URL(host.url);
    return new Promise((resolve) => {
      const socket = net.connect(Number(port), '127.0.0.1', () => socket.write(text));
      const began = Date.now();
      let got = '';
      const finish = (closed) => {
        clearTimeout(timer);
        socket.destroy();
        resolve({ text: got, closed, ms: Date.now() - began });
      };
      const timer = setTimeout(() => finish(false), ms);
      socket.on('data', (d) => { got += d; });
      socket.on('close', () => finish(true));
      socket.on('error', () => {});
    });
  }

  test('keep-alive, pipelining and bytes one by one', async (t) => {
    const made = await rig(t);
    const get = (where) => `GET ${where} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const { text, closed } = await raw(made.host, get('/health') + get('/nowhere') + get('/health'), 600);
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 401', 'HTTP/1.1 200']);
    assert.equal(closed, false, 'the connection stays');
    const { port } = new URL(made.host.url);
    const slow = await new Promise((resolve) => {
      const socket = net.connect(Number(port), '127.0.0.1');
      socket.setNoDelay(true);
      socket.once('data', (d) => { socket.destroy(); resolve(String(d)); });
      (async () => {
        for (const byte of get('/health')) {
          socket.write(byte);
          await sleep(2);
        }
      })();
    });
    assert.match(slow, /^HTTP\/1\.1 200/);
  });

  test('a webhook and a second one pipelined behind it are both taken', async (t) => {
    const made = await rig(t);
    const secret = made.openai.webhookSecret;
    const parts = [webhookOf(made), webhookOf(made)];
    const text = parts.map(({ body }) => `POST /webhook HTTP/1.1\r\nHost: x\r\n${
      Object.entries(signed(body, { secret })).map(([k, v]) => `${k}: ${v}\r\n`).join('')
    }Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`).join('');
    const answer = await raw(made.host, text, 700);
    assert.deepEqual(answer.text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200']);
    for (const { call } of parts) {
      await call.waitEvent('response.created');
      call.hangup();
      await made.ended(call);
    }
  });

  test('nonsense is answered and closed', async (t) => {
    const made = await rig(t);
    for (const text of ['\x16\x03\x01\x02\x00\x01\x00', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n',
      'POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
      'POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      `GET /${'a'.repeat(20000)} HTTP/1.1\r\nHost: x\r\n\r\n`]) {
      const answer = await raw(made.host, text, 3000);
      assert.equal(answer.closed, true, JSON.stringify(text.slice(0, 40)));
      assert.ok(!/ 200 /.test(answer.text), answer.text);
    }
    assert.equal((await made.host.api('/health', { token: null })).status, 200);
  });

  test('a slow request is closed within 30 s, and others go on meanwhile', async (t) => {
    const made = await rig(t);
    const slow = [raw(made.host, 'POST /webhook HT', 35000),
      raw(made.host, 'POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf', 35000)];
    const call = made.call({ script: brief });
    await call.done;
    assert.equal(call.result.scriptError, null);
    for (const answer of await Promise.all(slow)) {
      assert.equal(answer.closed, true);
      assert.ok(answer.ms < 30000, `closed after ${answer.ms} ms`);
    }
  });

  test('many connections from one peer', async (t) => {
    const made = await rig(t);
    const { port } = new URL(made.host.url);
    const sockets = await Promise.all(Array.from({ length: 100 }, () => new Promise((resolve, reject) => {
      const socket = net.connect(Number(port), '127.0.0.1', () => resolve(socket));
      socket.on('error', reject);
    })));
    const answers = await Promise.all(sockets.map((socket) => new Promise((resolve) => {
      socket.once('data', (d) => resolve(String(d).slice(0, 12)));
      socket.once('close', () => resolve('closed'));
      socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    })));
    assert.deepEqual(new Set(answers), new Set(['HTTP/1.1 200']));
    const call = made.call({ script: brief });
    await call.done;
    assert.equal(call.deliveries[0].status, 200);
    sockets.forEach((socket) => socket.destroy());
  });

  test('the API asks for its token', async (t) => {
    const made = await rig(t);
    const { host } = made;
    const call = made.call({ script: brief });
    await call.done;
    await made.ended(call);
    const statuses = async (opts) => Promise.all(['/calls', `/calls/${call.callId}`,
      `/calls/${call.callId}/transcript`, `/calls/${call.callId}/why`, '/status', '/calls/nobody', '/x']
      .map(async (where) => (await host.api(where, opts)).status));
    assert.deepEqual(await statuses({}), [200, 200, 200, 200, 200, 404, 404]);
    for (const opts of [{ token: null }, { token: 'wrong' }, { token: `${host.token}x` },
      { token: host.token.slice(0, -1) }, { token: '' }])
      assert.deepEqual(await statuses(opts), Array(7).fill(401), JSON.stringify(opts));
    const basic = await host.api('/calls', { token: null, headers: { authorization: `Basic ${host.token}` } });
    assert.equal(basic.status, 401);
    assert.equal((await host.api('/calls', { method: 'POST' })).status, 405);
    assert.equal((await host.api('/calls', { method: 'DELETE' })).status, 405);
    assert.equal((await host.api('/webhook')).status, 405);
    assert.equal((await host.api('/calls?limit=0')).status, 400);
    assert.equal((await host.api('/calls/../calls')).status, 200, 'fetch folds that');
    assert.equal((await host.api('/calls/a/b/c')).status, 404);
    assert.equal((await host.api(`/calls/${'x'.repeat(300)}`)).status, 404);
    const health = await host.api('/health', { token: null });
    assert.equal(health.status, 200);
    assert.deepEqual(health.json, { status: 'ok' });
    assert.ok(!host.stderr.text.includes(host.token));
    for (const word of [made.openai.apiKey, made.openai.webhookSecret, host.token])
      assert.ok(!JSON.stringify([host.events, (await host.api('/status')).json]).includes(word));
  });

  test('the token is made once, for its owner\'s eyes, or comes from the configuration', async (t) => {
    const made = await rig(t);
    const file = path.join(made.host.stateDir, 'api-token');
    const token = made.host.token;
    assert.ok(token.length >= 32);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    await made.host.stop();
    await made.start();
    assert.equal(made.host.token, token);
    assert.equal((await made.host.api('/calls')).status, 200);
    await made.host.stop();
    await made.start({ changes: { channels: { voice: { api: { token: 'configured-token-0123456789' } } } } });
    assert.equal((await made.host.api('/calls')).status, 401);
    assert.equal((await made.host.api('/calls', { token: 'configured-token-0123456789' })).status, 200);
  });

  test('HTTPS with a certificate', async (t) => {
    const certs = makeCerts();
    const made = await rig(t, { sim: { webhookCa: certs.ca }, changes: { channels: { voice: { webhook: {
      tls_cert: certs.server.certFile, tls_key: certs.server.keyFile } } } } });
    assert.match(made.host.url, /^https:/);
    const call = made.call({ script: brief });
    const result = await call.done;
    assert.equal(result.scriptError, null);
    assert.equal(call.deliveries[0].status, 200);
    await made.ended(call).catch((error) => assert.fail(error.message));
    const status = (ca) => new Promise((resolve) => {
      https.get(`${made.host.url}/health`, { ca }, (res) => {
        res.resume();
        resolve(res.statusCode);
      }).on('error', (error) => resolve(error.code));
    });
    assert.equal(await status(certs.ca), 200);
    assert.match(String(await status(undefined)), /CERT|ISSUER|SELF_SIGNED|VERIFY/);
    const plain = await raw(made.host, 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n', 3000);
    assert.equal(plain.closed, true);
    assert.ok(!/200/.test(plain.text));
  });
});

describe('who may call', { concurrency: 4 }, () => {
  const security = (voice) => ({ security: { voice } });
  const OTHER = '+15550001111';
  const table = [
    ['a stranger by default', {}, { from: STRANGER }, 'unknown'],
    ['a known caller by default', {}, { from: KNOWN }, 'known'],
    ['a withheld number by default', {}, { from: null }, 'unknown'],
    ['blacklisted', { blacklist: [STRANGER] }, { from: STRANGER }, null],
    ['blacklisted, but the list is off', { blacklist: [STRANGER], blacklist_enabled: false },
      { from: STRANGER }, 'unknown'],
    ['blacklisted and whitelisted', { blacklist: [KNOWN] }, { from: KNOWN }, null],
    ['whitelist on: listed', { whitelist_enabled: true }, { from: KNOWN }, 'known'],
    ['whitelist on: not listed', { whitelist_enabled: true }, { from: OTHER }, null],
    ['whitelist on: withheld', { whitelist_enabled: true }, { from: null }, null],
    ['unknown callers denied: a stranger', { unknown_caller_policy: 'deny' }, { from: OTHER }, null],
    ['unknown callers denied: a known one', { unknown_caller_policy: 'deny' }, { from: KNOWN }, 'known'],
    ['unknown callers denied: withheld', { unknown_caller_policy: 'deny' }, { from: null }, null],
    ['a display name that looks like a known number', {}, { from: STRANGER, displayName: KNOWN }, 'unknown'],
    ['the same where strangers are denied', { unknown_caller_policy: 'deny' },
      { from: STRANGER, displayName: KNOWN }, null],
    ['a display name with the address of another', { whitelist_enabled: true },
      { rawFrom: `"<sip:${KNOWN}@x>" <sip:${STRANGER}@203.0.113.7>;tag=1` }, null],
    ['a number without plus', { whitelist_enabled: true },
      { rawFrom: `<sip:${KNOWN.slice(1)}@203.0.113.7>;tag=1` }, null],
    ['a number with one digit more', { whitelist_enabled: true },
      { rawFrom: `<sip:${KNOWN}8@203.0.113.7>;tag=1` }, null],
    ['a tel address', { whitelist_enabled: true }, { rawFrom: `<tel:${KNOWN}>;tag=1` }, 'known'],
    ['a From that is nonsense', { unknown_caller_policy: 'deny' }, { rawFrom: '<<<>>' }, null],
    ['two From headers', { whitelist_enabled: true }, { from: KNOWN,
      extraHeaders: [{ name: 'From', value: `<sip:${KNOWN}@203.0.113.7>` }] }, null],
  ];

  for (const [name, rules, who, level] of table) {
    test(name, async (t) => {
      const made = await rig(t, { changes: security(rules) });
      const call = made.call({ ...who, script: brief });
      const result = await call.done;
      const end = await made.ended(call);
      const incoming = made.eventsOf(call)[0];
      if (level !== null) {
        assert.equal(result.answered, true);
        assert.equal(incoming.level, level);
        assert.equal(end.reason, 'caller_hung_up');
        return;
      }
      assert.deepEqual([result.reason, result.sipCode], ['rejected', 603]);
      assert.equal(requestsOf(call, 'accept').length, 0);
      assert.equal(end.reason, 'refused_policy');
      assert.notEqual(end.detail, '');
      const { why } = await made.story(call);
      assert.match(why.summary, /refused by policy/);
      assert.ok(why.cause && why.cure);
    });
  }

  test('more calls than allowed are busy', async (t) => {
    const made = await rig(t, { changes: { channels: { voice: { call: { max_concurrent: 2 } } } } });
    const stay = [{ wait: 'greeting' }, { waitEnd: true }];
    const first = [made.call({ script: stay }), made.call({ script: stay })];
    await Promise.all(first.map((call) => call.waitEvent('response.done')));
    const third = made.call({});
    const result = await third.done;
    assert.deepEqual([result.reason, result.sipCode], ['rejected', 486]);
    assert.equal((await made.ended(third)).reason, 'refused_busy');
    first[0].hangup();
    await made.ended(first[0]);
    const fourth = made.call({ script: brief });
    assert.equal((await fourth.done).answered, true);
    first[1].hangup();
    await made.ended(first[1]);
    // All at once: as many as allowed are taken, never more.
    const storm = Array.from({ length: 12 }, () => made.call({ script: stay }));
    await Promise.all(storm.map((call) => call.waitEvent('response.done').catch(() => call.done)));
    assert.equal(storm.filter((call) => call.state === 'live').length, 2);
    storm.forEach((call) => call.hangup());
  });
});

describe('the accept fails', { concurrency: 6 }, () => {
  const ever = { times: Infinity };
  const table = [
    // name, faults, accepts, reason (null: the call goes on), sip status of the reject
    ['401', { accept: { status: 401, ...ever } }, 1, 'accept_failed', null],
    ['403', { accept: { status: 403, ...ever } }, 1, 'accept_failed', null],
    ['400', { accept: { status: 400, code: 'unknown_parameter', ...ever } }, 1, 'accept_failed', 503],
    ['404 once, late', { accept: { status: 404, afterMs: 800 } }, 2, null],
    ['404 always, late', { accept: { status: 404, afterMs: 800, ...ever } }, 2, 'caller_gone', null],
    ['429 once', { accept: { status: 429 } }, 2, null],
    ['429 once with a long Retry-After', { accept: { status: 429, headers: { 'retry-after': '60' } } }, 2, null],
    ['429 always', { accept: { status: 429, ...ever } }, 2, 'accept_failed', 503],
    ['500 once', { accept: { status: 500 } }, 2, null],
    ['500 always', { accept: { status: 500, ...ever } }, 2, 'accept_failed', 503],
    ['503 although it was done', { accept: { status: 503, apply: true } }, 2, null],
    ['500 always although it was done', { accept: { status: 500, apply: true, ...ever } }, 2, null],
    ['a reset once', { accept: { reset: true } }, 2, null],
    ['a reset although it was done', { accept: { reset: true, apply: true } }, 2, null],
    ['half an answer', { accept: { cut: true, apply: true } }, 2, null],
    ['a reset always', { accept: { reset: true, ...ever } }, 2, 'accept_failed', 503],
    ['slow', { accept: { afterMs: 1500 } }, 1, null],
    ['never answered although it was done', { accept: { never: true, apply: true, ...ever } }, 0, null],
    ['the reject fails, too', { accept: { status: 429, ...ever }, reject: { status: 500 } }, 2, 'accept_failed',
      503],
  ];

  for (const [name, faults, accepts, reason, sip] of table) {
    test(name, async (t) => {
      const made = await rig(t);
      const call = made.call({ faults, ringMs: 6000, script: brief });
      const result = reason === null || sip ? await call.done : null;
      const end = await made.ended(call, 25000);
      const seen = requestsOf(call, 'accept').length;
      if (accepts > 0)
        assert.equal(seen, accepts, 'accepts');
      assert.ok(seen <= 2);
      if (reason === null) {
        assert.equal(result.answered, true);
        assert.equal(result.scriptError, null);
        assert.equal(end.reason, 'caller_hung_up');
        assert.equal(call.turns[0].who, 'assistant', 'it was greeted');
        assert.equal(made.eventsOf(call).filter((e) => e.event === 'call.accepted').length, 1);
        return;
      }
      assert.equal(end.reason, reason);
      assert.notEqual(end.detail, '');
      const { why } = await made.story(call);
      assert.equal(why.went_wrong, true);
      assert.ok(why.cause && why.cure, 'a cause and a cure');
      assert.ok(why.hops.some((h) => h.hop === 'accept_failed'));
      if (sip)
        assert.deepEqual([result.reason, result.sipCode], ['rejected', sip]);
      else
        assert.equal(requestsOf(call, 'reject').length, 0);
      assert.ok(!JSON.stringify(why).includes(made.openai.apiKey));
      call.hangup();
    });
  }

  test('a caller who hangs up while it rings', async (t) => {
    const made = await rig(t, { sim: { timing: { notFoundMs: 500 } } });
    const call = made.call({ ringHangup: { afterMs: 5 }, faults: { webhook: { delayMs: 50 } } });
    const end = await made.ended(call);
    assert.equal(end.reason, 'caller_gone');
    assert.ok(requestsOf(call, 'accept').length <= 2);
    assert.match((await made.story(call)).why.cure, /project/);
  });

  test('a slow accept delays nobody else\'s', async (t) => {
    const made = await rig(t);
    const slow = Array.from({ length: 40 }, () => made.call({ faults: { accept: { afterMs: 3000 } }, script: brief }));
    await sleep(300);
    const began = Date.now();
    const call = made.call({ script: brief });
    await call.waitEvent('session.created');
    const ms = requestsOf(call, 'accept')[0].t - began;
    assert.ok(ms < 300 * slower, `the accept came after ${ms} ms`);
    assert.ok(slow.every((other) => other.state === 'pending'), 'while the slow ones wait');
    await Promise.all(slow.map((other) => other.done));
    assert.ok(slow.every((other) => other.result.answered));
  });

  test('accepts that are never answered do not block others', async (t) => {
    const made = await rig(t);
    const stuck = Array.from({ length: 20 }, () => made.call({ faults: { accept: { never: true, times: Infinity } } }));
    await sleep(200);
    const call = made.call({ script: brief });
    const result = await call.done;
    assert.equal(result.scriptError, null);
    assert.equal(result.answered, true);
    stuck.forEach((other) => other.hangup());
  });

  test('nothing listens at OpenAI\'s address', async (t) => {
    const made = await rig(t, { changes: { channels: { voice: { openai: { base_url: 'http://127.0.0.1:9/v1' } } } } });
    const call = made.call({});
    const end = await made.ended(call, 25000);
    assert.equal(end.reason, 'accept_failed');
    assert.equal(call.deliveries[0].status, 200, 'the decision was made all the same');
    const { why } = await made.story(call);
    assert.ok(why.cause && why.cure);
    call.hangup();
  });

  test('200 calls stuck for good, and the next is accepted', onlyLong('half a minute'), async (t) => {
    const made = await rig(t, { changes: { channels: { voice: { call: { max_concurrent: 500 } } } } });
    const stuck = Array.from({ length: 200 }, () => made.call({ faults: { accept: { never: true,
      times: Infinity } } }));
    await sleep(500);
    const call = made.call({ script: brief });
    const result = await call.done;
    assert.equal(result.answered, true);
    for (const other of stuck)
      assert.ok((await made.ended(other, 60000)).reason);
  });
});

test('a state folder that cannot be written is told, and nothing starts', async () => {
  const dir = tmpdir('ocv-ro');
  fs.writeFileSync(path.join(dir, 'state'), 'a file');
  await assert.rejects(startHost({ config: { channels: { voice: { enabled: true, state_dir: path.join(dir, 'state'),
    openai: { api_key: 'sk-x', base_url: 'http://127.0.0.1:9/v1' }, webhook: { port: 0, secret: newSecret() } } } } }),
  /host ended/);
});
