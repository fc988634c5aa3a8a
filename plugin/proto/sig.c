/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 is used by its low-level functions, deprecated in OpenSSL 3 though they are: with the key's two
 * blocks hashed beforehand a verification is two copies and the bytes themselves, without an
 * allocation. Through EVP_MAC it costs twice as much, on the path that strangers can reach.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "plugin/proto/sig.h"

#include "plugin/base/mem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#define SECRET_BYTES_MIN 16u
#define SECRET_BYTES_MAX 256u
#define HASH_BYTES SHA256_DIGEST_LENGTH
#define HASH_TEXT 44u /* of 32 bytes in base64 */
#define SIGNATURES_MAX 32u

struct key { /* HMAC's inner and outer hash with the key's block already in (RFC 2104) */
    SHA256_CTX inner, outer;
};

struct sig_keys {
    unsigned n;
    struct key key[SIG_SECRETS_MAX];
};

/* Strict base64 with padding (RFC 4648, 4): returns the length, or -1. */
static int base64_decode(struct str s, unsigned char *out, size_t cap)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0, pad = 0;
    uint32_t bits = 0;

    if (s.n == 0 || s.n % 4 != 0)
        return -1;
    while (pad < 2 && s.p[s.n - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < s.n - pad; i++) {
        const char *hit = s.p[i] != '\0' ? strchr(digits, s.p[i]) : NULL;

        if (hit == NULL)
            return -1;
        bits = bits << 6 | (uint32_t)(hit - digits);
        if (i % 4 == 0)
            continue;
        if (n == cap)
            return -1;
        out[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    return (int)n;
}

static int decode_secret(struct str secret, unsigned char *out)
{
    if (!str_starts(secret, STR("whsec_"))) {
        if (secret.n > SECRET_BYTES_MAX)
            return -1;
        memcpy(out, secret.p, secret.n);
        return (int)secret.n;
    }
    return base64_decode(str_skip(secret, 6), out, SECRET_BYTES_MAX);
}

static void set_key(struct key *k, const unsigned char *secret, size_t n)
{
    unsigned char block[SHA256_CBLOCK] = {0};

    if (n > sizeof block)
        (void)SHA256(secret, n, block);
    else
        memcpy(block, secret, n);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36;
    (void)SHA256_Init(&k->inner);
    (void)SHA256_Update(&k->inner, block, sizeof block);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36 ^ 0x5c;
    (void)SHA256_Init(&k->outer);
    (void)SHA256_Update(&k->outer, block, sizeof block);
    OPENSSL_cleanse(block, sizeof block);
}

int sig_keys_open(struct sig_keys **out, const struct str *secrets, unsigned n, struct err *e)
{
    unsigned char raw[SECRET_BYTES_MAX];
    struct sig_keys *k;
    int rc = 0;

    if (n == 0 || n > SIG_SECRETS_MAX)
        return err_set(e, ERR_INVALID, "give 1 to %d webhook secrets", SIG_SECRETS_MAX);
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    k = MEM_NEW(struct sig_keys);
    if (k == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for webhook secrets");
    for (unsigned i = 0; rc == 0 && i < n; i++) {
        int got = decode_secret(secrets[i], raw);

        if (got < (int)SECRET_BYTES_MIN)
            rc = err_set(e, ERR_INVALID,
                         "webhook secret %u cannot be one: copy it whole, whsec_ and base64 behind it",
                         i + 1);
        else
            set_key(&k->key[k->n++], raw, (size_t)got);
    }
    OPENSSL_cleanse(raw, sizeof raw);
    if (rc < 0) {
        sig_keys_free(k);
        return rc;
    }
    *out = k;
    return 0;
}

void sig_keys_free(struct sig_keys *k)
{
    if (k == NULL)
        return;
    OPENSSL_cleanse(k, sizeof *k);
    mem_free(k);
}

/* base64(HMAC(key, id "." timestamp "." body)) */
static void make(const struct key *key, const struct str part[3], char out[HASH_TEXT + 1])
{
    SHA256_CTX inner = key->inner, outer = key->outer;
    unsigned char hash[HASH_BYTES];

    for (int i = 0; i < 3; i++) {
        if (i > 0)
            (void)SHA256_Update(&inner, ".", 1);
        if (part[i].n > 0)
            (void)SHA256_Update(&inner, part[i].p, part[i].n);
    }
    (void)SHA256_Final(hash, &inner);
    (void)SHA256_Update(&outer, hash, sizeof hash);
    (void)SHA256_Final(hash, &outer);
    (void)EVP_EncodeBlock((unsigned char *)out, hash, HASH_BYTES);
}

static enum sig_result no(enum sig_result result, struct err *e, const char *why)
{
    (void)err_set(e, ERR_DENIED, "%s", why);
    return result;
}

/* True if any of the signatures is ours; how long that takes depends on their number alone. */
static bool any_fits(struct str signatures, const char ours[HASH_TEXT + 1])
{
    struct str one;
    unsigned seen = 0;
    bool fits = false;

    while (seen < SIGNATURES_MAX && str_split(&signatures, ' ', &one)) {
        if (one.n == 0)
            continue;
        seen++;
        if (str_starts(one, STR("v1,")) && one.n == HASH_TEXT + 3)
            fits |= CRYPTO_memcmp(one.p + 3, ours, HASH_TEXT) == 0;
    }
    return fits;
}

enum sig_result sig_verify(const struct sig_keys *k, struct str id, struct str timestamp,
                           struct str signatures, struct str body, uint64_t now_s, struct err *e)
{
    struct str part[3] = {id, timestamp, body};
    char ours[HASH_TEXT + 1];
    uint64_t then = 0;
    bool fits = false;

    if (id.n == 0)
        return no(SIG_MISSING, e, "the webhook-id header is missing");
    if (timestamp.n == 0)
        return no(SIG_MISSING, e, "the webhook-timestamp header is missing");
    if (signatures.n == 0)
        return no(SIG_MISSING, e, "the webhook-signature header is missing");
    if (!str_u64(timestamp, &then))
        return no(SIG_MISSING, e, "the webhook-timestamp is not a number");
    if (then > now_s ? then - now_s > SIG_TOLERANCE_S : now_s - then > SIG_TOLERANCE_S)
        return no(SIG_STALE, e, "the webhook-timestamp is more than 300 s off; check this machine's clock");
    /* All secrets are tried, whichever fits: rotation must not show in the time it takes. */
    for (unsigned i = 0; i < k->n; i++) {
        make(&k->key[i], part, ours);
        fits |= any_fits(signatures, ours);
    }
    OPENSSL_cleanse(ours, sizeof ours);
    return fits ? SIG_GOOD : no(SIG_BAD, e, "no signature fits a webhook secret");
}

int sig_sign(const struct sig_keys *k, struct str id, struct str timestamp, struct str body, char *out,
             size_t cap)
{
    struct str part[3] = {id, timestamp, body};

    if (cap < HASH_TEXT + 4)
        return ERR_TOO_BIG;
    memcpy(out, "v1,", 3);
    make(&k->key[0], part, out + 3);
    return 0;
}
