#!/bin/sh
# SPDX-License-Identifier: MIT
# The headers of the contract stand alone: C11 and C++11, two compilers, all warnings, included twice; and the
# layout that is promised is the layout.
set -u
cd "${OCV_ROOT:?}" || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
cat >"$dir/all.c" <<'END'
#include "abi/openclaw_plugin.h"
#include "abi/openclaw_voice.h"
#include "abi/openclaw_plugin.h"
#include "abi/openclaw_voice.h"
#ifdef __cplusplus
#define CHECK static_assert
#else
#define CHECK _Static_assert
#endif
#define AT(type, member, at) CHECK(offsetof(struct type, member) == (at), #type "." #member)
/* Published in 1.0: nothing here may ever move. */
AT(oc_str, p, 0); AT(oc_str, n, 8);
AT(oc_error, size, 0); AT(oc_error, code, 4); AT(oc_error, text, 8); AT(oc_error, cap, 16);
AT(oc_event, name, 8); AT(oc_event, call, 24); AT(oc_event, json, 40);
AT(oc_request, name, 8); AT(oc_request, call, 24); AT(oc_request, json, 40);
AT(oc_host, abi, 4); AT(oc_host, ctx, 8); AT(oc_host, log, 16); AT(oc_host, event, 24);
AT(oc_host, request, 32); AT(oc_host, cancel, 40);
AT(oc_plugin, abi, 4); AT(oc_plugin, name, 8); AT(oc_plugin, version, 16); AT(oc_plugin, caps, 24);
AT(oc_plugin, create, 32); AT(oc_plugin, start, 40); AT(oc_plugin, command, 48);
AT(oc_plugin, reply, 56); AT(oc_plugin, progress, 64); AT(oc_plugin, stop, 72);
AT(oc_plugin, destroy, 80);
CHECK(OC_ECONFIG == -3 && OC_ESTATE == -5 && OC_ENOENT == -7 && OC_EBUSY == -8 && OC_EIO == -11, "codes");
CHECK(OC_ABI_MAJOR == 1u && OC_STOP_END_CALLS == 1 && OC_LOG_DEBUG == 3, "numbers");
int has(const struct oc_host *h);
int has(const struct oc_host *h)
{
    return OC_HAS(h, cancel);
}
END
cp "$dir/all.c" "$dir/all.cc"
try() { # name compiler flags...
    name=$1
    shift
    if ! command -v "$1" >/dev/null; then
        echo "skip $name: no $1"
    elif out=$("$@" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I. -fsyntax-only 2>&1); then
        echo "ok $name"
    else
        echo "FAIL $name"
        echo "$out"
        bad=1
    fi
}
[ "$(getconf LONG_BIT)" = 64 ] || { echo "skip headers: the offsets are those of 64 bits"; exit 0; }
try "C11 by gcc" gcc -std=c11 "$dir/all.c"
try "C17 by clang" clang -std=c17 "$dir/all.c"
try "C++11 by g++" g++ -std=c++11 "$dir/all.cc"
try "C++20 by g++" g++ -std=c++20 "$dir/all.cc"
try "C++17 by clang++" clang++ -std=c++17 "$dir/all.cc"
exit $bad
