// SPDX-License-Identifier: MIT
// `openclaw voice call|hangup|hold|...|recording`: places calls and steers them.
import { ask, line, time } from "./cli-ask.js";

/** How long a command waits for what becomes of an action. */
const WAIT_MS = 10000;
const WAIT_WARM_MS = 30000;

const DONE = {
  hold: "on hold", resume: "no longer on hold", mute: "muted", unmute: "no longer muted", dtmf: "pressed",
  say: "told to the assistant", announce: "announced", transfer: "transferred", invite: "invited", remove: "taken out of the call",
  "recording.pause": "the recording is paused", "recording.resume": "the recording goes on",
};

function printPlaced({ call_id: call, status, to, due_at: due }) {
  line(call, to, status, due ? `begins at ${time(due)} UTC, after the quiet hours there` : "");
}

const printEnd = ({ call_id: call, status }) => line(call, status === "completed" ? "was over already" : "is being ended");

/** An action that failed is an error of the command; one whose outcome is not known yet is said so. */
const printAction = (name) => ({ id, state, error }) => {
  if (state === "failed") throw new Error(`it did not work: ${error || "the carrier did not say why"} (${id})`);
  if (state === "handed_over") line(id, "handed over; nobody says whether it was taken");
  else line(id, state === "done" ? DONE[name] : `${state}; openclaw voice actions <call> shows what became of it`);
};

function printActions({ actions = [] }) {
  if (!actions.length) console.log("Nothing was done to this call.");
  for (const a of actions) line(time(a.at), a.id, a.action, a.state, a.error);
}

/** One command for one method. `body` makes the parameters from the arguments behind the call and the options. */
function steer(add, name, rest, text, body = () => ({}), waitMs = WAIT_MS) {
  const command = add(`${name.split(".").pop()} <call>${rest}`, text);
  command.action((call, ...more) => {
    const options = more.at(-2); /* behind it comes the command itself */
    const params = { id: call, wait_ms: waitMs, ...body(...more) };
    const timeout = String(Math.max(Number(options.timeout) || 0, waitMs + 5000));
    return ask(`voice.${name}`, params, { ...options, timeout }, printAction(name), { change: true });
  });
  return command;
}

function registerDial(add) {
  add("call <to>", "calls a number: +15551234567, or as it is written in outbound.default_country")
    .option("--purpose <text>", "what the call is for")
    .option("--message <text>", "what is said first")
    .option("--context <text>", "what the assistant must know for it")
    .option("--caller-id <number>", "which of our numbers is shown")
    .option("--max-minutes <n>", "the longest it may take")
    .option("--record", "record it, after the notice that is configured")
    .option("--session <key>", "the agent session that is told how it ended")
    .option("--report <chat>", "the chat that is told how it ended, such as telegram:777")
    .option("--key <key>", "the same key gives the same call, and no second one")
    .action((to, o) => {
      const [channel, chat] = /^([a-z0-9_-]+):(.+)$/i.exec(o.report ?? "")?.slice(1) ?? [];
      if (o.report && !chat) throw new Error("--report: a channel and a chat of it, such as telegram:777");
      const told = { session: o.session, channel: channel?.toLowerCase(), to: chat };
      return ask("voice.dial", {
        to, purpose: o.purpose, message: o.message, context: o.context, caller_id: o.callerId, record: o.record,
        max_minutes: o.maxMinutes === undefined ? undefined : Number(o.maxMinutes), idempotency_key: o.key,
        report: o.session || chat ? JSON.parse(JSON.stringify(told)) : undefined,
      }, o, printPlaced, { change: true });
    });
  add("hangup <call>", "ends a call, in every state; one that waits never rings")
    .action((id, o) => ask("voice.hangup", { id }, o, printEnd, { change: true }));
  add("actions <call>", "what was done to a call, and what became of it")
    .action((id, o) => ask("voice.actions", { id }, o, printActions));
}

const partyOf = (o) => (o.party ? { party: o.party } : {});

export function registerCalling(add) {
  registerDial(add);
  steer(add, "hold", "", "puts the other side on hold");
  steer(add, "resume", "", "ends the hold");
  steer(add, "mute", "", "mutes somebody", partyOf).option("--party <name>", "caller, model or a label");
  steer(add, "unmute", "", "unmutes them", partyOf).option("--party <name>", "caller, model or a label");
  steer(add, "dtmf", " <digits>", "presses keys: 0-9 * # A-D, w for half a second", (digits) => ({ digits }));
  steer(add, "transfer", " <to>", "connects with a name of transfer_targets, or a number",
    (to, o) => ({ to, mode: o.warm ? "warm" : "blind", ...(o.summary ? { summary: o.summary } : {}) }), WAIT_WARM_MS)
    .option("--warm", "tell and ask the target first", false).option("--summary <text>", "what the target is told");
  steer(add, "invite", " <to>", "asks a third party into the call", (to) => ({ to }), WAIT_WARM_MS);
  steer(add, "remove", " <party>", "takes somebody out of the call", (party) => ({ party }));
  steer(add, "say", " <text>", "has the assistant say something", (text) => ({ text }));
  steer(add, "announce", " <text>", "has the carrier say something", (text, o) => ({ text, ...partyOf(o) }))
    .option("--party <name>", "to whom alone");
}

/** `recording pause|resume <call>`: a command with two of its own. */
export function registerRecording(add, group) {
  const under = group("recording", "stops and goes on recording a call, such as while card numbers are said");
  steer(under, "recording.pause", "", "records nothing until it is resumed");
  steer(under, "recording.resume", "", "goes on recording");
}
