#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace zaya::sandbox {

/// What a program may use up before it is ended.
struct Limits {
  std::size_t cpu_seconds = 6;          ///< of each of its processes
  double wall_seconds = 15;             ///< of all of it
  std::uint64_t memory = 1ULL << 30;    ///< bytes: address space of each process, and all in use
  std::size_t processes = 32;           ///< at once, threads included
  std::uint64_t scratch = 64ULL << 20;  ///< bytes of its files, all together
  std::size_t scratch_files = 4096;     ///< files and folders that it may make
  std::size_t open_files = 64;          ///< of each process, at once
  std::uint64_t output = 16ULL << 20;   ///< bytes of standard output and standard error together
};

struct Program {
  std::vector<std::string> command;               ///< looked up in /usr/bin
  std::map<std::string, std::string> files = {};  ///< name to content: read-only in /program
  std::string input = {};                         ///< standard input
};

/// How a program ended.
enum class End {
  exited,     ///< by itself: exit_code
  signalled,  ///< by a signal: exit_code is its number
  cpu_time,   ///< a limit ended it, this one and all below
  wall_time,
  memory,
  output,
  files,
  processes,
};
const char* end_name(End end);

struct Outcome {
  End end = End::exited;
  int exit_code = 0;
  std::string output = {};  ///< what it wrote to standard output; cut where the limit was passed
  std::string errors = {};  ///< the first 16 KiB of standard error
  double seconds = 0;       ///< wall time

  bool succeeded() const { return end == End::exited && exit_code == 0; }
};

/// Runs programs that nobody has looked at, such as a model writes them. A program sees /usr (read
/// only), /program with its files (read only), /dev/null, and /scratch, which is empty, in memory
/// and its working folder; nothing else of the machine's files, no /proc, no network, no processes
/// but its own, no variables of the environment, no rights of root. When its first process ends,
/// all of them do, and its files are gone; the same when this process dies (if that is while a
/// sandbox is made, five seconds after the time limit at the latest). Namespaces, read-only mounts
/// and the system calls that are refused are Bubblewrap's and libseccomp's work, limits the
/// kernel's (setrlimit, tmpfs), but for two that it has not: memory of all processes together and
/// the number of files are looked at every few milliseconds, processes once more.
///
/// Works without root where the kernel lets users make namespaces; for root, programs run as
/// nobody.
class Sandbox {
 public:
  /// Runs an empty program. Throws Error when this machine cannot isolate: Bubblewrap is missing,
  /// or user namespaces are forbidden, as they are inside most containers. There is no running
  /// without isolation.
  Sandbox();

  /// May be called from several threads. Throws Error when the sandbox fails; whatever the program
  /// does is in the outcome.
  Outcome run(const Program& program, const Limits& limits = {}) const;

 private:
  std::vector<std::string> enter_;  // the command up to the limits
  std::string filter_;              // of system calls
};

}  // namespace zaya::sandbox
