/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_BUF_H
#define PLUGIN_BASE_BUF_H
/*
 * A growing byte buffer that cannot exist without its ceiling. A failed append (out of memory, over
 * the ceiling) leaves the content as it was and is remembered in `rc`, so that a writer may check once
 * at the end. One owner, one thread at a time.
 */
#include "plugin/base/str.h"

struct buf {
    char *p; /* n bytes; not NUL terminated unless buf_cstr() was called last */
    size_t n, cap, max_bytes;
    int rc; /* 0, or the first failure: ERR_NOMEM, ERR_TOO_BIG */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_free(struct buf *b);  /* frees the bytes; b stays usable with its ceiling */
void buf_clear(struct buf *b); /* forgets content and failure, keeps the memory */
/* Room for n more bytes at b->p + b->n; after writing there, add to b->n. */
int buf_reserve(struct buf *b, size_t n);
int buf_put(struct buf *b, const void *p, size_t n);
int buf_puts(struct buf *b, struct str s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n); /* drops n bytes at the front */
struct str buf_str(const struct buf *b);   /* valid until the next change */
/* The content with a NUL behind it; NULL on failure. Valid until the next change. */
const char *buf_cstr(struct buf *b);
/* Hands the memory over (to be freed with mem_free); b is empty then. */
char *buf_steal(struct buf *b, size_t *n);

#endif
