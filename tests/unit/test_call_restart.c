/* SPDX-License-Identifier: MIT */
/* A call that goes on in the next instance: each state it may have been left in, and leaving. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void restored(const char *state, bool spoke, const char *reason)
{
    struct call_restored r = {.state = str_of(state),
                              .reason = str_of(reason),
                              .age_ms = 60000,
                              .live_age_ms = 55000,
                              .turns = 3,
                              .spoke = spoke};

    kit_open(&kit, kit_settings());
    kit_restore(&kit, &r);
}

static void restore_each_state(void)
{
    restored("claimed", false, "");
    kit_expect(&kit, CALL_ACCEPTING, CALL_REASON_NONE);
    T_EQ(kit.accepts, 1);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
    T_EQ(kit.notices[CALL_NOTICE_ACCEPTED], 1);
    kit_saved(&kit);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("claimed, and the second accept says no: the sideband knows");
    static const int no[] = {400, 404, 409, 429};
    for (size_t i = 0; i < 4; i++) {
        restored("claimed", false, "");
        kit_rest(&kit, CALL_EV_ACCEPTED, no[i], false);
        kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
        kit_session(&kit);
        kit_expect(&kit, CALL_LIVE, CALL_REASON_NONE);
        T_EQ(kit.notices[CALL_NOTICE_ACCEPTED], 1);
        kit_saved(&kit);
        T_EQ(kit.asks, 1);
        kit_close(&kit);
        restored("claimed", false, "");
        kit_rest(&kit, CALL_EV_ACCEPTED, no[i], false);
        kit_lost(&kit, 404);
        kit_expect(&kit, CALL_OVER, CALL_REASON_ENDED_WHILE_DOWN);
        kit_close(&kit);
    }

    T_CASE("claimed, and the second accept met an error of the server: perhaps it still rings");
    restored("claimed", false, "");
    kit_rest(&kit, CALL_EV_ACCEPTED, 503, true);
    for (unsigned i = 0; i < 3; i++) {
        kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
        kit_lost(&kit, 404);
        kit_run(&kit, 700);
    }
    kit_expect(&kit, CALL_REFUSING, CALL_REASON_ACCEPT_FAILED);
    kit_close(&kit);

    T_CASE("accepted: attached and greeted");
    restored("accepted", false, "");
    kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
    kit_session(&kit);
    kit_saved(&kit);
    T_EQ(kit.asks, 1);
    T_EQ(kit.accepts, 0);
    T_EQ(kit.notices[CALL_NOTICE_ACCEPTED], 0);
    kit_close(&kit);

    T_CASE("live and has spoken: attached, no second greeting");
    restored("live", true, "");
    kit_session(&kit);
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 0);
    T_EQ(kit.ticket, 0);
    T_EQ(kit.notices[CALL_NOTICE_LIVE], 1);
    kit_close(&kit);

    T_CASE("live, nothing spoken: only if it stays quiet");
    restored("live", false, "");
    kit_session(&kit);
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 0);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
    restored("live", false, "");
    kit_session(&kit);
    kit_run(&kit, 1000);
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_greeting");
    kit_run(&kit, 10000);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_greeting");
    kit_run(&kit, 10000);
    T_EQ(kit.asks, 0);
    kit_close(&kit);

    T_CASE("live, and over when we came back");
    restored("live", true, "");
    kit_lost(&kit, 404);
    kit_expect(&kit, CALL_OVER, CALL_REASON_ENDED_WHILE_DOWN);
    kit_close(&kit);

    T_CASE("live, re-attached, then the caller hangs up");
    restored("live", true, "");
    kit_session(&kit);
    kit_run(&kit, 30000);
    kit_lost(&kit, 0);
    kit_lost(&kit, 404);
    kit_expect(&kit, CALL_OVER, CALL_REASON_CALLER_HUNG_UP);
    kit_close(&kit);

    T_CASE("leaving: the hang-up is carried out");
    restored("leaving", true, "silence");
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_SILENCE);
    T_EQ(kit.hangups, 1);
    kit_rest(&kit, CALL_EV_HUNG_UP, 404, true);
    kit_expect(&kit, CALL_OVER, CALL_REASON_SILENCE);
    kit_close(&kit);
    restored("leaving", true, "no such reason");
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_ENDED_WHILE_DOWN);
    kit_close(&kit);

    T_CASE("refusing: the reject is carried out");
    restored("refusing", false, "refused_busy");
    kit_expect(&kit, CALL_REFUSING, CALL_REASON_REFUSED_BUSY);
    T_EQ(kit.rejects, 1);
    T_EQ(kit.sip_status, 603);
    kit_close(&kit);
    restored("refusing", false, "");
    kit_expect(&kit, CALL_REFUSING, CALL_REASON_REFUSED_POLICY);
    kit_close(&kit);
}

static void restored_call_keeps_its_limit(void)
{
    struct call_restored r = {.state = STR("live"), .age_ms = 1760000, .live_age_ms = 1750000, .spoke = true};

    kit_open(&kit, kit_settings());
    kit_restore(&kit, &r);
    kit_session(&kit);
    kit_talk(&kit, 49000);
    kit_expect(&kit, CALL_LIVE, CALL_REASON_NONE);
    kit_run(&kit, 1100);
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_MAX_DURATION);
    kit_close(&kit);

    T_CASE("its time was up while nobody drove it");
    r.live_age_ms = 2000000;
    kit_open(&kit, kit_settings());
    kit_restore(&kit, &r);
    kit_session(&kit);
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_MAX_DURATION);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

static void leaving_detaches(void)
{
    kit_live(&kit, kit_settings());
    kit_plain(&kit, CALL_EV_LEAVE);
    T_EQ(kit.detaches, 1);
    T_EQ(kit.hangups, 0);
    T_EQ(kit.fx.n, 1);
    kit_close(&kit);
}

int main(void)
{
    T_RUN(restore_each_state);
    T_RUN(restored_call_keeps_its_limit);
    T_RUN(leaving_detaches);
    return T_DONE();
}
