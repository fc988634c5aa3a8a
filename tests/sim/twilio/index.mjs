/* SPDX-License-Identifier: MIT */
/*
 * A simulator of Twilio's voice API on loopback: REST, TwiML, conferences, recordings, callbacks, people
 * who are called or call, and the model behind SIP, which is the simulator of OpenAI.
 *
 *   const openai = await startOpenAI({ webhookUrl: 'http://127.0.0.1:PORT/webhook' });
 *   const twilio = await createTwilio({ openai, publicUrl: 'https://voice.example.com',
 *     target: 'http://127.0.0.1:PORT', numbers: { '+15550001000': { voiceUrl:
 *     'https://voice.example.com/twilio/voice' } } });
 *   const bob = twilio.person('+15551230001', { answers: 3000, script: [{ wait: 'greeting' },
 *     { caller: 'Hello?' }, { wait: 'assistant' }, { hangup: true }] });   // see person.mjs
 *   const line = twilio.dialIn({ from: '+15551230002', to: '+15550001000', script: [...] });
 *   twilio.faults = { 'participants.create': { apply: true, reset: true } };   // see rest.mjs
 *   twilio.callbackFaults = [{ kind: 'status', event: 'in-progress', action: 'drop' }];  // callbacks.mjs
 *   await twilio.idle(); twilio.assertNoLegs(); twilio.assertRangOnce('+15551230001'); twilio.assertClean();
 *
 * Options, all optional:
 *   port (0 = any), tls ({cert, key}; off)
 *   accountSid, authToken, apiKey ({sid, secret}), signingToken (signs callbacks; authToken), otherTokens
 *                        (taken as well, as while one is rotated)
 *   account              what differs in the account's resource, like {status: 'suspended', type: 'Trial'}
 *   publicUrl, target    base URL that our side gives, and where it is on this machine; more or later
 *                        ones by twilio.route(publicUrl, target), also after a restart on another port
 *   callbackCa           CA of https targets
 *   callerIds            numbers that are verified and not the account's
 *   numbers              own numbers: a list, or {number: {voiceUrl, voiceMethod, voiceFallbackUrl,
 *                        statusCallback, voice (false: it cannot), trunkSid, applicationSid}}; default
 *                        '+15550001000', voiceUrl publicUrl + /twilio/voice
 *   openai               simulator of OpenAI that SIP legs reach; project: the user part that it takes
 *                        (any); modelOptions: options of its call(), like {brain, faults}
 *   people               {number: behaviour or [behaviours]}, as by person()
 *   speed (OpenAI's, else 20)  life's times (ringing, speech, TwiML's seconds) are divided by it;
 *                        REST, callbacks and their faults take wall time, and so do legs that ring at the model
 *   callsPerSecond (0 = no limit)  of wall time; dials above it are queued
 *   conferenceDtmf (false)  keys pressed in a conference reach the model
 *   validate (true)      requests and answers are checked by the schemas, where those are at hand
 *   recordingMs (20)     until a recording's file is there; recordingS: seconds of its audio (its length)
 *   callbackTimeoutMs (15000), orderMs (250): a callback waits that long for the one before it
 *   faults, callbackFaults
 *
 * Kept for assertions: requests, callbacks.log, rings ({number, t, sid}), violations, alerts (what the
 * carrier's debugger would show; no violations), scriptErrors, conferences, recordings, people, allLegs.
 * Events: request, callback, status (leg, event), conference (conference, event, participant), ring, over
 * (leg), model (SimCall, leg), spoken ({leg, text, heard}), change.
 */
import { EventEmitter } from 'node:events';
import { listen } from '../server.mjs';
import { Callbacks } from './callbacks.mjs';
import { Conference } from './conference.mjs';
import { twilioSchemas } from './check.mjs';
import { newSid, parseSip } from './ids.mjs';
import { Leg } from './leg.mjs';
import { ModelEndpoint, nowhere } from './model.mjs';
import { Person } from './person.mjs';
import { handleRest } from './rest.mjs';
import { runTwiml } from './run.mjs';
import { Task, until } from './task.mjs';

const OPENAI_HOSTS = ['sip.api.openai.com', 'sip-eu.api.openai.com'];
const MOST_VIOLATIONS = 1000;

class TwilioSim extends EventEmitter {
  constructor(opts) {
    super();
    this.setMaxListeners(0);
    const { accountSid = newSid('AC'), authToken = newSid('').slice(0, 32), apiKey = null } = opts;
    Object.assign(this, { accountSid, authToken, apiKey });
    this.signingToken = opts.signingToken ?? authToken;
    this.otherTokens = opts.otherTokens ?? [];
    this.account = opts.account ?? {};
    this.callerIds = opts.callerIds ?? [];
    this.openai = opts.openai ?? null;
    this.project = opts.project ?? null;
    this.modelOptions = opts.modelOptions ?? {};
    this.speed = opts.speed ?? this.openai?.speed ?? 20;
    this.callsPerSecond = opts.callsPerSecond ?? 0;
    this.conferenceDtmf = opts.conferenceDtmf ?? false;
    this.validate = opts.validate ?? true;
    this.recordingMs = opts.recordingMs ?? 20;
    this.recordingS = opts.recordingS ?? null;
    this.faults = opts.faults ?? {};
    this.callbackFaults = opts.callbackFaults ?? [];
    this.createdAt = Date.now();
    this.task = new Task();
    this.routes = new Map();
    this.numbers = new Map();
    this.people = new Map();
    this.allLegs = new Map();
    this.conferences = [];
    this.recordings = new Map();
    this.requests = [];
    this.rings = [];
    this.seen = []; // {number, where, t}
    this.violations = [];
    this.alerts = [];
    this.scriptErrors = [];
    this.slotAt = 0;
    this.callbacks = new Callbacks(this, { ca: opts.callbackCa, timeoutMs: opts.callbackTimeoutMs ?? 15000,
      orderMs: opts.orderMs ?? 250 });
    this.setUp(opts);
  }

  setUp(opts) {
    const numbers = opts.numbers ?? ['+15550001000'];
    const list = Array.isArray(numbers) ? numbers.map((n) => [n, {}]) : Object.entries(numbers);
    list.forEach(([number, fields]) => this.numbers.set(number, { number, sid: newSid('PN'),
      createdAt: this.createdAt, updatedAt: this.createdAt,
      voiceUrl: opts.publicUrl ? `${opts.publicUrl.replace(/\/$/, '')}/twilio/voice` : null, ...fields }));
    Object.entries(opts.people ?? {}).forEach(([number, how]) => this.person(number, ...[how].flat()));
    if (opts.publicUrl && opts.target)
      this.route(opts.publicUrl, opts.target);
    if (this.validate)
      twilioSchemas();
  }

  /** From now on callbacks to URLs below `publicUrl` go to `target`. */
  route(publicUrl, target) {
    this.routes.set(publicUrl.replace(/\/$/, ''), target.replace(/\/$/, ''));
  }

  /** Wall ms of so many ms of life. */
  life(ms) {
    return ms / this.speed;
  }

  violation(text, detail = undefined) {
    if (this.violations.length < MOST_VIOLATIONS)
      this.violations.push({ t: Date.now(), text, detail });
    this.emit('violation', text);
  }

  alert(code, text) {
    this.alerts.push({ t: Date.now(), code, text });
  }

  /* Waits for nothing; a failure of the simulator itself is a violation. */
  inBackground(promise) {
    this.task.run(() => promise, (error) => this.violation(`simulator failed: ${error.stack}`));
  }

  /** Takes the next fault of an operation that fits, or null. */
  takeFault(op, entry) {
    for (const rule of [this.faults[op] ?? [], this.faults['*'] ?? []].flat()) {
      rule.left ??= rule.times ?? 1;
      if (rule.left > 0 && (!rule.match || rule.match(entry))) {
        rule.left -= 1;
        return rule;
      }
    }
    return null;
  }

  /* ---- numbers that were seen ---- */

  saw(number, where) {
    this.seen.push({ number, where, t: Date.now() });
  }

  sawNumbers(where, text) {
    for (const [number] of text.matchAll(/\+\d{3,}/g))
      this.saw(number, where);
    for (const [, number] of text.matchAll(/<(?:Number|Dial)[^>]*>\s*([^<>\s][^<>]*)</g))
      this.saw(number.trim(), where);
  }

  sawRequest({ op, params }) {
    for (const [name, value] of Object.entries(params)) {
      const text = [value].flat().join(' ');
      if (name === 'Twiml')
        this.sawNumbers(`${op} Twiml`, text);
      else if (name === 'To' && !/^sips?:/.test(text))
        this.saw(text, `${op} To`);
      else
        (text.match(/\+\d{3,}/g) ?? []).forEach((number) => this.saw(number, `${op} ${name}`));
    }
  }

  /** All numbers that were ever sent in a request, in TwiML or in a refer, but for our own. */
  numbersSeen() {
    const refers = [...(this.openai?.calls.values() ?? [])].flatMap((call) => call.refers ?? []);
    const numbers = [...this.seen.map((s) => s.number), ...refers.map((uri) => uri.replace(/^tel:/, ''))];
    return [...new Set(numbers)].filter((number) => !this.numbers.has(number));
  }

  /* ---- legs ---- */

  addLeg(leg) {
    this.allLegs.set(leg.sid, leg);
  }

  /* Wall ms until the account may dial again; takes that slot. */
  nextSlotMs() {
    if (!this.callsPerSecond)
      return 0;
    const now = Date.now();
    this.slotAt = Math.max(now, this.slotAt + 1000 / this.callsPerSecond);
    return this.slotAt - now;
  }

  endpointOf(to) {
    const sip = parseSip(to);
    if (sip && OPENAI_HOSTS.includes(sip.host))
      return new ModelEndpoint(this, to);
    const known = this.people.get(to.replace(/\?.*$/, ''));
    if (known || sip)
      return known ?? nowhere;
    this.violation(`${to} was dialled, and nobody has that number`);
    return this.person(to, { answers: false });
  }

  /** Dials. With lateDial the caller of this does leg.dial() itself. */
  originate({ lateDial = false, whisper = null, ...opts }) {
    const leg = new Leg(this, { ...opts, endpoint: this.endpointOf(opts.to) });
    const ready = () => {
      leg.ready = true;
      leg.emit('ready');
    };
    if (opts.direction === 'outbound-dial')
      leg.onAnswer = async (task) => (whisper ? runTwiml(leg, task, whisper, ready) : ready());
    if (!lateDial)
      this.inBackground(leg.life.run(() => leg.dial(), (error) => this.violation(error.stack)));
    return leg;
  }

  rang(leg) {
    this.rings.push({ number: leg.to, t: Date.now(), sid: leg.sid });
    this.emit('ring', leg);
  }

  /* What a <Dial> tells its action. */
  dialResult(child, bridged) {
    const sip = child.phone ? {} : { DialSipCallId: child.sipCallId, DialSipResponseCode: child.sipCode
      ?? (bridged ? 200 : undefined) };
    return { DialCallStatus: bridged ? 'completed' : child.status, DialCallSid: child.sid,
      DialCallDuration: bridged ? String(child.durationS) : undefined, DialBridged: String(bridged),
      ...Object.fromEntries(Object.entries(sip).map(([k, v]) => [k, v?.toString()])) };
  }

  /** The live conference of that name, or null; with `make` a new one. */
  roomNamed(name, make) {
    const found = this.conferences.find((c) => c.friendlyName === name && !c.over);
    if (found || !make)
      return found ?? null;
    const conference = new Conference(this, name);
    this.conferences.push(conference);
    return conference;
  }

  /**
   * Somebody with a telephone: see person.mjs. Without behaviours: the person of that number.
   * @returns {Person}
   */
  person(number, ...behaviours) {
    if (behaviours.length > 0 || !this.people.has(number)) {
      const how = behaviours.length > 0 ? behaviours : [{}];
      const known = this.people.get(number);
      if (known)
        Object.assign(known, { behaviours: how, calls: 0 });
      else
        this.people.set(number, new Person(this, number, how));
    }
    return this.people.get(number);
  }

  /**
   * Somebody calls one of our numbers. Options: from, to (the first of our numbers), what a person does
   * (see person.mjs), ringHangupMs (gives up while it rings, ms of life), callerName, stirVerstat,
   * forwardedFrom.
   * @returns {Line}
   */
  dialIn({ from = '+15551234567', to = [...this.numbers.keys()][0], ...how } = {}) {
    const number = this.numbers.get(to);
    if (!number?.voiceUrl)
      throw new Error(`${to} is no number of ours with a voiceUrl`);
    const person = this.people.get(from) ?? this.person(from, {});
    const leg = new Leg(this, { to, from, direction: 'inbound', endpoint: person,
      callerName: how.callerName, stirVerstat: how.stirVerstat ?? 'TN-Validation-Passed-A',
      forwardedFrom: how.forwardedFrom, callback: number.statusCallback ? { url: number.statusCallback,
        method: number.statusCallbackMethod ?? 'POST', events: ['completed'] } : null });
    const line = person.connect(leg, how);
    leg.status = 'ringing';
    leg.ringingAt = Date.now();
    if (how.ringHangupMs !== undefined)
      leg.life.after(this.life(how.ringHangupMs), () => leg.up || line.hangup());
    leg.perform((task) => runTwiml(leg, task, { url: number.voiceUrl, method: number.voiceMethod,
      fallbackUrl: number.voiceFallbackUrl, fallbackMethod: number.voiceFallbackMethod }));
    return line;
  }

  /* ---- for tests ---- */

  /** Every leg that is not over. */
  legs() {
    return [...this.allLegs.values()].filter((leg) => !leg.over).map((leg) => ({ sid: leg.sid, to: leg.to,
      from: leg.from, status: leg.status, direction: leg.direction, label: leg.participant?.label ?? null,
      conference: leg.participant?.conference.friendlyName ?? null }));
  }

  /** Resolves when no leg is left and all callbacks were sent. */
  async idle(timeoutMs = 10000) {
    const limit = new Task();
    try {
      await Promise.race([until(this, ['change'], () => this.legs().length === 0, limit),
        limit.sleep(timeoutMs).then(() => this.assertNoLegs())]);
    } finally {
      limit.cancel();
    }
    await this.callbacks.settled();
  }

  assertNoLegs() {
    const legs = this.legs();
    if (legs.length > 0)
      throw new Error(`${legs.length} leg(s) still up: ${JSON.stringify(legs)}`);
  }

  /** How often a number rang. */
  ringsOf(number) {
    return this.rings.filter((ring) => ring.number === number).length;
  }

  assertRangOnce(number) {
    if (this.ringsOf(number) !== 1)
      throw new Error(`${number} rang ${this.ringsOf(number)} times`);
  }

  /** Fails with all violations, if there are any. */
  assertClean() {
    if (this.violations.length > 0)
      throw new Error(`${this.violations.length} violation(s):\n${
        this.violations.slice(0, 20).map((v) => `  ${v.text}`).join('\n')}`);
  }

  /** Takes no connections until listenAgain(); those that are open are cut. */
  async refuseConnections() {
    await this.server.close();
  }

  async listenAgain() {
    this.server = await listen({ port: this.port, tls: this.tls, onRequest: this.onRequest });
  }

  /** Ends everything. */
  async close() {
    this.task.cancel();
    this.callbacks.close();
    for (const leg of this.allLegs.values()) {
      leg.callback = null;
      leg.end('completed');
    }
    if (this.server.server.listening)
      await this.server.close();
  }
}

/**
 * Starts the simulator on 127.0.0.1; see above for the options.
 * @returns {Promise<TwilioSim>} with url (the API's base URL, as of https://api.twilio.com)
 */
export async function createTwilio(opts = {}) {
  const sim = new TwilioSim(opts);
  sim.tls = opts.tls ?? false;
  sim.onRequest = (req, res) => {
    handleRest(sim, req, res).catch((error) => {
      sim.violation(`simulator failed: ${error.stack}`);
      res.destroy();
    });
  };
  sim.server = await listen({ port: opts.port ?? 0, tls: sim.tls, onRequest: sim.onRequest });
  sim.port = sim.server.port;
  sim.origin = sim.server.origin;
  sim.url = sim.origin;
  return sim;
}
