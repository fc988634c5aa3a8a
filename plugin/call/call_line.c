/* SPDX-License-Identifier: MIT */
/*
 * What the telephone's side does to a call that has a line: its model's leg comes, goes and comes back,
 * the caller is put on hold, a machine answers, the line ends. Words about recording are told here, too.
 */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"

#define BACKSTOP_MS 3600000u              /* behind the maximum duration: the line has deadlines of its own */
#define QUIET_HOURS_MS (24u * 3600000u)   /* how long a line may wait before it dials */
#define DURATION_MS (4u * 3600000u)       /* where no maximum is set */
#define LINE_AGAIN_MS 2000u
#define VOICEMAIL_MS 60000u               /* from the machine's end to the end of our words */
#define VOICEMAIL_REST_MS 20000u          /* for words that were asked for before the sideband was lost */
#define LINE_HANGUP_MS 15000u
#define NOTICES_MAX 2u
#define VOICEMAIL_BYTES 4096u

static const char goes_on[] =
    "The telephone connection between you and the caller was interrupted for a moment and stands again. This is "
    "the same call: do not greet again and do not introduce yourself again. Go on where you were; if the caller "
    "waits for you, say in a few words that you are back.";
static const char back_from_hold[] =
    "The caller was on hold until now, heard music and did not hear you. They are back and listen. If something "
    "came in meanwhile, tell it; else say in a few words that you are back.";
static const char machine_words[] =
    "An answering machine has taken the call and its tone was heard: nobody listens now. Speak one short "
    "message to it: who calls for whom, what it is about, and that they may call back. Ask nothing and wait for "
    "no answer.";

void fx_line(struct call_effects *fx, enum call_line what, struct str text)
{
    struct call_fx *f = fx_add(fx, CALL_FX_LINE);

    f->u.line.what = what;
    f->u.line.text = text;
}

/* ---- Waiting ---- */

void call_wait(struct call *c, struct call_now now)
{
    uint64_t max = c->set.max_duration_ms > 0 ? c->set.max_duration_ms : DURATION_MS;

    call_enter(c, CALL_WAITING,
               c->max_at_ms != 0 && c->live_since_ms != 0 ? later(c->max_at_ms, now.mono_ms + 1)
               : now.mono_ms + max + BACKSTOP_MS + (c->live_since_ms != 0 ? 0 : QUIET_HOURS_MS));
}

void call_begin_waiting(struct call *c, struct call_now now, struct call_effects *fx)
{
    call_begin_step(c, fx);
    c->begun_ms = now.mono_ms;
    c->notice_due = c->set.notice_first && c->set.notice.n > 0;
    call_wait(c, now);
    fx_hop(fx, "waiting", STR("for the model's leg"));
}

void call_waited_long(struct call *c, struct call_now now, struct call_effects *fx)
{
    call_hang_up(c, c->live_since_ms != 0 ? CALL_REASON_MAX_DURATION : CALL_REASON_NOT_CONNECTED,
                 STR("the line did not bring the call back in time"), now, fx);
}

void call_end_line(struct call *c, struct call_now now, struct call_effects *fx)
{
    c->try_at_ms = now.mono_ms + LINE_AGAIN_MS;
    fx_add(fx, CALL_FX_HANGUP)->u.hangup_line = true;
}

static void leave_leg(struct call *c, struct call_now now, struct call_effects *fx)
{
    /* What was on its way to the machine may have been heard. */
    if (c->voicemail == CALL_VOICEMAIL_ASKED)
        call_voicemail_said(c, fx);
    c->leg = c->sideband_open = c->accepted = c->uncertain_accept = c->second_accept = c->restored = false;
    c->try_at_ms = c->try_until_ms = 0;
    c->not_found = 0;
    c->lost_wall_ms = now.wall_ms;
    floor_close(c);
    speech_forget(c);
    keys_wipe(c);
    (void)fx_add(fx, CALL_FX_DETACH);
}

static void to_waiting(struct call *c, struct call_now now, struct call_effects *fx)
{
    leave_leg(c, now, fx);
    call_wait(c, now);
    fx_save(fx, 0, "waiting", 0);
}

void call_lose_leg(struct call *c, struct str detail, struct call_now now, struct call_effects *fx)
{
    if (c->state != CALL_ACCEPTING && c->state != CALL_ATTACHING && c->state != CALL_LIVE)
        return;
    to_waiting(c, now, fx);
    fx_hop(fx, "leg_lost", str_head(detail, 150));
    fx_line(fx, CALL_LINE_MODEL_GONE, detail);
}

static void on_park(struct call *c, struct call_now now, struct call_effects *fx)
{
    if (c->state != CALL_ACCEPTING && c->state != CALL_ATTACHING && c->state != CALL_LIVE)
        return;
    to_waiting(c, now, fx);
    fx_hop(fx, "parked", STR(""));
}

/* ---- A leg ---- */

bool call_takes_leg(const struct call *c)
{
    return c->set.line && !c->line_over &&
           (c->state == CALL_WAITING || c->state == CALL_ACCEPTING || c->state == CALL_ATTACHING ||
            c->state == CALL_LIVE);
}

/* The limit of the session that is gone does not count any more. */
static void forget_expiry(struct call *c)
{
    if (!c->expires_first)
        return;
    c->expires_first = false;
    c->max_at_ms = c->set.max_duration_ms > 0 ? c->live_since_ms + c->set.max_duration_ms : 0;
    if (!c->warned)
        c->warn_at_ms = 0;
}

static void on_leg(struct call *c, struct call_now now, struct call_effects *fx)
{
    if (!call_takes_leg(c))
        return;
    if (c->state != CALL_WAITING)
        leave_leg(c, now, fx);
    fx_hop(fx, "leg_in", STR(""));
    c->leg = true;
    c->leg_again = c->greeted;
    forget_expiry(c);
    tools_new_leg(c, now, fx);
    call_accept(c, STR("for the model's leg"), now, fx);
}

/* A later instance does not know the old conversation's answers, but that there was one. */
void call_restore_line(struct call *c, const struct call_restored *r)
{
    c->leg = !str_eqc(r->state, "waiting");
    c->greeted = c->was_live = r->live_age_ms > 0;
    c->leg_again = c->greeted && (str_eqc(r->state, "claimed") || str_eqc(r->state, "accepted"));
    if (!str_eqc(r->reason, call_reason_name(CALL_REASON_VOICEMAIL)) || str_eqc(r->state, "leaving"))
        return;
    call_set_reason(c, CALL_REASON_VOICEMAIL, STR(""));
    c->voicemail = CALL_VOICEMAIL_ASKED; /* or just about to be */
}

void call_line_live(struct call *c, struct call_now now, struct call_effects *fx)
{
    fx_line(fx, CALL_LINE_MODEL_LIVE, STR(""));
    if (c->greeted)
        fx_save(fx, 0, "live", 0);
    if (c->leg_again) {
        call_tell(c, STR("goes_on"), STR(""), str_of(goes_on), fx);
        if (c->voicemail == CALL_VOICEMAIL_NONE)
            floor_want(c, WANT_RESUME);
        c->leg_again = false;
    }
    if (c->greeted && call_notice_owed(c))
        floor_want(c, WANT_NOTICE);
    if (c->voicemail == CALL_VOICEMAIL_ASKED) /* its end may have been missed */
        c->voicemail_until = sooner(c->voicemail_until, now.mono_ms + VOICEMAIL_REST_MS);
    else if (c->voicemail == CALL_VOICEMAIL_WANTED)
        floor_want(c, WANT_VOICEMAIL);
}

/* ---- Hold ---- */

static void on_hold(struct call *c, struct call_effects *fx)
{
    if (c->held)
        return;
    c->held = true;
    fx_hop(fx, "held", STR(""));
}

static void on_resume(struct call *c, struct call_now now, struct call_effects *fx)
{
    if (!c->held)
        return;
    c->held = false;
    c->resumes++;
    fx_hop(fx, "resumed", STR(""));
    c->floor.quiet_since = now.mono_ms;
    if (c->state != CALL_LIVE)
        return;
    call_tell(c, STR("resumed"), fx_text(fx, "%llu", (unsigned long long)now.wall_ms), str_of(back_from_hold), fx);
    tools_resume(c, now, fx);
    if (c->floor.want == 0 && c->floor.greet_at == 0 && !tools_running(c))
        c->floor.guard_at = now.mono_ms + c->set.filler_after_ms;
}

/* ---- Words about recording ---- */

bool call_notice_owed(const struct call *c)
{
    return c->notice_due && !c->notice_heard && c->notices < NOTICES_MAX && c->voicemail == CALL_VOICEMAIL_NONE;
}

/* Due at the beginning, or asked for by the line: for a newcomer, or since recording begins later. */
static void on_notice(struct call *c)
{
    if (c->set.notice.n == 0 || call_notice_owed(c))
        return;
    c->notice_due = true;
    c->notice_heard = false;
    c->notices = 0;
    if (c->state == CALL_LIVE && c->floor.greet_at == 0 && call_notice_owed(c))
        floor_want(c, WANT_NOTICE);
}

void call_notice_ended(struct call *c, bool heard, struct call_effects *fx)
{
    c->floor.notice_id = 0;
    if (c->notice_heard)
        return;
    if (heard) {
        c->notice_heard = true;
        fx_hop(fx, "notice_heard", STR(""));
        fx_line(fx, CALL_LINE_NOTICE_HEARD, STR(""));
    } else if (call_notice_owed(c)) {
        floor_want(c, WANT_NOTICE);
    } else {
        fx_hop(fx, "notice_not_heard", STR("nothing is recorded"));
    }
}

/* ---- Words for an answering machine ---- */

static char *quoted(struct str text)
{
    struct buf b;
    char *words = NULL;

    buf_init(&b, VOICEMAIL_BYTES + 256);
    (void)buf_puts(&b, STR("An answering machine records now. Say exactly the following words, in their language, "
                           "nothing before and nothing after them: \""));
    (void)buf_puts(&b, str_head(text, str_utf8_floor(text, VOICEMAIL_BYTES)));
    (void)buf_putc(&b, '"');
    if (buf_cstr(&b) != NULL)
        words = buf_steal(&b, NULL);
    buf_free(&b);
    return words;
}

/*
 * The row says "voicemail" before it is asked for: the machine must not hear it twice, and a line that never
 * hears of it would go on for ever, so it is told in any case.
 */
static void on_voicemail(struct call *c, struct str text, struct call_now now, struct call_effects *fx)
{
    if (c->voicemail != CALL_VOICEMAIL_NONE || c->state == CALL_GOODBYE || c->state == CALL_HANGING_UP ||
        c->state == CALL_REFUSING)
        return;
    call_set_reason(c, CALL_REASON_VOICEMAIL, STR(""));
    c->voicemail = CALL_VOICEMAIL_SAVING;
    c->voicemail_until = now.mono_ms + VOICEMAIL_MS;
    c->voicemail_words = text.n > 0 ? quoted(text) : NULL;
    tools_cancel(c, now, fx);
    floor_cut(c, fx);
    fx_hop(fx, "voicemail", STR(""));
    fx_save(fx, CALL_SAVE_REASON, NULL, CALL_TICKET_VOICEMAIL);
    if (text.n > 0 && c->voicemail_words == NULL)
        call_voicemail_said(c, fx); /* no memory */
}

void call_voicemail_saved(struct call *c)
{
    if (c->voicemail != CALL_VOICEMAIL_SAVING)
        return;
    c->voicemail = CALL_VOICEMAIL_WANTED;
    if (c->state == CALL_LIVE)
        floor_want(c, WANT_VOICEMAIL);
}

struct str call_voicemail_words(struct call *c, struct call_effects *fx)
{
    if (c->voicemail_words == NULL)
        call_tell(c, STR("machine"), STR(""), str_of(machine_words), fx);
    return str_of(c->voicemail_words);
}

void call_voicemail_said(struct call *c, struct call_effects *fx)
{
    if (c->voicemail == CALL_VOICEMAIL_NONE || c->voicemail == CALL_VOICEMAIL_SAID)
        return;
    c->voicemail = CALL_VOICEMAIL_SAID;
    c->voicemail_until = 0;
    c->floor.want &= ~(unsigned)WANT_VOICEMAIL;
    fx_hop(fx, "voicemail_said", STR(""));
    fx_line(fx, CALL_LINE_VOICEMAIL_SAID, STR(""));
}

/* ---- The end ---- */

static void on_line_over(struct call *c, const struct call_event *ev, struct call_now now, struct call_effects *fx)
{
    enum call_reason reason = ev->u.end.reason ? call_reason_of(str_of(ev->u.end.reason)) : CALL_REASON_NONE;
    struct str detail = ev->u.end.detail;

    if (c->line_over || c->state == CALL_REFUSING)
        return;
    if (reason == CALL_REASON_NONE)
        reason = c->live_since_ms != 0 ? CALL_REASON_CALLER_HUNG_UP : CALL_REASON_NOT_CONNECTED;
    c->line_over = true;
    if (!c->leg) {
        call_over(c, reason, detail, now, fx);
    } else if (c->state == CALL_HANGING_UP) { /* the line has ended; the provider shall know it, too */
        c->try_at_ms = 0;
        c->deadline_ms = now.mono_ms + LINE_HANGUP_MS;
        (void)fx_add(fx, CALL_FX_HANGUP);
    } else {
        call_hang_up(c, reason, detail, now, fx);
    }
}

void call_on_line(struct call *c, const struct call_event *ev, struct call_now now, struct call_effects *fx)
{
    if (!c->set.line)
        return;
    switch (ev->kind) {
    case CALL_EV_LEG: on_leg(c, now, fx); break;
    case CALL_EV_PARK: on_park(c, now, fx); break;
    case CALL_EV_HOLD: on_hold(c, fx); break;
    case CALL_EV_RESUME: on_resume(c, now, fx); break;
    case CALL_EV_NOTICE: on_notice(c); break;
    case CALL_EV_UNRECORDED:
        c->unrecorded = ev->u.flag;
        break;
    case CALL_EV_VOICEMAIL: on_voicemail(c, ev->u.text, now, fx); break;
    case CALL_EV_LINE_OVER: on_line_over(c, ev, now, fx); break;
    default: break;
    }
}
