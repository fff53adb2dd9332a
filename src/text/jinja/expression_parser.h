#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace zaya::jinja {

/// The half of the parser that reads expressions and assignment targets, and keeps what both halves
/// need: the position, the names, and the filters and tests that do not exist.
class ExpressionParser {
 protected:
  explicit ExpressionParser(std::vector<Token> tokens);

  // Tokens.
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& advance();
  const Token& expect(TokenKind kind);
  void expect_op(std::string_view symbol);
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_expected(std::string_view what) const;

  // Expressions.
  ExprPtr expression(bool with_conditional = true);
  /// One or more expressions; several, or a trailing comma, make a tuple. `end_word` ends it too.
  ExprPtr tuple_expression(bool with_conditional = true, std::string_view end_word = {},
                           bool in_parentheses = false);
  /// |f|g(...) after `node`; with `start_inline` the first filter has no bar.
  ExprPtr filter_chain(ExprPtr node, bool start_inline);
  Target assign_target(bool with_namespace, bool before_in);

  // Names. `caller`, `kwargs` and `varargs` change what a macro accepts if its body uses them.
  NameId store_name(const std::string& name);
  struct Uses {
    bool caller = false, kwargs = false, varargs = false;
  };
  void begin_uses() { uses_.emplace_back(); }
  Uses end_uses();
  std::vector<std::string> take_names() { return std::move(names_); }

  // An unknown filter or test is a mistake when the template is read, but inside an `if` or a
  // conditional expression only when it is used. Loops, macros and other scopes end that lenience.
  struct Unknown {
    std::string message;
    int line;
    bool hard;
  };
  void harden(std::size_t from);
  void forget_soft(std::size_t from);
  std::vector<Unknown> unknown_;

 private:
  struct MacroUses {
    Uses used;
    Uses stored;
  };
  class Nesting;

  static ExprPtr make(ExprKind kind, int line);
  ExprPtr join(ExprKind kind, int line, ExprPtr a, ExprPtr b = nullptr);
  void adopt(Expr& parent, ExprPtr child) const;
  void raise_height(Expr& parent, int height) const;

  ExprPtr conditional();
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter = true);
  ExprPtr primary();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filters_and_tests(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr subscript_argument(bool& is_slice, std::vector<ExprPtr>& bounds);
  ExprPtr call(ExprPtr node);
  ExprPtr test(ExprPtr node);
  ExprPtr list();
  ExprPtr dict();
  std::unique_ptr<Arguments> call_arguments();
  void attach(Expr& node, std::unique_ptr<Arguments> arguments) const;
  std::string dotted_name();
  Target simple_target(bool with_namespace);

  NameId intern(const std::string& name);
  NameId load_name(const std::string& name);

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::vector<std::string> names_;
  std::unordered_map<std::string, NameId> ids_;
  std::vector<MacroUses> uses_;
};

}  // namespace zaya::jinja
