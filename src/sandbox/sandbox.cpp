#include "sandbox/sandbox.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "sandbox/descriptor.h"
#include "sandbox/filter.h"
#include "sandbox/watch.h"
#include "zaya/error.h"

namespace zaya::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostErrors = 16 << 10;
constexpr std::chrono::milliseconds kLook{10};
constexpr double kGrace = 5;              // seconds
constexpr std::size_t kOwnProcesses = 4;  // Bubblewrap's, inside
// Numbers of the descriptors that Bubblewrap is given.
constexpr int kFilter = 3;
constexpr int kStatus = 4;
constexpr int kFiles = 5;

[[noreturn]] void cannot_isolate(std::string found) {
  while (!found.empty() && found.back() == '\n') found.pop_back();
  throw Error({.where = "sandbox",
               .what = "programs cannot be isolated on this machine",
               .expected = "bubblewrap, and that users may make namespaces",
               .found = std::move(found)});
}

std::string system_text(int error) {
  return std::strerror(error);  // NOLINT(concurrency-mt-unsafe)
}

std::vector<std::string> enter_command() {
  std::vector<std::string> c;
  const auto add = [&](std::initializer_list<const char*> words) {
    c.insert(c.end(), words.begin(), words.end());
  };
  // The kernel does not count root's processes against a limit, and files may be root's by mistake.
  if (::geteuid() == 0) {
    add({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"});
  }
  add({"bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc",
       "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop",
       "ALL", "--clearenv"});
  add({"--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/scratch", "--setenv", "TMPDIR",
       "/scratch", "--setenv", "LANG", "C.UTF-8"});
  add({"--ro-bind", "/usr", "/usr"});
  // Links into /usr, or folders of their own on older systems.
  for (const char* folder : {"/bin", "/sbin", "/lib", "/lib64"}) {
    std::error_code none;
    if (const auto target = std::filesystem::read_symlink(folder, none); !none) {
      add({"--symlink", target.c_str(), folder});
    } else {
      add({"--ro-bind-try", folder, folder});
    }
  }
  // Where the loader finds libraries; neither says anything of the machine's owner.
  add({"--ro-bind-try", "/etc/alternatives", "/etc/alternatives"});
  add({"--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"});
  add({"--dev-bind", "/dev/null", "/dev/null"});
  return c;
}

// All of the command line but the program's own files, which are given by their descriptors.
std::vector<std::string> command_line(const std::vector<std::string>& enter, const Program& program,
                                      const Limits& limits) {
  std::vector<std::string> c = enter;
  const auto add = [&](const std::vector<std::string>& words) {
    c.insert(c.end(), words.begin(), words.end());
  };
  add({"--seccomp", std::to_string(kFilter), "--json-status-fd", std::to_string(kStatus)});
  add({"--size", std::to_string(limits.scratch), "--tmpfs", "/scratch", "--dir", "/program"});
  int fd = kFiles;
  for (const auto& [name, content] : program.files) {
    add({"--file", std::to_string(fd++), "/program/" + name});
  }
  add({"--remount-ro", "/", "--chdir", "/scratch", "--"});
  // Should this process die before Bubblewrap has asked to be told of that.
  add({"timeout", "--signal=KILL", fmt::format("{}", limits.wall_seconds + kGrace)});
  // Inside: there the kernel counts the sandbox's processes alone.
  add({"prlimit", "--core=0", "--msgqueue=0",
       fmt::format("--cpu={}:{}", limits.cpu_seconds, limits.cpu_seconds + 1),
       fmt::format("--as={}", limits.memory), fmt::format("--nproc={}", limits.processes),
       fmt::format("--nofile={}", limits.open_files), fmt::format("--fsize={}", limits.scratch),
       "--"});
  add(program.command);
  return c;
}

// A process of Bubblewrap and what it tells.
class Run {
 public:
  Run(const std::vector<std::string>& command, const std::string& filter, const Program& program)
      : out_(make_pipe()), errors_(make_pipe()), status_(make_pipe()) {
    std::vector<Descriptor> files;
    files.push_back(sealed_file(filter));
    for (const auto& [name, content] : program.files) files.push_back(sealed_file(content));
    const Descriptor input = sealed_file(program.input);

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    const auto give = [&](const Descriptor& from, int to) {
      ::posix_spawn_file_actions_adddup2(&actions, from.get(), to);
    };
    give(input, 0);
    give(out_.write, 1);
    give(errors_.write, 2);
    give(files[0], kFilter);
    give(status_.write, kStatus);
    for (std::size_t i = 1; i < files.size(); ++i) give(files[i], kFiles - 1 + static_cast<int>(i));
    // Nothing else that this process has open, whoever opened it and however.
    ::posix_spawn_file_actions_addclosefrom_np(&actions,
                                               kFiles - 1 + static_cast<int>(files.size()));
    sigset_t signals;
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes, &signals);
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes, &signals);
    // A session of its own: Ctrl-C is for us to handle.
    ::posix_spawnattr_setflags(&attributes,
                               POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    const int error =
        ::posix_spawnp(&process_, words[0], &actions, &attributes, words.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (error != 0) cannot_isolate(command[0] + ": " + system_text(error));
    for (Pipe* pipe : {&out_, &errors_, &status_}) pipe->write.close();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() { end(); }

  // Until it ends or has passed a limit.
  Outcome wait(const Limits& limits) {
    const auto begin = Clock::now();
    Outcome outcome;
    std::optional<End> passed;
    for (bool ended = false; !ended && !passed;) {
      std::array<pollfd, 3> fds = {pollfd{out_.read.get(), POLLIN, 0},
                                   pollfd{errors_.read.get(), POLLIN, 0},
                                   pollfd{status_.read.get(), POLLIN, 0}};
      ::poll(fds.data(), fds.size(), kLook.count());
      // Before the pipes: what was written before its end is in them then.
      ended = ::waitpid(process_, nullptr, WNOHANG) == process_;
      if (ended) process_ = -1;
      if (!read(outcome, limits.output)) passed = End::output;
      if (passed || ended) break;
      outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      passed = look(limits, outcome.seconds);
    }
    end();
    if (!passed && !read(outcome, limits.output)) passed = End::output;
    outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (passed) {
      outcome.end = *passed;
    } else if (!code_) {
      cannot_isolate(outcome.errors.empty() ? "no word from bwrap" : outcome.errors);
    } else if (*code_ == 128 + SIGXCPU) {
      outcome.end = End::cpu_time;
    } else if (*code_ > 128 && *code_ < 128 + SIGRTMAX) {
      outcome.end = End::signalled;
      outcome.exit_code = *code_ - 128;
    } else {
      outcome.exit_code = *code_;
    }
    return outcome;
  }

 private:
  // Takes what is in the pipes; false once it is more than it may be.
  bool read(Outcome& outcome, std::uint64_t most) {
    std::array<char, 64 << 10> buffer;
    const auto drain = [&](Pipe& pipe, auto take) {
      for (;;) {
        const ssize_t n = ::read(pipe.read.get(), buffer.data(), buffer.size());
        if (n <= 0) return true;
        if (!take(std::string_view(buffer.data(), static_cast<std::size_t>(n)))) return false;
      }
    };
    drain(status_, [&](std::string_view text) {
      take_status(text);
      return true;
    });
    const auto count = [&](std::string_view text) {
      written_ += text.size();
      return written_ <= most;
    };
    return drain(out_,
                 [&](std::string_view text) {
                   const bool fits = count(text);
                   outcome.output += fits ? text : text.substr(0, text.size() - (written_ - most));
                   return fits;
                 }) &&
           drain(errors_, [&](std::string_view text) {
             outcome.errors += text.substr(0, kMostErrors - outcome.errors.size());
             return count(text);
           });
  }

  // {"child-pid": 12, ...} when the sandbox stands, {"exit-code": 0} when its first process ended.
  void take_status(std::string_view text) {
    told_ += text;
    for (std::size_t end = 0; (end = told_.find('\n')) != std::string::npos;) {
      const Json line = parse_json(told_.substr(0, end), "bwrap");
      told_.erase(0, end + 1);
      if (line.contains("child-pid")) {
        first_ = line["child-pid"].get<pid_t>();
        first_handle_ = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, first_, 0)));
      }
      if (line.contains("exit-code")) code_ = line["exit-code"].get<int>();
    }
  }

  // A limit that the kernel does not hold for us.
  std::optional<End> look(const Limits& limits, double seconds) const {
    if (seconds > limits.wall_seconds) return End::wall_time;
    if (first_ <= 0) return std::nullopt;
    const TreeUse use = use_of_tree(first_);
    if (use.memory > limits.memory) return End::memory;
    // The kernel refuses what is more; this is for kernels that would not.
    if (use.processes > limits.processes + kOwnProcesses) return End::processes;
    if (files_in_scratch(first_, limits.scratch).value_or(0) > limits.scratch_files) {
      return End::files;
    }
    return std::nullopt;
  }

  // Ends it if it has not; nothing of it is left then.
  void end() {
    // The first process of the namespace: the kernel ends all others with it, and it counts as
    // ended when all have.
    if (first_handle_.get() >= 0) {
      ::syscall(SYS_pidfd_send_signal, first_handle_.get(), SIGKILL, nullptr, 0);
    }
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(std::exchange(process_, -1), nullptr, 0);
    }
    if (first_handle_.get() >= 0) {
      pollfd over = {first_handle_.get(), POLLIN, 0};
      while (::poll(&over, 1, -1) < 0 && errno == EINTR) {
      }
      first_handle_.close();
    }
  }

  Pipe out_, errors_, status_;
  pid_t process_ = -1;  // Bubblewrap outside
  pid_t first_ = -1;    // and the first process inside
  Descriptor first_handle_;
  std::optional<int> code_;
  std::string told_;
  std::uint64_t written_ = 0;
};

}  // namespace

const char* end_name(End end) {
  switch (end) {
    case End::exited:
      return "exited";
    case End::signalled:
      return "signalled";
    case End::cpu_time:
      return "cpu_time";
    case End::wall_time:
      return "wall_time";
    case End::memory:
      return "memory";
    case End::output:
      return "output";
    case End::files:
      return "files";
    case End::processes:
      return "processes";
  }
  return "";
}

Sandbox::Sandbox() : enter_(enter_command()), filter_(system_call_filter()) {
  const Outcome outcome = run({.command = {"true"}});
  if (!outcome.succeeded()) cannot_isolate(outcome.errors);
}

Outcome Sandbox::run(const Program& program, const Limits& limits) const {
  Run one(command_line(enter_, program, limits), filter_, program);
  return one.wait(limits);
}

}  // namespace zaya::sandbox
