/* SPDX-License-Identifier: MIT */
/* When a recording that could not be fetched is tried again, and when that ends. */
#include "plugin/fetches.h"

#include "plugin/base/err.h"
#include "tests/unit/t.h"

#include <errno.h>

#define MINUTE_MS 60000u
#define DAY_MS 86400000u

static enum fetch_next next(int http_status, int rc, unsigned attempts, uint64_t age_ms)
{
    const struct fetch_failure failure = {http_status, rc, attempts, age_ms};

    return fetch_decide(&failure);
}

/* Attempts until it is decided, when each fails in that way and is made as late as it may be. */
static unsigned tries(int http_status, int rc, enum fetch_next *end, uint64_t *age_ms)
{
    unsigned n = 0;

    for (*age_ms = 0; n < 10000; *age_ms += fetch_delay_ms(n)) {
        *end = next(http_status, rc, ++n, *age_ms);
        if (*end != FETCH_AGAIN)
            break;
    }
    return n;
}

static void later_and_later(void)
{
    uint64_t sum = 0;

    T_EQ(fetch_delay_ms(1), 1000);
    T_EQ(fetch_delay_ms(2), 2000);
    T_EQ(fetch_delay_ms(10), 512000);
    for (unsigned i = 1; i < 100; i++) {
        T_GE(fetch_delay_ms(i + 1), fetch_delay_ms(i));
        T_LE(fetch_delay_ms(i), 15 * MINUTE_MS);
        sum += fetch_delay_ms(i);
    }
    T_EQ(fetch_delay_ms(100), 15 * MINUTE_MS);
    T_EQ(fetch_delay_ms(~0u), 15 * MINUTE_MS);
    T_LE(sum, DAY_MS);
}

static void what_is_not_there_yet(void)
{
    enum fetch_next end;
    uint64_t age_ms;

    T_GE(tries(404, 0, &end, &age_ms), 8);
    T_EQ(end, FETCH_ABSENT);
    T_GE(age_ms, 10 * MINUTE_MS);
    T_LE(age_ms, 60 * MINUTE_MS);
    T_EQ(next(410, 0, 1, 0), FETCH_ABSENT);
}

/* A carrier that is away, or does not let us in now, is waited for over a long weekend. */
static void a_carrier_that_fails(void)
{
    static const int statuses[] = {0, 401, 403, 408, 429, 500, 503};
    enum fetch_next end;
    uint64_t age_ms;

    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        T_LE(tries(statuses[i], 0, &end, &age_ms), 1000);
        T_EQ(end, FETCH_FAILED);
        T_GE(age_ms, (uint64_t)3 * DAY_MS);
        T_LE(age_ms, (uint64_t)4 * DAY_MS);
    }
}

static void the_disk(void)
{
    enum fetch_next end;
    uint64_t age_ms;

    T_EQ(tries(0, -ENOSPC, &end, &age_ms), 8);
    T_EQ(end, FETCH_FAILED);
    T_GE(age_ms, MINUTE_MS);
    T_EQ(next(0, ERR_TOO_BIG, 1, 0), FETCH_FAILED); /* it would be as large another time */
}

int main(void)
{
    T_RUN(later_and_later);
    T_RUN(what_is_not_there_yet);
    T_RUN(a_carrier_that_fails);
    T_RUN(the_disk);
    return T_DONE();
}
