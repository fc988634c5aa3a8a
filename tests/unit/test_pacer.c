/* SPDX-License-Identifier: MIT */
/* When legs may be created: who goes first, what a dial costs, room, and being forgotten. */
#include "plugin/pacer.h"
#include "tests/unit/net_kit.h"

#include <string.h>

#define GOES 16u

static struct {
    struct loop *l;
    struct pacer *p;
    unsigned per_second;
    atomic_uint n;
    atomic_bool room;
    char calls[GOES][8], labels[GOES][8];
    uint64_t at_ms[GOES];
} k;

static bool room(void *arg)
{
    (void)arg;
    return atomic_load(&k.room);
}

static void go(void *arg, struct str call, struct str label)
{
    unsigned i = atomic_load(&k.n);

    (void)arg;
    if (i >= GOES)
        return;
    (void)str_copy(k.calls[i], sizeof k.calls[i], call);
    (void)str_copy(k.labels[i], sizeof k.labels[i], label);
    k.at_ms[i] = loop_now_ms(k.l);
    atomic_store(&k.n, i + 1);
}

static void open_fn(void *arg)
{
    const struct pacer_config config = {.per_second = k.per_second, .room = room, .go = go};

    (void)arg;
    T_OK(pacer_open(&k.p, k.l, &config));
}

static void begin(unsigned per_second)
{
    memset(&k, 0, sizeof k);
    atomic_init(&k.n, 0);
    atomic_init(&k.room, true);
    k.l = kit_loop();
    k.per_second = per_second;
    kit_do(k.l, open_fn, NULL);
}

static void close_fn(void *arg)
{
    (void)arg;
    pacer_close(k.p);
}

static void end(void)
{
    kit_do(k.l, close_fn, NULL);
    kit_end(k.l);
}

/* "a" to "d" are calls: a and d dial, b is waited in, c has paid. */
static void four(void *arg)
{
    (void)arg;
    T_OK(pacer_ask(k.p, STR("a"), STR("caller"), PACER_DIAL));
    T_OK(pacer_ask(k.p, STR("b"), STR("model"), PACER_WAITED_FOR));
    T_OK(pacer_ask(k.p, STR("c"), STR("model"), PACER_PAID));
    T_OK(pacer_ask(k.p, STR("d"), STR("caller"), PACER_DIAL));
    T_OK(pacer_ask(k.p, STR("a"), STR("caller"), PACER_DIAL)); /* asked for already */
    T_EQ(pacer_waiting(k.p), 4);
    T_EQ(atomic_load(&k.n), 0); /* never from inside */
}

static void who_goes_first(void)
{
    begin(20); /* 50 ms each */
    kit_do(k.l, four, NULL);
    T_TRUE(kit_wait_count(&k.n, 4));
    T_STR_EQ(k.calls[0], "c");
    T_STR_EQ(k.calls[1], "b");
    T_STR_EQ(k.calls[2], "a");
    T_STR_EQ(k.calls[3], "d");
    T_STR_EQ(k.labels[2], "caller");
    T_GE(k.at_ms[2] - k.at_ms[1], 50);
    T_GE(k.at_ms[3] - k.at_ms[2], 100); /* the dial before paid for its model's leg */
    usleep(200000);
    T_EQ(atomic_load(&k.n), 4);
    end();
}

static void one_dial(void *arg)
{
    T_OK(pacer_ask(k.p, str_of(arg), STR("caller"), PACER_DIAL));
}

static void one_waited_for(void *arg)
{
    T_OK(pacer_ask(k.p, str_of(arg), STR("model"), PACER_WAITED_FOR));
}

static void look_fn(void *arg)
{
    (void)arg;
    pacer_look(k.p);
}

static void room_is_for_dials(void)
{
    begin(1000);
    atomic_store(&k.room, false);
    kit_do(k.l, one_dial, "a");
    kit_do(k.l, one_waited_for, "b"); /* a call that there is goes on */
    T_TRUE(kit_wait_count(&k.n, 1));
    T_STR_EQ(k.calls[0], "b");
    usleep(50000);
    T_EQ(atomic_load(&k.n), 1);
    atomic_store(&k.room, true);
    kit_do(k.l, look_fn, NULL);
    T_TRUE(kit_wait_count(&k.n, 2));
    T_STR_EQ(k.calls[1], "a");
    end();
}

static void forget_fn(void *arg)
{
    pacer_forget(k.p, str_of(arg));
    T_EQ(pacer_waiting(k.p), 1);
}

static void an_ended_call_is_forgotten(void)
{
    begin(1000);
    atomic_store(&k.room, false);
    kit_do(k.l, one_dial, "a");
    kit_do(k.l, one_dial, "b");
    kit_do(k.l, forget_fn, "a");
    atomic_store(&k.room, true);
    kit_do(k.l, look_fn, NULL);
    T_TRUE(kit_wait_count(&k.n, 1));
    T_STR_EQ(k.calls[0], "b");
    usleep(20000);
    T_EQ(atomic_load(&k.n), 1);
    kit_do(k.l, one_dial, "z"); /* left behind: freed with the rest */
    end();
}

int main(void)
{
    T_RUN(who_goes_first);
    T_RUN(room_is_for_dials);
    T_RUN(an_ended_call_is_forgotten);
    return T_DONE();
}
