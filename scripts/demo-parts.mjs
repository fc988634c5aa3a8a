// SPDX-License-Identifier: MIT
// Parts of the demonstration: the run folder with its configuration, and the two hosts as children.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const build = path.resolve(root, process.env.OCV_BUILDDIR || 'build');
const tools = path.join(root, 'build/tools/bin');

/** The number that the simulated caller has. */
export const CALLER = '+15550001111';

const GATEWAY_READY_MS = 120000;
const PLUGIN_READY_MS = 30000;
const STOP_MS = 20000;

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** A line with the time. */
export function tell(text = '') {
  const now = new Date().toTimeString().slice(0, 8);
  for (const line of String(text).split('\n'))
    console.log(line ? `${now}  ${line}` : '');
}

/** Calls check() until it gives something true; says every 5 s that it still waits. */
export async function until(what, check, timeoutMs) {
  const begun = Date.now();
  let next = 5000;
  let last = null;
  for (;;) {
    try {
      const value = await check();
      if (value)
        return value;
    } catch (error) {
      if (error.fatal)
        throw error;
      last = error;
    }
    const took = Date.now() - begun;
    if (took > timeoutMs)
      throw new Error(`${what} did not come in ${timeoutMs / 1000} s${last ? ` (${last.message})` : ''}`);
    if (took > next) {
      tell(`  waiting for ${what}, ${Math.round(took / 1000)} s`);
      next += 5000;
    }
    await sleep(100);
  }
}

function portIsFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => {
      const found = server.address().port;
      server.close(() => resolve(found));
    });
  });
}

/** The wanted port when it is free, else another. */
export const choosePort = async (wanted) => (await portIsFree(wanted)) ?? portIsFree(0);

/** NAME=value lines of a .env file. */
export function readEnvFile(file) {
  if (!fs.existsSync(file))
    return {};
  const lines = fs.readFileSync(file, 'utf8').split('\n');
  const pairs = lines.map((line) => /^\s*(?:export\s+)?([A-Z_][A-Z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line));
  return Object.fromEntries(pairs.filter(Boolean)
    .map(([, name, value]) => [name, value.replace(/^(['"])(.*)\1$/, '$2')]));
}

/* The names stand for what this run sets; real keys come by the same names. */
const yamlText = (native, real) => `\
# openclaw-voice-config.yaml of the demonstration. Edit it and start again: it is written only when it
# is not there. The annotated sample at the project's top level has every key.
${native ? `openclaw:
  gateway_url: \${OPENCLAW_GATEWAY_URL:-http://127.0.0.1:18789}
  gateway_token: \${OPENCLAW_GATEWAY_TOKEN}
` : ''}channels:
  voice:
    enabled: true
    state_dir: state
    openai:
      api_key: \${OPENAI_API_KEY}
      base_url: \${OPENAI_BASE_URL:-https://api.openai.com/v1}
      # model: gpt-realtime-2.1
      # voice: marin
    webhook:
      secret: \${WEBHOOK_SECRET}
      # port: 8080, or the environment's PORT
      # base_url: https://voice.example.com, or the environment's PUBLIC_URL
    call:
      max_call_duration_minutes: 30
security:
  voice:
${real ? '    # whitelist: ["+15551234567"]    # numbers that are known and get read-only tools\n' : `\
    whitelist: ["${CALLER}"]
`}${native ? `    tools:
      known: full    # the native host cannot keep a run read-only: full or nothing
` : '    tools:\n      known: safe\n'}`;

/** Makes the run folder; returns its paths. `fresh` empties it first. */
export function makeFolder(name, { native, real, fresh }) {
  const dir = path.join(build, 'run', name);
  if (fresh)
    fs.rmSync(dir, { recursive: true, force: true });
  for (const sub of ['workspace', 'state', 'home/.openclaw', 'tmp', 'log'])
    fs.mkdirSync(path.join(dir, sub), { recursive: true, mode: 0o700 });
  const yaml = path.join(dir, 'openclaw-voice-config.yaml');
  if (!fs.existsSync(yaml))
    fs.writeFileSync(yaml, yamlText(native, real), { mode: 0o600 });
  return { dir, yaml, state: path.join(dir, 'state'), home: path.join(dir, 'home'),
    tmp: path.join(dir, 'tmp'), log: path.join(dir, 'log'), workspace: path.join(dir, 'workspace') };
}

/** The address where people reach the plugin's own HTTP server, with the token of its API. */
class Api {
  constructor(url, stateDir) {
    this.url = url;
    this.tokenFile = path.join(stateDir, 'api-token');
  }

  async get(where) {
    const token = fs.readFileSync(this.tokenFile, 'utf8').trim();
    const res = await fetch(this.url + where, { signal: AbortSignal.timeout(5000),
      headers: { authorization: `Bearer ${token}` } });
    const text = await res.text();
    if (!res.ok)
      throw new Error(`GET ${where}: ${res.status} ${text.slice(0, 200)}`);
    return JSON.parse(text);
  }

  async healthy() {
    return (await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(2000) })).ok;
  }
}

/** One child in its own process group, so that Ctrl-C reaches only us and we stop it in order. */
class Child {
  constructor(what, command, args, { env, cwd, logFile, stdout }) {
    this.what = what;
    this.logFile = logFile;
    const log = fs.openSync(logFile, 'a', 0o600);
    this.logFrom = fs.fstatSync(log).size;
    this.process = spawn(command, args, { cwd, env, detached: true,
      stdio: ['ignore', stdout === 'pipe' ? 'pipe' : log, log] });
    fs.closeSync(log);
    this.exit = null;
    this.exited = new Promise((resolve) => {
      this.process.once('error', (error) => resolve(this.exit = { error: error.message }));
      this.process.once('exit', (code, signal) => resolve(this.exit = { code, signal }));
    });
    this.atExit = () => this.kill();
    process.once('exit', this.atExit);
  }

  /** What this child has printed. */
  log() {
    return fs.readFileSync(this.logFile, 'utf8').slice(this.logFrom);
  }

  /** Throws when the child is gone. */
  check() {
    if (!this.exit)
      return;
    const tail = this.log().trimEnd().split('\n').slice(-15).join('\n');
    throw Object.assign(new Error(`${this.what} ended (${JSON.stringify(this.exit)})\n${tail}`),
      { fatal: true });
  }

  kill() {
    if (this.exit || !this.process.pid)
      return;
    try {
      process.kill(-this.process.pid, 'SIGKILL');
    } catch {
      // gone in between
    }
  }

  async stop() {
    if (!this.exit) {
      this.process.kill('SIGTERM');
      await Promise.race([this.exited, sleep(STOP_MS)]);
    }
    if (!this.exit) {
      tell(`${this.what} did not end in ${STOP_MS / 1000} s; killed`);
      this.kill();
    }
    process.off('exit', this.atExit);
    return this.exit;
  }
}

function childEnv(folder, extra) {
  const env = { ...process.env, HOME: folder.home, TMPDIR: folder.tmp, NO_COLOR: '1',
    PATH: `${tools}:${process.env.PATH}`, ...extra };
  for (const name of ['NODE_OPTIONS', 'FORCE_COLOR', 'OPENCLAW_HOME', 'OPENCLAW_PROFILE'])
    delete env[name];
  return env;
}

/** The native host. */
export async function startNative(folder, env, onChild) {
  const binary = path.join(build, 'openclaw-voice-host');
  const child = new Child('the native host', binary, ['--config', folder.yaml],
    { cwd: folder.dir, env: childEnv(folder, env), logFile: path.join(folder.log, 'host.log'),
      stdout: 'pipe' });
  onChild(child);
  let ready = null;
  readline.createInterface({ input: child.process.stdout }).on('line', (line) => {
    fs.appendFileSync(path.join(folder.log, 'events.jsonl'), `${line}\n`);
    const event = JSON.parse(line);
    if (event.event === 'ready')
      ready = event;
  });
  await until('the native host', () => child.check() ?? ready, PLUGIN_READY_MS);
  return { child, api: new Api(ready.url, folder.state) };
}

function gatewayConfig(folder, { port, token, model, real }) {
  const fake = { id: 'simulated-1', name: 'Simulated', reasoning: false, input: ['text'],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }, contextWindow: 128000,
    maxTokens: 4096 };
  return {
    gateway: { mode: 'local', port, bind: 'loopback', auth: { mode: 'token', token } },
    discovery: { mdns: { mode: 'off' } },
    update: { checkOnStart: false },
    ...(model ? { models: { mode: 'replace', catalogRefresh: { enabled: false }, providers: {
      simulated: { baseUrl: model.url, apiKey: 'none', api: 'openai-completions', models: [fake] } } } }
      : {}),
    agents: { defaults: { workspace: folder.workspace, heartbeat: { every: '0m' },
      ...(model ? { skipBootstrap: true } : {}),
      model: { primary: model ? 'simulated/simulated-1'
        : process.env.OPENCLAW_MODEL || 'openai/gpt-5.5' } } },
    channels: { voice: { enabled: true, configFile: folder.yaml,
      ...(real ? { dmPolicy: 'pairing' } : { dmPolicy: 'allowlist', allowFrom: [CALLER] }) } },
    plugins: { ...(real ? {} : { allow: ['voice', 'memory-core'] }),
      load: { paths: [path.join(build, 'openclaw-voice')] }, entries: { voice: { enabled: true } } },
  };
}

/** The real gateway with the plugin. */
export async function startGateway(folder, env, onChild, { model, real, voicePort }) {
  const token = randomBytes(24).toString('hex');
  const port = await choosePort(18789);
  const stateDir = path.join(folder.home, '.openclaw');
  const config = path.join(stateDir, 'openclaw.json');
  const logFile = path.join(folder.log, 'gateway.log');
  fs.writeFileSync(config, JSON.stringify(gatewayConfig(folder, { port, token, model, real }), null, 2),
    { mode: 0o600 });
  const openclaw = fs.realpathSync(path.join(tools, 'openclaw'));
  const shellEnv = { OPENCLAW_STATE_DIR: stateDir, OPENCLAW_CONFIG_PATH: config };
  const child = new Child('the gateway', path.join(tools, 'node'), [openclaw, 'gateway', 'run',
    '--port', String(port), '--bind', 'loopback', '--auth', 'token', '--token', token],
  { cwd: folder.dir, logFile, env: childEnv(folder, { ...env, ...shellEnv,
    OPENCLAW_GATEWAY_TOKEN: token, OPENCLAW_DISABLE_BONJOUR: '1', OPENCLAW_NO_RESPAWN: '1' }) });
  onChild(child);
  const api = new Api(`http://127.0.0.1:${voicePort}`, folder.state);
  await until('the gateway', async () => {
    child.check();
    return (await fetch(`http://127.0.0.1:${port}/startupz`, { signal: AbortSignal.timeout(2000) })).ok;
  }, GATEWAY_READY_MS);
  tell(`  the gateway answers on http://127.0.0.1:${port}`);
  await until('the voice channel', async () => {
    child.check();
    const refused = /\[voice\].*channel exited: ([\s\S]*?)\n(?=\d{4}-)/.exec(child.log());
    if (refused)
      throw Object.assign(new Error(refused[1]), { fatal: true });
    return api.healthy();
  }, PLUGIN_READY_MS);
  return { child, api, shellEnv, url: `http://127.0.0.1:${port}`, token };
}
