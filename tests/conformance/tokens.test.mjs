/* SPDX-License-Identifier: MIT */
/*
 * memory/tokens.c counts as npm gpt-tokenizer does, of which its table is made.
 *
 * One thing is known of the package: it looks bytes up as text that a TextDecoder made, which drops a
 * U+FEFF at the beginning, so it never finds the ten tokens that begin with one. Such texts are held
 * against a second count in this file, which uses the package's pattern and ranks only, and which is
 * itself held against the package over all other texts. t-limit: 300
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { belowOf, buildDir, projectDir, tmpdir } from '../lib/util.mjs';
import { spawnSync } from 'node:child_process';

const folder = process.env.OCV_TOKENIZER ??
  path.join(projectDir, 'build/tools/gpt-tokenizer/node_modules/gpt-tokenizer');
const load = (name) => import(pathToFileURL(path.join(folder, 'esm', `${name}.js`)).href);
const { countTokens, setMergeCacheSize } = await load('encoding/o200k_base');
const { O200K_TOKEN_SPLIT_REGEX: split } = await load('encodingParams/constants');
setMergeCacheSize(0); // over many different texts it costs more than it saves
const { default: ranks } = await load('bpeRanks/o200k_base');

const table = path.join(buildDir, 'o200k.bin');
const program = path.join(buildDir, 'tests/conformance/tokens_cli');
const build = process.env.OCV_BUILD ?? 'release';
const anyText = { disallowedSpecial: new Set() };
const reference = (text) => countTokens(text, anyText);

/* Texts go as hex digits: a JSON string there may not hold NUL. */
function ask(questions, file = table) {
  const hex = (q) => ({ ...q, hex: q.hex ?? Buffer.from(q.text).toString('hex'), text: undefined });
  const input = questions.map((q) => `${JSON.stringify(hex(q))}\n`).join('');
  const done = spawnSync(program, [file], { input, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 120000 });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.split('\n').filter((line) => line).map((line) => JSON.parse(line));
}

/* ---- the second count -------------------------------------------------------------------------- */

const rankOf = new Map();
ranks.forEach((value, rank) => rankOf.set(Buffer.from(value).toString('latin1'), rank));

/* Merges the lowest union wherever it stands, from the left, as long as none lower comes of it. */
function mergeOnce(parts) {
  let low = Infinity;
  for (let i = 0; i + 1 < parts.length; i++)
    low = Math.min(low, rankOf.get(parts[i] + parts[i + 1]) ?? Infinity);
  if (low === Infinity)
    return null;
  const out = [];
  let lower = false;
  const look = (a, b) => { lower ||= (rankOf.get(a + b) ?? Infinity) < low; };
  for (let i = 0; i < parts.length; i++) {
    if (!lower && i + 1 < parts.length && rankOf.get(parts[i] + parts[i + 1]) === low) {
      const made = parts[i] + parts[i + 1];
      if (out.length)
        look(out.at(-1), made);
      i++;
      if (i + 1 < parts.length)
        look(made, parts[i + 1]);
      out.push(made);
    } else {
      out.push(parts[i]);
    }
  }
  return out;
}

function secondCount(text) {
  let n = 0;
  for (const [piece] of text.matchAll(split)) {
    const bytes = Buffer.from(piece).toString('latin1');
    if (rankOf.has(bytes)) {
      n++;
      continue;
    }
    let parts = bytes.split('');
    for (let next = parts; next; next = mergeOnce(parts))
      parts = next;
    n += parts.length;
  }
  return n;
}

/* ---- comparing --------------------------------------------------------------------------------- */

function compare(texts, count = reference) {
  const answers = ask(texts.map((text) => ({ text })));
  texts.forEach((text, i) => {
    assert.equal(answers[i].n, count(text), JSON.stringify(text.slice(0, 300)));
  });
  return answers.reduce((sum, a) => sum + a.n, 0);
}

const languages = {
  English: "It's not what I'd expected; they'LL say we've been there. WE'RE SURE, aren't we? He'd've gone.",
  German: 'Größere Übungsaufgaben ließen sich mühelos lösen – „so war’s“, sagte Jürgen. STRASSE, Straße, Maß.',
  Russian: 'Съешь же ещё этих мягких французских булок, да выпей чаю. ЖУРНАЛ «Наука и жизнь» № 7.',
  Chinese: '他昨天在电话里说，明天早上九点在办公室见面。请把文件发到我的邮箱：谢谢！一二三四五六七八九十。',
  Japanese: '昨日の電話で、来週の会議は木曜日の午後三時からだと聞きました。カタカナとﾊﾝｶｸ、ひらがな々〻。',
  Korean: '어제 전화로 말씀하신 회의는 다음 주 목요일 오후 세 시입니다. 감사합니다!',
  Arabic: 'اتصل بي أمس وقال إن الاجتماع يوم الخميس. مُحَمَّدٌ رَسُولُ ٱللَّٰهِ، ١٢٣٤٥٦٧٨٩ ؟',
  Hindi: 'उन्होंने कल फ़ोन पर कहा कि बैठक गुरुवार को है। क्या आप आ सकते हैं? १२३४५६',
  Thai: 'เมื่อวานเขาโทรมาบอกว่าประชุมวันพฤหัสบดีตอนบ่ายสามโมง ขอบคุณครับ ๑๒๓๔๕',
  Hebrew: 'הוא התקשר אתמול ואמר שהפגישה ביום חמישי. שָׁלוֹם עֲלֵיכֶם!',
  Greek: 'Ὁ ἄνθρωπος ἐκάλεσε χθές· «ναί», εἶπε. ΑΒΓΔ ΣΊΣΥΦΟΣ ς.',
  Vietnamese: 'Hôm qua anh ấy gọi điện và nói rằng cuộc họp vào thứ Năm lúc ba giờ chiều.',
  Turkish: 'İstanbul’da ılık IŞIK, Iğdır; dün aradı, toplantı perşembe günü dedi.',
  Georgian: 'გუშინ დარეკა და თქვა, რომ შეხვედრა ხუთშაბათსაა. ᲗᲑᲘᲚᲘᲡᲘ',
  'title case and modifiers': 'ǅ ǈa Aǋ ʰA Aʰ ʰa aʰB ªº ᾈ ᾼσ Ⅷ ⅷ ½ ² ㊿ 𝔄𝔟 𝟘𝟙',
  emoji: '👍🏽 👩‍👩‍👧‍👦 🇩🇪🇺🇸 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️‍🔥 1️⃣ #️⃣ 🫡🫠 👨🏿‍🚀👩🏻‍⚕️ ☎️ ✈️✈ 😀😀😀😀😀😀😀😀',
  code: 'for (let i = 0; i < xs.length; ++i) {\n\t\tif (!xs[i]?.ok) return `${xs[i]}`; // why\n}\n\n\n' +
    'def f(self, *a, **kw) -> None:\n    """doc"""\n    return {k: v for k, v in kw.items()} != a[::-1]\n' +
    'SELECT * FROM "t" WHERE a<>\'b\'\' AND c IN (1,2,3);--x\r\n#include <stdio.h>\r\n\r\nint main(){}',
  URLs: 'https://example.org/a/b//c?d=e&f=%20#g http://user:pw@h:8080/// ftp://x/\n/\n//\r\n mailto:a.b+c@d.org',
  white: ' a  b   c\td\t\te \n f\n\n g \r\n \r\n h\u00a0i\u2003\u2003j\u3000k\u2028l\u2029 m\v\fn   \n   \n   ',
  'white at the end': 'a   ', 'breaks at the end': 'a \n \n', 'only white': ' \t \t ', empty: '',
  digits: '1 12 123 1234 12345678 3.14159 1,000,000 +1 (555) 123-4567 2026-11-23T07:17:01Z 0x7fff ١٢٣٤ ½¾ ⅣⅤⅥⅦ',
  contractions: "'s 'S 'll 'Ll 'lL 'LL 're 'RE 've 'm 'D 'x 'l 'r a's a'S A'S a'ſ a'ſe a'ﬆ K'K I'ſ a'lL' 1's !'s a''s",
  marks: '\u0301 a\u0301 \u0301A \u0301\u0301AB A\u0301B !\u0301 \u0301! \u20dd1 1\u0301 \n\u0301a \u093e\u093eक',
  'letters and capitals': 'ABCdef ABC中DEF 中A 中Ab 中AB中 aBcDeF HTMLParser XMLHttpRequest iPhone ΑΒγ',
  specials: '<|endoftext|> <|im_start|>system<|im_sep|> <|endofprompt|><|fim_prefix|>',
  controls: 'a\u0000b\u0001\u007f\u0080\u0085x\u0085\u0085!\u0085 \u200b\u200d\u2060 \u00ad \u180ex',
  private: '\ue000\uf8ff\u{f0000}\u{10ffff} \ufffe\uffff \ufdd0 \u{e0001} \ufffd\ufffd',
};

for (const [name, text] of Object.entries(languages)) {
  test(`counts ${name} as the package does`, () => {
    const texts = [text, ` ${text}`, `${text}\n${text}`, `"${text}"`, text.toUpperCase(), text.toLowerCase(),
      text.normalize('NFD'), text.normalize('NFC'), text.repeat(7)];
    compare(texts);
    /* Every beginning and every end. */
    const letters = Array.from(text);
    compare(letters.flatMap((_, i) => [letters.slice(0, i).join(''), letters.slice(i).join('')]));
  });
}

test('counts every character alone, between letters and after a blank as the package does', () => {
  const texts = [];
  for (let c = 0; c < 0x30000; c++) {
    if ((c >= 0xd800 && c < 0xe000) || c === 0xfeff)
      continue;
    const s = String.fromCodePoint(c);
    texts.push(`${s} a${s}B ${s}${s}`);
  }
  compare(texts);
});

/* Strings that change between scripts, classes and lengths; pool decides what is in them. */
function makeFuzz(seed, n, { bom = false } = {}) {
  const r = belowOf(seed);
  const words = Object.values(languages).join(' ').split(/\s+/u).filter((w) => w);
  const odd = [..." \n\r\t'/!.,-_<|>{}[]()\u0301\u00a0\u2003\u3000\u200d\ufe0f\u0085aAzZ09"];
  const point = () => {
    for (;;) {
      const c = [0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000][r(6)];
      const p = r(c);
      if ((p < 0xd800 || p > 0xdfff) && (bom || p !== 0xfeff))
        return String.fromCodePoint(p);
    }
  };
  const piece = [
    () => odd[r(odd.length)], () => odd[r(odd.length)].repeat(1 + r(5)), point, point,
    () => words[r(words.length)], () => ` ${words[r(words.length)]}`,
    () => ["'s", "'LL", "'Ve", "'", "''", ' ', '  ', '\n\n', ' \n', '\r\n'][r(10)],
  ];
  if (bom)
    piece.push(() => '\ufeff', () => '\ufeffusing', () => '\ufeff\n', () => ' \ufeff');
  return Array.from({ length: n }, () => {
    let s = '';
    for (let left = 1 + r(40); left > 0; left--)
      s += piece[r(piece.length)]();
    return s;
  });
}

test('counts 20,000 random strings as the package does, and so does the second count', () => {
  const texts = makeFuzz(20260001, 20000);
  compare(texts);
  texts.slice(0, 1500).forEach((text) => assert.equal(secondCount(text), reference(text), JSON.stringify(text)));
});

test('counts texts with U+FEFF by the pattern and the ranks, where the package has none of its tokens', () => {
  const texts = makeFuzz(20260002, 1500, { bom: true });
  texts.push('\ufeff', '\ufeffusing System;', '\ufeff# Title', '\ufeff\ufeff', 'a\ufeffb', '\ufeff출장안마');
  compare(texts, secondCount);
  assert.equal(secondCount('\ufeffusing'), 1);
  assert.equal(reference('\ufeffusing') > 1, true, 'the package has changed: compare these with it');
});

test('counts malformed UTF-8 as the decoded text', () => {
  const r = belowOf(7);
  const cases = Array.from({ length: 4000 }, (_, i) => {
    const bytes = Buffer.from(makeFuzz(i + 1, 1)[0]);
    for (let k = r(4); k >= 0 && bytes.length; k--)
      bytes[r(bytes.length)] = [0x80, 0xc0, 0xc3, 0xe0, 0xed, 0xf0, 0xf4, 0xf5, 0xff, r(256)][r(10)];
    return bytes.subarray(0, 1 + r(bytes.length));
  });
  cases.push(Buffer.alloc(0), Buffer.alloc(500, 0xff), Buffer.alloc(3000, 0x80), Buffer.from('eda080edb080', 'hex'));
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const answers = ask(cases.map((b) => ({ hex: b.toString('hex') })));
  cases.forEach((b, i) => assert.equal(answers[i].n, secondCount(decoder.decode(b)), b.toString('hex')));
});

test('counts long runs without a split as the package does', () => {
  const r = belowOf(3);
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'];
  const runs = [];
  for (const n of [127, 128, 129, 255, 256, 257, 1000, 2000]) {
    for (const c of ['a', 'A', ' ', '\n', '=', '-', '中', 'é', 'ab', 'न', '👍', '\u0301', '/', '!?', ' \n'])
      runs.push(c.repeat(n));
    runs.push(Array.from({ length: n }, () => letters[r(52)]).join(''));
    runs.push(Array.from({ length: n }, () => String.fromCodePoint(0x4e00 + r(0x5000))).join(''));
    runs.push(Array.from({ length: n }, () => '!"#$%&()*+,-.:;<=>?@[]^_`{|}~'[r(29)]).join(''));
  }
  compare(runs);
});

test('a run of 100,000 is no matter of squares', (t) => {
  const base64 = Buffer.from(Array.from({ length: 75000 }, belowOf(9).bind(null, 256))).toString('base64');
  const texts = ['a'.repeat(100000), ' '.repeat(100000), base64, base64.replace(/[^a-z]/g, ''), '中'.repeat(40000)];
  const answers = ask(texts.map((text) => ({ text, times: 3 })));
  texts.forEach((text, i) => {
    t.diagnostic(`${JSON.stringify(text.slice(0, 12))}...: ${answers[i].n} tokens in ${(answers[i].us / 1000).toFixed(1)} ms`);
    if (build === 'release')
      assert.ok(answers[i].us < 200e3, `${answers[i].us} us`);
  });
  assert.equal(answers[0].n, secondCount(texts[0]));
  assert.equal(answers[1].n, secondCount(texts[1]));
  assert.equal(answers[2].n, reference(texts[2]));
});

/* ---- the longest prefix ------------------------------------------------------------------------ */

test('finds the longest prefix that fits', () => {
  const r = belowOf(11);
  const texts = makeFuzz(20260003, 1500);
  const fits = texts.map((text) => ({ text, fit: r(1 + Math.min(20, reference(text))) }));
  const answers = ask(fits);
  fits.forEach(({ text, fit }, i) => {
    const letters = Array.from(text);
    let longest = letters.length;
    while (reference(letters.slice(0, longest).join('')) > fit)
      longest--;
    assert.equal(answers[i].fit, Buffer.byteLength(letters.slice(0, longest).join('')),
      `${fit} of ${JSON.stringify(text)}`);
  });
});

test('in a long run the prefix fits and is nearly the longest', () => {
  const base64 = Buffer.from(Array.from({ length: 3000 }, belowOf(5).bind(null, 256))).toString('base64');
  const letters = base64.replace(/[^a-zA-Z]/g, '');
  for (const text of [letters, 'a'.repeat(5000), '中文'.repeat(900), `x ${letters} y`, ' '.repeat(3000), 'é'.repeat(999)]) {
    const asked = [0, 1, 2, 3, 10, 50, 51, 200, 100000].map((fit) => ({ text, fit }));
    ask(asked).forEach(({ n, fit: bytes }, i) => {
      const head = Buffer.from(text).subarray(0, bytes).toString();
      assert.ok(!head.endsWith('\ufffd'));
      const used = reference(head);
      assert.ok(used <= asked[i].fit && used >= Math.min(n, asked[i].fit) - 2, `${used} for ${asked[i].fit}`);
    });
  }
});

/* ---- the file ---------------------------------------------------------------------------------- */

test('2,000 tokens take well under a millisecond', (t) => {
  const cut = (text) => {
    const long = text.repeat(Math.ceil(30000 / text.length));
    const { fit } = ask([{ text: long, fit: 2000 }])[0];
    return Buffer.from(long).subarray(0, fit).toString();
  };
  for (const name of ['English', 'German', 'Russian', 'Chinese', 'Arabic', 'emoji', 'code']) {
    const { n, us } = ask([{ text: cut(`${languages[name]} `), times: 200 }])[0];
    t.diagnostic(`${name}: ${n} tokens in ${us.toFixed(0)} us`);
    assert.ok(n > 1990 && n <= 2000, `${n} tokens`);
    if (build === 'release')
      assert.ok(us < 1000, `${us} us`);
  }
});

test('the table is small, beside the .so and in the package, and a damaged one is refused', () => {
  const bytes = fs.readFileSync(table);
  assert.ok(bytes.length < 5 << 20, `${bytes.length} bytes`);
  assert.ok(bytes.equals(fs.readFileSync(path.join(buildDir, 'openclaw-voice/o200k.bin'))));
  const dir = tmpdir('tokens');
  const refused = (name, content) => {
    const file = path.join(dir, name);
    fs.writeFileSync(file, content);
    const done = spawnSync(program, [file], { input: '', encoding: 'utf8' });
    assert.equal(done.status, 2, name);
    assert.match(done.stderr, /token table .*(damaged|size)/u, name);
  };
  refused('empty', '');
  refused('short', bytes.subarray(0, bytes.length - 1));
  refused('long', Buffer.concat([bytes, Buffer.alloc(1)]));
  for (let i = 0; i < 80; i++) {
    const bad = Buffer.from(bytes);
    bad[i] ^= 1 << (i % 8);
    refused(`header-${i}`, bad);
  }
});
