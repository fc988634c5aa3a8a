/* SPDX-License-Identifier: MIT */
/*
 * The plugin's side of abi/openclaw_plugin.h: the exported table, and the step from any thread to the
 * instance's own loop. What crosses is a copy, posted as a message; the answer goes back from the loop.
 */
#include "abi/openclaw_voice.h"
#include "manifest.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/chats.h"
#include "plugin/check.h"
#include "plugin/config/config.h"
#include "plugin/drain.h"
#include "plugin/net/loop.h"
#include "plugin/routes.h"
#include "plugin/runs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FAULT_BYTES 65536u
#define MESSAGES_MAX 65536u
#define NAME_BYTES_MAX 1024u
#define MESSAGE_BYTES_MAX ((size_t)4 << 20)
#define WAITING_BYTES_MAX ((size_t)64 << 20)

/* STARTING: the thread is being made, nothing may be posted yet. STOPPING: also after the end. */
enum phase { CREATED, STARTING, STARTED, STOPPING };

enum inbox_kind { IN_START, IN_COMMAND, IN_REPLY, IN_PROGRESS, IN_STOP };

struct inbox {
    struct loop_msg msg; /* first: the message is the whole */
    struct oc_instance *inst;
    enum inbox_kind kind;
    char *name, *call, *json;
    size_t json_n;
    oc_done_fn *done;
    void *arg;
    uint64_t token;
    int code, how;
    uint32_t grace_ms;
};

struct oc_instance {
    struct app *app;
    struct loop *loop;
    atomic_int phase; /* enum phase, as other threads may ask for it */
    /* Of the messages under way to the loop. */
    atomic_uint waiting;
    atomic_size_t waiting_bytes;
    /* Neither a full queue nor a lack of memory may keep an instance from ending. */
    struct inbox start, stop;
    oc_done_fn *stop_done; /* loop thread */
    void *stop_arg;
};

static int to_result(int rc)
{
    switch (rc) {
    case 0: return OC_OK;
    case ERR_NOMEM: return OC_ENOMEM;
    case ERR_INVALID: return OC_EINVAL;
    case ERR_CONFIG: return OC_ECONFIG;
    case ERR_NOT_FOUND: return OC_ENOENT;
    case ERR_BAD_STATE:
    case ERR_CLOSED: return OC_ESTATE;
    case ERR_FULL: return OC_EBUSY;
    case ERR_CANCELED: return OC_ECANCELED;
    case ERR_TIMEOUT: return OC_ETIMEDOUT;
    case ERR_IO: return OC_EIO;
    default: return rc < ERR_SQLITE + 1 ? OC_EIO : OC_EFAIL;
    }
}

static void answer(oc_done_fn *done, void *arg, int code, struct str json)
{
    if (done != NULL)
        done(arg, code, to_oc(json));
}

static void answer_error(oc_done_fn *done, void *arg, int code, const char *text)
{
    struct buf b;

    buf_init(&b, 2048);
    jw_open(&b, '{');
    jw_kstrc(&b, "error", text);
    jw_close(&b, '}');
    answer(done, arg, code, b.rc < 0 ? STR("{}") : buf_str(&b));
    buf_free(&b);
}

/* The messages that belong to the instance are not touched: who stops may be destroying it by now. */
static void inbox_free(struct inbox *in)
{
    struct oc_instance *inst = in->inst;

    if (in->kind == IN_START || in->kind == IN_STOP)
        return;
    atomic_fetch_sub(&inst->waiting, 1);
    atomic_fetch_sub(&inst->waiting_bytes, in->json_n);
    mem_free(in->name);
    mem_free(in->call);
    mem_free(in->json);
    mem_free(in);
}

/* ---- Commands, on the loop ---- */

static void on_acting(void *arg, int rc)
{
    struct inbox *in = arg;

    if (rc == 0)
        answer(in->done, in->arg, OC_OK, STR("{}"));
    else
        answer_error(in->done, in->arg, to_result(rc), "this run must not act");
    inbox_free(in);
}

static void on_query(void *arg, int status, struct str body)
{
    struct inbox *in = arg;
    struct buf b;

    buf_init(&b, body.n + 64);
    jw_open(&b, '{');
    jw_kint(&b, "status", status);
    jw_kraw(&b, "body", body.n > 0 ? body : STR("null"));
    jw_close(&b, '}');
    if (b.rc < 0)
        answer_error(in->done, in->arg, OC_ENOMEM, "out of memory");
    else
        answer(in->done, in->arg, OC_OK, buf_str(&b));
    buf_free(&b);
    inbox_free(in);
}

static void on_chat(void *arg, int rc, struct str json)
{
    struct inbox *in = arg;

    answer(in->done, in->arg, to_result(rc), json);
    inbox_free(in);
}

static void on_check(void *arg, int status, struct str body)
{
    struct inbox *in = arg;
    struct json *args = NULL, *report = NULL;
    struct buf text, b;
    int code = status == 200 ? OC_OK : OC_EBUSY;

    buf_init(&text, 1u << 20);
    buf_init(&b, 4u << 20);
    (void)json_parse(&args, str_make(in->json, in->json_n), NULL);
    (void)json_parse(&report, body, NULL);
    if (status == 200 && !json_get_bool(report, "ok", false))
        code = OC_EFAIL;
    if (status == 200 && json_get_bool(args, "text", false) && check_text(&text, body) == 0)
        jw_str(&b, buf_str(&text));
    else
        (void)buf_puts(&b, body);
    answer(in->done, in->arg, b.rc < 0 ? OC_ENOMEM : code, buf_str(&b));
    buf_free(&text);
    buf_free(&b);
    json_free(args);
    json_free(report);
    inbox_free(in);
}

static void on_drained(void *arg, int rc, unsigned live)
{
    struct inbox *in = arg;
    struct buf b;

    buf_init(&b, 64);
    jw_open(&b, '{');
    jw_kint(&b, "live", live);
    jw_close(&b, '}');
    answer(in->done, in->arg, to_result(rc), buf_str(&b));
    buf_free(&b);
    inbox_free(in);
}

/* true: on_drained() comes, or came. */
static bool run_drain(struct inbox *in, const struct json *args)
{
    struct app *app = in->inst->app;
    int64_t seconds = json_get_int(args, "seconds", (int64_t)app->config->call.drain_s);

    if (seconds < 0 || seconds > (int64_t)DRAIN_MAX_S)
        answer_error(in->done, in->arg, OC_EINVAL, "seconds: 0 to 3600");
    else if (drain_begin(app->drain, (uint32_t)seconds, on_drained, in) == 0)
        return true;
    else
        answer_error(in->done, in->arg, OC_ENOMEM, "out of memory");
    return false;
}

/* The request's body is a JSON value of any kind, or absent. */
static void run_http(struct inbox *in, const struct json *args)
{
    const struct json *node = json_get(args, "body");
    struct buf body;

    buf_init(&body, FAULT_BYTES);
    if (node != NULL)
        jw_node(&body, node);
    routes_query(in->inst->app->routes, json_get_str(args, "method"), json_get_str(args, "path"),
                 body.rc < 0 ? STR("") : buf_str(&body), on_query, in);
    buf_free(&body);
}

/* True when the answer comes later and frees `in`. */
static bool command_with(struct inbox *in, const struct json *args)
{
    struct app *app = in->inst->app;
    struct str name = str_of(in->name);
    struct err e = {0};
    int rc;

    if (str_eqc(name, OC_CMD_CHECK)) {
        checks_run(app->checks, on_check, in);
        return true;
    }
    if (app->check_only) {
        answer_error(in->done, in->arg, OC_ENOTSUP, "this instance only checks");
        return false;
    }
    if (str_eqc(name, OC_CMD_RUN_ACTING)) {
        runs_acting(app->runs, json_get_str(args, "run"), on_acting, in);
        return true;
    }
    if (str_eqc(name, OC_CMD_DRAIN))
        return run_drain(in, args);
    if (str_eqc(name, OC_CMD_HTTP)) {
        run_http(in, args);
        return true;
    }
    if (str_eqc(name, OC_CMD_CHAT)) {
        chats_message(app, args, on_chat, in);
        return true;
    }
    if (str_eqc(name, OC_CMD_LINKS_SET)) {
        chats_set_links(app, args, on_chat, in);
        return true;
    }
    if (str_eqc(name, OC_CMD_POLICY_SET)) {
        rc = app_set_policy(app, str_make(in->json, in->json_n), &e);
        if (rc < 0)
            answer_error(in->done, in->arg, to_result(rc), e.text);
        else
            answer(in->done, in->arg, OC_OK, STR("{}"));
    } else if (str_eqc(name, OC_CMD_STATUS)) {
        struct buf b;

        buf_init(&b, FAULT_BYTES);
        app_status(app, false, &b);
        answer(in->done, in->arg, b.rc < 0 ? OC_ENOMEM : OC_OK, buf_str(&b));
        buf_free(&b);
    } else {
        answer_error(in->done, in->arg, OC_ENOTSUP, "unknown command");
    }
    return false;
}

static void run_command(struct inbox *in)
{
    struct json *args = NULL;
    struct err e = {0};
    bool later = false;

    if (in->inst->app->phase != APP_RUNNING)
        answer_error(in->done, in->arg, OC_ESTATE, "the instance does not run");
    else if (json_parse(&args, str_make(in->json, in->json_n), &e) < 0)
        answer_error(in->done, in->arg, OC_EINVAL, e.text);
    else
        later = command_with(in, args);
    json_free(args);
    if (!later)
        inbox_free(in);
}

static void run_start(struct inbox *in)
{
    struct oc_instance *inst = in->inst;
    struct err e = {0};
    struct buf ready;
    int rc;

    if (inst->app->phase != APP_CREATED) { /* a stop overtook it */
        answer_error(in->done, in->arg, OC_ESTATE, "the instance was stopped before it started");
        return;
    }
    buf_init(&ready, FAULT_BYTES);
    rc = app_start(inst->app, &ready, &e);
    if (rc < 0) {
        atomic_store(&inst->phase, STOPPING);
        answer_error(in->done, in->arg, to_result(rc), e.text);
    } else {
        answer(in->done, in->arg, OC_OK, buf_str(&ready));
    }
    buf_free(&ready);
}

static void run_stop(struct inbox *in)
{
    struct oc_instance *inst = in->inst;

    inst->stop_done = in->done;
    inst->stop_arg = in->arg;
    app_stop(inst->app, in->how, in->grace_ms);
}

/*
 * Who asked is gone once the instance closes its parts; what is still open then is answered when the
 * host's table is closed.
 */
static void run_news(struct inbox *in)
{
    struct app *app = in->inst->app;
    struct str json = str_make(in->json, in->json_n);

    if (app->runs != NULL && in->kind == IN_REPLY)
        (void)host_on_reply(app->host, in->token, in->code, json);
    else if (app->runs != NULL)
        (void)host_on_progress(app->host, in->token, json);
    inbox_free(in);
}

static void inbox_run(struct loop_msg *msg)
{
    struct inbox *in = (struct inbox *)(void *)msg;

    switch (in->kind) {
    case IN_START: run_start(in); return;
    case IN_STOP: run_stop(in); return;
    case IN_COMMAND: run_command(in); return;
    case IN_REPLY:
    case IN_PROGRESS: run_news(in); return;
    }
}

/* ---- From any thread ---- */

static bool is_text(struct oc_str s)
{
    return s.p != NULL || s.n == 0;
}

/* NULL: too much waits already, or no memory. */
static struct inbox *inbox_new(struct oc_instance *inst, enum inbox_kind kind, struct oc_str json)
{
    struct inbox *in = NULL;

    if (atomic_fetch_add(&inst->waiting, 1) >= MESSAGES_MAX)
        goto full;
    if (atomic_fetch_add(&inst->waiting_bytes, json.n) + json.n > WAITING_BYTES_MAX)
        goto full_bytes;
    in = MEM_NEW(struct inbox);
    if (in != NULL)
        in->json = mem_dup(json.p, json.n);
    if (in == NULL || in->json == NULL)
        goto full_bytes;
    in->msg.run = inbox_run;
    in->inst = inst;
    in->kind = kind;
    in->json_n = json.n;
    return in;
full_bytes:
    atomic_fetch_sub(&inst->waiting_bytes, json.n);
full:
    atomic_fetch_sub(&inst->waiting, 1);
    mem_free(in);
    return NULL;
}

static int inbox_post(struct inbox *in)
{
    if (loop_post(in->inst->loop, &in->msg) == 0)
        return OC_OK;
    inbox_free(in);
    return OC_ESTATE;
}

/* The loop's last act: after it nobody of ours calls the host. */
static void on_loop_exit(void *arg)
{
    struct oc_instance *inst = arg;

    answer(inst->stop_done, inst->stop_arg, OC_OK, STR("{}"));
}

/* Writes only what the struct of its author reaches. */
static void fill(struct oc_error *to, int code, struct str text)
{
    if (to == NULL || to->size < offsetof(struct oc_error, text))
        return;
    to->code = code;
    if (to->size < sizeof *to || to->text == NULL || to->cap == 0)
        return;
    text = str_head(text, str_utf8_floor(text, to->cap - 1));
    if (text.n > 0)
        memcpy(to->text, text.p, text.n);
    to->text[text.n] = '\0';
}

static int voice_create(const struct oc_host *host, struct oc_str config_json, struct oc_instance **out,
                        struct oc_error *err)
{
    struct oc_instance *inst = NULL;
    struct err e = {0};
    struct buf faults;
    int rc;

    buf_init(&faults, FAULT_BYTES);
    if (out != NULL)
        *out = NULL;
    if (host == NULL || out == NULL || !is_text(config_json) ||
        host->size < offsetof(struct oc_host, log) || OC_ABI_MAJOR_OF(host->abi) != OC_ABI_MAJOR) {
        rc = err_set(&e, ERR_INVALID, "create: the host's table is missing or of another ABI");
        goto out;
    }
    inst = MEM_NEW(struct oc_instance);
    if (inst == NULL) {
        rc = err_set(&e, ERR_NOMEM, "out of memory");
        goto out;
    }
    rc = app_open(&inst->app, host, from_oc(config_json), &faults, &e);
    if (rc < 0)
        goto out;
    rc = loop_open(&inst->loop, &inst->app->log, &e);
    if (rc < 0)
        goto out;
    inst->app->loop = inst->loop;
    *out = inst;
    inst = NULL;
out:
    fill(err, to_result(rc), rc < 0 && faults.n > 0 ? buf_str(&faults) : str_of(e.text));
    if (inst != NULL) {
        app_close(inst->app);
        mem_free(inst);
    }
    buf_free(&faults);
    return to_result(rc);
}

/*
 * Nothing here looks at the instance after it posted: done() may have come by then, and whoever waited
 * for it may be destroying the instance.
 */
static int voice_start(struct oc_instance *inst, oc_done_fn *done, void *arg)
{
    int created = CREATED;
    struct err e = {0};

    if (inst == NULL)
        return OC_EINVAL;
    if (!atomic_compare_exchange_strong(&inst->phase, &created, STARTING))
        return OC_ESTATE;
    if (loop_start(inst->loop, on_loop_exit, inst, &e) < 0) {
        log_error(&inst->app->log, "the loop's thread does not start: %s", e.text);
        atomic_store(&inst->phase, CREATED);
        return OC_EFAIL;
    }
    inst->start = (struct inbox){.msg.run = inbox_run, .inst = inst, .kind = IN_START, .done = done,
                                 .arg = arg};
    atomic_store(&inst->phase, STARTED);
    return inbox_post(&inst->start);
}

/* The request as far as its author filled it. */
static bool read_request(struct oc_request *to, const struct oc_request *from)
{
    if (from == NULL || from->size < offsetof(struct oc_request, call))
        return false;
    memset(to, 0, sizeof *to);
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
    return to->name.n > 0 && is_text(to->name) && is_text(to->call) && is_text(to->json) &&
           to->json.n <= MESSAGE_BYTES_MAX && to->name.n <= NAME_BYTES_MAX &&
           to->call.n <= NAME_BYTES_MAX;
}

static int voice_command(struct oc_instance *inst, const struct oc_request *req, oc_done_fn *done,
                         void *arg)
{
    struct oc_request r;
    struct inbox *in;

    if (inst == NULL || !read_request(&r, req))
        return OC_EINVAL;
    if (atomic_load(&inst->phase) != STARTED)
        return OC_ESTATE;
    in = inbox_new(inst, IN_COMMAND, r.json.n > 0 ? r.json : (struct oc_str){"{}", 2});
    if (in == NULL)
        return OC_EBUSY;
    in->name = mem_dup(r.name.p, r.name.n);
    in->call = mem_dup(r.call.p, r.call.n);
    in->done = done;
    in->arg = arg;
    if (in->name == NULL || in->call == NULL) {
        inbox_free(in);
        return OC_ENOMEM;
    }
    return inbox_post(in);
}

static int post_token(struct oc_instance *inst, enum inbox_kind kind, uint64_t token, int code,
                      struct oc_str json)
{
    struct inbox *in;

    if (inst == NULL || !is_text(json) || json.n > MESSAGE_BYTES_MAX)
        return OC_EINVAL;
    if (atomic_load(&inst->phase) < STARTED)
        return OC_ESTATE;
    in = inbox_new(inst, kind, json);
    if (in == NULL)
        return OC_EBUSY;
    in->token = token;
    in->code = code;
    return inbox_post(in);
}

static int voice_reply(struct oc_instance *inst, uint64_t token, int code, struct oc_str json)
{
    return post_token(inst, IN_REPLY, token, code, json);
}

static int voice_progress(struct oc_instance *inst, uint64_t token, struct oc_str json)
{
    return post_token(inst, IN_PROGRESS, token, 0, json);
}

static int voice_stop(struct oc_instance *inst, int how, uint32_t grace_ms, oc_done_fn *done, void *arg)
{
    int started = STARTED;

    if (inst == NULL)
        return OC_EINVAL;
    if (!atomic_compare_exchange_strong(&inst->phase, &started, STOPPING))
        return OC_ESTATE;
    inst->stop = (struct inbox){.msg.run = inbox_run, .inst = inst, .kind = IN_STOP, .done = done,
                                .arg = arg, .how = how, .grace_ms = grace_ms};
    return inbox_post(&inst->stop);
}

static void voice_destroy(struct oc_instance *inst)
{
    if (inst == NULL)
        return;
    if (loop_is_current(inst->loop)) { /* it would wait for itself, and free what it stands on */
        log_error(&inst->app->log, "destroy was called on the instance's own thread: it stays");
        return;
    }
    /* OC_ESTATE is fine: it never ran, failed to start, or stops already. */
    (void)voice_stop(inst, OC_STOP_LEAVE_CALLS, 2000, NULL, NULL);
    (void)loop_close(inst->loop);
    app_close(inst->app);
    mem_free(inst);
}

static const struct oc_plugin plugin = {
    .size = sizeof plugin,
    .abi = OC_ABI,
    .name = MANIFEST_NAME,
    .version = MANIFEST_VERSION,
    .caps = OC_CAP_INBOUND | OC_CAP_TRANSCRIPT | OC_CAP_REATTACH,
    .create = voice_create,
    .start = voice_start,
    .command = voice_command,
    .reply = voice_reply,
    .progress = voice_progress,
    .stop = voice_stop,
    .destroy = voice_destroy,
};

const struct oc_plugin *openclaw_plugin_entry(uint32_t host_abi)
{
    return OC_ABI_MAJOR_OF(host_abi) == OC_ABI_MAJOR ? &plugin : NULL;
}
