/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_FIFO_H
#define PLUGIN_BASE_FIFO_H
/*
 * First in, first out: a list whose items are the first member of what they stand for, so that adding never
 * fails. Zeroed memory is an empty one. It owns nothing; whoever holds it says from which thread, and under which lock.
 */
#include <stdbool.h>
#include <stddef.h>

struct fifo_item {
    struct fifo_item *next;
};

struct fifo {
    struct fifo_item *head, *tail;
};

static inline bool fifo_empty(const struct fifo *f)
{
    return f->head == NULL;
}

/* Behind all others. The item stands in no list. */
static inline void fifo_add(struct fifo *f, struct fifo_item *item)
{
    item->next = NULL;
    if (f->tail != NULL)
        f->tail->next = item;
    else
        f->head = item;
    f->tail = item;
}

/* The first one, which is the caller's then; NULL when it is empty. */
static inline void *fifo_take(struct fifo *f)
{
    struct fifo_item *item = f->head;

    if (item == NULL)
        return NULL;
    f->head = item->next;
    if (f->head == NULL)
        f->tail = NULL;
    item->next = NULL;
    return item;
}

/* Moves all of `from` behind what `to` holds. */
static inline void fifo_join(struct fifo *to, struct fifo *from)
{
    if (from->head == NULL)
        return;
    if (to->tail != NULL)
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
    *from = (struct fifo){NULL, NULL};
}

#endif
