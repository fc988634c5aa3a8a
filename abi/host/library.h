/* SPDX-License-Identifier: MIT */
#ifndef ABI_HOST_LIBRARY_H
#define ABI_HOST_LIBRARY_H
/*
 * Finds the plugin's shared object, loads it and checks that it speaks our ABI. Main thread. What is
 * loaded stays mapped until the process ends: a plugin's threads may still be in it.
 */
#include "abi/openclaw_plugin.h"

/* The default: openclaw_voice.so beside the executable. 0, or -1 when the path does not fit. */
int library_default(char *path, size_t cap);

/* The plugin's table, or NULL with one line of reason in why (cap bytes). */
const struct oc_plugin *library_load(const char *path, char *why, size_t cap);

#endif
