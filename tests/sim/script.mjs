/* SPDX-License-Identifier: MIT */
/*
 * What the caller does. Steps:
 *   { caller: 'text', bargeIn?, afterMs?, plan?, transcript?, transcriptMs?, transcriptFails? }
 *       speaks; politely when all is quiet, or with bargeIn while the assistant is heard. afterMs is
 *       time of the call (quickened by its speed), counted from that moment.
 *   { wait: 'greeting' | 'assistant' | 'tool', ms? }
 *       until the assistant has spoken to the end since the last step, or a tool's output has come;
 *       ms (default 20000) of wall time is the limit, past which the script fails
 *   { dtmf: '5#' }  { silence: ms of wall time }  { hangup: true }  { waitEnd: true, ms? }
 *   { do: async (call) => … }
 */

const DEFAULT_WAIT_MS = 20000;

export class Failure extends Error {}

export class Script {
  constructor(call, steps) {
    this.call = call;
    this.steps = steps;
    this.order = new Map(); // response id -> number
    this.count = 0;
    this.mark = 0; // responses up to this number are of the past
    this.played = 0; // number of the last response that was heard to its end
    this.outputs = []; // for each tool output the number of the last response before it
    this.outputsSeen = 0;
    this.watch();
  }

  watch() {
    const { call } = this;
    call.on('server:response.created', (event) => {
      this.count += 1;
      this.order.set(event.response.id, this.count);
    });
    call.on('played', (segment) => {
      this.played = Math.max(this.played, this.order.get(segment.responseId) ?? 0);
    });
    call.on('output', () => this.outputs.push(this.count));
  }

  /* Until check() holds; looked at whenever the call says that something changed. */
  until(what, check, ms) {
    const { call } = this;
    const names = ['played', 'playing', 'output', 'quiet?', 'over', 'committed', 'server'];
    return new Promise((resolve, reject) => {
      const settle = (fn, value) => {
        clearTimeout(timer);
        names.forEach((name) => call.off(name, look));
        fn(value);
      };
      const look = () => {
        if (check())
          settle(resolve);
        else if (call.over)
          settle(reject, new Failure(`call over (${call.result?.reason ?? '?'}) before ${what}`));
      };
      const timer = setTimeout(() => settle(reject,
        new Failure(`${what} did not come in ${ms} ms`)), ms);
      names.forEach((name) => call.on(name, look));
      look();
    });
  }

  async caller(step) {
    const { call } = this;
    const ms = step.ms ?? 30000;
    if (step.bargeIn)
      await this.until('speech to interrupt', () => call.playback.queue[0]?.startedAt, ms);
    else
      await this.until('silence to speak in', () => call.idle, ms);
    if (step.afterMs)
      await call.sleepAudio(step.afterMs);
    this.mark = this.count;
    await this.speak(step);
  }

  speak(step) {
    return this.call.say(step.caller, step);
  }

  async wait(step) {
    const ms = step.ms ?? DEFAULT_WAIT_MS;
    if (step.wait === 'tool') {
      await this.until('the tool output', () => this.outputs.length > this.outputsSeen, ms);
      this.mark = this.outputs[this.outputsSeen];
      this.outputsSeen += 1;
    } else {
      await this.until(`the end of the ${step.wait === 'greeting' ? 'greeting' : 'answer'}`,
        () => this.played > this.mark && this.call.idle, ms);
      this.mark = this.played;
    }
  }

  async step(step) {
    const { call } = this;
    if ('caller' in step) {
      await this.caller(step);
    } else if ('wait' in step) {
      await this.wait(step);
    } else if ('dtmf' in step) {
      for (const key of step.dtmf)
        call.dtmf(key);
    } else if ('silence' in step) {
      await call.sleep(step.silence);
    } else if ('do' in step) {
      await step.do(call);
    } else if (step.hangup) {
      call.hangup();
    } else if (step.waitEnd) {
      await this.until('the end of the call', () => call.over, step.ms ?? 60000);
    } else {
      throw new Failure(`unknown step ${JSON.stringify(step)}`);
    }
  }

  /** Runs all steps. A failed one is kept in call.scriptError, and the caller hangs up. */
  async run() {
    const { call } = this;
    for (const [at, step] of this.steps.entries()) {
      try {
        await this.step(step);
      } catch (error) {
        const what = error instanceof Failure ? error.message : error.stack;
        call.scriptError = `step ${at + 1} ${JSON.stringify(step)}: ${what}`;
        if (call.result)
          call.result.scriptError = call.scriptError;
        call.hangup();
        return;
      }
      if (call.over && at < this.steps.length - 1 && !this.steps[at + 1].waitEnd) {
        call.scriptError = `call over (${call.result.reason}) after step ${at + 1} `
          + `of ${this.steps.length}`;
        call.result.scriptError = call.scriptError;
        return;
      }
    }
  }
}
