/* SPDX-License-Identifier: MIT */
/* The table of lines, and events on their way into the machines. Effects are in lines_fx.c. */
#include "plugin/lines_int.h"

#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/config/config.h"
#include "plugin/destinations.h"
#include "plugin/drain.h"

#include <stdio.h>
#include <string.h>

/* ---- The table ---- */

/* The buckets' chains may be changed through a table that is not. */
static struct trunk **slot(const struct lines *ls, struct str call)
{
    struct trunk **at = &ls->buckets[id_hash(call, 0) & (LINES_BUCKETS - 1)];

    while (*at != NULL && !str_eqc(call, (*at)->call))
        at = &(*at)->next;
    return at;
}

struct trunk *trunk_find(struct lines *ls, struct str call)
{
    return *slot(ls, call);
}

struct trunk *trunk_by(struct lines *ls, struct str ref_or_sid)
{
    if (ref_or_sid.n == 0)
        return NULL;
    for (unsigned i = 0; i < LINES_BUCKETS; i++)
        for (struct trunk *t = ls->buckets[i]; t != NULL; t = t->next)
            if (str_eqc(ref_or_sid, t->m.ref) || line_leg_by_sid(&t->m, ref_or_sid) != NULL)
                return t;
    return NULL;
}

static void on_timer(void *arg)
{
    trunk_look(arg);
}

struct trunk *trunk_new(struct lines *ls, struct str call)
{
    struct trunk *t = MEM_NEW(struct trunk), **at;

    if (t == NULL || !str_copy(t->call, sizeof t->call, call) ||
        timer_open(&t->timer, ls->app->loop, on_timer, t) < 0) {
        mem_free(t);
        return NULL;
    }
    t->owner = ls;
    at = slot(ls, call);
    t->next = *at;
    *at = t;
    ls->n++;
    return t;
}

void trunk_free(struct trunk *t)
{
    struct lines *ls = t->owner;
    struct trunk **at = slot(ls, str_of(t->call));

    if (*at == t) {
        *at = t->next;
        ls->n--;
        ls->n_queued -= t->queued;
    }
    pacer_forget(ls->pacer, str_of(t->call));
    timer_close(t->timer);
    mem_free(t);
}

/* ---- Stepping ---- */

static struct call_now now_of(const struct lines *ls)
{
    return (struct call_now){loop_now_ms(ls->app->loop), clock_wall_ms()};
}

static void rearm(struct trunk *t)
{
    uint64_t at = t->m.timer_wall_ms, now;

    if (at == t->timer_at_wall_ms)
        return;
    t->timer_at_wall_ms = at;
    now = clock_wall_ms();
    if (at == 0)
        timer_stop(t->timer);
    else
        timer_set(t->timer, loop_now_ms(t->owner->app->loop) + (at > now ? at - now : 0));
}

void trunk_settle(struct trunk *t)
{
    struct lines *ls = t->owner;
    bool queued = t->m.phase == LINE_QUEUED;

    ls->n_queued += queued - t->queued;
    t->queued = queued;
    trunk_effects(t);
    if (t->over) {
        trunk_free(t);
        pacer_look(ls->pacer);
    } else {
        rearm(t);
    }
}

int lines_fresh_ref(char out[LINE_REF_BYTES])
{
    unsigned char bytes[16];

    if (id_random(bytes, sizeof bytes) < 0)
        return ERR_IO;
    id_hex(out, bytes, sizeof bytes);
    return 0;
}

void trunk_feed(struct trunk *t, const struct line_event *ev)
{
    struct lines *ls = t->owner;
    char ref[LINE_REF_BYTES];

    if (ls->leaving)
        return;
    if (lines_fresh_ref(ref) < 0) {
        log_error(&ls->app->log, "%s: no random bytes; its line waits", t->call);
        return;
    }
    line_step(&t->m, ev, str_of(ref), now_of(ls), &ls->fx);
    trunk_settle(t);
}

void trunk_look(struct trunk *t)
{
    const struct line_event ev = {.kind = LINE_EV_TIMER};

    t->timer_at_wall_ms = 0;
    trunk_feed(t, &ev);
}

/* ---- Words of the model's side ---- */

void lines_from_model(struct lines *ls, struct str call, enum line_ev what, struct str text)
{
    struct trunk *t = trunk_find(ls, call);
    const struct line_event ev = {.kind = what, .u.text = text};

    if (t != NULL)
        trunk_feed(t, &ev);
}

void lines_end(struct lines *ls, struct str call, struct str why)
{
    if (trunk_find(ls, call) != NULL)
        lines_from_model(ls, call, LINE_EV_MODEL_LEAVES, why);
    else
        calls_line_over(ls->app->calls, call, LINE_OUTCOME_NONE, STR(""));
}

/* ---- Beginning ---- */

static bool has_room(void *arg)
{
    struct lines *ls = arg;

    return !drain_active(ls->app->drain) && calls_talking(ls->app->calls) < ls->app->config->call.max_concurrent;
}

static void go(void *arg, struct str call, struct str label)
{
    struct lines *ls = arg;
    struct trunk *t = trunk_find(ls, call);
    const struct line_event ev = {.kind = LINE_EV_SLOT, .u.label = label};

    if (t != NULL)
        trunk_feed(t, &ev);
}

int lines_begin(struct lines *ls, const struct line_start *start)
{
    struct trunk *t;
    struct call_now now = now_of(ls);

    if (ls->leaving)
        return ERR_CLOSED;
    t = trunk_new(ls, start->call);
    if (t == NULL)
        return ERR_NOMEM;
    (void)str_copy(t->other, sizeof t->other, start->set.outbound ? start->to : start->from);
    if (start->set.outbound)
        line_begin_dial(&t->m, &start->set, start->ref, start->to, start->due_wall_ms, now, &ls->fx);
    else
        line_begin_inbound(&t->m, &start->set, start->ref, start->caller_sid, start->from, now, &ls->fx);
    trunk_settle(t);
    return 0;
}

static enum line_voicemail voicemail_of(enum config_voicemail v)
{
    return v == CONFIG_VOICEMAIL_MESSAGE    ? VOICEMAIL_MESSAGE
           : v == CONFIG_VOICEMAIL_CONTINUE ? VOICEMAIL_CONTINUE : VOICEMAIL_HANGUP;
}

void line_set_record(const struct lines *ls, struct line_settings *set, bool record)
{
    unsigned can = ls->carrier != NULL ? ls->carrier->ops->can & (unsigned)LINE_CAN_RECORD : 0;

    set->record = record && can != 0;
    set->can = (set->can & ~(unsigned)LINE_CAN_RECORD) | (set->record ? can : 0); /* to be paused, stopped */
}

void lines_settings(const struct lines *ls, bool outbound, struct str other, struct line_settings *out)
{
    const struct config *c = ls->app->config;
    enum config_consent consent = config_consent_of(c, other);

    *out = (struct line_settings){
        .can = ls->carrier != NULL ? ls->carrier->ops->can : 0,
        .outbound = outbound,
        .ring_ms = c->outbound.ring_timeout_s * 1000u,
        .queue_ms = c->outbound.queue_max_min * 60000u,
        .hold_drop_ms = c->outbound.hold_drop_after_s * 1000u,
        .max_ms = c->call.max_duration_min * 60000u,
        .voicemail = voicemail_of(c->outbound.voicemail),
        .detect_machine = outbound && c->outbound.voicemail != CONFIG_VOICEMAIL_CONTINUE,
        .retries = c->outbound.retries,
        .consent = consent == CONFIG_CONSENT_NONE     ? CONSENT_NONE
                   : consent == CONFIG_CONSENT_NOTICE ? CONSENT_NOTICE : CONSENT_ASK};
    (void)str_copy(out->own, sizeof out->own, str_of(c->twilio.phone_number));
    (void)snprintf(out->model_uri, sizeof out->model_uri, "sip:%.100s@sip.api.openai.com;transport=tls",
                   c->openai.project_id);
    line_set_record(ls, out, c->call.record_calls);
}

/* ---- What a line can do ---- */

bool lines_has(const struct lines *ls, struct str call)
{
    return ls != NULL && *slot(ls, call) != NULL;
}

bool lines_over(const struct lines *ls, struct str call, enum line_outcome *outcome, struct str *detail)
{
    const struct trunk *t = ls != NULL ? *slot(ls, call) : NULL;

    if (t == NULL || t->m.phase != LINE_OVER)
        return false;
    *outcome = t->m.outcome;
    *detail = str_of(t->m.detail);
    return true;
}

unsigned lines_waiting(const struct lines *ls)
{
    return ls != NULL ? ls->n_queued : 0;
}

void lines_look(struct lines *ls)
{
    pacer_look(ls->pacer);
}

unsigned lines_can(const struct lines *ls, struct str call)
{
    const struct trunk *t = ls != NULL ? *slot(ls, call) : NULL;
    struct calls_direct seen;

    if (t != NULL)
        return t->m.set.can;
    return ls != NULL && calls_direct(ls->app->calls, call, &seen) ? lines_direct_can(ls) : 0;
}

static void describe_party(struct buf *out, const char *label, const char *state, bool held, bool muted)
{
    jw_open(out, '{');
    jw_kstrc(out, "party", label);
    jw_kstrc(out, "state", state);
    jw_kbool(out, "held", held);
    jw_kbool(out, "muted", muted);
    jw_close(out, '}');
}

void lines_describe(const struct lines *ls, struct str call, struct buf *out)
{
    const struct trunk *t = ls != NULL ? *slot(ls, call) : NULL;
    unsigned can = lines_can(ls, call);
    const char *name;

    jw_key(out, "capabilities");
    jw_open(out, '[');
    for (unsigned i = 0; (name = line_can_name(i)) != NULL; i++)
        if (can & (1u << i))
            jw_str(out, str_of(name));
    jw_close(out, ']');
    if (t != NULL && t->m.recording != REC_NONE && !t->m.fetched)
        jw_kstrc(out, "recording", recording_name(t->m.recording));
    jw_key(out, "parties");
    jw_open(out, '[');
    for (unsigned i = 0; t != NULL && i < LINE_PARTIES; i++) {
        const struct leg *leg = &t->m.legs[i];

        if (leg->state != LEG_NONE)
            describe_party(out, leg->label, leg_state_name(leg->state), leg->held, leg->muted);
    }
    if (t == NULL || t->m.direct) { /* the two legs are the provider's */
        describe_party(out, "caller", leg_state_name(LEG_UP), false, false);
        describe_party(out, "model", leg_state_name(LEG_UP), false, false);
    }
    jw_close(out, ']');
}

const char *lines_carrier(const struct lines *ls)
{
    return ls->carrier != NULL ? ls->carrier->ops->name : ls->direct->ops->name;
}

struct carrier *lines_its_carrier(const struct lines *ls)
{
    return ls != NULL ? ls->carrier : NULL;
}

/* ---- Open and close ---- */

static int open_carrier(struct lines *ls, struct err *e)
{
    const struct config *c = ls->app->config;
    struct twilio_config config = {
        .account_sid = str_of(c->twilio.account_sid), .auth_tokens = c->twilio.auth_tokens.v,
        .n_auth_tokens = c->twilio.auth_tokens.n, .api_key_sid = str_of(c->twilio.api_key_sid),
        .api_key_secret = str_of(c->twilio.api_key_secret), .base_url = str_of(c->twilio.base_url),
        .region = str_of(c->twilio.region), .edge = str_of(c->twilio.edge),
        .voice = str_of(c->twilio.say_voice), .language = str_of(c->twilio.say_language),
        .public_url = str_of(c->webhook.base_url), .ca_file = str_of(c->openai.ca_file),
        .recording_channels = c->recording.dual ? STR("dual") : STR("mono")};

    if (!c->twilio.ready || c->webhook.base_url[0] == '\0')
        return 0;
    return twilio_open(&ls->carrier, ls->app->loop, &config, trunk_answered, ls, &ls->app->log, e);
}

int lines_open(struct lines **out, struct app *app, struct err *e)
{
    struct lines *ls = MEM_NEW(struct lines);
    struct pacer_config pace = {.per_second = app->config->outbound.calls_per_second, .room = has_room, .go = go,
                                .arg = ls};
    int rc;

    if (ls == NULL)
        return ERR_NOMEM;
    ls->app = app;
    ls->buckets = mem_zalloc(LINES_BUCKETS * sizeof(struct trunk *));
    if (ls->buckets == NULL) {
        mem_free(ls);
        return ERR_NOMEM;
    }
    *out = ls; /* closed with what is open of it */
    rc = destinations_make(&ls->destinations, app->config, e);
    if (rc == 0)
        rc = pacer_open(&ls->pacer, app->loop, &pace);
    if (rc == 0)
        rc = lines_direct_open(ls);
    if (rc == 0)
        rc = open_carrier(ls, e);
    if (rc < 0 || app->store == NULL) /* an instance that only checks has none */
        return rc;
    (void)line_end_over(app->store, NULL, NULL);
    (void)action_end_over(app->store, STR("the call ended"), clock_wall_ms(), NULL, NULL);
    return 0;
}

void lines_leave(struct lines *ls)
{
    ls->leaving = true;
    lines_direct_leave(ls);
    for (unsigned i = 0; i < LINES_BUCKETS; i++)
        while (ls->buckets[i] != NULL)
            trunk_free(ls->buckets[i]);
}

static void on_closed(void *arg)
{
    struct lines *ls = arg;

    if (--ls->closing > 0)
        return;
    ls->closed(ls->closed_arg);
    mem_free(ls->buckets);
    mem_free(ls);
}

void lines_close(struct lines *ls, void (*closed)(void *arg), void *arg)
{
    lines_leave(ls);
    while (ls->waits != NULL) {
        struct wait *w = ls->waits;

        ls->waits = w->next;
        mem_free(w);
    }
    destination_policy_free(ls->destinations);
    pacer_close(ls->pacer);
    ls->closed = closed;
    ls->closed_arg = arg;
    ls->closing = 1;
    for (unsigned i = 0; i < 2; i++) {
        struct carrier *c = i == 0 ? ls->direct : ls->carrier;

        if (c == NULL)
            continue;
        ls->closing++;
        c->ops->close(c, on_closed, ls);
    }
    on_closed(ls);
}
