// SPDX-License-Identifier: MIT
// What a caller's run may touch. Two locks: the run is given a list of tools, and every tool call of it
// is looked at again before it starts, by a hook that refuses what it does not know.

/** Read-only: they change nothing and carry nothing out of the machine but a search. */
export const SAFE_TOOLS = ["read", "memory_search", "memory_get", "web_search"];

/** Places calls (call-tool.js): of callers only for those who are proven. */
export const CALL_TOOL = "voice_call";

/** Find and describe tools; tool_call then calls one, which passes the hook under its own name. */
const CONTROLS = new Set(["tool_search", "tool_describe", "tool_call"]);

/** More that only look, for a run that may do all: using them does not count as acting. */
const LOOKING = new Set([
  ...SAFE_TOOLS, ...CONTROLS, "ls", "web_fetch", "x_search", "view_image", "agents_list", "get_goal",
  "sessions_list", "sessions_history", "sessions_search", "conversations_list",
]);

const SAFE = new Set([...SAFE_TOOLS, ...CONTROLS]);

const refuse = (blockReason) => ({ block: true, blockReason });

/*
 * The runs under way by their id. A run loads the plugins it needs once more, so that the hook may be
 * another copy's than the one that began the run: all copies share this.
 */
export const runs = (globalThis[Symbol.for("openclaw-voice.runs")] ??= new Map());

/** A call without a run id belongs to a run of that session, if there is one: rather refuse. */
function runOf(runId, sessionKey) {
  if (runId) return runs.get(runId);
  return [...runs.values()].find((run) => run.sessionKey === sessionKey);
}

/**
 * The before_tool_call hook. A run is { id, sessionKey, level, proven, ended, guarded, acting() }: proven says that
 * the caller proved who they are in this call, guarded holds the tools the hook saw, acting() resolves once it is written down that the run begins to act.
 */
export async function guardTool(event, ctx) {
  const run = runOf(event.runId ?? ctx?.runId, ctx?.sessionKey);
  if (!run) return undefined;
  run.guarded.add(event.toolName);
  if (run.ended) return refuse("The call's request was withdrawn.");
  if (run.level !== "full") {
    if (SAFE.has(event.toolName)) return undefined;
    return refuse(`${event.toolName} is not allowed: this caller may only read. Say that it needs their PIN.`);
  }
  if (LOOKING.has(event.toolName)) return undefined;
  if (event.toolName === CALL_TOOL && !run.proven) {
    return refuse("A caller who is not proven may not have others called, whatever tools they have. Say that it needs their PIN.");
  }
  try {
    await run.acting();
  } catch (error) {
    return refuse(`Not started, because the call no longer wants it (${error?.code ?? error?.message ?? error}).`);
  }
  return run.ended ? refuse("The call's request was withdrawn.") : undefined;
}

/**
 * Looks at what a run reports of its tools: whether one ran that the hook never saw, as would be if an
 * operator or another way to run agents left our hook out. Then a reader is stopped, and of one that
 * may act it is at least written down. Returns what to say of it, once.
 */
export function checkGuarded(run, event, stop) {
  const { phase, name } = event?.stream === "tool" ? (event.data ?? {}) : {};
  if (phase !== "result" || !name || run.guarded.has(name)) return undefined;
  run.guarded.add(name);
  if (run.level !== "full") stop();
  else if (!LOOKING.has(name)) run.acting().catch(() => {});
  return `${name} ran without this plugin's before_tool_call hook`;
}
