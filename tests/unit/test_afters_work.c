/* SPDX-License-Identifier: MIT */
#include "plugin/afters_work.h"

#include "tests/unit/t.h"

#include <stdio.h>
#include <stdlib.h>

#define MANY 5000u

static struct works works;

static struct work *made(const char *id)
{
    struct work *w = calloc(1, sizeof *w);

    T_MUST(w != NULL);
    w->id = strdup(id);
    T_MUST(w->id != NULL);
    works_add(&works, w);
    return w;
}

static void gone(struct work *w)
{
    works_take(&works, w);
    free(w->id);
    free(w);
}

static void begin(void)
{
    memset(&works, 0, sizeof works);
}

static void in_order(void)
{
    struct work *a, *b, *c;

    begin();
    T_NULL(works_next(&works, 1));
    a = made("a");
    b = made("b");
    c = made("c");
    T_TRUE(works_next(&works, 1) == a);
    works_move(&works, a, WORK_RUNNING);
    T_TRUE(works_next(&works, 1) == b);
    gone(b);
    T_TRUE(works_next(&works, 1) == c);
    T_EQ(works.n[WORK_READY], 1);
    T_EQ(works.n[WORK_RUNNING], 1);
    gone(c);
    T_NULL(works_next(&works, 1));
    gone(a);
    T_EQ(works.n[WORK_RUNNING], 0);
    T_EQ(works_due(&works), 0);
}

static void pauses(void)
{
    struct work *late, *soon, *fresh;

    begin();
    late = made("late");
    late->due_ms = 900;
    works_move(&works, late, WORK_PAUSED);
    soon = made("soon");
    soon->due_ms = 500;
    works_move(&works, soon, WORK_PAUSED);
    T_EQ(works_due(&works), 500);
    T_NULL(works_next(&works, 499));
    fresh = made("fresh");
    T_TRUE(works_next(&works, 500) == fresh); /* it came first of those that are ready */
    T_EQ(works_due(&works), 900);
    gone(fresh);
    T_TRUE(works_next(&works, 500) == soon);
    works_move(&works, soon, WORK_RUNNING);
    soon->step_by_ms = 700;
    T_EQ(works_due(&works), 700);
    gone(soon);
    gone(late);
    T_EQ(works_due(&works), 0);
    T_NULL(works_next(&works, 10000));
}

static void found_among_many(void)
{
    static struct work *all[MANY];
    char id[16];

    begin();
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "out_%u", i);
        T_NULL(works_find(&works, str_of(id)));
        all[i] = made(id);
    }
    for (unsigned i = 0; i < MANY; i += 2)
        gone(all[i]);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "out_%u", i);
        T_TRUE(works_find(&works, str_of(id)) == (i % 2 ? all[i] : NULL));
    }
    for (unsigned i = 1; i < MANY; i += 2) {
        T_TRUE(works_next(&works, 0) == all[i]);
        gone(all[i]);
    }
}

int main(void)
{
    T_RUN(in_order);
    T_RUN(pauses);
    T_RUN(found_among_many);
    return T_DONE();
}
