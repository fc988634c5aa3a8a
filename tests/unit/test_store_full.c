/* SPDX-License-Identifier: MIT */
/* What is full: the disk, a file that may not grow, the queue. */
#include "memory/store.h"
#include "tests/unit/store_kit.h"

#include <stdatomic.h>
#include <sys/resource.h>

/* ---- The disk. ---- */

static void disk_full(void)
{
    struct kit k;
    struct kit_op big = {.sql = KIT_FILL}, claim = {.sql = KIT_FILL}, keep[4];
    struct store_health h;
    unsigned done = 0, kept = 0;
    int rc = 1, rcs[4];

    memset(keep, 0, sizeof keep);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, KIT_LIST));
    T_OK(kit_sql(&k, "PRAGMA max_page_count=60"));
    T_OK(kit_push(&k, &big, 0, &done, &rc));
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    T_EQ(rc, ERR_SQLITE - SQLITE_FULL);
    store_health_read(k.s, &h);
    T_TRUE(h.failing);
    T_HAS(h.text, "full");
    /* The kept ones wait behind the one that does not fit, in order; the others fail at once. */
    keep[0].sql = KIT_FILL;
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
    struct kit_op slow = {.fn = kit_nap_200}, o[20];
    unsigned done = 0;
    int rc[20];

    memset(o, 0, sizeof o);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, KIT_LIST));
    T_OK(kit_sql(&k, "PRAGMA max_page_count=60"));
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    for (unsigned i = 0; i < 20; i++) {
        o[i].fn = kit_insert;
        if (i == 7) {
            o[i].fn = NULL;
            o[i].sql = KIT_FILL;
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
        struct kit_op keep = {.fn = kit_insert, .n = 42};
        struct rlimit lim = {200 * 1024, RLIM_INFINITY};
        unsigned done = 0;
        int rc = 1, bad = 0;

        (void)signal(SIGXFSZ, SIG_IGN);
        kit_open(&k, 0);
        bad |= kit_sql(&k, KIT_LIST) != 0;
        (void)setrlimit(RLIMIT_FSIZE, &lim);
        rc = kit_sql(&k, KIT_FILL);
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

/* ---- The queue. ---- */

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
    struct kit_op *o = calloc(MAX + 1, sizeof *o), heavy = {.fn = kit_insert}, slow = {.fn = wait_for_gate};
    unsigned done = 0, n = 0;
    int rc;

    T_MUST(o != NULL);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, KIT_LIST));
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    heavy.op.bytes = STORE_QUEUE_BYTES + 1;
    T_EQ(kit_push(&k, &heavy, 0, &done, NULL), ERR_FULL);
    heavy.op.bytes = STORE_QUEUE_BYTES - 100;
    T_OK(kit_push(&k, &heavy, 0, &done, NULL));
    o[0].fn = kit_insert;
    o[0].op.bytes = 101;
    T_EQ(kit_push(&k, &o[0], 0, &done, NULL), ERR_FULL);
    atomic_store(&gate, true);
    T_TRUE(kit_wait(&k, &done, 2, 5000));
    o[0].op.bytes = 0;
    done = 0;
    atomic_store(&gate, false);
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    do {
        o[n].fn = kit_insert;
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
    T_OK(kit_sql(&k, KIT_LIST));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = kit_insert;
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

int main(void)
{
    T_RUN(disk_full);
    T_RUN(full_for_one_alone);
    T_RUN(file_size_limit);
    T_RUN(bounds);
    T_RUN(close_with_a_full_queue);
    return T_DONE();
}
