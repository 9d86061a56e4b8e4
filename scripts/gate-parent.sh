#!/bin/sh
# Holds this build against its parent commit's, both here and in turn: `autotune gate ab` on a
# small synthetic model. It warns and never stops a build; the verdict is the last line on stdout.
#
#   scripts/gate-parent.sh TARGET_DIR
#
# The parent is built into the same folder, on the same llama.cpp libraries, which takes the time
# of this project's own code alone. Where it cannot be had (no parent commit, another llama.cpp,
# a build that fails) this build is held against itself, which shows that the gate runs.
set -eu

target=$(cd "${1:?the target folder}" && pwd)
release="$target/release"
program="$release/autotune"
head="$release/autotune-head"
parent="$release/autotune-parent"
checkout="$target/gate-parent"
cargo=${CARGO:-cargo}
here=$(pwd)
# The parent is not worth more of a job than this.
patience=${AUTOTUNE_GATE_PATIENCE:-15m}
if command -v timeout >/dev/null; then within="timeout $patience"; else within=; fi

say() { echo "gate: $*" >&2; }

# Whatever happens, the program that is there afterwards is this build's.
put_back() {
    if [ -e "$head" ]; then mv -f "$head" "$program"; fi
    rm -rf "$parent" "$checkout"
}
trap put_back EXIT
trap 'exit 130' INT TERM HUP

# The binding decides which llama.cpp it is.
binding() { grep -A1 '^name = "llama-cpp-sys-2"' "$1" | tail -n 1; }

# Builds the parent as $parent; every step says by itself whether it went well, since `set -e`
# does not hold in a condition.
build_parent() {
    git rev-parse --verify --quiet HEAD~1 >/dev/null || { say "there is no parent commit"; return 1; }
    rm -rf "$checkout" && mkdir -p "$checkout" || return 1
    git archive HEAD~1 | tar -x -C "$checkout" || return 1
    if [ "$(binding Cargo.lock)" != "$(binding "$checkout/Cargo.lock")" ]; then
        say "the parent has another llama.cpp"
        return 1
    fi
    # The file names its folder, and another folder would be another llama.cpp to the build.
    # shellcheck disable=SC2086 # two words, or none
    (cd "$checkout" && CMAKE_PROJECT_ggml_INCLUDE="$here/engine/cmake/ggml.cmake" \
        $within "$cargo" build --release --locked --workspace --bin autotune --target-dir "$target" >&2) \
        || { say "the parent cannot be built"; return 1; }
    cp "$program" "$parent" || return 1
}

cp "$program" "$head"
base="$parent"
if ! build_parent; then
    say "this build is held against itself"
    base="$head"
fi
code=0
"$head" gate ab --base "$base" --head "$head" --model synth:tiny:q8_0 --tests pp128,tg32,memory \
    --budget "${AUTOTUNE_GATE_BUDGET:-3m}" --max-blocks 12 --on-inconclusive warn \
    --json "$target/gate.json" --junit "$target/gate.xml" || code=$?
if [ "$code" -ne 0 ]; then say "a warning only: the gate ended with exit code $code"; fi
exit 0
