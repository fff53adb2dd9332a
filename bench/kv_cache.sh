#!/usr/bin/env bash
# What narrow keys and values cost and save, as the tables of docs/kv-cache.md. bench/kv_cache.sh [MODEL]
# Divergence from a bf16 cache on text of this repository, of a small random model; a policy that
# was calibrated on one text, against uniform ones of its size on another. With MODEL (a full-size
# checkpoint), also the time that a context of 32,768 adds to a decoded token, formats in turn.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
zaya=$root/build/bin/zaya
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$work/model
"$zaya" init --config "$root/models/random-tiny/config.json" --seed 1 --dtype bf16 \
  --text-from "$root/models/random-tiny" -o "$model" 2>/dev/null
head -c 6000 "$root/ARCHITECTURE.md" >"$work/calibration.txt"
head -c 12000 "$root/docs/performance.md" >"$work/other.txt"

compare() { # options of the cache -> mean KL, median KL, same top-1
  "$zaya" compare "$model" "$model" --text "$work/other.txt" --context 512 --compute fast \
    --json "$@" 2>/dev/null |
    sed -E 's/.*"mean_kl":([^,}]*).*"median_kl":([^,}]*).*"top1_agreement":([^,}]*).*/\1 \2 \3/' |
    awk '{ printf "%.2g | %.2g | %.1f %%", $1, $2, 100 * $3 }'
}
policy() { # keys, values -> a file that says so for every layer
  local layers
  layers=$(sed -nE 's/.*"num_hidden_layers": *([0-9]+).*/\1/p' "$model/config.json")
  printf '{"layers": [' >"$work/$1-$2.json"
  for ((i = 0; i < layers; ++i)); do
    printf '%s{"keys": "%s", "values": "%s"}' "$([[ $i == 0 ]] || echo ,)" "$1" "$2"
  done >>"$work/$1-$2.json"
  printf ']}\n' >>"$work/$1-$2.json"
  echo "$work/$1-$2.json"
}
calibrated() { # bytes a token -> the file
  "$zaya" kv-policy "$model" --budget "$1" --text "$work/calibration.txt" --context 256 \
    -o "$work/calibrated.json" >/dev/null 2>&1
  echo "$work/calibrated.json"
}
printf '| keys / values | mean KL | median KL | same top-1 |\n|---|---|---|---|\n'
for format in fp8 int8 int4; do
  printf '| %s | %s |\n' "$format" "$(compare --kv-cache-dtype "$format")"
done
for pair in "int8 int4" "int4 int8"; do
  read -r keys values <<<"$pair"
  printf '| %s / %s | %s |\n' "$keys" "$values" "$(compare --kv-policy "$(policy "$keys" "$values")")"
done
# Of the bytes that int8 for one of both and int4 for the other take.
sizes=$("$zaya" kv-policy "$model" --budget 1000000 --text "$work/calibration.txt" --context 256 \
  -o "$work/widest.json" 2>/dev/null | awk '$1 ~ /^int/ { print $2 }')
budget=$(awk '{ sum += $1 } END { print sum / 2 }' <<<"$sizes")
printf '| calibrated, in as many bytes | %s |\n' "$(compare --kv-policy "$(calibrated "$budget")")"

[[ $# -gt 0 ]] || exit 0
printf '\n| KV cache | a token at 128 | at 32,768 | added | of bf16 |\n|---|---|---|---|---|\n'
declare -A at
for _ in 1 2 3; do
  for format in bfloat16 fp8 int8 int4; do
    for depth in 128 32768; do
      seconds=$("$zaya" bench "$1" --depth "$depth" --decode 16 --repeat 3 --fill-cache --json \
        --kv-cache-dtype "$format" 2>/dev/null |
        sed -E 's/.*"tokens_per_second_median":([^,}]*).*/\1/' | awk '{ print 1000 / $1 }')
      at[$format/$depth]+=" $seconds"
    done
  done
done
median() { tr ' ' '\n' <<<"$1" | grep . | sort -g | sed -n 2p; }
base=$(awk -v a="$(median "${at[bfloat16/128]}")" -v b="$(median "${at[bfloat16/32768]}")" 'BEGIN { print b - a }')
for format in bfloat16 fp8 int8 int4; do
  awk -v f="$format" -v a="$(median "${at[$format/128]}")" -v b="$(median "${at[$format/32768]}")" -v base="$base" \
    'BEGIN { printf "| %s | %.0f ms | %.0f ms | %.0f ms | %.2f |\n", f, a, b, b - a, (b - a) / base }'
done
