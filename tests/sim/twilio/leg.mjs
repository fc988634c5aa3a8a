/* SPDX-License-Identifier: MIT */
/*
 * One leg: a call as the API shows it. An endpoint (a person, or the model behind SIP) is invited and
 * tells ringing(), answered() or refused(); `onAnswer` says what the leg does then. What it does at the
 * moment is one task, which a redirect replaces.
 */
import { EventEmitter } from 'node:events';
import { newSid, rfc2822 } from './ids.mjs';
import { Task, until } from './task.mjs';

const terminal = new Set(['completed', 'busy', 'failed', 'no-answer', 'canceled']);
const RING_BUFFER_MS = 5000;

/** The status of a call that a SIP answer ended. */
export function statusOfSip(code) {
  if (code === 486 || code === 600 || code === 603)
    return 'busy';
  if (code === 480 || code === 408)
    return 'no-answer';
  return code === 487 ? 'canceled' : 'failed';
}

const sipOfStatus = { completed: 200, busy: 486, 'no-answer': 480, canceled: 487, failed: 503 };

export class Leg extends EventEmitter {
  /**
   * @param {object} sim
   * @param {object} opts to, from, direction, parent (leg), endpoint, callback ({url, method, events}),
   *   timeoutS, timeLimitS, amd, onAnswer(task)
   */
  constructor(sim, opts) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { sim, parent: null, callback: null, amd: null, timeoutS: 60, timeLimitS: null,
      onAnswer: null, ringBufferMs: RING_BUFFER_MS, ...opts });
    this.sid = newSid('CA');
    this.status = 'queued';
    this.createdAt = Date.now();
    this.updatedAt = this.createdAt;
    this.ringingAt = null;
    this.answeredAt = null;
    this.endedAt = null;
    this.queuedMs = 0;
    this.sequence = 0;
    this.answeredBy = null;
    this.sipCode = null;
    this.sipCallId = null;
    this.participant = null; // in a conference, listed or joined
    this.room = null; // a Conference or a Bridge, once its audio passes
    this.gather = null; // takes a digit while one is waited for
    this.recordings = [];
    this.life = new Task(); // until the leg is over
    this.task = new Task(); // what it does now
    sim.addLeg(this);
    ['left', 'joined', 'heard', 'over', 'status'].forEach((name) =>
      this.on(name, () => sim.emit('change')));
  }

  get over() {
    return terminal.has(this.status);
  }

  get up() {
    return this.status === 'in-progress';
  }

  get phone() {
    return !/^sips?:|^client:/.test(this.to);
  }

  get durationS() {
    return this.answeredAt === null ? 0
      : Math.ceil(((this.endedAt ?? Date.now()) - this.answeredAt) * this.sim.speed / 1000);
  }

  /** What every request about this call carries. */
  params() {
    const inbound = this.direction === 'inbound';
    return { CallSid: this.sid, AccountSid: this.sim.accountSid, ApiVersion: '2010-04-01',
      From: this.from, To: this.to, Caller: this.from, Called: this.to, CallStatus: this.status,
      Direction: this.direction, ParentCallSid: this.parent?.sid, FromCity: '', FromCountry: 'US',
      ToCity: '', ToCountry: 'US', CallerName: inbound ? this.callerName : undefined,
      StirVerstat: inbound ? this.stirVerstat : undefined,
      CallToken: inbound ? `token-${this.sid}` : undefined, ForwardedFrom: this.forwardedFrom };
  }

  tell(event, extra = {}) {
    this.updatedAt = Date.now();
    this.emit('status', this.status);
    this.sim.emit('status', this, event);
    const { callback } = this;
    if (!callback?.url || !callback.events.includes(event))
      return;
    this.sim.callbacks.send('status', callback.url, callback.method, { ...this.params(),
      CallStatus: event === 'initiated' ? 'initiated' : this.status, ...extra,
      Timestamp: rfc2822(Date.now()), CallbackSource: 'call-progress-events',
      SequenceNumber: String(this.sequence++) }, this.sid);
  }

  /** Dials, once the account's calls per second allow it. */
  async dial() {
    const waitMs = this.direction === 'outbound-api' ? this.sim.nextSlotMs() : 0;
    await this.life.sleep(waitMs);
    this.queuedMs = waitMs;
    this.tell('initiated');
    const ringMs = this.timeoutS * 1000 + this.ringBufferMs;
    this.life.after(this.phone ? this.sim.life(ringMs) : ringMs, () => {
      if (!this.up)
        this.end('no-answer');
    });
    await this.life.run(() => this.endpoint.invite(this), (error) => {
      this.sim.violation(`simulator failed: ${error.stack}`);
      this.end('failed');
    });
  }

  ringing() {
    if (this.status !== 'queued')
      return;
    this.status = 'ringing';
    this.ringingAt = Date.now();
    this.tell('ringing');
  }

  answered() {
    if (this.over || this.up)
      return;
    this.status = 'in-progress';
    this.answeredAt = Date.now();
    this.tell('answered');
    if (this.timeLimitS)
      this.life.after(this.sim.life(this.timeLimitS * 1000), () => this.end('completed'));
    this.detectMachine();
    this.emit('answered');
    if (this.onAnswer)
      this.start(this.onAnswer);
  }

  refused(sipCode) {
    this.end(statusOfSip(sipCode), { sipCode });
  }

  /** Does something else from now on: async fn(task). Leaves the conference in which it is. */
  perform(fn) {
    this.task.cancel(); // before it learns that it left
    this.leaveRoom('participant_updated_via_api');
    this.start(fn);
  }

  start(fn) {
    this.task.cancel();
    this.task = new Task();
    const { task } = this;
    task.run(fn, (error) => {
      this.sim.violation(`simulator failed: ${error.stack}`);
      this.end('failed');
    });
  }

  leaveRoom(reason) {
    this.participant?.conference.leave(this.participant, reason);
    this.participant = null;
    this.room = null;
    this.gather = null;
    this.emit('left');
  }

  /** Ends the leg, once. */
  end(status, { sipCode = sipOfStatus[status], reason = null } = {}) {
    if (this.over)
      return;
    const wasUp = this.up;
    this.status = status;
    this.endedAt = Date.now();
    this.sipCode = sipCode;
    this.recordings.forEach((recording) => recording.stop());
    this.task.cancel();
    this.leaveRoom(reason ?? (wasUp ? 'participant_hung_up' : 'participant_add_failed'));
    this.life.cancel();
    const [recording] = this.recordings;
    this.tell('completed', { CallDuration: String(this.durationS),
      Duration: String(Math.ceil(this.durationS / 60)), SipResponseCode: String(sipCode),
      RecordingSid: recording?.sid, RecordingUrl: recording?.url });
    this.endpoint?.released(this);
    this.emit('over');
    this.sim.emit('over', this);
  }

  /** Resolves when the leg is over. */
  done() {
    return until(this, ['over'], () => this.over);
  }

  /* ---- audio, in the abstract ---- */

  /** The legs that hear this one. */
  hearers() {
    return this.room?.hearers(this) ?? [];
  }

  /** This leg hears something: {kind, text, …}. Returns the entry, to be marked as done. */
  hear(entry) {
    const full = { t: Date.now(), sid: this.sid, done: false, ...entry };
    full.spoken = this.endpoint?.hear?.(this, full);
    this.emit('heard', full);
    return full;
  }

  /** A key is pressed on this leg. */
  press(digit) {
    if (this.gather)
      return this.gather(digit);
    return this.room?.digit(this, digit) ?? false;
  }

  /* ---- machine detection ---- */

  detectMachine() {
    if (!this.amd)
      return;
    const found = this.endpoint.nature?.(this, this.amd.mode) ?? { answeredBy: 'unknown', afterMs: 4000 };
    this.life.after(this.sim.life(found.afterMs), () => {
      this.answeredBy = found.answeredBy;
      this.emit('detected');
      if (!this.amd.url)
        return;
      this.sim.callbacks.send('amd', this.amd.url, this.amd.method, { CallSid: this.sid,
        AccountSid: this.sim.accountSid, AnsweredBy: found.answeredBy,
        MachineDetectionDuration: String(Math.round(found.afterMs)) }, this.sid);
    });
  }
}
