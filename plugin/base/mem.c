/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Per thread, so that a test's ladder does not touch the threads of a harness beside it. */
static _Thread_local unsigned long made;
static _Thread_local unsigned long fail_from, fail_to;

static int fails(void)
{
    made++;
    return fail_from != 0 && made >= fail_from && made <= fail_to;
}

void *mem_alloc(size_t n)
{
    return fails() ? NULL : malloc(n ? n : 1);
}

void *mem_zalloc(size_t n)
{
    return fails() ? NULL : calloc(1, n ? n : 1);
}

void *mem_realloc(void *p, size_t n)
{
    return fails() ? NULL : realloc(p, n ? n : 1);
}

char *mem_dup(const void *p, size_t n)
{
    char *copy = mem_alloc(n + 1);

    if (copy == NULL)
        return NULL;
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

void mem_free(void *p)
{
    free(p);
}

unsigned long mem_fault_after(unsigned long n)
{
    unsigned long before = made;

    made = 0;
    fail_from = n;
    fail_to = ULONG_MAX;
    return before;
}

unsigned long mem_fault_once(unsigned long n)
{
    unsigned long before = mem_fault_after(n);

    fail_to = n;
    return before;
}
