/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_WS_H
#define PLUGIN_PROTO_WS_H
/*
 * A WebSocket client (RFC 6455) without I/O: bytes from the server in, messages out, and back. Frames
 * are read and written by wslay's frame layer; what goes across frames (fragments, UTF-8, close codes,
 * ceilings) is decided here. Messages that arrive in one piece are handed on without a copy. One
 * connection belongs to one thread.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"

struct http1_msg;
struct ws;

/* Random bytes for masks (RFC 6455, 5.3: from a strong source), fetched many at a time. Zero it first. */
struct ws_random {
    unsigned char bytes[1024];
    unsigned left;
};

enum ws_state {
    WS_OPEN,
    WS_CLOSING, /* our close frame is out, the peer's is awaited (RFC 6455, 7.1.3) */
    WS_CLOSED,  /* both were exchanged */
    WS_FAILED   /* the peer broke the protocol; the close frame that says so is in `wire` (7.1.7) */
};

/* The opening handshake (RFC 6455, 4.1), before there is a struct ws. */
struct ws_hello {
    char key[25]; /* Sec-WebSocket-Key: 16 random bytes in base64 */
};
/*
 * Writes the request up to, not including, its last empty line, so that headers can be added.
 * host is the Host header's value, target the path with its query. ERR_IO (no random bytes), buf's codes.
 */
int ws_hello_write(struct ws_hello *hello, struct str host, struct str target, struct buf *wire);
/* Judges a 101 answer (4.2.2): upgrade, accept key, no extension and no subprotocol. ERR_PROTOCOL. */
int ws_hello_check(const struct ws_hello *hello, const struct http1_msg *answer, struct err *e);

/* max_message_bytes also bounds a frame. random is borrowed and may be shared by connections of a thread. */
int ws_open(struct ws **out, size_t max_message_bytes, struct ws_random *random);
void ws_free(struct ws *w);

struct ws_handler {
    void (*text)(void *arg, struct str text);   /* a whole message, valid UTF-8; borrowed */
    void (*binary)(void *arg, struct str data); /* the same; may be NULL */
};
/*
 * Feeds bytes from the server. Answers to pings and the closing handshake are appended to wire; a full
 * `wire` is ERR_FULL. ERR_PROTOCOL, ERR_TOO_BIG, ERR_NOMEM: failed, e says why. The handler may call
 * ws_send_*() and ws_stop().
 */
int ws_feed(struct ws *w, struct str bytes, const struct ws_handler *h, void *arg, struct buf *wire,
            struct err *e);
void ws_stop(struct ws *w); /* no more messages are handed on */

/* One frame each. ERR_BAD_STATE unless WS_OPEN; buf's codes: nothing was written. */
int ws_send_text(struct ws *w, struct str text, struct buf *wire);
int ws_send_ping(struct ws *w, struct str payload, struct buf *wire); /* at most 125 bytes */
int ws_send_close(struct ws *w, int code, struct str reason, struct buf *wire); /* reason is cut to 123 bytes */

enum ws_state ws_state(const struct ws *w);
/* The peer's close code: 0 no close frame yet, 1005 none given (7.1.5). */
int ws_close_code(const struct ws *w);
struct str ws_close_reason(const struct ws *w); /* the peer's, valid UTF-8 */

#endif
