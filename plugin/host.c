/* SPDX-License-Identifier: MIT */
#include "plugin/host.h"

#include "plugin/base/err.h"
#include "plugin/base/mem.h"

#include <string.h>

#define BUCKETS 256u
#define REQUESTS_MAX 20000u

struct asked {
    struct asked *next;
    uint64_t token;
    host_reply_fn *fn;
    host_progress_fn *progress;
    void *arg;
};

struct host {
    struct oc_host table;
    uint64_t last_token;
    unsigned open;
    struct asked *buckets[BUCKETS];
};

int host_open(struct host **out, const struct oc_host *table)
{
    struct host *h = MEM_NEW(struct host);
    size_t n = table->size < sizeof h->table ? table->size : sizeof h->table;

    if (h == NULL)
        return ERR_NOMEM;
    /* What an older host does not have stays NULL; OC_HAS() then says so. */
    memcpy(&h->table, table, n);
    h->table.size = (uint32_t)n;
    *out = h;
    return 0;
}

void host_close(struct host *h)
{
    if (h == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (h->buckets[i] != NULL) {
            struct asked *a = h->buckets[i];

            h->buckets[i] = a->next;
            if (a->fn != NULL)
                a->fn(a->arg, OC_ESTATE, STR(""));
            mem_free(a);
        }
    }
    mem_free(h);
}

void host_log_sink(void *ctx, enum log_level level, struct str line)
{
    struct host *h = ctx;

    if (OC_HAS(&h->table, log))
        h->table.log(h->table.ctx, (int)level, to_oc(line));
}

void host_event(struct host *h, const char *name, struct str call, struct str json)
{
    struct oc_event ev = {.size = sizeof ev, .name = to_oc(str_of(name)), .call = to_oc(call),
                          .json = to_oc(json)};

    if (OC_HAS(&h->table, event))
        h->table.event(h->table.ctx, &ev);
}

bool host_serves(const struct host *h)
{
    return OC_HAS(&h->table, request);
}

static struct asked **find(struct host *h, uint64_t token)
{
    struct asked **at = &h->buckets[token % BUCKETS];

    while (*at != NULL && (*at)->token != token)
        at = &(*at)->next;
    return at;
}

int host_request(struct host *h, const char *name, struct str call, struct str json,
                 host_reply_fn *fn, host_progress_fn *progress, void *arg, uint64_t *token)
{
    struct oc_request req = {.size = sizeof req, .name = to_oc(str_of(name)), .call = to_oc(call),
                             .json = to_oc(json)};
    struct asked *a;

    if (!host_serves(h))
        return ERR_BAD_STATE;
    if (h->open >= REQUESTS_MAX)
        return ERR_FULL;
    a = MEM_NEW(struct asked);
    if (a == NULL)
        return ERR_NOMEM;
    *a = (struct asked){.token = ++h->last_token, .fn = fn, .progress = progress, .arg = arg};
    a->next = h->buckets[a->token % BUCKETS];
    h->buckets[a->token % BUCKETS] = a;
    h->open++;
    if (h->table.request(h->table.ctx, a->token, &req) < 0) {
        host_forget(h, a->token);
        return ERR_BAD_STATE;
    }
    if (token != NULL)
        *token = a->token;
    return 0;
}

void host_cancel(struct host *h, uint64_t token)
{
    if (*find(h, token) != NULL && OC_HAS(&h->table, cancel))
        h->table.cancel(h->table.ctx, token);
}

void host_forget(struct host *h, uint64_t token)
{
    struct asked **at = find(h, token), *a = *at;

    if (a == NULL)
        return;
    *at = a->next;
    h->open--;
    mem_free(a);
}

bool host_on_reply(struct host *h, uint64_t token, int code, struct str json)
{
    const struct asked *a = *find(h, token);
    struct asked copy;

    if (a == NULL)
        return false;
    copy = *a;
    host_forget(h, token);
    if (copy.fn != NULL)
        copy.fn(copy.arg, code, json);
    return true;
}

bool host_on_progress(struct host *h, uint64_t token, struct str json)
{
    const struct asked *a = *find(h, token);

    if (a == NULL)
        return false;
    if (a->progress != NULL)
        a->progress(a->arg, json);
    return true;
}
