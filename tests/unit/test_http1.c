/* SPDX-License-Identifier: MIT */
#include "plugin/proto/http1.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#define HEADER_MAX 4096
#define BODY_MAX 1000

/* ---- requests ---- */

struct result {
    struct http1_msg msg;
    struct http1 h;
    struct err e;
    int rc;
    size_t used; /* of all bytes fed */
};

static void result_free(struct result *r)
{
    http1_msg_free(&r->msg);
}

static void feed(struct result *r, struct str bytes)
{
    while (r->rc == 0 && r->h.state != HTTP1_DONE && bytes.n > 0) {
        size_t used = 0;

        r->rc = http1_feed(&r->h, bytes, &used, &r->e);
        r->used += used;
        bytes = str_skip(bytes, used);
        if (used == 0)
            break;
    }
}

/* One message out of bytes that come split at `at`, or one by one when at > n. */
static void read_split(struct result *r, bool client, bool head, struct str bytes, size_t at)
{
    memset(r, 0, sizeof *r);
    http1_msg_init(&r->msg);
    http1_init(&r->h, client, HEADER_MAX, BODY_MAX);
    http1_next(&r->h, &r->msg, head);
    if (at > bytes.n) {
        for (size_t i = 0; i < bytes.n; i++)
            feed(r, str_make(bytes.p + i, 1));
    } else {
        feed(r, str_head(bytes, at));
        feed(r, str_skip(bytes, at));
    }
}

static bool is(struct str s, const char *want)
{
    return str_eqc(s, want);
}

static void a_request(void)
{
    struct str text = STR("POST /webhook?a=b&c HTTP/1.1\r\nHost: example.com:8080\r\nX-Empty:\r\n"
                          "X-Pad: \t  some value \t \r\nx-pad: again\r\nContent-Length: 11\r\n\r\nhello world");

    for (size_t at = 0; at <= text.n + 1; at++) {
        struct result r;

        read_split(&r, false, false, text, at);
        if (r.rc != 0 || r.h.state != HTTP1_DONE || r.used != text.n) {
            T_FAIL("split at %zu: rc %d, state %d, used %zu: %s", at, r.rc, r.h.state, r.used, r.e.text);
        } else {
            T_TRUE(is(http1_slice(&r.msg, r.msg.method), "POST"));
            T_TRUE(is(http1_slice(&r.msg, r.msg.path), "/webhook"));
            T_TRUE(is(http1_slice(&r.msg, r.msg.query), "a=b&c"));
            T_TRUE(is(http1_field(&r.msg, "host"), "example.com:8080"));
            T_TRUE(is(http1_field(&r.msg, "x-empty"), ""));
            T_TRUE(http1_field(&r.msg, "x-empty").p != NULL);
            T_TRUE(is(http1_field(&r.msg, "X-PAD"), "some value"));
            T_EQ(http1_field_count(&r.msg, "x-pad"), 2);
            T_TRUE(http1_field(&r.msg, "x-none").p == NULL);
            T_TRUE(is(http1_body(&r.msg), "hello world"));
            T_TRUE(r.msg.keep_alive);
        }
        result_free(&r);
    }
}

static void a_chunked_request(void)
{
    struct str text = STR("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5\r\nhello\r\n1;ext=\"v\"\r\n \r\n0005\r\nworld\r\n0\r\nTrailer: x\r\n\r\n");

    for (size_t at = 0; at <= text.n + 1; at++) {
        struct result r;

        read_split(&r, false, false, text, at);
        if (r.rc != 0 || r.h.state != HTTP1_DONE || r.used != text.n ||
            !is(http1_body(&r.msg), "hello world"))
            T_FAIL("split at %zu: rc %d, state %d, used %zu: %s", at, r.rc, r.h.state, r.used, r.e.text);
        result_free(&r);
    }
}

static void pipelined_requests_are_told_apart(void)
{
    struct str text = STR("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\n"
                          "Content-Length: 3\r\n\r\nabc\r\nGET /3 HTTP/1.0\r\n\r\n");
    static const char *const paths[] = {"/1", "/2", "/3"};
    struct str rest = text;
    struct result r;

    memset(&r, 0, sizeof r);
    http1_msg_init(&r.msg);
    http1_init(&r.h, false, HEADER_MAX, BODY_MAX);
    for (int i = 0; i < 3; i++) {
        r.used = 0;
        http1_next(&r.h, &r.msg, false);
        T_TRUE(http1_idle(&r.h));
        feed(&r, rest);
        T_EQ(r.h.state, HTTP1_DONE);
        T_TRUE(is(http1_slice(&r.msg, r.msg.path), paths[i]));
        rest = str_skip(rest, r.used);
        T_EQ(r.msg.keep_alive, i < 2);
        http1_msg_clear(&r.msg);
    }
    T_EQ(rest.n, 0);
    result_free(&r);
}

static const struct {
    const char *text, *path, *query;
} targets[] = {
    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "/", ""},
    {"GET /a?b?c HTTP/1.1\r\nHost: x\r\n\r\n", "/a", "b?c"},
    {"GET http://h:80/p?q HTTP/1.1\r\nHost: x\r\n\r\n", "/p", "q"},
    {"GET HTTPS://h?q HTTP/1.1\r\nHost: x\r\n\r\n", "", "q"},
    {"GET http://h HTTP/1.1\r\nHost: x\r\n\r\n", "", ""},
    {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "*", ""},
    {"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "h:443", ""},
};

static void forms_of_the_target(void)
{
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct result r;

        read_split(&r, false, false, str_of(targets[i].text), 0);
        if (r.rc != 0 || !is(http1_slice(&r.msg, r.msg.path), targets[i].path) ||
            !is(http1_slice(&r.msg, r.msg.query), targets[i].query))
            T_FAIL("%s: rc %d %s", targets[i].text, r.rc, r.e.text);
        result_free(&r);
    }
}

/* ---- what must be refused (RFC 9112 and the tricks of smugglers) ---- */

#define LINE "POST / HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED LINE "Transfer-Encoding: chunked\r\n\r\n"

struct bad {
    const char *name, *text;
    int status;
    size_t n; /* of text, when it holds a NUL */
};

#define NUL_CASE(name, text) {name, text, 400, sizeof(text) - 1}

static const struct bad bad_requests[] = {
    {"bare LF lines", "GET / HTTP/1.1\nHost: x\n\n", 400, 0},
    {"bare LF after a header", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400, 0},
    {"bare LF at the end", "GET / HTTP/1.1\r\nHost: x\r\n\n", 400, 0},
    {"bare CR between headers", "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400, 0},
    {"bare CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400, 0},
    {"bare CR at the end", "GET / HTTP/1.1\r\nHost: x\r\n\r\rX", 400, 0},
    {"CR CR LF", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n", 400, 0},
    {"a CR ends a header name", LINE "Content-Length\r: 5\r\n\r\nhello", 400, 0},
    {"two lengths that differ", LINE "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, 0},
    {"two lengths that agree", LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, 0},
    {"a list of lengths", LINE "Content-Length: 5, 5\r\n\r\nhello", 400, 0},
    {"a signed length", LINE "Content-Length: +5\r\n\r\nhello", 400, 0},
    {"a negative length", LINE "Content-Length: -5\r\n\r\nhello", 400, 0},
    {"a length in hex", LINE "Content-Length: 0x5\r\n\r\nhello", 400, 0},
    {"a length with a blank inside", LINE "Content-Length: 1 0\r\n\r\nhello", 400, 0},
    {"a fractional length", LINE "Content-Length: 5.0\r\n\r\nhello", 400, 0},
    {"an empty length", LINE "Content-Length:\r\n\r\n", 400, 0},
    {"a length that overflows", LINE "Content-Length: 18446744073709551621\r\n\r\nhello", 400, 0},
    {"a length of many digits", LINE "Content-Length: 0000000000000000000005\r\n\r\nhello", 400, 0},
    {"length and chunked", LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0},
    {"chunked and length", LINE "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, 0},
    {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0},
    {"a blank before the colon", LINE "Content-Length : 5\r\n\r\nhello", 400, 0},
    {"a tab before the colon", LINE "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, 0},
    {"a folded header", LINE "A: b\r\n c\r\n\r\n", 400, 0},
    {"a folded length", LINE "Content-Length:\r\n 5\r\n\r\nhello", 400, 0},
    {"a tab-folded coding", LINE "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", 400, 0},
    {"a blank before the first header", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, 0},
    {"a header without a colon", LINE "Nonsense\r\n\r\n", 400, 0},
    {"a header without a name", LINE ": x\r\n\r\n", 400, 0},
    {"a header name with a blank", LINE "A B: x\r\n\r\n", 400, 0},
    {"a header name with a quote", LINE "A\"B: x\r\n\r\n", 400, 0},
    {"a header name beyond ASCII", LINE "A\xc3\xa9: x\r\n\r\n", 400, 0},
    {"a control character in a value", LINE "A: b\x01" "c\r\n\r\n", 400, 0},
    {"DEL in a value", LINE "A: b\x7f" "c\r\n\r\n", 400, 0},
    NUL_CASE("NUL in a value", LINE "A: b\0c\r\n\r\n"),
    NUL_CASE("NUL in a name", LINE "A\0: c\r\n\r\n"),
    NUL_CASE("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 400, 0},
    {"two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, 0},
    {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400, 0},
    {"a Host with a comma", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400, 0},
    {"a Host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, 0},
    {"a Host with user info", "GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", 400, 0},
    {"another coding", LINE "Transfer-Encoding: gzip\r\n\r\n", 501, 0},
    {"chunked twice in a list", LINE "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, 0},
    {"gzip, chunked", LINE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, 0},
    {"chunked, identity", LINE "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, 0},
    {"identity", LINE "Transfer-Encoding: identity\r\n\r\n", 501, 0},
    {"xchunked", LINE "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, 0},
    {"chunked with a vertical tab", LINE "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", 400, 0},
    {"quoted chunked", LINE "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501, 0},
    {"chunked in two headers", LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0},
    {"chunked and identity in two headers", LINE "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501, 0},
    {"an empty coding", LINE "Transfer-Encoding:\r\n\r\n", 501, 0},
    {"two blanks in the request line", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"a blank at its end", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400, 0},
    {"a blank before the method", " GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"a blank in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"a fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"no version", "GET /\r\nHost: x\r\n\r\n", 400, 0},
    {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505, 0},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, 0},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505, 0},
    {"HTTP/1.10", "GET / HTTP/1.10\r\nHost: x\r\n\r\n", 400, 0},
    {"http/1.1", "GET / http/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 0},
    {"an unknown method", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501, 0},
    {"a method in lower case", "get / HTTP/1.1\r\nHost: x\r\n\r\n", 501, 0},
    {"an asterisk for GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"a relative target", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"an absolute target without host", "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"TLS on a plain port", "\x16\x03\x01\x02", 400, 0},
    {"three empty lines first", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
    {"an unknown expectation", LINE "Expect: magic\r\nContent-Length: 1\r\n\r\nx", 417, 0},
    {"a body announced too large", LINE "Content-Length: 1001\r\n\r\n", 413, 0},
    {"a chunk size that is none", CHUNKED "x\r\n\r\n", 400, 0},
    {"an empty chunk size", CHUNKED "\r\n\r\n", 400, 0},
    {"a signed chunk size", CHUNKED "+1\r\nx\r\n0\r\n\r\n", 400, 0},
    {"a chunk size with 0x", CHUNKED "0x1\r\nx\r\n0\r\n\r\n", 400, 0},
    {"a blank before a chunk size", CHUNKED " 1\r\nx\r\n0\r\n\r\n", 400, 0},
    {"a blank behind a chunk size", CHUNKED "1 \r\nx\r\n0\r\n\r\n", 400, 0},
    {"a chunk size that overflows", CHUNKED "100000000\r\nx", 400, 0},
    {"a huge chunk size", CHUNKED "ffffffff\r\nx", 413, 0},
    {"a chunk size ended by LF", CHUNKED "1\nx\r\n0\r\n\r\n", 400, 0},
    {"a chunk ended by LF", CHUNKED "1\r\nx\n0\r\n\r\n", 400, 0},
    {"a chunk longer than its size", CHUNKED "1\r\nxy\r\n0\r\n\r\n", 400, 0},
    {"an extension with a bare LF", CHUNKED "1;a\nx\r\n0\r\n\r\n", 400, 0},
    {"an extension with a bare CR", CHUNKED "1;a\rb\r\nx\r\n0\r\n\r\n", 400, 0},
    {"the last chunk ended by LF", CHUNKED "0\r\n\n", 400, 0},
    {"the last chunk ended by CR CR", CHUNKED "0\r\n\r\r", 400, 0},
    {"a folded trailer", CHUNKED "0\r\nA: b\r\n c\r\n\r\n", 400, 0},
    {"a trailer with a blank before its colon", CHUNKED "0\r\nA : b\r\n\r\n", 400, 0},
    {"a trailer ended by LF", CHUNKED "0\r\nA: b\n\r\n", 400, 0},
};

static void bad_requests_are_refused(void)
{
    for (size_t i = 0; i < sizeof bad_requests / sizeof *bad_requests; i++) {
        const struct bad *b = &bad_requests[i];
        struct str text = b->n ? str_make(b->text, b->n) : str_of(b->text);

        for (size_t at = 0; at <= text.n + 1; at++) {
            struct result r;

            read_split(&r, false, false, text, at);
            if (r.rc >= 0 || r.h.state != HTTP1_FAILED || r.h.fault_status != b->status)
                T_FAIL("%s, split at %zu: rc %d, state %d, status %d, not %d: %s", b->name, at, r.rc,
                       r.h.state, r.h.fault_status, b->status, r.e.text);
            result_free(&r);
        }
    }
}

/* What is strict must not be broken: these are odd and good. */
static const char *const good_requests[] = {
    "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:x\r\n\r\n",
    "GET / HTTP/1.1\r\nHOST:\t x \r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET /%00?%0a HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA: \xc3\xa9\xff\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n!#$%&'*+-.^_`|~0aZ: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\n\r\n",
    "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 005\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
    "POST / HTTP/1.1\r\nHost: x\r\nTRANSFER-ENCODING:  Chunked \r\n\r\nA;a=b;c=\"d e\"\r\n0123456789\r\n0\r\nA: b\r\nC:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
};

static void odd_requests_are_read(void)
{
    for (size_t i = 0; i < sizeof good_requests / sizeof *good_requests; i++) {
        struct str text = str_of(good_requests[i]);

        for (size_t at = 0; at <= text.n + 1; at++) {
            struct result r;

            read_split(&r, false, false, text, at);
            if (r.rc != 0 || r.h.state != HTTP1_DONE || r.used != text.n)
                T_FAIL("case %zu, split at %zu: rc %d, state %d, used %zu of %zu: %s", i, at, r.rc,
                       r.h.state, r.used, text.n, r.e.text);
            result_free(&r);
        }
    }
}

static void limits(void)
{
    struct result r;
    struct buf b;

    buf_init(&b, 1u << 20);
    (void)buf_puts(&b, STR("GET / HTTP/1.1\r\nHost: x\r\n"));
    for (int i = 0; i < 99; i++)
        (void)buf_puts(&b, STR("A: b\r\n"));
    (void)buf_puts(&b, STR("\r\n"));
    read_split(&r, false, false, buf_str(&b), 0);
    T_EQ(r.h.state, HTTP1_DONE);
    T_EQ(r.msg.n_fields, 100);
    result_free(&r);
    b.n -= 2;
    (void)buf_puts(&b, STR("A: b\r\n\r\n"));
    read_split(&r, false, false, buf_str(&b), 7);
    T_EQ(r.h.fault_status, 431);
    T_EQ(r.rc, ERR_TOO_BIG);
    result_free(&r);
    buf_clear(&b);
    (void)buf_puts(&b, STR("GET / HTTP/1.1\r\nA: "));
    while (b.n < HEADER_MAX)
        (void)buf_putc(&b, 'a');
    read_split(&r, false, false, buf_str(&b), 0);
    T_EQ(r.rc, 0);
    T_LE(r.msg.bytes.n, HEADER_MAX);
    result_free(&r);
    (void)buf_puts(&b, STR("aa"));
    read_split(&r, false, false, buf_str(&b), HEADER_MAX + 1000000);
    T_EQ(r.h.fault_status, 431);
    result_free(&r);
    buf_clear(&b);
    (void)buf_puts(&b, STR(CHUNKED "1;"));
    while (b.n < 3000)
        (void)buf_putc(&b, 'e');
    read_split(&r, false, false, buf_str(&b), 0);
    T_EQ(r.h.fault_status, 400);
    T_HAS(r.e.text, "extension");
    result_free(&r);
    /* Extensions of many chunks are counted together. */
    buf_clear(&b);
    (void)buf_puts(&b, STR(CHUNKED));
    for (int i = 0; i < 300; i++)
        (void)buf_puts(&b, STR("1;abcdefg\r\nx\r\n"));
    read_split(&r, false, false, buf_str(&b), 0);
    T_EQ(r.h.fault_status, 400);
    result_free(&r);
    /* 1,000 bytes in chunks fit, one more does not. */
    buf_clear(&b);
    (void)buf_puts(&b, STR(CHUNKED));
    for (int i = 0; i < 1000; i++)
        (void)buf_puts(&b, STR("1\r\nx\r\n"));
    (void)buf_puts(&b, STR("0\r\n\r\n"));
    read_split(&r, false, false, buf_str(&b), 0);
    T_EQ(r.h.state, HTTP1_DONE);
    T_EQ(http1_body(&r.msg).n, 1000);
    result_free(&r);
    b.n -= 5;
    (void)buf_puts(&b, STR("1\r\nx\r\n"));
    read_split(&r, false, false, buf_str(&b), 0);
    T_EQ(r.h.fault_status, 413);
    result_free(&r);
    buf_clear(&b);
    (void)buf_puts(&b, STR(CHUNKED "0\r\n"));
    while (b.n < HEADER_MAX * 2)
        (void)buf_puts(&b, STR("A: b\r\n"));
    read_split(&r, false, false, buf_str(&b), 0);
    T_EQ(r.h.fault_status, 431);
    result_free(&r);
    buf_free(&b);
}

static void keep_alive(void)
{
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result r;

        read_split(&r, false, false, str_of(cases[i].text), 0);
        T_EQ(r.h.state, HTTP1_DONE);
        T_EQ(r.msg.keep_alive, cases[i].keep);
        result_free(&r);
    }
}

static void expectations(void)
{
    struct result r;

    read_split(&r, false, false, STR(LINE "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"), 0);
    T_EQ(r.h.state, HTTP1_BODY);
    T_TRUE(r.msg.expects_continue);
    result_free(&r);
    read_split(&r, false, false, STR(LINE "Expect: 100-continue\r\n\r\n"), 0);
    T_EQ(r.h.state, HTTP1_DONE);
    T_FALSE(r.msg.expects_continue);
    result_free(&r);
    read_split(&r, false, false, STR("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"), 0);
    T_FALSE(r.msg.expects_continue);
    result_free(&r);
}

/* ---- responses ---- */

static const struct {
    const char *name, *text;
    bool head;
    int status; /* 0: must be refused */
    const char *body;
    enum { DONE, AT_END } how;
    bool keep;
    size_t more; /* bytes behind the message */
} responses[] = {
    {"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", DONE, true, 0},
    {"length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 200, "", DONE, true, 0},
    {"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, 200, "", DONE, true, 0},
    {"an empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, 200, "", DONE, true, 0},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, 200, "hello", DONE, true, 0},
    {"until the end", "HTTP/1.1 200 OK\r\n\r\nhello", false, 200, "hello", AT_END, false, 0},
    {"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", DONE, false, 0},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", DONE, false, 0},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", true, 200, "", DONE, true, 0},
    {"HEAD, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, 200, "", DONE, true, 0},
    {"204", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, 204, "", DONE, true, 0},
    {"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 304, "", DONE, true, 0},
    {"100 first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", DONE, true, 0},
    {"101", "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi", false, 101, "", DONE, true, 4},
    {"bytes behind", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP", false, 200, "hi", DONE, true, 4},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", false, 0, "", DONE, false, 0},
    {"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 0, "", DONE, false, 0},
    {"gzip coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", false, 0, "", DONE, false, 0},
    {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", false, 0, "", DONE, false, 0},
    {"a folded header", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", false, 0, "", DONE, false, 0},
    {"no HTTP", "220 mail.example.com ESMTP\r\n\r\n", false, 0, "", DONE, false, 0},
    {"HTTP/2", "HTTP/2 200 OK\r\n\r\n", false, 0, "", DONE, false, 0},
    {"a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", false, 0, "", DONE, false, 0},
    {"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", false, 0, "", DONE, false, 0},
    {"status 600", "HTTP/1.1 600 OK\r\n\r\n", false, 0, "", DONE, false, 0},
    {"an empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, "", DONE, false, 0},
    {"too large", "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\nx", false, 0, "", DONE, false, 0},
};

static void responses_are_read(void)
{
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
        struct str text = str_of(responses[i].text);

        for (size_t at = 0; at <= text.n + 1; at++) {
            struct result r;
            bool good = responses[i].status != 0;

            read_split(&r, true, responses[i].head, text, at);
            if (good && responses[i].how == AT_END) {
                T_EQ(r.h.state, HTTP1_BODY);
                T_OK(http1_finish(&r.h, &r.e));
            }
            if (good != (r.rc == 0 && r.h.state == HTTP1_DONE)) {
                T_FAIL("%s, split at %zu: rc %d, state %d: %s", responses[i].name, at, r.rc, r.h.state,
                       r.e.text);
            } else if (good && (r.msg.status != responses[i].status ||
                                !is(http1_body(&r.msg), responses[i].body) ||
                                r.msg.keep_alive != responses[i].keep ||
                                (at <= text.n && r.used + responses[i].more != text.n))) {
                T_FAIL("%s, split at %zu: status %d, body \"%.*s\", used %zu", responses[i].name, at,
                       r.msg.status, STR_ARG(http1_body(&r.msg)), r.used);
            }
            result_free(&r);
        }
    }
}

static void a_response_cut_short(void)
{
    static const char *const texts[] = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 200",
                                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct result r;

        read_split(&r, true, false, str_of(texts[i]), 0);
        T_EQ(r.rc, 0);
        T_EQ(http1_finish(&r.h, &r.e), ERR_CLOSED);
        result_free(&r);
    }
}

struct sunk {
    char text[64];
    size_t n, stop_at;
};

static bool sink(void *arg, struct str bytes)
{
    struct sunk *s = arg;

    memcpy(s->text + s->n, bytes.p, bytes.n);
    s->n += bytes.n;
    return s->stop_at == 0 || s->n < s->stop_at;
}

static void a_streamed_body(void)
{
    struct str text = STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");

    for (size_t stop = 0; stop < 8; stop += 7) {
        struct sunk s = {.stop_at = stop};
        struct result r;
        size_t used = 0;

        memset(&r, 0, sizeof r);
        http1_msg_init(&r.msg);
        http1_init(&r.h, true, HEADER_MAX, 3);
        http1_next(&r.h, &r.msg, false);
        T_OK(http1_feed(&r.h, text, &used, &r.e));
        T_EQ(r.h.state, HTTP1_BODY);
        http1_sink(&r.h, sink, &s);
        feed(&r, str_skip(text, used));
        T_EQ(r.rc, stop == 0 ? 0 : ERR_CANCELED);
        T_MEM_EQ(s.text, s.n, "hello world", 11);
        T_EQ(http1_body(&r.msg).n, 0);
        result_free(&r);
    }
}

static void interim_responses_end(void)
{
    struct result r;
    struct buf b;

    buf_init(&b, 1u << 20);
    for (int i = 0; i < 20; i++)
        (void)buf_puts(&b, STR("HTTP/1.1 102 Processing\r\n\r\n"));
    read_split(&r, true, false, buf_str(&b), 0);
    T_EQ(r.rc, ERR_PROTOCOL);
    result_free(&r);
    buf_free(&b);
}

/* Whatever comes in: no crash, no state but the four, never more used than given. */
static void random_bytes(void)
{
    static const char alphabet[] = "\r\n\r\n :GETHPO/1.0 5aContent-LengthTransfer-Encoding: chunkedHost\t;x\0\xff";
    unsigned seed = 12345;
    char text[200];

    for (int round = 0; round < 20000; round++) {
        struct result r;
        size_t n = 0;

        if (round % 2 == 0)
            n = (size_t)snprintf(text, sizeof text, "%s", round % 4 ? CHUNKED : LINE);
        while (n < sizeof text) {
            seed = seed * 1103515245u + 12345u;
            text[n++] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        read_split(&r, round % 8 >= 6, false, str_make(text, n), seed % n);
        if (r.used > n || (r.rc < 0) != (r.h.state == HTTP1_FAILED))
            T_FAIL("round %d: used %zu, rc %d, state %d", round, r.used, r.rc, r.h.state);
        result_free(&r);
    }
}

static void out_of_memory(void)
{
    struct str text = STR(LINE "Content-Length: 600\r\n\r\n");
    char body[600];
    bool done = false;

    memset(body, 'b', sizeof body);
    for (unsigned long n = 1; !done && n < 20; n++) {
        struct result r;

        (void)mem_fault_after(n);
        read_split(&r, false, false, text, 10);
        feed(&r, str_make(body, sizeof body));
        done = mem_fault_after(0) < n;
        T_TRUE(done ? r.h.state == HTTP1_DONE : r.rc == ERR_NOMEM && r.h.fault_status == 503);
        result_free(&r);
    }
    T_TRUE(done);
}

int main(void)
{
    T_RUN(a_request);
    T_RUN(a_chunked_request);
    T_RUN(pipelined_requests_are_told_apart);
    T_RUN(forms_of_the_target);
    T_RUN(bad_requests_are_refused);
    T_RUN(odd_requests_are_read);
    T_RUN(limits);
    T_RUN(keep_alive);
    T_RUN(expectations);
    T_RUN(responses_are_read);
    T_RUN(a_response_cut_short);
    T_RUN(a_streamed_body);
    T_RUN(interim_responses_end);
    T_RUN(random_bytes);
    T_RUN(out_of_memory);
    return T_DONE();
}
