/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_LINE_CARRIER_H
#define TESTS_UNIT_LINE_CARRIER_H
/*
 * The world of test_line_world.c, and the carrier in it. A world has a clock, a queue of what happens when (plan()), and dice
 * (chance()) that its seed throws. The carrier makes legs, which ring, are answered, join the room and die by the dice;
 * execute() is a command that reached it, callback() what it says of a leg: lost, twice or late in a world with faults.
 * What no carrier may ever see (a second ring, a leg too many) is told by w_must(), which keeps the first fault. Our side of
 * the world is in line_process.h. One thread; include it after t.h.
 */
#include "plugin/call/line_int.h"

#define W_ITEMS 512u
#define W_LEGS 48u
#define W_ROWS 24u
#define W_SAVES 64u
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

static inline uint32_t rnd(struct world *w, uint32_t n)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return n == 0 ? 0 : (uint32_t)(w->rng >> 20) % n;
}

static inline bool chance(struct world *w, unsigned percent)
{
    return rnd(w, 100) < percent;
}

static inline void w_must(struct world *w, bool good, const char *what)
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

static inline struct item *plan(struct world *w, enum what what, uint64_t in_ms)
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

static inline struct item *plan_ours(struct world *w, enum what what, uint64_t in_ms)
{
    struct item *i = plan(w, what, in_ms);

    i->gen = w->gen;
    return i;
}

static inline struct call_now now_of(const struct world *w)
{
    return (struct call_now){.mono_ms = 5000 + w->t + (w->started_at % 977), .wall_ms = 1700000000000ull + w->t};
}

/* ---- The carrier ---- */

static inline struct wleg *wleg_of(struct world *w, const char *sid)
{
    for (unsigned i = 0; i < w->n_legs; i++) {
        if (strcmp(w->legs[i].sid, sid) == 0)
            return &w->legs[i];
    }
    return NULL;
}

static inline void callback(struct world *w, struct wleg *leg, enum line_leg_status status)
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

static inline void leg_dies(struct world *w, struct wleg *leg, enum line_leg_status how)
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

static inline void joins(struct world *w, struct wleg *leg)
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

static inline void next_of(struct world *w, struct wleg *leg, enum at at, uint64_t in_ms, enum line_leg_status how)
{
    struct item *i = plan(w, W_LEG, in_ms);

    i->leg = (unsigned)(leg - w->legs);
    i->n = (unsigned)at;
    i->status = (int)how;
}

static inline void create(struct world *w, const struct item *c)
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

static inline void rings(struct world *w, struct wleg *leg)
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

static inline void answers(struct world *w, struct wleg *leg)
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

static inline void leg_goes_on(struct world *w, const struct item *i)
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

static inline int on_leg(struct world *w, const struct item *c)
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

static inline void once_only(struct world *w, const struct item *c)
{
    if (c->cmd != LINE_CMD_PLAY_DIGITS && c->cmd != LINE_CMD_ANNOUNCE && c->cmd != LINE_CMD_COLLECT)
        return;
    for (unsigned i = 0; i < w->n_rows; i++) {
        if (strcmp(w->rows[i].asked.id, c->action) == 0)
            w_must(w, ++w->rows[i].delivered == 1, "sent twice");
    }
}

static inline int execute(struct world *w, const struct item *c)
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

#endif
