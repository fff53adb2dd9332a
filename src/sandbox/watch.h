#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <sys/types.h>

namespace zaya::sandbox {

/// What a process and all below it have.
struct TreeUse {
  std::uint64_t memory = 0;   ///< bytes they hold; what several share counts for each
  std::size_t processes = 0;  ///< threads included
};
/// Processes that end meanwhile may be missing.
TreeUse use_of_tree(pid_t root);

/// How many files and folders a process has in its /scratch of so many bytes; none while that is
/// not mounted.
std::optional<std::size_t> files_in_scratch(pid_t process, std::uint64_t bytes);

}  // namespace zaya::sandbox
