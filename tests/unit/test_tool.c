/* SPDX-License-Identifier: MIT */
/* Function calls: exactly one output each, one response for all of them, honest words for the rest. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void live(void)
{
    kit_live(&kit, kit_settings());
}

/* The conversation shows the item that was handed over last. */
static void echo_output(unsigned i)
{
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.output[i].item_id);
}

static void one_answer(void)
{
    live();
    kit_ask_one(&kit, "call_1");
    T_EQ(kit.runs, 1);
    T_STR_EQ(kit.run[0].call_id, "call_1");
    T_EQ(kit.resumed, 0);
    T_STR_EQ(kit.tool_saved, "asked");
    T_STR_EQ(kit.phase, "asked");
    T_EQ(kit.n_outputs, 0);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1000);
    kit_result(&kit, "call_1", 0, "It is sunny.");
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.output[0].call_id, "call_1");
    T_STR_EQ(kit.output[0].text, "It is sunny.");
    T_STR_EQ(kit.tool_saved, "answered");
    T_STR_EQ(kit.tool_output, "It is sunny.");
    T_STR_EQ(kit.phase, "done");
    T_EQ(kit.asks, 2);
    T_TRUE(kit.ask_tools);
    echo_output(0);
    T_STR_EQ(kit.tool_saved, "answered"); /* kept until the words begin */
    kit_speak(&kit, "resp_answer");
    T_STR_EQ(kit.tool_saved, "closed");
    kit_result(&kit, "call_1", 0, "Once more.");
    kit_run(&kit, 60000);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void failed_run(void)
{
    live();
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", -1, "The agent could not be reached.");
    T_STR_EQ(kit.output[0].text, "The agent could not be reached.");
    T_STR_EQ(kit.phase, "failed");
    T_EQ(kit_hops(&kit, "tool_failed"), 1);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void several_calls_one_response(void)
{
    struct call_output v[] = {kit_question("call_1"), kit_words("Let me look."), kit_question("call_2"),
                              kit_call("call_3", "no_such_tool", "{}")};

    live();
    kit_calls(&kit, "resp_ask", v, 4);
    T_EQ(kit.runs, 2);
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.output[0].call_id, "call_3");
    kit_run(&kit, 100);
    kit_result(&kit, "call_2", 0, "Two.");
    T_EQ(kit.n_outputs, 2);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1000);
    kit_result(&kit, "call_1", 0, "One.");
    T_EQ(kit.n_outputs, 3);
    T_EQ(kit.asks, 2);
    kit_speak(&kit, "resp_answer");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void nothing_runs_for_what_did_not_complete(void)
{
    static const enum call_response_status status[] = {CALL_RESPONSE_CANCELLED, CALL_RESPONSE_FAILED,
                                                       CALL_RESPONSE_INCOMPLETE};

    for (size_t i = 0; i < 3; i++) {
        struct call_output q = kit_question("call_1");

        live();
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_x");
        kit_done(&kit, "resp_x", status[i], &q, 1);
        T_EQ(kit.runs, 0);
        T_EQ(kit.n_outputs, 0);
        kit_close(&kit);
    }
}

static void duplicates_run_nothing_twice(void)
{
    struct call_output q[] = {kit_question("call_1"), kit_question("call_1")};

    live();
    kit_calls(&kit, "resp_ask", q, 2);
    T_EQ(kit.runs, 1);
    kit_done(&kit, "resp_ask", CALL_RESPONSE_COMPLETED, q, 1);
    T_EQ(kit.runs, 1);
    kit_result(&kit, "call_1", 0, "Sunny.");
    echo_output(0);
    kit_speak(&kit, "resp_answer");
    kit_done(&kit, "resp_ask", CALL_RESPONSE_COMPLETED, q, 1);
    T_EQ(kit.runs, 1);
    T_EQ(kit.n_outputs, 1);
    /* Also under another response's id while it is open. */
    kit_ask_one(&kit, "call_2");
    kit_calls(&kit, "resp_other", &(struct call_output){.is_function = true,
                                                        .call_id = STR("call_2"),
                                                        .name = STR("ask_openclaw"),
                                                        .arguments = STR("{\"request\":\"x\"}")}, 1);
    T_EQ(kit.runs, 2);
    kit_close(&kit);
}

static void timeout_is_honest(void)
{
    live();
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 44000);
    T_EQ(kit.n_outputs, 0);
    kit_talk(&kit, 2000);
    T_EQ(kit.n_outputs, 1);
    T_HAS(kit.output[0].text, "Not finished yet");
    T_STR_EQ(kit.tool_saved, "late");
    T_EQ(kit_hops(&kit, "tool_timeout"), 1);
    T_EQ(kit.cancels, 0); /* the run may go on */
    echo_output(0);
    kit_talk(&kit, 30000);
    {
        unsigned before = kit.asks;

        kit_result(&kit, "call_1", 0, "Sunny after all.");
        T_EQ(kit.n_outputs, 1);
        T_EQ(kit.n_news, 1);
        T_HAS(kit.news.text, "Sunny after all.");
        T_HAS(kit.news.text, "What is the weather?");
        T_STR_EQ(kit.tool_saved, "late");
        T_STR_EQ(kit.tool_output, "Sunny after all.");
        kit_item(&kit, CALL_EV_ITEM_ADDED, kit.news.item_id);
        kit_talk(&kit, 60000);
        T_EQ(kit.asks, before + 1);
        T_STR_EQ(kit.tool_saved, "closed");
        T_EQ(kit.n_news, 1);
    }
    kit_close(&kit);
}

static void news_that_got_lost(void)
{
    unsigned before;

    live();
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 46000);
    echo_output(0);
    kit_talk(&kit, 5000);
    before = kit.asks;
    kit_result(&kit, "call_1", 0, "Sunny after all.");
    T_EQ(kit.asks, before + 1);
    kit_lost(&kit, 0); /* nobody knows whether it arrived */
    kit_run(&kit, 700);
    kit_session(&kit);
    T_EQ(kit.n_news, 2);
    T_EQ(kit.asks, before + 1);
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.news.item_id); /* it had not */
    T_EQ(kit.asks, before + 2);
    kit_talk(&kit, 30000);
    T_EQ(kit.asks, before + 2);
    T_STR_EQ(kit.tool_saved, "closed");
    kit_close(&kit);

    T_CASE("news that had arrived is not told again unless it stays quiet");
    live();
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 46000);
    echo_output(0);
    kit_talk(&kit, 5000);
    kit_result(&kit, "call_1", 0, "Sunny after all.");
    kit_lost(&kit, 0);
    kit_run(&kit, 700);
    kit_session(&kit);
    before = kit.asks;
    kit_error(&kit, "item_already_exists", kit.news.event_id);
    T_STR_EQ(kit.tool_saved, "closed");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_of_before");
    kit_run(&kit, 5000);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_of_before");
    kit_run(&kit, 20000);
    T_EQ(kit.asks, before);
    kit_close(&kit);

    T_CASE("a late result that comes while there is no line");
    live();
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 46000);
    echo_output(0);
    kit_talk(&kit, 5000);
    kit_lost(&kit, 0);
    before = kit.asks;
    kit_result(&kit, "call_1", 0, "Sunny after all.");
    T_EQ(kit.n_news, 0);
    T_STR_EQ(kit.tool_output, "Sunny after all.");
    kit_run(&kit, 700);
    kit_session(&kit);
    T_EQ(kit.n_news, 1);
    kit_talk(&kit, 60000);
    T_EQ(kit.asks, before + 1);
    kit_close(&kit);
}

static void end_call(void)
{
    struct call_output v[] = {kit_words("Goodbye!"), kit_call("call_end", "end_call", "{}")};

    live();
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_bye");
    kit_done(&kit, "resp_bye", CALL_RESPONSE_COMPLETED, v, 2);
    T_EQ(kit.c.state, CALL_GOODBYE);
    T_EQ(kit.c.reason, CALL_REASON_ASSISTANT_ENDED);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 1); /* the goodbye is said already */
    kit_run(&kit, 2500);
    T_EQ(kit.hangups, 0);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_bye");
    T_EQ(kit.hangups, 1);
    kit_close(&kit);

    T_CASE("end_call, and the words were heard before response.done");
    live();
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_bye");
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_bye");
    kit_done(&kit, "resp_bye", CALL_RESPONSE_COMPLETED, v, 2);
    T_EQ(kit.hangups, 1);
    kit_close(&kit);

    T_CASE("end_call without words: a goodbye is asked for");
    live();
    kit_calls(&kit, "resp_bye", &v[1], 1);
    T_EQ(kit.c.state, CALL_GOODBYE);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 2);
    T_HAS(kit.ask.text, "goodbye");
    T_FALSE(kit.ask_tools);
    kit_speak(&kit, "resp_words");
    T_EQ(kit.hangups, 1);
    kit_close(&kit);

    T_CASE("end_call without arguments, in a full house");
    live();
    v[1].arguments = STR("");
    for (unsigned i = 0; i < 16; i++) {
        char id[24], response[24];
        struct call_output q;

        (void)snprintf(id, sizeof id, "call_%u", i);
        (void)snprintf(response, sizeof response, "resp_%u", i);
        q = kit_question(id);
        kit_calls(&kit, response, &q, 1);
    }
    T_EQ(kit.runs, 16);
    kit_calls(&kit, "resp_bye", v, 2);
    T_EQ(kit.c.state, CALL_GOODBYE);
    T_EQ(kit.cancels, 16);
    kit_result(&kit, "call_3", 0, "Too late.");
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_bye");
    T_EQ(kit.hangups, 1);
    T_EQ(kit.cancels, 16);
    T_EQ(kit.n_outputs, 1);
    kit_close(&kit);
}

static void hang_up_cancels_once(void)
{
    live();
    kit_ask_one(&kit, "call_1");
    kit_ask_one(&kit, "call_2");
    kit_acting(&kit, "call_2");
    T_STR_EQ(kit.tool_saved, "acting"); /* durable: never asked twice */
    kit_talk(&kit, 6000);
    kit_lost(&kit, 0);
    kit_lost(&kit, 404);
    T_EQ(kit.c.state, CALL_OVER);
    T_EQ(kit.cancels, 2);
    kit_close(&kit);
}

static void nothing_allowed(void)
{
    struct call_settings set = kit_settings();

    set.tools = CALL_TOOLS_NONE;
    kit_live(&kit, set);
    kit_ask_one(&kit, "call_1");
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_outputs, 1);
    T_HAS(kit.output[0].text, "Refused");
    T_STR_EQ(kit.phase, "refused");
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void bad_arguments(void)
{
    static const char *const bad[] = {"",      "{",           "[]",          "null", "{\"request\":\"\"}",
                                      "\"x\"", "{\"q\":\"x\"}", "{\"request\":7}", "{\"request\":\"  \"}",
                                      "{\"request\":null}"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct call_output q = kit_call("call_1", "ask_openclaw", bad[i]);

        live();
        kit_calls(&kit, "resp_ask", &q, 1);
        T_EQ(kit.runs, 0);
        T_EQ(kit.n_outputs, 1);
        T_HAS(kit.output[0].text, "request");
        T_EQ(kit.asks, 2);
        kit_close(&kit);
    }
    T_CASE("arguments over the ceiling are bad arguments");
    {
        static char big[20000];
        struct call_output q = kit_call("call_1", "ask_openclaw", big);

        memset(big, 'a', sizeof big - 1);
        memcpy(big, "{\"request\":\"", 12);
        memcpy(big + sizeof big - 3, "\"}", 2);
        q.arguments = str_of(big);
        live();
        kit_calls(&kit, "resp_ask", &q, 1);
        T_EQ(kit.runs, 0);
        T_EQ(kit.n_outputs, 1);
        kit_close(&kit);
    }
}

static void custom_tools(void)
{
    static const char *const names[] = {"look_up_order"};
    struct call_settings set = kit_settings();
    struct call_output v[] = {kit_call("call_1", "look_up_order", "{\"order\":7}"),
                              kit_call("call_2", "look_up_order", "{nonsense"),
                              kit_call("call_3", "verify_identity", "{\"pin\":\"1\"}")};

    set.custom_tools = names;
    set.n_custom_tools = 1;
    set.verify_available = false;
    kit_live(&kit, set);
    kit_calls(&kit, "resp_ask", v, 3);
    T_EQ(kit.runs, 1);
    T_EQ(kit.n_outputs, 2);
    T_STR_EQ(kit.output[1].text, "There is no such tool.");
    kit_close(&kit);
}

static void pin_tries(void)
{
    struct call_output none = kit_call("call_0", "verify_identity", "{}");

    live();
    kit_calls(&kit, "resp_0", &none, 1);
    T_EQ(kit.runs, 0);
    T_HAS(kit.output[0].text, "pin");
    kit_speak(&kit, "resp_0b");
    for (unsigned i = 1; i <= 4; i++) {
        char id[24], response[24];
        struct call_output v;

        (void)snprintf(id, sizeof id, "call_%u", i);
        (void)snprintf(response, sizeof response, "resp_%u", i);
        v = kit_call(id, "verify_identity", "{\"pin\":\"1234\"}");
        kit_calls(&kit, response, &v, 1);
        if (i <= 3) {
            T_EQ(kit.runs, i);
            kit_result(&kit, id, 0, "That is not the PIN.");
        }
        (void)snprintf(response, sizeof response, "resp_%ub", i);
        kit_speak(&kit, response);
    }
    T_EQ(kit.runs, 3);
    T_HAS(kit.output[4].text, "Too many attempts");
    kit_close(&kit);
}

/* A message to the chat is no try, a code is one. */
static void proof_by_chat(void)
{
    static const char *const arguments[] = {"{}", "{\"code\":\"1\"}", "{}", "{\"pin\":\"2\"}", "{\"code\":\"3\"}", "{}"};
    struct call_settings set = kit_settings();

    set.chat_available = true;
    kit_live(&kit, set);
    for (unsigned i = 0; i < 6; i++) {
        char id[24], response[24];
        struct call_output v;

        (void)snprintf(id, sizeof id, "call_%u", i);
        (void)snprintf(response, sizeof response, "resp_%u", i);
        v = kit_call(id, "verify_identity", arguments[i]);
        kit_calls(&kit, response, &v, 1);
        T_EQ(kit.runs, i < 5 ? i + 1 : 5);
        if (i < 5)
            kit_result(&kit, id, 0, "Not yet.");
        (void)snprintf(response, sizeof response, "resp_%ub", i);
        kit_speak(&kit, response);
    }
    T_HAS(kit.output[5].text, "Too many attempts");
    kit_close(&kit);
}

static void more_than_sixteen(void)
{
    struct call_output v[CALL_OUTPUTS_MAX];
    char ids[CALL_OUTPUTS_MAX][16];
    unsigned refused = 0;

    live();
    for (unsigned i = 0; i < CALL_OUTPUTS_MAX; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "call_%u", i);
        v[i] = kit_question(ids[i]);
    }
    kit_calls(&kit, "resp_many", v, CALL_OUTPUTS_MAX);
    T_EQ(kit.runs, 16);
    T_EQ(kit.n_outputs, 16);
    for (unsigned i = 0; i < kit.n_outputs; i++)
        refused += strstr(kit.output[i].text, "too many requests") != NULL;
    T_EQ(refused, 16);
    T_EQ(kit.asks, 1); /* all outputs first */
    for (unsigned i = 0; i < 16; i++)
        kit_result(&kit, ids[i], 0, "Done.");
    T_EQ(kit.n_outputs, 32);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("a function call id that is too long still gets its output");
    live();
    {
        static char big[200];
        struct call_output q;

        memset(big, 'x', sizeof big - 1);
        q = kit_question(big);
        kit_calls(&kit, "resp_long", &q, 1);
        T_EQ(kit.runs, 0);
        T_EQ(kit.n_outputs, 1);
        T_EQ(kit.asks, 2);
    }
    kit_close(&kit);
}

static void long_results_are_cut(void)
{
    static char big[40000];

    for (size_t i = 0; i + 3 < sizeof big; i += 3)
        memcpy(big + i, "\xe2\x82\xac", 3);
    live();
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, big);
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        if (kit.c.tools[i] != NULL) {
            T_MUST(kit.c.tools[i]->output != NULL);
            T_LE(strlen(kit.c.tools[i]->output), CALL_OUTPUT_BYTES);
            T_GT(strlen(kit.c.tools[i]->output), CALL_OUTPUT_BYTES - 4);
            T_TRUE(str_utf8_valid(str_of(kit.c.tools[i]->output)));
        }
    }
    kit_close(&kit);
}

int main(void)
{
    T_RUN(one_answer);
    T_RUN(failed_run);
    T_RUN(several_calls_one_response);
    T_RUN(nothing_runs_for_what_did_not_complete);
    T_RUN(duplicates_run_nothing_twice);
    T_RUN(timeout_is_honest);
    T_RUN(news_that_got_lost);
    T_RUN(end_call);
    T_RUN(hang_up_cancels_once);
    T_RUN(nothing_allowed);
    T_RUN(bad_arguments);
    T_RUN(custom_tools);
    T_RUN(pin_tries);
    T_RUN(proof_by_chat);
    T_RUN(more_than_sixteen);
    T_RUN(long_results_are_cut);
    return T_DONE();
}
