#!/bin/sh
# Shows on this machine that the gate does not cry wolf and is not blind:
#   1. RUNS builds held against themselves, a neighbour busy half of the time: none may fail;
#   2. a worker slowed by 5, 10 and 25 percent: 25 has to fail and name its cell, the others have
#      to fail or to end undecided with what could have been seen, and none may pass.
# Everything that was measured is kept below OUT.
#
#   scripts/gate-aa.sh TARGET_DIR OUT [RUNS]
set -eu

target=$(cd "${1:?the target folder}" && pwd)
mkdir -p "${2:?where results are kept}"
out=$(cd "$2" && pwd)
runs=${3:-20}
program="$target/release/autotune"
plain="$target/release/autotune-plain"
slowed="$target/release/autotune-slowed"
same="$target/release/autotune-same"
cargo=${CARGO:-cargo}
wrong=0
busy=

say() { echo "gate-aa: $*" | tee -a "$out/summary.txt"; }

# Whatever happens, the program that is there afterwards is the plain one, and nobody stays busy.
put_back() {
    if [ -n "$busy" ]; then kill "$busy" 2>/dev/null || true; fi
    if [ -e "$plain" ]; then mv -f "$plain" "$program"; fi
    rm -f "$slowed" "$same"
}
trap put_back EXIT
trap 'exit 130' INT TERM HUP

# held BLOCKS ARGUMENTS: the gate on two sides, without a second session.
held() {
    blocks=$1
    shift
    "$plain" gate ab --model "${MODEL:-synth:smollm2-135m:q4_k_m}" --tests pp64,tg16 --threads 1 --delta 2% \
        --max-blocks "$blocks" --budget "${BUDGET:-6m}" --confirm none -q "$@"
}

# Busy for half a second, idle for half a second.
neighbour() {
    while :; do
        timeout 0.5 sh -c 'while :; do :; done' || true
        sleep 0.5
    done
}

: > "$out/summary.txt"
cp "$program" "$plain"
# A byte more makes it another artefact, so that what holds for identical ones spares nothing.
cp "$program" "$same"
printf '\0' >> "$same"
neighbour & busy=$!
run=1
while [ "$run" -le "$runs" ]; do
    code=0
    held "${BLOCKS:-12}" --base "$same" --head "$plain" --seed "$run" --json "$out/aa-$run.json" \
        > "$out/aa-$run.txt" || code=$?
    say "identical, $run of $runs: exit code $code: $(tail -n 1 "$out/aa-$run.txt")"
    [ "$code" -eq 0 ] || wrong=$((wrong + 1))
    run=$((run + 1))
done
kill "$busy" 2>/dev/null || true
busy=

"$cargo" build --release --locked --workspace --features planted-slowdown >&2
cp "$program" "$slowed"
for percent in 5 10 25; do
    code=0
    AUTOTUNE_PLANTED_PERCENT=$percent held "${PLANTED_BLOCKS:-24}" --base "$plain" \
        --head "$slowed" --json "$out/planted-$percent.json" > "$out/planted-$percent.txt" || code=$?
    line=$(tail -n 1 "$out/planted-$percent.txt")
    say "$percent % planted: exit code $code: $line"
    case "$percent:$code:$line" in
        *:1:'gate: FAIL '*tg16* | *:1:'gate: FAIL '*pp64*) ;;
        5:0:'gate: INCONCLUSIVE '*'would see'* | 10:0:'gate: INCONCLUSIVE '*'would see'*) ;;
        *) wrong=$((wrong + 1)); say "that is wrong" ;;
    esac
done
say "$wrong of $((runs + 3)) went wrong"
[ "$wrong" -eq 0 ]
