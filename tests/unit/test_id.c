/* SPDX-License-Identifier: MIT */
#include "plugin/base/id.h"

#include "plugin/base/err.h"
#include "tests/unit/t.h"

static void made_ids(void)
{
    struct id a, b, early, late;

    T_OK(id_make(&a, "call_", 1700000000000ull));
    T_OK(id_make(&b, "call_", 1700000000000ull));
    T_EQ(strlen(a.text), 31);
    T_EQ(strncmp(a.text, "call_", 5), 0);
    T_STR_NE(a.text, b.text);
    T_EQ(strncmp(a.text, b.text, 15), 0); /* the time's part */
    for (const char *p = a.text + 5; *p != '\0'; p++)
        T_NOT_NULL(strchr("0123456789abcdefghjkmnpqrstvwxyz", *p));
    T_OK(id_make(&early, "", 1));
    T_OK(id_make(&late, "", (1ull << 48) - 1));
    T_EQ(strncmp(early.text, "0000000001", 10), 0);
    T_EQ(strncmp(late.text, "7zzzzzzzzz", 10), 0);
    for (uint64_t t = 1; t < 1ull << 47; t *= 3) {
        T_OK(id_make(&early, "x_", t));
        T_OK(id_make(&late, "x_", t + 1));
        T_LT(strcmp(early.text, late.text), 0);
    }
    T_EQ(id_make(&a, "prefix", 1), ERR_TOO_BIG); /* 6 + 26 and no room for the NUL */
    T_EQ(id_make(&a, "far_too_long_a_prefix_for_any_id", 1), ERR_TOO_BIG);
}

static void derived_ids(void)
{
    struct id a, b;

    id_derive(&a, "call_", STR("one"), STR("two"));
    id_derive(&b, "call_", STR("one"), STR("two"));
    T_STR_EQ(a.text, b.text);
    T_EQ(strlen(a.text), 29);
    id_derive(&b, "call_", STR("onet"), STR("wo"));
    T_STR_NE(a.text, b.text);
    id_derive(&b, "call_", STR("two"), STR("one"));
    T_STR_NE(a.text, b.text);
    id_derive(&b, "call_", STR_NONE, STR(""));
    T_EQ(strlen(b.text), 29);
}

static void hashes(void)
{
    static const unsigned char abc[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                          0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                          0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const unsigned char none[4] = {0xe3, 0xb0, 0xc4, 0x42};
    unsigned char out[32];

    id_sha256(out, STR("abc"));
    T_MEM_EQ(out, 32, abc, 32);
    id_sha256(out, STR_NONE);
    T_MEM_EQ(out, 4, none, 4);
    T_TRUE(id_hash(STR("a"), 1) != id_hash(STR("b"), 1));
    T_TRUE(id_hash(STR("a"), 1) != id_hash(STR("a"), 2));
    T_TRUE(id_hash(STR("a"), 1) == id_hash(STR("a"), 1));
}

static void comparing(void)
{
    T_TRUE(id_equal_ct(STR("same"), STR("same")));
    T_FALSE(id_equal_ct(STR("same"), STR("sbme")));
    T_FALSE(id_equal_ct(STR("same"), STR("sam")));
    T_TRUE(id_equal_ct(STR(""), STR_NONE));
}

static void random_bytes(void)
{
    unsigned char a[64] = {0}, b[64] = {0};

    T_OK(id_random(a, sizeof a));
    T_OK(id_random(b, sizeof b));
    T_TRUE(memcmp(a, b, sizeof a) != 0);
    T_OK(id_random(a, 0));
}

int main(void)
{
    T_RUN(made_ids);
    T_RUN(derived_ids);
    T_RUN(hashes);
    T_RUN(comparing);
    T_RUN(random_bytes);
    return T_DONE();
}
