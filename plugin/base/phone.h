/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_PHONE_H
#define PLUGIN_BASE_PHONE_H
/*
 * Telephone numbers: the E.164 form and the caller's number in a SIP From header. Pure; any thread.
 * The number is the address in the header, never the display name, which anybody may fill with
 * anything.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

#define PHONE_BYTES 17        /* '+', 15 digits, NUL */
#define PHONE_FROM_MAX 1024u  /* a longer From header is malformed */

enum phone_kind {
    PHONE_MALFORMED = 0, /* no number that could be compared; treat it as withheld */
    PHONE_E164,          /* `number` has it */
    PHONE_ANONYMOUS      /* the caller or the network withholds the number */
};

struct phone {
    enum phone_kind kind;
    char number[PHONE_BYTES]; /* "+15551234567" for PHONE_E164, else "" */
    struct str host;          /* of the URI, without port; borrowed from the header; may be empty */
};

const char *phone_kind_name(enum phone_kind kind); /* "e164" "anonymous" "malformed" */
/* Exactly '+', then 7 to 15 ASCII digits of which the first is not 0 (ITU-T E.164). */
bool phone_is_e164(struct str s);
/*
 * Reads the value of a From header (RFC 3261 §20.20, §25.1: name-addr or addr-spec, with sip:,
 * sips: or tel: (RFC 3966)). Percent escapes in the user part are decoded, its password and its
 * parameters (";npdi") are ignored; visual separators are dropped in tel: only. A number without
 * '+' is not completed. Anonymous: host anonymous.invalid, the users anonymous, restricted,
 * unavailable, private and unknown (case ignored), and the digits that Twilio sends for words
 * (+266696687 "ANONYMOUS", +7378742833 "RESTRICTED", +2562533 "BLOCKED", +8656696 "UNKNOWN",
 * +86282452253 "UNAVAILABLE"). Fills *out in any case. 0; ERR_INVALID when it is PHONE_MALFORMED:
 * whatever is not such a header to the last byte (control characters, second address, junk behind
 * it), or its user is no E.164 number.
 */
int phone_from_sip(struct phone *out, struct str from_header);

#endif
