/* SPDX-License-Identifier: MIT */
#include "plugin/wake.h"

#include "memory/store.h"
#include "plugin/base/mem.h"
#include "plugin/net/loop.h"

#include <stdatomic.h>
#include <stddef.h>

struct wake {
    struct loop_msg msg, lull;
    struct app *app;
    void (*poll)(struct app *app);
    atomic_bool posted;
};

static void on_wake(struct loop_msg *m)
{
    struct wake *w = (struct wake *)(void *)m;

    atomic_store(&w->posted, false);
    w->poll(w->app);
}

static void on_lull(struct loop_msg *m)
{
    struct wake *w = (struct wake *)(void *)((char *)m - offsetof(struct wake, lull));

    if (w->app->store != NULL)
        store_begin(w->app->store);
}

int wake_open(struct wake **out, struct app *app, void (*poll)(struct app *app))
{
    struct wake *w = MEM_NEW(struct wake);

    if (w == NULL)
        return ERR_NOMEM;
    w->msg.run = on_wake;
    w->lull.run = on_lull;
    w->app = app;
    w->poll = poll;
    *out = w;
    return 0;
}

void wake_close(struct wake *w)
{
    mem_free(w);
}

void wake_loop(void *ctx)
{
    struct wake *w = ctx;

    if (!atomic_exchange(&w->posted, true) && loop_post(w->app->loop, &w->msg) < 0)
        atomic_store(&w->posted, false); /* stopping: store_close() runs what is left */
}

void wake_gather(void *ctx)
{
    struct wake *w = ctx;

    if (loop_lull(w->app->loop, &w->lull) < 0)
        store_begin(w->app->store);
}
