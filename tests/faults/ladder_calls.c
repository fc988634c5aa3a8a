/* SPDX-License-Identifier: MIT */
/*
 * Stands between a program and malloc, files, sockets and threads: the program's own definitions come before those of
 * the libraries, so the calls of libuv, cJSON, wslay, SQLite and libyaml arrive here, too. Who calls is told by the return
 * address; calls of the C library itself, of the sanitizer and of the test (whose object file names ladder_X instead
 * of X) never fail.
 *
 * Not failed, since libuv ends the process there by abort(): its reallocs (the table of watchers), its locks, and its
 * reads and writes of what is no socket. SQLite's calls to the system fail in test_disk.
 */
#include "plugin/base/mem.h"
#include "tests/faults/ladder.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define OPEN __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)
#define FRAMES 14

enum call {
    CALL_alloc, CALL_open, CALL_openat, CALL_read, CALL_pread, CALL_write, CALL_pwrite, CALL_fsync, CALL_rename,
    CALL_renameat, CALL_fchmod, CALL_chmod, CALL_fstat, CALL_stat, CALL_lstat, CALL_fstatat, CALL_access, CALL_ftruncate,
    CALL_flock, CALL_dup, CALL_opendir, CALL_fdopendir, CALL_readdir, CALL_mkdir, CALL_mkdirat, CALL_unlink, CALL_unlinkat,
    CALL_inotify_init1, CALL_inotify_add_watch, CALL_eventfd, CALL_poll, CALL_mmap, CALL_getrandom, CALL_statvfs,
    CALL_getaddrinfo, CALL_getpwuid_r, CALL_getcwd, CALL_pthread_create, CALL_pthread_mutex_init, CALL_pthread_cond_init,
    CALL_socket, CALL_connect, CALL_bind, CALL_listen, CALL_accept4, CALL_setsockopt, CALL_sendmsg, CALL_recvmsg,
    CALL_epoll_create1, CALLS
};

#define ERRS 4
static const struct {
    const char *name;
    int err[ERRS + 1];
} calls[CALLS] = {
#define ROW(call, ...) [CALL_##call] = {#call, {__VA_ARGS__}}
    ROW(alloc, ENOMEM),
    ROW(open, EMFILE, EIO, ENOSPC, EINTR),
    ROW(openat, EMFILE, EIO, ENOSPC, EINTR),
    ROW(read, EIO, EINTR, LADDER_SHORT, ECONNRESET),
    ROW(pread, EIO, EINTR, LADDER_SHORT),
    ROW(write, ENOSPC, EIO, EINTR, LADDER_SHORT),
    ROW(pwrite, ENOSPC, EIO, EINTR, LADDER_SHORT),
    ROW(fsync, EIO, ENOSPC, EINTR),
    ROW(rename, EIO, ENOSPC),
    ROW(renameat, EIO, ENOSPC),
    ROW(fchmod, EPERM, EIO),
    ROW(chmod, EPERM, EIO),
    ROW(fstat, EIO),
    ROW(stat, EIO, EACCES),
    ROW(lstat, EIO, EACCES),
    ROW(fstatat, EIO, EACCES),
    ROW(access, EIO),
    ROW(ftruncate, EIO, EINTR),
    ROW(flock, EINTR, ENOLCK),
    ROW(dup, EMFILE),
    ROW(opendir, EMFILE, ENOMEM),
    ROW(fdopendir, ENOMEM),
    ROW(readdir, EIO),
    ROW(mkdir, ENOSPC, EACCES),
    ROW(mkdirat, ENOSPC, EACCES),
    ROW(unlink, EIO, EACCES),
    ROW(unlinkat, EIO, EACCES),
    ROW(inotify_init1, EMFILE),
    ROW(inotify_add_watch, ENOSPC, EACCES),
    ROW(eventfd, EMFILE),
    ROW(poll, EINTR, ENOMEM),
    ROW(mmap, ENOMEM),
    ROW(getrandom, EINTR, ENOSYS),
    ROW(statvfs, EIO),
    ROW(getaddrinfo, EAI_AGAIN, EAI_MEMORY, EAI_NONAME),
    ROW(getpwuid_r, EIO),
    ROW(getcwd, ENOENT),
    ROW(pthread_create, EAGAIN),
    ROW(pthread_mutex_init, ENOMEM),
    ROW(pthread_cond_init, ENOMEM),
    ROW(socket, EMFILE, ENOBUFS),
    ROW(connect, ECONNREFUSED, EADDRNOTAVAIL, EINTR),
    ROW(bind, EADDRINUSE),
    ROW(listen, EADDRINUSE),
    ROW(accept4, ECONNABORTED, EMFILE, EINTR),
    ROW(setsockopt, ENOPROTOOPT),
    ROW(sendmsg, EPIPE, ECONNRESET),
    ROW(recvmsg, ECONNRESET),
    ROW(epoll_create1, EMFILE),
#undef ROW
};

static const char *const who_names[WHO_N] = {"ours", "OpenSSL", "SQLite", "cJSON", "libuv", "wslay", "libyaml"};

/* The ranges of code whose calls may fail. */
static struct {
    uintptr_t from, to;
    enum ladder_who who;
} code[32];
static unsigned codes;

static enum ladder_mode mode;
static struct ladder_map *map;
static struct ladder_aim aim;
static atomic_uint turn = 1, threads;
static _Atomic uint16_t case_now;
static atomic_bool in_aim, spent;
static _Thread_local unsigned aside; /* calls of the test, or of us */
static _Thread_local struct {
    unsigned turn;
    uint32_t n[LADDER_KINDS];
    uint8_t thread;
} mine;

/* ---- Who calls. ---- */

static enum ladder_who who_of(const void *address)
{
    uintptr_t at = (uintptr_t)address;

    for (unsigned i = 0; i < codes; i++)
        if (at >= code[i].from && at < code[i].to)
            return code[i].who;
    return WHO_NOBODY;
}

static int note_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    static const struct {
        const char *name;
        enum ladder_who who;
    } known[] = {{"/libsqlite3.so", WHO_SQLITE}, {"/libcjson.so", WHO_CJSON}, {"/libuv.so", WHO_UV},
                 {"/libwslay.so", WHO_WSLAY}, {"/libyaml-", WHO_YAML}};
    enum ladder_who who = info->dlpi_name[0] == '\0' ? WHO_OURS : WHO_NOBODY;

    (void)size;
    if (who == WHO_OURS && (*(unsigned *)arg)++ > 0)
        who = WHO_NOBODY; /* the kernel's page has no name either */
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strstr(info->dlpi_name, known[i].name) != NULL)
            who = known[i].who;
    for (int i = 0; who != WHO_NOBODY && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || codes == sizeof code / sizeof code[0])
            continue;
        code[codes].from = info->dlpi_addr + p->p_vaddr;
        code[codes].to = code[codes].from + p->p_memsz;
        code[codes++].who = who;
    }
    return 0;
}

/* ---- Places. ---- */

static uint64_t path_hash(void)
{
    void *at[FRAMES];
    int n = backtrace(at, FRAMES);
    uint64_t h = 1469598103934665603u;

    for (int i = 0; i < n; i++)
        h = (h ^ (uint64_t)(uintptr_t)at[i]) * 1099511628211u;
    return h;
}

static void note_place(enum ladder_kind kind, unsigned call, enum ladder_who who)
{
    unsigned i;

    if (kind != map->kind)
        return;
    i = atomic_fetch_add(&map->n, 1);
    if (i >= LADDER_PLACES) {
        atomic_store(&map->full, true);
        return;
    }
    aside++;
    map->place[i] = (struct ladder_place){.path = path_hash(), .n = mine.n[kind], .in = atomic_load(&case_now),
                                          .thread = mine.thread, .kind = (uint8_t)kind, .call = (uint8_t)call,
                                          .who = (uint8_t)who};
    aside--;
}

static void show_trace(void)
{
    void *at[40];

    aside++;
    printf("  fails here:\n");
    fflush(stdout);
    backtrace_symbols_fd(at, backtrace(at, 40), STDOUT_FILENO);
    aside--;
}

/* Counts a call that may fail. What it fails with, or 0. */
static int place(enum ladder_kind kind, unsigned call, enum ladder_who who)
{
    unsigned now = atomic_load_explicit(&turn, memory_order_relaxed);

    if (mode == MODE_OFF || aside > 0)
        return 0;
    if (mine.turn != now) {
        mine.turn = now;
        mine.thread = (uint8_t)atomic_fetch_add(&threads, 1);
        memset(mine.n, 0, sizeof mine.n);
    }
    mine.n[kind]++;
    if (mode == MODE_COUNT) {
        note_place(kind, call, who);
        return 0;
    }
    if (!atomic_load(&in_aim) || kind != aim.kind || mine.thread != aim.thread || mine.n[kind] < aim.n ||
        (mine.n[kind] > aim.n && !aim.on) || (mine.n[kind] == aim.n && atomic_exchange(&spent, true)))
        return 0;
    if (aim.fired != NULL)
        atomic_store(aim.fired, true);
    if (aim.trace && mine.n[kind] == aim.n)
        show_trace();
    return aim.err;
}

/* The test's own words: a case begins; a check does not hold. */
void t_ladder_case(const char *name);
void t_ladder_bad(void);

void t_ladder_case(const char *name)
{
    unsigned i;

    if (mode == MODE_OFF)
        return;
    if (mode == MODE_COUNT) {
        i = atomic_fetch_add(&map->cases, 1);
        if (i >= LADDER_CASES)
            i = LADDER_CASES - 1;
        (void)snprintf(map->name[i], sizeof map->name[i], "%s", name);
        atomic_store(&case_now, (uint16_t)i);
    } else {
        atomic_store(&in_aim, strncmp(name, aim.in, sizeof map->name[0] - 1) == 0);
    }
    atomic_store(&threads, 0);
    atomic_fetch_add(&turn, 1);
}

void t_ladder_bad(void)
{
    if (mode == MODE_FAIL)
        ladder_bad();
}

void ladder_start(enum ladder_mode m, struct ladder_map *shared, const struct ladder_aim *a)
{
    map = shared;
    if (a != NULL)
        aim = *a;
    atomic_store(&in_aim, a != NULL && a->in[0] == '\0');
    if (m == MODE_COUNT) /* what comes before the first case */
        atomic_store(&map->cases, 1);
    mode = m;
}

int ladder_fault(unsigned call, unsigned i)
{
    return call < CALLS && i <= ERRS ? calls[call].err[i] : 0;
}

const char *ladder_call_name(unsigned call)
{
    return call < CALLS ? calls[call].name : "?";
}

const char *ladder_who_name(unsigned who)
{
    return who < WHO_N ? who_names[who] : "?";
}

/* ---- Memory. ---- */

/* The allocator behind us: the sanitizer's where there is one. */
void *__interceptor_malloc(size_t) __attribute__((weak));
void *__interceptor_calloc(size_t, size_t) __attribute__((weak));
void *__interceptor_realloc(void *, size_t) __attribute__((weak));
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static void *real_malloc(size_t n)
{
    return __interceptor_malloc != NULL ? __interceptor_malloc(n) : __libc_malloc(n);
}

static void *real_calloc(size_t n, size_t each)
{
    return __interceptor_calloc != NULL ? __interceptor_calloc(n, each) : __libc_calloc(n, each);
}

static void *real_realloc(void *p, size_t n)
{
    return __interceptor_realloc != NULL ? __interceptor_realloc(p, n) : __libc_realloc(p, n);
}

static bool starved(enum ladder_who who)
{
    int err = who != WHO_NOBODY ? place(LADDER_ALLOC, CALL_alloc, who) : 0;

    if (err != 0)
        errno = err;
    return err != 0;
}

OPEN void *malloc(size_t n)
{
    return mode != MODE_OFF && starved(who_of(CALLER)) ? NULL : real_malloc(n);
}

OPEN void *calloc(size_t n, size_t each)
{
    return mode != MODE_OFF && starved(who_of(CALLER)) ? NULL : real_calloc(n, each);
}

OPEN void *realloc(void *p, size_t n)
{
    enum ladder_who who = mode != MODE_OFF ? who_of(CALLER) : WHO_NOBODY;

    return who != WHO_UV && starved(who) ? NULL : real_realloc(p, n);
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return n == 0 || starved(WHO_OPENSSL) ? NULL : real_malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    if (n == 0) {
        free(p);
        return NULL;
    }
    return starved(WHO_OPENSSL) ? NULL : real_realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

__attribute__((constructor)) static void begin(void)
{
    void *warm[2];
    unsigned own = 0;

    /* It loads a library, and what the dynamic loader keeps of that looks like a leak. */
    if (__lsan_disable != NULL)
        __lsan_disable();
    (void)backtrace(warm, 2);
    if (__lsan_enable != NULL)
        __lsan_enable();
    (void)dl_iterate_phdr(note_object, &own);
    (void)CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
}

/* The test's own calls. */
void *ladder_malloc(size_t n);
void *ladder_calloc(size_t n, size_t each);
void *ladder_realloc(void *p, size_t n);
void *ladder_mem_alloc(size_t n);
void *ladder_mem_zalloc(size_t n);
void *ladder_mem_realloc(void *p, size_t n);
char *ladder_mem_dup(const void *p, size_t n);

void *ladder_malloc(size_t n)
{
    return real_malloc(n);
}

void *ladder_calloc(size_t n, size_t each)
{
    return real_calloc(n, each);
}

void *ladder_realloc(void *p, size_t n)
{
    return real_realloc(p, n);
}

/* Noted for whoever ends this child, since a test that is stopped leaves its directories. */
char *ladder_mkdtemp(char *template);

char *ladder_mkdtemp(char *template)
{
    char note[128], *path = mkdtemp(template);
    const char *dir = getenv("TMPDIR");
    FILE *f;

    (void)snprintf(note, sizeof note, "%.100s/" LADDER_DIRS, dir != NULL ? dir : "");
    f = path != NULL && dir != NULL ? fopen(note, "ae") : NULL;
    if (f != NULL) {
        (void)fprintf(f, "%s\n", path);
        (void)fclose(f);
    }
    return path;
}

#define ASIDE(type, call) \
    type p_; \
    aside++; \
    p_ = call; \
    aside--; \
    return p_

void *ladder_mem_alloc(size_t n)
{
    ASIDE(void *, mem_alloc(n));
}

void *ladder_mem_zalloc(size_t n)
{
    ASIDE(void *, mem_zalloc(n));
}

void *ladder_mem_realloc(void *p, size_t n)
{
    ASIDE(void *, mem_realloc(p, n));
}

char *ladder_mem_dup(const void *p, size_t n)
{
    ASIDE(char *, mem_dup(p, n));
}

/* ---- Files, sockets, threads. ---- */

/* What a call of files or sockets fails with: errno, LADDER_SHORT or 0. */
static int io(unsigned call, const void *caller)
{
    enum ladder_who who = mode != MODE_OFF ? who_of(caller) : WHO_NOBODY;

    return who == WHO_OURS || who == WHO_UV ? place(LADDER_IO, call, who) : 0;
}

/* libuv ends the process when its wake-ups fail: of what it reads and writes, sockets alone do. */
static int io_at(unsigned call, int fd, const void *caller)
{
    int type;
    socklen_t n = sizeof type;

    if (mode != MODE_OFF && who_of(caller) == WHO_UV && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0)
        return 0;
    return io(call, caller);
}

/* Nor can it do without a lock. */
static int io_lock(unsigned call, const void *caller)
{
    return mode != MODE_OFF && who_of(caller) == WHO_UV ? 0 : io(call, caller);
}

#define REAL(ret, name, params) \
    typedef ret name##_fn params; \
    static name##_fn *real_##name(void) \
    { \
        static name##_fn *_Atomic kept; \
        name##_fn *f = kept; \
        if (f == NULL) { \
            void *p = dlsym(RTLD_NEXT, #name); \
            memcpy(&f, &p, sizeof f); \
            kept = f; \
        } \
        return f; \
    }
#define TEST(ret, name, params, args) \
    ret ladder_##name params; \
    ret ladder_##name params \
    { \
        return real_##name() args; \
    }
/* fail: what is evaluated with the fault in err_ and is the result. */
#define CALL(ret, name, params, args, fail) \
    REAL(ret, name, params) \
    TEST(ret, name, params, args) \
    OPEN ret name params \
    { \
        int err_ = io(CALL_##name, CALLER); \
        return err_ != 0 ? fail : real_##name() args; \
    }
#define MINUS (errno = err_, -1)
#define NOTHING (errno = err_, NULL)

CALL(int, fsync, (int fd), (fd), MINUS)
CALL(int, rename, (const char *a, const char *b), (a, b), MINUS)
CALL(int, renameat, (int a, const char *an, int b, const char *bn), (a, an, b, bn), MINUS)
CALL(int, fchmod, (int fd, mode_t m), (fd, m), MINUS)
CALL(int, chmod, (const char *path, mode_t m), (path, m), MINUS)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), MINUS)
CALL(int, stat, (const char *restrict path, struct stat *restrict st), (path, st), MINUS)
CALL(int, lstat, (const char *restrict path, struct stat *restrict st), (path, st), MINUS)
CALL(int, fstatat, (int fd, const char *restrict path, struct stat *restrict st, int flags), (fd, path, st, flags), MINUS)
CALL(int, access, (const char *path, int how), (path, how), MINUS)
CALL(int, ftruncate, (int fd, off_t n), (fd, n), MINUS)
CALL(int, flock, (int fd, int how), (fd, how), MINUS)
CALL(int, dup, (int fd), (fd), MINUS)
CALL(DIR *, opendir, (const char *path), (path), NOTHING)
CALL(DIR *, fdopendir, (int fd), (fd), NOTHING)
CALL(struct dirent *, readdir, (DIR *d), (d), NOTHING)
CALL(int, mkdir, (const char *path, mode_t m), (path, m), MINUS)
CALL(int, mkdirat, (int fd, const char *path, mode_t m), (fd, path, m), MINUS)
CALL(int, unlink, (const char *path), (path), MINUS)
CALL(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), MINUS)
CALL(int, inotify_init1, (int flags), (flags), MINUS)
CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), MINUS)
CALL(int, eventfd, (unsigned count, int flags), (count, flags), MINUS)
CALL(int, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), MINUS)
CALL(void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t at), (p, n, prot, flags, fd, at),
     (errno = err_, MAP_FAILED))
CALL(ssize_t, getrandom, (void *p, size_t n, unsigned flags), (p, n, flags), MINUS)
CALL(int, statvfs, (const char *restrict path, struct statvfs *restrict v), (path, v), MINUS)
CALL(int, getaddrinfo, (const char *restrict host, const char *restrict port, const struct addrinfo *restrict hints,
     struct addrinfo **restrict out), (host, port, hints, out), err_)
CALL(int, getpwuid_r, (uid_t uid, struct passwd *restrict p, char *restrict b, size_t n, struct passwd **restrict out),
     (uid, p, b, n, out), (*out = NULL, err_))
CALL(char *, getcwd, (char *p, size_t n), (p, n), NOTHING)
CALL(int, pthread_create, (pthread_t *restrict t, const pthread_attr_t *restrict a, void *(*fn)(void *), void *restrict arg),
     (t, a, fn, arg), err_)
#define io io_lock
CALL(int, pthread_mutex_init, (pthread_mutex_t *m, const pthread_mutexattr_t *a), (m, a), err_)
CALL(int, pthread_cond_init, (pthread_cond_t *restrict c, const pthread_condattr_t *restrict a), (c, a), err_)
#undef io
CALL(int, socket, (int family, int type, int protocol), (family, type, protocol), MINUS)
CALL(int, connect, (int fd, __CONST_SOCKADDR_ARG a, socklen_t n), (fd, a, n), MINUS)
CALL(int, bind, (int fd, __CONST_SOCKADDR_ARG a, socklen_t n), (fd, a, n), MINUS)
CALL(int, listen, (int fd, int n), (fd, n), MINUS)
CALL(int, accept4, (int fd, __SOCKADDR_ARG a, socklen_t *restrict n, int flags), (fd, a, n, flags), MINUS)
CALL(int, setsockopt, (int fd, int level, int name, const void *p, socklen_t n), (fd, level, name, p, n), MINUS)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), MINUS)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), MINUS)
CALL(int, epoll_create1, (int flags), (flags), MINUS)

/* Reads and writes may also do less than they were asked for. */
#define MOVE(name, params, args, fd_) \
    REAL(ssize_t, name, params) \
    TEST(ssize_t, name, params, args) \
    OPEN ssize_t name params \
    { \
        int err_ = io_at(CALL_##name, fd_, CALLER); \
        if (err_ == LADDER_SHORT && n > 1) \
            n = 1; \
        else if (err_ > 0) \
            return MINUS; \
        return real_##name() args; \
    }
MOVE(read, (int fd, void *p, size_t n), (fd, p, n), fd)
MOVE(pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), fd)
MOVE(write, (int fd, const void *p, size_t n), (fd, p, n), fd)
MOVE(pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), fd)

/* What FORTIFY makes of them. */
ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room);
ssize_t ladder___read_chk(int fd, void *p, size_t n, size_t room);
ssize_t ladder___pread_chk(int fd, void *p, size_t n, off_t at, size_t room);

OPEN ssize_t __read_chk(int fd, void *p, size_t n, size_t room)
{
    int err_ = io_at(CALL_read, fd, CALLER);

    if (err_ > 0)
        return MINUS;
    return real_read()(fd, p, err_ == LADDER_SHORT && n > 1 ? 1 : n < room ? n : room);
}

OPEN ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room)
{
    int err_ = io_at(CALL_pread, fd, CALLER);

    if (err_ > 0)
        return MINUS;
    return real_pread()(fd, p, err_ == LADDER_SHORT && n > 1 ? 1 : n < room ? n : room, at);
}

ssize_t ladder___read_chk(int fd, void *p, size_t n, size_t room)
{
    return real_read()(fd, p, n < room ? n : room);
}

ssize_t ladder___pread_chk(int fd, void *p, size_t n, off_t at, size_t room)
{
    return real_pread()(fd, p, n < room ? n : room, at);
}

REAL(int, open, (const char *path, int flags, ...))
REAL(int, openat, (int dir, const char *path, int flags, ...))
int ladder_open(const char *path, int flags, ...);
int ladder_openat(int dir, const char *path, int flags, ...);

#define MODE_OF(flags) \
    mode_t m_ = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list ap; \
        va_start(ap, flags); \
        m_ = va_arg(ap, mode_t); \
        va_end(ap); \
    }

OPEN int open(const char *path, int flags, ...)
{
    int err_ = io(CALL_open, CALLER);

    MODE_OF(flags)
    return err_ != 0 ? MINUS : real_open()(path, flags, m_);
}

int ladder_open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return real_open()(path, flags, m_);
}

OPEN int openat(int dir, const char *path, int flags, ...)
{
    int err_ = io(CALL_openat, CALLER);

    MODE_OF(flags)
    return err_ != 0 ? MINUS : real_openat()(dir, path, flags, m_);
}

int ladder_openat(int dir, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return real_openat()(dir, path, flags, m_);
}
