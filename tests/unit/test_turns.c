/* SPDX-License-Identifier: MIT */
#include "plugin/base/turns.h"
#include "tests/unit/t.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct attr { /* of sched_setattr(2) */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

struct seen {
    int rc;
    int64_t turn_ns, childs_ns; /* -1: the kernel does not say */
    int nice;
};

static int64_t turn_ns(void)
{
    struct attr a = {.size = sizeof a};

    return syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) == 0 ? (int64_t)a.runtime : -1;
}

static void *child(void *arg)
{
    *(int64_t *)arg = turn_ns();
    return NULL;
}

static void *ask(void *arg)
{
    struct seen *s = arg;
    pthread_t t;

    s->rc = turns_short();
    s->turn_ns = turn_ns();
    s->nice = getpriority(PRIO_PROCESS, 0);
    s->childs_ns = -1;
    if (pthread_create(&t, NULL, child, &s->childs_ns) == 0)
        (void)pthread_join(t, NULL);
    return NULL;
}

static void *ask_batch(void *arg)
{
    struct sched_param none = {0};
    struct seen *s = arg;

    if (pthread_setschedparam(pthread_self(), SCHED_BATCH, &none) == 0)
        s->rc = turns_short();
    s->nice = sched_getscheduler(0);
    return NULL;
}

static struct seen in_thread(void *(*run)(void *))
{
    struct seen s = {.rc = 1};
    pthread_t t;

    T_MUST(pthread_create(&t, NULL, run, &s) == 0);
    T_MUST(pthread_join(t, NULL) == 0);
    return s;
}

/* What is asked for is what the kernel says afterwards, or the caller is told that it was not granted. */
static void turns_are_short_or_refused(void)
{
    int64_t before = turn_ns();
    int nice = getpriority(PRIO_PROCESS, 0);
    struct seen s = in_thread(ask);

    T_TRUE(s.rc == 0 || s.rc == ERR_DENIED);
    T_TRUE((s.rc == 0) == (s.turn_ns == TURNS_SHORT_NS));
    T_EQ(s.nice, nice);
    T_EQ(turn_ns(), before); /* of this thread */
}

static void its_threads_have_ordinary_turns(void)
{
    struct seen s = in_thread(ask);

    if (getpriority(PRIO_PROCESS, 0) >= 0)
        T_EQ(s.childs_ns, turn_ns());
    else
        T_EQ(s.childs_ns, s.turn_ns);
}

static void another_policy_is_left_alone(void)
{
    struct seen s = in_thread(ask_batch);

    T_EQ(s.rc, ERR_BAD_STATE);
    T_EQ(s.nice, SCHED_BATCH);
}

int main(void)
{
    T_RUN(turns_are_short_or_refused);
    T_RUN(its_threads_have_ordinary_turns);
    T_RUN(another_policy_is_left_alone);
    return T_DONE();
}
