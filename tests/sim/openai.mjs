/* SPDX-License-Identifier: MIT */
/*
 * A simulator of the speech service on loopback: REST, sidebands, webhooks, and the calls between
 * them. See call.mjs for what a call does, script.mjs for callers, brain.mjs for the model, faults.mjs
 * for all that can go wrong.
 */
import { EventEmitter } from 'node:events';
import { randomBytes } from 'node:crypto';
import { listen } from './server.mjs';
import { handleRest } from './rest.mjs';
import { sidebandServer } from './sideband.mjs';
import { SimCall } from './call.mjs';
import { Script } from './script.mjs';
import { WebhookSender, announceCall } from './webhook.mjs';
import { openaiSchemas } from './schema.mjs';
import { newId } from './ids.mjs';

/*
 * Times in ms. The first group is the service's own pace and is divided by the call's speed; the
 * second is wall time.
 */
const defaultTiming = {
  vadMs: 500, thinkMs: 150, firstTokenMs: 250, toolMs: 120, transcriptMs: 400,
  generationRatio: 5, // how much faster than speech audio is made

  ringMs: 30000, idleMs: 120000, sessionMs: 3600000, notFoundMs: 50,
};

const defaultModels = [
  { id: 'gpt-realtime-2.1' }, { id: 'gpt-realtime-2.1-mini' }, { id: 'gpt-realtime-2' },
  { id: 'gpt-realtime-1.5' }, { id: 'gpt-realtime', shutdown_date: '2027-01-20' },
  { id: 'gpt-realtime-mini', shutdown_date: '2027-01-20' },
  { id: 'gpt-4o-transcribe', shutdown_date: '2027-02-26' }, { id: 'gpt-transcribe' },
  { id: 'gpt-realtime-whisper' },
];

class OpenAISim extends EventEmitter {
  constructor(opts) {
    super();
    this.setMaxListeners(0);
    this.apiKey = opts.apiKey ?? `sk-sim-${newId('key')}`;
    this.webhookSecret = opts.webhookSecret ?? `whsec_${randomBytes(24).toString('base64')}`;
    this.webhookUrl = opts.webhookUrl ?? null;
    this.validate = opts.validate ?? true;
    this.speed = opts.speed ?? 20;
    this.brain = opts.brain ?? null;
    this.faults = opts.faults ?? {};
    this.models = opts.models ?? defaultModels;
    this.voices = ['alloy', 'ash', 'ballad', 'coral', 'echo', 'sage', 'shimmer', 'verse', 'marin', 'cedar'];
    this.project = opts.project ?? null;
    this.clockMs = opts.clockMs ?? 0;
    this.timing = { ...defaultTiming, ...opts.timing };
    this.onEvent = opts.onEvent ?? null;
    this.calls = new Map();
    this.requests = [];
    this.violations = [];
    this.sidebands = 0;
    this.made = 0;
    this.webhooks = new WebhookSender({ secret: this.webhookSecret, ca: opts.webhookCa,
      retryMs: opts.retryMs ?? [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000],
      timeoutMs: opts.webhookTimeoutMs ?? 5000 });
    if (this.validate)
      openaiSchemas(); // says once when there are none
  }

  /** Whether the next call's traffic is checked: all, none, or a fraction of the calls. */
  sampled() {
    if (typeof this.validate === 'boolean')
      return this.validate;
    this.made += 1;
    return Math.floor(this.made * this.validate) > Math.floor((this.made - 1) * this.validate);
  }

  /** Takes note of something that should not have passed. */
  violation(call, text, event = undefined) {
    const entry = { t: Date.now(), callId: call?.callId ?? null, text, event };
    if (this.violations.length < 1000)
      this.violations.push(entry);
    this.emit('violation', entry);
  }

  /**
   * Somebody calls. Options, all optional: from ('+15551234567'; null: withheld), displayName,
   * rawFrom (the whole From header), to, extraHeaders, sipCallId, callId, script (see script.mjs),
   * brain, faults, speed, webhookUrl, announce (false: no webhook), ringMs, idleMs, sessionMs,
   * ringHangup ({afterMs}: the caller gives up while it rings; with ghost the service does not
   * notice), referOutcome ('handed_over' | 'nothing'), validate.
   * @returns {SimCall}
   */
  call(opts = {}) {
    const call = new SimCall(this, opts);
    this.calls.set(call.callId, call);
    if (opts.script) {
      const script = new Script(call, opts.script);
      call.once('accepted', () => setImmediate(() => { call.scriptDone = script.run(); }));
    }
    if (opts.ringHangup) {
      call.after(opts.ringHangup.afterMs, () => {
        if (call.state === 'pending' && !opts.ringHangup.ghost)
          call.hangup();
      });
    }
    if (opts.announce !== false)
      call.announced = announceCall(this, call);
    this.emit('call', call);
    return call;
  }

  /** Fails with all violations, if there are any. */
  assertClean() {
    if (this.violations.length === 0)
      return;
    const lines = this.violations.slice(0, 20).map((v) => `  ${v.callId ?? '-'}: ${v.text}`);
    throw new Error(`${this.violations.length} violation(s):\n${lines.join('\n')}`);
  }

  /** Ends everything. */
  async close() {
    this.webhooks.close();
    for (const call of this.calls.values())
      call.end('simulator_closed', 'service');
    await this.server.close();
  }
}

/**
 * Starts the simulator on 127.0.0.1.
 * @param {object} [opts] port (0 = any), tls (false or {cert, key}), apiKey, webhookSecret (one or a
 *   list), webhookUrl (default of calls), webhookCa, validate (true, false or a fraction of the calls),
 *   speed (20: how much faster than life people talk), brain, faults, timing, models, retryMs, onEvent,
 *   project (whose key it is; any), clockMs (how far the Date header is ahead)
 * @returns {Promise<OpenAISim>} with url (the base URL, ends in /v1), calls, requests, violations
 */
export async function startOpenAI(opts = {}) {
  const sim = new OpenAISim(opts);
  const upgrade = sidebandServer(sim);
  sim.server = await listen({ port: opts.port ?? 0, tls: opts.tls ?? false,
    onRequest: (req, res) => {
      handleRest(sim, req, res).catch((error) => {
        sim.violation(null, `simulator failed: ${error.stack}`);
        res.destroy();
      });
    },
    onUpgrade: (req, socket, head) => {
      upgrade(req, socket, head).catch((error) => {
        sim.violation(null, `simulator failed: ${error.stack}`);
        socket.destroy();
      });
    } });
  sim.port = sim.server.port;
  sim.origin = sim.server.origin;
  sim.url = `${sim.origin}/v1`;
  return sim;
}
