#!/bin/sh
# SPDX-License-Identifier: MIT
# The native host as a program: options, faults of the configuration, what it prints, how it ends.
set -u
: "${OCV_SO:?}" "${OCV_HOST:?}"
for name in OPENAI_API_KEY OPENAI_PROJECT_ID WEBHOOK_SECRET PUBLIC_URL PORT; do unset "$name"; done
dir=$(mktemp -d)
pids=
cleanup() {
    for p in $pids; do kill -9 "$p" 2>/dev/null; done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
export HOME="$dir"
bad=0

is() { # name wanted found
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        echo "FAIL $1: wanted '$2', found '$3'"
        bad=1
    fi
}

# Waits up to 10 s for a command to hold.
soon() {
    n=0
    until "$@" >/dev/null 2>&1; do
        n=$((n + 1))
        [ $n -ge 200 ] && return 1
        sleep 0.05
    done
}

# Waits up to 12 s for a child; sets code (124: it did not end).
end_of() {
    n=0
    while kill -0 "$1" 2>/dev/null && [ "$(ps -o stat= -p "$1" | cut -c1)" != Z ]; do
        n=$((n + 1))
        [ $n -ge 240 ] && { code=124; return; }
        sleep 0.05
    done
    code=0
    wait "$1" || code=$?
}

start() { # output file; the rest are options
    out=$1
    shift
    "$OCV_HOST" --config "$dir/good.yaml" --plugin "$OCV_SO" "$@" >"$out" 2>"$out.err" &
    pid=$!
    pids="$pids $pid"
}

cat >"$dir/good.yaml" <<YAML
openclaw:
  workspace: $dir/workspace
channels:
  voice:
    enabled: true
    state_dir: $dir/state
    openai: { api_key: sk-test, base_url: "http://127.0.0.1:9/v1" }
    webhook: { port: 0, secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3" }
YAML
cat >"$dir/bad.yaml" <<YAML
channels:
  voice:
    enabled: maybe
    webhook: { port: 70000, secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3" }
    openai: { api_key: sk-test }
    nonsense: 1
YAML
mkdir "$dir/workspace"

"$OCV_HOST" --help >"$dir/help" 2>"$dir/help.err"
is "--help exits with 0 and says how it is used" "0 1" "$? $(grep -c '^Usage: ' "$dir/help")"
"$OCV_HOST" >"$dir/none" 2>"$dir/none.err"
is "without options it exits with 2 and prints to stderr alone" "2 0" "$? $(wc -c <"$dir/none")"
"$OCV_HOST" --config "$dir/good.yaml" --plugin "$dir/nothing.so" >"$dir/none" 2>"$dir/none.err"
is "without a plugin it exits with 1 and says so" "1 0 1" \
    "$? $(wc -c <"$dir/none") $(grep -c 'nothing.so' "$dir/none.err")"
"$OCV_HOST" --config "$dir/good.yaml" --plugin /lib/x86_64-linux-gnu/libz.so.1 >"$dir/none" 2>"$dir/none.err"
is "a library that is no plugin is refused" "1 1" "$? $(grep -c openclaw-voice-host "$dir/none.err")"
"$OCV_HOST" --config "$dir/absent.yaml" --plugin "$OCV_SO" >"$dir/none" 2>"$dir/none.err"
is "a configuration that is not there is named" "2 0 yes" \
    "$? $(wc -c <"$dir/none") $(grep -q 'absent.yaml' "$dir/none.err" && echo yes)"

"$OCV_HOST" --config "$dir/bad.yaml" --plugin "$OCV_SO" >"$dir/none" 2>"$dir/none.err"
is "faults of the configuration: exit code 2, nothing on stdout" "2 0" "$? $(wc -c <"$dir/none")"
for fault in 'bad.yaml:3: channels.voice.enabled: ' 'bad.yaml:4: channels.voice.webhook.port: ' \
    'bad.yaml:6: channels.voice.nonsense: '; do
    is "all faults at once: $fault" yes "$(grep -qF "$fault" "$dir/none.err" && echo yes || cat "$dir/none.err")"
done

start "$dir/out"
soon grep -q '"event":"ready"' "$dir/out"
is "the first line is the ready event with its url" yes \
    "$(head -1 "$dir/out" | grep -q '"event":"ready"' &&
        head -1 "$dir/out" | grep -qE '"url":"http://127\.0\.0\.1:[0-9]+"' && echo yes ||
        cat "$dir/out" "$dir/out.err")"
url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$dir/out" | head -1)
is "the API's token is private" 600 "$(stat -c %a "$dir/state/api-token")"
is "it serves" 200 "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url/health")"
kill -PIPE "$pid"
is "SIGPIPE does nothing" 200 "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url/health")"
kill -TERM "$pid"
end_of "$pid"
is "SIGTERM stops it with 0" 0 "$code"
is "every line on stdout is a JSON object" 0 "$(grep -cv '^{.*}$' "$dir/out")"

start "$dir/out2"
soon grep -q '"event":"ready"' "$dir/out2"
kill -INT "$pid"
end_of "$pid"
is "SIGINT stops it with 0, too" 0 "$code"

# A reader that goes away: the program goes on and still ends in order.
mkfifo "$dir/fifo"
head -1 <"$dir/fifo" >"$dir/first" &
reader=$!
pids="$pids $reader"
start "$dir/fifo"
wait "$reader"
url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$dir/first")
curl -s -m 5 -o /dev/null "$url/nothing"
is "a closed stdout does not end it" 200 "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url/health")"
kill -TERM "$pid"
end_of "$pid"
is "and it still stops with 0" 0 "$code"
exit $bad
