/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a host: a thread that writes how many bytes of its heap are in use to the file that OCV_HEAP_FILE
 * names, four times a second.
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void *watch(void *arg)
{
    int fd = open(arg, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const struct timespec pause = {0, 250000000};
    char text[32];

    while (fd >= 0) {
        struct mallinfo2 m = mallinfo2();
        int n = snprintf(text, sizeof text, "%20zu\n", m.uordblks + m.hblkhd);

        if (pwrite(fd, text, (size_t)n, 0) != n)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    char *file = getenv("OCV_HEAP_FILE");
    sigset_t all, old;
    pthread_t t;

    if (file == NULL)
        return;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    if (pthread_create(&t, NULL, watch, file) == 0)
        (void)pthread_detach(t);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}
