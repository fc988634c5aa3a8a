/* SPDX-License-Identifier: MIT */
/* A call with a line at a carrier: legs that come and go, hold, keys, recording, answering machines, its end. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void live(void)
{
    kit_line_live(&kit, kit_line_settings());
}

static unsigned told(enum call_line what)
{
    return kit.line_told[what];
}

static void is_over(enum call_reason reason)
{
    T_TRUE(kit.over);
    T_STR_EQ(call_reason_name(kit.c.reason), call_reason_name(reason));
}

/* ---- Legs ---- */

static void first_leg(void)
{
    kit_open(&kit, kit_line_settings());
    kit_begin_waiting(&kit);
    T_EQ(kit.c.state, CALL_WAITING);
    T_EQ(kit.accepts, 0);
    T_TRUE(call_takes_leg(&kit.c));
    kit_plain(&kit, CALL_EV_LEG);
    T_EQ(kit.accepts, 1);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
    T_EQ(told(CALL_LINE_MODEL_LIVE), 1);
    T_EQ(kit.asks, 0);
    kit_saved(&kit);
    T_EQ(kit.asks, 1); /* in the step of the save: no timer in between */
    T_EQ(kit.asked_at, kit.now.mono_ms);
    T_EQ(kit_hops(&kit, "greeting_asked"), 1);
    kit_close(&kit);
}

static void first_words(void)
{
    struct call_settings set = kit_line_settings();

    T_CASE("the message stands in the first response, and the notice in it");
    set.first = STR("Say: this call is recorded. Then say: your car is ready.");
    set.notice = STR("Say: this call is recorded.");
    set.notice_first = true;
    kit_open(&kit, set);
    kit_begin_waiting(&kit);
    kit_leg(&kit);
    kit_saved(&kit);
    T_EQ(kit.asks, 1);
    T_STR_EQ(kit.ask.text, "Say: this call is recorded. Then say: your car is ready.");
    kit_speak(&kit, "resp_1");
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 1);
    kit_talk(&kit, 5000);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

static void notice(void)
{
    struct call_settings set = kit_line_settings();
    struct call_output words = kit_words("This call is recorded.");

    T_CASE("the words about recording come before the greeting, and count when they were heard to their end");
    set.notice = STR("Say: this call is recorded.");
    set.notice_first = true;
    kit_open(&kit, set);
    kit_begin_waiting(&kit);
    kit_leg(&kit);
    kit_saved(&kit);
    T_STR_EQ(kit.ask.text, "Say: this call is recorded.");
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_1");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_1");
    kit_done(&kit, "resp_1", CALL_RESPONSE_COMPLETED, &words, 1);
    T_EQ(kit.asks, 2); /* the greeting follows at once */
    T_STR_EQ(kit.ask.text, "");
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 0);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_1");
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 1);
    kit_close(&kit);

    T_CASE("cut off: once more, and no third time");
    kit_open(&kit, set);
    kit_begin_waiting(&kit);
    kit_leg(&kit);
    kit_saved(&kit);
    for (unsigned i = 0; i < 3; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "resp_%u", i);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, id);
        kit_response(&kit, CALL_EV_AUDIO_STARTED, id);
        kit_response(&kit, CALL_EV_AUDIO_CLEARED, id);
        kit_done(&kit, id, CALL_RESPONSE_CANCELLED, &words, 1);
    }
    T_EQ(kit_hops(&kit, "notice_asked"), 2);
    T_EQ(kit_hops(&kit, "notice_not_heard"), 1);
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 0);
    kit_close(&kit);

    T_CASE("cut off while its audio waits behind another's, in the making and made");
    for (unsigned made = 0; made < 2; made++) {
        set.notice_first = false;
        kit_line_live(&kit, set);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_1");
        kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_1");
        kit_done(&kit, "resp_1", CALL_RESPONSE_COMPLETED, &words, 1);
        kit_plain(&kit, CALL_EV_NOTICE);
        T_EQ(kit_hops(&kit, "notice_asked"), 1);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_2");
        if (made)
            kit_done(&kit, "resp_2", CALL_RESPONSE_COMPLETED, &words, 1);
        kit_response(&kit, CALL_EV_AUDIO_CLEARED, "resp_1");
        if (!made)
            kit_done(&kit, "resp_2", CALL_RESPONSE_CANCELLED, &words, 1);
        T_EQ(kit_hops(&kit, "notice_asked"), 2);
        kit_speak(&kit, "resp_3");
        T_EQ(told(CALL_LINE_NOTICE_HEARD), 1);
        kit_close(&kit);
    }

    T_CASE("asked for in mid-call");
    set.notice_first = false;
    kit_line_live(&kit, set);
    T_EQ(kit_hops(&kit, "notice_asked"), 0);
    kit_plain(&kit, CALL_EV_NOTICE);
    T_STR_EQ(kit.ask.text, "Say: this call is recorded.");
    kit_plain(&kit, CALL_EV_NOTICE); /* said twice: one notice */
    kit_speak(&kit, "resp_1");
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 1);
    T_EQ(kit_hops(&kit, "notice_asked"), 1);
    kit_close(&kit);
}

static void consent(void)
{
    struct call_settings set = kit_line_settings();
    struct call_output no = kit_call("call_1", "record_consent", "{\"granted\":false}");
    struct call_output yes = kit_call("call_2", "record_consent", "{\"granted\":true}");

    set.ask_consent = true;
    kit_line_live(&kit, set);
    kit_calls(&kit, "resp_1", &no, 1);
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 0);
    T_EQ(kit.n_outputs, 1);
    kit_calls(&kit, "resp_2", &yes, 1);
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 1);
    T_STR_EQ(kit.output[1].text, "{\"ok\":true,\"recording\":true}");
    T_EQ(told(CALL_LINE_CONSENT_GONE), 1);
    no.call_id = STR("call_3"); /* and taken back */
    kit_calls(&kit, "resp_3", &no, 1);
    T_EQ(told(CALL_LINE_CONSENT_GONE), 2);
    T_STR_EQ(kit.output[2].text, "{\"ok\":true,\"recording\":false}");
    kit_close(&kit);

    T_CASE("not asked for: there is no such tool");
    live();
    kit_calls(&kit, "resp_1", &yes, 1);
    T_EQ(told(CALL_LINE_NOTICE_HEARD), 0);
    kit_close(&kit);
}

static void lost_leg_comes_back(void)
{
    struct call_output v[] = {kit_question("call_1")};

    live();
    kit_calls(&kit, "resp_1", v, 1);
    kit_run(&kit, 10000);
    kit_talk(&kit, 100);
    kit_lost(&kit, 0);
    T_EQ(kit.c.state, CALL_ATTACHING);
    kit_lost(&kit, 404);
    T_EQ(kit.c.state, CALL_WAITING);
    T_STR_EQ(kit.saved, "waiting");
    T_EQ(told(CALL_LINE_MODEL_GONE), 1);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_run(&kit, 2000);
    kit_leg(&kit);
    T_STR_EQ(kit.saved, "live");
    T_EQ(kit_hops(&kit, "greeting_asked"), 1);
    T_EQ(kit.n_outputs, 0);     /* its function call is in the old conversation */
    T_EQ(kit.n_news, 2);        /* that the call goes on, and the result */
    T_TRUE(strstr(kit.news.text, "Sunny.") != NULL);
    T_STR_EQ(kit.ask.text, "");
    kit_talk(&kit, 3000);
    T_EQ(told(CALL_LINE_MODEL_LIVE), 2);
    kit_close(&kit);

    T_CASE("a leg comes in place of one whose loss nobody told");
    live();
    kit_plain(&kit, CALL_EV_LEG);
    T_EQ(kit.c.state, CALL_ACCEPTING);
    T_EQ(kit.accepts, 2);
    T_EQ(kit.detaches, 1);
    kit_close(&kit);
}

static void leg_fails(void)
{
    static const int status[] = {400, 401, 404, 429};

    for (unsigned i = 0; i < sizeof status / sizeof *status; i++) {
        kit_open(&kit, kit_line_settings());
        kit_begin_waiting(&kit);
        kit_plain(&kit, CALL_EV_LEG);
        kit_rest(&kit, CALL_EV_ACCEPTED, status[i], false);
        T_EQ(kit.c.state, CALL_WAITING);
        T_EQ(told(CALL_LINE_MODEL_GONE), 1);
        T_EQ(kit.rejects, 0);
        kit_close(&kit);
    }
    T_CASE("the control channel never opens");
    kit_open(&kit, kit_line_settings());
    kit_begin_waiting(&kit);
    kit_plain(&kit, CALL_EV_LEG);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_run(&kit, 60000);
    T_EQ(kit.c.state, CALL_WAITING);
    T_EQ(told(CALL_LINE_MODEL_GONE), 1);
    kit_close(&kit);
}

static void nobody_waits_for_ever(void)
{
    kit_open(&kit, kit_line_settings());
    kit_begin_waiting(&kit);
    kit_run(&kit, 24u * 3600000u);
    T_EQ(kit.c.state, CALL_WAITING); /* for the end of quiet hours */
    kit_run(&kit, 2u * 3600000u);
    is_over(CALL_REASON_NOT_CONNECTED);
    T_GT(kit.line_ends, 1);
    kit_close(&kit);

    T_CASE("parked: the maximum duration runs on");
    live();
    kit_plain(&kit, CALL_EV_PARK);
    kit_run(&kit, 1801000);
    T_EQ(kit.c.state, CALL_HANGING_UP);
    T_STR_EQ(call_reason_name(kit.c.reason), "max_duration");
    kit_close(&kit);
}

static void turns_of_the_callee(void)
{
    live();
    kit_item(&kit, CALL_EV_COMMITTED, "item_1");
    T_EQ(told(CALL_LINE_CALLEE_TURN), 1);
    kit_item(&kit, CALL_EV_COMMITTED, "item_2"); /* goes on without having heard anything */
    T_EQ(told(CALL_LINE_CALLEE_TURN), 1);
    kit_speak(&kit, "resp_1");
    kit_item(&kit, CALL_EV_COMMITTED, "item_3");
    T_EQ(told(CALL_LINE_CALLEE_TURN), 2);
    kit_close(&kit);
}

/* ---- Hold ---- */

static void hold(void)
{
    struct call_settings set = kit_line_settings();
    struct call_output v[] = {kit_question("call_1"), kit_question("call_2")};
    unsigned asks;

    set.silence_ms = 30000;
    kit_line_live(&kit, set);
    kit_calls(&kit, "resp_1", v, 2);
    kit_plain(&kit, CALL_EV_HOLD);
    asks = kit.asks;
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_run(&kit, 200000); /* no filler, no silence, no time limit of a tool */
    kit_result(&kit, "call_2", 0, "Warm.");
    T_EQ(kit.c.state, CALL_LIVE);
    T_EQ(kit.asks, asks);
    T_EQ(kit.n_outputs, 0);
    kit_plain(&kit, CALL_EV_RESUME);
    T_EQ(kit.n_outputs, 2);
    T_EQ(kit.asks, asks + 1);
    kit_speak(&kit, "resp_2");
    kit_talk(&kit, 2000);
    T_EQ(kit.asks, asks + 1);
    kit_close(&kit);

    T_CASE("back, and nothing is owed: words only if it stays quiet");
    live();
    kit_plain(&kit, CALL_EV_HOLD);
    kit_run(&kit, 10000);
    asks = kit.asks;
    kit_plain(&kit, CALL_EV_RESUME);
    T_EQ(kit.asks, asks);
    kit_run(&kit, 4000);
    T_EQ(kit.asks, asks + 1);
    kit_close(&kit);

    T_CASE("the time is up on hold: nobody would hear a goodbye");
    live();
    kit_plain(&kit, CALL_EV_HOLD);
    asks = kit.asks;
    kit_run(&kit, 1801000);
    T_EQ(kit.c.state, CALL_HANGING_UP);
    T_EQ(kit.asks, asks);
    kit_close(&kit);
}

static void parked_and_back(void)
{
    struct call_output v[] = {kit_question("call_1")};
    unsigned asks;

    live();
    kit_calls(&kit, "resp_1", v, 1);
    kit_plain(&kit, CALL_EV_HOLD);
    kit_plain(&kit, CALL_EV_PARK);
    T_EQ(kit.c.state, CALL_WAITING);
    T_EQ(told(CALL_LINE_MODEL_GONE), 0);
    asks = kit.asks;
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_run(&kit, 60000);
    kit_leg(&kit);
    kit_run(&kit, 10000);
    T_EQ(kit.asks, asks); /* still on hold */
    kit_plain(&kit, CALL_EV_RESUME);
    T_EQ(kit.asks, asks + 1);
    T_EQ(kit_hops(&kit, "greeting_asked"), 1);
    T_TRUE(strstr(kit.news.text, "Sunny.") != NULL);
    kit_close(&kit);
}

/* ---- Keys ---- */

static void keys(void)
{
    unsigned asks;

    T_CASE("told together when no more come");
    live();
    asks = kit.asks;
    kit_keys(&kit, "12");
    kit_run(&kit, 1900);
    kit_keys(&kit, "3");
    T_EQ(kit.n_news, 0);
    kit_run(&kit, 2100);
    T_EQ(kit.n_news, 1);
    T_TRUE(strstr(kit.news.text, "1 2 3") != NULL);
    T_EQ(kit.asks, asks + 1);
    kit_close(&kit);

    T_CASE("told at once after #, and # alone is a key");
    live();
    kit_keys(&kit, "45#");
    T_EQ(kit.n_news, 1);
    T_TRUE(strstr(kit.news.text, "4 5") != NULL && strchr(kit.news.text, '#') == NULL);
    kit_keys(&kit, "#");
    T_EQ(kit.n_news, 2);
    kit_close(&kit);

    T_CASE("more keys than are kept");
    live();
    for (unsigned i = 0; i < 50; i++)
        kit_keys(&kit, "9");
    T_EQ(kit.n_news, 1);
    kit_run(&kit, 3000);
    T_EQ(kit.n_news, 2);
    kit_close(&kit);
}

static void keys_of_a_pin(void)
{
    struct call_output v[] = {kit_call("call_1", "verify_identity", "{\"by_keypad\":true}")};
    unsigned news;

    live();
    kit_calls(&kit, "resp_1", v, 1);
    T_EQ(kit.runs, 1);
    T_STR_EQ(kit.keys, "");
    kit_run(&kit, 10000);
    T_EQ(kit_hops(&kit, "filler"), 0); /* the caller is not waiting for us */
    kit_keys(&kit, "4711#");
    T_STR_EQ(kit.keys, "4711");
    T_EQ(kit.n_news, 0);
    T_EQ(kit_hops(&kit, "dtmf"), 0);
    kit_result(&kit, "call_1", 0, "Right.");
    T_STR_EQ(kit.output[0].text, "Right.");
    for (size_t i = 0; i < sizeof kit.c.keys; i++)
        T_TRUE(kit.c.keys[i] == '\0' && kit.c.spent_keys[i] == '\0');
    kit_close(&kit);

    T_CASE("the keys come after the caller was told that it takes too long: still no news for the model");
    live();
    kit_calls(&kit, "resp_1", v, 1);
    kit_talk(&kit, 50000);
    news = kit.n_news;
    kit_keys(&kit, "4711");
    kit_run(&kit, 2100);
    T_STR_EQ(kit.keys, "4711");
    T_EQ(kit.n_news, news);
    kit_result(&kit, "call_1", 0, "Right.");
    T_TRUE(strstr(kit.news.text, "Right.") != NULL && strstr(kit.news.text, "4711") == NULL);
    kit_close(&kit);
}

/* ---- Answering machines ---- */

static void voicemail(void)
{
    unsigned asks;

    T_CASE("what is being said is cut off, the words are asked for when that is durable, and once");
    live();
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_1");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_1");
    asks = kit.asks;
    kit.ticket = 0;
    kit_voicemail(&kit, "Please call back.");
    T_EQ(kit.cancelled, 1);
    T_EQ(kit.cleared, 1);
    T_TRUE((kit.saved_columns & CALL_SAVE_REASON) != 0);
    T_TRUE(kit.ticket != 0);
    kit_response(&kit, CALL_EV_AUDIO_CLEARED, "resp_1");
    kit_done(&kit, "resp_1", CALL_RESPONSE_CANCELLED, NULL, 0);
    T_EQ(kit.asks, asks);
    kit_saved(&kit);
    T_EQ(kit.asks, asks + 1);
    T_TRUE(strstr(kit.ask.text, "\"Please call back.\"") != NULL);
    T_FALSE(kit.ask_tools);
    kit_voicemail(&kit, "Again.");
    kit_speak(&kit, "resp_2");
    T_EQ(told(CALL_LINE_VOICEMAIL_SAID), 1);
    kit_voicemail(&kit, "Again.");
    kit_run(&kit, 10000);
    T_EQ(kit.asks, asks + 1);
    kit_line_over(&kit, CALL_REASON_VOICEMAIL);
    kit_rest(&kit, CALL_EV_HUNG_UP, 404, true);
    is_over(CALL_REASON_VOICEMAIL);
    kit_close(&kit);

    T_CASE("the provider's own answer to the machine is cut off, and the tone is not waited for");
    live();
    kit_voicemail(&kit, "Please call back.");
    kit_speech(&kit, true);
    kit_speech(&kit, false);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_own");
    T_EQ(kit.cancelled, 1);
    kit_saved(&kit);
    asks = kit.asks;
    kit_done(&kit, "resp_own", CALL_RESPONSE_CANCELLED, NULL, 0);
    T_EQ(kit.asks, asks + 1);
    kit_close(&kit);

    T_CASE("before the model speaks: the words instead of a greeting");
    kit_open(&kit, kit_line_settings());
    kit_begin_waiting(&kit);
    kit_voicemail(&kit, "");
    kit_saved(&kit);
    kit_leg(&kit);
    T_EQ(kit.asks, 1);
    T_FALSE(kit.ask_tools);
    T_TRUE(strstr(kit.news.text, "answering machine") != NULL);
    kit_saved(&kit);
    kit_speak(&kit, "resp_1");
    kit_run(&kit, 5000);
    T_EQ(kit.asks, 1);
    T_EQ(kit_hops(&kit, "greeting_asked"), 0);
    kit_close(&kit);

    T_CASE("it failed without a word: once more; the line was lost in it: never again");
    live();
    kit_voicemail(&kit, "Please call back.");
    kit_saved(&kit);
    asks = kit.asks;
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_1");
    kit_done(&kit, "resp_1", CALL_RESPONSE_FAILED, NULL, 0);
    kit_run(&kit, 1000);
    T_EQ(kit.asks, asks + 1);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_2");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_2");
    kit_run(&kit, 6000);
    kit_lost(&kit, 0);
    kit_session(&kit);
    kit_run(&kit, 21000);
    T_EQ(kit.asks, asks + 1);
    T_EQ(told(CALL_LINE_VOICEMAIL_SAID), 1);
    kit_close(&kit);
}

static void voicemail_over_a_restart(void)
{
    struct call_restored r = {.state = STR("live"), .reason = STR("voicemail"), .age_ms = 30000,
                              .live_age_ms = 20000, .spoke = true};

    kit_open(&kit, kit_line_settings());
    kit_restore(&kit, &r);
    kit_session(&kit);
    kit_voicemail(&kit, "Please call back.");
    T_EQ(kit.asks, 0);
    kit_run(&kit, 21000);
    T_EQ(kit.asks, 0);
    T_EQ(told(CALL_LINE_VOICEMAIL_SAID), 1);
    kit_close(&kit);
}

/* ---- The end ---- */

static void line_over(void)
{
    T_CASE("nobody took it");
    kit_open(&kit, kit_line_settings());
    kit_begin_waiting(&kit);
    kit_line_over(&kit, CALL_REASON_NOT_CONNECTED);
    is_over(CALL_REASON_NOT_CONNECTED);
    T_EQ(kit.hangups, 0);
    kit_close(&kit);

    T_CASE("the caller hung up: the provider is told, too");
    live();
    kit_line_over(&kit, CALL_REASON_NONE);
    T_EQ(kit.hangups, 1);
    T_EQ(kit.line_ends, 0);
    T_FALSE(call_takes_leg(&kit.c));
    kit_rest(&kit, CALL_EV_HUNG_UP, 200, true);
    is_over(CALL_REASON_CALLER_HUNG_UP);
    kit_close(&kit);

    T_CASE("the assistant says goodbye: the line ends both legs");
    {
        struct call_output v[] = {kit_words("Bye."), kit_call("call_1", "end_call", "{}")};

        live();
        kit_calls(&kit, "resp_1", v, 2);
        kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_1");
        kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_1");
        T_EQ(kit.c.state, CALL_HANGING_UP);
        T_EQ(kit.line_ends, 1);
        T_EQ(kit.hangups, 0);
        kit_run(&kit, 5000);
        T_EQ(kit.line_ends, 3);
        kit_line_over(&kit, CALL_REASON_CALLER_HUNG_UP);
        T_EQ(kit.hangups, 1);
        kit_run(&kit, 5000);
        T_EQ(kit.line_ends, 3);
        kit_rest(&kit, CALL_EV_HUNG_UP, 404, true);
        is_over(CALL_REASON_ASSISTANT_ENDED);
        kit_close(&kit);
    }

    T_CASE("ended while the accept was on its way");
    kit_open(&kit, kit_line_settings());
    kit_begin_waiting(&kit);
    kit_plain(&kit, CALL_EV_LEG);
    kit_end(&kit, CALL_REASON_OPERATOR);
    T_EQ(kit.line_ends, 1);
    T_FALSE(call_takes_leg(&kit.c));
    kit_close(&kit);
}

static void restored(void)
{
    struct call_restored r = {.state = STR("waiting"), .age_ms = 30000, .live_age_ms = 20000, .spoke = true};

    T_CASE("parked: waits, and does not greet when it comes back");
    kit_open(&kit, kit_line_settings());
    kit_restore(&kit, &r);
    T_EQ(kit.c.state, CALL_WAITING);
    kit_leg(&kit);
    T_EQ(kit.n_news, 1);
    T_EQ(kit_hops(&kit, "greeting_asked"), 0);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("dialling: greets when its leg comes");
    r.live_age_ms = 0;
    kit_open(&kit, kit_line_settings());
    kit_restore(&kit, &r);
    kit_leg(&kit);
    kit_saved(&kit);
    T_EQ(kit_hops(&kit, "greeting_asked"), 1);
    kit_close(&kit);

    T_CASE("a leg that came back was accepted, perhaps: told that the call goes on");
    r.state = STR("claimed");
    r.live_age_ms = 20000;
    kit_open(&kit, kit_line_settings());
    kit_restore(&kit, &r);
    T_EQ(kit.accepts, 1);
    kit_rest(&kit, CALL_EV_ACCEPTED, 404, false);
    kit_session(&kit);
    T_EQ(kit.n_news, 1);
    T_EQ(kit_hops(&kit, "greeting_asked"), 0);
    kit_close(&kit);

    T_CASE("leaving: the line is asked until it has ended");
    r.state = STR("leaving");
    r.reason = STR("operator");
    kit_open(&kit, kit_line_settings());
    kit_restore(&kit, &r);
    T_EQ(kit.line_ends, 1);
    kit_run(&kit, 2100);
    T_EQ(kit.line_ends, 2);
    kit_line_over(&kit, CALL_REASON_CALLER_HUNG_UP);
    kit_rest(&kit, CALL_EV_HUNG_UP, 200, true);
    is_over(CALL_REASON_OPERATOR);
    kit_close(&kit);
}

int main(void)
{
    T_RUN(first_leg);
    T_RUN(first_words);
    T_RUN(notice);
    T_RUN(consent);
    T_RUN(lost_leg_comes_back);
    T_RUN(leg_fails);
    T_RUN(nobody_waits_for_ever);
    T_RUN(hold);
    T_RUN(parked_and_back);
    T_RUN(keys);
    T_RUN(keys_of_a_pin);
    T_RUN(voicemail);
    T_RUN(voicemail_over_a_restart);
    T_RUN(line_over);
    T_RUN(restored);
    T_RUN(turns_of_the_callee);
    return T_DONE();
}
