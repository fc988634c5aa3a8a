/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_STREAM_INT_H
#define PLUGIN_NET_STREAM_INT_H
/*
 * What stream.c (reading, writing, closing) and stream_open.c (connecting, accepting) share. Owner: the
 * stream; loop thread. Nobody else includes this.
 */
#include "plugin/net/loop_uv.h"
#include "plugin/net/resolver.h"
#include "plugin/net/stream.h"

/* Connecting; freed once connected or given up. */
struct dial {
    struct resolver_query *query;
    struct resolver_addrs addrs;
    unsigned next;
    uint64_t until_ms; /* of this attempt; 0: it has all the time there is */
    int rc;            /* why the last attempt failed */
    uint16_t port;
    char host[];
};

/* Bytes that the kernel did not take at once. */
struct flight {
    uv_write_t req;
    struct buf bytes;
    size_t from;
};

/* A TCP handle has its own memory: a failed attempt is closed while the next one begins. */
struct tcp {
    uv_tcp_t uv; /* first: libuv's pointers are ours */
    struct stream *stream; /* NULL once abandoned */
};

struct stream {
    struct loop *loop;
    const struct stream_handler *h;
    void *arg;
    struct tcp *tcp;
    struct tls *tls;
    struct dial *dial;
    struct flight *flight;  /* a write under way; at most one */
    struct buf out;         /* plain bytes not yet sent */
    struct buf wire;        /* encrypted bytes not yet sent, behind the flight */
    struct stream *next_dirty;
    uint64_t sent;
    uint64_t deadline_ms;   /* 0: none */
    uint64_t armed_ms;      /* when libuv's timer fires; 0: it does not */
    size_t max_queue;
    size_t composed_from;   /* of `out`, while it is composed */
    size_t discarded;       /* bytes read while lingering */
    uv_timer_t timer;
    unsigned handles;       /* libuv's, not yet closed */
    bool dirty, open, over, paused, reading;
    bool ending, finished;  /* stream_end() was called; FIN was sent */
    bool closing, starved;
    int fail_rc;            /* to be reported from the timer, outside of any caller */
};

/* ---- stream.c ---- */

/* Reports the end to the owner once; while ending, nobody listens any more. */
void stream_fail(struct stream *s, int rc, const char *why);
void stream_arm(struct stream *s);    /* sets libuv's timer for the earliest thing to happen */
void stream_on_timer(uv_timer_t *t);
void stream_start_reading(struct stream *s);
void stream_opened(struct stream *s); /* ready for the owner */
void stream_feed_tls(struct stream *s, struct str bytes);
void stream_on_tcp_closed(uv_handle_t *h);

const char *stream_rc_text(int rc); /* for people; static */

/* ---- stream_open.c ---- */

void stream_dial_free(struct stream *s);
void stream_dial_next(struct stream *s); /* the next address, or the failure */

#endif
