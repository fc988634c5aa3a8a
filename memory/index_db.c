/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define INDEX_SCHEMA 1
#define RETRY_MS 10000u
#define INSTANCES 8u

/*
 * doc: blocks of files; talk: blocks that belong to a call, its own text (file 0) or a section about it in
 * a file, with the person whose call it is as a column to be searched by. The search tables hold no text
 * of their own: what is deleted from them is told to them again.
 */
static const char schema[] =
    "CREATE TABLE place(workspace TEXT);"
    "CREATE TABLE file(id INTEGER PRIMARY KEY, path TEXT UNIQUE, mtime INTEGER, ctime INTEGER, size INTEGER,"
    " inode INTEGER, skip INTEGER, at INTEGER);"
    "CREATE TABLE doc(id INTEGER PRIMARY KEY, file INTEGER, line INTEGER, lines INTEGER, head TEXT,"
    " text TEXT);"
    "CREATE INDEX doc_file ON doc(file);"
    "CREATE TABLE talk(id INTEGER PRIMARY KEY, call TEXT, person TEXT, file INTEGER, line INTEGER,"
    " lines INTEGER, head TEXT, text TEXT, at INTEGER);"
    "CREATE INDEX talk_file ON talk(file) WHERE file > 0;"
    "CREATE INDEX talk_call ON talk(call);"
    "CREATE INDEX talk_person ON talk(person);"
    "CREATE TABLE call(call TEXT PRIMARY KEY, person TEXT, at INTEGER, hash INTEGER) WITHOUT ROWID;"
    "CREATE INDEX call_person ON call(person);"
    "CREATE VIRTUAL TABLE doc_fts USING fts5(head, text, content='', columnsize=0, prefix='2 3',"
    " tokenize='unicode61 remove_diacritics 2');"
    "INSERT INTO doc_fts(doc_fts, rank) VALUES('hashsize', 4194304);"
    "CREATE VIRTUAL TABLE talk_fts USING fts5(head, text, person, content='', columnsize=0, prefix='2 3',"
    " tokenize='unicode61 remove_diacritics 2');";

static const char *const queries[Q_N] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_FILES] = "SELECT id, path, mtime, ctime, size, inode, skip FROM file",
    [Q_FILE_PUT] = "INSERT INTO file(path, mtime, ctime, size, inode, skip, at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                   " ON CONFLICT(path) DO UPDATE SET mtime=?2, ctime=?3, size=?4, inode=?5, skip=?6, at=?7"
                   " RETURNING id",
    [Q_FILE_DROP] = "DELETE FROM file WHERE id=?1",
    [Q_DOC_OF] = "SELECT id, head, text, '', line, lines FROM doc WHERE file=?1 AND id>?2 ORDER BY id",
    [Q_DOC_DROP] = "DELETE FROM doc WHERE id=?1",
    [Q_DOC_PUT] = "INSERT INTO doc(file, line, lines, head, text) VALUES(?1, ?2, ?3, ?4, ?5)",
    [Q_DOC_FTS_PUT] = "INSERT INTO doc_fts(rowid, head, text) VALUES(?1, ?2, ?3)",
    [Q_DOC_FTS_DROP] = "INSERT INTO doc_fts(doc_fts, rowid, head, text) VALUES('delete', ?1, ?2, ?3)",
    [Q_TALK_OF_FILE] = "SELECT id, head, text, person, line, lines, call, at FROM talk WHERE file=?1 AND file > 0"
                       " AND id>?2 ORDER BY id",
    [Q_TALK_OF_CALL] = "SELECT id, head, text, person FROM talk WHERE call=?1 AND file=0",
    [Q_TALK_OF_PERSON] = "SELECT id, head, text, person FROM talk WHERE person=?1 LIMIT 500",
    [Q_TALK_OLD] = "SELECT id, head, text, person FROM talk WHERE at<?1 AND file=0 LIMIT 500",
    [Q_TALK_DROP] = "DELETE FROM talk WHERE id=?1",
    [Q_TALK_PUT] = "INSERT INTO talk(file, line, lines, head, text, call, person, at)"
                   " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [Q_TALK_FTS_PUT] = "INSERT INTO talk_fts(rowid, head, text, person) VALUES(?1, ?2, ?3, ?4)",
    [Q_TALK_FTS_DROP] = "INSERT INTO talk_fts(talk_fts, rowid, head, text, person)"
                        " VALUES('delete', ?1, ?2, ?3, ?4)",
    [Q_TALK_OWN] = "UPDATE talk SET person=?2 WHERE id=?1",
    [Q_CALL_GET] = "SELECT person, at, hash FROM call WHERE call=?1",
    [Q_CALL_PUT] = "INSERT OR REPLACE INTO call(call, person, at, hash) VALUES(?1, ?2, ?3, ?4)",
    [Q_CALLS_DROP] = "DELETE FROM call WHERE person=?1",
    [Q_CALLS_SOME] = "SELECT max(call) FROM (SELECT call FROM call WHERE call>?1 ORDER BY call LIMIT 500)",
    [Q_CALLS_OLD_DROP] = "DELETE FROM call WHERE call>?1 AND call<=?2 AND at<?3"
                         " AND NOT EXISTS(SELECT 1 FROM talk t WHERE t.call=call.call)",
    [Q_DOC_ROWS] = "SELECT rowid FROM doc_fts WHERE doc_fts MATCH ?1 ORDER BY rowid DESC LIMIT ?2",
    [Q_TALK_ROWS] = "SELECT rowid FROM talk_fts WHERE talk_fts MATCH ?1 ORDER BY rowid DESC LIMIT ?2",
    [Q_DOC_GET] = "SELECT f.path, d.line, d.lines, d.head, d.text, f.at, '', '' FROM doc d"
                  " JOIN file f ON f.id=d.file WHERE d.id=?1",
    [Q_TALK_GET] = "SELECT f.path, t.line, t.lines, t.head, t.text, t.at, t.call, t.person FROM talk t"
                   " LEFT JOIN file f ON f.id=t.file WHERE t.id=?1",
    [Q_DOC_MERGE] = "INSERT INTO doc_fts(doc_fts, rank) VALUES('merge', ?1)",
    [Q_TALK_MERGE] = "INSERT INTO talk_fts(talk_fts, rank) VALUES('merge', ?1)",
    [Q_DOC_TOP] = "SELECT max(id) FROM doc",
};

uint64_t index_hash(struct str s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

/* ---- Opening. ---- */

struct sqlite3_stmt *index_stmt(struct index *ix, unsigned which)
{
    if (ix->db == NULL)
        return NULL;
    if (ix->stmts[which] == NULL)
        (void)sqlite3_prepare_v3(ix->db, queries[which], -1, SQLITE_PREPARE_PERSISTENT, &ix->stmts[which], NULL);
    if (ix->stmts[which] != NULL) {
        (void)sqlite3_reset(ix->stmts[which]);
        (void)sqlite3_clear_bindings(ix->stmts[which]);
    }
    return ix->stmts[which];
}

int index_db_step(struct index *ix, struct sqlite3_stmt *st)
{
    int rc = st != NULL ? sqlite3_step(st) : ix->db != NULL ? sqlite3_errcode(ix->db) : SQLITE_CANTOPEN;

    if (st != NULL)
        (void)sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc == SQLITE_OK ? SQLITE_ERROR : rc;
}

/* Several instances may live in one state directory, such as over a reload: each has a file of its own. */
static int lock_file(const char *state_dir, unsigned i, char db_path[INDEX_DB_PATH])
{
    char path[INDEX_DB_PATH + 8];
    int fd;

    if (i == 0)
        (void)snprintf(db_path, INDEX_DB_PATH, "%s/index.db", state_dir);
    else
        (void)snprintf(db_path, INDEX_DB_PATH, "%s/index-%u.db", state_dir, i);
    (void)snprintf(path, sizeof path, "%s.lock", db_path);
    fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    (void)close(fd);
    return -EBUSY;
}

static bool choose_file(struct index *ix)
{
    (void)mkdir(ix->state_dir, 0700);
    for (unsigned i = 0; i < INSTANCES; i++) {
        ix->lock_fd = lock_file(ix->state_dir, i, ix->db_path);
        if (ix->lock_fd != -EBUSY)
            return ix->lock_fd >= 0;
        ix->lock_fd = -1;
    }
    return false;
}

static void disconnect(struct index *ix)
{
    for (unsigned i = 0; i < INDEX_STMTS; i++) {
        (void)sqlite3_finalize(ix->stmts[i]);
        ix->stmts[i] = NULL;
    }
    if (ix->db != NULL)
        (void)sqlite3_close_v2(ix->db);
    ix->db = NULL;
    ix->in_tx = false;
}

static void delete_files(const char *db_path)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char path[INDEX_DB_PATH + 16];

    for (unsigned i = 0; i < sizeof tails / sizeof *tails; i++) {
        (void)snprintf(path, sizeof path, "%s%s", db_path, tails[i]);
        (void)unlink(path);
    }
}

void index_discard(const char *state_dir)
{
    char db_path[INDEX_DB_PATH];

    for (unsigned i = 0; i < INSTANCES; i++) {
        int fd = lock_file(state_dir, i, db_path);

        if (fd < 0)
            continue;
        delete_files(db_path);
        (void)close(fd);
    }
}

/* A question must not run on for ever, whatever it is. */
static int on_progress(void *arg)
{
    struct index *ix = arg;

    return ix->query_until_ms != 0 && clock_mono_ms() >= ix->query_until_ms;
}

static int connect_db(struct index *ix)
{
    int fd = open(ix->db_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), rc;

    if (fd < 0)
        return SQLITE_CANTOPEN;
    (void)fchmod(fd, 0600);
    (void)close(fd);
    rc = sqlite3_open_v2(ix->db_path, &ix->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                         SQLITE_OPEN_PRIVATECACHE, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_busy_timeout(ix->db, 200);
    (void)sqlite3_db_config(ix->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(ix->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_progress_handler(ix->db, 20000, on_progress, ix);
    /* synchronous is off: after a loss of power the index may be lost, which is what it is allowed. */
    return sqlite3_exec(ix->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA secure_delete=ON;"
                        "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384;"
                        "PRAGMA journal_size_limit=8388608; PRAGMA cell_size_check=ON", NULL, NULL, NULL);
}

static int ask(struct index *ix, const char *sql, char *out, size_t cap)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(ix->db, sql, -1, &st, NULL);
    const char *text;

    out[0] = '\0';
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        text = (const char *)sqlite3_column_text(st, 0);
        (void)snprintf(out, cap, "%s", text ? text : "");
    }
    (void)sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Whether it is ours, of this version and of this workspace. */
static bool fits(struct index *ix)
{
    char text[PATH_MAX];

    if (ask(ix, "PRAGMA user_version", text, sizeof text) != SQLITE_OK || text[0] != '0' + INDEX_SCHEMA ||
        text[1] != '\0')
        return false;
    return ask(ix, "SELECT workspace FROM place", text, sizeof text) == SQLITE_OK &&
           strcmp(text, ix->workspace) == 0;
}

static int build(struct index *ix)
{
    sqlite3_stmt *st = NULL;
    char version[40];
    int rc = sqlite3_exec(ix->db, "BEGIN", NULL, NULL, NULL);

    (void)snprintf(version, sizeof version, "PRAGMA user_version=%d", INDEX_SCHEMA);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(ix->db, schema, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(ix->db, "INSERT INTO place VALUES(?1)", -1, &st, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_text(st, 1, ix->workspace, -1, SQLITE_STATIC);
        rc = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(ix->db);
    }
    (void)sqlite3_finalize(st);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(ix->db, version, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(ix->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}

static void set_begun(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
    ix->stats.begun++;
    pthread_mutex_unlock(&ix->lock);
    if (ix->wake != NULL)
        ix->wake(ix->ctx);
}

void index_db_open(struct index *ix)
{
    int rc = SQLITE_CANTOPEN;

    for (unsigned i = 0; i < 3; i++)
        if (ix->fold[i].max_bytes == 0)
            buf_init(&ix->fold[i], 8 * INDEX_FILE_BYTES);
    ix->db_retry_ms = 0;
    if (ix->lock_fd < 0 && !choose_file(ix))
        goto fail;
    index_files_unstore(ix, 0, clock_mono_ms());
    ix->rescan = true;
    rc = connect_db(ix);
    if (rc == SQLITE_OK && fits(ix) && index_db_load_files(ix) == 0)
        return;
    disconnect(ix);
    /* A disk that is full or a lack of memory is no reason to throw it away. */
    if (rc != SQLITE_OK && rc != SQLITE_NOTADB && rc != SQLITE_CORRUPT)
        goto fail;
    delete_files(ix->db_path);
    rc = connect_db(ix);
    if (rc == SQLITE_OK)
        rc = build(ix);
    if (rc == SQLITE_OK) {
        index_files_unstore(ix, 0, clock_mono_ms());
        set_begun(ix);
        return;
    }
    disconnect(ix);
fail:
    if (!ix->db_said)
        log_warn(ix->log, "memory cannot be searched: no database can be made in %s (%s); it is tried again",
                 ix->state_dir, sqlite3_errstr(rc));
    ix->db_said = true;
    ix->db_retry_ms = clock_mono_ms() + RETRY_MS;
}

void index_db_close(struct index *ix)
{
    (void)index_db_commit(ix);
    disconnect(ix);
    mem_free(ix->tally);
    mem_free(ix->tally_used);
    for (unsigned i = 0; i < 3; i++)
        buf_free(&ix->fold[i]);
    if (ix->lock_fd >= 0)
        (void)close(ix->lock_fd);
    ix->lock_fd = -1;
}

/* ---- Failures. ---- */

int index_db_fail(struct index *ix, int sqlite_rc)
{
    int rc = sqlite_rc & 0xff;
    uint64_t now = clock_mono_ms();

    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return 0;
    if (rc == SQLITE_INTERRUPT)
        return ERR_TIMEOUT;
    if ((rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) && (ix->rebuilt_ms == 0 || now - ix->rebuilt_ms > RETRY_MS)) {
        log_warn(ix->log, "the index %s is damaged; it is made anew", ix->db_path);
        ix->rebuilt_ms = now;
        disconnect(ix);
        delete_files(ix->db_path);
        index_db_open(ix);
        return ERR_CORRUPT;
    }
    if (!ix->db_said)
        log_warn(ix->log, "the index %s cannot be used (%s); it is tried again", ix->db_path,
                 sqlite3_errstr(sqlite_rc));
    ix->db_said = true;
    if (ix->in_tx) {
        (void)index_db_step(ix, index_stmt(ix, Q_ROLLBACK));
        ix->in_tx = false;
        index_files_unstore(ix, ix->tx, now + RETRY_MS);
    }
    return rc == SQLITE_NOMEM ? ERR_NOMEM : ERR_SQLITE - rc;
}

int index_db_begin(struct index *ix)
{
    int rc;

    if (ix->db == NULL)
        return ERR_IO;
    if (ix->in_tx)
        return 0;
    rc = index_db_step(ix, index_stmt(ix, Q_BEGIN));
    if (rc != SQLITE_OK)
        return index_db_fail(ix, rc);
    ix->in_tx = true;
    ix->tx++;
    ix->tx_files = 0;
    ix->tx_since_ms = clock_mono_ms();
    return 0;
}

int index_db_commit(struct index *ix)
{
    int rc;

    if (!ix->in_tx)
        return 0;
    rc = index_db_step(ix, index_stmt(ix, Q_COMMIT));
    if (rc != SQLITE_OK)
        return index_db_fail(ix, rc);
    ix->in_tx = ix->db_said = false;
    return 0;
}

/* ---- Blocks. ---- */

static void bind(sqlite3_stmt *st, int at, struct str s)
{
    (void)sqlite3_bind_text(st, at, s.p != NULL ? s.p : "", (int)s.n, SQLITE_STATIC);
}

static struct str column(sqlite3_stmt *st, int at)
{
    const char *p = (const char *)sqlite3_column_text(st, at);

    return str_make(p, p != NULL ? (size_t)sqlite3_column_bytes(st, at) : 0);
}

/* Tells a search table of a row: Q_..._FTS_PUT or _DROP. */
static int tell(struct index *ix, unsigned which, int64_t id, struct str head, struct str text, struct str person)
{
    sqlite3_stmt *st = index_stmt(ix, which);

    if (index_fold(&ix->fold[0], head) < 0 || index_fold(&ix->fold[1], text) < 0)
        return SQLITE_NOMEM;
    (void)sqlite3_bind_int64(st, 1, id);
    bind(st, 2, buf_str(&ix->fold[0]));
    bind(st, 3, buf_str(&ix->fold[1]));
    if (which == Q_TALK_FTS_PUT || which == Q_TALK_FTS_DROP)
        bind(st, 4, person);
    return index_db_step(ix, st);
}

/* Removes the rows that `of` selects, from both tables. */
int index_db_drop(struct index *ix, sqlite3_stmt *of, bool talk, unsigned *count)
{
    sqlite3_stmt *drop;
    int rc = SQLITE_OK, got = of != NULL ? SQLITE_ROW : SQLITE_ERROR;
    int64_t id;

    while (rc == SQLITE_OK && of != NULL && (got = sqlite3_step(of)) == SQLITE_ROW) {
        id = sqlite3_column_int64(of, 0);
        rc = tell(ix, talk ? Q_TALK_FTS_DROP : Q_DOC_FTS_DROP, id, column(of, 1), column(of, 2), column(of, 3));
        drop = index_stmt(ix, talk ? Q_TALK_DROP : Q_DOC_DROP);
        (void)sqlite3_bind_int64(drop, 1, id);
        if (rc == SQLITE_OK)
            rc = index_db_step(ix, drop);
        if (count != NULL)
            (*count)++;
    }
    if (of != NULL)
        (void)sqlite3_reset(of);
    return rc != SQLITE_OK ? rc : got == SQLITE_DONE ? SQLITE_OK : got;
}

/* All of the file's but those that are kept. */
static int drop_blocks(struct index *ix, int64_t file, const struct index_kept *kept)
{
    sqlite3_stmt *st = index_stmt(ix, Q_DOC_OF);
    int rc;

    (void)sqlite3_bind_int64(st, 1, file);
    (void)sqlite3_bind_int64(st, 2, kept->doc_id);
    rc = index_db_drop(ix, st, false, NULL);
    if (rc != SQLITE_OK)
        return rc;
    st = index_stmt(ix, Q_TALK_OF_FILE);
    (void)sqlite3_bind_int64(st, 1, file);
    (void)sqlite3_bind_int64(st, 2, kept->talk_id);
    return index_db_drop(ix, st, true, NULL);
}

struct putter {
    struct index *ix;
    int64_t file;
    struct str path, call, person;
    uint64_t at;
    struct index_kept kept; /* blocks that stand there already; counted down */
    char head[INDEX_HEAD_BYTES];
    char owner[INDEX_ID_BYTES + 1];
    struct str owner_of; /* owner[] is of this call */
};

static int put_block(void *arg, const struct index_block *b)
{
    struct putter *p = arg;
    bool talk = p->file == 0 || b->call.n > 0;
    struct str call = p->file == 0 ? p->call : b->call, person = p->person, head;
    unsigned *kept = talk ? &p->kept.talk : &p->kept.doc;
    sqlite3_stmt *st;
    int rc;

    if (*kept > 0) {
        --*kept;
        return 0;
    }
    st = index_stmt(p->ix, talk ? Q_TALK_PUT : Q_DOC_PUT);
    if (talk && p->file != 0) {
        if (!str_eq(p->owner_of, call))
            index_call_person(p->ix, call, p->owner);
        p->owner_of = call;
        person = str_of(p->owner);
    }
    head = index_block_head(p->path, b, p->head, sizeof p->head);
    (void)sqlite3_bind_int64(st, 1, p->file);
    (void)sqlite3_bind_int64(st, 2, b->from);
    (void)sqlite3_bind_int64(st, 3, b->lines);
    bind(st, 4, head);
    bind(st, 5, b->text);
    if (talk) {
        bind(st, 6, call);
        bind(st, 7, person);
        (void)sqlite3_bind_int64(st, 8, (int64_t)p->at);
    }
    rc = index_db_step(p->ix, st);
    if (rc == SQLITE_OK)
        rc = tell(p->ix, talk ? Q_TALK_FTS_PUT : Q_DOC_FTS_PUT, sqlite3_last_insert_rowid(p->ix->db), head, b->text,
                  person);
    return rc == SQLITE_OK ? 0 : -rc;
}

/* ---- Files. ---- */

int index_db_load_files(struct index *ix)
{
    sqlite3_stmt *st = index_stmt(ix, Q_FILES);
    struct index_file *f;
    int rc = SQLITE_ERROR;

    while (st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        f = index_file_add(ix, column(st, 1));
        if (f == NULL)
            continue;
        f->id = sqlite3_column_int64(st, 0);
        f->sig = (struct index_sig){sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3),
                                    sqlite3_column_int64(st, 4), (uint64_t)sqlite3_column_int64(st, 5)};
        f->skip = (enum index_skip)sqlite3_column_int(st, 6);
        ix->n_skipped += f->skip != INDEX_OK;
        ix->n_indexed += f->skip == INDEX_OK;
    }
    if (st != NULL)
        (void)sqlite3_reset(st);
    return rc == SQLITE_DONE ? 0 : -1;
}

/* The day of a daily note, else when the file was changed. */
static uint64_t time_of(const struct index_file *f)
{
    struct str path = str_make(f->path, f->path_n);
    int64_t day;

    if (str_find(path, '/') == path.n)
        return 0;
    if (index_day(str_skip(path, 7), &day) && day > 0)
        return (uint64_t)day * 86400000u;
    return f->sig.mtime_ns > 0 ? (uint64_t)(f->sig.mtime_ns / 1000000) : 0;
}

int index_db_put_file(struct index *ix, struct index_file *f, struct str text)
{
    struct putter p = {.ix = ix, .path = str_make(f->path, f->path_n), .at = time_of(f)};
    sqlite3_stmt *st;
    int rc = index_db_begin(ix);

    if (rc < 0)
        return rc;
    f->tx = ix->tx;
    /* A daily note is appended to all day long: what was written before is not told to the search tables again. */
    if (f->id != 0)
        index_db_keep(ix, f->id, p.path, p.at, text, &p.kept);
    rc = f->id != 0 ? drop_blocks(ix, f->id, &p.kept) : SQLITE_OK;
    if (rc != SQLITE_OK)
        return index_db_fail(ix, rc);
    st = index_stmt(ix, Q_FILE_PUT);
    bind(st, 1, p.path);
    (void)sqlite3_bind_int64(st, 2, f->sig.mtime_ns);
    (void)sqlite3_bind_int64(st, 3, f->sig.ctime_ns);
    (void)sqlite3_bind_int64(st, 4, f->sig.size);
    (void)sqlite3_bind_int64(st, 5, (int64_t)f->sig.inode);
    (void)sqlite3_bind_int(st, 6, (int)f->skip);
    (void)sqlite3_bind_int64(st, 7, (int64_t)p.at);
    rc = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;
    if (rc == SQLITE_ROW)
        f->id = sqlite3_column_int64(st, 0);
    rc = rc == SQLITE_ROW ? sqlite3_step(st) : rc;
    if (st != NULL)
        (void)sqlite3_reset(st);
    if (rc != SQLITE_DONE)
        return index_db_fail(ix, rc);
    p.file = f->id;
    rc = index_split(text, INDEX_BLOCK_BYTES, true, put_block, &p);
    return rc < 0 ? index_db_fail(ix, -rc) : 0;
}

int index_db_drop_file(struct index *ix, struct index_file *f)
{
    sqlite3_stmt *st;
    int rc;

    if (f->id == 0)
        return 0;
    rc = index_db_begin(ix);
    if (rc < 0)
        return rc;
    rc = drop_blocks(ix, f->id, &(struct index_kept){0});
    st = index_stmt(ix, Q_FILE_DROP);
    (void)sqlite3_bind_int64(st, 1, f->id);
    if (rc == SQLITE_OK)
        rc = index_db_step(ix, st);
    return index_db_fail(ix, rc);
}

/* ---- Calls. ---- */

/* What is told of the call, or only the sections about it in files, is the person's from now on. */
static int own_blocks(struct index *ix, struct str call, struct str person, bool all)
{
    sqlite3_stmt *st = NULL, *own;
    int got = SQLITE_DONE, rc;
    int64_t id;

    rc = sqlite3_prepare_v2(ix->db, "SELECT id, head, text, person FROM talk WHERE call=?1 AND file >= ?2", -1, &st,
                            NULL);
    if (rc != SQLITE_OK)
        return rc;
    bind(st, 1, call);
    (void)sqlite3_bind_int(st, 2, all ? 0 : 1);
    while (rc == SQLITE_OK && (got = sqlite3_step(st)) == SQLITE_ROW) {
        id = sqlite3_column_int64(st, 0);
        rc = tell(ix, Q_TALK_FTS_DROP, id, column(st, 1), column(st, 2), column(st, 3));
        if (rc == SQLITE_OK)
            rc = tell(ix, Q_TALK_FTS_PUT, id, column(st, 1), column(st, 2), person);
        own = index_stmt(ix, Q_TALK_OWN);
        (void)sqlite3_bind_int64(own, 1, id);
        bind(own, 2, person);
        if (rc == SQLITE_OK)
            rc = index_db_step(ix, own);
    }
    (void)sqlite3_finalize(st);
    return rc != SQLITE_OK ? rc : got == SQLITE_DONE ? SQLITE_OK : got;
}

static int put_row(struct index *ix, const struct index_op *op, int64_t at, int64_t hash)
{
    sqlite3_stmt *st = index_stmt(ix, Q_CALL_PUT);

    bind(st, 1, op->a);
    bind(st, 2, op->b);
    (void)sqlite3_bind_int64(st, 3, at);
    (void)sqlite3_bind_int64(st, 4, hash);
    return index_db_step(ix, st);
}

int index_run_put_call(struct index *ix, struct index_op *op)
{
    struct putter p = {.ix = ix, .call = op->a, .person = op->b, .at = op->at};
    int64_t hash = (int64_t)index_hash(op->c);
    sqlite3_stmt *st = index_stmt(ix, Q_CALL_GET);
    bool same = false;
    int rc;

    if (st == NULL)
        return ERR_IO;
    bind(st, 1, op->a);
    if (sqlite3_step(st) == SQLITE_ROW)
        same = str_eq(column(st, 0), op->b) && sqlite3_column_int64(st, 1) == (int64_t)op->at &&
               sqlite3_column_int64(st, 2) == hash;
    (void)sqlite3_reset(st);
    if (same)
        return 0;
    rc = index_db_begin(ix);
    if (rc < 0)
        return rc;
    rc = put_row(ix, op, (int64_t)op->at, hash);
    st = index_stmt(ix, Q_TALK_OF_CALL);
    bind(st, 1, op->a);
    if (rc == SQLITE_OK)
        rc = index_db_drop(ix, st, true, NULL);
    if (rc == SQLITE_OK)
        rc = own_blocks(ix, op->a, op->b, false);
    if (rc == SQLITE_OK && str_utf8_valid(op->c))
        rc = -index_split(op->c, INDEX_BLOCK_BYTES, true, put_block, &p);
    return index_db_fail(ix, rc);
}

int index_run_own_call(struct index *ix, struct index_op *op)
{
    sqlite3_stmt *st = index_stmt(ix, Q_CALL_GET);
    int64_t at = 0, hash = 0;
    bool put, same = false;
    int rc;

    if (st == NULL)
        return ERR_IO;
    bind(st, 1, op->a);
    put = sqlite3_step(st) == SQLITE_ROW;
    if (put) {
        same = str_eq(column(st, 0), op->b);
        at = sqlite3_column_int64(st, 1);
        hash = sqlite3_column_int64(st, 2);
    }
    (void)sqlite3_reset(st);
    if (!put || same)
        return put ? 0 : ERR_NOT_FOUND;
    rc = index_db_begin(ix);
    if (rc < 0)
        return rc;
    rc = put_row(ix, op, at, hash);
    if (rc == SQLITE_OK)
        rc = own_blocks(ix, op->a, op->b, true);
    return index_db_fail(ix, rc);
}
