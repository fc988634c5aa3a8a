/* SPDX-License-Identifier: MIT */
// The agent's tool voice_call of the staged package, in the context that the gateway gives it: what it asks the plugin for.
// The plugin is played here; gateway-outbound.test.mjs has both.
import assert from 'node:assert/strict';
import path from 'node:path';
import { beforeEach, test } from 'node:test';
import { buildDir } from '../lib/util.mjs';

const { registerCallTool } = await import(path.join(buildDir, 'openclaw-voice', 'call-tool.js'));
const RUNNING = Symbol.for('openclaw-voice.account');
const BOB = '+15551230001';
const context = { sessionKey: 'agent:main:direct:ada', sessionId: 's1', messageChannel: 'telegram', requesterSenderId: '777',
  deliveryContext: { channel: 'telegram', to: 'telegram:777', accountId: 'default' },
  config: { channels: { telegram: { enabled: true } } } };

let make;
registerCallTool({ registerTool: (factory, { name }) => {
  assert.equal(name, 'voice_call');
  make = factory;
} });

let bodies; // of POST /call
let people; // identity -> identities of that person
let answer;

beforeEach(() => {
  bodies = [];
  people = {};
  answer = { status: 200, body: { status: 'initiated', call_id: 'call_01' } };
  globalThis[RUNNING] = {
    country: 'US',
    get: async (where) => {
      const found = people[decodeURIComponent(where.replace('/callers/', ''))];
      return found ? { status: 200, body: { identities: found.map((identity) => ({ identity })) } }
        : { status: 404, body: { error: 'no such caller' } };
    },
    http: async (method, where, body) => {
      assert.deepEqual([method, where], ['POST', '/call']);
      bodies.push(body);
      return answer;
    },
  };
});

async function use(args, { id = 'call_x', ...more } = {}) {
  const { content } = await make({ ...context, ...more }).execute(id, args);
  return JSON.parse(content[0].text);
}

test('the same tool call makes the same call; another one, in another session or with other words, another', async () => {
  const args = { to: BOB, purpose: 'test' };
  await use(args);
  await use(args);
  await use(args, { id: 'call_y' });
  await use(args, { sessionKey: 'agent:main:direct:carl' });
  await use({ ...args, purpose: 'another' });
  const keys = bodies.map((b) => b.idempotency_key);
  assert.equal(keys[0], keys[1]);
  assert.equal(new Set(keys).size, 4);
  assert.ok(keys.every((key) => key.length <= 128));
});

test('"me" is who the channel says, whatever they say; nobody linked, nobody called', async () => {
  people['telegram:777'] = ['telegram:777', 'voice:+15550003333'];
  people['telegram:888'] = ['telegram:888'];
  people['telegram:999'] = ['voice:+15550003333', 'voice:+15550004444'];
  for (const to of ['me', ' ME ', '', undefined])
    assert.equal((await use({ to, purpose: 'x' })).to, '+15550003333');
  assert.equal((await use({ purpose: 'x' }, { requesterSenderId: 'telegram:777' })).to, '+15550003333');
  assert.equal((await use({ purpose: 'x' }, { messageChannel: 'voice', requesterSenderId: BOB })).to, BOB);
  const before = bodies.length;
  for (const requesterSenderId of ['888', '12345', undefined]) {
    const refused = await use({ purpose: 'x' }, { requesterSenderId });
    assert.match(refused.error, /link phone/);
  }
  assert.match((await use({ purpose: 'x' }, { requesterSenderId: '999' })).error, /\+15550003333, \+15550004444/);
  assert.equal(bodies.length, before);
});

test('who asked is told: the chat and the session, or the session alone', async () => {
  await use({ to: BOB, purpose: 'x' });
  assert.deepEqual(bodies.at(-1).report, { session: context.sessionKey, channel: 'telegram', to: 'telegram:777', account: 'default' });
  await use({ to: BOB, purpose: 'x' }, { deliveryContext: { channel: 'webchat', to: 'x' } });
  assert.deepEqual(bodies.at(-1).report, { session: context.sessionKey });
  await use({ to: BOB, purpose: 'x' }, { deliveryContext: undefined, sessionKey: undefined });
  assert.equal(bodies.at(-1).report, undefined);
});

test('a refusal is told in words, and so is a channel that does not run', async () => {
  answer = { status: 403, body: { error: 'emergency', detail: '+1911 is an emergency number' } };
  assert.deepEqual(await use({ to: BOB, purpose: 'x' }),
    { status: 'refused', error: 'No call was made: emergency: +1911 is an emergency number' });
  assert.match((await use({ to: '12', purpose: 'x' })).error, /no telephone number in US/);
  globalThis[RUNNING] = null;
  assert.match((await use({ to: BOB, purpose: 'x' })).error, /not running/);
});
