/* SPDX-License-Identifier: MIT */
/*
 * The audio on its way to the caller. A segment is what one response says; segments play one after
 * another, at the speaking rate times the call's speed. Generation runs ahead of it, so what was
 * made and what was heard differ, and an interruption cuts at what was heard.
 */
import { performance } from 'node:perf_hooks';

/** Characters a second of speech. */
export const SPEECH_RATE = 15;

/** Audio ms of a text. */
export const audioMs = (text) => Math.round((text.length / SPEECH_RATE) * 1000);

export class Playback {
  /**
   * @param {object} hooks after(ms, fn) -> cancel(), started(segment), stopped(segment)
   * @param {number} speed
   */
  constructor(hooks, speed) {
    this.hooks = hooks;
    this.speed = speed;
    this.queue = [];
    this.cancelTimer = null;
  }

  get playing() {
    return this.queue.length > 0;
  }

  /** Audio of a response has begun to be made. Returns its segment. */
  open(responseId) {
    const segment = { responseId, items: [], madeMs: 0, complete: false, startedAt: null };
    this.queue.push(segment);
    return segment;
  }

  /** `ms` of audio more for the segment's item. */
  grow(segment, itemId, ms) {
    let item = segment.items.find((i) => i.id === itemId);
    if (!item) {
      item = { id: itemId, offsetMs: segment.madeMs, madeMs: 0 };
      segment.items.push(item);
    }
    item.madeMs += ms;
    segment.madeMs += ms;
    this.advance();
  }

  /** No more audio will come for the segment. */
  complete(segment) {
    segment.complete = true;
    this.advance();
  }

  heardMs(segment) {
    if (segment.startedAt === null)
      return 0;
    const ms = (performance.now() - segment.startedAt) * this.speed;
    return Math.min(segment.madeMs, Math.round(ms));
  }

  advance() {
    const head = this.queue[0];
    if (!head)
      return;
    if (head.startedAt === null && head.madeMs > 0) {
      head.startedAt = performance.now();
      this.hooks.started(head);
    }
    this.cancelTimer?.();
    this.cancelTimer = null;
    if (!head.complete)
      return;
    const leftMs = head.startedAt === null ? 0
      : head.madeMs / this.speed - (performance.now() - head.startedAt);
    this.cancelTimer = this.hooks.after(Math.max(0, leftMs), () => this.finish(head));
  }

  finish(segment) {
    if (this.queue[0] !== segment)
      return;
    this.queue.shift();
    if (segment.startedAt !== null)
      this.hooks.stopped(segment);
    this.advance();
  }

  /** Throws away all audio. Returns the segments that were cut, each with heardMs. */
  clear() {
    const cut = this.queue.map((segment) => ({ ...segment, heardMs: this.heardMs(segment) }));
    this.queue = [];
    this.cancelTimer?.();
    this.cancelTimer = null;
    return cut;
  }
}
