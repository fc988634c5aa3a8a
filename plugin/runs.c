/* SPDX-License-Identifier: MIT */
/*
 * Agent runs. One struct run for each, found by its id, which is derived from call and function call,
 * so that the same question asked again after a restart has the same id at the host.
 */
#include "plugin/runs.h"

#include "abi/openclaw_voice.h"
#include "memory/journal.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/net/httpc.h"
#include "plugin/proto/sse.h"
#include "plugin/proto/url.h"

#include <stdio.h>
#include <string.h>

#define BUCKETS 256u
#define RUN_MS 600000u       /* longest run; what the caller waits is bounded by tool_timeout_ms */
#define ANSWER_BYTES 262144u

static const char failed_words[] =
    "The assistant's agent could not answer: %.*s. Tell the caller honestly that it did not work, "
    "without technical detail, and offer to try again later.";

struct run {
    struct run *next;
    struct runs *owner;
    struct id id;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];
    bool acting;
    bool orphan;             /* the call is over, the run goes on */
    uint64_t token;          /* gateway: the host's request */
    struct httpc_call *http; /* native: the HTTP request */
    struct sse sse;
    struct buf answer;
    char fault[160];         /* what the stream itself reported */
    bool done_mark;          /* [DONE] was read */
};

struct runs {
    struct app *app;
    struct httpc *pool; /* NULL in the gateway */
    struct tls_ctx *tls;
    struct run *buckets[BUCKETS];
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- The table ---- */

static struct run **slot(struct runs *rs, struct str id)
{
    struct run **at = &rs->buckets[id_hash(id, 0) % BUCKETS];

    while (*at != NULL && !str_eqc(id, (*at)->id.text))
        at = &(*at)->next;
    return at;
}

static struct run *find(struct runs *rs, struct str call, struct str tool_call)
{
    struct id id;

    id_derive(&id, "run_", call, tool_call);
    return *slot(rs, str_of(id.text));
}

static void run_free(struct run *r)
{
    struct run **at = slot(r->owner, str_of(r->id.text));

    if (*at == r)
        *at = r->next;
    sse_free(&r->sse);
    buf_free(&r->answer);
    mem_free(r);
}

static struct run *run_new(struct runs *rs, const struct run_ask *ask)
{
    struct run *r = MEM_NEW(struct run), **at;

    if (r == NULL)
        return NULL;
    r->owner = rs;
    sse_init(&r->sse, ANSWER_BYTES);
    buf_init(&r->answer, ANSWER_BYTES);
    id_derive(&r->id, "run_", ask->call, ask->tool_call);
    if (!str_copy(r->call, sizeof r->call, ask->call) ||
        !str_copy(r->tool_call, sizeof r->tool_call, ask->tool_call)) {
        mem_free(r);
        return NULL;
    }
    at = slot(rs, str_of(r->id.text));
    r->next = *at;
    *at = r;
    return r;
}

/* ---- Answers ---- */

/* What came after the caller hung up goes to their chat, if they have one. */
static void tell_late(struct run *r, struct str text)
{
    struct buf b;

    buf_init(&b, AFTERS_MESSAGE_BYTES);
    (void)buf_puts(&b, STR("What you asked on the phone has an answer now:\n"));
    (void)buf_puts(&b, str_head(text, str_utf8_floor(text, AFTERS_MESSAGE_BYTES - 100)));
    if (b.rc == 0)
        afters_tell(r->owner->app, "late", str_of(r->call), buf_str(&b));
    buf_free(&b);
}

/* Frees r. A run whose call is over leaves its result in the journal, for whoever owes it. */
static void finish(struct run *r, int rc, struct str text)
{
    struct runs *rs = r->owner;
    struct journal_tool row = {.tool_call = str_of(r->tool_call), .state = STR("orphaned"),
                               .output = text, .at = clock_wall_ms()};

    if (!r->orphan)
        calls_tool_done(rs->app->calls, str_of(r->call), str_of(r->tool_call), rc, text);
    else if (rc == 0) {
        (void)journal_tool(rs->app->store, str_of(r->call), &row, NULL, NULL);
        tell_late(r, text);
    }
    run_free(r);
}

static void finish_failed(struct run *r, struct str why)
{
    char text[512];

    (void)snprintf(text, sizeof text, failed_words, STR_ARG(str_head(why, 200)));
    finish(r, ERR_IO, str_of(text));
}

/* calls_tool_done() must not come from inside runs_ask(): a refusal is posted. */
struct refusal {
    struct loop_msg msg;
    struct app *app; /* not the runs: they may be closed before the message runs */
    struct id run;
    char why[120];
};

static void on_refusal(struct loop_msg *m)
{
    struct refusal *f = (struct refusal *)(void *)m;
    struct run *r = f->app->runs ? *slot(f->app->runs, str_of(f->run.text)) : NULL;

    if (r != NULL)
        finish_failed(r, str_of(f->why));
    mem_free(f);
}

static void refuse_later(struct run *r, const char *why)
{
    struct refusal *f = MEM_NEW(struct refusal);

    log_warn(&r->owner->app->log, "the agent was not asked: %s", why);
    if (f == NULL)
        return; /* the tool's time limit answers */
    f->msg.run = on_refusal;
    f->app = r->owner->app;
    f->run = r->id;
    (void)str_copy(f->why, sizeof f->why, str_head(str_of(why), sizeof f->why - 1));
    if (loop_post(r->owner->app->loop, &f->msg) < 0)
        mem_free(f);
}

/* ---- In the gateway: the host runs the agent ---- */

static void on_host_reply(void *arg, int code, struct str json)
{
    struct run *r = arg;
    struct json *doc = NULL;
    struct str text;

    (void)json_parse(&doc, json, NULL);
    text = json_get_str(doc, code == OC_OK ? "text" : "error");
    if (code == OC_OK && str_trim(text).n > 0)
        finish(r, 0, text);
    else if (code == OC_OK)
        finish_failed(r, STR("it gave an empty answer"));
    else
        finish_failed(r, text.n > 0 ? text : STR("no reason was given"));
    json_free(doc);
}

static const char *tools_name(enum call_tools tools)
{
    return tools == CALL_TOOLS_FULL ? "full" : tools == CALL_TOOLS_SAFE ? "safe" : "none";
}

static void ask_host(struct run *r, const struct run_ask *ask)
{
    struct app *app = r->owner->app;
    struct buf b;

    buf_init(&b, ANSWER_BYTES);
    jw_open(&b, '{');
    jw_kstrc(&b, "run", r->id.text);
    jw_kstr(&b, "call", ask->call);
    jw_kstr(&b, "from", ask->from);
    jw_kstr(&b, "level", ask->level);
    jw_kstr(&b, "session_key", ask->session_key);
    jw_kstr(&b, "request", ask->request);
    jw_kstrc(&b, "tools", tools_name(ask->tools));
    jw_kint(&b, "timeout_ms", RUN_MS);
    jw_kbool(&b, "resumed", ask->resumed);
    jw_close(&b, '}');
    if (b.rc < 0 || host_request(app->host, OC_REQ_AGENT_RUN, ask->call, buf_str(&b), on_host_reply,
                                 NULL, r, &r->token) < 0)
        refuse_later(r, "the gateway took no request");
    buf_free(&b);
}

/* ---- Without a gateway around us: its HTTP endpoint ---- */

static void on_content(struct run *r, struct str text)
{
    struct journal_tool row = {.tool_call = str_of(r->tool_call), .state = STR("acting"),
                               .at = clock_wall_ms()};

    /* Words mean that the agent is past its first tools: it cannot be asked twice any more. */
    if (!r->acting && text.n > 0) {
        r->acting = true;
        if (calls_tool_acting(r->owner->app->calls, str_of(r->call), str_of(r->tool_call)))
            (void)journal_tool(r->owner->app->store, str_of(r->call), &row, NULL, NULL);
    }
    (void)buf_puts(&r->answer, text);
}

static void on_sse_event(void *arg, struct str data)
{
    struct run *r = arg;
    struct json *doc = NULL;
    const struct json *choice;

    if (str_eq(data, STR("[DONE]"))) {
        r->done_mark = true;
        return;
    }
    if (json_parse(&doc, data, NULL) < 0)
        return;
    choice = json_first(json_get(doc, "choices"));
    on_content(r, json_get_str(json_get(choice, "delta"), "content"));
    if (json_get(doc, "error") != NULL)
        (void)str_copy(r->fault, sizeof r->fault,
                       str_head(json_get_str(json_get(doc, "error"), "message"), sizeof r->fault - 1));
    json_free(doc);
}

static void on_http_data(void *arg, struct str data)
{
    struct run *r = arg;

    if (sse_feed(&r->sse, data, on_sse_event, r) < 0)
        (void)str_copy(r->fault, sizeof r->fault, STR("its answer is too long"));
}

static void on_http_done(void *arg, const struct httpc_result *res)
{
    struct run *r = arg;
    char why[200];

    r->http = NULL;
    if (res->err == 0 && res->status == 200 && r->fault[0] == '\0' && r->answer.rc == 0 &&
        str_trim(buf_str(&r->answer)).n > 0) {
        finish(r, 0, buf_str(&r->answer));
        return;
    }
    if (r->fault[0] != '\0')
        (void)snprintf(why, sizeof why, "%s", r->fault);
    else if (res->err < 0)
        (void)snprintf(why, sizeof why, "the gateway could not be reached (%.*s)",
                       STR_ARG(str_head(res->text, 120)));
    else if (res->status != 200)
        (void)snprintf(why, sizeof why, "the gateway answered %d%s", res->status,
                       res->status == 401   ? ": is openclaw.gateway_token right?"
                       : res->status == 404 ? ": is gateway.http.endpoints.chatCompletions on?" : "");
    else
        (void)snprintf(why, sizeof why, "it gave an empty answer");
    log_warn(&r->owner->app->log, "agent run failed: %s", why);
    finish_failed(r, str_of(why));
}

static int session_key(struct buf *b, const struct run_ask *ask)
{
    if (ask->session_key.n > 0)
        return buf_puts(b, ask->session_key);
    /* A number of its own: never the owner's main session on caller ID alone. */
    return buf_printf(b, "agent:main:voice:caller:%.*s", STR_ARG(ask->from.n ? ask->from : ask->call));
}

static void ask_http(struct run *r, const struct run_ask *ask)
{
    struct runs *rs = r->owner;
    struct buf body, bearer, key;
    struct httpc_header headers[5];
    struct httpc_request req = {.method = "POST", .path = STR("/v1/chat/completions"),
                                .headers = headers, .n_headers = 5, .timeout_ms = RUN_MS,
                                .on_data = on_http_data, .on_done = on_http_done, .arg = r};

    buf_init(&body, ANSWER_BYTES);
    buf_init(&bearer, 4096);
    buf_init(&key, 512);
    (void)buf_printf(&bearer, "Bearer %s", rs->app->config->gateway_token);
    (void)session_key(&key, ask);
    jw_open(&body, '{');
    jw_kstrc(&body, "model", "openclaw");
    jw_kbool(&body, "stream", true);
    jw_key(&body, "messages");
    jw_open(&body, '[');
    jw_open(&body, '{');
    jw_kstrc(&body, "role", "system");
    jw_kstrc(&body, "content", "This is asked in a live telephone call. Answer in one to three short "
                               "spoken sentences, without markdown, links or lists.");
    jw_close(&body, '}');
    jw_open(&body, '{');
    jw_kstrc(&body, "role", "user");
    jw_kstr(&body, "content", ask->request);
    jw_close(&body, '}');
    jw_close(&body, ']');
    jw_close(&body, '}');
    headers[0] = (struct httpc_header){STR("Authorization"), buf_str(&bearer)};
    headers[1] = (struct httpc_header){STR("Content-Type"), STR("application/json")};
    headers[2] = (struct httpc_header){STR("Accept"), STR("text/event-stream")};
    headers[3] = (struct httpc_header){STR("x-openclaw-session-key"), buf_str(&key)};
    headers[4] = (struct httpc_header){STR("x-openclaw-message-channel"), STR("voice")};
    req.body = buf_str(&body);
    if (body.rc < 0 || bearer.rc < 0 || key.rc < 0 || httpc_send(rs->pool, &req, &r->http) < 0)
        refuse_later(r, "no request to the gateway could be made");
    buf_free(&body);
    buf_free(&bearer);
    buf_free(&key);
}

/* ---- What others call ---- */

bool runs_available(const struct runs *rs)
{
    return rs->pool != NULL || host_serves(rs->app->host);
}

void runs_ask(struct runs *rs, const struct run_ask *ask)
{
    struct run *r = find(rs, ask->call, ask->tool_call);

    if (r != NULL)
        return; /* it runs already */
    r = run_new(rs, ask);
    if (r == NULL) {
        log_error(&rs->app->log, "out of memory: the agent was not asked");
        return; /* the tool's time limit answers */
    }
    if (rs->pool != NULL)
        ask_http(r, ask);
    else if (host_serves(rs->app->host))
        ask_host(r, ask);
    else
        refuse_later(r, "no agent is configured");
}

static void stop_run(struct runs *rs, struct run *r)
{
    if (r->http != NULL)
        httpc_cancel(r->http);
    if (r->token != 0) {
        host_cancel(rs->app->host, r->token);
        host_forget(rs->app->host, r->token);
    }
    run_free(r);
}

void runs_cancel(struct runs *rs, struct str call, struct str tool_call)
{
    struct run *r = find(rs, call, tool_call);

    if (r == NULL)
        return;
    if (r->acting)
        r->orphan = true;
    else
        stop_run(rs, r);
}

struct acting_wait {
    void (*done)(void *arg, int rc);
    void *arg;
};

static void on_acting_saved(void *arg, int rc)
{
    struct acting_wait w = *(struct acting_wait *)arg;

    mem_free(arg);
    w.done(w.arg, rc);
}

void runs_acting(struct runs *rs, struct str run, void (*done)(void *arg, int rc), void *arg)
{
    struct run *r = *slot(rs, run);
    struct journal_tool row = {.state = STR("acting"), .at = clock_wall_ms()};
    struct acting_wait *wait;

    if (r == NULL) {
        done(arg, ERR_NOT_FOUND);
        return;
    }
    if (r->acting) {
        done(arg, 0);
        return;
    }
    wait = MEM_NEW(struct acting_wait);
    if (wait == NULL) {
        done(arg, ERR_NOMEM);
        return;
    }
    if (!calls_tool_acting(rs->app->calls, str_of(r->call), str_of(r->tool_call))) {
        mem_free(wait);
        done(arg, ERR_CANCELED);
        return;
    }
    r->acting = true;
    *wait = (struct acting_wait){done, arg};
    row.tool_call = str_of(r->tool_call);
    if (journal_tool(rs->app->store, str_of(r->call), &row, on_acting_saved, wait) < 0) {
        mem_free(wait);
        done(arg, ERR_IO);
    }
}

/* ---- Preparing a session, pairing ---- */

struct prepared {
    struct runs *rs;
    char call[ID_BYTES];
};

static void on_prepared(void *arg, int code, struct str json)
{
    struct prepared *p = arg;
    struct json *doc = NULL;

    if (code == OC_OK && json_parse(&doc, json, NULL) == 0 && p->rs->app->calls != NULL)
        calls_session_key(p->rs->app->calls, str_of(p->call), json_get_str(doc, "session_key"),
                          json_get_str(doc, "date"));
    json_free(doc);
    mem_free(p);
}

void runs_prepare(struct runs *rs, struct str call, struct str from, struct str level)
{
    struct prepared *p;
    struct buf b;

    if (!host_serves(rs->app->host))
        return;
    p = MEM_NEW(struct prepared);
    if (p == NULL)
        return;
    p->rs = rs;
    (void)str_copy(p->call, sizeof p->call, call);
    buf_init(&b, 2048);
    jw_open(&b, '{');
    jw_kstr(&b, "call", call);
    jw_kstr(&b, "from", from);
    jw_kstr(&b, "level", level);
    jw_close(&b, '}');
    if (b.rc < 0 || host_request(rs->app->host, OC_REQ_SESSION_PREPARE, call, buf_str(&b), on_prepared,
                                 NULL, p, NULL) < 0)
        mem_free(p);
    buf_free(&b);
}

static void on_pairing(void *arg, int code, struct str json)
{
    struct runs *rs = arg;
    struct json *doc = NULL;

    if (code == OC_OK && json_parse(&doc, json, NULL) == 0 && json_get_str(doc, "code").n > 0)
        log_warn(&rs->app->log, "an unpaired number called; to let it in: openclaw pairing approve voice %.*s",
                 STR_ARG(json_get_str(doc, "code")));
    json_free(doc);
}

void runs_pairing(struct runs *rs, struct str number)
{
    struct buf b;

    buf_init(&b, 256);
    jw_open(&b, '{');
    jw_kstr(&b, "number", number);
    jw_close(&b, '}');
    if (b.rc == 0)
        (void)host_request(rs->app->host, OC_REQ_PAIRING, STR(""), buf_str(&b), on_pairing, NULL, rs,
                           NULL);
    buf_free(&b);
}

/* ---- Open and close ---- */

int runs_open(struct runs **out, struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct runs *rs = MEM_NEW(struct runs);
    struct httpc_config pool = {.base_url = str_of(c->gateway_url), .max_conns = 32};
    struct url url;
    int rc = 0;

    if (rs == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    rs->app = app;
    if (host_serves(app->host) || c->gateway_url[0] == '\0')
        goto out;
    rc = url_read(&url, str_of(c->gateway_url), e);
    if (rc == 0 && url.tls)
        rc = tls_ctx_client(&rs->tls, NULL, e);
    pool.tls = rs->tls;
    if (rc == 0)
        rc = httpc_open(&rs->pool, app->loop, &pool, &app->log, e);
out:
    if (rc < 0) {
        tls_ctx_free(rs->tls);
        mem_free(rs);
        return rc;
    }
    *out = rs;
    return 0;
}

static void finish_close(void *arg)
{
    struct runs *rs = arg;
    void (*closed)(void *arg) = rs->closed;
    void *closed_arg = rs->closed_arg;

    tls_ctx_free(rs->tls);
    mem_free(rs);
    closed(closed_arg);
}

void runs_close(struct runs *rs, void (*closed)(void *arg), void *arg)
{
    rs->closed = closed;
    rs->closed_arg = arg;
    for (unsigned i = 0; i < BUCKETS; i++)
        while (rs->buckets[i] != NULL)
            stop_run(rs, rs->buckets[i]);
    if (rs->pool != NULL)
        httpc_close(rs->pool, finish_close, rs);
    else
        finish_close(rs);
}
