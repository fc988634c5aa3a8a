/* SPDX-License-Identifier: MIT */
/* Tools that the shell answers itself, without the agent: which there are, their limits, and a restart in between. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

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
    T_RUN(native_tools_run);
    T_RUN(native_tools_after_a_restart);
    return T_DONE();
}
