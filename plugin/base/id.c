/* SPDX-License-Identifier: MIT */
/* SHA-256 by its low-level functions: EVP looks its algorithm up by name each time, which costs as much as a hash. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "plugin/base/id.h"

#include "plugin/base/err.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int id_random(void *out, size_t n)
{
    unsigned char *p = out;

    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_IO;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

int id_make(struct id *out, const char *prefix, uint64_t wall_ms)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char raw[16];
    size_t at = strnlen(prefix, ID_BYTES);
    uint64_t high = 0, low = 0;

    if (at + 27 > sizeof out->text)
        return ERR_TOO_BIG;
    for (int i = 0; i < 6; i++)
        raw[i] = (unsigned char)(wall_ms >> (40 - 8 * i));
    if (id_random(raw + 6, sizeof raw - 6) < 0)
        return ERR_IO;
    memcpy(out->text, prefix, at);
    for (int i = 0; i < 8; i++) {
        high = high << 8 | raw[i];
        low = low << 8 | raw[8 + i];
    }
    /* 128 bits in 26 digits of 5 bits, the last one first: two zero bits lead. */
    for (int i = 25; i >= 0; i--) {
        out->text[at + (size_t)i] = digits[low & 31];
        low = low >> 5 | high << 59;
        high >>= 5;
    }
    out->text[at + 26] = '\0';
    return 0;
}

void id_hex(char *out, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

void id_sha256(unsigned char out[32], struct str s)
{
    SHA256_CTX ctx;

    (void)SHA256_Init(&ctx);
    (void)SHA256_Update(&ctx, s.p ? s.p : "", s.n);
    (void)SHA256_Final(out, &ctx);
}

void id_derive(struct id *out, const char *prefix, struct str a, struct str b)
{
    unsigned char ha[32], hb[32], both[64];

    /* Hashing the parts first keeps ("ab","c") and ("a","bc") apart. */
    id_sha256(ha, a);
    id_sha256(hb, b);
    memcpy(both, ha, 32);
    memcpy(both + 32, hb, 32);
    id_sha256(ha, str_make((const char *)both, sizeof both));
    (void)snprintf(out->text, sizeof out->text, "%.6s%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x",
                   prefix, ha[0], ha[1], ha[2], ha[3], ha[4], ha[5], ha[6], ha[7], ha[8], ha[9], ha[10],
                   ha[11]);
}

uint64_t id_hash(struct str s, uint64_t seed)
{
    uint64_t h = 14695981039346656037ull ^ seed;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 1099511628211ull;
    h ^= h >> 32;
    return h * 0x9e3779b97f4a7c15ull;
}

bool id_equal_ct(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}
