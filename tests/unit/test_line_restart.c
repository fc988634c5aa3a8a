/* SPDX-License-Identifier: MIT */
/* The line machine, rule by rule: what the next instance makes of a line, and of legs that nobody knows. */
#include "plugin/call/line.h"

#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk k;

static void restart_while_dialling(void)
{
    struct line_settings set = lk_settings();
    struct line_seen_leg seen = {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_RINGING, .up_s = -1};

    lk_dial(&k, &set);
    lk_restart(&k, 1000); /* the create may have been sent */
    T_EQ(k.l.legs[0].state, LEG_LOST);
    T_EQ(lk_count(&k, LINE_CMD_LOOK_UP, ""), 1);
    lk_found(&k, NULL, 0);
    lk_wait(&k, 4000);
    lk_found(&k, &seen, 1);
    T_EQ(k.l.phase, LINE_RINGING);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), 1);
}

static void restart_with_an_answer(void)
{
    struct line_seen_leg seen = {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS};
    static const struct { int64_t up_s; uint64_t away_ms; bool model; } v[] = {
        {5, 20000, true}, {14, 20000, true}, {16, 20000, false}, {-1, 3000, true}, {-1, 20000, false}};

    for (unsigned i = 0; i < sizeof v / sizeof v[0]; i++) {
        lk_dial_made(&k);
        lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1);
        lk_restart(&k, v[i].away_ms);
        T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 0);
        seen.up_s = v[i].up_s;
        lk_found(&k, &seen, 1);
        T_EQ(k.l.answered_wall_ms != 0, true);
        T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), v[i].model);
        T_EQ(lk_count(&k, LINE_CMD_APOLOGISE, "caller"), !v[i].model);
        T_EQ(k.l.outcome, v[i].model ? LINE_OUTCOME_NONE : LINE_OUTCOME_INTERRUPTED);
    }
}

static void restart_in_a_call(void)
{
    struct line_settings set = lk_settings();
    struct line_seen_leg seen[2] = {
        {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60},
        {.label = STR("model"), .sid = STR("CA2"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60}};

    lk_talk(&k, &set);
    lk_wait(&k, 40000);
    lk_restart(&k, 5000);
    lk_found(&k, seen, 2);
    T_EQ(k.l.phase, LINE_ANSWERED);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1);
    lk_restart(&k, 5000);
    lk_found(&k, seen, 1); /* the model is gone, the caller waits for 45 s */
    T_EQ(lk_count(&k, LINE_CMD_APOLOGISE, "caller"), 1);
    T_EQ(k.l.outcome, LINE_OUTCOME_INTERRUPTED);
    lk_talk(&k, &set);
    lk_wait(&k, 40000);
    lk_restart(&k, 5000);
    lk_found(&k, seen + 1, 1); /* the caller is gone */
    T_EQ(k.l.outcome, LINE_OUTCOME_ANSWERED);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
}

static void strays_after_a_restart(void)
{
    struct line_settings set = lk_settings();
    struct line_seen_leg seen[3] = {
        {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60},
        {.label = STR("model"), .sid = STR("CA2"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60},
        {.label = STR("model"), .sid = STR("CA8"), .status = LEG_SAYS_IN_PROGRESS, .in_room = true, .up_s = 60}};

    lk_talk(&k, &set);
    lk_restart(&k, 5000);
    lk_found(&k, seen, 3);
    T_STR_EQ(lk_last(&k, LINE_CMD_END_LEG, "")->sid, "CA8");
    T_EQ(k.l.phase, LINE_ANSWERED);
}

static void restart_without_a_carrier(void)
{
    struct line_settings set = lk_settings();
    struct line_event ev = {.kind = LINE_EV_FOUND};

    lk_talk(&k, &set);
    lk_restart(&k, 1000);
    for (unsigned i = 0; i < 12; i++) {
        ev.u.found.cmd = lk_last(&k, LINE_CMD_LOOK_UP, "")->n;
        ev.u.found.http_status = 0;
        lk_step(&k, &ev);
        lk_wait(&k, 2000);
    }
    T_GE(lk_count(&k, LINE_CMD_LOOK_UP, ""), 4);
    T_EQ(k.l.phase, LINE_ANSWERED); /* the call may well go on: it is not ours to end */
    T_FALSE(k.l.restored);
}

static void restart_while_ending(void)
{
    struct line_settings set = lk_settings();

    lk_talk(&k, &set);
    lk_said_model(&k, LINE_EV_MODEL_LEAVES);
    lk_restart(&k, 3000);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "caller"), 2); /* at once, without a look-up */
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 2);
    T_EQ(lk_count(&k, LINE_CMD_END_ROOM, ""), 2);
    lk_end_all(&k);
    T_EQ(k.l.phase, LINE_OVER);
}

int main(void)
{
    T_RUN(restart_while_dialling);
    T_RUN(restart_with_an_answer);
    T_RUN(restart_in_a_call);
    T_RUN(strays_after_a_restart);
    T_RUN(restart_without_a_carrier);
    T_RUN(restart_while_ending);
    return T_DONE();
}
