/* SPDX-License-Identifier: MIT */
// The dry run: what it finds with everything in order, and each thing that can be wrong, with its cure. It never
// places a call.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import test from 'node:test';
import { makeCerts } from '../lib/certs.mjs';
import { mergeConfig, runHost, startHost } from '../lib/host.mjs';
import { freePort, tmpdir } from '../lib/util.mjs';
import { createTwilio } from '../sim/twilio/index.mjs';
import { readBody } from '../sim/server.mjs';
import { rig } from './native-kit.mjs';

const OWN = '+15550001000';
const CAROL = '+15551230002';

/**
 * What stands at the public address: passes on as it came, but for what `spoil` does to {method, path, headers,
 * body}; what it returns, {status, headers, body}, is the answer instead.
 */
async function startProxy(t, tls) {
  const proxy = { target: null, spoil: null, seen: [] };
  const server = (tls ? https : http).createServer({ ...tls }, async (req, res) => {
    const ask = { method: req.method, path: req.url, headers: { ...req.headers }, body: await readBody(req) };
    proxy.seen.push(`${ask.method} ${ask.path}`);
    const own = proxy.spoil?.(ask);
    if (own) {
      res.writeHead(own.status, own.headers ?? {}).end(own.body ?? '');
      return;
    }
    ask.headers['content-length'] = String(ask.body.length);
    const out = http.request(proxy.target + ask.path, { method: ask.method, headers: ask.headers }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    });
    out.on('error', () => res.writeHead(502).end('bad gateway'));
    out.end(ask.body);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  proxy.url = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return proxy;
}

/* A rig whose public address is a proxy; nothing is started. */
async function world(t, { sim = {}, twilio: how = {}, changes = {}, carrier = true, tls = null } = {}) {
  const proxy = await startProxy(t, tls);
  const made = await rig(t, { sim: { project: 'proj_simulated', ...sim }, start: false });
  const twilio = await createTwilio({ openai: made.openai, numbers: { [OWN]: {
    voiceUrl: `${proxy.url}/twilio/voice` } }, ...how });
  t.after(() => twilio.close());
  const base = { channels: { voice: { webhook: { base_url: proxy.url }, ...(carrier ? { twilio: {
    account_sid: twilio.accountSid, auth_token: twilio.authToken, phone_number: OWN,
    base_url: twilio.url } } : {}) } } };
  made.changes = mergeConfig(mergeConfig(made.changes, base), changes);
  return Object.assign(made, { proxy, twilio });
}

/* Starts the host behind the proxy and asks it. */
async function check(made, opts) {
  const host = made.host ?? await made.start(opts);
  made.proxy.target = host.url;
  const res = await host.api('/check', { method: 'POST' });
  assert.equal(res.status, 200, res.text);
  return res.json;
}

const found = (report, name) => report.checks.filter((c) => c.check === name);
const results = (report, name) => found(report, name).map((c) => c.result);

/* Exactly one finding of that name says so, and how to cure it. */
function assertFinding(report, name, result, detail, cure) {
  const all = found(report, name);
  const text = JSON.stringify(all, null, 1);
  const one = all.find((c) => c.result === result);
  assert.ok(one, `${name} is no ${result}: ${text}`);
  assert.match(one.detail, detail, text);
  if (cure)
    assert.match(one.cure ?? '', cure, text);
  assert.equal(report.ok, report.checks.every((c) => c.result !== 'fail'));
}

/* Nothing rang, nothing was dialled, no call began, and nothing of ours was changed. */
function assertNoCall({ openai, twilio }) {
  assert.deepEqual(twilio.requests.filter((r) => r.method !== 'GET'), []);
  assert.deepEqual(twilio.rings, []);
  assert.equal(twilio.allLegs.size, 0);
  assert.equal(openai.calls.size, 0);
  assert.deepEqual(openai.requests.filter((r) => r.path.includes('/realtime/calls')), []);
  twilio.assertClean();
}

test('all in order: every check is ok, and what is to be entered elsewhere is told', async (t) => {
  const made = await world(t, { changes: { security: { voice: { destinations: { allow: ['+1555'] },
    transfer_targets: { Carol: CAROL } } }, channels: { voice: { outbound: { quiet_hours: '22:00-08:00' } } } } });
  const report = await check(made);
  const bad = report.checks.filter((c) => c.result !== 'ok' && !['agent', 'webhook.url'].includes(c.check));
  assert.deepEqual(bad, [], 'the address is loopback and there is no agent; else all is in order');
  assert.equal(report.ok, true);
  assert.deepEqual(report.checks.map((c) => c.check), ['config', 'state.dir', 'state.database', 'agent',
    'openai.project', 'openai.key', 'openai.model', 'openai.clock', 'openai.session', 'openai.transcription',
    'webhook.secret', 'webhook.listen', 'webhook.url', 'webhook.reach', 'webhook.signed', 'webhook.carrier',
    'twilio.auth_token', 'twilio.account', 'twilio.number', 'numbers.destinations', 'numbers.targets',
    'numbers.quiet_hours']);
  assert.deepEqual(report.enter, { openai_webhook_url: `${made.proxy.url}/webhook`,
    openai_webhook_event: 'realtime.call.incoming', sip_uri: 'sip:proj_simulated@sip.api.openai.com;transport=tls',
    twilio_voice_url: `${made.proxy.url}/twilio/voice` });
  assert.deepEqual(report.counts.ok + report.counts.warn, report.checks.length);
  assert.ok(!JSON.stringify(report).includes(made.openai.apiKey), 'no secret in the report');
  assert.ok(!JSON.stringify(report).includes(made.twilio.authToken));
  assert.deepEqual(await made.get('/calls'), { calls: [] });
  assertNoCall(made);
});

test('OpenAI: key, project, model, voice, quota, clock', async (t) => {
  const made = await world(t, { carrier: false });
  await made.start();
  const { openai } = made;
  const { apiKey, models, project } = openai;

  openai.apiKey = 'sk-another';
  let report = await check(made);
  assertFinding(report, 'openai.key', 'fail', /refuses the key \(401\)/, /api-keys.*openai\.api_key/);
  assert.deepEqual(results(report, 'openai.model'), ['skip']);
  openai.apiKey = apiKey;

  openai.project = 'proj_other';
  report = await check(made);
  assertFinding(report, 'openai.key', 'fail', /not be used in this project \(401\)/, /project_id/);
  openai.project = project;

  openai.models = models.filter((m) => !['gpt-realtime-2.1', 'gpt-transcribe'].includes(m.id));
  report = await check(made);
  assert.deepEqual(results(report, 'openai.key'), ['ok']);
  assertFinding(report, 'openai.model', 'fail', /does not know gpt-realtime-2\.1.*404/, /openai\.model/);
  assertFinding(report, 'openai.transcription', 'fail', /gpt-transcribe/, /transcription_model/);
  assertFinding(report, 'openai.session', 'fail', /not supported in realtime/, /openai\.model/);
  openai.models = models.map((m) => (m.id === 'gpt-realtime-2.1' ? { ...m, shutdown_date: '2027-05-01' } : m));
  report = await check(made);
  assertFinding(report, 'openai.model', 'warn', /shuts gpt-realtime-2\.1 down on 2027-05-01/, /successor/);
  openai.models = models;

  openai.faults = { client_secrets: { status: 429, code: 'insufficient_quota', message: 'You exceeded it' },
    models: { times: 2, status: 429, code: 'insufficient_quota', message: 'You exceeded it' } };
  report = await check(made);
  assertFinding(report, 'openai.key', 'fail', /quota is used up/, /billing/);
  openai.faults = { models: { times: 2, status: 503 } };
  report = await check(made);
  assertFinding(report, 'openai.key', 'fail', /answered 503/, /status\.openai\.com/);
  openai.faults = { client_secrets: { status: 403, message: 'Missing scopes: api.realtime' } };
  report = await check(made);
  assertFinding(report, 'openai.session', 'fail', /403.*Missing scopes/, /permission for Realtime/);
  openai.faults = {};

  for (const [ms, result, detail] of [[-600000, 'fail', /clock is (600|599|601) s ahead.*300 s/],
    [600000, 'fail', /s behind/], [60000, 'warn', /(60|59|61) s behind/]]) {
    openai.clockMs = ms;
    report = await check(made);
    assertFinding(report, 'openai.clock', result, detail, /timedatectl/);
  }
  openai.clockMs = 0;

  const agentFile = path.join(made.host.dir, 'agent.json');
  fs.writeFileSync(agentFile, JSON.stringify({ name: 'A', instructions: 'Be kind.', voice: 'nobody' }));
  report = await check(made);
  assertFinding(report, 'agent.file', 'fail', /voice nobody is not known/, /Correct the file/);
  assert.deepEqual(results(report, 'openai.session'), ['ok'], 'as calls: they go on without the file');
  fs.writeFileSync(agentFile, '{ "name": ');
  report = await check(made);
  assertFinding(report, 'agent.file', 'fail', /agent\.json/, /Correct the file/);
  fs.rmSync(agentFile);
  openai.voices = ['alloy'];
  report = await check(made);
  assertFinding(report, 'openai.session', 'fail', /refuses the session \(400\).*'marin'/, /alloy, ash.*agent file/);
  assert.deepEqual(results(await check(made), 'twilio.account'), ['skip']);
  assertNoCall(made);
});

test('what the configuration alone can have wrong', async (t) => {
  const made = await world(t, { changes: { channels: { voice: { openai: { project_id: 'org-1', model: 'gpt-5' },
    webhook: { base_url: undefined, secret: 'a-raw-secret-of-some-length' } } } } });
  const report = await check(made);
  assertFinding(report, 'openai.project', 'fail', /org-1/, /proj_/);
  assertFinding(report, 'openai.model', 'warn', /gpt-5 does not look like/, /gpt-realtime-2\.1/);
  assertFinding(report, 'webhook.url', 'fail', /base_url is not set: Twilio/, /public https URL/);
  assertFinding(report, 'webhook.secret', 'warn', /whsec_/, /OpenAI's webhook settings/);
  assertFinding(report, 'config', 'warn', /webhook\.base_url/);
  assert.deepEqual(results(report, 'webhook.signed'), ['skip']);
  assert.deepEqual(results(report, 'twilio.account'), ['skip']);
  assertNoCall(made);
});

test('the way from outside: each thing that a proxy can do', async (t) => {
  const made = await world(t);
  await made.start();
  const { proxy } = made;
  const at = (part, how) => (ask) => (ask.path.startsWith(part) ? how(ask) : undefined);
  const cases = [
    [at('/health', () => ({ status: 404, body: 'not found' })), 'webhook.reach', /404.*does not know the path/,
      /lead every path/],
    [at('/health', () => ({ status: 502 })), 'webhook.reach', /502.*does not reach/, /http:\/\/127\.0\.0\.1:\d+/],
    [at('/health', () => ({ status: 301, headers: { location: 'https://www.example.com/' } })), 'webhook.reach',
      /301.*not follow/, /sent to https:\/\/www\.example\.com/],
    [at('/health', () => ({ status: 403, body: 'Just a moment' })), 'webhook.reach', /403.*refuses/, /Exempt/],
    [at('/health', () => ({ status: 200, body: '<html>Welcome</html>' })), 'webhook.reach', /another program/, /lead/],
    [at('/health', () => ({ status: 200, body: '{"status":"ok"}' })), 'webhook.reach', /not to this question/, /cache/],
    [at('/webhook', (ask) => { ask.body = Buffer.from(JSON.stringify(JSON.parse(ask.body))); }), 'webhook.signed',
      /401.*changed on the way/, /no rewriting/],
    [at('/webhook', (ask) => { delete ask.headers['webhook-signature']; }), 'webhook.signed', /without its headers/,
      /webhook-signature/],
    [at('/webhook', () => ({ status: 413 })), 'webhook.signed', /413/, /lead every path/],
    [at('/twilio/', (ask) => { ask.body = Buffer.from(String(ask.body).replace('&Empty=', '')); }), 'webhook.carrier',
      /401.*changed on the way/, /X-Twilio-Signature/],
    [at('/twilio/', (ask) => { ask.path += '?source=proxy'; }), 'webhook.carrier', /401/, /base_url exactly/],
    [at('/twilio/', () => ({ status: 404 })), 'webhook.carrier', /404/, /lead every path/],
  ];
  for (const [spoil, name, detail, cure] of cases) {
    proxy.spoil = spoil;
    const report = await check(made);
    assertFinding(report, name, 'fail', detail, cure);
    if (name === 'webhook.reach')
      assert.deepEqual([...results(report, 'webhook.signed'), ...results(report, 'webhook.carrier')], ['skip', 'skip']);
  }
  proxy.spoil = null;
  const other = await made.start({ fresh: true });
  made.host = made.hosts[0];
  proxy.target = other.url;
  const res = await made.host.api('/check', { method: 'POST' });
  assertFinding(res.json, 'webhook.reach', 'fail', /another instance/, /stop the other/);
  assertNoCall(made);
});

test('certificates of the public address', async (t) => {
  const certs = makeCerts();
  for (const name of ['unknownCa', 'expired', 'wrongHost', 'server']) {
    const made = await world(t, { tls: { cert: certs[name].cert, key: certs[name].key },
      changes: { channels: { voice: { openai: { ca_file: certs.caFile } } } } });
    const report = await check(made);
    if (name === 'server')
      assert.deepEqual(['webhook.reach', 'webhook.signed', 'webhook.carrier'].flatMap((n) => results(report, n)),
        ['ok', 'ok', 'ok']);
    else
      assertFinding(report, 'webhook.reach', 'fail', /certificate/, /public authority signed/);
    assertNoCall(made);
  }
});

test('nobody at the public address', async (t) => {
  const port = await freePort();
  const made = await world(t, { changes: { channels: { voice: {
    webhook: { base_url: `http://127.0.0.1:${port}` } } } } });
  const report = await check(made);
  assertFinding(report, 'webhook.reach', 'fail', /connection refused/, /Nothing listens there/);
  assertFinding(report, 'twilio.number', 'fail', /go to http.*and not here/,
    new RegExp(`127.0.0.1:${port}/twilio/voice`));
  assertNoCall(made);
});

test('Twilio: token, account, numbers, where their calls go', async (t) => {
  const SECOND = '+15550001001';
  const made = await world(t, { changes: { channels: { voice: { twilio: { phone_number: [OWN, SECOND] } } } } });
  await made.start();
  const { twilio, proxy } = made;
  const number = twilio.numbers.get(OWN);
  const voiceUrl = `${proxy.url}/twilio/voice`;
  const wrong = async (change, result, detail, cure) => {
    const before = { ...number };
    Object.assign(number, change);
    const report = await check(made);
    Object.keys(number).forEach((key) => delete number[key]);
    Object.assign(number, before);
    const all = found(report, 'twilio.number').filter((c) => c.detail.includes(OWN));
    assert.equal(all.length, 1, JSON.stringify(all));
    assertFinding({ ...report, checks: all, ok: all[0].result !== 'fail' }, 'twilio.number', result, detail, cure);
  };

  assertFinding(await check(made), 'twilio.number', 'fail', /1001 is no number of the account.*21210/, /phone_number/);
  twilio.callerIds.push(SECOND);
  assertFinding(await check(made), 'twilio.number', 'warn', /1001 is verified/, /Buy or port/);
  await wrong({ voiceUrl: 'https://demo.twilio.com/welcome' }, 'fail', /go to https:\/\/demo\.twilio\.com/,
    new RegExp(`A call comes in.*HTTP POST, ${voiceUrl}`));
  await wrong({ voiceUrl: null }, 'fail', /no voice URL/, new RegExp(voiceUrl));
  await wrong({ voiceMethod: 'GET' }, 'fail', /with GET instead of POST/, /HTTP POST/);
  await wrong({ voice: false }, 'fail', /cannot do voice/, /number that can do voice/);
  await wrong({ trunkSid: `TK${'a'.repeat(32)}` }, 'warn', /SIP trunk TKa/, /off the trunk/);
  await wrong({ applicationSid: `AP${'b'.repeat(32)}` }, 'fail', /TwiML app APb/, /Webhook/);

  twilio.account = { status: 'suspended' };
  assertFinding(await check(made), 'twilio.account', 'fail', /is suspended/, /notices/);
  twilio.account = { type: 'Trial' };
  assertFinding(await check(made), 'twilio.account', 'warn', /trial/, /Upgrade/);
  twilio.account = {};
  twilio.faults = { 'accounts.fetch': { status: 503 } };
  assertFinding(await check(made), 'twilio.account', 'fail', /answered 503/, /status\.twilio\.com/);
  twilio.faults = {};

  const { authToken } = twilio;
  twilio.authToken = 'another';
  const report = await check(made);
  assertFinding(report, 'twilio.auth_token', 'fail', /refuses the auth token \(401\)/, /primary auth token/);
  assert.deepEqual(results(report, 'twilio.number'), ['skip', 'skip']);
  twilio.authToken = authToken;
  assertNoCall(made);
});

test('Twilio: tokens while one is rotated, an API key', async (t) => {
  const made = await world(t, { twilio: { authToken: 'token-one', otherTokens: ['token-two'],
    apiKey: { sid: `SK${'c'.repeat(32)}`, secret: 'key-secret' } },
  changes: { channels: { voice: { twilio: { auth_token: ['token-one', 'token-two'], api_key_sid: `SK${'c'.repeat(32)}`,
    api_key_secret: 'key-secret' } } } } });
  await made.start();
  assert.deepEqual(results(await check(made), 'twilio.auth_token'), ['ok', 'ok']);
  made.twilio.otherTokens = [];
  const report = await check(made);
  assert.deepEqual(results(report, 'twilio.auth_token'), ['ok', 'warn']);
  assertFinding(report, 'twilio.auth_token', 'warn', /token 2 of 2/, /Remove it/);
  assert.equal(report.ok, true);
  made.twilio.apiKey.secret = 'another';
  assertFinding(await check(made), 'twilio.api_key', 'fail', /refuses the API key/, /new API key/);
  assertNoCall(made);
});

test('numbers and files of this machine', async (t) => {
  const made = await world(t, { changes: { security: { voice: { destinations: { allow: ['*'], deny: [CAROL] },
    transfer_targets: { Carol: CAROL } } }, channels: { voice: { call: { record_calls: true } } } } });
  await made.start();
  const { host } = made;
  fs.chmodSync(host.stateDir, 0o755);
  let report = await check(made);
  assertFinding(report, 'numbers.destinations', 'warn', /every number.*not \+15551230002/, /countries or numbers/);
  assertFinding(report, 'state.dir', 'warn', /open to other users.*755/, /chmod 700/);
  assertFinding(report, 'recording.key', 'warn', /as they come/, /openssl rand/);
  fs.chmodSync(host.stateDir, 0o700);
  fs.chmodSync(path.join(host.stateDir, 'api-token'), 0o644);
  const { token } = host;
  report = (await host.api('/check', { method: 'POST', token })).json;
  fs.chmodSync(path.join(host.stateDir, 'api-token'), 0o600);
  assertFinding(report, 'state.token', 'fail', /read by others/, /chmod 600/);
  fs.chmodSync(path.join(host.stateDir, 'api-token'), 0o600); // as every rig is to leave it
  assertNoCall(made);
});

test('POST /check wants the token, and four at once', async (t) => {
  const made = await world(t);
  await made.start();
  made.proxy.target = made.host.url;
  assert.equal((await made.host.api('/check', { method: 'POST', token: null })).status, 401);
  assert.equal((await made.host.api('/check')).status, 404);
  made.openai.faults = { models: { times: 100, afterMs: 1500 } };
  const all = await Promise.all(Array.from({ length: 6 }, () => made.host.api('/check', { method: 'POST' })));
  assert.deepEqual(all.map((r) => r.status).sort(), [200, 200, 200, 200, 503, 503]);
  made.openai.faults = { models: { times: 100, never: true } };
  const late = made.host.api('/check', { method: 'POST' });
  await new Promise((resolve) => { setTimeout(resolve, 300); });
  await made.host.stop();
  assert.equal((await late).status, 503, 'a stop answers who waits');
  assertNoCall(made);
});

test('a check that gets no answers ends within its bound', async (t) => {
  const made = await world(t);
  await made.start();
  made.openai.faults = { models: { times: 100, never: true }, client_secrets: { never: true } };
  made.twilio.faults = { 'accounts.fetch': { never: true }, 'incoming_phone_numbers.list': { never: true } };
  made.proxy.target = made.host.url;
  const began = Date.now();
  const report = await check(made);
  assert.ok(Date.now() - began < 40000, `${Date.now() - began} ms`);
  assertFinding(report, 'openai.key', 'fail', /cannot be reached/, /firewall/);
  assertFinding(report, 'twilio.account', 'fail', /cannot be reached/, /firewall/);
  assert.deepEqual(results(report, 'webhook.signed'), ['ok']);
  assertNoCall(made);
});

/* ---- openclaw-voice-host --check ---- */

const bareConfig = (made, port) => mergeConfig(made.config(), { channels: { voice: { webhook: { port } } } });

test('--check listens for its own length, says the same, and leaves nothing behind', async (t) => {
  const made = await world(t, { changes: { openclaw: { gateway_url: 'http://127.0.0.1:9', gateway_token: 'x' } } });
  const port = await freePort();
  made.proxy.target = `http://127.0.0.1:${port}`;
  const dir = tmpdir('ocv-check');
  const text = await runHost({ config: bareConfig(made, port), dir, args: ['--check'] });
  assert.equal(text.code, 0, text.stdout + text.stderr);
  assert.match(text.stdout, /^ok +webhook\.reach +http.* leads here/m);
  assert.match(text.stdout, /^ok +webhook\.signed /m);
  assert.match(text.stdout, /^ok +webhook\.carrier /m);
  assert.match(text.stdout, /^ok +twilio\.number /m);
  assert.match(text.stdout, /sip:proj_simulated@sip\.api\.openai\.com;transport=tls/);
  assert.match(text.stdout, /^\d+ ok, 1 to look at, 0 to fix, 0 not checked$/m);
  assert.deepEqual(fs.existsSync(path.join(dir, 'state')), false, 'no database, no token');
  const json = await runHost({ config: bareConfig(made, port), dir, args: ['--check', '--json'] });
  const report = JSON.parse(json.stdout);
  assert.deepEqual([report.ok, report.running], [true, false]);

  made.openai.apiKey = 'sk-other';
  const bad = await runHost({ config: mergeConfig(bareConfig(made, port), { channels: { voice: { openai: {
    api_key: 'sk-mine' } } } }), dir, args: ['--check'] });
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /^fail +openai\.key .*401/m);
  assert.match(bad.stdout, /^ +-> Make a key at/m);
  const faulty = await runHost({ config: mergeConfig(bareConfig(made, port), { channels: { voice: { openai: {
    voice: 'nobody' } } } }), dir, args: ['--check'] });
  assert.equal(faulty.code, 1);
  assert.match(faulty.stdout, /^fail +config .*openai\.voice.*marin/m);
  assertNoCall(made);
});

test('--check beside a running host goes through that one and takes nothing from it', async (t) => {
  const made = await world(t);
  const port = await freePort();
  const host = await startHost({ config: bareConfig(made, port) });
  t.after(() => host.stop());
  made.proxy.target = host.url;
  const json = await runHost({ config: bareConfig(made, port), dir: tmpdir('ocv-check'), args: ['--check', '--json'] });
  const report = JSON.parse(json.stdout);
  assertFinding(report, 'webhook.listen', 'warn', /another process listens/, /port/);
  assertFinding(report, 'webhook.reach', 'ok', /running voice plugin/);
  assert.deepEqual(results(report, 'webhook.signed'), ['ok']);
  assert.equal((await host.api('/health', { token: null })).json.status, 'ok');
  const other = await runHost({ config: mergeConfig(bareConfig(made, port), { channels: { voice: { webhook: {
    secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' } } } }), dir: tmpdir('ocv-check'), args: ['--check', '--json'] });
  assertFinding(JSON.parse(other.stdout), 'webhook.signed', 'fail', /401/, /same channels\.voice\.webhook\.secret/);
  assertNoCall(made);
});

test('while only a check runs, calls are put off and not lost', async (t) => {
  const made = await world(t);
  const port = await freePort();
  made.openai.faults = { models: { times: 10, afterMs: 2000 } };
  made.proxy.target = `http://127.0.0.1:${port}`;
  const running = runHost({ config: bareConfig(made, port), dir: tmpdir('ocv-check'), args: ['--check'] });
  for (let n = 0; n < 100 && !made.openai.requests.some((r) => r.path.startsWith('/v1/models/')); n += 1)
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  const call = made.openai.call({ webhookUrl: `http://127.0.0.1:${port}/webhook` });
  const post = async (where, body, headers = {}) => (await fetch(`http://127.0.0.1:${port}${where}`, { method: 'POST',
    body, headers })).status;
  const signed = { 'webhook-id': 'wh_1', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
    'webhook-signature': `v1,${'A'.repeat(43)}=` };
  assert.equal(await post('/webhook', '{"type":"voice.check"}', signed), 401);
  assert.equal(await post('/webhook', '{}'), 400);
  const form = { 'content-type': 'application/x-www-form-urlencoded', 'x-twilio-signature': `${'A'.repeat(27)}=` };
  assert.equal(await post('/twilio/status', 'CallSid=CA1', form), 401);
  for (const where of ['/twilio/voice', '/call', '/check', '/backup'])
    assert.equal(await post(where, '{}', form), 503, where);
  assert.equal((await running).code, 0);
  const host = await startHost({ config: bareConfig(made, port) });
  t.after(() => host.stop());
  await host.waitEvent('call.live', (e) => e.openai_call_id === call.callId);
  call.hangup();
});
