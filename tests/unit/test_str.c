/* SPDX-License-Identifier: MIT */
#include "plugin/base/str.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

static void comparing(void)
{
    T_TRUE(str_eq(STR("a"), STR("a")));
    T_FALSE(str_eq(STR("a"), STR("b")));
    T_FALSE(str_eq(STR("a"), STR("ab")));
    T_TRUE(str_eq(STR_NONE, STR("")));
    T_TRUE(str_ieq(STR("aBc"), STR("AbC")));
    T_FALSE(str_ieq(STR("a@"), STR("a`")));
    T_TRUE(str_eqc(STR("x"), "x"));
    T_TRUE(str_eqc(STR_NONE, NULL));
    T_TRUE(str_starts(STR("abc"), STR("ab")));
    T_TRUE(str_starts(STR("abc"), STR("")));
    T_FALSE(str_starts(STR("a"), STR("ab")));
    T_TRUE(str_istarts(STR("ABc"), STR("ab")));
    T_TRUE(str_ends(STR("abc"), STR("bc")));
    T_TRUE(str_ends(STR("abc"), STR("")));
    T_FALSE(str_ends(STR("c"), STR("bc")));
    T_TRUE(str_has_nul(str_make("a\0b", 3)));
    T_FALSE(str_has_nul(STR("ab")));
    T_FALSE(str_has_nul(STR_NONE));
    T_EQ(str_of(NULL).n, 0);
}

static void cutting(void)
{
    struct str s = STR("abc");

    T_TRUE(str_eqc(str_trim(STR(" \t a b\t ")), "a b"));
    T_TRUE(str_eqc(str_trim(STR(" \t ")), ""));
    T_TRUE(str_eqc(str_trim(STR("\r\n")), "\r\n")); /* blanks and tabs alone */
    T_TRUE(str_eqc(str_skip(s, 1), "bc"));
    T_TRUE(str_eqc(str_skip(s, 9), ""));
    T_TRUE(str_eqc(str_head(s, 2), "ab"));
    T_TRUE(str_eqc(str_head(s, 9), "abc"));
    T_EQ(str_find(s, 'b'), 1);
    T_EQ(str_find(s, 'x'), 3);
    T_EQ(str_find(STR_NONE, 'x'), 0);
    T_EQ(str_find_str(STR("ababc"), STR("abc")), 2);
    T_EQ(str_find_str(STR("ab"), STR("abc")), 2);
    T_EQ(str_find_str(STR("ab"), STR("")), 0);
    T_EQ(str_find_str(STR_NONE, STR("a")), 0);
}

static void splitting(void)
{
    struct str rest = STR("a,,b,"), part;
    static const char *const want[] = {"a", "", "b", ""};

    for (int i = 0; i < 4; i++) {
        T_TRUE(str_split(&rest, ',', &part));
        T_TRUE(str_eqc(part, want[i]));
    }
    T_FALSE(str_split(&rest, ',', &part));
    rest = STR("");
    T_TRUE(str_split(&rest, ',', &part)); /* an empty text is one empty part */
    T_EQ(part.n, 0);
    T_FALSE(str_split(&rest, ',', &part));
    rest = STR_NONE;
    T_FALSE(str_split(&rest, ',', &part));
}

static void numbers(void)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1a", "18446744073709551616",
                                      "99999999999999999999999", "0x10", "1.0"};
    uint64_t v = 77;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        T_FALSE(str_u64(str_of(bad[i]), &v));
        T_EQ(v, 77);
    }
    T_TRUE(str_u64(STR("18446744073709551615"), &v));
    T_TRUE(v == UINT64_MAX);
    T_TRUE(str_u64(STR("0007"), &v));
    T_EQ(v, 7);
}

static void copying(void)
{
    char dst[4] = "zzz", *p;

    T_TRUE(str_copy(dst, sizeof dst, STR("abc")));
    T_STR_EQ(dst, "abc");
    T_FALSE(str_copy(dst, sizeof dst, STR("abcd")));
    T_STR_EQ(dst, "");
    T_TRUE(str_copy(dst, sizeof dst, STR_NONE));
    T_FALSE(str_copy(dst, 0, STR("")));
    p = str_dup(STR("copy"));
    T_STR_EQ(p, "copy");
    mem_free(p);
    p = str_dup(STR_NONE);
    T_STR_EQ(p, "");
    mem_free(p);
    (void)mem_fault_after(1);
    T_NULL(str_dup(STR("x")));
    (void)mem_fault_after(0);
}

static void utf8(void)
{
    static const char *const good[] = {"", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                       "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf", ("a\xe2\x82\xac" "b")};
    static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", ("\xc2" "a"),
                                      "\xe0\x9f\xbf", "\xe0\xa0", "\xed\xa0\x80", "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80", "\xfe", "\xff", "a\xe2\x82", "\xe2\x28\xa1"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        T_TRUE(str_utf8_valid(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (str_utf8_valid(str_of(bad[i])))
            T_FAIL("bad case %zu passed", i);
    T_TRUE(str_utf8_valid(str_make("a\0b", 3)));
    T_EQ(str_utf8_floor(STR("abc"), 2), 2);
    T_EQ(str_utf8_floor(STR("abc"), 9), 3);
    for (size_t max = 0; max < 3; max++)
        T_EQ(str_utf8_floor(STR("\xe2\x82\xac"), max), 0);
    T_EQ(str_utf8_floor(STR("\xe2\x82\xac"), 3), 3);
    T_EQ(str_utf8_floor(STR("a\xe2\x82\xac"), 3), 1);
}

int main(void)
{
    T_RUN(comparing);
    T_RUN(cutting);
    T_RUN(splitting);
    T_RUN(numbers);
    T_RUN(copying);
    T_RUN(utf8);
    return T_DONE();
}
