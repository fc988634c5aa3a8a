/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)8 << 20) /* a larger file is not written to */
#define HEADING_BYTES 200u
#define ROUNDS 5u
#define LOCK_TRIES 20u
#define LOCK_NAP_NS 5000000
#define FILES_A_STEP 64u

/* ---- The text. ---- */

/* Well-formed, without control characters but line ends and tabs. */
static void put_clean(struct buf *out, struct str s, bool one_line)
{
    size_t n;

    while (s.n > 0 && out->rc == 0) {
        unsigned char c = (unsigned char)s.p[0];

        for (n = 1; n < s.n && n < 4 && ((unsigned char)s.p[n] & 0xc0) == 0x80; n++)
            ;
        if (c < 0x80)
            n = 1;
        if (c == '\r' && s.n > 1 && s.p[1] == '\n')
            n = 1;
        else if (one_line ? c < 0x20 || c == 0x7f : (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            (void)buf_putc(out, ' ');
        else if (str_starts(s, STR("<!--")))
            (void)buf_puts(out, STR("&lt;!--")), n = 4;
        else if (str_utf8_valid(str_head(s, n)))
            (void)buf_put(out, s.p, n);
        else
            (void)buf_puts(out, STR("\xef\xbf\xbd"));
        s = str_skip(s, n);
    }
}

/*
 * Headings of the first two levels would end the section for whoever reads it, and could imitate another
 * one's beginning: they become the third.
 */
static void put_body(struct buf *out, struct str body)
{
    struct str line;
    size_t n;

    while (body.n > 0 && strchr("\r\n \t", body.p[body.n - 1]) != NULL)
        body.n--;
    while (body.n > 0 && (body.p[0] == '\n' || body.p[0] == '\r'))
        body = str_skip(body, 1);
    while (body.n > 0) {
        line = str_head(body, str_find(body, '\n'));
        for (n = 0; n < line.n && line.p[n] == '#'; n++)
            ;
        /* Control characters too: they become blanks. */
        if ((n == 1 || n == 2) && (n == line.n || (unsigned char)line.p[n] <= ' ' || line.p[n] == 0x7f)) {
            (void)buf_puts(out, STR("###"));
            put_clean(out, str_skip(line, n), false);
        } else {
            put_clean(out, line, false);
        }
        (void)buf_putc(out, '\n');
        body = str_skip(body, line.n + 1);
    }
}

static void sum_text(struct str s, char out[17])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[32];

    id_sha256(sum, s);
    for (unsigned i = 0; i < 8; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[16] = '\0';
}

int index_section_write(struct buf *out, const struct index_section *s, bool continued)
{
    char sum[17];

    (void)buf_printf(out, "## Call %.*s", STR_ARG(s->call));
    if (s->heading.n > 0) {
        (void)buf_puts(out, STR(" \xe2\x80\x94 "));
        put_clean(out, str_head(s->heading, str_utf8_floor(s->heading, HEADING_BYTES)), true);
    }
    if (continued)
        (void)buf_puts(out, STR(" (continued)"));
    (void)buf_puts(out, STR("\n\n"));
    put_body(out, s->body);
    if (s->body.n > 0)
        (void)buf_putc(out, '\n');
    if (out->rc < 0)
        return out->rc;
    sum_text(buf_str(out), sum);
    return buf_printf(out, "<!-- voice:sum %s --><!-- voice:call %.*s end -->\n", sum, STR_ARG(s->call));
}

/* ---- Appending. ---- */

/*
 * What is to be written, so that the section stands there whole, once, and no byte of others is touched:
 *
 *   its end mark stands in the file            nothing: it was whole once, whoever edited it since
 *   the file ends in a piece of it, longer
 *   than "## Call " and beginning at a line    the rest
 *   its beginning stands there, and others
 *   wrote behind it, or it reads otherwise     the section whole, "(continued)" in its heading: that mark is
 *                                              then the only one
 *   nothing of it                              the section whole
 */
struct plan {
    struct buf once, more; /* the section; the same, continued */
    struct str write;
    bool newline; /* a line end goes before it */
};

static bool tail_of(struct str file, struct str section, size_t *have)
{
    size_t at = file.n;

    /* A section has one line that begins so; the last such line of the file is the one. */
    while (at > 0) {
        at--;
        if ((at == 0 || file.p[at - 1] == '\n') && str_starts(str_skip(file, at), STR("## Call "))) {
            *have = file.n - at;
            return *have < section.n && str_starts(section, str_skip(file, at));
        }
        if (file.n - at > section.n)
            return false;
    }
    return false;
}

static void make_plan(struct plan *p, struct str file, struct str call)
{
    struct index_span span;
    struct str whole = buf_str(&p->once);
    size_t at = 0, have = 0;
    unsigned begun = 0;

    p->write = STR_NONE;
    p->newline = false;
    while (index_span_next(file, &at, &span)) {
        if (str_eq(span.call, call) && span.whole)
            return;
        begun += str_eq(span.call, call);
    }
    /* A mark without its beginning: somebody changed the heading. */
    if (index_mark_stands(file, call))
        return;
    if (begun > 1)
        whole = buf_str(&p->more);
    if (tail_of(file, whole, &have)) {
        p->write = str_skip(whole, have);
        return;
    }
    p->write = begun > 0 ? buf_str(&p->more) : whole;
    if (begun > 0 && tail_of(file, p->write, &have)) {
        p->write = str_skip(p->write, have);
        return;
    }
    p->newline = file.n > 0;
}

static bool lock_file(int fd)
{
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        (void)nanosleep(&(struct timespec){0, LOCK_NAP_NS}, NULL);
    }
    return false;
}

static int open_for(int dir, const char *name, int flags, int *fd, struct stat *st)
{
    *fd = -1;
    /* What is no ordinary file is not even opened: opening a device may do something. */
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st->st_mode))
        return ERR_DENIED;
    *fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags, 0644);
    if (*fd < 0)
        return errno == ELOOP ? ERR_DENIED : errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    if (fstat(*fd, st) != 0 || !S_ISREG(st->st_mode))
        return ERR_DENIED;
    return lock_file(*fd) ? 0 : ERR_IO;
}

/* 0; 1: the file was changed or replaced meanwhile, once more; negative. */
static int append_once(int dir, const char *name, struct str call, struct plan *p, struct buf *bytes,
                       struct buf *text)
{
    struct stat st, now;
    ssize_t n;
    int fd, rc = open_for(dir, name, O_CREAT | O_APPEND, &fd, &st);

    if (rc == 0)
        rc = index_fd_read(fd, FILE_BYTES, text);
    if (rc < 0 && rc != ERR_DENIED && rc != ERR_NOMEM && rc != ERR_TOO_BIG)
        rc = ERR_IO;
    if (rc < 0)
        goto out;
    make_plan(p, buf_str(text), call);
    buf_clear(bytes);
    if (p->newline)
        (void)buf_putc(bytes, '\n');
    (void)buf_puts(bytes, p->write);
    rc = bytes->rc;
    if (rc < 0)
        goto out;
    if (fstat(fd, &now) != 0 || (size_t)now.st_size != text->n) {
        rc = 1;
        goto out;
    }
    if (p->write.n > 0) {
        n = write(fd, bytes->p, bytes->n);
        rc = n == (ssize_t)bytes->n ? 0 : ERR_IO;
    }
    if (rc == 0 && (fsync(fd) != 0 || fsync(dir) != 0))
        rc = ERR_IO;
    /* An editor that puts its own copy in the file's place has not seen the section. */
    if (rc == 0 && (fstat(fd, &st) != 0 || fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) != 0 ||
                    st.st_ino != now.st_ino || st.st_dev != now.st_dev))
        rc = 1;
out:
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

int index_run_append(struct index *ix, struct index_op *op)
{
    struct index_section s = {.path = op->a, .call = op->b, .heading = op->c, .body = op->d};
    struct plan p = {0};
    struct buf bytes, text;
    const char *name;
    int dir = -1, rc;

    if (!index_path_is_writable(op->a))
        return ERR_DENIED;
    buf_init(&p.once, 8 * INDEX_SECTION_BYTES);
    buf_init(&p.more, 8 * INDEX_SECTION_BYTES);
    buf_init(&bytes, 8 * INDEX_SECTION_BYTES + 1);
    buf_init(&text, FILE_BYTES + 32768);
    rc = index_section_write(&p.once, &s, false);
    if (rc == 0)
        rc = index_section_write(&p.more, &s, true);
    if (rc == 0 && !index_root_open(ix))
        rc = ERR_IO;
    if (rc == 0) {
        rc = index_parent_open(ix, op->a, true, &name, &dir);
        rc = rc == -ELOOP || rc == -ENOTDIR ? ERR_DENIED : rc < 0 ? ERR_IO : 0;
    }
    if (rc == 0) {
        rc = 1;
        for (unsigned i = 0; i < ROUNDS && rc == 1; i++)
            rc = append_once(dir, name, op->b, &p, &bytes, &text);
        rc = rc == 1 ? ERR_IO : rc;
    }
    if (rc < 0 && rc != ERR_DENIED)
        log_warn(ix->log, "the section of the call %.*s cannot be written to %.*s (%s)", STR_ARG(op->b),
                 STR_ARG(op->a), err_name(rc));
    if (dir >= 0)
        (void)close(dir);
    buf_free(&p.once);
    buf_free(&p.more);
    buf_free(&bytes);
    buf_free(&text);
    return rc;
}

/* ---- Erasing. ---- */

static bool is_asked(const struct index_op *op, struct str call)
{
    for (unsigned i = 0; i < op->n; i++)
        if (str_eq(op->list[i], call))
            return true;
    return false;
}

static bool unchanged(struct str file, const struct index_span *span)
{
    char sum[17];

    if (!span->whole || span->sum.n == 0)
        return false;
    sum_text(str_make(file.p + span->at, span->summed), sum);
    return str_eqc(span->sum, sum);
}

/* The file without those sections; *from: the first byte that differs. Returns how many were removed. */
static unsigned without(const struct index_op *op, struct str file, struct buf *kept, size_t *from, bool *left)
{
    struct index_span span;
    size_t at = 0, o = 0, begin;
    unsigned n = 0;

    buf_clear(kept);
    *left = false;
    while (index_span_next(file, &at, &span)) {
        if (!is_asked(op, span.call))
            continue;
        if (!unchanged(file, &span)) {
            *left = true;
            continue;
        }
        begin = span.at;
        /* The blank line that was put before it. */
        if (begin >= o + 2 && file.p[begin - 1] == '\n' && file.p[begin - 2] == '\n')
            begin--;
        if (n++ == 0)
            *from = begin;
        (void)buf_put(kept, file.p + o, begin - o);
        o = span.at + span.n;
    }
    if (file.n > o)
        (void)buf_put(kept, file.p + o, file.n - o);
    return n;
}

static bool write_at(int fd, const char *p, size_t n, off_t at)
{
    ssize_t done;

    while (n > 0) {
        done = pwrite(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
        at += done;
    }
    return true;
}

/*
 * The rest moves up in place, then the file is cut. What others append meanwhile, by programs that know no
 * lock of ours, is moved up as well, until the size stands still.
 */
static int rewrite(int fd, size_t old_n, struct buf *kept, size_t from, struct buf *extra)
{
    struct stat st;
    ssize_t n;

    if (!write_at(fd, kept->p + from, kept->n - from, (off_t)from))
        return ERR_IO;
    for (unsigned i = 0; i < 100; i++) {
        if (fstat(fd, &st) != 0)
            return ERR_IO;
        if ((size_t)st.st_size <= old_n)
            break;
        buf_clear(extra);
        if (buf_reserve(extra, (size_t)st.st_size - old_n) < 0)
            return ERR_NOMEM;
        n = pread(fd, extra->p, (size_t)st.st_size - old_n, (off_t)old_n);
        if (n <= 0 || !write_at(fd, extra->p, (size_t)n, (off_t)kept->n) ||
            buf_put(kept, extra->p, (size_t)n) < 0)
            return ERR_IO;
        old_n += (size_t)n;
    }
    return ftruncate(fd, (off_t)kept->n) == 0 && fsync(fd) == 0 ? 0 : ERR_IO;
}

static int erase_fd(const struct index_op *op, int fd, const struct stat *st, struct buf *text, unsigned *removed,
                    bool *left)
{
    struct index_sig before, now_sig;
    struct buf kept, extra;
    struct stat now;
    size_t from = 0;
    int rc;

    index_sig_of(&before, st);
    rc = index_fd_read(fd, FILE_BYTES, text);
    if (rc < 0)
        return rc;
    buf_init(&kept, 2 * FILE_BYTES);
    buf_init(&extra, FILE_BYTES);
    *removed = without(op, buf_str(text), &kept, &from, left);
    rc = kept.rc;
    if (rc == 0 && *removed > 0) {
        if (fstat(fd, &now) != 0)
            rc = ERR_IO;
        index_sig_of(&now_sig, &now);
        if (rc == 0 && (!index_sig_eq(&before, &now_sig) || (size_t)now.st_size != text->n))
            rc = 1;
        else if (rc == 0)
            rc = rewrite(fd, text->n, &kept, from, &extra);
    }
    buf_free(&kept);
    buf_free(&extra);
    return rc;
}

static void note_left(struct index_op *op, struct str path)
{
    (void)buf_puts(&op->left, path);
    (void)buf_putc(&op->left, '\0');
}

/* Whether it may hold one of the sections at all. */
static bool mentions(const struct index_op *op, struct str text)
{
    if (str_find_str(text, STR("## Call ")) == text.n)
        return false;
    for (unsigned i = 0; i < op->n; i++)
        if (str_find_str(text, op->list[i]) < text.n)
            return true;
    return false;
}

static void erase_in(struct index *ix, struct index_op *op, struct str path)
{
    struct index_sig sig;
    enum index_skip why;
    struct buf text;
    struct stat st;
    const char *name;
    unsigned removed = 0;
    int dir = -1, fd = -1, rc;
    bool left = false;

    buf_init(&text, FILE_BYTES + 32768);
    rc = index_file_read(ix, path, FILE_BYTES, &text, &sig, &why);
    if (rc < 0 || (why != INDEX_OK && why != INDEX_BINARY && why != INDEX_CHANGING) ||
        !mentions(op, buf_str(&text)))
        goto out;
    rc = index_parent_open(ix, path, false, &name, &dir);
    for (unsigned i = 0; rc >= 0 && i < ROUNDS; i++) {
        rc = open_for(dir, name, 0, &fd, &st);
        if (rc == 0)
            rc = erase_fd(op, fd, &st, &text, &removed, &left);
        if (fd >= 0)
            (void)close(fd);
        fd = -1;
        if (rc <= 0)
            break;
    }
    if (rc != 0 || left)
        note_left(op, path);
    if (rc == 0 && removed > 0) {
        op->count += removed;
        index_file_look(ix, path);
    }
out:
    if (dir >= 0)
        (void)close(dir);
    buf_free(&text);
}

/* Files at the top that are no memory files may hold sections too. */
static void erase_at_top(struct index *ix, struct index_op *op)
{
    int fd = openat(ix->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    unsigned n = 0;

    if (dir == NULL && fd >= 0)
        (void)close(fd);
    while (dir != NULL && (entry = readdir(dir)) != NULL && n < 1000) {
        if (!str_ends(str_of(entry->d_name), STR(".md")) || !index_path_is_writable(str_of(entry->d_name)))
            continue;
        n++;
        erase_in(ix, op, str_of(entry->d_name));
    }
    if (dir != NULL)
        (void)closedir(dir);
}

static void write_result(struct index_op *op)
{
    struct str path;

    jw_open(&op->out, '{');
    jw_kint(&op->out, "removed", op->count);
    jw_key(&op->out, "left");
    jw_open(&op->out, '[');
    for (size_t at = 0; at < op->left.n; at += path.n + 1) {
        path = str_of(op->left.p + at);
        jw_str(&op->out, path);
    }
    jw_close(&op->out, ']');
    jw_close(&op->out, '}');
}

/* Steps: 0 the files at the top, 1 those below memory/, from 2 on the search tables. */
int index_step_erase(struct index *ix, struct index_op *op)
{
    struct index_file *f;
    struct str path;
    char text[INDEX_PATH_BYTES];
    unsigned seen = 0;
    int rc;

    if (op->step == 0) {
        op->step = 1;
        if (!index_root_open(ix))
            op->step = 2;
        else
            erase_at_top(ix, op);
        return 1;
    }
    if (op->step == 1) {
        for (; op->cursor < INDEX_BUCKETS && seen < FILES_A_STEP; op->cursor++)
            for (f = ix->buckets[op->cursor]; f != NULL; f = f->chain) {
                seen++;
                (void)str_copy(text, sizeof text, str_make(f->path, f->path_n));
                path = str_of(text);
                if (str_find(path, '/') < path.n)
                    erase_in(ix, op, path);
                f = index_file_find(ix, path);
                if (f == NULL)
                    break;
            }
        if (op->cursor == INDEX_BUCKETS)
            op->step = op->count > 0 ? 2 : 7;
        return 1;
    }
    if (op->step < 7 && ix->db != NULL) {
        unsigned turn = op->step - 2;

        rc = index_db_purge(ix, &turn);
        op->step = turn + 2;
        if (rc > 0)
            return 1;
        if (rc < 0)
            return rc;
    }
    write_result(op);
    return op->out.rc | op->left.rc;
}
