#!/bin/sh
# SPDX-License-Identifier: MIT
# Whose code the plugin runs inside Node, as the dynamic linker tells: its own OpenSSL and llhttp although
# Node exports both, and Node's libuv.
set -u
: "${OCV_SO:?}" "${OCV_NODE:?}" "${OCV_BUILD:?}"
case $OCV_BUILD in
asan | tsan)
    echo "skip whose symbols the plugin uses in Node (a sanitizer comes between)"
    exit 0
    ;;
esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0

check() { # name command...
    name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "FAIL $name"
        bad=1
    fi
}

# No Node-API module, so Node complains after it has loaded it; that is enough here.
LD_DEBUG=bindings LD_DEBUG_OUTPUT="$dir/ld" "$OCV_NODE" -e '
try { process.dlopen({ exports: {} }, process.argv[1]); } catch (error) {
  if (!/self-register/.test(error.message)) throw error;
}' "$OCV_SO" || { echo "FAIL Node loads the plugin"; exit 1; }
echo "ok Node loads the plugin"
cat "$dir"/ld.* | grep "binding file [^ ]*openclaw_voice\.so" >"$dir/bound"

bound_to() { grep -E "symbol \`$1" "$dir/bound" | sed 's/.* to \([^ ]*\) .*/\1/' | sort -u; }
node=$(readlink -f "$OCV_NODE")
check "the linker told what the plugin is bound to" test "$(wc -l <"$dir/bound")" -gt 50
check "Node exports an OpenSSL and an llhttp that could have been taken" \
    sh -c 'nm -D --defined-only "$1" | grep -q " SSL_new" && nm -D --defined-only "$1" | grep -q llhttp_execute' - "$node"
check "no OpenSSL or llhttp symbol is bound to anybody" \
    test -z "$(bound_to '(SSL|EVP|X509|BIO|ERR|CRYPTO|OPENSSL|RAND|HMAC|llhttp)_')"
check "libuv is Node's" test "$(bound_to uv_ | xargs -r readlink -f | sort -u)" = "$node"
check "SQLite is the system's" sh -c 'echo "$1" | grep -q libsqlite3' - "$(bound_to sqlite3_)"
check "the plugin's OpenSSL is another than Node's" sh -c '
    own=$(strings -a "$1" | grep -oE "OpenSSL 3\.[0-9]+\.[0-9]+" | head -1)
    theirs="OpenSSL $("$2" -p "process.versions.openssl.split(\"+\")[0]")"
    [ -n "$own" ] && [ "$own" != "$theirs" ]' - "$OCV_SO" "$OCV_NODE"
exit $bad
