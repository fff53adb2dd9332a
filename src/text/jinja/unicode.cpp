#include "text/jinja/unicode.h"

#include <algorithm>
#include <span>

namespace zaya::jinja {
namespace {

template <typename Range>
const Range* find_range(std::span<const Range> ranges, char32_t c) {
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), c,
                                   [](char32_t v, const Range& r) { return v < r.first; });
  if (it == ranges.begin()) return nullptr;
  const Range& range = *(it - 1);
  return c <= range.last ? &range : nullptr;
}

// Runs of stride 2 interleave (capital, small, capital, ...), so the run that holds c may start
// before the nearest one.
const CaseRange* find_case(std::span<const CaseRange> ranges, char32_t c) {
  auto it = std::upper_bound(ranges.begin(), ranges.end(), c,
                             [](char32_t v, const CaseRange& r) { return v < r.first; });
  for (int back = 0; back < 2 && it != ranges.begin(); ++back) {
    --it;
    if (c <= it->last && (c - it->first) % it->stride == 0) return &*it;
  }
  return nullptr;
}

const char* find_special(std::span<const CaseSpecial> specials, char32_t c) {
  const auto it = std::lower_bound(specials.begin(), specials.end(), c,
                                   [](const CaseSpecial& s, char32_t v) { return s.c < v; });
  return it != specials.end() && it->c == c ? it->text : nullptr;
}

void append_converted(std::string& out, char32_t c, Case to) {
  if (c < 0x80) {
    const char ch = static_cast<char>(c);
    const bool lower = ch >= 'a' && ch <= 'z';
    const bool upper = ch >= 'A' && ch <= 'Z';
    const bool flip = to == Case::lower ? upper : lower;
    out += flip ? static_cast<char>(ch ^ 0x20) : ch;
    return;
  }
  if (to == Case::title) {
    if (const char* text = find_special({kToTitleSpecial, kToTitleSpecialCount}, c)) {
      out += text;
      return;
    }
  }
  const bool lower = to == Case::lower;
  const char* text = lower ? find_special({kToLowerSpecial, kToLowerSpecialCount}, c)
                           : find_special({kToUpperSpecial, kToUpperSpecialCount}, c);
  if (text != nullptr) {
    out += text;
    return;
  }
  const CaseRange* range =
      lower ? find_case({kToLower, kToLowerCount}, c) : find_case({kToUpper, kToUpperCount}, c);
  append_utf8(out, range == nullptr
                       ? c
                       : static_cast<char32_t>(static_cast<std::int64_t>(c) + range->delta));
}

bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c);
}

}  // namespace

std::uint32_t character_class(char32_t c) {
  const ClassRange* range = find_range<ClassRange>({kClasses, kClassesCount}, c);
  return range == nullptr ? 0 : range->classes;
}

bool is_upper(char32_t c) {
  return find_case({kUpper, kUpperCount}, c) != nullptr;
}
bool is_lower(char32_t c) {
  return find_case({kLower, kLowerCount}, c) != nullptr;
}

std::size_t count_code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char ch) {
    return (static_cast<unsigned char>(ch) & 0xc0U) != 0x80;
  }));
}

std::size_t byte_offset(std::string_view text, std::size_t n) {
  std::size_t pos = 0;
  for (; pos < text.size(); ++pos) {
    if ((static_cast<unsigned char>(text[pos]) & 0xc0U) != 0x80 && n-- == 0) break;
  }
  return pos;
}

void append_case(std::string& out, std::string_view text, std::size_t& pos, Case to) {
  constexpr char32_t kSigma = 0x3a3;
  constexpr char32_t kFinalSigma = 0x3c2;
  const std::size_t start = pos;
  const char32_t c = next_code_point(text, pos);
  if (c == kSigma && to == Case::lower) {
    std::size_t ahead = pos;
    const bool after = start > 0 && is_cased(last_code_point(text.substr(0, start)));
    const bool before = ahead < text.size() && is_cased(next_code_point(text, ahead));
    if (after && !before) {
      append_utf8(out, kFinalSigma);
      return;
    }
  }
  append_converted(out, c, to);
}

std::string convert_case(std::string_view text, Case to) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t pos = 0; pos < text.size();) append_case(out, text, pos, to);
  return out;
}

}  // namespace zaya::jinja
