/* SPDX-License-Identifier: MIT */
#include "plugin/base/turns.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESET_ON_FORK 1u /* SCHED_FLAG_RESET_ON_FORK of linux/sched.h */

/* As sched_setattr(2) has it in its first version. The C library has neither wrappers nor the struct. */
struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static int get(struct attr *a)
{
    return syscall(SYS_sched_getattr, 0, a, sizeof *a, 0) == 0 ? 0 : ERR_DENIED;
}

int turns_short(void)
{
    struct attr a = {.size = sizeof a};

    if (get(&a) < 0)
        return ERR_DENIED;
    if (a.policy != SCHED_OTHER)
        return ERR_BAD_STATE;
    a.size = sizeof a;
    a.flags &= RESET_ON_FORK;
    if (a.nice >= 0) /* it would be taken from the threads that are made from here on */
        a.flags |= RESET_ON_FORK;
    a.runtime = TURNS_SHORT_NS;
    a.deadline = a.period = 0;
    if (syscall(SYS_sched_setattr, 0, &a, 0) != 0)
        return ERR_DENIED;
    /* A kernel that does not know of it takes the call and forgets the time. */
    return get(&a) == 0 && a.runtime == TURNS_SHORT_NS ? 0 : ERR_DENIED;
}
