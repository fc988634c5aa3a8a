/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_SECRET_H
#define PLUGIN_BASE_SECRET_H
/*
 * What secrets need beside memory: wiping that no compiler leaves out, and the stored form of a PIN.
 * No state; any thread.
 *
 * A PIN is stored as `scrypt$N$r$p$SALT$HASH` (RFC 7914): N a power of two from 2^14 to 2^17, r 8..16,
 * p 1..4, at most 64 MiB of work memory; SALT at least 8 bytes, HASH 32 bytes, both in base64.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

void secret_wipe(void *p, size_t n);

#define SECRET_PIN_BYTES_MAX 64u

/* Whether the text has that form. ERR_INVALID; e says what is wrong with it, not what it is. */
int secret_pin_check(struct str stored, struct err *e);
/*
 * Whether pin is the one stored. Takes about 50 ms of CPU and 16 MiB with the usual numbers, so not
 * for a loop thread; constant time over the hash. 0 with *same set; ERR_INVALID (the form), ERR_NOMEM.
 */
int secret_pin_same(struct str stored, struct str pin, bool *same, struct err *e);

#endif
