/* SPDX-License-Identifier: MIT */
/*
 * Actions: asked for once by id, each with a deadline and one outcome. What the carrier may do twice without harm is
 * wanted of a leg (line_leg.c makes it so); what it may not is durable first, sent once, and UNCERTAIN when its
 * answer is lost.
 */
#include "plugin/call/line_int.h"

#define DIGITS_MS 60000u
#define ANNOUNCE_MS 45000u
#define REFER_MS 10000u
#define REFER_AWAY_MS 60000u /* longer than the model's side takes to know whether its call is there */
#define WAIT_MS 60000u /* behind others of its group */

enum { STEP_START = 0, STEP_READY, STEP_SAVING, STEP_SENT, STEP_TAKEN };

bool act_open(const struct line_action *a)
{
    return a->kind != ACT_NONE && (a->state == ACTION_ASKED || a->state == ACTION_DOING);
}

struct line_action *act_find(struct line *l, struct str id)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        if (l->actions[i].kind != ACT_NONE && str_eqc(id, l->actions[i].id))
            return &l->actions[i];
    }
    return NULL;
}

static struct str party_of(const struct line_action *a)
{
    return a->party[0] != '\0' ? str_of(a->party) : STR("caller");
}

/* One at a time of each; those of group 0 do not mind others. */
static unsigned group_of(enum line_action_kind kind)
{
    switch (kind) {
    case ACT_HOLD:
    case ACT_RESUME:
    case ACT_COLLECT:
    case ACT_TRANSFER: return 1;
    case ACT_MUTE:
    case ACT_UNMUTE: return 2;
    case ACT_DTMF:
    case ACT_ANNOUNCE: return 3;
    case ACT_INVITE:
    case ACT_REMOVE: return 4;
    case ACT_RECORD_START:
    case ACT_RECORD_PAUSE:
    case ACT_RECORD_RESUME:
    case ACT_RECORD_STOP: return 5;
    default: return 0;
    }
}

static uint32_t time_of(const struct line *l, const struct line_action *a)
{
    switch (a->kind) {
    case ACT_RESUME: return 30000;
    case ACT_COLLECT: return 20000 + DIGITS_MS;
    case ACT_TRANSFER: return l->direct ? 40000 : l->set.ring_ms + (a->warm ? 75000u : 30000u);
    case ACT_INVITE: return l->set.ring_ms + 30000;
    case ACT_ANNOUNCE: return 20000 + ANNOUNCE_MS;
    case ACT_RECORD_START: return 60000;
    case ACT_REMOVE: return 30000;
    default: return 20000;
    }
}

/* ---- Outcomes ---- */

static void revert(struct step *s, struct line_action *a)
{
    struct line *l = s->l;
    struct leg *leg = leg_current(l, party_of(a));

    if (a->step == STEP_START)
        return; /* it never wanted anything */
    switch (a->kind) {
    case ACT_HOLD:
        if (!l->held)
            hold_resume(s);
        break;
    case ACT_MUTE:
    case ACT_UNMUTE:
        if (leg)
            leg->mute_want = leg->muted;
        break;
    case ACT_RECORD_PAUSE:
    case ACT_RECORD_RESUME: /* while something is recorded a pause stays wanted: better too little than too much */
        if (l->recording != REC_STARTING && l->recording != REC_ON && l->recording != REC_PAUSED)
            l->pause_want = false;
        break;
    default: break;
    }
}

void act_over(struct step *s, struct line_action *a, enum line_action_state state, const char *error)
{
    if (!act_open(a))
        return;
    a->state = state;
    a->changed = true;
    text_copy(a->error, sizeof a->error, str_of(error));
    if (a->kind == ACT_COLLECT)
        s->l->legs[0].ends_want = true;
    if (a->kind == ACT_TRANSFER && s->l->direct && a->sent && state != ACTION_HANDED_OVER)
        line_tell(s, TELL_REFERRED, STR(""));
    if (state == ACTION_FAILED)
        revert(s, a);
    line_hop(s, "action", line_say(s, "%s %s%s%s", line_action_name(a->kind), line_action_state_name(state),
                                   a->error[0] ? ": " : "", a->error));
    line_changed(s);
}

/* Is the call still here? While its control channel is being opened again nobody knows. */
static void refer_late(struct step *s, struct line_action *a)
{
    bool here = s->l->model_live, sent = a->sent && a->step >= STEP_SENT;

    if (sent && !here && !due(s, a->deadline_wall_ms + REFER_AWAY_MS))
        return;
    if (a->step == STEP_TAKEN && here)
        act_over(s, a, ACTION_FAILED, "the provider agreed, but the call is still here");
    else if (sent)
        act_over(s, a, ACTION_UNCERTAIN, "it is not known whether the provider did it");
    else
        act_over(s, a, ACTION_FAILED, "it could not be sent in time");
}

static void deadline(struct step *s, struct line_action *a)
{
    bool may_be = a->sent && a->step >= STEP_SENT;

    switch (a->kind) {
    case ACT_TRANSFER:
        if (s->l->direct)
            refer_late(s, a);
        else
            move_abort(s, a, "nobody took the call in time");
        break;
    case ACT_INVITE: move_abort(s, a, "nobody answered in time"); break;
    case ACT_ANNOUNCE:
    case ACT_DTMF:
        act_over(s, a, may_be ? ACTION_UNCERTAIN : ACTION_FAILED, "the carrier did not confirm it in time");
        break;
    case ACT_COLLECT: act_over(s, a, ACTION_FAILED, "no digits came"); break;
    case ACT_SAY: act_over(s, a, ACTION_FAILED, "the assistant could not speak in time"); break;
    default: act_over(s, a, ACTION_FAILED, "not done in time"); break;
    }
}

/* ---- Sending once ---- */

void act_send(struct step *s, struct line_action *a)
{
    a->sent = true;
    a->step = STEP_SAVING;
    a->send_version = s->l->version + 1; /* the save that ends this step */
    line_changed(s);
}

static void send_now(struct step *s, struct line_action *a)
{
    struct line *l = s->l;
    struct leg *leg = leg_current(l, party_of(a));
    enum line_cmd what = a->kind == ACT_DTMF ? LINE_CMD_PLAY_DIGITS
                         : a->kind == ACT_ANNOUNCE ? LINE_CMD_ANNOUNCE
                         : a->kind == ACT_COLLECT ? LINE_CMD_COLLECT : LINE_CMD_REFER;
    struct line_fx *f;

    if (what == LINE_CMD_REFER || (what == LINE_CMD_ANNOUNCE && a->party[0] == '\0')) {
        leg = NULL;
    } else if (!leg || leg->state != LEG_UP) {
        act_over(s, a, ACTION_FAILED, "the party left");
        return;
    }
    a->step = STEP_SENT;
    if (what == LINE_CMD_REFER)
        line_tell(s, TELL_REFERRED, str_of(a->to));
    f = line_command(s, &a->job, what, leg);
    f->u.command.text = str_of(what == LINE_CMD_REFER ? a->to : a->text);
    f->u.command.action = str_of(a->id);
    f->u.command.secret = a->secret;
    s->again = true;
}

void acts_saved(struct step *s, uint64_t version)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        struct line_action *a = &s->l->actions[i];

        if (act_open(a) && a->step == STEP_SAVING && a->sent && a->send_version <= version)
            send_now(s, a);
    }
}

/*
 * What the carrier says or plays. That it takes the order is not that anybody heard it: it fetches the words from us
 * first, and we may be gone by then.
 */
static bool spoken(const struct line_action *a)
{
    return a->kind == ACT_ANNOUNCE || a->kind == ACT_DTMF;
}

/* What follows says whether it was done. */
static void watch(struct step *s, struct line_action *a)
{
    a->deadline_wall_ms = s->t + (a->kind == ACT_COLLECT ? DIGITS_MS : spoken(a) ? ANNOUNCE_MS : REFER_MS);
    line_changed(s);
}

bool acts_done(struct step *s, const struct line_event *ev)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        struct line_action *a = &s->l->actions[i];

        if (!act_open(a) || a->job.n == 0 || a->job.n != ev->u.answer.cmd)
            continue;
        a->job.n = 0;
        if (answered_well(ev->u.answer.http_status)) {
            a->step = STEP_TAKEN;
            watch(s, a);
        } else if (answered_nothing(ev)) {
            if (a->kind == ACT_TRANSFER)
                line_tell(s, TELL_REFERRED, STR(""));
            a->sent = false; /* nothing was done: asked for again until its deadline */
            a->step = STEP_READY;
            job_failed(s, &a->job);
            line_changed(s);
        } else if (answered_unknown(ev)) {
            watch(s, a); /* it may have come there: its words are asked for, and stay until then */
        } else {
            struct str said = line_quote(s, ev->u.answer.message, 100);
            struct str why = line_say(s, "the carrier refused it (HTTP %d): %.*s", ev->u.answer.http_status,
                                      STR_ARG(said));

            act_over(s, a, ACTION_FAILED, why.n > 0 ? why.p : "the carrier refused it");
        }
        return true;
    }
    return false;
}

void acts_digits(struct step *s, const struct line_event *ev)
{
    struct line *l = s->l;
    struct str digits = ev->u.digits.digits;
    struct line_action *a = act_find(l, ev->u.digits.action);

    for (unsigned i = 0; i < LINE_ACTIONS && ev->u.digits.action.n == 0 && !a; i++) {
        if (act_open(&l->actions[i]) && l->actions[i].kind == ACT_COLLECT)
            a = &l->actions[i];
    }
    if (!a || !act_open(a))
        return;
    if (a->kind == ACT_TRANSFER) {
        move_digits(s, a, digits);
        return;
    }
    if (a->kind != ACT_COLLECT || !a->sent || a->step < STEP_SENT)
        return;
    if (digits.n == 0) {
        act_over(s, a, ACTION_FAILED, "no digits came");
        return;
    }
    text_copy(a->text, sizeof a->text, digits);
    if (!a->secret)
        line_tell(s, TELL_NEWS, line_say(s, "The caller pressed these keys: %.*s", STR_ARG(str_head(digits, 100))));
    act_over(s, a, ACTION_DONE, "");
}

void acts_announced(struct step *s, bool well)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        struct line_action *a = &s->l->actions[i];

        if (!act_open(a) || !spoken(a) || !a->sent || a->step < STEP_SENT)
            continue;
        act_over(s, a, well ? ACTION_DONE : ACTION_FAILED, well ? "" : a->kind == ACT_DTMF
                       ? "the carrier could not play the keys" : "the carrier could not speak the words");
        return;
    }
}

/* ---- Doing ---- */

static void send_run(struct step *s, struct line_action *a, bool needs_leg)
{
    struct leg *leg = leg_current(s->l, party_of(a));

    if (a->step <= STEP_READY) {
        if (needs_leg && (!leg || leg->state != LEG_UP || leg->ended_by_us))
            act_over(s, a, ACTION_FAILED, "no such party is in the call");
        else if (job_free(s, &a->job))
            act_send(s, a);
    } else if (job_late(s, &a->job)) {
        a->job.n = 0;
        watch(s, a);
    }
}

static void collect_run(struct step *s, struct line_action *a)
{
    struct leg *c = &s->l->legs[0];

    if (a->step == STEP_START) {
        c->ends_want = false; /* the room must outlive the caller's going out of it */
        a->step = STEP_READY;
        line_changed(s);
    }
    if (a->step > STEP_READY || (!c->ends_room && (c->unsure & LEG_UNSURE_STAY) == 0))
        send_run(s, a, true);
}

static void mute_run(struct step *s, struct line_action *a)
{
    bool on = a->kind == ACT_MUTE;
    struct leg *leg = leg_current(s->l, party_of(a));

    if (!leg || leg->state != LEG_UP || leg->ended_by_us) {
        act_over(s, a, ACTION_FAILED, "no such party is in the call");
    } else if (a->step == STEP_START) {
        leg->mute_want = on;
        a->step = STEP_READY;
        line_changed(s);
    } else if (leg->mute_want != on) {
        act_over(s, a, ACTION_FAILED, "the carrier refused it");
    }
    if (act_open(a) && leg && leg->muted == on)
        act_over(s, a, ACTION_DONE, "");
}

static void hold_act_run(struct step *s, struct line_action *a)
{
    struct line *l = s->l;
    bool on = a->kind == ACT_HOLD;

    if (a->step == STEP_START) {
        a->step = STEP_READY;
        if (on)
            l->hold_want = true;
        else
            hold_resume(s);
        line_changed(s);
    }
    if (l->held == on && l->hold_want == on)
        act_over(s, a, ACTION_DONE, "");
    else if (l->hold_want != on)
        act_over(s, a, ACTION_FAILED, "the carrier refused it");
}

static void record_run(struct step *s, struct line_action *a)
{
    struct line *l = s->l;
    enum line_recording_state r = l->recording;
    bool going = r == REC_WANTED || r == REC_STARTING || r == REC_ON || r == REC_PAUSED;

    if (a->step == STEP_START) {
        a->step = STEP_READY;
        if (a->kind == ACT_RECORD_START && r == REC_NONE)
            l->recording = REC_WANTED;
        else if (a->kind == ACT_RECORD_STOP)
            l->record_stop = true;
        else if (a->kind != ACT_RECORD_START)
            l->pause_want = a->kind == ACT_RECORD_PAUSE;
        line_changed(s);
        return;
    }
    if (a->kind == ACT_RECORD_STOP) {
        if (!going)
            act_over(s, a, ACTION_DONE, "");
    } else if (!going) {
        act_over(s, a, ACTION_FAILED, "nothing is being recorded");
    } else if (!l->record_unsure && r == (a->kind == ACT_RECORD_PAUSE ? REC_PAUSED : REC_ON)) {
        act_over(s, a, ACTION_DONE, "");
    }
}

static void say_run(struct step *s, struct line_action *a)
{
    struct line *l = s->l;

    if (!l->model_live || l->held || l->hold_want)
        return; /* until its deadline */
    line_tell(s, TELL_SAY, str_of(a->text));
    act_over(s, a, ACTION_DONE, "");
}

static void act_run(struct step *s, struct line_action *a)
{
    if (a->state == ACTION_ASKED) {
        a->state = ACTION_DOING;
        a->changed = true;
        a->deadline_wall_ms = s->t + time_of(s->l, a);
        line_changed(s);
    }
    switch (a->kind) {
    case ACT_HOLD:
    case ACT_RESUME: hold_act_run(s, a); break;
    case ACT_MUTE:
    case ACT_UNMUTE: mute_run(s, a); break;
    case ACT_DTMF: send_run(s, a, true); break;
    case ACT_ANNOUNCE: send_run(s, a, a->party[0] != '\0'); break;
    case ACT_COLLECT: collect_run(s, a); break;
    case ACT_TRANSFER:
        if (!s->l->direct)
            move_run(s, a);
        else if (s->l->model_live || a->step > STEP_READY)
            send_run(s, a, false);
        break;
    case ACT_INVITE:
    case ACT_REMOVE: move_run(s, a); break;
    case ACT_SAY: say_run(s, a); break;
    case ACT_RECORD_START:
    case ACT_RECORD_PAUSE:
    case ACT_RECORD_RESUME:
    case ACT_RECORD_STOP: record_run(s, a); break;
    case ACT_HANGUP:
    case ACT_NONE:
    case ACT_KINDS: break;
    }
}

static bool blocked(const struct line *l, unsigned at)
{
    unsigned group = group_of(l->actions[at].kind);

    for (unsigned i = 0; i < at && group != 0; i++) {
        if (act_open(&l->actions[i]) && group_of(l->actions[i].kind) == group)
            return true;
    }
    return false;
}

void acts_run(struct step *s)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_ACTIONS && l->phase == LINE_ANSWERED; i++) {
        struct line_action *a = &l->actions[i];

        if (!act_open(a) || a->kind == ACT_HANGUP)
            continue;
        if (due(s, a->deadline_wall_ms))
            deadline(s, a);
        else if (!l->restored && !blocked(l, i))
            act_run(s, a);
    }
}

/* ---- Asking ---- */

static void refuse(struct step *s, const struct line_action *asked, enum line_action_state state, const char *why)
{
    struct line_action *a = &s->l->refused;

    *a = *asked;
    a->state = state;
    a->changed = true;
    text_copy(a->error, sizeof a->error, str_of(why));
}

/* Control characters and broken text would only grow in the durable text, and mean nothing to anybody. */
static void clean(char *text, size_t cap)
{
    bool utf8;

    text[cap - 1] = '\0';
    utf8 = str_utf8_valid(str_of(text));
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f || (!utf8 && (unsigned char)*p >= 0x80))
            *p = ' ';
    }
}

static void add(struct step *s, const struct line_action *asked, unsigned at)
{
    struct line *l = s->l;
    struct line_action *a = &l->actions[at];

    *a = (struct line_action){.kind = asked->kind, .warm = asked->warm, .secret = asked->secret};
    text_copy(a->id, sizeof a->id, str_of(asked->id));
    text_copy(a->party, sizeof a->party, str_of(asked->party));
    text_copy(a->to, sizeof a->to, str_of(asked->to));
    text_copy(a->text, sizeof a->text, str_of(asked->text));
    clean(a->id, sizeof a->id);
    clean(a->party, sizeof a->party);
    clean(a->text, sizeof a->text);
    a->since_wall_ms = s->t;
    a->deadline_wall_ms = s->t + WAIT_MS + time_of(l, a); /* begun, it has its own time */
    a->changed = true;
    if (a->kind == ACT_HANGUP)
        a->state = ACTION_DOING;
    line_changed(s);
}

void acts_begin(struct step *s, const struct line_action *asked)
{
    struct line *l = s->l;
    unsigned n = 0;
    int missing;

    if (asked->kind <= ACT_NONE || asked->kind >= ACT_KINDS || asked->id[0] == '\0' || act_find(l, str_of(asked->id)))
        return;
    missing = line_refuses(l, asked->kind, asked->warm);
    while (n < LINE_ACTIONS && l->actions[n].kind != ACT_NONE)
        n++;
    if (asked->kind == ACT_HANGUP && (l->phase == LINE_OVER || n == LINE_ACTIONS))
        refuse(s, asked, ACTION_DONE, "");
    else if (missing < 0)
        refuse(s, asked, ACTION_FAILED, "the call is not in a state for it");
    else if (missing > 0)
        refuse(s, asked, ACTION_FAILED, "this call cannot do it");
    else if (n == LINE_ACTIONS)
        refuse(s, asked, ACTION_FAILED, "too many actions at one time");
    else
        add(s, asked, n);
}

/* ---- Ends ---- */

void acts_restored(struct step *s)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        struct line_action *a = &s->l->actions[i];

        time_not_after(&a->since_wall_ms, s->t);
        time_not_after(&a->deadline_wall_ms, s->t + WAIT_MS + time_of(s->l, a));
        if (!act_open(a) || !a->sent)
            continue;
        if (a->kind == ACT_TRANSFER && s->l->direct) { /* what becomes of the call says whether it was done */
            a->step = a->step < STEP_SENT ? STEP_SENT : a->step;
            a->deadline_wall_ms = s->t + REFER_MS;
            line_changed(s);
        } else {
            act_over(s, a, ACTION_UNCERTAIN, "it was under way when we were restarted; it is not done twice");
        }
    }
}

void acts_end(struct step *s)
{
    struct line *l = s->l;

    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        struct line_action *a = &l->actions[i];
        bool ends = a->kind == ACT_HANGUP || (a->kind == ACT_REMOVE && str_eqc(party_of(a), "caller"));

        if (!act_open(a) || ends)
            continue;
        if (a->kind == ACT_INVITE || (a->kind == ACT_TRANSFER && !l->direct))
            move_abort(s, a, "the call ended");
        else
            act_over(s, a, a->sent && a->step >= STEP_SENT ? ACTION_UNCERTAIN : ACTION_FAILED, "the call ended");
    }
}

void acts_over(struct step *s)
{
    for (unsigned i = 0; i < LINE_ACTIONS; i++)
        act_over(s, &s->l->actions[i], ACTION_DONE, "");
}

void acts_emit(struct step *s)
{
    struct line *l = s->l;

    for (unsigned i = 0; i <= LINE_ACTIONS; i++) {
        struct line_action *a = i < LINE_ACTIONS ? &l->actions[i] : &l->refused;

        if (a->kind == ACT_NONE || !a->changed)
            continue;
        a->changed = false;
        line_fx(s, LINE_FX_ACTION)->u.action = a;
    }
}

/* Kept in the order in which they were asked for. */
void acts_reap(struct line *l)
{
    unsigned n = 0;

    l->refused.kind = ACT_NONE;
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        if (!act_open(&l->actions[i]))
            continue;
        if (n != i)
            l->actions[n] = l->actions[i];
        n++;
    }
    for (; n < LINE_ACTIONS; n++)
        l->actions[n].kind = ACT_NONE;
}
