/* SPDX-License-Identifier: MIT */
/* What tells two lines' worlds apart. */
#include "tests/model/line_world.h"

static void mark_text(struct mark *m, const char *text)
{
    mark_add(m, text, strlen(text) + 1);
}

static void mark_job(struct mark *m, const struct line_job *j)
{
    const uint8_t v[] = {j->n != 0, (uint8_t)j->what, j->fails > 3 ? 3 : (uint8_t)j->fails, j->on};

    mark_add(m, v, sizeof v);
}

static void mark_leg(struct mark *m, const struct leg *leg)
{
    const uint8_t v[] = {
        (uint8_t)leg->state, (uint8_t)leg->role, leg->held, leg->muted, leg->ended_by_us, leg->saved, leg->offered,
        leg->in_room, leg->given_up, leg->mute_want, leg->ends_room, leg->ends_want, leg->slot_asked,
        (uint8_t)leg->unsure, leg->tries > 2 ? 2 : (uint8_t)leg->tries};

    mark_add(m, v, sizeof v);
    mark_text(m, leg->label);
    mark_text(m, leg->sid);
    mark_job(m, &leg->job);
}

static void mark_machine(struct mark *m, const struct line *l)
{
    const uint8_t v[] = {
        (uint8_t)l->phase, (uint8_t)l->outcome, (uint8_t)l->recording, l->consented, l->held, l->model_dropped,
        l->apologising, l->leave_legs, l->restored, l->voicemail, (uint8_t)l->attempts,
        l->callee_turns > 2 ? 2 : (uint8_t)l->callee_turns, l->model_live, l->over_told, l->hold_want, l->model_check,
        l->notice_asked, l->newcomer, l->pause_want, l->record_stop, l->record_unsure, l->fetched, l->handed_over,
        l->voicemail_told, l->machine_end, l->look_now, l->look_slow, (uint8_t)l->model_tries, (uint8_t)l->model_brings,
        l->room[0] != '\0', l->recording_sid[0] != '\0', l->direct};

    mark_add(m, v, sizeof v);
    for (unsigned i = 0; i < LINE_PARTIES; i++)
        mark_leg(m, &l->legs[i]);
    mark_leg(m, &l->stray);
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        const struct line_action *a = &l->actions[i];
        const uint8_t x[] = {(uint8_t)a->kind, (uint8_t)a->state, a->sent, a->warm, a->accepted, a->holds,
                             (uint8_t)a->step};

        if (a->kind == ACT_NONE)
            continue;
        mark_add(m, x, sizeof x);
        mark_text(m, a->id);
        mark_job(m, &a->job);
    }
    mark_job(m, &l->look);
    mark_job(m, &l->end_room);
    mark_job(m, &l->record_job);
    mark_job(m, &l->apology);
}

static uint64_t behind(uint64_t at, uint64_t ms)
{
    return at != 0 ? at + ms : 0;
}

static void mark_clock(struct mark *m, const struct line *l, uint64_t now)
{
    uint64_t at[64] = {
        l->timer_wall_ms, behind(l->due_wall_ms, l->set.queue_ms), l->model_due_wall_ms,
        behind(l->answered_wall_ms, l->set.max_ms), behind(l->held_wall_ms, l->set.hold_drop_ms),
        behind(l->held_wall_ms, 900000), behind(l->ended_wall_ms, 15000), behind(l->ended_wall_ms, 75000),
        behind(l->model_brought_wall_ms, 60000), l->resume_wall_ms, l->voicemail_due_wall_ms,
        behind(l->record_wall_ms, 30000), behind(l->restored_wall_ms, 15000), l->look.until_ms, l->end_room.until_ms,
        l->record_job.until_ms, l->apology.until_ms};
    unsigned n = 17;

    for (unsigned i = 0; i < 4; i++) {
        const struct leg *leg = &l->legs[i];

        at[n++] = leg->state == LEG_LOST ? leg->since_wall_ms + 60000 : 0;
        at[n++] = leg->state == LEG_RINGING && leg->role == ROLE_MODEL ? leg->since_wall_ms + 4000 : 0;
        at[n++] = leg->state == LEG_WANTED ? leg->not_before_wall_ms : 0;
        at[n++] = leg->job.n != 0 ? leg->job.until_ms : leg->job.next_ms;
    }
    for (unsigned i = 0; i < LINE_ACTIONS && n + 2 <= 64; i++) {
        if (!act_open(&l->actions[i]))
            continue;
        at[n++] = l->actions[i].deadline_wall_ms;
        at[n++] = l->actions[i].job.n != 0 ? l->actions[i].job.until_ms : l->actions[i].job.next_ms;
    }
    mark_times(m, at, n, now);
}

static void mark_truth(struct mark *m, const struct truth *t)
{
    for (unsigned i = 0; i < t->n_legs; i++) {
        const struct carried *c = &t->legs[i];
        const uint8_t v[] = {(uint8_t)c->at, c->busy, c->told, c->end_sent, c->room};

        mark_add(m, v, sizeof v);
        mark_text(m, c->label);
    }
    for (unsigned i = 0; i < t->n_acts; i++) {
        const struct acted *a = &t->acts[i];
        const uint8_t v[] = {a->asked, a->over, a->warm, a->unknown, (uint8_t)a->kind};

        mark_add(m, v, sizeof v);
    }
    const uint8_t v[] = {(uint8_t)t->n_legs, (uint8_t)t->n_acts, (uint8_t)t->deaths, t->room_ended, t->apologised};

    mark_add(m, v, sizeof v);
}

struct mark line_mark(const void *world)
{
    const struct lworld *w = world;
    struct mark m = {.a = 3, .b = 5};
    const uint8_t v[] = {w->has_durable, w->has_open, w->slot[0], w->slot[1], w->over, w->told_over, w->gone,
                         w->last_cmd != 0, (uint8_t)w->n_sent, w->has_older};

    if (w->gone) {
        mark_add(&m, &w->gone, sizeof w->gone);
        return m;
    }
    mark_add(&m, v, sizeof v);
    mark_truth(&m, &w->truth);
    mark_machine(&m, &w->l);
    mark_clock(&m, &w->l, w->now.wall_ms);
    if (w->has_older)
        mark_machine(&m, &w->older);
    if (w->has_open)
        mark_machine(&m, &w->open);
    if (w->has_durable)
        mark_machine(&m, &w->durable);
    for (unsigned i = 0; i < w->n_sent; i++) {
        uint8_t what = (uint8_t)w->sent[i].what;

        mark_add(&m, &what, 1);
        mark_text(&m, w->sent[i].label);
        mark_text(&m, w->sent[i].sid);
    }
    return m;
}

struct mark line_death(const void *world, unsigned i)
{
    static struct lworld w;
    struct mark m = {.a = 9, .b = 13};

    w = *(const struct lworld *)world;
    line_left(&w, i);
    mark_truth(&m, &w.truth);
    mark_add(&m, &w.has_durable, sizeof w.has_durable);
    if (w.has_durable) {
        mark_machine(&m, &w.durable);
        mark_clock(&m, &w.durable, w.now.wall_ms);
    }
    return m;
}
