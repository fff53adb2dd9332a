#!/usr/bin/env bash
# The plots of docs/markovian-rsa.md. usage: bench/rsa/run.sh [OUT_DIR]
#   rsa-noisy: accuracy over tokens of a scripted generator that errs at a known rate (noisy.h says how)
#   rsa-memory-context, rsa-memory-pages: 20 rounds on the small random model, beside the bounds
# The tables behind them are beside them (.md).
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

out=${1:-$root/docs/images}
build_bench zaya rsa_bench
mkdir -p "$out"
model=$(mktemp -d)
trap 'rm -rf "$model"' EXIT
"$bench/zaya" init --config "$root/models/random-tiny/config.json" \
  --text-from "$root/models/random-tiny" --seed 1 --dtype f32 -o "$model/tiny" >&2
"$bench/rsa_bench" noisy "$out/rsa-noisy" | tee "$out/rsa-noisy.md"
"$bench/rsa_bench" memory "$model/tiny" "$out/rsa-memory" | tee "$out/rsa-memory.md"
