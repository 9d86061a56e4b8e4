#!/bin/sh
# Builds llama.cpp's own llama-bench against the libraries that autotune runs, in FOLDER, from the
# source distribution of the Python package llama-cpp-python, and prints the variables that
# `cargo bench --bench parity` wants. Needs python3 with pip and venv, CMake and Ninja.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
mkdir -p "$1"
work=$(cd "$1" && pwd)

built=$(sh "$root/scripts/llama-built.sh")
source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$built/build/CMakeCache.txt")

tools=$(sh "$root/scripts/llama-sources.sh" "$work")
cmake -G Ninja -S "$here" -B "$work/build" -DLLAMA_SOURCE="$source" -DLLAMA_BUILT="$built" \
    -DTOOL_SOURCE="$tools" >&2
cmake --build "$work/build" --target llama-bench >&2
echo "export LLAMA_BENCH=$work/build/llama-bench LLAMA_BENCH_MODULES=$built/backends"
