/* SPDX-License-Identifier: MIT */
#include "plugin/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000u;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000u;
}

void clock_rfc3339(uint64_t wall_ms, char *out, size_t cap)
{
    time_t secs = (time_t)(wall_ms / 1000u);
    struct tm tm;
    char day[24];

    if (cap == 0)
        return;
    out[0] = '\0';
    if (gmtime_r(&secs, &tm) == NULL || strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return;
    (void)snprintf(out, cap, "%s.%03uZ", day, (unsigned)(wall_ms % 1000u));
}
