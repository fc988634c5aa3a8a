/* SPDX-License-Identifier: MIT */
#include "plugin/base/json_int.h"

#include "plugin/base/mem.h"

#include <string.h>

/* ---- Taking notes, for the check. ---- */

static struct json_mark *mark(const struct json_view *v, uint32_t i)
{
    return (struct json_mark *)(i < JSON_VIEW_FIRST ? &v->first[i] : &v->more[i - JSON_VIEW_FIRST]);
}

static bool grow(struct json_view *v)
{
    uint32_t cap = v->cap > 0 ? 2 * v->cap : 4 * JSON_VIEW_FIRST;
    struct json_mark *more = mem_realloc(v->more, cap * sizeof *more);

    if (more == NULL) {
        v->no_memory = true;
        return false;
    }
    v->more = more;
    v->cap = cap;
    return true;
}

uint32_t json_view_put(struct json_view *v, char kind, size_t at, size_t n)
{
    if (v->n >= JSON_VIEW_FIRST && v->n - JSON_VIEW_FIRST == v->cap && !grow(v))
        return JSON_NO_NODE;
    *mark(v, v->n) = (struct json_mark){(uint32_t)at, (uint32_t)n, v->n + 1, kind, false};
    return v->n++;
}

void json_view_close(struct json_view *v, uint32_t node)
{
    if (node != JSON_NO_NODE)
        mark(v, node)->next = v->n;
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;

    for (int i = 0; i < 4; i++)
        v = v * 16 + (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    return v;
}

static size_t put_utf8(char *out, unsigned c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* The bytes that one escape stands for; *p is behind its backslash and moves behind it all. */
static size_t put_escape(char *out, const char **p)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = *(*p)++;
    const char *hit = strchr(from, c);
    unsigned v;

    if (c != 'u') {
        *out = hit != NULL ? to[hit - from] : c;
        return 1;
    }
    v = hex4(*p);
    *p += 4;
    if (v >= 0xd800 && v <= 0xdbff) { /* the check saw to the other half */
        v = 0x10000 + ((v - 0xd800) << 10) + (hex4(*p + 2) - 0xdc00);
        *p += 6;
    }
    return put_utf8(out, v);
}

/* No escape is shorter than what it means, so all strings decoded fit into the length of the text. */
void json_view_decode(struct json_view *v, uint32_t node)
{
    struct json_mark *m;
    const char *p, *end;
    char *out;

    if (node == JSON_NO_NODE)
        return;
    if (v->decoded == NULL) {
        v->decoded = mem_alloc(v->text.n);
        v->no_memory |= v->decoded == NULL;
        if (v->decoded == NULL)
            return;
    }
    m = mark(v, node);
    p = v->text.p + m->at;
    end = p + m->n;
    out = v->decoded + v->n_decoded;
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((slash != NULL ? slash : end) - p);

        memcpy(out, p, plain);
        out += plain;
        p += plain;
        if (slash != NULL) {
            p++;
            out += put_escape(out, &p);
        }
    }
    m->at = (uint32_t)v->n_decoded;
    m->n = (uint32_t)((size_t)(out - v->decoded) - v->n_decoded);
    m->decoded = true;
    v->n_decoded += m->n;
}

/* ---- Reading. ---- */

int json_view_read(struct json_view *v, struct str text, struct err *e)
{
    int rc;

    v->text = text;
    v->decoded = NULL;
    v->more = NULL;
    v->n_decoded = 0;
    v->n = v->cap = 0;
    v->no_memory = false;
    if (text.n >= UINT32_MAX / 2)
        return err_set(e, ERR_INVALID, "no JSON: the text is too long");
    rc = json_scan(text, v, e);
    if (rc < 0)
        json_view_free(v);
    return rc;
}

void json_view_free(struct json_view *v)
{
    mem_free(v->decoded);
    mem_free(v->more);
    v->decoded = NULL;
    v->more = NULL;
    v->n = v->cap = 0;
}

static bool is(const struct json_view *v, uint32_t node, char kind)
{
    return node < v->n && mark(v, node)->kind == kind;
}

static struct str content(const struct json_view *v, const struct json_mark *m)
{
    return str_make((m->decoded ? v->decoded : v->text.p) + m->at, m->n);
}

uint32_t json_view_get(const struct json_view *v, uint32_t node, const char *key)
{
    struct str want = str_of(key);
    uint32_t end;

    if (!is(v, node, '{'))
        return JSON_NO_NODE;
    end = mark(v, node)->next;
    for (uint32_t i = node + 1; i < end; i = mark(v, i + 1)->next)
        if (str_eq(content(v, mark(v, i)), want))
            return mark(v, i + 1)->kind == 'n' ? JSON_NO_NODE : i + 1;
    return JSON_NO_NODE;
}

uint32_t json_view_item(const struct json_view *v, uint32_t array, uint32_t item)
{
    uint32_t next;

    if (!is(v, array, '['))
        return JSON_NO_NODE;
    next = item == JSON_NO_NODE ? array + 1 : mark(v, item)->next;
    return next < mark(v, array)->next ? next : JSON_NO_NODE;
}

bool json_view_is_object(const struct json_view *v, uint32_t node)
{
    return is(v, node, '{');
}

struct str json_view_str(const struct json_view *v, uint32_t node)
{
    return is(v, node, '"') ? content(v, mark(v, node)) : STR_NONE;
}

int64_t json_view_int(const struct json_view *v, uint32_t node, int64_t def)
{
    struct json *number = NULL;
    uint64_t plain = 0;
    struct str text;
    int64_t n = def;

    if (!is(v, node, '0'))
        return def;
    text = content(v, mark(v, node));
    if (text.n <= 15 && str_u64(text, &plain))
        return (int64_t)plain;
    if (json_parse(&number, text, NULL) == 0) /* a sign, a fraction, an exponent, or very long */
        n = json_int(number, def);
    json_free(number);
    return n;
}
