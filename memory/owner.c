/* SPDX-License-Identifier: MIT */
#include "memory/owner.h"

#include "plugin/base/clock.h"
#include "plugin/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 8 /* of making a lock file while others sweep */

struct owner {
    int fd;
    struct id id;
    char folder[PATH_MAX];
    char path[PATH_MAX + 64];
};

/* strerror() is not thread safe; this is glibc's that is. */
static const char *why(int err)
{
    const char *text = strerrordesc_np(err);

    return text ? text : "unknown error";
}

/* An id comes from the database: nothing but our own alphabet may become a file name. */
static bool is_id(struct str id)
{
    if (id.n == 0 || id.n >= ID_BYTES)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_'))
            return false;
    }
    return true;
}

static bool path_of(const struct owner *o, struct str id, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s/%.*s.lock", o->folder, STR_ARG(id));

    return n > 0 && (size_t)n < cap;
}

static int make_folder(char *out, size_t cap, const char *dir, struct err *e)
{
    int n = snprintf(out, cap, "%s/owner", dir);

    if (n < 0 || (size_t)n >= cap)
        return err_set(e, ERR_TOO_BIG, "the state directory's path is too long");
    if (mkdir(out, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "cannot make %.150s: %s", out, why(errno));
    return 0;
}

/*
 * A sweeper may hold the lock for an instant, or have removed the file between our open and our lock:
 * the lock counts only if the name still leads to the locked file.
 */
static int lock_file(struct owner *o, bool *again)
{
    struct stat held, named;
    int fd = open(o->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    *again = false;
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &held) != 0 || stat(o->path, &named) != 0 ||
        held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
        int err = errno;

        *again = err == EWOULDBLOCK || err == ENOENT || err == EINTR || err == 0;
        (void)close(fd);
        return err == 0 ? -EAGAIN : -err;
    }
    o->fd = fd;
    return 0;
}

int owner_open(struct owner **out, const char *dir, struct err *e)
{
    struct owner *o = mem_zalloc(sizeof *o);
    bool again = true;
    int rc;

    if (o == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->fd = -1;
    rc = make_folder(o->folder, sizeof o->folder, dir, e);
    if (rc < 0)
        goto out;
    rc = id_make(&o->id, "own_", clock_wall_ms());
    if (rc < 0) {
        (void)err_set(e, rc, "the system gives no random bytes");
        goto out;
    }
    (void)path_of(o, str_of(o->id.text), o->path, sizeof o->path);
    for (int i = 0; i < TRIES && again; i++) {
        if (i > 0)
            (void)nanosleep(&(struct timespec){0, 2 * 1000 * 1000}, NULL);
        errno = 0;
        rc = lock_file(o, &again);
    }
    if (rc < 0) {
        rc = err_set(e, ERR_IO, "cannot lock %.150s: %s", o->path, why(-rc));
        goto out;
    }
    owner_sweep(o);
    *out = o;
    o = NULL;
out:
    mem_free(o);
    return rc;
}

void owner_close(struct owner *o)
{
    if (o == NULL)
        return;
    /* Removed while still locked: nobody can be looking at it as a living owner's file afterwards. */
    (void)unlink(o->path);
    (void)close(o->fd);
    mem_free(o);
}

struct str owner_id(const struct owner *o)
{
    return str_of(o->id.text);
}

const char *owner_path(const struct owner *o)
{
    return o->path;
}

/*
 * 1 alive, 0 dead; on 0 with *fd >= 0 the dead owner's file is open and locked by us: shared, so that
 * two who look at the same time do not take each other for the owner.
 */
static int probe(const struct owner *o, struct str id, char *path, size_t cap, int *fd)
{
    *fd = -1;
    if (str_eq(id, owner_id(o)))
        return 1;
    if (!is_id(id) || !path_of(o, id, path, cap))
        return 0;
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0)
        return errno == ENOENT || errno == ELOOP ? 0 : 1;
    if (flock(*fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    (void)close(*fd);
    *fd = -1;
    return 1;
}

bool owner_alive(const struct owner *o, struct str id)
{
    char path[PATH_MAX + 64];
    int fd;
    int alive = probe(o, id, path, sizeof path, &fd);

    if (fd >= 0)
        (void)close(fd);
    return alive != 0;
}

void owner_bury(const struct owner *o, struct str id)
{
    char path[PATH_MAX + 64];
    int fd;

    if (probe(o, id, path, sizeof path, &fd) == 0 && fd >= 0)
        (void)unlink(path);
    if (fd >= 0)
        (void)close(fd);
}

typedef void other_fn(const struct owner *o, struct str id, int *n);

static int each_other(const struct owner *o, other_fn *fn)
{
    DIR *d = opendir(o->folder);
    struct dirent *entry;
    struct str id;
    int n = 0;

    if (d == NULL)
        return ERR_IO;
    while ((entry = readdir(d)) != NULL) {
        id = str_of(entry->d_name);
        if (!str_ends(id, STR(".lock")))
            continue;
        id.n -= 5;
        if (str_starts(id, STR("own_")) && !str_eq(id, owner_id(o)))
            fn(o, id, &n);
    }
    (void)closedir(d);
    return n;
}

static void count_living(const struct owner *o, struct str id, int *n)
{
    *n += owner_alive(o, id);
}

static void count_all(const struct owner *o, struct str id, int *n)
{
    (void)o;
    (void)id;
    ++*n;
}

static void bury(const struct owner *o, struct str id, int *n)
{
    (void)n;
    owner_bury(o, id);
}

int owner_others(const struct owner *o)
{
    return each_other(o, count_living);
}

int owner_marks(const struct owner *o)
{
    return each_other(o, count_all);
}

void owner_sweep(const struct owner *o)
{
    (void)each_other(o, bury);
}

int owner_gate_open(int *fd, const char *dir, unsigned wait_ms, struct err *e)
{
    char folder[PATH_MAX], path[PATH_MAX + 32];
    uint64_t until = clock_mono_ms() + wait_ms;
    int rc = make_folder(folder, sizeof folder, dir, e);

    if (rc < 0)
        return rc;
    (void)snprintf(path, sizeof path, "%s/open", folder);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return err_set(e, ERR_IO, "cannot open %.150s: %s", path, why(errno));
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (clock_mono_ms() >= until) {
            (void)close(*fd);
            *fd = -1;
            return err_set(e, ERR_TIMEOUT, "another instance is opening the database in %.150s", dir);
        }
        (void)nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
    }
    return 0;
}

void owner_gate_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}
