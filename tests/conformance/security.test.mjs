// SPDX-License-Identifier: MIT
// Each claim of SECURITY.md names tests, and each of these exists.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { projectDir } from '../lib/util.mjs';

const REFERENCE = /`((?:unit|conformance|integration|faults|fuzz)\/[\w./-]+): ([^`]+)`/g;

const text = fs.readFileSync(path.join(projectDir, 'SECURITY.md'), 'utf8');

/** The bullets below "## Claims", each with its lines joined. */
function claimsOf(document) {
  const body = document.split('\n## Claims\n')[1].split(/\n## /)[0];
  return body.split(/\n(?=- |### )/).filter((part) => part.startsWith('- ')).map((part) => part.replace(/\s+/g, ' '));
}

/** Whether a test file has a case of that name. */
function hasCase(file, source, name) {
  const quoted = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  if (file.endsWith('.c'))
    return new RegExp(`T_RUN\\(${quoted}\\)|T_CASE\\("${quoted}"\\)`).test(source);
  if (file.endsWith('.sh'))
    return new RegExp(`is "${quoted}"`).test(source);
  /* A name stands in a call of test(), or as the key of a table from which cases are made. */
  const plain = quoted.replace(/'/g, "\\\\?'");
  return new RegExp(`(?:test|describe)\\((['"\`])${plain}\\1|^\\s+(['"])${plain}\\2: \\{`, 'm').test(source);
}

test('every claim names at least one test', () => {
  const claims = claimsOf(text);
  assert.ok(claims.length > 20, `${claims.length} claims`);
  for (const claim of claims)
    assert.ok([...claim.matchAll(REFERENCE)].length > 0, `no test is named: ${claim}`);
});

test('every test that is named exists', () => {
  const missing = [];
  const references = claimsOf(text).flatMap((claim) => [...claim.matchAll(REFERENCE)]);
  assert.ok(references.length > 50);
  for (const [, file, name] of references) {
    const where = path.join(projectDir, 'tests', file);
    if (!fs.existsSync(where) || !hasCase(file, fs.readFileSync(where, 'utf8'), name))
      missing.push(`${file}: ${name}`);
  }
  assert.deepEqual(missing, []);
});

test('a name that does not exist is found out', () => {
  assert.ok(hasCase('a.c', 'T_RUN(this_one);', 'this_one'));
  assert.ok(!hasCase('a.c', 'T_RUN(this_one_too);', 'this_one'));
  assert.ok(hasCase('a.test.mjs', "test('it\\'s so', () => {});", "it's so"));
  assert.ok(!hasCase('a.test.mjs', "// test it's so", "it's so"));
  assert.ok(!hasCase('a.sh', 'is "x y" 1 2', 'x'));
});
