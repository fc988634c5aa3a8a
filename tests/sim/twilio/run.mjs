/* SPDX-License-Identifier: MIT */
// What a leg does by its TwiML: one verb after another, until it hangs up or is told otherwise.
import { Bridge } from './conference.mjs';
import { Gone, Task, until } from './task.mjs';
import { fetchDocument, playOne, readTwiml } from './sounds.mjs';
import { flag } from './twiml.mjs';

const MOST_DOCUMENTS = 100;
const APOLOGY = 'We are sorry, an application error has occurred. Goodbye.';
const OVER = Symbol('the leg is over');

/** Attributes of <Conference> as the options of a participant. */
function conferenceOptions(run, attrs) {
  return { label: attrs.participantLabel ?? null, muted: flag(attrs.muted, false),
    startOnEnter: flag(attrs.startConferenceOnEnter, true),
    endOnExit: flag(attrs.endConferenceOnExit, false), beep: attrs.beep ?? 'true',
    waitUrl: attrs.waitUrl ? run.absolute(attrs.waitUrl) : attrs.waitUrl ?? null,
    waitMethod: attrs.waitMethod, coach: attrs.coach ?? null, coaching: attrs.coach !== undefined,
    callback: attrs.statusCallback ? { url: run.absolute(attrs.statusCallback),
      method: attrs.statusCallbackMethod ?? 'POST',
      events: (attrs.statusCallbackEvent ?? 'start end').split(' ') } : null };
}

class Run {
  constructor(leg, task) {
    this.leg = leg;
    this.sim = leg.sim;
    this.task = task;
    this.url = null; // of the document
    this.answers = 0;
  }

  absolute(url) {
    try {
      return /^https?:/.test(url) ? url : new URL(url, this.url ?? undefined).href;
    } catch {
      this.sim.violation(`"${url}" in TwiML that has no address of its own`);
      return 'http://invalid.invalid/';
    }
  }

  /* The document that an action, redirect or first request gives; null: none. */
  async load(kind, source) {
    this.answers += 1;
    if (this.answers > MOST_DOCUMENTS) {
      this.sim.violation(`${this.leg.sid}: more than ${MOST_DOCUMENTS} documents`);
      return null;
    }
    if (source.twiml !== undefined)
      return readTwiml(this.sim, source.twiml);
    this.url = source.url;
    return this.task.race(fetchDocument(this.sim, kind, source, { ...this.leg.params(),
      ...source.params }));
  }

  async perform(first, atEnd) {
    let document = await this.load('voice', first);
    while (document) {
      const next = await this.verbs(document);
      if (next === OVER)
        return;
      if (!next) {
        atEnd();
        return;
      }
      document = await this.load(next.params ? 'action' : 'voice', next);
    }
    this.leg.answered();
    await playOne(this.sim, this.task, { name: 'Say', attrs: {}, text: APOLOGY }, () => [this.leg]);
    this.leg.end('completed');
  }

  async verbs(document) {
    for (const verb of document.children) {
      const next = await this[verb.name]?.(verb);
      if (next || this.leg.over)
        return next || OVER;
    }
    return null;
  }

  /* An action URL to go on at, or null when the element names none and `fallback` is not set. */
  next(verb, params, fallback = null) {
    const url = verb.attrs.action ? this.absolute(verb.attrs.action) : fallback;
    return url ? { url, method: verb.attrs.method ?? 'POST', params } : null;
  }

  answer() {
    // onAnswer of a leg that is answered by its own document must not start another run.
    this.leg.onAnswer = null;
    this.leg.answered();
  }

  async Say(verb) {
    this.answer();
    await playOne(this.sim, this.task, verb, () => [this.leg]);
  }

  Play(verb) {
    return this.Say(verb);
  }

  Pause(verb) {
    return playOne(this.sim, this.task, verb, () => []);
  }

  Redirect(verb) {
    return { url: this.absolute(verb.text.trim()), method: verb.attrs.method ?? 'POST' };
  }

  Hangup() {
    this.leg.end('completed');
    return OVER;
  }

  Reject(verb) {
    this.leg.end('busy', { sipCode: verb.attrs.reason === 'busy' ? 486 : 603 });
    return OVER;
  }

  async Gather(verb) {
    this.answer();
    const { leg, task, sim } = this;
    const finish = verb.attrs.finishOnKey ?? '#';
    const most = Number(verb.attrs.numDigits ?? 1000);
    const timeoutMs = sim.life(Number(verb.attrs.timeout ?? 5) * 1000);
    const state = { digits: '', finished: false, key: undefined };
    let changed = Promise.withResolvers();
    leg.gather = (digit) => {
      if (state.finished)
        return false;
      state.key = digit === finish ? digit : undefined;
      state.digits += digit === finish ? '' : digit;
      state.finished = digit === finish || state.digits.length >= most;
      changed.resolve();
      changed = Promise.withResolvers();
      return true;
    };
    const prompt = new Task();
    try {
      const first = changed.promise;
      leg.emit('gather', verb);
      const played = prompt.run(async () => {
        for (const child of verb.children)
          await playOne(sim, prompt, child, () => [leg]);
      }, (error) => sim.violation(`simulator failed: ${error.stack}`));
      await task.race(Promise.race([played, first]));
      prompt.cancel();
      for (let seen = null; !state.finished && seen !== state.digits;) {
        seen = state.digits;
        await Promise.race([changed.promise, task.sleep(timeoutMs)]);
      }
    } finally {
      prompt.cancel();
      if (!task.over)
        leg.gather = null;
    }
    if (state.digits === '' && state.key === undefined && !flag(verb.attrs.actionOnEmptyResult, false))
      return null;
    return this.next(verb, { Digits: state.digits, FinishedOnKey: state.key, msg: 'Gather End' }, this.url);
  }

  async Dial(verb) {
    const [first] = verb.children;
    if (verb.attrs.record || first?.attrs.record)
      this.sim.violation('recording by <Dial> is not simulated');
    try {
      return await (first?.name === 'Conference' ? this.conference(verb, first) : this.dialOut(verb));
    } catch (error) {
      // Who hung up gets no further TwiML, but the action is told.
      if (error instanceof Gone && this.leg.over && verb.attrs.action)
        this.sim.callbacks.send('action', this.absolute(verb.attrs.action), verb.attrs.method ?? 'POST',
          { ...this.leg.params(), DialCallStatus: 'completed' }, this.leg.sid);
      throw error;
    }
  }

  async conference(verb, noun) {
    this.answer();
    const name = noun.text.trim();
    const options = conferenceOptions(this, noun.attrs);
    const conference = this.sim.roomNamed(name, true);
    const participant = conference.list(this.leg, options);
    if (!participant) {
      this.sim.alert(16025, `label ${options.label} is in use in ${name}`);
      return this.next(verb, { DialCallStatus: 'failed' });
    }
    conference.join(participant);
    await this.task.race(participant.left);
    return this.next(verb, { DialCallStatus: 'completed' });
  }

  children(verb) {
    const { leg, sim } = this;
    const nouns = verb.children.length > 0 ? verb.children
      : [{ name: 'Number', attrs: {}, text: verb.text }];
    return nouns.map((noun) => {
      const { attrs } = noun;
      return sim.originate({ to: noun.text.trim(), from: verb.attrs.callerId ?? leg.from,
        direction: 'outbound-dial', parent: leg, timeoutS: Number(verb.attrs.timeout ?? 30),
        ringBufferMs: 0, sendDigits: attrs.sendDigits,
        whisper: attrs.url ? { url: this.absolute(attrs.url), method: attrs.method } : null,
        amd: attrs.machineDetection ? { mode: attrs.machineDetection, url: attrs.amdStatusCallback,
          method: attrs.amdStatusCallbackMethod ?? 'POST' } : null,
        callback: attrs.statusCallback ? { url: this.absolute(attrs.statusCallback),
          method: attrs.statusCallbackMethod ?? 'POST',
          events: (attrs.statusCallbackEvent ?? 'completed').split(' ') } : null });
    });
  }

  async dialOut(verb) {
    if (!flag(verb.attrs.answerOnBridge, false))
      this.answer();
    const { leg, task, sim } = this;
    const legs = this.children(verb);
    const end = () => legs.forEach((l) => l.end(l.up ? 'completed' : 'canceled'));
    leg.once('over', end);
    try {
      await task.race(Promise.race([...legs.map((l) => until(l, ['ready'], () => l.ready)),
        Promise.all(legs.map((l) => l.done()))]));
      const winner = legs.find((l) => l.ready && l.up);
      legs.forEach((l) => l !== winner && l.end('canceled'));
      if (winner)
        await this.bridged(verb, winner);
      return this.next(verb, sim.dialResult(winner ?? legs[0], winner !== undefined));
    } finally {
      leg.off('over', end);
      end();
      leg.room = null;
    }
  }

  async bridged(verb, child) {
    this.answer();
    new Bridge(this.sim, this.leg, child);
    this.leg.emit('joined');
    child.emit('joined');
    const limitMs = this.sim.life(Number(verb.attrs.timeLimit ?? 14400) * 1000);
    const star = flag(verb.attrs.hangupOnStar, false)
      ? until(this.leg, ['star'], () => this.leg.starred) : new Promise(() => {});
    await this.task.race(Promise.race([until(child, ['left'], () => child.over || !child.room),
      star, this.task.sleep(limitMs)]));
  }
}

/**
 * Runs TwiML on a leg.
 * @param {object} source twiml, or url, method, fallbackUrl, fallbackMethod; params
 * @param {function} [atEnd] what follows the last verb: the hang-up
 */
export function runTwiml(leg, task, source, atEnd = () => leg.end('completed')) {
  return new Run(leg, task).perform(source, atEnd);
}
