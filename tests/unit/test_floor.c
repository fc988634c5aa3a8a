/* SPDX-License-Identifier: MIT */
/* Who speaks: never two responses at once, nothing wanted is forgotten or said twice, no dead air. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void live_with(uint64_t silence_ms)
{
    struct call_settings set = kit_settings();

    set.silence_ms = silence_ms;
    kit_live(&kit, set);
}

static void waits_for_the_active_response(void)
{
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_auto");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.asks, 1);
    kit_run(&kit, 2000);
    T_EQ(kit.asks, 1);
    kit_done(&kit, "resp_auto", CALL_RESPONSE_COMPLETED, NULL, 0);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void waits_for_the_caller(void)
{
    uint64_t at;

    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_speech(&kit, true);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_run(&kit, 2000);
    T_EQ(kit.asks, 1);
    kit_speech(&kit, false);
    at = kit.now.mono_ms;
    kit_run(&kit, 2499);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 100);
    T_EQ(kit.asks, 2);
    T_EQ(kit.asked_at - at, 2500);
    kit_close(&kit);

    T_CASE("the provider starts one by itself after the caller's words: ours comes behind it");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_speech(&kit, true);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_speech(&kit, false);
    kit_run(&kit, 800);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_auto");
    kit_run(&kit, 3000);
    T_EQ(kit.asks, 1);
    kit_done(&kit, "resp_auto", CALL_RESPONSE_COMPLETED, NULL, 0);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void already_active(void)
{
    static const char *const with_id[] = {"its own", ""};

    for (size_t i = 0; i < 2; i++) {
        live_with(0);
        kit_ask_one(&kit, "call_1");
        kit_result(&kit, "call_1", 0, "Sunny.");
        T_EQ(kit.asks, 2);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_auto");
        kit_error(&kit, "conversation_already_has_active_response",
                  with_id[i][0] ? kit.ask.event_id : "");
        kit_error(&kit, "conversation_already_has_active_response",
                  with_id[i][0] ? kit.ask.event_id : "");
        kit_run(&kit, 4000);
        T_EQ(kit.asks, 2);
        kit_done(&kit, "resp_auto", CALL_RESPONSE_COMPLETED, NULL, 0);
        T_EQ(kit.asks, 3);
        kit_speak(&kit, "resp_a");
        kit_run(&kit, 60000);
        T_EQ(kit.asks, 3);
        T_EQ(kit_hops(&kit, "error_event"), 0);
        kit_close(&kit);
    }

    T_CASE("active by the provider's word alone, and its end was missed: asked again after 8 s");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_error(&kit, "conversation_already_has_active_response", kit.ask.event_id);
    kit_run(&kit, 7999);
    T_EQ(kit.asks, 2);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 3);
    kit_close(&kit);

    T_CASE("an error for another event of ours, or of nobody, asks nothing");
    live_with(0);
    kit_error(&kit, "invalid_value", "rc_77");
    kit_error(&kit, "response_cancel_not_active", "");
    kit_error(&kit, "conversation_already_has_active_response", "");
    kit_error(&kit, "whatever", "");
    kit_run(&kit, 30000);
    T_EQ(kit.asks, 1);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);
}

static void fillers(void)
{
    uint64_t asked, first;

    live_with(0);
    kit_ask_one(&kit, "call_1");
    asked = kit.now.mono_ms;
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    T_EQ(kit.asked_at - asked, 3000);
    T_HAS(kit.ask.text, "still working");
    T_FALSE(kit.ask_tools);
    first = kit.asked_at;
    kit_speak(&kit, "resp_f1");
    kit_run(&kit, 11400);
    T_EQ(kit.asks, 2);
    kit_run(&kit, 200);
    T_EQ(kit.asks, 3);
    T_EQ(kit.asked_at - first, 12000);
    kit_speak(&kit, "resp_f2");
    kit_run(&kit, 12000);
    T_EQ(kit.asks, 4);
    kit_speak(&kit, "resp_f3");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.asks, 5);
    T_STR_EQ(kit.ask.text, "");
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 5);
    kit_close(&kit);

    T_CASE("no filler while the caller speaks, nor right after");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_run(&kit, 1000);
    kit_speech(&kit, true);
    kit_run(&kit, 10000);
    T_EQ(kit.asks, 1);
    kit_speech(&kit, false);
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("no filler while the assistant speaks");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_call_1");
    kit_run(&kit, 20000);
    T_EQ(kit.asks, 1);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_call_1");
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("a filler that fails is asked for again as a filler");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_run(&kit, 3000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_f");
    kit_done(&kit, "resp_f", CALL_RESPONSE_FAILED, NULL, 0);
    kit_run(&kit, 400);
    T_EQ(kit.asks, 3);
    T_HAS(kit.ask.text, "still working");
    T_FALSE(kit.ask_tools);
    kit_close(&kit);

    T_CASE("a result during the filler: the answer comes behind it");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_run(&kit, 3000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_f");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.asks, 2);
    kit_done(&kit, "resp_f", CALL_RESPONSE_COMPLETED, NULL, 0);
    T_EQ(kit.asks, 3);
    T_STR_EQ(kit.ask.text, "");
    kit_close(&kit);
}

static void silence(void)
{
    live_with(10000);
    kit_run(&kit, 9999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.state, CALL_GOODBYE);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    T_HAS(kit.ask.text, "hear nobody");
    T_HAS(kit.c.detail, "10 s");
    kit_close(&kit);

    T_CASE("silence is not counted while somebody speaks");
    live_with(10000);
    kit_run(&kit, 9000);
    kit_speech(&kit, true);
    kit_run(&kit, 29000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_speech(&kit, false);
    kit_run(&kit, 9999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_close(&kit);

    T_CASE("a caller who speaks for longer than we believe is not cut off at once");
    live_with(5000);
    kit_speech(&kit, true);
    kit_run(&kit, 34999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_close(&kit);

    T_CASE("silence is not counted while tools run, also late ones");
    live_with(5000);
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 120000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.news.item_id);
    kit_talk(&kit, 3000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 5000);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    kit_close(&kit);

    T_CASE("a result that never comes excuses silence for ten minutes");
    live_with(5000);
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 590000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 20000);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    kit_close(&kit);

    T_CASE("one second of silence is long enough to greet");
    live_with(1000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1000);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_close(&kit);
}

static void failing_model(void)
{
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    for (unsigned i = 1; i <= 3; i++) {
        char id[16];

        T_EQ(kit.asks, 1 + i);
        T_STR_EQ(kit.ask.text, "");
        (void)snprintf(id, sizeof id, "resp_f%u", i);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, id);
        kit_done(&kit, id, CALL_RESPONSE_FAILED, NULL, 0);
        T_EQ(kit.asks, 1 + i);
        kit_run(&kit, 399 * i);
        T_EQ(kit.asks, 1 + i);
        kit_run(&kit, 10);
    }
    T_EQ(kit.c.state, CALL_HANGING_UP);
    T_EQ(kit.c.reason, CALL_REASON_MODEL_FAILED);
    T_EQ(kit_hops(&kit, "response_failed"), 3);
    kit_close(&kit);

    T_CASE("a success in between forgives");
    live_with(0);
    for (unsigned i = 1; i <= 6; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "resp_f%u", i);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, id);
        kit_done(&kit, id, i % 2 ? CALL_RESPONSE_FAILED : CALL_RESPONSE_COMPLETED, NULL, 0);
        kit_run(&kit, 1000);
    }
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);

    T_CASE("response.create is refused three times");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    for (unsigned i = 0; i < 3; i++) {
        kit_error(&kit, "server_error", kit.ask.event_id);
        kit_run(&kit, 1000);
    }
    T_EQ(kit.c.reason, CALL_REASON_MODEL_FAILED);
    kit_close(&kit);

    T_CASE("response.create is never answered: not for ever");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_run(&kit, 20000);
    T_EQ(kit.asks, 4);
    T_EQ(kit.c.reason, CALL_REASON_MODEL_FAILED);
    kit_close(&kit);

    T_CASE("a response that ends for want of tokens with nothing said is asked for again");
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_i");
    kit_done(&kit, "resp_i", CALL_RESPONSE_INCOMPLETE, NULL, 0);
    kit_run(&kit, 500);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("a response that never ends");
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_x");
    kit_run(&kit, 61000);
    T_EQ(kit.asks, 2);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_x");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_x");
    kit_run(&kit, 20000);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_x");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 1); /* it was heard */
    kit_close(&kit);
}

static void audio_that_never_stops(void)
{
    struct call_event ev = {.kind = CALL_EV_RESPONSE_DONE};

    live_with(5000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_x");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_x");
    ev.u.response.id = STR("resp_x");
    ev.u.response.audio_tokens = 100; /* 5 s */
    kit_step(&kit, &ev);
    kit_run(&kit, 12999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    kit_close(&kit);

    T_CASE("words behind words: nobody counts silence while the first are heard");
    live_with(5000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_long");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_long");
    ev.u.response.id = STR("resp_long");
    ev.u.response.audio_tokens = 400; /* 20 s */
    kit_step(&kit, &ev);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_short");
    ev.u.response.id = STR("resp_short");
    ev.u.response.audio_tokens = 20;
    kit_step(&kit, &ev);
    kit_run(&kit, 20000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);

    T_CASE("words behind words: the second's length says nothing of the first's");
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_long");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_long");
    ev.u.response.id = STR("resp_long");
    ev.u.response.audio_tokens = 160; /* 8 s */
    kit_step(&kit, &ev);
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    ev.u.response.id = STR("resp_bye");
    ev.u.response.audio_tokens = 20; /* 1 s */
    ev.u.response.outputs = &(struct call_output){.item_id = STR("i"), .text = STR("Bye.")};
    ev.u.response.n_outputs = 1;
    kit_step(&kit, &ev);
    kit_run(&kit, 7500);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_long");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_bye");
    kit_run(&kit, 1000);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_bye");
    T_EQ(kit.c.state, CALL_HANGING_UP);
    kit_close(&kit);
}

int main(void)
{
    T_RUN(waits_for_the_active_response);
    T_RUN(waits_for_the_caller);
    T_RUN(already_active);
    T_RUN(fillers);
    T_RUN(silence);
    T_RUN(failing_model);
    T_RUN(audio_that_never_stops);
    return T_DONE();
}
