#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "text/jinja/filters.h"

namespace zaya::jinja {
namespace {

// Python itself gives up at about this many nested parentheses.
constexpr int kMaxExpressionNesting = 200;

std::string kind_name(TokenKind kind) {
  return describe({kind, 0, {}});
}

}  // namespace

/// Bounds the recursion of the parser.
class ExpressionParser::Nesting {
 public:
  explicit Nesting(ExpressionParser& parser) : parser_(parser) {
    if (++parser_.depth_ > kMaxExpressionNesting) {
      parser_.fail(fmt::format("an expression is nested more than {} deep", kMaxExpressionNesting));
    }
  }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  ~Nesting() { --parser_.depth_; }

 private:
  ExpressionParser& parser_;
};

ExpressionParser::ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  for (const char* name : {"loop", "caller", "kwargs", "varargs"}) intern(name);
}

const Token& ExpressionParser::advance() {
  const Token& token = tokens_[at_];
  if (token.kind != TokenKind::end) ++at_;
  return token;
}

const Token& ExpressionParser::expect(TokenKind kind) {
  if (current().kind != kind) fail_expected(kind_name(kind));
  return advance();
}

void ExpressionParser::expect_op(std::string_view symbol) {
  if (!current().is_op(symbol)) fail_expected(symbol);
  advance();
}

void ExpressionParser::fail(const std::string& message) const {
  throw SyntaxFailure(message, current().line);
}

void ExpressionParser::fail_expected(std::string_view what) const {
  if (current().kind == TokenKind::end) {
    fail(fmt::format("unexpected end of template, expected '{}'.", what));
  }
  fail(fmt::format("expected token '{}', got '{}'", what, describe(current())));
}

NameId ExpressionParser::intern(const std::string& name) {
  const auto [it, is_new] = ids_.emplace(name, static_cast<NameId>(names_.size()));
  if (is_new) names_.push_back(name);
  return it->second;
}

NameId ExpressionParser::load_name(const std::string& name) {
  for (MacroUses& m : uses_) {
    if (name == "caller") m.used.caller = m.used.caller || !m.stored.caller;
    if (name == "kwargs") m.used.kwargs = m.used.kwargs || !m.stored.kwargs;
    if (name == "varargs") m.used.varargs = m.used.varargs || !m.stored.varargs;
  }
  return intern(name);
}

NameId ExpressionParser::store_name(const std::string& name) {
  for (MacroUses& m : uses_) {
    m.stored.caller = m.stored.caller || name == "caller";
    m.stored.kwargs = m.stored.kwargs || name == "kwargs";
    m.stored.varargs = m.stored.varargs || name == "varargs";
  }
  return intern(name);
}

ExpressionParser::Uses ExpressionParser::end_uses() {
  const Uses uses = uses_.back().used;
  uses_.pop_back();
  return uses;
}

void ExpressionParser::harden(std::size_t from) {
  for (std::size_t i = from; i < unknown_.size(); ++i) unknown_[i].hard = true;
}

void ExpressionParser::forget_soft(std::size_t from) {
  unknown_.erase(std::remove_if(unknown_.begin() + static_cast<std::ptrdiff_t>(from),
                                unknown_.end(), [](const Unknown& u) { return !u.hard; }),
                 unknown_.end());
}

ExprPtr ExpressionParser::make(ExprKind kind, int line) {
  return std::make_unique<Expr>(Expr{.kind = kind, .line = line});
}

void ExpressionParser::raise_height(Expr& parent, int height) const {
  parent.height = std::max(parent.height, height + 1);
  if (parent.height > kMaxExpressionNesting) {
    fail(fmt::format("an expression is nested more than {} deep", kMaxExpressionNesting));
  }
}

void ExpressionParser::adopt(Expr& parent, ExprPtr child) const {
  if (child) raise_height(parent, child->height);
  parent.items.push_back(std::move(child));
}

ExprPtr ExpressionParser::join(ExprKind kind, int line, ExprPtr a, ExprPtr b) {
  ExprPtr node = make(kind, line);
  adopt(*node, std::move(a));
  if (b) adopt(*node, std::move(b));
  return node;
}

ExprPtr ExpressionParser::expression(bool with_conditional) {
  const Nesting nesting(*this);
  return with_conditional ? conditional() : logical_or();
}

ExprPtr ExpressionParser::tuple_expression(bool with_conditional, std::string_view end_word,
                                           bool in_parentheses) {
  const int line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    const Token& token = current();
    const bool ended = token.kind == TokenKind::variable_end ||
                       token.kind == TokenKind::block_end || token.is_op(")") ||
                       (!end_word.empty() && token.is_name(end_word));
    if (ended) break;
    items.push_back(expression(with_conditional));
    if (!current().is_op(",")) break;
    advance();
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items.front());
    if (!in_parentheses) {
      fail(fmt::format("Expected an expression, got '{}'", describe(current())));
    }
  }
  ExprPtr node = make(ExprKind::tuple, line);
  for (ExprPtr& item : items) adopt(*node, std::move(item));
  return node;
}

ExprPtr ExpressionParser::conditional() {
  const std::size_t soft_from = unknown_.size();
  int line = current().line;
  ExprPtr node = logical_or();
  while (current().is_name("if")) {
    advance();
    ExprPtr outer = make(ExprKind::conditional, line);
    adopt(*outer, std::move(node));
    adopt(*outer, logical_or());
    ExprPtr otherwise;
    if (current().is_name("else")) {
      advance();
      const Nesting nesting(*this);
      otherwise = conditional();
    }
    adopt(*outer, std::move(otherwise));
    node = std::move(outer);
    forget_soft(soft_from);
    line = current().line;
  }
  return node;
}

ExprPtr ExpressionParser::logical_or() {
  const int line = current().line;
  ExprPtr node = logical_and();
  while (current().is_name("or")) {
    advance();
    node = join(ExprKind::logical_or, line, std::move(node), logical_and());
  }
  return node;
}

ExprPtr ExpressionParser::logical_and() {
  const int line = current().line;
  ExprPtr node = logical_not();
  while (current().is_name("and")) {
    advance();
    node = join(ExprKind::logical_and, line, std::move(node), logical_not());
  }
  return node;
}

ExprPtr ExpressionParser::logical_not() {
  if (!current().is_name("not")) return comparison();
  const Nesting nesting(*this);
  const int line = advance().line;
  return join(ExprKind::logical_not, line, logical_not());
}

ExprPtr ExpressionParser::comparison() {
  static const std::unordered_map<std::string_view, Comparison> kOperators = {
      {"==", Comparison::eq}, {"!=", Comparison::ne}, {"<", Comparison::lt},
      {"<=", Comparison::le}, {">", Comparison::gt},  {">=", Comparison::ge}};
  const int line = current().line;
  ExprPtr first = sum();
  ExprPtr node;
  while (true) {
    Comparison op{};
    if (current().is_name("in")) {
      op = Comparison::in;
    } else if (current().is_name("not") && look().is_name("in")) {
      advance();
      op = Comparison::not_in;
    } else if (const auto found = kOperators.find(current().text);
               current().kind == TokenKind::op && found != kOperators.end()) {
      op = found->second;
    } else {
      break;
    }
    advance();
    if (!node) {
      node = make(ExprKind::compare, line);
      adopt(*node, std::move(first));
    }
    node->comparisons.push_back(op);
    adopt(*node, sum());
  }
  return node ? std::move(node) : std::move(first);
}

ExprPtr ExpressionParser::sum() {
  const int line = current().line;
  ExprPtr node = concat();
  while (current().is_op("+") || current().is_op("-")) {
    const BinaryOp op = advance().text == "+" ? BinaryOp::add : BinaryOp::subtract;
    node = join(ExprKind::binary, line, std::move(node), concat());
    node->op = op;
  }
  return node;
}

ExprPtr ExpressionParser::concat() {
  const int line = current().line;
  ExprPtr first = product();
  if (!current().is_op("~")) return first;
  ExprPtr node = make(ExprKind::concat, line);
  adopt(*node, std::move(first));
  while (current().is_op("~")) {
    advance();
    adopt(*node, product());
  }
  return node;
}

ExprPtr ExpressionParser::product() {
  static const std::unordered_map<std::string_view, BinaryOp> kOperators = {
      {"*", BinaryOp::multiply},
      {"/", BinaryOp::divide},
      {"//", BinaryOp::floor_divide},
      {"%", BinaryOp::modulo}};
  const int line = current().line;
  ExprPtr node = power();
  while (current().kind == TokenKind::op) {
    const auto found = kOperators.find(current().text);
    if (found == kOperators.end()) break;
    advance();
    node = join(ExprKind::binary, line, std::move(node), power());
    node->op = found->second;
  }
  return node;
}

ExprPtr ExpressionParser::power() {
  const int line = current().line;
  ExprPtr node = unary();
  while (current().is_op("**")) {
    advance();
    node = join(ExprKind::binary, line, std::move(node), unary());
    node->op = BinaryOp::power;
  }
  return node;
}

ExprPtr ExpressionParser::unary(bool with_filter) {
  const int line = current().line;
  ExprPtr node;
  if (current().is_op("-") || current().is_op("+")) {
    const Nesting nesting(*this);
    const ExprKind kind = advance().text == "-" ? ExprKind::negate : ExprKind::positive;
    node = join(kind, line, unary(false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filter ? filters_and_tests(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::primary() {
  const Token& token = current();
  if (token.is_op("(")) {
    advance();
    ExprPtr node = tuple_expression(true, {}, true);
    expect_op(")");
    return node;
  }
  if (token.is_op("[")) return list();
  if (token.is_op("{")) return dict();
  ExprPtr node = make(ExprKind::constant, token.line);
  switch (token.kind) {
    case TokenKind::name:
      if (token.text == "true" || token.text == "True") {
        node->value = Value(true);
      } else if (token.text == "false" || token.text == "False") {
        node->value = Value(false);
      } else if (token.text != "none" && token.text != "None") {
        node->kind = ExprKind::name;
        node->name_id = load_name(token.text);
      }
      break;
    case TokenKind::string: {
      std::string text = token.text;
      while (look().kind == TokenKind::string) {
        advance();
        text += current().text;
      }
      node->value = Value(std::move(text));
      break;
    }
    case TokenKind::integer:
      node->value = Value(token.integer);
      break;
    case TokenKind::real:
      node->value = Value(token.real);
      break;
    default:
      fail(token.kind == TokenKind::end ? "unexpected 'end of template'"
                                        : fmt::format("unexpected '{}'", describe(token)));
  }
  advance();
  return node;
}

ExprPtr ExpressionParser::list() {
  ExprPtr node = make(ExprKind::list, advance().line);
  while (!current().is_op("]")) {
    if (!node->items.empty()) expect_op(",");
    if (current().is_op("]")) break;
    adopt(*node, expression());
  }
  expect_op("]");
  return node;
}

ExprPtr ExpressionParser::dict() {
  ExprPtr node = make(ExprKind::dict, advance().line);
  while (!current().is_op("}")) {
    if (!node->items.empty()) expect_op(",");
    if (current().is_op("}")) break;
    adopt(*node, expression());
    expect_op(":");
    adopt(*node, expression());
  }
  expect_op("}");
  return node;
}

ExprPtr ExpressionParser::postfix(ExprPtr node) {
  while (true) {
    if (current().is_op(".") || current().is_op("[")) {
      node = subscript(std::move(node));
    } else if (current().is_op("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr node) {
  while (true) {
    if (current().is_op("|")) {
      node = filter_chain(std::move(node), false);
    } else if (current().is_name("is")) {
      node = test(std::move(node));
    } else if (current().is_op("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr node) {
  const int line = current().line;
  if (advance().text == ".") {
    const Token& name = current();
    if (name.kind == TokenKind::name) {
      ExprPtr out = join(ExprKind::attribute, line, std::move(node));
      out->text = advance().text;
      return out;
    }
    if (name.kind != TokenKind::integer) fail("expected name or number");
    ExprPtr index = make(ExprKind::constant, name.line);
    index->value = Value(advance().integer);
    return join(ExprKind::item, line, std::move(node), std::move(index));
  }
  bool is_slice = false;
  bool is_tuple = false;
  std::vector<ExprPtr> parts;
  while (!current().is_op("]")) {
    if (!parts.empty() || is_slice) {
      expect_op(",");
      is_tuple = true;
    }
    std::vector<ExprPtr> bounds;
    ExprPtr part = subscript_argument(is_slice, bounds);
    if (is_slice && (is_tuple || !parts.empty() || !current().is_op("]"))) fail("invalid slice");
    if (is_slice) {
      parts = std::move(bounds);
    } else {
      parts.push_back(std::move(part));
    }
  }
  expect_op("]");
  if (is_slice) {
    ExprPtr out = make(ExprKind::slice, line);
    adopt(*out, std::move(node));
    for (ExprPtr& bound : parts) adopt(*out, std::move(bound));
    return out;
  }
  if (parts.size() == 1) {
    return join(ExprKind::item, line, std::move(node), std::move(parts.front()));
  }
  ExprPtr index = make(ExprKind::tuple, line);
  for (ExprPtr& part : parts) adopt(*index, std::move(part));
  return join(ExprKind::item, line, std::move(node), std::move(index));
}

// An index, or start:stop:step in `bounds`.
ExprPtr ExpressionParser::subscript_argument(bool& is_slice, std::vector<ExprPtr>& bounds) {
  ExprPtr start;
  if (!current().is_op(":")) {
    start = expression();
    if (!current().is_op(":")) return start;
  }
  advance();
  is_slice = true;
  const auto optional = [&]() -> ExprPtr {
    const bool left_out = current().is_op(":") || current().is_op("]") || current().is_op(",");
    return left_out ? nullptr : expression();
  };
  ExprPtr stop = optional();
  ExprPtr step;
  if (current().is_op(":")) {
    advance();
    step = optional();
  }
  bounds.push_back(std::move(start));
  bounds.push_back(std::move(stop));
  bounds.push_back(std::move(step));
  return nullptr;
}

std::unique_ptr<Arguments> ExpressionParser::call_arguments() {
  auto out = std::make_unique<Arguments>();
  expect_op("(");
  const auto ensure = [&](bool valid) {
    if (!valid) fail("invalid syntax for function call expression");
  };
  for (bool first = true; !current().is_op(")"); first = false) {
    if (!first) {
      expect_op(",");
      if (current().is_op(")")) break;
    }
    if (current().is_op("*")) {
      ensure(!out->star && !out->double_star);
      advance();
      out->star = expression();
    } else if (current().is_op("**")) {
      ensure(!out->double_star);
      advance();
      out->double_star = expression();
    } else if (current().kind == TokenKind::name && look().is_op("=")) {
      ensure(!out->double_star);
      std::string key = advance().text;
      advance();
      const bool repeated = std::any_of(out->named.begin(), out->named.end(),
                                        [&](const auto& named) { return named.first == key; });
      if (repeated) fail("keyword argument repeated: " + key);
      out->named.emplace_back(std::move(key), expression());
    } else {
      ensure(!out->star && !out->double_star && out->named.empty());
      out->positional.push_back(expression());
    }
  }
  expect_op(")");
  return out;
}

void ExpressionParser::attach(Expr& node, std::unique_ptr<Arguments> arguments) const {
  for (const ExprPtr& arg : arguments->positional) raise_height(node, arg->height);
  for (const auto& [key, arg] : arguments->named) raise_height(node, arg->height);
  if (arguments->star) raise_height(node, arguments->star->height);
  if (arguments->double_star) raise_height(node, arguments->double_star->height);
  node.arguments = std::move(arguments);
}

ExprPtr ExpressionParser::call(ExprPtr node) {
  const int line = current().line;
  ExprPtr out = join(ExprKind::call, line, std::move(node));
  attach(*out, call_arguments());
  return out;
}

std::string ExpressionParser::dotted_name() {
  std::string name = expect(TokenKind::name).text;
  while (current().is_op(".")) {
    advance();
    name += "." + expect(TokenKind::name).text;
  }
  return name;
}

ExprPtr ExpressionParser::filter_chain(ExprPtr node, bool start_inline) {
  while (start_inline || current().is_op("|")) {
    if (!start_inline) advance();
    start_inline = false;
    ExprPtr filter = make(ExprKind::filter, current().line);
    filter->text = dotted_name();
    if (!has_filter(filter->text)) {
      unknown_.push_back({fmt::format("No filter named '{}'.", filter->text), filter->line, false});
    }
    adopt(*filter, std::move(node));
    attach(*filter, current().is_op("(") ? call_arguments() : std::make_unique<Arguments>());
    node = std::move(filter);
  }
  return node;
}

ExprPtr ExpressionParser::test(ExprPtr node) {
  const int line = advance().line;
  const bool negated = current().is_name("not");
  if (negated) advance();
  ExprPtr out = join(ExprKind::test, line, std::move(node));
  out->text = dotted_name();
  if (!has_test(out->text)) {
    unknown_.push_back({fmt::format("No test named '{}'.", out->text), line, false});
  }
  auto arguments = std::make_unique<Arguments>();
  const Token& token = current();
  const bool value_follows = token.kind == TokenKind::name || token.kind == TokenKind::string ||
                             token.kind == TokenKind::integer || token.kind == TokenKind::real ||
                             token.is_op("[") || token.is_op("{");
  if (token.is_op("(")) {
    arguments = call_arguments();
  } else if (value_follows && !token.is_name("else") && !token.is_name("or") &&
             !token.is_name("and")) {
    if (token.is_name("is")) fail("You cannot chain multiple tests with is");
    arguments->positional.push_back(postfix(primary()));
  }
  attach(*out, std::move(arguments));
  return negated ? join(ExprKind::logical_not, line, std::move(out)) : std::move(out);
}

Target ExpressionParser::simple_target(bool with_namespace) {
  const Nesting nesting(*this);
  Target target{.line = current().line};
  if (current().is_op("(")) {
    advance();
    target.kind = Target::Kind::tuple;
    bool comma = true;
    while (!current().is_op(")")) {
      if (!comma) expect_op(",");
      target.items.push_back(simple_target(with_namespace));
      comma = current().is_op(",");
      if (comma) advance();
    }
    advance();
    const bool single = target.items.size() == 1 && !comma;
    return single ? std::move(target.items.front()) : target;
  }
  if (current().kind != TokenKind::name) {
    const bool literal = current().kind == TokenKind::string ||
                         current().kind == TokenKind::integer || current().kind == TokenKind::real;
    fail(literal ? "can't assign to 'const'" : fmt::format("unexpected '{}'", describe(current())));
  }
  const std::string& name = advance().text;
  for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) fail("can't assign to 'const'");
  }
  if (with_namespace && current().is_op(".")) {
    advance();
    target.kind = Target::Kind::attribute;
    target.name_id = load_name(name);
    target.attribute = expect(TokenKind::name).text;
    return target;
  }
  target.name_id = store_name(name);
  return target;
}

Target ExpressionParser::assign_target(bool with_namespace, bool before_in) {
  const int line = current().line;
  Target first = simple_target(with_namespace);
  if (!current().is_op(",")) return first;
  Target target{.kind = Target::Kind::tuple, .line = line};
  target.items.push_back(std::move(first));
  while (current().is_op(",")) {
    advance();
    const bool ended = current().kind == TokenKind::block_end || current().is_op("=") ||
                       (before_in && current().is_name("in"));
    if (ended) break;
    target.items.push_back(simple_target(with_namespace));
  }
  return target;
}

}  // namespace zaya::jinja
