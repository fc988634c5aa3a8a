/* SPDX-License-Identifier: MIT */
#include "plugin/proto/sig_twilio.h"

#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/proto/form.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES_MAX 256u
#define URL_BYTES_MAX 16384u
#define FORMS_OF_URL 6u
#define HASH_BYTES 20u

struct sig_twilio {
    unsigned n;
    struct {
        char text[TOKEN_BYTES_MAX];
        size_t n;
    } tokens[SIG_TWILIO_TOKENS_MAX];
};

int sig_twilio_open(struct sig_twilio **out, const struct str *tokens, unsigned n, struct err *e)
{
    struct sig_twilio *s;

    if (n == 0 || n > SIG_TWILIO_TOKENS_MAX)
        return err_set(e, ERR_INVALID, "give 1 to %u auth tokens", SIG_TWILIO_TOKENS_MAX);
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    s = MEM_NEW(struct sig_twilio);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for auth tokens");
    for (unsigned i = 0; i < n; i++) {
        if (tokens[i].n == 0 || tokens[i].n > TOKEN_BYTES_MAX) {
            sig_twilio_free(s);
            return err_set(e, ERR_INVALID, "auth token %u cannot be one: copy it whole", i + 1);
        }
        memcpy(s->tokens[i].text, tokens[i].p, tokens[i].n);
        s->tokens[i].n = tokens[i].n;
        s->n++;
    }
    *out = s;
    return 0;
}

void sig_twilio_free(struct sig_twilio *s)
{
    if (s == NULL)
        return;
    OPENSSL_cleanse(s, sizeof *s);
    mem_free(s);
}

/* ---- the forms of a URL that a signer may have used ---- */

struct parts {
    struct str scheme, user, host, port, rest; /* "https://", "u:p@", "host", ":8443", "/path?query" */
};

static bool cut(struct parts *out, struct str url)
{
    size_t at = str_find_str(url, STR("://")), end, user;
    struct str authority;

    if (at == url.n)
        return false;
    out->scheme = str_head(url, at + 3);
    url = str_skip(url, at + 3);
    for (end = 0; end < url.n && strchr("/?#", url.p[end]) == NULL; end++)
        ;
    out->rest = str_skip(url, end);
    authority = str_head(url, end);
    for (user = authority.n; user > 0 && authority.p[user - 1] != '@'; user--)
        ;
    out->user = str_head(authority, user);
    authority = str_skip(authority, user);
    /* Only behind an IPv6 literal's bracket a colon begins the port. */
    for (at = authority.n; at > 0 && authority.p[at - 1] != ']'; at--)
        ;
    at += str_find(str_skip(authority, at), ':');
    out->host = str_head(authority, at);
    out->port = str_skip(authority, at);
    return true;
}

static bool is_https(const struct parts *p)
{
    return str_ieq(p->scheme, STR("https://"));
}

static void put_url(struct buf *b, const struct parts *p, struct str port)
{
    (void)buf_puts(b, p->scheme);
    (void)buf_puts(b, p->user);
    (void)buf_puts(b, p->host);
    (void)buf_puts(b, port);
    (void)buf_puts(b, p->rest);
}

/* The URL without its port, then with it or the standard one. */
static void put_both(struct buf form[2], const struct parts *p)
{
    put_url(&form[0], p, STR_NONE);
    put_url(&form[1], p, p->port.n > 0 ? p->port : is_https(p) ? STR(":443") : STR(":80"));
}

static void put_lower(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        (void)buf_putc(b, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 32) : s.p[i]);
}

static void put_code(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789ABCDEF";
    char code[3] = {'%', hex[c >> 4], hex[c & 15]};

    (void)buf_put(b, code, 3);
}

/* Escapes what a WHATWG URL parser escapes in a path and in the query of http(s). */
static void put_escaped(struct buf *b, struct str s)
{
    const char *special = "\"<>^`{}";

    if (s.n == 0 || s.p[0] != '/')
        (void)buf_putc(b, '/');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '?')
            special = "\"<>'"; /* from here on the query */
        if (c <= ' ' || c >= 0x7f || strchr(special, c) != NULL)
            put_code(b, c);
        else
            (void)buf_putc(b, (char)c);
    }
}

/* Lower case, no standard port, escaped; the parts are slices of `room`. */
static int normalise(struct buf *room, struct parts *p)
{
    struct str standard = is_https(p) ? STR(":443") : STR(":80");
    size_t host, rest;

    put_lower(room, p->scheme);
    host = room->n;
    put_lower(room, p->host);
    rest = room->n;
    put_escaped(room, p->rest);
    if (room->rc < 0)
        return room->rc;
    p->scheme = str_make(room->p, host);
    p->host = str_make(room->p + host, rest - host);
    p->rest = str_make(room->p + rest, room->n - rest);
    if (str_eq(p->port, standard))
        p->port = STR_NONE;
    return 0;
}

/* As Node's querystring writes: it leaves more as it is than a form does. */
static void put_legacy(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c != '\0' && strchr("!'()*-._~", c) != NULL))
            (void)buf_putc(b, (char)c);
        else
            put_code(b, c);
    }
}

/* The values of a repeated name stand together, at its first place. */
static void put_fields(struct buf *b, const struct form *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        bool seen = false;

        for (unsigned j = 0; j < i && !seen; j++)
            seen = str_eq(f->fields[j].name, f->fields[i].name);
        for (unsigned j = i; j < f->n && !seen; j++) {
            if (!str_eq(f->fields[j].name, f->fields[i].name))
                continue;
            if (b->p[b->n - 1] != '?')
                (void)buf_putc(b, '&');
            put_legacy(b, f->fields[j].name);
            (void)buf_putc(b, '=');
            put_legacy(b, f->fields[j].value);
        }
    }
}

/* p->rest with its query decoded and written anew, a slice of `room`; a query that cannot be read stays. */
static int rewrite_query(struct buf *room, struct parts *p)
{
    size_t at = str_find(p->rest, '?');
    struct form f;
    int rc;

    if (at + 1 >= p->rest.n)
        return 0;
    rc = form_read(&f, str_skip(p->rest, at + 1));
    if (rc < 0)
        return rc == ERR_NOMEM ? rc : 0;
    rc = buf_puts(room, str_head(p->rest, at + 1));
    if (rc == 0)
        put_fields(room, &f);
    form_free(&f);
    p->rest = buf_str(room);
    return room->rc;
}

/* All forms of the URL, in the order in which the sender's own library tries them. */
static int forms_of(struct buf form[FORMS_OF_URL], struct str url)
{
    struct buf room, query;
    struct parts p;
    int rc;

    if (!cut(&p, url))
        return ERR_DENIED;
    buf_init(&room, 3 * URL_BYTES_MAX);
    buf_init(&query, 3 * URL_BYTES_MAX);
    put_both(form, &p);
    rc = normalise(&room, &p);
    if (rc == 0) {
        put_both(form + 2, &p);
        rc = rewrite_query(&query, &p);
    }
    if (rc == 0)
        put_both(form + 4, &p);
    buf_free(&room);
    buf_free(&query);
    for (unsigned i = 0; i < FORMS_OF_URL && rc == 0; i++)
        rc = form[i].rc;
    return rc == ERR_TOO_BIG ? ERR_DENIED : rc;
}

/* ---- parameters ---- */

/* Order of UTF-16 code units, as the sender sorts: characters above U+FFFF come before U+E000. */
static int compare_text(struct str a, struct str b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];

        if (x == y)
            continue;
        if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0))
            return x >= 0xf0 ? -1 : 1;
        return x < y ? -1 : 1;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

static int compare_fields(const void *left, const void *right)
{
    const struct form_field *a = left, *b = right;
    int order = compare_text(a->name, b->name);

    return order != 0 ? order : compare_text(a->value, b->value);
}

static int put_params(struct buf *b, struct str text)
{
    struct form f;
    int rc = form_read(&f, text);

    if (rc < 0)
        return rc == ERR_NOMEM ? rc : ERR_DENIED;
    if (f.n > 1)
        qsort(f.fields, f.n, sizeof *f.fields, compare_fields);
    for (unsigned i = 0; i < f.n; i++) {
        if (i > 0 && compare_fields(&f.fields[i - 1], &f.fields[i]) == 0)
            continue;
        (void)buf_puts(b, f.fields[i].name);
        (void)buf_puts(b, f.fields[i].value);
    }
    form_free(&f);
    return b->rc;
}

static bool is_form(struct str content_type)
{
    return str_ieq(str_trim(str_head(content_type, str_find(content_type, ';'))),
                   STR("application/x-www-form-urlencoded"));
}

/* The URL's query says which hash the body has; it is part of what is signed. */
static int check_body_hash(struct str url, struct str body)
{
    unsigned char hash[32];
    char text[65];
    struct form query;
    int rc = form_read(&query, str_skip(url, str_find(url, '?') + 1));

    if (rc < 0)
        return rc == ERR_NOMEM ? rc : ERR_DENIED;
    id_sha256(hash, body);
    for (unsigned i = 0; i < sizeof hash; i++) {
        text[2 * i] = "0123456789abcdef"[hash[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
    }
    text[64] = '\0';
    rc = id_equal_ct(str_of(text), form_get(&query, "bodySHA256")) ? 0 : ERR_DENIED;
    form_free(&query);
    return rc;
}

/* What is signed behind the URL. */
static int bind_body(struct buf *tail, const struct sig_twilio_request *r)
{
    if (str_find_str(r->url, STR("bodySHA256")) < r->url.n)
        return check_body_hash(r->url, r->body);
    if (r->body.n == 0)
        return 0;
    return is_form(r->content_type) ? put_params(tail, r->body) : ERR_DENIED;
}

/* ---- the signature ---- */

static bool make(const struct sig_twilio *s, unsigned token, struct str data, char out[SIG_TWILIO_TEXT])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (HMAC(EVP_sha1(), s->tokens[token].text, (int)s->tokens[token].n, (const unsigned char *)data.p,
             data.n, hash, &n) == NULL || n != HASH_BYTES)
        return false;
    (void)EVP_EncodeBlock((unsigned char *)out, hash, (int)HASH_BYTES);
    return true;
}

/* All tokens and forms are tried, whichever fits: rotation must not show in the time it takes. */
static int compare_all(const struct sig_twilio *s, const struct buf form[FORMS_OF_URL], struct str signature)
{
    char ours[SIG_TWILIO_TEXT] = "";
    bool fits = false;

    for (unsigned i = 0; i < s->n; i++)
        for (unsigned j = 0; j < FORMS_OF_URL; j++) {
            if (!make(s, i, buf_str(&form[j]), ours))
                return ERR_NOMEM;
            fits |= CRYPTO_memcmp(ours, signature.p, SIG_TWILIO_TEXT - 1) == 0;
        }
    OPENSSL_cleanse(ours, sizeof ours);
    return fits ? 0 : ERR_DENIED;
}

int sig_twilio_verify(const struct sig_twilio *s, const struct sig_twilio_request *r)
{
    struct buf form[FORMS_OF_URL], tail;
    int rc;

    if (r->signature.n != SIG_TWILIO_TEXT - 1 || r->url.n > URL_BYTES_MAX)
        return ERR_DENIED;
    buf_init(&tail, FORM_BYTES_MAX);
    for (unsigned i = 0; i < FORMS_OF_URL; i++)
        buf_init(&form[i], 3 * URL_BYTES_MAX + FORM_BYTES_MAX);
    rc = bind_body(&tail, r);
    if (rc == 0)
        rc = forms_of(form, r->url);
    for (unsigned i = 0; i < FORMS_OF_URL && rc == 0; i++)
        rc = buf_puts(&form[i], buf_str(&tail));
    if (rc == 0)
        rc = compare_all(s, form, r->signature);
    for (unsigned i = 0; i < FORMS_OF_URL; i++)
        buf_free(&form[i]);
    buf_free(&tail);
    return rc;
}

int sig_twilio_sign(const struct sig_twilio *s, struct str url, struct str form, char out[SIG_TWILIO_TEXT])
{
    struct buf data;
    int rc;

    buf_init(&data, URL_BYTES_MAX + FORM_BYTES_MAX);
    (void)buf_puts(&data, url);
    rc = put_params(&data, form);
    if (rc == 0 && !make(s, 0, buf_str(&data), out))
        rc = ERR_NOMEM;
    buf_free(&data);
    return rc == ERR_TOO_BIG ? ERR_DENIED : rc;
}
