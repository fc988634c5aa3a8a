/* SPDX-License-Identifier: MIT */
/* What the carrier says of legs: status callbacks, the room's callbacks, look-ups. */
#include "plugin/call/line_int.h"

#define RETRY_PAUSE_MS 60000u
#define ABSENT_MS 2000u    /* a leg that came up while we asked may be missing in the answer */
#define LOOK_LOST_MS 2000u
#define LOOK_RING_MS 10000u
#define LOOK_TALK_MS 60000u

static bool is_live(enum line_leg_status status)
{
    return status == LEG_SAYS_QUEUED || status == LEG_SAYS_RINGING || status == LEG_SAYS_IN_PROGRESS;
}

/* ---- The caller's leg came to its end ---- */

struct cause {
    int sip_code;
    enum line_outcome outcome;
    const char *why;
};

static const struct cause causes[] = {
    {404, LINE_OUTCOME_INVALID, "there is no such number; check it"},
    {410, LINE_OUTCOME_INVALID, "this number is no longer in use"},
    {484, LINE_OUTCOME_INVALID, "the number is not complete; check it"},
    {604, LINE_OUTCOME_INVALID, "there is no such number; check it"},
    {480, LINE_OUTCOME_UNREACHABLE, "the telephone is off or cannot be reached; try later"},
    {502, LINE_OUTCOME_UNREACHABLE, "the network there cannot be reached; try later"},
    {503, LINE_OUTCOME_UNREACHABLE, "the network there cannot take the call; try later"},
    {408, LINE_OUTCOME_NO_ANSWER, "nobody answered"},
    {486, LINE_OUTCOME_BUSY, "the line is busy"},
    {600, LINE_OUTCOME_BUSY, "the line is busy"},
    {403, LINE_OUTCOME_REJECTED, "the call was rejected by the other side"},
    {603, LINE_OUTCOME_REJECTED, "the call was declined"},
    {607, LINE_OUTCOME_REJECTED, "the call was declined as unwanted"},
    {608, LINE_OUTCOME_REJECTED, "the call was rejected by a filter on the way"}};

static enum line_outcome outcome_of(enum line_leg_status status, int sip_code, const char **why)
{
    if (status == LEG_SAYS_BUSY || status == LEG_SAYS_FAILED) {
        for (unsigned i = 0; i < sizeof causes / sizeof causes[0]; i++) {
            if (causes[i].sip_code == sip_code && (status == LEG_SAYS_FAILED || sip_code >= 603)) {
                *why = causes[i].why;
                return causes[i].outcome;
            }
        }
    }
    switch (status) {
    case LEG_SAYS_BUSY: *why = "the line is busy"; return LINE_OUTCOME_BUSY;
    case LEG_SAYS_NO_ANSWER: *why = "nobody answered"; return LINE_OUTCOME_NO_ANSWER;
    case LEG_SAYS_CANCELED: *why = "the call was canceled while it rang"; return LINE_OUTCOME_CANCELED;
    case LEG_SAYS_COMPLETED:
        *why = "it was answered and ended before we heard of the answer";
        return LINE_OUTCOME_FAILED;
    default: *why = "the carrier could not complete the call"; return LINE_OUTCOME_FAILED;
    }
}

/* A new dial of the caller: the last one is proven to be over. */
static void dial_again(struct step *s, struct leg *c)
{
    struct line *l = s->l;
    uint64_t at = s->t + (uint64_t)RETRY_PAUSE_MS * l->attempts;

    leg_forget(l, c);
    c->sid[0] = '\0';
    c->saved = c->slot_asked = c->in_room = false;
    c->last_seq = -1;
    c->tries = 0;
    c->not_before_wall_ms = at;
    c->job = (struct line_job){.n = 0};
    l->due_wall_ms = at + (uint64_t)l->skew_ms;
    leg_enter(s, c, LEG_WANTED);
    line_hop(s, "dial_again", line_say(s, "attempt %u follows", l->attempts + 1));
}

static void caller_failed(struct step *s, struct leg *c, enum line_leg_status status, int sip_code)
{
    struct line *l = s->l;
    const char *why;
    enum line_outcome outcome = outcome_of(status, sip_code, &why);

    if (status == LEG_SAYS_COMPLETED && l->restored) {
        outcome = LINE_OUTCOME_INTERRUPTED;
        why = "it was answered and ended while we were away";
    }
    if ((outcome == LINE_OUTCOME_BUSY || outcome == LINE_OUTCOME_NO_ANSWER) && l->attempts <= l->set.retries) {
        dial_again(s, c);
        return;
    }
    if (sip_code > 0)
        text_copy(l->code, sizeof l->code, line_say(s, "SIP %d", sip_code));
    line_finish(s, outcome, str_of(why));
}

static void caller_gone(struct step *s, struct leg *c, enum line_leg_status status, int sip_code)
{
    struct line *l = s->l;

    switch (l->phase) {
    case LINE_QUEUED:
    case LINE_DIALING:
    case LINE_RINGING: caller_failed(s, c, status, sip_code); break;
    case LINE_ANSWERED:
        line_finish(s, l->voicemail ? LINE_OUTCOME_VOICEMAIL : LINE_OUTCOME_ANSWERED, STR(""));
        break;
    case LINE_ENDING:
        l->apologising = false;
        if (l->leave_legs)
            move_left_alone(s);
        break;
    case LINE_OVER:
    case LINE_PHASES: break;
    }
}

void seen_gone(struct step *s, struct leg *leg, enum line_leg_status status, int sip_code, struct str why)
{
    struct line *l = s->l;

    if (!leg_exists(leg))
        return;
    leg_enter(s, leg, LEG_GONE);
    line_hop(s, "leg_gone", line_say(s, "%s: %.*s", leg->label, STR_ARG(str_head(why, 180))));
    if (leg->role == ROLE_CALLER) {
        caller_gone(s, leg, status, sip_code);
    } else if (leg->role == ROLE_OTHER) {
        move_leg_gone(s, leg, why);
        if (l->phase == LINE_ENDING && l->leave_legs)
            move_left_alone(s);
    } else if (!leg->ended_by_us) {
        model_leg_gone(s, why);
    }
}

/* ---- A leg's status ---- */

static void caller_up(struct step *s, int64_t up_s, uint64_t ringing_since)
{
    struct line *l = s->l;

    if (l->phase >= LINE_ANSWERED)
        return;
    l->phase = LINE_ANSWERED;
    l->answered_wall_ms = s->t;
    if (up_s > 0)
        l->answered_wall_ms = s->t - (uint64_t)up_s * 1000;
    else if (up_s < 0 && l->restored) /* at some time since then */
        l->answered_wall_ms = ringing_since;
    model_answered(s);
}

static void leg_up(struct step *s, struct leg *leg, int64_t up_s)
{
    uint64_t since = leg->since_wall_ms;

    if (leg->state == LEG_UP)
        return;
    if (leg == &s->l->legs[0] && leg->not_before_wall_ms > since)
        since = leg->not_before_wall_ms;
    leg_enter(s, leg, LEG_UP);
    line_hop(s, "leg_up", leg_label(leg));
    if (leg->role == ROLE_CALLER && !leg->ended_by_us)
        caller_up(s, up_s, since);
}

/* by_callback: it happened now; else it was so at some time. */
static void leg_says(struct step *s, struct leg *leg, enum line_leg_status status, int sip_code, int64_t up_s)
{
    struct line *l = s->l;

    switch (status) {
    case LEG_SAYS_QUEUED:
    case LEG_SAYS_RINGING:
        if (leg->state == LEG_CREATING || leg->state == LEG_LOST)
            leg_enter(s, leg, LEG_RINGING);
        if (leg == &l->legs[0] && status == LEG_SAYS_RINGING && leg->state == LEG_RINGING && l->phase == LINE_DIALING) {
            l->phase = LINE_RINGING;
            line_notify(s, "call.ringing");
            line_changed(s);
        }
        break;
    case LEG_SAYS_IN_PROGRESS: leg_up(s, leg, up_s); break;
    case LEG_SAYS_COMPLETED: seen_gone(s, leg, status, sip_code, STR("completed")); break;
    case LEG_SAYS_BUSY: seen_gone(s, leg, status, sip_code, STR("busy")); break;
    case LEG_SAYS_NO_ANSWER: seen_gone(s, leg, status, sip_code, STR("no answer")); break;
    case LEG_SAYS_CANCELED: seen_gone(s, leg, status, sip_code, STR("canceled")); break;
    case LEG_SAYS_FAILED: seen_gone(s, leg, status, sip_code, STR("failed")); break;
    }
}

/* ---- Whose leg is it? ---- */

static bool may_adopt(const struct line *l, const struct leg *leg, bool live)
{
    if (leg->sid[0] != '\0')
        return false;
    if (leg->state == LEG_LOST)
        return true;
    if (leg->state != LEG_CREATING || !leg->saved)
        return false;
    /* An end that comes before the create's answer may be that of the model leg before. */
    return live || leg->role != ROLE_MODEL || l->model_tries < 2;
}

/* A leg of that label whose sid is not known. Ends belong to what is being ended, signs of life to what is wanted. */
static struct leg *adopter(struct line *l, struct str label, bool live)
{
    struct leg *best = NULL;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (!str_eq(leg_label(leg), label) || !may_adopt(l, leg, live))
            continue;
        if (!best || leg->ended_by_us != live)
            best = leg;
    }
    return best;
}

static struct leg *leg_for(struct step *s, struct str label, struct str sid, bool live)
{
    struct line *l = s->l;
    struct leg *leg = leg_of_sid(l, sid);

    if (leg || sid.n == 0 || sid.n >= LINE_SID_BYTES || leg_is_past(l, sid))
        return leg;
    if (leg_exists(&l->stray) && str_eq(str_of(l->stray.sid), sid))
        return NULL;
    leg = adopter(l, label, live);
    if (leg) {
        text_copy(leg->sid, sizeof leg->sid, sid);
        line_hop(s, "leg_adopted", label);
        line_changed(s);
    }
    return leg;
}

static void stray_says(struct step *s, struct str sid, struct str label, bool live)
{
    struct leg *x = &s->l->stray;

    if (live)
        leg_stray(s, sid, label);
    else if (leg_exists(x) && str_eq(str_of(x->sid), sid))
        *x = (struct leg){.state = LEG_NONE, .last_seq = -1};
}

void seen_status(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    bool live = is_live(ev->u.status.status);
    struct str sid = ev->u.status.sid;
    struct leg *leg;

    if (l->direct || (ev->u.status.ref.n > 0 && !str_eqc(ev->u.status.ref, l->ref)))
        return;
    leg = leg_for(s, ev->u.status.label, sid, live);
    if (!leg) {
        stray_says(s, sid, ev->u.status.label, live);
        return;
    }
    if (ev->u.status.seq >= 0) {
        if (ev->u.status.seq <= leg->last_seq)
            return;
        leg->last_seq = ev->u.status.seq;
    }
    if (leg->state == LEG_GONE) {
        if (leg->given_up)
            stray_says(s, sid, leg_label(leg), live);
        return;
    }
    leg_says(s, leg, ev->u.status.status, ev->u.status.sip_code, 0);
}

bool line_stray(const struct line_event *ev, struct leg *out)
{
    struct str sid = ev->u.status.sid;

    *out = (struct leg){.state = LEG_UP, .role = ROLE_OTHER, .ended_by_us = true, .last_seq = -1};
    text_copy(out->sid, sizeof out->sid, sid);
    text_copy(out->label, sizeof out->label, ev->u.status.label);
    return ev->kind == LINE_EV_STATUS && is_live(ev->u.status.status) && sid.n > 0 && sid.n < LINE_SID_BYTES;
}

/* ---- The room ---- */

void seen_room(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    struct leg *leg = leg_for(s, ev->u.room.label, ev->u.room.sid, ev->u.room.what == ROOM_JOIN);

    if (l->direct)
        return;
    if (l->room[0] == '\0' && ev->u.room.room.n > 0) {
        text_copy(l->room, sizeof l->room, ev->u.room.room);
        line_changed(s);
    }
    switch (ev->u.room.what) {
    case ROOM_JOIN:
        if (leg && leg_exists(leg) && !leg->in_room) {
            leg->in_room = true; /* proves nothing about an answer: early media joins, too */
            line_changed(s);
        }
        break;
    case ROOM_LEAVE:
        if (leg && leg->in_room) {
            leg->in_room = false; /* may come back: its status says when it is gone */
            line_changed(s);
        }
        break;
    case ROOM_END:
        if (l->phase == LINE_ANSWERED)
            l->look_now = true;
        break;
    default: break;
    }
}

/* ---- Look-ups ---- */

static void found_leg(struct step *s, const struct line_seen_leg *f)
{
    bool live = is_live(f->status);
    struct leg *leg = leg_for(s, f->label, f->sid, live);

    if (!leg || (leg->state == LEG_GONE && leg->given_up)) {
        stray_says(s, f->sid, f->label, live);
        return;
    }
    if (leg->state == LEG_GONE)
        return;
    if (leg->in_room != (f->in_room && live)) {
        leg->in_room = f->in_room && live;
        line_changed(s);
    }
    leg_says(s, leg, f->status, 0, f->up_s);
}

static bool is_found(const struct line_event *ev, const struct leg *leg)
{
    for (unsigned i = 0; i < ev->u.found.n_legs; i++) {
        if (str_eqc(ev->u.found.legs[i].sid, leg->sid))
            return true;
    }
    return false;
}

static void found_absent(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (leg->sid[0] == '\0' || (leg->state != LEG_RINGING && leg->state != LEG_UP) || is_found(ev, leg))
            continue;
        if (l->restored_wall_ms == 0 && leg->since_wall_ms + ABSENT_MS > l->looked_wall_ms)
            continue;
        if (leg->since_wall_ms > l->looked_wall_ms)
            continue;
        seen_gone(s, leg, LEG_SAYS_COMPLETED, 0, STR("the carrier knows it no more"));
    }
}

void seen_found(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;

    if (l->look.n == 0 || l->look.n != ev->u.found.cmd)
        return;
    if (ev->u.found.http_status != 200) {
        l->look_now = true;
        job_failed(s, &l->look);
        return;
    }
    l->look = (struct line_job){.n = 0};
    l->look_now = l->look_slow = false;
    if (l->room[0] == '\0')
        text_copy(l->room, sizeof l->room, str_head(ev->u.found.room, LINE_SID_BYTES - 1));
    for (unsigned i = 0; i < ev->u.found.n_legs; i++)
        found_leg(s, &ev->u.found.legs[i]);
    found_absent(s, ev);
    rec_found(s, ev->u.found.recording);
    if (l->restored) {
        l->restored = false;
        model_recover(s);
    }
    if (l->model_check && l->legs[0].state == LEG_UP)
        l->model_check = false;
    s->again = true;
}

static uint32_t shorter(uint32_t a, uint32_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint32_t look_every_ms(struct step *s)
{
    struct line *l = s->l;
    uint32_t every = l->restored || l->look_slow || l->model_check ? LOOK_LOST_MS : 0;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        const struct leg *leg = &l->legs[i];

        if (leg->state == LEG_LOST && !leg->offered)
            every = shorter(every, LOOK_LOST_MS);
    }
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        if (act_open(&l->actions[i]) && l->actions[i].accepted)
            every = shorter(every, LOOK_LOST_MS);
    }
    /* Nobody calls us back about the leg of a caller who is being told: it left the room. */
    if (l->phase == LINE_ENDING && (l->apologising || due(s, l->ended_wall_ms + ENDING_MS)))
        every = shorter(every, LOOK_LOST_MS);
    if (l->phase < LINE_ANSWERED && l->legs[0].state == LEG_RINGING)
        every = shorter(every, LOOK_RING_MS);
    if (l->phase == LINE_ANSWERED)
        every = shorter(every, LOOK_TALK_MS);
    return every;
}

void seen_run(struct step *s)
{
    struct line *l = s->l;
    uint32_t every;
    uint64_t from = l->looked_wall_ms > l->legs[0].since_wall_ms ? l->looked_wall_ms : l->legs[0].since_wall_ms;

    if (l->direct || l->phase == LINE_OVER)
        return;
    if (job_late(s, &l->look))
        job_failed(s, &l->look);
    every = look_every_ms(s);
    if (!l->look_now && (every == 0 || !due(s, from + every)))
        return;
    if (!job_free(s, &l->look))
        return;
    (void)line_command(s, &l->look, LINE_CMD_LOOK_UP, NULL);
    l->look_now = false;
    l->looked_wall_ms = s->t;
}
