/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_OWNER_KIT_H
#define TESTS_UNIT_OWNER_KIT_H
/*
 * An app with a store, a loop and a host of the test's own, for what asks people in their chats. All of the app's
 * parts are used on the loop's thread, by desk_do(); what was heard is read between two of these.
 */
#include "abi/openclaw_voice.h"
#include "memory/journal.h"
#include "memory/people.h"
#include "memory/store.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "tests/unit/net_kit.h"

#include <ftw.h>
#include <sys/stat.h>

#define DESK_SENT 16u

struct desk_sent { /* a request to the host */
    uint64_t token;
    char name[40], json[6000];
};

struct desk {
    char dir[64];
    struct config config;
    struct app app;
    struct oc_host table;
    const char *channels[4];
    struct desk_sent sent[DESK_SENT];
    unsigned n_sent;
    bool refuses;        /* the host takes no request */
    char events[4000];   /* states of call.question, a word each */
    unsigned done;       /* operations of the desk's own that are over */
    int rc;
    void *more;          /* the test's own */
};

static inline void desk_wake(void *ctx)
{
    (void)ctx; /* it is polled */
}

static inline void desk_log(void *ctx, int level, struct oc_str line)
{
    (void)ctx;
    (void)level;
    if (getenv("KIT_LOG") != NULL)
        fprintf(stderr, "  log: %.*s\n", (int)line.n, line.p);
}

static inline void desk_event(void *ctx, const struct oc_event *ev)
{
    struct desk *d = ctx;
    struct json *doc = NULL;
    size_t n = strlen(d->events);

    if (json_parse(&doc, str_make(ev->json.p, ev->json.n), NULL) == 0)
        (void)snprintf(d->events + n, sizeof d->events - n, "%.*s ", STR_ARG(json_get_str(doc, "state")));
    json_free(doc);
}

static inline int desk_request(void *ctx, uint64_t token, const struct oc_request *req)
{
    struct desk *d = ctx;
    struct desk_sent *s = &d->sent[d->n_sent % DESK_SENT];

    if (d->refuses)
        return OC_EBUSY;
    s->token = token;
    (void)snprintf(s->name, sizeof s->name, "%.*s", (int)req->name.n, req->name.p);
    (void)snprintf(s->json, sizeof s->json, "%.*s", (int)req->json.n, req->json.p);
    (void)__atomic_fetch_add(&d->n_sent, 1, __ATOMIC_RELEASE);
    return OC_OK;
}

static inline void desk_store_fn(void *arg)
{
    struct desk *d = arg;
    struct store_config c = {.dir = d->dir, .log = &d->app.log, .wake = desk_wake, .ctx = d, .busy_ms = 1000};
    struct err e = {0};

    d->rc = host_open(&d->app.host, &d->table);
    if (d->rc == 0)
        d->rc = store_open(&d->app.store, &c, &e);
}

static inline void desk_open(struct desk *d)
{
    const char *tmp = getenv("TMPDIR");

    memset(d, 0, sizeof *d);
    (void)snprintf(d->dir, sizeof d->dir, "%s/desk.XXXXXX", tmp && strlen(tmp) < 48 ? tmp : "/tmp");
    T_MUST(mkdtemp(d->dir) != NULL);
    d->table = (struct oc_host){.size = sizeof d->table, .abi = OC_ABI, .ctx = d, .log = desk_log, .event = desk_event,
                                .request = desk_request};
    d->channels[0] = "telegram";
    d->channels[1] = "signal";
    d->config.integration.handoff_enabled = true;
    d->config.integration.handoff_channels = (struct config_list){d->channels, 2};
    d->config.outbound.owner = "";
    d->config.outbound.ask_owner_timeout_ms = 60000;
    d->app.config = &d->config;
    log_init(&d->app.log, kit_log_sink, NULL, LOG_DEBUG);
    d->app.loop = kit_loop();
    kit_do(d->app.loop, desk_store_fn, d);
    T_MUST(d->rc == 0);
}

static inline void desk_close_fn(void *arg)
{
    struct desk *d = arg;

    store_close(d->app.store, 5000);
    host_close(d->app.host);
}

static inline int desk_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void desk_close(struct desk *d)
{
    kit_do(d->app.loop, desk_close_fn, d);
    kit_end(d->app.loop);
    (void)nftw(d->dir, desk_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void desk_do(struct desk *d, void (*fn)(void *arg))
{
    kit_do(d->app.loop, fn, d);
}

static inline void desk_poll_fn(void *arg)
{
    store_poll(((struct desk *)arg)->app.store);
}

/* Until *n is want; false: it is not within 10 s. */
static inline bool desk_wait(struct desk *d, const unsigned *n, unsigned want)
{
    for (uint64_t until = clock_mono_ms() + KIT_WAIT_MS; clock_mono_ms() < until; usleep(300)) {
        desk_do(d, desk_poll_fn);
        if (__atomic_load_n(n, __ATOMIC_ACQUIRE) >= want)
            return true;
    }
    return false;
}

static inline void desk_rc(void *arg, int rc)
{
    struct desk *d = arg;

    d->rc = rc;
    d->done++;
}

/* What was queued before is over: operations of the store are done in order. */
static inline void desk_mark_fn(void *arg)
{
    struct desk *d = arg;
    struct people_message m = {.identity = STR("signal:mark"), .text = STR("mark"), .at = 1};

    if (people_message(d->app.store, &m, desk_rc, d) < 0)
        desk_rc(d, ERR_FULL);
}

static inline void desk_settle(struct desk *d)
{
    unsigned want = d->done + 1;

    desk_do(d, desk_mark_fn);
    T_MUST(desk_wait(d, &d->done, want));
}

#endif
