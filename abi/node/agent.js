// SPDX-License-Identifier: MIT
// Turns of the agent, asked for by callers.
import { randomUUID } from "node:crypto";
import { OC, RequestError } from "./native.js";
import { normalizeNumber } from "./numbers.js";
import { ACCOUNT, CHANNEL } from "./section.js";
import { agentOf, ensureSession, removeSession, routeOf, sessionOf } from "./sessions.js";
import { checkGuarded, runs, SAFE_TOOLS } from "./tools.js";

const ON_THE_PHONE = `This request comes from a live phone call: a voice assistant asks on behalf of the \
caller and reads your answer aloud. Answer in one to three short sentences of plain speech. No Markdown, \
lists, links, code, emoji or file paths; say numbers and dates as one says them. Say first what was asked \
for, and say honestly what you could not do.`;
const READ_ONLY = `The caller is known by number only, which proves nothing: you have read-only tools. If \
asked to change, send or run anything, say that the caller must prove who they are first.`;
const AGAIN = `This request may have been begun before and cut off: look before you repeat anything.`;

const TEXT_MAX = 16000;

function spokenText(result) {
  const payloads = result?.payloads ?? [];
  const said = payloads.filter((p) => p.text && !p.isError && !p.isReasoning && !p.isCommentary);
  return said.map((p) => p.text.trim()).filter(Boolean).join("\n\n").slice(0, TEXT_MAX);
}

/** Why a finished run has no answer, as an error with a code. */
function failureOf(result, timedOut) {
  const meta = result?.meta ?? {};
  if (timedOut || meta.timeoutPhase) return new RequestError(OC.ETIMEDOUT, "the agent did not finish in time");
  if (meta.aborted) return new RequestError(OC.ECANCELED, "the run was stopped");
  const error = result?.payloads?.find((p) => p.isError && p.text)?.text ?? meta.error?.message;
  return new RequestError(OC.EFAIL, error ?? "the agent gave no answer");
}

/** Whether the operator named this number as an owner of commands; only proven callers are asked for. */
function isOwner(cfg, number) {
  const owners = cfg.commands?.ownerAllowFrom ?? [];
  return Boolean(number) && owners.some((owner) => /^voice:/i.test(owner) && normalizeNumber(owner) === number);
}

function parametersOf(cfg, request) {
  const full = request.tools === "full";
  const prompt = [ON_THE_PHONE, full ? "" : READ_ONLY, request.resumed ? AGAIN : ""];
  return {
    prompt: request.request,
    extraSystemPrompt: prompt.filter(Boolean).join("\n\n"),
    trigger: "user",
    messageProvider: CHANNEL,
    messageChannel: CHANNEL,
    agentAccountId: ACCOUNT,
    chatType: "direct",
    senderId: request.from || undefined,
    senderE164: request.from || undefined,
    senderIsOwner: full && isOwner(cfg, request.from),
    terminalReplyExpectation: "required",
    reasoningLevel: "off",
    verboseLevel: "off",
    toolResultFormat: "plain",
    ...(full ? {} : { toolsAllow: SAFE_TOOLS, requireWorkspaceOnly: true, disableMessageTool: true }),
  };
}

/** agent.run. `acting()` tells the plugin that the run is about to act. */
export async function runAgent({ runtime, log, request, signal, progress, acting }) {
  if (request.tools !== "safe" && request.tools !== "full") {
    throw new RequestError(OC.ENOTSUP, "this caller may use no tools");
  }
  if (!request.request?.trim()) throw new RequestError(OC.EINVAL, "an empty request");
  const cfg = runtime.config.current();
  const route = await sessionOf(runtime, cfg, request);
  const sessionKey = request.session_key || route.sessionKey;
  const agentId = agentOf(sessionKey, route);
  const { entry, storePath } = await ensureSession(runtime, cfg, agentId, sessionKey);
  const { provider, model } = runtime.modelConfig.resolveDefaultModelForAgent({ cfg, agentId });
  const timeoutMs = request.timeout_ms > 0 ? request.timeout_ms : runtime.agent.resolveAgentTimeoutMs({ cfg });

  let begun;
  const run = {
    id: `voice-${randomUUID()}`, level: request.tools, proven: request.level === "proven", sessionKey, ended: false, guarded: new Set(),
    acting: () => (begun ??= acting(request.run)),
  };
  let timedOut = false;
  const limit = new AbortController();
  const timer = setTimeout(() => {
    timedOut = true;
    limit.abort(new Error("time is up"));
  }, timeoutMs);
  const abortSignal = AbortSignal.any([signal, limit.signal]);
  abortSignal.addEventListener("abort", () => { run.ended = true; }, { once: true });
  runs.set(run.id, run);
  try {
    signal.throwIfAborted();
    const result = await runtime.agent.runEmbeddedAgent({
      ...parametersOf(cfg, request),
      runId: run.id, agentId, sessionKey, sessionId: entry.sessionId,
      sessionTarget: { agentId, sessionId: entry.sessionId, sessionKey, storePath },
      permissionMode: entry.permissionMode, toolOverrides: entry.toolOverrides, execSession: entry,
      workspaceDir: runtime.agent.resolveAgentWorkspaceDir(cfg, agentId),
      agentDir: runtime.agent.resolveAgentDir(cfg, agentId),
      config: cfg, provider, model, timeoutMs, abortSignal,
      onAgentEvent: (event) => {
        const fault = checkGuarded(run, event, () => limit.abort(new Error("unguarded")));
        if (fault) log?.error?.(fault);
      },
      onPartialReply: (partial) => {
        if (partial?.text) progress({ text: partial.text.slice(0, TEXT_MAX) });
      },
    });
    const text = spokenText(result);
    if (!text || result.meta?.aborted) throw failureOf(result, timedOut);
    return { text };
  } catch (error) {
    if (error instanceof RequestError) throw error;
    if (signal.aborted) throw new RequestError(OC.ECANCELED, "the run was stopped");
    if (timedOut) throw failureOf(null, true);
    throw error;
  } finally {
    run.ended = true;
    clearTimeout(timer);
    runs.delete(run.id);
  }
}

/*
 * The first turn of a process costs seconds, since the agent's code is loaded and its store opened by
 * it: begin one that is never sent, in a session of its own that is removed again.
 */
export async function warmUp(runtime, signal) {
  const begun = Date.now();
  const cfg = runtime.config.current();
  const { agentId } = routeOf(runtime, cfg, "");
  const { provider, model } = runtime.modelConfig.resolveDefaultModelForAgent({ cfg, agentId });
  const sessionKey = `agent:${agentId}:${CHANNEL}:warm-${randomUUID()}`;
  const { entry, storePath } = await ensureSession(runtime, cfg, agentId, sessionKey);
  const enough = new AbortController();
  try {
    await runtime.agent.runEmbeddedAgent({
      ...parametersOf(cfg, { request: "Say nothing.", from: "", tools: "full" }),
      suppressNextUserMessagePersistence: true, disableTrajectory: true,
      enqueue: (task) => task(), /* nobody waits for it, and its end is no error of a queue */
      runId: `voice-warm-${randomUUID()}`, agentId, sessionKey, sessionId: entry.sessionId,
      sessionTarget: { agentId, sessionId: entry.sessionId, sessionKey, storePath },
      workspaceDir: runtime.agent.resolveAgentWorkspaceDir(cfg, agentId),
      agentDir: runtime.agent.resolveAgentDir(cfg, agentId),
      config: cfg, provider, model, timeoutMs: 30000,
      abortSignal: AbortSignal.any([signal, enough.signal]),
      onExecutionPhase: ({ phase }) => {
        if (phase === "context_assembled") enough.abort(new Error("warm"));
      },
    });
  } catch (error) {
    if (!enough.signal.aborted) throw error;
  } finally {
    await removeSession(agentId, storePath, sessionKey);
  }
  return Date.now() - begun;
}
