/* SPDX-License-Identifier: MIT */
#include "plugin/feed.h"

#include "plugin/base/buf.h"
#include "plugin/net/httpd.h"
#include "tests/unit/net_kit.h"

struct world {
    struct loop *loop;
    struct httpd *d;
    struct feed *feed;
    int rc;
    struct err e;
    unsigned n_add;   /* for add_fn */
    size_t event_bytes;
    const char *call;
    unsigned long fault;
    unsigned readers;
    atomic_bool closed;
};

static void handler(void *arg, struct httpd_exchange *x)
{
    struct world *w = arg;

    feed_serve(w->feed, x);
}

static void open_fn(void *arg)
{
    struct world *w = arg;
    struct httpd_config config = {.bind = "127.0.0.1"};

    w->rc = feed_open(&w->feed, w->loop, kit_log());
    if (w->rc == 0)
        w->rc = httpd_open(&w->d, w->loop, &config, handler, w, kit_log(), &w->e);
}

static void closed_fn(void *arg)
{
    struct world *w = arg;

    atomic_store(&w->closed, true);
}

static void close_fn(void *arg)
{
    struct world *w = arg;

    feed_close(w->feed);
    w->feed = NULL;
    httpd_close(w->d, 300, closed_fn, w);
}

/* n_add events whose JSON is event_bytes long. */
static void add_fn(void *arg)
{
    struct world *w = arg;
    char *json = malloc(w->event_bytes);

    memset(json, 'x', w->event_bytes);
    for (unsigned i = 0; i < w->n_add; i++) {
        (void)mem_fault_after(w->fault);
        feed_add(w->feed, "test.event", str_of(w->call), str_make(json, w->event_bytes));
        (void)mem_fault_after(0);
    }
    free(json);
}

static void readers_fn(void *arg)
{
    struct world *w = arg;

    w->readers = feed_readers(w->feed);
}

static void world_open(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->loop = kit_loop();
    w->call = "";
    kit_do(w->loop, open_fn, w);
    T_MUST(w->rc == 0);
}

static void world_close(struct world *w)
{
    kit_do(w->loop, close_fn, w);
    T_TRUE(kit_wait(&w->closed));
    kit_end(w->loop);
}

static void add(struct world *w, unsigned n, size_t bytes)
{
    w->n_add = n;
    w->event_bytes = bytes;
    kit_do(w->loop, add_fn, w);
}

static int ask(struct world *w, const char *query, const char *last)
{
    char text[400];
    int fd = kit_connect(httpd_port(w->d));

    T_MUST(fd >= 0);
    (void)snprintf(text, sizeof text, "GET /events%s HTTP/1.1\r\nHost: x\r\n%s%s%s\r\n", query,
                   last ? "Last-Event-ID: " : "", last ? last : "", last ? "\r\n" : "");
    (void)kit_puts(fd, text);
    return fd;
}

/* The id in the first block of an answer, which names the reader's place. */
static void place(const char *answer, char *id, size_t cap)
{
    const char *at = strstr(answer, "id: ");

    T_MUST(at != NULL && strcspn(at + 4, "\n") < cap);
    (void)snprintf(id, cap, "%.*s", (int)strcspn(at + 4, "\n"), at + 4);
}

static bool readers_fall_to(struct world *w, unsigned n)
{
    for (int i = 0; i < 2000; i++) {
        kit_do(w->loop, readers_fn, w);
        if (w->readers <= n)
            return true;
        usleep(5000);
    }
    return false;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

static const char *nth(char *text, size_t cap, const char *id, unsigned long long n, const char *tail)
{
    (void)snprintf(text, cap, "id: %.*s-%llu\n%s", (int)strcspn(id, "-"), id, n, tail);
    return text;
}

/* More than one connection takes at once comes whole all the same, in order, as far as it is kept. */
static void a_long_replay(void)
{
    struct world w;
    char *a = malloc(3u << 20), id[80], line[120];
    int fd;

    world_open(&w);
    add(&w, 100, 9000);
    fd = ask(&w, "", "unknown");
    (void)kit_read(fd, a, 3u << 20, nth(line, sizeof line, "", 0, "") + 4);
    place(a, id, sizeof id);
    T_HAS(id, "-0");
    (void)kit_read(fd, a + strlen(a), 2u << 20, nth(line, sizeof line, id, 100, "event: test.event\n"));
    T_EQ(count(a, "event: gap\n"), 1);
    T_EQ(count(a, "event: test.event\n"), 100);
    for (unsigned i = 2; i <= 100; i++) {
        char before[120];

        T_TRUE(strstr(a, nth(before, sizeof before, id, i - 1, "event")) <
               strstr(a, nth(line, sizeof line, id, i, "event")));
    }
    close(fd);
    free(a);
    world_close(&w);
}

static void both_limits_of_the_ring(void)
{
    struct world w;
    char *a = malloc(3u << 20), id[80], line[120], want[120];
    int fd;

    world_open(&w);
    fd = ask(&w, "", NULL);
    (void)kit_read(fd, a, 3u << 20, "-0\n");
    place(a, id, sizeof id);
    close(fd);
    add(&w, 5000, 10); /* the number: 905 to 5000 are kept */
    fd = ask(&w, "", id);
    (void)kit_read(fd, a, 3u << 20, nth(line, sizeof line, id, 5000, "event"));
    T_HAS(a, "event: gap\n");
    T_EQ(count(a, "event: test.event"), 4096);
    T_HAS(a, nth(want, sizeof want, id, 905, "event: test.event\n"));
    T_NULL(strstr(a, nth(want, sizeof want, id, 904, "event: test.event\n")));
    close(fd);
    /* Just behind what is lost there is no gap; just before it there is. */
    for (unsigned n = 903; n <= 904; n++) {
        char asked[80];

        (void)snprintf(asked, sizeof asked, "%.*s-%u", (int)strcspn(id, "-"), id, n);
        fd = ask(&w, "", asked);
        (void)kit_read(fd, a, 3u << 20, line);
        T_EQ(count(a, "event: gap\n"), n == 903);
        close(fd);
    }
    add(&w, 20, 100000); /* the bytes: ten of these fit */
    fd = ask(&w, "", id);
    (void)kit_read(fd, a, 3u << 20, nth(line, sizeof line, id, 5020, "event"));
    T_EQ(count(a, "event: test.event"), 10);
    close(fd);
    free(a);
    world_close(&w);
}

static void a_slow_reader_is_dropped(void)
{
    struct world w;
    char *a = malloc(12u << 20), id[80], line[120];
    uint64_t us = 0;
    int slow, quick, small = 65536;

    world_open(&w);
    slow = ask(&w, "", NULL);
    (void)setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    (void)kit_read(slow, a, 4096, "-0\n");
    place(a, id, sizeof id);
    quick = ask(&w, "", NULL);
    (void)kit_read(quick, a, 4096, "-0\n");
    *a = '\0';
    for (unsigned i = 1; i <= 200; i++) {
        uint64_t began = clock_mono_us();
        size_t n = strlen(a);

        add(&w, 1, 50000);
        us += clock_mono_us() - began;
        (void)kit_read(quick, a + n, (12u << 20) - n, nth(line, sizeof line, id, i, "event: test.event\n"));
    }
    T_EQ(count(a, "event: test.event"), 200);
    T_LT(us / 200, 100000); /* nobody waited for the slow one */
    T_TRUE(readers_fall_to(&w, 1));
    T_TRUE(kit_closes(slow, 10000));
    close(slow);
    /* It comes back with the last id that it has whole. */
    slow = ask(&w, "", id);
    (void)kit_read(slow, a, 12u << 20, nth(line, sizeof line, id, 200, "event"));
    T_HAS(a, "event: gap\n");
    close(slow);
    close(quick);
    free(a);
    world_close(&w);
}

static void filters(void)
{
    struct world w;
    char a[16384], id[80], line[120];
    int fd;

    world_open(&w);
    fd = ask(&w, "?call=call%5Fb", NULL);
    (void)kit_read(fd, a, sizeof a, "-0\n");
    place(a, id, sizeof id);
    add(&w, 3, 10);
    w.call = "call_a";
    add(&w, 3, 10);
    w.call = "call_b";
    add(&w, 1, 10);
    (void)kit_read(fd, a, sizeof a, nth(line, sizeof line, id, 7, "event: test.event\n"));
    T_EQ(count(a, "event: "), 1);
    close(fd);
    world_close(&w);
}

/* An event that memory has no place for is told as a gap; so is one that is larger than all. */
static void a_missing_event_is_a_gap(void)
{
    for (int big = 0; big < 2; big++) {
        struct world w;
        char a[8192], id[80], line[120];
        int fd;

        world_open(&w);
        fd = ask(&w, "", NULL);
        (void)kit_read(fd, a, sizeof a, "-0\n");
        place(a, id, sizeof id);
        add(&w, 2, 10);
        w.fault = !big;
        add(&w, 1, big ? FEED_BYTES_MAX : 10);
        w.fault = 0;
        T_TRUE(kit_closes(fd, 10000));
        close(fd);
        add(&w, 1, 10);
        nth(line, sizeof line, id, 2, "");
        line[strlen(line) - 1] = '\0';
        fd = ask(&w, "", line + 4);
        (void)kit_read(fd, a, sizeof a, nth(line, sizeof line, id, 4, "event: test.event\n"));
        T_HAS(a, "event: gap\n");
        T_EQ(count(a, "event: test.event"), 1);
        close(fd);
        world_close(&w);
    }
}

/* Two streams asked for on one connection, readers that left, and the end with readers of each kind. */
static void ends(void)
{
    struct world w;
    char a[8192];
    int fd[3];

    world_open(&w);
    fd[0] = ask(&w, "", NULL);
    (void)kit_puts(fd[0], "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    fd[1] = ask(&w, "", NULL);
    fd[2] = ask(&w, "", NULL);
    for (int i = 0; i < 3; i++)
        (void)kit_read(fd[i], a, sizeof a, "-0\n");
    (void)shutdown(fd[2], SHUT_WR); /* who ends its side has left */
    T_TRUE(readers_fall_to(&w, 3));
    T_TRUE(kit_closes(fd[2], 10000));
    add(&w, 20, 60000);
    kit_do(w.loop, close_fn, &w);
    (void)kit_read(fd[1], a, sizeof a, "event: test.event");
    T_HAS(a, "event: test.event");
    T_TRUE(kit_wait(&w.closed));
    kit_end(w.loop);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}

int main(void)
{
    T_RUN(a_long_replay);
    T_RUN(both_limits_of_the_ring);
    T_RUN(a_slow_reader_is_dropped);
    T_RUN(filters);
    T_RUN(a_missing_event_is_a_gap);
    T_RUN(ends);
    return T_DONE();
}
