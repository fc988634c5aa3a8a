/* SPDX-License-Identifier: MIT */
/* What is asked of a line: a durable row first, then an event of its machine. Same key, same action. */
#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/lines_int.h"

#include <string.h>

struct asked { /* an action on its way to its row */
    struct lines *ls;
    struct line_action action;
    char call[ID_BYTES];
    action_fn *fn;
    void *arg;
};

static void answer(struct asked *a, int rc, struct str id, struct str state, struct str text)
{
    a->fn(a->arg, rc, id, state, text);
    mem_free(a);
}

/* An earlier one has this key: what became of it. */
static void on_earlier(void *arg, int rc, const struct action_row *rows, unsigned n)
{
    struct asked *a = arg;

    if (rc < 0 || n == 0)
        answer(a, rc < 0 ? rc : ERR_NOT_FOUND, STR(""), STR(""), STR("the action could not be read"));
    else
        answer(a, 0, rows[0].id, rows[0].state, rows[0].error);
}

static void on_new(struct asked *a)
{
    struct lines *ls = a->ls;
    struct line_event ev = {.kind = LINE_EV_ACTION, .u.action = a->action};
    char call[ID_BYTES];
    struct trunk *t;

    (void)str_copy(call, sizeof call, str_of(a->call));
    answer(a, 0, str_of(ev.u.action.id), STR("asked"), STR(""));
    if (ls->leaving)
        return; /* the next instance hands it in */
    t = trunk_find(ls, str_of(call));
    if (t != NULL)
        trunk_feed(t, &ev);
    else
        action_close(ls, str_of(call), &ev.u.action, "the call ended");
}

static void on_row(void *arg, int rc, enum line_made made, struct str id)
{
    struct asked *a = arg;

    if (rc == 0 && made == LINE_MADE_SAME)
        rc = action_rows(a->ls->app->store, id, on_earlier, a);
    else if (rc == 0 && made == LINE_MADE_NEW)
        on_new(a);
    else if (rc == 0)
        answer(a, ERR_DUPLICATE, id, STR(""), STR("this Idempotency-Key stands with another body"));
    if (rc < 0)
        answer(a, rc, STR(""), STR(""), STR("the action could not be recorded"));
}

static const char *capability(int bit)
{
    for (unsigned i = 0; line_can_name(i) != NULL; i++)
        if ((1 << i) == bit)
            return line_can_name(i);
    return "";
}

/* All that the next instance needs to hand it in again (lines_back.c), but what is secret. */
static void write_body(struct buf *b, const struct action_ask *ask)
{
    jw_open(b, '{');
    jw_kstr(b, "by", ask->by);
    if (ask->party.n > 0)
        jw_kstr(b, "party", ask->party);
    if (ask->to.n > 0)
        jw_kstr(b, "to", ask->to);
    if (ask->kind == ACT_TRANSFER)
        jw_kstrc(b, "mode", ask->warm ? "warm" : "blind");
    if (ask->secret)
        jw_kbool(b, "secret", true);
    else if (ask->text.n > 0)
        jw_kstr(b, "text", ask->text);
    jw_close(b, '}');
}

static int fill(struct asked *a, const struct action_ask *ask)
{
    struct line_action *act = &a->action;
    struct id id;
    int rc = id_make(&id, "act_", clock_wall_ms());

    if (rc < 0)
        return rc;
    act->kind = ask->kind;
    act->warm = ask->warm;
    act->secret = ask->secret;
    (void)str_copy(act->id, sizeof act->id, str_of(id.text));
    return str_copy(act->party, sizeof act->party, ask->party) && str_copy(act->to, sizeof act->to, ask->to) &&
                   str_copy(act->text, sizeof act->text, ask->text)
               ? 0 : ERR_TOO_BIG;
}

static int put(struct asked *a, const struct action_ask *ask)
{
    unsigned char hash[32];
    char hex[2 * sizeof hash + 1];
    struct buf body, all;
    int rc;

    buf_init(&body, 8192);
    buf_init(&all, 16384);
    write_body(&body, ask);
    (void)buf_printf(&all, "%s %.*s", line_action_name(ask->kind), STR_ARG(buf_str(&body)));
    id_sha256(hash, buf_str(&all));
    id_hex(hex, hash, sizeof hash);
    rc = body.rc < 0 ? body.rc : all.rc;
    if (rc == 0) {
        const struct action_row row = {.id = str_of(a->action.id), .call = str_of(a->call),
                                       .kind = str_of(line_action_name(ask->kind)), .state = STR("asked"),
                                       .idem = ask->idem, .idem_hash = ask->idem.n > 0 ? str_of(hex) : STR(""),
                                       .body = buf_str(&body), .at = clock_wall_ms()};

        rc = action_put(a->ls->app->store, &row, on_row, a);
    }
    buf_free(&body);
    buf_free(&all);
    return rc;
}

/* The line, begun if the call had none yet. NULL: fn was told why not. */
static struct trunk *line_for(struct lines *ls, const struct action_ask *ask, action_fn *fn, void *arg)
{
    struct trunk *t = ls->leaving ? NULL : trunk_find(ls, calls_ours(ls->app->calls, ask->call));
    unsigned can;
    int rc;

    if (t == NULL)
        t = trunk_by(ls, ask->call);
    can = t == NULL && !ls->leaving ? lines_can(ls, ask->call) : 0;
    rc = t != NULL ? line_refuses(&t->m, ask->kind, ask->warm)
         : can != 0 ? line_lacks(can, true, ask->kind, ask->warm) : 0;
    if (rc > 0) {
        fn(arg, ERR_BAD_STATE, STR(""), STR(""), str_of(capability(rc)));
        return NULL;
    }
    if (rc < 0 && ask->idem.n == 0) { /* with a key it may be the answer to an earlier one */
        fn(arg, ERR_CLOSED, STR(""), STR(""), STR("the call is not in a state for it"));
        return NULL;
    }
    if (can != 0)
        t = lines_direct_begin(ls, ask->call);
    if (t == NULL && calls_line_away(ls->app->calls, calls_ours(ls->app->calls, ask->call)))
        fn(arg, ERR_FULL, STR(""), STR(""), STR("its line is being read back after a restart; try again"));
    else if (t == NULL)
        fn(arg, ERR_NOT_FOUND, STR(""), STR(""), STR("no such live call"));
    return t;
}

void lines_act(struct lines *ls, const struct action_ask *ask, action_fn *fn, void *arg)
{
    struct trunk *t = line_for(ls, ask, fn, arg);
    struct asked *a;
    int rc;

    if (t == NULL)
        return;
    a = MEM_NEW(struct asked);
    rc = a == NULL ? ERR_NOMEM : fill(a, ask);
    if (rc == 0) {
        a->ls = ls;
        a->fn = fn;
        a->arg = arg;
        (void)str_copy(a->call, sizeof a->call, str_of(t->call));
        rc = put(a, ask);
    }
    if (rc < 0) {
        mem_free(a);
        fn(arg, rc, STR(""), STR(""), STR("the action could not be recorded"));
    }
}

bool lines_wait(struct lines *ls, struct str action, action_over_fn *fn, void *arg)
{
    struct wait *w = MEM_NEW(struct wait);

    if (w == NULL || !str_copy(w->action, sizeof w->action, action)) {
        mem_free(w);
        return false;
    }
    w->fn = fn;
    w->arg = arg;
    w->next = ls->waits;
    ls->waits = w;
    return true;
}
