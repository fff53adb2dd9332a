#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

void write_string(std::string& out, std::string_view text, bool ascii) {
  spend(text.size());
  out += '"';
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t start = pos;
    const char32_t c = next_code_point(text, pos);
    switch (c) {
      case U'"':
        out += "\\\"";
        break;
      case U'\\':
        out += "\\\\";
        break;
      case U'\n':
        out += "\\n";
        break;
      case U'\r':
        out += "\\r";
        break;
      case U'\t':
        out += "\\t";
        break;
      case U'\b':
        out += "\\b";
        break;
      case U'\f':
        out += "\\f";
        break;
      default:
        if (c < 0x20 || (ascii && c > 0x7e && c <= 0xffff)) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else if (ascii && c > 0xffff) {
          const auto high = static_cast<unsigned>(0xd800 + ((c - 0x10000) >> 10));
          const auto low = static_cast<unsigned>(0xdc00 + ((c - 0x10000) & 0x3ff));
          out += fmt::format("\\u{:04x}\\u{:04x}", high, low);
        } else {
          out += text.substr(start, pos - start);
        }
    }
  }
  out += '"';
}

std::string number(const Value& v) {
  if (v.is(Kind::boolean)) return v.boolean() ? "true" : "false";
  if (v.is(Kind::integer)) return fmt::to_string(v.integer());
  const double d = v.real();
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
  return float_repr(d);
}

std::string key_text(const Value& key) {
  if (key.is_string()) return key.str();
  if (key.is_none()) return "null";
  if (key.is_number()) return number(key);
  throw Failure(fmt::format("keys must be str, int, float, bool or None, not {}",
                            short_type_name(type_name(key))));
}

class Writer {
 public:
  explicit Writer(const JsonStyle& style) : style_(style) {}

  std::string out;

  void write(const Value& v) {
    spend(kNodeCost);
    if (v.is_string()) {
      write_string(out, v.str(), style_.ascii);
    } else if (v.is_none()) {
      out += "null";
    } else if (v.is_number()) {
      out += number(v);
    } else if (v.is_sequence()) {
      write_all('[', ']', v.items(), [this](const Value& item) { write(item); });
    } else if (v.is(Kind::dict)) {
      std::vector<Dict::Entry> entries = v.dict().entries();
      if (style_.sort_keys) {
        std::stable_sort(entries.begin(), entries.end(),
                         [](const auto& a, const auto& b) { return less(a.first, b.first); });
      }
      write_all('{', '}', entries, [this](const Dict::Entry& entry) {
        write_string(out, key_text(entry.first), style_.ascii);
        out += style_.key_separator;
        write(entry.second);
      });
    } else {
      throw Failure(
          fmt::format("Object of type {} is not JSON serializable", short_type_name(type_name(v))));
    }
  }

 private:
  template <typename Items, typename Write>
  void write_all(char open, char close, const Items& items, const Write& write_one) {
    out += open;
    ++level_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      new_line();
      write_one(items[i]);
    }
    --level_;
    if (!items.empty()) new_line();
    out += close;
  }

  void new_line() {
    if (!style_.pretty) return;
    out += '\n';
    spend(style_.indent.size() * static_cast<std::size_t>(level_));
    for (int i = 0; i < level_; ++i) out += style_.indent;
  }

  const JsonStyle& style_;
  int level_ = 0;
};

// Parsed JSON is, but a program may put anything into a string.
std::string well_formed(const std::string& text) {
  return find_invalid_utf8(text) == std::string::npos ? text : replace_invalid_utf8(text);
}

Value converted(const Json& json, int depth) {
  checked_nesting(depth);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: {
      const auto n = json.get<std::uint64_t>();
      if (n >> 63 != 0) throw Failure(fmt::format("{} does not fit into 64 bits with a sign", n));
      return Value(static_cast<std::int64_t>(n));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(well_formed(json.get_ref<const std::string&>()));
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(converted(item, depth + 1));
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, item] : json.items())
        dict->set(Value(well_formed(key)), converted(item, depth + 1));
      return Value(std::move(dict));
    }
    default:
      return {};
  }
}

}  // namespace

Value from_json(const Json& json) {
  return converted(json, 0);
}

std::string to_json(const Value& v, const JsonStyle& style) {
  Writer writer(style);
  writer.write(v);
  return std::move(writer.out);
}

}  // namespace zaya::jinja
