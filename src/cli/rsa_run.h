#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "rsa/solver.h"

namespace zaya::cli {

/// The options of every run of Markovian RSA that keep it, and keep it quiet.
struct RunOptions {
  std::string journal;  ///< to begin; empty: none
  std::string resume;   ///< to go on with; empty: none
  bool quiet = false;

  /// `resume_needs`: what else must be given with --resume, for its help.
  void add_to(CLI::App& command, const std::string& resume_needs);
};

/// rsa::solve on a thread of its own; this one calls `draw` five times a second and listens to
/// Ctrl-C, which stops the run.
std::vector<rsa::Result> solve_watched(rsa::Generator& generator,
                                       const std::vector<rsa::Problem>& problems,
                                       const rsa::Settings& settings, const rsa::Observer& observer,
                                       const std::function<void()>& draw);

}  // namespace zaya::cli
