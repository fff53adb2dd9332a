#pragma once

#include <span>
#include <utility>
#include <vector>

#include "text/grammar/program.h"

namespace zaya::grammar {

/// A set of characters (Unicode scalar values).
class CharSet {
 public:
  using Range = std::pair<char32_t, char32_t>;  ///< both ends are in it

  CharSet() = default;
  CharSet(char32_t first, char32_t last) { add(first, last); }
  static CharSet all();

  void add(char32_t first, char32_t last);
  void add(const CharSet& other);
  void remove(char32_t first, char32_t last);
  /// All characters that are not in it.
  CharSet complement() const;

  bool contains(char32_t c) const;
  bool empty() const { return ranges_.empty(); }
  /// In order, apart from each other.
  std::span<const Range> ranges() const { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

/// How a character stands in the text.
enum class Encoding {
  raw,   ///< as it is
  json,  ///< as in a JSON string: quotes, backslashes and control codes escaped
};

/// Writes one character of the set, in the one way in which it is usually written.
void write_character(Builder& builder, const CharSet& set, Encoding encoding);
/// Writes any character of a JSON string, in all the ways in which it can be written.
void write_any_json_character(Builder& builder);

}  // namespace zaya::grammar
