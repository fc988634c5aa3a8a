/* SPDX-License-Identifier: MIT */
/* A call's world: beginnings, steps, deaths, copies, and what tells two worlds apart. */
#include "tests/model/call_world.h"

#include "plugin/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGAN_MONO 10000000u
#define BEGAN_WALL 1790000000000u
#define AWAY_MS 1000u         /* from a death to the next instance */
#define STALL_MS 60000u
#define MAX_DURATION_MS 300000u
#define END_MS 400000u        /* bound: the longest duration, attaching, a goodbye and a hang-up without an answer */
#define END_LINE_MS 94000000u /* a line waits for quiet hours to end: 24 h + 1 h + the longest duration */
#define SILENT_MS 12500u      /* bound: between two words to a caller who waits for a result (progress_every_ms) */
#define WALK_STEPS 600u

static struct call_effects fx;

static struct call_settings settings(void)
{
    static const char *const natives[] = {"memory_search", "ask_owner"};
    struct call_settings set = {.filler_after_ms = 3000, .progress_every_ms = 12000, .tool_timeout_ms = 45000,
                                .owner_timeout_ms = 60000, .max_duration_ms = MAX_DURATION_MS, .silence_ms = 60000,
                                .tools = CALL_TOOLS_FULL, .ask_available = true, .verify_available = true,
                                .native_tools = natives, .n_native_tools = 2, .line = scenario->line,
                                .ask_consent = scenario->line};

    if (scenario->notice) {
        set.notice = STR("This call is recorded.");
        set.notice_first = true;
    }
    if (scenario->priced) {
        set.rates.known = true;
        set.rates.speech.audio_out = 1000;
    }
    return set;
}

/* ---- Writes become durable ---- */

void save_apply(struct world *w, const struct save *s)
{
    struct row *r = &w->row;

    if (s->state != 0xff)
        r->state = s->state;
    if (s->has_reason)
        r->reason = s->reason;
    r->live = r->live || s->live;
    r->spoke = r->spoke || s->spoke;
    if (s->charge) {
        r->charged = true;
        r->last_response = s->last_response;
    }
    if (s->tool_state == 0xff)
        return;
    r->tool[s->tool] = s->tool_state;
    r->output[s->tool] = (r->output[s->tool] || s->output) && s->tool_state != T_ASKED && s->tool_state != T_CLOSED;
    if (s->tool_state == T_ACTING || s->tool_state == T_LATE_ACTING || s->tool_state == T_MOVED_ACTING)
        w->past.acted[s->tool] = true;
}

static void make_durable(struct world *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        save_apply(w, &w->saves[i]);
    memmove(w->saves, w->saves + n, (w->n_saves - n) * sizeof w->saves[0]);
    w->n_saves -= n;
}

/* What is durable before the next event without being told: see the head of call_world.h. */
static unsigned silently_durable(const struct world *w)
{
    unsigned n = 0;

    if (scenario->lag)
        return w->n_saves > LAG ? w->n_saves - LAG : 0;
    while (n < w->n_saves && w->saves[n].ticket == 0)
        n++;
    return n;
}

/* ---- Steps ---- */

static void feed(struct world *w, const struct call_event *ev)
{
    struct call_event timer = {.kind = CALL_EV_TIMER};

    call_step(&w->c, ev, w->now, &fx);
    watch_effects(w, &fx);
    for (unsigned turns = 0;; turns++) {
        uint64_t at = call_deadline_ms(&w->c);

        must(I_SPIN, turns < 4, "a deadline that is due does not go away");
        if (at == 0 || at > w->now.mono_ms || ev->kind == CALL_EV_LEAVE || turns == 4)
            break;
        call_step(&w->c, &timer, w->now, &fx);
        watch_effects(w, &fx);
    }
}

/* All that is open becomes durable in one commit; then tickets are told. */
static void settle(struct world *w)
{
    struct call_event ev = {.kind = CALL_EV_SAVED};
    struct save was[SAVES];
    unsigned n = w->n_saves;

    memcpy(was, w->saves, sizeof was);
    make_durable(w, n);
    w->row0 = w->row;
    w->past0 = w->past;
    w->n_saves0 = 0;
    for (unsigned i = 0; i < n && !w->over; i++) {
        ev.u.ticket = was[i].ticket;
        if (ev.u.ticket != 0)
            feed(w, &ev);
    }
}

static void restart(struct world *w);

static void let_time_pass(struct world *w, uint64_t late_ms)
{
    uint64_t at = call_deadline_ms(&w->c) + late_ms;

    if (at > w->now.mono_ms) {
        w->now.wall_ms += at - w->now.mono_ms;
        w->now.mono_ms = at;
    }
}

void world_step(void *world, unsigned event)
{
    struct world *w = world;
    enum call_state before = w->c.state;
    struct call_output outputs[CALL_OUTPUTS_MAX];
    struct call_event ev;

    make_durable(w, silently_durable(w));
    w->past0 = w->past;
    w->row0 = w->row;
    w->n_saves0 = w->n_saves;
    memcpy(w->saves0, w->saves, sizeof w->saves);
    w->n_log = w->n_effects = 0;
    if (event == E_TIMER || event == E_LATE)
        let_time_pass(w, event == E_LATE ? STALL_MS : 0);
    if (event == E_DURABLE || (event == E_LEG && w->n_saves > 0)) {
        settle(w);
        if (event == E_DURABLE) {
            watch_after(w);
            return;
        }
    }
    /* The shell claims the leg before it tells of it: one commit, which all writes before it are part of. */
    if (event == E_LEG && call_takes_leg(&w->c)) {
        make_durable(w, w->n_saves);
        w->row.state = ROW_CLAIMED;
        for (unsigned i = 0; i < w->n_tools; i++)
            w->past.old[i] = true;
        w->row0 = w->row;
        w->past0 = w->past;
        w->n_saves0 = 0;
        w->n_log = 0;
    }
    watch_before(w, event);
    call_make(w, event, &ev, outputs);
    feed(w, &ev);
    if (event != E_LEAVE) { /* after it nobody asks this machine any more */
        watch_after(w);
        watch_answer(w, event, before);
    }
    if (w->c.live_since_ms != 0 && w->live_at == 0)
        w->live_at = w->now.mono_ms;
    if (event == E_LEAVE && !w->over) {
        make_durable(w, w->n_saves);
        restart(w);
    }
}

/* ---- Beginnings ---- */

unsigned world_roots(void)
{
    return scenario->line || scenario->live ? 1 : 2;
}

void world_root(void *world, unsigned i)
{
    static const unsigned char way[] = {E_LEG, E_ACC_OK, E_SESSION, E_DURABLE};
    struct world *w = world;
    struct call_settings set = settings();

    memset(w, 0, sizeof *w);
    w->now = (struct call_now){.mono_ms = BEGAN_MONO, .wall_ms = BEGAN_WALL};
    w->began_at = w->now.mono_ms;
    call_init(&w->c, &set);
    w->row.state = i == 1 ? ROW_REFUSING : scenario->line ? ROW_WAITING : ROW_CLAIMED;
    if (i == 1)
        call_begin_refusal(&w->c, CALL_REASON_REFUSED_POLICY, 603, STR("nobody knows them"), w->now, &fx);
    else if (scenario->line)
        call_begin_waiting(&w->c, w->now, &fx);
    else
        call_begin(&w->c, w->now, &fx);
    w->began = w->row;
    watch_effects(w, &fx);
    watch_after(w);
    for (unsigned k = 0; scenario->live && k < sizeof way / sizeof way[0]; k++)
        if (way[k] != E_LEG || scenario->line)
            world_step(w, way[k]);
}

/* ---- Deaths ---- */

struct point { /* after k effects that matter, with n writes durable */
    unsigned k, n;
};

static bool matters(enum log_kind kind)
{
    return kind == L_OUTPUT || kind == L_RUN || kind == L_MACHINE;
}

/* The i-th point of death of the last step; false: there are fewer. Effects that leave no trace are no points. */
static bool point_at(const struct world *w, unsigned i, struct point *out)
{
    unsigned done = w->n_saves0, seen = 0;

    for (unsigned k = 0; k <= w->n_log; k++) {
        bool last = k == w->n_log;

        /* What is durable may be anything up to what was handed over; a new point only where something is new. */
        unsigned from = last || matters(w->log[k].kind) ? 0 : done;

        for (unsigned n = from; n <= done; n++) {
            if (seen++ == i) {
                *out = (struct point){.k = k, .n = n};
                return true;
            }
        }
        if (!last)
            done += w->log[k].kind == L_SAVE;
    }
    return false;
}

unsigned world_crashes(const void *world)
{
    const struct world *w = world;
    struct point p;
    unsigned n = 0;

    if (w->deaths >= scenario->crashes || w->n_log == 0 || w->dead)
        return 0;
    while (point_at(w, n, &p))
        n++;
    return n;
}

/* The past and the row as they are at that point. */
static void rewind_to(struct world *w, const struct point *p)
{
    struct save queue[SAVES + LOG];
    unsigned n = w->n_saves0;

    memcpy(queue, w->saves0, n * sizeof queue[0]);
    w->past = w->past0;
    w->row = w->row0;
    for (unsigned k = 0; k < p->k; k++) {
        const struct entry *e = &w->log[k];

        if (e->kind == L_SAVE)
            queue[n++] = e->save;
        if (e->kind == L_OUTPUT) {
            w->past.sent[e->tool] = true;
            w->past.probed[e->tool] = false;
        }
        if (e->kind == L_RUN && w->past.runs[e->tool] < 3)
            w->past.runs[e->tool]++;
        if (e->kind == L_MACHINE)
            w->past.asked_machine = true;
    }
    for (unsigned i = 0; i < p->n && i < n; i++)
        save_apply(w, &queue[i]);
    w->n_saves = 0;
}

static unsigned age_class(const struct world *w)
{
    return w->live_at == 0 ? 0 : 1 + (unsigned)((w->now.mono_ms - w->live_at) / 60000);
}

struct mark world_death(const void *world, unsigned i)
{
    static struct world w;
    const struct world *from = world;
    struct mark m = {.a = 1, .b = 2};
    struct point p = {0};
    unsigned numbers[4];

    (void)point_at(from, i, &p);
    w.row0 = from->row0;
    w.past0 = from->past0;
    memcpy(w.saves0, from->saves0, sizeof w.saves0);
    w.n_saves0 = from->n_saves0;
    memcpy(w.log, from->log, sizeof w.log);
    rewind_to(&w, &p);
    numbers[0] = from->deaths;
    numbers[1] = from->n_tools | (unsigned)from->kind[0] << 8 | (unsigned)from->kind[1] << 16;
    numbers[2] = age_class(from);
    numbers[3] = (from->n_responses < 2 ? from->n_responses : 2) |
                 (unsigned)(w.row.last_response == 1 + from->n_responses % 250) << 8;
    w.row.last_response = 0;
    mark_add(&m, &w.row, sizeof w.row);
    mark_add(&m, &w.past, sizeof w.past);
    mark_add(&m, numbers, sizeof numbers);
    return m;
}

static void restored_tools(const struct world *w, struct call_restored *r, struct call_restore_tool *tools)
{
    for (unsigned i = 0; i < TOOLS; i++) {
        if (w->row.tool[i] == T_NONE || w->row.tool[i] == T_CLOSED)
            continue;
        tools[r->n_tools++] = (struct call_restore_tool){
            .id = tool_id(i), .name = function_name(w->kind[i]), .arguments = function_arguments(w->kind[i]),
            .state = str_of(tool_row_names[w->row.tool[i]]), .output = w->row.output[i] ? STR("Sunny.") : STR(""),
            .age_ms = 10000};
    }
}

/* What the row owes is done at once. */
static void owed(const struct world *w)
{
    const struct call *c = &w->c;

    switch (w->began.state) {
    case ROW_CLAIMED: must(I_OWED, w->accepts == 1 && c->state == CALL_ACCEPTING, "claimed, and not accepted"); break;
    case ROW_ACCEPTED:
    case ROW_LIVE: must(I_OWED, w->opening && c->state == CALL_ATTACHING, "accepted, and not attached"); break;
    case ROW_WAITING: must(I_OWED, c->state == CALL_WAITING, "waiting, and not waiting"); break;
    case ROW_LEAVING:
        must(I_OWED, (c->set.line ? w->line_ends : w->hangups == 1) && c->state == CALL_HANGING_UP,
             "leaving, and not hung up");
        break;
    case ROW_REFUSING: must(I_OWED, w->rejects == 1 && c->state == CALL_REFUSING, "refusing, and not rejected"); break;
    default: break;
    }
}

static void restart(struct world *w)
{
    static struct world next;
    struct call_settings set = settings();
    struct call_restore_tool tools[TOOLS];
    char last[24];
    struct call_restored r = {.state = str_of(row_names[w->row.state]),
                              .reason = str_of(call_reason_name((enum call_reason)w->row.reason)),
                              .spoke = w->row.spoke, .tools = tools};

    call_free(&w->c);
    next = (struct world){.now = w->now, .past = w->past, .row = w->row, .began = w->row, .n_tools = w->n_tools,
                          .n_responses = w->n_responses, .deaths = w->deaths + 1, .live_at = w->live_at,
                          .began_at = w->began_at, .machine_before = w->past.asked_machine};
    memcpy(next.kind, w->kind, sizeof next.kind);
    next.now.mono_ms += AWAY_MS;
    next.now.wall_ms += AWAY_MS;
    *w = next;
    call_init(&w->c, &set);
    if (w->row.state == ROW_OVER) {
        w->dead = w->over = true;
        return;
    }
    r.age_ms = w->now.mono_ms - w->began_at;
    r.live_age_ms = w->row.live ? w->now.mono_ms - w->live_at + 1 : 0;
    r.sip_status = w->row.state == ROW_REFUSING ? 603 : 0;
    if (w->row.charged) {
        r.usage.responses = 1;
        r.cost_nano = 10000;
        (void)snprintf(last, sizeof last, "resp_%u", (w->row.last_response - 1u) % 250u);
        r.last_response = str_of(last);
        if (w->row.last_response == 1 + w->n_responses % 250)
            w->last_done = w->n_responses + 1;
    }
    restored_tools(w, &r, tools);
    w->leg_new = scenario->line && w->row.state == ROW_CLAIMED; /* it is there, and was not answered */
    call_restore(&w->c, &r, w->now, &fx);
    watch_effects(w, &fx);
    watch_after(w);
    owed(w);
}

void world_crash(void *world, unsigned i)
{
    struct world *w = world;
    struct point p = {0};

    (void)point_at(w, i, &p);
    rewind_to(w, &p);
    restart(w);
}

/* ---- Timers alone ---- */

static bool waits_for_words(const struct world *w)
{
    const struct floor *f = &w->c.floor;

    return w->c.state == CALL_LIVE && !w->c.held && w->open && !f->response_active &&
           !f->caller_speaking && !f->audio_playing && (f->want != 0 || f->response_asked || tools_running(&w->c));
}

bool world_walk(void *world)
{
    struct world *w = world;
    struct call_event timer = {.kind = CALL_EV_TIMER};
    uint64_t began = w->now.mono_ms, silent = 0;
    unsigned steps = 0;

    for (; w->c.state != CALL_OVER && !w->dead && steps < WALK_STEPS; steps++) {
        uint64_t at = call_deadline_ms(&w->c), before = w->now.mono_ms;
        bool waits = waits_for_words(w);
        unsigned asks = w->c.floor.ask_seq;

        if (at == 0)
            break;
        let_time_pass(w, 0);
        call_step(&w->c, &timer, w->now, &fx);
        silent = waits ? silent + (w->now.mono_ms - before) : 0;
        must(I_SILENT, silent <= SILENT_MS, "words are owed, and nobody says anything");
        measure(M_SILENT_MS, silent);
        if (w->c.floor.ask_seq != asks)
            silent = 0;
    }
    measure(scenario->line ? M_END_LINE_MS : M_END_MS, w->now.mono_ms - began);
    measure(M_STEPS, steps);
    must(I_EXIT, (w->c.state == CALL_OVER || w->dead) &&
                 w->now.mono_ms - began <= (scenario->line ? END_LINE_MS : END_MS),
         "timers alone do not end it in time");
    return w->c.state == CALL_OVER || w->dead;
}

/* ---- Copies ---- */

void world_copy(void *to, const void *from)
{
    struct world *a = to;
    const struct world *b = from;

    *a = *b;
    a->c.gone = NULL;
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = b->c.tools[i];
        struct tool *n;

        if (t == NULL)
            continue;
        n = a->c.tools[i] = MEM_NEW(struct tool);
        if (n == NULL)
            exit(1);
        *n = *t;
        n->name = mem_dup(t->name, strlen(t->name));
        n->arguments = mem_dup(t->arguments, strlen(t->arguments));
        n->output = t->output ? mem_dup(t->output, strlen(t->output)) : NULL;
        n->news = t->news ? mem_dup(t->news, strlen(t->news)) : NULL;
    }
    if (b->c.voicemail_words != NULL)
        a->c.voicemail_words = mem_dup(b->c.voicemail_words, strlen(b->c.voicemail_words));
    for (unsigned i = 0; i < TRANSCRIPT_KEPT; i++) {
        const struct transcript_kept *k = &b->c.transcript.kept[i];

        if (k->text != NULL)
            a->c.transcript.kept[i].text = mem_dup(k->text, k->n);
    }
}

void world_drop(void *world)
{
    struct world *w = world;

    call_free(&w->c);
}

/* ---- What tells worlds apart ---- */

/* 0 none, 1 the response that began last, 2 the one before, 3 older. */
static uint8_t role_of(const struct world *w, uint64_t hash)
{
    char id[24];

    for (unsigned back = 0; back < 2 && hash != 0; back++) {
        (void)snprintf(id, sizeof id, "resp_%u", w->n_responses > back ? w->n_responses - back : 0);
        if (floor_hash(str_of(id)) == hash)
            return (uint8_t)(1 + back);
    }
    return hash == 0 ? 0 : 3;
}

static uint8_t done_roles(const struct world *w)
{
    uint8_t all = 0;

    for (unsigned i = 0; i < 8; i++)
        all |= (uint8_t)(1u << role_of(w, w->c.floor.done_ids[i]));
    return all & 0x6;
}

static uint8_t least(uint64_t v, uint8_t max)
{
    return v > max ? max : (uint8_t)v;
}

static void mark_call(struct mark *m, const struct world *w)
{
    const struct call *c = &w->c;
    uint8_t announced = 0;
    uint64_t left = c->budget.left, warn = c->budget.warn_left;

    for (unsigned i = 0; i < CALL_ANNOUNCED; i++)
        announced |= c->announced[i].who != CALL_WHO_OTHER;
    const uint8_t v[] = {
        (uint8_t)c->state, (uint8_t)c->reason, c->state == CALL_ATTACHING ? least(c->tries, 12) : 0,
        (uint8_t)c->not_found, c->greet_saved, c->restored,
        c->greeted, c->was_live, c->second_accept, c->uncertain_accept, c->sideband_open, c->accepted, c->warned,
        c->expires_first, c->leg, c->leg_again, c->held, c->line_over, c->referred, c->notice_due, c->notice_heard,
        c->consented, (uint8_t)c->notices, (uint8_t)c->voicemail, c->voicemail_words != NULL, least(c->n_keys, 2),
        announced, c->unrecorded, c->turned, (uint8_t)c->pin_tries, c->cost_warned, c->set.context_late,
        left == 0 ? 0 : left < c->dearest_nano ? 1 : 2, warn == 0, c->cost_nano > 0, c->dearest_nano > 0,
        c->lost_wall_ms != 0, c->live_since_ms != 0};

    mark_add(m, v, sizeof v);
}

static void mark_floor(struct mark *m, const struct world *w)
{
    const struct floor *f = &w->c.floor;
    const uint8_t v[] = {
        f->response_active, f->response_asked, f->caller_speaking, f->audio_playing, f->ask_seq > 0,
        least(f->failures, 3), f->heard_any, role_of(w, f->audio_id), role_of(w, f->goodbye_id),
        role_of(w, f->notice_id), role_of(w, f->voicemail_id), role_of(w, f->stopped_id), done_roles(w),
        f->quiet_since > f->active_at, f->active_until == f->active_at + 60000};

    mark_add(m, v, sizeof v);
    mark_add(m, &f->want, sizeof f->want);
    mark_add(m, &f->asked_for, sizeof f->asked_for);
}

static void mark_tools(struct mark *m, const struct world *w)
{
    for (unsigned i = 0; i < CALL_TOOLS_PENDING; i++) {
        const struct tool *t = w->c.tools[i];

        if (t == NULL)
            continue;
        const uint8_t v[] = {
            (uint8_t)tool_of(t->id), (uint8_t)t->state, (uint8_t)t->kind, t->acting, t->restored, t->confirmed,
            t->was_late, t->probed, t->cancelled, t->news_sent, t->news_here, t->news_again, t->keypad,
            t->output != NULL, t->news != NULL, least(w->c.batch_seq - t->batch, 2)};

        mark_add(m, v, sizeof v);
    }
}

/* Nothing is said any more: who speaks makes no difference. */
static void mark_leaving(struct mark *m, const struct world *w)
{
    const struct call *c = &w->c;
    const uint8_t v[] = {
        (uint8_t)c->state, (uint8_t)c->reason, c->line_over, c->leg, c->sideband_open, c->referred, w->open, w->opening,
        w->rejects, w->hangups, w->running[0], w->running[1], w->ran[0], w->ran[1], (uint8_t)w->deaths, w->told_said,
        (uint8_t)c->voicemail, w->began.live};
    const uint64_t at[] = {c->deadline_ms, c->try_at_ms, keys_deadline(c)};

    mark_add(m, v, sizeof v);
    mark_tools(m, w);
    mark_times(m, at, sizeof at / sizeof at[0], w->now.mono_ms);
}

static uint64_t if_(bool on, uint64_t at)
{
    return on ? at : 0;
}

static void mark_clock(struct mark *m, const struct world *w)
{
    const struct call *c = &w->c;
    const struct floor *f = &c->floor;
    uint64_t at[40] = {
        c->deadline_ms, c->try_at_ms, if_(c->state == CALL_ATTACHING, c->try_until_ms), keys_deadline(c), c->max_at_ms,
        if_(!c->warned, c->warn_at_ms), c->voicemail_until, if_(f->response_asked, f->asked_at + 5000),
        if_(f->response_active, f->active_until), if_(f->caller_speaking, f->speaking_at + 30000),
        if_(f->audio_playing, f->audio_until), f->auto_until, f->retry_at, f->guard_at, f->heard_check_at, f->greet_at,
        if_(c->state == CALL_LIVE, f->quiet_since + c->set.silence_ms), if_(f->filler_at != 0, f->filler_at + 12000),
        if_(c->state == CALL_LIVE, c->spoke_at_ms + 5000), if_(tools_running(c), f->quiet_since + 3000),
        if_(w->asked, w->asked_at + 5000), if_(w->active, w->active_until), if_(w->speaking, w->speaking_until),
        w->auto_until};
    unsigned n = 24;

    for (unsigned i = 0; i < CALL_TOOLS_PENDING && n + 3 <= 40; i++) {
        const struct tool *t = c->tools[i];

        if (t == NULL)
            continue;
        at[n++] = t->asked_at + (t->state == TOOL_LATE ? 600000u : t->kind == TOOL_OWNER ? 60000u : 45000u);
        at[n++] = if_(t->state == TOOL_PROBING || t->state == TOOL_SENT || t->news_sent,
                      t->since + (t->state == TOOL_PROBING ? 3000 : 30000));
        at[n++] = if_(t->state == TOOL_RUNNING, t->asked_at + 3000);
    }
    mark_times(m, at, n, w->now.mono_ms);
}

struct mark world_mark(const void *world)
{
    static struct world canon;
    const struct world *w = &canon;
    struct mark m = {.a = 7, .b = 11};
    struct row row, began = ((const struct world *)world)->began;
    bool charged;

    canon = *(const struct world *)world; /* its texts are borrowed */
    make_durable(&canon, silently_durable(&canon)); /* as the next step begins */
    row = canon.row;
    charged = row.last_response == 1 + w->n_responses % 250;
    const uint8_t v[] = {
        (uint8_t)canon.deaths, w->dead, w->opening, w->open, w->over, w->awaits_accept, w->leg_new, w->told_said,
        w->line_ends, w->machine_before, w->accepts, w->rejects, w->hangups, w->machine_asks, w->machine_failures,
        w->greeted, w->greeting, w->asked, w->active, w->speaking, w->asked_greeting && w->asked,
        w->last_done == w->n_responses + 1, charged, (uint8_t)w->n_tools, w->kind[0],
        w->kind[1], began.live, (uint8_t)w->n_saves, w->ran[0], w->ran[1], w->running[0], w->running[1], w->keyed[0],
        w->keyed[1], w->asked_here, w->saw[0], w->saw[1]};

    if (w->dead) { /* whatever it was */
        mark_add(&m, &w->dead, sizeof w->dead);
        return m;
    }
    if (w->c.state == CALL_OVER) {
        mark_add(&m, &w->c.reason, sizeof w->c.reason);
        mark_add(&m, &w->deaths, sizeof w->deaths);
        mark_add(&m, &w->row.state, sizeof w->row.state);
        return m;
    }
    row.last_response = 0;
    mark_add(&m, &row, sizeof row);
    mark_add(&m, &w->past, sizeof w->past);
    mark_add(&m, w->saves, w->n_saves * sizeof w->saves[0]);
    if (w->c.state == CALL_HANGING_UP || w->c.state == CALL_REFUSING) {
        mark_leaving(&m, w);
        return m;
    }
    mark_add(&m, v, sizeof v);
    mark_call(&m, w);
    mark_floor(&m, w);
    mark_tools(&m, w);
    mark_clock(&m, w);
    return m;
}
