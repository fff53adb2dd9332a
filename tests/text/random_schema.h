#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"

namespace zaya::test {

/// Draws JSON Schemas that use every supported keyword, alone and together, and that some value
/// satisfies.
class RandomSchema {
 public:
  explicit RandomSchema(std::uint64_t seed) : random_(seed) {}

  Json draw() {
    Json schema = any(3);
    if (!schema.is_object()) return schema;
    // What may be referred to: a recursive list, a recursive tree, a plain value.
    schema["$defs"] = Json::parse(R"({
      "list": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {
                 "v": {"type": "integer"}, "next": {"$ref": "#/$defs/list"}},
               "required": ["v", "next"], "additionalProperties": false}]},
      "tree": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5},
               "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}},
               "required": ["name"]},
      "small": {"type": "integer", "minimum": -9, "maximum": 9}})");
    return schema;
  }

 private:
  std::size_t below(std::size_t n) { return random_.next() % n; }
  bool maybe() { return below(2) == 0; }
  template <class T>
  T one_of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

  Json any(int depth) {
    const std::size_t kind = below(depth > 0 ? 14 : 6);
    switch (kind) {
      case 0:
        return string();
      case 1:
        return integer();
      case 2:
        return number();
      case 3:
        return one_of<Json>({{{"type", "boolean"}}, {{"type", "null"}}});
      case 4:
        return enumeration();
      case 5:
        return {{"$ref", one_of<std::string>({"#/$defs/list", "#/$defs/tree", "#/$defs/small"})}};
      case 6:
      case 7:
      case 8:
        return object(depth);
      case 9:
      case 10:
        return array(depth);
      case 11: {
        Json parts = Json::array();
        for (std::size_t i = 0, n = 1 + below(3); i < n; ++i) parts.push_back(any(depth - 1));
        return {{"anyOf", parts}};
      }
      case 12: {  // of different types: of oneOf's alternatives only one may hold
        Json parts = Json::array({string(), integer(), {{"type", "null"}}, object(depth - 1)});
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(below(4)));
        return {{"oneOf", parts}};
      }
      default:
        return together(depth);
    }
  }

  Json string() {
    Json schema = {{"type", "string"}};
    switch (below(5)) {
      case 0:
        schema["maxLength"] = below(12);
        break;
      case 1:
        schema["minLength"] = below(4);
        schema["maxLength"] = 4 + below(40);
        break;
      case 2:
        schema["pattern"] = one_of<std::string>(
            {"^[a-z]{2,8}$", "^(foo|bar)+[0-9]?$", "x", "^[A-Z][a-z]*( [A-Z][a-z]*)*$",
             "^\\d{3}-\\d{4}$", "^[^\\s<]{1,5}$", "^.{0,4}\\\\\"$", "^a|b$", "^.{0,7}$",
             "^[\\u00e0-\\u00ff\\u4e00-\\u4eff]+$"});
        if (maybe()) schema["maxLength"] = 20;
        break;
      case 3:
        schema["format"] = one_of<std::string>(
            {"date", "time", "date-time", "uuid", "email", "ipv4", "ipv6", "hostname", "uri"});
        break;
      default:
        break;
    }
    return schema;
  }

  Json integer() {
    Json schema = {{"type", "integer"}};
    if (maybe())
      schema[one_of<std::string>({"minimum", "exclusiveMinimum"})] = -50 + int(below(100));
    if (maybe())
      schema[one_of<std::string>({"maximum", "exclusiveMaximum"})] = 60 + int(below(1000));
    if (below(3) == 0) schema["multipleOf"] = 1 + below(12);
    return schema;
  }

  Json number() {
    Json schema = {{"type", "number"}};
    if (maybe())
      schema[one_of<std::string>({"minimum", "exclusiveMinimum"})] = -2.5 + int(below(3));
    if (maybe())
      schema[one_of<std::string>({"maximum", "exclusiveMaximum"})] = 1.125 * int(1 + below(9));
    if (below(3) == 0) schema["multipleOf"] = one_of<double>({0.5, 0.25, 0.125});
    return schema;
  }

  Json enumeration() {
    const Json values = Json::parse(R"(["red", "rot", "r\"\\\n", "é😀", 1, -2.5, null, true,
                                        {"a": [1, {}]}, [], "", "</parameter>"])");
    if (maybe()) return {{"const", one_of<Json>(values.get<std::vector<Json>>())}};
    Json list = Json::array();
    for (const Json& value : values) {
      if (maybe()) list.push_back(value);
    }
    if (list.empty()) list.push_back(0);
    return {{"enum", list}};
  }

  Json object(int depth) {
    static const std::vector<std::string> kNames = {"id",    "name", "na",   "a b",   "é",
                                                    "\"q\"", "x\\y", "list", "items", "$ref"};
    Json schema = {{"type", "object"}};
    Json required = Json::array();
    for (std::size_t i = 0, n = below(5); i < n; ++i) {
      const std::string name = one_of(kNames);
      schema["properties"][name] = any(depth - 1);
      if (maybe()) required.push_back(name);
    }
    if (maybe()) schema["required"] = required;
    if (maybe()) schema["additionalProperties"] = maybe() ? Json(false) : any(0);
    if (below(5) == 0 && !schema.contains("additionalProperties"))
      schema["maxProperties"] = 4 + below(3);
    return schema;
  }

  Json array(int depth) {
    Json schema = {{"type", "array"}};
    if (below(3) == 0) {
      for (std::size_t i = 0, n = 1 + below(3); i < n; ++i) {
        schema["prefixItems"].push_back(any(depth - 1));
      }
    }
    if (below(4) != 0) schema["items"] = any(depth - 1);
    const std::size_t min = below(3);
    if (maybe()) schema["minItems"] = min;
    schema["maxItems"] = min + below(4);
    return schema;
  }

  Json together(int depth) {
    Json a = object(depth);
    Json b = {{"properties", {{"id", {{"type", "integer"}}}, {"extra", any(0)}}}};
    a.erase("maxProperties");
    a["additionalProperties"] = true;
    a["properties"]["id"] = {{"minimum", -5}};
    return {{"allOf", Json::array({a, b})}};
  }

  Random random_;
};

}  // namespace zaya::test
