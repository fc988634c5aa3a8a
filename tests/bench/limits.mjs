/* SPDX-License-Identifier: MIT */
// Which limit of the machine binds a figure, and how far it is from it. limits.bench.mjs measures the limits, first of all
// files of `make bench`, and keeps them in the build folder; kit.mjs asks for each row.
import fs from 'node:fs';
import path from 'node:path';
import { buildDir } from '../lib/util.mjs';

const file = path.join(buildDir, 'bench', 'limits.json');

/** Keeps limits: name -> number. */
export function keepLimits(limits) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, `${JSON.stringify(limits)}\n`);
}

function load() {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/* Microseconds of CPU a request cannot be without: its bytes in and out, its parser, its signature, the check of its JSON. */
const plain = (x) => x.echo_us + x.llhttp_us;
const signed = (x) => plain(x) + x.hmac_us + x.strict_us;
const fresh = (x, row) => signed(x) + row;
const own = (x, entry) => entry.floor;
const higher = true;

/*
 * A row's limit in the row's unit. higher: more is better. Rows with a floor that was measured in the same run are held
 * against that, for it met the same machine.
 */
const rules = [
  [/^webhook, server CPU: .*state on disk/, 'socket + llhttp + HMAC + strict JSON + a row of 25 a commit', (x) => fresh(x, x.row_disk_us) / plain(x)],
  [/^webhook, server CPU: .*state in memory/, 'the same, in memory', (x) => fresh(x, x.row_memory_us) / plain(x)],
  [/^webhook, server CPU: /, 'socket + llhttp + HMAC + strict JSON', (x) => signed(x) / plain(x)],
  [/^webhook, p99 at 256 connections/, '256 of them one after the other', (x) => 256 * fresh(x, x.row_disk_us) / 1000],
  [/^(new call|webhook to accept).* p50/, 'a bare commit', own],
  [/^(new call|webhook to accept).* p99/, 'a bare commit, p99', own],
  [/^calls a second, without sidebands/, 'SQLite: 8.4 rows a call, 25 a commit', (x) => x.rows_disk_s / 8.4, higher],
  [/^calls a second, with sidebands/, 'TLS handshakes alone', own, higher],
  [/^sideband events in over TLS/, 'SSL_read + cJSON alone', own, higher],
  [/^sideband events in over plain/, 'read + cJSON alone', own, higher],
  [/^10000 live calls, .*event handled/, 'SSL_read + cJSON alone, p99', own],
  [/^tool result ready/, 'an event and its pong, p99', own],
  [/^memory of a live call/, 'OpenSSL alone', own],
  [/^kill -9 with 1000 live calls/, '1,000 TLS handshakes', (x) => 1000 / x.handshakes_s],
];

/** {name, value, away: how many times as much as the limit allows} of a row, or undefined. */
export function limitOf(entry) {
  const rule = rules.find(([row]) => row.test(entry.row));
  const limits = rule && (rule[2] === own ? {} : load());
  if (!limits)
    return undefined;
  const value = rule[2](limits, entry);
  if (!Number.isFinite(value) || value <= 0)
    return undefined;
  const away = rule[3] ? value / entry.value : entry.value / value;
  return { name: rule[1], value: Number(value.toPrecision(4)), away: Number(away.toPrecision(3)) };
}
