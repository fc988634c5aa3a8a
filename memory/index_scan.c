/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SETTLE_MS 100u  /* a file that is being written is read once, not for each write */
#define REST_TIMES 10u  /* a large one that grows all the time is not read all the time: that many times as long as */
#define REST_MAX_MS 1000u /* it took is waited, this long at the most */
#define WHEN_SETTLED UINT64_MAX
#define LOOK_MS 5000u   /* for a workspace that is missing, or while something cannot be watched */
#define LINES_SAID 100u
#define TRIES 5u
#define TX_FILES 1000u
#define TX_MS 1000u
#define WATCHED (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | \
                 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW)

/* ---- The table of files. ---- */

struct index_file *index_file_find(struct index *ix, struct str path)
{
    struct index_file *f = ix->buckets[index_hash(path) % INDEX_BUCKETS];

    while (f != NULL && !str_eq(str_make(f->path, f->path_n), path))
        f = f->chain;
    return f;
}

struct index_file *index_file_add(struct index *ix, struct str path)
{
    struct index_file **at, *f = index_file_find(ix, path);

    if (f != NULL)
        return f;
    if (ix->n_files >= INDEX_FILES_MAX) {
        if (!ix->full_said)
            log_warn(ix->log, "there are more than %u memory files; the rest is left out", INDEX_FILES_MAX);
        ix->full_said = true;
        return NULL;
    }
    f = mem_zalloc(sizeof *f + path.n + 1);
    if (f == NULL)
        return NULL;
    memcpy(f->path, path.p, path.n);
    f->path_n = path.n;
    at = &ix->buckets[index_hash(path) % INDEX_BUCKETS];
    f->chain = *at;
    *at = f;
    ix->n_files++;
    return f;
}

/* Not while it waits in a list. */
static void file_remove(struct index *ix, struct index_file *f)
{
    struct index_file **at = &ix->buckets[index_hash(str_make(f->path, f->path_n)) % INDEX_BUCKETS];

    while (*at != f)
        at = &(*at)->chain;
    *at = f->chain;
    ix->n_files--;
    mem_free(f);
}

void index_file_touch(struct index *ix, struct index_file *f, uint64_t due_ms)
{
    enum context_kind kind;
    struct index_due *list;
    int64_t day;

    if (f->queued)
        return;
    list = index_mirror_wants(str_make(f->path, f->path_n), &kind, &day) ? &ix->first : &ix->rest;
    f->queued = true;
    f->due_ms = due_ms;
    f->next_due = NULL;
    if (list->tail != NULL)
        list->tail->next_due = f;
    else
        list->head = f;
    list->tail = f;
}

static struct index_file *due_take(struct index_due *list, uint64_t now)
{
    struct index_file *f = list->head;

    if (f == NULL || f->due_ms > now)
        return NULL;
    list->head = f->next_due;
    if (list->head == NULL)
        list->tail = NULL;
    f->queued = false;
    return f;
}

static void touch_below(struct index *ix, struct str folder, uint64_t due_ms)
{
    struct str path;

    for (unsigned i = 0; i < INDEX_BUCKETS; i++)
        for (struct index_file *f = ix->buckets[i]; f != NULL; f = f->chain) {
            path = str_make(f->path, f->path_n);
            if (folder.n == 0 || (str_starts(path, folder) && path.n > folder.n && path.p[folder.n] == '/'))
                index_file_touch(ix, f, due_ms);
        }
}

static void count(struct index *ix, const struct index_file *f, int by)
{
    if (f->sig.inode == 0)
        return;
    if (f->skip != INDEX_OK)
        ix->n_skipped += (unsigned)by;
    else
        ix->n_indexed += (unsigned)by;
}

void index_files_unstore(struct index *ix, uint64_t tx, uint64_t due_ms)
{
    for (unsigned i = 0; i < INDEX_BUCKETS; i++)
        for (struct index_file *f = ix->buckets[i]; f != NULL; f = f->chain) {
            if (tx != 0 && f->tx != tx)
                continue;
            count(ix, f, -1);
            memset(&f->sig, 0, sizeof f->sig);
            if (tx == 0)
                f->id = 0;
            index_file_touch(ix, f, due_ms);
        }
    /* A row that was undone has no number; one that was there before is found again by its path. */
}

void index_stats_set(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
    ix->stats.files = ix->n_indexed;
    ix->stats.skipped = ix->n_skipped;
    pthread_mutex_unlock(&ix->lock);
}

/* ---- One file. ---- */

static void say_skipped(struct index *ix, const struct index_file *f)
{
    static const char *const why[] = {
        [INDEX_OK] = "", [INDEX_BIG] = "it is larger than 1 MiB", [INDEX_BINARY] = "it is no UTF-8 text",
        [INDEX_UNREADABLE] = "it cannot be read", [INDEX_LINK] = "it is a link, or behind one",
        [INDEX_SPECIAL] = "it is no ordinary file", [INDEX_CHANGING] = "it changes all the time"};

    if (ix->lines_said++ < LINES_SAID)
        log_warn(ix->log, "the memory file %s is left out: %s", f->path, why[f->skip]);
    else if (ix->lines_said == LINES_SAID + 1)
        log_warn(ix->log, "more memory files are left out; from here on they are only counted");
}

static void file_gone(struct index *ix, struct index_file *f)
{
    index_mirror_drop(ix, str_make(f->path, f->path_n));
    if (index_db_drop_file(ix, f) < 0 && ix->db != NULL)
        index_file_touch(ix, f, clock_mono_ms() + LOOK_MS);
    if (f->queued)
        return;
    count(ix, f, -1);
    file_remove(ix, f);
}

static void file_take(struct index *ix, struct index_file *f, const struct index_sig *sig, enum index_skip skip,
                      struct str text)
{
    struct str path = str_make(f->path, f->path_n);
    bool known = index_sig_eq(&f->sig, sig) && f->skip == skip;

    if (skip == INDEX_OK)
        index_mirror_put(ix, path, text);
    else
        index_mirror_drop(ix, path);
    if (known)
        return;
    count(ix, f, -1);
    f->sig = *sig;
    f->skip = skip;
    if (f->sig.inode == 0)
        f->sig.inode = 1; /* behind a link: it has none that is known */
    count(ix, f, 1);
    if (skip != INDEX_OK)
        say_skipped(ix, f);
    (void)index_db_put_file(ix, f, text);
}

static uint64_t settle_ms(const struct index_file *f)
{
    uint64_t rest = (uint64_t)f->took_ms * REST_TIMES;

    return SETTLE_MS + (rest < REST_MAX_MS ? rest : REST_MAX_MS);
}

static void file_look(struct index *ix, struct index_file *f)
{
    struct str path = str_make(f->path, f->path_n);
    uint64_t begun = clock_mono_ms();
    struct index_sig sig;
    enum index_skip why;
    enum context_kind kind;
    struct buf text;
    int64_t day;
    int rc = index_file_stat(ix, path, &sig, &why);

    if (rc < 0) {
        file_gone(ix, f);
        return;
    }
    if (sig.inode == 0)
        sig.inode = 1;
    if (index_sig_eq(&f->sig, &sig) && (f->skip == INDEX_OK || f->skip == why || why == INDEX_OK) &&
        (f->skip != INDEX_OK || !index_mirror_wants(path, &kind, &day) || index_mirror_has(ix, path)))
        return;
    buf_init(&text, INDEX_FILE_BYTES + 32768);
    if (why == INDEX_OK)
        rc = index_file_read(ix, path, INDEX_FILE_BYTES, &text, &sig, &why);
    if (rc == ERR_NOT_FOUND) {
        file_gone(ix, f);
    } else if (rc < 0 || (why == INDEX_CHANGING && ++f->tries < TRIES)) {
        index_file_touch(ix, f, clock_mono_ms() + (rc < 0 ? LOOK_MS : settle_ms(f)));
    } else {
        f->tries = 0;
        file_take(ix, f, &sig, why, why == INDEX_OK ? buf_str(&text) : STR_NONE);
        f->took_ms = (uint32_t)(clock_mono_ms() - begun);
    }
    buf_free(&text);
}

void index_file_look(struct index *ix, struct str path)
{
    struct index_file *f = index_path_is_memory(path) ? index_file_add(ix, path) : NULL;

    if (f == NULL)
        return;
    if (f->queued) {
        f->due_ms = 0; /* in its list already; it is looked at in its turn */
        return;
    }
    file_look(ix, f);
}

/* ---- Folders. ---- */

static void blind(struct index *ix, const char *what)
{
    if (!ix->blind_said)
        log_warn(ix->log, "the folder %s cannot be watched (%s); all memory files are looked at every 5 s",
                 what, errno == ENOSPC ? "fs.inotify.max_user_watches is reached" : "inotify failed");
    ix->blind = ix->blind_said = true;
}

static void dir_watch(struct index *ix, struct str folder)
{
    char path[PATH_MAX + INDEX_PATH_BYTES];
    struct index_dir *grown;
    unsigned cap;
    char *copy;
    int wd;

    (void)snprintf(path, sizeof path, "%s%s%.*s", ix->workspace, folder.n > 0 ? "/" : "", STR_ARG(folder));
    if (ix->inotify_fd < 0) {
        blind(ix, path);
        return;
    }
    wd = inotify_add_watch(ix->inotify_fd, path, folder.n > 0 ? WATCHED : WATCHED & ~(unsigned)IN_DONT_FOLLOW);
    if (wd < 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
            blind(ix, path);
        return;
    }
    copy = str_dup(folder);
    for (unsigned i = 0; copy != NULL && i < ix->n_dirs; i++)
        if (ix->dirs[i].wd == wd) {
            mem_free(ix->dirs[i].path);
            ix->dirs[i].path = copy;
            return;
        }
    if (copy != NULL && ix->n_dirs == ix->cap_dirs) {
        cap = ix->cap_dirs ? ix->cap_dirs * 2 : 16;
        grown = ix->n_dirs < INDEX_DIRS_MAX ? mem_realloc(ix->dirs, cap * sizeof *grown) : NULL;
        if (grown != NULL) {
            ix->dirs = grown;
            ix->cap_dirs = cap;
        }
    }
    if (copy == NULL || ix->n_dirs == ix->cap_dirs) {
        mem_free(copy);
        (void)inotify_rm_watch(ix->inotify_fd, wd);
        blind(ix, path);
        return;
    }
    ix->dirs[ix->n_dirs++] = (struct index_dir){wd, copy};
}

static void dir_forget(struct index *ix, unsigned i)
{
    mem_free(ix->dirs[i].path);
    ix->dirs[i] = ix->dirs[--ix->n_dirs];
}

/* A folder went away, with all that is below it. */
static void dirs_drop(struct index *ix, struct str folder)
{
    struct str path;

    for (unsigned i = ix->n_dirs; i-- > 0;) {
        path = str_of(ix->dirs[i].path);
        if (folder.n == 0 || str_eq(path, folder) ||
            (str_starts(path, folder) && path.p[folder.n] == '/')) {
            (void)inotify_rm_watch(ix->inotify_fd, ix->dirs[i].wd);
            dir_forget(ix, i);
        }
    }
    touch_below(ix, folder, clock_mono_ms());
}

static void todo_add(struct index *ix, struct str folder)
{
    char **grown, *copy;
    unsigned cap;

    if (ix->n_todo == ix->cap_todo) {
        cap = ix->cap_todo ? ix->cap_todo * 2 : 16;
        grown = ix->n_todo < INDEX_DIRS_MAX ? mem_realloc(ix->todo, cap * sizeof *grown) : NULL;
        if (grown == NULL) {
            log_warn(ix->log, "the memory folder %.*s is left out: too many folders", STR_ARG(folder));
            return;
        }
        ix->todo = grown;
        ix->cap_todo = cap;
    }
    copy = str_dup(folder);
    if (copy != NULL)
        ix->todo[ix->n_todo++] = copy;
}

/* "folder/name", or "" if that is none of ours. */
static struct str join(struct str folder, const char *name, char *out, size_t cap)
{
    int n = folder.n > 0 ? snprintf(out, cap, "%.*s/%s", STR_ARG(folder), name) : snprintf(out, cap, "%s", name);

    return name[0] == '.' || n < 0 || (size_t)n >= cap ? STR_NONE : str_make(out, (size_t)n);
}

static unsigned depth(struct str path)
{
    unsigned n = 0;

    for (size_t i = 0; i < path.n; i++)
        n += path.p[i] == '/';
    return n;
}

static void entry_seen(struct index *ix, struct str folder, const char *name, bool is_dir, uint64_t due_ms)
{
    char text[INDEX_PATH_BYTES];
    struct str path = join(folder, name, text, sizeof text);
    struct index_file *f;

    if (path.n == 0)
        return;
    if (is_dir) {
        if ((folder.n > 0 || str_eqc(path, "memory")) && depth(path) < INDEX_DEPTH - 1)
            todo_add(ix, path);
    } else if (index_path_is_memory(path)) {
        f = index_file_add(ix, path);
        if (f != NULL)
            index_file_touch(ix, f, due_ms == WHEN_SETTLED ? clock_mono_ms() + settle_ms(f) : due_ms);
    }
}

/* Watched first, then listed: what comes in between is told twice rather than never. */
static void dir_list(struct index *ix, struct str folder)
{
    char below[INDEX_PATH_BYTES + 4];
    struct dirent *entry;
    const char *name;
    struct stat st;
    uint64_t now = clock_mono_ms();
    DIR *dir;
    int fd;

    dir_watch(ix, folder);
    (void)snprintf(below, sizeof below, "%.*s%sx", STR_ARG(folder), folder.n > 0 ? "/" : "");
    if (index_parent_open(ix, str_of(below), false, &name, &fd) < 0) {
        if (fstatat(ix->root_fd, below, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
            log_warn(ix->log, "the memory folder %.*s is left out: it cannot be read, or is a link",
                     STR_ARG(folder));
        return;
    }
    /* Not a copy of the workspace's descriptor: copies share their place in the list. */
    if (folder.n == 0) {
        (void)close(fd);
        fd = openat(ix->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        bool is_dir = entry->d_type == DT_DIR;

        if (entry->d_type == DT_UNKNOWN)
            is_dir = fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
        entry_seen(ix, folder, entry->d_name, is_dir, now);
    }
    (void)closedir(dir);
}

/* ---- What inotify tells. ---- */

static void on_event(struct index *ix, const struct inotify_event *ev)
{
    unsigned i = 0;
    struct str folder, path;
    char text[INDEX_PATH_BYTES], folder_text[INDEX_PATH_BYTES];

    if (ev->mask & IN_Q_OVERFLOW) {
        ix->rescan = true;
        return;
    }
    while (i < ix->n_dirs && ix->dirs[i].wd != ev->wd)
        i++;
    if (i == ix->n_dirs)
        return;
    (void)str_copy(folder_text, sizeof folder_text, str_of(ix->dirs[i].path));
    folder = str_of(folder_text);
    if (ev->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) {
        if (ev->mask & IN_IGNORED)
            dir_forget(ix, i);
        if (folder.n == 0)
            ix->rescan = true;
        return;
    }
    if (ev->len == 0)
        return;
    if (!(ev->mask & IN_ISDIR)) {
        entry_seen(ix, folder, ev->name, false, WHEN_SETTLED);
        return;
    }
    path = join(folder, ev->name, text, sizeof text);
    if (path.n == 0)
        return;
    if (ev->mask & (IN_MOVED_FROM | IN_DELETE))
        dirs_drop(ix, path);
    if (ev->mask & (IN_CREATE | IN_MOVED_TO | IN_ATTRIB))
        entry_seen(ix, folder, ev->name, true, 0);
}

void index_scan_events(struct index *ix)
{
    char bytes[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    const struct inotify_event *ev;
    ssize_t n;

    /* Bounded: a storm of events must not keep questions waiting. */
    for (unsigned turns = 0; turns < 16; turns++) {
        n = read(ix->inotify_fd, bytes, sizeof bytes);
        if (n <= 0)
            return;
        for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof *ev + ev->len)) {
            ev = (const void *)(bytes + at);
            on_event(ix, ev);
        }
    }
}

/* ---- All of it. ---- */

/* Everything is looked at anew; what is unchanged is known by its times, size and inode. */
static void rescan(struct index *ix)
{
    uint64_t now = clock_mono_ms();
    bool there;

    ix->rescan = false;
    there = index_root_open(ix);
    while (ix->n_todo > 0)
        mem_free(ix->todo[--ix->n_todo]);
    /* The watches of a workspace that was moved away would tell of another one. */
    dirs_drop(ix, STR_NONE);
    ix->blind = false;
    if (there) {
        todo_add(ix, STR(""));
        if (ix->n_todo == 0)
            ix->rescan = true;
    }
    ix->look_ms = there ? 0 : now + LOOK_MS;
}

void index_scan_free(struct index *ix)
{
    struct index_file *f;

    while (ix->n_dirs > 0)
        dir_forget(ix, ix->n_dirs - 1);
    mem_free(ix->dirs);
    while (ix->n_todo > 0)
        mem_free(ix->todo[--ix->n_todo]);
    mem_free(ix->todo);
    for (unsigned i = 0; i < INDEX_BUCKETS; i++)
        while ((f = ix->buckets[i]) != NULL) {
            ix->buckets[i] = f->chain;
            mem_free(f);
        }
    if (ix->root_fd >= 0)
        (void)close(ix->root_fd);
    ix->root_fd = -1;
}

static uint64_t next_due(const struct index *ix)
{
    const struct index_due *lists[] = {&ix->first, &ix->rest};
    uint64_t at = UINT64_MAX, times[] = {ix->look_ms, ix->db_retry_ms};

    for (unsigned i = 0; i < 2; i++)
        if (lists[i]->head != NULL && lists[i]->head->due_ms < at)
            at = lists[i]->head->due_ms;
    for (unsigned i = 0; i < 2; i++)
        if (times[i] != 0 && times[i] < at)
            at = times[i];
    return at;
}

int index_scan_timeout(struct index *ix)
{
    uint64_t at = next_due(ix), now = clock_mono_ms();

    return at == UINT64_MAX ? -1 : at <= now ? 0 : (int)(at - now);
}

static void mirror_done(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
    ix->stats.mirrored = true;
    pthread_mutex_unlock(&ix->lock);
}

static void scan_done(struct index *ix)
{
    (void)index_db_commit(ix);
    index_stats_set(ix);
    pthread_mutex_lock(&ix->lock);
    ix->stats.scanned = ix->stats.mirrored = true;
    pthread_mutex_unlock(&ix->lock);
    if (ix->blind && ix->look_ms == 0)
        ix->look_ms = clock_mono_ms() + LOOK_MS;
}

bool index_scan_slice(struct index *ix)
{
    uint64_t begin = clock_mono_ms(), now = begin;
    struct index_file *f;
    bool worked = false;

    if (ix->db_retry_ms != 0 && now >= ix->db_retry_ms)
        index_db_open(ix);
    if (ix->rescan || (ix->look_ms != 0 && now >= ix->look_ms))
        rescan(ix);
    for (; now - begin < INDEX_SLICE_MS; now = clock_mono_ms()) {
        char *folder;

        f = due_take(&ix->first, now);
        if (f == NULL && ix->n_todo > 0) {
            folder = ix->todo[--ix->n_todo];
            dir_list(ix, str_of(folder));
            mem_free(folder);
            worked = true;
            continue;
        }
        if (f == NULL && ix->first.head == NULL && !ix->stats.mirrored)
            mirror_done(ix);
        if (f == NULL)
            f = due_take(&ix->rest, now);
        if (f == NULL)
            break;
        file_look(ix, f);
        worked = true;
        ix->tx_files++;
        if (ix->tx_files >= TX_FILES || now - ix->tx_since_ms >= TX_MS) {
            (void)index_db_commit(ix);
            ix->tx_files = 0;
        }
    }
    if (index_scan_timeout(ix) == 0 || ix->n_todo > 0 || ix->rescan)
        return true;
    /* Nothing is left to do now. */
    if (worked || ix->in_tx || !ix->stats.scanned)
        scan_done(ix);
    return false;
}
