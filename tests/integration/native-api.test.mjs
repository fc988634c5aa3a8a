/* SPDX-License-Identifier: MIT */
// Who may ask the API what, and how often; and what strangers at the door do not do to calls.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { runHost } from '../lib/host.mjs';
import { BOB, lineRig } from './line-kit.mjs';
import { KNOWN, logLines, rig } from './native-kit.mjs';

const hash = (token) => createHash('sha256').update(token).digest('hex');
const fresh = () => randomBytes(32).toString('hex');
const api = (changes) => ({ channels: { voice: { api: changes } } });
const brief = [{ wait: 'greeting' }, { caller: 'goodbye' }, { waitEnd: true }];

describe('tokens', () => {
  const tokens = { dash: fresh(), cron: fresh(), both: fresh(), boss: fresh() };
  const config = { dash: `read ${hash(tokens.dash)}`, cron: `steer ${hash(tokens.cron)}`,
    both: `read,steer sha256:${hash(tokens.both)}`, boss: `admin ${hash(tokens.boss)}` };
  /* What each may have; the answer of those that may is not 401, 403 or 429. */
  const requests = [['GET', '/status', 'read'], ['GET', '/calls', 'read'], ['GET', '/calls/x/why', 'read'],
    ['GET', '/callers/x', 'read'], ['POST', '/call', 'steer'], ['DELETE', '/call/x', 'steer'],
    ['POST', '/calls/x/hangup', 'steer'], ['POST', '/calls/x/handoff', 'steer'], ['GET', '/callers/x/export', 'admin'],
    ['DELETE', '/callers/x', 'admin'], ['PUT', '/callers/x/notes', 'admin'], ['POST', '/backup', 'admin']];
  const opens = { dash: ['read'], cron: ['steer'], both: ['read', 'steer'], boss: ['read', 'steer', 'admin'] };

  test('open what their scopes say, and nothing else', async (t) => {
    const made = await rig(t, { changes: api({ tokens: config }) });
    for (const [name, token] of [...Object.entries(tokens), ['first', made.host.token]]) {
      for (const [method, where, needs] of requests) {
        const res = await made.host.api(where, { method, token, ...(method === 'GET' ? {} : { body: {} }) });
        if ((opens[name] ?? opens.boss).includes(needs)) {
          assert.ok(![401, 403, 429].includes(res.status), `${name} ${method} ${where}: ${res.status}`);
        } else {
          assert.equal(res.status, 403, `${name} ${method} ${where}`);
          assert.equal(res.json.needs, needs);
        }
      }
    }
    for (const token of [hash(tokens.boss), `${tokens.boss}0`, '', fresh()])
      assert.equal((await made.host.api('/status', { token })).status, 401, token);
    const log = made.host.stderr.text;
    for (const token of [...Object.values(tokens), made.host.token])
      assert.ok(!log.includes(token), 'no token is logged');
  });

  test('are replaced one beside the other, and may stand as a hash in api.token', async (t) => {
    const [old, next] = [fresh(), fresh()];
    const made = await rig(t, { changes: api({ tokens: { old: `admin ${hash(old)}`, next: `admin ${hash(next)}` } }) });
    for (const token of [old, next])
      assert.equal((await made.host.api('/status', { token })).status, 200);
    await made.restart({ changes: api({ token: `sha256:${hash(next)}` }) });
    assert.equal((await made.host.api('/status', { token: next })).status, 200);
    assert.equal((await made.host.api('/status', { token: old })).status, 200, 'it still stands in the list');
    assert.equal((await made.host.api('/status', { token: hash(next) })).status, 401);
    assert.equal((await made.host.api('/status')).status, 401, 'the first-start file does not count beside api.token');
  });

  test('that cannot be read are faults, with a cure', async (t) => {
    const made = await rig(t, { start: false });
    const { code, stderr } = await runHost({ config: made.config(api({ token: 'sha256:12',
      tokens: { a: 'read', b: `write ${hash('x')}`, c: `read ${hash('x')}` } })) });
    assert.notEqual(code, 0);
    for (const name of ['a', 'b'])
      assert.match(stderr, new RegExp(`api\\.tokens: "${name}" must be scopes .*sha256sum`));
    assert.ok(!/"c" must be/.test(stderr));
    assert.match(stderr, /api\.token: must have 64 hex digits/);
  });
});

describe('too often', () => {
  test('failures are answered 401, then 429; who is right is always served', async (t) => {
    const made = await rig(t, { changes: api({ failures_per_minute: 5 }) });
    const seen = [];
    for (let i = 0; i < 12; i += 1)
      seen.push(await made.host.api('/status', { token: fresh() }));
    assert.deepEqual(seen.map((res) => res.status), [...Array(5).fill(401), ...Array(7).fill(429)]);
    for (const res of seen.slice(5)) {
      const wait = Number(res.headers.get('retry-after'));
      assert.ok(wait >= 1 && wait <= 60, res.headers.get('retry-after'));
    }
    assert.equal((await made.host.api('/status')).status, 200, 'the right token');
    const call = made.call({ from: KNOWN, script: brief });
    assert.equal((await call.done).answered, true, 'a webhook with a right signature');
    await made.ended(call);
    const bad = await made.host.api('/webhook', { method: 'POST', body: '{}', token: null, headers: {
      'webhook-id': 'wh_1', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)), 'webhook-signature': 'v1,AAAA' } });
    assert.equal(bad.status, 429, 'one with a wrong signature counts among the failures');
    assert.equal((await made.host.api('/health', { token: null })).status, 200);
    assert.equal(logLines(made.host, /refused with 401/).length, 5);
    assert.equal(logLines(made.host, /answered 429 for a while/).length, 1, 'a flood of failures is no flood of lines');
  });

  test('a carrier\'s callbacks that are not signed are, too; those that are go through', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { script: brief } }, changes: api({ failures_per_minute: 2 }) });
    const forged = () => made.host.api('/twilio/status?x=1', { method: 'POST', token: null, body: 'CallSid=CA1',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-twilio-signature': 'AAAA' } });
    assert.deepEqual([(await forged()).status, (await forged()).status, (await forged()).status], [401, 401, 429]);
    const call = await made.over(await made.dial({ purpose: 'Say hello' }));
    assert.equal(call.outcome, 'answered', JSON.stringify(call));
    assert.equal((await forged()).status, 429);
    await made.twilio.idle();
    made.twilio.assertClean();
  });

  test('requests with one token leave the others alone', async (t) => {
    const other = fresh();
    const made = await rig(t, { changes: api({ requests_per_minute: 10, tokens: { other: `read ${hash(other)}` } }) });
    const seen = [];
    for (let i = 0; i < 15; i += 1)
      seen.push(await made.host.api('/status'));
    assert.deepEqual(seen.slice(0, 10).map((res) => res.status), Array(10).fill(200));
    const late = seen.filter((res) => res.status === 429);
    assert.ok(late.length >= 4, seen.map((res) => res.status).join(' '));
    late.forEach((res) => assert.ok(Number(res.headers.get('retry-after')) >= 1));
    assert.equal((await made.host.api('/status', { token: other })).status, 200);
    const call = made.call({ from: KNOWN, script: brief });
    assert.equal((await call.done).answered, true);
    await made.ended(call);
  });
});
