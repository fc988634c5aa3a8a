/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_HERE_H
#define PLUGIN_BASE_HERE_H
/* Where this shared object lies: the host may have put it anywhere. Any thread. */
#include <stdbool.h>
#include <stddef.h>

/* Path of `name` beside the shared object (or program) that this code is in. false: unknown, or too long. */
bool here_path(const char *name, char *out, size_t cap);

#endif
