#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/progress.h"

namespace zaya::cli {

bool stdin_is_terminal();
bool stdout_is_terminal();
/// Whether colours and other control codes may go to stdout: it is a terminal that knows them, and
/// NO_COLOR is not set.
bool stdout_is_styled();

/// Text of a model as a terminal may have it: control characters other than newline and tab, which
/// could move the cursor or worse, become U+FFFD; carriage returns are left out. `text` is
/// well-formed UTF-8.
std::string without_control_codes(std::string_view text);

/// Writes to stdout at once.
void print(std::string_view text);

/// Turns Ctrl-C (SIGINT) into a request while it lives. One at a time.
class Interrupt {
 public:
  enum class Again {
    ends_program,  ///< a second one acts as without this class: a way out of a long step
    ignored,
  };

  explicit Interrupt(Again again);
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  static bool requested();
  static void clear();

 private:
  struct sigaction old_ {};
};

/// A line on stderr, when that is a terminal, that tells how far a prompt is; gone when it is done
/// or when the object dies. Prompts that are computed in one go show nothing.
class PromptProgress {
 public:
  PromptProgress() = default;
  PromptProgress(const PromptProgress&) = delete;
  PromptProgress& operator=(const PromptProgress&) = delete;
  ~PromptProgress() { clear(); }

  /// Also asks for a stop when Interrupt::requested().
  Progress callback();

 private:
  void show(std::uint64_t done, std::uint64_t total);
  void clear();

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool visible_ = false;
};

}  // namespace zaya::cli
