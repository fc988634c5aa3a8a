/* SPDX-License-Identifier: MIT */
/*
 * What happens in one life of a mixed load, and when its host dies: told by seed and number alone, so the same two make
 * the same plan. When things happen is counted from a start of the host, so that a slow machine changes little.
 */
import { randomOf } from '../lib/util.mjs';

/** What a death can wait for: the n-th of these that is seen from outside, or nothing but time. */
export const SIGHTS = ['webhook', 'accept', 'reject', 'attached', 'hangup', 'run', 'acting', 'dial', 'model', 'room',
  'calls.update', 'callback', 'api', 'webhook answered', 'api answered', 'send', 'recording'];

const VOICES = ['direct', 'direct', 'direct', 'direct', 'stranger', 'direct', 'carrier'];
const ENDS = ['caller', 'model', 'api', 'caller', 'model'];
const PEOPLE = ['talks', 'talks', 'talks', 'talks', 'talks', 'busy', 'machine', 'talks', 'declines', 'nobody'];
const DEEDS = ['hold', 'mute', 'dtmf', 'blind', 'warm', 'invite', 'announce', 'say', 'hangup', 'delete', 'pause'];

const number = (kind, n) => `+1555${kind}${String(n).padStart(6, '0')}`;

/* When the host dies: {at, ...}, see Life.moment(). Early ones meet what the death before left undone. */
function deathOf(random, serving) {
  const p = random();
  if (p < 0.12)
    return { at: 'start', ms: random() ** 2 * (serving ? 400 : 80) };
  if (p < 0.30)
    return { at: 'ready', ms: random() ** 2 * 120 };
  if (p < 0.38)
    return { at: 'checkpoint', ms: random() * 4 };
  if (p < 0.80) {
    return { at: 'sight', of: SIGHTS[Math.floor(random() * SIGHTS.length)], nth: 1 + Math.floor(random() * 3),
      ms: random() < 0.5 ? 0 : random() * 12 };
  }
  return { at: 'time', ms: 100 + random() * 1100 };
}

/* Turns of a caller; those that are questions go to the agent, each with a word of its own. */
function turnsOf(random, name) {
  return Array.from({ length: 1 + Math.floor(random() * 3) }, (_, i) => ({ word: `${name}x${i}`, afterMs: 50 + random() * 500,
    asks: random() < 0.55, run: { acts: random() < 0.6, beforeMs: random() * 250, afterMs: random() < 0.15 ? 2500 + random() * 1500
      : random() * 500 } }));
}

function editsOf(random, n) {
  const edits = [];
  if (random() < 0.5)
    edits.push({ what: 'notes', times: 1 + Math.floor(random() * 3) });
  if (random() < 0.5)
    edits.push({ what: 'link', identity: `telegram:${5000 + n}`, undo: random() < 0.4 });
  if (random() < 0.5)
    edits.push({ what: 'handoff', to: String(700 + n), live: random() < 0.6 });
  if (random() < 0.35)
    edits.push({ what: 'forget' });
  return edits;
}

function inboundOf(random, n, kills) {
  const voice = VOICES[n % VOICES.length];
  return { name: `in${n}`, n, voice, from: number(2, n), phase: Math.floor(random() * kills), delayMs: random() * 300,
    webhook: random() < 0.5 ? {} : { copies: 1 + Math.floor(random() * 3), copyAfterMs: random() < 0.5 ? 0 : random() * 300,
      copyNewId: random() < 0.3 },
    turns: turnsOf(random, `q${n}`), ends: ENDS[Math.floor(random() * ENDS.length)], edits: editsOf(random, n) };
}

function deedOf(random, n, kind) {
  return { kind, afterMs: random() * 500, again: random() < 0.5, n };
}

function outboundOf(random, n, kills) {
  const person = PEOPLE[Math.floor(random() * PEOPLE.length)];
  const deeds = [];
  for (let left = person === 'talks' ? 1 + Math.floor(random() * 4) : 0; left > 0; left -= 1)
    deeds.push(deedOf(random, deeds.length, DEEDS[Math.floor(random() * DEEDS.length)]));
  return { name: `out${n}`, n, to: number(3, n), phase: Math.floor(random() * kills), delayMs: random() * 300, person, deeds,
    target: { name: `Target ${n}`, number: number(4, n), accepts: random() < 0.7 },
    header: random() < 0.5, again: Math.floor(random() * 3), record: random() < 0.45, report: random() < 0.6,
    lateAnswers: random() < 0.3 ? { afterMs: random() * 250, apply: random() < 0.6 } : null,
    talksMs: 60000 + random() * 160000, answersMs: 500 + random() * 4000 };
}

/**
 * The plan of a life.
 * @param {number} kills how often its host dies
 * @param {string[]} [sights] it dies when one of these is seen, and at no other moment
 * @returns {{host, deaths, inbound, outbound}} host: 'native', or 'serving': the plugin in a host that also sends messages,
 *   runs the agent and takes turns into its session
 */
export function planOf(seed, life, kills, sights = []) {
  const random = randomOf(Math.imul(seed, 1000003) + Math.imul(life + 1, 2654435761));
  const serving = life % 2 === 1;
  const some = (count, make) => Array.from({ length: count }, (_, n) => make(random, n, kills));
  const deaths = some(kills, () => deathOf(random, serving));
  const chosen = (_, n) => ({ at: 'sight', of: sights[n % sights.length], nth: 1, ms: n % 3 * 2 });
  return { seed, life, host: serving ? 'serving' : 'native', deaths: sights.length > 0 ? deaths.map(chosen) : deaths,
    inbound: some(4 + kills, inboundOf), outbound: some(4 + Math.floor(kills / 2), outboundOf) };
}
