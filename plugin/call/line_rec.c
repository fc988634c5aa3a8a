/* SPDX-License-Identifier: MIT */
/* The recording at the carrier: nothing before consent, started once, fetched even if its callback is lost. */
#include "plugin/call/line_int.h"

#define START_TRIES 5u

static void enter(struct step *s, enum line_recording_state next)
{
    struct line *l = s->l;

    if (l->recording == next)
        return;
    l->recording = next;
    l->record_wall_ms = s->t;
    line_hop(s, "recording", str_of(next == REC_ON ? "on" : next == REC_PAUSED ? "paused" :
                                    next == REC_STOPPED ? "stopped" : next == REC_ABSENT ? "absent" :
                                    next == REC_FAILED ? "failed" : "starting"));
    if (next == REC_ON || next == REC_PAUSED || next == REC_STOPPED || next == REC_FAILED)
        line_notify(s, "call.recording");
    line_changed(s);
}

static void fetch(struct step *s)
{
    if (s->l->fetched || s->l->recording_sid[0] == '\0')
        return;
    s->l->fetched = true;
    s->fetch = true;
    line_changed(s);
}

static void began(struct step *s, struct str sid)
{
    struct line *l = s->l;

    if (sid.n == 0 || sid.n >= LINE_SID_BYTES || l->recording_sid[0] != '\0')
        return;
    text_copy(l->recording_sid, sizeof l->recording_sid, sid);
    if (l->recording == REC_STARTING)
        enter(s, REC_ON);
    line_changed(s);
}

void rec_newcomer(struct step *s, struct str label)
{
    struct line *l = s->l;

    if ((l->recording != REC_ON && l->recording != REC_PAUSED && l->recording != REC_STARTING) ||
        l->set.consent == CONSENT_NONE)
        return;
    l->newcomer = true;
    l->notice_asked = true;
    line_fx(s, LINE_FX_NOTICE)->u.text = label;
    line_changed(s);
}

/* ---- Starting, pausing ---- */

static void start_run(struct step *s)
{
    struct line *l = s->l;

    if (l->set.consent == CONSENT_NONE && l->model_live)
        l->consented = true;
    if (!l->consented) {
        if (l->model_live && !l->notice_asked && l->set.consent == CONSENT_NOTICE) { /* else the model asks */
            l->notice_asked = true;
            line_fx(s, LINE_FX_NOTICE)->u.text = STR("");
        }
        return;
    }
    if (l->legs[0].state != LEG_UP || !job_free(s, &l->record_job))
        return;
    l->record_version = l->version + 1; /* the save that ends this step */
    l->record_job.on = false;
    enter(s, REC_STARTING);
}

void rec_saved(struct step *s, uint64_t version)
{
    struct line *l = s->l;

    if (l->recording != REC_STARTING || l->record_version == 0 || l->record_version > version)
        return;
    l->record_version = 0;
    if (l->phase != LINE_ANSWERED) {
        enter(s, REC_ABSENT);
        return;
    }
    (void)line_command(s, &l->record_job, LINE_CMD_RECORD, &l->legs[0]);
    s->again = true;
}

static void order(struct step *s, enum line_cmd what)
{
    struct line *l = s->l;

    if (job_late(s, &l->record_job))
        job_failed(s, &l->record_job);
    if (!job_free(s, &l->record_job))
        return;
    l->record_unsure = true; /* until it is answered, also for the instance after us */
    l->dirty = true;
    line_command(s, &l->record_job, what, &l->legs[0])->u.command.text = str_of(l->recording_sid);
}

void rec_run(struct step *s)
{
    struct line *l = s->l;
    bool pause = l->pause_want || l->newcomer;

    if (l->recording == REC_STOPPED && !l->fetched && due(s, l->record_wall_ms + RECORDING_MS))
        fetch(s); /* its callback was lost */
    if (l->restored || (l->phase != LINE_ANSWERED && !(l->phase == LINE_ENDING && l->leave_legs)))
        return;
    if (l->newcomer && l->model_live && !l->notice_asked) { /* said before a restart, perhaps not heard */
        l->notice_asked = true;
        line_fx(s, LINE_FX_NOTICE)->u.text = STR("");
    }
    if (l->record_stop && l->recording == REC_WANTED)
        enter(s, REC_ABSENT);
    else if (l->recording == REC_WANTED && l->phase == LINE_ANSWERED)
        start_run(s);
    else if (l->recording == REC_ON || l->recording == REC_PAUSED) {
        if (l->record_stop)
            order(s, LINE_CMD_RECORD_STOP);
        else if (l->record_unsure || pause != (l->recording == REC_PAUSED))
            order(s, pause ? LINE_CMD_RECORD_PAUSE : LINE_CMD_RECORD_RESUME);
    }
}

/* ---- Answers and callbacks ---- */

static void start_done(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;

    l->record_job.n = 0;
    if (answered_well(ev->u.answer.http_status)) {
        l->record_job.fails = 0;
        began(s, ev->u.answer.sid);
    } else if (l->recording != REC_STARTING) {
        return;
    } else if (answered_nothing(ev)) {
        job_failed(s, &l->record_job);
        enter(s, l->record_job.fails >= START_TRIES ? REC_FAILED : REC_WANTED);
    } else if (!answered_unknown(ev)) {
        enter(s, REC_FAILED);
    } /* else its callback, or a look-up, says whether it began: never started twice */
}

bool rec_done(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    int status = ev->u.answer.http_status;
    unsigned what = l->record_job.what;

    if (l->record_job.n == 0 || l->record_job.n != ev->u.answer.cmd)
        return false;
    if (what == LINE_CMD_RECORD) {
        start_done(s, ev);
        return true;
    }
    if (!answered_well(status) && !(what == LINE_CMD_RECORD_STOP && status == 404)) {
        job_failed(s, &l->record_job); /* asked for again: pausing twice does no harm */
        return true;
    }
    l->record_job = (struct line_job){.n = 0};
    l->record_unsure = false;
    line_changed(s);
    if (l->recording == REC_ON || l->recording == REC_PAUSED)
        enter(s, what == LINE_CMD_RECORD_PAUSE ? REC_PAUSED : what == LINE_CMD_RECORD_RESUME ? REC_ON : REC_STOPPED);
    return true;
}

void rec_found(struct step *s, struct str sid)
{
    if (s->l->recording == REC_STARTING)
        began(s, sid);
}

void rec_said(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    struct str sid = ev->u.recording.sid;

    if (l->recording == REC_NONE || (l->recording_sid[0] != '\0' && sid.n > 0 && !str_eqc(sid, l->recording_sid)))
        return;
    if (ev->u.recording.leg_sid.n > 0 && !str_eqc(ev->u.recording.leg_sid, l->legs[0].sid))
        return;
    began(s, sid);
    switch (ev->u.recording.what) {
    case RECORDING_ON: break;
    case RECORDING_DONE:
        enter(s, REC_STOPPED);
        fetch(s);
        break;
    case RECORDING_ABSENT:
    case RECORDING_FAILED:
        if (!l->fetched)
            enter(s, ev->u.recording.what == RECORDING_ABSENT ? REC_ABSENT : REC_FAILED);
        break;
    }
}

/* The line is over: is anything still to come? */
bool rec_settled(struct step *s)
{
    struct line *l = s->l;

    switch (l->recording) {
    case REC_NONE:
    case REC_ABSENT:
    case REC_FAILED: return true;
    case REC_WANTED: enter(s, REC_ABSENT); return true;
    case REC_STARTING:
    case REC_ON:
    case REC_PAUSED:
    case REC_STOPPED: break;
    }
    if (l->fetched)
        return true;
    if (!due(s, l->ended_wall_ms + RECORDING_MS))
        return false;
    if (l->recording_sid[0] == '\0')
        enter(s, REC_FAILED);
    fetch(s);
    return true;
}
