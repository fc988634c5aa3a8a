/* SPDX-License-Identifier: MIT */
#include "abi/node/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/node/bridge.h"
#include "abi/node/values.h"

#define ERROR_TEXT_BYTES ((size_t)64 << 10)
#define TEARDOWN_MS 5000u
#define DRAIN_MAX 256

/* What the JavaScript object points to. Freed when neither it nor the tsfn is left. */
struct handle {
    struct handle *next, *prev;
    struct instances *all;
    napi_env env;
    struct bridge *bridge; /* NULL once the instance is destroyed */
    napi_threadsafe_function tsfn;
    napi_ref callbacks;
    napi_deferred destroyed;
    unsigned refs, waiting; /* waiting: promises not settled */
};

static const napi_type_tag handle_tag = { 0x6f70656e636c6177ull, 0x766f6963652d6f63ull };

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
        h->all->head = h->next;
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

/* The object was collected: an instance not destroyed by then is, in the background. */
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
 * instances are destroyed at once and share one deadline; one that misses it keeps its memory.
 */
static void on_env_cleanup(void *arg)
{
    struct handle *h = arg, *each;
    struct instances *all = h->all;

    if (all->teardown_deadline_ms == 0) {
        all->teardown_deadline_ms = bridge_now_ms() + TEARDOWN_MS;
        for (each = all->head; each; each = each->next) {
            bridge_mute(each->bridge);
            bridge_destroy(each->bridge);
        }
    }
    if (!bridge_wait(h->bridge, all->teardown_deadline_ms))
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
        snprintf(text, sizeof(text), "%s: %.*s", js_code_name(m->code),
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
                                       : js_code_name(rc);

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
        copy[i] = js_text_arg(env, argv[i], &arg[i].n, what[i]);
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

    if (!h || !js_int_arg(env, argv[0], &how, "how") ||
        !js_int_arg(env, argv[1], &grace_ms, "graceMs") ||
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

    if (!h || !js_token_arg(env, argv[0], &token) || !js_int_arg(env, argv[1], &code, "code"))
        return NULL;
    copy = js_text_arg(env, argv[2], &json.n, "json");
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

    if (!h || !js_token_arg(env, argv[0], &token))
        return NULL;
    copy = js_text_arg(env, argv[1], &json.n, "json");
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

/* ---- Making one. ---- */

static bool has_callback(napi_env env, napi_value callbacks, const char *name)
{
    napi_valuetype type = napi_undefined;
    napi_value fn = NULL;

    return napi_get_named_property(env, callbacks, name, &fn) == napi_ok &&
           napi_typeof(env, fn, &type) == napi_ok && type == napi_function;
}

/* Everything of a handle but the instance: what wakes JavaScript must be there before it. */
static struct handle *handle_new(napi_env env, struct instances *all, napi_value callbacks)
{
    struct handle *h = calloc(1, sizeof(*h));
    napi_value name = js_string(env, "openclaw-voice");

    if (!h)
        return NULL;
    h->env = env;
    h->all = all;
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
    h->next = h->all->head;
    if (h->next)
        h->next->prev = h;
    h->all->head = h;
    napi_add_env_cleanup_hook(h->env, on_env_cleanup, h);
}

napi_value instance_create(napi_env env, struct instances *all, const struct oc_plugin *plugin,
                           struct oc_str config, napi_value callbacks)
{
    char *text = calloc(1, ERROR_TEXT_BYTES);
    struct handle *h = text ? handle_new(env, all, callbacks) : NULL;
    napi_value object = NULL;
    int rc = h ? handle_open(h, plugin, config, callbacks, text) : OC_ENOMEM;

    if (rc == OC_OK) {
        handle_link(h);
        object = instance_object(env, h);
        if (!object) {
            bridge_destroy(h->bridge);
            handle_unref(h);
            js_throw(env, OC_ENOMEM, "out of memory");
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
    return object;
}
