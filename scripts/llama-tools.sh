#!/bin/sh
# Builds llama.cpp's own llama-server and llama-cli in FOLDER, and prints the variable that the
# tests of what is exported want. Needs python3 with pip and venv, CMake and Ninja.
#
# Unlike llama-bench in benches/parity they are linked to the llama.cpp of their own sources: the
# server needs parts that the binding leaves out, and their interfaces do not fit its version. That
# is what a user has as well: a llama.cpp of another version than the one that measured.
#
# The processor's code is that for AVX2 (on x86; the plain one elsewhere) and nothing wider: some
# virtual machines announce instructions, AMX above all, that kill a program that uses them.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
source=$(sh "$here/llama-sources.sh" "$1")
work=$(cd "$1" && pwd)

cmake -G Ninja -S "$source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF >&2
# As a neighbour: it takes minutes and is in no hurry.
nice cmake --build "$work/build" --target llama-server llama-cli >&2
for tool in llama-server llama-cli; do
    ln -sf "build/bin/$tool" "$work/$tool"
done
echo "export AUTOTUNE_LLAMA_TOOLS=$work"
