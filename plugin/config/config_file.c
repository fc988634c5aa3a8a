/* SPDX-License-Identifier: MIT */
#include "plugin/config/config_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct err *e, int error)
{
    char text[96];

    /* The GNU strerror_r(): returns the text, here or elsewhere. */
    return err_set(e, error == ENOENT || error == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, "%s",
                   strerror_r(error, text, sizeof text));
}

static int read_all(struct buf *out, int fd, size_t max, struct err *e)
{
    for (;;) {
        ssize_t n;
        int rc = buf_reserve(out, 4096);

        if (rc == ERR_NOMEM)
            return err_set(e, rc, "out of memory");
        n = rc < 0 ? 1 : read(fd, out->p + out->n, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(e, errno);
        if (n == 0)
            return 0;
        if (rc < 0 || out->n + (size_t)n > max)
            return err_set(e, ERR_TOO_BIG, "larger than %zu KiB", max / 1024);
        out->n += (size_t)n;
    }
}

int config_file_read(struct buf *out, const char *path, size_t max, struct err *e)
{
    struct stat st;
    int rc;
    /* O_NONBLOCK: a FIFO in the file's place must not hold up the reader. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return fail(e, errno);
    if (fstat(fd, &st) < 0)
        rc = fail(e, errno);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(e, ERR_IO, "it is no file");
    else if (st.st_size > (off_t)max)
        rc = err_set(e, ERR_TOO_BIG, "larger than %zu KiB", max / 1024);
    else
        rc = read_all(out, fd, max, e);
    (void)close(fd);
    return rc;
}

static const char *joined(struct arena *a, const char *base, struct str rest)
{
    size_t base_n = strlen(base);
    char *path;

    while (base_n > 0 && base[base_n - 1] == '/')
        base_n--;
    while (rest.n > 0 && rest.p[0] == '/')
        rest = str_skip(rest, 1);
    path = arena_alloc(a, base_n + rest.n + 2);
    if (path == NULL)
        return "";
    (void)snprintf(path, base_n + rest.n + 2, "%.*s/%.*s", (int)base_n, base, STR_ARG(rest));
    return path;
}

const char *config_path_full(struct arena *a, struct str text, const char *base, const char *home,
                             struct err *e)
{
    if (text.n > 0 && text.p[0] == '/')
        return arena_text(a, text);
    if (str_eq(text, STR("~")) || str_starts(text, STR("~/"))) {
        if (*home == '\0') {
            (void)err_set(e, ERR_CONFIG, "~ is not known here (no HOME); write an absolute path");
            return NULL;
        }
        return joined(a, home, str_skip(text, 1));
    }
    if (str_starts(text, STR("~"))) {
        (void)err_set(e, ERR_CONFIG, "~ of another user is not read; write an absolute path");
        return NULL;
    }
    if (*base == '\0') {
        (void)err_set(e, ERR_CONFIG, "write an absolute path: there is no file that it could be relative to");
        return NULL;
    }
    while (str_starts(text, STR("./")))
        text = str_skip(text, 2);
    return joined(a, base, text);
}
