#pragma once

#include <cstdint>
#include <string>

namespace zaya::train {

enum class ScheduleKind : std::uint8_t {
  constant,
  linear,  ///< from peak to final
  cosine,  ///< half a cosine from peak to final
  wsd,     ///< warm-up, stable, decay: peak until the last `decay` steps, then linear to final
};

/// The learning rate over the steps of a run.
struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double peak = 6e-4;
  double final = 0;          ///< at the last step
  std::uint64_t warmup = 0;  ///< steps of linear rise to the peak; the first one is not 0
  std::uint64_t decay = 0;   ///< of wsd
  std::uint64_t steps = 0;   ///< in all

  /// Of the step with this number, the first being 0.
  double rate(std::uint64_t step) const;
};

}  // namespace zaya::train
