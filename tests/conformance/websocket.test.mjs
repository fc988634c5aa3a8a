/* SPDX-License-Identifier: MIT */
/*
 * The WebSocket client against a server that breaks the rules of RFC 6455 one at a time, over TCP and over TLS. The
 * groups are those of the well-known test suite for this protocol: 1 framing, 2 pings, 3 reserved bits, 4 opcodes,
 * 5 fragmentation, 6 UTF-8, 7 closing, 9 sizes, 10 many frames; and the opening handshake. The client sends text
 * messages back. It takes binary ones and does nothing with them: the sideband has none.
 */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import { makeCerts } from '../lib/certs.mjs';
import { run } from './cli.mjs';

const TEXT = 1, BINARY = 2, CONT = 0, CLOSE = 8, PING = 9, PONG = 10;
const buf = (v) => (typeof v === 'string' ? Buffer.from(v, 'utf8') : Buffer.from(v));

/** A frame of the server's. form: how many bytes the length takes beyond the first (0, 2, 8); mask: four bytes. */
function frame(op, payload = '', { fin = true, rsv = 0, form, mask, claim } = {}) {
  const data = buf(payload);
  const n = claim ?? data.length;
  const wide = form ?? (n < 126 ? 0 : n < 65536 ? 2 : 8);
  const head = Buffer.alloc(2 + wide);
  head[0] = (fin ? 128 : 0) | rsv << 4 | op;
  head[1] = (mask ? 128 : 0) | (wide === 0 ? n : wide === 2 ? 126 : 127);
  if (wide === 2)
    head.writeUInt16BE(n, 2);
  if (wide === 8)
    head.writeBigUInt64BE(BigInt(n), 2);
  return Buffer.concat(mask ? [head, Buffer.from(mask), data.map((b, i) => b ^ mask[i % 4])] : [head, data]);
}

const code = (n, reason = '') => Buffer.concat([Buffer.from([n >> 8, n & 255]), buf(reason)]);
const part = (op, payload) => frame(op, payload, { fin: false });

/** What the client sent after the handshake: [{op, fin, rsv, masked, mask, data}], and how many bytes are left over. */
function framesOf(bytes) {
  const list = [];
  let at = 0;
  while (bytes.length - at >= 2) {
    const masked = Boolean(bytes[at + 1] & 128);
    let n = bytes[at + 1] & 127;
    let head = 2;
    if (n === 126) {
      if (bytes.length - at < 4)
        break;
      n = bytes.readUInt16BE(at + 2);
      head = 4;
    } else if (n === 127) {
      if (bytes.length - at < 10)
        break;
      n = Number(bytes.readBigUInt64BE(at + 2));
      head = 10;
    }
    const end = at + head + (masked ? 4 : 0) + n;
    if (bytes.length < end)
      break;
    const mask = masked ? bytes.subarray(at + head, at + head + 4) : null;
    const body = bytes.subarray(end - n, end);
    list.push({ op: bytes[at] & 15, fin: Boolean(bytes[at] & 128), rsv: bytes[at] >> 4 & 7, masked, mask: mask?.toString('hex'),
      shortest: n > 65535 ? head === 10 : n > 125 ? head === 4 : head === 2,
      data: masked ? Buffer.from(body.map((b, i) => b ^ mask[i & 3])) : body });
    at = end;
  }
  return { list, rest: bytes.length - at };
}

/* ---- The cases ---- */

const cases = [];
/**
 * send: what the server sends. echo: messages that must come back, in order. fails: the close code by which the
 * client fails the connection; else it must answer our closing. pongs: payloads of pongs, in order. last: the code
 * of our close frame (null: send is closed by the case itself). pieces: bytes of one write.
 */
const add = (group, name, send, more = {}) => cases.push({ group, name, send: Buffer.concat([].concat(send)), echo: [], ...more });
const good = (group, name, send, echo, more) => add(group, name, send, { echo: [].concat(echo), ...more });
const bad = (group, name, send, fails, more) => add(group, name, send, { fails, ...more });

for (const n of [0, 1, 125, 126, 127, 128, 65535, 65536]) {
  good('1 framing', `text of ${n} bytes`, frame(TEXT, '*'.repeat(n)), '*'.repeat(n));
  good('1 framing', `binary of ${n} bytes, and a text behind it`, [frame(BINARY, Buffer.alloc(n, 254)), frame(TEXT, 'x')], 'x');
}
good('1 framing', 'text of 65536 bytes in pieces of 997', frame(TEXT, 'p'.repeat(65536)), 'p'.repeat(65536), { pieces: 997 });
bad('1 framing', 'a length that could be shorter, 16 bit', frame(TEXT, 'abc', { form: 2 }), 1002);
bad('1 framing', 'a length that could be shorter, 64 bit', frame(TEXT, 'abc', { form: 8 }), 1002);
bad('1 framing', 'a length with its highest bit', Buffer.from([0x81, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 1, 0x61]), 1002);
bad('1 framing', 'a masked frame from the server', frame(TEXT, 'abc', { mask: [1, 2, 3, 4] }), 1002);
bad('1 framing', 'a masked empty frame', frame(TEXT, '', { mask: [0, 0, 0, 0] }), 1002);

for (const [name, payload] of [['empty', ''], ['with text', 'Hello'], ['with bytes', Buffer.from([0, 255, 254, 0])], ['of 125 bytes', Buffer.alloc(125, 0xfe)]])
  add('2 pings', `a ping ${name}`, frame(PING, payload), { pongs: [buf(payload)] });
bad('2 pings', 'a ping of 126 bytes', frame(PING, Buffer.alloc(126, 1)), 1002);
add('2 pings', 'a ping in single bytes', frame(PING, Buffer.alloc(125, 7)), { pongs: [Buffer.alloc(125, 7)], pieces: 1 });
add('2 pings', 'a pong nobody asked for', frame(PONG, ''));
add('2 pings', 'a pong with a payload', frame(PONG, 'unsolicited'));
add('2 pings', 'a pong, then a ping', [frame(PONG, 'x'), frame(PING, 'ping')], { pongs: [buf('ping')] });
const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
add('2 pings', 'ten pings', ten.map((p) => frame(PING, p)), { pongs: ten.map(buf) });
add('2 pings', 'ten pings in single bytes', ten.map((p) => frame(PING, p)), { pongs: ten.map(buf), pieces: 1 });

for (let rsv = 1; rsv < 8; rsv += 1)
  bad('3 reserved bits', `bits ${rsv} on a text`, [frame(TEXT, 'good'), frame(TEXT, 'x', { rsv })], 1002, { echo: ['good'] });
bad('3 reserved bits', 'on a ping', frame(PING, 'x', { rsv: 1 }), 1002);
bad('3 reserved bits', 'on a close', frame(CLOSE, '', { rsv: 7 }), 1002);
bad('3 reserved bits', 'on a binary in single bytes', frame(BINARY, 'xyz', { rsv: 4 }), 1002, { pieces: 1 });
bad('3 reserved bits', 'on a continuation', [part(TEXT, 'a'), frame(CONT, 'b', { rsv: 2 })], 1002);

for (const op of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
  bad('4 opcodes', `${op} empty`, frame(op), 1002);
  bad('4 opcodes', `${op} behind a text, with a payload`, [frame(TEXT, 'first'), frame(op, 'x'), frame(PING)], 1002, { echo: ['first'] });
}

bad('5 fragmentation', 'a ping in two frames', [part(PING, 'a'), frame(CONT, 'b')], 1002);
bad('5 fragmentation', 'a pong in two frames', [part(PONG, 'a'), frame(CONT, 'b')], 1002);
bad('5 fragmentation', 'a close in two frames', [part(CLOSE, code(1000)), frame(CONT, '')], 1002);
for (const pieces of [undefined, 1]) {
  const how = pieces ? ', in single bytes' : '';
  good('5 fragmentation', `a text in two frames${how}`, [part(TEXT, 'frag1'), frame(CONT, 'frag2')], 'frag1frag2', { pieces });
  good('5 fragmentation', `with a ping between${how}`, [part(TEXT, 'a'), frame(PING, 'p'), frame(CONT, 'b')], 'ab', { pieces, pongs: [buf('p')] });
  good('5 fragmentation', `with pings between five${how}`, [part(TEXT, '1'), part(CONT, '2'), frame(PING, 'x'), part(CONT, '3'), part(CONT, '4'),
    frame(PING, 'y'), frame(CONT, '5')], '12345', { pieces, pongs: [buf('x'), buf('y')] });
}
good('5 fragmentation', 'all parts empty', [part(TEXT, ''), part(CONT, ''), frame(CONT, '')], '');
good('5 fragmentation', 'the middle alone has something', [part(TEXT, ''), part(CONT, 'mid'), frame(CONT, '')], 'mid');
bad('5 fragmentation', 'a continuation with nothing to go on', frame(CONT, 'x'), 1002);
bad('5 fragmentation', 'an open continuation with nothing to go on', [part(CONT, 'x'), frame(TEXT, 'y')], 1002);
bad('5 fragmentation', 'a continuation after the end', [part(TEXT, 'a'), frame(CONT, 'b'), frame(CONT, 'c')], 1002, { echo: ['ab'] });
bad('5 fragmentation', 'a text inside a text', [part(TEXT, 'a'), frame(TEXT, 'b')], 1002);
bad('5 fragmentation', 'a binary inside a text', [part(TEXT, 'a'), frame(BINARY, 'b')], 1002);
good('5 fragmentation', 'a hundred parts', [part(TEXT, ''), ...Array.from({ length: 98 }, (_, i) => part(CONT, `${i},`)), frame(CONT, '.')],
  `${Array.from({ length: 98 }, (_, i) => `${i},`).join('')}.`);
good('5 fragmentation', 'a binary in parts is not told, a text after it is', [part(BINARY, [1]), frame(CONT, [2]), frame(TEXT, 't')], 't');

/* Text, as good and bad sequences of bytes; each in one frame, split at every byte, and as single bytes on the wire. */
const goodUtf8 = ['Hello-µ@ßöäüàá-UTF-8!!', 'κόσμε', '\u0000', '\u0080', '\u0800', '\u{10000}', '\u007f', '\u07ff', '\uffff', '\u{10ffff}',
  '\ud7ff', '\ue000', '\ufffd', '\ufffe\uffff', '\u{1fffe}\u{2ffff}', '\ufeff', '😀👩‍👧', '\u0800\u0fff\u1000\ucfff\ud000', '\u{3ffff}\u{40000}\u{fffff}\u{100000}'];
for (const text of goodUtf8) {
  const bytes = buf(text);
  good('6 UTF-8', `good ${bytes.toString('hex').slice(0, 24)}`, frame(TEXT, text), text);
  good('6 UTF-8', `good ${bytes.toString('hex').slice(0, 24)}, a frame a byte`,
    Array.from(bytes, (b, i) => frame(i ? CONT : TEXT, [b], { fin: i === bytes.length - 1 })), text);
}
const badUtf8 = ['cebae1bdb9cf83cebcceb5eda080656469746564', 'c0', 'c1', 'f5', 'f8', 'fc', 'fe', 'ff', '80', 'bf', '8080', '80bf80', 'c3', 'c328', 'a0a1', 'e28281e282',
  'e2', 'e282', 'e228a1', 'e28228', 'f0', 'f09f', 'f09f98', 'f0288cbc', 'f09028bc', 'f0908c28', 'f8a1a1a1a1', 'fca1a1a1a1a1', 'c080', 'c1bf', 'e08080', 'e09fbf',
  'f0808080', 'f08fbfbf', 'f8808080af', 'f4908080', 'f7bfbfbf', 'f888808080', 'eda080', 'edadbf', 'edaebf', 'edafbf', 'edb080', 'edbe80', 'edbfbf', 'eda080edb080',
  '61c3', '61ff62', 'cebaff'];
for (const hex of badUtf8) {
  const bytes = Buffer.from(hex, 'hex');
  bad('6 UTF-8', `bad ${hex}`, frame(TEXT, bytes), 1007);
  bad('6 UTF-8', `bad ${hex} within text`, frame(TEXT, Buffer.concat([buf('ok '), bytes, buf(' ok')])), 1007);
  if (bytes.length > 1)
    bad('6 UTF-8', `bad ${hex}, a frame a byte`, Array.from(bytes, (b, i) => frame(i ? CONT : TEXT, [b], { fin: i === bytes.length - 1 })), 1007);
}
/* Fail fast: what can no more become good is refused before the message ends. */
bad('6 UTF-8', 'refused in the first part, the rest never comes', part(TEXT, Buffer.from('cebaff', 'hex')), 1007);
bad('6 UTF-8', 'refused in the second part', [part(TEXT, 'fine '), part(CONT, Buffer.from('f4908080', 'hex'))], 1007);
bad('6 UTF-8', 'refused when the second byte of four says so', [part(TEXT, [0xf4]), part(CONT, [0x90])], 1007);
bad('6 UTF-8', 'a surrogate is known by its second byte', [part(TEXT, [0xed]), part(CONT, [0xa0])], 1007);
good('6 UTF-8', 'a character with a ping inside', [part(TEXT, [0xf0, 0x9f]), frame(PING, 'x'), frame(CONT, [0x98, 0x80])], '😀', { pongs: [buf('x')] });
add('6 UTF-8', 'binary may be anything', frame(BINARY, Buffer.from('ff80c0', 'hex')));

good('7 closing', 'a text, then a close', [frame(TEXT, 'bye'), frame(CLOSE, code(1000))], 'bye', { last: null, answers: 1000 });
add('7 closing', 'two closes', [frame(CLOSE, code(1000)), frame(CLOSE, code(1000))], { last: null, answers: 1000 });
add('7 closing', 'a ping after the close', [frame(CLOSE, code(1000)), frame(PING, 'late')], { last: null, answers: 1000, pongs: [] });
add('7 closing', 'a text after the close is not told', [frame(CLOSE, code(1000)), frame(TEXT, 'late')], { last: null, answers: 1000 });
add('7 closing', 'a close inside a fragmented text', [part(TEXT, 'a'), frame(CLOSE, code(1000)), frame(CONT, 'b')], { last: null, answers: 1000 });
add('7 closing', 'a large text, then a close', [frame(TEXT, 'x'.repeat(262144)), frame(CLOSE, code(1000))], { last: null, answers: 1000, echo: ['x'.repeat(262144)] });
add('7 closing', 'without a code', frame(CLOSE), { last: null, answers: null });
bad('7 closing', 'with half a code', frame(CLOSE, [3]), 1002, { last: null });
add('7 closing', 'with a reason', frame(CLOSE, code(1000, 'Hello World! €')), { last: null, answers: 1000 });
add('7 closing', 'with a reason of 123 bytes', frame(CLOSE, code(1000, '*'.repeat(123))), { last: null, answers: 1000 });
bad('7 closing', 'with a reason of 124 bytes', frame(CLOSE, code(1000, '*'.repeat(124))), 1002, { last: null });
bad('7 closing', 'with a reason that is no UTF-8', frame(CLOSE, code(1000, Buffer.from('cebaff', 'hex'))), 1007, { last: null });
bad('7 closing', 'with a reason that is cut', frame(CLOSE, code(1000, Buffer.from('e282', 'hex'))), 1007, { last: null });
for (const n of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
  add('7 closing', `code ${n}`, frame(CLOSE, code(n)), { last: null, answers: n });
for (const n of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535])
  bad('7 closing', `code ${n}`, frame(CLOSE, code(n)), 1002, { last: null });

for (const kib of [64, 256, 1024, 4096]) {
  const text = 'BAsd7&jh23'.repeat(kib * 103).slice(0, kib * 1024);
  good('9 sizes', `a text of ${kib} KiB`, frame(TEXT, text), text);
  const step = Math.ceil(text.length / 64);
  good('9 sizes', `a text of ${kib} KiB in 64 parts`, Array.from({ length: 64 }, (_, i) =>
    frame(i ? CONT : TEXT, text.slice(i * step, (i + 1) * step), { fin: i === 63 })), text);
}
good('9 sizes', 'a text of 64 KiB in pieces of 64 bytes', frame(TEXT, 'z'.repeat(65536)), 'z'.repeat(65536), { pieces: 64 });
bad('9 sizes', 'a frame over the limit, refused by its head', frame(TEXT, 'a', { claim: 64 << 20, form: 8 }), 1009);
bad('9 sizes', 'a frame of 2^62 bytes', Buffer.from([0x81, 0x7f, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x61]), 1009);
bad('9 sizes', 'parts over the limit together', [...Array.from({ length: 6 }, (_, i) => part(i ? CONT : TEXT, Buffer.alloc(4 << 20, 97)))], 1009);

good('10 many', 'a thousand texts', Array.from({ length: 1000 }, (_, i) => frame(TEXT, `message ${i}`)), Array.from({ length: 1000 }, (_, i) => `message ${i}`));
good('10 many', 'a text of 1 MiB in parts of 1300 bytes', (() => {
  const text = 'q'.repeat(1 << 20);
  const list = [];
  for (let at = 0; at < text.length; at += 1300)
    list.push(frame(at ? CONT : TEXT, text.slice(at, at + 1300), { fin: at + 1300 >= text.length }));
  return list;
})(), 'q'.repeat(1 << 20));

/* The handshake (4.1, 4.2.2): what is wrong with the answer, and what the client must make of it. */
const accept = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const answer = (key, change = (lines) => lines, status = '101 Switching Protocols') =>
  `HTTP/1.1 ${status}\r\n${change(['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept(key)}`]).join('\r\n')}\r\n\r\n`;
const without = (name) => (lines) => lines.filter((l) => !l.startsWith(name));
const shakes = {
  'no Upgrade': (k) => answer(k, without('Upgrade')), 'no Connection': (k) => answer(k, without('Connection')),
  'no accept key': (k) => answer(k, without('Sec-')), 'a wrong accept key': (k) => answer(`${k}x`),
  'two accept keys': (k) => answer(k, (l) => [...l, l[2]]),
  'another upgrade': (k) => answer(k, (l) => ['Upgrade: h2c', ...without('Upgrade')(l)]),
  'an extension nobody asked for': (k) => answer(k, (l) => [...l, 'Sec-WebSocket-Extensions: permessage-deflate']),
  'a subprotocol nobody asked for': (k) => answer(k, (l) => [...l, 'Sec-WebSocket-Protocol: chat']),
  'status 200': (k) => answer(k, undefined, '200 OK'), 'status 401': () => 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n',
  'status 302': () => 'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.0': (k) => answer(k).replace('HTTP/1.1', 'HTTP/1.0'), 'no HTTP': () => 'hello\r\n\r\n', 'bare line feeds': (k) => answer(k).replaceAll('\r\n', '\n'),
  'a header that is folded': (k) => answer(k, (l) => ['X: a', ' b', ...l]), 'endless': () => `HTTP/1.1 101 S\r\nX: ${'y'.repeat(100000)}`,
};
for (const [name, make] of Object.entries(shakes))
  cases.push({ group: 'handshake', name, shake: make, refused: true, send: Buffer.alloc(0), echo: [] });
for (const [name, change] of Object.entries({ 'names in any case': (l) => l.map((x) => x.replace(/^[^:]+/, (h) => h.toUpperCase())),
  'the token in any case': (l) => [l[0].replace('websocket', 'WebSocket'), 'connection: keep-alive, uPGRADE', l[2]], 'further headers': (l) => ['Server: x', ...l, 'Date: now'] }))
  good('handshake', name, frame(TEXT, 'after'), 'after', { shake: (k) => answer(k, change) });
good('handshake', 'a frame in the same segment', frame(TEXT, 'early'), 'early', { together: true });

/* ---- The server ---- */

/** Tells when a close frame has begun, from bytes as they come. */
function closeWatch() {
  let skip = 0;
  let head = Buffer.alloc(0);
  return (data) => {
    let found = false;
    for (let at = 0; at < data.length;) {
      if (skip > 0) {
        const n = Math.min(skip, data.length - at);
        skip -= n;
        at += n;
        continue;
      }
      head = Buffer.concat([head, data.subarray(at, at + 1)]);
      at += 1;
      const kind = head.length > 1 ? head[1] & 127 : 0;
      if (head.length < 2 || head.length < (kind < 126 ? 2 : kind === 126 ? 4 : 10))
        continue;
      found ||= (head[0] & 15) === CLOSE;
      skip = (kind < 126 ? kind : kind === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2))) + (head[1] & 128 ? 4 : 0);
      head = Buffer.alloc(0);
    }
    return found;
  };
}

function serve(socket, seen) {
  let bytes = Buffer.alloc(0);
  let c = null;
  const rec = { request: '', bytes: [], closing: closeWatch() };
  socket.on('error', () => {});
  socket.setNoDelay(true);
  const speak = async () => {
    const last = c.last === null || c.fails || c.refused ? [] : [frame(CLOSE, code(c.last ?? 1000))];
    const all = Buffer.concat([c.send, ...last]);
    for (let at = 0; at < all.length && !socket.destroyed; at += c.pieces ?? all.length) {
      socket.write(all.subarray(at, at + (c.pieces ?? all.length)));
      if (c.pieces)
        await new Promise((r) => { setImmediate(r); });
    }
  };
  socket.on('data', (data) => {
    if (c) {
      rec.bytes.push(data);
      if (rec.closing(data))
        socket.end(); // the server closes first (7.1.1)
      return;
    }
    bytes = Buffer.concat([bytes, data]);
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0)
      return;
    rec.request = bytes.toString('latin1', 0, end);
    const nth = Number(/^GET \/(\d+) /.exec(rec.request)?.[1]);
    c = cases[nth];
    seen[nth] = rec;
    const key = /^sec-websocket-key: *(\S+)/im.exec(rec.request)?.[1] ?? '';
    const hello = (c.shake ?? answer)(key);
    if (c.together) {
      socket.write(Buffer.concat([buf(hello), c.send, frame(CLOSE, code(1000))]));
      return;
    }
    socket.write(hello);
    if (c.refused)
      setTimeout(() => socket.end(), 200);
    else
      speak();
  });
}

for (const how of ['tcp', 'tls']) {
  describe(`over ${how}`, () => {
    const seen = [];
    const told = [];
    let server;

    before(async () => {
      const certs = how === 'tls' ? makeCerts() : null;
      server = certs ? tls.createServer({ cert: certs.server.cert, key: certs.server.key }, (s) => serve(s, seen))
        : net.createServer((s) => serve(s, seen));
      server.on('tlsClientError', () => {});
      await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
      const base = `${certs ? 'wss' : 'ws'}://127.0.0.1:${server.address().port}`;
      const lines = await run('ws_cli', [base, String(cases.length), ...(certs ? [certs.caFile] : [])]);
      assert.deepEqual(lines.at(-1), { end: 0 });
      lines.slice(0, -1).forEach((l) => { told[l.case] = l; });
    });
    after(() => server.close());

    const groups = [...new Set(cases.map((c) => c.group))];
    for (const group of groups) {
      test(group, () => {
        cases.forEach((c, nth) => c.group === group && judge(c, seen[nth], told[nth]));
      });
    }

    test('the request and the masks', () => {
      const keys = new Set();
      const masks = [];
      seen.forEach((rec) => {
        const lines = rec.request.split('\r\n');
        const header = (name) => lines.filter((l) => l.toLowerCase().startsWith(`${name}:`)).map((l) => l.slice(name.length + 1).trim());
        assert.match(lines[0], /^GET \/\d+ HTTP\/1\.1$/);
        assert.deepEqual(header('upgrade').map((v) => v.toLowerCase()), ['websocket']);
        assert.match(header('connection').join(), /upgrade/i);
        assert.deepEqual(header('sec-websocket-version'), ['13']);
        assert.equal(header('host').length, 1);
        assert.deepEqual(header('sec-websocket-extensions'), []);
        assert.equal(Buffer.from(header('sec-websocket-key')[0], 'base64').length, 16);
        keys.add(header('sec-websocket-key')[0]);
        masks.push(...framesOf(Buffer.concat(rec.bytes)).list.map((f) => f.mask));
      });
      assert.equal(keys.size, cases.length, 'a key is never used twice');
      assert.ok(masks.length > 1400 && new Set(masks).size > masks.length - 5, `${new Set(masks).size} masks in ${masks.length} frames`);
    });
  });
}

function judge(c, rec, told) {
  const what = `${c.group}: ${c.name}`;
  assert.ok(rec && told, `${what}: it was tried, and ended`);
  const { list, rest } = framesOf(Buffer.concat(rec.bytes));
  if (c.refused) {
    assert.equal(told.opened, false, what);
    assert.equal(list.length, 0, `${what}: nothing was sent`);
    return;
  }
  assert.equal(told.opened, true, `${what}: ${told.text}`);
  assert.equal(rest, 0, `${what}: whole frames`);
  for (const f of list) {
    assert.ok(f.masked && f.fin && f.rsv === 0 && f.shortest, `${what}: a frame by the rules`);
    assert.ok(f.op === TEXT || (f.op >= CLOSE && f.data.length < 126), `${what}: opcode ${f.op}`);
  }
  /* When it fails the connection it need not say what came before; if it does, then in order. */
  const echo = list.filter((f) => f.op === TEXT).map((f) => String(f.data));
  assert.deepEqual(echo.map((t) => t.slice(0, 200)), c.echo.map((t) => t.slice(0, 200)), `${what}: messages`);
  assert.ok(echo.every((t, i) => t === c.echo[i]), `${what}: messages`);
  if (c.pongs)
    assert.deepEqual(list.filter((f) => f.op === PONG).map((f) => f.data.toString('hex')), c.pongs.map((p) => p.toString('hex')), `${what}: pongs`);
  const closes = list.filter((f) => f.op === CLOSE);
  assert.equal(closes.length, 1, `${what}: one close frame (${told.text})`);
  assert.equal(list.at(-1), closes[0], `${what}: nothing behind it`);
  const said = closes[0].data.length >= 2 ? closes[0].data.readUInt16BE(0) : null;
  if (c.fails) {
    assert.equal(said, c.fails, `${what}: ${told.text}`);
    assert.ok(told.err < 0, `${what}: told as a fault`);
  } else {
    const expected = c.answers === undefined ? c.last ?? 1000 : c.answers;
    assert.ok(said === expected || (said === 1000 && expected !== 1000) || (expected === null && said === 1000),
      `${what}: answered ${said} to ${expected}`);
    assert.equal(told.ws_code, expected ?? 1005, `${what}: the code is told`);
  }
}
