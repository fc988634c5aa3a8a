/* SPDX-License-Identifier: MIT */
/*
 * Many short lives of a line in a simulated carrier: legs that ring, answer, fail; answers and callbacks that are
 * lost, late, doubled, reordered; refused connections, 429, 5xx; kills at any moment, after which a fresh machine
 * reads the durable text. What must hold for every life is checked by w_must(); a life is its seed:
 *
 *   OCV_LINE_RUNS=100000 test_line_world      more of them
 *   OCV_LINE_SEED=4711 test_line_world        this one alone, with a log
 */
#include "plugin/call/line_int.h"
#include "tests/unit/t.h"

#include "tests/unit/line_process.h"

#define RUNS 30000u
#define END_MS (40u * 60000u)

/* ---- Events in ---- */

static void status_in(struct world *w, const struct item *i)
{
    struct wleg *leg = &w->legs[i->leg];
    struct line_event ev = {.kind = LINE_EV_STATUS};

    ev.u.status.label = str_of(leg->label);
    ev.u.status.sid = str_of(leg->sid);
    ev.u.status.ref = str_of(w->l.ref);
    ev.u.status.status = (enum line_leg_status)i->status;
    ev.u.status.seq = i->seq;
    LOG(w, "status %s %s %d seq %lld", leg->label, leg->sid, i->status, (long long)i->seq);
    step(w, &ev);
}

static void webhook(struct world *w, const struct item *i)
{
    struct wleg *leg = &w->legs[i->leg];
    const struct leg *ours;

    if (leg->at != AT_UP)
        return;
    if (w->down) {
        if (w->t < leg->up_at + 10000)
            plan(w, W_WEBHOOK, 1000)->leg = i->leg;
        else
            leg_dies(w, leg, LEG_SAYS_FAILED);
        return;
    }
    ours = line_leg(&w->l, STR("model"));
    if (!ours || strcmp(ours->ref, leg->ref) != 0 || !leg_exists(ours) || ours->ended_by_us) {
        leg_dies(w, leg, LEG_SAYS_FAILED); /* rejected: an unknown or used reference */
        return;
    }
    leg->model_session = true;
    if (chance(w, 96))
        plan_ours(w, W_LIVE, 200 + rnd(w, 500))->leg = i->leg;
}

static void digits_in(struct world *w, const struct item *i)
{
    struct wleg *leg = &w->legs[i->leg];
    struct line_event ev = {.kind = LINE_EV_DIGITS};
    bool yes;

    if (leg->at != AT_UP || leg->in_room)
        return;
    if (!leg->offered && !w->down)
        joins(w, leg);
    if (w->down) {
        if (leg->offered)
            leg_dies(w, leg, LEG_SAYS_COMPLETED);
        return;
    }
    ev.u.digits.label = str_of(leg->label);
    ev.u.digits.action = str_of(leg->offered ? leg->action : i->action);
    ev.u.digits.digits = str_of(i->text);
    yes = leg->offered && line_accepts(&w->l, ev.u.digits.action, ev.u.digits.digits);
    LOG(w, "digits %s from %s: %d", i->text, leg->label, (int)yes);
    if (yes)
        joins(w, leg);
    else if (leg->offered)
        leg_dies(w, leg, LEG_SAYS_COMPLETED);
    step(w, &ev);
}

static void found_in(struct world *w, const struct item *c, struct line_event *ev, struct line_seen_leg *seen)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_legs && n < W_LEGS; i++) {
        const struct wleg *leg = &w->legs[i];
        bool known = false;

        for (unsigned k = 0; k < LINE_PARTIES; k++)
            known = known || strcmp(c->known[k], leg->sid) == 0;
        if (!known && (leg->at == AT_DEAD || leg->offered))
            continue;
        seen[n++] = (struct line_seen_leg){
            .label = str_of(leg->label), .sid = str_of(leg->sid), .in_room = leg->in_room,
            .up_s = leg->up_at != 0 && leg->at == AT_UP ? (int64_t)((w->t - leg->up_at) / 1000) : -1,
            .status = leg->at == AT_DEAD ? leg->end : leg->at == AT_UP ? LEG_SAYS_IN_PROGRESS
                      : leg->at == AT_RINGING ? LEG_SAYS_RINGING : LEG_SAYS_QUEUED};
    }
    ev->kind = LINE_EV_FOUND;
    ev->u.found.cmd = c->n;
    ev->u.found.http_status = 200;
    ev->u.found.room = STR("CF1");
    ev->u.found.legs = seen;
    ev->u.found.n_legs = n;
}

static void answer_in(struct world *w, const struct item *i)
{
    struct line_event ev = {.kind = LINE_EV_DONE};
    static struct line_seen_leg seen[W_LEGS];
    bool make = i->cmd == LINE_CMD_CREATE || i->cmd == LINE_CMD_OFFER;

    LOG(w, "answer %u: %d", i->n, i->status);
    if (i->cmd == LINE_CMD_LOOK_UP) {
        if (i->status == 200) {
            found_in(w, i, &ev, seen); /* as it is now: the race is between its making and its reading */
        } else {
            ev.kind = LINE_EV_FOUND;
            ev.u.found.cmd = i->n;
            ev.u.found.http_status = i->status;
        }
    } else {
        ev.kind = make ? LINE_EV_CREATED : LINE_EV_DONE;
        ev.u.answer.cmd = i->n;
        ev.u.answer.http_status = i->status;
        ev.u.answer.maybe_sent = i->sent;
        ev.u.answer.sid = str_of(i->sid);
    }
    step(w, &ev);
}

static void exec_in(struct world *w, const struct item *i)
{
    struct item copy = *i, *a;
    bool make = copy.cmd == LINE_CMD_CREATE || copy.cmd == LINE_CMD_OFFER;
    int status;

    if (make && copy.status == 200 && w->faults && chance(w, 3)) {
        status = 400;
        copy.sid[0] = '\0';
    } else {
        status = execute(w, &copy);
        (void)snprintf(copy.sid, sizeof copy.sid, "%s", make && w->n_legs > 0 ? w->legs[w->n_legs - 1].sid
                       : copy.cmd == LINE_CMD_RECORD ? "RE1" : "");
    }
    if (copy.version != w->gen || w->down)
        return; /* nobody waits for it any more */
    a = plan_ours(w, W_ANSWER, copy.status == 1 ? 19000 + rnd(w, 3000) : 5 + rnd(w, w->faults ? 400 : 40));
    a->n = copy.n;
    a->cmd = copy.cmd;
    a->sent = true;
    a->status = copy.status == 0 || copy.status == 503 ? copy.status : status;
    if (answered_well(a->status))
        (void)snprintf(a->sid, sizeof a->sid, "%s", copy.sid);
    memcpy(a->known, copy.known, sizeof a->known);
}

static void simple_in(struct world *w, const struct item *i)
{
    struct line_event ev = {.kind = LINE_EV_NONE};

    switch (i->what) {
    case W_SAVED:
        commit(w, i->version);
        ev.kind = LINE_EV_SAVED;
        ev.u.version = i->version;
        break;
    case W_SLOT:
        ev.kind = LINE_EV_SLOT;
        ev.u.label = str_of(i->label);
        break;
    case W_JOIN:
        if (!w->legs[i->leg].in_room)
            return;
        ev.kind = LINE_EV_ROOM;
        ev.u.room.what = ROOM_JOIN;
        ev.u.room.label = str_of(w->legs[i->leg].label);
        ev.u.room.sid = str_of(w->legs[i->leg].sid);
        ev.u.room.room = STR("CF1");
        break;
    case W_ANNOUNCED:
        ev.kind = LINE_EV_ROOM;
        ev.u.room.what = ROOM_ANNOUNCED;
        break;
    case W_RECORDING:
        ev.kind = LINE_EV_RECORDING;
        ev.u.recording.what = RECORDING_DONE;
        ev.u.recording.sid = STR("RE1");
        break;
    case W_MACHINE:
        ev.kind = LINE_EV_MACHINE;
        ev.u.machine.by = i->n;
        break;
    case W_LIVE:
        if (w->legs[i->leg].at == AT_DEAD)
            return;
        ev.kind = LINE_EV_MODEL_LIVE;
        break;
    case W_GONE: ev.kind = LINE_EV_MODEL_GONE; break;
    case W_LEAVES: ev.kind = LINE_EV_MODEL_LEAVES; break;
    case W_NOTICE:
        ev.kind = LINE_EV_NOTICE_HEARD;
        w->heard = true;
        break;
    case W_SAID: ev.kind = LINE_EV_VOICEMAIL_SAID; break;
    case W_TURN: ev.kind = LINE_EV_CALLEE_TURN; break;
    default: return;
    }
    step(w, &ev);
}

static void act_in(struct world *w, const struct item *i)
{
    static const char *const targets[] = {"sales", "front", "boss"};
    struct row *r = &w->rows[w->n_rows];
    struct line_action *a = &r->asked;

    if (w->n_rows >= W_ROWS)
        return;
    memset(r, 0, sizeof *r);
    a->kind = (enum line_action_kind)i->n;
    (void)snprintf(a->id, sizeof a->id, "act_%u", w->n_rows);
    if (a->kind == ACT_TRANSFER || a->kind == ACT_INVITE || a->kind == ACT_REMOVE) {
        (void)snprintf(a->party, sizeof a->party, "%s", targets[rnd(w, 3)]);
        (void)snprintf(a->to, sizeof a->to, "+1555%07u", w->n_rows);
        a->warm = a->kind == ACT_TRANSFER && chance(w, 60);
    }
    (void)snprintf(a->text, sizeof a->text, "%s", "12#");
    a->secret = a->kind == ACT_COLLECT && chance(w, 30);
    w->n_rows++;
    if (w->crashes && chance(w, 12))
        plan(w, W_CRASH, rnd(w, 30));
    LOG(w, "ACTION %s %s %s %s", a->id, line_action_name(a->kind), a->party, a->warm ? "warm" : "");
    feed_action(w, w->n_rows - 1);
}

static void happen(struct world *w, const struct item *i)
{
    bool ours = i->gen != 0;

    if (ours && (i->gen != w->gen || w->down))
        return;
    switch (i->what) {
    case W_EXEC: exec_in(w, i); return;
    case W_LEG: leg_goes_on(w, i); return;
    case W_WEBHOOK: webhook(w, i); return;
    case W_DIGITS: digits_in(w, i); return;
    case W_BACK: joins(w, &w->legs[i->leg]); return;
    case W_START: start(w); return;
    case W_CRASH:
        if (!w->down)
            crash(w);
        return;
    default: break;
    }
    if (w->down) {
        if (i->what == W_ACT) { /* the API is there again later */
            struct item *again = plan(w, W_ACT, 1000);

            again->n = i->n;
        }
        return;
    }
    if (i->what == W_STATUS)
        status_in(w, i);
    else if (i->what == W_ANSWER)
        answer_in(w, i);
    else if (i->what == W_ACT)
        act_in(w, i);
    else
        simple_in(w, i);
}

/* ---- A life ---- */

static bool take_next(struct world *w, struct item *out)
{
    unsigned best = NONE;

    for (unsigned i = 0; i < w->n_items; i++) {
        if (best == NONE || w->items[i].at < w->items[best].at ||
            (w->items[i].at == w->items[best].at && w->items[i].order < w->items[best].order))
            best = i;
    }
    if (!w->down && w->l.timer_wall_ms != 0) {
        uint64_t at = w->l.timer_wall_ms < 1700000000000ull + w->t ? w->t : w->l.timer_wall_ms - 1700000000000ull;

        if (best == NONE || at < w->items[best].at) {
            w->t = at;
            *out = (struct item){.what = W_FREE};
            return true;
        }
    }
    if (best == NONE)
        return false;
    *out = w->items[best];
    w->items[best] = w->items[--w->n_items];
    w->t = out->at;
    return true;
}

/* Legs at the carrier that nobody should pay for. */
static void check_orphans(struct world *w)
{
    bool quiet = !w->faults && !w->down && w->l.phase >= LINE_ENDING && !w->l.leave_legs;
    uint64_t since = w->ending_at > w->started_at ? w->ending_at : w->started_at;
    bool caller_up = false, wrong = false, alone = !w->l.apologising && !w->l.hold_want;

    for (unsigned i = 0; i < w->n_legs; i++)
        caller_up = caller_up || (strcmp(w->legs[i].label, "caller") == 0 && w->legs[i].at != AT_DEAD);
    for (unsigned i = 0; i < w->n_legs; i++) {
        const struct wleg *leg = &w->legs[i];
        bool model = strcmp(leg->label, "model") == 0;

        alone = alone && (strcmp(leg->label, "caller") == 0 || leg->at != AT_UP);
        wrong = wrong || (leg->at == AT_UP && leg->held && w->l.phase == LINE_ANSWERED && !w->l.hold_want);
        if (leg->at == AT_DEAD || (leg->offered && !leg->in_room))
            continue;
        if (quiet && !w->l.apologising && w->t > since + 10000)
            w_must(w, w->t < leg->made_at + 10000, "a leg lives 10 s after the end");
        if (!w->faults && !w->down && model && !caller_up && w->t > w->caller_dead_at + 5000 &&
            w->t > w->started_at + 10000)
            w_must(w, w->t < leg->made_at + 10000, "the model talks to nobody");
    }
    w->alone_since = !alone || !caller_up || w->up_at == 0 || w->l.phase == LINE_OVER || w->down ? 0 : w->alone_since ? w->alone_since : w->t;
    w_must(w, w->alone_since == 0 || w->t < w->alone_since + 45000, "the caller hears nothing");
    w->wrong_since = !wrong || w->down || w->l.restored ? 0 : w->wrong_since ? w->wrong_since : w->t;
    w_must(w, w->wrong_since == 0 || w->t < w->wrong_since + 45000, "a human is on hold and nobody knows");
}

static void check_end(struct world *w)
{
    bool humans = w->l.leave_legs;
    unsigned staying = 0, ends = 0;

    w_must(w, w->l.phase == LINE_OVER && w->l.over_told, "it is not over in time");
    w_must(w, w->l.outcome != LINE_OUTCOME_NONE, "no outcome");
    for (unsigned i = 0; i < w->n_rows; i++)
        w_must(w, w->rows[i].shown >= ACTION_DONE, "an action without an outcome");
    for (unsigned i = 0; i < w->n_legs; i++) {
        const struct wleg *leg = &w->legs[i];
        bool model = strcmp(leg->label, "model") == 0;

        if (leg->at != AT_DEAD && !(humans && !model) && !(leg->offered && !leg->in_room))
            w_must(w, false, "a leg is left behind");
        if (leg->at != AT_DEAD && humans && !model) {
            w_must(w, !leg->held, "a human is left on hold");
            staying += leg->in_room;
            ends += leg->in_room && leg->ends;
        }
    }
    w_must(w, staying == 0 || ends >= 2 || (w->faults && ends > 0), "the room outlives those who stay");
    if (w->recorded && !w->crashes && !w->faults)
        w_must(w, w->fetched, "a recording is not fetched");
}

static void make_life(struct world *w)
{
    struct line_settings set = {
        .can = LINE_CAN_SAY * 2 - 1, .outbound = true, .ring_ms = RING_MS, .queue_ms = 60000, .max_ms = 150000,
        .hold_drop_ms = chance(w, 50) ? 8000 : 0, .detect_machine = true, .retries = chance(w, 25) ? 1 : 0,
        .voicemail = (enum line_voicemail)rnd(w, 3), .consent = chance(w, 50) ? CONSENT_NOTICE : CONSENT_NONE,
        .record = chance(w, 40)};
    bool inbound = chance(w, 20);

    (void)snprintf(set.model_uri, sizeof set.model_uri, "sip:proj_x@sip.example;transport=tls");
    w->consent_none = set.consent == CONSENT_NONE;
    w->gen = 1;
    if (inbound) {
        struct wleg *leg = &w->legs[w->n_legs++];

        set.outbound = false;
        *leg = (struct wleg){.label = "caller", .sid = "CA1", .at = AT_UP, .in_room = true, .ends = true, .up_at = 1};
        next_of(w, leg, AT_DEAD, 3000 + rnd(w, 90000), LEG_SAYS_COMPLETED);
        line_begin_inbound(&w->l, &set, STR("room"), STR("CA1"), STR("+15550001111"), now_of(w), &w->fx);
    } else {
        line_begin_dial(&w->l, &set, STR("room"), STR("+15550001111"), 0, now_of(w), &w->fx);
    }
    copy_line(&w->durable.l, &w->l);
    effects(w);
    for (unsigned n = rnd(w, 6); n > 0; n--) {
        unsigned kind = 1 + rnd(w, ACT_KINDS - 1);

        if (kind == ACT_HANGUP && chance(w, 50))
            kind = ACT_TRANSFER;
        plan(w, W_ACT, rnd(w, 40000))->n = kind;
    }
    for (unsigned n = w->crashes ? 1 + rnd(w, 3) : 0; n > 0; n--)
        plan(w, W_CRASH, rnd(w, chance(w, 50) ? 4000 : 60000));
    if (chance(w, 10))
        plan(w, W_LEAVES, rnd(w, 60000));
}

static const char *live(struct world *w, uint64_t seed, bool log)
{
    struct item i;
    uint64_t end = 0;

    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->rng = (seed + 1) * 0x9E3779B97F4A7C15ull;
    (void)rnd(w, 1);
    w->log = log;
    w->faults = (seed & 1) != 0;
    w->deaf = w->faults && chance(w, 15);
    w->crashes = (seed & 2) != 0;
    make_life(w);
    while (!w->bad && w->t < END_MS && take_next(w, &i)) {
        if (end != 0 && w->t > end)
            break;
        if (i.what == W_FREE) {
            struct line_event ev = {.kind = LINE_EV_TIMER};

            step(w, &ev);
        } else {
            happen(w, &i);
        }
        check_orphans(w);
        if (w->l.over_told && !w->down && end == 0)
            end = w->t + 12000;
        if (w->down)
            end = 0;
    }
    if (!w->bad)
        check_end(w);
    return w->bad;
}

static uint64_t env_number(const char *name, uint64_t or_else)
{
    const char *v = getenv(name);
    uint64_t n;

    return v && str_u64(str_of(v), &n) ? n : or_else;
}

static struct world the_world;

int main(void)
{
    uint64_t one = env_number("OCV_LINE_SEED", 0), runs = env_number("OCV_LINE_RUNS", RUNS), bad = 0;
    unsigned outcomes[LINE_OUTCOMES] = {0}, max_fx = 0;
    const char *why;

    T_CASE("no life of a line breaks a rule");
    for (uint64_t seed = one ? one : 1; seed <= (one ? one : runs) && bad < 10; seed++) {
        why = live(&the_world, seed, one != 0);
        if (why) {
            T_FAIL("seed %llu: %s (at %llu ms)", (unsigned long long)seed, why, (unsigned long long)the_world.t);
            bad++;
        }
        outcomes[the_world.l.outcome]++;
        if (the_world.max_fx > max_fx)
            max_fx = the_world.max_fx;
    }
    T_CASE("the lives end in every way");
    if (!one && bad == 0) {
        for (unsigned i = 1; i < LINE_OUTCOMES; i++)
            printf("  %s: %u\n", line_outcome_name((enum line_outcome)i), outcomes[i]);
        printf("  most effects of one step: %u of %u\n", max_fx, LINE_FX_MAX);
        T_GT(outcomes[LINE_OUTCOME_ANSWERED], runs / 20);
        T_GT(outcomes[LINE_OUTCOME_TRANSFERRED], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_VOICEMAIL], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_BUSY], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_NO_ANSWER], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_CANCELED], runs / 500);
        T_GT(outcomes[LINE_OUTCOME_FAILED], runs / 200);
        T_GT(outcomes[LINE_OUTCOME_INTERRUPTED], runs / 1000);
    } else {
        T_TRUE(true);
    }
    T_LT(max_fx, LINE_FX_MAX / 2);
    return T_DONE();
}
