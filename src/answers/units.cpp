#include "answers/units.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>
#include <vector>

namespace zaya::answers {
namespace {

struct Known {
  const char* base;  // "" for a pure number
  const char* numerator;
  const char* denominator;
};

const std::map<std::string, Known, std::less<>>& known_units() {
  static const std::map<std::string, Known, std::less<>> table = {
      {"%", {"", "1", "100"}},
      {"percent", {"", "1", "100"}},
      {"degree", {"", "pi", "180"}},
      {"radian", {"", "1", "1"}},
      {"rad", {"", "1", "1"}},
      {"m", {"m", "1", "1"}},
      {"meter", {"m", "1", "1"}},
      {"metre", {"m", "1", "1"}},
      {"cm", {"m", "1", "100"}},
      {"centimeter", {"m", "1", "100"}},
      {"centimetre", {"m", "1", "100"}},
      {"mm", {"m", "1", "1000"}},
      {"millimeter", {"m", "1", "1000"}},
      {"dm", {"m", "1", "10"}},
      {"km", {"m", "1000", "1"}},
      {"kilometer", {"m", "1000", "1"}},
      {"kilometre", {"m", "1000", "1"}},
      {"inch", {"m", "0.0254", "1"}},
      {"inche", {"m", "0.0254", "1"}},
      {"in", {"m", "0.0254", "1"}},
      {"foot", {"m", "0.3048", "1"}},
      {"feet", {"m", "0.3048", "1"}},
      {"ft", {"m", "0.3048", "1"}},
      {"yard", {"m", "0.9144", "1"}},
      {"yd", {"m", "0.9144", "1"}},
      {"mile", {"m", "1609.344", "1"}},
      {"mi", {"m", "1609.344", "1"}},
      {"s", {"s", "1", "1"}},
      {"sec", {"s", "1", "1"}},
      {"second", {"s", "1", "1"}},
      {"ms", {"s", "1", "1000"}},
      {"min", {"s", "60", "1"}},
      {"minute", {"s", "60", "1"}},
      {"h", {"s", "3600", "1"}},
      {"hr", {"s", "3600", "1"}},
      {"hour", {"s", "3600", "1"}},
      {"day", {"s", "86400", "1"}},
      {"week", {"s", "604800", "1"}},
      {"year", {"year", "1", "1"}},
      {"month", {"month", "1", "1"}},
      {"g", {"g", "1", "1"}},
      {"gram", {"g", "1", "1"}},
      {"kg", {"g", "1000", "1"}},
      {"kilogram", {"g", "1000", "1"}},
      {"mg", {"g", "1", "1000"}},
      {"lb", {"lb", "1", "1"}},
      {"pound", {"lb", "1", "1"}},
      {"oz", {"lb", "1", "16"}},
      {"ounce", {"lb", "1", "16"}},
      {"liter", {"liter", "1", "1"}},
      {"litre", {"liter", "1", "1"}},
      {"L", {"liter", "1", "1"}},
      {"mL", {"liter", "1", "1000"}},
      {"ml", {"liter", "1", "1000"}},
      {"dollar", {"dollar", "1", "1"}},
      {"cent", {"dollar", "1", "100"}},
      {"euro", {"euro", "1", "1"}},
      {"N", {"N", "1", "1"}},
      {"newton", {"N", "1", "1"}},
      {"J", {"J", "1", "1"}},
      {"joule", {"J", "1", "1"}},
      {"kJ", {"J", "1000", "1"}},
      {"W", {"W", "1", "1"}},
      {"watt", {"W", "1", "1"}},
      {"Hz", {"Hz", "1", "1"}},
      {"unit", {"unit", "1", "1"}},
  };
  return table;
}

// Lower case for whole words, the singular where it ends in s.
std::string canonical(std::string_view word) {
  if (known_units().find(word) != known_units().end()) return std::string(word);
  std::string out(word);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (known_units().find(out) != known_units().end()) return out;
  if (out.size() > 2 && out.back() == 's' && out[out.size() - 2] != 's') out.pop_back();
  return out;
}

}  // namespace

bool is_unit_word(std::string_view word) {
  return word.size() > 1 && known_units().find(canonical(word)) != known_units().end();
}

Unit unit_of(std::string_view text) {
  // Words, "/", "^" and numbers.
  std::vector<std::string> pieces;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == ' ' || c == '{' || c == '}' || c == '.' || c == '*') {
      ++i;
    } else if (c == '/' || c == '^' || c == '%') {
      pieces.emplace_back(1, c);
      ++i;
    } else {
      const std::size_t end = std::min(text.find_first_of(" /^{}.*%", i), text.size());
      pieces.emplace_back(text.substr(i, end - i));
      i = end;
    }
  }
  Unit unit{.factor = number_node("1")};
  int sign = 1;
  int prefix = 1;
  for (std::size_t i = 0; i < pieces.size() && i < 16; ++i) {
    const std::string word = canonical(pieces[i]);
    if (word == "/" || word == "per") {
      sign = -1;
      continue;
    }
    if (word == "^" || word == "-") continue;
    if (word == "square" || word == "sq" || word == "cubic" || word == "cu") {
      prefix = word[0] == 's' ? 2 : 3;
      continue;
    }
    int power = prefix;
    prefix = 1;
    if (i + 1 < pieces.size() && (pieces[i + 1] == "squared" || pieces[i + 1] == "cubed")) {
      power = pieces[++i] == "squared" ? 2 : 3;
    } else if (i + 2 < pieces.size() && pieces[i + 1] == "^") {
      std::string digits = pieces[i + 2];
      std::size_t used = 2;
      if (digits == "-" && i + 3 < pieces.size()) digits += pieces[i + (used = 3)];
      int value = 0;
      const char* end = digits.data() + digits.size();
      const auto [stop, error] = std::from_chars(digits.data(), end, value);
      if (error == std::errc{} && stop == end && value >= -9 && value <= 9) {
        power = value;
        i += used;
      }
    }
    power *= sign;
    const auto known = known_units().find(word);
    if (known == known_units().end()) {
      unit.base[word] += power;
      continue;
    }
    const Known& k = known->second;
    if (*k.base != '\0') unit.base[k.base] += power;
    Node factor = binary(Node::Kind::divide,
                         std::string_view(k.numerator) == "pi"
                             ? Node{.kind = Node::Kind::constant, .text = "pi"}
                             : number_node(k.numerator),
                         number_node(k.denominator));
    if (power != 1) {
      Node exponent = number_node(std::to_string(power < 0 ? -power : power));
      if (power < 0) exponent = {.kind = Node::Kind::negate, .of = {exponent}};
      factor = binary(Node::Kind::power, std::move(factor), std::move(exponent));
    }
    unit.factor = binary(Node::Kind::multiply, std::move(unit.factor), std::move(factor));
  }
  std::erase_if(unit.base, [](const auto& entry) { return entry.second == 0; });
  return unit;
}

}  // namespace zaya::answers
