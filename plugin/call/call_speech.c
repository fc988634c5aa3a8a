/* SPDX-License-Identifier: MIT */
/* What was said in a call, as the speech API tells it, and what keys were pressed. */
#include "plugin/base/secret.h"
#include "plugin/call/call_int.h"

#include <stdio.h>
#include <string.h>

#define KEYS_GAP_MS 2000u
#define MISSING_PREFIX "said_" /* of the events that ask for words which were missed */

/* ---- What was said ---- */

static bool is_unrecorded(const struct call *c, struct str item)
{
    uint64_t h = floor_hash(item);

    for (unsigned i = 0; i < CALL_UNRECORDED; i++)
        if (c->unrecorded_ids[i] == h)
            return true;
    return false;
}

/* Its words may come when the recording goes on again. */
static void note_unrecorded(struct call *c, struct str item)
{
    if (c->unrecorded && item.n > 0 && !is_unrecorded(c, item))
        c->unrecorded_ids[c->next_unrecorded++ % CALL_UNRECORDED] = floor_hash(item);
}

/* new_turns: 1 when each row is a turn of its own, 0 when rows of earlier turns change. */
static void emit_rows(struct call *c, unsigned new_turns, struct call_effects *fx)
{
    for (unsigned i = 0; i < fx->rows.n; i++) {
        struct transcript_row *row = &fx->rows.v[i];
        struct call_fx *f = fx_add(fx, CALL_FX_SAVE_TURN);

        if (row->text.n > 0 && is_unrecorded(c, row->item_id))
            row->text = STR("[not recorded]");
        f->u.turn = *row;
        if (row->text.n == 0)
            continue;
        c->turns += new_turns;
        f = fx_notify(fx, CALL_NOTICE_TURN);
        f->u.notify.turn = *row;
    }
}

static void add_usage(struct call_usage *to, const struct call_usage *u)
{
    to->responses += u->responses;
    to->input_tokens += u->input_tokens;
    to->output_tokens += u->output_tokens;
    to->input_text += u->input_text;
    to->input_audio += u->input_audio;
    to->input_image += u->input_image;
    to->input_cached += u->input_cached;
    to->cached_text += u->cached_text;
    to->cached_audio += u->cached_audio;
    to->cached_image += u->cached_image;
    to->output_text += u->output_text;
    to->output_audio += u->output_audio;
    to->transcription_tokens += u->transcription_tokens;
    to->transcription_ms += u->transcription_ms;
}

/* ---- Words that were missed ---- */

static struct announced *announced(struct call *c, struct str id)
{
    for (unsigned i = 0; i < CALL_ANNOUNCED; i++)
        if (id.n > 0 && str_eqc(id, c->announced[i].id))
            return &c->announced[i];
    return NULL;
}

/* It is in the conversation, and its words are to come. Once known they are not asked for again. */
static void announce(struct call *c, struct str id, enum call_who who)
{
    struct announced *a = &c->announced[c->next_announced % CALL_ANNOUNCED];

    if (who == CALL_WHO_OTHER || id.n == 0 || announced(c, id) != NULL || !str_copy(a->id, sizeof a->id, id))
        return;
    a->who = who;
    a->unheard = false;
    c->next_announced++;
}

static void words_known(struct call *c, struct str id)
{
    struct announced *a = announced(c, id);

    if (a != NULL)
        a->who = CALL_WHO_OTHER;
}

void speech_forget(struct call *c)
{
    memset(c->announced, 0, sizeof c->announced);
    c->turned = false;
}

static void ask_words(const struct announced *a, unsigned n, struct call_effects *fx)
{
    struct call_fx *send = fx_send(fx, CALL_SEND_RETRIEVE);

    send->u.send.text = str_of(a->id);
    (void)snprintf(send->u.send.event_id.text, sizeof send->u.send.event_id.text, MISSING_PREFIX "%u", n);
}

void speech_ask_missing(struct call *c, struct call_effects *fx)
{
    for (unsigned i = 0; i < CALL_ANNOUNCED; i++) {
        const struct announced *a = &c->announced[(c->next_announced + i) % CALL_ANNOUNCED];

        if (a->who != CALL_WHO_OTHER)
            ask_words(a, i, fx);
    }
}

/*
 * The first item behind a gap names the one before it. Of one that was added in the gap that is all that is ever told;
 * others between it and the last one that we know have no name here.
 */
static void ask_unheard(struct call *c, struct str prev, struct call_effects *fx)
{
    struct announced *a;

    if (!c->gap)
        return;
    c->gap = false;
    if (prev.n == 0 || transcript_knows(&c->transcript, prev))
        return;
    announce(c, prev, CALL_WHO_ASSISTANT);
    a = announced(c, prev);
    if (a == NULL)
        return;
    a->unheard = true;
    ask_words(a, CALL_ANNOUNCED, fx);
}

/* The answer; without words they are still to come. A row that the response's end writes later is the same row. */
static void on_found_words(struct call *c, const struct call_event *ev, struct call_now now, struct call_effects *fx)
{
    const struct announced *a = announced(c, ev->u.item.id);
    struct call_output said = {.item_id = ev->u.item.id, .text = ev->u.item.text};
    struct call_event done = {.kind = CALL_EV_RESPONSE_DONE};
    enum call_who who = a == NULL ? CALL_WHO_OTHER : a->who;

    if (who != CALL_WHO_OTHER && a->unheard)
        who = ev->u.item.who;
    if (who == CALL_WHO_OTHER || ev->u.item.text.n == 0)
        return;
    done.u.response.outputs = &said;
    done.u.response.n_outputs = 1;
    if (who == CALL_WHO_ASSISTANT)
        transcript_on_response(&c->transcript, &done, now.wall_ms, &fx->rows);
    else
        transcript_on_text(&c->transcript, ev->u.item.id, ev->u.item.text, now.wall_ms, &fx->rows);
    words_known(c, ev->u.item.id);
    emit_rows(c, 1, fx);
}

static void note_announced(struct call *c, const struct call_event *ev)
{
    if (ev->kind == CALL_EV_SPEECH_STARTED || ev->kind == CALL_EV_COMMITTED || ev->kind == CALL_EV_ITEM_ADDED)
        note_unrecorded(c, ev->u.item.id);
    switch (ev->kind) {
    case CALL_EV_COMMITTED: announce(c, ev->u.item.id, CALL_WHO_CALLER); break;
    case CALL_EV_ITEM_ADDED: announce(c, ev->u.item.id, ev->u.item.who); break;
    case CALL_EV_CALLER_TEXT:
    case CALL_EV_CALLER_TEXT_FAILED: words_known(c, ev->u.item.id); break;
    case CALL_EV_RESPONSE_DONE:
        for (unsigned i = 0; i < ev->u.response.n_outputs; i++) {
            words_known(c, ev->u.response.outputs[i].item_id);
            note_unrecorded(c, ev->u.response.outputs[i].item_id);
        }
        break;
    default: break;
    }
}

/* A turn of the human is one that answers something they heard: a machine's text does not. */
static void note_turn(struct call *c, const struct call_event *ev, struct call_effects *fx)
{
    if (ev->kind == CALL_EV_AUDIO_STARTED) {
        c->turned = true;
    } else if (ev->kind == CALL_EV_COMMITTED && c->turned) {
        c->turned = false;
        fx_line(fx, CALL_LINE_CALLEE_TURN, STR(""));
    }
}

/* ---- The conversation ---- */

static void on_conversation(struct call *c, const struct call_event *ev, struct call_now now,
                            struct call_effects *fx)
{
    struct transcript *t = &c->transcript;

    if (ev->kind == CALL_EV_COMMITTED || ev->kind == CALL_EV_ITEM_ADDED)
        ask_unheard(c, ev->u.item.prev, fx);
    note_announced(c, ev);
    switch (ev->kind) {
    case CALL_EV_SPEECH_STARTED:
    case CALL_EV_COMMITTED:
        transcript_on_item(t, ev->u.item.id, ev->u.item.prev, CALL_WHO_CALLER, now.wall_ms, &fx->rows);
        break;
    case CALL_EV_ITEM_ADDED:
        (void)tools_on_item(c, ev->u.item.id, now, fx);
        transcript_on_item(t, ev->u.item.id, ev->u.item.prev, ev->u.item.who, now.wall_ms, &fx->rows);
        break;
    case CALL_EV_ITEM_FOUND:
        if (!tools_on_item(c, ev->u.item.id, now, fx))
            on_found_words(c, ev, now, fx);
        return;
    case CALL_EV_CALLER_TEXT:
        add_usage(&c->usage, &ev->u.item.usage);
        cost_charge(c, &ev->u.item.usage, ev->u.item.id, now, fx);
        transcript_on_text(t, ev->u.item.id, ev->u.item.text, now.wall_ms, &fx->rows);
        break;
    case CALL_EV_CALLER_TEXT_FAILED:
        transcript_on_text_failed(t, ev->u.item.id, now.wall_ms, &fx->rows);
        break;
    case CALL_EV_TRUNCATED:
        transcript_on_truncated(t, ev->u.item.id, ev->u.item.heard_ms, now.wall_ms, &fx->rows);
        break;
    case CALL_EV_RESPONSE_DONE:
        transcript_on_response(t, ev, now.wall_ms, &fx->rows);
        add_usage(&c->usage, &ev->u.response.usage);
        fx_save(fx, CALL_SAVE_USAGE, NULL, 0);
        cost_charge(c, &ev->u.response.usage, ev->u.response.id, now, fx);
        break;
    default: break;
    }
    emit_rows(c, ev->kind == CALL_EV_CALLER_TEXT || ev->kind == CALL_EV_RESPONSE_DONE, fx);
}

static void on_error(struct call *c, const struct call_event *ev, struct call_now now,
                     struct call_effects *fx)
{
    struct str code = ev->u.error.code;

    if (str_starts(ev->u.error.event_id, STR(MISSING_PREFIX)))
        return; /* no such item: what was said there is lost */
    if (tools_on_error(c, ev->u.error.event_id, ev->u.error.message, now, fx) ||
        str_eqc(code, "response_cancel_not_active"))
        return;
    if (str_eqc(code, "session_expired")) {
        call_hang_up(c, CALL_REASON_SESSION_EXPIRED, ev->u.error.message, now, fx);
        return;
    }
    if (!str_eqc(code, "conversation_already_has_active_response"))
        fx_hop(fx, "error_event",
               fx_text(fx, "%.*s: %.*s", STR_ARG(str_head(code, 50)),
                       STR_ARG(str_head(ev->u.error.message, 120))));
    floor_event(c, ev, now, fx);
}

/* ---- Keys ---- */

void keys_spent(struct call *c)
{
    if (c->spent_keys[0] != '\0')
        secret_wipe(c->spent_keys, sizeof c->spent_keys);
}

void keys_wipe(struct call *c)
{
    secret_wipe(c->keys, sizeof c->keys);
    keys_spent(c);
    c->n_keys = 0;
    c->keys_at = 0;
}

/* While a PIN is awaited the keys go to its check and nowhere else. */
static void keys_done(struct call *c, struct call_now now, struct call_effects *fx)
{
    struct tool *t = tools_keypad(c);

    if (t != NULL && c->n_keys > 0) {
        struct call_fx *run = fx_add(fx, CALL_FX_TOOL_RUN);

        (void)str_copy(c->spent_keys, sizeof c->spent_keys, str_make(c->keys, c->n_keys));
        t->keypad = false;
        run->u.tool.tool = t;
        run->u.tool.keys = str_of(c->spent_keys);
    } else if (t == NULL && c->state == CALL_LIVE && c->n_keys > 0) {
        char spaced[2 * CALL_KEYS_MAX + 1];

        for (unsigned i = 0; i < c->n_keys; i++) {
            spaced[2 * i] = c->keys[i];
            spaced[2 * i + 1] = ' ';
        }
        spaced[2 * c->n_keys - 1] = '\0';
        fx_hop(fx, "dtmf", STR("the caller pressed keys"));
        call_tell(c, STR("keys"), fx_text(fx, "%llu", (unsigned long long)now.wall_ms),
                  fx_text(fx, "The caller pressed these keys on the telephone: %s", spaced), fx);
        floor_want(c, WANT_NEWS);
        secret_wipe(spaced, sizeof spaced);
    }
    secret_wipe(c->keys, sizeof c->keys);
    c->n_keys = 0;
    c->keys_at = 0;
}

/* '#' ends what was pressed before it, and is news only by itself. */
static void on_key(struct call *c, struct str key, struct call_now now, struct call_effects *fx)
{
    bool ends = key.n == 1 && key.p[0] == '#';

    if (key.n != 1 || c->state != CALL_LIVE)
        return;
    if (!ends || (c->n_keys == 0 && tools_keypad(c) == NULL))
        c->keys[c->n_keys++] = key.p[0];
    c->keys_at = now.mono_ms;
    if (ends || c->n_keys == CALL_KEYS_MAX)
        keys_done(c, now, fx);
}

void keys_run(struct call *c, struct call_now now, struct call_effects *fx)
{
    if (due(keys_deadline(c), now))
        keys_done(c, now, fx);
}

uint64_t keys_deadline(const struct call *c)
{
    return c->keys_at != 0 ? c->keys_at + KEYS_GAP_MS : 0;
}

void speech_event(struct call *c, const struct call_event *ev, struct call_now now,
                  struct call_effects *fx)
{
    if (!c->sideband_open)
        return;
    if (ev->kind == CALL_EV_ERROR) {
        on_error(c, ev, now, fx);
        return;
    }
    if (ev->kind == CALL_EV_DTMF) {
        on_key(c, ev->u.text, now, fx);
        return;
    }
    if (ev->kind == CALL_EV_RESPONSE_DONE && floor_seen_done(c, ev->u.response.id))
        return;
    on_conversation(c, ev, now, fx);
    if (c->set.line)
        note_turn(c, ev, fx);
    if (ev->kind == CALL_EV_RESPONSE_DONE && c->state == CALL_LIVE)
        tools_on_response(c, ev, now, fx);
    floor_event(c, ev, now, fx);
}

