/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PART_HEAD "backup-part-" /* before the owner's id */
#define PART_TAIL ".db"

/*
 * A copy takes about 4 s a GiB and more on a slow disk, and claims must be answered within 2 s: so it is made
 * aside, from a snapshot, while the store goes on committing. Meanwhile the log cannot begin anew and grows by
 * what is written; it is reused after the next checkpoint. The copy gets its name when it is whole.
 */
struct backup {
    struct store_op op;
    people_json_fn *fn;
    void *arg;
    char path[PATH_MAX], part[PATH_MAX];
    struct buf out;
};

static void backup_done(struct store_op *op, int rc)
{
    struct backup *b = (struct backup *)op;

    if (b->fn != NULL)
        b->fn(b->arg, rc, rc < 0 ? STR_NONE : buf_str(&b->out));
    buf_free(&b->out);
    mem_free(b);
}

/* The directory of the database with its slash: the length of that in its path. */
static int folder_bytes(const struct store *s)
{
    const char *slash = strrchr(s->path, '/');

    return slash != NULL ? (int)(slash - s->path) + 1 : 0;
}

static int choose_name(struct backup *b, const struct store *s)
{
    int folder = folder_bytes(s), n = -1;
    time_t now = (time_t)(clock_wall_ms() / 1000u);
    char stamp[32];
    struct stat st;
    struct tm tm;

    if (gmtime_r(&now, &tm) == NULL || strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm) == 0)
        return ERR_IO;
    for (int i = 1; i < 100; i++) {
        char count[8] = "";

        if (i > 1)
            (void)snprintf(count, sizeof count, "-%d", i);
        n = snprintf(b->path, sizeof b->path, "%.*sbackup-%s%s.db", folder, s->path, stamp, count);
        if (n < 0 || (size_t)n >= sizeof b->path)
            return ERR_TOO_BIG;
        if (lstat(b->path, &st) != 0)
            break;
    }
    n = snprintf(b->part, sizeof b->part, "%.*s" PART_HEAD "%.*s" PART_TAIL, folder, s->path,
                 STR_ARG(store_owner(s)));
    return n < 0 || (size_t)n >= sizeof b->part ? ERR_TOO_BIG : 0;
}

/* Removes the unfinished copies of instances that died. */
static void sweep(const struct store *s, const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *entry;

    if (d == NULL)
        return;
    while ((entry = readdir(d)) != NULL) {
        struct str name = str_of(entry->d_name), owner;

        if (!str_starts(name, STR(PART_HEAD)) || !str_ends(name, STR(PART_TAIL)))
            continue;
        owner = str_skip(name, sizeof PART_HEAD - 1);
        owner.n -= sizeof PART_TAIL - 1;
        if (!owner_alive(s->owner, owner))
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    }
    (void)closedir(d);
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags), rc;

    if (fd < 0)
        return -errno;
    rc = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return rc;
}

static int copy_into(struct backup *b, struct sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    int fd, sq;

    (void)unlink(b->part);
    /* Empty and there already, so that its mode is ours whatever the umask is. */
    fd = open(b->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    (void)close(fd);
    sq = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &st, NULL);
    if (sq == SQLITE_OK)
        sq = sqlite3_bind_text(st, 1, b->part, -1, SQLITE_STATIC);
    if (sq == SQLITE_OK)
        sq = sqlite3_step(st);
    (void)sqlite3_finalize(st);
    if (sq == SQLITE_NOMEM)
        return ERR_NOMEM;
    return sq == SQLITE_DONE ? 0 : ERR_SQLITE - (sq & 0xff);
}

static int backup_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct backup *b = (struct backup *)op;
    char folder[PATH_MAX];
    int rc = choose_name(b, s);

    if (rc < 0)
        return rc;
    (void)snprintf(folder, sizeof folder, "%.*s", folder_bytes(s), s->path);
    if (folder[0] == '\0')
        (void)str_copy(folder, sizeof folder, STR("."));
    sweep(s, folder);
    rc = copy_into(b, db);
    if (rc == 0)
        rc = sync_path(b->part, 0);
    if (rc == 0 && rename(b->part, b->path) != 0)
        rc = -errno;
    if (rc < 0) {
        (void)unlink(b->part);
        log_warn(s->log, "a backup could not be made in %.*s: %s", folder_bytes(s), s->path,
                 rc <= ERR_SQLITE ? sqlite3_errstr(ERR_SQLITE - rc) : rc > -5000 ? strerrordesc_np(-rc)
                                                                                 : err_name(rc));
        return rc;
    }
    (void)sync_path(folder, O_DIRECTORY);
    jw_open(&b->out, '{');
    jw_kstr(&b->out, "path", str_of(b->path));
    jw_close(&b->out, '}');
    return b->out.rc;
}

int people_backup(struct store *s, people_json_fn *fn, void *arg)
{
    struct backup *b = MEM_NEW(struct backup);
    int rc;

    if (b == NULL)
        return ERR_NOMEM;
    b->op.run = backup_run;
    b->op.done = backup_done;
    b->op.bytes = sizeof *b;
    b->fn = fn;
    b->arg = arg;
    buf_init(&b->out, 2 * (size_t)PATH_MAX);
    rc = store_aside(s, &b->op);
    if (rc < 0)
        mem_free(b);
    return rc;
}
