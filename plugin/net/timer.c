/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/net/loop_uv.h"

struct timer {
    uv_timer_t uv;
    timer_fn *fn;
    void *arg;
    uint64_t at_ms;    /* when to fire; 0: not set */
    uint64_t armed_ms; /* when libuv will wake us; 0: it will not */
};

static void arm(struct timer *t);

static void on_fire(uv_timer_t *uv)
{
    struct timer *t = uv->data;

    t->armed_ms = 0;
    if (t->at_ms == 0)
        return;
    if (uv_now(uv->loop) < t->at_ms) {
        arm(t);
        return;
    }
    t->at_ms = 0;
    t->fn(t->arg);
}

static void arm(struct timer *t)
{
    uint64_t now = uv_now(t->uv.loop);

    t->armed_ms = t->at_ms > now ? t->at_ms : now;
    (void)uv_timer_start(&t->uv, on_fire, t->armed_ms - now, 0);
}

int timer_open(struct timer **out, struct loop *l, timer_fn *fn, void *arg)
{
    struct timer *t = MEM_NEW(struct timer);

    if (t == NULL)
        return ERR_NOMEM;
    (void)uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    t->fn = fn;
    t->arg = arg;
    *out = t;
    return 0;
}

void timer_set(struct timer *t, uint64_t at_ms)
{
    t->at_ms = at_ms > 0 ? at_ms : 1;
    /* A deadline that moves away, the usual case, costs nothing: the early wake-up re-arms. */
    if (t->armed_ms == 0 || t->armed_ms > t->at_ms)
        arm(t);
}

void timer_stop(struct timer *t)
{
    t->at_ms = t->armed_ms = 0;
    (void)uv_timer_stop(&t->uv);
}

static void on_closed(uv_handle_t *uv)
{
    mem_free(uv->data);
}

void timer_close(struct timer *t)
{
    if (t == NULL)
        return;
    t->at_ms = 0;
    uv_close((uv_handle_t *)&t->uv, on_closed);
}
