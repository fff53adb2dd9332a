#include "text/jinja/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include <fmt/format.h>

#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

// What snprintf writes for a float; precision is bounded by the callers.
std::string printed(char type, int precision, bool alternate, double v) {
  if (std::isnan(v) || std::isinf(v)) {
    const bool upper = type == 'E' || type == 'F' || type == 'G';
    const std::string text = std::isnan(v) ? "nan" : v < 0 ? "-inf" : "inf";
    return upper ? convert_case(text, Case::upper) : text;
  }
  const std::string format = std::string(alternate ? "%#" : "%") + ".*" + type;
  const int size = std::snprintf(nullptr, 0, format.c_str(), precision, v);
  std::string out(static_cast<std::size_t>(size) + 1, '\0');
  std::snprintf(out.data(), out.size(), format.c_str(), precision, v);
  out.pop_back();
  return out;
}

constexpr std::int64_t kMaxPrecision = 1000;

std::string in_base(std::int64_t v, char type) {
  const auto u = v < 0 ? ~static_cast<std::uint64_t>(v) + 1 : static_cast<std::uint64_t>(v);
  std::string digits;
  switch (type) {
    case 'b':
      digits = fmt::format("{:b}", u);
      break;
    case 'o':
      digits = fmt::format("{:o}", u);
      break;
    case 'x':
      digits = fmt::format("{:x}", u);
      break;
    case 'X':
      digits = fmt::format("{:X}", u);
      break;
    default:
      digits = fmt::to_string(u);
      break;
  }
  return (v < 0 ? "-" : "") + digits;
}

// Splits off a leading minus.
std::string take_sign(std::string& digits) {
  if (!digits.starts_with('-')) return {};
  digits.erase(0, 1);
  return "-";
}

// A number at the head of `text`, bounded; -1 when there is none.
std::int64_t take_number(std::string_view& text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return -1;
  std::int64_t n = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    n = n * 10 + (text[0] - '0');
    if (n > std::numeric_limits<std::int32_t>::max())
      throw Failure("number in format is too large");
    text.remove_prefix(1);
  }
  return n;
}

std::string first_code_points(const std::string& text, std::int64_t count) {
  return count < 0 ? text : text.substr(0, byte_offset(text, static_cast<std::size_t>(count)));
}

std::string ascii_repr(const Value& v) {
  const std::string text = to_repr(v);
  std::string out;
  for (std::size_t pos = 0; pos < text.size();) {
    const auto c = static_cast<unsigned>(next_code_point(text, pos));
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else {
      out += c <= 0xff     ? fmt::format("\\x{:02x}", c)
             : c <= 0xffff ? fmt::format("\\u{:04x}", c)
                           : fmt::format("\\U{:08x}", c);
    }
  }
  return out;
}

std::string character(std::int64_t code) {
  if (code < 0 || code > 0x10ffff) throw Failure("%c arg not in range(0x110000)");
  if (code >= 0xd800 && code <= 0xdfff) throw Failure("surrogates are not characters");
  std::string out;
  append_utf8(out, static_cast<char32_t>(code));
  return out;
}

struct PercentSpec {
  bool left = false, zero = false, plus = false, space = false, alternate = false;
  std::int64_t width = -1;
  std::int64_t precision = -1;
};

std::string percent_number(char type, const PercentSpec& spec, const Value& v) {
  if (v.is_undefined() && type != 's') fail_undefined(v);
  if (!v.is_number()) {
    throw Failure(fmt::format("%{} format: a real number is required, not {}", type,
                              short_type_name(type_name(v))));
  }
  if (spec.precision > kMaxPrecision) throw Failure("precision in format is too large");
  std::string digits;
  if (std::string_view("eEfFgG").find(type) != std::string_view::npos) {
    digits = printed(type, spec.precision < 0 ? 6 : static_cast<int>(spec.precision),
                     spec.alternate, v.real());
  } else {
    const bool whole = type == 'd' || type == 'i' || type == 'u';
    if (!v.is_integral() && !whole) {
      throw Failure(fmt::format("%{} format: an integer is required, not float", type));
    }
    if (!v.is_integral() && !(std::fabs(v.real()) < 0x1p63)) {
      throw Failure("cannot convert float to a 64-bit integer");
    }
    digits = in_base(v.is_integral() ? v.integer() : static_cast<std::int64_t>(v.real()), type);
    std::string sign = take_sign(digits);
    if (spec.precision > static_cast<std::int64_t>(digits.size())) {
      digits = pad(digits, spec.precision, '>', "0");
    }
    if (spec.alternate && !whole) sign += std::string("0") + type;
    digits = sign + digits;
  }
  std::string sign = take_sign(digits);
  if (sign.empty() && (spec.plus || spec.space)) sign = spec.plus ? "+" : " ";
  if (spec.zero && !spec.left) {
    const bool prefix = spec.alternate && digits.size() > 1 && (digits[1] | 0x20) == 'x';
    if (prefix) {
      sign += digits.substr(0, 2);
      digits.erase(0, 2);
    }
    digits = pad(digits, spec.width - static_cast<std::int64_t>(sign.size()), '>', "0");
  }
  return sign + digits;
}

std::string percent_conversion(char type, const PercentSpec& spec, const Value& v, bool markup) {
  const auto shown = [&](const std::string& text) {
    return first_code_points(markup ? escape(text) : text, spec.precision);
  };
  switch (type) {
    case 's':
      return markup ? first_code_points(escaped(v).str(), spec.precision) : shown(to_str(v));
    case 'r':
      return shown(to_repr(v));
    case 'a':
      return shown(ascii_repr(v));
    case 'c':
      if (v.is_string() && v.text().length == 1) return v.str();
      if (v.is_integral()) return character(v.integer());
      throw Failure("%c requires int or char");
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      return percent_number(type, spec, v);
    default:
      throw Failure(fmt::format("unsupported format character '{}' (0x{:x})", type,
                                static_cast<unsigned>(static_cast<unsigned char>(type))));
  }
}

// [[fill]align][sign][z][#][0][width][grouping][.precision][type]
struct BraceSpec {
  std::string fill = " ";
  char align = 0;
  char sign = '-';
  bool alternate = false;
  char grouping = 0;
  std::int64_t width = -1;
  std::int64_t precision = -1;
  char type = 0;
};

bool is_align(std::string_view text) {
  return !text.empty() && std::string_view("<>=^").find(text[0]) != std::string_view::npos;
}

BraceSpec parse_spec(std::string_view text) {
  BraceSpec spec;
  const std::size_t first = byte_offset(text, 1);
  if (is_align(text.substr(first))) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    text.remove_prefix(first + 1);
  } else if (is_align(text)) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  const auto take = [&](std::string_view any) -> char {
    if (text.empty() || any.find(text[0]) == std::string_view::npos) return 0;
    const char c = text[0];
    text.remove_prefix(1);
    return c;
  };
  if (const char c = take("+- ")) spec.sign = c;
  spec.alternate = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = take_number(text);
  spec.grouping = take(",_");
  if (take(".") != 0) {
    spec.precision = take_number(text);
    if (spec.precision < 0) throw Failure("Format specifier missing precision");
  }
  if (!text.empty()) {
    spec.type = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty()) throw Failure("Invalid format specifier");
  return spec;
}

std::string grouped(const std::string& digits, char separator, std::size_t size) {
  std::size_t whole = 0;
  while (whole < digits.size() && std::isxdigit(static_cast<unsigned char>(digits[whole])) != 0)
    ++whole;
  std::string out;
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % size == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

// str() of a float with the digits of 'g' style presentation: what format(v, '') and '.3' give.
std::string general(double v, std::int64_t precision, bool alternate) {
  if (precision < 0) return float_repr(v);
  std::string text =
      printed('g', static_cast<int>(std::max<std::int64_t>(precision, 1)), alternate, v);
  // Without a type, a whole number keeps ".0" unless it is written with an exponent.
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string format_number(const Value& v, const BraceSpec& spec) {
  if (spec.precision > kMaxPrecision) throw Failure("precision in format is too large");
  const auto unknown = [&] {
    return Failure(fmt::format("Unknown format code '{}' for object of type '{}'", spec.type,
                               short_type_name(type_name(v))));
  };
  std::string digits;
  std::string prefix;
  std::size_t group = 3;
  const bool integer_type =
      spec.type != 0 && std::string_view("bcdoxX").find(spec.type) != std::string_view::npos;
  if (v.is_integral() && (spec.type == 0 || integer_type || spec.type == 'n')) {
    if (spec.precision >= 0) throw Failure("Precision not allowed in integer format specifier");
    if (spec.type == 'c') {
      digits = character(v.integer());
    } else {
      digits = in_base(v.integer(), spec.type);
      const bool decimal = spec.type == 0 || spec.type == 'd' || spec.type == 'n';
      if (!decimal) group = 4;
      if (!decimal && spec.alternate) prefix = std::string("0") + spec.type;
    }
  } else {
    if (integer_type || (spec.type != 0 &&
                         std::string_view("eEfFgGn%").find(spec.type) == std::string_view::npos)) {
      throw unknown();
    }
    const double d = v.real();
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    if (spec.type == 0) {
      digits = general(d, spec.precision, spec.alternate);
    } else if (spec.type == '%') {
      digits = printed('f', precision, spec.alternate, d * 100) + "%";
    } else {
      const char type = spec.type == 'n' ? 'g' : spec.type;
      digits = printed(type, (type | 0x20) == 'g' ? std::max(precision, 1) : precision,
                       spec.alternate, d);
    }
  }
  std::string sign = take_sign(digits);
  if (sign.empty() && spec.sign != '-') sign = spec.sign;
  if (spec.grouping != 0 && std::isdigit(static_cast<unsigned char>(digits[0])) != 0) {
    digits = grouped(digits, spec.grouping, group);
  }
  sign += prefix;
  if (spec.align == '=') {
    const auto width = spec.width - static_cast<std::int64_t>(sign.size());
    if (spec.grouping != 0 && spec.fill == "0") {
      // Zeros are grouped like digits, and never start with a separator.
      std::string bare;
      std::copy_if(digits.begin(), digits.end(), std::back_inserter(bare),
                   [&](char c) { return c != spec.grouping; });
      while (static_cast<std::int64_t>(digits.size()) < width) {
        spend(digits.size());
        bare.insert(0, 1, '0');
        digits = grouped(bare, spec.grouping, group);
      }
    }
    return sign + pad(digits, width, '>', spec.fill);
  }
  return pad(sign + digits, spec.width, spec.align == 0 ? '>' : spec.align, spec.fill);
}

class BraceFormatter {
 public:
  BraceFormatter(const Args& args, bool markup) : args_(args), markup_(markup) {}

  // `level` counts the fields that may still nest inside a format spec.
  std::string run(std::string_view text, int level) {
    if (level < 0) throw Failure("Max string recursion exceeded");
    std::string out;
    for (std::size_t pos = 0; pos < text.size();) {
      const auto at = text.find_first_of("{}", pos);
      out += text.substr(pos, at == std::string_view::npos ? at : at - pos);
      if (at == std::string_view::npos) break;
      if (at + 1 < text.size() && text[at + 1] == text[at]) {
        out += text[at];
        pos = at + 2;
        continue;
      }
      if (text[at] == '}') throw Failure("Single '}' encountered in format string");
      std::size_t end = at + 1;
      int depth = 1;
      for (; end < text.size(); ++end) {
        depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
        if (depth == 0) break;
      }
      if (depth != 0) {
        throw Failure(at + 1 == text.size() ? "Single '{' encountered in format string"
                                            : "expected '}' before end of string");
      }
      const std::string shown = field(text.substr(at + 1, end - at - 1), level);
      spend(shown.size() + kNodeCost);
      out += shown;
      pos = end + 1;
    }
    return out;
  }

 private:
  std::string field(std::string_view text, int level) {
    const auto stop = text.find_first_of("!:");
    std::string_view name = text.substr(0, stop);
    std::string_view rest = stop == std::string_view::npos ? std::string_view() : text.substr(stop);
    char conversion = 0;
    if (rest.starts_with('!')) {
      if (rest.size() < 2) throw Failure("unmatched '{' in format spec");
      conversion = rest[1];
      rest.remove_prefix(2);
      if (!rest.empty() && rest[0] != ':') throw Failure("expected ':' after conversion specifier");
    }
    Value value = lookup(name);
    switch (conversion) {
      case 0:
        break;
      case 's':
        value = Value(to_str(value));
        break;
      case 'r':
        value = Value(to_repr(value));
        break;
      case 'a':
        value = Value(ascii_repr(value));
        break;
      default:
        throw Failure(fmt::format("Unknown conversion specifier {}", conversion));
    }
    const std::string spec = rest.empty() ? "" : run(rest.substr(1), level - 1);
    if (!markup_) return format_value(value, spec);
    if (value.is_string() && value.text().markup) return format_value(value, spec);
    return escape(format_value(value, spec));
  }

  Value lookup(std::string_view name) {
    const auto stop = name.find_first_of(".[");
    const std::string_view head = name.substr(0, stop);
    std::string_view rest = stop == std::string_view::npos ? std::string_view() : name.substr(stop);
    Value value = first(head);
    while (!rest.empty()) {
      if (rest[0] == '.') {
        const auto end = std::min(rest.find_first_of(".[", 1), rest.size());
        if (end == 1) throw Failure("Empty attribute in format string");
        value = get_attribute(value, std::string(rest.substr(1, end - 1)));
        rest.remove_prefix(end);
      } else if (rest[0] == '[') {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) throw Failure("Missing ']' in format string");
        const std::string_view key = rest.substr(1, end - 1);
        if (key.empty()) throw Failure("Empty attribute in format string");
        std::string_view digits = key;
        const std::int64_t number = take_number(digits);
        value = get_item(value, number >= 0 && digits.empty() ? Value(number) : Value(key));
        rest.remove_prefix(end + 1);
      } else {
        throw Failure("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Value first(std::string_view head) {
    std::string_view digits = head;
    const std::int64_t number = take_number(digits);
    if (head.empty() || (number >= 0 && digits.empty())) {
      const bool automatic = head.empty();
      if ((automatic && manual_) || (!automatic && next_ > 0)) {
        throw Failure("cannot switch between automatic and manual field numbering");
      }
      manual_ = manual_ || !automatic;
      const auto i = automatic ? next_++ : static_cast<std::size_t>(number);
      if (i >= args_.positional.size()) {
        throw Failure(
            fmt::format("Replacement index {} out of range for positional args tuple", i));
      }
      return args_.positional[i];
    }
    for (const auto& [key, value] : args_.named) {
      if (key == head) return value;
    }
    throw Failure(string_repr(head));
  }

  const Args& args_;
  bool markup_;
  bool manual_ = false;
  std::size_t next_ = 0;
};

}  // namespace

std::string pad(std::string_view text, std::int64_t width, char align, std::string_view fill) {
  const auto have = static_cast<std::int64_t>(count_code_points(text));
  if (width <= have) return std::string(text);
  const std::int64_t missing = width - have;
  spend(static_cast<std::uint64_t>(missing) * std::max<std::size_t>(fill.size(), 1));
  std::int64_t left = align == '<' ? 0 : missing;
  if (align == '^') left = missing / 2;
  // str.center() puts the odd one on the left only when the width is odd too.
  if (align == 'c') left = missing / 2 + (missing & width & 1);
  std::string out;
  for (std::int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (std::int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

std::string format_value(const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return to_str(value);
  if (value.is_number() && !(value.is(Kind::boolean) && spec_text == "s")) {
    const BraceSpec spec = parse_spec(spec_text);
    // bool is an int here, but without a type it is written as a word.
    if (!value.is(Kind::boolean) || spec.type != 0) return format_number(value, spec);
    return format_number(Value(value.integer()), spec);
  }
  if (!value.is_string()) {
    throw Failure(fmt::format("unsupported format string passed to {}.__format__",
                              short_type_name(type_name(value))));
  }
  const BraceSpec spec = parse_spec(spec_text);
  if (spec.type != 0 && spec.type != 's') {
    throw Failure(fmt::format("Unknown format code '{}' for object of type 'str'", spec.type));
  }
  if (spec.sign != '-' || spec.alternate || spec.grouping != 0) {
    throw Failure("Sign, alternate form or grouping not allowed in string format specifier");
  }
  if (spec.align == '=' && spec.fill != "0") {
    throw Failure("'=' alignment not allowed in string format specifier");
  }
  return pad(first_code_points(value.str(), spec.precision), spec.width,
             spec.align == 0 || spec.align == '=' ? '<' : spec.align, spec.fill);
}

Value percent_format(const Text& text, const Value& value) {
  const bool is_tuple = value.is(Kind::tuple);
  const std::size_t count = is_tuple ? value.items().size() : 1;
  std::size_t used = 0;
  bool mapped = false;
  const auto next = [&]() -> Value {
    if (used >= count) throw Failure("not enough arguments for format string");
    return is_tuple ? value.items()[used++] : (++used, value);
  };
  std::string out;
  std::string_view rest = text.bytes;
  while (!rest.empty()) {
    const auto at = std::min(rest.find('%'), rest.size());
    out += rest.substr(0, at);
    spend(at);
    rest.remove_prefix(at);
    if (rest.empty()) break;
    rest.remove_prefix(1);
    Value key;
    bool has_key = false;
    if (rest.starts_with('(')) {
      const auto close = rest.find(')');
      if (close == std::string_view::npos) throw Failure("incomplete format key");
      if (!value.is(Kind::dict)) throw Failure("format requires a mapping");
      key = Value(rest.substr(1, close - 1));
      has_key = mapped = true;
      rest.remove_prefix(close + 1);
    }
    PercentSpec spec;
    for (; !rest.empty(); rest.remove_prefix(1)) {
      if (rest[0] == '-')
        spec.left = true;
      else if (rest[0] == '0')
        spec.zero = true;
      else if (rest[0] == '+')
        spec.plus = true;
      else if (rest[0] == ' ')
        spec.space = true;
      else if (rest[0] == '#')
        spec.alternate = true;
      else
        break;
    }
    const auto take_size = [&]() -> std::int64_t {
      if (!rest.starts_with('*')) return take_number(rest);
      rest.remove_prefix(1);
      const Value v = next();
      if (!v.is_integral()) throw Failure("* wants int");
      return std::clamp<std::int64_t>(v.integer(), std::numeric_limits<std::int32_t>::min(),
                                      std::numeric_limits<std::int32_t>::max());
    };
    spec.width = take_size();
    if (spec.width < -1) {
      spec.left = true;
      spec.width = -spec.width;
    }
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      spec.precision = std::max<std::int64_t>(take_size(), 0);
    }
    while (!rest.empty() && std::string_view("hlL").find(rest[0]) != std::string_view::npos)
      rest.remove_prefix(1);
    if (rest.empty()) throw Failure("incomplete format");
    const char type = rest[0];
    rest.remove_prefix(1);
    if (type == '%') {
      out += '%';
      continue;
    }
    Value item;
    if (has_key) {
      const Value* found = value.dict().find(key);
      if (found == nullptr) throw Failure(to_repr(key));
      item = *found;
    } else {
      item = next();
    }
    out +=
        pad(percent_conversion(type, spec, item, text.markup), spec.width, spec.left ? '<' : '>');
  }
  // A single value that is a mapping or a sequence may be left unused.
  const bool may_remain =
      mapped ||
      (!is_tuple && (value.is(Kind::dict) || value.is(Kind::list) || value.is_undefined()));
  if (used < count && !may_remain) {
    throw Failure("not all arguments converted during string formatting");
  }
  return {std::move(out), text.markup};
}

Value brace_format(const Text& text, const Args& args) {
  return {BraceFormatter(args, text.markup).run(text.bytes, 2), text.markup};
}

}  // namespace zaya::jinja
