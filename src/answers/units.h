#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "answers/expression.h"

namespace zaya::answers {

/// Whether a run of letters, in plain writing after a number, stands for a unit.
bool is_unit_word(std::string_view word);

struct Unit {
  Node factor;                           ///< to the base units
  std::map<std::string, int> base = {};  ///< exponents; empty for percent and angles
};
/// Of "cm", "cm ^ 2", "square miles", "km / h", "apples". Words that are no unit we know are base
/// units of their own.
Unit unit_of(std::string_view text);

}  // namespace zaya::answers
