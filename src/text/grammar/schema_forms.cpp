#include "text/grammar/schema_forms.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya::grammar {
namespace {

// Keywords that restrict values in ways that a grammar of the text does not have.
constexpr std::array<std::string_view, 17> kRefused = {"not",
                                                       "if",
                                                       "then",
                                                       "else",
                                                       "contains",
                                                       "minContains",
                                                       "maxContains",
                                                       "dependencies",
                                                       "dependentRequired",
                                                       "$dynamicRef",
                                                       "$recursiveRef",
                                                       "dependentSchemas",
                                                       "patternProperties",
                                                       "unevaluatedItems",
                                                       "unevaluatedProperties",
                                                       "uniqueItems",
                                                       "disallow"};

bool combines(std::string_view key) {
  return key == "$ref" || key == "allOf" || key == "anyOf" || key == "oneOf";
}

// unevaluated...: false says what is the case anyway: nothing is written that no schema names.
// uniqueItems: false says nothing.
bool harmless(std::string_view key, const Json& value) {
  return (key == "unevaluatedItems" || key == "unevaluatedProperties" || key == "uniqueItems") &&
         value.is_boolean() && !value.get<bool>();
}

std::string unescaped(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    const auto hex = [&](std::size_t at) {
      return at < token.size() && std::isxdigit(static_cast<unsigned char>(token[at])) != 0;
    };
    if (token[i] == '%' && hex(i + 1) && hex(i + 2)) {
      out += static_cast<char>(std::stoi(std::string(token.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += token[i];
    }
  }
  for (std::size_t at = 0; (at = out.find('~', at)) != std::string::npos; ++at) {
    if (out.compare(at, 2, "~1") == 0) out.replace(at, 2, "/");
    if (out.compare(at, 2, "~0") == 0) out.replace(at, 2, "~");
  }
  return out;
}

// All that must hold at once. Lists inside are joined and repeats left out, so that a recursion
// through allOf comes back to the same text.
Json all_of(const Json& a, const Json& b) {
  if (a == b) return a;
  Json list = Json::array();
  const auto add = [&](const Json& schema) {
    const bool nested = schema.is_object() && schema.size() == 1 && schema.contains("allOf") &&
                        schema["allOf"].is_array();
    const Json one = Json::array({schema});
    for (const Json& s : nested ? schema["allOf"] : one) {
      if (std::find(list.begin(), list.end(), s) == list.end()) list.push_back(s);
    }
  };
  add(a);
  add(b);
  Json result;
  result["allOf"] = std::move(list);
  return result;
}

Json common_types(const Json& a, const Json& b) {
  const auto list = [](const Json& t) { return t.is_array() ? t : Json::array({t}); };
  Json result = Json::array();
  for (const Json& x : list(a)) {
    for (const Json& y : list(b)) {
      const bool narrower = (x == "integer" && y == "number") || (x == "number" && y == "integer");
      if (x != y && !narrower) continue;
      const Json type = narrower ? Json("integer") : x;
      if (std::find(result.begin(), result.end(), type) == result.end()) result.push_back(type);
    }
  }
  return result;
}

const Json* find(const Json& schema, const char* key) {
  const auto it = schema.find(key);
  return it == schema.end() ? nullptr : &*it;
}

// The schema of a property that `schema` does not name.
Json other_properties(const Json& schema) {
  const Json* additional = find(schema, "additionalProperties");
  return additional == nullptr ? Json(true) : *additional;
}

Json merged_properties(const Json& a, const Json& b) {
  Json result = Json::object();
  const Json none = Json::object();
  const auto properties = [&](const Json& s) -> const Json& {
    const Json* p = find(s, "properties");
    return p == nullptr ? none : *p;
  };
  const auto together = [](const Json& x, const Json& y) {
    if (x == true) return y;
    if (y == true) return x;
    return all_of(x, y);
  };
  for (const auto& [name, schema] : properties(a).items()) {
    const Json* same = find(properties(b), name.c_str());
    result[name] = together(schema, same != nullptr ? *same : other_properties(b));
  }
  for (const auto& [name, schema] : properties(b).items()) {
    if (!result.contains(name)) result[name] = together(other_properties(a), schema);
  }
  return result;
}

}  // namespace

SchemaForms::SchemaForms(const Json& root, std::string where, Unsupported unsupported)
    : root_(root), where_(std::move(where)), unsupported_(unsupported) {}

void SchemaForms::fail(const std::string& path, std::string what) const {
  throw Error({.where = where_ + path, .what = std::move(what)});
}

void SchemaForms::refuse(const std::string& path, std::string what) const {
  if (unsupported_ == Unsupported::refuse) fail(path, std::move(what));
}

void SchemaForms::spend(std::size_t bytes, const std::string& path) {
  spent_ += bytes;
  if (spent_ > kMostBytes) fail(path, "the schema is too large with its combinations written out");
}

const Json& SchemaForms::resolve(const std::string& reference, const std::string& path) const {
  if (!reference.starts_with('#') || (reference.size() > 1 && reference[1] != '/')) {
    fail(path, fmt::format("references other than \"#/...\" are not supported: \"{}\"",
                           reference.substr(0, 200)));
  }
  const Json* at = &root_;
  for (std::size_t begin = 1; begin < reference.size();) {
    const std::size_t end = std::min(reference.find('/', begin + 1), reference.size());
    const std::string key =
        unescaped(std::string_view(reference).substr(begin + 1, end - begin - 1));
    const Json* next = nullptr;
    if (at->is_object()) {
      next = find(*at, key.c_str());
    } else if (at->is_array() && !key.empty() && key.size() < 7 &&
               key.find_first_not_of("0123456789") == std::string::npos) {
      const auto index = static_cast<std::size_t>(std::stoul(key));
      if (index < at->size()) next = &(*at)[index];
    }
    if (next == nullptr) {
      fail(path, fmt::format("the schema has no \"{}\"", reference.substr(0, 200)));
    }
    at = next;
    begin = end;
  }
  return *at;
}

std::vector<SchemaForms::Form> SchemaForms::forms(const Json& schema, const std::string& path) {
  resolving_.clear();
  return forms_at(schema, path, 0);
}

Json SchemaForms::own_keywords(const Json& schema, const std::string& path) const {
  Json own = Json::object();
  for (const auto& [key, value] : schema.items()) {
    if (combines(key)) continue;
    if (std::find(kRefused.begin(), kRefused.end(), key) != kRefused.end()) {
      if (!harmless(key, value)) refuse(path + "/" + key, "this keyword is not supported");
      continue;
    }
    if (key == "const") {
      own["enum"] = Json::array({value});
    } else if (key != "enum" || !schema.contains("const")) {
      own[key] = value;
    }
  }
  if (const Json* both_lists = find(schema, "enum");
      both_lists != nullptr && !both_lists->is_array()) {
    fail(path + "/enum", "must be a list");
  }
  return own;
}

std::vector<SchemaForms::Form> SchemaForms::forms_at(const Json& schema, const std::string& path,
                                                     int depth) {
  if (depth > kMostDepth) fail(path, "combined of schemas nested too deep");
  if (schema.is_boolean()) {
    if (!schema.get<bool>()) return {};
    return {{Json::object(), path}};
  }
  if (!schema.is_object()) fail(path, "a schema must be an object or a boolean");
  std::vector<Form> result{{own_keywords(schema, path), path}};
  if (const Json* reference = find(schema, "$ref")) {
    if (!reference->is_string()) fail(path + "/$ref", "must be a text");
    const auto target = reference->get<std::string>();
    if (std::find(resolving_.begin(), resolving_.end(), target) != resolving_.end()) {
      fail(path + "/$ref", fmt::format("\"{}\" refers to itself", target.substr(0, 200)));
    }
    resolving_.push_back(target);
    result = both(result, forms_at(resolve(target, path + "/$ref"), target.substr(1), depth + 1));
    resolving_.pop_back();
  }
  const auto list = [&](const char* key) -> const Json* {
    const Json* value = find(schema, key);
    if (value != nullptr && (!value->is_array() || value->empty())) {
      fail(path + "/" + key, "must be a list of schemas");
    }
    return value;
  };
  if (const Json* parts = list("allOf")) {
    for (std::size_t i = 0; i < parts->size(); ++i) {
      result = both(result, forms_at((*parts)[i], fmt::format("{}/allOf/{}", path, i), depth + 1));
    }
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    const Json* parts = list(key);
    if (parts == nullptr) continue;
    std::vector<Form> any;
    for (std::size_t i = 0; i < parts->size(); ++i) {
      auto more = forms_at((*parts)[i], fmt::format("{}/{}/{}", path, key, i), depth + 1);
      any.insert(any.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
      if (any.size() > kMostForms) fail(path + "/" + key, "too many alternatives");
    }
    result = both(result, any);
  }
  return result;
}

std::vector<SchemaForms::Form> SchemaForms::both(const std::vector<Form>& a,
                                                 const std::vector<Form>& b) {
  std::vector<Form> result;
  if (a.empty() || b.empty()) return result;
  if (a.size() * b.size() > kMostForms) {
    fail(b.front().path,
         fmt::format("its combinations come to more than {} alternatives", kMostForms));
  }
  for (const Form& x : a) {
    for (const Form& y : b) {
      if (x.schema.empty()) {
        result.push_back(y);
      } else if (y.schema.empty()) {
        result.push_back(x);
      } else if (auto schema = merged(x.schema, y.schema, y.path)) {
        spend(schema->dump().size(), y.path);
        result.push_back({std::move(*schema), y.path});
      }
    }
  }
  return result;
}

// What satisfies both; none when nothing can.
std::optional<Json> SchemaForms::merged(const Json& a, const Json& b,
                                        const std::string& path) const {
  static const std::set<std::string_view> kLower = {"minLength", "minItems", "minProperties",
                                                    "minimum", "exclusiveMinimum"};
  static const std::set<std::string_view> kUpper = {"maxLength", "maxItems", "maxProperties",
                                                    "maximum", "exclusiveMaximum"};
  Json result = a;
  for (const auto& [key, value] : b.items()) {
    const Json* mine = find(a, key.c_str());
    if (mine == nullptr || *mine == value) {
      result[key] = value;
    } else if (key == "type") {
      result[key] = common_types(*mine, value);
      if (result[key].empty()) return {};
    } else if (key == "enum" && mine->is_array() && value.is_array()) {
      Json common = Json::array();
      for (const Json& v : *mine) {
        if (std::find(value.begin(), value.end(), v) != value.end()) common.push_back(v);
      }
      if (common.empty()) return {};
      result[key] = common;
    } else if (key == "required" && mine->is_array() && value.is_array()) {
      for (const Json& name : value) {
        if (std::find(mine->begin(), mine->end(), name) == mine->end()) result[key].push_back(name);
      }
    } else if (kLower.contains(key) && mine->is_number() && value.is_number()) {
      result[key] = *mine < value ? value : *mine;
    } else if (kUpper.contains(key) && mine->is_number() && value.is_number()) {
      result[key] = value < *mine ? value : *mine;
    } else if (key == "items" || key == "propertyNames" || key == "additionalProperties") {
      result[key] = all_of(*mine, value);
    } else if (key == "multipleOf" && mine->is_number_integer() && value.is_number_integer() &&
               *mine > 0 && value > 0 && *mine <= 1000 && value <= 1000) {
      result[key] = std::lcm(mine->get<std::int64_t>(), value.get<std::int64_t>());
    } else if (key == "pattern" || key == "format" || key == "multipleOf" || key == "prefixItems") {
      refuse(path + "/" + key, "this keyword cannot be combined with another of its kind");
    }
  }
  // Positions that one list names are elements like the others to the other schema.
  for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    const Json* prefix = find(*one, "prefixItems");
    const Json* items = find(*other, "items");
    if (prefix == nullptr || items == nullptr || find(*other, "prefixItems") != nullptr) continue;
    if (!prefix->is_array()) continue;
    for (std::size_t i = 0; i < prefix->size(); ++i) {
      result["prefixItems"][i] = all_of((*prefix)[i], *items);
    }
  }
  const auto properties_of = [&](const Json& s) {
    const Json* p = find(s, "properties");
    if (p != nullptr && !p->is_object()) fail(path + "/properties", "must be an object");
    return p != nullptr;
  };
  const bool named = properties_of(a);
  if (properties_of(b) || named) result["properties"] = merged_properties(a, b);
  return result;
}

}  // namespace zaya::grammar
