#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zaya::answers {

/// What kind of answer a problem wants.
enum class Kind {
  mathematics,  ///< a number, expression, set, interval, ...
  choice,       ///< the letter of an option
  code,         ///< a program
  text,         ///< words, compared as such
};
/// "mathematics", "choice", "code", "text". The second throws Error for another name.
const char* kind_name(Kind kind);
Kind parse_kind(std::string_view name);

/// The answer that a text ends with, as it is written there: the last \boxed{...}; else the last
/// <answer>...</answer>; else what follows "the answer is", "Answer:" or "####" on the last line
/// that has it. Of code the last fenced block. None when there is no such place. Linear in the
/// text.
std::optional<std::string> extract(std::string_view text, Kind kind);

/// Whether two answers mean the same. Of mathematics:
///
/// - Numbers and expressions by value: exactly, not within a tolerance (0.33 is not 1/3). Values
/// are
///   computed as balls that certainly hold them, at rising precision; two that cannot be told apart
///   at 4096 bits are the same. Variables are set to random numbers; expressions are the same when
///   they agree wherever both are real.
/// - LaTeX and plain writing are the same; $, \left, \text, spaces, thousands separators and the
///   like say nothing. "x = 5" is 5 where the other has no name.
/// - Sets and lists in any order, tuples and matrices in theirs, intervals by their brackets, too.
///   x > 3 is the interval (3, oo); a \pm b is both values. Equations are the same when one is a
///   multiple of the other.
/// - 5 cm is 50 mm; it is 5, too, where the other has no unit. 50 % is 1/2 and 50, 90 degrees is
///   pi/2 and 90.
/// - What is none of these is compared as text, without case and punctuation at its end.
///
/// Neither text is trusted: time and memory are bounded.
bool equivalent(std::string_view a, std::string_view b, Kind kind);

}  // namespace zaya::answers
