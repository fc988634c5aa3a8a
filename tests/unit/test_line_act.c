/* SPDX-License-Identifier: MIT */
/* The line machine, rule by rule: actions, hold, transfers, recording, answering machines, direct lines. */
#include "plugin/call/line.h"

#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk k;

static void talk(void)
{
    struct line_settings set = lk_settings();

    lk_talk(&k, &set);
}

static void ok(enum line_cmd what, const char *label)
{
    lk_answer(&k, lk_last(&k, what, label), 200, "");
}

/* ---- Hold, mute ---- */

static void hold_and_resume(void)
{
    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_DOING);
    T_EQ(k.tells[TELL_HOLD], 0);
    ok(LINE_CMD_HOLD, "caller");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_EQ(k.tells[TELL_HOLD], 1);
    T_TRUE(k.l.held);
    lk_act(&k, "a1", ACT_HOLD, "", ""); /* the same again: over long ago, asked once more: done at once */
    lk_act(&k, "a2", ACT_HOLD, "", "");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
    T_EQ(lk_count(&k, LINE_CMD_HOLD, ""), 1);
    lk_act(&k, "a3", ACT_SAY, "", "hello"); /* waits for the resume */
    T_EQ(k.tells[TELL_SAY], 0);
    lk_act(&k, "a4", ACT_RESUME, "", "");
    ok(LINE_CMD_UNHOLD, "caller");
    T_EQ(lk_state(&k, "a4"), ACTION_DONE);
    T_EQ(k.tells[TELL_RESUME], 1);
    T_EQ(k.tells[TELL_SAY], 1);
    T_STR_EQ(k.told, "hello");
    T_HAS(k.notified, "call.held call.resumed ");
}

static void hold_fails(void)
{
    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    for (unsigned i = 0; i < 3; i++) { /* idempotent: repeated */
        lk_answer(&k, lk_last(&k, LINE_CMD_HOLD, "caller"), 503, "");
        lk_wait(&k, 2100);
    }
    T_EQ(lk_count(&k, LINE_CMD_HOLD, ""), 4);
    lk_wait(&k, 20000);
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    lk_answer(&k, lk_last(&k, LINE_CMD_HOLD, "caller"), 0, "");
    lk_wait(&k, 5000);
    T_GE(lk_count(&k, LINE_CMD_UNHOLD, ""), 1); /* one of them may have got through */
    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    lk_answer(&k, lk_last(&k, LINE_CMD_HOLD, "caller"), 400, "");
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    T_EQ(k.tells[TELL_HOLD], 0);
}

static void model_lost_while_hold_is_in_doubt(void)
{
    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    lk_said_model(&k, LINE_EV_MODEL_GONE);
    T_TRUE(k.l.model_dropped);
    lk_wait(&k, 20000);
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA3");
    lk_said_model(&k, LINE_EV_MODEL_LIVE);
    lk_wait(&k, 10000);
    T_EQ(lk_count(&k, LINE_CMD_UNHOLD, ""), 1);
}

static void hold_over_a_restart(void)
{
    struct line_seen_leg seen[2] = {
        {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60},
        {.label = STR("model"), .sid = STR("CA2"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60}};

    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    lk_restart(&k, 2000);
    T_EQ(lk_count(&k, LINE_CMD_HOLD, ""), 1); /* first it looks around */
    lk_found(&k, seen, 2);
    T_EQ(lk_count(&k, LINE_CMD_HOLD, ""), 2);
    ok(LINE_CMD_HOLD, "caller");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
}

static void parked(void)
{
    struct line_settings set = lk_settings();

    set.hold_drop_ms = 30000;
    lk_talk(&k, &set);
    lk_act(&k, "a1", ACT_HOLD, "", "");
    ok(LINE_CMD_HOLD, "caller");
    lk_wait(&k, 30000);
    T_EQ(k.tells[TELL_PARK], 1);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
    ok(LINE_CMD_END_LEG, "model");
    lk_said_model(&k, LINE_EV_MODEL_GONE);
    T_TRUE(k.l.model_dropped);
    lk_wait(&k, 100000);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1); /* on purpose: not brought back */
    lk_act(&k, "a2", ACT_RESUME, "", "");
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2);
    T_EQ(lk_count(&k, LINE_CMD_UNHOLD, ""), 0); /* music until somebody is there */
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA3");
    lk_said_model(&k, LINE_EV_MODEL_LIVE);
    T_EQ(lk_count(&k, LINE_CMD_UNHOLD, ""), 1);
    ok(LINE_CMD_UNHOLD, "caller");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
}

static void longest_hold(void)
{
    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    ok(LINE_CMD_HOLD, "caller");
    for (unsigned i = 0; i < 15; i++) {
        struct line_seen_leg seen[2] = {
            {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true},
            {.label = STR("model"), .sid = STR("CA2"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true}};

        T_EQ(lk_count(&k, LINE_CMD_UNHOLD, ""), 0);
        lk_wait(&k, 60000);
        lk_found(&k, seen, 2);
    }
    T_EQ(lk_count(&k, LINE_CMD_UNHOLD, ""), 1);
}

static void mute(void)
{
    talk();
    lk_act(&k, "a1", ACT_MUTE, "", "");
    lk_act(&k, "a2", ACT_UNMUTE, "", ""); /* one after the other */
    T_EQ(lk_count(&k, LINE_CMD_UNMUTE, ""), 0);
    ok(LINE_CMD_MUTE, "caller");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    ok(LINE_CMD_UNMUTE, "caller");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
    lk_act(&k, "a3", ACT_MUTE, "model", "");
    ok(LINE_CMD_MUTE, "model");
    T_EQ(lk_state(&k, "a3"), ACTION_DONE);
    lk_act(&k, "a4", ACT_MUTE, "nobody", "");
    T_EQ(lk_state(&k, "a4"), ACTION_FAILED);
}

/* ---- Digits, words ---- */

static void digits_once(void)
{
    static const struct { int status; bool sent; enum line_action_state state; } v[] = {
        {200, true, ACTION_DONE}, {400, true, ACTION_FAILED}, {0, true, ACTION_UNCERTAIN},
        {503, true, ACTION_UNCERTAIN}, {0, false, ACTION_DOING}, {429, true, ACTION_DOING}};

    for (unsigned i = 0; i < sizeof v / sizeof v[0]; i++) {
        talk();
        k.hold_saves = true;
        lk_act(&k, "a1", ACT_DTMF, "", "12#");
        k.hold_saves = false;
        {
            struct line_event ev = {.kind = LINE_EV_SAVED};

            ev.u.version = k.l.version - 1;
            lk_step(&k, &ev);
            T_EQ(lk_count(&k, LINE_CMD_PLAY_DIGITS, ""), 0); /* durable first */
            ev.u.version = k.l.version;
            lk_step(&k, &ev);
        }
        T_STR_EQ(lk_last(&k, LINE_CMD_PLAY_DIGITS, "caller")->text, "12#");
        lk_answer_full(&k, lk_last(&k, LINE_CMD_PLAY_DIGITS, ""), v[i].status, v[i].sent, "", "");
        T_EQ(lk_state(&k, "a1"), v[i].state);
        lk_wait(&k, 3000);
        T_EQ(lk_count(&k, LINE_CMD_PLAY_DIGITS, ""), v[i].state == ACTION_DOING ? 2 : 1);
    }
}

static void digits_over_a_restart(void)
{
    talk();
    lk_act(&k, "a1", ACT_DTMF, "", "12#");
    lk_restart(&k, 1000);
    T_EQ(lk_state(&k, "a1"), ACTION_UNCERTAIN);
    lk_wait(&k, 10000);
    T_EQ(lk_count(&k, LINE_CMD_PLAY_DIGITS, ""), 1);
}

static void announce(void)
{
    talk();
    lk_act(&k, "a1", ACT_ANNOUNCE, "", "hello all");
    T_STR_EQ(lk_last(&k, LINE_CMD_ANNOUNCE, "")->label, ""); /* to all */
    T_STR_EQ(lk_last(&k, LINE_CMD_ANNOUNCE, "")->action, "a1");
    ok(LINE_CMD_ANNOUNCE, "");
    T_EQ(lk_state(&k, "a1"), ACTION_DOING);
    lk_room(&k, ROOM_ANNOUNCED, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    lk_act(&k, "a2", ACT_ANNOUNCE, "caller", "hello you");
    ok(LINE_CMD_ANNOUNCE, "caller");
    lk_room(&k, ROOM_ANNOUNCE_FAILED, "", "");
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
    lk_act(&k, "a3", ACT_ANNOUNCE, "", "hello");
    ok(LINE_CMD_ANNOUNCE, "");
    lk_wait(&k, 46000);
    T_EQ(lk_state(&k, "a3"), ACTION_UNCERTAIN);
}

static void collect(void)
{
    for (unsigned secret = 0; secret < 2; secret++) {
        talk();
        lk_act(&k, "a1", ACT_COLLECT, "", secret ? "secret" : "your number, please");
        T_STR_EQ(lk_last(&k, LINE_CMD_STAY, "caller")->text, "");
        T_EQ(lk_count(&k, LINE_CMD_COLLECT, ""), 0); /* the room must outlive it */
        ok(LINE_CMD_STAY, "caller");
        T_EQ(lk_count(&k, LINE_CMD_COLLECT, "caller"), 1);
        ok(LINE_CMD_COLLECT, "caller");
        lk_room(&k, ROOM_LEAVE, "caller", "CA1");
        T_EQ(k.l.phase, LINE_ANSWERED);
        lk_digits(&k, "caller", "a1", "4711");
        T_EQ(lk_state(&k, "a1"), ACTION_DONE);
        T_STR_EQ(k.said[k.n_said - 1].text, "4711");
        T_EQ(k.tells[TELL_NEWS], secret ? 0 : 1);
        if (!secret)
            T_HAS(k.told, "4711");
        T_STR_EQ(lk_last(&k, LINE_CMD_STAY, "caller")->text, "end");
        lk_answer(&k, lk_last(&k, LINE_CMD_STAY, "caller"), 404, ""); /* not back in the room yet */
        lk_room(&k, ROOM_JOIN, "caller", "CA1");
        lk_wait(&k, 3000);
        T_EQ(lk_count(&k, LINE_CMD_STAY, "caller"), 3);
        ok(LINE_CMD_STAY, "caller");
        T_TRUE(k.l.legs[0].ends_room);
    }
    talk();
    lk_act(&k, "a1", ACT_COLLECT, "", "");
    ok(LINE_CMD_STAY, "caller");
    ok(LINE_CMD_COLLECT, "caller");
    lk_wait(&k, 61000);
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    T_STR_EQ(lk_last(&k, LINE_CMD_STAY, "caller")->text, "end");
}

/* ---- Transfers ---- */

static void blind(void)
{
    talk();
    lk_act(&k, "a1", ACT_TRANSFER, "sales", "");
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "sales"), 1);
    T_EQ(lk_count(&k, LINE_CMD_HOLD, ""), 0);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "sales"), 201, "CA5");
    lk_status(&k, "sales", "CA5", LEG_SAYS_RINGING, 1);
    T_EQ(k.tells[TELL_TRANSFERRED], 0);
    lk_status(&k, "sales", "CA5", LEG_SAYS_IN_PROGRESS, 2);
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_EQ(k.tells[TELL_TRANSFERRED], 1);
    T_EQ(k.l.outcome, LINE_OUTCOME_TRANSFERRED);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, ""), 1);
    T_EQ(lk_count(&k, LINE_CMD_END_ROOM, ""), 0);
    T_STR_EQ(lk_last(&k, LINE_CMD_STAY, "caller")->text, "end");
    T_STR_EQ(lk_last(&k, LINE_CMD_STAY, "sales")->text, "end");
    ok(LINE_CMD_STAY, "caller");
    ok(LINE_CMD_STAY, "sales");
    T_EQ(k.l.phase, LINE_ENDING);
    ok(LINE_CMD_END_LEG, "model");
    T_EQ(k.l.phase, LINE_OVER);
    T_TRUE(k.l.leave_legs);
    lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 9);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, ""), 1);
}

static void blind_fails(void)
{
    for (unsigned how = 0; how < 4; how++) {
        talk();
        lk_act(&k, "a1", ACT_TRANSFER, "sales", "");
        if (how == 0) {
            lk_answer_full(&k, lk_last(&k, LINE_CMD_CREATE, "sales"), 400, true, "", "21217");
        } else {
            lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "sales"), 201, "CA5");
            if (how == 1)
                lk_status(&k, "sales", "CA5", LEG_SAYS_BUSY, 2);
            else if (how == 2)
                lk_wait(&k, 60000);
            else
                lk_act(&k, "a2", ACT_HANGUP, "", "");
        }
        T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
        T_EQ(lk_count(&k, LINE_CMD_END_LEG, "sales"), how >= 2 ? 1 : 0);
        T_EQ(k.l.phase, how == 3 ? LINE_ENDING : LINE_ANSWERED);
        T_EQ(k.tells[TELL_NEWS], how == 3 ? 0 : 1);
        T_EQ(k.l.outcome, how == 3 ? LINE_OUTCOME_ANSWERED : LINE_OUTCOME_NONE);
    }
}

static void warm_until_asked(void)
{
    talk();
    lk_act(&k, "a1", ACT_TRANSFER, "sales", "warm");
    T_EQ(lk_count(&k, LINE_CMD_OFFER, ""), 0); /* the caller is held first */
    ok(LINE_CMD_HOLD, "caller");
    T_EQ(k.tells[TELL_HOLD], 1);
    T_STR_EQ(lk_last(&k, LINE_CMD_OFFER, "sales")->action, "a1");
    T_STR_EQ(lk_last(&k, LINE_CMD_OFFER, "sales")->text, "warm");
    T_FALSE(line_accepts(&k.l, STR("a2"), STR("1")));
    T_TRUE(line_accepts(&k.l, STR("a1"), STR("1")));
    T_FALSE(line_accepts(&k.l, STR("a1"), STR("2")));
    T_FALSE(line_accepts(&k.l, STR("a1"), STR("")));
    lk_answer(&k, lk_last(&k, LINE_CMD_OFFER, "sales"), 201, "CA5");
    lk_status(&k, "sales", "CA5", LEG_SAYS_IN_PROGRESS, 2);
    T_EQ(k.tells[TELL_TRANSFERRED], 0);
}

static void warm(void)
{
    warm_until_asked();
    lk_digits(&k, "sales", "a1", "1");
    T_EQ(k.tells[TELL_TRANSFERRED], 0); /* in the room first */
    lk_room(&k, ROOM_JOIN, "sales", "CA5");
    T_EQ(k.tells[TELL_TRANSFERRED], 1);
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_EQ(lk_count(&k, LINE_CMD_UNHOLD, "caller"), 1);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
    ok(LINE_CMD_END_LEG, "model");
    ok(LINE_CMD_STAY, "sales");
    T_EQ(k.l.phase, LINE_ENDING);
    ok(LINE_CMD_UNHOLD, "caller");
    ok(LINE_CMD_STAY, "caller");
    T_EQ(k.l.phase, LINE_OVER);
    T_EQ(k.l.outcome, LINE_OUTCOME_TRANSFERRED);
}

static void warm_declined(void)
{
    for (unsigned how = 0; how < 4; how++) {
        warm_until_asked();
        if (how == 0)
            lk_digits(&k, "sales", "a1", "2");
        else if (how == 1)
            lk_wait(&k, 20000);
        else if (how == 2)
            lk_status(&k, "sales", "CA5", LEG_SAYS_COMPLETED, 3);
        else {
            lk_digits(&k, "sales", "a1", "1");
            lk_wait(&k, 10000); /* said yes, but never came */
        }
        T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
        T_EQ(lk_count(&k, LINE_CMD_END_LEG, "sales"), how == 2 ? 0 : 1);
        T_EQ(lk_count(&k, LINE_CMD_UNHOLD, "caller"), 1);
        ok(LINE_CMD_UNHOLD, "caller");
        T_EQ(k.tells[TELL_RESUME], 1);
        T_EQ(k.tells[TELL_NEWS], 1);
        T_EQ(k.l.phase, LINE_ANSWERED);
        T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 0);
    }
}

static void warm_offer_lost(void)
{
    talk();
    lk_act(&k, "a1", ACT_TRANSFER, "sales", "warm");
    ok(LINE_CMD_HOLD, "caller");
    lk_answer(&k, lk_last(&k, LINE_CMD_OFFER, "sales"), 0, "");
    lk_status(&k, "sales", "CA6", LEG_SAYS_RINGING, 1); /* its callback */
    lk_status(&k, "sales", "CA6", LEG_SAYS_IN_PROGRESS, 2);
    lk_digits(&k, "sales", "a1", "1");
    lk_room(&k, ROOM_JOIN, "sales", "CA6");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_EQ(lk_count(&k, LINE_CMD_OFFER, ""), 1);
}

static void warm_offer_never_heard_of(void)
{
    talk();
    lk_act(&k, "a1", ACT_TRANSFER, "sales", "warm");
    ok(LINE_CMD_HOLD, "caller");
    lk_answer(&k, lk_last(&k, LINE_CMD_OFFER, "sales"), 0, "");
    lk_wait(&k, 120000);
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    T_EQ(lk_count(&k, LINE_CMD_OFFER, ""), 1); /* the target never rings twice */
    T_EQ(lk_count(&k, LINE_CMD_UNHOLD, "caller") > 0, true);
    lk_status(&k, "sales", "CA6", LEG_SAYS_RINGING, 1); /* rings, when nobody wants it any more */
    T_STR_EQ(lk_last(&k, LINE_CMD_END_LEG, "")->sid, "CA6");
}

static void warm_over_a_restart(void)
{
    struct line_seen_leg seen[3] = {
        {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60},
        {.label = STR("model"), .sid = STR("CA2"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60},
        {.label = STR(""), .sid = STR("CA5"), .status = LEG_SAYS_IN_PROGRESS, .up_s = 6}};

    warm_until_asked();
    lk_restart(&k, 1000);
    lk_found(&k, seen, 3);
    lk_digits(&k, "sales", "a1", "1");
    seen[2].in_room = true;
    lk_wait(&k, 2500); /* the callback of the join is lost: a look-up sees it */
    lk_found(&k, seen, 3);
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_EQ(lk_count(&k, LINE_CMD_OFFER, ""), 1);
}

static void left_after_the_transfer(void)
{
    talk();
    lk_act(&k, "a1", ACT_TRANSFER, "sales", "");
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "sales"), 201, "CA5");
    lk_status(&k, "sales", "CA5", LEG_SAYS_IN_PROGRESS, 2);
    lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 9); /* before the line was over */
    T_FALSE(k.l.leave_legs);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "sales"), 1);
}

/* ---- Others ---- */

static void invite_and_remove(void)
{
    talk();
    lk_act(&k, "a1", ACT_INVITE, "boss", "");
    lk_act(&k, "a0", ACT_REMOVE, "model", ""); /* waits: one comes or goes at a time */
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "boss"), 201, "CA5");
    lk_status(&k, "boss", "CA5", LEG_SAYS_IN_PROGRESS, 2);
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_HAS(k.told, "boss has joined");
    ok(LINE_CMD_END_LEG, "model"); /* two humans may talk without it */
    T_EQ(lk_state(&k, "a0"), ACTION_DONE);
    T_EQ(k.l.phase, LINE_ANSWERED);
    lk_wait(&k, 20000);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1);
    lk_act(&k, "a2", ACT_INVITE, "boss", "");
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
    lk_act(&k, "a3", ACT_INVITE, "caller", "");
    T_EQ(lk_state(&k, "a3"), ACTION_FAILED);
    lk_act(&k, "a4", ACT_REMOVE, "boss", "");
    ok(LINE_CMD_END_LEG, "boss");
    T_EQ(lk_state(&k, "a4"), ACTION_DONE);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2); /* somebody must talk to the caller */
    lk_answer_full(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 0, false, "", "");
    lk_act(&k, "a5", ACT_REMOVE, "caller", "");
    T_EQ(k.l.phase, LINE_ENDING);
    ok(LINE_CMD_END_LEG, "caller");
    T_EQ(lk_state(&k, "a5"), ACTION_DONE);
    talk();
    lk_act(&k, "a1", ACT_REMOVE, "model", "");
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
}

static void refusing(void)
{
    struct line_settings set = lk_settings();

    set.can = LINE_CAN_HOLD | LINE_CAN_HANGUP;
    lk_dial(&k, &set);
    T_EQ(line_refuses(&k.l, ACT_HOLD, false), -1);
    T_EQ(line_refuses(&k.l, ACT_HANGUP, false), 0);
    T_EQ(line_refuses(&k.l, ACT_TRANSFER, false), LINE_CAN_TRANSFER);
    T_EQ(line_refuses(&k.l, ACT_TRANSFER, true), LINE_CAN_WARM);
    lk_act(&k, "a1", ACT_HOLD, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    lk_act(&k, "a2", ACT_DTMF, "", "1");
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
}

static void too_many(void)
{
    char id[ID_BYTES];
    unsigned failed = 0;
    char text[LINE_TEXT_BYTES];
    struct buf b;

    talk();
    memset(text, '"', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    text[5] = '\x01';
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(id, sizeof id, "a%u", i);
        lk_act(&k, id, ACT_ANNOUNCE, "", text);
        lk_act(&k, id, ACT_ANNOUNCE, "", text); /* the same */
    }
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(id, sizeof id, "a%u", i);
        failed += lk_state(&k, id) == ACTION_FAILED;
    }
    T_EQ(failed, 40 - LINE_ACTIONS);
    buf_init(&b, LINE_DURABLE_BYTES);
    T_OK(line_write(&k.l, &b)); /* the worst text that there is */
    buf_free(&b);
    lk_act(&k, "end", ACT_HANGUP, "", "");
    T_EQ(k.l.phase, LINE_ENDING);
    T_EQ(lk_state(&k, "end"), ACTION_DONE);
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(id, sizeof id, "a%u", i);
        T_GE(lk_state(&k, id), ACTION_DONE);
    }
}

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
    ok(LINE_CMD_END_LEG, "model");
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
    ok(LINE_CMD_RECORD_PAUSE, "");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    T_EQ(k.l.recording, REC_PAUSED);
    lk_act(&k, "a2", ACT_RECORD_RESUME, "", "");
    ok(LINE_CMD_RECORD_RESUME, "");
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
    ok(LINE_CMD_RECORD_STOP, "");
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
    ok(LINE_CMD_RECORD_PAUSE, "");
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
    ok(LINE_CMD_RECORD_PAUSE, "");
    lk_act(&k, "a2", ACT_RECORD_RESUME, "", "");
    lk_act(&k, "a3", ACT_RECORD_PAUSE, "", "");
    for (unsigned i = 0; i < 12; i++) {
        lk_answer(&k, lk_last(&k, LINE_CMD_RECORD_RESUME, ""), 0, "");
        lk_wait(&k, 2000);
    }
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
    T_EQ(lk_state(&k, "a3"), ACTION_DOING); /* it may well be recording now */
    T_EQ(lk_count(&k, LINE_CMD_RECORD_PAUSE, ""), 2);
    ok(LINE_CMD_RECORD_PAUSE, "");
    T_EQ(lk_state(&k, "a3"), ACTION_DONE);
}

static void recording_on_request(void)
{
    talk();
    lk_act(&k, "a1", ACT_RECORD_PAUSE, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_FAILED);
    lk_act(&k, "a2", ACT_RECORD_START, "", "");
    lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, "caller"), 201, "RE1");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
    lk_act(&k, "a3", ACT_RECORD_STOP, "", "");
    ok(LINE_CMD_RECORD_STOP, "");
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

/* ---- Incoming and direct lines ---- */

static void incoming(void)
{
    struct line_settings set = lk_settings();

    memset(&k, 0, sizeof k);
    set.outbound = false;
    line_begin_inbound(&k.l, &set, STR("r"), STR("CA1"), STR("+15551112222"), lk_now(&k), &k.fx);
    lk_after(&k);
    T_EQ(k.l.phase, LINE_ANSWERED);
    lk_wait(&k, 0);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1); /* at once */
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "caller"), 0);
    lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 3);
    T_EQ(k.l.outcome, LINE_OUTCOME_ANSWERED);
}

static void direct(void)
{
    struct line_settings set = lk_settings();

    memset(&k, 0, sizeof k);
    set.can = LINE_CAN_REFER | LINE_CAN_HANGUP | LINE_CAN_SAY;
    line_begin_direct(&k.l, &set, lk_now(&k));
    T_NULL(line_broken(&k.l));
    lk_wait(&k, 1);
    T_EQ(k.saves, 1);
    T_EQ(line_refuses(&k.l, ACT_HOLD, false), LINE_CAN_HOLD);
    T_EQ(line_refuses(&k.l, ACT_TRANSFER, true), LINE_CAN_WARM);
    T_EQ(line_refuses(&k.l, ACT_TRANSFER, false), 0);
    lk_act(&k, "a1", ACT_SAY, "", "hi");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
}

static void refers(void)
{
    for (unsigned how = 0; how < 3; how++) {
        direct();
        lk_act(&k, "a2", ACT_TRANSFER, "sales", "");
        T_STR_EQ(lk_last(&k, LINE_CMD_REFER, "")->text, "+15557770000");
        ok(LINE_CMD_REFER, "");
        T_EQ(lk_state(&k, "a2"), ACTION_DOING); /* 200 proves nothing */
        if (how == 0)
            lk_said_model(&k, LINE_EV_MODEL_GONE);
        else if (how == 1)
            lk_wait(&k, 10000);
        else
            lk_said_model(&k, LINE_EV_MODEL_LEAVES);
        T_EQ(lk_state(&k, "a2"), how == 0 ? ACTION_HANDED_OVER : how == 1 ? ACTION_FAILED : ACTION_UNCERTAIN);
        T_EQ(k.l.outcome, how == 0 ? LINE_OUTCOME_TRANSFERRED : how == 1 ? LINE_OUTCOME_NONE : LINE_OUTCOME_ANSWERED);
        T_EQ(lk_count(&k, LINE_CMD_END_ROOM, ""), how == 2);
        if (how == 0) {
            T_HAS(lk_error(&k, "a2"), "unconfirmed");
            T_EQ(k.overs, 1);
        }
    }
    direct();
    lk_act(&k, "a3", ACT_HANGUP, "", "");
    T_EQ(lk_count(&k, LINE_CMD_END_ROOM, ""), 1);
    ok(LINE_CMD_END_ROOM, "");
    T_EQ(lk_state(&k, "a3"), ACTION_DONE);
    T_EQ(k.l.phase, LINE_OVER);
    direct();
    lk_said_model(&k, LINE_EV_MODEL_GONE); /* the caller hung up */
    T_EQ(k.l.outcome, LINE_OUTCOME_ANSWERED);
    T_EQ(k.overs, 1);
}

/* How a refer that was under way is resolved: [died before its answer came][what becomes of the call]. */
static void refers_over_a_restart(void)
{
    static const enum line_ev after[] = {LINE_EV_MODEL_LIVE, LINE_EV_MODEL_GONE, LINE_EV_NONE};
    static const enum line_action_state states[2][3] = {
        {ACTION_FAILED, ACTION_HANDED_OVER, ACTION_UNCERTAIN}, {ACTION_UNCERTAIN, ACTION_HANDED_OVER, ACTION_UNCERTAIN}};

    for (unsigned early = 0; early < 2; early++) {
        for (unsigned how = 0; how < 3; how++) {
            direct();
            lk_act(&k, "a2", ACT_TRANSFER, "sales", "");
            if (!early)
                ok(LINE_CMD_REFER, "");
            lk_restart(&k, 1000);
            T_EQ(lk_state(&k, "a2"), ACTION_DOING); /* what becomes of the call says it */
            if (after[how] != LINE_EV_NONE)
                lk_said_model(&k, after[how]);
            lk_wait(&k, after[how] == LINE_EV_NONE ? 69000 : 10000);
            if (after[how] == LINE_EV_NONE)
                T_EQ(lk_state(&k, "a2"), ACTION_DOING);
            lk_wait(&k, 2000);
            T_EQ(lk_state(&k, "a2"), states[early][how]);
            T_EQ(lk_count(&k, LINE_CMD_REFER, ""), 1);
            T_EQ(k.l.phase, after[how] == LINE_EV_MODEL_GONE ? LINE_OVER : LINE_ANSWERED);
        }
    }
}

/* The control channel breaks about the time at which the watch ends: it waits until that is known. */
static void refers_while_nobody_knows(void)
{
    for (unsigned gone = 0; gone < 2; gone++) {
        direct();
        lk_act(&k, "a2", ACT_TRANSFER, "sales", "");
        ok(LINE_CMD_REFER, "");
        lk_wait(&k, 9000);
        lk_said_model(&k, LINE_EV_MODEL_AWAY);
        lk_wait(&k, 9000);
        T_EQ(lk_state(&k, "a2"), ACTION_DOING);
        lk_said_model(&k, gone ? LINE_EV_MODEL_GONE : LINE_EV_MODEL_LIVE);
        T_EQ(lk_state(&k, "a2"), gone ? ACTION_HANDED_OVER : ACTION_FAILED);
    }
    direct();
    lk_said_model(&k, LINE_EV_MODEL_AWAY);
    lk_act(&k, "a2", ACT_TRANSFER, "sales", "");
    T_EQ(lk_count(&k, LINE_CMD_REFER, ""), 0); /* nobody to refer, as far as is known */
    lk_said_model(&k, LINE_EV_MODEL_LIVE);
    T_EQ(lk_count(&k, LINE_CMD_REFER, ""), 1);
}

/* ---- Every event in every phase ---- */

static void any_event(unsigned kind)
{
    struct line_event ev = {.kind = (enum line_ev)kind};
    static const struct line_seen_leg seen = {.label = {"x", 1}, .sid = {"CAx", 3}, .status = LEG_SAYS_RINGING};

    if (kind == LINE_EV_ACTION) {
        for (unsigned a = 0; a <= ACT_KINDS; a++) {
            memset(&ev.u, 0, sizeof ev.u);
            ev.u.action.kind = (enum line_action_kind)a;
            (void)snprintf(ev.u.action.id, ID_BYTES, "any%u", a);
            lk_step(&k, &ev);
        }
        return;
    }
    if (kind == LINE_EV_FOUND) {
        ev.u.found.http_status = 200;
        ev.u.found.legs = &seen;
        ev.u.found.n_legs = 1;
        ev.u.found.cmd = k.l.look.n;
    }
    lk_step(&k, &ev);
    if (kind == LINE_EV_CREATED || kind == LINE_EV_DONE) {
        for (unsigned n = 0; n < 12; n++) {
            ev.u.answer.cmd = n;
            ev.u.answer.http_status = 200;
            lk_step(&k, &ev);
        }
    }
}

static void any_event_anywhere(void)
{
    struct line_settings set = lk_settings();

    for (unsigned phase = 0; phase < LINE_PHASES; phase++) {
        for (unsigned kind = 0; kind <= LINE_EV_COUNT; kind++) {
            if (phase >= LINE_ANSWERED)
                lk_talk(&k, &set);
            else
                lk_dial(&k, &set);
            if (phase == LINE_QUEUED) {
                memset(&k, 0, sizeof k);
                k.hold_slots = true;
                line_begin_dial(&k.l, &set, STR("r"), STR("+15551230000"), 0, lk_now(&k), &k.fx);
                lk_after(&k);
            }
            if (phase == LINE_RINGING)
                lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1);
            if (phase >= LINE_ENDING)
                lk_said_model(&k, LINE_EV_MODEL_LEAVES);
            if (phase == LINE_OVER)
                lk_wait(&k, 80000);
            T_EQ(k.l.phase, phase);
            any_event(kind);
        }
    }
}

int main(void)
{
    T_RUN(hold_and_resume);
    T_RUN(hold_fails);
    T_RUN(model_lost_while_hold_is_in_doubt);
    T_RUN(hold_over_a_restart);
    T_RUN(parked);
    T_RUN(longest_hold);
    T_RUN(mute);
    T_RUN(digits_once);
    T_RUN(digits_over_a_restart);
    T_RUN(announce);
    T_RUN(collect);
    T_RUN(blind);
    T_RUN(blind_fails);
    T_RUN(warm);
    T_RUN(warm_declined);
    T_RUN(warm_offer_lost);
    T_RUN(warm_offer_never_heard_of);
    T_RUN(warm_over_a_restart);
    T_RUN(left_after_the_transfer);
    T_RUN(invite_and_remove);
    T_RUN(refusing);
    T_RUN(too_many);
    T_RUN(recording_after_the_notice);
    T_RUN(recording_with_consent);
    T_RUN(recording_callback_lost);
    T_RUN(recording_answer_lost);
    T_RUN(recording_and_a_newcomer);
    T_RUN(pause_after_a_lost_resume);
    T_RUN(recording_on_request);
    T_RUN(machines);
    T_RUN(voicemail_message);
    T_RUN(incoming);
    T_RUN(direct);
    T_RUN(refers);
    T_RUN(refers_over_a_restart);
    T_RUN(refers_while_nobody_knows);
    T_RUN(any_event_anywhere);
    return T_DONE();
}
