/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NET_KIT_H
#define TESTS_UNIT_NET_KIT_H
/*
 * What the tests of plugin/net share: a loop on its thread and a way to run code there, plain blocking
 * sockets as the other end, waiting with a limit. Checks (T_*) belong to the main thread.
 */
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/net/loop.h"
#include "tests/unit/t.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define KIT_WAIT_MS 10000

/* ---- the loop ---- */

struct kit_job {
    struct loop_msg msg;
    void (*fn)(void *arg);
    void *arg;
    atomic_bool done;
};

static void kit_run_job(struct loop_msg *m)
{
    struct kit_job *job = (struct kit_job *)m;

    job->fn(job->arg);
    atomic_store(&job->done, true);
}

static inline bool kit_wait(atomic_bool *flag)
{
    uint64_t until = clock_mono_ms() + KIT_WAIT_MS;

    while (!atomic_load(flag) && clock_mono_ms() < until)
        usleep(200);
    return atomic_load(flag);
}

static inline bool kit_wait_count(atomic_uint *n, unsigned want)
{
    uint64_t until = clock_mono_ms() + KIT_WAIT_MS;

    while (atomic_load(n) < want && clock_mono_ms() < until)
        usleep(200);
    return atomic_load(n) >= want;
}

static inline void kit_log_sink(void *ctx, enum log_level level, struct str line)
{
    (void)ctx;
    (void)level;
    if (getenv("KIT_LOG") != NULL)
        fprintf(stderr, "  log: %.*s\n", STR_ARG(line));
}

static inline const struct log *kit_log(void)
{
    static struct log log;

    if (log.sink == NULL)
        log_init(&log, kit_log_sink, NULL, LOG_DEBUG);
    return &log;
}

static inline struct loop *kit_loop(void)
{
    struct loop *l = NULL;
    struct err e = {0};

    T_MUST(loop_open(&l, kit_log(), &e) == 0);
    T_MUST(loop_start(l, NULL, NULL, &e) == 0);
    return l;
}

/* Runs fn on the loop's thread and waits for it. */
static inline void kit_do(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct kit_job job = {.msg = {.run = kit_run_job}, .fn = fn, .arg = arg};

    atomic_init(&job.done, false);
    T_MUST(loop_post(l, &job.msg) == 0);
    T_MUST(kit_wait(&job.done));
}

static inline void kit_stop_fn(void *arg)
{
    loop_stop(arg);
}

/* Stops the loop; a handle that leaked shows as UV_EBUSY. */
static inline void kit_end(struct loop *l)
{
    kit_do(l, kit_stop_fn, l);
    T_EQ(loop_close(l), 0);
}

/* ---- sockets ---- */

static inline int kit_listen(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    T_MUST(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 512) == 0);
    T_MUST(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static inline int kit_connect(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static inline bool kit_send(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t put = send(fd, at, n, MSG_NOSIGNAL);

        if (put <= 0)
            return false;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

static inline bool kit_puts(int fd, const char *text)
{
    T_MUST(text != NULL);
    return kit_send(fd, text, strlen(text));
}

/* Reads once, waiting up to ms. Bytes, 0 at the end, -1 when nothing came or on an error. */
static inline ssize_t kit_recv(int fd, void *p, size_t n, int ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    if (poll(&pfd, 1, ms) <= 0)
        return -1;
    return recv(fd, p, n, 0);
}

/* Reads until `until` stands in the bytes (NULL: until the end); NUL-terminated into out. */
static inline size_t kit_read(int fd, char *out, size_t cap, const char *until)
{
    uint64_t end = clock_mono_ms() + KIT_WAIT_MS;
    size_t n = 0;

    out[0] = '\0';
    while (n + 1 < cap && clock_mono_ms() < end) {
        ssize_t got = kit_recv(fd, out + n, cap - n - 1, 200);

        if (got == 0)
            break;
        if (got < 0) {
            if (errno == ECONNRESET)
                break;
            continue;
        }
        n += (size_t)got;
        out[n] = '\0';
        if (until != NULL && memmem(out, n, until, strlen(until)) != NULL)
            break;
    }
    return n;
}

/* True when the peer closes within the limit; what comes before is dropped. */
static inline bool kit_closes(int fd, int ms)
{
    uint64_t end = clock_mono_ms() + (uint64_t)ms;
    char sink[4096];

    while (clock_mono_ms() < end) {
        ssize_t got = kit_recv(fd, sink, sizeof sink, 50);

        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return true;
        errno = 0;
    }
    return false;
}

/* ---- a server of the test's own: one thread a connection ---- */

struct kit_server;
typedef void kit_serve_fn(struct kit_server *s, int fd, unsigned nth);

struct kit_server {
    int fd, port;
    kit_serve_fn *serve;
    void *arg;
    pthread_t thread;
    atomic_uint conns, threads;
    atomic_bool stop;
};

struct kit_peer {
    struct kit_server *s;
    int fd;
    unsigned nth;
};

static void *kit_peer_main(void *arg)
{
    struct kit_peer *p = arg;

    p->s->serve(p->s, p->fd, p->nth);
    close(p->fd);
    atomic_fetch_sub(&p->s->threads, 1);
    free(p);
    return NULL;
}

static void *kit_server_main(void *arg)
{
    struct kit_server *s = arg;

    while (!atomic_load(&s->stop)) {
        struct pollfd pfd = {.fd = s->fd, .events = POLLIN};
        struct kit_peer *p;
        pthread_t t;
        int fd, one = 1;

        if (poll(&pfd, 1, 20) <= 0)
            continue;
        fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        p = malloc(sizeof *p);
        *p = (struct kit_peer){s, fd, atomic_fetch_add(&s->conns, 1)};
        atomic_fetch_add(&s->threads, 1);
        if (pthread_create(&t, NULL, kit_peer_main, p) != 0) {
            atomic_fetch_sub(&s->threads, 1);
            close(fd);
            free(p);
            continue;
        }
        (void)pthread_detach(t);
    }
    return NULL;
}

static inline void kit_serve(struct kit_server *s, kit_serve_fn *fn, void *arg)
{
    memset(s, 0, sizeof *s);
    s->fd = kit_listen(&s->port);
    s->serve = fn;
    s->arg = arg;
    T_MUST(pthread_create(&s->thread, NULL, kit_server_main, s) == 0);
}

static inline void kit_serve_end(struct kit_server *s)
{
    uint64_t until = clock_mono_ms() + KIT_WAIT_MS;

    atomic_store(&s->stop, true);
    (void)pthread_join(s->thread, NULL);
    close(s->fd);
    while (atomic_load(&s->threads) > 0 && clock_mono_ms() < until)
        usleep(1000);
    T_EQ(atomic_load(&s->threads), 0);
}

#endif
