/* SPDX-License-Identifier: MIT */
/* A handoff from being asked for to being a row; afters.c delivers it. */
#include "memory/journal.h"
#include "memory/lines.h"
#include "memory/people.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/base/phone.h"
#include "plugin/owner.h"

#include <stdio.h>
#include <string.h>

#define STORY_TURNS 6u
#define REASON_BYTES 2500u
#define MARGIN_BYTES 128u /* for the call's id, the link behind its URL, and "may be a repeat" */

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
    struct str reason = str_of(a->reason), url = str_of(a->app->config->api_public_url);
    size_t room;
    struct buf text;

    buf_init(&text, AFTERS_MESSAGE_BYTES);
    /* What the caller wants there comes first; what was said takes the room that is left. */
    reason = str_head(reason, str_utf8_floor(reason, REASON_BYTES));
    (void)buf_printf(&text, "From your telephone call%s%.*s\n", reason.n > 0 ? ": " : "", STR_ARG(reason));
    room = AFTERS_MESSAGE_BYTES - MARGIN_BYTES - url.n - text.n;
    (void)buf_puts(&text, str_head(story, str_utf8_floor(story, room)));
    (void)buf_printf(&text, "(call %s)", a->call);
    if (url.n > 0)
        (void)buf_printf(&text, "\n%.*s/calls/%s", STR_ARG(url), a->call);
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

static void on_handed_over(void *arg, int rc)
{
    struct asking *a = arg;

    asking_over(a, rc, rc == 0 ? "asked" : "it could not be stored");
}

/* The outbox row is what acts. Who asked is answered when both are durable: the store keeps their order. */
static void hand_over(struct asking *a, struct str story)
{
    struct handoff_row row = {.id = str_of(a->id.text), .call = str_of(a->call), .channel = str_of(a->channel),
                              .to = str_of(a->to), .reason = str_of(a->reason), .state = STR("asked"),
                              .at = clock_wall_ms()};
    struct buf b;
    bool queued;

    buf_init(&b, 16384);
    write_message(&b, a, story);
    queued = b.rc == 0 && handoff_put(a->app->store, &row, NULL, NULL) == 0 &&
             afters_put(a->as, "handoff", str_of(a->call), str_of(a->id.text), buf_str(&b), on_handed_over, a) == 0;
    buf_free(&b);
    if (!queued)
        asking_over(a, ERR_NOMEM, "it could not be queued");
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
    struct str to;

    if (rc == 0)
        (void)json_parse(&doc, json, NULL);
    for (const struct json *i = json_first(json_get(doc, "identities")); i != NULL && a->to == NULL; i = json_next(i)) {
        struct str identity = json_is_object(i) ? json_get_str(i, "identity") : json_str(i);

        if (afters_is_on(identity, str_of(a->channel), &to))
            a->to = str_dup(to);
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

/* ---- Messages of our own ---- */

struct telling {
    struct app *app;
    const char *kind;
    char *call, *text;
    char *session_key;
    char number[PHONE_BYTES];
};

static void telling_free(struct telling *t)
{
    mem_free(t->call);
    mem_free(t->text);
    mem_free(t->session_key);
    mem_free(t);
}

bool afters_is_on(struct str identity, struct str channel, struct str *to)
{
    if (identity.n <= channel.n + 1 || identity.p[channel.n] != ':' || !str_starts(identity, channel))
        return false;
    *to = str_skip(identity, channel.n + 1);
    return true;
}

bool afters_address(const struct config *c, const struct json *person, struct str *channel, struct str *to)
{
    for (unsigned k = 0; k < c->integration.handoff_channels.n; k++) {
        struct str want = str_of(c->integration.handoff_channels.v[k]);

        for (const struct json *i = json_first(json_get(person, "identities")); i != NULL; i = json_next(i)) {
            if (afters_is_on(json_get_str(i, "identity"), want, to)) {
                *channel = want;
                return true;
            }
        }
    }
    return false;
}

/* To whom it is told is known. */
static void tell_chat(struct telling *t, struct str channel, struct str to)
{
    struct id id;
    struct buf b;

    buf_init(&b, 16384);
    jw_open(&b, '{');
    jw_kstr(&b, "channel", channel);
    jw_kstr(&b, "to", to);
    jw_kstrc(&b, "session_key", t->session_key);
    jw_kstrc(&b, "text", t->text);
    jw_close(&b, '}');
    id_derive(&id, "out_", str_of(t->call), str_of(t->kind));
    if (b.rc == 0 && t->app->afters != NULL)
        (void)afters_put(t->app->afters, t->kind, str_of(t->call), str_of(id.text), buf_str(&b), NULL, NULL);
    buf_free(&b);
}

static void on_told_person(void *arg, int rc, struct str json)
{
    struct telling *t = arg;
    struct json *doc = NULL;
    struct str channel, to;

    if (rc == 0 && json_parse(&doc, json, NULL) == 0 && afters_address(t->app->config, doc, &channel, &to))
        tell_chat(t, channel, to);
    json_free(doc);
    telling_free(t);
}

static void tell_person(struct telling *t)
{
    if (t->number[0] == '\0' || people_get(t->app->store, str_of(t->number), on_told_person, t) < 0)
        telling_free(t);
}

/* What comes in of a placed call is its owner's, not the callee's. */
static void on_told_line(void *arg, int rc, const struct line_row *rows, unsigned n)
{
    struct telling *t = arg;
    struct json *spec = NULL;
    struct str owner = STR("");
    size_t colon;

    if (rc == 0 && n > 0 && json_parse(&spec, rows[0].spec, NULL) == 0)
        owner = json_get_str(spec, "owner");
    colon = str_find(owner, ':');
    if (owner_reachable(t->app, owner)) {
        t->session_key[0] = '\0'; /* that is the callee's */
        tell_chat(t, str_head(owner, colon), str_skip(owner, colon + 1));
        telling_free(t);
    } else {
        tell_person(t);
    }
    json_free(spec);
}

static void on_told_call(void *arg, int rc, struct str json)
{
    struct telling *t = arg;
    struct json *doc = NULL;
    bool placed = false;

    if (rc == 0 && json_parse(&doc, json, NULL) == 0) {
        (void)str_copy(t->number, sizeof t->number, json_get_str(doc, "from"));
        t->session_key = str_dup(json_get_str(doc, "session_key"));
        placed = str_eqc(json_get_str(doc, "direction"), "outbound");
    }
    json_free(doc);
    if (t->session_key == NULL)
        telling_free(t);
    else if (!placed || line_row_of(t->app->store, str_of(t->call), on_told_line, t) < 0)
        tell_person(t);
}

void afters_tell(struct app *app, const char *kind, struct str call, struct str text)
{
    struct telling *t;

    if (!app->config->integration.handoff_enabled || !host_serves(app->host) || app->store == NULL ||
        (t = MEM_NEW(struct telling)) == NULL)
        return;
    t->app = app;
    t->kind = kind;
    t->call = str_dup(call);
    t->text = str_dup(str_head(text, str_utf8_floor(text, AFTERS_MESSAGE_BYTES - 100)));
    if (t->call == NULL || t->text == NULL ||
        journal_query(app->store, JOURNAL_Q_CALL, call, 1, on_told_call, t) < 0)
        telling_free(t);
}

void afters_tell_missed(struct app *app, const struct after_call *c)
{
    char text[200], when[32];

    clock_rfc3339(c->received_wall_ms, when, sizeof when);
    (void)snprintf(text, sizeof text, "Your call of %.5s UTC did not get through (%s). Write here, or call again.",
                   when + 11, call_reason_name(c->reason));
    afters_tell(app, "missed", c->call, str_of(text));
}
