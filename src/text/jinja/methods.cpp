#include "text/jinja/methods.h"

#include <algorithm>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "text/jinja/format.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

using Method = Value (*)(const Value& self, const Args& args);
using Params = std::vector<const Value*>;

const std::string& string_argument(std::string_view method, const Value* v) {
  if (!v->is_string()) {
    throw Failure(
        fmt::format("{}() argument must be str, not {}", method, short_type_name(type_name(*v))));
  }
  return v->str();
}

// The result is Markup when the string was.
Value like(const Value& self, std::string text) {
  return {std::move(text), self.text().markup};
}

// A Markup escapes what is put into it.
std::string inserted(const Value& self, const std::string& text) {
  return self.text().markup ? escape(text) : text;
}

template <bool left, bool right>
Value strip_method(const Value& self, const Args& args) {
  const Params p = bind("strip", args, {"chars"}, 0);
  if (p[0] == nullptr || p[0]->is_none())
    return like(self, strip(self.str(), nullptr, left, right));
  return like(self, strip(self.str(), &string_argument("strip", p[0]), left, right));
}

template <Case to>
Value case_method(const Value& self, const Args& args) {
  bind("case", args, {}, 0);
  return like(self, convert_case(self.str(), to));
}

Value capitalize_method(const Value& self, const Args& args) {
  bind("capitalize", args, {}, 0);
  return like(self, capitalize(self.str()));
}

Value title_method(const Value& self, const Args& args) {
  bind("title", args, {}, 0);
  return like(self, title_case(self.str()));
}

Value swapcase_method(const Value& self, const Args& args) {
  bind("swapcase", args, {}, 0);
  std::string out;
  const std::string& text = self.str();
  for (std::size_t pos = 0; pos < text.size();) {
    std::size_t ahead = pos;
    const bool upper = is_upper(next_code_point(text, ahead));
    append_case(out, text, pos, upper ? Case::lower : Case::upper);
  }
  return like(self, std::move(out));
}

// Words between white space; at most `limit` splits, from the left or the right.
std::vector<std::string_view> split_words(std::string_view text, std::int64_t limit, bool right) {
  std::vector<std::string_view> words;
  const auto skip = [&](std::string_view& rest, bool spaces) {
    const std::size_t before = rest.size();
    while (!rest.empty()) {
      std::size_t start = right ? rest.size() - 1 : 0;
      while (start > 0 && (static_cast<unsigned char>(rest[start]) & 0xc0U) == 0x80) --start;
      std::size_t pos = start;
      if (is_space(next_code_point(rest, pos)) != spaces) break;
      rest = right ? rest.substr(0, start) : rest.substr(pos);
    }
    return before - rest.size();
  };
  std::string_view rest = text;
  while (true) {
    skip(rest, true);
    if (rest.empty()) break;
    spend(sizeof(Value));
    if (limit-- == 0) {
      // The remainder keeps its inner white space, and that at its far end.
      words.push_back(rest);
      break;
    }
    const std::string_view from = rest;
    const std::size_t size = skip(rest, false);
    words.push_back(right ? from.substr(from.size() - size) : from.substr(0, size));
  }
  if (right) std::reverse(words.begin(), words.end());
  return words;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       std::int64_t limit, bool right) {
  std::vector<std::string_view> parts;
  std::string_view rest = text;
  for (; limit != 0; --limit) {
    const auto at = right ? rfind_text(rest, separator) : find_text(rest, separator);
    if (at == std::string_view::npos) break;
    spend(sizeof(Value));
    parts.push_back(right ? rest.substr(at + separator.size()) : rest.substr(0, at));
    rest = right ? rest.substr(0, at) : rest.substr(at + separator.size());
  }
  parts.push_back(rest);
  if (right) std::reverse(parts.begin(), parts.end());
  return parts;
}

template <bool right>
Value split_method(const Value& self, const Args& args) {
  const Params p = bind("split", args, {"sep", "maxsplit"}, 0);
  std::int64_t limit = p[1] == nullptr ? -1 : to_index(*p[1]);
  if (limit < 0) limit = std::numeric_limits<std::int64_t>::max();
  std::vector<std::string_view> parts;
  if (p[0] == nullptr || p[0]->is_none()) {
    parts = split_words(self.str(), limit, right);
  } else {
    const std::string& separator = string_argument("split", p[0]);
    if (separator.empty()) throw Failure("empty separator");
    parts = split_at(self.str(), separator, limit, right);
  }
  std::vector<Value> out;
  out.reserve(parts.size());
  for (const std::string_view part : parts) out.push_back(like(self, std::string(part)));
  return Value::list(std::move(out));
}

template <bool right>
Value partition_method(const Value& self, const Args& args) {
  const Params p = bind("partition", args, {"sep"}, 1);
  const std::string& separator = string_argument("partition", p[0]);
  if (separator.empty()) throw Failure("empty separator");
  const std::string& text = self.str();
  const auto at = right ? rfind_text(text, separator) : find_text(text, separator);
  const auto piece = [&](std::string part) { return like(self, std::move(part)); };
  if (at == std::string::npos) {
    return right ? Value::tuple({piece(""), piece(""), self})
                 : Value::tuple({self, piece(""), piece("")});
  }
  return Value::tuple(
      {piece(text.substr(0, at)), piece(separator), piece(text.substr(at + separator.size()))});
}

Value splitlines_method(const Value& self, const Args& args) {
  const Params p = bind("splitlines", args, {"keepends"}, 0);
  std::vector<Value> out;
  for (std::string& line : split_lines(self.str(), p[0] != nullptr && truthy(*p[0]))) {
    out.push_back(like(self, std::move(line)));
  }
  return Value::list(std::move(out));
}

// text[start:end] of find(), count(), startswith(): as bytes, with the code points before it.
struct Window {
  std::string_view text = {};
  std::size_t skipped = 0;
  bool valid = true;  ///< false when start is past the end: not even "" is found there
};

Window window(const Value& self, const Value* start, const Value* end) {
  const auto n = static_cast<std::int64_t>(self.text().length);
  const auto bound = [&](const Value* v, std::int64_t fallback) {
    if (v == nullptr || v->is_none()) return fallback;
    const std::int64_t i = to_index(*v);
    return i < 0 ? std::max<std::int64_t>(i + n, 0) : i;
  };
  const std::int64_t first = bound(start, 0);
  const std::int64_t last = std::min(bound(end, n), n);
  if (first > n || first > last) return {.valid = false};
  std::string_view text = self.str();
  spend(text.size() / 8);
  text = text.substr(byte_offset(text, static_cast<std::size_t>(first)));
  text = text.substr(0, byte_offset(text, static_cast<std::size_t>(last - first)));
  return {.text = text, .skipped = static_cast<std::size_t>(first)};
}

template <bool right, bool must>
Value find_method_of_str(const Value& self, const Args& args) {
  const Params p = bind(must ? "index" : "find", args, {"sub", "start", "end"}, 1);
  const std::string& needle = string_argument("find", p[0]);
  const Window w = window(self, p[1], p[2]);
  if (w.valid) {
    const auto at = right ? rfind_text(w.text, needle) : find_text(w.text, needle);
    if (at != std::string_view::npos) {
      return Value(w.skipped + count_code_points(w.text.substr(0, at)));
    }
  }
  if (must) throw Failure("substring not found");
  return Value(-1);
}

Value count_method(const Value& self, const Args& args) {
  const Params p = bind("count", args, {"sub", "start", "end"}, 1);
  const std::string& needle = string_argument("count", p[0]);
  const Window w = window(self, p[1], p[2]);
  if (!w.valid) return Value(0);
  if (needle.empty()) return Value(count_code_points(w.text) + 1);
  std::size_t count = 0;
  std::string_view rest = w.text;
  while (true) {
    const void* found = memmem(rest.data(), rest.size(), needle.data(), needle.size());
    if (found == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - rest.data());
    spend(at + 1);
    rest.remove_prefix(at + needle.size());
    ++count;
  }
  spend(rest.size());
  return Value(count);
}

template <bool end>
Value affix_method(const Value& self, const Args& args) {
  const char* name = end ? "endswith" : "startswith";
  const Params p = bind(name, args, {"prefix", "start", "end"}, 1);
  const Window w = window(self, p[1], p[2]);
  const auto matches = [&](const Value& v) {
    if (!v.is_string()) {
      throw Failure(fmt::format("{} first arg must be str or a tuple of str, not {}", name,
                                short_type_name(type_name(v))));
    }
    return w.valid && (end ? w.text.ends_with(v.str()) : w.text.starts_with(v.str()));
  };
  if (!p[0]->is(Kind::tuple)) return Value(matches(*p[0]));
  return Value(std::any_of(p[0]->items().begin(), p[0]->items().end(), matches));
}

template <bool end>
Value remove_affix_method(const Value& self, const Args& args) {
  const Params p = bind("removeprefix", args, {"prefix"}, 1);
  const std::string& affix = string_argument("removeprefix", p[0]);
  std::string_view text = self.str();
  if (end && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!end && text.starts_with(affix)) text.remove_prefix(affix.size());
  return like(self, std::string(text));
}

Value replace_method(const Value& self, const Args& args) {
  const Params p = bind("replace", args, {"old", "new", "count"}, 2);
  return like(self, replace(self.str(), inserted(self, string_argument("replace", p[0])),
                            inserted(self, string_argument("replace", p[1])),
                            p[2] == nullptr ? -1 : to_index(*p[2])));
}

Value join_method(const Value& self, const Args& args) {
  const Params p = bind("join", args, {"iterable"}, 1);
  if (!self.text().markup) return Value(join(self.str(), *p[0]));
  std::vector<Value> items = to_vector(*p[0]);
  for (Value& item : items) item = escaped(item);
  return {join(self.str(), Value::list(std::move(items))), true};
}

template <char align>
Value justify_method(const Value& self, const Args& args) {
  const Params p = bind("justify", args, {"width", "fillchar"}, 1);
  const std::string fill = p[1] == nullptr ? " " : string_argument("justify", p[1]);
  if (count_code_points(fill) != 1) {
    throw Failure("The fill character must be exactly one character long");
  }
  return like(self, pad(self.str(), to_index(*p[0]), align, fill));
}

Value zfill_method(const Value& self, const Args& args) {
  const Params p = bind("zfill", args, {"width"}, 1);
  const std::string& text = self.str();
  const bool sign = text.starts_with('-') || text.starts_with('+');
  const std::string digits =
      pad(std::string_view(text).substr(sign ? 1 : 0), to_index(*p[0]) - (sign ? 1 : 0), '>', "0");
  return like(self, (sign ? text.substr(0, 1) : "") + digits);
}

Value expandtabs_method(const Value& self, const Args& args) {
  const Params p = bind("expandtabs", args, {"tabsize"}, 0);
  const std::int64_t size = p[0] == nullptr ? 8 : to_index(*p[0]);
  std::string out;
  std::int64_t column = 0;
  for (const char c : self.str()) {
    if (c == '\t') {
      const std::int64_t add = size > 0 ? size - column % size : 0;
      out += pad("", add, '<');
      column += add;
      continue;
    }
    out += c;
    if (c == '\n' || c == '\r') {
      column = 0;
    } else if ((static_cast<unsigned char>(c) & 0xc0U) != 0x80) {
      ++column;
    }
  }
  return like(self, std::move(out));
}

template <std::uint32_t classes>
Value class_method(const Value& self, const Args& args) {
  bind("isclass", args, {}, 0);
  const std::string& text = self.str();
  for (std::size_t pos = 0; pos < text.size();) {
    if ((character_class(next_code_point(text, pos)) & classes) == 0) return false;
  }
  // Nothing printable is still printable.
  return classes == kPrintable || !text.empty();
}

template <bool upper>
Value is_case_method(const Value& self, const Args& args) {
  bind("iscase", args, {}, 0);
  return is_all_case(self.str(), upper);
}

Value istitle_method(const Value& self, const Args& args) {
  bind("istitle", args, {}, 0);
  bool cased = false;
  bool inside = false;
  const std::string& text = self.str();
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t start = pos;
    const char32_t c = next_code_point(text, pos);
    const bool lower = is_lower(c);
    // Titlecase letters (U+01C5 and a few more) are neither.
    const bool upper =
        is_upper(c) || (!lower && convert_case(std::string_view(text).substr(start, pos - start),
                                               Case::lower) != text.substr(start, pos - start));
    if ((upper && inside) || (lower && !inside)) return false;
    inside = upper || lower;
    cased = cased || inside;
  }
  return cased;
}

Value isascii_method(const Value& self, const Args& args) {
  bind("isascii", args, {}, 0);
  return self.text().length == self.str().size();
}

Value isidentifier_method(const Value& self, const Args& args) {
  bind("isidentifier", args, {}, 0);
  const std::string& text = self.str();
  for (std::size_t pos = 0; pos < text.size();) {
    const auto need = pos == 0 ? kIdentifierStart : kIdentifierPart;
    if ((character_class(next_code_point(text, pos)) & need) == 0) return false;
  }
  return !text.empty();
}

Value format_method(const Value& self, const Args& args) {
  return brace_format(self.text(), args);
}

Value format_map_method(const Value& self, const Args& args) {
  const Params p = bind("format_map", args, {"mapping"}, 1);
  Args named;
  if (p[0]->is(Kind::dict)) {
    for (const auto& [key, value] : p[0]->dict().entries()) {
      named.named.emplace_back(to_str(key), value);
    }
  }
  return brace_format(self.text(), named);
}

// list and tuple

Value sequence_count(const Value& self, const Args& args) {
  const Params p = bind("count", args, {"value"}, 1);
  return static_cast<std::int64_t>(
      std::count_if(self.items().begin(), self.items().end(),
                    [&](const Value& v) { return same(v, *p[0]) || equals(v, *p[0]); }));
}

Value sequence_index(const Value& self, const Args& args) {
  const Params p = bind("index", args, {"value", "start", "stop"}, 1);
  const auto n = static_cast<std::int64_t>(self.items().size());
  const auto bound = [&](const Value* v, std::int64_t fallback) {
    if (v == nullptr) return fallback;
    const std::int64_t i = to_index(*v);
    return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n);
  };
  const std::int64_t stop = bound(p[2], n);
  for (std::int64_t i = bound(p[1], 0); i < stop; ++i) {
    const Value& item = self.items()[static_cast<std::size_t>(i)];
    if (same(item, *p[0]) || equals(item, *p[0])) return i;
  }
  throw Failure(self.is(Kind::list) ? to_repr(*p[0]) + " is not in list"
                                    : "tuple.index(x): x not in tuple");
}

Value list_copy(const Value& self, const Args& args) {
  bind("copy", args, {}, 0);
  return Value::list(self.items());
}

Value list_pop(const Value& self, const Args& args) {
  const Params p = bind("pop", args, {"index"}, 0);
  std::vector<Value>& items = self.sequence().items;
  if (items.empty()) throw Failure("pop from empty list");
  const auto n = static_cast<std::int64_t>(items.size());
  std::int64_t i = p[0] == nullptr ? -1 : to_index(*p[0]);
  if (i < 0) i += n;
  if (i < 0 || i >= n) throw Failure("pop index out of range");
  spend(sizeof(Value) * static_cast<std::size_t>(n - i));
  Value item = items[static_cast<std::size_t>(i)];
  items.erase(items.begin() + i);
  return item;
}

Value list_clear(const Value& self, const Args& args) {
  bind("clear", args, {}, 0);
  self.sequence().items.clear();
  return {};
}

// dict

/// dict.keys(), .values() and .items().
struct DictView : Object {
  enum class What : std::uint8_t { keys, values, items };
  DictView(const Value& v, What w) : dict(v), what(w) { depth = checked_nesting(v.depth() + 1); }

  std::string type_name() const override {
    return what == What::keys ? "dict_keys" : what == What::values ? "dict_values" : "dict_items";
  }
  std::string repr() const override {
    return fmt::format("{}({})", type_name(), to_repr(Value::list(all())));
  }
  std::optional<std::size_t> length() const override { return dict.dict().size(); }
  std::shared_ptr<Iterator> iterate() override { return jinja::iterate(Value::list(all())); }
  std::optional<bool> contains(const Value& v) override {
    if (what == What::keys) return dict.dict().find(v) != nullptr;
    return jinja::contains(Value::list(all()), v);
  }
  std::vector<Value> all() const {
    std::vector<Value> out;
    out.reserve(dict.dict().size());
    for (const auto& [key, value] : dict.dict().entries()) {
      out.push_back(what == What::keys     ? key
                    : what == What::values ? value
                                           : Value::tuple({key, value}));
    }
    return out;
  }

  Value dict;
  What what;
};

template <DictView::What what>
Value dict_view(const Value& self, const Args& args) {
  bind("keys", args, {}, 0);
  return Value(std::shared_ptr<Object>(std::make_shared<DictView>(self, what)));
}

Value dict_get(const Value& self, const Args& args) {
  if (!args.named.empty()) throw Failure("dict.get() takes no keyword arguments");
  const Params p = bind("get", args, {"key", "default"}, 1);
  const Value* found = self.dict().find(*p[0]);
  return found != nullptr ? *found : p[1] != nullptr ? *p[1] : Value();
}

Value dict_copy(const Value& self, const Args& args) {
  bind("copy", args, {}, 0);
  return self;
}

using Table = std::map<std::string_view, Method>;

const Table& string_methods() {
  static const Table table = {
      {"capitalize", capitalize_method},
      {"center", justify_method<'c'>},
      {"count", count_method},
      {"endswith", affix_method<true>},
      {"expandtabs", expandtabs_method},
      {"find", find_method_of_str<false, false>},
      {"format", format_method},
      {"format_map", format_map_method},
      {"index", find_method_of_str<false, true>},
      {"isalnum", class_method<kAlnum>},
      {"isalpha", class_method<kAlpha>},
      {"isascii", isascii_method},
      {"isdecimal", class_method<kDecimal>},
      {"isdigit", class_method<kDigit>},
      {"isidentifier", isidentifier_method},
      {"islower", is_case_method<false>},
      {"isnumeric", class_method<kNumeric>},
      {"isprintable", class_method<kPrintable>},
      {"isspace", class_method<kSpace>},
      {"istitle", istitle_method},
      {"isupper", is_case_method<true>},
      {"join", join_method},
      {"ljust", justify_method<'<'>},
      {"lower", case_method<Case::lower>},
      {"lstrip", strip_method<true, false>},
      {"partition", partition_method<false>},
      {"removeprefix", remove_affix_method<false>},
      {"removesuffix", remove_affix_method<true>},
      {"replace", replace_method},
      {"rfind", find_method_of_str<true, false>},
      {"rindex", find_method_of_str<true, true>},
      {"rjust", justify_method<'>'>},
      {"rpartition", partition_method<true>},
      {"rsplit", split_method<true>},
      {"rstrip", strip_method<false, true>},
      {"split", split_method<false>},
      {"splitlines", splitlines_method},
      {"startswith", affix_method<false>},
      {"strip", strip_method<true, true>},
      {"swapcase", swapcase_method},
      {"title", title_method},
      {"upper", case_method<Case::upper>},
      {"zfill", zfill_method},
  };
  return table;
}

const Table& list_methods() {
  static const Table table = {{"clear", list_clear},
                              {"copy", list_copy},
                              {"count", sequence_count},
                              {"index", sequence_index},
                              {"pop", list_pop}};
  return table;
}

const Table& tuple_methods() {
  static const Table table = {{"count", sequence_count}, {"index", sequence_index}};
  return table;
}

const Table& dict_methods() {
  static const Table table = {{"copy", dict_copy},
                              {"get", dict_get},
                              {"items", dict_view<DictView::What::items>},
                              {"keys", dict_view<DictView::What::keys>},
                              {"values", dict_view<DictView::What::values>}};
  return table;
}

bool is_forbidden(Kind kind, std::string_view name) {
  static constexpr std::string_view kList[] = {"append", "reverse", "insert",
                                               "sort",   "extend",  "remove"};
  static constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  if (kind == Kind::list)
    return std::find(std::begin(kList), std::end(kList), name) != std::end(kList);
  if (kind == Kind::dict)
    return std::find(std::begin(kDict), std::end(kDict), name) != std::end(kDict);
  return false;
}

}  // namespace

Value unsafe_attribute(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("access to attribute {} of {} object is unsafe.",
                                      string_repr(name),
                                      string_repr(short_type_name(type_name(object)))));
}

std::optional<Value> find_method(const Value& object, std::string_view name) {
  const Table* table = nullptr;
  switch (object.kind()) {
    case Kind::string:
      table = &string_methods();
      break;
    case Kind::list:
      table = &list_methods();
      break;
    case Kind::tuple:
      table = &tuple_methods();
      break;
    case Kind::dict:
      table = &dict_methods();
      break;
    default:
      return std::nullopt;
  }
  if (is_forbidden(object.kind(), name)) return unsafe_attribute(object, name);
  const auto found = table->find(name);
  if (found == table->end()) return std::nullopt;
  auto function = std::make_shared<Function>(
      std::string(name),
      [object, method = found->second](Renderer&, Args& args) { return method(object, args); });
  function->depth = checked_nesting(object.depth() + 1);
  return Value(std::shared_ptr<Object>(std::move(function)));
}

}  // namespace zaya::jinja
