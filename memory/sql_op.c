/* SPDX-License-Identifier: MIT */
#include "memory/sql_op.h"

#include "memory/journal_int.h"

struct statement {
    struct op o;
    struct sql_op what;
};

int sql_op_run(struct store *s, const struct sql_op *what)
{
    int rc, at = 1;
    sqlite3_stmt *st = store_stmt(s, what->sql, &rc);

    if (st == NULL)
        return rc;
    for (unsigned i = 0; i < what->n_texts; i++)
        journal_bind(st, at++, what->texts[i]);
    if (what->owner)
        journal_bind(st, at++, store_owner(s));
    for (unsigned i = 0; i < what->n_ints; i++)
        journal_bind_int(st, at++, what->ints[i]);
    rc = journal_step(s, st);
    return rc == 0 && what->must_change && sqlite3_changes64(s->db) == 0 ? ERR_NOT_FOUND : rc;
}

static int run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    (void)db;
    return sql_op_run(s, &((struct statement *)op)->what);
}

int sql_op_push(struct store *s, const struct sql_op *what, op_fn *fn, void *arg)
{
    struct statement *p;
    void *block;
    char *text;
    size_t bytes = 0;
    int rc;

    for (unsigned i = 0; i < what->n_texts; i++)
        bytes += what->texts[i].n;
    rc = op_make(&block, &text, sizeof *p, bytes);
    if (rc < 0)
        return rc;
    p = block;
    p->what = *what;
    for (unsigned i = 0; i < what->n_texts; i++)
        p->what.texts[i] = op_pack(&text, what->texts[i]);
    p->o = (struct op){{.run = run, .done = op_done, .flags = STORE_RETRY, .bytes = p->o.op.bytes}, fn, arg};
    return op_push(s, &p->o.op);
}
