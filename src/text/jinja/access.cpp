#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "text/jinja/methods.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

struct SequenceIterator : Iterator {
  explicit SequenceIterator(const Value& v) : value(v) { depth = checked_nesting(v.depth() + 1); }
  bool next(Value& out) override {
    // The list may have shrunk since (list.pop).
    if (at >= value.items().size()) return false;
    out = value.items()[at++];
    return true;
  }
  Value value;
  std::size_t at = 0;
};

struct StringIterator : Iterator {
  explicit StringIterator(const Value& v) : value(v) {}
  bool next(Value& out) override {
    if (at >= value.str().size()) return false;
    const std::size_t start = at;
    next_code_point(value.str(), at);
    out = Value(value.str().substr(start, at - start));
    return true;
  }
  Value value;
  std::size_t at = 0;
};

struct DictIterator : Iterator {
  explicit DictIterator(const Value& v) : value(v) { depth = checked_nesting(v.depth() + 1); }
  bool next(Value& out) override {
    if (at >= value.dict().size()) return false;
    out = value.dict().entries()[at++].first;
    return true;
  }
  Value value;
  std::size_t at = 0;
};

struct EmptyIterator : Iterator {
  bool next(Value&) override { return false; }
};

struct Range : Object {
  Range(std::int64_t first, std::int64_t by, std::size_t n) : start(first), step(by), count(n) {}
  std::string type_name() const override { return "range"; }
  std::string repr() const override {
    return step == 1 ? fmt::format("range({}, {})", start, stop)
                     : fmt::format("range({}, {}, {})", start, stop, step);
  }
  std::optional<std::size_t> length() const override { return count; }
  Value at(std::size_t i) const { return start + static_cast<std::int64_t>(i) * step; }
  bool subscriptable() const override { return true; }
  std::optional<Value> item(const Value& key) override {
    if (!key.is_integral()) return std::nullopt;
    const std::int64_t n = static_cast<std::int64_t>(count);
    const std::int64_t i = key.integer() < 0 ? key.integer() + n : key.integer();
    if (i < 0 || i >= n) return std::nullopt;
    return at(static_cast<std::size_t>(i));
  }
  std::shared_ptr<Iterator> iterate() override;
  std::optional<bool> contains(const Value& v) override {
    for (std::size_t i = 0; i < count; ++i) {
      if (jinja::equals(at(i), v)) return true;
    }
    return false;
  }
  bool equals(const Object& other) const override {
    const auto* range = dynamic_cast<const Range*>(&other);
    return range != nullptr && count == range->count &&
           (count == 0 || (start == range->start && (count == 1 || step == range->step)));
  }

  std::int64_t start;
  std::int64_t stop = 0;
  std::int64_t step;
  std::size_t count;
};

struct RangeIterator : Iterator {
  explicit RangeIterator(const Range& r) : start(r.start), step(r.step), left(r.count) {}
  bool next(Value& out) override {
    if (left == 0) return false;
    out = start;
    // The step after the last value may leave the range of the type.
    if (--left > 0) start += step;
    return true;
  }
  std::int64_t start;
  std::int64_t step;
  std::size_t left;
};

std::shared_ptr<Iterator> Range::iterate() {
  return std::make_shared<RangeIterator>(*this);
}

// jinja2's name for the type of an object in its messages.
std::string described(const Value& v) {
  return v.is_none() ? "None" : type_name(v) + " object";
}

Value missing_attribute(const Value& object, const std::string& name) {
  return Value::undefined(
      fmt::format("{} has no attribute {}", string_repr(described(object)), string_repr(name)));
}

std::optional<Value> attribute_of(const Value& object, const std::string& name) {
  if (object.is(Kind::object)) {
    if (auto found = object.object()->attribute(name)) return found;
  }
  if (object.is(Kind::tuple) && object.sequence().group) {
    if (name == "grouper") return object.items()[0];
    if (name == "list") return object.items()[1];
  }
  // Python's own attributes (__class__, ...) are out of a template's reach.
  if (name.size() > 4 && name.starts_with("__") && name.ends_with("__")) {
    return unsafe_attribute(object, name);
  }
  return find_method(object, name);
}

// obj[key] of Python; nothing for a key that is absent or of the wrong type.
std::optional<Value> item_of(const Value& object, const Value& key) {
  switch (object.kind()) {
    case Kind::undefined:
      fail_undefined(object);
    case Kind::dict: {
      if (key.is(Kind::list) || key.is(Kind::dict)) return std::nullopt;
      const Value* found = object.dict().find(key);
      return found == nullptr ? std::nullopt : std::optional<Value>(*found);
    }
    case Kind::string:
    case Kind::list:
    case Kind::tuple: {
      if (!key.is_integral()) return std::nullopt;
      const auto n = static_cast<std::int64_t>(length(object));
      const std::int64_t i = key.integer() < 0 ? key.integer() + n : key.integer();
      if (i < 0 || i >= n) return std::nullopt;
      if (!object.is_string()) return object.items()[static_cast<std::size_t>(i)];
      return slice(object, Value(i), Value(i + 1), Value());
    }
    case Kind::object:
      return object.object()->item(key);
    default:
      return std::nullopt;
  }
}

struct Bounds {
  std::int64_t start, step;
  std::size_t count;
};

// Python's slice.indices().
Bounds slice_bounds(std::size_t size, const Value& start, const Value& stop, const Value& step) {
  const auto index = [](const Value& v) {
    if (!v.is_integral()) {
      throw Failure("slice indices must be integers or None or have an __index__ method");
    }
    return v.integer();
  };
  const std::int64_t by = step.is_none() ? 1 : index(step);
  if (by == 0) throw Failure("slice step cannot be zero");
  const auto n = static_cast<std::int64_t>(size);
  const std::int64_t low = by > 0 ? 0 : -1;
  const std::int64_t high = by > 0 ? n : n - 1;
  const auto bound = [&](const Value& v, std::int64_t fallback) {
    if (v.is_none()) return fallback;
    const std::int64_t i = index(v);
    return std::clamp(i < 0 ? i + n : i, low, high);
  };
  const std::int64_t first = bound(start, by > 0 ? low : high);
  const std::int64_t last = bound(stop, by > 0 ? high : low);
  const std::int64_t span = by > 0 ? last - first : first - last;
  if (span <= 0) return {first, by, 0};
  const auto stride = by > 0 ? static_cast<std::uint64_t>(by) : ~static_cast<std::uint64_t>(by) + 1;
  return {first, by, static_cast<std::size_t>((static_cast<std::uint64_t>(span) - 1) / stride + 1)};
}

Value slice_string(const Value& v, const Bounds& b) {
  const Text& text = v.text();
  spend(text.bytes.size() / 8 + b.count);
  if (b.step == 1) {
    const auto first = static_cast<std::size_t>(b.start);
    if (text.length == text.bytes.size()) {
      return Value(text.bytes.substr(first, b.count), text.markup);
    }
    const std::string_view rest =
        std::string_view(text.bytes).substr(byte_offset(text.bytes, first));
    return Value(std::string(rest.substr(0, byte_offset(rest, b.count))), text.markup);
  }
  std::vector<std::size_t> starts;
  spend(text.length * sizeof(std::size_t));
  for (std::size_t pos = 0; pos < text.bytes.size(); next_code_point(text.bytes, pos))
    starts.push_back(pos);
  starts.push_back(text.bytes.size());
  std::string out;
  std::int64_t at = b.start;
  for (std::size_t i = 0; i < b.count; ++i) {
    const auto k = static_cast<std::size_t>(at);
    out.append(text.bytes, starts[k], starts[k + 1] - starts[k]);
    // The last step may leave the range of the type; it is not taken.
    if (i + 1 < b.count) at += b.step;
  }
  return Value(std::move(out), text.markup);
}

}  // namespace

std::size_t length(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::string:
      return v.text().length;
    case Kind::list:
    case Kind::tuple:
      return v.items().size();
    case Kind::dict:
      return v.dict().size();
    case Kind::object:
      if (const auto n = v.object()->length()) return *n;
      break;
    default:
      break;
  }
  throw Failure(fmt::format("object of type '{}' has no len()", short_type_name(type_name(v))));
}

std::shared_ptr<Iterator> iterate(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
      return std::make_shared<EmptyIterator>();
    case Kind::string:
      return std::make_shared<StringIterator>(v);
    case Kind::list:
    case Kind::tuple:
      return std::make_shared<SequenceIterator>(v);
    case Kind::dict:
      return std::make_shared<DictIterator>(v);
    case Kind::object: {
      if (auto iterator = std::dynamic_pointer_cast<Iterator>(v.object())) return iterator;
      if (auto iterator = v.object()->iterate()) return iterator;
      break;
    }
    default:
      break;
  }
  throw Failure(fmt::format("'{}' object is not iterable", short_type_name(type_name(v))));
}

std::vector<Value> to_vector(const Value& v) {
  if (v.is_sequence()) {
    spend(v.items().size() * sizeof(Value));
    return v.items();
  }
  std::vector<Value> out;
  const auto iterator = iterate(v);
  Value item;
  while (iterator->next(item)) {
    spend(sizeof(Value));
    out.push_back(item);
  }
  return out;
}

bool is_iterable(const Value& v) {
  if (v.is(Kind::object)) return v.as<Iterator>() != nullptr || v.object()->iterate() != nullptr;
  return v.is_undefined() || v.kind() >= Kind::string;
}

bool is_callable(const Value& v) {
  return v.is_undefined() || (v.is(Kind::object) && v.object()->callable());
}

bool contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::string:
      if (!item.is_string()) {
        throw Failure(fmt::format("'in <string>' requires string as left operand, not {}",
                                  short_type_name(type_name(item))));
      }
      return find_text(container.str(), item.str()) != std::string::npos;
    case Kind::dict:
      return container.dict().find(item) != nullptr;
    case Kind::object:
      if (const auto found = container.object()->contains(item)) return *found;
      break;
    default:
      break;
  }
  if (!is_iterable(container)) {
    throw Failure(fmt::format("argument of type '{}' is not iterable",
                              short_type_name(type_name(container))));
  }
  const auto iterator = iterate(container);
  Value other;
  while (iterator->next(other)) {
    if (same(other, item) || equals(other, item)) return true;
  }
  return false;
}

std::int64_t to_index(const Value& v) {
  if (!v.is_integral()) {
    throw Failure(fmt::format("'{}' object cannot be interpreted as an integer",
                              short_type_name(type_name(v))));
  }
  return v.integer();
}

Value make_range(std::int64_t start, std::int64_t stop, std::int64_t step) {
  constexpr std::size_t kMaxRange = 100000;  // the sandbox's
  if (step == 0) throw Failure("range() arg 3 must not be zero");
  const bool empty = step > 0 ? start >= stop : start <= stop;
  const auto distance = [](std::int64_t a, std::int64_t b) {
    return static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
  };
  const std::uint64_t span = step > 0 ? distance(start, stop) : distance(stop, start);
  const std::uint64_t stride = step > 0 ? static_cast<std::uint64_t>(step) : distance(step, 0);
  const std::uint64_t count = empty ? 0 : (span - 1) / stride + 1;
  if (count > kMaxRange) {
    throw Failure(fmt::format(
        "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", kMaxRange));
  }
  auto range = std::make_shared<Range>(start, step, static_cast<std::size_t>(count));
  range->stop = stop;
  return Value(std::shared_ptr<Object>(std::move(range)));
}

Value slice(const Value& v, const Value& start, const Value& stop, const Value& step) {
  if (v.is_undefined()) fail_undefined(v);
  if (v.is_string()) return slice_string(v, slice_bounds(v.text().length, start, stop, step));
  if (v.is_sequence()) {
    const Bounds b = slice_bounds(v.items().size(), start, stop, step);
    std::vector<Value> out;
    out.reserve(b.count);
    std::int64_t at = b.start;
    for (std::size_t i = 0; i < b.count; ++i) {
      out.push_back(v.items()[static_cast<std::size_t>(at)]);
      if (i + 1 < b.count) at += b.step;
    }
    return v.is(Kind::list) ? Value::list(std::move(out)) : Value::tuple(std::move(out));
  }
  if (const auto* range = v.as<Range>()) {
    const Bounds b = slice_bounds(range->count, start, stop, step);
    const Value by = binary(BinaryOp::multiply, range->step, b.step);
    const Value first =
        binary(BinaryOp::add, range->start, binary(BinaryOp::multiply, b.start, range->step));
    const Value stop_at = binary(BinaryOp::add, first, binary(BinaryOp::multiply, by, b.count));
    return make_range(first.integer(), stop_at.integer(), by.integer());
  }
  if (v.is(Kind::dict)) throw Failure("unhashable type: 'slice'");
  throw Failure(fmt::format("'{}' object is not subscriptable", short_type_name(type_name(v))));
}

Value get_attribute(const Value& object, const std::string& name) {
  if (object.is_undefined()) fail_undefined(object);
  if (auto found = attribute_of(object, name)) return *std::move(found);
  if (object.is(Kind::dict) || object.is(Kind::object)) {
    if (auto found = item_of(object, Value(name))) return *std::move(found);
  }
  return missing_attribute(object, name);
}

Value get_item(const Value& object, const Value& key) {
  if (auto found = item_of(object, key)) return *std::move(found);
  if (key.is_string()) {
    if (auto found = attribute_of(object, key.str())) return *std::move(found);
    return missing_attribute(object, key.str());
  }
  return Value::undefined(fmt::format("{} has no element {}", described(object), to_repr(key)));
}

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Value escaped(const Value& v) {
  if (v.is_string() && v.text().markup) return v;
  return Value(escape(to_str(v)), true);
}

std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  spend(text.size() - from);
  // Linear in the worst case, which std::string::find is not.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::size_t rfind_text(std::string_view text, std::string_view needle) {
  // Its worst case is the product of the lengths.
  spend(text.size() * (1 + needle.size() / 16));
  return text.rfind(needle);
}

}  // namespace zaya::jinja
