#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/fields.h"
#include "zaya/output_format.h"

namespace zaya {

/// {"type": "text"}, {"type": "json_object"} or {"type": "json_schema", ...}; the schema stands
/// beside the type or, as /v1/chat/completions has it, in an object "json_schema". Throws ApiError.
OutputFormat read_format(const Fields& format);

/// What is to be done with the tools of a call.
struct ToolChoice {
  enum class Kind { automatic, none, required };
  Kind kind = Kind::automatic;
  std::optional<std::string> name = {};  ///< required: this function
  /// Only these functions; none: all.
  std::optional<std::vector<std::string>> allowed = {};
};

/// "tool_choice" of OpenAI's calls: auto, none, required, one function by name, or allowed_tools.
/// The objects in the forms of /v1/chat/completions and of /v1/responses. Throws ApiError.
ToolChoice read_tool_choice(const Fields& fields);

}  // namespace zaya
