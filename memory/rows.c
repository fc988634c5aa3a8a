/* SPDX-License-Identifier: MIT */
#include "memory/rows.h"

#include "plugin/base/json.h"

unsigned rows_limit(unsigned n)
{
    return n < 1 ? 1 : n > ROWS_MAX ? ROWS_MAX : n;
}

void rows_put_time(struct buf *b, const char *key, uint64_t ms)
{
    jw_key(b, key);
    if (ms == 0)
        jw_null(b);
    else
        jw_int(b, (int64_t)ms);
}

void rows_put_text_or_null(struct buf *b, const char *key, struct str text)
{
    jw_key(b, key);
    if (text.n == 0)
        jw_null(b);
    else
        jw_str(b, text);
}

static void put_by_type(struct buf *b, sqlite3_stmt *st)
{
    for (int i = 0; i < sqlite3_column_count(st); i++) {
        jw_key(b, sqlite3_column_name(st, i));
        switch (sqlite3_column_type(st, i)) {
        case SQLITE_INTEGER:
            jw_int(b, sqlite3_column_int64(st, i));
            break;
        case SQLITE_NULL:
            jw_null(b);
            break;
        default:
            jw_str(b, journal_text(st, i));
        }
    }
}

void rows_put_members(struct buf *b, sqlite3_stmt *st, const struct rows_col *cols)
{
    if (cols == NULL) {
        put_by_type(b, st);
        return;
    }
    for (int i = 0; cols[i].name != NULL; i++) {
        const char *name = cols[i].name;

        switch (cols[i].as) {
        case ROWS_TEXT:
            jw_kstr(b, name, journal_text(st, i));
            break;
        case ROWS_TEXT_OR_NULL:
            rows_put_text_or_null(b, name, journal_text(st, i));
            break;
        case ROWS_INT:
            jw_kint(b, name, sqlite3_column_int64(st, i));
            break;
        case ROWS_TIME:
            rows_put_time(b, name, journal_u64(st, i));
            break;
        case ROWS_BOOL:
            jw_kbool(b, name, sqlite3_column_int(st, i) != 0);
            break;
        case ROWS_JSON:
            jw_kraw(b, name, journal_text(st, i));
            break;
        }
    }
}

int rows_put(struct store *s, const struct rows_query *q, struct str text, unsigned limit, struct buf *b)
{
    int rc, sq, parameters;
    sqlite3_stmt *st = store_stmt(s, q->sql, &rc);

    if (st == NULL)
        return rc;
    parameters = sqlite3_bind_parameter_count(st);
    if (parameters >= 1)
        journal_bind(st, 1, text);
    if (parameters >= 2)
        journal_bind_int(st, 2, limit);
    jw_key(b, q->key);
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        rows_put_members(b, st, q->cols);
        rc = q->more != NULL ? q->more(s, st, b) : 0;
        if (rc < 0)
            return rc;
        jw_close(b, '}');
    }
    jw_close(b, ']');
    rc = store_rc(s, sq);
    (void)sqlite3_reset(st); /* the text is borrowed */
    return rc;
}

int rows_put_object(struct store *s, const struct rows_query *q, struct str text, unsigned limit,
                    struct buf *b)
{
    int rc;

    jw_open(b, '{');
    rc = rows_put(s, q, text, limit, b);
    jw_close(b, '}');
    return rc;
}
