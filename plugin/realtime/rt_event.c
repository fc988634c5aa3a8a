/* SPDX-License-Identifier: MIT */
#include "plugin/realtime/rt_event.h"

#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <string.h>

struct str rt_event_type(struct str text)
{
    return json_peek_str(text, "type");
}

/* ---- Parsing what a strict parser refuses but a speaking peer may send. ---- */

static int hex4(const char *p, const char *end)
{
    int v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;

        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/*
 * Generated text that was cut off may end in half a surrogate pair. Losing a whole response.done
 * for that would leave the call waiting for it, so such escapes become U+FFFD, which is as long.
 */
static bool mend_escapes(char *p, size_t n)
{
    const char *end = p + n;
    bool mended = false;

    while (p < end) {
        int v, low;

        if (*p != '\\' || end - p < 2) {
            p++;
            continue;
        }
        v = p[1] == 'u' ? hex4(p + 2, end) : -1;
        if (v < 0) {
            p += 2;
            continue;
        }
        low = v >= 0xd800 && v <= 0xdbff && end - p >= 12 && p[6] == '\\' && p[7] == 'u'
                  ? hex4(p + 8, end)
                  : -1;
        if (low >= 0xdc00 && low <= 0xdfff) {
            p += 12;
            continue;
        }
        if (v == 0 || (v >= 0xd800 && v <= 0xdfff)) {
            memcpy(p + 2, "fffd", 4);
            mended = true;
        }
        p += 6;
    }
    return mended;
}

static int parse(struct json **doc, struct str text, struct err *e)
{
    char *copy;
    int rc = json_parse(doc, text, e);

    if (rc != ERR_INVALID || text.n == 0)
        return rc;
    copy = mem_dup(text.p, text.n);
    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "out of memory while reading an event");
    if (mend_escapes(copy, text.n))
        rc = json_parse(doc, str_make(copy, text.n), e);
    mem_free(copy);
    return rc;
}

/* ---- Fields. ---- */

static uint64_t count(const struct json *node, const char *key)
{
    int64_t v = json_get_int(node, key, 0);

    return v > 0 ? (uint64_t)v : 0;
}

static bool none(struct call_event *ev)
{
    ev->kind = CALL_EV_NONE;
    return true;
}

/* What the parts of a message say: one part is borrowed, several are joined by a blank. */
static bool message_text(struct rt_event *r, const struct json *item, struct str *text)
{
    const struct json *part = json_first(json_get(item, "content"));
    struct str one = STR_NONE;
    size_t from = 0;
    unsigned n = 0;

    for (; part != NULL; part = json_next(part)) {
        struct str say = json_get_str(part, "transcript");

        if (say.n == 0)
            say = json_get_str(part, "text");
        if (say.n == 0)
            continue;
        if (n++ == 0) {
            one = say;
            continue;
        }
        /* The ceiling is reserved at once, so that earlier slices stay where they are. */
        if (r->text.cap == 0 && buf_reserve(&r->text, r->text.max_bytes) < 0)
            return false;
        if (n == 2) {
            from = r->text.n;
            (void)buf_puts(&r->text, one);
        }
        (void)buf_putc(&r->text, ' ');
        if (buf_puts(&r->text, say) < 0)
            return false;
    }
    *text = n < 2 ? one : str_make(r->text.p + from, r->text.n - from);
    return true;
}

static enum call_who item_who(const struct json *item)
{
    struct str role = json_get_str(item, "role");

    if (!str_eq(json_get_str(item, "type"), STR("message")))
        return CALL_WHO_OTHER;
    return str_eq(role, STR("user"))        ? CALL_WHO_CALLER
           : str_eq(role, STR("assistant")) ? CALL_WHO_ASSISTANT
                                            : CALL_WHO_OTHER;
}

/* ---- One reader a kind; false only when memory is out. ---- */

static bool read_session(struct rt_event *r)
{
    uint64_t s = count(json_get(r->doc, "session"), "expires_at");

    r->ev.u.session.expires_at_ms = s < UINT64_MAX / 1000 ? s * 1000 : 0;
    return true;
}

/* input_audio_buffer.*: the caller's audio. */
static bool read_audio_in(struct rt_event *r)
{
    r->ev.u.item.id = json_get_str(r->doc, "item_id");
    r->ev.u.item.prev = json_get_str(r->doc, "previous_item_id");
    r->ev.u.item.who = CALL_WHO_CALLER;
    return true;
}

static bool read_item(struct rt_event *r)
{
    const struct json *item = json_get(r->doc, "item");

    r->ev.u.item.id = json_get_str(item, "id");
    r->ev.u.item.prev = json_get_str(r->doc, "previous_item_id");
    r->ev.u.item.who = item_who(item);
    if (r->ev.u.item.id.n == 0)
        return none(&r->ev);
    return message_text(r, item, &r->ev.u.item.text);
}

static void read_transcription_usage(struct call_usage *u, const struct json *usage)
{
    double s = json_num(json_get(usage, "seconds"), 0);

    u->transcription_tokens = count(usage, "total_tokens");
    if (u->transcription_tokens == 0)
        u->transcription_tokens = count(usage, "input_tokens") + count(usage, "output_tokens");
    if (s > 0 && s < 1e9) /* also false for what is no number */
        u->transcription_ms = (uint64_t)(s * 1000 + 0.5);
}

static bool read_caller_text(struct rt_event *r)
{
    (void)read_audio_in(r);
    r->ev.u.item.text = json_get_str(r->doc, "transcript");
    read_transcription_usage(&r->ev.u.item.usage, json_get(r->doc, "usage"));
    return r->ev.u.item.id.n > 0 || none(&r->ev);
}

static bool read_caller_text_failed(struct rt_event *r)
{
    (void)read_audio_in(r);
    return r->ev.u.item.id.n > 0 || none(&r->ev);
}

static bool read_truncated(struct rt_event *r)
{
    r->ev.u.item.id = json_get_str(r->doc, "item_id");
    r->ev.u.item.who = CALL_WHO_ASSISTANT;
    r->ev.u.item.heard_ms = count(r->doc, "audio_end_ms");
    return r->ev.u.item.id.n > 0 || none(&r->ev);
}

static bool read_response_started(struct rt_event *r)
{
    r->ev.u.response.id = json_get_str(json_get(r->doc, "response"), "id");
    return true;
}

static bool read_audio_out(struct rt_event *r)
{
    r->ev.u.response.id = json_get_str(r->doc, "response_id");
    return true;
}

static void read_usage(struct call_usage *u, const struct json *usage)
{
    const struct json *in = json_get(usage, "input_token_details");
    const struct json *cached = json_get(in, "cached_tokens_details");
    const struct json *out = json_get(usage, "output_token_details");

    u->responses = 1;
    u->input_tokens = count(usage, "input_tokens");
    u->output_tokens = count(usage, "output_tokens");
    u->input_text = count(in, "text_tokens");
    u->input_audio = count(in, "audio_tokens");
    u->input_image = count(in, "image_tokens");
    u->input_cached = count(in, "cached_tokens");
    u->cached_text = count(cached, "text_tokens");
    u->cached_audio = count(cached, "audio_tokens");
    u->cached_image = count(cached, "image_tokens");
    u->output_text = count(out, "text_tokens");
    u->output_audio = count(out, "audio_tokens");
}

/* A status of a later version is no licence to run tools: it counts as incomplete. */
static enum call_response_status response_status(struct str s)
{
    if (s.n == 0 || str_eq(s, STR("completed")))
        return CALL_RESPONSE_COMPLETED;
    if (str_eq(s, STR("cancelled")))
        return CALL_RESPONSE_CANCELLED;
    return str_eq(s, STR("failed")) ? CALL_RESPONSE_FAILED : CALL_RESPONSE_INCOMPLETE;
}

/* The most telling of what stands there; the status itself when nothing does. */
static struct str response_detail(const struct json *response)
{
    const struct json *details = json_get(response, "status_details");
    const struct json *error = json_get(details, "error");
    const struct str says[] = {
        json_get_str(error, "message"), json_get_str(error, "code"), json_get_str(error, "type"),
        json_get_str(details, "reason"), json_get_str(response, "status"),
    };

    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        if (says[i].n > 0)
            return says[i];
    return STR_NONE;
}

/* Fills o from an item; *use says whether it is one that a call can do something with. */
static bool read_output(struct rt_event *r, const struct json *item, struct call_output *o,
                        bool *use)
{
    struct str type = json_get_str(item, "type");

    *o = (struct call_output){.item_id = json_get_str(item, "id")};
    if (str_eq(type, STR("function_call"))) {
        o->is_function = true;
        o->call_id = json_get_str(item, "call_id");
        o->name = json_get_str(item, "name");
        o->arguments = json_get_str(item, "arguments");
        *use = o->call_id.n > 0; /* without it no output can be sent */
        return true;
    }
    *use = str_eq(type, STR("message")) && o->item_id.n > 0;
    return !*use || message_text(r, item, &o->text);
}

static bool read_response_done(struct rt_event *r)
{
    const struct json *response = json_get(r->doc, "response");
    const struct json *item = json_first(json_get(response, "output"));
    unsigned n = 0;
    bool use;

    r->ev.u.response.id = json_get_str(response, "id");
    r->ev.u.response.status = response_status(json_get_str(response, "status"));
    if (r->ev.u.response.status != CALL_RESPONSE_COMPLETED)
        r->ev.u.response.detail = response_detail(response);
    for (; item != NULL && n < CALL_OUTPUTS_MAX; item = json_next(item)) {
        if (!read_output(r, item, &r->outputs[n], &use))
            return false;
        n += use;
    }
    r->ev.u.response.outputs = r->outputs;
    r->ev.u.response.n_outputs = n;
    read_usage(&r->ev.u.response.usage, json_get(response, "usage"));
    r->ev.u.response.audio_tokens = r->ev.u.response.usage.output_audio;
    return true;
}

static bool read_dtmf(struct rt_event *r)
{
    struct str key = json_get_str(r->doc, "event");

    r->ev.u.text = key;
    return (key.n == 1 && str_find(STR("0123456789*#ABCD"), key.p[0]) < 16) || none(&r->ev);
}

static bool read_error(struct rt_event *r)
{
    const struct json *error = json_get(r->doc, "error");

    r->ev.u.error.code = json_get_str(error, "code");
    if (r->ev.u.error.code.n == 0)
        r->ev.u.error.code = json_get_str(error, "type");
    r->ev.u.error.message = json_get_str(error, "message");
    r->ev.u.error.event_id = json_get_str(error, "event_id");
    return true;
}

struct reader {
    struct str type;
    enum call_ev kind;
    bool (*read)(struct rt_event *r);
};

/* NULL for every type that means nothing to a call. */
static const struct reader *reader_of(struct str type)
{
    static const struct reader table[] = {
#define T(type_) {type_, sizeof(type_) - 1}
        {T("session.created"), CALL_EV_SESSION, read_session},
        {T("input_audio_buffer.speech_started"), CALL_EV_SPEECH_STARTED, read_audio_in},
        {T("input_audio_buffer.speech_stopped"), CALL_EV_SPEECH_STOPPED, read_audio_in},
        {T("input_audio_buffer.committed"), CALL_EV_COMMITTED, read_audio_in},
        {T("input_audio_buffer.dtmf_event_received"), CALL_EV_DTMF, read_dtmf},
        {T("conversation.item.added"), CALL_EV_ITEM_ADDED, read_item},
        {T("conversation.item.created"), CALL_EV_ITEM_ADDED, read_item},
        {T("conversation.item.done"), CALL_EV_ITEM_ADDED, read_item},
        {T("conversation.item.retrieved"), CALL_EV_ITEM_FOUND, read_item},
        {T("conversation.item.truncated"), CALL_EV_TRUNCATED, read_truncated},
        {T("conversation.item.input_audio_transcription.completed"), CALL_EV_CALLER_TEXT,
         read_caller_text},
        {T("conversation.item.input_audio_transcription.failed"), CALL_EV_CALLER_TEXT_FAILED,
         read_caller_text_failed},
        {T("response.created"), CALL_EV_RESPONSE_STARTED, read_response_started},
        {T("response.done"), CALL_EV_RESPONSE_DONE, read_response_done},
        {T("output_audio_buffer.started"), CALL_EV_AUDIO_STARTED, read_audio_out},
        {T("output_audio_buffer.stopped"), CALL_EV_AUDIO_STOPPED, read_audio_out},
        {T("output_audio_buffer.cleared"), CALL_EV_AUDIO_CLEARED, read_audio_out},
        {T("error"), CALL_EV_ERROR, read_error},
#undef T
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_eq(type, table[i].type))
            return &table[i];
    return NULL;
}

int rt_event_read(struct rt_event *out, struct str text, struct err *e)
{
    struct str type = rt_event_type(text);
    const struct reader *reader;
    int rc;

    out->ev = (struct call_event){.kind = CALL_EV_NONE};
    out->doc = NULL;
    buf_init(&out->text, text.n + 1); /* decoded text is never longer than the event */
    /* The public document's example of a DTMF event has a blank before the type. */
    if (type.n > 0 && reader_of(str_trim(type)) == NULL)
        return 0;
    rc = parse(&out->doc, text, e);
    if (rc < 0)
        return rc;
    type = json_get_str(out->doc, "type");
    if (type.n == 0) {
        rt_event_free(out);
        return err_set(e, ERR_INVALID, "an event without a type");
    }
    reader = reader_of(str_trim(type));
    if (reader == NULL)
        return 0;
    out->ev.kind = reader->kind;
    if (!reader->read(out)) {
        rt_event_free(out);
        return err_set(e, ERR_NOMEM, "out of memory while reading an event");
    }
    return 0;
}

void rt_event_free(struct rt_event *ev)
{
    json_free(ev->doc);
    ev->doc = NULL;
    buf_free(&ev->text);
    ev->ev = (struct call_event){.kind = CALL_EV_NONE};
}

/* ---- Client events. ---- */

static void begin(struct buf *out, const char *type, struct str event_id)
{
    buf_clear(out);
    jw_open(out, '{');
    jw_kstrc(out, "type", type);
    if (event_id.n > 0)
        jw_kstr(out, "event_id", event_id);
}

static int finish(struct buf *out)
{
    jw_close(out, '}');
    return out->rc;
}

int rt_write_response_create(struct buf *out, struct str event_id, struct str instructions,
                             bool allow_tools)
{
    begin(out, "response.create", event_id);
    if (instructions.n > 0 || !allow_tools) {
        jw_key(out, "response");
        jw_open(out, '{');
        if (instructions.n > 0)
            jw_kstr(out, "instructions", instructions);
        if (!allow_tools)
            jw_kstrc(out, "tool_choice", "none");
        jw_close(out, '}');
    }
    return finish(out);
}

static void begin_item(struct buf *out, struct str event_id, struct str item_id, const char *type)
{
    begin(out, "conversation.item.create", event_id);
    jw_key(out, "item");
    jw_open(out, '{');
    if (item_id.n > 0)
        jw_kstr(out, "id", item_id);
    jw_kstrc(out, "type", type);
}

int rt_write_function_output(struct buf *out, struct str event_id, struct str item_id,
                             struct str call_id, struct str output)
{
    begin_item(out, event_id, item_id, "function_call_output");
    jw_kstr(out, "call_id", call_id);
    jw_kstr(out, "output", output);
    jw_close(out, '}');
    return finish(out);
}

int rt_write_message(struct buf *out, struct str event_id, struct str item_id, const char *role,
                     struct str text)
{
    begin_item(out, event_id, item_id, "message");
    jw_kstrc(out, "role", role);
    jw_key(out, "content");
    jw_open(out, '[');
    jw_open(out, '{');
    jw_kstrc(out, "type", "input_text");
    jw_kstr(out, "text", text);
    jw_close(out, '}');
    jw_close(out, ']');
    jw_close(out, '}');
    return finish(out);
}

int rt_write_item_retrieve(struct buf *out, struct str event_id, struct str item_id)
{
    begin(out, "conversation.item.retrieve", event_id);
    jw_kstr(out, "item_id", item_id);
    return finish(out);
}

int rt_write_response_cancel(struct buf *out, struct str event_id)
{
    begin(out, "response.cancel", event_id);
    return finish(out);
}

int rt_write_output_clear(struct buf *out, struct str event_id)
{
    begin(out, "output_audio_buffer.clear", event_id);
    return finish(out);
}
