/* SPDX-License-Identifier: MIT */
#include "plugin/token.h"

#include "plugin/base/id.h"
#include "plugin/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MIN 16u

static int read_token(int fd, const char *path, char *out, size_t cap, struct err *e)
{
    char text[256];
    ssize_t n = read(fd, text, sizeof text);
    struct stat st;
    struct str token;

    if (n < 0 || fstat(fd, &st) != 0)
        return err_set(e, ERR_IO, "%s cannot be read: %s", path, strerrordesc_np(errno));
    if ((st.st_mode & 077) != 0)
        return err_set(e, ERR_INVALID, "%s can be read by others: chmod 600 it, or remove it for a new token",
                       path);
    token = str_make(text, (size_t)n);
    while (token.n > 0 && (unsigned char)token.p[token.n - 1] <= ' ')
        token.n--;
    if (token.n < TOKEN_MIN || str_has_nul(token) || !str_copy(out, cap, token))
        return err_set(e, ERR_INVALID, "%s holds no usable token: remove it and a new one is made", path);
    return 0;
}

/* Written whole under another name first: a crash in between leaves no half token. */
static int make_token(const char *dir, const char *path, char *out, size_t cap, struct err *e)
{
    unsigned char raw[32];
    char text[2 * sizeof raw + 1], fresh[4200];
    int fd, rc = 0;

    if (id_random(raw, sizeof raw) < 0)
        return err_set(e, ERR_IO, "the system gives no random bytes for the API token");
    id_hex(text, raw, sizeof raw);
    (void)snprintf(fresh, sizeof fresh, "%s/api-token.%ld", dir, (long)getpid());
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, ERR_IO, "%s cannot be made: %s", fresh, strerrordesc_np(errno));
    if (write(fd, text, sizeof text - 1) != (ssize_t)(sizeof text - 1) || fsync(fd) != 0)
        rc = err_set(e, ERR_IO, "%s cannot be written: %s", fresh, strerrordesc_np(errno));
    (void)close(fd);
    /* link() and not rename(): if another instance was first, its token stands. */
    if (rc == 0 && link(fresh, path) != 0 && errno != EEXIST)
        rc = err_set(e, ERR_IO, "%s cannot be made: %s", path, strerrordesc_np(errno));
    (void)unlink(fresh);
    if (rc == 0)
        rc = token_load(dir, out, cap, e);
    return rc;
}

int token_load(const char *dir, char *out, size_t cap, struct err *e)
{
    char path[4160];
    int fd, rc;

    if (strlen(dir) > 4096)
        return err_set(e, ERR_INVALID, "the path of the state directory is too long");
    (void)snprintf(path, sizeof path, "%s/api-token", dir);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return make_token(dir, path, out, cap, e);
    if (fd < 0)
        return err_set(e, ERR_IO, "%s cannot be opened: %s", path, strerrordesc_np(errno));
    rc = read_token(fd, path, out, cap, e);
    (void)close(fd);
    return rc;
}
