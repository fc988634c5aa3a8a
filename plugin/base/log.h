/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_LOG_H
#define PLUGIN_BASE_LOG_H
/*
 * Log lines to whoever listens (the host). Any thread. A line never holds a secret: callers pass
 * secrets to nothing that ends here. Phone numbers are shortened by log_number() unless the level is
 * debug.
 */
#include "plugin/base/str.h"

enum log_level { LOG_ERROR = 0, LOG_WARN = 1, LOG_INFO = 2, LOG_DEBUG = 3 };

typedef void log_sink_fn(void *ctx, enum log_level level, struct str line);

struct log { /* immutable after log_init(); shared by threads */
    log_sink_fn *sink;
    void *ctx;
    enum log_level level; /* lines above it are dropped */
};

void log_init(struct log *log, log_sink_fn *sink, void *ctx, enum log_level level);
/* One line of at most 1,000 bytes; control characters are replaced. log may be NULL. */
void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_line(log, LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_line(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...) log_line(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_line(log, LOG_DEBUG, __VA_ARGS__)

/* "+15…67" for "+15551234567": enough to tell callers apart in a log. */
struct log_number {
    char text[24];
};
struct log_number log_number(const struct log *log, struct str number);

#endif
