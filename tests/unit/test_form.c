/* SPDX-License-Identifier: MIT */
#include "plugin/proto/form.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

static bool has(const struct form *f, unsigned i, const char *name, const char *value)
{
    return i < f->n && str_eqc(f->fields[i].name, name) && str_eqc(f->fields[i].value, value);
}

static void fields_come_in_their_order(void)
{
    struct form f;

    T_MUST(form_read(&f, STR("b=1&a=2&b=3&b=&empty&=nameless&&a%20b=c%2Bd+e")) == 0);
    T_EQ(f.n, 7);
    T_TRUE(has(&f, 0, "b", "1") && has(&f, 1, "a", "2") && has(&f, 2, "b", "3") && has(&f, 3, "b", ""));
    T_TRUE(has(&f, 4, "empty", "") && has(&f, 5, "", "nameless") && has(&f, 6, "a b", "c+d e"));
    T_TRUE(str_eqc(form_get(&f, "b"), "1"));
    T_TRUE(form_get(&f, "empty").p != NULL);
    T_NULL(form_get(&f, "B").p);
    T_NULL(form_get(&f, "none").p);
    form_free(&f);
    form_free(&f);
}

static void nothing_is_a_form_too(void)
{
    static const char *const texts[] = {"", "&", "&&&"};
    struct form f;

    for (size_t i = 0; i < 3; i++) {
        T_OK(form_read(&f, str_of(texts[i])));
        T_EQ(f.n, 0);
        form_free(&f);
    }
    T_OK(form_read(&f, STR_NONE));
    form_free(&f);
}

static void values_hold_what_they_like(void)
{
    struct form f;

    T_MUST(form_read(&f, STR("a=b=c&u=%C3%a4%E2%82%ac&p=%25&amp=%26")) == 0);
    T_TRUE(has(&f, 0, "a", "b=c") && has(&f, 1, "u", "\xc3\xa4\xe2\x82\xac") && has(&f, 2, "p", "%") &&
           has(&f, 3, "amp", "&"));
    form_free(&f);
}

static void bad_escapes_and_nul_are_refused(void)
{
    static const char *const bad[] = {"a=%", "a=%1", "a=%zz", "%g0=1", "a=1&b=%00", "%00", "a=%1%41", "ok=1&x=%"};
    struct form f;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        T_EQ(form_read(&f, str_of(bad[i])), ERR_INVALID);
        T_EQ(f.n, 0);
        T_NULL(f.fields);
    }
    T_EQ(form_read(&f, str_make("a=\0b", 4)), ERR_INVALID);
}

static void limits_hold(void)
{
    static char text[FORM_BYTES_MAX + 2];
    struct form f;

    memset(text, 'a', sizeof text);
    T_OK(form_read(&f, str_make(text, FORM_BYTES_MAX)));
    T_EQ(f.n, 1);
    form_free(&f);
    T_EQ(form_read(&f, str_make(text, FORM_BYTES_MAX + 1)), ERR_TOO_BIG);
    for (size_t i = 1; i < 2 * FORM_FIELDS_MAX; i += 2)
        text[i] = '&';
    T_OK(form_read(&f, str_make(text, 2 * FORM_FIELDS_MAX - 1)));
    T_EQ(f.n, FORM_FIELDS_MAX);
    form_free(&f);
    T_EQ(form_read(&f, str_make(text, 2 * FORM_FIELDS_MAX + 1)), ERR_TOO_BIG);
}

static void memory_that_is_out_is_an_error(void)
{
    struct form f;

    for (unsigned long n = 1; n <= 2; n++) {
        (void)mem_fault_after(n);
        T_EQ(form_read(&f, STR("a=1&b=2")), ERR_NOMEM);
        (void)mem_fault_after(0);
        T_NULL(f.fields);
    }
}

static void what_is_written_is_read_again(void)
{
    struct form f;
    struct buf b;

    buf_init(&b, 1000);
    form_put(&b, "To", STR("+15551234567"));
    form_put(&b, "a b", STR("x&y=z +%\xc3\xa4"));
    form_put(&b, "none", STR_NONE);
    form_put_int(&b, "n", 18446744073709551615u);
    form_put_bool(&b, "yes", true);
    form_put_bool(&b, "no", false);
    T_STR_EQ(buf_cstr(&b), "To=%2B15551234567&a%20b=x%26y%3Dz%20%2B%25%C3%A4&none=&n=18446744073709551615&yes=true"
                           "&no=false");
    T_MUST(form_read(&f, buf_str(&b)) == 0);
    T_TRUE(has(&f, 0, "To", "+15551234567") && has(&f, 1, "a b", "x&y=z +%\xc3\xa4") && has(&f, 2, "none", ""));
    form_free(&f);
    buf_clear(&b);
    (void)buf_puts(&b, STR("/path?"));
    form_put(&b, "a", STR("1"));
    form_put(&b, "b", STR("2"));
    T_STR_EQ(buf_cstr(&b), "/path?a=1&b=2");
    buf_free(&b);
    buf_init(&b, 4);
    form_put(&b, "name", STR("value"));
    T_EQ(b.rc, ERR_TOO_BIG);
    buf_free(&b);
}

int main(void)
{
    T_RUN(fields_come_in_their_order);
    T_RUN(nothing_is_a_form_too);
    T_RUN(values_hold_what_they_like);
    T_RUN(bad_escapes_and_nul_are_refused);
    T_RUN(limits_hold);
    T_RUN(memory_that_is_out_is_an_error);
    T_RUN(what_is_written_is_read_again);
    return T_DONE();
}
