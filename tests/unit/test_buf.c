/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"

#include "plugin/base/err.h"
#include "plugin/base/mem.h"
#include "tests/unit/t.h"

static void growing(void)
{
    struct buf b;

    buf_init(&b, 100000);
    T_EQ(b.n, 0);
    T_NULL(b.p);
    for (int i = 0; i < 100000; i++)
        T_MUST(buf_putc(&b, (char)('a' + i % 26)) == 0);
    T_EQ(b.n, 100000);
    T_EQ(b.p[0], 'a');
    T_EQ(b.p[99999], 'a' + 99999 % 26);
    T_LE(b.cap, 100000);
    T_EQ(buf_putc(&b, 'x'), ERR_TOO_BIG);
    T_EQ(b.rc, ERR_TOO_BIG);
    T_EQ(b.n, 100000);
    buf_clear(&b);
    T_EQ(b.rc, 0);
    T_EQ(buf_putc(&b, 'x'), 0);
    buf_free(&b);
    T_EQ(b.max_bytes, 100000);
    T_OK(buf_put(&b, "abc", 3));
    buf_free(&b);
}

static void the_ceiling(void)
{
    struct buf b;

    buf_init(&b, 10);
    T_OK(buf_puts(&b, STR("0123456789")));
    T_EQ(buf_put(&b, "x", 1), ERR_TOO_BIG);
    T_EQ(buf_puts(&b, STR("y")), ERR_TOO_BIG);
    T_MEM_EQ(b.p, b.n, "0123456789", 10);
    T_NULL(buf_cstr(&b)); /* no room for its NUL, and a failure is remembered */
    buf_clear(&b);
    T_OK(buf_puts(&b, STR("012345678")));
    T_STR_EQ(buf_cstr(&b), "012345678");
    T_EQ(b.n, 9);
    T_EQ(buf_reserve(&b, (size_t)-1), ERR_TOO_BIG);
    T_EQ(buf_reserve(&b, (size_t)-5), ERR_TOO_BIG);
    buf_free(&b);
    buf_init(&b, 0);
    T_OK(buf_put(&b, NULL, 0));
    T_EQ(buf_putc(&b, 'x'), ERR_TOO_BIG);
    buf_free(&b);
}

static void printing(void)
{
    struct buf b;

    buf_init(&b, 1000);
    T_OK(buf_printf(&b, "%d-%s", 42, "abc"));
    T_OK(buf_printf(&b, "%s", ""));
    T_OK(buf_printf(&b, "%300d", 7));
    T_EQ(b.n, 306);
    T_EQ(b.p[305], '7');
    T_EQ(buf_printf(&b, "%800d", 7), ERR_TOO_BIG);
    T_EQ(b.n, 306);
    buf_free(&b);
}

static void consuming_and_stealing(void)
{
    struct buf b;
    char *p;
    size_t n = 0;

    buf_init(&b, 1000);
    T_OK(buf_puts(&b, STR("hello world")));
    buf_consume(&b, 6);
    T_STR_EQ(buf_cstr(&b), "world");
    buf_consume(&b, 0);
    T_EQ(b.n, 5);
    buf_consume(&b, 99);
    T_EQ(b.n, 0);
    T_OK(buf_puts(&b, STR("mine")));
    p = buf_steal(&b, &n);
    T_MEM_EQ(p, n, "mine", 4);
    T_NULL(b.p);
    T_EQ(b.n, 0);
    mem_free(p);
    T_OK(buf_puts(&b, STR("again")));
    T_EQ(buf_str(&b).n, 5);
    buf_free(&b);
    p = buf_steal(&b, NULL);
    T_NULL(p);
}

static void out_of_memory(void)
{
    struct buf b;

    buf_init(&b, 100000);
    T_OK(buf_puts(&b, STR("kept")));
    (void)mem_fault_after(1);
    T_EQ(buf_reserve(&b, 5000), ERR_NOMEM);
    T_EQ(buf_printf(&b, "%5000d", 1), ERR_NOMEM);
    (void)mem_fault_after(0);
    T_MEM_EQ(b.p, b.n, "kept", 4);
    T_EQ(b.rc, ERR_NOMEM);
    T_NULL(buf_cstr(&b));
    buf_clear(&b);
    T_OK(buf_reserve(&b, 5000));
    buf_free(&b);
}

int main(void)
{
    T_RUN(growing);
    T_RUN(the_ceiling);
    T_RUN(printing);
    T_RUN(consuming_and_stealing);
    T_RUN(out_of_memory);
    return T_DONE();
}
