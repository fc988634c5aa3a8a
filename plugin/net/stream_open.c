/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/net/stream_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define QUEUE_BYTES (1024u * 1024u)
#define ATTEMPT_MS 2000u /* for one address, while others are left to try */
#define KEEPALIVE_S 45u

void stream_dial_free(struct stream *s)
{
    if (s->dial == NULL)
        return;
    if (s->dial->query != NULL)
        resolver_cancel(s->dial->query);
    mem_free(s->dial);
    s->dial = NULL;
}

static struct stream *make(struct loop *l, const struct stream_handler *h, void *arg)
{
    struct stream *s = MEM_NEW(struct stream);

    if (s == NULL)
        return NULL;
    s->loop = l;
    s->h = h;
    s->arg = arg;
    s->max_queue = QUEUE_BYTES;
    buf_init(&s->out, QUEUE_BYTES);
    buf_init(&s->wire, 4 * QUEUE_BYTES);
    (void)uv_timer_init(&l->uv, &s->timer);
    s->timer.data = s;
    s->handles = 1;
    return s;
}

/* Frees a stream that its opener never handed out: `gone` must not fire for it. */
static void unmake(struct stream *s)
{
    static const struct stream_handler nobody;

    s->h = &nobody;
    stream_close(s);
}

static int make_tcp(struct stream *s)
{
    struct tcp *tcp = MEM_NEW(struct tcp);
    int rc;

    if (tcp == NULL)
        return ERR_NOMEM;
    rc = uv_tcp_init(&s->loop->uv, &tcp->uv);
    if (rc < 0) {
        mem_free(tcp);
        return rc;
    }
    tcp->stream = s;
    s->tcp = tcp;
    s->handles++;
    return 0;
}

/* The socket of a failed attempt goes its own way. */
static void abandon_tcp(struct stream *s)
{
    s->tcp->stream = NULL;
    s->handles--;
    uv_close((uv_handle_t *)&s->tcp->uv, stream_on_tcp_closed);
    s->tcp = NULL;
}

static void connected(struct stream *s)
{
    struct resolver *r = loop_resolver(s->loop);

    if (r != NULL && s->dial->next > 1)
        resolver_prefer(r, str_of(s->dial->host), &s->dial->addrs.a[s->dial->next - 1]);
    stream_dial_free(s);
    (void)uv_tcp_nodelay(&s->tcp->uv, 1);
    (void)uv_tcp_keepalive(&s->tcp->uv, 1, KEEPALIVE_S);
    stream_start_reading(s);
    if (s->tls != NULL)
        stream_feed_tls(s, STR_NONE); /* speaks first */
    else
        stream_opened(s);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct tcp *tcp = (struct tcp *)req->handle;
    struct stream *s = tcp->stream;

    mem_free(req);
    if (s == NULL || s->closing || status == UV_ECANCELED)
        return;
    if (status == 0) {
        connected(s);
        return;
    }
    s->dial->rc = status;
    stream_dial_next(s);
}

/* Failures are told from the timer: the caller may stand inside stream_connect(). */
static void give_up(struct stream *s)
{
    s->dial->until_ms = 0;
    s->armed_ms = 1;
    (void)uv_timer_start(&s->timer, stream_on_timer, 0, 0);
}

static int attempt(struct stream *s, union resolver_addr *a)
{
    uv_connect_t *req;
    int rc = make_tcp(s);

    if (rc < 0)
        return rc;
    if (a->sa.sa_family == AF_INET)
        a->v4.sin_port = htons(s->dial->port);
    else
        a->v6.sin6_port = htons(s->dial->port);
    req = MEM_NEW(uv_connect_t);
    if (req == NULL)
        return ERR_NOMEM;
    rc = uv_tcp_connect(req, &s->tcp->uv, &a->sa, on_connect);
    if (rc < 0)
        mem_free(req);
    return rc;
}

/* Tries one address after the other, so that a dead one (often IPv6) costs a moment and not the call. */
void stream_dial_next(struct stream *s)
{
    struct dial *d = s->dial;

    while (true) {
        union resolver_addr a;
        int rc;

        if (s->tcp != NULL)
            abandon_tcp(s);
        if (d->next >= d->addrs.n)
            break;
        a = d->addrs.a[d->next++];
        d->until_ms = d->next < d->addrs.n ? uv_now(&s->loop->uv) + ATTEMPT_MS : 0;
        rc = attempt(s, &a);
        if (rc == 0) {
            stream_arm(s);
            return;
        }
        d->rc = rc;
    }
    if (d->rc == 0)
        d->rc = UV_EADDRNOTAVAIL;
    give_up(s);
}

static void on_resolved(void *arg, const struct resolver_addrs *addrs, int rc, const char *why)
{
    struct stream *s = arg;
    char text[300];

    s->dial->query = NULL;
    if (rc < 0) {
        (void)snprintf(text, sizeof text, "cannot find the host %s: %s", s->dial->host, why);
        stream_fail(s, rc, text);
        return;
    }
    s->dial->addrs = *addrs;
    stream_dial_next(s);
}

static int look_up(struct stream *s, struct str host, struct err *e)
{
    struct resolver *r = loop_resolver(s->loop);
    int rc = s->loop->stopping ? ERR_CLOSED : ERR_NOMEM;

    if (r != NULL)
        rc = resolver_known(r, host, &s->dial->addrs);
    if (rc == 0) {
        stream_dial_next(s);
        return 0;
    }
    if (rc == ERR_NOT_FOUND)
        rc = resolver_ask(r, host, on_resolved, s, &s->dial->query);
    return rc < 0 ? err_set(e, rc, "cannot look up the host: %s", err_name(rc)) : 0;
}

int stream_connect(struct stream **out, struct loop *l, const struct stream_target *target,
                   const struct stream_handler *h, void *arg, struct err *e)
{
    struct stream *s = make(l, h, arg);
    int rc;

    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a connection");
    s->dial = mem_zalloc(sizeof *s->dial + target->host.n + 1);
    if (s->dial == NULL) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a connection");
        goto out;
    }
    if (target->host.n > 0)
        memcpy(s->dial->host, target->host.p, target->host.n);
    s->dial->port = target->port;
    if (target->tls != NULL) {
        rc = tls_open(&s->tls, target->tls, s->dial->host, e);
        if (rc < 0)
            goto out;
    }
    rc = look_up(s, target->host, e);
    if (rc < 0)
        goto out;
    *out = s;
    return 0;
out:
    unmake(s);
    return rc;
}

int stream_accept(struct stream **out, struct loop *l, void *listener, struct tls_ctx *tls,
                  const struct stream_handler *h, void *arg, struct err *e)
{
    struct stream *s = make(l, h, arg);
    int rc;

    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a connection");
    rc = make_tcp(s);
    if (rc == 0)
        rc = uv_accept(listener, (uv_stream_t *)&s->tcp->uv);
    if (rc < 0) {
        (void)err_set(e, rc, "cannot accept: %s", stream_rc_text(rc));
        goto out;
    }
    if (tls != NULL) {
        rc = tls_open(&s->tls, tls, NULL, e);
        if (rc < 0)
            goto out;
    }
    (void)uv_tcp_nodelay(&s->tcp->uv, 1);
    s->open = tls == NULL;
    stream_start_reading(s);
    *out = s;
    return 0;
out:
    unmake(s);
    return rc;
}
