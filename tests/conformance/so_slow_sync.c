/* SPDX-License-Identifier: MIT */
/*
 * For LD_PRELOAD: each fsync and fdatasync takes as many milliseconds longer as the file that SLOW_SYNC names says.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int fsync(int fd);
EXPORT int fdatasync(int fd);

static void wait_for_it(void)
{
    const char *path = getenv("SLOW_SYNC");
    char text[16] = "";
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    long ms;

    if (fd < 0)
        return;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    (void)close(fd);
    ms = strtol(text, NULL, 10);
    if (ms > 0)
        (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int real(const char *name, int fd)
{
    int (*fn)(int) = NULL;

    *(void **)&fn = dlsym(RTLD_NEXT, name);
    wait_for_it();
    return fn(fd);
}

int fsync(int fd)
{
    return real("fsync", fd);
}

int fdatasync(int fd)
{
    return real("fdatasync", fd);
}
