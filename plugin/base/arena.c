/* SPDX-License-Identifier: MIT */
#include "plugin/base/arena.h"

#include "plugin/base/err.h"
#include "plugin/base/mem.h"
#include "plugin/base/secret.h"

#include <stdalign.h>
#include <string.h>

#define CHUNK_BYTES 4096u

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, cap;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

void arena_free(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *c = a->chunks;

        a->chunks = c->next;
        secret_wipe(c->bytes, c->used);
        mem_free(c);
    }
    arena_init(a, a->max_bytes);
}

static void *fail(struct arena *a, int rc)
{
    if (a->rc == 0)
        a->rc = rc;
    return NULL;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct arena_chunk *c = a->chunks;
    void *p;

    if (n > a->max_bytes || a->total_bytes > a->max_bytes - n)
        return fail(a, ERR_TOO_BIG);
    n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (c == NULL || c->cap - c->used < n) {
        size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;

        c = mem_zalloc(sizeof *c + cap);
        if (c == NULL)
            return fail(a, ERR_NOMEM);
        c->cap = cap;
        c->next = a->chunks;
        a->chunks = c;
    }
    p = c->bytes + c->used;
    c->used += n;
    a->total_bytes += n;
    return p;
}

const char *arena_text(struct arena *a, struct str s)
{
    char *copy;

    if (s.n == 0)
        return "";
    copy = arena_alloc(a, s.n + 1);
    if (copy == NULL)
        return "";
    memcpy(copy, s.p, s.n);
    return copy;
}
