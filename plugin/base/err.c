/* SPDX-License-Identifier: MIT */
#include "plugin/base/err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL)
        return code;
    e->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return code;
}

const char *err_name(int code)
{
    switch (code) {
    case ERR_NOMEM: return "out of memory";
    case ERR_INVALID: return "malformed input";
    case ERR_TOO_BIG: return "too big";
    case ERR_NOT_FOUND: return "not found";
    case ERR_BAD_STATE: return "not possible now";
    case ERR_TIMEOUT: return "timed out";
    case ERR_CLOSED: return "connection closed";
    case ERR_CANCELED: return "cancelled";
    case ERR_FULL: return "queue full";
    case ERR_TLS: return "TLS failure";
    case ERR_PROTOCOL: return "protocol error";
    case ERR_HTTP: return "HTTP error";
    case ERR_CONFIG: return "configuration fault";
    case ERR_DENIED: return "denied";
    case ERR_DUPLICATE: return "duplicate";
    case ERR_NEWER: return "from a newer version";
    case ERR_CORRUPT: return "corrupt";
    case ERR_IO: return "input/output error";
    default: return code <= ERR_SQLITE ? "database error" : "error";
    }
}
