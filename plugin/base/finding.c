/* SPDX-License-Identifier: MIT */
#include "plugin/base/finding.h"

#include "plugin/base/json.h"

#include <stdarg.h>
#include <stdio.h>

#define FINDINGS_BYTES_MAX 262144u

void findings_init(struct findings *f)
{
    *f = (struct findings){.n = {0}};
    buf_init(&f->json, FINDINGS_BYTES_MAX);
}

void findings_free(struct findings *f)
{
    buf_free(&f->json);
}

const char *finding_word(enum finding_kind kind)
{
    static const char *const words[] = {
        [FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "fail", [FINDING_SKIP] = "skip"};

    return words[kind];
}

static struct str cut(const char *text)
{
    struct str s = str_of(text);

    return str_head(s, str_utf8_floor(s, FINDING_TEXT_BYTES));
}

void finding_add(struct findings *f, enum finding_kind kind, const char *check, const char *cure,
                 const char *fmt, ...)
{
    char detail[2 * FINDING_TEXT_BYTES];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    f->n[kind]++;
    jw_open(&f->json, '{');
    jw_kstrc(&f->json, "check", check);
    jw_kstrc(&f->json, "result", finding_word(kind));
    jw_kstr(&f->json, "detail", cut(detail));
    if (cure != NULL && cure[0] != '\0')
        jw_kstr(&f->json, "cure", cut(cure));
    jw_close(&f->json, '}');
}

void findings_join(struct findings *f, const struct findings *more)
{
    for (unsigned i = 0; i < FINDING_KINDS; i++)
        f->n[i] += more->n[i];
    if (more->json.n > 0)
        jw_raw(&f->json, buf_str(&more->json));
    if (more->json.rc < 0 && f->json.rc == 0)
        f->json.rc = more->json.rc;
}
