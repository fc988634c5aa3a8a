/* SPDX-License-Identifier: MIT */
#include "memory/outbox.h"

#include "memory/people_int.h"
#include "memory/rows.h"
#include "memory/sql_op.h"
#include "plugin/base/arena.h"
#include "plugin/base/mem.h"

#define ROWS_BYTES ((size_t)64 << 20)
#define ANSWER_BYTES ((size_t)16 << 20) /* of an answer's texts, about; the rest is asked for again */
#define OWNERS_MAX 64

/* ---- Rows. ---- */

/*
 * What a put says besides its columns: a call of '' is stored as NULL, one that is gone (forgotten) is not found, and
 * a row that is there already stays as it is, but counts as changed.
 */
#define OF_CALL " WHERE ?2='' OR EXISTS (SELECT 1 FROM call WHERE id=?2) ON CONFLICT(id) DO UPDATE SET id=id"

int outbox_put(struct store *s, const struct outbox_row *row, outbox_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "INSERT INTO outbox(id, call, kind, state, payload, error, owner, attempts, made_at, due_at)"
               " SELECT ?1, nullif(?2, ''), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10" OF_CALL,
        .texts = {row->id, row->call, row->kind, row->state, row->payload, row->error}, .n_texts = 6, .owner = true,
        .ints = {row->attempts, row->made_at, row->due_at}, .n_ints = 3, .must_change = true};

    return sql_op_push(s, &op, fn, arg);
}

int outbox_save(struct store *s, const struct outbox_row *row, outbox_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "UPDATE outbox SET state=?2, payload=iif(?3='', payload, ?3), error=?4, attempts=?5, due_at=?6"
               " WHERE id=?1",
        .texts = {row->id, row->state, row->payload, row->error}, .n_texts = 4,
        .ints = {row->attempts, row->due_at}, .n_ints = 2, .must_change = true};

    return sql_op_push(s, &op, fn, arg);
}

/* ---- What is open. ---- */

struct open {
    struct store_op op;
    outbox_rows_fn *fn;
    void *arg;
    unsigned limit, n;
    bool take_over, more;
    struct outbox_row *rows;
    struct arena mem;
};

static void open_done(struct store_op *op, int rc)
{
    struct open *o = (struct open *)op;

    if (o->fn != NULL)
        o->fn(o->arg, rc, rc < 0 ? NULL : o->rows, rc < 0 ? 0 : o->n, rc == 0 && o->more);
    arena_free(&o->mem);
    mem_free(o);
}

/* The write lock is held: of two instances that look at once, one gets a dead one's rows. */
static int take_over(struct open *o, struct store *s)
{
    struct str dead[OWNERS_MAX];
    unsigned n = 0;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT DISTINCT owner FROM outbox WHERE state " PEOPLE_OPEN_STATE
                                     " AND owner<>?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, store_owner(s));
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && n < OWNERS_MAX) {
        struct str owner = journal_text(st, 0);

        if (owner.n == 0 || !owner_alive(s->owner, owner))
            dead[n++] = str_make(arena_text(&o->mem, owner), owner.n);
    }
    (void)sqlite3_reset(st);
    rc = o->mem.rc < 0 ? o->mem.rc : store_rc(s, sq);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = people_exec(s, "UPDATE outbox SET owner=?2 WHERE owner=?1 AND state " PEOPLE_OPEN_STATE,
                         dead[i], store_owner(s), 0);
    return rc;
}

static struct str keep(struct open *o, sqlite3_stmt *st, int col)
{
    struct str text = journal_text(st, col);

    return str_make(arena_text(&o->mem, text), text.n);
}

static int open_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    static const char sql[] =
        "SELECT id, call, kind, state, payload, error, attempts, made_at, due_at FROM outbox"
        " WHERE state " PEOPLE_OPEN_STATE " AND owner=?1 ORDER BY due_at, id LIMIT ?2";
    struct open *o = (struct open *)op;
    sqlite3_stmt *st;
    int rc, sq = SQLITE_DONE;

    (void)db;
    arena_free(&o->mem);
    o->n = 0;
    o->more = false;
    rc = o->take_over ? take_over(o, s) : 0;
    o->rows = rc < 0 ? NULL : arena_alloc(&o->mem, o->limit * sizeof *o->rows);
    if (o->rows == NULL)
        return rc < 0 ? rc : o->mem.rc;
    st = store_stmt(s, sql, &rc);
    if (st == NULL)
        return rc;
    journal_bind(st, 1, store_owner(s));
    journal_bind_int(st, 2, o->limit);
    while (o->mem.total_bytes < ANSWER_BYTES && (sq = sqlite3_step(st)) == SQLITE_ROW && o->n < o->limit) {
        struct outbox_row *row = &o->rows[o->n++];

        *row = (struct outbox_row){.id = keep(o, st, 0), .call = keep(o, st, 1), .kind = keep(o, st, 2),
                                   .state = keep(o, st, 3), .payload = keep(o, st, 4),
                                   .error = keep(o, st, 5), .attempts = (unsigned)journal_u64(st, 6),
                                   .made_at = journal_u64(st, 7), .due_at = journal_u64(st, 8)};
    }
    o->more = o->n == o->limit || o->mem.total_bytes >= ANSWER_BYTES;
    return o->mem.rc < 0 ? o->mem.rc : store_rc(s, sq);
}

int outbox_open_rows(struct store *s, unsigned limit, bool dead_too, outbox_rows_fn *fn, void *arg)
{
    struct open *o;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *o, 0);

    if (rc < 0)
        return rc;
    o = block;
    o->op.run = open_run;
    o->op.done = open_done;
    o->fn = fn;
    o->arg = arg;
    o->limit = rows_limit(limit);
    o->take_over = dead_too;
    arena_init(&o->mem, ROWS_BYTES);
    return op_push(s, &o->op);
}

/* ---- Handoffs. ---- */

int handoff_put(struct store *s, const struct handoff_row *row, outbox_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "INSERT INTO handoff(id, call, channel, dest, reason, state, error, at, sent_at)"
               " SELECT ?1, nullif(?2, ''), ?3, ?4, ?5, ?6, ?7, ?8, ?9" OF_CALL,
        .texts = {row->id, row->call, row->channel, row->to, row->reason, row->state, row->error}, .n_texts = 7,
        .ints = {row->at, row->sent_at}, .n_ints = 2, .must_change = true};

    return sql_op_push(s, &op, fn, arg);
}

int handoff_save(struct store *s, struct str id, struct str state, struct str error, uint64_t sent_at,
                 outbox_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "UPDATE handoff SET state=?2, error=?3, sent_at=iif(?4=0, sent_at, ?4) WHERE id=?1",
        .texts = {id, state, error}, .n_texts = 3, .ints = {sent_at}, .n_ints = 1, .must_change = true};

    return sql_op_push(s, &op, fn, arg);
}

static int list_run(struct op_ask *a, struct store *s)
{
    static const struct rows_col cols[] = {
        {"id", ROWS_TEXT},    {"call", ROWS_TEXT}, {"channel", ROWS_TEXT}, {"to", ROWS_TEXT},
        {"reason", ROWS_TEXT}, {"state", ROWS_TEXT}, {"error", ROWS_TEXT}, {"at", ROWS_INT},
        {"sent_at", ROWS_TIME}, {"attempts", ROWS_INT}, {NULL, 0}};
    static const struct rows_query query = {
        "handoffs",
        "SELECT h.id, coalesce(h.call, ''), h.channel, h.dest, h.reason, h.state, h.error, h.at, h.sent_at,"
        " coalesce(o.attempts, 0) FROM handoff h LEFT JOIN outbox o ON o.id=h.id"
        " ORDER BY h.at DESC, h.id DESC LIMIT ?2",
        cols, NULL};

    return rows_put_object(s, &query, STR_NONE, rows_limit(a->limit), &a->out);
}

int handoff_list(struct store *s, unsigned limit, outbox_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = list_run, .limit = limit}, fn, arg);
}
