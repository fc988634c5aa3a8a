/* SPDX-License-Identifier: MIT */
#include "memory/index.h"
#include "tests/unit/index_kit.h"

#include <sqlite3.h>

#define NOTE "memory/2026-02-03.md"
#define PARAGRAPHS 600

/* What a query tells of the index's database, once it holds the file with that size; rows end in a line feed. */
static char *told(struct kit *k, const char *state, const char *sql)
{
    char path[200], text[65536];
    struct stat st;
    struct buf out;
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    uint64_t until = clock_mono_ms() + KIT_WAIT_MS;
    bool there = false;

    buf_init(&out, 16 << 20);
    (void)snprintf(path, sizeof path, "%s/index.db", state);
    T_MUST(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    kit_path(k, NOTE, path, sizeof path);
    T_MUST(stat(path, &st) == 0);
    T_MUST(sqlite3_prepare_v2(db, "SELECT 1 FROM file WHERE size=?1 AND mtime=?2", -1, &q, NULL) == SQLITE_OK);
    (void)sqlite3_bind_int64(q, 1, st.st_size);
    (void)sqlite3_bind_int64(q, 2, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    while (!(there = sqlite3_step(q) == SQLITE_ROW) && clock_mono_ms() < until) {
        (void)sqlite3_reset(q);
        (void)usleep(5000);
    }
    T_MUST(there);
    (void)sqlite3_finalize(q);
    T_MUST(sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(q); i++) {
            const unsigned char *column = sqlite3_column_text(q, i);

            (void)snprintf(text, sizeof text, "%s|", column != NULL ? (const char *)column : "-");
            (void)buf_puts(&out, str_of(text));
        }
        (void)buf_puts(&out, STR("\n"));
    }
    (void)sqlite3_finalize(q);
    (void)sqlite3_close(db);
    T_EQ(out.rc, 0);
    {
        char *copy = strndup(out.p != NULL ? out.p : "", out.n);

        buf_free(&out);
        return copy;
    }
}

static long number_told(struct kit *k, const char *sql)
{
    char *text = told(k, k->state, sql);
    long n = strtol(text, NULL, 10);

    free(text);
    return n;
}

static const char all_rows[] =
    "SELECT line, lines, head, text, '', '', 0 FROM doc WHERE file > 0 UNION ALL"
    " SELECT line, lines, head, text, call, person, at FROM talk WHERE file > 0 ORDER BY 1, 4";

/* An index that is made anew from the files as they are holds the same rows. */
static void same_as_anew(struct kit *k, const char *after)
{
    char fresh[130], *ours, *theirs, command[200];
    struct index_config config = {k->ws, fresh, &k->log, kit_wake, k};
    struct index *held = k->ix;
    struct err e;

    (void)snprintf(fresh, sizeof fresh, "%s/fresh", k->dir);
    T_MUST(mkdir(fresh, 0700) == 0);
    ours = told(k, k->state, all_rows);
    T_MUST(index_open(&k->ix, &config, &e) == 0);
    kit_scanned(k);
    theirs = told(k, fresh, all_rows);
    kit_close(k);
    k->ix = held;
    if (strcmp(ours, theirs) != 0)
        fprintf(stderr, "after %s\n", after);
    T_STR_EQ(ours, theirs);
    free(ours);
    free(theirs);
    (void)snprintf(command, sizeof command, "rm -rf %s", fresh);
    T_EQ(system(command), 0);
}

static void write_note(struct kit *k)
{
    char *text = calloc(1, PARAGRAPHS * 512), *p = text;

    T_MUST(text != NULL);
    p += sprintf(p, "# Day one\n\n");
    for (int i = 0; i < PARAGRAPHS; i++)
        p += sprintf(p, "%sThe %dth thing of the day was word%d, [ ] and it went on about the house, the garden, the train and "
                     "the budget of the week until somebody had an idea of how to go on with it.\n\n", i % 40 == 0 ? "## Hour\n\n" : "", i, i);
    kit_write(k, NOTE, text);
    free(text);
}

/* Writes over what stands there, with as many bytes: neither inode nor length tell of it. */
static void write_over(struct kit *k, const char *what, const char *by)
{
    char path[200], *text = kit_read(k, NOTE), *at = strstr(text, what);
    int fd;

    kit_path(k, NOTE, path, sizeof path);
    T_MUST(at != NULL && strlen(what) == strlen(by));
    fd = open(path, O_WRONLY | O_CLOEXEC);
    T_MUST(fd >= 0 && pwrite(fd, by, strlen(by), at - text) == (ssize_t)strlen(by));
    (void)close(fd);
    free(text);
}

static void begin(struct kit *k)
{
    kit_init(k);
    kit_mkdir(k, "memory");
    write_note(k);
    kit_open(k);
    kit_scanned(k);
}

static void an_append_leaves_the_rest(void)
{
    struct kit k;
    long last, rows;

    begin(&k);
    last = number_told(&k, "SELECT max(id) FROM doc");
    rows = number_told(&k, "SELECT count(*) FROM doc");
    T_GT(rows, 100);
    T_EQ(last, rows);
    for (int i = 0; i < 10; i++) {
        char text[100];

        (void)snprintf(text, sizeof text, "\nAnd then addedword%d came.\n", i);
        kit_add(&k, NOTE, text);
        (void)snprintf(text, sizeof text, "addedword%d", i);
        (void)kit_until(&k, text, NOTE, true);
    }
    /* Each wrote the last block anew and at most one behind it. */
    T_LE(number_told(&k, "SELECT max(id) FROM doc"), last + 20);
    T_GE(number_told(&k, "SELECT count(*) FROM doc"), rows);
    T_EQ(number_told(&k, "SELECT count(*) FROM doc WHERE id < 100"), 99);
    same_as_anew(&k, "appends");
    kit_end(&k);
}

static void a_section_leaves_the_rest(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char *text, *longer = NULL;
    long last;

    begin(&k);
    last = number_told(&k, "SELECT max(id) FROM doc");
    T_OK(kit_append(&k, NOTE, "call_1", "A call", "They spoke of the plumbword.\n"));
    T_OK(kit_append(&k, NOTE, "call_2", "A call", "They spoke of the roofword.\n"));
    (void)kit_until(&k, "roofword", NOTE, true);
    (void)kit_until(&k, "plumbword", NOTE, true);
    T_LE(number_told(&k, "SELECT max(id) FROM doc"), last + 2);
    T_EQ(number_told(&k, "SELECT count(*) FROM talk"), 2);
    T_EQ(number_told(&k, "SELECT max(id) FROM talk"), 2);
    same_as_anew(&k, "sections");
    /* What is said of calls stands under the day's heading, and on lines: their own text tells of neither. */
    write_over(&k, "# Day one", "# Day two");
    (void)kit_until(&k, "plumbword", "Day two", true);
    same_as_anew(&k, "another heading above sections");
    text = kit_read(&k, NOTE);
    T_MUST(asprintf(&longer, "\n\n%s", text) > 0);
    kit_write(&k, NOTE, longer);
    same_as_anew(&k, "empty lines above");
    free(text);
    free(longer);
    /* One of them goes: those behind it stand on other lines now. */
    T_OK(kit_erase(&k, &a, "call_1"));
    (void)kit_until(&k, "plumbword", NOTE, false);
    same_as_anew(&k, "an erased section");
    kit_drop(&a);
    kit_end(&k);
}

/* The beginning is written over in place, also together with an append: nothing but the bytes tells of it. */
static void a_rewritten_beginning_is_seen(void)
{
    struct kit k;

    begin(&k);
    write_over(&k, "word3,", "wxyz3,");
    (void)kit_until(&k, "wxyz3", NOTE, true);
    T_LT(number_told(&k, "SELECT count(*) FROM doc WHERE text LIKE '%word3,%'"), 1);
    same_as_anew(&k, "a beginning written over");
    write_over(&k, "word7,", "vvvv7,");
    kit_add(&k, NOTE, "\nAnd lateword behind it.\n");
    (void)kit_until(&k, "lateword", NOTE, true);
    (void)kit_until(&k, "vvvv7", NOTE, true);
    (void)kit_until(&k, "word7", "word7,", false);
    same_as_anew(&k, "a beginning written over, and an append");
    /* A heading becomes another: all below it is found by the new one. */
    write_over(&k, "## Hour", "## Xxxx");
    (void)kit_until(&k, "xxxx", NOTE, true);
    same_as_anew(&k, "another heading");
    kit_end(&k);
}

static void any_change_is_as_anew(void)
{
    struct kit k;
    char *text;
    unsigned turn = 12345;

    begin(&k);
    for (int i = 0; i < 12; i++) {
        size_t n, at, cut;

        text = kit_read(&k, NOTE);
        n = strlen(text);
        turn = turn * 1103515245u + 12345u;
        at = (turn >> 8) % n;
        cut = at + (turn >> 16) % 3000;
        cut = cut < n ? cut : n;
        /* A piece goes, another comes in its place, or only one of both; everything is ASCII. */
        {
            struct buf b;

            buf_init(&b, 4 << 20);
            (void)buf_put(&b, text, at);
            if (i % 3 != 0)
                (void)buf_printf(&b, "\n\n%s changed%d here\n\n", i % 2 ? "#" : "-", i);
            (void)buf_put(&b, text + (i % 3 != 1 ? cut : at), n - (i % 3 != 1 ? cut : at));
            T_EQ(b.rc, 0);
            kit_write_n(&k, NOTE, b.p, b.n);
            buf_free(&b);
        }
        free(text);
        same_as_anew(&k, "a change");
    }
    kit_write(&k, NOTE, "");
    same_as_anew(&k, "everything taken out");
    kit_end(&k);
}

int main(void)
{
    T_RUN(an_append_leaves_the_rest);
    T_RUN(a_section_leaves_the_rest);
    T_RUN(a_rewritten_beginning_is_seen);
    T_RUN(any_change_is_as_anew);
    return T_DONE();
}
