#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "text/jinja/methods.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c);
}

}  // namespace

std::string strip(std::string_view text, const std::string* chars, bool left, bool right) {
  spend(text.size());
  const auto drop = [&](std::string_view one) {
    if (chars != nullptr) return find_text(*chars, one) != std::string_view::npos;
    std::size_t pos = 0;
    return is_space(next_code_point(one, pos));
  };
  while (left && !text.empty()) {
    std::size_t pos = 0;
    next_code_point(text, pos);
    if (!drop(text.substr(0, pos))) break;
    text.remove_prefix(pos);
  }
  while (right && !text.empty()) {
    std::size_t start = text.size() - 1;
    while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xc0U) == 0x80) --start;
    if (!drop(text.substr(start))) break;
    text.remove_suffix(text.size() - start);
  }
  return std::string(text);
}

std::string title_case(std::string_view text) {
  std::string out;
  bool inside = false;
  for (std::size_t pos = 0; pos < text.size();) {
    std::size_t ahead = pos;
    const char32_t c = next_code_point(text, ahead);
    append_case(out, text, pos, inside ? Case::lower : Case::title);
    inside = is_cased(c);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  const std::size_t first = byte_offset(text, 1);
  return convert_case(text.substr(0, first), Case::title) +
         convert_case(text.substr(first), Case::lower);
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> out;
  std::size_t start = 0;
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t end = pos;
    const char32_t c = next_code_point(text, pos);
    if (!is_line_end(c)) continue;
    if (c == U'\r' && pos < text.size() && text[pos] == '\n') ++pos;
    spend(pos - start + sizeof(Value));
    out.emplace_back(text.substr(start, (keep_ends ? pos : end) - start));
    start = pos;
  }
  if (start < text.size()) out.emplace_back(text.substr(start));
  return out;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t count) {
  auto left = count < 0 ? std::numeric_limits<std::int64_t>::max() : count;
  std::string out;
  std::size_t pos = 0;
  if (from.empty()) {
    // Between all characters, as in Python.
    for (; left > 0; --left) {
      spend(to.size() + kNodeCost);
      out += to;
      if (pos >= text.size()) return out;
      const std::size_t start = pos;
      next_code_point(text, pos);
      out += text.substr(start, pos - start);
    }
    return out += text.substr(pos);
  }
  for (; left > 0; --left) {
    const void* found = memmem(text.data() + pos, text.size() - pos, from.data(), from.size());
    if (found == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    spend(at - pos + to.size() + 1);
    out.append(text.substr(pos, at - pos)).append(to);
    pos = at + from.size();
  }
  spend(text.size() - pos);
  return out += text.substr(pos);
}

std::string join(std::string_view separator, const Value& items) {
  const auto iterator = iterate(items);
  std::string out;
  Value item;
  for (std::size_t i = 0; iterator->next(item); ++i) {
    if (!item.is_string()) {
      throw Failure(fmt::format("sequence item {}: expected str instance, {} found", i,
                                short_type_name(type_name(item))));
    }
    spend(separator.size() + item.str().size());
    if (i > 0) out += separator;
    out += item.str();
  }
  return out;
}

bool is_all_case(std::string_view text, bool upper) {
  bool cased = false;
  for (std::size_t pos = 0; pos < text.size();) {
    const char32_t c = next_code_point(text, pos);
    const bool up = is_upper(c);
    const bool low = !up && is_lower(c);
    if (upper ? low : up) return false;
    cased = cased || up || low;
  }
  return cased;
}

}  // namespace zaya::jinja
