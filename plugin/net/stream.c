/* SPDX-License-Identifier: MIT */
#include "plugin/net/stream_int.h"

#include "plugin/base/mem.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define ENCRYPT_BYTES 65536u /* at a time, so that the scratch buffer stays small */
#define LINGER_MS 2000u
#define LINGER_BYTES (256u * 1024u)

static void flush(struct stream *s);

/* uv_strerror() allocates for codes that it does not know. */
const char *stream_rc_text(int rc)
{
    return rc > -5000 ? uv_strerror(rc) : err_name(rc);
}

/* ---- closing ---- */

static void release(struct stream *s)
{
    if (--s->handles > 0)
        return;
    tls_free(s->tls);
    buf_free(&s->out);
    buf_free(&s->wire);
    if (s->h->gone != NULL)
        s->h->gone(s->arg);
    mem_free(s);
}

void stream_on_tcp_closed(uv_handle_t *h)
{
    struct tcp *tcp = (struct tcp *)h;
    struct stream *s = tcp->stream;

    mem_free(tcp);
    if (s != NULL)
        release(s);
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

static void undirty(struct stream *s)
{
    struct stream **at = &s->loop->dirty;

    while (*at != NULL && *at != s)
        at = &(*at)->next_dirty;
    if (*at == s)
        *at = s->next_dirty;
    s->dirty = false;
}

void stream_close(struct stream *s)
{
    if (s == NULL || s->closing)
        return;
    s->closing = true;
    if (s->dirty)
        undirty(s);
    stream_dial_free(s);
    if (s->tcp != NULL)
        uv_close((uv_handle_t *)&s->tcp->uv, stream_on_tcp_closed);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

/* Reports the end to the owner once; while ending, nobody listens any more. */
void stream_fail(struct stream *s, int rc, const char *why)
{
    if (s->closing)
        return;
    if (s->ending) {
        stream_close(s);
        return;
    }
    if (s->over && rc == 0)
        return;
    if (s->over && s->fail_rc != 0)
        return;
    s->over = true;
    s->fail_rc = rc;
    if (s->reading) {
        s->reading = false;
        (void)uv_read_stop((uv_stream_t *)&s->tcp->uv);
    }
    s->h->over(s->arg, rc, why);
}

/* ---- time ---- */

void stream_on_timer(uv_timer_t *t)
{
    struct stream *s = t->data;
    uint64_t now = uv_now(&s->loop->uv);

    s->armed_ms = 0;
    if (s->closing)
        return;
    if (s->dial != NULL && s->dial->rc != 0 && s->tcp == NULL) {
        stream_fail(s, s->dial->rc, stream_rc_text(s->dial->rc));
        return;
    }
    if (s->deadline_ms != 0 && now >= s->deadline_ms) {
        s->deadline_ms = 0;
        if (s->ending)
            stream_close(s);
        else
            s->h->deadline(s->arg);
    } else if (s->dial != NULL && s->dial->until_ms != 0 && now >= s->dial->until_ms) {
        s->dial->rc = UV_ETIMEDOUT;
        stream_dial_next(s);
    }
    if (!s->closing)
        stream_arm(s);
}

/* libuv's timer is set for the earliest thing to happen, and left alone when that moves away. */
void stream_arm(struct stream *s)
{
    uint64_t at = s->deadline_ms, now = uv_now(&s->loop->uv);

    if (s->dial != NULL && s->dial->until_ms != 0 && (at == 0 || s->dial->until_ms < at))
        at = s->dial->until_ms;
    if (at == 0 || (s->armed_ms != 0 && s->armed_ms <= at))
        return;
    s->armed_ms = at;
    (void)uv_timer_start(&s->timer, stream_on_timer, at > now ? at - now : 0, 0);
}

void stream_deadline(struct stream *s, uint64_t at_ms)
{
    if (s->closing || s->ending)
        return;
    s->deadline_ms = at_ms;
    if (at_ms != 0 && (s->armed_ms == 0 || s->armed_ms > at_ms))
        stream_arm(s);
}

/* ---- writing ---- */

size_t stream_queued(const struct stream *s)
{
    size_t n = s->out.n + s->wire.n;

    return s->flight != NULL ? n + s->flight->bytes.n - s->flight->from : n;
}

uint64_t stream_sent(const struct stream *s)
{
    return s->sent;
}

void stream_limit(struct stream *s, size_t max_queue_bytes)
{
    s->max_queue = max_queue_bytes;
}

static void mark_dirty(struct stream *s)
{
    if (s->dirty)
        return;
    s->dirty = true;
    s->next_dirty = s->loop->dirty;
    s->loop->dirty = s;
}

void stream_watch(struct stream *s)
{
    if (s->closing || s->ending)
        return;
    s->starved = true;
    if (s->open && s->flight == NULL)
        mark_dirty(s);
}

struct buf *stream_compose(struct stream *s)
{
    size_t others;

    if (s->closing || s->ending || (s->over && s->fail_rc != 0))
        return NULL;
    others = stream_queued(s) - s->out.n;
    if (s->out.p == NULL) {
        s->out = s->loop->spare;
        s->loop->spare = (struct buf){0};
    }
    s->out.max_bytes = s->max_queue > others ? s->max_queue - others : 0;
    s->out.rc = 0;
    s->composed_from = s->out.n;
    return &s->out;
}

int stream_commit(struct stream *s)
{
    int rc = s->out.rc;

    if (rc < 0) {
        s->out.n = s->composed_from;
        s->out.rc = 0;
        return rc == ERR_TOO_BIG ? ERR_FULL : rc;
    }
    if (s->open && s->out.n > 0)
        mark_dirty(s);
    return 0;
}

int stream_write(struct stream *s, struct str bytes)
{
    struct buf *b = stream_compose(s);

    if (b == NULL)
        return ERR_CLOSED;
    (void)buf_puts(b, bytes);
    return stream_commit(s);
}

static void on_written(uv_write_t *req, int status)
{
    struct flight *f = (struct flight *)req;
    struct stream *s = req->data;

    s->flight = NULL;
    if (status == 0)
        s->sent += f->bytes.n - f->from;
    buf_free(&f->bytes);
    mem_free(f);
    if (s->closing)
        return;
    if (status < 0) {
        stream_fail(s, status, uv_strerror(status));
        return;
    }
    flush(s);
}

/* Hands b's bytes from `from` on to libuv; b is empty afterwards. */
static int fly(struct stream *s, struct buf *b, size_t from)
{
    struct flight *f = MEM_NEW(struct flight);
    uv_buf_t uv;
    int rc;

    if (f == NULL)
        return ERR_NOMEM;
    f->bytes = *b;
    f->from = from;
    f->req.data = s;
    *b = (struct buf){.max_bytes = b->max_bytes};
    uv = uv_buf_init(f->bytes.p + from, (unsigned)(f->bytes.n - from));
    rc = uv_write(&f->req, (uv_stream_t *)&s->tcp->uv, &uv, 1, on_written);
    if (rc < 0) {
        buf_free(&f->bytes);
        mem_free(f);
        return rc;
    }
    s->flight = f;
    s->starved = true;
    return 0;
}

/* Bytes straight to the kernel; *sent says how many it took. */
static int try_send(struct stream *s, const char *p, size_t n, size_t *sent)
{
    uv_buf_t uv = uv_buf_init((char *)p, (unsigned)n);
    int rc = uv_try_write((uv_stream_t *)&s->tcp->uv, &uv, 1);

    *sent = rc > 0 ? (size_t)rc : 0;
    s->sent += *sent;
    return rc >= 0 || rc == UV_EAGAIN ? 0 : rc;
}

/* Sends the loop's scratch buffer; what the kernel refuses waits in a buffer of the stream's own. */
static int send_wire(struct stream *s)
{
    struct buf *w = &s->loop->wire;
    size_t sent = 0;
    int rc = 0;

    if (s->flight == NULL && s->wire.n == 0 && w->n > 0)
        rc = try_send(s, w->p, w->n, &sent);
    if (rc == 0 && sent < w->n) {
        rc = buf_put(&s->wire, w->p + sent, w->n - sent);
        if (rc == 0 && s->flight == NULL)
            rc = fly(s, &s->wire, 0);
    }
    /* A burst must not keep a large scratch buffer for ever. */
    if (w->cap > 4 * ENCRYPT_BYTES)
        buf_free(w);
    buf_clear(w);
    return rc;
}

static int flush_plain(struct stream *s)
{
    size_t sent = 0;
    int rc = try_send(s, s->out.p, s->out.n, &sent);

    if (rc == 0 && sent < s->out.n)
        return fly(s, &s->out, sent);
    buf_clear(&s->out);
    return rc;
}

/* Idle connections hold no memory for writing; one buffer waits at the loop for the next writer. */
static void give_back(struct stream *s)
{
    if (s->out.p != NULL && s->loop->spare.p == NULL && s->out.cap <= LOOP_SPARE_BYTES) {
        s->loop->spare = s->out;
        s->loop->spare.n = 0;
        s->out.p = NULL;
        s->out.n = s->out.cap = 0;
    }
    buf_free(&s->out);
}

static int flush_tls(struct stream *s, struct err *e)
{
    size_t done = 0;
    int rc = 0;

    while (rc == 0 && done < s->out.n && s->flight == NULL) {
        struct str part = str_head(str_skip(buf_str(&s->out), done), ENCRYPT_BYTES);

        rc = tls_send(s->tls, part, &s->loop->wire, e);
        done += part.n;
        if (rc == 0)
            rc = send_wire(s);
        else
            buf_clear(&s->loop->wire);
    }
    buf_consume(&s->out, done);
    return rc;
}

/* All has left and no more comes: say so to the peer, then linger. */
static void finish(struct stream *s)
{
    uv_os_fd_t fd;

    if (s->tls != NULL && tls_shutdown(s->tls, &s->loop->wire) == 0 && send_wire(s) == 0 &&
        s->flight != NULL)
        return; /* close_notify itself has to wait: on_written() comes back here */
    s->finished = true;
    buf_free(&s->out);
    if (uv_fileno((uv_handle_t *)&s->tcp->uv, &fd) == 0)
        (void)shutdown(fd, SHUT_WR);
    if (s->over) {
        stream_close(s);
        return;
    }
    s->deadline_ms = uv_now(&s->loop->uv) + LINGER_MS;
    stream_pause(s, false);
    stream_arm(s);
}

static void flush(struct stream *s)
{
    struct err e = {0};
    int rc = 0;

    if (s->closing || !s->open || s->finished || (s->over && s->fail_rc != 0))
        return;
    if (s->flight == NULL && s->wire.n > 0)
        rc = fly(s, &s->wire, 0);
    if (rc == 0 && s->out.n > 0 && s->flight == NULL)
        rc = s->tls != NULL ? flush_tls(s, &e) : flush_plain(s);
    if (rc < 0) {
        stream_fail(s, rc, e.code != 0 ? e.text : stream_rc_text(rc));
        return;
    }
    if (s->flight != NULL)
        return;
    give_back(s);
    if (s->ending)
        finish(s);
    else if (s->starved) {
        s->starved = false;
        if (s->h->drained != NULL)
            s->h->drained(s->arg);
    }
}

void stream_flush_dirty(struct loop *l)
{
    while (l->dirty != NULL) {
        struct stream *s = l->dirty;

        l->dirty = s->next_dirty;
        s->dirty = false;
        flush(s);
    }
}

void stream_end(struct stream *s)
{
    if (s == NULL || s->closing || s->ending)
        return;
    if (!s->open || (s->over && s->fail_rc != 0)) {
        stream_close(s);
        return;
    }
    s->ending = true;
    /* Whoever does not take the rest in time loses it. */
    s->deadline_ms = uv_now(&s->loop->uv) + LINGER_MS;
    stream_arm(s);
    mark_dirty(s);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    struct tcp *tcp = (struct tcp *)h;

    (void)hint;
    *out = uv_buf_init(tcp->stream->loop->read_buf, LOOP_READ_BYTES);
}

void stream_opened(struct stream *s)
{
    s->open = true;
    if (s->h->open != NULL)
        s->h->open(s->arg);
    if (!s->closing && s->out.n > 0)
        mark_dirty(s);
}

static void deliver(void *arg, struct str bytes)
{
    struct stream *s = arg;

    /* The first bytes may come with the end of the TLS handshake. */
    if (!s->open && !s->closing)
        stream_opened(s);
    if (s->closing)
        return;
    if (s->ending) {
        s->discarded += bytes.n;
        if (s->discarded > LINGER_BYTES)
            stream_close(s);
        return;
    }
    s->h->data(s->arg, bytes);
}

void stream_feed_tls(struct stream *s, struct str bytes)
{
    struct err e = {0};
    int rc = tls_feed(s->tls, bytes, deliver, s, &s->loop->wire, &e);
    int sent = s->closing ? (buf_clear(&s->loop->wire), 0) : send_wire(s);

    if (s->closing)
        return;
    if (rc < 0) {
        stream_fail(s, rc, e.text);
        return;
    }
    if (sent < 0) {
        stream_fail(s, sent, stream_rc_text(sent));
        return;
    }
    if (!s->open && tls_state(s->tls) == TLS_OPEN)
        stream_opened(s);
    if (!s->closing && tls_state(s->tls) == TLS_CLOSED)
        stream_fail(s, 0, "the peer closed the connection");
}

static void on_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf)
{
    struct stream *s = ((struct tcp *)uv)->stream;

    if (n == 0 || s->closing)
        return;
    s->loop->arrivals++;
    if (n < 0) {
        s->reading = false;
        (void)uv_read_stop(uv);
        if (s->finished)
            stream_close(s);
        else if (n != UV_EOF)
            stream_fail(s, (int)n, uv_strerror((int)n));
        else if (!s->open)
            stream_fail(s, ERR_CLOSED, "the peer closed the connection during the TLS handshake");
        else if (s->tls != NULL && tls_state(s->tls) == TLS_OPEN)
            stream_fail(s, ERR_CLOSED, "the peer closed the connection without a TLS close_notify");
        else
            stream_fail(s, 0, "the peer closed the connection");
        return;
    }
    if (s->tls != NULL && !s->ending)
        stream_feed_tls(s, str_make(buf->base, (size_t)n));
    else
        deliver(s, str_make(buf->base, (size_t)n));
    /* The bytes that this event caused leave while they are still in the cache. */
    if (s->dirty && !s->closing) {
        undirty(s);
        flush(s);
    }
}

void stream_start_reading(struct stream *s)
{
    int rc;

    if (s->reading || s->paused || s->closing || s->tcp == NULL)
        return;
    rc = uv_read_start((uv_stream_t *)&s->tcp->uv, on_alloc, on_read);
    if (rc == 0)
        s->reading = true;
}

void stream_pause(struct stream *s, bool paused)
{
    if (s->closing)
        return;
    s->paused = paused;
    if (!paused) {
        if (s->open && !(s->over && !s->ending))
            stream_start_reading(s);
    } else if (s->reading) {
        s->reading = false;
        (void)uv_read_stop((uv_stream_t *)&s->tcp->uv);
    }
}

/* ---- questions ---- */

bool stream_tls_resumed(const struct stream *s)
{
    return s->tls != NULL && tls_resumed(s->tls);
}

static bool peer_addr(const struct stream *s, struct sockaddr_storage *a)
{
    int n = sizeof *a;

    memset(a, 0, sizeof *a);
    return s->tcp != NULL && uv_tcp_getpeername(&s->tcp->uv, (struct sockaddr *)a, &n) == 0;
}

void stream_peer_key(const struct stream *s, unsigned char out[16])
{
    struct sockaddr_storage a;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memset(out, 0, 16);
    if (!peer_addr(s, &a))
        return;
    if (a.ss_family == AF_INET) {
        memcpy(&v4, &a, sizeof v4);
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &v4.sin_addr, 4);
    } else {
        memcpy(&v6, &a, sizeof v6);
        memcpy(out, &v6.sin6_addr, 16);
    }
}

void stream_peer_text(const unsigned char key[16], char *out, size_t cap)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(key, mapped, sizeof mapped) == 0;

    if (cap == 0)
        return;
    out[0] = '\0';
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? key + 12 : key, out, (socklen_t)cap) == NULL)
        out[0] = '\0';
}
