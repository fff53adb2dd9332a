#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/ops.h"
#include "text/jinja/value.h"

namespace zaya::jinja {

// The tree of a parsed template. Names are numbered, so that a scope need not compare strings.

using NameId = std::uint32_t;

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class ExprKind : std::uint8_t {
  constant,     ///< value
  name,         ///< name_id
  list,         ///< items
  tuple,        ///< items
  dict,         ///< items: key, value, key, value, ...
  attribute,    ///< items[0].text
  item,         ///< items[0][items[1]]
  slice,        ///< items[0][items[1]:items[2]:items[3]], the bounds may be null
  call,         ///< items[0](arguments)
  filter,       ///< items[0]|text(arguments); items[0] is null in a filter block
  test,         ///< items[0] is text(arguments)
  negate,       ///< -items[0]
  positive,     ///< +items[0]
  logical_not,  ///< not items[0]
  logical_and,  ///< items[0] and items[1]
  logical_or,   ///< items[0] or items[1]
  binary,       ///< items[0] op items[1]
  concat,       ///< items joined with ~
  compare,      ///< items[0] comparisons[0] items[1] comparisons[1] items[2] ...
  conditional   ///< items[0] if items[1] else items[2], which may be null
};

enum class Comparison : std::uint8_t { eq, ne, lt, le, gt, ge, in, not_in };

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         ///< *args
  ExprPtr double_star;  ///< **kwargs
};

struct Expr {
  ExprKind kind;
  int line;
  int height = 1;  ///< of the tree below: bounds the recursion of the evaluator
  std::vector<ExprPtr> items = {};
  Value value = {};
  std::string text = {};
  NameId name_id = 0;
  BinaryOp op = {};
  std::vector<Comparison> comparisons = {};
  std::unique_ptr<Arguments> arguments = {};
};

/// What an assignment stores to.
struct Target {
  enum class Kind : std::uint8_t { name, attribute, tuple } kind = Kind::name;
  int line = 0;
  NameId name_id = 0;
  std::string attribute = {};      ///< name.attribute of a namespace
  std::vector<Target> items = {};  ///< of a tuple
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

/// A macro, or the body of a call block.
struct MacroDef {
  std::string name;  ///< empty for a call block
  std::vector<NameId> parameters;
  std::vector<std::string> parameter_names;
  std::vector<ExprPtr> defaults;  ///< of the last parameters
  Body body = {};
  // Whether the body uses these names without setting them.
  bool uses_caller = false;
  bool uses_kwargs = false;
  bool uses_varargs = false;
};

enum class StmtKind : std::uint8_t {
  text,          ///< text
  print,         ///< expr
  if_,           ///< branches, otherwise
  for_,          ///< target, expr (what to iterate), test, body, otherwise, recursive
  set,           ///< target, expr
  set_block,     ///< target, expr (a filter chain or null), body
  macro,         ///< target, macro
  call_block,    ///< expr (the call), macro (the body)
  filter_block,  ///< expr (the filter chain), body
  with,          ///< assignments, body
  scope,         ///< body in a scope of its own (generation)
  break_,
  continue_
};

struct Stmt {
  StmtKind kind;
  int line;
  std::string text = {};
  Target target = {};
  ExprPtr expr = {};
  ExprPtr test = {};
  Body body = {};
  Body otherwise = {};
  bool recursive = false;
  std::vector<std::pair<ExprPtr, Body>> branches = {};
  std::vector<std::pair<Target, ExprPtr>> assignments = {};
  std::shared_ptr<const MacroDef> macro = {};
};

/// Names with a meaning of their own to the renderer: their ids are fixed.
enum KnownName : NameId { kLoop, kCaller, kKwargs, kVarargs };

struct Program {
  Body body = {};
  std::vector<std::string> names;  ///< by NameId
};

}  // namespace zaya::jinja
