/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_T_H
#define TESTS_UNIT_T_H
/*
 * A small test harness for programs of one file. A test program has one main():
 *
 *     int main(void)
 *     {
 *         T_CASE("an empty buffer has no bytes");
 *         T_EQ(buf_len(&b), 0);
 *         return T_DONE();
 *     }
 *
 * Every case ends where the next begins and prints one line, `ok NAME` or `FAIL NAME`; each check that
 * fails prints where and with which values and the case goes on. T_MUST ends the program when it fails
 * (for what the rest of the case cannot do without). T_RUN(fn) is T_CASE(name of fn) and a call of it.
 * T_DONE() closes the last case and is main's result: 0, or 1 if any case failed or none was run.
 * With the environment's T set, T_WANT("name") says whether the case is asked for. One thread: checks
 * from other threads need the test's own lock. A fault ladder (tests/faults/ladder.h), where one is linked, is told of each
 * case, and of a check that does not hold: with a fault of its own that is no failure, and the program ends there.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct t_state {
    const char *name;
    unsigned bad; /* by __atomic: any thread may check */
    unsigned passed, failed;
};

static struct t_state t_now;

void t_ladder_case(const char *name) __attribute__((weak));
void t_ladder_bad(void) __attribute__((weak));

static inline void t_close(void)
{
    bool bad;

    if (!t_now.name)
        return;
    bad = __atomic_exchange_n(&t_now.bad, 0, __ATOMIC_RELAXED) > 0;
    if (bad)
        t_now.failed++;
    else
        t_now.passed++;
    printf("%s %s\n", bad ? "FAIL" : "ok", t_now.name);
    fflush(stdout);
    t_now.name = NULL;
}

static inline void t_open(const char *name)
{
    t_close();
    t_now.name = name;
    if (t_ladder_case)
        t_ladder_case(name);
}

static inline int t_done(void)
{
    t_close();
    if (t_now.passed + t_now.failed == 0)
        printf("FAIL no case was run\n");
    return t_now.failed || t_now.passed == 0 ? 1 : 0;
}

__attribute__((format(printf, 4, 5))) static inline bool t_check(bool good, const char *file,
                                                                 int line, const char *fmt, ...)
{
    __builtin_va_list ap;

    if (good)
        return true;
    (void)__atomic_fetch_add(&t_now.bad, 1, __ATOMIC_RELAXED);
    printf("  %s:%d: ", file, line);
    __builtin_va_start(ap, fmt);
    vprintf(fmt, ap);
    __builtin_va_end(ap);
    printf("\n");
    fflush(stdout);
    if (t_ladder_bad)
        t_ladder_bad();
    return false;
}

static inline bool t_want(const char *name)
{
    const char *want = getenv("T");

    return !want || !*want || strstr(name, want) != NULL;
}

static inline bool t_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static inline bool t_same_bytes(const void *a, size_t an, const void *b, size_t bn)
{
    return an == bn && (an == 0 || (a && b && memcmp(a, b, an) == 0));
}

static inline const char *t_text(const char *s)
{
    return s ? s : "(null)";
}

#define T_CASE(name) t_open(name)
#define T_DONE() t_done()
#define T_WANT(name) t_want(name)
#define T_RUN(fn) \
    do { \
        if (t_want(#fn)) { \
            t_open(#fn); \
            fn(); \
            t_close(); \
        } \
    } while (0)

#define T_FAIL(...) ((void)t_check(false, __FILE__, __LINE__, __VA_ARGS__))
#define T_TRUE(x) ((void)t_check(!!(x), __FILE__, __LINE__, "not true: %s", #x))
#define T_FALSE(x) ((void)t_check(!(x), __FILE__, __LINE__, "not false: %s", #x))
#define T_NULL(p) ((void)t_check((p) == NULL, __FILE__, __LINE__, "not NULL: %s", #p))
#define T_NOT_NULL(p) ((void)t_check((p) != NULL, __FILE__, __LINE__, "NULL: %s", #p))
#define T_PTR_EQ(a, b) \
    ((void)t_check((const void *)(a) == (const void *)(b), __FILE__, __LINE__, "%s != %s", #a, #b))

/* Whole numbers of any type that fits in a long long; T_OK and T_ERR judge result codes. */
#define T_REL_(a, op, b) \
    do { \
        long long t_a_ = (long long)(a); \
        long long t_b_ = (long long)(b); \
        (void)t_check(t_a_ op t_b_, __FILE__, __LINE__, "%s is %lld, not " #op " %s, %lld", #a, \
                      t_a_, #b, t_b_); \
    } while (0)
#define T_EQ(a, b) T_REL_(a, ==, b)
#define T_NE(a, b) T_REL_(a, !=, b)
#define T_LT(a, b) T_REL_(a, <, b)
#define T_LE(a, b) T_REL_(a, <=, b)
#define T_GT(a, b) T_REL_(a, >, b)
#define T_GE(a, b) T_REL_(a, >=, b)
#define T_OK(rc) T_REL_(rc, ==, 0)
#define T_ERR(rc) T_REL_(rc, <, 0)

/* Text that ends in NUL; NULL equals NULL alone. */
#define T_STR_EQ(a, b) \
    do { \
        const char *t_a_ = (a); \
        const char *t_b_ = (b); \
        (void)t_check(t_same_text(t_a_, t_b_), __FILE__, __LINE__, \
                      "%s is\n    \"%s\", not\n    \"%s\"", #a, t_text(t_a_), t_text(t_b_)); \
    } while (0)
#define T_STR_NE(a, b) \
    do { \
        const char *t_a_ = (a); \
        (void)t_check(!t_same_text(t_a_, (b)), __FILE__, __LINE__, "%s is \"%s\"", #a, \
                      t_text(t_a_)); \
    } while (0)
/* Text a contains text b. */
#define T_HAS(a, b) \
    do { \
        const char *t_a_ = (a); \
        const char *t_b_ = (b); \
        (void)t_check(t_a_ && t_b_ && strstr(t_a_, t_b_), __FILE__, __LINE__, \
                      "%s has no \"%s\":\n    \"%s\"", #a, t_text(t_b_), t_text(t_a_)); \
    } while (0)
/* an bytes at a against bn bytes at b; shown as text up to 200 bytes. */
#define T_MEM_EQ(a, an, b, bn) \
    do { \
        const char *t_a_ = (const char *)(a); \
        const char *t_b_ = (const char *)(b); \
        size_t t_an_ = (size_t)(an); \
        size_t t_bn_ = (size_t)(bn); \
        (void)t_check(t_same_bytes(t_a_, t_an_, t_b_, t_bn_), __FILE__, __LINE__, \
                      "%s is %zu bytes\n    \"%.*s\", not %zu\n    \"%.*s\"", #a, t_an_, \
                      (int)(t_an_ > 200 ? 200 : t_an_), t_a_ ? t_a_ : "", t_bn_, \
                      (int)(t_bn_ > 200 ? 200 : t_bn_), t_b_ ? t_b_ : ""); \
    } while (0)

#define T_MUST(x) \
    do { \
        if (!t_check(!!(x), __FILE__, __LINE__, "cannot go on without: %s", #x)) { \
            t_close(); \
            exit(1); \
        } \
    } while (0)

#endif
