#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

using Params = std::vector<const Value*>;

// The value as text, which stays Markup if it was.
Value soft(const Value& v) {
  return v.is_string() ? v : Value(to_str(v));
}

Value like(const Value& v, std::string text) {
  return {std::move(text), v.is_string() && v.text().markup};
}

bool flag(const Value* v, bool fallback) {
  return v == nullptr ? fallback : truthy(*v);
}

std::int64_t number(const Value* v, std::int64_t fallback) {
  return v == nullptr ? fallback : to_index(*v);
}

template <std::string (*convert)(std::string_view)>
Value converted(Renderer&, Args& args) {
  const Params p = bind("filter", args, {"s"}, 1);
  return like(*p[0], convert(to_str(*p[0])));
}

std::string upper(std::string_view text) {
  return convert_case(text, Case::upper);
}
std::string lower(std::string_view text) {
  return convert_case(text, Case::lower);
}

// Unlike str.title(), words begin only after white space, a hyphen or an opening bracket.
std::string title(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t size = 0;
    bool separator = false;
    while (size < text.size() && !separator) {
      std::size_t pos = size;
      const char32_t c = next_code_point(text, pos);
      separator = is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos;
      if (!separator || size == 0) size = pos;
    }
    out += convert_case(text.substr(0, byte_offset(text, 1)), Case::upper);
    out += convert_case(text.substr(0, size).substr(byte_offset(text, 1)), Case::lower);
    text.remove_prefix(size);
  }
  return out;
}

Value string_filter(Renderer&, Args& args) {
  return soft(*bind("string", args, {"object"}, 1)[0]);
}

Value safe_filter(Renderer&, Args& args) {
  return {to_str(*bind("safe", args, {"value"}, 1)[0]), true};
}

Value escape_filter(Renderer&, Args& args) {
  return escaped(*bind("escape", args, {"s"}, 1)[0]);
}

Value forceescape_filter(Renderer&, Args& args) {
  return {escape(to_str(*bind("forceescape", args, {"value"}, 1)[0])), true};
}

Value trim_filter(Renderer&, Args& args) {
  const Params p = bind("trim", args, {"value", "chars"}, 1);
  const bool given = p[1] != nullptr && !p[1]->is_none();
  if (given && !p[1]->is_string()) throw Failure("strip arg must be None or str");
  return like(*p[0], strip(to_str(*p[0]), given ? &p[1]->str() : nullptr, true, true));
}

Value replace_filter(Renderer&, Args& args) {
  const Params p = bind("replace", args, {"s", "old", "new", "count"}, 3);
  const std::int64_t count = p[3] == nullptr || p[3]->is_none() ? -1 : to_index(*p[3]);
  return Value(replace(to_str(*p[0]), to_str(*p[1]), to_str(*p[2]), count));
}

Value center_filter(Renderer&, Args& args) {
  const Params p = bind("center", args, {"value", "width"}, 1);
  return like(*p[0], pad(to_str(*p[0]), number(p[1], 80), 'c'));
}

Value indent_filter(Renderer&, Args& args) {
  const Params p = bind("indent", args, {"s", "width", "first", "blank"}, 1);
  if (p[0]->is_undefined()) fail_undefined(*p[0]);
  if (!p[0]->is_string()) {
    throw Failure(fmt::format("unsupported operand type(s) for +=: '{}' and 'str'",
                              short_type_name(type_name(*p[0]))));
  }
  const std::string by =
      p[1] != nullptr && p[1]->is_string() ? p[1]->str() : pad("", number(p[1], 4), '<');
  const bool blank = flag(p[3], false);
  const std::vector<std::string> lines = split_lines(p[0]->str() + "\n");
  std::string out = flag(p[2], false) ? by : "";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    spend(by.size() + lines[i].size());
    if (i > 0) out += '\n';
    if (i > 0 && (blank || !lines[i].empty())) out += by;
    out += lines[i];
  }
  return like(*p[0], std::move(out));
}

Value truncate_filter(Renderer&, Args& args) {
  const Params p = bind("truncate", args, {"s", "length", "killwords", "end", "leeway"}, 1);
  const std::int64_t limit = number(p[1], 255);
  const Value end = p[3] == nullptr ? Value("...") : *p[3];
  const std::int64_t leeway = p[4] == nullptr || p[4]->is_none() ? 5 : to_index(*p[4]);
  const auto end_size = static_cast<std::int64_t>(length(end));
  if (limit < end_size)
    throw Failure(fmt::format("expected length >= {}, got {}", end_size, limit));
  if (leeway < 0) throw Failure(fmt::format("expected leeway >= 0, got {}", leeway));
  const auto size = static_cast<std::int64_t>(length(*p[0]));
  if (size <= limit || size - limit <= leeway) return *p[0];
  Value head = slice(*p[0], Value(), Value(limit - end_size), Value());
  if (!flag(p[2], false) && head.is_string()) {
    const auto space = head.str().rfind(' ');
    if (space != std::string::npos) head = like(head, head.str().substr(0, space));
  }
  return binary(BinaryOp::add, head, end);
}

Value wordcount_filter(Renderer&, Args& args) {
  const std::string text = to_str(*bind("wordcount", args, {"s"}, 1)[0]);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t pos = 0; pos < text.size();) {
    const bool word = is_word(next_code_point(text, pos));
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return words;
}

Value format_filter(Renderer&, Args& args) {
  if (args.positional.size() > 1 && !args.named.empty()) {
    throw Failure("can't handle positional and keyword arguments at the same time");
  }
  const Value text = soft(args.positional[0]);
  if (args.named.empty()) {
    std::vector<Value> rest(args.positional.begin() + 1, args.positional.end());
    return percent_format(text.text(), Value::tuple(std::move(rest)));
  }
  auto dict = std::make_shared<Dict>();
  for (const auto& [key, value] : args.named) dict->set(Value(key), value);
  return percent_format(text.text(), Value(std::move(dict)));
}

// The entities a text of today holds; others stay as they are.
std::string unescape(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> kEntities[] = {
      {"&amp;", "&"},  {"&lt;", "<"},   {"&gt;", ">"},          {"&quot;", "\""},
      {"&#34;", "\""}, {"&#39;", "\'"}, {"&nbsp;", "\xc2\xa0"}, {"&apos;", "\'"}};
  std::string out;
  while (!text.empty()) {
    const auto* found = std::find_if(std::begin(kEntities), std::end(kEntities),
                                     [&](const auto& e) { return text.starts_with(e.first); });
    if (found != std::end(kEntities)) {
      out += found->second;
      text.remove_prefix(found->first.size());
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

std::string without(std::string_view text, std::string_view open, std::string_view close) {
  std::string out;
  while (true) {
    const auto begin = text.find(open);
    const auto end =
        begin == std::string_view::npos ? begin : text.find(close, begin + open.size());
    out += text.substr(0, end == std::string_view::npos ? end : begin);
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + close.size());
  }
}

Value striptags_filter(Renderer&, Args& args) {
  const std::string text = to_str(*bind("striptags", args, {"value"}, 1)[0]);
  const std::string bare = without(without(text, "<!--", "-->"), "<", ">");
  std::string out;
  bool gap = false;
  for (std::size_t pos = 0; pos < bare.size();) {
    const std::size_t start = pos;
    if (is_space(next_code_point(bare, pos))) {
      gap = true;
      continue;
    }
    if (gap && !out.empty()) out += ' ';
    gap = false;
    out += bare.substr(start, pos - start);
  }
  return Value(unescape(out));
}

std::string url_quote(const Value& v, bool query) {
  std::string out;
  for (const char c : to_str(v)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 0x80 && (std::isalnum(byte) != 0 || c == '_' || c == '.' ||
                                       c == '-' || c == '~' || (c == '/' && !query));
    if (plain) {
      out += c;
    } else if (c == ' ' && query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

Value urlencode_filter(Renderer&, Args& args) {
  const Value& v = *bind("urlencode", args, {"value"}, 1)[0];
  if (v.is_string() || !is_iterable(v)) return Value(url_quote(v, false));
  std::string out;
  const auto add = [&](const Value& key, const Value& value) {
    if (!out.empty()) out += '&';
    out += url_quote(key, true) + "=" + url_quote(value, true);
  };
  if (v.is(Kind::dict)) {
    for (const auto& [key, value] : v.dict().entries()) add(key, value);
    return Value(std::move(out));
  }
  for (const Value& pair : to_vector(v)) {
    const std::vector<Value> items = to_vector(pair);
    if (items.size() != 2) throw Failure("urlencode needs pairs");
    add(items[0], items[1]);
  }
  return Value(std::move(out));
}

Value tojson_filter(Renderer&, Args& args) {
  const Params p =
      bind("tojson", args, {"x", "ensure_ascii", "indent", "separators", "sort_keys"}, 1);
  JsonStyle style;
  style.ascii = flag(p[1], false);
  style.sort_keys = flag(p[4], false);
  if (p[2] != nullptr && !p[2]->is_none()) {
    style.pretty = true;
    style.item_separator = ",";
    style.indent = p[2]->is_string() ? p[2]->str() : pad("", to_index(*p[2]), '<');
  }
  if (p[3] != nullptr && !p[3]->is_none()) {
    const std::vector<Value> pair = to_vector(*p[3]);
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      throw Failure("separators must be a pair of strings");
    }
    style.item_separator = pair[0].str();
    style.key_separator = pair[1].str();
  }
  return Value(to_json(*p[0], style));
}

// Python's int(text, base), of 64 bits; nothing when it is no number.
std::optional<std::int64_t> parse_integer(std::string text, std::int64_t base) {
  text = strip(text, nullptr, true, true);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.erase(0, 1);
  const char mark = text.size() > 1 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  const std::int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (marked != 0 && (base == 0 || base == marked)) {
    text.erase(0, 2);
    if (text.starts_with('_')) text.erase(0, 1);
    base = marked;
  } else if (base == 0) {
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string::npos) {
      return std::nullopt;
    }
  }
  if (base < 2 || base > 36) return std::nullopt;
  std::int64_t value = 0;
  bool digit_before = false;
  for (const char c : text) {
    if (c == '_' && digit_before) {
      digit_before = false;
      continue;
    }
    const char low = static_cast<char>(c | 0x20);
    const int digit = c >= '0' && c <= '9'       ? c - '0'
                      : low >= 'a' && low <= 'z' ? low - 'a' + 10
                                                 : 99;
    if (digit >= base) return std::nullopt;
    digit_before = true;
    if (__builtin_mul_overflow(value, base, &value) ||
        __builtin_sub_overflow(value, std::int64_t{digit}, &value)) {
      throw Failure("integer does not fit into 64 bits");
    }
  }
  if (!digit_before) return std::nullopt;
  if (negative) return value;
  if (value == std::numeric_limits<std::int64_t>::min()) {
    throw Failure("integer does not fit into 64 bits");
  }
  return -value;
}

// Python's float(text).
std::optional<double> parse_float(std::string text) {
  text = convert_case(strip(text, nullptr, true, true), Case::lower);
  const std::string bare = text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text;
  const bool named = bare == "inf" || bare == "infinity" || bare == "nan";
  if (!named && bare.find_first_not_of("0123456789.e+-_") != std::string::npos) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') continue;
    const auto digit = [&](std::size_t k) {
      return k < text.size() && text[k] >= '0' && text[k] <= '9';
    };
    if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
  }
  text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
  if (text.empty()) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end == text.c_str() + text.size() ? std::optional(value) : std::nullopt;
}

std::int64_t truncated(double d) {
  if (!(std::fabs(d) < 0x1p63)) throw Failure("cannot convert float to a 64-bit integer");
  return static_cast<std::int64_t>(d);
}

Value int_filter(Renderer&, Args& args) {
  const Params p = bind("int", args, {"value", "default", "base"}, 1);
  const Value& v = *p[0];
  Value fallback = p[1] == nullptr ? Value(0) : *p[1];
  if (v.is_undefined()) fail_undefined(v);
  if (v.is_integral()) return v.integer();
  std::optional<double> real;
  if (v.is(Kind::real)) real = v.real();
  if (v.is_string()) {
    if (const auto integer = parse_integer(v.str(), number(p[2], 10))) return *integer;
    real = parse_float(v.str());
  }
  if (!real || std::isnan(*real)) return fallback;
  return truncated(*real);
}

Value float_filter(Renderer&, Args& args) {
  const Params p = bind("float", args, {"value", "default"}, 1);
  const Value& v = *p[0];
  if (v.is_undefined()) fail_undefined(v);
  if (v.is_number()) return v.real();
  std::optional<double> real;
  if (v.is_string()) real = parse_float(v.str());
  return real ? Value(*real) : p[1] == nullptr ? Value(0.0) : *p[1];
}

Value abs_filter(Renderer&, Args& args) {
  const Value& v = *bind("abs", args, {"x"}, 1)[0];
  if (!v.is_number()) {
    throw Failure(fmt::format("bad operand type for abs(): '{}'", short_type_name(type_name(v))));
  }
  if (v.is(Kind::real)) return std::fabs(v.real());
  return v.integer() < 0 ? negate(v) : Value(v.integer());
}

// Half to even at a power of ten, as Python's round() of an int.
Value rounded_integer(std::int64_t v, std::int64_t digits) {
  if (digits >= 0) return v;
  if (digits < -19) return Value(0);
  const double step = std::pow(10.0, static_cast<double>(-digits));
  const auto whole = static_cast<long double>(v) / static_cast<long double>(step);
  return truncated(static_cast<double>(std::nearbyint(whole) * static_cast<long double>(step)));
}

Value rounded_real(double v, std::int64_t digits) {
  if (!std::isfinite(v) || digits > 323) return v;
  if (digits >= 0) {
    // The decimal expansion is exact, so this rounds as Python does.
    return std::strtod(fmt::format("{:.{}f}", v, digits).c_str(), nullptr);
  }
  if (digits < -309) return std::copysign(0.0, v);
  const long double step = std::pow(10.0L, static_cast<long double>(-digits));
  return static_cast<double>(std::nearbyint(static_cast<long double>(v) / step) * step);
}

Value round_filter(Renderer&, Args& args) {
  const Params p = bind("round", args, {"value", "precision", "method"}, 1);
  const std::string method = p[2] == nullptr ? "common" : to_str(*p[2]);
  if (method != "common" && method != "ceil" && method != "floor") {
    throw Failure("method must be common, ceil or floor");
  }
  const Value& v = *p[0];
  const std::int64_t digits = number(p[1], 0);
  if (!v.is_number()) {
    throw Failure(
        fmt::format("type {} doesn't define __round__ method", short_type_name(type_name(v))));
  }
  if (method == "common") {
    return v.is_integral() ? rounded_integer(v.integer(), digits) : rounded_real(v.real(), digits);
  }
  const Value scale = binary(BinaryOp::power, Value(10), Value(digits));
  const Value scaled = binary(BinaryOp::multiply, v, scale);
  const Value whole = scaled.is_integral() ? scaled
                      : method == "ceil"   ? Value(truncated(std::ceil(scaled.real())))
                                           : Value(truncated(std::floor(scaled.real())));
  return binary(BinaryOp::divide, whole, scale);
}

Value filesizeformat_filter(Renderer& renderer, Args& args) {
  const Params p = bind("filesizeformat", args, {"value", "binary"}, 1);
  Args one{.positional = {*p[0], Value()}, .named = {}};
  const Value size = float_filter(renderer, one);
  if (!size.is(Kind::real)) throw Failure("filesizeformat needs a number");
  const bool binary = flag(p[1], false);
  const double base = binary ? 1024 : 1000;
  const double bytes = size.real();
  if (bytes == 1) return Value("1 Byte");
  if (bytes < base) return Value(fmt::format("{} Bytes", truncated(bytes)));
  double unit = base;
  for (const char prefix : std::string_view("kMGTPEZY")) {
    unit *= base;
    if (bytes < unit || prefix == 'Y') {
      const char shown = binary && prefix == 'k' ? 'K' : prefix;
      return Value(fmt::format("{:.1f} {}{}B", base * bytes / unit, shown, binary ? "i" : ""));
    }
  }
  return {};
}

}  // namespace

const FilterTable& text_filters() {
  static const FilterTable table = {{"abs", abs_filter},
                                    {"capitalize", converted<capitalize>},
                                    {"center", center_filter},
                                    {"e", escape_filter},
                                    {"escape", escape_filter},
                                    {"filesizeformat", filesizeformat_filter},
                                    {"float", float_filter},
                                    {"forceescape", forceescape_filter},
                                    {"format", format_filter},
                                    {"indent", indent_filter},
                                    {"int", int_filter},
                                    {"lower", converted<lower>},
                                    {"replace", replace_filter},
                                    {"round", round_filter},
                                    {"safe", safe_filter},
                                    {"string", string_filter},
                                    {"striptags", striptags_filter},
                                    {"title", converted<title>},
                                    {"tojson", tojson_filter},
                                    {"trim", trim_filter},
                                    {"truncate", truncate_filter},
                                    {"upper", converted<upper>},
                                    {"urlencode", urlencode_filter},
                                    {"wordcount", wordcount_filter}};
  return table;
}

}  // namespace zaya::jinja
