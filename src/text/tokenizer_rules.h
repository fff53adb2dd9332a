#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zaya {

/// Normaliser or decoder step: every `pattern`, from left to right, becomes `content`.
struct Replacement {
  std::string pattern;  ///< not empty
  std::string content;

  /// Appends the result to `out`; throws Error when that gets longer than `max_bytes`.
  void apply(std::string_view text, std::size_t max_bytes, std::string& out) const;
};

/// All of them, one after the other. Throws Error when they make the text many times longer:
/// a few steps could make it longer than any memory.
std::string apply_all(const std::vector<Replacement>& replacements, std::string_view text);

/// Pre-tokeniser step: cuts a text at every `pattern`.
struct Split {
  /// What becomes of the pattern itself, in Hugging Face's words.
  enum class Behavior : std::uint8_t {
    removed,
    isolated,              ///< a part of its own
    merged_with_previous,  ///< the end of the part before it
    merged_with_next,      ///< the start of the part after it
    contiguous             ///< neighbours of it make one part
  };

  std::string pattern;  ///< not empty
  Behavior behavior = Behavior::isolated;
  bool invert = false;  ///< the pattern is the text and what lies between is the delimiter

  /// Appends the parts of a text that is not empty, in order.
  void apply(std::string_view text, std::vector<std::string_view>& parts) const;
};

}  // namespace zaya
