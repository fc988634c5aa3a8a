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

#define ZONE_FOLDER "/usr/share/zoneinfo"

struct zone;

/*
 * Reads the zone of that IANA name ("Europe/Berlin") from ZONE_FOLDER; blocks for a small file. Version 2 and
 * later of the format, since the first ends in 2038. ERR_INVALID: no such form of name; ERR_NOT_FOUND,
 * ERR_CORRUPT, ERR_TOO_BIG, ERR_IO; ERR_NOMEM. e names zone and cure.
 */
int zone_open(struct zone **out, const char *name, struct err *e);
void zone_free(struct zone *z); /* NULL is fine */
/*
 * Seconds by which local time is ahead of UTC at unix_s: by the file's list of changes, behind its end by its
 * rule (POSIX TZ, RFC 8536 section 3.3), before its beginning by its first type.
 */
int zone_offset_s(const struct zone *z, int64_t unix_s);
/* Minutes since local midnight, 0 to 1439, in the zone of that name. Errors as zone_open. */
int zone_local_minutes(int *out, const char *name, uint64_t wall_ms, struct err *e);

struct zone_hours { /* a daily stretch that may run over midnight */
    bool set;
    int from_min, to_min; /* minutes since midnight, 0 to 1439; never equal */
};

/* Reads "22:00-08:00" (24 hours, two digits each). Empty text: not set. ERR_INVALID leaves *out not set. */
int zone_hours_read(struct zone_hours *out, struct str text);
/* Whether a minute of the day is in h: from_min belongs to it, to_min does not. */
bool zone_hours_has(const struct zone_hours *h, int minute);

#endif
