/* SPDX-License-Identifier: MIT */
#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/base/seal.h"
#include "tests/unit/t.h"

#define CHUNK SEAL_CHUNK_BYTES
#define SEALED (SEAL_CHUNK_BYTES + SEAL_TAG_BYTES)
#define MAX (4u * CHUNK)

static struct seal_key key_of(const char *text)
{
    struct seal_key key;

    T_MUST(seal_key_read(&key, str_of(text), NULL) == 0);
    return key;
}

static const char key_text[] = "0123456789abcdef0123456789abcdef";

static char *plain_of(size_t n)
{
    char *p = malloc(n + 1);
    uint32_t x = 12345;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (char)(x >> 24);
    }
    return p;
}

/* Sealed in pieces of `step` bytes. */
static void seal(struct buf *to, const char *name, const char *plain, size_t n, size_t step)
{
    struct seal_key key = key_of(key_text);
    struct seal_writer *w = NULL;

    buf_init(to, 2u * MAX);
    T_MUST(seal_begin(&w, &key, str_of(name), to) == 0);
    for (size_t at = 0; at < n; at += step)
        T_OK(seal_put(w, str_head(str_make(plain + at, n - at), step), to));
    T_OK(seal_end(w, to));
    seal_writer_free(w);
}

static int from_buf(void *arg, uint64_t at, void *into, size_t n)
{
    const struct buf *b = arg;

    if (at > b->n || n > b->n - at)
        return ERR_IO;
    memcpy(into, b->p + at, n);
    return 0;
}

static int open_as(struct seal_reader **out, struct buf *b, const char *key, const char *name)
{
    struct seal_key k = key_of(key);
    struct err e = {0};
    int rc = seal_open(out, &k, str_of(name), b->n, from_buf, b, &e);

    T_EQ(rc < 0, e.text[0] != '\0');
    return rc;
}

static const size_t sizes[] = {0, 1, 15, 16, 17, CHUNK - 17, CHUNK - 16, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 16,
                               2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK + 12345};

static void round_trips(void)
{
    static const size_t steps[] = {4096, 65535, 65536, 65537, MAX, 7777};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            size_t n = sizes[i], chunks = n == 0 ? 1 : (n + CHUNK - 1) / CHUNK;
            char *plain = plain_of(n), *back = malloc(n + 1);
            struct seal_reader *r = NULL;
            struct buf b;

            seal(&b, "a", plain, n, steps[s]);
            T_EQ(b.n, SEAL_HEAD_BYTES + n + chunks * SEAL_TAG_BYTES);
            T_MUST(open_as(&r, &b, key_text, "a") == 0);
            T_EQ(seal_size(r), n);
            T_OK(seal_read(r, 0, back, n));
            T_MEM_EQ(back, n, plain, n);
            T_EQ(seal_read(r, 0, back, n + 1), ERR_INVALID);
            T_EQ(seal_read(r, n + 1, back, 0), ERR_INVALID);
            T_EQ(seal_read(r, UINT64_MAX, back, 1), ERR_INVALID);
            T_TRUE(n < 16 || memmem(b.p, b.n, plain, 16) == NULL);
            seal_close(r);
            buf_free(&b);
            free(plain);
            free(back);
        }
    }
}

static void ranges(void)
{
    static const size_t at[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK, 3 * CHUNK + 998,
                                3 * CHUNK + 999};
    size_t n = 3 * CHUNK + 999;
    char *plain = plain_of(n), *back = malloc(n);
    struct seal_reader *r = NULL;
    struct buf b;

    seal(&b, "a", plain, n, 10000);
    T_MUST(open_as(&r, &b, key_text, "a") == 0);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        for (size_t j = sizeof at / sizeof *at; j-- > i;) {
            memset(back, 0, n);
            T_OK(seal_read(r, at[i], back, at[j] - at[i]));
            T_MEM_EQ(back, at[j] - at[i], plain + at[i], at[j] - at[i]);
        }
    }
    seal_close(r);
    buf_free(&b);
    free(plain);
    free(back);
}

/* 0 only if the whole of it opens and reads. */
static int reads(struct buf *b, const char *key, const char *name)
{
    struct seal_reader *r = NULL;
    char *back = malloc(2u * MAX);
    int rc = open_as(&r, b, key, name);

    if (rc == 0)
        rc = seal_read(r, 0, back, (size_t)seal_size(r));
    seal_close(r);
    free(back);
    return rc;
}

static void a_changed_bit(void)
{
    size_t n = CHUNK + 100;
    char *plain = plain_of(n);
    struct buf b;

    seal(&b, "a", plain, n, n);
    T_OK(reads(&b, key_text, "a"));
    for (size_t i = 0; i < b.n; i += i < 64 || i > b.n - 140 ? 1 : 997) {
        b.p[i] ^= 1;
        T_EQ(reads(&b, key_text, "a"), i == 7 ? ERR_NEWER : ERR_CORRUPT);
        b.p[i] ^= 1;
    }
    T_OK(reads(&b, key_text, "a"));
    buf_free(&b);
    free(plain);
}

static void cut_off(void)
{
    size_t n = 3 * CHUNK;
    char *plain = plain_of(n);
    struct buf b;

    seal(&b, "a", plain, n, n);
    for (size_t less = 1; less < b.n; less += less < 40 || less % SEALED < 40 ? 1 : 1013) {
        struct buf part = b;

        part.n = b.n - less;
        T_EQ(reads(&part, key_text, "a"), ERR_CORRUPT);
    }
    for (size_t chunks = 1; chunks < 3; chunks++) {
        struct buf part = b;

        part.n = SEAL_HEAD_BYTES + chunks * SEALED;
        T_EQ(reads(&part, key_text, "a"), ERR_CORRUPT);
    }
    T_OK(buf_putc(&b, 'x'));
    T_EQ(reads(&b, key_text, "a"), ERR_CORRUPT);
    b.n--;
    T_OK(buf_reserve(&b, SEALED));
    T_OK(buf_put(&b, b.p + SEAL_HEAD_BYTES, SEALED));
    T_EQ(reads(&b, key_text, "a"), ERR_CORRUPT);
    buf_free(&b);
    free(plain);
}

static void swap(char *a, char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = a[i];

        a[i] = b[i];
        b[i] = c;
    }
}

static void moved(void)
{
    size_t n = 4 * CHUNK;
    char *plain = plain_of(n), *at, *other;
    struct buf a, b;

    seal(&a, "a", plain, n, n);
    seal(&b, "a", plain, n, n);
    T_OK(reads(&a, key_text, "a"));
    at = a.p + SEAL_HEAD_BYTES;
    other = b.p + SEAL_HEAD_BYTES;
    swap(at, at + SEALED, SEALED); /* within a file */
    T_EQ(reads(&a, key_text, "a"), ERR_CORRUPT);
    swap(at, at + SEALED, SEALED);
    swap(at + SEALED, other + SEALED, SEALED); /* between files of one name and content */
    T_EQ(reads(&a, key_text, "a"), ERR_CORRUPT);
    swap(at + SEALED, other + SEALED, SEALED);
    swap(a.p, b.p, SEAL_HEAD_BYTES); /* the heads */
    T_EQ(reads(&a, key_text, "a"), ERR_CORRUPT);
    swap(a.p, b.p, SEAL_HEAD_BYTES);
    memmove(at + SEALED, at + 2 * SEALED, 2 * SEALED); /* one left out of the middle */
    a.n -= SEALED;
    T_EQ(reads(&a, key_text, "a"), ERR_CORRUPT);
    buf_free(&a);
    /* Whole files. */
    T_EQ(reads(&b, key_text, "b"), ERR_CORRUPT);
    T_EQ(reads(&b, "another key of enough bytes", "a"), ERR_CORRUPT);
    T_OK(reads(&b, key_text, "a"));
    buf_free(&b);
    free(plain);
}

/* A damaged chunk spoils what lies in it, and nothing else. */
static void damage_is_local(void)
{
    size_t n = 4 * CHUNK;
    char *plain = plain_of(n), *back = malloc(n);
    struct seal_reader *r = NULL;
    struct buf b;

    seal(&b, "a", plain, n, n);
    b.p[SEAL_HEAD_BYTES + SEALED + 5] ^= 1;
    T_MUST(open_as(&r, &b, key_text, "a") == 0);
    T_OK(seal_read(r, 0, back, CHUNK));
    T_EQ(seal_read(r, CHUNK + 100, back, 1), ERR_CORRUPT);
    T_OK(seal_read(r, 2 * CHUNK, back, 2 * CHUNK));
    T_MEM_EQ(back, 2 * CHUNK, plain + 2 * CHUNK, 2 * CHUNK);
    T_EQ(seal_read(r, CHUNK - 1, back, 2), ERR_CORRUPT);
    seal_close(r);
    buf_free(&b);
    free(plain);
    free(back);
}

static void keys(void)
{
    char text[300];
    struct seal_key key;
    struct err e = {0};

    memset(text, 'k', sizeof text);
    T_EQ(seal_key_read(&key, STR(""), &e), ERR_INVALID);
    T_EQ(seal_key_read(&key, str_make(text, 15), &e), ERR_INVALID);
    T_HAS(e.text, "16 to 256 bytes");
    T_NULL(strstr(e.text, "kkk"));
    T_OK(seal_key_read(&key, STR("  sixteen bytes !!  \n"), &e));
    T_EQ(key.n, 16);
    T_EQ(seal_key_read(&key, STR("       fourteen bytes        "), &e), ERR_INVALID);
    T_OK(seal_key_read(&key, str_make(text, 16), &e));
    T_OK(seal_key_read(&key, str_make(text, 256), &e));
    T_EQ(seal_key_read(&key, str_make(text, 257), &e), ERR_INVALID);
    T_OK(seal_key_read(&key, STR("000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1EfF"), &e));
    T_EQ(key.n, 32);
    T_EQ(key.bytes[1], 1);
    T_EQ(key.bytes[31], 0xff);
    T_OK(seal_key_read(&key, STR("000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1EfG"), &e));
    T_EQ(key.n, 64);
}

/*
 * A file made by other means (node:crypto, by the text of seal.h): what is written here
 * today must be readable tomorrow.
 */
static void a_file_of_the_format(void)
{
    static const unsigned char sealed_vector[] = {
        0x4f, 0x43, 0x56, 0x53, 0x45, 0x41, 0x4c, 0x01, 0x01, 0x08, 0x0f, 0x16,
        0x1d, 0x24, 0x2b, 0x32, 0x39, 0x40, 0x47, 0x4e, 0x55, 0x5c, 0x63, 0x6a,
        0x71, 0x78, 0x7f, 0x86, 0x8d, 0x94, 0x9b, 0xa2, 0xa9, 0xb0, 0xb7, 0xbe,
        0xc5, 0xcc, 0xd3, 0xda, 0x92, 0xd8, 0xec, 0x3c, 0x92, 0xba, 0xcc, 0xe9,
        0x54, 0xb2, 0x85, 0x26, 0xaa, 0xc0, 0x40, 0x88, 0xbb, 0xba, 0xdd, 0xb0,
        0xdc, 0xfd, 0x4d, 0x2d, 0x72, 0x3c, 0x82
    };
    struct seal_reader *r = NULL;
    struct buf b;
    char back[64];

    buf_init(&b, 4096);
    T_OK(buf_put(&b, sealed_vector, sizeof sealed_vector));
    T_MUST(open_as(&r, &b, key_text, "call_1.wav") == 0);
    T_EQ(seal_size(r), 11);
    T_OK(seal_read(r, 0, back, 11));
    T_MEM_EQ(back, 11, "hello world", 11);
    seal_close(r);
    buf_free(&b);
}

static void out_of_memory(void)
{
    char *plain = plain_of(100);
    struct seal_key key = key_of(key_text);

    for (unsigned long n = 1; n < 4; n++) {
        struct seal_writer *w = NULL;
        struct buf to;
        int rc;

        buf_init(&to, MAX);
        (void)mem_fault_after(n);
        rc = seal_begin(&w, &key, STR("a"), &to);
        if (rc == 0)
            rc = seal_put(w, str_make(plain, 100), &to);
        if (rc == 0)
            rc = seal_end(w, &to);
        (void)mem_fault_after(0);
        T_EQ(rc, n < 3 ? ERR_NOMEM : 0);
        seal_writer_free(w);
        buf_free(&to);
    }
    free(plain);
}

static void sums(void)
{
    struct seal_sum *s = NULL;
    unsigned char raw[32];
    char hex[65], want[65];

    T_MUST(seal_sum_open(&s) == 0);
    seal_sum_add(s, STR("a"));
    seal_sum_add(s, STR(""));
    seal_sum_add(s, STR("bc"));
    seal_sum_end(s, hex);
    T_STR_EQ(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2, B.1 */
    id_sha256(raw, STR("abc"));
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(want + 2 * i, 3, "%02x", raw[i]);
    T_STR_EQ(hex, want);
    seal_sum_free(NULL);
}

int main(void)
{
    T_RUN(round_trips);
    T_RUN(ranges);
    T_RUN(a_changed_bit);
    T_RUN(cut_off);
    T_RUN(moved);
    T_RUN(damage_is_local);
    T_RUN(keys);
    T_RUN(a_file_of_the_format);
    T_RUN(out_of_memory);
    T_RUN(sums);
    return T_DONE();
}
