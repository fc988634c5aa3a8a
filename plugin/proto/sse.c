/* SPDX-License-Identifier: MIT */
#include "plugin/proto/sse.h"

void sse_init(struct sse *s, size_t max_bytes)
{
    buf_init(&s->line, max_bytes);
    buf_init(&s->data, max_bytes);
    s->has_data = s->after_cr = false;
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
}

static int end_line(struct sse *s, void (*event)(void *arg, struct str data), void *arg)
{
    struct str line = buf_str(&s->line);
    int rc = 0;

    if (line.n == 0) {
        if (s->has_data)
            event(arg, buf_str(&s->data));
        buf_clear(&s->data);
        s->has_data = false;
    } else if (str_starts(line, STR("data"))) {
        struct str value = str_skip(line, 4);

        if (value.n == 0 || value.p[0] == ':') {
            value = str_skip(value, 1);
            if (value.n > 0 && value.p[0] == ' ')
                value = str_skip(value, 1);
            if (s->has_data)
                rc = buf_putc(&s->data, '\n');
            if (rc == 0)
                rc = buf_puts(&s->data, value);
            s->has_data = true;
        }
    }
    buf_clear(&s->line);
    return rc;
}

int sse_feed(struct sse *s, struct str bytes, void (*event)(void *arg, struct str data), void *arg)
{
    int rc = 0;

    /* A line ends in LF, CR LF or CR alone. */
    while (bytes.n > 0 && rc == 0) {
        size_t n = 0;

        if (s->after_cr) {
            s->after_cr = false;
            if (bytes.p[0] == '\n') {
                bytes = str_skip(bytes, 1);
                continue;
            }
        }
        while (n < bytes.n && bytes.p[n] != '\n' && bytes.p[n] != '\r')
            n++;
        rc = buf_put(&s->line, bytes.p, n);
        if (rc == 0 && n < bytes.n) {
            s->after_cr = bytes.p[n] == '\r';
            rc = end_line(s, event, arg);
            n++;
        }
        bytes = str_skip(bytes, n);
    }
    return rc;
}
