/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_INDEX_KIT_H
#define TESTS_UNIT_INDEX_KIT_H
/* An index over a workspace in a temporary directory, and answers that are waited for. */
#include "memory/context.h"
#include "memory/index.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIT_WAIT_MS 30000u

struct kit {
    char dir[100], ws[120], state[120];
    struct index *ix;
    struct log log;
    pthread_mutex_t lock;
    unsigned warnings;
    char last[1100];
    int wake_fd;
};

struct kit_answer {
    bool came;
    int rc;
    char *text;    /* JSON, or the pieces: "kind|source|text\n" */
    unsigned n, kinds[CONTEXT_KINDS];
};

static inline void kit_sink(void *ctx, enum log_level level, struct str line)
{
    struct kit *k = ctx;

    pthread_mutex_lock(&k->lock);
    if (level <= LOG_WARN)
        k->warnings++;
    (void)snprintf(k->last, sizeof k->last, "%.*s", STR_ARG(line));
    pthread_mutex_unlock(&k->lock);
}

static inline void kit_wake(void *ctx)
{
    uint64_t one = 1;

    (void)!write(((struct kit *)ctx)->wake_fd, &one, sizeof one);
}

static inline unsigned kit_warnings(struct kit *k)
{
    unsigned n;

    pthread_mutex_lock(&k->lock);
    n = k->warnings;
    pthread_mutex_unlock(&k->lock);
    return n;
}

static inline void kit_open(struct kit *k)
{
    struct index_config config = {k->ws, k->state, &k->log, kit_wake, k};
    struct err e;

    T_MUST(index_open(&k->ix, &config, &e) == 0);
}

static inline void kit_init(struct kit *k)
{
    memset(k, 0, sizeof *k);
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/oc-index-XXXXXX");
    T_MUST(mkdtemp(k->dir) != NULL);
    (void)snprintf(k->ws, sizeof k->ws, "%s/ws", k->dir);
    (void)snprintf(k->state, sizeof k->state, "%s/state", k->dir);
    T_MUST(mkdir(k->ws, 0755) == 0 && mkdir(k->state, 0700) == 0);
    (void)pthread_mutex_init(&k->lock, NULL);
    log_init(&k->log, kit_sink, k, LOG_INFO);
    k->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static inline void kit_close(struct kit *k)
{
    index_close(k->ix);
    k->ix = NULL;
}

static inline void kit_end(struct kit *k)
{
    char command[160];

    kit_close(k);
    (void)close(k->wake_fd);
    (void)snprintf(command, sizeof command, "chmod -R u+rwX %s; rm -rf %s", k->dir, k->dir);
    T_EQ(system(command), 0);
}

static inline void kit_path(const struct kit *k, const char *path, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/%s", k->ws, path);
}

static inline void kit_mkdir(const struct kit *k, const char *path)
{
    char full[400];

    kit_path(k, path, full, sizeof full);
    if (mkdir(full, 0755) != 0)
        T_MUST(errno == EEXIST);
}

static inline void kit_write_n(const struct kit *k, const char *path, const char *text, size_t n)
{
    char full[400];
    int fd;

    kit_path(k, path, full, sizeof full);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    T_MUST(fd >= 0 && write(fd, text, n) == (ssize_t)n);
    (void)close(fd);
}

static inline void kit_write(const struct kit *k, const char *path, const char *text)
{
    kit_write_n(k, path, text, strlen(text));
}

static inline void kit_add(const struct kit *k, const char *path, const char *text)
{
    char full[400];
    int fd;

    kit_path(k, path, full, sizeof full);
    fd = open(full, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    T_MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

static inline char *kit_read_at(const char *full)
{
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    char *text = calloc(1, 16 << 20);
    size_t n = 0;
    ssize_t got;

    while (fd >= 0 && (got = read(fd, text + n, ((size_t)16 << 20) - 1 - n)) > 0)
        n += (size_t)got;
    if (fd >= 0)
        (void)close(fd);
    return text;
}

static inline char *kit_read(const struct kit *k, const char *path)
{
    char full[400];

    kit_path(k, path, full, sizeof full);
    return kit_read_at(full);
}

static inline unsigned kit_count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, what)) != NULL; p += strlen(what))
        n++;
    return n;
}

/* ---- Answers. ---- */

static inline void kit_on_json(void *arg, int rc, struct str json)
{
    struct kit_answer *a = arg;

    T_FALSE(a->came);
    a->came = true;
    a->rc = rc;
    a->text = strndup(json.p ? json.p : "", json.n);
    if (rc == 0)
        T_OK(json_check(json, NULL));
}

static inline void kit_on_done(void *arg, int rc)
{
    struct kit_answer *a = arg;

    T_FALSE(a->came);
    a->came = true;
    a->rc = rc;
}

static inline void kit_on_pieces(void *arg, int rc, const struct context_piece *pieces, unsigned n)
{
    struct kit_answer *a = arg;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    T_FALSE(a->came);
    a->came = true;
    a->rc = rc;
    a->n = n;
    for (unsigned i = 0; i < n; i++) {
        a->kinds[pieces[i].kind]++;
        fprintf(f, "%d|%.*s|%.*s\n", (int)pieces[i].kind, STR_ARG(pieces[i].source), STR_ARG(pieces[i].text));
    }
    fclose(f);
    a->text = text;
}

/* The text is freed by the next call for the same answer, or kit_drop(). */
static inline void kit_begin(struct kit_answer *a)
{
    free(a->text);
    memset(a, 0, sizeof *a);
}

static inline void kit_drop(struct kit_answer *a)
{
    kit_begin(a);
}

static inline void kit_wait(struct kit *k, const bool *came)
{
    uint64_t until = clock_mono_ms() + KIT_WAIT_MS, count;
    struct pollfd fd = {.fd = k->wake_fd, .events = POLLIN};

    while (!*came && clock_mono_ms() < until) {
        (void)poll(&fd, 1, 1000);
        (void)!read(k->wake_fd, &count, sizeof count);
        index_poll(k->ix);
    }
    T_MUST(*came);
}

static const struct index_scope kit_owner = {.files = true, .all_calls = true};
static const struct index_scope kit_files = {.files = true};

static inline int kit_search(struct kit *k, struct kit_answer *a, const struct index_scope *scope,
                             const char *query)
{
    int rc;

    kit_begin(a);
    rc = index_search(k->ix, scope, str_of(query), 5, kit_on_json, a);
    if (rc < 0)
        return rc;
    kit_wait(k, &a->came);
    return a->rc;
}

static inline int kit_get(struct kit *k, struct kit_answer *a, const struct index_scope *scope,
                          const char *path, unsigned from, unsigned lines)
{
    int rc;

    kit_begin(a);
    rc = index_get(k->ix, scope, str_of(path), from, lines, kit_on_json, a);
    if (rc < 0)
        return rc;
    kit_wait(k, &a->came);
    return a->rc;
}

static inline int kit_pieces(struct kit *k, struct kit_answer *a, unsigned days, uint64_t now)
{
    int rc;

    kit_begin(a);
    rc = index_pieces(k->ix, days, now, kit_on_pieces, a);
    if (rc < 0)
        return rc;
    kit_wait(k, &a->came);
    return a->rc;
}

static inline int kit_append(struct kit *k, const char *path, const char *call, const char *heading,
                             const char *body)
{
    struct index_section s = {str_of(path), str_of(call), str_of(heading), str_of(body)};
    struct kit_answer a = {0};
    int rc = index_append(k->ix, &s, kit_on_done, &a);

    if (rc < 0)
        return rc;
    kit_wait(k, &a.came);
    return a.rc;
}

static inline int kit_erase(struct kit *k, struct kit_answer *a, const char *call)
{
    struct str list[] = {str_of(call)};
    int rc;

    kit_begin(a);
    rc = index_erase_sections(k->ix, list, 1, kit_on_json, a);
    if (rc < 0)
        return rc;
    kit_wait(k, &a->came);
    return a->rc;
}

/* Waits until the first scan is done. */
static inline void kit_scanned(struct kit *k)
{
    struct index_stats s = {0};
    uint64_t until = clock_mono_ms() + KIT_WAIT_MS;

    while (index_stats_read(k->ix, &s), !s.scanned && clock_mono_ms() < until)
        (void)usleep(1000);
    T_MUST(s.scanned);
}

/* Waits until a search finds, or no longer finds, `what` in its answer; returns how long it took. */
static inline uint64_t kit_until(struct kit *k, const char *query, const char *what, bool there)
{
    uint64_t begin = clock_mono_ms();
    struct kit_answer a = {0};
    bool is;

    do {
        T_OK(kit_search(k, &a, &kit_owner, query));
        is = a.text != NULL && strstr(a.text, what) != NULL;
        if (is != there)
            (void)usleep(5000);
    } while (is != there && clock_mono_ms() - begin < KIT_WAIT_MS);
    kit_drop(&a);
    return clock_mono_ms() - begin;
}

#endif
