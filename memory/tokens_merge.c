/* SPDX-License-Identifier: MIT */
/*
 * Of all pairs of neighbours the one whose union has the lowest rank is merged, the leftmost of equals, until no
 * union is a token.
 */
#include "memory/tokens_int.h"

#include "plugin/base/mem.h"

#include <string.h>

struct part {
    uint32_t begin, rank; /* the rank of its union with the next one */
};

static uint32_t union_rank(const struct tokens *t, const unsigned char *p, const struct part *part)
{
    return tokens_rank(t, p + part[0].begin, part[2].begin - part[0].begin);
}

/* Merges n <= TOKENS_SHORT_BYTES bytes; the ends of the tokens go to ends[] unless it is NULL. Their number. */
static size_t merge_short(const struct tokens *t, const unsigned char *p, size_t n, uint32_t *ends)
{
    struct part part[TOKENS_SHORT_BYTES + 1];
    size_t parts = n;

    for (size_t i = 0; i <= n; i++)
        part[i] = (struct part){(uint32_t)i, i + 1 < n ? tokens_rank(t, p + i, 2) : TOKENS_NO_RANK};
    for (;;) {
        size_t best = 0;

        for (size_t i = 1; i + 1 < parts; i++) {
            if (part[i].rank < part[best].rank)
                best = i;
        }
        if (parts < 2 || part[best].rank == TOKENS_NO_RANK)
            break;
        memmove(part + best + 1, part + best + 2, (parts - best - 1) * sizeof(*part));
        parts--;
        part[best].rank = best + 1 < parts ? union_rank(t, p, part + best) : TOKENS_NO_RANK;
        if (best > 0)
            part[best - 1].rank = union_rank(t, p, part + best - 1);
    }
    for (size_t i = 0; ends && i < parts; i++)
        ends[i] = part[i + 1].begin;
    return parts;
}

struct node { /* a token in the making, at the index of its first byte */
    uint32_t prev, next, rank;
};

/* A heap of rank << 32 | index; entries of unions that are gone stay until they come up. */
struct heap {
    uint64_t *entry;
    size_t n;
};

static void heap_push(struct heap *h, uint64_t v)
{
    size_t i = h->n++;

    while (i > 0 && h->entry[(i - 1) / 2] > v) {
        h->entry[i] = h->entry[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->entry[i] = v;
}

static uint64_t heap_pop(struct heap *h)
{
    uint64_t top = h->entry[0], v = h->entry[--h->n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < h->n) {
        if (child + 1 < h->n && h->entry[child + 1] < h->entry[child])
            child++;
        if (h->entry[child] >= v)
            break;
        h->entry[i] = h->entry[child];
        i = child;
    }
    h->entry[i] = v;
    return top;
}

static void rank_node(const struct tokens *t, const unsigned char *p, size_t n, struct node *node,
                      uint32_t i, struct heap *h)
{
    uint32_t next = node[i].next, end = next < n ? node[next].next : 0;

    node[i].rank = next < n ? tokens_rank(t, p + i, end - i) : TOKENS_NO_RANK;
    if (node[i].rank != TOKENS_NO_RANK)
        heap_push(h, (uint64_t)node[i].rank << 32 | i);
}

static size_t merge_nodes(const struct tokens *t, const unsigned char *p, size_t n, struct node *node,
                          struct heap *h)
{
    size_t parts = n;

    for (uint32_t i = 0; i < n; i++)
        node[i] = (struct node){i - 1, i + 1, TOKENS_NO_RANK};
    for (uint32_t i = 0; i < n; i++)
        rank_node(t, p, n, node, i, h);
    while (h->n > 0) {
        uint64_t top = heap_pop(h);
        uint32_t i = (uint32_t)top, gone = node[i].next;

        if (node[i].rank != top >> 32)
            continue;
        node[i].next = node[gone].next;
        if (node[i].next < n)
            node[node[i].next].prev = i;
        node[gone].rank = TOKENS_NO_RANK;
        parts--;
        rank_node(t, p, n, node, i, h);
        if (i > 0)
            rank_node(t, p, n, node, node[i].prev, h);
    }
    return parts;
}

/*
 * Merges a piece of any length in n log n: beside a list of the parts goes a heap of their unions. A
 * merge takes one entry out and brings at most two, so there are never more than 2n. Without memory
 * the piece counts its bytes, which is never too few. The first ends_n ends of tokens go to ends[].
 */
size_t tokens_merge_long(const struct tokens *t, const unsigned char *p, size_t n, uint32_t *ends,
                         size_t ends_n)
{
    struct heap h = {NULL, 0};
    struct node *node;
    size_t parts;

    if (n > TOKENS_PIECE_MAX_BYTES)
        return n;
    node = mem_alloc(n * sizeof(*node));
    h.entry = mem_alloc(n * 2 * sizeof(*h.entry));
    parts = node && h.entry ? merge_nodes(t, p, n, node, &h) : n;
    for (size_t i = 0, k = 0; node && h.entry && i < n && k < ends_n; k++) {
        i = node[i].next;
        ends[k] = (uint32_t)i;
    }
    mem_free(h.entry);
    mem_free(node);
    return parts;
}

size_t tokens_merge(const struct tokens *t, const unsigned char *p, size_t n)
{
    if (n == 1 || tokens_rank(t, p, n) != TOKENS_NO_RANK)
        return 1;
    return n <= TOKENS_SHORT_BYTES ? merge_short(t, p, n, NULL) : tokens_merge_long(t, p, n, NULL, 0);
}
