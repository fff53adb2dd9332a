#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace zaya::jinja {

/// A mistake in a template's syntax.
class SyntaxFailure : public std::runtime_error {
 public:
  SyntaxFailure(const std::string& message, int at) : std::runtime_error(message), line(at) {}
  int line;
};

enum class TokenKind : std::uint8_t {
  data,  ///< text between the tags
  block_begin,
  block_end,
  variable_begin,
  variable_end,
  name,
  string,
  integer,
  real,
  op,  ///< an operator, a bracket, a comma, ...
  end  ///< of the template
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;          ///< of data, names, operators; the value of strings
  std::int64_t integer = 0;  ///< of integers
  double real = 0;           ///< of floats

  bool is_op(std::string_view symbol) const { return kind == TokenKind::op && text == symbol; }
  bool is_name(std::string_view word) const { return kind == TokenKind::name && text == word; }
};

/// Cuts a template into tokens as jinja2 does with trim_blocks and lstrip_blocks on: the newline
/// after a block tag goes, and so does the white space before one that starts its line; `-` strips
/// all white space on its side and `+` keeps it. Throws SyntaxFailure.
std::vector<Token> tokenize(std::string_view source);

/// A token as an error names it.
std::string describe(const Token& token);

}  // namespace zaya::jinja
