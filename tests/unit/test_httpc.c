/* SPDX-License-Identifier: MIT */
#include "plugin/net/httpc.h"
#include "tests/unit/net_kit.h"

#define BODY_BYTES 65536

/* ---- the server's side: answers by the path ---- */

/* Reads one request whole; false at the end. */
static bool read_request(int fd, char *out, size_t cap)
{
    size_t n = 0, want = 0;

    while (n + 1 < cap) {
        ssize_t got = kit_recv(fd, out + n, 1, KIT_WAIT_MS);
        char *end, *len;

        if (got <= 0)
            return false;
        n += (size_t)got;
        out[n] = '\0';
        end = strstr(out, "\r\n\r\n");
        if (end == NULL)
            continue;
        len = strstr(out, "Content-Length: ");
        want = (size_t)(end + 4 - out) + (len != NULL ? strtoul(len + 16, NULL, 10) : 0);
        if (n >= want)
            return true;
    }
    return false;
}

static void answer(int fd, const char *body)
{
    char text[4096];

    (void)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
                   body);
    (void)kit_puts(fd, text);
}

/* True: go on with this connection. */
static bool answer_path(int fd, const char *path, const char *request)
{
    char text[1024];

    if (strncmp(path, "/hang", 5) == 0) {
        (void)kit_closes(fd, 3000);
        return false;
    }
    if (strncmp(path, "/drop", 5) == 0)
        return false;
    if (strncmp(path, "/half", 5) == 0)
        return kit_puts(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc") && false;
    if (strncmp(path, "/tillclose", 10) == 0)
        return kit_puts(fd, "HTTP/1.1 200 OK\r\n\r\nuntil the end") && false;
    if (strncmp(path, "/429", 4) == 0)
        return kit_puts(fd, "HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno");
    if (strncmp(path, "/chunked", 8) == 0) {
        (void)kit_puts(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        usleep(20000);
        return kit_puts(fd, "6\r\n world\r\n0\r\n\r\n");
    }
    if (strncmp(path, "/garbage", 8) == 0)
        return kit_puts(fd, "220 smtp ready\r\n\r\n") && false;
    if (strncmp(path, "/early", 6) == 0)
        return kit_puts(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA");
    if (strncmp(path, "/long", 5) == 0) {
        (void)kit_puts(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n");
        (void)kit_closes(fd, 2000);
        return false;
    }
    if (strncmp(path, "/once", 5) == 0) {
        answer(fd, "once");
        usleep(50000);
        return false; /* closes the kept connection without a word */
    }
    if (strncmp(path, "/echo", 5) == 0) {
        const char *body = strstr(request, "\r\n\r\n") + 4;

        answer(fd, body);
        return true;
    }
    (void)snprintf(text, sizeof text, "you asked for %.*s", (int)strcspn(path, " "), path);
    answer(fd, text);
    return true;
}

static void serve(struct kit_server *s, int fd, unsigned nth)
{
    char *request = malloc(BODY_BYTES);

    (void)nth;
    while (!atomic_load(&s->stop) && read_request(fd, request, BODY_BYTES)) {
        const char *path = strchr(request, ' ') + 1;

        if (strncmp(request, "HEAD", 4) == 0)
            (void)kit_puts(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
        else if (!answer_path(fd, strncmp(path, "/v1", 3) == 0 ? path + 3 : path, request))
            break;
    }
    free(request);
}

/* ---- the client's side ---- */

struct world {
    struct kit_server server;
    struct loop *loop;
    struct httpc *pool;
    char url[64];
    struct httpc_config config;
    int open_rc;
    atomic_bool closed;
    struct httpc_stats stats;
};

struct ask { /* one request and what came of it */
    struct world *w;
    const char *method, *path, *body;
    uint32_t timeout_ms;
    bool stream, cancel_in_data, cancel_at_once;
    struct httpc_call *call;
    int rc;
    atomic_bool done;
    int status, err;
    bool maybe_sent;
    char text[256], got[256], retry_after[16];
    size_t got_n;
    struct ask *then; /* asked by on_done */
};

static void ask_fn(void *arg);

static void on_data(void *arg, struct str data)
{
    struct ask *a = arg;

    for (size_t i = 0; i < data.n && a->got_n + 1 < sizeof a->got; i++)
        a->got[a->got_n++] = data.p[i];
    if (a->cancel_in_data) {
        a->cancel_in_data = false;
        httpc_cancel(a->call);
        atomic_store(&a->done, true);
    }
}

static void on_done(void *arg, const struct httpc_result *r)
{
    struct ask *a = arg;

    a->status = r->status;
    a->err = r->err;
    a->maybe_sent = r->maybe_sent;
    (void)str_copy(a->text, sizeof a->text, str_head(r->text, 200));
    (void)str_copy(a->retry_after, sizeof a->retry_after, r->retry_after);
    if (!a->stream)
        (void)str_copy(a->got, sizeof a->got, str_head(r->body, 200));
    if (a->then != NULL)
        ask_fn(a->then);
    atomic_store(&a->done, true);
}

static void ask_fn(void *arg)
{
    struct ask *a = arg;
    struct httpc_header h = {STR("Authorization"), STR("Bearer x")};
    struct httpc_request req = {.method = a->method ? a->method : "GET", .path = str_of(a->path),
                                .headers = &h, .n_headers = 1, .body = str_of(a->body),
                                .timeout_ms = a->timeout_ms ? a->timeout_ms : 5000,
                                .on_data = a->stream ? on_data : NULL, .on_done = on_done, .arg = a};

    atomic_store(&a->done, false);
    a->got_n = 0;
    a->got[0] = '\0';
    a->rc = httpc_send(a->w->pool, &req, &a->call);
    if (a->cancel_at_once && a->rc == 0)
        httpc_cancel(a->call);
}

static void cancel_fn(void *arg)
{
    struct ask *a = arg;

    if (!atomic_load(&a->done))
        httpc_cancel(a->call);
}

/* Sends and waits for the answer. */
static void ask(struct ask *a)
{
    kit_do(a->w->loop, ask_fn, a);
    T_EQ(a->rc, 0);
    T_TRUE(kit_wait(&a->done));
}

static void open_fn(void *arg)
{
    struct world *w = arg;
    struct err e = {0};

    w->open_rc = httpc_open(&w->pool, w->loop, &w->config, kit_log(), &e);
}

static void stats_fn(void *arg)
{
    struct world *w = arg;

    httpc_stats_read(w->pool, &w->stats);
}

static void closed_fn(void *arg)
{
    struct world *w = arg;

    atomic_store(&w->closed, true);
}

static void close_fn(void *arg)
{
    struct world *w = arg;

    httpc_close(w->pool, closed_fn, w);
}

static void world_open(struct world *w, struct httpc_config config)
{
    memset(w, 0, sizeof *w);
    kit_serve(&w->server, serve, w);
    w->loop = kit_loop();
    (void)snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d/v1/", w->server.port);
    config.base_url = str_of(w->url);
    w->config = config;
    kit_do(w->loop, open_fn, w);
    T_MUST(w->open_rc == 0);
}

static void world_close(struct world *w)
{
    kit_do(w->loop, close_fn, w);
    T_TRUE(kit_wait(&w->closed));
    kit_end(w->loop);
    kit_serve_end(&w->server);
}

static struct httpc_stats stats(struct world *w)
{
    kit_do(w->loop, stats_fn, w);
    return w->stats;
}

static void ends_of_answers(void)
{
    struct world w;
    struct ask a = {.w = &w, .path = "/x?q=1"};

    world_open(&w, (struct httpc_config){.max_conns = 4});
    ask(&a);
    T_EQ(a.status, 200);
    T_EQ(a.err, 0);
    T_STR_EQ(a.got, "you asked for /x?q=1");
    a = (struct ask){.w = &w, .method = "POST", .path = "/echo", .body = "a body"};
    ask(&a);
    T_STR_EQ(a.got, "a body");
    a = (struct ask){.w = &w, .method = "HEAD", .path = "/head"};
    ask(&a);
    T_EQ(a.status, 200);
    T_STR_EQ(a.got, "");
    a = (struct ask){.w = &w, .path = "/chunked"};
    ask(&a);
    T_STR_EQ(a.got, "hello world");
    T_EQ(stats(&w).conns, 1);
    a = (struct ask){.w = &w, .path = "/429"};
    ask(&a);
    T_EQ(a.status, 429);
    T_STR_EQ(a.retry_after, "7");
    a = (struct ask){.w = &w, .path = "/tillclose"};
    ask(&a);
    T_EQ(a.status, 200);
    T_STR_EQ(a.got, "until the end");
    a = (struct ask){.w = &w, .path = "/chunked", .stream = true};
    ask(&a);
    T_STR_EQ(a.got, "hello world");
    T_EQ(a.got_n, 11);
    world_close(&w);
}

static void failures_are_told(void)
{
    struct world w;
    struct ask a = {.w = &w, .path = "/half"};

    world_open(&w, (struct httpc_config){.max_conns = 4, .max_body_bytes = 1000});
    ask(&a);
    T_EQ(a.err, ERR_CLOSED);
    T_EQ(a.status, 0);
    T_TRUE(a.maybe_sent);
    a = (struct ask){.w = &w, .path = "/drop"};
    ask(&a);
    T_EQ(a.err, ERR_CLOSED);
    a = (struct ask){.w = &w, .path = "/garbage"};
    ask(&a);
    T_EQ(a.err, ERR_PROTOCOL);
    a = (struct ask){.w = &w, .path = "/long"};
    ask(&a);
    T_ERR(a.err);
    a = (struct ask){.w = &w, .path = "/hang", .timeout_ms = 150};
    ask(&a);
    T_EQ(a.err, ERR_TIMEOUT);
    T_TRUE(a.maybe_sent);
    /* An answer with bytes behind it is good; the connection is not used again. */
    a = (struct ask){.w = &w, .path = "/early"};
    ask(&a);
    T_EQ(a.status, 200);
    T_STR_EQ(a.got, "ok");
    a = (struct ask){.w = &w, .path = "/x"};
    ask(&a);
    T_STR_EQ(a.got, "you asked for /x");
    world_close(&w);
}

/* Whoever is told of a failure may ask again at once, and is not given the connection that has just failed. */
static void asked_again_when_told(void)
{
    static const char *const failing[] = {"/garbage", "/drop", "/half", "/hang", "/early"};

    for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
        struct world w;
        struct ask again = {.w = &w, .method = "POST", .path = "/echo", .body = "once more"};
        struct ask first = {.w = &w, .method = "POST", .path = failing[i], .body = "x", .timeout_ms = 300,
                            .then = &again};

        world_open(&w, (struct httpc_config){.max_conns = 4});
        kit_do(w.loop, ask_fn, &first);
        T_EQ(first.rc, 0);
        T_TRUE(kit_wait(&first.done));
        T_EQ(again.rc, 0);
        T_TRUE(kit_wait(&again.done));
        if (again.status != 200 || strcmp(again.got, "once more") != 0)
            T_FAIL("behind %s: %d, %s", failing[i], again.status, again.text);
        world_close(&w);
    }
}

static void nobody_listens(void)
{
    struct world w;
    struct ask a = {.w = &w, .path = "/x"};

    world_open(&w, (struct httpc_config){.max_conns = 2});
    /* Another pool to a port that nobody has. */
    kit_do(w.loop, close_fn, &w);
    T_TRUE(kit_wait(&w.closed));
    atomic_store(&w.closed, false);
    (void)snprintf(w.url, sizeof w.url, "http://127.0.0.1:1");
    w.config.base_url = str_of(w.url);
    kit_do(w.loop, open_fn, &w);
    ask(&a);
    T_EQ(a.status, 0);
    T_EQ(a.err, -ECONNREFUSED);
    T_FALSE(a.maybe_sent);
    T_HAS(a.text, "refused");
    world_close(&w);
}

static void a_dead_kept_connection(void)
{
    struct world w;
    struct ask a = {.w = &w, .path = "/once"};

    world_open(&w, (struct httpc_config){.max_conns = 2});
    for (int i = 0; i < 5; i++) {
        a = (struct ask){.w = &w, .path = "/once"};
        ask(&a);
        T_STR_EQ(a.got, "once");
        usleep(i * 20000); /* before, around and after the server closes */
        a = (struct ask){.w = &w, .path = "/x"};
        ask(&a);
        T_EQ(a.err, 0);
        T_STR_EQ(a.got, "you asked for /x");
    }
    world_close(&w);
}

#define MANY 100

static void many_at_once(void)
{
    struct world w;
    struct ask *a = calloc(MANY, sizeof *a);
    struct ask one;

    world_open(&w, (struct httpc_config){.max_conns = 8});
    for (int i = 0; i < MANY; i++) {
        a[i] = (struct ask){.w = &w, .path = "/x", .timeout_ms = 20000};
        kit_do(w.loop, ask_fn, &a[i]);
        T_EQ(a[i].rc, 0);
    }
    for (int i = 0; i < MANY; i++) {
        T_TRUE(kit_wait(&a[i].done));
        T_EQ(a[i].status, 200);
    }
    T_LE(stats(&w).conns, 8);
    T_LE(atomic_load(&w.server.conns), 8);
    for (int i = 0; i < 1000; i++) {
        one = (struct ask){.w = &w, .path = "/seq"};
        ask(&one);
        if (one.status != 200)
            T_FAIL("request %d: status %d, err %d %s", i, one.status, one.err, one.text);
    }
    T_LE(atomic_load(&w.server.conns), 8);
    free(a);
    world_close(&w);
}

static void a_slow_answer_delays_nobody(void)
{
    struct world w;
    struct ask slow = {.w = &w, .path = "/hang", .timeout_ms = 1500}, quick = {.w = &w, .path = "/x"};
    uint64_t began;

    world_open(&w, (struct httpc_config){.max_conns = 2});
    kit_do(w.loop, ask_fn, &slow);
    began = clock_mono_ms();
    ask(&quick);
    T_LT(clock_mono_ms() - began, 1000);
    T_EQ(quick.status, 200);
    T_TRUE(kit_wait(&slow.done));
    T_EQ(slow.err, ERR_TIMEOUT);
    world_close(&w);
}

static void waiting_in_line_ends(void)
{
    struct world w;
    struct ask slow = {.w = &w, .path = "/hang", .timeout_ms = 600};
    struct ask late = {.w = &w, .path = "/x", .timeout_ms = 200};

    world_open(&w, (struct httpc_config){.max_conns = 1});
    kit_do(w.loop, ask_fn, &slow);
    ask(&late);
    T_EQ(late.err, ERR_TIMEOUT);
    T_FALSE(late.maybe_sent);
    T_TRUE(kit_wait(&slow.done));
    world_close(&w);
}

static void cancel_in_every_phase(void)
{
    struct world w;
    struct ask a, ok;

    world_open(&w, (struct httpc_config){.max_conns = 1});
    for (int i = 0; i < 6; i++) {
        static const char *const paths[] = {"/x", "/hang", "/half", "/chunked", "/long", "/once"};

        for (int wait = 0; wait < 30000; wait += 10000) {
            a = (struct ask){.w = &w, .path = paths[i], .cancel_at_once = wait == 0};
            kit_do(w.loop, ask_fn, &a);
            usleep((unsigned)wait);
            if (wait > 0)
                kit_do(w.loop, cancel_fn, &a);
        }
    }
    a = (struct ask){.w = &w, .path = "/chunked", .stream = true, .cancel_in_data = true};
    kit_do(w.loop, ask_fn, &a);
    T_TRUE(kit_wait(&a.done));
    T_STR_EQ(a.got, "hello");
    ok = (struct ask){.w = &w, .path = "/x"};
    ask(&ok);
    T_EQ(ok.status, 200);
    T_EQ(stats(&w).waiting, 0);
    world_close(&w);
}

static void close_in_every_phase(void)
{
    static const char *const paths[] = {"/x", "/hang", "/half", "/chunked", "/long"};

    for (int i = 0; i < 5; i++) {
        for (unsigned wait = 0; wait < 30000; wait += 7000) {
            struct world w;
            struct ask a = {.w = &w, .path = paths[i]}, b = {.w = &w, .path = "/x"};

            world_open(&w, (struct httpc_config){.max_conns = 1, .warm_conns = 1});
            kit_do(w.loop, ask_fn, &a);
            kit_do(w.loop, ask_fn, &b);
            usleep(wait);
            world_close(&w);
        }
    }
}

static void warm_connections(void)
{
    struct world w;
    struct ask a = {.w = &w, .path = "/once"};
    struct httpc_stats s;

    world_open(&w, (struct httpc_config){.max_conns = 4, .warm_conns = 2});
    T_TRUE(kit_wait_count(&w.server.conns, 2));
    for (int i = 0; i < 200 && stats(&w).idle < 2; i++)
        usleep(5000);
    s = stats(&w);
    T_EQ(s.idle, 2);
    ask(&a);
    T_EQ(atomic_load(&w.server.conns), 2);
    /* The server closed one: it is opened again, but not in a hurry. */
    usleep(200000);
    T_EQ(atomic_load(&w.server.conns), 2);
    T_TRUE(kit_wait_count(&w.server.conns, 3));
    world_close(&w);
}

/* The n-th allocation of the loop's thread and all behind it fail, for every n that matters. */
static unsigned long fault_at;

static void faulty_ask_fn(void *arg)
{
    (void)mem_fault_after(fault_at);
    ask_fn(arg);
}

static void heal_fn(void *arg)
{
    (void)arg;
    (void)mem_fault_after(0);
}

static void out_of_memory(void)
{
    static const char *const paths[] = {"/x", "/chunked", "/tillclose", "/once"};
    struct world w;
    struct ask a, ok;
    unsigned failed = 0;

    for (int i = 0; i < 4; i++) {
        world_open(&w, (struct httpc_config){.max_conns = 2});
        for (fault_at = 1; fault_at < 16; fault_at++) {
            a = (struct ask){.w = &w, .path = paths[i], .timeout_ms = 60};
            kit_do(w.loop, faulty_ask_fn, &a);
            if (a.rc == 0)
                T_TRUE(kit_wait(&a.done)); /* told in time, whatever came of it */
            else
                T_EQ(a.rc, ERR_NOMEM);
            failed += a.rc < 0 || a.err < 0;
            kit_do(w.loop, heal_fn, NULL);
            ok = (struct ask){.w = &w, .path = "/x"};
            ask(&ok);
            T_EQ(ok.status, 200); /* and all is well afterwards */
        }
        world_close(&w);
    }
    T_GT(failed, 8);
}

static void bad_arguments(void)
{
    struct world w;
    struct ask a = {.w = &w, .path = "/a b"};
    struct httpc *c = NULL;
    struct err e;

    world_open(&w, (struct httpc_config){0});
    kit_do(w.loop, ask_fn, &a);
    T_EQ(a.rc, ERR_INVALID);
    a = (struct ask){.w = &w, .path = "/a\r\nX: y"};
    kit_do(w.loop, ask_fn, &a);
    T_EQ(a.rc, ERR_INVALID);
    T_EQ(httpc_open(&c, w.loop, &(struct httpc_config){.base_url = STR("ftp://x")}, NULL, &e),
         ERR_INVALID);
    T_EQ(httpc_open(&c, w.loop, &(struct httpc_config){.base_url = STR("https://x")}, NULL, &e),
         ERR_INVALID);
    world_close(&w);
}

int main(void)
{
    T_RUN(ends_of_answers);
    T_RUN(failures_are_told);
    T_RUN(asked_again_when_told);
    T_RUN(nobody_listens);
    T_RUN(a_dead_kept_connection);
    T_RUN(many_at_once);
    T_RUN(a_slow_answer_delays_nobody);
    T_RUN(waiting_in_line_ends);
    T_RUN(cancel_in_every_phase);
    T_RUN(close_in_every_phase);
    T_RUN(warm_connections);
    T_RUN(out_of_memory);
    T_RUN(bad_arguments);
    return T_DONE();
}
