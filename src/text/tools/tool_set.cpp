#include "text/tools/tool_set.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

// What sloppy schemas call the types, by how the name begins; the longer beginnings come first.
constexpr std::array<std::pair<std::string_view, bool ValueType::*>, 22> kTypeNames{{
    {"string", &ValueType::string},    {"str", &ValueType::string},
    {"text", &ValueType::string},      {"varchar", &ValueType::string},
    {"char", &ValueType::string},      {"enum", &ValueType::string},
    {"int", &ValueType::integer},      {"uint", &ValueType::integer},
    {"long", &ValueType::integer},     {"short", &ValueType::integer},
    {"unsigned", &ValueType::integer}, {"num", &ValueType::number},
    {"float", &ValueType::number},     {"double", &ValueType::number},
    {"decimal", &ValueType::number},   {"bool", &ValueType::boolean},
    {"null", &ValueType::null},        {"none", &ValueType::null},
    {"obj", &ValueType::object},       {"dict", &ValueType::object},
    {"arr", &ValueType::array},        {"list", &ValueType::array},
}};

void add_kind(const Json& value, ValueType& type) {
  type.string |= value.is_string();
  type.integer |= value.is_number_integer();
  type.number |= value.is_number_float();
  type.boolean |= value.is_boolean();
  type.null |= value.is_null();
  type.object |= value.is_object();
  type.array |= value.is_array();
}

bool takes_nothing(const ValueType& t) {
  return !t.string && !t.integer && !t.number && !t.boolean && !t.null && !t.object && !t.array;
}

// Schemas come from outside: references may go in circles and alternatives may double at each
// level, so the walk has a budget.
class SchemaWalk {
 public:
  explicit SchemaWalk(const Json& root) : root_(root) {}

  void collect(const Json& schema, ValueType& type, int depth = 0) {
    if (!schema.is_object() || depth > kMaxDepth || ++visited_ > kMaxSchemas) return;
    for (const auto& [key, value] : schema.items()) {
      if (key == "type") {
        for (const Json& name : value.is_array() ? value : Json::array({value})) add(name, type);
      } else if (key == "nullable") {
        type.null |= value == true;
      } else if (key == "const") {
        choose(value, type);
      } else if (key == "enum" && value.is_array()) {
        for (const Json& choice : value) choose(choice, type);
      } else if (key == "$ref") {
        if (const Json* target = resolve(value)) collect(*target, type, depth + 1);
      } else if ((key == "anyOf" || key == "oneOf" || key == "allOf") && value.is_array()) {
        for (const Json& part : value) collect(part, type, depth + 1);
      }
    }
    if (takes_nothing(type)) infer(schema, type);
  }

 private:
  static constexpr int kMaxDepth = 32;
  static constexpr int kMaxSchemas = 1000;

  static void add(const Json& name, ValueType& type) {
    if (!name.is_string()) return;
    std::string lower = name.get<std::string>();
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    for (const auto& [beginning, member] : kTypeNames) {
      if (lower.starts_with(beginning)) {
        type.*member = true;
        return;
      }
    }
  }

  static void choose(const Json& value, ValueType& type) {
    add_kind(value, type);
    type.choices.push_back(value);
  }

  // A schema without a type may still speak of what only one type has.
  static void infer(const Json& schema, ValueType& type) {
    type.object = schema.contains("properties") || schema.contains("additionalProperties");
    type.array = schema.contains("items") || schema.contains("prefixItems");
  }

  const Json* resolve(const Json& reference) const {
    if (!reference.is_string()) return nullptr;
    const auto& text = reference.get_ref<const std::string&>();
    if (!text.starts_with('#')) return nullptr;
    try {
      const Json::json_pointer pointer(text.substr(1));
      return root_.contains(pointer) ? &root_.at(pointer) : nullptr;
    } catch (const Json::exception&) {  // it is no pointer
      return nullptr;
    }
  }

  const Json& root_;
  int visited_ = 0;
};

}  // namespace

bool ValueType::is_text() const {
  return string && !integer && !number && !boolean && !null && !object && !array && choices.empty();
}

bool ValueType::takes(const Json& value) const {
  if (value.is_number_integer()) return integer || number;
  return (value.is_string() && string) || (value.is_number_float() && number) ||
         (value.is_boolean() && boolean) || (value.is_null() && null) ||
         (value.is_object() && object) || (value.is_array() && array);
}

ValueType value_type(const Json& schema, const Json& root) {
  ValueType type;
  SchemaWalk(root).collect(schema, type);
  if (takes_nothing(type)) type.string = true;
  return type;
}

Tool::Tool(std::string name, const Json& parameters) : name_(std::move(name)) {
  Json others;
  if (parameters.is_object()) {
    if (const auto properties = parameters.find("properties");
        properties != parameters.end() && properties->is_object()) {
      for (const auto& [key, schema] : properties->items()) {
        parameters_.emplace(key, value_type(schema, parameters));
      }
    }
    others = parameters.value("additionalProperties", Json());
  }
  others_ = value_type(others, parameters);
}

bool Tool::declares(std::string_view parameter) const {
  return parameters_.contains(parameter);
}

const ValueType& Tool::type_of(std::string_view parameter) const {
  const auto found = parameters_.find(parameter);
  return found == parameters_.end() ? others_ : found->second;
}

ToolSet::ToolSet(const Json& tools) {
  if (tools.is_null()) return;
  if (!tools.is_array()) {
    throw Error({.where = "tools",
                 .what = "wrong JSON type",
                 .expected = "a list of functions",
                 .found = tools.type_name()});
  }
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const JsonView tool(tools[i], fmt::format("tools[{}]", i));
    const JsonView function = tool.has("function") ? tool.object("function") : tool;
    const std::string name = function.string("name");
    if (name.empty()) throw Error({.where = function.where(), .what = "the function has no name"});
    const char* key = function.has("parameters") ? "parameters" : "input_schema";
    const Json schema = function.has(key) ? function.object(key).json() : Json();
    if (!tools_.emplace(name, Tool(name, schema)).second) {
      throw Error({.where = function.where(),
                   .what = fmt::format("a function named '{}' is there already", name)});
    }
  }
}

const Tool* ToolSet::find(std::string_view name) const {
  const auto found = tools_.find(name);
  return found == tools_.end() ? nullptr : &found->second;
}

}  // namespace zaya
