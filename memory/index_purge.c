/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"

#include <sqlite3.h>

/*
 * Deleted words stay in the search tables until their segments are merged: all segments are merged into
 * one, a few pages at a time, and then the log is emptied.
 */
int index_db_purge(struct index *ix, unsigned *turn)
{
    static const unsigned which[] = {Q_DOC_MERGE, Q_TALK_MERGE};
    sqlite3_stmt *st;
    int before, rc;

    if (ix->db == NULL)
        return ERR_IO;
    while (*turn < 4) {
        unsigned table = *turn / 2;

        rc = index_db_begin(ix);
        if (rc < 0)
            return rc;
        before = sqlite3_total_changes(ix->db);
        st = index_stmt(ix, which[table]);
        /* The first, negative, puts all segments on one level. */
        (void)sqlite3_bind_int(st, 1, *turn % 2 == 0 ? -32 : 32);
        rc = index_db_step(ix, st);
        if (rc != SQLITE_OK)
            return index_db_fail(ix, rc);
        if (*turn % 2 == 0)
            ++*turn;
        else if (sqlite3_total_changes(ix->db) - before < 2)
            ++*turn;
        return 1;
    }
    rc = index_db_commit(ix);
    if (rc < 0)
        return rc;
    rc = sqlite3_wal_checkpoint_v2(ix->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return index_db_fail(ix, rc);
}

/* Up to 500 of a person's blocks, or of those that came before op->at; how many there were is added to op->cursor. */
static int drop_texts(struct index *ix, struct index_op *op, unsigned *n)
{
    sqlite3_stmt *st = index_stmt(ix, op->what == INDEX_EXPIRE ? Q_TALK_OLD : Q_TALK_OF_PERSON);
    int rc;

    if (op->what == INDEX_EXPIRE)
        (void)sqlite3_bind_int64(st, 1, (sqlite3_int64)op->at);
    else
        (void)sqlite3_bind_text64(st, 1, op->a.p, op->a.n, SQLITE_STATIC, SQLITE_UTF8);
    rc = index_db_drop(ix, st, true, n);
    op->cursor += *n;
    return rc;
}

static int drop_calls_of(struct index *ix, struct str person)
{
    sqlite3_stmt *st = index_stmt(ix, Q_CALLS_DROP);

    (void)sqlite3_bind_text64(st, 1, person.p, person.n, SQLITE_STATIC, SQLITE_UTF8);
    return index_db_step(ix, st);
}

/* Looks at the next calls behind op->left and drops those that are old; *more: there were some. */
static int drop_old_calls(struct index *ix, struct index_op *op, bool *more)
{
    sqlite3_stmt *some = index_stmt(ix, Q_CALLS_SOME), *drop = index_stmt(ix, Q_CALLS_OLD_DROP);
    struct str from = buf_str(&op->left), to;
    int rc;

    (void)sqlite3_bind_text64(some, 1, from.n > 0 ? from.p : "", from.n, SQLITE_STATIC, SQLITE_UTF8);
    rc = sqlite3_step(some);
    *more = rc == SQLITE_ROW && sqlite3_column_bytes(some, 0) > 0;
    if (*more) {
        to = str_make((const char *)sqlite3_column_text(some, 0), (size_t)sqlite3_column_bytes(some, 0));
        (void)sqlite3_bind_text64(drop, 1, from.n > 0 ? from.p : "", from.n, SQLITE_STATIC, SQLITE_UTF8);
        (void)sqlite3_bind_text64(drop, 2, to.p, to.n, SQLITE_STATIC, SQLITE_UTF8);
        (void)sqlite3_bind_int64(drop, 3, (sqlite3_int64)op->calls_before);
        rc = index_db_step(ix, drop);
        buf_clear(&op->left);
        if (rc == SQLITE_OK && buf_puts(&op->left, to) < 0)
            rc = SQLITE_NOMEM;
    }
    (void)sqlite3_reset(some);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/*
 * One step: some blocks of a person, or old ones; then whose calls they were; then the purge. Whose a call was stays
 * while it is only its words that are old: without it the call would be put again.
 */
int index_step_forget(struct index *ix, struct index_op *op)
{
    enum { TEXTS, CALLS, PURGE } phase = op->count;
    bool old = op->what == INDEX_EXPIRE, more = false;
    unsigned n = 0;
    int rc;

    if (phase == PURGE)
        return index_db_purge(ix, &op->step);
    rc = index_db_begin(ix);
    if (rc < 0)
        return rc;
    if (phase == TEXTS) {
        rc = drop_texts(ix, op, &n);
        more = n > 0;
    } else if (!old) {
        rc = drop_calls_of(ix, op->a);
    } else if (op->calls_before > 0 && ix->stats.scanned) { /* before that a section may not be known yet */
        rc = drop_old_calls(ix, op, &more);
    }
    if (rc != SQLITE_OK)
        return index_db_fail(ix, rc);
    if (more)
        return 1;
    if (phase == CALLS && old && op->cursor == 0)
        return 0; /* no words were old: there is nothing to purge */
    op->count = phase + 1;
    return 1;
}
