/* SPDX-License-Identifier: MIT */
#include "memory/words.h"

#include "memory/journal_int.h"

static int run_on(struct store *s, const char *sql, struct str call)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, call);
    return journal_step(s, st);
}

int words_drop(struct store *s, struct str call, bool *was)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT 1 FROM call WHERE id=?1 AND words=1", &rc);

    *was = false;
    if (st == NULL)
        return rc;
    journal_bind(st, 1, call);
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW)
        return store_rc(s, sq);
    *was = true;
    rc = run_on(s, "INSERT INTO turn_fts(turn_fts, rowid, text) SELECT 'delete', n, text FROM turn"
                   " WHERE call=?1", call);
    return rc < 0 ? rc : run_on(s, "UPDATE call SET words=0 WHERE id=?1", call);
}

int words_put(struct store *s, struct str call)
{
    int rc = run_on(s, "INSERT INTO turn_fts(rowid, text) SELECT t.n, t.text FROM call c JOIN turn t"
                       " ON t.call=c.id WHERE c.id=?1 AND c.state='over' AND c.words=0 ORDER BY t.n",
                    call);

    return rc < 0 ? rc : run_on(s, "UPDATE call SET words=1 WHERE id=?1 AND state='over' AND words=0",
                                call);
}

int words_melt(struct store *s, bool *more)
{
    sqlite3_int64 before = sqlite3_total_changes64(s->db);
    int rc;
    sqlite3_stmt *st = store_stmt(s, "INSERT INTO turn_fts(turn_fts, rank) VALUES('merge', -64)", &rc);

    if (st == NULL)
        return rc;
    rc = journal_step(s, st);
    /* Below two changes, FTS5 has nothing left to merge (https://www.sqlite.org/fts5.html, 6.8). */
    *more = sqlite3_total_changes64(s->db) - before >= 2;
    return rc;
}
