/* SPDX-License-Identifier: MIT */
/* How a call ends: its limits, the goodbye that is heard out, what hanging up is answered. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void maximum_duration(void)
{
    struct call_settings set = kit_settings();

    set.max_duration_ms = 120000;
    kit_live(&kit, set);
    kit_run(&kit, 89000);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1000);
    T_EQ(kit.asks, 2);
    T_HAS(kit.ask.text, "time is nearly up");
    T_FALSE(kit.ask_tools);
    kit_speak(&kit, "resp_warning");
    kit_run(&kit, 30000);
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_MAX_DURATION);
    T_STR_EQ(kit.saved, "leaving");
    T_EQ(kit.asks, 3);
    T_HAS(kit.ask.text, "goodbye");
    T_EQ(kit.hangups, 0);
    kit_speak(&kit, "resp_goodbye");
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_MAX_DURATION);
    T_EQ(kit.hangups, 1);
    kit_rest(&kit, CALL_EV_HUNG_UP, 200, true);
    kit_expect(&kit, CALL_OVER, CALL_REASON_MAX_DURATION);
    T_EQ(kit.notices[CALL_NOTICE_ENDED], 1);
    kit_close(&kit);
}

static void provider_expiry(void)
{
    struct call_event ev = {.kind = CALL_EV_SESSION};

    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    ev.u.session.expires_at_ms = kit.now.wall_ms + 600000;
    kit_step(&kit, &ev);
    kit_saved(&kit);
    kit_speak(&kit, "resp_1");
    kit_run(&kit, 525000);
    T_EQ(kit.asks, 2); /* the warning */
    kit_speak(&kit, "resp_2");
    kit_run(&kit, 58000);
    kit_expect(&kit, CALL_LIVE, CALL_REASON_NONE);
    kit_run(&kit, 2000);
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_SESSION_EXPIRED);
    kit_close(&kit);

    T_CASE("the provider says that the session expired");
    kit_live(&kit, kit_settings());
    kit_error(&kit, "session_expired", "");
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_SESSION_EXPIRED);
    kit_close(&kit);
}

static void goodbye_is_heard(void)
{
    struct call_output words = kit_words("Goodbye!");

    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_SHUTDOWN);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_bye");
    kit_done(&kit, "resp_bye", CALL_RESPONSE_COMPLETED, &words, 1);
    kit_run(&kit, 3000);
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_SHUTDOWN);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_bye");
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_SHUTDOWN);
    T_EQ(kit_hops(&kit, "goodbye_heard"), 1);
    kit_close(&kit);

    T_CASE("a goodbye that never ends: 12 s");
    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_bye");
    kit_run(&kit, 11999);
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_SHUTDOWN);
    kit_run(&kit, 1);
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_SHUTDOWN);
    kit_close(&kit);

    T_CASE("the caller does not wait for the goodbye");
    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_lost(&kit, 0);
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_SHUTDOWN);
    T_EQ(kit.attaches, 1);
    kit_rest(&kit, CALL_EV_HUNG_UP, 404, true);
    kit_expect(&kit, CALL_OVER, CALL_REASON_SHUTDOWN);
    T_EQ(kit_hops(&kit, "hangup_failed"), 0);
    kit_close(&kit);

    T_CASE("another response is in the way of the goodbye: not its end is waited for");
    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    T_EQ(kit.asks, 2);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_other");
    kit_error(&kit, "conversation_already_has_active_response", kit.ask.event_id);
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_other");
    kit_done(&kit, "resp_other", CALL_RESPONSE_COMPLETED, &words, 1);
    T_EQ(kit.asks, 3);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_other");
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_SHUTDOWN);
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_bye");
    kit_done(&kit, "resp_bye", CALL_RESPONSE_COMPLETED, &words, 1);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_bye");
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_SHUTDOWN);
    kit_close(&kit);

    T_CASE("another response was heard to its end before the error came for the goodbye");
    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_other");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_other");
    kit_error(&kit, "conversation_already_has_active_response", kit.ask.event_id);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_other");
    kit_expect(&kit, CALL_GOODBYE, CALL_REASON_SHUTDOWN);
    kit_done(&kit, "resp_other", CALL_RESPONSE_COMPLETED, &words, 1);
    T_EQ(kit.asks, 3);
    kit_close(&kit);

    T_CASE("the goodbye is refused: no dead air");
    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_error(&kit, "invalid_value", kit.ask.event_id);
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_SHUTDOWN);
    kit_close(&kit);
}

static void hang_up_answers(void)
{
    static const int answers[] = {200, 404, 500, 0, -1};

    for (size_t i = 0; i < 5; i++) {
        kit_live(&kit, kit_settings());
        kit_end(&kit, CALL_REASON_OPERATOR);
        kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_OPERATOR);
        kit_end(&kit, CALL_REASON_SILENCE);
        kit_lost(&kit, 0);
        if (answers[i] < 0)
            kit_run(&kit, 15000);
        else
            kit_rest(&kit, CALL_EV_HUNG_UP, answers[i], true);
        kit_expect(&kit, CALL_OVER, CALL_REASON_OPERATOR);
        T_EQ(kit_hops(&kit, "hangup_failed"), answers[i] == 500 || answers[i] == 0);
        T_STR_EQ(kit.c.detail, "because");
        T_EQ(kit.notices[CALL_NOTICE_ENDED], 1);
        T_EQ(kit.hangups, 1);
        kit_close(&kit);
    }
}

int main(void)
{
    T_RUN(maximum_duration);
    T_RUN(provider_expiry);
    T_RUN(goodbye_is_heard);
    T_RUN(hang_up_answers);
    return T_DONE();
}
