/* SPDX-License-Identifier: MIT */
#include "plugin/proto/range.h"

/* All digits; a number too large for 64 bits is beyond every end, and so the largest. */
static bool number(struct str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(s.p[i] - '0');

        if (digit > 9)
            return false;
        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    *out = v;
    return true;
}

static enum range_kind suffix(struct str last, uint64_t size, uint64_t *from, uint64_t *n)
{
    uint64_t want;

    if (!number(last, &want))
        return RANGE_WHOLE;
    if (want == 0 || size == 0)
        return RANGE_NONE;
    *n = want < size ? want : size;
    *from = size - *n;
    return RANGE_PART;
}

enum range_kind range_read(struct str field, uint64_t size, uint64_t *from, uint64_t *n)
{
    struct str spec = str_trim(field), first, last;
    uint64_t a, b = UINT64_MAX;
    size_t dash;

    *from = 0;
    *n = size;
    if (!str_istarts(spec, STR("bytes=")))
        return RANGE_WHOLE;
    spec = str_trim(str_skip(spec, 6));
    dash = str_find(spec, '-');
    if (dash == spec.n)
        return RANGE_WHOLE;
    first = str_head(spec, dash);
    last = str_skip(spec, dash + 1);
    if (first.n == 0)
        return suffix(last, size, from, n);
    if (!number(first, &a) || (last.n > 0 && (!number(last, &b) || b < a)))
        return RANGE_WHOLE;
    if (a >= size)
        return RANGE_NONE;
    *from = a;
    *n = (b < size - 1 ? b : size - 1) - a + 1;
    return RANGE_PART;
}

bool range_if(struct str field, struct str etag)
{
    return str_eq(str_trim(field), etag);
}

bool range_if_none(struct str field, struct str etag)
{
    struct str part;

    if (str_eq(str_trim(field), STR("*")))
        return true;
    /* Our tags hold no comma, so that a foreign one which does cannot look like ours. */
    while (field.n > 0 && str_split(&field, ',', &part)) {
        part = str_trim(part);
        if (str_starts(part, STR("W/")))
            part = str_skip(part, 2);
        if (str_eq(part, etag))
            return true;
    }
    return false;
}
