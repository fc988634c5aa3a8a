/* SPDX-License-Identifier: MIT */
#include "memory/schema.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Version 1.
 *
 * claim: hashes of the provider's call id and of the SIP Call-ID, so that nothing of a forgotten call can be
 *   read from them. Appended to and never changed; see claim_index.h.
 * call: WITHOUT ROWID, since ids sort by time: a new call is appended to one tree. The partial index
 *   holds only the calls that are not over, for recovery; it stays as small as the number of live calls.
 * turn: has a rowid, because turns of one position are told in the order in which they came.
 */
static const char to_1[] =
    "CREATE TABLE claim("
    " n INTEGER PRIMARY KEY,"
    " at INTEGER NOT NULL,"
    " call TEXT NOT NULL,"
    " openai BLOB NOT NULL,"
    " sip BLOB NOT NULL"
    ");"
    "CREATE TABLE call("
    " id TEXT NOT NULL PRIMARY KEY,"
    " owner TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " openai_call_id TEXT NOT NULL,"
    " sip_call_id TEXT NOT NULL,"
    " direction TEXT NOT NULL,"
    " number TEXT NOT NULL,"
    " number_kind TEXT NOT NULL,"
    " level TEXT NOT NULL,"
    " reason TEXT NOT NULL,"
    " detail TEXT NOT NULL,"
    " session_key TEXT NOT NULL,"
    " model TEXT NOT NULL,"
    " voice TEXT NOT NULL,"
    " usage TEXT NOT NULL,"
    " sip_status INTEGER NOT NULL,"
    " received_at INTEGER NOT NULL,"
    " accepted_at INTEGER NOT NULL,"
    " live_at INTEGER NOT NULL,"
    " ended_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX call_open ON call(owner) WHERE state <> 'over';"
    "CREATE TABLE turn("
    " n INTEGER PRIMARY KEY,"
    " call TEXT NOT NULL REFERENCES call(id) ON DELETE CASCADE,"
    " item_id TEXT NOT NULL,"
    " pos INTEGER NOT NULL,"
    " who TEXT NOT NULL,"
    " text TEXT NOT NULL,"
    " interrupted INTEGER NOT NULL,"
    " audio_ms INTEGER NOT NULL,"
    " heard_ms INTEGER NOT NULL,"
    " at INTEGER NOT NULL,"
    " UNIQUE(call, item_id)"
    ");"
    "CREATE TABLE hop("
    " call TEXT NOT NULL REFERENCES call(id) ON DELETE CASCADE,"
    " seq INTEGER NOT NULL,"
    " at INTEGER NOT NULL,"
    " hop TEXT NOT NULL,"
    " detail TEXT NOT NULL,"
    " PRIMARY KEY(call, seq)"
    ") WITHOUT ROWID;"
    "CREATE TABLE tool_run("
    " n INTEGER PRIMARY KEY,"
    " call TEXT NOT NULL REFERENCES call(id) ON DELETE CASCADE,"
    " tool_call TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " arguments TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " output TEXT NOT NULL,"
    " at INTEGER NOT NULL,"
    " UNIQUE(call, tool_call)"
    ");";

/* steps[v] leads from version v to v + 1. */
static const char *const steps[STORE_SCHEMA] = {to_1};

static int sqlite_err(struct sqlite3 *db, int rc, const char *what, struct err *e)
{
    return err_set(e, ERR_SQLITE - (rc & 0xff), "%s: %s", what, sqlite3_errmsg(db));
}

/* One number from one row. */
static int read_int(struct sqlite3 *db, const char *sql, int *out, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int(st, 0);
    (void)sqlite3_finalize(st);
    return rc == SQLITE_ROW ? 0 : sqlite_err(db, rc, "cannot read the schema version", e);
}

int schema_version(struct sqlite3 *db, int *version, struct err *e)
{
    return read_int(db, "PRAGMA user_version", version, e);
}

static int check_origin(struct sqlite3 *db, int version, struct err *e)
{
    int application = 0, tables = 0;
    int rc = read_int(db, "PRAGMA application_id", &application, e);

    if (rc < 0)
        return rc;
    rc = read_int(db, "SELECT count(*) FROM sqlite_master", &tables, e);
    if (rc < 0)
        return rc;
    if (application == SCHEMA_APPLICATION_ID || (version == 0 && application == 0 && tables == 0))
        return 0;
    return err_set(e, ERR_INVALID, "the file is a database of another program");
}

static int walk(struct sqlite3 *db, int to, struct err *e)
{
    char sql[96];
    int version = 0;
    int rc = schema_version(db, &version, e);

    if (rc < 0)
        return rc;
    if (version > STORE_SCHEMA)
        return err_set(e, ERR_NEWER, "the database has version %d, this program knows up to %d",
                       version, STORE_SCHEMA);
    rc = check_origin(db, version, e);
    if (rc < 0 || version >= to)
        return rc;
    for (; version < to; version++) {
        rc = sqlite3_exec(db, steps[version], NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return sqlite_err(db, rc, "cannot change the schema", e);
    }
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   SCHEMA_APPLICATION_ID, version);
    rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sqlite_err(db, rc, "cannot write the schema version", e);
}

int schema_migrate_to(struct sqlite3 *db, int to, struct err *e)
{
    int rc;

    if (to < 0 || to > STORE_SCHEMA)
        return err_set(e, ERR_INVALID, "there is no schema version %d", to);
    rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return sqlite_err(db, rc, "cannot begin the schema change", e);
    rc = walk(db, to, e);
    if (rc == 0) {
        int sq = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);

        if (sq != SQLITE_OK)
            rc = sqlite_err(db, sq, "cannot commit the schema", e);
    }
    if (rc < 0 && !sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int schema_migrate(struct sqlite3 *db, struct err *e)
{
    return schema_migrate_to(db, STORE_SCHEMA, e);
}
