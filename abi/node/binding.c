/* SPDX-License-Identifier: MIT */
/*
 * The Node-API addon of the gateway's host: loads a plugin's shared object and gives JavaScript its
 * functions. abi/node/bridge.h carries the plugin's threads to JavaScript's; here is only what
 * touches JavaScript.
 *
 *   load(path) -> { name, version, abi, caps, create(config, callbacks) -> instance }
 *   callbacks: { log(level, line), event(name, call, json), request(token, name, call, json),
 *                cancel(token) }, each optional; a missing request() means a host without services
 *   instance:  { start() -> Promise<json>, command(name, call, json) -> Promise<json>,
 *                stop(how, graceMs) -> Promise<json>, reply(token, code, json) -> code,
 *                progress(token, json) -> code, destroy() -> Promise, stats() -> object }
 *
 * Promises are rejected with an Error that has .code ("ENOENT"), .rc (the number) and .json. What
 * create() throws has .faults besides, a string for each line of the plugin's text.
 *
 * An idle instance never holds the process; an operation that was asked for does until its answer,
 * which every plugin owes within its own deadlines.
 *
 * Shared objects are never closed: their threads, and the handlers that libraries within them leave
 * for the end of the process, would return into unmapped code. Loading one path again costs nothing.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_api.h"

#include "abi/node/bridge.h"

#define TEXT_MAX BRIDGE_QUEUE_BYTES
#define ERROR_TEXT_BYTES ((size_t)64 << 10)
#define TEARDOWN_MS 5000u
#define DRAIN_MAX 256

struct library {
    struct library *next;
    const struct oc_plugin *plugin;
};

/* One per environment: the main thread's, or a worker's. */
struct addon {
    struct library *libraries;
    struct handle *handles;
    uint64_t teardown_deadline_ms; /* 0: not being torn down */
};

/* What the JavaScript object of an instance points to. Freed when neither it nor the tsfn is left. */
struct handle {
    struct handle *next, *prev;
    struct addon *addon;
    napi_env env;
    struct bridge *bridge; /* NULL once the instance is destroyed */
    napi_threadsafe_function tsfn;
    napi_ref callbacks;
    napi_deferred destroyed;
    unsigned refs, waiting; /* waiting: promises not settled */
};

static const napi_type_tag handle_tag = { 0x6f70656e636c6177ull, 0x766f6963652d6f63ull };

/* ---- Values. ---- */

static const char *code_name(int rc)
{
    static const char *const names[] = { "OK",      "EFAIL",  "EINVAL", "ECONFIG",
                                         "ENOMEM",  "ESTATE", "ENOTSUP", "ENOENT",
                                         "EBUSY",   "ECANCELED", "ETIMEDOUT", "EIO" };

    return rc <= 0 && rc >= OC_EIO ? names[-rc] : "EFAIL";
}

static napi_value js_text(napi_env env, const char *p, size_t n)
{
    napi_value v = NULL;

    napi_create_string_utf8(env, n > 0 ? p : "", n, &v);
    return v;
}

static napi_value js_string(napi_env env, const char *text)
{
    return js_text(env, text, strlen(text));
}

static napi_value js_number(napi_env env, double d)
{
    napi_value v = NULL;

    napi_create_double(env, d, &v);
    return v;
}

static napi_value js_undefined(napi_env env)
{
    napi_value v = NULL;

    napi_get_undefined(env, &v);
    return v;
}

static napi_value js_error(napi_env env, int rc, const char *text, struct oc_str json)
{
    napi_value e = NULL;

    napi_create_error(env, js_string(env, code_name(rc)), js_string(env, text), &e);
    if (!e)
        return js_undefined(env);
    napi_set_named_property(env, e, "rc", js_number(env, rc));
    napi_set_named_property(env, e, "json", js_text(env, json.p, json.n));
    return e;
}

static napi_value throw_rc(napi_env env, int rc, const char *text)
{
    napi_throw(env, js_error(env, rc, text, (struct oc_str){ 0 }));
    return NULL;
}

/* A copy of a JavaScript string, or NULL with an exception pending. undefined and null are "". */
static char *text_arg(napi_env env, napi_value v, size_t *n, const char *what)
{
    char text[96];
    napi_valuetype type = napi_undefined;
    size_t size = 0;
    char *copy;

    *n = 0;
    if (v)
        napi_typeof(env, v, &type);
    if (type != napi_undefined && type != napi_null) {
        if (napi_get_value_string_utf8(env, v, NULL, 0, &size) != napi_ok || size > TEXT_MAX) {
            snprintf(text, sizeof(text), "%s must be a string of at most 16 MiB", what);
            throw_rc(env, OC_EINVAL, text);
            return NULL;
        }
    }
    copy = malloc(size + 1);
    if (!copy) {
        throw_rc(env, OC_ENOMEM, "out of memory");
        return NULL;
    }
    copy[0] = 0;
    if (size > 0)
        napi_get_value_string_utf8(env, v, copy, size + 1, n);
    return copy;
}

static bool int_arg(napi_env env, napi_value v, int32_t *out, const char *what)
{
    char text[96];
    double d = 0;

    if (v && napi_get_value_double(env, v, &d) == napi_ok && isfinite(d) && d >= INT32_MIN &&
        d <= INT32_MAX) {
        *out = (int32_t)d;
        return true;
    }
    snprintf(text, sizeof(text), "%s must be a number", what);
    throw_rc(env, OC_EINVAL, text);
    return false;
}

static bool token_arg(napi_env env, napi_value v, uint64_t *out)
{
    bool lossless = false;

    if (v && napi_get_value_bigint_uint64(env, v, out, &lossless) == napi_ok && lossless)
        return true;
    throw_rc(env, OC_EINVAL, "token must be the bigint that request() was called with");
    return false;
}

/* ---- Lifetime of a handle. ---- */

static void handle_unref(struct handle *h)
{
    if (--h->refs == 0)
        free(h);
}

/* Any thread of the plugin, under the bridge's lock, which also orders it before detach(). */
static void on_wake(void *arg)
{
    struct handle *h = arg;

    napi_call_threadsafe_function(h->tsfn, NULL, napi_tsfn_nonblocking);
}

static void on_env_cleanup(void *arg);

/* The instance is destroyed, or its environment ends: nothing of it reaches JavaScript any more. */
static void detach(struct handle *h)
{
    if (h->prev)
        h->prev->next = h->next;
    else
        h->addon->handles = h->next;
    if (h->next)
        h->next->prev = h->prev;
    if (h->callbacks)
        napi_delete_reference(h->env, h->callbacks);
    h->callbacks = NULL;
    bridge_close(h->bridge);
    h->bridge = NULL;
}

static void release_tsfn(struct handle *h)
{
    napi_threadsafe_function tsfn = h->tsfn;

    h->tsfn = NULL;
    if (tsfn)
        napi_release_threadsafe_function(tsfn, napi_tsfn_release);
}

static void on_tsfn_gone(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    handle_unref(data);
}

/* JavaScript dropped its instance: without a destroy() of its own it is destroyed in the background. */
static void on_collected(napi_env env, void *data, void *hint)
{
    struct handle *h = data;

    (void)env;
    (void)hint;
    if (h->bridge)
        bridge_destroy(h->bridge);
    handle_unref(h);
}

/*
 * Runs before the cleanup of the tsfn, which is older: the bridge is mute before the tsfn goes. All
 * instances are destroyed at once, and they share one deadline; one that misses it keeps its memory.
 */
static void on_env_cleanup(void *arg)
{
    struct handle *h = arg, *each;
    struct addon *addon = h->addon;

    if (addon->teardown_deadline_ms == 0) {
        addon->teardown_deadline_ms = bridge_now_ms() + TEARDOWN_MS;
        for (each = addon->handles; each; each = each->next) {
            bridge_mute(each->bridge);
            bridge_destroy(each->bridge);
        }
    }
    if (!bridge_wait(h->bridge, addon->teardown_deadline_ms))
        fprintf(stderr, "openclaw-voice: an instance did not stop within %u ms\n", TEARDOWN_MS);
    detach(h);
}

/* ---- From the plugin to JavaScript. ---- */

static void hold(struct handle *h, bool more)
{
    if (more && h->waiting++ == 0)
        napi_ref_threadsafe_function(h->env, h->tsfn);
    if (!more && --h->waiting == 0 && h->tsfn)
        napi_unref_threadsafe_function(h->env, h->tsfn);
}

/* Calls callbacks[name]; false if it threw, with the exception's text in `thrown`. */
static bool call_back(struct handle *h, const char *name, size_t argc, napi_value *argv,
                      char *thrown, size_t cap)
{
    napi_value callbacks = NULL, fn = NULL, result = NULL, exception = NULL, text = NULL;
    napi_valuetype type = napi_undefined;
    napi_env env = h->env;
    size_t n = 0;

    if (!h->callbacks || napi_get_reference_value(env, h->callbacks, &callbacks) != napi_ok ||
        !callbacks || napi_get_named_property(env, callbacks, name, &fn) != napi_ok)
        return true;
    napi_typeof(env, fn, &type);
    if (type != napi_function)
        return true;
    if (napi_call_function(env, callbacks, fn, argc, argv, &result) != napi_pending_exception)
        return true;
    napi_get_and_clear_last_exception(env, &exception);
    thrown[0] = 0;
    if (exception && napi_coerce_to_string(env, exception, &text) == napi_ok)
        napi_get_value_string_utf8(env, text, thrown, cap, &n);
    else
        napi_get_and_clear_last_exception(env, &exception);
    return false;
}

/* A callback that threw is told to log(); should that throw too, there is nobody left to tell. */
static void tell_thrown(struct handle *h, const char *name, const char *thrown)
{
    char line[640], again[8];
    napi_value argv[2];

    snprintf(line, sizeof(line), "%s() threw: %s", name, thrown);
    argv[0] = js_number(h->env, OC_LOG_ERROR);
    argv[1] = js_string(h->env, line);
    call_back(h, "log", 2, argv, again, sizeof(again));
}

static void settle(struct handle *h, struct bridge_msg *m)
{
    napi_deferred deferred = m->cookie;
    char text[600];

    if (m->code >= 0) {
        napi_resolve_deferred(h->env, deferred, js_text(h->env, m->json.p, m->json.n));
    } else {
        snprintf(text, sizeof(text), "%s: %.*s", code_name(m->code),
                 (int)(m->json.n < 500 ? m->json.n : 500), m->json.n > 0 ? m->json.p : "");
        napi_reject_deferred(h->env, deferred, js_error(h->env, m->code, text, m->json));
    }
    hold(h, false);
}

static void on_gone(struct handle *h)
{
    napi_env env = h->env;

    napi_remove_env_cleanup_hook(env, on_env_cleanup, h);
    if (h->destroyed) {
        napi_resolve_deferred(env, h->destroyed, js_undefined(env));
        hold(h, false);
    }
    h->destroyed = NULL;
    bridge_mute(h->bridge);
    detach(h);
    release_tsfn(h);
}

static void deliver(struct handle *h, struct bridge_msg *m)
{
    static const char refused[] = "{\"error\":\"the host's request handler failed\"}";
    napi_env env = h->env;
    napi_value argv[4];
    char thrown[512];

    switch (m->kind) {
    case BRIDGE_LOG:
        argv[0] = js_number(env, m->code);
        argv[1] = js_text(env, m->json.p, m->json.n);
        call_back(h, "log", 2, argv, thrown, sizeof(thrown));
        break;
    case BRIDGE_EVENT:
        argv[0] = js_text(env, m->name.p, m->name.n);
        argv[1] = js_text(env, m->call.p, m->call.n);
        argv[2] = js_text(env, m->json.p, m->json.n);
        if (!call_back(h, "event", 3, argv, thrown, sizeof(thrown)))
            tell_thrown(h, "event", thrown);
        break;
    case BRIDGE_REQUEST:
        napi_create_bigint_uint64(env, m->token, &argv[0]);
        argv[1] = js_text(env, m->name.p, m->name.n);
        argv[2] = js_text(env, m->call.p, m->call.n);
        argv[3] = js_text(env, m->json.p, m->json.n);
        if (!call_back(h, "request", 4, argv, thrown, sizeof(thrown))) {
            tell_thrown(h, "request", thrown);
            bridge_reply(h->bridge, m->token, OC_EFAIL,
                         (struct oc_str){ refused, sizeof(refused) - 1 });
        }
        break;
    case BRIDGE_CANCEL:
        napi_create_bigint_uint64(env, m->token, &argv[0]);
        if (!call_back(h, "cancel", 1, argv, thrown, sizeof(thrown)))
            tell_thrown(h, "cancel", thrown);
        break;
    case BRIDGE_DONE:
        settle(h, m);
        break;
    case BRIDGE_GONE:
        on_gone(h);
        break;
    }
}

/* Some at a time: a flood of events must not keep JavaScript from everything else. */
static void on_messages(napi_env env, napi_value unused, void *context, void *data)
{
    struct handle *h = context;
    struct bridge_msg *m;
    napi_handle_scope scope;
    int n;

    (void)unused;
    (void)data;
    for (n = 0; env && h->bridge && n < DRAIN_MAX; n++) {
        m = bridge_take(h->bridge);
        if (!m)
            return;
        if (napi_open_handle_scope(env, &scope) != napi_ok) {
            bridge_msg_free(m);
            continue;
        }
        deliver(h, m);
        napi_close_handle_scope(env, scope);
        bridge_msg_free(m);
    }
    if (env && h->bridge)
        on_wake(h);
}

/* ---- The methods of an instance. ---- */

/* `this` and the arguments; NULL with an exception pending if `this` is no instance. */
static struct handle *method(napi_env env, napi_callback_info info, size_t argc, napi_value *argv)
{
    napi_value this = NULL;
    bool ours = false;
    void *h = NULL;

    napi_get_cb_info(env, info, &argc, argv, &this, NULL);
    if (napi_check_object_type_tag(env, this, &handle_tag, &ours) != napi_ok || !ours ||
        napi_unwrap(env, this, &h) != napi_ok) {
        napi_throw_type_error(env, "EINVAL", "not called on an instance");
        return NULL;
    }
    return h;
}

/* The promise of an operation that the bridge took, or one already rejected. */
static napi_value promise_of(struct handle *h, int rc, napi_deferred deferred, napi_value promise)
{
    const char *why = rc == OC_ESTATE  ? "ESTATE: the instance cannot do that now"
                      : rc == OC_EBUSY ? "EBUSY: too many operations under way"
                                       : code_name(rc);

    if (rc < 0)
        napi_reject_deferred(h->env, deferred, js_error(h->env, rc, why, (struct oc_str){ 0 }));
    else
        hold(h, true);
    return promise;
}

static napi_value instance_start(napi_env env, napi_callback_info info)
{
    struct handle *h = method(env, info, 0, NULL);
    napi_deferred deferred;
    napi_value promise;

    if (!h || napi_create_promise(env, &deferred, &promise) != napi_ok)
        return NULL;
    return promise_of(h, h->bridge ? bridge_start(h->bridge, deferred) : OC_ESTATE, deferred,
                      promise);
}

static napi_value instance_command(napi_env env, napi_callback_info info)
{
    napi_value argv[3] = { NULL, NULL, NULL }, promise = NULL;
    struct handle *h = method(env, info, 3, argv);
    struct oc_str arg[3] = { { 0 }, { 0 }, { 0 } };
    static const char *const what[3] = { "name", "call", "json" };
    char *copy[3] = { NULL, NULL, NULL };
    napi_deferred deferred;
    int i;

    if (!h)
        return NULL;
    for (i = 0; i < 3; i++) {
        copy[i] = text_arg(env, argv[i], &arg[i].n, what[i]);
        if (!copy[i])
            goto out;
        arg[i].p = copy[i];
    }
    if (napi_create_promise(env, &deferred, &promise) == napi_ok)
        promise_of(h,
                   h->bridge ? bridge_command(h->bridge, arg[0], arg[1], arg[2], deferred)
                             : OC_ESTATE,
                   deferred, promise);
out:
    for (i = 0; i < 3; i++)
        free(copy[i]);
    return promise;
}

static napi_value instance_stop(napi_env env, napi_callback_info info)
{
    napi_value argv[2] = { NULL, NULL }, promise;
    struct handle *h = method(env, info, 2, argv);
    int32_t how = 0, grace_ms = 0;
    napi_deferred deferred;

    if (!h || !int_arg(env, argv[0], &how, "how") || !int_arg(env, argv[1], &grace_ms, "graceMs") ||
        napi_create_promise(env, &deferred, &promise) != napi_ok)
        return NULL;
    return promise_of(h,
                      h->bridge ? bridge_stop(h->bridge, how,
                                              grace_ms > 0 ? (uint32_t)grace_ms : 0, deferred)
                                : OC_ESTATE,
                      deferred, promise);
}

static napi_value instance_reply(napi_env env, napi_callback_info info)
{
    napi_value argv[3] = { NULL, NULL, NULL };
    struct handle *h = method(env, info, 3, argv);
    struct oc_str json = { 0 };
    uint64_t token = 0;
    int32_t code = 0;
    char *copy;
    int rc;

    if (!h || !token_arg(env, argv[0], &token) || !int_arg(env, argv[1], &code, "code"))
        return NULL;
    copy = text_arg(env, argv[2], &json.n, "json");
    if (!copy)
        return NULL;
    json.p = copy;
    rc = h->bridge ? bridge_reply(h->bridge, token, code, json) : OC_ESTATE;
    free(copy);
    return js_number(env, rc);
}

static napi_value instance_progress(napi_env env, napi_callback_info info)
{
    napi_value argv[2] = { NULL, NULL };
    struct handle *h = method(env, info, 2, argv);
    struct oc_str json = { 0 };
    uint64_t token = 0;
    char *copy;
    int rc;

    if (!h || !token_arg(env, argv[0], &token))
        return NULL;
    copy = text_arg(env, argv[1], &json.n, "json");
    if (!copy)
        return NULL;
    json.p = copy;
    rc = h->bridge ? bridge_progress(h->bridge, token, json) : OC_ESTATE;
    free(copy);
    return js_number(env, rc);
}

static napi_value instance_destroy(napi_env env, napi_callback_info info)
{
    struct handle *h = method(env, info, 0, NULL);
    napi_deferred deferred;
    napi_value promise;

    if (!h || napi_create_promise(env, &deferred, &promise) != napi_ok)
        return NULL;
    if (!h->bridge) { /* destroyed already: again is harmless */
        napi_resolve_deferred(env, deferred, js_undefined(env));
        return promise;
    }
    if (h->destroyed) {
        napi_reject_deferred(env, deferred,
                             js_error(env, OC_ESTATE, "ESTATE: destroy() is under way",
                                      (struct oc_str){ 0 }));
        return promise;
    }
    h->destroyed = deferred;
    hold(h, true);
    bridge_destroy(h->bridge);
    return promise;
}

static napi_value instance_stats(napi_env env, napi_callback_info info)
{
    struct handle *h = method(env, info, 0, NULL);
    struct bridge_stats s = { 0 };
    napi_value o = NULL;

    if (!h || napi_create_object(env, &o) != napi_ok)
        return NULL;
    if (h->bridge)
        bridge_stats(h->bridge, &s);
    napi_set_named_property(env, o, "queued", js_number(env, (double)s.queued));
    napi_set_named_property(env, o, "queuedBytes", js_number(env, (double)s.queued_bytes));
    napi_set_named_property(env, o, "operations", js_number(env, (double)s.ops));
    napi_set_named_property(env, o, "droppedLogs", js_number(env, (double)s.dropped_logs));
    napi_set_named_property(env, o, "droppedEvents", js_number(env, (double)s.dropped_events));
    napi_set_named_property(env, o, "refusedRequests", js_number(env, (double)s.refused_requests));
    return o;
}

/* ---- create() ---- */

static bool has_callback(napi_env env, napi_value callbacks, const char *name)
{
    napi_valuetype type = napi_undefined;
    napi_value fn = NULL;

    return napi_get_named_property(env, callbacks, name, &fn) == napi_ok &&
           napi_typeof(env, fn, &type) == napi_ok && type == napi_function;
}

/* Everything of a handle but the instance: what wakes JavaScript must be there before it. */
static struct handle *handle_new(napi_env env, struct addon *addon, napi_value callbacks)
{
    struct handle *h = calloc(1, sizeof(*h));
    napi_value name = js_string(env, "openclaw-voice");

    if (!h)
        return NULL;
    h->env = env;
    h->addon = addon;
    h->refs = 2; /* the object and the tsfn */
    if (napi_create_reference(env, callbacks, 1, &h->callbacks) != napi_ok) {
        free(h);
        return NULL;
    }
    if (napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, h, on_tsfn_gone, h,
                                        on_messages, &h->tsfn) != napi_ok) {
        napi_delete_reference(env, h->callbacks);
        free(h);
        return NULL;
    }
    napi_unref_threadsafe_function(env, h->tsfn);
    return h;
}

static void throw_create(napi_env env, int rc, const char *text)
{
    const char *line = text[0] ? text : "the plugin made no instance and gave no reason", *end;
    napi_value error = js_error(env, rc, line, (struct oc_str){ 0 }), faults = NULL;
    uint32_t n = 0;

    napi_create_array(env, &faults);
    for (; faults && *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        if (end > line)
            napi_set_element(env, faults, n++, js_text(env, line, (size_t)(end - line)));
    }
    if (faults)
        napi_set_named_property(env, error, "faults", faults);
    napi_throw(env, error);
}

static napi_value instance_object(napi_env env, struct handle *h)
{
    static const napi_property_descriptor methods[] = {
        { "start", NULL, instance_start, NULL, NULL, NULL, napi_enumerable, NULL },
        { "command", NULL, instance_command, NULL, NULL, NULL, napi_enumerable, NULL },
        { "stop", NULL, instance_stop, NULL, NULL, NULL, napi_enumerable, NULL },
        { "reply", NULL, instance_reply, NULL, NULL, NULL, napi_enumerable, NULL },
        { "progress", NULL, instance_progress, NULL, NULL, NULL, napi_enumerable, NULL },
        { "destroy", NULL, instance_destroy, NULL, NULL, NULL, napi_enumerable, NULL },
        { "stats", NULL, instance_stats, NULL, NULL, NULL, napi_enumerable, NULL },
    };
    napi_value o = NULL;

    if (napi_create_object(env, &o) != napi_ok ||
        napi_define_properties(env, o, sizeof(methods) / sizeof(methods[0]), methods) != napi_ok ||
        napi_type_tag_object(env, o, &handle_tag) != napi_ok ||
        napi_wrap(env, o, h, on_collected, NULL, NULL) != napi_ok)
        return NULL;
    return o;
}

static int handle_open(struct handle *h, const struct oc_plugin *plugin, struct oc_str config,
                       napi_value callbacks, char *text)
{
    struct oc_error err = { .size = sizeof(err), .text = text, .cap = ERROR_TEXT_BYTES };
    unsigned wants = 0;

    if (has_callback(h->env, callbacks, "log"))
        wants |= BRIDGE_WANTS_LOG;
    if (has_callback(h->env, callbacks, "event"))
        wants |= BRIDGE_WANTS_EVENT;
    if (has_callback(h->env, callbacks, "request"))
        wants |= BRIDGE_WANTS_REQUEST;
    return bridge_open(&h->bridge, plugin, config, wants, on_wake, h, &err);
}

static void handle_link(struct handle *h)
{
    h->next = h->addon->handles;
    if (h->next)
        h->next->prev = h;
    h->addon->handles = h;
    napi_add_env_cleanup_hook(h->env, on_env_cleanup, h);
}

static napi_value library_create(napi_env env, napi_callback_info info)
{
    napi_value argv[2] = { NULL, NULL }, object = NULL;
    napi_valuetype type = napi_undefined;
    struct oc_str config = { 0 };
    struct library *lib = NULL;
    struct addon *addon = NULL;
    struct handle *h = NULL;
    char *copy, *text;
    size_t argc = 2;
    int rc = OC_ENOMEM;

    napi_get_cb_info(env, info, &argc, argv, NULL, (void **)&lib);
    napi_get_instance_data(env, (void **)&addon);
    if (argv[1])
        napi_typeof(env, argv[1], &type);
    if (type != napi_object)
        return throw_rc(env, OC_EINVAL, "callbacks must be an object");
    copy = text_arg(env, argv[0], &config.n, "config");
    if (!copy)
        return NULL;
    config.p = copy;
    text = calloc(1, ERROR_TEXT_BYTES);
    if (text)
        h = handle_new(env, addon, argv[1]);
    if (h)
        rc = handle_open(h, lib->plugin, config, argv[1], text);
    if (rc == OC_OK) {
        handle_link(h);
        object = instance_object(env, h);
        if (!object) {
            bridge_destroy(h->bridge);
            handle_unref(h);
            throw_rc(env, OC_ENOMEM, "out of memory");
        }
    } else {
        throw_create(env, rc, text ? text : "out of memory");
        if (h) {
            napi_delete_reference(env, h->callbacks);
            release_tsfn(h);
            handle_unref(h);
        }
    }
    free(text);
    free(copy);
    return object;
}

/* ---- load() ---- */

/* What is wrong with the plugin's table, or NULL. A plugin may be younger or older by minors. */
static const char *plugin_fault(const struct oc_plugin *p)
{
    if (!p)
        return "the plugin has another ABI major than this host";
    if (OC_ABI_MAJOR_OF(p->abi) != OC_ABI_MAJOR)
        return "the plugin's table has another ABI major than its entry";
    if (!OC_HAS(p, name) || !OC_HAS(p, version) || !OC_HAS(p, create) || !OC_HAS(p, start) ||
        !OC_HAS(p, command) || !OC_HAS(p, reply) || !OC_HAS(p, progress) || !OC_HAS(p, stop) ||
        !OC_HAS(p, destroy))
        return "the plugin's table lacks a function";
    return NULL;
}

static napi_value library_object(napi_env env, struct library *lib)
{
    const struct oc_plugin *p = lib->plugin;
    napi_value o = NULL, create = NULL;

    if (napi_create_object(env, &o) != napi_ok ||
        napi_create_function(env, "create", NAPI_AUTO_LENGTH, library_create, lib, &create) !=
            napi_ok)
        return NULL;
    napi_set_named_property(env, o, "name", js_string(env, p->name));
    napi_set_named_property(env, o, "version", js_string(env, p->version));
    napi_set_named_property(env, o, "abi", js_number(env, p->abi));
    napi_set_named_property(env, o, "caps", js_number(env, (double)p->caps));
    napi_set_named_property(env, o, "create", create);
    return o;
}

static const struct oc_plugin *library_entry(const char *path, char *text, size_t cap)
{
    openclaw_plugin_entry_fn *entry = NULL;
    const struct oc_plugin *plugin;
    const char *fault;
    void *so;

    if (!strchr(path, '/')) {
        snprintf(text, cap, "%s: must be a path, not a name to be searched for", path);
        return NULL;
    }
    so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so) {
        snprintf(text, cap, "%s", dlerror());
        return NULL;
    }
    *(void **)&entry = dlsym(so, OC_PLUGIN_ENTRY_NAME);
    if (!entry) {
        snprintf(text, cap, "%s: no %s in it", path, OC_PLUGIN_ENTRY_NAME);
        return NULL;
    }
    plugin = entry(OC_ABI);
    fault = plugin_fault(plugin);
    if (fault) {
        snprintf(text, cap, "%s: %s", path, fault);
        return NULL;
    }
    return plugin;
}

static napi_value load(napi_env env, napi_callback_info info)
{
    const struct oc_plugin *plugin;
    struct addon *addon = NULL;
    struct library *lib;
    napi_value path = NULL;
    char text[1024], *copy;
    size_t argc = 1, n;

    napi_get_cb_info(env, info, &argc, &path, NULL, NULL);
    napi_get_instance_data(env, (void **)&addon);
    copy = text_arg(env, path, &n, "path");
    if (!copy)
        return NULL;
    plugin = library_entry(copy, text, sizeof(text));
    free(copy);
    if (!plugin)
        return throw_rc(env, OC_EFAIL, text);
    for (lib = addon->libraries; lib && lib->plugin != plugin; lib = lib->next)
        ;
    if (!lib) {
        lib = calloc(1, sizeof(*lib));
        if (!lib)
            return throw_rc(env, OC_ENOMEM, "out of memory");
        lib->plugin = plugin;
        lib->next = addon->libraries;
        addon->libraries = lib;
    }
    return library_object(env, lib);
}

static void addon_free(napi_env env, void *data, void *hint)
{
    struct addon *addon = data;
    struct library *lib, *next;

    (void)env;
    (void)hint;
    for (lib = addon->libraries; lib; lib = next) {
        next = lib->next;
        free(lib);
    }
    free(addon);
}

NAPI_MODULE_INIT()
{
    struct addon *addon = calloc(1, sizeof(*addon));
    napi_value fn = NULL;

    if (!addon || napi_set_instance_data(env, addon, addon_free, NULL) != napi_ok) {
        free(addon);
        napi_throw_error(env, "ENOMEM", "out of memory");
        return NULL;
    }
    napi_create_function(env, "load", NAPI_AUTO_LENGTH, load, NULL, &fn);
    napi_set_named_property(env, exports, "load", fn);
    return exports;
}
