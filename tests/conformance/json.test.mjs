/* SPDX-License-Identifier: MIT */
/*
 * JSON as RFC 8259 has it, by categories as public suites of parsers have them: what every parser must take (y), must
 * refuse (n), and what is up to it (i), where our choice is written down. The cases are our own.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { buildDir } from '../lib/util.mjs';

const bytes = (text) => (Buffer.isBuffer(text) ? text : Buffer.from(text, 'utf8'));
const raw = (...parts) => Buffer.concat(parts.map((p) => (typeof p === 'number' ? Buffer.from([p]) : bytes(p))));

function judge(texts) {
  const input = texts.map((t) => `${bytes(t).toString('hex')}\n`).join('');
  const done = spawnSync(path.join(buildDir, 'tests', 'conformance', 'json_cli'), { input, encoding: 'utf8',
    maxBuffer: 1 << 28, timeout: 60000 });
  assert.equal(done.status, 0, done.stderr);
  const answers = done.stdout.trim().split('\n').map((l) => JSON.parse(l));
  assert.equal(answers.length, texts.length);
  answers.forEach((a) => assert.equal(a.check, a.parse, 'the check and the parser agree'));
  return answers;
}

const show = (text) => bytes(text).subarray(0, 60).toString('latin1').replace(/[^\x20-\x7e]/g, (c) =>
  `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);

const yes = {
  'structures': ['[]', '{}', '[[]]', '[{}]', '{"a":{}}', '{"a":[]}', '[[],[],{}]', '[[[[[[]]]]]]',
    '{"a":1,"b":[1,2,{"c":null}]}', '{"":0}', '{"a":1,"a":2}', '{"a":1,"a":1}'],
  'blanks': [' [] ', '\t{ }\n', '\r\n[\r\n1\r\n,\r\n2\r\n]\r\n', '{ "a" : 1 , "b" : 2 }', '[ ]', ' 1 ', '\n"x"\n'],
  'lonely values': ['1', '-1', '0', '"x"', '""', 'true', 'false', 'null', '-0', '1.5'],
  'numbers': ['[0]', '[-0]', '[0.0]', '[-0.0]', '[10]', '[1e1]', '[1E1]', '[1e+1]', '[1e-1]', '[0e0]', '[0E+0]',
    '[1.5e-3]', '[123.456e78]', '[-123.456E-78]', '[20e1]', '[0.1]', '[1234567890]', '[-9007199254740991]',
    '[9007199254740991]', '[0.000000000000000000000000000001]'],
  'strings': ['["a"]', '["\\""]', '["\\\\"]', '["\\/"]', '["/"]', '["\\b\\f\\n\\r\\t"]', '["\\u0041"]', '["\\u00e4"]',
    '["\\u00E4\\uABCD\\uabcd"]', '["\\ud83d\\ude00"]', '["\\uDBFF\\uDFFF"]', '["ä€😀"]', '["\u2028\u2029"]', '["\x7f"]',
    '["\u00a0\ufeff"]', '["\\u2028"]', '["\\u005C\\u0022"]', '["a/*b*/c//d"]', '["\\ufffe\\uffff"]', '["\u{10ffff}"]',
    '["\ufffe"]', `["${'x'.repeat(5000)}"]`, '["new\\u000aline"]', '["\\u0001"]', '["\\\\u0000"]'],
  'names': ['{"a b":1}', '{"\\u0061":1}', '{"ä":1}', '{"\\"":1}', '{"x":1,"X":2}', '{"true":true}'],
  'depth': [`${'['.repeat(64)}${']'.repeat(64)}`, `${'{"a":'.repeat(64)}1${'}'.repeat(64)}`],
};

const no = {
  'nothing': ['', ' ', '\n', '\t\t'],
  'unfinished': ['[', '{', '"', '[1', '[1,', '{"a"', '{"a":', '{"a":1', '{"a":1,', '["', '["a', '[1,{', 'tru', 'nul',
    'fals', '[tru', '-', '[-', '1e', '[1e', '1e+', '["\\', '["\\u', '["\\u00', '["\\u00A', '[{"a":[', '{"a":"b'],
  'too much': ['[]]', '{}}', '[1]x', '1 2', '[] []', '{}{}', '"a""b"', '[1]1', 'truefalse', 'true false', '[],', '{},', ',',
    ']', '}', ':', '[]#', '{}//', '1]'],
  'commas and colons': ['[,]', '[1,]', '[,1]', '[1,,2]', '[1 2]', '{,}', '{"a":1,}', '{"a":1,,"b":2}', '{"a" 1}', '{"a"::1}',
    '{:1}', '{"a"}', '{"a",1}', '["a":1]', '[1;2]', '{"a":1 "b":2}', '{"a":}', '{"a":,}', '[:]', '{"a":1:2}'],
  'brackets': ['[1}', '{"a":1]', '[{]}', '{[}]', '(1)', '<1>', '[[]', '{{}}', '{[]:1}', '{1:1}', '{null:1}', '{a:1}', "{'a':1}",
    '{"a":b}'],
  'numbers': ['01', '-01', '00', '1.', '.1', '-.1', '-1.', '+1', '++1', '--1', '1.e1', '1e', '1e1.5', '1e+', '1E-', '0x1', '0b1',
    '1_000', '1,000', '1.2.3', '1e1e1', '-', '- 1', '1 .5', '1. 5', '1e 5', 'NaN', '-NaN', 'Infinity', '-Infinity', 'inf',
    '[1a]', '0e', '[0e+]', '[-0x1]', '1\u00a0', '１', '٣', '1f', '1L', '0.', '[2.e3]', '[-2.]', '[1eE2]', '[\u22121]'],
  'words': ['True', 'TRUE', 'False', 'None', 'Null', 'NULL', 'undefined', 'nullx', 'trueish', 'yes', 'nil', '[a]', 'a', '[tRue]'],
  'strings': ["'a'", '"a', 'a"', '"a\nb"', '"a\tb"', '"a\rb"', '"\x01"', '"\x1f"', '["\x00"]', '"\\x41"', '"\\a"', '"\\\'"', '"\\ "',
    '"\\u00g0"', '"\\u 041"', '"\\u+041"', '"\\u0x41"', '"\\U0041"', '"\\u{41}"', '"\\\n"', '"\\', '`a`', '"a"b"', '“a”', '"\\ä"',
    '"\\0"', '"\\v"', '"\\e"'],
  'comments and the like': ['[1]//c', '/*c*/[1]', '[1/*c*/]', '#c\n[1]', '[1]--c', '{"a":1/**/}', '<!-- -->[1]'],
  'blanks that are none': ['[\x0b1]', '[\x0c1]', '[\u00a01]', '[\u20001]', '\u2028[]', '[1\u200b]', '[\x001]', '\x1e[]'],
  'bytes that are no UTF-8': [raw('["', 0xff, '"]'), raw('["', 0xc0, 0x80, '"]'), raw('["', 0xc1, 0xbf, '"]'),
    raw('["', 0xe0, 0x80, 0x80, '"]'), raw('["', 0xed, 0xa0, 0x80, '"]'), raw('["', 0xf4, 0x90, 0x80, 0x80, '"]'),
    raw('["', 0xf0, 0x80, 0x80, 0x80, '"]'), raw('["', 0xf8, 0x88, 0x80, 0x80, 0x80, '"]'), raw('["', 0xc3, '"]'), raw('["', 0xe2, 0x82, '"]'),
    raw('["', 0x80, '"]'), raw('["', 0xbf, 0xbf, '"]'), raw('{"', 0xe9, '":1}'), raw('[', 0xff, ']'), raw(0xe9), raw('["', 0xc3)],
  'other encodings': [raw(0xff, 0xfe, 0x5b, 0, 0x5d, 0), raw(0xfe, 0xff, 0, 0x5b, 0, 0x5d), raw(0, 0x5b, 0, 0x5d), raw(0x5b, 0, 0x5d, 0)],
  'NUL': [raw('[]', 0), raw(0, '[]'), raw('[1', 0, ']'), raw('"a', 0, 'b"'), raw('1', 0), raw(0)],
  'depth': [`${'['.repeat(65)}${']'.repeat(65)}`, '['.repeat(100000), `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`,
    '[{"":'.repeat(50000), `${'['.repeat(64)}{}${']'.repeat(64)}`],
};

/* Where RFC 8259 leaves the choice: true is taken. */
const ours = [
  ['NUL by an escape: an id with it would be cut by whoever reads C strings', '["\\u0000"]', false],
  ['NUL by an escape in a name', '{"\\u0000":1}', false],
  ['NUL by an escape within', '["a\\u0000b"]', false],
  ['a lone high surrogate', '["\\ud800"]', false],
  ['a lone low surrogate', '["\\udc00"]', false],
  ['a high surrogate and a letter', '["\\ud800a"]', false],
  ['two high surrogates', '["\\ud800\\ud800"]', false],
  ['surrogates in the wrong order', '["\\ude00\\ud83d"]', false],
  ['a high surrogate and another escape', '["\\ud83d\\u0041"]', false],
  ['a byte order mark', '\ufeff[]', false],
  ['a whole number beyond 64 bits', '[123456789012345678901234567890]', true],
  ['a fraction too small for a double', '[1e-999]', true],
  ['a number with very many digits', `[0.${'1'.repeat(400)}]`, true],
  ['a name that comes twice: the first counts', '{"a":1,"a":2}', true],
];

for (const [what, cases] of Object.entries(yes)) {
  test(`taken: ${what}`, () => {
    judge(cases).forEach((a, i) => {
      assert.equal(a.check, 0, show(cases[i]));
      const back = JSON.parse(Buffer.from(a.out, 'hex').toString('utf8'));
      if (!/"a":1,"a":2/.test(cases[i]))
        assert.deepEqual(back, JSON.parse(cases[i], (key, v) => (v === 0 ? 0 : v)), show(cases[i])); // -0 is written 0
    });
  });
}

for (const [what, cases] of Object.entries(no)) {
  test(`refused: ${what}`, () => {
    judge(cases).forEach((a, i) => assert.ok(a.check < 0, `taken: ${show(cases[i])}`));
  });
}

test('where the choice is ours', () => {
  const answers = judge(ours.map(([, text]) => text));
  ours.forEach(([what, , taken], i) => assert.equal(answers[i].check === 0, taken, what));
});

test('numbers beyond a double are refused, or read as the nearest finite one', () => {
  for (const a of judge(['[1e999]', '[-1e999]', `[1${'0'.repeat(400)}]`])) {
    if (a.check === 0)
      JSON.parse(Buffer.from(a.out, 'hex').toString('utf8')).forEach((v) => assert.ok(v === null || Number.isFinite(v)));
  }
});

test('every y case, cut anywhere, is refused or a text of its own', () => {
  const whole = Object.values(yes).flat().filter((t) => bytes(t).length < 200);
  const cuts = whole.flatMap((t) => Array.from({ length: bytes(t).length }, (_, n) => bytes(t).subarray(0, n)));
  judge(cuts).forEach((a, i) => {
    let good = true;
    try {
      JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(cuts[i]));
    } catch {
      good = false;
    }
    assert.equal(a.check === 0, good, show(cuts[i]));
  });
});
