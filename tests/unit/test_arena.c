/* SPDX-License-Identifier: MIT */
#include "plugin/base/arena.h"
#include "plugin/base/err.h"
#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#include <stdalign.h>

static void blocks(void)
{
    struct arena a;
    char *first, *big;

    arena_init(&a, 1u << 20);
    first = arena_alloc(&a, 3);
    T_MUST(first);
    memcpy(first, "abc", 3);
    for (size_t n = 1; n < 6000; n += 97) {
        char *p = arena_alloc(&a, n);

        T_MUST(p);
        T_EQ((uintptr_t)p % alignof(max_align_t), 0);
        T_EQ(p[0], 0);
        T_EQ(p[n - 1], 0);
        memset(p, 'x', n);
    }
    big = arena_alloc(&a, 100000);
    T_MUST(big);
    memset(big, 'y', 100000);
    T_MEM_EQ(first, 3, "abc", 3);
    T_EQ(a.rc, 0);
    arena_free(&a);
    T_EQ(a.total_bytes, 0);
    T_STR_EQ(arena_text(&a, STR("again")), "again");
    arena_free(&a);
}

static void ceiling(void)
{
    struct arena a;

    arena_init(&a, 100);
    T_NOT_NULL(arena_alloc(&a, 60));
    T_NULL(arena_alloc(&a, 60));
    T_EQ(a.rc, ERR_TOO_BIG);
    T_STR_EQ(arena_text(&a, STR("a text of more than thirty-six bytes, it is")), "");
    T_NULL(arena_alloc(&a, (size_t)-1));
    arena_free(&a);
    T_EQ(a.rc, 0);
}

static void out_of_memory(void)
{
    struct arena a;

    arena_init(&a, 1000);
    (void)mem_fault_after(1);
    T_STR_EQ(arena_text(&a, STR("x")), "");
    (void)mem_fault_after(0);
    T_EQ(a.rc, ERR_NOMEM);
    arena_free(&a);
}

int main(void)
{
    T_RUN(blocks);
    T_RUN(ceiling);
    T_RUN(out_of_memory);
    return T_DONE();
}
