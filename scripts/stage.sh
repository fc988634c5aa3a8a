#!/bin/sh
# SPDX-License-Identifier: MIT
# stage.sh BUILDDIR FOLDER NUMBERS: makes the package folder for `openclaw plugins install`. The folder is put
# together beside its place and moved, so that a gateway never sees half of it. NUMBERS holds the npm packages of
# numbering plans: an installed folder fetches nothing, so what it needs is in it.
set -eu
build=$1 out=$2 plans=$3/libphonenumber-js
new=$out.new
rm -rf "$new" "$out.old"
mkdir -p "$new/skill/voice"
cp "$build/gen/package.json" "$build/gen/openclaw.plugin.json" skill.json LICENSE abi/node/*.js "$new/"
cp SKILL.md "$new/skill/voice/SKILL.md"
cp "$build/o200k.bin" "$new/"
# National numbers: one file, loaded when it is needed. It is CommonJS, whatever the package around it says.
cp "$plans/bundle/libphonenumber-min.js" "$new/libphonenumber-min.cjs"
cat "$plans/LICENSE" "$plans/LICENSE.Apache" > "$new/LICENSE.libphonenumber-js"
# The gateway copies the package for every instance: no debug information in it.
for lib in openclaw_voice.so openclaw_voice_node.node; do
    if grep -q -e -fsanitize "$build/flags"; then
        cp "$build/$lib" "$new/$lib"
    else
        strip --strip-unneeded -o "$new/$lib" "$build/$lib"
    fi
    chmod 0755 "$new/$lib"
done
if [ -d "$out" ]; then mv "$out" "$out.old"; fi
mv "$new" "$out"
rm -rf "$out.old"
