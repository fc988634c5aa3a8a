/* SPDX-License-Identifier: MIT */
#include "plugin/net/wsconn.h"
#include "tests/unit/net_kit.h"

#include <openssl/evp.h>

/* ---- a WebSocket server over a plain socket; what it does is in the path ---- */

static void send_frame(int fd, unsigned first, const char *p, size_t n)
{
    unsigned char head[10] = {(unsigned char)first};
    size_t h = 2;

    if (n < 126) {
        head[1] = (unsigned char)n;
    } else if (n < 65536) {
        head[1] = 126;
        head[2] = (unsigned char)(n >> 8);
        head[3] = (unsigned char)n;
        h = 4;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
        h = 10;
    }
    (void)kit_send(fd, head, h);
    (void)kit_send(fd, p, n);
}

static bool read_all(int fd, void *p, size_t n)
{
    char *at = p;

    while (n > 0) {
        ssize_t got = kit_recv(fd, at, n, KIT_WAIT_MS);

        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

/* A client's frame, unmasked; -1 at the end. */
static int read_frame(int fd, char *out, size_t cap, size_t *n)
{
    unsigned char head[2], ext[8], mask[4];
    uint64_t len;

    if (!read_all(fd, head, 2))
        return -1;
    len = head[1] & 0x7f;
    if (len >= 126) {
        size_t k = len == 126 ? 2 : 8;

        if (!read_all(fd, ext, k))
            return -1;
        len = 0;
        for (size_t i = 0; i < k; i++)
            len = len << 8 | ext[i];
    }
    if ((head[1] & 0x80) == 0 || len >= cap || !read_all(fd, mask, 4) || !read_all(fd, out, len))
        return -1;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(out[i] ^ (char)mask[i % 4]);
    out[len] = '\0';
    *n = len;
    return head[0] & 0x0f;
}

static bool shake_hands(int fd, char *request, size_t cap)
{
    char text[128], answer[512], *key;
    unsigned char hash[EVP_MAX_MD_SIZE], accept[64];
    unsigned n = 0;

    (void)kit_read(fd, request, cap, "\r\n\r\n");
    key = strstr(request, "Sec-WebSocket-Key: ");
    if (key == NULL)
        return false;
    if (strstr(request, " /refuse") != NULL)
        return kit_puts(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno") && false;
    if (strstr(request, " /mute") != NULL)
        return kit_closes(fd, 3000) && false;
    (void)snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    (void)EVP_Digest(text, strlen(text), hash, &n, EVP_sha1(), NULL);
    (void)EVP_EncodeBlock(accept, hash, (int)n);
    (void)snprintf(answer, sizeof answer,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: %s\r\n\r\n", strstr(request, " /badkey") ? "nonsense" : (char *)accept);
    return kit_puts(fd, answer);
}

static void echo(struct kit_server *s, int fd, char *frame, size_t cap)
{
    size_t n = 0;
    int op;

    while (!atomic_load(&s->stop) && (op = read_frame(fd, frame, cap, &n)) >= 0) {
        if (op == 8) {
            send_frame(fd, 0x88, frame, n);
            (void)kit_closes(fd, 1000);
            return;
        }
        send_frame(fd, op == 9 ? 0x8a : 0x80u | (unsigned)op, frame, n);
    }
}

static atomic_uint pings_seen;

/* Reads and says nothing, not even pongs; counts the pings. */
static void stay_silent(int fd, char *frame, size_t cap)
{
    size_t n;
    int op;

    while ((op = read_frame(fd, frame, cap, &n)) >= 0)
        if (op == 9)
            atomic_fetch_add(&pings_seen, 1);
}

static void serve(struct kit_server *s, int fd, unsigned nth)
{
    size_t cap = 4u << 20, n;
    char *frame = malloc(cap), request[4096];

    (void)nth;
    if (!shake_hands(fd, request, sizeof request)) {
        free(frame);
        return;
    }
    if (strstr(request, " /hello") != NULL) {
        send_frame(fd, 0x81, "hello", 5);
        send_frame(fd, 0x81, strstr(request, "Authorization: Bearer key\r\n") ? "known" : "unknown", 5);
    }
    if (strstr(request, " /close") != NULL)
        send_frame(fd, 0x88, "\x03\xf3oops", 6);
    if (strstr(request, " /drop") != NULL) {
        free(frame);
        return;
    }
    if (strstr(request, " /bad") != NULL) {
        send_frame(fd, 0x83, "x", 1);
        /* The client must say why before it goes (7.1.7). */
        if (read_frame(fd, frame, cap, &n) == 8 && n >= 2 && frame[0] == 3 && frame[1] == (char)0xea)
            atomic_fetch_add(&pings_seen, 1000);
    } else if (strstr(request, " /big") != NULL) {
        memset(frame, 'B', 1u << 20);
        send_frame(fd, 0x81, frame, 1u << 20);
        echo(s, fd, frame, cap);
    } else if (strstr(request, " /silent") != NULL) {
        stay_silent(fd, frame, cap);
    } else if (strstr(request, " /deaf") != NULL) {
        usleep(1000000); /* reads nothing */
    } else {
        echo(s, fd, frame, cap);
    }
    free(frame);
}

/* ---- the client ---- */

struct world {
    struct kit_server server;
    struct loop *loop;
};

struct link {
    struct world *w;
    const char *path;
    struct wsconn_config config;
    struct wsconn *ws;
    int open_rc, send_rc;
    const char *say;      /* sent when open */
    size_t say_bytes;     /* or so many bytes */
    unsigned say_times;
    bool close_on_text, close_on_open;
    atomic_uint opened, texts, closed;
    size_t bytes;
    char first[64], last[64];
    struct wsconn_end end;
};

static void say(struct link *k)
{
    char *big = k->say_bytes ? malloc(k->say_bytes) : NULL;

    if (big != NULL)
        memset(big, 's', k->say_bytes);
    for (unsigned i = 0; i < (k->say_times ? k->say_times : 1) && k->send_rc == 0; i++)
        k->send_rc = wsconn_send(k->ws, big != NULL ? str_make(big, k->say_bytes) : str_of(k->say));
    free(big);
}

static void close_fn(void *arg)
{
    struct link *k = arg;

    if (k->ws != NULL && atomic_load(&k->closed) == 0)
        wsconn_close(k->ws);
    k->ws = NULL;
}

static void on_open(void *arg)
{
    struct link *k = arg;

    if (k->say != NULL || k->say_bytes > 0)
        say(k);
    atomic_fetch_add(&k->opened, 1);
    if (k->close_on_open)
        close_fn(k);
}

static void on_text(void *arg, struct str text)
{
    struct link *k = arg;

    k->bytes += text.n;
    if (atomic_load(&k->texts) == 0)
        (void)str_copy(k->first, sizeof k->first, str_head(text, 60));
    (void)str_copy(k->last, sizeof k->last, str_head(text, 60));
    atomic_fetch_add(&k->texts, 1);
    if (k->close_on_text)
        close_fn(k);
}

static void on_closed(void *arg, const struct wsconn_end *end)
{
    struct link *k = arg;

    k->end = *end;
    k->ws = NULL;
    atomic_fetch_add(&k->closed, 1);
}

static void open_fn(void *arg)
{
    static const struct wsconn_handler handler = {on_open, on_text, on_closed};
    static const struct httpc_header auth = {{"Authorization", 13}, {"Bearer key", 10}};
    struct link *k = arg;
    char url[128];

    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%d%s", k->w->server.port, k->path);
    k->config.url = str_of(url);
    k->config.headers = &auth;
    k->config.n_headers = 1;
    k->open_rc = wsconn_open(&k->ws, k->w->loop, &k->config, &handler, k, kit_log());
}

static void say_fn(void *arg)
{
    say(arg);
}

static void world_open(struct world *w)
{
    memset(w, 0, sizeof *w);
    kit_serve(&w->server, serve, w);
    w->loop = kit_loop();
}

static void world_close(struct world *w)
{
    kit_end(w->loop);
    kit_serve_end(&w->server);
}

static void start(struct link *k, struct world *w, const char *path)
{
    k->w = w;
    k->path = path;
    kit_do(w->loop, open_fn, k);
    T_EQ(k->open_rc, 0);
}

static void echoes(void)
{
    struct world w;
    struct link k = {.say = "first", .say_times = 3};

    world_open(&w);
    start(&k, &w, "/echo?call_id=1");
    T_TRUE(kit_wait_count(&k.texts, 3));
    T_STR_EQ(k.last, "first");
    k.say = "second";
    k.say_times = 1;
    kit_do(w.loop, say_fn, &k);
    T_TRUE(kit_wait_count(&k.texts, 4));
    T_STR_EQ(k.last, "second");
    kit_do(w.loop, close_fn, &k);
    T_EQ(atomic_load(&k.closed), 0);
    world_close(&w);
}

static void headers_and_early_frames(void)
{
    struct world w;
    struct link k = {0};

    world_open(&w);
    start(&k, &w, "/hello");
    T_TRUE(kit_wait_count(&k.texts, 2));
    T_STR_EQ(k.first, "hello");
    T_STR_EQ(k.last, "known");
    kit_do(w.loop, close_fn, &k);
    world_close(&w);
}

static void ends_are_told(void)
{
    static const struct {
        const char *path;
        int http_status, ws_code, err;
        const char *text;
    } cases[] = {
        {"/refuse", 404, 0, ERR_HTTP, "404"},
        {"/badkey", 0, 0, ERR_PROTOCOL, "Accept"},
        {"/close", 0, 1011, 0, "oops"},
        {"/drop", 0, 0, ERR_CLOSED, "closed"},
        {"/bad", 0, 0, ERR_PROTOCOL, "opcode"},
    };
    struct world w;

    world_open(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct link k = {0};

        atomic_store(&pings_seen, 0);
        start(&k, &w, cases[i].path);
        T_TRUE(kit_wait_count(&k.closed, 1));
        T_EQ(k.end.http_status, cases[i].http_status);
        T_EQ(k.end.ws_code, cases[i].ws_code);
        T_EQ(k.end.err, cases[i].err);
        T_HAS(k.end.text, cases[i].text);
        if (strcmp(cases[i].path, "/bad") == 0)
            T_TRUE(kit_wait_count(&pings_seen, 1000));
        usleep(20000);
        T_EQ(atomic_load(&k.closed), 1);
    }
    world_close(&w);
}

static void nobody_listens(void)
{
    struct world w;
    struct link k = {0};
    int port;

    world_open(&w);
    port = w.server.port;
    w.server.port = 1;
    start(&k, &w, "/x");
    T_TRUE(kit_wait_count(&k.closed, 1));
    T_EQ(k.end.err, -ECONNREFUSED);
    w.server.port = port;
    world_close(&w);
}

static void no_answer_to_the_handshake(void)
{
    struct world w;
    struct link k = {.config = {.connect_ms = 150}};
    uint64_t began = clock_mono_ms();

    world_open(&w);
    start(&k, &w, "/mute");
    T_TRUE(kit_wait_count(&k.closed, 1));
    T_EQ(k.end.err, ERR_TIMEOUT);
    T_LT(clock_mono_ms() - began, 2000);
    world_close(&w);
}

static void a_silent_peer(void)
{
    struct world w;
    struct link k = {.config = {.ping_ms = 100, .dead_ms = 450}};
    uint64_t began;

    world_open(&w);
    atomic_store(&pings_seen, 0);
    began = clock_mono_ms();
    start(&k, &w, "/silent");
    T_TRUE(kit_wait_count(&k.closed, 1));
    T_EQ(k.end.err, ERR_TIMEOUT);
    T_GE(clock_mono_ms() - began, 440);
    T_GE(atomic_load(&pings_seen), 2);
    T_LE(atomic_load(&pings_seen), 6);
    world_close(&w);
}

static void pongs_keep_it_alive(void)
{
    struct world w;
    struct link k = {.config = {.ping_ms = 60, .dead_ms = 250}};

    world_open(&w);
    start(&k, &w, "/echo");
    T_TRUE(kit_wait_count(&k.opened, 1));
    usleep(900000);
    T_EQ(atomic_load(&k.closed), 0);
    kit_do(w.loop, close_fn, &k);
    world_close(&w);
}

static void large_frames(void)
{
    struct world w;
    struct link k = {.say_bytes = 700000};

    world_open(&w);
    start(&k, &w, "/big");
    T_TRUE(kit_wait_count(&k.texts, 2));
    T_EQ(k.bytes, (1u << 20) + 700000);
    T_EQ(k.send_rc, 0);
    kit_do(w.loop, close_fn, &k);
    world_close(&w);
}

static void over_the_message_limit(void)
{
    struct world w;
    struct link k = {.config = {.max_message_bytes = 1000}};

    world_open(&w);
    start(&k, &w, "/big");
    T_TRUE(kit_wait_count(&k.closed, 1));
    T_EQ(k.end.err, ERR_TOO_BIG);
    world_close(&w);
}

static void a_peer_that_does_not_read(void)
{
    struct world w;
    struct link k = {.say_bytes = 100000, .say_times = 200};

    world_open(&w);
    start(&k, &w, "/deaf");
    T_TRUE(kit_wait_count(&k.opened, 1));
    T_EQ(k.send_rc, ERR_FULL);
    kit_do(w.loop, close_fn, &k);
    world_close(&w);
}

static void closing_inside_callbacks(void)
{
    struct world w;
    struct link a = {.close_on_text = true}, b = {.close_on_open = true};

    world_open(&w);
    start(&a, &w, "/hello");
    start(&b, &w, "/hello");
    T_TRUE(kit_wait_count(&a.texts, 1));
    T_TRUE(kit_wait_count(&b.opened, 1));
    usleep(50000);
    T_EQ(atomic_load(&a.texts), 1);
    T_EQ(atomic_load(&b.texts), 0);
    T_EQ(atomic_load(&a.closed) + atomic_load(&b.closed), 0);
    world_close(&w);
}

static void closing_in_every_phase(void)
{
    static const char *const paths[] = {"/echo", "/mute", "/big", "/close", "/bad", "/refuse"};
    struct world w;

    world_open(&w);
    for (int i = 0; i < 6; i++) {
        for (unsigned wait = 0; wait <= 3000; wait += 300) {
            struct link k = {.say = "x"};

            start(&k, &w, paths[i]);
            usleep(wait);
            kit_do(w.loop, close_fn, &k);
            T_LE(atomic_load(&k.closed), 1);
        }
    }
    world_close(&w);
}

static unsigned long fault_at;

static void faulty_open_fn(void *arg)
{
    (void)mem_fault_after(fault_at);
    open_fn(arg);
}

static void heal_fn(void *arg)
{
    (void)arg;
    (void)mem_fault_after(0);
}

static void out_of_memory(void)
{
    struct world w;
    unsigned failed = 0;

    world_open(&w);
    for (fault_at = 1; fault_at < 30; fault_at++) {
        struct link k = {.w = &w, .path = "/big", .say = "x", .config = {.connect_ms = 60}};

        kit_do(w.loop, faulty_open_fn, &k);
        if (k.open_rc < 0) {
            T_EQ(k.open_rc, ERR_NOMEM);
        } else {
            usleep(30000);
        }
        kit_do(w.loop, heal_fn, NULL);
        for (int i = 0; k.open_rc >= 0 && i < 500 && !atomic_load(&k.closed) && !atomic_load(&k.texts); i++)
            usleep(10000);
        failed += k.open_rc < 0 || atomic_load(&k.closed) > 0;
        T_TRUE(k.open_rc < 0 || atomic_load(&k.closed) > 0 || atomic_load(&k.texts) > 0);
        kit_do(w.loop, close_fn, &k);
    }
    T_GT(failed, 3);
    world_close(&w);
}

static void sending_when_not_open(void)
{
    struct world w;
    struct link k = {.say = "early"};

    world_open(&w);
    start(&k, &w, "/mute");
    kit_do(w.loop, say_fn, &k);
    T_EQ(k.send_rc, ERR_CLOSED);
    kit_do(w.loop, close_fn, &k);
    world_close(&w);
}

int main(void)
{
    T_RUN(echoes);
    T_RUN(headers_and_early_frames);
    T_RUN(ends_are_told);
    T_RUN(nobody_listens);
    T_RUN(no_answer_to_the_handshake);
    T_RUN(a_silent_peer);
    T_RUN(pongs_keep_it_alive);
    T_RUN(large_frames);
    T_RUN(over_the_message_limit);
    T_RUN(a_peer_that_does_not_read);
    T_RUN(closing_inside_callbacks);
    T_RUN(closing_in_every_phase);
    T_RUN(sending_when_not_open);
    T_RUN(out_of_memory);
    return T_DONE();
}
