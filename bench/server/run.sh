#!/usr/bin/env bash
# What HTTP costs on top of the engine: bench/server/run.sh MODEL [STREAMS] [TOKENS] [ROUNDS]
# Builds server_bench and runs it on a model folder with a tokenizer; what is measured stands in
# server_bench.cpp. Takes about five minutes with a q4 copy of ZAYA1-8B on two cores.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/common.sh"

build_bench server_bench
"$bench/server_bench" "$@"
