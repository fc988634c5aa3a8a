/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_STR_H
#define PLUGIN_BASE_STR_H
/*
 * Borrowed slices of text: {pointer, length}, by value, no NUL promised. Whoever holds one says until
 * when it is valid. All functions are pure and thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

/* The smallest are inline: they are called by the dozen for every message that is read. */

static inline struct str str_make(const char *p, size_t n)
{
    return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* At most the first n bytes. */
static inline struct str str_head(struct str s, size_t n)
{
    return (struct str){s.p, n < s.n ? n : s.n};
}

/* What is behind the first n bytes. */
static inline struct str str_skip(struct str s, size_t n)
{
    if (n > s.n)
        n = s.n;
    return n == 0 ? s : (struct str){s.p + n, s.n - n};
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_head(s, prefix.n), prefix);
}

struct str str_of(const char *c); /* NULL gives an empty slice */
bool str_eqc(struct str a, const char *c);
bool str_ieq(struct str a, struct str b); /* ASCII case ignored */
bool str_istarts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_has_nul(struct str s);
struct str str_trim(struct str s); /* spaces and tabs at both ends */
/* Index of the first c, or s.n. */
size_t str_find(struct str s, char c);
/* Index of the first occurrence of needle, or s.n. */
size_t str_find_str(struct str s, struct str needle);
/* Cuts *rest at the first sep: returns what is before it and moves *rest behind it. false at the end. */
bool str_split(struct str *rest, char sep, struct str *part);
/* All digits, no sign, no blanks, no overflow; false leaves *out alone. */
bool str_u64(struct str s, uint64_t *out);
/* NUL-terminated copy, freed by the caller with mem_free; NULL when out of memory. */
char *str_dup(struct str s);
/* Copies into dst[cap] with a NUL; false (and an empty dst) when it does not fit. */
bool str_copy(char *dst, size_t cap, struct str s);
/* Length of the longest prefix of at most max bytes that does not cut a UTF-8 sequence. */
size_t str_utf8_floor(struct str s, size_t max);
/* True if s is well-formed UTF-8 (RFC 3629). */
bool str_utf8_valid(struct str s);

#endif
