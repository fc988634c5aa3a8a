/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_HTTP1_KIT_H
#define TESTS_FUZZ_HTTP1_KIT_H
/*
 * Reads HTTP messages whole or in pieces, collected or handed on; what was read must not depend on that, and bodies are
 * what a second reader finds in the bytes.
 */
#include "plugin/proto/http1.h"
#include "tests/fuzz/fuzz.h"

struct http1_seen {
    uint64_t hash;
    unsigned messages;
    int rc, status;
};

#define HTTP1_HEADER_MAX 1024u
#define HTTP1_BODY_MAX 2048u
#define HTTP1_SUNK_MAX 600u /* a sink that has so much wants no more */

struct http1_sunk {
    char bytes[HTTP1_SUNK_MAX];
    size_t n;
    bool refused;
};

static inline bool http1_on_body(void *arg, struct str bytes)
{
    struct http1_sunk *s = arg;

    FUZZ_MUST(!s->refused);
    s->refused = bytes.n > sizeof s->bytes - s->n;
    if (!s->refused && bytes.n > 0) {
        memcpy(s->bytes + s->n, bytes.p, bytes.n);
        s->n += bytes.n;
    }
    return !s->refused;
}

/* A line of the text, which ends in CR LF; the rest stays. */
static inline struct str http1_line(struct str *text)
{
    struct str line = str_head(*text, str_find_str(*text, STR("\r\n")));

    FUZZ_MUST(line.n + 2 <= text->n);
    *text = str_skip(*text, line.n + 2);
    return line;
}

/* The chunks of `raw` are the body, and the trailer ends with it: no byte less, none more. */
static inline void http1_chunks(struct str raw, struct str body)
{
    for (;;) {
        struct str line = http1_line(&raw), size = str_head(line, str_find(line, ';'));
        char digits[9] = "";
        unsigned long n;

        FUZZ_MUST(size.n > 0 && size.n < sizeof digits);
        memcpy(digits, size.p, size.n);
        FUZZ_MUST(strspn(digits, "0123456789abcdefABCDEF") == size.n);
        n = strtoul(digits, NULL, 16);
        if (n == 0)
            break;
        FUZZ_MUST(n <= body.n && n + 2 <= raw.n && memcmp(raw.p, body.p, n) == 0);
        body = str_skip(body, n);
        raw = str_skip(raw, n);
        FUZZ_MUST(http1_line(&raw).n == 0);
    }
    FUZZ_MUST(body.n == 0);
    for (struct str line = http1_line(&raw); line.n > 0; line = http1_line(&raw)) {
        size_t colon = str_find(line, ':');

        FUZZ_MUST(colon > 0 && colon < line.n && str_find(line, '\r') == line.n && str_find(line, '\n') == line.n);
        FUZZ_MUST(str_find(line, ' ') > colon && str_find(line, '\t') > colon);
    }
    FUZZ_MUST(raw.n == 0);
}

/* The message once more, from its bytes. Interim responses before it, and empty lines, are left out. */
static inline void http1_again(struct str raw, const struct http1 *h, const struct http1_msg *m, struct str body)
{
    struct str length = http1_field(m, "content-length");
    uint64_t n = 0;

    while (str_starts(raw, STR("\r\n")))
        raw = str_skip(raw, 2);
    while (h->is_client && str_starts(raw, STR("HTTP/1.")) && raw.n > 12 && raw.p[9] == '1' &&
           memcmp(raw.p + 9, "101", 3) != 0)
        raw = str_skip(raw, str_find_str(raw, STR("\r\n\r\n")) + 4);
    FUZZ_MUST(str_find_str(raw, STR("\r\n\r\n")) < HTTP1_HEADER_MAX);
    raw = str_skip(raw, str_find_str(raw, STR("\r\n\r\n")) + 4);
    if (h->is_client && (h->head_request || m->status < 200 || m->status == 204 || m->status == 304))
        FUZZ_MUST(raw.n == 0 && body.n == 0); /* RFC 9112, 6.3 */
    if (m->upgraded || m->no_body) {
        FUZZ_MUST(raw.n == 0 && body.n == 0);
    } else if (http1_field_count(m, "transfer-encoding") > 0) {
        http1_chunks(raw, body);
    } else {
        FUZZ_MUST(h->is_client || length.p != NULL || raw.n == 0);
        FUZZ_MUST(length.p == NULL || (str_u64(length, &n) && n == raw.n));
        FUZZ_MUST(str_eq(raw, body));
    }
}

static inline void http1_judge(const struct http1 *h, const struct http1_msg *m, struct str body, struct http1_seen *seen)
{
    FUZZ_MUST(m->bytes.n <= h->header_max + h->body_max + 16u);
    FUZZ_MUST(body.n <= h->body_max);
    FUZZ_MUST(http1_reason(m->status)[0] != '\0');
    FUZZ_MUST(m->n_fields <= HTTP1_FIELDS_MAX);
    if (!h->is_client) {
        struct str method = http1_slice(m, m->method), path = http1_slice(m, m->path);

        /* An absolute target may be without a path. */
        FUZZ_MUST(method.n > 0 && (path.n == 0 || path.p[0] == '/' || str_eqc(path, "*") || str_eqc(method, "CONNECT")));
        FUZZ_MUST(m->minor == 0 || http1_field_count(m, "host") == 1);
        FUZZ_MUST(http1_field_count(m, "content-length") <= 1);
        FUZZ_MUST(http1_field_count(m, "content-length") == 0 || http1_field_count(m, "transfer-encoding") == 0);
        seen->hash = fuzz_hash(fuzz_hash(fuzz_hash(seen->hash, method), http1_slice(m, m->path)),
                               http1_slice(m, m->query));
    } else {
        FUZZ_MUST(m->status >= 100 && m->status <= 999);
    }
    for (unsigned i = 0; i < m->n_fields; i++) {
        const struct http1_field *f = &m->fields[i];
        struct str value = {m->bytes.p + f->value, f->value_n}, name = {m->bytes.p + f->name, f->name_n};

        FUZZ_MUST(name.n > 0 && str_find(name, ' ') == name.n && str_find(name, ':') == name.n);
        FUZZ_MUST(!str_has_nul(value) && str_find(value, '\r') == value.n && str_find(value, '\n') == value.n);
        seen->hash = fuzz_hash(fuzz_hash(seen->hash, name), value);
    }
    seen->hash = fuzz_hash(seen->hash, body) + (unsigned)m->status + m->minor + m->keep_alive * 7u;
    seen->messages++;
}

struct http1_way {
    size_t piece;
    bool is_client, head_request, sink;
};

static inline struct http1_seen http1_run(struct str in, struct http1_way way)
{
    struct http1_seen seen = {0};
    struct http1_sunk sunk = {.n = 0};
    struct http1 h;
    struct http1_msg m;
    struct err e = {0};
    size_t at = 0, end = 0, from = 0;
    unsigned still = 0;

    http1_init(&h, way.is_client, HTTP1_HEADER_MAX, HTTP1_BODY_MAX);
    http1_msg_init(&m);
    http1_next(&h, &m, way.head_request);
    http1_sink(&h, way.sink ? http1_on_body : NULL, &sunk);
    while (at < in.n) {
        size_t used = 0;

        if (at >= end)
            end = at + way.piece < in.n ? at + way.piece : in.n;
        seen.rc = http1_feed(&h, str_make(in.p + at, end - at), &used, &e);
        FUZZ_MUST(used <= end - at);
        if (seen.rc < 0) {
            FUZZ_MUST(h.state == HTTP1_FAILED || fuzz_starved);
            FUZZ_MUST((seen.rc == ERR_CANCELED) == sunk.refused);
            seen.status = way.is_client ? 0 : h.fault_status;
            FUZZ_MUST(way.is_client || fuzz_starved || (seen.status >= 400 && seen.status < 600));
            FUZZ_MUST(way.is_client || http1_reason(seen.status)[0] != '\0');
            break;
        }
        at += used;
        if (h.state == HTTP1_DONE) {
            struct str body = way.sink ? str_make(sunk.bytes, sunk.n) : http1_body(&m);

            http1_again(str_make(in.p + from, at - from), &h, &m, body);
            http1_judge(&h, &m, body, &seen);
            if (m.upgraded)
                break;
            http1_msg_clear(&m);
            http1_next(&h, &m, way.head_request);
            http1_sink(&h, way.sink ? http1_on_body : NULL, &sunk);
            sunk.n = 0;
            from = at;
        } else if (used == 0 && at < end) {
            FUZZ_MUST(++still < 3); /* it must use what it is given, or say why not */
            continue;
        }
        still = 0;
    }
    if (seen.rc == 0 && way.is_client && h.state != HTTP1_DONE && !m.upgraded && !http1_idle(&h)) {
        seen.rc = http1_finish(&h, &e);
        if (seen.rc == 0) {
            struct str body = way.sink ? str_make(sunk.bytes, sunk.n) : http1_body(&m);

            http1_again(str_make(in.p + from, in.n - from), &h, &m, body);
            http1_judge(&h, &m, body, &seen);
        }
    }
    http1_msg_free(&m);
    return seen;
}

static inline void http1_same(struct http1_seen a, struct http1_seen b)
{
    FUZZ_MUST(a.messages == b.messages && a.hash == b.hash);
    /* Of two faults in one message either may be told. */
    FUZZ_MUST((a.rc < 0) == (b.rc < 0));
}

static inline void http1_both(struct str in, size_t piece, bool is_client, bool head_request)
{
    struct http1_way way = {in.n + 1, is_client, head_request, false};
    struct http1_seen whole = http1_run(in, way), other;

    way.piece = piece;
    other = http1_run(in, way);
    if (!fuzz_starved)
        http1_same(whole, other);
    if (!is_client)
        return;
    way.sink = true;
    other = http1_run(in, way);
    if (!fuzz_starved && whole.rc == 0 && other.rc != ERR_CANCELED)
        http1_same(whole, other);
}

#endif
