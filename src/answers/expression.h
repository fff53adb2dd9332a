#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zaya::answers {

/// An answer, parsed.
struct Node {
  enum class Kind {
    number,    ///< text: decimal digits, perhaps a point and an exponent
    constant,  ///< text: pi, e, i, infinity
    variable,  ///< text: its name, with its index
    add,       ///< of two, as the next four
    subtract,
    multiply,
    divide,
    power,
    negate,
    plus_minus,  ///< a + b and a - b; of one: both signs of it
    minus_plus,
    call,      ///< text: sqrt, root (index, of), sin, log (of) or (base, of), abs, factorial, ...
    quantity,  ///< a value and its unit: text
    list,      ///< without brackets
    set,
    tuple,     ///< text: its brackets, as "(]"
    unite,     ///< a union
    matrix,    ///< of rows, which are lists
    relation,  ///< text: "=", "<", "<=", ">", ">=", "!=", "in"
    words,     ///< text
  };
  Kind kind = Kind::words;
  std::string text = {};
  std::vector<Node> of = {};

  bool operator==(const Node&) const = default;
};

/// Nothing for what is no mathematics, or too large or deep. `thousands` as in tokens_of().
std::optional<Node> parse(std::string_view text, bool thousands);

Node number_node(std::string digits);
Node binary(Node::Kind kind, Node a, Node b);

}  // namespace zaya::answers
