/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_JSON_STRICT_H
#define TESTS_FUZZ_JSON_STRICT_H
/*
 * A second reader of JSON (RFC 8259 with the limits of json.h), by recursion and one code point at a time, to be
 * compared with the product's. It says only yes or no.
 */
#include "plugin/base/json.h"
#include "tests/fuzz/fuzz.h"

struct strict {
    struct str in; /* what is left */
};

static inline int strict_next(const struct strict *s)
{
    return s->in.n > 0 ? (unsigned char)s->in.p[0] : -1;
}

static inline bool strict_take(struct strict *s, const char *one_of)
{
    int c = strict_next(s);

    if (c <= 0 || strchr(one_of, c) == NULL)
        return false;
    s->in = str_skip(s->in, 1);
    return true;
}

static inline void strict_blanks(struct strict *s)
{
    while (strict_take(s, " \t\r\n"))
        ;
}

static inline bool strict_digits(struct strict *s)
{
    bool any = false;

    while (strict_take(s, "0123456789"))
        any = true;
    return any;
}

static inline bool strict_number(struct strict *s)
{
    (void)strict_take(s, "-");
    if (!strict_take(s, "0") && !strict_digits(s))
        return false;
    if (strict_take(s, ".") && !strict_digits(s))
        return false;
    if (strict_take(s, "eE")) {
        (void)strict_take(s, "+-");
        return strict_digits(s);
    }
    return true;
}

/* Behind \u: the unit, or 0, which is as bad as none. */
static inline unsigned strict_unit(struct strict *s)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    unsigned v = 0;

    for (unsigned i = 0; i < 4; i++) {
        int c = strict_next(s);

        if (!strict_take(s, hex))
            return 0;
        v = v * 16 + (unsigned)(c <= '9' ? c - '0' : (c & ~32) - 'A' + 10);
    }
    return v;
}

static inline bool strict_escape(struct strict *s)
{
    unsigned v;

    if (strict_take(s, "\"\\/bfnrt"))
        return true;
    if (!strict_take(s, "u") || (v = strict_unit(s)) == 0)
        return false;
    if (v < 0xd800 || v > 0xdfff)
        return true;
    if (v > 0xdbff || !strict_take(s, "\\") || !strict_take(s, "u"))
        return false;
    v = strict_unit(s);
    return v >= 0xdc00 && v <= 0xdfff;
}

/* One code point of UTF-8: RFC 3629, 4, by value and not by table. */
static inline bool strict_point(struct strict *s)
{
    static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
    unsigned c = (unsigned)strict_next(s), more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 9;
    unsigned v = more == 0 ? c : c & (0x3fu >> more);

    if (more == 9 || more >= s->in.n)
        return false;
    for (unsigned i = 1; i <= more; i++) {
        unsigned next = (unsigned char)s->in.p[i];

        if (next >> 6 != 2)
            return false;
        v = v << 6 | (next & 0x3f);
    }
    s->in = str_skip(s->in, more + 1u);
    return v >= least[more] && v <= 0x10ffff && v >> 11 != 0x1b;
}

static inline bool strict_string(struct strict *s)
{
    if (!strict_take(s, "\""))
        return false;
    while (!strict_take(s, "\"")) {
        if (strict_next(s) < 0x20)
            return false;
        if (strict_take(s, "\\") ? !strict_escape(s) : !strict_point(s))
            return false;
    }
    return true;
}

static inline bool strict_word(struct strict *s, const char *word)
{
    if (!str_starts(s->in, str_of(word)))
        return false;
    s->in = str_skip(s->in, strlen(word));
    return true;
}

static inline bool strict_value(struct strict *s, unsigned deep)
{
    const char *close;
    bool named;

    strict_blanks(s);
    if (strict_next(s) == '"')
        return strict_string(s);
    if (strict_next(s) != '{' && strict_next(s) != '[')
        return strict_word(s, "true") || strict_word(s, "false") || strict_word(s, "null") || strict_number(s);
    named = strict_next(s) == '{';
    close = named ? "}" : "]";
    if (deep == 0 || !strict_take(s, "{["))
        return false;
    strict_blanks(s);
    if (strict_take(s, close))
        return true;
    do {
        strict_blanks(s);
        if (named) {
            if (!strict_string(s))
                return false;
            strict_blanks(s);
            if (!strict_take(s, ":"))
                return false;
        }
        if (!strict_value(s, deep - 1))
            return false;
        strict_blanks(s);
    } while (strict_take(s, ","));
    return strict_take(s, close);
}

static inline bool json_strict(struct str text)
{
    struct strict s = {text};

    if (!strict_value(&s, JSON_MAX_DEPTH))
        return false;
    strict_blanks(&s);
    return s.in.n == 0;
}

#endif
