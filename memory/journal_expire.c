/* SPDX-License-Identifier: MIT */
#include "memory/claims.h"
#include "memory/journal_int.h"
#include "memory/words.h"
#include "plugin/base/id.h"
#include "plugin/base/mem.h"

#include <string.h>

#define CLAIM_KEEP_MS ((uint64_t)72 * 3600 * 1000)
#define BARE_KEEP_MS ((uint64_t)90 * 86400 * 1000) /* of a person who is but a number */
#define EXPIRE_STEP 128u /* rows of one operation: others run in between */

struct expire {
    struct store_op op;
    struct store *s;
    journal_fn *fn;
    void *arg;
    uint64_t now_ms, keep_ms;
    bool more, persons; /* persons: their turn has come */
    char reached[ID_BYTES], next[ID_BYTES]; /* in the walk over persons; next counts once committed */
};

int journal_drop(struct store *s, struct str id)
{
    bool was;
    int rc = words_drop(s, id, &was);
    sqlite3_stmt *st;

    if (rc < 0)
        return rc;
    st = store_stmt(s, "DELETE FROM call WHERE id=?1", &rc);
    if (st == NULL)
        return rc;
    journal_bind(st, 1, id);
    return journal_step(s, st);
}

int journal_blank_claim(struct store *s, struct str openai_call_id, struct str sip_call_id)
{
    struct str ids[2] = {openai_call_id, sip_call_id};
    unsigned char key[JOURNAL_KEY_BYTES];
    int64_t n = 0;
    int rc = claim_index_sync(s->index, s);

    for (int i = 0; rc == 0 && n == 0 && i < 2; i++) {
        if (ids[i].n == 0)
            continue;
        if (i == 0)
            journal_key_openai(key, ids[i]);
        else
            journal_key_sip(key, ids[i]);
        rc = claim_index_find(s->index, s, key, 0, &n, NULL, 0);
    }
    if (rc == 0 && n != 0) {
        sqlite3_stmt *st = store_stmt(s, "UPDATE claim SET call='' WHERE n=?1", &rc);

        if (st == NULL)
            return rc;
        (void)sqlite3_bind_int64(st, 1, n);
        rc = journal_step(s, st);
    }
    return rc;
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
    sqlite3_stmt *st = store_stmt(s, "SELECT id, received_at, ended_at, state FROM call WHERE NOT EXISTS"
                                     " (SELECT 1 FROM outbox o WHERE o.call=call.id AND o.state NOT IN"
                                     " ('done','failed','uncertain')) ORDER BY id", &rc);

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
        rc = journal_drop(s, journal_text(st, 0));
        if (rc < 0)
            return rc;
    }
    return store_rc(s, sq);
}

/* What is settled and hangs on no call. */
static int expire_settled(struct expire *x, struct store *s)
{
    static const char *const sql[] = {
        "DELETE FROM handoff WHERE call IS NULL AND at<?1 AND NOT EXISTS (SELECT 1 FROM outbox o"
        " WHERE o.id=handoff.id AND o.state NOT IN ('done','failed','uncertain'))",
        "DELETE FROM outbox WHERE call IS NULL AND made_at<?1 AND state IN ('done','failed','uncertain')"};
    int rc = 0;

    for (int i = 0; rc == 0 && i < 2; i++) {
        sqlite3_stmt *st = store_stmt(s, sql[i], &rc);

        if (st == NULL)
            return rc;
        journal_bind_int(st, 1, x->now_ms > x->keep_ms ? x->now_ms - x->keep_ms : 0);
        rc = journal_step(s, st);
    }
    return rc;
}

static int drop_person(struct store *s, struct str person)
{
    static const char *const sql[] = {
        "DELETE FROM caller WHERE 'voice:' || number IN (SELECT identity FROM identity WHERE person=?1)",
        "DELETE FROM identity WHERE person=?1", "DELETE FROM person WHERE id=?1"};
    int rc = 0;

    for (int i = 0; rc == 0 && i < 3; i++) {
        sqlite3_stmt *st = store_stmt(s, sql[i], &rc);

        if (st == NULL)
            return rc;
        journal_bind(st, 1, person);
        rc = journal_step(s, st);
    }
    return rc;
}

/*
 * Persons of whom nothing but a number is known: no name, language or notes, no links, no calls left, last
 * seen long ago. Walks all persons, a piece at a time.
 */
static int expire_persons(struct expire *x, struct store *s)
{
    static const char sql[] =
        "SELECT id, name='' AND language='' AND notes='' AND made_at<?2"
        " AND NOT EXISTS (SELECT 1 FROM call c WHERE c.person=p.id AND c.person<>'')"
        " AND NOT EXISTS (SELECT 1 FROM identity i LEFT JOIN caller c ON c.number=substr(i.identity, 7)"
        "  AND i.identity LIKE 'voice:%' WHERE i.person=p.id AND (c.last_seen>=?2"
        "  OR EXISTS (SELECT 1 FROM link WHERE a=i.identity)"
        "  OR EXISTS (SELECT 1 FROM link WHERE b=i.identity)))"
        " FROM person p WHERE id>?1 ORDER BY id LIMIT ?3";
    uint64_t keep = x->keep_ms > BARE_KEEP_MS ? x->keep_ms : BARE_KEEP_MS;
    unsigned n = 0;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, str_of(x->reached));
    journal_bind_int(st, 2, x->now_ms > keep ? x->now_ms - keep : 0);
    journal_bind_int(st, 3, EXPIRE_STEP);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        n++;
        (void)str_copy(x->next, sizeof x->next, journal_text(st, 0));
        if (!sqlite3_column_int(st, 1))
            continue;
        rc = drop_person(s, str_of(x->next));
        if (rc < 0)
            return rc;
    }
    x->more = n == EXPIRE_STEP;
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
    if (x->persons) {
        rc = expire_persons(x, s);
    } else {
        if (x->keep_ms != 0)
            rc = expire_calls(x, s);
        if (rc == 0)
            rc = expire_claims(x, s);
        if (rc == 0 && !x->more && x->keep_ms != 0)
            rc = expire_settled(x, s);
    }
    if (rc == 0 && sqlite3_total_changes64(db) != before)
        rc = shrink(s);
    return rc;
}

static void expire_done(struct store_op *op, int rc)
{
    struct expire *x = (struct expire *)op;

    claims_clear(x->s->claims);
    memcpy(x->reached, x->next, sizeof x->reached);
    if (rc == 0 && !x->more && !x->persons && x->keep_ms != 0)
        x->more = x->persons = true;
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
