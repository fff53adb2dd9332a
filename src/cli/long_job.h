#pragma once

#include <functional>
#include <string>

#include "base/progress.h"

namespace zaya::cli {

/// What a job's progress counts.
enum class Unit { bytes, tokens, steps };

/// Runs work that takes a while: shows what is done on stderr when that is a terminal, and lets
/// Ctrl-C stop the work so that it can clean up. Throws Error when it was stopped.
void run_long_job(const std::string& label, Unit unit,
                  const std::function<void(const Progress&)>& work);

/// "17.7 GB": three digits and a decimal unit.
std::string bytes_text(double bytes);

}  // namespace zaya::cli
