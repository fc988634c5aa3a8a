/* SPDX-License-Identifier: MIT */
#include "plugin/base/fifo.h"

#include "tests/unit/t.h"

struct thing {
    struct fifo_item item;
    int n;
};

static struct thing things[6] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}, {.n = 5}};

static void takes_in_order(struct fifo *f, int from, int to)
{
    for (int n = from; n < to; n++) {
        struct thing *t = fifo_take(f);

        T_MUST(t != NULL);
        T_EQ(t->n, n);
        T_NULL(t->item.next);
    }
    T_TRUE(fifo_empty(f));
    T_NULL(fifo_take(f));
    T_NULL(f->tail);
}

static void in_order(void)
{
    struct fifo f = {0};

    T_NULL(fifo_take(&f));
    for (int n = 0; n < 3; n++)
        fifo_add(&f, &things[n].item);
    takes_in_order(&f, 0, 3);
    fifo_add(&f, &things[3].item); /* once more, after it was empty */
    takes_in_order(&f, 3, 4);
}

static void joined(void)
{
    struct fifo a = {0}, b = {0};

    fifo_join(&a, &b); /* two empty ones */
    T_TRUE(fifo_empty(&a));
    fifo_add(&b, &things[0].item);
    fifo_join(&a, &b); /* to an empty one */
    T_TRUE(fifo_empty(&b));
    fifo_add(&b, &things[1].item);
    fifo_add(&b, &things[2].item);
    fifo_join(&a, &b);
    fifo_join(&a, &b); /* of an empty one */
    fifo_add(&a, &things[3].item);
    takes_in_order(&a, 0, 4);
    takes_in_order(&b, 0, 0);
}

int main(void)
{
    T_RUN(in_order);
    T_RUN(joined);
    return T_DONE();
}
