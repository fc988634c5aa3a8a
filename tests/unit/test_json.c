/* SPDX-License-Identifier: MIT */
#include "plugin/base/json.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#include <math.h>

/* After JSONTestSuite's classes: what every reader must take and what every reader must refuse. */
static const char *const good[] = {
    "null", "true", "false", "0", "-0", "1", "-1", "123.5", "0.5", "1e5", "1E+5", "1e-5", "-0.0e0",
    "1.5e300", "\"\"", "\"a\"", "[]", "{}", "[1,2]", " [ 1 , 2 ] ", "{\"a\":1}", "{ \"a\" : { } }",
    "\t\r\n1 ", "[[[]]]", "{\"a\":[],\"b\":{}}", "[{\"a\":1},{\"b\":[2]}]", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0041\\u00e9\\uD834\\uDD1E\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\"", "\"\x7f\"",
    "{\"a\":1,\"a\":2}", "{\"\":0}", "[null,true,false]", "\"\\uFFFF\"", "\"\\u0001\"",
    "[0,1,-2,3.25,4e2]", "{\"a\":{\"b\":{\"c\":[]}}}",
};

static const char *const bad[] = {
    "", " ", "nul", "nulll", "True", "tru", "NaN", "Infinity", "-Infinity", "-", "+1", "1.", ".5", "-.5",
    "01", "-01", "00", "1e", "1e+", "1E", "1.e5", "0x1", "1a", "1 2", "--1", "1_000", "\"", "\"a", "'a'",
    "a", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1 2]", "[1,,2]", "[1]]", "[}", "{]",
    "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,\"a\":1}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}",
    "{\"a\":1}}", "{\"a\":1}x", "[1]x", "\"\\\"", "\"\\x41\"", "\"\\u\"", "\"\\u00\"", "\"\\u00G0\"",
    "\"\\u0000\"", "\"\\uD800\"", "\"\\uD800a\"", "\"\\uD800\\n\"", "\"\\uDC00\"", "\"\\uD800\\uD800\"",
    "\"\\uDC00\\uD800\"", "\"a\tb\"", "\"a\nb\"", "\"a\rb\"", "\"\x01\"", "\"\xff\"", "\"\xc3\"",
    "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\xef\xbb\xbf{}", "[1]/**/", "//\n1",
    "[\"a\",\n4\n,1,", "{\"a\":true} \"x\"", "\"a\" \"b\"", "[\xc3\xa9]", "\x0c[]", "[\x0b]", "\\u0020[]",
};

static void what_is_json(void)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = {0};
        struct json *root = NULL;

        if (json_check(str_of(good[i]), &e) != 0)
            T_FAIL("refused %s: %s", good[i], e.text);
        if (json_parse(&root, str_of(good[i]), &e) != 0)
            T_FAIL("cannot parse %s: %s", good[i], e.text);
        json_free(root);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        struct json *root = NULL;

        if (json_check(str_of(bad[i]), &e) != ERR_INVALID || e.text[0] == '\0')
            T_FAIL("case %zu passed: %s", i, bad[i]);
        T_EQ(json_parse(&root, str_of(bad[i]), NULL), ERR_INVALID);
        T_NULL(root);
    }
    T_EQ(json_check(str_make("1\0", 2), NULL), ERR_INVALID);
    T_EQ(json_check(str_make("\"a\0b\"", 5), NULL), ERR_INVALID);
    T_EQ(json_check(STR_NONE, NULL), ERR_INVALID);
}

/* Any prefix of a text that is no number is refused, and never read beyond its end. */
static void cut_anywhere(void)
{
    static const char text[] = "{\"a\":[1,-2.5e3,\"x\\u00e9\\n\xc3\xa9\"],\"b\":{\"c\":null,\"d\":true}}";

    for (size_t n = 0; n < sizeof text - 1; n++) {
        char *exact = malloc(n ? n : 1); /* so that a sanitizer sees a step too far */

        memcpy(exact, text, n);
        if (json_check(str_make(exact, n), NULL) != ERR_INVALID)
            T_FAIL("the first %zu bytes passed", n);
        free(exact);
    }
    T_OK(json_check(str_of(text), NULL));
}

/* The check looks at eight bytes at once: what it must see may stand at any of them. */
static void strings_at_every_offset(void)
{
    static const struct {
        const char *bytes;
        int rc;
    } cases[] = {{"\x01", ERR_INVALID}, {"\x1f", ERR_INVALID}, {"\n", ERR_INVALID}, {"\x80", ERR_INVALID},
                 {"\xff", ERR_INVALID}, {"\"", ERR_INVALID}, {"\\x", ERR_INVALID}, {"\\", ERR_INVALID},
                 {" ", 0}, {"!", 0}, {"#", 0}, {"[", 0}, {"]", 0}, {"\x7f", 0}, {"\\n", 0},
                 {"\\\"", 0}, {"\xc3\xa9", 0}, {"\xf0\x9d\x84\x9e", 0}, {"\\u00e9", 0}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t at = 0; at < 40; at++) {
            size_t n = strlen(cases[i].bytes), all = 42 + n;
            char *exact = malloc(all);

            memset(exact, 'a', all);
            exact[0] = exact[all - 1] = '"';
            memcpy(exact + 1 + at, cases[i].bytes, n);
            /* A backslash escapes what is behind it: an 'a', which is no escape, or the last quote. */
            if (json_check(str_make(exact, all), NULL) != cases[i].rc)
                T_FAIL("case %zu at %zu", i, at);
            free(exact);
        }
    }
}

static void depth(void)
{
    char text[JSON_MAX_DEPTH * 2 + 3];

    for (int extra = 0; extra < 2; extra++) {
        size_t d = JSON_MAX_DEPTH + (size_t)extra, n = 0;

        for (size_t i = 0; i < d; i++)
            text[n++] = '[';
        for (size_t i = 0; i < d; i++)
            text[n++] = ']';
        T_EQ(json_check(str_make(text, n), NULL), extra ? ERR_INVALID : 0);
    }
}

static void reading(void)
{
    struct json *r = NULL;
    struct str text = STR("{\"s\":\"t\\u00e9xt\",\"n\":-12.7,\"big\":1e300,\"t\":true,\"z\":null,"
                          "\"o\":{\"p\":{\"q\":5}},\"a\":[1,\"two\",null],\"S\":\"case\"}");
    const struct json *item;

    T_MUST(json_parse(&r, text, NULL) == 0);
    T_TRUE(json_is_object(r));
    T_TRUE(str_eqc(json_get_str(r, "s"), "t\xc3\xa9xt"));
    T_TRUE(str_eqc(json_get_str(r, "S"), "case"));
    T_TRUE(json_get_str(r, "n").p == NULL);
    T_TRUE(json_get_str(r, "none").p == NULL);
    T_EQ(json_get_int(r, "n", 0), -12);
    T_TRUE(json_num(json_get(r, "n"), 0) == -12.7);
    T_TRUE(json_get_int(r, "big", 0) == INT64_MAX);
    T_EQ(json_get_int(r, "s", 9), 9);
    T_TRUE(json_get_bool(r, "t", false));
    T_TRUE(json_get_bool(r, "none", true));
    T_NULL(json_get(r, "z"));
    T_EQ(json_int(json_get(json_at(r, "o", "p"), "q"), 0), 5);
    T_NULL(json_at(r, "s", "p"));
    T_NULL(json_get(NULL, "x"));
    item = json_first(json_get(r, "a"));
    T_TRUE(json_is_number(item));
    item = json_next(item);
    T_TRUE(json_is_string(item) && str_eqc(json_str(item), "two"));
    item = json_next(item);
    T_NOT_NULL(item); /* an item that is null is still an item */
    T_FALSE(json_is_string(item) || json_is_bool(item) || json_is_object(item));
    T_NULL(json_next(item));
    T_NULL(json_next(NULL));
    T_NULL(json_first(json_get(r, "s")));
    T_TRUE(str_eqc(json_key(json_first(r)), "s"));
    json_free(r);
    json_free(NULL);
}

static void writing(void)
{
    struct buf b;

    buf_init(&b, 10000);
    jw_open(&b, '{');
    jw_kstr(&b, "s", STR("a\"b\\c\n\x01\x1f\xc3\xa9"));
    jw_kint(&b, "i", -5);
    jw_key(&b, "l");
    jw_open(&b, '[');
    jw_int(&b, INT64_MIN);
    jw_num(&b, 0.1);
    jw_num(&b, 3);
    jw_num(&b, 1e300);
    jw_num(&b, INFINITY);
    jw_bool(&b, true);
    jw_null(&b);
    jw_open(&b, '{');
    jw_close(&b, '}');
    jw_open(&b, '[');
    jw_close(&b, ']');
    jw_str(&b, STR("x"));
    jw_close(&b, ']');
    jw_kbool(&b, "b", false);
    jw_kstrc(&b, "none", NULL);
    jw_kraw(&b, "raw", STR("[1,2]"));
    jw_close(&b, '}');
    T_STR_EQ(buf_cstr(&b), "{\"s\":\"a\\\"b\\\\c\\n\\u0001\\u001f\xc3\xa9\",\"i\":-5,\"l\":[-9223372036854775808,"
             "0.1,3,1e+300,null,true,null,{},[],\"x\"],\"b\":false,\"none\":null,\"raw\":[1,2]}");
    T_OK(json_check(buf_str(&b), NULL));
    buf_clear(&b);
    jw_str(&b, STR("bad \xff utf \xc3")); /* malformed: replaced, never passed on */
    T_OK(json_check(buf_str(&b), NULL));
    T_HAS(buf_cstr(&b), "\xef\xbf\xbd");
    buf_free(&b);
    buf_init(&b, 5);
    jw_open(&b, '[');
    jw_str(&b, STR("too long"));
    jw_close(&b, ']');
    T_EQ(b.rc, ERR_TOO_BIG);
    buf_free(&b);
}

/* Whatever bytes a string has, what is written reads back as the same string. */
static void strings_there_and_back(void)
{
    struct buf b;

    buf_init(&b, 10000);
    for (unsigned c = 1; c < 0x300; c++) {
        char text[8];
        size_t n = 0;
        struct json *r = NULL;

        text[n++] = 'a';
        if (c < 0x80) {
            text[n++] = (char)c;
        } else {
            text[n++] = (char)(0xc0 | c >> 6);
            text[n++] = (char)(0x80 | (c & 0x3f));
        }
        text[n++] = 'z';
        buf_clear(&b);
        jw_str(&b, str_make(text, n));
        T_MUST(json_parse(&r, buf_str(&b), NULL) == 0);
        if (!str_eq(json_str(r), str_make(text, n)))
            T_FAIL("U+%04X comes back differently", c);
        json_free(r);
    }
    buf_free(&b);
}

static void numbers_there_and_back(void)
{
    static const double values[] = {0, 1, -1, 0.1, 1.0 / 3, 1e15, 1e16, 9007199254740991.0,
                                    9007199254740993.0, 1e300, -1e-300, 5e-324, 1.7976931348623157e308,
                                    123456789.125, 18446744073709551616.0};
    struct buf b;

    buf_init(&b, 1000);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct json *r = NULL;

        buf_clear(&b);
        jw_num(&b, values[i]);
        T_MUST(json_parse(&r, buf_str(&b), NULL) == 0);
        if (json_num(r, 0) != values[i])
            T_FAIL("%.17g became %s", values[i], buf_cstr(&b));
        json_free(r);
    }
    buf_free(&b);
}

static void documents_there_and_back(void)
{
    struct str text = STR("{\"a\":[1,2.5,\"x\",true,null,{\"b\":[]}],\"c\":{}}");
    struct json *r = NULL;
    struct buf b;

    buf_init(&b, 1000);
    T_MUST(json_parse(&r, text, NULL) == 0);
    T_OK(json_write(r, &b));
    T_MEM_EQ(b.p, b.n, text.p, text.n);
    buf_clear(&b);
    jw_open(&b, '[');
    jw_node(&b, json_get(r, "a"));
    jw_node(&b, NULL);
    jw_node(&b, json_get(r, "c"));
    jw_close(&b, ']');
    T_STR_EQ(buf_cstr(&b), "[[1,2.5,\"x\",true,null,{\"b\":[]}],null,{}]");
    json_free(r);
    buf_free(&b);
}

/* A finished value may end in white space; the comma behind it must not be forgotten. */
static void raw_values_with_space(void)
{
    struct buf b;

    buf_init(&b, 1000);
    jw_open(&b, '[');
    jw_raw(&b, STR("{\"a\":1}\n"));
    jw_raw(&b, STR("2 "));
    jw_int(&b, 3);
    jw_close(&b, ']');
    if (json_check(buf_str(&b), NULL) != 0)
        T_FAIL("wrote no JSON: %s", buf_cstr(&b));
    buf_free(&b);
}

/* One member without a tree. */
static void a_look_before_parsing(void)
{
    static const struct {
        const char *text, *raw, *str; /* of the member "a"; NULL: none can be told */
    } table[] = {
        {"{\"a\":\"x\"}", "\"x\"", "x"},
        {" { \"b\" : [1,{\"a\":\"no\"}] ,\n\"a\" : \"x\" , \"a\":\"y\"}", "\"x\" ", "x"},
        {"{\"a\":{\"a\":\"}\"},\"b\":1}", "{\"a\":\"}\"}", NULL},
        {"{\"a\":\"\\u0078\"}", "\"\\u0078\"", NULL},
        {"{\"a\":\"\"}", "\"\"", ""},
        {"{\"a\":12}", "12", NULL},
        {"{\"\\u0061\":\"x\",\"a\":\"y\"}", NULL, NULL},
        {"{\"b\":1}", NULL, NULL},
        {"{\"a\":\"x", NULL, NULL},
        {"{\"b\":[1,\"a\":2", NULL, NULL},
        {"[\"a\",1]", NULL, NULL},
        {"", NULL, NULL},
    };

    T_NULL(json_peek(STR_NONE, "a").p);
    T_NULL(json_peek_str(STR_NONE, "a").p);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct str raw = json_peek(str_of(table[i].text), "a"), s = json_peek_str(str_of(table[i].text), "a");

        if (table[i].raw == NULL ? raw.p != NULL : !str_eqc(raw, table[i].raw))
            T_FAIL("%s: %.*s", table[i].text, STR_ARG(raw));
        if (table[i].str == NULL ? s.p != NULL : s.p == NULL || !str_eqc(s, table[i].str))
            T_FAIL("%s: string %.*s", table[i].text, STR_ARG(s));
    }
    T_NULL(json_peek(STR_NONE, "a").p);
}


static void a_look_into_a_member(void)
{
    static const struct {
        const char *text, *found;
    } table[] = {
        {"{\"x\":{\"b\":1},\"a\":{\"c\":[\"}\"], \"b\":\"v\", broken", "v"},
        {"{\"a\":{\"b\":\"\"}}", ""},
        {"{\"a\":{\"b\":1}}", NULL},
        {"{\"a\":{\"b\":\"\\n\"}}", NULL},
        {"{\"a\":{\"c\":\"v\"},\"b\":\"v\"}", NULL},
        {"{\"a\":[{\"b\":\"v\"}]}", NULL},
        {"{\"a\":", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct str s = json_peek_str_in(str_of(table[i].text), "a", "b");

        if (table[i].found == NULL ? s.p != NULL : s.p == NULL || !str_eqc(s, table[i].found))
            T_FAIL("%s: %.*s", table[i].text, STR_ARG(s));
    }
}

static void a_view_without_a_tree(void)
{
    static const char text[] = " {\"a\" : [1, -2.5e1 ,\"x\", [], {}, null, true],\"b\\u0065\":\"q\\\"\\u00e4\\ud83d\\ude00\\n/\","
                               "\"o\":{\"a\":{\"z\":17}},\"n\":null,\"a\":2,\"\":\"\",\"big\":12345678901234567890} ";
    struct json_view v;
    struct err e = {0};
    struct buf many;
    uint32_t a, item = JSON_NO_NODE;
    unsigned n = 0;

    T_OK(json_view_read(&v, str_of(text), &e));
    a = json_view_get(&v, 0, "a");
    while ((item = json_view_item(&v, a, item)) != JSON_NO_NODE) {
        if (n == 0)
            T_EQ(json_view_int(&v, item, 9), 1);
        else if (n == 1)
            T_EQ(json_view_int(&v, item, 9), -25);
        else if (n == 2)
            T_TRUE(str_eqc(json_view_str(&v, item), "x"));
        T_EQ(json_view_is_object(&v, item), n == 4);
        n++;
    }
    T_EQ(n, 7);
    T_TRUE(str_eqc(json_view_str(&v, json_view_get(&v, 0, "be")), "q\"\xc3\xa4\xf0\x9f\x98\x80\n/"));
    T_EQ(json_view_int(&v, json_view_get(&v, json_view_get(&v, json_view_get(&v, 0, "o"), "a"), "z"), 0), 17);
    T_EQ(json_view_get(&v, 0, "n"), JSON_NO_NODE);
    T_EQ(json_view_get(&v, 0, "c"), JSON_NO_NODE);
    T_EQ(json_view_get(&v, a, "a"), JSON_NO_NODE);
    T_EQ(json_view_get(&v, JSON_NO_NODE, "a"), JSON_NO_NODE);
    T_EQ(json_view_item(&v, 0, JSON_NO_NODE), JSON_NO_NODE);
    T_EQ(json_view_int(&v, json_view_get(&v, 0, "big"), 0), INT64_MAX);
    T_EQ(json_view_int(&v, a, 3), 3);
    T_TRUE(json_view_str(&v, json_view_get(&v, 0, "")).p != NULL);
    T_NULL(json_view_str(&v, a).p);
    json_view_free(&v);
    json_view_free(&v);
    T_EQ(json_view_read(&v, STR("{\"a\":[1,}"), &e), ERR_INVALID);
    T_EQ(json_view_read(&v, STR("\"\xff\""), &e), ERR_INVALID);
    T_EQ(json_view_read(&v, STR(""), &e), ERR_INVALID);
    /* More values than it has room for at first, and memory that runs out for them. */
    buf_init(&many, 1u << 20);
    for (unsigned i = 0; i < 5000; i++)
        (void)buf_printf(&many, "%s{\"\\u006e\":%u}", i == 0 ? "[" : ",", i);
    (void)buf_putc(&many, ']');
    T_OK(json_view_read(&v, buf_str(&many), &e));
    for (n = 0, item = JSON_NO_NODE; (item = json_view_item(&v, 0, item)) != JSON_NO_NODE; n++)
        if (json_view_int(&v, json_view_get(&v, item, "n"), -1) != n)
            T_FAIL("item %u", n);
    T_EQ(n, 5000);
    json_view_free(&v);
    for (unsigned long i = 1; i <= 4; i++) {
        (void)mem_fault_after(i);
        T_EQ(json_view_read(&v, buf_str(&many), &e), ERR_NOMEM);
        (void)mem_fault_after(0);
    }
    buf_free(&many);
}

int main(void)
{
    T_RUN(a_look_before_parsing);
    T_RUN(a_look_into_a_member);
    T_RUN(a_view_without_a_tree);
    T_RUN(what_is_json);
    T_RUN(cut_anywhere);
    T_RUN(strings_at_every_offset);
    T_RUN(depth);
    T_RUN(reading);
    T_RUN(writing);
    T_RUN(strings_there_and_back);
    T_RUN(numbers_there_and_back);
    T_RUN(documents_there_and_back);
    T_RUN(raw_values_with_space);
    return T_DONE();
}
