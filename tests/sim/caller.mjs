/* SPDX-License-Identifier: MIT */
/*
 * The caller's voice in one call and what the service makes of it: speech events, the committed item,
 * its transcription (late, by item id), and the response that follows by itself.
 */
import { newId } from './ids.mjs';
import { audioMs } from './playback.mjs';

const TRANSCRIPTION = 'conversation.item.input_audio_transcription';

export class Caller {
  /** @param {import('./call.mjs').SimCall} call */
  constructor(call) {
    this.call = call;
    this.text = null; // of the last turn
    this.turns = 0;
    this.speaking = Promise.resolve();
    this.autoPending = false; // a response is about to start
    this.autoQueued = false; // one will start when the active one is done
    this.autoPlan = null;
  }

  /** Says one thing after another; see SimCall.say(). */
  say(text, opts) {
    const spoken = this.speaking.then(() => this.speak(text, opts));
    this.speaking = spoken.catch(() => {});
    return spoken;
  }

  get detection() {
    return this.call.session.audio.input.turn_detection;
  }

  async speak(text, opts) {
    const { call } = this;
    if (call.state !== 'live')
      return null;
    const itemId = newId('item');
    this.cancelTimeout?.();
    this.cancelAuto?.();
    this.autoPending = false;
    call.emitServer('input_audio_buffer.speech_started', { audio_start_ms: call.clockMs(),
      item_id: itemId });
    call.emit('speech');
    if (this.detection?.interrupt_response !== false && (call.playback.playing || call.response))
      call.cutPlayback('turn_detected');
    await call.sleepAudio(audioMs(text) + call.sim.timing.vadMs);
    if (call.over)
      return null;
    call.emitServer('input_audio_buffer.speech_stopped', { audio_end_ms: call.clockMs(),
      item_id: itemId });
    this.text = text;
    this.turns += 1;
    call.turns.push({ item_id: itemId, who: 'caller', text, heard: text, interrupted: false });
    const item = this.commit(itemId);
    this.transcribe(item, text, opts);
    if (this.detection && this.detection.create_response !== false)
      this.expectAuto('speech', opts.plan ?? null);
    call.emit('committed', itemId);
    return itemId;
  }

  commit(itemId) {
    const { call } = this;
    const previous = call.conversation.last();
    const item = { id: itemId, object: 'realtime.item', type: 'message', status: 'completed',
      role: 'user', content: [{ type: 'input_audio', transcript: null }] };
    call.conversation.insert(item);
    call.emitServer('input_audio_buffer.committed', { previous_item_id: previous,
      item_id: itemId });
    const added = { previous_item_id: previous, item };
    call.emitServer('conversation.item.added', structuredClone(added));
    call.emitServer('conversation.item.done', structuredClone(added));
    return item;
  }

  expectAuto(trigger, plan) {
    const { call } = this;
    this.autoPlan = plan;
    if (call.response) {
      this.autoQueued = true;
      return;
    }
    this.autoPending = true;
    this.cancelAuto = call.after(call.sim.timing.thinkMs / call.speed, () => {
      this.autoPending = false;
      if (call.response)
        this.autoQueued = true;
      else
        call.respond({ trigger, plan });
    });
  }

  /** The active response is done: the one that waited for it starts. */
  responseOver() {
    if (this.autoQueued && !this.call.response) {
      this.autoQueued = false;
      this.call.respond({ trigger: 'speech', plan: this.autoPlan });
    }
  }

  transcribe(item, text, opts) {
    const { call } = this;
    if (!call.session.audio.input.transcription)
      return;
    const ms = opts.transcriptMs ?? call.sim.timing.transcriptMs / call.speed;
    const transcript = opts.transcript ?? text;
    const where = { item_id: item.id, content_index: 0 };
    if (opts.transcriptFails) {
      call.after(ms, () => call.emitServer(`${TRANSCRIPTION}.failed`, { ...where,
        error: { type: 'transcription_error', code: 'audio_unintelligible',
          message: 'The audio could not be transcribed.', param: null } }));
      return;
    }
    call.after(ms, () => {
      item.content[0].transcript = transcript;
      call.emitServer(`${TRANSCRIPTION}.delta`, { ...where, delta: transcript });
      call.emitServer(`${TRANSCRIPTION}.completed`, { ...where, transcript,
        usage: { type: 'tokens', total_tokens: 22, input_tokens: 13, output_tokens: 9,
          input_token_details: { text_tokens: 0, audio_tokens: 13 } } });
    });
  }

  /** All is quiet: with idle_timeout_ms the service asks by itself after a while. */
  quiet() {
    const { call } = this;
    this.cancelTimeout?.();
    const ms = call.state === 'live' ? this.detection?.idle_timeout_ms : null;
    if (!ms || !call.hasSpoken)
      return;
    this.cancelTimeout = call.after(ms / call.speed, () => {
      if (!call.idle)
        return;
      const itemId = newId('item');
      call.emitServer('input_audio_buffer.timeout_triggered', { item_id: itemId,
        audio_start_ms: Math.max(0, call.clockMs() - ms), audio_end_ms: call.clockMs() });
      this.commit(itemId);
      this.expectAuto('idle', null);
    });
  }
}
