/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CARRIER_TWIML_H
#define PLUGIN_CARRIER_TWIML_H
/*
 * Abstract steps (carrier.h) as a TwiML document (twilio.com/docs/voice/twiml), and the URLs of ours that such
 * documents and Twilio's REST calls name. Pure; any thread.
 */
#include "plugin/carrier/carrier.h"

#define TWIML_BYTES_MAX 65536u
#define TWIML_INLINE_CHARS 4000u /* of a document inside of a REST call (error 32018 above) */
#define TWIML_ROOM_EVENTS "start end join leave mute hold announcement"

/*
 * Appends the document. public_url: ours, without a slash at the end. ERR_INVALID: characters that XML cannot hold,
 * malformed UTF-8, digits that are none, a refusal that is not the first step, a room without a name; ERR_TOO_BIG,
 * ERR_NOMEM.
 */
int twiml_render(struct str public_url, const struct carrier_step *steps, unsigned n, struct buf *out);
/* The same, ERR_TOO_BIG above TWIML_INLINE_CHARS characters. */
int twiml_render_inline(struct str public_url, const struct carrier_step *steps, unsigned n, struct buf *out);

/* <public_url>/twilio/<what>?ref=…&party=…&token=…&n=…, leaving out what is empty or 0. Failures stick in b->rc. */
struct twiml_link {
    const char *what;
    struct str ref, party, token;
    unsigned nth;
};
void twiml_link_put(struct buf *b, struct str public_url, const struct twiml_link *link);
/* "0" to "9", "*", "#", and "w", "W" for pauses of 0.5 s and 1 s: 1 to 128 of them. */
bool twiml_digits_ok(struct str digits);

#endif
