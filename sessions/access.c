/* SPDX-License-Identifier: MIT */
#include "sessions/access.h"

#include <string.h>

void access_of(struct access *out, enum caller_level base, bool proven, const struct access_filters *f)
{
    bool known = base >= CALLER_KNOWN, linked = base >= CALLER_LINKED;

    /* A proof opens tools; what is private to the owner's links stays with the link. */
    *out = (struct access){
        .own_history = known,
        .private_memory = linked || (known && !f->memory_filtering),
        .own_chats = linked || (known && !f->cross_channel_filtering),
        .shared_session = linked,
        .words_to_memory = linked,
        .transfer = known || proven,
        .dial = proven,
    };
}

/* Names as carriers write them: Twilio's X-Twilio-VerStat and the verstat parameter of RFC 8588. */
enum access_attestation access_attestation_read(struct str value)
{
    static const struct {
        const char *suffix;
        enum access_attestation a;
    } passed[] = {{"-Passed-A", ATTEST_A}, {"-Passed-B", ATTEST_B}, {"-Passed-C", ATTEST_C},
                  {"-Passed", ATTEST_C}};

    value = str_trim(value);
    if (value.n == 0)
        return ATTEST_NONE;
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        struct str suffix = str_of(passed[i].suffix);

        if (value.n >= suffix.n && str_ieq(str_skip(value, value.n - suffix.n), suffix))
            return passed[i].a;
    }
    for (size_t i = 0; i + 6 <= value.n; i++)
        if (str_ieq(str_head(str_skip(value, i), 6), STR("Failed")))
            return ATTEST_FAILED;
    return ATTEST_NONE;
}

static bool reaches(enum access_attestation a, const char *required)
{
    switch (required != NULL ? required[0] : '\0') {
    case 'A': return a >= ATTEST_A;
    case 'B': return a >= ATTEST_B;
    case 'C': return a >= ATTEST_C;
    default: return true;
    }
}

enum caller_level access_attested(enum caller_level level, enum access_attestation a, bool trusted_trunk,
                                  const char *required_known, const char *required_linked)
{
    if (a == ATTEST_FAILED)
        return CALLER_UNKNOWN;
    if (level == CALLER_LINKED && !reaches(a, required_linked))
        level = CALLER_KNOWN;
    if (level == CALLER_KNOWN && !reaches(a, required_known))
        level = CALLER_UNKNOWN;
    (void)trusted_trunk; /* A proves the number, and the number's level is what the lists gave it */
    return level;
}
