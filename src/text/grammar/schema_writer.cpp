#include "text/grammar/schema_writer.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "text/grammar/formats.h"
#include "text/grammar/regex.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::grammar {
namespace {

constexpr std::size_t kMostGraph = 100'000;
constexpr std::array<std::string_view, 7> kTypes = {"object",  "array",   "string", "number",
                                                    "integer", "boolean", "null"};
// Which keywords are about which type.
const std::map<std::string_view, std::string_view> kAbout = {
    {"properties", "object"},
    {"required", "object"},
    {"additionalProperties", "object"},
    {"minProperties", "object"},
    {"maxProperties", "object"},
    {"propertyNames", "object"},
    {"items", "array"},
    {"prefixItems", "array"},
    {"minItems", "array"},
    {"maxItems", "array"},
    {"minLength", "string"},
    {"maxLength", "string"},
    {"pattern", "string"},
    {"format", "string"},
    {"minimum", "number"},
    {"maximum", "number"},
    {"multipleOf", "number"},
    {"exclusiveMinimum", "number"},
    {"exclusiveMaximum", "number"},
};

const Json* find(const Json& schema, const char* key) {
  const auto it = schema.find(key);
  return it == schema.end() ? nullptr : &*it;
}

std::string text_of_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool matches(const Graph& graph, std::string_view text) {
  std::vector<bool> in(graph.nodes.size(), false);
  std::vector<std::uint32_t> now;
  const auto enter = [&](std::uint32_t node) {
    if (in[node]) return;
    in[node] = true;
    now.push_back(node);
  };
  const auto close = [&] {
    for (std::size_t i = 0; i < now.size(); ++i) {
      const auto edges = graph.nodes[now[i]].edges;
      for (const Graph::Edge& edge : edges) {
        if (edge.on.empty()) enter(edge.to);
      }
    }
  };
  enter(0);
  close();
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const std::vector<std::uint32_t> before = std::move(now);
    now.clear();
    std::fill(in.begin(), in.end(), false);
    for (const std::uint32_t node : before) {
      for (const Graph::Edge& edge : graph.nodes[node].edges) {
        if (edge.on.contains(c)) enter(edge.to);
      }
    }
    close();
  }
  return std::any_of(now.begin(), now.end(), [&](std::uint32_t n) { return graph.nodes[n].end; });
}

bool is_of(const Json& value, std::string_view type) {
  if (type == "integer") {
    return value.is_number_integer() ||
           (value.is_number() &&
            value.get<double>() ==
                static_cast<double>(static_cast<std::int64_t>(value.get<double>())));
  }
  return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
         (type == "string" && value.is_string()) || (type == "number" && value.is_number()) ||
         (type == "boolean" && value.is_boolean()) || (type == "null" && value.is_null());
}

}  // namespace

Builder::Rule SchemaWriter::value(const Json& schema, const std::string& path) {
  std::string text = text_of_json(schema);
  forms_.spend(text.size(), path);
  const auto [it, added] = known_.try_emplace(std::move(text), 0);
  if (added) {
    if (known_.size() > kMostSchemas) forms_.fail(path, "too many schemas inside each other");
    it->second = builder_.declare();
    waiting_.push_back({it->second, schema, path});
  }
  return it->second;
}

void SchemaWriter::write_rules() {
  while (!waiting_.empty()) {
    const Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    builder_.begin(next.rule);
    write_value(next.schema, next.path);
    builder_.end();
  }
}

bool SchemaWriter::impossible(const Json& schema, const std::string& path) {
  return schema.is_boolean() ? !schema.get<bool>() : forms_.forms(schema, path).empty();
}

void SchemaWriter::write_value(const Json& schema, const std::string& path) {
  const auto forms = forms_.forms(schema, path);
  if (forms.empty()) return builder_.fail();
  // Each alternative is a rule of its own: counters and alternatives keep out of each other's way.
  std::vector<Builder::Rule> rules;
  if (forms.size() == 1) return write_form(forms.front());
  for (const auto& form : forms) {
    const Builder::Rule rule = value(form.schema, form.path);
    if (std::find(rules.begin(), rules.end(), rule) == rules.end()) rules.push_back(rule);
  }
  builder_.either_of(rules.size(), [&](std::size_t i) { builder_.call(rules[i]); });
}

std::vector<std::string> SchemaWriter::types_of(const SchemaForms::Form& form) const {
  std::vector<std::string> types;
  const auto add = [&](std::string_view type) {
    if (std::find(types.begin(), types.end(), type) == types.end()) types.emplace_back(type);
  };
  const auto named = [&](const Json& name) {
    if (!name.is_string() || std::find(kTypes.begin(), kTypes.end(),
                                       name.get_ref<const std::string&>()) == kTypes.end()) {
      forms_.fail(form.path + "/type",
                  fmt::format("no type of JSON Schema: {}", text_of_json(name).substr(0, 100)));
    }
    add(name.get_ref<const std::string&>());
  };
  if (const Json* type = find(form.schema, "type")) {
    if (!type->is_array()) {
      named(*type);
    } else {
      for (const Json& name : *type) named(name);
    }
    if (types.empty()) forms_.fail(form.path + "/type", "must name a type");
    if (std::find(types.begin(), types.end(), "number") != types.end()) {
      std::erase(types, "integer");
    }
    return types;
  }
  for (const auto& [key, type] : kAbout) {
    if (form.schema.contains(key)) add(type);
  }
  return types;
}

void SchemaWriter::write_form(const SchemaForms::Form& form) {
  if (form.schema.contains("enum")) return write_enum(form, Encoding::json);
  const auto types = types_of(form);
  if (types.empty()) return builder_.call(rules_.value());
  if (types.size() == 1) return write_typed(form, types.front());
  std::vector<Builder::Rule> rules;
  for (const std::string& type : types) {
    Json one = form.schema;
    one["type"] = type;
    rules.push_back(value(one, form.path));
  }
  builder_.either_of(rules.size(), [&](std::size_t i) { builder_.call(rules[i]); });
}

void SchemaWriter::write_typed(const SchemaForms::Form& form, const std::string& type) {
  if (type == "object") return write_object(form);
  if (type == "array") return write_array(form);
  if (type == "string") return write_string(form);
  if (type == "number" || type == "integer") return write_number(form, type == "integer");
  if (type == "boolean") return write_literals(builder_, {"true", "false"});
  builder_.literal("null");
}

std::uint32_t SchemaWriter::count(const SchemaForms::Form& form, const char* key,
                                  std::uint32_t fallback) const {
  const Json* value = find(form.schema, key);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->get<double>() : -1.0;
  if (number < 0.0 || number != static_cast<double>(static_cast<std::int64_t>(number))) {
    forms_.fail(form.path + "/" + key, "must be a whole number from 0");
  }
  return static_cast<std::uint32_t>(std::min(number, 4294967294.0));
}

bool SchemaWriter::enum_allows(const SchemaForms::Form& form, const Json& value) {
  const auto types = types_of(form);
  if (form.schema.contains("type") &&
      std::none_of(types.begin(), types.end(), [&](const auto& t) { return is_of(value, t); })) {
    return false;
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const Text limits = text_of(form);
    const auto length =
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
    return std::cmp_less_equal(limits.length.min, length) &&
           std::cmp_less_equal(length, limits.length.max) &&
           (!limits.graph || matches(*limits.graph, text));
  }
  if (value.is_number()) {
    NumberLimits limits = number_limits(form);
    const auto number = Decimal::parse(text_of_json(value));
    if (limits.none()) return true;
    if (!number) return false;
    const auto below = [&](const Bound& bound) {
      const int order = compare(*number, bound.value);
      return order < 0 || (order == 0 && bound.exclusive);
    };
    const auto above = [&](const Bound& bound) {
      const int order = compare(*number, bound.value);
      return order > 0 || (order == 0 && bound.exclusive);
    };
    if ((limits.least && below(*limits.least)) || (limits.most && above(*limits.most))) {
      return false;
    }
    if (!limits.multiple_of) return true;
    std::string text = (number->negative ? "-" : "") +
                       (number->integer.empty() ? "0" : number->integer) +
                       (number->fraction.empty() ? "" : "." + number->fraction);
    return matches(number_graph(limits, form.path), text);
  }
  if (!value.is_structured()) return true;
  const std::string_view type = value.is_object() ? "object" : "array";
  for (const auto& [key, about] : kAbout) {
    if (about == type && form.schema.contains(key)) {
      forms_.refuse(form.path + "/" + std::string(key),
                    "beside an enum of objects or lists this is not supported");
    }
  }
  return true;
}

void SchemaWriter::write_enum(const SchemaForms::Form& form, Encoding encoding) {
  std::vector<std::string> literals;
  for (const Json& value : form.schema["enum"]) {
    if (!enum_allows(form, value)) continue;
    const bool bare = encoding == Encoding::raw && value.is_string();
    literals.push_back(bare ? value.get<std::string>() : text_of_json(value));
  }
  write_literals(builder_, std::move(literals));
}

SchemaWriter::Text SchemaWriter::text_of(const SchemaForms::Form& form) {
  Text result;
  result.length.min = count(form, "minLength", 0);
  result.length.max = count(form, "maxLength", Loop::kUnbounded);
  const Json* pattern = find(form.schema, "pattern");
  const Json* format = find(form.schema, "format");
  const auto text_at = [&](const Json& value, const char* key) -> const std::string& {
    if (!value.is_string()) forms_.fail(form.path + "/" + key, "must be a text");
    return value.get_ref<const std::string&>();
  };
  if (pattern != nullptr && format != nullptr) {
    forms_.refuse(form.path + "/format", "beside a pattern this is not supported");
  }
  std::string_view expression;
  std::string path;
  if (pattern != nullptr) {
    expression = text_at(*pattern, "pattern");
    path = form.path + "/pattern";
  } else if (format != nullptr) {
    path = form.path + "/format";
    const std::string& name = text_at(*format, "format");
    const auto known = format_pattern(name);
    if (!known) {
      forms_.refuse(path, fmt::format("the format \"{}\" is not supported", name.substr(0, 100)));
      return result;
    }
    expression = *known;
  } else {
    return result;
  }
  forms_.spend(expression.size() * 64, path);
  try {
    result.graph = compile_regex(expression, forms_.where() + path);
  } catch (const Error&) {
    if (forms_.unsupported() == Unsupported::refuse) throw;
    return result;
  }
  if (result.length.none()) return result;
  result.graph = limit_length(*result.graph, result.length, kMostGraph);
  if (!result.graph) {
    forms_.refuse(path, "together with minLength or maxLength it becomes too large");
  }
  return result;
}

void SchemaWriter::write_string(const SchemaForms::Form& form) {
  const Text text = text_of(form);
  if (!text.graph && text.length.none()) return builder_.call(rules_.string());
  if (text.length.min > text.length.max) return builder_.fail();
  if (!text.graph) return rules_.write_string(text.length);
  builder_.byte('"');
  write_graph(builder_, *text.graph, Encoding::json);
  builder_.byte('"');
}

NumberLimits SchemaWriter::number_limits(const SchemaForms::Form& form) const {
  NumberLimits limits;
  const auto number = [&](const char* key) -> std::optional<Decimal> {
    const Json* value = find(form.schema, key);
    if (value == nullptr) return {};
    std::optional<Decimal> decimal;
    if (value->is_number()) decimal = Decimal::parse(text_of_json(*value));
    if (!decimal) forms_.fail(form.path + "/" + key, "must be a number");
    return decimal;
  };
  const auto exclusive = [&](const char* key) {  // draft 4 says it beside the bound
    const Json* value = find(form.schema, key);
    return value != nullptr && value->is_boolean();
  };
  const auto bound = [&](const char* key, const char* exclusive_key, int sign) {
    std::optional<Bound> result;
    if (auto value = number(key)) result = Bound{*value, false};
    if (exclusive(exclusive_key)) {
      if (result) result->exclusive = form.schema[exclusive_key].get<bool>();
    } else if (auto value = number(exclusive_key)) {
      if (!result || compare(*value, result->value) * sign >= 0) result = Bound{*value, true};
    }
    return result;
  };
  limits.least = bound("minimum", "exclusiveMinimum", 1);
  limits.most = bound("maximum", "exclusiveMaximum", -1);
  limits.multiple_of = number("multipleOf");
  return limits;
}

void SchemaWriter::write_number(const SchemaForms::Form& form, bool integer) {
  NumberLimits limits = number_limits(form);
  limits.integer = integer;
  if (limits.none()) return builder_.call(integer ? rules_.integer() : rules_.number());
  forms_.spend(4096, form.path);
  write_graph(builder_, number_graph(limits, forms_.where() + form.path), Encoding::raw);
}

}  // namespace zaya::grammar
