/* SPDX-License-Identifier: MIT */
/*
 * Who speaks. The provider allows one response at a time and starts them by itself after the caller's
 * words; everything we want said waits here until nobody else is about to speak.
 */
#include "plugin/call/call_int.h"

#include <stdio.h>
#include <string.h>

#define AUTO_RESPONSE_MS 2500u /* from the caller's last word until the provider starts a response */
#define ASK_LOST_MS 5000u      /* a response.create without any answer */
#define RESPONSE_LOST_MS 60000u
#define BUSY_MS 8000u          /* for the end of a response of which we know only that it is there */
#define SPEECH_LOST_MS 30000u
#define AUDIO_UNKNOWN_MS 90000u
#define AUDIO_MARGIN_MS 3000u
#define FIRST_WORDS_MS 8000u
#define RETRY_MS 400u
#define FAILURES_MAX 3u

static const char filler_words[] =
    "You are on a telephone call and the caller is waiting for a result that is still being worked "
    "on. In the language of the conversation, say one short and friendly sentence that you are still "
    "working on it and that it takes a moment longer. Do not answer the request, do not guess a "
    "result, do not repeat a sentence you said before, and ask nothing.";
static const char warning_words[] =
    "In the language of the conversation, tell the caller in one short sentence that this call must "
    "end soon because its time is nearly up, then let the caller go on.";
static const char cost_words[] =
    "In the language of the conversation, tell the caller in one short sentence that this call must "
    "end soon because what may be spent on it is nearly used up, then let the caller go on.";
static const char goodbye_silence[] =
    "Nobody has spoken for a while. In the language of the conversation, say in one short sentence "
    "that you hear nobody and end the call now, and say goodbye.";
static const char goodbye_time[] =
    "The time of this call is up. In the language of the conversation, say so in one short sentence "
    "and say goodbye.";
static const char goodbye_cost[] =
    "What may be spent on this call is used up. In the language of the conversation, say in one short "
    "sentence that the call has to end now, and say goodbye.";
static const char goodbye_plain[] =
    "The call ends now. In the language of the conversation, say goodbye in one short sentence.";

uint64_t floor_hash(struct str response_id)
{
    uint64_t h = id_hash(response_id, 0);

    return h ? h : 1;
}

void floor_want(struct call *c, unsigned want)
{
    if (c->state != CALL_GOODBYE || (want & WANT_GOODBYE) != 0)
        c->floor.want |= want;
}

bool floor_seen_done(struct call *c, struct str response_id)
{
    struct floor *f = &c->floor;
    const unsigned slots = sizeof f->done_ids / sizeof f->done_ids[0];
    uint64_t h = floor_hash(response_id);

    if (response_id.n == 0)
        return false;
    for (unsigned i = 0; i < slots; i++)
        if (f->done_ids[i] == h)
            return true;
    f->done_ids[f->next_done++ % slots] = h;
    return false;
}

void floor_open(struct call *c, struct call_now now)
{
    struct floor *f = &c->floor;

    /* What was asked for when the line was lost may or may not be spoken: see whether it stays quiet. */
    if (f->response_asked || f->response_active)
        f->guard_at = now.mono_ms + c->set.filler_after_ms;
    f->response_active = f->response_asked = false;
    f->asked_for = f->lost_for = 0;
    f->caller_speaking = f->audio_playing = false;
    f->auto_until = 0;
    f->quiet_since = now.mono_ms;
}

void floor_close(struct call *c)
{
    struct floor *f = &c->floor;

    f->want = f->asked_for = f->lost_for = 0;
    f->response_active = f->response_asked = f->caller_speaking = f->audio_playing = false;
    f->auto_until = f->greet_at = f->retry_at = f->guard_at = f->heard_check_at = 0;
    f->notice_id = f->voicemail_id = 0;
    f->failures = 0;
}

void floor_cut(struct call *c, struct call_effects *fx)
{
    struct floor *f = &c->floor;

    f->want = 0;
    f->greet_at = f->retry_at = f->guard_at = f->heard_check_at = 0;
    if (!c->sideband_open)
        return;
    if (f->response_active || f->response_asked)
        (void)fx_send(fx, CALL_SEND_CANCEL);
    if (f->audio_playing)
        (void)fx_send(fx, CALL_SEND_CLEAR);
}

static void fell_quiet(struct call *c, struct call_now now)
{
    c->floor.quiet_since = now.mono_ms;
}

/* Nobody speaks and no words of ours are on their way, as far as events tell. */
static bool idle(const struct floor *f)
{
    return !f->response_active && !f->response_asked && !f->caller_speaking;
}

static bool free_to_ask(const struct floor *f, struct call_now now)
{
    return idle(f) && now.mono_ms >= f->auto_until;
}

static bool quiet(const struct floor *f, struct call_now now)
{
    return free_to_ask(f, now) && !f->audio_playing;
}

/* ---- Events ---- */

static void on_response_started(struct call *c, const struct call_event *ev, struct call_now now,
                                struct call_effects *fx)
{
    struct floor *f = &c->floor;
    unsigned mine = f->response_asked ? f->asked_for : 0;

    /* Late, and not once more; unless it is the provider's own. Outputs may have come after it was asked for. */
    if (mine == 0 && f->lost_for != 0 && now.mono_ms >= f->auto_until) {
        mine = f->asked_for = f->lost_for;
        f->want &= ~mine | WANT_TOOL | WANT_NEWS;
    }
    f->lost_for = 0;
    if (mine & WANT_NOTICE)
        f->notice_id = floor_hash(ev->u.response.id);
    if (mine & WANT_VOICEMAIL)
        f->voicemail_id = floor_hash(ev->u.response.id);
    else if (c->voicemail == CALL_VOICEMAIL_SAVING || c->voicemail == CALL_VOICEMAIL_WANTED)
        (void)fx_send(fx, CALL_SEND_CANCEL); /* the provider's own answer to a machine */
    if (mine & WANT_GOODBYE)
        f->goodbye_id = floor_hash(ev->u.response.id);
    else if (c->state == CALL_GOODBYE && c->reason == CALL_REASON_COST_LIMIT)
        (void)fx_send(fx, CALL_SEND_CANCEL); /* the provider's own: the goodbye is all that may still be spent */
    f->response_active = true;
    f->response_asked = false;
    f->active_at = now.mono_ms;
    f->active_until = now.mono_ms + RESPONSE_LOST_MS;
    f->auto_until = 0;
    f->guard_at = 0;
}

/* Of what was asked for before the goodbye nothing is said behind it. */
static void want_again(struct call *c)
{
    c->floor.want |= c->state == CALL_GOODBYE ? c->floor.asked_for & WANT_GOODBYE : c->floor.asked_for;
}

static void want_voicemail_again(struct call *c)
{
    if (c->voicemail != CALL_VOICEMAIL_ASKED)
        return;
    c->voicemail = CALL_VOICEMAIL_WANTED;
    c->floor.want |= WANT_VOICEMAIL;
}

/* A response failed: what it was to say is still owed, but not for ever. */
static void on_failure(struct call *c, struct str detail, struct call_now now, struct call_effects *fx)
{
    struct floor *f = &c->floor;

    f->failures++;
    fx_hop(fx, "response_failed", detail);
    if (f->failures >= FAILURES_MAX) {
        call_hang_up(c, CALL_REASON_MODEL_FAILED, detail, now, fx);
        return;
    }
    if (f->response_asked)
        return; /* it was another one: ours is still on its way */
    if (c->voicemail == CALL_VOICEMAIL_NONE)
        f->want |= f->asked_for ? f->asked_for : WANT_RESUME;
    else if ((f->asked_for & WANT_VOICEMAIL) != 0 && f->voicemail_id == 0)
        want_voicemail_again(c);
    f->retry_at = now.mono_ms + (uint64_t)RETRY_MS * f->failures;
}

static void on_response_done(struct call *c, const struct call_event *ev, struct call_now now,
                             struct call_effects *fx)
{
    struct floor *f = &c->floor;
    bool goodbye = f->goodbye_id != 0 && f->goodbye_id == floor_hash(ev->u.response.id);
    bool speaks = false;

    f->response_active = false;
    f->guard_at = 0;
    /* Not when the words of an earlier response are still being heard: ours come behind them. */
    if (f->audio_playing && ev->u.response.audio_tokens > 0 &&
        f->audio_id == floor_hash(ev->u.response.id))
        f->audio_until = now.mono_ms + ev->u.response.audio_tokens * 50 + AUDIO_MARGIN_MS;
    if (!f->audio_playing)
        fell_quiet(c, now);
    for (unsigned i = 0; i < ev->u.response.n_outputs; i++)
        speaks = speaks || !ev->u.response.outputs[i].is_function;
    if (c->state == CALL_GOODBYE && goodbye && (!speaks || f->stopped_id == f->goodbye_id)) {
        call_drained(c, now, fx);
        return;
    }
    /* Said nothing, or was canceled while its audio waited behind another's: no event of audio will come. */
    if (f->notice_id != 0 && f->notice_id == floor_hash(ev->u.response.id) &&
        (!speaks || (ev->u.response.status == CALL_RESPONSE_CANCELLED &&
                     !(f->audio_playing && f->audio_id == f->notice_id))))
        call_notice_ended(c, false, fx);
    if (f->voicemail_id != 0 && f->voicemail_id == floor_hash(ev->u.response.id)) {
        if (ev->u.response.status == CALL_RESPONSE_FAILED && !speaks && !f->audio_playing)
            f->voicemail_id = 0; /* nothing of it was said: asked for again below */
        else if (!speaks || f->stopped_id == f->voicemail_id)
            call_voicemail_said(c, fx);
    }
    if (c->state == CALL_LIVE && (ev->u.response.status == CALL_RESPONSE_FAILED ||
                                  (ev->u.response.status == CALL_RESPONSE_INCOMPLETE && !speaks))) {
        on_failure(c, ev->u.response.detail, now, fx);
        return;
    }
    f->failures = 0;
    f->asked_for = 0;
}

static void on_audio_started(struct call *c, const struct call_event *ev, struct call_now now,
                             struct call_effects *fx)
{
    struct floor *f = &c->floor;

    f->audio_playing = true;
    f->audio_id = floor_hash(ev->u.response.id);
    f->audio_until = now.mono_ms + AUDIO_UNKNOWN_MS;
    f->guard_at = 0;
    f->heard_check_at = 0;
    if (!f->heard_any)
        fx_hop(fx, "first_audio", fx_text(fx, "%llu ms after the call was received",
                                          (unsigned long long)(now.mono_ms - c->begun_ms)));
    f->heard_any = true;
}

static void on_audio_ended(struct call *c, const struct call_event *ev, struct call_now now,
                           struct call_effects *fx)
{
    struct floor *f = &c->floor;
    struct str id = ev->u.response.id;

    f->audio_playing = false;
    f->guard_at = 0;
    f->stopped_id = id.n > 0 ? floor_hash(id) : f->goodbye_id;
    fell_quiet(c, now);
    if (f->notice_id != 0 && f->stopped_id == f->notice_id)
        call_notice_ended(c, ev->kind == CALL_EV_AUDIO_STOPPED, fx);
    else if (f->notice_id != 0 && ev->kind == CALL_EV_AUDIO_CLEARED && !f->response_active)
        call_notice_ended(c, false, fx); /* what waited behind the audio that was cut off is gone, too */
    /* Cut off or not: it may have been heard. The one that a restart left to itself has no known id. */
    if (c->voicemail == CALL_VOICEMAIL_ASKED &&
        (f->voicemail_id != 0 ? f->stopped_id == f->voicemail_id : !f->response_asked))
        call_voicemail_said(c, fx);
    if (c->state == CALL_GOODBYE && f->goodbye_id != 0 && f->stopped_id == f->goodbye_id)
        call_drained(c, now, fx);
}

static void on_error(struct call *c, const struct call_event *ev, struct call_now now,
                     struct call_effects *fx)
{
    struct floor *f = &c->floor;
    struct str id = ev->u.error.event_id;
    char mine[16];
    bool busy = str_eqc(ev->u.error.code, "conversation_already_has_active_response");

    (void)snprintf(mine, sizeof mine, "rc_%u", f->ask_seq);
    if (!str_eqc(id, mine) && !(busy && f->asked_for != 0 && id.n == 0))
        return;
    f->response_asked = false;
    if (busy) {
        if (f->asked_for & WANT_VOICEMAIL)
            want_voicemail_again(c);
        else
            want_again(c);
        /* What began meanwhile is not what we asked for. */
        if (f->asked_for & WANT_GOODBYE)
            f->goodbye_id = 0;
        f->asked_for = 0;
        if (!f->response_active) {
            f->response_active = true;
            f->active_at = now.mono_ms;
            f->active_until = now.mono_ms + BUSY_MS;
        }
    } else if (c->state == CALL_LIVE) {
        on_failure(c, ev->u.error.message, now, fx);
    } else if (f->asked_for & WANT_GOODBYE) {
        call_hang_up(c, c->reason, STR(""), now, fx);
    }
}

void floor_event(struct call *c, const struct call_event *ev, struct call_now now,
                 struct call_effects *fx)
{
    struct floor *f = &c->floor;

    switch (ev->kind) {
    case CALL_EV_SPEECH_STARTED:
        f->caller_speaking = true;
        f->speaking_at = now.mono_ms;
        f->guard_at = 0;
        break;
    case CALL_EV_SPEECH_STOPPED:
        f->caller_speaking = false;
        f->auto_until = now.mono_ms + AUTO_RESPONSE_MS;
        fell_quiet(c, now);
        break;
    case CALL_EV_RESPONSE_STARTED: on_response_started(c, ev, now, fx); break;
    case CALL_EV_RESPONSE_DONE: on_response_done(c, ev, now, fx); break;
    case CALL_EV_AUDIO_STARTED: on_audio_started(c, ev, now, fx); break;
    case CALL_EV_AUDIO_STOPPED:
    case CALL_EV_AUDIO_CLEARED: on_audio_ended(c, ev, now, fx); break;
    case CALL_EV_ERROR: on_error(c, ev, now, fx); break;
    default: break;
    }
}

/* ---- What is due ---- */

/* The provider did not do what it must: words are missing, unless they were heard all the same. */
static void on_no_response(struct call *c, struct str detail, bool heard, struct call_now now,
                           struct call_effects *fx)
{
    struct floor *f = &c->floor;

    if ((f->asked_for & WANT_VOICEMAIL) != 0)
        call_voicemail_said(c, fx); /* perhaps it was */
    else if (c->state == CALL_LIVE && !heard)
        on_failure(c, detail, now, fx);
    else if (c->state == CALL_GOODBYE && !heard)
        want_again(c);
    if (!f->audio_playing)
        fell_quiet(c, now);
}

/* Events that never come must not block the line for ever. */
static void expire(struct call *c, struct call_now now, struct call_effects *fx)
{
    struct floor *f = &c->floor;

    if (f->caller_speaking && now.mono_ms >= f->speaking_at + SPEECH_LOST_MS) {
        f->caller_speaking = false;
        fell_quiet(c, now);
    }
    if (f->audio_playing && now.mono_ms >= f->audio_until) {
        f->audio_playing = false;
        f->stopped_id = f->audio_id;
        fell_quiet(c, now);
        if (f->notice_id != 0 && f->stopped_id == f->notice_id)
            call_notice_ended(c, false, fx); /* its end was not told */
        if (f->voicemail_id != 0 && f->stopped_id == f->voicemail_id)
            call_voicemail_said(c, fx);
    }
    if (f->response_asked && now.mono_ms >= f->asked_at + ASK_LOST_MS) {
        f->response_asked = false;
        f->lost_for = f->asked_for;
        on_no_response(c, STR("no answer to response.create"), false, now, fx);
    }
    if (f->response_active && now.mono_ms >= f->active_until) {
        bool known = f->active_until == f->active_at + RESPONSE_LOST_MS;

        f->response_active = false;
        on_no_response(c, STR("a response did not end"),
                       !known || f->audio_playing || f->quiet_since > f->active_at, now, fx);
    }
}

/* When the next filler is due if it stays quiet; 0 if no tool keeps the caller waiting. */
static uint64_t filler_due(const struct call *c)
{
    const struct floor *f = &c->floor;
    uint64_t since, at;

    if (c->set.filler_after_ms == 0 || !tools_running(c))
        return 0;
    since = tools_oldest_running(c)->asked_at;
    if (f->quiet_since > since)
        since = f->quiet_since;
    at = since + c->set.filler_after_ms;
    if (f->filler_at != 0 && f->filler_at + c->set.progress_every_ms > at)
        at = f->filler_at + c->set.progress_every_ms;
    return at;
}

static void run_fillers(struct call *c, struct call_now now, struct call_effects *fx)
{
    struct floor *f = &c->floor;
    const struct tool *oldest;

    if (!tools_running(c)) {
        f->filler_at = 0;
        f->want &= ~(unsigned)WANT_FILLER;
        return;
    }
    if (!due(filler_due(c), now) || !quiet(f, now) || f->want != 0)
        return;
    f->filler_at = now.mono_ms;
    f->want |= WANT_FILLER;
    oldest = tools_oldest_running(c);
    fx_notify_tool(fx, oldest, "filler", STR(""), now.mono_ms - oldest->asked_at);
    fx_hop(fx, "filler", fx_text(fx, "still working after %llu ms",
                                 (unsigned long long)(now.mono_ms - oldest->asked_at)));
}

/* When nobody has spoken for too long; 0 while somebody has a reason to wait in silence. */
static uint64_t silence_due(const struct call *c)
{
    const struct floor *f = &c->floor;

    uint64_t owed = tools_owed_until(c);

    if (c->set.silence_ms == 0 || f->guard_at != 0 || owed == UINT64_MAX)
        return 0;
    return later(f->quiet_since + c->set.silence_ms, owed);
}

static void run_limits(struct call *c, struct call_now now, struct call_effects *fx)
{
    struct floor *f = &c->floor;

    if (due(c->voicemail_until, now))
        call_voicemail_said(c, fx);
    if (due(c->max_at_ms, now)) {
        call_say_goodbye(c, c->expires_first ? CALL_REASON_SESSION_EXPIRED : CALL_REASON_MAX_DURATION,
                         STR(""), 0, now, fx);
        return;
    }
    if (c->held)
        return;
    if (!c->warned && due(c->warn_at_ms, now)) {
        c->warned = true;
        f->want |= WANT_WARNING;
    }
    if (due(silence_due(c), now) && f->want == 0 && quiet(f, now))
        call_say_goodbye(c, CALL_REASON_SILENCE,
                         fx_text(fx, "nobody spoke for %llu s",
                                 (unsigned long long)(c->set.silence_ms / 1000)),
                         0, now, fx);
}

static const char *goodbye_words(const struct call *c)
{
    switch (c->reason) {
    case CALL_REASON_SILENCE: return goodbye_silence;
    case CALL_REASON_MAX_DURATION:
    case CALL_REASON_SESSION_EXPIRED: return goodbye_time;
    case CALL_REASON_COST_LIMIT: return goodbye_cost;
    default: return goodbye_plain;
    }
}

/* Outputs that may have to be sent again come before the response to them. */
static unsigned ripe(const struct call *c)
{
    return tools_probing(c) ? c->floor.want & ~(unsigned)WANT_TOOL : c->floor.want;
}

/* Takes the most urgent wish; those that need no words of ours share one response. */
static void ask(struct call *c, struct call_now now, struct call_effects *fx)
{
    struct floor *f = &c->floor;
    const unsigned plain = WANT_GREETING | WANT_TOOL | WANT_NEWS | WANT_RESUME;
    struct str words = STR("");
    struct call_fx *send;
    unsigned serve, want = ripe(c);

    if (want & WANT_GOODBYE) {
        serve = WANT_GOODBYE;
        words = str_of(goodbye_words(c));
    } else if (want & WANT_VOICEMAIL) {
        serve = WANT_VOICEMAIL;
        words = call_voicemail_words(c, fx);
    } else if ((want & WANT_GREETING) && c->set.first.n > 0) {
        serve = WANT_GREETING | (c->set.notice_first ? want & WANT_NOTICE : 0u);
        words = c->set.first;
    } else if (want & WANT_NOTICE) {
        serve = WANT_NOTICE;
        words = c->set.notice;
    } else if (want & plain) {
        serve = want & plain;
    } else if (want & WANT_WARNING) {
        serve = WANT_WARNING;
        words = str_of(warning_words);
    } else if (want & WANT_COST) {
        serve = WANT_COST;
        words = str_of(cost_words);
    } else {
        serve = WANT_FILLER;
        words = str_of(filler_words);
    }
    if (serve & WANT_GREETING) {
        f->heard_check_at = now.mono_ms + FIRST_WORDS_MS;
        fx_hop(fx, "greeting_asked", STR(""));
    }
    if (serve & WANT_VOICEMAIL) {
        c->voicemail = CALL_VOICEMAIL_ASKED;
        f->voicemail_id = 0;
    }
    if (serve & WANT_NOTICE) {
        c->notices++;
        fx_hop(fx, "notice_asked", STR(""));
    }
    f->want &= ~serve;
    f->asked_for = serve;
    f->response_asked = true;
    f->lost_for = 0;
    f->asked_at = now.mono_ms;
    f->guard_at = 0;
    f->ask_seq++;
    send = fx_send(fx, CALL_SEND_RESPONSE);
    (void)snprintf(send->u.send.event_id.text, sizeof send->u.send.event_id.text, "rc_%u",
                   f->ask_seq);
    send->u.send.text = words;
    send->u.send.allow_tools = words.n == 0 && serve != WANT_VOICEMAIL;
}

/* A machine's tone is no turn that the provider will answer. */
static bool may_ask(const struct call *c, struct call_now now)
{
    if (c->held || ripe(c) == 0)
        return false;
    return (c->floor.want & WANT_VOICEMAIL) != 0 ? idle(&c->floor) : free_to_ask(&c->floor, now);
}

void floor_run(struct call *c, struct call_now now, struct call_effects *fx)
{
    struct floor *f = &c->floor;

    if (!c->sideband_open || (c->state != CALL_LIVE && c->state != CALL_GOODBYE))
        return;
    expire(c, now, fx);
    if (c->state == CALL_LIVE) {
        if (due(f->greet_at, now)) {
            f->greet_at = 0;
            if (c->voicemail == CALL_VOICEMAIL_NONE)
                f->want |= WANT_GREETING | (call_notice_owed(c) ? WANT_NOTICE : 0u);
        }
        if (!c->held && due(f->guard_at, now) && quiet(f, now)) {
            f->guard_at = 0;
            if (c->voicemail == CALL_VOICEMAIL_NONE)
                f->want |= WANT_RESUME;
        }
        if (due(f->heard_check_at, now)) {
            f->heard_check_at = 0;
            fx_hop(fx, "no_audio", fx_text(fx, "nothing was heard %u ms after the first words were asked for",
                                           FIRST_WORDS_MS));
        }
        if (!c->held)
            run_fillers(c, now, fx);
        run_limits(c, now, fx);
    }
    if (c->state == CALL_GOODBYE && f->goodbye_id != 0 && f->stopped_id == f->goodbye_id &&
        !f->response_active) {
        call_drained(c, now, fx);
        return;
    }
    if (f->retry_at != 0) {
        if (!due(f->retry_at, now))
            return;
        f->retry_at = 0;
    }
    if (may_ask(c, now))
        ask(c, now, fx);
}

uint64_t floor_deadline(const struct call *c)
{
    const struct floor *f = &c->floor;
    uint64_t at = 0;

    if (!c->sideband_open || (c->state != CALL_LIVE && c->state != CALL_GOODBYE))
        return 0;
    if (f->response_asked)
        at = sooner(at, f->asked_at + ASK_LOST_MS);
    if (f->response_active)
        at = sooner(at, f->active_until);
    if (f->caller_speaking)
        at = sooner(at, f->speaking_at + SPEECH_LOST_MS);
    if (f->audio_playing)
        at = sooner(at, f->audio_until);
    if (!c->held && ripe(c) != 0 && idle(f))
        at = sooner(at, f->retry_at > f->auto_until ? f->retry_at : f->auto_until);
    if (c->state != CALL_LIVE)
        return at;
    at = sooner(at, c->voicemail_until);
    at = sooner(at, f->greet_at);
    at = sooner(at, f->heard_check_at);
    at = sooner(at, c->max_at_ms);
    if (!c->warned && !c->held)
        at = sooner(at, c->warn_at_ms);
    /* These wait for quiet; when it is not, the end of that wakes us. */
    if (f->want == 0 && idle(f) && !f->audio_playing && !c->held) {
        at = sooner(at, later(f->guard_at, f->auto_until));
        at = sooner(at, later(filler_due(c), f->auto_until));
        at = sooner(at, later(silence_due(c), f->auto_until));
    }
    return at;
}
