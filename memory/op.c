/* SPDX-License-Identifier: MIT */
#include "memory/op.h"

#include "plugin/base/mem.h"

#include <string.h>

struct str op_pack(char **at, struct str s)
{
    struct str kept = {*at, s.n};

    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

int op_make(void **out, char **text_at, size_t size, size_t text)
{
    struct store_op *op;

    if (text > OP_TEXT_BYTES)
        return ERR_TOO_BIG;
    op = mem_alloc(size + text);
    if (op == NULL)
        return ERR_NOMEM;
    memset(op, 0, size);
    op->bytes = size + text;
    *text_at = (char *)op + size;
    *out = op;
    return 0;
}

int op_push(struct store *s, struct store_op *op)
{
    int rc = store_push(s, op);

    if (rc < 0)
        mem_free(op);
    return rc;
}

void op_done(struct store_op *op, int rc)
{
    struct op *o = (struct op *)op;

    if (o->fn != NULL)
        o->fn(o->arg, rc);
    mem_free(o);
}

static int ask_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct op_ask *a = (struct op_ask *)op;
    int rc;

    (void)db;
    buf_clear(&a->out);
    rc = a->run(a, s);
    return rc < 0 ? rc : a->out.rc;
}

static void ask_done(struct store_op *op, int rc)
{
    struct op_ask *a = (struct op_ask *)op;

    if (a->fn != NULL)
        a->fn(a->arg, rc, rc < 0 ? STR_NONE : buf_str(&a->out));
    buf_free(&a->out);
    mem_free(a);
}

int op_ask(struct store *s, const struct op_ask *what, op_json_fn *fn, void *arg)
{
    struct op_ask *a;
    void *block;
    char *at;
    int rc;

    if (what->id.n > OP_KEY_BYTES || what->text.n > OP_KEY_BYTES)
        return ERR_TOO_BIG;
    rc = op_make(&block, &at, sizeof *a, what->id.n + what->text.n);
    if (rc < 0)
        return rc;
    a = block;
    *a = (struct op_ask){.op = {.run = ask_run, .done = ask_done, .flags = what->op.flags,
                                .bytes = a->op.bytes},
                         .fn = fn, .arg = arg, .run = what->run, .limit = what->limit, .at = what->at};
    a->id = op_pack(&at, what->id);
    a->text = op_pack(&at, what->text);
    buf_init(&a->out, OP_ANSWER_BYTES);
    return op_push(s, &a->op);
}
