#!/bin/sh
# Runs `autotune gate` with what a CI system hands over in the environment, so that no value ever
# becomes part of a script. POSIX sh.
#
#   AUTOTUNE_GATE_PROGRAM          the program (autotune)
#   AUTOTUNE_GATE_MODE             ab, check, record, history, calibrate or selftest; empty: it decides
#   AUTOTUNE_GATE_BASE, …_HEAD     the two sides
#   AUTOTUNE_GATE_MODEL            the model
#   AUTOTUNE_GATE_DELTA            the slowdown that is allowed: 2%, or tg=2%,pp=3%
#   AUTOTUNE_GATE_BUDGET           the time that it may take: 10m
#   AUTOTUNE_GATE_ON_INCONCLUSIVE  warn, fail or retry
#   AUTOTUNE_GATE_ARGS             further arguments, one per line
#   AUTOTUNE_GATE_WARN_ONLY        true: a regression (exit code 1) or no verdict (3) ends with 0
#   AUTOTUNE_GATE_FOLDER           where the files go (autotune-gate)
#
# It ends with the exit code of `autotune gate`. Wrong input (2), a crash (4) or another failure
# (5) is never turned into a warning: a gate that did not run is not green.
set -eu

program=${AUTOTUNE_GATE_PROGRAM:-autotune}
mode=${AUTOTUNE_GATE_MODE:-}
folder=${AUTOTUNE_GATE_FOLDER:-autotune-gate}
warn_only=${AUTOTUNE_GATE_WARN_ONLY:-false}

refuse() {
    printf 'error: %s\n' "$1" >&2
    exit 2
}

case $mode in
'' | ab | check | record | history | calibrate | selftest) ;;
*) refuse 'the mode is none of ab, check, record, history, calibrate, selftest' ;;
esac
case $warn_only in
true | false) ;;
*) refuse 'warn-only is neither true nor false' ;;
esac
case $folder in
*'
'*) refuse 'the folder has a line break in its name' ;;
esac

set -- gate
if [ -n "$mode" ]; then set -- "$@" "$mode"; fi
# `--name=value`, so that a value which begins with a dash stays a value.
if [ -n "${AUTOTUNE_GATE_BASE:-}" ]; then set -- "$@" "--base=$AUTOTUNE_GATE_BASE"; fi
if [ -n "${AUTOTUNE_GATE_HEAD:-}" ]; then set -- "$@" "--head=$AUTOTUNE_GATE_HEAD"; fi
if [ -n "${AUTOTUNE_GATE_MODEL:-}" ]; then set -- "$@" "--model=$AUTOTUNE_GATE_MODEL"; fi
if [ -n "${AUTOTUNE_GATE_DELTA:-}" ]; then set -- "$@" "--delta=$AUTOTUNE_GATE_DELTA"; fi
if [ -n "${AUTOTUNE_GATE_BUDGET:-}" ]; then set -- "$@" "--budget=$AUTOTUNE_GATE_BUDGET"; fi
if [ -n "${AUTOTUNE_GATE_ON_INCONCLUSIVE:-}" ]; then
    set -- "$@" "--on-inconclusive=$AUTOTUNE_GATE_ON_INCONCLUSIVE"
fi
while IFS= read -r argument; do
    if [ -n "$argument" ]; then set -- "$@" "$argument"; fi
done <<END
${AUTOTUNE_GATE_ARGS:-}
END

mkdir -p -- "$folder"
# A runner that keeps its folders must not hand on the report of an earlier run.
rm -f -- "$folder/report.json" "$folder/junit.xml" "$folder/summary.md" "$folder/comment.md" \
    "$folder/metrics.txt" "$folder/badge.json"
set -- "$@" "--json=$folder/report.json" "--junit=$folder/junit.xml" \
    "--summary=${GITHUB_STEP_SUMMARY:-$folder/summary.md}" "--comment=$folder/comment.md" \
    "--openmetrics=$folder/metrics.txt" "--badge=$folder/badge.json" --annotations=auto

code=0
"$program" "$@" || code=$?

if [ -n "${GITHUB_OUTPUT:-}" ] && [ -f "$folder/report.json" ]; then
    printf 'report=%s\n' "$folder/report.json" >>"$GITHUB_OUTPUT"
fi
case $warn_only:$code in
true:1 | true:3)
    # To stderr: the last line of stdout stays the verdict.
    printf '::warning title=autotune gate::exit code %s is only a warning here\n' "$code" >&2
    exit 0
    ;;
esac
exit "$code"
