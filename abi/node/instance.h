/* SPDX-License-Identifier: MIT */
#ifndef OPENCLAW_NODE_INSTANCE_H
#define OPENCLAW_NODE_INSTANCE_H
/*
 * An instance of the plugin as a JavaScript object: its methods, what the plugin's threads tell it,
 * and the end of both with the object, with destroy() or with the environment. Its thread only.
 */
#include "node_api.h"

#include "abi/openclaw_plugin.h"

struct handle;

/* The instances of one environment, the main thread's or a worker's; zeroed before first use. */
struct instances {
    struct handle *head;
    uint64_t teardown_deadline_ms; /* 0: the environment is not being torn down */
};

/*
 * Makes an instance and its object (see binding.c). `all` outlives the environment's cleanup hooks.
 * NULL with an exception pending, for a refused configuration with its .faults.
 */
napi_value instance_create(napi_env env, struct instances *all, const struct oc_plugin *plugin,
                           struct oc_str config, napi_value callbacks);

#endif
