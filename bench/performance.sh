#!/usr/bin/env bash
# Measures all presets as docs/performance.md describes: bench/performance.sh [FOLDER]
# FOLDER (default build/performance, 37 GB) holds a random checkpoint of ZAYA1-8B's size and its
# quantised copies; what is not there is made. The tables go to FOLDER/results.md. Takes about an
# hour on two cores, and the machine should have nothing else to do.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
zaya=${ZAYA:-$root/build/bin/zaya}
folder=${1:-$root/build/performance}
results=$folder/results.md

say() { printf '%s\n' "$*" >&2; }

# made NAME COMMAND...: the folder of a model, made by the command (with -o) when it is not there.
# An interrupted command leaves no config.json behind that would pass for a whole model.
made() {
  local name=$1
  shift
  [[ -e $folder/$name/config.json ]] && return
  say "making $name"
  rm -rf "${folder:?}/$name" "${folder:?}/$name.part"
  "$zaya" "$@" -o "$folder/$name.part" >&2
  mv "$folder/$name.part" "$folder/$name"
}

# measure MODEL ISA ARGUMENTS...: one run of zaya bench as a Markdown table.
measure() {
  local model=$1 isa=$2
  shift 2
  say "$model, ${isa:-fastest kernels}: zaya bench $*"
  {
    printf "\n\`%szaya bench %s %s\`\n\n" "${isa:+ZAYA_ISA=$isa }" "$model" "$*"
    # Notes up to the empty line, then the table up to the next one; columns stand two spaces apart.
    (cd "$folder" && ZAYA_ISA=$isa "$zaya" bench "$model" "$@") | awk '
      part == 0 && NF == 0 { part = 1; print ""; next }
      part == 0 { $1 = $1; print "- " $0 }
      part == 1 && NF == 0 { exit }
      part == 1 {
        n = split($0, cell, /  +/)
        line = "|"; rule = "|"
        for (i = 1; i <= n; ++i) { line = line " " cell[i] " |"; rule = rule (i == 1 ? "---|" : "--:|") }
        print line
        if (!ruled++) print rule
      }'
  } >>"$results"
}

mkdir -p "$folder"
made bf16 init --config "$root/tests/data/configs/zaya1-8b-native.json" --seed 1 --dtype bf16
for preset in q8 q4 q4-small; do made "$preset" quantize "$folder/bf16" --preset "$preset"; done

{
  printf '# Measured %s\n\n' "$(date -u +%F)"
  lscpu | sed -n -E 's/^ *(Model name|CPU\(s\)|L3 cache): */- \1: /p'
  printf -- '- commit %s\n' "$(git -C "$root" rev-parse --short HEAD)"
} >"$results"

for model in bf16 q8 q4 q4-small; do
  printf '\n## %s\n' "$model" >>"$results"
  measure "$model" '' --depth 128 --decode 64
  measure "$model" '' --prompt 512,4096,8192 --repeat 3
  measure "$model" '' --depth 128 --batch 2,3,4,16,64
  measure "$model" '' --depth 4096,32768 --fill-cache
  measure "$model" '' --depth 128 --beside-busy
  measure "$model" '' --depth 128 --threads 1
done
printf '\n## Other instruction sets\n' >>"$results"
for isa in avx512 avx2; do measure q4 "$isa" --prompt 512 --depth 128 --repeat 3; done
say "written to $results"
