/* SPDX-License-Identifier: MIT */
/*
 * From dlopen() to the done of start(), in a fresh process: load_start SO CONFIG-JSON-FILE. Prints
 * {"ms"} and stops again.
 */
#include "abi/openclaw_plugin.h"

#include <dlfcn.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct done {
    sem_t sem;
    int code;
    double at_ms;
};

static double now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void on_done(void *arg, int code, struct oc_str json)
{
    struct done *d = arg;

    d->at_ms = now_ms();
    d->code = code;
    if (code != OC_OK)
        fprintf(stderr, "%.*s\n", (int)json.n, json.p);
    (void)sem_post(&d->sem);
}

int main(int argc, char **argv)
{
    static char config[65536], text[4096];
    struct oc_host host = {.size = sizeof host, .abi = OC_ABI};
    struct oc_error err = {.size = sizeof err, .text = text, .cap = sizeof text};
    openclaw_plugin_entry_fn *entry = NULL;
    struct oc_instance *inst = NULL;
    const struct oc_plugin *plugin;
    struct done started = {0}, stopped = {0};
    void *so, *symbol;
    double begun;
    FILE *f;
    size_t n;

    if (argc != 3 || (f = fopen(argv[2], "r")) == NULL)
        return 2;
    n = fread(config, 1, sizeof config, f);
    (void)fclose(f);
    (void)sem_init(&started.sem, 0, 0);
    (void)sem_init(&stopped.sem, 0, 0);
    begun = now_ms();
    so = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    symbol = so != NULL ? dlsym(so, OC_PLUGIN_ENTRY_NAME) : NULL;
    if (symbol == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    memcpy(&entry, &symbol, sizeof entry);
    plugin = entry(OC_ABI);
    if (plugin == NULL ||
        plugin->create(&host, (struct oc_str){config, n}, &inst, &err) != OC_OK ||
        plugin->start(inst, on_done, &started) != OC_OK) {
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    (void)sem_wait(&started.sem);
    if (started.code != OC_OK)
        return 1;
    printf("{\"ms\":%.3f}\n", started.at_ms - begun);
    (void)fflush(stdout);
    if (plugin->stop(inst, OC_STOP_LEAVE_CALLS, 1000, on_done, &stopped) == OC_OK)
        (void)sem_wait(&stopped.sem);
    plugin->destroy(inst);
    return 0;
}
