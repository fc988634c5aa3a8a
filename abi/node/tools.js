// SPDX-License-Identifier: MIT
// What a caller's run may touch. Two locks: the run is given a list of tools, and every tool call of it
// is looked at again before it starts, by a hook that refuses what it does not know.

/** Read-only: they change nothing and carry nothing out of the machine but a search. */
export const SAFE_TOOLS = ["read", "memory_search", "memory_get", "web_search"];

/** Find and describe tools; tool_call then calls one, which passes the hook under its own name. */
const CONTROLS = new Set(["tool_search", "tool_describe", "tool_call"]);

const SAFE = new Set(SAFE_TOOLS);

const refuse = (blockReason) => ({ block: true, blockReason });

/**
 * The before_tool_call hook. `runs` finds the run a call belongs to: { level, acting() }, where acting()
 * resolves once it is written down that this run has begun to act.
 */
export function toolGuard(runs) {
  return async (event, ctx) => {
    const run = runs.find(event.runId ?? ctx?.runId, ctx?.sessionKey);
    if (!run) return undefined;
    if (run.ended) return refuse("The call's request was withdrawn.");
    if (CONTROLS.has(event.toolName) || SAFE.has(event.toolName)) return undefined;
    if (run.level !== "full") {
      return refuse(`${event.toolName} is not allowed: this caller may only read. Say that it needs their PIN.`);
    }
    try {
      await run.acting();
    } catch (error) {
      return refuse(`Not started, because the call no longer wants it (${error?.code ?? error?.message ?? error}).`);
    }
    return run.ended ? refuse("The call's request was withdrawn.") : undefined;
  };
}
