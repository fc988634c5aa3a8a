/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_CLOCK_H
#define PLUGIN_BASE_CLOCK_H
/* The two clocks. Cores never call these: they are told the time. Any thread. */
#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void); /* CLOCK_MONOTONIC: for deadlines within one run */
uint64_t clock_mono_us(void);
uint64_t clock_wall_ms(void); /* Unix time: for rows, signatures and people */
/* RFC 3339 in UTC with milliseconds, "2026-11-23T06:11:17.123Z", into out[cap >= 25]. */
void clock_rfc3339(uint64_t wall_ms, char *out, size_t cap);

#endif
