/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_EVENT_READER_H
#define TESTS_FUZZ_EVENT_READER_H
/*
 * A second reader of the provider's events: it looks at what was made of a line, in the tree that the line became, and
 * says whether a line that was refused should have been read.
 */
#include "plugin/base/json.h"
#include "plugin/realtime/rt_event.h"
#include "tests/fuzz/fuzz.h"

struct expect {
    const char *type;
    enum call_ev kind;
    char reads; /* i: an item's id at item.id, I: at item_id; t: who speaks; d: a response; r: its id; k: a key; e, s */
};

static const struct expect expects[] = {
    {"session.created", CALL_EV_SESSION, 's'}, {"error", CALL_EV_ERROR, 'e'},
    {"input_audio_buffer.speech_started", CALL_EV_SPEECH_STARTED, 't'},
    {"input_audio_buffer.speech_stopped", CALL_EV_SPEECH_STOPPED, 't'},
    {"input_audio_buffer.committed", CALL_EV_COMMITTED, 't'},
    {"input_audio_buffer.dtmf_event_received", CALL_EV_DTMF, 'k'},
    {"conversation.item.added", CALL_EV_ITEM_ADDED, 'i'}, {"conversation.item.created", CALL_EV_ITEM_ADDED, 'i'},
    {"conversation.item.done", CALL_EV_ITEM_ADDED, 'i'}, {"conversation.item.retrieved", CALL_EV_ITEM_FOUND, 'i'},
    {"conversation.item.truncated", CALL_EV_TRUNCATED, 'I'},
    {"conversation.item.input_audio_transcription.completed", CALL_EV_CALLER_TEXT, 'I'},
    {"conversation.item.input_audio_transcription.failed", CALL_EV_CALLER_TEXT_FAILED, 'I'},
    {"response.created", CALL_EV_RESPONSE_STARTED, 'r'}, {"response.done", CALL_EV_RESPONSE_DONE, 'd'},
    {"output_audio_buffer.started", CALL_EV_AUDIO_STARTED, 'r'},
    {"output_audio_buffer.stopped", CALL_EV_AUDIO_STOPPED, 'r'},
    {"output_audio_buffer.cleared", CALL_EV_AUDIO_CLEARED, 'r'}};

static inline const struct expect *expected(struct str type)
{
    for (size_t i = 0; i < sizeof expects / sizeof expects[0]; i++) {
        if (str_eqc(str_trim(type), expects[i].type))
            return &expects[i];
    }
    return NULL;
}

static inline struct str text_at(const struct json *doc, const char *outer, const char *key)
{
    return json_get_str(outer ? json_get(doc, outer) : doc, key);
}

/* What the parts of a message say, a blank between them. */
static inline bool says(const struct json *item, struct str text)
{
    bool some = false;

    for (const struct json *part = json_first(json_get(item, "content")); part; part = json_next(part)) {
        struct str say = json_get_str(part, "transcript");

        say = say.n > 0 ? say : json_get_str(part, "text");
        if (say.n == 0)
            continue;
        if (some && (text.n == 0 || text.p[0] != ' '))
            return false;
        text = some ? str_skip(text, 1) : text;
        if (!str_starts(text, say))
            return false;
        text = str_skip(text, say.n);
        some = true;
    }
    return text.n == 0;
}

static inline bool counted(uint64_t got, const struct json *of, const char *key)
{
    int64_t n = json_get_int(of, key, 0);

    return got == (n > 0 ? (uint64_t)n : 0);
}

static inline void used(const struct call_usage *u, const struct json *usage)
{
    const struct json *in = json_get(usage, "input_token_details"), *out = json_get(usage, "output_token_details");
    const struct json *cached = json_get(in, "cached_tokens_details");

    FUZZ_MUST(counted(u->input_tokens, usage, "input_tokens") && counted(u->output_tokens, usage, "output_tokens"));
    FUZZ_MUST(counted(u->input_text, in, "text_tokens") && counted(u->input_audio, in, "audio_tokens"));
    FUZZ_MUST(counted(u->input_image, in, "image_tokens") && counted(u->input_cached, in, "cached_tokens"));
    FUZZ_MUST(counted(u->cached_text, cached, "text_tokens") && counted(u->cached_audio, cached, "audio_tokens"));
    FUZZ_MUST(counted(u->cached_image, cached, "image_tokens") && counted(u->output_text, out, "text_tokens"));
    FUZZ_MUST(counted(u->output_audio, out, "audio_tokens"));
}

static inline void response_read(const struct rt_event *r)
{
    const struct json *response = json_get(r->doc, "response"), *item = json_first(json_get(response, "output"));
    struct str status = json_get_str(response, "status");
    bool whole = status.n == 0 || str_eqc(status, "completed");
    unsigned n = 0;

    FUZZ_MUST(whole == (r->ev.u.response.status == CALL_RESPONSE_COMPLETED));
    FUZZ_MUST(r->ev.u.response.n_outputs <= CALL_OUTPUTS_MAX);
    for (; item && n < r->ev.u.response.n_outputs; item = json_next(item)) {
        const struct call_output *o = &r->ev.u.response.outputs[n];
        bool calls = str_eqc(json_get_str(item, "type"), "function_call");

        if (calls ? json_get_str(item, "call_id").n == 0
                  : !str_eqc(json_get_str(item, "type"), "message") || json_get_str(item, "id").n == 0)
            continue;
        FUZZ_MUST(o->is_function == calls && str_eq(o->item_id, json_get_str(item, "id")));
        FUZZ_MUST(calls ? str_eq(o->call_id, json_get_str(item, "call_id")) &&
                          str_eq(o->arguments, json_get_str(item, "arguments")) : says(item, o->text));
        n++;
    }
    FUZZ_MUST(n == r->ev.u.response.n_outputs);
    used(&r->ev.u.response.usage, json_get(response, "usage"));
}

/* What was read is what stands there. */
static inline void event_right(const struct rt_event *r)
{
    const struct expect *x = r->doc ? expected(json_get_str(r->doc, "type")) : NULL;
    struct str id = x && x->reads == 'i' ? text_at(r->doc, "item", "id") : text_at(r->doc, NULL, "item_id"), key;

    if (!x) {
        FUZZ_MUST(r->ev.kind == CALL_EV_NONE);
        return;
    }
    if (x->reads == 'k') {
        key = text_at(r->doc, NULL, "event");
        FUZZ_MUST((r->ev.kind == x->kind) == (key.n == 1 && str_find(STR("0123456789ABCD*#"), key.p[0]) < 16));
        return;
    }
    FUZZ_MUST((r->ev.kind == x->kind) == (id.n > 0 || (x->reads != 'i' && x->reads != 'I')));
    if (r->ev.kind == CALL_EV_NONE)
        return;
    if (x->reads == 'i' || x->reads == 'I' || x->reads == 't')
        FUZZ_MUST(str_eq(r->ev.u.item.id, id) && str_utf8_valid(r->ev.u.item.text));
    if (x->reads == 'i')
        FUZZ_MUST(says(json_get(r->doc, "item"), r->ev.u.item.text));
    if (x->reads == 'd')
        response_read(r);
    if (x->reads == 'r')
        FUZZ_MUST(str_eq(r->ev.u.response.id, x->kind == CALL_EV_RESPONSE_STARTED ? text_at(r->doc, "response", "id")
                                                                                  : text_at(r->doc, NULL, "response_id")));
}

static inline int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The unit of UTF-16 that an escape at p means; -1: none stands there. */
static inline int unit_at(const char *p, const char *end)
{
    int v = 0;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        if (hex_digit(p[i]) < 0)
            return -1;
        v = v * 16 + hex_digit(p[i]);
    }
    return v;
}

/* Is this an event but for halves of surrogate pairs and NUL in its strings? */
static inline bool should_be_read(struct str line)
{
    static char text[65536];
    struct json *doc = NULL;
    bool good;

    if (line.n == 0 || line.n > sizeof text)
        return false;
    memcpy(text, line.p, line.n);
    for (char *p = text, *end = text + line.n; p < end;) {
        int v = unit_at(p, end), low = v >= 0xd800 && v < 0xdc00 ? unit_at(p + 6, end) : -1;

        if (v == 0 || (v >= 0xd800 && v <= 0xdfff && (low < 0xdc00 || low > 0xdfff)))
            memcpy(p, "\\ufffd", 6);
        p += v >= 0 ? (low >= 0xdc00 && low <= 0xdfff ? 12 : 6) : *p == '\\' ? 2 : 1;
    }
    good = json_parse(&doc, str_make(text, line.n), NULL) == 0 && json_get_str(doc, "type").n > 0;
    json_free(doc);
    return good;
}

#endif
