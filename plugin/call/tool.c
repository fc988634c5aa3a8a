/* SPDX-License-Identifier: MIT */
/*
 * The model's function calls. Each gets exactly one output, under an item id derived from the call's
 * own, so that any later instance can ask the provider whether it is there; when all outputs of one
 * response are out, one response is asked for.
 */
#include "plugin/base/err.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"

#include <stdio.h>
#include <string.h>

#define PROBE_MS 3000u     /* an answer to a retrieve */
#define CONFIRM_MS 30000u  /* an output that is not echoed counts as taken */
#define LATE_QUIET_MS 600000u /* how long a result that is late excuses silence */
#define PIN_TRIES 3u
#define ARGUMENTS_BYTES 16384u

const char tool_not_allowed_words[] =
    "Refused: this caller is not known to the owner, so nothing can be looked up or done. Say so "
    "politely and offer nothing that needs it.";
static const char bad_arguments[] =
    "The arguments were not understood. Call the tool again with a JSON object whose field "
    "\"request\" says in full sentences what the caller wants.";
static const char bad_pin[] = "The arguments were not understood. Ask the caller for the PIN and call the "
                              "tool with {\"pin\": \"digits\"}.";
static const char pin_locked[] = "Too many attempts. Identity cannot be verified in this call any more.";
static const char too_many[] = "Refused: too many requests are open in this call. Wait for their results.";
const char tool_unknown_words[] = "There is no such tool.";
const char tool_lost_words[] =
    "The result was lost for want of memory. Tell the caller honestly that it did not work.";
static const char ending[] = "{\"ok\":true}";
static const char unfinished[] =
    "Not finished yet: this takes longer than a caller should wait. It is still being worked on. Tell "
    "the caller honestly that there is no result yet and that you will say so when it comes; do not "
    "guess a result.";
static const char owner_silent[] =
    "Your owner has not answered in time. Tell the person honestly that you could not reach them; do not guess an "
    "answer. Go on without it, or offer that they will be told later. Should the answer come while this call lasts, "
    "you will be told.";
static const char bad_question[] = "The arguments were not understood. Call the tool again with {\"question\": \"one "
                                   "question that can be understood without this call\"}.";

struct id tool_item_id(const struct tool *t)
{
    struct id id;

    id_derive(&id, "fco_", str_of(t->id), STR("output"));
    return id;
}

const char *tool_state_name(const struct tool *t)
{
    switch (t->state) {
    case TOOL_PROBING:
    case TOOL_RUNNING: return t->acting ? "acting" : "asked";
    case TOOL_READY:
    case TOOL_SENT: return "answered";
    case TOOL_LATE:
        return t->elsewhere ? t->acting ? "moved_acting" : "moved" : t->acting ? "late_acting" : "late";
    case TOOL_FREE:
    default: return "closed";
    }
}

/* ---- Slots ---- */

static struct tool **slot_of(struct call *c, struct str id)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && str_eqc(id, c->tools[i]->id))
            return &c->tools[i];
    return NULL;
}

struct tool *tool_new(struct call *c, struct str id, struct str name, struct str arguments)
{
    struct tool **slot = NULL, *t;

    for (unsigned i = 0; i < CALL_TOOLS_PENDING && slot == NULL; i++)
        if (c->tools[i] == NULL)
            slot = &c->tools[i];
    if (slot == NULL || (t = MEM_NEW(struct tool)) == NULL)
        return NULL;
    t->name = str_dup(str_head(name, 64));
    t->arguments = str_dup(str_head(arguments, ARGUMENTS_BYTES));
    if (t->name == NULL || t->arguments == NULL || !str_copy(t->id, sizeof t->id, id)) {
        mem_free(t->name);
        mem_free(t->arguments);
        mem_free(t);
        return NULL;
    }
    *slot = t;
    return t;
}

static void tool_free(struct tool *t)
{
    mem_free(t->name);
    mem_free(t->arguments);
    mem_free(t->output);
    mem_free(t->news);
    mem_free(t);
}

/* Its journal row is closed; the memory stays until the effects of this step are carried out. */
void tool_close(struct call *c, struct tool *t, struct call_effects *fx)
{
    struct tool **slot = slot_of(c, str_of(t->id));

    t->state = TOOL_FREE;
    fx_save_tool(fx, t, tool_state_name(t), STR_NONE);
    if (slot != NULL)
        *slot = NULL;
    t->next_gone = c->gone;
    c->gone = t;
}

void tools_reap(struct call *c)
{
    while (c->gone != NULL) {
        struct tool *t = c->gone;

        c->gone = t->next_gone;
        tool_free(t);
    }
}

void tools_free(struct call *c)
{
    tools_reap(c);
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        if (c->tools[i] != NULL)
            tool_free(c->tools[i]);
        c->tools[i] = NULL;
    }
}

/* Those that wait for the caller's keys keep nobody waiting. */
bool tools_running(const struct call *c)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && c->tools[i]->state == TOOL_RUNNING && !c->tools[i]->keypad)
            return true;
    return false;
}

bool tools_probing(const struct call *c)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && c->tools[i]->state == TOOL_PROBING)
            return true;
    return false;
}

const struct tool *tools_oldest_running(const struct call *c)
{
    const struct tool *oldest = NULL;

    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = c->tools[i];

        if (t != NULL && t->state == TOOL_RUNNING && !t->keypad && (oldest == NULL || t->asked_at < oldest->asked_at))
            oldest = t;
    }
    return oldest;
}

uint64_t tools_owed_until(const struct call *c)
{
    uint64_t until = 0;

    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = c->tools[i];

        if (t == NULL || t->state == TOOL_SENT)
            continue;
        if (t->state != TOOL_LATE)
            return UINT64_MAX;
        if (t->asked_at + LATE_QUIET_MS > until)
            until = t->asked_at + LATE_QUIET_MS;
    }
    return until;
}

/* ---- Outputs ---- */

/* One response once the last output of the batch is out. */
void tools_check_batch(struct call *c, uint32_t batch)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = c->tools[i];

        if (t != NULL && t->batch == batch &&
            (t->state == TOOL_RUNNING || t->state == TOOL_READY || t->state == TOOL_PROBING))
            return;
    }
    floor_want(c, WANT_TOOL);
}

static void send_output(struct tool *t, struct str text, struct call_effects *fx)
{
    struct call_fx *send = fx_send(fx, CALL_SEND_OUTPUT);

    send->u.send.item_id = tool_item_id(t);
    (void)snprintf(send->u.send.event_id.text, sizeof send->u.send.event_id.text, "o%.30s",
                   send->u.send.item_id.text);
    send->u.send.call_id = str_of(t->id);
    send->u.send.text = text;
}

void tool_send(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    if (!can_send(c))
        return;
    send_output(t, str_of(t->state != TOOL_LATE ? t->output ? t->output : tool_lost_words
                          : t->kind == TOOL_OWNER ? owner_silent : unfinished), fx);
    if (t->state == TOOL_READY)
        t->state = TOOL_SENT;
    t->since = now.mono_ms;
}

/* Cut to the ceiling at a character's boundary. */
char *tool_output_dup(struct str text)
{
    return str_dup(str_head(text, str_utf8_floor(text, CALL_OUTPUT_BYTES)));
}

void tool_ready(struct call *c, struct tool *t, struct str text, struct call_now now,
                       struct call_effects *fx)
{
    mem_free(t->output);
    t->output = tool_output_dup(text);
    t->state = TOOL_READY;
    t->since = now.mono_ms;
    fx_save_tool(fx, t, tool_state_name(t), str_of(t->output ? t->output : tool_lost_words));
    tool_send(c, t, now, fx);
    if (t->kind != TOOL_END && t->state == TOOL_SENT)
        tools_check_batch(c, t->batch);
}

static bool has_text_argument(const struct tool *t, const char *key)
{
    struct json *args = NULL;
    struct str value;
    bool good;

    if (json_parse(&args, str_of(t->arguments), NULL) < 0)
        return false;
    value = str_trim(json_get_str(args, key));
    good = value.n > 0;
    json_free(args);
    return good;
}

void tool_start(struct call *c, struct tool *t, bool resumed, struct call_now now,
                       struct call_effects *fx)
{
    struct call_fx *run;

    if (t->kind == TOOL_PIN && (t->keypad || has_text_argument(t, "pin") || has_text_argument(t, "code")))
        c->pin_tries++;
    t->state = TOOL_RUNNING;
    t->since = now.mono_ms;
    fx_save_tool(fx, t, tool_state_name(t), STR_NONE);
    fx_notify_tool(fx, t, "asked", str_of(t->kind == TOOL_PIN ? "" : t->arguments), 0);
    run = fx_add(fx, CALL_FX_TOOL_RUN);
    run->u.tool.tool = t;
    run->u.tool.resumed = resumed;
}

/* ---- What the model asks for ---- */

enum tool_kind tool_kind_of(const struct call *c, const struct tool *t)
{
    if (strcmp(t->name, "ask_openclaw") == 0)
        return TOOL_ASK;
    if (strcmp(t->name, "end_call") == 0)
        return TOOL_END;
    if (strcmp(t->name, "verify_identity") == 0 && c->set.verify_available)
        return TOOL_PIN;
    if (strcmp(t->name, "record_consent") == 0 && c->set.line && c->set.ask_consent)
        return TOOL_CONSENT;
    for (unsigned i = 0; i < c->set.n_native_tools; i++)
        if (strcmp(t->name, c->set.native_tools[i]) == 0)
            return strcmp(t->name, "ask_owner") == 0 ? TOOL_OWNER : TOOL_NATIVE;
    for (unsigned i = 0; i < c->set.n_custom_tools; i++)
        if (strcmp(t->name, c->set.custom_tools[i]) == 0)
            return TOOL_ASK;
    /* Also where it is not offered: its arguments are kept nowhere. */
    return strcmp(t->name, "verify_identity") == 0 ? TOOL_PIN : TOOL_UNKNOWN;
}

void tool_refuse(struct call *c, struct tool *t, const char *why, struct call_now now,
                   struct call_effects *fx)
{
    fx_notify_tool(fx, t, "refused", str_of(why), 0);
    fx_hop(fx, "tool_refused", fx_text(fx, "%s: %.120s", t->name, why));
    tool_ready(c, t, str_of(why), now, fx);
}

/* The model tells what the human answered; "no" is an answer, too. */
static void consent_begin(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    struct json *args = NULL;
    bool granted = json_parse(&args, str_of(t->arguments), NULL) == 0 && json_get_bool(args, "granted", false);

    json_free(args);
    fx_notify_tool(fx, t, "done", str_of(t->arguments), 0);
    fx_hop(fx, "consent", str_of(granted ? "granted" : "not granted"));
    if (granted && !c->consented) {
        c->consented = true;
        fx_line(fx, CALL_LINE_NOTICE_HEARD, STR(""));
    } else if (!granted) {
        c->consented = false;
        fx_line(fx, CALL_LINE_CONSENT_GONE, STR(""));
    }
    tool_ready(c, t, granted ? STR("{\"ok\":true,\"recording\":true}")
                                             : STR("{\"ok\":true,\"recording\":false}"), now, fx);
}

static bool wants_keypad(const struct tool *t)
{
    struct json *args = NULL;
    bool wants = json_parse(&args, str_of(t->arguments), NULL) == 0 && json_get_bool(args, "by_keypad", false);

    json_free(args);
    return wants;
}

struct tool *tools_keypad(struct call *c)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && c->tools[i]->keypad && !c->tools[i]->cancelled)
            return c->tools[i];
    return NULL;
}

static void tool_begin(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    bool custom = strcmp(t->name, "ask_openclaw") != 0;

    switch (t->kind) {
    case TOOL_ASK:
        if (c->set.tools == CALL_TOOLS_NONE)
            tool_refuse(c, t, tool_not_allowed_words, now, fx);
        else if (custom ? json_check(str_of(t->arguments), NULL) < 0 : !has_text_argument(t, "request"))
            tool_refuse(c, t, bad_arguments, now, fx);
        else
            tool_start(c, t, false, now, fx);
        break;
    case TOOL_PIN:
        if (!c->set.verify_available) {
            tool_refuse(c, t, tool_unknown_words, now, fx);
        } else if (c->pin_tries >= PIN_TRIES) {
            tool_refuse(c, t, pin_locked, now, fx);
        } else if (wants_keypad(t)) {
            t->keypad = true;
            tool_start(c, t, false, now, fx);
        } else if (!c->set.chat_available && !has_text_argument(t, "pin")) {
            tool_refuse(c, t, bad_pin, now, fx);
        } else {
            tool_start(c, t, false, now, fx);
        }
        break;
    case TOOL_NATIVE: tool_start(c, t, false, now, fx); break;
    case TOOL_OWNER:
        if (has_text_argument(t, "question"))
            tool_start(c, t, false, now, fx);
        else
            tool_refuse(c, t, bad_question, now, fx);
        break;
    case TOOL_CONSENT: consent_begin(c, t, now, fx); break;
    case TOOL_END:
        fx_notify_tool(fx, t, "done", STR(""), 0);
        tool_ready(c, t, str_of(ending), now, fx);
        break;
    case TOOL_UNKNOWN:
    default: tool_refuse(c, t, tool_unknown_words, now, fx); break;
    }
}

/* A call we have no room for still gets its output; hanging up needs none. */
static bool answer_without_slot(const struct call_output *o, struct call_effects *fx)
{
    bool ends = str_eqc(o->name, "end_call");
    struct call_fx *send = fx_send(fx, CALL_SEND_OUTPUT);

    id_derive(&send->u.send.item_id, "fco_", o->call_id, STR("output"));
    send->u.send.call_id = o->call_id;
    send->u.send.text = str_of(ends ? ending : too_many);
    if (!ends)
        fx_hop(fx, "tool_refused", STR("too many open function calls"));
    return ends;
}

void tools_on_response(struct call *c, const struct call_event *ev, struct call_now now,
                       struct call_effects *fx)
{
    struct tool *begun[CALL_OUTPUTS_MAX];
    unsigned n = 0;
    bool ends = false, speaks = false, refused = false;

    /* A cancelled or failed response runs nothing: its arguments may be half, its wish withdrawn. */
    if (ev->u.response.status != CALL_RESPONSE_COMPLETED)
        return;
    c->batch_seq++;
    for (unsigned i = 0; i < ev->u.response.n_outputs && n < CALL_OUTPUTS_MAX; i++) {
        const struct call_output *o = &ev->u.response.outputs[i];
        struct tool *t;

        speaks = speaks || (!o->is_function && o->text.n > 0);
        if (!o->is_function || o->call_id.n == 0 || slot_of(c, o->call_id) != NULL)
            continue;
        t = tool_new(c, o->call_id, o->name, o->arguments);
        if (t == NULL) {
            if (answer_without_slot(o, fx))
                ends = true;
            else
                refused = true;
            continue;
        }
        t->kind = tool_kind_of(c, t);
        t->batch = c->batch_seq;
        t->asked_at = t->since = now.mono_ms;
        /* All of the batch count as running until each was looked at: no response in between. */
        t->state = TOOL_RUNNING;
        ends = ends || t->kind == TOOL_END;
        begun[n++] = t;
    }
    for (unsigned i = 0; i < n; i++)
        tool_begin(c, begun[i], now, fx);
    if (refused)
        tools_check_batch(c, c->batch_seq);
    if (ends)
        call_say_goodbye(c, CALL_REASON_ASSISTANT_ENDED, STR(""),
                         speaks ? floor_hash(ev->u.response.id) : 0, now, fx);
}

/* ---- Results ---- */

void tools_on_acting(struct call *c, struct str call_id, struct call_now now, struct call_effects *fx)
{
    struct tool **slot = slot_of(c, call_id);

    if (slot == NULL || (*slot)->acting)
        return;
    (*slot)->acting = true;
    if ((*slot)->state == TOOL_RUNNING || (*slot)->state == TOOL_LATE)
        fx_save_tool(fx, *slot, tool_state_name(*slot), STR_NONE);
    fx_notify_tool(fx, *slot, "acting", STR(""), now.mono_ms - (*slot)->asked_at);
}

void tools_on_result(struct call *c, const struct call_tool_result *r, struct call_now now,
                     struct call_effects *fx)
{
    struct tool **slot = slot_of(c, r->call_id);
    struct tool *t;
    uint64_t ms;

    if (slot == NULL)
        return;
    t = *slot;
    if (t->cancelled) {
        tool_close(c, t, fx);
        return;
    }
    t->keypad = false;
    ms = now.mono_ms - t->asked_at;
    if (t->state == TOOL_LATE) {
        if (t->output == NULL)
            tool_news(c, t, r->text, now, fx);
        return;
    }
    if (t->state != TOOL_RUNNING)
        return;
    fx_notify_tool(fx, t, r->rc < 0 ? "failed" : "done", t->kind == TOOL_PIN ? STR("") : r->text, ms);
    fx_hop(fx, r->rc < 0 ? "tool_failed" : "tool_done",
           r->rc < 0 ? fx_text(fx, "%s after %llu ms: %.*s", t->name, (unsigned long long)ms,
                               STR_ARG(str_head(r->text, 100)))
                     : fx_text(fx, "%s after %llu ms", t->name, (unsigned long long)ms));
    tool_ready(c, t, r->text, now, fx);
}

/*
 * A response for outputs is wanted or on its way. Until it has begun, the journal keeps the outputs: an
 * instance that finds one in the conversation then knows that words may be missing.
 */
bool tools_response_owed(const struct call *c, unsigned want)
{
    const struct floor *f = &c->floor;

    return (f->want & want) != 0 || (f->response_asked && (f->asked_for & want) != 0);
}

/* When the caller is told not to wait for it any longer. */
static uint64_t limit_at(const struct call *c, const struct tool *t)
{
    return t->asked_at + (t->kind == TOOL_OWNER ? c->set.owner_timeout_ms : c->set.tool_timeout_ms);
}

void tools_run(struct call *c, struct call_now now, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        struct tool *t = c->tools[i];

        if (t == NULL || !c->sideband_open)
            continue;
        if (t->state == TOOL_PROBING && now.mono_ms >= t->since + PROBE_MS) {
            tool_not_there(c, t, now, fx);
        } else if (t->state == TOOL_SENT && ((t->confirmed && !tools_response_owed(c, WANT_TOOL)) ||
                                             now.mono_ms >= t->since + CONFIRM_MS)) {
            tool_close(c, t, fx);
        } else if (t->state == TOOL_LATE && t->news_sent) {
            tool_news_run(c, t, now, fx);
        } else if (t->state == TOOL_RUNNING && !c->held && now.mono_ms >= limit_at(c, t)) {
            t->state = TOOL_LATE;
            fx_save_tool(fx, t, tool_state_name(t), STR_NONE);
            fx_notify_tool(fx, t, "timeout", STR(""), now.mono_ms - t->asked_at);
            fx_hop(fx, "tool_timeout", fx_text(fx, "%s gave no result in %llu ms", t->name,
                                               (unsigned long long)(now.mono_ms - t->asked_at)));
            tool_send(c, t, now, fx);
            tools_check_batch(c, t->batch);
        }
    }
}

uint64_t tools_deadline(const struct call *c)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = c->tools[i];

        if (t == NULL || !c->sideband_open)
            continue;
        if (t->state == TOOL_PROBING)
            at = sooner(at, t->since + PROBE_MS);
        else if (t->state == TOOL_SENT || (t->state == TOOL_LATE && t->news_sent))
            at = sooner(at, t->since + CONFIRM_MS);
        else if (t->state == TOOL_RUNNING && !c->held)
            at = sooner(at, limit_at(c, t));
    }
    return at;
}

void tools_cancel(struct call *c, struct call_now now, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        struct tool *t = c->tools[i];
        struct call_fx *cancel;

        if (t == NULL || t->cancelled || (t->state != TOOL_RUNNING && t->state != TOOL_LATE))
            continue;
        t->cancelled = true;
        if (t->state == TOOL_LATE && t->output != NULL)
            continue; /* nothing runs */
        cancel = fx_add(fx, CALL_FX_TOOL_CANCEL);
        cancel->u.tool.tool = t;
        if (!t->acting)
            fx_notify_tool(fx, t, "cancelled", STR(""), now.mono_ms - t->asked_at);
    }
}
