/* SPDX-License-Identifier: MIT */
#include "abi/host/outlet.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct line {
    struct line *next;
    size_t n;
    char text[];
};

struct outlet {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work; /* lines were added, or closing was set */
    pthread_cond_t idle; /* the thread has ended */
    int fd;
    size_t max_bytes;
    outlet_lost_fn *on_lost;
    /* Guarded by lock: */
    struct line *first, **last;
    size_t bytes;
    unsigned long lost;
    bool closing, ended, dead; /* dead: the reader is gone */
};

/* Writes all or says that nobody reads any more. */
static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done >= 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};

            (void)poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void drop_lines(struct line *line)
{
    while (line) {
        struct line *next = line->next;

        free(line);
        line = next;
    }
}

static void *run(void *arg)
{
    struct outlet *o = arg;

    pthread_mutex_lock(&o->lock);
    for (;;) {
        struct line *batch = o->first;
        bool good = true;

        if (!batch && o->closing)
            break;
        if (!batch) {
            pthread_cond_wait(&o->work, &o->lock);
            continue;
        }
        o->first = NULL;
        o->last = &o->first;
        o->bytes = 0;
        pthread_mutex_unlock(&o->lock);
        for (struct line *line = batch; line && good; line = line->next)
            good = write_all(o->fd, line->text, line->n);
        drop_lines(batch);
        pthread_mutex_lock(&o->lock);
        if (!good)
            o->dead = true;
    }
    o->ended = true;
    pthread_cond_signal(&o->idle);
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

int outlet_open(struct outlet **out, int fd, size_t max_bytes)
{
    pthread_condattr_t attr;
    struct outlet *o = calloc(1, sizeof(*o));
    int rc;

    if (!o)
        return -ENOMEM;
    o->fd = fd;
    o->max_bytes = max_bytes;
    o->last = &o->first;
    pthread_mutex_init(&o->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&o->work, NULL);
    pthread_cond_init(&o->idle, &attr);
    pthread_condattr_destroy(&attr);
    rc = pthread_create(&o->thread, NULL, run, o);
    if (rc != 0) {
        free(o);
        return -rc;
    }
    *out = o;
    return 0;
}

void outlet_on_lost(struct outlet *o, outlet_lost_fn *fn)
{
    o->on_lost = fn;
}

/* Call with the lock held. False when the line does not fit. */
static bool append(struct outlet *o, const char *head, const char *text, size_t n)
{
    size_t head_n = strlen(head);
    struct line *line;

    if (n > o->max_bytes || o->bytes + head_n + n + 1 > o->max_bytes)
        return false;
    line = malloc(sizeof(*line) + head_n + n + 1);
    if (!line)
        return false;
    line->next = NULL;
    line->n = head_n + n + 1;
    memcpy(line->text, head, head_n);
    if (n > 0)
        memcpy(line->text + head_n, text, n);
    line->text[head_n + n] = '\n';
    *o->last = line;
    o->last = &line->next;
    o->bytes += line->n;
    return true;
}

void outlet_put(struct outlet *o, const char *head, const char *text, size_t n)
{
    pthread_mutex_lock(&o->lock);
    if (o->dead || o->closing) {
        pthread_mutex_unlock(&o->lock);
        return;
    }
    if (o->lost > 0 && o->on_lost && o->bytes + n + 512 < o->max_bytes) {
        char note[256];

        o->on_lost(note, sizeof(note), o->lost);
        if (append(o, "", note, strlen(note)))
            o->lost = 0;
    }
    if (!append(o, head, text, n))
        o->lost++;
    pthread_cond_signal(&o->work);
    pthread_mutex_unlock(&o->lock);
}

static struct timespec time_in(unsigned ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

int outlet_close(struct outlet *o, unsigned wait_ms)
{
    struct timespec until = time_in(wait_ms);
    bool ended;

    if (!o)
        return 0;
    pthread_mutex_lock(&o->lock);
    o->closing = true;
    pthread_cond_signal(&o->work);
    while (!o->ended)
        if (pthread_cond_timedwait(&o->idle, &o->lock, &until) == ETIMEDOUT)
            break;
    ended = o->ended;
    pthread_mutex_unlock(&o->lock);
    if (!ended) {
        pthread_detach(o->thread);
        return -ETIMEDOUT;
    }
    pthread_join(o->thread, NULL);
    pthread_cond_destroy(&o->work);
    pthread_cond_destroy(&o->idle);
    pthread_mutex_destroy(&o->lock);
    drop_lines(o->first);
    free(o);
    return 0;
}
