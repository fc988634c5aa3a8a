/* SPDX-License-Identifier: MIT */
/* A handoff from being asked for to being a row; afters.c delivers it. */
#include "memory/journal.h"
#include "memory/people.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <string.h>

#define STORY_TURNS 6u
#define REASON_BYTES 2500u
#define MARGIN_BYTES 128u /* for the line with the call's id, and "may be a repeat" */

struct asking { /* a handoff on its way to being a row */
    struct afters *as;
    struct app *app;
    char *call, *channel, *to, *reason, *session_key;
    struct id id;
    handoff_fn *fn;
    void *arg;
};

static void asking_free(struct asking *a)
{
    mem_free(a->call);
    mem_free(a->channel);
    mem_free(a->to);
    mem_free(a->reason);
    mem_free(a->session_key);
    mem_free(a);
}

static void asking_over(struct asking *a, int rc, const char *text)
{
    a->fn(a->arg, rc, str_of(rc < 0 ? "" : a->id.text), str_of(text));
    asking_free(a);
}

static void write_message(struct buf *b, const struct asking *a, struct str story)
{
    struct str reason = str_of(a->reason);
    struct buf text;

    buf_init(&text, AFTERS_MESSAGE_BYTES);
    /* What the caller wants there comes first; what was said takes the room that is left. */
    reason = str_head(reason, str_utf8_floor(reason, REASON_BYTES));
    (void)buf_printf(&text, "From your telephone call%s%.*s\n", reason.n > 0 ? ": " : "", STR_ARG(reason));
    (void)buf_puts(&text, str_head(story, str_utf8_floor(story, AFTERS_MESSAGE_BYTES - MARGIN_BYTES - text.n)));
    (void)buf_printf(&text, "(call %s)", a->call);
    jw_open(b, '{');
    jw_kstrc(b, "channel", a->channel);
    jw_kstrc(b, "to", a->to);
    jw_kstrc(b, "session_key", a->session_key);
    jw_kstr(b, "text", buf_str(&text));
    jw_close(b, '}');
    if (text.rc < 0)
        b->rc = text.rc;
    buf_free(&text);
}

/* Both rows in one batch of the store; the outbox row is what acts. */
static void hand_over(struct asking *a, struct str story)
{
    struct handoff_row row = {.id = str_of(a->id.text), .call = str_of(a->call), .channel = str_of(a->channel),
                              .to = str_of(a->to), .reason = str_of(a->reason), .state = STR("asked"),
                              .at = clock_wall_ms()};
    struct buf b;
    bool queued;

    buf_init(&b, 16384);
    write_message(&b, a, story);
    queued = b.rc == 0 && handoff_put(a->app->store, &row, NULL, NULL) == 0;
    if (queued)
        afters_put(a->as, "handoff", str_of(a->call), str_of(a->id.text), buf_str(&b));
    buf_free(&b);
    asking_over(a, queued ? 0 : ERR_NOMEM, queued ? "asked" : "it could not be queued");
}

/* The last turns of the call: what the caller wants to have sent stands there. */
static void on_story(void *arg, int rc, struct str json)
{
    struct asking *a = arg;
    struct json *doc = NULL;
    struct buf story;
    unsigned n = 0, i = 0;

    buf_init(&story, 16384);
    if (rc == 0)
        (void)json_parse(&doc, json, NULL);
    for (const struct json *t = json_first(json_get(doc, "turns")); t != NULL; t = json_next(t))
        n++;
    for (const struct json *t = json_first(json_get(doc, "turns")); t != NULL; t = json_next(t))
        if (i++ + STORY_TURNS >= n)
            (void)buf_printf(&story, "%s: %.*s\n", str_eqc(json_get_str(t, "who"), "caller") ? "You" : "Assistant",
                             STR_ARG(str_head(json_get_str(t, "text"), 600)));
    json_free(doc);
    hand_over(a, buf_str(&story));
    buf_free(&story);
}

static void tell_story(struct asking *a)
{
    if (journal_query(a->app->store, JOURNAL_Q_TRANSCRIPT, str_of(a->call), 1, on_story, a) < 0)
        asking_over(a, ERR_FULL, "the database takes no question");
}

/* The caller's identity on that channel: "telegram:777" is 777 there. */
static void on_person(void *arg, int rc, struct str json)
{
    struct asking *a = arg;
    struct json *doc = NULL;
    size_t n = strlen(a->channel);

    if (rc == 0)
        (void)json_parse(&doc, json, NULL);
    for (const struct json *i = json_first(json_get(doc, "identities")); i != NULL && a->to == NULL; i = json_next(i)) {
        struct str identity = json_is_object(i) ? json_get_str(i, "identity") : json_str(i);

        if (identity.n > n + 1 && identity.p[n] == ':' && str_eqc(str_head(identity, n), a->channel))
            a->to = str_dup(str_skip(identity, n + 1));
    }
    json_free(doc);
    if (a->to == NULL)
        asking_over(a, ERR_NOT_FOUND, "this caller is not linked to that channel");
    else
        tell_story(a);
}

void afters_handoff(struct app *app, const struct handoff_ask *ask, handoff_fn *fn, void *arg)
{
    struct asking *a = MEM_NEW(struct asking);

    if (a == NULL) {
        fn(arg, ERR_NOMEM, STR(""), STR("out of memory"));
        return;
    }
    *a = (struct asking){.as = app->afters, .app = app, .fn = fn, .arg = arg, .call = str_dup(ask->call),
                         .channel = str_dup(ask->channel), .reason = str_dup(ask->reason),
                         .session_key = str_dup(ask->session_key)};
    if (ask->to.n > 0)
        a->to = str_dup(ask->to);
    if (a->call == NULL || a->channel == NULL || a->reason == NULL || a->session_key == NULL ||
        (ask->to.n > 0 && a->to == NULL) || id_make(&a->id, "hof_", clock_wall_ms()) < 0)
        asking_over(a, ERR_NOMEM, "out of memory");
    else if (a->to != NULL)
        tell_story(a);
    else if (people_get(a->app->store, ask->number, on_person, a) < 0)
        asking_over(a, ERR_FULL, "the database takes no question");
}
