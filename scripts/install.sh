#!/bin/sh
# Copies a built program and the engine it needs into a prefix, or removes them again.
#
#   scripts/install.sh PROGRAM PREFIX
#   scripts/install.sh --remove PREFIX
#
# The program finds its libraries in ../lib/autotune by its own run path, wherever PREFIX is.
set -eu

pages=share/man/man1/autotune.1
bash_completions=share/bash-completion/completions/autotune
zsh_completions=share/zsh/site-functions/_autotune
fish_completions=share/fish/vendor_completions.d/autotune.fish

# Where the engine was built: what cargo says of the very build that the program came from. It
# compiles nothing, since that build has just been made.
engine_folder() {
    "${CARGO:-cargo}" build --release --locked --message-format=json 2>/dev/null \
        | sed -n '/"reason":"build-script-executed"/ { /llama-cpp-sys-2/ s/.*"out_dir":"\([^"]*\)".*/\1/p; }' \
        | head -n 1
}

# place SOURCE FOLDER [NAME]: under a temporary name first, so that a running program keeps its file.
place() {
    mkdir -p "$2"
    name=${3:-$(basename "$1")}
    cp -L "$1" "$2/.$name.new"
    mv -f "$2/.$name.new" "$2/$name"
}

# write_from FILE COMMAND...: what the command prints, as a file.
write_from() {
    file=$1
    shift
    mkdir -p "$(dirname "$file")"
    "$@" >"$file.new" || { rm -f "$file.new"; exit 1; }
    mv -f "$file.new" "$file"
}

install_program() {
    program=$1
    prefix=$2
    engine=$(engine_folder)
    if [ ! -d "$engine/lib" ]; then
        echo "error: cargo does not say where llama.cpp was built" >&2
        exit 1
    fi
    placed=0
    for library in "$engine"/lib/libllama.so.[0-9] "$engine"/lib/libggml.so.[0-9] \
        "$engine"/lib/libggml-base.so.[0-9] "$engine"/lib/libllama.[0-9].dylib \
        "$engine"/lib/libggml.[0-9].dylib "$engine"/lib/libggml-base.[0-9].dylib \
        "$engine"/backends/libggml-*.so "$(dirname "$program")"/modules/libggml-*.so; do
        [ -e "$library" ] || continue
        place "$library" "$prefix/lib/autotune"
        placed=$((placed + 1))
    done
    if [ "$placed" -lt 4 ]; then
        echo "error: the engine in $engine is not complete: $placed libraries" >&2
        exit 1
    fi
    place "$program" "$prefix/bin" autotune
    write_from "$prefix/$pages" "$program" man
    write_from "$prefix/$bash_completions" "$program" completions bash
    write_from "$prefix/$zsh_completions" "$program" completions zsh
    write_from "$prefix/$fish_completions" "$program" completions fish
    echo "installed $prefix/bin/autotune and $placed libraries in $prefix/lib/autotune"
}

remove_program() {
    prefix=$1
    for file in bin/autotune "$pages" "$bash_completions" "$zsh_completions" "$fish_completions"; do
        rm -f "$prefix/$file"
    done
    rm -f "$prefix"/lib/autotune/libllama.* "$prefix"/lib/autotune/libggml*
    if [ -d "$prefix/lib/autotune" ]; then rmdir "$prefix/lib/autotune"; fi
    echo "removed autotune from $prefix"
}

case ${1-} in
    --remove) remove_program "${2:?where from}" ;;
    "") echo "usage: scripts/install.sh PROGRAM PREFIX | --remove PREFIX" >&2; exit 2 ;;
    *) install_program "$1" "${2:?where to}" ;;
esac
