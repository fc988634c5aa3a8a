/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_HTTPC_H
#define PLUGIN_NET_HTTPC_H
/*
 * HTTP/1.1 client: a pool of warm connections to one origin, one request at a time on each, so that a
 * slow answer never delays another request. TLS sessions are resumed. Loop thread.
 */
#include "plugin/net/loop.h"
#include "plugin/proto/tls.h"
#include "plugin/proto/url.h"

struct httpc;
struct httpc_call;

struct httpc_config {
    struct str base_url;  /* scheme, host, port; a path in it is put before each request's path */
    struct tls_ctx *tls;  /* borrowed, outlives the pool; needed for https */
    unsigned max_conns;   /* default 64; further requests wait in line (at most 4096, then ERR_FULL) */
    unsigned warm_conns;  /* kept open and ready while the pool is open; default 0 */
    uint32_t connect_ms;  /* default 5000: name, TCP and TLS */
    uint32_t idle_ms;     /* default 55000: a spare connection above warm_conns is closed */
    uint32_t max_body_bytes; /* default 4 MiB; ERR_TOO_BIG */
};

struct httpc_header {
    struct str name, value;
};

struct httpc_result {
    int status;      /* 0 when no final status came */
    int err;         /* 0, or why it failed */
    bool maybe_sent; /* bytes of the request may have reached the server */
    struct str body; /* whole body, unless on_data took it */
    struct str retry_after, date, location; /* headers of the answer */
    struct str text; /* for people when err: "connection refused", "certificate has expired" */
};

struct httpc_request {
    const char *method;
    struct str path; /* behind base_url's, with its query */
    const struct httpc_header *headers;
    unsigned n_headers;
    struct str body;     /* Content-Length is written here */
    uint32_t timeout_ms; /* whole request, waiting in line included */
    /* Streamed body, as it comes (2xx only); NULL: collected into result.body. */
    void (*on_data)(void *arg, struct str data);
    /* Once, unless cancelled. Not from inside httpc_send(). r is borrowed. */
    void (*on_done)(void *arg, const struct httpc_result *r);
    void *arg;
};

int httpc_open(struct httpc **out, struct loop *l, const struct httpc_config *config,
               const struct log *log, struct err *e);
/*
 * Everything in req is copied. A request written on a kept connection that turns out to be closed
 * before any byte of the answer is sent again once on a fresh one only if `method` is GET or nothing
 * was written; else it fails with maybe_sent, for the caller to judge.
 */
int httpc_send(struct httpc *c, const struct httpc_request *req, struct httpc_call **out);
void httpc_cancel(struct httpc_call *call); /* on_done will not fire; its connection is dropped */
/* Whether the rest of the answer's body waits in the kernel: for who cannot take more now. Its time runs on. */
void httpc_pause(struct httpc_call *call, bool paused);
/* Cancels all without callbacks; `closed` once on the loop. */
void httpc_close(struct httpc *c, void (*closed)(void *arg), void *arg);

struct httpc_stats {
    unsigned conns, idle, waiting;
    uint64_t requests, handshakes, resumed;
};
void httpc_stats_read(const struct httpc *c, struct httpc_stats *out);

#endif
