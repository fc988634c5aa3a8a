/* SPDX-License-Identifier: MIT */
#include "plugin/app.h"

#include "abi/openclaw_voice.h"
#include "manifest.h"
#include "memory/index.h"
#include "memory/journal.h"
#include "memory/people.h"
#include "memory/tokens.h"
#include "plugin/afters.h"
#include "plugin/bearer.h"
#include "plugin/base/clock.h"
#include "plugin/base/here.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "plugin/calls.h"
#include "plugin/check.h"
#include "plugin/costs.h"
#include "plugin/drain.h"
#include "plugin/feed.h"
#include "plugin/fetches.h"
#include "plugin/guard.h"
#include "plugin/lines.h"
#include "plugin/net/httpd.h"
#include "plugin/net/loop.h"
#include "plugin/notice.h"
#include "plugin/owner.h"
#include "plugin/past.h"
#include "plugin/pin.h"
#include "plugin/proto/sig.h"
#include "plugin/proto/tls.h"
#include "plugin/questions.h"
#include "plugin/realtime/rt_rest.h"
#include "plugin/recordings.h"
#include "plugin/routes.h"
#include "plugin/runs.h"
#include "plugin/verify.h"
#include "plugin/token.h"
#include "plugin/wake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BIND_TRIES 25         /* the instance before us may not have let go of the port yet */
#define BIND_PAUSE_NS 100000000L
#define KEEP_EVERY_MS 3600000u
#define LONGEST_CALL_MS 3600000u
#define ADOPT_EVERY_MS 1000u  /* while there is another instance: it may die at any time */
#define LOOK_EVERY_MS 15000u  /* for one that has come */
#define STOP_POLL_MS 50u
#define FLUSH_MS 3000u
#define WARM_CONNS 2u
#define MAX_CONNS 128u

/* ---- Open and close: no thread yet, or no more ---- */

static int make_policy(struct app *app, const struct json *gateway, struct caller_policy **out,
                       struct err *e)
{
    const struct config *c = app->config;
    struct caller_rules rules = {
        .whitelist_enabled = c->security.whitelist_enabled,
        .blacklist_enabled = c->security.blacklist_enabled,
        .unknown_allowed = c->security.unknown_allowed,
        .whitelist = c->security.whitelist.v, .n_whitelist = c->security.whitelist.n,
        .blacklist = c->security.blacklist.v, .n_blacklist = c->security.blacklist.n};
    unsigned ignored = 0;
    int rc = caller_policy_make(out, &rules, gateway, &ignored, e);

    if (rc == 0 && ignored > 0)
        log_warn(&app->log, "%u entr%s of the gateway's caller lists are no E.164 numbers such as "
                 "+15551234567 and match nobody", ignored, ignored == 1 ? "y" : "ies");
    return rc;
}

int app_set_policy(struct app *app, struct str json, struct err *e)
{
    struct caller_policy *policy = NULL;
    struct json *doc = NULL;
    int rc = json_parse(&doc, json, e);

    if (rc == 0)
        rc = make_policy(app, doc, &policy, e);
    if (rc == 0) {
        caller_policy_free(app->policy);
        app->policy = policy;
    }
    json_free(doc);
    return rc;
}

static int open_keys(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct str secrets[SIG_SECRETS_MAX];
    unsigned n = 0;

    if (!c->security.verify_signatures)
        return 0;
    for (; n < c->webhook.secrets.n && n < SIG_SECRETS_MAX; n++)
        secrets[n] = str_of(c->webhook.secrets.v[n]);
    return sig_keys_open(&app->keys, secrets, n, e);
}

static void log_lines(const struct log *log, struct str lines)
{
    struct str line;

    while (lines.n > 0 && str_split(&lines, '\n', &line))
        if (line.n > 0)
            log_warn(log, "%.*s", STR_ARG(line));
}

static int name_instance(struct app *app)
{
    unsigned char raw[(sizeof app->instance - 1) / 2];
    int rc = id_random(raw, sizeof raw);

    if (rc == 0)
        id_hex(app->instance, raw, sizeof raw);
    return rc;
}

int app_open(struct app **out, const struct oc_host *host, struct str create_json, struct buf *faults,
             struct err *e)
{
    struct app *app = MEM_NEW(struct app);
    struct json *doc = NULL;
    int rc;

    if (app == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    buf_init(&app->warnings, 65536);
    rc = host_open(&app->host, host);
    if (rc == 0)
        rc = name_instance(app);
    if (rc == 0)
        rc = config_read(&app->config, create_json, faults, &app->warnings);
    if (rc < 0) {
        (void)err_set(e, rc, "%s", rc == ERR_CONFIG ? "the configuration has faults" : err_name(rc));
        goto out;
    }
    log_init(&app->log, host_log_sink, app->host, app->config->logging.level);
    rc = json_parse(&doc, create_json, e);
    app->check_only = json_get_bool(doc, "check", false);
    if (!app->check_only) /* else they are in its report */
        log_lines(&app->log, buf_str(&app->warnings));
    if (rc == 0)
        rc = make_policy(app, json_get(doc, "policy"), &app->policy, e);
    if (rc == 0)
        rc = open_keys(app, e);
out:
    json_free(doc);
    if (rc < 0)
        app_close(app);
    else
        *out = app;
    return rc;
}

void app_close(struct app *app)
{
    if (app == NULL)
        return;
    host_close(app->host);
    buf_free(&app->warnings);
    sig_keys_free(app->keys);
    caller_policy_free(app->policy);
    config_unref(app->config);
    tokens_close(app->tokens);
    wake_close(app->wake);
    wake_close(app->index_wake);
    bearers_close(app->bearers);
    mem_free(app);
}

/* ---- The database ---- */

static void poll_store(struct app *app)
{
    if (app->store != NULL)
        store_poll(app->store);
}

static int open_store(struct app *app, struct err *e)
{
    struct store_config config = {.dir = app->config->state_dir, .log = &app->log, .wake = wake_loop,
                                  .gather = wake_gather};
    struct store_health health;
    int rc = wake_open(&app->wake, app, poll_store);

    if (rc < 0)
        return err_set(e, rc, "out of memory");
    config.ctx = app->wake;
    rc = store_open(&app->store, &config, e);
    if (rc < 0)
        return rc;
    store_health_read(app->store, &health);
    if (health.set_aside) {
        char text[700];

        app->degraded = true;
        (void)snprintf(text, sizeof text, "the database was damaged and is set aside as %s; a new one was "
                       "begun: earlier calls and transcripts are in the old file only", health.aside_path);
        notice_warning(app, text);
    }
    return 0;
}

/* ---- Work that comes round ---- */

/* What was said goes from the index as it goes from the database, the longest call's time later at most. */
static void expire_words(struct app *app, uint64_t keep_ms)
{
    uint64_t days = app->config->sessions.transcript_retention_days, wall = clock_wall_ms();
    uint64_t words_ms = days * 86400000u;

    if (days > 0)
        (void)people_expire_turns(app->store, wall - words_ms, NULL, NULL);
    if (keep_ms > 0 && (days == 0 || keep_ms < words_ms))
        words_ms = keep_ms;
    if (words_ms > 0 && app->index != NULL)
        (void)index_expire(app->index, wall - words_ms - LONGEST_CALL_MS,
                           keep_ms > 0 ? wall - keep_ms - LONGEST_CALL_MS : 0, NULL, NULL);
}

static void keep(void *arg)
{
    struct app *app = arg;
    uint64_t now = loop_now_ms(app->loop), wall = clock_wall_ms();
    bool company = store_company(app->store);

    if (company || app->company) /* one that has left may have left calls */
        calls_adopt(app->calls);
    if (app->company && !company)
        afters_resume(app->afters); /* and what is owed */
    app->company = company;
    /* By the wall clock, as what is kept is: a machine that slept for a day is late by a day. */
    if (app->expire_wall_ms <= wall || app->expire_wall_ms - wall > KEEP_EVERY_MS) {
        uint64_t keep_ms = app->config->sessions.persist_ended_sessions
                               ? 0 : (uint64_t)app->config->sessions.session_cleanup_h * 3600000u;

        app->expire_wall_ms = wall + KEEP_EVERY_MS;
        (void)journal_expire(app->store, wall, keep_ms, NULL, NULL);
        expire_words(app, keep_ms);
        fetches_expire(app->fetches);
    }
    timer_set(app->keeper, now + (company ? ADOPT_EVERY_MS : LOOK_EVERY_MS));
}

/* OpenAI announces when a model goes: say so while there is time. */
static void on_models(void *arg, int status, struct str body)
{
    struct app *app = arg;
    struct json *doc = NULL;
    char text[300];

    if (status == 401)
        notice_warning(app, "OpenAI refuses channels.voice.openai.api_key (401): no call can be accepted");
    if (status != 200 || json_parse(&doc, body, NULL) < 0)
        return;
    for (const struct json *m = json_first(json_get(doc, "data")); m != NULL; m = json_next(m)) {
        struct str gone = json_get_str(m, "shutdown_date");

        if (!str_eqc(json_get_str(m, "id"), app->config->openai.model) || gone.n == 0)
            continue;
        (void)snprintf(text, sizeof text, "OpenAI shuts %s down on %.*s: set channels.voice.openai.model to its "
                       "successor", app->config->openai.model, STR_ARG(str_head(gone, 20)));
        notice_warning(app, text);
    }
    json_free(doc);
}

/* ---- Memory files ---- */

static void poll_index(struct app *app)
{
    if (app->index != NULL)
        index_poll(app->index);
    past_index_woke(app->past);
}

void app_persons_changed(struct app *app)
{
    calls_know_again(app->calls);
    past_look(app->past);
}

/* The table of tokens lies beside the shared object. */
static void open_tokens(struct app *app)
{
    struct err e = {0};
    char path[4200];

    if (!here_path("o200k.bin", path, sizeof path))
        return;
    if (tokens_open(&app->tokens, path, &e) < 0)
        log_warn(&app->log, "tokens are counted roughly: %s", e.text);
}

static void on_forget_finished(void *arg, int rc, struct str json)
{
    struct app *app = arg;
    struct json *doc = NULL;

    if (rc == 0 && json_parse(&doc, json, NULL) == 0 && app->afters != NULL)
        for (const struct json *c = json_first(json_get(doc, "calls")); c != NULL; c = json_next(c))
            afters_forget(app->afters, json_str(c));
    json_free(doc);
    if (rc == 0)
        log_info(&app->log, "a caller was being forgotten when an earlier run ended: that is finished now");
    else
        log_warn(&app->log, "a caller was being forgotten when an earlier run ended; it is tried again at the next"
                 " start (%s)", err_name(rc));
    people_forget_over(app->store, rc == 0);
}

static int open_index(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct index_config config = {.workspace = c->workspace, .state_dir = c->state_dir, .log = &app->log,
                                  .wake = wake_loop};

    /* Somebody who was being forgotten when an instance died: the index is made anew, without them. */
    if (people_forget_finish(app->store, on_forget_finished, app) == 0)
        index_discard(c->state_dir);
    if (!c->integration.memory_enabled)
        return 0;
    open_tokens(app);
    if (wake_open(&app->index_wake, app, poll_index) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    config.ctx = app->index_wake;
    return index_open(&app->index, &config, e);
}

/* ---- Start ---- */

static int open_api(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct rt_api_config api = {.base_url = str_of(c->openai.base_url),
                                .api_key = str_of(c->openai.api_key),
                                .project = str_of(c->openai.project_id),
                                .ca_file = str_of(c->openai.ca_file),
                                .max_conns = MAX_CONNS, .warm_conns = WARM_CONNS};

    return rt_api_open(&app->api, app->loop, &api, &app->log, e);
}

static int open_httpd(struct app *app, httpd_handler_fn *fn, void *arg, struct err *e)
{
    const struct config *c = app->config;
    struct httpd_config http = {.bind = c->webhook.bind, .port = c->webhook.port,
                                .tls_cert = c->webhook.tls_cert[0] ? c->webhook.tls_cert : NULL,
                                .tls_key = c->webhook.tls_key[0] ? c->webhook.tls_key : NULL};
    const struct timespec pause = {0, BIND_PAUSE_NS};
    int rc = 0;

    for (int i = 0; i < BIND_TRIES; i++) {
        rc = httpd_open(&app->httpd, app->loop, &http, fn, arg, &app->log, e);
        if (rc != -EADDRINUSE || http.port == 0 || app->check_only)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return rc;
}

static int load_tokens(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    char first[128] = "";
    int rc = c->api_token[0] != '\0' ? 0 : token_load(c->state_dir, first, sizeof first, e);

    if (rc == 0)
        rc = bearers_open(&app->bearers, c, str_of(first));
    secret_wipe(first, sizeof first);
    return rc;
}

void app_write_ready(struct app *app, struct buf *b)
{
    const struct config *c = app->config;
    bool v6 = strchr(c->webhook.bind, ':') != NULL;
    char url[120];

    (void)snprintf(url, sizeof url, "%s://%s%.64s%s:%d", c->webhook.tls_cert[0] ? "https" : "http",
                   v6 ? "[" : "", c->webhook.bind, v6 ? "]" : "", httpd_port(app->httpd));
    jw_kstrc(b, "url", url);
    jw_kint(b, "port", httpd_port(app->httpd));
    jw_kstrc(b, "version", MANIFEST_VERSION);
    jw_kint(b, "pid", getpid());
    jw_kstrc(b, "state_dir", c->state_dir);
    jw_kstrc(b, "tls_library", tls_library());
    jw_kstrc(b, "default_country", c->outbound.default_country);
}

static void announce(struct app *app, struct buf *ready)
{
    struct buf b;

    jw_open(ready, '{');
    app_write_ready(app, ready);
    jw_close(ready, '}');
    notice_begin(&b, OC_EV_READY, STR(""));
    app_write_ready(app, &b);
    notice_send(app, &b, OC_EV_READY, STR(""));
}

static int start_parts(struct app *app, struct err *e)
{
    int rc = feed_open(&app->feed, app->loop, &app->log);

    if (rc == 0)
        rc = open_store(app, e);
    if (rc == 0)
        rc = load_tokens(app, e);
    if (rc == 0)
        rc = open_index(app, e);
    if (rc == 0)
        rc = open_api(app, e);
    if (rc == 0)
        rc = runs_open(&app->runs, app, e);
    if (rc == 0)
        rc = pins_open(&app->pins, app);
    if (rc == 0)
        rc = verifies_open(&app->verifies, app);
    if (rc == 0)
        rc = owners_open(&app->owners, app);
    if (rc == 0)
        rc = questions_open(&app->questions, app);
    if (rc == 0)
        rc = afters_open(&app->afters, app);
    if (rc == 0)
        rc = past_open(&app->past, app);
    if (rc == 0)
        rc = costs_open(&app->costs, app, e);
    if (rc == 0)
        rc = guard_open(&app->guard, app);
    if (rc == 0)
        rc = drain_open(&app->drain, app);
    if (rc == 0)
        rc = calls_open(&app->calls, app);
    if (rc == 0)
        rc = fetches_open(&app->fetches, app, e);
    if (rc == 0)
        rc = lines_open(&app->lines, app, e);
    if (rc == 0)
        rc = routes_open(&app->routes, app);
    if (rc == 0)
        rc = timer_open(&app->keeper, app->loop, keep, app);
    if (rc == 0)
        rc = checks_open(&app->checks, app);
    if (rc == 0)
        rc = open_httpd(app, routes_handle, app->routes, e);
    return rc;
}

/* No database, no calls: what asks OpenAI and the carrier, and a listener, unless somebody else has the port. */
static int start_check(struct app *app, struct err *e)
{
    int rc = open_api(app, e);

    if (rc == 0)
        rc = guard_open(&app->guard, app);
    if (rc == 0)
        rc = lines_open(&app->lines, app, e);
    if (rc == 0)
        rc = checks_open(&app->checks, app);
    if (rc == 0)
        rc = open_httpd(app, check_serve, app, e);
    if (rc == -EADDRINUSE) {
        e->text[0] = '\0';
        rc = 0;
    }
    return rc;
}

static void begin(struct app *app, struct buf *ready)
{
    announce(app, ready);
    calls_adopt(app->calls);
    afters_resume(app->afters);
    past_look(app->past);
    timer_set(app->keeper, loop_now_ms(app->loop) + ADOPT_EVERY_MS);
    (void)rt_models(app->api, on_models, app);
}

int app_start(struct app *app, struct buf *ready, struct err *e)
{
    int rc;

    app->phase = APP_STARTING;
    app->started_wall_ms = clock_wall_ms();
    rc = app->check_only ? start_check(app, e) : start_parts(app, e);
    if (rc < 0) {
        if (e->text[0] == '\0')
            (void)err_set(e, rc, "the plugin does not start: %s", err_name(rc));
        log_error(&app->log, "start failed: %s", e->text);
        app_stop(app, OC_STOP_LEAVE_CALLS, 0);
        return rc;
    }
    app->phase = APP_RUNNING;
    if (app->check_only)
        (void)buf_puts(ready, STR("{}"));
    else
        begin(app, ready);
    return 0;
}

/* ---- Stop ---- */

static void all_closed(struct app *app)
{
    routes_close(app->routes);
    calls_close(app->calls);
    costs_close(app->costs);
    guard_close(app->guard);
    timer_close(app->keeper);
    timer_close(app->grace);
    app->routes = NULL;
    app->calls = NULL;
    app->costs = NULL;
    app->guard = NULL;
    app->keeper = app->grace = NULL;
    app->phase = APP_STOPPED;
    loop_stop(app->loop);
}

static void on_part_closed(void *arg)
{
    struct app *app = arg;

    if (--app->closing == 0)
        all_closed(app);
}

/* Calls are gone or left: what is owed is flushed, then everything closes. */
static void close_parts(struct app *app)
{
    struct runs *runs = app->runs;

    if (app->keeper != NULL)
        timer_stop(app->keeper); /* it works with the database, which closes first */
    if (app->calls != NULL)
        calls_leave(app->calls);
    if (app->lines != NULL)
        lines_leave(app->lines);
    fetches_leave(app->fetches);
    pins_close(app->pins);
    app->pins = NULL;
    verifies_close(app->verifies);
    app->verifies = NULL;
    /* Answers of claims and queries that were under way leave through the server, which is open yet. */
    if (app->index != NULL)
        index_close(app->index);
    app->index = NULL;
    if (app->store != NULL)
        store_close(app->store, FLUSH_MS);
    app->store = NULL;
    questions_close(app->questions);
    owners_close(app->owners);
    app->questions = NULL;
    app->owners = NULL;
    recordings_close(app->recordings);
    app->recordings = NULL;
    afters_close(app->afters);
    past_close(app->past);
    app->afters = NULL;
    app->past = NULL;
    feed_close(app->feed);
    app->feed = NULL;
    app->closing = 1;
    if (app->checks != NULL) {
        struct checks *checks = app->checks;

        app->checks = NULL;
        app->closing++;
        checks_close(checks, on_part_closed, app);
    }
    if (runs != NULL) {
        app->runs = NULL;
        app->closing++;
        runs_close(runs, on_part_closed, app);
    }
    if (app->lines != NULL) {
        struct lines *lines = app->lines;

        app->lines = NULL;
        app->closing++;
        lines_close(lines, on_part_closed, app);
    }
    fetches_close(app->fetches); /* the carrier answers nothing any more */
    app->fetches = NULL;
    if (app->httpd != NULL) {
        app->closing++;
        httpd_close(app->httpd, 300, on_part_closed, app);
    }
    if (app->api != NULL) {
        app->closing++;
        rt_api_close(app->api, on_part_closed, app);
    }
    on_part_closed(app);
}

static void on_grace(void *arg)
{
    struct app *app = arg;

    if (calls_count(app->calls) > 0 && loop_now_ms(app->loop) < app->stop_by_ms)
        timer_set(app->grace, loop_now_ms(app->loop) + STOP_POLL_MS);
    else
        close_parts(app);
}

void app_stop(struct app *app, int how, uint32_t grace_ms)
{
    if (app->phase == APP_STOPPING || app->phase == APP_STOPPED)
        return;
    app->phase = APP_STOPPING;
    drain_close(app->drain); /* whoever waits for it hears that it is over */
    app->drain = NULL;
    if (app->routes != NULL)
        routes_drain(app->routes);
    if (app->httpd != NULL)
        httpd_drain(app->httpd);
    app->stop_by_ms = loop_now_ms(app->loop) + grace_ms;
    if (how != OC_STOP_END_CALLS || app->calls == NULL || calls_count(app->calls) == 0 ||
        timer_open(&app->grace, app->loop, on_grace, app) < 0) {
        close_parts(app);
        return;
    }
    (void)calls_end(app->calls, STR(""), CALL_REASON_SHUTDOWN, STR(""));
    timer_set(app->grace, loop_now_ms(app->loop) + STOP_POLL_MS);
}
