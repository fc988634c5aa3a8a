/* SPDX-License-Identifier: MIT */
/* Effects of a line's machine, carried out, and the carrier's answers. Each function is one kind of effect. */
#include "abi/openclaw_voice.h"
#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/config/config.h"
#include "plugin/fetches.h"
#include "plugin/lines_int.h"
#include "plugin/notice.h"

#include <stdio.h>
#include <string.h>

const char *recording_name(enum line_recording_state r)
{
    static const char *const names[] = {"none", "wanted", "starting", "on", "paused", "stopped", "absent", "failed"};

    return names[r];
}

/* ---- Saving ---- */

/* Legs and references that no row knows yet: their rows are written before the machine's. */
static void note_legs(struct trunk *t)
{
    struct store *s = t->owner->app->store;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        const struct leg *leg = &t->m.legs[i];

        if (leg->ref[0] != '\0' && strcmp(leg->ref, t->noted_ref[i]) != 0 &&
            line_note_ref(s, str_of(leg->ref), str_of(t->call), NULL, NULL) == 0)
            memcpy(t->noted_ref[i], leg->ref, sizeof leg->ref);
        if (leg->sid[0] != '\0' && strcmp(leg->sid, t->noted[i]) != 0 &&
            line_note_leg(s, str_of(leg->sid), str_of(t->call), NULL, NULL) == 0)
            memcpy(t->noted[i], leg->sid, sizeof leg->sid);
    }
}

struct saving { /* names the line, which may be gone when the save is durable */
    struct lines *ls;
    uint64_t version;
    char call[ID_BYTES];
};

static void on_saved(void *arg, int rc)
{
    struct saving *s = arg;
    struct trunk *t = s->ls->leaving ? NULL : trunk_find(s->ls, str_of(s->call));
    const struct line_event ev = {.kind = LINE_EV_SAVED, .u.version = s->version};

    if (rc < 0)
        log_error(&s->ls->app->log, "%s: its line could not be saved: %s", s->call, err_name(rc));
    mem_free(s);
    if (t != NULL && rc == 0)
        trunk_feed(t, &ev);
}

/* A line whose call is over is kept until nothing is owed: it may wait for its recording. */
static void do_save(struct trunk *t, uint64_t version)
{
    const struct line *m = &t->m;
    bool waits = m->phase == LINE_OVER && !m->over_told;
    struct saving *s = MEM_NEW(struct saving);
    struct buf machine;
    struct line_row row = {
        .call = str_of(t->call), .phase = str_of(line_phase_name(waits ? LINE_ENDING : m->phase)),
        .outcome = m->outcome != LINE_OUTCOME_NONE ? str_of(line_outcome_name(m->outcome)) : STR(""),
        .code = str_of(m->code), .detail = str_of(m->detail), .attempts = m->attempts, .due_at = m->due_wall_ms,
        .answered_at = m->answered_wall_ms, .ended_at = m->ended_wall_ms};

    note_legs(t);
    buf_init(&machine, LINE_DURABLE_BYTES);
    if ((m->phase != LINE_OVER || waits) && line_write(m, &machine) == 0)
        row.machine = buf_str(&machine);
    if (s != NULL) {
        s->ls = t->owner;
        s->version = version;
        (void)str_copy(s->call, sizeof s->call, str_of(t->call));
    }
    if (s == NULL || machine.rc < 0 || line_save(t->owner->app->store, &row, on_saved, s) < 0) {
        log_error(&t->owner->app->log, "%s: its line could not be queued for the database", t->call);
        mem_free(s);
    }
    buf_free(&machine);
}

/* ---- The carrier ---- */

/* What the carrier says: the configuration has the words, the machine what the call is about. */
static void put_words(struct buf *b, const struct config *c, const struct line_fx *fx)
{
    if (fx->u.command.what == LINE_CMD_APOLOGISE)
        (void)buf_puts(b, str_of(c->twilio.say_apology));
    else if (fx->u.command.what == LINE_CMD_OFFER)
        (void)buf_printf(b, "%s ", c->twilio.say_offer);
    (void)buf_puts(b, fx->u.command.text);
}

static void do_command(struct trunk *t, const struct line_fx *fx)
{
    struct carrier *c = trunk_carrier(t);
    struct buf words;
    struct carrier_order order = {
        .cmd = fx->u.command.n, .what = fx->u.command.what, .call = str_of(t->call), .line = &t->m,
        .leg = fx->u.command.leg, .text = fx->u.command.text, .token = fx->u.command.action,
        .secret = fx->u.command.secret};

    buf_init(&words, 2 * LINE_TEXT_BYTES);
    put_words(&words, t->owner->app->config, fx);
    order.text = str_trim(buf_str(&words));
    /* Without an answer the machine's own deadline goes by: it looks up what became of it. */
    if (c == NULL || c->ops->command(c, &order) < 0)
        log_error(&t->owner->app->log, "%s: a command could not be sent to the carrier", t->call);
    buf_free(&words);
}

void trunk_answered(void *arg, struct str call, const struct carrier_answer *a)
{
    struct lines *ls = arg;
    struct trunk *t = ls->leaving ? NULL : trunk_find(ls, call);
    struct line_event ev = {.kind = a->what == LINE_CMD_LOOK_UP ? LINE_EV_FOUND
                                    : a->what == LINE_CMD_CREATE || a->what == LINE_CMD_OFFER ? LINE_EV_CREATED
                                                                                             : LINE_EV_DONE};

    if (t == NULL)
        return;
    if (ev.kind == LINE_EV_FOUND) {
        ev.u.found.cmd = a->cmd;
        ev.u.found.http_status = a->http_status;
        ev.u.found.room = a->room;
        ev.u.found.room_live = a->room_live;
        ev.u.found.legs = a->legs;
        ev.u.found.n_legs = a->n_legs;
        ev.u.found.recording = a->recording;
    } else {
        ev.u.answer.cmd = a->cmd;
        ev.u.answer.http_status = a->http_status;
        ev.u.answer.maybe_sent = a->maybe_sent;
        ev.u.answer.sid = a->sid;
        ev.u.answer.room = a->room;
        ev.u.answer.code = a->code;
        ev.u.answer.message = a->message;
    }
    trunk_feed(t, &ev);
}

static void do_slot(struct trunk *t, const struct line_fx *fx)
{
    const struct leg *leg = fx->u.slot.leg;
    bool paid = leg->role == ROLE_MODEL && t->m.set.outbound && leg->tries <= 1;

    if (pacer_ask(t->owner->pacer, str_of(t->call), str_of(leg->label),
                  fx->u.slot.dial ? PACER_DIAL : paid ? PACER_PAID : PACER_WAITED_FOR) < 0)
        log_error(&t->owner->app->log, "%s: out of memory: a leg waits", t->call);
}

/* ---- Actions ---- */

static void waits_tell(struct lines *ls, const struct line_action *a)
{
    for (struct wait **at = &ls->waits; *at != NULL; at = &(*at)->next) {
        struct wait *w = *at;

        if (strcmp(w->action, a->id) != 0)
            continue;
        *at = w->next;
        w->fn(w->arg, str_of(a->id), a->state, str_of(a->error));
        mem_free(w);
        return;
    }
}

void action_tell(struct lines *ls, struct str call, const struct line_action *a)
{
    struct app *app = ls->app;
    bool over = a->state >= ACTION_DONE;
    struct buf b;

    if (action_save(app->store, str_of(a->id), str_of(line_action_state_name(a->state)), str_of(a->error),
                    over ? clock_wall_ms() : 0, NULL, NULL) < 0)
        log_error(&app->log, "%.*s: the state of an action could not be queued", STR_ARG(call));
    notice_begin(&b, OC_EV_ACTION, call);
    jw_kstrc(&b, "id", a->id);
    jw_kstrc(&b, "action", line_action_name(a->kind));
    jw_kstrc(&b, "state", line_action_state_name(a->state));
    if (a->party[0] != '\0')
        jw_kstrc(&b, "party", a->party);
    if (a->error[0] != '\0')
        jw_kstrc(&b, "error", a->error);
    notice_send(app, &b, OC_EV_ACTION, call);
    if (over)
        waits_tell(ls, a);
}

void action_close(struct lines *ls, struct str call, struct line_action *a, const char *why)
{
    char hop[240];

    a->state = a->kind == ACT_HANGUP ? ACTION_DONE : ACTION_FAILED;
    if (a->state == ACTION_FAILED)
        (void)str_copy(a->error, sizeof a->error, str_of(why));
    (void)snprintf(hop, sizeof hop, "%s %s%s%s", line_action_name(a->kind), line_action_state_name(a->state),
                   a->error[0] != '\0' ? ": " : "", a->error);
    (void)journal_hop(ls->app->store, call, clock_wall_ms(), STR("action"), str_of(hop));
    action_tell(ls, call, a);
}

static void do_action(struct trunk *t, const struct line_action *a)
{
    struct app *app = t->owner->app;

    action_tell(t->owner, str_of(t->call), a);
    if (a->state != ACTION_DONE)
        return;
    if (a->kind == ACT_COLLECT && a->secret)
        calls_keys(app->calls, str_of(t->call), str_of(a->text));
}

/* ---- Words ---- */

static void do_notify(struct trunk *t, const char *name)
{
    struct buf b;

    notice_begin(&b, name, str_of(t->call));
    jw_kstrc(&b, "direction", t->m.set.outbound ? "outbound" : "inbound");
    jw_kstrc(&b, t->m.set.outbound ? "to" : "from", t->other);
    jw_kstrc(&b, "status", line_phase_name(t->m.phase));
    if (strcmp(name, OC_EV_RECORDING) == 0)
        jw_kstrc(&b, "recording", recording_name(t->m.recording));
    notice_send(t->owner->app, &b, name, str_of(t->call));
}

static void do_model(struct trunk *t, const struct line_fx *fx)
{
    struct calls *cs = t->owner->app->calls;

    if (fx->u.model.what == TELL_OVER)
        calls_line_over(cs, str_of(t->call), t->m.outcome, str_of(t->m.detail));
    else
        calls_line(cs, str_of(t->call), fx->u.model.what, fx->u.model.text);
}

/* ---- Recordings ---- */

/*
 * What is said while somebody wants the recording paused is not kept as words either: from the moment it is asked
 * for until the carrier records again. Not while it pauses by itself, for somebody who joins.
 */
static void tell_unrecorded(struct trunk *t)
{
    const struct line *m = &t->m;
    bool goes = m->recording >= REC_WANTED && m->recording <= REC_PAUSED;
    bool unrecorded = goes && (m->pause_want || (t->unrecorded && m->recording != REC_ON));

    if (unrecorded == t->unrecorded)
        return;
    t->unrecorded = unrecorded;
    calls_unrecorded(t->owner->app->calls, str_of(t->call), unrecorded);
}

/* The line owes nothing any more; of a recording that never came to be something is told, too. */
static void do_over(struct trunk *t, bool saved)
{
    const struct line *m = &t->m;

    t->over = true;
    if (m->recording == REC_ABSENT || m->recording == REC_FAILED)
        fetches_none(t->owner->app->fetches, str_of(t->call), str_of(m->recording_sid), m->recording == REC_FAILED);
    if (!saved)
        do_save(t, m->version);
}

void trunk_effects(struct trunk *t)
{
    struct app *app = t->owner->app;
    const struct line_effects *fx = &t->owner->fx;
    bool saved = false;

    if (fx->overflow)
        log_error(&app->log, "%s: effects of its line were lost", t->call);
    for (unsigned i = 0; i < fx->n; i++) /* its row comes before the line forgets it */
        if (fx->v[i].kind == LINE_FX_FETCH)
            fetches_begin(app->fetches, str_of(t->call), fx->v[i].u.text);
    /* A line that owes nothing more says how it ended before its call's row says that it is over: who comes in between
     * reads it there (calls_lines_read()); the other way round nobody would know any more. */
    for (unsigned i = 0; i < fx->n && !saved && t->m.over_told; i++) {
        saved = fx->v[i].kind == LINE_FX_MODEL && fx->v[i].u.model.what == TELL_OVER;
        if (saved)
            do_save(t, t->m.version);
    }
    tell_unrecorded(t);
    for (unsigned i = 0; i < fx->n; i++) {
        const struct line_fx *f = &fx->v[i];

        switch (f->kind) {
        case LINE_FX_SAVE:
            if (!saved)
                do_save(t, f->u.version);
            saved = true;
            break;
        case LINE_FX_SLOT: do_slot(t, f); break;
        case LINE_FX_COMMAND: do_command(t, f); break;
        case LINE_FX_ACTION: do_action(t, f->u.action); break;
        case LINE_FX_MODEL: do_model(t, f); break;
        case LINE_FX_NOTIFY: do_notify(t, f->u.notify.name); break;
        case LINE_FX_HOP:
            (void)journal_hop(app->store, str_of(t->call), clock_wall_ms(), str_of(f->u.hop.name), f->u.hop.detail);
            break;
        case LINE_FX_NOTICE: calls_notice(app->calls, str_of(t->call)); break; /* all who are there hear it */
        case LINE_FX_FETCH: break; /* begun above */
        case LINE_FX_OVER: do_over(t, saved); break;
        }
    }
}
