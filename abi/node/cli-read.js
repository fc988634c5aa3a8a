// SPDX-License-Identifier: MIT
// `openclaw voice status|drain|calls|show|transcript|callers|missed|handoffs|why`: what there is to look at.
import { ask, line, seconds, time } from "./cli-ask.js";

function printFields(answer) {
  for (const [key, value] of Object.entries(answer)) {
    console.log(`${key}: ${typeof value === "object" && value ? JSON.stringify(value) : value}`);
  }
}

/** What is known of a call, with times that people read. */
function printCall(call) {
  const known = Object.entries(call).filter(([, value]) => value !== "" && value !== null);
  printFields(Object.fromEntries(known.map(([key, value]) => [
    key === "from" && call.direction === "outbound" ? "to" : key, key.endsWith("_at") ? `${time(value)} UTC` : value,
  ])));
}

function printCalls({ calls = [] }) {
  if (!calls.length) console.log("No calls yet.");
  for (const c of calls) {
    const other = c.direction === "outbound" ? `to ${c.from}` : c.from || "withheld";
    line(c.call ?? c.id, time(c.received_at), other, c.state, seconds(c.duration_ms), c.outcome, c.reason);
  }
}

function printTranscript({ turns = [] }) {
  if (!turns.length) console.log("Nothing was said.");
  for (const t of turns) {
    const who = t.who === "caller" ? "caller" : "assistant";
    console.log(`${time(t.at)}  ${who}: ${t.text}${t.interrupted ? " [interrupted]" : ""}`);
  }
}

function printWhy(why) {
  console.log(why.summary ?? why.reason ?? "");
  if (why.cause) console.log(`Cause: ${why.cause}`);
  if (why.cure) console.log(`What to do: ${why.cure}`);
  for (const h of why.hops ?? []) {
    console.log(`${String(h.after_ms).padStart(8)} ms  ${h.text}${h.detail ? ` (${h.detail})` : ""}`);
  }
  for (const t of why.tools ?? []) console.log(`tool ${t.name}: ${t.state}`);
}

function printCallers({ callers = [] }) {
  if (!callers.length) console.log("Nobody has called yet.");
  for (const c of callers) line(c.number, c.person, c.name, `${c.call_count ?? 0} calls`, time(c.last_seen));
}

function printMissed({ missed = [] }) {
  if (!missed.length) console.log("No missed calls.");
  for (const c of missed) line(c.call ?? c.id, time(c.received_at ?? c.at), c.from || "withheld", c.reason);
}

function printHandoffs({ handoffs = [] }) {
  if (!handoffs.length) console.log("No handoffs.");
  for (const h of handoffs) line(h.id, time(h.created_at ?? h.at), h.call, h.channel, h.to, h.state, h.error);
}

function printDrain({ status, draining }) {
  if (!draining) console.log(status === "ok" ? "Calls are taken again." : status);
  else console.log(`No new calls are taken. ${draining.live} live; the rest may take ${seconds(draining.left_ms)}.`);
}

export function registerReading(add) {
  add("status", "how the channel is").action((o) => ask("voice.status", {}, o, printFields));
  add("drain", "before a stop: no new calls, live ones may finish; look again by `openclaw voice status`")
    .option("--seconds <n>", "at most so long; call.drain_seconds of the configuration otherwise")
    .option("--cancel", "take calls again", false)
    .action((o) => ask("voice.drain", { seconds: o.seconds === undefined ? undefined : Number(o.seconds), cancel: o.cancel }, o,
      printDrain, { change: true }));
  add("calls", "the latest calls").action((o) => ask("voice.calls", {}, o, printCalls));
  add("show <call>", "one call: how it stands, how it ended, what can be done to it")
    .action((id, o) => ask("voice.call", { id }, o, printCall));
  add("transcript <call>", "what was said").action((id, o) => ask("voice.transcript", { id }, o, printTranscript));
  const get = (path, print) => (o) => ask("voice.http", { path }, o, print);
  add("callers", "who has called").action(get("/callers", printCallers));
  add("missed", "calls that nobody took").action(get("/missed-calls", printMissed));
  add("handoffs", "conversations that moved to another channel").action(get("/handoffs", printHandoffs));
  add("why <call>", "what happened, hop by hop").action((id, o) => ask("voice.why", { id }, o, printWhy));
}
