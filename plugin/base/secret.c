/* SPDX-License-Identifier: MIT */
#include "plugin/base/secret.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#define HASH_BYTES 32u
#define SALT_BYTES_MAX 64u
#define WORK_BYTES_MAX (64u << 20)

struct pin {
    uint64_t cost, block, parallel;
    unsigned char salt[SALT_BYTES_MAX], hash[SALT_BYTES_MAX];
    size_t salt_n, hash_n;
};

void secret_wipe(void *p, size_t n)
{
    if (p != NULL && n > 0)
        OPENSSL_cleanse(p, n);
}

static int value_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *hit = c ? strchr(digits, c) : NULL;

    return hit ? (int)(hit - digits) : -1;
}

/* Base64 with its padding or without. EVP_DecodeBlock() would keep the padding's zero bytes. */
static bool base64(struct str s, unsigned char out[SALT_BYTES_MAX], size_t *n)
{
    unsigned have = 0, bits = 0;
    size_t pad = 0;

    *n = 0;
    while (s.n > 0 && s.p[s.n - 1] == '=') {
        s.n--;
        pad++;
    }
    if (pad > 2 || (pad > 0 && (s.n + pad) % 4 != 0) || s.n % 4 == 1)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int v = value_of(s.p[i]);

        if (v < 0 || *n >= SALT_BYTES_MAX)
            return false;
        have = (have << 6 | (unsigned)v) & 0xffffu;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[(*n)++] = (unsigned char)(have >> bits);
        }
    }
    return true;
}

static bool number(struct str *rest, uint64_t min, uint64_t max, uint64_t *out)
{
    struct str part;

    return str_split(rest, '$', &part) && part.n <= 8 && str_u64(part, out) && *out >= min && *out <= max;
}

static int pin_read(struct pin *pin, struct str stored, struct err *e)
{
    struct str rest = stored, part;

    if (!str_split(&rest, '$', &part) || !str_eq(part, STR("scrypt")))
        return err_set(e, ERR_INVALID, "it does not begin with scrypt$");
    if (!number(&rest, 1u << 14, 1u << 17, &pin->cost) || (pin->cost & (pin->cost - 1)) != 0)
        return err_set(e, ERR_INVALID, "N is no power of two from 16384 to 131072");
    if (!number(&rest, 8, 16, &pin->block) || !number(&rest, 1, 4, &pin->parallel))
        return err_set(e, ERR_INVALID, "r is not 8 to 16, or p not 1 to 4");
    if (128u * pin->cost * pin->block > WORK_BYTES_MAX)
        return err_set(e, ERR_INVALID, "N and r ask for more than 64 MiB");
    if (!str_split(&rest, '$', &part) || !base64(part, pin->salt, &pin->salt_n) || pin->salt_n < 8)
        return err_set(e, ERR_INVALID, "the salt is no base64 of 8 to 64 bytes");
    if (!str_split(&rest, '$', &part) || !base64(part, pin->hash, &pin->hash_n) ||
        pin->hash_n != HASH_BYTES || rest.p != NULL)
        return err_set(e, ERR_INVALID, "the hash is no base64 of 32 bytes");
    return 0;
}

int secret_pin_check(struct str stored, struct err *e)
{
    struct pin pin;

    return pin_read(&pin, stored, e);
}

int secret_pin_same(struct str stored, struct str given, bool *same, struct err *e)
{
    struct pin pin;
    unsigned char hash[HASH_BYTES];
    int rc = pin_read(&pin, stored, e);

    if (rc < 0)
        return rc;
    if (given.n == 0 || given.n > SECRET_PIN_BYTES_MAX) {
        *same = false;
        return 0;
    }
    /* The limit leaves room for what scrypt needs beside its main table. */
    if (EVP_PBE_scrypt(given.p, given.n, pin.salt, pin.salt_n, pin.cost, pin.block, pin.parallel,
                       WORK_BYTES_MAX + (1u << 20), hash, sizeof hash) != 1) {
        ERR_clear_error();
        return err_set(e, ERR_NOMEM, "no memory to check a PIN");
    }
    *same = CRYPTO_memcmp(hash, pin.hash, sizeof hash) == 0;
    secret_wipe(hash, sizeof hash);
    return 0;
}
