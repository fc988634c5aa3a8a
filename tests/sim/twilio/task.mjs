/* SPDX-License-Identifier: MIT */
/*
 * Work that may be cut short at any moment: what a leg does until it is redirected or hung up, what a
 * person does until the line is dead. Every wait of a cancelled task fails with Gone.
 */
import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

export class Gone extends Error {}

export class Task {
  constructor() {
    this.abort = new AbortController();
    setMaxListeners(0, this.abort.signal);
  }

  get over() {
    return this.abort.signal.aborted;
  }

  cancel() {
    this.abort.abort();
  }

  check() {
    if (this.over)
      throw new Gone();
  }

  /** `ms` of wall time. */
  async sleep(ms) {
    try {
      await delay(Math.max(0, ms), undefined, { signal: this.abort.signal });
    } catch {
      throw new Gone();
    }
  }

  /** A promise's value, unless the task is cancelled first. */
  async race(promise) {
    this.check();
    let stop;
    const cut = new Promise((_resolve, reject) => {
      stop = () => reject(new Gone());
      this.abort.signal.addEventListener('abort', stop);
    });
    try {
      return await Promise.race([promise, cut]);
    } finally {
      this.abort.signal.removeEventListener('abort', stop);
    }
  }

  /** Runs fn in `ms` unless the task is cancelled by then. Returns a function to forget it. */
  after(ms, fn) {
    if (this.over)
      return () => {};
    const timer = new Task();
    const forget = () => timer.cancel();
    this.abort.signal.addEventListener('abort', forget);
    timer.sleep(ms).then(fn, () => {}).finally(() =>
      this.abort.signal.removeEventListener('abort', forget));
    return forget;
  }

  /** Runs an async function; that the task was cancelled is no error, all else goes to `failed`. */
  async run(fn, failed) {
    try {
      return await fn(this);
    } catch (error) {
      if (!(error instanceof Gone))
        failed(error);
      return undefined;
    }
  }
}

/**
 * Resolves when check() holds; looked at each time one of the emitter's events comes, until the task
 * (if any) is cancelled.
 */
export function until(emitter, events, check, task = null) {
  if (check())
    return Promise.resolve();
  return new Promise((resolve) => {
    const stop = () => events.forEach((name) => emitter.off(name, look));
    const look = () => {
      if (!check())
        return;
      stop();
      resolve();
    };
    events.forEach((name) => emitter.on(name, look));
    task?.abort.signal.addEventListener('abort', stop);
  });
}
