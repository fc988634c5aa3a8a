/* SPDX-License-Identifier: MIT */
/*
 * People with telephones. What a person does when called (times are ms of life, divided by the speed):
 *   answers: 2000 | false      picks up after so long; false: never
 *   busy: true                 engaged (486); rejects: ms | true: rings, then declines (603)
 *   sip: code                  the network answers with this SIP code instead
 *   refused: 21211 …           the API refuses to dial the number: 21211 21217 invalid, 21214 unreachable,
 *                              21215 geo permission, 21216 forbidden
 *   voicemail: { greeting, beep = true, maxS = 60 } | true     a machine answers
 *   fax: true                  a fax machine answers
 *   answeredBy, amdMs          what machine detection reports, and when after the answer
 *   script: [steps]            what is said and done (below)
 *   digits: '1' | ['12#', '1'] pressed at each <Gather> that is met, digitsMs (800) after it begins
 *   accepts: true | false      presses 1 at a <Gather>, or nothing
 *   hangsUpMs                  so long after the answer
 *
 * Steps: those of ../script.mjs ({caller}, {wait: 'greeting'|'assistant'|'tool'}, {dtmf}, {silence},
 * {hangup}, {waitEnd}, {do: async (line) => …}), where {caller} waits until somebody can hear it unless
 * anyway is set, and {wait} follows the model from one of its legs to the next; and
 *   { wait: 'held' | 'resumed' | 'muted' | 'model' | 'alone' | 'human', ms? }
 *   { hears: 'text' | /re/, ms? }     until something new was heard that matches
 *   { until: (line) => boolean, ms? }
 */
import { EventEmitter } from 'node:events';
import { audioMs } from '../playback.mjs';
import { Failure, Script } from '../script.mjs';
import { Gone, Task, until } from './task.mjs';

const SETUP_MS = 200;
const STEP_MS = 20000;

class LineScript extends Script {
  constructor(line, call) {
    super(call, []);
    this.line = line;
  }

  speak(step) {
    return this.line.say(step.caller, step);
  }
}

/** One person's side of one leg. */
export class Line {
  constructor(person, leg, how) {
    Object.assign(this, { person, leg, how, sim: person.sim });
    this.task = leg.life;
    this.scripts = new Map();
    this.heard = [];
    this.seen = 0; // of what was heard, by the steps so far
    this.recording = false;
    this.gathers = 0;
    leg.once('answered', () => this.begin());
    leg.on('gather', () => this.gathering());
  }

  failed(error) {
    this.sim.violation(`simulator failed: ${error.stack}`);
  }

  /** The telephone is called. */
  async ring() {
    const { how, leg, sim } = this;
    await this.task.sleep(sim.life(SETUP_MS));
    if (how.busy || how.sip) {
      leg.refused(how.sip ?? 486);
      return;
    }
    leg.ringing();
    sim.rang(leg);
    const ms = how.rejects ?? how.answers ?? 2000;
    if (ms === false)
      return;
    await this.task.sleep(sim.life(ms === true ? 2000 : ms));
    if (how.rejects)
      leg.refused(603);
    else
      leg.answered();
  }

  begin() {
    const { how, leg, sim } = this;
    sim.on('model', this.meet = (call) => this.script(call));
    this.models().forEach((call) => this.script(call));
    if (how.hangsUpMs !== undefined)
      this.task.after(sim.life(how.hangsUpMs), () => this.hangup());
    if (leg.sendDigits)
      this.task.after(0, () => leg.hear({ kind: 'digits', text: leg.sendDigits.replace(/w/gi, '') }));
    const act = how.voicemail ? () => this.machine() : how.script ? () => this.act() : null;
    if (act)
      this.task.run(act, (error) => this.failed(error));
  }

  released() {
    if (this.meet)
      this.sim.off('model', this.meet);
    this.person.emit('over', this);
  }

  hangup() {
    this.leg.end(this.leg.up ? 'completed' : 'no-answer', { sipCode: this.leg.up ? 200 : 487 });
  }

  /** What a detector makes of who answered. */
  nature(mode) {
    const { how } = this;
    const found = { answeredBy: 'human', afterMs: 2500 };
    if (how.fax)
      found.answeredBy = 'fax';
    if (how.voicemail) {
      const { beep, greeting } = this.message();
      found.answeredBy = mode === 'Enable' ? 'machine_start' : `machine_end_${beep ? 'beep' : 'silence'}`;
      found.afterMs = mode === 'Enable' ? 3000 : audioMs(greeting) + 1000;
    }
    return { answeredBy: how.answeredBy ?? found.answeredBy, afterMs: how.amdMs ?? found.afterMs };
  }

  message() {
    return { greeting: 'Please leave a message after the tone.', beep: true, maxS: 60,
      ...(this.how.voicemail === true ? {} : this.how.voicemail) };
  }

  async machine() {
    const { greeting, maxS } = this.message();
    await this.say(greeting, { anyway: true });
    await this.task.sleep(this.sim.life(800));
    this.recording = true;
    await this.task.sleep(this.sim.life(maxS * 1000));
    this.hangup();
  }

  hear(entry) {
    this.heard.push(entry);
    this.person.heard.push(entry);
    if (this.recording && ['say', 'model', 'voice'].includes(entry.kind))
      this.person.messages.push(entry.text);
    this.person.emit('heard', entry);
  }

  /** Says something to whoever can hear it now. Resolves when it was said: true if anybody heard it. */
  async say(text, opts = {}) {
    const ears = this.leg.hearers();
    this.person.said.push({ t: Date.now(), text, heard: ears.length > 0 });
    if (ears.length === 0)
      this.person.unheard.push(text);
    const heard = ears.map((leg) => leg.hear({ kind: 'voice', text, from: this.person.number, opts }));
    await Promise.all([...heard.map((h) => h.spoken),
      heard.some((h) => h.spoken) ? null : this.task.sleep(this.sim.life(audioMs(text)))]);
    return ears.length > 0;
  }

  /** Presses keys. Those that nobody takes are kept in person.lostDigits. */
  press(digits) {
    for (const digit of digits) {
      if (digit === '*') {
        this.leg.starred = true;
        this.leg.emit('star');
      }
      this.person.pressed += digit;
      if (!this.leg.press(digit))
        this.person.lostDigits += digit;
    }
  }

  gathering() {
    const { how, sim } = this;
    const list = how.digits === undefined && how.accepts ? ['1'] : [how.digits ?? []].flat();
    const digits = list[Math.min(this.gathers, list.length - 1)];
    this.gathers += 1;
    if (digits)
      this.task.after(sim.life(how.digitsMs ?? 800), () => this.leg.gather && this.press(digits));
  }

  /* ---- the script ---- */

  /** The model's live calls that are in the same room. */
  models() {
    return (this.leg.room?.members ?? []).map((leg) => leg.endpoint?.call)
      .filter((call) => call?.state === 'live');
  }

  script(call) {
    const room = call.leg.participant?.conference ?? call.leg.parent;
    if (!this.scripts.has(call) && (room === this.leg || room === this.leg.participant?.conference
        || this.models().includes(call)))
      this.scripts.set(call, new LineScript(this, call));
    return this.scripts.get(call);
  }

  /** Until check() holds; looked at whenever anything changes. */
  async until(what, check, ms = STEP_MS) {
    const limit = new Task();
    const late = limit.sleep(ms).then(() => {
      throw new Failure(`${what} did not come in ${ms} ms`);
    });
    try {
      await this.task.race(Promise.race([until(this.sim, ['change'], check, limit), late]));
    } finally {
      limit.cancel();
    }
  }

  /* A step that needs the model; when its leg ends meanwhile, once more with its next one. */
  async withModel(step) {
    const limit = Date.now() + (step.ms ?? STEP_MS);
    for (;;) {
      await this.until('a model', () => this.models().length > 0, Math.max(1, limit - Date.now()));
      const [call] = this.models();
      try {
        await this.task.race(this.script(call).step(step));
        return;
      } catch (error) {
        if (!(error instanceof Failure) || !call.over)
          throw error;
        await this.until('another model', () => this.models().some((c) => c !== call),
          Math.max(1, limit - Date.now()));
      }
    }
  }

  async step(step) {
    const me = () => this.leg.participant;
    const states = { held: () => me()?.hold === true, resumed: () => this.leg.hearers().length > 0,
      muted: () => me()?.muted === true, model: () => this.models().length > 0,
      alone: () => (this.leg.room?.members.length ?? 1) < 2,
      human: () => this.leg.hearers().some((leg) => leg.phone) };
    if ('caller' in step) {
      if (!step.anyway)
        await this.until('somebody to talk to', () => this.leg.hearers().length > 0, step.ms);
      await (step.anyway || !this.models().length ? this.say(step.caller, step) : this.withModel(step));
    } else if (Object.hasOwn(states, step.wait ?? '')) {
      await this.until(step.wait, states[step.wait], step.ms);
    } else if ('wait' in step) {
      await this.withModel(step);
    } else if ('hears' in step) {
      await this.hears(step);
    } else if ('until' in step) {
      await this.until('the condition', () => step.until(this), step.ms);
    } else if ('dtmf' in step) {
      this.press(step.dtmf);
    } else if ('silence' in step) {
      await this.task.sleep(step.silence);
    } else if ('do' in step) {
      await step.do(this);
    } else if (step.hangup) {
      this.hangup();
    } else if (step.waitEnd) {
      await this.until('the end of the call', () => this.leg.over, step.ms ?? 60000);
    } else {
      throw new Failure(`unknown step ${JSON.stringify(step)}`);
    }
  }

  async hears(step) {
    const fits = (entry) => (step.hears instanceof RegExp ? step.hears.test(entry.text)
      : entry.text.includes(step.hears));
    const find = () => this.heard.findIndex((entry, i) => i >= this.seen && fits(entry));
    await this.until(`"${step.hears}"`, () => find() >= 0, step.ms);
    this.seen = find() + 1;
  }

  async act() {
    const steps = this.how.script;
    for (const [at, step] of steps.entries()) {
      try {
        await this.step(step);
      } catch (error) {
        if (error instanceof Gone && step.waitEnd)
          return;
        const what = error instanceof Gone ? 'call over' : error instanceof Failure ? error.message
          : error.stack;
        this.person.scriptError = `${this.person.number} step ${at + 1} ${JSON.stringify(step)}: ${what}`;
        this.sim.scriptErrors.push(this.person.scriptError);
        this.hangup();
        return;
      }
    }
  }
}

/** Somebody with a number. `behaviours`: one for each call; the last one is for all that follow. */
export class Person extends EventEmitter {
  constructor(sim, number, behaviours) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { sim, number, behaviours });
    this.lines = [];
    this.heard = []; // {t, kind, text, done}: say play digits model voice hold wait beep
    this.said = []; // {t, text, heard}
    this.unheard = [];
    this.messages = []; // what a voicemail took
    this.pressed = '';
    this.lostDigits = '';
    this.scriptError = null;
    this.calls = 0;
  }

  /** The last or present line, or null. */
  get line() {
    return this.lines.at(-1) ?? null;
  }

  /** What was heard, of some kinds only when named. */
  texts(...kinds) {
    return this.heard.filter((h) => kinds.length === 0 || kinds.includes(h.kind)).map((h) => h.text);
  }

  get next() {
    return this.behaviours[Math.min(this.calls, this.behaviours.length - 1)];
  }

  connect(leg, how = this.next) {
    const line = new Line(this, leg, how);
    this.lines.push(line);
    this.calls += 1;
    return line;
  }

  /* ---- an endpoint of legs ---- */

  invite(leg) {
    return this.connect(leg).ring();
  }

  lineOf(leg) {
    return this.lines.find((line) => line.leg === leg);
  }

  released(leg) {
    this.lineOf(leg)?.released();
  }

  hear(leg, entry) {
    this.lineOf(leg)?.hear(entry);
  }

  nature(leg, mode) {
    return this.lineOf(leg).nature(mode);
  }

  say(text) {
    return this.line.say(text);
  }

  press(digits) {
    this.line.press(digits);
  }

  hangup() {
    this.line.hangup();
  }
}
