/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_SQL_OP_H
#define MEMORY_SQL_OP_H
/*
 * One statement that gives no rows, with its parameters, as an operation of the store: what most writes are.
 * memory/ only; made and ended on the loop thread.
 */
#include "memory/op.h"

#define SQL_OP_TEXTS 16u
#define SQL_OP_INTS 8u

struct sql_op {
    const char *sql;        /* a literal; ?1 ... ?n texts, behind them the numbers */
    struct str texts[SQL_OP_TEXTS];
    uint64_t ints[SQL_OP_INTS];
    unsigned n_texts, n_ints;
    bool owner;             /* the last text is this instance's name, filled in here */
    bool must_change;       /* ERR_NOT_FOUND when it changes no row */
};

/* Copies, queues with STORE_RETRY; fn may be NULL. ERR_TOO_BIG, ERR_NOMEM, ERR_FULL, ERR_CLOSED: fn will not fire. */
int sql_op_push(struct store *s, const struct sql_op *what, op_fn *fn, void *arg);
/* The same at once, within an operation. Store thread. */
int sql_op_run(struct store *s, const struct sql_op *what);

#endif
