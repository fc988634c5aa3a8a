/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_ROWS_H
#define MEMORY_ROWS_H
/*
 * Rows of a query as JSON. memory/ only; on the store's thread, inside of an operation. Failures of the writer
 * stick in b->rc, and a walk over rows ends there.
 */
#include "memory/journal_int.h"
#include "plugin/base/buf.h"

#define ROWS_MAX 1000u

enum rows_as {
    ROWS_TEXT,
    ROWS_TEXT_OR_NULL, /* '' is null */
    ROWS_INT,
    ROWS_TIME, /* ms since 1970; 0 is null */
    ROWS_BOOL,
    ROWS_JSON, /* a finished value */
};

struct rows_col {
    const char *name;
    enum rows_as as;
};

struct rows_query {
    const char *key; /* of the array */
    const char *sql; /* ?1 is the text that is asked for, ?2 how many rows at most; either may be missing */
    /* Of the columns from the first on, up to a name of NULL. NULL: each column under its own name, by its type. */
    const struct rows_col *cols;
    /* Further members of a row's object, or NULL. Negative ends the walk. */
    int (*more)(struct store *s, sqlite3_stmt *st, struct buf *b);
};

/* How many rows an API gives that was asked for n: 1 to ROWS_MAX. */
unsigned rows_limit(unsigned n);
void rows_put_time(struct buf *b, const char *key, uint64_t ms);
void rows_put_text_or_null(struct buf *b, const char *key, struct str text);
/* The members of the row that st stands on, as `cols` of a query says. */
void rows_put_members(struct buf *b, sqlite3_stmt *st, const struct rows_col *cols);
/* "key":[{...},...]. 0 or a failure of the store. */
int rows_put(struct store *s, const struct rows_query *q, struct str text, unsigned limit, struct buf *b);
/* {"key":[{...},...]} */
int rows_put_object(struct store *s, const struct rows_query *q, struct str text, unsigned limit,
                    struct buf *b);

#endif
