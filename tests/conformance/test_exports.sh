#!/bin/sh
# SPDX-License-Identifier: MIT
# What the shared objects export, need and are hardened with. Inside the gateway a symbol too many or a
# library too many would be bound to Node's own copy.
set -u
: "${OCV_SO:?}" "${OCV_HOST:?}" "${OCV_BUILDDIR:?}" "${OCV_BUILD:?}"
addon=$OCV_BUILDDIR/openclaw_voice_node.node
bad=0

is() { # name wanted found
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        echo "FAIL $1: wanted '$2', found '$3'"
        bad=1
    fi
}

for file in "$OCV_SO" "$OCV_HOST" "$addon"; do
    if [ ! -f "$file" ]; then
        echo "FAIL $file is not there"
        exit 1
    fi
done

exports() { nm -D --defined-only "$1" | awk '{print $3}' | sed 's/@.*//' | sort | tr '\n' ' '; }
# The sanitizers' own libraries and their helpers do not count.
needed() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
        grep -vE '^(libasan|libubsan|libtsan|libgcc_s|libm|libstdc\+\+)\.so' | sort | tr '\n' ' '
}

is "the plugin exports its entry alone" "openclaw_plugin_entry " "$(exports "$OCV_SO")"
is "the plugin needs what is expected and nothing else" \
    "libc.so.6 libcjson.so.1 libsqlite3.so.0 libuv.so.1 libwslay.so.1 libyaml-0.so.2 " \
    "$(needed "$OCV_SO" | sed 's/ld-linux-x86-64.so.2 //')"
is "the binding exports Node-API's two symbols alone" \
    "napi_register_module_v1 node_api_module_get_api_version_v1 " "$(exports "$addon")"
is "the binding needs libc alone" "libc.so.6 " "$(needed "$addon" | sed 's/ld-linux-x86-64.so.2 //')"
is "the native host needs libc alone" "libc.so.6 " \
    "$(needed "$OCV_HOST" | sed 's/ld-linux-x86-64.so.2 //')"
is "no undefined OpenSSL or llhttp symbol in the plugin" "0" \
    "$(nm -D --undefined-only "$OCV_SO" | grep -cE ' (SSL_|EVP_|X509_|BIO_|CRYPTO_|OPENSSL_|llhttp_)')"
is "no sqlite, cJSON, wslay or yaml code of our own is exported" "0" \
    "$(nm -D --defined-only "$OCV_SO" | grep -cE ' (sqlite3_|cJSON_|wslay_|yaml_|uv_)')"

for file in "$OCV_SO" "$addon" "$OCV_HOST"; do
    name=$(basename "$file")
    dynamic=$(readelf -dW "$file")
    headers=$(readelf -lW "$file")
    is "$name: RELRO" 1 "$(echo "$headers" | grep -c GNU_RELRO)"
    is "$name: all symbols are bound at load (BIND_NOW)" yes \
        "$(echo "$dynamic" | grep -qE 'BIND_NOW|Flags:.*NOW' && echo yes || echo no)"
    is "$name: the stack is not executable" yes \
        "$(echo "$headers" | grep GNU_STACK | grep -q RWE && echo no || echo yes)"
    is "$name: nothing is mapped writable and executable" 0 "$(echo "$headers" | grep LOAD | grep -c RWE)"
    is "$name: no text relocations" no "$(echo "$dynamic" | grep -q TEXTREL && echo yes || echo no)"
    is "$name: no run path" no "$(echo "$dynamic" | grep -qE 'RPATH|RUNPATH' && echo yes || echo no)"
done
is "the native host may lie anywhere (PIE)" yes \
    "$(readelf -dW "$OCV_HOST" | grep -q 'Flags:.*PIE' && echo yes || echo no)"
is "the plugin stays mapped once loaded (NODELETE)" yes \
    "$(readelf -dW "$OCV_SO" | grep -q NODELETE && echo yes || echo no)"

# Our objects, not those of the static libraries: every object has the property and the canary.
if [ "$OCV_BUILD" = release ] && [ "$(uname -m)" = x86_64 ]; then
    bare=
    for o in $(find "$OCV_BUILDDIR/obj" -name '*.o' ! -path '*/obj/tests/*'); do
        readelf -nW "$o" 2>/dev/null | grep -q 'IBT, SHSTK' || bare="$bare $o"
    done
    is "every object of ours is built with -fcf-protection" "" "$bare"
    for of in plugin abi/host abi/node llhttp; do
        is "objects of $of were looked at" yes \
            "$([ "$(find "$OCV_BUILDDIR/obj/$of" -name '*.o' 2>/dev/null | wc -l)" -gt 0 ] && echo yes || echo no)"
    done
    is "stack protector and FORTIFY are in use" yes \
        "$(nm -D --undefined-only "$OCV_SO" | grep -q __stack_chk_fail &&
            nm -D --undefined-only "$OCV_SO" | grep -v __stack_chk | grep -qE '_chk(@|$)' && echo yes || echo no)"
    for file in "$addon" "$OCV_HOST"; do
        symbols=$(nm -D --undefined-only "$file" | awk '{print $2}')
        is "$(basename "$file"): stack protector" yes "$(echo "$symbols" | grep -q '^__stack_chk_fail@' && echo yes || echo no)"
        is "$(basename "$file"): FORTIFY" yes \
            "$(echo "$symbols" | grep -v '^__stack_chk' | grep -qE '^__.*_chk@' && echo yes || echo no)"
    done
    # The libraries that are linked in could speak for us there: so each of our objects is asked.
    fortified=0 guarded=0
    for o in $(find "$OCV_BUILDDIR/obj/plugin" "$OCV_BUILDDIR/obj/memory" "$OCV_BUILDDIR/obj/sessions" \
        "$OCV_BUILDDIR/obj/abi" -name '*.o'); do
        calls=$(nm --undefined-only "$o" | awk '{print $2}')
        echo "$calls" | grep -qE '_chk$' && fortified=$((fortified + 1))
        echo "$calls" | grep -qx __stack_chk_fail && guarded=$((guarded + 1))
    done
    is "objects of ours call fortified functions" yes "$([ "$fortified" -gt 20 ] && echo yes || echo "$fortified")"
    is "objects of ours guard their stacks" yes "$([ "$guarded" -gt 50 ] && echo yes || echo "$guarded")"
    for flag in -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fcf-protection; do
        is "all is compiled with $flag" yes "$(grep -q -e "$flag" "$OCV_BUILDDIR/flags" && echo yes || echo no)"
    done
fi
exit $bad
