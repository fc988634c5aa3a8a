/* SPDX-License-Identifier: MIT */
/*
 * Several instances in one process, beside each other and one after the other, and a host that is slow: what
 * one does is not felt by another, and nothing stays behind. t-limit: 180
 */
#include "tests/conformance/abi_kit.h"

#include <malloc.h>

#define CALLS 50u

static void two_with_folders_of_their_own(void)
{
    static struct kit a, b;

    kit_open(&a, "one", "");
    kit_open(&b, "two", "");
    T_NE(a.port, b.port);
    /* The same call announced to both is two calls: they share nothing. */
    T_EQ(kit_webhook(a.port, "rtc_own_1"), 200);
    T_EQ(kit_webhook(b.port, "rtc_own_1"), 200);
    T_TRUE(kit_wait(&a.host.incoming, 1));
    T_TRUE(kit_wait(&b.host.incoming, 1));
    kit_stop(&a);
    kit_destroy(&a);
    T_EQ(kit_webhook(b.port, "rtc_own_2"), 200);
    T_TRUE(kit_wait(&b.host.incoming, 2));
    kit_stop(&b);
    kit_destroy(&b);
}

/* Every call is announced to both at the same moment; one claims it, both say 200. */
static void two_with_one_folder(void)
{
    static struct kit a, b;
    char id[40];

    kit_open(&a, "shared", ",\"call\":{\"max_concurrent\":1000}");
    kit_open(&b, "shared", ",\"call\":{\"max_concurrent\":1000}");
    for (unsigned i = 0; i < CALLS; i++) {
        int fa = kit_connect(a.port), fb = kit_connect(b.port);

        (void)snprintf(id, sizeof id, "rtc_shared_%u", i);
        T_MUST(fa >= 0 && fb >= 0);
        T_TRUE(kit_send_webhook(i % 2 ? fa : fb, id));
        T_TRUE(kit_send_webhook(i % 2 ? fb : fa, id));
        T_EQ(kit_status(fa), 200);
        T_EQ(kit_status(fb), 200);
    }
    kit_sleep_ms(50);
    T_EQ(atomic_load(&a.host.incoming) + atomic_load(&b.host.incoming), CALLS);
    /* What one leaves the other knows. */
    kit_stop(&a);
    kit_destroy(&a);
    T_EQ(kit_webhook(b.port, "rtc_shared_0"), 200);
    kit_sleep_ms(50);
    kit_stop(&b);
    T_EQ(atomic_load(&a.host.incoming) + atomic_load(&b.host.incoming), CALLS);
    kit_destroy(&b);
}

static void a_slow_host(void)
{
    struct kit k;

    kit_create(&k, "slow", 0, "");
    k.host.slow_ms = 5;
    kit_start(&k);
    for (unsigned i = 0; i < 20; i++) {
        char id[40];

        (void)snprintf(id, sizeof id, "rtc_slow_%u", i);
        T_EQ(kit_webhook(k.port, id), 200);
    }
    T_TRUE(kit_wait(&k.host.incoming, 20));
    kit_stop(&k);
    kit_destroy(&k);
    T_EQ(atomic_load(&k.host.incoming), 20);
}

#define CYCLES 160
#define WARM 60 /* until the allocator has its caches, which count as in use */

struct level {
    unsigned threads, fds;
    size_t heap;
    long rss_kib;
};

static struct level level_now(void)
{
    struct mallinfo2 m = mallinfo2();

    return (struct level){kit_threads(), kit_fds(), m.uordblks + m.hblkhd, kit_rss_kib()};
}

static void cycle(void)
{
    static struct kit k;

    kit_open(&k, "cycles", "");
    T_EQ(kit_webhook(k.port, "rtc_cycle"), 200);
    kit_stop(&k);
    k.p->destroy(k.inst);
    T_EQ(atomic_load(&k.host.late), 0);
}

static void lives_leave_nothing_behind(void)
{
    struct level first = {0}, last;

    for (int i = 0; i < CYCLES; i++) {
        cycle();
        if (i == WARM - 1)
            first = level_now();
    }
    T_TRUE(kit_threads_become(first.threads));
    last = level_now();
    printf("  after %d and %d lives: %u and %u threads, %u and %u descriptors, %zu and %zu heap bytes, "
           "%ld and %ld KiB resident\n", WARM, CYCLES, first.threads, last.threads, first.fds, last.fds,
           first.heap, last.heap, first.rss_kib, last.rss_kib);
    T_EQ(last.threads, first.threads);
    T_EQ(last.fds, first.fds);
    if (KIT_SANITIZED)
        return; /* the sanitizer keeps what was freed; its leak check judges at the end */
    T_LE((long long)last.heap - (long long)first.heap, (CYCLES - WARM) * 64);
    T_LE(last.rss_kib - first.rss_kib, 1024);
}

/* Made and never started, and refused: neither costs anything. */
static void unborn_lives_leave_nothing_behind(void)
{
    static struct kit k;
    struct level first = {0}, last;

    for (int i = 0; i < 4 * CYCLES; i++) {
        kit_create(&k, "cycles", 0, "");
        k.p->destroy(k.inst);
        if (i == WARM - 1)
            first = level_now();
    }
    last = level_now();
    T_EQ(last.threads, first.threads);
    T_EQ(last.fds, first.fds);
    if (!KIT_SANITIZED)
        T_LE((long long)last.heap - (long long)first.heap, 4 * CYCLES * 16);
}

int main(int argc, char **argv)
{
    /* What a thread's cache of freed blocks holds counts as in use: without it, equal is equal. */
    if (argc > 0 && getenv("GLIBC_TUNABLES") == NULL && setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) == 0)
        (void)execv("/proc/self/exe", argv);
    T_RUN(two_with_folders_of_their_own);
    T_RUN(two_with_one_folder);
    T_RUN(a_slow_host);
    T_RUN(lives_leave_nothing_behind);
    T_RUN(unborn_lives_leave_nothing_behind);
    return T_DONE();
}
