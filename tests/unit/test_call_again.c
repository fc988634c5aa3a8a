/* SPDX-License-Identifier: MIT */
/* Nothing is said or sent again where only its confirmation was late, lost, or went to an earlier instance. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void greeting_asked(void)
{
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
    kit_saved(&kit);
    T_EQ(kit.asks, 1);
}

/* And the provider does not answer. */
static void greeting_unanswered(void)
{
    greeting_asked();
    kit_run(&kit, 5000);
    T_EQ(kit_hops(&kit, "response_failed"), 1);
}

static void a_response_that_begins_late(void)
{
    greeting_unanswered();
    kit_speak(&kit, "resp_late");
    kit_run(&kit, 20000);
    T_EQ(kit.asks, 1); /* said, and not once more */
    kit_close(&kit);

    greeting_unanswered(); /* the provider's own: the caller has spoken */
    kit_speech(&kit, true);
    kit_speech(&kit, false);
    kit_speak(&kit, "resp_own");
    kit_run(&kit, 1000);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

/* The model asked, and its answer is here. */
static void asked_and_answered(void)
{
    kit_live(&kit, kit_settings());
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
}

static void a_late_response_does_not_speak_of_what_came_after_it(void)
{
    asked_and_answered();
    T_EQ(kit.asks, 2);
    kit_run(&kit, 5000); /* no answer */
    kit_speak(&kit, "resp_late");
    kit_run(&kit, 1000);
    T_EQ(kit.asks, 3);
    kit_close(&kit);
}

static void a_failure_of_another_response(void)
{
    greeting_asked();
    kit_done(&kit, "resp_other", CALL_RESPONSE_FAILED, NULL, 0); /* ours is still on its way */
    kit_speak(&kit, "resp_ours");
    kit_run(&kit, 20000);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

/* The goodbye is the last that is said, whatever was asked for before it. */
static void what_the_goodbye_overtook(void)
{
    greeting_unanswered();
    kit_run(&kit, 400);
    T_EQ(kit.asks, 2); /* once more, and then the host stops */
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_run(&kit, 5000);
    T_EQ(kit.asks, 3);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    kit_done(&kit, "resp_bye", CALL_RESPONSE_COMPLETED, &(struct call_output){.item_id = STR("item_bye"),
                                                                             .text = STR("Goodbye.")}, 1);
    kit_run(&kit, 1000);
    T_EQ(kit.asks, 3);
    kit_close(&kit);
}

/* A tool of a call that an earlier instance drove. */
static void restored(bool line, const char *call_state, const char *tool_state, const char *output)
{
    struct call_restore_tool t = {.id = STR("call_1"), .name = STR("ask_openclaw"),
                                  .arguments = STR("{\"request\":\"x\"}"), .state = str_of(tool_state),
                                  .output = str_of(output)};
    struct call_restored r = {.state = str_of(call_state), .age_ms = 30000, .live_age_ms = 20000, .spoke = true,
                              .tools = &t, .n_tools = 1};

    kit_open(&kit, line ? kit_line_settings() : kit_settings());
    kit_restore(&kit, &r);
    if (kit.c.state == CALL_ACCEPTING)
        kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
}

/* The echo of an earlier instance's output comes before the answer to our question. */
static void an_output_that_is_seen_while_it_is_asked_for(void)
{
    restored(false, "live", "answered", "Sunny.");
    T_EQ(kit.n_retrieves, 1);
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.retrieve[0].item_id);
    kit_run(&kit, 5000);
    T_EQ(kit.n_outputs, 0);
    T_STR_EQ(kit.tool_saved, "closed");
    kit_close(&kit);
}

/* It was not found in time, and asked again: then it is seen all the same. What comes is news, and no second output. */
static void an_output_that_is_seen_after_it_was_asked_again(void)
{
    restored(false, "live", "asked", "");
    kit_run(&kit, 3000);
    T_EQ(kit.resumed, 1);
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.retrieve[0].item_id);
    T_STR_EQ(kit.tool_saved, "late");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.n_outputs, 0);
    T_EQ(kit.n_news, 1);
    kit_close(&kit);
}

static void an_output_that_was_seen_before_the_line_was_lost(void)
{
    asked_and_answered();
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.output[0].item_id);
    kit_run(&kit, 1000);
    kit_lost(&kit, 0);
    kit_run(&kit, 6000);
    if (kit.line != KIT_OPEN)
        kit_session(&kit);
    kit_run(&kit, 5000); /* nobody answers a question about it */
    T_EQ(kit.n_outputs, 1);
    T_STR_EQ(kit.tool_saved, "closed");
    kit_close(&kit);
}

/* Its function call is in a conversation that is gone: in this one an output for it would be refused, and lost. */
static void what_is_owed_from_an_earlier_leg(void)
{
    static const char *const states[] = {"accepted", "live"};

    for (unsigned i = 0; i < 2; i++) {
        restored(true, states[i], "moved_acting", "");
        kit_run(&kit, 5000);
        T_EQ(kit.n_outputs, 0);
        T_EQ(kit.n_retrieves, 0);
        T_TRUE(strstr(kit.news.text, "Interrupted") != NULL);
        kit_close(&kit);

        restored(true, states[i], "moved", "Sunny.");
        T_EQ(kit.n_outputs, 0);
        T_TRUE(strstr(kit.news.text, "Sunny.") != NULL);
        kit_close(&kit);

        restored(true, states[i], "moved", "");
        T_EQ(kit.resumed, 1);
        kit_result(&kit, "call_1", 0, "Rainy.");
        T_EQ(kit.n_outputs, 0);
        T_TRUE(strstr(kit.news.text, "Rainy.") != NULL);
        kit_close(&kit);
    }
}

static void a_new_leg_is_written_down(void)
{
    struct call_output q = kit_question("call_1");

    kit_line_live(&kit, kit_line_settings());
    kit_calls(&kit, "resp_call", &q, 1);
    kit_plain(&kit, CALL_EV_LEG);
    T_STR_EQ(kit.tool_saved, "moved");
    kit_acting(&kit, "call_1");
    T_STR_EQ(kit.tool_saved, "moved_acting");
    kit_close(&kit);
}

/* The keys were awaited by a check that has its result: they are no keys for it any more. */
static void keys_after_the_result(void)
{
    struct call_output q = kit_call("call_1", "verify_identity", "{\"by_keypad\":true}");

    kit_live(&kit, kit_settings());
    kit_calls(&kit, "resp_call", &q, 1);
    kit_run(&kit, 46000);
    T_STR_EQ(kit.tool_saved, "late");
    kit_result(&kit, "call_1", 0, "no");
    kit_keys(&kit, "12#");
    T_STR_EQ(kit.keys, "");
    kit_close(&kit);
}

int main(void)
{
    T_RUN(a_response_that_begins_late);
    T_RUN(a_late_response_does_not_speak_of_what_came_after_it);
    T_RUN(a_failure_of_another_response);
    T_RUN(what_the_goodbye_overtook);
    T_RUN(an_output_that_is_seen_while_it_is_asked_for);
    T_RUN(an_output_that_is_seen_after_it_was_asked_again);
    T_RUN(an_output_that_was_seen_before_the_line_was_lost);
    T_RUN(what_is_owed_from_an_earlier_leg);
    T_RUN(a_new_leg_is_written_down);
    T_RUN(keys_after_the_result);
    return T_DONE();
}
