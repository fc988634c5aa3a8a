/* SPDX-License-Identifier: MIT */
/* What an open may find: damage, files of others, a newer version, no folder. */
#include "memory/store.h"
#include "memory/schema.h"
#include "tests/unit/store_kit.h"

static void scribble(const char *path, off_t at, size_t n)
{
    char junk[4096];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    T_MUST(fd >= 0 && n <= sizeof junk);
    memset(junk, 0x5a, sizeof junk);
    T_EQ(pwrite(fd, junk, n, at), (ssize_t)n);
    (void)close(fd);
}

static void corrupt_is_set_aside(void)
{
    static const struct {
        off_t at;
        size_t n;
    } holes[] = {{0, 100}, {4096 * 3, 4096}, {100, 2000}};
    char path[200];
    struct kit k;
    struct store_health h;
    struct stat st;

    kit_init(&k);
    kit_path(&k, "voice.db", path, sizeof path);
    for (size_t i = 0; i < sizeof holes / sizeof *holes; i++) {
        kit_open(&k, 0);
        T_OK(kit_sql(&k, KIT_LIST));
        for (int j = 0; j < 5; j++)
            T_OK(kit_sql(&k, KIT_FILL));
        kit_close(&k);
        scribble(path, holes[i].at, holes[i].n);
        kit_open(&k, 0);
        store_health_read(k.s, &h);
        T_TRUE(h.set_aside);
        T_HAS(h.aside_path, "voice.db.corrupt-20");
        T_EQ(stat(h.aside_path, &st), 0);
        T_GT(st.st_size, 100000);
        T_OK(kit_sql(&k, KIT_LIST)); /* the new one works */
        kit_close(&k);
        kit_open(&k, 0);
        store_health_read(k.s, &h);
        T_FALSE(h.set_aside);
        kit_close(&k);
        (void)unlink(path);
    }
    kit_init(&k);
    kit_done(&k);
}

/* A file that is no database at all, and an empty one. */
static void strange_files(void)
{
    struct kit k;
    struct store_health h;
    struct err e = {0};
    char path[200];
    int fd;
    sqlite3 *db;

    kit_init(&k);
    kit_path(&k, "voice.db", path, sizeof path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    T_MUST(fd >= 0);
    for (int i = 0; i < 300; i++)
        T_EQ(write(fd, "dear diary\n", 11), 11);
    (void)close(fd);
    kit_open(&k, 0);
    store_health_read(k.s, &h);
    T_TRUE(h.set_aside);
    kit_close(&k);
    (void)unlink(path);

    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)close(fd);
    kit_open(&k, 0);
    store_health_read(k.s, &h);
    T_FALSE(h.set_aside);
    kit_close(&k);
    (void)unlink(path);

    db = kit_beside(&k);
    T_EQ(sqlite3_exec(db, "CREATE TABLE cake(a)", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    T_EQ(kit_try(&k, 0, &e), ERR_INVALID);
    T_HAS(e.text, "another program");
    T_HAS(e.text, path);
    kit_done(&k);
}

static void corrupt_but_in_use(void)
{
    struct kit a, b;
    struct err e = {0};
    char path[200];
    struct stat st;

    kit_init(&a);
    kit_init_beside(&b, &a);
    kit_open(&a, 0);
    T_OK(kit_sql(&a, KIT_LIST));
    T_OK(kit_sql(&a, KIT_FILL));
    kit_path(&a, "voice.db", path, sizeof path);
    kit_close(&a);
    kit_open(&a, 0);
    scribble(path, 4096 * 2, 4096);
    T_EQ(kit_try(&b, 0, &e), ERR_CORRUPT);
    T_HAS(e.text, "another instance");
    T_EQ(stat(path, &st), 0); /* still where it was */
    kit_close(&a);
    (void)close(a.fd);
    b.s = NULL;
    kit_done(&b);
}

static char *slurp(const char *path, size_t *n)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *p;

    T_MUST(fd >= 0 && fstat(fd, &st) == 0);
    p = malloc((size_t)st.st_size + 1);
    T_MUST(p != NULL && read(fd, p, (size_t)st.st_size) == st.st_size);
    *n = (size_t)st.st_size;
    (void)close(fd);
    return p;
}

static void newer_is_left_alone(void)
{
    struct kit k;
    struct err e = {0};
    char path[200], sql[64], *before, *after;
    size_t n_before, n_after;

    kit_init(&k);
    kit_open(&k, 0);
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%d", STORE_SCHEMA + 3);
    T_OK(kit_sql(&k, sql));
    kit_close(&k);
    kit_path(&k, "voice.db", path, sizeof path);
    before = slurp(path, &n_before);
    T_EQ(kit_try(&k, 0, &e), ERR_NEWER);
    T_HAS(e.text, "newer version");
    T_HAS(e.text, path);
    after = slurp(path, &n_after);
    T_MEM_EQ(after, n_after, before, n_before);
    free(before);
    free(after);
    kit_done(&k);
}

/* Damage in a large file is met while running; the next open then looks at all of it. */
static int say_corrupt(struct kit_op *o, sqlite3 *db)
{
    (void)o;
    (void)db;
    return SQLITE_CORRUPT;
}

static int corrupt_run(struct store_op *op, struct store *s, sqlite3 *db)
{
    (void)db;
    return store_rc(s, say_corrupt((struct kit_op *)op, db));
}

static void damage_asks_for_a_check(void)
{
    struct kit k;
    struct kit_op o = {0};
    unsigned done = 0;
    int rc = 1;
    char path[200];

    kit_init(&k);
    kit_open(&k, 0);
    o.op.run = corrupt_run;
    o.op.done = kit_op_done;
    o.done = &done;
    o.rc = &rc;
    T_OK(store_push(k.s, &o.op));
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    T_EQ(rc, ERR_SQLITE - SQLITE_CORRUPT);
    kit_path(&k, "voice.db.check", path, sizeof path);
    T_EQ(access(path, F_OK), 0);
    kit_close(&k);
    kit_open(&k, 0);
    T_NE(access(path, F_OK), 0);
    kit_done(&k);
}

static void no_directory(void)
{
    static const char *const dirs[] = {"/proc/nowhere/x", "/dev/null/x", ""};
    struct store *s = NULL;
    struct err e = {0};
    struct kit k;
    char path[200];

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        struct store_config c = {.dir = dirs[i]};

        T_ERR(store_open(&s, &c, &e));
        T_NULL(s);
        T_HAS(e.text, "directory");
    }
    kit_init(&k);
    kit_path(&k, "voice.db", path, sizeof path);
    T_EQ(mkdir(path, 0700), 0); /* a folder where the file should be */
    T_ERR(kit_try(&k, 0, &e));
    T_HAS(e.text, path);
    kit_done(&k);
    /* Odd but lawful names, and folders in between that are made. */
    kit_init(&k);
    (void)snprintf(path, sizeof path, "%s/a b%%20?#&=ü/c", k.dir);
    {
        struct store_config c = {.dir = path};
        struct stat st;
        char file[260];

        T_OK(store_open(&s, &c, &e));
        (void)snprintf(file, sizeof file, "%s/voice.db", path);
        T_EQ(stat(file, &st), 0);
        T_EQ(st.st_mode & 0777, 0600);
        store_close(s, 100);
    }
    kit_rm(k.dir);
    (void)close(k.fd);
}

int main(void)
{
    T_RUN(corrupt_is_set_aside);
    T_RUN(strange_files);
    T_RUN(corrupt_but_in_use);
    T_RUN(newer_is_left_alone);
    T_RUN(damage_asks_for_a_check);
    T_RUN(no_directory);
    return T_DONE();
}
