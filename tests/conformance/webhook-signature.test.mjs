/* SPDX-License-Identifier: MIT */
/*
 * The webhook verifier against two others: npm `openai` (what the sender's own SDK takes) and npm
 * `standardwebhooks` (the specification's). A case names who takes it; where ours is stricter than
 * one of them on purpose, the case says why. Never is it looser: that is also tried with damaged
 * headers.
 */
import test, { mock } from 'node:test';
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import { ask } from './cli.mjs';

const now = 1795415424;
const id = 'wh_68512fc5c1b08190a6e2e7ef1a3b7c55';
const body = '{"object":"event","id":"evt_1","type":"realtime.call.incoming",' +
  '"data":{"call_id":"rtc_1","sip_headers":[{"name":"From","value":"Zoë <sip:+15551234567@h>"}]}}';
const secret = `whsec_${Buffer.from('a key of twenty-four byt').toString('base64')}`;
const other = `whsec_${Buffer.from('quite another secret ...').toString('base64')}`;
const raw = 'a secret without its prefix';

function key(of) {
  return of.startsWith('whsec_') ? Buffer.from(of.slice(6), 'base64') : Buffer.from(of);
}

const hmac = (of, text) => createHmac('sha256', of).update(text).digest('base64');

/** Independent of all three: base64 of the HMAC. */
function mac(of = secret, { wid = id, at = String(now), text = body } = {}) {
  return createHmac('sha256', key(of)).update(`${wid}.${at}.`).update(text).digest('base64');
}

function good(of, parts) {
  return `v1,${mac(of, parts)}`;
}

function headersOf(c) {
  const h = { 'webhook-id': c.id ?? id, 'webhook-timestamp': c.at ?? String(now),
    'webhook-signature': c.sig ?? good() };
  (c.without ?? []).forEach((name) => delete h[name]);
  return h;
}

const padded = mac();
const urlSafe = (text) => text.replaceAll('+', '-').replaceAll('/', '_');
/* A body whose signature has characters in which base64 and base64url differ. */
const urlBody = [...Array(200).keys()].map(String)
  .find((text) => /[+/]/.test(mac(secret, { text })));

/*
 * ours: good, missing, stale, bad. openai and standard: whether they take it; when left out, as
 * ours. why: where they do not agree with ours.
 */
const table = [
  { name: 'as it should be', ours: 'good' },
  { name: 'an empty body', body: '', sig: good(secret, { text: '' }), ours: 'good' },
  { name: 'a body of other bytes', sig: good(secret, { text: `${body} ` }), ours: 'bad' },
  { name: 'one byte changed', body: body.replace('rtc_1', 'rtc_2'), ours: 'bad' },
  { name: 'another secret', sig: good(other), ours: 'bad' },
  { name: 'a raw secret', secrets: [raw], sig: good(raw), ours: 'good' },
  { name: 'the raw text of a prefixed secret as key',
    sig: `v1,${hmac(secret, `${id}.${now}.${body}`)}`, ours: 'bad' },
  { name: 'the first of two secrets', secrets: [secret, other], ours: 'good' },
  { name: 'the second of two secrets', secrets: [other, secret], ours: 'good' },
  { name: 'neither of two secrets', secrets: [other, raw], ours: 'bad' },

  { name: 'the second of two signatures', sig: `${good(other)} ${good()}`, ours: 'good' },
  { name: 'the first of two signatures', sig: `${good()} ${good(other)}`, ours: 'good' },
  { name: 'two wrong signatures', sig: `${good(other)} ${good(raw)}`, ours: 'bad' },
  { name: 'a later version beside ours', sig: `v1a,AAAA ${good()}`, ours: 'good' },
  { name: 'two blanks between', sig: `${good(other)}  ${good()}`, ours: 'good' },
  { name: 'the 32nd of 32', sig: `${`${good(other)} `.repeat(31)}${good()}`, ours: 'good' },
  { name: 'the 33rd of 33', sig: `${`${good(other)} `.repeat(32)}${good()}`, ours: 'bad',
    openai: true, standard: true, why: 'nobody sends so many; the work is bounded at 32' },
  { name: 'no version', sig: mac(), ours: 'bad', openai: true,
    why: 'the specification wants v1,' },
  { name: 'another version', sig: `v2,${mac()}`, ours: 'bad' },
  { name: 'the version in upper case', sig: `V1,${mac()}`, ours: 'bad' },
  { name: 'the version alone', sig: 'v1,', ours: 'bad' },
  { name: 'no comma', sig: `v1${mac()}`, ours: 'bad' },
  { name: 'something behind it', sig: `${good()},x`, ours: 'bad', openai: true, standard: true,
    why: 'it is no signature as the sender makes them' },
  { name: 'no padding', sig: good().replace(/=+$/, ''), ours: 'bad', openai: true,
    why: 'the sender pads' },
  { name: 'base64url', body: urlBody, sig: `v1,${urlSafe(mac(secret, { text: urlBody }))}`,
    ours: 'bad', openai: true, why: 'the sender uses plain base64' },
  { name: 'half of it', sig: `v1,${padded.slice(0, 22)}`, ours: 'bad' },
  { name: 'hexadecimal', sig: `v1,${Buffer.from(padded, 'base64').toString('hex')}`, ours: 'bad' },
  { name: 'a zero hash', sig: `v1,${Buffer.alloc(32).toString('base64')}`, ours: 'bad' },

  { name: '300 s old', at: String(now - 300), sign: true, ours: 'good' },
  { name: '301 s old', at: String(now - 301), sign: true, ours: 'stale' },
  { name: '300 s ahead', at: String(now + 300), sign: true, ours: 'good' },
  { name: '301 s ahead', at: String(now + 301), sign: true, ours: 'stale' },
  { name: 'of 1970', at: '0', sign: true, ours: 'stale' },
  { name: 'far ahead', at: '9999999999999', sign: true, ours: 'stale' },
  { name: 'a time of 25 digits', at: '1'.repeat(25), sign: true, ours: 'missing' },
  { name: 'another time than signed', at: String(now - 1), sig: good(), ours: 'bad' },
  { name: 'a time with a tail', at: `${now}abc`, sign: true, ours: 'missing', openai: true,
    why: 'a time is digits' },
  { name: 'a time with a fraction', at: `${now}.5`, sign: true, ours: 'missing', openai: true,
    why: 'a time is digits' },
  { name: 'a time with a sign', at: `+${now}`, sign: true, ours: 'missing', openai: true,
    why: 'a time is digits' },
  { name: 'a time with a blank', at: ` ${now}`, sign: true, ours: 'missing' },
  { name: 'a time with a tail, signed without', at: `${now}abc`, sig: good(), ours: 'missing',
    standard: true, why: 'a time is digits' },
  { name: 'a time that is a word', at: 'now', sign: true, ours: 'missing' },
  { name: 'a negative time', at: '-1', sign: true, ours: 'missing' },

  { name: 'another id than signed', id: 'wh_other', sig: good(), ours: 'bad' },
  { name: 'id and time glued otherwise', id: `${id}.${now}`, sig: good(), ours: 'bad' },
  { name: 'an empty id', id: '', sig: `v1,${hmac(key(secret), `${now}.${body}`)}`,
    ours: 'missing', openai: true, why: 'without an id nobody can tell a repetition' },
  { name: 'an empty time', at: '', ours: 'missing' },
  { name: 'an empty signature', sig: '', ours: 'missing' },
  { name: 'no id', without: ['webhook-id'], ours: 'missing' },
  { name: 'no time', without: ['webhook-timestamp'], ours: 'missing' },
  { name: 'no signature', without: ['webhook-signature'], ours: 'missing' },
  { name: 'nothing', without: ['webhook-id', 'webhook-timestamp', 'webhook-signature'],
    ours: 'missing' },
].map((c) => (c.sign ? { ...c, sig: good(secret, { at: c.at }) } : c));

function question(c) {
  return { headers: headersOf(c), body_hex: Buffer.from(c.body ?? body).toString('hex'),
    secrets: c.secrets ?? [secret], now };
}

const sdk = new OpenAI({ apiKey: 'unused' });

async function takenBySdk(c) {
  for (const one of c.secrets ?? [secret]) {
    try {
      await sdk.webhooks.verifySignature(c.body ?? body, headersOf(c), one);
      return true;
    } catch {
      /* the next secret may fit */
    }
  }
  return false;
}

function takenByStandard(c) {
  for (const one of c.secrets ?? [secret]) {
    const hook = one.startsWith('whsec_') ? new Webhook(one) : new Webhook(one, { format: 'raw' });
    try {
      hook.verify(c.body ?? body, headersOf(c), { jsonParse: false });
      return true;
    } catch {
      /* the next secret may fit */
    }
  }
  return false;
}

test.before(() => mock.timers.enable({ apis: ['Date'], now: now * 1000 + 500 }));
test.after(() => mock.timers.reset());

test('good and bad cases are judged as the table says, by all three', async (t) => {
  const answers = ask('sig_cli', table.map(question));
  for (const [i, c] of table.entries())
    await t.test(c.name, async () => {
      const ours = c.ours === 'good';
      assert.equal(answers[i].result, c.ours, answers[i].why);
      assert.equal(await takenBySdk(c), c.openai ?? ours, 'openai');
      assert.equal(takenByStandard(c), c.standard ?? ours, 'standardwebhooks');
      const agreed = (c.openai ?? ours) === ours && (c.standard ?? ours) === ours;
      assert.ok(c.why || agreed, 'no reason given');
      assert.ok(ours || answers[i].why !== '', 'no reason for the log');
    });
});

/* A reproducible sequence of numbers below n. */
function numbers(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
}

function damaged(text, below) {
  const at = below(text.length + 1);
  const c = String.fromCharCode(33 + below(94));
  switch (below(4)) {
    case 0: return text.slice(0, at) + text.slice(at + 1);
    case 1: return text.slice(0, at) + c + text.slice(at);
    case 2: return text.slice(0, at) + c + text.slice(at + 1);
    default: return text.slice(0, at) + text.slice(at, at + 1).repeat(2) + text.slice(at + 1);
  }
}

test('what ours takes, both others take, whatever was damaged', async () => {
  const below = numbers(5);
  const cases = [];
  for (let i = 0; i < 600; i++) {
    const c = { id, at: String(now), sig: i % 2 ? good() : `${good(other)} ${good()}`, body };
    const part = ['id', 'at', 'sig', 'body'][below(4)];
    c[part] = damaged(c[part], below);
    cases.push(c);
  }
  const answers = ask('sig_cli', cases.map(question));
  let taken = 0;
  for (const [i, c] of cases.entries()) {
    if (answers[i].result !== 'good')
      continue;
    taken++;
    assert.ok(await takenBySdk(c), JSON.stringify(c));
    assert.ok(takenByStandard(c), JSON.stringify(c));
  }
  assert.ok(taken > 0 && taken < cases.length, `${taken} of ${cases.length} taken`);
});

test('bytes that are no UTF-8 are signed as they are', () => {
  const bytes = Buffer.from([0x7b, 0xff, 0x00, 0xc3, 0x7d]);
  const q = { ...question({ sig: good(secret, { text: bytes }) }),
    body_hex: bytes.toString('hex') };
  const [same, changed] = ask('sig_cli', [q, { ...q, body_hex: '7bff01c37d' }]);
  assert.equal(same.result, 'good');
  assert.equal(changed.result, 'bad');
});

test('what cannot be a secret is refused', () => {
  const bad = ['', 'short', 'whsec_', 'whsec_!!!!', 'whsec_c2hvcnQ=', `whsec_${'A'.repeat(400)}`,
    `whsec_${Buffer.from('a key of twenty-four by').toString('base64').slice(0, -1)}`];
  const answers = ask('sig_cli', bad.map((one) => ({ ...question({}), secrets: [one] })));
  for (const [i, answer] of answers.entries()) {
    assert.equal(answer.result, 'keys', bad[i]);
    assert.ok(bad[i].length < 12 || !answer.why.includes(bad[i].slice(6)), answer.why);
  }
  const [second] = ask('sig_cli', [{ ...question({}), secrets: [secret, 'short'] }]);
  assert.equal(second.result, 'keys');
  assert.match(second.why, /2/);
});
