#include "text/jinja/ops.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <compare>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "text/jinja/format.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

void write_repr(std::string& out, const Value& v);

void write_items(std::string& out, const std::vector<Value>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    write_repr(out, items[i]);
  }
}

void write_repr(std::string& out, const Value& v) {
  spend(kNodeCost);
  switch (v.kind()) {
    case Kind::undefined:
      out += "Undefined";
      break;
    case Kind::none:
      out += "None";
      break;
    case Kind::boolean:
      out += v.boolean() ? "True" : "False";
      break;
    case Kind::integer:
      out += fmt::to_string(v.integer());
      break;
    case Kind::real:
      out += float_repr(v.real());
      break;
    case Kind::string:
      spend(v.str().size());
      out += v.text().markup ? "Markup(" + string_repr(v.str()) + ")" : string_repr(v.str());
      break;
    case Kind::list:
      out += '[';
      write_items(out, v.items());
      out += ']';
      break;
    case Kind::tuple:
      out += '(';
      write_items(out, v.items());
      out += v.items().size() == 1 ? ",)" : ")";
      break;
    case Kind::dict: {
      out += '{';
      bool first = true;
      for (const auto& [key, value] : v.dict().entries()) {
        if (!first) out += ", ";
        first = false;
        write_repr(out, key);
        out += ": ";
        write_repr(out, value);
      }
      out += '}';
      break;
    }
    case Kind::object:
      out += v.object()->repr();
      break;
  }
}

std::partial_ordering reversed(std::partial_ordering order) {
  if (std::is_lt(order)) return std::partial_ordering::greater;
  if (std::is_gt(order)) return std::partial_ordering::less;
  return order;
}

std::partial_ordering compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.integer() <=> b.integer();
  if (!a.is_integral() && !b.is_integral()) return a.real() <=> b.real();
  if (b.is_integral()) return reversed(compare_numbers(b, a));
  // An int against a float, exactly: large ints have no float of their own.
  const std::int64_t i = a.integer();
  const double d = b.real();
  if (std::isnan(d)) return std::partial_ordering::unordered;
  if (d >= 0x1p63) return std::partial_ordering::less;
  if (d < -0x1p63) return std::partial_ordering::greater;
  const double whole = std::trunc(d);
  const auto t = static_cast<std::int64_t>(whole);
  return i != t ? std::partial_ordering(i <=> t) : 0.0 <=> d - whole;
}

// a < b, or with `or_equal` a <= b.
bool ordered(const Value& a, const Value& b, bool or_equal) {
  spend(kNodeCost);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (a.is_number() && b.is_number()) {
    const auto order = compare_numbers(a, b);
    return or_equal ? std::is_lteq(order) : std::is_lt(order);
  }
  if (a.is_string() && b.is_string()) {
    // The order of UTF-8 bytes is the order of code points.
    spend(std::min(a.str().size(), b.str().size()));
    return or_equal ? a.str() <= b.str() : a.str() < b.str();
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto& x = a.items();
    const auto& y = b.items();
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!same(x[i], y[i]) && !equals(x[i], y[i])) return ordered(x[i], y[i], or_equal);
    }
    return or_equal ? x.size() <= y.size() : x.size() < y.size();
  }
  throw Failure(fmt::format("'{}' not supported between instances of '{}' and '{}'",
                            or_equal ? "<=" : "<", short_type_name(type_name(a)),
                            short_type_name(type_name(b))));
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const Dict::Entry& e) {
    const Value* other = b.find(e.first);
    return other != nullptr && equals(e.second, *other);
  });
}

[[noreturn]] void fail_overflow() {
  throw Failure("integer does not fit into 64 bits");
}

const char* symbol(BinaryOp op) {
  constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
  return kSymbols[static_cast<int>(op)];
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow();
  }
  return result;
}

Value integer_binary(BinaryOp op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case BinaryOp::add:
      if (__builtin_add_overflow(a, b, &result)) fail_overflow();
      return result;
    case BinaryOp::subtract:
      if (__builtin_sub_overflow(a, b, &result)) fail_overflow();
      return result;
    case BinaryOp::multiply:
      if (__builtin_mul_overflow(a, b, &result)) fail_overflow();
      return result;
    case BinaryOp::divide:
      if (b == 0) throw Failure("division by zero");
      return static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b));
    case BinaryOp::floor_divide:
    case BinaryOp::modulo: {
      if (b == 0) throw Failure("integer division or modulo by zero");
      if (b == -1) return op == BinaryOp::modulo ? Value(0) : negate(a);
      const std::int64_t rest = a % b;
      const bool down = rest != 0 && (rest < 0) != (b < 0);
      if (op == BinaryOp::modulo) return down ? rest + b : rest;
      return a / b - (down ? 1 : 0);
    }
    case BinaryOp::power:
      if (b >= 0) return integer_power(a, b);
      if (a == 0) throw Failure("0.0 cannot be raised to a negative power");
      return std::pow(static_cast<double>(a), static_cast<double>(b));
  }
  return {};
}

Value real_binary(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::subtract:
      return a - b;
    case BinaryOp::multiply:
      return a * b;
    case BinaryOp::divide:
      if (b == 0) throw Failure("float division by zero");
      return a / b;
    case BinaryOp::floor_divide:
    case BinaryOp::modulo: {
      if (b == 0) {
        throw Failure(op == BinaryOp::modulo ? "float modulo" : "float floor division by zero");
      }
      double rest = std::fmod(a, b);
      double quotient = (a - rest) / b;
      if (rest != 0) {
        if ((b < 0) != (rest < 0)) {
          rest += b;
          quotient -= 1;
        }
      } else {
        rest = std::copysign(0.0, b);
      }
      if (op == BinaryOp::modulo) return rest;
      if (quotient == 0) return std::copysign(0.0, a / b);
      const double whole = std::floor(quotient);
      return quotient - whole > 0.5 ? whole + 1 : whole;
    }
    case BinaryOp::power: {
      if (a == 0 && b < 0) throw Failure("0.0 cannot be raised to a negative power");
      const double result = std::pow(a, b);
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) {
        throw Failure("complex numbers are not supported");
      }
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
        throw Failure("(34, 'Numerical result out of range')");
      }
      return result;
    }
  }
  return {};
}

Value add_strings(const Value& a, const Value& b) {
  const bool markup = a.text().markup || b.text().markup;
  if (!markup) {
    std::string text;
    text.reserve(a.str().size() + b.str().size());
    text.append(a.str()).append(b.str());
    return Value(std::move(text));
  }
  return Value(escaped(a).str() + escaped(b).str(), true);
}

Value repeat(const Value& v, std::int64_t times) {
  const auto n = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  if (v.is_string()) {
    const std::string& unit = v.str();
    // Charged before the memory is taken.
    if (unit.empty() || n == 0) return Value(std::string(), v.text().markup);
    spend(n > std::numeric_limits<std::uint32_t>::max() ? ~0ULL >> 1 : unit.size() * n);
    std::string out;
    out.reserve(unit.size() * n);
    for (std::uint64_t i = 0; i < n; ++i) out += unit;
    return Value(std::move(out), v.text().markup);
  }
  std::vector<Value> out;
  if (!v.items().empty()) {
    spend(n > std::numeric_limits<std::uint32_t>::max() ? ~0ULL >> 1
                                                        : v.items().size() * n * sizeof(Value));
    out.reserve(v.items().size() * n);
    for (std::uint64_t i = 0; i < n; ++i) {
      out.insert(out.end(), v.items().begin(), v.items().end());
    }
  }
  return v.is(Kind::list) ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

[[noreturn]] void fail_binary(BinaryOp op, const Value& a, const Value& b) {
  const std::string left(short_type_name(type_name(a)));
  const std::string right(short_type_name(type_name(b)));
  if (op == BinaryOp::add && (a.is_string() || a.is_sequence())) {
    throw Failure(fmt::format("can only concatenate {} (not \"{}\") to {}", left, right, left));
  }
  throw Failure(
      fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol(op), left, right));
}

}  // namespace

std::string type_name(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
      return "jinja2.runtime.Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return v.text().markup ? "markupsafe.Markup" : "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return v.sequence().group ? "jinja2.filters._GroupTuple" : "tuple";
    case Kind::dict:
      return "dict";
    case Kind::object:
      return v.object()->type_name();
  }
  return {};
}

std::string_view short_type_name(std::string_view type_name) {
  const auto dot = type_name.rfind('.');
  return dot == std::string_view::npos ? type_name : type_name.substr(dot + 1);
}

void fail_undefined(const Value& v) {
  throw Failure(v.undefined_info().message);
}

bool truthy(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return v.integer() != 0;
    case Kind::real:
      return v.real() != 0;
    case Kind::string:
      return !v.str().empty();
    case Kind::list:
    case Kind::tuple:
      return !v.items().empty();
    case Kind::dict:
      return v.dict().size() != 0;
    case Kind::object:
      return v.object()->truthy();
  }
  return false;
}

std::string to_str(const Value& v) {
  if (v.is_string()) return v.str();
  if (v.is_undefined()) return {};
  return to_repr(v);
}

std::string to_repr(const Value& v) {
  std::string out;
  write_repr(out, v);
  return out;
}

std::string string_repr(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t pos = 0; pos < text.size();) {
    const char32_t c = next_code_point(text, pos);
    if (c == U'\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == U'\n') {
      out += "\\n";
    } else if (c == U'\r') {
      out += "\\r";
    } else if (c == U'\t') {
      out += "\\t";
    } else if ((character_class(c) & kPrintable) != 0) {
      append_utf8(out, c);
    } else if (c <= 0xff) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else if (c <= 0xffff) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
    }
  }
  out += quote;
  return out;
}

std::string float_repr(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific);
  std::string_view shown(buffer, static_cast<std::size_t>(end.ptr - buffer));
  const bool negative = shown.front() == '-';
  if (negative) shown.remove_prefix(1);
  const auto e = shown.find('e');
  int exponent = 0;
  const char* first = shown.data() + e + 1;
  std::from_chars(*first == '+' ? first + 1 : first, end.ptr, exponent);
  std::string digits(1, shown[0]);
  if (e > 2) digits += shown.substr(2, e - 2);
  std::string out = negative ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) {
    return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  }
  if (count <= exponent + 1) {
    return out + digits +
           std::string(static_cast<std::size_t>(exponent) + 1 - static_cast<std::size_t>(count),
                       '0') +
           ".0";
  }
  const auto point = static_cast<std::size_t>(exponent) + 1;
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

bool same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::none:
      return true;
    case Kind::boolean:
    case Kind::integer:
      return a.integer() == b.integer();
    case Kind::real:
      return a.real() == b.real();
    // Equal short strings are mostly one object in Python; templates only ever ask for those.
    case Kind::string:
      return a.identity() == b.identity() || a.str() == b.str();
    default:
      return a.identity() == b.identity();
  }
}

bool equals(const Value& a, const Value& b) {
  spend(kNodeCost);
  if (a.is_number() && b.is_number()) return std::is_eq(compare_numbers(a, b));
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      spend(a.str().size() == b.str().size() ? a.str().size() : 0);
      return a.str() == b.str();
    case Kind::list:
    case Kind::tuple:
      return a.identity() == b.identity() ||
             std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                        [](const Value& x, const Value& y) { return same(x, y) || equals(x, y); });
    case Kind::dict:
      return a.identity() == b.identity() || equal_dicts(a.dict(), b.dict());
    default:
      return a.object()->equals(*b.object());
  }
}

bool less(const Value& a, const Value& b) {
  return ordered(a, b, false);
}
bool less_equal(const Value& a, const Value& b) {
  return ordered(a, b, true);
}

std::size_t hash(const Value& v) {
  spend(kNodeCost);
  switch (v.kind()) {
    case Kind::undefined:
      return 1;
    case Kind::none:
      return 2;
    case Kind::boolean:
    case Kind::integer:
      return std::hash<std::int64_t>{}(v.integer());
    case Kind::real: {
      const double d = v.real();
      const bool whole = d == std::trunc(d) && d >= -0x1p63 && d < 0x1p63;
      return whole ? std::hash<std::int64_t>{}(static_cast<std::int64_t>(d))
                   : std::hash<double>{}(d);
    }
    case Kind::string:
      spend(v.str().size());
      return std::hash<std::string>{}(v.str());
    case Kind::tuple: {
      std::size_t code = 3;
      for (const Value& item : v.items()) code = code * 1000003 + hash(item);
      return code;
    }
    case Kind::list:
    case Kind::dict:
      throw Failure(fmt::format("unhashable type: '{}'", type_name(v)));
    case Kind::object:
      return std::hash<const void*>{}(v.identity());
  }
  return 0;
}

Value binary(BinaryOp op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    return a.is_integral() && b.is_integral() ? integer_binary(op, a.integer(), b.integer())
                                              : real_binary(op, a.real(), b.real());
  }
  if (op == BinaryOp::modulo && a.is_string()) return percent_format(a.text(), b);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (op == BinaryOp::add) {
    if (a.is_string() && b.is_string()) return add_strings(a, b);
    if (a.is_sequence() && a.kind() == b.kind()) {
      std::vector<Value> items;
      items.reserve(a.items().size() + b.items().size());
      items.insert(items.end(), a.items().begin(), a.items().end());
      items.insert(items.end(), b.items().begin(), b.items().end());
      return a.is(Kind::list) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
    }
  }
  if (op == BinaryOp::multiply) {
    if (b.is_integral() && (a.is_string() || a.is_sequence())) return repeat(a, b.integer());
    if (a.is_integral() && (b.is_string() || b.is_sequence())) return repeat(b, a.integer());
    if (a.is_string() || a.is_sequence() || b.is_string() || b.is_sequence()) {
      const Value& other = a.is_string() || a.is_sequence() ? b : a;
      throw Failure(fmt::format("can't multiply sequence by non-int of type '{}'",
                                short_type_name(type_name(other))));
    }
  }
  fail_binary(op, a, b);
}

Value negate(const Value& v) {
  if (v.is_undefined()) fail_undefined(v);
  if (v.is(Kind::real)) return -v.real();
  if (!v.is_number()) {
    throw Failure(fmt::format("bad operand type for unary -: '{}'", short_type_name(type_name(v))));
  }
  std::int64_t result = 0;
  if (__builtin_sub_overflow(std::int64_t{0}, v.integer(), &result)) fail_overflow();
  return result;
}

Value positive(const Value& v) {
  if (v.is_undefined()) fail_undefined(v);
  if (v.is(Kind::real)) return v;
  if (!v.is_number()) {
    throw Failure(fmt::format("bad operand type for unary +: '{}'", short_type_name(type_name(v))));
  }
  return v.integer();
}

}  // namespace zaya::jinja
