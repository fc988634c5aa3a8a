/* SPDX-License-Identifier: MIT */
/* The file is locked by others: what waits, how long, what still goes, and an end meanwhile. */
#include "memory/store.h"
#include "tests/unit/store_kit.h"

static void locked_by_another(void)
{
    enum { N = 6 };
    struct kit k;
    struct kit_op first = {.sql = "INSERT INTO list(v) VALUES(1)"}, o[N], read = {.fn = kit_count_rows};
    struct store_health h;
    unsigned done = 0, done_reads = 0;
    int rc = 1, rcs[N];
    uint64_t t;
    sqlite3 *db;

    memset(o, 0, sizeof o);
    kit_init(&k);
    kit_open(&k, 150);
    T_OK(kit_sql(&k, KIT_LIST));
    db = kit_lock(&k);

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
        o[i].fn = kit_insert;
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
    struct kit_op a = {.fn = kit_insert}, b = {.fn = kit_insert};
    unsigned done = 0;
    int rc_a = 1, rc_b = 1;
    uint64_t t = clock_mono_ms();
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 3000);
    T_OK(kit_sql(&k, KIT_LIST));
    db = kit_lock(&k);
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
    T_OK(kit_sql(&k, KIT_LIST));
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
    T_OK(kit_sql(&a, KIT_LIST));
    for (unsigned i = 0; i < 200; i++) {
        oa[i].fn = ob[i].fn = kit_insert;
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
    T_OK(kit_sql(&k, KIT_LIST));
    db = kit_lock(&k);
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = kit_insert;
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
    struct kit_op o = {.fn = kit_insert};
    unsigned done = 0;
    int rc = 1, status;
    pid_t pid;
    sqlite3 *db;
    char path[200];
    int fds[2];

    kit_init(&k);
    kit_open(&k, 50);
    T_OK(kit_sql(&k, KIT_LIST));
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

int main(void)
{
    T_RUN(locked_by_another);
    T_RUN(deadline_under_lock);
    T_RUN(locked_at_open);
    T_RUN(two_in_one_process);
    T_RUN(close_while_locked);
    T_RUN(close_writes_what_waits);
    return T_DONE();
}
