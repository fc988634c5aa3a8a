/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_WSCONN_H
#define PLUGIN_NET_WSCONN_H
/*
 * A WebSocket client connection (RFC 6455) over TCP or TLS. Answers pings, sends its own, notices a
 * dead peer. Loop thread.
 */
#include "plugin/net/httpc.h"

struct wsconn;

struct wsconn_end { /* why it is over */
    int http_status; /* the handshake's answer when it was not 101, else 0 */
    int ws_code;     /* the peer's close code, 1005 when it gave none, 0 when there was no close frame */
    int err;         /* 0 for an orderly close */
    char text[160];  /* for people */
};

struct wsconn_handler {
    void (*open)(void *arg);                   /* 101 received; may be NULL */
    void (*text)(void *arg, struct str text);  /* a whole text message; borrowed; may close */
    void (*closed)(void *arg, const struct wsconn_end *end); /* once; not after wsconn_close() */
};

struct wsconn_config {
    struct str url; /* ws:// or wss:// (http:// and https:// mean the same), with path and query */
    struct tls_ctx *tls;
    const struct httpc_header *headers; /* further request headers */
    unsigned n_headers;
    uint32_t connect_ms;        /* default 10000: until 101 */
    uint32_t ping_ms;           /* default 10000: after that long without a byte from the peer */
    uint32_t dead_ms;           /* default 25000: without a byte from the peer */
    uint32_t max_message_bytes; /* default 16 MiB */
    uint32_t max_queue_bytes;   /* default 1 MiB waiting to be sent: then ERR_FULL */
};

/* Copies what it needs. Fails only for arguments and memory; the rest comes by `closed`, later. */
int wsconn_open(struct wsconn **out, struct loop *l, const struct wsconn_config *config,
                const struct wsconn_handler *h, void *arg, const struct log *log);
/* A text message; copied. Several sends in one turn of the loop leave in one write. */
int wsconn_send(struct wsconn *ws, struct str text);
/* Sends close 1000 and tears down; no callback fires any more. Allowed inside callbacks. NULL is fine. */
void wsconn_close(struct wsconn *ws);

#endif
