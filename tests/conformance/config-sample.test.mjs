// SPDX-License-Identifier: MIT
// The annotated sample says what plugin.toml says, and loads as it stands.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const ROOT = process.env.OCV_ROOT || join(dirname(fileURLToPath(import.meta.url)), "../..");
const SAMPLE = join(ROOT, "openclaw-voice-config.yaml");
const BUILD = process.env.OCV_BUILDDIR || join(ROOT, "build");
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const text = readFileSync(SAMPLE, "utf8");
// A setting that is commented out has no blank behind its "#"; words have one.
const SETTING = /^(\s*)#(?=[a-z_]+:)/;
const everything = text.split("\n").map((l) => l.replace(SETTING, "$1")).join("\n");

const toml = JSON.parse(execFileSync("python3", ["-c",
    "import json, sys, tomllib; print(json.dumps(tomllib.load(open(sys.argv[1], 'rb'))))",
    join(ROOT, "plugin.toml")], { encoding: "utf8" }));
const keys = new Map();
for (const [section, table] of Object.entries(toml.config))
    for (const [name, key] of Object.entries(table)) keys.set(`${section}.${name}`, key);

function flat(node, path = "", out = new Map()) {
    for (const [name, value] of Object.entries(node)) {
        const at = path ? `${path}.${name}` : name;
        const inside = value !== null && typeof value === "object" && !Array.isArray(value);
        if (inside && !keys.has(at)) flat(value, at, out);
        else out.set(at, value);
    }
    return out;
}

const sample = flat(parse(everything, { version: "1.1", uniqueKeys: true }));

test("every key that has a meaning is in the sample, and no other", () => {
    const wanted = [...keys].filter(([, key]) => !key.old).map(([path]) => path);
    assert.deepEqual([...sample.keys()].sort(), wanted.sort());
});

test("each default is the one of plugin.toml", () => {
    for (const [path, key] of keys) {
        if (key.old || !("default" in key) || path === "channels.voice.enabled") continue;
        let value = sample.get(path);
        // YAML 1.1 reads a bare off as false; the key's own choices say that it is a word.
        if (key.choices && value === false) value = "off";
        assert.deepEqual(value, key.default, path);
    }
});

test("what stands uncommented is only what a user must give", () => {
    assert.deepEqual([...flat(parse(text) ?? {})].filter(([, v]) => v !== null), [
        ["channels.voice.enabled", true],
        ["channels.voice.openai.api_key", "${OPENAI_API_KEY}"],
        ["channels.voice.webhook.secret", "${WEBHOOK_SECRET}"],
    ]);
});

test("examples of choices and numbers are ones that the plugin takes", () => {
    for (const [path, key] of keys) {
        if (key.old) continue;
        let value = sample.get(path);
        if (key.choices && value === false) value = "off";
        if (key.choices) assert.ok(key.choices.includes(value), path);
        if (key.type === "int") assert.ok(value >= key.min && value <= key.max, path);
        if (key.type === "bool") assert.equal(typeof value, "boolean", path);
    }
});

test("words stand above each setting", () => {
    const lines = text.split("\n");
    lines.forEach((line, i) => {
        const name = /^(\s*)#?([a-z_]+):/.exec(line)?.[2];
        if (!name || ![...sample.keys()].some((p) => p.endsWith(`.${name}`))) return;
        if (/^(\s*)[a-z_]+:\s*$/.test(line)) return; // a section
        let at = i - 1;
        while (SETTING.test(lines[at])) at--;
        assert.match(lines[at], /^\s*# /, `line ${i + 1}: ${line}`);
    });
});

test("every range that the sample names is that of a key below the words", () => {
    const lines = text.split("\n");
    let seen = 0;
    lines.forEach((line, i) => {
        const range = /^\s*# .*\((\d+) to (\d+)\)/.exec(line);
        if (!range) return;
        const below = [];
        for (let at = i + 1; SETTING.test(lines[at]); at++) below.push(/([a-z_]+):/.exec(lines[at])[1]);
        const fits = ([path, key]) => below.some((name) => path.endsWith(`.${name}`)) &&
            key.min === Number(range[1]) && key.max === Number(range[2]);
        assert.ok([...keys].some(fits), `line ${i + 1}: ${line}`);
        seen++;
    });
    assert.ok(seen >= 3);
});

// ---- through the native host ----

let home;
before(() => { home = mkdtempSync(join(tmpdir(), "config-sample-")); });
after(() => rmSync(home, { recursive: true, force: true }));

function start(env) {
    const child = spawn(process.env.OCV_HOST || join(BUILD, "openclaw-voice-host"), ["--config", SAMPLE, "--plugin", process.env.OCV_SO || join(BUILD, "openclaw_voice.so")], {
        env: { PATH: process.env.PATH, HOME: home, PORT: "0", LC_ALL: "C.UTF-8",
               ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? "", TSAN_OPTIONS: process.env.TSAN_OPTIONS ?? "",
               ...env },
        stdio: ["ignore", "pipe", "pipe"],
    });
    const seen = { child, out: "", err: "" };
    child.stdout.on("data", (d) => { seen.out += d; });
    child.stderr.on("data", (d) => { seen.err += d; });
    seen.ended = new Promise((done) => child.once("close", (code) => done(code)));
    return seen;
}

async function until(what, ms = 20000) {
    const end = Date.now() + ms;
    while (!what()) {
        assert.ok(Date.now() < end, "nothing came in time");
        await new Promise((go) => setTimeout(go, 20));
    }
}

test("it loads as it stands once the keys are in the environment", async () => {
    const host = start({ OPENAI_API_KEY: "sk-test", WEBHOOK_SECRET: SECRET });
    try {
        await until(() => host.out.includes("\n") || host.child.exitCode !== null);
        assert.equal(JSON.parse(host.out.split("\n")[0] || "{}").event, "ready", host.err);
        host.child.kill("SIGTERM");
        assert.equal(await host.ended, 0, host.err);
        assert.ok(!(host.out + host.err).includes("sk-test"));
        assert.ok(!(host.out + host.err).includes("has no effect"), host.err);
    } finally {
        if (host.child.exitCode === null) host.child.kill("SIGKILL");
    }
});

test("without them it lists both faults with their lines and starts nothing", async () => {
    const host = start({});
    const code = await host.ended;
    assert.ok(code > 0, `exit code ${code}`);
    assert.equal(host.out, "");
    const line = (word) => text.split("\n").findIndex((l) => l.includes(word)) + 1;
    for (const name of ["OPENAI_API_KEY", "WEBHOOK_SECRET"])
        assert.ok(host.err.includes(`${SAMPLE}:${line(`: \${${name}}`)}: `) && host.err.includes(name),
                  host.err);
});
