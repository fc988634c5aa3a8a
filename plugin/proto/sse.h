/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_SSE_H
#define PLUGIN_PROTO_SSE_H
/*
 * Reader of a stream of server-sent events (WHATWG HTML, "Server-sent events"): bytes in any pieces
 * in, the data of each event out. Fields but `data` are ignored. No I/O; one thread at a time.
 */
#include "plugin/base/buf.h"

struct sse {
    struct buf line, data;
    bool has_data, after_cr;
};

/* max_bytes: of one event's data and of one line. */
void sse_init(struct sse *s, size_t max_bytes);
void sse_free(struct sse *s);
/* Calls event with the data of each finished event (borrowed). ERR_TOO_BIG, ERR_NOMEM. */
int sse_feed(struct sse *s, struct str bytes, void (*event)(void *arg, struct str data), void *arg);

#endif
