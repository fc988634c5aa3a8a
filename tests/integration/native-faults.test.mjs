/* SPDX-License-Identifier: MIT */
/*
 * Surroundings that fail: a disk whose syncs take seconds, clocks that jump, a provider that answers nonsense or has
 * no name any more, certificates that are not its own. What other files have of this: nobody listens, accepts that
 * are slow or never answered (native-webhook), sidebands that are cut, silent or refused (native-recovery).
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeCerts } from '../lib/certs.mjs';
import { buildDir, slower, tmpdir, waitFor } from '../lib/util.mjs';
import { assertStory, onlyLong, requestsOf, rig } from './native-kit.mjs';

const preloads = slower === 1; // a sanitizer wants to be the first
const skipped = (why) => ({ skip: why || (preloads ? false : 'a sanitizer does not share LD_PRELOAD') });

/* One more exchange, a goodbye, the end. */
async function goOn(made, call) {
  await waitFor(() => call.idle, { what: 'quiet', timeoutMs: 10000 });
  await call.say('And one thing more.');
  await waitFor(() => call.idle && call.turns.at(-1)?.who === 'assistant', { what: 'an answer', timeoutMs: 10000 });
  await call.say('goodbye');
  assert.equal((await call.done).reason, 'hangup');
  assert.equal((await made.ended(call)).reason, 'assistant_ended');
}

const health = async (made) => {
  const began = performance.now();
  assert.equal((await made.host.api('/health', { token: null })).status, 200);
  return performance.now() - began;
};

describe('a disk whose syncs take 3 s', { concurrency: 2 }, () => {
  const slowDisk = async (t) => {
    const file = path.join(tmpdir('ocv-slow'), 'ms');
    const made = await rig(t, { host: { env: { SLOW_SYNC: file,
      LD_PRELOAD: path.join(buildDir, 'tests', 'conformance', 'so_slow_sync.so') } } });
    return { made, slow: (ms) => fs.writeFileSync(file, String(ms)) };
  };

  test('claims are answered 503 after 2 s, the loop goes on, each call is taken once', skipped(), async (t) => {
    const { made, slow } = await slowDisk(t);
    slow(3000);
    const began = Date.now();
    const calls = Array.from({ length: 5 }, () => made.call({ script: [{ wait: 'greeting' }, { caller: 'goodbye' }, { waitEnd: true }] }));
    const first = await Promise.all(calls.map((call) => waitFor(() => call.deliveries[0]?.status !== undefined && call.deliveries[0],
      { what: 'an answer to the webhook' })));
    const took = Date.now() - began;
    assert.ok(first.some((d) => d.status === 503), `answers: ${first.map((d) => d.status)}`);
    assert.ok(took > 1500 && took < 6000, `answered after ${took} ms`);
    const looks = [];
    for (let i = 0; i < 10; i += 1)
      looks.push(await health(made));
    assert.ok(Math.max(...looks) < 1000, `health after ${Math.max(...looks)} ms`);
    slow(0);
    for (const call of calls) {
      const result = await call.done;
      assert.equal(result.scriptError, null);
      assert.equal(result.answered, true, 'the retry, or the late claim, took it');
      assert.equal(requestsOf(call, 'accept').length, 1);
      await made.ended(call);
    }
    assert.equal(made.rows('SELECT count(*) AS n FROM call')[0].n, calls.length);
  });

  test('a call that is live goes on', skipped(), async (t) => {
    const { made, slow } = await slowDisk(t);
    const call = made.call({ script: [{ wait: 'greeting' }] });
    await waitFor(() => call.turns.length === 1 && call.idle);
    slow(1000);
    const began = Date.now();
    await call.say('Are you there?');
    await waitFor(() => call.turns.filter((turn) => turn.who === 'assistant').length === 2 && call.idle, { what: 'an answer' });
    assert.ok(Date.now() - began < 5000, 'the answer did not wait for the disk');
    slow(0);
    await goOn(made, call);
    await assertStory(made, call);
  });
});

describe('clocks that jump', () => {
  const lib = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib'].map((dir) => `${dir}/faketime/libfaketimeMT.so.1`)
    .find((file) => fs.existsSync(file));
  const noLib = lib ? false : 'libfaketime is not installed';

  test('an hour forward and two back in a live call', skipped(noLib), async (t) => {
    const file = path.join(tmpdir('ocv-clock'), 'offset');
    const jump = (text) => fs.writeFileSync(file, `${text}\n`);
    jump('+0');
    const made = await rig(t, { changes: { channels: { voice: { call: { max_call_duration_minutes: 2 } } } }, host: { env: { LD_PRELOAD: lib,
      FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' } } });
    const call = made.call({ script: [{ wait: 'greeting' }] });
    await waitFor(() => call.turns.length === 1 && call.idle);
    for (const [offset, text] of [['+3600', 'An hour later.'], ['-3600', 'Two hours earlier.'], ['+0', 'And back.']]) {
      jump(offset);
      await sleep(300);
      const spoken = call.turns.filter((turn) => turn.who === 'assistant').length;
      await call.say(text);
      await waitFor(() => call.turns.filter((turn) => turn.who === 'assistant').length > spoken && call.idle, { what: `an answer at ${offset}` });
      if (offset !== '+0') {
        const other = made.call({ faults: { webhook: { noRetry: true } } });
        await waitFor(() => other.deliveries[0]?.status !== undefined, { what: 'an answer to the webhook' });
        assert.ok(other.deliveries[0].status >= 400, 'a signature of another hour is stale');
        other.hangup();
      }
      assert.equal(call.attachments, 1, 'the sideband was kept');
      assert.equal(made.eventsOf(call).some((e) => e.event === 'call.ended'), false);
      await health(made);
    }
    await goOn(made, call);
    assert.equal(call.turns.length, 11, 'every turn was had');
    const { call: row } = await assertStory(made, call);
    assert.ok(row.duration_ms >= 0 && row.duration_ms < 120000, `it lasted ${row.duration_ms} ms`);
  });
});

/* A server of bytes: answer(socket, request) for every request head that comes. */
async function bytesServer(t, answer) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (data) => {
      text += data.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end >= 0) {
        const head = text.slice(0, end);
        text = '';
        answer(socket, head);
      }
    });
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}/v1`;
}

describe('a provider that answers nonsense to the accept', { concurrency: 5 }, () => {
  const answers = {
    'no HTTP': (s) => s.end('hello\r\n\r\n'), 'nothing, and closes': (s) => s.end(),
    'half a status line': (s) => s.end('HTTP/1.1 20'), 'half a body': (s) => s.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":'),
    'a body without end': (s) => {
      s.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      const more = () => { while (!s.destroyed && s.write(`8000\r\n${'x'.repeat(32768)}\r\n`)) ; };
      s.on('drain', more);
      more();
    },
    'a head without end': (s) => {
      s.write('HTTP/1.1 200 OK\r\n');
      const more = () => { while (!s.destroyed && s.write(`X: ${'y'.repeat(8000)}\r\n`)) ; };
      s.on('drain', more);
      more();
    },
    'lengths that differ': (s) => s.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}'),
    'a redirect': (s) => s.end('HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n'),
    'interim answers without end': (s) => {
      const more = () => { while (!s.destroyed && s.write('HTTP/1.1 100 Continue\r\n\r\n'.repeat(100))) ; };
      s.on('drain', more);
      more();
    },
    'bytes': (s) => s.end(Buffer.from(Array.from({ length: 4096 }, (_, i) => i * 37 & 255))),
  };
  for (const [name, answer] of Object.entries(answers)) {
    test(name, async (t) => {
      /* There is no sideband, and that ends it: an accept may have been taken whatever the answer was. */
      const none = (s) => s.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
      const url = await bytesServer(t, (s, head) => (head.startsWith('GET ') ? none : answer)(s));
      const made = await rig(t, { changes: { channels: { voice: { openai: { base_url: url } } } }, clean: false });
      const call = made.call({ idleMs: 200000 });
      const end = await made.ended(call, 75000);
      assert.match(end.reason, /^(accept_failed|attach_failed|accept_uncertain|caller_gone)$/);
      assert.equal(call.deliveries[0].status, 200);
      const { why } = await made.story(call);
      assert.ok(why.cause && why.cure, JSON.stringify(why));
      assert.ok(await health(made) < 2000);
      call.hangup();
    });
  }
});

test('nonsense on a live sideband is passed over', async (t) => {
  const made = await rig(t);
  const call = made.call({ script: [{ wait: 'greeting' }] });
  await waitFor(() => call.turns.length === 1 && call.idle);
  for (const text of ['', ' ', 'hello', '{}', '[]', 'null', '5', '"type"', '{"type":5}', '{"type":null}', '{"type":"no.such.event"}', '{"type":"response.done"}',
    '{"type":"response.done","response":null}', '{"type":"response.done","response":{"output":[null,5,{}]}}', '{"type":"error"}', '{"type":"error","error":[]}',
    '{"type":"response.done","response":{"id":"resp_x","output":[{"type":"function_call"}]}}', '{"type":"session.created"', '{"type":"response.created","response":{"id":""}}',
    `{"type":"x","a":${'['.repeat(1000)}${']'.repeat(1000)}}`, `{"type":"response.output_audio.delta","delta":"${'A'.repeat(1 << 20)}"}`, '{"type":"\\u0000"}',
    '{"type":"conversation.item.added","item":{"id":5}}', '{"type":"input_audio_buffer.dtmf_event_received","event":"ZZZZ"}'])
    call.sendRaw(text);
  call.sendRaw(Buffer.from([0, 1, 2, 255]), { binary: true });
  await sleep(200);
  assert.equal(call.attachments, 1, 'the sideband was kept');
  await goOn(made, call);
  await assertStory(made, call);
});

test('nonsense to the accept and to the sideband: hung up within 60 s', onlyLong('a minute'), async (t) => {
  const url = await bytesServer(t, (s) => s.end('hello\r\n\r\n'));
  const made = await rig(t, { changes: { channels: { voice: { openai: { base_url: url } } } }, clean: false });
  const call = made.call({ idleMs: 200000 });
  const end = await made.ended(call, 75000);
  assert.match(end.reason, /^(accept_failed|attach_failed)$/);
  call.hangup();
});

describe('a provider that is not to be had', { concurrency: 4 }, () => {
  test('its name is gone', async (t) => {
    const made = await rig(t, { changes: { channels: { voice: { openai: { base_url: 'https://api.openai.invalid/v1' } } } } });
    const call = made.call({ idleMs: 200000 });
    const end = await made.ended(call, 45000);
    assert.equal(end.reason, 'accept_failed');
    const { why } = await made.story(call);
    assert.ok(why.cause && why.cure);
    assert.match(JSON.stringify(why), /api\.openai\.invalid|name|resolve/i);
    assert.ok(await health(made) < 2000, 'a name that is looked for holds up nobody');
    call.hangup();
  });

  for (const name of ['expired', 'future', 'wrongHost', 'unknownCa']) {
    test(`its certificate is ${name}`, async (t) => {
      const certs = makeCerts();
      const made = await rig(t, { sim: { tls: certs[name] }, changes: { channels: { voice: { openai: { ca_file: certs.caFile } } } } });
      const call = made.call({ idleMs: 200000 });
      const end = await made.ended(call, 45000);
      assert.equal(end.reason, 'accept_failed');
      assert.equal(call.requests.length, 0, 'not one request was sent, no key was told');
      const { why } = await made.story(call);
      assert.match(JSON.stringify(why), /certificate/i);
      call.hangup();
    });
  }
});
