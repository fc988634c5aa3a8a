/* SPDX-License-Identifier: MIT */
/* The line's phases, its time and the order of a step; see line.h for the states and line_int.h for the files. */
#include "plugin/call/line_int.h"

#include <stdarg.h>
#include <stdio.h>

#define PASSES 10u  /* of line_run() in a step; what is left then is done by a timer at once */
#define HOPS_MAX 20u

/* ---- Effects ---- */

struct line_fx *line_fx(struct step *s, enum line_fx_kind kind)
{
    struct line_effects *fx = s->fx;

    if (fx->n >= LINE_FX_MAX - (kind == LINE_FX_OVER ? 0u : 1u)) {
        fx->overflow = true;
        fx->n = LINE_FX_MAX - 2;
    }
    fx->v[fx->n] = (struct line_fx){.kind = kind};
    return &fx->v[fx->n++];
}

struct str line_say(struct step *s, const char *fmt, ...)
{
    struct line_effects *fx = s->fx;
    const unsigned slots = sizeof fx->scratch / sizeof fx->scratch[0];
    char *text;
    va_list ap;
    int len;

    if (fx->n_scratch >= slots)
        return STR("");
    text = fx->scratch[fx->n_scratch++];
    va_start(ap, fmt);
    len = vsnprintf(text, sizeof fx->scratch[0], fmt, ap);
    va_end(ap);
    if (len < 0)
        return STR("");
    return str_make(text, str_utf8_floor(str_of(text), sizeof fx->scratch[0] - 1));
}

struct str line_quote(struct step *s, struct str message, size_t max)
{
    const size_t cap = sizeof s->fx->scratch[0] - 1;
    char *text;
    size_t n = 0, run;

    if (s->fx->n_scratch >= sizeof s->fx->scratch / sizeof s->fx->scratch[0])
        return STR("");
    message = str_head(message, str_utf8_floor(message, max < cap ? max : cap));
    text = s->fx->scratch[s->fx->n_scratch++];
    for (size_t i = 0; i < message.n; i += run > 0 ? run : 1) {
        for (run = 0; i + run < message.n && message.p[i + run] >= '0' && message.p[i + run] <= '9';)
            run++;
        for (size_t k = 0; k < (run > 0 ? run : 1); k++)
            text[n++] = run >= 7 && k >= 2 && k + 2 < run ? '.' : message.p[i + k];
    }
    text[n] = '\0';
    return str_make(text, n);
}

void line_hop(struct step *s, const char *name, struct str detail)
{
    unsigned n = 0;
    struct line_fx *f;

    for (unsigned i = 0; i < s->fx->n; i++)
        n += s->fx->v[i].kind == LINE_FX_HOP;
    if (n >= HOPS_MAX)
        return;
    f = line_fx(s, LINE_FX_HOP);
    f->u.hop.name = name;
    f->u.hop.detail = detail;
}

void line_notify(struct step *s, const char *name)
{
    line_fx(s, LINE_FX_NOTIFY)->u.notify.name = name;
}

void line_tell(struct step *s, enum line_tell what, struct str text)
{
    struct line_fx *f = line_fx(s, LINE_FX_MODEL);

    f->u.model.what = what;
    f->u.model.text = text;
}

/* ---- Time, answers ---- */

bool due(struct step *s, uint64_t at)
{
    if (at == 0)
        return false;
    if (s->t >= at)
        return true;
    if (s->next == 0 || at < s->next)
        s->next = at;
    return false;
}

void line_changed(struct step *s)
{
    s->l->dirty = true;
    s->again = true;
}

static bool sent_once(enum line_cmd what)
{
    return what == LINE_CMD_CREATE || what == LINE_CMD_OFFER || what == LINE_CMD_RECORD || what == LINE_CMD_REFER ||
           what == LINE_CMD_PLAY_DIGITS || what == LINE_CMD_ANNOUNCE || what == LINE_CMD_COLLECT;
}

struct line_fx *line_command(struct step *s, struct line_job *job, enum line_cmd what, const struct leg *leg)
{
    struct line_fx *f = line_fx(s, LINE_FX_COMMAND);

    job->n = ++s->l->next_cmd;
    job->what = (unsigned)what;
    job->until_ms = s->t + (sent_once(what) ? ANSWER_MS : AGAIN_MS);
    s->again = true; /* its own time is looked at, too */
    f->u.command.n = job->n;
    f->u.command.what = what;
    f->u.command.leg = leg;
    return f;
}

void job_failed(struct step *s, struct line_job *job)
{
    uint64_t pause = 500u << (job->fails < 3 ? job->fails : 3);

    job->n = 0;
    job->fails++;
    job->next_ms = s->t + pause;
    s->again = true;
}

bool job_late(struct step *s, struct line_job *job)
{
    return job->n != 0 && due(s, job->until_ms);
}

bool job_free(struct step *s, const struct line_job *job)
{
    return job->n == 0 && (job->next_ms == 0 || due(s, job->next_ms));
}

bool answered_well(int http_status)
{
    return http_status >= 200 && http_status < 300;
}

bool answered_nothing(const struct line_event *ev)
{
    return ev->u.answer.http_status == 429 || (ev->u.answer.http_status == 0 && !ev->u.answer.maybe_sent);
}

bool answered_unknown(const struct line_event *ev)
{
    int status = ev->u.answer.http_status;

    return (status == 0 && ev->u.answer.maybe_sent) || status == 408 || status >= 500 || (status > 0 && status < 200);
}

void text_copy(char *to, size_t cap, struct str from)
{
    size_t n = str_utf8_floor(from, cap - 1);

    if (n > 0)
        memmove(to, from.p, n);
    to[n] = '\0';
}

/* ---- Ending ---- */

void line_finish(struct step *s, enum line_outcome outcome, struct str detail)
{
    struct line *l = s->l;

    if (l->phase >= LINE_ENDING)
        return;
    if (l->outcome == LINE_OUTCOME_NONE) {
        l->outcome = outcome;
        text_copy(l->detail, sizeof l->detail, detail);
    }
    l->phase = LINE_ENDING;
    l->ended_wall_ms = s->t;
    l->model_due_wall_ms = 0;
    l->model_check = false;
    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        if (!l->leave_legs || l->legs[i].role == ROLE_MODEL)
            if (!l->apologising || i != 0)
                leg_end(s, &l->legs[i]);
    }
    acts_end(s);
    line_hop(s, "ending", str_of(line_outcome_name(l->outcome)));
    line_changed(s);
}

static bool all_gone(const struct line *l)
{
    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        if (leg_exists(&l->legs[i]))
            return false;
    }
    return true;
}

/* The humans who stay: taken off hold, and the room goes when one of them leaves. */
static bool stay_settled(const struct line *l)
{
    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        const struct leg *leg = &l->legs[i];

        if (!leg_exists(leg))
            continue;
        if (leg->role == ROLE_MODEL || leg->ended_by_us || leg->state != LEG_UP)
            return false;
        if (leg->ends_room != leg->ends_want || leg->unsure != 0)
            return false;
    }
    return !l->held;
}

static void over(struct step *s)
{
    struct line *l = s->l;

    l->phase = LINE_OVER;
    l->apologising = false;
    l->restored = false;
    acts_over(s);
    line_hop(s, "over", line_say(s, "%s%s%s", line_outcome_name(l->outcome), l->detail[0] ? ": " : "", l->detail));
    line_tell(s, TELL_OVER, STR(""));
    line_changed(s);
}

/* Time is up: whoever is left is given up, and ended when a callback says that they live. */
static void give_up_legs(struct step *s)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (!leg_exists(leg) || (l->leave_legs && leg->role != ROLE_MODEL))
            continue;
        leg->given_up = true;
        leg_enter(s, leg, LEG_GONE);
        line_hop(s, "leg_given_up", leg_label(leg));
    }
}

static void end_room(struct step *s)
{
    struct line *l = s->l;

    if (l->leave_legs || l->apologising || l->handed_over || (l->attempts == 0 && !l->direct && l->set.outbound))
        return;
    if (job_late(s, &l->end_room))
        job_failed(s, &l->end_room);
    if (l->end_room.what == 0 && job_free(s, &l->end_room)) {
        (void)line_command(s, &l->end_room, LINE_CMD_END_ROOM, NULL);
        l->end_room.what = 0; /* set once it is done */
    }
}

static bool end_room_done(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    int status = ev->u.answer.http_status;

    if (l->end_room.n == 0 || l->end_room.n != ev->u.answer.cmd)
        return false;
    if (answered_well(status) || status == 404) {
        l->end_room.n = 0;
        l->end_room.what = LINE_CMD_END_ROOM;
        s->again = true;
    } else {
        job_failed(s, &l->end_room);
    }
    return true;
}

/* Left with an open hold, the humans would wait for ever: then the call ends instead. */
static void stay_fails(struct step *s)
{
    struct line *l = s->l;

    l->leave_legs = false;
    text_copy(l->detail, sizeof l->detail, STR("handed over, but the caller could not be taken off hold"));
    for (unsigned i = 0; i < LINE_PARTIES; i++)
        leg_end(s, &l->legs[i]);
    line_changed(s);
}

static void ending_run(struct step *s)
{
    struct line *l = s->l;
    bool late = due(s, l->ended_wall_ms + ENDING_ALL_MS);

    if (l->leave_legs && (l->held || (l->legs[0].unsure & LEG_UNSURE_HOLD) != 0) &&
        due(s, l->ended_wall_ms + ENDING_MS))
        stay_fails(s);
    end_room(s);
    if (l->direct) {
        if (l->end_room.what != 0 || l->handed_over || due(s, l->ended_wall_ms + ENDING_MS))
            over(s);
        return;
    }
    if (late)
        give_up_legs(s);
    if (all_gone(l) || (l->leave_legs && (late || stay_settled(l))))
        over(s);
}

/* ---- The phases' deadlines ---- */

static void queue_run(struct step *s)
{
    struct line *l = s->l;
    struct leg *c = &l->legs[0];
    uint64_t from = l->due_wall_ms - (uint64_t)l->skew_ms;

    if (leg_unsent(c)) {
        if (due(s, from + l->set.queue_ms))
            line_finish(s, LINE_OUTCOME_EXPIRED, STR("it could not be dialled within the time that calls may wait"));
    } else if (c->state != LEG_LOST && due(s, c->not_before_wall_ms + l->set.ring_ms + RING_MORE_MS)) {
        line_finish(s, LINE_OUTCOME_NO_ANSWER, STR("nobody answered, and the carrier did not say so"));
    }
}

static void phase_run(struct step *s)
{
    struct line *l = s->l;

    switch (l->phase) {
    case LINE_QUEUED:
    case LINE_DIALING:
    case LINE_RINGING: queue_run(s); break;
    case LINE_ANSWERED:
        if (l->set.max_ms != 0 && !l->direct && due(s, l->answered_wall_ms + l->set.max_ms))
            line_finish(s, l->voicemail ? LINE_OUTCOME_VOICEMAIL : LINE_OUTCOME_ANSWERED,
                        STR("the longest duration of a call was reached"));
        break;
    case LINE_ENDING: ending_run(s); break;
    case LINE_OVER:
    case LINE_PHASES: break;
    }
}

/* ---- After a restart ---- */

void time_not_after(uint64_t *at, uint64_t last)
{
    if (*at > last)
        *at = last;
}

/* A clock that was put back while we were away would put off every deadline by as much. */
static void restore_times(struct step *s)
{
    struct line *l = s->l;
    uint64_t *const past[] = {&l->answered_wall_ms, &l->held_wall_ms, &l->ended_wall_ms, &l->model_brought_wall_ms,
                              &l->record_wall_ms};

    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++)
        time_not_after(past[i], s->t);
    time_not_after(&l->model_due_wall_ms, s->t + MODEL_MS);
    time_not_after(&l->resume_wall_ms, s->t + MODEL_MS);
    time_not_after(&l->voicemail_due_wall_ms, s->t + VOICEMAIL_MS);
    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        time_not_after(&leg->since_wall_ms, s->t);
        if (leg->state != LEG_WANTED) /* else the time of its next dial */
            time_not_after(&leg->not_before_wall_ms, s->t);
    }
}

static void restore_first(struct step *s)
{
    struct line *l = s->l;
    bool ask = false;

    l->restored_wall_ms = s->t;
    restore_times(s);
    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        struct leg *leg = &l->legs[i];

        if (leg->state == LEG_CREATING)
            leg_enter(s, leg, LEG_LOST); /* the earlier instance may have sent it */
        if (leg->state == LEG_LOST)
            leg->since_wall_ms = s->t;
        ask = ask || leg->state == LEG_LOST || leg->state == LEG_RINGING || leg->state == LEG_UP;
    }
    if (l->direct)
        l->model_live = false; /* until the model's side is heard of again */
    acts_restored(s);
    line_hop(s, "restored", str_of(line_phase_name(l->phase)));
    l->look_now = ask;
    if (!ask)
        l->restored = false;
    line_changed(s);
}

static void restore_run(struct step *s)
{
    struct line *l = s->l;

    if (!l->restored)
        return;
    if (l->restored_wall_ms == 0)
        restore_first(s);
    if (l->phase >= LINE_ENDING)
        l->restored = false; /* ending goes on at once */
    if (l->restored && due(s, l->restored_wall_ms + FRESH_MS)) {
        line_hop(s, "not_looked_up", STR("the carrier does not say who is there"));
        l->restored = false;
        model_recover(s);
    }
}

/* ---- A step ---- */

static void line_run(struct step *s)
{
    for (unsigned pass = 0; pass < PASSES; pass++) {
        s->again = false;
        s->next = 0;
        restore_run(s);
        phase_run(s);
        model_run(s);
        acts_run(s);
        rec_run(s);
        legs_run(s);
        seen_run(s);
        if (!s->again)
            return;
    }
    s->next = s->t;
}

static struct step begin(struct line *l, struct str fresh_ref, struct call_now now, struct line_effects *fx)
{
    struct step s = {.l = l, .fx = fx, .ref = fresh_ref, .now = now};

    fx->n = 0;
    fx->n_scratch = 0;
    fx->overflow = false;
    if (l->base_ms == 0)
        l->base_ms = now.wall_ms - now.mono_ms;
    s.t = now.mono_ms + l->base_ms;
    l->skew_ms = (int64_t)(now.wall_ms - s.t);
    acts_reap(l);
    return s;
}

static void finish_step(struct step *s)
{
    struct line *l = s->l;
    bool settled;

    line_run(s);
    settled = l->phase == LINE_OVER && rec_settled(s);
    if (settled)
        s->next = 0; /* nothing is waited for, but a stray that is being ended */
    if (settled && leg_exists(&l->stray))
        line_run(s);
    acts_emit(s);
    if (l->dirty) {
        l->dirty = false;
        line_fx(s, LINE_FX_SAVE)->u.version = ++l->version;
    }
    if (s->fetch)
        line_fx(s, LINE_FX_FETCH)->u.text = str_of(l->recording_sid);
    if (settled && !l->over_told) {
        l->over_told = true;
        (void)line_fx(s, LINE_FX_OVER);
    }
    if (s->soon)
        s->next = s->t;
    l->timer_wall_ms = s->next == 0 ? 0 : s->next + (uint64_t)l->skew_ms;
}

static void ended_by(struct step *s, const char *who)
{
    bool talked = s->l->phase == LINE_ANSWERED;

    line_finish(s, !talked ? LINE_OUTCOME_CANCELED
                   : s->l->voicemail ? LINE_OUTCOME_VOICEMAIL : LINE_OUTCOME_ANSWERED, str_of(who));
}

static void done(struct step *s, const struct line_event *ev)
{
    if (ev->u.answer.cmd == 0)
        return;
    if (!end_room_done(s, ev) && !model_apology_done(s, ev) && !rec_done(s, ev) && !acts_done(s, ev))
        (void)legs_done(s, ev);
}

static void saved(struct step *s, uint64_t version)
{
    legs_saved(s, version);
    acts_saved(s, version);
    rec_saved(s, version);
}

static void action(struct step *s, const struct line_event *ev)
{
    acts_begin(s, &ev->u.action);
    if (ev->u.action.kind == ACT_HANGUP && line_refuses(s->l, ACT_HANGUP, false) == 0)
        ended_by(s, "ended on request");
}

static void room_said(struct step *s, const struct line_event *ev)
{
    seen_room(s, ev);
    if (ev->u.room.what == ROOM_ANNOUNCED || ev->u.room.what == ROOM_ANNOUNCE_FAILED)
        acts_announced(s, ev->u.room.what == ROOM_ANNOUNCED);
}

static void take(struct step *s, const struct line_event *ev)
{
    switch (ev->kind) {
    case LINE_EV_SLOT: legs_slot(s, ev->u.label); break;
    case LINE_EV_SAVED: saved(s, ev->u.version); break;
    case LINE_EV_CREATED: legs_created(s, ev); break;
    case LINE_EV_DONE: done(s, ev); break;
    case LINE_EV_FOUND: seen_found(s, ev); break;
    case LINE_EV_STATUS: seen_status(s, ev); break;
    case LINE_EV_ROOM: room_said(s, ev); break;
    case LINE_EV_MACHINE: model_machine(s, ev); break;
    case LINE_EV_DIGITS: acts_digits(s, ev); break;
    case LINE_EV_RECORDING: rec_said(s, ev); break;
    case LINE_EV_MODEL_LEAVES: ended_by(s, "the assistant ended the call"); break;
    case LINE_EV_MODEL_LIVE:
    case LINE_EV_MODEL_GONE:
    case LINE_EV_MODEL_AWAY:
    case LINE_EV_NOTICE_HEARD:
    case LINE_EV_CONSENT_GONE:
    case LINE_EV_CALLEE_TURN:
    case LINE_EV_VOICEMAIL_SAID: model_said(s, ev); break;
    case LINE_EV_ACTION: action(s, ev); break;
    case LINE_EV_NONE:
    case LINE_EV_TIMER:
    case LINE_EV_COUNT: break;
    }
}

void line_step(struct line *l, const struct line_event *ev, struct str fresh_ref, struct call_now now,
               struct line_effects *fx)
{
    struct step s = begin(l, fresh_ref, now, fx);

    restore_run(&s); /* what the event meets is what the restart left, not what it was before */
    take(&s, ev);
    finish_step(&s);
}

/* ---- Beginning ---- */

static void init(struct line *l, const struct line_settings *set, struct str ref)
{
    *l = (struct line){.set = *set};
    text_copy(l->ref, sizeof l->ref, ref);
    for (unsigned i = 0; i < LINE_PARTIES; i++)
        l->legs[i].last_seq = -1;
    if (set->record)
        l->recording = REC_WANTED;
}

static void init_caller(struct line *l, struct str to, struct call_now now)
{
    struct leg *c = &l->legs[0];

    c->role = ROLE_CALLER;
    c->ends_room = c->ends_want = true;
    text_copy(c->label, sizeof c->label, STR("caller"));
    text_copy(c->to, sizeof c->to, to);
    c->since_wall_ms = now.wall_ms;
    l->made_wall_ms = now.wall_ms;
}

void line_begin_dial(struct line *l, const struct line_settings *set, struct str ref, struct str to,
                     uint64_t due_wall_ms, struct call_now now, struct line_effects *fx)
{
    struct step s;

    init(l, set, ref);
    init_caller(l, to, now);
    l->legs[0].state = LEG_WANTED;
    l->due_wall_ms = due_wall_ms > now.wall_ms ? due_wall_ms : now.wall_ms;
    s = begin(l, STR(""), now, fx);
    line_changed(&s);
    finish_step(&s);
}

void line_begin_inbound(struct line *l, const struct line_settings *set, struct str ref, struct str caller_sid,
                        struct str from, struct call_now now, struct line_effects *fx)
{
    struct step s;

    init(l, set, ref);
    init_caller(l, from, now);
    text_copy(l->legs[0].sid, sizeof l->legs[0].sid, caller_sid);
    l->legs[0].state = LEG_UP;
    l->legs[0].in_room = true;
    l->phase = LINE_ANSWERED;
    s = begin(l, STR(""), now, fx);
    l->answered_wall_ms = s.t;
    model_answered(&s);
    line_changed(&s);
    finish_step(&s);
}

void line_begin_direct(struct line *l, const struct line_settings *set, struct call_now now)
{
    init(l, set, STR(""));
    l->recording = REC_NONE;
    l->direct = true;
    l->phase = LINE_ANSWERED;
    l->model_live = true;
    l->made_wall_ms = l->answered_wall_ms = now.wall_ms;
    l->base_ms = now.wall_ms - now.mono_ms;
    l->dirty = true;
    l->timer_wall_ms = now.wall_ms;
}
