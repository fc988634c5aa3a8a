/* SPDX-License-Identifier: MIT */
#include "plugin/net/httpd.h"
#include "tests/unit/httpd_kit.h"

static void requests_and_answers(void)
{
    struct world w;
    char a[8192];

    world_open(&w, (struct httpd_config){0});
    talk(&w, "POST /p/a?q=1 HTTP/1.1\r\nHost: x\r\nX-Test: one\r\nx-test: two\r\nConnection: close\r\n"
             "Content-Length: 4\r\n\r\nbody", a, sizeof a);
    T_HAS(a, "HTTP/1.1 200 OK\r\nDate: ");
    T_HAS(a, " GMT\r\nContent-Type: text/plain\r\nConnection: close\r\nX-Extra: yes\r\nContent-Length: ");
    T_HAS(a, "\r\n\r\nPOST /p/a ?q=1 peer=127.0.0.1 x=one n=2 body=body");
    T_TRUE(strstr(a, "X-Bad") == NULL && strstr(a, "Cookie") == NULL);
    T_EQ(atomic_load(&w.bad_headers), 0);
    talk(&w, "HEAD /short HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", a, sizeof a);
    T_HAS(a, "Content-Length: 6\r\n\r\n");
    T_TRUE(strstr(a, "/short") == NULL);
    talk(&w, LAST("/204"), a, sizeof a);
    T_HAS(a, "HTTP/1.1 204 No Content\r\n");
    T_TRUE(strstr(a, "Content-Length") == NULL);
    talk(&w, "GET http://h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", a, sizeof a);
    T_HAS(a, "GET / ?");
    world_close(&w);
}

static void http_1_0(void)
{
    struct world w;
    char a[8192];
    int fd;

    world_open(&w, (struct httpd_config){0});
    talk(&w, "GET /short HTTP/1.0\r\n\r\n", a, sizeof a);
    T_HAS(a, "Connection: close");
    fd = dial(&w);
    (void)kit_puts(fd, "GET /short HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    (void)kit_read(fd, a, sizeof a, "/short");
    T_HAS(a, "Connection: keep-alive");
    (void)kit_puts(fd, "GET /stream-end HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    (void)kit_read(fd, a, sizeof a, NULL);
    T_HAS(a, "\r\n\r\nonetwo");
    T_TRUE(strstr(a, "chunked") == NULL);
    close(fd);
    world_close(&w);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

static void pipelining(void)
{
    struct world w;
    static char a[400000];
    struct buf b;
    int fd;

    world_open(&w, (struct httpd_config){.idle_ms = 400});
    buf_init(&b, 1u << 20);
    for (int i = 0; i < 300; i++)
        (void)buf_printf(&b, "POST /n%03d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", i);
    (void)buf_puts(&b, STR(LAST("/last")));
    fd = dial(&w);
    (void)kit_send(fd, b.p, b.n);
    (void)kit_read(fd, a, sizeof a, NULL);
    T_EQ(count(a, "HTTP/1.1 200 OK"), 301);
    T_TRUE(strstr(a, "/n000") < strstr(a, "/n001") && strstr(a, "/n298") < strstr(a, "/n299"));
    T_HAS(a, "GET /last");
    close(fd);
    buf_free(&b);
    world_close(&w);
}

/* Handlers answer in reverse; the answers leave in the order of the requests. */
static void answers_keep_their_order(void)
{
    struct world w;
    char a[65536];
    int fd;

    world_open(&w, (struct httpd_config){0});
    fd = dial(&w);
    for (int i = 0; i < 40; i++) {
        char text[64];

        (void)snprintf(text, sizeof text, GET("/hold%02d"), i);
        (void)kit_puts(fd, text);
    }
    (void)kit_puts(fd, LAST("/short"));
    T_TRUE(kit_wait_count(&w.n_held, 16));
    usleep(30000);
    T_EQ(atomic_load(&w.n_held), 16); /* no more than that at once */
    for (int done = 0; done < 40;) {
        int n = (int)atomic_load(&w.n_held);

        for (int i = n - 1; i >= done; i--) {
            w.reply_at = (unsigned)i;
            kit_do(w.loop, reply_fn, &w);
        }
        done = n;
        if (done < 40)
            T_MUST(kit_wait_count(&w.n_held, (unsigned)done + 1));
        usleep(5000);
    }
    (void)kit_read(fd, a, sizeof a, NULL);
    T_EQ(count(a, "held /hold"), 40);
    for (int i = 1; i < 40; i++) {
        char one[32], two[32];

        (void)snprintf(one, sizeof one, "held /hold%02d", i - 1);
        (void)snprintf(two, sizeof two, "held /hold%02d", i);
        T_TRUE(strstr(a, one) != NULL && strstr(a, one) < strstr(a, two));
    }
    T_HAS(a, "/short");
    close(fd);
    world_close(&w);
}

static void any_split_of_the_bytes(void)
{
    static const char text[] = "POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" LAST("/e");
    struct world w;
    char a[8192];

    world_open(&w, (struct httpd_config){0});
    for (size_t at = 1; at < sizeof text - 1; at++) {
        int fd = dial(&w);

        (void)kit_send(fd, text, at);
        if (at % 3 == 0)
            usleep(1000);
        (void)kit_send(fd, text + at, sizeof text - 1 - at);
        (void)kit_read(fd, a, sizeof a, NULL);
        if (count(a, "HTTP/1.1 200") != 2 || strstr(a, "body=hello") == NULL)
            T_FAIL("split at %zu: %s", at, a);
        close(fd);
    }
    world_close(&w);
}

static void faults_are_answered(void)
{
    static const struct {
        const char *text, *status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"GET / HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400 "},
        {"\x16\x03\x01", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", "HTTP/1.1 413 Content Too Large\r\n"},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", "HTTP/1.1 417 "},
    };
    struct world w;
    char a[8192];
    struct buf b;

    world_open(&w, (struct httpd_config){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        talk(&w, cases[i].text, a, sizeof a);
        T_HAS(a, cases[i].status);
        T_HAS(a, "Connection: close\r\n");
        T_HAS(a, "\r\n\r\n{\"error\":\"");
    }
    buf_init(&b, 1u << 20);
    (void)buf_puts(&b, STR("GET / HTTP/1.1\r\nHost: x\r\nA: "));
    while (b.n < 20000)
        (void)buf_putc(&b, 'a');
    talk(&w, buf_cstr(&b), a, sizeof a);
    T_HAS(a, "HTTP/1.1 431 ");
    /* A good request before the bad one is answered, one behind it is not. */
    talk(&w, GET("/good") "GET / HTTP/1.1\r\nHost : x\r\n\r\n" GET("/never"), a, sizeof a);
    T_HAS(a, "GET /good");
    T_HAS(a, "HTTP/1.1 400 ");
    T_TRUE(strstr(a, "/never") == NULL);
    kit_do(w.loop, stats_fn, &w);
    T_EQ(w.stats.bad_requests, 9);
    buf_free(&b);
    world_close(&w);
}

/* The answer must survive that the client goes on sending what nobody reads. */
static void a_413_reaches_a_client_in_full_swing(void)
{
    struct world w;
    char a[8192], junk[16384];
    int fd;

    memset(junk, 'j', sizeof junk);
    world_open(&w, (struct httpd_config){.body_bytes = 1000});
    fd = dial(&w);
    (void)kit_puts(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 6; i++)
        (void)kit_send(fd, junk, sizeof junk);
    (void)kit_read(fd, a, sizeof a, NULL);
    T_HAS(a, "HTTP/1.1 413 ");
    close(fd);
    world_close(&w);
}

static void expect_continue(void)
{
    struct world w;
    char a[8192];
    int fd;

    world_open(&w, (struct httpd_config){0});
    fd = dial(&w);
    (void)kit_puts(fd, "POST /length HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    (void)kit_read(fd, a, sizeof a, "\r\n\r\n");
    T_STR_EQ(a, "HTTP/1.1 100 Continue\r\n\r\n");
    (void)kit_puts(fd, "hello");
    (void)kit_read(fd, a, sizeof a, "\r\n\r\n5");
    T_HAS(a, "HTTP/1.1 200 OK");
    /* With the body at hand there is nothing to wait for. */
    (void)kit_puts(fd, "POST /length HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
    (void)kit_read(fd, a, sizeof a, "\r\n\r\n3");
    T_TRUE(strstr(a, "100 Continue") == NULL);
    /* Not before the answer to an earlier request. */
    (void)kit_puts(fd, GET("/hold") "POST /length HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    T_TRUE(kit_wait_count(&w.n_held, 1));
    T_EQ(kit_recv(fd, a, sizeof a, 50), -1);
    w.reply_at = 0;
    kit_do(w.loop, reply_fn, &w);
    (void)kit_read(fd, a, sizeof a, "100 Continue\r\n\r\n");
    T_TRUE(strstr(a, "held") != NULL && strstr(a, "held") < strstr(a, "100 Continue"));
    (void)kit_puts(fd, "ok");
    (void)kit_read(fd, a, sizeof a, "\r\n\r\n2");
    T_HAS(a, "200 OK");
    close(fd);
    world_close(&w);
}

static void slow_requests_end(void)
{
    struct world w;
    char a[8192];
    uint64_t began;
    int fd;

    world_open(&w, (struct httpd_config){.read_ms = 300, .idle_ms = 300});
    began = clock_mono_ms();
    fd = dial(&w);
    (void)kit_puts(fd, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 40 && clock_mono_ms() < began + 280; i++) {
        (void)kit_puts(fd, "A: b\r\n"); /* a byte now and then moves no deadline */
        usleep(20000);
    }
    (void)kit_read(fd, a, sizeof a, NULL);
    T_HAS(a, "HTTP/1.1 408 ");
    T_GE(clock_mono_ms() - began, 290);
    T_LT(clock_mono_ms() - began, 1500);
    close(fd);
    /* Nothing at all: closed without a word. */
    began = clock_mono_ms();
    fd = dial(&w);
    T_EQ(kit_read(fd, a, sizeof a, NULL), 0);
    T_LT(clock_mono_ms() - began, 1500);
    close(fd);
    /* Between requests: the idle limit. */
    fd = dial(&w);
    (void)kit_puts(fd, GET("/short"));
    (void)kit_read(fd, a, sizeof a, "/short");
    T_TRUE(kit_closes(fd, 1500));
    close(fd);
    kit_do(w.loop, stats_fn, &w);
    T_EQ(w.stats.timeouts, 2);
    world_close(&w);
}

static void a_handler_that_never_answers(void)
{
    struct world w;
    int fd;

    world_open(&w, (struct httpd_config){.reply_ms = 200});
    fd = dial(&w);
    (void)kit_puts(fd, GET("/hold"));
    T_TRUE(kit_wait_count(&w.n_held, 1));
    T_TRUE(kit_closes(fd, 2000));
    w.reply_at = 0;
    kit_do(w.loop, reply_fn, &w); /* too late, and harmless */
    close(fd);
    world_close(&w);
}

static void a_client_that_does_not_read(void)
{
    struct world w;
    int fd, small = 4096;

    world_open(&w, (struct httpd_config){.reply_ms = 300, .idle_ms = 60000});
    fd = dial(&w);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 3; i++)
        (void)kit_puts(fd, GET("/big"));
    for (int i = 0; i < 400; i++) {
        kit_do(w.loop, stats_fn, &w);
        if (w.stats.conns == 0)
            break;
        usleep(5000);
    }
    T_EQ(w.stats.conns, 0);
    close(fd);
    world_close(&w);
}

static void large_answers_arrive_whole(void)
{
    struct world w;
    char *a = malloc(5u << 20);
    int fd;

    world_open(&w, (struct httpd_config){0});
    fd = dial(&w);
    (void)kit_puts(fd, LAST("/big"));
    T_GT(kit_read(fd, a, 5u << 20, NULL), 4u << 20);
    close(fd);
    free(a);
    world_close(&w);
}

static void a_client_that_leaves(void)
{
    struct world w;
    char a[8192];
    int fd;

    world_open(&w, (struct httpd_config){0});
    fd = dial(&w);
    (void)kit_puts(fd, GET("/hold1") GET("/hold2"));
    T_TRUE(kit_wait_count(&w.n_held, 2));
    (void)shutdown(fd, SHUT_WR); /* half closed: both answers still come */
    usleep(20000);
    for (w.reply_at = 0; w.reply_at < 2; w.reply_at++)
        kit_do(w.loop, reply_fn, &w);
    (void)kit_read(fd, a, sizeof a, NULL);
    T_EQ(count(a, "held"), 2);
    close(fd);
    fd = dial(&w);
    (void)kit_puts(fd, GET("/hold3"));
    T_TRUE(kit_wait_count(&w.n_held, 3));
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd); /* reset */
    usleep(20000);
    w.reply_at = 2;
    kit_do(w.loop, reply_fn, &w);
    world_close(&w);
}

static void streams(void)
{
    struct world w;
    char a[8192];
    int fd;

    world_open(&w, (struct httpd_config){0});
    talk(&w, GET("/stream-end") LAST("/short"), a, sizeof a);
    T_HAS(a, "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\nHTTP/1.1 200");
    T_EQ(atomic_load(&w.n_gone), 0);
    /* Behind an answer that is late, the stream waits in its own buffer. */
    fd = dial(&w);
    (void)kit_puts(fd, GET("/hold") GET("/stream"));
    T_TRUE(kit_wait_count(&w.handled, 4));
    w.send_bytes = 1;
    kit_do(w.loop, stream_send_fn, &w);
    T_EQ(w.send_rc, 0);
    w.reply_at = 0;
    kit_do(w.loop, reply_fn, &w);
    kit_do(w.loop, stream_send_fn, &w);
    kit_do(w.loop, stream_end_fn, &w);
    (void)kit_read(fd, a, sizeof a, "\r\n0\r\n\r\n");
    T_HAS(a, "held /hold");
    T_HAS(a, "3\r\none\r\n3\r\ntwo\r\n1\r\ns\r\n1\r\ns\r\n0\r\n\r\n");
    close(fd);
    world_close(&w);
}

static void streams_end_with_their_client(void)
{
    struct world w;
    char a[8192];
    int fd;

    world_open(&w, (struct httpd_config){0});
    fd = dial(&w);
    (void)kit_puts(fd, GET("/stream"));
    (void)kit_read(fd, a, sizeof a, "two");
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
    T_TRUE(kit_wait_count(&w.n_gone, 1));
    /* A reader who lets too much wait. */
    fd = dial(&w);
    (void)kit_puts(fd, GET("/stream"));
    (void)kit_read(fd, a, sizeof a, "two");
    w.send_bytes = 100000;
    w.send_rc = 0;
    for (int i = 0; i < 200 && w.send_rc == 0; i++)
        kit_do(w.loop, stream_send_fn, &w);
    T_EQ(w.send_rc, ERR_FULL);
    T_TRUE(kit_wait_count(&w.n_gone, 2));
    close(fd);
    /* One whose client was gone before the stream began. */
    fd = dial(&w);
    (void)kit_puts(fd, GET("/hold"));
    T_TRUE(kit_wait_count(&w.n_held, 1));
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
    usleep(20000);
    w.reply_at = 0;
    kit_do(w.loop, late_stream_fn, &w);
    T_EQ(w.send_rc, ERR_CLOSED);
    T_TRUE(kit_wait_count(&w.n_gone, 3));
    world_close(&w);
}

static void streams_of_known_length(void)
{
    struct world w;
    char a[8192], *big = malloc(MUCH_BYTES + 65536);
    int fd;

    world_open(&w, (struct httpd_config){0});
    talk(&w, GET("/sized") LAST("/short"), a, sizeof a);
    T_HAS(a, "Content-Length: 6\r\n\r\nonetwoHTTP/1.1 200");
    T_NULL(strstr(a, "chunked"));
    talk(&w, "HEAD /sized HTTP/1.1\r\nHost: x\r\n\r\n" LAST("/short"), a, sizeof a);
    T_HAS(a, "Content-Length: 6\r\n\r\nHTTP/1.1 200");
    talk(&w, "GET /sized HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" LAST("/short"), a, sizeof a);
    T_HAS(a, "\r\n\r\nonetwoHTTP/1.1 200");
    T_EQ(atomic_load(&w.n_gone), 0);
    /* Too little, too much, cut off: the connection ends before the length is reached, and nothing follows. */
    talk(&w, GET("/short-of-it") LAST("/short"), a, sizeof a);
    T_NULL(strstr(a, "/short"));
    T_EQ(atomic_load(&w.n_gone), 0); /* its sender has let go */
    talk(&w, GET("/sized-over") LAST("/short"), a, sizeof a);
    T_NULL(strstr(a, "four"));
    T_TRUE(kit_wait_count(&w.n_gone, 1));
    talk(&w, GET("/sized-drop") LAST("/short"), a, sizeof a);
    T_NULL(strstr(a, "/short"));
    T_TRUE(kit_wait_count(&w.n_gone, 2));
    /* Much of it, to a client that is behind an answer at first, and half closed. */
    fd = dial(&w);
    (void)kit_puts(fd, GET("/hold") GET("/much"));
    T_TRUE(kit_wait_count(&w.n_held, 1));
    (void)shutdown(fd, SHUT_WR);
    w.reply_at = 0;
    kit_do(w.loop, reply_fn, &w);
    T_GT(kit_read(fd, big, MUCH_BYTES + 65536, NULL), MUCH_BYTES);
    close(fd);
    free(big);
    world_close(&w);
    T_LE(w.most_pending, 131072);
    T_EQ(w.left, 0);
}

int main(void)
{
    T_RUN(requests_and_answers);
    T_RUN(http_1_0);
    T_RUN(pipelining);
    T_RUN(answers_keep_their_order);
    T_RUN(any_split_of_the_bytes);
    T_RUN(faults_are_answered);
    T_RUN(a_413_reaches_a_client_in_full_swing);
    T_RUN(expect_continue);
    T_RUN(slow_requests_end);
    T_RUN(a_handler_that_never_answers);
    T_RUN(a_client_that_does_not_read);
    T_RUN(large_answers_arrive_whole);
    T_RUN(a_client_that_leaves);
    T_RUN(streams);
    T_RUN(streams_end_with_their_client);
    T_RUN(streams_of_known_length);
    return T_DONE();
}
