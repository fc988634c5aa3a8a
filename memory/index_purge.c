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

/*
 * One step: some blocks of a person, or of calls before op->at, then the purge. The rows that say which calls were put
 * stay where a call is only old: it is not put again.
 */
int index_step_forget(struct index *ix, struct index_op *op)
{
    bool old = op->what == INDEX_EXPIRE;
    sqlite3_stmt *st;
    unsigned n = 0;
    int rc;

    if (op->count == 1)
        return index_db_purge(ix, &op->step);
    rc = index_db_begin(ix);
    if (rc < 0)
        return rc;
    st = index_stmt(ix, old ? Q_TALK_OLD : Q_TALK_OF_PERSON);
    if (old)
        (void)sqlite3_bind_int64(st, 1, (sqlite3_int64)op->at);
    else
        (void)sqlite3_bind_text64(st, 1, op->a.p, op->a.n, SQLITE_STATIC, SQLITE_UTF8);
    rc = index_db_drop(ix, st, true, &n);
    op->cursor += n;
    if (rc != SQLITE_OK)
        return index_db_fail(ix, rc);
    if (n > 0)
        return 1;
    if (old && op->cursor == 0)
        return 0; /* nothing was old: there is nothing to purge */
    if (!old) {
        st = index_stmt(ix, Q_CALLS_DROP);
        (void)sqlite3_bind_text64(st, 1, op->a.p, op->a.n, SQLITE_STATIC, SQLITE_UTF8);
        rc = index_db_step(ix, st);
    }
    op->count = 1;
    return rc == SQLITE_OK ? 1 : index_db_fail(ix, rc);
}
