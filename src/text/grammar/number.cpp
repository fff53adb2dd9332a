#include "text/grammar/number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya::grammar {
namespace {

constexpr int kMostExponent = 400;
constexpr std::uint32_t kMostStep = 1000;

/// Writes numbers that are not negative: first the digits before the point, of which the count is
/// chosen beforehand, then those after it. A node remembers whether the digits so far are those of
/// a bound, and their remainder by the step.
class NumberWriter {
 public:
  /// Bounds are not negative, none means open. The step is `step` units of the 10^-scale place.
  struct Range {
    const Bound* least = nullptr;
    const Bound* most = nullptr;
    std::uint32_t step = 1;
    std::size_t scale = 0;
    bool stepped = false;
    std::size_t integer_digits = kIntegerDigits;
    bool integer = false;
  };

  NumberWriter(Graph& graph, std::uint32_t end, const Range& range)
      : graph_(graph), end_(end), range_(range) {}

  void write(std::uint32_t from) {
    const std::size_t first = range_.least ? std::max<std::size_t>(1, length(*range_.least)) : 1;
    const std::size_t last =
        std::min(range_.integer_digits, range_.most ? std::max<std::size_t>(1, length(*range_.most))
                                                    : range_.integer_digits);
    for (std::size_t n = first; n <= last; ++n) {
      whole_digits_ = n;
      const bool at_least = range_.least && std::max<std::size_t>(1, length(*range_.least)) == n;
      const bool at_most = range_.most && std::max<std::size_t>(1, length(*range_.most)) == n;
      link(from, node({.place = 0, .left = n, .low = at_least, .high = at_most, .first = true}));
    }
  }

 private:
  struct Key {
    std::size_t place = 0;  // digits written, while a bound is followed
    std::size_t left = 0;   // digits to come before the point
    std::size_t after = 0;  // digits after the point
    std::uint32_t rest = 0;
    bool low = false;   // so far equal to the lower bound
    bool high = false;  // to the upper one
    bool first = false;
    bool point = false;
    std::size_t whole = 0;  // digits before the point, where it matters
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  static std::size_t length(const Bound& bound) { return bound.value.integer.size(); }

  void link(std::uint32_t from, std::uint32_t to, CharSet on = {}) {
    graph_.nodes[from].edges.push_back({std::move(on), to});
  }

  // The digit of a bound at a place before or after the point.
  static int digit(const Bound& bound, bool after, std::size_t index) {
    const std::string& digits = after ? bound.value.fraction : bound.value.integer;
    return index < digits.size() ? digits[index] - '0' : 0;
  }
  static bool zero_from(const Bound& bound, std::size_t index) {
    return bound.value.fraction.size() <= index;  // no trailing zeros
  }

  std::size_t most_after() const {
    if (range_.integer) return 0;
    if (range_.stepped) return range_.scale;
    std::size_t most = kDecimalDigits - std::min(kDecimalDigits, whole_digits_);
    for (const Bound* bound : {range_.least, range_.most}) {
      if (bound != nullptr) most = std::max(most, bound->value.fraction.size());
    }
    return most;
  }

  bool may_end(const Key& key) const {
    if (key.low && (range_.least->exclusive || !zero_from(*range_.least, key.after))) return false;
    if (key.high && range_.most->exclusive && zero_from(*range_.most, key.after)) return false;
    if (!range_.stepped) return true;
    std::uint64_t rest = key.rest;
    for (std::size_t i = key.after; i < range_.scale; ++i) rest = rest * 10 % range_.step;
    return rest == 0;
  }

  // The node after one digit more, by digit, as edges.
  void add_digits(std::uint32_t from, const Key& key, int least) {
    const bool after = key.point;
    const std::size_t index = after ? key.after : key.place;
    const int low = key.low ? digit(*range_.least, after, index) : 0;
    const int high = key.high ? digit(*range_.most, after, index) : 9;
    std::map<Key, CharSet> targets;
    for (int d = std::max(least, low); d <= high; ++d) {
      Key next = key;
      next.first = false;
      next.low = key.low && d == low;
      next.high = key.high && d == high;
      if (range_.stepped) {
        next.rest =
            static_cast<std::uint32_t>((key.rest * 10ULL + static_cast<unsigned>(d)) % range_.step);
      }
      if (after) {
        ++next.after;
      } else {
        --next.left;
        ++next.place;
      }
      targets[next].add(static_cast<char32_t>('0' + d), static_cast<char32_t>('0' + d));
    }
    for (const auto& [next, digits] : targets) link(from, node(next), digits);
  }

  std::uint32_t node(Key key) {
    // What does not matter any more does not tell nodes apart.
    if (!key.low && !key.high && !key.point) key.place = 0;
    key.whole = range_.integer || range_.stepped ? 0 : whole_digits_;
    const auto [it, added] = nodes_.try_emplace(key, 0);
    if (!added) return it->second;
    const std::uint32_t made = graph_.add_node();
    it->second = made;
    if (key.left > 0) {
      add_digits(made, key, key.first && key.left > 1 ? 1 : 0);
      return made;
    }
    if ((!key.point || key.after > 0) && may_end(key)) link(made, end_);
    if (!key.point && most_after() > 0) {
      Key next = key;
      next.point = true;
      next.place = 0;
      link(made, node(next), CharSet('.', '.'));
    } else if (key.point && key.after < most_after()) {
      add_digits(made, key, 0);
    }
    return made;
  }

  Graph& graph_;
  std::uint32_t end_;
  Range range_;
  std::size_t whole_digits_ = 0;
  std::map<Key, std::uint32_t> nodes_;
};

void set_step(NumberWriter::Range& range, const NumberLimits& limits, const std::string& where) {
  if (!limits.multiple_of) return;
  const Decimal& step = *limits.multiple_of;
  std::string units = step.integer + step.fraction;
  units.erase(0, units.find_first_not_of('0'));
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(units.data(), units.data() + units.size(), value);
  if (step.negative || step.zero() || error != std::errc() || value > kMostStep ||
      step.fraction.size() > kDecimalDigits) {
    throw Error({.where = where,
                 .what = "multipleOf cannot be kept exactly",
                 .expected = fmt::format("a number above 0 of at most {} units of its last place",
                                         kMostStep)});
  }
  range.stepped = true;
  range.step = value;
  range.scale = step.fraction.size();
}

}  // namespace

std::optional<Decimal> Decimal::parse(std::string_view text) {
  Decimal result;
  if (text.starts_with('-')) {
    result.negative = true;
    text.remove_prefix(1);
  }
  int exponent = 0;
  if (const auto e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view digits = text.substr(e + 1);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    if (std::from_chars(digits.data(), digits.data() + digits.size(), exponent).ec != std::errc() ||
        std::abs(exponent) > kMostExponent) {
      return {};
    }
    text = text.substr(0, e);
  }
  const auto point = text.find('.');
  result.integer = text.substr(0, point);
  if (point != std::string_view::npos) result.fraction = text.substr(point + 1);
  for (; exponent > 0; --exponent) {
    result.integer += result.fraction.empty() ? '0' : result.fraction.front();
    if (!result.fraction.empty()) result.fraction.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    result.fraction.insert(0, 1, result.integer.empty() ? '0' : result.integer.back());
    if (!result.integer.empty()) result.integer.pop_back();
  }
  result.integer.erase(0, std::min(result.integer.find_first_not_of('0'), result.integer.size()));
  while (result.fraction.ends_with('0')) result.fraction.pop_back();
  if (result.zero()) result.negative = false;
  return result;
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  int order = 0;
  if (a.integer.size() != b.integer.size()) {
    order = a.integer.size() < b.integer.size() ? -1 : 1;
  } else {
    order = a.integer.compare(b.integer);
    if (order == 0) order = a.fraction.compare(b.fraction);
  }
  order = order < 0 ? -1 : static_cast<int>(order > 0);
  return a.negative ? -order : order;
}

Graph number_graph(const NumberLimits& limits, const std::string& where) {
  NumberWriter::Range range;
  set_step(range, limits, where);
  range.integer = limits.integer || (range.stepped && range.scale == 0);
  range.integer_digits = range.integer ? kIntegerDigits : kDecimalDigits;

  Graph graph;
  const std::uint32_t end = graph.add_node();
  graph.nodes[end].end = true;
  const Bound zero{};
  const Bound above_zero{.value = {}, .exclusive = true};
  const auto beyond = [&](const std::optional<Bound>& bound) {
    return bound && bound->value.integer.size() > range.integer_digits;
  };
  if (!limits.most || !limits.most->value.negative) {
    const bool lowest = limits.least && compare(limits.least->value, zero.value) >= 0;
    range.least = lowest ? &*limits.least : &zero;
    range.most = limits.most && !beyond(limits.most) ? &*limits.most : nullptr;
    if (!(lowest && beyond(limits.least))) NumberWriter(graph, end, range).write(0);
  }
  if (!limits.least || limits.least->value.negative) {
    // -y with y from -most to -least.
    std::optional<Bound> least;
    std::optional<Bound> most;
    if (limits.most && limits.most->value.negative) {
      least = Bound{limits.most->value.negated(), limits.most->exclusive};
    }
    if (limits.least) most = Bound{limits.least->value.negated(), limits.least->exclusive};
    range.least = least ? &*least : &above_zero;
    range.most = most && !beyond(most) ? &*most : nullptr;
    const std::uint32_t minus = graph.add_node();
    graph.nodes[0].edges.push_back({CharSet('-', '-'), minus});
    if (!beyond(least)) NumberWriter(graph, end, range).write(minus);
  }
  return graph;
}

}  // namespace zaya::grammar
