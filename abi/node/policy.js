// SPDX-License-Identifier: MIT
// Who may call, as the gateway knows it, kept in the plugin's own memory so that it can decide while
// this thread is busy: dmPolicy and allowFrom, approved pairings, and the numbers people are linked by.
import { normalizeEntry, normalizeNumber } from "./numbers.js";
import { ACCOUNT, CHANNEL, sectionOf } from "./section.js";

const GROUP = /^accessGroup:/i;
/** Approvals are written by other processes too (the CLI), which tell nobody: look again this often. */
export const POLL_MS = 2000;

function expandGroups(cfg, entries) {
  return entries.flatMap((entry) => {
    if (!GROUP.test(String(entry))) return [entry];
    const group = cfg?.accessGroups?.[String(entry).replace(GROUP, "").trim()];
    if (group?.type !== "message.senders") return [];
    return [...(group.members?.["*"] ?? []), ...(group.members?.[CHANNEL] ?? [])];
  });
}

/** Numbers among session.identityLinks: entries `voice:+...` of every person. */
function linkedNumbers(cfg) {
  const entries = Object.values(cfg?.session?.identityLinks ?? {}).flat();
  return entries.filter((entry) => /^voice:/i.test(String(entry))).map(normalizeNumber).filter(Boolean);
}

/** The payload of policy.set, and the entries that mean no number. */
export function policyOf(cfg, paired) {
  const section = sectionOf(cfg) ?? {};
  const bad = [];
  const allowFrom = expandGroups(cfg, section.allowFrom ?? []).map((entry) => {
    const number = normalizeEntry(entry);
    if (!number) bad.push(String(entry));
    return number;
  });
  const policy = {
    dm_policy: section.dmPolicy ?? null,
    allow_from: [...new Set(allowFrom.filter(Boolean))],
    paired: [...new Set(paired.map(normalizeNumber).filter(Boolean))],
    linked: [...new Set(linkedNumbers(cfg))],
  };
  return { policy, bad };
}

export function readPaired(runtime) {
  return runtime.channel.pairing.readAllowFromStore({ channel: CHANNEL, accountId: ACCOUNT });
}

/** Keeps the plugin's copy equal to the gateway's. */
export class PolicyMirror {
  #runtime;
  #log;
  #push;
  #pushed = "";
  #complained = "";
  #timer = null;
  #busy = null;

  constructor({ runtime, log, push }) {
    this.#runtime = runtime;
    this.#log = log;
    this.#push = push;
  }

  /** The policy now; a pairing store that cannot be read counts as empty, and is said so. */
  async read() {
    let paired = [];
    try {
      paired = await readPaired(this.#runtime);
    } catch (error) {
      this.#complain(`the pairing store cannot be read, so paired callers are unknown: ${error?.message ?? error}`);
    }
    const { policy, bad } = policyOf(this.#runtime.config.current(), paired);
    if (bad.length) {
      this.#complain(`channels.voice.allowFrom: ignored, since not numbers like +15551234567: ${bad.join(", ")}`);
    }
    return policy;
  }

  start(pushed) {
    this.#pushed = JSON.stringify(pushed);
    this.#timer = setInterval(() => this.refresh(), POLL_MS);
    this.#timer.unref();
  }

  /** Pushes the policy if it changed. Never throws; what failed is tried again at the next look. */
  refresh() {
    this.#busy ??= this.#refresh().finally(() => {
      this.#busy = null;
    });
    return this.#busy;
  }

  async #refresh() {
    try {
      const text = JSON.stringify(await this.read());
      if (text === this.#pushed || !this.#timer) return;
      await this.#push(text);
      this.#pushed = text;
      this.#log?.info?.("who may call has changed");
    } catch (error) {
      if (this.#timer) this.#log?.warn?.(`who may call could not be passed on: ${error?.message ?? error}`);
    }
  }

  #complain(text) {
    if (text === this.#complained) return;
    this.#complained = text;
    this.#log?.warn?.(text);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
