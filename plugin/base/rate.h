/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_RATE_H
#define PLUGIN_BASE_RATE_H
/*
 * How often something may happen for one of many keys: `burst` at once, and as many again spread over `per_ms` (a
 * leaky bucket, as in ITU-T I.371's virtual scheduling). A table of fixed size: under a flood of keys the one that is
 * nearest to being free again gives way, so memory never grows. One thread at a time.
 */
#include "plugin/base/str.h"

struct rate;

/* slots: keys that are told apart, rounded up to a power of two. ERR_NOMEM, ERR_IO. */
int rate_open(struct rate **out, unsigned slots, uint32_t burst, uint32_t per_ms);
void rate_close(struct rate *r); /* NULL is fine */
/* 0: it may happen now, and is counted; else milliseconds until it may. now_ms: any clock that does not go back. */
uint32_t rate_take(struct rate *r, struct str key, uint64_t now_ms);

#endif
