#include "text/jinja/renderer.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/filters.h"
#include "text/jinja/objects.h"

namespace zaya::jinja {
namespace {

// Nested statements, expressions and calls; a few hundred macro calls deep, as in Python.
constexpr int kMaxDepth = 1500;

}  // namespace

Value* Scope::find(NameId id) {
  for (auto& [name, value] : values) {
    if (name == id) return &value;
  }
  return nullptr;
}

void Scope::set(NameId id, Value value) {
  if (Value* found = find(id)) {
    *found = std::move(value);
  } else {
    values.emplace_back(id, std::move(value));
  }
}

/// Forgets its variables at the end, as jinja2 does: this also unties macros from the scope that
/// holds them.
class Renderer::LocalScope {
 public:
  explicit LocalScope(const ScopePtr& outer) : scope_(std::make_shared<Scope>(outer)) {}
  LocalScope(const LocalScope&) = delete;
  LocalScope& operator=(const LocalScope&) = delete;
  ~LocalScope() { scope_->values.clear(); }
  const ScopePtr& get() const { return scope_; }
  Scope* operator->() const { return scope_.get(); }

 private:
  ScopePtr scope_;
};

class Renderer::Depth {
 public:
  explicit Depth(Renderer& renderer) : renderer_(renderer) {
    if (++renderer_.depth_ > kMaxDepth) {
      --renderer_.depth_;
      throw Failure("maximum recursion depth exceeded");
    }
    spend(kNodeCost);
  }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;
  ~Depth() { --renderer_.depth_; }

 private:
  Renderer& renderer_;
};

struct Renderer::Macro : Object {
  Macro(std::shared_ptr<const MacroDef> d, ScopePtr s) : def(std::move(d)), scope(std::move(s)) {}
  std::string type_name() const override { return "jinja2.runtime.Macro"; }
  std::string repr() const override {
    return "<Macro " + (def->name.empty() ? "anonymous" : string_repr(def->name)) + ">";
  }
  std::optional<Value> attribute(std::string_view name) override {
    if (name == "name") return def->name.empty() ? Value() : Value(def->name);
    if (name == "arguments") {
      return Value::tuple({def->parameter_names.begin(), def->parameter_names.end()});
    }
    if (name == "caller") return Value(def->uses_caller);
    if (name == "catch_kwargs") return Value(def->uses_kwargs);
    if (name == "catch_varargs") return Value(def->uses_varargs);
    return std::nullopt;
  }
  bool callable() const override { return true; }
  Value call(Renderer& renderer, Args& args) override {
    return renderer.call_macro(*def, scope, args);
  }

  std::shared_ptr<const MacroDef> def;
  ScopePtr scope;
};

/// The variable `loop`. It looks one item ahead only when asked to, so that a lazy iterable stays
/// lazy.
struct Renderer::Loop : Object {
  Loop(const Stmt& s, ScopePtr o, const Value& v, int d)
      : stmt(s), outer(std::move(o)), iterable(v), iterator(jinja::iterate(v)), depth0(d) {
    depth = checked_nesting(v.depth() + 1);
  }
  std::string type_name() const override { return "jinja2.runtime.LoopContext"; }
  std::string repr() const override { return fmt::format("<LoopContext {}>", index0 + 1); }
  bool callable() const override { return true; }
  Value call(Renderer& renderer, Args& args) override {
    const auto p = bind("loop", args, {"iterable"}, 1);
    if (!stmt.recursive) {
      throw Failure("The loop must have the 'recursive' marker to be called recursively.");
    }
    return renderer.render_recursive(stmt, outer, *p[0], depth0 + 1);
  }

  bool next(Value& out) {
    Value item;
    if (ahead) {
      item = *std::exchange(ahead, std::nullopt);
    } else if (!iterator->next(item)) {
      return false;
    }
    ++index0;
    previous = std::exchange(current, item);
    out = std::move(item);
    return true;
  }

  bool has_next() {
    Value item;
    if (!ahead && iterator->next(item)) ahead = std::move(item);
    return ahead.has_value();
  }

  std::int64_t count() {
    if (total) return *total;
    if (iterable.as<Iterator>() == nullptr) {
      total = static_cast<std::int64_t>(jinja::length(iterable));
    } else {
      // A generator tells its length only by its end.
      std::vector<Value> rest = to_vector(iterable);
      total = static_cast<std::int64_t>(rest.size()) + index0 + 1 + (ahead ? 1 : 0);
      iterator = jinja::iterate(Value::list(std::move(rest)));
    }
    return *total;
  }

  std::optional<Value> attribute(std::string_view name) override {
    if (name == "index") return Value(index0 + 1);
    if (name == "index0") return Value(index0);
    if (name == "first") return Value(index0 == 0);
    if (name == "last") return Value(!has_next());
    if (name == "length") return Value(count());
    if (name == "revindex") return Value(count() - index0);
    if (name == "revindex0") return Value(count() - index0 - 1);
    if (name == "depth") return Value(depth0 + 1);
    if (name == "depth0") return Value(depth0);
    if (name == "previtem") {
      return index0 == 0 ? Value::undefined("there is no previous item") : previous;
    }
    if (name == "nextitem") return has_next() ? *ahead : Value::undefined("there is no next item");
    if (name == "cycle") {
      return method("cycle", [i = index0](Renderer&, Args& args) {
        if (args.positional.empty()) throw Failure("no items for cycling given");
        return args.positional[static_cast<std::size_t>(i) % args.positional.size()];
      });
    }
    if (name == "changed") {
      return method("changed", [loop = this, keep = self.lock()](Renderer&, Args& args) {
        return Value(loop->changed(Value::tuple(args.positional)));
      });
    }
    return std::nullopt;
  }

  bool changed(Value now) {
    if (last_changed && jinja::equals(*last_changed, now)) return false;
    depth = std::max(depth, checked_nesting(now.depth() + 1));
    last_changed = std::move(now);
    return true;
  }

  Value method(const char* name, Function::Body body) const {
    auto function = std::make_shared<Function>(name, std::move(body));
    function->depth = checked_nesting(depth + 1);
    return Value(std::shared_ptr<Object>(std::move(function)));
  }

  /// After the loop: what it refers to may refer to it.
  void release() {
    iterator = jinja::iterate(Value::undefined({}));
    last_changed.reset();
    ahead.reset();
  }

  const Stmt& stmt;
  ScopePtr outer;
  Value iterable;
  std::shared_ptr<Iterator> iterator;
  int depth0;
  std::int64_t index0 = -1;
  std::optional<std::int64_t> total;
  std::optional<Value> ahead;
  Value current;
  Value previous;
  std::optional<Value> last_changed;
  std::weak_ptr<Loop> self;
};

Renderer::Renderer(const Program& program, const RenderOptions& options)
    : program_(program), options_(options), root_(std::make_shared<Scope>(nullptr)) {}

Renderer::~Renderer() {
  for (const auto& ns : namespaces_) ns->attributes = std::make_shared<Dict>();
  root_->values.clear();
}

std::string Renderer::run(const Json& variables) {
  context_.resize(program_.names.size());
  for (std::size_t id = 0; id < program_.names.size(); ++id) {
    const std::string& name = program_.names[id];
    if (const auto it = variables.find(name); it != variables.end()) {
      context_[id] = from_json(*it);
    } else {
      context_[id] = find_global(name);
    }
  }
  std::string out;
  out_ = &out;
  run_body(program_.body, root_);
  return out;
}

void Renderer::write(std::string_view text) {
  spend(text.size());
  if (out_->size() + text.size() > options_.max_output) {
    throw Failure(fmt::format("the output is larger than {} bytes", options_.max_output));
  }
  out_->append(text);
}

Value Renderer::new_namespace(const Value& attributes) {
  auto made = std::make_shared<Namespace>();
  for (const auto& [key, value] : attributes.dict().entries()) made->attributes->set(key, value);
  namespaces_.push_back(made);
  return Value(std::shared_ptr<Object>(std::move(made)));
}

Value Renderer::call(const Value& callee, Args& args) {
  if (callee.is_undefined()) fail_undefined(callee);
  if (!callee.is(Kind::object)) {
    throw Failure(fmt::format("'{}' object is not callable", short_type_name(type_name(callee))));
  }
  return callee.object()->call(*this, args);
}

std::pair<std::string, Renderer::Flow> Renderer::capture(const Body& body, const ScopePtr& scope) {
  struct Redirect {
    explicit Redirect(Renderer& r) : renderer(r), outer(std::exchange(r.out_, &text)) {}
    Redirect(const Redirect&) = delete;
    Redirect& operator=(const Redirect&) = delete;
    ~Redirect() { renderer.out_ = outer; }
    std::string text;
    Renderer& renderer;
    std::string* outer;
  };
  Redirect redirect(*this);
  const Flow flow = run_body(body, scope);
  return {std::move(redirect.text), flow};
}

Renderer::Flow Renderer::run_body(const Body& body, const ScopePtr& scope) {
  const Depth depth(*this);
  for (const auto& stmt : body) {
    const Flow flow = run_statement(*stmt, scope);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Renderer::Flow Renderer::run_statement(const Stmt& stmt, const ScopePtr& scope) {
  spend(kNodeCost);
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::text:
      write(stmt.text);
      return Flow::next;
    case StmtKind::print: {
      const Value value = evaluate(*stmt.expr, scope);
      value.is_string() ? write(value.str()) : write(to_str(value));
      return Flow::next;
    }
    case StmtKind::if_:
      for (const auto& [test, body] : stmt.branches) {
        if (truthy(evaluate(*test, scope))) return run_body(body, scope);
      }
      return run_body(stmt.otherwise, scope);
    case StmtKind::for_: {
      const Value iterable = evaluate(*stmt.expr, scope);
      if (!stmt.recursive) return run_for(stmt, scope, iterable, 0);
      write(render_recursive(stmt, scope, iterable, 0).str());
      return Flow::next;
    }
    case StmtKind::set:
      assign(stmt.target, evaluate(*stmt.expr, scope), scope, scope);
      return Flow::next;
    case StmtKind::set_block:
    case StmtKind::filter_block: {
      const LocalScope inner(scope);
      auto [text, flow] = capture(stmt.body, inner.get());
      if (flow != Flow::next) return flow;
      const Value value =
          stmt.expr ? filtered(*stmt.expr, std::move(text), inner.get()) : Value(std::move(text));
      if (stmt.kind == StmtKind::set_block) {
        assign(stmt.target, value, scope, scope);
      } else {
        write(to_str(value));
      }
      return Flow::next;
    }
    case StmtKind::macro:
      scope->set(stmt.target.name_id,
                 Value(std::shared_ptr<Object>(std::make_shared<Macro>(stmt.macro, scope))));
      return Flow::next;
    case StmtKind::call_block:
      call_block(stmt, scope);
      return Flow::next;
    case StmtKind::with: {
      const LocalScope inner(scope);
      for (const auto& [target, expr] : stmt.assignments) {
        assign(target, evaluate(*expr, scope), inner.get(), scope);
      }
      return run_body(stmt.body, inner.get());
    }
    case StmtKind::scope: {
      const LocalScope inner(scope);
      return run_body(stmt.body, inner.get());
    }
    case StmtKind::break_:
      return Flow::break_loop;
    case StmtKind::continue_:
      return Flow::continue_loop;
  }
  return Flow::next;
}

Value Renderer::filtered_items(const Stmt& stmt, const ScopePtr& scope, const Value& iterable) {
  return make_iterator(iterable, [this, &stmt, scope, source = iterate(iterable)](Value& out) {
    while (source->next(out)) {
      const LocalScope inner(scope);
      assign(stmt.target, out, inner.get(), scope);
      if (truthy(evaluate(*stmt.test, inner.get()))) return true;
    }
    return false;
  });
}

Renderer::Flow Renderer::run_for(const Stmt& stmt, const ScopePtr& scope, const Value& iterable,
                                 int depth0) {
  const Value items = stmt.test ? filtered_items(stmt, scope, iterable) : iterable;
  const auto loop = std::make_shared<Loop>(stmt, scope, items, depth0);
  loop->self = loop;
  const Value loop_value{std::shared_ptr<Object>(loop)};
  bool finished_one = false;
  Value item;
  Flow flow = Flow::next;
  while (flow != Flow::break_loop && loop->next(item)) {
    const LocalScope inner(scope);
    inner->set(kLoop, loop_value);
    assign(stmt.target, item, inner.get(), scope);
    flow = run_body(stmt.body, inner.get());
    // In jinja2, too, only an iteration that reaches its end keeps `else` from running.
    finished_one = finished_one || flow == Flow::next;
  }
  loop->release();
  if (finished_one || stmt.otherwise.empty()) return Flow::next;
  const LocalScope inner(scope);
  return run_body(stmt.otherwise, inner.get());
}

Value Renderer::render_recursive(const Stmt& stmt, const ScopePtr& scope, const Value& iterable,
                                 int depth0) {
  const Depth depth(*this);
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  try {
    run_for(stmt, scope, iterable, depth0);
  } catch (...) {
    out_ = outer;
    throw;
  }
  out_ = outer;
  return Value(std::move(text));
}

void Renderer::call_block(const Stmt& stmt, const ScopePtr& scope) {
  const Value caller{std::shared_ptr<Object>(std::make_shared<Macro>(stmt.macro, scope))};
  write(to_str(evaluate_call(*stmt.expr, scope, &caller)));
}

Value Renderer::call_macro(const MacroDef& def, const ScopePtr& scope, Args& args) {
  const Depth depth(*this);
  const LocalScope inner(scope);
  const std::size_t count = def.parameters.size();
  const std::size_t given = std::min(args.positional.size(), count);
  std::vector<std::optional<Value>> values(count);
  bool has_caller = false;
  for (std::size_t i = 0; i < count; ++i) {
    const bool is_caller = def.parameter_names[i] == "caller";
    has_caller = has_caller || (is_caller && (given < count || i < given));
    values[i] = i < given ? std::optional(args.positional[i]) : args.take(def.parameter_names[i]);
  }
  if (def.uses_caller && !has_caller) {
    const std::optional<Value> caller = args.take("caller");
    inner->set(kCaller,
               caller && !caller->is_none() ? *caller : Value::undefined("No caller defined"));
  }
  const std::string shown = def.name.empty() ? "None" : string_repr(def.name);
  if (def.uses_kwargs) {
    auto rest = std::make_shared<Dict>();
    for (auto& [key, value] : args.named) rest->set(Value(key), std::move(value));
    inner->set(kKwargs, Value(std::move(rest)));
  } else if (!args.named.empty()) {
    if (args.find("caller") != nullptr) {
      throw Failure(
          fmt::format("macro {} was invoked with two values for the special caller "
                      "argument. This is most likely a bug.",
                      shown));
    }
    throw Failure(fmt::format("macro {} takes no keyword argument {}", shown,
                              string_repr(args.named.front().first)));
  }
  if (def.uses_varargs) {
    std::vector<Value> rest(args.positional.begin() + static_cast<std::ptrdiff_t>(given),
                            args.positional.end());
    inner->set(kVarargs, Value::tuple(std::move(rest)));
  } else if (args.positional.size() > count) {
    throw Failure(fmt::format("macro {} takes not more than {} argument(s)", shown, count));
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (values[i]) inner->set(def.parameters[i], *values[i]);
  }
  const std::size_t required = count - def.defaults.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (values[i]) continue;
    inner->set(def.parameters[i],
               i >= required ? evaluate(*def.defaults[i - required], inner.get())
                             : Value::undefined(fmt::format("parameter {} was not provided",
                                                            string_repr(def.parameter_names[i]))));
  }
  return Value(capture(def.body, inner.get()).first);
}

void Renderer::assign(const Target& target, const Value& value, const ScopePtr& scope,
                      const ScopePtr& lookup) {
  switch (target.kind) {
    case Target::Kind::name:
      scope->set(target.name_id, value);
      return;
    case Target::Kind::attribute: {
      line_ = target.line;
      const Value object = evaluate_name(target.name_id, lookup);
      auto* const ns = object.as<Namespace>();
      if (ns == nullptr) throw Failure("cannot assign attribute on non-namespace object");
      ns->attributes->set(Value(target.attribute), value);
      return;
    }
    case Target::Kind::tuple: {
      line_ = target.line;
      if (!is_iterable(value)) {
        throw Failure(
            fmt::format("cannot unpack non-iterable {} object", short_type_name(type_name(value))));
      }
      const std::vector<Value> items = to_vector(value);
      const std::size_t wanted = target.items.size();
      if (items.size() > wanted) {
        throw Failure(fmt::format("too many values to unpack (expected {})", wanted));
      }
      if (items.size() < wanted) {
        throw Failure(
            fmt::format("not enough values to unpack (expected {}, got {})", wanted, items.size()));
      }
      for (std::size_t i = 0; i < wanted; ++i) assign(target.items[i], items[i], scope, lookup);
      return;
    }
  }
}

Value Renderer::filtered(const Expr& chain, std::string input, const ScopePtr& scope) {
  const Value value(std::move(input));
  const Value* const outer = std::exchange(filter_input_, &value);
  Value result = evaluate(chain, scope);
  filter_input_ = outer;
  return result;
}

Value Renderer::evaluate_name(NameId id, const ScopePtr& scope) const {
  for (Scope* s = scope.get(); s != nullptr; s = s->parent.get()) {
    if (const Value* found = s->find(id)) return *found;
  }
  if (context_[id]) return *context_[id];
  return Value::undefined(fmt::format("{} is undefined", string_repr(program_.names[id])));
}

Args Renderer::evaluate_arguments(const Arguments& arguments, const ScopePtr& scope) {
  Args args;
  for (const ExprPtr& arg : arguments.positional) args.positional.push_back(evaluate(*arg, scope));
  for (const auto& [key, arg] : arguments.named)
    args.named.emplace_back(key, evaluate(*arg, scope));
  if (arguments.star) {
    for (Value& v : to_vector(evaluate(*arguments.star, scope)))
      args.positional.push_back(std::move(v));
  }
  if (arguments.double_star) {
    const Value more = evaluate(*arguments.double_star, scope);
    if (!more.is(Kind::dict)) {
      throw Failure(fmt::format("argument after ** must be a mapping, not {}",
                                short_type_name(type_name(more))));
    }
    for (const auto& [key, value] : more.dict().entries()) {
      if (!key.is_string()) throw Failure("keywords must be strings");
      spend(args.named.size());
      if (args.find(key.str()) != nullptr) {
        throw Failure(fmt::format("got multiple values for keyword argument {}", to_repr(key)));
      }
      args.named.emplace_back(key.str(), value);
    }
  }
  return args;
}

Value Renderer::evaluate_call(const Expr& expr, const ScopePtr& scope, const Value* caller) {
  const Value callee = evaluate(*expr.items[0], scope);
  Args args = evaluate_arguments(*expr.arguments, scope);
  if (caller != nullptr) {
    if (args.find("caller") != nullptr) throw Failure("keyword argument repeated: caller");
    args.named.emplace_back("caller", *caller);
  }
  line_ = expr.line;
  return call(callee, args);
}

Value Renderer::evaluate_filter(const Expr& expr, const ScopePtr& scope) {
  const Value input = expr.items[0] ? evaluate(*expr.items[0], scope) : *filter_input_;
  Args args = evaluate_arguments(*expr.arguments, scope);
  args.positional.insert(args.positional.begin(), input);
  line_ = expr.line;
  if (expr.kind == ExprKind::test) return Value(call_test(expr.text, args));
  return call_filter(*this, expr.text, args);
}

Value Renderer::evaluate_compare(const Expr& expr, const ScopePtr& scope) {
  Value left = evaluate(*expr.items[0], scope);
  for (std::size_t i = 0; i < expr.comparisons.size(); ++i) {
    Value right = evaluate(*expr.items[i + 1], scope);
    line_ = expr.line;
    bool holds = false;
    switch (expr.comparisons[i]) {
      case Comparison::eq:
        holds = equals(left, right);
        break;
      case Comparison::ne:
        holds = !equals(left, right);
        break;
      case Comparison::lt:
        holds = less(left, right);
        break;
      case Comparison::le:
        holds = less_equal(left, right);
        break;
      case Comparison::gt:
        holds = less(right, left);
        break;
      case Comparison::ge:
        holds = less_equal(right, left);
        break;
      case Comparison::in:
        holds = contains(right, left);
        break;
      case Comparison::not_in:
        holds = !contains(right, left);
        break;
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Renderer::evaluate(const Expr& expr, const ScopePtr& scope) {
  const Depth depth(*this);
  const auto item = [&](std::size_t i) { return evaluate(*expr.items[i], scope); };
  const auto optional_item = [&](std::size_t i) { return expr.items[i] ? item(i) : Value(); };
  switch (expr.kind) {
    case ExprKind::constant:
      return expr.value;
    case ExprKind::name:
      return evaluate_name(expr.name_id, scope);
    case ExprKind::list:
    case ExprKind::tuple: {
      std::vector<Value> items;
      items.reserve(expr.items.size());
      for (std::size_t i = 0; i < expr.items.size(); ++i) items.push_back(item(i));
      line_ = expr.line;
      return expr.kind == ExprKind::list ? Value::list(std::move(items))
                                         : Value::tuple(std::move(items));
    }
    case ExprKind::dict: {
      auto dict = std::make_shared<Dict>();
      for (std::size_t i = 0; i < expr.items.size(); i += 2) {
        Value key = item(i);
        Value value = item(i + 1);
        line_ = expr.line;
        dict->set(std::move(key), std::move(value));
      }
      return Value(std::move(dict));
    }
    case ExprKind::attribute: {
      const Value object = item(0);
      line_ = expr.line;
      return get_attribute(object, expr.text);
    }
    case ExprKind::item: {
      const Value object = item(0);
      const Value key = item(1);
      line_ = expr.line;
      return get_item(object, key);
    }
    case ExprKind::slice: {
      const Value object = item(0);
      const Value start = optional_item(1);
      const Value stop = optional_item(2);
      const Value step = optional_item(3);
      line_ = expr.line;
      return slice(object, start, stop, step);
    }
    case ExprKind::call:
      return evaluate_call(expr, scope);
    case ExprKind::filter:
    case ExprKind::test:
      return evaluate_filter(expr, scope);
    case ExprKind::negate:
    case ExprKind::positive: {
      const Value value = item(0);
      line_ = expr.line;
      return expr.kind == ExprKind::negate ? negate(value) : positive(value);
    }
    case ExprKind::logical_not:
      return Value(!truthy(item(0)));
    case ExprKind::logical_and: {
      Value left = item(0);
      return truthy(left) ? item(1) : left;
    }
    case ExprKind::logical_or: {
      Value left = item(0);
      return truthy(left) ? left : item(1);
    }
    case ExprKind::binary: {
      const Value left = item(0);
      const Value right = item(1);
      line_ = expr.line;
      return binary(expr.op, left, right);
    }
    case ExprKind::concat: {
      std::string text;
      for (std::size_t i = 0; i < expr.items.size(); ++i) text += to_str(item(i));
      return Value(std::move(text));
    }
    case ExprKind::compare:
      return evaluate_compare(expr, scope);
    case ExprKind::conditional:
      if (truthy(item(1))) return item(0);
      if (expr.items[2]) return item(2);
      return Value::undefined(fmt::format(
          "the inline if-expression on line {} evaluated to false and no else section was defined.",
          expr.line));
  }
  return {};
}

}  // namespace zaya::jinja
