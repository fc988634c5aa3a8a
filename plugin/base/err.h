/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_ERR_H
#define PLUGIN_BASE_ERR_H
/*
 * Error codes and error texts. A function returns 0 or a negative code; where an operator will read
 * why, it also fills a `struct err` (on the caller's stack, NULL allowed). libuv's and errno's
 * negative codes pass through unchanged (all > -5000); ours start at -20000; SQLite's are
 * ERR_SQLITE - code.
 */
#include <stddef.h>

enum err_code {
    ERR_NOMEM = -20001,
    ERR_INVALID = -20002,    /* malformed input */
    ERR_TOO_BIG = -20003,    /* over a ceiling */
    ERR_NOT_FOUND = -20004,
    ERR_BAD_STATE = -20005,      /* not possible now */
    ERR_TIMEOUT = -20006,
    ERR_CLOSED = -20007,     /* the other side or the owner closed it */
    ERR_CANCELED = -20008,
    ERR_FULL = -20009,       /* a queue or limit is full */
    ERR_TLS = -20010,        /* handshake, certificate, record */
    ERR_PROTOCOL = -20011,   /* the peer broke its protocol */
    ERR_HTTP = -20012,       /* an HTTP status that says no; the text has it */
    ERR_CONFIG = -20013,
    ERR_DENIED = -20014,
    ERR_DUPLICATE = -20015,
    ERR_NEWER = -20016,      /* written by a newer version */
    ERR_CORRUPT = -20017,
    ERR_IO = -20018,
    ERR_SQLITE = -30000
};

struct err {
    int code;
    char text[240]; /* NUL terminated, one line, no secret in it */
};

/* Fills e (if not NULL) and returns code, so that a failing path is one line. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A short fixed name for one of our codes, "error" for others. Static text. */
const char *err_name(int code);

#endif
