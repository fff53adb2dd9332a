#include "text/tools/arguments.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "text/tools/literal.h"

namespace zaya {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string json_string(std::string_view text) {
  return '"' + json_escaped(text) + '"';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Length of the <br> that the text begins with, or 0.
std::size_t line_break_at(std::string_view text) {
  for (const std::string_view tag : kLineBreaks) {
    if (text.starts_with(tag)) return tag.size();
  }
  return 0;
}

// The text with <br> as line breaks; nothing when it has none, or other markup or line breaks.
std::optional<std::string> with_line_breaks(std::string_view text) {
  if (text.find('\n') != std::string_view::npos) return std::nullopt;
  std::string out;
  bool found = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = text[i] == '<' ? line_break_at(text.substr(i)) : 0;
    if (length > 0) {
      out.push_back('\n');
      found = true;
      i += length;
      continue;
    }
    if (begins_tag(text.substr(i))) return std::nullopt;
    out.push_back(text[i++]);
  }
  return found ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<std::string> unquoted(std::string_view text) {
  const std::string_view t = trimmed(text);
  if (t.size() < 2 || t.front() != '"' || t.back() != '"') return std::nullopt;
  const auto json = parse_strict(t);
  return json && json->is_string() ? std::optional(json->get<std::string>()) : std::nullopt;
}

// A number in JSON's spelling. `strict` takes no other spelling; else a plus, leading zeros, and a
// point at either end are mended.
std::optional<std::string> number_text(std::string_view text, bool strict) {
  if (text.size() > 400 || std::none_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  std::string t(text);
  if (!strict) {
    const bool minus = t.front() == '-';
    if (minus || t.front() == '+') t.erase(0, 1);
    const auto digits = std::min(t.find_first_not_of('0'), t.size());
    t.erase(0, digits);
    if (t.empty() || !is_digit(t.front())) {
      if (digits == 0 && !t.starts_with('.')) return std::nullopt;
      t.insert(0, 1, '0');
    }
    if (t.ends_with('.')) t.push_back('0');
    if (minus) t.insert(0, 1, '-');
  }
  if (!is_digit(t.back()) || (t.front() != '-' && !is_digit(t.front()))) return std::nullopt;
  const auto json = parse_strict(t);  // refuses what no double holds, such as 1e999
  return json && json->is_number() ? std::optional(std::move(t)) : std::nullopt;
}

bool is_whole(std::string_view number) {
  return number.find_first_of(".eE") == std::string_view::npos;
}

std::optional<std::string> number_of(const ValueType& type, std::string_view text) {
  auto number = number_text(text, type.string);
  if (!number || is_whole(*number)) return number;
  if (type.number) return number;
  // Where an integer is wanted 5.0 and 1e3 are integers.
  const double value = parse_strict(*number)->get<double>();
  if (std::abs(value) <= kExactIntegers && value == std::trunc(value)) {
    return fmt::format("{}", static_cast<std::int64_t>(value));
  }
  return type.string ? std::nullopt : std::move(number);
}

std::optional<std::string> boolean_of(std::string_view text) {
  std::string lower(text.substr(0, 6));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower == "true" || lower == "false" ? std::optional(std::move(lower)) : std::nullopt;
}

std::optional<std::string> choice_of(const ValueType& type, std::string_view text) {
  if (type.choices.empty()) return std::nullopt;
  const std::string_view t = trimmed(text);
  const auto quoted = unquoted(t);
  for (const Json& choice : type.choices) {
    if (!choice.is_string()) continue;
    const auto& s = choice.get_ref<const std::string&>();
    if (s == text || s == t || (quoted && s == *quoted)) return choice.dump();
  }
  const auto value = parse_literal(t);
  for (const Json& choice : type.choices) {
    if (value && !choice.is_string() && choice == *value) return choice.dump();
  }
  return std::nullopt;
}

// A list or an object, also one in Python's spelling. Strict JSON is passed on as it stands, so
// that its numbers keep their digits.
std::optional<std::string> structure_of(const ValueType& type, std::string_view text) {
  if (text.empty() || std::string_view("{[(").find(text.front()) == std::string_view::npos) {
    return std::nullopt;
  }
  const auto fits = [&](const Json& value) {
    return type.takes(value) || (!type.string && value.is_structured());
  };
  if (const auto json = parse_strict(text)) {
    return fits(*json) ? std::optional(std::string(text)) : std::nullopt;
  }
  const auto value = parse_literal(text);
  return value && fits(*value) ? std::optional(value->dump()) : std::nullopt;
}

// The value as a type other than string.
std::optional<std::string> read_as(const ValueType& type, std::string_view text) {
  const std::string_view t = trimmed(text);
  if (auto choice = choice_of(type, text)) return choice;
  if ((type.null || !type.string) && (t == "null" || t == "None")) return "null";
  if (type.boolean) {
    if (auto boolean = boolean_of(t)) return boolean;
  }
  if (type.integer || type.number) {
    if (auto number = number_of(type, t)) return number;
  }
  if (type.object || type.array) {
    if (auto structure = structure_of(type, t)) return structure;
  }
  return std::nullopt;
}

}  // namespace

std::string json_escaped(std::string_view text) {
  const std::string quoted = Json(text).dump();
  return quoted.substr(1, quoted.size() - 2);
}

bool begins_tag(std::string_view text) {
  return text.size() >= 2 && text[0] == '<' &&
         (std::isalpha(static_cast<unsigned char>(text[1])) != 0 || text[1] == '/' ||
          text[1] == '!' || text[1] == '?');
}

std::string meant_string(std::string_view text) {
  // What only begins with a quote is code or prose, whose tags are what they are.
  if (text.starts_with('"')) return unquoted(text).value_or(std::string(text));
  if (auto lines = with_line_breaks(text)) return *std::move(lines);
  return std::string(text);
}

std::string coerce(const ValueType& type, std::string_view text) {
  if (auto value = read_as(type, text)) return *std::move(value);
  if (type.string) return json_string(meant_string(text));
  // "5" in quotes, or an object that was written as a string.
  if (const auto inner = unquoted(text)) {
    if (auto value = read_as(type, *inner)) return *std::move(value);
  }
  return json_string(text);
}

std::string coerce_json(const ValueType& type, const Json& value) {
  if (!value.is_string() || type.takes(value)) return value.dump();
  return coerce(type, value.get_ref<const std::string&>());
}

std::string ArgumentValue::push(std::string_view text, Look look) {
  if (first_ && !text.empty()) {
    first_ = false;
    if (text.front() == '\n') text.remove_prefix(1);
  }
  if (text.empty()) return {};
  std::string out;
  if (newline_) out += take("\n", Look::plain);
  newline_ = text.back() == '\n';
  if (newline_) text.remove_suffix(1);
  return out + take(text, look);
}

std::string ArgumentValue::finish() {
  if (!text_) return coerce(*type_, held_);
  return closed(state_ == State::shown ? held_ : meant_string(held_));
}

std::optional<std::string> ArgumentValue::cut() {
  if (!text_) return std::nullopt;
  return closed(held_);
}

std::string ArgumentValue::take(std::string_view text, Look look) {
  if (text.empty()) return {};
  if (!text_) {
    held_ += text;
    return {};
  }
  if (state_ == State::begin) {
    state_ = text.front() == '"' ? State::quoted : State::shown;
  }
  if (state_ == State::quoted) {
    const bool may_be = may_be_quoted(text);
    held_ += text;
    if (may_be) return {};
    has_markup_ = true;  // quotes and more: code, not a text with line breaks
    return release();
  }
  has_markup_ |= look == Look::markup || text.find('\n') != std::string_view::npos;
  if (state_ == State::shown && look == Look::line_break && !has_markup_) {
    state_ = State::broken_lines;
  }
  if (state_ == State::broken_lines) {
    held_ += text;
    return has_markup_ ? release() : std::string();
  }
  return show(text);
}

// All that was held back is shown as it is.
std::string ArgumentValue::release() {
  state_ = State::shown;
  return show(std::exchange(held_, {}));
}

std::string ArgumentValue::show(std::string_view text) {
  if (text.empty()) return {};
  std::string out = opened_ ? "" : "\"";
  opened_ = true;
  return out + json_escaped(text);
}

// The last text of the string and its closing quote.
std::string ArgumentValue::closed(std::string_view text) {
  std::string out = show(text);
  return out + (opened_ ? "\"" : "\"\"");
}

// Whether the text so far, with `text`, can be one JSON string and nothing else.
bool ArgumentValue::may_be_quoted(std::string_view text) {
  for (std::size_t i = held_.empty() ? 1 : 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote_closed_) {
      if (kSpace.find(c) == std::string_view::npos) return false;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      return false;
    } else {
      quote_closed_ = !escape_ && c == '"';
      escape_ = !escape_ && c == '\\';
    }
  }
  return true;
}

}  // namespace zaya
