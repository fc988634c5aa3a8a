#!/bin/sh
# SPDX-License-Identifier: MIT
# Sets up and runs the default suite; arguments go to make (T=name, BUILD=debug, ...). A file that failed runs
# once more at the end, and both outcomes are told; AGAIN= turns that off. The last line is
# `N passed, N failed`, also when not even the build succeeds; the exit code says the same.
set -u
cd "$(dirname "$0")/.." || exit 1
OCV_RESULT=$(mktemp)
export OCV_RESULT
trap 'rm -f "$OCV_RESULT"' EXIT
trap 'exit 130' INT TERM

if sh scripts/setup.sh && make -j2 --no-print-directory AGAIN=1 test "$@"; then
    exit 0
fi
# make has said more after the closing line, or there was none.
if [ -s "$OCV_RESULT" ]; then
    cat "$OCV_RESULT"
else
    echo "0 passed, 1 failed"
fi
exit 1
