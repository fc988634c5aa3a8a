/* SPDX-License-Identifier: MIT */
/* The store's thread: order, batches, deadlines, operations that fail, rest. */
#include "memory/store.h"
#include "memory/schema.h"
#include "tests/unit/store_kit.h"

#include <dirent.h>
#include <pthread.h>

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
    T_OK(kit_sql(&k, KIT_LIST));
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
    T_OK(kit_sql(&k, KIT_LIST));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = kit_insert;
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
        o[i] = (struct kit_op){.sql = KIT_LIST, .fn = i == 0 ? NULL : kit_insert, .n = i};
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

static unsigned seen_order[64], n_seen;

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
    T_OK(kit_sql(&k, KIT_LIST));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = i % 4 == 3 ? kit_count_rows : kit_insert;
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

static void deadlines(void)
{
    struct kit k;
    struct kit_op slow = {.fn = kit_nap_200}, late = {.fn = kit_insert}, read = {.fn = kit_count_rows},
                  soon = {.fn = kit_insert};
    unsigned done = 0;
    int rc_late = 1, rc_read = 1, rc_soon = 1;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, KIT_LIST));
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
    (void)kit_insert(o, db);
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
    slow = (struct kit_op){.fn = kit_nap_200};
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, KIT_LIST));
    T_OK(kit_push(&k, &slow, 0, &done, NULL));
    for (unsigned i = 0; i < N; i++) {
        o[i].fn = i == 0 || i == 100 || i == 101 || i == N - 1 ? poison : i == 200 ? saw : kit_insert;
        if (i == 50) {
            o[i].fn = NULL;
            o[i].sql = "INSERT INTO nowhere VALUES(1)"; /* fails by itself, and spoils nothing */
        }
        o[i].n = i;
        T_OK(kit_push(&k, &o[i], i % 2 ? STORE_RETRY : 0, &done, &rc[i]));
    }
    T_TRUE(kit_wait(&k, &done, N + 1, 20000));
    for (unsigned i = 0; i < N; i++) {
        if (o[i].fn == kit_insert)
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

static void settled_come_in_order(void)
{
    struct kit k;
    struct kit_op a = {.fn = kit_insert}, b = {0};
    unsigned done = 0, settled = 0;
    int rc = 1;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, KIT_LIST));
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
    T_OK(kit_sql(&k, KIT_LIST));
    kit_nap(100);
    before = naps_of_store();
    T_GE(before, 1);
    kit_nap(500);
    T_EQ(naps_of_store(), before);
    kit_done(&k);
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
    T_RUN(settled_come_in_order);
    T_RUN(out_of_memory);
    T_RUN(sleeps_when_idle);
    return T_DONE();
}
