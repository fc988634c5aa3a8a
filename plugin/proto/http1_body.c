/* SPDX-License-Identifier: MIT */
#include "plugin/proto/http1_int.h"

#define EXTENSION_BYTES_MAX 1024u /* of all chunk extensions of a message together */
#define CHUNK_DIGITS_MAX 8u

/* RFC 9110, 5.6.2 */
bool http1_is_token(struct str s)
{
    static const unsigned char ok[128] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
        ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
        ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
        ['8'] = 1, ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1,
        ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1,
        ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1,
        ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1,
        ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1,
        ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1,
        ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1};

    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 128 || !ok[(unsigned char)s.p[i]])
            return false;
    return s.n > 0;
}

/* status: what a server answers. */
int http1_fault(struct http1 *h, int status, const char *why, struct err *e)
{
    int rc = status == 413 || status == 431 ? ERR_TOO_BIG : ERR_PROTOCOL;

    h->state = HTTP1_FAILED;
    h->fault_status = status;
    return err_set(e, rc, "%s", why);
}

static int take_body(struct http1 *h, struct str bytes, struct err *e)
{
    int rc;

    h->body_n += bytes.n;
    if (h->sink != NULL) {
        if (h->sink(h->sink_arg, bytes))
            return 0;
        h->state = HTTP1_FAILED;
        return err_set(e, ERR_CANCELED, "cancelled");
    }
    if (h->body_n > h->body_max)
        return http1_fault(h, 413, "the body is too large", e);
    rc = buf_puts(&h->msg->bytes, bytes);
    if (rc < 0) {
        h->state = HTTP1_FAILED;
        h->fault_status = 503;
        return err_set(e, rc, "%s", err_name(rc));
    }
    return 0;
}

/* Bytes of a body or a chunk whose length is known. */
static int feed_length(struct http1 *h, struct str in, size_t *used, struct err *e)
{
    struct str part = str_head(in, h->left < in.n ? (size_t)h->left : in.n);
    int rc = take_body(h, part, e);

    *used = part.n;
    h->left -= part.n;
    return rc;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int chunk_size(struct http1 *h, char c, struct err *e)
{
    int digit = hex_value(c);

    if (digit >= 0) {
        if (h->chunk_state == CHUNK_SIZE_FIRST) {
            h->left = 0;
            h->line_n = 0;
        }
        h->chunk_state = CHUNK_SIZE;
        h->left = h->left * 16 + (unsigned)digit;
        return ++h->line_n <= CHUNK_DIGITS_MAX ? 0 : http1_fault(h, 400, "a chunk size is too long", e);
    }
    if (h->chunk_state == CHUNK_SIZE && (c == '\r' || c == ';')) {
        h->chunk_state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return 0;
    }
    return http1_fault(h, 400, "a chunk size is malformed", e);
}

static int chunk_extension(struct http1 *h, char c, struct err *e)
{
    if (c == '\r') {
        h->chunk_state = CHUNK_SIZE_LF;
        return 0;
    }
    if ((unsigned char)c < ' ' && c != '\t')
        return http1_fault(h, 400, "a chunk extension is malformed", e);
    return ++h->extra_n <= EXTENSION_BYTES_MAX ? 0 : http1_fault(h, 400, "chunk extensions without end", e);
}

/* Trailer fields (RFC 9112, 7.1.2) are read by their form and dropped. */
static int trailer(struct http1 *h, char c, struct err *e)
{
    if (++h->extra_n > h->header_max)
        return http1_fault(h, 431, "the trailer is too large", e);
    if (h->chunk_state == CHUNK_TRAILER_FIRST && c == '\r') {
        h->chunk_state = CHUNK_END_LF;
    } else if (h->chunk_state == CHUNK_TRAILER_VALUE && c == '\r') {
        h->chunk_state = CHUNK_TRAILER_LF;
    } else if (h->chunk_state == CHUNK_TRAILER_NAME && c == ':') {
        h->chunk_state = CHUNK_TRAILER_VALUE;
    } else if (h->chunk_state == CHUNK_TRAILER_VALUE) {
        if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
            return http1_fault(h, 400, "a trailer field is malformed", e);
    } else {
        if (!http1_is_token(str_make(&c, 1)))
            return http1_fault(h, 400, "a trailer field is malformed", e);
        h->chunk_state = CHUNK_TRAILER_NAME;
    }
    return 0;
}

/* One byte of the structure between chunks (RFC 9112, 7.1). */
static int chunk_byte(struct http1 *h, char c, struct err *e)
{
    switch ((enum chunk_state)h->chunk_state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE: return chunk_size(h, c, e);
    case CHUNK_EXTENSION: return chunk_extension(h, c, e);
    case CHUNK_DATA_CR:
        if (c != '\r')
            return http1_fault(h, 400, "a chunk is longer than its size", e);
        h->chunk_state = CHUNK_DATA_LF;
        return 0;
    case CHUNK_SIZE_LF:
    case CHUNK_DATA_LF:
    case CHUNK_TRAILER_LF:
    case CHUNK_END_LF:
        if (c != '\n')
            return http1_fault(h, 400, "a CR without LF", e);
        if (h->chunk_state == CHUNK_SIZE_LF)
            h->chunk_state = h->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_FIRST;
        else if (h->chunk_state == CHUNK_DATA_LF)
            h->chunk_state = CHUNK_SIZE_FIRST;
        else if (h->chunk_state == CHUNK_TRAILER_LF)
            h->chunk_state = CHUNK_TRAILER_FIRST;
        else
            h->state = HTTP1_DONE;
        return 0;
    default: return trailer(h, c, e);
    }
}

static int feed_chunked(struct http1 *h, struct str in, size_t *used, struct err *e)
{
    size_t i = 0, part;
    int rc = 0;

    while (rc == 0 && i < in.n && h->state == HTTP1_BODY) {
        if (h->chunk_state != CHUNK_DATA) {
            rc = chunk_byte(h, in.p[i++], e);
            /* Refused before any of it is stored. */
            if (rc == 0 && h->sink == NULL && h->chunk_state == CHUNK_DATA &&
                h->body_n + h->left > h->body_max)
                rc = http1_fault(h, 413, "the body is too large", e);
            continue;
        }
        rc = feed_length(h, str_skip(in, i), &part, e);
        i += part;
        if (rc == 0 && h->left == 0)
            h->chunk_state = CHUNK_DATA_CR;
    }
    *used = i;
    return rc;
}

int http1_feed_body(struct http1 *h, struct str in, size_t *used, struct err *e)
{
    int rc;

    if (h->framing == FRAMING_CHUNKED)
        return feed_chunked(h, in, used, e);
    if (h->framing == FRAMING_CLOSE) {
        *used = in.n;
        return take_body(h, in, e);
    }
    if (h->is_client && h->sink == NULL && h->left > h->body_max)
        return http1_fault(h, 413, "the body is too large", e);
    rc = feed_length(h, in, used, e);
    if (rc == 0 && h->left == 0)
        h->state = HTTP1_DONE;
    return rc;
}

const char *http1_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
    }
}
