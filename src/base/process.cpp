#include "base/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

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
