/* SPDX-License-Identifier: MIT */
/* What the carrier and the world see of a line's effects, and what must hold of them whatever happens. */
#include "tests/model/line_world.h"

#include <stdio.h>

const char *const line_invariants[INVARIANTS_LINE] = {
    [J_STATE] = "line: what is true in each phase (line_broken)",
    [J_RING] = "line: nobody rings twice, but after a proven busy",
    [J_SAVED] = "line: what may not be done twice is durable before it is sent",
    [J_ONCE] = "line: an action is sent once, but where nothing was done",
    [J_OVER] = "line: the end is told once, and nothing but strays is touched after it",
    [J_LEFT] = "line: at the end no leg that we know of is left alone",
    [J_TOLD] = "line: the model's side hears once that it is over",
    [J_PHASE] = "line: phases never go back; an end has an outcome",
    [J_LOOK] = "line: after a restart nothing is done to who may be there before a look, but ending",
    [J_ACTION] = "line: each action ends once, and before its line",
    [J_EXIT] = "line: timers alone lead to the end, within the bound",
    [J_OVERFLOW] = "line: no effect is lost",
};

static bool once(enum line_cmd what)
{
    return what == LINE_CMD_OFFER || what == LINE_CMD_PLAY_DIGITS || what == LINE_CMD_ANNOUNCE ||
           what == LINE_CMD_COLLECT || what == LINE_CMD_REFER;
}

static struct acted *act_of(struct truth *t, const char *id)
{
    for (unsigned i = 0; i < ACTS; i++) {
        char name[8];

        (void)snprintf(name, sizeof name, "act_%u", i);
        if (strcmp(name, id) == 0)
            return &t->acts[i];
    }
    return NULL;
}

/* The create of a leg: could an earlier one of that label still ring? */
static void on_create(struct lworld *w, const struct leg *leg)
{
    const struct line *d = &w->durable;
    bool durable = false, caller = leg->role == ROLE_CALLER;
    unsigned before = 0;

    for (unsigned i = 0; i < LINE_PARTIES && w->has_durable; i++)
        durable = durable || (d->legs[i].state == LEG_CREATING && strcmp(d->legs[i].label, leg->label) == 0);
    must(J_SAVED, durable, "a create that is not durable");
    for (unsigned i = 0; i < w->truth.n_legs && caller; i++) {
        const struct carried *c = &w->truth.legs[i];

        if (strcmp(c->label, "caller") != 0)
            continue;
        before++;
        must(J_RING, c->at == AT_DEAD && c->busy, "a second ring");
    }
    for (unsigned i = 0; i < w->n_sent && caller; i++)
        must(J_RING, w->sent[i].what != LINE_CMD_CREATE || strcmp(w->sent[i].label, "caller") != 0,
             "a create beside one in flight");
    must(J_RING, !caller || before <= ls->retries, "more dials than retries allow");
}

static void on_ended(struct lworld *w, const struct line_fx *f)
{
    for (unsigned i = 0; i < w->truth.n_legs; i++) {
        char sid[8];

        (void)snprintf(sid, sizeof sid, "CA%u", i);
        if (f->u.command.leg != NULL && strcmp(f->u.command.leg->sid, sid) == 0)
            w->truth.legs[i].end_sent = true;
    }
}

static void on_command(struct lworld *w, const struct line_fx *f)
{
    enum line_cmd what = f->u.command.what;
    char action[ID_BYTES];
    struct acted *a;
    struct sent *s;

    (void)snprintf(action, sizeof action, "%.*s", STR_ARG(f->u.command.action));
    a = act_of(&w->truth, action);
    note("command %u: %d %s", f->u.command.n, (int)what, f->u.command.leg ? f->u.command.leg->label : "");
    must(J_LOOK, !w->l.restored || what == LINE_CMD_LOOK_UP || what == LINE_CMD_END_LEG || what == LINE_CMD_END_ROOM ||
                 what == LINE_CMD_APOLOGISE || what == LINE_CMD_CREATE || what == LINE_CMD_OFFER,
         "a command before anybody looked");
    if (what == LINE_CMD_CREATE || what == LINE_CMD_OFFER)
        on_create(w, f->u.command.leg);
    if (once(what) && a != NULL) {
        must(J_ONCE, !a->unknown, "an action was sent twice");
        a->unknown = true;
    }
    if (what == LINE_CMD_END_LEG)
        on_ended(w, f);
    w->truth.room_ended = w->truth.room_ended || what == LINE_CMD_END_ROOM;
    w->truth.apologised = w->truth.apologised || what == LINE_CMD_APOLOGISE;
    must(J_OVER, !w->over || what == LINE_CMD_END_LEG, "a command after the end");
    if (w->n_sent == CMDS) { /* the carrier lost the oldest */
        memmove(w->sent, w->sent + 1, (CMDS - 1) * sizeof w->sent[0]);
        w->n_sent--;
    }
    s = &w->sent[w->n_sent++];
    memset(s, 0, sizeof *s);
    s->n = f->u.command.n;
    s->what = what;
    if (f->u.command.leg != NULL) {
        (void)snprintf(s->label, sizeof s->label, "%s", f->u.command.leg->label);
        (void)snprintf(s->sid, sizeof s->sid, "%s", f->u.command.leg->sid);
    }
    (void)snprintf(s->action, sizeof s->action, "%s", action);
}

static void on_action(struct lworld *w, const struct line_action *a)
{
    struct acted *x = act_of(&w->truth, a->id);

    note("action %s: %s %s", a->id, line_action_state_name(a->state), a->error);
    if (x == NULL)
        return;
    must(J_ACTION, !x->over, "an action that is over changed");
    x->over = x->over || a->state >= ACTION_DONE;
}

static void on_over(struct lworld *w, bool last)
{
    const struct line *l = &w->l;

    note("OVER: %s", line_outcome_name(l->outcome));
    must(J_OVER, last && !w->over, "the end not last, or twice");
    must(J_PHASE, l->phase == LINE_OVER && l->outcome != LINE_OUTCOME_NONE, "over without an outcome");
    must(J_TOLD, w->told_over || w->truth.deaths > 0, "over, and the model's side does not know");
    for (unsigned i = 0; i < w->truth.n_legs; i++) {
        const struct carried *c = &w->truth.legs[i];
        bool stays = l->leave_legs && strcmp(c->label, "model") != 0;
        bool caller = strcmp(c->label, "caller") == 0;

        if (c->at != AT_DEAD && c->told && !stays)
            must(J_LEFT, c->end_sent || w->truth.room_ended || (caller && w->truth.apologised),
                 "a leg was left behind");
    }
    for (unsigned i = 0; i < ACTS; i++)
        must(J_ACTION, !w->truth.acts[i].asked || w->truth.acts[i].over, "the line is over and an action is not");
    w->over = true;
}

void line_watch(struct lworld *w, const struct line_effects *fx)
{
    bool strays_alone = w->over;

    must(J_OVERFLOW, !fx->overflow, "effects were lost");
    w->n_effects += fx->n;
    for (unsigned i = 0; i < fx->n; i++) {
        const struct line_fx *f = &fx->v[i];

        switch (f->kind) {
        case LINE_FX_SAVE:
            note("save, version %llu", (unsigned long long)f->u.version);
            w->older = w->open;
            w->has_older = w->has_open;
            w->open = w->l;
            w->has_open = true;
            break;
        case LINE_FX_SLOT:
            w->slot[f->u.slot.leg->role != ROLE_CALLER] = true;
            if (f->u.slot.leg->role != ROLE_CALLER)
                (void)snprintf(w->slot_label, sizeof w->slot_label, "%s", f->u.slot.leg->label);
            break;
        case LINE_FX_COMMAND: on_command(w, f); break;
        case LINE_FX_ACTION: on_action(w, f->u.action); break;
        case LINE_FX_MODEL:
            if (f->u.model.what == TELL_OVER) {
                must(J_TOLD, !w->told_over, "the model's side heard twice that it is over");
                w->told_over = true;
            }
            break;
        case LINE_FX_OVER: on_over(w, i + 1 == fx->n); break;
        case LINE_FX_HOP:
            note("(%s %.*s)", f->u.hop.name, (int)(f->u.hop.detail.n < 60 ? f->u.hop.detail.n : 60),
                 f->u.hop.detail.p ? f->u.hop.detail.p : "");
            break;
        case LINE_FX_NOTIFY:
        case LINE_FX_FETCH:
        case LINE_FX_NOTICE:
        default: must(J_OVER, !strays_alone || f->kind != LINE_FX_NOTICE, "words are due after the end"); break;
        }
    }
}

void line_seen(struct lworld *w, enum line_phase before)
{
    const char *broken = line_broken(&w->l);

    must(J_STATE, broken == NULL, broken ? broken : "");
    must(J_PHASE, w->l.phase >= before, "a phase went back");
    must(J_RING, w->l.legs[0].state != LEG_WANTED || w->l.attempts <= ls->retries, "more dials than retries allow");
    must(J_PHASE, w->l.phase < LINE_ENDING || w->l.outcome != LINE_OUTCOME_NONE, "an end without an outcome");
}
