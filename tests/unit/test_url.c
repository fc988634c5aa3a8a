/* SPDX-License-Identifier: MIT */
#include "plugin/proto/url.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

static const struct {
    const char *text, *scheme, *host;
    unsigned port;
    bool has_port, ipv6, tls;
    const char *path, *query;
} good[] = {
    {"http://example.com", "http", "example.com", 80, false, false, false, "", ""},
    {"https://api.openai.com/v1", "https", "api.openai.com", 443, false, false, true, "/v1", ""},
    {"ws://h:8080/a/b?c=d&e", "ws", "h", 8080, true, false, false, "/a/b", "c=d&e"},
    {"wss://h?x", "wss", "h", 443, false, false, true, "", "x"},
    {"http://127.0.0.1:1/", "http", "127.0.0.1", 1, true, false, false, "/", ""},
    {"http://[::1]:65535/?", "http", "::1", 65535, true, true, false, "/", ""},
    {"http://[fe80::1]", "http", "fe80::1", 80, false, true, false, "", ""},
    {"http://a_b-c.d~e/", "http", "a_b-c.d~e", 80, false, false, false, "/", ""},
    {"http://h/a?b?c/d", "http", "h", 80, false, false, false, "/a", "b?c/d"},
};

static const char *const bad[] = {
    "", "http", "http:", "http:/", "http:/h", "http://", "http:///path", "http://?q", "http://:80",
    "HTTP://h", "ftp://h", "h", "//h", "://h", "http://user@h", "http://user:pw@h", "http://h:",
    "http://h:0", "http://h:65536", "http://h:99999", "http://h:+80", "http://h:80x", "http://h:8 0",
    "http://h:000080", "http://h/#frag", "http://h /", "http://h/a b", "http://h/\t", "http://h/\x7f",
    "http://h\xc3\xa9/", "http://[::1", "http://[::1]x", "http://[::g]", "http://[]", "http://a,b",
    "http://h\\x", "http://a%20b", " http://h", "http://h:80:80", "http://[h]",
};

static void urls_are_read(void)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct url u;
        struct err e = {0};

        if (url_read(&u, str_of(good[i].text), &e) != 0) {
            T_FAIL("%s: %s", good[i].text, e.text);
            continue;
        }
        T_TRUE(str_eqc(u.scheme, good[i].scheme));
        T_TRUE(str_eqc(u.host, good[i].host));
        T_EQ(u.port, good[i].port);
        T_EQ(u.has_port, good[i].has_port);
        T_EQ(u.is_ipv6, good[i].ipv6);
        T_EQ(u.tls, good[i].tls);
        T_TRUE(str_eqc(u.path, good[i].path));
        T_TRUE(str_eqc(u.query, good[i].query));
    }
}

static void bad_urls_are_refused(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct url u = {.port = 7};
        struct err e = {0};

        if (url_read(&u, str_of(bad[i]), &e) != ERR_INVALID || e.text[0] == '\0')
            T_FAIL("\"%s\" passed", bad[i]);
        T_EQ(u.port, 7); /* untouched on failure */
    }
    T_EQ(url_read(&(struct url){0}, str_make("http://h\0x", 10), NULL), ERR_INVALID);
}

static void loopback(void)
{
    static const char *const yes[] = {"localhost", "LocalHost", "127.0.0.1", "127.255.0.3", "::1"};
    static const char *const no[] = {"127.0.0.1.evil.com", "127.0.0", "127.0.0.256", "128.0.0.1", "",
                                     "localhost.evil.com", "127.0.0.1x", "127.", "0127.0.0.1", "::2"};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        T_TRUE(url_is_loopback(str_of(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (url_is_loopback(str_of(no[i])))
            T_FAIL("%s is no loopback", no[i]);
}

static void escapes(void)
{
    char all[256];
    struct buf a, b;

    buf_init(&a, 4096);
    buf_init(&b, 4096);
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    T_OK(url_escape(&a, STR("a b/c?+%~\xc3\xa9")));
    T_STR_EQ(buf_cstr(&a), "a%20b%2Fc%3F%2B%25~%C3%A9");
    buf_clear(&a);
    T_OK(url_escape(&a, str_make(all, 255)));
    T_OK(url_unescape(&b, buf_str(&a), false));
    T_MEM_EQ(b.p, b.n, all, 255);
    buf_clear(&b);
    T_OK(url_unescape(&b, STR("a+b%2b%2B"), true));
    T_STR_EQ(buf_cstr(&b), "a b++");
    buf_clear(&b);
    T_OK(url_unescape(&b, STR("a+b"), false));
    T_STR_EQ(buf_cstr(&b), "a+b");
    T_EQ(url_unescape(&b, STR("%"), false), ERR_INVALID);
    T_EQ(url_unescape(&b, STR("%4"), false), ERR_INVALID);
    T_EQ(url_unescape(&b, STR("%4g"), false), ERR_INVALID);
    T_EQ(url_unescape(&b, STR("%00"), false), ERR_INVALID);
    T_EQ(url_unescape(&b, str_make("a\0b", 3), false), ERR_INVALID);
    buf_free(&a);
    buf_init(&a, 4);
    T_EQ(url_escape(&a, STR("a b c")), ERR_TOO_BIG);
    buf_free(&a);
    buf_free(&b);
}

int main(void)
{
    T_RUN(urls_are_read);
    T_RUN(bad_urls_are_refused);
    T_RUN(loopback);
    T_RUN(escapes);
    return T_DONE();
}
