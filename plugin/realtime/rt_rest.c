/* SPDX-License-Identifier: MIT */
#include "plugin/realtime/rt_rest.h"

#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <stdio.h>
#include <string.h>

#define RETRY_MS 200u        /* plus up to 100 ms: calls that failed together do not retry so */
#define RETRY_AFTER_S_MAX 1u /* a caller hears ringing meanwhile */
#define TRY_MS_MIN 200u      /* with less time left another try is for nothing */
#define REJECT_MS 10000u
#define HANGUP_MS 15000u
#define HANGUP_TRY_MS 7000u /* an answer that the call is gone may take more than 5 s */
#define REFER_MS 10000u
#define REFER_BYTES 1024u
#define MODELS_MS 10000u
#define CALL_ID_MAX 256u
#define ERROR_BODY_MAX 65536u
#define DETAIL_BYTES 160

struct rt_api {
    struct loop *loop;
    const struct log *log;
    struct rt_api_config config; /* the slices are ours */
    char *base_url, *api_key, *project, *ca_file, *authorization;
    struct tls_ctx *tls;
    struct httpc *pool;
    struct rt_rest *requests; /* under way */
    unsigned spread;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct rt_rest {
    struct rt_api *api;
    struct rt_rest *prev, *next;
    const char *method;
    char *path, *body;
    size_t body_n;
    uint64_t deadline_ms;
    uint32_t try_ms; /* ceiling of one try */
    unsigned retries;
    bool retry_404;
    bool in_doubt; /* an earlier try may have been carried out, its answer did not say */
    bool done;     /* fn is being called: a cancel has nothing to do any more */
    struct httpc_call *call;
    struct timer *timer;
    rt_rest_fn *fn;
    rt_models_fn *models;
    rt_answer_fn *answer;
    void *arg;
};

/* ---- The API as such. ---- */

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    mem_free(secret);
}

static void api_free(struct rt_api *api)
{
    tls_ctx_free(api->tls);
    wipe(api->authorization);
    wipe(api->api_key);
    mem_free(api->base_url);
    mem_free(api->project);
    mem_free(api->ca_file);
    mem_free(api);
}

static int copy_config(struct rt_api *api, const struct rt_api_config *config, struct err *e)
{
    struct buf b;
    struct str base = config->base_url;

    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    buf_init(&b, config->api_key.n + 16);
    (void)buf_puts(&b, STR("Bearer "));
    (void)buf_puts(&b, config->api_key);
    if (buf_cstr(&b) != NULL)
        api->authorization = buf_steal(&b, NULL);
    buf_free(&b);
    api->base_url = str_dup(base);
    api->api_key = str_dup(config->api_key);
    api->project = str_dup(config->project);
    api->ca_file = str_dup(config->ca_file);
    if (!api->authorization || !api->base_url || !api->api_key || !api->project || !api->ca_file)
        return err_set(e, ERR_NOMEM, "out of memory");
    api->config = (struct rt_api_config){
        .base_url = str_of(api->base_url),
        .api_key = str_make(api->api_key, config->api_key.n),
        .project = str_make(api->project, config->project.n),
        .ca_file = str_of(api->ca_file),
        .max_conns = config->max_conns,
        .warm_conns = config->warm_conns,
    };
    return 0;
}

static bool header_holds(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

static int check_config(const struct rt_api_config *config, struct url *url, struct err *e)
{
    int rc = url_read(url, config->base_url, e);

    if (rc < 0)
        return rc;
    if (url->query.n > 0)
        return err_set(e, ERR_INVALID, "the base URL has a query");
    if (!header_holds(config->api_key))
        return err_set(e, ERR_INVALID, "the API key has a character that a header cannot hold");
    if (!header_holds(config->project))
        return err_set(e, ERR_INVALID, "the project's id has a character that a header cannot hold");
    return 0;
}

int rt_api_open(struct rt_api **out, struct loop *loop, const struct rt_api_config *config,
                const struct log *log, struct err *e)
{
    struct httpc_config pool = {.max_conns = config->max_conns, .warm_conns = config->warm_conns};
    struct rt_api *api = NULL;
    struct url url;
    int rc = check_config(config, &url, e);

    if (rc < 0)
        return rc;
    api = MEM_NEW(struct rt_api);
    if (api == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    api->loop = loop;
    api->log = log;
    rc = copy_config(api, config, e);
    if (rc == 0 && url.tls)
        rc = tls_ctx_client(&api->tls, api->ca_file[0] != '\0' ? api->ca_file : NULL, e);
    if (rc == 0) {
        pool.base_url = api->config.base_url;
        pool.tls = api->tls;
        rc = httpc_open(&api->pool, loop, &pool, log, e);
    }
    if (rc < 0) {
        api_free(api);
        return rc;
    }
    *out = api;
    return 0;
}

static void on_pool_closed(void *arg)
{
    struct rt_api *api = arg;
    void (*closed)(void *) = api->closed;
    void *closed_arg = api->closed_arg;

    api_free(api);
    if (closed != NULL)
        closed(closed_arg);
}

void rt_api_close(struct rt_api *api, void (*closed)(void *arg), void *arg)
{
    if (api->closing)
        return;
    api->closing = true;
    api->closed = closed;
    api->closed_arg = arg;
    while (api->requests != NULL)
        rt_rest_cancel(api->requests);
    httpc_close(api->pool, on_pool_closed, api);
}

const struct rt_api_config *rt_api_settings(const struct rt_api *api)
{
    return &api->config;
}

struct tls_ctx *rt_api_tls(const struct rt_api *api)
{
    return api->tls;
}

struct loop *rt_api_loop(const struct rt_api *api)
{
    return api->loop;
}

const struct log *rt_api_log(const struct rt_api *api)
{
    return api->log;
}

/* ---- One request: tries, and what is told at the end. ---- */

static void rest_free(struct rt_rest *r)
{
    timer_close(r->timer);
    mem_free(r->path);
    mem_free(r->body);
    mem_free(r);
}

static void unlink_rest(struct rt_rest *r)
{
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        r->api->requests = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    r->prev = r->next = NULL;
}

/* "404 call_id_not_found", with a code of the error body that is fit for a log line. */
static void detail_of_status(char *out, size_t cap, const struct httpc_result *res)
{
    struct json *doc = NULL;
    struct str code;
    size_t n;

    n = (size_t)snprintf(out, cap, "%d", res->status);
    if (res->status < 400 || res->body.n > ERROR_BODY_MAX || json_parse(&doc, res->body, NULL) < 0)
        return;
    code = json_get_str(json_get(doc, "error"), "code");
    if (code.n == 0)
        code = json_get_str(json_get(doc, "error"), "type");
    for (size_t i = 0; i < code.n && n + 2 < cap; i++) {
        if (code.p[i] <= ' ' || code.p[i] > '~')
            break;
        if (i == 0)
            out[n++] = ' ';
        out[n++] = code.p[i];
    }
    out[n] = '\0';
    json_free(doc);
}

static void finish(struct rt_rest *r, const struct httpc_result *res)
{
    char detail[DETAIL_BYTES];
    struct call_rest_result told = {.status = res->status};

    unlink_rest(r);
    r->done = true;
    if (r->models != NULL) {
        r->models(r->arg, res->status, res->body);
    } else if (r->answer != NULL) {
        const struct rt_answer a = {.status = res->status, .err = res->err, .body = res->body, .date = res->date,
                                    .text = res->text.n > 0 ? res->text : str_of(err_name(res->err))};

        r->answer(r->arg, &a);
    } else if (res->status != 0) {
        detail_of_status(detail, sizeof detail, res);
        told.maybe_sent = res->status < 300 || res->status >= 500 || r->in_doubt;
        told.detail = str_of(detail);
        r->fn(r->arg, &told);
    } else {
        told.err = res->err;
        told.maybe_sent = res->maybe_sent || r->in_doubt;
        told.detail = res->text.n > 0 ? res->text : str_of(err_name(res->err));
        r->fn(r->arg, &told);
    }
    rest_free(r);
}

/* Whether this answer is worth another try; *delay_ms is then when. */
static bool wants_retry(const struct rt_rest *r, const struct httpc_result *res, uint32_t *delay_ms)
{
    uint64_t after_s = 0;

    if (r->retries == 0)
        return false;
    if (res->status != 0 && res->status != 429 && res->status < 500 &&
        !(res->status == 404 && r->retry_404))
        return false;
    *delay_ms = RETRY_MS + r->api->spread++ * 37 % 101;
    if (str_u64(str_trim(res->retry_after), &after_s) && after_s > 0)
        *delay_ms = (uint32_t)(after_s < RETRY_AFTER_S_MAX ? after_s : RETRY_AFTER_S_MAX) * 1000;
    return loop_now_ms(r->api->loop) + *delay_ms + TRY_MS_MIN <= r->deadline_ms;
}

static void on_retry(void *arg);

static void on_done(void *arg, const struct httpc_result *res)
{
    struct rt_rest *r = arg;
    uint32_t delay_ms = 0;

    r->call = NULL;
    if (!wants_retry(r, res, &delay_ms) ||
        (r->timer == NULL && timer_open(&r->timer, r->api->loop, on_retry, r) < 0)) {
        finish(r, res);
        return;
    }
    r->retries--;
    /* An error of the server, or none at all, does not say that nothing was done. */
    r->in_doubt = r->in_doubt || res->status >= 500 || (res->status == 0 && res->maybe_sent);
    timer_set(r->timer, loop_now_ms(r->api->loop) + delay_ms);
}

static int send_try(struct rt_rest *r)
{
    struct httpc_header headers[4] = {
        {STR("Authorization"), str_of(r->api->authorization)},
        {STR("User-Agent"), STR("openclaw-voice")},
    };
    struct httpc_request req = {
        .method = r->method,
        .path = str_of(r->path),
        .headers = headers,
        .n_headers = 2,
        .body = str_make(r->body, r->body_n),
        .on_done = on_done,
        .arg = r,
    };
    uint64_t now = loop_now_ms(r->api->loop);

    if (r->api->config.project.n > 0)
        headers[req.n_headers++] = (struct httpc_header){STR("OpenAI-Project"), r->api->config.project};
    if (r->body_n > 0)
        headers[req.n_headers++] = (struct httpc_header){STR("Content-Type"), STR("application/json")};
    if (now >= r->deadline_ms)
        return ERR_TIMEOUT;
    req.timeout_ms = (uint32_t)(r->deadline_ms - now);
    if (req.timeout_ms > r->try_ms)
        req.timeout_ms = r->try_ms;
    return httpc_send(r->api->pool, &req, &r->call);
}

static void on_retry(void *arg)
{
    struct rt_rest *r = arg;
    struct httpc_result none = {0};
    int rc = send_try(r);

    if (rc == 0)
        return;
    none.err = rc;
    finish(r, &none);
}

void rt_rest_cancel(struct rt_rest *r)
{
    if (r == NULL || r->done)
        return;
    if (r->call != NULL)
        httpc_cancel(r->call);
    unlink_rest(r);
    rest_free(r);
}

/* ---- The requests. ---- */

/* Takes path over, whatever comes of it. */
static int rest_start(struct rt_rest **out, struct rt_api *api, const struct rt_rest *want,
                      char *path, struct str body)
{
    struct rt_rest *r;
    int rc = ERR_NOMEM;

    if (api->closing || path == NULL) {
        mem_free(path);
        return api->closing ? ERR_CLOSED : ERR_NOMEM;
    }
    r = mem_zalloc(sizeof *r);
    if (r == NULL) {
        mem_free(path);
        return ERR_NOMEM;
    }
    *r = *want;
    r->api = api;
    r->path = path;
    r->body = body.n > 0 ? mem_dup(body.p, body.n) : NULL;
    r->body_n = body.n;
    r->deadline_ms += loop_now_ms(api->loop);
    if (body.n == 0 || r->body != NULL)
        rc = send_try(r);
    if (rc < 0) {
        rest_free(r);
        return rc;
    }
    r->next = api->requests;
    if (r->next != NULL)
        r->next->prev = r;
    api->requests = r;
    if (out != NULL)
        *out = r;
    return 0;
}

/* "/realtime/calls/{id}/{action}", NULL when out of memory. */
static char *call_path(struct str call_id, const char *action)
{
    struct buf b;
    char *path = NULL;

    buf_init(&b, 64 + 3 * CALL_ID_MAX);
    (void)buf_puts(&b, STR("/realtime/calls/"));
    (void)url_escape(&b, call_id);
    (void)buf_printf(&b, "/%s", action);
    if (buf_cstr(&b) != NULL)
        path = buf_steal(&b, NULL);
    buf_free(&b);
    return path;
}

static bool call_id_ok(struct str call_id)
{
    return call_id.n > 0 && call_id.n <= CALL_ID_MAX;
}

int rt_accept(struct rt_api *api, struct str call_id, struct str session_json, uint32_t timeout_ms,
              rt_rest_fn *fn, void *arg, struct rt_rest **out)
{
    struct rt_rest want = {
        .method = "POST",
        .deadline_ms = timeout_ms,
        .try_ms = timeout_ms,
        .retries = 1,
        .retry_404 = true,
        .fn = fn,
        .arg = arg,
    };

    if (!call_id_ok(call_id))
        return ERR_INVALID;
    return rest_start(out, api, &want, call_path(call_id, "accept"), session_json);
}

int rt_reject(struct rt_api *api, struct str call_id, int sip_status, rt_rest_fn *fn, void *arg,
              struct rt_rest **out)
{
    struct rt_rest want = {
        .method = "POST",
        .deadline_ms = REJECT_MS,
        .try_ms = REJECT_MS,
        .retries = 1,
        .retry_404 = true,
        .fn = fn,
        .arg = arg,
    };
    char body[32];

    if (!call_id_ok(call_id) || sip_status < 400 || sip_status > 699)
        return ERR_INVALID;
    (void)snprintf(body, sizeof body, "{\"status_code\":%d}", sip_status);
    return rest_start(out, api, &want, call_path(call_id, "reject"), str_of(body));
}

int rt_hangup(struct rt_api *api, struct str call_id, rt_rest_fn *fn, void *arg,
              struct rt_rest **out)
{
    struct rt_rest want = {
        .method = "POST",
        .deadline_ms = HANGUP_MS,
        .try_ms = HANGUP_TRY_MS,
        .retries = 2,
        .fn = fn,
        .arg = arg,
    };

    if (!call_id_ok(call_id))
        return ERR_INVALID;
    return rest_start(out, api, &want, call_path(call_id, "hangup"), STR_NONE);
}

static bool target_ok(struct str uri)
{
    struct str number = str_skip(uri, 5);

    for (size_t i = 0; i < uri.n; i++)
        if (uri.p[i] <= ' ' || uri.p[i] > '~')
            return false;
    if (uri.n > 256)
        return false;
    if (str_starts(uri, STR("sip:")))
        return uri.n > 4;
    for (size_t i = 0; i < number.n; i++)
        if (number.p[i] < '0' || number.p[i] > '9')
            return false;
    return str_starts(uri, STR("tel:+")) && number.n >= 2 && number.n <= 15;
}

int rt_refer(struct rt_api *api, struct str call_id, struct str target_uri, rt_rest_fn *fn, void *arg,
             struct rt_rest **out)
{
    struct rt_rest want = {
        .method = "POST",
        .deadline_ms = REFER_MS,
        .try_ms = REFER_MS,
        .fn = fn,
        .arg = arg,
    };
    struct buf body;
    int rc;

    if (!call_id_ok(call_id) || !target_ok(target_uri))
        return ERR_INVALID;
    buf_init(&body, REFER_BYTES);
    jw_open(&body, '{');
    jw_kstr(&body, "target_uri", target_uri);
    jw_close(&body, '}');
    rc = body.rc < 0 ? body.rc : rest_start(out, api, &want, call_path(call_id, "refer"), buf_str(&body));
    buf_free(&body);
    return rc;
}

int rt_models(struct rt_api *api, rt_models_fn *fn, void *arg)
{
    struct rt_rest want = {
        .method = "GET",
        .deadline_ms = MODELS_MS,
        .try_ms = MODELS_MS,
        .models = fn,
        .arg = arg,
    };

    return rest_start(NULL, api, &want, str_dup(STR("/models")), STR_NONE);
}

static int ask(struct rt_api *api, const char *method, char *path, struct str body, rt_answer_fn *fn, void *arg)
{
    struct rt_rest want = {
        .method = method,
        .deadline_ms = MODELS_MS,
        .try_ms = MODELS_MS,
        .answer = fn,
        .arg = arg,
    };

    return rest_start(NULL, api, &want, path, body);
}

int rt_model(struct rt_api *api, struct str model, rt_answer_fn *fn, void *arg)
{
    struct buf b;
    char *path = NULL;

    if (model.n == 0)
        return ERR_INVALID;
    buf_init(&b, 1024);
    (void)buf_puts(&b, STR("/models/"));
    (void)url_escape(&b, model);
    if (buf_cstr(&b) != NULL)
        path = buf_steal(&b, NULL);
    buf_free(&b);
    return ask(api, "GET", path, STR_NONE, fn, arg);
}

int rt_try_session(struct rt_api *api, struct str session_json, rt_answer_fn *fn, void *arg)
{
    struct buf body;
    int rc;

    buf_init(&body, session_json.n + 256);
    (void)buf_puts(&body, STR("{\"expires_after\":{\"anchor\":\"created_at\",\"seconds\":10},\"session\":"));
    (void)buf_puts(&body, session_json);
    (void)buf_putc(&body, '}');
    rc = body.rc < 0 ? body.rc
                     : ask(api, "POST", str_dup(STR("/realtime/client_secrets")), buf_str(&body), fn, arg);
    buf_free(&body);
    return rc;
}
