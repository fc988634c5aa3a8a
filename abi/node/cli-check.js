// SPDX-License-Identifier: MIT
// `openclaw voice setup|smoke`: whether calls can work, what to fix, and on demand one real call, hop by hop.
import { setTimeout as delay } from "node:timers/promises";
import { callGateway, time } from "./cli-ask.js";
import { refusalOf } from "./refusal.js";
import { state } from "./state.js";

const CHECK_MS = 60000;
const TELL_AFTER_MS = 2000;
const POLL_MS = 1000;
const CALL_MINUTES = 2;
/** Ringing, the call, and a queue before it. */
const CALL_MS = 10 * 60000;
const PURPOSE = "A test of the telephone: say that it works, answer what is asked, and end the call when the other "
  + "side is content.";

const print = (text) => process.stdout.write(`${text}\n`);

/** Says on stderr that it goes on; what it returns ends that. */
function progress(text, quiet) {
  if (quiet) return () => {};
  const began = Date.now();
  const tty = process.stderr.isTTY;
  const tell = () => {
    const line = `${text} (${Math.round((Date.now() - began) / 1000)} s)`;
    process.stderr.write(tty ? `\r${line}` : `${line}\n`);
  };
  let ticking;
  const first = setTimeout(() => {
    tell();
    if (tty) ticking = setInterval(tell, 1000);
  }, TELL_AFTER_MS);
  return () => {
    clearTimeout(first);
    clearInterval(ticking);
    if (ticking) process.stderr.write("\r\u001b[K");
  };
}

/* ---- The report ---- */

const STOPPED = ["the channel does not run in the gateway; what follows was looked at from here",
  "Fix what fails below, then: openclaw gateway call channels.start --params '{\"channel\":\"voice\"}'"];
const silentGateway = (why) => [`the gateway does not answer (${why}); what follows was looked at from here`,
  "Start it: openclaw gateway run, or openclaw gateway start for the service."];

/** The report of the running channel; where there is none, what this process finds, and that it is so. */
async function reportOf(options, cfg) {
  const timeout = String(Math.max(Number(options.timeout) || 0, CHECK_MS));
  try {
    return await callGateway("voice.check", {}, { ...options, timeout }, { change: true });
  } catch (error) {
    if (options.url) throw error; /* another machine's: what stands here says nothing of it */
    const { checkAlone, finding, withFindings } = await import("./check.js");
    const why = String(error?.message ?? error).split("\n")[0];
    const [detail, cure] = /voice is not running|unknown method/i.test(why) ? STOPPED : silentGateway(why);
    return withFindings(await checkAlone(state.runtime, cfg), [finding("gateway.running", "fail", detail, cure)]);
  }
}

async function look(options, cfg) {
  const done = progress("looking at keys, webhook, carrier and numbers", options.json);
  try {
    const report = await reportOf(options, cfg);
    if (!report.ok) process.exitCode = 1;
    return report;
  } finally {
    done();
  }
}

function printFindings(checks) {
  const width = Math.max(0, ...checks.map((c) => c.check.length));
  for (const { check, result, detail, cure } of checks) {
    print(`${result.padEnd(4)}  ${check.padEnd(width)}  ${detail}`);
    if (cure) print(`      ${" ".repeat(width)}  -> ${cure}`);
  }
}

const ENTER = {
  openai_webhook_url: "OpenAI, project settings, Webhooks, event realtime.call.incoming: ",
  sip_uri: "SIP trunk that points straight at OpenAI: ",
  twilio_voice_url: "Twilio, the number's voice webhook (HTTP POST): ",
};

function printEnter(enter = {}) {
  const given = Object.keys(ENTER).filter((key) => enter[key]);
  if (given.length) print("\nTo be entered elsewhere:");
  for (const key of given) print(`  ${ENTER[key]}${enter[key]}`);
}

function printCounts({ ok, warn, fail, skip }) {
  print(`\n${ok} ok, ${warn} to look at, ${fail} to fix, ${skip} not checked`);
}

async function setup(options, cfg) {
  const report = await look(options, cfg);
  if (options.json) {
    print(JSON.stringify(report, null, 2));
    return;
  }
  printFindings(report.checks);
  printEnter(report.enter);
  printCounts(report.counts);
}

/* ---- One call ---- */

async function get(path, options) {
  const answer = await callGateway("voice.http", { path }, options);
  if (answer.status !== 200) throw new Error(refusalOf(answer));
  return answer.body;
}

/** Follows a call to its end, and tells each hop as it comes. */
async function follow(id, options, tell) {
  let told = 0;
  for (const end = Date.now() + CALL_MS; ; await delay(POLL_MS)) {
    const call = await get(`/calls/${id}`, options);
    const why = await get(`/calls/${id}/why`, options);
    why.hops.slice(told).forEach(tell);
    told = why.hops.length;
    if (call.state === "over") return { call, why };
    if (Date.now() > end) {
      throw new Error(`${id} is not over after ${CALL_MS / 60000} minutes: openclaw voice hangup ${id}`);
    }
  }
}

function printHop({ after_ms: after, hop, text, detail }) {
  print(`${String(after).padStart(8)} ms  ${text || hop}${detail ? ` (${detail})` : ""}`);
}

function printEnd(call, why) {
  print(`\n${call.outcome ?? call.status}: ${why.summary ?? ""}${call.detail ? ` ${call.detail}` : ""}`);
  if (why.cause) print(`Cause: ${why.cause}`);
  if (why.cure) print(`What to do: ${why.cure}`);
}

async function place(options) {
  const asked = { to: options.to, max_minutes: CALL_MINUTES, purpose: PURPOSE };
  const { call_id: id, to, due_at: due } = await callGateway("voice.dial", asked, options, { change: true });
  if (!options.json) print(`\n${id} to ${to}${due ? `, begins at ${time(due)} UTC, after the quiet hours there` : ""}`);
  if (due) return { call: id, to, due_at: due };
  const { call, why } = await follow(id, options, options.json ? () => {} : printHop);
  if (call.outcome !== "answered" || why.went_wrong) process.exitCode = 1;
  if (!options.json) printEnd(call, why);
  return { ...call, why };
}

function printReadiness(report, { to, yes }) {
  printFindings(report.checks.filter((c) => c.result === "fail" || c.result === "warn"));
  printCounts(report.counts);
  if (!report.ok) print("Calls cannot be relied on before that is fixed; openclaw voice setup shows all of it.");
  else if (!to) print("Calls should work. One real call: openclaw voice smoke --to +15551234567 --yes");
  else if (!yes) print(`Nobody was called. With --yes, ${to} is; it costs what a call costs.`);
}

async function smoke(options, cfg) {
  const report = await look(options, cfg);
  if (!options.json) printReadiness(report, options);
  const call = report.ok && options.to && options.yes ? await place(options) : undefined;
  if (options.json) print(JSON.stringify({ ...report, call }, null, 2));
}

export function registerChecking(add, _group, cfg) {
  add("setup", "looks at keys, webhook, carrier, numbers and the gateway, and says what to fix; places no call")
    .action((o) => setup(o, cfg));
  add("smoke", "the same in short; with --to and --yes it places one call and tells it hop by hop")
    .option("--to <number>", "whom to call").option("--yes", "really call", false)
    .action((o) => smoke(o, cfg));
}
