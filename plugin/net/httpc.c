/* SPDX-License-Identifier: MIT */
#include "plugin/net/httpc.h"

#include "plugin/base/mem.h"
#include "plugin/net/httpc_int.h"
#include "plugin/net/stream.h"
#include "plugin/proto/http1.h"

#include <string.h>

#define WAITING_MAX 4096u
#define HEADER_BYTES_MAX 65536u
#define REQUEST_BYTES_MAX (16u * 1024u * 1024u)
#define REOPEN_FIRST_MS 500u
#define REOPEN_LAST_MS 60000u /* also the pace while nobody asks for anything */
#define SETTLED_MS 10000u     /* a connection that lived so long was no failure */

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

static void pump(struct httpc *c);

/* ---- time ---- */

static void wake_at(struct httpc *c, uint64_t at_ms)
{
    if (at_ms == 0 || (c->timer_ms != 0 && c->timer_ms <= at_ms))
        return;
    c->timer_ms = at_ms;
    timer_set(c->timer, at_ms);
}

/* ---- calls ---- */

static void enqueue(struct httpc_call *call, bool front)
{
    struct httpc *c = call->c;

    call->client = NULL;
    call->prev = front ? NULL : c->last;
    call->next = front ? c->first : NULL;
    if (call->prev != NULL)
        call->prev->next = call;
    else
        c->first = call;
    if (call->next != NULL)
        call->next->prev = call;
    else
        c->last = call;
    c->n_waiting++;
}

static void dequeue(struct httpc_call *call)
{
    struct httpc *c = call->c;

    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        c->first = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    else
        c->last = call->prev;
    call->prev = call->next = NULL;
    c->n_waiting--;
}

static void call_free(struct httpc_call *call)
{
    buf_free(&call->request);
    mem_free(call);
}

/* Takes the call off its connection or out of the line; it is the caller's then. */
static void detach(struct httpc_call *call)
{
    if (call->client != NULL)
        call->client->call = NULL;
    else
        dequeue(call);
    call->client = NULL;
}

static void finish(struct httpc_call *call, const struct httpc_result *r)
{
    call->on_done(call->arg, r);
    call_free(call);
}

/* ---- connections ---- */

static void drop(struct client *k)
{
    struct stream *s = k->stream;

    if (s == NULL)
        return;
    k->stream = NULL;
    if (!k->open)
        k->c->n_connecting--;
    stream_close(s);
}

/* The call has failed, and with it its connection: it is gone before the call's owner hears of it and may ask again. */
static void fail(struct httpc_call *call, int rc, const char *why)
{
    struct client *k = call->client;
    struct httpc_result r = {.err = rc, .text = str_of(why)};

    r.maybe_sent = k != NULL && k->stream != NULL && stream_sent(k->stream) > k->sent_before;
    detach(call);
    if (k != NULL)
        drop(k);
    finish(call, &r);
}

/* A connection ended that nobody was using. When may the next warm one be opened? */
static void note_end(struct client *k)
{
    struct httpc *c = k->c;
    uint64_t now = loop_now_ms(c->loop), wait = REOPEN_FIRST_MS;

    if (k->open && (k->used || now >= k->opened_ms + SETTLED_MS))
        c->failures = 0;
    else if (c->failures < 16)
        c->failures++;
    for (unsigned i = 1; i < c->failures && wait < REOPEN_LAST_MS; i++)
        wait *= 2;
    /* Without anything to do, keeping warm is worth a connection a minute and no more. */
    if (wait > REOPEN_LAST_MS || now >= c->asked_ms + REOPEN_LAST_MS)
        wait = REOPEN_LAST_MS;
    c->reopen_ms = now + wait;
}

static bool never_answered(const struct client *k)
{
    return http1_idle(&k->h1);
}

/* The connection is dead with a request on it. */
static void lose_call(struct client *k, int rc, const char *why)
{
    struct httpc_call *call = k->call;
    bool unsent = stream_sent(k->stream) <= k->sent_before;

    if (k->used && !call->fresh && never_answered(k) && (call->is_get || unsent)) {
        /* A kept connection that the server had closed: the usual race, and safe to repeat. */
        k->call = NULL;
        call->fresh = true;
        enqueue(call, true);
        drop(k);
        return;
    }
    if (rc == 0)
        rc = ERR_CLOSED;
    fail(call, rc, why);
}

static void tell_done(struct client *k)
{
    struct httpc_call *call = k->call;
    struct httpc_result r = {.status = k->msg.status, .maybe_sent = true, .text = STR("")};

    r.body = http1_body(&k->msg);
    r.retry_after = http1_field(&k->msg, "retry-after");
    r.date = http1_field(&k->msg, "date");
    r.location = http1_field(&k->msg, "location");
    detach(call);
    k->used = k->telling = true;
    finish(call, &r);
    k->telling = false;
}

/* "Keep-Alive: timeout=5": the server's side of the race is announced, so it need not be lost. */
static void note_expiry(struct client *k)
{
    struct str v = http1_field(&k->msg, "keep-alive"), part;
    uint64_t s = 0;

    k->expires_ms = 0;
    while (str_split(&v, ',', &part)) {
        part = str_trim(part);
        if (str_istarts(part, STR("timeout=")) && str_u64(str_skip(part, 8), &s) && s < 86400)
            k->expires_ms = loop_now_ms(k->c->loop) + (s > 1 ? s * 1000 - 1000 : 0);
    }
}

static void to_front(struct client *k)
{
    struct httpc *c = k->c;

    if (c->clients == k)
        return;
    k->prev->next = k->next;
    if (k->next != NULL)
        k->next->prev = k->prev;
    k->prev = NULL;
    k->next = c->clients;
    c->clients->prev = k;
    c->clients = k;
}

/* The answer is complete. more: bytes follow that belong to no request. */
static void complete(struct client *k, bool more)
{
    struct httpc *c = k->c;
    bool keep = k->msg.keep_alive && !more && stream_queued(k->stream) == 0;

    note_expiry(k);
    c->failures = 0;
    stream_pause(k->stream, false);
    tell_done(k);
    if (k->stream == NULL)
        return;
    http1_msg_free(&k->msg);
    if (!keep) {
        drop(k);
        return;
    }
    to_front(k);
    stream_deadline(k->stream, loop_now_ms(c->loop) + c->config.idle_ms);
}

static bool on_body(void *arg, struct str bytes)
{
    struct client *k = arg;

    if (k->call != NULL && bytes.n > 0)
        k->call->on_data(k->call->arg, bytes);
    return k->call != NULL;
}

static void on_data(void *arg, struct str bytes)
{
    struct client *k = arg;

    while (k->stream != NULL && bytes.n > 0) {
        struct err e = {0};
        size_t used = 0;
        int rc;

        if (k->call == NULL) {
            drop(k); /* an answer to nothing */
            break;
        }
        rc = http1_feed(&k->h1, bytes, &used, &e);
        bytes = str_skip(bytes, used);
        if (k->call == NULL)
            break; /* cancelled inside on_data */
        if (rc < 0) {
            fail(k->call, rc, e.text);
        } else if (k->h1.state == HTTP1_DONE) {
            complete(k, bytes.n > 0);
        } else if (k->h1.state == HTTP1_BODY && k->call->on_data != NULL &&
                   k->msg.status / 100 == 2) {
            http1_sink(&k->h1, on_body, k);
        }
    }
    pump(k->c);
}

static void on_open(void *arg)
{
    struct client *k = arg;
    struct httpc *c = k->c;

    k->open = true;
    k->opened_ms = loop_now_ms(c->loop);
    c->n_connecting--;
    if (c->config.tls != NULL && c->url.tls) {
        c->stats.handshakes++;
        c->stats.resumed += stream_tls_resumed(k->stream);
    }
    stream_deadline(k->stream, k->opened_ms + c->config.idle_ms);
    pump(c);
}

static void on_over(void *arg, int rc, const char *why)
{
    struct client *k = arg;
    struct httpc *c = k->c;
    bool for_call = k->for_call && !k->open;

    if (k->stream == NULL)
        return;
    if (k->call != NULL && rc == 0 && http1_finish(&k->h1, NULL) == 0) {
        complete(k, true);
    } else if (k->call != NULL) {
        lose_call(k, rc, why);
    } else {
        note_end(k);
        drop(k);
        if (for_call && c->first != NULL)
            fail(c->first, rc < 0 ? rc : ERR_CLOSED, why);
    }
    pump(c);
}

static void on_deadline(void *arg)
{
    struct client *k = arg;
    struct httpc *c = k->c;

    if (k->stream == NULL || k->call != NULL || k->telling)
        return;
    if (!k->open)
        on_over(k, ERR_TIMEOUT, "no connection within the time allowed");
    else if (c->n_clients > c->config.warm_conns)
        drop(k);
}

static void tell_closed(struct httpc *c)
{
    if (!c->closing || c->clients != NULL)
        return;
    timer_close(c->timer);
    if (c->closed != NULL)
        c->closed(c->closed_arg);
    mem_free(c->base);
    mem_free(c);
}

static void on_gone(void *arg)
{
    struct client *k = arg;
    struct httpc *c = k->c;

    if (k->prev != NULL)
        k->prev->next = k->next;
    else
        c->clients = k->next;
    if (k->next != NULL)
        k->next->prev = k->prev;
    c->n_clients--;
    http1_msg_free(&k->msg);
    mem_free(k);
    if (c->closing)
        tell_closed(c);
    else
        pump(c);
}

static const struct stream_handler client_handler = {
    .open = on_open, .data = on_data, .deadline = on_deadline, .over = on_over, .gone = on_gone};

static int open_client(struct httpc *c, bool for_call)
{
    struct stream_target target = {c->url.host, c->url.port, c->url.tls ? c->config.tls : NULL};
    struct client *k = MEM_NEW(struct client);
    struct err e = {0};
    int rc;

    if (k == NULL)
        return ERR_NOMEM;
    k->c = c;
    k->for_call = for_call;
    http1_init(&k->h1, true, HEADER_BYTES_MAX, c->config.max_body_bytes);
    http1_msg_init(&k->msg);
    rc = stream_connect(&k->stream, c->loop, &target, &client_handler, k, &e);
    if (rc < 0) {
        log_warn(c->log, "cannot connect to %.*s: %s", STR_ARG(c->url.host), e.text);
        mem_free(k);
        return rc;
    }
    stream_limit(k->stream, REQUEST_BYTES_MAX + HEADER_BYTES_MAX);
    stream_deadline(k->stream, loop_now_ms(c->loop) + c->config.connect_ms);
    k->next = c->clients;
    if (k->next != NULL)
        k->next->prev = k;
    c->clients = k;
    c->n_clients++;
    c->n_connecting++;
    return 0;
}

/* ---- bringing calls and connections together ---- */

static bool is_idle(const struct client *k)
{
    return k->stream != NULL && k->open && k->call == NULL && !k->telling;
}

static struct client *find_idle(struct httpc *c, bool fresh)
{
    uint64_t now = loop_now_ms(c->loop);
    struct client *next;

    for (struct client *k = c->clients; k != NULL; k = next) {
        next = k->next;
        if (!is_idle(k) || (fresh && k->used))
            continue;
        if (k->expires_ms == 0 || now < k->expires_ms)
            return k;
        drop(k); /* the server is about to close it */
    }
    return NULL;
}

static void assign(struct client *k, struct httpc_call *call)
{
    dequeue(call);
    call->client = k;
    k->call = call;
    http1_msg_clear(&k->msg);
    http1_next(&k->h1, &k->msg, call->is_head);
    k->sent_before = stream_sent(k->stream);
    stream_deadline(k->stream, 0); /* the pool's timer watches calls */
    if (stream_write(k->stream, buf_str(&call->request)) == 0)
        return;
    /* Nothing left: the call waits for another connection. */
    k->call = NULL;
    enqueue(call, true);
    drop(k);
}

/* Room for a connection that must be new: an idle used one goes. */
static void make_room(struct httpc *c)
{
    for (struct client *k = c->clients; k != NULL; k = k->next) {
        if (is_idle(k) && k->used) {
            drop(k);
            return;
        }
    }
}

static void open_clients(struct httpc *c)
{
    uint64_t now = loop_now_ms(c->loop);
    int rc = 0;

    if (c->first != NULL && c->first->fresh && c->n_clients >= c->config.max_conns)
        make_room(c);
    while (rc == 0 && c->n_waiting > c->n_connecting && c->n_clients < c->config.max_conns)
        rc = open_client(c, true);
    while (rc == 0 && c->n_clients < c->config.warm_conns && now >= c->reopen_ms)
        rc = open_client(c, false);
    if (c->n_clients < c->config.warm_conns)
        wake_at(c, rc == 0 ? c->reopen_ms : now + REOPEN_LAST_MS);
    if (rc < 0 && c->n_waiting > 0) {
        c->open_rc = rc;
        wake_at(c, now > 0 ? now : 1); /* told from the timer, never inside httpc_send() */
    }
}

static void pump(struct httpc *c)
{
    if (c->closing)
        return;
    while (c->first != NULL) {
        struct client *k = find_idle(c, c->first->fresh);

        if (k == NULL)
            break;
        assign(k, c->first);
    }
    open_clients(c);
}

/* ---- deadlines of calls ---- */

static struct httpc_call *find_late(struct httpc *c, uint64_t now)
{
    for (struct httpc_call *call = c->first; call != NULL; call = call->next)
        if (now >= call->deadline_ms)
            return call;
    for (struct client *k = c->clients; k != NULL; k = k->next)
        if (k->call != NULL && now >= k->call->deadline_ms)
            return k->call;
    return NULL;
}

static void on_timer(void *arg)
{
    struct httpc *c = arg;
    uint64_t now = loop_now_ms(c->loop);
    struct httpc_call *call;

    c->timer_ms = 0;
    if (c->closing) {
        tell_closed(c);
        return;
    }
    if (c->open_rc < 0) {
        int rc = c->open_rc;

        c->open_rc = 0;
        while (!c->closing && c->first != NULL)
            fail(c->first, rc, err_name(rc));
    }
    /* Looked for anew each time: a callback may cancel others. */
    while (!c->closing && (call = find_late(c, now)) != NULL)
        fail(call, ERR_TIMEOUT, call->client != NULL ? "no answer within the time allowed"
                                                     : "no connection within the time allowed");
    if (c->closing)
        return;
    for (call = c->first; call != NULL; call = call->next)
        wake_at(c, call->deadline_ms);
    for (struct client *k = c->clients; k != NULL; k = k->next)
        if (k->call != NULL)
            wake_at(c, k->call->deadline_ms);
    pump(c);
}

/* ---- the interface ---- */

int httpc_send(struct httpc *c, const struct httpc_request *req, struct httpc_call **out)
{
    struct httpc_call *call;
    int rc;

    if (c->closing)
        return ERR_CLOSED;
    if (c->n_waiting >= WAITING_MAX)
        return ERR_FULL;
    call = MEM_NEW(struct httpc_call);
    if (call == NULL)
        return ERR_NOMEM;
    buf_init(&call->request, REQUEST_BYTES_MAX);
    rc = httpc_write_request(&c->url, c->prefix, req, &call->request);
    if (rc < 0) {
        call_free(call);
        return rc;
    }
    call->c = c;
    call->on_data = req->on_data;
    call->on_done = req->on_done;
    call->arg = req->arg;
    call->is_get = str_eqc(str_of(req->method), "GET");
    call->is_head = str_eqc(str_of(req->method), "HEAD");
    c->asked_ms = loop_now_ms(c->loop);
    call->deadline_ms = c->asked_ms + (req->timeout_ms != 0 ? req->timeout_ms : 30000);
    c->stats.requests++;
    c->reopen_ms = 0; /* somebody is here: warm connections are worth opening again */
    enqueue(call, false);
    wake_at(c, call->deadline_ms);
    if (out != NULL)
        *out = call;
    pump(c);
    return 0;
}

void httpc_cancel(struct httpc_call *call)
{
    struct httpc *c = call->c;
    struct client *k = call->client;

    detach(call);
    call_free(call);
    if (k != NULL)
        drop(k);
    pump(c);
}

void httpc_pause(struct httpc_call *call, bool paused)
{
    if (call->client != NULL && call->client->stream != NULL)
        stream_pause(call->client->stream, paused);
}

int httpc_open(struct httpc **out, struct loop *l, const struct httpc_config *config,
               const struct log *log, struct err *e)
{
    struct httpc *c = MEM_NEW(struct httpc);
    struct httpc_config *k;
    int rc;

    if (c == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for an HTTP client");
    c->loop = l;
    c->log = log;
    c->config = *config;
    c->base = str_dup(config->base_url);
    if (c->base == NULL) {
        rc = err_set(e, ERR_NOMEM, "out of memory for an HTTP client");
        goto out;
    }
    k = &c->config;
    k->base_url = str_of(c->base);
    k->max_conns = k->max_conns != 0 ? k->max_conns : 64;
    k->connect_ms = k->connect_ms != 0 ? k->connect_ms : 5000;
    k->idle_ms = k->idle_ms != 0 ? k->idle_ms : 55000;
    k->max_body_bytes = k->max_body_bytes != 0 ? k->max_body_bytes : 4u * 1024u * 1024u;
    if (k->warm_conns > k->max_conns)
        k->warm_conns = k->max_conns;
    rc = url_read(&c->url, k->base_url, e);
    if (rc == 0 && c->url.tls && k->tls == NULL)
        rc = err_set(e, ERR_INVALID, "an https URL needs a TLS context");
    if (rc == 0 && c->url.query.n > 0)
        rc = err_set(e, ERR_INVALID, "a base URL has no query");
    if (rc < 0)
        goto out;
    c->prefix = c->url.path;
    while (c->prefix.n > 0 && c->prefix.p[c->prefix.n - 1] == '/')
        c->prefix.n--;
    rc = timer_open(&c->timer, l, on_timer, c);
    if (rc < 0) {
        (void)err_set(e, rc, "out of memory for an HTTP client");
        goto out;
    }
    c->asked_ms = loop_now_ms(l);
    *out = c;
    pump(c);
    return 0;
out:
    mem_free(c->base);
    mem_free(c);
    return rc;
}

void httpc_close(struct httpc *c, void (*closed)(void *arg), void *arg)
{
    struct client *next;

    if (c->closing)
        return;
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    while (c->first != NULL) {
        struct httpc_call *call = c->first;

        detach(call);
        call_free(call);
    }
    for (struct client *k = c->clients; k != NULL; k = next) {
        struct httpc_call *call = k->call;

        next = k->next;
        if (call != NULL) {
            detach(call);
            call_free(call);
        }
        drop(k);
    }
    if (c->clients == NULL)
        timer_set(c->timer, loop_now_ms(c->loop));
}

void httpc_stats_read(const struct httpc *c, struct httpc_stats *out)
{
    *out = c->stats;
    out->conns = c->n_clients;
    out->waiting = c->n_waiting;
    out->idle = 0;
    for (const struct client *k = c->clients; k != NULL; k = k->next)
        out->idle += is_idle(k);
}
