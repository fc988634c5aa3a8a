/* SPDX-License-Identifier: MIT */
/* One connection of the pool: from being opened to its end, and the answers on it. */
#include "plugin/net/httpc_int.h"

#include "plugin/base/mem.h"

#define REOPEN_FIRST_MS 500u
#define SETTLED_MS 10000u     /* a connection that lived so long was no failure */

void client_drop(struct client *k)
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
void httpc_fail(struct httpc_call *call, int rc, const char *why)
{
    struct client *k = call->client;
    struct httpc_result r = {.err = rc, .text = str_of(why)};

    r.maybe_sent = k != NULL && k->stream != NULL && stream_sent(k->stream) > k->sent_before;
    httpc_detach(call);
    if (k != NULL)
        client_drop(k);
    httpc_finish(call, &r);
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
    for (unsigned i = 1; i < c->failures && wait < HTTPC_REOPEN_MS; i++)
        wait *= 2;
    /* Without anything to do, keeping warm is worth a connection a minute and no more. */
    if (wait > HTTPC_REOPEN_MS || now >= c->asked_ms + HTTPC_REOPEN_MS)
        wait = HTTPC_REOPEN_MS;
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
        httpc_enqueue(call, true);
        client_drop(k);
        return;
    }
    if (rc == 0)
        rc = ERR_CLOSED;
    httpc_fail(call, rc, why);
}

static void tell_done(struct client *k)
{
    struct httpc_call *call = k->call;
    struct httpc_result r = {.status = k->msg.status, .maybe_sent = true, .text = STR("")};

    r.body = http1_body(&k->msg);
    r.retry_after = http1_field(&k->msg, "retry-after");
    r.date = http1_field(&k->msg, "date");
    r.location = http1_field(&k->msg, "location");
    httpc_detach(call);
    k->used = k->telling = true;
    httpc_finish(call, &r);
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
        client_drop(k);
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
            client_drop(k); /* an answer to nothing */
            break;
        }
        rc = http1_feed(&k->h1, bytes, &used, &e);
        bytes = str_skip(bytes, used);
        if (k->call == NULL)
            break; /* cancelled inside on_data */
        if (rc < 0) {
            httpc_fail(k->call, rc, e.text);
        } else if (k->h1.state == HTTP1_DONE) {
            complete(k, bytes.n > 0);
        } else if (k->h1.state == HTTP1_BODY && k->call->on_data != NULL &&
                   k->msg.status / 100 == 2) {
            http1_sink(&k->h1, on_body, k);
        }
    }
    httpc_pump(k->c);
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
    httpc_pump(c);
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
        client_drop(k);
        if (for_call && c->first != NULL)
            httpc_fail(c->first, rc < 0 ? rc : ERR_CLOSED, why);
    }
    httpc_pump(c);
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
        client_drop(k);
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
        httpc_tell_closed(c);
    else
        httpc_pump(c);
}

static const struct stream_handler client_handler = {
    .open = on_open, .data = on_data, .deadline = on_deadline, .over = on_over, .gone = on_gone};

int client_open(struct httpc *c, bool for_call)
{
    struct stream_target target = {c->url.host, c->url.port, c->url.tls ? c->config.tls : NULL};
    struct client *k = MEM_NEW(struct client);
    struct err e = {0};
    int rc;

    if (k == NULL)
        return ERR_NOMEM;
    k->c = c;
    k->for_call = for_call;
    http1_init(&k->h1, true, HTTPC_HEADER_BYTES, c->config.max_body_bytes);
    http1_msg_init(&k->msg);
    rc = stream_connect(&k->stream, c->loop, &target, &client_handler, k, &e);
    if (rc < 0) {
        log_warn(c->log, "cannot connect to %.*s: %s", STR_ARG(c->url.host), e.text);
        mem_free(k);
        return rc;
    }
    stream_limit(k->stream, HTTPC_REQUEST_BYTES + HTTPC_HEADER_BYTES);
    stream_deadline(k->stream, loop_now_ms(c->loop) + c->config.connect_ms);
    k->next = c->clients;
    if (k->next != NULL)
        k->next->prev = k;
    c->clients = k;
    c->n_clients++;
    c->n_connecting++;
    return 0;
}
