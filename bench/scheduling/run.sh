#!/usr/bin/env bash
# Many requests over one model: bench/scheduling/run.sh MODEL [LONG_PROMPT] [TURN]
# Builds scheduling_bench and runs it on a model folder; what is measured stands in
# scheduling_bench.cpp. Takes about six minutes with a q4 copy of ZAYA1-8B on two cores.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${BUILD:-$root/build/bench}
cmake -S "$root" -B "$build" -G Ninja -DZAYA_BENCH=ON -DZAYA_TESTS=OFF >/dev/null
cmake --build "$build" --target scheduling_bench >&2
"$build/bin/scheduling_bench" "$@"
