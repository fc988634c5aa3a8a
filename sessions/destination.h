/* SPDX-License-Identifier: MIT */
#ifndef SESSIONS_DESTINATION_H
#define SESSIONS_DESTINATION_H
/*
 * Who may be called, transferred to or asked into a call, and when. Whatever sends a number to a carrier asks
 * here first; a model names transfer targets, never numbers. A policy is immutable once made; any thread.
 */
#include "plugin/base/err.h"
#include "plugin/base/phone.h"
#include "plugin/base/zone.h"

#define DESTINATION_TEXT_BYTES 320

struct destination_policy;

struct destination_target {
    const char *name, *number;
};

struct destination_rules { /* what the configuration says; copied */
    bool given; /* allow stands there, if only as an empty list; else the linked numbers alone are allowed */
    const char *const *allow; unsigned n_allow; /* "+49", "+15551234567", "*" */
    const char *const *deny; unsigned n_deny;
    const char *const *own; unsigned n_own;     /* our own numbers */
    const struct destination_target *targets; unsigned n_targets; /* names to E.164 */
};

/* ERR_INVALID: an entry that is none (the configuration's check lets none through); ERR_NOMEM. */
int destination_policy_make(struct destination_policy **out, const struct destination_rules *rules, struct err *e);
void destination_policy_free(struct destination_policy *p); /* NULL is fine */

#define DESTINATION_NAME_BYTES 32u /* of a target: it is the party's label at the carrier */

struct destination_verdict {
    bool allow;
    /* Static: "allowed", "not_e164", "emergency", "premium", "own_number", "denied", "not_allowed", "no_target". */
    const char *reason;
    char number[PHONE_BYTES]; /* what may be sent to the carrier; "" when refused */
    char name[DESTINATION_NAME_BYTES]; /* of a transfer target, as it is configured; "" for a number */
    char text[DESTINATION_TEXT_BYTES]; /* a sentence with cause and cure; "" when allowed */
};

/*
 * Decides over a number. `linked`: the owner's linked numbers, E.164, the default of allow. In this order:
 *   - emergency and other short numbers behind a country's code; premium rate and satellite or network codes;
 *     our own numbers: refused unless exactly this number stands in allow ("*" and prefixes do not open them);
 *   - strict E.164 (phone_is_e164) with a country code that exists;
 *   - of all entries of allow and deny that it begins with the longest decides, "*" being the shortest; at
 *     equal length deny wins; a transfer target's number counts as one that stands in allow.
 */
void destination_decide(const struct destination_policy *p, struct str number, const char *const *linked,
                        unsigned n_linked, struct destination_verdict *out);
/* The same for the number behind a target's name (capitals are not told apart); "no_target" lists the names. */
void destination_target_decide(const struct destination_policy *p, struct str name, const char *const *linked,
                               unsigned n_linked, struct destination_verdict *out);

struct destination_quiet {
    bool quiet;
    uint64_t until_ms; /* wall clock: when no zone is quiet any more; 0: within two days there is no such time */
    const char *zone;  /* one that is quiet now, static; NULL when none is */
};
/*
 * Whether a call would fall into quiet hours in any time zone the number may be in. Of a number whose zone
 * nothing is known it is not quiet. Unlike the rest it reads files (the zones', some 4 KB each): not for
 * every packet, but fit for a loop. ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO, ERR_NOMEM with e naming zone and cure.
 */
int destination_quiet_ask(struct destination_quiet *out, struct str number, uint64_t wall_ms,
                          const struct zone_hours *hours, struct err *e);

#endif
