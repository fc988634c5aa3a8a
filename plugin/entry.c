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
#include "plugin/net/loop.h"
#include "plugin/routes.h"
#include "plugin/runs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FAULT_BYTES 65536u
#define MESSAGES_MAX 65536u

enum phase { CREATED, STARTED, STOPPING };

struct oc_instance {
    struct app *app;
    struct loop *loop;
    atomic_int phase;       /* enum phase, as other threads may ask for it */
    atomic_uint waiting;    /* messages under way to the loop */
    oc_done_fn *stop_done;  /* loop thread */
    void *stop_arg;
};

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

static void inbox_free(struct inbox *in)
{
    atomic_fetch_sub(&in->inst->waiting, 1);
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

/* True when the answer comes later and frees `in`. */
static bool command_with(struct inbox *in, const struct json *args)
{
    struct app *app = in->inst->app;
    struct str name = str_of(in->name);
    struct err e = {0};
    int rc;

    if (str_eqc(name, OC_CMD_RUN_ACTING)) {
        runs_acting(app->runs, json_get_str(args, "run"), on_acting, in);
        return true;
    }
    if (str_eqc(name, OC_CMD_HTTP)) {
        routes_query(app->routes, json_get_str(args, "method"), json_get_str(args, "path"), on_query, in);
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

    buf_init(&ready, FAULT_BYTES);
    rc = app_start(inst->app, &ready, &e);
    if (rc < 0) {
        atomic_store(&inst->phase, STOPPING);
        answer_error(in->done, in->arg, to_result(rc), e.text);
    } else {
        answer(in->done, in->arg, OC_OK, buf_str(&ready));
    }
    buf_free(&ready);
    inbox_free(in);
}

static void run_stop(struct inbox *in)
{
    struct oc_instance *inst = in->inst;

    inst->stop_done = in->done;
    inst->stop_arg = in->arg;
    app_stop(inst->app, in->how, in->grace_ms);
    inbox_free(in);
}

static void inbox_run(struct loop_msg *msg)
{
    struct inbox *in = (struct inbox *)(void *)msg;
    struct str json = str_make(in->json, in->json_n);

    switch (in->kind) {
    case IN_START: run_start(in); return;
    case IN_STOP: run_stop(in); return;
    case IN_COMMAND: run_command(in); return;
    case IN_REPLY: (void)host_on_reply(in->inst->app->host, in->token, in->code, json); break;
    case IN_PROGRESS: (void)host_on_progress(in->inst->app->host, in->token, json); break;
    }
    inbox_free(in);
}

/* ---- From any thread ---- */

static struct inbox *inbox_new(struct oc_instance *inst, enum inbox_kind kind, struct oc_str json)
{
    struct inbox *in;

    if (atomic_load(&inst->waiting) >= MESSAGES_MAX)
        return NULL;
    in = MEM_NEW(struct inbox);
    if (in == NULL)
        return NULL;
    in->msg.run = inbox_run;
    in->inst = inst;
    in->kind = kind;
    in->json = mem_dup(json.p, json.n);
    in->json_n = json.n;
    if (in->json == NULL) {
        mem_free(in);
        return NULL;
    }
    atomic_fetch_add(&inst->waiting, 1);
    return in;
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

static void fill(struct oc_error *to, int code, struct str text)
{
    if (to == NULL)
        return;
    to->code = code;
    if (to->text == NULL || to->cap == 0)
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
    if (host == NULL || out == NULL || host->size < offsetof(struct oc_host, log) ||
        OC_ABI_MAJOR_OF(host->abi) != OC_ABI_MAJOR) {
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
    if (rc < 0)
        fill(err, to_result(rc), faults.n > 0 ? buf_str(&faults) : str_of(e.text));
    if (inst != NULL) {
        app_close(inst->app);
        mem_free(inst);
    }
    buf_free(&faults);
    return to_result(rc);
}

static int voice_start(struct oc_instance *inst, oc_done_fn *done, void *arg)
{
    int created = CREATED;
    struct inbox *in;
    struct err e;

    if (inst == NULL)
        return OC_EINVAL;
    if (!atomic_compare_exchange_strong(&inst->phase, &created, STARTED))
        return OC_ESTATE;
    in = inbox_new(inst, IN_START, (struct oc_str){"", 0});
    if (in == NULL) {
        atomic_store(&inst->phase, CREATED);
        return OC_ENOMEM;
    }
    in->done = done;
    in->arg = arg;
    (void)inbox_post(in); /* a loop that was just opened takes it */
    if (loop_start(inst->loop, on_loop_exit, inst, &e) < 0) {
        log_error(&inst->app->log, "the loop's thread does not start: %s", e.text);
        return OC_EFAIL;
    }
    return OC_OK;
}

static int voice_command(struct oc_instance *inst, const struct oc_request *req, oc_done_fn *done,
                         void *arg)
{
    struct inbox *in;

    if (inst == NULL || req == NULL || !OC_HAS(req, name.p))
        return OC_EINVAL;
    if (atomic_load(&inst->phase) != STARTED)
        return OC_ESTATE;
    in = inbox_new(inst, IN_COMMAND, req->json.n > 0 ? req->json : (struct oc_str){"{}", 2});
    if (in == NULL)
        return OC_EBUSY;
    in->name = mem_dup(req->name.p, req->name.n);
    in->call = mem_dup(req->call.p, req->call.n);
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

    if (inst == NULL)
        return OC_EINVAL;
    if (atomic_load(&inst->phase) == CREATED)
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
    struct inbox *in;

    if (inst == NULL)
        return OC_EINVAL;
    in = inbox_new(inst, IN_STOP, (struct oc_str){"", 0});
    if (in == NULL)
        return OC_EBUSY;
    if (!atomic_compare_exchange_strong(&inst->phase, &started, STOPPING)) {
        inbox_free(in);
        return OC_ESTATE;
    }
    in->how = how;
    in->grace_ms = grace_ms;
    in->done = done;
    in->arg = arg;
    return inbox_post(in);
}

static void voice_destroy(struct oc_instance *inst)
{
    if (inst == NULL)
        return;
    /* OC_ESTATE is fine: it never ran, failed to start, or stops already. */
    (void)voice_stop(inst, OC_STOP_LEAVE_CALLS, 2000, NULL, NULL);
    if (loop_close(inst->loop) < 0)
        log_error(&inst->app->log, "a handle of the loop was not closed");
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
