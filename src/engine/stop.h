#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace zaya {

/// Finds the first of several strings in a text that arrives in pieces. "First" is where a match is
/// complete; of several that end together, the one that began earliest. So the result does not
/// depend on how the text was cut. (Knuth, Morris, Pratt 1977: one automaton a string.)
class StringFinder {
 public:
  /// Empty strings are ignored.
  explicit StringFinder(std::vector<std::string> strings);

  /// Reads on until a string is complete or the text ends. Returns the bytes read.
  std::size_t read(std::string_view text);

  /// The complete string, or null. Nothing more is read until reset().
  const std::string* found() const { return found_ == kNone ? nullptr : &patterns_[found_].text; }
  /// Bytes at the end of what was read that may be the beginning of a string.
  std::size_t pending() const;
  void reset();

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  struct Pattern {
    std::string text;
    std::vector<std::size_t> fallback;  // longest proper border of each prefix
    std::size_t matched = 0;
  };

  std::vector<Pattern> patterns_;
  std::size_t found_ = kNone;
};

}  // namespace zaya
