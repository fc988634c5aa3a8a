/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_HTTPD_INT_H
#define PLUGIN_NET_HTTPD_INT_H
/*
 * What httpd.c (connections), httpd_peer.c (addresses) and httpd_reply.c (exchanges and answers) share. Owner:
 * struct httpd; loop thread. Nobody else includes this.
 */
#include "plugin/net/httpd.h"
#include "plugin/net/loop_uv.h"
#include "plugin/net/stream.h"
#include "plugin/proto/http1.h"

#define HTTPD_PIPELINE_MAX 16u /* requests of one connection under way at once */
#define HTTPD_PEER_BUCKETS 64u
#define HTTPD_REPLY_BYTES_MAX (16u * 1024u * 1024u)

enum exchange_state {
    X_READING, /* the request is coming in */
    X_HANDLER, /* the handler has it */
    X_STREAM,  /* answered by a stream that has not ended */
    X_READY    /* answered; the bytes wait in `reply` for their turn, or are out already */
};

struct httpd_exchange {
    struct httpd *d;
    struct conn *conn; /* NULL: the client is gone */
    struct httpd_exchange *next;
    struct http1_msg msg;
    struct buf headers; /* further ones for the answer */
    struct buf reply;
    uint64_t since_ms;  /* the request was complete */
    void (*on_gone)(void *arg);
    void (*drained)(void *arg); /* asked for by httpd_stream_watch(), else NULL */
    void *gone_arg;
    uint64_t left;      /* of a stream of known length: bytes still to be sent */
    char peer_text[46];
    enum exchange_state state;
    bool close;   /* the connection ends with this answer */
    bool no_body; /* HEAD */
    bool sized;   /* a stream of known length */
    bool ended;   /* of a stream whose client was gone before it began */
};

struct peer { /* how many connections one address has */
    struct peer *next;
    unsigned n;
    unsigned char key[16];
};

struct conn {
    struct httpd *d;
    struct stream *stream; /* NULL once closed */
    struct conn *prev, *next;
    struct peer *peer;
    struct http1 h1;
    struct httpd_exchange *reading;      /* NULL between requests */
    struct httpd_exchange *first, *last; /* complete requests in order of arrival */
    struct buf rest;    /* bytes behind the last request that was let in */
    uint64_t since_ms;  /* first byte of the request under way, else the last answer or the beginning */
    uint64_t sent;      /* stream_sent() at the last look at a streaming client */
    char peer_text[46];
    unsigned n_exchanges;
    bool stopped;       /* no further request is read */
    bool parsing, eof, fresh, doomed, refused, continued;
};

struct httpd {
    struct loop *loop;
    const struct log *log;
    struct httpd_config config;
    httpd_handler_fn *fn;
    void *arg;
    struct tls_ctx *tls;
    uv_tcp_t listener;
    struct timer *grace, *later;
    struct httpd_exchange *orphans; /* streams to be told by `later` that their client is gone */
    struct conn *conns;
    struct peer *peers[HTTPD_PEER_BUCKETS];
    struct httpd_exchange *spare;
    unsigned n_spare, n_refused, n_open; /* n_open: exchanges not in `spare` */
    struct httpd_stats stats;
    uint64_t warned_ms;     /* the last line about a failed accept */
    uint64_t date_s;
    char date[40];
    bool listening, draining, closing, told;
    bool accept_again;      /* a connection could not be taken; `later` tries */
    void (*closed)(void *arg);
    void *closed_arg;
    int port;
};

/* ---- httpd_peer.c ---- */

struct peer *httpd_peer_find(struct httpd *d, const unsigned char key[16]); /* NULL: out of memory */
/* One connection of it less; without any it is freed. */
void httpd_peer_leave(struct httpd *d, struct peer *p);

/* ---- httpd_reply.c ---- */

struct httpd_exchange *httpd_exchange_take(struct conn *c); /* NULL: out of memory */
/* Back to the store; may free d as its last act, when d is closed and this was its last exchange. */
void httpd_exchange_give_back(struct httpd_exchange *x);
void httpd_maybe_free(struct httpd *d);
/* Writes a whole answer where it belongs (the wire if it is x's turn) and marks x ready. */
void httpd_answer(struct httpd_exchange *x, int status, const char *content_type, struct str body);

void httpd_tell_orphans(struct httpd *d);

/* ---- httpd.c ---- */

/* Sends what is ready, in order; called whenever something became ready. c may have lost its stream then. */
void httpd_pump(struct conn *c);
/* Ends the connection from the loop, soon, never from inside. */
void httpd_doom(struct conn *c);

#endif
