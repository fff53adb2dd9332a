#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <utility>

#include "answers/answers.h"
#include "answers/expression.h"
#include "answers/units.h"
#include "answers/value.h"

namespace zaya::answers {
namespace {

using NodeKind = Node::Kind;

constexpr std::size_t kMostItems = 40;

// Words as they are compared: without case, marks around them, commands that only set type.
std::string plain_words(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size() && out.size() < 10'000; ++i) {
    const char c = text[i];
    if (c == '\\') {
      // \text{yes} is yes; other commands keep their names.
      for (const std::string_view command :
           {"\\text", "\\textbf", "\\mathrm", "\\mathbf", "\\mbox", "\\left", "\\right"}) {
        if (text.substr(i).starts_with(command) &&
            (i + command.size() >= text.size() ||
             std::isalpha(static_cast<unsigned char>(text[i + command.size()])) == 0)) {
          i += command.size() - 1;
          break;
        }
      }
      continue;
    }
    if (c == '{' || c == '}' || c == '$' || c == '"' || c == '`' || c == '*') continue;
    if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == '~') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '.' || out.back() == ','))
    out.pop_back();
  return out;
}

bool has_sign_choice(const Node& node) {
  return node.kind == NodeKind::plus_minus || node.kind == NodeKind::minus_plus ||
         std::any_of(node.of.begin(), node.of.end(), has_sign_choice);
}

// With the upper or the lower of all its signs.
Node with_signs(const Node& node, bool upper) {
  Node out{.kind = node.kind, .text = node.text};
  for (const Node& part : node.of) out.of.push_back(with_signs(part, upper));
  if (node.kind == NodeKind::plus_minus || node.kind == NodeKind::minus_plus) {
    const bool plus = (node.kind == NodeKind::plus_minus) == upper;
    if (out.of.size() == 1) {
      if (plus) return Node(out.of[0]);
      out.kind = NodeKind::negate;
    } else {
      out.kind = plus ? NodeKind::add : NodeKind::subtract;
    }
  }
  return out;
}

bool is_variable(const Node& node) {
  return node.kind == NodeKind::variable;
}

// What may stand left of "=" as a name: x, f(x), P(A).
bool is_name(const Node& node) {
  if (is_variable(node)) return true;
  return node.kind == NodeKind::multiply && is_variable(node.of[0]) &&
         (is_variable(node.of[1]) ||
          (node.of[1].kind == NodeKind::tuple &&
           std::all_of(node.of[1].of.begin(), node.of[1].of.end(), is_variable)));
}

Node interval(const Node& low, const Node& high, bool low_closed, bool high_closed) {
  return {.kind = NodeKind::tuple,
          .text = std::string(low_closed ? "[" : "(") + (high_closed ? "]" : ")"),
          .of = {low, high}};
}

// x > 3, 1 < x <= 5, x in [1, 2]: as sets; nothing for other relations.
std::optional<Node> as_set(const Node& r) {
  if (r.kind != NodeKind::relation) return std::nullopt;
  const Node infinite{.kind = NodeKind::constant, .text = "infinity"};
  const Node minus_infinite{.kind = NodeKind::negate, .of = {infinite}};
  if (r.text == "in" && is_variable(r.of[0])) return r.of[1];
  const auto closed = [](const std::string& sign) { return sign.size() == 2; };
  if (r.of.size() == 2 && (r.text[0] == '<' || r.text[0] == '>')) {
    const bool left = is_variable(r.of[0]) && !is_variable(r.of[1]);
    if (!left && !(is_variable(r.of[1]) && !is_variable(r.of[0]))) return std::nullopt;
    const Node& bound = left ? r.of[1] : r.of[0];
    const bool below = (r.text[0] == '<') == left;  // x < bound
    return below ? interval(minus_infinite, bound, false, closed(r.text))
                 : interval(bound, infinite, closed(r.text), false);
  }
  if (r.of.size() == 3 && is_variable(r.of[1])) {
    const auto space = r.text.find(' ');
    const std::string first = r.text.substr(0, space);
    const std::string second = r.text.substr(space + 1);
    if (first[0] == '<' && second[0] == '<') {
      return interval(r.of[0], r.of[2], closed(first), closed(second));
    }
    if (first[0] == '>' && second[0] == '>') {
      return interval(r.of[2], r.of[0], closed(second), closed(first));
    }
  }
  return std::nullopt;
}

// The same answer in the form that is compared.
Node canonical(Node node) {
  if (auto set = as_set(node)) node = std::move(*set);
  if (node.kind == NodeKind::list || node.kind == NodeKind::set || node.kind == NodeKind::unite) {
    std::vector<Node> parts;
    for (Node& part : node.of) {
      Node done = canonical(std::move(part));
      // a +- b among others brings both.
      if (done.kind == NodeKind::list && node.kind != NodeKind::unite) {
        for (Node& one : done.of) parts.push_back(std::move(one));
      } else {
        parts.push_back(std::move(done));
      }
    }
    node.of = std::move(parts);
    return node;
  }
  if (node.kind != NodeKind::relation && node.kind != NodeKind::tuple &&
      node.kind != NodeKind::matrix && has_sign_choice(node)) {
    return {.kind = NodeKind::list, .of = {with_signs(node, true), with_signs(node, false)}};
  }
  if (node.kind == NodeKind::relation && node.text == "=" && has_sign_choice(node)) {
    return {.kind = NodeKind::list, .of = {with_signs(node, true), with_signs(node, false)}};
  }
  return node;
}

bool same(const Node& a, const Node& b);

bool is_collection(const Node& n) {
  return n.kind == NodeKind::list || n.kind == NodeKind::set;
}

std::vector<Node> without_repeats(const std::vector<Node>& items) {
  std::vector<Node> out;
  for (const Node& item : items) {
    if (std::none_of(out.begin(), out.end(), [&](const Node& o) { return same(o, item); })) {
      out.push_back(item);
    }
  }
  return out;
}

bool same_in_any_order(const std::vector<Node>& a, const std::vector<Node>& b, bool repeats_count) {
  if (a.size() > kMostItems || b.size() > kMostItems) return a == b;
  std::vector<Node> left = repeats_count ? a : without_repeats(a);
  std::vector<Node> right = repeats_count ? b : without_repeats(b);
  if (left.size() != right.size()) return false;
  for (const Node& item : left) {
    const auto at =
        std::find_if(right.begin(), right.end(), [&](const Node& o) { return same(item, o); });
    if (at == right.end()) return false;
    right.erase(at);
  }
  return true;
}

bool same_in_order(const std::vector<Node>& a, const std::vector<Node>& b) {
  if (a.size() != b.size() || a.size() > 200) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) return false;
  }
  return true;
}

bool yes(Same s) {
  return s == Same::yes;
}

// A value and its unit, wherever it stands in the expression's top: -(5 cm) is a quantity, too.
struct Measure {
  Node value;
  std::optional<Unit> unit;
};
Measure measure_of(const Node& node) {
  if (node.kind == NodeKind::quantity) {
    Measure inner = measure_of(node.of[0]);
    return {std::move(inner.value), unit_of(node.text)};
  }
  if (node.kind == NodeKind::negate) {
    Measure inner = measure_of(node.of[0]);
    return {{.kind = NodeKind::negate, .of = {std::move(inner.value)}}, std::move(inner.unit)};
  }
  return {node, std::nullopt};
}

// Percent and degrees within an expression are numbers: sin 30 degrees.
Node without_inner_units(const Node& node) {
  Node out{.kind = node.kind, .text = node.text};
  for (const Node& part : node.of) out.of.push_back(without_inner_units(part));
  if (node.kind == NodeKind::quantity) {
    Unit unit = unit_of(node.text);
    return unit.base.empty()
               ? binary(NodeKind::multiply, std::move(out.of[0]), std::move(unit.factor))
               : Node(out.of[0]);
  }
  return out;
}

bool same_measure(const Node& a, const Node& b) {
  const Measure x = measure_of(a);
  const Measure y = measure_of(b);
  const Node plain_x = without_inner_units(x.value);
  const Node plain_y = without_inner_units(y.value);
  const auto scaled = [](const Node& value, const Unit& unit) {
    return binary(NodeKind::multiply, value, unit.factor);
  };
  if (x.unit && y.unit) {
    // Two pure numbers may differ in their unit: 50 % is 1/2 of ... and pi/2 rad is 90 degrees.
    return x.unit->base == y.unit->base &&
           yes(same_value(scaled(plain_x, *x.unit), scaled(plain_y, *y.unit)));
  }
  if (yes(same_value(plain_x, plain_y))) return true;
  if (x.unit && x.unit->base.empty()) return yes(same_value(scaled(plain_x, *x.unit), plain_y));
  if (y.unit && y.unit->base.empty()) return yes(same_value(plain_x, scaled(plain_y, *y.unit)));
  return false;
}

bool same_relation(const Node& a, const Node& b) {
  if (a.of.size() != b.of.size()) return false;
  if (a.of.size() == 2) {
    if (a.text == "=" && b.text == "=") {
      return (same(a.of[0], b.of[0]) && same(a.of[1], b.of[1])) ||
             yes(same_equation(a.of[0], a.of[1], b.of[0], b.of[1]));
    }
    static const std::pair<const char*, const char*> flipped[] = {
        {"<", ">"}, {"<=", ">="}, {">", "<"}, {">=", "<="}, {"!=", "!="}};
    for (const auto& [sign, other] : flipped) {
      if (a.text == sign && b.text == other && same(a.of[0], b.of[1]) && same(a.of[1], b.of[0])) {
        return true;
      }
    }
  }
  return a.text == b.text && same_in_order(a.of, b.of);
}

bool same(const Node& a, const Node& b) {
  // A name before the value says nothing where the other has none; two names must be the same.
  const bool named_a =
      a.kind == NodeKind::relation && a.text == "=" && a.of.size() == 2 && is_name(a.of[0]);
  const bool named_b =
      b.kind == NodeKind::relation && b.text == "=" && b.of.size() == 2 && is_name(b.of[0]);
  if (named_a && b.kind != NodeKind::relation) return same(a.of[1], b);
  if (named_b && a.kind != NodeKind::relation) return same(a, b.of[1]);
  if (a.kind == NodeKind::relation || b.kind == NodeKind::relation) {
    return a.kind == b.kind && same_relation(a, b);
  }
  if (is_collection(a) && is_collection(b)) return same_in_any_order(a.of, b.of, false);
  if (is_collection(a) && a.of.size() == 1) return same(a.of[0], b);
  if (is_collection(b) && b.of.size() == 1) return same(a, b.of[0]);
  if (a.kind == NodeKind::unite || b.kind == NodeKind::unite) {
    return a.kind == b.kind && same_in_any_order(a.of, b.of, false);
  }
  // (1, 2) and 1, 2: in order.
  if (a.kind == NodeKind::tuple && b.kind == NodeKind::list)
    return a.text == "()" && same_in_order(a.of, b.of);
  if (b.kind == NodeKind::tuple && a.kind == NodeKind::list) return same(b, a);
  if (a.kind == NodeKind::tuple || a.kind == NodeKind::matrix || b.kind == NodeKind::tuple ||
      b.kind == NodeKind::matrix) {
    if (a.kind != b.kind || a.text != b.text) return false;
    if (a.kind == NodeKind::tuple) return same_in_order(a.of, b.of);
    return a.of.size() == b.of.size() &&
           std::equal(a.of.begin(), a.of.end(), b.of.begin(),
                      [](const Node& x, const Node& y) { return same_in_order(x.of, y.of); });
  }
  if (is_collection(a) || is_collection(b)) return false;
  return same_measure(a, b);
}

// The two readings of a text: with commas for thousands and without.
std::vector<Node> readings(std::string_view text) {
  std::vector<Node> out;
  for (const bool thousands : {true, false}) {
    if (auto node = parse(text, thousands)) {
      Node done = canonical(std::move(*node));
      if (out.empty() || !(out.front() == done)) out.push_back(std::move(done));
    }
  }
  return out;
}

bool same_words(std::string_view a, std::string_view b) {
  const std::string words = plain_words(a);
  return !words.empty() && words == plain_words(b);
}

bool same_mathematics(std::string_view a, std::string_view b) {
  // What no reading makes sense of, such as "*, *", is equal to itself still.
  if (a == b && a.find_first_not_of(" \t\r\n") != std::string_view::npos) return true;
  const std::vector<Node> left = readings(a);
  const std::vector<Node> right = readings(b);
  if (left.empty() || right.empty()) return same_words(a, b);
  for (const Node& x : left) {
    for (const Node& y : right) {
      if (same(x, y)) return true;
    }
  }
  return false;
}

}  // namespace

bool equivalent(std::string_view a, std::string_view b, Kind kind) {
  switch (kind) {
    case Kind::mathematics:
      return same_mathematics(a, b);
    case Kind::choice: {
      // Letters, however they are written; the words of an option as words.
      const auto letter = [](std::string_view text) {
        return extract("\\boxed{" + std::string(text) + "}", Kind::choice).value_or("");
      };
      return same_words(letter(a), letter(b));
    }
    case Kind::text:
      return same_words(a, b);
    case Kind::code:
      return a == b;
  }
  return false;
}

}  // namespace zaya::answers
