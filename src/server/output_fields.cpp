#include "server/output_fields.h"

#include "server/api_error.h"

namespace zaya {
namespace {

// {"type": "function", "function": {"name": ...}}, or the name beside the type.
std::string function_name(const Fields& choice) {
  const Fields holder = choice.has("function") ? choice.object("function") : choice;
  holder.at("name");
  return *holder.string("name");
}

ToolChoice::Kind read_kind(const Fields& holder, const char* key) {
  const std::string word = holder.string(key).value_or("auto");
  if (word == "auto") return ToolChoice::Kind::automatic;
  if (word == "none") return ToolChoice::Kind::none;
  if (word == "required") return ToolChoice::Kind::required;
  holder.fail(key, "auto, none, required or a function");
}

}  // namespace

OutputFormat read_format(const Fields& format) {
  using Kind = OutputFormat::Kind;
  const std::string type = format.string("type").value_or("");
  if (type == "text") return {};
  if (type == "json_object") return {.kind = Kind::json_object};
  if (type != "json_schema") format.fail("type", "text, json_object or json_schema");
  const Fields holder = format.has("json_schema") ? format.object("json_schema") : format;
  const Json* schema = holder.find("schema");
  if (schema == nullptr) return {.kind = Kind::json_object};
  if (!schema->is_object() && !schema->is_boolean()) holder.fail("schema", "a JSON Schema");
  return {.kind = Kind::json_schema,
          .schema = schema->dump(),
          .strict = holder.boolean("strict", false)};
}

ToolChoice read_tool_choice(const Fields& f) {
  ToolChoice out;
  const Json* given = f.find("tool_choice");
  if (given == nullptr) return out;
  if (!given->is_object()) {
    out.kind = read_kind(f, "tool_choice");
    return out;
  }
  const Fields choice = f.object("tool_choice");
  const std::string type = choice.string("type").value_or("");
  if (type == "function") {
    out.kind = ToolChoice::Kind::required;
    out.name = function_name(choice);
  } else if (type == "allowed_tools") {
    const Fields allowed = choice.has("allowed_tools") ? choice.object("allowed_tools") : choice;
    out.kind = read_kind(allowed, "mode");
    const Json& tools = allowed.at("tools");
    if (!tools.is_array()) allowed.fail("tools", "a list of functions");
    out.allowed.emplace();
    for (const Json& tool : tools) {
      out.allowed->push_back(function_name(Fields(tool, allowed.name("tools"))));
    }
  } else {
    choice.fail("type", "function or allowed_tools");
  }
  return out;
}

}  // namespace zaya
