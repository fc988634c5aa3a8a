/* SPDX-License-Identifier: MIT */
#include "plugin/net/httpc_int.h"

#include "plugin/base/mem.h"

#include <string.h>

#define WAITING_MAX 4096u

/* ---- time ---- */

static void wake_at(struct httpc *c, uint64_t at_ms)
{
    if (at_ms == 0 || (c->timer_ms != 0 && c->timer_ms <= at_ms))
        return;
    c->timer_ms = at_ms;
    timer_set(c->timer, at_ms);
}

/* ---- calls ---- */

void httpc_enqueue(struct httpc_call *call, bool front)
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

void httpc_detach(struct httpc_call *call)
{
    if (call->client != NULL)
        call->client->call = NULL;
    else
        dequeue(call);
    call->client = NULL;
}

void httpc_finish(struct httpc_call *call, const struct httpc_result *r)
{
    call->on_done(call->arg, r);
    call_free(call);
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
        client_drop(k); /* the server is about to close it */
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
    httpc_enqueue(call, true);
    client_drop(k);
}

/* Room for a connection that must be new: an idle used one goes. */
static void make_room(struct httpc *c)
{
    for (struct client *k = c->clients; k != NULL; k = k->next) {
        if (is_idle(k) && k->used) {
            client_drop(k);
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
        rc = client_open(c, true);
    while (rc == 0 && c->n_clients < c->config.warm_conns && now >= c->reopen_ms)
        rc = client_open(c, false);
    if (c->n_clients < c->config.warm_conns)
        wake_at(c, rc == 0 ? c->reopen_ms : now + HTTPC_REOPEN_MS);
    if (rc < 0 && c->n_waiting > 0) {
        c->open_rc = rc;
        wake_at(c, now > 0 ? now : 1); /* told from the timer, never inside httpc_send() */
    }
}

void httpc_pump(struct httpc *c)
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

/* ---- the end ---- */

void httpc_tell_closed(struct httpc *c)
{
    if (!c->closing || c->clients != NULL)
        return;
    timer_close(c->timer);
    if (c->closed != NULL)
        c->closed(c->closed_arg);
    mem_free(c->base);
    mem_free(c);
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
        httpc_tell_closed(c);
        return;
    }
    if (c->open_rc < 0) {
        int rc = c->open_rc;

        c->open_rc = 0;
        while (!c->closing && c->first != NULL)
            httpc_fail(c->first, rc, err_name(rc));
    }
    /* Looked for anew each time: a callback may cancel others. */
    while (!c->closing && (call = find_late(c, now)) != NULL)
        httpc_fail(call, ERR_TIMEOUT, call->client != NULL ? "no answer within the time allowed"
                                                           : "no connection within the time allowed");
    if (c->closing)
        return;
    for (call = c->first; call != NULL; call = call->next)
        wake_at(c, call->deadline_ms);
    for (struct client *k = c->clients; k != NULL; k = k->next)
        if (k->call != NULL)
            wake_at(c, k->call->deadline_ms);
    httpc_pump(c);
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
    buf_init(&call->request, HTTPC_REQUEST_BYTES);
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
    httpc_enqueue(call, false);
    wake_at(c, call->deadline_ms);
    if (out != NULL)
        *out = call;
    httpc_pump(c);
    return 0;
}

void httpc_cancel(struct httpc_call *call)
{
    struct httpc *c = call->c;
    struct client *k = call->client;

    httpc_detach(call);
    call_free(call);
    if (k != NULL)
        client_drop(k);
    httpc_pump(c);
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
    httpc_pump(c);
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

        httpc_detach(call);
        call_free(call);
    }
    for (struct client *k = c->clients; k != NULL; k = next) {
        struct httpc_call *call = k->call;

        next = k->next;
        if (call != NULL) {
            httpc_detach(call);
            call_free(call);
        }
        client_drop(k);
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
