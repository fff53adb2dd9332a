#include "text/jinja/value.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

thread_local std::uint64_t* budget_left = nullptr;

// Below this, looking through the entries beats a hash table.
constexpr std::size_t kIndexFrom = 9;

Value make_sequence(std::vector<Value>&& items, Sequence& sequence) {
  spend(items.size() * sizeof(Value));
  int depth = 0;
  for (const Value& v : items) depth = std::max(depth, v.depth());
  sequence.depth = checked_nesting(depth + 1);
  sequence.items = std::move(items);
  return {};
}

struct FunctionIterator : Iterator {
  explicit FunctionIterator(std::function<bool(Value&)> f) : function(std::move(f)) {}
  bool next(Value& out) override {
    spend(kNodeCost);
    return function(out);
  }
  std::function<bool(Value&)> function;
};

}  // namespace

void spend(std::uint64_t bytes) {
  if (budget_left == nullptr) return;
  if (bytes > *budget_left) {
    *budget_left = 0;
    throw Failure("the template does too much work (too many steps or too large values)");
  }
  *budget_left -= bytes;
}

BudgetScope::BudgetScope(std::uint64_t bytes) : outer_(budget_left), left_(bytes) {
  budget_left = &left_;
}

BudgetScope::~BudgetScope() {
  budget_left = outer_;
}

int checked_nesting(int depth) {
  if (depth > kMaxNesting) {
    throw Failure(fmt::format("values are nested more than {} deep", kMaxNesting));
  }
  return depth;
}

Value::Value(std::string text, bool markup) {
  spend(text.size());
  const std::size_t length = count_code_points(text);
  data_ = std::make_shared<const Text>(Text{std::move(text), length, markup});
}

Value Value::undefined(std::string message) {
  Value v;
  v.data_ = std::make_shared<const UndefinedInfo>(UndefinedInfo{std::move(message)});
  return v;
}

Value Value::list(std::vector<Value> items) {
  auto sequence = std::make_shared<Sequence>();
  make_sequence(std::move(items), *sequence);
  Value v;
  v.data_ = std::move(sequence);
  return v;
}

Value Value::tuple(std::vector<Value> items) {
  auto sequence = std::make_shared<Sequence>();
  make_sequence(std::move(items), *sequence);
  Value v;
  v.data_ = TupleBox{std::move(sequence)};
  return v;
}

Value Value::group(Value grouper, Value list) {
  Value v = tuple({std::move(grouper), std::move(list)});
  v.sequence().group = true;
  return v;
}

std::int64_t Value::integer() const {
  return is(Kind::boolean) ? std::int64_t{boolean()} : *std::get_if<3>(&data_);
}

double Value::real() const {
  return is(Kind::real) ? *std::get_if<4>(&data_) : static_cast<double>(integer());
}

Sequence& Value::sequence() const {
  return is(Kind::list) ? **std::get_if<6>(&data_) : *std::get_if<7>(&data_)->sequence;
}

const void* Value::identity() const {
  switch (kind()) {
    case Kind::undefined:
      return &undefined_info();
    case Kind::string:
      return &text();
    case Kind::list:
    case Kind::tuple:
      return &sequence();
    case Kind::dict:
      return &dict();
    case Kind::object:
      return object().get();
    default:
      return nullptr;
  }
}

int Value::depth() const {
  switch (kind()) {
    case Kind::list:
    case Kind::tuple:
      return sequence().depth;
    case Kind::dict:
      return dict().depth();
    case Kind::object:
      return object()->depth;
    default:
      return 0;
  }
}

std::optional<std::size_t> Dict::position(const Value& key, std::size_t hash) const {
  if (entries_.size() < kIndexFrom) {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (equals(entries_[i].first, key)) return i;
    }
    return std::nullopt;
  }
  const auto [begin, end] = index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (equals(entries_[it->second].first, key)) return it->second;
  }
  return std::nullopt;
}

const Value* Dict::find(const Value& key) const {
  const auto at = position(key, hash(key));
  return at ? &entries_[*at].second : nullptr;
}

void Dict::set(Value key, Value value) {
  const std::size_t code = hash(key);
  depth_ = std::max(depth_, checked_nesting(1 + std::max(key.depth(), value.depth())));
  if (const auto at = position(key, code)) {
    entries_[*at].second = std::move(value);
    return;
  }
  spend(sizeof(Entry));
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() == kIndexFrom) {
    for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash(entries_[i].first), i);
  } else if (entries_.size() > kIndexFrom) {
    index_.emplace(code, entries_.size() - 1);
  }
}

std::string Object::repr() const {
  return fmt::format("<{} object>", type_name());
}

bool Object::truthy() const {
  return length().value_or(1) != 0;
}

Value Object::call(Renderer&, Args&) {
  throw Failure(fmt::format("'{}' object is not callable", short_type_name(type_name())));
}

Value make_iterator(const Value& source, std::function<bool(Value&)> next) {
  auto iterator = std::make_shared<FunctionIterator>(std::move(next));
  iterator->depth = checked_nesting(source.depth() + 1);
  return Value(std::shared_ptr<Object>(std::move(iterator)));
}

Value* Args::find(std::string_view name) {
  for (auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::optional<Value> Args::take(std::string_view name) {
  const auto it = std::find_if(named.begin(), named.end(),
                               [&](const auto& argument) { return argument.first == name; });
  if (it == named.end()) return std::nullopt;
  std::optional<Value> value(it->second);
  named.erase(it);
  return value;
}

std::vector<const Value*> bind(std::string_view function, const Args& args,
                               std::initializer_list<std::string_view> names,
                               std::size_t required) {
  std::vector<const Value*> out(names.size(), nullptr);
  if (args.positional.size() > names.size()) {
    throw Failure(fmt::format("{}() takes at most {} arguments ({} given)", function, names.size(),
                              args.positional.size()));
  }
  for (std::size_t i = 0; i < args.positional.size(); ++i) out[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) {
      throw Failure(fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
    }
    const Value*& slot = out[static_cast<std::size_t>(it - names.begin())];
    if (slot != nullptr) {
      throw Failure(fmt::format("{}() got multiple values for argument '{}'", function, name));
    }
    slot = &value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (out[i] == nullptr) {
      throw Failure(fmt::format("{}() is missing the argument '{}'", function, names.begin()[i]));
    }
  }
  return out;
}

}  // namespace zaya::jinja
