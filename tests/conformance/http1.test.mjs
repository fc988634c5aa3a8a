/* SPDX-License-Identifier: MIT */
/*
 * The HTTP/1.1 server against what two readers could understand differently (RFC 9112; request smuggling), over raw
 * sockets to the running host. What is refused is answered with one status and closed: of the bytes behind it nothing
 * may be taken for a request. Each smuggled request asks for a path that would be answered differently.
 */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { startOpenAI } from '../sim/index.mjs';
import { startHost, voiceConfig } from '../lib/host.mjs';
import { sleep } from '../lib/util.mjs';

let sim, host, port;

before(async () => {
  sim = await startOpenAI();
  host = await startHost({ config: voiceConfig({ openai: sim }) });
  port = Number(new URL(host.url).port);
});
after(async () => {
  await host?.stop();
  await sim?.close();
});

/** Sends bytes (in pieces of `pieces`, if given): {statuses, closed, text}. Ends when closed, or quiet after `want` answers. */
function talk(bytes, { want = 1, pieces, quietMs = 150, limitMs = 8000 } = {}) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    let text = '', quiet = null;
    const finish = (closed) => {
      clearTimeout(quiet);
      clearTimeout(limit);
      socket.destroy();
      resolve({ statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((m) => Number(m[1])), closed, text });
    };
    const limit = setTimeout(() => finish(false), limitMs);
    socket.setNoDelay(true);
    socket.on('data', (data) => {
      text += data.toString('latin1');
      clearTimeout(quiet);
      if ((text.match(/HTTP\/1\.1 \d{3} /g) ?? []).length >= want)
        quiet = setTimeout(() => finish(false), quietMs);
    });
    socket.on('close', () => finish(true));
    socket.on('error', () => {});
    socket.on('connect', async () => {
      const all = Buffer.from(bytes, 'latin1');
      for (let at = 0; at < all.length && !socket.destroyed; at += pieces ?? all.length) {
        socket.write(all.subarray(at, at + (pieces ?? all.length)));
        if (pieces)
          await sleep(0);
      }
    });
  });
}

const H = 'Host: a.example\r\n';
/* Taken for a request, this would be a second answer. */
const HIDDEN = `GET /health HTTP/1.1\r\n${H}\r\n`;
const get = (lines = '', target = '/health') => `GET ${target} HTTP/1.1\r\n${H}${lines}\r\n`;
const post = (lines, body = '') => `POST /nowhere HTTP/1.1\r\n${H}${lines}\r\n${body}`;
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/* Each is answered once, by one of these statuses, and closed; nothing behind it is read. */
const refused = {
  'line ends': [
    ['LF alone behind the request line', `GET /health HTTP/1.1\n${H}\r\n`],
    ['LF alone behind a header', `GET /health HTTP/1.1\r\nHost: a\n\r\n`],
    ['LF alone everywhere', 'GET /health HTTP/1.1\nHost: a\n\n'],
    ['LF alone as the empty line', `GET /health HTTP/1.1\r\n${H}\n`],
    ['CR alone behind the request line', `GET /health HTTP/1.1\r${H}\r\n`],
    ['CR alone inside a value', get('X: a\rb\r\n')],
    ['CR alone at the end of a value', get('X: a\r\r\n')],
    ['CR CR LF', `GET /health HTTP/1.1\r\r\n${H}\r\n`],
    ['LF CR', `GET /health HTTP/1.1\n\r${H}\r\n`],
    ['a CR that hides a header', get('X: a\rContent-Length: 40\r\n')],
    ['an LF that hides a header', get('X: a\nContent-Length: 40\r\n')],
    ['vertical tab and form feed for blanks', 'GET\x0b/health\x0cHTTP/1.1\r\nHost: a\r\n\r\n'],
  ],
  'the request line': [
    ['two blanks', `GET  /health HTTP/1.1\r\n${H}\r\n`], ['a blank before', ` GET /health HTTP/1.1\r\n${H}\r\n`],
    ['a blank behind', `GET /health HTTP/1.1 \r\n${H}\r\n`], ['a tab', `GET\t/health HTTP/1.1\r\n${H}\r\n`],
    ['a blank in the target', `GET /he alth HTTP/1.1\r\n${H}\r\n`], ['no version', `GET /health\r\n${H}\r\n`],
    ['HTTP/0.9', 'GET /health HTTP/0.9\r\n\r\n', [400, 505]], ['HTTP/2.0', `GET /health HTTP/2.0\r\n${H}\r\n`, [400, 505]],
    ['HTTP/1.10', `GET /health HTTP/1.10\r\n${H}\r\n`, [400, 505]], ['HTTP/01.1', `GET /health HTTP/01.1\r\n${H}\r\n`, [400, 505]],
    ['http/1.1', `GET /health http/1.1\r\n${H}\r\n`], ['HTTP/1,1', `GET /health HTTP/1,1\r\n${H}\r\n`, [400, 505]],
    ['a method with a colon', `GE:T /health HTTP/1.1\r\n${H}\r\n`, [400, 501]], ['a method of small letters', `get /health HTTP/1.1\r\n${H}\r\n`, [400, 405, 501]],
    ['an unknown method', `BREW /health HTTP/1.1\r\n${H}\r\n`, [400, 405, 501]], ['a NUL in the target', `GET /he\0alth HTTP/1.1\r\n${H}\r\n`],
    ['a control character in the target', `GET /\x01 HTTP/1.1\r\n${H}\r\n`], ['a fragment', `GET /health#x HTTP/1.1\r\n${H}\r\n`, [400, 401, 404]],
    ['no slash', `GET health HTTP/1.1\r\n${H}\r\n`], ['bytes above 127', `GET /\xe4 HTTP/1.1\r\n${H}\r\n`, [400, 401, 404]],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400, 501, 505]],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'], ['empty lines without end', '\r\n'.repeat(50)],
    ['an endless target', `GET /${'a'.repeat(70000)} HTTP/1.1\r\n${H}\r\n`, [414, 431]],
    ['an endless method', `${'A'.repeat(70000)} / HTTP/1.1\r\n${H}\r\n`, [400, 431, 501]],
  ],
  'headers': [
    ['a blank before the colon', `GET /health HTTP/1.1\r\nHost : a\r\n\r\n`], ['a tab before the colon', get('X\t: a\r\n')],
    ['Content-Length with a blank before the colon', post('Content-Length : 5\r\n', 'hello')],
    ['Transfer-Encoding with a blank before the colon', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n')],
    ['no colon', get('X a\r\n')], ['no name', get(': a\r\n')], ['a blank before the name', get(' X: a\r\n')],
    ['a first header that is folded', `GET /health HTTP/1.1\r\n X: y\r\n${H}\r\n`],
    ['a folded value', get('X: a\r\n b\r\n')], ['a folded value with a tab', get('X: a\r\n\tb\r\n')],
    ['Transfer-Encoding that is folded', post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n')],
    ['Content-Length that is folded', post('Content-Length: 5\r\n 0\r\n', 'hello')],
    ['a NUL in a value', get('X: a\0b\r\n')], ['a NUL in a name', get('X\0: a\r\n')], ['a control character in a value', get('X: a\x01b\r\n')],
    ['DEL in a value', get('X: a\x7fb\r\n')], ['a name with a slash', get('X/Y: a\r\n')], ['a name in brackets', get('(X): a\r\n')],
    ['a name in quotes', get('"X": a\r\n')], ['a name with bytes above 127', get('\xc3\xa4: a\r\n')],
    ['too many', get(Array.from({ length: 200 }, (_, i) => `X${i}: a\r\n`).join('')), [400, 431]],
    ['too long', get(`X: ${'a'.repeat(70000)}\r\n`), [431]], ['a name without end', get(`${'X'.repeat(70000)}: a\r\n`), [400, 431]],
  ],
  'Host': [
    ['missing', 'GET /health HTTP/1.1\r\n\r\n'], ['twice', get('Host: b.example\r\n')], ['twice the same', get(H)],
    ['twice in other case', get('hOST: a.example\r\n')],
  ],
  'lengths': [
    ['two that differ', post('Content-Length: 5\r\nContent-Length: 6\r\n', 'hello')], ['two that agree', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello')],
    ['a list', post('Content-Length: 5, 5\r\n', 'hello')], ['a list that differs', post('Content-Length: 5, 6\r\n', 'hello')],
    ['a sign', post('Content-Length: +5\r\n', 'hello')], ['negative', post('Content-Length: -1\r\n')], ['hexadecimal', post('Content-Length: 0x5\r\n', 'hello')],
    ['octal-like with a letter', post('Content-Length: 5a\r\n', 'hello')], ['empty', post('Content-Length: \r\n')], ['a blank inside', post('Content-Length: 1 0\r\n', 'hello')],
    ['a fraction', post('Content-Length: 5.0\r\n', 'hello')], ['an exponent', post('Content-Length: 5e0\r\n', 'hello')], ['quotes', post('Content-Length: "5"\r\n', 'hello')],
    ['beyond 64 bits', post('Content-Length: 18446744073709551621\r\n', 'hello'), [400, 413]], ['2^64 - 1', post('Content-Length: 18446744073709551615\r\n', 'hello'), [400, 413]],
    ['larger than what is taken', post('Content-Length: 999999999\r\n', 'hello'), [413]], ['digits that are no ASCII', post('Content-Length: \xb2\r\n', 'hello')],
    ['a comma behind', post('Content-Length: 5,\r\n', 'hello')], ['a semicolon', post('Content-Length: 5;\r\n', 'hello')], ['a vertical tab', post('Content-Length: \x0b5\r\n', 'hello')],
  ],
  'codings': [
    ['with a length', post(`Content-Length: 5\r\n${CHUNKED}`, '0\r\n\r\n')], ['before a length', post(`${CHUNKED}Content-Length: 4\r\n`, '0\r\n\r\n')],
    ['twice', post(CHUNKED + CHUNKED, '0\r\n\r\n'), [400, 501]], ['chunked twice', post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'), [400, 501]],
    ['identity', post('Transfer-Encoding: identity\r\n', '0\r\n\r\n'), [400, 501]], ['gzip', post('Transfer-Encoding: gzip\r\n'), [400, 501]],
    ['gzip, chunked', post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), [400, 501]], ['chunked, gzip', post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n'), [400, 501]],
    ['chunked with a parameter', post('Transfer-Encoding: chunked;q=1\r\n', '0\r\n\r\n'), [400, 501]], ['quotes', post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n'), [400, 501]],
    ['xchunked', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), [400, 501]], ['chunkedx', post('Transfer-Encoding: chunkedx\r\n', '0\r\n\r\n'), [400, 501]],
    ['a vertical tab', post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'), [400, 501]], ['empty', post('Transfer-Encoding: \r\n'), [400, 501]],
    ['a comma before', post('Transfer-Encoding: , chunked\r\n', '0\r\n\r\n'), [400, 501]], ['in HTTP/1.0', `POST /nowhere HTTP/1.0\r\n${CHUNKED}\r\n0\r\n\r\n`, [400, 501]],
    ['two lines, one odd', post(`Transfer-Encoding: x\r\n${CHUNKED}`, '0\r\n\r\n'), [400, 501]], ['NUL', post('Transfer-Encoding: chunked\0\r\n', '0\r\n\r\n')],
  ],
  'chunks': [
    ['no size', post(CHUNKED, '\r\nhello\r\n0\r\n\r\n')], ['a sign', post(CHUNKED, '+5\r\nhello\r\n0\r\n\r\n')], ['a negative one', post(CHUNKED, '-5\r\nhello\r\n0\r\n\r\n')],
    ['0x', post(CHUNKED, '0x5\r\nhello\r\n0\r\n\r\n')], ['a letter', post(CHUNKED, '5g\r\nhello\r\n0\r\n\r\n')], ['a blank before', post(CHUNKED, ' 5\r\nhello\r\n0\r\n\r\n')],
    ['LF alone behind the size', post(CHUNKED, '5\nhello\r\n0\r\n\r\n')], ['LF alone behind the data', post(CHUNKED, '5\r\nhello\n0\r\n\r\n')],
    ['CR alone behind the size', post(CHUNKED, '5\rhello\r\n0\r\n\r\n')], ['data longer than said', post(CHUNKED, '5\r\nhello!\r\n0\r\n\r\n')],
    ['data shorter than said', post(CHUNKED, '6\r\nhello\r\n0\r\n\r\n')], ['a size beyond 64 bits', post(CHUNKED, '10000000000000005\r\nhello\r\n0\r\n\r\n'), [400, 413]],
    ['a size of 2^64 - 1', post(CHUNKED, 'ffffffffffffffff\r\nhello\r\n0\r\n\r\n'), [400, 413]], ['more than what is taken', post(CHUNKED, 'fffffff\r\nhello'), [413]],
    ['zeros without end', post(CHUNKED, `${'0'.repeat(70000)}5\r\nhello\r\n0\r\n\r\n`), [400, 413, 431]],
    ['an extension without end', post(CHUNKED, `5;${'x'.repeat(70000)}\r\nhello\r\n0\r\n\r\n`), [400, 413, 431]],
    ['many extensions', post(CHUNKED, `${`1;${'y'.repeat(1000)}\r\na\r\n`.repeat(100)}0\r\n\r\n`), [400, 413, 431]],
    ['an LF in an extension', post(CHUNKED, '5;a\nb\r\nhello\r\n0\r\n\r\n')], ['a CR in an extension', post(CHUNKED, '5;a\rb\r\nhello\r\n0\r\n\r\n')],
    ['a trailer without end', post(CHUNKED, `0\r\nX: ${'z'.repeat(70000)}\r\n\r\n`), [400, 413, 431]],
    ['very many trailers', post(CHUNKED, `0\r\n${'X: y\r\n'.repeat(20000)}\r\n`), [400, 413, 431]], ['LF alone in the trailer', post(CHUNKED, '0\r\nX: y\n\r\n')],
    ['LF alone at the end', post(CHUNKED, '0\r\n\n')], ['another byte for the last line end', post(CHUNKED, '0\r\nx\n')],
  ],
  'expectations': [['another one', post('Expect: miracle\r\nContent-Length: 1\r\n', 'x'), [417]]],
};

for (const [group, cases] of Object.entries(refused)) {
  describe(`refused: ${group}`, { concurrency: 16 }, () => {
    for (const [name, bytes, statuses = [400]] of cases) {
      test(name, async () => {
        for (const pieces of [undefined, bytes.length > 2000 ? 1009 : 1]) {
          const got = await talk(bytes + HIDDEN, { pieces });
          assert.equal(got.closed, true, `${got.statuses}: the connection goes on`);
          /* A peer that is still writing may lose the answer to a reset, never the refusal. */
          assert.ok(got.statuses.length === 1 || (got.statuses.length === 0 && bytes.length > 2000), `answers: ${got.text.slice(0, 400)}`);
          if (got.statuses.length === 1)
            assert.ok(statuses.includes(got.statuses[0]), `${got.statuses[0]} is none of ${statuses}`);
        }
      });
    }
  });
}

/* Understood by everybody in the same way: answered, and the next request of the connection as well. */
const taken = {
  'GET': get(), 'blanks around a value': get('X:  \t a \t \r\n'), 'an empty value': get('X:\r\n'), 'any case of names': `GET /health HTTP/1.1\r\nhOsT: a\r\n\r\n`,
  'bytes above 127 in a value': get('X: \xe4\xff\r\n'), 'a tab in a value': get('X: a\tb\r\n'), 'a colon in a value': get('X: a:b\r\n'), 'tokens of all signs': get("!#$%&'*+-.^_`|~0z: a\r\n"),
  'an absolute target': get('', 'http://a.example/health'), 'a query': get('', '/health?a=b&c'), 'an empty line before': `\r\n${get()}`,
  'a header twice': get('X: 1\r\nX: 2\r\n'), 'a Host with a port': `GET /health HTTP/1.1\r\nHost: a:8080\r\n\r\n`, 'an empty Host': `GET /health HTTP/1.1\r\nHost:\r\n\r\n`,
  'a GET with a body': get('Content-Length: 5\r\n').concat('hello'), 'a length of zero': get('Content-Length: 0\r\n'), 'zeros before a length': get('Content-Length: 005\r\n').concat('hello'),
  'a GET in chunks': get(CHUNKED).concat('5\r\nhello\r\n0\r\n\r\n'), 'Chunked': get('Transfer-Encoding: Chunked\r\n').concat('0\r\n\r\n'),
  'large and small digits': get(CHUNKED).concat(`A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n`), 'an extension': get(CHUNKED).concat('5;a=b;c="d"\r\nhello\r\n0\r\n\r\n'),
  'zeros before a size': get(CHUNKED).concat('0005\r\nhello\r\n000\r\n\r\n'), 'a trailer': get(CHUNKED).concat('0\r\nX: y\r\n\r\n'), 'an empty chunked body': get(CHUNKED).concat('0\r\n\r\n'),
};
/* A request inside of a body is data. */
taken['a request as a body'] = get(`Content-Length: ${HIDDEN.length}\r\n`).concat(HIDDEN);
taken['a request as a chunk'] = get(CHUNKED).concat(`${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`);
taken['a request in a trailer'] = get(CHUNKED).concat('0\r\nX: GET /health HTTP/1.1\r\n\r\n');

describe('taken', { concurrency: 16 }, () => {
  for (const [name, bytes] of Object.entries(taken)) {
    test(name, async () => {
      for (const pieces of [undefined, 1]) {
        const got = await talk(bytes + HIDDEN, { want: 2, pieces });
        assert.deepEqual(got.statuses, [200, 200], got.text.slice(0, 300));
        assert.equal(got.closed, false);
      }
    });
  }

  test('fifty pipelined requests, in order', async () => {
    const got = await talk(Array.from({ length: 50 }, (_, i) => get('', i % 2 ? '/nowhere' : '/health')).join(''), { want: 50 });
    assert.deepEqual(got.statuses, Array.from({ length: 50 }, (_, i) => (i % 2 ? 401 : 200)));
  });

  test('the end of a connection, as asked for', async () => {
    for (const [bytes, closed] of [[get('Connection: close\r\n'), true], [get('Connection: keep-alive, CLOSE\r\n'), true], [get('Connection: keep-alive\r\n'), false],
      ['GET /health HTTP/1.0\r\n\r\n', true], ['GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', false]]) {
      const got = await talk(bytes, { quietMs: 300 });
      assert.deepEqual([got.statuses, got.closed], [[200], closed], JSON.stringify(bytes));
    }
  });

  test('100-continue, then the answer', async () => {
    const got = await talk(post('Expect: 100-continue\r\nContent-Length: 2\r\n', 'hi'), { want: 2 });
    assert.ok([401, 404].includes(got.statuses.at(-1)), got.text);
  });

  test('HEAD has no body, whatever is behind it is the next request', async () => {
    const got = await talk(`HEAD /health HTTP/1.1\r\n${H}\r\n${HIDDEN}`, { want: 2 });
    assert.equal(got.statuses.at(-1), 200, got.text);
    assert.equal((got.text.match(/\{/g) ?? []).length > 0, true);
  });
});

test('the host is well after all that', async () => {
  assert.equal((await host.api('/health', { token: null })).status, 200);
  assert.equal(host.exit, undefined);
});
