/* SPDX-License-Identifier: MIT */
/*
 * Many short lives of a line in a simulated carrier: legs that ring, answer, fail; answers and callbacks that are
 * lost, late, doubled, reordered; refused connections, 429, 5xx; kills at any moment, after which a fresh machine
 * reads the durable text. What must hold for every life is checked by w_must(); a life is its seed:
 *
 *   OCV_LINE_RUNS=100000 test_line_world      more of them
 *   OCV_LINE_SEED=4711 test_line_world        this one alone, with a log
 */
#include "plugin/call/line_int.h"

#include "plugin/base/buf.h"
#include "tests/unit/t.h"

#define RUNS 30000u
#define W_ITEMS 512u
#define W_LEGS 48u
#define W_ROWS 24u
#define W_SAVES 64u
#define END_MS (40u * 60000u)
#define RING_MS 20000u
#define NONE UINT32_MAX

enum what {
    W_FREE = 0, W_SAVED, W_SLOT, W_EXEC, W_ANSWER, W_LEG, W_STATUS, W_JOIN, W_DIGITS, W_RECORDING, W_MACHINE, W_WEBHOOK,
    W_LIVE, W_GONE, W_LEAVES, W_NOTICE, W_SAID, W_TURN, W_ACT, W_CRASH, W_START, W_ANNOUNCED, W_BACK
};

struct item {
    enum what what;
    uint64_t at, order;
    unsigned gen; /* 0: the carrier's own; else of that instance of ours alone */
    unsigned leg, n;
    enum line_cmd cmd;
    int status;
    bool sent;
    int64_t seq;
    uint64_t version;
    char label[LINE_LABEL_BYTES], sid[LINE_SID_BYTES], text[64], action[ID_BYTES];
    char known[LINE_PARTIES][LINE_SID_BYTES];
};

enum at { AT_QUEUED, AT_RINGING, AT_UP, AT_DEAD };

struct wleg { /* at the carrier */
    char label[LINE_LABEL_BYTES], sid[LINE_SID_BYTES], ref[LINE_REF_BYTES], action[ID_BYTES];
    enum at at;
    enum line_leg_status end;
    int64_t seq;
    bool offered, in_room, held, ends, model_session;
    uint64_t made_at, up_at, dead_at;
};

struct row { /* an action, as the store has it */
    struct line_action asked;
    enum line_action_state durable, shown;
    unsigned delivered; /* commands of it that reached the carrier */
};

struct snapshot { uint64_t version; struct line l; enum line_action_state rows[W_ROWS]; };

struct world {
    uint64_t rng, t, order, seed;
    bool faults, crashes, deaf, log, down, heard, consent_none; /* deaf: no callback ever comes */
    unsigned gen, steps, n_legs, n_rows, n_refs, told_over, n_saves, max_fx, kills, recorded;
    struct line l;
    struct line_effects fx;
    struct item items[W_ITEMS];
    unsigned n_items;
    struct wleg legs[W_LEGS];
    struct row rows[W_ROWS];
    struct snapshot saves[W_SAVES], durable;
    uint64_t alone_since, wrong_since, saved_at, started_at, ending_at, caller_dead_at;
    const char *bad;
    bool rec_on, fetched;
    uint64_t up_at; /* when the caller answered */
    unsigned models;
};

static uint32_t rnd(struct world *w, uint32_t n)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return n == 0 ? 0 : (uint32_t)(w->rng >> 20) % n;
}

static bool chance(struct world *w, unsigned percent)
{
    return rnd(w, 100) < percent;
}

static void w_must(struct world *w, bool good, const char *what)
{
    if (!good && !w->bad)
        w->bad = what;
}

#define LOG(w, ...) \
    do { \
        if ((w)->log) { \
            printf("%8llu ", (unsigned long long)(w)->t); \
            printf(__VA_ARGS__); \
            printf("\n"); \
        } \
    } while (0)

static struct item *plan(struct world *w, enum what what, uint64_t in_ms)
{
    struct item *i = w->n_items < W_ITEMS ? &w->items[w->n_items++] : &w->items[W_ITEMS - 1];

    w_must(w, w->n_items < W_ITEMS, "the world's queue is full");
    memset(i, 0, offsetof(struct item, known));
    i->what = what;
    i->at = w->t + in_ms;
    i->order = ++w->order;
    i->seq = -1;
    return i;
}

static struct item *plan_ours(struct world *w, enum what what, uint64_t in_ms)
{
    struct item *i = plan(w, what, in_ms);

    i->gen = w->gen;
    return i;
}

static struct call_now now_of(const struct world *w)
{
    return (struct call_now){.mono_ms = 5000 + w->t + (w->started_at % 977), .wall_ms = 1700000000000ull + w->t};
}

/* ---- The carrier ---- */

static struct wleg *wleg_of(struct world *w, const char *sid)
{
    for (unsigned i = 0; i < w->n_legs; i++) {
        if (strcmp(w->legs[i].sid, sid) == 0)
            return &w->legs[i];
    }
    return NULL;
}

static void callback(struct world *w, struct wleg *leg, enum line_leg_status status)
{
    struct item *i;
    unsigned times = w->deaf || (w->faults && chance(w, 15)) ? 0 : w->faults && chance(w, 15) ? 2 : 1;
    int64_t seq = leg->seq++;

    for (; times > 0; times--) {
        i = plan(w, W_STATUS, 5 + rnd(w, w->faults ? 1500 : 60));
        i->leg = (unsigned)(leg - w->legs);
        i->status = (int)status;
        i->seq = seq;
    }
}

static void leg_dies(struct world *w, struct wleg *leg, enum line_leg_status how)
{
    bool takes_room = leg->in_room && leg->ends;
    struct item *i;

    if (leg->at == AT_DEAD)
        return;
    LOG(w, "  carrier: %s %s dies (%d)", leg->label, leg->sid, (int)how);
    leg->at = AT_DEAD;
    leg->end = how;
    leg->dead_at = w->t;
    leg->in_room = false;
    callback(w, leg, how);
    if (strcmp(leg->label, "caller") == 0) {
        w->caller_dead_at = w->t;
        if (w->rec_on) {
            w->rec_on = false;
            if (!w->faults || chance(w, 70))
                plan(w, W_RECORDING, 500 + rnd(w, 3000))->status = RECORDING_DONE;
        }
    }
    if (leg->model_session) {
        i = plan(w, W_GONE, 100 + rnd(w, 900));
        i->leg = (unsigned)(leg - w->legs);
    }
    for (unsigned k = 0; k < w->n_legs && takes_room; k++) {
        if (w->legs[k].in_room)
            leg_dies(w, &w->legs[k], LEG_SAYS_COMPLETED);
    }
}

static void joins(struct world *w, struct wleg *leg)
{
    struct item *i;

    if (leg->at == AT_DEAD || leg->in_room)
        return;
    leg->in_room = true;
    if (w->deaf || (w->faults && chance(w, 15)))
        return;
    i = plan(w, W_JOIN, 5 + rnd(w, 200));
    i->leg = (unsigned)(leg - w->legs);
}

static void next_of(struct world *w, struct wleg *leg, enum at at, uint64_t in_ms, enum line_leg_status how)
{
    struct item *i = plan(w, W_LEG, in_ms);

    i->leg = (unsigned)(leg - w->legs);
    i->n = (unsigned)at;
    i->status = (int)how;
}

static void create(struct world *w, const struct item *c)
{
    struct wleg *leg = &w->legs[w->n_legs];
    unsigned callers = 0;
    bool caller = strcmp(c->label, "caller") == 0, model = strcmp(c->label, "model") == 0, up = false;

    w_must(w, w->n_legs < W_LEGS - 1, "more legs than any life needs");
    if (w->n_legs >= W_LEGS - 1)
        return;
    for (unsigned i = 0; i < w->n_legs; i++) {
        const struct wleg *x = &w->legs[i];

        if (strcmp(x->label, "caller") == 0) {
            callers++;
            up = up || x->up_at != 0;
            w_must(w, !caller || x->at == AT_DEAD, "a second ring while the first rings");
            w_must(w, !caller || x->end == LEG_SAYS_BUSY || x->end == LEG_SAYS_NO_ANSWER,
                   "dialled again without a proven busy or no answer");
        }
        w_must(w, caller || model || c->action[0] == '\0' || strcmp(x->action, c->action) != 0,
               "a target rings twice for one action");
    }
    w_must(w, !caller || callers <= w->l.set.retries, "more dials than retries allow");
    w_must(w, !model || up, "the model is called before the callee answered");
    w_must(w, !model || w->faults || w->crashes || w->models++ > 0 || w->t < w->up_at + 1000,
           "the model is called late");
    for (unsigned i = 0; i < w->n_legs && model; i++)
        w_must(w, strncmp(w->legs[i].ref, c->text, 32) != 0, "one reference for two legs");
    memset(leg, 0, sizeof *leg);
    (void)snprintf(leg->label, sizeof leg->label, "%s", c->label);
    (void)snprintf(leg->sid, sizeof leg->sid, "CA%u", w->n_legs + 1);
    (void)snprintf(leg->ref, sizeof leg->ref, "%.32s", c->text);
    (void)snprintf(leg->action, sizeof leg->action, "%s", c->action);
    leg->offered = c->cmd == LINE_CMD_OFFER;
    leg->ends = caller;
    leg->made_at = w->t;
    w->n_legs++;
    LOG(w, "  carrier: creates %s %s", leg->label, leg->sid);
    if (chance(w, 50))
        callback(w, leg, LEG_SAYS_QUEUED);
    if (model)
        next_of(w, leg, chance(w, 92) ? AT_UP : AT_DEAD, 100 + rnd(w, 500), LEG_SAYS_FAILED);
    else
        next_of(w, leg, AT_RINGING, 50 + rnd(w, 500), 0);
}

static void rings(struct world *w, struct wleg *leg)
{
    unsigned how = rnd(w, 100);

    leg->at = AT_RINGING;
    callback(w, leg, LEG_SAYS_RINGING);
    if (!leg->offered && chance(w, 15))
        joins(w, leg); /* early media */
    if (how < 72)
        next_of(w, leg, AT_UP, 200 + rnd(w, 8000), 0);
    else if (how < 80)
        next_of(w, leg, AT_DEAD, 500 + rnd(w, 5000), LEG_SAYS_BUSY);
    else if (how < 92)
        next_of(w, leg, AT_DEAD, RING_MS, LEG_SAYS_NO_ANSWER);
    else
        next_of(w, leg, AT_DEAD, 500 + rnd(w, 3000), LEG_SAYS_FAILED);
}

static void answers(struct world *w, struct wleg *leg)
{
    bool caller = strcmp(leg->label, "caller") == 0;
    struct item *i;

    leg->at = AT_UP;
    leg->up_at = w->t;
    w->up_at = caller ? w->t : w->up_at;
    LOG(w, "  carrier: %s %s is up", leg->label, leg->sid);
    callback(w, leg, LEG_SAYS_IN_PROGRESS);
    if (leg->offered) {
        if (chance(w, 70)) {
            i = plan(w, W_DIGITS, 500 + rnd(w, 15000));
            i->leg = (unsigned)(leg - w->legs);
            (void)snprintf(i->text, sizeof i->text, "%s", chance(w, 75) ? "1" : "2");
        }
        next_of(w, leg, AT_DEAD, 25000, LEG_SAYS_COMPLETED); /* the carrier's own limit; not if it joined */
        return;
    }
    joins(w, leg);
    if (strcmp(leg->label, "model") == 0) {
        plan(w, W_WEBHOOK, 20 + rnd(w, 100))->leg = (unsigned)(leg - w->legs);
        if (chance(w, 6))
            next_of(w, leg, AT_DEAD, 3000 + rnd(w, 60000), LEG_SAYS_COMPLETED);
        return;
    }
    next_of(w, leg, AT_DEAD, chance(w, 25) ? 3600000 : 3000 + rnd(w, caller ? 90000 : 200000), LEG_SAYS_COMPLETED);
    if (caller && chance(w, 15)) {
        plan(w, W_MACHINE, 1000 + rnd(w, 3000))->n = MACHINE_START;
        plan(w, W_MACHINE, 4000 + rnd(w, 6000))->n = MACHINE_END;
    }
    for (unsigned k = rnd(w, 3); caller && k > 0; k--)
        plan(w, W_TURN, 2000 + rnd(w, 6000));
}

static void leg_goes_on(struct world *w, const struct item *i)
{
    struct wleg *leg = &w->legs[i->leg];

    if (leg->at == AT_DEAD || (enum at)i->n <= leg->at)
        return;
    if (leg->offered && leg->in_room && i->n == AT_DEAD && w->t < leg->up_at + 25001)
        return;
    if (i->n == AT_RINGING)
        rings(w, leg);
    else if (i->n == AT_UP)
        answers(w, leg);
    else
        leg_dies(w, leg, (enum line_leg_status)i->status);
}

static int on_leg(struct world *w, const struct item *c)
{
    struct wleg *leg = wleg_of(w, c->sid);

    if (!leg || leg->at == AT_DEAD)
        return 404;
    switch (c->cmd) {
    case LINE_CMD_END_LEG:
        leg_dies(w, leg, leg->at == AT_UP ? LEG_SAYS_COMPLETED : LEG_SAYS_CANCELED);
        return 200;
    case LINE_CMD_APOLOGISE:
        leg->in_room = false;
        next_of(w, leg, AT_DEAD, 4000, LEG_SAYS_COMPLETED);
        return 200;
    case LINE_CMD_RECORD:
        w->recorded++;
        w_must(w, w->recorded == 1, "recorded twice");
        w_must(w, w->heard || w->consent_none, "recorded before the notice was heard");
        w->rec_on = true;
        return 201;
    case LINE_CMD_COLLECT: {
        struct item *i;

        if (!leg->in_room)
            return 404;
        leg->in_room = false;
        if (leg->ends) {
            w_must(w, false, "the room ended because the caller was asked for digits");
        }
        if (chance(w, 80)) {
            i = plan(w, W_DIGITS, 1000 + rnd(w, 9000));
            i->leg = (unsigned)(leg - w->legs);
            (void)snprintf(i->action, sizeof i->action, "%s", c->action);
            (void)snprintf(i->text, sizeof i->text, "%s", "4711");
        }
        plan(w, W_BACK, 11000)->leg = (unsigned)(leg - w->legs);
        return 200;
    }
    default: break;
    }
    if (!leg->in_room)
        return 404;
    if (c->cmd == LINE_CMD_HOLD || c->cmd == LINE_CMD_UNHOLD)
        leg->held = c->cmd == LINE_CMD_HOLD;
    if (c->cmd == LINE_CMD_STAY)
        leg->ends = strcmp(c->text, "end") == 0;
    return 200;
}

static void once_only(struct world *w, const struct item *c)
{
    if (c->cmd != LINE_CMD_PLAY_DIGITS && c->cmd != LINE_CMD_ANNOUNCE && c->cmd != LINE_CMD_COLLECT)
        return;
    for (unsigned i = 0; i < w->n_rows; i++) {
        if (strcmp(w->rows[i].asked.id, c->action) == 0)
            w_must(w, ++w->rows[i].delivered == 1, "sent twice");
    }
}

static int execute(struct world *w, const struct item *c)
{
    once_only(w, c);
    switch (c->cmd) {
    case LINE_CMD_CREATE:
    case LINE_CMD_OFFER: create(w, c); return 201;
    case LINE_CMD_LOOK_UP: return 200;
    case LINE_CMD_END_ROOM:
        for (unsigned i = 0; i < w->n_legs; i++) {
            if (w->legs[i].in_room)
                leg_dies(w, &w->legs[i], LEG_SAYS_COMPLETED);
        }
        return 200;
    case LINE_CMD_ANNOUNCE:
        if (!w->faults || chance(w, 80))
            plan(w, W_ANNOUNCED, 1500);
        return 200;
    case LINE_CMD_RECORD_PAUSE:
    case LINE_CMD_RECORD_RESUME: return w->rec_on ? 200 : 404;
    case LINE_CMD_RECORD_STOP:
        if (w->rec_on)
            plan(w, W_RECORDING, 800)->status = RECORDING_DONE;
        w->rec_on = false;
        return 200;
    default: return on_leg(w, c);
    }
}

/* ---- Our side: what the shell does with effects ---- */

static void effects(struct world *w);

static void copy_line(struct line *to, const struct line *from)
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
static void check_rest(struct world *w)
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

static void step(struct world *w, const struct line_event *ev)
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

static unsigned row_of(struct world *w, const char *id)
{
    for (unsigned i = 0; i < w->n_rows; i++) {
        if (strcmp(w->rows[i].asked.id, id) == 0)
            return i;
    }
    return NONE;
}

static void action_said(struct world *w, const struct line_action *a)
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
static void command_out(struct world *w, const struct line_fx *f)
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

static void save_out(struct world *w, uint64_t version)
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

static void told(struct world *w, const struct line_fx *f)
{
    LOG(w, "  tell %d %.*s", (int)f->u.model.what, STR_ARG(f->u.model.text));
    if (f->u.model.what == TELL_VOICEMAIL && chance(w, 85))
        plan_ours(w, W_SAID, 2000 + rnd(w, 3000));
    if (f->u.model.what == TELL_TRANSFERRED)
        plan_ours(w, chance(w, 50) ? W_LEAVES : W_GONE, 100)->leg = NONE;
    w->told_over += f->u.model.what == TELL_OVER;
    w_must(w, w->told_over <= 1 + w->kills, "told twice that it is over");
}

static void effects(struct world *w)
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

static void commit(struct world *w, uint64_t version)
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

static void crash(struct world *w)
{
    LOG(w, "KILLED");
    w->down = true;
    w->gen++;
    w->kills++;
    w->n_saves = 0;
    plan(w, W_START, 50 + rnd(w, chance(w, 70) ? 3000 : 40000));
}

static void read_back(struct world *w)
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

static void feed_action(struct world *w, unsigned i)
{
    struct line_event ev = {.kind = LINE_EV_ACTION};

    ev.u.action = w->rows[i].asked;
    step(w, &ev);
}

static void start(struct world *w)
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

/* ---- Events in ---- */

static void status_in(struct world *w, const struct item *i)
{
    struct wleg *leg = &w->legs[i->leg];
    struct line_event ev = {.kind = LINE_EV_STATUS};

    ev.u.status.label = str_of(leg->label);
    ev.u.status.sid = str_of(leg->sid);
    ev.u.status.ref = str_of(w->l.ref);
    ev.u.status.status = (enum line_leg_status)i->status;
    ev.u.status.seq = i->seq;
    LOG(w, "status %s %s %d seq %lld", leg->label, leg->sid, i->status, (long long)i->seq);
    step(w, &ev);
}

static void webhook(struct world *w, const struct item *i)
{
    struct wleg *leg = &w->legs[i->leg];
    const struct leg *ours;

    if (leg->at != AT_UP)
        return;
    if (w->down) {
        if (w->t < leg->up_at + 10000)
            plan(w, W_WEBHOOK, 1000)->leg = i->leg;
        else
            leg_dies(w, leg, LEG_SAYS_FAILED);
        return;
    }
    ours = line_leg(&w->l, STR("model"));
    if (!ours || strcmp(ours->ref, leg->ref) != 0 || !leg_exists(ours) || ours->ended_by_us) {
        leg_dies(w, leg, LEG_SAYS_FAILED); /* rejected: an unknown or used reference */
        return;
    }
    leg->model_session = true;
    if (chance(w, 96))
        plan_ours(w, W_LIVE, 200 + rnd(w, 500))->leg = i->leg;
}

static void digits_in(struct world *w, const struct item *i)
{
    struct wleg *leg = &w->legs[i->leg];
    struct line_event ev = {.kind = LINE_EV_DIGITS};
    bool yes;

    if (leg->at != AT_UP || leg->in_room)
        return;
    if (!leg->offered && !w->down)
        joins(w, leg);
    if (w->down) {
        if (leg->offered)
            leg_dies(w, leg, LEG_SAYS_COMPLETED);
        return;
    }
    ev.u.digits.label = str_of(leg->label);
    ev.u.digits.action = str_of(leg->offered ? leg->action : i->action);
    ev.u.digits.digits = str_of(i->text);
    yes = leg->offered && line_accepts(&w->l, ev.u.digits.action, ev.u.digits.digits);
    LOG(w, "digits %s from %s: %d", i->text, leg->label, (int)yes);
    if (yes)
        joins(w, leg);
    else if (leg->offered)
        leg_dies(w, leg, LEG_SAYS_COMPLETED);
    step(w, &ev);
}

static void found_in(struct world *w, const struct item *c, struct line_event *ev, struct line_seen_leg *seen)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_legs && n < W_LEGS; i++) {
        const struct wleg *leg = &w->legs[i];
        bool known = false;

        for (unsigned k = 0; k < LINE_PARTIES; k++)
            known = known || strcmp(c->known[k], leg->sid) == 0;
        if (!known && (leg->at == AT_DEAD || leg->offered))
            continue;
        seen[n++] = (struct line_seen_leg){
            .label = str_of(leg->label), .sid = str_of(leg->sid), .in_room = leg->in_room,
            .up_s = leg->up_at != 0 && leg->at == AT_UP ? (int64_t)((w->t - leg->up_at) / 1000) : -1,
            .status = leg->at == AT_DEAD ? leg->end : leg->at == AT_UP ? LEG_SAYS_IN_PROGRESS
                      : leg->at == AT_RINGING ? LEG_SAYS_RINGING : LEG_SAYS_QUEUED};
    }
    ev->kind = LINE_EV_FOUND;
    ev->u.found.cmd = c->n;
    ev->u.found.http_status = 200;
    ev->u.found.room = STR("CF1");
    ev->u.found.legs = seen;
    ev->u.found.n_legs = n;
}

static void answer_in(struct world *w, const struct item *i)
{
    struct line_event ev = {.kind = LINE_EV_DONE};
    static struct line_seen_leg seen[W_LEGS];
    bool make = i->cmd == LINE_CMD_CREATE || i->cmd == LINE_CMD_OFFER;

    LOG(w, "answer %u: %d", i->n, i->status);
    if (i->cmd == LINE_CMD_LOOK_UP) {
        if (i->status == 200) {
            found_in(w, i, &ev, seen); /* as it is now: the race is between its making and its reading */
        } else {
            ev.kind = LINE_EV_FOUND;
            ev.u.found.cmd = i->n;
            ev.u.found.http_status = i->status;
        }
    } else {
        ev.kind = make ? LINE_EV_CREATED : LINE_EV_DONE;
        ev.u.answer.cmd = i->n;
        ev.u.answer.http_status = i->status;
        ev.u.answer.maybe_sent = i->sent;
        ev.u.answer.sid = str_of(i->sid);
    }
    step(w, &ev);
}

static void exec_in(struct world *w, const struct item *i)
{
    struct item copy = *i, *a;
    bool make = copy.cmd == LINE_CMD_CREATE || copy.cmd == LINE_CMD_OFFER;
    int status;

    if (make && copy.status == 200 && w->faults && chance(w, 3)) {
        status = 400;
        copy.sid[0] = '\0';
    } else {
        status = execute(w, &copy);
        (void)snprintf(copy.sid, sizeof copy.sid, "%s", make && w->n_legs > 0 ? w->legs[w->n_legs - 1].sid
                       : copy.cmd == LINE_CMD_RECORD ? "RE1" : "");
    }
    if (copy.version != w->gen || w->down)
        return; /* nobody waits for it any more */
    a = plan_ours(w, W_ANSWER, copy.status == 1 ? 19000 + rnd(w, 3000) : 5 + rnd(w, w->faults ? 400 : 40));
    a->n = copy.n;
    a->cmd = copy.cmd;
    a->sent = true;
    a->status = copy.status == 0 || copy.status == 503 ? copy.status : status;
    if (answered_well(a->status))
        (void)snprintf(a->sid, sizeof a->sid, "%s", copy.sid);
    memcpy(a->known, copy.known, sizeof a->known);
}

static void simple_in(struct world *w, const struct item *i)
{
    struct line_event ev = {.kind = LINE_EV_NONE};

    switch (i->what) {
    case W_SAVED:
        commit(w, i->version);
        ev.kind = LINE_EV_SAVED;
        ev.u.version = i->version;
        break;
    case W_SLOT:
        ev.kind = LINE_EV_SLOT;
        ev.u.label = str_of(i->label);
        break;
    case W_JOIN:
        if (!w->legs[i->leg].in_room)
            return;
        ev.kind = LINE_EV_ROOM;
        ev.u.room.what = ROOM_JOIN;
        ev.u.room.label = str_of(w->legs[i->leg].label);
        ev.u.room.sid = str_of(w->legs[i->leg].sid);
        ev.u.room.room = STR("CF1");
        break;
    case W_ANNOUNCED:
        ev.kind = LINE_EV_ROOM;
        ev.u.room.what = ROOM_ANNOUNCED;
        break;
    case W_RECORDING:
        ev.kind = LINE_EV_RECORDING;
        ev.u.recording.what = RECORDING_DONE;
        ev.u.recording.sid = STR("RE1");
        break;
    case W_MACHINE:
        ev.kind = LINE_EV_MACHINE;
        ev.u.machine.by = i->n;
        break;
    case W_LIVE:
        if (w->legs[i->leg].at == AT_DEAD)
            return;
        ev.kind = LINE_EV_MODEL_LIVE;
        break;
    case W_GONE: ev.kind = LINE_EV_MODEL_GONE; break;
    case W_LEAVES: ev.kind = LINE_EV_MODEL_LEAVES; break;
    case W_NOTICE:
        ev.kind = LINE_EV_NOTICE_HEARD;
        w->heard = true;
        break;
    case W_SAID: ev.kind = LINE_EV_VOICEMAIL_SAID; break;
    case W_TURN: ev.kind = LINE_EV_CALLEE_TURN; break;
    default: return;
    }
    step(w, &ev);
}

static void act_in(struct world *w, const struct item *i)
{
    static const char *const targets[] = {"sales", "front", "boss"};
    struct row *r = &w->rows[w->n_rows];
    struct line_action *a = &r->asked;

    if (w->n_rows >= W_ROWS)
        return;
    memset(r, 0, sizeof *r);
    a->kind = (enum line_action_kind)i->n;
    (void)snprintf(a->id, sizeof a->id, "act_%u", w->n_rows);
    if (a->kind == ACT_TRANSFER || a->kind == ACT_INVITE || a->kind == ACT_REMOVE) {
        (void)snprintf(a->party, sizeof a->party, "%s", targets[rnd(w, 3)]);
        (void)snprintf(a->to, sizeof a->to, "+1555%07u", w->n_rows);
        a->warm = a->kind == ACT_TRANSFER && chance(w, 60);
    }
    (void)snprintf(a->text, sizeof a->text, "%s", "12#");
    a->secret = a->kind == ACT_COLLECT && chance(w, 30);
    w->n_rows++;
    if (w->crashes && chance(w, 12))
        plan(w, W_CRASH, rnd(w, 30));
    LOG(w, "ACTION %s %s %s %s", a->id, line_action_name(a->kind), a->party, a->warm ? "warm" : "");
    feed_action(w, w->n_rows - 1);
}

static void happen(struct world *w, const struct item *i)
{
    bool ours = i->gen != 0;

    if (ours && (i->gen != w->gen || w->down))
        return;
    switch (i->what) {
    case W_EXEC: exec_in(w, i); return;
    case W_LEG: leg_goes_on(w, i); return;
    case W_WEBHOOK: webhook(w, i); return;
    case W_DIGITS: digits_in(w, i); return;
    case W_BACK: joins(w, &w->legs[i->leg]); return;
    case W_START: start(w); return;
    case W_CRASH:
        if (!w->down)
            crash(w);
        return;
    default: break;
    }
    if (w->down) {
        if (i->what == W_ACT) { /* the API is there again later */
            struct item *again = plan(w, W_ACT, 1000);

            again->n = i->n;
        }
        return;
    }
    if (i->what == W_STATUS)
        status_in(w, i);
    else if (i->what == W_ANSWER)
        answer_in(w, i);
    else if (i->what == W_ACT)
        act_in(w, i);
    else
        simple_in(w, i);
}

/* ---- A life ---- */

static bool take_next(struct world *w, struct item *out)
{
    unsigned best = NONE;

    for (unsigned i = 0; i < w->n_items; i++) {
        if (best == NONE || w->items[i].at < w->items[best].at ||
            (w->items[i].at == w->items[best].at && w->items[i].order < w->items[best].order))
            best = i;
    }
    if (!w->down && w->l.timer_wall_ms != 0) {
        uint64_t at = w->l.timer_wall_ms < 1700000000000ull + w->t ? w->t : w->l.timer_wall_ms - 1700000000000ull;

        if (best == NONE || at < w->items[best].at) {
            w->t = at;
            *out = (struct item){.what = W_FREE};
            return true;
        }
    }
    if (best == NONE)
        return false;
    *out = w->items[best];
    w->items[best] = w->items[--w->n_items];
    w->t = out->at;
    return true;
}

/* Legs at the carrier that nobody should pay for. */
static void check_orphans(struct world *w)
{
    bool quiet = !w->faults && !w->down && w->l.phase >= LINE_ENDING && !w->l.leave_legs;
    uint64_t since = w->ending_at > w->started_at ? w->ending_at : w->started_at;
    bool caller_up = false, wrong = false, alone = !w->l.apologising && !w->l.hold_want;

    for (unsigned i = 0; i < w->n_legs; i++)
        caller_up = caller_up || (strcmp(w->legs[i].label, "caller") == 0 && w->legs[i].at != AT_DEAD);
    for (unsigned i = 0; i < w->n_legs; i++) {
        const struct wleg *leg = &w->legs[i];
        bool model = strcmp(leg->label, "model") == 0;

        alone = alone && (strcmp(leg->label, "caller") == 0 || leg->at != AT_UP);
        wrong = wrong || (leg->at == AT_UP && leg->held && w->l.phase == LINE_ANSWERED && !w->l.hold_want);
        if (leg->at == AT_DEAD || (leg->offered && !leg->in_room))
            continue;
        if (quiet && !w->l.apologising && w->t > since + 10000)
            w_must(w, w->t < leg->made_at + 10000, "a leg lives 10 s after the end");
        if (!w->faults && !w->down && model && !caller_up && w->t > w->caller_dead_at + 5000 &&
            w->t > w->started_at + 10000)
            w_must(w, w->t < leg->made_at + 10000, "the model talks to nobody");
    }
    w->alone_since = !alone || !caller_up || w->up_at == 0 || w->l.phase == LINE_OVER || w->down ? 0 : w->alone_since ? w->alone_since : w->t;
    w_must(w, w->alone_since == 0 || w->t < w->alone_since + 45000, "the caller hears nothing");
    w->wrong_since = !wrong || w->down || w->l.restored ? 0 : w->wrong_since ? w->wrong_since : w->t;
    w_must(w, w->wrong_since == 0 || w->t < w->wrong_since + 45000, "a human is on hold and nobody knows");
}

static void check_end(struct world *w)
{
    bool humans = w->l.leave_legs;
    unsigned staying = 0, ends = 0;

    w_must(w, w->l.phase == LINE_OVER && w->l.over_told, "it is not over in time");
    w_must(w, w->l.outcome != LINE_OUTCOME_NONE, "no outcome");
    for (unsigned i = 0; i < w->n_rows; i++)
        w_must(w, w->rows[i].shown >= ACTION_DONE, "an action without an outcome");
    for (unsigned i = 0; i < w->n_legs; i++) {
        const struct wleg *leg = &w->legs[i];
        bool model = strcmp(leg->label, "model") == 0;

        if (leg->at != AT_DEAD && !(humans && !model) && !(leg->offered && !leg->in_room))
            w_must(w, false, "a leg is left behind");
        if (leg->at != AT_DEAD && humans && !model) {
            w_must(w, !leg->held, "a human is left on hold");
            staying += leg->in_room;
            ends += leg->in_room && leg->ends;
        }
    }
    w_must(w, staying == 0 || ends >= 2 || (w->faults && ends > 0), "the room outlives those who stay");
    if (w->recorded && !w->crashes && !w->faults)
        w_must(w, w->fetched, "a recording is not fetched");
}

static void make_life(struct world *w)
{
    struct line_settings set = {
        .can = LINE_CAN_SAY * 2 - 1, .outbound = true, .ring_ms = RING_MS, .queue_ms = 60000, .max_ms = 150000,
        .hold_drop_ms = chance(w, 50) ? 8000 : 0, .detect_machine = true, .retries = chance(w, 25) ? 1 : 0,
        .voicemail = (enum line_voicemail)rnd(w, 3), .consent = chance(w, 50) ? CONSENT_NOTICE : CONSENT_NONE,
        .record = chance(w, 40)};
    bool inbound = chance(w, 20);

    (void)snprintf(set.model_uri, sizeof set.model_uri, "sip:proj_x@sip.example;transport=tls");
    w->consent_none = set.consent == CONSENT_NONE;
    w->gen = 1;
    if (inbound) {
        struct wleg *leg = &w->legs[w->n_legs++];

        set.outbound = false;
        *leg = (struct wleg){.label = "caller", .sid = "CA1", .at = AT_UP, .in_room = true, .ends = true, .up_at = 1};
        next_of(w, leg, AT_DEAD, 3000 + rnd(w, 90000), LEG_SAYS_COMPLETED);
        line_begin_inbound(&w->l, &set, STR("room"), STR("CA1"), STR("+15550001111"), now_of(w), &w->fx);
    } else {
        line_begin_dial(&w->l, &set, STR("room"), STR("+15550001111"), 0, now_of(w), &w->fx);
    }
    copy_line(&w->durable.l, &w->l);
    effects(w);
    for (unsigned n = rnd(w, 6); n > 0; n--) {
        unsigned kind = 1 + rnd(w, ACT_KINDS - 1);

        if (kind == ACT_HANGUP && chance(w, 50))
            kind = ACT_TRANSFER;
        plan(w, W_ACT, rnd(w, 40000))->n = kind;
    }
    for (unsigned n = w->crashes ? 1 + rnd(w, 3) : 0; n > 0; n--)
        plan(w, W_CRASH, rnd(w, chance(w, 50) ? 4000 : 60000));
    if (chance(w, 10))
        plan(w, W_LEAVES, rnd(w, 60000));
}

static const char *live(struct world *w, uint64_t seed, bool log)
{
    struct item i;
    uint64_t end = 0;

    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->rng = (seed + 1) * 0x9E3779B97F4A7C15ull;
    (void)rnd(w, 1);
    w->log = log;
    w->faults = (seed & 1) != 0;
    w->deaf = w->faults && chance(w, 15);
    w->crashes = (seed & 2) != 0;
    make_life(w);
    while (!w->bad && w->t < END_MS && take_next(w, &i)) {
        if (end != 0 && w->t > end)
            break;
        if (i.what == W_FREE) {
            struct line_event ev = {.kind = LINE_EV_TIMER};

            step(w, &ev);
        } else {
            happen(w, &i);
        }
        check_orphans(w);
        if (w->l.over_told && !w->down && end == 0)
            end = w->t + 12000;
        if (w->down)
            end = 0;
    }
    if (!w->bad)
        check_end(w);
    return w->bad;
}

static uint64_t env_number(const char *name, uint64_t or_else)
{
    const char *v = getenv(name);
    uint64_t n;

    return v && str_u64(str_of(v), &n) ? n : or_else;
}

static struct world the_world;

int main(void)
{
    uint64_t one = env_number("OCV_LINE_SEED", 0), runs = env_number("OCV_LINE_RUNS", RUNS), bad = 0;
    unsigned outcomes[LINE_OUTCOMES] = {0}, max_fx = 0;
    const char *why;

    T_CASE("no life of a line breaks a rule");
    for (uint64_t seed = one ? one : 1; seed <= (one ? one : runs) && bad < 10; seed++) {
        why = live(&the_world, seed, one != 0);
        if (why) {
            T_FAIL("seed %llu: %s (at %llu ms)", (unsigned long long)seed, why, (unsigned long long)the_world.t);
            bad++;
        }
        outcomes[the_world.l.outcome]++;
        if (the_world.max_fx > max_fx)
            max_fx = the_world.max_fx;
    }
    T_CASE("the lives end in every way");
    if (!one && bad == 0) {
        for (unsigned i = 1; i < LINE_OUTCOMES; i++)
            printf("  %s: %u\n", line_outcome_name((enum line_outcome)i), outcomes[i]);
        printf("  most effects of one step: %u of %u\n", max_fx, LINE_FX_MAX);
        T_GT(outcomes[LINE_OUTCOME_ANSWERED], runs / 20);
        T_GT(outcomes[LINE_OUTCOME_TRANSFERRED], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_VOICEMAIL], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_BUSY], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_NO_ANSWER], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_CANCELED], runs / 500);
        T_GT(outcomes[LINE_OUTCOME_FAILED], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_INTERRUPTED], runs / 1000);
    } else {
        T_TRUE(true);
    }
    T_LT(max_fx, LINE_FX_MAX / 2);
    return T_DONE();
}
