/* SPDX-License-Identifier: MIT */
/*
 * The events of one call on their way: to all attached sidebands (checked, recorded, with the faults
 * that were asked for), and from them.
 */
import { newId } from './ids.mjs';
import { handleClientEvent, isClientEvent } from './client.mjs';
import { clientEventFaults, serverEventFaults } from './schema.mjs';
import { takeEventFault, withNulls } from './faults.mjs';

const MAX_RECORDED = 20000;

export class Wire {
  /** @param {import('./call.mjs').SimCall} call */
  constructor(call) {
    this.call = call;
    this.sidebands = new Set();
    this.sent = []; // {t, type, event, sent}
    this.received = []; // {t, type, event, sideband}
    this.held = null;
  }

  get faults() {
    return [this.call.faults, this.call.sim.faults];
  }

  /** Emits an event of the service; `only` to one sideband. */
  emit(type, fields, only = null) {
    const event = type === 'input_audio_buffer.dtmf_event_received' ? { type, ...fields }
      : { type, event_id: newId('event'), ...fields };
    this.deliver(event, only, true);
  }

  /** Sends an event with the faults that it meets. */
  deliver(original, only, check) {
    const { call } = this;
    const event = this.faults.some((f) => f.nulls) ? withNulls(original) : original;
    const wrong = check && call.checked ? serverEventFaults(event) : [];
    if (wrong.length > 0)
      call.sim.violation(call, `sent ${event.type}: ${wrong.join('; ')}`, event);
    const rule = takeEventFault(event, ...this.faults);
    if (rule?.action === 'drop')
      this.record(event, false);
    else if (rule?.action === 'delay')
      call.after(rule.ms, () => this.send(event, only));
    else if (rule?.action === 'swap')
      this.held = { event, only };
    else
      this.sendAndHeld(event, only, rule?.action === 'duplicate');
  }

  sendAndHeld(event, only, twice) {
    this.send(event, only);
    if (twice)
      this.send(event, only);
    const { held } = this;
    this.held = null;
    if (held)
      this.send(held.event, held.only);
  }

  record(event, sent) {
    if (this.sent.length < MAX_RECORDED)
      this.sent.push({ t: Date.now(), type: event.type, event, sent });
  }

  send(event, only) {
    const { call } = this;
    const targets = only ? [only].filter((s) => this.sidebands.has(s)) : [...this.sidebands];
    this.record(event, targets.length > 0);
    if (targets.length > 0) {
      const text = JSON.stringify(event);
      targets.forEach((sideband) => sideband.send(text));
    }
    call.sim.onEvent?.(call, 'server', event);
    call.emit('server', event);
    call.emit(`server:${event.type}`, event);
  }

  /** A text message arrived on a sideband. */
  receive(text, sideband) {
    const { call } = this;
    let event;
    try {
      event = JSON.parse(text);
    } catch {
      call.sim.violation(call, `received no JSON: ${text.slice(0, 200)}`);
      this.error({ type: 'invalid_request_error', code: 'invalid_json', param: null,
        message: 'Could not parse your JSON.' }, null);
      return;
    }
    if (this.received.length < MAX_RECORDED)
      this.received.push({ t: Date.now(), type: event?.type, event, sideband: sideband.number });
    const fault = this.eventFault(event) ?? handleClientEvent(call, event);
    call.sim.onEvent?.(call, 'client', event);
    call.emit('client', event);
    if (event !== null && typeof event === 'object')
      call.emit(`client:${event.type}`, event);
    if (fault)
      this.error(fault, event?.event_id ?? null);
  }

  eventFault(event) {
    const { call } = this;
    if (event === null || typeof event !== 'object' || typeof event.type !== 'string'
        || !isClientEvent(event.type)) {
      call.sim.violation(call, `received unknown event ${JSON.stringify(event).slice(0, 200)}`);
      return { type: 'invalid_request_error', code: 'invalid_value', param: 'type',
        message: `Invalid value: '${event?.type}'.` };
    }
    if (event.type === 'session.update' && event.session && event.session.type === undefined) {
      call.sim.violation(call, 'received session.update without session.type', event);
      return null; // answered with an error of its own
    }
    const wrong = call.checked ? clientEventFaults(event) : [];
    if (wrong.length === 0)
      return null;
    call.sim.violation(call, `received ${event.type}: ${wrong.join('; ')}`, event);
    return { type: 'invalid_request_error', code: 'invalid_event', param: null,
      message: wrong.join('; ') };
  }

  error(fault, eventId) {
    this.call.emitServer('error', { error: { ...fault, event_id: eventId } });
  }
}
