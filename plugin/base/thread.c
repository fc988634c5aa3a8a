/* SPDX-License-Identifier: MIT */
#include "plugin/base/thread.h"

#include <signal.h>
#include <string.h>

#define STACK_BYTES ((size_t)1 << 20)

int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg, struct err *e)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rc;

    if (pthread_attr_init(&attr) != 0)
        return err_set(e, ERR_NOMEM, "out of memory for the thread %s", name);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    /* A thread is born with its maker's mask. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(out, &attr, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0)
        return err_set(e, -rc, "cannot start the thread %s: %s", name, strerrordesc_np(rc));
    (void)pthread_setname_np(*out, name);
    return 0;
}
