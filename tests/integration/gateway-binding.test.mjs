// SPDX-License-Identifier: MIT
// The Node-API binding against a mock plugin: nothing leaks, nothing is lost, nothing outlives its
// environment. No gateway in it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { test as nodeTest } from "node:test";
import { fileURLToPath } from "node:url";
import v8 from "node:v8";
import vm from "node:vm";
import { Worker } from "node:worker_threads";
import { buildDir } from "../lib/util.mjs";

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc");

const addon = path.join(buildDir, "openclaw_voice_node.node");
const mock = path.join(buildDir, "tests/conformance/so_mock_plugin.so");

function dlopenAddon() {
  const module = { exports: {} };
  process.dlopen(module, addon, os.constants.dlopen.RTLD_NOW);
  return module.exports;
}

/*
 * What was built with AddressSanitizer needs its runtime preloaded: this file runs itself once more with
 * it. ThreadSanitizer cannot look into Node; tests/conformance/test_node_bridge.c is there for it.
 */
const preload = process.env.OCV_PRELOAD ?? "";
const inside = !preload || (process.env.LD_PRELOAD ?? "").includes(preload);
const test = inside ? nodeTest : () => {};
const binding = inside && dlopenAddon();
const library = inside && binding.load(mock);

if (!inside) {
  nodeTest("the binding under the sanitizer", { skip: /tsan/.test(preload) && "Node is not built for it" }, () => {
    const { NODE_TEST_CONTEXT, ...env } = process.env;
    const options = `${env.ASAN_OPTIONS ?? ""}:detect_leaks=0`; // Node leaves much behind at its end
    const { status, stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], {
      env: { ...env, LD_PRELOAD: preload, ASAN_OPTIONS: options }, encoding: "utf8",
    });
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /pass 1[0-9]/);
    assert.doesNotMatch(stdout + stderr, /Sanitizer|runtime error/);
  });
}
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const threads = () => fs.readdirSync("/proc/self/task").length;
const fds = () => fs.readdirSync("/proc/self/fd").length;

function create(config = {}, more = {}) {
  const seen = { logs: [], events: [], requests: [], cancelled: [] };
  const instance = library.create(JSON.stringify(config), {
    log: (level, line) => seen.logs.push([level, line]),
    event: (name, call, json) => seen.events.push({ name, call, ...JSON.parse(json) }),
    request: (token, name, call, json) => seen.requests.push({ token, name, call, json }),
    cancel: (token) => seen.cancelled.push(token),
    ...more,
  });
  return { instance, seen };
}

async function until(what, ms = 5000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(5)) if (await what()) return;
  assert.fail(`not within ${ms} ms: ${what}`);
}

function connects(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

test("load tells what the plugin is, again and again, and refuses what is none", () => {
  assert.equal(library.name, "mock");
  assert.equal(library.version, "1.2.3");
  assert.equal(library.abi >>> 16, 1);
  assert.equal(library.caps, 1);
  for (let i = 0; i < 20; i++) assert.equal(binding.load(mock).version, "1.2.3");
  assert.throws(() => binding.load("so_mock_plugin.so"), /must be a path/);
  assert.throws(() => binding.load(path.join(buildDir, "none.so")), { code: "EFAIL" });
  assert.throws(() => binding.load(addon), /no openclaw_plugin_entry/);
  assert.throws(() => binding.load(7), { code: "EINVAL" });
});

test("faults of a configuration come as one line each", () => {
  try {
    create({ fault: 3 });
    assert.fail("created");
  } catch (error) {
    assert.equal(error.code, "ECONFIG");
    assert.equal(error.faults.length, 3);
    assert.equal(error.faults[2], "openclaw.json: channels.voice.key2: write a number");
    assert.match(error.message, /key0[^]*key2/);
  }
  assert.throws(() => library.create("{}"), { code: "EINVAL" });
});

test("start, command, request, stop and destroy", async () => {
  const { instance, seen } = create();
  await assert.rejects(instance.command("status", "", ""), { code: "ESTATE" });
  const ready = JSON.parse(await instance.start());
  assert.ok(ready.port > 0);
  await assert.rejects(instance.start(), { code: "ESTATE" });
  assert.equal(JSON.parse(await instance.command("status", "", "{}")).port, ready.port);
  const odd = JSON.stringify({ text: "Grüße 📞 \u0001 \"x\"" });
  assert.equal(await instance.command("mock.echo", "", odd), odd);
  await assert.rejects(instance.command("nonsense", "", "{}"), (error) => {
    assert.deepEqual([error.code, error.rc], ["ENOTSUP", -6]);
    assert.deepEqual(JSON.parse(error.json), { error: "unknown command" });
    return true;
  });

  const asked = instance.command("mock.request.agent.run", "", '{"run":"r1"}');
  await until(() => seen.requests.length === 1);
  const { token, name, call, json } = seen.requests[0];
  assert.deepEqual([typeof token, name, call, json], ["bigint", "agent.run", "call_mock", '{"run":"r1"}']);
  assert.equal(instance.progress(token, '{"text":"a"}'), 0);
  assert.equal(instance.progress(token, '{"text":"ab"}'), 0);
  assert.equal(instance.reply(token, 0, '{"text":"abc"}'), 0);
  assert.deepEqual(JSON.parse(await asked), {
    code: 0, reply: { text: "abc" }, progress: [{ text: "a" }, { text: "ab" }],
  });

  const owed = assert.rejects(instance.command("mock.never", "", ""), { code: "ESTATE" });
  await instance.stop(0, 1000);
  await owed;
  await assert.rejects(instance.stop(0, 1000), { code: "ESTATE" });
  assert.equal(await connects(ready.port), false);
  await instance.destroy();
  await instance.destroy();
  await assert.rejects(instance.command("status", "", ""), { code: "ESTATE" });
  assert.equal(instance.reply(token, 0, "{}"), -5);
  assert.deepEqual(seen.events.map((e) => e.name), ["ready"]);
  assert.ok(seen.logs.some(([level, line]) => level === 2 && line === "listening"));
});

test("arguments of the wrong kind are refused and change nothing", async () => {
  const { instance } = create();
  await instance.start();
  assert.throws(() => instance.reply(1, 0, "{}"), { code: "EINVAL" });
  assert.throws(() => instance.reply(1n, "x", "{}"), { code: "EINVAL" });
  assert.throws(() => instance.reply(-1n, 0, "{}"), { code: "EINVAL" });
  assert.throws(() => instance.command({}, "", ""), { code: "EINVAL" });
  assert.throws(() => instance.stop(0), { code: "EINVAL" });
  assert.throws(() => instance.start.call({}), TypeError);
  assert.throws(() => instance.start.call(library), TypeError);
  assert.equal(JSON.parse(await instance.command("status", "", "")).live, 0);
  await instance.destroy();
});

test("a callback that throws is told of, and its request is answered all the same", async () => {
  const { instance, seen } = create({}, {
    request: () => { throw new Error("no such thing"); },
    event: () => { throw new Error("not that event"); },
  });
  await instance.start();
  const answer = JSON.parse(await instance.command("mock.request.x", "", "{}"));
  assert.equal(answer.code, -1);
  assert.match(answer.reply.error, /handler failed/);
  await until(() => seen.logs.some(([, line]) => /event\(\) threw: Error: not that event/.test(line)));
  assert.ok(seen.logs.some(([, line]) => /request\(\) threw: Error: no such thing/.test(line)));
  await instance.destroy();
});

test("without request() the plugin has a host without services", async () => {
  const { instance } = create({}, { request: undefined });
  await instance.start();
  assert.equal(JSON.parse(await instance.command("mock.request.x", "", "{}")).code, -6);
  await instance.destroy();
});

test("destroy in every state", async () => {
  const made = create();
  await made.instance.destroy();

  const starting = create({ start_ms: 150 });
  const start = starting.instance.start().then(() => "started", (error) => error.code);
  await starting.instance.destroy();
  assert.ok(["started", "ESTATE"].includes(await start));

  const failed = create({ start_fails: true });
  await assert.rejects(failed.instance.start(), { code: "EFAIL" });
  await failed.instance.destroy();

  const running = create();
  const { port } = JSON.parse(await running.instance.start());
  const slow = running.instance.command("mock.slow", "", '{"ms":60000}').catch((e) => e.code);
  await running.instance.destroy();
  assert.equal(await slow, "ESTATE");
  assert.equal(await connects(port), false);

  const stopping = create({ stop_ms: 100 });
  await stopping.instance.start();
  const stopped = stopping.instance.stop(0, 1000);
  await stopping.instance.destroy();
  await stopped;

  const twice = create({ destroy_ms: 100 });
  const first = twice.instance.destroy();
  await assert.rejects(twice.instance.destroy(), { code: "ESTATE" });
  await assert.rejects(twice.instance.start(), { code: "ESTATE" });
  await first;
});

test("destroy does not block JavaScript", async () => {
  const { instance } = create({ destroy_ms: 400 });
  await instance.start();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 10);
  await instance.destroy();
  clearInterval(timer);
  assert.ok(ticks > 15, `${ticks} ticks`);
});

test("50 cycles leak no thread, descriptor or port", async () => {
  for (let i = 0; i < 3; i++) {
    const { instance } = create();
    await instance.start();
    await instance.destroy();
  }
  await sleep(50);
  const before = { threads: threads(), fds: fds() };
  const rss = process.memoryUsage().rss;
  let port = 0;
  for (let i = 0; i < 50; i++) {
    const { instance, seen } = create({ port });
    port = JSON.parse(await instance.start()).port;
    await instance.command("mock.flood", "", '{"events":10,"logs":10,"bytes":100}');
    if (i % 2) await instance.stop(0, 100);
    await instance.destroy();
    assert.equal(seen.events.length, 11);
  }
  await until(() => threads() <= before.threads && fds() <= before.fds);
  assert.equal(await connects(port), false);
  if (!preload) assert.ok(process.memoryUsage().rss - rss < 32 << 20);
});

test("several instances at once", async () => {
  const all = [];
  for (let i = 0; i < 8; i++) all.push(create());
  const ports = (await Promise.all(all.map((x) => x.instance.start()))).map((s) => JSON.parse(s).port);
  assert.equal(new Set(ports).size, 8);
  await Promise.all(all.map((x, i) => i % 2 ? x.instance.destroy() : x.instance.command("mock.echo", "", `${i}`)));
  assert.equal(JSON.parse(await all[0].instance.command("status", "", "")).port, ports[0]);
  await Promise.all(all.map((x) => x.instance.destroy().catch(() => {})));
});

test("with JavaScript blocked nothing is lost and the plugin goes on", async () => {
  const { instance, seen } = create();
  await instance.start();
  const asked = instance.command("mock.request.agent.run", "", '{"run":"r2"}');
  const flooded = instance.command("mock.flood", "", '{"events":20000,"logs":0,"bytes":200}');
  block(3000);
  assert.equal(seen.requests.length, 0);
  assert.ok(instance.stats().queued > 20000);
  await flooded;
  await until(() => seen.events.length === 20001 && seen.requests.length === 1);
  assert.deepEqual(seen.events.slice(1).map((e) => e.n), Array.from({ length: 20000 }, (_, i) => i));
  instance.reply(seen.requests[0].token, 0, '{"text":"late"}');
  assert.equal(JSON.parse(await asked).reply.text, "late");
  assert.equal(instance.stats().droppedEvents, 0);
  await instance.destroy();
});

test("a queue that is full drops logs, then events, says so, and refuses requests", async () => {
  const { instance, seen } = create();
  await instance.start();
  await until(() => seen.events.length === 1);
  const flooded = instance.command("mock.flood", "", '{"events":20000,"logs":20000,"bytes":2000}');
  const asked = instance.command("mock.request.agent.run", "", JSON.stringify({ fill: "x".repeat(4000) }));
  block(1500);
  const stats = instance.stats();
  assert.ok(stats.queuedBytes <= (16 << 20) + 8192, `${stats.queuedBytes} bytes`);
  assert.equal(stats.droppedLogs, 20000);
  assert.ok(stats.droppedEvents > 5000);
  await flooded;
  assert.equal(JSON.parse(await asked).code, -8);
  await until(() => seen.logs.some(([level, line]) =>
    level === 1 && line.includes(`20000 log lines and ${stats.droppedEvents} events were dropped`)));
  assert.equal(seen.events.length - 1 + stats.droppedEvents, 20000);
  assert.equal(await instance.command("mock.echo", "", "alive"), "alive");
  await instance.destroy();
});

test("an instance that is forgotten is destroyed", async () => {
  const before = threads();
  const ports = [];
  const forget = async () => ports.push(JSON.parse(await library.create("{}", {}).start()).port);
  for (let i = 0; i < 5; i++) await forget();
  await until(() => {
    collect();
    return threads() <= before;
  });
  for (const port of ports) assert.equal(await connects(port), false);
});

const workerSource = `
  const { parentPort, workerData } = require("node:worker_threads");
  const module_ = { exports: {} };
  process.dlopen(module_, workerData.addon);
  const library = module_.exports.load(workerData.mock);
  const instance = library.create(JSON.stringify(workerData.config), {
    log() {}, event(name, call, json) { parentPort.postMessage(name); }, request() {}, cancel() {},
  });
  instance.start().then((json) => {
    parentPort.postMessage(JSON.parse(json));
    if (workerData.how === "exit") process.exit(0);
    if (workerData.how === "throw") throw new Error("on purpose");
    if (workerData.how === "flood") {
      instance.command("mock.flood", "", '{"events":5000,"logs":5000,"bytes":100}').catch(() => {});
      setTimeout(() => process.exit(0), 5);
    }
    if (workerData.how === "stay") setInterval(() => {}, 1000);
  });
`;

function inWorker(how, config = {}) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(workerSource, { eval: true, workerData: { addon, mock, how, config } });
    let port = 0;
    worker.on("message", (m) => {
      if (m.port) port = m.port;
      if (m.port && how === "stay") worker.terminate();
    });
    worker.on("error", (error) => /on purpose/.test(error.message) || reject(error));
    worker.on("exit", () => resolve(port));
  });
}

test("the end of a worker ends its instances, however it comes", async () => {
  const before = { threads: threads(), fds: fds() };
  for (const how of ["exit", "throw", "flood", "stay", "end"]) {
    for (let i = 0; i < 3; i++) {
      const port = await inWorker(how);
      assert.ok(port > 0, how);
      assert.equal(await connects(port), false, how);
    }
  }
  await until(() => threads() <= before.threads + 1 && fds() <= before.fds + 2);
});

test("an instance that will not stop cannot hold the end of its worker for long", async () => {
  const begun = Date.now();
  await inWorker("exit", { destroy_ms: 9000 });
  assert.ok(Date.now() - begun < 8000, `${Date.now() - begun} ms`);
});

function inProcess(source, signal) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["-e", source, addon, mock], { stdio: ["ignore", "pipe", "pipe"] });
    const out = [];
    child.stdout.on("data", (d) => {
      out.push(d);
      if (signal) child.kill(signal);
    });
    child.stderr.on("data", (d) => out.push(d));
    child.on("exit", (code, sig) => resolve({ code, sig, out: Buffer.concat(out).toString() }));
  });
}

const processSource = (after) => `
  const m = { exports: {} };
  process.dlopen(m, process.argv[1]);
  const all = [1, 2].map(() => m.exports.load(process.argv[2]).create("{}", { log() {}, event() {}, request() {} }));
  Promise.all(all.map((i) => i.start())).then(() => { console.log("up"); ${after} });
`;

test("an idle instance holds no process, and its end is orderly", async () => {
  const begun = Date.now();
  assert.deepEqual(await inProcess(processSource("")), { code: 0, sig: null, out: "up\n" });
  assert.deepEqual(await inProcess(processSource("process.exit(3)")), { code: 3, sig: null, out: "up\n" });
  assert.ok(Date.now() - begun < 4000);
  const killed = await inProcess(processSource("setInterval(() => {}, 1000)"), "SIGTERM");
  assert.equal(killed.sig, "SIGTERM");
});
