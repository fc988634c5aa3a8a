/* SPDX-License-Identifier: MIT */
/*
 * The load of the webhook rows: signed events over keep-alive connections, one request in flight on each.
 *
 *   load_webhooks PORT CONNECTIONS SECONDS fresh|again|other FIRST-ID REQUESTS     WEBHOOK_SECRET in the environment
 *
 * All signatures are made before the clock starts. fresh: call ids from FIRST-ID on, each once, until the time or
 * the REQUESTS are used up; again: the last 1,000 of the ids below FIRST-ID in turn; other: an event of another kind.
 * Prints {"requests","bad","seconds","p50_ms","p99_ms","max_ms","cpu_s","next"}.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ID_DIGITS 12
#define MAC_CHARS 44
#define AGAIN 1000u
#define CONNS_MAX 4096u
#define PLACES 8u
#define SLOW_US 1000000u /* all that took longer share the last slot of the histogram */

struct text { /* bytes with places for the id */
    char bytes[2048];
    size_t n, places[PLACES];
    unsigned n_places;
};

struct conn {
    int fd;
    uint64_t sent_us;
    unsigned got; /* bytes of the answer so far */
    char answer[1024];
};

struct load {
    struct text head, body; /* head: all up to the empty line; its signature stands at mac_at */
    size_t mac_at;
    char (*macs)[MAC_CHARS + 1];
    uint64_t first, wanted, next, done, bad, max_us;
    bool again;
    uint32_t *took; /* SLOW_US + 1 slots of a microsecond */
    struct conn conns[CONNS_MAX];
    unsigned n_conns, in_flight;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load_webhooks: %s: %s\n", what, strerrordesc_np(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* ---- Requests ---- */

static void add(struct text *t, const char *s)
{
    size_t n = strlen(s);

    if (t->n + n > sizeof t->bytes)
        die("a request is too long");
    memcpy(t->bytes + t->n, s, n);
    t->n += n;
}

static void add_id(struct text *t)
{
    t->places[t->n_places++] = t->n;
    add(t, "000000000000");
}

static void set_id(struct text *t, uint64_t id)
{
    char digits[ID_DIGITS + 1];

    (void)snprintf(digits, sizeof digits, "%0*llu", ID_DIGITS, (unsigned long long)id);
    for (unsigned i = 0; i < t->n_places; i++)
        memcpy(t->bytes + t->places[i], digits, ID_DIGITS);
}

static void write_body(struct text *b, const char *type)
{
    add(b, "{\"id\":\"evt_");
    add_id(b);
    add(b, "\",\"object\":\"event\",\"created_at\":1795000000,\"type\":\"");
    add(b, type);
    add(b, "\",\"data\":{\"call_id\":\"rtc_load_");
    add_id(b);
    add(b, "\",\"sip_headers\":["
           "{\"name\":\"Via\",\"value\":\"SIP/2.0/TLS 203.0.113.7:5061;branch=z9hG4bK0123456789ab\"},"
           "{\"name\":\"From\",\"value\":\"\\\"A Caller\\\" <sip:+15551234567@203.0.113.7:5060>;tag=9fd2\"},"
           "{\"name\":\"To\",\"value\":\"<sip:proj_bench@sip.api.openai.com;transport=tls>\"},"
           "{\"name\":\"Call-ID\",\"value\":\"sip-");
    add_id(b);
    add(b, "@203.0.113.7\"},{\"name\":\"CSeq\",\"value\":\"851287 INVITE\"}],\"sip_media_security\":\"srtp\"}}");
}

static void write_head(struct load *l, const char *stamp)
{
    struct text *h = &l->head;
    char length[64];

    add(h, "POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
           "User-Agent: OpenAI/1.0\r\nwebhook-id: wh_");
    add_id(h);
    add(h, "\r\nwebhook-timestamp: ");
    add(h, stamp);
    add(h, "\r\nwebhook-signature: v1,");
    l->mac_at = h->n;
    add(h, "--------------------------------------------");
    (void)snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n\r\n", l->body.n);
    add(h, length);
}

static void sign_all(struct load *l, const char *stamp)
{
    const char *secret = getenv("WEBHOOK_SECRET");
    unsigned char key[256], mac[32];
    char signed_text[4096];
    int key_n;

    if (secret == NULL || strncmp(secret, "whsec_", 6) != 0 || strlen(secret) > 300)
        die("WEBHOOK_SECRET is needed");
    key_n = EVP_DecodeBlock(key, (const unsigned char *)secret + 6, (int)strlen(secret + 6));
    for (const char *p = secret + strlen(secret); key_n > 0 && *--p == '=';)
        key_n--;
    l->macs = calloc(l->wanted, sizeof *l->macs);
    if (key_n <= 0 || l->macs == NULL)
        die("no signatures can be made");
    for (uint64_t i = 0; i < l->wanted; i++) {
        int n;

        set_id(&l->body, l->first + i);
        n = snprintf(signed_text, sizeof signed_text, "wh_%0*llu.%s.%.*s", ID_DIGITS, (unsigned long long)(l->first + i),
                     stamp, (int)l->body.n, l->body.bytes);
        if (HMAC(EVP_sha256(), key, key_n, (unsigned char *)signed_text, (size_t)n, mac, NULL) == NULL)
            die("HMAC");
        (void)EVP_EncodeBlock((unsigned char *)l->macs[i], mac, sizeof mac);
    }
}

/* ---- Sending ---- */

static void send_next(struct load *l, struct conn *c)
{
    char bytes[4096];
    uint64_t i = l->again ? l->next % l->wanted : l->next;
    ssize_t n;

    l->next++;
    set_id(&l->head, l->first + i);
    set_id(&l->body, l->first + i);
    memcpy(l->head.bytes + l->mac_at, l->macs[i], MAC_CHARS);
    memcpy(bytes, l->head.bytes, l->head.n);
    memcpy(bytes + l->head.n, l->body.bytes, l->body.n);
    c->got = 0;
    c->sent_us = now_us();
    n = write(c->fd, bytes, l->head.n + l->body.n);
    if (n != (ssize_t)(l->head.n + l->body.n))
        die("a request could not be written at once");
    l->in_flight++;
}

/* True when the answer is whole. */
static bool whole(const struct conn *c)
{
    const char *end = memmem(c->answer, c->got, "\r\n\r\n", 4), *at;

    if (end == NULL)
        return false;
    at = strcasestr(c->answer, "\r\nContent-Length: ");
    return at != NULL && at < end && c->got >= (size_t)(end - c->answer) + 4 + strtoul(at + 18, NULL, 10);
}

static void take(struct load *l, struct conn *c, bool more)
{
    ssize_t n = read(c->fd, c->answer + c->got, sizeof c->answer - 1 - c->got);
    uint64_t us;

    if (n <= 0)
        die("a connection was closed");
    c->got += (unsigned)n;
    c->answer[c->got] = '\0';
    if (!whole(c))
        return;
    us = now_us() - c->sent_us;
    l->took[us < SLOW_US ? us : SLOW_US]++;
    l->max_us = us > l->max_us ? us : l->max_us;
    l->done++;
    l->bad += strncmp(c->answer, "HTTP/1.1 200", 12) != 0;
    l->in_flight--;
    if (more && (l->again || l->next < l->wanted))
        send_next(l, c);
}

static void connect_all(struct load *l, int port, int ep)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    for (unsigned i = 0; i < l->n_conns; i++) {
        struct conn *c = &l->conns[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
            epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) != 0)
            die("connect");
    }
}

static double quantile_ms(const struct load *l, double q)
{
    uint64_t at = (uint64_t)(q * (double)l->done), seen = 0;

    for (uint32_t us = 0; us <= SLOW_US; us++) {
        seen += l->took[us];
        if (seen > at)
            return us / 1e3;
    }
    return (double)l->max_us / 1e3;
}

static void report(const struct load *l, uint64_t begun_us)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    printf("{\"requests\":%llu,\"bad\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"cpu_s\":%.3f,\"next\":%llu}\n", (unsigned long long)l->done, (unsigned long long)l->bad,
           (double)(now_us() - begun_us) / 1e6, quantile_ms(l, 0.5), quantile_ms(l, 0.99), (double)l->max_us / 1e3,
           (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
           (unsigned long long)(l->again ? l->first + l->wanted : l->first + l->next));
}

int main(int argc, char **argv)
{
    static struct load l;
    struct epoll_event evs[256];
    char stamp[32];
    uint64_t begun, until;
    int ep = epoll_create1(EPOLL_CLOEXEC);

    if (argc != 7 || ep < 0)
        die("load_webhooks PORT CONNECTIONS SECONDS fresh|again|other FIRST-ID REQUESTS");
    l.n_conns = (unsigned)strtoul(argv[2], NULL, 10);
    l.first = strtoull(argv[5], NULL, 10);
    l.wanted = strtoull(argv[6], NULL, 10);
    l.again = strcmp(argv[4], "again") == 0;
    l.took = calloc(SLOW_US + 1, sizeof *l.took);
    if (l.again) {
        l.wanted = l.first < AGAIN ? l.first : AGAIN;
        l.first -= l.wanted;
    }
    if (l.n_conns == 0 || l.n_conns > CONNS_MAX || l.wanted == 0 || l.took == NULL)
        die("arguments");
    (void)snprintf(stamp, sizeof stamp, "%lld", (long long)time(NULL));
    write_body(&l.body, strcmp(argv[4], "other") == 0 ? "response.completed" : "realtime.call.incoming");
    write_head(&l, stamp);
    sign_all(&l, stamp);
    connect_all(&l, atoi(argv[1]), ep);
    begun = now_us();
    until = begun + (uint64_t)(atof(argv[3]) * 1e6);
    for (unsigned i = 0; i < l.n_conns && (l.again || l.next < l.wanted); i++)
        send_next(&l, &l.conns[i]);
    while (l.in_flight > 0) {
        int n = epoll_wait(ep, evs, 256, 10000);
        bool more = now_us() < until;

        if (n == 0) {
            errno = ETIMEDOUT;
            die("the server does not answer");
        }
        for (int i = 0; i < n; i++)
            take(&l, evs[i].data.ptr, more);
    }
    report(&l, begun);
    return 0;
}
