/* SPDX-License-Identifier: MIT */
/*
 * One simulated telephone call as the service holds it: pending until accepted, live until somebody
 * ends it, whether or not anybody is attached. What happens is told to all attached sidebands; what
 * happens while there is none is lost to them, as with the service.
 */
import { EventEmitter } from 'node:events';
import { performance } from 'node:perf_hooks';
import { newId, newCallId } from './ids.mjs';
import { Conversation } from './conversation.mjs';
import { Playback, SPEECH_RATE } from './playback.mjs';
import { Response } from './response.mjs';
import { Caller } from './caller.mjs';
import { Wire } from './wire.mjs';
import { merge } from './client.mjs';

const sessionDefaults = {
  type: 'realtime', object: 'realtime.session', output_modalities: ['audio'], instructions: '',
  tools: [], tool_choice: 'auto', max_output_tokens: 'inf', tracing: null, prompt: null,
  audio: {
    input: { format: { type: 'audio/pcmu' }, transcription: null, noise_reduction: null,
      turn_detection: { type: 'server_vad', threshold: 0.5, prefix_padding_ms: 300,
        silence_duration_ms: 500, idle_timeout_ms: null, create_response: true,
        interrupt_response: true } },
    output: { format: { type: 'audio/pcmu' }, voice: 'alloy', speed: 1 },
  },
  include: null,
};

function sessionOf(accepted, id, expiresAt) {
  const session = merge(sessionDefaults, accepted);
  // A detector replaces the default one as a whole: the kinds have different fields.
  const wanted = accepted.audio?.input?.turn_detection;
  if (wanted) {
    session.audio.input.turn_detection = wanted.type === 'server_vad'
      ? { ...sessionDefaults.audio.input.turn_detection, ...wanted }
      : { eagerness: 'auto', create_response: true, interrupt_response: true, ...wanted };
  }
  return { ...session, id, expires_at: expiresAt };
}

export class SimCall extends EventEmitter {
  /** Made by the simulator's call(); see openai.mjs for the options. */
  constructor(sim, opts) {
    super();
    this.setMaxListeners(0);
    this.sim = sim;
    this.opts = opts;
    this.callId = opts.callId ?? newCallId();
    this.liveId = newId('live', 16);
    this.sipCallId = opts.sipCallId ?? `${newId('sip')}@192.0.2.10`;
    this.from = opts.from === undefined ? '+15551234567' : opts.from;
    this.faults = opts.faults ?? {};
    this.brain = opts.brain ?? sim.brain;
    this.speed = opts.speed ?? sim.speed;
    this.checked = opts.validate ?? sim.sampled();
    this.state = 'pending';
    this.session = null;
    this.conversationId = newId('conv');
    this.conversation = new Conversation();
    this.response = null; // the one that writes to the conversation
    this.hasSpoken = false;
    this.freshOutputs = [];
    this.freshItems = [];
    this.toolCalls = new Map(); // call_id -> {name, arguments, response, outputs, at}
    this.attachments = 0;
    this.requests = []; // REST requests for this call
    this.deliveries = []; // webhook deliveries
    this.turns = []; // what was really said: {item_id, who, text, heard, interrupted}
    this.activeResponseErrors = 0;
    this.scriptError = null;
    this.refers = [];
    this.timers = new Map();
    this.createdAt = Date.now();
    this.acceptedAt = null;
    this.startedAt = performance.now();
    this.wire = new Wire(this);
    this.caller = new Caller(this);
    this.on('quiet?', () => this.caller.quiet());
    this.playback = new Playback({
      after: (ms, fn) => this.after(ms, fn),
      started: (segment) => this.playbackStarted(segment),
      stopped: (segment) => this.playbackStopped(segment),
    }, this.speed);
    this.done = new Promise((resolve) => { this.resolveDone = resolve; });
    this.after(opts.ringMs ?? sim.timing.ringMs, () => {
      if (this.state === 'pending')
        this.end('unanswered', 'service');
    });
  }

  /** What the client sent: {t, type, event, sideband}. */
  get events() {
    return this.wire.received;
  }

  /** What the service told, also to nobody: {t, type, event, sent}. */
  get serverEvents() {
    return this.wire.sent;
  }

  get sidebands() {
    return this.wire.sidebands;
  }

  get over() {
    return this.state === 'over';
  }

  /** Seconds of the call's own clock: audio ms since it was accepted. */
  clockMs() {
    return Math.max(0, Math.round((performance.now() - this.startedAt) * this.speed));
  }

  /** Runs fn in `ms` of wall time unless the call is over by then. Returns a function to cancel. */
  after(ms, fn) {
    const key = {};
    const timer = setTimeout(() => {
      this.timers.delete(key);
      fn();
    }, ms);
    this.timers.set(key, { timer, wake: null });
    return () => {
      clearTimeout(timer);
      this.timers.delete(key);
    };
  }

  /** Resolves after `ms` of wall time, or when the call is over. */
  sleep(ms) {
    if (this.over)
      return Promise.resolve();
    return new Promise((resolve) => {
      const key = {};
      const timer = setTimeout(() => {
        this.timers.delete(key);
        resolve();
      }, ms);
      this.timers.set(key, { timer, wake: resolve });
    });
  }

  /** As sleep(), in the call's own (quickened) time. */
  sleepAudio(ms) {
    return this.sleep(ms / this.speed);
  }

  /* ---- what the service's REST side does ---- */

  /** The call was accepted with this session. */
  accept(session) {
    const lifeMs = this.opts.sessionMs ?? this.sim.timing.sessionMs;
    this.state = 'live';
    this.acceptedAt = Date.now();
    this.startedAt = performance.now();
    this.session = sessionOf(session, newId('sess'), Math.floor((Date.now() + lifeMs) / 1000));
    this.after(lifeMs, () => this.end('session_expired', 'service'));
    this.armIdle();
    this.emit('accepted', this);
  }

  /** Ends the call, once. Sidebands are closed at once. */
  end(reason, by, extra = {}) {
    if (this.over)
      return;
    const wasLive = this.state === 'live';
    this.state = 'over';
    this.endedAt = Date.now();
    for (const { timer, wake } of this.timers.values()) {
      clearTimeout(timer);
      wake?.();
    }
    this.timers.clear();
    this.markHeard(this.playback.clear().flatMap((segment) => this.heardOf(segment)));
    for (const sideband of this.sidebands)
      sideband.close(1000, '');
    this.result = { reason, by, ...extra, answered: wasLive,
      durationMs: this.acceptedAt ? this.endedAt - this.acceptedAt : 0, turns: this.turns,
      scriptError: this.scriptError };
    this.emit('over', this.result);
    this.resolveDone(this.result);
  }

  /** The caller hangs up (also while it rings). */
  hangup() {
    this.end(this.state === 'pending' ? 'abandoned' : 'caller_hangup', 'caller');
  }

  /* A call that nobody attends goes on for a while. */
  armIdle() {
    this.cancelIdle?.();
    this.cancelIdle = null;
    if (this.sidebands.size === 0 && this.state === 'live')
      this.cancelIdle = this.after(this.opts.idleMs ?? this.sim.timing.idleMs,
        () => this.end('idle', 'service'));
  }

  /* ---- sidebands ---- */

  attach(sideband) {
    this.sidebands.add(sideband);
    this.attachments += 1;
    this.armIdle();
    this.emit('attached', sideband);
    const wanted = this.faults.sideband?.sessionCreated;
    if (wanted === false)
      return;
    const greet = () => {
      if (!this.sidebands.has(sideband))
        return;
      this.emitServer('session.created', { session: structuredClone(this.session) }, sideband);
      if (this.attachments === 1) {
        this.emitServer('conversation.created', {
          conversation: { id: this.conversationId, object: 'realtime.conversation' } }, sideband);
      }
    };
    if (typeof wanted === 'number')
      this.after(wanted, greet);
    else
      greet();
  }

  detach(sideband) {
    if (this.sidebands.delete(sideband)) {
      this.armIdle();
      this.emit('detached', sideband);
    }
  }

  /** Cuts all sidebands: {code} closes with a code, {reset: true} resets the TCP connection. */
  dropSideband({ code = 1011, reset = false } = {}) {
    for (const sideband of [...this.sidebands])
      sideband.drop(reset ? 'reset' : code);
  }

  /** From now on the peers are 'silent', 'halfopen' or 'halfclosed'; see sideband.mjs. */
  muteSideband(how = 'silent') {
    for (const sideband of this.sidebands)
      sideband.mute(how);
  }

  /** Sends raw bytes as one message on all sidebands, unchecked. */
  sendRaw(data, { binary = false } = {}) {
    for (const sideband of this.sidebands)
      sideband.sendRaw(data, { binary });
  }

  /** Emits an event of the service, to all sidebands or only to one. */
  emitServer(type, fields, only = null) {
    if (!this.over)
      this.wire.emit(type, fields, only);
  }

  /** Emits any event, also one the service has not: checked only when `check`. */
  inject(event, { check = false } = {}) {
    this.wire.deliver({ event_id: newId('event'), ...event }, null, check);
  }

  itemCreated(item) {
    if (item.type === 'function_call_output') {
      const tool = this.toolCalls.get(item.call_id);
      tool.outputs.push(item.output);
      if (tool.outputs.length > 1)
        this.sim.violation(this, `second output for tool call ${item.call_id}`, item);
      this.freshOutputs.push(item);
      this.emit('output', tool);
    } else if (item.type === 'message') {
      this.freshItems.push(item);
    }
  }

  /* ---- the model ---- */

  /** A response runs or is about to. */
  get responseExpected() {
    return this.response !== null || this.caller.autoPending;
  }

  /** Nobody speaks and nothing is under way. */
  get idle() {
    return !this.responseExpected && !this.caller.autoQueued && !this.playback.playing;
  }

  context(response) {
    const first = this.caller.turns === 0 && this.turns.every((t) => t.who !== 'assistant');
    const outputs = this.freshOutputs;
    const fresh = this.freshItems;
    if (response.trigger !== 'speech' && response.inBand) {
      this.freshOutputs = [];
      this.freshItems = [];
    }
    const tools = response.params.tools ?? this.session.tools ?? [];
    return { call: this, session: this.session, trigger: response.trigger,
      tools: tools.filter((t) => t.type === 'function').map((t) => t.name),
      callerText: this.caller.text, instructions: response.params.instructions ?? null,
      outputs, fresh, first, params: response.params };
  }

  /** Starts a response. In the default conversation only when none is expected. */
  respond(why) {
    const response = new Response(this, why);
    if (response.inBand)
      this.response = response;
    response.run();
    return response;
  }

  responseOver(response) {
    for (const tool of this.toolCalls.values()) {
      if (tool.response === response)
        tool.status = response.status;
    }
    if (this.response === response)
      this.response = null;
    this.emit('response', response);
    this.caller.responseOver();
    this.emit('quiet?');
  }

  toolCalled(response, item) {
    this.toolCalls.set(item.call_id, { name: item.name, arguments: item.arguments, response,
      call_id: item.call_id, status: 'in_progress', outputs: [], at: Date.now() });
    this.emit('tool', this.toolCalls.get(item.call_id));
  }

  said(item, text, complete) {
    this.hasSpoken ||= text !== '';
    this.turns.push({ item_id: item.id, who: 'assistant', text, heard: text,
      interrupted: !complete });
  }

  /* ---- playback ---- */

  playbackStarted(segment) {
    this.emitServer('output_audio_buffer.started', { response_id: segment.responseId });
    this.emit('playing', segment);
  }

  playbackStopped(segment) {
    this.emitServer('output_audio_buffer.stopped', { response_id: segment.responseId });
    this.emit('played', segment);
    this.emit('quiet?');
  }

  /* What of each item was heard of a segment that is cut. */
  heardOf(segment) {
    return segment.items.filter((i) => segment.heardMs < i.offsetMs + i.madeMs)
      .map((i) => ({ id: i.id, ms: Math.max(0, segment.heardMs - i.offsetMs) }));
  }

  markHeard(heard) {
    for (const { id, ms } of heard) {
      const turn = this.turns.find((t) => t.item_id === id);
      if (turn) {
        turn.heard = turn.text.slice(0, Math.round((ms / 1000) * SPEECH_RATE));
        turn.interrupted = true;
      }
    }
  }

  /** Throws away what was not heard yet. With a reason the active response is cancelled, too. */
  cutPlayback(cancelReason = null) {
    const late = this.faults.truncatedLate ?? this.sim.faults.truncatedLate;
    const cut = this.playback.clear();
    const heard = cut.flatMap((segment) => this.heardOf(segment));
    if (this.response?.segment)
      this.response.segment.cut = true;
    for (const segment of cut.filter((s) => s.startedAt !== null)) {
      if (segment.complete && segment.heardMs >= segment.madeMs)
        this.playbackStopped(segment); // heard to the end, its timer is merely late
      else
        this.emitServer('output_audio_buffer.cleared', { response_id: segment.responseId });
    }
    const truncate = () => heard.forEach(({ id, ms }) => this.emitServer(
      'conversation.item.truncated', { item_id: id, content_index: 0, audio_end_ms: ms }));
    if (!late)
      truncate();
    if (cancelReason)
      this.response?.cancel(cancelReason);
    if (late)
      truncate();
    this.markHeard(heard);
    this.emit('quiet?');
  }

  /* ---- the caller ---- */

  /**
   * The caller says something. Resolves with the item's id when it was committed. Options:
   * transcript (what the recogniser understands), transcriptMs, transcriptFails, plan (what the model
   * does with it, instead of the brain).
   */
  say(text, opts = {}) {
    return this.caller.say(text, opts);
  }

  /** The caller presses a key. */
  dtmf(key) {
    this.emitServer('input_audio_buffer.dtmf_event_received', { event: key,
      received_at: Math.floor(Date.now() / 1000) });
  }

  /* ---- for tests ---- */

  /**
   * Resolves with the first recorded event that matches, also one of the past.
   * @param {string|function} what type, or a predicate on the event
   * @param {object} [opts] from: 'client' | 'server', timeoutMs, since (index into the log)
   */
  waitEvent(what, { from = 'server', timeoutMs = 10000, since = 0 } = {}) {
    const log = from === 'server' ? this.serverEvents : this.events;
    const match = typeof what === 'function' ? what : (event) => event?.type === what;
    const found = log.slice(since).find((entry) => match(entry.event));
    if (found)
      return Promise.resolve(found.event);
    return new Promise((resolve, reject) => {
      const settle = (fn, value) => {
        clearTimeout(timer);
        this.off(from, onEvent);
        this.off('over', onOver);
        fn(value);
      };
      const name = typeof what === 'string' ? what : 'the event';
      const onEvent = (event) => match(event) && settle(resolve, event);
      const onOver = (r) => settle(reject, new Error(`call over (${r.reason}) before ${name}`));
      const timer = setTimeout(() => settle(reject,
        new Error(`${name} from ${from} did not come in ${timeoutMs} ms`)), timeoutMs);
      this.on(from, onEvent);
      this.on('over', onOver);
      if (this.over)
        onOver(this.result);
    });
  }
}
