/* SPDX-License-Identifier: MIT */
#include "plugin/base/here.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char here = 0; /* an address in this object */

bool here_path(const char *name, char *out, size_t cap)
{
    Dl_info info;
    const char *slash;
    int n;

    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL ||
        (slash = strrchr(info.dli_fname, '/')) == NULL)
        return false;
    n = snprintf(out, cap, "%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname, name);
    return n > 0 && (size_t)n < cap;
}
