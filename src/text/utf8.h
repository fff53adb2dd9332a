#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace zaya {

constexpr char32_t kReplacementCharacter = 0xfffd;

/// Where the first byte stands that is not part of well-formed UTF-8 (Unicode 3.9, table 3-7: no
/// overlong forms, no surrogates, nothing above U+10FFFF); npos when the text is well-formed.
std::size_t find_invalid_utf8(std::string_view text);

/// The text with U+FFFD for each maximal part of an ill-formed sequence (Unicode 3.9, "U+FFFD
/// substitution of maximal subparts"): what Python's errors="replace" and Rust's from_utf8_lossy
/// give.
std::string replace_invalid_utf8(std::string_view text);

/// The same for a text that arrives in pieces, cut anywhere.
class Utf8Stream {
 public:
  /// What is certain now, well-formed: a character that is not whole yet is held back.
  std::string push(std::string_view text);
  /// No more text comes: the rest.
  std::string finish();

 private:
  std::string held_;
};

/// Decodes the code point at `position` and moves past it. The text must be well-formed and
/// `position` at the start of a code point.
inline char32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const char32_t lead = at(0);
  char32_t code = lead;
  std::size_t length = 1;
  if (lead >= 0xf0) {
    code =
        ((lead & 0x07) << 18) | ((at(1) & 0x3fU) << 12) | ((at(2) & 0x3fU) << 6) | (at(3) & 0x3fU);
    length = 4;
  } else if (lead >= 0xe0) {
    code = ((lead & 0x0f) << 12) | ((at(1) & 0x3fU) << 6) | (at(2) & 0x3fU);
    length = 3;
  } else if (lead >= 0xc0) {
    code = ((lead & 0x1f) << 6) | (at(1) & 0x3fU);
    length = 2;
  }
  position += length;
  return code;
}

/// The last code point of a well-formed text that is not empty.
char32_t last_code_point(std::string_view text);

/// Appends the encoding of a Unicode scalar value.
void append_utf8(std::string& text, char32_t code_point);

/// Unicode property White_Space.
bool is_white_space(char32_t code_point);

/// A character of a word as regular expressions define \w for Unicode (UTS #18, annex C):
/// Alphabetic, Mark, Decimal_Number, Connector_Punctuation, Join_Control.
bool is_word_character(char32_t code_point);

}  // namespace zaya
