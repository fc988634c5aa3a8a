/* SPDX-License-Identifier: MIT */
/* The table of calls, and events on their way into the machines. Effects are in calls_fx.c. */
#include "plugin/calls.h"

#include "abi/openclaw_voice.h"
#include "memory/journal.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls_int.h"
#include "plugin/lines.h"
#include "plugin/notice.h"
#include "plugin/questions.h"
#include "plugin/runs.h"
#include "plugin/screen.h"

#include <string.h>

#define FIRST_BUCKETS 256u
#define CONTEXT_MS 50u     /* a caller's call is accepted with the context that is there by then */
#define REFUSING_MAX 1000u /* rejects under way; a flood of strangers must not use up memory */

/* ---- The table ---- */

static struct live **slot(struct calls *cs, struct str id)
{
    struct live **at = &cs->buckets[id_hash(id, 0) & (cs->n_buckets - 1)];

    while (*at != NULL && !str_eqc(id, (*at)->id))
        at = &(*at)->next;
    return at;
}

struct live *live_find(struct calls *cs, struct str id)
{
    return *slot(cs, id);
}

static void grow(struct calls *cs)
{
    unsigned n = cs->n_buckets * 2;
    struct live **buckets = mem_zalloc(n * sizeof(struct live *)), **old = cs->buckets;

    if (buckets == NULL)
        return; /* longer chains still work */
    for (unsigned i = 0; i < cs->n_buckets; i++) {
        while (old[i] != NULL) {
            struct live *lc = old[i];
            struct live **at = &buckets[id_hash(str_of(lc->id), 0) & (n - 1)];

            old[i] = lc->next;
            lc->next = *at;
            *at = lc;
        }
    }
    mem_free(old);
    cs->buckets = buckets;
    cs->n_buckets = n;
}

static void on_timer(void *arg)
{
    struct live *lc = arg;
    struct call_event ev = {.kind = CALL_EV_TIMER};

    lc->timer_at = 0;
    if (!lc->begun)
        live_begin(lc); /* the caller has waited for the context long enough */
    else
        live_feed(lc, &ev);
}

struct live *live_new(struct calls *cs, struct str id, struct str openai_call_id)
{
    struct live *lc = MEM_NEW(struct live), **at;

    if (lc == NULL)
        return NULL;
    lc->owner = cs;
    lc->openai_call_id = str_dup(openai_call_id);
    if (lc->openai_call_id == NULL || !str_copy(lc->id, sizeof lc->id, id) ||
        timer_open(&lc->timer, cs->app->loop, on_timer, lc) < 0) {
        mem_free(lc->openai_call_id);
        mem_free(lc);
        return NULL;
    }
    if (cs->n >= cs->n_buckets)
        grow(cs);
    at = slot(cs, id);
    lc->next = *at;
    *at = lc;
    cs->n++;
    return lc;
}

void live_free(struct live *lc)
{
    struct calls *cs = lc->owner;
    struct live **at = slot(cs, str_of(lc->id));

    if (*at == lc) {
        *at = lc->next;
        cs->n--;
    }
    if (lc->refused)
        cs->n_refusing--;
    live_hold(lc, 0);
    live_detach(lc);
    rt_rest_cancel(lc->rest);
    briefing_cancel(lc->briefing);
    timer_close(lc->timer);
    call_free(&lc->call);
    mem_free(lc->person);
    mem_free(lc->context);
    agent_free(lc->agent);
    mem_free(lc->custom_tools);
    mem_free(lc->session_key);
    mem_free(lc->openai_call_id);
    live_line_free(lc);
    mem_free(lc);
}

/* ---- Stepping ---- */

struct call_now live_now(const struct calls *cs)
{
    return (struct call_now){loop_now_ms(cs->app->loop), clock_wall_ms()};
}

static void rearm(struct live *lc)
{
    uint64_t at = call_deadline_ms(&lc->call);

    if (at == lc->timer_at)
        return;
    lc->timer_at = at;
    if (at != 0)
        timer_set(lc->timer, at);
    else
        timer_stop(lc->timer);
}

/* Carries out what the step left in cs->fx, and the step of a failure among them. */
void live_settle(struct live *lc)
{
    struct calls *cs = lc->owner;

    while (!live_effects(lc)) {
        struct call_event failure;

        if (!lc->has_failure) {
            live_follow(lc, false);
            rearm(lc);
            return;
        }
        failure = lc->failure;
        lc->has_failure = false;
        call_step(&lc->call, &failure, live_now(cs), &cs->fx);
    }
    live_follow(lc, true);
    live_free(lc);
}

void live_feed(struct live *lc, const struct call_event *ev)
{
    struct calls *cs = lc->owner;

    if (ev->kind == CALL_EV_RESPONSE_DONE || ev->kind == CALL_EV_CALLER_TEXT || ev->kind == CALL_EV_SESSION ||
        ev->kind == CALL_EV_RESUME)
        live_set_budget(lc);
    call_step(&lc->call, ev, live_now(cs), &cs->fx);
    live_settle(lc);
}

/* ---- What a level opens ---- */

static enum config_tools tools_configured(const struct live *lc)
{
    const struct config *c = lc->owner->app->config;

    return lc->level == CALLER_PROVEN   ? c->security.tools_proven
           : lc->level == CALLER_LINKED ? c->security.tools_linked
           : lc->level == CALLER_KNOWN  ? c->security.tools_known
                                        : c->security.tools_unknown;
}

bool live_any_tools(const struct live *lc)
{
    return tools_configured(lc) != CONFIG_TOOLS_NONE;
}

enum call_tools live_tools(const struct live *lc)
{
    enum config_tools t = tools_configured(lc);

    /* Without the gateway around us there is no read-only set: its token opens everything. */
    if (t == CONFIG_TOOLS_SAFE && !host_serves(lc->owner->app->host))
        return CALL_TOOLS_NONE;
    return t == CONFIG_TOOLS_FULL ? CALL_TOOLS_FULL
           : t == CONFIG_TOOLS_SAFE ? CALL_TOOLS_SAFE : CALL_TOOLS_NONE;
}

bool live_ask_available(const struct live *lc)
{
    return live_tools(lc) != CALL_TOOLS_NONE && runs_available(lc->owner->app->runs);
}

bool live_pin_available(const struct live *lc)
{
    return lc->owner->app->config->security.pin_hash[0] != '\0' && lc->level != CALLER_PROVEN;
}

bool live_chat_available(const struct live *lc)
{
    return lc->has_chat && lc->base == CALLER_LINKED && lc->level != CALLER_PROVEN;
}

void live_set_proofs(struct live *lc)
{
    lc->call.set.chat_available = live_chat_available(lc);
    lc->call.set.verify_available = lc->call.set.chat_available || live_pin_available(lc);
}

static int settings(struct live *lc, struct call_settings *set)
{
    const struct config *c = lc->owner->app->config;

    *set = (struct call_settings){
        .filler_after_ms = c->call.filler_after_ms,
        .progress_every_ms = c->call.progress_every_ms,
        .tool_timeout_ms = c->call.tool_timeout_ms,
        .owner_timeout_ms = c->outbound.ask_owner_timeout_ms,
        .max_duration_ms = (uint64_t)c->call.max_duration_min * 60000u,
        .silence_ms = c->call.auto_end_on_silence ? (uint64_t)c->call.silence_timeout_s * 1000u : 0,
        .tools = live_ask_available(lc) ? live_tools(lc) : CALL_TOOLS_NONE,
        .ask_available = live_ask_available(lc),
        .verify_available = live_pin_available(lc), /* the chats are asked for yet */
    };
    config_rates_of(c, str_of(lc->agent->model[0] ? lc->agent->model : c->openai.model), &set->rates);
    set->native_tools = lc->natives.names;
    set->n_native_tools = lc->natives.n;
    if (lc->has_line && live_line_settings(lc, set) < 0)
        return ERR_NOMEM;
    if (lc->agent->n_tools == 0)
        return 0;
    lc->custom_tools = mem_zalloc(lc->agent->n_tools * sizeof(char *));
    if (lc->custom_tools == NULL)
        return ERR_NOMEM;
    for (unsigned i = 0; i < lc->agent->n_tools; i++)
        lc->custom_tools[i] = lc->agent->tools[i].name;
    set->custom_tools = lc->custom_tools;
    set->n_custom_tools = lc->agent->n_tools;
    return 0;
}

int live_prepare(struct live *lc)
{
    struct app *app = lc->owner->app;
    struct call_settings set;
    struct err e = {0};
    int rc = agent_read(&lc->agent, app->config, &e);

    if (rc < 0 && rc != ERR_NOMEM) {
        /* A call is worth more than its personality: it goes on with the configured words. */
        struct config nameless = *app->config;

        log_error(&app->log, "agent file: %s", e.text);
        nameless.agent_file = "";
        rc = agent_read(&lc->agent, &nameless, NULL);
    }
    if (rc == 0)
        rc = settings(lc, &set);
    if (rc == 0)
        call_init(&lc->call, &set);
    return rc;
}

/* ---- Beginning ---- */

void live_begin(struct live *lc)
{
    struct calls *cs = lc->owner;

    lc->begun = true;
    lc->call.set.context_late = lc->briefing != NULL;
    call_begin(&lc->call, live_now(cs), &cs->fx);
    live_settle(lc);
}

static void tell_incoming(struct calls *cs, const struct id *id, struct str openai_call_id, struct str from,
                          enum caller_level level, const char *how)
{
    screen_notify(cs->app, str_of(id->text), openai_call_id, from, level);
    if (cs->app->config->logging.call_events)
        log_info(&cs->app->log, "%s from %s (%s): %s", id->text, log_number(&cs->app->log, from).text,
                 caller_level_name(level), how);
}

void live_announce(struct live *lc)
{
    struct id id;

    if (!lc->incoming_due)
        return;
    lc->incoming_due = false;
    memcpy(id.text, lc->id, sizeof id.text);
    tell_incoming(lc->owner, &id, str_of(lc->openai_call_id), str_of(lc->from), lc->level, "taken");
}

/* ERR_NOMEM: nothing of it is left. */
static int begin_prepared(struct live *lc, const struct calls_incoming *in)
{
    (void)str_copy(lc->from, sizeof lc->from, str_of(in->from.number));
    lc->base = lc->level = in->verdict.level;
    live_look_up_access(lc);
    lc->received_wall_ms = in->received_wall_ms;
    lc->received_mono_ms = in->received_mono_ms;
    if (live_prepare(lc) < 0) {
        live_free(lc);
        return ERR_NOMEM;
    }
    live_note_caller(lc);
    return 0;
}

static void begin_refusal(struct live *lc, const struct calls_incoming *in)
{
    struct calls *cs = lc->owner;

    lc->begun = true;
    cs->n_refusing++;
    lc->refused = true;
    call_begin_refusal(&lc->call, screen_reason(in), screen_sip_status(in), str_of(screen_detail(in)),
                       live_now(cs), &cs->fx);
    if (in->verdict.may_pair)
        runs_pairing(cs->app->runs, str_of(in->from.number));
    live_settle(lc);
}

/*
 * The accept is what the caller waits for: its bytes leave before the host is told of the call, which wakes threads of
 * the host's that want the core.
 */
static void begin_taken(struct live *lc, const struct calls_incoming *in)
{
    struct calls *cs = lc->owner;

    lc->incoming_due = true;
    live_brief(lc);
    if (lc->briefing == NULL) {
        live_begin(lc);
        loop_flush(cs->app->loop);
    } else {
        timer_set(lc->timer, in->received_mono_ms + CONTEXT_MS);
    }
    lc = live_find(cs, str_of(in->id.text)); /* that may have been its end */
    if (lc == NULL)
        return;
    live_announce(lc);
    if (lc->call.set.ask_available)
        runs_prepare(cs->app->runs, str_of(lc->id), str_of(lc->from), str_of(caller_level_name(lc->level)));
    else if (in->verdict.may_pair)
        runs_pairing(cs->app->runs, str_of(in->from.number));
}

void calls_begin(struct calls *cs, const struct calls_incoming *in)
{
    struct live *lc = NULL;
    struct calls_incoming known = *in;
    bool taken = screen_takes(in);

    if (cs->leaving)
        return; /* the row is durable: the next instance begins it */
    /* A refusal over the bound stays a row and is carried out by nobody: the provider ends it. */
    if (taken || cs->n_refusing < REFUSING_MAX)
        lc = live_new(cs, str_of(in->id.text), in->openai_call_id);
    if (!taken || lc == NULL)
        tell_incoming(cs, &in->id, in->openai_call_id, str_of(in->from.number), in->verdict.level,
                      taken ? "taken" : screen_detail(in));
    if (lc == NULL || begin_prepared(lc, in) < 0) {
        log_error(&cs->app->log, "%s: no memory, it is left to the provider", in->id.text);
        return;
    }
    (void)journal_hop(cs->app->store, str_of(lc->id), in->received_wall_ms, STR("webhook"),
                      STR("received, verified and recorded"));
    if (taken && !lc->call.set.rates.known && cost_capped(&cs->app->config->costs.caps)) {
        /* The personality file names a model that the configuration was not checked for. */
        known.limit = CALL_REASON_REFUSED_COST;
        known.limit_text = cost_cap_words(COST_CAP_UNPRICED);
        lc->incoming_due = true;
        live_announce(lc);
        taken = false;
    }
    if (taken)
        begin_taken(lc, in);
    else
        begin_refusal(lc, &known);
}

/* ---- Adopting ---- */

static enum caller_level level_of(struct str name)
{
    for (int i = CALLER_PROVEN; i > CALLER_UNKNOWN; i--)
        if (str_eqc(name, caller_level_name((enum caller_level)i)))
            return (enum caller_level)i;
    return CALLER_UNKNOWN;
}

static uint64_t age(uint64_t now, uint64_t then)
{
    return then != 0 && now > then ? now - then : 0;
}

/* Never above what the row says: attestation may have lowered it, and that is not in the lists. */
static enum caller_level base_after_restart(struct app *app, enum caller_level level, struct str from)
{
    struct caller_verdict v;

    caller_decide(app->policy, from, &v);
    if (level == CALLER_PROVEN)
        level = CALLER_KNOWN;
    return v.level < level ? v.level : level;
}

static void adopt(struct calls *cs, const struct journal_found *f)
{
    struct call_restore_tool tools[CALL_TOOLS_PENDING];
    uint64_t wall = clock_wall_ms();
    struct call_restored r = {
        .state = f->row.state, .reason = f->row.reason, .detail = f->row.detail,
        .sip_status = (int)f->row.sip_status, .age_ms = age(wall, f->row.received_at),
        .live_age_ms = f->row.live_at != 0 ? age(wall, f->row.live_at) + 1 : 0, .turns = f->n_turns,
        .spoke = f->n_assistant_turns > 0, .tools = tools};
    struct live *lc;

    if (live_find(cs, f->row.id) != NULL)
        return;
    lc = live_new(cs, f->row.id, f->row.openai_call_id);
    if (lc == NULL) {
        log_error(&cs->app->log, "out of memory: %.*s waits for the next start", STR_ARG(f->row.id));
        return;
    }
    (void)str_copy(lc->from, sizeof lc->from, f->row.from);
    lc->begun = true;
    lc->level = level_of(f->row.level);
    lc->was_linked = lc->level == CALLER_LINKED;
    lc->base = base_after_restart(cs->app, lc->level, f->row.from);
    if (lc->level != CALLER_PROVEN)
        lc->level = lc->base;
    lc->session_key = f->row.session_key.n > 0 ? str_dup(f->row.session_key) : NULL;
    lc->received_wall_ms = f->row.received_at;
    lc->received_mono_ms = loop_now_ms(cs->app->loop);
    if (f->has_line)
        live_line_adopt(lc, str_eqc(f->row.direction, "outbound"), f->line_spec);
    live_look_up_access(lc);
    if (live_prepare(lc) < 0) {
        live_free(lc);
        return;
    }
    for (unsigned i = 0; i < f->n_tools && r.n_tools < CALL_TOOLS_PENDING; i++)
        tools[r.n_tools++] = (struct call_restore_tool){f->tools[i].tool_call, f->tools[i].name,
                                                        f->tools[i].arguments, f->tools[i].state,
                                                        f->tools[i].output, age(wall, f->tools[i].at)};
    transcript_restore(&lc->call.transcript, f->last_pos, f->last_items, f->last_items_pos,
                       f->n_last_items);
    if (f->has_direct_line) {
        lc->call.referred = lines_adopt_direct(cs->app->lines, f->row.id, f->row.from, f->line_machine);
        lc->followed = true;
    }
    live_note_caller(lc); /* counted once, however often it is asked for */
    live_restore_cost(lc, f, &r);
    call_restore(&lc->call, &r, live_now(cs), &cs->fx);
    live_hold(lc, lc->call.dearest_nano);
    live_settle(lc);
}

static void on_adopted(void *arg, int rc, const struct journal_found *found, unsigned n,
                       unsigned held_by_others)
{
    struct calls *cs = arg;
    bool lines;

    cs->adopting = false;
    if (rc < 0) {
        log_error(&cs->app->log, "the calls of an earlier run could not be read: %s", err_name(rc));
        questions_adopt(cs->app->questions, false);
        return;
    }
    lines = !cs->looked || held_by_others < cs->held_by_others; /* may be of calls that are over */
    cs->looked = true;
    cs->held_by_others = held_by_others;
    if (cs->leaving)
        return;
    if (n > 0)
        log_info(&cs->app->log, "taking over %u call%s of an earlier run", n, n == 1 ? "" : "s");
    for (unsigned i = 0; i < n; i++) {
        adopt(cs, &found[i]);
        lines = lines || found[i].has_line || found[i].has_direct_line;
    }
    if (n > 0)
        costs_reload(cs->app->costs);
    if (lines)
        live_lines_adopt(cs->app);
    questions_adopt(cs->app->questions, n > 0);
}

void calls_adopt(struct calls *cs)
{
    if (cs->adopting || cs->leaving)
        return;
    cs->adopting = true;
    if (journal_adopt(cs->app->store, on_adopted, cs) < 0) {
        cs->adopting = false;
        questions_adopt(cs->app->questions, false);
    }
}

unsigned calls_held_by_others(const struct calls *cs)
{
    return cs->held_by_others;
}

/* ---- For the rest of the app ---- */

int calls_open(struct calls **out, struct app *app)
{
    struct calls *cs = MEM_NEW(struct calls);

    if (cs == NULL)
        return ERR_NOMEM;
    cs->app = app;
    cs->n_buckets = FIRST_BUCKETS;
    cs->buckets = mem_zalloc(FIRST_BUCKETS * sizeof(struct live *));
    if (cs->buckets == NULL || timer_open(&cs->costs_timer, app->loop, live_tell_budgets, cs) < 0) {
        mem_free(cs->buckets);
        mem_free(cs);
        return ERR_NOMEM;
    }
    *out = cs;
    return 0;
}

void calls_close(struct calls *cs)
{
    if (cs == NULL)
        return;
    cs->leaving = true;
    for (unsigned i = 0; i < cs->n_buckets; i++)
        while (cs->buckets[i] != NULL)
            live_free(cs->buckets[i]);
    timer_close(cs->costs_timer);
    mem_free(cs->buckets);
    mem_free(cs);
}

unsigned calls_live(const struct calls *cs)
{
    return cs->n - cs->n_refusing;
}

unsigned calls_count(const struct calls *cs)
{
    return cs->n;
}

unsigned calls_talking(const struct calls *cs)
{
    unsigned live = calls_live(cs), waiting = lines_waiting(cs->app->lines);

    return live > waiting ? live - waiting : 0;
}

int calls_end(struct calls *cs, struct str id, enum call_reason reason, struct str detail)
{
    struct call_event ev = {.kind = CALL_EV_END};
    int rc = id.n > 0 ? ERR_NOT_FOUND : 0;

    ev.u.end.reason = call_reason_name(reason);
    ev.u.end.detail = detail;
    for (unsigned i = 0; i < cs->n_buckets; i++) {
        struct live *lc = cs->buckets[i];

        while (lc != NULL) {
            struct live *next = lc->next; /* feeding frees at most the call that is fed */

            if (id.n == 0 || str_eqc(id, lc->id) || live_is(lc, id)) {
                rc = 0;
                live_feed(lc, &ev);
            }
            lc = next;
        }
    }
    return rc;
}

void calls_leave(struct calls *cs)
{
    cs->leaving = true;
    for (unsigned i = 0; i < cs->n_buckets; i++)
        while (cs->buckets[i] != NULL)
            live_free(cs->buckets[i]);
}

/* ---- From the agent's runs ---- */

void calls_tool_done(struct calls *cs, struct str call, struct str tool_call, int rc, struct str text)
{
    struct call_event ev = {.kind = CALL_EV_TOOL_DONE, .u.tool = {tool_call, rc, text}};
    struct live *lc = cs ? live_find(cs, call) : NULL;

    if (lc != NULL)
        live_feed(lc, &ev);
}

bool calls_tool_acting(struct calls *cs, struct str call, struct str tool_call)
{
    struct call_event ev = {.kind = CALL_EV_TOOL_ACTING, .u.tool = {tool_call, 0, STR("")}};
    struct live *lc = cs ? live_find(cs, call) : NULL;

    if (lc == NULL)
        return false;
    live_feed(lc, &ev);
    return true;
}

void calls_session_key(struct calls *cs, struct str call, struct str key, struct str date)
{
    struct live *lc = cs ? live_find(cs, call) : NULL;
    struct journal_call row = {.id = call, .session_key = key};
    char *copy;

    if (lc == NULL || key.n == 0 || key.n > 512 || (copy = str_dup(key)) == NULL)
        return;
    (void)str_copy(lc->date, sizeof lc->date, date);
    mem_free(lc->session_key);
    lc->session_key = copy;
    (void)journal_save(cs->app->store, &row, JOURNAL_SET_SESSION, NULL, NULL);
}
