/* SPDX-License-Identifier: MIT */
/*
 * The token table and the counting: files that are none, damage behind the header, memory that is out. That the
 * counts are the encoding's is shown by tests/conformance/tokens.test.mjs.
 */
#include "memory/tokens_int.h"
#include "plugin/base/buf.h"
#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT_EQ(t, text, n) T_EQ(tokens_count(t, STR(text)), n)

static char table_path[512];
static char scratch[64];

static uint32_t next_random(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

static struct buf read_file(const char *path)
{
    struct buf b;
    int fd = open(path, O_RDONLY);
    ssize_t n = 0;

    buf_init(&b, 16u << 20);
    while (fd >= 0 && buf_reserve(&b, 1 << 16) == 0 && (n = read(fd, b.p + b.n, 1 << 16)) > 0)
        b.n += (size_t)n;
    if (fd >= 0)
        close(fd);
    return b;
}

static void write_file(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    T_MUST(fd >= 0);
    T_EQ(write(fd, p, n), (ssize_t)n);
    close(fd);
}

static void known_counts(struct tokens *t)
{
    struct buf b;

    T_CASE("texts have the tokens that they are known to have");
    COUNT_EQ(t, "", 0);
    COUNT_EQ(t, "a", 1);
    COUNT_EQ(t, "Hello", 1);
    COUNT_EQ(t, "Hello, world!", 4);
    COUNT_EQ(t, "it's", 1);
    COUNT_EQ(t, "1234567", 3);
    COUNT_EQ(t, "   a", 2);
    COUNT_EQ(t, "\xef\xbb\xbfusing", 1);
    T_EQ(tokens_count(t, STR_NONE), 0);

    T_CASE("a long run of one letter is counted by its tokens");
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < 100000; i++)
        buf_putc(&b, 'a');
    T_EQ(tokens_count(t, buf_str(&b)), 12500);
    buf_free(&b);
}

static void merging_agrees(struct tokens *t)
{
    static const char letters[] = "etaoin shrdlu ETAOIN.,'\"-_/\\(){}=+0123456789\n\t\xc3\xa9\xe4\xb8\xad";
    uint32_t seed = 5, ends[TOKENS_SHORT_BYTES];
    unsigned char p[TOKENS_SHORT_BYTES];

    T_CASE("both ways of merging give the same");
    for (unsigned round = 0; round < 4000; round++) {
        size_t n = 2 + next_random(&seed) % (sizeof(p) - 1), count;

        for (size_t i = 0; i < n; i++)
            p[i] = (unsigned char)letters[next_random(&seed) % (round % 2 ? 8 : sizeof(letters) - 1)];
        count = tokens_merge_long(t, p, n, ends, TOKENS_SHORT_BYTES);
        if (tokens_rank(t, p, n) == TOKENS_NO_RANK)
            T_EQ(tokens_merge(t, p, n), count);
        T_EQ(ends[count - 1], n);
        for (size_t i = 0, at = 0; i < count; at = ends[i++])
            T_NE(tokens_rank(t, p + at, ends[i] - at), TOKENS_NO_RANK);
    }
}

static void fit_holds(struct tokens *t)
{
    uint32_t seed = 6;
    char p[600];

    T_CASE("what fits fits, whatever the bytes are");
    for (unsigned round = 0; round < 3000; round++) {
        static const char pool[] = "ab AB \n'1\xc3\xa9\xe4\xb8\xad\xff\x80\xf0\x9f";
        size_t n = next_random(&seed) % sizeof(p), max = next_random(&seed) % 60, fit;

        for (size_t i = 0; i < n; i++)
            p[i] = round % 3 == 0 ? (char)next_random(&seed) : pool[next_random(&seed) % (sizeof(pool) - 1)];
        fit = tokens_fit(t, str_make(p, n), max);
        T_LE(fit, n);
        T_LE(tokens_count(t, str_make(p, fit)), max);
        if (fit < n)
            T_GT(tokens_count(t, str_make(p, n)), max);
    }
    T_EQ(tokens_fit(t, STR("Hello, world!"), 0), 0);
    T_EQ(tokens_fit(t, STR("Hello, world!"), 2), 6);
    T_EQ(tokens_fit(t, STR("Hello, world!"), 4), 13);
    T_EQ(tokens_fit(t, STR_NONE, 0), 0);
}

static void files_that_are_none(const struct buf *good)
{
    struct tokens *t;
    struct err e;

    T_CASE("a table that cannot be read is told apart from a damaged one");
    T_EQ(tokens_open(&t, "/nonexistent/o200k.bin", &e), ERR_IO);
    T_NULL(t);
    T_HAS(e.text, "/nonexistent/o200k.bin");
    T_EQ(tokens_open(&t, "/", &e), ERR_CORRUPT);
    T_EQ(tokens_open(&t, "/dev/null", &e), ERR_CORRUPT);
    T_EQ(tokens_open(&t, "/dev/null", NULL), ERR_CORRUPT);

    T_CASE("a table that is cut, longer or damaged in its header is refused");
    write_file(scratch, good->p, good->n - 1);
    T_EQ(tokens_open(&t, scratch, &e), ERR_CORRUPT);
    T_HAS(e.text, scratch);
    for (size_t i = 0; i < 80; i++) {
        good->p[i] ^= 0x10;
        write_file(scratch, good->p, 4096);
        T_EQ(truncate(scratch, (off_t)good->n), 0);
        T_EQ(tokens_open(&t, scratch, &e), ERR_CORRUPT);
        good->p[i] ^= 0x10;
    }
    tokens_close(NULL);
}

static void damaged_body(const struct buf *good)
{
    static const char text[] = "It's 12 o'clock \xe4\xb8\xad\xe6\x96\x87 \xd0\xbf\xd1\x80\xd0\xb8 \xf0\x9f\x91\x8d abcdefgh";
    struct tokens *t;
    uint32_t seed = 77;
    struct buf run;

    T_CASE("damage behind the header gives wrong counts at worst");
    buf_init(&run, 1 << 16);
    for (unsigned i = 0; i < 60; i++)
        buf_puts(&run, i < 40 ? STR("abcdefgh") : str_make(text, sizeof(text) - 1));
    for (unsigned round = 0; round < 12; round++) {
        struct buf bad = read_file(table_path);

        T_EQ(bad.n, good->n);
        for (size_t i = 80; i < bad.n; i += round == 0 ? 1 : 1 + next_random(&seed) % (8u << round))
            bad.p[i] = (char)next_random(&seed);
        write_file(scratch, bad.p, bad.n);
        buf_free(&bad);
        if (tokens_open(&t, scratch, NULL) < 0)
            continue; /* the table of ASCII is looked up when it is opened */
        T_GT(tokens_count(t, buf_str(&run)), 0);
        T_LE(tokens_count(t, buf_str(&run)), run.n);
        T_LE(tokens_fit(t, buf_str(&run), 20), run.n);
        tokens_close(t);
    }
    buf_free(&run);
}

static void out_of_memory(struct tokens *t)
{
    struct tokens *none;
    struct buf b;

    T_CASE("without memory a long run counts its bytes, and nothing else changes");
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < 1000; i++)
        buf_putc(&b, 'a');
    for (unsigned long n = 1; n <= 3; n++) {
        mem_fault_after(n);
        T_EQ(tokens_count(t, buf_str(&b)), n < 3 ? 1000 : 125);
        mem_fault_after(n);
        T_LE(tokens_fit(t, buf_str(&b), 50), 1000);
        mem_fault_after(n);
        T_EQ(tokens_count(t, STR("Hello, world! It costs nothing.")), 8);
    }
    b.p[500] = (char)0xff;
    mem_fault_after(1);
    T_GE(tokens_count(t, buf_str(&b)), 1000);
    mem_fault_after(1);
    T_EQ(tokens_open(&none, table_path, NULL), ERR_NOMEM);
    T_NULL(none);
    mem_fault_after(0);
    buf_free(&b);

    T_CASE("a text of ordinary pieces is counted without allocating");
    mem_fault_after(0);
    (void)tokens_count(t, STR("Hello, world! \xff\xfe It\xe2\x80\x99s 12 o'clock, \xe4\xb8\xad\xe6\x96\x87."));
    T_EQ(mem_fault_after(0), 0);
}

int main(int argc, char **argv)
{
    struct tokens *t = NULL;
    struct err e = {0};
    struct buf good;
    const char *slash = strrchr(argv[0], '/');

    (void)argc;
    snprintf(table_path, sizeof(table_path), "%.*s/../../o200k.bin",
             slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    snprintf(scratch, sizeof(scratch), "/tmp/tokens-XXXXXX");
    close(mkstemp(scratch));
    T_CASE("the table of the build opens");
    if (tokens_open(&t, table_path, &e) < 0)
        printf("  %s\n", e.text);
    T_MUST(t);
    good = read_file(table_path);
    known_counts(t);
    merging_agrees(t);
    fit_holds(t);
    files_that_are_none(&good);
    damaged_body(&good);
    out_of_memory(t);
    buf_free(&good);
    tokens_close(t);
    unlink(scratch);
    return T_DONE();
}
