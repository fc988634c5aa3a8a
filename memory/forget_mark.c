/* SPDX-License-Identifier: MIT */
#include "memory/forget_mark.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK_BYTES 65536u
#define PATH_ROOM (PATH_MAX + 300)

static void path_of(const struct store *s, char *out)
{
    (void)snprintf(out, PATH_ROOM, "%s.forget-%.*s", s->path, STR_ARG(store_owner(s)));
}

/* The folder's entry is as durable as the file. */
static int sync_folder(const struct store *s)
{
    char path[PATH_MAX];
    int fd, rc;

    (void)str_copy(path, sizeof path, str_of(s->path));
    *strrchr(path, '/') = '\0';
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = fd < 0 ? ERR_IO : fsync(fd) == 0 ? 0 : ERR_IO;
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static int append(const struct store *s, struct str text)
{
    char path[PATH_ROOM];
    int fd, rc = ERR_IO;

    path_of(s, path);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_IO;
    if (write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0)
        rc = sync_folder(s);
    (void)close(fd);
    return rc;
}

void forget_mark_add(struct store *s, struct str person)
{
    char line[ID_BYTES + 8];
    int n = snprintf(line, sizeof line, "%.*s\n", STR_ARG(person));

    if (n <= 0 || append(s, str_make(line, (size_t)n)) < 0)
        log_warn(s->log, "that somebody is being forgotten could not be noted in %s: a crash meanwhile may leave bytes",
                 s->path);
}

void forget_mark_clear(struct store *s)
{
    char path[PATH_ROOM];

    path_of(s, path);
    (void)unlink(path);
}

static bool read_mark(const char *path, struct buf *out)
{
    char part[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return false;
    while ((n = read(fd, part, sizeof part)) > 0 && out->n < MARK_BYTES)
        (void)buf_puts(out, str_make(part, (size_t)n));
    (void)close(fd);
    return n >= 0 && out->rc == 0;
}

static void take_one(struct store *s, const char *path, struct buf *ids)
{
    struct buf lines;

    buf_init(&lines, 2 * MARK_BYTES);
    if (read_mark(path, &lines) && append(s, buf_str(&lines)) == 0) {
        (void)buf_puts(ids, buf_str(&lines));
        (void)unlink(path);
    }
    buf_free(&lines);
}

bool forget_mark_take(struct store *s, struct buf *ids)
{
    const char *base = strrchr(s->path, '/') + 1;
    char folder[PATH_MAX], path[PATH_ROOM];
    size_t n = strlen(base);
    struct dirent *entry;
    bool any = false;
    DIR *d;

    (void)str_copy(folder, sizeof folder, str_make(s->path, (size_t)(base - s->path)));
    d = opendir(folder);
    if (d == NULL)
        return false;
    while ((entry = readdir(d)) != NULL) {
        struct str name = str_of(entry->d_name), owner;

        if (name.n <= n || !str_starts(name, str_make(base, n)) || !str_starts(str_skip(name, n), STR(".forget-")))
            continue;
        owner = str_skip(name, n + sizeof ".forget-" - 1);
        if (owner_alive(s->owner, owner))
            continue;
        any = true;
        (void)snprintf(path, sizeof path, "%s%s", folder, entry->d_name);
        take_one(s, path, ids);
    }
    (void)closedir(d);
    return any;
}
