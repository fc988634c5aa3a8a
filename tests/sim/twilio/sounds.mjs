/* SPDX-License-Identifier: MIT */
// Documents that are fetched from our side, and the sounds in them.
import { audioMs } from '../playback.mjs';
import { BadTwiml, parseXml, soundVerbs, twimlFaults } from './twiml.mjs';

const DIGIT_MS = 300;
const PAUSES_MS = { w: 500, W: 1000 };
const MOST_LOOPS = 1000;
const sound = (text) => ({ name: 'Response', attrs: {}, children: [text], text: '' });

/** Reads TwiML; what is wrong is a violation. Null when it is no XML. */
export function readTwiml(sim, text, allowed = null) {
  sim.sawNumbers('TwiML', text);
  let root;
  try {
    root = parseXml(text);
  } catch (error) {
    if (!(error instanceof BadTwiml))
      throw error;
    sim.alert(12100, `${error.message} in ${text.slice(0, 200)}`);
    sim.violation(`TwiML: ${error.message}: ${text.slice(0, 400)}`);
    return null;
  }
  const wrong = twimlFaults(root);
  for (const verb of allowed ? root.children : []) {
    if (!allowed.includes(verb.name))
      wrong.push(`<${verb.name}> may not stand here`);
  }
  if (wrong.length > 0)
    sim.violation(`TwiML: ${wrong.join('; ')}: ${text.slice(0, 400)}`);
  return root.name === 'Response' ? root : null;
}

/* A body by its content type: TwiML, a text to say, or audio. */
function documentOf(sim, answer, url, allowed) {
  const type = answer.contentType.split(';')[0].trim().toLowerCase();
  if (/^audio\//.test(type))
    return sound({ name: 'Play', attrs: {}, children: [], text: url });
  if (type === 'text/plain')
    return sound({ name: 'Say', attrs: {}, children: [], text: answer.body });
  if (!/^(text\/xml|application\/xml|text\/html)$/.test(type)) {
    sim.alert(12300, `content type "${type}" of ${url}`);
    sim.violation(`content type "${type}" of ${url}`);
    return null;
  }
  return readTwiml(sim, answer.body, allowed);
}

/**
 * Asks our side for a document. Null when none came.
 * @param {string} kind see callbacks.mjs
 * @param {object} source url, method, fallbackUrl, fallbackMethod
 */
export async function fetchDocument(sim, kind, source, params, allowed = null) {
  const answer = await sim.callbacks.ask(kind, source.url, source.method ?? 'POST', params);
  if (answer.status >= 200 && answer.status < 300)
    return documentOf(sim, answer, source.url, allowed);
  sim.alert(answer.status === 0 ? 11205 : 11200, `${source.url}: ${answer.error ?? answer.status}`);
  if (!source.fallbackUrl)
    return null;
  return fetchDocument(sim, kind, { url: source.fallbackUrl, method: source.fallbackMethod },
    { ...params, ErrorUrl: source.url, ErrorCode: '11200' }, allowed);
}

const digitsMs = (digits) => [...digits].reduce((ms, d) => ms + (PAUSES_MS[d] ?? DIGIT_MS), 0);

/** One sound, `loop` times: all ears hear it, which takes its time. */
export async function playOne(sim, task, verb, ears) {
  const text = verb.text.trim();
  const loops = Math.min(MOST_LOOPS, Number(verb.attrs.loop ?? 1) || MOST_LOOPS);
  if (verb.name === 'Pause') {
    await task.sleep(sim.life(Number(verb.attrs.length ?? 1) * 1000));
    return;
  }
  const digits = verb.name === 'Play' ? verb.attrs.digits : undefined;
  const entry = digits ? { kind: 'digits', text: digits.replace(/w/gi, '') }
    : { kind: verb.name === 'Say' ? 'say' : 'play', text, language: verb.attrs.language };
  if (entry.kind === 'play' && !/^https?:\/\/\S+$/.test(text))
    sim.violation(`<Play> of "${text}"`);
  const ms = digits ? digitsMs(digits) : entry.kind === 'say' ? audioMs(text) : 2000;
  for (let n = 0; n < loops && (text || digits); n += 1) {
    const heard = ears().map((leg) => leg.hear(entry));
    await task.sleep(sim.life(ms));
    heard.forEach((h) => { h.done = true; });
  }
}

/** All sounds of a document, one after another, with its redirects (ten at most). */
export async function playDocument(sim, task, root, ears, kind, params) {
  let document = root;
  for (let n = 0; document && n < 10; n += 1) {
    let next = null;
    for (const verb of document.children) {
      if (verb.name === 'Redirect') {
        next = { url: verb.text.trim(), method: verb.attrs.method };
        break;
      }
      await playOne(sim, task, verb, ears);
    }
    document = next ? await task.race(fetchDocument(sim, kind, next, params, soundVerbs)) : null;
  }
}
