/* SPDX-License-Identifier: MIT */
/* What a server sends after the handshake, read twice; and the handshake's answer itself. */
/* covers: plugin/proto/ws.c */
#include "plugin/proto/http1.h"
#include "plugin/proto/ws.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES 4096u

struct seen {
    uint64_t hash;
    unsigned messages, pongs;
    struct ws *ws;
    struct buf *wire;
    bool talk;
};

static void on_text(void *arg, struct str text)
{
    struct seen *s = arg;

    FUZZ_MUST(str_utf8_valid(text) && text.n <= MAX_BYTES);
    s->hash = fuzz_hash(s->hash, text);
    s->messages++;
    if (s->talk)
        (void)ws_send_text(s->ws, STR("{}"), s->wire);
}

static void on_binary(void *arg, struct str data)
{
    struct seen *s = arg;

    FUZZ_MUST(data.n <= MAX_BYTES);
    s->hash = fuzz_hash(s->hash, data) + 1;
    s->messages++;
}

/* ---- a second reader, of the whole text at once: RFC 6455, 5 to 8 ---- */

enum verdict { READ_OPEN, READ_CLOSED, READ_FAILED, READ_EITHER /* a fault may be seen before its frame is whole */ };

struct second {
    uint64_t hash;
    unsigned messages, pings;
    char text[MAX_BYTES];
    size_t n;
    unsigned opcode; /* of the message under way */
    bool dubious;    /* a piece of text ended inside of what may or may not become a character */
};

static enum verdict second_close(struct str p)
{
    unsigned code = p.n >= 2 ? (unsigned)(unsigned char)p.p[0] << 8 | (unsigned char)p.p[1] : 1000;
    bool forbidden = code < 1000 || code > 4999 || (code > 1014 && code < 3000) || (code >= 1004 && code <= 1006);

    return p.n == 1 || forbidden || !str_utf8_valid(str_skip(p, 2)) ? READ_FAILED : READ_CLOSED;
}

static enum verdict second_data(struct second *s, unsigned opcode, bool fin, struct str p)
{
    struct str all;

    if ((opcode == 0) != (s->opcode != 0) || p.n > sizeof s->text - s->n)
        return READ_FAILED;
    s->opcode = opcode != 0 ? opcode : s->opcode;
    if (p.n > 0)
        memcpy(s->text + s->n, p.p, p.n);
    s->n += p.n;
    all = str_make(s->text, s->n);
    if (!fin && s->opcode == 1 && !str_utf8_valid(all)) {
        unsigned cut = 1;

        while (cut < 4 && cut < all.n && !str_utf8_valid(str_head(all, all.n - cut)))
            cut++;
        if (cut == 4 || !str_utf8_valid(str_head(all, all.n - cut)))
            return READ_FAILED;
        s->dubious = true;
    }
    if (!fin)
        return READ_OPEN;
    if (s->opcode == 1 && !str_utf8_valid(all))
        return READ_FAILED;
    s->hash = fuzz_hash(s->hash, all) + (s->opcode == 2);
    s->messages++;
    s->opcode = 0;
    s->n = 0;
    return READ_OPEN;
}

static enum verdict second_read(struct second *s, struct str in)
{
    while (in.n > 0) {
        const unsigned char *b = (const unsigned char *)in.p;
        unsigned op = b[0] & 15u, bytes, head;
        uint64_t n = 0;
        enum verdict v = READ_OPEN;
        struct str p;

        if (in.n < 2)
            return READ_EITHER;
        bytes = (b[1] & 127u) == 126 ? 2 : (b[1] & 127u) == 127 ? 8 : 0;
        head = 2 + bytes + (b[1] & 128u ? 4 : 0);
        if (in.n < head)
            return READ_EITHER;
        for (unsigned i = 0; i < bytes; i++)
            n = n << 8 | b[2 + i];
        n = bytes == 0 ? b[1] & 127u : n;
        if ((bytes == 2 && n < 126) || (bytes == 8 && n < 65536) || n >> 63 || (op >= 8 && (n > 125 || !(b[0] & 128u))))
            return READ_FAILED;
        /* The rest of a header is judged with the first byte behind it. */
        if ((b[0] & 0x70u) || (b[1] & 128u) || (op > 2 && op < 8) || op > 10 ||
            (op < 8 && ((op == 0) != (s->opcode != 0) || n > MAX_BYTES - s->n)))
            return in.n > head || n == 0 ? READ_FAILED : READ_EITHER;
        if (n > in.n - head)
            return READ_EITHER;
        p = str_make(in.p + head, n);
        in = str_skip(in, head + n);
        s->pings += op == 9;
        v = op == 8 ? second_close(p) : op < 8 ? second_data(s, op, b[0] & 128u, p) : READ_OPEN;
        if (v != READ_OPEN)
            return v;
    }
    return s->opcode != 0 ? READ_EITHER : READ_OPEN;
}

static void compare(struct str in, const struct seen *got, enum ws_state end)
{
    static struct second s;
    enum verdict v;

    s.hash = s.messages = s.pings = s.opcode = 0;
    s.n = 0;
    s.dubious = false;
    v = second_read(&s, in);
    if (s.dubious && end == WS_FAILED)
        return;
    FUZZ_MUST(v == READ_FAILED ? end == WS_FAILED : v != READ_CLOSED || end == WS_CLOSED);
    FUZZ_MUST(v != READ_OPEN || end == WS_OPEN);
    FUZZ_MUST(v != READ_EITHER || end == WS_OPEN || end == WS_FAILED);
    FUZZ_MUST(got->messages <= s.messages && got->pongs <= s.pings);
    if (end != WS_FAILED)
        FUZZ_MUST(got->messages == s.messages && got->hash == s.hash && got->pongs == s.pings);
}

/* All that we write are whole, masked frames without reserved bits. */
static unsigned judge_wire(struct str w)
{
    unsigned pongs = 0;

    while (w.n > 0) {
        unsigned op = (unsigned char)w.p[0], len = w.n > 1 ? (unsigned char)w.p[1] : 0;
        size_t n = len & 0x7fu, head = 6;

        FUZZ_MUST(w.n >= 6 && (len & 0x80u) && (op & 0xf0u) == 0x80u);
        FUZZ_MUST((op & 15u) == 1 || (op & 15u) == 8 || (op & 15u) == 9 || (op & 15u) == 10);
        if (n == 126) {
            n = (size_t)(unsigned char)w.p[2] << 8 | (unsigned char)w.p[3];
            head = 8;
        }
        FUZZ_MUST(n < 70000 && w.n >= head + n);
        FUZZ_MUST((op & 8u) == 0 || n <= 125);
        w = str_skip(w, head + n);
        pongs += (op & 15u) == 10;
    }
    return pongs;
}

static struct seen run(struct str in, size_t piece, bool talk, enum ws_state *end)
{
    static const struct ws_handler h = {on_text, on_binary};
    struct ws_random random = {.left = 0};
    struct seen s = {.talk = talk};
    struct buf wire;
    struct err e = {0};

    *end = WS_OPEN;
    buf_init(&wire, 1u << 20);
    s.wire = &wire;
    if (ws_open(&s.ws, MAX_BYTES, &random) < 0) {
        FUZZ_MUST(fuzz_starved);
        return s;
    }
    for (size_t at = 0; at < in.n; at += piece) {
        int rc = ws_feed(s.ws, str_make(in.p + at, piece < in.n - at ? piece : in.n - at), &h, &s, &wire, &e);

        FUZZ_MUST(ws_close_code(s.ws) == 0 || (ws_close_code(s.ws) >= 1000 && ws_close_code(s.ws) < 5000));
        FUZZ_MUST(str_utf8_valid(ws_close_reason(s.ws)));
        if (rc < 0) {
            FUZZ_MUST(ws_state(s.ws) == WS_FAILED || fuzz_starved);
            break;
        }
    }
    *end = ws_state(s.ws);
    (void)ws_send_ping(s.ws, STR("x"), &wire);
    (void)ws_send_close(s.ws, 1000, in, &wire);
    s.pongs = judge_wire(buf_str(&wire));
    ws_free(s.ws);
    buf_free(&wire);
    return s;
}

static void hello(struct str in)
{
    struct ws_hello h = {.key = "dGhlIHNhbXBsZSBub25jZQ=="};
    struct http1 reader;
    struct http1_msg m;
    size_t used = 0;

    http1_init(&reader, true, 4096, 0);
    http1_msg_init(&m);
    http1_next(&reader, &m, false);
    if (http1_feed(&reader, in, &used, NULL) == 0 && reader.state == HTTP1_DONE &&
        ws_hello_check(&h, &m, NULL) == 0) {
        FUZZ_MUST(m.status == 101 && http1_field_count(&m, "sec-websocket-extensions") == 0);
        FUZZ_MUST(str_eqc(http1_field(&m, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
    http1_msg_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    unsigned how = fuzz_u8(&f);
    struct seen whole, parts;
    enum ws_state end, end_parts;

    if (how == 255) {
        hello(fuzz_rest(&f));
        return 0;
    }
    whole = run(fuzz_rest(&f), f.n + 1, how & 128, &end);
    parts = run(fuzz_rest(&f), 1 + how % 64, how & 128, &end_parts);
    if (!fuzz_starved) {
        FUZZ_MUST(end == end_parts);
        /* A fault that is seen early, in a piece, may come before a message of the same bytes; never otherwise. */
        FUZZ_MUST(end == WS_FAILED || (whole.hash == parts.hash && whole.messages == parts.messages));
        compare(fuzz_rest(&f), &whole, end);
    }
    return 0;
}
