/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_POOL_KIT_H
#define TESTS_UNIT_POOL_KIT_H
/*
 * A pool of connections and a clock that stand in a test instead of the real ones: a linker takes a function from an
 * archive only when nobody else has it.
 */
#include "plugin/net/httpc.h"
#include "tests/unit/t.h"

#define POOL_CALLS 48u

struct httpc_call {
    struct httpc_request req;
    char method[8], path[700], body[9000], auth[200], type[60], names[300]; /* names: of all headers */
    bool open, canceled, paused;
    uint64_t sent_at;
};

struct httpc {
    void (*closed)(void *);
    void *closed_arg;
};

static struct {
    uint64_t now;
    struct httpc_call calls[POOL_CALLS];
    unsigned n_calls;
    struct httpc pool;
    char base_url[200];
    bool has_tls;
    unsigned max_conns, warm_conns;
    int send_rc, open_rc;
} net;

int httpc_open(struct httpc **out, struct loop *l, const struct httpc_config *config, const struct log *log,
               struct err *e)
{
    (void)l;
    (void)log;
    (void)e;
    T_TRUE(str_copy(net.base_url, sizeof net.base_url, config->base_url));
    net.has_tls = config->tls != NULL;
    net.max_conns = config->max_conns;
    net.warm_conns = config->warm_conns;
    if (net.open_rc == 0)
        *out = &net.pool;
    return net.open_rc;
}

static inline void pool_note_headers(struct httpc_call *call, const struct httpc_request *req)
{
    size_t n = 0;

    for (unsigned i = 0; i < req->n_headers; i++) {
        const struct httpc_header *h = &req->headers[i];

        if (str_ieq(h->name, STR("authorization")))
            T_TRUE(str_copy(call->auth, sizeof call->auth, h->value));
        if (str_ieq(h->name, STR("content-type")))
            T_TRUE(str_copy(call->type, sizeof call->type, h->value));
        if (n < sizeof call->names)
            n += (size_t)snprintf(call->names + n, sizeof call->names - n, "%.*s\n", STR_ARG(h->name));
    }
}

int httpc_send(struct httpc *c, const struct httpc_request *req, struct httpc_call **out)
{
    struct httpc_call *call = &net.calls[net.n_calls];

    T_PTR_EQ(c, &net.pool);
    T_MUST(net.n_calls < POOL_CALLS);
    if (net.send_rc < 0)
        return net.send_rc;
    net.n_calls++;
    memset(call, 0, sizeof *call);
    call->req = *req;
    T_TRUE(str_copy(call->method, sizeof call->method, str_of(req->method)));
    T_TRUE(str_copy(call->path, sizeof call->path, req->path));
    T_TRUE(str_copy(call->body, sizeof call->body, req->body));
    pool_note_headers(call, req);
    call->open = true;
    call->sent_at = net.now;
    *out = call;
    return 0;
}

void httpc_cancel(struct httpc_call *call)
{
    T_TRUE(call->open);
    call->open = false;
    call->canceled = true;
}

void httpc_pause(struct httpc_call *call, bool paused)
{
    T_TRUE(call->open);
    call->paused = paused;
}

void httpc_close(struct httpc *c, void (*closed)(void *arg), void *arg)
{
    c->closed = closed;
    c->closed_arg = arg;
}

uint64_t loop_now_ms(const struct loop *l)
{
    (void)l;
    return net.now;
}

#endif
