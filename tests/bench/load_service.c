/* SPDX-License-Identifier: MIT */
/*
 * OpenAI's Realtime API for measurements, and the calls that come in: accepts every call at once, opens every
 * sideband, says session.created, and answers each response.create with a response that is done. It checks and
 * simulates nothing else. With a certificate it speaks TLS, else plain TCP.
 *
 *   load_service [CERT KEY]     WEBHOOK_SECRET in the environment; prints {"port","agent"}; then a command a line, a JSON
 *                               line each. agent: the port, plain TCP, of an agent that answers each question at once
 *
 *   calls PORT FIRST N RATE     signed webhooks of N calls from number FIRST on, RATE a second, to 127.0.0.1:PORT;
 *                               ends when all are accepted and, with sidebands, all have one. From the webhook's
 *                               write to the read of the accept's head: p50_ms, p99_ms
 *   churn PORT FIRST N RATE MS  the same for calls that last: each has a turn on either side and is hung up after MS; ends
 *                               when all are over
 *                               What is not answered 200 is counted as bad and not waited for
 *   attach N                    waits for N sidebands to be open; last_us on the monotonic clock
 *   events N RATE SECONDS       RATE events of 330 bytes a second to each of N sidebands, each followed by a ping;
 *                               from the write of the event to the pong: p50_ms, p99_ms
 *   flood N COUNT heard|handled COUNT events in all to N sidebands as fast as they take them, a ping at the end of each;
 *                               heard: pieces of transcript, which mean nothing to a call; handled: the caller speaks
 *   tools N COUNT MS            COUNT questions to the agent, one every MS, asked by the model in N calls in turn: from the
 *                               agent's answer to the output that holds it (output_*) and to the response.create behind it
 *   deaf                        takes no new connection any more: calls are accepted over those that stand, and their
 *                               sidebands wait
 *   later SECONDS               the plugin's clock is that much ahead of ours from now on: webhooks are signed for it
 *   end
 */
#include "tests/bench/load_kit.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>

#define CONNS_MAX 20000u
#define IN_BYTES 16384u
#define FEEDERS 16u /* connections that bring webhooks */
#define WAIT_S 120u
#define CALLS_MAX 1000000u
#define NUMBERS (1u << 24) /* of calls, so far */
#define BURST 8u /* events to one sideband before the next has its turn */

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

static void watch(struct conn *c, bool out)
{
    struct epoll_event ev = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};

    if (c->wants_out != out && epoll_ctl(s.ep, EPOLL_CTL_MOD, c->fd, &ev) != 0)
        die("epoll");
    c->wants_out = out;
}

static void conn_end(struct conn *c)
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

static void conn_free(struct conn *c)
{
    free(c->out);
    free(c);
}

static ssize_t put(struct conn *c, const char *p, size_t n)
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

static void flush(struct conn *c)
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
static void say(struct conn *c, const char *p, size_t n)
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
static void frame(struct conn *c, unsigned opcode, const char *p, size_t n)
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

static void event(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void event(struct conn *c, const char *fmt, ...)
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
static void talk(struct conn *c)
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

static void answer(struct conn *c, const char *status)
{
    char text[256];
    int n = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                     status);

    say(c, text, (size_t)n);
}

/* The agent's answer as the gateway streams it. */
static void answer_question(struct conn *c)
{
    static const char body[] = "data: {\"choices\":[{\"delta\":{\"content\":\"The table by the window is free.\"}}]}\n\n"
                               "data: [DONE]\n\n";
    char text[512];
    int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof body - 1, body);

    s.tool.ready_us = now_us();
    say(c, text, (size_t)n);
}

static void on_accept(const char *path)
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

static uint64_t number_of(const char *id)
{
    return strncmp(id, "rtc_load_", 9) == 0 ? strtoull(id + 9, NULL, 10) % NUMBERS : 0;
}

static bool has_ended(const char *id)
{
    return s.ended[number_of(id) / 8] >> number_of(id) % 8 & 1;
}

static void upgrade(struct conn *c, const char *head)
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
static size_t request(struct conn *c)
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
static void confirm(struct conn *c, const char *text, size_t n)
{
    const char *id = memmem(text, n, "\"item\":{\"id\":\"", 14);

    if (id == NULL)
        die("an output without an id");
    id += 14;
    event(c, "{\"type\":\"conversation.item.added\",\"event_id\":\"eo_%llu\",\"previous_item_id\":null,\"item\":{\"id\":"
          "\"%.*s\",\"object\":\"realtime.item\",\"type\":\"function_call_output\",\"status\":\"completed\"}}",
          (unsigned long long)++c->events, (int)strcspn(id, "\""), id);
}

static void on_text(struct conn *c, const char *text, size_t n)
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

static size_t client_frame(struct conn *c)
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

static bool get(struct conn *c)
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

static void on_conn(struct conn *c, uint32_t events)
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

static void on_listener(int listener)
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

/* ---- Webhooks ---- */

static void feeder_open(struct feeder *f)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = f};

    f->fd = connect_local(s.plugin_port);
    f->got = 0;
    if (epoll_ctl(s.ep, EPOLL_CTL_ADD, f->fd, &ev) != 0)
        die("epoll");
}

static void feeder_send(struct feeder *f)
{
    char mac[LOAD_MAC_CHARS + 1];

    webhook_sign(&s.hook, f->number, mac);
    webhook_send(&s.hook, f->fd, f->number, mac);
}

/* A connection that was idle for too long is closed by the plugin; a request that met that goes over the next one. */
static void on_feeder(struct feeder *f)
{
    ssize_t n = read(f->fd, f->answer + f->got, sizeof f->answer - 1 - f->got);

    if (n <= 0) {
        if (f->got > 0)
            die("the plugin closed a connection in the middle of an answer");
        (void)close(f->fd);
        feeder_open(f);
        if (f->in_flight)
            feeder_send(f);
        return;
    }
    f->got += (size_t)n;
    f->answer[f->got] = '\0';
    if (!answer_whole(f->answer, f->got)) /* one request in flight on each: nothing follows */
        return;
    s.bad += strncmp(f->answer, "HTTP/1.1 200", 12) != 0;
    s.answered++;
    f->in_flight = false;
    f->got = 0;
}

static void feed_next(void)
{
    for (unsigned i = 0; i < FEEDERS; i++) {
        struct feeder *f = &s.feeders[i];

        if (f->in_flight)
            continue;
        f->in_flight = true;
        f->number = s.first + s.asked;
        s.asked_us[s.asked] = now_us();
        feeder_send(f);
        s.asked++;
        return;
    }
}

/* ---- The loop ---- */

static void turn(int wait_ms)
{
    struct epoll_event evs[256];
    int n = epoll_wait(s.ep, evs, 256, wait_ms);

    for (int i = 0; i < n; i++) {
        void *p = evs[i].data.ptr;

        if (p == &s.listener || p == &s.agent)
            on_listener(*(int *)p);
        else if (p >= (void *)s.feeders && p < (void *)(s.feeders + FEEDERS))
            on_feeder(p);
        else
            on_conn(p, evs[i].events);
    }
}

static void reset(void)
{
    memset(&s.took, 0, sizeof s.took);
    s.pongs = 0;
}

/* since: when it last moved, or should have ended. */
static void late(uint64_t since, const char *what)
{
    if (now_us() > since + WAIT_S * 1000000ull) {
        errno = ETIMEDOUT;
        die(what);
    }
}

/* The caller hangs up: an upgrade for this call is refused from now on. */
static void hang_up(struct conn *c)
{
    c->end_us = 0;
    s.ended[number_of(c->id) / 8] |= (unsigned char)(1u << number_of(c->id) % 8);
    frame(c, 8, "\x03\xe8", 2);
}

static void hang_up_due(void)
{
    uint64_t now = now_us();

    for (unsigned i = s.n_bands; i-- > 0;)
        if (s.bands[i]->end_us != 0 && s.bands[i]->end_us <= now)
            hang_up(s.bands[i]);
}

static void do_calls(int port, uint64_t first, uint64_t n, double rate, double live_ms)
{
    uint64_t begun, bands = s.attached, done = s.accepted, answered = s.answered, bad = s.bad, moved = 0, moved_us;
    double cpu = cpu_s();

    if (n > CALLS_MAX)
        die("calls");
    s.plugin_port = port;
    for (unsigned i = 0; i < FEEDERS; i++) {
        s.feeders[i] = (struct feeder){0};
        feeder_open(&s.feeders[i]);
    }
    s.hook = (struct webhook){.later_s = s.later_s};
    webhook_begin(&s.hook, "realtime.call.incoming");
    reset();
    s.first = first;
    s.asked = 0;
    s.live_us = (uint64_t)(live_ms * 1000);
    s.asked_us = calloc(n, sizeof *s.asked_us);
    begun = moved_us = now_us();
    while (s.answered - answered < n || s.accepted - done + s.bad - bad < n ||
           (!s.deaf && s.attached - bands + s.bad - bad < n) ||
           (s.live_us > 0 && s.n_bands > 0)) {
        uint64_t due = (uint64_t)((double)(now_us() - begun) / 1e6 * rate) + 1;

        for (unsigned i = 0; i < FEEDERS && s.asked < n && s.asked < due; i++)
            feed_next();
        turn(s.asked < n || s.live_us > 0 ? 1 : 100);
        hang_up_due();
        if (moved != s.answered + s.accepted + s.attached + s.n_bands) { /* it is slow rather than stuck */
            moved = s.answered + s.accepted + s.attached + s.n_bands;
            moved_us = now_us();
        }
        late(moved_us, s.answered - answered < n             ? "calls: a webhook is not answered" :
                       s.accepted - done + s.bad - bad < n   ? "calls: one is not accepted" :
                       s.attached - bands + s.bad - bad < n  ? "calls: a sideband does not come" :
                                                               "calls: a sideband does not end");
    }
    printf("{\"calls\":%llu,\"bad\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"cpu_s\":%.3f}\n",
           (unsigned long long)n, (unsigned long long)(s.bad - bad), (double)(now_us() - begun) / 1e6, times_ms(&s.took, 0.5),
           times_ms(&s.took, 0.99), (double)s.took.max_us / 1e3, cpu_s() - cpu);
    for (unsigned i = 0; i < FEEDERS; i++)
        (void)close(s.feeders[i].fd);
    free(s.asked_us);
    s.asked_us = NULL;
    s.live_us = 0;
}

static void do_attach(unsigned n)
{
    uint64_t moved_us = now_us();
    unsigned had = s.n_bands;
    double cpu = cpu_s();

    while (s.n_bands < n) {
        turn(100);
        if (had != s.n_bands) {
            had = s.n_bands;
            moved_us = now_us();
        }
        late(moved_us, "attach");
    }
    printf("{\"open\":%u,\"last_us\":%llu,\"cpu_s\":%.3f}\n", s.n_bands, (unsigned long long)s.last_us, cpu_s() - cpu);
}

/* A piece of transcript while the model speaks, 330 bytes in all: the most frequent event of a call. */
static void speak(struct conn *c)
{
    c->events++;
    event(c, "{\"type\":\"response.output_audio_transcript.delta\",\"event_id\":\"event_%020llu\",\"response_id\":"
          "\"resp_%020llu\",\"item_id\":\"item_%020llu\",\"output_index\":0,\"content_index\":0,\"delta\":"
          "\"and so the appointment is on Thursday at a quarter past nine\",\"obfuscation\":\"aB3dE5gH7jK9mN1pQ\"}",
          (unsigned long long)c->events, (unsigned long long)c->events, (unsigned long long)c->events);
}

/* One that is parsed and handled: the caller's turn was written down. */
static void turn_heard(struct conn *c)
{
    c->events++;
    event(c, "{\"type\":\"input_audio_buffer.speech_started\",\"event_id\":\"event_%020llu\",\"audio_start_ms\":%llu,"
          "\"item_id\":\"item_%020llu\",\"padding\":\"%0160d\"}", (unsigned long long)c->events,
          (unsigned long long)c->events, (unsigned long long)c->events, 0);
}

static void probe(struct conn *c)
{
    if (c->ping_us == 0)
        c->ping_us = now_us();
    frame(c, 9, "p", 1);
}

static void do_events(unsigned n, double rate, double seconds)
{
    uint64_t begun, sent = 0, pings = 0, want = (uint64_t)(n * rate * seconds);
    double cpu = cpu_s();

    if (n == 0 || n > s.n_bands)
        die("events: so many sidebands are not open");
    reset();
    begun = now_us();
    while (sent < want || s.pongs < pings) {
        uint64_t due = (uint64_t)((double)(now_us() - begun) / 1e6 * n * rate);

        for (; sent < want && sent < due; sent++) {
            struct conn *c = s.bands[sent % n];

            (sent / n % 20 == 0 ? turn_heard : speak)(c);
            probe(c);
            pings++;
        }
        turn(1);
        late(begun + (uint64_t)(seconds * 1e6), "events");
    }
    printf("{\"events\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"open\":%u,\"cpu_s\":%.3f}\n",
           (unsigned long long)sent, (double)(now_us() - begun) / 1e6, times_ms(&s.took, 0.5), times_ms(&s.took, 0.99),
           (double)s.took.max_us / 1e3, s.n_bands, cpu_s() - cpu);
}

static void do_flood(unsigned n, uint64_t count, bool handled)
{
    uint64_t begun, sent = 0;
    bool asked = false;
    double cpu = cpu_s();

    if (n == 0 || n > s.n_bands)
        die("flood: so many sidebands are not open");
    reset();
    begun = now_us();
    while (s.pongs < n) {
        bool stuck = true; /* until somebody takes more */

        for (unsigned i = 0; i < n; i++)
            for (unsigned k = 0; k < BURST && sent < count && s.bands[i]->out_n == 0; k++, sent++, stuck = false)
                (handled ? turn_heard : speak)(s.bands[i]);
        for (unsigned i = 0; i < n && sent == count && !asked; i++)
            probe(s.bands[i]);
        asked = sent == count;
        turn(stuck ? 10 : 0);
        late(begun, "flood");
    }
    printf("{\"events\":%llu,\"seconds\":%.3f,\"cpu_s\":%.3f}\n", (unsigned long long)count,
           (double)(now_us() - begun) / 1e6, cpu_s() - cpu);
}

/* The model asks the agent: a response that is a function call. */
static void ask_agent(struct conn *c)
{
    unsigned long long k = ++c->events;

    event(c, "{\"type\":\"response.created\",\"event_id\":\"eq_%llu\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_q_%s_%llu\",\"status\":\"in_progress\",\"output\":[]}}", k, c->id, k);
    event(c, "{\"type\":\"response.done\",\"event_id\":\"er_%llu\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_q_%s_%llu\",\"status\":\"completed\",\"output\":[{\"id\":\"item_q_%s_%llu\",\"object\":\"realtime.item\","
          "\"type\":\"function_call\",\"status\":\"completed\",\"name\":\"ask_openclaw\",\"call_id\":\"call_q_%s_%llu\","
          "\"arguments\":\"{\\\"request\\\":\\\"Is the table by the window free?\\\"}\"}],\"usage\":{\"total_tokens\":0,"
          "\"input_tokens\":0,\"output_tokens\":0}}}", k, c->id, k, c->id, k, c->id, k);
}

static void do_tools(unsigned n, unsigned count, unsigned gap_ms)
{
    static struct times output;
    uint64_t begun = now_us();
    double cpu = cpu_s();

    if (n == 0 || n > s.n_bands)
        die("tools: so many sidebands are not open");
    reset();
    memset(&output, 0, sizeof output);
    for (unsigned i = 0; i < count; i++) {
        uint64_t asked = now_us();

        memset(&s.tool, 0, sizeof s.tool);
        s.tool.band = s.bands[s.n_bands - 1 - i % n]; /* `events` begins at the other end */
        ask_agent(s.tool.band);
        while (s.tool.create_us == 0 || now_us() - asked < gap_ms * 1000ull) {
            turn(1);
            late(asked, "tools");
            if (s.tool.band == NULL)
                die("tools: a sideband was closed");
        }
        if (s.tool.ready_us == 0)
            die("tools: the agent was not asked");
        times_add(&output, s.tool.output_us - s.tool.ready_us);
        times_add(&s.took, s.tool.create_us - s.tool.ready_us);
    }
    s.tool.band = NULL;
    printf("{\"questions\":%u,\"seconds\":%.3f,\"output_p50_ms\":%.3f,\"output_p99_ms\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"cpu_s\":%.3f}\n", count, (double)(now_us() - begun) / 1e6, times_ms(&output, 0.5),
           times_ms(&output, 0.99), times_ms(&s.took, 0.5), times_ms(&s.took, 0.99), (double)s.took.max_us / 1e3, cpu_s() - cpu);
}

static bool command(char *line)
{
    unsigned long long first, n;
    double rate, seconds, live_ms;
    unsigned k, count, gap_ms;
    int port;
    char word[16];

    if (sscanf(line, "calls %d %llu %llu %lf", &port, &first, &n, &rate) == 4)
        do_calls(port, first, n, rate, 0);
    else if (sscanf(line, "churn %d %llu %llu %lf %lf", &port, &first, &n, &rate, &live_ms) == 5)
        do_calls(port, first, n, rate, live_ms);
    else if (sscanf(line, "attach %u", &k) == 1)
        do_attach(k);
    else if (sscanf(line, "tools %u %u %u", &k, &count, &gap_ms) == 3)
        do_tools(k, count, gap_ms);
    else if (sscanf(line, "events %u %lf %lf", &k, &rate, &seconds) == 3)
        do_events(k, rate, seconds);
    else if (sscanf(line, "flood %u %llu %15s", &k, &n, word) == 3)
        do_flood(k, n, strcmp(word, "handled") == 0);
    else if (sscanf(line, "later %lld", &s.later_s) == 1)
        printf("{\"later\":%lld}\n", s.later_s);
    else if (strncmp(line, "deaf", 4) == 0) {
        (void)epoll_ctl(s.ep, EPOLL_CTL_DEL, s.listener, NULL);
        s.deaf = true;
        printf("{\"open\":%u}\n", s.n_bands);
    } else {
        return false;
    }
    (void)fflush(stdout);
    return true;
}

/* What is known of it in epoll is the address of the descriptor. */
static int listen_at(int *listener)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = listener};
    socklen_t n = sizeof at;

    *listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(*listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(*listener, 4096) != 0 ||
        getsockname(*listener, (struct sockaddr *)&at, &n) != 0 ||
        epoll_ctl(s.ep, EPOLL_CTL_ADD, *listener, &ev) != 0)
        die("listen");
    return ntohs(at.sin_port);
}

static void open_all(char **argv)
{
    if (argv[1] != NULL) {
        s.tls = SSL_CTX_new(TLS_server_method());
        if (s.tls == NULL || SSL_CTX_use_certificate_chain_file(s.tls, argv[1]) != 1 ||
            SSL_CTX_use_PrivateKey_file(s.tls, argv[2], SSL_FILETYPE_PEM) != 1)
            die("certificate");
        (void)SSL_CTX_set_mode(s.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                          SSL_MODE_RELEASE_BUFFERS);
    }
    s.ep = epoll_create1(EPOLL_CLOEXEC);
    s.port = listen_at(&s.listener);
    s.agent_port = listen_at(&s.agent);
}

int main(int argc, char **argv)
{
    char line[256];
    size_t n = 0;

    if (argc != 1 && argc != 3)
        die("load_service [CERT KEY]");
    (void)signal(SIGPIPE, SIG_IGN);
    open_all(argv);
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    printf("{\"port\":%d,\"agent\":%d}\n", s.port, s.agent_port);
    (void)fflush(stdout);
    for (;;) {
        ssize_t got = read(STDIN_FILENO, line + n, sizeof line - 1 - n);
        char *end;

        if (got == 0)
            return 0;
        n += got > 0 ? (size_t)got : 0;
        line[n] = '\0';
        end = strchr(line, '\n');
        if (end == NULL) {
            turn(10);
            continue;
        }
        if (!command(line))
            return strncmp(line, "end", 3) == 0 ? 0 : 2;
        n -= (size_t)(end + 1 - line);
        memmove(line, end + 1, n + 1);
    }
}
