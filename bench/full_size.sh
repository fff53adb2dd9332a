#!/usr/bin/env bash
# Does a model of ZAYA1-8B's size load and generate within 20 GiB? bench/full_size.sh [FOLDER]
# FOLDER (default build/full-size, 17.7 GB) is made by `zaya init` when it is not there: random
# weights, bf16. A prompt of 512 tokens reaches practically every expert, so all weights are read.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
zaya=$root/build/bin/zaya
model=${1:-$root/build/full-size}
limit=$((20 << 30))

[[ -d $model ]] ||
  "$zaya" init --config "$root/tests/data/configs/zaya1-8b-native.json" --seed 1 --dtype bf16 -o "$model"

prompt=$(seq -s, 1000 397 204000)
json=$("$zaya" generate "$model" --tokens "$prompt" -n 16 --greedy --ignore-eos --json)
number() { sed -E "s/.*\"$1\":([0-9.]+).*/\1/" <<<"$json"; }
peak=$(number peak_memory_bytes)
awk -v peak="$peak" -v limit="$limit" -v prompt="$(number prompt_tokens)" \
  -v prefill="$(number prefill_tokens_per_second)" -v decode="$(number decode_tokens_per_second)" \
  'BEGIN { printf "prompt %d tokens at %.1f tokens/s, then %.2f tokens/s\n", prompt, prefill, decode
           printf "peak memory %.2f GiB of %.0f allowed\n", peak / 2^30, limit / 2^30
           exit peak > limit }'
