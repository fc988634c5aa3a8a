/* SPDX-License-Identifier: MIT */
#include "abi/node/bridge.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum state { STATE_OPEN, STATE_DESTROYING, STATE_GONE };

struct list {
    struct bridge_msg *head, *tail;
};

struct bridge {
    const struct oc_plugin *plugin;
    struct oc_instance *inst;
    struct oc_host host;
    bridge_wake_fn *wake;
    void *wake_arg;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t gone;
    struct list queue;
    struct list ops; /* operations the plugin has not answered */
    struct bridge_msg *gone_msg; /* made beforehand, since it must not fail */
    struct bridge_stats stats;
    uint64_t told_logs, told_events; /* dropped messages that a line has told of */
    enum state state;
    unsigned refs;
    bool muted;
    bool woken; /* wake was called and bridge_take() has not come to the end since */
};

static void list_push(struct list *l, struct bridge_msg *m)
{
    m->next = NULL;
    m->prev = l->tail;
    if (l->tail)
        l->tail->next = m;
    else
        l->head = m;
    l->tail = m;
}

static void list_remove(struct list *l, struct bridge_msg *m)
{
    if (m->prev)
        m->prev->next = m->next;
    else
        l->head = m->next;
    if (m->next)
        m->next->prev = m->prev;
    else
        l->tail = m->prev;
    m->next = m->prev = NULL;
}

/* The texts lie behind the struct in the same block, but for answers, whose struct is older. */
static struct bridge_msg *msg_new(struct bridge *b, enum bridge_kind kind, struct oc_str name,
                                  struct oc_str call, struct oc_str json)
{
    struct bridge_msg *m;
    size_t room = BRIDGE_QUEUE_BYTES;
    char *at;

    if (name.n > room || call.n > room || json.n > room)
        return NULL;
    m = calloc(1, sizeof(*m) + name.n + call.n + json.n);
    if (!m)
        return NULL;
    m->bridge = b;
    m->kind = kind;
    m->bytes = sizeof(*m) + name.n + call.n + json.n;
    m->text = at = (char *)(m + 1);
    m->name = (struct oc_str){ at, name.n };
    if (name.n > 0)
        memcpy(at, name.p, name.n);
    at += name.n;
    m->call = (struct oc_str){ at, call.n };
    if (call.n > 0)
        memcpy(at, call.p, call.n);
    at += call.n;
    m->json = (struct oc_str){ at, json.n };
    if (json.n > 0)
        memcpy(at, json.p, json.n);
    return m;
}

void bridge_msg_free(struct bridge_msg *m)
{
    if (!m)
        return;
    if (m->text && m->text != (char *)(m + 1))
        free(m->text);
    free(m);
}

static void list_free(struct list *l)
{
    struct bridge_msg *m = l->head, *next;

    for (; m; m = next) {
        next = m->next;
        bridge_msg_free(m);
    }
    l->head = l->tail = NULL;
}

/* Under the lock. */
static void wake(struct bridge *b)
{
    if (b->woken || b->muted)
        return;
    b->woken = true;
    b->wake(b->wake_arg);
}

/* Under the lock; takes the message. */
static void queue_push(struct bridge *b, struct bridge_msg *m)
{
    if (b->muted) {
        bridge_msg_free(m);
        return;
    }
    list_push(&b->queue, m);
    b->stats.queued++;
    b->stats.queued_bytes += m->bytes;
    wake(b);
}

/* Takes the message. False: there was no room (or no memory) and nothing happened. */
static bool offer(struct bridge *b, struct bridge_msg *m, size_t limit_bytes, uint64_t *lost)
{
    bool taken = false;

    pthread_mutex_lock(&b->lock);
    if (m && b->stats.queued_bytes + m->bytes <= limit_bytes) {
        queue_push(b, m);
        taken = true;
    } else {
        (*lost)++;
    }
    pthread_mutex_unlock(&b->lock);
    if (!taken)
        bridge_msg_free(m);
    return taken;
}

/* ---- What the plugin calls, on its threads. ---- */

static void host_log(void *ctx, int level, struct oc_str line)
{
    struct bridge *b = ctx;
    struct bridge_msg *m = msg_new(b, BRIDGE_LOG, (struct oc_str){ 0 }, (struct oc_str){ 0 }, line);

    if (m)
        m->code = level;
    offer(b, m, BRIDGE_QUEUE_BYTES / 2, &b->stats.dropped_logs);
}

static void host_event(void *ctx, const struct oc_event *ev)
{
    struct bridge *b = ctx;

    offer(b, msg_new(b, BRIDGE_EVENT, ev->name, ev->call, ev->json), BRIDGE_QUEUE_BYTES,
          &b->stats.dropped_events);
}

static int host_request(void *ctx, uint64_t token, const struct oc_request *req)
{
    struct bridge *b = ctx;
    struct bridge_msg *m = msg_new(b, BRIDGE_REQUEST, req->name, req->call, req->json);

    if (m)
        m->token = token;
    return offer(b, m, BRIDGE_QUEUE_BYTES, &b->stats.refused_requests) ? OC_OK : OC_EBUSY;
}

static void host_cancel(void *ctx, uint64_t token)
{
    struct bridge *b = ctx;
    struct oc_str none = { 0 };
    struct bridge_msg *m = msg_new(b, BRIDGE_CANCEL, none, none, none);

    /* Without memory the work simply goes on: its reply is still awaited and then ignored. */
    if (!m)
        return;
    m->token = token;
    pthread_mutex_lock(&b->lock);
    queue_push(b, m);
    pthread_mutex_unlock(&b->lock);
}

static void on_done(void *arg, int code, struct oc_str json)
{
    struct bridge_msg *m = arg;
    struct bridge *b = m->bridge;

    m->code = code;
    if (json.n > 0 && json.n <= BRIDGE_QUEUE_BYTES)
        m->text = malloc(json.n);
    if (m->text) {
        memcpy(m->text, json.p, json.n);
        m->json = (struct oc_str){ m->text, json.n };
        m->bytes += json.n;
    } else if (json.n > 0) {
        m->code = OC_ENOMEM;
    }
    pthread_mutex_lock(&b->lock);
    list_remove(&b->ops, m);
    b->stats.ops--;
    queue_push(b, m);
    pthread_mutex_unlock(&b->lock);
}

/* ---- The owner's side. ---- */

static int op_begin(struct bridge *b, void *cookie, struct bridge_msg **out)
{
    struct oc_str none = { 0 };
    struct bridge_msg *m;
    int rc = OC_OK;

    m = msg_new(b, BRIDGE_DONE, none, none, none);
    if (!m)
        return OC_ENOMEM;
    m->text = NULL;
    m->cookie = cookie;
    pthread_mutex_lock(&b->lock);
    if (b->state != STATE_OPEN) {
        rc = OC_ESTATE;
    } else if (b->stats.ops >= BRIDGE_OPS_MAX) {
        rc = OC_EBUSY;
    } else {
        list_push(&b->ops, m);
        b->stats.ops++;
    }
    pthread_mutex_unlock(&b->lock);
    if (rc < 0) {
        bridge_msg_free(m);
        return rc;
    }
    *out = m;
    return OC_OK;
}

/* A refused operation has no answer: takes it back. Any negative result means that. */
static int op_result(struct bridge *b, struct bridge_msg *m, int rc)
{
    if (rc >= 0)
        return OC_OK;
    pthread_mutex_lock(&b->lock);
    list_remove(&b->ops, m);
    b->stats.ops--;
    pthread_mutex_unlock(&b->lock);
    bridge_msg_free(m);
    return rc;
}

int bridge_start(struct bridge *b, void *cookie)
{
    struct bridge_msg *m = NULL;
    int rc = op_begin(b, cookie, &m);

    if (rc < 0)
        return rc;
    return op_result(b, m, b->plugin->start(b->inst, on_done, m));
}

int bridge_command(struct bridge *b, struct oc_str name, struct oc_str call, struct oc_str json,
                   void *cookie)
{
    struct oc_request req = { .size = sizeof(req), .name = name, .call = call, .json = json };
    struct bridge_msg *m = NULL;
    int rc = op_begin(b, cookie, &m);

    if (rc < 0)
        return rc;
    return op_result(b, m, b->plugin->command(b->inst, &req, on_done, m));
}

int bridge_stop(struct bridge *b, int how, uint32_t grace_ms, void *cookie)
{
    struct bridge_msg *m = NULL;
    int rc = op_begin(b, cookie, &m);

    if (rc < 0)
        return rc;
    return op_result(b, m, b->plugin->stop(b->inst, how, grace_ms, on_done, m));
}

static bool is_open(struct bridge *b)
{
    bool open;

    pthread_mutex_lock(&b->lock);
    open = b->state == STATE_OPEN;
    pthread_mutex_unlock(&b->lock);
    return open;
}

/* The owner's thread is the only one that destroys, so the instance stays for these two. */
int bridge_reply(struct bridge *b, uint64_t token, int code, struct oc_str json)
{
    return is_open(b) ? b->plugin->reply(b->inst, token, code, json) : OC_ESTATE;
}

int bridge_progress(struct bridge *b, uint64_t token, struct oc_str json)
{
    return is_open(b) ? b->plugin->progress(b->inst, token, json) : OC_ESTATE;
}

/* Under the lock, with the queue empty: a line about what was dropped, or NULL. */
static struct bridge_msg *dropped_line(struct bridge *b)
{
    uint64_t logs = b->stats.dropped_logs - b->told_logs;
    uint64_t events = b->stats.dropped_events - b->told_events;
    struct bridge_msg *m;
    char line[160];
    int n;

    if (logs == 0 && events == 0)
        return NULL;
    n = snprintf(line, sizeof(line),
                 "JavaScript was busy too long: %llu log lines and %llu events were dropped",
                 (unsigned long long)logs, (unsigned long long)events);
    m = msg_new(b, BRIDGE_LOG, (struct oc_str){ 0 }, (struct oc_str){ 0 },
                (struct oc_str){ line, (size_t)n });
    if (!m)
        return NULL;
    m->code = OC_LOG_WARN;
    b->told_logs += logs;
    b->told_events += events;
    return m;
}

struct bridge_msg *bridge_take(struct bridge *b)
{
    struct bridge_msg *m;

    pthread_mutex_lock(&b->lock);
    m = b->queue.head;
    if (m) {
        list_remove(&b->queue, m);
        b->stats.queued--;
        b->stats.queued_bytes -= m->bytes;
    } else {
        m = b->state == STATE_GONE ? NULL : dropped_line(b);
        b->woken = false;
    }
    pthread_mutex_unlock(&b->lock);
    return m;
}

bool bridge_pending(struct bridge *b)
{
    bool pending;

    pthread_mutex_lock(&b->lock);
    pending = b->queue.head != NULL;
    pthread_mutex_unlock(&b->lock);
    return pending;
}

void bridge_stats(struct bridge *b, struct bridge_stats *out)
{
    pthread_mutex_lock(&b->lock);
    *out = b->stats;
    pthread_mutex_unlock(&b->lock);
}

static void bridge_unref(struct bridge *b)
{
    bool last;

    pthread_mutex_lock(&b->lock);
    last = --b->refs == 0;
    pthread_mutex_unlock(&b->lock);
    if (!last)
        return;
    list_free(&b->queue);
    bridge_msg_free(b->gone_msg);
    pthread_cond_destroy(&b->gone);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static int bridge_init(struct bridge *b)
{
    struct oc_str none = { 0 };
    pthread_condattr_t attr;

    if (pthread_mutex_init(&b->lock, NULL) != 0)
        return OC_ENOMEM;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (pthread_cond_init(&b->gone, &attr) != 0) {
        pthread_condattr_destroy(&attr);
        pthread_mutex_destroy(&b->lock);
        return OC_ENOMEM;
    }
    pthread_condattr_destroy(&attr);
    b->refs = 1;
    b->gone_msg = msg_new(b, BRIDGE_GONE, none, none, none);
    return OC_OK;
}

int bridge_open(struct bridge **out, const struct oc_plugin *plugin, struct oc_str config,
                unsigned wants, bridge_wake_fn *on_wake, void *wake_arg, struct oc_error *err)
{
    struct bridge *b = calloc(1, sizeof(*b));
    int rc;

    if (!b)
        return OC_ENOMEM;
    rc = bridge_init(b);
    if (rc < 0) {
        free(b);
        return rc;
    }
    b->plugin = plugin;
    b->wake = on_wake;
    b->wake_arg = wake_arg;
    b->host.size = sizeof(b->host);
    b->host.abi = OC_ABI;
    b->host.ctx = b;
    b->host.log = wants & BRIDGE_WANTS_LOG ? host_log : NULL;
    b->host.event = wants & BRIDGE_WANTS_EVENT ? host_event : NULL;
    b->host.request = wants & BRIDGE_WANTS_REQUEST ? host_request : NULL;
    b->host.cancel = wants & BRIDGE_WANTS_REQUEST ? host_cancel : NULL;
    rc = b->gone_msg ? plugin->create(&b->host, config, &b->inst, err) : OC_ENOMEM;
    if (rc < 0 || !b->inst) {
        bridge_mute(b);
        bridge_unref(b);
        return rc < 0 ? rc : OC_EFAIL;
    }
    *out = b;
    return OC_OK;
}

/* The one function that waits for the plugin's threads; afterwards none of them calls us. */
static void *destroy_main(void *arg)
{
    struct bridge *b = arg;
    struct bridge_msg *m;

    b->plugin->destroy(b->inst);
    pthread_mutex_lock(&b->lock);
    b->inst = NULL;
    while ((m = b->ops.head)) { /* a plugin that keeps its contract leaves none */
        list_remove(&b->ops, m);
        m->code = OC_ESTATE;
        b->stats.ops--;
        queue_push(b, m);
    }
    b->state = STATE_GONE;
    queue_push(b, b->gone_msg);
    b->gone_msg = NULL;
    pthread_cond_broadcast(&b->gone);
    pthread_mutex_unlock(&b->lock);
    bridge_unref(b);
    return NULL;
}

void bridge_destroy(struct bridge *b)
{
    sigset_t all, old;
    pthread_attr_t attr;
    pthread_t thread;
    bool first;
    int rc;

    pthread_mutex_lock(&b->lock);
    first = b->state == STATE_OPEN;
    if (first) {
        b->state = STATE_DESTROYING;
        b->refs++;
    }
    pthread_mutex_unlock(&b->lock);
    if (!first)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, destroy_main, b);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) /* waiting is worse than not waiting, but better than a lost instance */
        destroy_main(b);
}

void bridge_mute(struct bridge *b)
{
    pthread_mutex_lock(&b->lock);
    b->muted = true;
    list_free(&b->queue);
    b->stats.queued = b->stats.queued_bytes = 0;
    pthread_mutex_unlock(&b->lock);
}

uint64_t bridge_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool bridge_wait(struct bridge *b, uint64_t deadline_ms)
{
    struct timespec ts = { .tv_sec = (time_t)(deadline_ms / 1000),
                           .tv_nsec = (long)(deadline_ms % 1000) * 1000000 };
    bool gone;
    int rc = 0;

    pthread_mutex_lock(&b->lock);
    while (b->state != STATE_GONE && rc == 0)
        rc = pthread_cond_timedwait(&b->gone, &b->lock, &ts);
    gone = b->state == STATE_GONE;
    pthread_mutex_unlock(&b->lock);
    return gone;
}

void bridge_close(struct bridge *b)
{
    bridge_unref(b);
}
