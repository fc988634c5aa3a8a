/* SPDX-License-Identifier: MIT */
/* TLS over real sockets: the server, the client pool and the WebSocket together. */
#include "plugin/net/httpc.h"
#include "plugin/net/httpd.h"
#include "plugin/net/wsconn.h"
#include "tests/unit/net_kit.h"
#include "tests/unit/tls_kit.h"

#include <openssl/ssl.h>
#include <signal.h>

static struct tls_kit kit;
static const char *const names[] = {"good", "expired", NULL};

struct world {
    struct loop *loop;
    struct httpd *d;
    struct httpc *c;
    struct tls_ctx *tls;
    const char *cert, *url_host;
    char url[64];
    int rc;
    struct err e;
    atomic_bool d_closed, c_closed;
    struct httpc_stats stats;
};

static void handler(void *arg, struct httpd_exchange *x)
{
    (void)arg;
    httpd_reply(x, 200, "text/plain", httpd_body(x));
}

static void flag(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
}

static void open_fn(void *arg)
{
    struct world *w = arg;
    char pem[32], key[32];
    struct httpd_config dk = {.bind = "127.0.0.1"};
    struct httpc_config ck = {.max_conns = 4, .tls = w->tls};

    (void)snprintf(pem, sizeof pem, "%s.pem", w->cert);
    (void)snprintf(key, sizeof key, "%s.key", w->cert);
    dk.tls_cert = tls_kit_path(&kit, pem);
    dk.tls_key = tls_kit_path(&kit, key);
    w->rc = httpd_open(&w->d, w->loop, &dk, handler, w, kit_log(), &w->e);
    if (w->rc < 0)
        return;
    (void)snprintf(w->url, sizeof w->url, "https://%s:%d", w->url_host, httpd_port(w->d));
    ck.base_url = str_of(w->url);
    w->rc = httpc_open(&w->c, w->loop, &ck, kit_log(), &w->e);
}

static void close_fn(void *arg)
{
    struct world *w = arg;

    httpc_close(w->c, flag, &w->c_closed);
    httpd_close(w->d, 100, flag, &w->d_closed);
}

static void stats_fn(void *arg)
{
    struct world *w = arg;

    httpc_stats_read(w->c, &w->stats);
}

static void world_open(struct world *w, const char *cert, const char *host, const char *ca)
{
    memset(w, 0, sizeof *w);
    w->cert = cert;
    w->url_host = host;
    T_MUST(tls_ctx_client(&w->tls, ca, &w->e) == 0);
    w->loop = kit_loop();
    kit_do(w->loop, open_fn, w);
    T_MUST(w->rc == 0);
}

static void world_close(struct world *w)
{
    kit_do(w->loop, close_fn, w);
    T_TRUE(kit_wait(&w->c_closed));
    T_TRUE(kit_wait(&w->d_closed));
    tls_ctx_free(w->tls);
    kit_end(w->loop);
}

struct ask {
    struct world *w;
    struct str body;
    atomic_bool done;
    int rc, status, err;
    bool maybe_sent;
    char text[256];
    size_t n;
};

static void on_done(void *arg, const struct httpc_result *r)
{
    struct ask *a = arg;

    a->status = r->status;
    a->err = r->err;
    a->maybe_sent = r->maybe_sent;
    a->n = r->body.n;
    (void)str_copy(a->text, sizeof a->text, str_head(r->text, 200));
    atomic_store(&a->done, true);
}

static void ask_fn(void *arg)
{
    struct ask *a = arg;
    struct httpc_request req = {.method = "POST", .path = STR("/x"), .body = a->body, .timeout_ms = 5000,
                                .on_done = on_done, .arg = a};

    a->rc = httpc_send(a->w->c, &req, NULL);
}

static void ask(struct ask *a)
{
    atomic_store(&a->done, false);
    kit_do(a->w->loop, ask_fn, a);
    T_EQ(a->rc, 0);
    T_TRUE(kit_wait(&a->done));
}

static void requests_over_tls(void)
{
    static char big[60000];
    struct world w;
    struct ask a = {.w = &w, .body = STR("hello")};

    memset(big, 'b', sizeof big);
    world_open(&w, "good", "127.0.0.1", kit.ca);
    for (int i = 0; i < 200; i++) {
        a.body = i % 10 == 0 ? str_make(big, sizeof big) : STR("hello");
        ask(&a);
        T_EQ(a.status, 200);
        T_EQ(a.n, a.body.n);
    }
    kit_do(w.loop, stats_fn, &w);
    T_EQ(w.stats.handshakes, 1);
    world_close(&w);
}

static void several_connections_resume(void)
{
    struct world w;
    struct ask a[4];

    world_open(&w, "good", "localhost", kit.ca);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            a[i] = (struct ask){.w = &w, .body = STR("x")};
            if (round == 0) {
                ask(&a[i]);
                T_EQ(a[i].status, 200);
            } else {
                kit_do(w.loop, ask_fn, &a[i]);
            }
        }
        for (int i = 0; round == 1 && i < 4; i++) {
            T_TRUE(kit_wait(&a[i].done));
            T_EQ(a[i].status, 200);
        }
    }
    kit_do(w.loop, stats_fn, &w);
    T_GE(w.stats.handshakes, 1);
    T_EQ(w.stats.resumed, w.stats.handshakes - 1);
    world_close(&w);
}

static void bad_certificates_are_told(void)
{
    static const struct {
        const char *cert, *host, *text;
        bool other_ca;
    } cases[] = {{"expired", "127.0.0.1", "certificate has expired", false},
                 {"good", "127.0.0.1", "unable to get local issuer", true},
                 {"good", "127.0.0.3", "mismatch", false}};

    for (int i = 0; i < 3; i++) {
        struct world w;
        struct ask a = {.w = &w, .body = STR("secret")};

        world_open(&w, cases[i].cert, cases[i].host, cases[i].other_ca ? kit.other_ca : kit.ca);
        /* 127.0.0.3 reaches nobody: the server listens on 127.0.0.1; its text is the network's. */
        ask(&a);
        T_EQ(a.status, 0);
        T_FALSE(a.maybe_sent);
        if (i < 2) {
            T_EQ(a.err, ERR_TLS);
            T_HAS(a.text, cases[i].text);
        } else {
            T_ERR(a.err);
        }
        world_close(&w);
    }
}

static void a_plain_client_at_a_tls_port(void)
{
    struct world w;
    char text[256];
    int fd;

    world_open(&w, "good", "127.0.0.1", kit.ca);
    fd = kit_connect(httpd_port(w.d));
    (void)kit_puts(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    T_LE(kit_read(fd, text, sizeof text, NULL), 7); /* an alert at most */
    close(fd);
    /* A handshake that never goes on. */
    fd = kit_connect(httpd_port(w.d));
    (void)kit_send(fd, "\x16\x03\x01", 3);
    usleep(20000);
    close(fd);
    world_close(&w);
}

/* ---- a WebSocket server under TLS: OpenSSL on a blocking socket ---- */

static SSL_CTX *server_ctx;

static void serve(struct kit_server *s, int fd, unsigned nth)
{
    SSL *ssl = SSL_new(server_ctx);
    char request[4096], text[128], answer[512], *key;
    unsigned char hash[EVP_MAX_MD_SIZE], accept[64];
    unsigned n = 0;
    int got, all = 0;

    (void)s;
    (void)nth;
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) != 1)
        goto out;
    while (all < 4000 && (got = SSL_read(ssl, request + all, 4000 - all)) > 0) {
        all += got;
        request[all] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL)
            break;
    }
    request[all] = '\0';
    key = strstr(request, "Sec-WebSocket-Key: ");
    if (key == NULL)
        goto out;
    (void)snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    (void)EVP_Digest(text, strlen(text), hash, &n, EVP_sha1(), NULL);
    (void)EVP_EncodeBlock(accept, hash, (int)n);
    n = (unsigned)snprintf(answer, sizeof answer,
                           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n\x81\x05hello", accept);
    (void)SSL_write(ssl, answer, (int)n);
    got = SSL_read(ssl, request, 4000); /* the client's frame */
    if (got > 0) {
        (void)SSL_write(ssl, "\x88\x02\x03\xe9", 4);
        (void)SSL_read(ssl, request, 4000);
        (void)SSL_shutdown(ssl);
    }
out:
    SSL_free(ssl);
}

struct link {
    struct loop *loop;
    struct wsconn *ws;
    struct wsconn_config config;
    const char *say;
    atomic_uint texts, closed;
    struct wsconn_end end;
    int rc, send_rc;
};

static void on_text(void *arg, struct str text)
{
    struct link *k = arg;

    if (str_eqc(text, "hello"))
        atomic_fetch_add(&k->texts, 1);
    k->send_rc = wsconn_send(k->ws, str_of(k->say));
}

static void on_closed(void *arg, const struct wsconn_end *end)
{
    struct link *k = arg;

    k->end = *end;
    atomic_fetch_add(&k->closed, 1);
}

static void connect_fn(void *arg)
{
    static const struct wsconn_handler h = {.text = on_text, .closed = on_closed};
    struct link *k = arg;

    k->rc = wsconn_open(&k->ws, k->loop, &k->config, &h, k, kit_log());
}

static void websockets_over_tls(void)
{
    struct kit_server server;
    struct loop *l = kit_loop();
    struct tls_ctx *tls = NULL;
    struct link k;
    char url[64];
    struct err e;

    server_ctx = SSL_CTX_new(TLS_server_method());
    T_MUST(SSL_CTX_use_certificate_file(server_ctx, tls_kit_path(&kit, "good.pem"), SSL_FILETYPE_PEM) == 1);
    T_MUST(SSL_CTX_use_PrivateKey_file(server_ctx, tls_kit_path(&kit, "good.key"), SSL_FILETYPE_PEM) == 1);
    T_MUST(tls_ctx_client(&tls, kit.ca, &e) == 0);
    kit_serve(&server, serve, NULL);
    (void)snprintf(url, sizeof url, "wss://127.0.0.1:%d/v1/realtime?call_id=x", server.port);
    for (int i = 0; i < 3; i++) {
        memset(&k, 0, sizeof k);
        k.loop = l;
        k.config.url = str_of(url);
        k.config.tls = tls;
        k.say = "bye";
        kit_do(l, connect_fn, &k);
        T_EQ(k.rc, 0);
        T_TRUE(kit_wait_count(&k.closed, 1));
        T_EQ(atomic_load(&k.texts), 1);
        T_EQ(k.end.ws_code, 1001);
        T_EQ(k.end.err, 0);
        T_EQ(k.send_rc, 0);
    }
    k.config.tls = NULL;
    kit_do(l, connect_fn, &k);
    T_EQ(k.rc, ERR_INVALID);
    tls_ctx_free(tls);
    kit_end(l);
    kit_serve_end(&server);
    SSL_CTX_free(server_ctx);
}

int main(void)
{
    T_CASE("certificates");
    (void)signal(SIGPIPE, SIG_IGN); /* the test's own server writes through OpenSSL's sockets */
    tls_kit_open(&kit);
    tls_kit_server(&kit, "good", "IP:127.0.0.1,DNS:localhost", -60, 3600);
    tls_kit_server(&kit, "expired", "IP:127.0.0.1", -7200, -3600);
    T_RUN(requests_over_tls);
    T_RUN(several_connections_resume);
    T_RUN(bad_certificates_are_told);
    T_RUN(a_plain_client_at_a_tls_port);
    T_RUN(websockets_over_tls);
    tls_kit_close(&kit, names);
    return T_DONE();
}
