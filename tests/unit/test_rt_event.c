/* SPDX-License-Identifier: MIT */
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/realtime/rt_event.h"
#include "tests/unit/t.h"

#define T_SLICE(s, lit) T_MEM_EQ((s).p, (s).n, lit, sizeof(lit) - 1)

static struct rt_event r; /* too large for comfort on a stack, and read by one case at a time */

static const struct call_event *read_ok(const char *text)
{
    struct err e = {0};

    rt_event_free(&r);
    if (rt_event_read(&r, str_of(text), &e) < 0) {
        T_FAIL("%s: %s", text, e.text);
        T_MUST(false);
    }
    return &r.ev;
}

static void the_type_is_found_without_parsing(void)
{
    static const struct {
        const char *text, *type; /* NULL: left to the parser, or none */
    } table[] = {
        {"{\"type\":\"error\"}", "error"},
        {" \n{ \"type\" :\t\"error\" , \"x\":1}", "error"},
        {"{\"a\":{\"type\":\"x\",\"b\":[{\"type\":\"y\"}]},\"type\":\"z\"}", "z"},
        {"{\"a\":\"\\\"type\\\":\\\"x\\\"\",\"type\":\"z\"}", "z"},
        {"{\"a\":\"}]{[\",\"b\":-1.5e3,\"c\":null,\"d\":[],\"e\":{},\"f\":true,\"type\":\"z\"}", "z"},
        {"{\"item\":{\"x\":\"\\\\\"},\"type\":\"z\"}", "z"},
        {"{\"type\":\"first\",\"type\":\"second\"}", "first"},
        {"{\"type\":\"\"}", ""},
        {"{\"Type\":\"x\",\"type \":\"y\"}", NULL},
        {"{\"t\\u0079pe\":\"x\"}", NULL},
        {"{\"type\":\"a\\u0062\"}", NULL},
        {"{\"type\":null}", NULL},
        {"{\"type\":{\"type\":\"x\"}}", NULL},
        {"[\"type\",\"x\"]", NULL},
        {"\"type\"", NULL},
        {"{}", NULL},
        {"{", NULL},
        {"", NULL},
        {"{\"type\"", NULL},
        {"{\"type\":", NULL},
        {"{\"type\":\"x", NULL},
        {"{\"type\":\"x\\", NULL},
        {"{\"a\":[1,2", NULL},
        {"{\"a\":\"", NULL},
        {"{\"a\":1}", NULL},
        {"{\"a\":1]", NULL},
        {"{\"a\"}", NULL},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct str type = rt_event_type(str_of(table[i].text));

        if (table[i].type == NULL)
            T_NULL(type.p);
        else
            T_MEM_EQ(type.p, type.n, table[i].type, strlen(table[i].type));
    }
    T_NULL(rt_event_type(STR_NONE).p);
}

static void events_without_meaning_cost_no_tree(void)
{
    static const char *const types[] = {
        "response.output_audio_transcript.delta", "response.output_audio.delta",
        "rate_limits.updated", "session.updated", "conversation.created",
        "response.function_call_arguments.done", "response.output_item.done",
        "input_audio_buffer.timeout_triggered", "something.new", "",
    };
    char text[200];

    for (size_t i = 0; i < sizeof types / sizeof types[0] - 1; i++) {
        (void)snprintf(text, sizeof text, "{\"event_id\":null,\"type\":\"%s\",\"delta\":\"x\"}",
                       types[i]);
        T_EQ(read_ok(text)->kind, CALL_EV_NONE);
        T_NULL(r.doc);
    }
    /* What follows the type is not looked at then. */
    T_EQ(read_ok("{\"type\":\"response.output_audio.delta\",\"delta\":")->kind, CALL_EV_NONE);
}

static void what_is_no_event_is_refused(void)
{
    static const char *const texts[] = {
        "", " ", "null", "[]", "{}", "7", "{\"type\":null}", "{\"type\":7}", "{\"type\":\"\"}",
        "{\"a\":1", "{\"type\":\"error\"", "{\"type\":\"response.done\",\"response\":{\"id\":}}",
        "{\"type\":\"error\"}}", "{\"type\":\"error\",\"x\":\"\xff\"}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err e = {0};
        struct rt_event bad;

        T_EQ(rt_event_read(&bad, str_of(texts[i]), &e), ERR_INVALID);
        T_TRUE(e.text[0] != '\0');
    }
}

static void a_type_with_escapes_is_read_by_the_parser(void)
{
    T_EQ(read_ok("{\"t\\u0079pe\":\"err\\u006fr\"}")->kind, CALL_EV_ERROR);
    T_EQ(read_ok("{\"x\\n\":1,\"type\":\"error\"}")->kind, CALL_EV_ERROR);
    T_EQ(read_ok("{\"x\\n\":1,\"type\":\"response.output_text.delta\"}")->kind, CALL_EV_NONE);
}

static void a_session_tells_when_it_expires(void)
{
    T_EQ(read_ok("{\"type\":\"session.created\",\"session\":{\"expires_at\":1756324625}}")->kind,
         CALL_EV_SESSION);
    T_EQ(r.ev.u.session.expires_at_ms, 1756324625000);
    T_EQ(read_ok("{\"type\":\"session.created\",\"session\":null}")->u.session.expires_at_ms, 0);
    T_EQ(read_ok("{\"type\":\"session.created\"}")->kind, CALL_EV_SESSION);
    T_EQ(read_ok("{\"type\":\"session.created\",\"session\":{\"expires_at\":-3}}")
             ->u.session.expires_at_ms,
         0);
    T_EQ(read_ok("{\"type\":\"session.created\",\"session\":{\"expires_at\":1e300}}")->kind,
         CALL_EV_SESSION);
}

static void the_callers_audio_becomes_items(void)
{
    static const struct {
        const char *type;
        enum call_ev kind;
    } table[] = {
        {"input_audio_buffer.speech_started", CALL_EV_SPEECH_STARTED},
        {"input_audio_buffer.speech_stopped", CALL_EV_SPEECH_STOPPED},
        {"input_audio_buffer.committed", CALL_EV_COMMITTED},
    };
    char text[200];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "{\"type\":\"%s\",\"previous_item_id\":\"p\",\"item_id\":\"i\"}",
                       table[i].type);
        T_EQ(read_ok(text)->kind, table[i].kind);
        T_SLICE(r.ev.u.item.id, "i");
        T_SLICE(r.ev.u.item.prev, "p");
        T_EQ(r.ev.u.item.who, CALL_WHO_CALLER);
        (void)snprintf(text, sizeof text,
                       "{\"type\":\"%s\",\"previous_item_id\":null,\"item_id\":null}",
                       table[i].type);
        T_EQ(read_ok(text)->kind, table[i].kind);
        T_NULL(r.ev.u.item.id.p);
        T_NULL(r.ev.u.item.prev.p);
    }
}

static void items_are_added(void)
{
    static const char *const types[] = {"added", "created", "done"};
    char text[400];

    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof text,
                       "{\"type\":\"conversation.item.%s\",\"previous_item_id\":\"p\",\"item\":"
                       "{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\",\"content\":"
                       "[{\"type\":\"output_audio\",\"transcript\":\"Hello.\"}]}}",
                       types[i]);
        T_EQ(read_ok(text)->kind, CALL_EV_ITEM_ADDED);
        T_SLICE(r.ev.u.item.id, "i");
        T_SLICE(r.ev.u.item.prev, "p");
        T_EQ(r.ev.u.item.who, CALL_WHO_ASSISTANT);
        T_SLICE(r.ev.u.item.text, "Hello.");
    }
    (void)read_ok("{\"type\":\"conversation.item.added\",\"previous_item_id\":null,\"item\":{\"id\":\"i\","
                  "\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_audio\","
                  "\"transcript\":null,\"audio\":null}]}}");
    T_EQ(r.ev.kind, CALL_EV_ITEM_ADDED);
    T_EQ(r.ev.u.item.who, CALL_WHO_CALLER);
    T_NULL(r.ev.u.item.prev.p);
    T_EQ(r.ev.u.item.text.n, 0);
    (void)read_ok("{\"type\":\"conversation.item.added\",\"item\":{\"id\":\"i\","
                  "\"type\":\"function_call_output\",\"role\":\"user\",\"call_id\":\"c\"}}");
    T_EQ(r.ev.u.item.who, CALL_WHO_OTHER);
    (void)read_ok("{\"type\":\"conversation.item.added\",\"item\":{\"id\":\"i\",\"type\":\"message\","
                  "\"role\":\"system\",\"content\":null}}");
    T_EQ(r.ev.u.item.who, CALL_WHO_OTHER);
    T_EQ(read_ok("{\"type\":\"conversation.item.added\",\"item\":{\"type\":\"message\"}}")->kind,
         CALL_EV_NONE);
    T_EQ(read_ok("{\"type\":\"conversation.item.done\",\"item\":null}")->kind, CALL_EV_NONE);
    T_EQ(read_ok("{\"type\":\"conversation.item.retrieved\",\"item\":{\"id\":\"i\"}}")->kind,
         CALL_EV_ITEM_FOUND);
    T_SLICE(r.ev.u.item.id, "i");
}

static void the_caller_is_transcribed(void)
{
    (void)read_ok("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"item_id\":"
                  "\"i\",\"content_index\":0,\"transcript\":\"Gr\\u00fc\xc3\x9f dich\",\"usage\":{\"type\":"
                  "\"tokens\",\"total_tokens\":22,\"input_tokens\":13,\"output_tokens\":9}}");
    T_EQ(r.ev.kind, CALL_EV_CALLER_TEXT);
    T_SLICE(r.ev.u.item.id, "i");
    T_SLICE(r.ev.u.item.text, "Gr\xc3\xbc\xc3\x9f dich");
    T_EQ(r.ev.u.item.usage.transcription_tokens, 22);
    T_EQ(r.ev.u.item.usage.transcription_ms, 0);
    (void)read_ok("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"item_id\":"
                  "\"i\",\"transcript\":\"\",\"usage\":{\"type\":\"duration\",\"seconds\":1.2345}}");
    T_EQ(r.ev.u.item.usage.transcription_ms, 1235);
    T_EQ(r.ev.u.item.usage.transcription_tokens, 0);
    (void)read_ok("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"item_id\":"
                  "\"i\",\"transcript\":null,\"usage\":{\"seconds\":1e99,\"input_tokens\":-4}}");
    T_EQ(r.ev.u.item.text.n, 0);
    T_EQ(r.ev.u.item.usage.transcription_ms, 0);
    T_EQ(r.ev.u.item.usage.transcription_tokens, 0);
    T_EQ(read_ok("{\"type\":\"conversation.item.input_audio_transcription.completed\"}")->kind,
         CALL_EV_NONE);
    T_EQ(read_ok("{\"type\":\"conversation.item.input_audio_transcription.failed\",\"item_id\":\"i\","
                 "\"error\":null}")
             ->kind,
         CALL_EV_CALLER_TEXT_FAILED);
    T_SLICE(r.ev.u.item.id, "i");
    T_EQ(read_ok("{\"type\":\"conversation.item.input_audio_transcription.delta\"}")->kind,
         CALL_EV_NONE);
}

static void an_item_is_truncated(void)
{
    (void)read_ok("{\"type\":\"conversation.item.truncated\",\"item_id\":\"i\",\"content_index\":0,"
                  "\"audio_end_ms\":1500}");
    T_EQ(r.ev.kind, CALL_EV_TRUNCATED);
    T_EQ(r.ev.u.item.heard_ms, 1500);
    T_EQ(r.ev.u.item.who, CALL_WHO_ASSISTANT);
    (void)read_ok("{\"type\":\"conversation.item.truncated\",\"item_id\":\"i\",\"audio_end_ms\":-1}");
    T_EQ(r.ev.u.item.heard_ms, 0);
    T_EQ(read_ok("{\"type\":\"conversation.item.truncated\"}")->kind, CALL_EV_NONE);
}

static void a_response_is_heard(void)
{
    static const struct {
        const char *type;
        enum call_ev kind;
    } table[] = {
        {"output_audio_buffer.started", CALL_EV_AUDIO_STARTED},
        {"output_audio_buffer.stopped", CALL_EV_AUDIO_STOPPED},
        {"output_audio_buffer.cleared", CALL_EV_AUDIO_CLEARED},
    };
    char text[200];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"type\":\"%s\",\"response_id\":\"r\"}", table[i].type);
        T_EQ(read_ok(text)->kind, table[i].kind);
        T_SLICE(r.ev.u.response.id, "r");
    }
    T_EQ(read_ok("{\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"usage\":null}}")->kind,
         CALL_EV_RESPONSE_STARTED);
    T_SLICE(r.ev.u.response.id, "r");
    T_EQ(read_ok("{\"type\":\"response.created\",\"response\":null}")->kind,
         CALL_EV_RESPONSE_STARTED);
}

static void a_response_is_done(void)
{
    (void)read_ok(
        "{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"completed\","
        "\"status_details\":null,\"output\":[{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\","
        "\"content\":[{\"type\":\"output_audio\",\"transcript\":\"One moment.\"},"
        "{\"type\":\"output_text\",\"text\":\"I look.\"},{\"type\":\"output_audio\",\"transcript\":null},"
        "null,{\"type\":\"output_text\",\"text\":\"Now.\"}]},"
        "{\"id\":\"f\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"ask_openclaw\","
        "\"arguments\":\"{\\\"request\\\":\\\"x\\\"}\"},"
        "{\"id\":\"n\",\"type\":\"message\",\"content\":[{\"transcript\":\"A\"},{\"transcript\":\"B\"}]},"
        "{\"id\":\"q\",\"type\":\"mcp_call\",\"name\":\"x\"},null],"
        "\"usage\":{\"total_tokens\":253,\"input_tokens\":132,\"output_tokens\":121,"
        "\"input_token_details\":{\"text_tokens\":119,\"audio_tokens\":13,\"image_tokens\":1,"
        "\"cached_tokens\":64,\"cached_tokens_details\":{\"text_tokens\":60,\"audio_tokens\":3,"
        "\"image_tokens\":2}},\"output_token_details\":{\"text_tokens\":30,\"audio_tokens\":91}}}}");
    T_EQ(r.ev.kind, CALL_EV_RESPONSE_DONE);
    T_SLICE(r.ev.u.response.id, "r");
    T_EQ(r.ev.u.response.status, CALL_RESPONSE_COMPLETED);
    T_EQ(r.ev.u.response.detail.n, 0);
    T_EQ(r.ev.u.response.audio_tokens, 91);
    T_EQ(r.ev.u.response.n_outputs, 3);
    T_PTR_EQ(r.ev.u.response.outputs, r.outputs);
    T_FALSE(r.outputs[0].is_function);
    T_SLICE(r.outputs[0].item_id, "m");
    T_SLICE(r.outputs[0].text, "One moment. I look. Now.");
    T_TRUE(r.outputs[1].is_function);
    T_SLICE(r.outputs[1].call_id, "c");
    T_SLICE(r.outputs[1].name, "ask_openclaw");
    T_SLICE(r.outputs[1].arguments, "{\"request\":\"x\"}");
    T_EQ(r.outputs[1].text.n, 0);
    T_SLICE(r.outputs[2].text, "A B");
    T_EQ(r.ev.u.response.usage.responses, 1);
    T_EQ(r.ev.u.response.usage.input_tokens, 132);
    T_EQ(r.ev.u.response.usage.output_tokens, 121);
    T_EQ(r.ev.u.response.usage.input_text, 119);
    T_EQ(r.ev.u.response.usage.input_audio, 13);
    T_EQ(r.ev.u.response.usage.input_image, 1);
    T_EQ(r.ev.u.response.usage.input_cached, 64);
    T_EQ(r.ev.u.response.usage.cached_text, 60);
    T_EQ(r.ev.u.response.usage.cached_audio, 3);
    T_EQ(r.ev.u.response.usage.cached_image, 2);
    T_EQ(r.ev.u.response.usage.output_text, 30);
    T_EQ(r.ev.u.response.usage.output_audio, 91);
}

static void a_response_may_end_badly(void)
{
    static const struct {
        const char *json;
        enum call_response_status status;
        const char *detail;
    } table[] = {
        {"{\"status\":\"failed\",\"status_details\":{\"type\":\"failed\",\"error\":{\"type\":"
         "\"server_error\",\"code\":\"x\",\"message\":\"It broke.\"}}}",
         CALL_RESPONSE_FAILED, "It broke."},
        {"{\"status\":\"failed\",\"status_details\":{\"error\":{\"type\":\"t\",\"code\":\"c\"}}}",
         CALL_RESPONSE_FAILED, "c"},
        {"{\"status\":\"failed\",\"status_details\":{\"error\":{\"type\":\"t\",\"code\":null}}}",
         CALL_RESPONSE_FAILED, "t"},
        {"{\"status\":\"failed\",\"status_details\":null,\"output\":null,\"usage\":null}",
         CALL_RESPONSE_FAILED, "failed"},
        {"{\"status\":\"incomplete\",\"status_details\":{\"reason\":\"max_output_tokens\"}}",
         CALL_RESPONSE_INCOMPLETE, "max_output_tokens"},
        {"{\"status\":\"cancelled\",\"status_details\":{\"reason\":\"turn_detected\"}}",
         CALL_RESPONSE_CANCELLED, "turn_detected"},
        {"{\"status\":\"paused\"}", CALL_RESPONSE_INCOMPLETE, "paused"},
        {"{\"status\":null}", CALL_RESPONSE_COMPLETED, ""},
        {"null", CALL_RESPONSE_COMPLETED, ""},
        {"7", CALL_RESPONSE_COMPLETED, ""},
    };
    char text[400];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"type\":\"response.done\",\"response\":%s}",
                       table[i].json);
        T_EQ(read_ok(text)->kind, CALL_EV_RESPONSE_DONE);
        T_EQ(r.ev.u.response.status, table[i].status);
        T_MEM_EQ(r.ev.u.response.detail.p, r.ev.u.response.detail.n, table[i].detail,
                 strlen(table[i].detail));
        T_EQ(r.ev.u.response.n_outputs, 0);
    }
}

static void outputs_that_nothing_can_be_done_with_are_left_out(void)
{
    (void)read_ok("{\"type\":\"response.done\",\"response\":{\"output\":["
                  "{\"type\":\"function_call\",\"name\":\"x\"},{\"type\":\"message\"},{},[],"
                  "{\"type\":\"function_call\",\"call_id\":\"c\"},"
                  "{\"type\":\"message\",\"id\":\"m\",\"content\":7}]}}");
    T_EQ(r.ev.u.response.n_outputs, 2);
    T_SLICE(r.outputs[0].call_id, "c");
    T_EQ(r.outputs[0].name.n, 0);
    T_SLICE(r.outputs[1].item_id, "m");
    T_EQ(r.outputs[1].text.n, 0);
}

static void the_first_outputs_are_kept_when_there_are_too_many(void)
{
    struct buf b;

    buf_init(&b, 65536);
    (void)buf_puts(&b, STR("{\"type\":\"response.done\",\"response\":{\"output\":["));
    for (int i = 0; i < CALL_OUTPUTS_MAX + 5; i++)
        (void)buf_printf(&b, "%s{\"type\":\"function_call\",\"call_id\":\"c%d\"}", i ? "," : "", i);
    (void)buf_puts(&b, STR("]}}"));
    (void)read_ok(buf_cstr(&b));
    T_EQ(r.ev.u.response.n_outputs, CALL_OUTPUTS_MAX);
    T_SLICE(r.outputs[0].call_id, "c0");
    T_SLICE(r.outputs[CALL_OUTPUTS_MAX - 1].call_id, "c31");
    buf_free(&b);
}

static void a_key_is_pressed(void)
{
    static const char good[] = "0123456789*#ABCD";
    char text[100];

    for (size_t i = 0; good[i] != '\0'; i++) {
        (void)snprintf(text, sizeof text,
                       "{\"type\":\" input_audio_buffer.dtmf_event_received\",\"event\":\"%c\"}",
                       good[i]);
        T_EQ(read_ok(text)->kind, CALL_EV_DTMF);
        T_MEM_EQ(r.ev.u.text.p, r.ev.u.text.n, &good[i], 1);
    }
    T_EQ(read_ok("{\"type\":\"input_audio_buffer.dtmf_event_received\",\"event\":\"E\"}")->kind,
         CALL_EV_NONE);
    T_EQ(read_ok("{\"type\":\"input_audio_buffer.dtmf_event_received\",\"event\":\"12\"}")->kind,
         CALL_EV_NONE);
    T_EQ(read_ok("{\"type\":\"input_audio_buffer.dtmf_event_received\",\"event\":5}")->kind,
         CALL_EV_NONE);
}

static void an_error_is_told(void)
{
    (void)read_ok("{\"event_id\":\"event_890\",\"type\":\"error\",\"error\":{\"type\":"
                  "\"invalid_request_error\",\"code\":\"invalid_event\",\"message\":\"No.\","
                  "\"param\":null,\"event_id\":\"ours\"}}");
    T_EQ(r.ev.kind, CALL_EV_ERROR);
    T_SLICE(r.ev.u.error.code, "invalid_event");
    T_SLICE(r.ev.u.error.message, "No.");
    T_SLICE(r.ev.u.error.event_id, "ours");
    (void)read_ok("{\"type\":\"error\",\"event_id\":\"theirs\",\"error\":{\"type\":\"server_error\","
                  "\"code\":null,\"message\":null,\"event_id\":null}}");
    T_SLICE(r.ev.u.error.code, "server_error");
    T_EQ(r.ev.u.error.event_id.n, 0);
    T_EQ(read_ok("{\"type\":\"error\",\"error\":null}")->kind, CALL_EV_ERROR);
}

static void half_a_surrogate_pair_loses_one_character(void)
{
    static const char fmt[] = "{\"type\":\"conversation.item.input_audio_transcription.completed\","
                              "\"item_id\":\"i\",\"transcript\":\"%s\"}";
    static const struct {
        const char *in, *out;
    } table[] = {
        {"a\\ud83d\\ude00b", "a\xf0\x9f\x98\x80" "b"},
        {"a\\ud83d", "a\xef\xbf\xbd"},
        {"\\ude00a", "\xef\xbf\xbd" "a"},
        {"\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"\\ud83dx\\u0000y", "\xef\xbf\xbdx\xef\xbf\xbdy"},
        {"\\\\ud83d\\u0000", "\\ud83d\xef\xbf\xbd"},
    };
    char text[300];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)snprintf(text, sizeof text, fmt, table[i].in);
        T_EQ(read_ok(text)->kind, CALL_EV_CALLER_TEXT);
        T_MEM_EQ(r.ev.u.item.text.p, r.ev.u.item.text.n, table[i].out, strlen(table[i].out));
    }
}

static void a_large_event_is_read(void)
{
    struct buf b;

    buf_init(&b, 8u << 20);
    (void)buf_puts(&b, STR("{\"item\":{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\","
                           "\"content\":[{\"audio\":\""));
    for (int i = 0; i < 1 << 17; i++)
        (void)buf_puts(&b, STR("8//2//v/9//q/+//+P/sAAAAAAAAAA=="));
    (void)buf_puts(&b, STR("\",\"transcript\":\"Yes.\"}]},\"type\":\"conversation.item.retrieved\"}"));
    T_MUST(b.rc == 0);
    T_EQ(read_ok(buf_cstr(&b))->kind, CALL_EV_ITEM_FOUND);
    T_SLICE(r.ev.u.item.text, "Yes.");
    buf_free(&b);
}

static const char done[] =
    "{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"cancelled\",\"output\":[{\"id\":"
    "\"m\",\"type\":\"message\",\"content\":[{\"transcript\":\"A\\ud83d\"},{\"text\":\"B\"}]},{\"type\":"
    "\"function_call\",\"call_id\":\"c\",\"name\":\"n\",\"arguments\":\"{}\"}],\"usage\":{\"output_tokens\":"
    "5}}}";

/* Each copy ends where its memory ends, so that a byte read behind it is noticed. */
static void damaged_events_do_no_harm(void)
{
    size_t n = sizeof done - 1;

    for (size_t i = 0; i < n; i++) {
        for (int bit = -1; bit < 8; bit++) {
            size_t len = bit < 0 ? i : n;
            char *copy = malloc(len > 0 ? len : 1);

            T_MUST(copy != NULL);
            memcpy(copy, done, len);
            if (bit >= 0)
                copy[i] = (char)(copy[i] ^ 1 << bit);
            rt_event_free(&r);
            if (rt_event_read(&r, str_make(copy, len), NULL) == 0 && bit < 0)
                T_EQ(r.ev.kind, CALL_EV_NONE);
            free(copy);
        }
    }
}

static void memory_may_run_out(void)
{
    int rc = ERR_NOMEM;
    unsigned long n = 1;

    for (; rc == ERR_NOMEM && n < 100; n++) {
        struct rt_event ev;

        (void)mem_fault_after(n);
        rc = rt_event_read(&ev, str_of(done), NULL);
        (void)mem_fault_after(0);
        if (rc == 0)
            rt_event_free(&ev);
    }
    T_EQ(rc, 0);
    T_GT(n, 2);
}

static void expect_text(struct buf *b, int rc, const char *want)
{
    T_EQ(rc, 0);
    T_STR_EQ(buf_cstr(b), want);
    T_EQ(json_check(buf_str(b), NULL), 0);
}

static void client_events_are_written(void)
{
    struct buf b;

    buf_init(&b, 65536);
    expect_text(&b, rt_write_response_create(&b, STR("e"), STR_NONE, true),
                "{\"type\":\"response.create\",\"event_id\":\"e\"}");
    expect_text(&b, rt_write_response_create(&b, STR_NONE, STR("Say \"hi\"\n"), false),
                "{\"type\":\"response.create\",\"response\":{\"instructions\":\"Say \\\"hi\\\"\\n\","
                "\"tool_choice\":\"none\"}}");
    expect_text(&b, rt_write_response_create(&b, STR("e"), STR_NONE, false),
                "{\"type\":\"response.create\",\"event_id\":\"e\",\"response\":{\"tool_choice\":\"none\"}}");
    expect_text(&b, rt_write_function_output(&b, STR("e"), STR("i"), STR("c"), STR("")),
                "{\"type\":\"conversation.item.create\",\"event_id\":\"e\",\"item\":{\"id\":\"i\","
                "\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"\"}}");
    expect_text(&b, rt_write_message(&b, STR("e"), STR_NONE, "system", STR("a\xff" "b")),
                "{\"type\":\"conversation.item.create\",\"event_id\":\"e\",\"item\":{\"type\":\"message\","
                "\"role\":\"system\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\xef\xbf\xbd"
                "b\"}]}}");
    expect_text(&b, rt_write_item_retrieve(&b, STR("e"), STR("i")),
                "{\"type\":\"conversation.item.retrieve\",\"event_id\":\"e\",\"item_id\":\"i\"}");
    expect_text(&b, rt_write_response_cancel(&b, STR("e")),
                "{\"type\":\"response.cancel\",\"event_id\":\"e\"}");
    expect_text(&b, rt_write_output_clear(&b, STR("e")),
                "{\"type\":\"output_audio_buffer.clear\",\"event_id\":\"e\"}");
    buf_free(&b);
    buf_init(&b, 20);
    T_EQ(rt_write_output_clear(&b, STR("e")), ERR_TOO_BIG);
    buf_free(&b);
}

int main(void)
{
    T_RUN(the_type_is_found_without_parsing);
    T_RUN(events_without_meaning_cost_no_tree);
    T_RUN(what_is_no_event_is_refused);
    T_RUN(a_type_with_escapes_is_read_by_the_parser);
    T_RUN(a_session_tells_when_it_expires);
    T_RUN(the_callers_audio_becomes_items);
    T_RUN(items_are_added);
    T_RUN(the_caller_is_transcribed);
    T_RUN(an_item_is_truncated);
    T_RUN(a_response_is_heard);
    T_RUN(a_response_is_done);
    T_RUN(a_response_may_end_badly);
    T_RUN(outputs_that_nothing_can_be_done_with_are_left_out);
    T_RUN(the_first_outputs_are_kept_when_there_are_too_many);
    T_RUN(a_key_is_pressed);
    T_RUN(an_error_is_told);
    T_RUN(half_a_surrogate_pair_loses_one_character);
    T_RUN(a_large_event_is_read);
    T_RUN(damaged_events_do_no_harm);
    T_RUN(memory_may_run_out);
    T_RUN(client_events_are_written);
    rt_event_free(&r);
    return T_DONE();
}
