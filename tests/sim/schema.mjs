/* SPDX-License-Identifier: MIT */
/*
 * Checks what passes against the JSON Schemas of the public API document. The schemas are data of
 * others and lie outside the project: where they are absent the checks are skipped, said once.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv2020 from 'ajv/dist/2020.js';

const project = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
let warned = false;

/** The folder of the schemas, or null where there is none. Environment: OPENCLAW_SCHEMAS. */
export function schemaDir() {
  const named = process.env.OPENCLAW_SCHEMAS;
  const places = named ? [path.resolve(named)] : [path.join(project, '..', 'shared', 'schemas'),
    path.join(project, '..', '..', 'shared', 'schemas')];
  return places.find((dir) => fs.existsSync(path.join(dir, 'openai', 'INDEX.json'))) ?? null;
}

/* The service refuses fields it does not know, which plain JSON Schema would let pass. */
function closeObjects(node) {
  if (Array.isArray(node)) {
    node.forEach(closeObjects);
    return;
  }
  if (node === null || typeof node !== 'object')
    return;
  if (node.properties && node.additionalProperties === undefined && !node.allOf)
    node.additionalProperties = false;
  for (const [key, value] of Object.entries(node)) {
    if (key !== 'enum' && key !== 'const' && key !== 'example' && key !== 'allOf')
      closeObjects(value);
  }
}

/** Compiled schemas of one folder. A file is read and compiled once, on first use. */
export class Schemas {
  constructor(dir) {
    this.dir = dir;
    this.compiled = new Map();
  }

  /** The validator of a file, or null where there is no such file. */
  validator(file, closed = false) {
    const key = `${closed ? 'closed:' : ''}${file}`;
    if (!this.compiled.has(key))
      this.compiled.set(key, this.compile(file, closed));
    return this.compiled.get(key);
  }

  compile(file, closed) {
    const full = path.join(this.dir, file);
    if (!fs.existsSync(full))
      return null;
    const schema = JSON.parse(fs.readFileSync(full, 'utf8'));
    if (closed)
      closeObjects(schema);
    // One instance a schema: the files carry equal names for different definitions.
    return new Ajv2020({ strict: false, formats: { uri: true } }).compile(schema);
  }

  /** The faults of a value by one file: an array of texts, empty when it is valid. */
  faults(file, value, closed = false) {
    const validate = this.validator(file, closed);
    if (!validate)
      return [`no schema ${file}`];
    if (validate(value))
      return [];
    return validate.errors.slice(-4).map((e) => {
      const extra = e.params?.additionalProperty ?? e.params?.allowedValues?.join('|') ?? '';
      return `${e.instancePath || '/'} ${e.message}${extra ? ` (${extra})` : ''}`;
    });
  }
}

let shared;

/** The schemas of this machine, compiled once a process, or null. */
export function openaiSchemas() {
  if (shared === undefined) {
    const dir = schemaDir();
    shared = dir ? new Schemas(path.join(dir, 'openai')) : null;
  }
  if (!shared && !warned) {
    warned = true;
    process.stderr.write('schema checks are skipped: no schemas found (set OPENCLAW_SCHEMAS)\n');
  }
  return shared;
}

/* Client events whose strict schema refuses what the service documents elsewhere. */
const lenientClient = new Set(['response.create', 'session.update']);

/** Faults of an event that a client sent. */
export function clientEventFaults(event) {
  const schemas = openaiSchemas();
  if (!schemas)
    return [];
  const lenient = lenientClient.has(event.type) ? '.lenient' : '';
  return schemas.faults(`realtime/client/${event.type}${lenient}.json`, event, true);
}

/** Faults of an event that the simulator is about to send. */
export function serverEventFaults(event) {
  return openaiSchemas()?.faults(`realtime/server_lenient/${event.type}.json`, event) ?? [];
}

/** Faults of the body of POST /realtime/calls/{id}/{action}. */
export function restBodyFaults(action, body) {
  return openaiSchemas()?.faults(`rest/calls.${action}.request.json`, body, true) ?? [];
}

/** Faults of the body of POST /realtime/client_secrets. */
export function secretFaults(body) {
  return openaiSchemas()?.faults('rest/client_secrets.create.request.json', body, true) ?? [];
}

/** Faults of its answer. */
export function secretAnswerFaults(body) {
  return openaiSchemas()?.faults('rest/client_secrets.create.response.json', body) ?? [];
}

/** Faults of a webhook's payload; events without a schema have none. */
export function webhookFaults(event) {
  const schemas = openaiSchemas();
  const file = `webhooks/${event.type}.json`;
  return schemas && schemas.validator(file) ? schemas.faults(file, event) : [];
}
