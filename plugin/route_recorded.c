/* SPDX-License-Identifier: MIT */
/*
 * /calls/{id}/recording: what became of the recording of a call. Stored, it is served whole or in ranges; on its way,
 * 202; while it is being made, 409.
 */
#include "memory/lines.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/fetches.h"
#include "plugin/lines.h"
#include "plugin/net/httpd.h"
#include "plugin/route_recording.h"
#include "plugin/routes.h"

struct recorded { /* one request on its way through the database */
    struct app *app;
    struct httpd_exchange *x; /* NULL: not over HTTP */
    bool drop;
    bool live;                /* its line is there: it may come yet */
    routes_fn *fn;
    void *arg;
    char call[ID_BYTES];
};

static void refuse(struct recorded *r, int status, const char *error, struct str detail)
{
    route_refuse(r->fn, r->arg, status, error, detail.n > 0 ? "detail" : NULL, detail);
    mem_free(r);
}

/* ---- What a row says ---- */

static void describe(struct recorded *r, int status, const struct recording_row *row)
{
    struct buf b;

    buf_init(&b, 4096);
    jw_open(&b, '{');
    jw_kstrc(&b, "call", r->call);
    jw_kstr(&b, "state", row->state);
    if (str_eqc(row->state, "stored")) {
        jw_kint(&b, "bytes", (int64_t)row->bytes);
        jw_kstr(&b, "type", row->type);
        jw_kstr(&b, "sha256", row->sha256);
        jw_kint(&b, "channels", row->channels);
        jw_kbool(&b, "sealed", row->sealed);
    }
    jw_kint(&b, "attempts", row->attempts);
    if (row->error.n > 0)
        jw_kstr(&b, "error", row->error);
    jw_close(&b, '}');
    r->fn(r->arg, b.rc < 0 ? 503 : status, b.rc < 0 ? STR("{\"error\":\"out of memory\"}") : buf_str(&b));
    buf_free(&b);
    mem_free(r);
}

static void serve(struct recorded *r, const struct recording_row *row)
{
    const struct recording_at at = {.name = row->path, .sha256 = row->sha256, .type = row->type, .bytes = row->bytes,
                                    .sealed = row->sealed};

    if (r->app->recordings == NULL) {
        refuse(r, 503, "shutting down; try again", STR(""));
        return;
    }
    recording_serve(r->app->recordings, r->x, &at, &r->app->log);
    mem_free(r);
}

/* ---- DELETE ---- */

static void on_deleted(void *arg, int rc)
{
    struct recorded *r = arg;

    if (rc < 0 && rc != ERR_NOT_FOUND) { /* deleted already is what was asked for */
        refuse(r, 503, "the deletion could not be recorded; try again", STR(""));
    } else {
        r->fn(r->arg, 200, STR("{\"status\":\"deleted\"}"));
        mem_free(r);
    }
}

/* ---- Finding it ---- */

static void on_row(void *arg, int rc, const struct recording_row *rows, unsigned n)
{
    struct recorded *r = arg;

    if (rc < 0)
        refuse(r, 503, "the database does not answer", STR(""));
    else if (n == 0 && r->live)
        refuse(r, 409, "not yet", STR("the call goes on, or its recording is not at hand yet: ask again when it is "
                                      "over"));
    else if (n == 0)
        refuse(r, 404, "this call was not recorded", STR(""));
    else if (r->drop)
        fetches_delete(r->app->fetches, str_of(r->call), on_deleted, r);
    else if (str_eqc(rows[0].state, "fetching"))
        describe(r, 202, &rows[0]);
    else if (!str_eqc(rows[0].state, "stored"))
        refuse(r, 404, str_eqc(rows[0].state, "deleted")  ? "the recording was deleted"
                       : str_eqc(rows[0].state, "absent") ? "nothing was recorded"
                                                          : "the recording could not be fetched", rows[0].error);
    else if (r->x == NULL)
        describe(r, 200, &rows[0]);
    else
        serve(r, &rows[0]);
}

/* Whatever id was given, its row has ours. */
static void on_call(void *arg, int rc, struct str json)
{
    struct recorded *r = arg;
    struct json *doc = NULL;

    if (rc == 0)
        rc = json_parse(&doc, json, NULL);
    if (rc == 0 && !str_copy(r->call, sizeof r->call, json_get_str(doc, "call")))
        rc = ERR_CORRUPT;
    json_free(doc);
    if (rc == ERR_NOT_FOUND) {
        refuse(r, 404, "no such call; GET /calls lists the calls", STR(""));
        return;
    }
    r->live = lines_has(r->app->lines, str_of(r->call));
    if (rc < 0 || recording_rows(r->app->store, str_of(r->call), on_row, r) < 0)
        refuse(r, 503, "the database does not answer", STR(""));
}

bool recorded_route(const struct route_ask *ask, struct httpd_exchange *x)
{
    struct str id = str_skip(ask->path, 7);
    bool drop = str_eqc(ask->method, "DELETE");
    struct recorded *r;

    if (!str_starts(ask->path, STR("/calls/")) || !str_eqc(str_skip(id, str_find(id, '/')), "/recording"))
        return false;
    if (!drop && !str_eqc(ask->method, "GET") && !str_eqc(ask->method, "HEAD")) {
        route_error(ask, 405, "GET, HEAD and DELETE are possible here");
        return true;
    }
    r = MEM_NEW(struct recorded);
    if (r != NULL) {
        *r = (struct recorded){.app = ask->app, .x = x, .drop = drop, .fn = ask->fn, .arg = ask->arg};
        if (journal_query(ask->app->store, JOURNAL_Q_CALL, str_head(id, str_find(id, '/')), 1, on_call, r) == 0)
            return true;
    }
    mem_free(r);
    route_error(ask, 503, "overloaded; try again");
    return true;
}
