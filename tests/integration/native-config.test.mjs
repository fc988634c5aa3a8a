/* SPDX-License-Identifier: MIT */
// The native host as a program: faults of its configuration, its outputs, and how it stops.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runHost } from '../lib/host.mjs';
import { processUse, slower, tmpdir, waitFor } from '../lib/util.mjs';
import { KNOWN, assertStory, logLines, requestsOf, rig } from './native-kit.mjs';

const good = (dir) => ({ channels: { voice: { enabled: true, state_dir: path.join(dir, 'state'),
  openai: { api_key: 'sk-test-0123456789', base_url: 'http://127.0.0.1:9/v1' },
  webhook: { port: 0, secret: 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3' } } } });

describe('a configuration with faults', () => {
  test('all faults at once, with file, line, key and what to write', async () => {
    const dir = tmpdir('ocv-cfg');
    const text = ['channels:', '  voice:', '    enabled: true', `    state_dir: ${dir}/state`,
      '    openai:', '      api_key: ""', '      voice: nobody', '      base_url: http://example.com/v1',
      '    webhook:', '      port: 99999', '      secret: "not a secret"', '      tls_cert: /nowhere.pem',
      '    call:', '      auto_end_on_silence: maybe', '      silence_timeout_seconds: 0', '      tool_timeout_ms: 999',
      '      max_call_duration_minutes: 61', '    nonsense: 1', 'security:', '  voice:',
      '    unknown_caller_policy: perhaps', '    whitelist: [15551234567]', '    tools:',
      '      known: everything', '      pin_hash: "1234"', ''].join('\n');
    const res = await runHost({ config: text, dir, stateDir: path.join(dir, 'state') });
    assert.ok(res.code > 0, `exit ${JSON.stringify(res.code)} ${res.signal}`);
    assert.equal(res.stdout, '', 'nothing on stdout');
    const file = path.join(dir, 'openclaw-voice-config.yaml');
    const keys = ['call.auto_end_on_silence', 'openai.api_key', 'openai.voice', 'openai.base_url', 'webhook.port',
      'webhook.secret', 'webhook.tls_', 'call.silence_timeout_seconds', 'call.tool_timeout_ms',
      'call.max_call_duration_minutes', 'nonsense', 'unknown_caller_policy', 'whitelist', 'tools.known',
      'pin_hash'];
    for (const key of keys) {
      const line = res.stderr.split('\n').find((l) => l.includes(key) && l.includes(file));
      assert.ok(line, `a fault for ${key}:\n${res.stderr}`);
      assert.match(line, /\.yaml:\d+: \S+: \S/, line);
    }
    assert.match(res.stderr, /\.yaml:10: channels\.voice\.webhook\.port: /);
  });

  for (const [name, change, pattern] of [
    ['no such file', null, /nothing\.yaml: cannot be read/],
    ['no YAML', 'a: [1, 2\nb: "', /\.yaml:\d+/],
    ['an empty file', '', /api_key|secret|enabled/],
    ['a list', '- 1\n- 2\n', /\.yaml/],
    ['a key twice', 'channels:\n  voice:\n    enabled: true\n    enabled: false\n', /twice|duplicate/i],
    ['a name of the environment that is missing', 'channels:\n  voice:\n    openai:\n      api_key: ${NO_SUCH_NAME}\n',
      /NO_SUCH_NAME/]]) {
    test(name, async () => {
      const dir = tmpdir('ocv-cfg');
      const res = change === null
        ? await runHost({ config: '', dir, args: ['--config', path.join(dir, 'nothing.yaml')] })
        : await runHost({ config: change, dir });
      assert.ok(res.code > 0);
      assert.equal(res.stdout, '');
      assert.match(res.stderr, pattern);
    });
  }

  test('the smallest values are good', async (t) => {
    const made = await rig(t, { changes: { channels: { voice: { call: { silence_timeout_seconds: 1,
      tool_timeout_ms: 1000 } } } } });
    assert.ok(made.host.url);
  });

  test('a port that is taken is told with its number', async (t) => {
    const made = await rig(t);
    const { port } = new URL(made.host.url);
    const dir = tmpdir('ocv-cfg');
    const config = good(dir);
    config.channels.voice.webhook.port = Number(port);
    const res = await runHost({ config, dir, timeoutMs: 15000 });
    assert.ok(res.code > 0, JSON.stringify(res));
    assert.equal(res.stdout, '');
    assert.match(res.stderr, new RegExp(port));
  });

  test('secrets of a good configuration are not told', async (t) => {
    const made = await rig(t, { changes: { logging: { voice: { level: 'debug' } } } });
    const call = made.call({ script: [{ wait: 'greeting' }, { hangup: true }] });
    await call.done;
    await made.ended(call);
    const all = made.host.stderr.text + JSON.stringify(made.host.events);
    for (const secret of [made.openai.apiKey, made.openai.webhookSecret, made.host.token])
      assert.ok(!all.includes(secret));
  });
});

test('the project is named in every request to OpenAI, if there is one', async (t) => {
  for (const project of ['proj_simulated', undefined]) {
    const made = await rig(t, { changes: { channels: { voice: { openai: { project_id: project } } } } });
    const call = made.call({ script: chat });
    assert.equal((await call.done).scriptError, null);
    await made.ended(call);
    const asked = made.openai.requests.filter((r) => r.path.includes('/realtime'));
    assert.ok(asked.some((r) => r.method === 'WS') && asked.some((r) => r.path.endsWith('/accept'))
      && asked.some((r) => r.path.endsWith('/hangup')), 'all kinds');
    for (const request of made.openai.requests)
      assert.equal(request.headers['openai-project'], project, `${request.method} ${request.path}`);
    assert.ok(!made.host.stderr.text.includes('no effect'));
  }
});

const chat = [{ wait: 'greeting' }, { caller: 'Something.' }, { wait: 'assistant' }, { caller: 'goodbye' },
  { waitEnd: true }];

test('a reader of stdout that goes away, and one that never reads, kill no call', async (t) => {
  const made = await rig(t);
  made.host.child.stdout.destroy();
  made.host.child.stderr.pause();
  const call = made.call({ script: chat });
  const result = await call.done;
  assert.equal(result.scriptError, null);
  const row = await waitFor(async () => {
    const got = await made.get(`/calls/${call.callId}`);
    return got.state === 'over' ? got : null;
  });
  assert.equal(row.reason, 'assistant_ended');
  assert.equal(row.turns, 5);
  made.host.child.stderr.resume();
});

test('both outputs closed', async (t) => {
  const made = await rig(t);
  made.host.child.stdout.destroy();
  made.host.child.stderr.destroy();
  const call = made.call({ script: chat });
  const result = await call.done;
  assert.equal(result.scriptError, null);
  assert.equal(result.reason, 'hangup');
});

test('the first line is ready, and each line is JSON', async (t) => {
  const made = await rig(t);
  const call = made.call({ script: chat });
  await call.done;
  await made.ended(call);
  const [ready] = made.host.events;
  assert.equal(ready.event, 'ready');
  assert.equal(ready.url, `http://127.0.0.1:${ready.port}`);
  assert.equal(ready.pid, made.host.pid);
  assert.equal(made.host.noise.length, 0);
  assert.equal(logLines(made.host, /error:/).length, 0, made.host.stderr.text);
});

describe('SIGTERM ends it with 0 within 10 s', { concurrency: 4 }, () => {
  const states = {
    'idle': async () => {},
    'an accept that is never answered': async (made) => {
      const call = made.call({ faults: { accept: { never: true, times: Infinity } } });
      await waitFor(() => requestsOf(call, 'accept').length === 1);
    },
    'a sideband whose session does not speak': async (made) => {
      const call = made.call({ faults: { sideband: { sessionCreated: false } } });
      await new Promise((resolve) => { call.once('attached', resolve); });
    },
    'a live call': async (made) => {
      await made.call().waitEvent('response.done');
    },
    'a peer that reads nothing': async (made) => {
      const call = made.call();
      await call.waitEvent('response.done');
      call.muteSideband('silent');
    },
    'a tool at work': async (made) => {
      made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { caller: 'What is the answer?' }] });
      await made.gateway.waitChat();
    },
    'a goodbye': async (made) => {
      const call = made.call({ speed: 3, script: [{ wait: 'greeting' }, { caller: 'goodbye' }] });
      await call.waitEvent((e) => e.type === 'response.done'
        && e.response.output.some((item) => item.name === 'end_call'));
    },
    'a hang-up that is never answered': async (made) => {
      const call = made.call({ faults: { hangup: { never: true, times: Infinity } }, script: chat });
      await waitFor(() => requestsOf(call, 'hangup').length === 1, { timeoutMs: 8000 });
    },
    'a sideband that cannot be had': async (made) => {
      const call = made.call();
      await call.waitEvent('response.done');
      call.faults.handshake = { status: 503, times: Infinity };
      call.dropSideband({ reset: true });
    },
    'a webhook on its way': async (made) => {
      made.call();
      await sleep(1);
    },
    'half a request': async (made) => {
      const { port } = new URL(made.host.url);
      const net = await import('node:net');
      const socket = net.connect(Number(port), '127.0.0.1');
      socket.on('error', () => {});
      socket.write('POST /webhook HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc');
      await sleep(50);
    },
  };
  for (const [name, reach] of Object.entries(states)) {
    test(name, async (t) => {
      const made = await rig(t, { rules: [{ delayMs: 5000, reply: 'late' }] });
      await reach(made);
      const began = Date.now();
      await made.host.stop();
      assert.ok(Date.now() - began < 10000);
      for (const call of made.openai.calls.values())
        assert.ok(!call.over || call.result.reason === 'hangup', 'calls are left to the service');
    });
  }
});

test('many starts and stops leave the database whole', async (t) => {
  const made = await rig(t);
  const call = made.call({ script: chat });
  await call.done;
  await made.ended(call);
  for (let i = 0; i < 8; i += 1) {
    if (i % 2 === 0)
      await made.host.kill();
    else
      await made.host.stop();
    await made.start();
  }
  await assertStory(made, call);
  assert.equal(made.rows('PRAGMA integrity_check')[0].integrity_check, 'ok');
});

/* So many webhooks of calls that the provider does not know (any more). */
async function strangeCalls(made, n) {
  const { webhooks } = made.openai;
  for (let i = 0; i < n; i += 25)
    await Promise.all(Array.from({ length: 25 }, async (_, k) => {
      const body = JSON.stringify({ object: 'event', id: `evt_${i + k}`, type: 'realtime.call.incoming',
        created_at: Math.floor(Date.now() / 1000), data: { call_id: `rtc_strange_${i + k}`, sip_headers: [
          { name: 'From', value: '<sip:+15550009999@203.0.113.7>' }] } });
      const answer = await webhooks.post(made.host.webhookUrl, webhooks.headers(`wh_${i + k}`, body), body);
      assert.equal(answer.status, 200);
    }));
  await waitFor(async () => (await made.host.api('/status')).json.calls === 0, { timeoutMs: 60000, what: 'their end' });
}

/*
 * Both databases keep pages in memory, 4 and 16 MiB, which calls would fill within a thousand of them, and the last
 * events are kept for readers, 1 MiB. All are full from the start: the store's by the check of a database that is big
 * enough, the index's by files, the events by calls that come to nothing.
 */
async function fillCaches(made) {
  const host = await made.start();
  await host.stop();
  const db = new DatabaseSync(path.join(host.stateDir, 'voice.db'));
  db.exec('CREATE TABLE ballast(bytes BLOB); INSERT INTO ballast WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL '
    + 'SELECT i + 1 FROM n WHERE i < 2000) SELECT randomblob(3000) FROM n');
  db.close();
  fs.mkdirSync(path.join(host.dir, 'workspace', 'memory'), { recursive: true });
  for (let i = 0; i < 400; i += 1)
    fs.writeFileSync(path.join(host.dir, 'workspace', 'memory', `ballast-${i}.md`),
      randomBytes(32768).toString('hex').replace(/.{8}/g, '$& '));
  await made.start();
  let last = 0;
  await waitFor(() => { // the index has read them
    const { rssKiB } = processUse(made.host.pid);
    const still = rssKiB === last;
    last = rssKiB;
    return still;
  }, { timeoutMs: 60000, everyMs: 500, what: 'stillness' });
  await strangeCalls(made, 1500);
}

test('calls leave no file, thread or memory behind', async (t) => {
  const made = await rig(t, { sim: { speed: 60 }, start: false });
  await fillCaches(made);
  const some = (n) => Promise.all(Array.from({ length: n }, async () => {
    const call = made.call({ script: chat });
    await call.done;
    await made.ended(call);
  }));
  for (let i = 0; i < 4; i += 1)
    await some(20);
  await sleep(300);
  const before = processUse(made.host.pid);
  const grown = []; // KiB, of each round
  for (let i = 0, last = before.rssKiB; i < 11; i += 1) {
    await some(20);
    const { rssKiB } = processUse(made.host.pid);
    grown.push(rssKiB - last);
    last = rssKiB;
  }
  const after = await waitFor(() => {
    const use = processUse(made.host.pid);
    // Where all is slower, chance has more connections open at once, and they are kept: a file a call is still told.
    return use.files <= before.files + (slower > 1 ? 50 : 4) ? use : null;
  }, { timeoutMs: 5000, what: 'closed files' });
  assert.equal(after.threads, before.threads);
  // A round in which chance had more connections open takes memory once, a leak takes some in each.
  const median = [...grown].sort((a, b) => a - b)[5];
  if ((process.env.OCV_BUILD ?? 'release') === 'release') // sanitizers keep what was freed
    assert.ok(median <= 40, `the median round of 20 calls took ${median} KiB: ${grown}`);
});
