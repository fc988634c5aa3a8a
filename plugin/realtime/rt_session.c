/* SPDX-License-Identifier: MIT */
#include "plugin/realtime/rt_session.h"

#include "plugin/base/err.h"
#include "plugin/base/json.h"

static bool one_of(struct str s, const char *const *names)
{
    for (; *names != NULL; names++)
        if (str_eqc(s, *names))
            return true;
    return false;
}

bool rt_model_reasons(struct str model)
{
    struct str rest;
    uint64_t major;
    size_t n = 0;

    if (!str_starts(model, STR("gpt-realtime-")))
        return false;
    rest = str_skip(model, STR("gpt-realtime-").n);
    while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
        n++;
    /* Four digits are the year of a dated first generation: gpt-realtime-2025-08-28. */
    if (n == 0 || n > 2 || !str_u64(str_head(rest, n), &major) || major < 2)
        return false;
    return n == rest.n || rest.p[n] == '.' || rest.p[n] == '-';
}

static bool is_custom_voice(struct str voice)
{
    return str_starts(voice, STR("voice_")) && voice.n > STR("voice_").n;
}

/* Raw JSON goes out as it is, so it must be an object; *json loses blanks around it. */
static bool object_text(struct str *json)
{
    struct str s = *json;

    if (json_check(s, NULL) < 0)
        return false;
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\n' || s.p[0] == '\r'))
        s = str_skip(s, 1);
    while (s.n > 0 && s.p[s.n - 1] != '}')
        s.n--; /* it is valid JSON: behind an object only blanks can stand */
    *json = s;
    return s.n > 0 && s.p[0] == '{';
}

/* The API's pattern: ^[A-Za-z0-9_-]{1,64}$ */
static bool tool_name_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-')
            return false;
    }
    return name.n > 0 && name.n <= 64;
}

/* What is no value of the API would make it refuse the call; better to refuse here. */
static bool settings_ok(const struct rt_session *s)
{
    static const char *const turns[] = {"", "server_vad", "semantic_vad", NULL};
    static const char *const noise[] = {"", "near_field", "far_field", NULL};
    static const char *const efforts[] = {"", "minimal", "low", "medium", "high", "xhigh", NULL};

    return one_of(s->turn_detection, turns) && one_of(s->noise_reduction, noise) &&
           one_of(s->reasoning_effort, efforts);
}

/* "key":{"name":"value"} */
static void write_one(struct buf *out, const char *key, const char *name, struct str value)
{
    jw_key(out, key);
    jw_open(out, '{');
    jw_kstr(out, name, value);
    jw_close(out, '}');
}

/* Without a word about it the API detects turns by silence and lets the caller interrupt. */
static void write_turn_detection(struct buf *out, const struct rt_session *s)
{
    struct str type = s->turn_detection.n > 0 ? s->turn_detection : STR("server_vad");

    if (s->turn_detection.n == 0 && s->interrupt_response)
        return;
    jw_key(out, "turn_detection");
    jw_open(out, '{');
    jw_kstr(out, "type", type);
    jw_kbool(out, "create_response", true);
    jw_kbool(out, "interrupt_response", s->interrupt_response);
    jw_close(out, '}');
}

static void write_audio_in(struct buf *out, const struct rt_session *s)
{
    jw_key(out, "input");
    jw_open(out, '{');
    if (s->transcription_model.n > 0) {
        jw_key(out, "transcription");
        jw_open(out, '{');
        jw_kstr(out, "model", s->transcription_model);
        if (s->transcription_language.n > 0)
            jw_kstr(out, "language", s->transcription_language);
        jw_close(out, '}');
    }
    if (s->noise_reduction.n > 0)
        write_one(out, "noise_reduction", "type", s->noise_reduction);
    write_turn_detection(out, s);
    jw_close(out, '}');
}

static void write_audio_out(struct buf *out, struct str voice)
{
    if (voice.n == 0)
        return;
    jw_key(out, "output");
    jw_open(out, '{');
    if (is_custom_voice(voice))
        write_one(out, "voice", "id", voice);
    else
        jw_kstr(out, "voice", voice);
    jw_close(out, '}');
}

static bool write_tools(struct buf *out, const struct rt_session *s)
{
    if (s->n_tools == 0)
        return true;
    jw_key(out, "tools");
    jw_open(out, '[');
    for (unsigned i = 0; i < s->n_tools; i++) {
        const struct rt_session_tool *tool = &s->tools[i];
        struct str parameters = tool->parameters_json;

        if (parameters.n == 0)
            parameters = STR("{\"type\":\"object\",\"properties\":{}}");
        if (!tool_name_ok(tool->name) || !object_text(&parameters))
            return false;
        jw_open(out, '{');
        jw_kstrc(out, "type", "function");
        jw_kstr(out, "name", tool->name);
        if (tool->description.n > 0)
            jw_kstr(out, "description", tool->description);
        jw_kraw(out, "parameters", parameters);
        jw_close(out, '}');
    }
    jw_close(out, ']');
    jw_kstrc(out, "tool_choice", "auto");
    return true;
}

int rt_session_write(struct buf *out, const struct rt_session *s)
{
    bool ok = settings_ok(s);

    buf_clear(out);
    jw_open(out, '{');
    jw_kstrc(out, "type", "realtime");
    if (s->model.n > 0)
        jw_kstr(out, "model", s->model);
    if (s->instructions.n > 0)
        jw_kstr(out, "instructions", s->instructions);
    jw_key(out, "audio");
    jw_open(out, '{');
    write_audio_in(out, s);
    write_audio_out(out, s->voice);
    jw_close(out, '}');
    ok = ok && write_tools(out, s);
    if (s->reasoning_effort.n > 0 && rt_model_reasons(s->model))
        write_one(out, "reasoning", "effort", s->reasoning_effort);
    jw_close(out, '}');
    if (!ok) {
        buf_clear(out);
        out->rc = ERR_INVALID;
    }
    return out->rc;
}
