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
#include "tests/bench/load_kit.h"

#include <sys/epoll.h>

#define AGAIN 1000u
#define CONNS_MAX 4096u

struct conn {
    int fd;
    uint64_t sent_us;
    unsigned got; /* bytes of the answer so far */
    char answer[1024];
};

struct load {
    struct webhook hook;
    char (*macs)[LOAD_MAC_CHARS + 1];
    uint64_t first, wanted, next, bad;
    bool again;
    struct times took;
    struct conn conns[CONNS_MAX];
    unsigned n_conns, in_flight;
};

static void send_next(struct load *l, struct conn *c)
{
    uint64_t i = l->again ? l->next % l->wanted : l->next;

    l->next++;
    c->got = 0;
    c->sent_us = now_us();
    webhook_send(&l->hook, c->fd, l->first + i, l->macs[i]);
    l->in_flight++;
}

static void take(struct load *l, struct conn *c, bool more)
{
    ssize_t n = read(c->fd, c->answer + c->got, sizeof c->answer - 1 - c->got);

    if (n <= 0)
        die("a connection was closed");
    c->got += (unsigned)n;
    c->answer[c->got] = '\0';
    if (!answer_whole(c->answer, c->got))
        return;
    times_add(&l->took, now_us() - c->sent_us);
    l->bad += strncmp(c->answer, "HTTP/1.1 200", 12) != 0;
    l->in_flight--;
    if (more && (l->again || l->next < l->wanted))
        send_next(l, c);
}

static void connect_all(struct load *l, int port, int ep)
{
    for (unsigned i = 0; i < l->n_conns; i++) {
        struct conn *c = &l->conns[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

        c->fd = connect_local(port);
        if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) != 0)
            die("epoll");
    }
}

static void prepare(struct load *l, char **argv)
{
    l->n_conns = (unsigned)strtoul(argv[2], NULL, 10);
    l->first = strtoull(argv[5], NULL, 10);
    l->wanted = strtoull(argv[6], NULL, 10);
    l->again = strcmp(argv[4], "again") == 0;
    if (l->again) {
        l->wanted = l->first < AGAIN ? l->first : AGAIN;
        l->first -= l->wanted;
    }
    l->macs = calloc(l->wanted, sizeof *l->macs);
    if (l->n_conns == 0 || l->n_conns > CONNS_MAX || l->wanted == 0 || l->macs == NULL)
        die("arguments");
    webhook_begin(&l->hook, strcmp(argv[4], "other") == 0 ? "response.completed" : "realtime.call.incoming");
    for (uint64_t i = 0; i < l->wanted; i++)
        webhook_sign(&l->hook, l->first + i, l->macs[i]);
}

int main(int argc, char **argv)
{
    static struct load l;
    struct epoll_event evs[256];
    uint64_t begun, until;
    int ep = epoll_create1(EPOLL_CLOEXEC);

    if (argc != 7 || ep < 0)
        die("load_webhooks PORT CONNECTIONS SECONDS fresh|again|other FIRST-ID REQUESTS");
    prepare(&l, argv);
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
    printf("{\"requests\":%llu,\"bad\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"cpu_s\":%.3f,\"next\":%llu}\n", (unsigned long long)l.took.n, (unsigned long long)l.bad,
           (double)(now_us() - begun) / 1e6, times_ms(&l.took, 0.5), times_ms(&l.took, 0.99),
           (double)l.took.max_us / 1e3, cpu_s(), (unsigned long long)(l.first + (l.again ? l.wanted : l.next)));
    return 0;
}
