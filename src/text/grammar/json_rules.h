#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar/graph.h"
#include "text/grammar/program.h"

namespace zaya::grammar {

/// Writes the pieces that JSON texts are made of. Spaces are bounded: between tokens there is
/// nothing, one space, or a new line with up to kMostIndent spaces.
class JsonRules {
 public:
  static constexpr std::uint32_t kMostIndent = 40;

  explicit JsonRules(Builder& builder) : builder_(builder) {}

  /// Space between tokens.
  void gap() {
    builder_.call(made(gap_, [this] { write_gap(); }));
  }
  /// Any value; any object; any number of at most kDecimalDigits before and after the point and two
  /// in the exponent; any integer of at most kIntegerDigits.
  Builder::Rule value() {
    return made(value_, [this] { write_value(); });
  }
  Builder::Rule object() {
    return made(object_, [this] { write_object(); });
  }
  Builder::Rule array() {
    return made(array_, [this] { write_array(); });
  }
  Builder::Rule string() {
    return made(string_, [this] { write_string({}); });
  }
  Builder::Rule number() {
    return made(number_, [this] { write_number(); });
  }
  Builder::Rule integer() {
    return made(integer_, [this] { write_integer(); });
  }

  /// Writes a string of that many characters, in quotes. The rule's counter is used.
  void write_string(LengthLimits length);
  /// Writes a key that is none of `names`, in quotes. Without escapes, which could spell a name.
  void write_other_key(const std::vector<std::string>& names);

  /// Writes the rules that were asked for. Outside of any other rule, at the end.
  void write_rules();

 private:
  Builder::Rule made(std::optional<Builder::Rule>& rule, const std::function<void()>& write);
  void write_gap();
  void write_value();
  void write_object();
  void write_array();
  void write_number();
  void write_integer();
  void digits(std::uint32_t min, std::uint32_t max);

  Builder& builder_;
  std::vector<std::pair<Builder::Rule, std::function<void()>>> unwritten_;
  std::optional<Builder::Rule> gap_;
  std::optional<Builder::Rule> value_;
  std::optional<Builder::Rule> object_;
  std::optional<Builder::Rule> array_;
  std::optional<Builder::Rule> string_;
  std::optional<Builder::Rule> number_;
  std::optional<Builder::Rule> integer_;
};

/// Writes one of `texts`. Common beginnings are shared.
void write_literals(Builder& builder, std::vector<std::string> texts);

}  // namespace zaya::grammar
