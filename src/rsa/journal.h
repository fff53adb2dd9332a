#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "base/json.h"
#include "rsa/generator.h"
#include "rsa/solver.h"

namespace zaya::rsa {

/// What a run has finished, in a file that is only ever appended to: a line of JSON that says what
/// the run is, then one for each candidate. A line counts once it is whole; a process that is
/// killed loses the candidates it was at.
class Journal {
 public:
  using Known = std::map<std::size_t, std::map<std::pair<std::size_t, std::size_t>, Output>>;

  /// Begins one. Throws Error when the file exists or cannot be made.
  static Journal create(const std::filesystem::path& file, const Json& head);
  /// Opens one to go on with it; what follows the last whole line is cut off. Throws Error for a
  /// file that is no journal or damaged, naming the line.
  static Journal resume(const std::filesystem::path& file);
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;
  ~Journal();

  /// What the run is, as it was given to create().
  const Json& head() const { return head_; }
  /// Outputs by problem, and by stage and slot.
  const Known& known() const { return known_; }

  /// Keeps a candidate that finished by itself: not what failed or was cancelled, which is to be
  /// done again. On disk when it returns.
  void add(const Event& event);

 private:
  Journal(std::filesystem::path file, int fd) : file_(std::move(file)), fd_(fd) {}
  void append(const Json& line) const;

  std::filesystem::path file_;
  int fd_;
  Json head_;
  Known known_;
};

}  // namespace zaya::rsa
