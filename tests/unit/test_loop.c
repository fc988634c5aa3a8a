/* SPDX-License-Identifier: MIT */
#include "plugin/net/loop.h"

#include "plugin/net/resolver.h"
#include "tests/unit/net_kit.h"

#include <signal.h>
#include <uv.h>

/* ---- messages ---- */

struct counted {
    struct loop_msg msg;
    atomic_uint *n;
    unsigned seq, *last;
    bool *in_order;
};

static void count(struct loop_msg *m)
{
    struct counted *c = (struct counted *)m;

    if (c->last != NULL) {
        if (c->seq != *c->last + 1)
            *c->in_order = false;
        *c->last = c->seq;
    }
    atomic_fetch_add(c->n, 1);
    free(c);
}

struct sender {
    struct loop *l;
    atomic_uint *n;
    unsigned last, posted;
    bool in_order;
    unsigned many;
};

static void *send_many(void *arg)
{
    struct sender *s = arg;

    for (unsigned i = 1; i <= s->many; i++) {
        struct counted *c = calloc(1, sizeof *c);

        *c = (struct counted){.msg = {.run = count}, .n = s->n, .seq = i, .last = &s->last,
                              .in_order = &s->in_order};
        if (loop_post(s->l, &c->msg) < 0) {
            free(c);
            break;
        }
        s->posted++;
    }
    return NULL;
}

static void every_message_arrives_in_its_senders_order(void)
{
    struct loop *l = kit_loop();
    struct sender s[4];
    pthread_t t[4];
    atomic_uint n;

    atomic_init(&n, 0);
    for (int i = 0; i < 4; i++) {
        s[i] = (struct sender){.l = l, .n = &n, .in_order = true, .many = 20000};
        T_MUST(pthread_create(&t[i], NULL, send_many, &s[i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        (void)pthread_join(t[i], NULL);
    T_TRUE(kit_wait_count(&n, 80000));
    kit_end(l);
    for (int i = 0; i < 4; i++)
        T_TRUE(s[i].in_order);
}

/* While others post, the loop stops: what was taken is run, the rest is refused, nothing is lost. */
static void stopping_under_fire(void)
{
    for (int round = 0; round < 20; round++) {
        struct loop *l = kit_loop();
        struct sender s[3];
        pthread_t t[3];
        atomic_uint n;
        unsigned posted = 0;

        atomic_init(&n, 0);
        for (int i = 0; i < 3; i++) {
            s[i] = (struct sender){.l = l, .n = &n, .in_order = true, .many = 100000};
            T_MUST(pthread_create(&t[i], NULL, send_many, &s[i]) == 0);
        }
        usleep((unsigned)round * 100);
        kit_do(l, kit_stop_fn, l);
        for (int i = 0; i < 3; i++) {
            (void)pthread_join(t[i], NULL);
            posted += s[i].posted;
        }
        T_EQ(loop_close(l), 0);
        T_EQ(atomic_load(&n), posted);
    }
}

/* ---- thread ---- */

struct seen {
    struct loop *l;
    bool current;
    char name[32];
    sigset_t mask;
    uint64_t now;
    atomic_bool exited;
};

static void look(void *arg)
{
    struct seen *s = arg;

    s->current = loop_is_current(s->l);
    (void)pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &s->mask);
    s->now = loop_now_ms(s->l);
}

static void on_exit_fn(void *arg)
{
    struct seen *s = arg;

    atomic_store(&s->exited, true);
}

static void the_thread(void)
{
    struct seen s = {0};
    struct err e;
    sigset_t mine;

    T_MUST(loop_open(&s.l, kit_log(), &e) == 0);
    T_FALSE(loop_is_current(s.l));
    T_MUST(loop_start(s.l, on_exit_fn, &s, &e) == 0);
    T_EQ(loop_start(s.l, NULL, NULL, &e), ERR_BAD_STATE);
    kit_do(s.l, look, &s);
    T_TRUE(s.current);
    T_FALSE(loop_is_current(s.l));
    T_STR_EQ(s.name, "oc-voice");
    T_EQ(sigismember(&s.mask, SIGTERM), 1);
    T_EQ(sigismember(&s.mask, SIGCHLD), 1);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mine);
    T_EQ(sigismember(&mine, SIGTERM), 0);
    T_LE(s.now, clock_mono_ms());
    T_GT(s.now + 1000, clock_mono_ms());
    T_FALSE(atomic_load(&s.exited));
    kit_end(s.l);
    T_TRUE(atomic_load(&s.exited));
}

static void a_loop_that_never_ran(void)
{
    struct loop *l = NULL;
    atomic_uint n;
    struct counted *c = calloc(1, sizeof *c);
    struct err e;

    atomic_init(&n, 0);
    T_MUST(loop_open(&l, NULL, &e) == 0);
    *c = (struct counted){.msg = {.run = count}, .n = &n};
    T_OK(loop_post(l, &c->msg));
    T_EQ(loop_close(l), 0);
    T_EQ(atomic_load(&n), 1); /* posted before the stop: still run */
}

/* ---- timers ---- */

struct ticking {
    struct loop *l;
    struct timer *t[6];
    uint64_t set_ms, at_ms[6], fired_ms[6];
    atomic_uint fired;
};

static void fired(struct ticking *k, int i)
{
    k->fired_ms[i] = loop_now_ms(k->l);
    atomic_fetch_add(&k->fired, 1);
}

static void fire0(void *arg) { fired(arg, 0); }
static void fire1(void *arg) { fired(arg, 1); }
static void fire2(void *arg)
{
    struct ticking *k = arg;

    fired(k, 2);
    timer_close(k->t[2]); /* inside its own callback */
}
static void fire3(void *arg)
{
    struct ticking *k = arg;

    fired(k, 3);
    if (k->fired_ms[3] < k->set_ms + 100)
        timer_set(k->t[3], k->fired_ms[3] + 100); /* again */
}

static void timers_open(void *arg)
{
    struct ticking *k = arg;
    timer_fn *const fns[] = {fire0, fire1, fire2, fire3, fire0, fire1};

    for (int i = 0; i < 6; i++)
        T_MUST(timer_open(&k->t[i], k->l, fns[i], k) == 0);
    k->set_ms = loop_now_ms(k->l);
    timer_set(k->t[0], k->set_ms + 300);
    timer_set(k->t[0], k->set_ms + 120); /* earlier */
    timer_set(k->t[1], k->set_ms + 10);
    timer_set(k->t[1], k->set_ms + 200); /* later */
    timer_set(k->t[2], k->set_ms - 5);   /* in the past */
    timer_set(k->t[3], k->set_ms + 20);
    timer_set(k->t[4], k->set_ms + 50);
    timer_stop(k->t[4]);
    timer_set(k->t[5], k->set_ms + 50);
    timer_close(k->t[5]);
    if (k->fired != 0)
        k->fired_ms[5] = 1; /* never from inside timer_set() */
}

static void timers_close(void *arg)
{
    struct ticking *k = arg;

    timer_close(k->t[0]);
    timer_close(k->t[1]);
    timer_close(k->t[3]);
    timer_close(k->t[4]);
    timer_close(NULL);
}

static void timers(void)
{
    struct ticking k = {.l = kit_loop()};

    kit_do(k.l, timers_open, &k);
    T_TRUE(kit_wait_count(&k.fired, 5));
    usleep(350000);
    T_EQ(atomic_load(&k.fired), 5);
    T_GE(k.fired_ms[0], k.set_ms + 120);
    T_LT(k.fired_ms[0], k.set_ms + 290);
    T_GE(k.fired_ms[1], k.set_ms + 200);
    T_LT(k.fired_ms[2], k.set_ms + 100);
    T_GE(k.fired_ms[3], k.set_ms + 120);
    T_EQ(k.fired_ms[5], 0);
    kit_do(k.l, timers_close, &k);
    kit_end(k.l);
}

/* ---- names ---- */

struct asking {
    struct loop *l;
    struct resolver *r;
    const char *host;
    struct resolver_addrs addrs;
    struct resolver_query *q;
    int known_rc, ask_rc, rc;
    bool cancel;
    atomic_bool done;
};

static void on_answer(void *arg, const struct resolver_addrs *addrs, int rc, const char *why)
{
    struct asking *a = arg;

    (void)why;
    a->q = NULL;
    a->rc = rc;
    if (rc == 0)
        a->addrs = *addrs;
    atomic_store(&a->done, true);
}

static void ask_fn(void *arg)
{
    struct asking *a = arg;

    if (a->r == NULL)
        (void)resolver_open(&a->r, a->l);
    a->known_rc = resolver_known(a->r, str_of(a->host), &a->addrs);
    if (a->known_rc == ERR_NOT_FOUND)
        a->ask_rc = resolver_ask(a->r, str_of(a->host), on_answer, a, &a->q);
    if (a->cancel && a->q != NULL) {
        resolver_cancel(a->q);
        a->q = NULL;
    }
}

static void known(struct asking *a, const char *host)
{
    a->host = host;
    kit_do(a->l, ask_fn, a);
}

/* stream.c asks the loop's own resolver; here one is asked through a connection's path: loop_resolver(). */
struct resolver *loop_resolver(struct loop *l);

static void own_resolver(void *arg)
{
    struct asking *a = arg;

    a->r = loop_resolver(a->l);
}

static void names(void)
{
    struct asking a = {.l = kit_loop()};

    kit_do(a.l, own_resolver, &a);
    known(&a, "127.0.0.1");
    T_EQ(a.known_rc, 0);
    T_EQ(a.addrs.n, 1);
    T_EQ(a.addrs.a[0].v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    known(&a, "::1");
    T_EQ(a.known_rc, 0);
    T_EQ(a.addrs.a[0].sa.sa_family, AF_INET6);
    known(&a, "");
    T_EQ(a.known_rc, ERR_INVALID);
    known(&a, "localhost");
    T_EQ(a.known_rc, ERR_NOT_FOUND);
    T_TRUE(kit_wait(&a.done));
    T_EQ(a.rc, 0);
    T_GE(a.addrs.n, 1);
    a.addrs.n = 0;
    known(&a, "LOCALHOST"); /* kept, whatever its case */
    T_EQ(a.known_rc, 0);
    T_GE(a.addrs.n, 1);
    atomic_store(&a.done, false);
    known(&a, "no-such-host.invalid");
    T_EQ(a.known_rc, ERR_NOT_FOUND);
    T_TRUE(kit_wait(&a.done));
    T_ERR(a.rc);
    atomic_store(&a.done, false);
    a.cancel = true;
    known(&a, "cancelled.invalid");
    usleep(50000);
    T_FALSE(atomic_load(&a.done));
    kit_end(a.l);
}

/* A stop while a name is being looked up: nothing hangs, nothing leaks. */
static void stopping_while_asking(void)
{
    struct asking a = {.l = kit_loop()};
    uint64_t began;

    kit_do(a.l, own_resolver, &a);
    known(&a, "some-name.invalid");
    began = clock_mono_ms();
    kit_end(a.l);
    T_LT(clock_mono_ms() - began, 3000);
    if (a.q != NULL)
        resolver_cancel(a.q); /* its owner's duty */
}

/* A handle that its owner never closes is seen. */
static void leak_fn(void *arg)
{
    struct ticking *k = arg;

    T_MUST(timer_open(&k->t[0], k->l, fire0, k) == 0);
}

static void a_leaked_handle_shows(void)
{
    static struct ticking k; /* keeps what leaks in sight of a leak checker */

    k.l = kit_loop();
    kit_do(k.l, leak_fn, &k);
    kit_do(k.l, kit_stop_fn, k.l);
    T_EQ(loop_close(k.l), UV_EBUSY);
}

/* Without anything to do the thread sleeps: no wake-ups at all. */
static long switches(void)
{
    char line[256], path[64];
    long n = -1;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)gettid());
    f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return n;
}

static void switches_fn(void *arg)
{
    *(long *)arg = switches();
}

static void an_idle_loop_sleeps(void)
{
    struct loop *l = kit_loop();
    long before = 0, after = 0;

    kit_do(l, switches_fn, &before);
    usleep(1500000);
    kit_do(l, switches_fn, &after);
    T_GE(before, 0);
    T_LE(after - before, 3); /* the two messages themselves */
    kit_end(l);
}

/* ---- lulls ---- */

struct burst {
    struct loop *l;
    struct loop_msg lull, again;
    unsigned left, seen_left; /* messages that this one still sends itself; at the lull */
    uint64_t begun_ns, took_ns;
    int rc, rc_stopped;
    atomic_bool done;
};

static void on_lull(struct loop_msg *m)
{
    struct burst *b = (struct burst *)(void *)((char *)m - offsetof(struct burst, lull));

    b->seen_left = b->left;
    b->took_ns = uv_hrtime() - b->begun_ns;
    b->left = 0;
    atomic_store(&b->done, true);
}

static void on_again(struct loop_msg *m)
{
    struct burst *b = (struct burst *)(void *)((char *)m - offsetof(struct burst, again));

    if (b->left > 0 && --b->left > 0)
        (void)loop_post(b->l, &b->again);
}

static void begin_burst(void *arg)
{
    struct burst *b = arg;

    b->begun_ns = uv_hrtime();
    b->rc = loop_lull(b->l, &b->lull);
    on_again(&b->again);
}

static void stop_in_a_lull(void *arg)
{
    struct burst *b = arg;

    b->rc = loop_lull(b->l, &b->lull);
    loop_stop(b->l);
    b->rc_stopped = loop_lull(b->l, &b->again);
}

static void a_lull_comes_when_the_burst_is_over(void)
{
    struct loop *l = kit_loop();
    struct burst few = {.l = l, .lull = {.run = on_lull}, .again = {.run = on_again}, .left = 3};
    struct burst many = few, last = few;

    many.left = 1000000000u;
    kit_do(l, begin_burst, &few);
    T_TRUE(kit_wait(&few.done));
    T_EQ(few.rc, 0);
    T_TRUE(few.seen_left == 0 || few.took_ns >= 1000000); /* on a machine that is busy elsewhere */
    /* One without end is not waited for. */
    kit_do(l, begin_burst, &many);
    T_TRUE(kit_wait(&many.done));
    T_TRUE(many.seen_left > 0);
    T_TRUE(many.took_ns >= 1000000);
    /* Who waits when the loop stops is still called; who comes later is not. */
    last.left = 1;
    kit_do(l, stop_in_a_lull, &last);
    T_EQ(last.rc, 0);
    T_TRUE(atomic_load(&last.done));
    T_EQ(last.rc_stopped, ERR_CLOSED);
    T_EQ(loop_close(l), 0);
}

int main(void)
{
    T_RUN(every_message_arrives_in_its_senders_order);
    T_RUN(stopping_under_fire);
    T_RUN(the_thread);
    T_RUN(a_loop_that_never_ran);
    T_RUN(timers);
    T_RUN(names);
    T_RUN(stopping_while_asking);
    T_RUN(a_lull_comes_when_the_burst_is_over);
    T_RUN(a_leaked_handle_shows);
    T_RUN(an_idle_loop_sleeps);
    return T_DONE();
}
