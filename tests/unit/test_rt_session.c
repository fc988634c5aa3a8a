/* SPDX-License-Identifier: MIT */
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/realtime/rt_session.h"
#include "tests/unit/t.h"

static const struct rt_session bare = {.interrupt_response = true};

static void expect(const struct rt_session *s, const char *want)
{
    struct buf out;

    buf_init(&out, 65536);
    T_EQ(rt_session_write(&out, s), 0);
    T_STR_EQ(buf_cstr(&out), want);
    T_EQ(json_check(buf_str(&out), NULL), 0);
    buf_free(&out);
}

static void empty_fields_are_left_out(void)
{
    expect(&bare, "{\"type\":\"realtime\",\"audio\":{\"input\":{}}}");
}

static void a_whole_session_is_written(void)
{
    const struct rt_session_tool tools[] = {
        {STR("ask_openclaw"), STR("Ask \"it\""),
         STR(" {\"type\":\"object\",\"properties\":{\"request\":{\"type\":\"string\"}}} \n")},
        {STR("end_call"), STR(""), STR("")},
    };
    struct rt_session s = {
        .model = STR("gpt-realtime-2.1"),
        .voice = STR("marin"),
        .instructions = STR("Be kind.\nBe brief."),
        .transcription_model = STR("gpt-transcribe"),
        .transcription_language = STR("de"),
        .turn_detection = STR("semantic_vad"),
        .noise_reduction = STR("far_field"),
        .reasoning_effort = STR("low"),
        .interrupt_response = false,
        .tools = tools,
        .n_tools = 2,
    };

    expect(&s, "{\"type\":\"realtime\",\"model\":\"gpt-realtime-2.1\","
               "\"instructions\":\"Be kind.\\nBe brief.\","
               "\"audio\":{\"input\":{\"transcription\":{\"model\":\"gpt-transcribe\",\"language\":\"de\"},"
               "\"noise_reduction\":{\"type\":\"far_field\"},"
               "\"turn_detection\":{\"type\":\"semantic_vad\",\"create_response\":true,"
               "\"interrupt_response\":false}},\"output\":{\"voice\":\"marin\"}},"
               "\"tools\":[{\"type\":\"function\",\"name\":\"ask_openclaw\","
               "\"description\":\"Ask \\\"it\\\"\",\"parameters\":{\"type\":\"object\",\"properties\":"
               "{\"request\":{\"type\":\"string\"}}}},{\"type\":\"function\",\"name\":\"end_call\","
               "\"parameters\":{\"type\":\"object\",\"properties\":{}}}],\"tool_choice\":\"auto\","
               "\"reasoning\":{\"effort\":\"low\"}}");
}

static void turn_detection_is_silent_by_default(void)
{
    struct rt_session s = bare;

    s.interrupt_response = false;
    expect(&s, "{\"type\":\"realtime\",\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"server_vad\","
               "\"create_response\":true,\"interrupt_response\":false}}}}");
    s.turn_detection = STR("server_vad");
    s.interrupt_response = true;
    expect(&s, "{\"type\":\"realtime\",\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"server_vad\","
               "\"create_response\":true,\"interrupt_response\":true}}}}");
}

static void a_custom_voice_is_an_object(void)
{
    struct rt_session s = bare;

    s.voice = STR("voice_abc");
    expect(&s, "{\"type\":\"realtime\",\"audio\":{\"input\":{},"
               "\"output\":{\"voice\":{\"id\":\"voice_abc\"}}}}");
}

static void effort_goes_to_reasoning_models_only(void)
{
    struct rt_session s = bare;

    s.reasoning_effort = STR("high");
    s.model = STR("gpt-realtime-1.5");
    expect(&s, "{\"type\":\"realtime\",\"model\":\"gpt-realtime-1.5\",\"audio\":{\"input\":{}}}");
    s.model = STR("gpt-realtime-2");
    expect(&s, "{\"type\":\"realtime\",\"model\":\"gpt-realtime-2\",\"audio\":{\"input\":{}},"
               "\"reasoning\":{\"effort\":\"high\"}}");
}

static void expect_refused(const struct rt_session *s)
{
    struct buf out;

    buf_init(&out, 65536);
    T_EQ(rt_session_write(&out, s), ERR_INVALID);
    T_EQ(out.rc, ERR_INVALID);
    T_EQ(out.n, 0);
    /* The next writing starts afresh. */
    T_EQ(rt_session_write(&out, &bare), 0);
    buf_free(&out);
}

static void what_the_api_would_refuse_is_refused(void)
{
    static const char *const parameters[] = {"[]", "\"x\"", "{", "{}{}", "null", "{'a':1}", " "};
    static const char *const names[] = {"", "a b", "a.b", "\xc3\xa4",
                                        "12345678901234567890123456789012345678901234567890123456789012345"};
    struct rt_session s = bare;
    struct rt_session_tool tool = {.name = STR("ok")};

    s.turn_detection = STR("none");
    expect_refused(&s);
    s = bare;
    s.noise_reduction = STR("loud");
    expect_refused(&s);
    s = bare;
    s.reasoning_effort = STR("most");
    expect_refused(&s);
    s = bare;
    s.tools = &tool;
    s.n_tools = 1;
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        tool.parameters_json = str_of(parameters[i]);
        expect_refused(&s);
    }
    tool.parameters_json = STR_NONE;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tool.name = str_of(names[i]);
        expect_refused(&s);
    }
}

static void the_ceiling_and_the_allocator_may_say_no(void)
{
    struct rt_session s = bare;
    struct buf out;

    s.instructions = STR("0123456789012345678901234567890123456789");
    buf_init(&out, 32);
    T_EQ(rt_session_write(&out, &s), ERR_TOO_BIG);
    buf_free(&out);
    buf_init(&out, 65536);
    (void)mem_fault_after(1);
    T_EQ(rt_session_write(&out, &s), ERR_NOMEM);
    (void)mem_fault_after(0);
    T_EQ(rt_session_write(&out, &s), 0);
    buf_free(&out);
}

static void models_and_voices_are_known(void)
{
    static const struct {
        const char *model;
        bool reasons;
    } models[] = {
        {"gpt-realtime-2", true},          {"gpt-realtime-2.1", true},
        {"gpt-realtime-2.1-mini", true},   {"gpt-realtime-2-2026-03-01", true},
        {"gpt-realtime-10", true},         {"gpt-realtime", false},
        {"gpt-realtime-1.5", false},       {"gpt-realtime-mini", false},
        {"gpt-realtime-2025-08-28", false}, {"gpt-realtime-mini-2025-12-15", false},
        {"gpt-realtime-whisper", false},   {"gpt-realtime-", false},
        {"gpt-realtime-2x", false},        {"gpt-4o-realtime-preview", false},
        {"", false},
    };

    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        T_EQ(rt_model_reasons(str_of(models[i].model)), models[i].reasons);
}

int main(void)
{
    T_RUN(empty_fields_are_left_out);
    T_RUN(a_whole_session_is_written);
    T_RUN(turn_detection_is_silent_by_default);
    T_RUN(a_custom_voice_is_an_object);
    T_RUN(effort_goes_to_reasoning_models_only);
    T_RUN(what_the_api_would_refuse_is_refused);
    T_RUN(the_ceiling_and_the_allocator_may_say_no);
    T_RUN(models_and_voices_are_known);
    return T_DONE();
}
