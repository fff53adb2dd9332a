#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "answers/expression.h"

namespace zaya::answers {

/// The variables of an expression.
std::set<std::string> variables_of(const Node& node);

/// How two expressions compare.
enum class Same { yes, no, unknown };

/// Compares two expressions by value, as equivalent() says. Nodes that are no expressions (sets,
/// words, ...) and values that are not finite compare as unknown; infinity with its own sign does.
Same same_value(const Node& a, const Node& b);

/// Whether a - b = k (c - d) for a constant k that is not 0: the same equation.
Same same_equation(const Node& a, const Node& b, const Node& c, const Node& d);

/// Whether a < b, for numbers without variables.
Same less(const Node& a, const Node& b);

}  // namespace zaya::answers
