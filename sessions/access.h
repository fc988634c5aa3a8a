/* SPDX-License-Identifier: MIT */
#ifndef SESSIONS_ACCESS_H
#define SESSIONS_ACCESS_H
/*
 * What a level of identity opens: the one table of it, in code. The same table stands in README.md. Pure.
 *
 *                    own call history   MEMORY.md, USER.md, daily   own chats   tools (default)
 *   unknown          -                  -                           -           none
 *   known            yes                - (yes, filter off)         - (yes)     safe
 *   linked           yes                yes                         yes         safe
 *   proven           yes                if linked too               if linked   full
 */
#include "sessions/caller.h"

struct access {
    bool own_history, private_memory, own_chats;
    bool shared_session; /* runs, transcript and wake use the routed session, else the number's own */
    bool words_to_memory; /* what they say may be written into memory files (fenced) */
};

struct access_filters {
    bool memory_filtering, cross_channel_filtering; /* config; true = as the table */
};

void access_of(struct access *out, enum caller_level base, bool proven, const struct access_filters *f);

/* Outcome of a STIR/SHAKEN header value such as "TN-Validation-Passed-A". */
enum access_attestation { ATTEST_NONE, ATTEST_FAILED, ATTEST_C, ATTEST_B, ATTEST_A };
enum access_attestation access_attestation_read(struct str value);
/*
 * The level after attestation: a failure always lowers to unknown; A raises nothing unless trusted_trunk;
 * `required` (per level: "" | "A" | "B" | "C") lowers those that do not reach it.
 */
enum caller_level access_attested(enum caller_level level, enum access_attestation a, bool trusted_trunk,
                                  const char *required_known, const char *required_linked);

#endif
