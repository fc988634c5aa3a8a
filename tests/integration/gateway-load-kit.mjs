/* SPDX-License-Identifier: MIT */
// What the gateway-* tests under load share: a gateway whose callers are many, with its simulators.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { gatewaySkip, startGateway } from '../lib/gateway.mjs';
import { mergeConfig } from '../lib/host.mjs';
import { waitFor } from '../lib/util.mjs';
import { startModel, startOpenAI, startTelegram } from '../sim/index.mjs';
import { requestsOf } from './native-kit.mjs';

export const number = (n) => `+155500020${String(n).padStart(2, '0')}`;
/** A caller who is on the blacklist. */
export const REFUSED = number(98);
const KNOWN = Array.from({ length: 30 }, (_, n) => number(n));

/** Why load says nothing here, or false. */
export const skip = gatewaySkip || (process.env.OCV_PRELOAD && 'load beside a sanitizer says nothing');

class Rig {
  /** `call`: of the plugin's configuration. `config`: of the gateway's. */
  async start({ call = {}, config = {} }) {
    [this.openai, this.model, this.telegram] = await Promise.all([startOpenAI({ validate: 0.1, timing: { ringMs: 60000 },
      retryMs: Array(60).fill(300) }), startModel({}), startTelegram({})]);
    const { openai, model, telegram } = this;
    this.gateway = await startGateway({ openai, model, telegram, voice: { dmPolicy: 'open', allowFrom: ['*'] }, config,
      yaml: { channels: { voice: { call: mergeConfig({ max_concurrent: 1000 }, call), integration: { sync_memory: false } } },
        agent: { main_session: { memory: { include_voice_calls: false } } },
        security: { voice: { whitelist: KNOWN, blacklist: [REFUSED], tools: { known: 'full' } } } } });
  }

  async close() {
    const how = await this.gateway?.stop({ timeoutMs: 150000 }); // it waits for runs of its agent: summaries
    await Promise.all([this.openai, this.model, this.telegram].map((sim) => sim?.close()));
    this.openai?.assertClean();
    assert.equal(how?.code, 0, `the gateway ended with ${JSON.stringify(how)}`);
  }

  call(opts = {}) {
    return this.openai.call({ from: number(99), webhookUrl: this.gateway.webhookUrl, ...opts });
  }

  /** A call that has been greeted and is quiet. */
  async greeted(opts) {
    const made = this.call(opts);
    await waitFor(() => made.turns.length > 0 && made.idle, { timeoutMs: 40000, what: 'the greeting' }).catch(async (error) => {
      throw new Error(`${error.message}; webhooks ${JSON.stringify(made.deliveries.map((d) => [d.status, d.error]))}\n${await this.whyOf(made)}`);
    });
    return made;
  }

  async over(made) {
    await made.done;
    return waitFor(async () => {
      const { json } = await this.gateway.api(`/calls/${made.callId}`);
      return json?.state === 'over' && json;
    }, { timeoutMs: 20000, what: `the end of ${made.callId}` });
  }

  /** What happened to a call, for people. */
  async whyOf(made) {
    const { json } = await this.gateway.api(`/calls/${made.callId}/why`);
    return [...(json?.hops ?? []).map((hop) => `${hop.after_ms} ms ${hop.hop} ${hop.detail ?? ''}`), this.gateway.output(30)].join('\n');
  }

  /** Calls at a steady rate until the returned function is called, which returns them. */
  steady(t, perSecond, opts) {
    const calls = [];
    const timer = setInterval(() => calls.push(this.call(opts)), 1000 / perSecond);
    t.after(() => clearInterval(timer));
    return () => {
      clearInterval(timer);
      return calls;
    };
  }
}

/** The rig of a file, from its first test to its last. */
export function rigFor(opts) {
  const rig = new Rig();
  before(() => (skip ? undefined : rig.start(opts)));
  after(() => (skip ? undefined : rig.close()));
  return rig;
}

/** Says a sentence and hears the answer to its end. */
export async function exchange(made, text) {
  await waitFor(() => made.idle, { timeoutMs: 20000, what: 'silence to speak in' });
  const since = made.serverEvents.length;
  await made.say(text);
  await made.waitEvent('output_audio_buffer.stopped', { since, timeoutMs: 20000 });
}

/** How often a call was accepted. */
export const accepts = (made) => requestsOf(made, 'accept').filter((r) => r.status === 200).length;
