/* SPDX-License-Identifier: MIT */
// Runs the native host as a child and listens to its events.
import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import YAML from 'yaml';
import { Tail, buildDir, projectDir, slower, tmpdir, track } from './util.mjs';

/**
 * A configuration for the simulators; `changes` are merged over it.
 * @param {object} parts openai (the simulator), gateway (startGatewayEndpoint()), stateDir,
 *   workspace, changes
 */
export function voiceConfig({ openai, gateway, stateDir, workspace, changes = {} }) {
  const base = {
    openclaw: { ...(workspace ? { workspace } : {}),
      ...(gateway ? { gateway_url: gateway.url, gateway_token: gateway.token } : {}) },
    channels: { voice: { enabled: true, ...(stateDir ? { state_dir: stateDir } : {}),
      openai: { api_key: openai.apiKey, project_id: 'proj_simulated', base_url: openai.url },
      webhook: { port: 0, secret: openai.webhookSecret },
      call: { max_per_caller_hour: 0 } } }, // simulated callers call more often than people
  };
  return mergeConfig(base, changes);
}

/** Merges objects deeply; undefined removes a key, everything else replaces. */
export function mergeConfig(base, changes) {
  const out = { ...base };
  for (const [key, value] of Object.entries(changes)) {
    const both = value !== null && typeof value === 'object' && !Array.isArray(value)
      && out[key] !== null && typeof out[key] === 'object' && !Array.isArray(out[key]);
    if (value === undefined)
      delete out[key];
    else
      out[key] = both ? mergeConfig(out[key], value) : value;
  }
  return out;
}

/* Environment names that are defaults of configuration keys: a test must not inherit them. */
const configNames = ['OPENAI_API_KEY', 'OPENAI_PROJECT_ID', 'WEBHOOK_SECRET', 'TWILIO_ACCOUNT_SID',
  'TWILIO_AUTH_TOKEN', 'TWILIO_PHONE_NUMBER', 'PUBLIC_URL', 'PORT'];

function cleanEnv(extra) {
  const env = { ...process.env };
  configNames.forEach((name) => delete env[name]);
  return { ...env, ...extra };
}

/** Paths of the binaries under test. */
export const hostBinary = path.join(buildDir, 'openclaw-voice-host');
export const pluginBinary = path.join(buildDir, 'openclaw_voice.so');

class Host extends EventEmitter {
  constructor(child, { dir, configFile, stateDir }) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { child, dir, configFile, stateDir, events: [], noise: [], url: null });
    this.pid = child.pid;
    this.stderr = new Tail(child.stderr);
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => { this.exit = { code, signal }; });
      child.once('close', () => resolve(this.exit));
      child.once('error', (error) => {
        this.exit = { code: null, signal: null, error };
        resolve(this.exit);
      });
    });
    this.exited.then(() => this.emit('exited'));
    readline.createInterface({ input: child.stdout }).on('line', (line) => this.onLine(line));
  }

  onLine(line) {
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      this.noise.push(line);
      return;
    }
    this.events.push(event);
    if (event.event === 'ready')
      this.url = event.url;
    this.emit('event', event);
    if (process.env.OCV_SHOW)
      process.stderr.write(`host: ${line}\n`);
  }

  fail(text) {
    const seen = this.events.map((e) => e.event).join(' ');
    return new Error(`${text}\n  events: ${seen}\n  stderr:\n${this.stderr.last()}`);
  }

  /**
   * Resolves with the first event of this name that matches, also one of the past.
   * @param {string|null} name null: any name
   */
  waitEvent(name, match = () => true, timeoutMs = 10000) {
    const fits = (event) => (name === null || event.event === name) && match(event);
    const found = this.events.find(fits);
    if (found)
      return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const settle = (fn, value) => {
        clearTimeout(timer);
        this.off('event', look);
        this.off('exited', gone);
        fn(value);
      };
      const look = (event) => fits(event) && settle(resolve, event);
      const gone = () => settle(reject, this.fail(
        `host ended (${JSON.stringify(this.exit)}) before event ${name}`));
      const timer = setTimeout(() => settle(reject,
        this.fail(`event ${name} did not come in ${timeoutMs * slower} ms`)), timeoutMs * slower);
      this.on('event', look);
      this.on('exited', gone);
      if (this.exit)
        gone();
    });
  }

  /** Events of one call. */
  eventsOf(call) {
    return this.events.filter((e) => e.call === call);
  }

  /** The API token, as the plugin stored it. */
  get token() {
    return fs.readFileSync(path.join(this.stateDir, 'api-token'), 'utf8').trim();
  }

  /**
   * Asks the plugin's HTTP server.
   * @param {string} where path
   * @param {object} [opts] method, body (object or text), token (null: none), headers
   * @returns {Promise<{status, headers, text, json}>}
   */
  async api(where, { method = 'GET', body, token = this.token, headers = {} } = {}) {
    const isText = typeof body === 'string' || body === undefined;
    const res = await fetch(`${this.url}${where}`, { method, body: isText ? body
      : JSON.stringify(body), headers: { ...(token === null ? {} : {
      authorization: `Bearer ${token}` }), ...(body === undefined ? {}
      : { 'content-type': 'application/json' }), ...headers } });
    const text = await res.text();
    let json = null;
    try {
      json = JSON.parse(text);
    } catch {
      // not every answer is JSON
    }
    return { status: res.status, headers: res.headers, text, json };
  }

  /** URL for OpenAI's webhooks. */
  get webhookUrl() {
    return `${this.url}/webhook`;
  }

  /** Dies at once, as by a crash. */
  async kill() {
    if (!this.exit)
      this.child.kill('SIGKILL');
    return this.exited;
  }

  /** Ends in order. Fails unless it exits with 0 in time and printed nothing but JSON. */
  async stop({ timeoutMs = 10000 } = {}) {
    if (!this.exit)
      this.child.kill('SIGTERM');
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, timeoutMs * slower, 'late'); });
    const how = await Promise.race([this.exited, late]);
    clearTimeout(timer);
    if (how === 'late') {
      this.child.kill('SIGKILL');
      throw this.fail(`host did not end within ${timeoutMs * slower} ms of SIGTERM`);
    }
    if (how.code !== 0)
      throw this.fail(`host ended with ${JSON.stringify(how)}`);
    if (this.noise.length > 0)
      throw this.fail(`host printed what is no JSON: ${this.noise[0]}`);
    return how;
  }
}

function launch({ config, env = {}, plugin = pluginBinary, cwd, stateDir, dir, args = [],
  binary = hostBinary }) {
  const home = dir ?? tmpdir('ocv-host');
  const state = stateDir ?? config?.channels?.voice?.state_dir ?? path.join(home, 'state');
  const configFile = path.join(home, 'openclaw-voice-config.yaml');
  let text = config;
  if (typeof config !== 'string') {
    text = YAML.stringify(mergeConfig({ openclaw: { workspace: path.join(home, 'workspace') },
      channels: { voice: { state_dir: state } } }, config));
  }
  fs.writeFileSync(configFile, text);
  fs.mkdirSync(path.join(home, 'workspace'), { recursive: true });
  const [program, ...before] = [binary].flat();
  const child = track(spawn(program, [...before, '--config', configFile, ...(plugin ? ['--plugin', plugin]
    : []), ...args], { cwd: cwd ?? home, env: cleanEnv({ HOME: home, ...env }),
    stdio: ['ignore', 'pipe', 'pipe'] }));
  return new Host(child, { dir: home, configFile, stateDir: state });
}

/**
 * Starts the native host and waits until it is ready.
 * @param {object} opts config (object or YAML text), env, plugin (path of the .so), cwd, stateDir
 *   (needed when a YAML text names one), dir (to start again in the folder of an earlier one), args,
 *   binary (path, or a command with its first arguments), readyMs, launched (is given the host before it is ready)
 * @returns {Promise<Host>}
 */
export async function startHost(opts) {
  const binary = opts.binary ?? hostBinary;
  if (![binary].flat().every((file) => fs.existsSync(file)))
    throw new Error(`no ${[binary].flat().map((file) => path.relative(projectDir, file))}: run make first`);
  const host = launch(opts);
  opts.launched?.(host);
  try {
    host.ready = await host.waitEvent('ready', undefined, opts.readyMs ?? 10000);
  } catch (error) {
    await host.kill();
    throw error;
  }
  return host;
}

/**
 * Runs the host until it ends by itself, for configurations that it must refuse.
 * @returns {Promise<{code, signal, stdout, stderr}>}
 */
export async function runHost(opts) {
  const host = launch(opts);
  const timer = setTimeout(() => host.child.kill('SIGKILL'), (opts.timeoutMs ?? 10000) * slower);
  const exit = await host.exited;
  clearTimeout(timer);
  const stdout = [...host.noise, ...host.events.map((e) => JSON.stringify(e))].join('\n');
  return { ...exit, stdout, stderr: host.stderr.text };
}
