/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_DATE_H
#define PLUGIN_PROTO_DATE_H
/* The Date header of HTTP (RFC 9110, 5.6.7). Pure; any thread; independent of locale and time zone. */
#include "plugin/base/str.h"

/* "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, the one form that is sent) as Unix seconds; false: it is none. */
bool date_read(struct str text, uint64_t *unix_s);

#endif
