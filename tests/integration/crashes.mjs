/* SPDX-License-Identifier: MIT */
/*
 * A thousand deaths of the process at moments of placed calls: `make crashes`. Goes on where it was interrupted;
 * another seed or number of points begins anew.
 *
 *   node tests/integration/crashes.mjs STATE   a file that remembers which points are done
 *   CRASH_POINTS (1000)  CRASH_SEED (1)  CRASH_HOMES (4, at one time)  CRASH_MINUTES (120)  CRASH_POINT (that one alone)
 *
 * Exits 1 if a point failed; those are done again the next time.
 */
import fs from 'node:fs';
import process from 'node:process';
import { Tally, crashPoints } from './crash-kit.mjs';

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const seed = number('CRASH_SEED', 1);
const total = number('CRASH_POINTS', 1000);
const homes = number('CRASH_HOMES', 4);
const endsAt = Date.now() + number('CRASH_MINUTES', 120) * 60000;
const file = process.argv[2];

function readDone() {
  try {
    const state = JSON.parse(fs.readFileSync(file, 'utf8'));
    return state.seed === seed ? new Set(state.done) : new Set();
  } catch {
    return new Set();
  }
}

const done = readDone();
const came = new Tally();
const failed = [];
const closers = [];

function show(point) {
  const line = `seed ${seed}: ${done.size} of ${total} points, ${failed.length} failed (${point}); now: ${came}`;
  process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
}

function told(point, error, result) {
  if (error) {
    failed.push(point);
    process.stdout.write(`\nFAIL ${error.message}\n`);
  } else {
    done.add(point);
    came.add(result);
    fs.writeFileSync(`${file}.new`, JSON.stringify({ seed, done: [...done].sort((a, b) => a - b) }));
    fs.renameSync(`${file}.new`, file);
  }
  if (process.stdout.isTTY || done.size % 10 === 0 || error)
    show(`point ${point}`);
}

const one = process.env.CRASH_POINT;
const points = one !== undefined ? [Number(one)]
  : Array.from({ length: total }, (_, i) => i).filter((i) => !done.has(i));
const t = { after: (fn) => closers.push(fn) };
const step = homes * 5; // between two looks at the clock
for (let i = 0; i < points.length && Date.now() < endsAt; i += step) {
  await crashPoints(t, seed, points.slice(i, i + step), { homes, patient: true }, told);
  for (const close of closers.splice(0).reverse())
    await close();
}
show(points.length > 0 ? 'the end' : 'all were done before');
process.stdout.write('\n');
if (failed.length > 0)
  console.log(`failed: CRASH_SEED=${seed} CRASH_POINT=${failed.join(', ')}`);
else if (one === undefined && done.size < total)
  console.log('time is up; the next run goes on from here');
process.exitCode = failed.length > 0 ? 1 : 0;
