/* SPDX-License-Identifier: MIT */
#include "plugin/base/seal.h"

#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/base/secret.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "OCVSEAL\1"
#define MAGIC_BYTES 8u
#define VERSION_AT 7
#define SALT_BYTES 32u
#define PREFIX_BYTES 7u
#define NONCE_BYTES 12u
#define KEY_BYTES 32u
#define NAME_BYTES_MAX 256u
#define SEALED_CHUNK_BYTES (SEAL_CHUNK_BYTES + SEAL_TAG_BYTES)
#define CHUNKS_MAX (1ull << 32)

static const char info_text[] = "openclaw-voice seal 1";

struct box { /* what seals and opens chunks of one file */
    EVP_CIPHER_CTX *ctx;
    unsigned char head[SEAL_HEAD_BYTES];
    unsigned char secret[KEY_BYTES + PREFIX_BYTES]; /* key, then the nonces' prefix */
};

struct seal_writer {
    struct box box;
    uint64_t index;
    size_t n; /* bytes in `plain`: a full chunk waits until it is known whether it is the last */
    unsigned char plain[SEAL_CHUNK_BYTES], sealed[SEALED_CHUNK_BYTES];
};

struct seal_reader {
    struct box box;
    seal_read_fn *fn;
    void *arg;
    uint64_t file_bytes, chunks, size;
    uint64_t have; /* index of the chunk in `plain`, or UINT64_MAX */
    size_t n;      /* its bytes */
    unsigned char plain[SEAL_CHUNK_BYTES], sealed[SEALED_CHUNK_BYTES];
};

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool key_hex(struct seal_key *out, struct str text)
{
    if (text.n != 2 * KEY_BYTES)
        return false;
    for (size_t i = 0; i < KEY_BYTES; i++) {
        int high = digit_of(text.p[2 * i]), low = digit_of(text.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out->bytes[i] = (unsigned char)(high * 16 + low);
    }
    out->n = KEY_BYTES;
    return true;
}

int seal_key_read(struct seal_key *out, struct str text, struct err *e)
{
    while (text.n > 0 && (unsigned char)text.p[0] <= ' ')
        text = str_skip(text, 1);
    while (text.n > 0 && (unsigned char)text.p[text.n - 1] <= ' ')
        text.n--;
    if (text.n < SEAL_KEY_BYTES_MIN || text.n > SEAL_KEY_BYTES_MAX)
        return err_set(e, ERR_INVALID, "an encryption key has %u to %u bytes; `openssl rand -hex 32` makes one",
                       SEAL_KEY_BYTES_MIN, SEAL_KEY_BYTES_MAX);
    if (key_hex(out, text))
        return 0;
    memcpy(out->bytes, text.p, text.n);
    out->n = text.n;
    return 0;
}

/* ---- boxes ---- */

static void box_close(struct box *b)
{
    EVP_CIPHER_CTX_free(b->ctx);
    b->ctx = NULL;
}

/* HKDF over the salt in b->head. */
static int derive(struct box *b, const struct seal_key *key, struct str name)
{
    unsigned char info[sizeof info_text + NAME_BYTES_MAX];
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA256";
    OSSL_PARAM params[5];
    int good = 0;

    if (ctx != NULL) {
        memcpy(info, info_text, sizeof info_text);
        if (name.n > 0)
            memcpy(info + sizeof info_text, name.p, name.n);
        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
        params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key->bytes, key->n);
        params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, b->head + MAGIC_BYTES, SALT_BYTES);
        params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info_text + name.n);
        params[4] = OSSL_PARAM_construct_end();
        good = EVP_KDF_derive(ctx, b->secret, sizeof b->secret, params);
    }
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return good == 1 ? 0 : ERR_NOMEM;
}

/* b->head is filled. */
static int box_open(struct box *b, const struct seal_key *key, struct str name, bool seals)
{
    int rc = name.n <= NAME_BYTES_MAX ? derive(b, key, name) : ERR_TOO_BIG;

    b->ctx = EVP_CIPHER_CTX_new();
    if (rc == 0 && (b->ctx == NULL || EVP_CipherInit_ex(b->ctx, EVP_aes_256_gcm(), NULL, b->secret, NULL, seals) != 1))
        rc = ERR_NOMEM;
    ERR_clear_error();
    return rc;
}

static bool box_chunk(struct box *b, uint64_t index, bool last)
{
    unsigned char nonce[NONCE_BYTES];
    int n;

    memcpy(nonce, b->secret + KEY_BYTES, PREFIX_BYTES);
    for (int i = 0; i < 4; i++)
        nonce[PREFIX_BYTES + i] = (unsigned char)(index >> (24 - 8 * i));
    nonce[NONCE_BYTES - 1] = last;
    return EVP_CipherInit_ex(b->ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
           EVP_CipherUpdate(b->ctx, NULL, &n, b->head, sizeof b->head) == 1;
}

/* n bytes of plain become n + 16 of sealed. */
static int box_seal(struct box *b, uint64_t index, bool last, const unsigned char *plain, size_t n,
                    unsigned char *sealed)
{
    int put = 0, end = 0;
    bool good = box_chunk(b, index, last) &&
                (n == 0 || EVP_CipherUpdate(b->ctx, sealed, &put, plain, (int)n) == 1) &&
                EVP_CipherFinal_ex(b->ctx, sealed + put, &end) == 1 &&
                EVP_CIPHER_CTX_ctrl(b->ctx, EVP_CTRL_GCM_GET_TAG, SEAL_TAG_BYTES, sealed + n) == 1;

    ERR_clear_error();
    return good && (size_t)put + (size_t)end == n ? 0 : ERR_NOMEM;
}

/* n + 16 bytes of sealed become n of plain; nothing of them may be used unless this is 0. */
static int box_unseal(struct box *b, uint64_t index, bool last, unsigned char *sealed, size_t n,
                      unsigned char *plain)
{
    int put = 0, end = 0;
    bool good = box_chunk(b, index, last) &&
                (n == 0 || EVP_CipherUpdate(b->ctx, plain, &put, sealed, (int)n) == 1) &&
                EVP_CIPHER_CTX_ctrl(b->ctx, EVP_CTRL_GCM_SET_TAG, SEAL_TAG_BYTES, sealed + n) == 1 &&
                EVP_CipherFinal_ex(b->ctx, plain + put, &end) == 1;

    ERR_clear_error();
    if (!good)
        secret_wipe(plain, n);
    return good ? 0 : ERR_CORRUPT;
}

/* ---- writing ---- */

int seal_begin(struct seal_writer **out, const struct seal_key *key, struct str name, struct buf *to)
{
    struct seal_writer *w = MEM_NEW(struct seal_writer);
    int rc;

    if (w == NULL)
        return ERR_NOMEM;
    memcpy(w->box.head, MAGIC, MAGIC_BYTES);
    rc = id_random(w->box.head + MAGIC_BYTES, SALT_BYTES);
    if (rc == 0)
        rc = box_open(&w->box, key, name, true);
    if (rc == 0)
        rc = buf_put(to, w->box.head, SEAL_HEAD_BYTES);
    if (rc < 0)
        seal_writer_free(w);
    else
        *out = w;
    return rc;
}

static int put_chunk(struct seal_writer *w, bool last, struct buf *to)
{
    int rc = w->index < CHUNKS_MAX ? 0 : ERR_TOO_BIG;

    if (rc == 0)
        rc = box_seal(&w->box, w->index++, last, w->plain, w->n, w->sealed);
    if (rc == 0)
        rc = buf_put(to, w->sealed, w->n + SEAL_TAG_BYTES);
    w->n = 0;
    return rc;
}

int seal_put(struct seal_writer *w, struct str plain, struct buf *to)
{
    int rc = 0;

    while (rc == 0 && plain.n > 0) {
        struct str part = str_head(plain, SEAL_CHUNK_BYTES - w->n);

        if (part.n == 0) {
            rc = put_chunk(w, false, to);
            continue;
        }
        memcpy(w->plain + w->n, part.p, part.n);
        w->n += part.n;
        plain = str_skip(plain, part.n);
    }
    return rc;
}

int seal_end(struct seal_writer *w, struct buf *to)
{
    return put_chunk(w, true, to);
}

void seal_writer_free(struct seal_writer *w)
{
    if (w == NULL)
        return;
    box_close(&w->box);
    secret_wipe(w, sizeof *w);
    mem_free(w);
}

/* ---- reading ---- */

static size_t sealed_bytes(const struct seal_reader *r, uint64_t index)
{
    uint64_t left = r->file_bytes - SEAL_HEAD_BYTES - index * SEALED_CHUNK_BYTES;

    return left < SEALED_CHUNK_BYTES ? (size_t)left : SEALED_CHUNK_BYTES;
}

static int load(struct seal_reader *r, uint64_t index)
{
    size_t n = sealed_bytes(r, index);
    int rc;

    if (r->have == index)
        return 0;
    r->have = UINT64_MAX;
    rc = r->fn(r->arg, SEAL_HEAD_BYTES + index * SEALED_CHUNK_BYTES, r->sealed, n);
    if (rc == 0)
        rc = box_unseal(&r->box, index, index + 1 == r->chunks, r->sealed, n - SEAL_TAG_BYTES, r->plain);
    if (rc < 0)
        return rc;
    r->have = index;
    r->n = n - SEAL_TAG_BYTES;
    return 0;
}

/* The number of chunks and of plain bytes, as far as the length tells. */
static int measure(struct seal_reader *r)
{
    uint64_t body = r->file_bytes - SEAL_HEAD_BYTES, rest;

    if (r->file_bytes < SEAL_HEAD_BYTES + SEAL_TAG_BYTES)
        return ERR_CORRUPT;
    r->chunks = (body + SEALED_CHUNK_BYTES - 1) / SEALED_CHUNK_BYTES;
    rest = body - (r->chunks - 1) * SEALED_CHUNK_BYTES;
    if (r->chunks > CHUNKS_MAX || rest < SEAL_TAG_BYTES || (rest == SEAL_TAG_BYTES && r->chunks > 1))
        return ERR_CORRUPT;
    r->size = body - r->chunks * SEAL_TAG_BYTES;
    return 0;
}

static int read_head(struct seal_reader *r, struct err *e)
{
    int rc = r->fn(r->arg, 0, r->box.head, SEAL_HEAD_BYTES);

    if (rc < 0)
        return err_set(e, rc, "a sealed file cannot be read: %s", err_name(rc));
    if (memcmp(r->box.head, MAGIC, VERSION_AT) != 0)
        return err_set(e, ERR_CORRUPT, "a file is not sealed, though its name says so");
    if (r->box.head[VERSION_AT] != MAGIC[VERSION_AT])
        return err_set(e, ERR_NEWER, "a sealed file is of version %d, this plugin reads 1", r->box.head[VERSION_AT]);
    return 0;
}

int seal_open(struct seal_reader **out, const struct seal_key *key, struct str name, uint64_t file_bytes,
              seal_read_fn *fn, void *arg, struct err *e)
{
    struct seal_reader *r = MEM_NEW(struct seal_reader);
    int rc;

    if (r == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->fn = fn;
    r->arg = arg;
    r->file_bytes = file_bytes;
    r->have = UINT64_MAX;
    rc = measure(r);
    if (rc < 0)
        (void)err_set(e, rc, "a sealed file was cut");
    else
        rc = read_head(r, e);
    if (rc == 0) {
        rc = box_open(&r->box, key, name, false);
        if (rc == 0)
            rc = load(r, r->chunks - 1);
        if (rc < 0)
            (void)err_set(e, rc, "a sealed file does not open: changed, cut, renamed, or sealed with another key");
    }
    if (rc < 0)
        seal_close(r);
    else
        *out = r;
    return rc;
}

uint64_t seal_size(const struct seal_reader *r)
{
    return r->size;
}

int seal_read(struct seal_reader *r, uint64_t from, void *into, size_t n)
{
    unsigned char *p = into;

    if (from > r->size || n > r->size - from)
        return ERR_INVALID;
    while (n > 0) {
        size_t at = (size_t)(from % SEAL_CHUNK_BYTES), part;
        int rc = load(r, from / SEAL_CHUNK_BYTES);

        if (rc < 0)
            return rc;
        part = r->n - at < n ? r->n - at : n;
        memcpy(p, r->plain + at, part);
        p += part;
        from += part;
        n -= part;
    }
    return 0;
}

void seal_close(struct seal_reader *r)
{
    if (r == NULL)
        return;
    box_close(&r->box);
    secret_wipe(r, sizeof *r);
    mem_free(r);
}

/* ---- checksums ---- */

struct seal_sum {
    EVP_MD_CTX *ctx;
};

int seal_sum_open(struct seal_sum **out)
{
    struct seal_sum *s = MEM_NEW(struct seal_sum);

    if (s == NULL)
        return ERR_NOMEM;
    s->ctx = EVP_MD_CTX_new();
    if (s->ctx == NULL || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1) {
        ERR_clear_error();
        seal_sum_free(s);
        return ERR_NOMEM;
    }
    *out = s;
    return 0;
}

void seal_sum_add(struct seal_sum *s, struct str bytes)
{
    (void)EVP_DigestUpdate(s->ctx, bytes.p, bytes.n);
}

void seal_sum_end(struct seal_sum *s, char hex[65])
{
    unsigned char raw[32] = {0};
    unsigned int n = sizeof raw;

    (void)EVP_DigestFinal_ex(s->ctx, raw, &n);
    id_hex(hex, raw, sizeof raw);
    seal_sum_free(s);
}

void seal_sum_free(struct seal_sum *s)
{
    if (s == NULL)
        return;
    EVP_MD_CTX_free(s->ctx);
    mem_free(s);
}
