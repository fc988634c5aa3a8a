#!/bin/sh
# SPDX-License-Identifier: MIT
# Sets up and runs the default suite; arguments go to make (T=name, BUILD=debug, ...).
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
exec make -j2 test "$@"
