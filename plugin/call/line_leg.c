/* SPDX-License-Identifier: MIT */
/* Legs: asking for a slot, creating once, commanding, ending until they are known to be gone. */
#include "plugin/call/line_int.h"

#define MODEL_LOST_MS 3000u  /* a model leg that is not found by then is replaced */
#define STAY_TRIES 8u

bool leg_exists(const struct leg *leg)
{
    return leg->state != LEG_NONE && leg->state != LEG_GONE;
}

bool leg_unsent(const struct leg *leg)
{
    return leg->state == LEG_WANTED || (leg->state == LEG_CREATING && !leg->saved);
}

struct leg *leg_current(struct line *l, struct str label)
{
    struct leg *best = NULL;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (leg->state == LEG_NONE || !str_eq(leg_label(leg), label))
            continue;
        if (!best || (leg_exists(leg) && !leg->ended_by_us) ||
            (leg_exists(leg) && !leg_exists(best)))
            best = leg;
    }
    return best;
}

struct leg *leg_of_sid(struct line *l, struct str sid)
{
    for (unsigned i = 0; i < LINE_PARTIES && sid.n > 0; i++) {
        if (l->legs[i].state != LEG_NONE && str_eq(str_of(l->legs[i].sid), sid))
            return &l->legs[i];
    }
    return NULL;
}

void leg_forget(struct line *l, const struct leg *leg)
{
    const unsigned n = sizeof l->past / sizeof l->past[0];

    if (leg->sid[0] == '\0')
        return;
    l->next_past = (l->next_past + 1) % n;
    text_copy(l->past[l->next_past], LINE_SID_BYTES, str_of(leg->sid));
}

struct leg *leg_new(struct step *s, enum leg_role role, struct str label, struct str to)
{
    struct line *l = s->l;

    for (unsigned i = 1; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (leg_exists(leg))
            continue;
        leg_forget(l, leg);
        *leg = (struct leg){.state = LEG_WANTED, .role = role, .last_seq = -1, .since_wall_ms = s->t};
        text_copy(leg->label, sizeof leg->label, label);
        text_copy(leg->to, sizeof leg->to, to);
        line_changed(s);
        return leg;
    }
    return NULL;
}

void leg_enter(struct step *s, struct leg *leg, enum leg_state next)
{
    if (leg->state == next)
        return;
    leg->state = next;
    leg->since_wall_ms = s->t;
    if (next == LEG_GONE)
        leg->in_room = false;
    line_changed(s);
}

void leg_end(struct step *s, struct leg *leg)
{
    if (!leg_exists(leg) || leg->ended_by_us)
        return;
    leg->ended_by_us = true;
    leg->job.next_ms = 0;
    leg->job.fails = 0;
    if (leg_unsent(leg))
        leg_enter(s, leg, LEG_GONE);
    line_changed(s);
}

void leg_stray(struct step *s, struct str sid, struct str label)
{
    struct leg *x = &s->l->stray;

    if (sid.n == 0 || sid.n >= LINE_SID_BYTES)
        return;
    if (leg_exists(x)) {
        if (!str_eq(str_of(x->sid), sid))
            s->l->look_slow = true; /* seen again by a look-up */
        return;
    }
    *x = (struct leg){.state = LEG_UP, .role = ROLE_OTHER, .ended_by_us = true, .last_seq = -1};
    x->since_wall_ms = s->t;
    text_copy(x->sid, sizeof x->sid, sid);
    text_copy(x->label, sizeof x->label, label);
    line_hop(s, "stray_leg", leg_label(x));
    s->again = true;
}

/* ---- Creating ---- */

void legs_slot(struct step *s, struct str label)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (leg->state != LEG_WANTED || !leg->slot_asked || !str_eq(leg_label(leg), label))
            continue;
        leg->saved = false;
        leg->save_version = l->version + 1; /* the save that ends this step */
        leg->not_before_wall_ms = s->t;
        leg_enter(s, leg, LEG_CREATING);
        if (i == 0) {
            l->attempts++;
            if (l->phase == LINE_QUEUED)
                l->phase = LINE_DIALING;
        }
        return;
    }
}

void legs_saved(struct step *s, uint64_t version)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];
        struct line_action *a;
        struct line_fx *f;

        if (leg->state != LEG_CREATING || leg->saved || leg->save_version > version)
            continue;
        leg->saved = true;
        a = move_of(l, leg_label(leg));
        f = line_command(s, &leg->job, leg->offered ? LINE_CMD_OFFER : LINE_CMD_CREATE, leg);
        if (a) {
            f->u.command.action = str_of(a->id);
            f->u.command.text = str_of(leg->offered ? a->text : "");
        }
        line_hop(s, "create_sent", leg_label(leg));
        s->again = true;
    }
}

/* Nothing was done at the carrier: the same leg may be asked for again, later. */
static void back_to_wanted(struct step *s, struct leg *leg, const struct line_event *ev)
{
    unsigned tries = leg->tries < 5 ? leg->tries : 5;

    leg->job.n = 0;
    if (leg->state != LEG_CREATING)
        return; /* its callback says otherwise */
    if (leg == &s->l->legs[0])
        s->l->attempts--;
    leg->saved = false;
    leg->slot_asked = false;
    leg->tries++;
    leg->not_before_wall_ms = s->t + (1000u << tries);
    line_hop(s, "create_put_off", ev->u.answer.http_status == 429 ? STR("the carrier wants us to wait")
                                                                  : STR("no connection to the carrier"));
    leg_enter(s, leg, leg->ended_by_us ? LEG_GONE : LEG_WANTED);
}

struct refusal {
    const char *code;
    enum line_outcome outcome;
    const char *why;
};

static const struct refusal refusals[] = {
    {"21211", LINE_OUTCOME_INVALID, "the carrier says that this is no telephone number; check it"},
    {"21217", LINE_OUTCOME_INVALID, "the carrier says that this number does not exist; check it"},
    {"13224", LINE_OUTCOME_INVALID, "the carrier cannot dial this number; check it"},
    {"21214", LINE_OUTCOME_UNREACHABLE, "the carrier cannot reach this number; try later or another number"},
    {"21215", LINE_OUTCOME_GEO_BLOCKED, "calls to this country are off in the carrier's account: allow them there"},
    {"13227", LINE_OUTCOME_GEO_BLOCKED, "calls to this country are off in the carrier's account: allow them there"},
    {"21216", LINE_OUTCOME_REFUSED, "the carrier forbids calls to this number; ask its support"},
    {"13225", LINE_OUTCOME_REFUSED, "the carrier forbids calls to this number; ask its support"},
    {"21210", LINE_OUTCOME_REFUSED, "our number is not verified at the carrier: verify it there"},
    {"21219", LINE_OUTCOME_REFUSED, "a trial account calls verified numbers only: verify it or upgrade the account"},
    {"20003", LINE_OUTCOME_REFUSED, "the carrier does not accept our credentials: check account and token"}};

void legs_refusal(const struct line_event *ev, enum line_outcome *outcome, const char **why)
{
    *outcome = LINE_OUTCOME_FAILED;
    *why = NULL;
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (str_eqc(ev->u.answer.code, refusals[i].code)) {
            *outcome = refusals[i].outcome;
            *why = refusals[i].why;
            return;
        }
    }
    if (ev->u.answer.http_status == 401 || ev->u.answer.http_status == 403) {
        *outcome = LINE_OUTCOME_REFUSED;
        *why = "the carrier does not accept our credentials: check account and token";
    }
}

static void refused(struct step *s, struct leg *leg, const struct line_event *ev)
{
    struct line *l = s->l;
    enum line_outcome outcome;
    const char *why;
    struct str said = line_quote(s, ev->u.answer.message, 120), detail;

    legs_refusal(ev, &outcome, &why);
    detail = why ? str_of(why)
                 : line_say(s, "the carrier refused the call (HTTP %d, %.*s): %.*s", ev->u.answer.http_status,
                            STR_ARG(str_head(ev->u.answer.code, 20)), STR_ARG(said));
    line_hop(s, "create_refused", detail);
    leg->job.n = 0;
    if (leg->state != LEG_CREATING && leg->state != LEG_LOST)
        return;
    if (leg->role != ROLE_CALLER) {
        seen_gone(s, leg, LEG_SAYS_FAILED, 0, detail);
        return;
    }
    leg_enter(s, leg, LEG_GONE);
    text_copy(l->code, sizeof l->code, ev->u.answer.code);
    line_finish(s, outcome, detail);
}

static void lost(struct step *s, struct leg *leg)
{
    if (leg->state != LEG_CREATING)
        return;
    line_hop(s, "create_lost", leg_label(leg));
    leg_enter(s, leg, LEG_LOST);
    s->l->look_now = true;
}

/* The sid of the answer is the truth; what a callback had us take for it is an older leg of that label. */
static void other_sid(struct step *s, struct leg *leg)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *x = &l->legs[i];

        if (x == leg || x->state != LEG_LOST || x->sid[0] != '\0' || !str_eq(leg_label(x), leg_label(leg)))
            continue;
        text_copy(x->sid, sizeof x->sid, str_of(leg->sid));
        leg_enter(s, x, LEG_RINGING);
        return;
    }
    leg_stray(s, str_of(leg->sid), leg_label(leg));
}

static void created(struct step *s, struct leg *leg, const struct line_event *ev)
{
    struct line *l = s->l;
    struct str sid = ev->u.answer.sid;

    leg->job.n = 0;
    if (sid.n == 0 || sid.n >= LINE_SID_BYTES) {
        lost(s, leg);
        return;
    }
    if (leg->sid[0] != '\0' && !str_eq(str_of(leg->sid), sid)) {
        bool gone = leg->state == LEG_GONE && !leg->given_up;

        /* Somebody talks on the one that is up, or nobody is wanted any more: the other one is ended. */
        if (l->phase == LINE_OVER || (leg == &l->legs[0] && l->phase == LINE_ANSWERED)) {
            leg_stray(s, sid, leg_label(leg));
            line_changed(s);
            return;
        }
        other_sid(s, leg);
        if (leg->state == LEG_UP || gone)
            leg_enter(s, leg, LEG_RINGING);
        if (gone && leg != &l->legs[0])
            leg_end(s, leg); /* whoever waited for it does so no more */
        leg->last_seq = -1;
    }
    text_copy(leg->sid, sizeof leg->sid, sid);
    /* It lives after all, and meanwhile the line ends. */
    if (l->phase == LINE_ENDING)
        leg_end(s, leg);
    if (l->room[0] == '\0')
        text_copy(l->room, sizeof l->room, str_head(ev->u.answer.room, LINE_SID_BYTES - 1));
    if (leg->state == LEG_GONE && leg->given_up)
        leg_stray(s, sid, leg_label(leg));
    if (leg->state == LEG_CREATING || leg->state == LEG_LOST)
        leg_enter(s, leg, LEG_RINGING);
    line_hop(s, "created", leg_label(leg));
    line_changed(s);
}

bool leg_is_past(const struct line *l, struct str sid)
{
    for (unsigned i = 0; i < sizeof l->past / sizeof l->past[0]; i++) {
        if (str_eq(str_of(l->past[i]), sid))
            return true;
    }
    return false;
}

void legs_created(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    bool well = answered_well(ev->u.answer.http_status);

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (leg->job.n == 0 || leg->job.n != ev->u.answer.cmd ||
            (leg->job.what != LINE_CMD_CREATE && leg->job.what != LINE_CMD_OFFER))
            continue;
        if (well)
            created(s, leg, ev);
        else if (answered_nothing(ev))
            back_to_wanted(s, leg, ev);
        else if (answered_unknown(ev))
            lost(s, leg);
        else
            refused(s, leg, ev);
        s->again = true;
        return;
    }
    /* An answer that nobody waits for any more: what was made must not live. */
    if (well && !leg_of_sid(l, ev->u.answer.sid) && !leg_is_past(l, ev->u.answer.sid))
        leg_stray(s, ev->u.answer.sid, STR(""));
}

/* ---- Commands to legs ---- */

static void command(struct step *s, struct leg *leg, enum line_cmd what, const char *text)
{
    line_command(s, &leg->job, what, leg)->u.command.text = str_of(text);
}

static void end_run(struct step *s, struct leg *leg)
{
    struct line_job *job = &leg->job;

    if (leg->sid[0] == '\0' || (leg->state != LEG_RINGING && leg->state != LEG_UP))
        return;
    if (job->n != 0 && job->what == LINE_CMD_END_LEG && job_late(s, job))
        job_failed(s, job);
    if (job->n != 0 && job->what != LINE_CMD_END_LEG)
        job->n = 0; /* whatever that was: it is of no interest now */
    if (job_free(s, job))
        command(s, leg, LINE_CMD_END_LEG, "");
}

static bool differs(const struct leg *leg, bool told, bool wanted, unsigned unsure)
{
    return told != wanted || (leg->unsure & unsure) != 0;
}

/* Until it is answered the carrier may be in either state, also for the instance after us. */
static void order(struct step *s, struct leg *leg, enum line_cmd what, const char *text, unsigned unsure)
{
    if (!job_free(s, &leg->job))
        return;
    leg->unsure |= unsure;
    s->l->dirty = true;
    command(s, leg, what, text);
}

/* Wanted and told differ: one command at a time makes them the same. */
static void want_run(struct step *s, struct leg *leg)
{
    struct line *l = s->l;
    struct line_job *job = &leg->job;

    if (leg->state != LEG_UP || leg->sid[0] == '\0' || l->restored || l->apologising)
        return;
    if (job_late(s, job))
        job_failed(s, job);
    if (job->n != 0)
        return; /* a create may still be unanswered although its leg is here */
    if (leg->role == ROLE_CALLER && differs(leg, leg->held, l->hold_want, LEG_UNSURE_HOLD)) {
        if (l->hold_want || l->leave_legs || l->model_live || due(s, l->resume_wall_ms))
            order(s, leg, l->hold_want ? LINE_CMD_HOLD : LINE_CMD_UNHOLD, "", LEG_UNSURE_HOLD);
    } else if (differs(leg, leg->muted, leg->mute_want, LEG_UNSURE_MUTE)) {
        order(s, leg, leg->mute_want ? LINE_CMD_MUTE : LINE_CMD_UNMUTE, "", LEG_UNSURE_MUTE);
    } else if (differs(leg, leg->ends_room, leg->ends_want, LEG_UNSURE_STAY)) {
        order(s, leg, LINE_CMD_STAY, leg->ends_want ? "end" : "", LEG_UNSURE_STAY);
        leg->job.on = leg->ends_want;
    }
}

static void wait_run(struct step *s, struct leg *leg)
{
    struct line *l = s->l;
    uint64_t from = leg == &l->legs[0] ? l->due_wall_ms - (uint64_t)l->skew_ms : 1;
    bool now_ = due(s, from < leg->not_before_wall_ms ? leg->not_before_wall_ms : from);

    if (!now_ || leg->slot_asked)
        return;
    leg->slot_asked = true;
    line_fx(s, LINE_FX_SLOT)->u.slot.leg = leg;
    s->fx->v[s->fx->n - 1].u.slot.dial = leg->role == ROLE_CALLER;
}

/* Never found, and nobody rang us about it. */
static void give_up(struct step *s, struct leg *leg)
{
    leg->given_up = true;
    if (leg->role != ROLE_CALLER) {
        seen_gone(s, leg, LEG_SAYS_FAILED, 0, STR("the carrier never said whether it took the call"));
        return;
    }
    leg_enter(s, leg, LEG_GONE);
    line_finish(s, LINE_OUTCOME_UNCONFIRMED,
                STR("the carrier never said whether it took the call; it is not dialled again"));
}

static void leg_run(struct step *s, struct leg *leg)
{
    struct line *l = s->l;

    switch (leg->state) {
    case LEG_WANTED: wait_run(s, leg); break;
    case LEG_CREATING:
        if (leg->saved && job_late(s, &leg->job))
            lost(s, leg);
        break;
    case LEG_LOST:
        if (due(s, leg->since_wall_ms + LOST_MS))
            give_up(s, leg);
        else if (leg->role == ROLE_MODEL && !l->model_live && !l->restored && !leg->ended_by_us &&
                 due(s, leg->since_wall_ms + MODEL_LOST_MS) && l->model_tries < 2)
            leg_end(s, leg);
        break;
    case LEG_RINGING:
    case LEG_UP:
        if (leg->ended_by_us)
            end_run(s, leg);
        else
            want_run(s, leg);
        break;
    case LEG_NONE:
    case LEG_GONE: break;
    }
}

void legs_run(struct step *s)
{
    struct line *l = s->l;

    if (l->phase != LINE_OVER) {
        for (unsigned i = 0; i < LINE_PARTIES; i++)
            leg_run(s, &l->legs[i]);
    }
    if (leg_exists(&l->stray)) {
        end_run(s, &l->stray);
        if (due(s, l->stray.since_wall_ms + LOST_MS))
            l->stray.state = LEG_NONE;
    }
}

/* ---- Their answers ---- */

static void ended(struct step *s, struct leg *leg, const struct line_event *ev)
{
    int status = ev->u.answer.http_status;

    if (answered_well(status) || status == 404 || status == 410 || str_eqc(ev->u.answer.code, "21220")) {
        leg->job.n = 0;
        if (leg == &s->l->stray)
            *leg = (struct leg){.state = LEG_NONE, .last_seq = -1};
        else
            seen_gone(s, leg, LEG_SAYS_COMPLETED, 0, STR("ended"));
        s->again = true;
        return;
    }
    job_failed(s, &leg->job);
}

static unsigned unsure_of(unsigned what)
{
    return what == LINE_CMD_HOLD || what == LINE_CMD_UNHOLD ? LEG_UNSURE_HOLD
           : what == LINE_CMD_STAY ? LEG_UNSURE_STAY : LEG_UNSURE_MUTE;
}

static void wanted_done(struct step *s, struct leg *leg)
{
    leg->unsure &= ~unsure_of(leg->job.what);
    switch (leg->job.what) {
    case LINE_CMD_HOLD: hold_done(s, true); break;
    case LINE_CMD_UNHOLD: hold_done(s, false); break;
    case LINE_CMD_MUTE: leg->muted = true; break;
    case LINE_CMD_UNMUTE: leg->muted = false; break;
    case LINE_CMD_STAY: leg->ends_room = leg->job.on; break;
    default: break;
    }
    leg->job.fails = 0;
    leg->job.next_ms = 0;
    line_changed(s);
}

static void wanted_failed(struct step *s, struct leg *leg, const struct line_event *ev)
{
    struct str said = line_quote(s, ev->u.answer.message, 100);
    bool definite = !answered_nothing(ev) && !answered_unknown(ev);

    job_failed(s, &leg->job);
    line_hop(s, "command_failed", line_say(s, "%s: HTTP %d %.*s", leg->label, ev->u.answer.http_status,
                                           STR_ARG(said)));
    if (!definite)
        return;
    leg->unsure &= ~unsure_of(leg->job.what); /* an earlier one may have been lost: but this says that it cannot be */
    if (ev->u.answer.http_status == 404)
        s->l->look_now = true;
    switch (leg->job.what) { /* what cannot be is not wanted any more; its action says so */
    case LINE_CMD_HOLD: hold_resume(s); break;
    case LINE_CMD_MUTE:
    case LINE_CMD_UNMUTE: leg->mute_want = leg->muted; break;
    case LINE_CMD_STAY:
        if (leg->job.fails >= STAY_TRIES)
            leg->ends_want = leg->ends_room;
        break;
    default: break;
    }
    line_changed(s);
}

bool legs_done(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;

    for (unsigned i = 0; i <= LINE_PARTIES; i++) {
        struct leg *leg = i < LINE_PARTIES ? &l->legs[i] : &l->stray;

        if (leg->job.n == 0 || leg->job.n != ev->u.answer.cmd)
            continue;
        if (leg->job.what == LINE_CMD_CREATE || leg->job.what == LINE_CMD_OFFER)
            return false;
        if (leg->job.what == LINE_CMD_END_LEG) {
            ended(s, leg, ev);
        } else if (answered_well(ev->u.answer.http_status)) {
            leg->job.n = 0;
            wanted_done(s, leg);
        } else {
            wanted_failed(s, leg, ev);
        }
        return true;
    }
    return false;
}
