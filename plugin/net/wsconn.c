/* SPDX-License-Identifier: MIT */
#include "plugin/net/wsconn.h"

#include "plugin/base/mem.h"
#include "plugin/net/loop_uv.h"
#include "plugin/net/stream.h"
#include "plugin/proto/http1.h"

#include <stdio.h>
#include <string.h>

#define HEAD_BYTES_MAX 65536u
#define ANSWER_BYTES_MAX 4096u /* of the body of an answer that is no 101 */

/* The opening handshake's part; gone when it is over. */
struct hello {
    struct ws_hello keys;
    struct buf request;
    struct http1 h1;
    struct http1_msg answer;
};

struct wsconn {
    struct loop *loop;
    struct stream *stream; /* NULL once closed */
    struct ws *ws;
    struct hello *hello;   /* NULL once open */
    const struct log *log;
    struct wsconn_handler h;
    void *arg;
    uint64_t heard_ms;     /* the last byte from the peer */
    uint64_t pinged_ms;    /* the last ping of ours */
    uint32_t ping_ms, dead_ms, max_message_bytes;
    bool open, over;       /* over: the owner was told, or does not want to be */
};

static void free_hello(struct wsconn *w)
{
    if (w->hello == NULL)
        return;
    buf_free(&w->hello->request);
    http1_msg_free(&w->hello->answer);
    mem_free(w->hello);
    w->hello = NULL;
}

/* orderly: what is queued (a close frame, usually) still leaves. */
static void hang_up(struct wsconn *w, bool orderly)
{
    struct stream *s = w->stream;

    if (s == NULL)
        return;
    w->stream = NULL;
    if (orderly)
        stream_end(s);
    else
        stream_close(s);
}

static void tell_closed(struct wsconn *w, const struct wsconn_end *end, bool orderly)
{
    bool told = w->over;

    w->over = true;
    if (w->ws != NULL)
        ws_stop(w->ws);
    hang_up(w, orderly);
    if (!told && w->h.closed != NULL)
        w->h.closed(w->arg, end);
}

static void fail(struct wsconn *w, int rc, const char *why)
{
    struct wsconn_end end = {.err = rc};

    (void)snprintf(end.text, sizeof end.text, "%.159s", why);
    tell_closed(w, &end, false);
}

static void set_deadline(struct wsconn *w)
{
    uint64_t quiet = w->heard_ms > w->pinged_ms ? w->heard_ms : w->pinged_ms;
    uint64_t ping_at = quiet + w->ping_ms, dead_at = w->heard_ms + w->dead_ms;

    if (w->stream != NULL)
        stream_deadline(w->stream, ping_at < dead_at ? ping_at : dead_at);
}

/* ---- messages ---- */

static void on_text(void *arg, struct str text)
{
    struct wsconn *w = arg;

    if (!w->over)
        w->h.text(w->arg, text);
}

/* The peer's close frame: ours is in the stream already. */
static void peer_closed(struct wsconn *w)
{
    struct wsconn_end end = {.ws_code = ws_close_code(w->ws)};
    struct str reason = ws_close_reason(w->ws);

    (void)snprintf(end.text, sizeof end.text, "closed by the peer with code %d%s%.*s", end.ws_code,
                   reason.n > 0 ? ": " : "", STR_ARG(str_head(reason, 100)));
    tell_closed(w, &end, true);
}

static void feed_ws(struct wsconn *w, struct str bytes)
{
    static const struct ws_handler handler = {.text = on_text};
    struct wsconn_end end = {0};
    struct err e = {0};
    struct buf replies;
    int rc, sent = 0;

    /* Handlers send while this goes on, so answers to pings take a place of their own meanwhile. */
    buf_init(&replies, LOOP_READ_BYTES * 2);
    rc = ws_feed(w->ws, bytes, &handler, w, &replies, &e);
    if (w->stream != NULL && replies.n > 0)
        sent = stream_write(w->stream, buf_str(&replies));
    buf_free(&replies);
    if (w->stream == NULL)
        return;
    if (rc < 0) {
        end.err = rc;
        (void)snprintf(end.text, sizeof end.text, "%.159s", e.text);
        tell_closed(w, &end, true);
    } else if (sent < 0) {
        fail(w, sent, "the peer does not read");
    } else if (ws_state(w->ws) == WS_CLOSED) {
        peer_closed(w);
    }
}

/* ---- the handshake ---- */

static int open_ws(struct wsconn *w, struct err *e)
{
    int rc = ws_hello_check(&w->hello->keys, &w->hello->answer, e);

    if (rc == 0 && ws_open(&w->ws, w->max_message_bytes, &w->loop->random) < 0)
        rc = err_set(e, ERR_NOMEM, "out of memory for a WebSocket");
    return rc;
}

static void refused(struct wsconn *w)
{
    struct wsconn_end end = {.http_status = w->hello->answer.status, .err = ERR_HTTP};

    (void)snprintf(end.text, sizeof end.text, "the server answered %d %s", end.http_status,
                   http1_reason(end.http_status));
    tell_closed(w, &end, false);
}

static void feed_hello(struct wsconn *w, struct str bytes)
{
    struct hello *hello = w->hello;
    struct err e = {0};
    size_t used = 1;
    int rc = 0;

    while (rc == 0 && used > 0 && hello->h1.state == HTTP1_HEAD) {
        rc = http1_feed(&hello->h1, bytes, &used, &e);
        bytes = str_skip(bytes, used);
    }
    if (rc == 0 && hello->h1.state == HTTP1_HEAD)
        return;
    if (rc == 0 && hello->answer.status != 101) {
        refused(w);
        return;
    }
    if (rc == 0)
        rc = open_ws(w, &e);
    if (rc < 0) {
        fail(w, rc, e.text);
        return;
    }
    free_hello(w);
    w->open = true;
    w->pinged_ms = 0;
    if (w->h.open != NULL)
        w->h.open(w->arg);
    if (w->stream != NULL && bytes.n > 0)
        feed_ws(w, bytes); /* frames may follow the 101 at once */
}

/* ---- the stream's events ---- */

static void on_open(void *arg)
{
    struct wsconn *w = arg;

    (void)stream_write(w->stream, buf_str(&w->hello->request));
    buf_free(&w->hello->request);
}

static void on_data(void *arg, struct str bytes)
{
    struct wsconn *w = arg;

    if (w->stream == NULL)
        return;
    w->heard_ms = loop_now_ms(w->loop);
    if (w->open)
        feed_ws(w, bytes);
    else
        feed_hello(w, bytes);
    if (w->open)
        set_deadline(w);
}

static void on_deadline(void *arg)
{
    struct wsconn *w = arg;
    uint64_t now = loop_now_ms(w->loop);
    struct buf *out;

    if (w->stream == NULL)
        return;
    if (!w->open) {
        fail(w, ERR_TIMEOUT, "no WebSocket within the time allowed");
        return;
    }
    if (now >= w->heard_ms + w->dead_ms) {
        fail(w, ERR_TIMEOUT, "the peer fell silent");
        return;
    }
    if (now >= w->heard_ms + w->ping_ms && now >= w->pinged_ms + w->ping_ms) {
        w->pinged_ms = now;
        out = stream_compose(w->stream);
        if (out != NULL) {
            (void)ws_send_ping(w->ws, STR_NONE, out);
            (void)stream_commit(w->stream); /* a full queue means a dead peer soon */
        }
    }
    set_deadline(w);
}

static void on_over(void *arg, int rc, const char *why)
{
    struct wsconn *w = arg;

    if (w->stream != NULL)
        fail(w, rc < 0 ? rc : ERR_CLOSED, why);
}

static void on_gone(void *arg)
{
    struct wsconn *w = arg;

    free_hello(w);
    ws_free(w->ws);
    mem_free(w);
}

static const struct stream_handler stream_callbacks = {
    .open = on_open, .data = on_data, .deadline = on_deadline, .over = on_over, .gone = on_gone};

/* ---- the interface ---- */

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

static int write_hello(struct wsconn *w, const struct wsconn_config *k, const struct url *u)
{
    struct hello *hello = w->hello;
    char host[300], slash[] = "/";
    struct str target = u->path.n > 0 ? str_make(u->path.p, (size_t)(k->url.p + k->url.n - u->path.p))
                                      : str_of(slash);
    int n = snprintf(host, sizeof host, u->is_ipv6 ? "[%.*s]" : "%.*s", STR_ARG(u->host));
    int rc;

    if (u->has_port)
        (void)snprintf(host + n, sizeof host - (size_t)n, ":%u", u->port);
    rc = ws_hello_write(&hello->keys, str_of(host), target, &hello->request);
    for (unsigned i = 0; rc == 0 && i < k->n_headers; i++) {
        const struct httpc_header *h = &k->headers[i];

        if (h->name.n == 0 || !is_clean(h->name) || !is_clean(h->value))
            return ERR_INVALID;
        rc = buf_printf(&hello->request, "%.*s: %.*s\r\n", STR_ARG(h->name), STR_ARG(h->value));
    }
    return rc < 0 ? rc : buf_puts(&hello->request, STR("\r\n"));
}

static int make_hello(struct wsconn *w, const struct wsconn_config *k, const struct url *u)
{
    w->hello = MEM_NEW(struct hello);
    if (w->hello == NULL)
        return ERR_NOMEM;
    buf_init(&w->hello->request, HEAD_BYTES_MAX);
    http1_msg_init(&w->hello->answer);
    http1_init(&w->hello->h1, true, HEAD_BYTES_MAX, ANSWER_BYTES_MAX);
    http1_next(&w->hello->h1, &w->hello->answer, false);
    return write_hello(w, k, u);
}

int wsconn_open(struct wsconn **out, struct loop *l, const struct wsconn_config *config,
                const struct wsconn_handler *h, void *arg, const struct log *log)
{
    struct stream_target target;
    struct wsconn *w;
    struct url u;
    int rc = url_read(&u, config->url, NULL);

    if (rc < 0 || (u.tls && config->tls == NULL) || (u.path.n == 0 && u.query.n > 0))
        return ERR_INVALID;
    w = MEM_NEW(struct wsconn);
    if (w == NULL)
        return ERR_NOMEM;
    w->loop = l;
    w->log = log;
    w->h = *h;
    w->arg = arg;
    w->ping_ms = config->ping_ms != 0 ? config->ping_ms : 10000;
    w->dead_ms = config->dead_ms != 0 ? config->dead_ms : 25000;
    w->max_message_bytes = config->max_message_bytes != 0 ? config->max_message_bytes
                                                          : 16u * 1024u * 1024u;
    rc = make_hello(w, config, &u);
    if (rc < 0)
        goto out;
    target = (struct stream_target){u.host, u.port, u.tls ? config->tls : NULL};
    rc = stream_connect(&w->stream, l, &target, &stream_callbacks, w, NULL);
    if (rc < 0)
        goto out;
    stream_limit(w->stream, config->max_queue_bytes != 0 ? config->max_queue_bytes : 1024u * 1024u);
    stream_deadline(w->stream,
                    loop_now_ms(l) + (config->connect_ms != 0 ? config->connect_ms : 10000));
    *out = w;
    return 0;
out:
    free_hello(w);
    mem_free(w);
    return rc;
}

int wsconn_send(struct wsconn *w, struct str text)
{
    struct buf *out = w->open && w->stream != NULL ? stream_compose(w->stream) : NULL;
    int rc;

    if (out == NULL)
        return ERR_CLOSED;
    rc = ws_send_text(w->ws, text, out);
    if (rc < 0) {
        out->rc = 0; /* nothing was appended */
        return rc == ERR_TOO_BIG ? ERR_FULL : rc == ERR_BAD_STATE ? ERR_CLOSED : rc;
    }
    return stream_commit(w->stream);
}

void wsconn_close(struct wsconn *w)
{
    struct buf *out;

    if (w == NULL)
        return;
    w->over = true;
    if (w->ws != NULL)
        ws_stop(w->ws);
    out = w->open && w->stream != NULL ? stream_compose(w->stream) : NULL;
    if (out != NULL) {
        (void)ws_send_close(w->ws, 1000, STR_NONE, out);
        (void)stream_commit(w->stream);
    }
    hang_up(w, out != NULL);
}
