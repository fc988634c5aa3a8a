/* SPDX-License-Identifier: MIT */
/*
 * One response of the simulated model: carries out a plan of the brain as the events of the service,
 * in its order. cancel() may come at any moment; what is open is then closed at once, as incomplete.
 */
import { newId } from './ids.mjs';
import { think } from './brain.mjs';
import { audioMs } from './playback.mjs';

const AUDIO_MS_PER_TOKEN = 50;
const tokens = (text) => Math.ceil(text.length / 4);

/** The pieces of a text as deltas bring them: a few words each. */
function pieces(text) {
  return text.match(/\s*\S+(?:\s+\S+){0,3}/g) ?? [text];
}

export class Response {
  /**
   * @param {import('./call.mjs').SimCall} call
   * @param {object} why trigger, params (of response.create), plan (instead of the brain's)
   */
  constructor(call, { trigger, params = {}, plan = null }) {
    this.call = call;
    this.id = newId('resp');
    this.trigger = trigger;
    this.params = params;
    this.plan = plan;
    this.status = 'in_progress';
    this.statusDetails = null;
    this.output = [];
    this.open = null; // the item in the making
    this.segment = null;
    this.spokenMs = 0;
    this.textTokens = 0;
    this.modalities = params.output_modalities ?? call.session.output_modalities ?? ['audio'];
    this.inBand = params.conversation !== 'none';
  }

  get active() {
    return this.status === 'in_progress';
  }

  object() {
    const { session } = this.call;
    return {
      object: 'realtime.response', id: this.id, status: this.status,
      status_details: this.statusDetails, output: this.output.map((item) => structuredClone(item)),
      conversation_id: this.inBand ? this.call.conversationId : null,
      output_modalities: this.modalities,
      max_output_tokens: this.params.max_output_tokens ?? session.max_output_tokens ?? 'inf',
      audio: { output: { format: { type: 'audio/pcmu' }, voice: session.audio.output.voice } },
      usage: this.active ? null : this.usage(),
      metadata: this.params.metadata ?? null,
    };
  }

  usage() {
    const input = 120 + this.call.conversation.items.length * 20;
    const cached = Math.floor(input / 2);
    const audio = Math.ceil(this.spokenMs / AUDIO_MS_PER_TOKEN);
    return {
      total_tokens: input + audio + this.textTokens, input_tokens: input,
      output_tokens: audio + this.textTokens,
      input_token_details: { text_tokens: input - 20, audio_tokens: 20, image_tokens: 0,
        cached_tokens: cached,
        cached_tokens_details: { text_tokens: cached, audio_tokens: 0, image_tokens: 0 } },
      output_token_details: { text_tokens: this.textTokens, audio_tokens: audio },
    };
  }

  emit(type, fields) {
    this.call.emitServer(type, fields);
  }

  /** Runs the whole response; resolves when response.done was emitted, never rejects. */
  async run() {
    const { call } = this;
    this.emit('response.created', { response: this.object() });
    this.emit('rate_limits.updated', { rate_limits: [
      { name: 'tokens', limit: 40000000, remaining: 39990000, reset_seconds: 0.015 }] });
    const ctx = call.context(this);
    await call.sleepAudio(call.sim.timing.firstTokenMs);
    let plan = { items: [], status: 'failed' };
    try {
      plan = this.plan ?? await think(call.brain, ctx);
    } catch (error) {
      call.sim.violation(call, `brain threw: ${error.stack}`);
    }
    for (const step of plan.items) {
      if (!this.active || call.over)
        return;
      await ('say' in step ? this.say(step.say) : this.callTool(step));
    }
    if (this.active && !call.over)
      this.finish(plan.status ?? 'completed', plan.reason, plan.emptyOutput);
  }

  begin(item) {
    const index = this.output.length;
    this.output.push(item);
    this.open = { item, index, text: '' };
    this.emit('response.output_item.added', { response_id: this.id, output_index: index,
      item: structuredClone(item) });
    if (this.inBand) {
      const previous = this.call.conversation.last();
      this.call.conversation.insert(item);
      this.emit('conversation.item.added', { previous_item_id: previous,
        item: structuredClone(item) });
    }
    return this.open;
  }

  end(status) {
    const { item, index } = this.open;
    this.open = null;
    item.status = status;
    this.emit('response.output_item.done', { response_id: this.id, output_index: index,
      item: structuredClone(item) });
    if (this.inBand && this.call.conversation.has(item.id)) {
      this.emit('conversation.item.done', {
        previous_item_id: this.call.conversation.previous(item.id), item: structuredClone(item) });
    }
  }

  at() {
    return { response_id: this.id, item_id: this.open.item.id, output_index: this.open.index };
  }

  async say(text) {
    const { call } = this;
    const audio = this.modalities.includes('audio');
    const open = this.begin({ id: newId('item'), object: 'realtime.item', type: 'message',
      status: 'in_progress', role: 'assistant', content: [] });
    open.audio = audio;
    this.emit('response.content_part.added', { ...this.at(), content_index: 0,
      part: audio ? { type: 'audio', transcript: '' } : { type: 'text', text: '' } });
    if (audio)
      this.segment ??= call.playback.open(this.id);
    const delta = audio ? 'response.output_audio_transcript.delta' : 'response.output_text.delta';
    for (const piece of pieces(text)) {
      open.text += piece;
      this.textTokens += tokens(piece);
      this.emit(delta, { ...this.at(), content_index: 0, delta: piece });
      if (audio)
        this.grow(open, piece);
      await call.sleepAudio(audioMs(piece) / call.sim.timing.generationRatio);
      if (!this.active || call.over)
        return;
    }
    this.endSay('completed');
  }

  grow(open, piece) {
    const ms = audioMs(piece);
    this.spokenMs += ms;
    if (!this.segment.cut)
      this.call.playback.grow(this.segment, open.item.id, ms);
  }

  endSay(status) {
    const { text, audio, item } = this.open;
    const at = { ...this.at(), content_index: 0 };
    if (audio) {
      this.emit('response.output_audio.done', at);
      this.emit('response.output_audio_transcript.done', { ...at, transcript: text });
    } else {
      this.emit('response.output_text.done', { ...at, text });
    }
    this.emit('response.content_part.done', { ...at,
      part: audio ? { type: 'audio', transcript: text } : { type: 'text', text } });
    item.content = [audio ? { type: 'output_audio', transcript: text }
      : { type: 'output_text', text }];
    this.call.said(item, text, status === 'completed');
    this.end(status);
  }

  async callTool(step) {
    const args = typeof step.args === 'string' ? step.args : JSON.stringify(step.args ?? {});
    const open = this.begin({ id: newId('item'), object: 'realtime.item', type: 'function_call',
      status: 'in_progress', name: step.call, call_id: step.id ?? newId('call'), arguments: '' });
    open.args = args;
    this.textTokens += tokens(args) + 10;
    const half = Math.ceil(args.length / 2);
    for (const part of [args.slice(0, half), args.slice(half)].filter(Boolean)) {
      this.emit('response.function_call_arguments.delta', { ...this.at(),
        call_id: open.item.call_id, delta: part });
      await this.call.sleepAudio(this.call.sim.timing.toolMs / 2);
      if (!this.active || this.call.over)
        return;
    }
    this.endCall('completed');
  }

  endCall(status) {
    const { item, args } = this.open;
    item.arguments = args;
    this.emit('response.function_call_arguments.done', { ...this.at(), call_id: item.call_id,
      name: item.name, arguments: args });
    this.call.toolCalled(this, item);
    this.end(status);
  }

  closeOpen() {
    if (!this.open)
      return;
    if (this.open.item.type === 'message')
      this.endSay('incomplete');
    else
      this.endCall('incomplete');
  }

  finish(status, reason, emptyOutput = false) {
    this.status = status;
    if (status !== 'completed') {
      this.statusDetails = { type: status, reason: reason ?? (status === 'cancelled'
        ? 'turn_detected' : undefined) };
      if (status === 'failed')
        this.statusDetails.error = { type: 'server_error', code: 'internal_error' };
    }
    const response = this.object();
    if (emptyOutput)
      response.output = [];
    if (this.segment)
      this.call.playback.complete(this.segment);
    this.emit('response.done', { response });
    this.call.responseOver(this);
  }

  /** Ends the response now. Closes what is open, then response.done with status cancelled. */
  cancel(reason) {
    if (!this.active)
      return;
    this.closeOpen();
    this.finish('cancelled', reason);
  }
}
