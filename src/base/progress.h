#pragma once

#include <cstdint>
#include <functional>

namespace zaya {

/// Called from long work with the units done and the units in all. Returning false asks the work to
/// stop; it then throws Cancelled. An empty function is never called.
using Progress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

/// Thrown by work whose Progress asked it to stop. Not an Error: nothing went wrong.
struct Cancelled {};

inline void report(const Progress& progress, std::uint64_t done, std::uint64_t total) {
  if (progress && !progress(done, total)) throw Cancelled{};
}

}  // namespace zaya
