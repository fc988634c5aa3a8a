/* SPDX-License-Identifier: MIT */
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/net/httpd_int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SPARE_MAX 256u /* exchanges kept for the next request */
#define STREAM_BYTES_MAX (256u * 1024u)
#define HEADERS_BYTES_MAX 8192u

/* ---- exchanges ---- */

static void exchange_free(struct httpd_exchange *x)
{
    http1_msg_free(&x->msg);
    buf_free(&x->headers);
    buf_free(&x->reply);
    mem_free(x);
}

struct httpd_exchange *httpd_exchange_take(struct conn *c)
{
    struct httpd *d = c->d;
    struct httpd_exchange *x = d->spare;

    if (x != NULL) {
        d->spare = x->next;
        d->n_spare--;
    } else {
        x = mem_alloc(sizeof *x);
        if (x == NULL)
            return NULL;
        http1_msg_init(&x->msg);
        buf_init(&x->headers, HEADERS_BYTES_MAX);
        buf_init(&x->reply, HTTPD_REPLY_BYTES_MAX);
        x->d = d;
    }
    d->n_open++;
    x->conn = c;
    x->next = NULL;
    x->on_gone = x->drained = NULL;
    x->state = X_READING;
    x->close = x->no_body = false;
    x->sized = x->ended = false;
    x->peer_text[0] = '\0';
    return x;
}

void httpd_maybe_free(struct httpd *d)
{
    struct httpd_exchange *x;

    if (!d->told || d->n_open > 0)
        return;
    timer_close(d->later);
    while ((x = d->spare) != NULL) {
        d->spare = x->next;
        exchange_free(x);
    }
    mem_free(d);
}

void httpd_exchange_give_back(struct httpd_exchange *x)
{
    struct httpd *d = x->d;

    d->n_open--;
    if (d->n_spare >= SPARE_MAX || d->told) {
        exchange_free(x);
    } else {
        http1_msg_clear(&x->msg);
        buf_free(&x->headers);
        buf_free(&x->reply);
        x->conn = NULL;
        x->next = d->spare;
        d->spare = x;
        d->n_spare++;
    }
    httpd_maybe_free(d);
}

/* ---- writing answers ---- */

static void put_number(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof digits;

    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    (void)buf_put(b, digits + i, sizeof digits - i);
}

/* RFC 9110, 5.6.7; made once a second. strftime() would follow the host's locale. */
static struct str date_now(struct httpd *d)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t now_s = clock_wall_ms() / 1000;
    time_t t = (time_t)now_s;
    struct tm tm;

    if (now_s != d->date_s && gmtime_r(&t, &tm) != NULL) {
        d->date_s = now_s;
        (void)snprintf(d->date, sizeof d->date, "%.3s, %02d %.3s %d %02d:%02d:%02d GMT",
                       days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
                       tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    }
    return str_of(d->date);
}

/* Everything of the head but Content-Length or Transfer-Encoding and the empty line. */
static void put_head(struct buf *b, struct httpd_exchange *x, int status, const char *content_type)
{
    (void)buf_puts(b, STR("HTTP/1.1 "));
    put_number(b, (uint64_t)status);
    (void)buf_putc(b, ' ');
    (void)buf_puts(b, str_of(http1_reason(status)));
    (void)buf_puts(b, STR("\r\nDate: "));
    (void)buf_puts(b, date_now(x->d));
    if (content_type != NULL && *content_type != '\0') {
        (void)buf_puts(b, STR("\r\nContent-Type: "));
        (void)buf_puts(b, str_of(content_type));
    }
    if (x->close)
        (void)buf_puts(b, STR("\r\nConnection: close"));
    else if (x->msg.minor == 0)
        (void)buf_puts(b, STR("\r\nConnection: keep-alive"));
    (void)buf_puts(b, buf_str(&x->headers));
}

static void put_answer(struct buf *b, struct httpd_exchange *x, int status, const char *content_type,
                       struct str body)
{
    bool has_length = status >= 200 && status != 204 && status != 304; /* RFC 9110, 8.6 */

    (void)buf_reserve(b, body.n + 256 + x->headers.n);
    put_head(b, x, status, content_type);
    if (has_length) {
        (void)buf_puts(b, STR("\r\nContent-Length: "));
        put_number(b, body.n);
    }
    (void)buf_puts(b, STR("\r\n\r\n"));
    if (has_length && !x->no_body)
        (void)buf_puts(b, body);
}

/* Where the exchange's bytes go: to the wire when it is its turn, else into its own buffer. NULL: nowhere. */
static struct buf *out_of(struct httpd_exchange *x)
{
    if (x->conn->first == x)
        return stream_compose(x->conn->stream);
    return &x->reply;
}

static int out_done(struct httpd_exchange *x)
{
    return x->conn->first == x ? stream_commit(x->conn->stream) : x->reply.rc;
}

void httpd_answer(struct httpd_exchange *x, int status, const char *content_type, struct str body)
{
    struct buf *b = out_of(x);

    x->state = X_READY;
    if (b == NULL)
        return;
    put_answer(b, x, status, content_type, body);
    if (out_done(x) < 0)
        httpd_doom(x->conn);
}

/* ---- for handlers ---- */

struct str httpd_method(const struct httpd_exchange *x)
{
    return http1_slice(&x->msg, x->msg.method);
}

struct str httpd_path(const struct httpd_exchange *x)
{
    /* "http://host" and "http://host?q" mean the root (RFC 9112, 3.2.1). */
    return x->msg.path.n > 0 ? http1_slice(&x->msg, x->msg.path) : STR("/");
}

struct str httpd_query(const struct httpd_exchange *x)
{
    return http1_slice(&x->msg, x->msg.query);
}

struct str httpd_body(const struct httpd_exchange *x)
{
    return http1_body(&x->msg);
}

struct str httpd_peer(const struct httpd_exchange *x)
{
    return str_of(x->peer_text);
}

struct str httpd_header(const struct httpd_exchange *x, const char *name)
{
    return http1_field(&x->msg, name);
}

unsigned httpd_header_count(const struct httpd_exchange *x, const char *name)
{
    return http1_field_count(&x->msg, name);
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return true;
    return false;
}

int httpd_reply_header(struct httpd_exchange *x, const char *name, struct str value)
{
    size_t before = x->headers.n;

    if (has_control(value) || has_control(str_of(name)) || *name == '\0')
        return ERR_INVALID;
    (void)buf_puts(&x->headers, STR("\r\n"));
    (void)buf_puts(&x->headers, str_of(name));
    (void)buf_puts(&x->headers, STR(": "));
    if (buf_puts(&x->headers, value) == 0 && x->headers.rc == 0)
        return 0;
    x->headers.n = before;
    before = (size_t)-x->headers.rc;
    x->headers.rc = 0;
    return -(int)before;
}

void httpd_reply(struct httpd_exchange *x, int status, const char *content_type, struct str body)
{
    struct conn *c = x->conn;

    if (c == NULL) {
        httpd_exchange_give_back(x);
        return;
    }
    httpd_answer(x, status, content_type, body);
    httpd_pump(c);
}

void httpd_tell_orphans(struct httpd *d)
{
    struct httpd_exchange *x;

    d->n_open++; /* keeps d while the list is walked */
    while ((x = d->orphans) != NULL) {
        d->orphans = x->next;
        if (!x->ended && x->on_gone != NULL)
            x->on_gone(x->gone_arg);
        httpd_exchange_give_back(x);
    }
    d->n_open--;
    httpd_maybe_free(d);
}

static void begin_stream(struct httpd_exchange *x, int status, const char *content_type,
                         void (*on_gone)(void *arg), void *arg)
{
    struct buf *b;

    x->state = X_STREAM;
    x->on_gone = on_gone;
    x->gone_arg = arg;
    if (x->conn == NULL) {
        x->next = x->d->orphans;
        x->d->orphans = x;
        timer_set(x->d->later, loop_now_ms(x->d->loop));
        return;
    }
    if (x->msg.minor == 0 && !x->sized)
        x->close = true; /* no chunks there: the end of the connection ends the body */
    b = out_of(x);
    if (b == NULL)
        return;
    put_head(b, x, status, content_type);
    if (x->sized) {
        (void)buf_puts(b, STR("\r\nContent-Length: "));
        put_number(b, x->left);
    } else if (x->msg.minor > 0) {
        (void)buf_puts(b, STR("\r\nTransfer-Encoding: chunked"));
    }
    (void)buf_puts(b, STR("\r\n\r\n"));
    if (out_done(x) < 0)
        httpd_doom(x->conn);
}

void httpd_stream(struct httpd_exchange *x, int status, const char *content_type,
                  void (*on_gone)(void *arg), void *arg)
{
    begin_stream(x, status, content_type, on_gone, arg);
}

void httpd_stream_sized(struct httpd_exchange *x, int status, const char *content_type, uint64_t length,
                        void (*on_gone)(void *arg), void *arg)
{
    x->sized = true;
    x->left = length;
    begin_stream(x, status, content_type, on_gone, arg);
}

size_t httpd_stream_pending(const struct httpd_exchange *x)
{
    const struct conn *c = x->conn;

    if (c == NULL)
        return 0;
    return c->first == x ? stream_queued(c->stream) : x->reply.n;
}

void httpd_stream_watch(struct httpd_exchange *x, void (*drained)(void *arg))
{
    x->drained = drained;
    if (x->conn != NULL && x->conn->first == x)
        stream_watch(x->conn->stream);
}

void httpd_stream_drop(struct httpd_exchange *x)
{
    if (x->conn != NULL)
        httpd_doom(x->conn);
}

int httpd_stream_send(struct httpd_exchange *x, struct str data)
{
    struct conn *c = x->conn;
    bool chunks = x->msg.minor > 0 && !x->sized;
    char size[24];
    struct buf *b;
    size_t waiting;

    if (c == NULL || c->doomed)
        return ERR_CLOSED;
    if (data.n == 0 || x->no_body)
        return 0;
    if (x->sized && data.n > x->left) {
        httpd_doom(c);
        return ERR_TOO_BIG;
    }
    waiting = httpd_stream_pending(x);
    if (waiting == 0 && c->first == x)
        x->since_ms = loop_now_ms(c->d->loop); /* from now on the client is waited for */
    b = waiting + data.n <= STREAM_BYTES_MAX ? out_of(x) : NULL;
    if (b == NULL) {
        httpd_doom(c);
        return ERR_FULL;
    }
    (void)snprintf(size, sizeof size, "%zx\r\n", data.n);
    if (chunks)
        (void)buf_puts(b, str_of(size));
    (void)buf_puts(b, data);
    if (chunks)
        (void)buf_puts(b, STR("\r\n"));
    x->left -= x->sized ? data.n : 0;
    if (out_done(x) == 0)
        return 0;
    httpd_doom(c);
    return ERR_NOMEM;
}

void httpd_stream_end(struct httpd_exchange *x)
{
    struct conn *c = x->conn;
    struct buf *b;

    if (c == NULL) {
        x->ended = true; /* it waits among the orphans */
        return;
    }
    if (x->sized && !x->no_body && x->left > 0) {
        x->on_gone = NULL;
        httpd_doom(c);
        return;
    }
    b = x->msg.minor > 0 && !x->no_body && !x->sized ? out_of(x) : NULL;
    if (b != NULL)
        (void)buf_puts(b, STR("0\r\n\r\n"));
    if (b != NULL && out_done(x) < 0)
        httpd_doom(c);
    x->state = X_READY;
    httpd_pump(c);
}
