/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_HTTPD_KIT_H
#define TESTS_UNIT_HTTPD_KIT_H
/* A server on a loop of its own, with a handler that does what the path says. */
#include "plugin/net/httpd.h"

#include "plugin/base/buf.h"
#include "tests/unit/net_kit.h"

struct world {
    struct loop *loop;
    struct httpd *d;
    struct httpd_config config;
    int open_rc;
    struct err e;
    uint32_t grace_ms;
    atomic_bool closed;
    struct httpd_stats stats;
    struct httpd_exchange *held[64]; /* asked for by /hold */
    atomic_uint n_held, n_gone;
    atomic_uint handled, bad_headers;
    unsigned reply_at;               /* index for reply_fn */
    struct httpd_exchange *stream;
    int send_rc;
    size_t send_bytes, left, most_pending;
};

#define MUCH_BYTES (32u << 20)

static inline void gone(void *arg)
{
    struct world *w = arg;

    w->stream = NULL;
    atomic_fetch_add(&w->n_gone, 1);
}

/* As a sender of much does it: no more than 128 KiB wait at any time. */
static inline void much(void *arg)
{
    struct world *w = arg;
    static const char piece[65536] = "much";

    while (w->stream != NULL && w->left > 0) {
        size_t pending = httpd_stream_pending(w->stream);

        if (pending > w->most_pending)
            w->most_pending = pending;
        if (pending >= 65536) {
            httpd_stream_watch(w->stream, much);
            return;
        }
        if (httpd_stream_send(w->stream, str_make(piece, sizeof piece)) < 0)
            return;
        w->left -= sizeof piece;
    }
    if (w->stream != NULL)
        httpd_stream_end(w->stream);
    w->stream = NULL;
}

static inline void describe(struct world *w, struct httpd_exchange *x)
{
    char text[1024];
    struct str body = httpd_body(x);

    (void)snprintf(text, sizeof text, "%.*s %.*s ?%.*s peer=%.*s x=%.*s n=%u body=%.*s",
                   STR_ARG(httpd_method(x)), STR_ARG(httpd_path(x)), STR_ARG(httpd_query(x)),
                   STR_ARG(httpd_peer(x)), STR_ARG(httpd_header(x, "x-test")),
                   httpd_header_count(x, "x-test"), STR_ARG(body));
    if (httpd_reply_header(x, "X-Extra", STR("yes")) != 0 ||
        httpd_reply_header(x, "X-Bad", STR("a\r\nSet-Cookie: b")) != ERR_INVALID)
        atomic_fetch_add(&w->bad_headers, 1);
    httpd_reply(x, 200, "text/plain", str_of(text));
}

static inline void handler(void *arg, struct httpd_exchange *x)
{
    struct world *w = arg;
    struct str path = httpd_path(x);

    atomic_fetch_add(&w->handled, 1);
    if (str_starts(path, STR("/hold"))) {
        w->held[atomic_load(&w->n_held)] = x;
        atomic_fetch_add(&w->n_held, 1);
    } else if (str_starts(path, STR("/stream"))) {
        httpd_stream(x, 200, "text/event-stream", gone, w);
        (void)httpd_stream_send(x, STR("one"));
        (void)httpd_stream_send(x, STR("two"));
        if (str_eqc(path, "/stream-end"))
            httpd_stream_end(x);
        else
            w->stream = x;
    } else if (str_starts(path, STR("/sized"))) {
        httpd_stream_sized(x, 200, "text/plain", 6, gone, w);
        (void)httpd_stream_send(x, STR("one"));
        (void)httpd_stream_send(x, str_eqc(path, "/sized-over") ? STR("four") : STR("two"));
        if (str_eqc(path, "/sized-drop"))
            httpd_stream_drop(x);
        else if (!str_eqc(path, "/sized-over"))
            httpd_stream_end(x);
    } else if (str_eqc(path, "/short-of-it")) {
        httpd_stream_sized(x, 200, "text/plain", 6, gone, w);
        (void)httpd_stream_send(x, STR("one"));
        httpd_stream_end(x);
    } else if (str_eqc(path, "/much")) {
        w->stream = x;
        w->left = MUCH_BYTES;
        httpd_stream_sized(x, 200, "text/plain", MUCH_BYTES, gone, w);
        much(w);
    } else if (str_eqc(path, "/204")) {
        httpd_reply(x, 204, NULL, STR_NONE);
    } else if (str_eqc(path, "/big")) {
        char *big = malloc(4u << 20);

        memset(big, 'b', 4u << 20);
        httpd_reply(x, 200, "text/plain", str_make(big, 4u << 20));
        free(big);
    } else if (str_eqc(path, "/length")) {
        char text[32];

        (void)snprintf(text, sizeof text, "%zu", httpd_body(x).n);
        httpd_reply(x, 200, NULL, str_of(text));
    } else if (str_eqc(path, "/short")) {
        httpd_reply(x, 200, NULL, path);
    } else {
        describe(w, x);
    }
}

static inline void open_fn(void *arg)
{
    struct world *w = arg;

    w->open_rc = httpd_open(&w->d, w->loop, &w->config, handler, w, kit_log(), &w->e);
}

static inline void closed_fn(void *arg)
{
    struct world *w = arg;

    atomic_store(&w->closed, true);
}

static inline void close_fn(void *arg)
{
    struct world *w = arg;

    httpd_close(w->d, w->grace_ms, closed_fn, w);
}

static inline void drain_fn(void *arg)
{
    struct world *w = arg;

    httpd_drain(w->d);
}

static inline void stats_fn(void *arg)
{
    struct world *w = arg;

    httpd_stats_read(w->d, &w->stats);
}

static inline void reply_fn(void *arg)
{
    struct world *w = arg;
    struct httpd_exchange *x = w->held[w->reply_at];
    char text[64];

    (void)snprintf(text, sizeof text, "held %.*s", STR_ARG(httpd_path(x)));
    httpd_reply(x, 200, "text/plain", str_of(text));
}

static inline void late_stream_fn(void *arg)
{
    struct world *w = arg;
    struct httpd_exchange *x = w->held[w->reply_at];

    httpd_stream(x, 200, "text/plain", gone, w);
    w->send_rc = httpd_stream_send(x, STR("late"));
}

static inline void stream_send_fn(void *arg)
{
    struct world *w = arg;
    char *data;

    if (w->stream == NULL)
        return;
    data = malloc(w->send_bytes);
    memset(data, 's', w->send_bytes);
    w->send_rc = httpd_stream_send(w->stream, str_make(data, w->send_bytes));
    free(data);
}

static inline void stream_end_fn(void *arg)
{
    struct world *w = arg;

    if (w->stream != NULL)
        httpd_stream_end(w->stream);
    w->stream = NULL;
}

static inline void world_open(struct world *w, struct httpd_config config)
{
    memset(w, 0, sizeof *w);
    w->loop = kit_loop();
    w->config = config;
    w->config.bind = "127.0.0.1";
    w->grace_ms = 200;
    kit_do(w->loop, open_fn, w);
    T_MUST(w->open_rc == 0);
}

static inline void world_close(struct world *w)
{
    kit_do(w->loop, close_fn, w);
    T_TRUE(kit_wait(&w->closed));
    kit_end(w->loop);
}

static inline int dial(struct world *w)
{
    int fd = kit_connect(httpd_port(w->d));

    T_MUST(fd >= 0);
    return fd;
}

/* One request on a connection of its own; everything up to its end. */
static inline void talk(struct world *w, const char *request, char *answer, size_t cap)
{
    int fd = dial(w);

    (void)kit_puts(fd, request);
    (void)kit_read(fd, answer, cap, NULL);
    close(fd);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

#endif
