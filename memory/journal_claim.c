/* SPDX-License-Identifier: MIT */
/* Claims: who takes an incoming call, and which call of ours a leg of the model belongs to. */
#include "memory/claims.h"
#include "memory/journal_int.h"
#include "memory/lines.h"
#include "memory/op.h"
#include "memory/sql_op.h"
#include "plugin/base/id.h"
#include "plugin/base/mem.h"

#include <string.h>

/* Kinds are hashed along, so that one kind's id can never stand for another's. */
static void key_of(unsigned char key[JOURNAL_KEY_BYTES], char kind, struct str id)
{
    char text[256];
    unsigned char hash[32];

    if (id.n >= sizeof text) {
        id_sha256(hash, id);
        id = str_make((const char *)hash, sizeof hash);
    }
    text[0] = kind;
    if (id.n > 0)
        memcpy(text + 1, id.p, id.n);
    id_sha256(key, str_make(text, id.n + 1));
}

void journal_key_openai(unsigned char key[JOURNAL_KEY_BYTES], struct str id)
{
    key_of(key, 'o', id);
}

void journal_key_sip(unsigned char key[JOURNAL_KEY_BYTES], struct str id)
{
    key_of(key, 's', id);
}

enum { KEY_OPENAI, KEY_SIP, KEYS };

struct claim {
    struct store_op op;
    struct store *s;
    struct journal_call row;
    journal_claim_fn *fn;
    void *arg;
    enum journal_claim_result result;
    struct str ref;            /* a leg of the model: the line's reference for it */
    line_leg_fn *leg_fn;
    enum line_leg_result leg;
    char leg_call[ID_BYTES];
    bool has[KEYS], stands[KEYS]; /* stands: durable if the operation is */
    unsigned char key[KEYS][JOURNAL_KEY_BYTES];
};

static void claim_done(struct store_op *op, int rc)
{
    struct claim *c = (struct claim *)op;

    for (int i = 0; rc == 0 && i < KEYS; i++)
        if (c->stands[i])
            claims_add(c->s->claims, c->key[i]);
    if (c->leg_fn != NULL)
        c->leg_fn(c->arg, rc, c->result == JOURNAL_DUPLICATE ? LINE_LEG_DUPLICATE : c->leg, str_of(c->leg_call));
    else
        c->fn(c->arg, rc, c->result);
    mem_free(c);
}

/* The call of a reference that was given out and not used; c->leg says what became of it. */
static int find_leg(struct claim *c, struct store *s)
{
    static const char sql[] = "SELECT r.call, r.used, c.owner, c.state FROM leg_ref r JOIN call c ON c.id=r.call"
                              " WHERE r.ref=?1";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    c->leg = LINE_LEG_UNKNOWN;
    if (st == NULL)
        return rc;
    journal_bind(st, 1, c->ref);
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW)
        return sq == SQLITE_DONE ? 0 : store_rc(s, sq);
    if (!str_copy(c->leg_call, sizeof c->leg_call, journal_text(st, 0)))
        return ERR_CORRUPT;
    if (journal_u64(st, 1) != 0)
        return 0;
    c->leg = str_eqc(journal_text(st, 3), JOURNAL_OVER) || str_eqc(journal_text(st, 3), JOURNAL_LEAVING)
                 ? LINE_LEG_OVER : LINE_LEG_NEW;
    /* Whoever drives the call takes its legs: that instance, or the next, gets this webhook again. */
    return c->leg == LINE_LEG_NEW && !str_eq(journal_text(st, 2), store_owner(s)) ? ERR_BAD_STATE : 0;
}

static int tie_leg(struct claim *c, struct store *s)
{
    const struct sql_op used = {.sql = "UPDATE leg_ref SET used=1 WHERE ref=?1", .texts = {c->ref}, .n_texts = 1};
    const struct sql_op call = {.sql = "UPDATE call SET openai_call_id=?2, sip_call_id=?3, state='claimed' WHERE id=?1",
                                .texts = {str_of(c->leg_call), c->row.openai_call_id, c->row.sip_call_id},
                                .n_texts = 3};
    int rc = sql_op_run(s, &used);

    c->row.id = str_of(c->leg_call);
    return rc < 0 ? rc : sql_op_run(s, &call);
}

static int insert_claim(struct claim *c, struct store *s)
{
    const unsigned char *key[KEYS];
    int rc;
    sqlite3_stmt *st = store_stmt(s, "INSERT INTO claim(at, call, openai, sip) VALUES(?1, ?2, ?3, ?4)",
                                  &rc);

    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, c->row.received_at);
    journal_bind(st, 2, c->row.id);
    for (int i = 0; i < KEYS; i++) {
        key[i] = c->has[i] ? c->key[i] : NULL;
        (void)sqlite3_bind_blob(st, 3 + i, c->key[i], c->has[i] ? CLAIM_KEY_BYTES : 0, SQLITE_STATIC);
    }
    rc = journal_step(s, st);
    if (rc == 0)
        claim_index_add(s->index, sqlite3_last_insert_rowid(s->db), key[KEY_OPENAI], key[KEY_SIP]);
    return rc;
}

/*
 * The write lock is held, and the index knows all that was committed: between the look and the insert
 * nobody comes in between. The call's row goes first: it is the one that can be refused.
 */
static int claim_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct claim *c = (struct claim *)op;
    int64_t n = 0;
    int rc;

    (void)db;
    c->result = JOURNAL_NEW;
    c->stands[KEY_SIP] = c->stands[KEY_OPENAI] = false;
    rc = claim_index_sync(s->index, s);
    if (rc == 0)
        rc = claim_index_reserve(s->index, s);
    for (int i = 0; rc == 0 && i < KEYS; i++) {
        if (!c->has[i])
            continue;
        rc = claim_index_find(s->index, s, c->key[i], c->row.event_at, &n, NULL, 0);
        if (rc == 0 && n != 0) {
            c->result = JOURNAL_DUPLICATE;
            c->stands[i] = true;
            return 0;
        }
    }
    if (rc == 0 && c->ref.n > 0) {
        rc = find_leg(c, s);
        if (rc == 0 && c->leg != LINE_LEG_NEW)
            return 0;
        rc = rc < 0 ? rc : tie_leg(c, s);
    } else if (rc == 0) {
        rc = journal_insert(s, &c->row);
    }
    if (rc == 0)
        rc = insert_claim(c, s);
    for (int i = 0; rc == 0 && i < KEYS; i++)
        c->stands[i] = c->has[i];
    return rc;
}

static int push_claim(struct claim *c, struct store *s, uint64_t deadline_ms)
{
    int rc;

    c->s = s;
    c->op.run = claim_run;
    c->op.done = claim_done;
    c->op.deadline_ms = deadline_ms;
    c->has[KEY_OPENAI] = c->row.openai_call_id.n > 0;
    c->has[KEY_SIP] = c->row.sip_call_id.n > 0;
    if (c->has[KEY_OPENAI])
        journal_key_openai(c->key[KEY_OPENAI], c->row.openai_call_id);
    if (c->has[KEY_SIP])
        journal_key_sip(c->key[KEY_SIP], c->row.sip_call_id);
    for (int i = 0; i < KEYS; i++) {
        if (!c->has[i] || !claims_has(s->claims, c->key[i]))
            continue;
        c->result = JOURNAL_DUPLICATE;
        rc = store_settle(s, &c->op);
        if (rc < 0)
            mem_free(c);
        return rc;
    }
    return op_push(s, &c->op);
}

int journal_claim(struct store *s, const struct journal_call *row, uint64_t deadline_ms,
                  journal_claim_fn *fn, void *arg)
{
    struct claim *c;
    void *block;
    char *at;
    int rc = op_make(&block, &at, sizeof *c, journal_row_bytes(row));

    if (rc < 0)
        return rc;
    c = block;
    journal_row_pack(&c->row, row, &at);
    c->fn = fn;
    c->arg = arg;
    return push_claim(c, s, deadline_ms);
}

int line_claim_leg(struct store *s, struct str ref, struct str openai_call_id, struct str sip_call_id,
                   uint64_t event_at, uint64_t now_ms, uint64_t deadline_ms, line_leg_fn *fn, void *arg)
{
    struct claim *c;
    void *block;
    char *at;
    int rc = op_make(&block, &at, sizeof *c, ref.n + openai_call_id.n + sip_call_id.n);

    if (rc < 0)
        return rc;
    c = block;
    c->ref = op_pack(&at, ref);
    c->row.openai_call_id = op_pack(&at, openai_call_id);
    c->row.sip_call_id = op_pack(&at, sip_call_id);
    c->row.received_at = now_ms;
    c->row.event_at = event_at;
    c->leg_fn = fn;
    c->arg = arg;
    return push_claim(c, s, deadline_ms);
}

bool journal_known(struct store *s, struct str openai_call_id, struct str sip_call_id)
{
    unsigned char key[JOURNAL_KEY_BYTES];

    if (openai_call_id.n > 0) {
        journal_key_openai(key, openai_call_id);
        if (claims_has(s->claims, key))
            return true;
    }
    if (sip_call_id.n > 0) {
        journal_key_sip(key, sip_call_id);
        return claims_has(s->claims, key);
    }
    return false;
}
