/* SPDX-License-Identifier: MIT */
#include "plugin/proto/http1_int.h"

#include <llhttp.h>
#include <string.h>

#define KEEP_BYTES 16384u
#define INTERIM_MAX 8u        /* 1xx answers before the real one */
#define LEADING_LINES_MAX 2u  /* empty lines before a request (RFC 9112, 2.2) */

/* What one head says, while it is judged. */
struct head {
    struct http1 *h;
    const char *base;
    struct str target;
    bool too_many;
    unsigned hosts, lengths, encodings;
    bool close, keep_alive, chunked, bad_expect;
    uint64_t length;
};

/* ---- messages ---- */

void http1_msg_init(struct http1_msg *m)
{
    memset(m, 0, sizeof *m);
    buf_init(&m->bytes, UINT32_MAX / 2);
}

void http1_msg_clear(struct http1_msg *m)
{
    if (m->bytes.cap > KEEP_BYTES)
        buf_free(&m->bytes);
    buf_clear(&m->bytes);
    m->method = m->path = m->query = (struct http1_slice){0, 0};
    m->status = 0;
    m->minor = 0;
    m->keep_alive = m->expects_continue = m->upgraded = m->no_body = false;
    m->body_at = 0;
    m->n_fields = 0;
}

void http1_msg_free(struct http1_msg *m)
{
    buf_free(&m->bytes);
    http1_msg_clear(m);
}

struct str http1_slice(const struct http1_msg *m, struct http1_slice s)
{
    return str_make(m->bytes.p + s.at, s.n);
}

static struct str field_name(const struct http1_msg *m, unsigned i)
{
    return str_make(m->bytes.p + m->fields[i].name, m->fields[i].name_n);
}

static struct str field_value(const struct http1_msg *m, unsigned i)
{
    return str_make(m->bytes.p + m->fields[i].value, m->fields[i].value_n);
}

struct str http1_field(const struct http1_msg *m, const char *name)
{
    struct str want = str_of(name);

    for (unsigned i = 0; i < m->n_fields; i++)
        if (m->fields[i].name_n == want.n && str_ieq(field_name(m, i), want))
            return field_value(m, i);
    return STR_NONE;
}

unsigned http1_field_count(const struct http1_msg *m, const char *name)
{
    struct str want = str_of(name);
    unsigned n = 0;

    for (unsigned i = 0; i < m->n_fields; i++)
        if (m->fields[i].name_n == want.n && str_ieq(field_name(m, i), want))
            n++;
    return n;
}

struct str http1_body(const struct http1_msg *m)
{
    return str_skip(buf_str(&m->bytes), m->body_at);
}

/* ---- the reader ---- */

void http1_init(struct http1 *h, bool is_client, uint32_t header_max, uint32_t body_max)
{
    *h = (struct http1){.is_client = is_client, .header_max = header_max, .body_max = body_max};
}

void http1_next(struct http1 *h, struct http1_msg *m, bool head_request)
{
    h->msg = m;
    h->head_request = head_request;
    h->state = HTTP1_HEAD;
    h->fault_status = 0;
    h->framing = FRAMING_NONE;
    h->chunk_state = CHUNK_SIZE_FIRST;
    h->interim = 0;
    h->cr = false;
    h->lines = 0;
    h->line_n = h->extra_n = 0;
    h->left = h->body_n = 0;
    h->sink = NULL;
}

void http1_sink(struct http1 *h, http1_body_fn *fn, void *arg)
{
    h->sink = fn;
    h->sink_arg = arg;
}

bool http1_idle(const struct http1 *h)
{
    return h->state == HTTP1_HEAD && h->msg->bytes.n == 0 && !h->cr && h->interim == 0;
}

/* ---- llhttp's callbacks: they only note where things stand ---- */

static uint32_t offset(const struct head *d, const char *p)
{
    return (uint32_t)(p - d->base);
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct head *d = p->data;

    d->target = str_make(at, n);
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct head *d = p->data;
    struct http1_msg *m = d->h->msg;

    if (m->n_fields == HTTP1_FIELDS_MAX) {
        d->too_many = true;
        return HPE_USER;
    }
    m->fields[m->n_fields++] = (struct http1_field){offset(d, at), (uint32_t)n,
                                                    offset(d, at) + (uint32_t)n + 1, 0};
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct head *d = p->data;
    struct http1_msg *m = d->h->msg;
    struct http1_field *f;

    if (m->n_fields == 0)
        return HPE_USER;
    f = &m->fields[m->n_fields - 1];
    if (f->value_n == 0)
        f->value = offset(d, at);
    f->value_n = offset(d, at) + (uint32_t)n - f->value;
    return 0;
}

static int on_head_end(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED; /* bodies are framed here */
}

/* ---- judging a head ---- */

static bool host_is_valid(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];

        if (c <= ' ' || c >= 0x7f || strchr(",/\\?#@<>\"{}|^`", c) != NULL)
            return false;
    }
    return true;
}

static void read_connection(struct head *d, struct str list)
{
    struct str part;

    while (str_split(&list, ',', &part)) {
        part = str_trim(part);
        if (str_ieq(part, STR("close")))
            d->close = true;
        else if (str_ieq(part, STR("keep-alive")))
            d->keep_alive = true;
    }
}

/* The fields that decide how the message is framed; by length first, most fields are none of them. */
static int read_field(struct head *d, struct str name, struct str value, struct err *e)
{
    struct http1 *h = d->h;

    switch (name.n) {
    case 4:
        if (str_ieq(name, STR("host"))) {
            d->hosts++;
            if (!h->is_client && !host_is_valid(value))
                return http1_fault(h, 400, "the Host header is malformed", e);
        }
        return 0;
    case 6:
        if (str_ieq(name, STR("expect"))) {
            h->msg->expects_continue = str_ieq(value, STR("100-continue"));
            d->bad_expect = !h->msg->expects_continue;
        }
        return 0;
    case 10:
        if (str_ieq(name, STR("connection")))
            read_connection(d, value);
        return 0;
    case 14:
        if (str_ieq(name, STR("content-length"))) {
            d->lengths++;
            if (!str_u64(value, &d->length) || value.n > 18)
                return http1_fault(h, 400, "Content-Length is not a number", e);
        }
        return 0;
    case 17:
        if (str_ieq(name, STR("transfer-encoding"))) {
            d->encodings++;
            d->chunked = str_ieq(value, STR("chunked"));
        }
        return 0;
    default:
        return 0;
    }
}

/* Each field on one line of its own, nothing between its name and the colon (RFC 9112, 5.1 and 5.2). */
static int check_fields(struct head *d, struct err *e)
{
    struct http1 *h = d->h;
    struct http1_msg *m = h->msg;
    int rc = 0;

    if (h->lines != m->n_fields + 1u)
        return http1_fault(h, 400, "a header line is malformed or folded", e);
    for (unsigned i = 0; rc == 0 && i < m->n_fields; i++) {
        struct http1_field *f = &m->fields[i];
        struct str value = str_trim(field_value(m, i));

        f->value = value.n > 0 ? offset(d, value.p) : f->value;
        f->value_n = (uint32_t)value.n;
        if (f->name < 2 || d->base[f->name - 1] != '\n' || d->base[f->name + f->name_n] != ':' ||
            !http1_is_token(field_name(m, i)))
            return http1_fault(h, 400, "a header name is malformed", e);
        rc = read_field(d, field_name(m, i), value, e);
    }
    return rc;
}

/* Splits "a b c" at its only two blanks. */
static bool three_parts(struct str line, struct str part[3])
{
    struct str rest = line;

    for (int i = 0; i < 3; i++)
        if (!str_split(&rest, ' ', &part[i]) || part[i].n == 0)
            return false;
    return rest.p == NULL;
}

/* RFC 9112, 3.2: origin, absolute, authority (CONNECT) and asterisk (OPTIONS) form. */
static int read_target(struct http1 *h, struct str method, struct str t, struct err *e)
{
    struct http1_msg *m = h->msg;
    const char *base = m->bytes.p;
    size_t at;

    for (size_t i = 0; i < t.n; i++)
        if ((unsigned char)t.p[i] <= ' ' || (unsigned char)t.p[i] >= 0x7f || t.p[i] == '#')
            return http1_fault(h, 400, "the request target has a character that no target has", e);
    m->query = (struct http1_slice){0, 0};
    if (str_eqc(method, "CONNECT") || (str_eqc(method, "OPTIONS") && str_eqc(t, "*"))) {
        m->path = (struct http1_slice){(uint32_t)(t.p - base), (uint32_t)t.n};
        return 0;
    }
    if (str_istarts(t, STR("http://")) || str_istarts(t, STR("https://"))) {
        t = str_skip(t, t.p[4] == ':' ? 7 : 8);
        for (at = 0; at < t.n && t.p[at] != '/' && t.p[at] != '?'; at++)
            ;
        if (at == 0 || !host_is_valid(str_head(t, at)))
            return http1_fault(h, 400, "the request target has no valid host", e);
        t = str_skip(t, at);
    } else if (t.p[0] != '/') {
        return http1_fault(h, 400, "the request target is malformed", e);
    }
    at = str_find(t, '?');
    m->path = (struct http1_slice){(uint32_t)(t.p - base), (uint32_t)at};
    if (at < t.n)
        m->query = (struct http1_slice){(uint32_t)(t.p - base + (ptrdiff_t)at) + 1, (uint32_t)(t.n - at - 1)};
    return 0;
}

/* method SP target SP "HTTP/1." digit (RFC 9112, 3) */
static int read_request_line(struct http1 *h, struct str line, struct str *target, struct err *e)
{
    struct str part[3];

    if (!three_parts(line, part) || !http1_is_token(part[0]) || part[2].n != 8 ||
        !str_starts(part[2], STR("HTTP/")))
        return http1_fault(h, 400, "the request line is malformed", e);
    if (!str_starts(part[2], STR("HTTP/1.")) || part[2].p[7] < '0' || part[2].p[7] > '1')
        return http1_fault(h, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here", e);
    h->msg->minor = (uint8_t)(part[2].p[7] - '0');
    h->msg->method = (struct http1_slice){0, (uint32_t)part[0].n};
    *target = part[1];
    return read_target(h, part[0], part[1], e);
}

/* "HTTP/1." digit SP 3DIGIT [SP reason] (RFC 9112, 4) */
static int read_status_line(struct http1 *h, struct str line, struct err *e)
{
    uint64_t status = 0;

    if (!str_starts(line, STR("HTTP/1.")) || line.n < 12 || line.p[7] < '0' || line.p[7] > '1' ||
        line.p[8] != ' ' || !str_u64(str_make(line.p + 9, 3), &status) || status < 100 ||
        status > 599 || (line.n > 12 && line.p[12] != ' '))
        return http1_fault(h, 400, "the status line is malformed", e);
    h->msg->minor = (uint8_t)(line.p[7] - '0');
    h->msg->status = (int)status;
    return 0;
}

/* RFC 9112, 6.3, made strict: any doubt about the length is an error. */
static int frame_request(struct head *d, struct err *e)
{
    struct http1 *h = d->h;
    struct http1_msg *m = h->msg;

    if (d->hosts > 1 || (d->hosts == 0 && m->minor > 0))
        return http1_fault(h, 400, d->hosts == 0 ? "the Host header is missing" : "two Host headers", e);
    if (d->lengths > 1)
        return http1_fault(h, 400, "two Content-Length headers", e);
    if (d->encodings > 0 && d->lengths > 0)
        return http1_fault(h, 400, "Content-Length and Transfer-Encoding together", e);
    if (d->encodings > 0 && m->minor == 0)
        return http1_fault(h, 400, "Transfer-Encoding in HTTP/1.0", e);
    if (d->encodings > 0 && (d->encodings > 1 || !d->chunked))
        return http1_fault(h, 501, "only Transfer-Encoding: chunked is understood", e);
    if (d->bad_expect && m->minor > 0)
        return http1_fault(h, 417, "an expectation that cannot be met", e);
    if (d->length > h->body_max)
        return http1_fault(h, 413, "the body is too large", e);
    h->framing = d->chunked ? FRAMING_CHUNKED : d->length > 0 ? FRAMING_LENGTH : FRAMING_NONE;
    m->expects_continue = m->expects_continue && m->minor > 0 && h->framing != FRAMING_NONE;
    return 0;
}

static int frame_response(struct head *d, struct err *e)
{
    struct http1 *h = d->h;
    int status = h->msg->status;

    if (d->lengths > 1 || d->encodings > 1 || (d->lengths > 0 && d->encodings > 0))
        return http1_fault(h, 400, "the response's length is ambiguous", e);
    if (h->head_request || status < 200 || status == 204 || status == 304)
        h->framing = FRAMING_NONE;
    else if (d->chunked)
        h->framing = FRAMING_CHUNKED;
    else if (d->encodings > 0)
        return http1_fault(h, 400, "the response has a transfer coding that nobody asked for", e);
    else if (d->lengths > 0)
        h->framing = d->length > 0 ? FRAMING_LENGTH : FRAMING_NONE;
    else
        h->framing = FRAMING_CLOSE;
    h->msg->upgraded = status == 101;
    return 0;
}

static int run_llhttp(struct head *d, struct err *e)
{
    static const llhttp_settings_t settings = {.on_url = on_url, .on_header_field = on_field,
                                               .on_header_value = on_value,
                                               .on_headers_complete = on_head_end};
    struct http1 *h = d->h;
    llhttp_t p;
    llhttp_errno_t rc;

    llhttp_init(&p, h->is_client ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    p.data = d;
    rc = llhttp_execute(&p, h->msg->bytes.p, h->msg->bytes.n);
    if (rc == HPE_PAUSED)
        return 0;
    if (d->too_many)
        return http1_fault(h, 431, "too many header lines", e);
    if (rc == HPE_INVALID_METHOD)
        return http1_fault(h, 501, "an unknown method", e);
    return http1_fault(h, 400, rc == HPE_OK || p.reason == NULL ? "the head is malformed" : p.reason, e);
}

static int read_head(struct http1 *h, struct err *e)
{
    struct http1_msg *m = h->msg;
    struct head d = {.h = h, .base = m->bytes.p};
    struct str line = str_head(buf_str(&m->bytes), str_find(buf_str(&m->bytes), '\r'));
    struct str target = STR_NONE;
    int rc;

    m->body_at = (uint32_t)m->bytes.n;
    if (str_has_nul(buf_str(&m->bytes)))
        return http1_fault(h, 400, "a NUL byte in the head", e);
    rc = h->is_client ? read_status_line(h, line, e) : read_request_line(h, line, &target, e);
    if (rc == 0)
        rc = run_llhttp(&d, e);
    if (rc == 0 && !h->is_client && (d.target.p != target.p || d.target.n != target.n))
        rc = http1_fault(h, 400, "the request line is malformed", e);
    if (rc == 0)
        rc = check_fields(&d, e);
    if (rc == 0)
        rc = h->is_client ? frame_response(&d, e) : frame_request(&d, e);
    if (rc < 0)
        return rc;
    h->left = d.length;
    m->keep_alive = m->minor > 0 ? !d.close : d.keep_alive && !d.close;
    if (h->framing == FRAMING_CLOSE)
        m->keep_alive = false;
    m->no_body = h->framing == FRAMING_NONE;
    h->state = m->no_body ? HTTP1_DONE : HTTP1_BODY;
    return 0;
}

/* ---- collecting a head ---- */

/*
 * Walks the lines up to the empty one. Every CR must be followed by LF and every LF preceded by CR
 * (RFC 9112, 2.2 allows recipients to be lenient here; smugglers live of that).
 */
static int scan_lines(struct http1 *h, struct str in, size_t *from, size_t *end, bool *complete,
                      struct err *e)
{
    size_t i = 0;

    while (i < in.n) {
        const char *cr;
        size_t stop;

        if (h->cr) {
            if (in.p[i++] != '\n')
                return http1_fault(h, 400, "a CR without LF", e);
            h->cr = false;
            if (h->line_n > 0) {
                h->line_n = 0;
                if (++h->lines > HTTP1_FIELDS_MAX + 1)
                    return http1_fault(h, 431, "too many header lines", e);
                continue;
            }
            if (h->lines > 0) {
                *complete = true;
                break;
            }
            if (h->is_client || ++h->interim > LEADING_LINES_MAX)
                return http1_fault(h, 400, "an empty line where a message should begin", e);
            buf_clear(&h->msg->bytes);
            *from = i;
            continue;
        }
        cr = memchr(in.p + i, '\r', in.n - i);
        stop = cr != NULL ? (size_t)(cr - in.p) : in.n;
        if (memchr(in.p + i, '\n', stop - i) != NULL)
            return http1_fault(h, 400, "an LF without CR", e);
        /* Nonsense (TLS spoken to a plain port, say) is answered at its first byte. */
        if (stop > i && h->lines == 0 && h->line_n == 0 && !http1_is_token(str_make(in.p + i, 1)))
            return http1_fault(h, 400, "this is no HTTP", e);
        h->line_n += (uint32_t)(stop - i);
        h->cr = cr != NULL;
        i = stop + (cr != NULL);
        if (h->msg->bytes.n + i - *from > h->header_max)
            return http1_fault(h, 431, "the head is too large", e);
    }
    *end = i;
    return 0;
}

static int feed_head(struct http1 *h, struct str in, size_t *used, struct err *e)
{
    size_t from = 0, end = 0;
    bool complete = false;
    int rc = scan_lines(h, in, &from, &end, &complete, e);

    if (rc < 0)
        return rc;
    *used = end;
    if (buf_put(&h->msg->bytes, in.p + from, end - from) < 0) {
        h->state = HTTP1_FAILED;
        h->fault_status = 503;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    if (!complete)
        return 0;
    rc = read_head(h, e);
    if (rc < 0 || !h->is_client || h->msg->status >= 200 || h->msg->status == 101)
        return rc;
    if (++h->interim > INTERIM_MAX)
        return http1_fault(h, 400, "too many interim responses", e);
    http1_msg_clear(h->msg);
    h->state = HTTP1_HEAD;
    h->lines = 0;
    h->line_n = 0;
    return 0;
}

int http1_feed(struct http1 *h, struct str bytes, size_t *used, struct err *e)
{
    *used = 0;
    switch (h->state) {
    case HTTP1_HEAD: return bytes.n > 0 ? feed_head(h, bytes, used, e) : 0;
    case HTTP1_BODY: return bytes.n > 0 ? http1_feed_body(h, bytes, used, e) : 0;
    case HTTP1_DONE: return 0;
    default: return err_set(e, ERR_BAD_STATE, "the message has failed already");
    }
}

int http1_finish(struct http1 *h, struct err *e)
{
    if (h->state == HTTP1_DONE)
        return 0;
    if (h->state == HTTP1_BODY && h->framing == FRAMING_CLOSE) {
        h->state = HTTP1_DONE;
        return 0;
    }
    return err_set(e, ERR_CLOSED, "the connection was closed before the message was complete");
}
