/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"

#include "plugin/base/err.h"
#include "plugin/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_BYTES 256u

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_free(struct buf *b)
{
    mem_free(b->p);
    buf_init(b, b->max_bytes);
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->rc = 0;
}

static int fail(struct buf *b, int rc)
{
    if (b->rc == 0)
        b->rc = rc;
    return rc;
}

int buf_reserve(struct buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : FIRST_BYTES;
    char *p;

    if (n > b->max_bytes || b->n > b->max_bytes - n)
        return fail(b, ERR_TOO_BIG);
    if (b->cap - b->n >= n)
        return 0;
    while (cap - b->n < n)
        cap *= 2;
    if (cap > b->max_bytes)
        cap = b->max_bytes;
    p = mem_realloc(b->p, cap);
    if (p == NULL)
        return fail(b, ERR_NOMEM);
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_put(struct buf *b, const void *p, size_t n)
{
    int rc;

    if (n == 0)
        return 0;
    rc = buf_reserve(b, n);
    if (rc < 0)
        return rc;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return 0;
}

int buf_puts(struct buf *b, struct str s)
{
    return buf_put(b, s.p, s.n);
}

int buf_putc(struct buf *b, char c)
{
    return buf_put(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int len, rc;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return fail(b, ERR_INVALID);
    /* vsnprintf wants room for its NUL, which is not counted as content. */
    rc = buf_reserve(b, (size_t)len + 1);
    if (rc < 0)
        return rc;
    va_start(ap, fmt);
    (void)vsnprintf(b->p + b->n, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)len;
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

const char *buf_cstr(struct buf *b)
{
    if (b->rc < 0 || buf_reserve(b, 1) < 0)
        return NULL;
    b->p[b->n] = '\0';
    return b->p;
}

char *buf_steal(struct buf *b, size_t *n)
{
    char *p = b->p;

    if (n != NULL)
        *n = b->n;
    b->p = NULL;
    b->n = b->cap = 0;
    return p;
}
