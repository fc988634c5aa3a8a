/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_LINE_PROCESS_H
#define TESTS_UNIT_LINE_PROCESS_H
/*
 * Our process in the world of line_carrier.h: a line, and around it what the shell does with its effects: commands on
 * their way to the carrier, saves that become durable later and in order, the table of actions. crash() loses what is not
 * durable, start() is the next instance, which reads the durable text. After each step w_must() is asked what holds for
 * every line: invariants, no outcome told twice, nothing left undone. One thread.
 */
#include "plugin/base/buf.h"
#include "tests/unit/line_carrier.h"

/* ---- Our side: what the shell does with effects ---- */

static inline void effects(struct world *w);

static inline void copy_line(struct line *to, const struct line *from)
{
    unsigned n = 0;
    size_t tail = offsetof(struct line, recording);

    while (n < LINE_ACTIONS && from->actions[n].kind != ACT_NONE)
        n++;
    memcpy(to, from, offsetof(struct line, actions) + n * sizeof from->actions[0]);
    for (; n < LINE_ACTIONS; n++)
        to->actions[n].kind = ACT_NONE;
    memcpy((char *)to + tail, (const char *)from + tail, sizeof *to - tail);
}

/* A step leaves nothing undone: one more, in which nothing happens, does nothing and waits for the same time. */
static inline void check_rest(struct world *w)
{
    static struct line twin;
    static struct line_effects fx;
    static const struct line_event none = {.kind = LINE_EV_NONE};
    uint64_t timer = w->l.timer_wall_ms;

    if (timer == 1700000000000ull + w->t)
        return;
    copy_line(&twin, &w->l);
    line_step(&twin, &none, STR(""), now_of(w), &fx);
    w_must(w, fx.n == 0, "a step left something undone");
    w_must(w, twin.timer_wall_ms == timer, "a step forgot a deadline");
}

static inline void step(struct world *w, const struct line_event *ev)
{
    char ref[LINE_REF_BYTES];
    enum line_phase before = w->l.phase;

    (void)snprintf(ref, sizeof ref, "%032x", ++w->n_refs);
    line_step(&w->l, ev, str_of(ref), now_of(w), &w->fx);
    w->steps++;
    w_must(w, w->steps < 4000, "it never rests");
    w_must(w, line_broken(&w->l) == NULL, line_broken(&w->l));
    w_must(w, w->l.phase >= before, "the phase went back");
    w_must(w, !w->fx.overflow, "effects were lost");
    if (w->l.phase >= LINE_ENDING && w->ending_at == 0)
        w->ending_at = w->t;
    if (w->steps % 4 == 0)
        check_rest(w);
    effects(w);
}

static inline unsigned row_of(struct world *w, const char *id)
{
    for (unsigned i = 0; i < w->n_rows; i++) {
        if (strcmp(w->rows[i].asked.id, id) == 0)
            return i;
    }
    return NONE;
}

static inline void action_said(struct world *w, const struct line_action *a)
{
    unsigned i = row_of(w, a->id);

    w_must(w, i != NONE, "an action that nobody asked for");
    if (i == NONE)
        return;
    LOG(w, "  action %s %s %s %s", a->id, line_action_name(a->kind), line_action_state_name(a->state), a->error);
    w_must(w, w->rows[i].shown < ACTION_DONE || w->rows[i].shown == a->state, "two outcomes of one action");
    w->rows[i].shown = a->state;
}

/* What the carrier makes of a command: when, and what we hear of it. */
static inline void command_out(struct world *w, const struct line_fx *f)
{
    struct item *c, *a;
    unsigned how = w->faults ? rnd(w, 100) : 99;
    uint64_t there = 5 + rnd(w, w->faults ? 300 : 40), back = there + 5 + rnd(w, 100);
    const struct leg *leg = f->u.command.leg;

    LOG(w, "  command %u %d %s fate %u", f->u.command.n, (int)f->u.command.what, leg ? leg->label : "-", how);
    if (how < 5 || (how >= 5 && how < 9)) { /* refused connection, 429 */
        a = plan_ours(w, W_ANSWER, back);
        a->status = how < 5 ? 0 : 429;
    } else if (how < 13) { /* lost on its way there */
        a = plan_ours(w, W_ANSWER, back + 400);
        a->sent = true;
    } else {
        c = plan(w, W_EXEC, there);
        c->n = f->u.command.n;
        c->gen = 0;
        c->cmd = f->u.command.what;
        c->version = w->gen;
        c->status = how < 19 ? (how < 16 ? 0 : 503) : how < 21 ? 1 : 200; /* lost, 5xx, very late, fine */
        if (leg) {
            (void)snprintf(c->label, sizeof c->label, "%s", leg->label);
            (void)snprintf(c->sid, sizeof c->sid, "%s", leg->sid);
        }
        (void)snprintf(c->text, sizeof c->text, "%.60s", leg && leg->role == ROLE_MODEL &&
                       f->u.command.what == LINE_CMD_CREATE ? leg->ref : "");
        if (f->u.command.what == LINE_CMD_STAY)
            (void)snprintf(c->text, sizeof c->text, "%.*s", STR_ARG(f->u.command.text));
        (void)snprintf(c->action, sizeof c->action, "%.*s", STR_ARG(f->u.command.action));
        for (unsigned i = 0; i < LINE_PARTIES; i++)
            (void)snprintf(c->known[i], LINE_SID_BYTES, "%s", w->l.legs[i].sid);
        return;
    }
    a->n = f->u.command.n;
    a->cmd = f->u.command.what;
}

static inline void save_out(struct world *w, uint64_t version)
{
    struct snapshot *s = &w->saves[w->n_saves++ % W_SAVES];
    uint64_t at = w->t + 1 + rnd(w, w->faults ? 40 : 8);

    s->version = version;
    copy_line(&s->l, &w->l);
    for (unsigned i = 0; i < w->n_rows; i++)
        s->rows[i] = w->rows[i].shown;
    w->saved_at = at > w->saved_at ? at : w->saved_at; /* first in, first out */
    plan_ours(w, W_SAVED, w->saved_at - w->t)->version = version;
}

static inline void told(struct world *w, const struct line_fx *f)
{
    LOG(w, "  tell %d %.*s", (int)f->u.model.what, STR_ARG(f->u.model.text));
    if (f->u.model.what == TELL_VOICEMAIL && chance(w, 85))
        plan_ours(w, W_SAID, 2000 + rnd(w, 3000));
    if (f->u.model.what == TELL_TRANSFERRED)
        plan_ours(w, chance(w, 50) ? W_LEAVES : W_GONE, 100)->leg = NONE;
    w->told_over += f->u.model.what == TELL_OVER;
    w_must(w, w->told_over <= 1 + w->kills, "told twice that it is over");
}

static inline void effects(struct world *w)
{
    struct line_effects *fx = &w->fx;

    if (fx->n > w->max_fx)
        w->max_fx = fx->n;
    for (unsigned i = 0; i < fx->n && !w->bad; i++) {
        const struct line_fx *f = &fx->v[i];

        switch (f->kind) {
        case LINE_FX_SAVE: save_out(w, f->u.version); break;
        case LINE_FX_SLOT:
            if (w->crashes && chance(w, 6))
                plan(w, W_CRASH, rnd(w, 400));
            (void)snprintf(plan_ours(w, W_SLOT, rnd(w, 200))->label, LINE_LABEL_BYTES, "%s", f->u.slot.leg->label);
            break;
        case LINE_FX_COMMAND: command_out(w, f); break;
        case LINE_FX_ACTION: action_said(w, f->u.action); break;
        case LINE_FX_MODEL: told(w, f); break;
        case LINE_FX_NOTIFY:
            LOG(w, "  notify %s", f->u.notify.name);
            break;
        case LINE_FX_HOP: LOG(w, "  hop %s %.*s", f->u.hop.name, STR_ARG(f->u.hop.detail)); break;
        case LINE_FX_FETCH: w->fetched = true; break;
        case LINE_FX_NOTICE:
            if (chance(w, 90))
                plan_ours(w, W_NOTICE, 1000 + rnd(w, 2000));
            break;
        case LINE_FX_OVER:
            w_must(w, i + 1 == fx->n, "something came after over");
            break;
        }
    }
}

/* ---- Life and death of our process ---- */

static inline void commit(struct world *w, uint64_t version)
{
    for (unsigned i = 0; i < W_SAVES && i < w->n_saves; i++) {
        const struct snapshot *s = &w->saves[i];

        if (s->version != version)
            continue;
        w_must(w, w->durable.l.outcome == LINE_OUTCOME_NONE || w->durable.l.outcome == s->l.outcome,
               "the durable outcome changed");
        w_must(w, s->l.phase >= w->durable.l.phase, "the durable phase went back");
        w->durable.version = version;
        copy_line(&w->durable.l, &s->l);
        for (unsigned k = 0; k < w->n_rows; k++) {
            if (s->rows[k] > w->rows[k].durable)
                w->rows[k].durable = s->rows[k];
        }
        return;
    }
}

static inline void crash(struct world *w)
{
    LOG(w, "KILLED");
    w->down = true;
    w->gen++;
    w->kills++;
    w->n_saves = 0;
    plan(w, W_START, 50 + rnd(w, chance(w, 70) ? 3000 : 40000));
}

static inline void read_back(struct world *w)
{
    struct buf text, again;
    struct line old;
    static struct line copy;

    buf_init(&text, LINE_DURABLE_BYTES);
    buf_init(&again, LINE_DURABLE_BYTES);
    w_must(w, line_write(&w->durable.l, &text) == 0, "cannot be written");
    w_must(w, line_read(&w->l, buf_str(&text)) == 0, "what was written cannot be read");
    copy_line(&copy, &w->l);
    old = copy;
    old.skew_ms = 0;
    w_must(w, line_write(&old, &again) == 0, "cannot be written again");
    w_must(w, w->durable.l.skew_ms != 0 || str_eq(buf_str(&text), buf_str(&again)), "the text is not the same again");
    buf_free(&text);
    buf_free(&again);
}

static inline void feed_action(struct world *w, unsigned i)
{
    struct line_event ev = {.kind = LINE_EV_ACTION};

    ev.u.action = w->rows[i].asked;
    step(w, &ev);
}

static inline void start(struct world *w)
{
    struct line_event ev = {.kind = LINE_EV_TIMER};

    LOG(w, "STARTED");
    w->down = false;
    w->started_at = w->t;
    w->ending_at = 0;
    read_back(w);
    for (unsigned i = 0; i < w->n_rows; i++)
        w->rows[i].shown = w->rows[i].durable;
    step(w, &ev);
    for (unsigned i = 0; i < w->n_rows; i++) {
        if (w->rows[i].durable < ACTION_DONE && !act_find(&w->l, str_of(w->rows[i].asked.id)) &&
            w->rows[i].shown < ACTION_DONE)
            feed_action(w, i);
    }
    for (unsigned i = 0; i < w->n_legs; i++) {
        if (w->legs[i].model_session)
            plan_ours(w, w->legs[i].at == AT_DEAD ? W_GONE : W_LIVE, 300 + rnd(w, 700))->leg = i;
    }
}

#endif
