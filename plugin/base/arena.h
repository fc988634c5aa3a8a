/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_ARENA_H
#define PLUGIN_BASE_ARENA_H
/*
 * Memory that is given back all at once, and wiped before it is, so that secrets may lie in it. One
 * owner, one thread at a time; what was allocated is valid until arena_free(). A failure is remembered
 * in `rc`, so that a builder may check once at the end.
 */
#include "plugin/base/str.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t total_bytes, max_bytes;
    int rc; /* 0, or the first failure: ERR_NOMEM, ERR_TOO_BIG */
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_free(struct arena *a); /* wipes and frees everything; a stays usable with its ceiling */
/* n zeroed bytes, aligned for any type; NULL on failure. */
void *arena_alloc(struct arena *a, size_t n);
/* A copy of s with a NUL behind it; "" (static) on failure, so that readers need no check of their own. */
const char *arena_text(struct arena *a, struct str s);

#endif
