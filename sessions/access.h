/* SPDX-License-Identifier: MIT */
#ifndef SESSIONS_ACCESS_H
#define SESSIONS_ACCESS_H
/*
 * What a level of identity opens: the one table of it, in code. The same table stands in README.md. Pure.
 *
 *             own call history   MEMORY.md, USER.md, daily   own chats   tools (default)   steering the call
 *   unknown   -                  -                           -           none              hold, keys, end
 *   known     yes                - (yes, filter off)         - (yes)     safe              and transfer
 *   linked    yes                yes                         yes         safe              as known
 *   proven    yes                if linked too               if linked   full              and invite, call others
 *
 * Transfers and invitations go to names of the configuration, never to numbers. Pausing a recording is for all.
 */
#include "sessions/caller.h"

struct access {
    bool own_history, private_memory, own_chats;
    bool shared_session; /* runs, transcript and wake use the routed session, else the number's own */
    bool transfer; /* the call may be handed to a named target */
    bool dial;     /* others may be asked into the call, or called */
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
