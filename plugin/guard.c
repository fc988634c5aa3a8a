/* SPDX-License-Identifier: MIT */
#include "plugin/guard.h"

#include "plugin/app.h"
#include "plugin/base/mem.h"
#include "plugin/base/rate.h"
#include "plugin/config/config.h"
#include "plugin/net/loop.h"

#define NUMBERS 8192u
#define TOKENS 256u
#define PEERS 4096u
#define HOUR_MS 3600000u
#define MINUTE_MS 60000u

struct guard {
    struct app *app;
    struct rate *calls, *requests, *failures; /* NULL: no limit */
    struct rate *told;                        /* peers that a log named in the last minute */
};

static int open_one(struct rate **out, unsigned slots, uint32_t most, uint32_t per_ms)
{
    return most == 0 ? 0 : rate_open(out, slots, most, per_ms);
}

int guard_open(struct guard **out, struct app *app)
{
    const struct config *c = app->config;
    struct guard *g = MEM_NEW(struct guard);
    int rc;

    if (g == NULL)
        return ERR_NOMEM;
    g->app = app;
    rc = open_one(&g->calls, NUMBERS, c->call.max_per_caller_hour, HOUR_MS);
    if (rc == 0)
        rc = open_one(&g->requests, TOKENS, c->api_requests_per_minute, MINUTE_MS);
    if (rc == 0)
        rc = open_one(&g->failures, PEERS, c->api_failures_per_minute, MINUTE_MS);
    if (rc == 0)
        rc = open_one(&g->told, PEERS, 1, MINUTE_MS);
    if (rc < 0)
        guard_close(g);
    else
        *out = g;
    return rc;
}

void guard_close(struct guard *g)
{
    if (g == NULL)
        return;
    rate_close(g->calls);
    rate_close(g->requests);
    rate_close(g->failures);
    rate_close(g->told);
    mem_free(g);
}

static uint64_t now_of(const struct guard *g)
{
    return loop_now_ms(g->app->loop);
}

static unsigned seconds(uint32_t ms)
{
    return (ms + 999u) / 1000u;
}

bool guard_call(struct guard *g, struct str number)
{
    return g->calls == NULL || rate_take(g->calls, number, now_of(g)) == 0;
}

unsigned guard_request(struct guard *g, struct str token)
{
    return g->requests == NULL ? 0 : seconds(rate_take(g->requests, token, now_of(g)));
}

unsigned guard_failed(struct guard *g, struct str peer, bool *first)
{
    uint32_t wait = g == NULL || g->failures == NULL ? 0 : rate_take(g->failures, peer, now_of(g));

    *first = wait > 0 && rate_take(g->told, peer, now_of(g)) == 0;
    return seconds(wait);
}
