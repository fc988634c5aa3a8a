/* SPDX-License-Identifier: MIT */
#include "plugin/net/loop_uv.h"

#include "plugin/base/mem.h"
#include "plugin/base/thread.h"
#include "plugin/base/turns.h"
#include "plugin/net/resolver.h"
#include "plugin/net/stream.h"

#define WIRE_BYTES_MAX (1024u * 1024u)
#define LULL_NS 1000000u

/* Those that come meanwhile wait for the next time. */
static void run_messages(struct fifo messages)
{
    struct loop_msg *m;

    while ((m = fifo_take(&messages)) != NULL)
        m->run(m);
}

/* uv_async_send() coalesces, so a wake-up says "look", never how much there is. */
static void on_wake(uv_async_t *wake)
{
    struct loop *l = wake->data;
    struct fifo messages;
    bool closed;

    l->arrivals++;
    (void)pthread_mutex_lock(&l->lock);
    messages = l->posted;
    l->posted = (struct fifo){NULL, NULL};
    closed = l->closed;
    (void)pthread_mutex_unlock(&l->lock);
    run_messages(messages);
    if (closed && !uv_is_closing((uv_handle_t *)wake))
        uv_close((uv_handle_t *)wake, NULL);
}

static void on_before_sleep(uv_prepare_t *h)
{
    stream_flush_dirty(h->data);
}

static void on_restless(uv_idle_t *h)
{
    struct loop *l = h->data;

    l->arrivals = 0;
}

static void run_lull(struct loop *l)
{
    struct fifo messages = l->lull;

    l->lull = (struct fifo){NULL, NULL};
    (void)uv_idle_stop(&l->restless);
    run_messages(messages);
}

static void on_after_events(uv_check_t *h)
{
    struct loop *l = h->data;

    stream_flush_dirty(l);
    if (!fifo_empty(&l->lull) && (l->arrivals == 0 || uv_hrtime() >= l->lull_by_ns))
        run_lull(l);
}

static int init_handles(struct loop *l)
{
    int rc = uv_async_init(&l->uv, &l->wake, on_wake);

    if (rc < 0)
        return rc;
    l->wake.data = l;
    (void)uv_prepare_init(&l->uv, &l->before_sleep);
    (void)uv_check_init(&l->uv, &l->after_events);
    (void)uv_idle_init(&l->uv, &l->restless);
    l->before_sleep.data = l->after_events.data = l->restless.data = l;
    (void)uv_prepare_start(&l->before_sleep, on_before_sleep);
    (void)uv_check_start(&l->after_events, on_after_events);
    /* They serve the streams and must not keep a loop without any alive. */
    uv_unref((uv_handle_t *)&l->before_sleep);
    uv_unref((uv_handle_t *)&l->after_events);
    uv_unref((uv_handle_t *)&l->restless);
    return 0;
}

int loop_open(struct loop **out, const struct log *log, struct err *e)
{
    struct loop *l = MEM_NEW(struct loop);
    int rc = ERR_NOMEM;

    if (l == NULL)
        return err_set(e, rc, "out of memory for the event loop");
    l->log = log;
    buf_init(&l->wire, WIRE_BYTES_MAX);
    l->read_buf = mem_alloc(LOOP_READ_BYTES);
    if (l->read_buf == NULL || pthread_mutex_init(&l->lock, NULL) != 0) {
        (void)err_set(e, rc, "out of memory for the event loop");
        goto out;
    }
    rc = uv_loop_init(&l->uv);
    if (rc < 0) {
        (void)pthread_mutex_destroy(&l->lock);
        (void)err_set(e, rc, "cannot make an event loop: %s", uv_strerror(rc));
        goto out;
    }
    rc = init_handles(l);
    if (rc < 0) {
        (void)uv_loop_close(&l->uv);
        (void)pthread_mutex_destroy(&l->lock);
        (void)err_set(e, rc, "cannot make an event loop: %s", uv_strerror(rc));
        goto out;
    }
    *out = l;
    return 0;
out:
    mem_free(l->read_buf);
    mem_free(l);
    return rc;
}

/* Runs until all that the owners opened is closed, then closes what is the loop's own. */
static void run(struct loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    if (!uv_is_closing((uv_handle_t *)&l->before_sleep)) {
        uv_close((uv_handle_t *)&l->before_sleep, NULL);
        uv_close((uv_handle_t *)&l->after_events, NULL);
        uv_close((uv_handle_t *)&l->restless, NULL);
    }
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

static void *thread_main(void *arg)
{
    struct loop *l = arg;

    l->thread = pthread_self();
    atomic_store(&l->running, true);
    /* Who waits for us is on the telephone; our other threads, and many of the host's, have work of longer breath. */
    if (turns_short() < 0)
        log_debug(l->log, "the kernel grants no short turns on a core: the event loop has ordinary ones");
    run(l);
    if (l->on_exit != NULL)
        l->on_exit(l->exit_arg);
    return NULL;
}

int loop_start(struct loop *l, void (*on_exit)(void *arg), void *arg, struct err *e)
{
    pthread_t thread;
    int rc;

    if (l->started)
        return err_set(e, ERR_BAD_STATE, "the event loop runs already");
    l->on_exit = on_exit;
    l->exit_arg = arg;
    rc = thread_start(&thread, "oc-voice", thread_main, l, e);
    if (rc < 0)
        return rc;
    l->started = true;
    /* The thread writes the same value; loop_close() may come before it got that far. */
    l->join = thread;
    return 0;
}

int loop_post(struct loop *l, struct loop_msg *m)
{
    int rc = 0;

    /*
     * The wake-up is sent under the lock: once loop_stop() has set `closed`, nobody touches the async
     * handle any more, which libuv would answer with abort() after its loop is closed.
     */
    (void)pthread_mutex_lock(&l->lock);
    if (l->closed) {
        rc = ERR_CLOSED;
    } else {
        if (fifo_empty(&l->posted))
            (void)uv_async_send(&l->wake);
        fifo_add(&l->posted, &m->item);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return rc;
}

int loop_lull(struct loop *l, struct loop_msg *m)
{
    if (l->stopping)
        return ERR_CLOSED;
    if (fifo_empty(&l->lull)) {
        l->lull_by_ns = uv_hrtime() + LULL_NS;
        l->arrivals++; /* this turn does not count: it brought what asks for the lull */
        (void)uv_idle_start(&l->restless, on_restless);
    }
    fifo_add(&l->lull, &m->item);
    return 0;
}

void loop_flush(struct loop *l)
{
    stream_flush_dirty(l);
}

bool loop_is_current(const struct loop *l)
{
    return atomic_load(&l->running) && pthread_equal(l->thread, pthread_self()) != 0;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return uv_now(&l->uv);
}

struct resolver *loop_resolver(struct loop *l)
{
    if (l->resolver == NULL && !l->stopping)
        (void)resolver_open(&l->resolver, l);
    return l->resolver;
}

void loop_stop(struct loop *l)
{
    if (l->stopping)
        return;
    l->stopping = true;
    run_lull(l);
    if (l->resolver != NULL)
        resolver_close(l->resolver);
    l->resolver = NULL;
    (void)pthread_mutex_lock(&l->lock);
    l->closed = true;
    (void)uv_async_send(&l->wake); /* on_wake() runs the rest and closes the handle */
    (void)pthread_mutex_unlock(&l->lock);
}

int loop_close(struct loop *l)
{
    int rc;

    if (l->started) {
        (void)pthread_join(l->join, NULL);
    } else {
        loop_stop(l);
        run(l);
    }
    rc = uv_loop_close(&l->uv);
    if (rc < 0) {
        /* Somebody's handle still points here; leaking the loop is the lesser evil. */
        log_error(l->log, "the event loop closed with handles still open");
        return rc;
    }
    (void)pthread_mutex_destroy(&l->lock);
    buf_free(&l->wire);
    buf_free(&l->spare);
    mem_free(l->read_buf);
    mem_free(l);
    return 0;
}
