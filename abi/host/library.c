/* SPDX-License-Identifier: MIT */
#include "abi/host/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "openclaw_voice.so"

int library_default(char *path, size_t cap)
{
    ssize_t n = readlink("/proc/self/exe", path, cap);
    char *slash;

    if (n <= 0 || (size_t)n >= cap)
        return -1;
    path[n] = '\0';
    slash = strrchr(path, '/');
    if (!slash || (size_t)(slash + 1 - path) + sizeof(FILE_NAME) > cap)
        return -1;
    memcpy(slash + 1, FILE_NAME, sizeof(FILE_NAME));
    return 0;
}

/* All that this host calls; a plugin of a later minor may have more. */
static const char *what_lacks(const struct oc_plugin *p)
{
    if (!OC_HAS(p, name) || !OC_HAS(p, version))
        return "name and version";
    if (!OC_HAS(p, create))
        return "create";
    if (!OC_HAS(p, start))
        return "start";
    if (!OC_HAS(p, stop))
        return "stop";
    if (!OC_HAS(p, destroy))
        return "destroy";
    return NULL;
}

const struct oc_plugin *library_load(const char *path, char *why, size_t cap)
{
    openclaw_plugin_entry_fn *entry = NULL;
    const struct oc_plugin *plugin;
    const char *lack;
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (!so) {
        (void)snprintf(why, cap, "%s", dlerror());
        return NULL;
    }
    /* The one way to turn an object pointer into a function that neither compiler minds. */
    *(void **)&entry = dlsym(so, OC_PLUGIN_ENTRY_NAME);
    if (!entry) {
        (void)snprintf(why, cap, "%s has no %s: it is no OpenClaw plugin", path,
                       OC_PLUGIN_ENTRY_NAME);
        return NULL;
    }
    plugin = entry(OC_ABI);
    if (!plugin || OC_ABI_MAJOR_OF(plugin->abi) != OC_ABI_MAJOR) {
        (void)snprintf(why, cap, "%s does not speak ABI %u.x of this host", path, OC_ABI_MAJOR);
        return NULL;
    }
    lack = what_lacks(plugin);
    if (lack) {
        (void)snprintf(why, cap, "%s lacks %s", path, lack);
        return NULL;
    }
    return plugin;
}
