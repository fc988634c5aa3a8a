/* SPDX-License-Identifier: MIT */
/* One member of an object's text, without a tree: a scanner that skips values. */
#include "plugin/base/json.h"

#include <string.h>

struct scan {
    const char *at, *end;
};

/* Of a text that is not empty: nothing may be added to a null pointer, not even 0. */
static struct scan scan_of(struct str text)
{
    return (struct scan){text.p, text.p + text.n};
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool skip_char(struct scan *s, char c)
{
    skip_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* A string as it is written, without its quotes; `plain` when it has no escapes. */
static bool scan_string(struct scan *s, struct str *raw, bool *plain)
{
    const char *from, *quote;

    if (!skip_char(s, '"'))
        return false;
    from = s->at;
    *plain = true;
    while ((quote = memchr(s->at, '"', (size_t)(s->end - s->at))) != NULL) {
        const char *slash = memchr(s->at, '\\', (size_t)(quote - s->at));

        if (slash == NULL) {
            *raw = str_make(from, (size_t)(quote - from));
            s->at = quote + 1;
            return true;
        }
        *plain = false;
        s->at = slash + 2; /* at most behind the quote that it escapes */
    }
    return false;
}

/* Moves behind one value, to the comma or brace that ends it. Counts brackets, not their kinds. */
static bool skip_value(struct scan *s)
{
    struct str raw;
    bool plain;
    size_t depth = 0;

    skip_space(s);
    while (s->at < s->end) {
        char c = *s->at;

        if (c == '"') {
            if (!scan_string(s, &raw, &plain))
                return false;
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return true;
        else if (c == '}' || c == ']')
            depth--;
        s->at++;
    }
    return false;
}

/* Moves to the value of the first member of that name, of the object that comes next. */
static bool find_member(struct scan *s, struct str key)
{
    struct str name;
    bool plain;

    if (!skip_char(s, '{'))
        return false;
    for (;;) {
        if (!scan_string(s, &name, &plain) || !skip_char(s, ':') || !plain)
            return false;
        skip_space(s);
        if (str_eq(name, key))
            return true;
        if (!skip_value(s) || !skip_char(s, ','))
            return false;
    }
}

static struct str plain_string(struct scan *s)
{
    struct str value;
    bool plain;

    return scan_string(s, &value, &plain) && plain ? value : STR_NONE;
}

struct str json_peek(struct str text, const char *key)
{
    struct scan s;
    const char *from;

    if (text.n == 0)
        return STR_NONE;
    s = scan_of(text);
    if (!find_member(&s, str_of(key)))
        return STR_NONE;
    from = s.at;
    return skip_value(&s) ? str_make(from, (size_t)(s.at - from)) : STR_NONE;
}

struct str json_peek_str(struct str text, const char *key)
{
    struct str raw = json_peek(text, key);
    struct scan s;

    if (raw.n == 0)
        return STR_NONE;
    s = scan_of(raw);
    return plain_string(&s);
}

struct str json_peek_str_in(struct str text, const char *outer, const char *key)
{
    struct scan s;

    if (text.n == 0)
        return STR_NONE;
    s = scan_of(text);
    if (!find_member(&s, str_of(outer)) || !find_member(&s, str_of(key)))
        return STR_NONE;
    return plain_string(&s);
}
