/* SPDX-License-Identifier: MIT */
// kill -9, and orderly ends, at moments of a call that we placed: nobody rings twice, no leg is left behind, the
// call has one end. `make crashes` does a thousand. t-limit: 400
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tally, crashPoints } from './crash-kit.mjs';
import { LONG } from './native-kit.mjs';

const POINTS = LONG ? 100 : 30;
const SEED = Number(process.env.OCV_SEED ?? 4711);

test(`kill -9 at ${POINTS} moments of placed calls`, { timeout: 380000 }, async (t) => {
  const came = new Tally();
  const points = Array.from({ length: POINTS }, (_, i) => i);
  await crashPoints(t, SEED, points, { homes: 5, patient: LONG }, (_, error, result) => {
    assert.ifError(error);
    came.add(result);
  });
  t.diagnostic(String(came));
  assert.equal(came.n, POINTS);
});
