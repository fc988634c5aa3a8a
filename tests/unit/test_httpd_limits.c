/* SPDX-License-Identifier: MIT */
/* The HTTP server at its limits: too many connections, its end in every phase, no memory, many at once. */
#include "plugin/net/httpd.h"
#include "tests/unit/httpd_kit.h"

static void too_many_connections(void)
{
    struct world w;
    int fd[8], extra;
    char a[4096];

    world_open(&w, (struct httpd_config){.max_conns = 100, .max_conns_peer = 8});
    for (int i = 0; i < 8; i++) {
        fd[i] = dial(&w);
        (void)kit_puts(fd[i], GET("/hold"));
    }
    T_TRUE(kit_wait_count(&w.n_held, 8));
    extra = dial(&w);
    (void)kit_puts(extra, GET("/short"));
    (void)kit_read(extra, a, sizeof a, NULL);
    T_HAS(a, "HTTP/1.1 503 ");
    T_HAS(a, "\r\n\r\n{\"error\":\"too many");
    close(extra);
    for (w.reply_at = 0; w.reply_at < 8; w.reply_at++)
        kit_do(w.loop, reply_fn, &w);
    for (int i = 0; i < 8; i++)
        (void)kit_read(fd[i], a, sizeof a, "/hold");
    kit_do(w.loop, stats_fn, &w);
    T_EQ(w.stats.refused_conns, 1);
    T_EQ(w.stats.shed_conns, 0);
    T_CASE("whoever asks for nothing gives way: the one that has for longest first");
    for (int i = 0; i < 3; i++) {
        extra = dial(&w);
        (void)kit_puts(extra, GET("/short"));
        (void)kit_read(extra, a, sizeof a, "/short");
        T_HAS(a, "200 OK");
        close(extra);
        usleep(20000);
    }
    kit_do(w.loop, stats_fn, &w);
    T_EQ(w.stats.refused_conns, 1);
    T_GE(w.stats.shed_conns, 1);
    for (int i = 0; i < 8; i++)
        close(fd[i]);
    world_close(&w);
}

/* Byte by byte, and more of them than there is room for: a request that comes whole is answered. */
static void slow_ones_give_way(void)
{
    struct world w;
    int fd[64], one;
    char a[4096];

    world_open(&w, (struct httpd_config){.max_conns = 8, .max_conns_peer = 100});
    for (int i = 0; i < 64; i++) {
        fd[i] = dial(&w);
        (void)kit_puts(fd[i], "GET /short HTTP/1.1\r\nHo");
        if (i % 16 != 15)
            continue;
        one = dial(&w);
        (void)kit_puts(one, GET("/short"));
        (void)kit_read(one, a, sizeof a, "/short");
        T_HAS(a, "200 OK");
        close(one);
    }
    kit_do(w.loop, stats_fn, &w);
    T_LE(w.stats.conns, 8);
    T_GE(w.stats.shed_conns, 50);
    T_EQ(w.stats.refused_conns, 0);
    T_TRUE(kit_closes(fd[0], 2000));
    for (int i = 0; i < 64; i++)
        close(fd[i]);
    world_close(&w);
}

static void draining(void)
{
    struct world w;
    char a[4096];
    int idle, busy, port;

    world_open(&w, (struct httpd_config){0});
    port = httpd_port(w.d);
    idle = dial(&w);
    (void)kit_puts(idle, GET("/short"));
    (void)kit_read(idle, a, sizeof a, "/short");
    busy = dial(&w);
    (void)kit_puts(busy, GET("/hold"));
    T_TRUE(kit_wait_count(&w.n_held, 1));
    kit_do(w.loop, drain_fn, &w);
    T_TRUE(kit_closes(idle, 2000));
    T_EQ(kit_connect(port), -1);
    w.reply_at = 0;
    kit_do(w.loop, reply_fn, &w);
    (void)kit_read(busy, a, sizeof a, NULL);
    T_HAS(a, "Connection: close");
    T_HAS(a, "held /hold");
    close(idle);
    close(busy);
    world_close(&w);
}

static void closing_in_every_phase(void)
{
    static const char *const texts[] = {"", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
                                        GET("/hold"), GET("/stream"), GET("/big") GET("/big"),
                                        GET("/hold") GET("/stream") GET("/hold") GET("/sh")};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (uint32_t grace = 0; grace <= 50; grace += 50) {
            struct world w;
            int fd;

            world_open(&w, (struct httpd_config){0});
            fd = dial(&w);
            (void)kit_puts(fd, texts[i]);
            usleep(10000);
            w.grace_ms = grace;
            kit_do(w.loop, close_fn, &w);
            T_TRUE(kit_wait(&w.closed));
            /* What handlers hold must still be answered, after the server is closed too. */
            for (w.reply_at = 0; w.reply_at < atomic_load(&w.n_held); w.reply_at++)
                kit_do(w.loop, reply_fn, &w);
            kit_end(w.loop);
            close(fd);
        }
    }
}

static void ports_and_addresses(void)
{
    struct world w, second;
    struct httpd_config bad[] = {{.bind = "localhost"}, {.bind = "127.0.0.1", .tls_cert = "x"},
                                 {.bind = "127.0.0.1", .tls_cert = "/nowhere", .tls_key = "/nowhere"}};

    world_open(&w, (struct httpd_config){0});
    memset(&second, 0, sizeof second);
    second.loop = w.loop;
    second.config = (struct httpd_config){.bind = "127.0.0.1", .port = httpd_port(w.d)};
    kit_do(w.loop, open_fn, &second);
    T_EQ(second.open_rc, -EADDRINUSE);
    T_HAS(second.e.text, "choose another port");
    for (int i = 0; i < 3; i++) {
        second.config = bad[i];
        kit_do(w.loop, open_fn, &second);
        T_EQ(second.open_rc, i == 2 ? ERR_TLS : ERR_INVALID);
    }
    world_close(&w);
}

static void fault_fn(void *arg)
{
    (void)mem_fault_after(*(unsigned long *)arg);
}

/* Requests while the n-th allocation of the loop's thread and all behind it fail; then all is well again. */
static void out_of_memory(void)
{
    static const char *const texts[] = {LAST("/short"), GET("/stream-end") LAST("/p?q"),
                                        "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n",
                                        "nonsense\r\n"};
    struct world w;
    char a[8192];

    world_open(&w, (struct httpd_config){.read_ms = 100});
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (unsigned long n = 1; n < 16; n++) {
            unsigned long none = 0;
            int fd;

            kit_do(w.loop, fault_fn, &n);
            fd = dial(&w);
            (void)kit_puts(fd, texts[i]);
            usleep(4000);
            kit_do(w.loop, fault_fn, &none);
            (void)kit_read(fd, a, sizeof a, NULL);
            close(fd);
            talk(&w, LAST("/short"), a, sizeof a);
            T_HAS(a, "200 OK");
        }
    }
    world_close(&w);
}

struct hammer {
    struct world *w;
    unsigned requests, good;
};

static void *hammer_main(void *arg)
{
    struct hammer *h = arg;
    char a[1024];
    int fd = kit_connect(httpd_port(h->w->d));

    for (unsigned i = 0; fd >= 0 && i < h->requests; i++) {
        (void)kit_puts(fd, GET("/short"));
        (void)kit_read(fd, a, sizeof a, "\r\n\r\n/short");
        h->good += strstr(a, "200 OK") != NULL;
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void many_requests(void)
{
    struct world w;
    struct hammer h[100];
    pthread_t t[100];
    unsigned good = 0;

    world_open(&w, (struct httpd_config){0});
    h[0] = (struct hammer){&w, 1000, 0};
    (void)hammer_main(&h[0]);
    T_EQ(h[0].good, 1000);
    for (int i = 0; i < 100; i++) {
        h[i] = (struct hammer){&w, 20, 0};
        T_MUST(pthread_create(&t[i], NULL, hammer_main, &h[i]) == 0);
    }
    for (int i = 0; i < 100; i++) {
        (void)pthread_join(t[i], NULL);
        good += h[i].good;
    }
    T_EQ(good, 2000);
    kit_do(w.loop, stats_fn, &w);
    T_EQ(w.stats.requests, 3000);
    world_close(&w);
}

int main(void)
{
    T_RUN(too_many_connections);
    T_RUN(slow_ones_give_way);
    T_RUN(draining);
    T_RUN(closing_in_every_phase);
    T_RUN(ports_and_addresses);
    T_RUN(out_of_memory);
    T_RUN(many_requests);
    return T_DONE();
}
