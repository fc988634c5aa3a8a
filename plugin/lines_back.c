/* SPDX-License-Identifier: MIT */
/*
 * Lines that an earlier instance left. Their machines are read back, and what was asked of them and not begun is
 * handed in again before they do anything: a call whose end was asked for must not ring now.
 */
#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/lines_int.h"

#include <string.h>

#define LATE_MS 60000u /* what was asked for longer ago is not what anybody wants now; an end is */

struct handed { /* an action that is a row and open */
    struct handed *next;
    char call[ID_BYTES];
    struct line_action action;
    uint64_t at_wall_ms;
    bool settled; /* the line has it */
};

struct back { /* one adoption */
    struct lines *ls;
    struct handed *first, **last;
    bool ended; /* a line of its rows is over by now */
    bool partly; /* not all lines could be had */
    uint64_t began_ms;
};

/* ---- Actions ---- */

static int copy_action(struct back *b, const struct action_row *row)
{
    struct handed *h = MEM_NEW(struct handed);
    struct json *body = NULL;
    struct line_action *a;

    if (h == NULL)
        return ERR_NOMEM;
    (void)json_parse(&body, row->body, NULL);
    a = &h->action;
    a->kind = line_action_of(row->kind);
    a->warm = str_eqc(json_get_str(body, "mode"), "warm");
    a->secret = json_get_bool(body, "secret", false);
    h->at_wall_ms = row->at;
    if (a->kind == ACT_NONE || !str_copy(h->call, sizeof h->call, row->call) ||
        !str_copy(a->id, sizeof a->id, row->id) || !str_copy(a->to, sizeof a->to, json_get_str(body, "to")) ||
        !str_copy(a->party, sizeof a->party, json_get_str(body, "party")) ||
        !str_copy(a->text, sizeof a->text, json_get_str(body, "text"))) {
        log_error(&b->ls->app->log, "%.*s: the action %.*s cannot be read", STR_ARG(row->call), STR_ARG(row->id));
        mem_free(h);
    } else {
        *b->last = h;
        b->last = &h->next;
    }
    json_free(body);
    return 0;
}

static bool knew(const struct trunk *t, const char *id)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++)
        if (strcmp(t->knew[i], id) == 0)
            return true;
    return false;
}

/* What a machine had when it was read back goes on in it. t NULL: the line lives, and has all of them. */
static void settle_known(struct back *b, struct str call, const struct trunk *t)
{
    for (struct handed *h = b->first; h != NULL; h = h->next)
        if (str_eqc(call, h->call) && (t == NULL || knew(t, h->action.id)))
            h->settled = true;
}

/* Whom it leads to was decided when it was asked for; the configuration may be another one now. */
static bool still_allowed(struct lines *ls, const struct line_action *a)
{
    struct str party = str_of(a->party);
    struct destination_verdict v;

    if (a->kind != ACT_TRANSFER && a->kind != ACT_INVITE)
        return true;
    lines_decide(ls, str_eqc(party, "guest") ? str_of(a->to) : party, &v);
    return v.allow && strcmp(v.number, a->to) == 0;
}

static const char *not_now(struct lines *ls, const struct handed *h)
{
    if (h->action.kind == ACT_HANGUP)
        return NULL;
    if (!still_allowed(ls, &h->action))
        return "the configuration does not allow this number any more";
    if (h->action.secret)
        return "interrupted by a restart";
    return clock_wall_ms() > h->at_wall_ms + LATE_MS ? "its time was over when we came back" : NULL;
}

/* What does not get in here, close_rest() closes. */
static void hand_in(struct back *b, struct str call)
{
    for (struct handed *h = b->first; h != NULL; h = h->next) {
        const struct line_event ev = {.kind = LINE_EV_ACTION, .u.action = h->action};
        struct trunk *t = str_eqc(call, h->call) && !h->settled ? trunk_find(b->ls, call) : NULL;

        if (t == NULL || not_now(b->ls, h) != NULL)
            continue;
        h->settled = true;
        trunk_feed(t, &ev);
    }
}

static void close_rest(struct back *b)
{
    struct handed *next;

    if (b->ended && !b->ls->leaving)
        (void)action_end_over(b->ls->app->store, STR("the call ended"), clock_wall_ms(), NULL, NULL);

    for (struct handed *h = b->first; h != NULL; h = next) {
        const char *why = not_now(b->ls, h);

        next = h->next;
        if (!h->settled && !b->ls->leaving)
            action_close(b->ls, str_of(h->call), &h->action, why != NULL ? why : "the call ended");
        mem_free(h);
    }
    mem_free(b);
}

/* ---- Lines ---- */

/* A line whose machine was never saved did nothing at the carrier yet: it begins anew. */
static void begin_anew(struct back *b, const struct line_row *row)
{
    struct line_start start = {.call = row->call, .ref = row->ref, .to = row->number, .from = row->number,
                               .due_wall_ms = row->due_at};
    struct json *spec = NULL;

    (void)json_parse(&spec, row->spec, NULL);
    start.caller_sid = json_get_str(spec, "sid");
    if (start.caller_sid.n > 0)
        lines_settings(b->ls, false, row->number, &start.set);
    else
        dial_settings(b->ls, row->number, spec, &start.set);
    if (lines_begin(b->ls, &start) == 0)
        hand_in(b, row->call);
    json_free(spec);
}

int trunk_read(struct trunk *t, struct str machine)
{
    int rc = line_read(&t->m, machine);

    if (rc < 0) {
        log_error(&t->owner->app->log, "%s: its line's record cannot be read; the carrier ends it by its own limit",
                  t->call);
        trunk_free(t);
        return rc;
    }
    t->back = true;
    for (unsigned i = 0; i < LINE_ACTIONS; i++)
        if (t->m.actions[i].kind != ACT_NONE)
            (void)str_copy(t->knew[i], sizeof t->knew[i], str_of(t->m.actions[i].id));
    return 0;
}

/* false: the line cannot be had now. */
static bool read_back(struct back *b, const struct line_row *row)
{
    struct lines *ls = b->ls;
    struct trunk *t = trunk_new(ls, row->call);

    if (t == NULL) {
        log_error(&ls->app->log, "out of memory: the line of %.*s waits for the next start", STR_ARG(row->call));
        settle_known(b, row->call, NULL); /* so do they */
        b->partly = true;
        return false;
    }
    (void)str_copy(t->other, sizeof t->other, row->number);
    return trunk_read(t, row->machine) == 0;
}

static void adopt(struct back *b, const struct line_row *row)
{
    struct trunk *t = trunk_find(b->ls, row->call);

    if (t != NULL && !t->back) {
        settle_known(b, row->call, NULL);
        return;
    }
    if (t == NULL && str_eqc(row->carrier, b->ls->direct->ops->name)) {
        settle_known(b, row->call, NULL); /* its call ended meanwhile, and told it so */
        b->ended = true;
        return;
    }
    if (t == NULL && row->machine.n == 0) {
        begin_anew(b, row);
        return;
    }
    if (t == NULL && !read_back(b, row))
        return;
    t = trunk_find(b->ls, row->call);
    t->back = false;
    settle_known(b, row->call, t);
    hand_in(b, row->call);
    t = trunk_find(b->ls, row->call);
    if (t != NULL)
        trunk_look(t);
}

static void on_found(void *arg, int rc, const struct line_row *rows, unsigned n)
{
    struct back *b = arg;

    if (rc < 0 && !b->ls->leaving)
        log_error(&b->ls->app->log, "the lines of an earlier run could not be read: %s", err_name(rc));
    for (struct handed *h = rc < 0 ? b->first : NULL; h != NULL; h = h->next)
        h->settled = true; /* nobody knows what they are about */
    for (unsigned i = 0; i < n && !b->ls->leaving; i++)
        adopt(b, &rows[i]);
    if (rc == 0 && !b->partly && !b->ls->leaving)
        calls_lines_read(b->ls->app->calls, b->began_ms);
    close_rest(b);
}

static void on_actions(void *arg, int rc, const struct action_row *rows, unsigned n)
{
    struct back *b = arg;

    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = copy_action(b, &rows[i]);
    if (rc < 0 && !b->ls->leaving)
        log_error(&b->ls->app->log, "what was asked for in an earlier run could not be read: %s", err_name(rc));
    if (b->ls->leaving || lines_open_rows(b->ls->app->store, on_found, b) < 0)
        on_found(b, ERR_CLOSED, NULL, 0);
}

void lines_adopt(struct lines *ls)
{
    struct back *b = ls != NULL && !ls->leaving ? MEM_NEW(struct back) : NULL;

    if (b == NULL)
        return;
    b->ls = ls;
    b->last = &b->first;
    b->began_ms = loop_now_ms(ls->app->loop);
    if (action_rows(ls->app->store, STR(""), on_actions, b) < 0)
        on_actions(b, ERR_CLOSED, NULL, 0);
}
