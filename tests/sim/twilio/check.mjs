/* SPDX-License-Identifier: MIT */
// Checks of the API's requests and answers by the schemas of the public document, where they are at hand.
import path from 'node:path';
import { Schemas, openaiSchemas, schemaDir } from '../schema.mjs';

let shared;

/** The schemas of this machine, or null (which is said once). */
export function twilioSchemas() {
  if (shared === undefined)
    shared = openaiSchemas() ? new Schemas(path.join(schemaDir(), 'twilio')) : null;
  return shared;
}

/* A form's texts as the schema has them: numbers, booleans and lists. */
function typed(schema, params) {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => {
    const type = schema.properties?.[name]?.type;
    if (type === 'array')
      return [name, [value].flat()];
    if (type === 'integer' && /^-?\d+$/.test(value))
      return [name, Number(value)];
    return [name, type === 'boolean' && /^(true|false)$/.test(value) ? value === 'true' : value];
  }));
}

/** Faults of a request's form, or of its query. */
export function requestFaults(op, isQuery, params) {
  const file = `requests/${op}${isQuery ? '.query' : ''}.json`;
  const validate = twilioSchemas()?.validator(file);
  if (!validate)
    return [];
  return twilioSchemas().faults(file, typed(validate.schema, params));
}

/** Faults of an answer. */
export function responseFaults(op, status, body) {
  const file = `responses/${op}.${status}.json`;
  if (!twilioSchemas()?.validator(file))
    return [];
  // The document does not allow what the service answers while a conference lives: null.
  const text = JSON.stringify(body).replaceAll('"reason_conference_ended":null,', '');
  return twilioSchemas().faults(file, JSON.parse(text));
}

const events = { StatusCallbackEvent: /^(initiated|ringing|answered|completed)$/,
  ConferenceStatusCallbackEvent: /^(start|end|join|leave|mute|hold|modify|speaker|announcement)$/,
  RecordingStatusCallbackEvent: /^(in-progress|completed|absent)$/ };
const values = { Beep: /^(true|false|onEnter|onExit)$/, MachineDetection: /^(Enable|DetectMessageEnd)$/,
  RecordingChannels: /^(mono|dual)$/, Trim: /^(trim-silence|do-not-trim)$/,
  RecordingTrack: /^(inbound|outbound|both)$/, AsyncAmd: /^(true|false)$/,
  PauseBehavior: /^(skip|silence)$/, JitterBufferSize: /^(off|small|medium|large)$/,
  SendDigits: /^[0-9*#wW]{1,32}$/, ConferenceRecord: /^(true|false|record-from-start|do-not-record)$/ };

/** Faults that no schema tells: values of fields, URLs. `op` creates a call or not. */
export function valueFaults(op, params) {
  const found = [];
  for (const [name, value] of Object.entries(params)) {
    const list = [value].flat();
    if (events[name]) {
      if (op === 'calls.create' && list.some((v) => v.includes(' ')))
        found.push(`${name} is to be repeated, not separated by spaces`);
      list.flatMap((v) => v.split(' ')).filter((v) => !events[name].test(v))
        .forEach((v) => found.push(`${name} has no "${v}"`));
    } else if (list.length > 1) {
      found.push(`${name} twice`);
    }
    if (values[name] && !values[name].test(value))
      found.push(`${name}=${value}`);
    if (/(Url|Callback)$/.test(name) && value !== '' && !/^https?:\/\/[^\s_/]+(\/\S*)?$/.test(value))
      found.push(`${name} is no URL that the carrier takes: ${value}`);
  }
  return found;
}
