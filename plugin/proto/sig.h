/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_SIG_H
#define PLUGIN_PROTO_SIG_H
/*
 * Signature of a webhook after the Standard Webhooks specification (symmetric, `v1`): HMAC-SHA256 over
 * id "." timestamp "." raw body, base64, under any of several secrets. Stricter than OpenAI's SDK: the
 * `v1,` prefix, an all-digit timestamp and a non-empty id are required. No I/O; any thread; constant
 * time over the secrets and signatures compared.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

#define SIG_TOLERANCE_S 300
#define SIG_SECRETS_MAX 8

struct sig_keys; /* decoded secrets; immutable, shared */

/*
 * Takes secrets as users write them: "whsec_" + base64 (decoded), or without the prefix their raw
 * bytes. ERR_INVALID naming the n-th secret when one cannot be a secret (empty, bad base64, decodes
 * to fewer than 16 or more than 256 bytes).
 */
int sig_keys_open(struct sig_keys **out, const struct str *secrets, unsigned n, struct err *e);
void sig_keys_free(struct sig_keys *k);

enum sig_result {
    SIG_GOOD = 0,
    SIG_MISSING,   /* a header is absent or empty, or the timestamp is not all digits: 400 */
    SIG_STALE,     /* more than SIG_TOLERANCE_S away from now: 401 */
    SIG_BAD        /* no signature fits: 401 */
};

/* now_s is Unix time. e gets the reason for the log. At most 32 signatures are looked at. */
enum sig_result sig_verify(const struct sig_keys *k, struct str id, struct str timestamp,
                           struct str signatures, struct str body, uint64_t now_s, struct err *e);
/* "v1,<base64>" under the first secret, for tests and benchmarks; out[cap >= 64]. */
int sig_sign(const struct sig_keys *k, struct str id, struct str timestamp, struct str body,
             char *out, size_t cap);

#endif
