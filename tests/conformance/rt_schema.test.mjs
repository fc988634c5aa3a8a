/* SPDX-License-Identifier: MIT */
/*
 * What plugin/realtime writes is valid by the public API document, with no field that it does not
 * name; and every server event of the document is read: its examples, and events generated from its
 * schemas with the least and the most in them, and with nulls wherever there may be one.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { openaiSchemas } from '../sim/schema.mjs';
import { ask } from './cli.mjs';

const schemas = openaiSchemas();
const skip = schemas ? false : 'no schemas found (set OPENCLAW_SCHEMAS)';

/* Types that mean something to a call; all others are NONE. */
const kinds = {
  'session.created': 'SESSION',
  'input_audio_buffer.speech_started': 'SPEECH_STARTED',
  'input_audio_buffer.speech_stopped': 'SPEECH_STOPPED',
  'input_audio_buffer.committed': 'COMMITTED',
  'input_audio_buffer.dtmf_event_received': 'DTMF',
  'conversation.item.added': 'ITEM_ADDED',
  'conversation.item.created': 'ITEM_ADDED',
  'conversation.item.done': 'ITEM_ADDED',
  'conversation.item.retrieved': 'ITEM_FOUND',
  'conversation.item.truncated': 'TRUNCATED',
  'conversation.item.input_audio_transcription.completed': 'CALLER_TEXT',
  'conversation.item.input_audio_transcription.failed': 'CALLER_TEXT_FAILED',
  'response.created': 'RESPONSE_STARTED',
  'response.done': 'RESPONSE_DONE',
  'output_audio_buffer.started': 'AUDIO_STARTED',
  'output_audio_buffer.stopped': 'AUDIO_STOPPED',
  'output_audio_buffer.cleared': 'AUDIO_CLEARED',
  'error': 'ERROR',
};

const hard = 'Ärger "quoted" \\ \n\t \u0001 \u2028 你好 😀 </script>';

test('client events are valid', { skip }, () => {
  const questions = [];
  for (const event_id of ['', 'evt_1', hard])
    questions.push(
      { write: 'response_create', event_id },
      { write: 'response_create', event_id, instructions: hard },
      { write: 'response_create', event_id, allow_tools: false },
      { write: 'response_create', event_id, instructions: hard, allow_tools: false },
      { write: 'function_output', event_id, item_id: '', call_id: 'call_1', output: '' },
      { write: 'function_output', event_id, item_id: 'item_1', call_id: hard, output: hard },
      { write: 'message', event_id, item_id: '', role: 'system', text: hard },
      { write: 'message', event_id, item_id: 'item_1', role: 'user', text: '' },
      { write: 'item_retrieve', event_id, item_id: 'item_1' },
      { write: 'response_cancel', event_id },
      { write: 'output_clear', event_id },
    );
  ask('rt_cli', questions).forEach((answer, i) => {
    assert.equal(answer.rc, 0, JSON.stringify(questions[i]));
    const event = JSON.parse(answer.out);
    assert.deepEqual(schemas.faults(`realtime/client/${event.type}.json`, event, true), [],
      JSON.stringify(event));
    assert.equal(event.event_id ?? '', questions[i].event_id);
  });
});

test('texts come out as they went in', { skip }, () => {
  const [output, message, created] = ask('rt_cli', [
    { write: 'function_output', item_id: 'i', call_id: 'c', output: hard },
    { write: 'message', item_id: 'i', role: 'user', text: hard },
    { write: 'response_create', instructions: hard, allow_tools: false },
  ]).map((answer) => JSON.parse(answer.out));
  assert.equal(output.item.output, hard);
  assert.deepEqual(message.item, { id: 'i', type: 'message', role: 'user',
    content: [{ type: 'input_text', text: hard }] });
  assert.deepEqual(created.response, { instructions: hard, tool_choice: 'none' });
});

const parameters = JSON.stringify({ type: 'object', properties: { request: { type: 'string' } },
  required: ['request'], additionalProperties: false }, null, 2);

function sessions() {
  const tools = [{ name: 'ask_openclaw', description: hard, parameters_json: `\n${parameters}\n` },
    { name: 'end_call' }];
  const list = [];
  for (const turn_detection of ['', 'server_vad', 'semantic_vad'])
    for (const interrupt_response of [true, false])
      for (const noise_reduction of ['', 'near_field', 'far_field'])
        for (const model of ['gpt-realtime-2.1', 'gpt-realtime-1.5'])
          list.push({ model, turn_detection, interrupt_response, noise_reduction, voice: 'marin',
            instructions: hard, transcription_model: 'gpt-transcribe', transcription_language: 'de',
            reasoning_effort: 'low', tools });
  list.push({}, { voice: 'voice_abc' }, { tools }, { transcription_model: 'gpt-realtime-whisper' });
  for (const reasoning_effort of ['minimal', 'low', 'medium', 'high', 'xhigh'])
    list.push({ model: 'gpt-realtime-2', reasoning_effort });
  return list;
}

test('sessions are valid and hold nothing that SIP refuses', { skip }, () => {
  const list = sessions();
  ask('rt_cli', list.map((session) => ({ session }))).forEach((answer, i) => {
    assert.equal(answer.rc, 0, JSON.stringify(list[i]));
    const session = JSON.parse(answer.out);
    assert.deepEqual(schemas.faults('rest/calls.accept.request.json', session, true), [],
      JSON.stringify(session));
    assert.equal(session.type, 'realtime');
    assert.equal(session.audio.input.format, undefined);
    assert.equal(session.audio.output?.format, undefined);
    for (const field of ['threshold', 'prefix_padding_ms', 'silence_duration_ms'])
      assert.equal(session.audio.input.turn_detection?.[field], undefined);
    for (const field of ['max_output_tokens', 'parallel_tool_calls', 'prompt', 'temperature'])
      assert.equal(session[field], undefined);
    assert.equal(session.instructions, list[i].instructions);
    assert.equal(session.reasoning !== undefined,
      list[i].reasoning_effort !== undefined && list[i].model !== 'gpt-realtime-1.5');
    if (list[i].tools) {
      assert.equal(session.tool_choice, 'auto');
      assert.deepEqual(session.tools[0].parameters, JSON.parse(parameters));
    }
  });
});

/* ---- Values of a schema. ---- */

const depthMax = 8;

/** A value. how: 'least', 'most', 'nulls' (as most, but null where it is allowed). */
function sample(root, schema, how, depth = 0) {
  if (schema.$ref)
    return sample(root, root.$defs[schema.$ref.split('/').pop()], how, depth);
  if (schema.const !== undefined)
    return schema.const;
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    const none = choices.find((c) => c.type === 'null');
    if (none && how !== 'most')
      return null;
    return sample(root, choices.find((c) => c !== none), how, depth);
  }
  if (schema.allOf)
    return Object.assign({}, ...schema.allOf.map((part) => sample(root, part, how, depth)));
  if (schema.enum)
    return schema.enum[0];
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'object': return sampleObject(root, schema, how, depth);
    case 'array':
      return how === 'least' || depth >= depthMax ? []
        : [1, 2].map(() => sample(root, schema.items ?? {}, how, depth + 1));
    case 'string': return schema.format === 'uri' ? 'https://example.com/' : 'text_1';
    case 'integer': return schema.minimum ?? 3;
    case 'number': return schema.minimum ?? 1.5;
    case 'boolean': return true;
    case 'null': return null;
    default: return {};
  }
}

function sampleObject(root, schema, how, depth) {
  const required = schema.required ?? [];
  const all = how !== 'least' && depth < depthMax;
  const names = Object.keys(schema.properties ?? {}).filter((n) => all || required.includes(n));
  return Object.fromEntries(
    names.map((n) => [n, sample(root, schema.properties[n], how, depth + 1)]));
}

/** Reads events and checks kind by type. */
function readAll(events) {
  const answers = ask('rt_cli', events.map((event) => ({ read: JSON.stringify(event) })));
  answers.forEach((answer, i) => {
    const type = events[i].type.trim();
    assert.equal(answer.rc, 0, `${answer.why}: ${JSON.stringify(events[i]).slice(0, 500)}`);
    assert.ok([kinds[type] ?? 'NONE', 'NONE'].includes(answer.kind), `${type}: ${answer.kind}`);
  });
  return answers.map((answer, i) => ({ type: events[i].type.trim(), kind: answer.kind }));
}

test("the document's examples of server events are read", { skip }, () => {
  const file = path.join(schemas.dir, 'examples', 'spec_examples.json');
  const examples = Object.entries(JSON.parse(fs.readFileSync(file, 'utf8')))
    .filter(([name]) => name.startsWith('realtime/server/')).map(([, event]) => event);
  assert.ok(examples.length >= 40, `${examples.length} examples`);
  for (const { type, kind } of readAll(examples))
    assert.equal(kind, kinds[type] ?? 'NONE', type);
});

test('events with the least, the most, and nulls in them are read', { skip }, () => {
  const folder = path.join(schemas.dir, 'realtime', 'server_lenient');
  const files = fs.readdirSync(folder).filter((f) => f.endsWith('.json'));
  assert.ok(files.length >= 46, `${files.length} schemas`);
  const events = [];
  for (const file of files) {
    const schema = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8'));
    for (const how of ['least', 'most', 'nulls']) {
      const event = sample(schema, schema, how);
      assert.deepEqual(schemas.faults(`realtime/server_lenient/${file}`, event), [],
        `${how}: ${JSON.stringify(event)}`);
      events.push(event);
    }
  }
  const read = readAll(events);
  /* With everything in it, an event means what its type says (a DTMF key must be one). */
  const most = new Map(read.filter((_, i) => i % 3 === 1).map(({ type, kind }) => [type, kind]));
  for (const [type, kind] of Object.entries(kinds))
    if (type !== 'input_audio_buffer.dtmf_event_received')
      assert.equal(most.get(type), kind, type);
  /* ... and so does one whose order of members is turned round. */
  const turned = events.map((e) => Object.fromEntries(Object.entries(e).reverse()));
  assert.deepEqual(readAll(turned), read);
});

test("the document's examples of webhooks are read", { skip }, () => {
  const file = path.join(schemas.dir, 'examples', 'spec_examples.json');
  const examples = Object.entries(JSON.parse(fs.readFileSync(file, 'utf8')))
    .filter(([name]) => name.startsWith('webhooks/')).map(([, event]) => event);
  assert.ok(examples.length >= 10, `${examples.length} examples`);
  const answers = ask('rt_cli', examples.map((event) => ({ webhook: JSON.stringify(event) })));
  answers.forEach((answer, i) => {
    const incoming = examples[i].type === 'realtime.call.incoming';
    assert.equal(answer.rc, 0, answer.why);
    assert.equal(answer.kind, incoming ? 'INCOMING' : 'OTHER');
    if (incoming)
      assert.equal(answer.call_id, examples[i].data.call_id);
  });
});
