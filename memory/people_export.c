/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "memory/rows.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"

/*
 * Everything we hold of a person, table by table and column by column, so that a column that is added
 * later is exported without being named here.
 */
static int put_tables(struct store *s, const struct rows_query *tables, struct str key, struct buf *b)
{
    int rc = 0;

    for (; rc == 0 && tables->key != NULL; tables++)
        rc = rows_put(s, tables, key, 0, b);
    return rc;
}

static int put_of_call(struct store *s, sqlite3_stmt *call, struct buf *b)
{
    static const struct rows_query tables[] = {
        {.key = "turns", .sql = "SELECT * FROM turn WHERE call=?1 ORDER BY pos, n"},
        {.key = "hops", .sql = "SELECT * FROM hop WHERE call=?1 ORDER BY seq"},
        {.key = "tools", .sql = "SELECT * FROM tool_run WHERE call=?1 ORDER BY n"},
        {.key = "handoffs", .sql = "SELECT * FROM handoff WHERE call=?1 ORDER BY at"},
        {.key = "outbox", .sql = "SELECT * FROM outbox WHERE call=?1 ORDER BY made_at"},
        {.key = "recordings", .sql = "SELECT * FROM recording WHERE call=?1"},
        {.key = "questions", .sql = "SELECT id, text, answer, state, asked_at, answered_at FROM question"
                                    " WHERE call=?1 ORDER BY asked_at"},
        {.key = NULL},
    };

    return put_tables(s, tables, journal_text(call, 0), b);
}

#define OF_PERSON "(SELECT identity FROM identity WHERE person=?1)"

static int export_run(struct op_ask *a, struct store *s)
{
    static const struct rows_query tables[] = {
        {.key = "callers", .sql = "SELECT * FROM caller WHERE '" PEOPLE_VOICE "' || number IN " OF_PERSON},
        {.key = "identities", .sql = "SELECT * FROM identity WHERE person=?1"},
        {.key = "links", .sql = "SELECT * FROM link WHERE a IN " OF_PERSON " ORDER BY a, b"},
        {.key = "codes", .sql = "SELECT identity, call, until, tries FROM link_code WHERE identity IN " OF_PERSON},
        {.key = "code_tries", .sql = "SELECT * FROM code_try WHERE identity IN " OF_PERSON},
        {.key = "messages", .sql = "SELECT * FROM message WHERE identity IN " OF_PERSON " ORDER BY at, n"},
        {.key = "asked", .sql = "SELECT * FROM question WHERE identity IN " OF_PERSON " ORDER BY asked_at"},
        {.key = "handoffs", .sql = "SELECT * FROM handoff WHERE call IS NULL AND (dest IN " OF_PERSON
                                   " OR channel || ':' || dest IN " OF_PERSON ")"},
        {.key = "calls", .sql = "SELECT * FROM call WHERE person=?1 AND person<>'' ORDER BY id",
         .more = put_of_call},
        {.key = NULL},
    };
    struct buf *b = &a->out;
    struct id person;
    int rc = people_resolve(s, a->id, &person);

    if (rc < 0)
        return rc;
    jw_open(b, '{');
    jw_kint(b, "exported_at", (int64_t)clock_wall_ms());
    jw_key(b, "person");
    rc = people_put(s, str_of(person.text), b);
    if (rc == 0)
        rc = put_tables(s, tables, str_of(person.text), b);
    jw_close(b, '}');
    return rc;
}

int people_export(struct store *s, struct str id, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = export_run, .id = id}, fn, arg);
}
