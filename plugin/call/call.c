/* SPDX-License-Identifier: MIT */
/* The life cycle of a call; the states and their edges stand at the top of call.h. */
#include "plugin/call/call.h"

#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"

#include <stdio.h>
#include <string.h>

#define ACCEPT_MS 20000u
#define REFUSE_MS 15000u
#define HANGUP_MS 15000u
#define ATTACH_TRY_MS 20000u /* until the session speaks */
#define ATTACH_ALL_MS 40000u /* the hang-up must be out within 45 s */
#define GOODBYE_MS 12000u
#define GREET_SAVE_MS 300u   /* silence is worse than a second greeting after a crash */
#define LINE_ENDS_MS 300000u /* until every leg of a line is gone or given up: it has deadlines of its own */
#define NOT_FOUND_TRIES 3u   /* a sideband that comes too early is answered 404 */
#define FLAP_MS 5000u        /* a sideband that spoke for less is tried again after a pause */
#define EXPIRY_MARGIN_MS 15000u
#define SIP_UNAVAILABLE 503

/* ---- The one writer of the state ---- */

static const unsigned edges[CALL_STATES] = {
    [CALL_NEW] = 1u << CALL_ACCEPTING | 1u << CALL_REFUSING | 1u << CALL_ATTACHING | 1u << CALL_HANGING_UP |
                 1u << CALL_WAITING,
    [CALL_WAITING] = 1u << CALL_ACCEPTING | 1u << CALL_HANGING_UP | 1u << CALL_OVER,
    [CALL_ACCEPTING] = 1u << CALL_ATTACHING | 1u << CALL_REFUSING | 1u << CALL_HANGING_UP | 1u << CALL_OVER |
                       1u << CALL_WAITING | 1u << CALL_ACCEPTING,
    [CALL_REFUSING] = 1u << CALL_OVER,
    [CALL_ATTACHING] = 1u << CALL_LIVE | 1u << CALL_HANGING_UP | 1u << CALL_REFUSING | 1u << CALL_OVER |
                       1u << CALL_WAITING | 1u << CALL_ACCEPTING,
    [CALL_LIVE] = 1u << CALL_ATTACHING | 1u << CALL_GOODBYE | 1u << CALL_HANGING_UP | 1u << CALL_WAITING |
                  1u << CALL_ACCEPTING,
    [CALL_GOODBYE] = 1u << CALL_HANGING_UP,
    [CALL_HANGING_UP] = 1u << CALL_OVER,
    [CALL_OVER] = 0};

void call_enter(struct call *c, enum call_state next, uint64_t deadline_ms)
{
    if ((edges[c->state] & 1u << next) == 0)
        return; /* call_broken() and the table test find a caller that tries */
    c->state = next;
    c->deadline_ms = deadline_ms;
}

void call_set_reason(struct call *c, enum call_reason reason, struct str detail)
{
    if (c->reason != CALL_REASON_NONE)
        return;
    c->reason = reason;
    (void)str_copy(c->detail, sizeof c->detail,
                   str_head(detail, str_utf8_floor(detail, sizeof c->detail - 1)));
}

/* ---- Ends ---- */

void call_over(struct call *c, enum call_reason reason, struct str detail, struct call_now now,
               struct call_effects *fx)
{
    if (c->referred && (reason == CALL_REASON_CALLER_HUNG_UP || reason == CALL_REASON_ENDED_WHILE_DOWN)) {
        reason = CALL_REASON_TRANSFERRED;
        detail = STR("handed over; the provider does not say whether it was taken");
    }
    call_set_reason(c, reason, detail);
    tools_cancel(c, now, fx);
    c->ended_wall_ms = now.wall_ms;
    /* The provider closes the sideband when the caller hangs up: that was the end. */
    if (c->state == CALL_ATTACHING && c->was_live && c->lost_wall_ms != 0)
        c->ended_wall_ms = c->lost_wall_ms;
    call_enter(c, CALL_OVER, 0);
    c->sideband_open = c->leg = false;
    keys_wipe(c);
    (void)fx_add(fx, CALL_FX_DETACH);
    fx_hop(fx, "over", fx_text(fx, "%s%s%s", call_reason_name(c->reason), c->detail[0] ? ": " : "",
                               c->detail));
    fx_save(fx, CALL_SAVE_REASON | CALL_SAVE_USAGE | CALL_SAVE_ENDED, "over", 0);
    (void)fx_notify(fx, CALL_NOTICE_ENDED);
    (void)fx_add(fx, CALL_FX_OVER);
}

void call_hang_up(struct call *c, enum call_reason reason, struct str detail, struct call_now now,
                  struct call_effects *fx)
{
    if (c->state == CALL_HANGING_UP || c->state == CALL_OVER || c->state == CALL_REFUSING)
        return;
    call_set_reason(c, reason, detail);
    tools_cancel(c, now, fx);
    c->floor.want = 0;
    c->try_at_ms = 0;
    fx_save(fx, CALL_SAVE_REASON, "leaving", 0);
    fx_hop(fx, "hangup_sent", str_of(call_reason_name(c->reason)));
    if (c->set.line && !c->line_over) {
        call_enter(c, CALL_HANGING_UP, now.mono_ms + LINE_ENDS_MS);
        call_end_line(c, now, fx);
    } else {
        call_enter(c, CALL_HANGING_UP, now.mono_ms + HANGUP_MS);
        (void)fx_add(fx, CALL_FX_HANGUP);
    }
}

void call_say_goodbye(struct call *c, enum call_reason reason, struct str detail, uint64_t spoken_id,
                      struct call_now now, struct call_effects *fx)
{
    if (c->state != CALL_LIVE)
        return;
    if (c->held) { /* nobody would hear it */
        call_hang_up(c, reason, detail, now, fx);
        return;
    }
    call_set_reason(c, reason, detail);
    tools_cancel(c, now, fx);
    call_enter(c, CALL_GOODBYE, now.mono_ms + GOODBYE_MS);
    c->floor.want = 0;
    c->floor.retry_at = 0;
    c->floor.goodbye_id = spoken_id;
    if (spoken_id == 0)
        floor_want(c, WANT_GOODBYE);
    fx_save(fx, CALL_SAVE_REASON, "leaving", 0);
    fx_hop(fx, "goodbye", str_of(call_reason_name(c->reason)));
    if (spoken_id != 0 && c->floor.stopped_id == spoken_id)
        call_drained(c, now, fx);
}

void call_drained(struct call *c, struct call_now now, struct call_effects *fx)
{
    fx_hop(fx, "goodbye_heard", STR(""));
    call_hang_up(c, c->reason, STR(""), now, fx);
}

static void refuse(struct call *c, enum call_reason reason, int sip_status, struct str detail,
                   struct call_now now, struct call_effects *fx)
{
    struct call_fx *f;

    if (c->set.line && c->state != CALL_NEW) { /* it tries once more, or says sorry */
        call_lose_leg(c, detail, now, fx);
        return;
    }
    call_set_reason(c, reason, detail);
    c->sip_status = sip_status;
    call_enter(c, CALL_REFUSING, now.mono_ms + REFUSE_MS);
    fx_save(fx, CALL_SAVE_REASON, "refusing", 0);
    fx_hop(fx, "reject_sent", fx_text(fx, "SIP %d: %s", sip_status, c->detail));
    f = fx_add(fx, CALL_FX_REJECT);
    f->u.sip_status = sip_status;
}

/* ---- Attaching ---- */

static void pause_try(struct call *c, struct call_now now)
{
    uint64_t pause = 100u << (c->tries < 6 ? c->tries : 6);

    c->try_at_ms = now.mono_ms + (pause < 5000 ? pause : 5000);
}

static void start_try(struct call *c, struct call_now now, struct call_effects *fx)
{
    c->try_at_ms = 0;
    c->try_until_ms = now.mono_ms + ATTACH_TRY_MS;
    c->tries++;
    (void)fx_add(fx, CALL_FX_ATTACH);
}

static void attach(struct call *c, struct call_now now, struct call_effects *fx)
{
    call_enter(c, CALL_ATTACHING, now.mono_ms + ATTACH_ALL_MS);
    c->tries = 0;
    c->not_found = 0;
    start_try(c, now, fx);
}

static void give_up(struct call *c, struct str detail, struct call_now now, struct call_effects *fx)
{
    if (c->set.line)
        call_lose_leg(c, detail, now, fx);
    else
        call_hang_up(c, c->was_live ? CALL_REASON_CONTROL_LOST : CALL_REASON_ATTACH_FAILED, detail, now, fx);
}

/* 404: there is no such call (any more), or not yet. */
static void on_no_such_call(struct call *c, struct str detail, struct call_now now,
                            struct call_effects *fx)
{
    c->not_found++;
    if (c->set.line && (c->restored || c->was_live || c->not_found >= NOT_FOUND_TRIES)) {
        call_lose_leg(c, detail, now, fx);
    } else if (c->was_live && !c->restored) {
        call_over(c, CALL_REASON_CALLER_HUNG_UP, STR(""), now, fx);
    } else if (c->restored && !c->uncertain_accept) {
        call_over(c, CALL_REASON_ENDED_WHILE_DOWN, STR("the caller hung up while we were away"), now, fx);
    } else if (c->not_found < NOT_FOUND_TRIES) {
        c->try_at_ms = now.mono_ms + 300u * c->not_found;
    } else if (c->uncertain_accept) {
        refuse(c, CALL_REASON_ACCEPT_FAILED, SIP_UNAVAILABLE, detail, now, fx);
    } else {
        call_over(c, CALL_REASON_CALLER_GONE, STR("the call ended before its control channel opened"), now,
             fx);
    }
}

static bool may_try_again(int http_status)
{
    switch (http_status) {
    case 0:
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504: return true;
    default: return false;
    }
}

static void on_try_failed(struct call *c, int http_status, struct str detail, struct call_now now,
                          struct call_effects *fx)
{
    if (http_status == 404) {
        on_no_such_call(c, detail, now, fx);
    } else if (!may_try_again(http_status)) {
        give_up(c, detail, now, fx);
    } else {
        pause_try(c, now);
    }
}

static void on_lost(struct call *c, const struct call_event *ev, struct call_now now,
                    struct call_effects *fx)
{
    struct str detail = ev->u.lost.detail;

    c->sideband_open = false;
    if (c->state != CALL_HANGING_UP) /* there it is what we asked for */
        fx_hop(fx, "sideband_lost", str_head(detail, 150));
    switch (c->state) {
    case CALL_ATTACHING:
        if (c->try_at_ms == 0) /* else the try was given up before */
            on_try_failed(c, ev->u.lost.http_status, detail, now, fx);
        break;
    case CALL_LIVE:
        c->lost_wall_ms = now.wall_ms;
        c->restored = false;
        if (now.mono_ms < c->spoke_at_ms + FLAP_MS) {
            call_enter(c, CALL_ATTACHING, now.mono_ms + ATTACH_ALL_MS);
            c->not_found = 0;
            pause_try(c, now);
        } else {
            attach(c, now, fx);
        }
        break;
    case CALL_GOODBYE:
        /* The caller did not wait for the end of it, or the line broke: a hang-up is right for both. */
        call_hang_up(c, c->reason, STR(""), now, fx);
        break;
    default: break;
    }
}

/* The end of the call's time: ours, or the provider's if that comes first. */
static void set_limits(struct call *c, const struct call_event *ev, struct call_now now)
{
    uint64_t left;

    if (c->max_at_ms == 0 && c->set.max_duration_ms > 0)
        c->max_at_ms = c->live_since_ms + c->set.max_duration_ms;
    if (ev->u.session.expires_at_ms > now.wall_ms + EXPIRY_MARGIN_MS) {
        uint64_t at = now.mono_ms + (ev->u.session.expires_at_ms - now.wall_ms) - EXPIRY_MARGIN_MS;

        if (c->max_at_ms == 0 || at < c->max_at_ms) {
            c->max_at_ms = at;
            c->expires_first = true;
        }
    }
    if (c->max_at_ms == 0 || c->warn_at_ms != 0)
        return;
    left = c->max_at_ms > now.mono_ms ? c->max_at_ms - now.mono_ms : 0;
    c->warn_at_ms = c->max_at_ms - (left / 4 < 60000 ? left / 4 : 60000);
}

static void note_accepted(struct call *c, struct call_effects *fx)
{
    c->accepted = true;
    fx_hop(fx, "accepted", STR(""));
    fx_save(fx, c->leg_again ? 0 : CALL_SAVE_ACCEPTED, "accepted", 0);
    if (!c->leg_again)
        (void)fx_notify(fx, CALL_NOTICE_ACCEPTED);
}

static void on_session(struct call *c, const struct call_event *ev, struct call_now now,
                       struct call_effects *fx)
{
    bool again = c->was_live;
    struct call_fx *f;

    if (c->state != CALL_ATTACHING || c->try_at_ms != 0)
        return; /* duplicates; a session that speaks after we gave up */
    call_enter(c, CALL_LIVE, 0);
    c->sideband_open = true;
    c->was_live = true;
    c->spoke_at_ms = now.mono_ms;
    if (c->live_since_ms == 0)
        c->live_since_ms = now.mono_ms;
    set_limits(c, ev, now);
    floor_open(c, now);
    if (!c->accepted) /* the accept's answer was lost or said no: the session says that it got through */
        note_accepted(c, fx);
    fx_hop(fx, again ? "reattached" : "sideband_open", STR(""));
    if (c->set.line)
        call_line_live(c, now, fx);
    if (!c->greeted) {
        /* Durable first, so that no later instance greets again. */
        c->greeted = true;
        c->floor.greet_at = now.mono_ms + GREET_SAVE_MS;
        fx_save(fx, CALL_SAVE_LIVE, "live", CALL_TICKET_GREET);
    }
    tools_open(c, now, fx);
    c->gap = again;
    if (again)
        speech_ask_missing(c, fx);
    f = fx_notify(fx, CALL_NOTICE_LIVE);
    f->u.notify.flag = again;
    if (c->reason != CALL_REASON_NONE && !c->set.line)
        call_hang_up(c, c->reason, STR(""), now, fx);
}

/* ---- Accept, reject, hang-up ---- */

/* It may have been ended while the accept was in flight. */
static void attach_unless_ended(struct call *c, struct call_now now, struct call_effects *fx)
{
    if (c->reason != CALL_REASON_NONE && !c->set.line) /* with a line it is hung up at once */
        call_hang_up(c, c->reason, STR(""), now, fx);
    else
        attach(c, now, fx);
}

static void on_accepted(struct call *c, const struct call_event *ev, struct call_now now,
                        struct call_effects *fx)
{
    const struct call_rest_result *r = &ev->u.rest;

    if (c->state != CALL_ACCEPTING)
        return;
    if (r->status >= 200 && r->status < 300) {
        note_accepted(c, fx);
        c->restored = false;
        attach_unless_ended(c, now, fx);
        return;
    }
    fx_hop(fx, "accept_failed", str_head(r->detail, 150));
    if (c->second_accept && r->status >= 400 && r->status < 500) {
        /* An earlier instance's accept may have got through: the sideband knows. */
        attach_unless_ended(c, now, fx);
    } else if (r->status >= 500 || r->maybe_sent) {
        c->uncertain_accept = true;
        attach_unless_ended(c, now, fx);
    } else if (c->set.line) {
        call_lose_leg(c, r->detail, now, fx);
    } else if (r->status == 404) {
        call_over(c, CALL_REASON_CALLER_GONE, r->detail, now, fx);
    } else if (r->status == 401 || r->status == 403) {
        call_over(c, CALL_REASON_ACCEPT_FAILED, r->detail, now, fx);
    } else {
        refuse(c, CALL_REASON_ACCEPT_FAILED, SIP_UNAVAILABLE, r->detail, now, fx);
    }
}

static void on_rejected(struct call *c, const struct call_event *ev, struct call_now now,
                        struct call_effects *fx)
{
    if (c->state != CALL_REFUSING)
        return;
    if (ev->u.rest.status < 200 || ev->u.rest.status >= 300)
        fx_hop(fx, "reject_failed", str_head(ev->u.rest.detail, 150));
    call_over(c, c->reason, STR(""), now, fx);
}

static void on_hung_up(struct call *c, const struct call_event *ev, struct call_now now,
                       struct call_effects *fx)
{
    if (c->state != CALL_HANGING_UP)
        return;
    if (ev->u.rest.status != 404 && (ev->u.rest.status < 200 || ev->u.rest.status >= 300))
        fx_hop(fx, "hangup_failed", str_head(ev->u.rest.detail, 150));
    call_over(c, c->reason, STR(""), now, fx);
}

static void on_end(struct call *c, const struct call_event *ev, struct call_now now,
                   struct call_effects *fx)
{
    enum call_reason reason = call_reason_of(str_of(ev->u.end.reason));

    if (reason == CALL_REASON_NONE)
        reason = CALL_REASON_OPERATOR;
    if (c->state == CALL_ACCEPTING && !c->set.line)
        call_set_reason(c, reason, ev->u.end.detail); /* hung up as soon as it speaks */
    else if (c->state == CALL_LIVE && reason == CALL_REASON_SHUTDOWN)
        call_say_goodbye(c, reason, ev->u.end.detail, 0, now, fx);
    else
        call_hang_up(c, reason, ev->u.end.detail, now, fx);
}

/* ---- Time ---- */

static void on_deadline(struct call *c, struct call_now now, struct call_effects *fx)
{
    struct call_event ev = {.kind = CALL_EV_ACCEPTED};

    switch (c->state) {
    case CALL_ACCEPTING:
        ev.u.rest.maybe_sent = true;
        ev.u.rest.detail = STR("no answer to the accept");
        on_accepted(c, &ev, now, fx);
        break;
    case CALL_ATTACHING:
        (void)fx_add(fx, CALL_FX_DETACH);
        give_up(c, STR("the control channel did not open in time"), now, fx);
        break;
    case CALL_GOODBYE: call_hang_up(c, c->reason, STR(""), now, fx); break;
    case CALL_WAITING: call_waited_long(c, now, fx); break;
    case CALL_REFUSING:
    case CALL_HANGING_UP:
        fx_hop(fx, "no_answer", STR("the provider did not answer"));
        call_over(c, c->reason, STR(""), now, fx);
        break;
    default: break;
    }
}

static void on_timer(struct call *c, struct call_now now, struct call_effects *fx)
{
    if (due(c->deadline_ms, now)) {
        on_deadline(c, now, fx);
        return;
    }
    if (c->state == CALL_HANGING_UP && due(c->try_at_ms, now))
        call_end_line(c, now, fx);
    if (c->state != CALL_ATTACHING)
        return;
    if (due(c->try_at_ms, now)) {
        start_try(c, now, fx);
    } else if (c->try_at_ms == 0 && due(c->try_until_ms, now)) {
        (void)fx_add(fx, CALL_FX_DETACH);
        fx_hop(fx, "sideband_lost", STR("no session.created in 20 s"));
        on_try_failed(c, 0, STR("no session.created in 20 s"), now, fx);
    }
}

uint64_t call_deadline_ms(const struct call *c)
{
    uint64_t at = c->deadline_ms;

    if (c->state == CALL_ATTACHING)
        at = sooner(at, c->try_at_ms != 0 ? c->try_at_ms : c->try_until_ms);
    else if (c->state == CALL_HANGING_UP)
        at = sooner(at, c->try_at_ms);
    at = sooner(at, c->state != CALL_OVER ? keys_deadline(c) : 0);
    at = sooner(at, floor_deadline(c));
    return sooner(at, c->state == CALL_LIVE ? tools_deadline(c) : 0);
}

/* ---- Beginning, restoring, stepping ---- */

void call_init(struct call *c, const struct call_settings *set)
{
    *c = (struct call){.set = *set};
    cost_budget_none(&c->budget);
    transcript_init(&c->transcript);
}

void call_free(struct call *c)
{
    tools_free(c);
    keys_wipe(c);
    mem_free(c->voicemail_words);
    c->voicemail_words = NULL;
    transcript_free(&c->transcript);
}

void call_begin_step(struct call *c, struct call_effects *fx)
{
    tools_reap(c);
    keys_spent(c);
    fx->n = fx->n_scratch = 0;
    fx->rows.n = 0;
    fx->overflow = false;
}

void call_accept(struct call *c, struct str how, struct call_now now, struct call_effects *fx)
{
    call_enter(c, CALL_ACCEPTING, now.mono_ms + ACCEPT_MS);
    (void)fx_add(fx, CALL_FX_ACCEPT);
    fx_hop(fx, "accept_sent", how);
}

void call_begin(struct call *c, struct call_now now, struct call_effects *fx)
{
    call_begin_step(c, fx);
    c->begun_ms = now.mono_ms;
    call_accept(c, STR(""), now, fx);
}

void call_begin_refusal(struct call *c, enum call_reason reason, int sip_status, struct str detail,
                        struct call_now now, struct call_effects *fx)
{
    call_begin_step(c, fx);
    c->begun_ms = now.mono_ms;
    refuse(c, reason, sip_status, detail, now, fx);
}

static void restore_clock(struct call *c, const struct call_restored *r, struct call_now now)
{
    uint64_t max = c->set.max_duration_ms;

    if (r->live_age_ms == 0)
        return;
    c->live_since_ms = now.mono_ms > r->live_age_ms ? now.mono_ms - r->live_age_ms : 1;
    /* The clock may have begun anew since: what is left counts from now. */
    if (max > 0)
        c->max_at_ms = now.mono_ms + (max > r->live_age_ms ? max - r->live_age_ms : 0);
}

void call_restore(struct call *c, const struct call_restored *r, struct call_now now,
                  struct call_effects *fx)
{
    enum call_reason reason = call_reason_of(r->reason);

    call_begin_step(c, fx);
    c->restored = true;
    c->begun_ms = now.mono_ms > r->age_ms ? now.mono_ms - r->age_ms : 1;
    c->turns = r->turns;
    cost_restore(c, r);
    fx_hop(fx, "restored", r->state);
    restore_clock(c, r, now);
    if (c->set.line)
        call_restore_line(c, r);
    if (str_eqc(r->state, "refusing")) {
        if (reason == CALL_REASON_NONE)
            reason = CALL_REASON_REFUSED_POLICY;
        refuse(c, reason, r->sip_status ? r->sip_status : 603, r->detail, now, fx);
        return;
    }
    if (str_eqc(r->state, "leaving")) {
        if (reason == CALL_REASON_NONE)
            reason = CALL_REASON_ENDED_WHILE_DOWN;
        call_hang_up(c, reason, r->detail, now, fx);
        return;
    }
    if (c->set.line && str_eqc(r->state, "waiting")) {
        tools_restore(c, r, now);
        call_wait(c, now);
        return;
    }
    if (str_eqc(r->state, "claimed")) {
        tools_restore(c, r, now); /* none, but for a leg that came back */
        if (c->greeted)
            tools_new_leg(c, now, fx);
        c->second_accept = true;
        call_accept(c, STR("again, after a restart"), now, fx);
        return;
    }
    c->accepted = true;
    if (!c->set.line)
        c->greeted = c->was_live = str_eqc(r->state, "live");
    tools_restore(c, r, now);
    if (c->greeted && !r->spoke)
        c->floor.response_asked = true; /* perhaps; floor_open() turns that into a look at the quiet */
    attach(c, now, fx);
}

static void on_saved(struct call *c, uint32_t ticket, struct call_now now)
{
    if (ticket == CALL_TICKET_VOICEMAIL)
        call_voicemail_saved(c);
    if (ticket != CALL_TICKET_GREET || c->floor.greet_at == 0)
        return;
    c->greet_saved = true;
    if (!c->set.context_late)
        c->floor.greet_at = now.mono_ms;
}

void call_tell(struct call *c, struct str id, struct str part, struct str text, struct call_effects *fx)
{
    struct call_fx *f;

    if (!c->sideband_open || text.n == 0)
        return;
    f = fx_send(fx, CALL_SEND_NEWS);
    id_derive(&f->u.send.item_id, "told_", id, part);
    f->u.send.text = text;
}

/* The shell feeds it when the sideband is open; the greeting need not wait any more. */
static void on_context(struct call *c, const struct call_event *ev, struct call_now now,
                       struct call_effects *fx)
{
    c->set.context_late = false;
    call_tell(c, STR("context"), ev->u.text, ev->u.text, fx); /* a later one, when a level rose, is another item */
    if (c->greet_saved && c->floor.greet_at != 0)
        c->floor.greet_at = now.mono_ms;
}

static void on_tell(struct call *c, const struct call_event *ev, struct call_effects *fx)
{
    if (c->state != CALL_LIVE || !c->sideband_open)
        return;
    call_tell(c, ev->u.tell.id, STR(""), ev->u.tell.text, fx);
    if (ev->u.tell.speak)
        floor_want(c, WANT_NEWS);
}

void call_step(struct call *c, const struct call_event *ev, struct call_now now,
               struct call_effects *fx)
{
    call_begin_step(c, fx);
    if (c->state == CALL_OVER || c->state == CALL_NEW)
        return;
    switch (ev->kind) {
    case CALL_EV_NONE:
    case CALL_EV_COUNT: break;
    case CALL_EV_CONTEXT: on_context(c, ev, now, fx); break;
    case CALL_EV_TELL: on_tell(c, ev, fx); break;
    case CALL_EV_BUDGET: c->budget = ev->u.budget; break;
    case CALL_EV_ACCEPTED: on_accepted(c, ev, now, fx); break;
    case CALL_EV_REJECTED: on_rejected(c, ev, now, fx); break;
    case CALL_EV_HUNG_UP: on_hung_up(c, ev, now, fx); break;
    case CALL_EV_SIDEBAND_LOST: on_lost(c, ev, now, fx); break;
    case CALL_EV_TIMER: on_timer(c, now, fx); break;
    case CALL_EV_SAVED: on_saved(c, ev->u.ticket, now); break;
    case CALL_EV_END: on_end(c, ev, now, fx); break;
    case CALL_EV_LEG:
    case CALL_EV_PARK:
    case CALL_EV_HOLD:
    case CALL_EV_RESUME:
    case CALL_EV_NOTICE:
    case CALL_EV_UNRECORDED:
    case CALL_EV_VOICEMAIL:
    case CALL_EV_LINE_OVER: call_on_line(c, ev, now, fx); break;
    case CALL_EV_REFERRED: c->referred = ev->u.flag; break;
    case CALL_EV_LEAVE: (void)fx_add(fx, CALL_FX_DETACH); return;
    case CALL_EV_TOOL_ACTING: tools_on_acting(c, ev->u.tool.call_id, now, fx); break;
    case CALL_EV_TOOL_DONE: tools_on_result(c, &ev->u.tool, now, fx); break;
    case CALL_EV_SESSION: on_session(c, ev, now, fx); break;
    case CALL_EV_SPEECH_STARTED:
    case CALL_EV_SPEECH_STOPPED:
    case CALL_EV_COMMITTED:
    case CALL_EV_ITEM_ADDED:
    case CALL_EV_ITEM_FOUND:
    case CALL_EV_CALLER_TEXT:
    case CALL_EV_CALLER_TEXT_FAILED:
    case CALL_EV_RESPONSE_STARTED:
    case CALL_EV_RESPONSE_DONE:
    case CALL_EV_AUDIO_STARTED:
    case CALL_EV_AUDIO_STOPPED:
    case CALL_EV_AUDIO_CLEARED:
    case CALL_EV_TRUNCATED:
    case CALL_EV_DTMF:
    case CALL_EV_ERROR: speech_event(c, ev, now, fx); break;
    }
    cost_run(c, now, fx);
    keys_run(c, now, fx);
    if (c->state == CALL_LIVE)
        tools_run(c, now, fx);
    floor_run(c, now, fx);
}
