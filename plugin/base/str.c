/* SPDX-License-Identifier: MIT */
#include "plugin/base/str.h"

#include "plugin/base/mem.h"

#include <string.h>
#include <strings.h>

struct str str_of(const char *c)
{
    return (struct str){c, c ? strlen(c) : 0};
}

bool str_eqc(struct str a, const char *c)
{
    return str_eq(a, str_of(c));
}

bool str_ieq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

bool str_istarts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_ieq(str_head(s, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix);
}

bool str_has_nul(struct str s)
{
    return s.n > 0 && memchr(s.p, '\0', s.n) != NULL;
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_skip(s, 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

size_t str_find(struct str s, char c)
{
    const char *hit = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

    return hit ? (size_t)(hit - s.p) : s.n;
}

size_t str_find_str(struct str s, struct str needle)
{
    const char *hit;

    if (s.n == 0 || needle.n == 0)
        return needle.n == 0 ? 0 : s.n;
    hit = memmem(s.p, s.n, needle.p, needle.n);
    return hit ? (size_t)(hit - s.p) : s.n;
}

bool str_split(struct str *rest, char sep, struct str *part)
{
    size_t at;

    if (rest->p == NULL)
        return false;
    at = str_find(*rest, sep);
    *part = str_head(*rest, at);
    *rest = at == rest->n ? STR_NONE : str_skip(*rest, at + 1);
    return true;
}

bool str_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

        if (d > 9 || v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

char *str_dup(struct str s)
{
    return mem_dup(s.p, s.n);
}

bool str_copy(char *dst, size_t cap, struct str s)
{
    if (cap == 0)
        return false;
    dst[0] = '\0';
    if (s.n >= cap)
        return false;
    if (s.n > 0)
        memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
    return true;
}

size_t str_utf8_floor(struct str s, size_t max)
{
    size_t n = max < s.n ? max : s.n;

    if (n == s.n)
        return n;
    while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* Bytes of the well-formed sequence at p (at most n), 0 if malformed. Table 3-7 of Unicode. */
static size_t sequence(const unsigned char *p, size_t n)
{
    unsigned char lo = 0x80, hi = 0xbf;
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < len)
        return 0;
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool str_utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0, len;
    uint64_t word;

    while (i < s.n) {
        /* Most text is ASCII, and that can be seen eight bytes at a time. */
        while (s.n - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if (word & 0x8080808080808080ull)
                break;
            i += sizeof word;
        }
        if (i == s.n)
            break;
        len = sequence(p + i, s.n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}
