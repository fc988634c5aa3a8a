/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_TLS_H
#define PLUGIN_PROTO_TLS_H
/*
 * TLS as a layer without I/O: bytes from the wire in, plain bytes out, and back. OpenSSL behind it,
 * with a BIO of ours that reads straight from the caller's slice and writes into the caller's buffer,
 * so an idle connection holds no buffers. One connection belongs to one thread; a context may be shared.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"

struct tls_ctx;
struct tls;

/* Verifies against ca_file (PEM) or, if NULL, the system's certificates. TLS 1.2 and up. ERR_TLS. */
int tls_ctx_client(struct tls_ctx **out, const char *ca_file, struct err *e);
int tls_ctx_server(struct tls_ctx **out, const char *cert_file, const char *key_file, struct err *e);
void tls_ctx_free(struct tls_ctx *c);
/* OpenSSL's version text, of the library really in use. Static. */
const char *tls_library(void);

/*
 * Client: verifies `host` (name or address) and sends SNI; resumes the context's last session for it.
 * Server: host NULL.
 */
int tls_open(struct tls **out, struct tls_ctx *c, const char *host, struct err *e);
void tls_free(struct tls *t);

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_CLOSED, TLS_FAILED };
enum tls_state tls_state(const struct tls *t);
bool tls_resumed(const struct tls *t);

/*
 * Feeds bytes from the wire (may be empty, to start a client's handshake). Plain bytes are handed to
 * `plain` (as often as records come; it must not call back into t but for tls_send), what must go
 * to the wire is appended to `wire`. Afterwards look at tls_state(). ERR_TLS with e telling why,
 * certificate faults in words ("certificate has expired").
 */
int tls_feed(struct tls *t, struct str from_wire, void (*plain)(void *arg, struct str bytes), void *arg,
             struct buf *wire, struct err *e);
/* Encrypts into wire. ERR_BAD_STATE before the handshake is done. */
int tls_send(struct tls *t, struct str plain, struct buf *wire, struct err *e);
int tls_shutdown(struct tls *t, struct buf *wire); /* appends close_notify */

#endif
