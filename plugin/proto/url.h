/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_URL_H
#define PLUGIN_PROTO_URL_H
/* Absolute http, https, ws and wss URLs (RFC 3986, the part of it that configuration and clients need). Pure. */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"

struct url { /* slices of the text given */
    struct str scheme; /* lower case expected: "http", "https", "ws", "wss" */
    struct str host;   /* without brackets */
    bool is_ipv6;
    uint16_t port;     /* the scheme's default when absent */
    bool has_port;
    struct str path;   /* "/..." or empty */
    struct str query;  /* behind '?', or empty */
    bool tls;
};

/* ERR_INVALID: no such scheme, user info, empty host, bad port, fragment, space or control character. */
int url_read(struct url *out, struct str text, struct err *e);
/* 127.0.0.0/8, ::1 or "localhost". */
bool url_is_loopback(struct str host);
/* Percent-encodes all but unreserved characters. */
int url_escape(struct buf *out, struct str s);
/* Percent-decodes; '+' becomes a blank if form. ERR_INVALID: bad escape or NUL. */
int url_unescape(struct buf *out, struct str s, bool form);

#endif
