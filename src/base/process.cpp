#include "base/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zaya/error.h"

namespace zaya {
namespace {

/// What the child does: nothing that could need a lock another thread held when it was forked.
[[noreturn]] void stay_busy(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    std::size_t core = 0;
    while (core < CPU_SETSIZE && !CPU_ISSET(core, &set)) ++core;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    ::sched_setaffinity(0, sizeof(set), &set);
  }
  ::raise(SIGSTOP);
  for (volatile std::uint64_t turns = 0;;) turns = turns + 1;
}

}  // namespace

std::uint64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::uint64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

namespace {

/// The number that a file begins with; nothing if it does not begin with one.
std::optional<std::uint64_t> number_in(const std::string& path) {
  std::uint64_t value = 0;
  std::ifstream file(path);
  if (file >> value) return value;
  return std::nullopt;
}

/// The number after a word.
std::optional<std::uint64_t> number_after(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    std::uint64_t value = 0;
    if (word == name && file >> value) return value;
  }
  return std::nullopt;
}

/// What a control group leaves: its limit less what is in use and cannot be dropped.
std::optional<std::uint64_t> cgroup_leaves(const std::string& limit_file,
                                           const std::string& usage_file,
                                           const std::string& stat_file, const std::string& cache) {
  const auto limit = number_in(limit_file);
  const auto usage = number_in(usage_file);
  if (!limit || !usage) return std::nullopt;
  const std::uint64_t kept = *usage - std::min(*usage, number_after(stat_file, cache).value_or(0));
  return *limit - std::min(*limit, kept);
}

/// The control group of this process and those around it, as version 2 has them.
std::vector<std::string> cgroup_folders() {
  const std::string root = "/sys/fs/cgroup";
  std::vector<std::string> folders = {root};
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    constexpr std::string_view kMark = "0::";
    if (!line.starts_with(kMark)) continue;
    for (std::string path = line.substr(kMark.size()); path.size() > 1;) {
      folders.push_back(root + path);
      path.resize(path.rfind('/'));
    }
  }
  return folders;
}

}  // namespace

std::uint64_t available_memory_bytes() {
  const auto kilobytes = number_after("/proc/meminfo", "MemAvailable:");
  std::uint64_t bytes = kilobytes.value_or(0) * 1024;
  const auto take = [&](const std::optional<std::uint64_t>& left) {
    if (left) bytes = std::min(bytes, *left);
  };
  for (const std::string& folder : cgroup_folders()) {
    const std::string v2 = folder + "/memory.";
    take(cgroup_leaves(v2 + "max", v2 + "current", v2 + "stat", "file"));
  }
  const std::string v1 = "/sys/fs/cgroup/memory/memory.";
  take(cgroup_leaves(v1 + "limit_in_bytes", v1 + "usage_in_bytes", v1 + "stat", "total_cache"));
  return bytes;
}

ProcessorTime processor_time() {
  // proc(5): user, nice, system, idle, iowait, irq, softirq, steal; what follows is contained in
  // the first two.
  constexpr std::size_t kFields = 8;
  std::ifstream stat("/proc/stat");
  std::string name;
  std::array<std::uint64_t, kFields> ticks{};
  stat >> name;
  for (std::uint64_t& t : ticks) stat >> t;
  ProcessorTime time;
  if (!stat) return time;
  for (const std::uint64_t t : ticks) time.total += t;
  time.stolen = ticks.back();
  return time;
}

double stolen_share(const ProcessorTime& begin, const ProcessorTime& end) {
  if (end.total <= begin.total) return 0;
  return static_cast<double>(end.stolen - begin.stolen) /
         static_cast<double>(end.total - begin.total);
}

BusyProcess::BusyProcess() {
  const pid_t parent = ::getpid();
  id_ = ::fork();
  if (id_ == 0) stay_busy(parent);
  if (id_ < 0) {
    throw Error({.where = "busy process",
                 .what = "cannot be started",
                 .found = std::strerror(errno)});  // NOLINT(concurrency-mt-unsafe)
  }
  int status = 0;
  ::waitpid(id_, &status, WUNTRACED);
}

BusyProcess::~BusyProcess() {
  ::kill(id_, SIGKILL);
  int status = 0;
  ::waitpid(id_, &status, 0);
}

void BusyProcess::run() {
  ::kill(id_, SIGCONT);
}

void BusyProcess::pause() {
  ::kill(id_, SIGSTOP);
}

}  // namespace zaya
