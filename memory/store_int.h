/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_STORE_INT_H
#define MEMORY_STORE_INT_H
/*
 * What store.c (queue and thread), store_commit.c (transactions) and store_open.c (opening the file)
 * share. memory/ only.
 */
#include "memory/owner.h"
#include "memory/store.h"

#include <limits.h>
#include <pthread.h>

struct claim_index;
struct claims;
struct sqlite3_stmt;

#define STORE_STMTS 256u /* distinct statements; a power of two */
#define STORE_BATCH 1024u
#define STORE_GATHER 256u /* operations that wait for no more company */
#define STORE_USED 32u

struct store {
    /* Unchanged while the thread runs. */
    const struct log *log;
    void (*wake)(void *ctx);
    void (*gather)(void *ctx);
    void *ctx;
    uint32_t busy_ms;
    struct owner *owner;
    char path[PATH_MAX];       /* of the database */
    char check_path[PATH_MAX]; /* a file that asks the next open for a whole check */
    pthread_t thread;

    /* Loop thread. */
    struct claims *claims; /* what journal.c knows to be durable; may be NULL */
    bool gathering;        /* `gather` was called, store_begin() not yet */
    unsigned forgets;      /* under way, here or in the index */
    bool forget_owed;      /* one of them left something: the mark stays for the next start */

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t cond; /* the store thread sleeps here */
    struct fifo queue, finished;
    unsigned queued; /* operations in `queue` */
    bool begun;      /* the thread may take them */
    unsigned waiting; /* operations pushed and not finished */
    size_t waiting_bytes;
    bool closing, asleep;
    uint64_t close_by_ms;
    struct store_health health;

    /* Store thread; the opener's before it runs and after it ended. */
    struct sqlite3 *db;
    struct {
        const char *sql;
        struct sqlite3_stmt *stmt;
    } stmts[STORE_STMTS];
    unsigned n_stmts;
    struct sqlite3_stmt *used[STORE_USED]; /* by the operation that runs */
    unsigned n_used;
    struct claim_index *index; /* of the claims */
    uint64_t txn;              /* counts transactions, reading ones too */
    struct fifo line;  /* STORE_RETRY operations that failed, and those behind them */
    struct fifo again; /* the same, of the batch that runs */
    struct store_op *batch[STORE_BATCH], *group[STORE_BATCH];
    uint64_t next_try_ms, backoff_ms; /* of the line */
    uint64_t busy_until_ms;           /* the lock is waited for until then; 0: not begun to wait */
    uint64_t busy_cut_ms;             /* the first deadline of a group; 0 none */
    unsigned wal_pages, wal_tried_pages;
    bool corrupt_seen;
    char text[160]; /* of the last SQLite failure */

    /* Loop thread; aside_runs under the lock. */
    pthread_t aside;
    bool aside_begun, aside_runs; /* begun: the thread is to be joined */
    struct store_op *aside_op;
};

/* Waits for the operation of store_aside(), which ends soon once s->closing is set. */
void store_aside_join(struct store *s);

/* ---- store_commit.c: store thread. ---- */

/* Resets the statements that store_stmt() gave out since the last time. Any thread that owns s->db. */
void store_reset_used(struct store *s);
/* Ends an operation that was not carried out. */
void store_fail(struct store *s, struct store_op *op, int rc);
/* Carries out s->batch[0..n); what must wait goes to s->line. */
void store_run_new(struct store *s, unsigned n);
/* Tries the line in its order, for as long as that works. */
void store_run_line(struct store *s);
/* Copies the log into the database if it has grown enough. idle: nobody waits. */
void store_checkpoint(struct store *s, bool idle);

/* ---- store_open.c: the opener's thread. ---- */

/* Opens s->path with all checks and settings into s->db; fills s->health. e as store_open(). */
int store_open_db(struct store *s, struct err *e);
void store_close_db(struct store *s);

#endif
