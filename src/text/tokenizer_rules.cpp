#include "text/tokenizer_rules.h"

#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

// Of a text by replacements; " " to "▁" is 3.
constexpr std::size_t kMaxGrowth = 64;

}  // namespace

void Replacement::apply(std::string_view text, std::size_t max_bytes, std::string& out) const {
  std::size_t done = 0;
  for (std::size_t at = text.find(pattern); at != std::string_view::npos;
       at = text.find(pattern, done)) {
    out.append(text, done, at - done);
    out.append(content);
    if (out.size() > max_bytes) {
      throw Error({.where = "tokenizer",
                   .what = "replacing text makes it too long",
                   .expected = fmt::format("at most {} bytes", max_bytes)});
    }
    done = at + pattern.size();
  }
  out.append(text, done);
}

std::string apply_all(const std::vector<Replacement>& replacements, std::string_view text) {
  std::string result(text);
  for (const Replacement& replacement : replacements) {
    std::string next;
    next.reserve(result.size());
    replacement.apply(result, kMaxGrowth * (text.size() + 1), next);
    result = std::move(next);
  }
  return result;
}

void Split::apply(std::string_view text, std::vector<std::string_view>& parts) const {
  // A part grows over [begin, end); a delimiter ends it, joins it or starts it.
  std::size_t begin = 0;
  std::size_t end = 0;
  const auto finish = [&] {
    if (begin < end) parts.push_back(text.substr(begin, end - begin));
    begin = end;
  };
  bool after_delimiter = false;
  const auto take = [&](std::size_t to, bool delimiter) {
    if (to == end) return;
    switch (behavior) {
      case Behavior::removed:
        if (!delimiter) {
          end = to;
          finish();
        }
        begin = to;
        break;
      case Behavior::isolated:
        end = to;
        finish();
        break;
      case Behavior::merged_with_previous:
        if (!delimiter || after_delimiter) finish();
        end = to;
        break;
      case Behavior::merged_with_next:
        if (delimiter || !after_delimiter) finish();
        end = to;
        break;
      case Behavior::contiguous:
        if (delimiter != after_delimiter) finish();
        end = to;
        break;
    }
    end = to;
    after_delimiter = delimiter;
  };
  for (std::size_t at = text.find(pattern); at != std::string_view::npos;
       at = text.find(pattern, end)) {
    take(at, invert);
    take(at + pattern.size(), !invert);
  }
  take(text.size(), invert);
  finish();
}

}  // namespace zaya
