/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_HTTP1_H
#define PLUGIN_PROTO_HTTP1_H
/*
 * HTTP/1.1 messages (RFC 9112) from bytes, requests for a server and responses for a client, without
 * I/O. A head is collected whole, checked line by line and read by llhttp with all its leniency off;
 * where the two disagree the message is refused. Body framing is done here. Strict on purpose: what two
 * readers could understand differently (request smuggling) is an error. One reader a connection, one
 * thread at a time.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"

#define HTTP1_FIELDS_MAX 100u

struct http1_field { /* offsets into the message's bytes */
    uint32_t name, name_n, value, value_n;
};

struct http1_slice {
    uint32_t at, n;
};

/* One message. The owner keeps it as long as it wants the slices; http1_msg_clear() before the next use. */
struct http1_msg {
    struct buf bytes; /* head as received, then the collected body */
    struct http1_slice method, path, query; /* request; an absolute target's authority is left out */
    int status;       /* response */
    uint8_t minor;    /* HTTP/1.minor */
    bool keep_alive;  /* the peer means to go on after this message (RFC 9112, 9.3) */
    bool expects_continue; /* Expect: 100-continue (RFC 9110, 10.1.1) */
    bool upgraded;    /* response 101: what follows is no HTTP */
    bool no_body;     /* the framing says that none follows */
    uint32_t body_at;
    uint16_t n_fields;
    struct http1_field fields[HTTP1_FIELDS_MAX];
};

void http1_msg_init(struct http1_msg *m);
void http1_msg_clear(struct http1_msg *m); /* keeps a small buffer */
void http1_msg_free(struct http1_msg *m);
struct str http1_slice(const struct http1_msg *m, struct http1_slice s);
/* First field of that name (case ignored), trimmed (RFC 9112, 5.1); STR_NONE if absent. */
struct str http1_field(const struct http1_msg *m, const char *name);
unsigned http1_field_count(const struct http1_msg *m, const char *name);
struct str http1_body(const struct http1_msg *m);

enum http1_state {
    HTTP1_HEAD,  /* waiting for a message's head, or inside it */
    HTTP1_BODY,  /* the head is complete */
    HTTP1_DONE,  /* the message is complete; http1_next() goes on */
    HTTP1_FAILED
};

/* Body bytes as they come, instead of collecting them; false stops with ERR_CANCELED. */
typedef bool http1_body_fn(void *arg, struct str bytes);

struct http1 { /* to be embedded; members are private but for `fault_status` */
    struct http1_msg *msg;
    uint32_t header_max, body_max;
    bool is_client, head_request;
    enum http1_state state;
    int fault_status; /* for a server: the status that answers a failed message: 400, 413, 417, 431, 501, 505 */
    uint8_t framing, chunk_state, interim;
    bool cr;          /* the last byte was a CR inside a line structure */
    uint16_t lines;   /* complete lines of the head or the trailer */
    uint32_t line_n;  /* bytes of the line under way */
    uint32_t extra_n; /* bytes of chunk extensions and trailers so far */
    uint64_t left;    /* bytes of body or chunk to come */
    uint64_t body_n;  /* bytes of body so far */
    http1_body_fn *sink;
    void *sink_arg;
};

/* header_max bounds a head (RFC 9112, 3: 431), body_max the body (413). */
void http1_init(struct http1 *h, bool is_client, uint32_t header_max, uint32_t body_max);
/* Begins a message, to be collected in m (borrowed until the next call). head_request: of the request it answers. */
void http1_next(struct http1 *h, struct http1_msg *m, bool head_request);
/* Client: hands the body to fn instead of collecting it; may be set once the head is complete. NULL: collects. */
void http1_sink(struct http1 *h, http1_body_fn *fn, void *arg);
/*
 * Reads up to the end of the head or, from there, to the end of the message, and says how many bytes it
 * used; call again while it uses bytes and is not DONE. Interim responses but 101 are skipped
 * (RFC 9110, 15.2). ERR_PROTOCOL, ERR_TOO_BIG, ERR_NOMEM, ERR_CANCELED.
 */
int http1_feed(struct http1 *h, struct str bytes, size_t *used, struct err *e);
/* The peer sends no more: completes a response that ends with the connection (RFC 9112, 6.3), else ERR_CLOSED. */
int http1_finish(struct http1 *h, struct err *e);
bool http1_idle(const struct http1 *h); /* no byte of the next message was seen */

/* Reason phrase of a status ("OK"); "Status" for unknown ones. Static. */
const char *http1_reason(int status);

#endif
