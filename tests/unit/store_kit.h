/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_STORE_KIT_H
#define TESTS_UNIT_STORE_KIT_H
/* A store in a directory of its own, and the loop's side of it, for the tests of memory/. One thread. */
#include "memory/store.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct kit {
    char dir[128];
    int fd; /* the wake */
    struct store *s;
    struct log log;
    void (*gather)(void *ctx); /* set before the store is opened */
    unsigned gathers;          /* times it was called */
};

static inline void kit_nap(unsigned ms)
{
    (void)nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static inline void kit_wake(void *ctx)
{
    uint64_t one = 1;
    struct kit *k = ctx;

    (void)!write(k->fd, &one, sizeof one);
}

static inline void kit_sink(void *ctx, enum log_level level, struct str line)
{
    (void)ctx;
    (void)level;
    if (getenv("KIT_LOG"))
        printf("  log: %.*s\n", STR_ARG(line));
}

static inline int kit_rm_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void kit_rm(const char *path)
{
    (void)nftw(path, kit_rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A fresh directory; nothing is opened yet. */
static inline void kit_init(struct kit *k)
{
    const char *tmp = getenv("TMPDIR");

    memset(k, 0, sizeof *k);
    (void)snprintf(k->dir, sizeof k->dir, "%s/ocstore.XXXXXX", tmp && strlen(tmp) < 80 ? tmp : "/tmp");
    T_MUST(mkdtemp(k->dir) != NULL);
    k->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    T_MUST(k->fd >= 0);
    log_init(&k->log, kit_sink, k, LOG_DEBUG);
}

/* Another process's store in the same directory, as far as a process can play two. */
static inline void kit_init_beside(struct kit *k, const struct kit *other)
{
    kit_init(k);
    (void)rmdir(k->dir);
    (void)str_copy(k->dir, sizeof k->dir, str_of(other->dir));
}

static inline int kit_try(struct kit *k, uint32_t busy_ms, struct err *e)
{
    struct store_config c = {.dir = k->dir, .log = &k->log, .wake = kit_wake, .gather = k->gather, .ctx = k,
                             .busy_ms = busy_ms};

    return store_open(&k->s, &c, e);
}

static inline void kit_open(struct kit *k, uint32_t busy_ms)
{
    struct err e = {0};
    int rc = kit_try(k, busy_ms, &e);

    if (rc < 0)
        printf("  cannot open: %d %s\n", rc, e.text);
    T_MUST(rc == 0);
}

static inline void kit_close(struct kit *k)
{
    store_close(k->s, 5000);
    k->s = NULL;
}

static inline void kit_done(struct kit *k)
{
    kit_close(k);
    (void)close(k->fd);
    kit_rm(k->dir);
}

/* Polls as the loop would until *n reaches want, at most ms. */
static inline bool kit_wait(struct kit *k, const unsigned *n, unsigned want, unsigned ms)
{
    uint64_t until = clock_mono_ms() + ms, got;
    struct pollfd p = {k->fd, POLLIN, 0};

    while (*n < want) {
        uint64_t now = clock_mono_ms();

        if (now >= until)
            return false;
        (void)poll(&p, 1, (int)(until - now));
        (void)!read(k->fd, &got, sizeof got);
        store_poll(k->s);
    }
    return true;
}

static inline void kit_path(const struct kit *k, const char *name, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/%s", k->dir, name);
}

/* A connection beside the store's. */
static inline sqlite3 *kit_beside(const struct kit *k)
{
    char path[200];
    sqlite3 *db = NULL;

    kit_path(k, "voice.db", path, sizeof path);
    T_MUST(sqlite3_open(path, &db) == SQLITE_OK);
    return db;
}

/* Such a connection that holds the lock for writing. */
static inline sqlite3 *kit_lock(const struct kit *k)
{
    sqlite3 *db = kit_beside(k);

    T_MUST(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static inline long long kit_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    long long v = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return v;
}

/* An operation that runs a piece of SQL, or a function of the test. */
struct kit_op {
    struct store_op op;
    const char *sql;
    int (*fn)(struct kit_op *o, sqlite3 *db);
    unsigned *done; /* counted up */
    int *rc;        /* where the result goes; may be NULL */
    unsigned n, runs;
};

static inline int kit_op_run(struct store_op *op, struct store *s, sqlite3 *db)
{
    struct kit_op *o = (struct kit_op *)op;

    o->runs++;
    if (o->fn != NULL)
        return o->fn(o, db);
    return store_rc(s, sqlite3_exec(db, o->sql, NULL, NULL, NULL));
}

static inline void kit_op_done(struct store_op *op, int rc)
{
    struct kit_op *o = (struct kit_op *)op;

    if (o->rc != NULL)
        *o->rc = rc;
    ++*o->done;
}

/* The op is the caller's, and lives until it is done. */
static inline int kit_push(struct kit *k, struct kit_op *o, unsigned flags, unsigned *done, int *rc)
{
    o->op.flags = flags;
    o->op.run = kit_op_run;
    o->op.done = kit_op_done;
    o->done = done;
    o->rc = rc;
    return store_push(k->s, &o->op);
}

/* Runs SQL through the store and waits for it. */
static inline int kit_sql(struct kit *k, const char *sql)
{
    struct kit_op o = {.sql = sql};
    unsigned done = 0;
    int rc = -1;

    if (kit_push(k, &o, 0, &done, &rc) < 0 || !kit_wait(k, &done, 1, 20000))
        return -1;
    return rc;
}

/* ---- A list of numbers, which most tests of the store write to. ---- */

#define KIT_LIST "CREATE TABLE IF NOT EXISTS list(n INTEGER PRIMARY KEY, v INTEGER)"

/* Makes it greater by 400 rows of 3,000 bytes. */
#define KIT_FILL "INSERT INTO list(v) SELECT randomblob(3000) FROM" \
                 " (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400)" \
                 " SELECT i FROM c)"

/* One row, with the n of the operation. */
static inline int kit_insert(struct kit_op *o, sqlite3 *db)
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

/* How many rows there are, into the n of the operation; within a transaction. */
static inline int kit_count_rows(struct kit_op *o, sqlite3 *db)
{
    o->n = (unsigned)kit_int(db, "SELECT count(*) FROM list");
    return sqlite3_get_autocommit(db) ? ERR_BAD_STATE : 0;
}

/* Changes nothing, and takes its time: what is queued meanwhile is together in the next batch. */
static inline int kit_nap_200(struct kit_op *o, sqlite3 *db)
{
    (void)o;
    (void)db;
    kit_nap(200);
    return 0;
}

#endif
