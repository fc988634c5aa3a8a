#!/bin/sh
# SPDX-License-Identifier: MIT
# Static analysis of the plugin and the native host: gcc -fanalyzer, cppcheck, clang-tidy (its settings are in
# .clang-tidy). What is known to be no fault stands in scripts/analyze-known.txt, with the reason; everything else
# fails. Takes about ten minutes; arguments are the tools to run.
#
#   analyze.sh BUILD-DIR [gcc] [cppcheck] [clang-tidy]
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:?the build folder}
shift
[ $# -gt 0 ] || set -- gcc cppcheck clang-tidy
INCLUDE="-I. -I$build/gen -isystem /usr/include/llhttp -isystem /usr/share/include/llhttp -isystem /usr/share/llhttp"
FLAGS="-std=c17 -D_GNU_SOURCE $INCLUDE"
SOURCES=$(ls plugin/*.c plugin/*/*.c memory/*.c sessions/*.c abi/host/*.c)
found=$(mktemp)
trap 'rm -f "$found"' EXIT

say() { echo "analyze: $*"; }

missing=
for tool in "$@"; do command -v "$tool" >/dev/null || missing="$missing $tool"; done
[ -z "$missing" ] || { say "missing:$missing; sh scripts/setup.sh --analyze installs it"; exit 1; }

# One finding a line: FILE:LINE: TOOL: text
for tool in "$@"; do
    say "$tool ..."
    case $tool in
    gcc)
        for f in $SOURCES; do
            gcc $FLAGS -O1 -fanalyzer -c "$f" -o /dev/null 2>&1 | sed -nE 's/^([^ :]+:[0-9]+):[0-9]+: (warning|error): /\1: gcc: /p'
        done ;;
    cppcheck)
        cppcheck -q --std=c17 --enable=warning,performance,portability -I. --suppress=missingIncludeSystem \
            --template='{file}:{line}: cppcheck: {message} [{id}]' $SOURCES 2>&1 ;;
    clang-tidy)
        for f in $SOURCES; do
            clang-tidy --quiet "$f" -- $FLAGS 2>/dev/null | sed -nE "s|^$PWD/([^ :]+:[0-9]+):[0-9]+: (warning\|error): |\1: clang-tidy: |p"
        done ;;
    esac >>"$found"
done

# A known one is told by its file, the tool and its text: lines move.
known=0
new=0
while IFS= read -r line; do
    key=$(printf '%s\n' "$line" | sed -E 's/^([^:]+):[0-9]+: /\1: /')
    if grep -qxF "$key" scripts/analyze-known.txt; then
        known=$((known + 1))
    else
        new=$((new + 1))
        printf '%s\n' "$line"
    fi
done <"$found"
say "$(echo "$SOURCES" | wc -l) files, $new findings, $known known to be none"
[ "$new" -eq 0 ]
