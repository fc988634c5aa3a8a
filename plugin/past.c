/* SPDX-License-Identifier: MIT */
#include "plugin/past.h"

#include "memory/index.h"
#include "memory/journal.h"
#include "memory/people.h"
#include "plugin/afters_text.h"
#include "plugin/app.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/net/loop.h"

#define PAGE 100u
#define RETRY_MS 30000u
#define WORDS_BYTES ((size_t)4 << 20) /* of a call, as the index takes them */

struct past {
    struct app *app;
    struct timer *timer; /* the next try after a failure */
    unsigned begun;      /* index_stats.begun, as far as it was seen */
    bool walking, again, said;
    char before[ID_BYTES]; /* the last call of the page before */
    struct json *page;
    const struct json *at; /* in it: the call that is being looked at */
};

static bool stopped(const struct past *p)
{
    return p->app->phase >= APP_STOPPING || p->app->index == NULL;
}

static void over(struct past *p)
{
    json_free(p->page);
    p->page = NULL;
    p->walking = false;
    if (p->again && !stopped(p))
        past_look(p);
}

static void fail(struct past *p, int rc)
{
    bool quiet = stopped(p);

    p->again = false; /* the next walk sees all of it */
    over(p);
    if (quiet)
        return;
    if (!p->said)
        log_warn(&p->app->log, "past calls cannot be put into the index now (%s); it is tried again",
                 err_name(rc));
    p->said = true;
    timer_set(p->timer, loop_now_ms(p->app->loop) + RETRY_MS);
}

static void next_page(struct past *p);
static void on_owned(void *arg, int rc);

static void look_at_call(struct past *p)
{
    int rc;

    if (p->at == NULL) {
        next_page(p);
        return;
    }
    (void)str_copy(p->before, sizeof p->before, json_get_str(p->at, "call"));
    rc = index_own_call(p->app->index, str_of(p->before), json_get_str(p->at, "person"), on_owned, p);
    if (rc < 0)
        fail(p, rc);
}

static void next_call(struct past *p)
{
    p->at = json_next(p->at);
    look_at_call(p);
}

/* The words go into the index's line at once: what is forgotten afterwards is forgotten there afterwards, too. */
static void on_words(void *arg, int rc, struct str json)
{
    struct past *p = arg;
    struct json *doc = NULL;
    struct buf words;

    if (stopped(p) || (rc < 0 && rc != ERR_NOT_FOUND)) {
        fail(p, rc);
        return;
    }
    buf_init(&words, WORDS_BYTES);
    if (rc == 0)
        rc = json_parse(&doc, json, NULL);
    if (rc == 0) {
        afters_words(&words, json_get(doc, "turns"));
        rc = index_put_call(p->app->index, str_of(p->before), json_get_str(p->at, "person"),
                            (uint64_t)json_get_int(p->at, "at", 0), buf_str(&words));
    }
    json_free(doc);
    buf_free(&words);
    if (rc == ERR_FULL || rc == ERR_NOMEM)
        fail(p, rc);
    else
        next_call(p);
}

static void on_owned(void *arg, int rc)
{
    struct past *p = arg;

    if (!stopped(p) && rc == ERR_NOT_FOUND)
        rc = journal_query(p->app->store, JOURNAL_Q_TRANSCRIPT, str_of(p->before), 1, on_words, p);
    else if (!stopped(p) && rc == 0)
        next_call(p);
    if (stopped(p) || rc < 0)
        fail(p, rc);
}

static void on_page(void *arg, int rc, struct str json)
{
    struct past *p = arg;

    json_free(p->page);
    p->page = NULL;
    if (rc == 0)
        rc = json_parse(&p->page, json, NULL);
    if (stopped(p) || rc < 0) {
        fail(p, rc);
        return;
    }
    p->at = json_first(json_get(p->page, "calls"));
    p->said = p->said && p->at != NULL;
    if (p->at == NULL)
        over(p);
    else
        look_at_call(p);
}

static void next_page(struct past *p)
{
    int rc = people_past(p->app->store, str_of(p->before), PAGE, on_page, p);

    if (rc < 0)
        fail(p, rc);
}

void past_look(struct past *p)
{
    if (p == NULL || stopped(p))
        return;
    p->again = p->walking;
    if (p->walking)
        return;
    p->walking = true;
    p->before[0] = '\0';
    timer_stop(p->timer);
    next_page(p);
}

void past_index_woke(struct past *p)
{
    struct index_stats stats;

    if (p == NULL || stopped(p))
        return;
    index_stats_read(p->app->index, &stats);
    if (stats.begun == p->begun)
        return;
    p->begun = stats.begun;
    past_look(p);
}

static void on_timer(void *arg)
{
    past_look(arg);
}

int past_open(struct past **out, struct app *app)
{
    struct past *p = MEM_NEW(struct past);
    int rc;

    if (p == NULL)
        return ERR_NOMEM;
    p->app = app;
    rc = timer_open(&p->timer, app->loop, on_timer, p);
    if (rc < 0) {
        mem_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void past_close(struct past *p)
{
    if (p == NULL)
        return;
    timer_close(p->timer);
    json_free(p->page);
    mem_free(p);
}
