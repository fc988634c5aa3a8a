/* SPDX-License-Identifier: MIT */
#include "memory/charge.h"

#include "memory/journal_int.h"
#include "memory/op.h"
#include "memory/sql_op.h"
#include "plugin/base/mem.h"

#define TEXT_BYTES_MAX ((size_t)4 << 20)

int charge_put(struct store *s, const struct charge *c)
{
    const struct sql_op op = {
        .sql = "INSERT INTO charge(call, number, response, day, nano)"
               " SELECT ?1, ?2, ?3, ?5, ?6 FROM call WHERE id=?1 AND owner=?4"
               " ON CONFLICT(call, day) DO UPDATE SET number=excluded.number, response=excluded.response,"
               " nano=excluded.nano",
        .texts = {c->call, c->number, c->response}, .n_texts = 3, .owner = true,
        .ints = {c->day, c->nano}, .n_ints = 2};

    return sql_op_push(s, &op, NULL, NULL);
}

struct day {
    struct store_op op;
    charge_day_fn *fn;
    void *arg;
    uint32_t day;
    uint64_t total;
    struct buf names;
    struct charge_sum *sums;
    unsigned n, cap;
};

static int add(struct day *d, struct str number, uint64_t nano)
{
    if (d->n == d->cap) {
        unsigned cap = d->cap > 0 ? 2 * d->cap : 64;
        struct charge_sum *more = mem_realloc(d->sums, cap * sizeof *more);

        if (more == NULL)
            return ERR_NOMEM;
        d->sums = more;
        d->cap = cap;
    }
    /* The text moves while it grows: its place is filled in at the end. */
    d->sums[d->n++] = (struct charge_sum){{NULL, number.n}, nano};
    return buf_puts(&d->names, number);
}

static int read_sums(struct day *d, struct store *s)
{
    size_t at = 0;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT number, sum(nano) FROM charge WHERE day=?1 GROUP BY number"
                                     " ORDER BY 2 DESC", &rc);

    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, d->day);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        d->total += journal_u64(st, 1);
        rc = d->n < CHARGE_SUMS_MAX ? add(d, journal_text(st, 0), journal_u64(st, 1)) : 0;
        if (rc < 0)
            return rc;
    }
    for (unsigned i = 0; i < d->n; i++) {
        d->sums[i].number.p = buf_str(&d->names).p + at;
        at += d->sums[i].number.n;
    }
    return store_rc(s, sq);
}

static int day_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct day *d = (struct day *)op;
    const struct sql_op old = {.sql = "DELETE FROM charge WHERE day<?1 AND NOT EXISTS"
                                      " (SELECT 1 FROM call WHERE call.id=charge.call)",
                               .ints = {d->day}, .n_ints = 1};
    int rc;

    (void)db;
    d->n = 0;
    d->total = 0;
    buf_clear(&d->names);
    rc = sql_op_run(s, &old);
    return rc < 0 ? rc : read_sums(d, s);
}

static void day_done(struct store_op *op, int rc)
{
    struct day *d = (struct day *)op;

    d->fn(d->arg, rc, rc < 0 ? 0 : d->total, rc < 0 ? NULL : d->sums, rc < 0 ? 0 : d->n);
    buf_free(&d->names);
    mem_free(d->sums);
    mem_free(d);
}

int charge_day(struct store *s, uint32_t day, charge_day_fn *fn, void *arg)
{
    struct day *d = MEM_NEW(struct day);
    int rc;

    if (d == NULL)
        return ERR_NOMEM;
    d->op = (struct store_op){.run = day_run, .done = day_done, .bytes = sizeof *d};
    d->fn = fn;
    d->arg = arg;
    d->day = day;
    buf_init(&d->names, TEXT_BYTES_MAX);
    rc = store_push(s, &d->op);
    if (rc < 0)
        mem_free(d);
    return rc;
}
