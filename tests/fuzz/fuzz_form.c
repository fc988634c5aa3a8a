/* SPDX-License-Identifier: MIT */
/* Forms and URLs: what is read can be written and reads back as the same. */
/* covers: plugin/proto/form.c plugin/proto/url.c */
#include "plugin/base/mem.h"
#include "plugin/proto/form.h"
#include "plugin/proto/url.h"
#include "tests/fuzz/fuzz.h"

static void forms(struct str in)
{
    struct form f, again;
    struct buf out;

    memset(&f, 0, sizeof f);
    memset(&again, 0, sizeof again);
    buf_init(&out, 1u << 20);
    if (form_read(&f, in) == 0) {
        FUZZ_MUST(f.n <= FORM_FIELDS_MAX);
        for (unsigned i = 0; i < f.n; i++) {
            char *name = str_dup(f.fields[i].name);

            FUZZ_MUST(!str_has_nul(f.fields[i].name) && !str_has_nul(f.fields[i].value));
            if (name != NULL)
                form_put(&out, name, f.fields[i].value);
            FUZZ_MUST(name != NULL || fuzz_starved);
            mem_free(name);
        }
        if (out.rc == 0 && out.n <= FORM_BYTES_MAX && !fuzz_starved) {
            FUZZ_MUST(form_read(&again, buf_str(&out)) == 0 && again.n == f.n);
            for (unsigned i = 0; i < f.n; i++)
                FUZZ_MUST(str_eq(f.fields[i].name, again.fields[i].name) &&
                          str_eq(f.fields[i].value, again.fields[i].value));
        }
        (void)form_get(&f, "a");
    }
    form_free(&f);
    form_free(&again);
    buf_free(&out);
}

static void urls(struct str in)
{
    struct url u;
    struct buf out, back;
    struct err e = {0};

    if (url_read(&u, in, &e) == 0) {
        FUZZ_MUST(u.host.n > 0 && u.port > 0);
        FUZZ_MUST(fuzz_inside(u.host, in) && fuzz_inside(u.path, in) && fuzz_inside(u.query, in));
        FUZZ_MUST(!str_has_nul(in) && str_find(in, '\n') == in.n && str_find(in, '\r') == in.n);
        (void)url_is_loopback(u.host);
    } else {
        FUZZ_MUST(e.text[0] != '\0');
    }
    buf_init(&out, 1u << 20);
    buf_init(&back, 1u << 20);
    if (url_escape(&out, in) == 0 && !str_has_nul(in) && url_unescape(&back, buf_str(&out), false) == 0)
        FUZZ_MUST(str_eq(in, buf_str(&back)));
    else
        FUZZ_MUST(fuzz_starved || str_has_nul(in) || in.n > 300000);
    buf_clear(&back);
    (void)url_unescape(&back, in, true);
    buf_free(&out);
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    forms(str_make((const char *)data, size));
    urls(str_make((const char *)data, size));
    return 0;
}
