/* SPDX-License-Identifier: MIT */
/*
 * Function calls of which nobody knows how far they came: the sideband was lost, or the process was. The provider is asked
 * whether it has the output; what it has is not sent again, what was done is not done again.
 */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void live(void)
{
    kit_live(&kit, kit_settings());
}

/* ---- A lost sideband ---- */

static void result_while_there_is_no_line(void)
{
    live();
    kit_ask_one(&kit, "call_1");
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
    kit_ask_one(&kit, "call_1");
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

int main(void)
{
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
