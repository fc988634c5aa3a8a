/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_ROUTE_RECORDING_H
#define PLUGIN_ROUTE_RECORDING_H
/*
 * GET and HEAD /calls/{id}/recording: a stored recording over HTTP, whole or one range of it (RFC 9110, 14).
 * It goes out in pieces as the client takes them; none is ever in memory whole. Loop thread.
 */
#include "plugin/recordings.h"

struct httpd_exchange;

struct recording_at { /* a stored recording, as its row tells; borrowed */
    struct str name;   /* the file's */
    struct str sha256; /* of the plain bytes, in hex: the entity tag */
    struct str type;   /* "audio/x-wav" */
    uint64_t bytes;    /* plain ones */
    bool sealed;
};

/*
 * Answers an exchange whose asker may have it, and takes it over. 200, 206, 304, 416; 404 when the file is gone, 500
 * when it is not what the row says, 503 when too many are read. A client that takes nothing of what waits for 30 s
 * is dropped (see httpd_stream()), one that is slow is waited for, with at most 192 KiB in memory.
 */
void recording_serve(struct recordings *r, struct httpd_exchange *x, const struct recording_at *at,
                     const struct log *log);

#endif
