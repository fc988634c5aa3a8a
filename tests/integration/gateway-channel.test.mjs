// SPDX-License-Identifier: MIT
// t-limit: 420
// The channel in the real gateway, with a mock plugin that does as it is told: what the gateway shows of
// it, who may call, the agent's turns and what they may touch, and its starts and stops.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test as nodeTest } from "node:test";
import { gatewaySkip, pluginDir, startGateway } from "../lib/gateway.mjs";
import { buildDir, processUse, sleep, slower, tmpdir, waitFor } from "../lib/util.mjs";
import { startModel } from "../sim/index.mjs";

const CALLER = "+15550001111";
const test = (name, run) => nodeTest(name, { skip: gatewaySkip }, run);
let gateway;
let model;

before(async () => {
  if (gatewaySkip) return;
  const plugin = path.join(tmpdir("ocv-mock"), "openclaw-voice");
  fs.cpSync(pluginDir, plugin, { recursive: true });
  fs.rmSync(path.join(plugin, "openclaw_voice.so"));
  fs.copyFileSync(path.join(buildDir, "tests/conformance/so_mock_plugin.so"), path.join(plugin, "openclaw_voice.so"));
  model = await startModel({});
  gateway = await startGateway({
    model, plugin,
    voice: { dmPolicy: "pairing", allowFrom: [`voice:+1 (555) 000-1111`, "tel:+49 30 1234567", "5551234", "accessGroup:office"] },
    config: {
      commands: { ownerAllowFrom: ["telegram:1"] },
      session: { identityLinks: { alice: ["telegram:777", "voice:+15550003333"], bob: ["discord:5"] } },
      accessGroups: { office: { type: "message.senders", members: { voice: ["+15550002222"], telegram: ["9"] } } },
    },
  });
  fs.chmodSync(gateway.stateDir, 0o700);
  fs.chmodSync(gateway.configFile, 0o600);
});

after(async () => {
  if (gatewaySkip) return;
  const how = await gateway?.stop().finally(() => model.close());
  assert.equal(how?.code, 0, JSON.stringify(how));
});

/** Makes the mock ask the gateway for something. */
async function ask(name, request, signal) {
  const res = await fetch(`${gateway.voiceUrl}/request/${name}`, { method: "POST", body: JSON.stringify(request), signal });
  return res.json();
}

const mockStatus = () => gateway.rpc("voice.status");

let asked = 0;
/** One agent turn; `rule` is what the model does with the words. */
function run(more, rule) {
  const words = `request ${++asked}`;
  if (rule) model.rules.unshift({ match: (said) => said.includes(`${words}.`), ...rule });
  return ask("agent.run", {
    run: `run_${asked}`, call: "call_1", from: CALLER, level: "known", tools: "safe", timeout_ms: 20000 * slower,
    request: `This is ${words}.`, ...more,
  }, more.signal);
}

test("status, doctor and audit show a channel that is well", async () => {
  const [status, doctor, audit] = await Promise.all([
    gateway.cli(["channels", "status"]), gateway.cli(["plugins", "doctor"]), gateway.cli(["security", "audit", "--json"]),
  ]);
  assert.match(status.stdout, /Voice default: enabled, configured, running/);
  assert.equal(doctor.code, 0, doctor.stdout);
  assert.match(doctor.stdout, /checks passed/);
  const { findings } = JSON.parse(audit.stdout);
  assert.deepEqual(findings.filter((f) => /voice/i.test(`${f.checkId} ${f.title} ${f.detail}`)), []);
  const shown = (await gateway.rpc("channels.status", {})).channelAccounts.voice[0];
  assert.equal(shown.running, true);
  assert.equal(shown.port, gateway.voicePort);
});

test("methods answer, refuse what is no id, and the command line shows them", async () => {
  assert.equal((await mockStatus()).port, gateway.voicePort);
  assert.deepEqual(await gateway.rpc("voice.why", { id: "rtc_u0_abc" }), { mock: true });
  for (const id of ["a/../b", "", 7, undefined]) {
    await assert.rejects(gateway.rpc("voice.transcript", { id }), (e) => e.details.code === "INVALID_REQUEST");
  }
  const { stdout, code } = await gateway.cli(["voice", "status"]);
  assert.equal(code, 0);
  assert.match(stdout, new RegExp(`port: ${gateway.voicePort}`));
});

test("who may call is mirrored as exact numbers", async () => {
  assert.deepEqual((await mockStatus()).policy, {
    dm_policy: "pairing", allow_from: [CALLER, "+49301234567", "+15550002222"], paired: [], linked: ["+15550003333"],
  });
  assert.match(gateway.output(200), /allowFrom: ignored.*5551234/);
});

test("pairing: one code for a number, approved by the command line, known within seconds", async () => {
  const first = await ask("pairing.request", { number: "+15550004444" });
  assert.equal(first.code, 0);
  assert.match(first.reply.code, /^[A-HJ-NP-Z2-9]{8}$/);
  assert.equal(first.reply.created, true);
  const again = await ask("pairing.request", { number: "+15550004444" });
  assert.deepEqual(again.reply, { code: first.reply.code, created: false });
  for (const number of ["", "anonymous", "+1", "555-4444"]) {
    assert.equal((await ask("pairing.request", { number })).code, -2, number);
  }
  const listed = await gateway.cli(["pairing", "list", "voice", "--json"]);
  assert.deepEqual(JSON.parse(listed.stdout).requests.map((r) => [r.id, r.code]), [["+15550004444", first.reply.code]]);
  assert.equal((await gateway.cli(["pairing", "approve", "voice", first.reply.code])).code, 0);
  await waitFor(async () => (await mockStatus()).policy.paired.includes("+15550004444"), { timeoutMs: 5000 });
  for (const n of [1, 2, 3]) await ask("pairing.request", { number: `+1555000555${n}` });
  assert.equal((await ask("pairing.request", { number: "+15550005559" })).code, -8);
});

test("a change of allowFrom is passed on without a restart", async () => {
  const { pid } = gateway;
  const starts = () => (gateway.log.text.match(/listening on http/g) ?? []).length;
  const before = starts();
  const config = JSON.parse(fs.readFileSync(gateway.configFile, "utf8"));
  config.channels.voice.allowFrom = [CALLER, "+15550006666"];
  config.channels.voice.dmPolicy = "allowlist";
  fs.writeFileSync(gateway.configFile, JSON.stringify(config, null, 2));
  await waitFor(async () => (await mockStatus()).policy.allow_from.includes("+15550006666"), { timeoutMs: 15000 });
  assert.equal((await mockStatus()).policy.dm_policy, "allowlist");
  assert.equal(starts(), before);
  assert.equal(gateway.pid, pid);
});

test("a session is prepared while the phone rings", async () => {
  const { code, reply } = await ask("session.prepare", { call: "call_1", from: CALLER, level: "known" });
  assert.equal(code, 0);
  assert.equal(reply.session_key, `agent:main:voice:caller:${CALLER}`);
  assert.equal(reply.agent_id, "main");
  const { sessions } = await gateway.rpc("sessions.list", {});
  assert.ok(sessions.some((s) => s.key === reply.session_key));
  assert.ok(!sessions.some((s) => /warm/.test(s.key)), "the session that warmed the agent is gone");
});

test("a turn: its words so far, its answer, its session, and what the agent is told of the phone", async () => {
  const { code, reply, progress } = await run({}, { reply: "Berlin is mild today, about fourteen degrees.", chunkMs: 60, chunks: 6 });
  assert.equal(code, 0);
  assert.deepEqual(reply, { text: "Berlin is mild today, about fourteen degrees." });
  assert.ok(progress.length >= 2, JSON.stringify(progress));
  for (const [i, news] of progress.entries()) {
    assert.ok(reply.text.startsWith(news.text));
    if (i) assert.ok(news.text.length >= progress[i - 1].text.length);
  }
  const chat = model.chats.at(-1);
  const system = JSON.stringify(chat.body.messages.filter((m) => m.role === "system" || m.role === "developer"));
  assert.match(system, /live phone call/);
  assert.match(system, /read-only tools/);
  const next = await run({ session_key: `agent:main:voice:caller:${CALLER}`, resumed: true });
  assert.equal(next.code, 0);
  assert.match(JSON.stringify(model.chats.at(-1).body.messages), /Berlin is mild today/);
  assert.match(JSON.stringify(model.chats.at(-1).body.messages), /cut off: look before/);
});

test("what cannot be run is answered with a code", async () => {
  assert.equal((await run({ tools: "none" })).code, -6);
  assert.equal((await run({ tools: "everything" })).code, -6);
  assert.equal((await run({ request: "  " })).code, -2);
  assert.equal((await ask("coffee.make", {})).code, -6);
  const slow = await run({ timeout_ms: 1500 }, { delayMs: 8000 });
  assert.equal(slow.code, -10, JSON.stringify(slow));
  const failed = await run({}, { status: 400, body: { error: { message: "simulated refusal", type: "invalid_request_error" } } });
  assert.equal(failed.code, -1, JSON.stringify(failed));
});

test("a request that is withdrawn ends its run", async () => {
  const gone = new AbortController();
  const before = (await mockStatus()).cancelled;
  const running = run({ signal: gone.signal }, { delayMs: 15000 }).catch((e) => e.name);
  const chat = await model.waitChat((c) => c.words.includes(`request ${asked}.`), 10000);
  gone.abort();
  assert.equal(await running, "AbortError");
  await waitFor(() => chat.aborted, { timeoutMs: 4000, what: "the model's request to be closed" });
  assert.equal((await mockStatus()).cancelled, before + 1);
});

test("safe: no way to a tool that acts, direct or through the compact surface", async () => {
  fs.writeFileSync(path.join(gateway.workspace, "MEMORY.md"), "The dog is called Rex.\n");
  const mark = path.join(gateway.workspace, "acted");
  const acting = [
    ["exec", { command: `touch ${mark}` }], ["bash", { command: `touch ${mark}` }],
    ["write", { path: mark, content: "x" }], ["edit", { path: "MEMORY.md", edits: [{ oldText: "Rex", newText: "Tom" }] }],
    ["apply_patch", { input: "*** Begin Patch\n*** Add File: acted\n+x\n*** End Patch" }],
    ["process", { action: "list" }], ["message", { action: "send", channel: "telegram", target: "777", message: "x" }],
    ["sessions_send", { sessionKey: "agent:main:main", message: "x" }], ["sessions_spawn", { task: `touch ${mark}` }],
    ["automations", { action: "list" }], ["gateway", { action: "restart" }], ["nodes", { action: "list" }],
    ["web_fetch", { url: "http://127.0.0.1:1/" }], ["session_status", { model: "other" }],
    ["openclaw:core:exec", { command: `touch ${mark}` }],
  ];
  const before = await mockStatus();
  for (const [name, args] of acting) {
    for (const tool of [{ name, args }, { name: "tool_call", args: { id: name, args } }]) {
      const { code, reply } = await run({}, { tool, reply: ({ toolResult }) => `Result: ${toolResult}` });
      assert.equal(code, 0, JSON.stringify(reply));
      assert.match(reply.text, /Unknown tool|not found|not allowed|not available/i, `${name}: ${reply.text}`);
    }
  }
  const offered = new Set(model.chats.at(-1).body.tools.map((t) => t.function.name));
  assert.deepEqual([...offered].sort(), ["read", "tool_call", "tool_describe", "tool_search"]);
  assert.equal(fs.existsSync(mark), false);
  assert.match(fs.readFileSync(path.join(gateway.workspace, "MEMORY.md"), "utf8"), /Rex/);
  assert.equal((await mockStatus()).acted, before.acted);

  const use = (name, args) => run({}, { tool: { name, args }, reply: ({ toolResult }) => `Result: ${toolResult}` });
  assert.match((await use("read", { path: "MEMORY.md" })).reply.text, /Rex/);
  assert.match((await use("memory_search", { query: "dog" })).reply.text, /"results"/);
  const outside = await use("read", { path: gateway.configFile });
  assert.doesNotMatch(outside.reply.text, new RegExp(gateway.token));
  assert.match(outside.reply.text, /escapes/);
});

test("full: the plugin is told before a tool acts, and may forbid it", async () => {
  const mark = path.join(gateway.workspace, "written");
  const write = () => run({ tools: "full", level: "proven" }, {
    tool: { name: "write", args: { path: mark, content: "x" } }, reply: ({ toolResult }) => `Result: ${toolResult}`,
  });
  const { acted } = await mockStatus();
  const looking = await run({ tools: "full", level: "proven" }, { tool: { name: "read", args: { path: "MEMORY.md" } } });
  assert.equal(looking.code, 0);
  assert.equal((await mockStatus()).acted, acted);

  await fetch(`${gateway.voiceUrl}/forbid`, { method: "POST" });
  const forbidden = await write();
  assert.match(forbidden.reply.text, /Not started/, JSON.stringify(forbidden));
  assert.equal(fs.existsSync(mark), false);
  assert.equal((await mockStatus()).acted, acted + 1);

  await fetch(`${gateway.voiceUrl}/permit`, { method: "POST" });
  const done = await write();
  assert.equal(done.code, 0, JSON.stringify(done));
  assert.equal(fs.readFileSync(mark, "utf8"), "x");
  assert.equal((await mockStatus()).acted, acted + 2);
  assert.doesNotMatch(gateway.output(400), /without this plugin's before_tool_call hook/);
});

test("calls to others are for proven callers, whatever tools a level has", async () => {
  const tool = { name: "voice_call", args: { to: "+15551230001", purpose: "test" } };
  const use = (level) => run({ tools: "full", level }, { tool, reply: ({ toolResult }) => `Result: ${toolResult}` });
  for (const level of ["known", "linked"]) {
    const { reply } = await use(level);
    assert.match(reply.text, /not proven may not have others called/, `${level}: ${reply.text}`);
  }
  const safe = await run({ level: "proven" }, { tool, reply: ({ toolResult }) => `Result: ${toolResult}` });
  assert.match(safe.reply.text, /Unknown tool|not found|not allowed|not available/i);
  const proven = await use("proven");
  assert.doesNotMatch(proven.reply.text, /not proven/);
  assert.match(proven.reply.text, /mock/, "the plugin is asked");
});

test("a turn of another channel is not watched", async () => {
  const mark = path.join(gateway.workspace, "by-owner");
  model.rules.unshift({ match: "owner's own words", tool: { name: "write", args: { path: mark, content: "y" } } });
  const { acted } = await mockStatus();
  const { code, stderr } = await gateway.cli(["agent", "--agent", "main", "--message", "owner's own words"]);
  assert.equal(code, 0, stderr);
  assert.equal(fs.readFileSync(mark, "utf8"), "y");
  assert.equal((await mockStatus()).acted, acted);
});

test("voice takes no text", async () => {
  const { code, stdout, stderr } = await gateway.cli(["message", "send", "--channel", "voice", "--target", CALLER, "--message", "hello"]);
  assert.notEqual(code, 0);
  assert.match(stdout + stderr, /takes no text messages/);
});

test("reloads and restarts leak nothing and keep the port", async () => {
  const healthy = () => waitFor(async () => (await fetch(`${gateway.voiceUrl}/health`)).status === 200, { timeoutMs: 10000 });
  const restart = async () => {
    await gateway.rpc("channels.stop", { channel: "voice" });
    await assert.rejects(fetch(`${gateway.voiceUrl}/health`));
    await gateway.rpc("channels.start", { channel: "voice" });
    await healthy();
  };
  /* The gateway refuses while a turn of the agent is under way, and the first one warms the agent. */
  const reload = async () => {
    await waitFor(() => gateway.rpc("plugins.reload", { plugins: [{ pluginId: "voice" }] }, { timeoutMs: 60000 }), {
      timeoutMs: 20000, everyMs: 500, what: "the reload",
    });
    await healthy();
  };
  await reload();
  await restart();
  const own = () => fs.readdirSync(`/proc/${gateway.pid}/task`).length;
  await sleep(1500);
  const before = { ...processUse(gateway.pid), threads: own() };
  for (let i = 0; i < 3; i++) await reload();
  for (let i = 0; i < 5; i++) await restart();
  await waitFor(() => own() <= before.threads + 2 && processUse(gateway.pid).files <= before.files + 6, {
    timeoutMs: 10000, what: `no more than ${JSON.stringify(before)} but ${JSON.stringify(processUse(gateway.pid))}`,
  });
  assert.equal((await run({})).code, 0);
  const { acted } = await mockStatus();
  const done = await run({ tools: "full", level: "proven" }, {
    tool: { name: "write", args: { path: path.join(gateway.workspace, "after"), content: "x" } },
  });
  assert.equal(done.code, 0);
  assert.equal((await mockStatus()).acted, acted + 1, "the hook works after reloads");
});

test("a fault of the configuration is told in full, and starts nothing until it is mended", async () => {
  const yaml = fs.readFileSync(gateway.yamlFile, "utf8");
  fs.writeFileSync(gateway.yamlFile, `${yaml}\nfault: 3\n`);
  await gateway.rpc("channels.stop", { channel: "voice" });
  await gateway.rpc("channels.start", { channel: "voice" }).catch(() => {});
  const shown = await waitFor(async () => {
    const account = (await gateway.rpc("channels.status", {})).channelAccounts.voice[0];
    return account.lastError && !account.connected && account;
  }, { timeoutMs: 10000 });
  for (const n of [0, 1, 2]) assert.match(shown.lastError, new RegExp(`channels.voice.key${n}: write a number`));
  await assert.rejects(fetch(`${gateway.voiceUrl}/health`));
  fs.writeFileSync(gateway.yamlFile, yaml);
  await waitFor(async () => (await fetch(`${gateway.voiceUrl}/health`)).status === 200, { timeoutMs: 20000 });
});
