/* SPDX-License-Identifier: MIT */
/*
 * What this machine does of one thing alone: the parts of which the plugin's work is made.
 *
 *   limit_alone WHAT SECONDS [ARGUMENT...]     WEBHOOK_SECRET in the environment; prints {"done","seconds","cpu_s"}
 *
 *   llhttp            a signed webhook parsed, the request of the webhook rows
 *   hmac              its signature, by the plugin's own function: SHA-256 of OpenSSL with the key hashed beforehand
 *   strict, cjson     its body checked; parsed into a tree that is freed again
 *   commit FILE ROWS  an SQLite transaction (WAL, synchronous FULL) of so many rows of 300 bytes in an empty database
 *   fdatasync FILE    4 KiB written over what is there, and synced
 *   ping PORT CONNS   round trips of the request's bytes over connections with one under way on each, to
 *   echo              a server of libuv that writes back what it reads; prints {"port"}, ends with its parent's signal
 */
#include "plugin/base/json.h"
#include "plugin/proto/sig.h"
#include "tests/bench/load_kit.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <llhttp.h>
#include <sqlite3.h>
#include <sys/epoll.h>
#include <uv.h>

#define CONNS_MAX 4096u
#define SYNC_BYTES 4096
#define SYNC_SPAN (1024 * SYNC_BYTES)
#define ROW_BYTES 300

struct limit {
    struct webhook hook;
    char request[4096], stamp[32];
    size_t request_n;
    struct str body;
    uint64_t done;
    /* llhttp */
    llhttp_t parser;
    llhttp_settings_t settings;
    uint64_t complete;
    struct sig_keys *keys;
    /* commit, fdatasync */
    sqlite3 *db;
    sqlite3_stmt *insert;
    unsigned rows;
    int fd;
};

static void check(bool good, const char *what)
{
    if (!good)
        die(what);
}

/* The bytes of one webhook, signed as the load signs them. */
static void prepare(struct limit *l)
{
    char mac[LOAD_MAC_CHARS + 1];
    struct str secret = str_of(getenv("WEBHOOK_SECRET"));

    webhook_begin(&l->hook, "realtime.call.incoming");
    webhook_sign(&l->hook, 1, mac);
    text_set_id(&l->hook.head, 1);
    memcpy(l->hook.head.bytes + l->hook.mac_at, mac, LOAD_MAC_CHARS);
    memcpy(l->request, l->hook.head.bytes, l->hook.head.n);
    memcpy(l->request + l->hook.head.n, l->hook.body.bytes, l->hook.body.n);
    l->request_n = l->hook.head.n + l->hook.body.n;
    l->body = str_make(l->request + l->hook.head.n, l->hook.body.n);
    check(sig_keys_open(&l->keys, &secret, 1, NULL) == 0, "WEBHOOK_SECRET");
}

/* ---- CPU ---- */

static int on_complete(llhttp_t *p)
{
    ((struct limit *)p->data)->complete++;
    return 0;
}

static void begin_llhttp(struct limit *l, char **argv)
{
    (void)argv;
    llhttp_settings_init(&l->settings);
    l->settings.on_message_complete = on_complete;
    llhttp_init(&l->parser, HTTP_REQUEST, &l->settings);
    l->parser.data = l;
}

static void do_llhttp(struct limit *l)
{
    check(llhttp_execute(&l->parser, l->request, l->request_n) == HPE_OK && l->complete == l->done + 1, "llhttp");
}

static void do_hmac(struct limit *l)
{
    char out[64];

    check(sig_sign(l->keys, STR("wh_000000000001"), str_of(l->hook.stamp), l->body, out, sizeof out) == 0 &&
          memcmp(out + 3, l->hook.head.bytes + l->hook.mac_at, LOAD_MAC_CHARS) == 0, "hmac");
}

static void do_strict(struct limit *l)
{
    check(json_check(l->body, NULL) == 0, "strict");
}

static void do_cjson(struct limit *l)
{
    cJSON *tree = cJSON_ParseWithLength(l->body.p, l->body.n);

    check(tree != NULL, "cjson");
    cJSON_Delete(tree);
}

/* ---- Disk ---- */

static void run_sql(struct limit *l, const char *sql)
{
    check(sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK, sql);
}

static void begin_commit(struct limit *l, char **argv)
{
    check(argv[0] != NULL && argv[1] != NULL, "commit FILE ROWS");
    l->rows = (unsigned)strtoul(argv[1], NULL, 10);
    check(sqlite3_open(argv[0], &l->db) == SQLITE_OK, argv[0]);
    run_sql(l, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    check(sqlite3_prepare_v2(l->db, "INSERT INTO t(b) VALUES(?1)", -1, &l->insert, NULL) == SQLITE_OK, "insert");
}

static void do_commit(struct limit *l)
{
    static const char row[ROW_BYTES];

    run_sql(l, "BEGIN IMMEDIATE");
    for (unsigned i = 0; i < l->rows; i++) {
        (void)sqlite3_bind_blob(l->insert, 1, row, sizeof row, SQLITE_STATIC);
        check(sqlite3_step(l->insert) == SQLITE_DONE, "insert");
        (void)sqlite3_reset(l->insert);
    }
    run_sql(l, "COMMIT");
}

static void begin_sync(struct limit *l, char **argv)
{
    static const char zeroes[SYNC_BYTES];

    check(argv[0] != NULL, "fdatasync FILE");
    l->fd = open(argv[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    check(l->fd >= 0, argv[0]);
    for (off_t at = 0; at < SYNC_SPAN; at += SYNC_BYTES)
        check(pwrite(l->fd, zeroes, sizeof zeroes, at) == SYNC_BYTES, argv[0]);
    check(fsync(l->fd) == 0, "fsync");
}

static void do_sync(struct limit *l)
{
    char bytes[SYNC_BYTES];

    memset(bytes, (int)(l->done & 0xff), sizeof bytes);
    check(pwrite(l->fd, bytes, sizeof bytes, (off_t)(l->done * SYNC_BYTES % SYNC_SPAN)) == SYNC_BYTES &&
          fdatasync(l->fd) == 0, "fdatasync");
}

/* ---- The network ---- */

struct echo { /* a connection of the client */
    int fd;
    size_t got;
};

static void send_one(const struct limit *l, const struct echo *c)
{
    check(write(c->fd, l->request, l->request_n) == (ssize_t)l->request_n, "write");
}

static void ping(struct limit *l, double seconds, int port, unsigned n)
{
    static struct echo conns[CONNS_MAX];
    struct epoll_event evs[256];
    char bytes[65536];
    int ep = epoll_create1(EPOLL_CLOEXEC);
    uint64_t until = now_us() + (uint64_t)(seconds * 1e6);

    check(n > 0 && n <= CONNS_MAX && ep >= 0, "ping PORT CONNS");
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &conns[i]};

        conns[i].fd = connect_local(port);
        check(epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &ev) == 0, "epoll");
        send_one(l, &conns[i]);
    }
    while (now_us() < until) {
        int ready = epoll_wait(ep, evs, 256, 10000);

        check(ready > 0, "the server does not answer");
        for (int i = 0; i < ready; i++) {
            struct echo *c = evs[i].data.ptr;
            ssize_t got = read(c->fd, bytes, sizeof bytes);

            check(got > 0, "a connection was closed");
            c->got += (size_t)got;
            if (c->got < l->request_n)
                continue;
            c->got = 0;
            l->done++;
            send_one(l, c);
        }
    }
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
    static char bytes[65536];

    (void)h;
    (void)n;
    *b = uv_buf_init(bytes, sizeof bytes);
}

static void on_closed(uv_handle_t *h)
{
    free(h);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    uv_buf_t out = uv_buf_init(b->base, n > 0 ? (unsigned)n : 0);

    if ((n < 0 || (n > 0 && uv_try_write(s, &out, 1) != (int)n)) && !uv_is_closing((uv_handle_t *)s))
        uv_close((uv_handle_t *)s, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    uv_tcp_t *c = status == 0 ? calloc(1, sizeof *c) : NULL;

    if (c == NULL)
        return;
    (void)uv_tcp_init(listener->loop, c);
    if (uv_accept(listener, (uv_stream_t *)c) == 0)
        (void)uv_tcp_nodelay(c, 1);
    (void)uv_read_start((uv_stream_t *)c, on_alloc, on_read);
}

static int echo(void)
{
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in at;
    int n = sizeof at;
    uv_tcp_t listener;

    (void)uv_ip4_addr("127.0.0.1", 0, &at);
    (void)uv_tcp_init(loop, &listener);
    check(uv_tcp_bind(&listener, (struct sockaddr *)&at, 0) == 0 &&
          uv_listen((uv_stream_t *)&listener, 1024, on_connection) == 0 &&
          uv_tcp_getsockname(&listener, (struct sockaddr *)&at, &n) == 0, "listen");
    printf("{\"port\":%d}\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}

/* ---- One of them ---- */

static const struct {
    const char *name;
    void (*begin)(struct limit *l, char **argv);
    void (*once)(struct limit *l);
    unsigned at_once; /* between two looks at the clock */
} parts[] = {
    {"llhttp", begin_llhttp, do_llhttp, 100}, {"hmac", NULL, do_hmac, 100},       {"strict", NULL, do_strict, 100},
    {"cjson", NULL, do_cjson, 100},           {"commit", begin_commit, do_commit, 1}, {"fdatasync", begin_sync, do_sync, 1},
};

static bool repeat(struct limit *l, const char *what, double seconds, char **argv, uint64_t *begun, double *cpu)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(parts[i].name, what) != 0)
            continue;
        if (parts[i].begin != NULL)
            parts[i].begin(l, argv);
        *begun = now_us();
        *cpu = cpu_s();
        while (now_us() - *begun < (uint64_t)(seconds * 1e6))
            for (unsigned k = 0; k < parts[i].at_once; k++, l->done++)
                parts[i].once(l);
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static struct limit l;
    uint64_t begun = now_us();
    double cpu = cpu_s();

    if (argc == 2 && strcmp(argv[1], "echo") == 0)
        return echo();
    check(argc >= 3, "limit_alone WHAT SECONDS [ARGUMENT...]");
    prepare(&l);
    if (argc == 5 && strcmp(argv[1], "ping") == 0)
        ping(&l, atof(argv[2]), atoi(argv[3]), (unsigned)strtoul(argv[4], NULL, 10));
    else
        check(repeat(&l, argv[1], atof(argv[2]), argv + 3, &begun, &cpu), "there is no such part");
    printf("{\"done\":%llu,\"seconds\":%.4f,\"cpu_s\":%.4f}\n", (unsigned long long)l.done, (double)(now_us() - begun) / 1e6,
           cpu_s() - cpu);
    return 0;
}
