/* SPDX-License-Identifier: MIT */
// Logs say nothing that they must not, and what is on disk is its owner's alone.
import fs from 'node:fs';
import path from 'node:path';
import YAML from 'yaml';

const SECRET_KEY = /(key|secret|token|pin_hash)s?$/;
const WORDS = 4; // of what was said, in a row: fewer are in our own sentences, too
const BYTES = 16;
const EXAMPLE = /(such as|like) \+15551234567/g; // in words of our own

/** Values of a configuration (a tree) that are secrets; of hashed tokens the hashes. */
export function secretsOf(node, inside = false) {
  if (node === null || typeof node !== 'object')
    return inside && String(node).length >= 8 ? String(node).split(' ').slice(-1) : [];
  return Object.entries(node).flatMap(([key, value]) => secretsOf(value, inside || SECRET_KEY.test(key)));
}

/** Runs of words of a text that no log should hold. */
export function phrasesOf(text) {
  const words = text.split(/\s+/).filter(Boolean);
  return words.map((_, i) => words.slice(i, i + WORDS).join(' '))
    .filter((phrase, i) => i + WORDS <= words.length && phrase.length >= BYTES);
}

/**
 * What a log holds that it must not.
 * @param {string} log
 * @param {object} may secrets (texts), said (texts that were spoken), numbers and words (true: allowed)
 * @returns {string[]} one line for each finding
 */
export function indiscretions(log, { secrets = [], said = [], numbers = false, words = false } = {}) {
  const found = [];
  const lines = log.split('\n');
  const look = (what, has) => lines.filter(has).slice(0, 3).forEach((line) => found.push(`${what}: ${line}`));
  for (const secret of new Set(secrets))
    look('a secret', (line) => line.includes(secret));
  if (!numbers)
    look('a full number', (line) => /\+\d{7,15}(?!\d)/.test(line.replace(EXAMPLE, '')));
  const phrases = words ? [] : [...new Set(said.flatMap(phrasesOf))];
  if (phrases.length > 0)
    look('spoken words', (line) => phrases.some((phrase) => line.includes(phrase)));
  return found;
}

/**
 * The same for what a plugin logged: its configuration says what it may.
 * @param {string} log
 * @param {object} where configFile, stateDir; secrets and said of the simulators
 */
export function logIndiscretions(log, { configFile, stateDir, secrets = [], said = [] }) {
  let config = {};
  try {
    config = YAML.parse(fs.readFileSync(configFile, 'utf8')) ?? {};
  } catch {
    // a file that is no YAML was the test
  }
  const voice = config.logging?.voice ?? {};
  const file = path.join(stateDir, 'api-token');
  const own = fs.existsSync(file) ? [fs.readFileSync(file, 'utf8').trim()] : [];
  return indiscretions(log, { secrets: [...secrets, ...own, ...secretsOf(config)], said,
    numbers: voice.level === 'debug', words: voice.include_transcripts === true });
}

/** The same for a native host (host.mjs). */
export const hostIndiscretions = (host, more = {}) => logIndiscretions(host.stderr.text, { ...more,
  configFile: host.configFile, stateDir: host.stateDir });

/** Files and folders below (and with) dir that others than their owner may touch. */
export function openToOthers(dir) {
  if (!fs.existsSync(dir))
    return [];
  const all = [dir, ...fs.readdirSync(dir, { recursive: true }).map((name) => path.join(dir, name))];
  return all.flatMap((file) => {
    const mode = fs.lstatSync(file, { throwIfNoEntry: false })?.mode;
    return mode !== undefined && (mode & 0o077) !== 0 ? [`${(mode & 0o777).toString(8)} ${file}`] : [];
  });
}
