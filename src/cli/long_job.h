#pragma once

#include <functional>
#include <string>

#include <signal.h>

#include "base/progress.h"

namespace zaya::cli {

/// What a job's progress counts.
enum class Unit { bytes, tokens, steps };

/// Runs work that takes a while: shows what is done on stderr when that is a terminal, and lets
/// Ctrl-C stop the work so that it can clean up. Throws Error when it was stopped.
void run_long_job(const std::string& label, Unit unit,
                  const std::function<void(const Progress&)>& work);

/// Turns Ctrl-C and SIGTERM into a request while it lives: for work that has something to save.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  bool requested() const;

 private:
  struct sigaction old_interrupt_ {};
  struct sigaction old_terminate_ {};
};

/// "17.7 GB": three digits and a decimal unit.
std::string bytes_text(double bytes);

}  // namespace zaya::cli
