/* SPDX-License-Identifier: MIT */
// One life of a mixed load as a whole: its plan, the load with its deaths, and what was not true of it.
import { brokenOf } from './mixed-check.mjs';
import { Life } from './mixed-load.mjs';
import { planOf } from './mixed-plan.mjs';

/** How often the host dies in one life. */
export const KILLS_A_LIFE = 12;

/* What passed in a life, for the summary. */
function countsOf(life) {
  const { made, plan } = life;
  const calls = [...made.openai.calls.values()];
  const answers = plan.outbound.flatMap((out) => (out.asked ?? []).flatMap((asked) => asked.answers));
  return { calls: calls.length, turns: calls.reduce((n, call) => n + call.turns.length, 0),
    runs: [...life.runs.values()].reduce((n, run) => n + run.asked.length, 0),
    effects: [...life.runs.values()].reduce((n, run) => n + run.effects.length, 0),
    dialled: made.twilio.rings.length, actions: answers.filter((a) => a?.status === 202).length,
    messages: life.chat.length, recordings: made.twilio.recordings.size };
}

/* What was said of the broken calls, for whoever looks into it. */
async function storiesOf(life, broken) {
  const ids = new Set(broken.flatMap((text) => text.match(/call_[0-9A-Za-z]+/g) ?? []));
  for (const item of [...life.plan.inbound, ...life.plan.outbound].filter((one) => broken.some((text) => new RegExp(`\\b${one.name}\\b`)
    .test(text))))
    ids.add(item.id ?? life.made.idOf(item.call ?? {}) ?? item.call?.callId);
  const out = [];
  for (const id of [...ids].filter(Boolean).slice(0, 4)) {
    const res = await life.made.host.api(`/calls/${id}/why`).catch(() => null);
    out.push(`${id}\n${(res?.json?.hops ?? []).map((hop) => `    ${hop.after_ms} ${hop.hop} ${hop.detail}`).join('\n')}`);
  }
  return out;
}

/**
 * One life.
 * @param {number} seed, life which (the two make the plan), kills how often its host dies
 * @param {object} [opts] patient: legs that are looked for are waited for, a minute and more; told(k) after each death;
 *   sights (see planOf)
 * @returns {Promise<{broken, counts, stories}>} broken: what was not true, as sentences
 */
export async function mixedLife(seed, life, kills, { patient = true, told, sights } = {}) {
  const closers = [];
  const one = new Life(planOf(seed, life, kills, sights), { patient });
  const result = { broken: [], counts: {}, stories: [] };
  try {
    await one.open({ after: (fn) => closers.push(fn) });
    await one.run(told);
    result.broken = await brokenOf(one);
    result.counts = countsOf(one);
    if (result.broken.length > 0)
      result.stories = await storiesOf(one, result.broken);
  } catch (error) {
    result.broken.push(error.stack);
  }
  one.over = true;
  for (const close of closers.reverse())
    await Promise.resolve(close()).catch((error) => result.broken.push(error.message));
  return result;
}
