/* SPDX-License-Identifier: MIT */
/* The line machine, rule by rule: actions, hold, transfers. */
#include "plugin/call/line.h"

#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk k;

static void talk(void)
{
    struct line_settings set = lk_settings();

    lk_talk(&k, &set);
}

/* ---- Hold, mute ---- */

static void hold_and_resume(void)
{
    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_DOING);
    T_EQ(k.tells[TELL_HOLD], 0);
    lk_ok(&k, LINE_CMD_HOLD, "caller");
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
    lk_ok(&k, LINE_CMD_UNHOLD, "caller");
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
    lk_ok(&k, LINE_CMD_HOLD, "caller");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
}

static void parked(void)
{
    struct line_settings set = lk_settings();

    set.hold_drop_ms = 30000;
    lk_talk(&k, &set);
    lk_act(&k, "a1", ACT_HOLD, "", "");
    lk_ok(&k, LINE_CMD_HOLD, "caller");
    lk_wait(&k, 30000);
    T_EQ(k.tells[TELL_PARK], 1);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
    lk_ok(&k, LINE_CMD_END_LEG, "model");
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
    lk_ok(&k, LINE_CMD_UNHOLD, "caller");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
}

static void longest_hold(void)
{
    talk();
    lk_act(&k, "a1", ACT_HOLD, "", "");
    lk_ok(&k, LINE_CMD_HOLD, "caller");
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
    lk_ok(&k, LINE_CMD_MUTE, "caller");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    lk_ok(&k, LINE_CMD_UNMUTE, "caller");
    T_EQ(lk_state(&k, "a2"), ACTION_DONE);
    lk_act(&k, "a3", ACT_MUTE, "model", "");
    lk_ok(&k, LINE_CMD_MUTE, "model");
    T_EQ(lk_state(&k, "a3"), ACTION_DONE);
    lk_act(&k, "a4", ACT_MUTE, "nobody", "");
    T_EQ(lk_state(&k, "a4"), ACTION_FAILED);
}

/* ---- Digits, words ---- */

static void digits_once(void)
{
    static const struct { int status; bool sent; enum line_action_state state; bool again; } v[] = {
        {200, true, ACTION_DOING, false}, {400, true, ACTION_FAILED, false}, {0, true, ACTION_DOING, false},
        {503, true, ACTION_DOING, false}, {0, false, ACTION_DOING, true}, {429, true, ACTION_DOING, true}};

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
        T_EQ(lk_count(&k, LINE_CMD_PLAY_DIGITS, ""), v[i].again ? 2 : 1);
    }
}

/* The carrier takes them, then fetches them from us: only that it has played them says that it did. */
static void digits_played(void)
{
    talk();
    lk_act(&k, "a1", ACT_DTMF, "", "12#");
    lk_ok(&k, LINE_CMD_PLAY_DIGITS, "caller");
    T_EQ(lk_state(&k, "a1"), ACTION_DOING);
    lk_room(&k, ROOM_ANNOUNCED, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    lk_act(&k, "a2", ACT_DTMF, "", "3");
    lk_ok(&k, LINE_CMD_PLAY_DIGITS, "caller");
    lk_room(&k, ROOM_ANNOUNCE_FAILED, "", "");
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
    lk_act(&k, "a3", ACT_DTMF, "", "4");
    lk_ok(&k, LINE_CMD_PLAY_DIGITS, "caller");
    lk_restart(&k, 1000); /* away when they were to be fetched */
    T_EQ(lk_state(&k, "a3"), ACTION_UNCERTAIN);
    lk_wait(&k, 10000);
    T_EQ(lk_count(&k, LINE_CMD_PLAY_DIGITS, ""), 3);
}

/* The answer is lost: that the carrier tells their end is enough; otherwise nobody knows. */
static void digits_without_an_answer(void)
{
    talk();
    lk_act(&k, "a1", ACT_DTMF, "", "12#");
    lk_answer_full(&k, lk_last(&k, LINE_CMD_PLAY_DIGITS, "caller"), 0, true, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_DOING);
    lk_room(&k, ROOM_ANNOUNCED, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    lk_act(&k, "a2", ACT_DTMF, "", "3");
    lk_answer_full(&k, lk_last(&k, LINE_CMD_PLAY_DIGITS, "caller"), 0, true, "", "");
    lk_wait(&k, 50000);
    T_EQ(lk_state(&k, "a2"), ACTION_UNCERTAIN);
    T_EQ(lk_count(&k, LINE_CMD_PLAY_DIGITS, ""), 2);
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
    lk_ok(&k, LINE_CMD_ANNOUNCE, "");
    T_EQ(lk_state(&k, "a1"), ACTION_DOING);
    lk_room(&k, ROOM_ANNOUNCED, "", "");
    T_EQ(lk_state(&k, "a1"), ACTION_DONE);
    lk_act(&k, "a2", ACT_ANNOUNCE, "caller", "hello you");
    lk_ok(&k, LINE_CMD_ANNOUNCE, "caller");
    lk_room(&k, ROOM_ANNOUNCE_FAILED, "", "");
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
    lk_act(&k, "a3", ACT_ANNOUNCE, "", "hello");
    lk_ok(&k, LINE_CMD_ANNOUNCE, "");
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
        lk_ok(&k, LINE_CMD_STAY, "caller");
        T_EQ(lk_count(&k, LINE_CMD_COLLECT, "caller"), 1);
        lk_ok(&k, LINE_CMD_COLLECT, "caller");
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
        lk_ok(&k, LINE_CMD_STAY, "caller");
        T_TRUE(k.l.legs[0].ends_room);
    }
    talk();
    lk_act(&k, "a1", ACT_COLLECT, "", "");
    lk_ok(&k, LINE_CMD_STAY, "caller");
    lk_ok(&k, LINE_CMD_COLLECT, "caller");
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
    lk_ok(&k, LINE_CMD_STAY, "caller");
    lk_ok(&k, LINE_CMD_STAY, "sales");
    T_EQ(k.l.phase, LINE_ENDING);
    lk_ok(&k, LINE_CMD_END_LEG, "model");
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
    lk_ok(&k, LINE_CMD_HOLD, "caller");
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
    lk_ok(&k, LINE_CMD_END_LEG, "model");
    lk_ok(&k, LINE_CMD_STAY, "sales");
    T_EQ(k.l.phase, LINE_ENDING);
    lk_ok(&k, LINE_CMD_UNHOLD, "caller");
    lk_ok(&k, LINE_CMD_STAY, "caller");
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
        lk_ok(&k, LINE_CMD_UNHOLD, "caller");
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
    lk_ok(&k, LINE_CMD_HOLD, "caller");
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
    lk_ok(&k, LINE_CMD_HOLD, "caller");
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
    lk_ok(&k, LINE_CMD_END_LEG, "model"); /* two humans may talk without it */
    T_EQ(lk_state(&k, "a0"), ACTION_DONE);
    T_EQ(k.l.phase, LINE_ANSWERED);
    lk_wait(&k, 20000);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1);
    lk_act(&k, "a2", ACT_INVITE, "boss", "");
    T_EQ(lk_state(&k, "a2"), ACTION_FAILED);
    lk_act(&k, "a3", ACT_INVITE, "caller", "");
    T_EQ(lk_state(&k, "a3"), ACTION_FAILED);
    lk_act(&k, "a4", ACT_REMOVE, "boss", "");
    lk_ok(&k, LINE_CMD_END_LEG, "boss");
    T_EQ(lk_state(&k, "a4"), ACTION_DONE);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2); /* somebody must talk to the caller */
    lk_answer_full(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 0, false, "", "");
    lk_act(&k, "a5", ACT_REMOVE, "caller", "");
    T_EQ(k.l.phase, LINE_ENDING);
    lk_ok(&k, LINE_CMD_END_LEG, "caller");
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
    T_RUN(digits_played);
    T_RUN(digits_without_an_answer);
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
    T_RUN(any_event_anywhere);
    return T_DONE();
}
