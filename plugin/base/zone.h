/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_ZONE_H
#define PLUGIN_BASE_ZONE_H
/*
 * Local time of IANA time zones, and hours of the day. A zone is read from its TZif file (RFC 8536) and
 * asked by value: the process's own zone, TZ and libc's tables are left alone, since they are the
 * host's. Nothing here is shared; any thread.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

struct zone_hours { /* a daily stretch that may run over midnight */
    bool set;
    int from_min, to_min; /* minutes since midnight, 0 to 1439; never equal */
};

/* Reads "22:00-08:00" (24 hours, two digits each). Empty text: not set. ERR_INVALID leaves *out not set. */
int zone_hours_read(struct zone_hours *out, struct str text);
/* Whether a minute of the day is in h: from_min belongs to it, to_min does not. */
bool zone_hours_has(const struct zone_hours *h, int minute);

#endif
