#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "text/grammar/graph.h"

namespace zaya::grammar {

/// A decimal number, exactly: digits `integer` . `fraction`, no leading and no trailing zeros, so
/// that zero has none at all.
struct Decimal {
  bool negative = false;
  std::string integer;
  std::string fraction;

  /// Of a number as JSON writes it. None when its exponent is beyond 400.
  static std::optional<Decimal> parse(std::string_view text);
  bool zero() const { return integer.empty() && fraction.empty(); }
  Decimal negated() const {
    return {.negative = !negative && !zero(), .integer = integer, .fraction = fraction};
  }
};
/// -1, 0 or 1 as a is less than, equal to or more than b.
int compare(const Decimal& a, const Decimal& b);

struct Bound {
  Decimal value;
  bool exclusive = false;
};

/// Which numbers may be written.
struct NumberLimits {
  std::optional<Bound> least;
  std::optional<Bound> most;
  std::optional<Decimal> multiple_of;
  bool integer = false;

  bool none() const { return !least && !most && !multiple_of; }
};

/// Most digits of an integer: all of them fit 64 bits.
constexpr std::size_t kIntegerDigits = 18;
/// Most digits before and after the point of other numbers: a double tells all of 15 digits apart.
constexpr std::size_t kDecimalDigits = 15;

/// The numbers within the limits, written without an exponent, by digits alone: exact. Throws Error
/// naming `where` when the limits cannot be kept exactly: a step of more than 1000 units of its
/// last place.
Graph number_graph(const NumberLimits& limits, const std::string& where);

}  // namespace zaya::grammar
