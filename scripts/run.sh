#!/bin/sh
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
Usage: sh scripts/run.sh [--once] [--native]
Installs what is missing, builds, starts the OpenClaw gateway with the voice plugin, places one
simulated call and shows it, then stays up.

  --once    ends after the call; exit code 0 only if all went as expected
  --native  the small native host instead of the gateway

With OPENAI_API_KEY and WEBHOOK_SECRET in the environment (or in a file .env) it serves real calls
instead and says which webhook URL to register. PORT and PUBLIC_URL: where the channel listens and how
the world reaches it. OPENCLAW_MODEL: the model of the gateway's agent (openai/gpt-5.5).
TEXT
}

for arg in "$@"; do
    case $arg in
    --once | --native) ;;
    --help | -h) usage; exit 0 ;;
    *) echo "run: unknown option $arg" >&2; usage >&2; exit 2 ;;
    esac
done

sh scripts/setup.sh
echo "run: building ..."
make -j2 --no-print-directory
echo "run: starting"
exec build/tools/bin/node scripts/demo.mjs "$@"
