/* SPDX-License-Identifier: MIT */
/* How an instance is, for GET /status, /health and /ready, and for the host. */
#include "memory/store.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/calls.h"
#include "plugin/costs.h"
#include "plugin/drain.h"
#include "plugin/net/httpd.h"
#include "plugin/runs.h"

bool app_takes_calls(struct app *app)
{
    return app->phase == APP_RUNNING && !drain_active(app->drain) && costs_ready(app->costs);
}

const char *app_status_word(struct app *app)
{
    struct store_health h = {0};

    if (app->store != NULL)
        store_health_read(app->store, &h);
    return app->phase != APP_RUNNING        ? "stopping"
           : drain_active(app->drain)       ? "draining"
           : app->degraded || h.failing     ? "degraded" : "ok";
}

static void write_database(struct buf *out, const struct store_health *h)
{
    jw_key(out, "database");
    jw_open(out, '{');
    jw_kbool(out, "failing", h->failing);
    jw_kstrc(out, "last_failure", h->text[0] ? h->text : NULL);
    jw_kstrc(out, "set_aside", h->set_aside ? h->aside_path : NULL);
    jw_kint(out, "schema", h->schema_version);
    jw_kint(out, "queued", h->queued);
    jw_kint(out, "commits", (int64_t)h->commits);
    jw_kint(out, "operations", (int64_t)h->operations);
    jw_close(out, '}');
}

static void write_http(struct buf *out, const struct httpd *httpd)
{
    struct httpd_stats s;

    httpd_stats_read(httpd, &s);
    jw_key(out, "http");
    jw_open(out, '{');
    jw_kint(out, "connections", s.conns);
    jw_kint(out, "requests", (int64_t)s.requests);
    jw_kint(out, "refused_connections", (int64_t)s.refused_conns);
    jw_kint(out, "shed_connections", (int64_t)s.shed_conns);
    jw_kint(out, "bad_requests", (int64_t)s.bad_requests);
    jw_kint(out, "timeouts", (int64_t)s.timeouts);
    jw_close(out, '}');
}

void app_status(struct app *app, bool open, struct buf *out)
{
    struct store_health h = {0};

    if (app->store != NULL)
        store_health_read(app->store, &h);
    jw_open(out, '{');
    jw_kstrc(out, "status", app_status_word(app));
    if (!open && app->phase == APP_RUNNING) {
        app_write_ready(app, out);
        jw_kint(out, "uptime_ms", (int64_t)(clock_wall_ms() - app->started_wall_ms));
        jw_kint(out, "live", calls_live(app->calls));
        jw_kint(out, "calls", calls_count(app->calls));
        jw_kint(out, "held_by_others", calls_held_by_others(app->calls));
        jw_kint(out, "max_concurrent", app->config->call.max_concurrent);
        jw_kstrc(out, "model", app->config->openai.model);
        jw_kstrc(out, "agent", runs_available(app->runs) ? "available" : "none configured");
        drain_write(app->drain, out);
        jw_key(out, "costs");
        costs_write(app->costs, out);
        jw_key(out, "owed");
        afters_write(app->afters, out);
        write_database(out, &h);
        write_http(out, app->httpd);
    }
    jw_close(out, '}');
}
