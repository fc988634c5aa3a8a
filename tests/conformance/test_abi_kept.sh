#!/bin/sh
# SPDX-License-Identifier: MIT
# The built plugin against the baseline of its ABI (abi/openclaw_plugin-MAJOR.MINOR.abixml), by abidiff: what is there
# may not move, change its type or vanish unless OC_ABI_MAJOR was raised; members may be appended to the structs that
# begin with their size. Then planted changes, to see that they are told apart.
#
#   test_abi_kept.sh --renew     writes the baseline from the built plugin (make abi-baseline)
set -u
: "${OCV_SO:?}" "${OCV_BUILD:?}"
cd "${OCV_ROOT:?}" || exit 1
bad=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if ! command -v abidiff >/dev/null || ! command -v abidw >/dev/null; then
    echo "skip the ABI is kept: no abidiff (Debian: abigail-tools)"
    exit 0
fi

number() { sed -n "s/^#define OC_ABI_$1 \([0-9]*\)u\$/\1/p" abi/openclaw_plugin.h; }
major=$(number MAJOR)
minor=$(number MINOR)

dump() { # shared object, folder of its headers, file
    abidw --exported-interfaces-only --headers-dir "$2" --drop-private-types --drop-undefined-syms --no-comp-dir-path \
        --no-corpus-path --no-elf-needed --no-show-locs --out-file "$3" "$1" && [ -s "$3" ]
}

if [ "${1:-}" = --renew ]; then
    rm -f abi/openclaw_plugin-*.abixml
    dump "$OCV_SO" abi "abi/openclaw_plugin-$major.$minor.abixml" || exit 1
    ls abi/openclaw_plugin-*.abixml
    exit 0
fi

# A dump cut to the lengths of the baseline: what was appended to structs that begin with their size is left out. (A
# rule of suppression for that would hide every other change of such a struct as well.)
cat >"$dir/cut.py" <<'END_OF_CUT'
import sys
import xml.etree.ElementTree as ET

SIZED = {"oc_error", "oc_event", "oc_request", "oc_host", "oc_plugin"}
base, now, out = sys.argv[1:]
was = {c.get("name"): c for c in ET.parse(base).iter("class-decl") if c.get("name") in SIZED}
tree = ET.parse(now)
for c in tree.iter("class-decl"):
    old = was.get(c.get("name"))
    if old is None:
        continue
    members, kept = c.findall("data-member"), len(old.findall("data-member"))
    if len(members) <= kept:
        continue
    for m in members[kept:]:
        c.remove(m)
    c.set("size-in-bits", old.get("size-in-bits"))
tree.write(out)
END_OF_CUT

judge() { # baseline, dump: same, appended or broken, and why in $dir/why
    if abidiff "$1" "$2" >"$dir/why" 2>&1; then
        echo same
    elif python3 "$dir/cut.py" "$1" "$2" "$dir/cut.xml" && abidiff "$1" "$dir/cut.xml" >"$dir/why" 2>&1; then
        echo appended
    else
        echo broken
    fi
}

is() { # name wanted found
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        echo "FAIL $1: wanted '$2', found '$3'"
        sed 's/^/    /' "$dir/why"
        bad=1
    fi
}

# ---- the plugin ----

set -- abi/openclaw_plugin-*.abixml
if [ $# != 1 ] || [ ! -f "$1" ]; then
    echo "FAIL there is one baseline: found $*"
    exit 1
fi
was=${1##*-}
if [ "$major" -gt "${was%%.*}" ]; then
    echo "ok the ABI was raised to $major.$minor; make abi-baseline renews $1"
elif [ "$OCV_BUILD" != release ]; then
    echo "skip the ABI is kept: a build for tests"
elif ! dump "$OCV_SO" abi "$dir/now.xml"; then
    echo "FAIL the plugin's ABI can be read"
    bad=1
else
    found=$(judge "$1" "$dir/now.xml")
    [ "$found" != appended ] || echo "members were appended since $1: make abi-baseline, and OC_ABI_MINOR"
    is "the ABI is kept" kept "$([ "$found" = broken ] && echo broken || echo kept)"
fi

# ---- planted changes ----

mkdir "$dir/base"
cp abi/openclaw_plugin.h "$dir/base/"
cat >"$dir/entry.c" <<'END_OF_SOURCE'
#include "openclaw_plugin.h"
static const struct oc_plugin table = {.size = sizeof table, .abi = OC_ABI};
#ifndef ENTRY
#define ENTRY const struct oc_plugin *openclaw_plugin_entry(uint32_t host_abi)
#endif
ENTRY
{
    return host_abi ? &table : 0;
}
__attribute__((visibility("default"))) int second(void);
int second(void)
{
    return (int)table.size;
}
END_OF_SOURCE

build() { # folder, further flags
    folder=$1
    shift
    gcc -g -O0 -shared -fPIC -fvisibility=hidden -I"$folder" "$@" -o "$folder/plugin.so" "$dir/entry.c" &&
        dump "$folder/plugin.so" "$folder" "$folder/plugin.xml"
}

plant() { # name, wanted, sed script for the header, further flags
    name=$1 wanted=$2 script=$3
    shift 3
    rm -rf "$dir/new"
    mkdir "$dir/new"
    sed "$script" abi/openclaw_plugin.h >"$dir/new/openclaw_plugin.h"
    if [ -n "$script" ] && cmp -s abi/openclaw_plugin.h "$dir/new/openclaw_plugin.h"; then
        echo "FAIL $name: nothing was planted"
        bad=1
    elif ! build "$dir/new" "$@"; then
        echo "FAIL $name: it does not compile"
        bad=1
    else
        is "$name" "$wanted" "$(judge "$dir/base/plugin.xml" "$dir/new/plugin.xml")"
    fi
}

build "$dir/base" || { echo "FAIL a plugin to plant changes in"; exit 1; }
plant "no change is none" same ""
plant "a member behind the last one is appended" appended \
    's/^    void (\*cancel)(void \*ctx, uint64_t token);/&\n    void (*more)(void *ctx);/'
plant "and two of them, of the plugin's table" appended \
    's/^    void (\*destroy)(struct oc_instance \*inst);/&\n    int (*more)(struct oc_instance *inst);\n    uint64_t bits;/'
plant "a member between others is found" broken 's/^    void \*ctx;  .*/    uint64_t more;\n&/'
plant "a member that changes its type is found" broken 's/^    uint64_t caps;/    uint32_t caps;/'
plant "also if one is appended in the same change" broken \
    's/^    uint64_t caps;/    double caps;/; s/^    void (\*destroy)(struct oc_instance \*inst);/&\n    int (*more)(void);/'
plant "a member that is gone is found" broken '/^    void (\*cancel)(void \*ctx, uint64_t token);/d'
plant "members that change places are found" broken \
    '/^    const char \*version;/d; s/^    const char \*name;/    const char *version;\n&/'
plant "a parameter of a function of the table is found" broken 's/int code, struct oc_str json);/int code, int more, struct oc_str json);/'
plant "a struct without a size may not grow" broken 's/^    size_t n;/&\n    size_t cap;/'
plant "a symbol that is gone is found" broken "" -Dsecond=third
plant "an entry with another parameter is found" broken 's/openclaw_plugin_entry(uint32_t host_abi);/openclaw_plugin_entry(uint64_t host_abi);/' \
    '-DENTRY=const struct oc_plugin *openclaw_plugin_entry(uint64_t host_abi)'
exit $bad
