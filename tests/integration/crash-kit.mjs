/* SPDX-License-Identifier: MIT */
/*
 * A placed call, one death of the process at a moment of it, the next start, and what must be true of it in the end:
 * nobody rings twice, every leg ends in time, what was acknowledged is done, the call has one end. A point is told by
 * its number and seed alone, so it can be repeated; the timing within is the machine's.
 */
import assert from 'node:assert/strict';
import { sleep, slower, waitFor } from '../lib/util.mjs';
import { BOB, CAROL, lineRig } from './line-kit.mjs';
import { actionOver } from './native-kit.mjs';

/** Numbers that are the same for the same seed and point. */
function numbers(seed, point) {
  let x = (Math.imul(seed, 1000003) + Math.imul(point + 1, 2654435761)) >>> 0;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
}

const people = {
  [BOB]: { answers: 3000, script: [{ wait: 'greeting' }, { caller: 'Hello, who is there?' }, { wait: 'assistant' },
    { silence: 2000 }, { caller: 'Good. Goodbye.' }, { silence: 1000 }, { hangup: true }], hangsUpMs: 60000 },
  [CAROL]: { answers: 800, accepts: true, hangsUpMs: 20000 },
};

/* What is asked of the call before the process dies. */
const deeds = [
  { name: 'nothing' },
  { name: 'hold', verb: 'hold', then: 'resume' },
  { name: 'nothing' },
  { name: 'blind transfer', verb: 'transfer', body: { to: 'Carol', mode: 'blind' } },
  { name: 'its end', verb: 'hangup' },
  { name: 'nothing' },
  { name: 'warm transfer', verb: 'transfer', body: { to: 'Carol', mode: 'warm' } },
  { name: 'keys', verb: 'dtmf', body: { digits: '12#' } },
  { name: 'an invitation', verb: 'invite', body: { to: 'Carol' } },
  { name: 'its end, while it is dialled', verb: 'DELETE' },
  { name: 'a recording', record: true },
  { name: 'a recording that pauses', record: true, verb: 'recording/pause' },
];

/** A host and its simulators, in which points happen one after another. */
export const crashHome = (t) => lineRig(t, { people, clean: false });

/* Asks, and does not wait for the answer longer than the process lives. */
function ask(made, id, deed) {
  const where = deed.verb === 'DELETE' ? `/call/${id}` : `/calls/${id}/${deed.verb}`;
  return made.host.api(where, deed.verb === 'DELETE' ? { method: 'DELETE' } : { method: 'POST', body: deed.body ?? {} })
    .catch(() => null);
}

/** Whether a point is kill -9: now and then it is an orderly end, which leaves the calls, too. */
export const isKill = (point) => point % 5 !== 4;

async function die(made, id, point) {
  if (isKill(point))
    await made.host.kill();
  else
    await made.host.stop();
  const known = new Set(made.rows('SELECT sid FROM leg_sid').map((row) => row.sid));
  const machine = JSON.stringify(made.rows('SELECT machine FROM line WHERE phase <> \'completed\''));
  const diedAt = Date.now();
  const { phase } = made.rows('SELECT phase FROM line WHERE call = ?', id)[0];
  await made.start();
  return { phase, diedAt, readyAt: Date.now(), knew: (leg) => known.has(leg.sid) || machine.includes(leg.sid) };
}

/*
 * When legs must be over: 5 s after their call ended, or the last human left; after a start 10 s, for what was to
 * be ended while nobody was there. Excepted is a leg of which no row knew when the process died: the carrier's answer to
 * its making was lost, and it has to be found first, for as long as the carrier may need to show it.
 */
function assertLegsEnded(made, since, call, death, line) {
  const legs = [...made.twilio.allLegs.values()].filter((leg) => leg.createdAt >= since);
  const humans = legs.filter((leg) => leg.phone && leg.answeredAt !== null);
  const alone = humans.length > 0 ? Math.max(...humans.map((leg) => leg.endedAt)) : 0;
  const limit = (at) => Math.max(at + 5000 * slower, death.readyAt + 10000 * slower);
  for (const leg of legs) {
    const lost = leg.createdAt <= death.diedAt && !death.knew(leg);
    const stays = call.outcome === 'transferred' && leg.phone; // they talk on without us
    if (lost)
      continue;
    if (line.ended_at > 0 && !stays)
      assert.ok(leg.endedAt <= limit(line.ended_at), `${leg.to} went on ${leg.endedAt - line.ended_at} ms after the end`);
    if (alone > 0 && !leg.phone)
      assert.ok(leg.endedAt <= limit(alone), `the model stayed alone for ${leg.endedAt - alone} ms`);
  }
}

/* What was asked for has an outcome; what was acknowledged is not forgotten. */
async function assertAsked(made, id, deed, answer, call) {
  const { actions } = await made.get(`/calls/${id}/actions`);
  const acknowledged = answer?.status === 202 ? answer.json.id : null;
  for (const action of actions)
    assert.notEqual((await actionOver(made, id, action.id)).state, 'asked');
  if (acknowledged)
    assert.ok(actions.some((action) => action.id === acknowledged), `${deed.name} was acknowledged and is gone`);
  if (deed.verb === 'hangup' && acknowledged)
    assert.equal((await actionOver(made, id, acknowledged)).state, 'done');
  if (deed.verb === 'DELETE' && answer?.status === 200 && actions.some((action) => action.action === 'hangup'))
    assert.ok(['canceled', 'answered'].includes(call.outcome), `was to end: ${call.outcome}`);
}

/* Recorded once at most, and what the carrier has of it is here in the end. */
async function assertRecorded(made, id, since) {
  const there = [...made.twilio.recordings.values()].filter((recording) => recording.createdAt >= since);
  assert.ok(there.length <= 1, `recorded ${there.length} times`);
  const state = await waitFor(() => {
    const row = made.rows('SELECT state FROM recording WHERE call = ?', id)[0];
    return row?.state === 'fetching' ? null : row?.state ?? 'none';
  }, { timeoutMs: 40000, what: 'the recording' });
  assert.equal(state === 'stored', there.length === 1, `${there.length} at the carrier, and here it is ${state}`);
}

/*
 * A call that is told as interrupted was: a leg of it ended by itself, not by us, while nobody was there to see it or
 * before the next start had asked. We would have talked on.
 */
function assertInterrupted(made, since, call, death) {
  const legs = [...made.twilio.allLegs.values()].filter((leg) => leg.createdAt >= since);
  const asked = (leg) => made.twilio.requests.some((r) => r.op === 'calls.update' && r.ids.includes(leg.sid) && r.t <= leg.endedAt);
  assert.ok(legs.some((leg) => leg.answeredAt !== null && leg.endedAt >= death.diedAt - 1000 && !asked(leg)),
    `nobody hung up, and it is interrupted: ${call.detail}`);
}

/* Waits for the end; null when a leg is still looked for and nobody waits that long. */
async function endOf(made, id, patient) {
  try {
    // A leg whose making nobody can tell of is looked for as long as 75 s before the line is over.
    return await made.over(id, patient ? 95000 : 20000);
  } catch (error) {
    const { parties } = await made.state(id);
    if (patient || !parties?.some((party) => party.state === 'lost'))
      throw error;
    return null;
  }
}

/**
 * One point.
 * @param {Rig} made crashHome()
 * @param {boolean} patient wait for the end of calls of which a leg is looked for, up to 95 s
 * @returns {Promise<{deed, died, outcome}>} died: in which phase of the line, as its row said; outcome null: it is
 *   still looked for
 */
export async function crashPoint(made, seed, point, patient) {
  const random = numbers(seed, point);
  const deed = deeds[point % deeds.length];
  const rings = (number) => made.twilio.ringsOf(number);
  const [bob, carol] = [rings(BOB), rings(CAROL)];
  const since = Date.now();
  // Now and then the carrier is slow with what it makes, and its answer comes late or never.
  made.twilio.faults = random() < 0.4 ? { 'participants.create': { afterMs: random() * 250, apply: random() < 0.5 } } : {};
  const id = await made.dial({ purpose: `point ${point} of seed ${seed}`, ...deed.record ? { record: true } : {} });
  let asked = null;
  if (deed.verb === 'DELETE') {
    await sleep(random() * 250);
    asked = ask(made, id, deed);
    await sleep(random() * 20);
  } else if (deed.verb) {
    await sleep(220 + random() * 250);
    asked = ask(made, id, deed);
    await sleep(random() < 0.4 ? random() * 10 : random() * 250);
  } else {
    await sleep(random() ** 2 * 700); // rather while it is dialled and rings
  }
  const death = await die(made, id, point);
  made.twilio.faults = {};
  const answer = await asked;
  if (deed.then)
    await made.host.api(`/calls/${id}/${deed.then}`, { method: 'POST', body: {} });
  const call = await endOf(made, id, patient);
  assert.ok(rings(BOB) - bob <= 1, 'the callee rang twice');
  assert.ok(rings(CAROL) - carol <= 1, 'the target rang twice');
  if (call === null)
    return { deed: deed.name, died: death.phase, outcome: null };
  assert.ok(call.outcome, JSON.stringify(call));
  await made.twilio.idle(15000);
  assert.ok(rings(BOB) - bob <= 1, 'the callee rang twice');
  const line = await waitFor(() => { // it waits for its recording, 30 s at most
    const [row] = made.rows('SELECT phase, ended_at FROM line WHERE call = ?', id);
    return row.phase === 'completed' ? row : null;
  }, { timeoutMs: 45000, what: 'the end of the line' });
  assert.equal(made.rows('SELECT count(*) AS n FROM call WHERE state<>\'over\'')[0].n, 0);
  assertLegsEnded(made, since, call, death, line);
  if (call.outcome === 'interrupted')
    assertInterrupted(made, since, call, death);
  await assertAsked(made, id, deed, answer, call);
  await assertRecorded(made, id, since);
  return { deed: deed.name, died: death.phase, outcome: call.outcome };
}

/** Why a point failed, with all that is known of its call. */
export async function crashStory(made, error) {
  const call = made.rows('SELECT id FROM call ORDER BY id DESC LIMIT 1')[0]?.id;
  const why = call ? await made.host.api(`/calls/${call}/why`).then((res) => res.json?.hops, () => null) : null;
  const hops = (why ?? []).map((h) => `${h.after_ms} ${h.hop} ${h.detail}`).join('\n    ');
  return `${error.message}\n    ${hops}\n    legs ${JSON.stringify(made.twilio.legs())}`;
}

/** Counts what came of points: "22 answered, 3 canceled; died while 4 dialing, ...". */
export class Tally {
  constructor() {
    this.outcomes = {};
    this.phases = {};
    this.n = 0;
  }

  add({ outcome, died }) {
    this.outcomes[outcome ?? 'looked for'] = (this.outcomes[outcome ?? 'looked for'] ?? 0) + 1;
    this.phases[died] = (this.phases[died] ?? 0) + 1;
    this.n += 1;
  }

  toString() {
    const text = (counts) => Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(', ');
    return `${text(this.outcomes)}; died while ${text(this.phases)}`;
  }
}

/**
 * Points of a seed, handed out to several homes at once.
 * @param {object[]} points numbers
 * @param {object} how homes (at one time), patient (as for crashPoint)
 * @param {function} told (point, error or null, what came of it)
 */
export async function crashPoints(t, seed, points, { homes, patient }, told) {
  const left = [...points];
  const work = async () => {
    const made = await crashHome(t);
    while (left.length > 0) {
      const point = left.shift();
      const done = await crashPoint(made, seed, point, patient).then((result) => ({ result }), async (error) =>
        ({ error: new Error(`point ${point} of seed ${seed}: ${await crashStory(made, error)}`) }));
      told(point, done.error ?? null, done.result ?? null);
      if (done.error || done.result.outcome === null)
        break; // what is left of that call would spoil the next
    }
    assert.equal(made.rows('PRAGMA integrity_check')[0].integrity_check, 'ok');
    return left.length;
  };
  while (left.length > 0) // a home that is spent is replaced
    await Promise.all(Array.from({ length: Math.min(homes, left.length) }, work));
}
