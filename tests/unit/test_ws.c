/* SPDX-License-Identifier: MIT */
/* The WebSocket client: pongs, sending, closing, stopping, large messages, the handshake, no memory. */
#include "plugin/proto/ws.h"

#include "plugin/base/mem.h"
#include "plugin/proto/http1.h"
#include "tests/unit/ws_kit.h"

#include <openssl/crypto.h>
#include <time.h>

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
    frame_form(&b, 0x88, STR("\x03\xe9going away \xe2\x82\xac"), 0);
    feed(&g, buf_str(&b));
    T_EQ(ws_close_code(g.w), 1001);
    T_MEM_EQ(ws_close_reason(g.w).p, ws_close_reason(g.w).n, "going away \xe2\x82\xac", 14);
    got_free(&g);
    got_open(&g, 1000);
    buf_clear(&b);
    frame(&b, 0x88, "");
    frame(&b, 0x81, "late");
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
