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
#include "plugin/base/fifo.h"
#include "plugin/base/log.h"

#include <stdbool.h>
#include <stdint.h>

struct store;
struct sqlite3;

struct store_config {
    const char *dir;  /* state directory, made with mode 0700 if absent; the file is <dir>/voice.db, 0600 */
    const struct log *log;
    void (*wake)(void *ctx); /* any thread: finished operations wait for store_poll() on the loop */
    /*
     * Loop thread: operations wait for company. Whoever is told so calls store_begin() as soon as no more are to be
     * expected at this moment; until then they wait, unless 256 are together. NULL: nothing waits.
     */
    void (*gather)(void *ctx);
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
 * Opens, checks (quick_check up to 16 MiB, header and schema above that unless the last run met
 * corruption), migrates, starts the thread. Blocks the caller for that (ms). A corrupt file is set aside
 * (renamed with a date) and a new one begun. ERR_NEWER: written by a newer version, nothing is touched;
 * ERR_CORRUPT: corrupt, but another living instance has it open; ERR_IO, ERR_SQLITE - n; e names the
 * path and the cure.
 */
int store_open(struct store **out, const struct store_config *config, struct err *e);
/* This instance's name in the database, "own_..."; another process can tell whether it lives. */
struct str store_owner(const struct store *s);
/* Have other instances left their mark in the state directory: living ones, or dead whose calls nobody took? */
bool store_company(const struct store *s);
void store_health_read(struct store *s, struct store_health *out); /* any thread */

enum store_flags {
    STORE_READ = 1 << 0,  /* changes nothing: runs outside the write transaction, sees all before it */
    STORE_RETRY = 1 << 1, /* on disk full, I/O error or a lock: kept in line and tried again */
    STORE_BARE = 1 << 2   /* runs outside any transaction: VACUUM, checkpoints */
};

/*
 * An operation, embedded in what its maker owns. run: store thread, inside a transaction (its
 * failure undoes its own changes alone); done: loop thread, after the commit, rc = what run or the
 * commit said; frees the operation. run may be called again after its changes were undone (because
 * another operation spoiled their common transaction), so it begins by forgetting what it found.
 *
 * While the database fails (disk full, I/O error, locked beyond busy_ms), operations with STORE_RETRY
 * wait in line in their order and are tried again after 100 ms, at most 1 s apart; the others do not
 * wait for that line: they are tried at once, see what is durable, and fail at once.
 */
struct store_op {
    struct fifo_item item; /* first; the store's */
    unsigned flags;
    uint64_t deadline_ms; /* monotonic: not begun by then = ERR_TIMEOUT; 0 none */
    int (*run)(struct store_op *op, struct store *s, struct sqlite3 *db);
    void (*done)(struct store_op *op, int rc);
    int rc;
    size_t bytes; /* memory that it holds, for the queue's ceiling; the maker fills it in */
};

#define STORE_QUEUE_OPS 65536u
#define STORE_QUEUE_BYTES ((size_t)256 << 20)

/*
 * Queues. ERR_FULL (65,536 operations or 256 MiB wait already), ERR_CLOSED: `done` will not come, the
 * caller frees. Loop thread.
 */
int store_push(struct store *s, struct store_op *op);
/*
 * Lets the thread begin with what is queued, see `gather` above. Loop thread.
 */
void store_begin(struct store *s);
/*
 * Runs one long reading operation on a thread and a connection of their own, so that claims go on being
 * committed meanwhile: run may not use store_stmt() or write, and gets ERR_SQLITE - SQLITE_INTERRUPT from SQLite when
 * the store closes. `done` comes as for store_push(). One at a time: ERR_BAD_STATE while another runs. ERR_CLOSED,
 * ERR_NOMEM, ERR_SQLITE - n (no connection). Loop thread.
 */
int store_aside(struct store *s, struct store_op *op);
/*
 * Hands over an operation that needs no database, with op->rc set: its `done` comes by the next
 * store_poll(), after those that are finished already. Loop thread. ERR_CLOSED.
 */
int store_settle(struct store *s, struct store_op *op);
void store_poll(struct store *s); /* loop thread: runs the waiting `done`s */
/*
 * A prepared statement from the store's cache, known by the address of its text; reset and cleared; do
 * not finalize; valid until run returns. NULL with *rc set on failure. Store thread.
 */
struct sqlite3_stmt *store_stmt(struct store *s, const char *sql_literal, int *rc);
/* Maps an SQLite result to our codes and notes its text. Store thread. */
int store_rc(struct store *s, int sqlite_rc);
/*
 * Ends: what is queued is still written (STORE_RETRY operations get one last try), within about grace_ms
 * (what was not begun by then fails with ERR_CLOSED), then joins the thread, runs the last `done`s on the
 * calling (loop) thread, gives up ownership, closes. NULL is fine. Not from within a `done`.
 */
void store_close(struct store *s, uint32_t grace_ms);

#endif
