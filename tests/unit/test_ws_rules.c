/* SPDX-License-Identifier: MIT */
/* Rules of RFC 6455 for what a server may send: a table of bytes in, and what must come out. */
#include "plugin/proto/ws.h"
#include "tests/unit/ws_kit.h"

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

int main(void)
{
    T_RUN(rules_by_the_rfc);
    return T_DONE();
}
