#!/bin/sh
# Builds llama.cpp's own llama-perplexity, llama-quantize and llama-imatrix in FOLDER against the
# libraries that autotune runs, and prints the variables that the tests of what autotune measures
# and quantizes want. Needs a release build of autotune, python3 with pip and venv, CMake and Ninja.
#
# Only the tools' own sources are of another version, llama-sources.sh's: what quantizes, dequantizes
# and decodes is the binding's, so that results can be held to equality. Each tool runs the CPU
# module that LLAMA_BENCH_MODULE names: some virtual machines die of the one that scores highest.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
built=$(sh "$here/llama-built.sh")
source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$built/build/CMakeCache.txt")
tools=$(sh "$here/llama-sources.sh" "$1")
work=$(cd "$1" && pwd)

cmake -G Ninja -S "$here/quality-tools" -B "$work/build-quality" -DCMAKE_BUILD_TYPE=Release \
    -DLLAMA_SOURCE="$source" -DLLAMA_BUILT="$built" -DTOOL_SOURCE="$tools" >&2
# As a neighbour: it takes minutes and is in no hurry.
nice cmake --build "$work/build-quality" \
    --target llama-perplexity llama-quantize llama-imatrix >&2
for tool in llama-perplexity llama-quantize llama-imatrix; do
    ln -sf "build-quality/bin/$tool" "$work/$tool"
done
echo "export AUTOTUNE_LLAMA_QUALITY_TOOLS=$work AUTOTUNE_LLAMA_MODULES=$built/backends"
