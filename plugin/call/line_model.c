/* SPDX-License-Identifier: MIT */
/* The model's leg: brought, lost, parked; hold; the apology when it does not come; answering machines. */
#include "plugin/call/line_int.h"

#define BRING_PAUSE_MS 60000u
#define BRINGS_MAX 2u
#define LEGS_PER_BRING 2u
#define MODEL_AGAIN_MS 4000u /* a first leg that rings for so long: its call was lost on the way */
#define HOLD_MAX_MS 900000u
#define APOLOGY_MS 20000u
#define APOLOGY_RESTORED_MS 8000u
#define APOLOGY_TRIES 3u
#define TURNS_OF_A_HUMAN 2u

struct leg *model_leg(struct line *l)
{
    struct leg *leg = leg_current(l, STR("model"));

    return leg && leg_exists(leg) && !leg->ended_by_us ? leg : NULL;
}

/* ---- The apology ---- */

void model_apologise(struct step *s, enum line_outcome outcome, struct str detail)
{
    struct line *l = s->l;

    if (l->phase != LINE_ANSWERED)
        return;
    l->apologising = !l->direct && l->legs[0].state == LEG_UP && l->legs[0].sid[0] != '\0';
    line_hop(s, "apology", detail);
    line_finish(s, outcome, detail);
}

static void apology_ends(struct step *s)
{
    s->l->apologising = false;
    leg_end(s, &s->l->legs[0]);
    line_changed(s);
}

static void apology_run(struct step *s)
{
    struct line *l = s->l;
    bool old = l->restored_wall_ms > l->ended_wall_ms; /* begun before the restart: heard, or never */
    uint64_t until = l->ended_wall_ms + APOLOGY_MS;

    if (old && l->restored_wall_ms + APOLOGY_RESTORED_MS < until)
        until = l->restored_wall_ms + APOLOGY_RESTORED_MS;
    if (job_late(s, &l->apology))
        job_failed(s, &l->apology);
    if (due(s, until) || l->apology.fails >= APOLOGY_TRIES || !leg_exists(&l->legs[0])) {
        apology_ends(s);
    } else if (!old && l->apology.what == 0 && job_free(s, &l->apology)) {
        (void)line_command(s, &l->apology, LINE_CMD_APOLOGISE, &l->legs[0]);
        l->apology.what = 0; /* set once the carrier took it */
    }
}

bool model_apology_done(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;

    if (l->apology.n == 0 || l->apology.n != ev->u.answer.cmd)
        return false;
    if (answered_well(ev->u.answer.http_status)) {
        l->apology.n = 0;
        l->apology.what = LINE_CMD_APOLOGISE;
    } else {
        job_failed(s, &l->apology);
        if (!answered_nothing(ev) && !answered_unknown(ev) && l->apologising)
            apology_ends(s);
    }
    return true;
}

/* ---- Bringing the model ---- */

void model_answered(struct step *s)
{
    s->l->model_due_wall_ms = s->t + MODEL_MS;
    s->l->model_tries = 0;
    line_notify(s, "call.answered");
    line_changed(s);
}

static void bring(struct step *s)
{
    struct line *l = s->l;
    struct leg *leg;

    if (l->model_due_wall_ms == 0)
        l->model_due_wall_ms = s->t + MODEL_MS;
    if (s->ref.n == 0) {
        s->soon = true;
        return;
    }
    leg = leg_new(s, ROLE_MODEL, STR("model"), str_of(l->set.model_uri));
    if (!leg)
        return;
    text_copy(leg->ref, sizeof leg->ref, s->ref);
    s->ref = STR("");
    l->model_tries++;
    line_hop(s, "model_wanted", STR(""));
}

static void bring_again(struct step *s)
{
    struct line *l = s->l;
    struct leg *leg = model_leg(l);

    if (l->model_live || l->model_tries != 1 || !leg || leg->state != LEG_RINGING ||
        !due(s, leg->since_wall_ms + MODEL_AGAIN_MS))
        return;
    line_hop(s, "model_slow", STR("it is dialled once more"));
    leg_end(s, leg);
}

/* It spoke, and is gone. */
static void model_lost(struct step *s, struct str why)
{
    struct line *l = s->l;
    struct leg *leg = model_leg(l);

    l->model_live = false;
    if (leg)
        leg_end(s, leg);
    line_hop(s, "model_lost", why);
    line_changed(s);
    if (l->voicemail_told) {
        line_finish(s, LINE_OUTCOME_VOICEMAIL, STR("the message may not be complete"));
    } else if (l->hold_want) {
        l->model_dropped = true; /* brought back when the hold is over */
    } else if (l->model_brings >= BRINGS_MAX ||
               (l->model_brought_wall_ms != 0 && s->t < l->model_brought_wall_ms + BRING_PAUSE_MS)) {
        model_apologise(s, LINE_OUTCOME_FAILED, STR("the assistant was lost again and again"));
    } else {
        l->model_brings++;
        l->model_brought_wall_ms = s->t;
        l->model_tries = 0;
        l->model_due_wall_ms = s->t + MODEL_MS + 2000;
        l->model_check = true; /* perhaps it is gone because the caller is */
        l->look_now = true;
    }
}

void model_leg_gone(struct step *s, struct str why)
{
    struct line *l = s->l;

    if (l->phase != LINE_ANSWERED || l->restored)
        return;
    if (l->model_live)
        model_lost(s, why);
    else if (l->model_tries >= LEGS_PER_BRING && !l->model_dropped)
        model_apologise(s, LINE_OUTCOME_FAILED, line_say(s, "the assistant could not be reached: %.*s",
                                                         STR_ARG(str_head(why, 150))));
}

void model_drop(struct step *s)
{
    struct line *l = s->l;
    struct leg *leg = model_leg(l);

    line_tell(s, TELL_PARK, STR(""));
    l->model_live = false;
    l->model_dropped = true;
    l->model_due_wall_ms = 0;
    if (leg)
        leg_end(s, leg);
    line_hop(s, "model_parked", STR(""));
    line_changed(s);
}

void model_recover(struct step *s)
{
    struct line *l = s->l;
    struct leg *leg = model_leg(l);

    if (l->phase != LINE_ANSWERED || l->direct)
        return;
    line_changed(s);
    if (leg && (leg->state == LEG_RINGING || leg->state == LEG_UP || (leg->state == LEG_LOST && l->model_live))) {
        if (!l->model_live)
            l->model_due_wall_ms = s->t + MODEL_MS;
        return;
    }
    if (leg && leg->state != LEG_WANTED)
        leg_end(s, leg);
    l->model_live = false;
    if (l->model_dropped)
        return;
    if (l->held && l->hold_want) {
        l->model_dropped = true;
    } else if (s->t < l->answered_wall_ms + FRESH_MS) {
        l->model_due_wall_ms = s->t + MODEL_MS;
        l->model_tries = 0;
    } else {
        model_apologise(s, LINE_OUTCOME_INTERRUPTED, STR("we were away, and the assistant was no longer in the call"));
    }
}

/* ---- Hold ---- */

void model_back(struct step *s)
{
    struct line *l = s->l;

    if (l->phase != LINE_ANSWERED || !l->model_dropped)
        return;
    l->model_dropped = false;
    l->model_tries = 0;
    l->model_due_wall_ms = s->t + MODEL_MS;
    line_changed(s);
}

void hold_resume(struct step *s)
{
    struct line *l = s->l;

    if (!l->hold_want)
        return;
    l->hold_want = false;
    l->resume_wall_ms = s->t;
    if (l->model_dropped) {
        model_back(s);
        l->resume_wall_ms = s->t + MODEL_MS; /* the caller hears music until somebody is there to talk to */
    }
    line_changed(s);
}

void hold_done(struct step *s, bool held)
{
    struct line *l = s->l;

    bool before = l->held;

    l->legs[0].held = held;
    l->held = held;
    line_changed(s);
    if (l->phase != LINE_ANSWERED || before == held)
        return;
    l->held_wall_ms = held ? s->t : 0;
    line_tell(s, held ? TELL_HOLD : TELL_RESUME, STR(""));
    line_notify(s, held ? "call.held" : "call.resumed");
}

static bool transferring(const struct line *l)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        if (l->actions[i].kind == ACT_TRANSFER && act_open(&l->actions[i]))
            return true;
    }
    return false;
}

void hold_run(struct step *s)
{
    struct line *l = s->l;

    if (!l->held || !l->hold_want)
        return;
    if (due(s, l->held_wall_ms + HOLD_MAX_MS)) {
        line_hop(s, "hold_too_long", STR(""));
        hold_resume(s);
    } else if (l->set.hold_drop_ms != 0 && !l->model_dropped && !transferring(l) &&
               due(s, l->held_wall_ms + l->set.hold_drop_ms)) {
        model_drop(s);
    }
}

/* ---- Answering machines ---- */

void model_machine(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    bool end = ev->u.machine.by == MACHINE_END;

    if (l->phase != LINE_ANSWERED || l->machine_end)
        return;
    if (ev->u.machine.sid.n > 0 && !str_eqc(ev->u.machine.sid, l->legs[0].sid))
        return;
    if (ev->u.machine.by == MACHINE_HUMAN || ev->u.machine.by == MACHINE_UNKNOWN)
        return;
    if (l->callee_turns >= TURNS_OF_A_HUMAN) {
        line_hop(s, "machine_ignored", STR("the callee talks like a human"));
        return;
    }
    l->voicemail = true;
    line_hop(s, end ? "machine_end" : "machine", STR(""));
    line_changed(s);
    if (l->set.voicemail == VOICEMAIL_CONTINUE)
        return;
    if (l->set.voicemail == VOICEMAIL_HANGUP || ev->u.machine.by == MACHINE_FAX) {
        line_finish(s, LINE_OUTCOME_VOICEMAIL, ev->u.machine.by == MACHINE_FAX ? STR("a fax machine answered")
                                                                              : STR("an answering machine answered"));
        return;
    }
    l->machine_end = end;
    l->voicemail_due_wall_ms = s->t + VOICEMAIL_MS;
}

static void voicemail_run(struct step *s)
{
    struct line *l = s->l;

    if (l->machine_end && l->model_live && !l->voicemail_told) {
        l->voicemail_told = true;
        l->voicemail_due_wall_ms = s->t + VOICEMAIL_MS;
        line_tell(s, TELL_VOICEMAIL, STR(""));
        line_changed(s);
    }
    if (due(s, l->voicemail_due_wall_ms))
        line_finish(s, LINE_OUTCOME_VOICEMAIL, l->voicemail_told ? STR("the message may not be complete")
                                                                 : STR("an answering machine answered; no message"));
}

/* ---- What the model's side says ---- */

static void side_gone(struct step *s, struct str why)
{
    struct line *l = s->l;

    if (l->phase != LINE_ANSWERED)
        return;
    if (!l->direct) {
        if (l->model_live) /* else its leg says so, or the deadline */
            model_lost(s, why);
        return;
    }
    l->model_live = false;
    l->handed_over = true; /* nothing is left to hang up */
    if (!move_refer_gone(s))
        line_finish(s, LINE_OUTCOME_ANSWERED, STR(""));
}

static void side_live(struct step *s)
{
    struct line *l = s->l;

    if (l->phase != LINE_ANSWERED || (!l->direct && !model_leg(l)))
        return;
    l->model_live = true;
    l->model_due_wall_ms = 0;
    l->model_tries = 0;
    line_hop(s, "model_live", STR(""));
    line_changed(s);
}

void model_said(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;

    switch (ev->kind) {
    case LINE_EV_MODEL_LIVE: side_live(s); break;
    case LINE_EV_MODEL_GONE: side_gone(s, str_head(ev->u.text, 150)); break;
    case LINE_EV_MODEL_AWAY:
        if (l->direct)
            l->model_live = false;
        break;
    case LINE_EV_NOTICE_HEARD:
        l->consented = true;
        l->newcomer = false;
        line_changed(s);
        break;
    case LINE_EV_CONSENT_GONE:
        l->record_stop = l->record_stop || (l->consented && l->recording != REC_NONE);
        line_changed(s);
        break;
    case LINE_EV_CALLEE_TURN: l->callee_turns++; break;
    case LINE_EV_VOICEMAIL_SAID:
        if (l->voicemail_told)
            line_finish(s, LINE_OUTCOME_VOICEMAIL, STR("the message was left"));
        break;
    default: break;
    }
}

void model_run(struct step *s)
{
    struct line *l = s->l;

    if (l->phase == LINE_ENDING && l->apologising)
        apology_run(s);
    if (l->phase != LINE_ANSWERED || l->restored || l->direct)
        return;
    voicemail_run(s);
    hold_run(s);
    if (l->phase != LINE_ANSWERED || l->model_dropped)
        return;
    if (!l->model_live && due(s, l->model_due_wall_ms)) {
        model_apologise(s, LINE_OUTCOME_FAILED, STR("the assistant did not come in time"));
        return;
    }
    bring_again(s);
    if (!model_leg(l) && !l->model_check)
        bring(s);
}
