#pragma once

#include <string_view>

#include "train/run_config.h"
#include "zaya/error.h"

namespace zaya {

/// Any text is an Error, or a run that can be: positive sizes, a batch that holds its context.
inline void check_run_config(std::string_view text) {
  try {
    const train::RunConfig c = train::parse_run_config(parse_json(text, "fuzz"), "fuzz", "/");
    if (c.steps == 0 || c.context < 2 || c.batch_rows < c.context || c.accumulate == 0 ||
        c.data.empty() || c.checkpoints.keep == 0) {
      __builtin_trap();
    }
    if (c.lora && (c.lora->rank == 0 || !(c.lora->alpha > 0) || c.lora->targets.empty() ||
                   c.expert_parallel || c.balancing.kind != train::BalancerKind::none)) {
      __builtin_trap();
    }
    for (const train::SourceOptions& source : c.data) {
      if (!(source.weight > 0)) __builtin_trap();
    }
    for (const std::uint64_t step : {std::uint64_t{0}, c.steps / 2, c.steps - 1}) {
      if (!(c.schedule.rate(step) >= 0)) __builtin_trap();
    }
  } catch (const Error&) {
  }
}

}  // namespace zaya
