/* SPDX-License-Identifier: MIT */
#include "plugin/pin.h"

#include "plugin/app.h"
#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "plugin/base/thread.h"
#include "plugin/calls.h"
#include "plugin/net/loop.h"

#include <pthread.h>
#include <string.h>

#define LINE_MAX_CHECKS 64u

static const char right[] = "Verified: the caller is who they say they are. Go on with what they want.";
static const char wrong[] = "The PIN is wrong. Say so politely; the caller may try again.";
static const char failed[] = "The PIN could not be checked. Say so, and go on without it.";

struct check {
    struct loop_msg msg; /* from the thread back to the loop */
    struct check *next;
    struct pins *owner;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];
    char pin[SECRET_PIN_BYTES_MAX + 1];
    bool same;
    int rc;
};

struct pins {
    struct app *app;
    struct check *first, *last; /* the first one runs */
    unsigned n;
    bool running, closing;
    pthread_t thread;
};

static void check_free(struct check *c)
{
    secret_wipe(c->pin, sizeof c->pin);
    mem_free(c);
}

static void start_first(struct pins *p);

static void take_first(struct pins *p)
{
    struct check *c = p->first;

    p->first = c->next;
    if (p->first == NULL)
        p->last = NULL;
    p->n--;
}

static void on_checked(struct loop_msg *m)
{
    struct check *c = (struct check *)(void *)m;
    struct pins *p = c->owner;

    if (p->closing) { /* pins_close() joined the thread and waits for nobody */
        check_free(c);
        mem_free(p);
        return;
    }
    (void)pthread_join(p->thread, NULL);
    p->running = false;
    take_first(p);
    if (c->rc == 0 && c->same)
        calls_proven(p->app->calls, str_of(c->call), "by PIN");
    calls_tool_done(p->app->calls, str_of(c->call), str_of(c->tool_call), c->rc,
                    str_of(c->rc < 0 ? failed : c->same ? right : wrong));
    check_free(c);
    start_first(p);
}

static void *run(void *arg)
{
    struct check *c = arg;
    struct pins *p = c->owner;

    c->rc = secret_pin_same(str_of(p->app->config->security.pin_hash), str_of(c->pin), &c->same, NULL);
    if (loop_post(p->app->loop, &c->msg) < 0)
        c->rc = ERR_CLOSED;
    return NULL;
}

static void start_first(struct pins *p)
{
    struct err e;

    if (p->first == NULL || p->running)
        return;
    if (thread_start(&p->thread, "oc-pin", run, p->first, &e) == 0) {
        p->running = true;
        return;
    }
    log_error(&p->app->log, "a PIN cannot be checked: %s", e.text);
    p->first->rc = ERR_NOMEM;
    {
        struct check *c = p->first;

        take_first(p);
        calls_tool_done(p->app->calls, str_of(c->call), str_of(c->tool_call), c->rc, str_of(failed));
        check_free(c);
    }
}

int pins_open(struct pins **out, struct app *app)
{
    struct pins *p = MEM_NEW(struct pins);

    if (p == NULL)
        return ERR_NOMEM;
    p->app = app;
    *out = p;
    return 0;
}

void pins_close(struct pins *p)
{
    if (p == NULL)
        return;
    while (p->first != NULL && p->first->next != NULL) {
        struct check *c = p->first->next;

        p->first->next = c->next;
        check_free(c);
    }
    if (!p->running) {
        if (p->first != NULL)
            check_free(p->first);
        mem_free(p);
        return;
    }
    /* Its message is posted by now and frees the rest. */
    p->closing = true;
    (void)pthread_join(p->thread, NULL);
}

void pins_check(struct pins *p, struct str call, struct str tool_call, struct str pin)
{
    struct check *c = p->n < LINE_MAX_CHECKS ? MEM_NEW(struct check) : NULL;

    if (c == NULL) {
        log_warn(&p->app->log, "a PIN could not be checked: too many at once");
        return; /* the tool's time limit answers */
    }
    c->msg.run = on_checked;
    c->owner = p;
    (void)str_copy(c->call, sizeof c->call, call);
    (void)str_copy(c->tool_call, sizeof c->tool_call, tool_call);
    (void)str_copy(c->pin, sizeof c->pin, pin); /* one too long becomes empty, which fits nothing */
    if (p->last != NULL)
        p->last->next = c;
    else
        p->first = c;
    p->last = c;
    p->n++;
    start_first(p);
}
