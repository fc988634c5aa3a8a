/* SPDX-License-Identifier: MIT */
#include "plugin/base/finding.h"
#include "plugin/base/json.h"
#include "tests/unit/t.h"

static void a_list(void)
{
    struct findings f, all;

    findings_init(&f);
    findings_init(&all);
    findings_join(&all, &f); /* an empty one */
    finding_add(&f, FINDING_OK, "a", NULL, "%d \"things\"", 2);
    finding_add(&f, FINDING_FAIL, "b", "do it", "no");
    findings_join(&all, &f);
    findings_join(&all, &f);
    T_EQ(all.n[FINDING_OK], 2);
    T_EQ(all.n[FINDING_FAIL], 2);
    T_EQ(all.n[FINDING_WARN], 0);
    T_TRUE(str_eqc(buf_str(&f.json), "{\"check\":\"a\",\"result\":\"ok\",\"detail\":\"2 \\\"things\\\"\"},"
                                     "{\"check\":\"b\",\"result\":\"fail\",\"detail\":\"no\",\"cure\":\"do it\"}"));
    T_EQ(all.json.n, 2 * f.json.n + 1);
    findings_free(&f);
    findings_free(&all);
}

static void long_ones_are_cut_between_characters(void)
{
    char text[2000];
    struct findings f;
    struct json *doc = NULL;

    for (size_t i = 0; i + 2 < sizeof text; i += 2) { /* two bytes each */
        text[i] = '\xc3';
        text[i + 1] = '\xa4';
    }
    text[sizeof text - 2] = '\0';
    findings_init(&f);
    finding_add(&f, FINDING_WARN, "long", text, "x%s", text);
    T_EQ(json_parse(&doc, buf_str(&f.json), NULL), 0);
    T_TRUE(json_get_str(doc, "detail").n > FINDING_TEXT_BYTES - 3);
    T_TRUE(json_get_str(doc, "detail").n <= FINDING_TEXT_BYTES);
    T_TRUE(str_utf8_valid(json_get_str(doc, "detail")));
    T_TRUE(str_find_str(json_get_str(doc, "detail"), STR("\xef\xbf\xbd")) == json_get_str(doc, "detail").n);
    T_TRUE(json_get_str(doc, "cure").n <= FINDING_TEXT_BYTES);
    json_free(doc);
    findings_free(&f);
}

int main(void)
{
    T_RUN(a_list);
    T_RUN(long_ones_are_cut_between_characters);
    return T_DONE();
}
