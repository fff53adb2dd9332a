#pragma once

#include <ctime>

#include "text/jinja/template.h"

namespace zaya {

/// Friday, 4 July 2025, 9:05:06: the moment that record_templates.py uses.
inline jinja::RenderOptions fixed_clock() {
  std::tm now{};
  now.tm_year = 125;
  now.tm_mon = 6;
  now.tm_mday = 4;
  now.tm_hour = 9;
  now.tm_min = 5;
  now.tm_sec = 6;
  now.tm_wday = 5;
  now.tm_yday = 184;
  return {.clock = [now] { return now; }};
}

}  // namespace zaya
