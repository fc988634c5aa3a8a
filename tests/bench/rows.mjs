/* SPDX-License-Identifier: MIT */
// Rows of the measurements: made, held against row.schema.json, printed. One that does not fit ends the measurement.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import { limitOf } from './limits.mjs';

const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
const fits = ajv.compile(JSON.parse(fs.readFileSync(path.join(import.meta.dirname, 'row.schema.json'), 'utf8')));
const rows = [];

/** What is wrong with a row, or null. */
export function faultOf(entry) {
  return fits(entry) ? null : ajv.errorsText(fits.errors, { dataVar: 'row' });
}

/**
 * One result: a JSON line now, a line of the table at the end. `met` null: no aim, or not to be judged. Which limit of
 * the machine it is how far from is added (limits.mjs). Throws when it does not fit the schema, or its name stands already.
 * @param {object} r row, aim (text), value, unit, runs (left out: one, the value), peer [{name, value}], floor (number or
 *   null), note
 */
export function row({ row: name, aim = null, value, unit, runs = [value], peer = [], floor = null, met = null,
  note = undefined, ...others }) {
  const short = (x) => (typeof x === 'number' ? Number(x.toPrecision(4)) : x);
  const entry = { row: name, aim, value: short(value), unit, runs: runs.map(short),
    peer: peer.map((p) => ({ ...p, value: short(p.value) })), floor: short(floor), met,
    load: Number(os.loadavg()[0].toFixed(1)), ...(note === undefined ? {} : { note }), ...others };
  const limit = limitOf(entry);
  if (limit)
    entry.limit = limit;
  const fault = faultOf(entry) ?? (rows.some((r) => r.row === name) ? 'row/row stands already' : null);
  if (fault)
    throw new Error(`no row of a measurement: ${fault}\n  ${JSON.stringify(entry)}`);
  rows.push(entry);
  process.stdout.write(`${JSON.stringify(entry)}\n`);
}

/** Prints all rows as a table. */
export function table() {
  const lines = rows.map((r) => [r.row, r.aim ?? '-', `${r.value} ${r.unit}`,
    r.floor === null ? '-' : String(r.floor), r.peer.map((p) => `${p.name} ${p.value}`).join(', ') || '-',
    r.limit ? `${r.limit.away} x ${r.limit.name}` : '-', r.met === null ? '' : r.met ? 'met' : 'MISSED']);
  const all = [['what', 'aim', 'measured', 'floor', 'peers', 'limit', ''], ...lines];
  const width = all[0].map((_, i) => Math.max(...all.map((l) => l[i].length)));
  process.stdout.write(`\n${all.map((l) => l.map((c, i) => c.padEnd(width[i])).join('  ').trimEnd())
    .join('\n')}\n`);
}
