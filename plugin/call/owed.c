/* SPDX-License-Identifier: MIT */
/*
 * Outputs and results that may have got lost: with a sideband, with an earlier instance, or because the
 * caller was told not to wait for them. Each is asked for or handed over again until it is known to be in
 * the conversation, and announced once.
 */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"

#include <stdio.h>
#include <string.h>

#define CONFIRM_MS 30000u /* a message that is not echoed counts as taken */

static const char interrupted[] =
    "Interrupted: the system restarted while this was being done. It is not known whether it was "
    "finished. Tell the caller so honestly and do not try it again unasked.";
static const char verify_again[] =
    "Interrupted: the system restarted before this was checked. Ask the caller again, and call the tool again.";

/* ---- Late results ---- */

static struct id news_item_id(const struct tool *t)
{
    struct id id;

    id_derive(&id, "news_", str_of(t->id), STR("late"));
    return id;
}

static bool news_write(struct tool *t)
{
    struct buf b;

    if (t->news != NULL)
        return true;
    buf_init(&b, CALL_OUTPUT_BYTES + 1024);
    (void)buf_puts(&b, STR("The result of an earlier request has come in after all. Tell the caller now, "
                           "briefly, what it is about and what came out. Request: "));
    if (t->kind != TOOL_PIN)
        (void)buf_puts(&b, str_head(str_of(t->arguments), str_utf8_floor(str_of(t->arguments), 400)));
    else
        (void)buf_puts(&b, STR("a check of the PIN"));
    (void)buf_puts(&b, STR("\nResult: "));
    (void)buf_puts(&b, str_of(t->output ? t->output : tool_lost_words));
    if (buf_cstr(&b) != NULL)
        t->news = buf_steal(&b, NULL);
    buf_free(&b);
    return t->news != NULL;
}

/*
 * Hands a late result to the sideband as a message, to be closed when it is seen there. What may have
 * been handed over before is announced only when it is seen: otherwise the caller hears it twice.
 */
static void news_send(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    struct call_fx *send;

    if (!can_send(c) || !news_write(t)) {
        fx_hop(fx, "tool_lost", str_of(t->name));
        tool_close(c, t, fx);
        return;
    }
    send = fx_send(fx, CALL_SEND_NEWS);
    send->u.send.item_id = news_item_id(t);
    (void)snprintf(send->u.send.event_id.text, sizeof send->u.send.event_id.text, "n%.30s",
                   send->u.send.item_id.text);
    send->u.send.text = str_of(t->news);
    t->news_again = t->news_sent || t->was_late;
    t->news_sent = true;
    t->since = now.mono_ms;
    if (!t->news_again)
        floor_want(c, WANT_NEWS);
}

/* It is in the conversation. */
static void news_seen(struct call *c, struct tool *t)
{
    if (t->news_again && !t->news_here)
        floor_want(c, WANT_NEWS);
    t->news_here = true;
}

/* The result of a run that the caller was told not to wait for. It is kept until it was handed over. */
void tool_news(struct call *c, struct tool *t, struct str text, struct call_now now,
               struct call_effects *fx)
{
    mem_free(t->output);
    t->output = tool_output_dup(text);
    fx_save_tool(fx, t, tool_state_name(t), str_of(t->output ? t->output : tool_lost_words));
    fx_notify_tool(fx, t, "late", str_of(t->output ? t->output : tool_lost_words), now.mono_ms - t->asked_at);
    fx_hop(fx, "tool_late", fx_text(fx, "%s after %llu ms", t->name,
                                    (unsigned long long)(now.mono_ms - t->asked_at)));
    if (t->output == NULL)
        t->output = tool_output_dup(str_of(tool_lost_words));
    if (can_send(c) || t->output == NULL)
        news_send(c, t, now, fx);
}

/* Closed once it is in the conversation and the response that tells it has begun. */
void tool_news_run(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    bool expired = now.mono_ms >= t->since + CONFIRM_MS;

    if (expired && !t->news_here)
        news_seen(c, t);
    if (t->news_here && (expired || !tools_response_owed(c, WANT_NEWS)))
        tool_close(c, t, fx);
}

/* ---- Confirmation and recovery ---- */

static bool batch_has(const struct call *c, uint32_t batch, enum tool_state state)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++)
        if (c->tools[i] != NULL && c->tools[i]->batch == batch && c->tools[i]->state == state)
            return true;
    return false;
}

static bool ours(struct str item_id) /* a cheap look: every item of the conversation passes here */
{
    return str_starts(item_id, STR("fco_")) || str_starts(item_id, STR("news_"));
}

static struct tool *by_item(struct call *c, struct str item_id)
{
    bool news = str_starts(item_id, STR("news_"));

    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = c->tools[i];
        struct id id;

        if (t == NULL || (news && !t->news_sent))
            continue;
        id = news ? news_item_id(t) : tool_item_id(t);
        if (str_eqc(item_id, id.text))
            return c->tools[i];
    }
    return NULL;
}

static void probe(struct tool *t, struct call_now now, struct call_effects *fx)
{
    struct call_fx *send = fx_send(fx, CALL_SEND_RETRIEVE);

    if (t->state != TOOL_LATE)
        t->state = TOOL_PROBING;
    t->probed = true;
    t->since = now.mono_ms;
    send->u.send.item_id = tool_item_id(t);
    (void)snprintf(send->u.send.event_id.text, sizeof send->u.send.event_id.text, "p%.30s",
                   send->u.send.item_id.text);
}

/* What the caller may do can have changed since the call was asked for; NULL: run it again. */
static const char *why_not_again(const struct call *c, const struct tool *t)
{
    if (t->kind == TOOL_ASK)
        return c->set.tools == CALL_TOOLS_NONE ? tool_not_allowed_words : NULL;
    if (t->kind == TOOL_NATIVE) /* reading may come twice; what sends or keeps something may not */
        return strncmp(t->name, "memory_", 7) == 0 ? NULL : interrupted;
    if (t->kind == TOOL_OWNER) /* the question is a row of its own, which says whether it was asked */
        return NULL;
    /* What was said to prove something is kept nowhere. */
    return t->kind == TOOL_PIN ? verify_again : tool_unknown_words;
}

void tool_not_there(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    bool was_late = t->was_late;

    t->was_late = t->probed = false;
    if (t->output != NULL) {
        t->state = TOOL_READY;
        if (was_late)
            fx_save_tool(fx, t, tool_state_name(t), str_of(t->output));
        tool_send(c, t, now, fx);
        tools_check_batch(c, t->batch);
    } else if (t->restored && t->acting) {
        fx_notify_tool(fx, t, "failed", str_of(interrupted), 0);
        fx_hop(fx, "tool_interrupted", str_of(t->name));
        tool_ready(c, t, str_of(interrupted), now, fx);
    } else if (t->restored) {
        const char *why = why_not_again(c, t);

        if (t->kind != TOOL_OWNER) /* the owner's time goes on */
            t->asked_at = now.mono_ms;
        t->restored = false;
        if (why != NULL) {
            tool_refuse(c, t, why, now, fx);
            return;
        }
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
    t->probed = false;
    t->asked_at = now.mono_ms;
    if (t->output != NULL) {
        if (can_send(c))
            news_send(c, t, now, fx);
    } else if (t->acting || why_not_again(c, t) != NULL) {
        t->was_late = false; /* no earlier instance had this result */
        tool_news(c, t, str_of(t->acting ? interrupted : why_not_again(c, t)), now, fx);
    } else {
        struct call_fx *run = fx_add(fx, CALL_FX_TOOL_RUN);

        t->restored = t->was_late = false;
        run->u.tool.tool = t;
        run->u.tool.resumed = true;
    }
}

/*
 * Whether the response was asked for before the line was lost is not known, unless another output of the batch had to
 * be sent again: then it cannot have been.
 */
static void there_already(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    uint32_t batch = t->batch;

    tool_close(c, t, fx);
    if (batch_has(c, batch, TOOL_SENT))
        tools_check_batch(c, batch);
    else if (!batch_has(c, batch, TOOL_PROBING) && !batch_has(c, batch, TOOL_RUNNING))
        c->floor.guard_at = now.mono_ms + c->set.filler_after_ms;
}

/*
 * An earlier instance's output, of which the provider did not say in time that it is there: a second one would be
 * refused. What is still being worked on will be news.
 */
static void seen_early(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    uint32_t batch = t->batch;

    if (t->kind == TOOL_END)
        return;
    if (t->state == TOOL_READY) {
        tool_close(c, t, fx);
    } else {
        t->state = TOOL_LATE;
        t->confirmed = true;
        t->keypad = false;
        t->since = now.mono_ms;
        fx_save_tool(fx, t, tool_state_name(t), STR_NONE);
    }
    tools_check_batch(c, batch);
}

bool tools_on_item(struct call *c, struct str item_id, struct call_now now, struct call_effects *fx)
{
    struct tool *t;

    if (!ours(item_id) || (t = by_item(c, item_id)) == NULL)
        return false;
    if (str_starts(item_id, STR("news_"))) {
        news_seen(c, t);
    } else if (t->state == TOOL_LATE) {
        t->confirmed = true;
    } else if (t->state == TOOL_PROBING && t->was_late) {
        late_again(c, t, now, fx);
    } else if (t->state == TOOL_SENT && c->state != CALL_LIVE) {
        tool_close(c, t, fx);
    } else if (t->state == TOOL_SENT) {
        t->confirmed = true; /* tools_run() closes it once its response has begun */
    } else if (t->state == TOOL_RUNNING || t->state == TOOL_READY) {
        seen_early(c, t, now, fx);
    } else if (t->state == TOOL_PROBING) {
        there_already(c, t, now, fx);
    }
    return true;
}

bool tools_on_error(struct call *c, struct str event_id, struct str message, struct call_now now,
                    struct call_effects *fx)
{
    struct tool *t;

    if (event_id.n < 2 || !ours(str_skip(event_id, 1)))
        return false;
    t = by_item(c, str_skip(event_id, 1));
    if (t == NULL)
        return true;
    if (event_id.p[0] == 'n') {
        /* Said before the line was lost: whether the caller heard of it is not known. */
        if (t->news_again)
            c->floor.guard_at = now.mono_ms + c->set.filler_after_ms;
        else
            fx_hop(fx, "output_refused", str_head(message, 150));
        tool_close(c, t, fx);
    } else if (event_id.p[0] == 'p' && t->state == TOOL_PROBING) {
        tool_not_there(c, t, now, fx);
    } else if (event_id.p[0] == 'p' && t->state == TOOL_LATE && t->probed && !t->confirmed) {
        t->probed = false;
        tool_send(c, t, now, fx);
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
        if (t->state == TOOL_PROBING && t->elsewhere) {
            late_again(c, t, now, fx);
        } else if (t->state == TOOL_PROBING || (t->state == TOOL_SENT && !t->confirmed)) {
            probe(t, now, fx);
        } else if (t->state == TOOL_READY) {
            tool_send(c, t, now, fx);
            if (t->kind != TOOL_END)
                tools_check_batch(c, t->batch);
        } else if (t->state == TOOL_LATE && t->output != NULL) {
            if (can_send(c))
                news_send(c, t, now, fx);
        } else if (t->state == TOOL_LATE && !t->confirmed) {
            probe(t, now, fx);
        }
    }
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        struct tool *t = c->tools[i];

        /* seen before the line was lost */
        if (t != NULL && t->state == TOOL_SENT && t->confirmed && t->kind != TOOL_END)
            there_already(c, t, now, fx);
    }
}

void tools_resume(struct call *c, struct call_now now, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING && can_send(c); i++) {
        struct tool *t = c->tools[i];

        if (t == NULL)
            continue;
        if (t->state == TOOL_READY) {
            tool_send(c, t, now, fx);
            tools_check_batch(c, t->batch);
        } else if (t->state == TOOL_LATE && t->output != NULL && !t->news_sent) {
            news_send(c, t, now, fx);
        }
    }
}

/* Its function call is in a conversation that is gone: whatever is owed for it will be news. */
static void to_news(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx)
{
    bool begun = t->state != TOOL_PROBING; /* else a restart forgot what became of it */

    t->news_sent = t->news_here = t->news_again = t->probed = false;
    t->elsewhere = true;
    if (!begun) {
        late_again(c, t, now, fx);
    } else if (t->state != TOOL_LATE) {
        t->state = TOOL_LATE;
        t->confirmed = true;
    }
    if (t->state == TOOL_LATE)
        fx_save_tool(fx, t, tool_state_name(t), str_of(t->output));
}

void tools_new_leg(struct call *c, struct call_now now, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        struct tool *t = c->tools[i];

        if (t == NULL)
            continue;
        if (t->kind == TOOL_END || t->kind == TOOL_CONSENT || t->cancelled)
            tool_close(c, t, fx);
        else
            to_news(c, t, now, fx);
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
        t->kind = tool_kind_of(c, t);
        t->state = TOOL_PROBING;
        t->restored = true;
        t->elsewhere = str_starts(from->state, STR("moved"));
        t->was_late = t->elsewhere || str_starts(from->state, STR("late"));
        t->acting = str_eqc(from->state, "acting") || str_eqc(from->state, "late_acting") ||
                    str_eqc(from->state, "moved_acting");
        t->batch = c->batch_seq;
        t->asked_at = t->since = now.mono_ms;
        if (t->kind == TOOL_OWNER)
            t->asked_at -= from->age_ms < now.mono_ms ? from->age_ms : now.mono_ms;
        if (from->output.n > 0 || str_eqc(from->state, "answered")) {
            t->output = tool_output_dup(from->output);
            t->acting = t->acting || t->output == NULL; /* it was done: never again */
        }
    }
}
