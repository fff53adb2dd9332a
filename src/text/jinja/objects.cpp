#include "text/jinja/objects.h"

#include <map>

#include <fmt/format.h>

#include "text/jinja/renderer.h"

namespace zaya::jinja {
namespace {

Value object(std::shared_ptr<Object> made) {
  return Value(std::move(made));
}

struct Cycler : Object {
  struct State {
    Value items;
    std::size_t at = 0;
    const Value& current() const { return items.items()[at]; }
  };

  explicit Cycler(std::vector<Value> items)
      : state(std::make_shared<State>(State{.items = Value::tuple(std::move(items))})) {
    depth = checked_nesting(state->items.depth() + 1);
  }
  std::string type_name() const override { return "jinja2.utils.Cycler"; }
  std::optional<Value> attribute(std::string_view name) override {
    if (name == "current") return state->current();
    if (name == "pos") return Value(state->at);
    if (name == "items") return state->items;
    const bool next = name == "next";
    if (!next && name != "reset") return std::nullopt;
    // The method may outlive the cycler.
    auto method =
        std::make_shared<Function>(std::string(name), [next, state = state](Renderer&, Args& args) {
          bind(next ? "next" : "reset", args, {}, 0);
          Value now = next ? state->current() : Value();
          state->at = next ? (state->at + 1) % state->items.items().size() : 0;
          return now;
        });
    method->depth = checked_nesting(depth + 1);
    return object(std::move(method));
  }

  std::shared_ptr<State> state;
};

struct Joiner : Object {
  explicit Joiner(const Value& v) : separator(v) { depth = checked_nesting(v.depth() + 1); }
  std::string type_name() const override { return "jinja2.utils.Joiner"; }
  std::optional<Value> attribute(std::string_view name) override {
    if (name == "sep") return separator;
    if (name == "used") return Value(used);
    return std::nullopt;
  }
  bool callable() const override { return true; }
  Value call(Renderer&, Args& args) override {
    bind("joiner", args, {}, 0);
    return std::exchange(used, true) ? separator : Value("");
  }

  Value separator;
  bool used = false;
};

Value make_dict(Renderer&, Args& args) {
  if (args.positional.size() > 1) {
    throw Failure(fmt::format("dict expected at most 1 argument, got {}", args.positional.size()));
  }
  auto dict = std::make_shared<Dict>();
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.is(Kind::dict)) {
      for (const auto& [key, value] : from.dict().entries()) dict->set(key, value);
    } else {
      for (const Value& pair : to_vector(from)) {
        const std::vector<Value> items = to_vector(pair);
        if (items.size() != 2) {
          throw Failure(fmt::format(
              "dictionary update sequence element has length {}; 2 is required", items.size()));
        }
        dict->set(items[0], items[1]);
      }
    }
  }
  for (auto& [key, value] : args.named) dict->set(Value(key), std::move(value));
  return Value(std::move(dict));
}

Value make_namespace(Renderer& renderer, Args& args) {
  return renderer.new_namespace(make_dict(renderer, args));
}

Value make_range_of(Renderer&, Args& args) {
  const auto p = bind("range", args, {"start", "stop", "step"}, 1);
  for (const Value* v : p) {
    if (v != nullptr && v->is_undefined()) fail_undefined(*v);
  }
  const std::int64_t first = to_index(*p[0]);
  if (p[1] == nullptr) return make_range(0, first, 1);
  return make_range(first, to_index(*p[1]), p[2] == nullptr ? 1 : to_index(*p[2]));
}

Value make_cycler(Renderer&, Args& args) {
  if (!args.named.empty()) throw Failure("cycler() takes no keyword arguments");
  if (args.positional.empty()) throw Failure("at least one item has to be provided");
  return object(std::make_shared<Cycler>(std::move(args.positional)));
}

Value make_joiner(Renderer&, Args& args) {
  const auto p = bind("joiner", args, {"sep"}, 0);
  return object(std::make_shared<Joiner>(p[0] == nullptr ? Value(", ") : *p[0]));
}

Value raise_exception(Renderer&, Args& args) {
  const auto p = bind("raise_exception", args, {"message"}, 1);
  throw Failure(to_str(*p[0]));
}

Value strftime_now(Renderer& renderer, Args& args) {
  const auto p = bind("strftime_now", args, {"format"}, 1);
  if (!p[0]->is_string()) throw Failure("strftime_now() needs a format string");
  std::tm now{};
  if (renderer.options().clock) {
    now = renderer.options().clock();
  } else {
    const std::time_t seconds = std::time(nullptr);
    localtime_r(&seconds, &now);
  }
  const std::string& format = p[0]->str();
  constexpr std::size_t kMaxFormat = 1024;
  if (format.size() > kMaxFormat || format.find('\0') != std::string::npos) {
    throw Failure("strftime_now() cannot use this format");
  }
  // The format may legally give nothing, which strftime reports like a full buffer. No directive of
  // the C locale writes more than this.
  std::string out(format.size() * 40 + 1, '\0');
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &now));
  return Value(std::move(out));
}

}  // namespace

std::string Namespace::repr() const {
  // A namespace may hold itself.
  thread_local int nested = 0;
  struct Guard {
    Guard() { ++nested; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { --nested; }
  };
  const Guard guard;
  if (nested > 20) throw Failure("namespaces are nested too deeply to be shown");
  return "<Namespace " + to_repr(Value(attributes)) + ">";
}

std::optional<Value> Namespace::attribute(std::string_view name) {
  const Value* found = attributes->find(Value(name));
  return found == nullptr ? std::nullopt : std::optional<Value>(*found);
}

std::optional<Value> find_global(std::string_view name) {
  static const std::map<std::string_view, Value (*)(Renderer&, Args&)> kGlobals = {
      {"cycler", make_cycler},
      {"dict", make_dict},
      {"joiner", make_joiner},
      {"namespace", make_namespace},
      {"raise_exception", raise_exception},
      {"range", make_range_of},
      {"strftime_now", strftime_now}};
  const auto found = kGlobals.find(name);
  if (found == kGlobals.end()) return std::nullopt;
  return object(std::make_shared<Function>(std::string(name), found->second));
}

}  // namespace zaya::jinja
