#pragma once

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

namespace zaya {

/// The program of this build on a terminal of its own, with a person in front who types and reads.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), ZAYA_BUILD_DIR "/bin/zaya");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const struct winsize size { 40, 120, 0, 0 };
    child_ = ::forkpty(&fd_, nullptr, nullptr, &size);
    if (child_ == 0) {
      ::setenv("TERM", "xterm", 1);
      ::unsetenv("NO_COLOR");
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;
  ~PseudoTerminal() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(fd_);
  }

  void type(const std::string& text) const {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
      if (n <= 0) return;
      done += static_cast<std::size_t>(n);
    }
  }

  /// What was shown since the last call, up to and with `text`; all there was if it never comes.
  std::string read_until(const std::string& text) {
    for (;;) {
      if (const auto at = unread_.find(text); at != std::string::npos) {
        std::string seen = unread_.substr(0, at + text.size());
        unread_.erase(0, seen.size());
        return seen;
      }
      if (!read_more()) return std::exchange(unread_, {});
    }
  }

  /// Reads to the end; the exit code, 128 + n when signal n ended the program.
  int wait() {
    while (read_more()) {
    }
    int status = 0;
    ::waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& unread() const { return unread_; }

 private:
  // False at the end, or when nothing came for so long that nothing will: the program is ended
  // then, so that a test that lost its way fails soon.
  bool read_more() {
    pollfd wanted{fd_, POLLIN, 0};
    if (::poll(&wanted, 1, 60'000) <= 0) {
      if (child_ > 0) ::kill(child_, SIGKILL);
      return false;
    }
    char buffer[4096];
    const ssize_t n = ::read(fd_, buffer, sizeof buffer);
    if (n <= 0) return false;  // EIO when the program has gone
    unread_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  int fd_ = -1;
  pid_t child_ = -1;
  std::string unread_;
};

}  // namespace zaya
