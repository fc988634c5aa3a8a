/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_STREAM_H
#define PLUGIN_NET_STREAM_H
/*
 * A byte stream over TCP, with or without TLS, client or server: the one way in and out for all
 * connections. What is written in one turn of the loop leaves in one write. One owner; loop thread.
 * Internal to plugin/net.
 *
 * Closing: stream_close() may be called at any time, inside callbacks too. Afterwards only `gone`
 * fires, from libuv's last close callback: there the owner frees what `arg` points to.
 */
#include "plugin/base/buf.h"
#include "plugin/net/loop.h"
#include "plugin/proto/tls.h"

struct stream;

struct stream_handler {
    /* Connected, TLS included. Not for accepted streams without TLS, which are open from the start. May be NULL. */
    void (*open)(void *arg);
    /* Bytes from the peer, valid during the call. */
    void (*data)(void *arg, struct str bytes);
    /* What was queued has left (only after stream_queued() was above 0 at the end of a turn). May be NULL. */
    void (*drained)(void *arg);
    /* The time of stream_deadline() has come. */
    void (*deadline)(void *arg);
    /*
     * rc 0: the peer sends no more (writing is still possible); else the stream is dead and why says so
     * to people. Each at most once, in this order. The owner then calls stream_end() or stream_close(),
     * now or later.
     */
    void (*over)(void *arg, int rc, const char *why);
    /* The last callback. */
    void (*gone)(void *arg);
};

struct stream_target {
    struct str host; /* name or numeric address; also what TLS verifies */
    uint16_t port;
    struct tls_ctx *tls; /* NULL: plain */
};

/* Resolves, connects, shakes hands; failures come by `over`, never from inside. ERR_NOMEM, ERR_INVALID, ERR_TLS. */
int stream_connect(struct stream **out, struct loop *l, const struct stream_target *target,
                   const struct stream_handler *h, void *arg, struct err *e);
/* Takes a connection from a libuv listener (uv_stream_t *). uv codes, ERR_NOMEM, ERR_TLS. */
int stream_accept(struct stream **out, struct loop *l, void *listener, struct tls_ctx *tls,
                  const struct stream_handler *h, void *arg, struct err *e);

/* Bytes that may wait for the peer; more than that is ERR_FULL. Default 1 MiB. */
void stream_limit(struct stream *s, size_t max_queue_bytes);
/* Queues bytes (copied). ERR_FULL, ERR_NOMEM, ERR_CLOSED: nothing was queued. */
int stream_write(struct stream *s, struct str bytes);
/*
 * To compose in place: append to the buffer returned, then stream_commit(). NULL when closed. What does
 * not fit stays out and shows in the buffer's rc, which stream_commit() returns after taking all back.
 */
struct buf *stream_compose(struct stream *s);
int stream_commit(struct stream *s);
size_t stream_queued(const struct stream *s);
/* Bytes handed to the kernel so far, those of TLS included. */
uint64_t stream_sent(const struct stream *s);
/* `drained` fires when nothing is queued any more, at the end of this turn at the earliest. */
void stream_watch(struct stream *s);
/* Monotonic time for the `deadline` callback; 0: none. Cheap to move away. */
void stream_deadline(struct stream *s, uint64_t at_ms);
void stream_pause(struct stream *s, bool paused); /* stops reading */
bool stream_tls_resumed(const struct stream *s);
/* The peer's address as IPv6, IPv4 mapped into it; zeros when unknown. */
void stream_peer_key(const struct stream *s, unsigned char out[16]);
/* Such an address as text, IPv4 in its own form, into out[cap >= 46]. */
void stream_peer_text(const unsigned char key[16], char *out, size_t cap);

/*
 * Orderly end: sends what is queued, close_notify and FIN, then waits a moment for the peer's end so
 * that it can read all. No callback but `gone` fires afterwards.
 */
void stream_end(struct stream *s);
void stream_close(struct stream *s); /* at once; NULL is fine */

void stream_flush_dirty(struct loop *l); /* for loop.c: the end of a turn */

#endif
