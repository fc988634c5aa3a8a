/* SPDX-License-Identifier: MIT */
#include "plugin/base/phone.h"

#include <string.h>

#define DIGITS_MIN 7u
#define DIGITS_MAX 15u
#define HOST_MAX 253u
#define USER_MAX 64u /* decoded; longer than any number or word that matters */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool has(const char *set, char c)
{
    return c != '\0' && strchr(set, c) != NULL;
}

const char *phone_kind_name(enum phone_kind kind)
{
    return kind == PHONE_E164 ? "e164" : kind == PHONE_ANONYMOUS ? "anonymous" : "malformed";
}

bool phone_is_e164(struct str s)
{
    if (s.n < 1 + DIGITS_MIN || s.n > 1 + DIGITS_MAX || s.p[0] != '+' || s.p[1] == '0')
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_digit(s.p[i]))
            return false;
    return true;
}

/* ---- The header around the URI. ---- */

static bool printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Moves *s behind a quoted string (RFC 3261 §25.1); *s begins with its quote. */
static bool skip_quoted(struct str *s)
{
    for (size_t i = 1; i < s->n; i++) {
        if (s->p[i] == '\\') {
            i++;
        } else if (s->p[i] == '"') {
            *s = str_skip(*s, i + 1);
            return true;
        }
    }
    return false;
}

/* Moves *s behind a display name: a quoted string, or tokens (and UTF-8, which is sent, too). */
static bool skip_display_name(struct str *s)
{
    size_t i = 0;

    if (s->n > 0 && s->p[0] == '"')
        return skip_quoted(s);
    while (i < s->n && (is_alpha(s->p[i]) || is_digit(s->p[i]) || has("-.!%*_+`'~ \t", s->p[i]) ||
                        (unsigned char)s->p[i] >= 0x80))
        i++;
    *s = str_skip(*s, i);
    return true;
}

/* ";name=value;..." behind the address: nothing may stand there that could be another address. */
static bool header_params_ok(struct str s)
{
    s = str_trim(s);
    while (s.n > 0) {
        if (s.p[0] != ';')
            return false;
        s = str_trim(str_skip(s, 1));
        if (s.n == 0)
            return false;
        while (s.n > 0 && s.p[0] != ';') {
            if (s.p[0] == '"') {
                if (!skip_quoted(&s))
                    return false;
            } else if (is_alpha(s.p[0]) || is_digit(s.p[0]) ||
                       has("-.!%*_+`'~=:[] \t", s.p[0])) {
                s = str_skip(s, 1);
            } else {
                return false;
            }
        }
    }
    return true;
}

/* The URI in a From value. In the form without <> parameters belong to the header (§20). */
static bool find_uri(struct str header, struct str *uri)
{
    struct str s = str_trim(header);
    size_t end;

    if (!printable(s) || s.n > PHONE_FROM_MAX)
        return false;
    if (!str_istarts(s, STR("sip:")) && !str_istarts(s, STR("sips:")) &&
        !str_istarts(s, STR("tel:"))) {
        if (!skip_display_name(&s))
            return false;
        s = str_trim(s);
        end = str_find(s, '>');
        if (s.n == 0 || s.p[0] != '<' || end == s.n)
            return false;
        *uri = str_skip(str_head(s, end), 1);
        return header_params_ok(str_skip(s, end + 1));
    }
    /* A user part may hold ';', so the parameters are looked for behind the '@'. */
    end = str_istarts(s, STR("tel:")) || str_find(s, '@') == s.n ? 0 : str_find(s, '@');
    end += str_find(str_skip(s, end), ';');
    *uri = str_trim(str_head(s, end));
    return str_find(s, '<') == s.n && str_find(s, '>') == s.n && str_find(s, '?') == s.n &&
           str_find(s, ',') == s.n && header_params_ok(str_skip(s, end));
}

/* ---- The URI. ---- */

static bool escapes_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '%' && (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])))
            return false;
    return true;
}

static bool only(struct str s, const char *also)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && !has(also, s.p[i]))
            return false;
    return true;
}

/* host [":" port], the host in brackets when it is an IPv6 address. */
static bool host_ok(struct str s, struct str *host)
{
    struct str port = STR_NONE;
    bool v6 = s.n > 0 && s.p[0] == '[';
    size_t end = v6 ? str_find(s, ']') + 1 : str_find(s, ':');
    uint64_t n;

    if (end > s.n)
        return false;
    *host = str_head(s, end);
    if (end < s.n) {
        if (s.p[end] != ':')
            return false;
        port = str_skip(s, end + 1);
        if (port.n > 5 || !str_u64(port, &n) || n > 65535)
            return false;
    }
    if (v6)
        return host->n > 2 && host->n <= HOST_MAX &&
               only(str_make(host->p + 1, host->n - 2), ":.");
    return host->n > 0 && host->n <= HOST_MAX && only(*host, "-.");
}

/* Splits sip:user:password@host:port;params?headers. */
static bool read_sip(struct str s, struct str *user, struct str *host)
{
    size_t at = str_find(s, '@');
    struct str rest = s, end;

    *user = STR_NONE;
    if (at < s.n) {
        *user = str_head(s, at);
        rest = str_skip(s, at + 1);
        if (user->n == 0 || !escapes_ok(*user) || !only(*user, "-_.!~*'()%&=+$,;?/:"))
            return false;
        *user = str_head(*user, str_find(*user, ':'));
        *user = str_head(*user, str_find(*user, ';'));
    }
    if (!escapes_ok(rest) || !only(rest, "-_.!~*'()%&=+$[]/:;?"))
        return false;
    end = str_head(rest, str_find(rest, '?'));
    return host_ok(str_head(end, str_find(end, ';')), host);
}

/* tel:number;params of RFC 3966; "-", ".", "(" and ")" are there for the eye. */
static bool read_tel(struct str s, char *user, size_t cap, size_t *n)
{
    struct str number = str_head(s, str_find(s, ';'));

    if (!escapes_ok(s) || !only(s, "-_.!~*'()%&=+$,;/:[]#"))
        return false;
    for (size_t i = 0; i < number.n; i++) {
        if (has("-.()", number.p[i]))
            continue;
        if (*n + 1 >= cap)
            return false;
        user[(*n)++] = number.p[i];
    }
    return true;
}

static char unhex(char c)
{
    return (char)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* escapes_ok() was asked before. */
static bool decode(struct str s, char *user, size_t cap, size_t *n)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            c = (char)(unhex(s.p[i + 1]) << 4 | unhex(s.p[i + 2]));
            i += 2;
        }
        if (*n + 1 >= cap)
            return false;
        user[(*n)++] = c;
    }
    return true;
}

/* ---- Who it is. ---- */

static bool is_withheld(struct str user, struct str host)
{
    static const char *const words[] = {"anonymous", "restricted", "unavailable", "private",
                                        "unknown"};
    /* The words ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN and UNAVAILABLE on a telephone's keys. */
    static const char *const digits[] = {"+266696687", "+7378742833", "+2562533", "+8656696",
                                         "+86282452253"};

    if (str_ieq(host, STR("anonymous.invalid")))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_ieq(user, str_of(words[i])) || str_eqc(user, digits[i]))
            return true;
    return false;
}

int phone_from_sip(struct phone *out, struct str from_header)
{
    struct str uri, user, host = STR_NONE;
    char text[USER_MAX];
    size_t n = 0;
    bool good;

    *out = (struct phone){.kind = PHONE_MALFORMED};
    if (!find_uri(from_header, &uri))
        return ERR_INVALID;
    if (str_istarts(uri, STR("tel:"))) {
        good = read_tel(str_skip(uri, 4), text, sizeof text, &n);
    } else if (str_istarts(uri, STR("sip:")) || str_istarts(uri, STR("sips:"))) {
        good = read_sip(str_skip(uri, str_find(uri, ':') + 1), &user, &host) &&
               decode(user, text, sizeof text, &n);
    } else {
        good = false;
    }
    if (!good)
        return ERR_INVALID;
    out->host = host;
    user = str_make(text, n);
    if (is_withheld(user, host)) {
        out->kind = PHONE_ANONYMOUS;
    } else if (phone_is_e164(user) && str_copy(out->number, sizeof out->number, user)) {
        out->kind = PHONE_E164;
    }
    return out->kind == PHONE_MALFORMED ? ERR_INVALID : 0;
}
