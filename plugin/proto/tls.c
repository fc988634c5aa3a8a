/* SPDX-License-Identifier: MIT */
#include "plugin/proto/tls.h"

#include "plugin/base/mem.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define SESSIONS_MAX 16
#define HOST_BYTES 254

struct session { /* the last one a host gave; under the context's lock */
    char host[HOST_BYTES];
    SSL_SESSION *session;
};

struct tls_ctx {
    SSL_CTX *ssl;
    BIO_METHOD *method;
    atomic_uint refs; /* the owner's and one for each connection */
    bool server;
    pthread_mutex_t lock;
    struct session sessions[SESSIONS_MAX];
    unsigned next_session; /* the slot to reuse */
};

struct tls {
    SSL *ssl;
    struct tls_ctx *ctx;
    enum tls_state state;
    /* Valid during one tls_feed(), tls_send() or tls_shutdown() only. */
    struct str in;
    struct buf *wire;
    char host[];
};

/* ---- the BIO: reads the caller's slice, writes the caller's buffer ---- */

static int bio_read(BIO *b, char *out, size_t n, size_t *got)
{
    struct tls *t = BIO_get_data(b);
    size_t take = n < t->in.n ? n : t->in.n;

    BIO_clear_retry_flags(b);
    *got = take;
    if (take == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(out, t->in.p, take);
    t->in = str_skip(t->in, take);
    return 1;
}

static int bio_write(BIO *b, const char *p, size_t n, size_t *put)
{
    struct tls *t = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (t->wire == NULL || buf_put(t->wire, p, n) < 0)
        return 0;
    *put = n;
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 100, "slices");

    if (m != NULL && BIO_meth_set_read_ex(m, bio_read) == 1 &&
        BIO_meth_set_write_ex(m, bio_write) == 1 && BIO_meth_set_ctrl(m, bio_ctrl) == 1)
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- errors ---- */

/* Drains OpenSSL's queue: its first entry is the cause, the rest would confuse the next caller. */
static int openssl_error(struct err *e, int rc, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *why = code != 0 ? ERR_reason_error_string(code) : NULL;

    (void)err_set(e, rc, "%s: %s", what, why != NULL ? why : "unknown TLS error");
    ERR_clear_error();
    return rc;
}

static int handshake_error(struct tls *t, struct err *e)
{
    long verify = SSL_get_verify_result(t->ssl);

    if (t->state == TLS_HANDSHAKE && verify != X509_V_OK) {
        ERR_clear_error();
        return err_set(e, ERR_TLS, "the server's certificate is refused: %s",
                       X509_verify_cert_error_string(verify));
    }
    return openssl_error(e, ERR_TLS, t->state == TLS_HANDSHAKE ? "TLS handshake failed" : "TLS");
}

/* ---- sessions ---- */

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);
    struct tls_ctx *c;
    struct session *slot = NULL;

    if (t == NULL || t->host[0] == '\0' || strlen(t->host) >= HOST_BYTES)
        return 0;
    c = t->ctx;
    (void)pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < SESSIONS_MAX && slot == NULL; i++)
        if (strcmp(c->sessions[i].host, t->host) == 0)
            slot = &c->sessions[i];
    if (slot == NULL) {
        slot = &c->sessions[c->next_session++ % SESSIONS_MAX];
        (void)str_copy(slot->host, sizeof slot->host, str_of(t->host));
    }
    SSL_SESSION_free(slot->session);
    slot->session = session;
    (void)pthread_mutex_unlock(&c->lock);
    return 1; /* the reference is ours now */
}

static void offer_session(struct tls *t)
{
    struct tls_ctx *c = t->ctx;

    (void)pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        SSL_SESSION *s = c->sessions[i].session;

        if (s != NULL && strcmp(c->sessions[i].host, t->host) == 0 && SSL_SESSION_is_resumable(s))
            (void)SSL_set_session(t->ssl, s);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- contexts ---- */

static void ctx_unref(struct tls_ctx *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        SSL_SESSION_free(c->sessions[i].session);
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->method);
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

static int ctx_open(struct tls_ctx **out, const SSL_METHOD *method, struct err *e)
{
    struct tls_ctx *c;

    /*
     * Inside a host that unloads nothing, an atexit() handler of a plugin's OpenSSL can only hurt; so can
     * a system-wide openssl.cnf that names engines built for another OpenSSL.
     */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return err_set(e, ERR_TLS, "OpenSSL cannot be initialised");
    ERR_clear_error();
    c = MEM_NEW(struct tls_ctx);
    if (c == NULL || pthread_mutex_init(&c->lock, NULL) != 0) {
        mem_free(c);
        return err_set(e, ERR_NOMEM, "out of memory for TLS");
    }
    atomic_init(&c->refs, 1);
    c->method = make_method();
    c->ssl = SSL_CTX_new(method);
    if (c->method == NULL || c->ssl == NULL ||
        SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1) {
        ctx_unref(c);
        return openssl_error(e, ERR_TLS, "cannot set up TLS");
    }
    /* Idle connections keep no record buffers: 34 KB a connection. */
    (void)SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY |
                                       SSL_MODE_ENABLE_PARTIAL_WRITE);
    (void)SSL_CTX_set_options(c->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    *out = c;
    return 0;
}

/*
 * The library's own places first (OPENSSLDIR, right on Debian and whatever SSL_CERT_FILE says), then
 * the bundles of other systems, because a static OpenSSL knows only the paths of where it was built.
 */
static int load_system_cas(SSL_CTX *ssl)
{
    static const char *const bundles[] = {
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"};
    bool has_default = access(X509_get_default_cert_dir(), R_OK) == 0 ||
                       access(X509_get_default_cert_file(), R_OK) == 0;

    if (SSL_CTX_set_default_verify_paths(ssl) == 1 && has_default)
        return 0;
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
        if (access(bundles[i], R_OK) == 0 && SSL_CTX_load_verify_file(ssl, bundles[i]) == 1)
            return 0;
    /* SSL_CERT_FILE or SSL_CERT_DIR may still have named some; if not, verification will say so. */
    return 0;
}

int tls_ctx_client(struct tls_ctx **out, const char *ca_file, struct err *e)
{
    struct tls_ctx *c = NULL;
    int rc = ctx_open(&c, TLS_client_method(), e);

    if (rc < 0)
        return rc;
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(c->ssl,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(c->ssl, on_new_session);
    if (ca_file == NULL) {
        (void)load_system_cas(c->ssl);
        ERR_clear_error();
    } else if (SSL_CTX_load_verify_file(c->ssl, ca_file) != 1) {
        rc = openssl_error(e, ERR_TLS, "cannot read the CA file");
        ctx_unref(c);
        return rc;
    }
    *out = c;
    return 0;
}

int tls_ctx_server(struct tls_ctx **out, const char *cert_file, const char *key_file, struct err *e)
{
    struct tls_ctx *c = NULL;
    int rc = ctx_open(&c, TLS_server_method(), e);

    if (rc < 0)
        return rc;
    c->server = true;
    /* Tickets resume without a store of ours; an id context is asked for all the same. */
    (void)SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(c->ssl, (const unsigned char *)"voice", 5);
    if (SSL_CTX_use_certificate_chain_file(c->ssl, cert_file) != 1)
        rc = openssl_error(e, ERR_TLS, "cannot read the TLS certificate");
    else if (SSL_CTX_use_PrivateKey_file(c->ssl, key_file, SSL_FILETYPE_PEM) != 1)
        rc = openssl_error(e, ERR_TLS, "cannot read the TLS key");
    else if (SSL_CTX_check_private_key(c->ssl) != 1)
        rc = openssl_error(e, ERR_TLS, "the TLS key does not fit the certificate");
    if (rc < 0) {
        ctx_unref(c);
        return rc;
    }
    *out = c;
    return 0;
}

void tls_ctx_free(struct tls_ctx *c)
{
    if (c != NULL)
        ctx_unref(c);
}

const char *tls_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

/* ---- connections ---- */

/* Who the server must be (RFC 9110, 4.3.4): an address is looked for among the addresses, not the names. */
static int expect_host(struct tls *t, struct err *e)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    unsigned char ip[16];
    bool is_ip = inet_pton(AF_INET, t->host, ip) == 1 || inet_pton(AF_INET6, t->host, ip) == 1;

    if (is_ip) {
        if (X509_VERIFY_PARAM_set1_ip_asc(param, t->host) != 1)
            return openssl_error(e, ERR_TLS, "cannot verify the address");
        return 0;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(param, t->host, 0) != 1 ||
        SSL_set_tlsext_host_name(t->ssl, t->host) != 1)
        return openssl_error(e, ERR_TLS, "cannot verify the host name");
    return 0;
}

int tls_open(struct tls **out, struct tls_ctx *c, const char *host, struct err *e)
{
    size_t n = host != NULL ? strlen(host) : 0;
    struct tls *t;
    BIO *bio = NULL;
    int rc = ERR_TLS;

    if (!c->server && n == 0)
        return err_set(e, ERR_INVALID, "a TLS client needs the host to verify");
    t = mem_zalloc(sizeof *t + n + 1);
    if (t == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for TLS");
    if (n > 0)
        memcpy(t->host, host, n);
    t->ctx = c;
    ERR_clear_error();
    t->ssl = SSL_new(c->ssl);
    bio = t->ssl != NULL ? BIO_new(c->method) : NULL;
    if (bio == NULL) {
        rc = openssl_error(e, ERR_TLS, "cannot make a TLS connection");
        goto out;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    if (c->server) {
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        rc = expect_host(t, e);
        if (rc < 0)
            goto out;
        offer_session(t);
    }
    (void)atomic_fetch_add(&c->refs, 1);
    *out = t;
    return 0;
out:
    SSL_free(t->ssl);
    mem_free(t);
    return rc;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    t->in = STR_NONE;
    t->wire = NULL;
    /* A connection cut without close_notify spoils its session for OpenSSL; for HTTP it is nothing unusual. */
    if (t->state != TLS_FAILED && !SSL_in_init(t->ssl))
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    ERR_clear_error();
    ctx_unref(t->ctx);
    mem_free(t);
}

enum tls_state tls_state(const struct tls *t)
{
    return t->state;
}

bool tls_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}

/* What an SSL_* call of result r meant; 0: wait for more bytes. */
static int judge(struct tls *t, int r, struct err *e)
{
    int rc;

    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        if (t->wire->rc < 0) {
            rc = t->wire->rc;
            t->state = TLS_FAILED;
            return err_set(e, rc, "TLS: %s", err_name(rc));
        }
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        t->state = TLS_CLOSED;
        return 0;
    default:
        rc = t->wire->rc < 0 ? err_set(e, t->wire->rc, "TLS: %s", err_name(t->wire->rc))
                             : handshake_error(t, e);
        t->state = TLS_FAILED;
        ERR_clear_error();
        return rc;
    }
}

static int feed(struct tls *t, void (*plain)(void *arg, struct str bytes), void *arg, struct err *e)
{
    char bytes[SSL3_RT_MAX_PLAIN_LENGTH];
    int r;

    ERR_clear_error();
    if (t->state == TLS_HANDSHAKE) {
        r = SSL_do_handshake(t->ssl);
        if (r != 1)
            return judge(t, r, e);
        t->state = TLS_OPEN;
    }
    /* The last SSL_read() would only find out that nothing is left: ask beforehand, it is cheaper. */
    while (t->state == TLS_OPEN && (t->in.n > 0 || SSL_has_pending(t->ssl) == 1)) {
        r = SSL_read(t->ssl, bytes, sizeof bytes);
        if (r <= 0) {
            if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ && t->in.n == 0)
                return judge(t, r, e);
            r = judge(t, r, e);
            if (r < 0)
                return r;
            continue;
        }
        plain(arg, str_make(bytes, (size_t)r));
    }
    return 0;
}

int tls_feed(struct tls *t, struct str from_wire, void (*plain)(void *arg, struct str bytes), void *arg,
             struct buf *wire, struct err *e)
{
    int rc;

    if (t->state == TLS_FAILED)
        return err_set(e, ERR_BAD_STATE, "TLS has failed already");
    t->in = from_wire;
    t->wire = wire;
    rc = feed(t, plain, arg, e);
    /* A session ticket makes OpenSSL allocate a buffer for writing, which the next write would free: 16 KB. */
    if (t->state == TLS_OPEN)
        (void)SSL_free_buffers(t->ssl);
    /* What comes behind close_notify is not of this connection (RFC 8446, 6.1). */
    t->in = STR_NONE;
    t->wire = NULL;
    return rc;
}

int tls_send(struct tls *t, struct str plain, struct buf *wire, struct err *e)
{
    struct buf *outer = t->wire;
    int rc = 0;

    if (t->state != TLS_OPEN)
        return err_set(e, ERR_BAD_STATE, "TLS is not open");
    ERR_clear_error();
    t->wire = wire;
    while (plain.n > 0 && rc == 0) {
        size_t put = 0;

        if (SSL_write_ex(t->ssl, plain.p, plain.n, &put) == 1) {
            plain = str_skip(plain, put);
            continue;
        }
        rc = judge(t, 0, e);
        /* Our BIO never asks to wait; an endless loop must not depend on that. */
        if (rc == 0)
            rc = err_set(e, ERR_TLS, "TLS cannot write");
    }
    t->wire = outer;
    return rc;
}

int tls_shutdown(struct tls *t, struct buf *wire)
{
    struct buf *outer = t->wire;

    if (t->state != TLS_OPEN && t->state != TLS_CLOSED)
        return ERR_BAD_STATE;
    ERR_clear_error();
    t->wire = wire;
    (void)SSL_shutdown(t->ssl);
    t->wire = outer;
    t->state = TLS_CLOSED;
    ERR_clear_error();
    return wire->rc;
}
