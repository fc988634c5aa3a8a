/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_SEAL_H
#define PLUGIN_BASE_SEAL_H
/*
 * Files at rest: encryption that can be written as a stream and read at any place, and checksums. One
 * owner, one thread at a time; keys are immutable and may be shared.
 *
 * A sealed file is a head of 40 bytes (magic "OCVSEAL", version 1, 32 random bytes of salt) and chunks of
 * 64 KiB, each AES-256-GCM with a tag of 16 bytes behind it; only the last may be shorter, and it is empty
 * only when the file is. Key and nonce prefix (32 + 7 bytes) come from HKDF-SHA256 (RFC 5869) over the key
 * material with that salt and, as info, "openclaw-voice seal 1", NUL and the file's name: so no chunk, nor
 * a whole file, passes for another one's. The nonce is prefix, index (4 bytes, big-endian), and 1 for the
 * last chunk or 0: chunks that were moved, dropped or cut off do not open (the STREAM construction of Hoang,
 * Reyhanitabar, Rogaway and Vizár, 2015). The head is authenticated with each chunk.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/base/str.h"

#define SEAL_CHUNK_BYTES 65536u
#define SEAL_TAG_BYTES 16u
#define SEAL_HEAD_BYTES 40u
#define SEAL_KEY_BYTES_MIN 16u
#define SEAL_KEY_BYTES_MAX 256u

struct seal_key { /* wiped by its owner with secret_wipe() */
    size_t n;
    unsigned char bytes[SEAL_KEY_BYTES_MAX];
};

/*
 * Takes the key material from configuration, blanks around it left out: 64 hex digits stand for 32 bytes, any
 * other text for itself. ERR_INVALID: under 16 or over 256 bytes.
 */
int seal_key_read(struct seal_key *out, struct str text, struct err *e);

struct seal_writer;

/*
 * Begins a file of this name (at most 256 bytes): appends its head to `to`. The key is not kept. ERR_NOMEM,
 * ERR_TOO_BIG, ERR_IO (no random bytes).
 */
int seal_begin(struct seal_writer **out, const struct seal_key *key, struct str name, struct buf *to);
/* Appends the chunks that became complete. ERR_NOMEM, ERR_TOO_BIG (of `to`, or over 2^32 chunks); then it is lost. */
int seal_put(struct seal_writer *w, struct str plain, struct buf *to);
/* Appends the last chunk. */
int seal_end(struct seal_writer *w, struct buf *to);
void seal_writer_free(struct seal_writer *w); /* NULL is fine */

/* Reads exactly n bytes of the sealed file at `at`; 0 or a code that is passed on. */
typedef int seal_read_fn(void *arg, uint64_t at, void *into, size_t n);

struct seal_reader;

/*
 * Opens a file of file_bytes bytes. Its last chunk is checked here, and with it the length. ERR_CORRUPT:
 * changed, cut, of another name, or sealed with another key; ERR_NEWER; ERR_NOMEM.
 */
int seal_open(struct seal_reader **out, const struct seal_key *key, struct str name, uint64_t file_bytes,
              seal_read_fn *fn, void *arg, struct err *e);
uint64_t seal_size(const struct seal_reader *r); /* of the plain bytes */
/* Exactly n plain bytes at `from`; beyond the end ERR_INVALID. ERR_CORRUPT. One opened chunk is kept. */
int seal_read(struct seal_reader *r, uint64_t from, void *into, size_t n);
void seal_close(struct seal_reader *r); /* wipes; NULL is fine */

/* SHA-256 of bytes that come in pieces. */
struct seal_sum;
int seal_sum_open(struct seal_sum **out); /* ERR_NOMEM */
void seal_sum_add(struct seal_sum *s, struct str bytes);
/* In hex with a NUL; ends the sum and frees it. */
void seal_sum_end(struct seal_sum *s, char hex[65]);
void seal_sum_free(struct seal_sum *s); /* NULL is fine */

#endif
