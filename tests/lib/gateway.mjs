/* SPDX-License-Identifier: MIT */
/*
 * Runs the real OpenClaw gateway with the plugin, in a home of its own, against the simulators. A start
 * takes ten seconds and more: share one gateway between tests.
 */
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import WebSocket from 'ws';
import YAML from 'yaml';
import { mergeConfig } from './host.mjs';
import { logIndiscretions } from './discreet.mjs';
import { Tail, buildDir, freePort, killTree, projectDir, slower, tmpdir, track, waitFor }
  from './util.mjs';

const tools = path.join(projectDir, 'build', 'tools', 'bin');

/** Node that runs the gateway. Environment: OCV_NODE. */
export const gatewayNode = process.env.OCV_NODE ?? path.join(tools, 'node');

/** OpenClaw's command. Environment: OCV_OPENCLAW (the command or its package's folder). */
export function openclawCommand() {
  const named = process.env.OCV_OPENCLAW ?? path.join(tools, 'openclaw');
  if (!fs.existsSync(named))
    throw new Error(`no OpenClaw at ${named}: run scripts/setup.sh or set OCV_OPENCLAW`);
  const real = fs.realpathSync(named);
  return fs.statSync(real).isDirectory() ? path.join(real, 'openclaw.mjs') : real;
}

/** Why the gateway cannot be tested in this build, or false. */
export const gatewaySkip = /tsan/.test(process.env.OCV_PRELOAD ?? '')
  && 'ThreadSanitizer cannot look into Node';

/** The staged plugin. */
export const pluginDir = path.join(buildDir, 'openclaw-voice');

function baseConfig({ home, port, token, model, telegram, plugin, voice }) {
  const fake = { id: 'fake-1', name: 'Fake 1', reasoning: false, input: ['text'],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }, contextWindow: 128000,
    maxTokens: 4096 };
  return {
    gateway: { mode: 'local', port, bind: 'loopback', auth: { mode: 'token', token },
      http: { endpoints: { chatCompletions: { enabled: true } } } },
    discovery: { mdns: { mode: 'off' } },
    update: { checkOnStart: false },
    models: { mode: 'replace', catalogRefresh: { enabled: false }, providers: { fake: {
      baseUrl: model.url, apiKey: 'sk-fake', api: 'openai-completions', models: [fake] } } },
    agents: { defaults: { model: { primary: 'fake/fake-1' }, workspace: path.join(home, 'workspace'),
      skipBootstrap: true, heartbeat: { every: '0m' } } },
    session: { dmScope: 'per-peer' },
    channels: {
      ...(telegram ? { telegram: { enabled: true, botToken: telegram.botToken,
        apiRoot: telegram.url, dmPolicy: 'allowlist', allowFrom: ['777'] } } : {}),
      ...(plugin ? { voice } : {}),
    },
    plugins: { allow: ['telegram', 'memory-core', ...(plugin ? ['voice'] : [])],
      ...(plugin ? { load: { paths: [plugin] }, entries: { voice: { enabled: true } } } : {}) },
  };
}

class Gateway {
  constructor(opts) {
    Object.assign(this, opts);
    this.token = `sim-gateway-${randomBytes(12).toString('hex')}`;
    this.stateDir = path.join(this.home, '.openclaw');
    this.voiceDir = path.join(this.home, 'voice');
    this.workspace = path.join(this.home, 'workspace');
    this.configFile = path.join(this.stateDir, 'openclaw.json');
    this.yamlFile = path.join(this.home, 'openclaw-voice-config.yaml');
    this.child = null;
    this.socket = null;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The plugin's own HTTP server. */
  get voiceUrl() {
    return `http://127.0.0.1:${this.voicePort}`;
  }

  get webhookUrl() {
    return `${this.voiceUrl}/webhook`;
  }

  get env() {
    const env = { ...process.env, HOME: this.home, OPENCLAW_STATE_DIR: this.stateDir,
      OPENCLAW_CONFIG_PATH: this.configFile, OPENCLAW_GATEWAY_TOKEN: this.token,
      OPENCLAW_DISABLE_BONJOUR: '1', OPENCLAW_NO_RESPAWN: '1', NO_COLOR: '1', CI: '1',
      PATH: `${path.dirname(gatewayNode)}:${process.env.PATH}`, TMPDIR: path.join(this.home, 'tmp') };
    for (const name of ['OPENAI_API_KEY', 'OPENAI_PROJECT_ID', 'WEBHOOK_SECRET', 'PUBLIC_URL',
      'PORT', 'NODE_TEST_CONTEXT', 'NODE_OPTIONS'])
      delete env[name];
    if (process.env.OCV_PRELOAD) {
      env.LD_PRELOAD = process.env.OCV_PRELOAD; // Node was not built with the plugin's sanitizer
      env.ASAN_OPTIONS = `${env.ASAN_OPTIONS ?? ''}:detect_leaks=0`; // and leaves much at its end
    }
    return { ...env, ...this.extraEnv };
  }

  async prepare() {
    this.port = await freePort();
    this.voicePort = await freePort();
    for (const dir of [this.stateDir, this.workspace, path.join(this.home, 'tmp')])
      fs.mkdirSync(dir, { recursive: true });
    const yaml = mergeConfig({ channels: { voice: { enabled: true, state_dir: this.voiceDir,
      webhook: { port: this.voicePort }, call: { max_per_caller_hour: 0 }, ...(this.openai ? { openai: {
        api_key: this.openai.apiKey, project_id: 'proj_simulated', base_url: this.openai.url },
      webhook: { port: this.voicePort, secret: this.openai.webhookSecret } } : {}) } } },
    this.yaml ?? {});
    fs.writeFileSync(this.yamlFile, YAML.stringify(yaml));
    const voice = { enabled: true, configFile: this.yamlFile, ...this.voice };
    const config = mergeConfig(baseConfig({ ...this, voice }), this.config ?? {});
    fs.writeFileSync(this.configFile, JSON.stringify(config, null, 2));
  }

  /**
   * Starts the process and waits until the gateway and the plugin answer. A gateway gives itself five seconds for the
   * first heartbeat of its lease and ends when a busy machine takes longer: then it is started again, as a service
   * manager would.
   */
  async start() {
    for (let left = 2; ; left -= 1) {
      try {
        await this.launch();
        return;
      } catch (error) {
        if (left === 0 || !error.message.includes('lease heartbeat did not become ready'))
          throw error;
      }
    }
  }

  async launch() {
    this.child = track(spawn(gatewayNode, [openclawCommand(), 'gateway', 'run', '--port',
      String(this.port), '--bind', 'loopback', '--auth', 'token', '--token', this.token],
    { cwd: this.home, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] }));
    this.log = new Tail(this.child.stdout);
    this.errors = new Tail(this.child.stderr);
    const { child } = this;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.exit = null;
    this.exited.then((exit) => { if (this.child === child) this.exit = exit; });
    await this.ready();
  }

  async ready() {
    const up = async (url) => (await fetch(url, { signal: AbortSignal.timeout(2000) })).status === 200;
    const alive = () => {
      if (this.exit)
        throw new Error(`ended with ${JSON.stringify(this.exit)}`);
    };
    try {
      await waitFor(async () => this.exit || up(`${this.url}/startupz`),
        { timeoutMs: this.readyMs, everyMs: 100, what: 'the gateway' });
      alive();
      if (this.plugin) {
        await waitFor(async () => this.exit || up(`${this.voiceUrl}/health`),
          { timeoutMs: 60000, everyMs: 50, what: 'the plugin' });
        alive();
      }
    } catch (error) {
      const text = this.output();
      await this.kill();
      throw new Error(`gateway not ready: ${error.message}\n${text}`);
    }
  }

  /** What it printed last. */
  output(lines = 60) {
    return `${this.log?.last(lines) ?? ''}\n${this.errors?.last(lines) ?? ''}`;
  }

  get pid() {
    return this.child?.pid ?? null;
  }

  closeRpc() {
    this.socket?.terminate();
    this.socket = null;
  }

  /** Dies at once with its children, as by a crash. */
  async kill() {
    this.closeRpc();
    if (!this.child || this.exit)
      return this.exit;
    killTree(this.child.pid);
    return this.exited;
  }

  /** The plugin's lines hold no secret, whole number or word of a caller that they may not. */
  assertDiscreet() {
    const said = [...(this.openai?.calls.values() ?? [])].flatMap((call) => call.turns)
      .filter((turn) => turn.who === 'caller').map((turn) => turn.text);
    const lines = `${this.log.text}\n${this.errors.text}`.split('\n').filter((line) => line.includes('[voice]'));
    const found = logIndiscretions(lines.join('\n'), { configFile: this.yamlFile, stateDir: this.voiceDir,
      secrets: [this.token], said });
    if (found.length > 0)
      throw new Error(`what a log must not hold:\n${found.join('\n')}`);
  }

  /** Ends in order; rejects when that takes longer than timeoutMs. */
  async stop({ timeoutMs = 30000 } = {}) {
    this.closeRpc();
    if (!this.child || this.exit)
      return this.exit;
    this.child.kill('SIGTERM');
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, timeoutMs * slower, null); });
    const how = await Promise.race([this.exited, late]);
    clearTimeout(timer);
    if (how) {
      this.assertDiscreet();
      return how;
    }
    const text = this.output();
    await this.kill();
    throw new Error(`gateway did not end within ${timeoutMs * slower} ms of SIGTERM\n${text}`);
  }

  /** Ends (by kill -9 when `hard`) and starts again with the same home and ports. */
  async restart({ hard = false } = {}) {
    await (hard ? this.kill() : this.stop());
    await this.start();
  }

  /**
   * Runs `openclaw …` beside the gateway. Takes seconds. It loads nothing that a sanitizer was built into.
   * @returns {Promise<{code, stdout, stderr}>}
   */
  cli(args, { timeoutMs = 60000, input = null } = {}) {
    const env = { ...this.env, LD_PRELOAD: process.env.LD_PRELOAD };
    const child = track(spawn(gatewayNode, [openclawCommand(), ...args], { cwd: this.home, env,
      stdio: [input === null ? 'ignore' : 'pipe', 'pipe', 'pipe'] }));
    if (input !== null)
      child.stdin.end(input);
    const out = new Tail(child.stdout);
    const err = new Tail(child.stderr);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs * slower);
    return new Promise((resolve) => {
      child.once('close', (code) => {
        clearTimeout(timer);
        resolve({ code, stdout: out.text, stderr: err.text });
      });
    });
  }

  connect() {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws://127.0.0.1:${this.port}`, { perMessageDeflate: false });
      const waiting = new Map();
      socket.ask = (method, params, timeoutMs) => new Promise((yes, no) => {
        const id = randomUUID();
        const timer = setTimeout(() => {
          waiting.delete(id);
          no(new Error(`${method}: no answer in ${timeoutMs} ms`));
        }, timeoutMs);
        waiting.set(id, { yes, no, timer, method });
        socket.send(JSON.stringify({ type: 'req', id, method, params }));
      });
      const settle = (frame) => {
        const asked = waiting.get(frame.id);
        waiting.delete(frame.id);
        clearTimeout(asked?.timer);
        if (frame.ok)
          asked?.yes(frame.payload);
        else
          asked?.no(Object.assign(new Error(`${asked.method}: ${frame.error?.message}`),
            { details: frame.error }));
      };
      socket.on('message', (data) => {
        const frame = JSON.parse(data);
        if (frame.type === 'res') {
          settle(frame);
        } else if (frame.event === 'connect.challenge') {
          socket.ask('connect', { minProtocol: 4, maxProtocol: 4, role: 'operator', caps: [],
            client: { id: 'gateway-client', version: '1.0.0', platform: 'linux', mode: 'backend' },
            scopes: this.scopes ?? ['operator.admin', 'operator.read', 'operator.write', 'operator.approvals',
              'operator.pairing'], auth: { token: this.token } }, 10000)
            .then(() => resolve(socket), reject);
        }
      });
      socket.on('error', reject);
      socket.on('close', () => {
        for (const { no, timer, method } of waiting.values()) {
          clearTimeout(timer);
          no(new Error(`${method}: connection closed`));
        }
        waiting.clear();
        if (this.socket === socket)
          this.socket = null;
      });
    });
  }

  /** Calls a gateway method over its WebSocket; resolves with the payload. */
  async rpc(method, params = {}, { timeoutMs = 30000 } = {}) {
    this.socket ??= await this.connect();
    return this.socket.ask(method, params, timeoutMs * slower);
  }

  /** The plugin's API token. */
  get apiToken() {
    return fs.readFileSync(path.join(this.voiceDir, 'api-token'), 'utf8').trim();
  }

  /** Asks the plugin's HTTP server, as Host.api() does. */
  async api(where, { method = 'GET', body, token = this.apiToken, headers = {} } = {}) {
    const res = await fetch(`${this.voiceUrl}${where}`, { method,
      body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
      headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers } });
    const text = await res.text();
    let json = null;
    try {
      json = JSON.parse(text);
    } catch {
      // not every answer is JSON
    }
    return { status: res.status, headers: res.headers, text, json };
  }
}

/**
 * Starts the gateway and waits until it is ready.
 * @param {object} opts model (startModel()), openai (startOpenAI()), telegram (startTelegram(), or
 *   none), config (merged into openclaw.json), voice (into channels.voice), yaml (into the YAML file),
 *   plugin (folder; null: without), env, home (to use again), readyMs
 * @returns {Promise<Gateway>}
 */
export async function startGateway(opts) {
  const plugin = opts.plugin === undefined ? pluginDir : opts.plugin;
  if (plugin && !fs.existsSync(plugin))
    throw new Error(`no ${path.relative(projectDir, plugin)}: run make first`);
  const { env: extraEnv = {}, ...rest } = opts;
  const gateway = new Gateway({ readyMs: 180000, ...rest, plugin, extraEnv,
    home: opts.home ?? tmpdir('ocv-gateway') });
  await gateway.prepare();
  await gateway.start();
  return gateway;
}
