/* SPDX-License-Identifier: MIT */
/* How many connections each address has. */
#include "plugin/net/httpd_int.h"

#include "plugin/base/mem.h"

#include <string.h>

static struct peer **peer_bucket(struct httpd *d, const unsigned char key[16])
{
    unsigned h = 0;

    for (int i = 0; i < 16; i++)
        h = h * 31 + key[i];
    return &d->peers[h % HTTPD_PEER_BUCKETS];
}

struct peer *httpd_peer_find(struct httpd *d, const unsigned char key[16])
{
    struct peer **bucket = peer_bucket(d, key), *p;

    for (p = *bucket; p != NULL; p = p->next)
        if (memcmp(p->key, key, 16) == 0)
            return p;
    p = MEM_NEW(struct peer);
    if (p == NULL)
        return NULL;
    memcpy(p->key, key, 16);
    p->next = *bucket;
    *bucket = p;
    return p;
}

void httpd_peer_leave(struct httpd *d, struct peer *p)
{
    struct peer **at = peer_bucket(d, p->key);

    if (--p->n > 0)
        return;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    mem_free(p);
}
