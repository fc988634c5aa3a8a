/* SPDX-License-Identifier: MIT */
#include "memory/claims.h"
#include "memory/journal_int.h"
#include "plugin/base/mem.h"

#define CLAIM_KEEP_MS ((uint64_t)72 * 3600 * 1000)
#define EXPIRE_STEP 128u /* rows of one operation: others run in between */

struct expire {
    struct store_op op;
    struct store *s;
    journal_fn *fn;
    void *arg;
    uint64_t now_ms, keep_ms;
    bool more;
};

static int drop_call(struct store *s, struct str id)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, "DELETE FROM call WHERE id=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, id);
    return journal_step(s, st);
}

/*
 * Walks the calls from the oldest and stops at the first that was received too lately to be over long
 * enough: no index on the end is needed, and the walk is as short as what there is to delete.
 */
static int expire_calls(struct expire *x, struct store *s)
{
    int rc, sq;
    unsigned n = 0;
    uint64_t before = x->now_ms > x->keep_ms ? x->now_ms - x->keep_ms : 0;
    sqlite3_stmt *st = store_stmt(s, "SELECT id, received_at, ended_at, state FROM call ORDER BY id", &rc);

    if (st == NULL)
        return rc;
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        uint64_t ended = journal_u64(st, 2);

        if (journal_u64(st, 1) >= before)
            return 0;
        if (!str_eqc(journal_text(st, 3), JOURNAL_OVER) || ended == 0 || ended >= before)
            continue;
        if (n++ == EXPIRE_STEP) {
            x->more = true;
            return 0;
        }
        rc = drop_call(s, journal_text(st, 0));
        if (rc < 0)
            return rc;
    }
    return store_rc(s, sq);
}

/* From the oldest on. The newest stays in any case: row numbers must not come back, see claim_index.h. */
static int expire_claims(struct expire *x, struct store *s)
{
    uint64_t before = x->now_ms > CLAIM_KEEP_MS ? x->now_ms - CLAIM_KEEP_MS : 0;
    int rc;
    sqlite3_stmt *st = store_stmt(s, "DELETE FROM claim WHERE n IN (SELECT n FROM claim ORDER BY n LIMIT ?2)"
                                     " AND at<?1 AND n<(SELECT max(n) FROM claim)", &rc);

    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, before);
    journal_bind_int(st, 2, EXPIRE_STEP);
    rc = journal_step(s, st);
    if (rc == 0 && sqlite3_changes64(s->db) == EXPIRE_STEP)
        x->more = true;
    return rc;
}

/* Gives a little of the freed space back to the file system, without moving much. */
static int shrink(struct store *s)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "PRAGMA incremental_vacuum(64)", &rc);

    if (st == NULL)
        return rc;
    do
        sq = sqlite3_step(st);
    while (sq == SQLITE_ROW);
    return store_rc(s, sq);
}

static int expire_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct expire *x = (struct expire *)op;
    sqlite3_int64 before = sqlite3_total_changes64(db);
    int rc = 0;

    x->more = false;
    if (x->keep_ms != 0)
        rc = expire_calls(x, s);
    if (rc == 0)
        rc = expire_claims(x, s);
    if (rc == 0 && sqlite3_total_changes64(db) != before)
        rc = shrink(s);
    return rc;
}

static void expire_done(struct store_op *op, int rc)
{
    struct expire *x = (struct expire *)op;

    claims_clear(x->s->claims);
    if (rc == 0 && x->more) {
        rc = store_push(x->s, &x->op);
        if (rc == 0)
            return;
    }
    if (x->fn != NULL)
        x->fn(x->arg, rc);
    mem_free(x);
}

int journal_expire(struct store *s, uint64_t now_ms, uint64_t keep_ms, journal_fn *fn, void *arg)
{
    struct expire *x = MEM_NEW(struct expire);
    int rc;

    if (x == NULL)
        return ERR_NOMEM;
    x->op = (struct store_op){.run = expire_run, .done = expire_done, .bytes = sizeof *x};
    x->s = s;
    x->fn = fn;
    x->arg = arg;
    x->now_ms = now_ms;
    x->keep_ms = keep_ms;
    rc = store_push(s, &x->op);
    if (rc < 0)
        mem_free(x);
    return rc;
}
