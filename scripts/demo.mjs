// SPDX-License-Identifier: MIT
// The demonstration: starts the gateway (or the native host) with the plugin and what it needs, places
// a call and shows it. Run by scripts/run.sh.
import fs from 'node:fs';
import path from 'node:path';
import { randomInt } from 'node:crypto';
import { build, CALLER, choosePort, makeFolder, readEnvFile, root, sleep, startGateway, startNative,
  tell } from './demo-parts.mjs';
import { startGatewayEndpoint, startModel, startOpenAI } from '../tests/sim/index.mjs';

const flags = new Set(process.argv.slice(2));
const once = flags.has('--once');
const native = flags.has('--native');

/* Real keys may stand in the environment, or in a .env file of this folder or of the run folder. */
const realName = native ? 'native-real' : 'gateway-real';
const keys = { ...readEnvFile(path.join(build, 'run', realName, '.env')),
  ...readEnvFile(path.join(root, '.env')), ...process.env };
const real = Boolean(keys.OPENAI_API_KEY && keys.WEBHOOK_SECRET);

/* A number nobody could guess proves that an answer went all the way to the agent's model and back. */
const appointment = `the dentist at half past ten, reference ${randomInt(1000, 9999)}`;
const QUESTION = 'What is on my calendar tomorrow?';

const CALL_MS = 60000;
const AFTER_MS = 15000; // from the end of the line until the reason must be known

const started = []; // what must be stopped, in the order of starting
let stopping = false;

async function stopAll() {
  if (stopping)
    return;
  stopping = true;
  for (const { what, stop, needed } of started.reverse()) {
    if (needed && !needed())
      continue;
    tell(`stopping ${what}`);
    await stop();
  }
}

function onSignal() {
  if (stopping)
    process.exit(130);
  console.log();
  stopAll().then(() => process.exit(once ? 130 : 0), (error) => {
    console.error(error.message);
    process.exit(1);
  });
}
process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);

/* ---- what is started ---- */

/* What the simulated model says when it is told to bridge a silence; all else is the simulator's own. */
const brain = (ctx) => (/still (being )?work/.test(ctx.instructions ?? '')
  ? { items: [{ say: 'I am still checking, one moment please.' }] } : null);

async function startSimulators() {
  const rules = [{ match: /calendar/i, reply: `Tomorrow you have one thing: ${appointment}.`,
    delayMs: 400 }];
  const openai = await startOpenAI({ tls: false, speed: once ? 8 : 3, brain });
  started.push({ what: 'the simulator of OpenAI', stop: () => openai.close() });
  tell(`the simulator of OpenAI (REST, webhooks, sideband) is at ${openai.url}`);
  const model = native ? await startGatewayEndpoint({ rules }) : await startModel({ rules });
  started.push({ what: "the simulator of the agent's model", stop: () => model.close() });
  tell(`the simulator of the agent's model is at ${model.url}`);
  return { openai, model };
}

async function startHost(folder, { openai, model }) {
  const port = real ? Number(keys.PORT || 8080) : await choosePort(8080);
  const env = { PORT: String(port) };
  for (const name of ['OPENAI_API_KEY', 'WEBHOOK_SECRET', 'OPENAI_PROJECT_ID', 'PUBLIC_URL',
    'OPENAI_BASE_URL', 'OPENCLAW_GATEWAY_URL', 'OPENCLAW_GATEWAY_TOKEN'])
    env[name] = (real ? keys[name] : undefined) ?? '';
  if (openai)
    Object.assign(env, { OPENAI_API_KEY: openai.apiKey, WEBHOOK_SECRET: openai.webhookSecret,
      OPENAI_BASE_URL: openai.url });
  if (openai && native)
    Object.assign(env, { OPENCLAW_GATEWAY_URL: model.url, OPENCLAW_GATEWAY_TOKEN: model.token });
  for (const name of Object.keys(env)) {
    if (env[name] === '')
      delete env[name];
  }
  tell(native ? 'starting the native host ...' : 'starting the OpenClaw gateway (10 to 30 s) ...');
  const begun = Date.now();
  const onChild = (child) => started.push({ what: child.what, stop: () => child.stop() });
  const host = native ? await startNative(folder, env, onChild)
    : await startGateway(folder, env, onChild, { model, real, voicePort: port });
  tell(`${native ? 'the native host' : 'the gateway'} is up after ${((Date.now() - begun) / 1000)
    .toFixed(1)} s; the voice channel listens on ${host.api.url}`);
  return host;
}

/* ---- showing a call ---- */

/* The API's transcript, empty until the first turn. */
async function transcript(api, id) {
  try {
    return (await api.get(`/calls/${id}/transcript`)).turns;
  } catch (error) {
    if (/ 404 /.test(error.message))
      return [];
    throw error;
  }
}

/** Shows each turn once, when it is there; later changes of a turn (an interruption) as well. */
class TurnPrinter {
  constructor() {
    this.shown = new Map();
  }

  show(turns) {
    for (const turn of turns) {
      const text = turn.text + (turn.interrupted ? ' [interrupted]' : '');
      if (!turn.text || this.shown.get(turn.item_id) === text)
        continue;
      const again = this.shown.has(turn.item_id) ? ' (corrected)' : '';
      this.shown.set(turn.item_id, text);
      tell(`  ${turn.who.padEnd(9)}${again}: ${text}`);
    }
  }
}

function watchTools(simCall) {
  simCall.on('tool', (tool) => {
    tell(`  tool     : ${tool.name} ${tool.arguments}`);
  });
  simCall.on('output', (tool) => {
    tell(`  answer   : ${tool.outputs?.at(-1) ?? ''}`);
  });
}

const reasonOf = (call) => call.reason || null;

/** Shows one call until it is over. */
async function follow(api, id, limitMs, over) {
  const printer = new TurnPrinter();
  let end = Date.now() + limitMs;
  let hungUp = false;
  let call = null;
  while (Date.now() < end && !stopping) {
    printer.show(await transcript(api, id));
    call = await api.get(`/calls/${id}`).catch(() => call);
    if (call && reasonOf(call) && (!over || over()))
      break;
    if (!hungUp && over?.()) {
      hungUp = true;
      end = Math.min(end, Date.now() + AFTER_MS);
    }
    await sleep(200);
  }
  if (stopping)
    return call;
  printer.show(await transcript(api, id));
  return call;
}

async function showEnd(host, folder, id) {
  const why = await host.api.get(`/calls/${id}/why`);
  tell('why:');
  tell(`    ${why.summary}`);
  for (const hop of why.hops ?? [])
    tell(`    ${String(hop.after_ms).padStart(7)} ms  ${hop.text}${hop.detail ? ` (${hop.detail})` : ''}`);
  if (why.went_wrong)
    tell(`    likely cause: ${why.cause}\n    cure: ${why.cure}`);
  tell('transcript, as the API has it:');
  for (const turn of await transcript(host.api, id))
    tell(`    ${new Date(turn.at).toTimeString().slice(0, 8)} ${turn.who}: ${turn.text}${
      turn.interrupted ? ' [interrupted]' : ''}`);
  const files = fs.readdirSync(folder.state).filter((f) => /\.(db|sqlite3?)$/.test(f));
  tell(`stored in ${files.map((f) => path.relative(root, path.join(folder.state, f))).join(', ')
    || path.relative(root, folder.state)}`);
}

/* ---- the simulated call and what must be true of it ---- */

const plain = (text) => text.replace(/\s+/g, ' ').trim();

function judge({ simCall, model, turns, reason }) {
  const who = (name) => turns.filter((t) => t.who === name);
  const outputs = [...simCall.toolCalls.values()].flatMap((t) => t.outputs ?? []).map(String);
  const really = simCall.turns.map((t) => `${t.who}: ${plain(t.heard ?? t.text)}`);
  const stored = turns.map((t) => `${t.who}: ${plain(t.text)}`);
  return [
    ['the caller was written down', who('caller').some((t) => t.text.includes('calendar'))],
    ['the assistant spoke first', turns[0]?.who === 'assistant'],
    ["the question reached the agent's model", model.chats.some((c) => c.words.includes('calendar'))],
    ["the agent's answer came back as the tool's output", outputs.some((o) => o.includes(appointment))],
    ['the caller heard that answer', who('assistant').some((t) => t.text.includes(appointment))],
    ['the call ended by the assistant after the goodbye', reason === 'assistant_ended'],
    ['the transcript is what was said', stored.join('\n') === really.join('\n'),
      `said:\n${really.join('\n')}\nstored:\n${stored.join('\n')}`],
    ['the conversation went as scripted', !simCall.scriptError, simCall.scriptError],
  ];
}

async function placeCall(host, folder, { openai, model }) {
  tell();
  const simCall = openai.call({ from: CALLER, displayName: 'Ada Example',
    webhookUrl: `${host.api.url}/webhook`, script: [
      { wait: 'greeting' },
      { caller: `Hello, this is Ada. ${QUESTION}` }, { wait: 'tool' }, { wait: 'assistant' },
      { caller: 'Thank you very much, goodbye.' }, { waitEnd: true }] });
  tell(`the phone rings: ${CALLER} "Ada Example", OpenAI's call id ${simCall.callId}`);
  simCall.once('accepted', () => tell('  accepted'));
  simCall.once('attached', () => tell('  the plugin joined the control channel'));
  simCall.once('over', (result) => tell(`  the line is closed (${result.reason}, by ${result.by})`));
  watchTools(simCall);
  started.push({ what: 'the call', needed: () => !simCall.over, stop: async () => simCall.hangup() });
  const call = await follow(host.api, simCall.callId, CALL_MS, () => simCall.over);
  if (stopping)
    return false;
  if (!simCall.over) {
    tell(`the call is not over after ${CALL_MS / 1000} s; hanging up`);
    simCall.hangup();
  }
  const reason = call ? reasonOf(call) : null;
  const turns = await transcript(host.api, simCall.callId);
  tell(`the call has ended: ${reason ?? 'no reason was recorded'}`);
  await showEnd(host, folder, simCall.callId);
  tell();
  let good = true;
  for (const [what, passed, detail] of judge({ simCall, model, turns, reason })) {
    tell(`${passed ? 'ok  ' : 'FAIL'} ${what}`);
    if (!passed && detail)
      tell(detail);
    good &&= passed;
  }
  return good;
}

/* ---- afterwards ---- */

const shell = (env) => Object.entries(env).map(([k, v]) => `${k}=${v}`).join(' ');

function tryNext(host, folder) {
  const here = (p) => path.relative(process.cwd(), p) || '.';
  const curl = `curl -H "Authorization: Bearer $(cat ${here(host.api.tokenFile)})" ${host.api.url}`;
  const lines = ['', 'It stays up. Try:', `  ${curl}/calls`, `  ${curl}/calls/ID/transcript`,
    `  ${curl}/calls/ID/why`];
  if (!native) {
    lines.push(`  PATH=${here(path.join(root, 'build/tools/bin'))}:$PATH ${shell(host.shellEnv)} \\`,
      `      OPENCLAW_GATEWAY_TOKEN=${host.token} openclaw channels status`);
  }
  lines.push('', `Configuration: ${here(folder.yaml)} (edit, then start again)`,
    `Logs:          ${here(folder.log)}`);
  if (!real) {
    lines.push('', 'Real calls: put keys into the environment and run the same command:',
      '  OPENAI_API_KEY=sk-... WEBHOOK_SECRET=whsec_... PUBLIC_URL=https://voice.example.com \\',
      `      sh scripts/run.sh${native ? ' --native' : ''}`, ...(native
        ? ['  (and OPENCLAW_GATEWAY_URL, OPENCLAW_GATEWAY_TOKEN of the gateway whose agent answers)'] : []));
  }
  lines.push('', 'Ctrl-C stops everything in order.');
  lines.forEach((line) => console.log(line));
}

function tellRegistration(host) {
  const url = keys.PUBLIC_URL ? `${keys.PUBLIC_URL.replace(/\/+$/, '')}/webhook` : null;
  tell();
  if (url) {
    tell(`webhook URL to register with OpenAI (event realtime.call.incoming): ${url}`);
  } else {
    tell(`OpenAI must reach ${host.api.url}/webhook by a public https address: open a tunnel to`);
    tell('it, set PUBLIC_URL to its address and register PUBLIC_URL/webhook with OpenAI');
    tell('(event realtime.call.incoming).');
  }
  tell('Then point your SIP trunk at sip:YOUR_PROJECT_ID@sip.api.openai.com;transport=tls');
  if (!native)
    tell('An unknown caller is told a code; approve it with: openclaw pairing approve voice CODE');
}

/** Shows the calls that come, until we are stopped. */
async function serveReal(host, folder) {
  const seen = new Set();
  const first = await host.api.get('/calls');
  (first.calls ?? []).forEach((c) => seen.add(c.id ?? c.call));
  while (!stopping) {
    await sleep(500);
    const { calls = [] } = await host.api.get('/calls').catch(() => ({}));
    for (const call of calls) {
      const id = call.id ?? call.call;
      if (seen.has(id))
        continue;
      seen.add(id);
      tell(`the phone rings: ${call.from || 'number withheld'} (${id})`);
      follow(host.api, id, 2 * 3600 * 1000).then(async (ended) => {
        if (!stopping) {
          tell(`the call has ended: ${ended ? reasonOf(ended) : '?'}`);
          await showEnd(host, folder, id);
        }
      }).catch((error) => tell(`${id}: ${error.message}`));
    }
  }
}

async function main() {
  const name = real ? realName : `${once ? 'once' : 'simulated'}-${native ? 'native' : 'gateway'}`;
  if (real && once)
    throw new Error('--once places a simulated call: unset OPENAI_API_KEY and WEBHOOK_SECRET for it');
  const folder = makeFolder(name, { native, real, fresh: once });
  tell(`run folder: ${path.relative(root, folder.dir)}`);
  if (!real)
    tell('no OPENAI_API_KEY and WEBHOOK_SECRET: OpenAI and the agent\'s model are simulated');
  const sims = real ? {} : await startSimulators();
  const host = await startHost(folder, sims);
  let good = true;
  if (real) {
    tellRegistration(host);
  } else {
    good = await placeCall(host, folder, sims);
    if (sims.openai.violations.length > 0) {
      tell(`FAIL the traffic breaks OpenAI's schemas:\n${sims.openai.violations.slice(0, 5)
        .map((v) => v.text).join('\n')}`);
      good = false;
    }
  }
  if (once) {
    await stopAll();
    tell(good ? 'all went as expected' : 'something went wrong');
    process.exit(good ? 0 : 1);
  }
  if (stopping)
    return;
  tryNext(host, folder);
  await Promise.race([host.child.exited.then((exit) => {
    if (!stopping)
      throw new Error(`${host.child.what} ended by itself (${JSON.stringify(exit)}); see ${host.child.logFile}`);
  }), real ? serveReal(host, folder) : new Promise(() => {})]);
}

const alive = setInterval(() => {}, 1 << 30);
main().catch(async (error) => {
  console.error(`run: ${error.message}`);
  await stopAll();
  clearInterval(alive);
  process.exit(1);
});
