/* SPDX-License-Identifier: MIT */
#include "memory/store.h"
#include "memory/schema.h"
#include "tests/unit/store_kit.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define MAKE_LIST "CREATE TABLE IF NOT EXISTS list(n INTEGER PRIMARY KEY, v INTEGER)"

static int insert(struct kit_op *o, sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "INSERT INTO list(v) VALUES(?1)", -1, &st, NULL);

    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_int64(st, 1, o->n);
        rc = sqlite3_step(st);
    }
    (void)sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : ERR_SQLITE - (rc & 0xff);
}

static void opens_as_promised(void)
{
    struct kit k;
    struct store_health h;
    struct stat st;
    char path[200];
    sqlite3 *db;

    kit_init(&k);
    (void)rmdir(k.dir);
    kit_open(&k, 0);
    T_TRUE(str_starts(store_owner(k.s), STR("own_")));
    T_EQ(stat(k.dir, &st), 0);
    T_EQ(st.st_mode & 0777, 0700);
    T_OK(kit_sql(&k, MAKE_LIST));
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"voice.db", "voice.db-wal", "voice.db-shm"};

        kit_path(&k, names[i], path, sizeof path);
        T_EQ(stat(path, &st), 0);
        T_EQ(st.st_mode & 0777, 0600);
    }
    db = kit_beside(&k);
    T_EQ(kit_int(db, "PRAGMA user_version"), STORE_SCHEMA);
    T_EQ(kit_int(db, "PRAGMA auto_vacuum"), 2);
    (void)sqlite3_close(db);
    store_health_read(k.s, &h);
    T_FALSE(h.set_aside);
    T_FALSE(h.failing);
    T_EQ(h.schema_version, STORE_SCHEMA);
    T_EQ(h.queued, 0);
    T_EQ(h.commits, 1);
    T_EQ(h.operations, 1);
    /* A mode that was too wide is narrowed by the next open. */
    kit_close(&k);
    kit_path(&k, "voice.db", path, sizeof path);
    T_EQ(chmod(path, 0644), 0);
    kit_open(&k, 0);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 0777, 0600);
    kit_done(&k);
}

/* What the store's thread is and how its connection is set, seen from inside an operation. */
static struct {
    char name[32];
    bool blocked;
    long long synchronous, foreign_keys, secure_delete, temp_store;
} seen_inside;

static int look_around(struct kit_op *o, sqlite3 *db)
{
    sigset_t blocked;

    (void)o;
    (void)pthread_getname_np(pthread_self(), seen_inside.name, sizeof seen_inside.name);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    seen_inside.blocked = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGCHLD) == 1;
    seen_inside.synchronous = kit_int(db, "PRAGMA synchronous");
    seen_inside.foreign_keys = kit_int(db, "PRAGMA foreign_keys");
    seen_inside.secure_delete = kit_int(db, "PRAGMA secure_delete");
    seen_inside.temp_store = kit_int(db, "PRAGMA temp_store");
    return 0;
}

static void thread_and_settings(void)
{
    struct kit k;
    struct kit_op o = {.fn = look_around};
    unsigned done = 0;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_push(&k, &o, STORE_READ, &done, NULL));
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    T_STR_EQ(seen_inside.name, "oc-store");
    T_TRUE(seen_inside.blocked);
    T_EQ(seen_inside.synchronous, 2);
    T_EQ(seen_inside.foreign_keys, 1);
    T_EQ(seen_inside.secure_delete, 1);
    T_EQ(seen_inside.temp_store, 2);
    kit_done(&k);
}

/* First in, first out, for the database and for the answers; and many share a commit. */
static void order_and_batches(void)
{
    enum { N = 50000 };
    struct kit k;
    struct kit_op *o = calloc(N, sizeof *o);
    struct store_health h;
    unsigned done = 0;
    sqlite3 *db;

    T_MUST(o != NULL);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = insert;
        o[i].n = i;
        T_OK(kit_push(&k, &o[i], i % 3 ? STORE_RETRY : 0, &done, NULL));
    }
    T_TRUE(kit_wait(&k, &done, N, 60000));
    store_health_read(k.s, &h);
    T_EQ(h.operations, N + 1);
    T_GE(h.commits, N / 1024);
    T_LT(h.commits, N / 20);
    T_EQ(h.queued, 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM list"), N);
    T_EQ(kit_int(db, "SELECT count(*) FROM list WHERE v <> n - 1"), 0);
    (void)sqlite3_close(db);
    free(o);
    kit_done(&k);
}

static unsigned seen_order[64], n_seen;

static int count_rows(struct kit_op *o, sqlite3 *db)
{
    o->n = (unsigned)kit_int(db, "SELECT count(*) FROM list");
    return sqlite3_get_autocommit(db) ? ERR_BAD_STATE : 0;
}

static void note_done(struct store_op *op, int rc)
{
    struct kit_op *o = (struct kit_op *)op;

    (void)rc;
    seen_order[n_seen++] = o->runs ? (unsigned)(uintptr_t)o->rc : 999;
    ++*o->done;
}

/* A read sees every write that was queued before it and none behind it; answers come in order. */
static void reads_stand_in_line(void)
{
    enum { N = 32 };
    struct kit k;
    struct kit_op o[N];
    unsigned done = 0;

    memset(o, 0, sizeof o);
    n_seen = 0;
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = i % 4 == 3 ? count_rows : insert;
        o[i].op.flags = i % 4 == 3 ? STORE_READ : 0;
        o[i].op.run = kit_op_run;
        o[i].op.done = note_done;
        o[i].done = &done;
        o[i].rc = (int *)(uintptr_t)i;
        T_OK(store_push(k.s, &o[i].op));
    }
    T_TRUE(kit_wait(&k, &done, N, 5000));
    for (unsigned i = 0; i < N; i++) {
        T_EQ(seen_order[i], i);
        if (i % 4 == 3) {
            T_EQ(o[i].n, (i / 4 + 1) * 3);
            T_OK(o[i].op.rc);
        }
    }
    kit_done(&k);
}

static int nap_200(struct kit_op *o, sqlite3 *db)
{
    (void)o;
    (void)db;
    kit_nap(200);
    return 0;
}

static void deadlines(void)
{
    struct kit k;
    struct kit_op slow = {.fn = nap_200}, late = {.fn = insert}, read = {.fn = count_rows},
                  soon = {.fn = insert};
    unsigned done = 0;
    int rc_late = 1, rc_read = 1, rc_soon = 1;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    kit_nap(50); /* so that the slow one is a batch of its own */
    late.op.deadline_ms = read.op.deadline_ms = clock_mono_ms() + 20;
    soon.op.deadline_ms = clock_mono_ms() + 5000;
    T_OK(kit_push(&k, &late, 0, &done, &rc_late));
    T_OK(kit_push(&k, &read, STORE_READ, &done, &rc_read));
    T_OK(kit_push(&k, &soon, 0, &done, &rc_soon));
    T_TRUE(kit_wait(&k, &done, 4, 5000));
    T_EQ(rc_late, ERR_TIMEOUT);
    T_EQ(late.runs, 0);
    T_EQ(rc_read, ERR_TIMEOUT);
    T_EQ(read.runs, 0);
    T_OK(rc_soon);
    kit_done(&k);
}

/* Changes something, then fails: its changes go, its neighbours' stay. */
static int poison(struct kit_op *o, sqlite3 *db)
{
    (void)insert(o, db);
    return ERR_INVALID;
}

/* Ends the transaction under everybody's feet. */
static int saw(struct kit_op *o, sqlite3 *db)
{
    (void)o;
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return 0;
}

static void poisoned_neighbours(void)
{
    enum { N = 300 };
    struct kit k;
    static struct kit_op slow, o[N];
    static int rc[N];
    unsigned done = 0;
    sqlite3 *db;

    memset(o, 0, sizeof o);
    slow = (struct kit_op){.fn = nap_200};
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = i == 0 || i == 100 || i == 101 || i == N - 1 ? poison : i == 200 ? saw : insert;
        if (i == 50) {
            o[i].fn = NULL;
            o[i].sql = "INSERT INTO nowhere VALUES(1)"; /* fails by itself, and spoils nothing */
        }
        o[i].n = i;
        T_OK(kit_push(&k, &o[i], i % 2 ? STORE_RETRY : 0, &done, &rc[i]));
    }
    T_TRUE(kit_wait(&k, &done, N + 1, 20000));
    for (unsigned i = 0; i < N; i++) {
        if (o[i].fn == insert)
            T_OK(rc[i]);
        else if (o[i].fn == poison)
            T_EQ(rc[i], ERR_INVALID);
        else
            T_ERR(rc[i]);
    }
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM list"), N - 6);
    T_EQ(kit_int(db, "SELECT count(*) FROM list WHERE v IN (0,50,100,101,200,299)"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM list a, list b WHERE a.n < b.n AND a.v > b.v"), 0);
    (void)sqlite3_close(db);
    kit_done(&k);
}

/* ---- Locks. ---- */

static void locked_by_another(void)
{
    enum { N = 6 };
    struct kit k;
    struct kit_op first = {.sql = "INSERT INTO list(v) VALUES(1)"}, o[N], read = {.fn = count_rows};
    struct store_health h;
    unsigned done = 0, done_reads = 0;
    int rc = 1, rcs[N];
    uint64_t t;
    sqlite3 *db;

    memset(o, 0, sizeof o);
    kit_init(&k);
    kit_open(&k, 150);
    T_OK(kit_sql(&k, MAKE_LIST));
    db = kit_beside(&k);
    T_MUST(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);

    /* Without STORE_RETRY: fails after busy_ms. */
    t = clock_mono_ms();
    T_OK(kit_push(&k, &first, 0, &done, &rc));
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    T_EQ(rc, ERR_SQLITE - SQLITE_BUSY);
    t = clock_mono_ms() - t;
    T_GE(t, 140);
    T_LT(t, 1200);
    store_health_read(k.s, &h);
    T_TRUE(h.failing);
    T_HAS(h.text, "locked");

    /* With it: kept in line, in order, and reads go on meanwhile. */
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = insert;
        o[i].n = i;
        T_OK(kit_push(&k, &o[i], STORE_RETRY, &done, &rcs[i]));
    }
    kit_nap(400);
    T_OK(kit_push(&k, &read, STORE_READ, &done_reads, NULL));
    T_TRUE(kit_wait(&k, &done_reads, 1, 5000));
    T_EQ(read.n, 0);
    T_EQ(done, 1);
    store_health_read(k.s, &h);
    T_EQ(h.queued, N);
    T_MUST(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    T_TRUE(kit_wait(&k, &done, 1 + N, 5000));
    for (unsigned i = 0; i < N; i++)
        T_OK(rcs[i]);
    T_EQ(kit_int(db, "SELECT count(*) FROM list WHERE v = n - 1"), N);
    store_health_read(k.s, &h);
    T_FALSE(h.failing);
    (void)sqlite3_close(db);
    kit_done(&k);
}

/* The lock is waited for, but not beyond the deadline of who waits. */
static void deadline_under_lock(void)
{
    struct kit k;
    struct kit_op a = {.fn = insert}, b = {.fn = insert};
    unsigned done = 0;
    int rc_a = 1, rc_b = 1;
    uint64_t t = clock_mono_ms();
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 3000);
    T_OK(kit_sql(&k, MAKE_LIST));
    db = kit_beside(&k);
    T_MUST(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    t = clock_mono_ms();
    a.op.deadline_ms = t + 200;
    T_OK(kit_push(&k, &a, 0, &done, &rc_a));
    T_OK(kit_push(&k, &b, 0, &done, &rc_b));
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    T_EQ(rc_a, ERR_TIMEOUT);
    T_LT(clock_mono_ms() - t, 1500);
    T_EQ(done, 1);
    T_MUST(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    T_TRUE(kit_wait(&k, &done, 2, 5000));
    T_OK(rc_b);
    (void)sqlite3_close(db);
    kit_done(&k);
}

static void locked_at_open(void)
{
    struct kit k;
    struct err e = {0};
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    kit_close(&k);
    db = kit_beside(&k);
    T_MUST(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO list(v)"
                            " VALUES(1); COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    T_EQ(kit_try(&k, 100, &e), ERR_SQLITE - SQLITE_BUSY);
    T_HAS(e.text, "locked by another program");
    T_HAS(e.text, k.dir);
    (void)sqlite3_close(db);
    kit_open(&k, 100);
    kit_done(&k);
}

/* Two stores of one process on one file, as during a reload: they share the lock like strangers. */
static void two_in_one_process(void)
{
    struct kit a, b;
    struct kit_op oa[200], ob[200];
    unsigned done_a = 0, done_b = 0;
    sqlite3 *db;

    memset(oa, 0, sizeof oa);
    memset(ob, 0, sizeof ob);
    kit_init(&a);
    kit_init_beside(&b, &a);
    kit_open(&a, 5000);
    kit_open(&b, 5000);
    T_FALSE(str_eq(store_owner(a.s), store_owner(b.s)));
    T_OK(kit_sql(&a, MAKE_LIST));
    for (unsigned i = 0; i < 200; i++) {
        oa[i].fn = ob[i].fn = insert;
        T_OK(kit_push(&a, &oa[i], STORE_RETRY, &done_a, NULL));
        T_OK(kit_push(&b, &ob[i], STORE_RETRY, &done_b, NULL));
        kit_nap(1);
    }
    T_TRUE(kit_wait(&a, &done_a, 200, 10000));
    T_TRUE(kit_wait(&b, &done_b, 200, 10000));
    db = kit_beside(&a);
    T_EQ(kit_int(db, "SELECT count(*) FROM list"), 400);
    (void)sqlite3_close(db);
    kit_close(&a);
    T_OK(kit_sql(&b, "INSERT INTO list(v) VALUES(7)"));
    (void)close(a.fd);
    kit_done(&b);
}

/* ---- A full disk. ---- */

#define FILL "INSERT INTO list(v) SELECT randomblob(3000) FROM" \
             " (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400)" \
             " SELECT i FROM c)"

static void disk_full(void)
{
    struct kit k;
    struct kit_op big = {.sql = FILL}, claim = {.sql = FILL}, keep[4];
    struct store_health h;
    unsigned done = 0, kept = 0;
    int rc = 1, rcs[4];

    memset(keep, 0, sizeof keep);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    T_OK(kit_sql(&k, "PRAGMA max_page_count=60"));
    T_OK(kit_push(&k, &big, 0, &done, &rc));
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    T_EQ(rc, ERR_SQLITE - SQLITE_FULL);
    store_health_read(k.s, &h);
    T_TRUE(h.failing);
    T_HAS(h.text, "full");
    /* The kept ones wait behind the one that does not fit, in order; the others fail at once. */
    keep[0].sql = FILL;
    keep[1].sql = "INSERT INTO list(v) VALUES(1)";
    keep[2].sql = "INSERT INTO list(v) VALUES(2)";
    keep[3].sql = "INSERT INTO list(v) VALUES(3)";
    for (int i = 0; i < 4; i++)
        T_OK(kit_push(&k, &keep[i], STORE_RETRY, &kept, &rcs[i]));
    kit_nap(50);
    T_OK(kit_push(&k, &claim, 0, &done, &rc));
    T_TRUE(kit_wait(&k, &done, 2, 5000));
    T_EQ(rc, ERR_SQLITE - SQLITE_FULL);
    T_EQ(kept, 0);
    /* One that fits is not held up by the line. */
    T_OK(kit_sql(&k, "CREATE TABLE small(v)"));
    T_EQ(kept, 0);
    T_OK(kit_sql(&k, "PRAGMA max_page_count=1000000"));
    T_TRUE(kit_wait(&k, &kept, 4, 5000));
    for (int i = 0; i < 4; i++)
        T_OK(rcs[i]);
    store_health_read(k.s, &h);
    T_FALSE(h.failing);
    kit_done(&k);
}

/* One that can never fit must not take the others' chance: they are tried each by itself. */
static void full_for_one_alone(void)
{
    struct kit k;
    struct kit_op slow = {.fn = nap_200}, o[20];
    unsigned done = 0;
    int rc[20];

    memset(o, 0, sizeof o);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    T_OK(kit_sql(&k, "PRAGMA max_page_count=60"));
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    for (unsigned i = 0; i < 20; i++) {
        o[i].fn = insert;
        if (i == 7) {
            o[i].fn = NULL;
            o[i].sql = FILL;
        }
        T_OK(kit_push(&k, &o[i], 0, &done, &rc[i]));
    }
    T_TRUE(kit_wait(&k, &done, 21, 10000));
    for (unsigned i = 0; i < 20; i++)
        T_EQ(rc[i], i == 7 ? ERR_SQLITE - SQLITE_FULL : 0);
    kit_done(&k);
}

/* A true I/O limit, in a process of its own: the file may not grow. */
static void file_size_limit(void)
{
    struct kit k;
    pid_t pid;
    int status = -1;
    sqlite3 *db;

    kit_init(&k);
    pid = fork();
    if (pid == 0) {
        struct kit_op keep = {.fn = insert, .n = 42};
        struct rlimit lim = {200 * 1024, RLIM_INFINITY};
        unsigned done = 0;
        int rc = 1, bad = 0;

        (void)signal(SIGXFSZ, SIG_IGN);
        kit_open(&k, 0);
        bad |= kit_sql(&k, MAKE_LIST) != 0;
        (void)setrlimit(RLIMIT_FSIZE, &lim);
        rc = kit_sql(&k, FILL);
        bad |= (rc != ERR_SQLITE - SQLITE_FULL && rc != ERR_SQLITE - SQLITE_IOERR) << 1;
        lim.rlim_cur = 4096;
        (void)setrlimit(RLIMIT_FSIZE, &lim);
        bad |= (kit_push(&k, &keep, STORE_RETRY, &done, &rc) != 0) << 2;
        kit_nap(300);
        store_poll(k.s);
        bad |= (done != 0) << 3;
        lim.rlim_cur = RLIM_INFINITY;
        (void)setrlimit(RLIMIT_FSIZE, &lim);
        bad |= (!kit_wait(&k, &done, 1, 5000) || rc != 0) << 4;
        store_close(k.s, 1000);
        _exit(bad);
    }
    T_MUST(pid > 0);
    (void)waitpid(pid, &status, 0);
    T_EQ(status, 0);
    kit_open(&k, 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM list WHERE v=42"), 1);
    (void)sqlite3_close(db);
    kit_done(&k);
}

/* ---- What an open may find. ---- */

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
        T_OK(kit_sql(&k, MAKE_LIST));
        for (int j = 0; j < 5; j++)
            T_OK(kit_sql(&k, FILL));
        kit_close(&k);
        scribble(path, holes[i].at, holes[i].n);
        kit_open(&k, 0);
        store_health_read(k.s, &h);
        T_TRUE(h.set_aside);
        T_HAS(h.aside_path, "voice.db.corrupt-20");
        T_EQ(stat(h.aside_path, &st), 0);
        T_GT(st.st_size, 100000);
        T_OK(kit_sql(&k, MAKE_LIST)); /* the new one works */
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
    T_OK(kit_sql(&a, MAKE_LIST));
    T_OK(kit_sql(&a, FILL));
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

/* ---- Bounds and ends. ---- */

static atomic_bool gate;

/* Keeps the store's thread busy until the gate opens. */
static int wait_for_gate(struct kit_op *o, sqlite3 *db)
{
    (void)o;
    (void)db;
    for (int i = 0; i < 60000 && !atomic_load(&gate); i++)
        kit_nap(1);
    return 0;
}

static void bounds(void)
{
    enum { MAX = 65536 };
    struct kit k;
    struct kit_op *o = calloc(MAX + 1, sizeof *o), heavy = {.fn = insert}, slow = {.fn = wait_for_gate};
    unsigned done = 0, n = 0;
    int rc;

    T_MUST(o != NULL);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    heavy.op.bytes = STORE_QUEUE_BYTES + 1;
    T_EQ(kit_push(&k, &heavy, 0, &done, NULL), ERR_FULL);
    heavy.op.bytes = STORE_QUEUE_BYTES - 100;
    T_OK(kit_push(&k, &heavy, 0, &done, NULL));
    o[0].fn = insert;
    o[0].op.bytes = 101;
    T_EQ(kit_push(&k, &o[0], 0, &done, NULL), ERR_FULL);
    atomic_store(&gate, true);
    T_TRUE(kit_wait(&k, &done, 2, 5000));
    o[0].op.bytes = 0;
    done = 0;
    atomic_store(&gate, false);
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    do {
        o[n].fn = insert;
        rc = kit_push(&k, &o[n], 0, &done, NULL);
        n += rc == 0;
    } while (rc == 0 && n <= MAX);
    atomic_store(&gate, true);
    T_EQ(rc, ERR_FULL);
    T_MUST(n == MAX - 1); /* and the slow one */
    T_TRUE(kit_wait(&k, &done, MAX, 60000));
    T_OK(kit_push(&k, &o[n], 0, &done, NULL));
    T_TRUE(kit_wait(&k, &done, MAX + 1, 5000));
    free(o);
    kit_done(&k);
}

static void close_with_a_full_queue(void)
{
    enum { N = 20000 };
    struct kit k;
    struct kit_op *o = calloc(N, sizeof *o);
    unsigned done = 0;
    int *rc = calloc(N, sizeof *rc), bad = 0;
    sqlite3 *db;

    T_MUST(o != NULL && rc != NULL);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = insert;
        T_OK(kit_push(&k, &o[i], STORE_RETRY, &done, &rc[i]));
    }
    store_close(k.s, 30000);
    k.s = NULL;
    T_EQ(done, N);
    for (unsigned i = 0; i < N; i++)
        bad += rc[i] != 0;
    T_EQ(bad, 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM list"), N);
    (void)sqlite3_close(db);
    free(o);
    free(rc);
    kit_done(&k);
}

/* The end does not wait for a lock beyond its grace; every operation is told. */
static void close_while_locked(void)
{
    enum { N = 10 };
    struct kit k;
    struct kit_op o[N];
    unsigned done = 0;
    int rc[N];
    uint64_t t;
    sqlite3 *db;

    memset(o, 0, sizeof o);
    kit_init(&k);
    kit_open(&k, 60000);
    T_OK(kit_sql(&k, MAKE_LIST));
    db = kit_beside(&k);
    T_MUST(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = insert;
        T_OK(kit_push(&k, &o[i], i % 2 ? STORE_RETRY : 0, &done, &rc[i]));
    }
    kit_nap(50);
    t = clock_mono_ms();
    store_close(k.s, 200);
    k.s = NULL;
    T_LT(clock_mono_ms() - t, 2000);
    T_EQ(done, N);
    for (unsigned i = 0; i < N; i++)
        T_ERR(rc[i]);
    (void)sqlite3_close(db);
    kit_done(&k);
}

/* A lock that goes away during the grace: the waiting rows are written after all. */
static void close_writes_what_waits(void)
{
    struct kit k;
    struct kit_op o = {.fn = insert};
    unsigned done = 0;
    int rc = 1, status;
    pid_t pid;
    sqlite3 *db;
    char path[200];
    int fds[2];

    kit_init(&k);
    kit_open(&k, 50);
    T_OK(kit_sql(&k, MAKE_LIST));
    kit_path(&k, "voice.db", path, sizeof path);
    T_MUST(pipe(fds) == 0);
    pid = fork();
    if (pid == 0) {
        if (sqlite3_open(path, &db) != SQLITE_OK ||
            sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
            _exit(1);
        (void)!write(fds[1], "x", 1);
        kit_nap(500);
        _exit(0);
    }
    T_EQ(read(fds[0], &rc, 1), 1);
    rc = 1;
    T_OK(kit_push(&k, &o, STORE_RETRY, &done, &rc));
    kit_nap(200);
    (void)waitpid(pid, &status, 0);
    T_EQ(status, 0);
    store_close(k.s, 3000);
    k.s = NULL;
    T_EQ(done, 1);
    T_OK(rc);
    (void)close(fds[0]);
    (void)close(fds[1]);
    kit_done(&k);
}

static void settled_come_in_order(void)
{
    struct kit k;
    struct kit_op a = {.fn = insert}, b = {0};
    unsigned done = 0, settled = 0;
    int rc = 1;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    b.op.done = kit_op_done;
    b.op.rc = ERR_DUPLICATE;
    b.done = &settled;
    b.rc = &rc;
    T_OK(kit_push(&k, &a, 0, &done, NULL));
    T_OK(store_settle(k.s, &b.op));
    T_EQ(settled, 0); /* never from within the call */
    T_TRUE(kit_wait(&k, &settled, 1, 1000));
    T_EQ(rc, ERR_DUPLICATE);
    T_TRUE(kit_wait(&k, &done, 1, 1000));
    kit_done(&k);
}

static void out_of_memory(void)
{
    struct kit k;
    struct err e = {0};
    int rc = -1;
    unsigned long n = 1;

    kit_init(&k);
    for (; rc < 0 && n < 50; n++) {
        (void)mem_fault_after(n);
        rc = kit_try(&k, 0, &e);
        (void)mem_fault_after(0);
        if (rc < 0) {
            T_EQ(rc, ERR_NOMEM);
            T_NULL(k.s);
        }
    }
    T_OK(rc);
    T_GT(n, 3);
    kit_done(&k);
}

/* How often the store's thread went to sleep: by its own count, other threads may do what they like. */
static long naps_of_store(void)
{
    char path[300], line[200];
    long naps = -1;
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    FILE *f;

    while (d != NULL && (e = readdir(d)) != NULL) {
        bool ours = false;

        (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/status", e->d_name);
        f = fopen(path, "re");
        while (f != NULL && fgets(line, sizeof line, f) != NULL) {
            ours |= strstr(line, "oc-store") != NULL;
            if (ours && strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
                naps = strtol(line + 24, NULL, 10);
        }
        if (f != NULL)
            (void)fclose(f);
    }
    if (d != NULL)
        (void)closedir(d);
    return naps;
}

/* Idle means idle: the thread does not run when nothing is queued. */
static void sleeps_when_idle(void)
{
    struct kit k;
    long before;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, MAKE_LIST));
    kit_nap(100);
    before = naps_of_store();
    T_GE(before, 1);
    kit_nap(500);
    T_EQ(naps_of_store(), before);
    kit_done(&k);
}

static void on_gather(void *ctx)
{
    struct kit *k = ctx;

    k->gathers++;
}

/* Operations wait until the store is told to begin, until 256 are together, or until it closes. */
static void company_is_waited_for(void)
{
    enum { N = 600 };
    struct kit k;
    struct kit_op *o = calloc(N, sizeof *o);
    struct store_health before, h;
    unsigned done = 0;
    sqlite3 *db;

    T_MUST(o != NULL);
    kit_init(&k);
    k.gather = on_gather;
    kit_open(&k, 0);
    for (int i = 0; i < N; i++)
        o[i] = (struct kit_op){.sql = MAKE_LIST, .fn = i == 0 ? NULL : insert, .n = i};
    T_OK(kit_push(&k, &o[0], 0, &done, NULL));
    T_FALSE(kit_wait(&k, &done, 1, 50));
    store_begin(k.s);
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    store_begin(k.s); /* with nothing there */
    store_health_read(k.s, &before);
    for (int i = 1; i <= 100; i++)
        T_OK(kit_push(&k, &o[i], 0, &done, NULL));
    T_EQ(k.gathers, 2);
    T_FALSE(kit_wait(&k, &done, 2, 20));
    store_begin(k.s);
    T_TRUE(kit_wait(&k, &done, 101, 5000));
    store_health_read(k.s, &h);
    T_EQ(h.commits, before.commits + 1);
    for (int i = 101; i <= 356; i++)
        T_OK(kit_push(&k, &o[i], 0, &done, NULL));
    T_TRUE(kit_wait(&k, &done, 357, 5000));
    for (int i = 357; i < N; i++)
        T_OK(kit_push(&k, &o[i], 0, &done, NULL));
    kit_close(&k);
    T_EQ(done, N);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM list"), N - 1);
    (void)sqlite3_close(db);
    kit_open(&k, 0);
    kit_done(&k);
    free(o);
}

int main(void)
{
    T_RUN(opens_as_promised);
    T_RUN(thread_and_settings);
    T_RUN(order_and_batches);
    T_RUN(company_is_waited_for);
    T_RUN(reads_stand_in_line);
    T_RUN(deadlines);
    T_RUN(poisoned_neighbours);
    T_RUN(locked_by_another);
    T_RUN(deadline_under_lock);
    T_RUN(locked_at_open);
    T_RUN(two_in_one_process);
    T_RUN(disk_full);
    T_RUN(full_for_one_alone);
    T_RUN(file_size_limit);
    T_RUN(corrupt_is_set_aside);
    T_RUN(strange_files);
    T_RUN(corrupt_but_in_use);
    T_RUN(newer_is_left_alone);
    T_RUN(damage_asks_for_a_check);
    T_RUN(no_directory);
    T_RUN(bounds);
    T_RUN(close_with_a_full_queue);
    T_RUN(close_while_locked);
    T_RUN(close_writes_what_waits);
    T_RUN(settled_come_in_order);
    T_RUN(out_of_memory);
    T_RUN(sleeps_when_idle);
    return T_DONE();
}
