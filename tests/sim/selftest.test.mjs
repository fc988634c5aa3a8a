/* SPDX-License-Identifier: MIT */
// The simulators' own tests, with npm ws, openai and standardwebhooks as the other side.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import { openaiSchemas, startGatewayEndpoint, startModel, startOpenAI, startTelegram }
  from './index.mjs';
import { personsWords } from './chat.mjs';
import { spokenInstructions, spokenOutput } from './brain.mjs';
import { withNulls } from './faults.mjs';
import { SidebandClient, acceptAndAttach, exampleSession, rest, startClient }
  from '../lib/client.mjs';
import { makeCerts } from '../lib/certs.mjs';
import { mergeConfig, runHost, startHost } from '../lib/host.mjs';
import { freePort, sleep, tmpdir, waitFor } from '../lib/util.mjs';

const haveSchemas = openaiSchemas() !== null;
const open = new Set();
after(() => Promise.all([...open].map((sim) => sim.close())));

/* A simulator that is closed at the end, whatever happens. */
async function simulator(opts = {}) {
  const sim = await startOpenAI(opts);
  open.add(sim);
  return sim;
}

/* A live call and a client that greets and answers nothing by itself. */
async function liveCall(opts = {}, simOpts = {}) {
  const sim = await simulator(simOpts);
  const call = sim.call({ announce: false, ...opts });
  const client = await acceptAndAttach(sim, call, { session: opts.session });
  return { sim, call, client };
}

const until = (call, name) => new Promise((resolve) => { call.once(name, resolve); });
const asyncEvents = /input_audio_transcription|rate_limits/;

describe('a call', () => {
  test('goes from the webhook to the hang-up, nothing amiss', async () => {
    const sim = await simulator();
    const client = await startClient(sim, { answer: () => 'It is forty-two.' });
    const call = sim.call({ webhookUrl: client.url, script: [{ wait: 'greeting' },
      { caller: 'What is the answer?' }, { wait: 'tool' }, { wait: 'assistant' },
      { caller: 'Goodbye' }, { waitEnd: true }] });
    const result = await call.done;
    assert.equal(result.scriptError, null);
    assert.equal(result.reason, 'hangup');
    assert.equal(result.by, 'client');
    assert.deepEqual(result.turns.map((t) => [t.who, t.text]), [
      ['assistant', 'Hello, this is your assistant. How can I help you?'],
      ['caller', 'What is the answer?'], ['assistant', 'Let me check that.'],
      ['assistant', 'It is forty-two.'], ['caller', 'Goodbye'],
      ['assistant', 'Goodbye, and thank you for calling.']]);
    const [tool] = call.toolCalls.values();
    assert.deepEqual(JSON.parse(tool.arguments), { request: 'What is the answer?' });
    assert.deepEqual(tool.outputs, ['It is forty-two.']);
    assert.equal(call.activeResponseErrors, 0);
    assert.deepEqual(call.requests.map((r) => [r.action, r.status]),
      [['accept', 200], ['sideband', 101], ['hangup', 200]]);
    sim.assertClean();
    await client.close();
  });

  test('has the order of events of a turn', async () => {
    const { sim, call, client } = await liveCall();
    await call.say('and now something');
    await client.waitEvent('output_audio_buffer.stopped');
    const turn = client.types.slice(client.types.indexOf('input_audio_buffer.speech_started'))
      .filter((type) => !asyncEvents.test(type));
    const once = turn.filter((type, i) => type !== turn[i - 1]);
    assert.deepEqual(once.filter((t) => t !== 'response.output_audio.done'), [
      'input_audio_buffer.speech_started', 'input_audio_buffer.speech_stopped',
      'input_audio_buffer.committed', 'conversation.item.added', 'conversation.item.done',
      'response.created', 'response.output_item.added', 'conversation.item.added',
      'response.content_part.added', 'response.output_audio_transcript.delta',
      'output_audio_buffer.started', ...(once.filter((t) => /delta$/.test(t)).length > 1
        ? ['response.output_audio_transcript.delta'] : []),
      'response.output_audio_transcript.done', 'response.content_part.done',
      'response.output_item.done', 'conversation.item.done', 'response.done',
      'output_audio_buffer.stopped']);
    const done = client.events.find((e) => e.type === 'response.done').response;
    assert.equal(done.status, 'completed');
    assert.equal(done.output[0].content[0].transcript, 'You said: and now something');
    assert.ok(done.usage.output_token_details.audio_tokens > 0);
    const text = done.output[0].content[0].transcript;
    const seconds = done.usage.output_token_details.audio_tokens * 0.05;
    assert.ok(Math.abs(seconds - text.length / 15) < 0.2, 'audio tokens are 50 ms each');
    sim.assertClean();
  });

  test('tells the session that was accepted, with its end', async () => {
    const { client } = await liveCall();
    const { session } = client.events[0];
    assert.equal(client.events[0].type, 'session.created');
    assert.equal(session.model, exampleSession.model);
    assert.equal(session.audio.output.voice, 'marin');
    assert.equal(session.tools.length, 2);
    assert.equal(session.audio.input.turn_detection.create_response, true);
    assert.ok(session.expires_at > Date.now() / 1000 + 3500);
  });

  test('transcribes the caller later, by item id, or not at all', async () => {
    const { client, call } = await liveCall();
    const item = await call.say('late words', { transcriptMs: 400, transcript: 'late word' });
    await client.waitEvent('response.done');
    assert.ok(!client.types.includes('conversation.item.input_audio_transcription.completed'));
    const late = await client.waitEvent('conversation.item.input_audio_transcription.completed');
    assert.equal(late.item_id, item);
    assert.equal(late.transcript, 'late word');
    await waitFor(() => call.idle);
    await call.say('mumble', { transcriptFails: true });
    await client.waitEvent('conversation.item.input_audio_transcription.failed');
    const quiet = await liveCall({ session: { ...exampleSession,
      audio: { output: { voice: 'marin' } } } });
    await quiet.call.say('nobody writes this');
    await quiet.client.waitEvent('output_audio_buffer.stopped');
    assert.ok(!quiet.client.types.some((t) => t.includes('transcription')));
  });

  test('does not answer by itself when create_response is off', async () => {
    const session = structuredClone(exampleSession);
    session.audio.input.turn_detection = { type: 'semantic_vad', create_response: false };
    const { client, call } = await liveCall({ session });
    await call.say('anybody?');
    await sleep(100);
    assert.ok(!client.types.includes('response.created'));
  });

  test('asks by itself after silence, where the session wants that', async () => {
    const session = structuredClone(exampleSession);
    session.audio.input.turn_detection = { type: 'server_vad', idle_timeout_ms: 5000 };
    const { sim, client } = await liveCall({ session });
    client.send({ type: 'response.create' });
    await client.waitEvent('input_audio_buffer.timeout_triggered');
    await client.waitEvent((e) => e.transcript === 'Are you still there?');
    sim.assertClean();
  });

  test('is cut where it was heard when the caller speaks', async () => {
    const { sim, call, client } = await liveCall({ speed: 4, brain: () => ({ items: [
      { say: 'one two three four five six seven eight nine ten eleven twelve thirteen' }] }) });
    client.send({ type: 'response.create' });
    await until(call, 'playing');
    await call.sleepAudio(300); // the first words are being made
    const said = call.say('wait');
    await client.waitEvent('conversation.item.truncated');
    await client.waitEvent('response.done');
    const from = client.types.indexOf('input_audio_buffer.speech_started');
    const kinds = client.types.slice(from).filter((t) =>
      /speech_started|cleared|truncated|response\.done/.test(t));
    assert.deepEqual(kinds.slice(0, 4), ['input_audio_buffer.speech_started',
      'output_audio_buffer.cleared', 'conversation.item.truncated', 'response.done']);
    const { response } = client.events.find((e) => e.type === 'response.done');
    assert.equal(response.status, 'cancelled');
    assert.equal(response.status_details.reason, 'turn_detected');
    assert.equal(response.output[0].status, 'incomplete');
    const cut = client.events.find((e) => e.type === 'conversation.item.truncated');
    const turn = call.turns.find((t) => t.item_id === cut.item_id);
    assert.ok(turn.interrupted);
    assert.ok(turn.heard.length < turn.text.length);
    assert.equal(turn.heard.length, Math.round((cut.audio_end_ms / 1000) * 15));
    await said;
    sim.assertClean();
  });

  test('is cut after response.done, and also when that was before', async () => {
    const long = 'a sentence that is long enough to be interrupted while it is being played';
    for (const truncatedLate of [false, true]) {
      const { sim, call, client } = await liveCall({ faults: { truncatedLate },
        brain: () => ({ items: [{ say: long }] }) });
      client.send({ type: 'response.create' });
      if (truncatedLate)
        await until(call, 'playing');
      else
        await client.waitEvent('response.done');
      await call.say('stop');
      const order = client.types.filter((t) => /truncated|response\.done/.test(t)).slice(0, 2);
      assert.deepEqual(order, ['response.done', 'conversation.item.truncated']);
      const status = client.events.find((e) => e.type === 'response.done').response.status;
      assert.equal(status, truncatedLate ? 'cancelled' : 'completed');
      sim.assertClean();
    }
  });

  test('reports keys without an event id', async () => {
    const { sim, call, client } = await liveCall();
    call.dtmf('#');
    const event = await client.waitEvent('input_audio_buffer.dtmf_event_received');
    assert.equal(event.event, '#');
    assert.equal(event.event_id, undefined);
    sim.assertClean();
  });

  test('ends in each way', async () => {
    const { sim, call, client } = await liveCall();
    call.hangup();
    assert.equal(await client.ended, 1000);
    assert.equal((await call.done).reason, 'caller_hangup');
    assert.equal((await rest(sim, call.callId, 'hangup')).status, 404);
    const rings = sim.call({ announce: false, ringMs: 30 });
    assert.equal((await rings.done).reason, 'unanswered');
    const refused = sim.call({ announce: false });
    assert.equal((await rest(sim, refused.callId, 'reject', { status_code: 486 })).status, 200);
    assert.deepEqual([(await refused.done).reason, (await refused.done).sipCode],
      ['rejected', 486]);
    const gone = sim.call({ announce: false, ringHangup: { afterMs: 10 } });
    assert.equal((await gone.done).reason, 'abandoned');
    assert.equal((await rest(sim, gone.callId, 'accept', exampleSession)).json.error.code,
      'call_id_not_found');
    const alone = sim.call({ announce: false, idleMs: 40 });
    assert.equal((await rest(sim, alone.callId, 'accept', exampleSession)).status, 200);
    assert.equal((await alone.done).reason, 'idle');
    const old = sim.call({ announce: false, sessionMs: 40 });
    await rest(sim, old.callId, 'accept', exampleSession);
    assert.equal((await old.done).reason, 'session_expired');
    const moved = sim.call({ announce: false });
    await rest(sim, moved.callId, 'accept', exampleSession);
    assert.equal((await rest(sim, moved.callId, 'refer', { target_uri: 'tel:+15550001111' }))
      .status, 200);
    assert.equal((await moved.done).reason, 'referred');
    sim.assertClean();
  });
});

describe('client events', () => {
  test('two responses at once are refused, also while one is about to start', async () => {
    const { sim, call, client } = await liveCall();
    client.send({ type: 'response.create' });
    client.send({ type: 'response.create', event_id: 'mine' });
    const { error } = await client.waitEvent('error');
    assert.equal(error.code, 'conversation_already_has_active_response');
    assert.equal(error.event_id, 'mine');
    await until(call, 'played');
    const mark = client.events.length;
    call.once('committed', () => client.send({ type: 'response.create' }));
    await call.say('hello');
    await client.waitEvent((e) => e.error?.code === 'conversation_already_has_active_response',
      { since: mark });
    assert.equal(call.activeResponseErrors, 2);
    sim.assertClean();
  });

  test('an out-of-band response runs beside another and stays out of the conversation', async () => {
    const { sim, call, client } = await liveCall();
    client.send({ type: 'response.create' });
    client.send({ type: 'response.create', response: { conversation: 'none',
      output_modalities: ['text'], instructions: 'Say "aside"', metadata: { topic: 'x' } } });
    const aside = await client.waitEvent((e) => e.type === 'response.done'
      && e.response.metadata?.topic === 'x');
    assert.equal(aside.response.output[0].content[0].text, 'aside');
    assert.ok(!call.conversation.has(aside.response.output[0].id));
    assert.ok(!client.types.includes('error'));
    sim.assertClean();
  });

  test('cancel and clear', async () => {
    const { sim, call, client } = await liveCall({ speed: 2 });
    client.send({ type: 'response.cancel' });
    const { error } = await client.waitEvent('error');
    assert.equal(error.code, 'response_cancel_not_active');
    client.send({ type: 'response.create' });
    await until(call, 'playing');
    client.send({ type: 'response.cancel' });
    client.send({ type: 'output_audio_buffer.clear' });
    const done = await client.waitEvent('response.done');
    assert.equal(done.response.status_details.reason, 'client_cancelled');
    await client.waitEvent('output_audio_buffer.cleared');
    await client.waitEvent('conversation.item.truncated');
    assert.ok(!client.types.includes('output_audio_buffer.stopped'));
    sim.assertClean();
  });

  test('items keep their ids, duplicates and unknown tool calls are errors', async () => {
    const { sim, call, client } = await liveCall();
    const item = { id: 'item_mine', type: 'message', role: 'system',
      content: [{ type: 'input_text', text: 'context' }] };
    client.send({ type: 'conversation.item.create', item });
    const added = await client.waitEvent('conversation.item.added');
    assert.equal(added.item.id, 'item_mine');
    client.send({ type: 'conversation.item.create', item, event_id: 'twice' });
    const dup = await client.waitEvent('error');
    assert.equal(dup.error.event_id, 'twice');
    client.send({ type: 'conversation.item.create', event_id: 'lost',
      item: { type: 'function_call_output', call_id: 'call_no', output: 'x' } });
    const lost = await client.waitEvent((e) => e.error?.event_id === 'lost');
    assert.equal(lost.error.code, 'invalid_tool_call_id');
    client.send({ type: 'conversation.item.retrieve', item_id: 'item_mine' });
    const got = await client.waitEvent('conversation.item.retrieved');
    assert.equal(got.item.content[0].text, 'context');
    client.send({ type: 'conversation.item.delete', item_id: 'item_mine' });
    await client.waitEvent('conversation.item.deleted');
    client.send({ type: 'conversation.item.retrieve', item_id: 'item_mine', event_id: 'gone' });
    await client.waitEvent((e) => e.error?.event_id === 'gone');
    client.send({ type: 'conversation.item.create', previous_item_id: 'item_none', item,
      event_id: 'where' });
    await client.waitEvent((e) => e.error?.event_id === 'where');
    assert.equal(call.conversation.items.length, 0);
    sim.assertClean();
  });

  test('the second output of a tool call is noted', async () => {
    const { sim, call, client } = await liveCall();
    await call.say('what?');
    const done = await client.waitEvent('response.done');
    const tool = done.response.output.find((i) => i.type === 'function_call');
    const item = { type: 'function_call_output', call_id: tool.call_id, output: 'once' };
    client.send({ type: 'conversation.item.create', item });
    await until(call, 'output');
    sim.assertClean();
    client.send({ type: 'conversation.item.create', item });
    await until(call, 'output');
    assert.throws(() => sim.assertClean(), /second output/);
  });

  test('an output is spoken only when asked for', async () => {
    const { call, client } = await liveCall();
    await call.say('what?');
    const done = await client.waitEvent('response.done');
    const tool = done.response.output.find((i) => i.type === 'function_call');
    client.send({ type: 'conversation.item.create', item: { type: 'function_call_output',
      call_id: tool.call_id, output: 'the secret is out' } });
    await waitFor(() => call.idle);
    await call.say('are you there');
    await waitFor(() => call.idle);
    assert.ok(!call.turns.some((t) => t.text.includes('secret')));
    client.send({ type: 'response.create' });
    await waitFor(() => call.turns.some((t) => t.text.includes('secret')));
  });

  test('session.update merges, answers with all, and wants its type', async () => {
    const { sim, client } = await liveCall();
    client.send({ type: 'session.update', session: { type: 'realtime', instructions: 'New.' } });
    const { session } = await client.waitEvent('session.updated');
    assert.equal(session.instructions, 'New.');
    assert.equal(session.tools.length, 2);
    client.send({ type: 'session.update', event_id: 'model',
      session: { type: 'realtime', model: 'gpt-realtime-2' } });
    await client.waitEvent((e) => e.error?.event_id === 'model');
    sim.assertClean();
    client.send({ type: 'session.update', event_id: 'bare', session: { instructions: 'x' } });
    const bare = await client.waitEvent((e) => e.error?.event_id === 'bare');
    assert.match(bare.error.message, /Missing required parameter: 'session.type'/);
    assert.equal(sim.violations.length, 1);
  });

  test('nonsense is answered with an error and noted', async () => {
    const { sim, client } = await liveCall();
    client.ws.send('{');
    await client.waitEvent((e) => e.error?.code === 'invalid_json');
    client.send({ type: 'response.invent' });
    await client.waitEvent((e) => e.error?.code === 'invalid_value');
    client.send({ type: 'input_audio_buffer.append', audio: 'AAAA' });
    await client.waitEvent((e) => e.error?.code === 'invalid_event');
    client.ws.send(Buffer.from('{"type":"input_audio_buffer.clear"}'), { binary: true });
    await client.waitEvent('input_audio_buffer.cleared');
    assert.equal(sim.violations.length, 4);
    assert.throws(() => sim.assertClean(), /4 violation/);
  });
});

describe('schema checks', { skip: !haveSchemas && 'no schemas here' }, () => {
  test('bite on what is received', async () => {
    const { sim, client } = await liveCall();
    client.send({ type: 'conversation.item.create', event_id: 'a',
      item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 7 }] } });
    await client.waitEvent((e) => e.error?.event_id === 'a');
    client.send({ type: 'response.cancel', event_id: 'b', surplus: true });
    await client.waitEvent((e) => e.error?.event_id === 'b');
    assert.match(sim.violations.map((v) => v.text).join('\n'), /conversation\.item\.create/);
    assert.match(sim.violations.map((v) => v.text).join('\n'), /surplus/);
    const call = sim.call({ announce: false });
    const { status, json } = await rest(sim, call.callId, 'accept',
      { ...exampleSession, temperature: 0.8 });
    assert.equal(status, 400);
    assert.match(json.error.message, /temperature/);
    assert.equal(call.state, 'pending');
    assert.equal((await rest(sim, call.callId, 'reject', { code: 486 })).status, 400);
  });

  test('bite on what is sent', async () => {
    const { sim, call } = await liveCall();
    call.inject({ type: 'response.done', response: { status: 'over' } }, { check: true });
    assert.match(sim.violations[0].text, /sent response\.done/);
    call.inject({ type: 'response.invented', anything: 1 });
    assert.equal(sim.violations.length, 1);
  });

  test('pass with nulls for all optional fields', async () => {
    const { sim, call, client } = await liveCall({ faults: { nulls: true } });
    await call.say('what?');
    await client.waitEvent('output_audio_buffer.stopped');
    client.send({ type: 'response.cancel' });
    const { error } = await client.waitEvent('error');
    assert.equal(error.param, null);
    sim.assertClean();
    assert.equal(withNulls({ type: 'error', error: {} }).error.code, null);
  });

  test('check only a sample of the calls when asked to', async () => {
    const sim = await simulator({ validate: 0.25 });
    const checked = Array.from({ length: 40 }, () => sim.call({ announce: false }).checked);
    assert.equal(checked.filter(Boolean).length, 10);
  });
});

describe('REST', () => {
  test('wants the key, the type, and none of the fields that SIP refuses', async () => {
    const sim = await simulator();
    const call = sim.call({ announce: false });
    const accept = (session, key) => rest(sim, call.callId, 'accept', session, { key });
    assert.equal((await accept(exampleSession, 'sk-wrong')).json.error.code, 'invalid_api_key');
    assert.match((await accept({ model: 'gpt-realtime-2.1' })).json.error.message,
      /session\.type/);
    for (const field of ['threshold', 'prefix_padding_ms', 'silence_duration_ms']) {
      const session = structuredClone(exampleSession);
      session.audio.input.turn_detection = { type: 'server_vad', [field]: 1 };
      const { status, json } = await accept(session);
      assert.equal(status, 400);
      assert.equal(json.error.message,
        `Unknown parameter: 'session.audio.input.turn_detection.${field}'.`);
    }
    assert.equal(sim.violations.length, 3);
    assert.equal((await accept(exampleSession)).status, 200);
    assert.equal((await accept(exampleSession)).status, 400, 'a second accept fails');
    assert.equal((await rest(sim, 'rtc_none', 'accept', exampleSession)).status, 404);
    assert.equal((await rest(sim, call.callId, 'explode', {})).status, 404);
    assert.equal(sim.requests.filter((r) => r.action === 'accept').length, 8);
  });

  test('lists models with their end', async () => {
    const sim = await simulator();
    const client = new OpenAI({ apiKey: sim.apiKey, baseURL: sim.url });
    const models = (await client.models.list()).data;
    assert.equal(models.find((m) => m.id === 'gpt-realtime').shutdown_date, '2027-01-20');
    assert.equal(models.find((m) => m.id === 'gpt-realtime-2.1').shutdown_date, null);
  });

  test('tells of one model, and makes a secret for a session that it would take', async () => {
    const sim = await simulator({ project: 'proj_one' });
    const client = new OpenAI({ apiKey: sim.apiKey, baseURL: sim.url, project: 'proj_one', maxRetries: 0 });
    assert.equal((await client.models.retrieve('gpt-realtime-2.1')).id, 'gpt-realtime-2.1');
    await assert.rejects(client.models.retrieve('gpt-none'), (e) => e.status === 404 && e.code === 'model_not_found');
    const session = { type: 'realtime', model: 'gpt-realtime-2.1', audio: { output: { voice: 'cedar' } } };
    const secret = await client.realtime.clientSecrets.create({ session,
      expires_after: { anchor: 'created_at', seconds: 10 } });
    assert.match(secret.value, /^ek_/);
    await assert.rejects(client.realtime.clientSecrets.create({ session: { ...session, model: 'gpt-none' } }),
      (e) => e.status === 400 && e.param === 'session.model');
    const silent = { ...session, audio: { output: { voice: 'x' } } };
    await assert.rejects(client.realtime.clientSecrets.create({ session: silent }),
      (e) => e.status === 400 && e.param === 'session.audio.output.voice');
    sim.project = 'proj_two';
    await assert.rejects(client.models.retrieve('gpt-realtime-2.1'), (e) => e.code === 'mismatched_project');
    sim.assertClean();
    assert.equal(sim.calls.size, 0);
  });

  test('fails as it is told to, and then works', async () => {
    const sim = await simulator();
    const call = sim.call({ announce: false, faults: { accept: [{ status: 429, times: 2 },
      { status: 404, afterMs: 80 }, { reset: true }, { afterMs: 50 }] } });
    const accept = () => rest(sim, call.callId, 'accept', exampleSession);
    assert.equal((await accept()).status, 429);
    assert.equal((await accept()).json.error.type, 'rate_limit_error');
    const begun = Date.now();
    assert.equal((await accept()).json.error.code, 'call_id_not_found');
    assert.ok(Date.now() - begun >= 75);
    await assert.rejects(accept());
    assert.equal(call.state, 'pending');
    assert.equal((await accept()).status, 200);
    assert.equal(call.state, 'live');
  });

  test('loses an answer without losing the deed, or never answers', async () => {
    const sim = await simulator({ faults: { hangup: { reset: true, apply: true } } });
    const call = sim.call({ announce: false, faults: { accept: [{ apply: true, cut: true }] } });
    await assert.rejects(rest(sim, call.callId, 'accept', exampleSession));
    assert.equal(call.state, 'live');
    await assert.rejects(rest(sim, call.callId, 'hangup'));
    assert.equal((await call.done).reason, 'hangup');
    const mute = sim.call({ announce: false, faults: { accept: { never: true } } });
    const answer = rest(sim, mute.callId, 'accept', exampleSession).then(() => 'answered',
      () => 'failed');
    assert.equal(await Promise.race([answer, sleep(150).then(() => 'waiting')]), 'waiting');
  });
});

describe('sideband', () => {
  const refused = async (sim, callId, opts) => {
    const client = new SidebandClient(sim, callId, opts);
    const error = await client.opened.then(() => null, (e) => e);
    client.close();
    return error?.status;
  };

  test('refuses what the service refuses', async () => {
    const { sim, call, client } = await liveCall();
    const { callId } = call;
    assert.equal(await refused(sim, callId, { headers: { authorization: 'Bearer ek_x' } }), 401);
    sim.assertClean();
    assert.equal(await refused(sim, callId, { headers: { 'OpenAI-Beta': 'realtime=v1' } }), 400);
    assert.equal(await refused(sim, callId, { query: `call_id=${callId}&model=x` }), 400);
    assert.equal(sim.violations.length, 2);
    assert.equal(await refused(sim, 'rtc_none'), 404);
    const pending = sim.call({ announce: false });
    assert.equal(await refused(sim, pending.callId), 404, 'not accepted yet');
    call.hangup();
    await client.ended;
    assert.equal(await refused(sim, callId), 404, 'over');
  });

  test('fails in the handshake as told', async () => {
    const sim = await simulator();
    const call = sim.call({ announce: false, faults: { handshake: [{ status: 503 },
      { status: 404 }, { reset: true }, { badAccept: true }] } });
    await rest(sim, call.callId, 'accept', exampleSession);
    assert.equal(await refused(sim, call.callId), 503);
    assert.equal(await refused(sim, call.callId), 404);
    for (let n = 0; n < 2; n += 1)
      await assert.rejects(new SidebandClient(sim, call.callId).opened);
    const client = new SidebandClient(sim, call.callId);
    await client.waitEvent('session.created');
  });

  test('may be lost: the call goes on, missed events are not replayed', async () => {
    const { sim, call, client } = await liveCall();
    client.send({ type: 'response.create' });
    await until(call, 'played');
    call.dropSideband({ code: 1011 });
    assert.equal(await client.ended, 1011);
    await call.say('is anybody there');
    await waitFor(() => call.idle && call.turns.length === 3);
    const again = new SidebandClient(sim, call.callId);
    await again.waitEvent('session.created');
    assert.deepEqual(again.types, ['session.created']);
    assert.equal(again.events[0].session.id, client.events[0].session.id);
    again.send({ type: 'conversation.item.retrieve', item_id: call.turns[2].item_id });
    const kept = await again.waitEvent('conversation.item.retrieved');
    assert.equal(kept.item.content[0].transcript, 'You said: is anybody there');
    call.dropSideband({ reset: true });
    assert.equal(await again.ended, 1006);
    assert.equal(call.state, 'live');
    sim.assertClean();
  });

  test('drops after some events', async () => {
    const { client } = await liveCall({ faults: { sideband: { dropAfterEvents: 5, dropCode: 1012 } } });
    client.send({ type: 'response.create' });
    assert.equal(await client.ended, 1012);
    assert.equal(client.events.length, 5);
  });

  test('goes silent in three ways', async () => {
    for (const how of ['silent', 'halfopen', 'halfclosed']) {
      const { call, client } = await liveCall();
      let pongs = 0;
      client.ws.on('pong', () => { pongs += 1; });
      client.ws.ping();
      await waitFor(() => pongs === 1);
      call.muteSideband(how);
      if (how === 'halfclosed') {
        assert.equal(await client.ended, 1006);
        continue;
      }
      client.ws.ping();
      client.send({ type: 'response.create' });
      await sleep(60);
      assert.equal(pongs, 1, `${how}: no pong`);
      assert.equal(client.closed, null, `${how}: still open`);
      assert.ok(!client.types.includes('response.created'));
    }
  });

  test('sends no session.created, or a late one', async () => {
    const sim = await simulator();
    for (const [sessionCreated, seen] of [[false, false], [500, true]]) {
      const call = sim.call({ announce: false, faults: { sideband: { sessionCreated } } });
      await rest(sim, call.callId, 'accept', exampleSession);
      const client = new SidebandClient(sim, call.callId);
      await client.opened;
      await sleep(30);
      assert.equal(client.events.length, 0);
      await sleep(700);
      assert.equal(client.types.includes('session.created'), seen);
    }
  });

  test('large, fragmented, binary and unknown messages arrive whole', async () => {
    const { call, client } = await liveCall({ faults: { sideband: { fragment: true, pingMs: 5 } } });
    const text = 'ж漢🙂'.repeat(100000);
    call.inject({ type: 'future.event', text, nothing: null });
    const event = await client.waitEvent('future.event', { timeoutMs: 15000 });
    assert.equal(event.text, text);
    for (let n = 0; n < 50; n += 1)
      call.inject({ type: 'future.small', n, text: 'öäü'.repeat(n) });
    await client.waitEvent((e) => e.n === 49);
    assert.deepEqual(client.events.filter((e) => e.type === 'future.small').map((e) => e.n),
      Array.from({ length: 50 }, (_, n) => n));
    call.sendRaw(Buffer.from([1, 2, 3]), { binary: true });
    await client.waitEvent('binary');
    call.sendRaw('{"type": nonsense');
    await client.waitEvent('no-json');
  });

  test('drops, delays, doubles and swaps events', async () => {
    const { call, client } = await liveCall({ faults: { events: [
      { type: 'input_audio_buffer.committed', action: 'drop' },
      { type: 'response.done', action: 'delay', ms: 1000 },
      { type: 'response.created', action: 'duplicate' },
      { type: 'response.content_part.added', action: 'swap' }] } });
    await call.say('hello you over there');
    await client.waitEvent('output_audio_buffer.stopped');
    assert.ok(!client.types.includes('input_audio_buffer.committed'));
    assert.equal(client.types.filter((t) => t === 'response.created').length, 2);
    assert.ok(!client.types.includes('response.done'));
    const part = client.types.indexOf('response.content_part.added');
    assert.equal(client.types[part - 1], 'response.output_audio_transcript.delta');
    await client.waitEvent('response.done');
  });
});

describe('webhooks', () => {
  test('are signed as npm openai and standardwebhooks want it', async () => {
    const sim = await simulator();
    const client = await startClient(sim);
    const call = sim.call({ webhookUrl: client.url, from: '+4930123456', displayName: 'Ada',
      extraHeaders: { 'X-Call-Ref': 'abc' } });
    await call.announced;
    const [got] = client.received;
    assert.ok(got.valid);
    const openai = new OpenAI({ apiKey: 'x' });
    await openai.webhooks.verifySignature(got.body, got.headers, sim.webhookSecret);
    new Webhook(sim.webhookSecret).verify(got.body, got.headers);
    await assert.rejects(openai.webhooks.verifySignature(`${got.body} `, got.headers,
      sim.webhookSecret));
    const headers = Object.fromEntries(got.event.data.sip_headers.map((h) => [h.name, h.value]));
    assert.match(headers.From, /^"Ada" <sip:\+4930123456@/);
    assert.equal(headers['Call-ID'], call.sipCallId);
    assert.equal(headers['X-Call-Ref'], 'abc');
    assert.equal(got.headers['content-type'], 'application/json');
    sim.assertClean();
    await client.close();
  });

  test('are repeated with the same id until they are taken', async () => {
    const sim = await simulator({ retryMs: [10, 20, 40] });
    let left = 2;
    const client = await startClient(sim, { status: () => (left-- > 0 ? 503 : 200) });
    const call = sim.call({ webhookUrl: client.url });
    await call.announced;
    assert.deepEqual(call.deliveries.map((d) => d.status), [503, 503, 200]);
    assert.equal(new Set(call.deliveries.map((d) => d.webhookId)).size, 1);
    const dead = sim.call({ webhookUrl: `http://127.0.0.1:${await freePort()}/webhook` });
    await dead.announced;
    assert.deepEqual(dead.deliveries.map((d) => d.status), [0, 0, 0, 0]);
    await client.close();
  });

  test('come twice, late, stale, badly signed, and under another name', async () => {
    const sim = await simulator({ retryMs: [5] });
    const client = await startClient(sim);
    const twice = sim.call({ webhookUrl: client.url, faults: { webhook: { copies: 2,
      live: 'before' } } });
    await twice.announced;
    const types = client.received.map((r) => r.event.type);
    assert.deepEqual(types, ['live.transport.incoming', ...Array(3).fill('realtime.call.incoming')]);
    const ids = client.received.map((r) => r.event.data.session_id ?? r.event.data.call_id);
    assert.match(ids[0], /^live_/);
    assert.equal(ids[1], twice.callId);
    const sip = (r) => r.event.data.sip_headers.find((h) => h.name === 'Call-ID').value;
    assert.equal(new Set(client.received.map(sip)).size, 1);
    await waitFor(() => twice.state === 'live');
    const forged = sim.call({ webhookUrl: client.url, faults: { webhook: { badSignature: 1 } } });
    await forged.announced;
    assert.deepEqual(forged.deliveries.map((d) => d.status), [401, 200]);
    const stale = sim.call({ webhookUrl: client.url, faults: { webhook: { staleSeconds: 400,
      noRetry: true } } });
    await stale.announced;
    assert.deepEqual(stale.deliveries.map((d) => d.status), [401]);
    await client.close();
  });

  test('carry a signature for each secret while one is rotated', async () => {
    const old = `whsec_${Buffer.from('the old secret of this test').toString('base64')}`;
    const sim = await simulator({ webhookSecret: [old, 'a plain text secret'] });
    const { 'webhook-signature': signature, ...rest2 } = sim.webhooks.headers('wh_1', '{}');
    assert.equal(signature.split(' ').length, 2);
    const openai = new OpenAI({ apiKey: 'x' });
    for (const secret of sim.webhookSecret) {
      await openai.webhooks.verifySignature('{}', { ...rest2, 'webhook-signature': signature },
        secret);
    }
  });

  test('withhold the number when asked to', async () => {
    const sim = await simulator();
    const client = await startClient(sim);
    await sim.call({ webhookUrl: client.url, from: null }).announced;
    await sim.call({ webhookUrl: client.url, rawFrom: '"+15550001111" <sip:x@y>' }).announced;
    const from = client.received.map((r) => r.event.data.sip_headers
      .find((h) => h.name === 'From').value);
    assert.match(from[0], /anonymous\.invalid/);
    assert.equal(from[1], '"+15550001111" <sip:x@y>');
    await client.close();
  });
});

describe('the model', () => {
  const plan = async (items, extra = {}) => {
    const { sim, call, client } = await liveCall({ brain: () => ({ items, ...extra }) });
    client.send({ type: 'response.create' });
    const { response } = await client.waitEvent('response.done');
    return { sim, call, client, response };
  };

  test('calls several tools, also unknown ones with bad arguments', async () => {
    const { sim, response, client } = await plan([{ call: 'ask_openclaw', args: { request: 'a' } },
      { call: 'ask_openclaw', args: '{bad', id: 'call_fixed' }, { call: 'nobody', args: [] }]);
    assert.deepEqual(response.output.map((i) => [i.name, i.arguments]),
      [['ask_openclaw', '{"request":"a"}'], ['ask_openclaw', '{bad'], ['nobody', '[]']]);
    assert.equal(response.output[1].call_id, 'call_fixed');
    assert.ok(!client.types.includes('output_audio_buffer.started'));
    assert.equal(client.types.filter((t) => t === 'response.function_call_arguments.done').length,
      3);
    sim.assertClean();
  });

  test('is cancelled with a tool call in it', async () => {
    const { sim, response, call } = await plan([{ call: 'ask_openclaw', args: {} }],
      { status: 'cancelled' });
    assert.equal(response.status, 'cancelled');
    assert.equal(response.output[0].type, 'function_call');
    assert.equal([...call.toolCalls.values()][0].status, 'cancelled');
    sim.assertClean();
  });

  test('fails', async () => {
    const { sim, response } = await plan([], { status: 'failed' });
    assert.equal(response.status_details.error.code, 'internal_error');
    sim.assertClean();
  });

  test('says what instructions and outputs give it', () => {
    assert.equal(spokenInstructions('Say exactly: "Still working on it."'), 'Still working on it.');
    assert.match(spokenInstructions('Tell the caller to wait.'), /^As told: Tell the caller/);
    assert.equal(spokenOutput('{"answer":"forty-two"}'), 'forty-two');
    assert.equal(spokenOutput('plain'), 'plain');
  });

  test('speaks an item that the client added, when asked to', async () => {
    const { call, client } = await liveCall();
    client.send({ type: 'conversation.item.create', item: { type: 'message', role: 'system',
      content: [{ type: 'input_text', text: 'Caller is Ada.' }] } });
    client.send({ type: 'response.create' });
    await until(call, 'played');
    assert.match(call.turns[0].text, /^Hello/, 'context before the greeting is not read out');
    client.send({ type: 'conversation.item.create', item: { type: 'message', role: 'system',
      content: [{ type: 'input_text', text: 'The late result is 7.' }] } });
    client.send({ type: 'response.create' });
    await until(call, 'played');
    assert.equal(call.turns[1].text, 'The late result is 7.');
  });
});

describe('scripts', () => {
  test('fail loudly when what they wait for does not come', async () => {
    const sim = await simulator();
    const client = await startClient(sim);
    const call = sim.call({ webhookUrl: client.url, script: [{ wait: 'greeting' },
      { wait: 'tool', ms: 50 }] });
    const result = await call.done;
    assert.match(result.scriptError, /step 2 .*tool output did not come/);
    const early = sim.call({ webhookUrl: client.url, script: [{ wait: 'greeting' },
      { hangup: true }, { caller: 'too late' }] });
    await early.done;
    await waitFor(() => early.scriptError);
    assert.match(early.scriptError, /after step 2/);
    await client.close();
  });

  test('interrupt, press keys, and do what they like', async () => {
    const sim = await simulator();
    const client = await startClient(sim);
    let seen = null;
    const call = sim.call({ webhookUrl: client.url, script: [
      { caller: 'stop it', bargeIn: true, afterMs: 500 }, { wait: 'assistant' }, { dtmf: '12#' },
      { silence: 20 }, { do: (c) => { seen = c.callId; } }, { hangup: true }] });
    const result = await call.done;
    assert.equal(result.scriptError, null);
    assert.equal(seen, call.callId);
    assert.ok(result.turns[0].interrupted);
    assert.equal(call.serverEvents.filter((e) => /dtmf/.test(e.type)).length, 3);
    sim.assertClean();
    await client.close();
  });
});

describe('TLS', () => {
  test('good certificates work, expired, foreign and unknown ones do not', async () => {
    const certs = makeCerts();
    const ask = (sim, ca) => new Promise((resolve) => {
      https.get(`${sim.url}/models`, { ca, headers: { authorization: `Bearer ${sim.apiKey}` } },
        (res) => { res.resume(); resolve(res.statusCode); }).on('error', (e) => resolve(e.code));
    });
    const expected = { server: 200, expired: 'CERT_HAS_EXPIRED', future: 'CERT_NOT_YET_VALID',
      wrongHost: 'ERR_TLS_CERT_ALTNAME_INVALID', unknownCa: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' };
    for (const [name, result] of Object.entries(expected)) {
      const sim = await simulator({ tls: certs[name] });
      assert.equal(await ask(sim, certs.ca), result, name);
    }
    const sim = await simulator({ tls: certs.server });
    const call = sim.call({ announce: false });
    call.accept(exampleSession);
    const client = new SidebandClient(sim, call.callId, { ca: certs.ca });
    await client.waitEvent('session.created');
    call.dropSideband({ reset: true });
    assert.equal(await client.ended, 1006);
  });
});

describe("the agent's model", () => {
  const ask = (sim, messages, extra = {}, headers = {}) => fetch(`${sim.origin}/v1/chat/completions`,
    { method: 'POST', headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'fake-1', messages, ...extra }) });

  test('answers by rules, whole and streamed', async () => {
    const model = await startModel({ rules: [{ match: /weather in (\w+)/, reply: ({ match }) =>
      `Sunny in ${match[1]}.`, chunks: 3 }, { match: 'boom', status: 503, times: 1 }] });
    open.add(model);
    const words = (text) => [{ role: 'system', content: 'x' }, { role: 'user', content: text }];
    const whole = await (await ask(model, words('hi'))).json();
    assert.equal(whole.choices[0].message.content, 'The answer to "hi" is forty-two.');
    const client = new OpenAI({ apiKey: 'x', baseURL: model.url, maxRetries: 0 });
    let text = '';
    let chunks = 0;
    for await (const chunk of await client.chat.completions.create({ model: 'fake-1', stream: true,
      messages: words('weather in Rome') })) {
      text += chunk.choices[0]?.delta?.content ?? '';
      chunks += chunk.choices[0]?.delta?.content ? 1 : 0;
    }
    assert.equal(text, 'Sunny in Rome.');
    assert.equal(chunks, 3);
    assert.equal((await ask(model, words('boom'))).status, 503);
    assert.equal((await ask(model, words('boom'))).status, 200);
    assert.equal(model.chats.length, 4);
  });

  test('calls a tool first, directly or through the compact surface', async () => {
    const model = await startModel({ rules: [{ match: 'call',
      tool: { name: 'voice_call', args: { to: '+1' } } }] });
    open.add(model);
    const user = { role: 'user', content: 'call' };
    const direct = await (await ask(model, [user],
      { tools: [{ type: 'function', function: { name: 'voice_call' } }] })).json();
    assert.equal(direct.choices[0].message.tool_calls[0].function.name, 'voice_call');
    const compact = await (await ask(model, [user])).json();
    assert.deepEqual(JSON.parse(compact.choices[0].message.tool_calls[0].function.arguments),
      { id: 'voice_call', args: { to: '+1' } });
    const told = await (await ask(model, [user, { role: 'tool', content: 'ringing' }])).json();
    assert.equal(told.choices[0].message.content, 'The tool said: ringing');
  });

  test('finds the words in the dress of the harness', () => {
    assert.equal(personsWords([{ role: 'user', content: 'earlier' },
      { role: 'user', content: '[Mon 2026-11-23 00:10 UTC] what now\n\nRuntime: x' },
      { role: 'user', content: '<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> noise' }]), 'what now');
  });

  test('is a gateway for the host: token, session key, faults, cancelled runs', async () => {
    const gateway = await startGatewayEndpoint({ token: 'tok',
      rules: [{ match: 'slow', chunks: 10, chunkMs: 30 }],
      faults: { chat: [{ status: 502 }, { reset: true }] } });
    open.add(gateway);
    const user = [{ role: 'user', content: 'slow please' }];
    assert.equal((await ask(gateway, user)).status, 401);
    const headers = { authorization: 'Bearer tok', 'x-openclaw-session-key': 'agent:main:voice:1' };
    assert.equal((await ask(gateway, user, {}, headers)).status, 502);
    await assert.rejects(ask(gateway, user, {}, headers));
    const stop = new AbortController();
    const res = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' }, signal: stop.signal,
      body: JSON.stringify({ model: 'openclaw', stream: true, messages: user }) });
    await res.body.getReader().read();
    stop.abort();
    const entry = gateway.chats.at(-1);
    await waitFor(() => entry.aborted);
    assert.ok(entry.chunksSent < 10);
    assert.equal(entry.sessionKey, 'agent:main:voice:1');
    gateway.assertClean();
    await ask(gateway, user, {}, { authorization: 'Bearer tok' });
    assert.throws(() => gateway.assertClean(), /session-key/);
  });
});

test('Telegram: what is injected is polled, what is sent is kept', async () => {
  const telegram = await startTelegram();
  open.add(telegram);
  const bot = (method, params = {}) => fetch(`${telegram.url}/bot${telegram.botToken}/${method}`,
    { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify(params) }).then((r) => r.json());
  assert.equal((await bot('getMe')).result.is_bot, true);
  const poll = bot('getUpdates', { timeout: 5 });
  await waitFor(() => telegram.pollers.size === 1);
  telegram.inject({ chatId: 42, text: 'hello bot' });
  const [update] = (await poll).result;
  assert.equal(update.message.text, 'hello bot');
  assert.equal(update.message.chat.id, 42);
  assert.deepEqual((await bot('getUpdates', { offset: update.update_id + 1 })).result, []);
  await bot('sendMessage', { chat_id: 42, text: 'hello human' });
  assert.equal((await telegram.waitMessage((m) => m.chatId === 42)).text, 'hello human');
  telegram.faults.sendMessage = { status: 429, body: { parameters: { retry_after: 1 } } };
  assert.equal((await bot('sendMessage', { chat_id: 42, text: 'x' })).parameters.retry_after, 1);
  const form = new FormData();
  form.set('chat_id', '42');
  form.set('caption', 'a voice');
  await fetch(`${telegram.url}/bot${telegram.botToken}/sendVoice`, { method: 'POST', body: form });
  assert.equal(telegram.messages.at(-1).text, 'a voice');
  await assert.rejects(telegram.waitMessage((m) => m.chatId === 1, 20), /hello human/);
});

describe('the host runner', () => {
  /* A host in a few lines, to try the runner without a build. */
  function imitation(lines) {
    const file = path.join(tmpdir('ocv-imitation'), 'host.mjs');
    fs.writeFileSync(file, `#!${process.execPath}\n${lines}`, { mode: 0o755 });
    return file;
  }

  const polite = `
    import http from 'node:http'; import fs from 'node:fs'; import path from 'node:path';
    const config = fs.readFileSync(process.argv[3], 'utf8');
    const state = /state_dir: (.*)/.exec(config)[1];
    fs.mkdirSync(state, { recursive: true });
    fs.writeFileSync(path.join(state, 'api-token'), 'tok\\n');
    const server = http.createServer((q, r) => {
      const ok = q.headers.authorization === 'Bearer tok';
      r.writeHead(ok ? 200 : 401); r.end(JSON.stringify({ path: q.url }));
    }).listen(0, '127.0.0.1', () => console.log(JSON.stringify({ event: 'ready',
      url: 'http://127.0.0.1:' + server.address().port })));
    process.on('SIGTERM', () => process.exit(0));`;

  test('waits for events, asks the API, stops in order', async () => {
    const host = await startHost({ binary: imitation(polite), config: {} });
    assert.deepEqual((await host.api('/calls')).json, { path: '/calls' });
    assert.equal((await host.api('/calls', { token: null })).status, 401);
    await assert.rejects(host.waitEvent('turn', undefined, 30), /turn did not come/);
    assert.equal((await host.stop()).code, 0);
    await assert.rejects(host.waitEvent('turn'), /host ended/);
  });

  test('notices noise, a bad exit and a host that does not end', async () => {
    const noisy = await startHost({ binary: imitation(`console.log('hello');${polite}`),
      config: {} });
    await assert.rejects(noisy.stop(), /no JSON: hello/);
    const rude = await startHost({ binary: imitation(polite.replace('exit(0)', 'exit(3)')),
      config: {} });
    await assert.rejects(rude.stop(), /"code":3/);
    const deaf = await startHost({ binary: imitation(polite.replace('process.exit(0)', '1')),
      config: {} });
    await assert.rejects(deaf.stop({ timeoutMs: 100 }), /did not end/);
    const dead = await startHost({ binary: imitation(polite), config: {} });
    assert.equal((await dead.kill()).signal, 'SIGKILL');
    await assert.rejects(startHost({ binary: imitation("console.error('no'); process.exit(2)"),
      config: {} }), /host ended[\s\S]*no/);
  });

  test('runs a host that refuses its configuration', async () => {
    const result = await runHost({ binary: imitation("console.error('bad key'); process.exit(1)"),
      config: 'nonsense: 1\n' });
    assert.deepEqual([result.code, result.stdout, result.stderr], [1, '', 'bad key\n']);
  });

  test('merges configurations', () => {
    assert.deepEqual(mergeConfig({ a: { b: 1, c: [1] }, d: 2 }, { a: { c: [2] }, d: undefined }),
      { a: { b: 1, c: [2] } });
  });
});

test('500 calls at once', { timeout: 120000 }, async () => {
  const sim = await simulator({ validate: 0.1, speed: 20 });
  const client = await startClient(sim);
  const script = [{ wait: 'greeting', ms: 60000 }, { caller: 'What is it?', ms: 60000 },
    { wait: 'tool', ms: 60000 }, { wait: 'assistant', ms: 60000 },
    { caller: 'Goodbye', ms: 60000 }, { waitEnd: true }];
  const calls = Array.from({ length: 500 }, (_, n) => sim.call({ webhookUrl: client.url, script,
    from: `+1555${String(n).padStart(7, '0')}` }));
  const results = await Promise.all(calls.map((call) => call.done));
  assert.deepEqual([...new Set(results.map((r) => r.scriptError))], [null]);
  assert.ok(results.every((r) => r.reason === 'hangup' && r.turns.length === 6));
  assert.equal(client.clients.length, 500);
  sim.assertClean();
  await client.close();
});
