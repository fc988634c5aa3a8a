/* SPDX-License-Identifier: MIT */
#include "plugin/base/json_int.h"

#include "plugin/base/mem.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- The strict check: one pass over the bytes, no allocation. ---- */

struct scan {
    const unsigned char *at, *end, *start;
    const char *fault;
    struct json_view *view; /* to be told; may be NULL */
    bool escaped;           /* the last string had escapes */
};

static bool fault(struct scan *s, const char *what)
{
    if (s->fault == NULL)
        s->fault = what;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool digits(struct scan *s)
{
    if (!is_digit(s))
        return fault(s, "a number lacks a digit");
    while (is_digit(s))
        s->at++;
    return true;
}

static bool number(struct scan *s)
{
    if (*s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0') {
        s->at++;
        if (is_digit(s))
            return fault(s, "a number begins with 0");
    } else if (!digits(s)) {
        return false;
    }
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!digits(s))
            return false;
    }
    return true;
}

static int hex4(struct scan *s)
{
    int v = 0;

    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = *s->at++;
        int d = c >= '0' && c <= '9' ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;

        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static bool unicode_escape(struct scan *s)
{
    int v = hex4(s);

    if (v < 0)
        return fault(s, "a \\u escape lacks four hex digits");
    if (v == 0)
        return fault(s, "a string holds NUL");
    if (v >= 0xdc00 && v <= 0xdfff)
        return fault(s, "a lone surrogate");
    if (v < 0xd800 || v > 0xdbff)
        return true;
    if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
        return fault(s, "a lone surrogate");
    s->at += 2;
    v = hex4(s);
    return (v >= 0xdc00 && v <= 0xdfff) || fault(s, "a lone surrogate");
}

/*
 * Bytes from s->at that are plain string content. Eight at a time: events are mostly strings, and this
 * check stands before every one of them. A byte is not plain if it is a control character, a quote or
 * a backslash; the arithmetic may flag a byte above such a one too, never one below it.
 */
static void skip_plain(struct scan *s)
{
    const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
    uint64_t w, quote, slash, hit;

    while (s->end - s->at >= (ptrdiff_t)sizeof w) {
        memcpy(&w, s->at, sizeof w);
        quote = w ^ ones * '"';
        slash = w ^ ones * '\\';
        hit = ((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
        hit &= highs;
        if (hit != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            s->at += __builtin_ctzll(hit) / 8;
#endif
            return;
        }
        s->at += sizeof w;
    }
}

static bool string(struct scan *s)
{
    s->at++;
    s->escaped = false;
    while (skip_plain(s), s->at < s->end) {
        unsigned char c = *s->at++;

        if (c == '"')
            return true;
        if (c < 0x20)
            return fault(s, "a raw control character in a string");
        if (c != '\\')
            continue;
        if (s->at == s->end)
            break;
        s->escaped = true;
        c = *s->at++;
        if (c == 'u') {
            if (!unicode_escape(s))
                return false;
        } else if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL) {
            return fault(s, "an unknown escape");
        }
    }
    return fault(s, "a string does not end");
}

/* kind: '"' or 'k', see struct json_mark. */
static bool noted_string(struct scan *s, char kind)
{
    const unsigned char *from = s->at + 1;
    uint32_t node;

    if (!string(s))
        return false;
    if (s->view == NULL)
        return true;
    node = json_view_put(s->view, kind, (size_t)(from - s->start), (size_t)(s->at - 1 - from));
    if (s->escaped)
        json_view_decode(s->view, node);
    return !s->view->no_memory || fault(s, "out of memory");
}

static bool word(struct scan *s, const char *w)
{
    size_t n = strlen(w);

    if ((size_t)(s->end - s->at) < n || memcmp(s->at, w, n) != 0)
        return fault(s, "an unknown word");
    s->at += n;
    return true;
}

static bool bare(struct scan *s)
{
    switch (*s->at) {
    case 't': return word(s, "true");
    case 'f': return word(s, "false");
    case 'n': return word(s, "null");
    default:
        if (*s->at == '-' || is_digit(s))
            return number(s);
        return fault(s, "an unexpected character");
    }
}

static bool scalar(struct scan *s)
{
    const unsigned char *from = s->at;

    if (*from == '"')
        return noted_string(s, '"');
    if (!bare(s))
        return false;
    if (s->view != NULL)
        (void)json_view_put(s->view, *from < 'a' ? '0' : (char)*from, (size_t)(from - s->start),
                            (size_t)(s->at - from));
    return true;
}

/* A member's name and its colon. */
static bool name(struct scan *s)
{
    skip_space(s);
    if (s->at == s->end || *s->at != '"')
        return fault(s, "a member lacks its name");
    if (!noted_string(s, 'k'))
        return false;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return fault(s, "a member lacks its colon");
    s->at++;
    return true;
}

struct nest { /* the containers that are open */
    int depth;
    char brace[JSON_MAX_DEPTH];
    uint32_t node[JSON_MAX_DEPTH]; /* of the view */
};

static void close_one(struct scan *s, struct nest *in)
{
    s->at++;
    in->depth--;
    if (s->view != NULL)
        json_view_close(s->view, in->node[in->depth]);
}

static bool closes(const struct scan *s, const struct nest *in)
{
    return s->at < s->end && *s->at == (in->brace[in->depth - 1] == '{' ? '}' : ']');
}

/* What may follow a finished value: closes containers, or stops behind a comma. */
static bool after_value(struct scan *s, struct nest *in)
{
    for (;;) {
        skip_space(s);
        if (in->depth == 0)
            return true;
        if (s->at == s->end)
            return fault(s, "the text ends too early");
        if (*s->at == ',') {
            s->at++;
            return in->brace[in->depth - 1] == '[' || name(s);
        }
        if (!closes(s, in))
            return fault(s, "a comma or a closing bracket is missing");
        close_one(s, in);
    }
}

/* Loops instead of recursing, so that depth costs some bytes and not a stack frame. */
static bool document(struct scan *s)
{
    struct nest in;

    in.depth = 0;
    do {
        skip_space(s);
        if (s->at == s->end)
            return fault(s, "the text ends too early");
        if (*s->at != '{' && *s->at != '[') {
            if (!scalar(s) || !after_value(s, &in))
                return false;
            continue;
        }
        if (in.depth == JSON_MAX_DEPTH)
            return fault(s, "nested too deep");
        if (s->view != NULL)
            in.node[in.depth] = json_view_put(s->view, (char)*s->at, (size_t)(s->at - s->start), 0);
        in.brace[in.depth++] = (char)*s->at++;
        skip_space(s);
        if (closes(s, &in)) {
            close_one(s, &in);
            if (!after_value(s, &in))
                return false;
        } else if (in.brace[in.depth - 1] == '{' && !name(s)) {
            return false;
        } else {
            /* The container's first value comes next, whatever the depth was. */
            continue;
        }
    } while (in.depth > 0);
    return s->at == s->end || fault(s, "something follows the value");
}

int json_scan(struct str text, struct json_view *v, struct err *e)
{
    const unsigned char *p = (const unsigned char *)text.p;
    struct scan s = {.at = p, .start = p, .view = v};
    bool good;

    if (text.n == 0)
        return err_set(e, ERR_INVALID, "no JSON: the text is empty");
    s.end = p + text.n;
    good = document(&s);
    if (v != NULL && v->no_memory)
        return err_set(e, ERR_NOMEM, "out of memory while reading JSON");
    if (!good)
        return err_set(e, ERR_INVALID, "no JSON: %s at byte %zu", s.fault, (size_t)(s.at - s.start));
    if (!str_utf8_valid(text))
        return err_set(e, ERR_INVALID, "no JSON: malformed UTF-8");
    return 0;
}

int json_check(struct str text, struct err *e)
{
    return json_scan(text, NULL, e);
}

/* ---- Reading. A struct json is a cJSON under another name. ---- */

static const cJSON *in(const struct json *node)
{
    return (const cJSON *)(const void *)node;
}

static const struct json *out(const cJSON *node)
{
    return (const struct json *)(const void *)node;
}

int json_parse(struct json **root, struct str text, struct err *e)
{
    cJSON *doc;
    int rc = json_check(text, e);

    if (rc < 0)
        return rc;
    doc = cJSON_ParseWithLength(text.p, text.n);
    if (doc == NULL)
        return err_set(e, ERR_NOMEM, "out of memory while reading JSON");
    *root = (struct json *)(void *)doc;
    return 0;
}

void json_free(struct json *root)
{
    cJSON_Delete((cJSON *)(void *)root);
}

const struct json *json_get(const struct json *node, const char *key)
{
    const cJSON *hit;

    if (!cJSON_IsObject(in(node)))
        return NULL;
    hit = cJSON_GetObjectItemCaseSensitive(in(node), key);
    return cJSON_IsNull(hit) ? NULL : out(hit);
}

const struct json *json_at(const struct json *node, const char *k1, const char *k2)
{
    return json_get(json_get(node, k1), k2);
}

const struct json *json_first(const struct json *node)
{
    return cJSON_IsObject(in(node)) || cJSON_IsArray(in(node)) ? out(in(node)->child) : NULL;
}

const struct json *json_next(const struct json *node)
{
    return node ? out(in(node)->next) : NULL;
}

struct str json_key(const struct json *node)
{
    return node ? str_of(in(node)->string) : STR_NONE;
}

bool json_is_object(const struct json *node)
{
    return cJSON_IsObject(in(node));
}

bool json_is_array(const struct json *node)
{
    return cJSON_IsArray(in(node));
}

bool json_is_string(const struct json *node)
{
    return cJSON_IsString(in(node));
}

bool json_is_number(const struct json *node)
{
    return cJSON_IsNumber(in(node));
}

bool json_is_bool(const struct json *node)
{
    return cJSON_IsBool(in(node));
}

struct str json_str(const struct json *node)
{
    return cJSON_IsString(in(node)) ? str_of(in(node)->valuestring) : STR_NONE;
}

struct str json_get_str(const struct json *node, const char *key)
{
    return json_str(json_get(node, key));
}

int64_t json_int(const struct json *node, int64_t def)
{
    double v;

    if (!cJSON_IsNumber(in(node)))
        return def;
    v = in(node)->valuedouble;
    if (isnan(v))
        return def;
    if (v >= 9.2233720368547748e18)
        return INT64_MAX;
    if (v <= -9.2233720368547758e18)
        return INT64_MIN;
    return (int64_t)v;
}

int64_t json_get_int(const struct json *node, const char *key, int64_t def)
{
    return json_int(json_get(node, key), def);
}

double json_num(const struct json *node, double def)
{
    return cJSON_IsNumber(in(node)) ? in(node)->valuedouble : def;
}

bool json_bool(const struct json *node, bool def)
{
    return cJSON_IsBool(in(node)) ? cJSON_IsTrue(in(node)) : def;
}

bool json_get_bool(const struct json *node, const char *key, bool def)
{
    return json_bool(json_get(node, key), def);
}

static void write_value(const cJSON *v, struct buf *b)
{
    if (cJSON_IsString(v)) {
        jw_str(b, str_of(v->valuestring));
    } else if (cJSON_IsNumber(v)) {
        jw_num(b, v->valuedouble);
    } else if (cJSON_IsBool(v)) {
        jw_bool(b, cJSON_IsTrue(v));
    } else if (cJSON_IsObject(v) || cJSON_IsArray(v)) {
        jw_open(b, cJSON_IsObject(v) ? '{' : '[');
        for (const cJSON *c = v->child; c != NULL; c = c->next) {
            if (cJSON_IsObject(v))
                jw_key(b, c->string);
            write_value(c, b); /* as deep as the parser's limit */
        }
        jw_close(b, cJSON_IsObject(v) ? '}' : ']');
    } else {
        jw_null(b);
    }
}

int json_write(const struct json *node, struct buf *b)
{
    write_value(in(node), b);
    return b->rc;
}

/* ---- Writing. ---- */

/* A comma is due when a value was finished before this one. */
static void separate(struct buf *b)
{
    char last = b->n > 0 ? b->p[b->n - 1] : '\0';

    if (last != '\0' && last != '{' && last != '[' && last != ':' && last != ' ' && last != '\n')
        (void)buf_putc(b, ',');
}

void jw_open(struct buf *b, char brace)
{
    separate(b);
    (void)buf_putc(b, brace);
}

void jw_close(struct buf *b, char brace)
{
    (void)buf_putc(b, brace);
}

static void escaped(struct buf *b, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *hit = strchr(from, c);

    if (hit != NULL) {
        (void)buf_putc(b, '\\');
        (void)buf_putc(b, to[hit - from]);
    } else {
        (void)buf_printf(b, "\\u%04x", c);
    }
}

static void quoted(struct buf *b, struct str s)
{
    bool good = str_utf8_valid(s);
    size_t from = 0;

    (void)buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && (good || c < 0x80))
            continue;
        (void)buf_put(b, s.p + from, i - from);
        from = i + 1;
        if (c >= 0x80)
            (void)buf_puts(b, STR("\xef\xbf\xbd"));
        else
            escaped(b, c);
    }
    (void)buf_put(b, s.p + from, s.n - from);
    (void)buf_putc(b, '"');
}

void jw_key(struct buf *b, const char *key)
{
    separate(b);
    quoted(b, str_of(key));
    (void)buf_putc(b, ':');
}

void jw_str(struct buf *b, struct str s)
{
    separate(b);
    quoted(b, s);
}

void jw_int(struct buf *b, int64_t v)
{
    separate(b);
    (void)buf_printf(b, "%lld", (long long)v);
}

void jw_num(struct buf *b, double v)
{
    char text[32];
    double back = 0;

    separate(b);
    if (isnan(v) || isinf(v)) {
        (void)buf_puts(b, STR("null"));
        return;
    }
    if (fabs(v) < 9007199254740992.0 && v == (double)(int64_t)v) {
        (void)buf_printf(b, "%lld", (long long)v);
        return;
    }
    /* The shorter of two spellings that reads back as the same number. */
    (void)snprintf(text, sizeof text, "%1.15g", v);
    if (sscanf(text, "%lg", &back) != 1 || back != v)
        (void)snprintf(text, sizeof text, "%1.17g", v);
    (void)buf_puts(b, str_of(text));
}

void jw_bool(struct buf *b, bool v)
{
    separate(b);
    (void)buf_puts(b, v ? STR("true") : STR("false"));
}

void jw_null(struct buf *b)
{
    separate(b);
    (void)buf_puts(b, STR("null"));
}

void jw_raw(struct buf *b, struct str json)
{
    /* separate() looks at the last byte: white space behind the value would hide that one was finished. */
    while (json.n > 0 && strchr(" \t\r\n", json.p[json.n - 1]) != NULL)
        json.n--;
    separate(b);
    (void)buf_puts(b, json);
}

void jw_node(struct buf *b, const struct json *node)
{
    write_value(in(node), b);
}

void jw_kstr(struct buf *b, const char *key, struct str s)
{
    jw_key(b, key);
    jw_str(b, s);
}

void jw_kstrc(struct buf *b, const char *key, const char *s)
{
    jw_key(b, key);
    if (s != NULL)
        jw_str(b, str_of(s));
    else
        jw_null(b);
}

void jw_kint(struct buf *b, const char *key, int64_t v)
{
    jw_key(b, key);
    jw_int(b, v);
}

void jw_kbool(struct buf *b, const char *key, bool v)
{
    jw_key(b, key);
    jw_bool(b, v);
}

void jw_kraw(struct buf *b, const char *key, struct str json)
{
    jw_key(b, key);
    jw_raw(b, json);
}
