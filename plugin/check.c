/* SPDX-License-Identifier: MIT */
#include "plugin/check_int.h"

#include "manifest.h"
#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/lines_int.h"
#include "plugin/net/httpc.h"

#include <stdio.h>
#include <string.h>

#define RUNS_MAX 4u
#define REPORT_BYTES (1u << 20)

int checks_open(struct checks **out, struct app *app)
{
    struct checks *c = MEM_NEW(struct checks);

    if (c == NULL)
        return ERR_NOMEM;
    c->app = app;
    *out = c;
    return 0;
}

bool check_has_carrier(const struct app *app)
{
    return app->lines != NULL && app->lines->carrier != NULL && app->lines->carrier->ops->check != NULL;
}

/* ---- The report ---- */

/* What is to be entered elsewhere, exactly as it is written there. */
static void write_enter(const struct app *app, struct buf *b)
{
    const struct config *c = app->config;
    char text[1200];

    jw_key(b, "enter");
    jw_open(b, '{');
    if (c->webhook.base_url[0] != '\0') {
        (void)snprintf(text, sizeof text, "%s/webhook", c->webhook.base_url);
        jw_kstrc(b, "openai_webhook_url", text);
        jw_kstrc(b, "openai_webhook_event", "realtime.call.incoming");
    }
    if (c->openai.project_id[0] != '\0') {
        (void)snprintf(text, sizeof text, "sip:%s@sip.api.openai.com;transport=tls", c->openai.project_id);
        jw_kstrc(b, "sip_uri", text);
    }
    if (c->webhook.base_url[0] != '\0' && check_has_carrier(app)) {
        (void)snprintf(text, sizeof text, "%s/twilio/voice", c->webhook.base_url);
        jw_kstrc(b, "twilio_voice_url", text);
    }
    jw_close(b, '}');
}

/* Chats that a host may look at: whether they are set up is known to it alone. */
static void write_handoff(const struct config *c, struct buf *b)
{
    jw_key(b, "handoff");
    jw_open(b, '[');
    for (unsigned i = 0; c->integration.handoff_enabled && i < c->integration.handoff_channels.n; i++)
        jw_str(b, str_of(c->integration.handoff_channels.v[i]));
    jw_close(b, ']');
}

static void write_report(struct check_run *r, struct buf *b)
{
    struct findings all;
    uint64_t took_ms = clock_mono_ms() - r->began_ms;

    findings_init(&all);
    for (unsigned i = 0; i < CHECK_PARTS; i++)
        findings_join(&all, &r->part[i]);
    jw_open(b, '{');
    jw_kbool(b, "ok", all.n[FINDING_FAIL] == 0 && all.json.rc == 0);
    jw_key(b, "counts");
    jw_open(b, '{');
    for (unsigned i = 0; i < FINDING_KINDS; i++)
        jw_kint(b, finding_word((enum finding_kind)i), all.n[i]);
    jw_close(b, '}');
    jw_kint(b, "at", (int64_t)(clock_wall_ms() - took_ms));
    jw_kint(b, "took_ms", (int64_t)took_ms);
    jw_kstrc(b, "version", MANIFEST_VERSION);
    jw_kstrc(b, "instance", r->app->instance);
    jw_kbool(b, "running", !r->app->check_only);
    write_enter(r->app, b);
    write_handoff(r->app->config, b);
    jw_key(b, "checks");
    jw_open(b, '[');
    if (all.json.n > 0)
        jw_raw(b, buf_str(&all.json));
    jw_close(b, ']');
    jw_close(b, '}');
    if (all.json.rc < 0)
        b->rc = all.json.rc;
    findings_free(&all);
}

/* ---- A run ---- */

static void run_free(struct check_run *r)
{
    struct check_run **at = &r->owner->runs;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->owner->n--;
    for (unsigned i = 0; i < CHECK_PARTS; i++)
        findings_free(&r->part[i]);
    mem_free(r);
}

void check_hold(struct check_run *r)
{
    r->open++;
}

void check_release(struct check_run *r)
{
    routes_fn *fn = r->fn;
    void *arg = r->arg;
    struct buf b;

    if (--r->open > 0)
        return;
    buf_init(&b, REPORT_BYTES);
    write_report(r, &b);
    run_free(r);
    if (b.rc < 0)
        fn(arg, 503, STR("{\"error\":\"the check could not be written down; try again\"}"));
    else
        fn(arg, 200, buf_str(&b));
    buf_free(&b);
}

static void on_carrier(void *arg)
{
    check_release(arg);
}

static void check_carrier(struct check_run *r)
{
    struct app *app = r->app;
    const struct config *c = app->config;
    const struct carrier_check ask = {
        .auth_tokens = c->twilio.auth_tokens.v, .n_auth_tokens = c->twilio.auth_tokens.n,
        .numbers = c->twilio.phone_numbers.v, .n_numbers = c->twilio.phone_numbers.n,
        .out = &r->part[PART_CARRIER], .done = on_carrier, .arg = r};
    struct findings *f = &r->part[PART_CARRIER];
    int rc;

    if (!check_has_carrier(app) && c->twilio.ready) {
        finding_add(f, FINDING_SKIP, "twilio.account", NULL, "not asked without webhook.base_url");
        return;
    }
    if (!check_has_carrier(app)) {
        finding_add(f, FINDING_SKIP, "twilio.account", NULL, "no carrier is configured: calls come straight from a SIP "
                    "trunk, and none can be placed, held or recorded");
        return;
    }
    check_hold(r);
    rc = app->lines->carrier->ops->check(app->lines->carrier, &ask);
    if (rc < 0) {
        finding_add(f, FINDING_FAIL, "twilio.account", "Try again.", "Twilio could not be asked: %s", err_name(rc));
        check_release(r);
    }
}

static struct check_run *run_new(struct checks *c)
{
    struct check_run *r = c->n < RUNS_MAX ? MEM_NEW(struct check_run) : NULL;
    unsigned char raw[16];

    if (r == NULL || id_random(raw, sizeof raw) < 0) {
        mem_free(r);
        return NULL;
    }
    id_hex(r->nonce, raw, sizeof raw);
    r->owner = c;
    r->app = c->app;
    for (unsigned i = 0; i < CHECK_PARTS; i++)
        findings_init(&r->part[i]);
    r->next = c->runs;
    c->runs = r;
    c->n++;
    return r;
}

void checks_run(struct checks *c, routes_fn *fn, void *arg)
{
    struct check_run *r = run_new(c);

    if (r == NULL) {
        fn(arg, 503, STR("{\"error\":\"too many checks at once; try again\"}"));
        return;
    }
    r->fn = fn;
    r->arg = arg;
    r->began_ms = clock_mono_ms();
    check_hold(r);
    check_here(r);
    check_openai(r);
    check_reach(r);
    check_carrier(r);
    check_numbers(r);
    check_release(r);
}

/* ---- End ---- */

static void on_closed(void *arg)
{
    struct checks *c = arg;
    void (*closed)(void *) = c->closed;
    void *closed_arg = c->closed_arg;

    tls_ctx_free(c->tls);
    mem_free(c);
    closed(closed_arg);
}

void checks_close(struct checks *c, void (*closed)(void *arg), void *arg)
{
    c->closed = closed;
    c->closed_arg = arg;
    while (c->runs != NULL) { /* whoever would answer them is closed in the same turn */
        routes_fn *fn = c->runs->fn;
        void *fn_arg = c->runs->arg;

        run_free(c->runs);
        fn(fn_arg, 503, STR("{\"error\":\"shutting down; try again\"}"));
    }
    if (c->pool != NULL)
        httpc_close(c->pool, on_closed, c);
    else
        on_closed(c);
}

/* ---- For people ---- */

static size_t widest(const struct json *checks)
{
    size_t most = 0;

    for (const struct json *f = json_first(checks); f != NULL; f = json_next(f))
        if (json_get_str(f, "check").n > most)
            most = json_get_str(f, "check").n;
    return most;
}

static void put_enter(struct buf *out, const struct json *enter)
{
    static const struct {
        const char *key, *text;
    } lines[] = {
        {"openai_webhook_url", "OpenAI, project settings, Webhooks, event realtime.call.incoming: "},
        {"sip_uri", "SIP trunk that points straight at OpenAI: "},
        {"twilio_voice_url", "Twilio, the number's voice webhook (HTTP POST): "},
    };
    bool any = false;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct str value = json_get_str(enter, lines[i].key);

        if (value.n == 0)
            continue;
        (void)buf_printf(out, "%s  %s%.*s\n", any ? "" : "\nTo be entered elsewhere:\n", lines[i].text, STR_ARG(value));
        any = true;
    }
}

int check_text(struct buf *out, struct str report)
{
    struct json *doc = NULL;
    const struct json *checks, *counts;
    int rc = json_parse(&doc, report, NULL), width;

    if (rc < 0)
        return rc;
    checks = json_get(doc, "checks");
    counts = json_get(doc, "counts");
    width = (int)widest(checks);
    for (const struct json *f = json_first(checks); f != NULL; f = json_next(f)) {
        struct str name = json_get_str(f, "check"), cure = json_get_str(f, "cure");

        (void)buf_printf(out, "%-4.*s  %-*.*s  %.*s\n", STR_ARG(json_get_str(f, "result")), width, STR_ARG(name),
                         STR_ARG(json_get_str(f, "detail")));
        if (cure.n > 0)
            (void)buf_printf(out, "      %*s  -> %.*s\n", width, "", STR_ARG(cure));
    }
    put_enter(out, json_get(doc, "enter"));
    (void)buf_printf(out, "\n%d ok, %d to look at, %d to fix, %d not checked\n", (int)json_get_int(counts, "ok", 0),
                     (int)json_get_int(counts, "warn", 0), (int)json_get_int(counts, "fail", 0),
                     (int)json_get_int(counts, "skip", 0));
    json_free(doc);
    return out->rc;
}
