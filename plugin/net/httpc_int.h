/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_HTTPC_INT_H
#define PLUGIN_NET_HTTPC_INT_H
/*
 * What httpc.c (the pool: requests, and which connection they get), httpc_client.c (one connection) and httpc_request.c
 * (a request's bytes) share. Loop thread.
 */
#include "plugin/base/buf.h"
#include "plugin/net/httpc.h"
#include "plugin/net/stream.h"
#include "plugin/proto/http1.h"

#define HTTPC_HEADER_BYTES 65536u
#define HTTPC_REQUEST_BYTES (16u * 1024u * 1024u)
#define HTTPC_REOPEN_MS 60000u /* at most between tries; also the pace while nobody asks for anything */

struct httpc_call {
    struct httpc *c;
    struct httpc_call *prev, *next; /* in the waiting line */
    struct client *client;          /* NULL: waiting */
    struct buf request;
    uint64_t deadline_ms;
    void (*on_data)(void *arg, struct str data);
    void (*on_done)(void *arg, const struct httpc_result *r);
    void *arg;
    bool is_get, is_head;
    bool fresh; /* tried once on a kept connection that was dead: wants one that was never used */
};

struct client { /* one connection */
    struct httpc *c;
    struct client *prev, *next;
    struct stream *stream;   /* NULL once closed */
    struct httpc_call *call; /* NULL: idle, or not yet open */
    struct http1 h1;
    struct http1_msg msg;
    uint64_t opened_ms;
    uint64_t expires_ms;     /* the server will close it about then; 0: it did not say */
    uint64_t sent_before;    /* stream_sent() when the request began */
    bool open, used, for_call, telling;
};

struct httpc {
    struct loop *loop;
    const struct log *log;
    struct httpc_config config;
    char *base;             /* what config.base_url points to */
    struct url url;
    struct str prefix;      /* base_url's path without the last slash */
    struct client *clients; /* the one used last comes first */
    struct httpc_call *first, *last; /* waiting */
    unsigned n_clients, n_connecting, n_waiting;
    struct timer *timer;
    uint64_t timer_ms;      /* when it fires; 0: not set */
    uint64_t reopen_ms;     /* no warm connection is opened before */
    uint64_t asked_ms;      /* the last request */
    unsigned failures;      /* connections in a row that came to nothing */
    int open_rc;            /* a connection could not even be begun */
    struct httpc_stats stats;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- httpc.c ---- */

/* Gives waiting requests to idle connections, and opens such as are missing. */
void httpc_pump(struct httpc *c);
/* Into the waiting line. */
void httpc_enqueue(struct httpc_call *call, bool front);
/* Takes the call off its connection or out of the line; it is the caller's then. */
void httpc_detach(struct httpc_call *call);
/* Tells and frees a call that was detached. */
void httpc_finish(struct httpc_call *call, const struct httpc_result *r);
/* Frees the pool when it closes and its last connection is gone. */
void httpc_tell_closed(struct httpc *c);

/* ---- httpc_client.c ---- */

/* Begins to connect. for_call: a request waits for it. ERR_NOMEM, or a code of stream_connect(). */
int client_open(struct httpc *c, bool for_call);
/* Closes it; k stays until that is done. What it had to do is somebody else's. */
void client_drop(struct client *k);

/* Detaches the call, drops its connection, tells why, frees. */
void httpc_fail(struct httpc_call *call, int rc, const char *why);

/* ---- httpc_request.c: pure ---- */

/* prefix is put before the path. ERR_INVALID: a method, path or header that would break the lines; buf's codes. */
int httpc_write_request(const struct url *url, struct str prefix, const struct httpc_request *req,
                        struct buf *b);

#endif
