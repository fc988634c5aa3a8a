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
