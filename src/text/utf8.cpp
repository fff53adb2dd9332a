#include "text/utf8.h"

#include <algorithm>
#include <utility>

#include "text/utf8_word_ranges.h"

namespace zaya {
namespace {

struct Sequence {
  std::size_t length;  // of the sequence, or of the maximal part of an ill-formed one
  bool valid;
};

// What starts at `text`, which is not empty. The second byte's range depends on the first
// (Unicode table 3-7); all further ones are 80..BF.
Sequence sequence_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size() || byte(i) < low || byte(i) > high) return {i, false};
    low = 0x80;
    high = 0xbf;
  }
  return {length, true};
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Sequence sequence = sequence_at(text.substr(i));
    if (!sequence.valid) return i;
    i += sequence.length;
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Sequence sequence = sequence_at(text);
    if (sequence.valid) {
      result.append(text.substr(0, sequence.length));
    } else {
      append_utf8(result, kReplacementCharacter);
    }
    text.remove_prefix(sequence.length);
  }
  return result;
}

std::string Utf8Stream::push(std::string_view text) {
  held_ += text;
  // The last character begins at most three bytes before the end; it is held back if all that is
  // there of it fits.
  std::size_t end = held_.size();
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, held_.size()); ++back) {
    const std::string_view tail = std::string_view(held_).substr(held_.size() - back);
    const auto lead = static_cast<unsigned char>(tail.front());
    if ((lead & 0xc0U) == 0x80U) continue;
    const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const Sequence sequence = sequence_at(tail);
    if (lead >= 0xc2 && lead <= 0xf4 && back < length && sequence.length == back) end -= back;
    break;
  }
  std::string out = replace_invalid_utf8(std::string_view(held_).substr(0, end));
  held_.erase(0, end);
  return out;
}

std::string Utf8Stream::finish() {
  return replace_invalid_utf8(std::exchange(held_, {}));
}

char32_t last_code_point(std::string_view text) {
  std::size_t position = text.size() - 1;
  while ((static_cast<unsigned char>(text[position]) & 0xc0U) == 0x80U) --position;
  return next_code_point(text, position);
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto add = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  const auto tail = [&](int shift) { add(0x80 | ((code_point >> shift) & 0x3f)); };
  if (code_point < 0x80) {
    add(code_point);
  } else if (code_point < 0x800) {
    add(0xc0 | (code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    add(0xe0 | (code_point >> 12));
    tail(6);
    tail(0);
  } else {
    add(0xf0 | (code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_white_space(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_word_character(char32_t c) {
  const auto after = std::upper_bound(
      kWordRanges.begin(), kWordRanges.end(), c,
      [](char32_t code, const CodePointRange& range) { return code < range.first; });
  return after != kWordRanges.begin() && c <= (after - 1)->last;
}

}  // namespace zaya
