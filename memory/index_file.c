/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define GET_LINES 200u
#define GET_BYTES ((size_t)16 << 10)

/* ---- Paths. ---- */

static bool parts_are_plain(struct str path)
{
    struct str rest = path, part;
    unsigned n = 0;

    if (path.n == 0 || path.n >= INDEX_PATH_BYTES || !str_utf8_valid(path))
        return false;
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f || path.p[i] == '\\')
            return false;
    while (str_split(&rest, '/', &part))
        if (part.n == 0 || part.n > NAME_MAX || part.p[0] == '.' || ++n > INDEX_DEPTH)
            return false;
    return str_ends(path, STR(".md"));
}

bool index_path_is_memory(struct str path)
{
    return parts_are_plain(path) &&
           (str_starts(path, STR("memory/")) || str_eqc(path, "MEMORY.md") || str_eqc(path, "USER.md") ||
            str_eqc(path, "IDENTITY.md") || str_eqc(path, "SOUL.md"));
}

bool index_path_is_writable(struct str path)
{
    return parts_are_plain(path) &&
           (str_starts(path, STR("memory/")) || str_find(path, '/') == path.n);
}

bool index_root_open(struct index *ix)
{
    struct stat now, held;
    bool there = stat(ix->workspace, &now) == 0 && S_ISDIR(now.st_mode);

    if (ix->root_fd >= 0) {
        if (there && fstat(ix->root_fd, &held) == 0 && held.st_dev == now.st_dev && held.st_ino == now.st_ino)
            return true;
        (void)close(ix->root_fd);
        ix->root_fd = -1;
    }
    if (there)
        ix->root_fd = open(ix->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ix->root_fd >= 0;
}

int index_parent_open(struct index *ix, struct str path, bool make, const char **name, int *fd)
{
    char part_text[NAME_MAX + 1];
    struct str rest = path, part;
    int at = ix->root_fd < 0 ? -1 : dup(ix->root_fd), next, err;

    *fd = -1;
    if (at < 0)
        return ix->root_fd < 0 ? -ENOENT : -errno;
    (void)fcntl(at, F_SETFD, FD_CLOEXEC);
    while (str_split(&rest, '/', &part) && rest.p != NULL) {
        if (!str_copy(part_text, sizeof part_text, part)) {
            (void)close(at);
            return -ENAMETOOLONG;
        }
        if (make)
            (void)mkdirat(at, part_text, 0755);
        next = openat(at, part_text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        err = errno;
        (void)close(at);
        if (next < 0)
            return -err;
        at = next;
    }
    *name = part.p;
    *fd = at;
    return 0;
}

/* ---- Reading. ---- */

/* Anybody may set a file's time to the end of days: it may wrap, it is only compared. */
static int64_t time_ns(struct timespec t)
{
    return (int64_t)((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

void index_sig_of(struct index_sig *out, const struct stat *st)
{
    out->mtime_ns = time_ns(st->st_mtim);
    out->ctime_ns = time_ns(st->st_ctim);
    out->size = st->st_size;
    out->inode = st->st_ino;
}

bool index_sig_eq(const struct index_sig *a, const struct index_sig *b)
{
    return a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns && a->size == b->size &&
           a->inode == b->inode;
}

int index_fd_read(int fd, size_t max, struct buf *out)
{
    ssize_t n;

    buf_clear(out);
    for (;;) {
        if (out->n > max)
            return ERR_TOO_BIG;
        if (buf_reserve(out, 16384) < 0)
            return out->rc;
        n = pread(fd, out->p + out->n, 16384, (off_t)out->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        out->n += (size_t)n;
    }
}

static enum index_skip why_not_opened(int err)
{
    return err == ELOOP || err == ENOTDIR ? INDEX_LINK : INDEX_UNREADABLE;
}

/* The path ends in a NUL in all these: its last part is used as a C string. */
static int stat_at(struct index *ix, struct str path, int *dir, const char **name, struct stat *st,
                   enum index_skip *why)
{
    int rc = index_parent_open(ix, path, false, name, dir);

    *why = INDEX_OK;
    memset(st, 0, sizeof *st);
    if (rc == 0 && fstatat(*dir, *name, st, AT_SYMLINK_NOFOLLOW) != 0) {
        rc = -errno;
        (void)close(*dir);
        *dir = -1;
    }
    if (rc == -ENOENT)
        return ERR_NOT_FOUND;
    if (rc < 0) {
        *why = why_not_opened(-rc);
        return 0;
    }
    if (S_ISLNK(st->st_mode))
        *why = INDEX_LINK;
    else if (S_ISDIR(st->st_mode))
        return ERR_NOT_FOUND;
    else if (!S_ISREG(st->st_mode))
        *why = INDEX_SPECIAL;
    return 0;
}

int index_file_stat(struct index *ix, struct str path, struct index_sig *sig, enum index_skip *why)
{
    struct stat st;
    const char *name;
    int dir = -1, rc = stat_at(ix, path, &dir, &name, &st, why);

    if (dir >= 0)
        (void)close(dir);
    index_sig_of(sig, &st);
    return rc;
}

static int read_open(int fd, size_t max, struct buf *out, struct index_sig *sig, enum index_skip *why)
{
    struct stat st;
    struct index_sig after;
    int rc;

    if (fstat(fd, &st) != 0)
        return -errno;
    index_sig_of(sig, &st);
    if (!S_ISREG(st.st_mode)) {
        *why = INDEX_SPECIAL;
        return 0;
    }
    if (st.st_size > (off_t)max) {
        *why = INDEX_BIG;
        return 0;
    }
    rc = index_fd_read(fd, max, out);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc < 0 && rc != ERR_TOO_BIG) {
        *why = INDEX_UNREADABLE;
        return 0;
    }
    if (fstat(fd, &st) != 0)
        return -errno;
    index_sig_of(&after, &st);
    if (rc == ERR_TOO_BIG || !index_sig_eq(sig, &after) || (size_t)after.size != out->n)
        *why = INDEX_CHANGING;
    else if (str_has_nul(buf_str(out)) || !str_utf8_valid(buf_str(out)))
        *why = INDEX_BINARY;
    return 0;
}

int index_file_read(struct index *ix, struct str path, size_t max, struct buf *out,
                    struct index_sig *sig, enum index_skip *why)
{
    struct stat st;
    const char *name;
    int dir = -1, fd, rc;

    buf_clear(out);
    rc = stat_at(ix, path, &dir, &name, &st, why);
    index_sig_of(sig, &st);
    if (rc < 0 || *why != INDEX_OK)
        goto out;
    /* O_NONBLOCK: should a pipe have taken the file's place since, nobody waits for its writer. */
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        rc = ERR_NOT_FOUND;
    } else if (fd < 0) {
        *why = why_not_opened(errno);
    } else {
        rc = read_open(fd, max, out, sig, why);
        (void)close(fd);
        if (rc < 0 && rc != ERR_NOMEM) {
            *why = INDEX_UNREADABLE;
            rc = 0;
        }
    }
out:
    if (dir >= 0)
        (void)close(dir);
    return rc;
}

/* ---- The tool's reading. ---- */

/* Sections about calls that are not for this person become empty lines: the others keep their numbers. */
static void hide_sections(struct index *ix, const struct index_scope *scope, struct buf *text)
{
    struct index_span span;
    struct str s = buf_str(text);
    size_t at = 0, o = 0;
    struct buf kept;

    if (scope->all_calls)
        return;
    buf_init(&kept, text->max_bytes);
    while (index_span_next(s, &at, &span)) {
        if (index_call_shown(ix, scope, span.call))
            continue;
        (void)buf_put(&kept, s.p + o, span.at - o);
        for (size_t i = span.at; i < span.at + span.n; i++)
            if (s.p[i] == '\n')
                (void)buf_putc(&kept, '\n');
        if (s.p[span.at + span.n - 1] != '\n')
            (void)buf_putc(&kept, ' '); /* a last line without an end is a line too */
        o = span.at + span.n;
    }
    if (s.n > o)
        (void)buf_put(&kept, s.p + o, s.n - o);
    buf_free(text);
    *text = kept;
}

static void write_lines(struct index_op *op, struct str text)
{
    unsigned from = op->from > 0 ? op->from : 1, number = 0, shown = 0;
    unsigned want = op->lines > 0 && op->lines < GET_LINES ? op->lines : GET_LINES;
    size_t begin = text.n, end = text.n, at = 0, n;

    while (at < text.n) {
        n = str_find(str_skip(text, at), '\n') + 1;
        if (at + n > text.n)
            n = text.n - at;
        number++;
        if (number == from)
            begin = end = at;
        if (number >= from && shown < want && (shown == 0 || at + n - begin <= GET_BYTES)) {
            end = at + n;
            shown++;
        } else if (number >= from) {
            want = 0; /* no gaps: what follows a line that did not fit is not shown either */
        }
        at += n;
    }
    text = str_make(text.p ? text.p + begin : NULL, end - begin);
    text = str_head(text, str_utf8_floor(text, GET_BYTES));
    jw_open(&op->out, '{');
    jw_kstr(&op->out, "path", op->a);
    jw_kint(&op->out, "from", from);
    jw_kint(&op->out, "lines", shown);
    jw_kint(&op->out, "total_lines", number);
    jw_kstr(&op->out, "text", text);
    jw_close(&op->out, '}');
}

int index_run_get(struct index *ix, struct index_op *op)
{
    struct buf text;
    struct index_sig sig;
    enum index_skip why;
    int rc;

    if (!op->scope.files || !index_path_is_memory(op->a))
        return ERR_DENIED;
    if (!index_root_open(ix))
        return ERR_NOT_FOUND;
    buf_init(&text, INDEX_FILE_BYTES + 32768);
    rc = index_file_read(ix, op->a, INDEX_FILE_BYTES, &text, &sig, &why);
    /* Somebody writes it just now: once more, then it counts as unreadable. */
    if (rc == 0 && why == INDEX_CHANGING)
        rc = index_file_read(ix, op->a, INDEX_FILE_BYTES, &text, &sig, &why);
    if (rc == 0 && why != INDEX_OK)
        rc = why == INDEX_LINK || why == INDEX_SPECIAL ? ERR_DENIED : why == INDEX_BIG ? ERR_TOO_BIG : ERR_IO;
    if (rc == 0) {
        hide_sections(ix, &op->scope, &text);
        rc = text.rc;
    }
    if (rc == 0) {
        write_lines(op, buf_str(&text));
        rc = op->out.rc;
    }
    buf_free(&text);
    return rc;
}
