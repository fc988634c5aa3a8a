/* SPDX-License-Identifier: MIT */
/* What a server sends after the handshake; and the handshake's answer itself. */
/* covers: plugin/proto/ws.c */
#include "plugin/proto/http1.h"
#include "plugin/proto/ws.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES 4096u

struct seen {
    uint64_t hash;
    unsigned messages;
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

/* All that we write are whole, masked frames without reserved bits. */
static void judge_wire(struct str w)
{
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
    }
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
    judge_wire(buf_str(&wire));
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
    }
    return 0;
}
