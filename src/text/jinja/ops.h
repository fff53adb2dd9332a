#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/jinja/value.h"

namespace zaya::jinja {

// Python's operators and built-in functions on values. All throw Failure, with Python's wording
// where a template's author would look for it.

/// What evaluating one node costs of the budget.
inline constexpr std::uint64_t kNodeCost = 32;

std::string type_name(const Value& v);                         ///< 'str', 'NoneType', ...
std::string_view short_type_name(std::string_view type_name);  ///< without the module
/// Throws the error that an Undefined raises when it is used.
[[noreturn]] void fail_undefined(const Value& v);

bool truthy(const Value& v);
std::string to_str(const Value& v);
std::string to_repr(const Value& v);
std::string string_repr(std::string_view text);  ///< repr of a str
std::string float_repr(double v);

bool equals(const Value& a, const Value& b);
bool same(const Value& a, const Value& b);  ///< `is`
bool less(const Value& a, const Value& b);  ///< throws when the types have no order
bool less_equal(const Value& a, const Value& b);
std::size_t hash(const Value& v);  ///< throws for lists and dicts

std::size_t length(const Value& v);
/// Throws when the value cannot be iterated over.
std::shared_ptr<Iterator> iterate(const Value& v);
std::vector<Value> to_vector(const Value& v);
bool is_iterable(const Value& v);
bool is_callable(const Value& v);
bool contains(const Value& container, const Value& item);

enum class BinaryOp : std::uint8_t { add, subtract, multiply, divide, floor_divide, modulo, power };
Value binary(BinaryOp op, const Value& a, const Value& b);
Value negate(const Value& v);
Value positive(const Value& v);

/// An index: throws unless v is an int or a bool.
std::int64_t to_index(const Value& v);
/// range(start, stop, step) as an object.
Value make_range(std::int64_t start, std::int64_t stop, std::int64_t step);
/// v[start:stop:step]; None for what is left out.
Value slice(const Value& v, const Value& start, const Value& stop, const Value& step);
/// obj.name and obj[key] with jinja2's fallbacks; Undefined when there is no such thing.
Value get_attribute(const Value& object, const std::string& name);
Value get_item(const Value& object, const Value& key);

/// HTML escaping of markupsafe; a Markup is left alone.
std::string escape(std::string_view text);
Value escaped(const Value& v);
/// Bytes of `needle` in `text` from `from`, in linear time; npos when there are none.
std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from = 0);
/// The last such place.
std::size_t rfind_text(std::string_view text, std::string_view needle);

Value from_json(const Json& json);
struct JsonStyle {
  bool ascii = false;
  bool sort_keys = false;
  bool pretty = false;
  std::string indent = {};
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
/// json.dumps().
std::string to_json(const Value& v, const JsonStyle& style);

}  // namespace zaya::jinja
