/* SPDX-License-Identifier: MIT */
/*
 * A thousand deaths of the process: `make crashes`. KIND=mixed: at moments of a mixed load, twelve in one life of it
 * (mixed-kit.mjs); KIND=placed: each at a moment of a call that we placed (crash-kit.mjs). Goes on where it was interrupted;
 * another seed begins anew.
 *
 *   node tests/integration/crashes.mjs FOLDER   where it is remembered which points are done, and which failed
 *   KIND (mixed)  CRASH_POINTS (1000)  CRASH_SEED (1)  CRASH_HOMES (mixed 2, placed 4: at one time)  CRASH_MINUTES (120)
 *   CRASH_ONE   that life (mixed) or point (placed) alone
 *   CRASH_SIGHTS   mixed: dies when one of these is seen and at no other moment, like dial,send (SIGHTS of mixed-plan.mjs)
 *
 * The last line is `N points, N kills, N broken`; what is broken is told as it is met, and kept in FOLDER with how to do it
 * again. Exits 1 if anything was; it is done again the next time.
 */
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Tally, crashPoints, isKill } from './crash-kit.mjs';
import { KILLS_A_LIFE, mixedLife } from './mixed-kit.mjs';

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const kind = process.env.KIND || 'mixed';
const mixed = kind === 'mixed';
const seed = number('CRASH_SEED', 1);
const total = number('CRASH_POINTS', 1000);
const homes = number('CRASH_HOMES', mixed ? 2 : 4);
const endsAt = Date.now() + number('CRASH_MINUTES', 120) * 60000;
const one = process.env.CRASH_ONE;
const sights = (process.env.CRASH_SIGHTS ?? '').split(',').filter(Boolean);
const file = path.join(process.argv[2], `${kind}.json`);
const each = mixed ? KILLS_A_LIFE : 1; // points of a unit, which is what is done or not
const began = Date.now();

function readState() {
  try {
    const state = JSON.parse(fs.readFileSync(file, 'utf8'));
    return state.seed === seed ? state : null;
  } catch {
    return null;
  }
}

const before = readState() ?? { done: [], failed: [], counts: {} };
const done = new Set(before.done);
const failed = new Map(before.failed.map((failure) => [failure.unit, failure]));
const { counts } = before;
const tally = new Tally();
let now = 0; // units of this run

function keep() {
  fs.writeFileSync(`${file}.new`, JSON.stringify({ seed, kind, done: [...done].sort((a, b) => a - b), failed: [...failed.values()],
    counts }, null, 1));
  fs.renameSync(`${file}.new`, file);
}

const points = () => Math.min(total, done.size * each);

function show() {
  const minutes = (Date.now() - began) / 60000;
  const came = mixed ? Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(', ') : String(tally);
  const line = `${kind}, seed ${seed}: ${points()} of ${total} points, ${failed.size} broken, ${(now * each / minutes).toFixed(0)
  } a minute; ${came}`;
  process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
}

/* A unit is over: what was broken in it, and what passed. */
function told(unit, broken, passed) {
  now += 1;
  if (broken.length > 0) {
    const again = `KIND=${kind} CRASH_SEED=${seed} CRASH_ONE=${unit} make crashes`;
    failed.set(unit, { unit, again, broken });
    process.stdout.write(`\nBROKEN ${kind} ${unit} of seed ${seed} (${again})\n  ${broken.join('\n  ')}\n`);
  } else {
    failed.delete(unit);
    done.add(unit);
    Object.entries(passed).forEach(([name, n]) => { counts[name] = (counts[name] ?? 0) + n; });
  }
  if (one === undefined)
    keep();
  if (process.stdout.isTTY || mixed || now % 10 === 0 || broken.length > 0)
    show();
}

async function mixedLives(lives) {
  const left = [...lives];
  const work = async () => {
    while (left.length > 0 && Date.now() < endsAt) {
      const life = left.shift();
      const { broken, stories, counts: passed } = await mixedLife(seed, life, KILLS_A_LIFE, { sights });
      told(life, broken.concat(stories), { ...passed, kills: KILLS_A_LIFE });
    }
  };
  await Promise.all(Array.from({ length: homes }, work));
}

async function placedPoints(all) {
  const step = homes * 5; // between two looks at the clock
  for (let i = 0; i < all.length && Date.now() < endsAt; i += step) {
    const closers = [];
    await crashPoints({ after: (fn) => closers.push(fn) }, seed, all.slice(i, i + step), { homes, patient: true },
      (point, error, result) => {
        if (result)
          tally.add(result);
        told(point, error ? [error.message] : [], { kills: isKill(point) ? 1 : 0 });
      });
    for (const close of closers.reverse())
      await close();
  }
}

fs.mkdirSync(process.argv[2], { recursive: true });
const units = one !== undefined ? [Number(one)]
  : Array.from({ length: Math.ceil(total / each) }, (_, i) => i).filter((i) => !done.has(i));
await (mixed ? mixedLives(units) : placedPoints(units));
if (one === undefined && failed.size === 0 && points() < total)
  console.log('\ntime is up; the next run goes on from here');
console.log(`\n${one === undefined ? points() : each} points, ${one === undefined ? counts.kills ?? 0 : each} kills, ${failed.size} broken`);
process.exit(failed.size > 0 ? 1 : 0);
