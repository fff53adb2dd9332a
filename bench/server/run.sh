#!/usr/bin/env bash
# What HTTP costs on top of the engine: bench/server/run.sh MODEL [STREAMS] [TOKENS] [ROUNDS]
# Builds server_bench and runs it on a model folder with a tokenizer; what is measured stands in
# server_bench.cpp. Takes about five minutes with a q4 copy of ZAYA1-8B on two cores.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${BUILD:-$root/build/bench}
cmake -S "$root" -B "$build" -G Ninja -DZAYA_BENCH=ON -DZAYA_TESTS=OFF >/dev/null
cmake --build "$build" --target server_bench >&2
"$build/bin/server_bench" "$@"
