/* SPDX-License-Identifier: MIT */
// Who calls is proven by the chat they are linked to: a code that is spoken, an answer in the chat. The test is
// the plugin's host, by the Node-API binding, with no gateway in it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test as nodeTest } from 'node:test';
import YAML from 'yaml';
import { mergeConfig, pluginBinary, voiceConfig } from '../lib/host.mjs';
import { buildDir, tmpdir, waitFor } from '../lib/util.mjs';
import { startOpenAI } from '../sim/index.mjs';

const ADA = '+15550003333'; // linked with telegram:777
const BOB = '+15550004444'; // on the list, linked with nothing
const skip = process.env.OCV_PRELOAD ? 'Node is not built with the sanitizer' : false;
const test = (name, run) => nodeTest(name, { skip }, run);
const bye = [{ caller: 'goodbye' }, { waitEnd: true }];
const greeted = { wait: 'greeting' };
const verify = (args, words = 'I am Ada.') => [{ caller: words, plan: { items: [{ call: 'verify_identity', args }] } },
  { wait: 'tool' }, { wait: 'assistant' }];
const ask = [{ caller: 'Tell.', plan: { items: [{ call: 'ask_openclaw', args: { request: 'the secret' } }] } },
  { wait: 'tool' }, { wait: 'assistant' }];

function library() {
  const module = { exports: {} };
  process.dlopen(module, path.join(buildDir, 'openclaw_voice_node.node'), os.constants.dlopen.RTLD_NOW);
  return module.exports.load(pluginBinary);
}

/* What the gateway's channel plugin does, as far as this needs it. */
class Hosted {
  constructor(openai, send) {
    this.openai = openai;
    this.sent = []; // message.send
    this.runs = []; // agent.run
    this.events = [];
    const dir = tmpdir('ocv-hosted');
    const file = path.join(dir, 'openclaw-voice-config.yaml');
    fs.writeFileSync(file, YAML.stringify(mergeConfig(voiceConfig({ openai, stateDir: path.join(dir, 'state') }),
      { logging: { voice: { level: 'debug' } } })));
    this.stateDir = path.join(dir, 'state');
    this.log = '';
    const replies = {
      'session.prepare': () => ({ session_key: 'agent:main:main' }),
      'agent.run': (json) => { this.runs.push(json); return { text: 'Forty-two.' }; },
      'message.send': (json) => { this.sent.push(json); return send ? send(json) : { message_id: '1' }; },
    };
    this.instance = library().create(JSON.stringify({ host: 'gateway', config_file: file, section: {},
      section_name: 'openclaw.json', state_dir: this.stateDir, workspace: path.join(dir, 'workspace'),
      policy: { dm_policy: 'allowlist', allow_from: [ADA, BOB], paired: [], linked: [ADA] } }), {
      log: (level, line) => { this.log += `${line}\n`; },
      event: (name, call, json) => this.events.push(JSON.parse(json)),
      request: (token, name, call, json) => setImmediate(() => {
        const reply = replies[name]?.(JSON.parse(json)) ?? {};
        this.instance.reply(token, reply.rc ?? 0, JSON.stringify(reply));
      }),
      cancel: () => {},
    });
  }

  async start() {
    this.url = JSON.parse(await this.instance.start()).url;
    await this.instance.command('links.set', '', JSON.stringify({ groups: [['telegram:777', `voice:${ADA}`]] }));
  }

  /** What is written in a chat; resolves with what is to be answered there. */
  async chat(text, { who = 'them', peer = '777' } = {}) {
    return JSON.parse(await this.instance.command('chat.message', '', JSON.stringify({ channel: 'telegram', peer,
      session_key: 'agent:main:main', who, text, at: Date.now() }))).reply;
  }

  async get(where) {
    return JSON.parse(await this.instance.command('http', '', JSON.stringify({ method: 'GET', path: where }))).body;
  }

  code() {
    const { text } = this.sent.at(-1);
    const [, a, b] = /code on the phone: (\d{3}) (\d{3})\./.exec(text) ?? assert.fail(text);
    return a + b;
  }
}

async function hosted(t, { send, calls = {} } = {}) {
  const openai = await startOpenAI({ speed: 20 });
  const made = new Hosted(openai, send);
  t.after(async () => {
    await made.instance.stop(0, 5000).catch(() => {});
    await made.instance.destroy();
    await openai.close();
    openai.assertClean();
  });
  await made.start();
  made.call = (script, opts = {}) => openai.call({ from: ADA, webhookUrl: `${made.url}/webhook`, script, ...calls, ...opts });
  return made;
}

const bodyOf = (call) => call.requests.find((r) => r.action === 'accept').body;
const tool = (call) => bodyOf(call).tools.find((one) => one.name === 'verify_identity');
const outputs = (call) => [...call.toolCalls.values()].filter((one) => one.name !== 'end_call').map((one) => one.outputs[0]);

async function over(made, call) {
  const result = await call.done;
  assert.equal(result.scriptError, null);
  return waitFor(async () => {
    const row = await made.get(`/calls/${call.callId}`);
    return row.state === 'over' && row;
  }, { what: 'the end of the call' });
}

test('a code from the chat that is spoken proves who calls, in that call alone', async (t) => {
  const made = await hosted(t);
  const wrong = {};
  const right = {};
  const call = made.call([greeted, ...ask, ...verify({}), { do: () => {
    right.code = `${made.code().slice(0, 3)} ${made.code().slice(3)}`;
    wrong.code = made.code() === '000000' ? '111111' : '000000';
  } }, ...verify(wrong), ...verify(right), ...ask, ...verify(right), ...bye]);
  const row = await over(made, call);
  const told = outputs(call);
  assert.match(told[1], /message was sent to their chat \(telegram\)/);
  assert.match(told[2], /code is wrong/);
  assert.match(told[3], /^Verified/);
  assert.doesNotMatch(told[5], /^Verified/, 'a code is good once');
  assert.deepEqual(made.runs.map((run) => run.tools), ['safe', 'full']);
  assert.equal(row.level, 'proven');
  const update = call.events.find((e) => e.type === 'session.update');
  assert.ok(!update.event.session.tools.some((one) => one.name === 'verify_identity'), 'nothing more to prove');
  assert.deepEqual(Object.keys(tool(call).parameters.properties), ['code']);
  assert.equal(made.sent.length, 1);
  const [message] = made.sent;
  assert.deepEqual([message.channel, message.to, message.session_key], ['telegram', '777', ''], 'in no session');
  assert.ok(message.text.includes(ADA));
  const kept = [made.log, JSON.stringify(made.events), JSON.stringify(made.runs), ...fs.readdirSync(made.stateDir)
    .filter((name) => /^voice\.db/.test(name)).map((name) => fs.readFileSync(path.join(made.stateDir, name), 'latin1'))];
  assert.ok(kept.every((text) => !text.includes(message.text.match(/\d{3} \d{3}/)[0])), 'the code is kept nowhere');
  const next = made.call([greeted, ...ask, ...verify(right), ...bye]);
  assert.equal((await over(made, next)).level, 'linked');
  assert.match(outputs(next)[1], /No code is open/);
});

test('an answer in the chat proves it, and the model is told', async (t) => {
  const made = await hosted(t);
  let reply;
  const call = made.call([greeted, ...verify({}), { do: async () => { reply = await made.chat('Yes!'); } },
    { wait: 'assistant' }, ...ask, ...bye]);
  assert.equal((await over(made, call)).level, 'proven');
  assert.match(reply, /verified/);
  assert.equal(made.runs.at(-1).tools, 'full');
  assert.ok(JSON.stringify(call.events).includes('approved in their own chat'));
  assert.equal(await made.chat('yes'), undefined, 'nobody asks any more');
});

test('NO shuts that door for the call; words, other chats and late answers prove nothing', async (t) => {
  const made = await hosted(t);
  const replies = [];
  const right = {};
  const call = made.call([greeted, ...verify({}), { do: async () => {
    right.code = made.code();
    replies.push(await made.chat('yes', { peer: '778' }), await made.chat('yes', { who: 'assistant' }),
      await made.chat('no'));
  } }, { wait: 'assistant' }, ...verify(right), ...verify({}), { do: async () => {
    replies.push(await made.chat('yes'));
  } }, ...ask, ...bye]);
  assert.equal((await over(made, call)).level, 'linked');
  assert.deepEqual([replies[0], replies[1], replies[3]], [undefined, undefined, undefined]);
  assert.match(replies[2], /Nothing private/);
  const told = outputs(call);
  assert.match(told[1], /not they who call/);
  assert.match(told[2], /not they who call/);
  assert.equal(made.runs.at(-1).tools, 'safe');
  assert.equal(made.sent.length, 1);
});

test('the message is in no history; what is written besides it still enters the call', async (t) => {
  const made = await hosted(t);
  const call = made.call([greeted, ...verify({}), { do: async () => {
    await made.chat(made.sent[0].text, { who: 'assistant' }); // as the gateway tells of messages that were sent
    await made.chat('The door is blue.');
  } }, { wait: 'assistant' }, ...bye]);
  await over(made, call);
  assert.ok(JSON.stringify(call.events).includes('The door is blue.'));
  const { messages } = await made.get('/callers/telegram:777/export');
  assert.ok(JSON.stringify(messages).includes('The door is blue.'));
  assert.ok(!JSON.stringify(messages).includes('code on the phone'));
});

test('a message that cannot be sent is told honestly, and two are enough', async (t) => {
  const made = await hosted(t, { send: () => (made.sent.length === 1 ? { rc: -2, error: 'chat not found' } : { message_id: '1' }) });
  const call = made.call([greeted, ...verify({}), ...verify({}), ...verify({}), ...verify({ code: '000000' }), ...bye]);
  await over(made, call);
  const told = outputs(call);
  assert.match(told[0], /cannot be sent/);
  assert.match(told[1], /message was sent to/);
  assert.match(told[2], /sent already/);
  assert.equal(made.sent.length, 2);
});

test('no tool for who has no chat, and no message to chats beyond five an hour', async (t) => {
  const made = await hosted(t);
  const bob = made.call([greeted, ...bye], { from: BOB });
  await over(made, bob);
  assert.equal(tool(bob), undefined);
  for (let i = 0; i < 3; i += 1)
    await over(made, made.call([greeted, ...verify({}), ...verify({}), ...bye]));
  assert.equal(made.sent.length, 5);
});
