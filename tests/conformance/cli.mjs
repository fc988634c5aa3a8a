/* SPDX-License-Identifier: MIT */
/* Runs one of the small C programs beside this file: JSON lines in, JSON lines out. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const project = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const build = process.env.OCV_BUILDDIR ?? path.join(project, 'build');

/** The answers of a program to questions, in their order. */
export function ask(name, questions) {
  const program = path.join(build, 'tests', 'conformance', name);
  if (!fs.existsSync(program))
    throw new Error(`${program} is missing: make conformance builds it`);
  const input = questions.map((q) => `${JSON.stringify(q)}\n`).join('');
  const done = spawnSync(program, { input, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 60000 });
  if (done.status !== 0)
    throw new Error(`${name} ended with ${done.status ?? done.signal}: ${done.stderr}`);
  const answers = done.stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
  if (answers.length !== questions.length)
    throw new Error(`${name} gave ${answers.length} answers to ${questions.length} questions`);
  return answers;
}
