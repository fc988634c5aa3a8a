/* SPDX-License-Identifier: MIT */
#include "plugin/recordings.h"

#include "plugin/base/seal.h"
#include "tests/unit/net_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char key[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct world {
    char dir[64], folder[96];
    struct loop *loop;
    struct recordings *r;
    struct recordings_config config;
    struct recording_file *f;
    struct recording_source *s;
    const char *name;
    const char *bytes;
    size_t n, step, write_at;
    uint64_t from, before_ms;
    bool sealed;
    int rc, write_rc;
    struct err e;
    /* what callbacks told */
    atomic_uint calls;
    int told_rc;
    uint64_t told_bytes;
    char told_name[RECORDING_NAME_BYTES], told_sum[65], told_names[4096];
    bool told_sealed;
    char *got;
    size_t got_n;
};

static void told(struct world *w, int rc)
{
    w->told_rc = rc;
    atomic_fetch_add(&w->calls, 1);
}

static void on_made(void *arg, int rc, const struct recording_made *made)
{
    struct world *w = arg;

    if (made != NULL) {
        (void)str_copy(w->told_name, sizeof w->told_name, made->name);
        (void)str_copy(w->told_sum, sizeof w->told_sum, str_of(made->sha256));
        w->told_bytes = made->bytes;
        w->told_sealed = made->sealed;
    }
    told(w, (rc < 0) == (made == NULL) ? rc : INT32_MAX);
}

static void on_opened(void *arg, int rc, uint64_t bytes)
{
    struct world *w = arg;

    w->told_bytes = bytes;
    told(w, rc);
}

static void on_bytes(void *arg, int rc, struct str bytes)
{
    struct world *w = arg;

    w->got_n = bytes.n;
    if (rc == 0)
        memcpy(w->got, bytes.p, bytes.n);
    told(w, rc);
}

static void on_gone(void *arg, int rc)
{
    told(arg, rc);
}

static void on_expired(void *arg, int rc, struct str names)
{
    struct world *w = arg;

    (void)str_copy(w->told_names, sizeof w->told_names, names);
    told(w, rc);
}

/* ---- on the loop ---- */

static void open_fn(void *arg)
{
    struct world *w = arg;

    w->config.loop = w->loop;
    w->config.log = kit_log();
    w->config.state_dir = w->dir;
    w->rc = recordings_open(&w->r, &w->config, &w->e);
}

static void close_fn(void *arg)
{
    struct world *w = arg;

    recordings_close(w->r);
    w->r = NULL;
}

static void begin_fn(void *arg)
{
    struct world *w = arg;

    w->rc = recording_file_open(&w->f, w->r, str_of(w->name));
    w->write_at = 0;
    w->write_rc = w->rc;
}

/* A few pieces at once, with room left in the queue. */
static void write_fn(void *arg)
{
    struct world *w = arg;

    while (w->write_rc == 0 && w->write_at < w->n && recording_file_pending(w->f) + w->step < (4u << 20)) {
        size_t n = w->n - w->write_at < w->step ? w->n - w->write_at : w->step;

        w->write_rc = recording_file_write(w->f, str_make(w->bytes + w->write_at, n));
        w->write_at += n;
    }
}

static void finish_fn(void *arg)
{
    struct world *w = arg;

    recording_file_finish(w->f, on_made, w);
}

static void abandon_fn(void *arg)
{
    struct world *w = arg;

    recording_file_abandon(w->f);
}

static void source_fn(void *arg)
{
    struct world *w = arg;

    w->rc = recording_source_open(&w->s, w->r, str_of(w->name), w->sealed, on_opened, w);
}

static void read_fn(void *arg)
{
    struct world *w = arg;

    w->rc = recording_source_read(w->s, w->from, w->n, on_bytes, w);
}

static void source_close_fn(void *arg)
{
    struct world *w = arg;

    recording_source_close(w->s);
}

static void delete_fn(void *arg)
{
    struct world *w = arg;

    w->rc = recording_delete(w->r, str_of(w->name), on_gone, w);
}

static void expire_fn(void *arg)
{
    struct world *w = arg;

    w->rc = recordings_expire(w->r, w->before_ms, on_expired, w);
}

/* ---- helpers of the main thread ---- */

static void again(struct world *w)
{
    w->e = (struct err){0};
    w->loop = kit_loop();
    kit_do(w->loop, open_fn, w);
}

static void world_open(struct world *w, const char *with_key, uint64_t max_bytes)
{
    memset(w, 0, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/ocv-recordings-XXXXXX");
    T_MUST(mkdtemp(w->dir) != NULL);
    (void)snprintf(w->folder, sizeof w->folder, "%s/recordings", w->dir);
    w->config = (struct recordings_config){.key = with_key, .max_bytes = max_bytes};
    w->step = 50000;
    w->got = malloc(RECORDING_READ_BYTES);
    again(w);
    T_MUST(w->rc == 0);
}

static void stop(struct world *w)
{
    if (w->r != NULL)
        kit_do(w->loop, close_fn, w);
    kit_end(w->loop);
}

/* Entries of the folder; with `remove` it is emptied. */
static unsigned entries(struct world *w, bool removes)
{
    DIR *d = opendir(w->folder);
    struct dirent *entry;
    char path[500];
    unsigned n = 0;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        (void)snprintf(path, sizeof path, "%s/%s", w->folder, entry->d_name);
        if (removes)
            (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
    return n;
}

static void world_close(struct world *w)
{
    stop(w);
    (void)entries(w, true);
    (void)rmdir(w->folder);
    T_EQ(rmdir(w->dir), 0);
    free(w->got);
}

/* Does it on the loop and waits for the callback; returns what that told. */
static int wait_for(struct world *w, void (*fn)(void *arg))
{
    unsigned before = atomic_load(&w->calls);

    w->told_rc = 1;
    kit_do(w->loop, fn, w);
    T_MUST(kit_wait_count(&w->calls, before + 1));
    return w->told_rc;
}

static int make(struct world *w, const char *name, const char *bytes, size_t n)
{
    uint64_t until = clock_mono_ms() + KIT_WAIT_MS;

    w->name = name;
    w->bytes = bytes;
    w->n = n;
    kit_do(w->loop, begin_fn, w);
    if (w->rc < 0)
        return w->rc;
    while (w->write_at < w->n && w->write_rc == 0 && clock_mono_ms() < until) {
        kit_do(w->loop, write_fn, w);
        usleep(500);
    }
    return wait_for(w, finish_fn);
}

static int fetch(struct world *w, const char *name, bool sealed, uint64_t from, size_t n)
{
    int rc;

    w->name = name;
    w->sealed = sealed;
    rc = wait_for(w, source_fn);
    if (rc == 0) {
        w->from = from;
        w->n = n;
        rc = wait_for(w, read_fn);
    }
    kit_do(w->loop, source_close_fn, w);
    return rc;
}

static char *noise(size_t n)
{
    char *p = malloc(n);
    uint32_t x = 99;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (char)(x >> 24);
    }
    return p;
}

static void sum_of(const char *p, size_t n, char hex[65])
{
    struct seal_sum *s = NULL;

    T_MUST(seal_sum_open(&s) == 0);
    seal_sum_add(s, str_make(p, n));
    seal_sum_end(s, hex);
}

static long size_of(struct world *w, const char *name, mode_t *mode)
{
    char path[300];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/%s", w->folder, name);
    if (stat(path, &st) != 0)
        return -1;
    *mode = st.st_mode & 07777;
    return (long)st.st_size;
}

/* ---- the cases ---- */

static void files_plain_and_sealed(void)
{
    size_t n = 1000000;
    char *bytes = noise(n), want[65];

    sum_of(bytes, n, want);
    for (int sealed = 0; sealed < 2; sealed++) {
        struct world w;
        struct stat st;
        mode_t mode = 0;

        world_open(&w, sealed ? key : "", 0);
        T_OK(stat(w.folder, &st));
        T_EQ(st.st_mode & 07777, 0700);
        T_OK(make(&w, "call_1.wav", bytes, n));
        T_STR_EQ(w.told_name, "call_1.wav");
        T_STR_EQ(w.told_sum, want);
        T_EQ(w.told_bytes, n);
        T_EQ(w.told_sealed, sealed);
        T_EQ(size_of(&w, "call_1.wav", &mode), sealed ? (long)n + 40 + 16 * 16 : (long)n);
        T_EQ(mode, 0600);
        T_EQ(entries(&w, false), 1);
        T_OK(fetch(&w, "call_1.wav", sealed, 0, 1000));
        T_MEM_EQ(w.got, w.got_n, bytes, 1000);
        T_EQ(w.told_rc, 0);
        T_OK(fetch(&w, "call_1.wav", sealed, n - 200000, 200000));
        T_MEM_EQ(w.got, w.got_n, bytes + n - 200000, 200000);
        T_EQ(fetch(&w, "call_1.wav", sealed, n - 1, 2), ERR_INVALID);
        T_EQ(fetch(&w, "call_2.wav", sealed, 0, 1), ERR_NOT_FOUND);
        T_EQ(fetch(&w, "call_1.wav", !sealed, 0, 1), sealed ? 0 : ERR_DENIED);
        /* An empty one, and one in the place of another. */
        T_OK(make(&w, "call_1.wav", "", 0));
        T_EQ(w.told_bytes, 0);
        T_EQ(entries(&w, false), 1);
        world_close(&w);
    }
    free(bytes);
}

static void damage_is_found(void)
{
    struct world w;
    char path[300];
    int fd;

    world_open(&w, key, 0);
    T_OK(make(&w, "a", "hello", 5));
    (void)snprintf(path, sizeof path, "%s/a", w.folder);
    fd = open(path, O_RDWR);
    T_EQ(pwrite(fd, "x", 1, 41), 1);
    T_EQ(fetch(&w, "a", true, 0, 5), ERR_CORRUPT);
    T_OK(ftruncate(fd, 0));
    T_EQ(fetch(&w, "a", true, 0, 5), ERR_CORRUPT);
    T_EQ(write(fd, "plain words in its place that are long enough to hold a head and a tag.....", 75), 75);
    T_EQ(fetch(&w, "a", true, 0, 5), ERR_CORRUPT);
    close(fd);
    /* Another key, or none. */
    T_OK(make(&w, "a", "hello", 5));
    stop(&w);
    w.config.key = "another key, long enough";
    again(&w);
    T_EQ(fetch(&w, "a", true, 0, 5), ERR_CORRUPT);
    stop(&w);
    w.config.key = "";
    again(&w);
    T_EQ(fetch(&w, "a", true, 0, 5), ERR_DENIED);
    stop(&w);
    w.config.key = "short";
    again(&w);
    T_EQ(w.rc, ERR_INVALID);
    w.r = NULL;
    world_close(&w);
}

static void names(void)
{
    static const char *const bad[] = {"", ".", "..", ".a", "a/b", "../a", "a b", "a\n", "\xc3\xa4"};
    char long_name[200];
    struct world w;

    world_open(&w, "", 0);
    memset(long_name, 'a', sizeof long_name);
    long_name[121] = '\0';
    for (size_t i = 0; i < sizeof bad / sizeof *bad + 1; i++) {
        w.name = i < sizeof bad / sizeof *bad ? bad[i] : long_name;
        kit_do(w.loop, begin_fn, &w);
        T_EQ(w.rc, ERR_INVALID);
        kit_do(w.loop, source_fn, &w);
        T_EQ(w.rc, ERR_INVALID);
        kit_do(w.loop, delete_fn, &w);
        T_EQ(w.rc, ERR_INVALID);
    }
    long_name[120] = '\0';
    T_OK(make(&w, long_name, "a", 1));
    T_EQ(entries(&w, false), 1);
    /* No way out by a link, no waiting for a pipe. */
    {
        char path[300], other[300];

        (void)snprintf(path, sizeof path, "%s/link", w.folder);
        (void)snprintf(other, sizeof other, "%s/pipe", w.folder);
        T_OK(symlink("/etc/passwd", path));
        T_OK(mkfifo(other, 0600));
        T_EQ(fetch(&w, "link", false, 0, 1), -ELOOP);
        T_EQ(fetch(&w, "pipe", false, 0, 1), ERR_INVALID);
    }
    world_close(&w);
}

static void limits(void)
{
    struct world w;
    char *bytes = noise(100001);

    world_open(&w, "", 100000);
    T_OK(make(&w, "fits", bytes, 100000));
    T_EQ(make(&w, "over", bytes, 100001), ERR_TOO_BIG);
    T_EQ(entries(&w, false), 1);
    world_close(&w);
    free(bytes);
}

static void what_is_left_of_a_crash(void)
{
    struct world w;
    char path[300];
    int left, held;

    world_open(&w, "", 0);
    T_OK(make(&w, "whole", "a", 1));
    stop(&w);
    (void)snprintf(path, sizeof path, "%s/.call_1.wav.00112233.part", w.folder);
    left = open(path, O_CREAT | O_WRONLY, 0600);
    close(left);
    (void)snprintf(path, sizeof path, "%s/.call_2.wav.00112233.part", w.folder);
    held = open(path, O_CREAT | O_WRONLY, 0600);
    T_OK(flock(held, LOCK_EX | LOCK_NB)); /* another instance is writing this one */
    T_OK(chmod(w.folder, 0755));
    again(&w);
    T_OK(w.rc);
    T_OK(make(&w, "next", "a", 1));
    T_EQ(entries(&w, false), 3);
    T_OK(access(path, F_OK));
    {
        struct stat st;

        T_OK(stat(w.folder, &st));
        T_EQ(st.st_mode & 07777, 0700);
    }
    close(held);
    world_close(&w);
}

static void given_up(void)
{
    struct world w;

    world_open(&w, key, 0);
    w.name = "a";
    w.bytes = "hello";
    w.n = 5;
    kit_do(w.loop, begin_fn, &w);
    kit_do(w.loop, write_fn, &w);
    kit_do(w.loop, abandon_fn, &w);
    T_OK(make(&w, "b", "x", 1)); /* behind it in the line */
    T_EQ(entries(&w, false), 1);
    world_close(&w);
}

static void removed(void)
{
    struct world w;

    world_open(&w, "", 0);
    T_OK(make(&w, "a", "x", 1));
    T_OK(wait_for(&w, delete_fn));
    T_EQ(entries(&w, false), 0);
    T_EQ(wait_for(&w, delete_fn), ERR_NOT_FOUND);
    T_OK(make(&w, "old", "x", 1));
    T_OK(make(&w, "new", "x", 1));
    {
        char path[300];
        struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};

        (void)snprintf(path, sizeof path, "%s/old", w.folder);
        T_OK(utimensat(AT_FDCWD, path, times, 0));
    }
    w.before_ms = 1000000000000;
    T_OK(wait_for(&w, expire_fn));
    T_STR_EQ(w.told_names, "");
    w.before_ms++;
    T_OK(wait_for(&w, expire_fn));
    T_STR_EQ(w.told_names, "old\n");
    T_EQ(entries(&w, false), 1);
    /* What is being read stays readable to its end. */
    w.name = "new";
    w.sealed = false;
    T_OK(wait_for(&w, source_fn));
    T_OK(wait_for(&w, delete_fn));
    w.from = 0;
    w.n = 1;
    T_OK(wait_for(&w, read_fn));
    kit_do(w.loop, source_close_fn, &w);
    T_EQ(entries(&w, false), 0);
    world_close(&w);
}

static void a_full_or_broken_disk(void)
{
    struct world w;

    world_open(&w, "", 0);
    T_OK(make(&w, "a", "x", 1));
    (void)entries(&w, true);
    T_OK(rmdir(w.folder)); /* a folder without a name takes no files */
    T_EQ(make(&w, "b", "x", 1), -ENOENT);
    T_EQ(fetch(&w, "a", false, 0, 1), ERR_NOT_FOUND);
    world_close(&w);
    memset(&w, 0, sizeof w);
    (void)snprintf(w.dir, sizeof w.dir, "/proc/1/nowhere");
    w.config.key = "";
    again(&w);
    T_EQ(w.rc, ERR_IO);
    T_HAS(w.e.text, "/proc/1/nowhere/recordings");
    kit_end(w.loop);
}

static void close_all_fn(void *arg)
{
    struct world *w = arg;

    begin_fn(w); /* stays unfinished */
    T_MUST(w->rc == 0);
    write_fn(w);
    (void)recording_source_read(w->s, 0, 1, on_bytes, w);
    (void)recordings_expire(w->r, 1, on_expired, w);
    recordings_close(w->r);
    w->r = NULL;
    w->write_rc = recording_file_write(w->f, STR("more"));
    w->rc = recording_source_read(w->s, 0, 1, on_bytes, w);
    recording_source_close(w->s);
    recording_file_finish(w->f, on_made, w); /* tells at once */
}

static void the_end_with_everything_open(void)
{
    struct world w;

    world_open(&w, key, 0);
    T_OK(make(&w, "a", "x", 1));
    w.sealed = true;
    T_OK(wait_for(&w, source_fn));
    w.name = "b";
    w.bytes = "hello";
    w.n = 5;
    atomic_store(&w.calls, 0);
    kit_do(w.loop, close_all_fn, &w);
    T_EQ(w.write_rc, ERR_CLOSED);
    T_EQ(w.rc, ERR_CLOSED);
    T_EQ(atomic_load(&w.calls), 3);
    T_EQ(w.told_rc, ERR_CLOSED);
    T_EQ(entries(&w, false), 1);
    world_close(&w);
}

/* What was finished before the end is whole after it. */
static void finish_and_close_fn(void *arg)
{
    struct world *w = arg;

    begin_fn(w);
    T_MUST(w->rc == 0);
    write_fn(w);
    recording_file_finish(w->f, on_made, w);
    recordings_close(w->r);
    w->r = NULL;
}

static void finished_just_before_the_end(void)
{
    struct world w;
    mode_t mode;

    world_open(&w, "", 0);
    w.name = "a";
    w.bytes = "hello";
    w.n = 5;
    kit_do(w.loop, finish_and_close_fn, &w);
    T_EQ(atomic_load(&w.calls), 1);
    T_OK(w.told_rc);
    T_EQ(size_of(&w, "a", &mode), 5);
    world_close(&w);
}

static void flood_fn(void *arg)
{
    struct world *w = arg;

    begin_fn(w);
    T_MUST(w->rc == 0);
    for (unsigned i = 0; i < 10 && w->write_rc == 0; i++)
        w->write_rc = recording_file_write(w->f, str_make(w->bytes, 1u << 20));
}

/* One turn of the loop may not fill the memory: the file fails, and nothing of it is left. */
static void a_flood(void)
{
    struct world w;
    char *bytes = noise(1u << 20);

    world_open(&w, "", 0);
    w.name = "a";
    w.bytes = bytes;
    kit_do(w.loop, flood_fn, &w);
    T_EQ(w.write_rc, ERR_FULL);
    T_EQ(wait_for(&w, finish_fn), ERR_FULL);
    T_EQ(entries(&w, false), 0);
    world_close(&w);
    free(bytes);
}

int main(void)
{
    T_RUN(files_plain_and_sealed);
    T_RUN(damage_is_found);
    T_RUN(names);
    T_RUN(limits);
    T_RUN(a_flood);
    T_RUN(what_is_left_of_a_crash);
    T_RUN(given_up);
    T_RUN(removed);
    T_RUN(a_full_or_broken_disk);
    T_RUN(the_end_with_everything_open);
    T_RUN(finished_just_before_the_end);
    return T_DONE();
}
