/* SPDX-License-Identifier: MIT */
/*
 * Signatures and documents against npm `twilio`: its validator judges each request of the table and hundreds that
 * were damaged as ours does, and its VoiceResponse writes the same documents byte for byte.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import twilio from 'twilio';
import webhooks from 'twilio/lib/webhooks/webhooks.js';
import { ask } from './cli.mjs';
import { belowOf } from '../lib/util.mjs';

const token = '0123456789abcdef0123456789abcdef';
const other = 'fedcba9876543210fedcba9876543210';
const base = 'https://voice.example.com/base/twilio/status';
const type = 'application/x-www-form-urlencoded';
const hmac = (text, key = token) => createHmac('sha1', key).update(text, 'utf8').digest('base64');

/* A form's text as an object, in which a repeated name has an array, as servers hand it to the validator. */
function objectOf(body) {
  const out = Object.create(null);
  for (const [name, value] of new URLSearchParams(body))
    out[name] = name in out ? [out[name], value].flat() : value;
  return out;
}

const formOf = (fields) => fields.map(([n, v]) => `${encodeURIComponent(n)}=${encodeURIComponent(v)}`).join('&');
const hashed = (url, body) => `${url}${url.includes('?') ? '&' : '?'}bodySHA256=${webhooks.getExpectedBodyHash(body)}`;

/** What the library makes of a request, with any of the tokens. */
function taken(c) {
  const isForm = /^application\/x-www-form-urlencoded/i.test(c.type);
  return c.tokens.some((one) => (c.url.indexOf('bodySHA256') > 0
    ? webhooks.validateRequestWithBody(one, c.signature, c.url, c.body)
    : webhooks.validateRequest(one, c.signature, c.url, isForm ? objectOf(c.body) : {})));
}

const typical = [['CallSid', 'CA1234567890abcdef1234567890abcdef'], ['Caller', '+14158675309'], ['Digits', '1234'],
  ['From', '+14158675309'], ['To', '+18005551212'], ['CallStatus', 'in-progress'], ['SequenceNumber', '2']];
const forms = {
  'a status': typical,
  'none': [],
  'one field': [['a', '1']],
  'an empty value': [['A', ''], ['b', '1'], ['a', '']],
  'names in two cases': [['b', '1'], ['B', '2'], ['a', '3'], ['A', '4'], ['_', '5'], ['0', '6']],
  'a name that begins another': [['a', 'b'], ['ab', ''], ['aa', 'x'], ['a ', 'y'], ['a-', 'z']],
  'repeated': [['e', 'z'], ['e', 'a'], ['e', 'z'], ['d', '1']],
  'repeated with numbers': [['e', '10'], ['e', '9'], ['e', '1'], ['e', '']],
  'characters of all kinds': [['n & m', 'x=y&z+%20 "\'<>'], ['ä€', '😀 ß'], ['line', 'a\r\nb\tc']],
  'repeated above and below the surrogates': [['k', '\u{1F600}'], ['k', '\uE000'], ['k', '\uFFFD'], ['k', 'z'],
    ['\u{10000}', '1'], ['\uFF5E', '2'], ['\uE001', '3'], ['\uD7FF', '4']],
  'long': [...Array(120).keys()].map((i) => [`SipHeader_X-${i}`, 'v'.repeat(i)]),
};
const urls = [
  base, `${base}?ref=0123456789abcdef&party=caller&n=1`, 'https://voice.example.com/', 'https://voice.example.com',
  'https://voice.example.com?x=1', 'http://voice.example.com/a', 'http://voice.example.com:80/a?b',
  'https://voice.example.com:443/a', 'https://voice.example.com:8443/a?b=c', 'https://Voice.Example.com/A?B=C',
  'https://127.0.0.1:8080/a', 'https://[::1]/a', 'https://[::1]:8443/a?x=[1]', `${base}?a=b%20c&d=e+f&g=%C3%A4`,
  `${base}?name=O'Brien&x="<>"`, `${base}?a=1&b=2&a=3&=4&c&&d=`, `${base}?party=a|b^c\`d{e}`, `${base}/it's"<a>\`{b}|c^`,
  `${base}?a=ä€😀`, `${base}/ä`, `${base}?`, `${base}?a=%zz`, `${base}?q=(a)*!~.-_/:;,@$`, `${base}?a=b/c?d=e`,
];

/* The forms of a URL that a signer may sign, as the library knows them. */
function candidates(url) {
  const parts = /^([a-z]+:\/\/)([^/?#]*)([^]*)$/i.exec(url);
  const withPort = (u) => {
    const [, scheme, authority, rest] = /^([a-z]+:\/\/)([^/?#]*)([^]*)$/i.exec(u);
    return /:\d+$/.test(authority) ? u : `${scheme}${authority}:${/^https/i.test(scheme) ? 443 : 80}${rest}`;
  };
  const normal = new URL(url).toString();
  return [...new Set([url, withPort(url), `${parts[1]}${parts[2].replace(/:\d+$/, '')}${parts[3]}`, normal,
    withPort(normal)])];
}

function judged(cases) {
  const answers = ask('carrier_cli', cases.map((c, i) => ({ id: i, sig: c })));
  return cases.map((c, i) => {
    assert.equal(answers[i].id, i);
    assert.match(answers[i].result, /^(ok|denied)$/);
    return { ...c, ours: answers[i].result === 'ok', theirs: taken(c) };
  });
}

function assertAgreed(cases) {
  const told = judged(cases);
  for (const c of told)
    assert.equal(c.ours, c.theirs, JSON.stringify(c));
  return { good: told.filter((c) => c.ours).length, bad: told.filter((c) => !c.ours).length };
}

/* All URLs in all forms that may be signed, with all bodies, rightly and wrongly signed. */
function wideTable() {
  const cases = [];
  for (const url of urls)
    for (const fields of Object.values(forms)) {
      const body = formOf(fields);
      for (const signed of candidates(url)) {
        const signature = webhooks.getExpectedTwilioSignature(token, signed, objectOf(body));
        cases.push({ tokens: [token], url, type, body, signature });
      }
      cases.push({ tokens: [token], url, type, body,
        signature: webhooks.getExpectedTwilioSignature(other, url, objectOf(body)) });
    }
  return cases;
}

test('hundreds of forms are judged as by npm twilio', () => {
  const { good, bad } = assertAgreed(wideTable());
  assert.ok(good > 500 && bad > 200, `${good} good, ${bad} bad`);
});

test('signers that write the query anew are understood', () => {
  const cases = [`${base}?name=O'Brien`, `${base}?a=b+c`, `${base}?a=1&b=2&a=3`, `${base}?a&b`].flatMap((url) => {
    const query = new URLSearchParams(url.split('?')[1]);
    const grouped = [...new Set(query.keys())].flatMap((n) => query.getAll(n).map((v) => `${n}=${encodeURIComponent(v)}`));
    return [`${base}?${grouped.join('&')}`, `${base}?${query}`].map((signed) =>
      ({ tokens: [token], url, type, body: 'a=1', signature: hmac(`${signed}a1`) }));
  });
  const { good } = assertAgreed(cases);
  assert.ok(good >= 5, `${good} good`);
});

test('GET, JSON and several tokens', () => {
  const json = '{"property": "value", "boolean": true}';
  const cases = [];
  for (const url of urls) {
    if (url.includes('%zz') || url.endsWith('?'))
      continue;
    const own = hashed(url, json);
    cases.push({ url, type: '', body: '', signature: hmac(url) });
    cases.push({ url: own, type: 'application/json', body: json, signature: hmac(own) });
    cases.push({ url: own, type: 'application/json', body: `${json} `, signature: hmac(own) });
    cases.push({ url: own, type: 'application/json', body: '', signature: hmac(own) });
    cases.push({ url: own, type, body: 'a=1', signature: hmac(own) });
    cases.push({ url: own, type: 'application/json', body: json, signature: hmac(url) });
    cases.push({ url: own.toUpperCase(), type: 'application/json', body: json, signature: hmac(own) });
  }
  const all = cases.flatMap((c) => [[token], [other, token], [token, other], [other]].map((tokens) => ({ ...c, tokens })));
  const { good, bad } = assertAgreed(all);
  assert.ok(good > 100 && bad > 200, `${good} good, ${bad} bad`);
});

test('an unsigned body is refused, where the library leaves that to its caller', () => {
  const json = '{"a":1}';
  const [answer] = ask('carrier_cli', [{ id: 1, sig: { tokens: [token], url: base, type: 'application/json', body: json,
    signature: hmac(base) } }]);
  assert.equal(answer.result, 'denied');
});

test('what was damaged is refused by both', () => {
  const below = belowOf(9);
  const body = formOf(typical);
  const url = `${base}?ref=0123456789abcdef&party=caller`;
  const signature = webhooks.getExpectedTwilioSignature(token, url, objectOf(body));
  const cases = [];
  for (let i = 0; i < 600; i += 1) {
    const c = { tokens: [token], url, type, body, signature };
    const part = ['url', 'body', 'signature'][below(3)];
    const at = below(c[part].length);
    const letter = 'abcXYZ019_-'[below(11)];
    // Not the URL's scheme and host, which are ours and no input; nothing that is no form.
    if ((part === 'url' && at < 'https://voice.example.com/'.length) || c[part][at] === '%')
      continue;
    c[part] = c[part].slice(0, at) + letter + c[part].slice(at + below(2));
    if (!/%(?![0-9a-f]{2})/i.test(c.body))
      cases.push(c);
  }
  const { good, bad } = assertAgreed(cases);
  assert.ok(bad > 300, `${good} good, ${bad} bad`);
});

/* ---- documents ---- */

const [JOIN, SAY, PAUSE, DIGITS, GATHER, REJECT, HANG_UP] = [0, 1, 2, 3, 4, 5, 6];
const own = 'https://voice.example.com/base';

/* The same steps through the library. */
function written(steps) {
  const response = new twilio.twiml.VoiceResponse();
  const link = (what, params) => {
    const query = Object.entries(params).filter(([, v]) => v).map(([k, v]) => `${k}=${encodeURIComponent(v)}`);
    return `${own}/twilio/${what}${query.length ? '?' : ''}${query.join('&')}`;
  };
  for (const s of steps) {
    if (s.kind === JOIN) {
      response.dial({ action: link('after', { ref: s.ref, party: s.label }),
        ...(s.seconds ? { timeLimit: s.seconds } : {}) }).conference({ beep: 'false', startConferenceOnEnter: true,
        endConferenceOnExit: s.ends_room ?? false, waitUrl: '', participantLabel: s.label,
        statusCallback: link('conference', { ref: s.ref }),
        statusCallbackEvent: 'start end join leave mute hold announcement' }, s.ref);
    } else if (s.kind === SAY) {
      response.say(s.text);
    } else if (s.kind === PAUSE) {
      response.pause({ length: s.seconds });
    } else if (s.kind === DIGITS) {
      response.play({ digits: s.text });
    } else if (s.kind === GATHER) {
      const gather = response.gather({ input: 'dtmf',
        action: link('gather', { ref: s.ref, party: s.label, token: s.token }),
        ...(s.seconds ? { timeout: s.seconds } : {}), ...(s.n ? { numDigits: s.n } : { finishOnKey: '#' }),
        actionOnEmptyResult: true });
      if (s.text)
        gather.say(s.text);
    } else if (s.kind === REJECT) {
      response.reject({ reason: s.busy ? 'busy' : 'rejected' });
    } else {
      response.hangup();
    }
  }
  return response.toString();
}

const ref = '0123456789abcdef0123456789abcdef';
const texts = ['Hello', 'a & b < c > d "e" \'f\'', '</Say><Dial>+15551234567</Dial>', 'ä€😀\u00a0', 'tab\tline\nreturn\r',
  ']]>', '&amp; &#60;', '  two  blanks  ', 'x'.repeat(3000), '\u2028\u007f\u0085'];

test('documents are those that npm twilio writes', () => {
  const cases = [
    [], [{ kind: HANG_UP }], [{ kind: REJECT }], [{ kind: REJECT, busy: true }], [{ kind: PAUSE, seconds: 3 }],
    [{ kind: DIGITS, text: '1w2W#*' }],
    ...texts.map((text) => [{ kind: SAY, text }, { kind: HANG_UP }]),
    ...texts.slice(0, 6).map((text) => [{ kind: GATHER, text, ref, label: 'boss', token: 'act_1', n: 1, seconds: 20 },
      { kind: HANG_UP }]),
    ...['caller', 'a "b" <c> & d', 'ä'].map((label) => [{ kind: JOIN, ref, label, ends_room: label === 'caller' }]),
    [{ kind: GATHER, token: 't' }], [{ kind: SAY, text: 'Wait.' }, { kind: JOIN, ref, label: 'x', seconds: 60 }],
  ];
  const answers = ask('carrier_cli', cases.map((steps, id) => ({ id, twiml: { public: own, steps } })));
  for (const [i, steps] of cases.entries())
    assert.deepEqual(answers[i], { id: i, rc: 'ok', text: written(steps) });
});
