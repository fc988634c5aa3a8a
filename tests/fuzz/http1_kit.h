/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_HTTP1_KIT_H
#define TESTS_FUZZ_HTTP1_KIT_H
/* Reads HTTP messages whole or in pieces; what was read must not depend on that. */
#include "plugin/proto/http1.h"
#include "tests/fuzz/fuzz.h"

struct http1_seen {
    uint64_t hash;
    unsigned messages;
    int rc, status;
};

static inline void http1_judge(const struct http1 *h, const struct http1_msg *m, struct http1_seen *seen)
{
    struct str body = http1_body(m);

    FUZZ_MUST(m->bytes.n <= h->header_max + h->body_max + 16u);
    FUZZ_MUST(body.n <= h->body_max);
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

static inline struct http1_seen http1_run(struct str in, size_t piece, bool is_client, bool head_request)
{
    struct http1_seen seen = {0};
    struct http1 h;
    struct http1_msg m;
    struct err e = {0};
    unsigned still = 0;

    http1_init(&h, is_client, 1024, 2048);
    http1_msg_init(&m);
    http1_next(&h, &m, head_request);
    for (size_t at = 0, end = 0; at < in.n || end == 0;) {
        size_t used = 0;

        if (at >= end)
            end = at + piece < in.n ? at + piece : in.n;
        seen.rc = http1_feed(&h, str_make(in.p + at, end - at), &used, &e);
        FUZZ_MUST(used <= end - at);
        if (seen.rc < 0) {
            FUZZ_MUST(h.state == HTTP1_FAILED || fuzz_starved);
            seen.status = is_client ? 0 : h.fault_status;
            FUZZ_MUST(is_client || fuzz_starved || (seen.status >= 400 && seen.status < 600));
            break;
        }
        at += used;
        if (h.state == HTTP1_DONE) {
            http1_judge(&h, &m, &seen);
            if (m.upgraded)
                break;
            http1_msg_clear(&m);
            http1_next(&h, &m, head_request);
        } else if (used == 0 && at < end) {
            FUZZ_MUST(++still < 3); /* it must use what it is given, or say why not */
            continue;
        }
        still = 0;
        if (in.n == 0)
            break;
    }
    if (seen.rc == 0 && is_client && h.state != HTTP1_DONE && !m.upgraded && !http1_idle(&h)) {
        seen.rc = http1_finish(&h, &e);
        if (seen.rc == 0)
            http1_judge(&h, &m, &seen);
    }
    http1_msg_free(&m);
    return seen;
}

static inline void http1_both(struct str in, size_t piece, bool is_client, bool head_request)
{
    struct http1_seen whole = http1_run(in, in.n + 1, is_client, head_request);
    struct http1_seen parts = http1_run(in, piece, is_client, head_request);

    if (fuzz_starved)
        return;
    FUZZ_MUST(whole.messages == parts.messages);
    FUZZ_MUST(whole.hash == parts.hash);
    /* Of two faults in one message either may be told. */
    FUZZ_MUST((whole.rc < 0) == (parts.rc < 0));
}

#endif
