/* SPDX-License-Identifier: MIT */
/*
 * JSON text: what the check takes is what the parser and a second reader take; what is looked up without a tree is what
 * the tree says; what is written reads back as the same.
 */
/* covers: plugin/base/json.c plugin/base/json_view.c plugin/base/json_peek.c */
#include "plugin/base/json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json_strict.h"

static void walk(const struct json *node, unsigned depth)
{
    FUZZ_MUST(depth <= JSON_MAX_DEPTH + 1);
    FUZZ_MUST(!str_has_nul(json_str(node)) && str_utf8_valid(json_str(node)));
    (void)json_int(node, 0);
    (void)json_num(node, 0);
    for (const struct json *i = json_first(node); i != NULL; i = json_next(i)) {
        if (json_is_object(node))
            FUZZ_MUST(!str_has_nul(json_key(i)) && str_utf8_valid(json_key(i)));
        walk(i, depth + 1);
    }
}

/* The view says of every value what the tree says. */
static void same(const struct json_view *v, uint32_t at, const struct json *node)
{
    uint32_t item = JSON_NO_NODE;

    FUZZ_MUST(str_eq(json_view_str(v, at), json_str(node)) && (json_view_str(v, at).p == NULL) == !json_is_string(node));
    FUZZ_MUST(json_view_is_object(v, at) == json_is_object(node));
    if (!fuzz_starved)
        FUZZ_MUST(json_view_int(v, at, 7) == json_int(node, 7));
    for (const struct json *i = json_first(node); i != NULL; i = json_next(i)) {
        if (json_is_array(node)) {
            item = json_view_item(v, at, item);
            same(v, item, i);
        } else if (json_get(node, json_key(i).p) == i) { /* the first of its name, and no null */
            same(v, json_view_get(v, at, json_key(i).p), i);
        } else {
            FUZZ_MUST(json_view_get(v, at, json_key(i).p) == JSON_NO_NODE || json_get(node, json_key(i).p) != NULL);
        }
    }
    FUZZ_MUST(json_view_item(v, at, item) == JSON_NO_NODE || (json_is_array(node) && json_first(node) == NULL));
}

static void view(struct str in, const struct json *doc, int check)
{
    struct json_view v;
    int rc = json_view_read(&v, in, NULL);

    FUZZ_MUST((check == 0) == (rc == 0) || (fuzz_starved && rc == ERR_NOMEM));
    if (rc < 0)
        return;
    if (doc != NULL)
        same(&v, 0, doc);
    json_view_free(&v);
}

/* Values one by one, as callers write them. */
static void write_by_hand(const struct json *doc, struct str in, struct buf *out)
{
    jw_open(out, '[');
    jw_open(out, '{');
    jw_kstr(out, "s", in);
    jw_kstrc(out, "c", in.n % 2 ? NULL : "x");
    jw_kint(out, "i", json_int(doc, -1));
    jw_kbool(out, "b", json_bool(doc, true));
    jw_key(out, "n");
    jw_num(out, json_num(doc, 0.5));
    jw_key(out, "d");
    jw_node(out, doc);
    jw_kraw(out, "r", STR("[1, 2]"));
    jw_close(out, '}');
    jw_null(out);
    jw_close(out, ']');
    (void)json_at(doc, "a", "b");
    (void)json_get_int(doc, "a", 0);
    (void)json_get_bool(doc, "a", false);
    (void)(json_is_number(doc) && json_is_bool(doc));
}

/* A look without a tree finds what the tree has, unless an escape stands in the way. */
static void looked_up(const struct json *doc, struct str raw, struct str text)
{
    struct str said = json_get_str(doc, "type");
    struct json *alone = NULL;

    if (text.p != NULL)
        FUZZ_MUST(json_is_object(doc) && str_eq(text, said));
    if (raw.p != NULL && json_parse(&alone, raw, NULL) == 0) {
        FUZZ_MUST(str_eq(json_str(alone), said));
        json_free(alone);
    } else if (raw.p != NULL) {
        FUZZ_MUST(fuzz_starved);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct json *doc = NULL, *again = NULL;
    struct buf out, second;
    struct err e = {0};
    int check = json_check(in, &e), rc = json_parse(&doc, in, &e);
    struct str peek = json_peek(in, "type"), text = json_peek_str(in, "type");

    FUZZ_MUST(fuzz_inside(peek, in) && fuzz_inside(text, in));
    FUZZ_MUST((check == 0) == json_strict(in));
    FUZZ_MUST((check == 0) == (rc == 0) || (fuzz_starved && rc < 0));
    view(in, rc == 0 ? doc : NULL, check);
    buf_init(&out, 1u << 22);
    buf_init(&second, 1u << 22);
    if (rc == 0) {
        walk(doc, 0);
        looked_up(doc, peek, text);
        if (json_write(doc, &out) == 0) {
            FUZZ_MUST(json_check(buf_str(&out), &e) == 0);
            if (json_parse(&again, buf_str(&out), &e) == 0 && json_write(again, &second) == 0)
                FUZZ_MUST(str_eq(buf_str(&out), buf_str(&second)));
            else
                FUZZ_MUST(fuzz_starved);
        } else {
            FUZZ_MUST(fuzz_starved);
        }
    }
    buf_clear(&out);
    jw_str(&out, in);
    /* But for a NUL, which is written as it is and refused. */
    FUZZ_MUST(fuzz_starved || str_has_nul(in) || json_check(buf_str(&out), &e) == 0);
    if (doc != NULL && !str_has_nul(in)) {
        buf_clear(&out);
        write_by_hand(doc, in, &out);
        FUZZ_MUST(out.rc < 0 || json_check(buf_str(&out), &e) == 0 || size > JSON_MAX_DEPTH);
    }
    json_free(doc);
    json_free(again);
    buf_free(&out);
    buf_free(&second);
    return 0;
}
