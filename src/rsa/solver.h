#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>
#include <vector>

#include "rsa/generator.h"
#include "rsa/population.h"
#include "rsa/result.h"
#include "rsa/settings.h"

namespace zaya::rsa {

/// What happens in a run, as it happens.
struct Event {
  enum class Kind {
    started,       ///< a candidate: task
    progress,      ///< of a candidate: tokens more, text
    finished,      ///< a candidate: task, candidate
    stage_done,    ///< stage; result has its usage
    problem_done,  ///< result is complete
  };
  Kind kind;
  std::size_t problem = 0;  ///< index in the run
  std::size_t stage = 0;
  std::size_t slot = 0;
  std::size_t tokens = 0;
  const TextPiece* text = nullptr;
  const Task* task = nullptr;
  const Candidate* candidate = nullptr;
  const Result* result = nullptr;
};
/// Called on the thread that called solve(), one event at a time.
using Observer = std::function<void(const Event& event)>;

struct SolveOptions {
  Observer observer = {};
  /// Ends the run early; what was generated until then is in the results.
  std::stop_token stop = {};
  std::size_t slots = 0;  ///< generations at once; 0: as many as the generator serves
};

/// Runs Markovian RSA on every problem; results in their order. A stage needs all of the stage
/// before, so slots that a problem cannot use meanwhile go to the problems after it. What comes out
/// depends on settings, problems and what the generator gives for each call alone, not on the
/// order in which calls end. Throws Error for settings or problems that are not valid; what goes
/// wrong with a generation is in its Output.
std::vector<Result> solve(Generator& generator, const std::vector<Problem>& problems,
                          const Settings& settings, const SolveOptions& options = {});

}  // namespace zaya::rsa
