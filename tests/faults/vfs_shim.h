/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULTS_VFS_SHIM_H
#define TESTS_FAULTS_VFS_SHIM_H
/*
 * An SQLite VFS that stands before the system's own as the default one, so that the store under test uses it
 * without knowing. It keeps beside every file the image that a disk would hold if the power failed now: what was
 * synced, and what has been written since. It can
 *   - cut the power at the n-th change: every call fails from there on, and shim_power() leaves on the disk the
 *     synced image with some of the later sectors: kept, lost, torn or turned into noise; a file or the removal
 *     of one that its directory was not synced for is there or not;
 *   - fail the n-th call, or all from the n-th on, as a full disk or an I/O error would;
 *   - take its time for each sync.
 * The sectors of one write are independent of each other; nothing outside a write changes (SQLite's own
 * SQLITE_IOCAP_POWERSAFE_OVERWRITE). Nothing is truly synced, which makes thousands of cuts cheap. One shim a
 * program; any thread.
 */
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHIM_SECTOR 512

struct shim_write { /* data NULL: cut to `at` bytes */
    struct shim_write *next;
    size_t at, n;
    unsigned char *data;
};

struct shim_file {
    struct shim_file *next;
    char path[512];
    bool exists, stands; /* now; in the synced directory */
    bool journal, dir_synced;
    unsigned char *image; /* synced */
    size_t size, cap;
    struct shim_write *head, *tail; /* since then */
};

struct shim_fd {
    sqlite3_file base;
    struct shim_file *file; /* NULL: temporary */
    sqlite3_file *real;
};

enum shim_faults { SHIM_IO, SHIM_FULL };

static struct shim {
    pthread_mutex_t lock;
    sqlite3_vfs vfs, *real;
    struct shim_file *files;
    uint64_t seed;
    /* What was done since shim_reset(). */
    uint64_t calls, changes, syncs, hits;
    /* What is asked for; 0 none. */
    uint64_t cut_at, fail_from;
    bool fail_once;
    enum shim_faults fault;
    /* Also looked at without the lock. */
    _Atomic bool dead;
    _Atomic unsigned sync_ms;
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline uint64_t shim_dice(uint64_t n)
{
    uint64_t x = shim.seed += 0x9e3779b97f4a7c15ull;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return (x ^ (x >> 31)) % n;
}

static inline void *shim_grow(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);

    if (q == NULL) {
        printf("FAIL out of memory in the test itself\n");
        exit(1);
    }
    return q;
}

/* ---- The image. ---- */

static inline void shim_fit(struct shim_file *f, size_t size)
{
    if (size > f->cap) {
        f->cap = size * 2;
        f->image = shim_grow(f->image, f->cap);
    }
    if (size > f->size)
        memset(f->image + f->size, 0, size - f->size);
    f->size = size;
}

static inline void shim_put(struct shim_file *f, size_t at, const unsigned char *data, size_t n)
{
    if (at + n > f->size)
        shim_fit(f, at + n);
    if (n > 0)
        memcpy(f->image + at, data, n);
}

static inline void shim_note(struct shim_file *f, const void *data, size_t n, size_t at)
{
    struct shim_write *w = shim_grow(NULL, sizeof *w);

    *w = (struct shim_write){.at = at, .n = n};
    if (data != NULL) {
        w->data = shim_grow(NULL, n);
        memcpy(w->data, data, n);
    }
    if (f->tail != NULL)
        f->tail->next = w;
    else
        f->head = w;
    f->tail = w;
}

static inline void shim_land(struct shim_file *f, const struct shim_write *w)
{
    if (w->data == NULL)
        shim_fit(f, w->at);
    else
        shim_put(f, w->at, w->data, w->n);
}

static inline void shim_forget(struct shim_file *f)
{
    while (f->head != NULL) {
        struct shim_write *w = f->head;

        f->head = w->next;
        free(w->data);
        free(w);
    }
    f->tail = NULL;
}

static inline void shim_sync_dir(void)
{
    for (struct shim_file *f = shim.files; f != NULL; f = f->next)
        f->stands = f->exists;
}

static inline struct shim_file *shim_of(const char *path)
{
    struct shim_file *f = shim.files;

    while (f != NULL && strcmp(f->path, path) != 0)
        f = f->next;
    if (f != NULL)
        return f;
    f = shim_grow(NULL, sizeof *f);
    *f = (struct shim_file){.next = shim.files};
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    shim.files = f;
    return f;
}

/* ---- Faults. ---- */

static inline int shim_code(int code)
{
    return shim.fault == SHIM_FULL ? SQLITE_FULL : code;
}

/* Counts a call; what it has to fail with, or SQLITE_OK. The lock is held. needs: bytes of the disk. */
static inline int shim_call(int code, bool needs)
{
    if (shim.dead)
        return code;
    if (shim.fault == SHIM_FULL && !needs)
        return SQLITE_OK;
    shim.calls++;
    if (shim.fail_from == 0 || shim.calls < shim.fail_from ||
        (shim.fail_once && shim.calls > shim.fail_from))
        return SQLITE_OK;
    shim.hits++;
    return shim_code(code);
}

static inline int shim_enter(int code, bool needs)
{
    int rc;

    (void)pthread_mutex_lock(&shim.lock);
    rc = shim_call(code, needs);
    (void)pthread_mutex_unlock(&shim.lock);
    return rc;
}

/* A change was made (or was under way): is this where the power fails? The lock is held. */
static inline bool shim_cut(void)
{
    shim.changes++;
    if (shim.cut_at != 0 && shim.changes >= shim.cut_at)
        shim.dead = true;
    return shim.dead;
}

/* ---- Methods of files. ---- */

static inline sqlite3_file *shim_real(sqlite3_file *file)
{
    return ((struct shim_fd *)(void *)file)->real;
}

static inline int shim_close(sqlite3_file *file)
{
    sqlite3_file *real = shim_real(file);

    return real->pMethods != NULL ? real->pMethods->xClose(real) : SQLITE_OK;
}

static inline int shim_read(sqlite3_file *file, void *out, int n, sqlite3_int64 at)
{
    int rc = shim_enter(SQLITE_IOERR_READ, false);

    return rc != SQLITE_OK ? rc : shim_real(file)->pMethods->xRead(shim_real(file), out, n, at);
}

static inline int shim_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
    struct shim_fd *fd = (struct shim_fd *)(void *)file;
    int rc;

    (void)pthread_mutex_lock(&shim.lock);
    rc = shim_call(SQLITE_IOERR_WRITE, true);
    if (rc == SQLITE_OK) {
        if (fd->file != NULL)
            shim_note(fd->file, data, (size_t)n, (size_t)at);
        if (shim_cut())
            rc = SQLITE_IOERR_WRITE;
        else
            rc = fd->real->pMethods->xWrite(fd->real, data, n, at);
    } else if (!shim.dead && n > 1) {
        /* What fails may be half done. */
        int half = (int)shim_dice((uint64_t)n);

        if (half > 0 && fd->real->pMethods->xWrite(fd->real, data, half, at) == SQLITE_OK && fd->file != NULL)
            shim_note(fd->file, data, (size_t)half, (size_t)at);
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return rc;
}

static inline int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct shim_fd *fd = (struct shim_fd *)(void *)file;
    int rc;

    (void)pthread_mutex_lock(&shim.lock);
    rc = shim_call(SQLITE_IOERR_TRUNCATE, false);
    if (rc == SQLITE_OK) {
        if (fd->file != NULL)
            shim_note(fd->file, NULL, 0, (size_t)size);
        rc = shim_cut() ? SQLITE_IOERR_TRUNCATE : fd->real->pMethods->xTruncate(fd->real, size);
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return rc;
}

static inline int shim_sync(sqlite3_file *file, int flags)
{
    struct shim_fd *fd = (struct shim_fd *)(void *)file;
    unsigned wait_ms;
    int rc;

    (void)flags;
    (void)pthread_mutex_lock(&shim.lock);
    wait_ms = shim.sync_ms;
    (void)pthread_mutex_unlock(&shim.lock);
    if (wait_ms > 0)
        (void)nanosleep(&(struct timespec){wait_ms / 1000, (long)(wait_ms % 1000) * 1000000}, NULL);
    (void)pthread_mutex_lock(&shim.lock);
    rc = shim_call(SQLITE_IOERR_FSYNC, true);
    shim.syncs++;
    if (rc == SQLITE_OK && shim_cut())
        rc = SQLITE_IOERR_FSYNC;
    if (rc == SQLITE_OK && fd->file != NULL) {
        for (const struct shim_write *w = fd->file->head; w != NULL; w = w->next)
            shim_land(fd->file, w);
        shim_forget(fd->file);
        if (fd->file->journal && !fd->file->dir_synced)
            shim_sync_dir();
        fd->file->dir_synced = true;
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return rc;
}

static inline int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    int rc = shim_enter(SQLITE_IOERR_FSTAT, false);

    return rc != SQLITE_OK ? rc : shim_real(file)->pMethods->xFileSize(shim_real(file), size);
}

static inline int shim_lock(sqlite3_file *file, int level)
{
    int rc = shim_enter(SQLITE_IOERR_LOCK, false);

    return rc != SQLITE_OK ? rc : shim_real(file)->pMethods->xLock(shim_real(file), level);
}

/* A lock that could not be given back would only hold up the test: these are done, whatever is said. */
static inline int shim_unlock(sqlite3_file *file, int level)
{
    int rc = shim_real(file)->pMethods->xUnlock(shim_real(file), level);
    int wrong = shim_enter(SQLITE_IOERR_UNLOCK, false);

    return wrong != SQLITE_OK ? wrong : rc;
}

static inline int shim_reserved(sqlite3_file *file, int *out)
{
    int rc = shim_enter(SQLITE_IOERR_CHECKRESERVEDLOCK, false);

    return rc != SQLITE_OK ? rc : shim_real(file)->pMethods->xCheckReservedLock(shim_real(file), out);
}

static inline int shim_control(sqlite3_file *file, int op, void *arg)
{
    return shim_real(file)->pMethods->xFileControl(shim_real(file), op, arg);
}

static inline int shim_sector(sqlite3_file *file)
{
    (void)file;
    return SHIM_SECTOR;
}

static inline int shim_traits(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static inline int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    int rc = shim_enter(SQLITE_IOERR_SHMMAP, extend != 0);

    return rc != SQLITE_OK ? rc : shim_real(file)->pMethods->xShmMap(shim_real(file), page, size, extend, out);
}

static inline int shim_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
    int wrong = shim_enter(SQLITE_IOERR_SHMLOCK, false);
    int rc;

    if (wrong != SQLITE_OK && !(flags & SQLITE_SHM_UNLOCK))
        return wrong;
    rc = shim_real(file)->pMethods->xShmLock(shim_real(file), at, n, flags);
    return wrong != SQLITE_OK ? wrong : rc;
}

static inline void shim_shm_barrier(sqlite3_file *file)
{
    shim_real(file)->pMethods->xShmBarrier(shim_real(file));
}

static inline int shim_shm_unmap(sqlite3_file *file, int erase)
{
    return shim_real(file)->pMethods->xShmUnmap(shim_real(file), erase);
}

static const sqlite3_io_methods shim_methods = {
    2, shim_close, shim_read, shim_write, shim_truncate, shim_sync, shim_size, shim_lock, shim_unlock,
    shim_reserved, shim_control, shim_sector, shim_traits, shim_shm_map, shim_shm_lock, shim_shm_barrier,
    shim_shm_unmap, NULL, NULL};

/* ---- Methods of the VFS. ---- */

static inline int shim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
    struct shim_fd *fd = (struct shim_fd *)(void *)file;
    bool new = flags & SQLITE_OPEN_CREATE && path != NULL && access(path, F_OK) != 0;
    int rc = shim_enter(SQLITE_CANTOPEN, new);

    (void)vfs;
    memset(fd, 0, sizeof *fd);
    fd->real = (sqlite3_file *)(fd + 1);
    if (rc == SQLITE_OK)
        rc = shim.real->xOpen(shim.real, path, fd->real, flags, out);
    if (rc != SQLITE_OK)
        return rc;
    fd->base.pMethods = &shim_methods;
    if (path == NULL)
        return rc;
    (void)pthread_mutex_lock(&shim.lock);
    fd->file = shim_of(path);
    if (!fd->file->exists && fd->file->stands)
        shim_note(fd->file, NULL, 0, 0); /* removed and made anew: the old content may come back */
    if (!fd->file->exists)
        fd->file->dir_synced = false;
    fd->file->exists = true;
    fd->file->journal = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    (void)pthread_mutex_unlock(&shim.lock);
    return rc;
}

static inline int shim_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    int rc;

    (void)vfs;
    (void)pthread_mutex_lock(&shim.lock);
    rc = shim_call(SQLITE_IOERR_DELETE, false);
    if (rc == SQLITE_OK && shim_cut())
        rc = SQLITE_IOERR_DELETE;
    if (rc == SQLITE_OK)
        rc = shim.real->xDelete(shim.real, path, 0);
    if (rc == SQLITE_OK) {
        shim_of(path)->exists = false;
        if (sync_dir)
            shim_sync_dir();
    }
    (void)pthread_mutex_unlock(&shim.lock);
    return rc;
}

static inline int shim_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    int rc = shim_enter(SQLITE_IOERR_ACCESS, false);

    (void)vfs;
    return rc != SQLITE_OK ? rc : shim.real->xAccess(shim.real, path, flags, out);
}

static inline int shim_path(sqlite3_vfs *vfs, const char *path, int cap, char *out)
{
    int rc = shim_enter(SQLITE_CANTOPEN, false);

    (void)vfs;
    return rc != SQLITE_OK ? rc : shim.real->xFullPathname(shim.real, path, cap, out);
}

/* Before the first database of the program. */
static inline void shim_install(void)
{
    shim.real = sqlite3_vfs_find(NULL);
    shim.vfs = *shim.real;
    shim.vfs.zName = "shim";
    shim.vfs.pNext = NULL;
    shim.vfs.szOsFile = (int)sizeof(struct shim_fd) + shim.real->szOsFile;
    shim.vfs.xOpen = shim_open;
    shim.vfs.xDelete = shim_delete;
    shim.vfs.xAccess = shim_access;
    shim.vfs.xFullPathname = shim_path;
    (void)sqlite3_vfs_register(&shim.vfs, 1);
}

/* No faults, counters at 0. */
static inline void shim_reset(void)
{
    (void)pthread_mutex_lock(&shim.lock);
    shim.calls = shim.changes = shim.syncs = shim.hits = 0;
    shim.cut_at = shim.fail_from = 0;
    shim.fail_once = false;
    shim.dead = false;
    shim.fault = SHIM_IO;
    shim.sync_ms = 0;
    (void)pthread_mutex_unlock(&shim.lock);
}

/* Another directory: nothing is remembered of files. */
static inline void shim_clear(void)
{
    while (shim.files != NULL) {
        struct shim_file *f = shim.files;

        shim.files = f->next;
        shim_forget(f);
        free(f->image);
        free(f);
    }
    shim_reset();
}

/* From now on, or from the n-th change on. */
static inline void shim_cut_after(uint64_t n)
{
    (void)pthread_mutex_lock(&shim.lock);
    shim.cut_at = shim.changes + n;
    shim.dead = n == 0;
    (void)pthread_mutex_unlock(&shim.lock);
}

static inline void shim_fail_after(uint64_t n, bool once, enum shim_faults fault)
{
    (void)pthread_mutex_lock(&shim.lock);
    shim.fault = fault;
    shim.calls = shim.hits = 0;
    shim.fail_from = n;
    shim.fail_once = once;
    (void)pthread_mutex_unlock(&shim.lock);
}

/* ---- The power comes back. ---- */

/* How the sectors that were not synced fare: all lost, all kept, or each by itself. */
enum shim_luck { SHIM_LOST, SHIM_KEPT, SHIM_MIXED };

static inline void shim_scatter(struct shim_file *f, const struct shim_write *w, enum shim_luck luck)
{
    for (size_t at = w->at, n; at < w->at + w->n; at += n) {
        unsigned dice = luck == SHIM_MIXED ? (unsigned)shim_dice(8) : luck == SHIM_KEPT ? 0 : 7;
        const unsigned char *from = w->data + (at - w->at);

        n = SHIM_SECTOR - at % SHIM_SECTOR;
        if (n > w->at + w->n - at)
            n = w->at + w->n - at;
        if (dice < 4)
            shim_put(f, at, from, n);
        else if (dice == 4)
            shim_put(f, at, from, (size_t)shim_dice(n + 1)); /* torn */
        else if (dice == 5 && at + n <= f->size)
            for (size_t i = 0; i < n; i++)
                f->image[at + i] = (unsigned char)shim_dice(256); /* noise */
    }
}

static inline void shim_restore(struct shim_file *f)
{
    FILE *out;

    if (!f->exists) {
        (void)unlink(f->path);
        return;
    }
    out = fopen(f->path, "r+e");
    if (out == NULL)
        out = fopen(f->path, "we");
    if (out == NULL || ftruncate(fileno(out), 0) != 0 || fwrite(f->image, 1, f->size, out) != f->size) {
        printf("FAIL the test itself cannot write %s\n", f->path);
        exit(1);
    }
    (void)fclose(out);
}

/* All connections are closed: leaves on the disk what a cut of the power there would have left. */
static inline void shim_power(void)
{
    enum shim_luck luck = (enum shim_luck)shim_dice(4);
    char path[sizeof shim.files->path + 8];

    if (luck > SHIM_MIXED)
        luck = SHIM_MIXED;
    for (struct shim_file *f = shim.files; f != NULL; f = f->next) {
        if (f->exists != f->stands)
            f->exists = luck == SHIM_MIXED ? shim_dice(2) == 0 : luck == SHIM_KEPT ? f->exists : f->stands;
        for (const struct shim_write *w = f->head; w != NULL; w = w->next) {
            if (w->data != NULL)
                shim_scatter(f, w, luck);
            else if (luck == SHIM_KEPT || (luck == SHIM_MIXED && shim_dice(2) == 0))
                shim_fit(f, w->at);
        }
        shim_forget(f);
        f->stands = f->exists;
        if (!f->exists)
            f->size = 0;
        shim_restore(f);
        /* What maps the log is not kept anywhere: whatever stands there must not matter. */
        (void)snprintf(path, sizeof path, "%s-shm", f->path);
        if (access(path, F_OK) == 0) {
            FILE *shm = fopen(path, "r+e");

            for (int i = 0; shm != NULL && i < 400; i++)
                (void)fputc((int)shim_dice(256), shm);
            if (shm != NULL)
                (void)fclose(shm);
        }
    }
    shim_reset();
}

#endif
