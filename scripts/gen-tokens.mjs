/* SPDX-License-Identifier: MIT */
/*
 * gen-tokens.mjs PACKAGE OUT: derives the table of memory/tokens.c from the npm package gpt-tokenizer
 * (PACKAGE is its folder) and from this Node's Unicode properties. The file is mapped and used as it is,
 * so everything is at a fixed place, little-endian:
 *
 *     0  magic "ocvo200k"          8  u32 version, 12 u32 bytes of this header
 *    16  u64 bytes of the file    24  u32 tokens, 28 u32 slots
 *    32  u32 place of: offsets, 36 slots, 40 bytes (44 how many), 48 class index, 52 class blocks
 *    56  u32 class blocks         60  u32 Unicode version (major << 8 | minor), 64 u32 longest token
 *    68  u32 zero                 72  u64 FNV-1a of the 72 bytes before
 *
 * offsets  u32 for each rank, and one more: where the token's bytes begin in `bytes`
 * slots    open addressing, linear probing: 0, or tag << 18 | (rank + 1)
 * classes  u16 for each 256 code points: number of a block; a block is a byte for each code point
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const VERSION = 1;
const HEADER_BYTES = 80;
const SLOTS = 3 << 17;
const RANK_BITS = 18;
const TAG_MASK = 0x3fff;
const M64 = (1n << 64n) - 1n;

/* Must be memory/tokens.c's: what a class byte holds. */
const CLASSES = [
  [1, /[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]/u],
  [2, /[\p{Ll}\p{Lm}\p{Lo}\p{M}]/u],
  [4, /\p{L}/u],
  [8, /\p{N}/u],
  [16, /\s/u],
  [32, /[\r\n]/u],
];

/* The pattern that the scanner of memory/tokens.c is written for. */
const CONTRACTION = String.raw`(?:'(?:[sS]|[dD]|[mM]|[tT]|[lL][lL]|[vV][eE]|[rR][eE]))?`;
const PATTERN = [
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` + CONTRACTION,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` + CONTRACTION,
  String.raw`\p{N}{1,3}`,
  String.raw` ?[^\s\p{L}\p{N}]+[\r\n/]*`,
  String.raw`\s*[\r\n]+`,
  String.raw`\s+(?!\S)`,
  String.raw`\s+`,
].join('|');

/** Must be hash_bytes() of memory/tokens.c. */
function hashBytes(bytes) {
  let h = (BigInt(bytes.length) * 0x9e3779b97f4a7c15n) & M64;
  for (let i = 0; i < bytes.length; i += 8) {
    let chunk = 0n;
    for (let k = Math.min(i + 8, bytes.length) - 1; k >= i; k--)
      chunk = (chunk << 8n) | BigInt(bytes[k]);
    h = ((h ^ chunk) * 0xff51afd7ed558ccdn) & M64;
    h ^= h >> 32n;
  }
  h = (h * 0xc4ceb9fe1a85ec53n) & M64;
  return h ^ (h >> 29n);
}

function tokenBytes(ranks) {
  const tokens = Array.from(ranks, (value, rank) => {
    if (value === undefined)
      throw new Error(`rank ${rank} has no token`);
    return Buffer.from(value);
  });
  for (let byte = 0; byte < 256; byte++) {
    if (!tokens.some((t) => t.length === 1 && t[0] === byte))
      throw new Error(`byte ${byte} is no token`);
  }
  if (tokens.length >= 1 << RANK_BITS || tokens.length > SLOTS * 0.7)
    throw new Error(`${tokens.length} tokens are too many for this format`);
  return tokens;
}

function makeSlots(tokens) {
  const slots = new Uint32Array(SLOTS);
  tokens.forEach((bytes, rank) => {
    const h = hashBytes(bytes);
    let at = Number(((h >> 32n) * BigInt(SLOTS)) >> 32n);
    while (slots[at] !== 0)
      at = (at + 1) % SLOTS;
    slots[at] = ((Number(h & BigInt(TAG_MASK)) << RANK_BITS) | (rank + 1)) >>> 0;
  });
  return slots;
}

function classOf(codePoint) {
  if (codePoint >= 0xd800 && codePoint <= 0xdfff)
    return 0;
  const c = String.fromCodePoint(codePoint);
  return CLASSES.reduce((sum, [bit, pattern]) => sum | (pattern.test(c) ? bit : 0), 0);
}

function makeClasses() {
  const index = new Uint16Array(0x1100);
  const blocks = [];
  const known = new Map();
  for (let i = 0; i < index.length; i++) {
    const block = Buffer.alloc(256);
    for (let k = 0; k < 256; k++)
      block[k] = classOf((i << 8) | k);
    const key = block.toString('latin1');
    if (!known.has(key)) {
      known.set(key, blocks.length);
      blocks.push(block);
    }
    index[i] = known.get(key);
  }
  return { index, blocks };
}

function words(array, bytes) {
  const out = Buffer.alloc(array.length * bytes);
  array.forEach((v, i) => { out.writeUIntLE(v, i * bytes, bytes); });
  return out;
}

function fnv1a(bytes) {
  let h = 0xcbf29ce484222325n;
  for (const b of bytes)
    h = ((h ^ BigInt(b)) * 0x100000001b3n) & M64;
  return h;
}

function makeFile(tokens) {
  const offsets = new Uint32Array(tokens.length + 1);
  tokens.forEach((t, i) => { offsets[i + 1] = offsets[i] + t.length; });
  const { index, blocks } = makeClasses();
  const parts = [words(offsets, 4), words(makeSlots(tokens), 4), Buffer.concat(tokens),
    words(index, 2), Buffer.concat(blocks)];
  const places = [];
  const out = [null];
  let at = HEADER_BYTES;
  for (const part of parts) {
    places.push(at);
    const padding = (64 - (part.length % 64)) % 64;
    out.push(part, Buffer.alloc(padding));
    at += part.length + padding;
  }
  const [major, minor] = process.versions.unicode.split('.').map(Number);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('ocvo200k', 0, 'latin1');
  [VERSION, HEADER_BYTES].forEach((v, i) => header.writeUInt32LE(v, 8 + 4 * i));
  header.writeBigUInt64LE(BigInt(at), 16);
  [tokens.length, SLOTS, places[0], places[1], places[2], offsets[tokens.length], places[3], places[4],
    blocks.length, (major << 8) | minor, tokens.reduce((max, t) => Math.max(max, t.length), 0), 0]
    .forEach((v, i) => header.writeUInt32LE(v, 24 + 4 * i));
  header.writeBigUInt64LE(fnv1a(header.subarray(0, 72)), 72);
  out[0] = header;
  return Buffer.concat(out);
}

async function main([folder, out]) {
  if (!out)
    throw new Error('usage: gen-tokens.mjs PACKAGE OUT');
  const load = (name) => import(pathToFileURL(path.resolve(folder, 'esm', `${name}.js`)).href);
  const { O200K_TOKEN_SPLIT_REGEX: split } = await load('encodingParams/constants');
  if (split.source !== PATTERN || split.flags !== 'gu')
    throw new Error('the package has another pattern than the scanner of memory/tokens.c');
  const { default: ranks } = await load('bpeRanks/o200k_base');
  /* Beside its place and moved: a plugin that runs may have the old one mapped. */
  fs.writeFileSync(`${out}.new`, makeFile(tokenBytes(ranks)));
  fs.renameSync(`${out}.new`, out);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`gen-tokens: ${error.message}`);
  process.exit(1);
});
