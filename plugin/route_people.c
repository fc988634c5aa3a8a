/* SPDX-License-Identifier: MIT */
/* The API of callers, missed calls, handoffs, search and backup. */
#include "memory/index.h"
#include "memory/journal.h"
#include "memory/outbox.h"
#include "memory/people.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/base/phone.h"
#include "plugin/fetches.h"
#include "plugin/proto/url.h"
#include "plugin/routes.h"

#include <string.h>

#define ID_MAX 300u
#define LIMIT 200u

struct wait { /* an answer on its way */
    struct app *app;
    routes_fn *fn;
    void *arg;
    int good; /* status when all went well */
    /* forgetting: */
    char *id;
    char *record;   /* what the database erased */
    unsigned parts;
    char *sections; /* what became of the memory files */
    int64_t removed; /* sections of them */
    bool only_number, rows_next;
    bool unclean; /* the index may hold something of them */
};

static struct wait *wait_new(const struct route_ask *ask, int good)
{
    struct wait *w = MEM_NEW(struct wait);

    if (w == NULL) {
        route_error(ask, 503, "out of memory");
        return NULL;
    }
    w->app = ask->app;
    w->fn = ask->fn;
    w->arg = ask->arg;
    w->good = good;
    return w;
}

static void wait_free(struct wait *w)
{
    mem_free(w->id);
    mem_free(w->record);
    mem_free(w->sections);
    mem_free(w);
}

static void wait_over(struct wait *w, int rc, struct str json)
{
    struct route_ask ask = {.fn = w->fn, .arg = w->arg};

    if (rc == 0)
        w->fn(w->arg, w->good, json.n > 0 ? json : STR("{}"));
    else if (rc == ERR_NOT_FOUND)
        route_error(&ask, 404, "no such caller; GET /callers lists them");
    else if (rc == ERR_BAD_STATE)
        route_error(&ask, 409, "a call of theirs is live; try again when it is over");
    else if (rc == ERR_TOO_BIG)
        route_error(&ask, 400, "a name or language has at most 200 bytes, notes at most 8192");
    else if (rc == ERR_INVALID)
        route_error(&ask, 400, "an identity is channel:peer, such as telegram:777 or voice:+15551234567");
    else
        route_error(&ask, 503, "the database does not answer");
    wait_free(w);
}

static void on_json(void *arg, int rc, struct str json)
{
    wait_over(arg, rc, json);
}

static void on_done(void *arg, int rc)
{
    wait_over(arg, rc, STR("{\"ok\":true}"));
}

/* rc of the call that queued: when nothing was queued, the answer is given here. */
static void queued(struct wait *w, int rc)
{
    if (rc < 0)
        wait_over(w, rc == ERR_INVALID || rc == ERR_TOO_BIG ? rc : ERR_FULL, STR(""));
}

/* ---- Callers ---- */

static void update(const struct route_ask *ask, struct str id, bool notes_only)
{
    struct json *doc = NULL;
    struct people_update u = {.name = STR_NONE};
    struct wait *w;

    if (json_parse(&doc, ask->body, NULL) < 0 || !json_is_object(doc)) {
        json_free(doc);
        route_error(ask, 400, notes_only ? "the body is {\"notes\": \"...\"}"
                                         : "the body is {\"name\", \"language\", \"notes\"}, each optional");
        return;
    }
    u.notes = json_get_str(doc, "notes");
    if (!notes_only) {
        u.name = json_get_str(doc, "name");
        u.language = json_get_str(doc, "language");
    }
    w = wait_new(ask, 200);
    if (w != NULL)
        queued(w, people_update(ask->app->store, id, &u, on_done, w));
    json_free(doc);
}

static void on_linked(void *arg, int rc, struct str json)
{
    struct wait *w = arg;

    if (rc == 0)
        app_persons_changed(w->app);
    wait_over(w, rc, json);
}

/* The identity is in the body, or for DELETE also in ?identity=. */
static void links(const struct route_ask *ask, struct str id)
{
    struct json *doc = NULL;
    char parameter[ID_MAX];
    struct str identity;
    struct wait *w;

    if (ask->body.n > 0)
        (void)json_parse(&doc, ask->body, NULL);
    identity = json_get_str(doc, "identity");
    if (identity.n == 0 && route_parameter(ask, "identity", parameter, sizeof parameter))
        identity = str_of(parameter);
    w = wait_new(ask, 200);
    if (w != NULL && str_eq(ask->method, STR("POST")))
        queued(w, people_link(ask->app->store, id, identity, "api", clock_wall_ms(), on_linked, w));
    else if (w != NULL)
        queued(w, people_unlink(ask->app->store, id, identity, on_linked, w));
    json_free(doc);
}

/*
 * ---- Forgetting ----
 * What stands outside of the database is erased first: once the rows are gone, nobody can say any more whose it was,
 * and who asks again after a crash is told that there is no such caller. It is erased again behind them, for a call
 * that has begun and ended meanwhile.
 */

static void erase_rows(struct wait *w);

static void forgotten(struct wait *w)
{
    struct json *record = NULL, *sections = NULL;
    struct buf b;

    if (--w->parts > 0)
        return;
    if (w->rows_next) {
        erase_rows(w);
        return;
    }
    people_forget_over(w->app->store, !w->unclean);
    (void)json_parse(&record, str_of(w->record), NULL);
    if (w->sections != NULL)
        (void)json_parse(&sections, str_of(w->sections), NULL);
    buf_init(&b, 1u << 20);
    jw_open(&b, '{');
    jw_kstr(&b, "person", json_get_str(record, "person"));
    jw_key(&b, "erased");
    jw_node(&b, json_get(record, "erased"));
    jw_kint(&b, "sections_removed", w->removed);
    jw_key(&b, "left");
    jw_open(&b, '[');
    for (const struct json *l = json_first(json_get(sections, "left")); l != NULL; l = json_next(l))
        jw_str(&b, json_str(l));
    for (const struct json *l = json_first(json_get(record, "left")); l != NULL; l = json_next(l))
        jw_str(&b, json_str(l));
    jw_str(&b, STR("the agent's own sessions in the gateway: /reset or delete them there"));
    jw_str(&b, STR("messages that were sent to other channels"));
    jw_str(&b, STR("what OpenAI and the carrier keep of calls, but for recordings, which are deleted there"));
    jw_close(&b, ']');
    jw_close(&b, '}');
    json_free(record);
    json_free(sections);
    wait_over(w, b.rc, buf_str(&b));
    buf_free(&b);
}

static void on_index_forgot(void *arg, int rc)
{
    struct wait *w = arg;

    if (rc < 0)
        log_warn(&w->app->log, "the search index could not forget a caller: %s", err_name(rc));
    w->unclean = w->unclean || rc < 0;
    forgotten(w);
}

static void on_sections(void *arg, int rc, struct str json)
{
    struct wait *w = arg;
    struct json *doc = NULL;

    if (rc == 0 && json_parse(&doc, json, NULL) == 0) {
        w->removed += json_get_int(doc, "removed", 0);
        mem_free(w->sections);
        w->sections = str_dup(json);
    }
    json_free(doc);
    forgotten(w);
}

static void forget_in_index(struct wait *w, struct str person)
{
    if (index_forget(w->app->index, person, on_index_forgot, w) < 0)
        w->unclean = true;
    else
        w->parts++;
}

/*
 * The index knows a call by the person of its time, which a link may have made another since; and of a
 * number alone the person's other calls stay. So what is erased is given to nobody first.
 */
static void forget_index(struct wait *w, struct str person, const struct str *calls, unsigned n)
{
    struct str nobody = STR("forgotten");

    for (unsigned i = 0; i < n; i++)
        (void)index_put_call(w->app->index, calls[i], nobody, 0, STR(""));
    forget_in_index(w, nobody);
    if (!w->only_number)
        forget_in_index(w, person);
}

/* Nothing more is done for the calls, and what stands elsewhere of them goes; then forgotten(). */
static void erase_outside(struct wait *w, const struct json *doc)
{
    struct str *calls;
    unsigned n = 0, i = 0;

    for (const struct json *c = json_first(json_get(doc, "calls")); c != NULL; c = json_next(c))
        n++;
    calls = mem_zalloc((n + 1) * sizeof *calls);
    for (const struct json *c = json_first(json_get(doc, "calls")); calls && c != NULL; c = json_next(c))
        calls[i++] = json_str(c);
    for (unsigned k = 0; k < i; k++)
        afters_forget(w->app->afters, calls[k]);
    w->parts = 1;
    if (w->app->index != NULL) {
        w->parts++;
        forget_index(w, json_get_str(doc, "person"), calls, i);
        if (index_erase_sections(w->app->index, calls, i, on_sections, w) < 0)
            w->parts--;
    }
    mem_free(calls);
    forgotten(w);
}

static void on_forgot(void *arg, int rc, struct str json)
{
    struct wait *w = arg;
    struct json *doc = NULL;

    if (rc < 0 || (w->record = str_dup(json)) == NULL || json_parse(&doc, json, NULL) < 0) {
        people_forget_over(w->app->store, rc < 0);
        afters_resume(w->app->afters); /* a call of theirs is live again: what is owed stays owed */
        wait_over(w, rc < 0 ? rc : ERR_NOMEM, STR(""));
        return;
    }
    fetches_look(w->app->fetches); /* their recordings, here and at the carrier */
    erase_outside(w, doc);
    json_free(doc);
}

static void erase_rows(struct wait *w)
{
    w->rows_next = false;
    queued(w, people_forget(w->app->store, str_of(w->id), w->only_number, on_forgot, w));
}

static void on_looked(void *arg, int rc, struct str json)
{
    struct wait *w = arg;
    struct json *doc = NULL;

    if (rc < 0 || json_parse(&doc, json, NULL) < 0) {
        wait_over(w, rc < 0 ? rc : ERR_NOMEM, STR(""));
        return;
    }
    w->rows_next = true;
    erase_outside(w, doc);
    json_free(doc);
}

static void forget(const struct route_ask *ask, struct str id)
{
    char only[16] = "";
    struct wait *w = wait_new(ask, 200);

    (void)route_parameter(ask, "only", only, sizeof only);
    if (w == NULL)
        return;
    w->only_number = strcmp(only, "number") == 0;
    w->id = str_dup(id);
    queued(w, w->id == NULL ? ERR_NOMEM : people_forget_look(ask->app->store, id, w->only_number, on_looked, w));
}

/* ---- Handing over ---- */

static void on_handed(void *arg, int rc, struct str id, struct str text)
{
    struct wait *w = arg;
    struct buf b;

    buf_init(&b, 1024);
    jw_open(&b, '{');
    if (rc < 0) {
        jw_kstr(&b, "error", text);
    } else {
        jw_kstr(&b, "id", id);
        jw_kstr(&b, "state", text);
    }
    jw_close(&b, '}');
    w->fn(w->arg, rc == 0 ? 202 : rc == ERR_NOT_FOUND ? 404 : 503, buf_str(&b));
    buf_free(&b);
    wait_free(w);
}

static bool channel_allowed(const struct config *c, struct str channel)
{
    for (unsigned i = 0; i < c->integration.handoff_channels.n; i++)
        if (str_eqc(channel, c->integration.handoff_channels.v[i]))
            return c->integration.handoff_enabled;
    return false;
}

struct handing { /* a handoff whose call is being looked up */
    struct wait *w;
    char *channel, *to, *reason;
};

static void handing_free(struct handing *h)
{
    if (h == NULL)
        return;
    mem_free(h->channel);
    mem_free(h->to);
    mem_free(h->reason);
    mem_free(h);
}

static void on_call(void *arg, int rc, struct str json)
{
    struct handing *h = arg;
    struct json *doc = NULL;

    if (rc == ERR_NOT_FOUND) {
        struct route_ask ask = {.fn = h->w->fn, .arg = h->w->arg};

        route_error(&ask, 404, "no such call; GET /calls lists the calls");
        wait_free(h->w);
    } else if (rc < 0 || json_parse(&doc, json, NULL) < 0) {
        wait_over(h->w, rc < 0 ? rc : ERR_NOMEM, STR(""));
    } else {
        struct handoff_ask ask = {.call = json_get_str(doc, "call"), .number = json_get_str(doc, "from"),
                                  .session_key = json_get_str(doc, "session_key"), .channel = str_of(h->channel),
                                  .to = str_of(h->to), .reason = str_of(h->reason)};

        afters_handoff(h->w->app, &ask, on_handed, h->w);
    }
    json_free(doc);
    handing_free(h);
}

static void hand_over(const struct route_ask *ask, struct str call)
{
    struct json *doc = NULL;
    struct handing *h = NULL;
    struct wait *w;

    if (json_parse(&doc, ask->body, NULL) < 0 || json_get_str(doc, "channel").n == 0) {
        route_error(ask, 400, "the body is {\"channel\", \"to\"?, \"reason\"?}");
    } else if (!channel_allowed(ask->app->config, json_get_str(doc, "channel"))) {
        route_error(ask, 409, "integration.handoff_channels does not name that channel, or handoff is off");
    } else if ((w = wait_new(ask, 202)) != NULL) {
        h = MEM_NEW(struct handing);
        if (h != NULL) {
            *h = (struct handing){w, str_dup(json_get_str(doc, "channel")), str_dup(json_get_str(doc, "to")),
                                  str_dup(str_head(json_get_str(doc, "reason"), 400))};
        }
        if (h == NULL || journal_query(ask->app->store, JOURNAL_Q_CALL, call, 1, on_call, h) < 0) {
            handing_free(h);
            wait_over(w, ERR_FULL, STR(""));
        }
    }
    json_free(doc);
}

/* ---- Dispatch ---- */

static void one_caller(const struct route_ask *ask, struct str id, struct str tail)
{
    bool get = str_eq(ask->method, STR("GET")), put = str_eq(ask->method, STR("PUT"));
    bool del = str_eq(ask->method, STR("DELETE")), post = str_eq(ask->method, STR("POST"));
    struct wait *w;

    if (tail.n == 0 && put)
        update(ask, id, false);
    else if (tail.n == 0 && del)
        forget(ask, id);
    else if (str_eq(tail, STR("/notes")) && put)
        update(ask, id, true);
    else if (str_eq(tail, STR("/links")) && (post || del))
        links(ask, id);
    else if ((tail.n == 0 || str_eq(tail, STR("/export"))) && get && (w = wait_new(ask, 200)) != NULL)
        queued(w, tail.n == 0 ? people_get(ask->app->store, id, on_json, w)
                              : people_export(ask->app->store, id, on_json, w));
    else
        route_error(ask, 405, "possible are GET, PUT and DELETE /callers/{id}, PUT .../notes, POST and DELETE "
                              ".../links, GET .../export");
}

static void callers(const struct route_ask *ask, struct str rest)
{
    size_t n = str_find(rest, '/');
    struct buf id;

    buf_init(&id, ID_MAX);
    if (url_unescape(&id, str_head(rest, n), false) < 0 || id.n == 0)
        route_error(ask, 404, "no such caller; GET /callers lists them");
    else
        one_caller(ask, buf_str(&id), str_skip(rest, n));
    buf_free(&id);
}

static void lists(const struct route_ask *ask)
{
    struct store *s = ask->app->store;
    struct wait *w = wait_new(ask, 200);
    char q[ID_MAX] = "";

    if (w == NULL)
        return;
    if (str_eq(ask->path, STR("/callers")))
        queued(w, people_list(s, LIMIT, on_json, w));
    else if (str_eq(ask->path, STR("/missed-calls")))
        queued(w, people_missed(s, LIMIT, on_json, w));
    else if (str_eq(ask->path, STR("/handoffs")))
        queued(w, handoff_list(s, LIMIT, on_json, w));
    else if (route_parameter(ask, "q", q, sizeof q) && q[0] != '\0')
        queued(w, people_search(s, str_of(q), LIMIT, on_json, w));
    else {
        wait_free(w);
        route_error(ask, 400, "search wants ?q=words");
    }
}

bool people_route(const struct route_ask *ask)
{
    static const char *const listed[] = {"/callers", "/missed-calls", "/handoffs", "/search"};
    struct str handoff = STR("/handoff");

    for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
        if (!str_eqc(ask->path, listed[i]))
            continue;
        if (str_eq(ask->method, STR("GET")) || str_eq(ask->method, STR("HEAD")))
            lists(ask);
        else
            route_error(ask, 405, "only GET is possible here");
        return true;
    }
    if (str_starts(ask->path, STR("/callers/"))) {
        callers(ask, str_skip(ask->path, 9));
        return true;
    }
    if (str_eq(ask->path, STR("/backup"))) {
        struct wait *w;

        if (!str_eq(ask->method, STR("POST")))
            route_error(ask, 405, "POST makes a backup");
        else if ((w = wait_new(ask, 200)) != NULL)
            queued(w, people_backup(ask->app->store, on_json, w));
        return true;
    }
    if (str_starts(ask->path, STR("/calls/")) && str_ends(ask->path, handoff)) {
        struct str id = str_head(str_skip(ask->path, 7), ask->path.n - 7 - handoff.n);

        if (str_eq(ask->method, STR("POST")))
            hand_over(ask, id);
        else
            route_error(ask, 405, "POST hands a call over");
        return true;
    }
    return false;
}
