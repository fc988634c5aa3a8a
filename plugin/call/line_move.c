/* SPDX-License-Identifier: MIT */
/* Who comes and who goes: transfer to another human, inviting and removing a party. */
#include "plugin/call/line_int.h"

#define HOLD_FIRST_MS 10000u
#define ACCEPT_MS 20000u
#define JOIN_MS 10000u

enum { MOVE_START = 0, MOVE_HOLDING, MOVE_CALLING, MOVE_ASKING, MOVE_JOINING };

struct line_action *move_of(struct line *l, struct str label)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        struct line_action *a = &l->actions[i];

        if (act_open(a) && (a->kind == ACT_TRANSFER || a->kind == ACT_INVITE) && a->step >= MOVE_CALLING &&
            str_eqc(label, a->party))
            return a;
    }
    return NULL;
}

static bool is_free(struct line *l, struct str label)
{
    struct leg *leg = leg_current(l, label);

    return label.n > 0 && !str_eqc(label, "caller") && !str_eqc(label, "model") && (!leg || !leg_exists(leg));
}

static void enter_step(struct step *s, struct line_action *a, unsigned step)
{
    a->step = step;
    a->since_wall_ms = s->t;
    line_changed(s);
}

void move_abort(struct step *s, struct line_action *a, const char *why)
{
    struct line *l = s->l;
    struct leg *leg = leg_current(l, str_of(a->party));

    if (leg && leg->role == ROLE_OTHER && a->step >= MOVE_CALLING)
        leg_end(s, leg);
    if (l->phase == LINE_ANSWERED) {
        line_tell(s, TELL_NEWS, line_say(s, "%s could not be brought into the call: %s. The caller is still here.",
                                         a->party, why));
        if (a->holds)
            hold_resume(s);
    }
    act_over(s, a, ACTION_FAILED, why);
}

static void call_target(struct step *s, struct line_action *a)
{
    unsigned others = 0;
    struct leg *leg = NULL;

    for (unsigned i = 1; i < LINE_PARTIES; i++)
        others += leg_exists(&s->l->legs[i]) && s->l->legs[i].role == ROLE_OTHER;
    if (!is_free(s->l, str_of(a->party))) {
        move_abort(s, a, "they are in the call already");
        return;
    }
    if (others < LINE_PARTIES - 3) /* there must be room for the model's leg, and one that comes after it */
        leg = leg_new(s, ROLE_OTHER, str_of(a->party), str_of(a->to));
    if (!leg) {
        move_abort(s, a, "too many are in the call");
        return;
    }
    leg->offered = a->warm;
    enter_step(s, a, MOVE_CALLING);
}

/* ---- Handing over ---- */

static void handed_over(struct step *s, struct line_action *a, struct leg *target)
{
    struct line *l = s->l;
    struct leg *caller = &l->legs[0];

    l->leave_legs = true;
    l->hold_want = false;
    l->resume_wall_ms = s->t;
    l->record_stop = true;
    caller->ends_want = target->ends_want = true; /* said of both, whatever they were told before */
    caller->ends_room = target->ends_room = false;
    line_tell(s, TELL_TRANSFERRED, STR(""));
    line_notify(s, "call.transferred");
    act_over(s, a, ACTION_DONE, "");
    line_finish(s, LINE_OUTCOME_TRANSFERRED, line_say(s, "handed over to %s", a->party));
}

/* The room ends by itself as soon as one of two leaves; we make sure of it. */
void move_left_alone(struct step *s)
{
    struct line *l = s->l;
    unsigned humans = 0;

    for (unsigned i = 0; i < LINE_PARTIES; i++)
        humans += l->legs[i].role != ROLE_MODEL && leg_exists(&l->legs[i]) && !l->legs[i].ended_by_us;
    if (humans > 1)
        return;
    l->leave_legs = false;
    for (unsigned i = 0; i < LINE_PARTIES; i++)
        leg_end(s, &l->legs[i]);
    line_changed(s);
}

static void transfer_start(struct step *s, struct line_action *a)
{
    struct line *l = s->l;

    if (!is_free(l, str_of(a->party)) || a->to[0] == '\0') {
        act_over(s, a, ACTION_FAILED, "this party is in the call already, or has no number");
    } else if (!a->warm) {
        call_target(s, a);
    } else {
        a->holds = !l->hold_want;
        l->hold_want = true;
        enter_step(s, a, MOVE_HOLDING);
    }
}

static void target_up(struct step *s, struct line_action *a, struct leg *leg)
{
    if (a->kind == ACT_TRANSFER && a->warm) {
        enter_step(s, a, MOVE_ASKING);
        a->deadline_wall_ms = s->t + ACCEPT_MS + JOIN_MS + 5000;
    } else if (a->kind == ACT_TRANSFER) {
        handed_over(s, a, leg);
    } else {
        act_over(s, a, ACTION_DONE, "");
        line_tell(s, TELL_NEWS, line_say(s, "%s has joined the call.", a->party));
        rec_newcomer(s, str_of(a->party));
    }
}

static void transfer_run(struct step *s, struct line_action *a)
{
    struct line *l = s->l;
    struct leg *leg = leg_current(l, str_of(a->party));

    if (a->step >= MOVE_CALLING && (!leg || !leg_exists(leg) || leg->ended_by_us)) {
        move_abort(s, a, "the call to them ended");
        return;
    }
    switch (a->step) {
    case MOVE_START: transfer_start(s, a); break;
    case MOVE_HOLDING:
        if (l->held)
            call_target(s, a);
        else if (!l->hold_want || due(s, a->since_wall_ms + HOLD_FIRST_MS))
            move_abort(s, a, "the caller could not be put on hold");
        break;
    case MOVE_CALLING:
        if (leg->state == LEG_UP)
            target_up(s, a, leg);
        break;
    case MOVE_ASKING:
        if (due(s, a->since_wall_ms + ACCEPT_MS))
            move_abort(s, a, "they did not accept");
        break;
    case MOVE_JOINING:
        if (leg->state == LEG_UP && leg->in_room)
            handed_over(s, a, leg);
        else if (due(s, a->since_wall_ms + JOIN_MS))
            move_abort(s, a, "they accepted but did not come into the call");
        break;
    default: break;
    }
}

bool line_accepts(const struct line *l, struct str action, struct str digits)
{
    if (l->phase != LINE_ANSWERED || !str_eqc(digits, "1"))
        return false;
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        const struct line_action *a = &l->actions[i];

        if (act_open(a) && a->kind == ACT_TRANSFER && a->warm && str_eqc(action, a->id))
            return a->step >= MOVE_CALLING;
    }
    return false;
}

void move_digits(struct step *s, struct line_action *a, struct str digits)
{
    struct leg *leg = leg_current(s->l, str_of(a->party));

    if (a->step < MOVE_CALLING || a->step == MOVE_JOINING)
        return;
    if (!line_accepts(s->l, str_of(a->id), digits) || !leg || !leg_exists(leg) || leg->ended_by_us) {
        move_abort(s, a, "they did not accept");
        return;
    }
    if (leg->sid[0] != '\0') /* who presses keys has answered, whatever became of that callback */
        leg_enter(s, leg, LEG_UP);
    a->accepted = true;
    a->deadline_wall_ms = s->t + JOIN_MS + 5000;
    enter_step(s, a, MOVE_JOINING);
}

/* ---- Others ---- */

static bool other_human(const struct line *l)
{
    for (unsigned i = 1; i < LINE_PARTIES; i++) {
        if (l->legs[i].role == ROLE_OTHER && l->legs[i].state == LEG_UP && !l->legs[i].ended_by_us)
            return true;
    }
    return false;
}

void move_leg_gone(struct step *s, struct leg *leg, struct str why)
{
    struct line *l = s->l;
    struct line_action *a = leg->ended_by_us ? NULL : move_of(l, leg_label(leg));
    struct str text = line_say(s, "%.*s", STR_ARG(str_head(why, 150)));

    if (a)
        move_abort(s, a, text.n > 0 ? text.p : "they did not take the call");
    else if (!leg->ended_by_us && l->phase == LINE_ANSWERED)
        line_tell(s, TELL_NEWS, line_say(s, "%s has left the call.", leg->label));
    if (!l->hold_want && !other_human(l))
        model_back(s); /* it was removed while humans talked: nobody else is left */
}

static void invite_run(struct step *s, struct line_action *a)
{
    struct leg *leg = leg_current(s->l, str_of(a->party));

    if (a->step == MOVE_START) {
        if (!is_free(s->l, str_of(a->party)) || a->to[0] == '\0')
            act_over(s, a, ACTION_FAILED, "this party is in the call already, or has no number");
        else
            call_target(s, a);
    } else if (!leg || !leg_exists(leg) || leg->ended_by_us) {
        move_abort(s, a, "the call to them ended");
    } else if (leg->state == LEG_UP) {
        target_up(s, a, leg);
    }
}

static void remove_start(struct step *s, struct line_action *a)
{
    struct line *l = s->l;
    struct leg *leg = leg_current(l, str_of(a->party));

    if (a->party[0] == '\0' || str_eqc(str_of(a->party), "caller")) {
        enter_step(s, a, MOVE_CALLING);
        line_finish(s, LINE_OUTCOME_ANSWERED, STR("the caller was removed"));
    } else if (!leg || !leg_exists(leg)) {
        act_over(s, a, ACTION_DONE, "");
    } else if (leg->role == ROLE_MODEL && !other_human(l)) {
        act_over(s, a, ACTION_FAILED, "nobody would be left to talk to");
    } else {
        enter_step(s, a, MOVE_CALLING);
        if (leg->role == ROLE_MODEL)
            model_drop(s);
        else
            leg_end(s, leg);
    }
}

void move_run(struct step *s, struct line_action *a)
{
    struct leg *leg;

    if (a->kind == ACT_TRANSFER) {
        transfer_run(s, a);
    } else if (a->kind == ACT_INVITE) {
        invite_run(s, a);
    } else if (a->step == MOVE_START) {
        remove_start(s, a);
    } else {
        leg = leg_current(s->l, str_of(a->party));
        if (!leg || !leg_exists(leg))
            act_over(s, a, ACTION_DONE, "");
    }
}

bool move_refer_gone(struct step *s)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        struct line_action *a = &l->actions[i];

        if (!act_open(a) || a->kind != ACT_TRANSFER || !a->sent)
            continue;
        act_over(s, a, ACTION_HANDED_OVER, "unconfirmed: the provider does not say whether it was taken");
        line_notify(s, "call.transferred");
        line_finish(s, LINE_OUTCOME_TRANSFERRED, STR("handed over; the provider does not say whether it was taken"));
        return true;
    }
    return false;
}
