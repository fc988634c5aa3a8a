/* SPDX-License-Identifier: MIT */
#ifndef TESTS_BENCH_LOAD_REALTIME_H
#define TESTS_BENCH_LOAD_REALTIME_H
/*
 * OpenAI's side of load_service.c, and the agent's: connections with and without TLS, HTTP requests, sidebands and the
 * frames on them, all in one `struct service`. on_listener() takes connections, on_conn() is one on which something has
 * happened; what is measured is noted where it is met (on_accept(), on_text(), a pong). What goes wrong ends the program.
 * One thread.
 */
#include "tests/bench/load_kit.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#define CONNS_MAX 20000u
#define IN_BYTES 16384u
#define FEEDERS 16u /* connections that bring webhooks */
#define NUMBERS (1u << 24) /* of calls, so far */

struct conn {
    int fd;
    SSL *ssl;              /* NULL: plain */
    bool shaken, ws, dead, wants_out;
    unsigned at;           /* its place among the sidebands */
    uint64_t ping_us;      /* of the event before the ping that is not answered */
    uint64_t end_us;       /* churn: when the caller hangs up; 0: not */
    uint64_t events;       /* sent so far: numbers their ids */
    size_t in_n, out_n, out_at;
    char *out;
    char in[IN_BYTES];
    char id[80];
};

struct feeder { /* brings webhooks; the answers are counted only */
    int fd;
    size_t got;
    char answer[1024];
    bool in_flight;
    uint64_t number; /* of the call it brought last */
};

struct service {
    SSL_CTX *tls;
    int ep, listener, port, plugin_port;
    struct conn *bands[CONNS_MAX]; /* open sidebands */
    unsigned n_bands;
    uint64_t attached, last_us, accepted, answered, bad, pongs;
    uint64_t live_us;              /* churn: how long a call lasts */
    unsigned char ended[NUMBERS / 8]; /* by the call's number */
    bool deaf;
    long long later_s;
    struct webhook hook;
    struct feeder feeders[FEEDERS];
    uint64_t first, asked;
    uint64_t *asked_us; /* by number - first */
    struct times took;
    int agent, agent_port;
    struct {
        struct conn *band; /* whose model asks, NULL: none */
        uint64_t ready_us, output_us, create_us;
    } tool;
};

static struct service s;

/* ---- Bytes ---- */

static inline void watch(struct conn *c, bool out)
{
    struct epoll_event ev = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};

    if (c->wants_out != out && epoll_ctl(s.ep, EPOLL_CTL_MOD, c->fd, &ev) != 0)
        die("epoll");
    c->wants_out = out;
}

static inline void conn_end(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    if (s.tool.band == c)
        s.tool.band = NULL;
    if (c->ws) {
        s.bands[c->at] = s.bands[--s.n_bands];
        s.bands[c->at]->at = c->at;
    }
    (void)epoll_ctl(s.ep, EPOLL_CTL_DEL, c->fd, NULL);
    SSL_free(c->ssl);
    (void)close(c->fd);
}

static inline void conn_free(struct conn *c)
{
    free(c->out);
    free(c);
}

static inline ssize_t put(struct conn *c, const char *p, size_t n)
{
    int got;

    if (c->ssl == NULL)
        return write(c->fd, p, n);
    ERR_clear_error(); /* another connection's would be taken for ours */
    got = SSL_write(c->ssl, p, (int)n);
    if (got > 0)
        return got;
    errno = SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}

static inline void flush(struct conn *c)
{
    while (!c->dead && c->out_at < c->out_n) {
        ssize_t n = put(c, c->out + c->out_at, c->out_n - c->out_at);

        if (n < 0 && errno == EAGAIN) {
            watch(c, true);
            return;
        }
        if (n < 0) {
            conn_end(c);
            return;
        }
        c->out_at += (size_t)n;
    }
    if (!c->dead) {
        c->out_at = c->out_n = 0;
        watch(c, false);
    }
}

/* One write, one TLS record, unless the peer is slow. */
static inline void say(struct conn *c, const char *p, size_t n)
{
    if (c->dead)
        return;
    if (c->out_n == 0) {
        ssize_t sent = put(c, p, n);

        if (sent < 0 && errno != EAGAIN) {
            conn_end(c);
            return;
        }
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
    }
    if (n == 0)
        return;
    c->out = realloc(c->out, c->out_n + n);
    if (c->out == NULL)
        die("memory");
    memcpy(c->out + c->out_n, p, n);
    c->out_n += n;
    watch(c, true);
}

/* A frame as a server sends it (RFC 6455 section 5.2), not masked. */
static inline void frame(struct conn *c, unsigned opcode, const char *p, size_t n)
{
    char bytes[2048];
    size_t head = 2;

    if (n > sizeof bytes - 4)
        die("a frame is too long");
    bytes[0] = (char)(0x80u | opcode);
    if (n < 126) {
        bytes[1] = (char)n;
    } else {
        bytes[1] = 126;
        bytes[2] = (char)(n >> 8);
        bytes[3] = (char)n;
        head = 4;
    }
    memcpy(bytes + head, p, n);
    say(c, bytes, head + n);
}

static inline void event(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void event(struct conn *c, const char *fmt, ...)
{
    char text[1536];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    frame(c, 1, text, (size_t)n);
}

/* One turn of the caller and one of the assistant, as their transcripts arrive. */
static inline void talk(struct conn *c)
{
    event(c, "{\"type\":\"conversation.item.added\",\"event_id\":\"ea\",\"previous_item_id\":null,\"item\":{\"id\":"
          "\"item_c_%s\",\"object\":\"realtime.item\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"user\","
          "\"content\":[{\"type\":\"input_audio\",\"transcript\":null}]}}", c->id);
    event(c, "{\"type\":\"conversation.item.input_audio_transcription.completed\",\"event_id\":\"et\",\"item_id\":"
          "\"item_c_%s\",\"content_index\":0,\"transcript\":\"Is the table by the window free on Thursday?\"}", c->id);
    event(c, "{\"type\":\"response.created\",\"event_id\":\"ec\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_t_%s\",\"status\":\"in_progress\",\"output\":[]}}", c->id);
    event(c, "{\"type\":\"response.done\",\"event_id\":\"ed\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_t_%s\",\"status\":\"completed\",\"output\":[{\"id\":\"item_a_%s\",\"object\":\"realtime.item\",\"type\":"
          "\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_audio\",\"transcript\":"
          "\"It is, from seven o'clock on.\"}]}],\"usage\":{\"total_tokens\":90,\"input_tokens\":60,\"output_tokens\":30}}}",
          c->id, c->id);
}

/* ---- HTTP ---- */

static inline void answer(struct conn *c, const char *status)
{
    char text[256];
    int n = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                     status);

    say(c, text, (size_t)n);
}

/* The agent's answer as the gateway streams it. */
static inline void answer_question(struct conn *c)
{
    static const char body[] = "data: {\"choices\":[{\"delta\":{\"content\":\"The table by the window is free.\"}}]}\n\n"
                               "data: [DONE]\n\n";
    char text[512];
    int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof body - 1, body);

    s.tool.ready_us = now_us();
    say(c, text, (size_t)n);
}

static inline void on_accept(const char *path)
{
    const char *id = strstr(path, "/calls/rtc_load_");
    uint64_t number;

    s.accepted++;
    if (id == NULL)
        return;
    number = strtoull(id + 16, NULL, 10);
    if (s.asked_us != NULL && number >= s.first && number - s.first < s.asked)
        times_add(&s.took, now_us() - s.asked_us[number - s.first]);
}

static inline uint64_t number_of(const char *id)
{
    return strncmp(id, "rtc_load_", 9) == 0 ? strtoull(id + 9, NULL, 10) % NUMBERS : 0;
}

static inline bool has_ended(const char *id)
{
    return s.ended[number_of(id) / 8] >> number_of(id) % 8 & 1;
}

static inline void upgrade(struct conn *c, const char *head)
{
    const char *key = strcasestr(head, "\r\nSec-WebSocket-Key: "), *id = strstr(head, "call_id=");
    unsigned char hash[SHA_DIGEST_LENGTH];
    char text[512], proof[64];
    int n;

    if (key == NULL || id == NULL || s.n_bands == CONNS_MAX || has_ended(id + 8)) {
        answer(c, "404 Not Found");
        return;
    }
    (void)snprintf(c->id, sizeof c->id, "%.*s", (int)strcspn(id + 8, " &"), id + 8);
    (void)snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 21);
    (void)SHA1((unsigned char *)text, strlen(text), hash);
    (void)EVP_EncodeBlock((unsigned char *)proof, hash, sizeof hash);
    n = snprintf(text, sizeof text, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n", proof);
    say(c, text, (size_t)n);
    if (c->dead)
        return;
    c->ws = true;
    c->at = s.n_bands;
    s.bands[s.n_bands++] = c;
    event(c, "{\"type\":\"session.created\",\"event_id\":\"ev_0\",\"session\":{\"type\":\"realtime\",\"object\":"
          "\"realtime.session\",\"id\":\"sess_%s\"}}", c->id);
    s.attached++;
    s.last_us = now_us();
    if (s.live_us > 0) {
        c->end_us = s.last_us + s.live_us;
        talk(c);
    }
}

/* Bytes of a whole request at the front of c->in, 0 if it is not whole. */
static inline size_t request(struct conn *c)
{
    const char *end = memmem(c->in, c->in_n, "\r\n\r\n", 4), *length;
    size_t head, body = 0;

    if (end == NULL)
        return 0;
    head = (size_t)(end - c->in) + 4;
    length = strcasestr(c->in, "\r\nContent-Length: ");
    if (length != NULL && length < end)
        body = strtoul(length + 18, NULL, 10);
    if (c->in_n < head + body)
        return 0;
    if (strncmp(c->in, "GET ", 4) == 0 && strstr(c->in, "/realtime?call_id=") != NULL)
        upgrade(c, c->in);
    else if (strncmp(c->in, "POST /v1/chat/completions ", 26) == 0)
        answer_question(c);
    else {
        if (memmem(c->in, head, "/accept HTTP", 12) != NULL)
            on_accept(c->in);
        answer(c, "200 OK");
    }
    return head + body;
}

/* ---- Frames of the client ---- */

/* The output stands in the conversation: until it is told so, the plugin counts the call as not answered. */
static inline void confirm(struct conn *c, const char *text, size_t n)
{
    const char *id = memmem(text, n, "\"item\":{\"id\":\"", 14);

    if (id == NULL)
        die("an output without an id");
    id += 14;
    event(c, "{\"type\":\"conversation.item.added\",\"event_id\":\"eo_%llu\",\"previous_item_id\":null,\"item\":{\"id\":"
          "\"%.*s\",\"object\":\"realtime.item\",\"type\":\"function_call_output\",\"status\":\"completed\"}}",
          (unsigned long long)++c->events, (int)strcspn(id, "\""), id);
}

static inline void on_text(struct conn *c, const char *text, size_t n)
{
    if (c == s.tool.band && memmem(text, n, "\"function_call_output\"", 22) != NULL) {
        s.tool.output_us = now_us();
        confirm(c, text, n);
    }
    if (memmem(text, n, "\"response.create\"", 17) == NULL)
        return;
    if (c == s.tool.band && s.tool.output_us != 0)
        s.tool.create_us = now_us();
    c->events++;
    event(c, "{\"type\":\"response.created\",\"event_id\":\"ev_%llu\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_%s_%llu\",\"status\":\"in_progress\",\"output\":[]}}", (unsigned long long)c->events, c->id,
          (unsigned long long)c->events);
    event(c, "{\"type\":\"response.done\",\"event_id\":\"ed_%llu\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_%s_%llu\",\"status\":\"completed\",\"output\":[],\"usage\":{\"total_tokens\":0,\"input_tokens\":0,"
          "\"output_tokens\":0}}}", (unsigned long long)c->events, c->id, (unsigned long long)c->events);
}

static inline size_t client_frame(struct conn *c)
{
    unsigned char *p = (unsigned char *)c->in, *mask;
    size_t head = 2, n;

    if (c->in_n < 2)
        return 0;
    n = p[1] & 0x7f;
    if (n == 126) {
        if (c->in_n < 4)
            return 0;
        n = (size_t)p[2] << 8 | p[3];
        head = 4;
    } else if (n == 127) {
        die("a client's frame is too long");
    }
    if (head + 4 + n > sizeof c->in)
        die("a client's frame is too long");
    if (c->in_n < head + 4 + n)
        return 0;
    mask = p + head;
    for (size_t i = 0; i < n; i++)
        mask[4 + i] ^= mask[i & 3];
    switch (p[0] & 0x0f) {
    case 1: on_text(c, (char *)mask + 4, n); break;
    case 8:
        frame(c, 8, (char *)mask + 4, n > 125 ? 0 : n);
        conn_end(c);
        break;
    case 9: frame(c, 10, (char *)mask + 4, n); break;
    case 10:
        s.pongs++;
        if (c->ping_us != 0)
            times_add(&s.took, now_us() - c->ping_us);
        c->ping_us = 0;
        break;
    default: break;
    }
    return head + 4 + n;
}

static inline bool get(struct conn *c)
{
    int n;

    ERR_clear_error();
    if (c->ssl != NULL && !c->shaken) {
        n = SSL_accept(c->ssl);
        if (n != 1) {
            n = SSL_get_error(c->ssl, n);
            if (n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE)
                conn_end(c);
            return false;
        }
        c->shaken = true;
    }
    n = c->ssl != NULL ? SSL_read(c->ssl, c->in + c->in_n, (int)(sizeof c->in - 1 - c->in_n))
                       : (int)read(c->fd, c->in + c->in_n, sizeof c->in - 1 - c->in_n);
    if (n > 0) {
        c->in_n += (size_t)n;
        c->in[c->in_n] = '\0';
        return true;
    }
    if (c->ssl != NULL ? SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ : n == 0 || errno != EAGAIN)
        conn_end(c);
    return false;
}

static inline void on_conn(struct conn *c, uint32_t events)
{
    size_t used;

    if (events & EPOLLOUT)
        flush(c);
    while (!c->dead && get(c))
        while (!c->dead && (used = c->ws ? client_frame(c) : request(c)) > 0) {
            memmove(c->in, c->in + used, c->in_n - used);
            c->in_n -= used;
            c->in[c->in_n] = '\0';
        }
    if (c->dead)
        conn_free(c);
}

static inline void on_listener(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        int one = 1;

        if (c == NULL)
            die("memory");
        c->fd = fd;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (s.tls != NULL && listener != s.agent) {
            c->ssl = SSL_new(s.tls);
            if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1)
                die("TLS");
            SSL_set_accept_state(c->ssl);
        }
        if (epoll_ctl(s.ep, EPOLL_CTL_ADD, fd, &ev) != 0)
            die("epoll");
    }
}

#endif
