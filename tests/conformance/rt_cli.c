/* SPDX-License-Identifier: MIT */
/*
 * What plugin/realtime reads and writes, for tests in other languages. Each line of standard input
 * is one of
 *     {"read":"text of a server event"}        -> {"rc":0,"kind":"RESPONSE_DONE"}
 *     {"webhook":"text of a webhook's body"}    -> {"rc":0,"kind":"INCOMING"|"OTHER","call_id":..}
 *     {"write":"response_create", ...}          -> {"rc":0,"out":"text of the client event"}
 *     {"session":{...}}                         -> {"rc":0,"out":"text of the session object"}
 * with the names of the C functions' arguments as further members.
 */
#include "plugin/base/json.h"
#include "plugin/realtime/rt_event.h"
#include "plugin/realtime/rt_session.h"
#include "plugin/realtime/rt_webhook.h"

#include <stdio.h>

#define INPUT_MAX (64u << 20)
#define TOOLS_MAX 16

static const char *kind_name(enum call_ev kind)
{
    switch (kind) {
#define K(name) case CALL_EV_##name: return #name;
    K(NONE) K(ACCEPTED) K(REJECTED) K(HUNG_UP) K(SIDEBAND_LOST) K(TIMER) K(SAVED) K(END) K(LEAVE)
    K(CONTEXT) K(TELL) K(TOOL_ACTING) K(TOOL_DONE) K(SESSION) K(SPEECH_STARTED) K(SPEECH_STOPPED)
    K(COMMITTED) K(ITEM_ADDED) K(ITEM_FOUND) K(CALLER_TEXT) K(CALLER_TEXT_FAILED)
    K(RESPONSE_STARTED) K(RESPONSE_DONE) K(AUDIO_STARTED) K(AUDIO_STOPPED) K(AUDIO_CLEARED)
    K(TRUNCATED) K(DTMF) K(ERROR) K(LEG) K(PARK) K(HOLD) K(RESUME) K(NOTICE) K(UNRECORDED)
    K(VOICEMAIL) K(LINE_OVER) K(REFERRED) K(BUDGET) K(COUNT)
#undef K
    }
    return "?";
}

static void answer_read(struct str text, struct buf *out)
{
    static struct rt_event ev;
    struct err e = {0};
    int rc = rt_event_read(&ev, text, &e);

    jw_kint(out, "rc", rc);
    if (rc < 0) {
        jw_kstrc(out, "why", e.text);
        return;
    }
    jw_kstrc(out, "kind", kind_name(ev.ev.kind));
    rt_event_free(&ev);
}

static void answer_webhook(struct str text, struct buf *out)
{
    struct rt_webhook w;
    struct err e = {0};
    int rc = rt_webhook_read(&w, text, &e);

    jw_kint(out, "rc", rc);
    if (rc < 0) {
        jw_kstrc(out, "why", e.text);
        return;
    }
    jw_kstrc(out, "kind", w.kind == RT_WEBHOOK_INCOMING ? "INCOMING" : "OTHER");
    jw_kstr(out, "call_id", w.call_id);
    jw_kstr(out, "from", rt_webhook_header(&w, "From", 0));
    rt_webhook_free(&w);
}

static int write_event(const struct json *q, struct buf *made)
{
    struct str what = json_get_str(q, "write"), event_id = json_get_str(q, "event_id");
    struct str item_id = json_get_str(q, "item_id"), role = json_get_str(q, "role");

    if (str_eq(what, STR("response_create")))
        return rt_write_response_create(made, event_id, json_get_str(q, "instructions"),
                                        json_get_bool(q, "allow_tools", true));
    if (str_eq(what, STR("function_output")))
        return rt_write_function_output(made, event_id, item_id, json_get_str(q, "call_id"),
                                        json_get_str(q, "output"));
    if (str_eq(what, STR("message")))
        return rt_write_message(made, event_id, item_id, role.n > 0 ? role.p : "system",
                                json_get_str(q, "text"));
    if (str_eq(what, STR("item_retrieve")))
        return rt_write_item_retrieve(made, event_id, item_id);
    if (str_eq(what, STR("response_cancel")))
        return rt_write_response_cancel(made, event_id);
    if (str_eq(what, STR("output_clear")))
        return rt_write_output_clear(made, event_id);
    return ERR_INVALID;
}

static int write_session(const struct json *q, struct buf *made)
{
    struct rt_session_tool tools[TOOLS_MAX];
    struct rt_session s = {
        .model = json_get_str(q, "model"),
        .voice = json_get_str(q, "voice"),
        .instructions = json_get_str(q, "instructions"),
        .transcription_model = json_get_str(q, "transcription_model"),
        .transcription_language = json_get_str(q, "transcription_language"),
        .turn_detection = json_get_str(q, "turn_detection"),
        .noise_reduction = json_get_str(q, "noise_reduction"),
        .reasoning_effort = json_get_str(q, "reasoning_effort"),
        .interrupt_response = json_get_bool(q, "interrupt_response", true),
        .tools = tools,
    };
    const struct json *t = json_first(json_get(q, "tools"));

    for (; t != NULL && s.n_tools < TOOLS_MAX; t = json_next(t))
        tools[s.n_tools++] = (struct rt_session_tool){json_get_str(t, "name"),
                                                      json_get_str(t, "description"),
                                                      json_get_str(t, "parameters_json")};
    return rt_session_write(made, &s);
}

static bool answer(struct str line, struct buf *made, struct buf *out)
{
    struct json *q = NULL;
    struct err e = {0};
    int rc;

    if (json_parse(&q, line, &e) < 0) {
        (void)fprintf(stderr, "rt_cli: %s\n", e.text);
        return false;
    }
    jw_open(out, '{');
    if (json_get(q, "read") != NULL) {
        answer_read(json_get_str(q, "read"), out);
    } else if (json_get(q, "webhook") != NULL) {
        answer_webhook(json_get_str(q, "webhook"), out);
    } else {
        rc = json_get(q, "session") != NULL ? write_session(json_get(q, "session"), made)
                                            : write_event(q, made);
        jw_kint(out, "rc", rc);
        if (rc == 0)
            jw_kstr(out, "out", buf_str(made));
    }
    jw_close(out, '}');
    (void)buf_putc(out, '\n');
    json_free(q);
    return out->rc == 0;
}

int main(void)
{
    struct buf in, made, out;
    struct str rest, line;
    char chunk[4096];
    size_t n;
    bool good = true;

    buf_init(&in, INPUT_MAX);
    buf_init(&made, INPUT_MAX);
    buf_init(&out, INPUT_MAX);
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        (void)buf_put(&in, chunk, n);
    rest = buf_str(&in);
    while (good && str_split(&rest, '\n', &line))
        good = line.n == 0 || answer(line, &made, &out);
    good = good && in.rc == 0 && fwrite(out.p, 1, out.n, stdout) == out.n;
    buf_free(&in);
    buf_free(&made);
    buf_free(&out);
    return good ? 0 : 1;
}
