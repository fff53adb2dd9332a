#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/tools/tool_set.h"

namespace zaya {

/// `text`, well-formed UTF-8, as a JSON string without its quotes.
std::string json_escaped(std::string_view text);

/// How models spell a line break where they should write one.
inline constexpr std::array<std::string_view, 6> kLineBreaks = {"<br>", "<br/>", "<br />",
                                                                "<BR>", "<BR/>", "<BR />"};

/// Whether a text begins with what looks like a tag of HTML or XML.
bool begins_tag(std::string_view text);

/// The string that a model meant: one that it wrote as a JSON string is taken out of its quotes,
/// and <br> in a text that has neither line breaks nor other tags is a line break. Models write
/// both though the format asks for plain text.
std::string meant_string(std::string_view text);

/// Reads the text of an argument as the JSON value that `type` asks for; of several types the
/// string comes last. A text that fits no type is a string (or the number or null that it plainly
/// is, where no string is wanted). Returns JSON text: numbers keep all of their digits.
std::string coerce(const ValueType& type, std::string_view text);

/// The same for a value that is JSON already: a string is read again where no string is wanted.
std::string coerce_json(const ValueType& type, const Json& value);

/// One argument's value while its text arrives: takes the text between the tags, gives JSON text.
/// One newline at the begin and one at the end of the text belong to the tags.
class ArgumentValue {
 public:
  /// How a piece of text looks.
  enum class Look { plain, line_break, markup };

  /// `type` must outlive the value.
  explicit ArgumentValue(const ValueType& type) : type_(&type), text_(type.is_text()) {}

  /// Returns what is certain of the value now. A line_break or markup piece begins with '<'.
  std::string push(std::string_view text, Look look = Look::plain);
  /// No more text comes: the rest of the value.
  std::string finish();
  /// The text was cut off somewhere: strings end here, other values, which may mean something else
  /// now, are given up.
  std::optional<std::string> cut();

 private:
  enum class State { begin, shown, quoted, broken_lines };

  std::string take(std::string_view text, Look look);
  std::string show(std::string_view text);
  std::string release();
  std::string closed(std::string_view text);
  bool may_be_quoted(std::string_view text);

  const ValueType* type_;
  bool text_;  // a string, shown as it comes
  bool first_ = true;
  bool newline_ = false;  // one is held back
  bool opened_ = false;   // the string's quote was given out
  State state_ = State::begin;
  bool has_markup_ = false;  // tags or line breaks, so that a <br> is what it is
  bool quote_closed_ = false;
  bool escape_ = false;
  std::string held_;
};

}  // namespace zaya
