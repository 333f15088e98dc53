#!/usr/bin/env bash
# Runs a command and prints one line with its name and time; its output is shown only if it fails: timed.sh NAME COMMAND...
set -u
name=$1; shift
start=$(date +%s.%N)
output=$("$@" 2>&1); status=$?
seconds=$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
if [ $status -eq 0 ]; then
    printf '  ok    %-12s %6s s   %s\n' "$name" "$seconds" "$(tail -n 1 <<<"$output" | cut -c1-90)"
else
    printf '  FAIL  %-12s %6s s\n%s\n' "$name" "$seconds" "$output"
fi
exit $status
