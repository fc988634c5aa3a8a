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
#define PIN_TRIES 3u
#define ARGUMENTS_BYTES 16384u

static const char not_allowed[] =
    "Refused: this caller is not known to the owner, so nothing can be looked up or done. Say so "
    "politely and offer nothing that needs it.";
static const char bad_arguments[] =
    "The arguments were not understood. Call the tool again with a JSON object whose field "
    "\"request\" says in full sentences what the caller wants.";
static const char bad_pin[] = "The arguments were not understood. Ask the caller for the PIN and call the "
                              "tool with {\"pin\": \"digits\"}.";
static const char pin_locked[] = "Too many attempts. Identity cannot be verified in this call any more.";
static const char too_many[] = "Refused: too many requests are open in this call. Wait for their results.";
static const char no_such_tool[] = "There is no such tool.";
static const char ending[] = "{\"ok\":true}";
static const char unfinished[] =
    "Not finished yet: this takes longer than a caller should wait. It is still being worked on. Tell "
    "the caller honestly that there is no result yet and that you will say so when it comes; do not "
    "guess a result.";
static const char interrupted[] =
    "Interrupted: the system restarted while this was being done. It is not known whether it was "
    "finished. Tell the caller so honestly and do not try it again unasked.";

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
    case TOOL_LATE: return t->acting ? "late_acting" : "late";
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

static struct tool *tool_new(struct call *c, struct str id, struct str name, struct str arguments)
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
    mem_free(t);
}

/* Its journal row is closed; the memory stays until the effects of this step are carried out. */
static void tool_close(struct call *c, struct tool *t, struct call_effects *fx)
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

bool tools_running(const struct call *c)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && c->tools[i]->state == TOOL_RUNNING)
            return true;
    return false;
}

uint64_t tools_running_since(const struct call *c)
{
    uint64_t at = UINT64_MAX;

    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && c->tools[i]->state == TOOL_RUNNING && c->tools[i]->asked_at < at)
            at = c->tools[i]->asked_at;
    return at;
}

/* ---- Outputs ---- */

/* One response once the last output of the batch is out. */
static void check_batch(struct call *c, uint32_t batch)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = c->tools[i];

        if (t != NULL && t->batch == batch &&
            (t->state == TOOL_RUNNING || t->state == TOOL_READY || t->state == TOOL_PROBING))
            return;
    }
    floor_want(c, WANT_TOOL);
}

static bool batch_has(const struct call *c, uint32_t batch, enum tool_state state)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && c->tools[i]->batch == batch && c->tools[i]->state == state)
            return true;
    return false;
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

static void tool_send(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    if (!c->sideband_open)
        return;
    send_output(t, str_of(t->output ? t->output : unfinished), fx);
    if (t->state == TOOL_READY)
        t->state = TOOL_SENT;
    t->since = now.mono_ms;
}

/* Cut to the ceiling at a character's boundary. */
static char *output_dup(struct str text)
{
    return str_dup(str_head(text, str_utf8_floor(text, CALL_OUTPUT_BYTES)));
}

static void tool_ready(struct call *c, struct tool *t, struct str text, struct call_now now,
                       struct call_effects *fx)
{
    mem_free(t->output);
    t->output = output_dup(text);
    if (t->output == NULL)
        t->output = output_dup(STR("The result is lost for want of memory."));
    t->state = TOOL_READY;
    t->since = now.mono_ms;
    fx_save_tool(fx, t, tool_state_name(t), str_of(t->output ? t->output : ""));
    tool_send(c, t, now, fx);
    if (t->kind != TOOL_END && t->state == TOOL_SENT)
        check_batch(c, t->batch);
}

static void tool_start(struct call *c, struct tool *t, bool resumed, struct call_now now,
                       struct call_effects *fx)
{
    struct call_fx *run;

    (void)c;
    t->state = TOOL_RUNNING;
    t->since = now.mono_ms;
    fx_save_tool(fx, t, tool_state_name(t), STR_NONE);
    fx_notify_tool(fx, t, "asked", str_of(t->kind == TOOL_PIN ? "" : t->arguments), 0);
    run = fx_add(fx, CALL_FX_TOOL_RUN);
    run->u.tool.tool = t;
    run->u.tool.resumed = resumed;
}

/* ---- What the model asks for ---- */

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

static enum tool_kind kind_of(const struct call *c, const struct tool *t)
{
    if (strcmp(t->name, "ask_openclaw") == 0)
        return TOOL_ASK;
    if (strcmp(t->name, "end_call") == 0)
        return TOOL_END;
    if (strcmp(t->name, "verify_identity") == 0 && c->set.pin_available)
        return TOOL_PIN;
    for (unsigned i = 0; i < c->set.n_custom_tools; i++)
        if (strcmp(t->name, c->set.custom_tools[i]) == 0)
            return TOOL_ASK;
    return TOOL_UNKNOWN;
}

static void refuse(struct call *c, struct tool *t, const char *why, struct call_now now,
                   struct call_effects *fx)
{
    fx_notify_tool(fx, t, "refused", str_of(why), 0);
    fx_hop(fx, "tool_refused", fx_text(fx, "%s: %.120s", t->name, why));
    tool_ready(c, t, str_of(why), now, fx);
}

static void tool_begin(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    bool custom = strcmp(t->name, "ask_openclaw") != 0;

    switch (t->kind) {
    case TOOL_ASK:
        if (c->set.tools == CALL_TOOLS_NONE)
            refuse(c, t, not_allowed, now, fx);
        else if (custom ? json_check(str_of(t->arguments), NULL) < 0 : !has_text_argument(t, "request"))
            refuse(c, t, bad_arguments, now, fx);
        else
            tool_start(c, t, false, now, fx);
        break;
    case TOOL_PIN:
        if (c->pin_tries >= PIN_TRIES) {
            refuse(c, t, pin_locked, now, fx);
        } else if (!has_text_argument(t, "pin")) {
            refuse(c, t, bad_pin, now, fx);
        } else {
            c->pin_tries++;
            tool_start(c, t, false, now, fx);
        }
        break;
    case TOOL_END:
        fx_notify_tool(fx, t, "done", STR(""), 0);
        tool_ready(c, t, str_of(ending), now, fx);
        break;
    case TOOL_UNKNOWN:
    default: refuse(c, t, no_such_tool, now, fx); break;
    }
}

/* A call we have no room for still gets its output, and its batch its response. */
static void answer_without_slot(struct call *c, const struct call_output *o, struct call_effects *fx)
{
    struct call_fx *send = fx_send(fx, CALL_SEND_OUTPUT);

    id_derive(&send->u.send.item_id, "fco_", o->call_id, STR("output"));
    send->u.send.call_id = o->call_id;
    send->u.send.text = str_of(too_many);
    fx_hop(fx, "tool_refused", STR("too many open function calls"));
    floor_want(c, WANT_TOOL);
}

void tools_on_response(struct call *c, const struct call_event *ev, struct call_now now,
                       struct call_effects *fx)
{
    struct tool *begun[CALL_OUTPUTS_MAX];
    unsigned n = 0;
    bool ends = false, speaks = false;

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
            answer_without_slot(c, o, fx);
            continue;
        }
        t->kind = kind_of(c, t);
        t->batch = c->batch_seq;
        t->asked_at = t->since = now.mono_ms;
        /* All of the batch count as running until each was looked at: no response in between. */
        t->state = TOOL_RUNNING;
        ends = ends || t->kind == TOOL_END;
        begun[n++] = t;
    }
    for (unsigned i = 0; i < n; i++)
        tool_begin(c, begun[i], now, fx);
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
    fx_notify_tool(fx, *slot, "acting", STR(""), now.mono_ms - (*slot)->asked_at);
}

/* The result of a run that the caller was told not to wait for goes in as news. */
static void tool_news(struct call *c, struct tool *t, struct str text, struct call_now now,
                      struct call_effects *fx)
{
    struct call_fx *send;

    mem_free(t->output);
    t->output = NULL;
    if (c->sideband_open) {
        char *whole = NULL;
        struct buf b;

        buf_init(&b, CALL_OUTPUT_BYTES + 1024);
        (void)buf_puts(&b, STR("The result of an earlier request has come in after all. Tell the caller now, "
                               "briefly, what it is about and what came out. Request: "));
        (void)buf_puts(&b, str_head(str_of(t->arguments), 400));
        (void)buf_puts(&b, STR("\nResult: "));
        (void)buf_puts(&b, str_head(text, str_utf8_floor(text, CALL_OUTPUT_BYTES)));
        if (buf_cstr(&b) != NULL)
            whole = buf_steal(&b, NULL);
        buf_free(&b);
        t->output = whole;
        if (whole != NULL) {
            send = fx_send(fx, CALL_SEND_NEWS);
            id_derive(&send->u.send.item_id, "news_", str_of(t->id), STR("late"));
            send->u.send.text = str_of(whole);
            floor_want(c, WANT_NEWS);
        }
        fx_notify_tool(fx, t, "late", text, now.mono_ms - t->asked_at);
        fx_hop(fx, "tool_late", fx_text(fx, "%s after %llu ms", t->name,
                                        (unsigned long long)(now.mono_ms - t->asked_at)));
        tool_close(c, t, fx);
        return;
    }
    /* Between two sidebands: it waits as an answer that is ready. */
    t->output = output_dup(text);
    fx_save_tool(fx, t, tool_state_name(t), str_of(t->output ? t->output : ""));
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

/* ---- Confirmation and recovery ---- */

static struct tool *by_item(struct call *c, struct str item_id)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        if (c->tools[i] != NULL && str_eqc(item_id, tool_item_id(c->tools[i]).text))
            return c->tools[i];
    }
    return NULL;
}

static void probe(struct tool *t, struct call_now now, struct call_effects *fx)
{
    struct call_fx *send = fx_send(fx, CALL_SEND_RETRIEVE);

    if (t->state != TOOL_LATE)
        t->state = TOOL_PROBING;
    t->since = now.mono_ms;
    send->u.send.item_id = tool_item_id(t);
    (void)snprintf(send->u.send.event_id.text, sizeof send->u.send.event_id.text, "p%.30s",
                   send->u.send.item_id.text);
}

/* The output is not in the conversation: it is owed. */
static void not_there(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    if (t->output != NULL) {
        t->state = TOOL_READY;
        tool_send(c, t, now, fx);
        check_batch(c, t->batch);
    } else if (t->restored && t->acting) {
        fx_notify_tool(fx, t, "failed", str_of(interrupted), 0);
        fx_hop(fx, "tool_interrupted", str_of(t->name));
        tool_ready(c, t, str_of(interrupted), now, fx);
    } else if (t->restored) {
        t->asked_at = now.mono_ms;
        t->restored = false;
        fx_hop(fx, "tool_asked_again", str_of(t->name));
        tool_start(c, t, true, now, fx);
    } else {
        t->state = TOOL_RUNNING;
    }
}

/* Restored, and the caller was told already that there is no result yet. */
static void late_again(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    t->state = TOOL_LATE;
    t->confirmed = true;
    t->asked_at = now.mono_ms;
    if (t->output != NULL) {
        char *text = t->output;

        t->output = NULL;
        tool_news(c, t, str_of(text), now, fx);
        mem_free(text);
    } else if (t->acting) {
        tool_news(c, t, str_of(interrupted), now, fx);
    } else {
        struct call_fx *run = fx_add(fx, CALL_FX_TOOL_RUN);

        t->restored = false;
        run->u.tool.tool = t;
        run->u.tool.resumed = true;
    }
}

bool tools_on_item(struct call *c, struct str item_id, bool found, struct call_now now,
                   struct call_effects *fx)
{
    struct tool *t;

    /* A cheap look first: every item of the conversation passes here. */
    if (!str_starts(item_id, STR("fco_")) || (t = by_item(c, item_id)) == NULL)
        return false;
    if (t->state == TOOL_LATE) {
        t->confirmed = true;
    } else if (t->state == TOOL_PROBING && found && t->was_late) {
        late_again(c, t, now, fx);
    } else if (t->state == TOOL_SENT) {
        tool_close(c, t, fx);
    } else if (t->state == TOOL_PROBING && found) {
        uint32_t batch = t->batch;

        tool_close(c, t, fx);
        /* Whether the response was asked for before the line was lost is not known, unless another
         * output of the batch had to be sent again: then it cannot have been. */
        if (batch_has(c, batch, TOOL_SENT))
            check_batch(c, batch);
        else if (!batch_has(c, batch, TOOL_PROBING))
            c->floor.guard_at = now.mono_ms + c->set.filler_after_ms;
    }
    return true;
}

bool tools_on_error(struct call *c, struct str event_id, struct str message, struct call_now now,
                    struct call_effects *fx)
{
    struct tool *t;

    if (event_id.n < 2 || !str_starts(str_skip(event_id, 1), STR("fco_")))
        return false;
    t = by_item(c, str_skip(event_id, 1));
    if (t == NULL)
        return true;
    if (event_id.p[0] == 'p' && t->state == TOOL_PROBING) {
        not_there(c, t, now, fx);
    } else if (event_id.p[0] == 'p' && t->state == TOOL_LATE && !t->confirmed) {
        send_output(t, str_of(unfinished), fx);
        floor_want(c, WANT_TOOL);
    } else if (event_id.p[0] == 'o' && t->state == TOOL_SENT) {
        /* Most likely it stands there already; in any case it cannot be sent again. */
        fx_hop(fx, "output_refused", str_head(message, 150));
        tool_close(c, t, fx);
    }
    return true;
}

void tools_open(struct call *c, struct call_now now, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        struct tool *t = c->tools[i];

        if (t == NULL)
            continue;
        if (t->state == TOOL_PROBING || t->state == TOOL_SENT) {
            probe(t, now, fx);
        } else if (t->state == TOOL_READY) {
            tool_send(c, t, now, fx);
            if (t->kind != TOOL_END)
                check_batch(c, t->batch);
        } else if (t->state == TOOL_LATE && t->output != NULL) {
            char *text = t->output;

            t->output = NULL;
            tool_news(c, t, str_of(text), now, fx);
            mem_free(text);
        } else if (t->state == TOOL_LATE && !t->confirmed) {
            probe(t, now, fx);
        }
    }
}

void tools_run(struct call *c, struct call_now now, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        struct tool *t = c->tools[i];

        if (t == NULL || !c->sideband_open)
            continue;
        if (t->state == TOOL_PROBING && now.mono_ms >= t->since + PROBE_MS) {
            not_there(c, t, now, fx);
        } else if (t->state == TOOL_SENT && now.mono_ms >= t->since + CONFIRM_MS) {
            tool_close(c, t, fx);
        } else if (t->state == TOOL_RUNNING && now.mono_ms >= t->asked_at + c->set.tool_timeout_ms) {
            t->state = TOOL_LATE;
            fx_save_tool(fx, t, tool_state_name(t), STR_NONE);
            fx_notify_tool(fx, t, "timeout", STR(""), now.mono_ms - t->asked_at);
            fx_hop(fx, "tool_timeout", fx_text(fx, "%s gave no result in %llu ms", t->name,
                                               (unsigned long long)(now.mono_ms - t->asked_at)));
            tool_send(c, t, now, fx);
            check_batch(c, t->batch);
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
        else if (t->state == TOOL_SENT)
            at = sooner(at, t->since + CONFIRM_MS);
        else if (t->state == TOOL_RUNNING)
            at = sooner(at, t->asked_at + c->set.tool_timeout_ms);
    }
    return at;
}

void tools_cancel(struct call *c, struct call_now now, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        struct tool *t = c->tools[i];
        struct call_fx *cancel;

        if (t == NULL || (t->state != TOOL_RUNNING && t->state != TOOL_LATE))
            continue;
        cancel = fx_add(fx, CALL_FX_TOOL_CANCEL);
        cancel->u.tool.tool = t;
        if (!t->acting)
            fx_notify_tool(fx, t, "cancelled", STR(""), now.mono_ms - t->asked_at);
    }
}

void tools_restore(struct call *c, const struct call_restored *r, struct call_now now)
{
    c->batch_seq = 1;
    for (unsigned i = 0; i < r->n_tools; i++) {
        const struct call_restore_tool *from = &r->tools[i];
        struct tool *t = tool_new(c, from->id, from->name, from->arguments);

        if (t == NULL)
            continue;
        t->kind = kind_of(c, t);
        t->state = TOOL_PROBING;
        t->restored = true;
        t->was_late = str_starts(from->state, STR("late"));
        t->acting = str_eqc(from->state, "acting") || str_eqc(from->state, "late_acting");
        t->batch = c->batch_seq;
        t->asked_at = t->since = now.mono_ms;
        if (from->output.n > 0)
            t->output = output_dup(from->output);
    }
}
