/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "tests/unit/t.h"

/* The third vector of RFC 7914 §12, the first 32 bytes of its key. */
#define VECTOR \
    "scrypt$16384$8$1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI="

static void pins(void)
{
    struct err e = {0};
    bool same = false;

    T_OK(secret_pin_check(STR(VECTOR), &e));
    T_OK(secret_pin_same(STR(VECTOR), STR("pleaseletmein"), &same, &e));
    T_TRUE(same);
    T_OK(secret_pin_same(STR(VECTOR), STR("pleaseletmeim"), &same, &e));
    T_FALSE(same);
    same = true;
    T_OK(secret_pin_same(STR(VECTOR), STR(""), &same, &e));
    T_FALSE(same);
}

static void forms(void)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {VECTOR, true},
        {"scrypt$16384$8$1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI", true},
        {"", false},
        {"4711", false},
        {"$2b$12$abcdefghijklmnopqrstuv", false},
        {"scrypt$16384$8$1$U29kaXVtQ2hsb3JpZGU=", false},
        {"scrypt$16384$8$1$U29kaXVtQ2hsb3JpZGU=$", false},
        {"scrypt$16384$8$1$U29kaXVtQ2hsb3JpZGU=$AAAA", false},
        {VECTOR "$", false},
        {VECTOR "A", false},
        {"scrypt$16383$8$1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=", false},
        {"scrypt$1024$8$1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=", false},
        {"scrypt$131072$16$1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=", false},
        {"scrypt$16384$7$1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=", false},
        {"scrypt$16384$8$9$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=", false},
        {"scrypt$16384$8$1$U29k$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=", false},
        {"scrypt$16384$8$1$U29kaXV*Q2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=", false},
        {"scrypt$99999999999999999999$8$1$U29kaXVtQ2hsb3JpZGU=$cCO9", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        int rc = secret_pin_check(str_of(rows[i].text), &e);

        if ((rc == 0) != rows[i].good)
            T_FAIL("row %zu: %d %s", i, rc, e.text);
        T_TRUE(rc == 0 || rc == ERR_INVALID);
    }
}

static void wiping(void)
{
    char text[] = "whsec_abc";
    static const char zero[sizeof text];

    secret_wipe(text, sizeof text);
    T_MEM_EQ(text, sizeof text, zero, sizeof zero);
    secret_wipe(NULL, 5);
}

int main(void)
{
    T_RUN(pins);
    T_RUN(forms);
    T_RUN(wiping);
    return T_DONE();
}
