/* SPDX-License-Identifier: MIT */
#include "memory/claim_index.h"
#include "memory/store_int.h"
#include "plugin/base/clock.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_LAST_MS 1000u

/*
 * A checkpoint copies the write-ahead log into the database and waits for the disk, about 8 us a page;
 * whoever claims meanwhile waits as long. So it is done in small pieces: when the queue is empty and the
 * log has grown by SOFT pages, and in any case at HARD pages.
 */
#define CHECKPOINT_SOFT_PAGES 100u
#define CHECKPOINT_HARD_PAGES 400u

/* Failures of an operation alone, one after the other, that are taken for a failure of all. */
#define STRIKES 2u

/* ---- Statements and result codes, for operations. ---- */

int store_rc(struct store *s, int sqlite_rc)
{
    int rc = sqlite_rc & 0xff, fd;

    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return 0;
    (void)snprintf(s->text, sizeof s->text, "%s",
                   sqlite3_errcode(s->db) == SQLITE_OK ? sqlite3_errstr(sqlite_rc)
                                                       : sqlite3_errmsg(s->db));
    if (rc == SQLITE_NOMEM)
        return ERR_NOMEM;
    if ((rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) && !s->corrupt_seen) {
        /* The next start checks the whole file, whatever its size, and sets it aside if need be. */
        s->corrupt_seen = true;
        fd = open(s->check_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            (void)close(fd);
        log_error(s->log, "the database %s is damaged (%s); the next start will check it", s->path,
                  s->text);
    }
    return ERR_SQLITE - rc;
}

struct sqlite3_stmt *store_stmt(struct store *s, const char *sql, int *rc)
{
    unsigned at = (unsigned)(((uintptr_t)sql * 0x9e3779b97f4a7c15ull) >> 40) & (STORE_STMTS - 1);
    sqlite3_stmt *st = NULL;

    while (s->stmts[at].sql != NULL && s->stmts[at].sql != sql)
        at = (at + 1) & (STORE_STMTS - 1);
    st = s->stmts[at].stmt;
    if (st != NULL) {
        (void)sqlite3_reset(st);
        (void)sqlite3_clear_bindings(st);
    } else {
        /* One slot stays free, so that the search above ends. */
        if (s->n_stmts + 1 >= STORE_STMTS) {
            *rc = ERR_FULL;
            return NULL;
        }
        *rc = store_rc(s, sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL));
        if (*rc < 0)
            return NULL;
        s->stmts[at].sql = sql;
        s->stmts[at].stmt = st;
        s->n_stmts++;
    }
    if (s->n_used < STORE_USED)
        s->used[s->n_used] = st;
    s->n_used++;
    *rc = 0;
    return st;
}

/* An unfinished SELECT would keep its snapshot, and with it the log, from being reused. */
void store_reset_used(struct store *s)
{
    if (s->n_used <= STORE_USED) {
        for (unsigned i = 0; i < s->n_used; i++)
            (void)sqlite3_reset(s->used[i]);
    } else {
        for (unsigned i = 0; i < STORE_STMTS; i++)
            (void)sqlite3_reset(s->stmts[i].stmt);
    }
    s->n_used = 0;
}

/* Runs a statement without parameters or rows. */
static int run_plain(struct store *s, const char *sql)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);
    int sq;

    if (st == NULL)
        return rc;
    sq = sqlite3_step(st);
    rc = store_rc(s, sq);
    /* Reset at once and not with the operation's: a COMMIT that failed must not stay active. */
    (void)sqlite3_reset(st);
    s->n_used = 0;
    return rc;
}

/* Failures of the surroundings, not of the operation: trying again later may help. */
static bool is_passing(int rc)
{
    switch (ERR_SQLITE - rc) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
        return true;
    default:
        return rc == ERR_NOMEM;
    }
}

/* ---- Results. ---- */

static void health_good(struct store *s, unsigned operations)
{
    bool was;

    pthread_mutex_lock(&s->lock);
    was = s->health.failing;
    s->health.failing = false;
    s->health.commits++;
    s->health.operations += operations;
    pthread_mutex_unlock(&s->lock);
    if (was)
        log_info(s->log, "the database %s can be written again", s->path);
}

static void health_bad(struct store *s, int rc)
{
    bool was;

    pthread_mutex_lock(&s->lock);
    was = s->health.failing;
    s->health.failing = true;
    (void)snprintf(s->health.text, sizeof s->health.text, "%s",
                   rc == ERR_NOMEM ? err_name(rc) : s->text);
    pthread_mutex_unlock(&s->lock);
    if (!was)
        log_error(s->log, "the database %s cannot be written: %s", s->path,
                  rc == ERR_NOMEM ? err_name(rc) : s->text);
}

/* Hands finished operations to the loop; one wake, and none if the last one was not answered yet. */
static void hand_over(struct store *s, struct fifo *done)
{
    unsigned n = 0;
    size_t bytes = 0;
    bool wake;

    if (done->head == NULL)
        return;
    for (const struct fifo_item *at = done->head; at != NULL; at = at->next) {
        n++;
        bytes += ((const struct store_op *)(const void *)at)->bytes;
    }
    pthread_mutex_lock(&s->lock);
    s->waiting -= n;
    s->waiting_bytes -= bytes;
    wake = s->finished.head == NULL;
    fifo_join(&s->finished, done);
    pthread_mutex_unlock(&s->lock);
    if (wake && s->wake != NULL)
        s->wake(s->ctx);
}

static void finish_one(struct store *s, struct store_op *op, int rc)
{
    struct fifo done = {NULL, NULL};

    op->rc = rc;
    fifo_add(&done, &op->item);
    hand_over(s, &done);
}

/* A row that was promised to be kept, and cannot be, is worth a line: its maker may not listen. */
void store_fail(struct store *s, struct store_op *op, int rc)
{
    if (op->flags & STORE_RETRY)
        log_warn(s->log, "a row was not stored: %s", rc <= ERR_SQLITE ? s->text : err_name(rc));
    finish_one(s, op, rc);
}

/* An operation that met a passing failure: waits in line, or fails now. */
static void verdict(struct store *s, struct store_op *op, int rc)
{
    if (op->flags & STORE_RETRY)
        fifo_add(&s->again, &op->item);
    else
        store_fail(s, op, rc);
}

static bool line_waits(const struct store *s)
{
    return s->line.head != NULL || s->again.head != NULL;
}

/* 0, or with what an operation ends that was not begun in time. */
static int too_late(const struct store_op *op)
{
    return op->deadline_ms != 0 && clock_mono_ms() >= op->deadline_ms ? ERR_TIMEOUT : 0;
}

/* ---- Transactions. ---- */

static void undo(struct store *s)
{
    store_reset_used(s);
    if (!sqlite3_get_autocommit(s->db))
        (void)run_plain(s, "ROLLBACK");
    claim_index_undo(s->index);
}

enum step { AT_BEGIN, AT_RUN, AT_COMMIT };

/*
 * One transaction over op[0..n). 0: committed, each op->rc says how it went. Else nothing of it
 * was kept; *at says where it failed and *good how many operations ran well before.
 *
 * There are no savepoints: an operation that fails with changes half made spoils the transaction, which
 * is rolled back and repeated without it. That is rare, and a savepoint for each operation is not.
 */
static int attempt(struct store *s, struct store_op **op, unsigned n, enum step *at, unsigned *good)
{
    sqlite3_int64 before;
    int rc;

    *good = 0;
    *at = AT_BEGIN;
    rc = run_plain(s, "BEGIN IMMEDIATE");
    if (rc < 0)
        return rc;
    s->txn++;
    *at = AT_RUN;
    for (unsigned i = 0; i < n; i++) {
        before = sqlite3_total_changes64(s->db);
        op[i]->rc = op[i]->run(op[i], s, s->db);
        store_reset_used(s);
        if (sqlite3_get_autocommit(s->db) ||
            (op[i]->rc < 0 &&
             (is_passing(op[i]->rc) || sqlite3_total_changes64(s->db) != before))) {
            rc = op[i]->rc < 0 ? op[i]->rc : ERR_BAD_STATE;
            undo(s);
            return rc;
        }
        ++*good;
    }
    *at = AT_COMMIT;
    rc = run_plain(s, "COMMIT");
    if (rc < 0)
        undo(s);
    return rc;
}

static void finish_group(struct store *s, struct store_op **op, unsigned n)
{
    struct fifo done = {NULL, NULL};

    for (unsigned i = 0; i < n; i++) {
        if (op[i]->rc < 0 && (op[i]->flags & STORE_RETRY))
            log_warn(s->log, "a row was not stored: %s",
                     op[i]->rc <= ERR_SQLITE ? s->text : err_name(op[i]->rc));
        fifo_add(&done, &op[i]->item);
    }
    health_good(s, n); /* first: whoever hears of the commit may look at the health */
    hand_over(s, &done);
}

/* The wait for the lock ended with the first deadline: those that are over go, the rest moves up. */
static unsigned drop_late(struct store *s, struct store_op **op, unsigned n)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < n; i++) {
        int rc = too_late(op[i]);

        if (rc < 0)
            store_fail(s, op[i], rc);
        else
            op[kept++] = op[i];
    }
    return kept;
}

static void set_cut(struct store *s, struct store_op **op, unsigned n)
{
    s->busy_cut_ms = 0;
    for (unsigned i = 0; i < n; i++)
        if (op[i]->deadline_ms != 0 && (s->busy_cut_ms == 0 || op[i]->deadline_ms < s->busy_cut_ms))
            s->busy_cut_ms = op[i]->deadline_ms;
}

/* Commits op[0..n), in their order, together as far as that works and each by itself where it must. */
static void commit_group(struct store *s, struct store_op **op, unsigned n)
{
    unsigned most = n, good = 0, strikes = 0, m;
    enum step at;
    int rc;

    while (n > 0) {
        m = most < n ? most : n;
        set_cut(s, op, m);
        rc = attempt(s, op, m, &at, &good);
        if (rc == 0) {
            finish_group(s, op, m);
            strikes = 0;
            s->busy_until_ms = 0;
        } else if (at == AT_BEGIN && rc == ERR_SQLITE - SQLITE_BUSY && s->busy_cut_ms != 0 &&
                   s->busy_cut_ms < s->busy_until_ms && clock_mono_ms() >= s->busy_cut_ms) {
            n = drop_late(s, op, n);
            continue;
        } else if (at == AT_BEGIN || (m == 1 && is_passing(rc) && ++strikes == STRIKES)) {
            health_bad(s, rc);
            for (unsigned i = 0; i < n; i++)
                verdict(s, op[i], rc);
            return;
        } else if (m == 1) {
            if (is_passing(rc)) {
                health_bad(s, rc);
                verdict(s, op[0], rc);
            } else {
                store_fail(s, op[0], rc);
            }
        } else {
            /* Those before the culprit together, then the culprit alone; or halves, if it is unknown. */
            most = at == AT_COMMIT ? (m + 1) / 2 : good > 0 ? good : 1;
            continue;
        }
        op += m;
        n -= m;
        most = n;
        /* Order is meaning: behind one that waits, those that can wait do. */
        if (s->again.head != NULL) {
            unsigned kept = 0;

            for (unsigned i = 0; i < n; i++) {
                if (op[i]->flags & STORE_RETRY)
                    fifo_add(&s->again, &op[i]->item);
                else
                    op[kept++] = op[i];
            }
            n = kept;
        }
    }
}

static void run_alone(struct store *s, struct store_op *op)
{
    int rc = op->flags & STORE_BARE ? 0 : run_plain(s, "BEGIN");

    if (rc == 0) {
        s->txn++;
        rc = op->run(op, s, s->db);
        store_reset_used(s);
        if (!sqlite3_get_autocommit(s->db) && run_plain(s, "COMMIT") < 0)
            undo(s);
    }
    finish_one(s, op, rc);
}

/* One batch in order: neighbouring writes share a transaction, reads stand between. */
static void run_batch(struct store *s, unsigned n, bool from_line)
{
    unsigned i = 0, g;
    int rc;

    s->busy_until_ms = 0;
    while (i < n) {
        for (g = 0; i < n && !(s->batch[i]->flags & (STORE_READ | STORE_BARE)); i++) {
            struct store_op *op = s->batch[i];

            rc = too_late(op);
            if (rc < 0)
                store_fail(s, op, rc);
            else if (!from_line && (op->flags & STORE_RETRY) && line_waits(s))
                fifo_add(&s->again, &op->item);
            else
                s->group[g++] = op;
        }
        commit_group(s, s->group, g);
        if (i < n) {
            rc = too_late(s->batch[i]);
            if (rc < 0)
                store_fail(s, s->batch[i], rc);
            else
                run_alone(s, s->batch[i]);
            i++;
        }
    }
}

/* Tries the line, in its order, for as long as that works. */
void store_run_line(struct store *s)
{
    unsigned n;

    do {
        for (n = 0; n < STORE_BATCH && s->line.head != NULL; n++)
            s->batch[n] = fifo_take(&s->line);
        run_batch(s, n, true);
    } while (s->line.head != NULL && s->again.head == NULL);
    if (s->again.head == NULL) {
        s->backoff_ms = 0;
        return;
    }
    fifo_join(&s->again, &s->line);
    fifo_join(&s->line, &s->again);
    s->backoff_ms = s->backoff_ms == 0 ? BACKOFF_FIRST_MS : s->backoff_ms * 2;
    if (s->backoff_ms > BACKOFF_LAST_MS)
        s->backoff_ms = BACKOFF_LAST_MS;
    s->next_try_ms = clock_mono_ms() + s->backoff_ms;
}

void store_run_new(struct store *s, unsigned n)
{
    bool waited = s->line.head != NULL;
    uint64_t commits = s->health.commits;

    run_batch(s, n, false);
    fifo_join(&s->line, &s->again);
    if (s->line.head == NULL)
        return;
    if (!waited) {
        s->backoff_ms = BACKOFF_FIRST_MS;
        s->next_try_ms = clock_mono_ms() + s->backoff_ms;
    } else if (s->health.commits != commits) {
        /* It can be written again: the line need not wait any longer. */
        s->next_try_ms = 0;
    }
}

/*
 * Passive: takes what no reader holds back, and waits for nobody. A log that another process' reader
 * keeps from being reused is tried again only when it has grown as much once more.
 */
void store_checkpoint(struct store *s, bool idle)
{
    unsigned grown;

    if (s->wal_pages < s->wal_tried_pages)
        s->wal_tried_pages = 0;
    grown = s->wal_pages - s->wal_tried_pages;
    if (grown < (idle ? CHECKPOINT_SOFT_PAGES : CHECKPOINT_HARD_PAGES))
        return;
    s->wal_tried_pages = s->wal_pages;
    (void)sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}
