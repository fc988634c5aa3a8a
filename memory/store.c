/* SPDX-License-Identifier: MIT */
#include "memory/store.h"

#include "memory/claim_index.h"
#include "memory/claims.h"
#include "memory/store_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define BUSY_MS 1500u

/* ---- The thread. ---- */

/* Sleeps until there is something to do. Called and left with the lock held. */
static void sleep_on(struct store *s)
{
    uint64_t now;

    while (!(s->begun && s->queue.head != NULL) && !s->closing) {
        s->asleep = true;
        if (s->line.head == NULL) {
            (void)pthread_cond_wait(&s->cond, &s->lock);
        } else {
            struct timespec until = {(time_t)(s->next_try_ms / 1000u),
                                     (long)(s->next_try_ms % 1000u) * 1000000};

            now = clock_mono_ms();
            if (now < s->next_try_ms)
                (void)pthread_cond_timedwait(&s->cond, &s->lock, &until);
        }
        s->asleep = false;
        if (s->line.head != NULL && clock_mono_ms() >= s->next_try_ms)
            break;
    }
}

/* The end: nothing waits any longer, and what is late is not begun. */
static void run_last(struct store *s)
{
    struct store_op *op;

    s->next_try_ms = 0;
    while (s->line.head != NULL && s->again.head == NULL) {
        if (clock_mono_ms() >= s->close_by_ms)
            break;
        store_run_line(s);
        if (s->next_try_ms != 0)
            break;
    }
    while ((op = fifo_take(&s->line)) != NULL)
        store_fail(s, op, ERR_CLOSED);
}

static bool closing_late(struct store *s)
{
    return s->closing && clock_mono_ms() >= s->close_by_ms;
}

static void *run_thread(void *arg)
{
    struct store *s = arg;
    bool idle, late, last;
    unsigned n;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        sleep_on(s);
        for (n = 0; n < STORE_BATCH && s->queue.head != NULL; n++)
            s->batch[n] = fifo_take(&s->queue);
        s->queued -= n;
        s->begun = s->begun && s->queue.head != NULL;
        late = closing_late(s);
        last = s->closing && n == 0;
        pthread_mutex_unlock(&s->lock);
        if (last)
            break;
        if (late) {
            for (unsigned i = 0; i < n; i++)
                store_fail(s, s->batch[i], ERR_CLOSED);
        } else if (n > 0) {
            store_run_new(s, n);
        }
        /* Not in the same turn as new ones when these came after a failure: they share `batch`. */
        if (!late && s->line.head != NULL && clock_mono_ms() >= s->next_try_ms)
            store_run_line(s);
        pthread_mutex_lock(&s->lock);
        idle = s->queue.head == NULL;
        pthread_mutex_unlock(&s->lock);
        store_checkpoint(s, idle);
        pthread_mutex_lock(&s->lock);
    }
    run_last(s);
    return NULL;
}

/* ---- Open and close. ---- */

static int make_dirs(const char *dir, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    size_t n = strlen(dir);

    if (n == 0 || n + 32 >= sizeof path)
        return err_set(e, ERR_INVALID, "the state directory's path is empty or too long");
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST && stat(path, &st) != 0) {
            const char *why = strerrordesc_np(errno);

            return err_set(e, ERR_IO, "cannot make the state directory %.120s (%s); make it, or name "
                           "another in state_dir", path, why ? why : "unknown error");
        }
        if (i < n)
            path[i] = '/';
    }
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return err_set(e, ERR_IO, "the state directory %.150s is no directory", dir);
    return 0;
}

static int init_sync(struct store *s, struct err *e)
{
    pthread_condattr_t attr;
    int rc = pthread_mutex_init(&s->lock, NULL);

    if (rc != 0)
        return err_set(e, -rc, "cannot make a lock");
    rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        rc = pthread_cond_init(&s->cond, &attr);
        (void)pthread_condattr_destroy(&attr);
    }
    if (rc != 0) {
        (void)pthread_mutex_destroy(&s->lock);
        return err_set(e, -rc, "cannot make a condition variable");
    }
    return 0;
}

static void destroy(struct store *s)
{
    store_close_db(s);
    owner_close(s->owner);
    claims_free(s->claims);
    claim_index_free(s->index);
    (void)pthread_cond_destroy(&s->cond);
    (void)pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

int store_open(struct store **out, const struct store_config *config, struct err *e)
{
    struct store *s = NULL;
    int rc, gate = -1;

    rc = make_dirs(config->dir, e);
    if (rc < 0)
        return rc;
    s = MEM_NEW(struct store);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    rc = init_sync(s, e);
    if (rc < 0) {
        mem_free(s);
        return rc;
    }
    s->log = config->log;
    s->wake = config->wake;
    s->gather = config->gather;
    s->ctx = config->ctx;
    s->busy_ms = config->busy_ms ? config->busy_ms : BUSY_MS;
    (void)snprintf(s->path, sizeof s->path, "%s/voice.db", config->dir);
    (void)snprintf(s->check_path, sizeof s->check_path, "%s/voice.db.check", config->dir);
    s->claims = claims_new();
    s->index = claim_index_new();
    if (s->claims == NULL || s->index == NULL) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
        goto out;
    }
    rc = owner_gate_open(&gate, config->dir, s->busy_ms, e);
    if (rc == 0)
        rc = owner_open(&s->owner, config->dir, e);
    if (rc == 0)
        rc = store_open_db(s, e);
    if (rc == 0)
        rc = thread_start(&s->thread, "oc-store", run_thread, s, e);
out:
    owner_gate_close(gate);
    if (rc < 0)
        destroy(s);
    else
        *out = s;
    return rc;
}

void store_close(struct store *s, uint32_t grace_ms)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    s->close_by_ms = clock_mono_ms() + grace_ms;
    (void)pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->thread, NULL);
    store_aside_join(s);
    store_poll(s);
    destroy(s);
}

/* ---- The loop's side. ---- */

struct str store_owner(const struct store *s)
{
    return owner_id(s->owner);
}

bool store_company(const struct store *s)
{
    return owner_marks(s->owner) > 0;
}

void store_health_read(struct store *s, struct store_health *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->health;
    out->queued = s->waiting;
    pthread_mutex_unlock(&s->lock);
}

int store_push(struct store *s, struct store_op *op)
{
    bool wake = false, gather = false;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    if (s->closing) {
        rc = ERR_CLOSED;
    } else if (s->waiting >= STORE_QUEUE_OPS || op->bytes > STORE_QUEUE_BYTES - s->waiting_bytes) {
        rc = ERR_FULL;
    } else {
        op->rc = 0;
        fifo_add(&s->queue, &op->item);
        s->waiting++;
        s->waiting_bytes += op->bytes;
        if (++s->queued >= STORE_GATHER || s->gather == NULL)
            s->begun = true;
        wake = s->asleep && s->begun;
        s->asleep = s->asleep && !wake;
        gather = !s->begun && !s->gathering;
    }
    pthread_mutex_unlock(&s->lock);
    if (wake)
        (void)pthread_cond_signal(&s->cond);
    if (gather) {
        s->gathering = true;
        s->gather(s->ctx);
    }
    return rc;
}

void store_begin(struct store *s)
{
    bool wake;

    s->gathering = false;
    pthread_mutex_lock(&s->lock);
    s->begun = s->queue.head != NULL;
    wake = s->begun && s->asleep;
    s->asleep = s->asleep && !wake;
    pthread_mutex_unlock(&s->lock);
    if (wake)
        (void)pthread_cond_signal(&s->cond);
}

int store_settle(struct store *s, struct store_op *op)
{
    bool wake;

    pthread_mutex_lock(&s->lock);
    if (s->closing) {
        pthread_mutex_unlock(&s->lock);
        return ERR_CLOSED;
    }
    wake = s->finished.head == NULL;
    fifo_add(&s->finished, &op->item);
    pthread_mutex_unlock(&s->lock);
    if (wake && s->wake != NULL)
        s->wake(s->ctx);
    return 0;
}

void store_poll(struct store *s)
{
    struct fifo done = {NULL, NULL};
    struct store_op *op;

    pthread_mutex_lock(&s->lock);
    fifo_join(&done, &s->finished);
    pthread_mutex_unlock(&s->lock);
    while ((op = fifo_take(&done)) != NULL)
        op->done(op, op->rc);
}
