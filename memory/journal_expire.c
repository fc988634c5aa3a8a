/* SPDX-License-Identifier: MIT */
#include "memory/claims.h"
#include "memory/journal_int.h"
#include "plugin/base/mem.h"

#include <string.h>

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

static int run_key(struct store *s, const char *sql, const unsigned char *key, uint64_t at)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    (void)sqlite3_bind_blob(st, 1, key, JOURNAL_KEY_BYTES, SQLITE_STATIC);
    if (sqlite3_bind_parameter_count(st) > 1)
        journal_bind_int(st, 2, at);
    return journal_step(s, st);
}

/* A claim whose call goes: at once if it is old enough, else it is noted when it may go. */
static int drop_claim(struct expire *x, struct store *s, const unsigned char *key, uint64_t at)
{
    static const char gone[] = "DELETE FROM claim WHERE key=?1";
    static const char later[] = "INSERT INTO claim_left(at, key) SELECT ?2, ?1 WHERE EXISTS"
                                " (SELECT 1 FROM claim WHERE key=?1) ON CONFLICT DO NOTHING";
    bool old = at + CLAIM_KEEP_MS < x->now_ms;

    return run_key(s, old ? gone : later, key, at);
}

static int drop_call(struct expire *x, struct store *s, sqlite3_stmt *row)
{
    unsigned char key[JOURNAL_KEY_BYTES];
    uint64_t received = journal_u64(row, 3);
    int rc = 0;
    sqlite3_stmt *st;

    if (sqlite3_column_bytes(row, 1) > 0) {
        journal_key_openai(key, journal_text(row, 1));
        rc = drop_claim(x, s, key, received);
    }
    if (rc == 0 && sqlite3_column_bytes(row, 2) > 0) {
        journal_key_sip(key, journal_text(row, 2));
        rc = drop_claim(x, s, key, received);
    }
    if (rc < 0)
        return rc;
    st = store_stmt(s, "DELETE FROM call WHERE id=?1", &rc);
    if (st == NULL)
        return rc;
    journal_bind(st, 1, journal_text(row, 0));
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
    sqlite3_stmt *st = store_stmt(s, "SELECT id, openai_call_id, sip_call_id, received_at, ended_at,"
                                     " state FROM call ORDER BY id", &rc);

    if (st == NULL)
        return rc;
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        uint64_t ended = journal_u64(st, 4);

        if (journal_u64(st, 3) >= before)
            return 0;
        if (!str_eqc(journal_text(st, 5), JOURNAL_OVER) || ended == 0 || ended >= before)
            continue;
        if (n++ == EXPIRE_STEP) {
            x->more = true;
            return 0;
        }
        rc = drop_call(x, s, st);
        if (rc < 0)
            return rc;
    }
    return store_rc(s, sq);
}

static int expire_claims(struct expire *x, struct store *s)
{
    int rc, sq;
    unsigned n = 0;
    uint64_t before = x->now_ms > CLAIM_KEEP_MS ? x->now_ms - CLAIM_KEEP_MS : 0;
    sqlite3_stmt *st = store_stmt(s, "SELECT key, at FROM claim_left WHERE at<?1 ORDER BY at, key", &rc);

    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, before);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        unsigned char key[JOURNAL_KEY_BYTES] = {0};
        int len = sqlite3_column_bytes(st, 0);

        if (n++ == EXPIRE_STEP) {
            x->more = true;
            return 0;
        }
        memcpy(key, sqlite3_column_blob(st, 0), (size_t)(len < (int)sizeof key ? len : (int)sizeof key));
        rc = run_key(s, "DELETE FROM claim WHERE key=?1", key, 0);
        if (rc == 0)
            rc = run_key(s, "DELETE FROM claim_left WHERE key=?1 AND at=?2", key, journal_u64(st, 1));
        if (rc < 0)
            return rc;
    }
    return store_rc(s, sq);
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
