/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_RANGE_H
#define PLUGIN_PROTO_RANGE_H
/* Range requests (RFC 9110, 14) and the entity tags that guard them. Pure; any thread. */
#include "plugin/base/str.h"

enum range_kind {
    RANGE_WHOLE, /* no range, or one that is to be ignored: 200 */
    RANGE_PART,  /* 206: *n bytes at *from, *n > 0 */
    RANGE_NONE   /* 416: nothing of it is there */
};

/*
 * Reads the field Range of a GET for a representation of size bytes (14.1.2, 14.2). Other units than bytes,
 * malformed fields and several ranges at once are ignored, as 14.2 allows. from and n are always set.
 */
enum range_kind range_read(struct str field, uint64_t size, uint64_t *from, uint64_t *n);
/* Does If-Range (13.1.5) let the range be used? Strong comparison; a date never matches, since none is sent. */
bool range_if(struct str field, struct str etag);
/* Does one of If-None-Match's tags (13.1.2) name this representation? Weak comparison; "*" does. */
bool range_if_none(struct str field, struct str etag);

#endif
