/* SPDX-License-Identifier: MIT */
#include "plugin/drain.h"

#include "abi/openclaw_voice.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/lines.h"
#include "plugin/net/loop.h"
#include "plugin/notice.h"

#define LOOK_MS 100u     /* whether the last call is over */
#define TELL_MS 10000u   /* a line in the log at least so often */

struct waiter {
    struct waiter *next;
    drain_fn *fn;
    void *arg;
};

struct drain {
    struct app *app;
    struct timer *timer;
    struct waiter *waiters;
    bool active, over; /* over: none was live any more, or the time was up */
    uint64_t until_ms, tell_at_ms;
    unsigned told;     /* the number of calls that was told last */
};

int drain_open(struct drain **out, struct app *app)
{
    struct drain *d = MEM_NEW(struct drain);

    if (d == NULL)
        return ERR_NOMEM;
    d->app = app;
    *out = d;
    return 0;
}

static void release(struct drain *d, int rc, unsigned live)
{
    struct waiter *w = d->waiters;

    d->waiters = NULL; /* whoever is told may ask again */
    while (w != NULL) {
        struct waiter *next = w->next;

        w->fn(w->arg, rc, live);
        mem_free(w);
        w = next;
    }
}

void drain_close(struct drain *d)
{
    if (d == NULL)
        return;
    timer_close(d->timer);
    release(d, ERR_CANCELED, 0);
    mem_free(d);
}

bool drain_active(const struct drain *d)
{
    return d != NULL && d->active;
}

static uint64_t left_ms(const struct drain *d)
{
    uint64_t now = loop_now_ms(d->app->loop);

    return !d->over && d->until_ms > now ? d->until_ms - now : 0;
}

static void tell(struct drain *d, unsigned live)
{
    struct app *app = d->app;
    struct buf b;

    d->told = live;
    d->tell_at_ms = loop_now_ms(app->loop) + TELL_MS;
    if (!d->over)
        log_info(&app->log, "draining: %u call%s live, at most %llu s", live, live == 1 ? "" : "s",
                 (unsigned long long)(left_ms(d) + 999) / 1000);
    else if (live > 0)
        log_warn(&app->log, "drained: the time is up; %u call%s left to the next instance", live,
                 live == 1 ? " is" : "s are");
    else
        log_info(&app->log, "drained: no call is live");
    notice_begin(&b, OC_EV_DRAINING, STR(""));
    jw_kint(&b, "live", live);
    jw_kint(&b, "left_ms", (int64_t)left_ms(d));
    notice_send(app, &b, OC_EV_DRAINING, STR(""));
}

static void look(struct drain *d, bool first)
{
    uint64_t now = loop_now_ms(d->app->loop);
    unsigned live = calls_talking(d->app->calls);

    d->over = live == 0 || now >= d->until_ms;
    if (first || d->over || live != d->told || now >= d->tell_at_ms)
        tell(d, live);
    if (d->over)
        release(d, 0, live);
    else
        timer_set(d->timer, now + LOOK_MS);
}

static void on_timer(void *arg)
{
    look(arg, false);
}

int drain_begin(struct drain *d, uint32_t seconds, drain_fn *fn, void *arg)
{
    struct waiter *w = fn != NULL ? MEM_NEW(struct waiter) : NULL;

    if ((fn != NULL && w == NULL) ||
        (d->timer == NULL && timer_open(&d->timer, d->app->loop, on_timer, d) < 0)) {
        mem_free(w);
        return ERR_NOMEM;
    }
    if (w != NULL) {
        *w = (struct waiter){d->waiters, fn, arg};
        d->waiters = w;
    }
    d->active = true;
    d->over = false;
    d->until_ms = loop_now_ms(d->app->loop) + 1000ull * (seconds > DRAIN_MAX_S ? DRAIN_MAX_S : seconds);
    look(d, true);
    return 0;
}

void drain_end(struct drain *d)
{
    if (!d->active)
        return;
    d->active = false;
    timer_stop(d->timer);
    log_info(&d->app->log, "draining is called off: calls are taken again");
    release(d, ERR_CANCELED, calls_talking(d->app->calls));
    if (d->app->lines != NULL)
        lines_look(d->app->lines);
}

void drain_write(const struct drain *d, struct buf *out)
{
    if (!drain_active(d))
        return;
    jw_key(out, "draining");
    jw_open(out, '{');
    jw_kint(out, "live", calls_talking(d->app->calls));
    jw_kint(out, "left_ms", (int64_t)left_ms(d));
    jw_close(out, '}');
}

/* ---- POST and DELETE /drain ---- */

static void answer(const struct route_ask *ask, int status)
{
    const struct drain *d = ask->app->drain;
    struct buf b;

    buf_init(&b, 512);
    jw_open(&b, '{');
    jw_kstrc(&b, "status", drain_active(d) ? "draining" : "ok");
    drain_write(d, &b);
    jw_close(&b, '}');
    ask->fn(ask->arg, b.rc < 0 ? 503 : status, b.rc < 0 ? STR("{\"error\":\"out of memory\"}") : buf_str(&b));
    buf_free(&b);
}

/* {"seconds": n} or nothing. -1: something else. */
static int64_t seconds_of(const struct route_ask *ask)
{
    int64_t seconds = (int64_t)ask->app->config->call.drain_s;
    struct json *body = NULL;

    if (ask->body.n == 0)
        return seconds;
    if (json_parse(&body, ask->body, NULL) < 0 || !json_is_object(body))
        seconds = -1;
    for (const struct json *m = json_first(body); seconds >= 0 && m != NULL; m = json_next(m))
        seconds = str_eqc(json_key(m), "seconds") ? json_get_int(body, "seconds", -1) : -1;
    json_free(body);
    return seconds <= (int64_t)DRAIN_MAX_S ? seconds : -1;
}

bool drain_route(const struct route_ask *ask)
{
    int64_t seconds;

    if (!str_eqc(ask->path, "/drain"))
        return false;
    if (str_eqc(ask->method, "DELETE")) {
        drain_end(ask->app->drain);
        answer(ask, 200);
    } else if (!str_eqc(ask->method, "POST")) {
        route_error(ask, 405, "POST takes no new calls from now on, DELETE takes them again");
    } else if ((seconds = seconds_of(ask)) < 0) {
        route_error(ask, 400, "the body is {\"seconds\": 0 to 3600} or absent");
    } else if (drain_begin(ask->app->drain, (uint32_t)seconds, NULL, NULL) < 0) {
        route_error(ask, 503, "out of memory");
    } else {
        answer(ask, 202);
    }
    return true;
}
