/* SPDX-License-Identifier: MIT */
/* The line machine, rule by rule: how a line ends, from every side and before it began. */
#include "plugin/call/line.h"

#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk k;

static void ends_from_every_side(void)
{
    struct line_settings set = lk_settings();

    for (unsigned how = 0; how < 4; how++) {
        if (how == 3)
            set.max_ms = 60000;
        lk_talk(&k, &set);
        lk_wait(&k, 1000);
        if (how == 0)
            lk_act(&k, "act_1", ACT_HANGUP, "", "");
        else if (how == 1)
            lk_said_model(&k, LINE_EV_MODEL_LEAVES);
        else if (how == 2)
            lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 4);
        else
            lk_wait(&k, 60000);
        T_EQ(k.l.outcome, LINE_OUTCOME_ANSWERED);
        T_EQ(lk_count(&k, LINE_CMD_END_ROOM, ""), 1);
        T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
        T_EQ(lk_count(&k, LINE_CMD_END_LEG, "caller"), how == 2 ? 0 : 1);
        T_EQ(k.l.phase, LINE_ENDING);
        if (how == 0)
            T_EQ(lk_state(&k, "act_1"), ACTION_DOING);
        lk_end_all(&k);
        T_EQ(k.l.phase, LINE_OVER);
        T_EQ(k.tells[TELL_OVER], 1);
        T_EQ(k.overs, 1);
        if (how == 0)
            T_EQ(lk_state(&k, "act_1"), ACTION_DONE);
    }
}

static void ending_is_repeated(void)
{
    struct line_settings set = lk_settings();

    lk_talk(&k, &set);
    lk_said_model(&k, LINE_EV_MODEL_LEAVES);
    for (unsigned i = 0; i < 12; i++) {
        lk_answer(&k, lk_last(&k, LINE_CMD_END_LEG, "caller"), 503, "");
        lk_wait(&k, 2000);
    }
    T_GE(lk_count(&k, LINE_CMD_END_LEG, "caller"), 4);
    T_GE(lk_count(&k, LINE_CMD_LOOK_UP, ""), 1); /* after 15 s a look-up decides */
    lk_wait(&k, 75000);
    T_EQ(k.l.phase, LINE_OVER);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 9); /* it lives, after all */
    T_STR_EQ(lk_last(&k, LINE_CMD_END_LEG, "")->sid, "CA1");
}

static void queued_never_rings(void)
{
    struct line_settings set = lk_settings();

    memset(&k, 0, sizeof k);
    k.hold_slots = true;
    line_begin_dial(&k.l, &set, STR("r"), STR("+15551230000"), 0, lk_now(&k), &k.fx);
    lk_after(&k);
    lk_act(&k, "act_1", ACT_HANGUP, "", "");
    T_EQ(k.l.outcome, LINE_OUTCOME_CANCELED);
    T_EQ(k.l.phase, LINE_OVER);
    T_EQ(k.n_cmds, 0);
    T_EQ(lk_state(&k, "act_1"), ACTION_DONE);
    {
        struct line_event ev = {.kind = LINE_EV_SLOT};

        ev.u.label = STR("caller");
        lk_step(&k, &ev);
    }
    T_EQ(k.n_cmds, 0);
}

static void ended_while_creating(void)
{
    struct line_settings set = lk_settings();
    struct line_seen_leg seen = {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_RINGING, .up_s = -1};

    for (unsigned how = 0; how < 3; how++) {
        lk_dial(&k, &set);
        if (how == 2)
            lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 0, "");
        lk_act(&k, "act_1", ACT_HANGUP, "", "");
        T_EQ(k.l.phase, LINE_ENDING);
        if (how == 0)
            lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 201, "CA1");
        if (how == 1)
            lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 503, "");
        if (how > 0)
            lk_found(&k, &seen, 1);
        T_EQ(lk_count(&k, LINE_CMD_END_LEG, "caller"), 1);
        lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 3); /* answered a moment before */
        T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 0);
        lk_answer(&k, lk_last(&k, LINE_CMD_END_LEG, "caller"), 200, "");
        T_EQ(k.l.phase, LINE_OVER);
        T_EQ(k.l.outcome, LINE_OUTCOME_CANCELED);
    }
}

static void delete_before_the_save(void)
{
    struct line_settings set = lk_settings();
    struct line_event ev = {.kind = LINE_EV_SLOT};

    memset(&k, 0, sizeof k);
    k.hold_slots = k.hold_saves = true;
    line_begin_dial(&k.l, &set, STR("r"), STR("+15551230000"), 0, lk_now(&k), &k.fx);
    lk_after(&k);
    ev.u.label = STR("caller");
    lk_step(&k, &ev);
    lk_act(&k, "act_1", ACT_HANGUP, "", "");
    ev.kind = LINE_EV_SAVED;
    ev.u.version = k.l.version;
    lk_step(&k, &ev);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), 0);
    T_EQ(k.l.outcome, LINE_OUTCOME_CANCELED);
}

static bool was_ended(const char *sid)
{
    for (unsigned i = 0; i < k.n_cmds; i++) {
        if (k.cmds[i].what == LINE_CMD_END_LEG && strcmp(k.cmds[i].sid, sid) == 0)
            return true;
    }
    return false;
}

/* The create's answer names another leg than a callback did, when nobody is wanted any more. */
static void answers_after_the_end(void)
{
    for (unsigned how = 0; how < 2; how++) {
        struct line_settings set = lk_settings();

        set.record = how == 0; /* over, it waits for the recording */
        lk_dial(&k, &set);
        lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 201, "CA1");
        lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
        if (how == 0) {
            lk_status(&k, "model", "CA7", LEG_SAYS_IN_PROGRESS, 1);
            lk_said_model(&k, LINE_EV_MODEL_LIVE);
            lk_answer(&k, lk_last(&k, LINE_CMD_RECORD, ""), 201, "RE1");
            lk_status(&k, "model", "CA7", LEG_SAYS_COMPLETED, 2);
        } else {
            lk_room(&k, ROOM_JOIN, "model", "CA7");
        }
        lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 3);
        if (how == 1)
            lk_status(&k, "model", "CA7", LEG_SAYS_COMPLETED, 2);
        T_EQ(k.l.phase, LINE_OVER);
        T_EQ(k.overs, how);
        for (unsigned i = 0; i < k.n_cmds; i++) {
            if (k.cmds[i].what == LINE_CMD_CREATE && strcmp(k.cmds[i].label, "model") == 0) {
                lk_answer(&k, &k.cmds[i], 201, "CA2");
                break;
            }
        }
        T_TRUE(was_ended("CA2"));
    }
    for (unsigned i = 0; i < 2; i++) { /* the same in a call, when somebody else is being brought already */
        struct line_settings set = lk_settings();
        struct lk_cmd first;

        lk_talk(&k, &set);
        lk_act(&k, "act_1", ACT_INVITE, "sales", "");
        first = *lk_last(&k, LINE_CMD_CREATE, "sales");
        lk_status(&k, "sales", "CA7", LEG_SAYS_BUSY, 1);
        T_EQ(lk_state(&k, "act_1"), ACTION_FAILED);
        if (i == 0)
            lk_act(&k, "act_2", ACT_INVITE, "sales", "");
        lk_answer(&k, &first, 201, "CA8");
        T_TRUE(was_ended("CA8"));
        T_EQ(lk_state(&k, "act_2"), i == 0 ? (int)ACTION_DOING : -1);
    }
}

int main(void)
{
    T_RUN(ends_from_every_side);
    T_RUN(ending_is_repeated);
    T_RUN(queued_never_rings);
    T_RUN(ended_while_creating);
    T_RUN(delete_before_the_save);
    T_RUN(answers_after_the_end);
    return T_DONE();
}
