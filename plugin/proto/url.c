/* SPDX-License-Identifier: MIT */
#include "plugin/proto/url.h"

#include <string.h>

static const struct {
    const char *scheme;
    uint16_t port;
    bool tls;
} schemes[] = {{"http", 80, false}, {"https", 443, true}, {"ws", 80, false}, {"wss", 443, true}};

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int read_port(struct url *u, struct str text, struct err *e)
{
    uint64_t v = 0;

    /* RFC 3986, 3.2.3 allows "host:" with nothing behind; in a config file that is a mistake. */
    if (text.n > 5 || !str_u64(text, &v) || v == 0 || v > 65535)
        return err_set(e, ERR_INVALID, "the port in the URL is no number from 1 to 65535");
    u->port = (uint16_t)v;
    u->has_port = true;
    return 0;
}

/* host [":" port] or "[" ipv6 "]" [":" port]; RFC 3986, 3.2. */
static int read_authority(struct url *u, struct str text, struct err *e)
{
    size_t end;
    struct str behind;

    if (str_find(text, '@') < text.n)
        return err_set(e, ERR_INVALID, "a user name in a URL is not supported");
    if (text.n > 0 && text.p[0] == '[') {
        end = str_find(text, ']');
        if (end == text.n)
            return err_set(e, ERR_INVALID, "the URL's host lacks its closing bracket");
        u->host = str_head(str_skip(text, 1), end - 1);
        u->is_ipv6 = true;
        behind = str_skip(text, end + 1);
        for (size_t i = 0; i < u->host.n; i++)
            if (strchr("0123456789abcdefABCDEF:.", u->host.p[i]) == NULL)
                return err_set(e, ERR_INVALID, "the URL's host is no IPv6 address");
    } else {
        end = str_find(text, ':');
        u->host = str_head(text, end);
        behind = str_skip(text, end);
        for (size_t i = 0; i < u->host.n; i++)
            if (!is_unreserved((unsigned char)u->host.p[i]))
                return err_set(e, ERR_INVALID, "the URL's host has a character that no host has");
    }
    if (u->host.n == 0 || u->host.n > 253)
        return err_set(e, ERR_INVALID, "the URL lacks a host");
    if (behind.n == 0)
        return 0;
    if (behind.p[0] != ':')
        return err_set(e, ERR_INVALID, "something stands between the URL's host and its port");
    return read_port(u, str_skip(behind, 1), e);
}

int url_read(struct url *out, struct str text, struct err *e)
{
    struct url u;
    struct str rest;
    size_t at, n_schemes = sizeof schemes / sizeof *schemes, i;
    int rc;

    memset(&u, 0, sizeof u);
    for (i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c <= ' ' || c >= 0x7f)
            return err_set(e, ERR_INVALID, "the URL has a blank or a character outside of ASCII");
        if (c == '#')
            return err_set(e, ERR_INVALID, "a fragment (#) in the URL is not supported");
    }
    at = str_find_str(text, STR("://"));
    u.scheme = str_head(text, at);
    for (i = 0; i < n_schemes && (at == text.n || !str_eqc(u.scheme, schemes[i].scheme)); i++)
        ;
    if (i == n_schemes)
        return err_set(e, ERR_INVALID, "the URL does not begin with http://, https://, ws:// or wss://");
    u.port = schemes[i].port;
    u.tls = schemes[i].tls;
    rest = str_skip(text, at + 3);
    for (at = 0; at < rest.n && rest.p[at] != '/' && rest.p[at] != '?'; at++)
        ;
    rc = read_authority(&u, str_head(rest, at), e);
    if (rc < 0)
        return rc;
    rest = str_skip(rest, at);
    at = str_find(rest, '?');
    u.path = str_head(rest, at);
    u.query = str_skip(rest, at + 1);
    *out = u;
    return 0;
}

bool url_is_loopback(struct str host)
{
    unsigned parts = 0;
    struct str part;
    uint64_t v;

    if (str_ieq(host, STR("localhost")) || str_eqc(host, "::1"))
        return true;
    if (!str_starts(host, STR("127.")))
        return false;
    while (str_split(&host, '.', &part)) {
        if (part.n > 3 || !str_u64(part, &v) || v > 255)
            return false;
        parts++;
    }
    return parts == 4;
}

int url_escape(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char code[3] = {'%', hex[c >> 4], hex[c & 15]};

        if (is_unreserved(c))
            (void)buf_putc(out, (char)c);
        else
            (void)buf_put(out, code, 3);
    }
    return out->rc;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int url_unescape(struct buf *out, struct str s, bool form)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            int hi = i + 1 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;

            if (hi < 0 || lo < 0)
                return ERR_INVALID;
            c = (char)(hi * 16 + lo);
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        if (c == '\0')
            return ERR_INVALID;
        (void)buf_putc(out, c);
    }
    return out->rc;
}
