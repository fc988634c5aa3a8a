/* SPDX-License-Identifier: MIT */
// What logs and files may hold. That no log of a native test holds more is looked at when its rig closes
// (native-kit.mjs); here stands that the look finds what it looks for.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { hostIndiscretions, indiscretions, openToOthers, secretsOf } from '../lib/discreet.mjs';
import { tmpdir } from '../lib/util.mjs';
import { KNOWN, rig } from './native-kit.mjs';

describe('the look itself', () => {
  test('finds secrets, whole numbers and runs of spoken words', () => {
    const log = 'info: one\ninfo: key sk-abcdef123 used\ninfo: +15551234567 called\ninfo: she said come home before it rains\n';
    const may = { secrets: ['sk-abcdef123'], said: ['Please come home before it rains, will you?'] };
    assert.deepEqual(indiscretions(log, may).map((line) => line.split(':')[0]),
      ['a secret', 'a full number', 'spoken words']);
    assert.deepEqual(indiscretions(log, { ...may, numbers: true, words: true }).length, 1);
    assert.deepEqual(indiscretions('info: +15…67 called, +49, +12345; write one such as +15551234567\n', may), []);
  });

  test('knows the secrets of a configuration', () => {
    assert.deepEqual(secretsOf({ channels: { voice: { openai: { api_key: 'sk-12345678', model: 'gpt-realtime' },
      webhook: { secret: ['whsec_1', 'whsec_22222'] }, api: { tokens: { a: 'read 0123456789abcdef' } },
      twilio: { auth_token: '0123456789' } } }, security: { voice: { tools: { pin_hash: 'scrypt$1$2' } } } }),
    ['sk-12345678', 'whsec_22222', '0123456789abcdef', '0123456789', 'scrypt$1$2']);
  });

  test('finds files that are open to others', () => {
    const dir = tmpdir('ocv-open');
    fs.chmodSync(dir, 0o700);
    fs.writeFileSync(path.join(dir, 'a'), '', { mode: 0o600 });
    assert.deepEqual(openToOthers(dir), []);
    fs.writeFileSync(path.join(dir, 'b'), '');
    fs.chmodSync(path.join(dir, 'b'), 0o640);
    assert.deepEqual(openToOthers(dir), [`640 ${path.join(dir, 'b')}`]);
  });
});

/* A call in which much goes wrong, so that much is logged. */
const talk = [{ wait: 'greeting' }, { caller: 'My sister keeps her violet umbrella in the cupboard.' },
  { wait: 'assistant' }, { caller: 'Please ask my assistant where the violet umbrella is.' },
  { wait: 'assistant' }, { caller: 'goodbye' }, { waitEnd: true }];

for (const level of ['warn', 'info', 'debug']) {
  test(`at level ${level} no secret and no word is logged`, async (t) => {
    const made = await rig(t, { rules: [{ reply: 'It hangs behind the old cellar door.' }],
      changes: { logging: { voice: { level } } } });
    await made.host.api('/status', { token: 'no-such-token-of-ours' });
    await made.host.api('/webhook', { method: 'POST', body: '{"x":1}', token: null });
    const call = made.call({ from: KNOWN, script: talk });
    await call.done;
    await made.ended(call);
    await made.host.stop();
    assert.ok(made.host.stderr.text.length > 50, 'something is logged');
    assert.deepEqual(hostIndiscretions(made.host, { said: call.turns.map((turn) => turn.text) }), []);
    assert.ok(!made.host.stderr.text.includes('no-such-token-of-ours'), 'nor is a wrong token');
  });
}

test('with include_transcripts words are logged, numbers and secrets are not', async (t) => {
  const made = await rig(t, { changes: { logging: { voice: { include_transcripts: true } } } });
  const call = made.call({ from: KNOWN, script: talk.filter((_, i) => i !== 3 && i !== 4) });
  await call.done;
  await made.ended(call);
  await made.host.stop();
  assert.match(made.host.stderr.text, /violet umbrella/);
  assert.deepEqual(hostIndiscretions(made.host), []);
});

test('all that is kept is its owner\'s alone', async (t) => {
  const made = await rig(t);
  const call = made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { caller: 'goodbye' }, { waitEnd: true }] });
  await call.done;
  await made.ended(call);
  assert.equal((await made.host.api('/backup', { method: 'POST' })).status, 200);
  const files = fs.readdirSync(made.host.stateDir, { recursive: true });
  for (const name of ['voice.db', 'api-token', 'owner'])
    assert.ok(files.includes(name), files.join(' '));
  assert.ok(files.some((name) => /backup-.*\.db$/.test(name)));
  assert.deepEqual(openToOthers(made.host.stateDir), []);
  assert.equal(fs.statSync(made.host.stateDir).mode & 0o777, 0o700);
});
