/* SPDX-License-Identifier: MIT */
// What `make bench` prints as a row fits tests/bench/row.schema.json, or the measurement fails.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { projectDir } from '../lib/util.mjs';
import { faultOf } from '../bench/rows.mjs';

const bench = path.join(projectDir, 'tests/bench');
const good = { row: 'calls a second', aim: '>= 2000 /s', value: 3084, unit: '/s', runs: [3000, 3084, 3100], peer: [
  { name: 'another', value: 36, rate: 36 }], floor: 5000, met: true, load: 0.3, note: 'alone',
  limit: { name: 'commits alone', value: 5000, away: 1.62 } };

test('a whole row, and one without what may be left out', () => {
  assert.equal(faultOf(good), null);
  const { note, limit, ...bare } = good;
  assert.equal(faultOf({ ...bare, aim: null, met: null, floor: null, peer: [] }), null);
});

const bad = {
  'no value': ({ value, ...row }) => row, 'a value in words': (row) => ({ ...row, value: '3084' }),
  'a value that is no number': (row) => ({ ...row, value: NaN }), 'a run without end': (row) => ({ ...row, runs: [Infinity] }),
  'no runs': (row) => ({ ...row, runs: [] }), 'one run, not in a list': (row) => ({ ...row, runs: 3084 }),
  'no unit': ({ unit, ...row }) => row, 'an empty unit': (row) => ({ ...row, unit: '' }),
  'no name': ({ row: _, ...rest }) => rest, 'no peer list': ({ peer, ...row }) => row,
  'a peer without a name': (row) => ({ ...row, peer: [{ value: 1 }] }), 'a peer without a figure': (row) => ({ ...row, peer: [{ name: 'x' }] }),
  'no floor': ({ floor, ...row }) => row, 'an aim that is a number': (row) => ({ ...row, aim: 2000 }),
  'met without an aim': (row) => ({ ...row, aim: null }), 'a member that nobody knows': (row) => ({ ...row, p99: 1 }),
};

for (const [name, change] of Object.entries(bad))
  test(`refused: ${name}`, () => assert.notEqual(faultOf(change(good)), null));

function measure(code) {
  const out = spawnSync(process.execPath, ['--input-type=module', '-e', `import * as kit from './kit.mjs'; ${code}`],
    { cwd: bench, encoding: 'utf8', timeout: 60000 });
  return { status: out.status, text: out.stdout };
}

test('a measurement prints a row that fits, and ends with a failure at one that does not', () => {
  const row = "kit.row({ row: 'one', value: 1, unit: 'ms' });";
  const whole = measure(`${row} kit.table();`);
  assert.equal(whole.status, 0);
  assert.equal(faultOf(JSON.parse(whole.text.split('\n')[0])), null);
  for (const code of ["kit.row({ row: 'one', value: 0 / 0, unit: 'ms' });", "kit.row({ row: 'one', value: 1, unit: 'ms', more: 1 });",
    `${row} ${row}`]) {
    const out = measure(`${code} process.exit(0);`);
    assert.notEqual(out.status, 0, code);
    assert.ok(out.text.split('\n').filter((line) => line.startsWith('{')).length <= 1, out.text);
  }
});

test('nobody else writes rows', () => {
  const others = fs.readdirSync(bench).filter((name) => /\.(mjs|c|h)$/.test(name) && name !== 'rows.mjs')
    .filter((name) => /\\"row\\":|stringify\(\{ ?row\b|\{"row":/.test(fs.readFileSync(path.join(bench, name), 'utf8')));
  assert.deepEqual(others, []);
  for (const name of fs.readdirSync(bench).filter((n) => n.endsWith('.bench.mjs') || n === 'soak.mjs'))
    assert.match(fs.readFileSync(path.join(bench, name), 'utf8'), /\bkit\.row\(/, name);
});
