/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_HTTP1_INT_H
#define PLUGIN_PROTO_HTTP1_INT_H
/* What http1.c (heads) and http1_body.c (bodies) share. Pure. Nobody else includes this. */
#include "plugin/proto/http1.h"

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

enum chunk_state {
    CHUNK_SIZE_FIRST,
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_FIRST,
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF
};

bool http1_is_token(struct str s); /* RFC 9110, 5.6.2; not empty */
/* Fails the message; status is what a server answers. */
int http1_fault(struct http1 *h, int status, const char *why, struct err *e);
/* Bytes of the body, whatever its framing. */
int http1_feed_body(struct http1 *h, struct str in, size_t *used, struct err *e);

#endif
