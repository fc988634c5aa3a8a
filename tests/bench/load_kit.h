/* SPDX-License-Identifier: MIT */
#ifndef TESTS_BENCH_LOAD_KIT_H
#define TESTS_BENCH_LOAD_KIT_H
/* What programs that make load share: time, quantiles, signed webhooks of made-up calls. One thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOAD_ID_DIGITS 12
#define LOAD_MAC_CHARS 44
#define LOAD_PLACES 8u
#define LOAD_SLOW_US 1000000u /* all that took longer share the last slot */

static inline _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerrordesc_np(errno));
    exit(1);
}

static inline uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static inline double cpu_s(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- Times ---- */

struct times {
    uint64_t n, max_us;
    uint32_t slots[LOAD_SLOW_US + 1]; /* a microsecond each */
};

static inline void times_add(struct times *t, uint64_t us)
{
    t->slots[us < LOAD_SLOW_US ? us : LOAD_SLOW_US]++;
    t->max_us = us > t->max_us ? us : t->max_us;
    t->n++;
}

static inline double times_ms(const struct times *t, double q)
{
    uint64_t at = (uint64_t)(q * (double)t->n), seen = 0;

    for (uint32_t us = 0; us < LOAD_SLOW_US; us++) {
        seen += t->slots[us];
        if (seen > at)
            return us / 1e3;
    }
    return (double)t->max_us / 1e3;
}

/* ---- Webhooks ---- */

struct text { /* bytes with places for the call's number */
    char bytes[2048];
    size_t n, places[LOAD_PLACES];
    unsigned n_places;
};

struct webhook { /* a template; head: all up to the empty line, its signature at mac_at */
    struct text head, body;
    size_t mac_at;
    long long later_s; /* the server's clock is that much ahead of ours */
    char stamp[32];
    unsigned char key[256];
    int key_n;
};

static inline void text_add(struct text *t, const char *s)
{
    size_t n = strlen(s);

    if (t->n + n > sizeof t->bytes)
        die("a request is too long");
    memcpy(t->bytes + t->n, s, n);
    t->n += n;
}

static inline void text_add_id(struct text *t)
{
    t->places[t->n_places++] = t->n;
    text_add(t, "000000000000");
}

static inline void text_set_id(struct text *t, uint64_t id)
{
    char digits[LOAD_ID_DIGITS + 1];

    (void)snprintf(digits, sizeof digits, "%0*llu", LOAD_ID_DIGITS, (unsigned long long)id);
    for (unsigned i = 0; i < t->n_places; i++)
        memcpy(t->bytes + t->places[i], digits, LOAD_ID_DIGITS);
}

static inline void webhook_body(struct text *b, const char *type, const char *stamp)
{
    text_add(b, "{\"id\":\"evt_");
    text_add_id(b);
    text_add(b, "\",\"object\":\"event\",\"created_at\":");
    text_add(b, stamp);
    text_add(b, ",\"type\":\"");
    text_add(b, type);
    text_add(b, "\",\"data\":{\"call_id\":\"rtc_load_");
    text_add_id(b);
    text_add(b, "\",\"sip_headers\":["
           "{\"name\":\"Via\",\"value\":\"SIP/2.0/TLS 203.0.113.7:5061;branch=z9hG4bK0123456789ab\"},"
           "{\"name\":\"From\",\"value\":\"\\\"A Caller\\\" <sip:+15551234567@203.0.113.7:5060>;tag=9fd2\"},"
           "{\"name\":\"To\",\"value\":\"<sip:proj_bench@sip.api.openai.com;transport=tls>\"},"
           "{\"name\":\"Call-ID\",\"value\":\"sip-");
    text_add_id(b);
    text_add(b, "@203.0.113.7\"},{\"name\":\"CSeq\",\"value\":\"851287 INVITE\"}],\"sip_media_security\":\"srtp\"}}");
}

/* The secret is in the environment's WEBHOOK_SECRET. */
static inline void webhook_begin(struct webhook *w, const char *type)
{
    const char *secret = getenv("WEBHOOK_SECRET");
    char length[64];

    if (secret == NULL || strncmp(secret, "whsec_", 6) != 0 || strlen(secret) > 300)
        die("WEBHOOK_SECRET is needed");
    w->key_n = EVP_DecodeBlock(w->key, (const unsigned char *)secret + 6, (int)strlen(secret + 6));
    for (const char *p = secret + strlen(secret); w->key_n > 0 && *--p == '=';)
        w->key_n--;
    (void)snprintf(w->stamp, sizeof w->stamp, "%lld", (long long)time(NULL) + w->later_s);
    webhook_body(&w->body, type, w->stamp);
    text_add(&w->head, "POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                       "User-Agent: OpenAI/1.0\r\nwebhook-id: wh_");
    text_add_id(&w->head);
    text_add(&w->head, "\r\nwebhook-timestamp: ");
    text_add(&w->head, w->stamp);
    text_add(&w->head, "\r\nwebhook-signature: v1,");
    w->mac_at = w->head.n;
    text_add(&w->head, "--------------------------------------------");
    (void)snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n\r\n", w->body.n);
    text_add(&w->head, length);
}

/* Base64 of the signature for the call's number. */
static inline void webhook_sign(struct webhook *w, uint64_t id, char out[LOAD_MAC_CHARS + 1])
{
    unsigned char mac[32];
    char text[4096];
    int n;

    text_set_id(&w->body, id);
    n = snprintf(text, sizeof text, "wh_%0*llu.%s.%.*s", LOAD_ID_DIGITS, (unsigned long long)id, w->stamp,
                 (int)w->body.n, w->body.bytes);
    if (HMAC(EVP_sha256(), w->key, w->key_n, (unsigned char *)text, (size_t)n, mac, NULL) == NULL)
        die("HMAC");
    (void)EVP_EncodeBlock((unsigned char *)out, mac, sizeof mac);
}

/* Writes the request in one piece. */
static inline void webhook_send(struct webhook *w, int fd, uint64_t id, const char mac[LOAD_MAC_CHARS])
{
    char bytes[4096];
    size_t n = w->head.n + w->body.n;

    text_set_id(&w->head, id);
    text_set_id(&w->body, id);
    memcpy(w->head.bytes + w->mac_at, mac, LOAD_MAC_CHARS);
    memcpy(bytes, w->head.bytes, w->head.n);
    memcpy(bytes + w->head.n, w->body.bytes, w->body.n);
    if (write(fd, bytes, n) != (ssize_t)n)
        die("a request could not be written at once");
}

static inline int connect_local(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        die("connect");
    return fd;
}

/* Is an HTTP answer with a Content-Length whole? text ends in NUL at n. */
static inline bool answer_whole(const char *text, size_t n)
{
    const char *end = memmem(text, n, "\r\n\r\n", 4), *at;

    if (end == NULL)
        return false;
    at = strcasestr(text, "\r\nContent-Length: ");
    return at != NULL && at < end && n >= (size_t)(end - text) + 4 + strtoul(at + 18, NULL, 10);
}

#endif
