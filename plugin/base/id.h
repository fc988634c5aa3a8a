/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_ID_H
#define PLUGIN_BASE_ID_H
/* Random and derived identifiers. Any thread. */
#include "plugin/base/str.h"

#define ID_BYTES 32 /* room for any id made here, with its NUL */

struct id {
    char text[ID_BYTES];
};

/* Cryptographically strong bytes; ERR_IO when the system has none. */
int id_random(void *out, size_t n);
/*
 * `prefix` + 26 characters of Crockford's base 32: 48 bits of wall_ms, 80 random bits; sorts by time
 * (the ULID layout). ERR_IO.
 */
int id_make(struct id *out, const char *prefix, uint64_t wall_ms);
/* `prefix` + 24 hex digits of SHA-256 over a, NUL, b: the same input gives the same id. */
void id_derive(struct id *out, const char *prefix, struct str a, struct str b);
/* n bytes as 2 n lower-case hex digits and a NUL. */
void id_hex(char *out, const void *bytes, size_t n);
/* SHA-256 of s. */
void id_sha256(unsigned char out[32], struct str s);
/* FNV-1a with a final mix: for hash tables over ids that are not chosen by strangers to collide. */
uint64_t id_hash(struct str s, uint64_t seed);
/* Equal in a time that does not depend on where they differ (their lengths may show). */
bool id_equal_ct(struct str a, struct str b);

#endif
