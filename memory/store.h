/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_STORE_H
#define MEMORY_STORE_H
/*
 * The database of an instance: one SQLite file (WAL, synchronous FULL), one thread that owns the only
 * writing connection, first in first out. Operations queued while a commit is under way are committed
 * together. Owner: the app; store_push() from the loop thread, `done` on the loop thread by
 * store_poll(). sqlite3.h is seen in memory/ only.
 */
#include "plugin/base/err.h"
#include "plugin/base/log.h"

#include <stdint.h>

struct store;
struct sqlite3;

struct store_config {
    const char *dir;  /* state directory, made with mode 0700 if absent; the file is <dir>/voice.db, 0600 */
    const struct log *log;
    void (*wake)(void *ctx); /* any thread: finished operations wait for store_poll() on the loop */
    void *ctx;
    uint32_t busy_ms; /* how long another process may hold the write lock; default 1500 */
};

/* What an open found, for /health and the log. */
struct store_health {
    bool set_aside;       /* the file was corrupt: renamed, a new one begun */
    char aside_path[512];
    bool failing;         /* the last commit failed; retried operations wait */
    char text[200];       /* of the last failure */
    int schema_version;
    unsigned queued;
    uint64_t commits, operations;
};

/*
 * Opens, checks (quick_check), migrates, starts the thread. Blocks the caller for that (ms). A corrupt
 * file is set aside (renamed with a date) and a new one begun. ERR_NEWER: written by a newer version,
 * nothing is touched; ERR_IO, ERR_SQLITE - n; e names the path and the cure.
 */
int store_open(struct store **out, const struct store_config *config, struct err *e);
/* This instance's name in the database, "own_..."; another process can tell whether it lives. */
struct str store_owner(const struct store *s);
void store_health_read(struct store *s, struct store_health *out); /* any thread */

enum store_flags {
    STORE_READ = 1 << 0,  /* changes nothing: runs outside the write transaction, sees all before it */
    STORE_RETRY = 1 << 1  /* on disk full, I/O error or a lock: kept in line and tried again */
};

/*
 * An operation, embedded in what its maker owns. run: store thread, inside a transaction (its
 * failure undoes its own changes alone); done: loop thread, after the commit, rc = what run or the
 * commit said; frees the operation. With STORE_RETRY run may be called again.
 */
struct store_op {
    struct store_op *next;
    unsigned flags;
    uint64_t deadline_ms; /* monotonic: not begun by then = ERR_TIMEOUT; 0 none */
    int (*run)(struct store_op *op, struct store *s, struct sqlite3 *db);
    void (*done)(struct store_op *op, int rc);
    int rc;
};

/* Queues. ERR_FULL (65,536 wait already), ERR_CLOSED: `done` will not come, the caller frees. */
int store_push(struct store *s, struct store_op *op);
void store_poll(struct store *s); /* loop thread: runs the waiting `done`s */
/* A prepared statement from the store's cache; reset and cleared; do not finalize. Store thread. */
struct sqlite3_stmt *store_stmt(struct store *s, const char *sql_literal, int *rc);
/* Maps an SQLite result to our codes and notes its text. Store thread. */
int store_rc(struct store *s, int sqlite_rc);
/*
 * Ends: what is queued is still written (STORE_RETRY operations get one last try), within about grace_ms,
 * then joins the thread, runs the last `done`s on the calling (loop) thread, gives up ownership, closes.
 */
void store_close(struct store *s, uint32_t grace_ms);

#endif
