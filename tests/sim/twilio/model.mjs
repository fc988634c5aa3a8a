/* SPDX-License-Identifier: MIT */
// The model behind SIP: an INVITE becomes an incoming call of the simulator of OpenAI.
import { newId } from '../ids.mjs';
import { parseSip } from './ids.mjs';

const SETUP_MS = 200;
const passed = /^(X-.+|User-to-User|Remote-Party-ID|P-Preferred-Identity|P-Called-Party-ID)$/i;

/** The code with which a SIP address is refused by the API, or null: {code, message}. */
export function sipFault(uri) {
  const sip = parseSip(uri);
  if (!sip || !sip.user)
    return { code: 21217, message: `${uri} is not a valid SIP address` };
  if (sip.query.length >= 1024)
    return { code: 21227, message: 'SIP headers too long' };
  const bad = sip.headers.find((h) => !passed.test(h.name) || /[\r\n]/.test(h.value));
  return bad ? { code: 13252, message: `SIP header ${bad.name} is not allowed` } : null;
}

export class ModelEndpoint {
  /** @param {object} sim @param {string} uri */
  constructor(sim, uri) {
    this.sim = sim;
    this.sip = parseSip(uri);
    this.call = null;
    this.heard = [];
  }

  /* The SIP code with which the INVITE fails, or 0. */
  refusal(leg) {
    const { sim, sip } = this;
    const rule = sim.takeFault('sip', { params: { To: leg.to, From: leg.from }, leg });
    if (rule)
      return rule.status ?? 503;
    if (!sim.openai)
      return 503;
    if (sip.params.transport !== 'tls') {
      sim.violation(`${leg.to}: OpenAI takes TLS only`);
      return 403;
    }
    return sim.project && sip.user !== sim.project ? 404 : 0;
  }

  async invite(leg) {
    const { sim, sip } = this;
    await leg.life.sleep(sim.life(SETUP_MS));
    const code = this.refusal(leg);
    if (code) {
      leg.refused(code);
      return;
    }
    leg.sipCallId = `${newId('tw')}@0.0.0.0`;
    const call = sim.openai.call({ ...sim.modelOptions, from: leg.from, speed: sim.speed,
      to: `sip:${sip.user}@${sip.host};transport=tls`, sipCallId: leg.sipCallId,
      extraHeaders: [...sip.headers, { name: 'P-Asserted-Identity', value: `<sip:${leg.from}@twilio.com>` },
        { name: 'X-Twilio-AccountSid', value: sim.accountSid },
        { name: 'X-Twilio-CallSid', value: leg.sid }] });
    this.call = call;
    call.leg = leg;
    call.once('accepted', () => leg.answered());
    call.once('over', (result) => this.ended(leg, result));
    call.on('played', (segment) => this.spoken(leg, segment));
    leg.ringing();
    sim.emit('model', call, leg);
  }

  ended(leg, result) {
    if (leg.up)
      leg.end('completed');
    else
      leg.refused(result.sipCode ?? (result.reason === 'unanswered' ? 408 : 603));
  }

  spoken(leg, segment) {
    const texts = segment.items.map((item) => this.call.turns.find((t) => t.item_id === item.id)?.text);
    const text = texts.filter(Boolean).join(' ');
    const ears = leg.hearers();
    this.sim.emit('spoken', { leg, text, heard: ears.length > 0 });
    ears.forEach((ear) => ear.hear({ kind: 'model', text }).done = true);
  }

  /* Voices are heard as speech, and so is what is announced to all. */
  hear(leg, entry) {
    this.heard.push(entry);
    if (this.call?.state !== 'live')
      return null;
    if (entry.kind === 'digits')
      [...entry.text].forEach((digit) => this.call.dtmf(digit));
    return entry.kind === 'voice' || entry.kind === 'say' ? this.call.say(entry.text, entry.opts) : null;
  }

  released() {
    if (this.call && !this.call.over)
      this.call.hangup();
  }
}

/** Where nobody is: an INVITE to an unknown SIP address. */
export const nowhere = { invite: (leg) => leg.refused(404), released() {} };
