/* SPDX-License-Identifier: MIT */
#include "plugin/base/log.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES 1000

void log_init(struct log *log, log_sink_fn *sink, void *ctx, enum log_level level)
{
    *log = (struct log){sink, ctx, level};
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
    char line[LINE_BYTES + 2]; /* one more than goes out: it tells whether the last character is whole */
    va_list ap;
    int len;
    size_t n;

    if (log == NULL || log->sink == NULL || level > log->level)
        return;
    va_start(ap, fmt);
    len = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (len < 0)
        return;
    n = (size_t)len < sizeof line ? (size_t)len : sizeof line - 1;
    n = str_utf8_floor(str_make(line, n), n > LINE_BYTES ? LINE_BYTES : n);
    /* Input of strangers may stand in a line; it must not forge another one. */
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    log->sink(log->ctx, level, str_make(line, n));
}

struct log_number log_number(const struct log *log, struct str number)
{
    struct log_number out = {"(no number)"};

    if (number.n == 0)
        return out;
    if (log != NULL && log->level >= LOG_DEBUG)
        (void)snprintf(out.text, sizeof out.text, "%.*s", STR_ARG(str_head(number, 20)));
    else if (number.n <= 5)
        (void)snprintf(out.text, sizeof out.text, "…");
    else
        (void)snprintf(out.text, sizeof out.text, "%.3s…%.2s", number.p, number.p + number.n - 2);
    return out;
}
