/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_WS_KIT_H
#define TESTS_UNIT_WS_KIT_H
/*
 * A WebSocket client's end for tests of plugin/proto/ws.c: frames as a server makes them, also such as none may, and what
 * came out of the client: messages, and frames on the wire. One thread.
 */
#include "plugin/base/buf.h"
#include "plugin/proto/ws.h"
#include "tests/unit/t.h"

#define WIRE_MAX (64u * 1024u * 1024u)

/* ---- frames as a server makes them ---- */

/* first: FIN, RSV and opcode; forms of length: 0 the shortest, 2 or 8 bytes of extended length. */
static inline void frame_form(struct buf *b, unsigned first, struct str payload, int form)
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

static inline void frame(struct buf *b, unsigned first, const char *payload)
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

static inline void on_text(void *arg, struct str text)
{
    struct got *g = arg;

    g->n++;
    (void)buf_puts(&g->texts, text);
    (void)buf_putc(&g->texts, '|');
    if (g->stop_after_first)
        ws_stop(g->w);
}

static inline void on_binary(void *arg, struct str data)
{
    struct got *g = arg;

    (void)buf_puts(&g->binaries, data);
    (void)buf_putc(&g->binaries, '|');
}

static const struct ws_handler handler = {on_text, on_binary};

static inline void got_open(struct got *g, size_t max_message)
{
    memset(g, 0, sizeof *g);
    buf_init(&g->texts, WIRE_MAX);
    buf_init(&g->binaries, WIRE_MAX);
    buf_init(&g->wire, WIRE_MAX);
    T_MUST(ws_open(&g->w, max_message, &g->random) == 0);
}

static inline void got_free(struct got *g)
{
    ws_free(g->w);
    buf_free(&g->texts);
    buf_free(&g->binaries);
    buf_free(&g->wire);
}

static inline void feed(struct got *g, struct str bytes)
{
    if (g->rc == 0)
        g->rc = ws_feed(g->w, bytes, &handler, g, &g->wire, &g->e);
}

/* Takes the first frame off the wire, which must be a client's: masked, final, no RSV. Its opcode, or -1. */
static inline int take_frame(struct buf *wire, char *payload, size_t cap, size_t *n)
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

#endif
