// SPDX-License-Identifier: MIT
// What passes in the gateway's other chats, for the plugin: it keeps the recent turns of linked chats,
// reads link codes, and lets a live call know what its caller types meanwhile.
//
// message_received comes after admission: a sender who is not allowed, or not yet paired, never gets here.
import { setTimeout as delay } from "node:timers/promises";
import { OC } from "./native.js";
import { CHANNEL, sectionOf } from "./section.js";
import { deliver } from "./send.js";
import { state } from "./state.js";

const TEXT_MAX_BYTES = 8192;
const WAITING_MAX = 256;
const CHATS_MAX = 1024;
/** How long a command may take before the next one is sent. */
const COMMAND_MS = 5000;
/** How long the agent's turn waits to learn whether a code, or a word into a live call, was meant for us. */
const CLAIM_MS = 400;
const CLAIMS_MAX = 256;
/** The same where the message most likely answers a question of a call. */
const ANSWER_MS = COMMAND_MS + 500;
/** After the gateway's start: how long the channel may take until it is known whether it asks anything. */
const START_MS = 15000;

const CODE = /(?<![0-9])[0-9]{3}[ -]?[0-9]{3}(?![0-9])/;
const CODE_TEXT_MAX = 80;
/** "link phone" and its like ask for a code: plugin/chats.c decides. */
const ASKS_FOR_CODE = /^link\s/i;
const SHARED = /:(?:group|channel|room|supergroup|forum|topic)s?:/i;

/** Whole characters, at most that many bytes. */
function limitBytes(text, bytes) {
  const all = Buffer.from(text, "utf8");
  if (all.length <= bytes) return text;
  let end = bytes;
  while (end > 0 && (all[end] & 0xc0) === 0x80) end--;
  return all.toString("utf8", 0, end);
}

/** A target without the channel's own prefixes: "telegram:777" and "user:777" are 777. */
const bare = (channel, target) =>
  String(target ?? "").trim().replace(new RegExp(`^${channel}:`, "i"), "").replace(/^(?:user|dm|direct):/i, "");

/** Rooms hold other people's words, and prove nobody. */
function isShared(event, ctx, sessionKey) {
  return SHARED.test(sessionKey) || SHARED.test(`:${ctx.conversationId ?? ""}:`) || SHARED.test(`:${event.from ?? ""}`)
    || Boolean(event.metadata?.guildId || event.metadata?.channelName);
}

/** Hands messages on, one at a time and in order, and never lets the gateway wait for it. */
class ChatFeed {
  #waiting = [];
  #busy = false;
  #dropped = 0;
  #peers = new Map(); // channel + account + conversation -> peer
  #claims = new Map(); // channel + message id -> { answer, claimed }
  #bornAt = Date.now();

  /** The channel is about to start: an answer may have waited for that. */
  #starting() {
    return !state.account && Date.now() - this.#bornAt < START_MS && sectionOf(state.runtime?.config.current())?.enabled === true;
  }

  /** The account once it runs; null when it does not. */
  async #account() {
    while (this.#starting()) await delay(50);
    return state.account;
  }

  /** How long the agent's turn waits for that message's meaning; 0: not at all. */
  #patience(identity, text) {
    if (this.#starting() || state.account?.asks(identity)) return ANSWER_MS;
    const code = text.length <= CODE_TEXT_MAX && (CODE.test(text) || ASKS_FOR_CODE.test(text));
    return code || state.account?.live > 0 ? CLAIM_MS : 0;
  }

  /** message_received */
  received(event, ctx) {
    const channel = ctx?.channelId;
    const peer = event.senderId ?? ctx?.senderId;
    const sessionKey = event.sessionKey ?? ctx?.sessionKey ?? "";
    if ((!state.account && !this.#starting()) || !channel || channel === CHANNEL || !peer
      || isShared(event, ctx, sessionKey)) return;
    const text = limitBytes(String(event.content ?? "").trim(), TEXT_MAX_BYTES);
    if (!text || text.startsWith("/")) return;
    const to = event.metadata?.originatingTo ?? ctx.conversationId ?? event.from;
    this.#remember(channel, ctx.accountId, to, peer);
    const entry = {
      message: {
        channel, peer: String(peer), account: ctx.accountId, session_key: sessionKey, who: "them", text,
        at: event.timestamp ?? Date.now(),
      },
      to, claimed: false, sent: false, answer: null, settle: null, patience: this.#patience(`${channel}:${peer}`, text),
    };
    const id = event.messageId ?? ctx.messageId;
    if (id && entry.patience > 0) {
      entry.answer = new Promise((resolve) => { entry.settle = resolve; });
      this.#claims.set(`${channel}|${id}`, entry);
      if (this.#claims.size > CLAIMS_MAX) this.#claims.delete(this.#claims.keys().next().value);
    }
    this.#push(entry);
  }

  /**
   * before_dispatch: a code, the answer to a question of a call, or what is typed into a live call, is answered here
   * and not by the agent. Waits only for those, and not for long; a later answer is sent by itself.
   */
  async claim(event, ctx) {
    const key = `${ctx?.channelId ?? event.channel}|${event.messageId ?? ctx?.messageId}`;
    const entry = this.#claims.get(key);
    if (!entry) return undefined;
    this.#claims.delete(key);
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, entry.patience, null); });
    const reply = await Promise.race([entry.answer, late]);
    clearTimeout(timer);
    if (!reply) return undefined;
    if (entry.sent) return { handled: true };
    entry.claimed = true;
    return { handled: true, text: reply };
  }

  /** message_sent: what the agent answered there. */
  sent(event, ctx) {
    const channel = ctx?.channelId;
    const sessionKey = event.sessionKey ?? ctx?.sessionKey ?? "";
    if (!state.account || event.success === false || !channel || channel === CHANNEL) return;
    const to = ctx.conversationId ?? event.to;
    if (isShared({ from: event.to }, ctx, sessionKey)) return;
    const text = limitBytes(String(event.content ?? "").trim(), TEXT_MAX_BYTES);
    const peer = this.#peerOf(channel, ctx.accountId, [to, event.to]);
    if (!text || !peer) return;
    this.#push({
      message: { channel, peer, account: ctx.accountId, session_key: sessionKey, who: "assistant", text, at: Date.now() },
    });
  }

  #remember(channel, account, to, peer) {
    const key = `${channel}|${account ?? ""}|${bare(channel, to)}`;
    this.#peers.delete(key);
    this.#peers.set(key, String(peer));
    if (this.#peers.size > CHATS_MAX) this.#peers.delete(this.#peers.keys().next().value);
  }

  /** Who is written to. In a chat that began before this process, the target is the peer. */
  #peerOf(channel, account, targets) {
    for (const to of targets) {
      const peer = this.#peers.get(`${channel}|${account ?? ""}|${bare(channel, to)}`);
      if (peer) return peer;
    }
    return bare(channel, targets.find(Boolean)) || null;
  }

  #push(entry) {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#dropped++;
      entry.settle?.(null);
      return;
    }
    this.#waiting.push(entry);
    if (!this.#busy) this.#run();
  }

  async #run() {
    this.#busy = true;
    for (let entry = this.#waiting.shift(); entry; entry = this.#waiting.shift()) await this.#pass(entry);
    this.#busy = false;
    if (this.#dropped) state.account?.warn(`${this.#dropped} chat messages were not passed on: too many at once`);
    this.#dropped = 0;
  }

  async #pass(entry) {
    let timer;
    try {
      const account = await this.#account();
      const late = new Promise((_, reject) => {
        timer = setTimeout(reject, COMMAND_MS, new Error("the plugin did not answer"));
      });
      const done = account?.command("chat.message", "", JSON.stringify(entry.message));
      const { reply } = JSON.parse((await Promise.race([done, late])) || "{}");
      entry.settle?.(reply || null);
      if (reply) this.#replyLater(entry, reply);
    } catch (error) {
      entry.settle?.(null);
      if (error?.rc !== OC.ESTATE && error?.rc !== OC.ENOTSUP) {
        state.account?.warn(`a chat message was not passed on: ${error?.message ?? error}`);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** To the chat it came from, unless the turn that waits for it takes it along. */
  #replyLater(entry, text) {
    const { channel, account, session_key: sessionKey } = entry.message;
    setTimeout(() => {
      if (entry.claimed || !state.runtime) return;
      entry.sent = true;
      deliver({ runtime: state.runtime, channel, account, to: entry.to, text, sessionKey }).catch((error) => {
        state.account?.warn(`a chat on ${channel} could not be answered: ${error?.message ?? error}`);
      });
    }, entry.answer ? CLAIM_MS + 100 : 0);
  }
}

export function registerChatHooks(api) {
  const feed = new ChatFeed();
  api.on("message_received", (event, ctx) => feed.received(event, ctx));
  api.on("message_sent", (event, ctx) => feed.sent(event, ctx));
  api.on("before_dispatch", (event, ctx) => feed.claim(event, ctx), { timeoutMs: ANSWER_MS + CLAIM_MS });
}
