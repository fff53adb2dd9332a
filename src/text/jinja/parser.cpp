#include "text/jinja/parser.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include <fmt/format.h>

#include "text/jinja/expression_parser.h"
#include "text/jinja/filters.h"
#include "text/jinja/lexer.h"

namespace zaya::jinja {
namespace {

constexpr int kMaxStatementNesting = 100;

using EndTags = std::initializer_list<std::string_view>;

class Parser : ExpressionParser {
 public:
  explicit Parser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

  Program run() {
    Program program;
    program.body = body({});
    if (!unknown_.empty()) throw SyntaxFailure(unknown_.front().message, unknown_.front().line);
    program.names = take_names();
    return program;
  }

 private:
  static std::unique_ptr<Stmt> make(StmtKind kind, int line) {
    return std::make_unique<Stmt>(Stmt{.kind = kind, .line = line});
  }

  bool at_tag(EndTags tags) const {
    return current().kind == TokenKind::name &&
           std::find(tags.begin(), tags.end(), current().text) != tags.end();
  }

  // Statements up to a tag that ends them, which is left to the caller.
  Body body(EndTags end_tags) {
    if (++statement_depth_ > kMaxStatementNesting) {
      fail(fmt::format("statements are nested more than {} deep", kMaxStatementNesting));
    }
    Body out;
    while (current().kind != TokenKind::end) {
      const int line = current().line;
      if (current().kind == TokenKind::data) {
        auto stmt = make(StmtKind::text, line);
        stmt->text = advance().text;
        out.push_back(std::move(stmt));
      } else if (current().kind == TokenKind::variable_begin) {
        advance();
        auto stmt = make(StmtKind::print, line);
        stmt->expr = tuple_expression();
        expect(TokenKind::variable_end);
        out.push_back(std::move(stmt));
      } else {
        expect(TokenKind::block_begin);
        if (at_tag(end_tags)) {
          --statement_depth_;
          return out;
        }
        statement(out, end_tags);
        expect(TokenKind::block_end);
      }
    }
    if (end_tags.size() != 0) {
      fail(fmt::format("Unexpected end of template. Jinja was looking for the following tags: {}.",
                       listed(end_tags)));
    }
    --statement_depth_;
    return out;
  }

  // The body of a tag whose head has just been read, and the end tag, of which the name is
  // returned.
  std::string block(Body& out, EndTags end_tags) {
    if (current().is_op(":")) advance();
    expect(TokenKind::block_end);
    out = body(end_tags);
    return advance().text;
  }

  static std::string listed(EndTags tags) {
    std::string out;
    for (const std::string_view tag : tags) {
      out += fmt::format("{}'{}'", out.empty() ? "" : " or ", tag);
    }
    return out;
  }

  void statement(Body& out, EndTags end_tags) {
    if (current().kind != TokenKind::name) fail("tag name expected");
    const std::string tag = current().text;
    const int line = current().line;
    static const std::unordered_map<std::string_view, std::unique_ptr<Stmt> (Parser::*)(int)>
        kStatements = {
            {"if", &Parser::if_statement},         {"for", &Parser::for_statement},
            {"macro", &Parser::macro_statement},   {"call", &Parser::call_statement},
            {"filter", &Parser::filter_statement}, {"set", &Parser::set_statement},
            {"with", &Parser::with_statement},     {"generation", &Parser::generation_statement},
            {"break", &Parser::loop_control},      {"continue", &Parser::loop_control}};
    if (tag == "print") {
      advance();
      print_statement(out, line);
      return;
    }
    const auto found = kStatements.find(tag);
    if (found != kStatements.end()) {
      const bool control = tag == "break" || tag == "continue";
      if (!control) advance();
      out.push_back((this->*found->second)(line));
      return;
    }
    static constexpr std::string_view kRefused[] = {"include", "import", "from",
                                                    "extends", "block",  "autoescape"};
    if (std::find(std::begin(kRefused), std::end(kRefused), tag) != std::end(kRefused)) {
      fail(fmt::format("'{}' is not supported: a chat template stands alone", tag));
    }
    std::string message = fmt::format("Encountered unknown tag '{}'.", tag);
    if (end_tags.size() != 0) {
      message += fmt::format(" Jinja was looking for the following tags: {}.", listed(end_tags));
    }
    fail(message);
  }

  void print_statement(Body& out, int line) {
    for (bool first = true; current().kind != TokenKind::block_end; first = false) {
      if (!first) expect_op(",");
      auto stmt = make(StmtKind::print, line);
      stmt->expr = expression();
      out.push_back(std::move(stmt));
    }
  }

  std::unique_ptr<Stmt> if_statement(int line) {
    auto stmt = make(StmtKind::if_, line);
    const std::size_t soft_from = unknown_.size();
    std::string end;
    do {
      auto& [test, branch] = stmt->branches.emplace_back();
      test = tuple_expression(false);
      end = block(branch, {"elif", "else", "endif"});
    } while (end == "elif");
    if (end == "else") block(stmt->otherwise, {"endif"});
    forget_soft(soft_from);
    return stmt;
  }

  std::unique_ptr<Stmt> for_statement(int line) {
    auto stmt = make(StmtKind::for_, line);
    stmt->target = assign_target(false, true);
    if (!current().is_name("in")) fail_expected("in");
    advance();
    stmt->expr = tuple_expression(false, "recursive");
    const std::size_t hard_from = unknown_.size();
    if (current().is_name("if")) {
      advance();
      stmt->test = expression();
    }
    if (current().is_name("recursive")) {
      advance();
      stmt->recursive = true;
    }
    ++loops_;
    const std::string end = block(stmt->body, {"endfor", "else"});
    --loops_;
    // The else branch of a plain loop belongs to the loop around it.
    if (end == "else") {
      const int outer = loops_;
      if (stmt->recursive) loops_ = 0;
      block(stmt->otherwise, {"endfor"});
      loops_ = outer;
    }
    harden(hard_from);
    return stmt;
  }

  std::unique_ptr<Stmt> set_statement(int line) {
    auto stmt = make(StmtKind::set, line);
    stmt->target = assign_target(true, false);
    if (current().is_op("=")) {
      advance();
      stmt->expr = tuple_expression();
      return stmt;
    }
    stmt->kind = StmtKind::set_block;
    const std::size_t hard_from = unknown_.size();
    if (current().is_op("|")) stmt->expr = filter_chain(nullptr, false);
    block(stmt->body, {"endset"});
    harden(hard_from);
    return stmt;
  }

  std::unique_ptr<Stmt> with_statement(int line) {
    auto stmt = make(StmtKind::with, line);
    while (current().kind != TokenKind::block_end) {
      if (!stmt->assignments.empty()) expect_op(",");
      Target target = assign_target(false, false);
      expect_op("=");
      stmt->assignments.emplace_back(std::move(target), expression());
    }
    const std::size_t hard_from = unknown_.size();
    block(stmt->body, {"endwith"});
    harden(hard_from);
    return stmt;
  }

  std::unique_ptr<Stmt> filter_statement(int line) {
    auto stmt = make(StmtKind::filter_block, line);
    const std::size_t hard_from = unknown_.size();
    stmt->expr = filter_chain(nullptr, true);
    block(stmt->body, {"endfilter"});
    harden(hard_from);
    return stmt;
  }

  std::unique_ptr<Stmt> generation_statement(int line) {
    auto stmt = make(StmtKind::scope, line);
    // Hugging Face renders the body as a call block: it is a function of its own.
    const std::size_t hard_from = unknown_.size();
    const int loops = std::exchange(loops_, 0);
    block(stmt->body, {"endgeneration"});
    loops_ = loops;
    harden(hard_from);
    return stmt;
  }

  std::unique_ptr<Stmt> loop_control(int line) {
    const bool is_break = advance().text == "break";
    if (loops_ == 0) {
      throw SyntaxFailure(is_break ? "'break' outside loop" : "'continue' not properly in loop",
                          line);
    }
    return make(is_break ? StmtKind::break_ : StmtKind::continue_, line);
  }

  void signature(MacroDef& macro) {
    expect_op("(");
    while (!current().is_op(")")) {
      if (!macro.parameters.empty()) expect_op(",");
      const Token& name = expect(TokenKind::name);
      macro.parameter_names.push_back(name.text);
      macro.parameters.push_back(store_name(name.text));
      if (current().is_op("=")) {
        advance();
        macro.defaults.push_back(expression());
      } else if (!macro.defaults.empty()) {
        fail("non-default argument follows default argument");
      }
    }
    advance();
  }

  void macro_body(MacroDef& macro, std::string_view end_tag, int line) {
    const std::size_t hard_from = unknown_.size();
    const int loops = std::exchange(loops_, 0);
    begin_uses();
    block(macro.body, {end_tag});
    const Uses uses = end_uses();
    loops_ = loops;
    harden(hard_from);
    const auto has = [&](std::string_view name) {
      return std::find(macro.parameter_names.begin(), macro.parameter_names.end(), name) !=
             macro.parameter_names.end();
    };
    macro.uses_caller = uses.caller;
    macro.uses_kwargs = uses.kwargs && !has("kwargs");
    macro.uses_varargs = uses.varargs && !has("varargs");
    if (uses.caller && has("caller")) {
      const auto at =
          std::find(macro.parameter_names.begin(), macro.parameter_names.end(), "caller");
      const auto required = macro.parameters.size() - macro.defaults.size();
      if (static_cast<std::size_t>(at - macro.parameter_names.begin()) < required) {
        throw SyntaxFailure(
            "When defining macros or call blocks the special \"caller\" argument must be omitted "
            "or "
            "be given a default.",
            line);
      }
    }
  }

  std::unique_ptr<Stmt> macro_statement(int line) {
    auto stmt = make(StmtKind::macro, line);
    auto macro = std::make_shared<MacroDef>();
    const Token& name = expect(TokenKind::name);
    macro->name = name.text;
    stmt->target = {.line = line, .name_id = store_name(name.text)};
    signature(*macro);
    macro_body(*macro, "endmacro", line);
    stmt->macro = std::move(macro);
    return stmt;
  }

  std::unique_ptr<Stmt> call_statement(int line) {
    auto stmt = make(StmtKind::call_block, line);
    auto macro = std::make_shared<MacroDef>();
    if (current().is_op("(")) signature(*macro);
    stmt->expr = expression();
    if (stmt->expr->kind != ExprKind::call) throw SyntaxFailure("expected call", line);
    macro_body(*macro, "endcall", line);
    stmt->macro = std::move(macro);
    return stmt;
  }

  int statement_depth_ = 0;
  int loops_ = 0;  // around the current statement, within its function
};

}  // namespace

Program parse(std::string_view source) {
  return Parser(tokenize(source)).run();
}

}  // namespace zaya::jinja
