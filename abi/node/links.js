// SPDX-License-Identifier: MIT
// session.identityLinks: which identities ("telegram:777", "voice:+1555...") are one person.
import { OC } from "./native.js";
import { normalizeNumber } from "./numbers.js";
import { CHANNEL } from "./section.js";

const POLL_MS = 2000;
const GROUPS_MAX = 4096;
const IDENTITIES_MAX = 64;
const IDENTITY_MAX = 200;
const OWNERS_MAX = 32;

/** An identity as it is compared: "voice:+1555...", "telegram:777"; null for what names no channel. */
function identityOf(entry) {
  const text = String(entry ?? "").trim().toLowerCase();
  if (!text || text.length > IDENTITY_MAX) return null;
  if (/^(?:voice|tel):/.test(text) || text.startsWith("+")) {
    const number = normalizeNumber(text);
    return number ? `${CHANNEL}:${number}` : null;
  }
  return /^[a-z0-9_-]+:./.test(text) ? text : null;
}

/** Groups of at least one identity, one for every person. */
function linkGroups(cfg) {
  const links = cfg?.session?.identityLinks ?? {};
  const groups = Object.values(links).map((entries) => {
    const identities = Array.isArray(entries) ? entries.map(identityOf).filter(Boolean) : [];
    return [...new Set(identities)].slice(0, IDENTITIES_MAX);
  });
  return groups.filter((group) => group.length).slice(0, GROUPS_MAX);
}

/**
 * Whose calls are that nobody with a chat of their own asked for: the owners of commands by their rank, then
 * the person in identityLinks if there is but one.
 */
export function ownersOf(cfg) {
  const named = (cfg?.commands?.ownerAllowFrom ?? []).map(identityOf).filter(Boolean);
  const groups = linkGroups(cfg);
  return [...new Set([...named, ...(groups.length === 1 ? groups[0] : [])])].slice(0, OWNERS_MAX);
}

/** All identities of the person who has this number; without a link none. */
export function identitiesOf(cfg, number) {
  const own = number ? `${CHANNEL}:${number}` : null;
  return (own && linkGroups(cfg).find((group) => group.includes(own))) || [];
}

/** Keeps the plugin's copy equal to the gateway's: pushed at start and whenever it changed. */
export class LinksMirror {
  #runtime;
  #log;
  #push;
  #pushed = "";
  #timer = null;
  #busy = false;

  constructor({ runtime, log, push }) {
    this.#runtime = runtime;
    this.#log = log;
    this.#push = push;
  }

  start() {
    this.#timer = setInterval(() => this.#refresh(), POLL_MS);
    this.#timer.unref();
    this.#refresh();
  }

  /** Never throws; what failed is tried again at the next look. */
  async #refresh() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const cfg = this.#runtime.config.current();
      const text = JSON.stringify({ groups: linkGroups(cfg), owners: ownersOf(cfg) });
      if (text === this.#pushed) return;
      await this.#push(text).catch((error) => {
        if (error?.rc !== OC.ENOTSUP) throw error; /* a plugin that links nobody */
      });
      this.#pushed = text;
    } catch (error) {
      if (this.#timer) this.#log?.warn?.(`identity links could not be passed on: ${error?.message ?? error}`);
    } finally {
      this.#busy = false;
    }
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
