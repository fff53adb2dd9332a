#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "answers/answers.h"

namespace zaya::test {

/// Any text is what a model wrote: two answers, or texts that have them, separated by a zero byte.
/// Traps when the order of the two makes a difference, when an answer is not the same as itself, or
/// when what was extracted is not part of the text.
inline void check_answers(std::string_view input) {
  using namespace answers;
  const std::size_t zero = input.find('\0');
  const std::string_view a = input.substr(0, zero);
  const std::string_view b = zero == std::string_view::npos ? a : input.substr(zero + 1);
  for (const Kind kind : {Kind::mathematics, Kind::choice, Kind::text}) {
    if (equivalent(a, b, kind) != equivalent(b, a, kind)) __builtin_trap();
    const std::optional<std::string> answer = extract(a, kind);
    if (!answer) continue;
    if (kind != Kind::choice && a.find(*answer) == std::string_view::npos) __builtin_trap();
    if (kind == Kind::choice && answer->empty()) __builtin_trap();
  }
  if (const auto code = extract(b, Kind::code); code && b.find(*code) == std::string_view::npos) {
    __builtin_trap();
  }
}

}  // namespace zaya::test
