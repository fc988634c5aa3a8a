/* SPDX-License-Identifier: MIT */
#include "memory/claim_index.h"
#include "memory/schema.h"
#include "memory/store_int.h"

#include "plugin/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A quick_check reads the whole file, 2 to 4 ms a MiB, and the caller must listen within 100 ms. */
#define CHECK_WHOLE_BYTES ((off_t)16 << 20)

static const char *why(int err)
{
    const char *text = strerrordesc_np(err);

    return text ? text : "unknown error";
}

/* ---- Error texts: what happened, to which file, and what to do. ---- */

static int explain(struct store *s, int rc, struct err *e)
{
    int code = ERR_SQLITE - (rc & 0xff);
    int err = s->db ? sqlite3_system_errno(s->db) : 0;

    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, code, "%.120s is locked by another program for over %u ms; close what has "
                       "it open, then start again", s->path, s->busy_ms);
    case SQLITE_FULL:
        return err_set(e, code, "the disk that holds %.120s is full; free some space, then start "
                       "again", s->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return err_set(e, code, "%.120s cannot be written; give this user write permission to it and "
                       "its directory, or mount the disk writable", s->path);
    case SQLITE_CANTOPEN:
        return err_set(e, code, "cannot open %.120s (%s); its directory must be writable by this user",
                       s->path, err ? why(err) : "no reason given");
    case SQLITE_IOERR:
        return err_set(e, code, "reading or writing %.120s failed (%s); check the disk and its free "
                       "space", s->path, err ? why(err) : sqlite3_errmsg(s->db));
    case SQLITE_NOMEM:
        return err_set(e, ERR_NOMEM, "out of memory while opening %.120s", s->path);
    default:
        return err_set(e, code, "cannot use %.120s: %s", s->path,
                       s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
    }
}

static bool is_corrupt(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

/* ---- The connection. ---- */

/* Bytes that mean something in a URI become %xx. */
static bool uri_put(char *out, size_t cap, size_t *at, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (*at + 4 > cap)
            return false;
        if (c == '%' || c == '?' || c == '#' || c == '&' || c == '=')
            *at += (size_t)snprintf(out + *at, cap - *at, "%%%02x", c);
        else
            out[(*at)++] = (char)c;
    }
    out[*at] = '\0';
    return true;
}

/*
 * Waits for another process' write lock: short naps, since a commit takes about as long as one write to
 * the disk and a busy neighbour lets go for an instant only, and never beyond busy_ms, a waiting operation's
 * deadline or the end of the store.
 */
static int on_busy(void *arg, int count)
{
    static const unsigned naps_us[] = {100, 200, 300, 500, 700, 1000};
    unsigned nap = naps_us[count < 5 ? count : 5];
    struct store *s = arg;
    uint64_t now = clock_mono_ms(), until;

    if (s->busy_until_ms == 0)
        s->busy_until_ms = now + s->busy_ms;
    until = s->busy_until_ms;
    if (s->busy_cut_ms != 0 && s->busy_cut_ms < until)
        until = s->busy_cut_ms;
    pthread_mutex_lock(&s->lock);
    if (s->closing && s->close_by_ms < until)
        until = s->close_by_ms;
    pthread_mutex_unlock(&s->lock);
    if (now >= until)
        return 0;
    (void)nanosleep(&(struct timespec){0, (long)nap * 1000}, NULL);
    return 1;
}

static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store *s = arg;

    (void)db;
    (void)name;
    s->wal_pages = (unsigned)pages;
    return SQLITE_OK;
}

static int connect_db(struct store *s)
{
    char uri[3 * (PATH_MAX + PATH_MAX) + 64] = "file:";
    size_t at = strlen(uri);
    int rc;

    /* modeof: the file is made with the mode of the lock file, 0600, whatever the umask is. */
    if (!uri_put(uri, sizeof uri - 16, &at, s->path))
        return SQLITE_CANTOPEN;
    memcpy(uri + at, "?modeof=", 9);
    at += 8;
    if (!uri_put(uri, sizeof uri, &at, owner_path(s->owner)))
        return SQLITE_CANTOPEN;
    rc = sqlite3_open_v2(uri, &s->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI |
                             SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                         NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_busy_handler(s->db, on_busy, s);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* Until it is known that the file is ours, closing must not write to it either. */
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return SQLITE_OK;
}

void store_close_db(struct store *s)
{
    for (unsigned i = 0; i < STORE_STMTS; i++) {
        (void)sqlite3_finalize(s->stmts[i].stmt);
        s->stmts[i].stmt = NULL;
        s->stmts[i].sql = NULL;
    }
    s->n_stmts = s->n_used = 0;
    claim_index_clear(s->index);
    if (s->db != NULL)
        (void)sqlite3_close_v2(s->db);
    s->db = NULL;
}

/* First column of the first row as text into out; SQLITE_OK or the failure. */
static int ask(struct store *s, const char *sql, char *out, size_t cap)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

    out[0] = '\0';
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);

        (void)snprintf(out, cap, "%s", text ? text : "");
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(st);
    return rc;
}

static int settings(struct store *s, struct err *e)
{
    /*
     * auto_vacuum comes before the first table, or it is too late. secure_delete overwrites what is
     * deleted. temp_store: nothing of a call may reach a temporary directory. wal_autocheckpoint is off:
     * the store thread checkpoints when nobody waits for it.
     */
    static const char sql[] = "PRAGMA secure_delete=ON; PRAGMA foreign_keys=ON;"
                              "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
                              "PRAGMA cell_size_check=ON; PRAGMA recursive_triggers=OFF;"
                              "PRAGMA cache_size=-4096; PRAGMA journal_size_limit=16777216;"
                              "PRAGMA wal_autocheckpoint=0;";
    char mode[16];
    int rc = sqlite3_exec(s->db, "PRAGMA auto_vacuum=INCREMENTAL", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = ask(s, "PRAGMA journal_mode=WAL", mode, sizeof mode);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return explain(s, rc, e);
    (void)sqlite3_wal_hook(s->db, on_commit, s);
    if (strcmp(mode, "wal") != 0)
        return err_set(e, ERR_IO, "%.120s cannot keep a write-ahead log (mode %s); a local disk is "
                       "needed for it", s->path, mode);
    return 0;
}

/* ERR_CORRUPT with SQLite's finding. */
static int check(struct store *s, struct err *e)
{
    struct stat st;
    char found[160];
    int rc;

    if (stat(s->path, &st) != 0)
        return err_set(e, ERR_IO, "cannot read %.120s: %s", s->path, why(errno));
    if (st.st_size > CHECK_WHOLE_BYTES && access(s->check_path, F_OK) != 0)
        return 0;
    rc = ask(s, "PRAGMA quick_check(1)", found, sizeof found);
    if (is_corrupt(rc))
        return err_set(e, ERR_CORRUPT, "%.160s", sqlite3_errmsg(s->db));
    if (rc != SQLITE_OK)
        return explain(s, rc, e);
    if (strcmp(found, "ok") != 0)
        return err_set(e, ERR_CORRUPT, "%.160s", found);
    (void)unlink(s->check_path);
    return 0;
}

/* The index of claims is built here, so that the first claim need not wait for it. */
static int read_claims(struct store *s, struct err *e)
{
    int rc;

    s->txn++;
    rc = claim_index_sync(s->index, s);
    store_reset_used(s);
    if (rc < 0 && is_corrupt(sqlite3_errcode(s->db)))
        return err_set(e, ERR_CORRUPT, "%s", sqlite3_errmsg(s->db));
    if (rc == ERR_NOMEM)
        return err_set(e, rc, "out of memory while reading %.120s", s->path);
    return rc < 0 ? explain(s, sqlite3_errcode(s->db), e) : 0;
}

/* One try. ERR_CORRUPT: may be set aside. */
static int open_once(struct store *s, struct err *e)
{
    int rc, version = 0;

    s->busy_until_ms = 0;
    rc = connect_db(s);
    if (rc != SQLITE_OK)
        return is_corrupt(rc) ? err_set(e, ERR_CORRUPT, "%s", sqlite3_errstr(rc)) : explain(s, rc, e);
    rc = schema_version(s->db, &version, e);
    if (rc < 0 && is_corrupt(sqlite3_errcode(s->db)))
        return err_set(e, ERR_CORRUPT, "%s", sqlite3_errmsg(s->db));
    if (rc < 0)
        return explain(s, sqlite3_errcode(s->db), e);
    if (version > STORE_SCHEMA)
        return err_set(e, ERR_NEWER, "%.120s was written by a newer version (schema %d, this one knows "
                       "%d); start that version, or move the file away", s->path, version, STORE_SCHEMA);
    if (sqlite3_db_readonly(s->db, "main") == 1)
        return explain(s, SQLITE_READONLY, e);
    rc = settings(s, e);
    if (rc == 0)
        rc = check(s, e);
    if (rc == 0)
        rc = schema_migrate(s->db, e);
    if (rc < 0 && rc != ERR_NEWER && rc != ERR_INVALID && is_corrupt(sqlite3_errcode(s->db)))
        return err_set(e, ERR_CORRUPT, "%s", sqlite3_errmsg(s->db));
    if (rc <= ERR_SQLITE)
        return explain(s, sqlite3_errcode(s->db), e);
    if (rc == ERR_INVALID)
        return err_set(e, rc, "%.120s is a database of another program; move it away", s->path);
    if (rc == 0)
        (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return rc == 0 ? read_claims(s, e) : rc;
}

/* Can all of an open file be read? */
static bool reads_whole(sqlite3_file *f)
{
    char page[4096];
    sqlite3_int64 size = 0;

    if (f == NULL || f->pMethods == NULL)
        return true;
    if (f->pMethods->xFileSize(f, &size) != SQLITE_OK)
        return false;
    for (sqlite3_int64 at = 0; at < size; at += (sqlite3_int64)sizeof page) {
        int n = size - at < (sqlite3_int64)sizeof page ? (int)(size - at) : (int)sizeof page;
        int rc = f->pMethods->xRead(f, page, n, at);

        if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
            return false;
    }
    return true;
}

/* SQLite's checks tell of pages that could not be read as they do of bad ones; such a file is not corrupt. */
static bool can_be_read(struct store *s)
{
    static const int which[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};

    for (int i = 0; s->db != NULL && i < 2; i++) {
        sqlite3_file *f = NULL;

        if (sqlite3_file_control(s->db, "main", which[i], &f) == SQLITE_OK && !reads_whole(f))
            return false;
    }
    return true;
}

/* ERR_CORRUPT only if two connections found it so, and the disk gives every byte. */
static int open_sure(struct store *s, struct err *e)
{
    int rc = open_once(s, e);

    if (rc != ERR_CORRUPT)
        return rc;
    store_close_db(s);
    rc = open_once(s, e);
    if (rc == ERR_CORRUPT && !can_be_read(s))
        rc = err_set(e, ERR_SQLITE - SQLITE_IOERR, "parts of %.120s cannot be read; check the disk", s->path);
    return rc;
}

/* ---- A corrupt file is kept beside the new one: it may still be read by tools. ---- */

static int move_aside(struct store *s, struct err *e)
{
    static const char *const tails[] = {"-wal", "-shm", ""};
    char from[PATH_MAX + 8], to[sizeof s->health.aside_path + 8];
    char stamp[32];
    time_t now = (time_t)(clock_wall_ms() / 1000u);
    struct tm tm;
    struct stat st;
    int n = -1;

    if (gmtime_r(&now, &tm) == NULL || strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm) == 0)
        (void)snprintf(stamp, sizeof stamp, "%lld", (long long)now);
    for (int i = 0; i < 100; i++) {
        n = snprintf(s->health.aside_path, sizeof s->health.aside_path, "%s.corrupt-%s%s%.0d", s->path,
                     stamp, i ? "." : "", i);
        if (lstat(s->health.aside_path, &st) != 0)
            break;
    }
    if (n < 0 || (size_t)n >= sizeof s->health.aside_path) {
        s->health.aside_path[0] = '\0';
        return err_set(e, ERR_CORRUPT, "%.120s is corrupt and its path is too long to rename it; move "
                       "it away", s->path);
    }
    /* The database itself goes last: a crash in between leaves it where it is found again. */
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        (void)snprintf(from, sizeof from, "%s%s", s->path, tails[i]);
        (void)snprintf(to, sizeof to, "%s%s", s->health.aside_path, tails[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return err_set(e, ERR_IO, "%.110s is corrupt and cannot be renamed: %s; move it away",
                           s->path, why(errno));
    }
    s->health.set_aside = true;
    return 0;
}

int store_open_db(struct store *s, struct err *e)
{
    struct err found = {0};
    struct stat st;
    int rc;

    if (lstat(s->path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0077) != 0)
        (void)chmod(s->path, 0600);
    rc = open_sure(s, e ? e : &found);
    if (rc != ERR_CORRUPT)
        goto out;
    if (e != NULL)
        found = *e;
    store_close_db(s);
    if (owner_others(s->owner) != 0) {
        rc = err_set(e, ERR_CORRUPT, "%.110s is corrupt (%.60s) and another instance has it open; stop "
                     "that one first", s->path, found.text);
        goto out;
    }
    rc = move_aside(s, e);
    if (rc < 0)
        goto out;
    log_error(s->log, "the database is corrupt (%s); it was renamed to %s and a new one is begun",
              found.text, s->health.aside_path);
    (void)unlink(s->check_path);
    rc = open_once(s, e);
out:
    if (rc < 0)
        store_close_db(s);
    s->health.schema_version = STORE_SCHEMA;
    return rc;
}
