/* SPDX-License-Identifier: MIT */
#include "plugin/routes.h"

#include "memory/journal.h"
#include "plugin/app.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/bearer.h"
#include "plugin/check.h"
#include "plugin/drain.h"
#include "plugin/feed.h"
#include "plugin/guard.h"
#include "plugin/lines.h"
#include "plugin/net/httpd.h"
#include "plugin/proto/url.h"
#include "plugin/why.h"

#include <stdio.h>

#define STATUS_BYTES 65536u
#define WHY_BYTES (8u << 20)
#define LIMIT_DEFAULT 100u
#define LIMIT_MAX 1000u

struct routes {
    struct app *app;
    struct webhooks *webhooks;
};

int routes_open(struct routes **out, struct app *app)
{
    struct routes *r = MEM_NEW(struct routes);
    int rc;

    if (r == NULL)
        return ERR_NOMEM;
    r->app = app;
    rc = webhooks_open(&r->webhooks, app);
    if (rc < 0) {
        mem_free(r);
        return rc;
    }
    *out = r;
    return 0;
}

void routes_close(struct routes *r)
{
    if (r == NULL)
        return;
    webhooks_close(r->webhooks);
    mem_free(r);
}

void routes_drain(struct routes *r)
{
    webhooks_drain(r->webhooks);
}

/* ---- Queries ---- */

static const char not_found[] = "{\"error\":\"no such path or call; GET /calls lists the calls\"}";

struct query { /* one question to the journal on its way */
    struct app *app;
    enum journal_query what;
    routes_fn *fn;
    void *arg;
};

static void on_why(struct query *q, struct str record)
{
    struct buf b;

    buf_init(&b, WHY_BYTES);
    if (why_write(&b, record) < 0)
        q->fn(q->arg, 500, STR("{\"error\":\"the record cannot be shown\"}"));
    else
        q->fn(q->arg, 200, buf_str(&b));
    buf_free(&b);
}

/* What a live call can do now, and who is on it, is in memory: put behind what its row says. */
static void on_call(struct query *q, struct str json)
{
    struct json *doc = NULL;
    struct buf b;

    buf_init(&b, STATUS_BYTES);
    (void)json_parse(&doc, json, NULL);
    if (q->app->lines == NULL || json.n < 2 || lines_can(q->app->lines, json_get_str(doc, "call")) == 0) {
        q->fn(q->arg, 200, json);
    } else {
        (void)buf_puts(&b, str_head(json, json.n - 1));
        lines_describe(q->app->lines, json_get_str(doc, "call"), &b);
        (void)buf_puts(&b, STR("}"));
        q->fn(q->arg, b.rc < 0 ? 503 : 200, b.rc < 0 ? STR("{\"error\":\"out of memory\"}") : buf_str(&b));
    }
    json_free(doc);
    buf_free(&b);
}

static void on_queried(void *arg, int rc, struct str json)
{
    struct query *q = arg;

    if (rc == ERR_NOT_FOUND) {
        q->fn(q->arg, 404, str_of(not_found));
    } else if (rc < 0) {
        log_error(&q->app->log, "a query of the database failed: %s", err_name(rc));
        q->fn(q->arg, 503, STR("{\"error\":\"the database does not answer\"}"));
    } else if (q->what == JOURNAL_Q_WHY) {
        on_why(q, json);
    } else if (q->what == JOURNAL_Q_CALL) {
        on_call(q, json);
    } else {
        q->fn(q->arg, 200, json);
    }
    mem_free(q);
}

static void ask_journal(struct routes *r, enum journal_query what, struct str id, unsigned limit,
                        routes_fn *fn, void *arg)
{
    struct query *q = MEM_NEW(struct query);

    if (q != NULL) {
        *q = (struct query){r->app, what, fn, arg};
        if (journal_query(r->app->store, what, id, limit, on_queried, q) == 0)
            return;
    }
    mem_free(q);
    fn(arg, 503, STR("{\"error\":\"overloaded; try again\"}"));
}

/* ?limit=N&state=live|over. false: something else stands there. */
static bool list_options(struct str query, unsigned *limit, struct str *state)
{
    struct str part;

    *limit = LIMIT_DEFAULT;
    *state = STR("");
    while (query.n > 0 && str_split(&query, '&', &part)) {
        uint64_t n;

        if (str_starts(part, STR("limit=")) && str_u64(str_skip(part, 6), &n) && n >= 1 &&
            n <= LIMIT_MAX)
            *limit = (unsigned)n;
        else if (str_eq(part, STR("state=live")) || str_eq(part, STR("state=over")))
            *state = str_skip(part, 6);
        else
            return false;
    }
    return true;
}

static void query_status(struct routes *r, bool open, routes_fn *fn, void *arg)
{
    struct buf b;

    buf_init(&b, STATUS_BYTES);
    app_status(r->app, open, &b);
    fn(arg, b.rc < 0 ? 503 : 200, b.rc < 0 ? STR("{\"error\":\"out of memory\"}") : buf_str(&b));
    buf_free(&b);
}

void route_refuse(routes_fn *fn, void *arg, int status, const char *error, const char *key, struct str value)
{
    struct buf b;

    buf_init(&b, 4096);
    jw_open(&b, '{');
    jw_kstrc(&b, "error", error);
    if (key != NULL)
        jw_kstr(&b, key, value);
    jw_close(&b, '}');
    fn(arg, status, b.rc < 0 ? STR("{}") : buf_str(&b));
    buf_free(&b);
}

void route_error(const struct route_ask *ask, int status, const char *text)
{
    route_refuse(ask->fn, ask->arg, status, text, NULL, STR(""));
}

bool route_parameter(const struct route_ask *ask, const char *name, char *out, size_t cap)
{
    struct str rest = ask->query, part;

    while (rest.n > 0 && str_split(&rest, '&', &part)) {
        size_t eq = str_find(part, '=');
        struct buf value;
        bool good;

        if (!str_eqc(str_head(part, eq), name))
            continue;
        buf_init(&value, cap);
        good = url_unescape(&value, str_skip(part, eq + 1), true) == 0 && str_copy(out, cap, buf_str(&value));
        buf_free(&value);
        return good;
    }
    return false;
}

static void answer_api(struct routes *r, struct str method, struct str target, struct str body, struct str idem,
                       routes_fn *fn, void *arg, struct httpd_exchange *x)
{
    size_t q = str_find(target, '?');
    struct str path = str_head(target, q), search = str_skip(target, q + 1), id, tail = STR("");
    const struct route_ask ask = {r->app, method, path, search, body, idem, fn, arg};
    enum journal_query what;
    unsigned limit;

    if (dial_route(&ask) || action_route(&ask) || drain_route(&ask) || recorded_route(&ask, x) || people_route(&ask))
        return;
    if (str_eq(path, STR("/check")) && str_eq(method, STR("POST"))) {
        checks_run(r->app->checks, fn, arg);
        return;
    }
    if (!str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD"))) {
        fn(arg, 405, STR("{\"error\":\"only GET is possible here\"}"));
        return;
    }
    if (str_eq(path, STR("/status"))) {
        query_status(r, false, fn, arg);
        return;
    }
    if (str_eq(path, STR("/calls"))) {
        struct str state;

        if (!list_options(search, &limit, &state))
            fn(arg, 400, STR("{\"error\":\"possible are limit=1..1000 and state=live or state=over\"}"));
        else
            ask_journal(r, JOURNAL_Q_CALLS, state, limit, fn, arg);
        return;
    }
    if (!str_starts(path, STR("/calls/"))) {
        fn(arg, 404, str_of(not_found));
        return;
    }
    id = str_skip(path, 7);
    tail = str_skip(id, str_find(id, '/'));
    id = str_head(id, id.n - tail.n);
    if (tail.n == 0)
        what = JOURNAL_Q_CALL;
    else if (str_eq(tail, STR("/transcript")))
        what = JOURNAL_Q_TRANSCRIPT;
    else if (str_eq(tail, STR("/why")))
        what = JOURNAL_Q_WHY;
    else
        id.n = 0;
    if (id.n == 0 || id.n > 256)
        fn(arg, 404, str_of(not_found));
    else
        ask_journal(r, what, id, 1, fn, arg);
}

void routes_query(struct routes *r, struct str method, struct str target, struct str body, routes_fn *fn, void *arg)
{
    answer_api(r, method, target, body, STR(""), fn, arg, NULL);
}

/* ---- HTTP ---- */

static void send_json(void *arg, int status, struct str body)
{
    struct httpd_exchange *x = arg;

    if (status == 405)
        (void)httpd_reply_header(x, "Allow", STR("GET, HEAD"));
    (void)httpd_reply_header(x, "Cache-Control", STR("no-store"));
    httpd_reply(x, status, "application/json", body);
}

static void ask_later(struct httpd_exchange *x, unsigned seconds, struct str body)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%u", seconds);
    (void)httpd_reply_header(x, "Retry-After", str_of(text));
    send_json(x, 429, body);
}

bool route_failed_often(struct app *app, struct httpd_exchange *x)
{
    bool first;
    unsigned wait = guard_failed(app->guard, httpd_peer(x), &first);

    if (first)
        log_warn(&app->log, "%.*s fails to prove itself too often: answered 429 for a while (api.failures_per_minute)",
                 STR_ARG(httpd_peer(x)));
    if (wait > 0)
        ask_later(x, wait, STR("{\"error\":\"too many failed tokens or signatures from this address\"}"));
    return wait > 0;
}

/* Being on this machine proves nothing: behind a tunnel the whole world is. */
static const char *token_of(struct routes *r, struct httpd_exchange *x, unsigned *scopes)
{
    struct str auth = httpd_header(x, "authorization");
    const char *name = NULL;

    if (httpd_header_count(x, "authorization") == 1 && str_istarts(auth, STR("Bearer ")))
        name = bearers_find(r->app->bearers, str_trim(str_skip(auth, 7)), scopes);
    if (name != NULL || route_failed_often(r->app, x))
        return name;
    log_warn(&r->app->log, "API request refused with 401: %s",
             auth.n == 0 ? "no Authorization header" : "the token is wrong");
    (void)httpd_reply_header(x, "WWW-Authenticate", STR("Bearer"));
    send_json(x, 401, STR("{\"error\":\"send Authorization: Bearer TOKEN; the token is in <state_dir>/api-token "
                          "or channels.voice.api.token\"}"));
    return NULL;
}

static bool authorized(struct routes *r, struct httpd_exchange *x)
{
    enum bearer_scope needs = bearer_needs(httpd_method(x), httpd_path(x));
    unsigned scopes = 0, wait;
    const char *name = token_of(r, x, &scopes);

    if (name == NULL)
        return false;
    wait = guard_request(r->app->guard, str_of(name));
    if (wait > 0) {
        ask_later(x, wait, STR("{\"error\":\"too many requests with this token (api.requests_per_minute)\"}"));
        return false;
    }
    if ((scopes & needs) != 0)
        return true;
    log_warn(&r->app->log, "API request refused with 403: the token %s has no scope %s", name,
             bearer_scope_name(needs));
    route_refuse(send_json, x, 403, "this token may not do that", "needs", str_of(bearer_scope_name(needs)));
    return false;
}

/* The path and what stands behind '?', as they came: adjacent in the request line. */
static struct str target_of(struct httpd_exchange *x)
{
    struct str path = httpd_path(x), query = httpd_query(x);

    return query.n > 0 ? str_make(path.p, path.n + 1 + query.n) : path;
}

static void answer_health(struct routes *r, struct httpd_exchange *x)
{
    struct buf b;

    buf_init(&b, 1024);
    if (check_health(r->app, httpd_query(x), &b))
        send_json(x, 200, buf_str(&b));
    else
        query_status(r, true, send_json, x);
    buf_free(&b);
}

/* For whoever leads traffic here, a proxy or a supervisor: 200 while new calls are taken. */
static void answer_ready(struct routes *r, struct httpd_exchange *x)
{
    struct buf b;

    buf_init(&b, 1024);
    app_status(r->app, true, &b);
    send_json(x, app_takes_calls(r->app) ? 200 : 503, buf_str(&b));
    buf_free(&b);
}

void routes_handle(void *arg, struct httpd_exchange *x)
{
    struct routes *r = arg;
    struct str method = httpd_method(x), path = httpd_path(x);
    bool reads = str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));

    if (r->app->store == NULL) { /* the last moments of a stop */
        (void)httpd_reply_header(x, "Retry-After", STR("1"));
        httpd_reply(x, 503, "application/json", STR("{\"error\":\"shutting down; try again\"}"));
    } else if (str_eq(path, STR("/webhook"))) {
        if (str_eq(method, STR("POST"))) {
            webhooks_handle(r->webhooks, x);
            return;
        }
        (void)httpd_reply_header(x, "Allow", STR("POST"));
        httpd_reply(x, 405, "application/json", STR("{\"error\":\"OpenAI posts its webhooks here\"}"));
    } else if (str_starts(path, STR("/twilio/")) && r->app->lines != NULL) {
        lines_hook(r->app->lines, x);
    } else if (str_eq(path, STR("/health")) && reads) {
        answer_health(r, x);
    } else if (str_eq(path, STR("/ready")) && reads) {
        answer_ready(r, x);
    } else if (!authorized(r, x)) {
        return;
    } else if (str_eq(path, STR("/events")) && reads) {
        feed_serve(r->app->feed, x);
    } else {
        answer_api(r, method, target_of(x), httpd_body(x), httpd_header(x, "idempotency-key"), send_json, x, x);
    }
}
