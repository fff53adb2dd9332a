#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace zaya::jinja {

// The values of a template: Python's None, bool, int (64 bits), float, str, list, tuple and dict,
// jinja2's Undefined, and objects with behaviour (macros, namespaces, loops, methods, ...).
// Copies are cheap: everything larger than a number is shared, as in Python.

class Renderer;
class Value;
struct Args;
struct Object;

/// An error while rendering. The renderer turns it into a zaya::Error with template and line.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The work one render may do, in bytes touched or made; every evaluated node counts a few. It
/// bounds both time and memory against hostile templates. spend() throws Failure when it is used
/// up, and counts nothing outside of a BudgetScope.
void spend(std::uint64_t bytes);
class BudgetScope {
 public:
  explicit BudgetScope(std::uint64_t bytes);
  BudgetScope(const BudgetScope&) = delete;
  BudgetScope& operator=(const BudgetScope&) = delete;
  ~BudgetScope();

 private:
  std::uint64_t* outer_;
  std::uint64_t left_;
};

/// Containers (and iterators over iterators) nest at most this deep.
inline constexpr int kMaxNesting = 200;
/// Throws Failure past kMaxNesting.
int checked_nesting(int depth);

enum class Kind : std::uint8_t {
  undefined,
  none,
  boolean,
  integer,
  real,
  string,
  list,
  tuple,
  dict,
  object
};

/// What jinja2's Undefined carries: the message of the error that most uses of it raise.
struct UndefinedInfo {
  std::string message;
};

struct Text {
  std::string bytes;   ///< UTF-8
  std::size_t length;  ///< code points
  bool markup;         ///< markupsafe.Markup: made by |safe and |escape
};

/// A list or a tuple. Lists are shared and mutable, as list.pop() is allowed in the sandbox.
struct Sequence {
  std::vector<Value> items;
  int depth = 1;
  bool group = false;  ///< a tuple of |groupby, with the attributes `grouper` and `list`
};

class Dict;

class Value {
 public:
  Value() : data_(nullptr) {}  ///< None
  Value(bool v) : data_(v) {}
  Value(std::int64_t v) : data_(v) {}
  Value(int v) : data_(std::int64_t{v}) {}
  Value(std::size_t v) : data_(static_cast<std::int64_t>(v)) {}
  Value(double v) : data_(v) {}
  Value(std::string text, bool markup = false);
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<Dict> dict) : data_(std::move(dict)) {}
  Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}

  static Value undefined(std::string message);
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value group(Value grouper, Value list);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_undefined() const { return is(Kind::undefined); }
  bool is_none() const { return is(Kind::none); }
  bool is_string() const { return is(Kind::string); }
  /// bool, int or float.
  bool is_number() const { return kind() >= Kind::boolean && kind() <= Kind::real; }
  /// bool or int: what Python takes as an index.
  bool is_integral() const { return is(Kind::boolean) || is(Kind::integer); }
  bool is_sequence() const { return is(Kind::list) || is(Kind::tuple); }

  // The content; the caller has checked the kind.
  const UndefinedInfo& undefined_info() const { return **std::get_if<0>(&data_); }
  bool boolean() const { return *std::get_if<2>(&data_); }
  std::int64_t integer() const;  ///< of a bool or int
  double real() const;           ///< of any number
  const Text& text() const { return **std::get_if<5>(&data_); }
  const std::string& str() const { return text().bytes; }
  Sequence& sequence() const;
  const std::vector<Value>& items() const { return sequence().items; }
  const Dict& dict() const { return **std::get_if<8>(&data_); }
  const std::shared_ptr<Object>& object() const { return *std::get_if<9>(&data_); }
  template <typename T>
  T* as() const {
    return is(Kind::object) ? dynamic_cast<T*>(object().get()) : nullptr;
  }

  /// Address of what is shared; nullptr for None, bool, int and float.
  const void* identity() const;
  int depth() const;

 private:
  struct TupleBox {
    std::shared_ptr<Sequence> sequence;
  };
  // In the order of Kind.
  std::variant<std::shared_ptr<const UndefinedInfo>, std::nullptr_t, bool, std::int64_t, double,
               std::shared_ptr<const Text>, std::shared_ptr<Sequence>, TupleBox,
               std::shared_ptr<Dict>, std::shared_ptr<Object>>
      data_;
};

/// Insertion-ordered, keyed by any hashable value; 1, 1.0 and True are one key.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  /// Throw Failure on a key that cannot be hashed.
  const Value* find(const Value& key) const;
  void set(Value key, Value value);

  const std::vector<Entry>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  int depth() const { return depth_; }

 private:
  std::optional<std::size_t> position(const Value& key, std::size_t hash) const;

  std::vector<Entry> entries_;
  std::unordered_multimap<std::size_t, std::size_t> index_;  ///< used once there are many entries
  int depth_ = 1;
};

/// Yields values one by one; also what a generator of Python is to a template.
struct Iterator;

/// Values with behaviour. The defaults are those of a plain Python object.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  virtual std::string type_name() const = 0;  ///< as Python spells it, with the module
  virtual std::string repr() const;
  virtual bool truthy() const;
  virtual std::optional<std::size_t> length() const { return std::nullopt; }
  virtual std::optional<Value> attribute(std::string_view) { return std::nullopt; }
  /// obj[key]; nothing when there is none.
  virtual std::optional<Value> item(const Value&) { return std::nullopt; }
  virtual bool subscriptable() const { return false; }
  virtual std::shared_ptr<Iterator> iterate() { return nullptr; }
  virtual std::optional<bool> contains(const Value&) { return std::nullopt; }
  virtual bool equals(const Object& other) const { return this == &other; }
  virtual bool callable() const { return false; }
  virtual Value call(Renderer& renderer, Args& args);

  int depth = 1;
};

struct Iterator : Object {
  /// False at the end.
  virtual bool next(Value& out) = 0;
  std::string type_name() const override { return "generator"; }
};

/// An iterator from a function. `source` is what it draws from: it counts for the nesting.
Value make_iterator(const Value& source, std::function<bool(Value&)> next);

/// Arguments of a call.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  Value* find(std::string_view name);
  std::optional<Value> take(std::string_view name);
};

/// Arguments bound to parameter names by Python's rules; each is nullptr when it was not given.
/// Throws Failure naming `function` on a surplus, unknown, doubled or missing one.
std::vector<const Value*> bind(std::string_view function, const Args& args,
                               std::initializer_list<std::string_view> names, std::size_t required);

/// A function of the library: a method bound to its object, a global.
struct Function : Object {
  using Body = std::function<Value(Renderer&, Args&)>;
  Function(std::string n, Body b) : name(std::move(n)), body(std::move(b)) {}
  std::string type_name() const override { return "builtin_function_or_method"; }
  std::string repr() const override { return "<built-in function " + name + ">"; }
  bool callable() const override { return true; }
  Value call(Renderer& renderer, Args& args) override { return body(renderer, args); }

  std::string name;
  Body body;
};

}  // namespace zaya::jinja
