/* SPDX-License-Identifier: MIT */
#include "plugin/base/rate.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

static struct rate *made(unsigned slots, uint32_t burst, uint32_t per_ms)
{
    struct rate *r = NULL;

    T_MUST(rate_open(&r, slots, burst, per_ms) == 0);
    return r;
}

static void a_burst_and_then_the_rate(void)
{
    struct rate *r = made(64, 5, 60000);
    uint64_t now = 1000;

    for (int i = 0; i < 5; i++)
        T_EQ(rate_take(r, STR("a"), now), 0);
    T_EQ(rate_take(r, STR("a"), now), 12000);
    T_EQ(rate_take(r, STR("a"), now + 2000), 10000); /* what is refused counts nothing */
    T_EQ(rate_take(r, STR("b"), now), 0); /* each key for itself */
    now += 12000;
    T_EQ(rate_take(r, STR("a"), now), 0);
    T_EQ(rate_take(r, STR("a"), now), 12000);
    now += 60000;
    for (int i = 0; i < 5; i++)
        T_EQ(rate_take(r, STR("a"), now), 0);
    T_GT(rate_take(r, STR("a"), now), 0);
    rate_close(r);
}

/* Over any stretch of time: never more than the burst and what was refilled, and never less either. */
static void never_more_than_it_says(void)
{
    struct rate *r = made(8, 10, 1000);
    uint64_t taken = 0;

    for (uint64_t now = 0; now < 100000; now += 7)
        taken += rate_take(r, STR("x"), now) == 0;
    T_LT(taken, 10 + 1000 + 2);
    T_GT(taken, 10 + 990);
    rate_close(r);
}

static void no_clock_no_trouble(void)
{
    struct rate *r = made(8, 1, 1000);

    T_EQ(rate_take(r, STR("x"), 0), 0);
    T_EQ(rate_take(r, STR("x"), 0), 1000);
    T_EQ(rate_take(r, STR(""), UINT32_MAX), 0);
    T_EQ(rate_take(r, STR(""), UINT32_MAX), 1000);
    rate_close(r);
}

/* A flood of keys: the table stays as it is, and the worst offender stays in it. */
static void a_flood_of_keys(void)
{
    struct rate *r = made(64, 3, 3600000);
    char key[24];

    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(key, sizeof key, "+1555%07u", i);
        T_EQ(rate_take(r, str_of(key), 1000 + i / 100), 0);
        if (i % 50 == 0)
            (void)rate_take(r, STR("the one who does not stop"), 1000 + i / 100);
    }
    T_GT(rate_take(r, STR("the one who does not stop"), 2000), 0);
    rate_close(r);
}

static void no_memory(void)
{
    struct rate *r = NULL;

    (void)mem_fault_after(1);
    T_LT(rate_open(&r, 64, 3, 1000), 0);
    (void)mem_fault_after(0);
    T_NULL(r);
    rate_close(NULL);
}

int main(void)
{
    T_RUN(a_burst_and_then_the_rate);
    T_RUN(never_more_than_it_says);
    T_RUN(no_clock_no_trouble);
    T_RUN(a_flood_of_keys);
    T_RUN(no_memory);
    return T_DONE();
}
