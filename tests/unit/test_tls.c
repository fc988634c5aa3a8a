/* SPDX-License-Identifier: MIT */
#include "plugin/proto/tls.h"

#include "plugin/base/mem.h"
#include "tests/unit/tls_kit.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static struct tls_kit kit;
static const char *const names[] = {"good", "wrong", "expired", "early", "ip", "wild", NULL};

/* ---- two ends and the wire between them ---- */

struct end {
    struct tls *t;
    struct buf wire;  /* on its way to the other end */
    struct buf plain; /* received */
    int rc;
    struct err e;
};

static void on_plain(void *arg, struct str bytes)
{
    struct end *x = arg;

    (void)buf_puts(&x->plain, bytes);
}

static void end_open(struct end *x, struct tls_ctx *c, const char *host)
{
    memset(x, 0, sizeof *x);
    buf_init(&x->wire, 64u << 20);
    buf_init(&x->plain, 64u << 20);
    x->rc = tls_open(&x->t, c, host, &x->e);
    T_OK(x->rc);
}

static void end_free(struct end *x)
{
    tls_free(x->t);
    buf_free(&x->wire);
    buf_free(&x->plain);
}

/* Carries what `from` wrote to `to`, in pieces of `step` bytes. */
static bool carry(struct end *from, struct end *to, size_t step)
{
    struct buf moving = from->wire;
    bool any = moving.n > 0;

    buf_init(&from->wire, moving.max_bytes);
    for (size_t i = 0; i < moving.n && to->rc == 0 && tls_state(to->t) != TLS_CLOSED; i += step)
        to->rc = tls_feed(to->t, str_head(str_skip(buf_str(&moving), i), step), on_plain, to, &to->wire,
                          &to->e);
    buf_free(&moving);
    return any;
}

static void pump(struct end *client, struct end *server, size_t step)
{
    if (tls_state(client->t) == TLS_HANDSHAKE && client->wire.n == 0)
        client->rc = tls_feed(client->t, STR_NONE, on_plain, client, &client->wire, &client->e);
    for (int i = 0; i < 50; i++) {
        bool a = carry(client, server, step), b = carry(server, client, step);

        if (!a && !b)
            break;
    }
}

static struct tls_ctx *client_ctx(const char *ca)
{
    struct tls_ctx *c = NULL;
    struct err e = {0};

    if (tls_ctx_client(&c, ca, &e) < 0)
        T_FAIL("%s", e.text);
    T_MUST(c != NULL);
    return c;
}

static struct tls_ctx *server_ctx(const char *name)
{
    struct tls_ctx *c = NULL;
    struct err e = {0};
    char pem[64], key[64];

    (void)snprintf(pem, sizeof pem, "%s.pem", name);
    (void)snprintf(key, sizeof key, "%s.key", name);
    if (tls_ctx_server(&c, tls_kit_path(&kit, pem), tls_kit_path(&kit, key), &e) < 0)
        T_FAIL("%s", e.text);
    T_MUST(c != NULL);
    return c;
}

static void there_and_back(void)
{
    static const size_t steps[] = {1, 7, 100, 1000, 1u << 20};
    struct tls_ctx *cc = client_ctx(kit.ca), *sc = server_ctx("good");

    T_HAS(tls_library(), "OpenSSL");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct end c, s;

        end_open(&c, cc, "voice.test");
        end_open(&s, sc, NULL);
        T_EQ(tls_send(c.t, STR("early"), &c.wire, &c.e), ERR_BAD_STATE);
        pump(&c, &s, steps[i]);
        T_EQ(c.rc, 0);
        T_EQ(s.rc, 0);
        T_EQ(tls_state(c.t), TLS_OPEN);
        T_EQ(tls_state(s.t), TLS_OPEN);
        T_OK(tls_send(c.t, STR("hello "), &c.wire, &c.e));
        T_OK(tls_send(c.t, STR("server"), &c.wire, &c.e));
        T_OK(tls_send(s.t, STR("hello client"), &s.wire, &s.e));
        pump(&c, &s, steps[i]);
        T_STR_EQ(buf_cstr(&s.plain), "hello server");
        T_STR_EQ(buf_cstr(&c.plain), "hello client");
        T_OK(tls_shutdown(c.t, &c.wire));
        T_GT(c.wire.n, 0);
        T_EQ(tls_send(c.t, STR("late"), &c.wire, &c.e), ERR_BAD_STATE);
        pump(&c, &s, steps[i]);
        T_EQ(tls_state(s.t), TLS_CLOSED);
        end_free(&c);
        end_free(&s);
    }
    tls_ctx_free(cc);
    tls_ctx_free(sc);
}

static void large_data(void)
{
    struct tls_ctx *cc = client_ctx(kit.ca), *sc = server_ctx("good");
    size_t n = 3u << 20;
    char *big = malloc(n);
    struct end c, s;

    for (size_t i = 0; i < n; i++)
        big[i] = (char)(i * 7 + i / 251);
    end_open(&c, cc, "voice.test");
    end_open(&s, sc, NULL);
    pump(&c, &s, 5000);
    T_OK(tls_send(c.t, str_make(big, n), &c.wire, &c.e));
    T_OK(tls_send(s.t, str_make(big, n), &s.wire, &s.e));
    pump(&c, &s, 1460);
    T_TRUE(s.plain.n == n && memcmp(s.plain.p, big, n) == 0);
    T_TRUE(c.plain.n == n && memcmp(c.plain.p, big, n) == 0);
    end_free(&c);
    end_free(&s);
    tls_ctx_free(cc);
    tls_ctx_free(sc);
    free(big);
}

static const struct {
    const char *name, *server, *host;
    int ca; /* 0 the right one, 1 another, 2 the system's */
    bool good;
    const char *text;
} verifications[] = {
    {"a good name", "good", "voice.test", 0, true, NULL},
    {"its second name", "good", "other.test", 0, true, NULL},
    {"in capitals", "good", "VOICE.TEST", 0, true, NULL},
    {"another name", "good", "evil.test", 0, false, "ostname mismatch"},
    {"a name inside the name", "good", "x.voice.test", 0, false, "mismatch"},
    {"the common name does not count", "good", "server", 0, false, "mismatch"},
    {"an address in the certificate", "ip", "127.0.0.1", 0, true, NULL},
    {"an IPv6 address", "ip", "::1", 0, true, NULL},
    {"another address", "ip", "127.0.0.2", 0, false, "IP address mismatch"},
    {"an address against names", "good", "127.0.0.1", 0, false, "mismatch"},
    {"a wildcard", "wild", "a.voice.test", 0, true, NULL},
    {"a wildcard for two labels", "wild", "a.b.voice.test", 0, false, "mismatch"},
    {"a partial wildcard", "wild", "foobar.part.test", 0, false, "mismatch"},
    {"expired", "expired", "voice.test", 0, false, "certificate has expired"},
    {"not yet valid", "early", "voice.test", 0, false, "not yet valid"},
    {"another authority", "good", "voice.test", 1, false, "unable to get local issuer"},
    {"the system's authorities", "good", "voice.test", 2, false, "unable to get local issuer"},
};

static void certificates_are_verified(void)
{
    for (size_t i = 0; i < sizeof verifications / sizeof *verifications; i++) {
        struct tls_ctx *sc = server_ctx(verifications[i].server);
        struct tls_ctx *cc = client_ctx(verifications[i].ca == 0   ? kit.ca
                                        : verifications[i].ca == 1 ? kit.other_ca : NULL);
        struct end c, s;

        end_open(&c, cc, verifications[i].host);
        end_open(&s, sc, NULL);
        pump(&c, &s, 4096);
        if ((tls_state(c.t) == TLS_OPEN) != verifications[i].good)
            T_FAIL("%s: state %d, %s", verifications[i].name, tls_state(c.t), c.e.text);
        if (!verifications[i].good) {
            T_EQ(c.rc, ERR_TLS);
            T_EQ(tls_state(c.t), TLS_FAILED);
            T_HAS(c.e.text, verifications[i].text);
            /* The server hears of it by an alert. */
            T_EQ(tls_state(s.t), TLS_FAILED);
            T_EQ(tls_feed(c.t, STR("more"), on_plain, &c, &c.wire, &c.e), ERR_BAD_STATE);
        }
        T_EQ(ERR_peek_error(), 0);
        end_free(&c);
        end_free(&s);
        tls_ctx_free(cc);
        tls_ctx_free(sc);
    }
}

static void sessions_are_resumed(void)
{
    struct tls_ctx *cc = client_ctx(kit.ca), *sc = server_ctx("good");
    struct end c, s;

    for (int i = 0; i < 4; i++) {
        const char *host = i == 2 ? "other.test" : "voice.test";

        end_open(&c, cc, host);
        end_open(&s, sc, NULL);
        pump(&c, &s, 4096);
        T_EQ(tls_state(c.t), TLS_OPEN);
        /* The tickets come behind the handshake, with the first data. */
        T_OK(tls_send(s.t, STR("x"), &s.wire, &s.e));
        pump(&c, &s, 4096);
        T_EQ(tls_resumed(c.t), i == 1 || i == 3); /* another host begins anew */
        T_EQ(tls_resumed(s.t), tls_resumed(c.t));
        end_free(&c);
        end_free(&s);
    }
    tls_ctx_free(cc);
    tls_ctx_free(sc);
}

static void nonsense_is_refused(void)
{
    struct tls_ctx *cc = client_ctx(kit.ca), *sc = server_ctx("good");
    struct end c, s;

    end_open(&c, cc, "voice.test");
    T_OK(tls_feed(c.t, STR_NONE, on_plain, &c, &c.wire, &c.e));
    T_GT(c.wire.n, 0);
    T_EQ(tls_feed(c.t, STR("HTTP/1.1 400 Bad Request\r\n\r\n"), on_plain, &c, &c.wire, &c.e), ERR_TLS);
    T_TRUE(c.e.text[0] != '\0');
    T_EQ(tls_state(c.t), TLS_FAILED);
    T_EQ(ERR_peek_error(), 0);
    end_free(&c);
    end_open(&s, sc, NULL);
    T_EQ(tls_feed(s.t, STR("GET / HTTP/1.1\r\n\r\n"), on_plain, &s, &s.wire, &s.e), ERR_TLS);
    end_free(&s);
    /* A record that was tampered with. */
    end_open(&c, cc, "voice.test");
    end_open(&s, sc, NULL);
    pump(&c, &s, 4096);
    T_OK(tls_send(c.t, STR("secret"), &c.wire, &c.e));
    c.wire.p[c.wire.n - 3] ^= 1;
    pump(&c, &s, 4096);
    T_EQ(s.rc, ERR_TLS);
    T_EQ(s.plain.n, 0);
    T_EQ(ERR_peek_error(), 0);
    end_free(&c);
    end_free(&s);
    tls_ctx_free(cc);
    tls_ctx_free(sc);
}

static void a_full_wire(void)
{
    struct tls_ctx *cc = client_ctx(kit.ca), *sc = server_ctx("good");
    struct end c, s;
    struct buf small;

    end_open(&c, cc, "voice.test");
    end_open(&s, sc, NULL);
    pump(&c, &s, 4096);
    buf_init(&small, 100);
    T_EQ(tls_send(c.t, STR("fits"), &small, &c.e), 0);
    T_ERR(tls_send(c.t, str_make("0123456789012345678901234567890123456789012345678901234567890123456789"
                                 "01234567890123456789012345678901234567890123456789", 120), &small, &c.e));
    T_EQ(tls_state(c.t), TLS_FAILED); /* a record half written cannot be taken back */
    buf_free(&small);
    end_free(&c);
    end_free(&s);
    tls_ctx_free(cc);
    tls_ctx_free(sc);
}

static void errors_of_others_do_not_matter(void)
{
    struct tls_ctx *cc = client_ctx(kit.ca), *sc = server_ctx("good");
    struct end c, s;

    end_open(&c, cc, "voice.test");
    end_open(&s, sc, NULL);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH); /* somebody on this thread left a mess */
    pump(&c, &s, 100);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    T_OK(tls_send(c.t, STR("x"), &c.wire, &c.e));
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    pump(&c, &s, 1);
    T_STR_EQ(buf_cstr(&s.plain), "x");
    ERR_clear_error();
    end_free(&c);
    end_free(&s);
    tls_ctx_free(cc);
    tls_ctx_free(sc);
}

static void files(void)
{
    struct tls_ctx *c = NULL;
    struct err e;

    T_EQ(tls_ctx_client(&c, "/nowhere/ca.pem", &e), ERR_TLS);
    T_HAS(e.text, "CA file");
    T_EQ(tls_ctx_server(&c, "/nowhere.pem", tls_kit_path(&kit, "good.key"), &e), ERR_TLS);
    T_HAS(e.text, "certificate");
    T_EQ(tls_ctx_server(&c, tls_kit_path(&kit, "good.pem"), "/nowhere", &e), ERR_TLS);
    T_HAS(e.text, "key");
    T_EQ(tls_ctx_server(&c, tls_kit_path(&kit, "good.pem"), tls_kit_path(&kit, "ip.key"), &e), ERR_TLS);
    T_NULL(c);
    c = client_ctx(NULL);
    T_EQ(tls_open(&(struct tls *){NULL}, c, NULL, &e), ERR_INVALID);
    T_EQ(tls_open(&(struct tls *){NULL}, c, "", &e), ERR_INVALID);
    tls_ctx_free(c);
    tls_ctx_free(NULL);
    tls_free(NULL);
}

/* The context may go before its connections. */
static void connections_outlive_their_context(void)
{
    struct tls_ctx *cc = client_ctx(kit.ca), *sc = server_ctx("good");
    struct end c, s;

    end_open(&c, cc, "voice.test");
    end_open(&s, sc, NULL);
    tls_ctx_free(cc);
    tls_ctx_free(sc);
    pump(&c, &s, 4096);
    T_OK(tls_send(c.t, STR("x"), &c.wire, &c.e));
    pump(&c, &s, 4096);
    T_STR_EQ(buf_cstr(&s.plain), "x");
    end_free(&c);
    end_free(&s);
}

int main(void)
{
    T_CASE("certificates");
    tls_kit_open(&kit);
    tls_kit_server(&kit, "good", "DNS:voice.test,DNS:other.test", -60, 3600);
    tls_kit_server(&kit, "wrong", "DNS:wrong.test", -60, 3600);
    tls_kit_server(&kit, "expired", "DNS:voice.test", -7200, -3600);
    tls_kit_server(&kit, "early", "DNS:voice.test", 3600, 7200);
    tls_kit_server(&kit, "ip", "IP:127.0.0.1,IP:::1", -60, 3600);
    tls_kit_server(&kit, "wild", "DNS:*.voice.test,DNS:foo*.part.test", -60, 3600);
    T_RUN(there_and_back);
    T_RUN(large_data);
    T_RUN(certificates_are_verified);
    T_RUN(sessions_are_resumed);
    T_RUN(nonsense_is_refused);
    T_RUN(a_full_wire);
    T_RUN(errors_of_others_do_not_matter);
    T_RUN(files);
    T_RUN(connections_outlive_their_context);
    tls_kit_close(&kit, names);
    return T_DONE();
}
