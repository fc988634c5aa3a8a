// SPDX-License-Identifier: MIT
// `openclaw voice ...`: asks the running gateway.

const time = (ms) => (ms ? new Date(ms).toISOString().replace("T", " ").slice(0, 19) : "-");
const seconds = (ms) => (ms >= 0 ? `${Math.round(ms / 1000)} s` : "-");

function printStatus(status) {
  for (const [key, value] of Object.entries(status)) {
    console.log(`${key}: ${typeof value === "object" && value ? JSON.stringify(value) : value}`);
  }
}

function printCalls({ calls = [] }) {
  if (!calls.length) console.log("No calls yet.");
  for (const c of calls) {
    const line = [c.call ?? c.id, time(c.received_at), c.from || "withheld", c.state, seconds(c.duration_ms), c.reason];
    console.log(line.filter((x) => x !== undefined && x !== null && x !== "").join("  "));
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

const line = (...cells) => console.log(cells.filter((x) => x !== undefined && x !== null && x !== "").join("  "));

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

async function ask(method, params, options, print) {
  const { callGatewayFromCli } = await import("openclaw/plugin-sdk/gateway-runtime");
  let answer = await callGatewayFromCli(method, { timeout: "15000", ...options }, params, { progress: false });
  if (method === "voice.http") {
    if (answer.status !== 200) throw new Error(answer.body?.error?.message ?? `the API answered ${answer.status}`);
    answer = answer.body;
  }
  if (options.json) console.log(JSON.stringify(answer, null, 2));
  else print(answer);
}

export function registerCommands({ program }) {
  const voice = program.command("voice").description("Phone calls: list them, read a transcript, see why a call ended");
  const add = (name, text) => voice.command(name).description(text)
    .option("--json", "print the answer as JSON", false)
    .option("--url <url>", "WebSocket URL of the gateway")
    .option("--token <token>", "token of the gateway")
    .option("--timeout <ms>", "how long to wait", "15000");
  add("status", "how the channel is").action((o) => ask("voice.status", {}, o, printStatus));
  add("calls", "the latest calls").action((o) => ask("voice.calls", {}, o, printCalls));
  add("transcript <call>", "what was said").action((id, o) => ask("voice.transcript", { id }, o, printTranscript));
  const get = (path, print) => (o) => ask("voice.http", { path }, o, print);
  add("callers", "who has called").action(get("/callers", printCallers));
  add("missed", "calls that nobody took").action(get("/missed-calls", printMissed));
  add("handoffs", "conversations that moved to another channel").action(get("/handoffs", printHandoffs));
  add("why <call>", "what happened, hop by hop").action((id, o) => ask("voice.why", { id }, o, printWhy));
}

export const descriptors = [{
  name: "voice",
  description: "Phone calls: list them, read a transcript, see why a call ended",
  hasSubcommands: true,
}];
