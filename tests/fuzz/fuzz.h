/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
/*
 * What the fuzz targets share. A target is one function from bytes to nothing; what must hold whatever the bytes
 * are is a FUZZ_MUST. libFuzzer drives it (make fuzz), and replay.c runs it over the corpora of the tree, with memory
 * that runs out at each allocation as well: fuzz_starved says so, since then less can be promised.
 */
#include "plugin/base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((weak)) bool fuzz_starved;

#define FUZZ_MUST(x) \
    do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x); \
            fflush(NULL); \
            abort(); \
        } \
    } while (0)

struct fuzz { /* the bytes that are left */
    const uint8_t *p;
    size_t n;
};

static inline unsigned fuzz_u8(struct fuzz *f)
{
    if (f->n == 0)
        return 0;
    f->n--;
    return *f->p++;
}

static inline unsigned fuzz_below(struct fuzz *f, unsigned sides)
{
    unsigned v = fuzz_u8(f);

    if (sides > 256)
        v = v << 8 | fuzz_u8(f);
    return sides ? v % sides : 0;
}

/* At most max bytes, their number first. */
static inline struct str fuzz_text(struct fuzz *f, size_t max)
{
    size_t n = fuzz_u8(f);
    struct str s;

    n = n > max ? max : n;
    n = n > f->n ? f->n : n;
    s = str_make((const char *)f->p, n);
    f->p += n;
    f->n -= n;
    return s;
}

static inline struct str fuzz_rest(struct fuzz *f)
{
    return str_make((const char *)f->p, f->n);
}

static inline uint64_t fuzz_hash(uint64_t h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3ull;
    return (h ^ s.n) * 0x100000001b3ull;
}

static inline bool fuzz_inside(struct str part, struct str whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

#endif
