/* SPDX-License-Identifier: MIT */
#include "plugin/recordings_int.h"

#include "plugin/base/id.h"
#include "plugin/base/secret.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "recordings"
#define TEMP_TAIL ".part"
#define BEGIN_TRIES 4
#define EXPIRE_MAX 1000u
#define PATH_BYTES 4200u

bool disk_name_good(struct str name)
{
    if (name.n == 0 || name.n >= RECORDING_NAME_BYTES || name.p[0] == '.')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
              c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* ---- the folder ---- */

int disk_open(struct disk *d, const char *state_dir, struct err *e)
{
    char path[PATH_BYTES];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/" FOLDER, state_dir);

    d->dir = -1;
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_INVALID, "the path of the state directory is too long");
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "%.150s cannot be made: %s", path, strerrordesc_np(errno));
    d->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (d->dir < 0 || fstat(d->dir, &st) != 0)
        return err_set(e, ERR_IO, "%.150s cannot be opened: %s", path, strerrordesc_np(errno));
    if ((st.st_mode & 077) != 0 && fchmod(d->dir, 0700) != 0)
        return err_set(e, ERR_IO, "%.150s is open to others: chmod 700 it", path);
    return 0;
}

void disk_close(struct disk *d)
{
    if (d->dir >= 0)
        (void)close(d->dir);
    d->dir = -1;
    secret_wipe(&d->key, sizeof d->key);
}

/* Calls fn for each entry until it says false. */
static int each_entry(struct disk *d, bool (*fn)(struct disk *d, const char *name, void *arg), void *arg)
{
    int fd = openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        rc = -errno;
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    while ((entry = readdir(dir)) != NULL && fn(d, entry->d_name, arg))
        ;
    (void)closedir(dir);
    return 0;
}

/* A writer holds a lock on its file as long as it lives, in this process or another. */
static bool sweep_entry(struct disk *d, const char *name, void *arg)
{
    unsigned *removed = arg;
    int fd;

    if (name[0] != '.' || !str_ends(str_of(name), STR(TEMP_TAIL)))
        return true;
    fd = openat(d->dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return true;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(d->dir, name, 0) == 0)
        (*removed)++;
    (void)close(fd);
    return true;
}

void disk_sweep(struct disk *d)
{
    unsigned removed = 0;
    int rc = each_entry(d, sweep_entry, &removed);

    if (rc < 0)
        log_warn(d->log, "the folder of recordings cannot be read: %s", strerrordesc_np(-rc));
    if (removed > 0)
        log_info(d->log, "%u unfinished recording%s removed", removed, removed == 1 ? " was" : "s were");
}

/* ---- writing ---- */

static int make_temp(struct disk *d, struct disk_file *f)
{
    unsigned char salt[4];
    struct stat st;

    for (int i = 0; i < BEGIN_TRIES; i++) {
        if (id_random(salt, sizeof salt) < 0)
            return ERR_IO;
        (void)snprintf(f->temp, sizeof f->temp, ".%s.%02x%02x%02x%02x" TEMP_TAIL, f->name, salt[0], salt[1],
                       salt[2], salt[3]);
        f->fd = openat(d->dir, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (f->fd < 0 && errno != EEXIST)
            return -errno;
        /* Another instance may have swept it between these calls: then its name is gone. */
        if (f->fd >= 0 && flock(f->fd, LOCK_EX | LOCK_NB) == 0 && fstat(f->fd, &st) == 0 && st.st_nlink == 1)
            return 0;
        if (f->fd >= 0)
            (void)close(f->fd);
        f->fd = -1;
    }
    return ERR_IO;
}

static int write_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t put = write(fd, bytes.p, bytes.n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : ERR_IO;
        bytes = str_skip(bytes, (size_t)put);
    }
    return 0;
}

static int flush_out(struct disk_file *f)
{
    int rc = write_all(f->fd, buf_str(&f->out));

    buf_clear(&f->out);
    return rc;
}

static int fail(struct disk *d, struct disk_file *f, int rc)
{
    disk_file_abandon(d, f);
    f->rc = rc;
    log_error(d->log, "the recording %s cannot be stored: %s", f->name,
              rc > -5000 ? strerrordesc_np(-rc) : err_name(rc));
    return rc;
}

int disk_file_begin(struct disk *d, struct disk_file *f)
{
    int rc = make_temp(d, f);

    buf_init(&f->out, 2u * (SEAL_CHUNK_BYTES + SEAL_TAG_BYTES) + SEAL_HEAD_BYTES);
    if (rc == 0)
        rc = seal_sum_open(&f->sum);
    if (rc == 0 && d->keyed)
        rc = seal_begin(&f->writer, &d->key, str_of(f->name), &f->out);
    if (rc == 0)
        rc = flush_out(f);
    return rc < 0 ? fail(d, f, rc) : 0;
}

int disk_file_write(struct disk *d, struct disk_file *f, struct str bytes)
{
    int rc = f->rc;

    if (rc < 0)
        return rc;
    seal_sum_add(f->sum, bytes);
    f->bytes += bytes.n;
    while (rc == 0 && bytes.n > 0) {
        struct str part = str_head(bytes, SEAL_CHUNK_BYTES);

        bytes = str_skip(bytes, part.n);
        rc = f->writer != NULL ? seal_put(f->writer, part, &f->out) : write_all(f->fd, part);
        if (rc == 0)
            rc = flush_out(f);
    }
    return rc < 0 ? fail(d, f, rc) : 0;
}

int disk_file_finish(struct disk *d, struct disk_file *f)
{
    int rc = f->rc;

    if (rc < 0)
        return rc;
    if (f->writer != NULL)
        rc = seal_end(f->writer, &f->out);
    if (rc == 0)
        rc = flush_out(f);
    if (rc == 0 && fsync(f->fd) != 0)
        rc = -errno;
    if (rc == 0 && renameat(d->dir, f->temp, d->dir, f->name) != 0)
        rc = -errno;
    if (rc < 0)
        return fail(d, f, rc);
    f->temp[0] = '\0'; /* it stands, whatever comes */
    seal_sum_end(f->sum, f->sha256);
    f->sum = NULL;
    /* Without this the name may be gone after a power cut, so whoever asked must not rely on it. */
    rc = fsync(d->dir) == 0 ? 0 : -errno;
    disk_file_abandon(d, f);
    if (rc < 0)
        log_error(d->log, "the recording %s may not last: %s", f->name, strerrordesc_np(-rc));
    return rc;
}

void disk_file_abandon(struct disk *d, struct disk_file *f)
{
    if (f->temp[0] != '\0' && f->fd >= 0)
        (void)unlinkat(d->dir, f->temp, 0);
    if (f->fd >= 0)
        (void)close(f->fd);
    f->fd = -1;
    f->temp[0] = '\0';
    seal_writer_free(f->writer);
    seal_sum_free(f->sum);
    f->writer = NULL;
    f->sum = NULL;
    buf_free(&f->out);
}

/* ---- reading ---- */

static int read_at(void *arg, uint64_t at, void *into, size_t n)
{
    const struct disk_source *s = arg;
    char *p = into;

    while (n > 0) {
        ssize_t got = pread(s->fd, p, n, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : ERR_CORRUPT; /* it became shorter */
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

int disk_source_open(struct disk *d, struct disk_source *s, const char *name, bool sealed)
{
    struct err e = {0};
    struct stat st;
    int rc = 0;

    if (sealed && !d->keyed)
        return ERR_DENIED;
    s->fd = openat(d->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (s->fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : -errno;
    if (fstat(s->fd, &st) != 0)
        rc = -errno;
    else if (!S_ISREG(st.st_mode))
        rc = ERR_INVALID;
    else if (sealed)
        rc = seal_open(&s->reader, &d->key, str_of(name), (uint64_t)st.st_size, read_at, s, &e);
    if (rc < 0) {
        log_error(d->log, "the recording %s cannot be opened: %s", name, e.text[0] ? e.text : err_name(rc));
        disk_source_close(s);
        return rc;
    }
    s->bytes = sealed ? seal_size(s->reader) : (uint64_t)st.st_size;
    return 0;
}

int disk_source_read(struct disk_source *s, uint64_t from, void *into, size_t n)
{
    if (s->fd < 0)
        return ERR_BAD_STATE;
    if (from > s->bytes || n > s->bytes - from)
        return ERR_INVALID;
    return s->reader != NULL ? seal_read(s->reader, from, into, n) : read_at(s, from, into, n);
}

void disk_source_close(struct disk_source *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    seal_close(s->reader);
    s->reader = NULL;
}

/* ---- removing ---- */

int disk_delete(struct disk *d, const char *name)
{
    if (unlinkat(d->dir, name, 0) != 0)
        return errno == ENOENT ? ERR_NOT_FOUND : -errno;
    return fsync(d->dir) == 0 ? 0 : -errno;
}

struct expiry {
    uint64_t before_ms;
    struct buf *names;
    unsigned n;
    int rc;
};

static bool expire_entry(struct disk *d, const char *name, void *arg)
{
    struct expiry *x = arg;
    struct stat st;

    if (!disk_name_good(str_of(name)) || fstatat(d->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_mtim.tv_sec * 1000u + (uint64_t)st.st_mtim.tv_nsec / 1000000u >= x->before_ms)
        return true;
    /* Room for its name first: what was removed must be told. */
    x->rc = buf_reserve(x->names, RECORDING_NAME_BYTES + 1);
    if (x->rc < 0)
        return false;
    if (unlinkat(d->dir, name, 0) == 0) {
        (void)buf_puts(x->names, str_of(name));
        (void)buf_putc(x->names, '\n');
        x->n++;
    } else {
        log_warn(d->log, "the recording %s is due to go and cannot be removed: %s", name, strerrordesc_np(errno));
    }
    return x->n < EXPIRE_MAX;
}

int disk_expire(struct disk *d, uint64_t before_wall_ms, struct buf *names)
{
    struct expiry x = {.before_ms = before_wall_ms, .names = names};
    int rc = each_entry(d, expire_entry, &x);

    if (rc == 0)
        rc = x.rc;
    if (x.n > 0 && fsync(d->dir) != 0 && rc == 0)
        rc = -errno;
    return rc;
}
