#pragma once

#include <string>
#include <vector>

namespace zaya {

/// A function that a model may call.
struct ToolFunction {
  std::string name;
  std::string parameters;  ///< JSON Schema of an object, as text; empty: no parameters
  /// Keywords of the schema that cannot be kept are an error; else they are ignored.
  bool strict = false;

  bool operator==(const ToolFunction&) const = default;
};

/// What an output must look like (docs/structured-output.md). Nothing else can be drawn, so an
/// output that is not ended early is of that form. Reasoning in a think block that the prompt opens
/// is free.
struct OutputFormat {
  enum class Kind {
    text,         ///< anything
    json_object,  ///< a JSON object
    json_schema,  ///< JSON that satisfies `schema`
    tool_calls,   ///< a call of one of `tools`, in ZAYA1's own form
  };
  Kind kind = Kind::text;
  std::string schema = {};  ///< JSON Schema, as text
  /// Keywords of `schema` that cannot be kept are an error; else they are ignored.
  bool strict = true;
  /// With a kind of JSON: calls of these may come in its place.
  std::vector<ToolFunction> tools = {};
  bool several_calls = false;  ///< one call after the other

  bool operator==(const OutputFormat&) const = default;
};

}  // namespace zaya
