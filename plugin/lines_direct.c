/* SPDX-License-Identifier: MIT */
/*
 * Lines of calls that came straight to the speech API. There is nothing to dial and nobody to ask: what can be done is
 * what that API offers. Most calls are never steered, so such a line begins when something is first asked of it.
 */
#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/lines_int.h"
#include "plugin/realtime/rt_rest.h"

#include <string.h>

struct refer { /* a request under way; owner: the table of lines */
    struct refer *next;
    struct lines *ls;
    struct rt_rest *rest;
    unsigned cmd;
    char call[ID_BYTES];
};

/* ---- Commands, as siponly.c asks for them ---- */

static void unlink_refer(struct refer *r)
{
    struct refer **at = &r->ls->refers;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
}

static void on_referred(void *arg, const struct call_rest_result *res)
{
    struct refer *r = arg;
    const struct carrier_answer a = {.cmd = r->cmd, .what = LINE_CMD_REFER, .http_status = res->status,
                                     .maybe_sent = res->maybe_sent, .message = res->detail};

    unlink_refer(r);
    r->ls->direct->on_answer(r->ls->direct->arg, str_of(r->call), &a);
    mem_free(r);
}

static int refer(void *arg, struct str call, struct str number, unsigned cmd)
{
    struct lines *ls = arg;
    struct refer *r = MEM_NEW(struct refer);
    char uri[PHONE_BYTES + 8] = "tel:";
    int rc = ERR_NOT_FOUND;

    if (r == NULL)
        return ERR_NOMEM;
    r->ls = ls;
    r->cmd = cmd;
    if (str_copy(r->call, sizeof r->call, call) && str_copy(uri + 4, sizeof uri - 4, number))
        rc = calls_refer(ls->app->calls, call, str_of(uri), on_referred, r, &r->rest);
    if (rc < 0) {
        mem_free(r);
        return rc;
    }
    r->next = ls->refers;
    ls->refers = r;
    return 0;
}

struct ended { /* the answer to a hang-up of a call that is over already: not from inside the command */
    struct loop_msg msg;
    struct lines *ls;
    unsigned cmd;
    char call[ID_BYTES];
};

static void answer_hang_up(struct lines *ls, struct str call, unsigned cmd, int status)
{
    const struct carrier_answer a = {.cmd = cmd, .what = LINE_CMD_END_ROOM, .http_status = status};

    ls->direct->on_answer(ls->direct->arg, call, &a);
}

static void on_ended(struct loop_msg *m)
{
    struct ended *e = (struct ended *)(void *)m;

    if (!e->ls->leaving)
        answer_hang_up(e->ls, str_of(e->call), e->cmd, 404);
    mem_free(e);
}

/* Answered when the call is over (lines_direct_over). */
static int hang_up(void *arg, struct str call, unsigned cmd)
{
    struct lines *ls = arg;
    struct trunk *t = trunk_find(ls, call);
    struct ended *e;
    int rc;

    if (t != NULL && calls_end(ls->app->calls, call, CALL_REASON_OPERATOR, STR("on request")) == 0) {
        t->hang_up_cmd = cmd;
        return 0;
    }
    e = MEM_NEW(struct ended);
    if (e == NULL)
        return ERR_NOMEM;
    e->msg.run = on_ended;
    e->ls = ls;
    e->cmd = cmd;
    (void)str_copy(e->call, sizeof e->call, call);
    rc = loop_post(ls->app->loop, &e->msg);
    if (rc < 0)
        mem_free(e);
    return rc;
}

int lines_direct_open(struct lines *ls)
{
    const struct sip_only_config config = {refer, hang_up, ls};

    return sip_only_open(&ls->direct, &config, trunk_answered, ls);
}

void lines_direct_leave(struct lines *ls)
{
    while (ls->refers != NULL) {
        struct refer *r = ls->refers;

        ls->refers = r->next;
        rt_rest_cancel(r->rest);
        mem_free(r);
    }
}

/* ---- Beginning ---- */

unsigned lines_direct_can(const struct lines *ls)
{
    return ls->direct != NULL ? ls->direct->ops->can : 0;
}

static void put_row(struct lines *ls, struct str call, struct str number)
{
    char ref[LINE_REF_BYTES];
    const struct line_row row = {.call = call, .carrier = str_of(ls->direct->ops->name), .ref = str_of(ref),
                                 .phase = STR("answered"), .number = number, .made_at = clock_wall_ms()};

    /* Without a row nothing of it is durable, so nothing that must not be done twice is done. */
    if (lines_fresh_ref(ref) < 0 || line_add(ls->app->store, &row, NULL, NULL) < 0)
        log_error(&ls->app->log, "%.*s: its line could not be recorded", STR_ARG(call));
}

static struct trunk *make(struct lines *ls, struct str call, struct str number)
{
    struct trunk *t = trunk_new(ls, call);

    if (t != NULL)
        (void)str_copy(t->other, sizeof t->other, number);
    return t;
}

static void begin(struct trunk *t)
{
    const struct line_settings set = {.can = lines_direct_can(t->owner)};
    const struct call_now now = {loop_now_ms(t->owner->app->loop), clock_wall_ms()};

    line_begin_direct(&t->m, &set, now);
}

struct trunk *lines_direct_begin(struct lines *ls, struct str id)
{
    struct line_event ev = {.kind = LINE_EV_MODEL_AWAY};
    struct calls_direct seen;
    struct trunk *t;

    if (ls->direct == NULL || !calls_direct(ls->app->calls, id, &seen))
        return NULL;
    t = make(ls, str_of(seen.id), str_of(seen.number));
    if (t == NULL)
        return NULL;
    put_row(ls, str_of(seen.id), str_of(seen.number));
    begin(t);
    calls_follow(ls->app->calls, str_of(seen.id));
    if (seen.live)
        ev.kind = LINE_EV_TIMER;
    trunk_feed(t, &ev);
    return trunk_find(ls, str_of(seen.id));
}

bool lines_adopt_direct(struct lines *ls, struct str call, struct str number, struct str machine)
{
    struct trunk *t = ls == NULL || ls->leaving || ls->direct == NULL ? NULL : make(ls, call, number);

    if (t == NULL)
        return false;
    if (machine.n == 0) {
        begin(t);
        t->m.restored = true;
    } else if (trunk_read(t, machine) < 0) {
        return false;
    }
    t->back = true;
    for (unsigned i = 0; i < LINE_ACTIONS; i++)
        if (t->m.actions[i].kind == ACT_TRANSFER && t->m.actions[i].sent)
            return true;
    return false;
}

/* ---- The end ---- */

void lines_direct_over(struct lines *ls, struct str call, bool by_provider)
{
    struct trunk *t = trunk_find(ls, call);
    const struct line_event ev = {.kind = by_provider ? LINE_EV_MODEL_GONE : LINE_EV_MODEL_LEAVES};

    if (t == NULL || !t->m.direct)
        return;
    if (t->hang_up_cmd != 0)
        answer_hang_up(ls, call, t->hang_up_cmd, 200);
    else
        trunk_feed(t, &ev);
}
