/* SPDX-License-Identifier: MIT */
#include "plugin/route_recording.h"

#include "plugin/base/buf.h"
#include "plugin/net/httpd.h"
#include "tests/unit/net_kit.h"

#include <sys/stat.h>

#define SUM "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

/* Their allocators keep what was freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

struct world {
    char dir[64];
    struct loop *loop;
    struct httpd *d;
    struct recordings *r;
    struct recording_file *file;
    struct recording_at at, next;
    const char *bytes;
    size_t n, put;
    atomic_uint made;
    atomic_bool closed;
    int rc;
    struct err e;
};

static void handler(void *arg, struct httpd_exchange *x)
{
    struct world *w = arg;

    recording_serve(w->r, x, &w->at, kit_log());
}

static void open_fn(void *arg)
{
    struct world *w = arg;
    struct httpd_config http = {.bind = "127.0.0.1"};
    struct recordings_config config = {.state_dir = w->dir, .key = w->at.sealed ? "sixteen bytes at least" : "",
                                       .loop = w->loop, .log = kit_log()};

    w->rc = recordings_open(&w->r, &config, &w->e);
    if (w->rc == 0)
        w->rc = httpd_open(&w->d, w->loop, &http, handler, w, kit_log(), &w->e);
}

static void closed_fn(void *arg)
{
    struct world *w = arg;

    atomic_store(&w->closed, true);
}

static void close_fn(void *arg)
{
    struct world *w = arg;

    recordings_close(w->r);
    httpd_close(w->d, 100, closed_fn, w);
}

static void on_made(void *arg, int rc, const struct recording_made *made)
{
    struct world *w = arg;

    (void)made;
    w->rc = rc;
    atomic_fetch_add(&w->made, 1);
}

static void begin_fn(void *arg)
{
    struct world *w = arg;

    w->rc = recording_file_open(&w->file, w->r, w->at.name);
}

static void write_fn(void *arg)
{
    struct world *w = arg;

    while (w->rc == 0 && w->put < w->n && recording_file_pending(w->file) < (4u << 20)) {
        size_t n = w->n - w->put < 100000 ? w->n - w->put : 100000;

        w->rc = recording_file_write(w->file, str_make(w->bytes + w->put, n));
        w->put += n;
    }
    if (w->put >= w->n)
        recording_file_finish(w->file, on_made, w);
}

/* A server of one recording. */
static void world_open(struct world *w, bool sealed, const char *bytes, size_t n)
{
    memset(w, 0, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/ocv-route-XXXXXX");
    T_MUST(mkdtemp(w->dir) != NULL);
    w->loop = kit_loop();
    w->at = (struct recording_at){STR("call_1.wav"), STR(SUM), STR("audio/x-wav"), n, sealed};
    kit_do(w->loop, open_fn, w);
    T_MUST(w->rc == 0);
    w->bytes = bytes;
    w->n = n;
    kit_do(w->loop, begin_fn, w);
    T_MUST(w->rc == 0);
    for (int i = 0; i < 10000 && (i == 0 || w->put < w->n); i++) {
        kit_do(w->loop, write_fn, w);
        usleep(500);
    }
    T_MUST(kit_wait_count(&w->made, 1) && w->rc == 0);
}

static void world_close(struct world *w)
{
    char path[120];

    kit_do(w->loop, close_fn, w);
    T_TRUE(kit_wait(&w->closed));
    kit_end(w->loop);
    (void)snprintf(path, sizeof path, "%s/recordings/call_1.wav", w->dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/recordings", w->dir);
    T_EQ(rmdir(path), 0);
    T_EQ(rmdir(w->dir), 0);
}

/* The answer to a request with these header lines. */
static size_t ask(struct world *w, const char *method, const char *lines, char *a, size_t cap)
{
    char text[1000];
    int fd = kit_connect(httpd_port(w->d));
    size_t n;

    T_MUST(fd >= 0);
    (void)snprintf(text, sizeof text, "%s /r HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method, lines);
    (void)kit_puts(fd, text);
    n = kit_read(fd, a, cap, NULL);
    close(fd);
    return n;
}

static const char *body(const char *a)
{
    const char *at = strstr(a, "\r\n\r\n");

    return at != NULL ? at + 4 : "";
}

static void answers(void)
{
    static const char etag[] = "ETag: \"" SUM "\"\r\n";
    static const struct {
        const char *lines, *status, *range, *body;
    } rows[] = {
        {"", "200 OK", NULL, "0123456789"},
        {"Range: bytes=2-4\r\n", "206 Partial Content", "bytes 2-4/10", "234"},
        {"Range: bytes=7-\r\n", "206 Partial Content", "bytes 7-9/10", "789"},
        {"Range: bytes=-3\r\n", "206 Partial Content", "bytes 7-9/10", "789"},
        {"Range: bytes=0-99\r\n", "206 Partial Content", "bytes 0-9/10", "0123456789"},
        {"Range: bytes=1-2\r\nIf-Range: \"" SUM "\"\r\n", "206 Partial Content", "bytes 1-2/10", "12"},
        {"Range: bytes=1-2\r\nIf-Range: \"other\"\r\n", "200 OK", NULL, "0123456789"},
        {"Range: bytes=1-2\r\nIf-Range: W/\"" SUM "\"\r\n", "200 OK", NULL, "0123456789"},
        {"Range: bytes=50-\r\nIf-Range: \"other\"\r\n", "200 OK", NULL, "0123456789"},
        {"Range: bytes=1-2,4-5\r\n", "200 OK", NULL, "0123456789"},
        {"Range: bytes=1-2\r\nRange: bytes=4-5\r\n", "200 OK", NULL, "0123456789"},
        {"Range: lines=1-2\r\n", "200 OK", NULL, "0123456789"},
        {"Range: bytes=10-\r\n", "416 Range Not Satisfiable", "bytes */10", NULL},
        {"Range: bytes=-0\r\n", "416 Range Not Satisfiable", "bytes */10", NULL},
        {"If-None-Match: \"" SUM "\"\r\n", "304 Not Modified", NULL, ""},
        {"If-None-Match: \"x\", *\r\n", "200 OK", NULL, "0123456789"},
        {"If-None-Match: \"x\"\r\nRange: bytes=1-2\r\n", "206 Partial Content", "bytes 1-2/10", "12"},
    };
    char a[4096], want[200];

    for (int sealed = 0; sealed < 2; sealed++) {
        struct world w;

        world_open(&w, sealed, "0123456789", 10);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            (void)ask(&w, "GET", rows[i].lines, a, sizeof a);
            (void)snprintf(want, sizeof want, "HTTP/1.1 %s\r\n", rows[i].status);
            T_HAS(a, want);
            T_HAS(a, etag);
            T_HAS(a, "Accept-Ranges: bytes\r\n");
            T_EQ(strstr(a, "Content-Range: ") != NULL, rows[i].range != NULL);
            if (rows[i].range != NULL)
                T_HAS(a, rows[i].range);
            if (rows[i].body != NULL)
                T_STR_EQ(body(a), rows[i].body);
            (void)snprintf(want, sizeof want, "Content-Length: %zu\r\n", strlen(body(a)));
            T_EQ(strstr(a, want) != NULL, strstr(rows[i].status, "304") == NULL);
        }
        (void)ask(&w, "HEAD", "Range: bytes=1-2\r\n", a, sizeof a);
        T_HAS(a, "HTTP/1.1 200 OK\r\n");
        T_HAS(a, "Content-Length: 10\r\n");
        T_HAS(a, "Content-Type: audio/x-wav\r\n");
        T_STR_EQ(body(a), "");
        world_close(&w);
    }
}

static void an_empty_one(void)
{
    struct world w;
    char a[4096];

    world_open(&w, true, "", 0);
    (void)ask(&w, "GET", "", a, sizeof a);
    T_HAS(a, "HTTP/1.1 200 OK\r\n");
    T_HAS(a, "Content-Length: 0\r\n");
    T_STR_EQ(body(a), "");
    (void)ask(&w, "GET", "Range: bytes=0-\r\n", a, sizeof a);
    T_HAS(a, "HTTP/1.1 416 ");
    T_HAS(a, "Content-Range: bytes */0\r\n");
    world_close(&w);
}

static void offer_fn(void *arg)
{
    struct world *w = arg;

    w->at = w->next;
}

/* From now on the row tells this. */
static void offer(struct world *w, const char *name, uint64_t bytes, bool sealed)
{
    w->next = w->at;
    w->next.name = str_of(name);
    w->next.bytes = bytes;
    w->next.sealed = sealed;
    kit_do(w->loop, offer_fn, w);
}

static void what_cannot_be_served(void)
{
    struct world w;
    char a[4096];

    world_open(&w, false, "0123456789", 10);
    offer(&w, "call_1.wav", 11, false);
    (void)ask(&w, "GET", "", a, sizeof a);
    T_HAS(a, "HTTP/1.1 500 ");
    T_HAS(a, "damaged");
    offer(&w, "call_1.wav", 10, true);
    (void)ask(&w, "GET", "", a, sizeof a);
    T_HAS(a, "HTTP/1.1 500 ");
    T_HAS(a, "encryption_key");
    offer(&w, "call_2.wav", 10, false);
    (void)ask(&w, "GET", "", a, sizeof a);
    T_HAS(a, "HTTP/1.1 404 ");
    world_close(&w);
}

static long memory_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size = 0, resident = 0;

    T_MUST(f != NULL && fscanf(f, "%ld %ld", &size, &resident) == 2);
    (void)fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A long one comes whole to a quick client, and takes no memory while a slow one does not read. */
static void a_long_one(void)
{
    size_t n = 48u << 20;
    char *bytes = malloc(n), *a = malloc(n + 4096);

    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7 + i / 65536);
    memset(a, 0, n + 4096);
    for (int sealed = 0; sealed < 2; sealed++) {
        struct world w;
        int slow[8];
        long before;
        size_t got;

        world_open(&w, sealed, bytes, n);
        got = ask(&w, "GET", "", a, n + 4096);
        T_EQ(got - (size_t)(body(a) - a), n);
        T_TRUE(memcmp(body(a), bytes, n) == 0);
        got = ask(&w, "GET", "Range: bytes=1000003-40000002\r\n", a, n + 4096);
        T_EQ(got - (size_t)(body(a) - a), 39000000);
        T_TRUE(memcmp(body(a), bytes + 1000003, 39000000) == 0);
        before = memory_kb();
        for (int i = 0; i < 8; i++) {
            slow[i] = kit_connect(httpd_port(w.d));
            (void)kit_puts(slow[i], "GET /r HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        usleep(300000);
        T_TRUE(SANITIZED || memory_kb() - before < 8 * 1024);
        T_GT(kit_recv(slow[0], a, 4096, 5000), 0);
        for (int i = 0; i < 4; i++)
            close(slow[i]);
        world_close(&w); /* with readers in the middle of it */
        for (int i = 4; i < 8; i++)
            close(slow[i]);
    }
    free(bytes);
    free(a);
}

/* Damage in the middle: the client gets what comes before it, and sees that it is not all. */
static void damage_in_the_middle(void)
{
    size_t n = 1u << 20, got;
    char *bytes = malloc(n), *a = malloc(n + 4096), path[120];
    struct world w;
    FILE *f;

    memset(bytes, 'b', n);
    world_open(&w, true, bytes, n);
    (void)snprintf(path, sizeof path, "%s/recordings/call_1.wav", w.dir);
    f = fopen(path, "r+");
    T_MUST(f != NULL && fseek(f, 500000, SEEK_SET) == 0 && fputc('x', f) == 'x');
    (void)fclose(f);
    got = ask(&w, "GET", "", a, n + 4096);
    T_HAS(a, "Content-Length: 1048576\r\n");
    T_LT(got, 500000);
    world_close(&w);
    free(bytes);
    free(a);
}

int main(void)
{
    T_RUN(answers);
    T_RUN(an_empty_one);
    T_RUN(what_cannot_be_served);
    T_RUN(a_long_one);
    T_RUN(damage_in_the_middle);
    return T_DONE();
}
