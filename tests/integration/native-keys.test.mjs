/* SPDX-License-Identifier: MIT */
// Keys that a caller presses, and legs that claim to be ours.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { waitFor } from '../lib/util.mjs';
import { KNOWN, STRANGER, outputsOf, requestsOf, rig, pinHash } from './native-kit.mjs';

const bye = [{ caller: 'goodbye' }, { waitEnd: true }];

/* All that was ever written of calls. */
const everything = (made) => JSON.stringify([made.host.events, made.rows('SELECT * FROM tool_run'),
  made.rows('SELECT * FROM hop'), made.rows('SELECT * FROM turn')]) + made.host.stderr.text;

const systemItems = (call) => call.events.filter((e) => e.event?.item?.role === 'system')
  .map((e) => e.event.item.content[0].text);

test('keys are told to the model together', async (t) => {
  const made = await rig(t);
  const call = made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { dtmf: '407#' }, { wait: 'assistant' }, ...bye] });
  const result = await call.done;
  assert.equal(result.scriptError, null);
  assert.deepEqual(systemItems(call).filter((text) => /pressed/.test(text)),
    ['The caller pressed these keys on the telephone: 4 0 7']);
  const { why } = await made.story(call);
  assert.equal(why.hops.filter((hop) => hop.hop === 'dtmf').length, 1);
});

test('a PIN that is pressed goes to its check and stands nowhere', async (t) => {
  const made = await rig(t, { rules: [{ reply: 'Forty-two.' }],
    changes: { security: { voice: { tools: { pin_hash: pinHash('90817263') } } },
      logging: { voice: { level: 'debug', include_transcripts: true } } } });
  const byKeypad = { caller: 'I will type it.', plan: { items: [{ say: 'Please.' },
    { call: 'verify_identity', args: { by_keypad: true } }] } };
  const call = made.call({ from: STRANGER, script: [{ wait: 'greeting' }, byKeypad, { wait: 'assistant' },
    { dtmf: '1111#' }, { wait: 'tool' }, { wait: 'assistant' }, byKeypad, { wait: 'assistant' },
    { dtmf: '90817263#' }, { wait: 'tool' }, { wait: 'assistant' }, ...bye] });
  const result = await call.done;
  assert.equal(result.scriptError, null);
  await made.ended(call);
  const outputs = outputsOf(call).map((o) => o.output);
  assert.match(outputs[0], /wrong/);
  assert.match(outputs[1], /^Verified/);
  assert.equal((await made.story(call)).call.level, 'proven');
  assert.deepEqual(systemItems(call).filter((text) => /pressed/.test(text)), []);
  const sent = JSON.stringify(call.events);
  for (const secret of ['90817263', '9 0 8 1', '1111'])
    assert.ok(!everything(made).includes(secret) && !sent.includes(secret), `${secret} stands nowhere`);
});

describe('a leg that names a reference', () => {
  const ref = () => randomBytes(16).toString('hex');

  test('which nobody gave out is rejected, whoever calls, and is no call', async (t) => {
    const made = await rig(t);
    const call = made.call({ from: KNOWN, extraHeaders: { 'X-Call-Ref': ref() } });
    const result = await call.done;
    assert.deepEqual([result.reason, result.sipCode], ['rejected', 603]);
    assert.equal(requestsOf(call, 'accept').length, 0);
    assert.deepEqual(made.rows('SELECT id FROM call'), []);
    await waitFor(() => /unknown or used/.test(made.host.stderr.text), { what: 'the line in the log' });
  });

  test('of another shape is a header like others', async (t) => {
    const made = await rig(t);
    for (const bad of ['', 'abc', ref().toUpperCase().replace(/\d/, 'Z'), `${ref()}0`]) {
      const call = made.call({ from: KNOWN, extraHeaders: { 'X-Call-Ref': bad },
        script: [{ wait: 'greeting' }, { hangup: true }] });
      assert.equal((await call.done).answered, true, bad);
      await waitFor(() => made.idOf(call), { what: 'its row' });
    }
  });
});
