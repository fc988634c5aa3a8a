/* SPDX-License-Identifier: MIT */
/*
 * POST /webhook: verify, decide, claim durably, answer, begin the call. Nothing here waits for the
 * host: policy and lists are mirrored. What is not claimed within 2 s is answered 503 and comes again;
 * if its claim gets through after all, the call is taken and the retry is a duplicate.
 */
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/check.h"
#include "plugin/costs.h"
#include "plugin/net/httpd.h"
#include "plugin/net/loop.h"
#include "plugin/proto/sig.h"
#include "plugin/realtime/rt_rest.h"
#include "plugin/realtime/rt_webhook.h"
#include "plugin/routes.h"
#include "plugin/screen.h"
#include "memory/journal.h"
#include "memory/lines.h"

#include <string.h>

#define CLAIM_MS 2000u

struct claim { /* a decision that is not durable yet; in a list by age */
    struct claim *next, *prev;
    struct webhooks *owner;
    struct httpd_exchange *x; /* NULL once answered */
    uint64_t answer_by_ms;
    uint64_t event_at; /* when the provider made the event, by our clock; 0: not known */
    struct calls_incoming in;
    char *openai_call_id, *sip_call_id; /* what in.* points to */
};

struct webhooks {
    struct app *app;
    struct claim *first, *last;
    struct timer *timer; /* for the first of the list */
    unsigned pending;
    bool draining;
};

static void reply(struct httpd_exchange *x, int status, struct str body)
{
    httpd_reply(x, status, "application/json", body);
}

static void arm(struct webhooks *w)
{
    struct claim *c = w->first;

    while (c != NULL && c->x == NULL)
        c = c->next;
    if (c != NULL)
        timer_set(w->timer, c->answer_by_ms);
    else
        timer_stop(w->timer);
}

static void on_timer(void *arg)
{
    struct webhooks *w = arg;
    uint64_t now = loop_now_ms(w->app->loop);

    for (struct claim *c = w->first; c != NULL; c = c->next) {
        if (c->x == NULL || c->answer_by_ms > now)
            continue;
        log_warn(&w->app->log, "webhook: the database did not take the claim in %u ms; answered 503 so "
                 "that it comes again", CLAIM_MS);
        (void)httpd_reply_header(c->x, "Retry-After", STR("1"));
        reply(c->x, 503, STR("{\"error\":\"the call could not be recorded in time; try again\"}"));
        c->x = NULL;
    }
    arm(w);
}

int webhooks_open(struct webhooks **out, struct app *app)
{
    struct webhooks *w = MEM_NEW(struct webhooks);
    int rc;

    if (w == NULL)
        return ERR_NOMEM;
    w->app = app;
    rc = timer_open(&w->timer, app->loop, on_timer, w);
    if (rc < 0) {
        mem_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void webhooks_close(struct webhooks *w)
{
    if (w == NULL)
        return;
    timer_close(w->timer);
    mem_free(w);
}

void webhooks_drain(struct webhooks *w)
{
    w->draining = true;
}

static void claim_free(struct claim *c)
{
    struct webhooks *w = c->owner;

    if (c->prev != NULL)
        c->prev->next = c->next;
    else if (w->first == c)
        w->first = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    else if (w->last == c)
        w->last = c->prev;
    mem_free(c->openai_call_id);
    mem_free(c->sip_call_id);
    mem_free(c);
}

static void answer_claim(struct claim *c, int rc)
{
    struct webhooks *w = c->owner;

    w->pending--;
    if (rc < 0)
        log_error(&w->app->log, "webhook: the claim failed: %s", err_name(rc));
    if (c->x != NULL && rc == 0) {
        reply(c->x, 200, STR("{\"ok\":true}"));
    } else if (c->x != NULL) {
        (void)httpd_reply_header(c->x, "Retry-After", STR("1"));
        reply(c->x, 503, STR("{\"error\":\"the call could not be recorded; try again\"}"));
    }
    claim_free(c);
    arm(w);
}

/* The call begins before the answer is written: its accept is what the caller waits for. */
static void on_claimed(void *arg, int rc, enum journal_claim_result result)
{
    struct claim *c = arg;
    struct webhooks *w = c->owner;
    struct app *app = w->app;

    if (rc == 0 && result == JOURNAL_NEW && app->calls != NULL)
        calls_begin(app->calls, &c->in);
    if (rc == 0 && result == JOURNAL_DUPLICATE)
        log_info(&app->log, "webhook: call %.*s is decided already", STR_ARG(c->in.openai_call_id));
    answer_claim(c, rc);
}

static void describe(struct journal_call *row, const struct claim *c, struct app *app)
{
    const struct calls_incoming *in = &c->in;
    bool taken = screen_takes(in);

    screen_row(app, &in->id, &in->from, &in->verdict, in->received_wall_ms, row);
    row->openai_call_id = in->openai_call_id;
    row->sip_call_id = in->sip_call_id;
    row->state = taken ? STR(JOURNAL_CLAIMED) : STR(JOURNAL_REFUSING);
    if (taken)
        return;
    row->reason = str_of(call_reason_name(screen_reason(in)));
    row->detail = str_of(screen_detail(in));
    row->sip_status = screen_sip_status(in);
}

/* What the trunk says of STIR/SHAKEN. */
static enum access_attestation attestation(const struct app *app, const struct rt_webhook *hook)
{
    const struct config_list *names = &app->config->security.attestation_headers;
    enum access_attestation a = ATTEST_NONE;

    for (unsigned i = 0; i < names->n && a == ATTEST_NONE; i++)
        a = access_attestation_read(rt_webhook_header(hook, names->v[i], 0));
    return a;
}

/* ---- Legs of our own: a carrier called the speech API for a call that we know ---- */

#define REF_HEADER "X-Call-Ref"
#define REF_DIGITS 32u
#define DECLINE 603

static bool is_ref(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (str_find(STR("0123456789abcdef"), s.p[i]) == 16)
            return false;
    return s.n == REF_DIGITS;
}

static void on_rejected(void *arg, const struct call_rest_result *r)
{
    struct app *app = arg;

    if (r->status < 200 || r->status >= 300)
        log_warn(&app->log, "webhook: a leg with a bad reference could not be rejected: %.*s", STR_ARG(r->detail));
}

static void on_leg(void *arg, int rc, enum line_leg_result result, struct str call)
{
    struct claim *c = arg;
    struct webhooks *w = c->owner;
    struct app *app = w->app;
    bool ours = rc == 0 && result == LINE_LEG_NEW;

    if (ours)
        ours = calls_leg(app->calls, call, str_of(c->openai_call_id), str_of(c->sip_call_id)) == 0;
    if (rc == 0 && !ours && result != LINE_LEG_DUPLICATE) {
        log_warn(&app->log, "webhook: a leg is rejected: its reference is %s", result == LINE_LEG_UNKNOWN
                 ? "unknown or used" : "of a call that is over");
        if (app->api != NULL && rt_reject(app->api, str_of(c->openai_call_id), DECLINE, on_rejected, app, NULL) < 0)
            log_error(&app->log, "webhook: no reject can be sent now");
    }
    answer_claim(c, rc);
}

/* An own leg is no call of its own and is not screened again: its caller was, or is somebody we called. */
static int claim_leg(struct claim *c, struct str ref)
{
    return line_claim_leg(c->owner->app->store, ref, str_of(c->openai_call_id), str_of(c->sip_call_id),
                          c->event_at, c->in.received_wall_ms, c->answer_by_ms, on_leg, c);
}

/* ---- Claims ---- */

static int claim_call(struct claim *c, const struct rt_webhook *hook)
{
    struct webhooks *w = c->owner;
    struct app *app = w->app;
    struct journal_call row;

    screen_caller(app, str_of(c->in.from.number), attestation(app, hook), &c->in.verdict);
    screen_limit(app, &c->in, w->pending);
    describe(&row, c, app);
    row.event_at = c->event_at;
    return journal_claim(app->store, &row, c->answer_by_ms, on_claimed, c);
}

/* Its age is told by the provider's clock alone: when it was made, and when it was sent. */
static uint64_t event_at(struct httpd_exchange *x, const struct rt_webhook *hook, uint64_t now_wall_ms)
{
    uint64_t sent_s = 0, age_ms;

    if (hook->created_at == 0 || !str_u64(httpd_header(x, "webhook-timestamp"), &sent_s))
        return 0;
    age_ms = sent_s > hook->created_at ? (sent_s - hook->created_at) * 1000 : 0;
    return now_wall_ms > age_ms ? now_wall_ms - age_ms : 0;
}

static void claim(struct webhooks *w, struct httpd_exchange *x, const struct rt_webhook *hook,
                  uint64_t received_mono_ms)
{
    struct app *app = w->app;
    struct claim *c = MEM_NEW(struct claim);
    struct str ref;
    int rc = ERR_NOMEM;

    if (c == NULL)
        goto fail;
    c->owner = w;
    c->x = x;
    c->openai_call_id = str_dup(hook->call_id);
    c->sip_call_id = str_dup(hook->sip_call_id);
    c->in.received_wall_ms = clock_wall_ms();
    c->in.received_mono_ms = received_mono_ms;
    c->event_at = event_at(x, hook, c->in.received_wall_ms);
    c->answer_by_ms = received_mono_ms + CLAIM_MS;
    if (c->openai_call_id == NULL || c->sip_call_id == NULL)
        goto fail;
    rc = id_make(&c->in.id, "call_", c->in.received_wall_ms);
    if (rc < 0)
        goto fail;
    c->in.openai_call_id = str_of(c->openai_call_id);
    c->in.sip_call_id = str_of(c->sip_call_id);
    /* Two From headers are nobody's number. */
    if (rt_webhook_header(hook, "From", 1).p != NULL)
        c->in.from.kind = PHONE_MALFORMED;
    else
        (void)phone_from_sip(&c->in.from, rt_webhook_header(hook, "From", 0));
    c->in.from.host = STR_NONE; /* borrowed from the body, which goes with the answer */
    ref = rt_webhook_header(hook, REF_HEADER, 0);
    rc = is_ref(ref) && rt_webhook_header(hook, REF_HEADER, 1).p == NULL ? claim_leg(c, ref) : claim_call(c, hook);
    if (rc < 0)
        goto fail;
    w->pending++;
    c->prev = w->last;
    if (w->last != NULL)
        w->last->next = c;
    else
        w->first = c;
    w->last = c;
    if (w->first == c)
        arm(w);
    return;
fail:
    log_error(&app->log, "webhook: no claim can be made now: %s", err_name(rc));
    (void)httpd_reply_header(x, "Retry-After", STR("1"));
    reply(x, 503, STR("{\"error\":\"overloaded; try again\"}"));
    if (c != NULL)
        claim_free(c);
}

/* The statuses tell OpenAI, and a person with curl, what is wrong; the line in the log says why. */
bool webhook_verified(struct app *app, struct httpd_exchange *x)
{
    enum sig_result result;
    struct err e = {0};

    if (app->keys == NULL)
        return true;
    if (httpd_header_count(x, "webhook-signature") > 1 || httpd_header_count(x, "webhook-id") > 1 ||
        httpd_header_count(x, "webhook-timestamp") > 1) {
        if (route_failed_often(app, x))
            return false;
        log_warn(&app->log, "webhook refused with 400: a signature header occurs twice");
        reply(x, 400, STR("{\"error\":\"a signature header occurs twice\"}"));
        return false;
    }
    result = sig_verify(app->keys, httpd_header(x, "webhook-id"), httpd_header(x, "webhook-timestamp"),
                        httpd_header(x, "webhook-signature"), httpd_body(x), clock_wall_ms() / 1000, &e);
    if (result == SIG_GOOD)
        return true;
    if (route_failed_often(app, x))
        return false;
    log_warn(&app->log, "webhook refused with %d: %s", result == SIG_MISSING ? 400 : 401, e.text);
    if (result == SIG_MISSING)
        reply(x, 400, STR("{\"error\":\"webhook-id, webhook-timestamp and webhook-signature are needed\"}"));
    else if (result == SIG_STALE)
        reply(x, 401, STR("{\"error\":\"the timestamp is more than 300 s away from this server's clock\"}"));
    else
        reply(x, 401, STR("{\"error\":\"no signature fits: is webhook.secret the one OpenAI shows?\"}"));
    return false;
}

/* Repeats come by the thousand when something is amiss: they are answered before anything is parsed. */
static bool repeated(struct webhooks *w, struct httpd_exchange *x, struct str id, bool known)
{
    if (!known)
        return false;
    log_info(&w->app->log, "webhook: call %.*s is decided already", STR_ARG(str_head(id, 256)));
    reply(x, 200, STR("{\"ok\":true}"));
    return true;
}

static void ignore(struct app *app, struct httpd_exchange *x, struct str type)
{
    struct buf b;

    buf_init(&b, 1024);
    log_debug(&app->log, "webhook of type %.*s: ignored", STR_ARG(str_head(type, 60)));
    reply(x, 200, check_is_probe(httpd_body(x), &b) ? buf_str(&b) : STR("{\"ok\":true,\"ignored\":true}"));
    buf_free(&b);
}

void webhooks_handle(struct webhooks *w, struct httpd_exchange *x)
{
    struct app *app = w->app;
    uint64_t now = loop_now_ms(app->loop);
    struct rt_webhook hook;
    struct err e = {0};
    struct str peek;

    if (!webhook_verified(app, x))
        return;
    peek = rt_webhook_peek_call(httpd_body(x));
    if (repeated(w, x, peek, journal_known(app->store, peek, STR_NONE)))
        return;
    if (w->draining || !costs_ready(app->costs)) {
        (void)httpd_reply_header(x, "Retry-After", STR("1"));
        reply(x, 503, STR("{\"error\":\"starting or shutting down; try again\"}"));
        return;
    }
    if (rt_webhook_read(&hook, httpd_body(x), &e) < 0) {
        log_warn(&app->log, "webhook refused with 400: %s", e.text);
        reply(x, 400, STR("{\"error\":\"the body is no event of OpenAI's\"}"));
        return;
    }
    if (hook.kind == RT_WEBHOOK_INCOMING) {
        /* By its own id it was looked up above, unless that could not be read there. */
        peek = str_eq(peek, hook.call_id) ? STR_NONE : hook.call_id;
        if (!repeated(w, x, hook.call_id, journal_known(app->store, peek, hook.sip_call_id)))
            claim(w, x, &hook, now);
    } else {
        ignore(app, x, hook.type);
    }
    rt_webhook_free(&hook);
}
