/* SPDX-License-Identifier: MIT */
#include "memory/schema.h"
#include "tests/unit/t.h"

#include <sqlite3.h>

static sqlite3 *fresh(void)
{
    sqlite3 *db = NULL;

    T_MUST(sqlite3_open(":memory:", &db) == SQLITE_OK);
    return db;
}

static void exec(sqlite3 *db, const char *sql)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    if (rc != SQLITE_OK)
        printf("  %s: %s\n", sql, sqlite3_errmsg(db));
    T_MUST(rc == SQLITE_OK);
}

static int number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int v = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int(st, 0);
    (void)sqlite3_finalize(st);
    return v;
}

/* The whole schema as one text, to compare two databases. */
static char *shape(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    char *out = NULL;

    if (sqlite3_prepare_v2(db, "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master"
                               " WHERE sql IS NOT NULL ORDER BY name)", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0))
        out = strdup((const char *)sqlite3_column_text(st, 0));
    (void)sqlite3_finalize(st);
    return out;
}

static void empty_becomes_current(void)
{
    sqlite3 *db = fresh();
    struct err e = {0};
    int v = -1;

    T_OK(schema_version(db, &v, &e));
    T_EQ(v, 0);
    T_OK(schema_migrate(db, &e));
    T_OK(schema_version(db, &v, &e));
    T_EQ(v, STORE_SCHEMA);
    T_EQ(number(db, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    T_EQ(number(db, "SELECT count(*) FROM sqlite_master WHERE type='table' AND name IN"
                    " ('claim','call','turn','hop','tool_run')"), 5);
    T_TRUE(sqlite3_get_autocommit(db));
    (void)sqlite3_close(db);
}

/* From each version there ever was, with a row in it, to the newest: same shape, row still there. */
static void every_version_migrates(void)
{
    sqlite3 *want = fresh();
    char *whole, *got;
    struct err e = {0};

    T_OK(schema_migrate(want, &e));
    whole = shape(want);
    T_NOT_NULL(whole);
    for (int from = 0; from <= STORE_SCHEMA; from++) {
        sqlite3 *db = fresh();

        T_OK(schema_migrate_to(db, from, &e));
        if (from >= 1)
            exec(db, "INSERT INTO claim(at, call, openai, sip) VALUES(5, 'call_x', x'01', x'02');"
                     "INSERT INTO hop(call, seq, at, hop, detail) VALUES('call_x', 1, 2, 'h', 'd')");
        T_OK(schema_migrate(db, &e));
        got = shape(db);
        T_STR_EQ(got, whole);
        T_EQ(number(db, "PRAGMA user_version"), STORE_SCHEMA);
        T_EQ(number(db, "SELECT count(*) FROM claim"), from >= 1);
        T_EQ(number(db, "SELECT count(*) FROM hop"), from >= 1);
        T_OK(schema_migrate(db, &e)); /* once more changes nothing */
        T_EQ(number(db, "SELECT count(*) FROM claim"), from >= 1);
        free(got);
        (void)sqlite3_close(db);
    }
    free(whole);
    (void)sqlite3_close(want);
}

/* Calls and turns of version 1 become callers, persons and words that are found. */
static void version_1_keeps_its_calls(void)
{
    sqlite3 *db = fresh();
    struct err e = {0};

    T_OK(schema_migrate_to(db, 1, &e));
    exec(db, "INSERT INTO call VALUES('call_a','own','over','','','inbound','+15550000001','e164','','','','','',"
             "'','',0,100,0,0,200), ('call_b','own','over','','','inbound','+15550000001','e164','','','','','',"
             "'','',0,300,0,0,400), ('call_c','own','live','','','inbound','+15550000002','e164','','','','','',"
             "'','',0,350,0,0,0), ('call_d','own','over','','','inbound','','anonymous','','','','','',"
             "'','',0,360,0,0,370);"
             "INSERT INTO turn(call,item_id,pos,who,text,interrupted,audio_ms,heard_ms,at) VALUES"
             " ('call_a','i',1,'caller','blue',0,0,0,1), ('call_c','i',1,'caller','blue',0,0,0,1)");
    T_OK(schema_migrate(db, &e));
    T_EQ(number(db, "SELECT count(*) FROM call"), 4);
    T_EQ(number(db, "SELECT count(*) FROM caller"), 2);
    T_EQ(number(db, "SELECT calls FROM caller WHERE number='+15550000001' AND first_seen=100"
                    " AND last_seen=300"), 2);
    T_EQ(number(db, "SELECT count(*) FROM person p JOIN identity i ON i.person=p.id"
                    " WHERE length(p.id)=30"), 2);
    T_EQ(number(db, "SELECT count(*) FROM call c JOIN identity i ON i.person=c.person"
                    " AND i.identity='voice:' || c.number"), 3);
    T_EQ(number(db, "SELECT count(*) FROM call WHERE person=''"), 1);
    T_EQ(number(db, "SELECT count(*) FROM call WHERE words=1"), 3);
    T_EQ(number(db, "SELECT count(*) FROM turn_fts WHERE turn_fts MATCH 'blue'"), 1);
    T_EQ(number(db, "SELECT count(*) FROM sqlite_temp_master"), 0);
    T_EQ(number(db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    exec(db, "INSERT INTO turn_fts(turn_fts) VALUES('integrity-check')");
    (void)sqlite3_close(db);
}

static void newer_is_refused(void)
{
    sqlite3 *db = fresh();
    struct err e = {0};
    char sql[80];

    T_OK(schema_migrate(db, &e));
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%d", STORE_SCHEMA + 1);
    exec(db, sql);
    T_EQ(schema_migrate(db, &e), ERR_NEWER);
    T_HAS(e.text, "version");
    T_EQ(number(db, "PRAGMA user_version"), STORE_SCHEMA + 1);
    T_TRUE(sqlite3_get_autocommit(db));
    (void)sqlite3_close(db);
}

static void anothers_file_is_refused(void)
{
    sqlite3 *db = fresh();
    struct err e = {0};

    exec(db, "CREATE TABLE cake(a)");
    T_EQ(schema_migrate(db, &e), ERR_INVALID);
    T_EQ(number(db, "SELECT count(*) FROM sqlite_master"), 1);
    (void)sqlite3_close(db);
    db = fresh();
    exec(db, "PRAGMA application_id=7");
    T_EQ(schema_migrate(db, &e), ERR_INVALID);
    T_EQ(number(db, "PRAGMA user_version"), 0);
    (void)sqlite3_close(db);
}

/* A step that fails half way leaves nothing of it. */
static void a_failing_step_is_undone(void)
{
    sqlite3 *db = fresh();
    struct err e = {0};
    char sql[120];

    /* Ours, of version 0, but a later table of the step is there already. */
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; CREATE TABLE tool_run(x)",
                   SCHEMA_APPLICATION_ID);
    exec(db, sql);
    T_TRUE(schema_migrate(db, &e) <= ERR_SQLITE);
    T_HAS(e.text, "tool_run");
    T_EQ(number(db, "SELECT count(*) FROM sqlite_master"), 1);
    T_EQ(number(db, "PRAGMA user_version"), 0);
    T_TRUE(sqlite3_get_autocommit(db));
    (void)sqlite3_close(db);
}

static void a_wrong_target_is_refused(void)
{
    sqlite3 *db = fresh();
    struct err e = {0};

    T_EQ(schema_migrate_to(db, -1, &e), ERR_INVALID);
    T_EQ(schema_migrate_to(db, STORE_SCHEMA + 1, &e), ERR_INVALID);
    T_OK(schema_migrate_to(db, 0, NULL));
    T_EQ(number(db, "SELECT count(*) FROM sqlite_master"), 0);
    (void)sqlite3_close(db);
}

/* What hangs on a call goes with it; a row without its call cannot be. */
static void rows_hang_on_their_call(void)
{
    sqlite3 *db = fresh();
    struct err e = {0};

    T_OK(schema_migrate(db, &e));
    exec(db, "PRAGMA foreign_keys=ON");
    T_NE(sqlite3_exec(db, "INSERT INTO hop VALUES('call_a', 1, 1, 'h', 'd')", NULL, NULL, NULL),
         SQLITE_OK);
    exec(db, "INSERT INTO call VALUES('call_a','own','live','','','','','','','','','','','','',0,"
             "1,0,0,0,'','','',0);"
             "INSERT INTO hop VALUES('call_a', 1, 1, 'h', 'd');"
             "INSERT INTO turn(call,item_id,pos,who,text,interrupted,audio_ms,heard_ms,at)"
             " VALUES('call_a','i',1,'caller','t',0,0,0,1);"
             "INSERT INTO tool_run(call,tool_call,name,arguments,state,output,at)"
             " VALUES('call_a','t','n','{}','s','',1);"
             "DELETE FROM call");
    T_EQ(number(db, "SELECT (SELECT count(*) FROM hop) + (SELECT count(*) FROM turn) +"
                    " (SELECT count(*) FROM tool_run)"), 0);
    (void)sqlite3_close(db);
}

int main(void)
{
    T_RUN(empty_becomes_current);
    T_RUN(every_version_migrates);
    T_RUN(version_1_keeps_its_calls);
    T_RUN(newer_is_refused);
    T_RUN(anothers_file_is_refused);
    T_RUN(a_failing_step_is_undone);
    T_RUN(a_wrong_target_is_refused);
    T_RUN(rows_hang_on_their_call);
    return T_DONE();
}
