/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_TOKEN_H
#define PLUGIN_TOKEN_H
/* The bearer token of the API: from the configuration, or a file made on first start. */
#include "plugin/base/err.h"

#include <stddef.h>

/*
 * Reads <dir>/api-token, or makes it (mode 0600, 32 random bytes in hex) if it is not there. Blocks for
 * the disk. ERR_IO, ERR_INVALID (the file holds no usable token); e names path and cure.
 */
int token_load(const char *dir, char *out, size_t cap, struct err *e);

#endif
