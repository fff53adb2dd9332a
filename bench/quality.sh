#!/usr/bin/env bash
# How far are the fast mode and the quantised presets from f32? bench/quality.sh [FOLDER]
# A random model of half a billion parameters (FOLDER, default build/half-billion) and the recorded
# small ones, each against its own f32 run: KL divergence in nats over random tokens, as a Markdown
# table. Random routers decide between near-equal classes, so rounding now and then sends a token to
# another expert, which is another function: those few positions make the mean, all others the
# median.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
zaya=$root/build/bin/zaya
folder=${1:-$root/build/half-billion}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[[ -d $folder ]] ||
  "$zaya" init --config "$root/tests/data/configs/zaya1-half-billion.json" --seed 1 --dtype bf16 -o "$folder"

# Ids 3 to 2 + vocabulary of the smallest model, from a small generator of its own.
tokens=$(awk 'BEGIN { s = 12345; for (i = 0; i < 512; ++i) { s = (s * 1103515245 + 12345) % 2147483648
  printf "%s%d", i ? "," : "", 3 + int(s / 65536) % 300 } }')

row() { # model, what, other model
  "$zaya" compare "$1" "$3" --tokens "$tokens" --compute f32 --compute-b fast --json 2>/dev/null |
    sed -E 's/.*"mean_kl":([^,}]*).*/\1 &/; s/^([^ ]*) .*"median_kl":([^,}]*).*"p99_kl":([^,}]*).*"top1_agreement":([^,}]*).*/\1 \2 \3 \4/' |
    awk -v model="$(basename "$1")" -v what="$2" '{ printf "| %s | %s | %.2g | %.2g | %.2g | %.1f %% |\n", model, what, $2, $1, $3, 100 * $4 }'
}

printf '| model | fast mode of | median KL | mean KL | 99 %% | same top-1 |\n|---|---|---|---|---|---|\n'
for model in "$root"/tests/data/goldens/{native,native-sliding,native-bf16} "$folder"; do
  row "$model" "the model itself" "$model"
  for preset in q8 q4 q4-small; do
    rm -rf "$work/$preset"
    "$zaya" quantize "$model" -o "$work/$preset" --preset "$preset" 2>/dev/null >&2
    row "$model" "$preset" "$work/$preset"
  done
done
