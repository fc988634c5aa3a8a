/* SPDX-License-Identifier: MIT */
#include "plugin/owner.h"

#include "memory/people.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <stdio.h>
#include <string.h>

#define OWNERS_MAX 32u

struct owners {
    struct app *app;
    unsigned n;
    char *v[OWNERS_MAX];
};

int owners_open(struct owners **out, struct app *app)
{
    struct owners *os = MEM_NEW(struct owners);

    if (os == NULL)
        return ERR_NOMEM;
    os->app = app;
    *out = os;
    return 0;
}

static void clear(struct owners *os)
{
    while (os->n > 0)
        mem_free(os->v[--os->n]);
}

void owners_close(struct owners *os)
{
    if (os != NULL)
        clear(os);
    mem_free(os);
}

void owners_set(struct owners *os, const struct json *list)
{
    clear(os);
    for (const struct json *o = json_first(list); o != NULL && os->n < OWNERS_MAX; o = json_next(o)) {
        char *copy = json_str(o).n > 0 && json_str(o).n < OWNER_BYTES ? str_dup(json_str(o)) : NULL;

        if (copy != NULL)
            os->v[os->n++] = copy;
    }
}

bool owner_reachable(const struct app *app, struct str identity)
{
    const struct config *c = app->config;
    struct str to;

    if (!c->integration.handoff_enabled || !host_serves(app->host) || identity.n >= OWNER_BYTES)
        return false;
    for (unsigned i = 0; i < c->integration.handoff_channels.n; i++)
        if (afters_is_on(identity, str_of(c->integration.handoff_channels.v[i]), &to))
            return true;
    return false;
}

/* ---- Looking ---- */

struct find {
    struct app *app;
    owner_fn *fn;
    void *arg;
    char identity[OWNER_BYTES];
    char session[OWNER_SESSION_BYTES];
    bool asked_session; /* who wrote there was looked for */
};

static void finish(struct find *f)
{
    f->fn(f->arg, str_of(f->identity), str_of(f->identity[0] != '\0' ? f->session : ""));
    mem_free(f);
}

static void on_their_session(void *arg, int rc, struct str json)
{
    struct find *f = arg;
    struct json *doc = NULL;

    if (rc == 0 && json_parse(&doc, json, NULL) == 0)
        (void)str_copy(f->session, sizeof f->session, json_get_str(doc, "session_key"));
    json_free(doc);
    finish(f);
}

/* The result shall be known where they write, if nobody said another place. */
static void found(struct find *f, struct str identity)
{
    (void)str_copy(f->identity, sizeof f->identity, identity);
    if (f->session[0] != '\0' || people_chat(f->app->store, identity, on_their_session, f) < 0)
        finish(f);
}

static void look_at_config(struct find *f)
{
    const struct owners *os = f->app->owners;
    struct str set = str_of(f->app->config->outbound.owner);

    if (owner_reachable(f->app, set)) {
        found(f, set);
        return;
    }
    for (unsigned i = 0; os != NULL && i < os->n; i++) {
        if (owner_reachable(f->app, str_of(os->v[i]))) {
            found(f, str_of(os->v[i]));
            return;
        }
    }
    finish(f);
}

static void look_at_session(struct find *f);

static void on_person(void *arg, int rc, struct str json)
{
    struct find *f = arg;
    struct json *doc = NULL;
    struct str channel, to;
    char identity[OWNER_BYTES] = "";

    if (rc == 0 && json_parse(&doc, json, NULL) == 0 && afters_address(f->app->config, doc, &channel, &to) &&
        snprintf(identity, sizeof identity, "%.*s:%.*s", STR_ARG(channel), STR_ARG(to)) >= (int)sizeof identity)
        identity[0] = '\0';
    json_free(doc);
    if (identity[0] != '\0')
        found(f, str_of(identity));
    else
        look_at_session(f);
}

/* An identity that cannot be written to may be of a person who has another one. */
static void take(struct find *f, struct str identity)
{
    if (owner_reachable(f->app, identity))
        found(f, identity);
    else if (people_get(f->app->store, identity, on_person, f) < 0)
        look_at_session(f);
}

static void on_writer(void *arg, int rc, struct str json)
{
    struct find *f = arg;
    struct json *doc = NULL;
    struct str identity = STR("");

    if (rc == 0 && json_parse(&doc, json, NULL) == 0)
        identity = json_get_str(doc, "identity");
    if (identity.n > 0)
        take(f, identity);
    else
        look_at_config(f);
    json_free(doc);
}

static void look_at_session(struct find *f)
{
    bool first = !f->asked_session;

    f->asked_session = true;
    if (!first || f->session[0] == '\0' || people_chat(f->app->store, str_of(f->session), on_writer, f) < 0)
        look_at_config(f);
}

void owner_find(struct app *app, const struct owner_ask *ask, owner_fn *fn, void *arg)
{
    bool writes = app->config->integration.handoff_enabled && host_serves(app->host) && app->store != NULL;
    struct find *f = writes ? MEM_NEW(struct find) : NULL;

    if (f == NULL) {
        fn(arg, STR(""), STR(""));
        return;
    }
    f->app = app;
    f->fn = fn;
    f->arg = arg;
    if (!str_copy(f->session, sizeof f->session, ask->session))
        f->session[0] = '\0';
    if (ask->named.n > 0)
        take(f, ask->named);
    else
        look_at_session(f);
}
