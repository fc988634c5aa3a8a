/* SPDX-License-Identifier: MIT */
/* The line machine, rule by rule: lines that begin with a caller, and such without a carrier. */
#include "plugin/call/line.h"

#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk k;

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
        lk_ok(&k, LINE_CMD_REFER, "");
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
    lk_ok(&k, LINE_CMD_END_ROOM, "");
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
                lk_ok(&k, LINE_CMD_REFER, "");
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
        lk_ok(&k, LINE_CMD_REFER, "");
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

int main(void)
{
    T_RUN(incoming);
    T_RUN(direct);
    T_RUN(refers);
    T_RUN(refers_over_a_restart);
    T_RUN(refers_while_nobody_knows);
    return T_DONE();
}
