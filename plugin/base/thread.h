/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_THREAD_H
#define PLUGIN_BASE_THREAD_H
/* Threads of the plugin. Whoever starts one joins it before its instance ends. Any thread. */
#include "plugin/base/err.h"

#include <pthread.h>

/*
 * Runs run(arg) on a new thread of that name (15 characters at most), with 1 MiB of stack. All signals are
 * blocked on it from its first instruction: they are the host's. ERR_NOMEM, or the negative errno of pthread_create();
 * then *out is undefined.
 */
int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg, struct err *e);

#endif
