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

/*
 * Version 2: persons, and what is owed beyond a call.
 *
 * identity: whose an address is ("voice:+1...", "telegram:777"); every number in `caller` has a row here.
 * link: which of them were said to be one person, and by whom: edges, of which identity.person is the
 *   result, so that a link can be taken back without touching what another one says.
 * call.person: '' for a withheld number and where nobody asked.
 * turn_fts, call.words: words of the turns of calls that are over, see words.h.
 * code_try: wrong linking codes of the last hour.
 */
static const char to_2_people[] =
    "CREATE TABLE person("
    " id TEXT NOT NULL PRIMARY KEY,"
    " name TEXT NOT NULL DEFAULT '',"
    " language TEXT NOT NULL DEFAULT '',"
    " notes TEXT NOT NULL DEFAULT '',"
    " made_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE TABLE caller("
    " number TEXT NOT NULL PRIMARY KEY,"
    " first_seen INTEGER NOT NULL,"
    " last_seen INTEGER NOT NULL,"
    " calls INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX caller_seen ON caller(last_seen);"
    "CREATE TABLE identity("
    " identity TEXT NOT NULL PRIMARY KEY,"
    " person TEXT NOT NULL REFERENCES person(id),"
    " at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX identity_person ON identity(person);"
    "CREATE TABLE link("
    " a TEXT NOT NULL,"
    " b TEXT NOT NULL,"
    " source TEXT NOT NULL,"
    " at INTEGER NOT NULL,"
    " PRIMARY KEY(a, b, source)"
    ") WITHOUT ROWID;"
    "CREATE INDEX link_b ON link(b);"
    "CREATE TABLE link_code("
    " identity TEXT NOT NULL PRIMARY KEY,"
    " salt BLOB NOT NULL,"
    " hash BLOB NOT NULL,"
    " call TEXT NOT NULL,"
    " until INTEGER NOT NULL,"
    " tries INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE TABLE code_try("
    " identity TEXT NOT NULL,"
    " at INTEGER NOT NULL"
    ");"
    "CREATE TABLE message("
    " n INTEGER PRIMARY KEY,"
    " identity TEXT NOT NULL,"
    " session_key TEXT NOT NULL,"
    " from_them INTEGER NOT NULL,"
    " text TEXT NOT NULL,"
    " at INTEGER NOT NULL"
    ");"
    "CREATE INDEX message_identity ON message(identity, n);";

static const char to_2_owed[] =
    "CREATE TABLE outbox("
    " id TEXT NOT NULL PRIMARY KEY,"
    " call TEXT REFERENCES call(id) ON DELETE CASCADE,"
    " owner TEXT NOT NULL,"
    " kind TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " payload TEXT NOT NULL,"
    " error TEXT NOT NULL,"
    " attempts INTEGER NOT NULL,"
    " made_at INTEGER NOT NULL,"
    " due_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX outbox_call ON outbox(call);"
    "CREATE INDEX outbox_open ON outbox(due_at)"
    " WHERE state NOT IN ('done','failed','uncertain');"
    "CREATE TABLE handoff("
    " id TEXT NOT NULL PRIMARY KEY,"
    " call TEXT REFERENCES call(id) ON DELETE CASCADE,"
    " channel TEXT NOT NULL,"
    " dest TEXT NOT NULL,"
    " reason TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " error TEXT NOT NULL,"
    " at INTEGER NOT NULL,"
    " sent_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX handoff_call ON handoff(call);"
    "CREATE INDEX handoff_at ON handoff(at);"
    "ALTER TABLE call ADD COLUMN person TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE call ADD COLUMN summary TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE call ADD COLUMN outcome TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE call ADD COLUMN words INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX call_person ON call(person) WHERE person<>'';";

static const char to_2_search[] =
    "CREATE VIRTUAL TABLE turn_fts USING fts5(text, content='turn', content_rowid='n',"
    " tokenize='unicode61 remove_diacritics 2');"
    "INSERT INTO turn_fts(rowid, text) SELECT t.n, t.text FROM turn t JOIN call c ON c.id=t.call"
    " WHERE c.state='over';"
    "UPDATE call SET words=1 WHERE state='over';";

/* Every number that called before becomes a caller, and a person of its own. */
static const char to_2_data[] =
    "INSERT INTO caller SELECT number, min(received_at), max(received_at), count(*) FROM call"
    " WHERE number_kind='e164' AND number<>'' GROUP BY number;"
    "CREATE TEMP TABLE made AS SELECT number, 'per_' || lower(hex(randomblob(13))) AS person, first_seen"
    " FROM caller;"
    "INSERT INTO person(id, made_at) SELECT person, first_seen FROM temp.made;"
    "INSERT INTO identity SELECT 'voice:' || number, person, first_seen FROM temp.made;"
    "UPDATE call SET person=coalesce((SELECT person FROM identity WHERE identity='voice:' || number), '');"
    "DROP TABLE temp.made;";

/*
 * Version 3: the telephone's side of calls, see lines.h. Whose a line is, is said by its call's row.
 *
 * leg_ref: what a leg of the model is known by when it comes in; used once. leg_sid: the carrier's names of legs.
 * idem: the asker's key; the same key with another body is refused.
 */
static const char to_3[] =
    "CREATE TABLE line("
    " call TEXT NOT NULL PRIMARY KEY REFERENCES call(id) ON DELETE CASCADE,"
    " carrier TEXT NOT NULL,"
    " ref TEXT NOT NULL UNIQUE,"
    " phase TEXT NOT NULL,"
    " outcome TEXT NOT NULL,"
    " code TEXT NOT NULL,"
    " detail TEXT NOT NULL,"
    " number TEXT NOT NULL,"
    " own TEXT NOT NULL,"
    " machine TEXT NOT NULL,"
    " spec TEXT NOT NULL,"
    " idem TEXT NOT NULL,"
    " idem_hash TEXT NOT NULL,"
    " attempts INTEGER NOT NULL,"
    " made_at INTEGER NOT NULL,"
    " due_at INTEGER NOT NULL,"
    " answered_at INTEGER NOT NULL,"
    " ended_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX line_open ON line(call) WHERE phase<>'completed';"
    "CREATE UNIQUE INDEX line_idem ON line(idem) WHERE idem<>'';"
    "CREATE TABLE leg_ref("
    " ref TEXT NOT NULL PRIMARY KEY,"
    " call TEXT NOT NULL REFERENCES call(id) ON DELETE CASCADE,"
    " used INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX leg_ref_call ON leg_ref(call);"
    "CREATE TABLE leg_sid("
    " sid TEXT NOT NULL PRIMARY KEY,"
    " call TEXT NOT NULL REFERENCES call(id) ON DELETE CASCADE"
    ") WITHOUT ROWID;"
    "CREATE INDEX leg_sid_call ON leg_sid(call);"
    "CREATE TABLE action("
    " id TEXT NOT NULL PRIMARY KEY,"
    " call TEXT NOT NULL REFERENCES call(id) ON DELETE CASCADE,"
    " kind TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " error TEXT NOT NULL,"
    " idem TEXT NOT NULL,"
    " idem_hash TEXT NOT NULL,"
    " body TEXT NOT NULL,"
    " at INTEGER NOT NULL,"
    " done_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX action_call ON action(call);"
    "CREATE UNIQUE INDEX action_idem ON action(call, idem) WHERE idem<>'';"
    "CREATE TABLE recording("
    " call TEXT NOT NULL PRIMARY KEY REFERENCES call(id) ON DELETE CASCADE,"
    " sid TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " path TEXT NOT NULL,"
    " sha256 TEXT NOT NULL,"
    " type TEXT NOT NULL,"
    " error TEXT NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " at INTEGER NOT NULL,"
    " due_at INTEGER NOT NULL,"
    " channels INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL,"
    " sealed INTEGER NOT NULL,"
    " erase INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE TABLE question("
    " id TEXT NOT NULL PRIMARY KEY,"
    " call TEXT NOT NULL REFERENCES call(id) ON DELETE CASCADE,"
    " text TEXT NOT NULL,"
    " answer TEXT NOT NULL,"
    " identity TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " asked_at INTEGER NOT NULL,"
    " until INTEGER NOT NULL,"
    " answered_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE INDEX question_call ON question(call);";

/* Version 4: what calls cost, see charge.h. No reference to the call: a day's sum outlives it. */
static const char to_4[] =
    "CREATE TABLE charge("
    " call TEXT NOT NULL,"
    " day INTEGER NOT NULL,"
    " number TEXT NOT NULL,"
    " response TEXT NOT NULL,"
    " nano INTEGER NOT NULL,"
    " PRIMARY KEY(call, day)"
    ") WITHOUT ROWID;"
    "CREATE INDEX charge_day ON charge(day);";

/*
 * Version 5. Whatever takes a recording's row away, a call that is forgotten or expired too, leaves behind what must
 * be deleted: the file on the disk and what the carrier has.
 */
static const char to_5[] =
    "ALTER TABLE recording DROP COLUMN erase;"
    "CREATE INDEX recording_open ON recording(call) WHERE state='fetching';"
    "CREATE TABLE recording_owed("
    " n INTEGER PRIMARY KEY,"
    " sid TEXT NOT NULL,"
    " path TEXT NOT NULL,"
    " made_at INTEGER NOT NULL,"
    " due_at INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL"
    ");"
    "CREATE TRIGGER recording_gone AFTER DELETE ON recording WHEN old.state<>'deleted' BEGIN"
    " INSERT INTO recording_owed(sid, path, made_at, due_at, attempts) VALUES(old.sid, old.path, old.at, 0, 0);"
    " END;"
    "CREATE TRIGGER recording_dropped AFTER UPDATE OF state ON recording"
    " WHEN new.state='deleted' AND old.state<>'deleted' BEGIN"
    " INSERT INTO recording_owed(sid, path, made_at, due_at, attempts) VALUES(old.sid, old.path, old.at, 0, 0);"
    " END;";

/* steps[v] leads from version v to v + 1. */
static const char *const steps[STORE_SCHEMA][4] = {
    {to_1}, {to_2_people, to_2_owed, to_2_search, to_2_data}, {to_3}, {to_4}, {to_5}};

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
        for (int i = 0; i < 4 && steps[version][i] != NULL; i++) {
            rc = sqlite3_exec(db, steps[version][i], NULL, NULL, NULL);
            if (rc != SQLITE_OK)
                return sqlite_err(db, rc, "cannot change the schema", e);
        }
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
