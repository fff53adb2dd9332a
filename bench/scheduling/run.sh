#!/usr/bin/env bash
# Many requests over one model: bench/scheduling/run.sh MODEL [LONG_PROMPT] [TURN]
# Builds scheduling_bench and runs it on a model folder; what is measured stands in
# scheduling_bench.cpp. Takes about six minutes with a q4 copy of ZAYA1-8B on two cores.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

build_bench scheduling_bench
"$bench/scheduling_bench" "$@"
