/* SPDX-License-Identifier: MIT */
// kill -9, again and again, under a mixed load: callers, placed calls and what is done to them, the agent, messages,
// recordings, edits of people. What was acknowledged is there, and nothing is done twice. `make crashes` does a thousand.
// t-limit: 300
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { servingSkip } from '../lib/serving.mjs';
import { mixedLife } from './mixed-kit.mjs';
import { planOf } from './mixed-plan.mjs';
import { LONG } from './native-kit.mjs';

const KILLS = 12;
const SEED = Number(process.env.OCV_SEED ?? 4711);
const LIVES = (LONG ? [0, 1, 2, 3, 4, 5] : [0, 1]).filter((life) => !servingSkip || planOf(SEED, life, KILLS).host === 'native');

test('the same seed makes the same plan', () => {
  assert.deepEqual(planOf(1, 2, KILLS), planOf(1, 2, KILLS));
  assert.notDeepEqual(planOf(1, 2, KILLS), planOf(1, 3, KILLS));
});

test(`kill -9 at ${LIVES.length * KILLS} moments of a mixed load`, { concurrency: 2, timeout: 290000 }, async (t) => {
  await Promise.all(LIVES.map((life) => t.test(`life ${life} of seed ${SEED}`, async (one) => {
    const { broken, counts, stories } = await mixedLife(SEED, life, KILLS, { patient: LONG });
    one.diagnostic(Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(', '));
    assert.deepEqual(broken, [], `\n${broken.join('\n')}\n${stories.join('\n')}`);
  })));
});
