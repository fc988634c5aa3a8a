/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_HTTPC_INT_H
#define PLUGIN_NET_HTTPC_INT_H
/* A request's bytes, for httpc.c. Pure. */
#include "plugin/base/buf.h"
#include "plugin/net/httpc.h"

/* prefix is put before the path. ERR_INVALID: a method, path or header that would break the lines; buf's codes. */
int httpc_write_request(const struct url *url, struct str prefix, const struct httpc_request *req,
                        struct buf *b);

#endif
