/* SPDX-License-Identifier: MIT */
/* Function calls: exactly one output each, one response for all of them, honest words for the rest. */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void live(void)
{
    kit_live(&kit, kit_settings());
}

static void ask_one(const char *id)
{
    struct call_output q = kit_question(id);
    char response[32];

    (void)snprintf(response, sizeof response, "resp_%s", id);
    kit_calls(&kit, response, &q, 1);
}

/* The conversation shows the item that was handed over last. */
static void echo_output(unsigned i)
{
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.output[i].item_id);
}

static void one_answer(void)
{
    live();
    ask_one("call_1");
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
    ask_one("call_1");
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
    ask_one("call_2");
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
    ask_one("call_1");
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
    ask_one("call_1");
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
    ask_one("call_1");
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
    ask_one("call_1");
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
    ask_one("call_1");
    ask_one("call_2");
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
    ask_one("call_1");
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
    ask_one("call_1");
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

/* ---- A lost sideband ---- */

static void result_while_there_is_no_line(void)
{
    live();
    ask_one("call_1");
    kit_lost(&kit, 0);
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.n_outputs, 0);
    T_STR_EQ(kit.tool_saved, "answered");
    kit_run(&kit, 1000);
    kit_session(&kit);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.n_retrieves, 0);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

/* Lost before the output was seen; to the point where the new sideband was asked for it. */
static void lose_output(bool asked)
{
    live();
    ask_one("call_1");
    if (!asked)
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_in_the_way");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.asks, asked ? 2 : 1);
    kit_lost(&kit, 0);
    kit_run(&kit, 1000);
    kit_session(&kit);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.n_retrieves, 1);
    T_STR_EQ(kit.retrieve[0].item_id, kit.output[0].item_id);
}

static void output_lost_with_the_line(void)
{
    lose_output(true);
    kit_error(&kit, "item_not_found", kit.retrieve[0].event_id);
    T_EQ(kit.n_outputs, 2);
    T_STR_EQ(kit.output[1].item_id, kit.output[0].item_id);
    T_STR_EQ(kit.output[1].text, "Sunny.");
    T_EQ(kit.asks, 3);
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 3);
    kit_close(&kit);

    T_CASE("the output is in the conversation: only if it stays quiet");
    lose_output(true);
    kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[0].item_id);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 2);
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 2);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 3);
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 3);
    kit_close(&kit);

    T_CASE("the output is in the conversation and spoken already");
    lose_output(true);
    kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[0].item_id);
    kit_run(&kit, 1000);
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_a");
    kit_run(&kit, 9000);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_a");
    kit_run(&kit, 30000);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("the provider does not say whether the output is there: sent again after 3 s");
    lose_output(true);
    kit_run(&kit, 2999);
    T_EQ(kit.n_outputs, 1);
    kit_run(&kit, 1);
    T_EQ(kit.n_outputs, 2);
    T_EQ(kit.asks, 3);
    kit_error(&kit, "item_already_exists", kit.output[1].event_id);
    T_STR_EQ(kit.tool_saved, "closed");
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.n_outputs, 2);
    T_EQ(kit.asks, 3);
    kit_close(&kit);

    T_CASE("a response that was wanted waits for the output to be there");
    lose_output(false);
    T_EQ(kit.asks, 1);
    kit_error(&kit, "item_not_found", kit.retrieve[0].event_id);
    T_EQ(kit.n_outputs, 2);
    T_EQ(kit.asks, 2);
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
    lose_output(false);
    kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[0].item_id);
    T_EQ(kit.asks, 2);
    T_EQ(kit.n_outputs, 1);
    kit_close(&kit);
}

static void batch_half_lost(void)
{
    struct call_output v[] = {kit_question("call_1"), kit_question("call_2")};

    live();
    kit_calls(&kit, "resp_ask", v, 2);
    kit_result(&kit, "call_1", 0, "One.");
    kit_result(&kit, "call_2", 0, "Two.");
    T_EQ(kit.asks, 2);
    kit_lost(&kit, 0);
    kit_run(&kit, 1000);
    kit_session(&kit);
    T_EQ(kit.n_retrieves, 2);
    kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[0].item_id);
    T_EQ(kit.asks, 2);
    kit_error(&kit, "item_not_found", kit.retrieve[1].event_id);
    T_EQ(kit.n_outputs, 3);
    T_EQ(kit.asks, 3);
    kit_close(&kit);
    live();
    kit_calls(&kit, "resp_ask", v, 2);
    kit_result(&kit, "call_1", 0, "One.");
    kit_result(&kit, "call_2", 0, "Two.");
    kit_lost(&kit, 0);
    kit_run(&kit, 1000);
    kit_session(&kit);
    kit_error(&kit, "item_not_found", kit.retrieve[0].event_id);
    T_EQ(kit.asks, 2);
    kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[1].item_id);
    T_EQ(kit.asks, 3);
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 3);
    kit_close(&kit);

    T_CASE("one output found, the other run still on: no words in between but fillers");
    live();
    kit_calls(&kit, "resp_ask", v, 2);
    kit_result(&kit, "call_1", 0, "One.");
    kit_lost(&kit, 0);
    kit_run(&kit, 1000);
    kit_session(&kit);
    kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[0].item_id);
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    T_HAS(kit.ask.text, "still working");
    kit_speak(&kit, "resp_f");
    kit_result(&kit, "call_2", 0, "Two.");
    T_EQ(kit.asks, 3);
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 3);
    kit_close(&kit);
}

/* ---- After a restart ---- */

static void restore_tool(const char *state, const char *name, const char *output,
                         struct call_settings set)
{
    struct call_restore_tool t = {.id = STR("call_1"),
                                  .name = str_of(name),
                                  .arguments = STR("{\"request\":\"What is the weather?\"}"),
                                  .state = str_of(state),
                                  .output = str_of(output)};
    struct call_restored r = {.state = STR("live"),
                              .age_ms = 60000,
                              .live_age_ms = 55000,
                              .spoke = true,
                              .tools = &t,
                              .n_tools = 1};

    kit_open(&kit, set);
    kit_restore(&kit, &r);
    kit_run(&kit, 200);
    kit_session(&kit);
    T_EQ(kit.n_retrieves, 1);
    T_EQ(kit.n_outputs, 0);
    T_EQ(kit.runs, 0);
}

static void there(bool there)
{
    if (there)
        kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[0].item_id);
    else
        kit_error(&kit, "item_not_found", kit.retrieve[0].event_id);
}

static void restored_asked(void)
{
    restore_tool("asked", "ask_openclaw", "", kit_settings());
    there(false);
    T_EQ(kit.runs, 1);
    T_EQ(kit.resumed, 1);
    T_STR_EQ(kit.tool_saved, "asked");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 1);
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("asked, and the provider does not answer: asked again after 3 s");
    restore_tool("asked", "ask_openclaw", "", kit_settings());
    kit_run(&kit, 3000);
    T_EQ(kit.runs, 1);
    kit_close(&kit);

    T_CASE("asked, but the output is there");
    restore_tool("asked", "ask_openclaw", "", kit_settings());
    there(true);
    T_EQ(kit.runs, 0);
    T_STR_EQ(kit.tool_saved, "closed");
    kit_run(&kit, 3000);
    T_EQ(kit.asks, 1); /* perhaps nobody spoke of it */
    kit_close(&kit);

    T_CASE("asked, answered, and its line is lost again: not late, not asked again");
    restore_tool("late", "ask_openclaw", "", kit_settings());
    there(false);
    T_EQ(kit.runs, 1);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_lost(&kit, 0);
    kit_run(&kit, 6000);
    kit_session(&kit);
    kit_item(&kit, CALL_EV_ITEM_FOUND, kit.retrieve[1].item_id);
    T_EQ(kit.n_news, 0);
    T_EQ(kit.runs, 1);
    T_STR_EQ(kit.tool_saved, "closed");
    kit_close(&kit);
}

static void restored_acting(void)
{
    restore_tool("acting", "ask_openclaw", "", kit_settings());
    there(false);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_outputs, 1);
    T_HAS(kit.output[0].text, "Interrupted");
    T_STR_EQ(kit.tool_saved, "answered");
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

static void restored_answered(void)
{
    restore_tool("answered", "ask_openclaw", "Sunny.", kit_settings());
    there(false);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.output[0].text, "Sunny.");
    T_EQ(kit.asks, 1);
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("answered and there");
    restore_tool("answered", "ask_openclaw", "Sunny.", kit_settings());
    there(true);
    kit_run(&kit, 2900);
    T_EQ(kit.n_outputs, 0);
    T_EQ(kit.asks, 0);
    kit_close(&kit);

    T_CASE("answered with nothing: never asked again");
    restore_tool("answered", "ask_openclaw", "", kit_settings());
    there(false);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_outputs, 1);
    kit_close(&kit);
}

static void restored_late(void)
{
    restore_tool("late", "ask_openclaw", "", kit_settings());
    there(true);
    T_EQ(kit.runs, 1);
    T_EQ(kit.resumed, 1);
    T_EQ(kit.n_outputs, 0);
    kit_run(&kit, 5000);
    T_EQ(kit.asks, 0);
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.n_news, 1);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("late, and the caller was not told yet");
    restore_tool("late", "ask_openclaw", "", kit_settings());
    there(false);
    T_EQ(kit.runs, 1);
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.n_outputs, 1);
    T_EQ(kit.n_news, 0);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("late with its result: told once it is in the conversation");
    restore_tool("late", "ask_openclaw", "Sunny.", kit_settings());
    there(true);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_news, 1);
    T_EQ(kit.asks, 0);
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.news.item_id);
    T_EQ(kit.asks, 1);
    kit_speak(&kit, "resp_a");
    T_STR_EQ(kit.tool_saved, "closed");
    kit_close(&kit);

    T_CASE("late with its result, and the output never arrived");
    restore_tool("late", "ask_openclaw", "Sunny.", kit_settings());
    there(false);
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.output[0].text, "Sunny.");
    T_STR_EQ(kit.tool_saved, "answered");
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("late and acting: an honest interruption");
    restore_tool("late_acting", "ask_openclaw", "", kit_settings());
    there(true);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_news, 1);
    T_HAS(kit.news.text, "Interrupted");
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

static void restored_but_not_allowed_any_more(void)
{
    struct call_settings set = kit_settings();

    set.tools = CALL_TOOLS_NONE;
    restore_tool("asked", "ask_openclaw", "", set);
    there(false);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_outputs, 1);
    T_HAS(kit.output[0].text, "Refused");
    T_EQ(kit.asks, 1);
    kit_close(&kit);
    restore_tool("late", "ask_openclaw", "", set);
    there(true);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_news, 1);
    kit_close(&kit);
    restore_tool("asked", "a_tool_of_yesterday", "", kit_settings());
    there(false);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_outputs, 1);
    kit_close(&kit);
}

static void restored_without_memory(void)
{
    struct call_restore_tool t = {.id = STR("call_1"),
                                  .name = STR("ask_openclaw"),
                                  .arguments = STR("{\"request\":\"x\"}"),
                                  .state = STR("answered"),
                                  .output = STR("Done.")};
    struct call_restored r = {.state = STR("live"), .spoke = true, .tools = &t, .n_tools = 1};

    for (unsigned long n = 1; n <= 4; n++) {
        kit_open(&kit, kit_settings());
        (void)mem_fault_after(n);
        kit_restore(&kit, &r);
        kit_session(&kit);
        (void)mem_fault_after(0);
        if (kit.n_retrieves > 0)
            there(false);
        T_EQ(kit.runs, 0); /* what was done is not done again for want of memory */
        kit_close(&kit);
    }
}

/* ---- Tools that the shell answers itself ---- */

static const char *const natives[] = {"memory_search", "handoff"};

static struct call_settings with_natives(unsigned n)
{
    struct call_settings set = kit_settings();

    set.tools = CALL_TOOLS_NONE; /* a matter of the agent alone */
    set.ask_available = false;
    set.native_tools = natives;
    set.n_native_tools = n;
    return set;
}

static void native_tools_run(void)
{
    struct call_output v[2] = {kit_call("call_s", "memory_search", "{\"query\":\"dog\"}"),
                               kit_call("call_h", "handoff", "{}")};

    kit_live(&kit, with_natives(1));
    kit_calls(&kit, "resp_1", v, 2);
    T_EQ(kit.runs, 1);
    T_STR_EQ(kit.run[0].call_id, "call_s");
    T_EQ(kit.n_outputs, 1); /* what is not among the session's tools */
    T_STR_EQ(kit.output[0].call_id, "call_h");
    T_STR_EQ(kit.output[0].text, tool_unknown_words);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 4);
    kit_result(&kit, "call_s", 0, "{\"hits\":[]}");
    T_EQ(kit.n_outputs, 2);
    T_STR_EQ(kit.output[1].text, "{\"hits\":[]}");
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

/* Reading may be done again after a restart; what sends something may not. */
static void native_tools_after_a_restart(void)
{
    const struct call_restore_tool tools[] = {
        {STR("call_s"), STR("memory_search"), STR("{}"), STR("asked"), STR(""), 0},
        {STR("call_h"), STR("handoff"), STR("{}"), STR("asked"), STR(""), 0}};
    struct call_restored r = {.state = STR("live"), .age_ms = 5000, .live_age_ms = 4000, .turns = 2, .spoke = true,
                              .tools = tools, .n_tools = 2};

    kit_open(&kit, with_natives(2));
    kit_restore(&kit, &r);
    kit_session(&kit);
    T_EQ(kit.n_retrieves, 2);
    for (unsigned i = 0; i < 2; i++)
        kit_error(&kit, "item_retrieve_invalid_item_id", kit.retrieve[i].event_id);
    T_EQ(kit.runs, 1);
    T_STR_EQ(kit.run[0].call_id, "call_s");
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.output[0].call_id, "call_h");
    T_TRUE(strcmp(kit.output[0].text, tool_unknown_words) != 0);
    kit_close(&kit);
}

/* ---- The owner is asked ---- */

static const char *const owner_natives[] = {"ask_owner"};

static struct call_settings with_owner(void)
{
    struct call_settings set = with_natives(1);

    set.native_tools = owner_natives;
    set.owner_timeout_ms = 120000;
    return set;
}

static void owner_has_a_limit_of_its_own(void)
{
    struct call_output q = kit_call("call_o", "ask_owner", "{\"question\":\"Eight or nine?\"}");
    struct call_output bad = kit_call("call_b", "ask_owner", "{\"request\":\"?\"}");

    kit_live(&kit, with_owner());
    kit_calls(&kit, "resp_1", &q, 1);
    T_EQ(kit.runs, 1);
    kit_talk(&kit, 119000); /* beyond the limit of other tools */
    T_EQ(kit.n_outputs, 0);
    T_STR_EQ(kit.tool_saved, "asked");
    kit_talk(&kit, 2000);
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.tool_saved, "late");
    T_STR_EQ(kit.phase, "timeout");
    T_HAS(kit.output[0].text, "could not reach");
    kit_result(&kit, "call_o", 0, "Nine.");
    T_STR_EQ(kit.phase, "late");
    T_EQ(kit.n_outputs, 1);
    kit_close(&kit);

    T_CASE("a question that is none");
    kit_live(&kit, with_owner());
    kit_calls(&kit, "resp_1", &bad, 1);
    T_EQ(kit.runs, 0);
    T_EQ(kit.n_outputs, 1);
    kit_close(&kit);
}

/* Waits for the owner after a restart are no longer than without one. */
static void owner_after_a_restart(void)
{
    const struct call_restore_tool tool = {STR("call_o"), STR("ask_owner"), STR("{\"question\":\"Eight?\"}"),
                                           STR("asked"), STR(""), 50000};
    struct call_restored r = {.state = STR("live"), .age_ms = 90000, .live_age_ms = 80000, .turns = 2, .spoke = true,
                              .tools = &tool, .n_tools = 1};

    kit_open(&kit, with_owner());
    kit.now.mono_ms += 600000;
    kit_restore(&kit, &r);
    kit_session(&kit);
    kit_error(&kit, "item_retrieve_invalid_item_id", kit.retrieve[0].event_id);
    T_EQ(kit.runs, 1);
    T_EQ(kit.resumed, 1);
    kit_talk(&kit, 68000);
    T_EQ(kit.n_outputs, 0);
    kit_talk(&kit, 3000);
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.tool_saved, "late");
    kit_close(&kit);
}

int main(void)
{
    T_RUN(owner_has_a_limit_of_its_own);
    T_RUN(owner_after_a_restart);
    T_RUN(one_answer);
    T_RUN(native_tools_run);
    T_RUN(native_tools_after_a_restart);
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
    T_RUN(result_while_there_is_no_line);
    T_RUN(output_lost_with_the_line);
    T_RUN(batch_half_lost);
    T_RUN(restored_asked);
    T_RUN(restored_acting);
    T_RUN(restored_answered);
    T_RUN(restored_late);
    T_RUN(restored_but_not_allowed_any_more);
    T_RUN(restored_without_memory);
    return T_DONE();
}
