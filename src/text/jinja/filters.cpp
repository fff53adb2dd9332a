#include "text/jinja/filters.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "text/jinja/methods.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

using Params = std::vector<const Value*>;

bool given(const Value* v) {
  return v != nullptr && !v->is_none();
}
bool flag(const Value* v) {
  return v != nullptr && truthy(*v);
}

Value folded(const Value& v) {
  return v.is_string() ? Value(convert_case(v.str(), Case::lower)) : v;
}

/// The `attribute` argument of many filters: "a.b.0" walks through attributes and indices.
class AttributePath {
 public:
  AttributePath() = default;
  explicit AttributePath(const Value& attribute) {
    if (attribute.is_none()) return;
    if (!attribute.is_string()) {
      parts_.push_back(attribute);
      return;
    }
    std::string_view rest = attribute.str();
    while (true) {
      const auto dot = rest.find('.');
      const std::string_view part = rest.substr(0, dot);
      std::int64_t index = 0;
      const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
      const bool digits = !part.empty() && read.ec == std::errc() &&
                          read.ptr == part.data() + part.size() && part[0] != '-';
      parts_.push_back(digits ? Value(index) : Value(part));
      if (dot == std::string_view::npos) break;
      rest.remove_prefix(dot + 1);
    }
  }

  Value operator()(Value v, const Value& fallback = Value()) const {
    for (const Value& part : parts_) {
      v = get_item(v, part);
      if (v.is_undefined() && !fallback.is_none()) v = fallback;
    }
    return v;
  }

 private:
  std::vector<Value> parts_;
};

AttributePath path(const Value* attribute) {
  return attribute == nullptr ? AttributePath() : AttributePath(*attribute);
}

// Indices of `keys` in order; equal ones keep theirs, also in reverse.
std::vector<std::size_t> sorted_order(const std::vector<Value>& keys, bool reverse) {
  std::vector<std::size_t> order(keys.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return reverse ? less(keys[b], keys[a]) : less(keys[a], keys[b]);
  });
  return order;
}

std::vector<Value> picked(const std::vector<Value>& items, const std::vector<std::size_t>& order) {
  std::vector<Value> out;
  out.reserve(items.size());
  for (const std::size_t i : order) out.push_back(items[i]);
  return out;
}

Value length_filter(Renderer&, Args& args) {
  return Value(length(*bind("length", args, {"obj"}, 1)[0]));
}

Value default_filter(Renderer&, Args& args) {
  const Params p = bind("default", args, {"value", "default_value", "boolean"}, 1);
  const bool use = p[0]->is_undefined() || (flag(p[2]) && !truthy(*p[0]));
  return !use ? *p[0] : p[1] == nullptr ? Value("") : *p[1];
}

Value list_filter(Renderer&, Args& args) {
  return Value::list(to_vector(*bind("list", args, {"value"}, 1)[0]));
}

Value first_filter(Renderer&, Args& args) {
  const Value& v = *bind("first", args, {"seq"}, 1)[0];
  Value out;
  if (iterate(v)->next(out)) return out;
  return Value::undefined("No first item, sequence was empty.");
}

void require_reversible(const Value& v) {
  if (v.as<Iterator>() != nullptr || !is_iterable(v)) {
    throw Failure(fmt::format("'{}' object is not reversible", short_type_name(type_name(v))));
  }
}

Value last_filter(Renderer&, Args& args) {
  const Value& v = *bind("last", args, {"seq"}, 1)[0];
  require_reversible(v);
  if (v.is_string() && !v.str().empty()) return get_item(v, Value(-1));
  std::vector<Value> items = to_vector(v);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value reverse_filter(Renderer&, Args& args) {
  const Value& v = *bind("reverse", args, {"value"}, 1)[0];
  if (v.is_string()) return slice(v, Value(), Value(), Value(-1));
  if (!is_iterable(v)) throw Failure("argument must be iterable");
  std::vector<Value> items = to_vector(v);
  std::reverse(items.begin(), items.end());
  Value list = Value::list(std::move(items));
  // A generator has no order to go backwards in: Python makes a list of it.
  if (v.as<Iterator>() != nullptr) return list;
  return make_iterator(list, [source = iterate(list)](Value& out) { return source->next(out); });
}

Value join_filter(Renderer&, Args& args) {
  const Params p = bind("join", args, {"value", "d", "attribute"}, 1);
  const AttributePath get = given(p[2]) ? path(p[2]) : AttributePath();
  const std::string separator = p[1] == nullptr ? "" : to_str(*p[1]);
  const auto source = iterate(*p[0]);
  std::string out;
  Value item;
  for (bool first = true; source->next(item); first = false) {
    if (!first) out += separator;
    const std::string text = to_str(get(item));
    spend(separator.size() + text.size());
    out += text;
  }
  return Value(std::move(out));
}

Value sort_filter(Renderer&, Args& args) {
  const Params p = bind("sort", args, {"value", "reverse", "case_sensitive", "attribute"}, 1);
  std::vector<AttributePath> paths;
  if (p[3] != nullptr && p[3]->is_string()) {
    std::string_view rest = p[3]->str();
    while (true) {
      const auto comma = rest.find(',');
      paths.emplace_back(Value(rest.substr(0, comma)));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    paths.push_back(path(p[3]));
  }
  const std::vector<Value> items = to_vector(*p[0]);
  std::vector<Value> keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    std::vector<Value> key;
    key.reserve(paths.size());
    for (const AttributePath& get : paths) {
      key.push_back(flag(p[2]) ? get(item) : folded(get(item)));
    }
    keys.push_back(Value::list(std::move(key)));
  }
  return Value::list(picked(items, sorted_order(keys, flag(p[1]))));
}

Value dictsort_filter(Renderer&, Args& args) {
  const Params p = bind("dictsort", args, {"value", "case_sensitive", "by", "reverse"}, 1);
  if (p[0]->is_undefined()) fail_undefined(*p[0]);
  const std::string by = p[2] == nullptr ? "key" : to_str(*p[2]);
  if (by != "key" && by != "value")
    throw Failure("You can only sort by either \"key\" or \"value\"");
  if (!p[0]->is(Kind::dict)) {
    throw Failure(
        fmt::format("'{}' object has no attribute 'items'", short_type_name(type_name(*p[0]))));
  }
  std::vector<Value> items;
  std::vector<Value> keys;
  for (const auto& [key, value] : p[0]->dict().entries()) {
    const Value& sorted_by = by == "key" ? key : value;
    keys.push_back(flag(p[1]) ? sorted_by : folded(sorted_by));
    items.push_back(Value::tuple({key, value}));
  }
  return Value::list(picked(items, sorted_order(keys, flag(p[3]))));
}

Value unique_filter(Renderer&, Args& args) {
  const Params p = bind("unique", args, {"value", "case_sensitive", "attribute"}, 1);
  return make_iterator(*p[0], [source = iterate(*p[0]), seen = std::make_shared<Dict>(),
                               get = path(p[2]), exact = flag(p[1])](Value& out) {
    while (source->next(out)) {
      const Value key = exact ? get(out) : folded(get(out));
      if (seen->find(key) != nullptr) continue;
      seen->set(key, Value());
      return true;
    }
    return false;
  });
}

template <bool largest>
Value extreme_filter(Renderer&, Args& args) {
  const Params p = bind("min", args, {"value", "case_sensitive", "attribute"}, 1);
  const AttributePath get = path(p[2]);
  const auto key_of = [&](const Value& v) { return flag(p[1]) ? get(v) : folded(get(v)); };
  const auto source = iterate(*p[0]);
  Value best;
  if (!source->next(best)) return Value::undefined("No aggregated item, sequence was empty.");
  Value best_key = key_of(best);
  Value item;
  while (source->next(item)) {
    Value key = key_of(item);
    if (largest ? less(best_key, key) : less(key, best_key)) {
      best = item;
      best_key = std::move(key);
    }
  }
  return best;
}

Value sum_filter(Renderer&, Args& args) {
  const Params p = bind("sum", args, {"iterable", "attribute", "start"}, 1);
  const AttributePath get = given(p[1]) ? path(p[1]) : AttributePath();
  Value total = p[2] == nullptr ? Value(0) : *p[2];
  if (total.is_string()) throw Failure("sum() can't sum strings [use ''.join(seq) instead]");
  const auto source = iterate(*p[0]);
  Value item;
  while (source->next(item)) total = binary(BinaryOp::add, total, get(item));
  return total;
}

Value groupby_filter(Renderer&, Args& args) {
  const Params p = bind("groupby", args, {"value", "attribute", "default", "case_sensitive"}, 2);
  const AttributePath get = path(p[1]);
  const Value fallback = p[2] == nullptr ? Value() : *p[2];
  const std::vector<Value> items = to_vector(*p[0]);
  std::vector<Value> keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    const Value key = get(item, fallback);
    keys.push_back(flag(p[3]) ? key : folded(key));
  }
  std::vector<Value> groups;
  std::vector<Value> members;
  const std::vector<std::size_t> order = sorted_order(keys, false);
  for (std::size_t i = 0; i < order.size(); ++i) {
    members.push_back(items[order[i]]);
    if (i + 1 < order.size() && equals(keys[order[i]], keys[order[i + 1]])) continue;
    Value grouper = flag(p[3]) ? keys[order[i]] : get(members.front(), fallback);
    groups.push_back(Value::group(std::move(grouper), Value::list(std::exchange(members, {}))));
  }
  return Value::list(std::move(groups));
}

Value items_filter(Renderer&, Args& args) {
  const Value& v = *bind("items", args, {"value"}, 1)[0];
  return make_iterator(v, [v, at = std::size_t{0}](Value& out) mutable {
    if (v.is_undefined()) return false;
    if (!v.is(Kind::dict)) throw Failure("Can only get item pairs from a mapping.");
    if (at >= v.dict().size()) return false;
    const auto& [key, value] = v.dict().entries()[at++];
    out = Value::tuple({key, value});
    return true;
  });
}

Value batch_filter(Renderer&, Args& args) {
  const Params p = bind("batch", args, {"value", "linecount", "fill_with"}, 2);
  const Value fill = p[2] == nullptr ? Value() : *p[2];
  const std::int64_t size = to_index(*p[1]);
  return make_iterator(*p[0], [source = iterate(*p[0]), size, fill,
                               ahead = std::optional<Value>()](Value& out) mutable {
    std::vector<Value> row;
    Value item;
    if (ahead) row.push_back(*std::exchange(ahead, std::nullopt));
    while (source->next(item)) {
      // As in jinja2, the row is full only when it has exactly that many.
      if (static_cast<std::int64_t>(row.size()) == size) {
        ahead = std::move(item);
        out = Value::list(std::move(row));
        return true;
      }
      spend(sizeof(Value));
      row.push_back(item);
    }
    if (row.empty()) return false;
    if (!fill.is_none() && size > static_cast<std::int64_t>(row.size())) {
      spend(static_cast<std::uint64_t>(size) * sizeof(Value));
      row.resize(static_cast<std::size_t>(size), fill);
    }
    out = Value::list(std::move(row));
    return true;
  });
}

Value slice_filter(Renderer&, Args& args) {
  const Params p = bind("slice", args, {"value", "slices", "fill_with"}, 2);
  const Value fill = p[2] == nullptr ? Value() : *p[2];
  const std::int64_t slices = to_index(*p[1]);
  return make_iterator(*p[0], [from = *p[0], slices, fill, items = std::vector<Value>(),
                               at = std::int64_t{0}, used = std::size_t{0}](Value& out) mutable {
    if (at == 0) {
      items = to_vector(from);
      if (slices == 0) throw Failure("integer division or modulo by zero");
    }
    if (at >= slices) return false;
    const auto count = static_cast<std::size_t>(slices);
    const std::size_t extra = items.size() % count;
    const bool larger = static_cast<std::size_t>(at) < extra;
    const std::size_t size = items.size() / count + (larger ? 1 : 0);
    std::vector<Value> row(items.begin() + static_cast<std::ptrdiff_t>(used),
                           items.begin() + static_cast<std::ptrdiff_t>(used + size));
    if (!fill.is_none() && !larger) row.push_back(fill);
    used += size;
    ++at;
    out = Value::list(std::move(row));
    return true;
  });
}

Value attr_filter(Renderer&, Args& args) {
  const Params p = bind("attr", args, {"obj", "name"}, 2);
  if (p[0]->is_undefined()) fail_undefined(*p[0]);
  if (!p[1]->is_string()) throw Failure("attribute name must be string");
  // Only attributes: the items of a dict are none.
  if (p[0]->is(Kind::dict)) {
    if (auto method = find_method(*p[0], p[1]->str())) return *method;
    return get_attribute(Value(std::make_shared<Dict>()), p[1]->str());
  }
  return get_attribute(*p[0], p[1]->str());
}

// Draws from `value` only when asked to, and not at all when it is false.
std::function<bool(Value&)> lazily(const Value& value) {
  return [value, source = std::shared_ptr<Iterator>()](Value& out) mutable {
    if (!source) {
      if (!truthy(value)) return false;
      source = iterate(value);
    }
    return source->next(out);
  };
}

Value map_filter(Renderer& renderer, Args& args) {
  if (args.positional.size() == 1 && args.find("attribute") != nullptr) {
    const AttributePath get(*args.take("attribute"));
    const Value fallback = args.take("default").value_or(Value());
    if (!args.named.empty()) {
      throw Failure("Unexpected keyword argument " + string_repr(args.named.front().first));
    }
    return make_iterator(args.positional[0],
                         [next = lazily(args.positional[0]), get, fallback](Value& out) mutable {
                           if (!next(out)) return false;
                           out = get(out, fallback);
                           return true;
                         });
  }
  return make_iterator(args.positional[0],
                       [next = lazily(args.positional[0]), &renderer, args](Value& out) mutable {
                         if (!next(out)) return false;
                         if (args.positional.size() < 2)
                           throw Failure("map requires a filter argument");
                         const Value& name = args.positional[1];
                         if (!name.is_string())
                           throw Failure(fmt::format("No filter named {}.", to_repr(name)));
                         Args each{.positional = {out}, .named = args.named};
                         each.positional.insert(each.positional.end(), args.positional.begin() + 2,
                                                args.positional.end());
                         out = call_filter(renderer, name.str(), each);
                         return true;
                       });
}

template <bool keep, bool by_attribute>
Value select_filter(Renderer&, Args& args) {
  return make_iterator(
      args.positional[0], [next = lazily(args.positional[0]), args](Value& out) mutable {
        constexpr std::size_t kName = by_attribute ? 2 : 1;
        while (next(out)) {
          if (by_attribute && args.positional.size() < 2)
            throw Failure("Missing parameter for attribute name");
          const Value tested = by_attribute ? AttributePath(args.positional[1])(out) : out;
          bool holds = false;
          if (args.positional.size() <= kName) {
            holds = truthy(tested);
          } else {
            const Value& name = args.positional[kName];
            if (!name.is_string()) throw Failure(fmt::format("No test named {}.", to_repr(name)));
            Args each{.positional = {tested}, .named = args.named};
            each.positional.insert(each.positional.end(), args.positional.begin() + kName + 1,
                                   args.positional.end());
            holds = call_test(name.str(), each);
          }
          if (holds == keep) return true;
        }
        return false;
      });
}

}  // namespace

const FilterTable& sequence_filters() {
  static const FilterTable table = {{"attr", attr_filter},
                                    {"batch", batch_filter},
                                    {"count", length_filter},
                                    {"d", default_filter},
                                    {"default", default_filter},
                                    {"dictsort", dictsort_filter},
                                    {"first", first_filter},
                                    {"groupby", groupby_filter},
                                    {"items", items_filter},
                                    {"join", join_filter},
                                    {"last", last_filter},
                                    {"length", length_filter},
                                    {"list", list_filter},
                                    {"map", map_filter},
                                    {"max", extreme_filter<true>},
                                    {"min", extreme_filter<false>},
                                    {"reject", select_filter<false, false>},
                                    {"rejectattr", select_filter<false, true>},
                                    {"reverse", reverse_filter},
                                    {"select", select_filter<true, false>},
                                    {"selectattr", select_filter<true, true>},
                                    {"slice", slice_filter},
                                    {"sort", sort_filter},
                                    {"sum", sum_filter},
                                    {"unique", unique_filter}};
  return table;
}

bool has_filter(std::string_view name) {
  return text_filters().contains(name) || sequence_filters().contains(name);
}

Value call_filter(Renderer& renderer, std::string_view name, Args& args) {
  for (const FilterTable* table : {&text_filters(), &sequence_filters()}) {
    if (const auto found = table->find(name); found != table->end()) {
      return found->second(renderer, args);
    }
  }
  throw Failure(fmt::format("No filter named {}.", string_repr(name)));
}

}  // namespace zaya::jinja
