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
 * for the end of the process, would return into unmapped code. Loading one path again is cheap.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/node/instance.h"
#include "abi/node/values.h"

struct library {
    struct library *next;
    const struct oc_plugin *plugin;
};

/* One per environment: the main thread's, or a worker's. */
struct addon {
    struct library *libraries;
    struct instances instances;
};

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

static napi_value library_create(napi_env env, napi_callback_info info)
{
    napi_value argv[2] = { NULL, NULL }, object;
    napi_valuetype type = napi_undefined;
    struct oc_str config = { 0 };
    struct library *lib = NULL;
    struct addon *addon = NULL;
    size_t argc = 2;
    char *copy;

    napi_get_cb_info(env, info, &argc, argv, NULL, (void **)&lib);
    napi_get_instance_data(env, (void **)&addon);
    if (argv[1])
        napi_typeof(env, argv[1], &type);
    if (type != napi_object)
        return js_throw(env, OC_EINVAL, "callbacks must be an object");
    copy = js_text_arg(env, argv[0], &config.n, "config");
    if (!copy)
        return NULL;
    config.p = copy;
    object = instance_create(env, &addon->instances, lib->plugin, config, argv[1]);
    free(copy);
    return object;
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
    copy = js_text_arg(env, path, &n, "path");
    if (!copy)
        return NULL;
    plugin = library_entry(copy, text, sizeof(text));
    free(copy);
    if (!plugin)
        return js_throw(env, OC_EFAIL, text);
    for (lib = addon->libraries; lib && lib->plugin != plugin; lib = lib->next)
        ;
    if (!lib) {
        lib = calloc(1, sizeof(*lib));
        if (!lib)
            return js_throw(env, OC_ENOMEM, "out of memory");
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

/* The macro below defines it without declaring it. */
NAPI_MODULE_EXPORT int32_t NODE_API_MODULE_GET_API_VERSION(void);

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
