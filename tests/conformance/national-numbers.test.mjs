/* SPDX-License-Identifier: MIT */
// Numbers as people write them, read by the staged package as it is installed: its own file of numbering plans, nothing
// fetched. What comes out is strict E.164, or a sentence that says why not.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { buildDir, projectDir } from '../lib/util.mjs';

const { dialable, looksLikeNumber } = await import(path.join(buildDir, 'openclaw-voice', 'numbers.js'));
const E164 = /^\+[1-9][0-9]{6,14}$/;

const good = [
  ['+15551230001', '', '+15551230001'],
  ['+1 (555) 123-0001', '', '+15551230001'],
  ['tel:+49-30-901820', '', '+4930901820'],
  ['+49 (0) 30 901820', '', '+4930901820'],
  ['+49(0)30/901820', 'US', '+4930901820'],
  ['030 901820', 'DE', '+4930901820'],
  ['030/90 18 20', 'DE', '+4930901820'],
  ['0049 30 901820', 'DE', '+4930901820'],
  ['011 49 30 901820', 'US', '+4930901820'],
  ['(212) 555-0123', 'US', '+12125550123'],
  ['1-212-555-0123', 'US', '+12125550123'],
  ['06 698 12345', 'IT', '+390669812345'],
  ['\uff10\uff13\uff10 901820', 'DE', '+4930901820'],
];

const bad = [
  ['030 901820', '', /international form.*default_country/],
  ['', 'DE', /no telephone number/],
  ['front desk', 'DE', /no telephone number/],
  ['110', 'DE', /no telephone number/],
  ['911', 'US', /no telephone number/],
  ['555-1234', 'US', /no telephone number/],
  ['1-800-FLOWERS', 'US', /no telephone number/],
  ['212 555 0123 ext. 5', 'US', /extension/],
  ['call 030 901820 now', 'DE', /no telephone number/],
  ['+1 555 123 0001;phone-context=+49', 'US', /no telephone number/],
  ['+' + '1'.repeat(40), 'US', /no telephone number/],
  ['*', 'DE', /no telephone number/],
];

test('a table of forms', async () => {
  for (const [text, country, number] of good)
    assert.equal(await dialable(text, country), number, `${text} in ${country}`);
  for (const [text, country, why] of bad)
    await assert.rejects(dialable(text, country), why, `${text} in ${country}`);
});

test('a number of every country, as it is written there', async () => {
  const folder = path.join(projectDir, 'build', 'tools', 'numbers', 'node_modules', 'libphonenumber-js');
  const { getExampleNumber } = createRequire(import.meta.url)(path.join(folder, 'max', 'index.cjs'));
  const examples = JSON.parse(fs.readFileSync(path.join(folder, 'examples.mobile.json'), 'utf8'));
  let read = 0;
  for (const country of Object.keys(examples)) {
    const example = getExampleNumber(country, examples);
    const written = example.formatNational();
    const number = await dialable(written, country);
    assert.match(number, E164);
    assert.equal(number, example.number, `${written} in ${country}`);
    read += 1;
  }
  assert.ok(read > 200, `${read} countries`);
});

test('a target that is a name is no number', () => {
  for (const name of ['Carol', 'front desk', 'Agent 47', '', undefined])
    assert.equal(looksLikeNumber(name), false, String(name));
  for (const number of ['+15551230001', '(555) 123-0001', '030/901820'])
    assert.equal(looksLikeNumber(number), true, number);
});
