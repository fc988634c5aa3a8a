/* SPDX-License-Identifier: MIT */
/*
 * The table is used where it is mapped: opening it reads its header alone. So whatever is read from the body
 * later is held against its bounds; a damaged one gives wrong counts but no wild address.
 */
#include "memory/tokens_int.h"

#include "plugin/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* scripts/gen-tokens.mjs writes what is read here and describes it. */
#define TABLE_VERSION 1
#define HEADER_BYTES 80
#define FILE_MAX_BYTES (64u << 20)
#define RANK_BITS 18
#define RANK_MASK ((1u << RANK_BITS) - 1)
#define TAG_MASK 0x3fffu
#define CLASS_INDEX_N 0x1100u

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const unsigned char *p)
{
    return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

static uint64_t fnv1a(const unsigned char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static bool has_room(size_t file_bytes, uint32_t at, uint64_t bytes)
{
    return at >= HEADER_BYTES && at <= file_bytes && bytes <= file_bytes - at;
}

static int read_header(struct tokens *t)
{
    const unsigned char *p = t->map;
    uint32_t at[5];

    if (t->map_bytes < HEADER_BYTES || memcmp(p, "ocvo200k", 8) != 0 || le32(p + 8) != TABLE_VERSION)
        return ERR_CORRUPT;
    if (le32(p + 12) != HEADER_BYTES || le64(p + 16) != t->map_bytes || le64(p + 72) != fnv1a(p, 72))
        return ERR_CORRUPT;
    t->tokens_n = le32(p + 24);
    t->slots_n = le32(p + 28);
    t->bytes_n = le32(p + 44);
    t->blocks_n = le32(p + 56);
    t->longest = le32(p + 64);
    at[0] = le32(p + 32);
    at[1] = le32(p + 36);
    at[2] = le32(p + 40);
    at[3] = le32(p + 48);
    at[4] = le32(p + 52);
    if (t->tokens_n == 0 || t->tokens_n >= RANK_MASK || t->slots_n <= t->tokens_n || t->blocks_n == 0 ||
        t->longest > TOKENS_SHORT_BYTES)
        return ERR_CORRUPT;
    if (!has_room(t->map_bytes, at[0], ((uint64_t)t->tokens_n + 1) * 4) ||
        !has_room(t->map_bytes, at[1], (uint64_t)t->slots_n * 4) ||
        !has_room(t->map_bytes, at[2], t->bytes_n) || !has_room(t->map_bytes, at[3], CLASS_INDEX_N * 2) ||
        !has_room(t->map_bytes, at[4], (uint64_t)t->blocks_n * 256))
        return ERR_CORRUPT;
    t->offsets = p + at[0];
    t->slots = p + at[1];
    t->bytes = p + at[2];
    t->class_index = p + at[3];
    t->class_blocks = p + at[4];
    return 0;
}

unsigned tokens_class(const struct tokens *t, uint32_t c)
{
    const unsigned char *entry;
    uint32_t block;

    if (c < 128)
        return t->ascii[c];
    entry = t->class_index + (size_t)(c >> 8) * 2;
    block = entry[0] | (uint32_t)entry[1] << 8;
    return block < t->blocks_n ? t->class_blocks[(size_t)block * 256 + (c & 0xff)] : 0;
}

static int map_file(struct tokens *t, const char *path, struct err *e)
{
    static const char cure[] = "build it again (make) or install the plugin again";
    struct stat st;
    void *map;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set(e, ERR_IO, "the token table %s cannot be opened (errno %d); %s", path, errno, cure);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < HEADER_BYTES ||
        st.st_size > FILE_MAX_BYTES) {
        (void)close(fd);
        return err_set(e, ERR_CORRUPT, "the token table %s has no possible size; %s", path, cure);
    }
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED)
        return err_set(e, ERR_IO, "the token table %s cannot be mapped (errno %d)", path, errno);
    t->map = map;
    t->map_bytes = (size_t)st.st_size;
    if (read_header(t) < 0)
        return err_set(e, ERR_CORRUPT, "the token table %s is damaged or of another version; %s", path, cure);
    return 0;
}

int tokens_open(struct tokens **out, const char *path, struct err *e)
{
    struct tokens *t = MEM_NEW(struct tokens);
    uint32_t block;
    int rc;

    *out = NULL;
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    rc = map_file(t, path, e);
    if (rc < 0)
        goto out;
    block = t->class_index[0] | (uint32_t)t->class_index[1] << 8;
    if (block >= t->blocks_n) {
        rc = err_set(e, ERR_CORRUPT, "the token table %s is damaged", path);
        goto out;
    }
    memcpy(t->ascii, t->class_blocks + (size_t)block * 256, sizeof(t->ascii));
    *out = t;
    return 0;
out:
    tokens_close(t);
    return rc;
}

void tokens_close(struct tokens *t)
{
    if (!t)
        return;
    if (t->map)
        (void)munmap((void *)(uintptr_t)t->map, t->map_bytes);
    mem_free(t);
}

/* Up to 8 bytes, zeroes above them. Two loads that overlap are quicker than a copy of unknown length. */
static uint64_t load_tail(const unsigned char *p, size_t n)
{
    if (n >= 8)
        return le64(p);
    if (n >= 4)
        return (uint64_t)le32(p) | (uint64_t)le32(p + n - 4) << ((n - 4) * 8);
    return (uint64_t)p[0] | (uint64_t)p[n / 2] << (n / 2 * 8) | (uint64_t)p[n - 1] << ((n - 1) * 8);
}

static uint64_t hash_bytes(const unsigned char *p, size_t n)
{
    uint64_t h = (uint64_t)n * 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < n; i += 8) {
        h = (h ^ load_tail(p + i, n - i)) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

uint32_t tokens_rank(const struct tokens *t, const unsigned char *p, size_t n)
{
    uint64_t h;
    uint32_t at, tag;

    if (n == 0 || n > t->longest)
        return TOKENS_NO_RANK;
    h = hash_bytes(p, n);
    tag = (uint32_t)h & TAG_MASK;
    at = (uint32_t)((h >> 32) * t->slots_n >> 32);
    for (uint32_t tries = 0; tries < t->slots_n; tries++) {
        uint32_t slot = le32(t->slots + (size_t)at * 4);
        uint32_t rank = (slot & RANK_MASK) - 1;

        if (slot == 0)
            return TOKENS_NO_RANK;
        if (slot >> RANK_BITS == tag && rank < t->tokens_n) {
            uint32_t begin = le32(t->offsets + (size_t)rank * 4);
            uint32_t end = le32(t->offsets + (size_t)rank * 4 + 4);

            if (end >= begin && end <= t->bytes_n && end - begin == n && memcmp(t->bytes + begin, p, n) == 0)
                return rank;
        }
        at = at + 1 == t->slots_n ? 0 : at + 1;
    }
    return TOKENS_NO_RANK;
}
