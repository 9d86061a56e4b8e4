#!/bin/sh
# Fetches llama.cpp's sources with their tools, which the binding leaves out, from the source
# distribution of the Python package llama-cpp-python into FOLDER, and prints where they lie.
# Needs python3 with pip and venv.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
mkdir -p "$1"
work=$(cd "$1" && pwd)
version=0.3.36

if [ ! -d "$work/llama_cpp_python-$version" ]; then
    python3 -m venv "$work/venv" >&2
    "$work/venv/bin/pip" --quiet download --no-deps --no-binary llama-cpp-python \
        --dest "$work" "llama-cpp-python==$version" >&2
    tar -xzf "$work/llama_cpp_python-$version.tar.gz" -C "$work"
fi
echo "$work/llama_cpp_python-$version/vendor/llama.cpp"
