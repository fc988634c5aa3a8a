/* SPDX-License-Identifier: MIT */
/* Runs one of the small C programs beside this file: JSON lines in, JSON lines out. */
import { execFile, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buildDir } from '../lib/util.mjs';

function find(name) {
  const program = path.join(buildDir, 'tests', 'conformance', name);
  if (!fs.existsSync(program))
    throw new Error(`${program} is missing: make conformance builds it`);
  return program;
}

function parseLines(text) {
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
}

/** The answers of a program to questions, in their order. */
export function ask(name, questions) {
  const input = questions.map((q) => `${JSON.stringify(q)}\n`).join('');
  const done = spawnSync(find(name),
    { input, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 60000 });
  if (done.status !== 0)
    throw new Error(`${name} ended with ${done.status ?? done.signal}: ${done.stderr}`);
  const answers = parseLines(done.stdout);
  if (answers.length !== questions.length)
    throw new Error(`${name} gave ${answers.length} answers to ${questions.length} questions`);
  return answers;
}

/** Runs a program with arguments to its end while this process goes on: what it printed. */
export function run(name, args) {
  return new Promise((resolve, reject) => {
    execFile(find(name), args, { timeout: 60000, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error)
        reject(new Error(`${name}: ${error.message}\n${stderr}\n${stdout}`));
      else
        resolve(parseLines(stdout));
    });
  });
}
