// SPDX-License-Identifier: MIT
// The running channel: one instance of the plugin from startAccount to the abort that ends it.
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runAgent, warmUp } from "./agent.js";
import { LinksMirror } from "./links.js";
import { LOG_LEVELS, nativeLibrary, OC, RequestError, STOP_LEAVE_CALLS } from "./native.js";
import { requestPairing } from "./pairing.js";
import { PolicyMirror } from "./policy.js";
import { ACCOUNT, configFileOf, sectionOf } from "./section.js";
import { sendMessage } from "./send.js";
import { prepareSession, routeOf } from "./sessions.js";
import { clearRunning, setRunning, state } from "./state.js";
import { makeSummary } from "./summary.js";
import { appendTranscript } from "./transcript.js";
import { wakeAgent } from "./wake.js";
import { timezoneOf } from "./zone.js";

/** The gateway gives a stopping channel 5 s: orderly within this, and the rest for destroy(). */
const STOP_MS = 3000;
const DESTROY_MS = 1500;
/** How long a start waits for what a predecessor still holds. */
const WAIT_MS = 6000;
const RETRY_MS = 200;
/** How long after the start any message may answer a question of an earlier run. */
const START_MS = 3000;

/*
 * A reload runs another copy of this package, with another copy of the shared object: they know of each
 * other only through this. It holds the promise of the latest stop.
 */
const STOPPING = Symbol.for("openclaw-voice.stopping");

/** A reply that finds the plugin's queue full is offered again for as long as a caller would wait. */
async function reply(instance, token, rc, json) {
  for (let tries = 0; instance?.reply(token, rc, json) === OC.EBUSY && tries < 300; tries++) await delay(100);
}

const parse = (json) => (json ? JSON.parse(json) : {});
const within = (promise, ms) => Promise.race([promise, delay(ms, undefined, { ref: false })]);

function reasonOf(error) {
  try {
    return JSON.parse(error.json).error ?? error.message;
  } catch {
    return error?.message ?? String(error);
  }
}

/** What create() is given in the gateway. */
export function configOf(runtime, cfg, policy) {
  const stateDir = runtime.state.resolveStateDir();
  const { agentId } = routeOf(runtime, cfg, "");
  return {
    host: "gateway",
    config_file: configFileOf(cfg, stateDir),
    section: sectionOf(cfg) ?? {},
    section_name: "openclaw.json",
    state_dir: path.join(stateDir, "voice"),
    workspace: runtime.agent.resolveAgentWorkspaceDir(cfg, agentId),
    timezone: timezoneOf(cfg),
    policy,
  };
}

class Account {
  #ctx;
  #runtime;
  #instance = null;
  #mirror;
  #links;
  #live = new Set();
  #questions = new Map(); // id -> the chat whose next message is meant for a call
  #runningSince = Infinity;
  #asked = new Map(); // token -> AbortController
  #ended = false;
  /** What came of loading the agent: { ms } or { error }; null while it is being loaded. */
  warm = null;
  #country = "";

  constructor(ctx, runtime) {
    this.#ctx = ctx;
    this.#runtime = runtime;
    this.#mirror = new PolicyMirror({
      runtime, log: ctx.log, push: (json) => this.command("policy.set", "", json),
    });
    this.#links = new LinksMirror({
      runtime, log: ctx.log, push: (json) => this.command("links.set", "", json),
    });
  }

  /** How many calls are live. */
  get live() {
    return this.#live.size;
  }

  /** Whose national numbers are understood ("DE"), or "". */
  get country() {
    return this.#country;
  }

  /**
   * Whether the next message of that chat ("telegram:777") may answer a question of a call. Just after the start it
   * is not known yet: those of an earlier run are being read.
   */
  asks(identity) {
    return Date.now() - this.#runningSince < START_MS || [...this.#questions.values()].includes(identity);
  }

  warn(text) {
    this.#ctx.log?.warn?.(text);
  }

  /** Everything from start to stop; rejects when it could not start, with all that is wrong. */
  async run() {
    try {
      const ready = await this.#start();
      if (!this.#ctx.abortSignal.aborted) this.#running(ready);
      await this.#aborted();
    } catch (error) {
      if (!this.#ctx.abortSignal.aborted) throw error;
    } finally {
      const stopped = this.#stop();
      globalThis[STOPPING] = stopped;
      await stopped;
    }
  }

  command(name, call, json) {
    if (!this.#instance) return Promise.reject(new RequestError(OC.ESTATE, "voice is not running"));
    return this.#instance.command(name, call, json);
  }

  /** A request as to the HTTP API: { status, body }. */
  async http(method, apiPath, body) {
    return parse(await this.command("http", "", JSON.stringify({ method, path: apiPath, body })));
  }

  get(apiPath) {
    return this.http("GET", apiPath);
  }

  async status() {
    return parse(await this.command("status", "", "{}"));
  }

  policyChanged() {
    return this.#mirror.refresh();
  }

  async #start() {
    await within(globalThis[STOPPING], WAIT_MS);
    const policy = await this.#mirror.read();
    const config = JSON.stringify(configOf(this.#runtime, this.#ctx.cfg, policy));
    for (const end = Date.now() + WAIT_MS; ; await delay(RETRY_MS)) {
      this.#ctx.abortSignal.throwIfAborted();
      this.#instance = this.#create(config);
      try {
        const ready = parse(await this.#instance.start());
        this.#mirror.start(policy);
        this.#links.start();
        return ready;
      } catch (error) {
        const reason = reasonOf(error);
        if (!/EADDRINUSE|address (is )?already in use/i.test(reason) || Date.now() > end) {
          throw new Error(`voice could not start: ${reason}`);
        }
        await this.#instance.destroy();
        this.#instance = null;
      }
    }
  }

  #create(config) {
    try {
      return nativeLibrary().create(config, {
        log: (level, line) => this.#ctx.log?.[LOG_LEVELS[level] ?? "info"]?.(line),
        event: (name, call, json) => this.#event(name, call, json),
        request: (token, name, call, json) => this.#request(token, name, call, json),
        cancel: (token) => this.#asked.get(token)?.abort(),
      });
    } catch (error) {
      const faults = error.faults?.length ? error.faults : [error.message];
      throw new Error(`voice is not configured:\n  ${faults.join("\n  ")}`);
    }
  }

  #running(ready) {
    this.#country = ready.default_country ?? "";
    this.#runningSince = Date.now();
    setRunning(this);
    warmUp(this.#runtime, this.#ctx.abortSignal).then(
      (ms) => {
        this.warm = { ms };
        this.#ctx.log?.debug?.(`the agent is warm after ${ms} ms`);
      },
      (error) => {
        this.warm = { error: String(error?.message ?? error) };
        this.#ctx.log?.debug?.(`the agent could not be warmed: ${this.warm.error}`);
      },
    );
    this.#ctx.setStatus({
      ...this.#ctx.getStatus(), accountId: ACCOUNT, running: true, connected: true,
      lastStartAt: Date.now(), lastError: null, port: ready.port, baseUrl: ready.url,
    });
    this.#ctx.log?.info?.(`listening on ${ready.url}`);
  }

  #aborted() {
    const { abortSignal } = this.#ctx;
    return new Promise((resolve) => {
      if (abortSignal.aborted) resolve();
      else abortSignal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** Live calls stay with the provider; whoever starts next finds them. */
  async #stop() {
    this.#ended = true;
    clearRunning(this);
    this.#mirror.stop();
    this.#links.stop();
    for (const asked of this.#asked.values()) asked.abort();
    const instance = this.#instance;
    this.#instance = null;
    if (!instance) return;
    const stopped = instance.stop(STOP_LEAVE_CALLS, STOP_MS).catch((error) => {
      if (error.code !== "ESTATE") this.#ctx.log?.warn?.(`stop: ${reasonOf(error)}`);
    });
    await within(stopped, STOP_MS + 250);
    let destroyed = false;
    await within(instance.destroy().then(() => { destroyed = true; }), DESTROY_MS);
    if (!destroyed) this.#ctx.log?.warn?.("the old instance is still ending in the background");
  }

  #event(name, call, json) {
    if (this.#ended) return;
    if (name === "call.live") this.#live.add(call);
    if (name === "call.ended") this.#live.delete(call);
    if (name === "call.incoming") {
      this.#ctx.setStatus({ ...this.#ctx.getStatus(), lastInboundAt: Date.now() });
    }
    if (name === "call.question") {
      const { id, identity, state: how } = parse(json);
      if (how === "open") this.#questions.set(id, identity);
      else this.#questions.delete(id);
    }
    /* Who listens may read the rest by voice.call; what was said is not spread further than asked. */
    const { at, reason } = parse(json);
    const news = Object.entries({ event: name, call: call || undefined, at, reason });
    state.gatewayEvents?.emit("changed", Object.fromEntries(news.filter(([, value]) => value !== undefined)), {
      scope: "operator.read",
    });
  }

  #request(token, name, call, json) {
    const instance = this.#instance;
    const asked = new AbortController();
    this.#asked.set(token, asked);
    const answer = (rc, value) => {
      this.#asked.delete(token);
      return reply(instance, token, rc, JSON.stringify(value));
    };
    Promise.resolve()
      .then(() => this.#serve(name, parse(json), asked.signal, (news) => {
        if (this.#asked.has(token)) instance?.progress(token, JSON.stringify(news));
      }))
      .then((value) => answer(OC.OK, value))
      .catch((error) => {
        const rc = asked.signal.aborted ? OC.ECANCELED : (error?.rc ?? OC.EFAIL);
        if (rc === OC.EFAIL) this.#ctx.log?.warn?.(`${name}${call ? ` (${call})` : ""}: ${error?.message ?? error}`);
        answer(rc, { error: error?.message ?? String(error) });
      });
  }

  #serve(name, request, signal, progress) {
    const runtime = this.#runtime;
    switch (name) {
      case "agent.run":
        return runAgent({
          runtime, log: this.#ctx.log, request, signal, progress,
          acting: (run) => this.command("run.acting", request.call ?? "", JSON.stringify({ run })),
        });
      case "session.prepare":
        return prepareSession(runtime, request);
      case "pairing.request":
        return requestPairing(runtime, request);
      case "summary.make":
        return makeSummary({ runtime, request, signal });
      case "transcript.append":
        return appendTranscript({ runtime, request, signal });
      case "message.send":
        return sendMessage({ runtime, log: this.#ctx.log, request });
      case "session.wake":
        return wakeAgent({ runtime, request });
      default:
        throw new RequestError(OC.ENOTSUP, `this host does not know ${name}`);
    }
  }
}

/** gateway.startAccount: pending for as long as the channel runs. */
export async function startAccount(ctx) {
  if (!state.runtime) throw new Error("voice was loaded without the gateway's runtime");
  await new Account(ctx, state.runtime).run();
}
