#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace zaya::train {

double Schedule::rate(std::uint64_t step) const {
  if (step < warmup) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  }
  const std::uint64_t last = steps > 0 ? steps - 1 : 0;
  const std::uint64_t start =
      kind == ScheduleKind::wsd ? std::max(warmup, steps - std::min(steps, decay)) : warmup;
  if (kind == ScheduleKind::constant || step < start || last <= start) return peak;
  const double done =
      std::min(1.0, static_cast<double>(step - start) / static_cast<double>(last - start));
  const double share =
      kind == ScheduleKind::cosine ? 0.5 * (1 + std::cos(std::numbers::pi * done)) : 1 - done;
  return final + (peak - final) * share;
}

}  // namespace zaya::train
