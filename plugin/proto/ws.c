/* SPDX-License-Identifier: MIT */
#include "plugin/proto/ws.h"

#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/proto/http1.h"

#include <openssl/evp.h>
#include <string.h>
#include <wslay/wslay.h>

/*
 * Why the frame layer alone: wslay 1.1.1's event layer takes a close frame of one byte for one without
 * a code, refuses the registered codes 1012 to 1014, loses its place in the UTF-8 of a close reason that
 * arrives in two reads, sends no 1002 for a bad length or a fragmented control frame, allocates what a
 * frame's header claims before any of it has come, and keeps 4 KB a connection for sending fragments.
 */

#define CONTROL_BYTES 125u
#define FRAME_HEAD_BYTES 14u
#define KEEP_BYTES 4096u

/* UTF-8 (RFC 3629) byte by byte: which bytes may follow. A zero state is at a character's start. */
struct utf8 {
    unsigned char need, lo, hi;
};

struct ws {
    wslay_frame_context_ptr frames;
    struct ws_random *random;
    struct str in;         /* during ws_feed() */
    struct buf *wire;      /* during a call that writes */
    struct buf message;    /* of a message in several pieces */
    uint64_t frame_left;   /* payload bytes still to come of the frame under way */
    uint64_t message_bytes; /* of the message under way, all its frames' payload */
    size_t max_message;
    struct utf8 utf8;
    enum ws_state state;
    int close_code;
    unsigned char opcode;  /* of the message under way; 0: none */
    bool in_frame, stopped;
    bool fin;              /* of the frame under way */
    unsigned char frame_opcode;
    unsigned char control_n, reason_n;
    unsigned char control[CONTROL_BYTES];
};

/* ---- UTF-8 ---- */

static bool utf8_start(struct utf8 *u, unsigned char c)
{
    u->lo = 0x80;
    u->hi = 0xbf;
    if (c < 0xc2 || c > 0xf4)
        return false;
    u->need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c == 0xe0)
        u->lo = 0xa0;
    else if (c == 0xed)
        u->hi = 0x9f;
    else if (c == 0xf0)
        u->lo = 0x90;
    else if (c == 0xf4)
        u->hi = 0x8f;
    return true;
}

/* False at the first byte that cannot be part of any valid text: failing fast, as 8.1 asks. */
static bool utf8_feed(struct utf8 *u, const unsigned char *p, size_t n)
{
    size_t i = 0;

    while (i < n) {
        uint64_t word;

        if (u->need > 0) {
            if (p[i] < u->lo || p[i] > u->hi)
                return false;
            u->lo = 0x80;
            u->hi = 0xbf;
            u->need--;
            i++;
            continue;
        }
        while (n - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if (word & 0x8080808080808080ull)
                break;
            i += sizeof word;
        }
        if (i < n && p[i] >= 0x80 && !utf8_start(u, p[i]))
            return false;
        i += i < n;
    }
    return true;
}

/* ---- random bytes ---- */

static int random_take(struct ws_random *r, void *out, size_t n)
{
    int rc;

    if (r->left < n) {
        rc = id_random(r->bytes, sizeof r->bytes);
        if (rc < 0)
            return rc;
        r->left = sizeof r->bytes;
    }
    r->left -= (unsigned)n;
    memcpy(out, r->bytes + r->left, n);
    return 0;
}

/* ---- wslay's callbacks ---- */

static ssize_t on_send(const uint8_t *p, size_t n, int flags, void *arg)
{
    struct ws *w = arg;

    (void)flags;
    return buf_put(w->wire, p, n) < 0 ? -1 : (ssize_t)n;
}

static ssize_t on_recv(uint8_t *p, size_t n, int flags, void *arg)
{
    struct ws *w = arg;
    size_t take = n < w->in.n ? n : w->in.n;

    (void)flags;
    if (take == 0)
        return -1;
    memcpy(p, w->in.p, take);
    w->in = str_skip(w->in, take);
    return (ssize_t)take;
}

static int on_mask(uint8_t *p, size_t n, void *arg)
{
    struct ws *w = arg;

    return random_take(w->random, p, n) < 0 ? -1 : 0;
}

int ws_open(struct ws **out, size_t max_message_bytes, struct ws_random *random)
{
    static const struct wslay_frame_callbacks callbacks = {on_send, on_recv, on_mask};
    struct ws *w = MEM_NEW(struct ws);

    if (w == NULL)
        return ERR_NOMEM;
    if (wslay_frame_context_init(&w->frames, &callbacks, w) != 0) {
        mem_free(w);
        return ERR_NOMEM;
    }
    w->random = random;
    w->max_message = max_message_bytes;
    buf_init(&w->message, max_message_bytes);
    *out = w;
    return 0;
}

void ws_free(struct ws *w)
{
    if (w == NULL)
        return;
    wslay_frame_context_free(w->frames);
    buf_free(&w->message);
    mem_free(w);
}

/* ---- sending ---- */

static int send_frame(struct ws *w, uint8_t opcode, struct str payload, struct buf *wire)
{
    struct wslay_frame_iocb io = {.fin = 1, .opcode = opcode, .mask = 1,
                                  .payload_length = payload.n, .data = (const uint8_t *)payload.p,
                                  .data_length = payload.n};
    size_t before = wire->n;
    struct buf *outer = w->wire;
    ssize_t sent;
    int rc;

    /* With the room made beforehand wslay cannot stop half way through a frame. */
    rc = buf_reserve(wire, payload.n + FRAME_HEAD_BYTES);
    if (rc < 0)
        return rc;
    w->wire = wire;
    sent = wslay_frame_send(w->frames, &io);
    w->wire = outer;
    if (sent == (ssize_t)payload.n)
        return 0;
    wire->n = before;
    return ERR_IO; /* no random bytes for the mask */
}

int ws_send_text(struct ws *w, struct str text, struct buf *wire)
{
    return w->state == WS_OPEN ? send_frame(w, WSLAY_TEXT_FRAME, text, wire) : ERR_BAD_STATE;
}

int ws_send_ping(struct ws *w, struct str payload, struct buf *wire)
{
    if (payload.n > CONTROL_BYTES)
        return ERR_TOO_BIG;
    return w->state == WS_OPEN ? send_frame(w, WSLAY_PING, payload, wire) : ERR_BAD_STATE;
}

/* code 0: a close frame without one. */
static int send_close(struct ws *w, int code, struct str reason, struct buf *wire)
{
    char payload[CONTROL_BYTES];
    size_t n = 0;

    if (code != 0) {
        size_t cut = str_utf8_floor(reason, CONTROL_BYTES - 2);

        payload[0] = (char)((unsigned)code >> 8);
        payload[1] = (char)code;
        if (cut > 0)
            memcpy(payload + 2, reason.p, cut);
        n = cut + 2;
    }
    return send_frame(w, WSLAY_CONNECTION_CLOSE, str_make(payload, n), wire);
}

int ws_send_close(struct ws *w, int code, struct str reason, struct buf *wire)
{
    int rc;

    if (w->state != WS_OPEN)
        return ERR_BAD_STATE;
    rc = send_close(w, code, reason, wire);
    if (rc == 0)
        w->state = WS_CLOSING;
    return rc;
}

void ws_stop(struct ws *w)
{
    w->stopped = true;
}

enum ws_state ws_state(const struct ws *w)
{
    return w->state;
}

int ws_close_code(const struct ws *w)
{
    return w->close_code;
}

struct str ws_close_reason(const struct ws *w)
{
    return str_make((const char *)w->control + 2, w->reason_n);
}

/* ---- receiving ---- */

/* Fails the connection (7.1.7): the peer is told why, then nothing is read any more. */
static int give_up(struct ws *w, int rc, int code, const char *why, struct err *e)
{
    if (w->state == WS_OPEN)
        (void)send_close(w, code, str_of(why), w->wire);
    w->state = WS_FAILED;
    buf_free(&w->message);
    return err_set(e, rc, "WebSocket: %s", why);
}

/* Which codes may stand in a frame: 7.4.1, 7.4.2 and IANA's registry (1012 to 1014). */
static bool code_is_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int on_close(struct ws *w, struct err *e)
{
    struct utf8 u = {0, 0, 0};
    int code = w->control_n >= 2 ? w->control[0] * 256 + w->control[1] : 0;

    if (w->control_n == 1)
        return give_up(w, ERR_PROTOCOL, 1002, "a close frame of one byte", e);
    if (w->control_n >= 2 && !code_is_valid(code))
        return give_up(w, ERR_PROTOCOL, 1002, "a close code that must not be sent", e);
    if (w->control_n > 2 && (!utf8_feed(&u, w->control + 2, w->control_n - 2u) || u.need > 0))
        return give_up(w, ERR_PROTOCOL, 1007, "a close reason that is no UTF-8", e);
    w->close_code = code != 0 ? code : 1005;
    w->reason_n = w->control_n > 2 ? (unsigned char)(w->control_n - 2) : 0;
    /* 5.5.1: answered with the same code, unless ours went first. */
    if (w->state == WS_OPEN)
        (void)send_close(w, code, STR_NONE, w->wire);
    w->state = WS_CLOSED;
    return 0;
}

static int on_control(struct ws *w, struct err *e)
{
    int rc;

    if (w->frame_opcode == WSLAY_CONNECTION_CLOSE)
        return on_close(w, e);
    if (w->frame_opcode != WSLAY_PING || w->state != WS_OPEN)
        return 0;
    rc = send_frame(w, WSLAY_PONG, str_make((const char *)w->control, w->control_n), w->wire);
    if (rc == ERR_TOO_BIG) {
        w->state = WS_FAILED;
        return err_set(e, ERR_FULL, "WebSocket: the peer sends pings and reads no answers");
    }
    return rc < 0 ? err_set(e, rc, "WebSocket: %s", err_name(rc)) : 0;
}

/* A frame's header: what 5.2, 5.4 and 5.5 forbid; wslay has checked the lengths and control frames' size. */
static int on_frame(struct ws *w, const struct wslay_frame_iocb *io, struct err *e)
{
    w->fin = io->fin == 1;
    w->frame_opcode = io->opcode;
    w->frame_left = io->payload_length;
    w->in_frame = true;
    if (io->rsv != 0)
        return give_up(w, ERR_PROTOCOL, 1002, "a reserved bit is set and no extension was agreed", e);
    if (io->mask != 0)
        return give_up(w, ERR_PROTOCOL, 1002, "a server's frame is masked", e);
    switch (io->opcode) {
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        w->control_n = 0;
        return 0;
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
        if (w->opcode != 0)
            return give_up(w, ERR_PROTOCOL, 1002, "a message begins inside another", e);
        w->opcode = io->opcode;
        w->message_bytes = 0;
        w->utf8 = (struct utf8){0, 0, 0};
        break;
    case WSLAY_CONTINUATION_FRAME:
        if (w->opcode == 0)
            return give_up(w, ERR_PROTOCOL, 1002, "a continuation of nothing", e);
        break;
    default:
        return give_up(w, ERR_PROTOCOL, 1002, "a reserved opcode", e);
    }
    if (io->payload_length > w->max_message - w->message_bytes)
        return give_up(w, ERR_TOO_BIG, 1009, "a message over the limit", e);
    w->message_bytes += io->payload_length;
    return 0;
}

static void hand_on(struct ws *w, const struct ws_handler *h, void *arg, struct str message)
{
    bool text = w->opcode == WSLAY_TEXT_FRAME;

    w->opcode = 0;
    if (w->stopped || w->state != WS_OPEN)
        return;
    if (text)
        h->text(arg, message);
    else if (h->binary != NULL)
        h->binary(arg, message);
}

/* Payload of a data frame; `ends`: with these bytes the message is whole. */
static int on_data(struct ws *w, const struct wslay_frame_iocb *io, bool ends,
                   const struct ws_handler *h, void *arg, struct err *e)
{
    struct str bytes = str_make((const char *)io->data, io->data_length);

    if (w->opcode == WSLAY_TEXT_FRAME &&
        (!utf8_feed(&w->utf8, io->data, io->data_length) || (ends && w->utf8.need > 0)))
        return give_up(w, ERR_PROTOCOL, 1007, "a text message that is no UTF-8", e);
    if (ends && w->message.n == 0) {
        hand_on(w, h, arg, bytes);
        return 0;
    }
    if (buf_puts(&w->message, bytes) < 0)
        return give_up(w, ERR_NOMEM, 1011, "out of memory", e);
    if (!ends)
        return 0;
    hand_on(w, h, arg, buf_str(&w->message));
    if (w->message.cap > KEEP_BYTES || w->state != WS_OPEN)
        buf_free(&w->message);
    else
        buf_clear(&w->message);
    return 0;
}

static int on_payload(struct ws *w, const struct wslay_frame_iocb *io, const struct ws_handler *h,
                      void *arg, struct err *e)
{
    int rc = w->in_frame ? 0 : on_frame(w, io, e);

    if (rc < 0)
        return rc;
    w->frame_left -= io->data_length;
    if (w->frame_left == 0)
        w->in_frame = false;
    if (!wslay_is_ctrl_frame(io->opcode))
        return on_data(w, io, w->frame_left == 0 && w->fin, h, arg, e);
    /* At most 125 bytes: wslay refuses longer control frames by their header. */
    memcpy(w->control + w->control_n, io->data, io->data_length);
    w->control_n = (unsigned char)(w->control_n + io->data_length);
    return w->frame_left == 0 ? on_control(w, e) : 0;
}

int ws_feed(struct ws *w, struct str bytes, const struct ws_handler *h, void *arg, struct buf *wire,
            struct err *e)
{
    int rc = 0;

    w->in = bytes;
    w->wire = wire;
    while (rc == 0 && (w->state == WS_OPEN || w->state == WS_CLOSING)) {
        struct wslay_frame_iocb io;
        ssize_t got = wslay_frame_recv(w->frames, &io);

        if (got == WSLAY_ERR_WANT_READ)
            break;
        if (got < 0)
            rc = give_up(w, ERR_PROTOCOL, 1002, "a length or a control frame against the rules", e);
        else
            rc = on_payload(w, &io, h, arg, e);
    }
    w->in = STR_NONE;
    w->wire = NULL;
    return rc;
}

/* ---- the opening handshake ---- */

static void base64(char *out, const unsigned char *p, int n)
{
    (void)EVP_EncodeBlock((unsigned char *)out, p, n);
}

int ws_hello_write(struct ws_hello *hello, struct str host, struct str target, struct buf *wire)
{
    unsigned char nonce[16];

    if (id_random(nonce, sizeof nonce) < 0)
        return ERR_IO;
    base64(hello->key, nonce, sizeof nonce);
    return buf_printf(wire,
                      "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                      "Sec-WebSocket-Version: 13\r\n",
                      STR_ARG(target), STR_ARG(host), hello->key);
}

static bool has_token(struct str list, struct str token)
{
    struct str part;

    while (str_split(&list, ',', &part))
        if (str_ieq(str_trim(part), token))
            return true;
    return false;
}

/* false: memory is out. */
static bool accept_key(const struct ws_hello *hello, char out[29])
{
    char text[64];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int n = 0;

    memcpy(text, hello->key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    if (EVP_Digest(text, 60, hash, &n, EVP_sha1(), NULL) != 1 || n != 20)
        return false;
    base64(out, hash, 20);
    return true;
}

int ws_hello_check(const struct ws_hello *hello, const struct http1_msg *answer, struct err *e)
{
    char want[29];

    if (answer->status != 101)
        return err_set(e, ERR_HTTP, "the server answered %d, not 101", answer->status);
    if (answer->minor == 0)
        return err_set(e, ERR_PROTOCOL, "the server's 101 is of HTTP/1.0");
    if (!str_ieq(http1_field(answer, "upgrade"), STR("websocket")))
        return err_set(e, ERR_PROTOCOL, "the server's 101 does not upgrade to websocket");
    if (!has_token(http1_field(answer, "connection"), STR("upgrade")))
        return err_set(e, ERR_PROTOCOL, "the server's 101 lacks Connection: upgrade");
    if (!accept_key(hello, want))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (http1_field_count(answer, "sec-websocket-accept") != 1 ||
        !str_eqc(http1_field(answer, "sec-websocket-accept"), want))
        return err_set(e, ERR_PROTOCOL, "the server's Sec-WebSocket-Accept is wrong");
    if (http1_field(answer, "sec-websocket-extensions").n > 0)
        return err_set(e, ERR_PROTOCOL, "the server chose an extension nobody offered");
    if (http1_field(answer, "sec-websocket-protocol").n > 0)
        return err_set(e, ERR_PROTOCOL, "the server chose a subprotocol nobody offered");
    return 0;
}
