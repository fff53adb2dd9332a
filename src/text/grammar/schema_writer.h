#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "text/grammar/graph.h"
#include "text/grammar/json_rules.h"
#include "text/grammar/number.h"
#include "text/grammar/schema_forms.h"

namespace zaya::grammar {

/// Writes the JSON texts that satisfy a schema as rules of a grammar.
class SchemaWriter {
 public:
  /// Most different schemas inside one.
  static constexpr std::size_t kMostSchemas = 20'000;

  SchemaWriter(Builder& builder, JsonRules& rules, SchemaForms& forms)
      : builder_(builder), rules_(rules), forms_(forms) {}

  /// The rule of the values that satisfy a schema. It is written by write_rules().
  Builder::Rule value(const Json& schema, const std::string& path);
  /// Writes the rules that were asked for, and those that they ask for. Outside of any rule.
  void write_rules();

  /// The types that a form allows: those of its `type`, else those that its keywords are about,
  /// else none, which means any.
  std::vector<std::string> types_of(const SchemaForms::Form& form) const;
  /// Writes a value of one type that satisfies the form's other keywords.
  void write_typed(const SchemaForms::Form& form, const std::string& type);
  /// Writes one of the values of the form's `enum`, as far as they satisfy the rest of it: as JSON,
  /// or the bare text of strings.
  void write_enum(const SchemaForms::Form& form, Encoding encoding);

  struct Text {
    LengthLimits length;
    std::optional<Graph> graph;  ///< of pattern or format, within the length
  };
  Text text_of(const SchemaForms::Form& form);

 private:
  struct Waiting {
    Builder::Rule rule;
    Json schema;
    std::string path;
  };
  struct Property {
    std::string key;  // as JSON, with quotes
    Builder::Rule value;
    bool required;
  };
  struct Object {
    std::vector<Property> properties;
    std::vector<std::string> names;
    std::optional<Builder::Rule> others;  // values of properties that are not named
    std::optional<Builder::Rule> keys;    // and their keys
    std::size_t min = 0;
    std::size_t max = Loop::kUnbounded;
    std::string path;
  };

  void write_value(const Json& schema, const std::string& path);
  void write_form(const SchemaForms::Form& form);
  void write_string(const SchemaForms::Form& form);
  void write_number(const SchemaForms::Form& form, bool integer);
  std::optional<Object> object_of(const SchemaForms::Form& form);
  void write_object(const SchemaForms::Form& form);
  void write_members(const Object& object);
  void write_array(const SchemaForms::Form& form);
  NumberLimits number_limits(const SchemaForms::Form& form) const;
  bool enum_allows(const SchemaForms::Form& form, const Json& value);
  std::uint32_t count(const SchemaForms::Form& form, const char* key, std::uint32_t fallback) const;
  /// A schema that nothing satisfies.
  bool impossible(const Json& schema, const std::string& path);

  Builder& builder_;
  JsonRules& rules_;
  SchemaForms& forms_;
  std::unordered_map<std::string, Builder::Rule> known_;  // by the schema's text
  std::deque<Waiting> waiting_;
};

}  // namespace zaya::grammar
