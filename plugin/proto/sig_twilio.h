/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_SIG_TWILIO_H
#define PLUGIN_PROTO_SIG_TWILIO_H
/*
 * The signature of Twilio's callbacks (X-Twilio-Signature; twilio.com/docs/usage/webhooks/webhooks-security):
 * base64(HMAC-SHA1(auth token, URL and parameters)). No I/O; any thread; constant time over tokens and signatures.
 *
 * The URL is the public one, made from our configuration and the request's own path and query: never from Host.
 * It is tried with and without a port, and then percent-normalised (WHATWG URL; paths without dot segments) and with
 * its query written anew, since signers differ in these. Parameters of a form are sorted by name and value, repeated
 * ones count once. Where the URL has bodySHA256 the body is bound by that hash instead. A body that neither binds is
 * refused. There is no time in it: whoever reads such requests must bear repeated ones.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"

#define SIG_TWILIO_TOKENS_MAX 8u
#define SIG_TWILIO_TEXT 29u /* a signature with its NUL */

struct sig_twilio; /* copied tokens; immutable, shared */

/* ERR_INVALID: no token, too many, or an empty one (e says which), ERR_NOMEM. */
int sig_twilio_open(struct sig_twilio **out, const struct str *tokens, unsigned n, struct err *e);
void sig_twilio_free(struct sig_twilio *s); /* NULL is fine */

struct sig_twilio_request { /* borrowed */
    struct str url;          /* whole and public, the query undecoded as it came */
    struct str content_type; /* of the body */
    struct str body;         /* raw; empty for GET */
    struct str signature;    /* the header's value */
};

/* 0; ERR_DENIED: no token gives that signature, or the body is not bound by it; ERR_NOMEM. */
int sig_twilio_verify(const struct sig_twilio *s, const struct sig_twilio_request *r);
/* The signature under the first token over exactly that URL and form; as verify for errors. */
int sig_twilio_sign(const struct sig_twilio *s, struct str url, struct str form, char out[SIG_TWILIO_TEXT]);

#endif
