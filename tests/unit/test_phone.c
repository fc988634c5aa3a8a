/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"
#include "plugin/base/phone.h"
#include "tests/unit/t.h"

static void e164_is_exact(void)
{
    static const char *const good[] = {"+1234567", "+15551234567", "+123456789012345"};
    static const char *const bad[] = {
        "",          "+",           "15551234567",       "+123456",        "+1234567890123456",
        "+05551234", "++1555123456", "+1555123456 ",     " +15551234567",  "+1555-123-4567",
        "+1555123456a", "00491234567", "+\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4\xd9\xa5\xd9\xa6\xd9\xa7",
        "+155512345\xef\xbc\x95", "tel:+15551234567", "+15551234567\n",
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        T_TRUE(phone_is_e164(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (phone_is_e164(str_of(bad[i])))
            T_FAIL("\"%s\" passed", bad[i]);
    T_FALSE(phone_is_e164(STR("+15551234567\0")));
    T_FALSE(phone_is_e164(STR("+1555123\0" "4567")));
    T_FALSE(phone_is_e164(STR_NONE));
}

struct row {
    const char *from, *number, *host; /* number "" and host NULL: malformed; "" and host: withheld */
};

static void check(const struct row *row)
{
    struct phone p;
    int rc = phone_from_sip(&p, str_of(row->from));
    enum phone_kind want = row->number[0] != '\0' ? PHONE_E164
                           : row->host != NULL    ? PHONE_ANONYMOUS
                                                  : PHONE_MALFORMED;

    if (p.kind != want || strcmp(p.number, row->number) != 0)
        T_FAIL("%s: kind %d, number \"%s\"", row->from, p.kind, p.number);
    T_EQ(rc, want == PHONE_MALFORMED ? ERR_INVALID : 0);
    if (row->host != NULL)
        T_MEM_EQ(p.host.p, p.host.n, row->host, strlen(row->host));
}

static void the_number_is_the_address(void)
{
    static const struct row table[] = {
        {"<sip:+15551234567@pstn.twilio.com>;tag=1", "+15551234567", "pstn.twilio.com"},
        {"sip:+15551234567@host;tag=abc", "+15551234567", "host"},
        {"sip:+15551234567@host", "+15551234567", "host"},
        {"  \"A\" <sip:+15551234567@host:5061;transport=tls?X-a=b>  ; tag=x ", "+15551234567", "host"},
        {"\"+19998887777\" <sip:+15551234567@host>", "+15551234567", "host"},
        {"\"<sip:+19998887777@evil>\" <sip:+15551234567@host>", "+15551234567", "host"},
        {"\"a\\\"<sip:+19998887777@evil>\\\\\" <sip:+15551234567@host>", "+15551234567", "host"},
        {"\"\" <sip:+15551234567@host>", "+15551234567", "host"},
        {"\"\xe5\xbc\xa0\" <sip:+15551234567@host>", "+15551234567", "host"},
        {"J\xc3\xbcrgen M. <sip:+15551234567@host>", "+15551234567", "host"},
        {"+19998887777 <sip:+15551234567@host>", "+15551234567", "host"},
        {"Anonymous <sip:+15551234567@host>", "+15551234567", "host"},
        {"\"Anonymous\"<SIPS:+15551234567@[2001:db8::1]:5061>", "+15551234567", "[2001:db8::1]"},
        {"<sip:%2B15551234567@host>", "+15551234567", "host"},
        {"<sip:+1555123%34567@host>", "+15551234567", "host"},
        {"<sip:+15551234567:secret@host>", "+15551234567", "host"},
        {"<sip:+15551234567;npdi;rn=+1222@host;user=phone>", "+15551234567", "host"},
        {"sip:+15551234567;npdi@host;tag=1", "+15551234567", "host"},
        {"<sip:+15551234567;phone-context=evil.example@host>", "+15551234567", "host"},
        {"<tel:+15551234567>;tag=1", "+15551234567", ""},
        {"<tel:+1-(555)-123.4567;isub=1>", "+15551234567", ""},
        {"tel:+15551234567;tag=1", "+15551234567", ""},
        {"<sip:+1234567@h>", "+1234567", "h"},
        {"<sip:+15551234567@host>;tag=\"a;<>,\\\"\"", "+15551234567", "host"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check(&table[i]);
}

static void a_withheld_number_is_told_as_such(void)
{
    static const struct row table[] = {
        {"\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1", "", "anonymous.invalid"},
        {"<sip:+15551234567@anonymous.invalid>", "", "anonymous.invalid"},
        {"<sip:Anonymous.Invalid>", "", "Anonymous.Invalid"},
        {"<sip:Anonymous@host>", "", "host"},
        {"\"+15551234567\" <sip:RESTRICTED@host>", "", "host"},
        {"sip:unavailable@host", "", "host"},
        {"<sip:private@host>", "", "host"},
        {"<sip:unknown@host>", "", "host"},
        {"<sip:+266696687@pstn.twilio.com>", "", "pstn.twilio.com"},
        {"<sip:+7378742833@h>", "", "h"},
        {"<sip:+2562533@h>", "", "h"},
        {"<sip:+8656696@h>", "", "h"},
        {"<sip:+86282452253@h>", "", "h"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check(&table[i]);
}

static void anything_else_has_no_number(void)
{
    static const char *const table[] = {
        "",
        " ",
        "+15551234567",
        "\"+15551234567\"",
        "<>",
        "<+15551234567>",
        "<http://+15551234567@host>",
        "<mailto:+15551234567@host>",
        "sip:",
        "sip:@host",
        "<sip:+15551234567@>",
        "<sip:+15551234567>",
        "<sip:+15551234567@host",
        "sip:+15551234567@host>",
        "<sip:alice@host>",
        "<sip:15551234567@host>",
        "<sip:+155512345678901234@host>",
        "<sip:+1-555-123-4567@host>",
        "<sip:+15551234567@evil@host>",
        "<sip:+15551234567@evil%40host>x",
        "<sip:+15551234567%40evil@host>",
        "<sip:+15551234567%00@host>",
        "<sip:+15551234567%3Bx@host>",
        "<sip:+15551234567%@host>",
        "<sip:+15551234567%2@host>",
        "<sip:+15551234567%zz@host>",
        "<sip:+15551234567,@host>",
        "<sip: +15551234567@host>",
        "<sip:+15551234567@host><sip:+19998887777@evil>",
        "<sip:+15551234567@host>, <sip:+19998887777@evil>",
        "<sip:+15551234567@host> sip:+19998887777@evil",
        "<sip:+15551234567@host>;tag=<x>",
        "<sip:+15551234567@host>;",
        "<sip:+15551234567@host>;tag=\"x",
        "<<sip:+15551234567@host>>",
        "<sip:+15551234567@host;x=@evil>",
        "<sip:+15551234567@ho st>",
        "<sip:+15551234567@host:port>",
        "<sip:+15551234567@host:99999>",
        "<sip:+15551234567@host:>",
        "<sip:+15551234567@[::1>",
        "<sip:+15551234567@[]>",
        "<sip:+15551234567@h\xc3\xb6st>",
        "sip:+19998887777@evil <sip:+15551234567@host>",
        "a@b <sip:+15551234567@host>",
        "a, b <sip:+15551234567@host>",
        "\"a <sip:+15551234567@host>",
        "\"a\" b <sip:+15551234567@host>",
        "\"a\\\" <sip:+15551234567@host>",
        "sip:+15551234567@host,sip:+19998887777@evil",
        "sip:+15551234567@host?X=1",
        "sip:+15551234567@host;tag=1@evil",
        "<sip:+15551234567@host>\r\nFrom: <sip:+19998887777@evil>",
        "<sip:+15551234567\r@host>",
        "<sip:+15551234567@host>\n",
        "\x01<sip:+15551234567@host>",
        ("<sip:\xef\xbc\x8b" "15551234567@host>"),
        "<sip:+1555123456\xd9\xa7@host>",
        "<sip:+1555123456%D9%A7@host>",
        "<tel:15551234567;phone-context=+1>",
        "<tel:%2B15551234567>",
        "<tel:+1555 1234567>",
        "<tel:+>",
        "<tel:>",
        "tel:+15551234567<sip:+19998887777@evil>",
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct row row = {table[i], "", NULL};

        check(&row);
    }
}

static void nul_and_length_are_no_way_around(void)
{
    static const char nul[] = "<sip:+15551234567\0@host>";
    static const char nul2[] = "<sip:+15551234567@host>\0<sip:+19998887777@evil>";
    struct phone p;
    struct buf b;

    T_EQ(phone_from_sip(&p, str_make(nul, sizeof nul - 1)), ERR_INVALID);
    T_EQ(p.kind, PHONE_MALFORMED);
    T_EQ(phone_from_sip(&p, str_make(nul2, sizeof nul2 - 1)), ERR_INVALID);
    T_EQ(p.kind, PHONE_MALFORMED);
    T_EQ(phone_from_sip(&p, STR_NONE), ERR_INVALID);
    buf_init(&b, 1u << 20);
    for (int pad = 900; pad < 1100; pad += 1) {
        buf_clear(&b);
        (void)buf_printf(&b, "\"%0*d\" <sip:+15551234567@host>", pad, 1);
        T_EQ(phone_from_sip(&p, buf_str(&b)), b.n <= PHONE_FROM_MAX ? 0 : ERR_INVALID);
    }
    for (int pad = 1; pad < 300; pad++) { /* users and hosts of all lengths */
        buf_clear(&b);
        (void)buf_printf(&b, "<sip:+1%0*d@host>", pad, 5);
        T_EQ(phone_from_sip(&p, buf_str(&b)), pad >= 6 && pad <= 14 ? 0 : ERR_INVALID);
        buf_clear(&b);
        (void)buf_printf(&b, "<sip:+15551234567@%0*d>", pad, 5);
        T_EQ(phone_from_sip(&p, buf_str(&b)), pad <= 253 ? 0 : ERR_INVALID);
    }
    buf_free(&b);
}

/* What is cut off or changed never yields another number than a changed digit's. */
static void damaged_headers_do_no_harm(void)
{
    static const char whole[] = "\"A \\\" b\" <sip:%2B15551234567;npdi:pw@[::1]:5060;x=y?h=1>;tag=\"q\"";
    size_t n = sizeof whole - 1;
    struct phone p;

    for (size_t i = 0; i <= n; i++) {
        char *copy = malloc(n + 1);

        T_MUST(copy != NULL);
        memcpy(copy, whole, i);
        char *tight = realloc(copy, i > 0 ? i : 1);
        T_MUST(tight != NULL);
        (void)phone_from_sip(&p, str_make(tight, i));
        T_TRUE(p.kind == PHONE_MALFORMED || strcmp(p.number, "+15551234567") == 0);
        free(tight);
    }
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < 256; c++) {
            char copy[sizeof whole];

            memcpy(copy, whole, sizeof whole);
            copy[i] = (char)c;
            (void)phone_from_sip(&p, str_make(copy, n));
            T_TRUE(p.kind == PHONE_MALFORMED || (p.kind == PHONE_E164 && p.number[0] == '+'));
        }
    }
}

int main(void)
{
    T_RUN(e164_is_exact);
    T_RUN(the_number_is_the_address);
    T_RUN(a_withheld_number_is_told_as_such);
    T_RUN(anything_else_has_no_number);
    T_RUN(nul_and_length_are_no_way_around);
    T_RUN(damaged_headers_do_no_harm);
    return T_DONE();
}
