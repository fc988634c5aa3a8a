/* SPDX-License-Identifier: MIT */
// Whose placed calls are that nobody with a chat of their own asked for, by the gateway's configuration.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownersOf } from '../../abi/node/links.js';

const ADA = ['telegram:777', 'voice:+15551234567'];

test('owners of commands by rank, then the one linked person', () => {
  const session = { identityLinks: { ada: ADA } };
  assert.deepEqual(ownersOf({}), []);
  assert.deepEqual(ownersOf({ session }), ADA);
  assert.deepEqual(ownersOf({ session, commands: { ownerAllowFrom: ['discord:5', 'Telegram:777', '*', '42'] } }),
    ['discord:5', 'telegram:777', 'voice:+15551234567']);
  assert.deepEqual(ownersOf({ session: { identityLinks: { ada: ADA, bob: ['telegram:888'] } } }), [], 'one of two is nobody');
  assert.equal(ownersOf({ commands: { ownerAllowFrom: Array.from({ length: 99 }, (_, i) => `telegram:${i}`) } }).length, 32);
});
