/* SPDX-License-Identifier: MIT */
// kill -9, and orderly ends, at moments of a call that we placed: nobody rings twice, no leg is left behind, the
// call has one end. t-limit: 400
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep } from '../lib/util.mjs';
import { BOB, CAROL, lineRig } from './line-kit.mjs';
import { LONG } from './native-kit.mjs';

const POINTS = LONG ? 300 : 20;
const SEED = Number(process.env.OCV_SEED ?? 4711);

/* Numbers that are the same for the same seed. */
function numbers(seed) {
  let x = seed >>> 0;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
}

const people = {
  [BOB]: { answers: 1000, script: [{ wait: 'greeting' }, { caller: 'Hello, who is there?' }, { wait: 'assistant' },
    { silence: 2000 }, { caller: 'Good. Goodbye.' }, { silence: 1000 }, { hangup: true }], hangsUpMs: 60000 },
  [CAROL]: { answers: 800, accepts: true, hangsUpMs: 20000 },
};

test(`kill -9 at ${POINTS} moments of placed calls`, { timeout: LONG ? 1800000 : 380000 }, async (t) => {
  const made = await lineRig(t, { people, clean: false });
  const random = numbers(SEED);
  for (let i = 0; i < POINTS; i += 1) {
    const rings = made.twilio.rings.filter((r) => r.number === BOB).length;
    const said = `point ${i} of seed ${SEED}`;
    const id = await made.dial({ purpose: said });
    const kind = i % 4;
    if (kind === 1)
      await sleep(150 + random() * 200).then(() => made.host.api(`/calls/${id}/hold`, { method: 'POST', body: {} }));
    if (kind === 2)
      await sleep(150 + random() * 200).then(() => made.host.api(`/calls/${id}/transfer`,
        { method: 'POST', body: { to: 'Carol', mode: i % 8 === 2 ? 'warm' : 'blind' } }));
    await sleep(random() * 400);
    if (i % 5 === 4)
      await made.host.stop().then(() => made.start()); // an orderly end leaves the calls, too
    else
      await made.restart();
    if (kind === 1)
      await made.host.api(`/calls/${id}/resume`, { method: 'POST', body: {} });
    // A leg whose making nobody can tell of is looked for as long as 75 s before the line is over.
    const call = await made.over(id, 95000).catch(async (error) => {
      const { hops } = await made.get(`/calls/${id}/why`);
      throw new Error(`${said}: ${error.message} ${JSON.stringify(hops)} ${JSON.stringify(made.twilio.legs())}`);
    });
    assert.ok(call.outcome, `${said}: ${JSON.stringify(call)}`);
    await made.twilio.idle(15000).catch((error) => { throw new Error(`${said} (${call.outcome}): ${error.message}`); });
    assert.ok(made.twilio.rings.filter((r) => r.number === BOB).length - rings <= 1, `${said}: rang twice`);
    assert.equal(made.rows('SELECT count(*) AS n FROM call WHERE state<>\'over\'')[0].n, 0, said);
  }
  assert.equal(made.rows('PRAGMA integrity_check')[0].integrity_check, 'ok');
});
