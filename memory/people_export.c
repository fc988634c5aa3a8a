/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"

/*
 * Everything we hold of a person, table by table and column by column, so that a column that is added
 * later is exported without being named here.
 */
static void put_row(struct buf *b, sqlite3_stmt *st)
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

static int put_table(struct store *s, const char *name, const char *sql, struct str key, struct buf *b)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, key);
    jw_key(b, name);
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        put_row(b, st);
        jw_close(b, '}');
    }
    jw_close(b, ']');
    return store_rc(s, sq);
}

static int put_calls(struct store *s, struct str person, struct buf *b)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT * FROM call WHERE person=?1 AND person<>'' ORDER BY id", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    jw_key(b, "calls");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        struct str call = journal_text(st, 0);

        jw_open(b, '{');
        put_row(b, st);
        rc = put_table(s, "turns", "SELECT * FROM turn WHERE call=?1 ORDER BY pos, n", call, b);
        if (rc == 0)
            rc = put_table(s, "hops", "SELECT * FROM hop WHERE call=?1 ORDER BY seq", call, b);
        if (rc == 0)
            rc = put_table(s, "tools", "SELECT * FROM tool_run WHERE call=?1 ORDER BY n", call, b);
        if (rc == 0)
            rc = put_table(s, "handoffs", "SELECT * FROM handoff WHERE call=?1 ORDER BY at", call, b);
        if (rc == 0)
            rc = put_table(s, "outbox", "SELECT * FROM outbox WHERE call=?1 ORDER BY made_at", call, b);
        if (rc == 0)
            rc = put_table(s, "recordings", "SELECT * FROM recording WHERE call=?1", call, b);
        if (rc == 0)
            rc = put_table(s, "questions", "SELECT id, text, answer, state, asked_at, answered_at FROM question"
                                           " WHERE call=?1 ORDER BY asked_at", call, b);
        if (rc < 0)
            return rc;
        jw_close(b, '}');
    }
    jw_close(b, ']');
    return store_rc(s, sq);
}

#define OF_PERSON "(SELECT identity FROM identity WHERE person=?1)"

static int export_run(struct op_ask *a, struct store *s)
{
    static const struct {
        const char *name, *sql;
    } tables[] = {
        {"callers", "SELECT * FROM caller WHERE '" PEOPLE_VOICE "' || number IN " OF_PERSON},
        {"identities", "SELECT * FROM identity WHERE person=?1"},
        {"links", "SELECT * FROM link WHERE a IN " OF_PERSON " ORDER BY a, b"},
        {"codes", "SELECT identity, call, until, tries FROM link_code WHERE identity IN " OF_PERSON},
        {"code_tries", "SELECT * FROM code_try WHERE identity IN " OF_PERSON},
        {"messages", "SELECT * FROM message WHERE identity IN " OF_PERSON " ORDER BY at, n"},
        {"asked", "SELECT * FROM question WHERE identity IN " OF_PERSON " ORDER BY asked_at"},
        {"handoffs", "SELECT * FROM handoff WHERE call IS NULL AND (dest IN " OF_PERSON
                     " OR channel || ':' || dest IN " OF_PERSON ")"},
    };
    struct buf *b = &a->out;
    struct id person;
    struct str key;
    int rc = people_resolve(s, a->id, &person);

    if (rc < 0)
        return rc;
    key = str_of(person.text);
    jw_open(b, '{');
    jw_kint(b, "exported_at", (int64_t)clock_wall_ms());
    jw_key(b, "person");
    rc = people_put(s, key, b);
    for (unsigned i = 0; rc == 0 && i < sizeof tables / sizeof *tables; i++)
        rc = put_table(s, tables[i].name, tables[i].sql, key, b);
    if (rc == 0)
        rc = put_calls(s, key, b);
    jw_close(b, '}');
    return rc;
}

int people_export(struct store *s, struct str id, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = export_run, .id = id}, fn, arg);
}
