/* SPDX-License-Identifier: MIT */
/* The line machine, rule by rule: recording, answering machines. */
#include "plugin/call/line.h"

#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk k;

/* ---- Recording ---- */

static void recording_settings(struct line_settings *set, enum line_consent consent)
{
    *set = lk_settings();
    set->record = true;
    set->consent = consent;
}

static void recording_said(unsigned what, const char *sid)
{
    struct line_event ev = {.kind = LINE_EV_RECORDING};

    memcpy(&ev.u.recording.what, &what, sizeof ev.u.recording.what);
    ev.u.recording.sid = str_of(sid);
    ev.u.recording.leg_sid = STR("CA1");
    lk_step(&k, &ev);
}

static void hang_up(void)
{
    lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 9);
    lk_ok(&k, LINE_CMD_END_LEG, "model");
}

static void recording_after_the_notice(void)
{
    struct line_settings set;

    recording_settings(&set, CONSENT_NOTICE);
    lk_talk(&k, &set);
    T_EQ(k.notices, 1);
    lk_wait(&k, 30000);
    T_EQ(lk_count(&k, LINE_CMD_RECORD, ""), 0);
    lk_said_model(&k, LINE_EV_NOTICE_HEARD);
    T_EQ(lk_count(&k, LINE_CMD_RECORD, "caller"), 1);
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, ""), 201, "RE1");
    T_EQ(k.l.recording, REC_ON);
    T_HAS(k.notified, "call.recording ");
    lk_act(&k, "a1", ACT_RECORD_PAUSE, "", "");
    lk_ok(&k, LINE_CMD_RECORD_PAUSE, "");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_EQ(k.l.recording, REC_PAUSED);
    lk_act(&k, "a2", ACT_RECORD_RESUME, "", "");
    lk_ok(&k, LINE_CMD_RECORD_RESUME, "");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
    hang_up();
    T_EQ(k.l.phase, LINE_OVER);
    T_EQ(k.overs, 0); /* the recording is to come */
    recording_said(RECORDING_DONE, "RE1");
    T_EQ(k.fetches, 1);
    T_STR_EQ(k.fetched, "RE1");
    T_EQ(k.overs, 1);
    recording_said(RECORDING_DONE, "RE1");
    T_EQ(k.fetches, 1);
}

static void recording_with_consent(void)
{
    struct line_settings set;

    recording_settings(&set, CONSENT_ASK);
    lk_talk(&k, &set);
    T_EQ(k.notices, 0); /* the model asks, nobody tells it as done */
    lk_said_model(&k, LINE_EV_CONSENT_GONE); /* no, at first */
    T_EQ(lk_count(&k, LINE_CMD_RECORD, ""), 0);
    T_EQ(k.l.recording, REC_WANTED);
    lk_said_model(&k, LINE_EV_NOTICE_HEARD);
    T_EQ(lk_count(&k, LINE_CMD_RECORD, "caller"), 1);
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, ""), 201, "RE1");
    lk_said_model(&k, LINE_EV_CONSENT_GONE);
    lk_ok(&k, LINE_CMD_RECORD_STOP, "");
    T_EQ(k.l.recording, REC_STOPPED);
    lk_said_model(&k, LINE_EV_NOTICE_HEARD);
    T_EQ(lk_count(&k, LINE_CMD_RECORD, ""), 1);
    hang_up();
    lk_wait(&k, 31000);
    T_EQ(k.fetches, 1);
    T_EQ(k.overs, 1);
}

static void recording_callback_lost(void)
{
    struct line_settings set;

    recording_settings(&set, CONSENT_NONE);
    lk_talk(&k, &set);
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 201, "RE1");
    hang_up();
    lk_wait(&k, 29000);
    T_EQ(k.fetches, 0);
    lk_restart(&k, 0); /* an OVER line that waits is restored, too */
    lk_wait(&k, 2000);
    T_EQ(k.fetches, 1);
    T_EQ(k.overs, 1);
}

static void recording_answer_lost(void)
{
    struct line_settings set;
    struct line_event ev = {.kind = LINE_EV_FOUND};
    struct line_seen_leg seen[2] = {
        {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true},
        {.label = STR("model"), .sid = STR("CA2"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true}};

    for (unsigned how = 0; how < 4; how++) {
        recording_settings(&set, CONSENT_NONE);
        lk_talk(&k, &set);
        lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 0, "");
        if (how == 0)
            recording_said(RECORDING_ON, "RE1");
        if (how == 1) {
            lk_wait(&k, 61000);
            ev.u.found.cmd = lk_last(&k, LINE_CMD_LOOK_UP, "")->n;
            ev.u.found.http_status = 200;
            ev.u.found.legs = seen;
            ev.u.found.n_legs = 2;
            ev.u.found.recording = STR("RE1");
            lk_step(&k, &ev);
        }
        T_EQ(k.l.recording, how < 2 ? REC_ON : REC_STARTING);
        hang_up();
        if (how == 2)
            recording_said(RECORDING_DONE, "RE1");
        lk_wait(&k, 31000);
        T_EQ(k.fetches, how < 3);
        T_EQ(k.overs, 1);
        T_EQ(lk_count(&k, LINE_CMD_RECORD, ""), 1);
    }
    T_EQ(k.l.recording, REC_FAILED);
    recording_settings(&set, CONSENT_NONE);
    lk_talk(&k, &set);
    lk_answer_full(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 429, true, "", "");
    lk_wait(&k, 1000);
    T_EQ(lk_count(&k, LINE_CMD_RECORD, ""), 2);
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 201, "RE1");
    recording_said(RECORDING_ABSENT, "RE1");
    hang_up();
    T_EQ(k.fetches, 0);
    T_EQ(k.overs, 1);
}

static void recording_and_a_newcomer(void)
{
    struct line_settings set;

    recording_settings(&set, CONSENT_NOTICE);
    lk_talk(&k, &set);
    lk_said_model(&k, LINE_EV_NOTICE_HEARD);
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 201, "RE1");
    lk_act(&k, "a1", ACT_INVITE, "boss", "");
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "boss"), 201, "CA5");
    lk_status(&k, "boss", "CA5", LEG_SAYS_IN_PROGRESS, 2);
    T_EQ(lk_count(&k, LINE_CMD_RECORD_PAUSE, ""), 1);
    T_EQ(k.notices, 2);
    T_STR_EQ(k.notice_to, "boss");
    lk_ok(&k, LINE_CMD_RECORD_PAUSE, "");
    lk_wait(&k, 20000);
    T_EQ(lk_count(&k, LINE_CMD_RECORD_RESUME, ""), 0);
    lk_said_model(&k, LINE_EV_NOTICE_HEARD);
    T_EQ(lk_count(&k, LINE_CMD_RECORD_RESUME, ""), 1);
}

static void pause_after_a_lost_resume(void)
{
    struct line_settings set;

    recording_settings(&set, CONSENT_NONE);
    lk_talk(&k, &set);
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 201, "RE1");
    lk_act(&k, "a1", ACT_RECORD_PAUSE, "", "");
    lk_ok(&k, LINE_CMD_RECORD_PAUSE, "");
    lk_act(&k, "a2", ACT_RECORD_RESUME, "", "");
    lk_act(&k, "a3", ACT_RECORD_PAUSE, "", "");
    for (unsigned i = 0; i < 12; i++) {
        lk_answer(&k, lk_last(&k, LINE_CMD_RECORD_RESUME, ""), 0, "");
        lk_wait(&k, 2000);
    }
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
    T_EQ(lk_state(&k, "a3"), ACTION_DOING); /* it may well be recording now */
    T_EQ(lk_count(&k, LINE_CMD_RECORD_PAUSE, ""), 2);
    lk_ok(&k, LINE_CMD_RECORD_PAUSE, "");
    T_EQ(lk_state(&k, "a3"), ACTION_DONE);
}

static void recording_on_request(void)
{
    struct line_settings set = lk_settings();

    lk_talk(&k, &set);
    lk_act(&k, "a1", ACT_RECORD_PAUSE, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    lk_act(&k, "a2", ACT_RECORD_START, "", "");
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 201, "RE1");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
    lk_act(&k, "a3", ACT_RECORD_STOP, "", "");
    lk_ok(&k, LINE_CMD_RECORD_STOP, "");
    T_EQ(lk_state(&k, "a3"), ACTION_DONE);
    recording_said(RECORDING_DONE, "RE1");
    T_EQ(k.fetches, 1);
    T_EQ(k.l.phase, LINE_ANSWERED);
}

/* ---- Answering machines ---- */

static void machine_said(unsigned by)
{
    struct line_event ev = {.kind = LINE_EV_MACHINE};

    memcpy(&ev.u.machine.by, &by, sizeof ev.u.machine.by);
    ev.u.machine.sid = STR("CA1");
    lk_step(&k, &ev);
}

static void machines(void)
{
    struct line_settings set = lk_settings();

    set.detect_machine = true;
    lk_talk(&k, &set); /* hang up */
    machine_said(MACHINE_HUMAN);
    machine_said(MACHINE_UNKNOWN);
    T_EQ(k.l.phase, LINE_ANSWERED);
    machine_said(MACHINE_START);
    T_EQ(k.l.outcome, LINE_OUTCOME_VOICEMAIL);
    set.voicemail = VOICEMAIL_CONTINUE;
    lk_talk(&k, &set);
    machine_said(MACHINE_END);
    T_EQ(k.l.phase, LINE_ANSWERED);
    T_EQ(k.tells[TELL_VOICEMAIL], 0);
    lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 5);
    T_EQ(k.l.outcome, LINE_OUTCOME_VOICEMAIL);
    set.voicemail = VOICEMAIL_HANGUP;
    lk_talk(&k, &set);
    lk_said_model(&k, LINE_EV_CALLEE_TURN);
    lk_said_model(&k, LINE_EV_CALLEE_TURN);
    machine_said(MACHINE_END); /* who has said two things is a human */
    T_EQ(k.l.phase, LINE_ANSWERED);
    T_FALSE(k.l.voicemail);
}

static void voicemail_message(void)
{
    struct line_settings set = lk_settings();

    set.detect_machine = true;
    set.voicemail = VOICEMAIL_MESSAGE;
    for (unsigned how = 0; how < 3; how++) {
        lk_talk(&k, &set);
        machine_said(MACHINE_START);
        T_EQ(k.tells[TELL_VOICEMAIL], 0); /* after the beep */
        if (how == 2) {
            lk_wait(&k, 45000); /* which never comes */
            T_EQ(k.l.outcome, LINE_OUTCOME_VOICEMAIL);
            continue;
        }
        machine_said(MACHINE_END);
        machine_said(MACHINE_END);
        T_EQ(k.tells[TELL_VOICEMAIL], 1);
        if (how == 0)
            lk_said_model(&k, LINE_EV_VOICEMAIL_SAID);
        else
            lk_wait(&k, 45000);
        T_EQ(k.l.outcome, LINE_OUTCOME_VOICEMAIL);
        T_EQ(k.l.phase, LINE_ENDING);
    }
}

int main(void)
{
    T_RUN(recording_after_the_notice);
    T_RUN(recording_with_consent);
    T_RUN(recording_callback_lost);
    T_RUN(recording_answer_lost);
    T_RUN(recording_and_a_newcomer);
    T_RUN(pause_after_a_lost_resume);
    T_RUN(recording_on_request);
    T_RUN(machines);
    T_RUN(voicemail_message);
    return T_DONE();
}
