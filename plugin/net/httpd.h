/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_HTTPD_H
#define PLUGIN_NET_HTTPD_H
/*
 * HTTP/1.1 server (RFC 9112) on a port of its own, optionally with TLS. Keep-alive and pipelining:
 * answers leave in the order of their requests. One `struct httpd` an instance; loop thread.
 * An exchange belongs to the handler until it calls httpd_reply(), exactly once, now or later; the
 * client may be gone by then, which is fine.
 */
#include "plugin/net/loop.h"

struct httpd;
struct httpd_exchange;

struct httpd_config {
    const char *bind; /* numeric address */
    int port;         /* 0: any free port */
    const char *tls_cert, *tls_key; /* PEM files, both or none */
    uint32_t header_bytes;    /* default 16 KiB: request line and headers, then 431 */
    uint32_t body_bytes;      /* default 64 KiB: then 413 */
    uint32_t read_ms;         /* default 15000: from the first byte of a request to its last, then 408 */
    uint32_t idle_ms;         /* default 60000: between requests */
    uint32_t reply_ms;        /* default 30000: until the handler replied and the client took it */
    /* At either, the connection that has asked for nothing for the longest time gives way; 503 if there is none. */
    unsigned max_conns;       /* default 1024 */
    unsigned max_conns_peer;  /* default 256: behind a tunnel all are one peer */
};

typedef void httpd_handler_fn(void *arg, struct httpd_exchange *x);

/* Zero fields of config mean their defaults. uv codes, ERR_TLS, ERR_INVALID; e names address and cure. */
int httpd_open(struct httpd **out, struct loop *l, const struct httpd_config *config,
               httpd_handler_fn *fn, void *arg, const struct log *log, struct err *e);
int httpd_port(const struct httpd *h);
/* No new connections, idle ones close; exchanges under way may still be replied to. */
void httpd_drain(struct httpd *h);
/* Closes everything within grace_ms; `closed` once on the loop. Open exchanges must still be replied to. */
void httpd_close(struct httpd *h, uint32_t grace_ms, void (*closed)(void *arg), void *arg);

/* The request; slices live until httpd_reply(). */
struct str httpd_method(const struct httpd_exchange *x);
struct str httpd_path(const struct httpd_exchange *x);  /* raw, up to '?' */
struct str httpd_query(const struct httpd_exchange *x); /* raw, behind '?', or empty */
struct str httpd_body(const struct httpd_exchange *x);
struct str httpd_peer(const struct httpd_exchange *x);  /* numeric address without port */
/* Value of the first header of that name (case ignored), trimmed; STR_NONE if absent. */
struct str httpd_header(const struct httpd_exchange *x, const char *name);
/* How often the header occurs. */
unsigned httpd_header_count(const struct httpd_exchange *x, const char *name);

/* A header for the answer, before httpd_reply(). Copied. Values with control characters are refused. */
int httpd_reply_header(struct httpd_exchange *x, const char *name, struct str value);
/* Answers; Content-Length, Date and Connection are written here. The exchange is gone afterwards. */
void httpd_reply(struct httpd_exchange *x, int status, const char *content_type, struct str body);
/*
 * Answers with a stream of unknown length (chunked), then httpd_stream_send() as often as wanted and
 * httpd_stream_end(). A reader that lets more than 256 KiB wait, or takes nothing of what waits for
 * reply_ms, is dropped: on_gone fires (once, also when the client leaves or ends its side), after which the
 * exchange is gone. With nothing to send a stream may last for ever.
 */
void httpd_stream(struct httpd_exchange *x, int status, const char *content_type,
                  void (*on_gone)(void *arg), void *arg);
/*
 * The same for a body whose length is known (Content-Length): exactly that much must be sent before
 * httpd_stream_end(), else the connection is dropped, lest somebody takes a part for the whole.
 */
void httpd_stream_sized(struct httpd_exchange *x, int status, const char *content_type, uint64_t length,
                        void (*on_gone)(void *arg), void *arg);
/* ERR_CLOSED, ERR_FULL, ERR_NOMEM, ERR_TOO_BIG (over the length): the reader is being dropped. */
int httpd_stream_send(struct httpd_exchange *x, struct str data);
/* Bytes that wait for the client. */
size_t httpd_stream_pending(const struct httpd_exchange *x);
/*
 * For senders of much: drained(arg of httpd_stream()) fires once when no byte waits any more, at the end of
 * this turn at the earliest, never from inside. Not after on_gone or httpd_stream_end().
 */
void httpd_stream_watch(struct httpd_exchange *x, void (*drained)(void *arg));
void httpd_stream_end(struct httpd_exchange *x);
/* Cuts the stream off with its connection, so that the client sees that it is not whole. on_gone fires, later. */
void httpd_stream_drop(struct httpd_exchange *x);

struct httpd_stats {
    uint64_t requests, refused_conns, shed_conns, bad_requests, timeouts;
    unsigned conns;
};
void httpd_stats_read(const struct httpd *h, struct httpd_stats *out);

#endif
