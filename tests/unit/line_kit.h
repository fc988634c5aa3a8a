/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_LINE_KIT_H
#define TESTS_UNIT_LINE_KIT_H
/*
 * A line with a fake clock, for table tests of plugin/call/line*.c. Saves and slots are granted at once unless held
 * back; commands are written down and answered by the test. Every step is checked: invariants, effects, phases, and
 * that the durable text reads back. Include it after t.h.
 */
#include "plugin/base/buf.h"
#include "plugin/call/line_int.h"

#define LK_CMDS 400u
#define LK_WALL 1700000000000ull

struct lk_cmd {
    unsigned n;
    enum line_cmd what;
    char label[LINE_LABEL_BYTES], sid[LINE_SID_BYTES], text[300], action[ID_BYTES], ref[LINE_REF_BYTES];
};

struct lk {
    struct line l;
    struct line_effects fx;
    uint64_t t;            /* monotonic */
    int64_t jump;          /* of the wall clock */
    bool hold_saves, hold_slots;
    unsigned text_every, steps; /* the durable text is checked after each such step; 0: after all */
    unsigned n_cmds, seen, refs, tells[TELL_OVER + 1], overs, notices, fetches, slots, saves, n_said;
    struct lk_cmd cmds[LK_CMDS];
    char notified[400], told[300], fetched[64], notice_to[40];
    struct { char id[ID_BYTES]; enum line_action_state state; char error[160], text[64]; } said[200];
};

static inline struct call_now lk_now(const struct lk *k)
{
    return (struct call_now){.mono_ms = 77000 + k->t, .wall_ms = LK_WALL + k->t + (uint64_t)k->jump};
}

static inline void lk_text(char *to, size_t cap, struct str s)
{
    (void)snprintf(to, cap, "%.*s", STR_ARG(s));
}

static inline void lk_command(struct lk *k, const struct line_fx *f)
{
    struct lk_cmd *c = &k->cmds[k->n_cmds < LK_CMDS - 1 ? k->n_cmds++ : LK_CMDS - 1];

    memset(c, 0, sizeof *c);
    c->n = f->u.command.n;
    c->what = f->u.command.what;
    lk_text(c->text, sizeof c->text, f->u.command.text);
    lk_text(c->action, sizeof c->action, f->u.command.action);
    if (f->u.command.leg) {
        lk_text(c->label, sizeof c->label, str_of(f->u.command.leg->label));
        lk_text(c->sid, sizeof c->sid, str_of(f->u.command.leg->sid));
        lk_text(c->ref, sizeof c->ref, str_of(f->u.command.leg->ref));
    }
}

static inline void lk_note(struct lk *k, const struct line_fx *f, uint64_t *save, char *slot)
{
    size_t len = strlen(k->notified);

    switch (f->kind) {
    case LINE_FX_SAVE: *save = f->u.version; k->saves++; break;
    case LINE_FX_SLOT:
        k->slots++;
        lk_text(slot, LINE_LABEL_BYTES, str_of(f->u.slot.leg->label));
        break;
    case LINE_FX_COMMAND: lk_command(k, f); break;
    case LINE_FX_ACTION: {
        unsigned at = k->n_said < 199 ? k->n_said++ : 199;

        lk_text(k->said[at].id, ID_BYTES, str_of(f->u.action->id));
        k->said[at].state = f->u.action->state;
        lk_text(k->said[at].error, 160, str_of(f->u.action->error));
        lk_text(k->said[at].text, 64, str_head(str_of(f->u.action->text), 63));
        T_EQ(*save, 0); /* actions before the save */
        break;
    }
    case LINE_FX_MODEL:
        k->tells[f->u.model.what]++;
        if (f->u.model.text.n > 0)
            lk_text(k->told, sizeof k->told, f->u.model.text);
        break;
    case LINE_FX_NOTIFY: (void)snprintf(k->notified + len, sizeof k->notified - len, "%s ", f->u.notify.name); break;
    case LINE_FX_FETCH:
        k->fetches++;
        lk_text(k->fetched, sizeof k->fetched, f->u.text);
        break;
    case LINE_FX_NOTICE:
        k->notices++;
        lk_text(k->notice_to, sizeof k->notice_to, f->u.text);
        break;
    case LINE_FX_OVER: k->overs++; break;
    case LINE_FX_HOP: T_TRUE(f->u.hop.name != NULL); break;
    }
}

static inline void lk_check_text(struct lk *k)
{
    static struct line back;
    struct buf b, again;

    buf_init(&b, LINE_DURABLE_BYTES);
    buf_init(&again, LINE_DURABLE_BYTES);
    T_OK(line_write(&k->l, &b));
    T_OK(line_read(&back, buf_str(&b)));
    back.skew_ms = 0;
    T_OK(line_write(&back, &again));
    if (k->l.skew_ms == 0)
        T_MEM_EQ(again.p, again.n, b.p, b.n);
    buf_free(&b);
    buf_free(&again);
}

static inline void lk_step(struct lk *k, const struct line_event *ev);

static inline void lk_after(struct lk *k)
{
    uint64_t save = 0;
    char slot[LINE_LABEL_BYTES] = "";
    struct line_event ev = {.kind = LINE_EV_NONE};

    T_FALSE(k->fx.overflow);
    T_STR_EQ(line_broken(&k->l), NULL);
    for (unsigned i = 0; i < k->fx.n; i++)
        lk_note(k, &k->fx.v[i], &save, slot);
    if (k->text_every == 0 || ++k->steps % k->text_every == 0)
        lk_check_text(k);
    if (slot[0] != '\0' && !k->hold_slots) {
        ev.kind = LINE_EV_SLOT;
        ev.u.label = str_of(slot);
        lk_step(k, &ev);
    }
    if (save != 0 && !k->hold_saves) {
        ev.kind = LINE_EV_SAVED;
        ev.u.version = save;
        lk_step(k, &ev);
    }
}

static inline void lk_step(struct lk *k, const struct line_event *ev)
{
    char ref[LINE_REF_BYTES];
    enum line_phase before = k->l.phase;

    (void)snprintf(ref, sizeof ref, "%032x", 0xabc000 + ++k->refs);
    line_step(&k->l, ev, str_of(ref), lk_now(k), &k->fx);
    T_GE(k->l.phase, before);
    lk_after(k);
}

/* Time passes; timers fire when they are due. */
static inline void lk_wait(struct lk *k, uint64_t ms)
{
    uint64_t end = k->t + ms;

    for (unsigned spins = 0; spins < 3000; spins++) {
        uint64_t now = lk_now(k).wall_ms, at = k->l.timer_wall_ms;
        struct line_event ev = {.kind = LINE_EV_TIMER};

        if (at == 0 || at > now + (end - k->t)) {
            k->t = end;
            return;
        }
        if (at > now)
            k->t += at - now;
        lk_step(k, &ev);
    }
    T_FAIL("the line does not rest");
}

static inline struct line_settings lk_settings(void)
{
    struct line_settings set = {.can = LINE_CAN_SAY * 2 - 1, .outbound = true, .ring_ms = 30000, .queue_ms = 60000,
                                .max_ms = 1800000};

    (void)snprintf(set.model_uri, sizeof set.model_uri, "sip:proj_x@sip.example;transport=tls");
    (void)snprintf(set.own, sizeof set.own, "+15550009999");
    return set;
}

static inline void lk_dial(struct lk *k, const struct line_settings *set)
{
    memset(k, 0, sizeof *k);
    line_begin_dial(&k->l, set, STR("0123456789abcdef0123456789abcdef"), STR("+15551230000"), 0, lk_now(k), &k->fx);
    lk_after(k);
}

/* The next command that the test has not looked at; one of kind NONE when there is none. */
static inline struct lk_cmd *lk_next(struct lk *k)
{
    static struct lk_cmd none;

    memset(&none, 0, sizeof none);
    return k->seen < k->n_cmds ? &k->cmds[k->seen++] : &none;
}

/* The last one of that kind, to that label ("" any); NULL. */
static inline struct lk_cmd *lk_last(struct lk *k, enum line_cmd what, const char *label)
{
    for (unsigned i = k->n_cmds; i > 0; i--) {
        if (k->cmds[i - 1].what == what && (!*label || strcmp(k->cmds[i - 1].label, label) == 0))
            return &k->cmds[i - 1];
    }
    return NULL;
}

static inline unsigned lk_count(const struct lk *k, enum line_cmd what, const char *label)
{
    unsigned n = 0;

    for (unsigned i = 0; i < k->n_cmds; i++)
        n += k->cmds[i].what == what && (!*label || strcmp(k->cmds[i].label, label) == 0);
    return n;
}

static inline void lk_answer_full(struct lk *k, const struct lk_cmd *c, int status, bool sent, const char *sid,
                                  const char *code)
{
    struct line_event ev = {.kind = LINE_EV_DONE};

    T_MUST(c != NULL);
    if (c->what == LINE_CMD_CREATE || c->what == LINE_CMD_OFFER)
        ev.kind = LINE_EV_CREATED;
    ev.u.answer.cmd = c->n;
    ev.u.answer.http_status = status;
    ev.u.answer.maybe_sent = sent;
    ev.u.answer.sid = str_of(sid);
    ev.u.answer.code = str_of(code);
    lk_step(k, &ev);
}

static inline void lk_answer(struct lk *k, const struct lk_cmd *c, int status, const char *sid)
{
    lk_answer_full(k, c, status, status == 0, sid, "");
}

static inline void lk_status_sip(struct lk *k, const char *label, const char *sid, enum line_leg_status status,
                                 int64_t seq, int sip)
{
    struct line_event ev = {.kind = LINE_EV_STATUS};

    ev.u.status.label = str_of(label);
    ev.u.status.sid = str_of(sid);
    ev.u.status.ref = str_of(k->l.ref);
    ev.u.status.status = status;
    ev.u.status.seq = seq;
    ev.u.status.sip_code = sip;
    lk_step(k, &ev);
}

static inline void lk_status(struct lk *k, const char *label, const char *sid, enum line_leg_status status, int64_t seq)
{
    lk_status_sip(k, label, sid, status, seq, 0);
}

static inline void lk_found(struct lk *k, const struct line_seen_leg *legs, unsigned n)
{
    struct line_event ev = {.kind = LINE_EV_FOUND};
    struct lk_cmd *c = lk_last(k, LINE_CMD_LOOK_UP, "");

    T_MUST(c != NULL);
    ev.u.found.cmd = c->n;
    ev.u.found.http_status = 200;
    ev.u.found.room = STR("CF1");
    ev.u.found.legs = legs;
    ev.u.found.n_legs = n;
    lk_step(k, &ev);
}

static inline void lk_said_model(struct lk *k, enum line_ev what)
{
    struct line_event ev = {.kind = what};

    lk_step(k, &ev);
}

static inline void lk_room(struct lk *k, unsigned what, const char *label, const char *sid)
{
    struct line_event ev = {.kind = LINE_EV_ROOM};

    memcpy(&ev.u.room.what, &what, sizeof ev.u.room.what);
    ev.u.room.label = str_of(label);
    ev.u.room.sid = str_of(sid);
    ev.u.room.room = STR("CF1");
    lk_step(k, &ev);
}

static inline void lk_act(struct lk *k, const char *id, enum line_action_kind kind, const char *party, const char *text)
{
    struct line_event ev = {.kind = LINE_EV_ACTION};

    ev.u.action.kind = kind;
    (void)snprintf(ev.u.action.id, ID_BYTES, "%s", id);
    (void)snprintf(ev.u.action.party, LINE_LABEL_BYTES, "%s", party);
    (void)snprintf(ev.u.action.to, PHONE_BYTES, "+15557770000");
    (void)snprintf(ev.u.action.text, LINE_TEXT_BYTES, "%s", text);
    ev.u.action.warm = kind == ACT_TRANSFER && strcmp(text, "warm") == 0;
    ev.u.action.secret = strcmp(text, "secret") == 0;
    lk_step(k, &ev);
}

static inline void lk_digits(struct lk *k, const char *label, const char *action, const char *digits)
{
    struct line_event ev = {.kind = LINE_EV_DIGITS};

    ev.u.digits.label = str_of(label);
    ev.u.digits.action = str_of(action);
    ev.u.digits.digits = str_of(digits);
    lk_step(k, &ev);
}

/* How the action stands by what was told last; -1 never heard of. */
static inline int lk_state(const struct lk *k, const char *id)
{
    int state = -1;

    for (unsigned i = 0; i < k->n_said; i++) {
        if (strcmp(k->said[i].id, id) == 0)
            state = (int)k->said[i].state;
    }
    return state;
}

static inline const char *lk_error(const struct lk *k, const char *id)
{
    const char *error = "";

    for (unsigned i = 0; i < k->n_said; i++) {
        if (strcmp(k->said[i].id, id) == 0)
            error = k->said[i].error;
    }
    return error;
}

/* Answered, the model is there and speaks. */
static inline void lk_talk(struct lk *k, const struct line_settings *set)
{
    lk_dial(k, set);
    lk_answer(k, lk_last(k, LINE_CMD_CREATE, "caller"), 201, "CA1");
    lk_status(k, "caller", "CA1", LEG_SAYS_RINGING, 1);
    lk_wait(k, 2000);
    lk_status(k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    lk_answer(k, lk_last(k, LINE_CMD_CREATE, "model"), 201, "CA2");
    lk_status(k, "model", "CA2", LEG_SAYS_IN_PROGRESS, 1);
    lk_said_model(k, LINE_EV_MODEL_LIVE);
    lk_room(k, ROOM_JOIN, "caller", "CA1");
    lk_room(k, ROOM_JOIN, "model", "CA2");
}

/* Killed now (what is saved is saved); the next instance takes its first step `ms` later. */
static inline void lk_restart(struct lk *k, uint64_t ms)
{
    struct buf b;
    struct line_event ev = {.kind = LINE_EV_TIMER};

    buf_init(&b, LINE_DURABLE_BYTES);
    T_OK(line_write(&k->l, &b));
    T_OK(line_read(&k->l, buf_str(&b)));
    buf_free(&b);
    k->t += ms;
    lk_step(k, &ev);
}

/* The carrier did the last order of that kind. */
static inline void lk_ok(struct lk *k, enum line_cmd what, const char *label)
{
    lk_answer(k, lk_last(k, what, label), 200, "");
}

/* Dialled, and the carrier has made the leg. */
static inline void lk_dial_made(struct lk *k)
{
    struct line_settings set = lk_settings();

    lk_dial(k, &set);
    lk_answer(k, lk_last(k, LINE_CMD_CREATE, "caller"), 201, "CA1");
}

/* The carrier has ended each leg and room that it was told to end. */
static inline void lk_end_all(struct lk *k)
{
    for (unsigned i = 0; i < k->n_cmds; i++) {
        if (k->cmds[i].what == LINE_CMD_END_LEG || k->cmds[i].what == LINE_CMD_END_ROOM)
            lk_answer(k, &k->cmds[i], 200, "");
    }
}

#endif
