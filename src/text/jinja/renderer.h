#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/template.h"

namespace zaya::jinja {

/// The variables of a block, loop or macro. Macros keep the scope they are defined in.
struct Scope {
  explicit Scope(std::shared_ptr<Scope> outer) : parent(std::move(outer)) {}
  Value* find(NameId id);
  void set(NameId id, Value value);

  std::shared_ptr<Scope> parent;
  std::vector<std::pair<NameId, Value>> values;
};
using ScopePtr = std::shared_ptr<Scope>;

struct Namespace;

/// Renders a program once. All its errors are Failure; line() then tells where.
class Renderer {
 public:
  Renderer(const Program& program, const RenderOptions& options);
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;
  ~Renderer();

  std::string run(const Json& variables);
  int line() const { return line_; }
  const RenderOptions& options() const { return options_; }

  Value call(const Value& callee, Args& args);
  Value new_namespace(const Value& attributes);

 private:
  enum class Flow : std::uint8_t { next, break_loop, continue_loop };
  struct Macro;
  struct Loop;
  class LocalScope;
  class Depth;

  Flow run_body(const Body& body, const ScopePtr& scope);
  Flow run_statement(const Stmt& stmt, const ScopePtr& scope);
  Flow run_for(const Stmt& stmt, const ScopePtr& scope, const Value& iterable, int depth0);
  Value render_recursive(const Stmt& stmt, const ScopePtr& scope, const Value& iterable,
                         int depth0);
  Value filtered_items(const Stmt& stmt, const ScopePtr& scope, const Value& iterable);
  void call_block(const Stmt& stmt, const ScopePtr& scope);
  Value call_macro(const MacroDef& def, const ScopePtr& scope, Args& args);
  /// What `body` writes, and how it ended.
  std::pair<std::string, Flow> capture(const Body& body, const ScopePtr& scope);
  void write(std::string_view text);

  Value evaluate(const Expr& expr, const ScopePtr& scope);
  Value evaluate_compare(const Expr& expr, const ScopePtr& scope);
  Value evaluate_call(const Expr& expr, const ScopePtr& scope, const Value* caller = nullptr);
  Value evaluate_filter(const Expr& expr, const ScopePtr& scope);
  Value evaluate_name(NameId id, const ScopePtr& scope) const;
  Args evaluate_arguments(const Arguments& arguments, const ScopePtr& scope);
  Value filtered(const Expr& chain, std::string input, const ScopePtr& scope);
  void assign(const Target& target, const Value& value, const ScopePtr& scope,
              const ScopePtr& lookup);

  const Program& program_;
  const RenderOptions& options_;
  std::vector<std::optional<Value>> context_;  ///< the caller's variables and globals, by NameId
  ScopePtr root_;
  /// Namespaces can form cycles; emptied at the end.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::string* out_ = nullptr;
  const Value* filter_input_ = nullptr;  ///< of the filter block being closed
  int line_ = 1;
  int depth_ = 0;
};

}  // namespace zaya::jinja
