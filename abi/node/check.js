// SPDX-License-Identifier: MIT
// The dry run in the gateway: what the plugin finds (plugin/check.h), and before it what only the gateway knows. Where
// the channel does not run, an instance that does nothing else looks at the same things.
import { configOf } from "./account.js";
import { nativeLibrary } from "./native.js";
import { policyOf, readPaired } from "./policy.js";
import { sectionOf } from "./section.js";
import { routeOf } from "./sessions.js";

export const finding = (check, result, detail, cure) => ({ check, result, detail, ...(cure ? { cure } : {}) });

function channelFinding(cfg) {
  const section = sectionOf(cfg);
  if (!section) {
    return finding("gateway.channel", "fail", "openclaw.json has no channels.voice",
      'Write channels: { voice: { enabled: true, configFile: "/path/to/openclaw-voice-config.yaml" } }.');
  }
  if (section.enabled !== true) {
    return finding("gateway.channel", "fail", "channels.voice.enabled is not true",
      "Write channels.voice.enabled: true.");
  }
  return finding("gateway.channel", "ok", "channels.voice is switched on");
}

const EVERYBODY = ["warn", 'everybody may call, since "*" stands in allowFrom', 'Remove "*", unless that is meant.'];

/* Of each dmPolicy: what it means with so many numbers in allowFrom, `all` when "*" is among them. */
const CALLERS = {
  pairing: (n, all) => (all ? EVERYBODY
    : ["ok", `paired numbers and those of allowFrom (${n}) may call; others may ask to be paired`]),
  allowlist: (n, all) => {
    if (all) return EVERYBODY;
    return n ? ["ok", `numbers of allowFrom (${n}) may call, and no others`]
      : ["warn", "allowFrom is empty: nobody may call",
        "List numbers in channels.voice.allowFrom, or set dmPolicy: pairing."];
  },
  open: (n, all) => (all ? ["warn", "everybody may call", 'Set dmPolicy: "pairing", unless that is meant.']
    : ["warn", `dmPolicy is open, but without "*" in allowFrom its ${n} numbers alone may call`,
      'Add "*", or set dmPolicy: allowlist.']),
  disabled: () => ["warn", "dmPolicy is disabled: nobody may call", 'Set dmPolicy: "pairing".'],
};

function callerFindings({ dm_policy: how, allow_from: allowed }, bad) {
  const numbers = allowed.filter((entry) => entry !== "*");
  const found = [];
  if (how === null) {
    found.push(finding("gateway.callers", "ok",
      "there is no dmPolicy: security.voice.unknown_caller_policy of the configuration file decides who may call"));
  } else if (Object.hasOwn(CALLERS, how)) {
    found.push(finding("gateway.callers", ...CALLERS[how](numbers.length, allowed.includes("*"))));
  } else {
    found.push(finding("gateway.callers", "fail", `there is no dmPolicy ${how}`,
      "Write pairing, allowlist, open or disabled."));
  }
  if (bad.length) {
    found.push(finding("gateway.callers", "warn",
      `entries of allowFrom are no numbers and match nobody: ${bad.join(", ")}`, "Write numbers such as +15551234567."));
  }
  return found;
}

/** Calls and chats of one person are one conversation only under some scopes. */
function sessionFindings(cfg, linked) {
  const scope = cfg.session?.dmScope ?? "main";
  if (!linked.length || !/^per-(account-)?channel-peer$/.test(scope)) return [];
  return [finding("gateway.sessions", "warn",
    `session.dmScope is ${scope}: calls and chats of linked people (${linked.length}) are different conversations`,
    "Set session.dmScope: per-peer, under which identityLinks join them.")];
}

/** Where a conversation may be sent to. */
function handoffFindings(cfg, wanted) {
  if (!wanted.length) return [];
  const ready = wanted.filter((id) => cfg.channels?.[id] && cfg.channels[id].enabled !== false);
  const rest = wanted.filter((id) => !ready.includes(id)).join(", ");
  if (ready.length) {
    return [finding("gateway.handoff", "ok",
      `${ready.join(", ")} can take a conversation over${rest ? `; not set up: ${rest}` : ""}`)];
  }
  return [finding("gateway.handoff", "warn", `none of ${rest} is set up: "send me that on ..." cannot be done`,
    "Set one of these channels up, or set channels.voice.integration.handoff_enabled: false.")];
}

function agentFindings(runtime, cfg, account) {
  let name;
  try {
    const { agentId } = routeOf(runtime, cfg, "");
    const { provider, model } = runtime.modelConfig.resolveDefaultModelForAgent({ cfg, agentId });
    name = `agent ${agentId} (${provider}/${model})`;
  } catch (error) {
    return [finding("gateway.agent", "fail", `no agent takes calls: ${error?.message ?? error}`,
      "Set agents.defaults.model, and bindings if there are several agents.")];
  }
  if (!account) return [finding("gateway.agent", "skip", `${name} is loaded when the channel runs`)];
  if (!account.warm) return [finding("gateway.agent", "skip", `${name} is being loaded; look again in a minute`)];
  if (account.warm.error) {
    return [finding("gateway.agent", "fail", `${name} could not be loaded: ${account.warm.error}`,
      "`openclaw agent --message hello` shows the same without a call.")];
  }
  return [finding("gateway.agent", "ok", `${name} is loaded; its model was not asked`)];
}

/** What only the gateway knows. account: the running one, or null; handoff: channels of the plugin's configuration. */
function gatewayFindings(runtime, cfg, account, handoff) {
  const { policy, bad } = policyOf(cfg, []);
  return [
    channelFinding(cfg), ...callerFindings(policy, bad), ...agentFindings(runtime, cfg, account),
    ...sessionFindings(cfg, policy.linked), ...handoffFindings(cfg, handoff),
  ];
}

/** A report with more findings at its head. */
export function withFindings(report, more) {
  const checks = [...more, ...report.checks];
  const counts = { ok: 0, warn: 0, fail: 0, skip: 0 };
  for (const { result } of checks) counts[result] += 1;
  return { ...report, ok: counts.fail === 0, counts, checks };
}

/** voice.check: the report of the running channel. */
export async function checkRunning(runtime, account) {
  const { status, body } = await account.http("POST", "/check");
  if (status !== 200) throw new Error(body?.error ?? `the check answered ${status}`);
  return withFindings(body, gatewayFindings(runtime, runtime.config.current(), account, body.handoff ?? []));
}

const silent = { log() {}, event() {}, request() {}, cancel() {} };

/** Faults of the configuration instead of a report. */
const faultsOf = (error) => ({
  checks: (error.faults?.length ? error.faults : [error.message]).map((text) => finding("config", "fail", text)),
});

async function nativeReport(config) {
  let instance;
  try {
    instance = nativeLibrary().create(JSON.stringify(config), silent);
  } catch (error) {
    return faultsOf(error);
  }
  try {
    await instance.start();
    return JSON.parse(await instance.command("check", "", "{}"));
  } catch (error) {
    if (error.code !== "EFAIL") return faultsOf(error);
    const report = JSON.parse(error.json); /* something is to be fixed */
    return report.checks ? report : faultsOf(new Error(report.error));
  } finally {
    await instance.destroy();
  }
}

/** The same where no channel runs, from this process. */
export async function checkAlone(runtime, cfg) {
  const paired = await readPaired(runtime).catch(() => []);
  const report = await nativeReport({ ...configOf(runtime, cfg, policyOf(cfg, paired).policy), check: true });
  return withFindings(report, gatewayFindings(runtime, cfg, null, report.handoff ?? []));
}
