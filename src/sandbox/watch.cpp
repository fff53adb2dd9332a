#include "sandbox/watch.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace zaya::sandbox {

TreeUse use_of_tree(pid_t root) {
  // Far more than a sandbox may have: a bound, should the tree change while it is read.
  constexpr std::size_t kMost = 4096;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  TreeUse use;
  std::vector<pid_t> open = {root};
  for (std::size_t seen = 0; !open.empty() && seen < kMost; ++seen) {
    const std::string folder = fmt::format("/proc/{}", open.back());
    open.pop_back();
    // statm rather than smaps: it is read in microseconds, and no process can hide it.
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    if (std::ifstream(folder + "/statm") >> size >> resident) use.memory += resident * page;
    std::error_code gone;
    for (const auto& task : std::filesystem::directory_iterator(folder + "/task", gone)) {
      ++use.processes;
      std::ifstream children(task.path() / "children");
      for (pid_t child = 0; children >> child;) open.push_back(child);
    }
  }
  return use;
}

std::optional<std::size_t> files_in_scratch(pid_t process, std::uint64_t bytes) {
  struct statvfs info {};
  if (::statvfs(fmt::format("/proc/{}/root/scratch", process).c_str(), &info) != 0) {
    return std::nullopt;
  }
  // At first it still sees the machine's files, which may have a folder of this name.
  if (info.f_blocks != (bytes + info.f_frsize - 1) / info.f_frsize) return std::nullopt;
  return info.f_files - info.f_ffree;
}

}  // namespace zaya::sandbox
