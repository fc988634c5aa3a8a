/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_RESOLVER_H
#define PLUGIN_NET_RESOLVER_H
/*
 * Host names to addresses. getaddrinfo() runs on one helper thread that is started by the first name
 * that needs it; answers are kept for a minute, and longer while asking again fails. Owner: the loop;
 * loop thread. Internal to plugin/net.
 */
#include "plugin/net/loop.h"

#include <netinet/in.h>

#define RESOLVER_ADDRS_MAX 8

union resolver_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct resolver_addrs { /* in the order to try; ports are 0 */
    unsigned n;
    union resolver_addr a[RESOLVER_ADDRS_MAX];
};

struct resolver;
struct resolver_query;

/* rc: 0, or why not; e->text is for people. addrs is borrowed. */
typedef void resolver_fn(void *arg, const struct resolver_addrs *addrs, int rc, const char *why);

int resolver_open(struct resolver **out, struct loop *l);
/* No callback fires any more. Waits at most a second for a lookup that hangs, then leaves its thread alone. */
void resolver_close(struct resolver *r);
/* At once, without a callback: numeric addresses and fresh answers. ERR_NOT_FOUND: ask. ERR_INVALID: no name. */
int resolver_known(struct resolver *r, struct str host, struct resolver_addrs *out);
/* Asks. fn fires once, later, unless cancelled; the caller has its own deadline. ERR_FULL, ERR_NOMEM, -errno. */
int resolver_ask(struct resolver *r, struct str host, resolver_fn *fn, void *arg,
                 struct resolver_query **out);
void resolver_cancel(struct resolver_query *q);
/* Tells which address worked, so that the next connection tries it first. */
void resolver_prefer(struct resolver *r, struct str host, const union resolver_addr *good);

#endif
