/* SPDX-License-Identifier: MIT */
#include "plugin/proto/ws.h"

#include "plugin/base/mem.h"
#include "plugin/proto/http1.h"
#include "tests/unit/t.h"

#include <openssl/crypto.h>
#include <time.h>

#define WIRE_MAX (64u * 1024u * 1024u)

/* ---- frames as a server makes them ---- */

/* first: FIN, RSV and opcode; forms of length: 0 the shortest, 2 or 8 bytes of extended length. */
static void frame_form(struct buf *b, unsigned first, struct str payload, int form)
{
    size_t n = payload.n;

    (void)buf_putc(b, (char)first);
    if (form == 8 || (form == 0 && n > 65535)) {
        (void)buf_putc(b, 127);
        for (int i = 56; i >= 0; i -= 8)
            (void)buf_putc(b, (char)((uint64_t)n >> i));
    } else if (form == 2 || (form == 0 && n > 125)) {
        (void)buf_putc(b, 126);
        (void)buf_putc(b, (char)(n >> 8));
        (void)buf_putc(b, (char)n);
    } else {
        (void)buf_putc(b, (char)n);
    }
    (void)buf_puts(b, payload);
}

static void frame(struct buf *b, unsigned first, const char *payload)
{
    frame_form(b, first, str_of(payload), 0);
}

/* ---- what came out ---- */

struct got {
    struct ws *w;
    struct ws_random random;
    struct buf texts;    /* each followed by '|' */
    struct buf binaries;
    struct buf wire;
    unsigned n;
    bool stop_after_first;
    int rc;
    struct err e;
};

static void on_text(void *arg, struct str text)
{
    struct got *g = arg;

    g->n++;
    (void)buf_puts(&g->texts, text);
    (void)buf_putc(&g->texts, '|');
    if (g->stop_after_first)
        ws_stop(g->w);
}

static void on_binary(void *arg, struct str data)
{
    struct got *g = arg;

    (void)buf_puts(&g->binaries, data);
    (void)buf_putc(&g->binaries, '|');
}

static const struct ws_handler handler = {on_text, on_binary};

static void got_open(struct got *g, size_t max_message)
{
    memset(g, 0, sizeof *g);
    buf_init(&g->texts, WIRE_MAX);
    buf_init(&g->binaries, WIRE_MAX);
    buf_init(&g->wire, WIRE_MAX);
    T_MUST(ws_open(&g->w, max_message, &g->random) == 0);
}

static void got_free(struct got *g)
{
    ws_free(g->w);
    buf_free(&g->texts);
    buf_free(&g->binaries);
    buf_free(&g->wire);
}

static void feed(struct got *g, struct str bytes)
{
    if (g->rc == 0)
        g->rc = ws_feed(g->w, bytes, &handler, g, &g->wire, &g->e);
}

/* Takes the first frame off the wire, which must be a client's: masked, final, no RSV. Its opcode, or -1. */
static int take_frame(struct buf *wire, char *payload, size_t cap, size_t *n)
{
    unsigned char *p = (unsigned char *)wire->p;
    size_t head = 2, len, i;

    if (wire->n < 6 || (p[0] & 0xf0) != 0x80 || (p[1] & 0x80) == 0)
        return -1;
    len = p[1] & 0x7f;
    if (len == 126) {
        len = (size_t)p[2] << 8 | p[3];
        head = 4;
    } else if (len == 127) {
        len = 0;
        for (i = 2; i < 10; i++)
            len = len << 8 | p[i];
        head = 10;
    }
    if (wire->n < head + 4 + len || len >= cap)
        return -1;
    for (i = 0; i < len; i++)
        payload[i] = (char)(p[head + 4 + i] ^ p[head + i % 4]);
    payload[len] = '\0';
    *n = len;
    i = p[0] & 0x0f;
    buf_consume(wire, head + 4 + len);
    return (int)i;
}

/* ---- a table of rules: bytes in, what must come out ---- */

enum { OPEN, FAIL, CLOSE };

struct rule {
    const char *name;
    void (*make)(struct buf *b);
    const char *texts; /* expected, each followed by '|' */
    int end;           /* OPEN, FAIL, CLOSE */
    int code;          /* of our close frame; -1: an empty one; 0: none */
};

static void one_text(struct buf *b) { frame(b, 0x81, "hello"); }
static void empty_text(struct buf *b) { frame(b, 0x81, ""); }
static void text_125(struct buf *b) { char t[126]; memset(t, 'x', 125); t[125] = 0; frame(b, 0x81, t); }
static void len16_small(struct buf *b) { frame_form(b, 0x81, STR("abc"), 2); }
static void len64_small(struct buf *b) { frame_form(b, 0x81, STR("abc"), 8); }
static void len64_top_bit(struct buf *b)
{
    (void)buf_put(b, "\x81\x7f\x80\0\0\0\0\0\0\0", 10);
}
static void rsv1(struct buf *b) { frame(b, 0xc1, "x"); }
static void rsv2(struct buf *b) { frame(b, 0xa1, "x"); }
static void rsv3_ping(struct buf *b) { frame(b, 0x99, "x"); }
static void opcode_3(struct buf *b) { frame(b, 0x83, "x"); }
static void opcode_7_empty(struct buf *b) { frame(b, 0x87, ""); }
static void opcode_b(struct buf *b) { frame(b, 0x8b, "x"); }
static void opcode_f(struct buf *b) { frame(b, 0x8f, ""); }
static void masked(struct buf *b) { (void)buf_put(b, "\x81\x81\1\2\3\4y", 7); }
static void masked_empty(struct buf *b) { (void)buf_put(b, "\x81\x80\1\2\3\4", 6); }
static void ping_125(struct buf *b) { char t[126]; memset(t, 'p', 125); t[125] = 0; frame(b, 0x89, t); frame(b, 0x81, "a"); }
static void ping_126(struct buf *b) { char t[127]; memset(t, 'p', 126); t[126] = 0; frame(b, 0x89, t); }
static void ping_fragmented(struct buf *b) { frame(b, 0x09, "x"); }
static void close_fragmented(struct buf *b) { frame(b, 0x08, ""); }
static void pong_alone(struct buf *b) { frame(b, 0x8a, "unasked"); frame(b, 0x81, "a"); }
static void fragments(struct buf *b) { frame(b, 0x01, "frag"); frame(b, 0x00, ""); frame(b, 0x80, "ment"); }
static void fragments_empty(struct buf *b) { frame(b, 0x01, ""); frame(b, 0x00, ""); frame(b, 0x80, ""); }
static void fragments_ping(struct buf *b)
{
    frame(b, 0x01, "a");
    frame(b, 0x89, "1");
    frame(b, 0x00, "b");
    frame(b, 0x89, "2");
    frame(b, 0x80, "c");
}
static void continuation_first(struct buf *b) { frame(b, 0x80, "x"); }
static void continuation_first_open(struct buf *b) { frame(b, 0x00, "x"); }
static void text_in_text(struct buf *b) { frame(b, 0x01, "a"); frame(b, 0x81, "b"); }
static void binary_in_text(struct buf *b) { frame(b, 0x01, "a"); frame(b, 0x82, "b"); }
static void continuation_after_end(struct buf *b)
{
    frame(b, 0x01, "a");
    frame(b, 0x80, "b");
    frame(b, 0x80, "c");
}
static void utf8_good(struct buf *b) { frame(b, 0x81, "\xce\xba\xe1\xbd\xb9\xf0\x90\x8d\x88"); }
static void utf8_across_fragments(struct buf *b)
{
    frame(b, 0x01, "\xce");
    frame(b, 0x00, "\xba\xf0\x90");
    frame(b, 0x80, "\x8d\x88");
}
static void utf8_bad(struct buf *b) { frame(b, 0x81, "\xce\xba\xed\xa0\x80 rest"); }
static void utf8_overlong(struct buf *b) { frame(b, 0x81, "\xc0\xaf"); }
static void utf8_too_high(struct buf *b) { frame(b, 0x81, "\xf4\x90\x80\x80"); }
static void utf8_cut(struct buf *b) { frame(b, 0x81, "abc\xce"); }
static void utf8_bad_early(struct buf *b) { frame(b, 0x01, "ok \xff"); } /* the rest never comes */
static void utf8_bad_at_half(struct buf *b) { frame(b, 0x01, "\xf4"); frame(b, 0x00, "\x90"); }
static void binary_any(struct buf *b) { frame(b, 0x82, "\xff\xfe"); frame(b, 0x81, "a"); }
static void close_empty(struct buf *b) { frame(b, 0x88, ""); frame(b, 0x81, "late"); }
static void close_one_byte(struct buf *b) { frame(b, 0x88, "x"); }
static void close_1000(struct buf *b) { frame_form(b, 0x88, STR("\x03\xe8"), 0); }
static void close_reason(struct buf *b) { frame_form(b, 0x88, STR("\x03\xe9going away \xe2\x82\xac"), 0); }
static void close_bad_reason(struct buf *b) { frame_form(b, 0x88, STR("\x03\xe8\xff"), 0); }
static void close_cut_reason(struct buf *b) { frame_form(b, 0x88, STR("\x03\xe8\xe2\x82"), 0); }
static void close_0(struct buf *b) { frame_form(b, 0x88, STR("\0\0"), 0); }
static void close_999(struct buf *b) { frame_form(b, 0x88, STR("\x03\xe7"), 0); }
static void close_1004(struct buf *b) { frame_form(b, 0x88, STR("\x03\xec"), 0); }
static void close_1005(struct buf *b) { frame_form(b, 0x88, STR("\x03\xed"), 0); }
static void close_1006(struct buf *b) { frame_form(b, 0x88, STR("\x03\xee"), 0); }
static void close_1011(struct buf *b) { frame_form(b, 0x88, STR("\x03\xf3"), 0); }
static void close_1012(struct buf *b) { frame_form(b, 0x88, STR("\x03\xf4"), 0); }
static void close_1015(struct buf *b) { frame_form(b, 0x88, STR("\x03\xf7"), 0); }
static void close_1016(struct buf *b) { frame_form(b, 0x88, STR("\x03\xf8"), 0); }
static void close_2999(struct buf *b) { frame_form(b, 0x88, STR("\x0b\xb7"), 0); }
static void close_3000(struct buf *b) { frame_form(b, 0x88, STR("\x0b\xb8"), 0); }
static void close_4999(struct buf *b) { frame_form(b, 0x88, STR("\x13\x87"), 0); }
static void close_5000(struct buf *b) { frame_form(b, 0x88, STR("\x13\x88"), 0); }
static void close_in_fragments(struct buf *b) { frame(b, 0x01, "a"); frame_form(b, 0x88, STR("\x03\xe8"), 0); }
static void bad_behind_good(struct buf *b) { frame(b, 0x81, "good"); frame(b, 0x83, ""); frame(b, 0x81, "no"); }
static void over_the_limit(struct buf *b) { char t[1201]; memset(t, 'x', 1200); t[1200] = 0; frame(b, 0x81, t); }
static void over_by_fragments(struct buf *b)
{
    char t[601];

    memset(t, 'x', 600);
    t[600] = 0;
    frame(b, 0x01, t);
    frame(b, 0x80, t);
}
static void claims_the_world(struct buf *b) { (void)buf_put(b, "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" "x", 11); }
static void exactly_the_limit(struct buf *b)
{
    static char t[1001];

    memset(t, 'y', 1000);
    frame(b, 0x82, t);
    frame(b, 0x81, "a");
}

#define X125 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct rule rules[] = {
    {"5.2 a text frame", one_text, "hello|", OPEN, 0},
    {"5.6 an empty text", empty_text, "|", OPEN, 0},
    {"5.2 a length of 125", text_125, X125 "|", OPEN, 0},
    {"5.2 a 16-bit length below 126", len16_small, "", FAIL, 1002},
    {"5.2 a 64-bit length below 65536", len64_small, "", FAIL, 1002},
    {"5.2 a 64-bit length with its top bit", len64_top_bit, "", FAIL, 1002},
    {"5.2 RSV1 without an extension", rsv1, "", FAIL, 1002},
    {"5.2 RSV2", rsv2, "", FAIL, 1002},
    {"5.2 RSV3 on a ping", rsv3_ping, "", FAIL, 1002},
    {"5.2 opcode 3", opcode_3, "", FAIL, 1002},
    {"5.2 opcode 7, empty", opcode_7_empty, "", FAIL, 1002},
    {"5.2 opcode b", opcode_b, "", FAIL, 1002},
    {"5.2 opcode f, empty", opcode_f, "", FAIL, 1002},
    {"5.1 a masked frame from a server", masked, "", FAIL, 1002},
    {"5.1 a masked empty frame", masked_empty, "", FAIL, 1002},
    {"5.5.2 a ping of 125 bytes", ping_125, "a|", OPEN, 0},
    {"5.5 a ping of 126 bytes", ping_126, "", FAIL, 1002},
    {"5.5 a fragmented ping", ping_fragmented, "", FAIL, 1002},
    {"5.5 a fragmented close", close_fragmented, "", FAIL, 1002},
    {"5.5.3 a pong that nobody asked for", pong_alone, "a|", OPEN, 0},
    {"5.4 three fragments", fragments, "fragment|", OPEN, 0},
    {"5.4 empty fragments", fragments_empty, "|", OPEN, 0},
    {"5.4 pings between fragments", fragments_ping, "abc|", OPEN, 0},
    {"5.4 a continuation of nothing", continuation_first, "", FAIL, 1002},
    {"5.4 an open continuation of nothing", continuation_first_open, "", FAIL, 1002},
    {"5.4 a text inside a text", text_in_text, "", FAIL, 1002},
    {"5.4 a binary inside a text", binary_in_text, "", FAIL, 1002},
    {"5.4 a continuation behind the end", continuation_after_end, "ab|", FAIL, 1002},
    {"8.1 UTF-8", utf8_good, "\xce\xba\xe1\xbd\xb9\xf0\x90\x8d\x88|", OPEN, 0},
    {"8.1 UTF-8 cut by fragments", utf8_across_fragments, "\xce\xba\xf0\x90\x8d\x88|", OPEN, 0},
    {"8.1 a surrogate", utf8_bad, "", FAIL, 1007},
    {"8.1 an overlong form", utf8_overlong, "", FAIL, 1007},
    {"8.1 beyond U+10FFFF", utf8_too_high, "", FAIL, 1007},
    {"8.1 an unfinished character", utf8_cut, "", FAIL, 1007},
    {"8.1 fails before the message ends", utf8_bad_early, "", FAIL, 1007},
    {"8.1 fails inside a character", utf8_bad_at_half, "", FAIL, 1007},
    {"5.6 binary may be anything", binary_any, "a|", OPEN, 0},
    {"5.5.1 an empty close; nothing behind it counts", close_empty, "", CLOSE, -1},
    {"5.5.1 a close of one byte", close_one_byte, "", FAIL, 1002},
    {"7.4 1000", close_1000, "", CLOSE, 1000},
    {"7.1.6 1001 with a reason", close_reason, "", CLOSE, 1001},
    {"8.1 a reason that is no UTF-8", close_bad_reason, "", FAIL, 1007},
    {"8.1 a reason cut inside a character", close_cut_reason, "", FAIL, 1007},
    {"7.4.2 code 0", close_0, "", FAIL, 1002},
    {"7.4.2 code 999", close_999, "", FAIL, 1002},
    {"7.4.1 code 1004", close_1004, "", FAIL, 1002},
    {"7.4.1 code 1005", close_1005, "", FAIL, 1002},
    {"7.4.1 code 1006", close_1006, "", FAIL, 1002},
    {"7.4.1 code 1011", close_1011, "", CLOSE, 1011},
    {"registered code 1012", close_1012, "", CLOSE, 1012},
    {"7.4.1 code 1015", close_1015, "", FAIL, 1002},
    {"7.4.2 code 1016", close_1016, "", FAIL, 1002},
    {"7.4.2 code 2999", close_2999, "", FAIL, 1002},
    {"7.4.2 code 3000", close_3000, "", CLOSE, 3000},
    {"7.4.2 code 4999", close_4999, "", CLOSE, 4999},
    {"7.4.2 code 5000", close_5000, "", FAIL, 1002},
    {"5.4 a close between fragments", close_in_fragments, "", CLOSE, 1000},
    {"nothing behind a fault is handed on", bad_behind_good, "good|", FAIL, 1002},
    {"10.4 a message over the limit", over_the_limit, "", FAIL, 1009},
    {"10.4 fragments over the limit", over_by_fragments, "", FAIL, 1009},
    {"10.4 a claim of 2^63-1 bytes", claims_the_world, "", FAIL, 1009},
    {"10.4 a message of exactly the limit", exactly_the_limit, "a|", OPEN, 0},
};

static int close_code_sent(struct got *g)
{
    char payload[256];
    size_t n = 0;
    int op;

    while ((op = take_frame(&g->wire, payload, sizeof payload, &n)) >= 0)
        if (op == 8)
            return n == 0 ? -1 : (unsigned char)payload[0] * 256 + (unsigned char)payload[1];
    return 0;
}

/* Feeds the bytes in two parts split at `at`, or one by one when at > n. */
static void run_rule(const struct rule *r, struct str bytes, size_t at)
{
    static const enum ws_state states[] = {WS_OPEN, WS_FAILED, WS_CLOSED};
    struct got g;

    got_open(&g, 1000);
    if (at > bytes.n) {
        for (size_t i = 0; i < bytes.n; i++)
            feed(&g, str_make(bytes.p + i, 1));
    } else {
        feed(&g, str_head(bytes, at));
        feed(&g, str_skip(bytes, at));
    }
    T_MUST(buf_cstr(&g.texts) != NULL);
    if (strcmp(buf_cstr(&g.texts), r->texts) != 0)
        T_FAIL("%s, split at %zu: \"%s\", not \"%s\"", r->name, at, g.texts.p, r->texts);
    if (ws_state(g.w) != states[r->end] || (g.rc < 0) != (r->end == FAIL))
        T_FAIL("%s, split at %zu: state %d, rc %d %s", r->name, at, ws_state(g.w), g.rc, g.e.text);
    if (r->end != OPEN) {
        int code = close_code_sent(&g);

        if (code != r->code)
            T_FAIL("%s, split at %zu: sent code %d, not %d", r->name, at, code, r->code);
    }
    got_free(&g);
}

static void rules_by_the_rfc(void)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct buf b;

        buf_init(&b, WIRE_MAX);
        rules[i].make(&b);
        for (size_t at = 0; at <= b.n + 1; at++)
            run_rule(&rules[i], buf_str(&b), at);
        buf_free(&b);
    }
}

static void pongs_in_order(void)
{
    char payload[256];
    struct got g;
    struct buf b;
    size_t n;

    got_open(&g, 1000);
    buf_init(&b, WIRE_MAX);
    for (int i = 0; i < 10; i++) {
        char text[16];

        (void)snprintf(text, sizeof text, "payload-%d", i);
        frame(&b, 0x89, text);
    }
    feed(&g, buf_str(&b));
    for (int i = 0; i < 10; i++) {
        char text[16];

        (void)snprintf(text, sizeof text, "payload-%d", i);
        T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 10);
        T_STR_EQ(payload, text);
    }
    T_EQ(g.wire.n, 0);
    buf_free(&b);
    got_free(&g);
}

static void a_ping_flood_is_bounded(void)
{
    struct got g;
    struct buf b, wire;
    struct err e;
    int rc;

    got_open(&g, 1000);
    buf_init(&b, WIRE_MAX);
    buf_init(&wire, 1000);
    for (int i = 0; i < 1000; i++)
        frame(&b, 0x89, "pppppppppp");
    rc = ws_feed(g.w, buf_str(&b), &handler, &g, &wire, &e);
    T_EQ(rc, ERR_FULL);
    T_EQ(ws_state(g.w), WS_FAILED);
    T_LE(wire.n, 1000);
    buf_free(&wire);
    buf_free(&b);
    got_free(&g);
}

static void sending(void)
{
    static char payload[300000], big[200001];
    struct got g;
    size_t n = 0;

    got_open(&g, 1000);
    T_OK(ws_send_text(g.w, STR("hi"), &g.wire));
    T_EQ(g.wire.n, 8);
    T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 1);
    T_STR_EQ(payload, "hi");
    T_OK(ws_send_text(g.w, STR(""), &g.wire));
    T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 1);
    T_EQ(n, 0);
    memset(big, 'b', 200000);
    for (size_t len = 124; len <= 128; len++) {
        T_OK(ws_send_text(g.w, str_make(big, len), &g.wire));
        T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 1);
        T_EQ(n, len);
    }
    for (size_t len = 65534; len <= 65537; len++) {
        T_OK(ws_send_text(g.w, str_make(big, len), &g.wire));
        T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 1);
        T_EQ(n, len);
    }
    T_OK(ws_send_text(g.w, str_make(big, 200000), &g.wire));
    T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 1);
    T_MEM_EQ(payload, n, big, 200000);
    T_EQ(ws_send_ping(g.w, str_make(big, 126), &g.wire), ERR_TOO_BIG);
    T_OK(ws_send_ping(g.w, str_make(big, 125), &g.wire));
    T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 9);
    got_free(&g);
}

static void a_full_wire_writes_nothing(void)
{
    struct got g;
    struct buf wire;

    got_open(&g, 1000);
    buf_init(&wire, 20);
    T_EQ(ws_send_text(g.w, STR("0123456789"), &wire), ERR_TOO_BIG);
    T_EQ(wire.n, 0);
    buf_clear(&wire);
    T_OK(ws_send_text(g.w, STR("012345"), &wire));
    T_EQ(wire.n, 12);
    T_EQ(ws_state(g.w), WS_OPEN);
    buf_free(&wire);
    got_free(&g);
}

/* 5.3: masks are unpredictable, so at least they never repeat. */
static void masks_differ(void)
{
    static unsigned char seen[2000][4];
    struct got g;

    got_open(&g, 1000);
    for (int i = 0; i < 2000; i++) {
        buf_clear(&g.wire);
        T_OK(ws_send_text(g.w, STR("x"), &g.wire));
        memcpy(seen[i], g.wire.p + 2, 4);
    }
    for (int i = 1; i < 2000; i++)
        if (memcmp(seen[i], seen[i - 1], 4) == 0)
            T_FAIL("mask %d is the one before it", i);
    got_free(&g);
}

static void closing_first(void)
{
    char payload[256];
    struct got g;
    struct buf b;
    size_t n = 0;

    got_open(&g, 1000);
    buf_init(&b, 1000);
    T_OK(ws_send_close(g.w, 1000, STR("bye"), &g.wire));
    T_EQ(ws_state(g.w), WS_CLOSING);
    T_EQ(ws_send_text(g.w, STR("late"), &g.wire), ERR_BAD_STATE);
    T_EQ(ws_send_close(g.w, 1000, STR(""), &g.wire), ERR_BAD_STATE);
    T_EQ(take_frame(&g.wire, payload, sizeof payload, &n), 8);
    T_MEM_EQ(payload, n, "\x03\xe8" "bye", 5);
    /* 5.5.1: data may still come and is not handed on; pings are not answered. */
    frame(&b, 0x81, "meanwhile");
    frame(&b, 0x89, "ping");
    feed(&g, buf_str(&b));
    T_EQ(ws_state(g.w), WS_CLOSING);
    T_EQ(g.texts.n, 0);
    buf_clear(&b);
    frame_form(&b, 0x88, STR("\x03\xe8"), 0);
    feed(&g, buf_str(&b));
    T_EQ(ws_state(g.w), WS_CLOSED);
    T_EQ(ws_close_code(g.w), 1000);
    T_EQ(g.wire.n, 0);
    buf_free(&b);
    got_free(&g);
}

static void codes_and_reasons_are_told(void)
{
    struct got g;
    struct buf b;

    buf_init(&b, 1000);
    got_open(&g, 1000);
    T_EQ(ws_close_code(g.w), 0);
    close_reason(&b);
    feed(&g, buf_str(&b));
    T_EQ(ws_close_code(g.w), 1001);
    T_MEM_EQ(ws_close_reason(g.w).p, ws_close_reason(g.w).n, "going away \xe2\x82\xac", 14);
    got_free(&g);
    got_open(&g, 1000);
    buf_clear(&b);
    close_empty(&b);
    feed(&g, buf_str(&b));
    T_EQ(ws_close_code(g.w), 1005);
    T_EQ(ws_close_reason(g.w).n, 0);
    got_free(&g);
    buf_free(&b);
}

static void stopping_inside_a_message(void)
{
    struct got g;
    struct buf b;

    got_open(&g, 1000);
    buf_init(&b, 1000);
    g.stop_after_first = true;
    frame(&b, 0x81, "one");
    frame(&b, 0x81, "two");
    feed(&g, buf_str(&b));
    T_STR_EQ(buf_cstr(&g.texts), "one|");
    buf_free(&b);
    got_free(&g);
}

/* Of this thread's CPU: a busy machine does not count. */
static uint64_t cpu_us(void)
{
    struct timespec t;

    T_MUST(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Time must grow with the bytes, not with their square: one frame, and frames of one byte. */
static void large_messages_take_linear_time(void)
{
    static char mb[1u << 20];
    uint64_t began, small, large;
    struct got g;
    struct buf b;

    memset(mb, 'm', sizeof mb);
    for (int fragmented = 0; fragmented < 2; fragmented++) {
        uint64_t took[2];

        for (int k = 0; k < 2; k++) {
            size_t n = fragmented ? (k == 0 ? 100000 : 800000) : (k == 0 ? 1u << 20 : 8u << 20);

            got_open(&g, 16u << 20);
            buf_init(&b, WIRE_MAX);
            if (fragmented) {
                frame(&b, 0x01, "x");
                for (size_t i = 1; i + 1 < n; i++)
                    frame(&b, 0x00, "x");
                frame(&b, 0x80, "x");
            } else {
                (void)buf_put(&b, "\x81\x7f\0\0\0\0", 6);
                for (int s = 24; s >= 0; s -= 8)
                    (void)buf_putc(&b, (char)(n >> s));
                for (size_t i = 0; i < n; i += sizeof mb)
                    (void)buf_put(&b, mb, sizeof mb);
            }
            began = cpu_us();
            for (size_t i = 0; i < b.n; i += 1500)
                feed(&g, str_head(str_skip(buf_str(&b), i), 1500));
            took[k] = cpu_us() - began;
            T_EQ(g.rc, 0);
            T_EQ(g.n, 1);
            T_EQ(g.texts.n, n + 1);
            buf_free(&b);
            got_free(&g);
        }
        small = took[0] + 2000;
        large = took[1];
        if (large > small * 8 * 4)
            T_FAIL("8 times the bytes took %llu us against %llu", (unsigned long long)large,
                   (unsigned long long)took[0]);
    }
}

/* ---- the opening handshake ---- */

static bool check_answer(const char *text, const struct ws_hello *hello, struct err *e)
{
    static struct http1_msg m;
    struct http1 h;
    size_t used = 0;
    int rc;

    http1_msg_init(&m);
    http1_init(&h, true, 4096, 4096);
    http1_next(&h, &m, false);
    rc = http1_feed(&h, str_of(text), &used, e);
    if (rc == 0 && h.state == HTTP1_DONE)
        rc = ws_hello_check(hello, &m, e);
    http1_msg_free(&m);
    return rc == 0;
}

static void the_handshake(void)
{
    /* RFC 6455, 1.3 has this pair. */
    struct ws_hello hello = {"dGhlIHNhbXBsZSBub25jZQ=="}, mine;
    struct buf b;
    struct err e = {0};
    const char *good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    T_TRUE(check_answer(good, &hello, &e));
    T_TRUE(check_answer("HTTP/1.1 101 X\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
                        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", &hello, &e));
    T_FALSE(check_answer("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n", &hello, &e));
    T_FALSE(check_answer("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", &hello, &e));
    T_FALSE(check_answer("HTTP/1.1 101 X\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", &hello, &e));
    T_FALSE(check_answer("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: close\r\n"
                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", &hello, &e));
    T_FALSE(check_answer("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", &hello, &e));
    T_FALSE(check_answer("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Protocol: chat\r\n"
                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", &hello, &e));
    T_FALSE(check_answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", &hello, &e));
    buf_init(&b, 4096);
    T_OK(ws_hello_write(&mine, STR("example.com:8443"), STR("/v1/realtime?call_id=rtc_1"), &b));
    T_HAS(buf_cstr(&b), "GET /v1/realtime?call_id=rtc_1 HTTP/1.1\r\nHost: example.com:8443\r\n");
    T_HAS(buf_cstr(&b), "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
    T_HAS(buf_cstr(&b), mine.key);
    T_EQ(strlen(mine.key), 24);
    T_MUST(buf_cstr(&b) != NULL);
    T_TRUE(strstr(buf_cstr(&b), "Extensions") == NULL);
    buf_free(&b);
}

/* Every allocation fails once; nothing leaks (the sanitizer's part) and the error is an ordinary one. */
static void out_of_memory(void)
{
    struct buf b;
    unsigned long n = 1;
    bool done = false;

    buf_init(&b, WIRE_MAX);
    frame(&b, 0x01, "some text");
    frame(&b, 0x89, "ping");
    frame(&b, 0x80, " and more");
    for (; !done && n < 50; n++) {
        struct ws *w = NULL;
        struct got g;
        int rc;

        memset(&g, 0, sizeof g);
        buf_init(&g.wire, 1000);
        (void)mem_fault_after(n);
        rc = ws_open(&w, 1000, &g.random);
        g.w = w;
        if (rc == 0)
            rc = ws_feed(w, buf_str(&b), &handler, &g, &g.wire, &g.e);
        done = mem_fault_after(0) < n;
        T_TRUE(rc == 0 || rc == ERR_NOMEM);
        T_TRUE(done ? rc == 0 : true);
        ws_free(w);
        buf_free(&g.wire);
        buf_free(&g.texts);
    }
    T_TRUE(done);
    buf_free(&b);
}

static bool openssl_starves;

static void *openssl_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return openssl_starves ? NULL : malloc(n);
}

static void *openssl_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return openssl_starves ? NULL : realloc(p, n);
}

static void openssl_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

/* Where no hash could be made, no answer fits, not even one of the hash's first bytes. */
static void the_handshake_without_memory(void)
{
    static const char zeros[] = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    struct ws_hello hello = {"dGhlIHNhbXBsZSBub25jZQ=="};
    struct err e = {0};

    T_FALSE(check_answer(zeros, &hello, &e));
    T_EQ(e.code, ERR_PROTOCOL);
    openssl_starves = true;
    T_FALSE(check_answer(zeros, &hello, &e));
    openssl_starves = false;
    T_EQ(e.code, ERR_NOMEM);
}

int main(void)
{
    /* A fault ladder has hooks of its own there, and OpenSSL takes none after its first allocation. */
    bool hooked = CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1;

    T_RUN(rules_by_the_rfc);
    T_RUN(pongs_in_order);
    T_RUN(a_ping_flood_is_bounded);
    T_RUN(sending);
    T_RUN(a_full_wire_writes_nothing);
    T_RUN(masks_differ);
    T_RUN(closing_first);
    T_RUN(codes_and_reasons_are_told);
    T_RUN(stopping_inside_a_message);
    T_RUN(large_messages_take_linear_time);
    T_RUN(the_handshake);
    if (hooked)
        T_RUN(the_handshake_without_memory);
    T_RUN(out_of_memory);
    return T_DONE();
}
