/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_FINDING_H
#define PLUGIN_BASE_FINDING_H
/*
 * What a check found, as a list of JSON objects {check, result: "ok"|"warn"|"fail"|"skip", detail, cure?}: for
 * people who set things up. A list has one owner and is used by one thread at a time. No secret goes in.
 */
#include "plugin/base/buf.h"

#define FINDING_TEXT_BYTES 600u /* of a detail or a cure; longer ones are cut */

enum finding_kind {
    FINDING_OK,
    FINDING_WARN, /* works, but somebody should look at it */
    FINDING_FAIL, /* does not work as it is */
    FINDING_SKIP, /* not looked at; the detail says why */
    FINDING_KINDS
};

struct findings {
    struct buf json;           /* the objects, commas between them */
    unsigned n[FINDING_KINDS]; /* how many of each kind */
};

void findings_init(struct findings *f);
void findings_free(struct findings *f);
/* Adds one. `check` names what was looked at ("openai.key"); cure: what to do, "" or NULL when nothing is. */
void finding_add(struct findings *f, enum finding_kind kind, const char *check, const char *cure,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Appends all of `more`. */
void findings_join(struct findings *f, const struct findings *more);
const char *finding_word(enum finding_kind kind); /* "ok" ... */

#endif
