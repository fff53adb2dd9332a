#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/utf8.h"

namespace zaya::jinja {

// Characters as Python sees them: str.upper(), str.isalpha(), repr() and the like. All text is
// well-formed UTF-8.

/// Bits of character_class(); each is the Python method of that name on a one-character string.
enum CharClass : std::uint32_t {
  kAlpha = 1U << 0,
  kDecimal = 1U << 1,
  kDigit = 1U << 2,
  kNumeric = 1U << 3,
  kSpace = 1U << 4,
  kPrintable = 1U << 5,
  kIdentifierStart = 1U << 6,
  kIdentifierPart = 1U << 7,
};
inline constexpr std::uint32_t kAlnum = kAlpha | kDecimal | kDigit | kNumeric;

std::uint32_t character_class(char32_t c);
inline bool is_space(char32_t c) {
  return (character_class(c) & kSpace) != 0;
}
/// What \w matches.
inline bool is_word(char32_t c) {
  return c == U'_' || (character_class(c) & kAlnum) != 0;
}
bool is_upper(char32_t c);
bool is_lower(char32_t c);

std::size_t count_code_points(std::string_view text);
/// Byte position of the n-th code point (the size when there are fewer).
std::size_t byte_offset(std::string_view text, std::size_t n);

enum class Case : std::uint8_t { upper, lower, title };
std::string convert_case(std::string_view text, Case to);
/// The same for the character at `pos` alone, which moves past it; its neighbours tell whether a
/// sigma ends a word.
void append_case(std::string& out, std::string_view text, std::size_t& pos, Case to);

// The generated tables (unicode_tables.py).
struct ClassRange {
  char32_t first, last;
  std::uint32_t classes;
};
struct CaseRange {
  char32_t first, last, stride;
  std::int32_t delta;
};
struct CaseSpecial {
  char32_t c;
  const char* text;
};
extern const ClassRange kClasses[];
extern const std::size_t kClassesCount;
extern const CaseRange kUpper[], kLower[], kToUpper[], kToLower[];
extern const std::size_t kUpperCount, kLowerCount, kToUpperCount, kToLowerCount;
extern const CaseSpecial kToUpperSpecial[], kToLowerSpecial[], kToTitleSpecial[];
extern const std::size_t kToUpperSpecialCount, kToLowerSpecialCount, kToTitleSpecialCount;

}  // namespace zaya::jinja
