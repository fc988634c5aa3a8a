/* SPDX-License-Identifier: MIT */
#include "plugin/net/httpd_int.h"

#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <stdio.h>
#include <string.h>

#define REFUSED_MAX 64u /* connections being told that there are too many */
#define BACKLOG 1024
#define ACCEPT_AGAIN_MS 100u
#define WARN_EVERY_MS 10000u

/* ---- the life of a connection ---- */

static void set_deadline(struct conn *c)
{
    const struct httpd_config *k = &c->d->config;
    uint64_t at = 0;

    if (c->stream == NULL)
        return;
    if (c->doomed || (c->rest.n > 0 && c->n_exchanges < HTTPD_PIPELINE_MAX))
        at = loop_now_ms(c->d->loop);
    else if (c->reading != NULL || c->fresh)
        at = c->since_ms + k->read_ms;
    else if (c->first == NULL)
        at = c->since_ms + (k->idle_ms < k->reply_ms ? k->idle_ms : k->reply_ms);
    if (c->first != NULL) {
        uint64_t reply_at = c->first->since_ms + k->reply_ms;

        if (at == 0 || reply_at < at)
            at = reply_at;
    }
    stream_deadline(c->stream, at);
}

/* The client is gone: exchanges that a handler holds live on without a connection. */
static void detach(struct conn *c)
{
    struct httpd_exchange *x = c->first;

    if (c->reading != NULL)
        httpd_exchange_give_back(c->reading);
    c->reading = c->first = c->last = NULL;
    c->n_exchanges = 0;
    while (x != NULL) {
        struct httpd_exchange *next = x->next;

        x->conn = NULL;
        x->next = NULL;
        if (x->state == X_STREAM && x->on_gone != NULL)
            x->on_gone(x->gone_arg);
        if (x->state != X_HANDLER)
            httpd_exchange_give_back(x);
        x = next;
    }
}

/* orderly: what was written still leaves. Afterwards only on_gone() sees c. */
static void drop(struct conn *c, bool orderly)
{
    struct stream *s = c->stream;

    if (s == NULL)
        return;
    c->stream = NULL;
    c->stopped = true;
    detach(c);
    if (orderly)
        stream_end(s);
    else
        stream_close(s);
}

static void pop(struct conn *c)
{
    struct httpd_exchange *x = c->first;

    c->first = x->next;
    if (c->first == NULL)
        c->last = NULL;
    c->n_exchanges--;
    httpd_exchange_give_back(x);
}

/* Its turn has come: what it has written so far goes out. False when the connection is lost. */
static bool release_reply(struct conn *c)
{
    struct httpd_exchange *x = c->first;
    int rc = x->reply.rc;

    if (rc == 0 && x->reply.n > 0)
        rc = stream_write(c->stream, buf_str(&x->reply));
    buf_free(&x->reply);
    if (rc == 0 && x->drained != NULL)
        stream_watch(c->stream);
    if (rc == 0)
        return true;
    log_warn(c->d->log, "an answer was lost: %s", err_name(rc));
    drop(c, false);
    return false;
}

static void send_continue(struct conn *c)
{
    /* Only when no earlier answer is due: 100 belongs to the request being read. */
    if (c->continued || c->first != NULL || c->reading == NULL || !c->reading->msg.expects_continue ||
        c->h1.state != HTTP1_BODY || c->rest.n > 0)
        return;
    c->continued = true;
    (void)stream_write(c->stream, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* Sends what is ready, in order; called whenever something became ready. */
void httpd_pump(struct conn *c)
{
    bool close = false;

    while (c->first != NULL && !close) {
        if (!release_reply(c))
            return;
        if (c->first->state != X_READY)
            break;
        close = c->first->close;
        pop(c);
        c->since_ms = loop_now_ms(c->d->loop);
    }
    if (close || (c->first == NULL && (c->eof || (c->stopped && c->reading == NULL)))) {
        drop(c, true);
        return;
    }
    send_continue(c);
    set_deadline(c);
}

void httpd_doom(struct conn *c)
{
    c->doomed = true;
    set_deadline(c);
}

static void enqueue(struct conn *c, struct httpd_exchange *x)
{
    x->since_ms = loop_now_ms(c->d->loop);
    memcpy(x->peer_text, c->peer_text, sizeof x->peer_text);
    x->next = NULL;
    if (c->last != NULL)
        c->last->next = x;
    else
        c->first = x;
    c->last = x;
    c->n_exchanges++;
}

/* Answers what never reaches the handler; the connection ends with it. */
static void refuse(struct conn *c, int status, const char *cause, const char *cure)
{
    struct httpd_exchange *x = c->reading != NULL ? c->reading : httpd_exchange_take(c);
    char text[400];
    struct buf body;

    c->stopped = true;
    c->reading = NULL;
    if (x == NULL) {
        drop(c, false);
        return;
    }
    x->close = true;
    /* A head that failed may have left a method that was never judged. */
    x->no_body = false;
    enqueue(c, x);
    (void)snprintf(text, sizeof text, "%s; %s", cause, cure);
    buf_init(&body, 4096);
    jw_open(&body, '{');
    jw_kstr(&body, "error", str_of(text));
    jw_close(&body, '}');
    httpd_answer(x, status, "application/json", buf_str(&body));
    buf_free(&body);
    httpd_pump(c);
}

static void refuse_fault(struct conn *c, const char *cause)
{
    const struct httpd_config *k = &c->d->config;
    char cure[120] = "send a well-formed HTTP/1.1 request";
    int status = c->h1.fault_status != 0 ? c->h1.fault_status : 400;

    if (status == 413)
        (void)snprintf(cure, sizeof cure, "at most %u bytes are taken", (unsigned)k->body_bytes);
    else if (status == 431)
        (void)snprintf(cure, sizeof cure, "at most %u bytes in %u lines are taken",
                       (unsigned)k->header_bytes, HTTP1_FIELDS_MAX);
    else if (status == 503)
        (void)snprintf(cure, sizeof cure, "try again later");
    else if (status == 417)
        (void)snprintf(cure, sizeof cure, "only Expect: 100-continue is understood");
    c->d->stats.bad_requests++;
    log_warn(c->d->log, "HTTP request refused with %d: %s", status, cause);
    refuse(c, status, cause, cure);
}

static void dispatch(struct conn *c)
{
    struct httpd_exchange *x = c->reading;
    struct httpd *d = c->d;

    c->reading = NULL;
    c->continued = false;
    x->state = X_HANDLER;
    x->close = !x->msg.keep_alive || d->draining;
    x->no_body = str_eqc(http1_slice(&x->msg, x->msg.method), "HEAD");
    if (x->close)
        c->stopped = true;
    enqueue(c, x);
    d->stats.requests++;
    d->fn(d->arg, x);
}

/* Reads requests until the bytes or the places are used up; returns what is left. */
static struct str parse(struct conn *c, struct str bytes)
{
    while (bytes.n > 0 && !c->stopped && c->n_exchanges < HTTPD_PIPELINE_MAX) {
        struct err e = {0};
        size_t used = 0;

        if (c->reading == NULL) {
            c->reading = httpd_exchange_take(c);
            if (c->reading == NULL) {
                drop(c, false);
                return STR_NONE;
            }
            http1_next(&c->h1, &c->reading->msg, false);
            c->since_ms = loop_now_ms(c->d->loop);
            c->fresh = false;
        }
        if (http1_feed(&c->h1, bytes, &used, &e) < 0) {
            refuse_fault(c, e.text);
            return STR_NONE;
        }
        bytes = str_skip(bytes, used);
        if (c->h1.state == HTTP1_DONE)
            dispatch(c);
    }
    return c->stopped ? STR_NONE : bytes;
}

static void read_requests(struct conn *c, struct str bytes)
{
    c->parsing = true;
    bytes = parse(c, bytes);
    c->parsing = false;
    if (c->stream == NULL)
        return;
    if (bytes.n > 0) {
        /* Too many requests wait: the rest is kept, and no more is read until places are free. */
        if (buf_puts(&c->rest, bytes) < 0) {
            drop(c, false);
            return;
        }
        stream_pause(c->stream, true);
    }
    httpd_pump(c);
}

static void on_data(void *arg, struct str bytes)
{
    struct conn *c = arg;

    if (c->refused || c->stopped)
        return;
    if (c->rest.n > 0) {
        if (buf_puts(&c->rest, bytes) < 0)
            drop(c, false);
        return;
    }
    read_requests(c, bytes);
}

static void resume(struct conn *c)
{
    struct buf kept = c->rest;

    buf_init(&c->rest, kept.max_bytes);
    stream_pause(c->stream, false);
    read_requests(c, buf_str(&kept));
    buf_free(&kept);
}

/* What the deadline was set for follows from the state, as in set_deadline(). */
static void on_deadline(void *arg)
{
    struct conn *c = arg;
    struct httpd *d = c->d;
    const struct httpd_config *k = &d->config;
    uint64_t now = loop_now_ms(d->loop);
    char cause[80];

    if (c->stream == NULL)
        return;
    if (c->doomed || c->refused) {
        drop(c, false);
    } else if (c->rest.n > 0 && c->n_exchanges < HTTPD_PIPELINE_MAX) {
        resume(c);
    } else if (c->first != NULL && now >= c->first->since_ms + k->reply_ms) {
        struct httpd_exchange *x = c->first;

        if (x->state == X_STREAM && (stream_queued(c->stream) == 0 ||
                                     stream_sent(c->stream) != c->sent)) {
            c->sent = stream_sent(c->stream);
            x->since_ms = now;
            set_deadline(c);
            return;
        }
        d->stats.timeouts++;
        drop(c, false);
    } else if ((c->reading != NULL || c->fresh) && now >= c->since_ms + k->read_ms) {
        d->stats.timeouts++;
        if (c->fresh || c->first != NULL) {
            drop(c, c->fresh);
            return;
        }
        (void)snprintf(cause, sizeof cause, "the request did not arrive within %u ms", k->read_ms);
        refuse(c, 408, cause, "send it in one go");
    } else if (c->reading == NULL && c->first == NULL && !c->fresh &&
               (stream_queued(c->stream) > 0 || now >= c->since_ms + k->idle_ms)) {
        drop(c, stream_queued(c->stream) == 0);
    } else if (c->reading == NULL && c->first == NULL && !c->fresh) {
        stream_deadline(c->stream, c->since_ms + k->idle_ms);
    } else {
        set_deadline(c);
    }
}

static void on_drained(void *arg)
{
    struct conn *c = arg;
    struct httpd_exchange *x = c->first;
    void (*fn)(void *arg);

    if (c->stream == NULL || x == NULL || x->state != X_STREAM || x->drained == NULL)
        return;
    fn = x->drained;
    x->drained = NULL;
    fn(x->gone_arg);
}

static void on_over(void *arg, int rc, const char *why)
{
    struct conn *c = arg;

    (void)why;
    if (c->stream == NULL)
        return;
    /* Who listens to a stream without an end and ends its own side has left. */
    if (rc < 0 || c->refused || (c->first != NULL && c->first->state == X_STREAM && !c->first->sized)) {
        drop(c, false);
        return;
    }
    /* Half closed: what was asked is still answered (RFC 9112, 9.6). */
    c->eof = true;
    if (c->rest.n == 0)
        c->stopped = true;
    if (c->reading != NULL) {
        httpd_exchange_give_back(c->reading);
        c->reading = NULL;
    }
    httpd_pump(c);
}

static void tell_closed(struct httpd *d)
{
    if (!d->closing || d->told || d->listening || d->conns != NULL)
        return;
    timer_close(d->grace);
    d->grace = NULL;
    tls_ctx_free(d->tls);
    d->told = true;
    d->n_open++; /* the callback may reply to the last exchange */
    if (d->closed != NULL)
        d->closed(d->closed_arg);
    d->n_open--;
    httpd_maybe_free(d);
}

static void on_gone(void *arg)
{
    struct conn *c = arg;
    struct httpd *d = c->d;

    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        d->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->peer != NULL)
        httpd_peer_leave(d, c->peer);
    if (c->refused)
        d->n_refused--;
    else
        d->stats.conns--;
    buf_free(&c->rest);
    mem_free(c);
    tell_closed(d);
}

static const struct stream_handler conn_handler = {.data = on_data, .drained = on_drained,
                                                   .deadline = on_deadline, .over = on_over,
                                                   .gone = on_gone};

/* Says 503 and closes; a flood of connections gets no more than a closed socket. */
static void turn_away(struct conn *c)
{
    static const char body[] =
        "{\"error\":\"too many connections are open; close some or try again shortly\"}";
    struct httpd *d = c->d;
    char text[400];

    d->stats.refused_conns++;
    d->n_refused++;
    c->refused = c->stopped = true;
    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\nRetry-After: 5\r\nConnection: close\r\n\r\n%s",
                   sizeof body - 1, body);
    if (d->tls == NULL && d->n_refused <= REFUSED_MAX)
        (void)stream_write(c->stream, str_of(text));
    drop(c, d->tls == NULL && d->n_refused <= REFUSED_MAX);
}

/*
 * Room for c: the connection that has asked for nothing for the longest time gives way, of this peer (NULL: of any).
 * Whoever opens connections without end, or sends its requests byte by byte, loses them; who asks at once is served.
 * False: all have requests under way.
 */
static bool shed(struct httpd *d, const struct conn *c, const struct peer *peer)
{
    struct conn *victim = NULL;

    for (struct conn *v = d->conns; v != NULL; v = v->next)
        if (v != c && v->stream != NULL && v->peer != NULL && !v->refused && v->first == NULL &&
            (peer == NULL || v->peer == peer) && (victim == NULL || v->since_ms <= victim->since_ms))
            victim = v;
    if (victim == NULL)
        return false;
    d->stats.shed_conns++;
    d->stats.conns--;
    d->n_refused++;
    victim->refused = true; /* counted out; on_gone() does the rest */
    httpd_peer_leave(d, victim->peer);
    victim->peer = NULL;
    drop(victim, false);
    return true;
}

/* libuv takes no further connection before this one is accepted, so a failure must be tried again. */
static void accept_later(struct httpd *d, const char *why)
{
    uint64_t now = loop_now_ms(d->loop);

    d->accept_again = true;
    timer_set(d->later, now + ACCEPT_AGAIN_MS);
    if (d->warned_ms != 0 && now < d->warned_ms + WARN_EVERY_MS)
        return;
    d->warned_ms = now;
    log_warn(d->log, "connections cannot be accepted at the moment: %s", why);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct httpd *d = listener->data;
    unsigned char key[16];
    struct conn *c;
    struct err e;
    int rc;

    c = status < 0 ? NULL : MEM_NEW(struct conn);
    if (c == NULL) {
        accept_later(d, status < 0 ? uv_strerror(status) : err_name(ERR_NOMEM));
        return;
    }
    c->d = d;
    rc = stream_accept(&c->stream, d->loop, listener, d->tls, &conn_handler, c, &e);
    if (rc < 0) {
        mem_free(c);
        if (rc != UV_EAGAIN) /* nothing is waiting (any more) */
            accept_later(d, e.text);
        return;
    }
    c->next = d->conns;
    if (c->next != NULL)
        c->next->prev = c;
    d->conns = c;
    stream_peer_key(c->stream, key);
    if (d->draining || (d->stats.conns >= d->config.max_conns && !shed(d, c, NULL))) {
        turn_away(c);
        return;
    }
    c->peer = httpd_peer_find(d, key);
    if (c->peer == NULL || (c->peer->n++ >= d->config.max_conns_peer && !shed(d, c, c->peer))) {
        turn_away(c);
        return;
    }
    d->stats.conns++;
    stream_peer_text(key, c->peer_text, sizeof c->peer_text);
    stream_limit(c->stream, HTTPD_REPLY_BYTES_MAX);
    buf_init(&c->rest, 2 * LOOP_READ_BYTES);
    http1_init(&c->h1, false, d->config.header_bytes, d->config.body_bytes);
    c->fresh = true;
    c->since_ms = loop_now_ms(d->loop);
    set_deadline(c);
}

/* ---- opening and closing ---- */

static void on_later(void *arg)
{
    struct httpd *d = arg;

    if (d->accept_again && !d->draining) {
        d->accept_again = false;
        on_connection((uv_stream_t *)&d->listener, 0);
    }
    httpd_tell_orphans(d);
}

static uint32_t or_default(uint32_t v, uint32_t def)
{
    return v != 0 ? v : def;
}

static int listen_on(struct httpd *d, struct err *e)
{
    const char *bind = d->config.bind != NULL ? d->config.bind : "127.0.0.1";
    struct sockaddr_storage a;
    int n = sizeof a, rc;

    memset(&a, 0, sizeof a);
    rc = uv_ip4_addr(bind, d->config.port, (struct sockaddr_in *)&a);
    if (rc < 0)
        rc = uv_ip6_addr(bind, d->config.port, (struct sockaddr_in6 *)&a);
    if (rc < 0)
        return err_set(e, ERR_INVALID, "cannot listen on \"%s\": give a numeric address, for example "
                       "127.0.0.1", bind);
    rc = uv_tcp_bind(&d->listener, (const struct sockaddr *)&a, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&d->listener, BACKLOG, on_connection);
    if (rc < 0)
        return err_set(e, rc, "cannot listen on %s port %d: %s%s", bind, d->config.port, uv_strerror(rc),
                       rc == UV_EADDRINUSE ? "; choose another port or stop the other program"
                       : rc == UV_EACCES ? "; choose a port above 1023"
                       : rc == UV_EADDRNOTAVAIL ? "; this machine has no such address" : "");
    (void)uv_tcp_getsockname(&d->listener, (struct sockaddr *)&a, &n);
    d->port = a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                      : ((struct sockaddr_in *)&a)->sin_port;
    d->port = ntohs((uint16_t)d->port);
    return 0;
}

static void on_grace(void *arg)
{
    struct httpd *d = arg;
    struct conn *next;

    for (struct conn *c = d->conns; c != NULL; c = next) {
        next = c->next;
        drop(c, false);
    }
    tell_closed(d); /* all may be gone already, with nobody else to say so */
}

static void on_listener_closed(uv_handle_t *h)
{
    struct httpd *d = h->data;

    d->listening = false;
    tell_closed(d);
}

int httpd_open(struct httpd **out, struct loop *l, const struct httpd_config *config,
               httpd_handler_fn *fn, void *arg, const struct log *log, struct err *e)
{
    struct httpd *d = MEM_NEW(struct httpd);
    struct httpd_config *k;
    int rc;

    if (d == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for the HTTP server");
    d->loop = l;
    d->log = log;
    d->fn = fn;
    d->arg = arg;
    d->config = *config;
    k = &d->config;
    k->header_bytes = or_default(k->header_bytes, 16384);
    k->body_bytes = or_default(k->body_bytes, 65536);
    k->read_ms = or_default(k->read_ms, 15000);
    k->idle_ms = or_default(k->idle_ms, 60000);
    k->reply_ms = or_default(k->reply_ms, 30000);
    k->max_conns = or_default(k->max_conns, 1024);
    k->max_conns_peer = or_default(k->max_conns_peer, 256);
    d->closing = true; /* until it is open: a failure is closed like a server, without telling */
    if ((k->tls_cert == NULL) != (k->tls_key == NULL)) {
        rc = err_set(e, ERR_INVALID, "a TLS certificate and its key are given both or not at all");
        goto out;
    }
    rc = k->tls_cert != NULL ? tls_ctx_server(&d->tls, k->tls_cert, k->tls_key, e) : 0;
    if (rc == 0 && (timer_open(&d->grace, l, on_grace, d) < 0 ||
                    timer_open(&d->later, l, on_later, d) < 0))
        rc = err_set(e, ERR_NOMEM, "out of memory for the HTTP server");
    if (rc < 0)
        goto out;
    rc = uv_tcp_init(&l->uv, &d->listener);
    if (rc < 0) {
        (void)err_set(e, rc, "cannot make a socket: %s", uv_strerror(rc));
        goto out;
    }
    d->listening = true;
    d->listener.data = d;
    rc = listen_on(d, e);
    if (rc < 0) {
        uv_close((uv_handle_t *)&d->listener, on_listener_closed);
        return rc;
    }
    d->closing = false;
    *out = d;
    return 0;
out:
    tell_closed(d);
    return rc;
}

int httpd_port(const struct httpd *d)
{
    return d->port;
}

void httpd_drain(struct httpd *d)
{
    struct conn *next;

    if (d->draining)
        return;
    d->draining = true;
    uv_close((uv_handle_t *)&d->listener, on_listener_closed);
    for (struct conn *c = d->conns; c != NULL; c = next) {
        next = c->next;
        if (c->stream != NULL && c->reading == NULL && c->first == NULL && c->rest.n == 0)
            drop(c, true);
        else if (c->last != NULL)
            c->last->close = c->stopped = true;
    }
}

void httpd_close(struct httpd *d, uint32_t grace_ms, void (*closed)(void *arg), void *arg)
{
    if (d->closing)
        return;
    d->closed = closed;
    d->closed_arg = arg;
    httpd_drain(d);
    d->closing = true;
    /* What was drained before has nothing to wait for. */
    timer_set(d->grace, loop_now_ms(d->loop) + (d->listening || d->conns != NULL ? grace_ms : 0));
}

void httpd_stats_read(const struct httpd *d, struct httpd_stats *out)
{
    *out = d->stats;
}
