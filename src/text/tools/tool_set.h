#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace zaya {

/// The JSON values that a schema takes, as far as it matters to reading one from text.
struct ValueType {
  bool string = false;
  bool integer = false;
  bool number = false;
  bool boolean = false;
  bool null = false;
  bool object = false;
  bool array = false;
  std::vector<Json> choices = {};  ///< what `enum` and `const` list; empty when they list nothing

  /// Any string and nothing else: the value can be passed on while it is being written.
  bool is_text() const;
  /// Whether the kind of `value` is one of the above.
  bool takes(const Json& value) const;
};

/// What a JSON schema says about its values: `type` (a name, a list, and names that sloppy schemas
/// use, such as "int" and "dict"), `nullable`, `enum`, `const`, `anyOf`, `oneOf`, `allOf` (as
/// anyOf), `$ref` to a place in `root`. A schema that does not tell takes strings.
ValueType value_type(const Json& schema, const Json& root);

/// A function that the model may call.
class Tool {
 public:
  Tool(std::string name, const Json& parameters);

  const std::string& name() const { return name_; }
  bool declares(std::string_view parameter) const;
  /// The declared type, or for any other name that of `additionalProperties`.
  const ValueType& type_of(std::string_view parameter) const;

 private:
  std::string name_;
  std::map<std::string, ValueType, std::less<>> parameters_;
  ValueType others_;
};

/// The functions of one request.
class ToolSet {
 public:
  ToolSet() = default;
  /// `tools`: null, or a list of {type: "function", function: {name, parameters}}, or of
  /// {name, parameters}; Anthropic's `input_schema` serves as `parameters`. Throws Error when it is
  /// something else, or when two functions have one name.
  explicit ToolSet(const Json& tools);

  bool empty() const { return tools_.empty(); }
  /// Null when there is no such function.
  const Tool* find(std::string_view name) const;

 private:
  std::map<std::string, Tool, std::less<>> tools_;
};

}  // namespace zaya
