/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_JSON_H
#define PLUGIN_BASE_JSON_H
/*
 * JSON text (RFC 8259) in and out. Reading: a strict check first (cJSON alone takes `1.`, `-01`, raw
 * control characters and broken UTF-8), with limits on depth and size, then cJSON behind opaque nodes.
 * Writing: straight into a struct buf. Nodes are owned by their root; slices live as long as the root.
 * A document is used by one thread at a time.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct json; /* a node */

#define JSON_MAX_DEPTH 64

/*
 * Strict check: one JSON text, well-formed UTF-8, no NUL escape in any string, no lone surrogate,
 * nesting at most JSON_MAX_DEPTH. 0 or ERR_INVALID (e says what at which byte).
 */
int json_check(struct str text, struct err *e);
/* Checks and parses; *out is freed with json_free(). ERR_INVALID, ERR_NOMEM. */
int json_parse(struct json **out, struct str text, struct err *e);
void json_free(struct json *root); /* NULL is fine */

/*
 * A document read without a tree: the strict check notes where each value stands, in one pass. For what is looked at
 * once and let go. Nodes are numbers, JSON_NO_NODE for none; the root is 0. Strings are borrowed from the text, or
 * from the view where they had escapes. Not to be copied while it is in use.
 */
#define JSON_NO_NODE UINT32_MAX
#define JSON_VIEW_FIRST 160u

struct json_mark { /* of one value or name */
    uint32_t at, n; /* a string's content, a number's or word's text */
    uint32_t next;  /* the first mark behind it and all that is in it */
    char kind;      /* '{' '[' '"', 'k' for a name, '0' for numbers, else the word's first letter */
    bool decoded;   /* at: in `decoded`, not in the text */
};

struct json_view {
    struct str text;
    char *decoded; /* strings that were written with escapes */
    size_t n_decoded;
    struct json_mark *more; /* behind `first` */
    uint32_t n, cap;
    bool no_memory;
    struct json_mark first[JSON_VIEW_FIRST];
};

/* Checks as json_check() and reads. ERR_INVALID, ERR_NOMEM; v is to be freed only after 0. */
int json_view_read(struct json_view *v, struct str text, struct err *e);
void json_view_free(struct json_view *v); /* may be called again */
/* As json_get(): a member, JSON_NO_NODE for a missing one, a null, or when node is none or no object. */
uint32_t json_view_get(const struct json_view *v, uint32_t node, const char *key);
/* Items of an array one after the other: `item` JSON_NO_NODE asks for the first. */
uint32_t json_view_item(const struct json_view *v, uint32_t array, uint32_t item);
bool json_view_is_object(const struct json_view *v, uint32_t node);
/* As json_str(), json_int(). */
struct str json_view_str(const struct json_view *v, uint32_t node);
int64_t json_view_int(const struct json_view *v, uint32_t node, int64_t def);

/*
 * The first member of that name in the text of an object, as it is written, without a check or a tree: for a look
 * before the text is parsed, or instead. STR_NONE: there is none, the text is broken before its end, or a name
 * before it is written with escapes, which only the parser reads.
 */
struct str json_peek(struct str text, const char *key);
/* The same for a string without escapes; STR_NONE for every other value. */
struct str json_peek_str(struct str text, const char *key);
/* The same for the member `key` of the object that is the member `outer`; nothing behind it is looked at. */
struct str json_peek_str_in(struct str text, const char *outer, const char *key);

/* Members and items; NULL for a missing one, a null, or when node is NULL or of another type. */
const struct json *json_get(const struct json *node, const char *key);
const struct json *json_at(const struct json *node, const char *k1, const char *k2); /* node.k1.k2 */
const struct json *json_first(const struct json *node); /* first item or member */
const struct json *json_next(const struct json *node);
struct str json_key(const struct json *node); /* the node's name in its object */

bool json_is_object(const struct json *node);
bool json_is_array(const struct json *node);
bool json_is_string(const struct json *node);
bool json_is_number(const struct json *node);
bool json_is_bool(const struct json *node);

/* Value of the node; STR_NONE (p == NULL) when it is no string. */
struct str json_str(const struct json *node);
/* String member: json_str(json_get(node, key)). */
struct str json_get_str(const struct json *node, const char *key);
/* Number as integer (rounded towards zero, clamped), or def. */
int64_t json_int(const struct json *node, int64_t def);
int64_t json_get_int(const struct json *node, const char *key, int64_t def);
double json_num(const struct json *node, double def);
bool json_bool(const struct json *node, bool def);
bool json_get_bool(const struct json *node, const char *key, bool def);

/* Writes the node as compact JSON text. */
int json_write(const struct json *node, struct buf *out);

/*
 * Writer. Commas are placed by looking at what was written last, so calls just follow one another:
 * jw_open(b, '{'); jw_key(b, "a"); jw_int(b, 1); jw_close(b, '}'). Failures stick in b->rc.
 */
void jw_open(struct buf *b, char brace);  /* '{' or '[' */
void jw_close(struct buf *b, char brace); /* '}' or ']' */
void jw_key(struct buf *b, const char *key);
void jw_str(struct buf *b, struct str s); /* malformed UTF-8 is replaced by U+FFFD */
void jw_int(struct buf *b, int64_t v);
void jw_num(struct buf *b, double v);
void jw_bool(struct buf *b, bool v);
void jw_null(struct buf *b);
void jw_raw(struct buf *b, struct str json);          /* a finished JSON value */
void jw_node(struct buf *b, const struct json *node); /* null when NULL */
/* Key and value at once. */
void jw_kstr(struct buf *b, const char *key, struct str s);
void jw_kstrc(struct buf *b, const char *key, const char *s); /* null when NULL */
void jw_kint(struct buf *b, const char *key, int64_t v);
void jw_kbool(struct buf *b, const char *key, bool v);
void jw_kraw(struct buf *b, const char *key, struct str json);

#endif
