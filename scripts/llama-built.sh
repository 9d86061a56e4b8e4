#!/bin/sh
# Prints the `out` folder of the llama.cpp that the newest release build of autotune runs.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
# The newest build, as cargo names them: no odd characters.
# shellcheck disable=SC2012
built=$(ls -td "${CARGO_TARGET_DIR:-$root/target}"/release/build/llama-cpp-sys-2-*/out 2>/dev/null | head -n 1)
if [ -z "$built" ]; then
    echo "build autotune first: make build" >&2
    exit 1
fi
echo "$built"
